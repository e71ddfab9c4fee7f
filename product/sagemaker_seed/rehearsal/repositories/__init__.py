"""Bare git repositories and git's own protocol over HTTP. Knows nothing of CodeCommit's API."""
