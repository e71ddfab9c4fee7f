"""Stage files: their form, the template's rules, the rules between parameters, and what is deployed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import PACKAGE_ARN, ROOT

from deploy.parameters import Parameter, read_parameters
from deploy.rules import RULES, broken_rules
from deploy.stages import (
    BUILD_OWNED,
    SHADOW_OWNED,
    WATCH_OWNED,
    StageFile,
    compose,
    read_stage,
    stage_problems,
    template_problems,
)

DECLARED = read_parameters((ROOT / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8"), "template")[0]
TYPES = {"EndpointInstanceType": {"ml.m5.large", "ml.m5.xlarge"}}
OWNED = {
    "SageMakerProjectName": "iris",
    "SageMakerProjectId": "p-1",
    "StageName": "prod",
    "ModelPackageName": PACKAGE_ARN,
    "ModelExecutionRoleName": "seed/model",
}


def problems_of(parameters: dict[str, Any], **tags: Any) -> list[str]:
    stage = StageFile("prod.json", {"EndpointInstanceType": "ml.m5.large", **parameters}, tags)
    return [str(problem) for problem in stage_problems(stage, DECLARED, TYPES)]


def test_the_template_declares_what_the_build_passes() -> None:
    assert template_problems(DECLARED, "t.yml") == []
    without = {name: parameter for name, parameter in DECLARED.items() if name != "StageName"}
    assert [p.parameter for p in template_problems(without, "t.yml")] == ["StageName"]


@pytest.mark.parametrize(
    ("text", "parameter", "rule"),
    [
        ("{", "the file", "must be JSON"),
        ("[]", "the file", 'must be {"Parameters"'),
        ("", "the file", "must be JSON"),
        ('{"Parameters": {"A": NaN}}', "the file", "NaN is not a JSON value"),
        ("[" * 100000, "the file", "must be JSON"),
        ('{"Tags": {}}', "Parameters", "is missing"),
        ('{"Parameters": []}', "Parameters", "must be a mapping"),
        ('{"Parameters": {}, "Tags": 1}', "Tags", "must be a mapping"),
        ('{"Parameters": {}, "StackPolicy": {}}', "StackPolicy", "unknown section"),
        ('{"Parameters": {}, "Parameters": {}}', "Parameters", "occurs more than once"),
        ('{"Parameters": {"A": 1, "A": 1}}', "A", "occurs more than once in Parameters"),
        ('{"Parameters": {}, "Tags": {"t": "a", "t": "b"}}', "t", "occurs more than once in Tags"),
    ],
)
def test_a_malformed_file_is_a_problem(text: str, parameter: str, rule: str) -> None:
    _, problems = read_stage(text, "prod.json")
    assert [(p.file, p.parameter) for p in problems] == [("prod.json", parameter)]
    assert rule in problems[0].rule


def test_a_well_formed_file_has_no_problem() -> None:
    read, problems = read_stage('{"Parameters": {"A": 1}, "Tags": {"t": "v"}}', "prod.json")
    assert (read.parameters, read.tags, problems) == ({"A": 1}, {"t": "v"}, [])


def test_every_problem_is_named_at_once() -> None:
    stage = StageFile("prod.json", {"EndpointInstanceCuont": 2, "UpdatePolicy": "SLOW", "StageName": "prod"})
    assert [str(problem) for problem in stage_problems(stage, DECLARED, TYPES)] == [
        "prod.json: EndpointInstanceCuont: is not a parameter of the endpoint template; "
        "did you mean EndpointInstanceCount? (found 2)",
        'prod.json: UpdatePolicy: must be one of ALL_AT_ONCE, CANARY, LINEAR (found "SLOW")',
        'prod.json: StageName: is filled in by build.py; take it out of this file (found "prod")',
        "prod.json: EndpointInstanceType: is missing, and the template has no default for it",
    ]


@pytest.mark.parametrize("name", BUILD_OWNED + WATCH_OWNED + SHADOW_OWNED)
def test_what_the_build_fills_in_must_not_stand_in_a_stage_file(name: str) -> None:
    assert any("filled in by build.py" in problem for problem in problems_of({name: "x"}))


def test_an_instance_type_that_does_not_exist() -> None:
    assert problems_of({"EndpointInstanceType": "ml.m5.xlarge"}) == []
    (problem,) = problems_of({"EndpointInstanceType": "ml.m5.xlrage"})
    assert "is not an instance type for endpoints" in problem


GUARDED = {"UpdatePolicy": "CANARY", "EndpointInstanceCount": 2}
SCALING = {"AutoscalingMaxCapacity": 4, "AutoscalingMinCapacity": 2, "EndpointInstanceCount": 2}
# For each rule of deploy/rules.py, in order: values that keep to it, and values that break it alone.
RULE_CASES: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    (
        [GUARDED, {"UpdatePolicy": "ALL_AT_ONCE", "EndpointInstanceCount": 1}],
        [{"UpdatePolicy": "CANARY"}, {"UpdatePolicy": "LINEAR", "EndpointInstanceCount": 1}],
    ),
    (
        [
            {**GUARDED, "UpdateStepPercent": 10, "UpdateWaitSeconds": 3600},
            {**GUARDED, "UpdatePolicy": "LINEAR", "UpdateStepPercent": 10, "UpdateWaitSeconds": 2160},
            {"UpdatePolicy": "ALL_AT_ONCE", "UpdateStepPercent": 10, "UpdateWaitSeconds": 3600},
        ],
        [
            {**GUARDED, "UpdatePolicy": "LINEAR", "UpdateStepPercent": 10, "UpdateWaitSeconds": 2161},
            {**GUARDED, "UpdatePolicy": "LINEAR", "UpdateStepPercent": 12, "UpdateWaitSeconds": 2401},
        ],
    ),
    (
        [
            SCALING,
            {**SCALING, "AutoscalingMinCapacity": 4, "EndpointInstanceCount": 4},
            {"AutoscalingMinCapacity": 9},
        ],
        [{**SCALING, "AutoscalingMinCapacity": 5}],
    ),
    (
        [SCALING, {**SCALING, "EndpointInstanceCount": 4}],
        [{**SCALING, "EndpointInstanceCount": 5}, {**SCALING, "EndpointInstanceCount": 1}],
    ),
    (
        [{**SCALING, "UpdatePolicy": "CANARY"}, {**SCALING, "AutoscalingMinCapacity": 1}],
        [{**SCALING, "UpdatePolicy": "CANARY", "AutoscalingMinCapacity": 1}],
    ),
    (
        [{"MonitorSchedule": "daily", "DataCapturePercentage": 1}, {"DataCapturePercentage": 100}],
        [{"MonitorSchedule": "hourly"}],
    ),
    (
        [
            {"SubnetIds": ["subnet-0123abcd"], "SecurityGroupIds": "sg-0123abcd"},
            {"SubnetIds": [], "SecurityGroupIds": ""},
        ],
        [{"SubnetIds": ["subnet-0123abcd"]}, {"SecurityGroupIds": ["sg-0123abcd"]}],
    ),
    (
        [{"ShadowOfVersion": 3, "DataCapturePercentage": 1}, {"ShadowOfVersion": 0}],
        [{"ShadowOfVersion": 3}],
    ),
]


# The others are about other kinds of inference, which have tests of their own.
OURS = [number for number, rule in enumerate(RULES) if set(rule.parameters) <= set(DECLARED)]


@pytest.mark.parametrize("number", OURS)
def test_rules_between_parameters(number: int) -> None:
    kept, broken = RULE_CASES[number]
    for values in kept:
        assert problems_of(values) == []
    for values in broken:
        (problem,) = problems_of(values)
        assert RULES[number].text in problem


def test_a_rule_is_left_out_while_one_of_its_parameters_is_invalid_or_unknown() -> None:
    assert len(problems_of({"UpdatePolicy": "CANARY", "EndpointInstanceCount": 0})) == 1
    assert broken_rules({"UpdatePolicy": "CANARY"}) == []


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        ({"aws:x": "y"}, "does not begin with aws:"),
        ({"": "y"}, "a key has 1 to 128"),
        ({"x" * 129: "y"}, "a key has 1 to 128"),
        ({"sagemaker:project-name": "other"}, "set by build.py"),
        ({"cost": 5}, "must be a string"),
        ({"cost": ""}, "must be a string"),
        ({"cost": "x" * 257}, "must be a string"),
        ({f"t{n}": "v" for n in range(48)}, "at most 47 tags"),
    ],
)
def test_tags(tags: dict[str, Any], rule: str) -> None:
    assert problems_of({}, **{"cost-center": "42"}) == []
    (problem,) = problems_of({}, **tags)
    assert rule in problem


def test_what_is_deployed_has_every_parameter_as_text_in_the_order_of_the_template() -> None:
    stage = StageFile(
        "prod.json", {"EndpointInstanceType": "ml.m5.large", "EndpointInstanceCount": 2}, {"team": "ds"}
    )
    export = compose(stage, DECLARED, OWNED)
    assert list(export.parameters) == list(DECLARED)
    assert export.parameters["EndpointInstanceCount"] == "2"
    assert export.parameters["ModelPackageName"] == PACKAGE_ARN
    assert export.parameters["UpdatePolicy"] == "ALL_AT_ONCE"
    assert export.tags == {
        "team": "ds",
        "sagemaker:project-name": "iris",
        "sagemaker:project-id": "p-1",
        "sagemaker:deployment-stage": "prod",
    }
    assert json.loads(json.dumps(export.parameters)) == export.parameters


def test_what_the_build_passes_wins_over_a_stage_file() -> None:
    export = compose(StageFile("prod.json", {"StageName": "staging"}), DECLARED, OWNED)
    assert export.parameters["StageName"] == "prod"


def test_an_undeclared_default_is_left_out() -> None:
    declared = {"A": Parameter("A", "String"), **{name: DECLARED[name] for name in BUILD_OWNED}}
    assert "A" not in compose(StageFile("prod.json"), declared, OWNED).parameters
