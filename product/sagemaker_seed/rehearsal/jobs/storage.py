"""S3 as a job sees it: prefixes into folders, folders into prefixes, over HTTP like everybody else. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .failure import SERVICE_FAULT, StepFailure, client_error

if TYPE_CHECKING:
    from ..ground import Actor, Ground

URI = re.compile(r"s3://(?P<bucket>[^/]+)(?:/(?P<key>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Shard:
    """One of ``of`` hosts among which the objects under a prefix are dealt."""

    number: int
    of: int


class Aws:
    """The embedded AWS as jobs see it that run as ``actor``: clients (safe to share between threads), environment."""

    def __init__(self, ground: Ground, actor: Actor, region: str) -> None:
        self.region = region
        self._ground, self._actor = ground, actor

    def client(self, service: str) -> Any:
        """A client that acts as the actor."""
        return self._ground.client(service, self._actor, self.region)

    def permit(self, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        """Refuses what the actor may not do, where it is done without a call.

        Raises:
            AwsError: policies do not allow it.
        """
        self._ground.permit(self._actor, self.region, service, operation, parameters)

    def environment(self) -> dict[str, str]:
        """What a job's process needs to reach it as the actor."""
        return self._ground.environment(self._actor, self.region)


def download(aws: Aws, uri: str, folder: Path, shard: Shard | None = None) -> list[Path]:
    """Brings every object under the prefix ``uri`` into ``folder``, under its name below the prefix; returns the files.

    With a ``shard``, only every ``of``-th object, in the order of the keys.

    Raises:
        StepFailure: there is no such bucket or object, access is denied, or a key would lead out of the folder.
    """
    bucket, prefix = split(uri)
    folder.mkdir(parents=True, exist_ok=True)
    with _explained(f"Data download failed for {uri}"):
        keys = [split(found)[1] for found, _ in objects(aws, uri)]
        mine = keys if shard is None else keys[shard.number :: shard.of]
        files = []
        for key in mine:
            path = inside(folder, _name_below(prefix, key), uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            aws.client("s3").download_file(bucket, key, str(path))
            files.append(path)
    return files


def objects(aws: Aws, uri: str) -> list[tuple[str, str]]:
    """Every object under the prefix ``uri``: its own URI, and its name below the prefix; in the order of the keys.

    Raises:
        StepFailure: there is no such bucket or object, or access is denied.
    """
    bucket, prefix = split(uri)
    with _explained(f"Data download failed for {uri}"):
        keys = sorted(key for key in _keys(aws, bucket, prefix) if not key.endswith("/"))
    if not keys:
        raise client_error(f'No S3 objects found under S3 URL "{uri}". Please ensure that objects exist under it.')
    return [(f"s3://{bucket}/{key}", _name_below(prefix, key)) for key in keys]


def upload(aws: Aws, folder: Path, uri: str) -> int:
    """Puts every file under ``folder`` below the prefix ``uri``; returns how many.

    Raises:
        StepFailure: the bucket is not there or closed, or a symbolic link leads out of the folder.
    """
    root = folder.resolve()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if not path.resolve().is_relative_to(root):
            raise client_error(f"{path.relative_to(folder)} is a link that leads out of the output folder")
        upload_file(aws, path, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}")
    return len(files)


def upload_file(aws: Aws, path: Path, uri: str) -> None:
    """Puts one file where ``uri`` says.

    Raises:
        StepFailure: the bucket is not there or closed.
    """
    bucket, key = split(uri)
    with _explained(f"Upload to {uri} failed"):
        aws.client("s3").upload_file(str(path), bucket, key)


def read(aws: Aws, uri: str) -> str:
    """The text of an object.

    Raises:
        StepFailure: it cannot be had, or is not UTF-8.
    """
    try:
        return read_bytes(aws, uri).decode()
    except UnicodeDecodeError:
        raise client_error(f"{uri} is not text") from None


def read_bytes(aws: Aws, uri: str) -> bytes:
    """The content of an object.

    Raises:
        StepFailure: it cannot be had.
    """
    bucket, key = split(uri)
    with _explained(f"{uri} cannot be read"):
        content: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def require(aws: Aws, uri: str) -> None:
    """Refuses unless there is an object at ``uri``.

    Raises:
        StepFailure: there is none, or access is denied.
    """
    bucket, key = split(uri)
    with _explained(f"Could not find model data at {uri}"):
        aws.client("s3").head_object(Bucket=bucket, Key=key)


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI.

    Raises:
        StepFailure: it is none.
    """
    found = URI.fullmatch(uri)
    if found is None:
        raise client_error(f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return found["bucket"], found["key"] or ""


def inside(folder: Path, name: str, source: str) -> Path:
    """The path of ``name`` in ``folder``.

    Raises:
        StepFailure: it would be elsewhere.
    """
    parts = name.split("/")
    if name.startswith("/") or "\0" in name or "\\" in name or any(part in {"", ".", ".."} for part in parts):
        raise client_error(f"{name!r} from {source} is not a safe name for a file")
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise client_error(f"{name!r} from {source} leads out of its folder")
    return path


def _keys(aws: Aws, bucket: str, prefix: str) -> Iterator[str]:
    for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            yield found["Key"]


def _name_below(prefix: str, key: str) -> str:
    below = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    if key.startswith(below):
        return key[len(below) :]
    return key[len(prefix.rpartition("/")[0]) :].removeprefix("/")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turns what S3 answers into the failure of a step."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _failure(what, error) from error
    except OSError as error:
        raise client_error(f"{what}: {error.strerror} ({error.filename})") from error
    except Exception as error:
        if isinstance(error, StepFailure) or "S3UploadFailed" not in type(error).__name__:
            raise
        raise client_error(f"{what}: {error}") from error


def _failure(what: str, error: Exception) -> StepFailure:
    response = getattr(error, "response", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    said = response.get("Error", {})
    reason = f"ClientError: {what}: {said.get('Code', type(error).__name__)}: {said.get('Message', error)}"
    return StepFailure(reason, SERVICE_FAULT if status >= 500 else None)
