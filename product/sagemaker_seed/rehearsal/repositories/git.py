"""One bare git repository, worked on with the git program: its references, commits, trees and files. No HTTP here.

No setting of the user or the machine reaches these runs of git, and no hook is ever run.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
OBJECT_ID = re.compile(r"[0-9a-f]{40}")
HEADS = "refs/heads/"
TAGS = "refs/tags/"
SUBMODULE = "160000"
SYMLINK = "120000"
PERSON = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<date>-?\d+ [+-]\d{4})")
# Read again at every run, so that nothing has to be written into each repository.
SETTINGS = {
    "receive.autogc": "false",
    "gc.auto": "0",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
}
# The files of an archive are those of the commit: no attribute of the tree leaves one out or rewrites it.
PLAIN_FILES = "* -export-ignore -export-subst -text -ident -filter !eol !working-tree-encoding\n"


class GitFailed(Exception):
    """The git program ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Person:
    """Author or committer; ``date`` is git's own form, ``SECONDS ZONE``."""

    name: str
    email: str
    date: str


@dataclass(frozen=True)
class Commit:
    """One commit."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True)
class Entry:
    """A file, folder or submodule of a tree: git's mode (six digits), object id, size in bytes (files), whole path."""

    mode: str
    kind: str
    id: str
    size: int
    path: str


@dataclass(frozen=True)
class Difference:
    """What became of one path between two commits: ``A``, ``M`` or ``D``; modes and ids are zeros where it is not."""

    change: str
    path: str
    before: tuple[str, str]
    after: tuple[str, str]


class Git:
    """A bare repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, branch: str) -> None:
        """Makes the repository, empty; a clone of it starts on ``branch``."""
        self.run("init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", ".")
        (self.folder / "info").mkdir(exist_ok=True)
        (self.folder / "info" / "attributes").write_text(PLAIN_FILES)

    def run(self, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None) -> bytes:
        """What ``git ARGUMENTS`` writes when it is given ``given``.

        Raises:
            GitFailed: it ended with an error.
        """
        done = self.attempt(*arguments, given=given, variables=variables)
        if done.returncode:
            raise GitFailed(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]}: {done.returncode}")
        return done.stdout

    def attempt(
        self, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """A run of ``git ARGUMENTS``, whichever way it ended."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": str(self.folder),
            "GIT_DIR": ".",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(SETTINGS)),
            **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(SETTINGS)},
            **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(SETTINGS.values())},
            **(variables or {}),
        }
        # Ends with this process at the latest: its standard input is a pipe from here.
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            input=given,
            capture_output=True,
            check=False,
        )

    def references(self) -> dict[str, str]:
        """Commit ids (of an annotated tag: of what it points at) by full name of the reference."""
        written = self.run("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)").decode()
        fields = [line.split(" ", 2) for line in written.splitlines()]
        return {name: peeled or own for own, peeled, name in fields}

    def set_reference(self, name: str, commit: str, before: str | None) -> None:
        """Points a reference at a commit; ``before`` is where it must point now, None if there must be none.

        Raises:
            GitFailed: it does not.
        """
        self.run("update-ref", name, commit, before or "0" * 40)

    def delete_reference(self, name: str) -> None:
        """Removes a reference."""
        self.run("update-ref", "-d", name)

    def set_head(self, branch: str) -> None:
        """Has clones start on this branch."""
        self.run("symbolic-ref", "HEAD", HEADS + branch)

    def kind(self, object_id: str) -> str | None:
        """``commit``, ``tree``, ``blob`` or ``tag``; None if there is no such object."""
        if not OBJECT_ID.fullmatch(object_id):
            return None
        done = self.attempt("cat-file", "-t", object_id)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def commit(self, commit_id: str) -> Commit:
        """A commit that exists."""
        text = self.run("cat-file", "commit", commit_id).decode(errors="replace")
        header, _, message = text.partition("\n\n")
        lines = [line.partition(" ") for line in header.splitlines()]
        first = {key: value for key, _, value in reversed(lines)}
        parents = tuple(value for key, _, value in lines if key == "parent")
        return Commit(commit_id, first["tree"], parents, _person(first["author"]), _person(first["committer"]), message)

    def entries(self, tree: str, folder: str = "", *, recursive: bool = False) -> list[Entry]:
        """What is in a folder of a tree (or commit), in git's order; all files below it if ``recursive``."""
        options = ("-r",) if recursive else ()
        place = f"{tree}:{folder}"
        written = self.run("ls-tree", "-z", "-l", *options, place).decode(errors="surrogateescape")
        return [_entry(line, folder) for line in written.split("\0") if line]

    def entry(self, tree: str, path: str) -> Entry | None:
        """The entry at a path of a tree (or commit); None if there is none."""
        if not path:
            return None
        written = self.run("--literal-pathspecs", "ls-tree", "-z", "-l", "--full-tree", tree, "--", path.rstrip("/"))
        lines = written.decode(errors="surrogateescape").split("\0")
        return _entry(lines[0], "") if lines[0] else None

    def content(self, blob: str) -> bytes:
        """The bytes of a file."""
        return self.run("cat-file", "blob", blob)

    def differences(self, before: str | None, after: str) -> list[Difference]:
        """What changed from one commit to another (from nothing, if ``before`` is None), renames as two changes."""
        written = self.run("diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", before or EMPTY_TREE, after)
        parts = written.decode(errors="surrogateescape").split("\0")
        return [_difference(fields, path) for fields, path in zip(parts[::2], parts[1::2], strict=False)]

    def archive(self, commit_id: str) -> bytes:
        """The files of a commit as a zip; the same bytes each time."""
        return self.run("archive", "--format=zip", commit_id)

    def tree_of(self, commit_id: str) -> str:
        """The id of a commit's tree."""
        return self.run("rev-parse", f"{commit_id}^{{tree}}").decode().strip()


def _person(text: str) -> Person:
    found = PERSON.match(text)
    return Person(found["name"], found["email"], found["date"]) if found else Person(text, "", "")


def _entry(line: str, folder: str) -> Entry:
    described, _, path = line.partition("\t")
    mode, kind, object_id, size = described.split()
    whole = f"{folder}/{path}" if folder else path
    return Entry(mode, kind, object_id, 0 if size == "-" else int(size), whole)


def _difference(fields: str, path: str) -> Difference:
    old_mode, new_mode, old_id, new_id, change = fields.lstrip(":").split()
    return Difference({"T": "M"}.get(change[0], change[0]), path, (old_mode, old_id), (new_mode, new_id))
