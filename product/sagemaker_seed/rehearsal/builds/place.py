"""Where the Python environment and the source of a build lie: in the same place for the same. Makes no environment.

Each build makes its environment anew and gets its source anew, and both are taken away. But what Python compiles of
them is kept, and is found again only under the same path: the SageMaker SDK alone takes seconds to compile, and the
tests of a repository a second. What a build has installed by hashes is kept too, apart from the environment. Builds of
one buildspec that run at the same time, in this or in another rehearsal, get places side by side.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .pip_shim.pip.kept import Kept

SIDE_BY_SIDE = 8
UNUSED_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Place:
    """A place that is one build's until it gives it back: the environment's folder, and that of all bytecode."""

    python: Path
    bytecode: Path
    lock: IO[str] | None

    @property
    def keeps(self) -> bool:
        """Whether the next build of the same commands comes to the same place."""
        return self.lock is not None

    def house(self, source: Path) -> Path:
        """Moves a source to where it was when last it was the same to the byte; returns that folder.

        The path tells one source from another, so that bytecode, which knows its source by time and size alone, never
        stands for a file that has changed. That of the source before this one is given up.
        """
        if not self.keeps:
            return source
        sources = self.python.parent / "source"
        own = sources / _digest(source)
        compiled = self.bytecode / sources.resolve().relative_to("/")
        for other in compiled.iterdir() if compiled.is_dir() else ():
            if other.name != own.name:
                shutil.rmtree(other, ignore_errors=True)
        own.mkdir(parents=True)
        shutil.move(source, own / source.name)
        return own / source.name

    def give_back(self, room: Path) -> None:
        """Removes environment and source, and the bytecode of other files in ``room``, which nobody meets again."""
        if self.keeps:
            Kept(self.python).give_back()
        shutil.rmtree(self.python, ignore_errors=True)
        shutil.rmtree(self.python.parent / "source", ignore_errors=True)
        shutil.rmtree(self.bytecode / room.resolve().relative_to("/"), ignore_errors=True)
        if self.lock is not None:
            self.lock.close()


def take(commands: str, room: Path) -> Place:
    """A place for a build of these commands; in ``room``, the build's own folder, where there can be no better one."""
    key = hashlib.sha256(commands.encode()).hexdigest()[:16]
    for number in range(SIDE_BY_SIDE):
        folder = _home() / f"{key}-{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("w")
        except OSError:
            break
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        os.utime(folder / "lock")
        for left in ("python", "source"):  # of a build that was killed
            shutil.rmtree(folder / left, ignore_errors=True)
        Kept(folder / "python").forget()
        _clear(_home())
        return Place(folder / "python", folder / "bytecode", lock)
    return Place(room / "python", room / "bytecode", None)


def _clear(home: Path) -> None:
    """Removes the places that nobody has used for a long time."""
    for lock in home.glob("*/lock"):
        try:
            if time.time() - lock.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(lock.parent, ignore_errors=True)
        except FileNotFoundError:  # somebody else clears
            continue


def _digest(source: Path) -> str:
    """A digest of the names and the contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.relative_to(source)}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return digest.hexdigest()[:16]


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sagemaker-seed" / "builds"
