"""The embedded CloudFormation reads this product's templates as cfn-lint does: content and conditions are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.stacks.providers import PROVIDERS
from sagemaker_seed.templates.document import Document, parse

ROOT = Path(__file__).parent.parent
TEMPLATES = [*ROOT.glob("product/cloudformation/*.yaml"), *ROOT.glob("<<cookiecutter.project_slug>>/**/cfn-*.yml")]
# What is given for a parameter without a default, by a part of its name.
VALUES = {
    "DeployTarget": "stackset-self-managed",
    "Arn": "arn:aws:iam::111111111111:role/studio",
    "AccountId": "222222222222",
    "": "demo-1",
}
SECTIONS = ("Metadata", "Parameters", "Mappings", "Rules", "Resources", "Outputs", "Conditions")


def plain(value: Any, *, inside: str = "") -> Any:
    """Without cfn-lint's own kinds of text and dict, and its sorting of what ``Fn::Equals`` compares."""
    if isinstance(value, dict):
        return {str(key): plain(item, inside=str(key)) for key, item in value.items()}
    if isinstance(value, list):
        items = [plain(item) for item in value]
        return sorted(items, key=str) if inside == "Fn::Equals" else items
    return str(value) if isinstance(value, str) else value


@pytest.mark.slow
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_content_is_what_cfn_lint_decodes(path: Path) -> None:
    from cfnlint.decode import decode

    document: Document = parse(path.read_text(), PROVIDERS)
    expected, problems = decode(str(path))
    assert problems == []
    for section in SECTIONS:
        ours = getattr(document, section.lower())
        assert plain(ours) == plain(expected.get(section, {})), section
    assert document.resources


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in TEMPLATES if p.suffix == ".yaml"], ids=lambda path: path.name)
@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1"])
def test_conditions_are_decided_as_cfn_lint_decides_them(path: Path, region: str) -> None:
    from cfnlint.decode import decode
    from cfnlint.template import Template
    from sagemaker_seed.templates import parameters
    from sagemaker_seed.templates.desired import Desired, Place

    document = parse(path.read_text(), PROVIDERS)
    given = [
        {"ParameterKey": name, "ParameterValue": next(text for part, text in VALUES.items() if part in name)}
        for name, parameter in document.parameters.items()
        if "Default" not in parameter or name == "PrincipalArn1"
    ]
    texts = parameters.chosen(document.parameters, given, {})
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    place = Place("111111111111", region, partition, "s", "arn:aws:cloudformation:::stack/s/1")
    desired = Desired(document, texts, place, str, lambda _: [])
    held = {name: desired.holds(name) for name in document.conditions}
    conditions = Template(str(path), decode(str(path))[0], [region]).conditions
    known = texts | {"AWS::Partition": partition, "AWS::Region": region}
    assert conditions.satisfiable(held, known)
    for name, value in held.items():
        if "AWS::Partition" not in str(document.conditions[name]):  # which cfn-lint takes for anything
            assert not conditions.satisfiable({**held, name: not value}, known), name


def test_what_is_done_to_a_document_is_not_in_the_next_one_of_the_same_text() -> None:
    text = "Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: one}}}"
    first: Any = parse(text)
    first.resources["Topic"]["Properties"]["DisplayName"] = "another"
    assert parse(text).resources["Topic"]["Properties"]["DisplayName"] == "one"
