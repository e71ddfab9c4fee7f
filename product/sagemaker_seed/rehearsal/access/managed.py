"""AWS's own managed policies, as moto carries them: read when the first is asked for, brought into an account by name.

moto can load all of them into every account, which costs half a second and 30 MB for each; a rehearsal needs a few.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from moto.iam.models import AWSManagedPolicy, iam_backends

AWS_POLICY = re.compile(r"arn:(?P<partition>[a-z-]+):iam::aws:policy(?P<path>/(?:.+/)?)(?P<name>[^/]+)")


@cache
def _all() -> dict[str, Any]:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    content: dict[str, Any] = json.loads(aws_managed_policies_data)
    return content


def _found(arn: str) -> tuple[str, dict[str, Any]] | None:
    named = AWS_POLICY.fullmatch(arn)
    data = _all().get(named["name"]) if named else None
    return (named["name"], data) if named and data and data.get("Path", "/") == named["path"] else None


def document_of(arn: str) -> str | None:
    """The text of the policy of this ARN; None if AWS has none such."""
    found = _found(arn)
    return None if found is None else json.dumps(found[1]["Document"])


def bring(arn: str, account: str, partition: str) -> None:
    """Makes an AWS managed policy known in an account, so that moto attaches it; any other ARN is left alone."""
    backend = iam_backends[account][partition]
    found = None if arn in backend.managed_policies else _found(arn)
    if found is not None:
        backend.managed_policies[arn] = AWSManagedPolicy.from_data(found[0], account, partition, found[1])
