"""Stands for pip in the environment of a build: the same commands, carried out by uv. Does no installing itself."""
