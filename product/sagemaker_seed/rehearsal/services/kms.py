"""KMS as moto has it, except that a key's policy is read before it is taken: its form, and whom it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from ..access import principals
from ..wire import AwsError, Request
from .service import Service

WITH_POLICY = {"CreateKey", "PutKeyPolicy"}


def service() -> Service:
    """KMS; it keeps no state of its own."""
    return Service(name="kms", operations={}, guard=_guard)


@contextmanager
def _guard(request: Request) -> Iterator[None]:
    text = request.parameters().get("Policy") if request.operation in WITH_POLICY else None
    if text:
        _check(str(text))
    yield


def _check(text: str) -> None:
    try:
        policy = json.loads(text)
    except ValueError:
        raise _malformed("The new key policy is not valid JSON.") from None
    if not isinstance(policy, dict) or not policy.get("Statement"):
        raise _malformed("The new key policy has no statement.")
    if principals.invalid(policy):
        raise _malformed("Policy contains a statement with one or more invalid principals.")


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocumentException", message)
