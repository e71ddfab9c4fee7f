"""The CloudFormation templates under product/: what they make, its names, and who may do what; deploys nothing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, cast

import cfnlint
import pytest
import yaml
from botocore import xform_name
from botocore.session import Session
from cfnlint.helpers import REGIONS
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto.events.models import EventPattern
from sagemaker_seed.check.resources import NO_SUCH_ACTION, ONLY_FOR, WITHOUT_HANDLERS
from sagemaker_seed.templates.desired import Desired, Place
from sagemaker_seed.templates.document import parse
from sagemaker_seed.templates.failure import TemplateError
from sagemaker_seed.templates.parameters import chosen

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "product" / "cloudformation"
SEED = ROOT / "<<cookiecutter.project_slug>>"
DATA_SCIENCE_ACCOUNT = "222222222222"
# What a template must be told, because there is no default for it.
TOLD = {
    "target-account.yaml": {"DataScienceAccountId": DATA_SCIENCE_ACCOUNT},
    "watching.yaml": {"DataScienceAccountId": DATA_SCIENCE_ACCOUNT},
    "stacksets.yaml": {"DeployTarget": "stackset-self-managed"},
}
# Deployed by hand, once in an account.
BY_HAND = (
    *("catalog.yaml", "data-science-account.yaml", "target-account.yaml"),
    *("stacksets.yaml", "stored-inference.yaml", "watching.yaml"),
)
FILES = ("project.yaml", "network.yaml", *BY_HAND)

Json = Any

# The worst case of every name: SageMaker's limits, and the longest region that there is.
ACCOUNT, STAGING, PROD = "111111111111", "222222222222", "333333333333"
LONG_NAME, LONG_ID, LONG_REGION = "n" * 32, "i" * 20, max(REGIONS, key=len)
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": LONG_REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
DEV, UNIT = "444444444444", "ou-ab12-cdefgh34"
PROJECT = {"SageMakerProjectName": LONG_NAME, "SageMakerProjectId": LONG_ID}
HERE: dict[str, str] = {}
ELSEWHERE = {"AccountStagingId": STAGING, "AccountProdId": PROD}
WITHOUT_TRAINING = {"TrainOnCommit": "no"}
THREE = {**ELSEWHERE, "AccountDevId": DEV, "StageLayout": "three"}
SELF_MANAGED = {**ELSEWHERE, "DeployTarget": "stackset-self-managed"}
SERVICE_MANAGED = {
    **ELSEWHERE,
    "DeployTarget": "stackset-service-managed",
    "OrganizationalUnitStagingId": UNIT,
    "OrganizationalUnitProdId": UNIT,
}
NO_VALUE = object()


# ------------------------------------------------------------------------------------------ reading a template


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, each turned into its long form."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Json]:
    if isinstance(node, yaml.ScalarNode):
        value: Json = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def load(name: str) -> dict[str, Json]:
    return dict(yaml.load(text(name), Loader=_Loader))


def walk(node: Json) -> Iterator[Json]:
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def references(node: Json) -> set[str]:
    """The parameters and resources that a part of a template refers to."""
    found: set[str] = set()
    for part in walk(node):
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("Ref"), str):
            found.add(part["Ref"])
        if "Fn::GetAtt" in part:
            found.add(part["Fn::GetAtt"][0])
        if "Fn::Sub" in part:
            sub = part["Fn::Sub"]
            for name in re.findall(r"\$\{([^}!]+)\}", sub if isinstance(sub, str) else sub[0]):
                found.add(name.split(".")[0])
    return found


# What `Ref` gives, and the ARN, of what the templates refer to.
NAME_PROPERTY = {
    "AWS::CodeBuild::Project": "Name",
    "AWS::CodeCommit::Repository": "RepositoryName",
    "AWS::CodePipeline::Pipeline": "Name",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
}
HERE_ARN = f"{LONG_REGION}:{ACCOUNT}"
ARN = {
    "AWS::CodeBuild::Project": f"arn:{'aws'}:codebuild:{HERE_ARN}:project/{{}}",
    "AWS::CodeCommit::Repository": f"arn:{'aws'}:codecommit:{HERE_ARN}:{{}}",
    "AWS::CodePipeline::Pipeline": f"arn:{'aws'}:codepipeline:{HERE_ARN}:{{}}",
    "AWS::Events::EventBus": f"arn:{'aws'}:events:{HERE_ARN}:event-bus/{{}}",
    "AWS::Events::Rule": f"arn:{'aws'}:events:{HERE_ARN}:rule/{{}}",
    "AWS::IAM::Role": f"arn:{'aws'}:iam::{ACCOUNT}:role/sagemaker-seed/{{}}",
    "AWS::KMS::Alias": f"arn:{'aws'}:kms:{HERE_ARN}:{{}}",
    "AWS::KMS::Key": f"arn:{'aws'}:kms:{HERE_ARN}:key/{{}}",
    "AWS::Logs::LogGroup": f"arn:{'aws'}:logs:{HERE_ARN}:log-group:{{}}",
    "AWS::S3::Bucket": f"arn:{'aws'}:s3:::{{}}",
}


class Resolved:
    """A template as one launch makes it: conditions decided, functions worked out, absent values left out."""

    def __init__(self, name: str, **parameters: str) -> None:
        self.template = load(name)
        declared = self.template.get("Parameters", {})
        assert not set(parameters) - set(declared), "the test gives a parameter that the template does not have"
        defaults = {key: value["Default"] for key, value in declared.items() if "Default" in value}
        self.values = PSEUDO | defaults | TOLD.get(name, {}) | parameters
        self.resources: dict[str, dict[str, Json]] = {
            key: self._node(value)
            for key, value in self.template["Resources"].items()
            if "Condition" not in value or self._condition(value["Condition"])
        }
        self.outputs = {
            key: self._node(value["Value"])
            for key, value in self.template["Outputs"].items()
            if "Condition" not in value or self._condition(value["Condition"])
        }

    def of_type(self, type_name: str) -> dict[str, dict[str, Json]]:
        return {key: value["Properties"] for key, value in self.resources.items() if value["Type"] == type_name}

    def name(self, logical_id: str) -> str:
        resource = self.template["Resources"][logical_id]
        name_property = NAME_PROPERTY.get(resource["Type"])
        return str(self._node(resource["Properties"][name_property])) if name_property else logical_id

    def arn(self, logical_id: str) -> str:
        type_name = self.template["Resources"][logical_id]["Type"]
        return ARN[type_name].format(self.name(logical_id))

    def _condition(self, node: Json) -> bool:
        if isinstance(node, str):
            return self._condition(self.template["Conditions"][node])
        ((function, argument),) = node.items()
        rules: dict[str, Callable[[], bool]] = {
            "Condition": lambda: self._condition(argument),
            "Fn::And": lambda: all(self._condition(part) for part in argument),
            "Fn::Not": lambda: not self._condition(argument[0]),
            "Fn::Equals": lambda: bool(self._node(argument[0]) == self._node(argument[1])),
        }
        return rules[function]()

    def _ref(self, name: str) -> Json:
        if name == "AWS::NoValue":
            return NO_VALUE
        return self.values[name] if name in self.values else self.name(name)

    def _att(self, logical_id: str, attribute: str) -> str:
        named = {"Arn": self.arn, "Name": self.name}
        return named[attribute](logical_id) if attribute in named else f"({logical_id} {attribute})"

    def _sub(self, argument: Json) -> str:
        template, own = (argument, {}) if isinstance(argument, str) else argument

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in own:
                return str(self._node(own[name]))
            return self._att(*name.split(".", 1)) if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, template)

    def _node(self, node: Json) -> Json:
        if isinstance(node, list):
            return [value for value in map(self._node, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        first_item: tuple[str, Json] = next(iter(node.items()), ("", None))
        function, argument = first_item
        if len(node) == 1 and function == "Ref":
            return self._ref(argument)
        if len(node) == 1 and function == "Fn::GetAtt":
            return self._att(*argument)
        if len(node) == 1 and function == "Fn::Sub":
            return self._sub(argument)
        if len(node) == 1 and function == "Fn::FindInMap":
            first, second, third = map(self._node, argument)
            return self.template["Mappings"][first][second][third]
        if len(node) == 1 and function == "Fn::Select":
            return self._node(argument[1])[argument[0]]
        if len(node) == 1 and function == "Fn::Split":
            return self._node(argument[1]).split(argument[0])
        if len(node) == 1 and function == "Fn::If":
            return self._node(argument[1] if self._condition(argument[0]) else argument[2])
        assert not function.startswith("Fn::"), f"the resolver does not know {function}"
        resolved = {key: self._node(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}


def project(**parameters: str) -> Resolved:
    return Resolved("project.yaml", **(PROJECT | parameters))


def many(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


# --------------------------------------------------------------------------------------------- all templates


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)  # `make lint` does it too
def test_cfn_lint_finds_nothing(name: str) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--template", FOLDER / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_deployed_by_hand_needs_no_bucket_for_its_template(name: str) -> None:
    assert len(text(name).encode()) <= 51_200, "CloudFormation takes a larger one only from S3"


@pytest.mark.parametrize("name", FILES)
def test_no_partition_account_or_region_is_hard_coded(name: str) -> None:
    assert f"arn:{'aws'}:" not in text(name)
    assert not re.findall(r"\b[0-9]{12}\b", text(name))
    assert not [region for region in REGIONS if region in text(name)]
    for part in walk(load(name)):
        if isinstance(part, str) and part.startswith("arn:"):
            assert part.startswith("arn:${AWS::Partition}:"), part


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_condition_and_mapping_is_used(name: str) -> None:
    template = load(name)
    used = references([template["Resources"], template.get("Conditions", {}), template["Outputs"]])
    assert set(template.get("Parameters", {})) <= used
    mentioned = {
        condition
        for part in walk(template)
        if isinstance(part, dict)
        for key in ("Condition", "Fn::If")
        for condition in many(part.get(key, []))[:1]
        if isinstance(condition, str)
    }
    assert set(template.get("Conditions", {})) == mentioned & set(template.get("Conditions", {}))
    mappings = template.get("Mappings", {})
    found = {
        (first, row, third)
        for part in walk(template)
        if isinstance(part, dict) and "Fn::FindInMap" in part
        for first, second, third in [part["Fn::FindInMap"]]
        for row in (mappings[first] if isinstance(second, dict) else [second])  # a parameter may choose any row
    }
    declared = {
        (first, second, third) for first, rows in mappings.items() for second, row in rows.items() for third in row
    }
    assert declared == found


@pytest.mark.parametrize("name", FILES)
def test_a_person_is_told_what_every_parameter_is(name: str) -> None:
    template = load(name)
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    parameters = template["Parameters"]
    grouped = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters) == sorted(interface["ParameterLabels"])
    for key, parameter in parameters.items():
        assert parameter["Description"], key
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), key


@pytest.mark.parametrize("name", FILES)
def test_every_output_says_what_it_is(name: str) -> None:
    assert all(output["Description"] for output in load(name)["Outputs"].values())


@pytest.mark.parametrize("name", FILES)
def test_every_resource_star_has_its_reason_beside_it(name: str) -> None:
    lines = text(name).splitlines()
    bare = [
        f"{name}:{number + 1}"
        for number, line in enumerate(lines)
        if re.match(r"\s*(Resource:|-) [\"']?\*[\"']?\s*($|#)", line)
        and "#" not in line
        and not lines[number - 1].lstrip().startswith("#")
    ]
    assert not bare


# ---------------------------------------------------------------------------------------- project.yaml: launch

PLACEHOLDERS = {
    ("Seed", "Code", "Bucket"): "unbound-seed-bucket",
    ("Seed", "Code", "Key"): "unbound-seed-key",
    ("Seed", "Release", "Project"): "unbound-project",
    ("Seed", "Release", "Team"): "unbound-team",
    ("Seed", "Release", "Version"): "unbound-version",
    ("Roles", "Deploy", "ExternalId"): "unbound-external-id",
}


def test_what_publishing_binds_stands_in_the_template_once() -> None:
    mappings = load("project.yaml")["Mappings"]
    for (first, second, third), placeholder in PLACEHOLDERS.items():
        assert mappings[first][second][third] == placeholder
        assert text("project.yaml").count(placeholder) == 1
    assert text("project.yaml").count("unbound-") == len(PLACEHOLDERS)


def test_a_bound_template_stays_yaml_whatever_the_answers(tmp_path: Path) -> None:
    hostile = {placeholder: f"{{{{ : # \"{placeholder}\" 'é' - & *x" for placeholder in PLACEHOLDERS.values()}
    bound = text("project.yaml")
    for placeholder, value in hostile.items():
        bound = bound.replace(placeholder, json.dumps(value))
    mappings = yaml.load(bound, Loader=_Loader)["Mappings"]
    assert {key: mappings[key[0]][key[1]][key[2]] for key in PLACEHOLDERS} == {
        key: hostile[placeholder] for key, placeholder in PLACEHOLDERS.items()
    }


def test_only_names_with_safe_characters_reach_a_tag() -> None:
    """A tag refuses most punctuation, and a team or a project may be called anything."""
    for part in walk(load("project.yaml")["Resources"]):
        if isinstance(part, dict) and set(part) == {"Key", "Value"}:
            assert part["Value"] in (
                {"Ref": "SageMakerProjectName"},
                {"Ref": "SageMakerProjectId"},
                {"Fn::FindInMap": ["Seed", "Release", "Version"]},
            )


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("SageMakerProjectName", ["a", "2iris", "Iris-2", "a--b", "n" * 32], ["", "-a", "a-", "a_b", "n" * 33, "é"]),
        ("SageMakerProjectId", ["p-idy6c3e1fiqj", "i" * 20], ["", "P-UPPER", "i" * 21, "-a"]),
        ("AccountStagingId", ["", STAGING], ["1", STAGING + "1", "a" * 12]),
        ("AccountProdId", ["", PROD], ["1", PROD + "1", "a" * 12]),
        ("AccountDevId", ["", DEV], ["1", DEV + "1", "a" * 12]),
        ("OrganizationalUnitDevId", ["", UNIT, "r-ab12"], ["ou-1", "Staging", "o-abcdefghij"]),
        ("OrganizationalUnitStagingId", ["", UNIT, "r-ab12"], ["ou-1", "Staging", "o-abcdefghij"]),
        ("OrganizationalUnitProdId", ["", UNIT, "r-ab12"], ["ou-1", "Staging", "o-abcdefghij"]),
        (
            "SageMakerExecutionRoleStagingName",
            ["role", "team/model-role"],
            ["", "/role", "a*", "a?b", "arn:x:iam::1:role/a"],
        ),
        (
            "SageMakerExecutionRoleProdName",
            ["role", "team/model-role"],
            ["", "/role", "a*", "a?b", "arn:x:iam::1:role/a"],
        ),
    ],
)
def test_a_launch_takes_good_values_and_refuses_bad_ones(parameter: str, good: list[str], bad: list[str]) -> None:
    pattern = load("project.yaml")["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in good if re.fullmatch(pattern, value) is None] == []
    assert [value for value in bad if re.fullmatch(pattern, value) is not None] == []


def test_sagemaker_fills_in_what_has_no_default() -> None:
    parameters = load("project.yaml")["Parameters"]
    assert {key for key, value in parameters.items() if "Default" not in value} == set(PROJECT)
    assert {value["Type"] for value in parameters.values()} == {"String"}


def test_a_launch_trains_on_commits_unless_told_not_to() -> None:
    template = load("project.yaml")
    parameter = template["Parameters"]["TrainOnCommit"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("yes", ["yes", "no"])
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [group["Parameters"] for group in groups if group["Label"]["default"] == "Training"] == [
        ["TrainOnCommit", "RetrainOnDrift"]
    ]


def test_without_training_nothing_of_it_is_made_and_all_else_is_the_same() -> None:
    with_it, without = project(**ELSEWHERE), project(**ELSEWHERE, **WITHOUT_TRAINING)
    assert set(with_it.resources) - set(without.resources) == {"TrainLogs", "TrainProject", "TrainPipeline"}
    assert set(with_it.outputs) - set(without.outputs) == {"TrainPipelineUrl"}
    changed = {key for key, resource in without.resources.items() if resource != with_it.resources[key]}
    assert changed == {"CommitRule"}, "it has one target less"
    left = json.dumps([without.resources, without.outputs]).replace("_", "-")
    assert "-train" not in left, "something still points at it"
    conditions = {
        part["Condition"]
        for part in (*load("project.yaml")["Resources"].values(), *load("project.yaml")["Outputs"].values())
        if "Condition" in part
    }
    assert conditions == {"TrainsOnCommit", "TrainsOnDrift", "Notifies", "ThreeStages", "ByServiceManagedStackSet"}


def test_drift_trains_only_if_that_is_asked_for_and_something_trains() -> None:
    with_it, without = project(**ELSEWHERE, RetrainOnDrift="yes"), project(**ELSEWHERE)
    assert set(with_it.resources) - set(without.resources) == {"DriftBus", "DriftRule"}
    assert environment_of(with_it, "BuildProject")["DRIFT_EVENT_BUS_ARN"] == with_it.arn("DriftBus")
    assert set(project(**WITHOUT_TRAINING, RetrainOnDrift="yes").resources).isdisjoint({"DriftBus", "DriftRule"})
    rule = load("project.yaml")["Rules"]["DriftNeedsTraining"]
    assert rule["Assertions"][0]["Assert"] == {"Fn::Equals": [{"Ref": "TrainOnCommit"}, "yes"]}


def test_the_bus_lets_in_alarms_of_the_stages_and_nothing_else() -> None:
    launched = project(**ELSEWHERE, RetrainOnDrift="yes")
    properties = launched.resources["DriftBus"]["Properties"]
    (statement,) = properties["Policy"]["Statement"]
    assert statement["Principal"]["AWS"] == [f"arn:{'aws'}:iam::{account}:root" for account in (ACCOUNT, STAGING, PROD)]
    assert statement["Condition"] == {
        "StringEquals": {"events:source": "aws.cloudwatch", "events:detail-type": "CloudWatch Alarm State Change"}
    }
    assert statement["Resource"].endswith(f":event-bus/{properties['Name']}")
    rule = launched.resources["DriftRule"]["Properties"]
    assert rule["EventPattern"]["detail"] == {
        "alarmName": [{"prefix": f"sagemaker-{LONG_NAME}-{LONG_ID}-"}],
        "state": {"value": ["ALARM"]},
    }
    (target,) = rule["Targets"]
    assert target["Arn"].endswith(f":{launched.name('TrainPipeline')}")
    (variable,) = launched.resources["TrainPipeline"]["Properties"]["Variables"]
    assert json.loads(target["Input"]) == {"variables": [{"name": variable["Name"], "value": "drift"}]}


# Limit and pattern of every name that a launch makes; the buckets' and CodeBuild's are the tight ones.
NAME_LIMITS = {
    "AWS::CodeBuild::Project": (150, r"[A-Za-z0-9][A-Za-z0-9\-_]{1,149}"),
    "AWS::CodeCommit::Repository": (100, r"[A-Za-z0-9._\-]+"),
    "AWS::CodePipeline::Pipeline": (100, r"[A-Za-z0-9.@\-_]+"),
    "AWS::Events::EventBus": (256, r"[/.\-_A-Za-z0-9]+"),
    "AWS::Events::Rule": (64, r"[A-Za-z0-9.\-_]+"),
    "AWS::KMS::Alias": (256, r"alias/[A-Za-z0-9/_-]+"),
    "AWS::Logs::LogGroup": (512, r"[A-Za-z0-9._\-/#]+"),
    "AWS::S3::Bucket": (63, r"[a-z0-9][a-z0-9.-]+[a-z0-9]"),
    "AWS::IAM::Role": (64, r"[A-Za-z0-9+=,.@_-]+"),
}


@pytest.mark.parametrize(
    "resolved",
    [
        pytest.param(lambda: project(**ELSEWHERE), id="project"),
        pytest.param(lambda: Resolved("catalog.yaml"), id="catalog"),
        pytest.param(lambda: Resolved("data-science-account.yaml"), id="data-science-account"),
    ],
)
def test_the_longest_names_fit(resolved: Callable[[], Resolved]) -> None:
    template = resolved()
    checked = 0
    for logical_id, resource in template.resources.items():
        if resource["Type"] in NAME_PROPERTY:
            limit, pattern = NAME_LIMITS[resource["Type"]]
            name = template.name(logical_id)
            assert len(name) <= limit, (logical_id, name)
            assert re.fullmatch(pattern, name), (logical_id, name)
            assert name.removeprefix("alias/").removeprefix("/aws/codebuild/").startswith("sagemaker-"), name
            checked += 1
    assert checked


def test_the_longest_derived_names_fit() -> None:
    launched = project()
    environment = environment_of(launched, "BuildProject")
    assert len(environment["SOURCE_MODEL_PACKAGE_GROUP_NAME"]) <= 63
    assert environment["SOURCE_MODEL_PACKAGE_GROUP_NAME"] == f"{LONG_NAME}-{LONG_ID}"
    for stage in ("staging", "prod"):
        assert len(f"{LONG_NAME}-{LONG_ID}-{stage}") <= 63, "endpoint"
    assert len(f"{LONG_NAME}-{LONG_ID}-training") <= 256, "SageMaker pipeline"
    for action in actions(launched).values():
        stack = action.get("Configuration", {}).get("StackName", "sagemaker")
        assert len(stack) <= 128
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", stack)
    for properties in launched.of_type("AWS::CodeBuild::Project").values():
        assert len(properties["Description"]) <= 255
        # A report group is called <project>-<group of the buildspec> and may have 128 characters.
        assert len(properties["Name"]) + 1 + len("endpoint-tests") <= 128
    for properties in launched.of_type("AWS::Events::Rule").values():
        assert len(properties["Description"]) <= 512


def test_the_id_alone_keeps_two_projects_apart() -> None:
    one, other = project(), project(SageMakerProjectId="p-other")
    # Per type: a pipeline and its build project may share a name.
    names = [
        {
            (value["Type"], one_or_other.name(key))
            for key, value in one_or_other.resources.items()
            if value["Type"] in NAME_PROPERTY
        }
        for one_or_other in (one, other)
    ]
    assert len(names[0]) == len([r for r in one.resources.values() if r["Type"] in NAME_PROPERTY])
    assert not {name for _, name in names[0]} & {name for _, name in names[1]}


TAGS = {"sagemaker:project-name": LONG_NAME, "sagemaker:project-id": LONG_ID}
# The schema of CodeBuild does not say that a project has tags; the other two have none.
TAGGED_ANYWAY, WITHOUT_TAGS = {"AWS::CodeBuild::Project"}, {"AWS::KMS::Alias", "AWS::S3::BucketPolicy"}


def test_everything_that_can_carry_tags_says_which_project_it_is_of() -> None:
    for logical_id, resource in project().resources.items():
        tagging = schema(resource["Type"]).get("tagging") or {}
        can = bool(tagging.get("taggable", True)) or resource["Type"] in TAGGED_ANYWAY
        assert can == (resource["Type"] not in WITHOUT_TAGS), f"{resource['Type']}: the schema has changed"
        if can:
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
            assert tags.items() >= TAGS.items(), logical_id


def test_outputs_lead_to_what_was_made() -> None:
    outputs = project().outputs
    region = LONG_REGION
    assert outputs["PipelineUrl"] == (
        f"https://{region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/"
        f"sagemaker-{LONG_NAME}-{LONG_ID}-deploy/view?region={region}"
    )
    assert outputs["TrainPipelineUrl"] == outputs["PipelineUrl"].replace("-deploy/", "-train/")
    assert outputs["ModelPackageGroupName"] == f"{LONG_NAME}-{LONG_ID}"
    assert outputs["ArtifactBucketName"] == f"sagemaker-project-{LONG_ID}-{ACCOUNT}"
    assert outputs["Release"] == "unbound-project unbound-version (unbound-team)"
    assert set(outputs) >= {"RepositoryCloneUrl", "ArtifactKeyArn"}


# ------------------------------------------------------------------------------------ project.yaml: artifacts


def bucket_statements(resolved: Resolved, policy: str) -> dict[str, dict[str, Json]]:
    statements = resolved.resources[policy]["Properties"]["PolicyDocument"]["Statement"]
    return {statement["Sid"]: statement for statement in statements}


def key_statements(resolved: Resolved) -> dict[str, dict[str, Json]]:
    statements = resolved.resources["ArtifactKey"]["Properties"]["KeyPolicy"]["Statement"]
    return {statement["Sid"]: statement for statement in statements}


@pytest.mark.parametrize(
    ("name", "bucket", "parameters"), [("project.yaml", "ArtifactBucket", PROJECT), ("catalog.yaml", "SeedBucket", {})]
)
def test_buckets_are_private_versioned_and_kept(name: str, bucket: str, parameters: dict[str, str]) -> None:
    resolved = Resolved(name, **parameters)
    resource, policy = resolved.resources[bucket], resolved.resources[f"{bucket}Policy"]
    properties = resource["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert not [key for key in rule if key.startswith("Expiration")], "what is current stays"
    for kept in (resource, policy):
        assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
        assert kept["UpdateReplacePolicy"] == "Retain"
    tls = bucket_statements(resolved, f"{bucket}Policy")["TlsOnly"]
    assert tls["Effect"] == "Deny"
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert tls["Resource"] == [resolved.arn(bucket), f"{resolved.arn(bucket)}/*"]


def test_artifacts_are_encrypted_with_a_key_of_their_own_that_rotates() -> None:
    launched = project()
    key = launched.resources["ArtifactKey"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "RetainExceptOnCreate"
    (rule,) = launched.resources["ArtifactBucket"]["Properties"]["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": launched.arn("ArtifactKey"),
    }
    pipelines = launched.of_type("AWS::CodePipeline::Pipeline")
    assert set(pipelines) == set(PIPELINES)
    for pipeline in pipelines.values():
        assert pipeline["ArtifactStore"] == {
            "Type": "S3",
            "Location": launched.name("ArtifactBucket"),
            "EncryptionKey": {"Type": "KMS", "Id": launched.arn("ArtifactKey")},
        }
    for build in launched.of_type("AWS::CodeBuild::Project").values():
        assert build["EncryptionKey"] == launched.arn("ArtifactKey")


def test_the_key_serves_this_account_through_this_bucket_only() -> None:
    launched = project()
    statement = key_statements(launched)["ThisAccountUsesItForTheBucket"]
    assert statement["Condition"]["StringEquals"] == {"kms:CallerAccount": ACCOUNT}
    like = statement["Condition"]["StringLike"]
    assert like["kms:ViaService"] == f"s3.{LONG_REGION}.*"
    assert like["kms:EncryptionContext:aws:s3:arn"] == [
        launched.arn("ArtifactBucket"),
        f"{launched.arn('ArtifactBucket')}/*",
    ]


def _reader(account: str, role: str) -> str:
    return f"arn:{'aws'}:iam::{account}:role/{role}"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param(HERE, {}, id="here"),
        pytest.param({"AccountStagingId": ACCOUNT, "AccountProdId": ACCOUNT}, {}, id="here, by id"),
        pytest.param({"AccountProdId": PROD}, {"ProdReads": PROD}, id="production elsewhere"),
        pytest.param(ELSEWHERE, {"StagingReads": STAGING, "ProdReads": PROD}, id="both elsewhere"),
        pytest.param(
            {"AccountStagingId": PROD, "AccountProdId": PROD},
            {"StagingReads": PROD, "ProdReads": PROD},
            id="both in the same other account",
        ),
    ],
)
def test_another_account_reads_with_three_roles_and_does_no_more(
    parameters: dict[str, str], expected: dict[str, str]
) -> None:
    launched = project(
        **parameters, SageMakerExecutionRoleStagingName="team/s-model", SageMakerExecutionRoleProdName="team/p-model"
    )
    models = {"StagingReads": "team/s-model", "ProdReads": "team/p-model"}
    key, bucket = key_statements(launched), bucket_statements(launched, "ArtifactBucketPolicy")
    assert set(key) - {"AccountAdministersThroughIam", "ThisAccountUsesItForTheBucket"} == set(expected)
    assert set(bucket) - {"TlsOnly"} == set(expected)
    for sid, account in expected.items():
        for statement in (key[sid], bucket[sid]):
            assert statement["Principal"] == {"AWS": f"arn:{'aws'}:iam::{account}:root"}
            assert statement["Condition"] == {
                "ArnLike": {
                    "aws:PrincipalArn": [
                        _reader(account, "sagemaker-seed/sagemaker-seed-deploy"),
                        _reader(account, "sagemaker-seed/sagemaker-seed-cloudformation"),
                        _reader(account, models[sid]),
                        _reader(account, "sagemaker-seed/sagemaker-seed-monitor"),
                    ]
                }
            }
        assert key[sid]["Action"] == ["kms:Decrypt", "kms:DescribeKey"]
        assert all(action.startswith(("s3:Get", "s3:List")) for action in bucket[sid]["Action"])


def test_the_repository_is_seeded_on_main_and_outlives_the_project() -> None:
    repository = project().resources["Repository"]
    assert repository["Properties"]["Code"] == {
        "BranchName": "main",
        "S3": {"Bucket": "unbound-seed-bucket", "Key": "unbound-seed-key"},
    }
    assert repository["DeletionPolicy"] == "RetainExceptOnCreate"


# ------------------------------------------------------------------------------- project.yaml: build and test


def environment_of(resolved: Resolved, logical_id: str) -> dict[str, str]:
    variables = resolved.resources[logical_id]["Properties"]["Environment"]["EnvironmentVariables"]
    names = [variable["Name"] for variable in variables]
    assert len(names) == len(set(names))
    return {variable["Name"]: variable["Value"] for variable in variables}


@pytest.mark.parametrize(
    ("parameters", "staging", "prod"),
    [(HERE, ACCOUNT, ACCOUNT), (ELSEWHERE, STAGING, PROD), ({"AccountProdId": PROD}, ACCOUNT, PROD)],
)
def test_the_build_is_told_what_it_needs(parameters: dict[str, str], staging: str, prod: str) -> None:
    launched = project(**parameters)
    assert environment_of(launched, "BuildProject") == {
        "SAGEMAKER_PROJECT_NAME": LONG_NAME,
        "SAGEMAKER_PROJECT_ID": LONG_ID,
        "ARTIFACT_BUCKET": launched.name("ArtifactBucket"),
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": f"{LONG_NAME}-{LONG_ID}",
        "AWS_REGION": LONG_REGION,
        "EXPORT_TEMPLATE_NAME": "template-export.yml",
        "EXPORT_TEMPLATE_STAGING_CONFIG": "staging-config-export.json",
        "EXPORT_TEMPLATE_PROD_CONFIG": "prod-config-export.json",
        "SAGEMAKER_EXECUTION_ROLE_STAGING_NAME": "sagemaker-seed/sagemaker-seed-model",
        "SAGEMAKER_EXECUTION_ROLE_PROD_NAME": "sagemaker-seed/sagemaker-seed-model",
        "ACCOUNT_STAGING_ID": staging,
        "ACCOUNT_PROD_ID": prod,
        "DEPLOY_TARGET": "cloudformation",
        "DRIFT_EVENT_BUS_ARN": "",
    }


@pytest.mark.parametrize(
    ("logical_id", "stage", "account"), [("TestStagingProject", "staging", STAGING), ("TestProdProject", "prod", PROD)]
)
def test_a_test_is_told_what_it_needs(logical_id: str, stage: str, account: str) -> None:
    here, elsewhere = project(), project(**ELSEWHERE)
    expected = {
        "SAGEMAKER_PROJECT_NAME": LONG_NAME,
        "SAGEMAKER_PROJECT_ID": LONG_ID,
        "ARTIFACT_BUCKET": here.name("ArtifactBucket"),
        "AWS_REGION": LONG_REGION,
        "STAGE": stage,
        "DEPLOY_ROLE_EXTERNAL_ID": "unbound-external-id",
        "BUILD_CONFIG": f"{stage}-config-export.json",
        "EXPORT_TEST_RESULTS": "test-results.json",
    }
    # A test before the last stage also asks the model of the stage after it, to compare with.
    following = {"NEXT_STAGE": "prod"} if stage == "staging" else {}
    own = {"DEPLOY_ROLE_ARN": ""} | ({"NEXT_DEPLOY_ROLE_ARN": ""} if following else {})
    assert environment_of(here, logical_id) == expected | following | own
    own = {"DEPLOY_ROLE_ARN": _reader(account, "sagemaker-seed/sagemaker-seed-deploy")}
    if following:
        own["NEXT_DEPLOY_ROLE_ARN"] = _reader(PROD, "sagemaker-seed/sagemaker-seed-deploy")
    assert environment_of(elsewhere, logical_id) == expected | following | own


def test_the_training_is_told_what_it_needs() -> None:
    launched = project()
    environment = environment_of(launched, "TrainProject")
    assert environment == {
        "SAGEMAKER_PROJECT_NAME": LONG_NAME,
        "SAGEMAKER_PROJECT_ID": LONG_ID,
        "ARTIFACT_BUCKET": launched.name("ArtifactBucket"),
        "ARTIFACT_KEY_ARN": launched.arn("ArtifactKey"),
        "SAGEMAKER_PIPELINE_ROLE_ARN": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-training"),
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": f"{LONG_NAME}-{LONG_ID}",
        "AWS_REGION": LONG_REGION,
    }
    assert environment == environment_of(project(**ELSEWHERE), "TrainProject"), "no stage matters to it"
    build = environment_of(launched, "BuildProject")
    assert {key: build[key] for key in environment.keys() & build.keys()}.items() <= environment.items()


def test_each_build_runs_with_the_role_made_for_it() -> None:
    roles = {key: build["ServiceRole"] for key, build in project().of_type("AWS::CodeBuild::Project").items()}
    assert roles == {
        "BuildProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-build"),
        "SecurityProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-security"),
        "UnitTestsProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-security"),
        "TestStagingProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-test"),
        "TestProdProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-test"),
        "TrainProject": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-train"),
    }


@pytest.mark.parametrize("logical_id", project().of_type("AWS::CodeBuild::Project"))
def test_builds_run_unprivileged_bounded_and_logged(logical_id: str) -> None:
    launched = project()
    properties = launched.resources[logical_id]["Properties"]
    environment = properties["Environment"]
    assert environment["Image"] == "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    assert environment["Type"] == "LINUX_CONTAINER"
    assert environment["ImagePullCredentialsType"] == "CODEBUILD"
    assert environment["PrivilegedMode"] is False
    assert 5 <= properties["TimeoutInMinutes"] <= 60
    assert properties["Source"]["Type"] == properties["Artifacts"]["Type"] == "CODEPIPELINE"
    group = properties["LogsConfig"]["CloudWatchLogs"]["GroupName"]
    assert group == f"/aws/codebuild/{properties['Name']}"
    retentions = {
        log["LogGroupName"]: log["RetentionInDays"] for log in launched.of_type("AWS::Logs::LogGroup").values()
    }
    assert retentions[group] == 90


def test_the_build_image_is_named_in_one_place() -> None:
    assert text("project.yaml").count("aws/codebuild/amazonlinux") == 1


BUILDSPECS = {
    "BuildProject": "buildspec.yml",
    "SecurityProject": "security/buildspec.yml",
    "UnitTestsProject": "tests/buildspec.yml",
    "TestStagingProject": "test/buildspec.yml",
    "TestProdProject": "test/buildspec.yml",
    "TrainProject": "training/buildspec.yml",
}


@pytest.mark.parametrize(("logical_id", "spec"), BUILDSPECS.items())
def test_build_commands_come_from_the_seed(logical_id: str, spec: str) -> None:
    assert set(BUILDSPECS) == set(project().of_type("AWS::CodeBuild::Project"))
    assert project().resources[logical_id]["Properties"]["Source"]["BuildSpec"] == spec
    assert (SEED / spec).is_file()


def test_a_training_is_awaited_for_less_time_than_its_build_has() -> None:
    """The rest is for installing the SDK: a build that runs out of time would fail, and tell nothing."""
    (waits,) = re.findall(r"--at-most ([0-9]+)\b", (SEED / BUILDSPECS["TrainProject"]).read_text(encoding="utf-8"))
    assert int(waits) + 10 <= project().resources["TrainProject"]["Properties"]["TimeoutInMinutes"]


# -------------------------------------------------------------------------------------- project.yaml: pipelines

PIPELINES = ("Pipeline", "TrainPipeline")


def actions(resolved: Resolved, pipeline: str = "Pipeline") -> dict[str, dict[str, Json]]:
    stages = resolved.resources[pipeline]["Properties"]["Stages"]
    return {f"{stage['Name']}/{action['Name']}": action for stage in stages for action in stage["Actions"]}


def test_the_road_from_source_to_production() -> None:
    properties = project().resources["Pipeline"]["Properties"]
    assert properties["PipelineType"] == "V2"
    assert properties["ExecutionMode"] == "QUEUED"
    (variable,) = properties["Variables"]
    assert (variable["Name"], variable["DefaultValue"]) == ("ModelPackageArn", "newest")
    assert len(variable["Description"]) <= 200
    road = [
        (
            stage["Name"],
            action["Name"],
            action["RunOrder"],
            action["ActionTypeId"]["Category"],
            action["ActionTypeId"]["Provider"],
        )
        for stage in properties["Stages"]
        for action in stage["Actions"]
    ]
    assert road == [
        ("Source", "Source", 1, "Source", "CodeCommit"),
        ("Build", "Build", 1, "Build", "CodeBuild"),
        ("Security", "Scan", 1, "Test", "CodeBuild"),
        ("Security", "UnitTests", 1, "Test", "CodeBuild"),
        ("DeployStaging", "Deploy", 1, "Deploy", "CloudFormation"),
        ("DeployStaging", "Test", 2, "Test", "CodeBuild"),
        ("DeployStaging", "Approve", 3, "Approval", "Manual"),
        ("DeployProd", "Deploy", 1, "Deploy", "CloudFormation"),
        ("DeployProd", "Test", 2, "Test", "CodeBuild"),
    ]


def test_nothing_is_deployed_before_it_is_checked() -> None:
    scan, tests = actions(project())["Security/Scan"], actions(project())["Security/UnitTests"]
    assert scan["Configuration"]["ProjectName"] == project().name("SecurityProject")
    assert environment_of(project(), "SecurityProject")["EXPORT_TEMPLATE_NAME"] == "template-export.yml"
    assert tests["Configuration"] == {"ProjectName": project().name("UnitTestsProject")}
    assert [artifact["Name"] for artifact in tests["InputArtifacts"]] == ["SourceArtifact"]


def test_what_checks_may_ask_aws_for_nothing_but_its_files_and_a_place_to_report() -> None:
    statements = statements_of(Resolved("data-science-account.yaml"), "SecurityRole")
    services = {action.partition(":")[0] for statement in statements for action in many(statement["Action"])}
    assert services == {"codebuild", "kms", "logs", "s3"}
    assert not granted(statements, "codebuild:StartBuild")


STACK_SETS = ("stackset-self-managed", "stackset-service-managed")


def road_of(resolved: Resolved) -> list[tuple[str, list[str]]]:
    """Each stage of the deployment, and who performs its actions."""
    stages = resolved.resources["Pipeline"]["Properties"]["Stages"]
    return [
        (stage["Name"], [action["ActionTypeId"]["Provider"] for action in stage["Actions"]])
        for stage in stages
        if stage["Name"].startswith("Deploy")
    ]


@pytest.mark.parametrize(
    ("parameters", "provider"),
    [
        pytest.param({}, "CloudFormation", id="same-account by default"),
        pytest.param({"DeployTarget": "same-account"}, "CloudFormation", id="same-account"),
        pytest.param(ELSEWHERE, "CloudFormation", id="cloudformation"),
        pytest.param(SELF_MANAGED, "CloudFormationStackSet", id="stackset-self-managed"),
        pytest.param(SERVICE_MANAGED, "CodeBuild", id="stackset-service-managed"),
    ],
)
def test_each_target_deploys_by_its_own_action_in_two_stages_and_in_three(
    parameters: dict[str, str], provider: str
) -> None:
    with_approval, without = [provider, "CodeBuild", "Manual"], [provider, "CodeBuild"]
    assert road_of(project(**parameters)) == [("DeployStaging", with_approval), ("DeployProd", without)]
    assert road_of(project(**{**parameters, "StageLayout": "three", "AccountDevId": DEV})) == [
        ("DeployDev", with_approval),
        ("DeployPreprod", with_approval),
        ("DeployProd", without),
    ]


STAGES_OF_THREE = [
    ("Dev", "Dev", "dev", DEV),
    ("Staging", "Preprod", "preprod", STAGING),
    ("Prod", "Prod", "prod", PROD),
]


@pytest.mark.parametrize(("slot", "title", "stage", "account"), STAGES_OF_THREE)
def test_each_of_three_stages_has_its_own_account_files_and_test(
    slot: str, title: str, stage: str, account: str
) -> None:
    launched = project(**THREE)
    deploy, test = (actions(launched)[f"Deploy{title}/{name}"] for name in ("Deploy", "Test"))
    assert deploy["RoleArn"] == _reader(account, "sagemaker-seed/sagemaker-seed-deploy")
    assert deploy["Configuration"]["StackName"] == f"sagemaker-{LONG_NAME}-{LONG_ID}-{stage}"
    assert deploy["Configuration"]["TemplateConfiguration"] == f"BuildArtifact::{stage}-config-export.json"
    assert test["Configuration"]["ProjectName"] == f"sagemaker-{LONG_NAME}-{LONG_ID}-test-{stage}"
    assert test["OutputArtifacts"] == [{"Name": f"{title}TestResults"}]
    told = environment_of(launched, f"Test{slot}Project")
    assert (told["STAGE"], told["BUILD_CONFIG"]) == (stage, f"{stage}-config-export.json")
    assert told["DEPLOY_ROLE_ARN"] == deploy["RoleArn"]
    build = environment_of(launched, "BuildProject")
    assert build[f"ACCOUNT_{stage.upper()}_ID"] == account
    assert build[f"EXPORT_TEMPLATE_{stage.upper()}_CONFIG"] == f"{stage}-config-export.json"
    assert not [name for name in build if "STAGING" in name]
    assert f"{slot}Reads" in bucket_statements(launched, "ArtifactBucketPolicy")
    assert f"{slot}Reads" in key_statements(launched)


def test_a_self_managed_stack_set_works_by_two_roles_in_the_account_of_its_stage() -> None:
    launched = project(**SELF_MANAGED)
    assert actions(launched)["DeployStaging/Deploy"]["Configuration"] == {
        "StackSetName": f"sagemaker-{LONG_NAME}-{LONG_ID}-staging",
        "PermissionModel": "SELF_MANAGED",
        "AdministrationRoleArn": _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-stackset-administration"),
        "ExecutionRoleName": "sagemaker-seed-stackset-execution",
        "TemplatePath": "BuildArtifact::template-export.yml",
        "Parameters": "BuildArtifact::staging-config-export.json",
        "DeploymentTargets": STAGING,
        "Regions": LONG_REGION,
    }
    assert environment_of(launched, "BuildProject")["DEPLOY_TARGET"] == "stackset-self-managed"
    assert "DeployProject" not in launched.resources


def test_a_service_managed_stack_set_is_told_its_unit_and_the_account_in_it() -> None:
    launched = project(**SERVICE_MANAGED)
    configuration = actions(launched)["DeployProd/Deploy"]["Configuration"]
    told = {entry["name"]: entry["value"] for entry in json.loads(configuration["EnvironmentVariables"])}
    assert told == {
        "STACK_SET_NAME": f"sagemaker-{LONG_NAME}-{LONG_ID}-prod",
        "ORGANIZATIONAL_UNIT_ID": UNIT,
        "ACCOUNT_ID": PROD,
        "BUILD_CONFIG": "prod-config-export.json",
    }
    environment = environment_of(launched, "DeployProject")
    assert environment["CALL_AS"] == "DELEGATED_ADMIN"
    assert environment_of(project(**SERVICE_MANAGED, StackSetsCallAs="SELF"), "DeployProject")["CALL_AS"] == "SELF"
    script = (SEED / "deploy/stackset.py").read_text(encoding="utf-8")
    read = set(re.findall(r'^    \("([A-Z_]+)", ', script, re.MULTILINE))
    assert read == {*told, *environment}, "every variable that it reads is given, and no other"
    specification = yaml.safe_load(launched.resources["DeployProject"]["Properties"]["Source"]["BuildSpec"])
    assert specification["phases"]["build"]["commands"] == ["python -m deploy.stackset"]


@pytest.mark.parametrize(
    ("parameters", "maker"),
    [
        (ELSEWHERE, "sagemaker-seed/sagemaker-seed-cloudformation"),
        (SELF_MANAGED, "sagemaker-seed-stackset-execution"),
        (SERVICE_MANAGED, "stacksets-exec-*"),
    ],
)
def test_what_makes_the_endpoint_reads_the_artifacts(parameters: dict[str, str], maker: str) -> None:
    launched = project(**parameters)
    for statement in (
        key_statements(launched)["ProdReads"],
        bucket_statements(launched, "ArtifactBucketPolicy")["ProdReads"],
    ):
        assert statement["Condition"]["ArnLike"]["aws:PrincipalArn"][1] == _reader(PROD, maker)


ACCOUNTS_MISSING = "Stack sets deploy to another account; give Account{}Id."
UNIT_MISSING = "Service-managed stack sets need the unit of each stage; give OrganizationalUnit{}Id."
ELSEWHERE_GIVEN = "Every stage of this product is in the account that launches it; leave Account{}Id empty."


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        pytest.param({}, "", id="nothing given"),
        pytest.param(THREE, "", id="three"),
        pytest.param(SELF_MANAGED, "", id="self-managed"),
        pytest.param(SERVICE_MANAGED, "", id="service-managed"),
        pytest.param({"DeployTarget": "same-account", "AccountProdId": ACCOUNT}, "", id="same account by its id"),
        pytest.param(
            {"DeployTarget": "same-account", "AccountProdId": PROD}, ELSEWHERE_GIVEN.format("Prod"), id="not the same"
        ),
        pytest.param(
            {"DeployTarget": "same-account", "StageLayout": "three", "AccountDevId": DEV},
            ELSEWHERE_GIVEN.format("Dev"),
            id="development not the same",
        ),
        pytest.param({**SELF_MANAGED, "AccountProdId": ""}, ACCOUNTS_MISSING.format("Prod"), id="no account"),
        pytest.param({**SELF_MANAGED, "AccountStagingId": ACCOUNT}, ACCOUNTS_MISSING.format("Staging"), id="here"),
        pytest.param({**SELF_MANAGED, "StageLayout": "three"}, ACCOUNTS_MISSING.format("Dev"), id="no third account"),
        pytest.param({**SERVICE_MANAGED, "OrganizationalUnitProdId": ""}, UNIT_MISSING.format("Prod"), id="no unit"),
        pytest.param(
            {**SERVICE_MANAGED, "StageLayout": "three", "AccountDevId": DEV},
            UNIT_MISSING.format("Dev"),
            id="no third unit",
        ),
    ],
)
def test_a_launch_is_refused_before_anything_is_made_if_its_target_lacks_something(
    parameters: dict[str, str], said: str
) -> None:
    document = parse(text("project.yaml"))
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (PROJECT | parameters).items()]
    texts = chosen(document.parameters, given, {})

    def launch() -> Desired:
        return Desired(document, texts, Place(ACCOUNT, "eu-west-1", "aws", "s", "arn"), str, lambda _: [])

    if not said:
        assert launch().resources
        return
    with pytest.raises(TemplateError, match=re.escape(said)):
        launch()


def test_training_is_one_build_of_the_newest_commit() -> None:
    properties = project().resources["TrainPipeline"]["Properties"]
    assert properties["PipelineType"] == "V2"
    assert properties["ExecutionMode"] == "SUPERSEDED"
    assert properties["RoleArn"] == _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-codepipeline")
    assert properties["Variables"][0]["DefaultValue"] == "commit", "a commit is all that it takes"
    source, train = actions(project(), "TrainPipeline").values()
    assert source == actions(project())["Source/Source"], "both pipelines take the same branch, and neither polls"
    assert (train["ActionTypeId"]["Category"], train["ActionTypeId"]["Provider"]) == ("Build", "CodeBuild")
    assert train["Configuration"]["ProjectName"] == project().name("TrainProject")
    assert json.loads(train["Configuration"]["EnvironmentVariables"]) == [
        {"name": "COMMIT_ID", "value": "#{Source.CommitId}", "type": "PLAINTEXT"},
        {"name": "TRAIN_REASON", "value": "#{variables.Reason}", "type": "PLAINTEXT"},
    ]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_artifacts_go_from_action_to_action(pipeline: str) -> None:
    made: set[str] = set()
    for name, action in actions(project(), pipeline).items():
        inputs = [artifact["Name"] for artifact in action.get("InputArtifacts", [])]
        outputs = [artifact["Name"] for artifact in action.get("OutputArtifacts", [])]
        assert set(inputs) <= made, name
        assert not set(outputs) & made, name
        made |= set(outputs)
        if action["ActionTypeId"]["Category"] == "Test" and name != "Security/UnitTests":
            assert inputs == ["SourceArtifact", "BuildArtifact"]
            assert action["Configuration"]["PrimarySource"] == "SourceArtifact"
            assert outputs, "the results are kept with the run"


def test_the_build_gets_the_model_package_of_the_run() -> None:
    configuration = actions(project())["Build/Build"]["Configuration"]
    assert json.loads(configuration["EnvironmentVariables"]) == [
        {"name": "MODEL_PACKAGE_ARN", "value": "#{variables.ModelPackageArn}", "type": "PLAINTEXT"}
    ]


@pytest.mark.parametrize(
    ("stage", "parameters", "account", "acts_as_deploy"),
    [
        ("Staging", HERE, ACCOUNT, False),
        ("Prod", HERE, ACCOUNT, False),
        ("Staging", ELSEWHERE, STAGING, True),
        ("Prod", ELSEWHERE, PROD, True),
        ("Staging", {"AccountProdId": PROD}, ACCOUNT, False),
        ("Prod", {"AccountStagingId": STAGING}, ACCOUNT, False),
    ],
)
def test_a_stage_is_deployed_where_the_launch_says(
    stage: str, parameters: dict[str, str], account: str, acts_as_deploy: bool
) -> None:
    deploy = actions(project(**parameters))[f"Deploy{stage}/Deploy"]
    expected = _reader(account, "sagemaker-seed/sagemaker-seed-deploy") if acts_as_deploy else None
    assert deploy.get("RoleArn") == expected
    assert deploy["Configuration"] == {
        "ActionMode": "CREATE_UPDATE",
        "StackName": f"sagemaker-{LONG_NAME}-{LONG_ID}-{stage.lower()}",
        "RoleArn": _reader(account, "sagemaker-seed/sagemaker-seed-cloudformation"),
        "TemplatePath": "BuildArtifact::template-export.yml",
        "TemplateConfiguration": f"BuildArtifact::{stage.lower()}-config-export.json",
    }


def test_a_person_decides_within_a_week() -> None:
    approve = actions(project())["DeployStaging/Approve"]
    assert approve["TimeoutInMinutes"] == 7 * 24 * 60
    asked = {"CustomData": "#{StagingTest.SUMMARY_GIST}", "ExternalEntityLink": "#{StagingTest.SUMMARY_URL}"}
    assert approve["Configuration"] == asked


def test_the_test_before_an_approval_knows_what_to_summarise() -> None:
    """It says what the approval asks: of which commit, for which stage, and as whom it may look there."""
    test = actions(project(**ELSEWHERE))["DeployStaging/Test"]
    told = {
        variable["name"]: variable["value"] for variable in json.loads(test["Configuration"]["EnvironmentVariables"])
    }
    assert told == {
        "COMMIT_ID": "#{Source.CommitId}",
        "REPOSITORY_NAME": "#{Source.RepositoryName}",
        "PIPELINE_EXECUTION_ID": "#{codepipeline.PipelineExecutionId}",
    }


def test_who_is_told_of_a_question_is_told_by_the_pipeline_alone_and_in_secret() -> None:
    silent, told = project(), project(ApprovalEmail="people@example.com")
    assert set(told.resources) - set(silent.resources) == {"ApprovalTopic", "ApprovalTopicPolicy"}
    assert "NotificationArn" not in actions(silent)["DeployStaging/Approve"]["Configuration"]
    assert actions(told)["DeployStaging/Approve"]["Configuration"]["NotificationArn"]
    topic = told.resources["ApprovalTopic"]["Properties"]
    assert topic["KmsMasterKeyId"]
    assert topic["Subscription"] == [{"Protocol": "email", "Endpoint": "people@example.com"}]
    (deny,) = told.resources["ApprovalTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (deny["Action"], deny["Effect"]) == ("sns:Publish", "Deny")


# What actions give to later ones: CodeCommit by itself, a test's build because its buildspec exports it.
GIVEN = {"CodeCommit": ("CommitId", "RepositoryName"), "CodeBuild": ("SUMMARY_URL", "SUMMARY_GIST")}


def test_a_build_exports_what_the_approval_shows() -> None:
    buildspec = yaml.safe_load((SEED / "test" / "buildspec.yml").read_text())
    assert buildspec["env"]["exported-variables"] == list(GIVEN["CodeBuild"])
    assert set(buildspec["env"]["variables"]) == set(GIVEN["CodeBuild"])  # so that neither is ever unresolved


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_an_action_uses_variables_of_an_earlier_one_or_of_the_pipeline(pipeline: str) -> None:
    known = {
        f"variables.{variable['Name']}" for variable in project().resources[pipeline]["Properties"].get("Variables", [])
    }
    known.add("codepipeline.PipelineExecutionId")
    found = 0
    for name, action in actions(project(), pipeline).items():
        used = set(re.findall(r"#\{([^}]+)\}", json.dumps(action.get("Configuration", {}))))
        assert used <= known, name
        found += len(used)
        if "Namespace" in action:
            provider = action["ActionTypeId"]["Provider"]
            known |= {f"{action['Namespace']}.{variable}" for variable in GIVEN[provider]}
    assert found


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_no_value_of_an_action_is_too_long(pipeline: str) -> None:
    """CodePipeline takes 1000 characters; a model package's ARN, put in for the variable, has up to 2048 in theory."""
    package = f"arn:{'aws'}:sagemaker:{LONG_REGION}:{ACCOUNT}:model-package/{LONG_NAME}-{LONG_ID}/999999"
    for name, action in actions(project(**ELSEWHERE), pipeline).items():
        for key, value in action.get("Configuration", {}).items():
            assert isinstance(value, str), (name, key)
            filled = value.replace("#{variables.ModelPackageArn}", package).replace("#{Source.CommitId}", "c" * 40)
            assert 1 <= len(filled) <= 1000, (name, key, len(filled))


# ----------------------------------------------------------------------------------------- project.yaml: events


def model_event(status: str, group: str = f"{LONG_NAME}-{LONG_ID}") -> dict[str, Json]:
    return {
        "version": "0",
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "account": ACCOUNT,
        "region": LONG_REGION,
        "resources": [f"arn:{'aws'}:sagemaker:{HERE_ARN}:model-package/{group}/3"],
        "detail": {
            "ModelPackageGroupName": group,
            "ModelPackageVersion": 3,
            "ModelPackageArn": f"arn:{'aws'}:sagemaker:{HERE_ARN}:model-package/{group}/3",
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": status,
        },
    }


def commit_event(
    event: str = "referenceUpdated", branch: str = "main", repository: str | None = None
) -> dict[str, Json]:
    arn = ARN["AWS::CodeCommit::Repository"].format(repository or f"sagemaker-{LONG_NAME}-{LONG_ID}")
    return {
        "version": "0",
        "source": "aws.codecommit",
        "detail-type": "CodeCommit Repository State Change",
        "account": ACCOUNT,
        "region": LONG_REGION,
        "resources": [arn],
        "detail": {"event": event, "referenceType": "branch", "referenceName": branch, "commitId": "c" * 40},
    }


def tag_event() -> dict[str, Json]:
    event = commit_event("referenceCreated")
    event["detail"]["referenceType"] = "tag"
    return event


@pytest.mark.parametrize(
    ("event", "rules"),
    [
        pytest.param(model_event("Approved"), ["ApprovedRule"], id="approved"),
        pytest.param(model_event("Rejected"), ["RejectedRule"], id="rejected"),
        pytest.param(model_event("PendingManualApproval"), [], id="registered"),
        pytest.param(model_event("Approved", "another-group"), [], id="approved in another group"),
        pytest.param(model_event("Rejected", f"{LONG_NAME}-{LONG_ID}x"), [], id="rejected in another group"),
        pytest.param(commit_event(), ["CommitRule"], id="commit"),
        pytest.param(commit_event("referenceCreated"), ["CommitRule"], id="first commit"),
        pytest.param(commit_event(branch="feature"), [], id="another branch"),
        pytest.param(commit_event("referenceDeleted"), [], id="deleted branch"),
        pytest.param(commit_event(repository="sagemaker-another"), [], id="another repository"),
        pytest.param(tag_event(), [], id="a tag called main"),
    ],
)
@pytest.mark.parametrize("parameters", [HERE, WITHOUT_TRAINING], ids=["with training", "without training"])
def test_what_starts_a_pipeline(event: dict[str, Json], rules: list[str], parameters: dict[str, str]) -> None:
    launched = project(**parameters)
    fired = [
        logical_id
        for logical_id, properties in launched.of_type("AWS::Events::Rule").items()
        if EventPattern(None, properties["EventPattern"]).matches_event(cast("Any", event))
    ]
    assert fired == rules


@pytest.mark.parametrize(
    ("parameters", "on_a_commit"),
    [
        pytest.param(HERE, ["Pipeline", "TrainPipeline"], id="with training"),
        pytest.param(WITHOUT_TRAINING, ["Pipeline"], id="without training"),
    ],
)
def test_every_rule_starts_pipelines_of_this_project(parameters: dict[str, str], on_a_commit: list[str]) -> None:
    """A model's approval or rejection trains nothing."""
    launched = project(**parameters)
    started = {"ApprovedRule": ["Pipeline"], "RejectedRule": ["Pipeline"], "CommitRule": on_a_commit}
    rules = launched.of_type("AWS::Events::Rule")
    assert set(rules) == set(started)
    for logical_id, pipelines in started.items():
        targets = rules[logical_id]["Targets"]
        assert [target["Arn"] for target in targets] == [launched.arn(pipeline) for pipeline in pipelines]
        assert len({target["Id"] for target in targets}) == len(targets) <= 5
        for target in targets:
            assert target["RoleArn"] == _reader(ACCOUNT, "sagemaker-seed/sagemaker-seed-events")


def transformed(target: dict[str, Json], event: dict[str, Json]) -> dict[str, Json] | None:
    """What EventBridge sends on: for each placeholder the text at its path."""
    if "InputTransformer" not in target:
        return None
    sent = str(target["InputTransformer"]["InputTemplate"])
    for key, path in target["InputTransformer"]["InputPathsMap"].items():
        value: Json = event
        for step in path.removeprefix("$.").split("."):
            value = value[step]
        sent = sent.replace(f"<{key}>", str(value))
    return dict(json.loads(sent))


def test_an_approval_deploys_its_package_and_all_else_the_newest_approved() -> None:
    launched = project()
    rules = launched.of_type("AWS::Events::Rule")
    event = model_event("Approved")
    (target,) = rules["ApprovedRule"]["Targets"]
    sent = transformed(target, event)
    assert sent == {"variables": [{"name": "ModelPackageArn", "value": event["detail"]["ModelPackageArn"]}]}
    (variable,) = launched.resources["Pipeline"]["Properties"]["Variables"]
    assert [entry["name"] for entry in sent["variables"]] == [variable["Name"]]
    start = Session().get_service_model("codepipeline").shape_for("StartPipelineExecutionInput")
    assert set(sent) <= set(start.members)  # type: ignore[attr-defined]
    for other in ("RejectedRule", "CommitRule"):
        for target in rules[other]["Targets"]:
            assert not {"Input", "InputPath", "InputTransformer"} & set(target), "the variable keeps its default"


# ------------------------------------------------------------------------------------------------------ policies


def policies(resolved: Resolved) -> Iterator[tuple[str, str, list[dict[str, Json]]]]:
    """Every identity policy of a template: whose it is, what it is called, and its statements."""
    for logical_id, properties in resolved.of_type("AWS::IAM::Role").items():
        for policy in properties.get("Policies", []):
            yield logical_id, policy["PolicyName"], policy["PolicyDocument"]["Statement"]
        for attached in resolved.template["Resources"][logical_id]["Properties"].get("ManagedPolicyArns", []):
            managed = resolved.of_type("AWS::IAM::ManagedPolicy")[attached["Ref"]]
            yield logical_id, managed["ManagedPolicyName"], managed["PolicyDocument"]["Statement"]
    for logical_id, properties in resolved.of_type("AWS::IAM::RolePolicy").items():
        # Of a role of this template, or of another one: then it is a holder by itself.
        named = (key for key in resolved.resources if resolved.name(key) == properties["RoleName"])
        yield next(named, logical_id), properties["PolicyName"], properties["PolicyDocument"]["Statement"]
    for logical_id, properties in resolved.of_type("AWS::IAM::ManagedPolicy").items():
        yield logical_id, properties["ManagedPolicyName"], properties["PolicyDocument"]["Statement"]


def statements_of(resolved: Resolved, holder: str) -> list[dict[str, Json]]:
    return [statement for owner, _, statements in policies(resolved) if owner == holder for statement in statements]


def allowed(statements: list[dict[str, Json]], action: str, resource: str) -> bool:
    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action.lower(), pattern.lower()) for pattern in many(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in many(statement["Resource"]))
        for statement in statements
    )


ROLES = {
    "CodePipelineRole": "codepipeline",
    "EventsRole": "events",
    "BuildRole": "codebuild",
    "SecurityRole": "codebuild",
    "TestRole": "codebuild",
    "TrainRole": "codebuild",
    "TrainingRole": "sagemaker",
    "CloudFormationRole": "cloudformation",
    "ModelRole": "sagemaker",
}
# These send aws:SourceAccount for certain, so for them the condition may be strict.
SENDS_SOURCE_ACCOUNT = {"codebuild", "events"}


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("data-science-account.yaml", ROLES),
        ("catalog.yaml", {"LaunchRole": "servicecatalog"}),
        ("watching.yaml", {"MonitorRole": "sagemaker", "WatchRole": "events"}),
    ],
)
def test_each_role_trusts_one_service_for_one_account(name: str, roles: dict[str, str]) -> None:
    found = Resolved(name).of_type("AWS::IAM::Role")
    assert set(found) == set(roles)
    for logical_id, service in roles.items():
        assert found[logical_id]["Path"] == "/sagemaker-seed/"
        (trust,) = found[logical_id]["AssumeRolePolicyDocument"]["Statement"]
        operator = "StringEquals" if service in SENDS_SOURCE_ACCOUNT else "StringEqualsIfExists"
        assert trust == {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {operator: {"aws:SourceAccount": ACCOUNT}},
        }


@pytest.mark.parametrize("name", BY_HAND)
def test_a_boundary_bounds_every_role_when_there_is_one(name: str) -> None:
    boundary = f"arn:{'aws'}:iam::{ACCOUNT}:policy/boundary"
    assert all("PermissionsBoundary" not in role for role in Resolved(name).of_type("AWS::IAM::Role").values())
    bounded = Resolved(name, PermissionsBoundaryArn=boundary).of_type("AWS::IAM::Role").values()
    assert {role["PermissionsBoundary"] for role in bounded} == {boundary}


def test_every_role_that_a_project_names_exists() -> None:
    account = Resolved("data-science-account.yaml").of_type("AWS::IAM::Role").values()
    made = {f"{role['Path'].strip('/')}/{role['RoleName']}" for role in account}
    endpoint = yaml.load((SEED / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8"), Loader=_Loader)
    watching = Resolved("watching.yaml").of_type("AWS::IAM::Role").values()
    assert {f"{role['Path'].strip('/')}/{role['RoleName']}" for role in watching} == {
        endpoint["Parameters"][f"{kind}RoleName"]["Default"] for kind in ("Monitor", "Watch")
    }
    template = load("project.yaml")
    named = set(template["Mappings"]["Roles"]["Names"].values())
    named |= {template["Parameters"][f"SageMakerExecutionRole{stage}Name"]["Default"] for stage in ("Staging", "Prod")}
    made |= {f"{role['Path'].strip('/')}/{role['RoleName']}" for role in _of_stack_sets("AdministrationRole")}
    made |= {f"{role['Path'].strip('/')}/{role['RoleName']}" for role in _of_stack_sets("StackSetsRole")}
    in_a_stage = {
        "sagemaker-seed/sagemaker-seed-deploy",
        "sagemaker-seed/sagemaker-seed-monitor",
        "sagemaker-seed-stackset-execution",
    }
    assert named - made == in_a_stage, "only these are in a stage's account"
    assert made == named & made


def _of_stack_sets(logical_id: str) -> list[dict[str, Json]]:
    found = [Resolved("stacksets.yaml", DeployTarget=target).resources for target in STACK_SETS]
    return [resources[logical_id]["Properties"] for resources in found if logical_id in resources]


def test_every_role_has_its_arn_among_the_outputs() -> None:
    account = Resolved("data-science-account.yaml")
    assert account.outputs == {f"{key}Arn": account.arn(key) for key in ROLES}


@cache
def iam_actions() -> dict[str, Json]:
    path = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def known_action(action: str) -> dict[str, Json] | None:
    service, name = action.lower().split(":")
    found = iam_actions()[service]["Actions"].get(name)
    return None if found is None else dict(found)


# Actions that IAM can scope to a resource, but not to the one meant here.
STAR_ANYWAY = {
    "s3:GetObject": "Service Catalog keeps its copy of a template in a bucket of AWS; the object's tag bounds it",
    "s3:GetObjectVersion": "as s3:GetObject",
    "cloudformation:GetTemplateSummary": "asked about a template's URL, when there is no stack yet",
    "cloudwatch:PutMetricData": "a metric is no resource; its namespace bounds it",
    "cloudwatch:GetMetricData": "a metric is no resource",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_policy_names_resources_wherever_iam_knows_any(name: str) -> None:
    starred: set[str] = set()
    for holder, policy, statements in policies(Resolved(name)):
        for statement in statements:
            where = f"{name} {holder} {policy} {statement['Sid']}"
            everything = many(statement["Resource"]) == ["*"]
            assert "*" not in many(statement["Resource"]) or everything, where
            for action in many(statement["Action"]):
                if action.endswith("*"):
                    assert not everything, where
                    continue
                known = known_action(action)
                assert known is not None, f"{where}: {action} does not exist"
                scopable = bool(known.get("Resources"))
                if everything and scopable:
                    starred.add(action)
                assert scopable or everything, f"{where}: {action} has no resource, so it needs Resource: '*'"
    assert starred <= set(STAR_ANYWAY)
    if name == "catalog.yaml":
        assert {"s3:GetObject", "cloudformation:GetTemplateSummary"} <= starred


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("catalog.yaml", {"s3:GetBucket*"}),
        ("data-science-account.yaml", {"kms:GenerateDataKey*", "kms:ReEncrypt*"}),
        ("target-account.yaml", {"kms:GenerateDataKey*"}),
        ("watching.yaml", {"kms:GenerateDataKey*"}),
        ("stored-inference.yaml", {"kms:GenerateDataKey*"}),
    ],
)
def test_actions_are_named_one_by_one(name: str, expected: set[str]) -> None:
    actions_ = {
        action
        for _, _, statements in policies(Resolved(name))
        for statement in statements
        for action in many(statement["Action"])
    }
    assert {action for action in actions_ if set("*?") & set(action)} == expected


@pytest.mark.parametrize("name", BY_HAND)
def test_nothing_hands_on_a_role_to_just_anybody(name: str) -> None:
    passing = [
        (holder, statement)
        for holder, _, statements in policies(Resolved(name))
        for statement in statements
        if any(fnmatchcase("iam:PassRole", pattern) for pattern in many(statement["Action"]))
    ]
    assert passing
    for holder, statement in passing:
        for resource in many(statement["Resource"]):
            assert ":role/sagemaker-seed/sagemaker-seed-" in resource, holder
        if holder != "PublisherPolicy":  # Service Catalog hands the launch role on to itself
            assert list(statement["Condition"]) == ["StringEquals"]
            assert statement["Condition"]["StringEquals"]["iam:PassedToService"]


@pytest.mark.parametrize("name", BY_HAND)
def test_no_key_is_used_unconditionally(name: str) -> None:
    harmless = (
        "kms:Describe",
        "kms:Get",
        "kms:List",
        "kms:EnableKeyRotation",
        "kms:CreateAlias",
        "kms:UpdateAlias",
        "kms:DeleteAlias",
    )
    for holder, _, statements in policies(Resolved(name)):
        for statement in statements:
            risky = [a for a in many(statement["Action"]) if a.startswith("kms:") and not a.startswith(harmless)]
            assert not risky or statement.get("Condition"), (holder, statement["Sid"])


@pytest.mark.parametrize("name", BY_HAND)
def test_policies_fit_iams_limits(name: str) -> None:
    resolved = Resolved(name)
    sizes: dict[str, int] = {}
    for holder, _, statements in policies(resolved):
        document = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
        sizes[holder] = sizes.get(holder, 0) + len(document)
        assert len({statement["Sid"] for statement in statements}) == len(statements)
    for holder, size in sizes.items():
        managed = holder in resolved.of_type("AWS::IAM::ManagedPolicy")
        assert size <= (6144 if managed else 10240), (holder, size)


@pytest.mark.parametrize("external_id", ["", "from:platform-1"])
def test_a_stages_account_is_entered_by_the_pipeline_and_the_tests_of_one_account_alone(external_id: str) -> None:
    made = Resolved("target-account.yaml", ExternalId=external_id)
    role = f"arn:aws:iam::{DATA_SCIENCE_ACCOUNT}:role/sagemaker-seed/sagemaker-seed"
    enters = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{DATA_SCIENCE_ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    tested = {"StringEquals": {"sts:ExternalId": external_id}} if external_id else {}
    assert made.resources["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"] == [
        enters | {"Sid": "PipelinesDeploy", "Condition": {"ArnEquals": {"aws:PrincipalArn": f"{role}-codepipeline"}}},
        enters | {"Sid": "TestsLook", "Condition": {"ArnEquals": {"aws:PrincipalArn": f"{role}-test"}} | tested},
    ]


def test_a_stages_account_lets_in_what_its_target_needs_and_no_more() -> None:
    found = {
        target: Resolved("target-account.yaml", DeployTarget=target).of_type("AWS::IAM::Role")
        for target in ("cloudformation", *STACK_SETS)
    }
    sets = Resolved("stacksets.yaml")
    for target in STACK_SETS:
        deploy = found[target]["DeployRole"]
        (trust,) = deploy["AssumeRolePolicyDocument"]["Statement"]
        only = trust["Condition"]["ArnEquals"]["aws:PrincipalArn"]
        assert only.endswith("/sagemaker-seed-test"), "the pipeline itself has nothing to do there"
        assert [policy["PolicyName"] for policy in deploy["Policies"]] == ["test", "approval"]
    assert "CloudFormationRole" not in found["stackset-service-managed"], "Organizations makes one of its own"
    execution, normal = (found[t]["CloudFormationRole"] for t in ("stackset-self-managed", "cloudformation"))
    assert (execution["Path"], execution["RoleName"]) == ("/", "sagemaker-seed-stackset-execution")
    (trust,) = execution["AssumeRolePolicyDocument"]["Statement"]
    administration = sets.arn("AdministrationRole").replace(ACCOUNT, DATA_SCIENCE_ACCOUNT)
    assert trust["Condition"] == {"ArnEquals": {"aws:PrincipalArn": administration}}
    assumed = statements_of(sets, "AdministrationRole")
    assert allowed(assumed, "sts:AssumeRole", f"arn:aws:iam::{STAGING}:role/{execution['RoleName']}")
    assert not allowed(assumed, "sts:AssumeRole", f"arn:aws:iam::{STAGING}:role/sagemaker-seed/sagemaker-seed-deploy")
    names = [policy["PolicyName"] for policy in normal["Policies"]]
    assert [policy["PolicyName"] for policy in execution["Policies"]] == ["stacks", *names]


def test_stack_sets_are_touched_by_name_alone() -> None:
    name = f"sagemaker-{LONG_NAME}-{LONG_ID}-prod"
    pipeline = Resolved("stacksets.yaml").resources["PipelinePolicy"]["Properties"]
    build = Resolved("stacksets.yaml", DeployTarget="stackset-service-managed")
    for statements, account in (
        (pipeline["PolicyDocument"]["Statement"], ACCOUNT),
        (statements_of(build, "StackSetsRole"), STAGING),  # a delegated administrator's sets are the management's
    ):
        own, other = (f"arn:aws:cloudformation:{LONG_REGION}:{account}:stackset/{n}:u" for n in (name, "landing-zone"))
        for verb in ("UpdateStackSet", "CreateStackInstances", "DescribeStackSetOperation"):
            assert allowed(statements, f"cloudformation:{verb}", own), verb
            assert not allowed(statements, f"cloudformation:{verb}", other), verb
        assert not allowed(statements, "cloudformation:DeleteStackSet", own)


def test_a_stages_account_has_the_roles_that_a_project_names_there() -> None:
    names = load("project.yaml")["Mappings"]["Roles"]["Names"]
    roles = Resolved("target-account.yaml").of_type("AWS::IAM::Role")
    found = {f"{role['Path'].strip('/')}/{role['RoleName']}" for role in roles.values()}
    default = load("project.yaml")["Parameters"]["SageMakerExecutionRoleStagingName"]["Default"]
    assert found == {names["Deploy"], names["CloudFormation"], default}


def test_a_stages_account_makes_endpoints_with_the_same_rights_as_the_account_that_trains() -> None:
    own = Resolved("data-science-account.yaml")
    other = Resolved("target-account.yaml")
    differ = {"ModelsFromPackages", "ModelArtifacts", "ModelBuckets"}
    # Of the other account: what is read there, and the keys that it is encrypted with.
    more = {"Artifacts", "ArtifactKeys", "KeysOfTheArtifacts", "KeysOfCapturedData", "KeysOfTheseBuckets"}
    for role in ("CloudFormationRole", "ModelRole"):
        here = {s["Sid"]: s for s in statements_of(own, role) if s["Sid"] not in differ | more}
        there = {s["Sid"]: s for s in statements_of(other, role) if s["Sid"] not in differ | more}
        assert here == there
        assert len(here) >= 5


def test_a_stages_account_can_run_a_model_but_not_change_its_approval() -> None:
    resolved = Resolved("target-account.yaml")
    package = f"arn:aws:sagemaker:{LONG_REGION}:{DATA_SCIENCE_ACCOUNT}:model-package/iris-p-1/1"
    statements = [
        s for role in ("DeployRole", "CloudFormationRole", "ModelRole") for s in statements_of(resolved, role)
    ]
    on_packages = {
        action
        for statement in statements
        if any(fnmatchcase(package, pattern) for pattern in many(statement["Resource"]))
        for action in many(statement["Action"])
    }
    assert {a for a in on_packages if a.startswith("sagemaker:")} == {
        "sagemaker:CreateModel",
        "sagemaker:DescribeModelPackage",
    }


def test_the_account_that_trains_takes_no_second_set_of_roles() -> None:
    (rule,) = load("target-account.yaml")["Rules"].values()
    (assertion,) = rule["Assertions"]
    assert assertion["Assert"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "DataScienceAccountId"}, {"Ref": "AWS::AccountId"}]}]
    }


SEED_BUCKET = f"sagemaker-seed-{ACCOUNT}-{LONG_REGION}"


def test_nothing_that_runs_in_a_project_touches_the_seed_bucket() -> None:
    assert Resolved("catalog.yaml").name("SeedBucket") == SEED_BUCKET
    account = Resolved("data-science-account.yaml")
    for holder in ROLES:
        statements = statements_of(account, holder)
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:PutBucketPolicy"):
            for resource in (f"arn:{'aws'}:s3:::{SEED_BUCKET}", f"arn:{'aws'}:s3:::{SEED_BUCKET}/seed-code/x/y.zip"):
                assert not allowed(statements, action, resource), (holder, action)


def test_no_build_approves_what_it_deploys_and_no_training_what_it_registers() -> None:
    account = Resolved("data-science-account.yaml")
    for holder in ROLES:
        statements = statements_of(account, holder)
        for verb in ("UpdateModelPackage", "DeleteModelPackage", "BatchUpdateModelPackage"):
            assert not granted(statements, f"sagemaker:{verb}"), holder
        registering = [s for s in statements if granted([s], "sagemaker:CreateModelPackage")]
        assert bool(registering) == (holder == "TrainingRole"), holder
        for statement in registering:
            assert statement["Action"] == "sagemaker:CreateModelPackage"
            assert statement["Condition"] == {
                "StringEqualsIfExists": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
            }


def test_only_what_starts_a_training_hands_on_its_role_and_only_to_sagemaker() -> None:
    role = Resolved("data-science-account.yaml").arn("TrainingRole")
    handing = {
        (holder, json.dumps(statement["Condition"]))
        for name in ("catalog.yaml", "data-science-account.yaml")
        for holder, _, statements in policies(Resolved(name))
        for statement in statements
        if allowed([statement], "iam:PassRole", role)
    }
    only = json.dumps({"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    assert handing == {("TrainRole", only), ("TrainingRole", only)}


def test_metrics_stay_in_the_namespaces_of_what_reports_them() -> None:
    namespaces = {
        holder: statement["Condition"]
        for holder in ROLES
        for statement in statements_of(Resolved("data-science-account.yaml"), holder)
        if granted([statement], "cloudwatch:PutMetricData")
    }
    jobs = ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"]
    assert namespaces == {
        "TrainingRole": {"StringEquals": {"cloudwatch:namespace": jobs}},
        "ModelRole": {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker*", "/aws/sagemaker/*"]}},
    }


# What SageMaker calls with the pipeline's role, for each type of step that has a call, and on what.
STEP_CALLS = {
    "Processing": (
        "processing-job/pipelines-x-Preprocess-y",
        {"AddTags", "CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob"},
    ),
    "Training": (
        "training-job/pipelines-x-Train-y",
        {"AddTags", "CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"},
    ),
    "RegisterModel": ("model-package/{project}/1", {"AddTags", "CreateModelPackage", "DescribeModelPackage"}),
    "RegisterModel, first": ("model-package-group/{project}", {"AddTags", "CreateModelPackageGroup"}),
}


@pytest.mark.parametrize("step", STEP_CALLS)
def test_the_training_role_can_run_every_step_of_the_pipeline(step: str) -> None:
    where, verbs = STEP_CALLS[step]
    resource = f"arn:{'aws'}:sagemaker:{HERE_ARN}:{where.format(project=f'{LONG_NAME}-{LONG_ID}')}"
    statements = statements_of(Resolved("data-science-account.yaml"), "TrainingRole")
    assert {verb for verb in verbs if not allowed(statements, f"sagemaker:{verb}", resource)} == set()


def test_the_training_role_does_nothing_else_in_sagemaker() -> None:
    statements = statements_of(Resolved("data-science-account.yaml"), "TrainingRole")
    may = {
        action for statement in statements for action in many(statement["Action"]) if action.startswith("sagemaker:")
    }
    steps = {f"sagemaker:{verb}" for _, verbs in STEP_CALLS.values() for verb in verbs}
    assert may - steps == {"sagemaker:DescribeModelPackageGroup"}


@pytest.mark.parametrize(
    ("holder", "action", "resource", "expected"),
    [
        ("CodePipelineRole", "codebuild:StartBuild", "codebuild:{here}:project/sagemaker-{project}-build", True),
        (
            "CodePipelineRole",
            "cloudformation:UpdateStack",
            "cloudformation:{here}:stack/sagemaker-{project}-staging/u",
            True,
        ),
        (
            "CodePipelineRole",
            "cloudformation:UpdateStack",
            "cloudformation:{here}:stack/sagemaker-{project}-prod/u",
            True,
        ),
        ("CodePipelineRole", "cloudformation:UpdateStack", "cloudformation:{here}:stack/SC-{account}-pp-x/u", False),
        (
            "CodePipelineRole",
            "cloudformation:DeleteStack",
            "cloudformation:{here}:stack/sagemaker-{project}-prod/u",
            False,
        ),
        ("CodePipelineRole", "s3:PutObject", "s3:::sagemaker-project-{id}-{account}/a/b", True),
        ("CodePipelineRole", "sts:AssumeRole", "iam::{other}:role/sagemaker-seed/sagemaker-seed-deploy", True),
        ("CodePipelineRole", "sts:AssumeRole", "iam::{other}:role/admin", False),
        ("CodePipelineRole", "codecommit:UploadArchive", "codecommit:{here}:sagemaker-{project}", True),
        ("BuildRole", "s3:PutObject", "s3:::sagemaker-project-{id}-{account}/a/b", True),
        (
            "BuildRole",
            "logs:PutLogEvents",
            "logs:{here}:log-group:/aws/codebuild/sagemaker-{project}-build:log-stream:x",
            True,
        ),
        (
            "BuildRole",
            "codebuild:CreateReportGroup",
            "codebuild:{here}:report-group/sagemaker-{project}-build-unit-tests",
            True,
        ),
        ("BuildRole", "sts:AssumeRole", "iam::{other}:role/sagemaker-seed/sagemaker-seed-deploy", False),
        ("TestRole", "sts:AssumeRole", "iam::{other}:role/sagemaker-seed/sagemaker-seed-deploy", True),
        ("TestRole", "sagemaker:InvokeEndpoint", "sagemaker:{here}:endpoint/{project}-staging", True),
        ("TestRole", "sagemaker:InvokeEndpoint", "sagemaker:{here}:endpoint/another", False),
        ("TestRole", "sagemaker:DeleteEndpoint", "sagemaker:{here}:endpoint/{project}-staging", False),
        ("EventsRole", "codepipeline:StartPipelineExecution", "codepipeline:{here}:sagemaker-{project}-deploy", True),
        ("EventsRole", "codepipeline:StartPipelineExecution", "codepipeline:{here}:another", False),
        ("EventsRole", "codepipeline:StartPipelineExecution", "codepipeline:{here}:sagemaker-{project}-train", True),
        ("CodePipelineRole", "codebuild:StartBuild", "codebuild:{here}:project/sagemaker-{project}-train", True),
        ("TrainRole", "s3:GetObject", "s3:::sagemaker-project-{id}-{account}/sagemaker-x/SourceArti/y", True),
        ("TrainRole", "s3:PutObject", "s3:::sagemaker-project-{id}-{account}/{project}/code/x/train.py", True),
        ("TrainRole", "s3:PutObject", "s3:::sagemaker-{region}-{account}/code/x/train.py", False),
        ("TrainRole", "s3:DeleteObject", "s3:::sagemaker-project-{id}-{account}/{project}/code/x/train.py", False),
        ("TrainRole", "sagemaker:UpdatePipeline", "sagemaker:{here}:pipeline/{project}-training", True),
        ("TrainRole", "sagemaker:StartPipelineExecution", "sagemaker:{here}:pipeline/{project}-training", True),
        ("TrainRole", "sagemaker:StartPipelineExecution", "sagemaker:{here}:pipeline/another", False),
        ("TrainRole", "sagemaker:DeletePipeline", "sagemaker:{here}:pipeline/{project}-training", False),
        (
            "TrainRole",
            "sagemaker:StopPipelineExecution",
            "sagemaker:{here}:pipeline/{project}-training/execution/x",
            True,
        ),
        ("TrainRole", "sagemaker:StopPipelineExecution", "sagemaker:{here}:pipeline/another/execution/x", False),
        ("TrainRole", "sagemaker:CreateTrainingJob", "sagemaker:{here}:training-job/pipelines-x-Train-y", False),
        ("TrainRole", "sagemaker:CreateModelPackageGroup", "sagemaker:{here}:model-package-group/{project}", True),
        ("TrainRole", "sagemaker:PutModelPackageGroupPolicy", "sagemaker:{here}:model-package-group/{project}", False),
        ("TrainRole", "sagemaker:DescribeModelPackage", "sagemaker:{here}:model-package/{project}/1", True),
        (
            "TrainRole",
            "logs:PutLogEvents",
            "logs:{here}:log-group:/aws/codebuild/sagemaker-{project}-train:log-stream:x",
            True,
        ),
        (
            "TrainRole",
            "codebuild:CreateReportGroup",
            "codebuild:{here}:report-group/sagemaker-{project}-train-training",
            True,
        ),
        ("TrainRole", "iam:PassRole", "iam::{account}:role/sagemaker-seed/sagemaker-seed-training", True),
        ("TrainRole", "iam:PassRole", "iam::{account}:role/sagemaker-seed/sagemaker-seed-model", False),
        ("TrainRole", "sts:AssumeRole", "iam::{other}:role/sagemaker-seed/sagemaker-seed-deploy", False),
        ("TrainingRole", "s3:GetObject", "s3:::sagemaker-project-{id}-{account}/{project}/code/x/train.py", True),
        ("TrainingRole", "s3:PutObject", "s3:::sagemaker-project-{id}-{account}/a/model.tar.gz", True),
        ("TrainingRole", "s3:ListBucket", "s3:::sagemaker-project-{id}-{account}", True),
        ("TrainingRole", "s3:GetObject", "s3:::sagemaker-{region}-{account}/model.tar.gz", False),
        ("TrainingRole", "sagemaker:StopTrainingJob", "sagemaker:{here}:training-job/by-hand", False),
        ("TrainingRole", "sagemaker:CreateProcessingJob", "sagemaker:{here}:processing-job/by-hand", False),
        ("TrainingRole", "sagemaker:CreateEndpoint", "sagemaker:{here}:endpoint/{project}-prod", False),
        ("TrainingRole", "iam:PassRole", "iam::{account}:role/sagemaker-seed/sagemaker-seed-train", False),
        ("TrainingRole", "ecr:BatchGetImage", "ecr:{region}:{other}:repository/sagemaker-xgboost", True),
        ("TrainingRole", "ecr:BatchGetImage", "ecr:{region}:{other}:repository/another", False),
        (
            "TrainingRole",
            "logs:PutLogEvents",
            "logs:{here}:log-group:/aws/sagemaker/TrainingJobs:log-stream:pipelines-x/algo-1",
            True,
        ),
        (
            "TrainingRole",
            "logs:CreateLogStream",
            "logs:{here}:log-group:/aws/sagemaker/ProcessingJobs:log-stream:pipelines-x/algo-1",
            True,
        ),
        ("TrainingRole", "logs:PutLogEvents", "logs:{here}:log-group:/aws/sagemaker/Endpoints/x:log-stream:y", False),
        ("CloudFormationRole", "iam:PassRole", "iam::{account}:role/sagemaker-seed/sagemaker-seed-model", True),
        ("CloudFormationRole", "iam:PassRole", "iam::{account}:role/sagemaker-seed/sagemaker-seed-model-team", True),
        ("CloudFormationRole", "iam:PassRole", "iam::{account}:role/studio-admin", False),
        ("ModelRole", "s3:GetObject", "s3:::sagemaker-project-{id}-{account}/training/model.tar.gz", True),
        ("ModelRole", "s3:GetObject", "s3:::sagemaker-{region}-{account}/model.tar.gz", True),
        ("ModelRole", "s3:PutObject", "s3:::sagemaker-{region}-{account}/data-capture/{project}-prod/x", True),
        ("ModelRole", "s3:PutObject", "s3:::sagemaker-{region}-{account}/model.tar.gz", False),
        ("ModelRole", "ecr:BatchGetImage", "ecr:{region}:{other}:repository/sagemaker-xgboost", True),
        ("ModelRole", "ecr:BatchGetImage", "ecr:{region}:{other}:repository/another", False),
    ],
)
def test_what_a_role_may_do(holder: str, action: str, resource: str, expected: bool) -> None:
    place = {"here": HERE_ARN, "account": ACCOUNT, "other": STAGING, "region": LONG_REGION}
    filled = resource.format(**place, id=LONG_ID, project=f"{LONG_NAME}-{LONG_ID}")
    statements = statements_of(Resolved("data-science-account.yaml"), holder)
    assert allowed(statements, action, f"arn:{'aws'}:{filled}") is expected


# ------------------------------------------------------------------ policies: what CloudFormation's handlers call


@cache
def schema(type_name: str) -> dict[str, Json]:
    return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_name).schema)


def handler_permissions(type_name: str) -> set[str]:
    handlers = schema(type_name).get("handlers")
    if not handlers:
        return set(WITHOUT_HANDLERS[type_name])
    return {
        permission
        for handler in ("create", "read", "update", "delete")
        for permission in handlers.get(handler, {}).get("permissions", [])
    }


# What a handler may call for a property that a template does not use. The test fails when a template begins to use the
# property, or the schema no longer has the action.
UNUSED_BY_PROJECT = {
    name: table
    for name, table in ONLY_FOR.items()
    if name not in {"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::SageMaker::Pipeline"}  # a stage's, not its
}


def _needs(resolved: Resolved, unused: dict[str, dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Resource, action and ARN for every call that CloudFormation makes for what a template uses."""
    for logical_id, resource in resolved.resources.items():
        type_name = resource["Type"]
        for action in sorted(handler_permissions(type_name)):
            if action in unused.get(type_name, {}):
                continue
            action_ = NO_SUCH_ACTION.get(action, action)
            if action_ is None:
                continue
            for arn in _targets(resolved, logical_id, resource, action_):
                yield logical_id, action_, arn


def _targets(resolved: Resolved, logical_id: str, resource: dict[str, Json], action: str) -> Iterator[str]:
    properties, type_name = resource["Properties"], resource["Type"]
    if action in ("iam:PassRole", "iam:GetRole"):
        for key in ("RoleArn", "ServiceRole"):
            if key in properties:
                yield properties[key]
        for target in properties.get("Targets", []):
            yield target["RoleArn"]
    elif action in ("s3:GetObject", "s3:GetObjectVersion"):
        yield f"arn:{'aws'}:s3:::{SEED_BUCKET}/seed-code/slug/digest.zip"
    elif not (known_action(action) or {}).get("Resources"):
        yield "*"
    elif type_name == "AWS::S3::BucketPolicy":
        yield resolved.arn("ArtifactBucket")
    else:
        yield resolved.arn(logical_id)
        if type_name == "AWS::KMS::Alias":
            yield resolved.arn("ArtifactKey")


@pytest.mark.parametrize(
    "parameters",
    [HERE, ELSEWHERE, WITHOUT_TRAINING, THREE, SELF_MANAGED, SERVICE_MANAGED, {"RetrainOnDrift": "yes"}],
    ids=["here", "elsewhere", "without training", "three stages", "self-managed", "service-managed", "on drift"],
)
def test_the_launch_role_can_make_change_and_delete_a_project(parameters: dict[str, str]) -> None:
    statements = statements_of(Resolved("catalog.yaml"), "LaunchRole")
    launched = project(**parameters)
    needs = list(_needs(launched, UNUSED_BY_PROJECT))
    assert len(needs) > 150
    assert [need for need in needs if not allowed(statements, need[1], need[2])] == []


def test_the_launch_role_hands_on_to_each_service_the_roles_that_a_project_names_for_it() -> None:
    launched = project()
    of_sets = project(**SERVICE_MANAGED)
    all_builds = [
        *launched.of_type("AWS::CodeBuild::Project").values(),
        of_sets.resources["DeployProject"]["Properties"],
    ]
    builds = {build["ServiceRole"] for build in all_builds}
    pipelines = {pipeline["RoleArn"] for pipeline in launched.of_type("AWS::CodePipeline::Pipeline").values()}
    targets = [t for rule in launched.of_type("AWS::Events::Rule").values() for t in rule["Targets"]]
    deploys = {action["Configuration"]["RoleArn"] for name, action in actions(launched).items() if "/Deploy" in name}
    handed = {
        statement["Condition"]["StringEquals"]["iam:PassedToService"]: set(many(statement["Resource"]))
        for statement in statements_of(Resolved("catalog.yaml"), "LaunchRole")
        if "iam:PassRole" in many(statement["Action"])
    }
    assert handed == {
        "codebuild.amazonaws.com": builds,
        "codepipeline.amazonaws.com": pipelines,
        "events.amazonaws.com": {target["RoleArn"] for target in targets},
        "cloudformation.amazonaws.com": deploys,
    }


def test_what_the_launch_role_does_without_is_for_properties_that_nothing_uses() -> None:
    resources = project(**ELSEWHERE, RetrainOnDrift="yes").resources.values()
    for type_name, table in UNUSED_BY_PROJECT.items():
        properties = schema(type_name)["properties"]
        used = {key for resource in resources if resource["Type"] == type_name for key in resource["Properties"]}
        assert used, type_name
        for action, name in table.items():
            assert action in handler_permissions(type_name), f"{type_name} no longer needs {action}"
            assert name in properties, f"{type_name} has no {name}"
            assert name not in used, f"{type_name}.{name} is used: grant {action}"


def test_what_no_schema_lists_the_launch_role_may_do_nevertheless() -> None:
    """Service Catalog's own calls, and a read of the template's copy in a bucket of AWS."""
    statements = statements_of(Resolved("catalog.yaml"), "LaunchRole")
    stack = f"arn:{'aws'}:cloudformation:{HERE_ARN}:stack/SC-{ACCOUNT}-pp-x/u"
    for verb in (
        "CreateStack",
        "UpdateStack",
        "DeleteStack",
        "DescribeStacks",
        "DescribeStackEvents",
        "SetStackPolicy",
    ):
        assert allowed(statements, f"cloudformation:{verb}", stack)
    for verb in ("CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "TagResource"):
        assert allowed(statements, f"cloudformation:{verb}", stack)
    for verb in ("ValidateTemplate", "GetTemplateSummary"):
        assert allowed(statements, f"cloudformation:{verb}", "*")
    (read,) = [s for s in statements if "s3:GetObject" in many(s["Action"])]
    assert read["Condition"] == {"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}}
    for forbidden in (
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:AttachRolePolicy",
        "s3:PutObject",
        "servicecatalog:ProvisionProduct",
    ):
        assert not allowed(statements, forbidden, "*")


def test_the_launch_role_harms_no_key_but_a_projects() -> None:
    harmful = {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:UntagResource"}
    for statement in statements_of(Resolved("catalog.yaml"), "LaunchRole"):
        if harmful & set(many(statement["Action"])):
            assert statement["Condition"] == {"Null": {"aws:ResourceTag/sagemaker:project-id": "false"}}
        if "kms:CreateKey" in many(statement["Action"]):
            assert statement["Condition"] == {"Null": {"aws:RequestTag/sagemaker:project-id": "false"}}


# The same for an endpoint's stack, made by the cloudformation role.
UNUSED_BY_ENDPOINT = {
    "events:PutPartnerEvents": "rules are for events of AWS's own",
    "s3:GetObject": "the definition of the monitor is in the template",
    "application-autoscaling:DeleteScheduledAction": "no scheduled actions",
    "application-autoscaling:PutScheduledAction": "no scheduled actions",
    "lambda:DeleteProvisionedConcurrencyConfig": "scales an endpoint, not a function",
    "lambda:GetProvisionedConcurrencyConfig": "scales an endpoint, not a function",
    "lambda:PutProvisionedConcurrencyConfig": "scales an endpoint, not a function",
}
ENDPOINT_ARNS = {
    "AWS::SageMaker::Model": "sagemaker:{here}:model/Model-x",
    "AWS::SageMaker::EndpointConfig": "sagemaker:{here}:endpoint-config/EndpointConfig-x",
    "AWS::SageMaker::Endpoint": "sagemaker:{here}:endpoint/{project}-prod",
    "AWS::SageMaker::Pipeline": "sagemaker:{here}:pipeline/{project}-prod-monitor",
    "AWS::Events::Rule": "events:{here}:rule/sagemaker-{id}-prod-monitor",
    "AWS::CloudWatch::Dashboard": "cloudwatch::{account}:dashboard/sagemaker-{project}-prod",
    "AWS::CloudWatch::Alarm": "cloudwatch:{here}:alarm:sagemaker-{project}-prod-ErrorAlarm-x",
    "AWS::ApplicationAutoScaling::ScalableTarget": "application-autoscaling:{here}:scalable-target/x",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "application-autoscaling:{here}:scalable-target/x",
    "AWS::Scheduler::Schedule": "scheduler:{here}:schedule/default/{project}-prod",
}
# The role that a type hands on, where it is not the model's.
HANDS_ON = {"AWS::Scheduler::Schedule": "iam::{account}:role/sagemaker-seed/sagemaker-seed-scheduler"}
ENDPOINT_CALLS_ON = {
    "iam:PassRole": "iam::{account}:role/sagemaker-seed/sagemaker-seed-model",
    "iam:CreateServiceLinkedRole": "iam::{account}:role/aws-service-role/"
    "sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    "kms:DescribeKey": "kms:{here}:key/x",
    "cloudwatch:PutMetricAlarm": "cloudwatch:{here}:alarm:TargetTracking-endpoint/{project}-prod/variant/AllTraffic-x",
    "cloudwatch:DeleteAlarms": "cloudwatch:{here}:alarm:TargetTracking-endpoint/{project}-prod/variant/AllTraffic-x",
    "cloudwatch:DescribeAlarms": "cloudwatch:{here}:alarm:*",
}
STAR_IN_PRACTICE = {"cloudwatch:GetMetricData"}


def endpoint_types() -> set[str]:
    """The types of what the endpoint templates make, of every kind of inference."""
    files = [SEED / "cfn-sm-endpoint-template.yml", *SEED.glob("inference/*/cfn-sm-endpoint-template.yml")]
    loaded = [yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader) for file in files]
    return {resource["Type"] for template in loaded for resource in template["Resources"].values()}


def test_the_cloudformation_role_can_make_change_and_delete_an_endpoint() -> None:
    types = endpoint_types()
    assert types == set(ENDPOINT_ARNS)
    statements = [
        *statements_of(Resolved("data-science-account.yaml"), "CloudFormationRole"),
        *statements_of(Resolved("stored-inference.yaml"), "SchedulePolicy"),
        *statements_of(Resolved("watching.yaml"), "CloudFormationPolicy"),
    ]
    place = {"here": HERE_ARN, "account": ACCOUNT, "project": f"{LONG_NAME}-{LONG_ID}", "id": LONG_ID}
    missing = []
    for type_name in sorted(types):
        for action in sorted(handler_permissions(type_name) - set(UNUSED_BY_ENDPOINT)):
            where = ENDPOINT_ARNS[type_name]
            if not action.startswith(where.split(":")[0]):
                where = ENDPOINT_CALLS_ON.get(action, where)
                where = HANDS_ON.get(type_name, where) if action == "iam:PassRole" else where
            star = not (known_action(action) or {}).get("Resources") or action in STAR_IN_PRACTICE
            if not allowed(statements, action, "*" if star else f"arn:{'aws'}:{where.format(**place)}"):
                missing.append((type_name, action))
    assert missing == []


# ------------------------------------------------------------------------ policies: what the project's code calls

# boto3's name of a call, where IAM's is another one.
IAM_NAME = {
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("sagemaker-runtime", "InvokeEndpoint"): "sagemaker:InvokeEndpoint",
}


@cache
def calls_of(service: str) -> dict[str, str]:
    operations = Session().get_service_model(service).operation_names
    return {
        xform_name(operation): IAM_NAME.get((service, operation), f"{service}:{operation}") for operation in operations
    }


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported_functions(files: list[Path], package: Path) -> list[ast.FunctionDef]:
    """The functions that the files import from a package's modules, and those beside them that these use."""
    functions: dict[tuple[str, str], ast.FunctionDef] = {}
    for module in package.glob("*.py"):
        for node in parsed(module).body:
            if isinstance(node, ast.FunctionDef):
                functions[module.stem, node.name] = node
    wanted = {
        (node.module.removeprefix(f"{package.name}."), alias.name)
        for file in files
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package.name}.")
        for alias in node.names
    }
    found: set[tuple[str, str]] = set()
    while wanted:
        one = wanted.pop()
        if one in functions and one not in found:
            found.add(one)
            wanted |= {(one[0], node.id) for node in ast.walk(functions[one]) if isinstance(node, ast.Name)}
    return [functions[one] for one in sorted(found)]


def aws_calls(places: Sequence[Path | ast.AST], services: tuple[str, ...]) -> set[str]:
    """The IAM actions behind every method call and paginator with the name of one of the services' operations."""
    names = {name: action for service in services for name, action in calls_of(service).items()}
    found: set[str] = set()
    for place in places:
        for node in ast.walk(parsed(place) if isinstance(place, Path) else place):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            method = node.func.attr
            if method == "get_paginator" and isinstance(node.args[0], ast.Constant):
                found.add(names[str(node.args[0].value)])
            elif method in names and not node.args:  # boto3 takes keywords only: pattern.search(text) is none of its
                found.add(names[method])
    return found


def granted(statements: list[dict[str, Json]], action: str) -> bool:
    return any(fnmatchcase(action, pattern) for s in statements for pattern in many(s["Action"]))


@pytest.mark.parametrize(
    ("holder", "files", "services", "at_least"),
    [
        ("BuildRole", ["build.py", "deploy/*.py"], ("sagemaker",), "sagemaker:ListModelPackages"),
        ("TestRole", ["test/*.py"], ("sagemaker", "sagemaker-runtime", "sts"), "sagemaker:InvokeEndpoint"),
        ("TestRole", ["approval/*.py"], ("cloudformation", "codecommit", "s3", "sts"), "codecommit:GetCommit"),
    ],
)
def test_a_role_may_make_every_call_of_the_seeds_code(
    holder: str, files: list[str], services: tuple[str, ...], at_least: str
) -> None:
    by_hand = {SEED / "test" / "shadow.py"}  # run by a person, with credentials of that person
    paths = {file for pattern in files for file in SEED.glob(pattern)} - by_hand
    calls = aws_calls(sorted(paths), services)
    assert at_least in calls
    statements = statements_of(Resolved("data-science-account.yaml"), holder)
    # A person returns to an earlier model, not a build; the call is CodePipeline's, and SageMaker has one of that name.
    assert {call for call in calls if not granted(statements, call)} <= {"sagemaker:StartPipelineExecution"}


# Not called by what the seed brings: making something with tags asks for the right to tag; and a person who changes
# the build may want it to stop what it started.
TRAIN_BESIDES = {"sagemaker:AddTags", "sagemaker:StopPipelineExecution"}
# What only the notebook imports runs with the role of the person in Studio, not with the build's.
OF_THE_NOTEBOOK = {"plots", "results", "studio"}


def test_no_module_of_the_train_build_imports_one_of_the_notebook() -> None:
    for path in sorted((SEED / "training").glob("*.py")):
        if path.stem not in OF_THE_NOTEBOOK:
            imported = set(re.findall(r"from training(?:\.(\w+))? import|from training import (\w+)", path.read_text()))
            assert not {name for names in imported for name in names} & OF_THE_NOTEBOOK, path


def test_the_train_role_may_make_the_calls_of_the_training_code_and_no_others() -> None:
    files = sorted(path for path in (SEED / "training").glob("*.py") if path.stem not in OF_THE_NOTEBOOK)
    calls = aws_calls([*files, *imported_functions(files, SEED / "deploy")], ("sagemaker", "s3"))
    assert {"sagemaker:StartPipelineExecution", "sagemaker:CreateModelPackageGroup", "s3:PutObject"} <= calls
    statements = statements_of(Resolved("data-science-account.yaml"), "TrainRole")
    assert {call for call in calls if not granted(statements, call)} == set()
    may = {action for statement in statements for action in many(statement["Action"])}
    of_sagemaker = {action for action in may if action.startswith("sagemaker:")}
    assert of_sagemaker - TRAIN_BESIDES == {call for call in calls if call.startswith("sagemaker:")} - TRAIN_BESIDES


# Kept for what publishing does beside its own calls, and for retiring versions.
PUBLISHER_BESIDES = {
    "cloudformation:ValidateTemplate",  # Service Catalog, in the publisher's name
    "iam:GetRole",  # likewise, for the launch constraint
    "iam:PassRole",
    "s3:GetBucketLocation",
    "servicecatalog:SearchProductsAsAdmin",
    "servicecatalog:TagResource",  # a product is made with tags
    "servicecatalog:UpdateProvisioningArtifact",
}


def test_the_publisher_may_make_its_calls_and_no_others() -> None:
    files = sorted((ROOT / "product" / "sagemaker_seed" / "publish").glob("*.py"))
    calls = aws_calls(files, ("s3", "servicecatalog", "sts"))
    assert "servicecatalog:CreateProvisioningArtifact" in calls
    statements = statements_of(Resolved("catalog.yaml"), "PublisherPolicy")
    may = {action for statement in statements for action in many(statement["Action"])}
    assert may - PUBLISHER_BESIDES == calls - PUBLISHER_BESIDES


# ------------------------------------------------------------------------------------------------- catalog.yaml


def test_the_publisher_finds_the_rest_by_the_buckets_tags() -> None:
    catalog = Resolved("catalog.yaml")
    tags = {tag["Key"]: tag["Value"] for tag in catalog.resources["SeedBucket"]["Properties"]["Tags"]}
    assert tags == {
        "sagemaker-seed:portfolio-id": "Portfolio",
        "sagemaker-seed:launch-role-arn": catalog.arn("LaunchRole"),
    }
    assert max(map(len, tags.values())) <= 256
    assert catalog.outputs["SeedBucket"] == SEED_BUCKET


def test_the_launch_role_needs_no_key_for_what_is_published() -> None:
    bucket = Resolved("catalog.yaml").resources["SeedBucket"]["Properties"]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_what_is_published_is_written_once_tagged_and_kept() -> None:
    resolved = Resolved("catalog.yaml")
    statements = bucket_statements(resolved, "SeedBucketPolicy")
    published = [f"{resolved.arn('SeedBucket')}/{prefix}/*" for prefix in ("seed-code", "product-templates")]
    assert {statement["Effect"] for statement in statements.values()} == {"Deny"}
    for sid in ("WriteOnce", "AlwaysTagged", "NeverUntagged", "KeptForOldVersions"):
        assert statements[sid]["Resource"] == published
        assert statements[sid]["Principal"] == "*"
    assert statements["WriteOnce"]["Action"] == "s3:PutObject"
    assert statements["WriteOnce"]["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert set(statements["AlwaysTagged"]["Action"]) >= {"s3:PutObject", "s3:PutObjectTagging"}
    assert statements["AlwaysTagged"]["Condition"] == {
        "StringNotEquals": {"s3:RequestObjectTag/servicecatalog:provisioning": "true"}
    }
    assert set(statements["KeptForOldVersions"]["Action"]) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    locked = {action for statement in statements.values() for action in many(statement["Action"])} - {"s3:*"}
    assert not [action for action in locked if "Bucket" in action], "nobody is locked out of the policy itself"


def test_only_the_retirement_role_deletes_what_is_published() -> None:
    assert "Condition" not in bucket_statements(Resolved("catalog.yaml"), "SeedBucketPolicy")["KeptForOldVersions"]
    role = f"arn:{'aws'}:iam::{ACCOUNT}:role/retire"
    kept = bucket_statements(Resolved("catalog.yaml", RetirementRoleArn=role), "SeedBucketPolicy")["KeptForOldVersions"]
    assert kept["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": role}}


def test_principals_are_associated_when_they_are_given() -> None:
    type_name = "AWS::ServiceCatalog::PortfolioPrincipalAssociation"
    role, pattern = f"arn:{'aws'}:iam::{ACCOUNT}:role/studio", f"arn:{'aws'}:iam:::role/team/*"
    assert Resolved("catalog.yaml").of_type(type_name) == {}
    given = Resolved("catalog.yaml", PrincipalArn1=role, PrincipalArn5=role, PrincipalPattern2=pattern).of_type(
        type_name
    )
    assert {key: (value["PrincipalARN"], value["PrincipalType"]) for key, value in given.items()} == {
        "Principal1": (role, "IAM"),
        "Principal5": (role, "IAM"),
        "Pattern2": (pattern, "IAM_PATTERN"),
    }


def test_every_principal_counts_when_nobody_is_refused() -> None:
    """The rule, the conditions and the associations each list the principals; none may forget one."""
    template = load("catalog.yaml")
    principals = {key for key in template["Parameters"] if key.startswith("Principal")}
    (assertion,) = template["Rules"]["SomebodyMayLaunch"]["Assertions"]
    assert references(assertion["Assert"]) == principals
    assert len(assertion["Assert"]["Fn::Not"][0]["Fn::And"]) == len(principals) <= 10
    type_name = "AWS::ServiceCatalog::PortfolioPrincipalAssociation"
    for resource in template["Resources"].values():
        if resource["Type"] == type_name:
            arn = resource["Properties"]["PrincipalARN"]["Ref"]
            assert references(template["Conditions"][resource["Condition"]]) == {arn}
            assert resource["Properties"]["PrincipalType"] == ("IAM" if "Arn" in arn else "IAM_PATTERN")
            principals.remove(arn)
    assert not principals


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("PrincipalArn1", ["", "arn:x:iam::111111111111:role/service-role/studio"], ["studio", "arn:x:iam:::role/a"]),
        (
            "PrincipalPattern1",
            ["", "arn:x:iam:::role/team/*"],
            ["arn:x:iam::111111111111:role/a", "arn:x:iam:::user/*"],
        ),
        ("RetirementRoleArn", ["", "arn:x:iam::111111111111:role/a/b"], ["arn:x:iam::111111111111:role/*"]),
        ("PermissionsBoundaryArn", ["", "arn:x:iam::aws:policy/P", "arn:x:iam::111111111111:policy/p"], ["P"]),
    ],
)
def test_the_catalog_takes_good_values_and_refuses_bad_ones(parameter: str, good: list[str], bad: list[str]) -> None:
    pattern = load("catalog.yaml")["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in good if re.fullmatch(pattern, value) is None] == []
    assert [value for value in bad if re.fullmatch(pattern, value) is not None] == []


# ------------------------------------------------------------------------------ what there is already, and more


@pytest.mark.parametrize("name", ["data-science-account.yaml", "target-account.yaml"])
def test_a_model_role_that_exists_is_handed_on_and_none_is_made(name: str) -> None:
    role = f"arn:{'aws'}:iam::{ACCOUNT}:role/team/models"
    own, given = Resolved(name), Resolved(name, ExistingModelRoleArn=role)
    assert set(own.resources) - set(given.resources) == {"ModelRole"}
    assert given.outputs["ModelRoleArn"] == role
    passing = {s["Sid"]: s for s in statements_of(given, "CloudFormationRole")}["ModelsRunWith"]
    assert passing["Resource"] == [f"arn:{'aws'}:iam::{ACCOUNT}:role/sagemaker-seed/sagemaker-seed-model*", role]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_a_launch_role_that_exists_launches_and_none_is_made() -> None:
    role = f"arn:{'aws'}:iam::{ACCOUNT}:role/launch"
    own, given = Resolved("catalog.yaml"), Resolved("catalog.yaml", ExistingLaunchRoleArn=role)
    assert set(own.resources) - set(given.resources) == {"LaunchRole", "LaunchPolicy"}
    tags = {tag["Key"]: tag["Value"] for tag in given.resources["SeedBucket"]["Properties"]["Tags"]}
    assert tags["sagemaker-seed:launch-role-arn"] == given.outputs["LaunchRoleArn"] == role
    assert {s["Sid"]: s for s in statements_of(given, "PublisherPolicy")}["LaunchRole"]["Resource"] == role


SERVICE_ROLES = ("CodePipeline", "Events", "Build", "Security", "Test", "Train", "Training", "CloudFormation")


@pytest.mark.parametrize("holder", SERVICE_ROLES)
def test_a_service_role_that_exists_is_used_wherever_ours_would_be(holder: str) -> None:
    role, ours = f"arn:{'aws'}:iam::{ACCOUNT}:role/team/own-role", f"sagemaker-seed-{holder.lower()}"
    given = {f"Existing{holder}RoleArn": role}
    own, account = Resolved("data-science-account.yaml"), Resolved("data-science-account.yaml", **given)
    assert set(own.resources) - set(account.resources) == {f"{holder}Role"}
    assert account.outputs[f"{holder}RoleArn"] == role
    catalog = Resolved("catalog.yaml", **given)
    tags = {tag["Key"]: tag["Value"] for tag in catalog.resources["SeedBucket"]["Properties"]["Tags"]}
    assert tags[f"sagemaker-seed:role-{holder.lower()}"] == "team/own-role"
    # Whoever hands it on hands on this one, and ours no more.
    for before, after, roles in ((own, account, [f"{n}Role" for n in SERVICE_ROLES]), (None, catalog, ["LaunchRole"])):
        for other in roles:
            if other == f"{holder}Role":
                continue
            was = statements_of(before or Resolved("catalog.yaml"), other)
            passed = [s for s in was if "iam:PassRole" in many(s["Action"]) and _names(s, ours)]
            now = {s["Sid"]: s for s in statements_of(after, other)}
            assert all(role in many(now[s["Sid"]]["Resource"]) for s in passed)
            assert not any(_names(now[s["Sid"]], ours) for s in passed)


def _names(statement: dict[str, Json], role: str) -> bool:
    return any(str(resource).endswith(f"/{role}") for resource in many(statement["Resource"]))


@pytest.mark.parametrize("holder", ["Deploy", "CloudFormation"])
def test_a_role_of_a_stages_account_that_exists_is_used_in_place_of_ours(holder: str) -> None:
    role = f"arn:{'aws'}:iam::{ACCOUNT}:role/team/own-role"
    own, stage = Resolved("target-account.yaml"), Resolved("target-account.yaml", **{f"Existing{holder}RoleArn": role})
    assert set(own.resources) - set(stage.resources) == {f"{holder}Role"}
    assert stage.outputs[f"{holder}RoleArn"] == role
    if holder == "CloudFormation":
        passing = {s["Sid"]: s for s in statements_of(stage, "DeployRole")}["EndpointStacksRunWith"]
        assert passing["Resource"] == role


def test_who_enters_another_account_may_be_roles_that_exist() -> None:
    pipeline, tests = (f"arn:{'aws'}:iam::{DATA_SCIENCE_ACCOUNT}:role/team/{name}" for name in ("runs", "tests"))
    stage = Resolved("target-account.yaml", PipelineRoleArn=pipeline, TestRoleArn=tests)
    trust = stage.resources["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [s["Condition"]["ArnEquals"]["aws:PrincipalArn"] for s in trust] == [pipeline, tests]
    account = Resolved("data-science-account.yaml", DeployRoleName="team/enters")
    for holder in ("CodePipelineRole", "TestRole"):
        enters = {s["Sid"]: s for s in statements_of(account, holder)}["OtherAccounts"]
        assert enters["Resource"] == f"arn:{'aws'}:iam::*:role/team/enters"
    tags = Resolved("catalog.yaml", DeployRoleName="team/enters", ExternalId="x1").resources["SeedBucket"]
    found = {tag["Key"]: tag["Value"] for tag in tags["Properties"]["Tags"]}
    assert (found["sagemaker-seed:role-deploy"], found["sagemaker-seed:external-id"]) == ("team/enters", "x1")


@pytest.mark.parametrize(
    ("first", "second", "readers"),
    [
        pytest.param("", "", [], id="nobody"),
        pytest.param(ACCOUNT, ACCOUNT, [], id="this account"),
        pytest.param(STAGING, PROD, [STAGING, PROD], id="two accounts"),
        pytest.param(STAGING, STAGING, [STAGING], id="one account, twice"),
        pytest.param("", PROD, [PROD], id="the second only"),
        pytest.param(ACCOUNT, PROD, [PROD], id="this account and another"),
    ],
)
def test_each_other_account_reads_the_default_bucket_as_one_principal(
    first: str, second: str, readers: list[str]
) -> None:
    account = Resolved("data-science-account.yaml", DefaultBucketReaderId1=first, DefaultBucketReaderId2=second)
    made = {"TrainingKey", "TrainingKeyAlias", "DefaultBucketPolicy"}
    assert made & set(account.resources) == (made if readers else set())
    assert ("TrainingKeyArn" in account.outputs) == bool(readers)
    if not readers:
        return
    key = account.resources["TrainingKey"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    policy = account.resources["DefaultBucketPolicy"]["Properties"]
    bucket = f"sagemaker-{LONG_REGION}-{ACCOUNT}"
    assert policy["Bucket"] == bucket
    on_bucket = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
    on_key = {s["Sid"]: s for s in key["Properties"]["KeyPolicy"]["Statement"]}
    for read in (on_bucket["StagesRead"], on_key["StagesRead"]):
        assert read["Principal"] == {"AWS": [f"arn:{'aws'}:iam::{reader}:root" for reader in readers]}
        roles = [
            f"arn:{'aws'}:iam::*:role/sagemaker-seed/sagemaker-seed-{role}" for role in ("cloudformation", "model")
        ]
        assert read["Condition"] == {"ArnLike": {"aws:PrincipalArn": roles}}
    assert on_key["StagesRead"]["Action"] == ["kms:Decrypt", "kms:DescribeKey"]
    assert all(action.startswith(("s3:Get", "s3:List")) for action in on_bucket["StagesRead"]["Action"])
    assert on_bucket["TlsOnly"]["Effect"] == "Deny"
    here = on_key["ThisAccountUsesItForTheBucket"]["Condition"]
    assert here["StringEquals"] == {"kms:CallerAccount": ACCOUNT}
    assert here["StringLike"]["kms:EncryptionContext:aws:s3:arn"] == [
        f"arn:{'aws'}:s3:::{bucket}",
        f"arn:{'aws'}:s3:::{bucket}/*",
    ]


@pytest.mark.parametrize(("answer", "expected"), [("no", False), ("yes", True)])
def test_a_stages_account_reads_the_default_bucket_only_when_told(answer: str, expected: bool) -> None:
    target = Resolved("target-account.yaml", ReadsDefaultBucket=answer)
    artifact = f"arn:{'aws'}:s3:::sagemaker-{LONG_REGION}-{DATA_SCIENCE_ACCOUNT}/a/model.tar.gz"
    for role in ("CloudFormationRole", "ModelRole"):
        assert allowed(statements_of(target, role), "s3:GetObject", artifact) == expected
        assert not allowed(statements_of(target, role), "s3:PutObject", artifact)
    keys = {s["Sid"]: s for s in statements_of(target, "ModelRole")}["KeysOfTheArtifacts"]
    context = keys["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
    assert any(fnmatchcase(artifact, pattern) for pattern in context) == expected


def test_the_notebook_finds_the_bucket_and_the_role_that_the_templates_make() -> None:
    source = (ROOT / "<<cookiecutter.project_slug>>" / "training" / "studio.py").read_text()
    bucket = re.search(r'^_BUCKET = "(.*)"$', source, re.MULTILINE)
    role = re.search(r'^_ROLE = ".*:role/(.*)"$', source, re.MULTILINE)
    assert bucket is not None
    assert role is not None
    project = (ROOT / "product/cloudformation/project.yaml").read_text()
    assert f"BucketName: !Sub {bucket[1].format(id='${SageMakerProjectId}', account='${AWS::AccountId}')}" in project
    path, _, name = role[1].rpartition("/")
    roles = (ROOT / "product/cloudformation/data-science-account.yaml").read_text()
    assert f"RoleName: {name}" in roles
    assert f"Path: /{path}/" in roles
