"""How CodeCommit answers a list in pages. Knows nothing of what is listed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from .codecommit_store import refusal

PAGE_SIZE = 100


def page(
    items: Sequence[Any], key: str, token: str | None, size: int = PAGE_SIZE, *, next_key: str = "nextToken"
) -> dict[str, Any]:
    """The part of ``items`` that a continuation token asks for, and the token of the next part if there is one.

    Raises:
        AwsError: ``InvalidContinuationTokenException``.
    """
    start = 0
    if token:
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise refusal("InvalidContinuationTokenException") from None
    answer: dict[str, Any] = {key: list(items[start : start + size])}
    if start + size < len(items):
        answer[next_key] = base64.b64encode(str(start + size).encode()).decode()
    return answer
