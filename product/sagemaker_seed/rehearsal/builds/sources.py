"""Brings the source of a build into a folder: objects and folders of S3, repositories of CodeCommit. Builds nothing."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from .failure import CLIENT_ERROR, BuildFailure, not_done

Client = Callable[[str], Any]
BUILDSPEC = "buildspec.yml"
COMMIT = re.compile(r"[0-9a-f]{40}")
S3_ARN = re.compile(r"arn:[a-z-]+:s3:::(?P<place>.+)")
GIT_SECONDS = 300


def fetch(source: Mapping[str, Any], version: str, folder: Path, client: Client, environment: Mapping[str, str]) -> str:
    """Brings a source into ``folder``; returns the version that it turned out to be.

    Args:
        source: type and location, as in the API.
        version: the one that is wanted; empty for the latest.
        environment: what git needs to reach CodeCommit as the build's role.

    Raises:
        BuildFailure: it cannot be had.
    """
    kind = source["type"]
    fetcher = FETCHERS.get(kind)
    if fetcher is None:
        raise not_done(f"sources of the type {kind}")
    return fetcher(source, version, folder, client, environment)


def buildspec(text: str, folder: Path, client: Client) -> str:
    """The text of a buildspec that is given inline, as an object's ARN, or as a file's name in the source.

    Raises:
        BuildFailure: it cannot be had.
    """
    if "\n" in text or text.lstrip().startswith("{"):
        return text
    if found := S3_ARN.fullmatch(text):
        return _object(client, found["place"], "", "the buildspec").decode(errors="replace")
    path = folder / (text or BUILDSPEC)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise BuildFailure("YAML_FILE_ERROR", f"stat {path}: no such file or directory")
    return path.read_text(encoding="utf-8", errors="replace")


def _nothing(_s: Mapping[str, Any], version: str, _f: Path, _c: Client, _e: Mapping[str, str]) -> str:
    return version


def _s3(source: Mapping[str, Any], version: str, folder: Path, client: Client, _: Mapping[str, str]) -> str:
    location = str(source["location"])
    if found := S3_ARN.fullmatch(location):
        location = found["place"]
    if location.endswith("/"):
        _copy(client, location, folder)
        return version
    content = _object(client, location, version, "the source")
    if location.lower().endswith(".zip") or zipfile.is_zipfile(io.BytesIO(content)):
        _unzip(content, folder, location)
    else:
        (folder / location.rpartition("/")[2]).write_bytes(content)
    return version


def _object(client: Client, location: str, version: str, what: str) -> bytes:
    bucket, _, key = location.partition("/")
    which = {"VersionId": version} if version else {}
    try:
        content: bytes = client("s3").get_object(Bucket=bucket, Key=key, **which)["Body"].read()
    except ClientError as error:
        raise _refused(what, f"arn:aws:s3:::{location}", error) from None
    return content


def _copy(client: Client, location: str, folder: Path) -> None:
    bucket, _, prefix = location.partition("/")
    try:
        for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                name = found["Key"][len(prefix) :]
                if name and not name.endswith("/"):
                    path = _inside(folder, name, location)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(client("s3").get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    except ClientError as error:
        raise _refused("the source", location, error) from None


def _refused(what: str, where: str, error: ClientError) -> BuildFailure:
    said = error.response["Error"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    reason = f"{said['Code']}: {said.get('Message', '')} status code: {status}"
    return BuildFailure(CLIENT_ERROR, f"error while downloading key of {what} ({where}), error: {reason}")


def _unzip(content: bytes, folder: Path, location: str) -> None:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise BuildFailure(CLIENT_ERROR, f"the source {location} is not a zip archive") from None
    with archive:
        for entry in archive.infolist():
            path = _inside(folder, entry.filename.rstrip("/"), location) if entry.filename.strip("/") else folder
            mode = entry.external_attr >> 16
            if entry.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(mode):
                target = archive.read(entry).decode()
                _inside(folder, os.path.normpath(Path(entry.filename).parent / target), location)
                path.symlink_to(target)
                continue
            path.write_bytes(archive.read(entry))
            changed = time.mktime((*entry.date_time, 0, 0, -1))  # as unzip has it; place.py builds on it
            os.utime(path, (changed, changed))
            if mode & 0o777:
                path.chmod(mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)


def _inside(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BuildFailure(CLIENT_ERROR, f"{name!r} in the source {source} leads out of its folder")
    return path


def _codecommit(
    source: Mapping[str, Any], version: str, folder: Path, client: Client, environment: Mapping[str, str]
) -> str:
    name = urlsplit(str(source["location"])).path.rpartition("/")[2]
    try:
        found = client("codecommit").get_repository(repositoryName=name)["repositoryMetadata"]
    except ClientError as error:
        raise _refused("the source", str(source["location"]), error) from None
    depth = int(source.get("gitCloneDepth") or 0)
    shallow = ["--depth", str(depth)] if depth and not COMMIT.fullmatch(version) else []
    branch = [] if not version or COMMIT.fullmatch(version) else ["--branch", version.removeprefix("refs/heads/")]
    _git(["clone", "--quiet", *shallow, *branch, found["cloneUrlHttp"], str(folder)], folder.parent, environment)
    if COMMIT.fullmatch(version):
        _git(["checkout", "--quiet", version], folder, environment)
    return _git(["rev-parse", "HEAD"], folder, environment).strip()


def _git(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailure(CLIENT_ERROR, f"git cannot be run: {error}") from None
    if done.returncode:
        raise BuildFailure(CLIENT_ERROR, f"git {words[0]} failed for primary source: {done.stderr.strip()}")
    return done.stdout


FETCHERS: dict[str, Callable[[Mapping[str, Any], str, Path, Client, Mapping[str, str]], str]] = {
    "CODECOMMIT": _codecommit,
    "NO_SOURCE": _nothing,
    "S3": _s3,
}
