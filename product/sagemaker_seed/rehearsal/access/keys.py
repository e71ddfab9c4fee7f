"""What the policy of a KMS key and its grants say. Finds the key; the caller's own policies are for others to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...policies import NOTHING, Asked, Value, Verdict, evaluate, parsed

ENCRYPTION_CONTEXT = "kms:encryptioncontext:"
GRANT = "a grant"  # among the statements of a key's policy


def found(arn: str) -> Any:
    """moto's key of this ARN; None if there is none."""
    from moto.kms.models import kms_backends

    _, _, _, region, account, name = arn.split(":", 5)
    return kms_backends[account][region].keys.get(name.removeprefix("key/"))


def context(key: Any, account: str, encryption: Mapping[str, str]) -> dict[str, Value]:
    """The condition keys that every use of a key has: whose it is, its aliases, and what it is used for."""
    return {
        "kms:calleraccount": account,
        "kms:resourcealiases": tuple(key.aliases) if key is not None else (),
        "kms:encryptioncontextkeys": tuple(encryption),
        **{(ENCRYPTION_CONTEXT + name).lower(): value for name, value in encryption.items()},
    }


def verdict(key: Any, asked: Asked) -> Verdict:
    """What the key's policy says; a grant counts like a statement of it that names the caller."""
    if key is None:
        return NOTHING
    said = evaluate(parsed(key.policy), replace(asked, resource=""))
    operation = asked.action.partition(":")[2]
    granted = any(
        grant.grantee_principal in {asked.arn, asked.session}
        and operation in grant.operations
        and not grant.constraints
        for grant in list(key.grants.values())
    )
    if not granted:
        return said
    statements, directly = (*said.statements, GRANT), (*said.directly, GRANT)
    return replace(said, allowed=True, direct=True, statements=statements, directly=directly)
