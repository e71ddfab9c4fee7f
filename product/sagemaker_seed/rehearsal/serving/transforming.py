"""Cuts objects into requests to a model and puts its answers together, as a transform job does. Touches no S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MEGABYTE = 1024 * 1024
DEFAULT_MEGABYTES = 6


class TooLarge(Exception):
    """A record, or an object that is not split, is larger than a request may be."""


def payloads(content: bytes, job: Mapping[str, Any]) -> Iterator[bytes]:
    """The requests that one object becomes.

    Args:
        job: ``SplitType`` of its input, ``BatchStrategy`` and ``MaxPayloadInMB``, where 0 is no limit.

    Raises:
        TooLarge: a record does not fit.
    """
    limit = job.get("MaxPayloadInMB", DEFAULT_MEGABYTES) * MEGABYTE
    if (job["TransformInput"].get("SplitType") or "None") == "None":
        yield _fitting(content, limit)
        return
    records = [line for line in content.splitlines(keepends=True) if line.strip()]
    if (job.get("BatchStrategy") or "MultiRecord") == "SingleRecord":
        yield from (_fitting(record, limit) for record in records)
        return
    yield from _gathered(records, limit)


def _gathered(records: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """As many whole records in each request as fit."""
    gathered: list[bytes] = []
    size = 0
    for record in records:
        if gathered and limit and size + len(record) > limit:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(_fitting(record, limit))
        size += len(record)
    if gathered:
        yield b"".join(gathered)


def _fitting(payload: bytes, limit: int) -> bytes:
    if limit and len(payload) > limit:
        raise TooLarge(f"a payload of {len(payload)} bytes is larger than MaxPayloadInMB ({limit // MEGABYTE}) allows")
    return payload


def assembled(answers: Iterable[bytes], with_: str | None) -> bytes:
    """The object that the answers of one object become; with ``Line`` a line end follows each."""
    end = b"\n" if with_ == "Line" else b""
    return b"".join(answer + end for answer in answers)
