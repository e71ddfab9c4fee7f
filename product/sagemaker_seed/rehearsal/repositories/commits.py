"""Makes one commit of files that are given as bytes, in a single run of ``git fast-import``. Checks no rules of AWS."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .git import Git


@dataclass(frozen=True)
class Written:
    """A file as it is to be: git's mode, and its bytes, or None to keep the blob ``id`` and change the mode alone."""

    path: str
    mode: str
    content: bytes | None
    id: str


@dataclass(frozen=True)
class Draft:
    """A commit to be made on top of ``parent`` (None: the first of the branch)."""

    branch: str
    parent: str | None
    name: str
    email: str
    message: str
    written: tuple[Written, ...]
    deleted: tuple[str, ...]


def blob_id(content: bytes) -> str:
    """The id that git gives a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def make(git: Git, draft: Draft) -> str:
    """Makes the commit, moves its branch to it, and answers its id.

    Raises:
        GitFailed: the branch has moved meanwhile, or a path is not one that git takes.
    """
    given = b"".join(_stream(draft))
    return git.run("fast-import", "--quiet", "--done", given=given).decode().strip()


def _stream(draft: Draft) -> Iterable[bytes]:
    person = f"{_plain(draft.name)} <{_plain(draft.email)}> {int(time.time())} +0000".encode()
    message = draft.message.encode()
    yield f"commit refs/heads/{draft.branch}\nmark :1\n".encode()
    yield b"author %s\ncommitter %s\ndata %d\n%s\n" % (person, person, len(message), message)
    if draft.parent:
        yield f"from {draft.parent}\n".encode()
    for path in draft.deleted:
        yield b"D %s\n" % _quoted(path)
    for file in draft.written:
        if file.content is None:
            yield b"M %s %s %s\n" % (file.mode.encode(), file.id.encode(), _quoted(file.path))
        else:
            yield b"M %s inline %s\n" % (file.mode.encode(), _quoted(file.path))
            yield b"data %d\n%s\n" % (len(file.content), file.content)
    yield b"\nget-mark :1\ndone\n"


def _plain(name: str) -> str:
    """A name without what git would take for the end of it."""
    return "".join(c for c in name if c not in "<>\n\0")


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode(errors="surrogateescape")
