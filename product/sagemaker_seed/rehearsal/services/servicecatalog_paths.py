"""Which ways a caller has to launch a product, and listings in pages. Launches nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moto.iam.models import iam_backends

from ...policies import like
from ..wire import Caller, Request
from .servicecatalog_store import Portfolio, Product, Store, invalid

PAGE_SIZE = 20
SESSION = re.compile(r"arn:(?P<partition>[a-z-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")


def portfolios_for(store: Store, product: Product, request: Request) -> list[Portfolio]:
    """The portfolios that have the product, and the caller as a principal."""
    return [
        portfolio
        for portfolio in store.portfolios_of(product.id)
        if any(_stands_for(arn, kind, request.caller) for arn, kind in portfolio.principals)
    ]


def _stands_for(arn: str, kind: str, caller: Caller) -> bool:
    """Whether a portfolio's principal is the caller. An account's own credentials stand for all of its principals."""
    mine = identity(caller)
    if kind == "IAM_PATTERN":
        return caller.is_account or like(arn, mine.replace(f"::{caller.account}:", ":::", 1))
    return f"::{caller.account}:" in arn if caller.is_account else arn == mine


def identity(caller: Caller) -> str:
    """The ARN of the user or role that a caller is, whichever session of it they are."""
    session = SESSION.fullmatch(caller.arn)
    if session is None:
        return caller.arn
    roles = iam_backends[session["account"]][session["partition"]].get_roles()
    return next((str(role.arn) for role in roles if role.name == session["role"]), caller.arn)


def page(items: Sequence[Any], key: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``items`` that the request's page token and page size ask for."""
    start = 0
    if token := asked.get("PageToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise invalid(f"Page token {token!r} is not one that was given out.") from None
    end = start + (asked.get("PageSize") or PAGE_SIZE)
    answer: dict[str, Any] = {key: items[start:end]}
    if end < len(items):
        answer["NextPageToken"] = base64.b64encode(str(end).encode()).decode()
    return answer


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as answers give them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
