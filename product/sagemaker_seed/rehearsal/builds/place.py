"""Where the Python environment of a build lies: in the same place for the same buildspec. Makes no environment.

Each build makes its environment anew, and takes it away. But what Python compiles of the packages in it is kept, and is
found again only under the same path: the SageMaker SDK alone takes seconds to compile. Builds of one buildspec that run
at the same time, in this or in another rehearsal, get places side by side.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Place:
    """A place that is one build's until it gives it back: the environment's folder, and that of its bytecode."""

    python: Path
    bytecode: Path
    lock: IO[str] | None

    def give_back(self, room: Path) -> None:
        """Removes the environment, and the bytecode of the build's own files in ``room``, which nobody meets again."""
        shutil.rmtree(self.python, ignore_errors=True)
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
        shutil.rmtree(folder / "python", ignore_errors=True)  # of a build that was killed
        return Place(folder / "python", folder / "bytecode", lock)
    return Place(room / "python", room / "bytecode", None)


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sagemaker-seed" / "builds"
