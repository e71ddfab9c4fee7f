"""Packs a seed repository into a deterministic zip: same content, same bytes, on any machine and umask.

Standard library only. It reads one folder and writes one file, and reads such a file; uploading is ``publish``'s.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import BadInput, SeedError

# What CloudFormation accepts when it seeds a CodeCommit repository: one commit out of one archive.
MAX_BYTES = 20 * 1024**2  # of the archive
MAX_FILES = 100  # in one commit
MAX_FILE_BYTES = 6 * 1024**2
MAX_DEPTH = 20  # folders in a path

# The folders in which tools keep what they can make again.
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".ipynb_checkpoints")

# Names, at any depth, that are no part of a seed repository.
LEFT_OUT = (
    *CACHES,
    # version control, and what a build or a test run leaves behind
    *(".git", ".hg", ".svn", "dist", ".venv", "node_modules", "*.py[cod]", "*.egg-info", ".coverage", "htmlcov"),
    *("template-export.yml", "*-config-export.json", "test-results*.json", "test-results*.xml", "test-report.html"),
    # editors and desktops
    *(".idea", ".vscode", "*.swp", "*.swo", "*~", ".#*", "#*#", ".DS_Store", "Thumbs.db", "desktop.ini"),
    # credentials that tools keep in a working folder
    *(".env", ".env.*", ".aws", ".netrc", "*.pem"),
)

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell
# CodeCommit promises nothing about executable bits, and a template that comes as a zip has lost them:
# every file gets the same mode, and the scripts of a seed are run by their interpreter.
_MODE = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True)
class Bundle:
    """The zip of a seed repository.

    ``digest`` is the SHA-256 of its bytes in hexadecimal, ``size`` is in bytes, ``files`` are sorted paths.
    """

    content: bytes
    digest: str
    files: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return len(self.content)


def _left_out(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in LEFT_OUT)


def _walk(folder: Path, problems: list[str]) -> Iterator[tuple[str, Path]]:
    """The paths of a bundle with their files; what cannot go in is named in ``problems``."""

    def cannot_list(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be listed: {error.strerror}")

    inside = folder.resolve()
    for top, names, files in os.walk(folder, onerror=cannot_list):
        names[:] = [name for name in names if not _left_out(name)]
        for name in [*names, *files]:
            path = Path(top, name)
            relative = path.relative_to(folder).as_posix()
            if _left_out(name) or (name in names and not path.is_symlink()):
                continue
            if not path.resolve().is_relative_to(inside):
                problems.append(
                    f"{relative}: is a link that leaves the folder (to {path.readlink()}); put a copy in its place"
                )
            elif name in names:
                problems.append(f"{relative}: is a link to a folder, which a zip cannot hold; put a copy in its place")
            elif not path.is_file():
                problems.append(f"{relative}: is no regular file (a broken link, pipe or device); remove it")
            elif not relative.isprintable() or not _encodable(relative):
                problems.append(f"{relative!r}: its name has characters that git and zip do not share; rename it")
            else:
                yield relative, path


def _encodable(name: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        name.encode()
        return True
    return False


def _limits(sizes: dict[str, int]) -> list[str]:
    """Every limit that the files break, a line each."""
    found = [
        f"{name}: is {size / 1024**2:.1f} MB; CodeCommit takes at most {MAX_FILE_BYTES // 1024**2} MB a file; "
        f"keep data in S3"
        for name, size in sizes.items()
        if size > MAX_FILE_BYTES
    ]
    found += [
        f"{name}: lies {name.count('/')} folders deep; CodeCommit takes at most {MAX_DEPTH}"
        for name in sizes
        if name.count("/") > MAX_DEPTH
    ]
    if len(sizes) > MAX_FILES:
        found.append(f"{len(sizes)} files: CodeCommit takes at most {MAX_FILES} in the first commit; remove some")
    return found


def pack(folder: Path) -> Bundle:
    """The bundle of the seed repository in ``folder``, made in memory.

    Entries lie at the root, sorted by name, stored without compression: what a compressor makes of the same
    bytes differs between versions of zlib, and the archive's digest is its name.

    Raises:
        BadInput: the folder is missing or empty, or its content breaks limits; every problem is named.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no folder; give the one that cookiecutter rendered")
    problems: list[str] = []
    paths = dict(sorted(_walk(folder, problems)))
    problems += _limits({name: path.stat().st_size for name, path in paths.items()})
    if not paths and not problems:
        problems.append(f"{folder}: holds no file to bundle")
    if problems:
        raise BadInput(*problems)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in paths.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it was made
            entry.external_attr = _MODE
            try:
                archive.writestr(entry, path.read_bytes())
            except OSError as error:
                raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    content = target.getvalue()
    if len(content) > MAX_BYTES:
        raise BadInput(
            f"{folder}: its bundle is {len(content) / 1024**2:.1f} MB; CodeCommit takes at most "
            f"{MAX_BYTES // 1024**2} MB; keep data in S3"
        )
    return Bundle(content, hashlib.sha256(content).hexdigest(), tuple(paths))


def read(path: Path) -> Bundle:
    """The bundle in a zip, whoever made it; it may break limits, see :func:`problems_of`.

    Raises:
        BadInput: it is no zip, is damaged, or has entries that are no files of one repository; each is named.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            problems = [f"{path}: {line}" for line in _astray(_entries(archive))]
            names = tuple(sorted(entry.filename for entry in _entries(archive)))
            if not problems and (damaged := archive.testzip()) is not None:
                problems.append(f"{path}: {damaged}: is damaged; make the zip again")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise BadInput(f"{path}: is no zip that can be read: {error}; make it with sagemaker-seed bundle") from None
    if problems or not names:
        raise BadInput(*problems or [f"{path}: holds no file"])
    return Bundle(content, hashlib.sha256(content).hexdigest(), names)


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [entry for entry in archive.infolist() if not entry.is_dir()]


def _astray(entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    """What a zip holds that is no file below its root, or cannot be looked at without filling the disk."""
    names = [entry.filename for entry in entries]
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or "" in parts or ":" in parts[0]:
            yield f"{entry.filename}: lies outside the repository; make the zip with sagemaker-seed bundle"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            yield f"{entry.filename}: is a link; put a copy in its place"
        elif entry.flag_bits & 0x1:
            yield f"{entry.filename}: is encrypted, which CodeCommit cannot read"
    yield from (f"{name}: is there more than once" for name in sorted({n for n in names if names.count(n) > 1}))
    if (size := sum(entry.file_size for entry in entries)) > MAX_FILES * MAX_FILE_BYTES:
        yield f"unpacked it is {size / 1024**2:.0f} MB, more than CodeCommit could ever take"


def unpack(bundle: Bundle, folder: Path) -> None:
    """Writes the files of a bundle that was packed or read here into a folder."""
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        archive.extractall(folder, bundle.files)


def problems_of(bundle: Bundle) -> list[str]:
    """Every limit that a bundle breaks, and what it holds that packing leaves out, a line each."""
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        found = _limits({entry.filename: entry.file_size for entry in _entries(archive)})
    if bundle.size > MAX_BYTES:
        found.append(
            f"the archive is {bundle.size / 1024**2:.1f} MB; CodeCommit takes at most {MAX_BYTES // 1024**2} MB"
        )
    return found + [
        f"{name}: is no part of a seed repository; sagemaker-seed bundle leaves it out"
        for name in bundle.files
        if any(_left_out(part) for part in name.split("/"))
    ]


def write(bundle: Bundle, path: Path) -> Path:
    """Writes the zip to ``path``, whole or not at all, and returns the path.

    Raises:
        SeedError: the folder cannot be written, or the disk is full. What was at ``path`` is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
            try:
                partial.write(bundle.content)
                partial.flush()
                Path(partial.name).chmod(0o644)
                Path(partial.name).replace(path)
            except BaseException:
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another place with --output"
        raise SeedError(f"{path}: cannot be written: {error.strerror}; {advice}") from None
    return path


def file_name(slug: str, bundle: Bundle) -> str:
    """The name of a bundle's zip: whose it is, and the first twelve characters of its digest."""
    return f"{slug}-{bundle.digest[:12]}.zip"
