"""What the tests of the seed repository share: baking without hooks, a model registry, and a model that answers."""
