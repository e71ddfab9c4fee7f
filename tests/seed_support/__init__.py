"""What the tests of the seed repository share: baking without hooks, a moto server, and a model that answers."""
