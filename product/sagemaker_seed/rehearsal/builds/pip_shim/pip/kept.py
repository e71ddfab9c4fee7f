"""What hashes pin, kept from one build for the next that asks for the same. Installs nothing itself.

Files that hashes pin are the same whenever they are installed, and to link thousands of them takes longer than many a
build. They are kept apart from the environment, so that a build finds them only after its own ``pip install``; and only
if the build before left every one of them as it was. Runs in the build, on its Python, and in the embedded AWS.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # older Pythons have no dict[...] but in annotations, which are not evaluated
    from collections.abc import Iterator
    from typing import Any

OWN = "_pip_of_the_build.pth"
"""Of the build that stands for pip; the next has another."""
INSTALLED = (".dist-info", ".egg-info")
# A line of a requirements file that does not name a release: another file, an option, an address, a path.
ELSEWHERE = re.compile(r"^[ \t]*(-[^-]|--(?!hash=)|\.|/|[^#\n]*(://|@ ))", re.M)


def key(files: list[str], options: list[str], own: dict[str, Any]) -> str:
    """What the outcome of an installation depends on, as a digest; empty if it depends on more than hashes.

    Args:
        files: the requirements files.
        options: the installer's, as they were given.
        own: the settings of the build's pip.
    """
    if not files or "--require-hashes" not in options or "symlink" in own["options"]:
        return ""  # a link into a cache is not what it points to
    allowed = ("--require-hashes", "--quiet", "--requirements=", "--index-url=", "--extra-index-url=", "--find-links=")
    if not all(option.startswith(allowed) for option in options):
        return ""
    digest = hashlib.sha256(f"{own['version']}\0{Path(own['python']).resolve()}\0".encode())
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""  # the installer says what is wrong with it
        if ELSEWHERE.search(text):
            return ""
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


class Kept:
    """What is kept beside an environment.

    Args:
        environment: its folder. ``kept`` beside it holds what a build left, and ``lent.json`` says that a build has it.
    """

    def __init__(self, environment: Path) -> None:
        self._environment = environment
        self._folder = environment.parent / "kept"
        self._note = self._folder / "note.json"
        self._lent = environment.parent / "lent.json"

    def lend(self, wanted: str) -> int | None:
        """Moves what is kept into the environment; returns the number of packages, or None if it is not kept."""
        note = _read(self._note)
        if note is None or note["key"] != wanted or self._lent.exists():
            return None
        site = self._environment / note["site"]
        own = (site / OWN).read_text()
        self._note.unlink()  # from here on it is in no two places, whatever happens
        shutil.rmtree(site)
        (self._folder / "site").rename(site)
        (site / OWN).write_text(own)
        for name in note["rest"]:
            place = self._environment / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / "rest" / name).rename(place)
        self._lent.write_text(json.dumps(note))
        return int(note["packages"])

    def before(self) -> set[str]:
        """What is in the environment beside its packages."""
        return set(_files(self._environment, _site(self._environment)))

    def installed(self, wanted: str, before: set[str]) -> None:
        """Notes what an installer has just put into an environment that held nothing: it may be kept afterwards."""
        rest = sorted(self.before() - before)
        place = _site(self._environment)
        site = str(place.relative_to(self._environment))
        packages = sum(path.name.endswith(INSTALLED) for path in place.iterdir())
        digest = self._digest(site, rest)
        note = {"key": wanted, "packages": packages, "site": site, "rest": rest, "digest": digest}
        self._lent.write_text(json.dumps(note))

    def is_empty(self) -> bool:
        """Whether nothing was installed into the environment yet."""
        return not any(path.name.endswith(INSTALLED) for path in _site(self._environment).iterdir())

    def give_back(self) -> None:
        """After the build: keeps what it was lent or has installed, if it is as it was then. What is older goes."""
        note = _read(self._lent)
        if note is None:
            return
        self._lent.unlink()
        site, rest = note["site"], note["rest"]
        if self._digest(site, rest) != note["digest"]:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        (self._environment / site / OWN).unlink()
        (self._environment / site).rename(self._folder / "site")
        for name in rest:
            place = self._folder / "rest" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (self._environment / name).rename(place)
        self._note.write_text(json.dumps(note))

    def forget(self) -> None:
        """What a build that was killed had been lent is nobody's."""
        if self._lent.exists():
            self._lent.unlink()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _digest(self, site: str, rest: list[str]) -> str:
        """Of the names, sizes, times and inodes of all files; of a file that is missing too."""
        packages = self._environment / site
        digest = hashlib.sha256()
        for name in sorted([*(f"{site}/{name}" for name in _files(packages) if name != OWN), *rest]):
            try:
                found = os.lstat(self._environment / name)
                digest.update(f"{name}\0{found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ino}\0".encode())
            except OSError:
                digest.update(f"{name}\0".encode())
        return digest.hexdigest()


def _site(environment: Path) -> Path:
    return next((environment / "lib").glob("python*/site-packages"))


def _files(folder: Path, without: Path | None = None) -> Iterator[str]:
    """The names of all files below a folder, relative to it. A link is a file; what Python compiled does not count."""
    skipped, start = str(without), len(str(folder)) + 1
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry.path[start:]
                elif entry.path != skipped and entry.name != "__pycache__":
                    waiting.append(entry.path)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        read: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return read
