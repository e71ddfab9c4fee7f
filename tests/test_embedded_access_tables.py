"""The tables of what operations need, against AWS's reference (as cfn-lint carries it) and our templates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
import pytest
from sagemaker_seed.rehearsal.access.resources import LOOKUPS
from sagemaker_seed.rehearsal.access.rules import Need, Table, arns, values
from sagemaker_seed.rehearsal.access.tables import ACTIONS_WITHOUT_OPERATION, BEYOND_SDK, NEVER_ASKED, TABLES
from sagemaker_seed.rehearsal.services import s3
from support import ROOT

WHERE = {"partition": "aws", "region": "eu-west-1", "account": "111111111111"}
SESSION = botocore.session.get_session()
MADE_UP = {"AliasName": "alias/x"}
# Actions that AWS has and its reference, of that day, has not or has otherwise; each with where it is from.
BEYOND_REFERENCE = {
    "kms:ReEncryptFrom",  # the reference's table of KMS has them, cfn-lint's copy has "ReEncrypt*"
    "kms:ReEncryptTo",
    "servicecatalog:TagResource",  # a product with tags; the reference has it for applications alone
}


@cache
def reference() -> dict[str, Any]:
    path = Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def needed(service: str, operation: str) -> tuple[Need, ...]:
    found = TABLES[service].needed(operation)
    assert found is not None
    return found


def forms_of(need: Need) -> Iterator[str]:
    """The ARNs of a need with every name made up; those that only moto could tell are left out."""
    for form in need.resources:
        if not form.startswith("@"):
            names = {name.partition(".")[0]: MADE_UP.get(name, "x") for name in re.findall(r"\{([^}]+)\}", form)}
            yield from arns(form, {name: value for name, value in names.items() if name not in WHERE}, WHERE)


def problems(service: str, operation: str) -> Iterator[str]:
    """What is wrong with what the tables say of an operation."""
    for need in needed(service, operation):
        prefix, _, action = need.action.partition(":")
        if need.action in BEYOND_REFERENCE:
            continue
        known = reference()[prefix]["Actions"].get(action.lower())
        if known is None:
            yield f"AWS has no action {need.action}"
            continue
        kinds = reference()[prefix]["Resources"]
        patterns = [
            re.sub(r"\$\{\w+\}", "[^:]*", form)
            for kind in known.get("Resources", [])
            for form in kinds.get(kind.lower(), {}).get("ARNFormats", [])
        ]
        for arn in forms_of(need):
            if patterns and arn not in {"*", "x"} and not any(re.fullmatch(pattern, arn) for pattern in patterns):
                yield f"{need.action}: {arn} is none of {patterns}"


@pytest.mark.parametrize("service", sorted(TABLES))
def test_what_operations_need_is_what_the_reference_says(service: str) -> None:
    operations = TABLES[service].operations()
    beyond = BEYOND_SDK.get(service, set())
    assert operations - beyond <= set(SESSION.get_service_model(service).operation_names)
    assert beyond <= operations
    assert [problem for operation in sorted(operations) for problem in problems(service, operation)] == []


def parameters_of(table: Table) -> Iterator[tuple[str, str]]:
    """Every operation with every path into its parameters that the table names."""
    for operation in table.operations():
        for need in table.needed(operation) or ():
            for form in need.resources:
                yield from ((operation, path) for path in re.findall(r"\{([^}]+)\}", form) if path not in WHERE)
                if form.startswith("@") and (path := form.partition(":")[2]):
                    yield operation, path
            if need.when:
                yield operation, need.when
        for passing in table.passes.get(operation, ()):
            yield operation, passing.parameter.partition(":")[2] if passing.parameter[0] == "@" else passing.parameter


@pytest.mark.parametrize("service", sorted(TABLES))
def test_every_parameter_that_a_table_names_is_one_of_the_operation(service: str) -> None:
    model = SESSION.get_service_model(service)
    for operation, path in parameters_of(TABLES[service]):
        if operation in BEYOND_SDK.get(service, set()):
            continue
        shape: Any = model.operation_model(operation).input_shape
        for name in path.split("."):
            assert shape is not None and name in shape.members, f"{operation} has no parameter {path}"
            shape = shape.members[name]
            shape = getattr(shape, "member", shape)


@pytest.mark.parametrize("service", sorted(TABLES))
def test_lookups_and_operations_of_a_table_are_there(service: str) -> None:
    table = TABLES[service]
    forms = [
        form for operation in table.operations() for need in table.needed(operation) or () for form in need.resources
    ]
    assert {form[1:].partition(":")[0] for form in forms if form.startswith("@")} <= set(LOOKUPS)
    listed = [operation for operations in table.resources.values() for operation in operations.split()]
    assert sorted(listed) == sorted(set(listed) - set(table.needs)), "an operation is in the table twice"
    assert set(table.passes) <= table.operations()


def actions_of_templates() -> set[str]:
    text = "".join(path.read_text() for path in sorted((ROOT / "product/cloudformation").glob("*.yaml")))
    lines = "\n".join(line.partition(" #")[0] for line in text.splitlines())
    named = set(re.findall(r"(?<![\w:/.-])([a-z][a-z0-9-]+:[A-Z][A-Za-z]+\*?)(?=[\s,\]]|$)", lines))
    # Conditions have keys of the same form; those are no actions.
    return {name for name in named if not name.startswith("aws:")} - {"iam:PassedToService", "iam:AWSServiceName"}


def test_actions_of_s3_are_those_of_the_reference() -> None:
    known = reference()["s3"]["Actions"]
    assert sorted(action for action in judged() if action.startswith("s3:") and action[3:].lower() not in known) == []


def judged() -> set[str]:
    """Every action that some call in the embedded AWS is judged by."""
    by_table = {
        need.action
        for table in TABLES.values()
        for operation in table.operations()
        for need in table.needed(operation) or ()
    }
    without = {f"{prefix}:{action}" for prefix, names in ACTIONS_WITHOUT_OPERATION.items() for action in names.split()}
    of_s3 = {f"s3:{s3.ACTIONS.get(operation, operation)}" for operation in s3.IMPLEMENTED}
    versions = {f"s3:{s3.action_of(operation, '1')}" for operation in s3.OF_A_VERSION}
    return by_table | without | of_s3 | versions | {"sts:AssumeRole"}


def test_every_action_of_our_templates_is_judged_or_never_asked_for_a_reason() -> None:
    actions, known = actions_of_templates(), judged()
    assert {"kms:CreateKey", "iam:PassRole", "s3:GetBucket*", "sagemaker:InvokeEndpoint"} <= actions
    for action in sorted(actions):
        pattern = re.compile(action.replace("*", ".*"))
        is_judged = any(pattern.fullmatch(name) for name in known)
        assert is_judged != (action in NEVER_ASKED), (
            f"{action}: judged {is_judged}, never asked {action in NEVER_ASKED}"
        )
    assert set(NEVER_ASKED) <= actions, "an excuse for an action that no template has"
    assert all(len(reason) > 20 for reason in NEVER_ASKED.values())


@pytest.mark.parametrize(
    ("form", "given", "expected"),
    [
        ("arn:{partition}:x:{region}:{account}:{name}", {"name": "a"}, ["arn:aws:x:eu-west-1:111111111111:a"]),
        ("arn:{partition}:x:::{name}", {}, ["arn:aws:x:::*"]),
        ("?arn:{partition}:x:::{name}", {}, ["*"]),
        ("arn:{partition}:x:::{name}", {"name": "arn:aws:y:::z"}, ["arn:aws:y:::z"]),
        ("arn:{partition}:x:::{names}", {"names": ["a", "b"]}, ["arn:aws:x:::a", "arn:aws:x:::b"]),
        ("{inner.list.arn}", {"inner": {"list": [{"arn": "arn:1"}, {}]}}, ["arn:1"]),
        ("*", {}, ["*"]),
    ],
)
def test_forms_of_resources(form: str, given: dict[str, Any], expected: list[str]) -> None:
    assert list(arns(form, given, WHERE)) == expected


def test_values_at_a_path_that_is_not_there() -> None:
    assert values({"a": [{"b": 1}, {"b": None}, {"b": ""}, "c"]}, "a.b") == ["1"]
    assert values({"a": "text"}, "a.b") == []
