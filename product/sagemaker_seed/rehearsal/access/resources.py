"""ARNs that a request's parameters alone do not give: by what moto holds, or by rules of the service's own names.

``LOOKUPS`` has the functions that the tables ask for by name: of a path in the request's parameters, the parameters,
and where the request is made, to the ARNs. Where there is no such thing, the ARN is made up of what was asked for, so
that a caller who may not ask hears that, and not whether it exists.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.iam.models import iam_backends

from .rules import values

Where = Mapping[str, str]
Lookup = Callable[[str, Mapping[str, Any], Where], list[str]]

EC2_KINDS = {
    "rtb": "route-table",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
KEY_ID_LENGTH = 36  # moto's ciphertext begins with the id of its key


def _iam(where: Where, kind: str, name: str) -> str:
    """A role's or a user's ARN, which has a path that its name does not tell."""
    backend = iam_backends[where["account"]][where["partition"]]
    holders: list[Any] = list((backend.roles if kind == "role" else backend.users).values())
    found = next((holder.arn for holder in holders if holder.name == name), None)
    return str(found or f"arn:{where['partition']}:iam::{where['account']}:{kind}/{name}")


def _existing(kind: str) -> Lookup:
    return lambda path, given, where: [_iam(where, kind, name) for name in values(given, path) or ["*"]]


def _new(kind: str) -> Lookup:
    def named(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
        within = given.get("Path") or "/"
        return [f"arn:{where['partition']}:iam::{where['account']}:{kind}{within}{n}" for n in values(given, path)]

    return named


def key_arn(name: str, where: Where) -> str:
    """The ARN of the KMS key that an id, an ARN, an alias or an alias's ARN names."""
    from moto.kms.models import kms_backends

    partition, region, account = where["partition"], where["region"], where["account"]
    if name.startswith("arn:"):
        _, partition, _, region, account, name = name.split(":", 5)
        name = name.removeprefix("key/")
    if name.startswith("alias/"):
        name = kms_backends[account][region].get_key_id_from_alias(name) or name
    form = "" if name.startswith("alias/") else "key/"
    return f"arn:{partition}:kms:{region}:{account}:{form}{name}"


def _keys(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    return [key_arn(name, where) for name in values(given, path) or ["*"]]


def _key_of_ciphertext(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    if given.get("KeyId"):
        return _keys("KeyId", given, where)
    blob = given.get(path, b"")
    try:
        content = base64.b64decode(blob) if isinstance(blob, str) else bytes(blob)
        return [key_arn(content[:KEY_ID_LENGTH].decode(), where)]
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return [key_arn("*", where)]


def _project_of_build(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    names = {build.rpartition("build/")[2].partition(":")[0] for build in values(given, path)}
    start = f"arn:{where['partition']}:codebuild:{where['region']}:{where['account']}:project/"
    return [start + name for name in sorted(names)] or [start + "*"]


def _group_of_report(path: str, given: Mapping[str, Any], _where: Where) -> list[str]:
    groups = {report.replace(":report/", ":report-group/").rpartition(":")[0] for report in values(given, path)}
    return sorted(groups) or ["*"]


def _rule(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    bus = str(given.get("EventBusName") or "default").rpartition("/")[2]
    within = "" if bus == "default" else f"{bus}/"
    return [
        f"arn:{where['partition']}:events:{where['region']}:{where['account']}:rule/{within}{name}"
        for name in values(given, path)
    ] or ["*"]


def _bus(_path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    names = {str(entry.get("EventBusName") or "default") for entry in given.get("Entries", [])}
    start = f"arn:{where['partition']}:events:{where['region']}:{where['account']}:event-bus/"
    return sorted(name if name.startswith("arn:") else start + name for name in names)


def _packages(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """A model package is named by its ARN, or by the name that one without a group has."""
    start = f"arn:{where['partition']}:sagemaker:{where['region']}:{where['account']}:model-package/"
    return [name if name.startswith("arn:") else start + name for name in values(given, path) or ["*"]]


def _new_package(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """A package of a group gets its version from SageMaker; a listing is of packages, of one group or of any."""
    groups = values(given, path)
    if not groups:
        return _packages("ModelPackageName", given, where)
    start = f"arn:{where['partition']}:sagemaker:{where['region']}:{where['account']}:model-package/"
    named = [
        g.replace(":model-package-group/", ":model-package/") if g.startswith("arn:") else start + g for g in groups
    ]
    return [f"{name}/*" for name in named]


def _foreign_packages(_path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    named = values(given, "PrimaryContainer.ModelPackageName") + values(given, "Containers.ModelPackageName")
    return [name for name in named if name.startswith("arn:") and name.split(":")[4] != where["account"]]


def _key_of_topic(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """The keys that topics are encrypted with, but for the one that AWS makes for SNS, which lets everybody in."""
    from moto.sns.models import sns_backends

    named = [(arn, arn.split(":")) for arn in values(given, path) if arn.count(":") == 5]
    topics = [(parts, sns_backends[parts[4]][parts[3]].topics.get(arn)) for arn, parts in named]
    return [
        key_arn(topic.kms_master_key_id, {**where, "region": parts[3], "account": parts[4]})
        for parts, topic in topics
        if topic is not None and topic.kms_master_key_id and not topic.kms_master_key_id.endswith("alias/aws/sns")
    ]


def _topic(path: str, given: Mapping[str, Any], _where: Where) -> list[str]:
    return [subscription.rpartition(":")[0] for subscription in values(given, path)] or ["*"]


def _queue(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    names = [url.rstrip("/").split("/")[-2:] for url in values(given, path)]
    return [f"arn:{where['partition']}:sqs:{where['region']}:{':'.join(name)}" for name in names] or ["*"]


def _part_of_network(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """What an id of EC2 is the id of, which its beginning says."""
    start = f"arn:{where['partition']}:ec2:{where['region']}:{where['account']}:"
    return [f"{start}{EC2_KINDS.get(name.partition('-')[0], '*')}/{name}" for name in values(given, path)] or ["*"]


def _parameter(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    start = f"arn:{where['partition']}:ssm:{where['region']}:{where['account']}:parameter/"
    names = [name.partition(":")[0] if not name.startswith("arn:") else name for name in values(given, path)]
    return [name if name.startswith("arn:") else start + name.lstrip("/") for name in names] or [start + "*"]


def _secret(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    from moto.secretsmanager.models import secretsmanager_backends

    secrets = secretsmanager_backends[where["account"]][where["region"]].secrets.values()
    known = {secret.name: str(secret.arn) for secret in list(secrets)}
    start = f"arn:{where['partition']}:secretsmanager:{where['region']}:{where['account']}:secret:"
    return [name if name.startswith("arn:") else known.get(name, start + name) for name in values(given, path)] or ["*"]


def _member(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """A root, a unit, an account or a policy of the caller's organization; each has the kind in its id."""
    from moto.organizations.models import organizations_backends

    management, partition = organizations_backends.master_accounts.get(
        where["account"], (where["account"], where["partition"])
    )
    organization = organizations_backends[management][partition].org
    inside = f"arn:{partition}:organizations::{management}:{{kind}}/{organization.id if organization else '*'}/"
    kinds = {"r-": "root", "ou-": "ou", "p-": "policy"}
    kind_of = {
        name: next((k for start, k in kinds.items() if name.startswith(start)), "account")
        for name in values(given, path)
    }
    return [inside.format(kind=kind) + name for name, kind in kind_of.items()] or ["*"]


def _role_in(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
    """The role in a launch constraint, which is JSON in a string; by its ARN, or by the name it has in each account."""
    try:
        content = json.loads(given.get(path) or "{}")
    except ValueError:
        return []
    named = values(content, "RoleArn")
    return named + [_iam(where, "role", name) for name in values(content, "LocalRoleName")]


def _stack_sets(kind: str) -> Lookup:
    """What a delegated administrator calls as such belongs to the management account."""

    def named(path: str, given: Mapping[str, Any], where: Where) -> list[str]:
        from moto.organizations.models import organizations_backends

        account = where["account"]
        if given.get("CallAs") == "DELEGATED_ADMIN":
            account, _ = organizations_backends.master_accounts.get(account, (account, where["partition"]))
        start = f"arn:{where['partition']}:cloudformation:{where['region']}:{account}:{kind}/"
        return [f"{start}{name}:*" for name in values(given, path)] or ["*"]

    return named


LOOKUPS: Mapping[str, Lookup] = {
    "bus": _bus,
    "foreign-packages": _foreign_packages,
    "group-of-report": _group_of_report,
    "key": _keys,
    "key-of-ciphertext": _key_of_ciphertext,
    "key-of-topic": _key_of_topic,
    "member": _member,
    "new-package": _new_package,
    "new-policy": _new("policy"),
    "new-role": _new("role"),
    "new-user": _new("user"),
    "package": _packages,
    "parameter": _parameter,
    "part-of-network": _part_of_network,
    "project-of-build": _project_of_build,
    "queue": _queue,
    "role": _existing("role"),
    "role-in": _role_in,
    "rule": _rule,
    "secret": _secret,
    "stackset": _stack_sets("stackset"),
    "stackset-target": _stack_sets("stackset-target"),
    "topic": _topic,
    "user": _existing("user"),
}
