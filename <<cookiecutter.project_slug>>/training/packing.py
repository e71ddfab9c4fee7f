"""Packs the code of the jobs and the data under their digests, uploads what is missing; starts nothing.

The same content has the same address on every machine, so that a step whose code and data did not change is
taken from the cache.
"""

from __future__ import annotations

import ast
import csv
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import UsageError
from training.choices import Choices
from training.project import Project

ENTRY_POINTS = ("preprocess.py", "train.py", "evaluate.py", "inference.py", "monitor.py")
SOURCEDIR = "sourcedir.tar.gz"
_SAMPLE_ROWS = 5
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Package:
    """Files that go to one prefix of the bucket, which ends with their digest."""

    prefix: str
    """The key below which they lie, with a slash at its end."""
    files: Mapping[str, bytes | Path]
    bucket: str

    @property
    def uri(self) -> str:
        """Return the prefix as an S3 URI, with a slash at its end."""
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class Packages:
    """All that a definition points at."""

    code: Package
    data: Package
    sample: Package

    def __iter__(self) -> Iterator[Package]:
        """Iterate over all three."""
        return iter((self.code, self.data, self.sample))


def pack(project: Project, choices: Choices, folder: Path) -> Packages:
    """Return the packages of the code in `folder` and of the data; reads files only.

    Raises UsageError when a script or the data is missing or not usable.
    """
    code = _read_code(folder)
    data = _find_data(choices.data)
    sample = {"sample.csv": _sample(next(iter(data.values())), choices)}
    return Packages(
        # The archive is not part of the digest: compressors differ in their bytes, what is in it does not.
        code=_package(project, "code", code, {**code, SOURCEDIR: archive(code)}),
        data=_package(project, "data", data, data),
        sample=_package(project, "sample", sample, {"payload.tar.gz": archive(sample)}),
    )


def _package(
    project: Project, kind: str, content: Mapping[str, bytes | Path], files: Mapping[str, bytes | Path]
) -> Package:
    return Package(project.key(kind, digest(content)) + "/", files, project.bucket)


def code_files(folder: Path, entry_points: Iterable[str] = ENTRY_POINTS) -> list[str]:
    """Return the names of the scripts of the jobs and of all modules beside them that they import.

    What makes and starts the pipeline is not among them: a change there must not train anything again.
    """
    wanted = list(entry_points)
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        wanted += [
            f"{module}.py" for module in _imports(folder / name) if (folder / f"{module}.py").is_file()
        ]
    return sorted(found)


def _imports(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        raise UsageError(f"training/{path.name} cannot be read: {error.strerror}") from error
    except SyntaxError as error:
        raise UsageError(f"training/{path.name}, line {error.lineno}: {error.msg}") from error
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _read_code(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in code_files(folder)}


def _find_data(data: Path) -> dict[str, Path]:
    """Return the CSV files of the data by name: one file, or those of a folder."""
    files = {data.name: data} if data.is_file() else {path.name: path for path in sorted(data.glob("*.csv"))}
    if not files:
        raise UsageError(f"{data.name}: there is no CSV file in that folder")
    return files


def digest(content: Mapping[str, bytes | Path]) -> str:
    """Return the SHA-256 of names and contents; neither order nor time nor place of the files counts."""
    total = hashlib.sha256()
    for name in sorted(content):
        inner = hashlib.sha256()
        for block in _blocks(content[name]):
            inner.update(block)
        total.update(f"{inner.hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz of the files, the same for the same files: no times, no owners, in order of name."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(files[name]), 0o644, 0
            tar.addfile(entry, io.BytesIO(files[name]))
    return packed.getvalue()


def _sample(path: Path, choices: Choices) -> bytes:
    """Return the first rows as a client of the endpoint would send them: features only, no header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream)
            header = [name.strip() for name in next(rows, [])]
            kept = [i for i, name in enumerate(header) if name not in (choices.target, *choices.drop)]
            lines = [[row[i] for i in kept] for row, _ in zip(rows, range(_SAMPLE_ROWS), strict=False)]
    except (UnicodeDecodeError, csv.Error, IndexError) as error:
        raise UsageError(f"{path.name} cannot be read as CSV with a header: {error}") from error
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(lines)
    return written.getvalue().encode()


def upload(client: Any, package: Package, key_arn: str) -> list[str]:
    """Put the files that are not there yet; what is there under a digest is never written again.

    Returns the keys that were written. `key_arn` may be empty: then the bucket's own encryption holds.
    """
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=package.bucket, Prefix=package.prefix)
    there = {item["Key"] for page in pages for item in page.get("Contents", [])}
    protected = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_arn} if key_arn else {}
    written = []
    for name, content in sorted(package.files.items()):
        key = package.prefix + name
        if key in there:
            continue
        if isinstance(content, bytes):
            client.put_object(Bucket=package.bucket, Key=key, Body=content, **protected)
        else:
            client.upload_file(str(content), package.bucket, key, ExtraArgs=protected)
        written.append(key)
    return written
