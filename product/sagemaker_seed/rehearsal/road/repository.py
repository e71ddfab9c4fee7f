"""A project's repository as a data scientist has it: cloned, changed, committed, pushed with git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ...errors import SeedError

# Commits are made by whoever rehearses, under a name that is nobody's.
IDENTITY = {
    "GIT_AUTHOR_NAME": "Rehearsal",
    "GIT_AUTHOR_EMAIL": "rehearsal@example.com",
    "GIT_COMMITTER_NAME": "Rehearsal",
    "GIT_COMMITTER_EMAIL": "rehearsal@example.com",
}


def find(codecommit: Any, ids: Collection[str]) -> dict[str, Any]:
    """What describes the first of the repositories with these ids, by which CloudFormation knows them.

    Raises:
        SeedError: there is none.
    """
    for page in codecommit.get_paginator("list_repositories").paginate():
        for listed in page["repositories"]:
            if listed["repositoryId"] in ids:
                found = codecommit.get_repository(repositoryName=listed["repositoryName"])
                return dict(found["repositoryMetadata"])
    raise SeedError("the product makes no repository")


class Clone:
    """A clone of a repository in a folder of one's own.

    Args:
        environment: what git needs to reach the repository.
    """

    def __init__(self, url: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self._environment = folder, {**os.environ, **environment, **IDENTITY}
        _git(["clone", "--quiet", url, str(folder)], folder.parent, self._environment)

    def files(self) -> list[str]:
        """The files of the newest commit."""
        return [name for name in self._git("ls-files", "-z").split("\0") if name]

    def commit(self, message: str, changes: Mapping[str, str]) -> str:
        """Writes the files, commits and pushes them to the branch that was cloned; returns the commit's id."""
        for name, text in changes.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "origin", "HEAD")
        return self._git("rev-parse", "HEAD").strip()

    def push_branch(self, name: str) -> None:
        """Pushes the newest commit as a branch of its own."""
        self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{name}")

    def _git(self, *words: str) -> str:
        return _git(list(words), self.folder, self._environment)


def _git(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    ran = subprocess.run(
        ["git", *words], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise SeedError(f"git {words[0]}: {said[-1] if said else f'exit code {ran.returncode}'}")
    return ran.stdout
