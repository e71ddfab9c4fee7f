"""Finds the files that a build leaves, and puts them where its artifacts go. Knows nothing of phases."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .buildspec import Output
from .failure import CLIENT_ERROR, BuildFailure

VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))")


@dataclass(frozen=True)
class Found:
    """A file of an artifact: where it is, and its name in the artifact."""

    path: Path
    name: str


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with ``$NAME`` and ``${NAME}`` as a shell expands them: what is not set is empty."""
    return VARIABLE.sub(lambda found: variables.get(found["braced"] or found["plain"], ""), text)


def find(output: Output, source: Path, variables: Mapping[str, str], say: Callable[[str], None]) -> list[Found]:
    """The files of an output, in order, each once.

    Raises:
        BuildFailure: there is no such folder, nothing matches, or two files have the same name.
    """
    base = source / expanded(output.base, variables)
    say(f"Expanding base directory path: {output.base or '.'}")
    if not base.is_dir():
        raise BuildFailure(CLIENT_ERROR, f"no matching base directory path found for {output.base}")
    files = sorted(_files(base))
    left_out = [_pattern(expanded(pattern, variables)) for pattern in output.excluded]
    names: dict[str, Path] = {}
    for pattern in output.files:
        wanted = expanded(pattern, variables)
        # An absolute path is one below the base folder all the same.
        relative = os.path.relpath(wanted, base) if Path(wanted).is_absolute() else wanted
        matching = _pattern(relative)
        matched = [f for f in files if matching.fullmatch(f) and not any(x.fullmatch(f) for x in left_out)]
        say(f"Expanding {wanted}: found {len(matched)} file(s)")
        for name in matched:
            _add(names, name.rpartition("/")[2] if output.discard_paths else name, base / name)
    if not names:
        raise BuildFailure(CLIENT_ERROR, "no matching artifact paths found")
    return [Found(path, name) for name, path in names.items()]


def _add(names: dict[str, Path], name: str, path: Path) -> None:
    if names.setdefault(name, path) != path:
        raise BuildFailure(CLIENT_ERROR, f"discard-paths leaves two files with the name {name}")


def _files(base: Path) -> Iterable[str]:
    for folder, _, names in os.walk(base):
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                yield path.relative_to(base).as_posix()


def _pattern(pattern: str) -> re.Pattern[str]:
    """A glob as an expression: ``*`` stays inside a folder, ``**`` does not."""
    text, position = "", 0
    pattern = pattern.removeprefix("./")
    while position < len(pattern):
        if pattern.startswith("**/", position):
            text, position = text + "(?:.*/)?", position + 3
        elif pattern.startswith("**", position):
            text, position = text + ".*", position + 2
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(pattern[position], re.escape(pattern[position]))
            position += 1
    return re.compile(text)


def upload(
    files: Sequence[Found], target: Mapping[str, Any], name: str, *, build: str, key: str, s3: Any
) -> dict[str, Any]:
    """Puts files where ``target``, artifacts as in the API, says; returns them as a build's description shows them.

    Raises:
        BuildFailure: S3 refuses.
    """
    bucket = str(target["location"]).removeprefix("arn:aws:s3:::")
    parts = [str(target.get("path") or "").strip("/")]
    parts.append(build.partition(":")[2] if target.get("namespaceType") == "BUILD_ID" else "")
    parts.append(name.strip("/"))
    place = "/".join(part for part in parts if part)
    described: dict[str, Any] = {"location": f"arn:aws:s3:::{bucket}/{place}"}
    encryption = _encryption(target, key)
    try:
        if target.get("packaging") == "ZIP":
            content = _zipped(files)
            s3.put_object(Bucket=bucket, Key=place, Body=content, **encryption)
            described["sha256sum"] = hashlib.sha256(content).hexdigest()
            described["md5sum"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        else:
            for found in files:
                where = f"{place}/{found.name}" if place else found.name
                s3.put_object(Bucket=bucket, Key=where, Body=found.path.read_bytes(), **encryption)
    except ClientError as error:
        said = error.response["Error"]
        raise BuildFailure(
            CLIENT_ERROR, f"Error in UPLOAD_ARTIFACTS phase: {said['Code']}: {said.get('Message', '')}"
        ) from None
    return described


def _encryption(target: Mapping[str, Any], key: str) -> dict[str, str]:
    if target.get("encryptionDisabled"):
        return {}
    return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": key} if key else {})}


def _zipped(files: Sequence[Found]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for found in files:
            archive.write(found.path, found.name)
    return written.getvalue()
