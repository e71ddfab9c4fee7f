"""What a role may not do but must: one finding for a role and a moment, with the statement to add."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..policies import Value
from .findings import When
from .resources import MADE_UP
from .roles import Answer, Role, may, trusts_service
from .subject import KEY_ID, LONGEST_ID, LONGEST_NAME, Subject

SHOWN = 6
# Of what a request carries: what bounds a statement that allows it.
BOUNDS = {"iam:passedtoservice": "iam:PassedToService", "kms:viaservice": "kms:ViaService"}


@dataclass(frozen=True)
class Act:
    """One thing that a role has to do; an empty ``resource`` stands for anything.

    Attributes:
        why: on behalf of what, in a few words.
    """

    action: str
    resource: str
    why: str
    context: Mapping[str, Value] = field(default_factory=dict)


def general(arn: str) -> str:
    """An ARN of the longest names as one for every project."""
    short = arn.replace(LONGEST_NAME, "*").replace(LONGEST_ID, "*").replace(KEY_ID, "*").replace(MADE_UP, "*")
    if ":role/" not in short:  # what stands for any object, stack or group
        short = re.sub(r"([/:-])x$", r"\1*", short)
    short = re.sub(r"(:model-package/[^/]+)/1$", r"\1/*", short)  # any version
    return re.sub(r"\*(-\*)+", "*", short) or "*"


def covers(subject: Subject, role: Role, acts: Iterable[Act], when: When, what: str) -> None:
    """Whether ``role`` may do all of this; what it may not is one finding.

    Args:
        what: who the role is, such as ``the launch role``.
    """
    lacking: list[Act] = []
    for act in acts:
        answer = may(role, act.action, act.resource, act.context, subject.home.region)
        if answer is Answer.NO:
            lacking.append(act)
        elif answer is Answer.UNSURE:
            subject.report.note(f"{role.name}: whether it may {act.action} depends on a condition that AWS alone knows")
    if lacking:
        actions = sorted({act.action for act in lacking})
        more = f" and {len(actions) - SHOWN} more" if len(actions) > SHOWN else ""
        subject.report.add(
            f"{what} lacks {', '.join(actions[:SHOWN])}{more}",
            role.arn,
            f"needed for {', '.join(sorted({act.why for act in lacking}))}",
            when,
            f"add to the policies of {role.name}: {_shown(statements(lacking))}",
        )


def statements(acts: Iterable[Act]) -> list[dict[str, object]]:
    """Policy statements that allow these acts and little else: one for each service, and for what bounds it.

    A role is passed on to the service that it is meant for alone, and a key used by way of the service that uses it.
    """
    grouped: dict[tuple[str, ...], list[Act]] = {}
    for act in acts:
        alone = act.action if act.action == "iam:PassRole" else act.action.partition(":")[0]
        bounds = [f"{key}={act.context[name]}" for name, key in BOUNDS.items() if name in act.context]
        grouped.setdefault((alone, str(general(act.resource) == "*"), *bounds), []).append(act)
    made = []
    for (_, _, *bounds), group in sorted(grouped.items(), key=lambda item: item[0]):
        one: dict[str, object] = {
            "Effect": "Allow",
            "Action": sorted({act.action for act in group}),
            "Resource": sorted({general(act.resource) for act in group}),
        }
        if bounds:
            one["Condition"] = {"StringEquals": dict(bound.split("=", 1) for bound in bounds)}
        made.append(one)
    return made


def _shown(made: list[dict[str, object]]) -> str:
    return json.dumps(made[0] if len(made) == 1 else made)


def there(subject: Subject, arn: str, what: str, when: When, fix: str) -> Role | None:
    """The role of this ARN; a finding if there is none where it can be looked for."""
    account = subject.account_of(arn)
    if account is None:
        return None
    role = subject.role(arn)
    if role is None and not any(note.startswith(arn) for note in subject.report.notes):
        subject.report.add(f"{what} does not exist", arn, f"there is no such role in {account.id}", when, fix)
    return role


def trusts(subject: Subject, role: Role, service: str, what: str, when: When) -> None:
    """Whether a service may assume the role; a finding if not."""
    if trusts_service(role, service) is Answer.NO:
        wanted = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        subject.report.add(
            f"{what} does not trust {service}",
            role.arn,
            f"{service} acts with this role, and its trust policy does not let it",
            when,
            f"add to the trust policy of {role.name}: {json.dumps(wanted)}",
        )
