"""Each rule of a declared parameter: a value that keeps to it, and one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import PACKAGE_ARN, ROOT

from deploy.parameters import Parameter, read_parameters

TEMPLATE = (ROOT / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def declared() -> dict[str, Parameter]:
    parameters, problems = read_parameters(TEMPLATE, "template")
    assert problems == []
    return parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SageMakerProjectName", "a" * 32),
        ("SageMakerProjectId", "p-0123456789ab"),
        ("StageName", "prod"),
        ("ModelPackageName", PACKAGE_ARN),
        ("ModelPackageName", PACKAGE_ARN.replace("arn:aws:", "arn:aws-us-gov:")),
        ("ModelExecutionRoleName", "sagemaker-seed/sagemaker-seed-model"),
        ("EndpointInstanceType", "ml.m5.large"),
        ("EndpointInstanceCount", 1),
        ("EndpointInstanceCount", "100"),
        ("AutoscalingMaxCapacity", 0),
        ("UpdatePolicy", "LINEAR"),
        ("UpdateStepPercent", 10),
        ("UpdateWaitSeconds", 180),
        ("AlarmErrorPercent", 0.5),
        ("AlarmErrorPercent", "1"),
        ("DataCapturePercentage", 100),
        ("DataCaptureS3Uri", ""),
        ("DataCaptureS3Uri", "s3://some-bucket/some/prefix"),
        ("KmsKeyArn", "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("EnableNetworkIsolation", True),
        ("EnableNetworkIsolation", "false"),
        ("SubnetIds", ""),
        ("SubnetIds", ["subnet-0123abcd", "subnet-0123456789abcdef0"]),
        ("SecurityGroupIds", "sg-0123abcd,sg-0123abce"),
    ],
)
def test_takes(declared: dict[str, Parameter], name: str, value: Any) -> None:
    assert declared[name].problems(value) == []


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("SageMakerProjectName", "a" * 33, "at most 32 characters"),
        ("SageMakerProjectName", "", "at least 1 characters"),
        ("SageMakerProjectName", "ends-", "must match"),
        ("StageName", "production", "one of dev, staging, preprod, prod"),
        ("ModelPackageName", "some-package", "must match"),
        ("ModelExecutionRoleName", "/leading/slash", "must match"),
        ("EndpointInstanceType", "m5.large", "must match"),
        ("EndpointInstanceType", "ml.m5.large\n", "must match"),
        ("EndpointInstanceType", 5, "a string"),
        ("EndpointInstanceType", ["ml.m5.large"], "a string"),
        ("EndpointInstanceCount", 0, "at least 1"),
        ("EndpointInstanceCount", 101, "at most 100"),
        ("EndpointInstanceCount", 1.5, "a whole number"),
        ("EndpointInstanceCount", "two", "a whole number"),
        ("EndpointInstanceCount", "\u0661", "a whole number"),
        ("EndpointInstanceCount", True, "a whole number"),
        ("EndpointInstanceCount", None, "a whole number"),
        ("EndpointInstanceCount", "", "a whole number"),
        ("UpdateStepPercent", 51, "at most 50"),
        ("UpdateWaitSeconds", 60, "at least 180"),
        ("AlarmErrorPercent", "1e1", "a number"),
        ("AlarmErrorPercent", 0, "at least 0.01"),
        ("DataCaptureS3Uri", "https://bucket/x", "must match"),
        ("DataCaptureS3Uri", "s3://bucket/" + "x" * 512, "at most 512 characters"),
        ("KmsKeyArn", "alias/some-key", "must match"),
        ("EnableNetworkIsolation", "True", "one of true, false"),
        ("SubnetIds", ["subnet-0123abcd", "vpc-0123abcd"], "must match"),
        ("SubnetIds", ["subnet-0123abcd,subnet-0123abce"], "a list of strings"),
        ("SubnetIds", [1], "a list of strings"),
        ("SubnetIds", {}, "a list of strings"),
        ("SecurityGroupIds", "subnet-0123abcd", "must match"),
        ("EndpointInstanceType", "x" * 4097, "at most 4096 bytes"),
    ],
)
def test_refuses(declared: dict[str, Parameter], name: str, value: Any, rule: str) -> None:
    problems = declared[name].problems(value)
    assert problems
    assert any(rule in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("EndpointInstanceCount", 2, "2"),
        ("AlarmErrorPercent", 0.5, "0.5"),
        ("EnableNetworkIsolation", False, "false"),
        ("SubnetIds", ["subnet-0123abcd", "subnet-0123abce"], "subnet-0123abcd,subnet-0123abce"),
        ("SubnetIds", [], ""),
    ],
)
def test_values_become_the_strings_of_cloudformation(
    declared: dict[str, Parameter], name: str, value: Any, text: str
) -> None:
    assert declared[name].text(value) == text


@pytest.mark.parametrize(
    ("declaration", "problem"),
    [
        ("{Type: Strin}", "Type must be one of"),
        ("{Type: 'AWS::EC2::Subnet::Id'}", "Type must be one of"),
        ("{Description: x}", "Type must be one of"),
        ("{Type: String, Defalt: x}", "unknown attribute Defalt"),
        ("{Type: String, MinLength: long}", "MinLength must be int"),
        ("{Type: String, MinLength: true}", "MinLength must be int"),
        ("{Type: String, AllowedPattern: '['}", "not a regular expression"),
        ("{Type: String, AllowedValues: [[a]]}", "plain values"),
        ("{Type: Number, Default: 5, MaxValue: 4}", "its own Default must be at most 4"),
        ("{Type: Number, Default: many}", "its own Default must be a number"),
        ("text", "must be a mapping"),
    ],
)
def test_a_wrong_declaration_is_a_problem(declaration: str, problem: str) -> None:
    _, problems = read_parameters(f"Parameters:\n  Good: {{Type: String}}\n  Bad: {declaration}\n", "t.yml")
    assert [(p.file, p.parameter) for p in problems] == [("t.yml", "Bad")]
    assert problem in problems[0].rule


def test_an_unreadable_section_is_a_problem_with_its_line() -> None:
    assert [str(p) for p in read_parameters("Parameters:\n  A: &x y\n", "t.yml")[1]] == [
        "t.yml: Parameters: line 2: plain text cannot begin like '&x y'; quote it"
    ]
