"""Runs builds as CodeBuild does: a buildspec's commands, in a Python environment of their own, without a container."""
