"""Roles, their policies in each of CloudFormation's forms, managed policies and instance profiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..provider import Context, Made
from .common import (
    Properties,
    document,
    generated,
    gone_is_fine,
    picked,
    resource,
    retag,
    tag_list,
    tags_of,
    undone,
)

GONE = "NoSuchEntity"
HOLDERS = {"Roles": "role", "Users": "user", "Groups": "group"}
VERSIONS = 5


# --- roles


def _create_role(context: Context, properties: Properties) -> Made:
    iam, name = context.client("iam"), properties.get("RoleName") or generated(context, 64)
    tags = tag_list(tags_of(context, properties))
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=document(properties["AssumeRolePolicyDocument"]),
        **picked(properties, "Path Description MaxSessionDuration PermissionsBoundary"),
        **({"Tags": tags} if tags else {}),
    )["Role"]
    made = Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})
    with undone(lambda: _delete_role(context, made, properties)):
        for arn in properties.get("ManagedPolicyArns", ()):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        for policy in properties.get("Policies", ()):
            _put_inline(iam, name, policy)
    return made


def _update_role(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    iam, name = context.client("iam"), made.physical_id
    if old.get("AssumeRolePolicyDocument") != new["AssumeRolePolicyDocument"]:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document(new["AssumeRolePolicyDocument"]))
    if any(old.get(prop) != new.get(prop) for prop in ("Description", "MaxSessionDuration")):
        iam.update_role(
            RoleName=name,
            Description=new.get("Description", ""),
            MaxSessionDuration=new.get("MaxSessionDuration", 3600),
        )
    _bound(iam, name, old.get("PermissionsBoundary"), new.get("PermissionsBoundary"))
    _attach(iam, "role", old.get("ManagedPolicyArns", ()), new.get("ManagedPolicyArns", ()), {"RoleName": name})
    before, after = ({p["PolicyName"]: p for p in side.get("Policies", ())} for side in (old, new))
    for policy in after.values():
        if before.get(policy["PolicyName"]) != policy:
            _put_inline(iam, name, policy)
    for gone in before.keys() - after.keys():
        with gone_is_fine(GONE):
            iam.delete_role_policy(RoleName=name, PolicyName=gone)
    retag(
        iam.get_role(RoleName=name)["Role"].get("Tags", []),
        tags_of(context, new),
        lambda tags: iam.tag_role(RoleName=name, Tags=tag_list(tags)),
        lambda keys: iam.untag_role(RoleName=name, TagKeys=keys),
    )
    return made


def _put_inline(iam: Any, role: str, policy: Properties) -> None:
    iam.put_role_policy(
        RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document(policy["PolicyDocument"])
    )


def _bound(iam: Any, role: str, old: str | None, new: str | None) -> None:
    if new is not None and new != old:
        iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=new)
    elif new is None and old is not None:
        iam.delete_role_permissions_boundary(RoleName=role)


def _attach(iam: Any, holder: str, old: Iterable[str], new: Iterable[str], who: dict[str, str]) -> None:
    """Managed policies of one holder: first those that come, so that it is never without."""
    for arn in [arn for arn in new if arn not in set(old)]:
        getattr(iam, f"attach_{holder}_policy")(PolicyArn=arn, **who)
    for arn in [arn for arn in old if arn not in set(new)]:
        with gone_is_fine(GONE):
            getattr(iam, f"detach_{holder}_policy")(PolicyArn=arn, **who)


def _delete_role(context: Context, made: Made, _: Properties) -> None:
    iam, name = context.client("iam"), made.physical_id
    with gone_is_fine(GONE):
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=inline)
        iam.delete_role(RoleName=name)


# --- inline policies: of one role, or of several roles, users and groups


def _put_role_policy(context: Context, properties: Properties) -> Made:
    _put_inline(context.client("iam"), properties["RoleName"], properties)
    return Made(f"{properties['PolicyName']}|{properties['RoleName']}", {})


def _update_role_policy(context: Context, _: Made, __: Properties, new: Properties) -> Made:
    return _put_role_policy(context, new)


def _delete_role_policy(context: Context, made: Made, _: Properties) -> None:
    policy, role = made.physical_id.split("|")
    with gone_is_fine(GONE):
        context.client("iam").delete_role_policy(RoleName=role, PolicyName=policy)


def _holders(properties: Properties) -> list[tuple[str, str]]:
    """(kind, name) of everybody whom a policy is given to."""
    return [(kind, name) for prop, kind in HOLDERS.items() for name in properties.get(prop, ())]


def _named(kind: str, name: str) -> dict[str, str]:
    return {f"{kind.capitalize()}Name": name}


def _create_policy(context: Context, properties: Properties) -> Made:
    made = Made(generated(context, 64), {})
    with undone(lambda: _delete_policy(context, made, properties)):
        _put_for_all(context, properties)
    return Made(made.physical_id, {"Id": made.physical_id})


def _put_for_all(context: Context, properties: Properties) -> None:
    iam, policy = context.client("iam"), document(properties["PolicyDocument"])
    for kind, name in _holders(properties):
        put = getattr(iam, f"put_{kind}_policy")
        put(PolicyName=properties["PolicyName"], PolicyDocument=policy, **_named(kind, name))


def _update_policy(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    _put_for_all(context, new)
    kept = set(_holders(new)) if old["PolicyName"] == new["PolicyName"] else set()
    _take_away(context, old["PolicyName"], [holder for holder in _holders(old) if holder not in kept])
    return made


def _delete_policy(context: Context, _: Made, properties: Properties) -> None:
    _take_away(context, properties["PolicyName"], _holders(properties))


def _take_away(context: Context, policy: str, holders: list[tuple[str, str]]) -> None:
    iam = context.client("iam")
    for kind, name in holders:
        with gone_is_fine(GONE):
            getattr(iam, f"delete_{kind}_policy")(PolicyName=policy, **_named(kind, name))


# --- managed policies


def _create_managed(context: Context, properties: Properties) -> Made:
    iam = context.client("iam")
    name = properties.get("ManagedPolicyName") or generated(context, 128)
    policy = iam.create_policy(
        PolicyName=name,
        PolicyDocument=document(properties["PolicyDocument"]),
        **picked(properties, "Path Description"),
    )["Policy"]
    made = _managed(policy)
    with undone(lambda: _delete_managed(context, made, properties)):
        _give(iam, made.physical_id, [], _holders(properties))
    return made


def _managed(policy: Properties) -> Made:
    names = "PolicyId DefaultVersionId AttachmentCount IsAttachable PermissionsBoundaryUsageCount"
    return Made(policy["Arn"], {"PolicyArn": policy["Arn"], **picked(policy, names)})


def _give(iam: Any, arn: str, old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    for kind, name in [holder for holder in new if holder not in old]:
        getattr(iam, f"attach_{kind}_policy")(PolicyArn=arn, **_named(kind, name))
    for kind, name in [holder for holder in old if holder not in new]:
        with gone_is_fine(GONE):
            getattr(iam, f"detach_{kind}_policy")(PolicyArn=arn, **_named(kind, name))


def _update_managed(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    iam, arn = context.client("iam"), made.physical_id
    if old.get("PolicyDocument") != new["PolicyDocument"]:
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= VERSIONS:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: int(v["VersionId"][1:]))
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(new["PolicyDocument"]), SetAsDefault=True)
    _give(iam, arn, _holders(old), _holders(new))
    return _managed(iam.get_policy(PolicyArn=arn)["Policy"])


def _delete_managed(context: Context, made: Made, _: Properties) -> None:
    iam, arn = context.client("iam"), made.physical_id
    with gone_is_fine(GONE):
        there = iam.list_entities_for_policy(PolicyArn=arn)
        held = [(kind, h[f"{kind.capitalize()}Name"]) for kind in HOLDERS.values() for h in _of(there, kind)]
        _give(iam, arn, held, [])
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=arn)


def _of(entities: Properties, kind: str) -> list[dict[str, str]]:
    return list(entities.get(f"Policy{kind.capitalize()}s", ()))


# --- instance profiles


def _create_profile(context: Context, properties: Properties) -> Made:
    iam, name = context.client("iam"), properties.get("InstanceProfileName") or generated(context, 128)
    profile = iam.create_instance_profile(InstanceProfileName=name, **picked(properties, "Path"))["InstanceProfile"]
    made = Made(name, {"Arn": profile["Arn"]})
    with undone(lambda: _delete_profile(context, made, properties)):
        for role in properties["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return made


def _update_profile(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    iam, name = context.client("iam"), made.physical_id
    for role in [role for role in old["Roles"] if role not in new["Roles"]]:
        with gone_is_fine(GONE):
            iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
    for role in [role for role in new["Roles"] if role not in old["Roles"]]:
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return made


def _delete_profile(context: Context, made: Made, _: Properties) -> None:
    iam, name = context.client("iam"), made.physical_id
    with gone_is_fine(GONE):
        for role in iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
        iam.delete_instance_profile(InstanceProfileName=name)


PROVIDERS = dict(
    (
        resource(
            "AWS::IAM::Role",
            _create_role,
            _update_role,
            _delete_role,
            honours="AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path "
            "PermissionsBoundary Policies RoleName Tags",
        ),
        resource(
            "AWS::IAM::RolePolicy",
            _put_role_policy,
            _update_role_policy,
            _delete_role_policy,
            honours="PolicyDocument PolicyName RoleName",
        ),
        resource(
            "AWS::IAM::Policy",
            _create_policy,
            _update_policy,
            _delete_policy,
            honours="Groups PolicyDocument PolicyName Roles Users",
        ),
        resource(
            "AWS::IAM::ManagedPolicy",
            _create_managed,
            _update_managed,
            _delete_managed,
            honours="Description Groups ManagedPolicyName Path PolicyDocument Roles Users",
        ),
        resource(
            "AWS::IAM::InstanceProfile",
            _create_profile,
            _update_profile,
            _delete_profile,
            honours="InstanceProfileName Path Roles",
        ),
    )
)
