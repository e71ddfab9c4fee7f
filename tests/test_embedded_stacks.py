"""Stacks of the embedded CloudFormation, from outside: evaluated, created, updated, rolled back and deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

ROOT = Path(__file__).parent.parent
REGION = "eu-west-1"
MINE, OTHER = "631111111111", "632222222222"
SECONDS = 20


@pytest.fixture(scope="module")
def cfn(aws: EmbeddedAws) -> Any:
    return aws.client("cloudformation", MINE)


@pytest.fixture(scope="module")
def ssm(aws: EmbeddedAws) -> Any:
    return aws.client("ssm", MINE)


def settled(cfn: Any, name: str) -> dict[str, Any]:
    """The stack, once nothing goes on with it."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        stack: dict[str, Any] = cfn.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(0.02)
    raise AssertionError(f"{name} is still {stack['StackStatus']}")


def created(cfn: Any, name: str, template: Any, **more: Any) -> dict[str, Any]:
    cfn.create_stack(StackName=name, TemplateBody=as_body(template), **more)
    return settled(cfn, name)


def updated(cfn: Any, name: str, template: Any, **more: Any) -> dict[str, Any]:
    cfn.update_stack(StackName=name, TemplateBody=as_body(template), **more)
    return settled(cfn, name)


def deleted(cfn: Any, name: str) -> dict[str, Any]:
    identifier = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cfn.delete_stack(StackName=name)
    return settled(cfn, identifier)


def as_body(template: Any) -> str:
    return template if isinstance(template, str) else json.dumps(template)


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def events(cfn: Any, name: str) -> list[tuple[str, str]]:
    """Logical id and status, oldest first."""
    found = [
        event
        for page in cfn.get_paginator("describe_stack_events").paginate(StackName=name)
        for event in page["StackEvents"]
    ]
    return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(found)]


def reasons(cfn: Any, name: str) -> dict[str, str]:
    """Logical id -> the reason of its failure."""
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in cfn.describe_stack_events(StackName=name)["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
    }


def rollback_reason(cfn: Any, name: str) -> str:
    """Why the last operation was taken back."""
    found = [
        event["ResourceStatusReason"]
        for event in cfn.describe_stack_events(StackName=name)["StackEvents"]
        if event["ResourceStatus"].endswith("ROLLBACK_IN_PROGRESS")
    ]
    return str(found[0])


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


def given(**values: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def parameter(name: str, value: Any = "v", **more: Any) -> dict[str, Any]:
    """A resource that is quick to make and to look at: a parameter of the Parameter Store."""
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": value}, **more}


def chain_of(count: int, prefix: str) -> dict[str, Any]:
    """Resources that wait for each other."""
    names = [f"T{n:02}" for n in range(count)]
    return {
        name: parameter(f"/{prefix}/{name}", DependsOn=[before]) if before else parameter(f"/{prefix}/{name}")
        for name, before in zip(names, ["", *names], strict=False)
    }


def value(ssm: Any, name: str) -> str | None:
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


# --- creating


def test_a_stack_makes_its_resources_and_says_so(cfn: Any, ssm: Any) -> None:
    template = {
        "Description": "two",
        "Resources": {
            "Second": parameter("/create/second", {"Fn::Sub": "after ${First}"}),
            "First": parameter("/create/first", "one"),
        },
        "Outputs": {"Name": {"Value": {"Ref": "Second"}, "Description": "its name"}},
    }
    tags = [{"Key": "team", "Value": "ml"}]
    stack = created(cfn, "create", template, Tags=tags)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["Description"] == "two"
    assert stack["Tags"] == tags
    assert stack["StackId"].startswith(f"arn:aws:cloudformation:{REGION}:{MINE}:stack/create/")
    assert outputs(stack) == {"Name": "/create/second"}
    assert value(ssm, "/create/second") == "after /create/first"
    assert events(cfn, "create") == [
        ("create", "CREATE_IN_PROGRESS"),
        ("First", "CREATE_IN_PROGRESS"),
        ("First", "CREATE_IN_PROGRESS"),
        ("First", "CREATE_COMPLETE"),
        ("Second", "CREATE_IN_PROGRESS"),
        ("Second", "CREATE_IN_PROGRESS"),
        ("Second", "CREATE_COMPLETE"),
        ("create", "CREATE_COMPLETE"),
    ]
    found = cfn.describe_stack_resource(StackName="create", LogicalResourceId="First")["StackResourceDetail"]
    assert (found["PhysicalResourceId"], found["ResourceStatus"]) == ("/create/first", "CREATE_COMPLETE")
    assert (
        cfn.describe_stack_resources(PhysicalResourceId="/create/first")["StackResources"][0]["StackName"] == "create"
    )
    assert {r["LogicalResourceId"] for r in cfn.list_stack_resources(StackName="create")["StackResourceSummaries"]} == {
        "First",
        "Second",
    }
    carried = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/create/first")["TagList"]
    assert {"Key": "team", "Value": "ml"} in carried


def test_a_name_is_taken_until_the_stack_is_deleted(cfn: Any, ssm: Any) -> None:
    template = {"Resources": {"P": parameter("/taken")}}
    created(cfn, "taken", template)
    code, message = error_of(lambda: cfn.create_stack(StackName="taken", TemplateBody=as_body(template)))
    assert (code, message) == ("AlreadyExistsException", "Stack [taken] already exists")
    gone = deleted(cfn, "taken")
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    assert value(ssm, "/taken") is None
    assert error_of(lambda: cfn.describe_stacks(StackName="taken")) == (
        "ValidationError",
        "Stack with id taken does not exist",
    )
    assert created(cfn, "taken", template)["StackId"] != gone["StackId"]
    listed = cfn.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    assert gone["StackId"] in [stack["StackId"] for stack in listed]


def test_accounts_and_regions_have_stacks_of_their_own(aws: EmbeddedAws, cfn: Any) -> None:
    template = {"Resources": {"P": parameter("/apart")}, "Outputs": {"Where": {"Value": {"Ref": "AWS::Region"}}}}
    created(cfn, "apart", template)
    for account, region in ((MINE, "us-east-1"), (OTHER, REGION)):
        elsewhere = aws.client("cloudformation", account, region)
        assert elsewhere.describe_stacks()["Stacks"] == []
        assert outputs(created(elsewhere, "apart", template)) == {"Where": region}


def test_depends_on_orders_what_nothing_else_does(cfn: Any) -> None:
    template = {
        "Resources": {
            "A": parameter("/order/a", DependsOn=["B", "C"]),
            "B": parameter("/order/b", DependsOn="C"),
            "C": parameter("/order/c"),
        }
    }
    created(cfn, "order", template)
    assert [name for name, status in events(cfn, "order") if status == "CREATE_COMPLETE"] == ["C", "B", "A", "order"]
    identifier = deleted(cfn, "order")["StackId"]
    gone = [name for name, status in events(cfn, identifier) if status == "DELETE_COMPLETE"]
    assert gone == ["A", "B", "C", "order"]


@pytest.mark.slow
def test_a_template_of_s3_and_the_waiters_of_boto3(aws: EmbeddedAws, cfn: Any) -> None:
    s3 = aws.client("s3", MINE)
    s3.create_bucket(Bucket="templates-here", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="templates-here", Key="t.yaml", Body=b"Resources:\n  T:\n    Type: AWS::SNS::Topic\n")
    url = f"https://templates-here.s3.{REGION}.amazonaws.com/"
    cfn.create_stack(StackName="of-s3", TemplateURL=f"{url}t.yaml")
    cfn.get_waiter("stack_create_complete").wait(StackName="of-s3", WaiterConfig={"Delay": 0.05})
    assert "AWS::SNS::Topic" in cfn.get_template(StackName="of-s3")["TemplateBody"]
    cfn.delete_stack(StackName="of-s3")
    cfn.get_waiter("stack_delete_complete").wait(StackName="of-s3", WaiterConfig={"Delay": 0.05})
    code, message = error_of(lambda: cfn.create_stack(StackName="of-s3", TemplateURL=f"{url}missing"))
    assert code == "ValidationError"
    assert "S3 error" in message


# --- what a template says

FUNCTIONS = """
Parameters:
  Text: {Type: String, Default: a-b}
  Many: {Type: CommaDelimitedList, Default: "x, y,z"}
  Number: {Type: Number, Default: 3}
Mappings:
  Map: {First: {Second: mapped}, eu-west-1: {List: [p, q]}, 012345678901: {Id: kept}}
Conditions:
  Is: !Equals [!Ref Number, 3]
  Isnt: !Not [!Condition Is]
  Both: !And [!Condition Is, !Or [!Condition Isnt, !Equals [!Select [0, !Ref Many], x]]]
Resources:
  Thing:
    Type: AWS::SSM::Parameter
    Properties: {Name: /functions, Type: String, Value: !Join ["+", !Ref Many]}
Outputs:
"""
EVALUATED = {
    "!Ref Text": "a-b",
    "!Ref Thing": "/functions",
    "!GetAtt Thing.Value": "x+y+z",
    "{'Fn::GetAtt': [Thing, Type]}": "String",
    "!Sub '${Text}/${Thing}/${Thing.Value}/${AWS::Region}/${!Text}/$x'": "a-b//functions/x+y+z/eu-west-1/${Text}/$x",
    "!Sub ['${A}-${Text}', {A: !Ref Number}]": "3-a-b",
    "!Join ['', [a, !Ref Number, true]]": "a3true",
    "!Select [1, !Split ['-', !Ref Text]]": "b",
    "!Select ['2', !Ref Many]": "z",
    "!FindInMap [Map, First, Second]": "mapped",
    "!FindInMap [Map, '012345678901', Id]": "kept",
    "!Select [1, !FindInMap [Map, !Ref 'AWS::Region', List]]": "q",
    "!If [Both, !Ref Text, !GetAtt Thing.Value]": "a-b",
    "!If [Isnt, 1, !If [Is, 2, 3]]": "2",
    "!Join [',', [a, !If [Isnt, b, !Ref 'AWS::NoValue'], c]]": "a,c",
    "!Base64 hello": "aGVsbG8=",
    "!Select [1, !Cidr [10.0.0.0/16, 2, 8]]": "10.0.1.0/24",
    "!Ref AWS::AccountId": MINE,
    "!Ref AWS::StackName": "functions",
    "!Sub '${AWS::Partition}.${AWS::URLSuffix}'": "aws.amazonaws.com",
    "2012-10-17": "2012-10-17",
    "true": "true",
}


def test_every_function(cfn: Any) -> None:
    body = FUNCTIONS + "".join(f"  O{n}: {{Value: {text}}}\n" for n, text in enumerate(EVALUATED))
    found = outputs(created(cfn, "functions", body))
    assert {text: found[f"O{n}"] for n, text in enumerate(EVALUATED)} == EVALUATED


@pytest.mark.slow
def test_zones_are_those_of_the_region(cfn: Any) -> None:
    template = {
        "Resources": {"P": parameter("/zones", {"Fn::Join": [",", {"Fn::GetAZs": ""}]})},
        "Outputs": {"Zones": {"Value": {"Fn::GetAtt": ["P", "Value"]}}},
    }
    assert outputs(created(cfn, "zones", template))["Zones"] == "eu-west-1a,eu-west-1b,eu-west-1c"


def test_a_condition_leaves_out_resources_and_outputs(cfn: Any) -> None:
    template = {
        "Parameters": {"Wanted": {"Type": "String", "Default": "no", "AllowedValues": ["yes", "no"]}},
        "Conditions": {"IsWanted": {"Fn::Equals": [{"Ref": "Wanted"}, "yes"]}},
        "Resources": {
            "Always": parameter("/condition/always", DependsOn="Maybe"),
            "Maybe": parameter("/condition/maybe", Condition="IsWanted"),
        },
        "Outputs": {"Maybe": {"Condition": "IsWanted", "Value": {"Ref": "Maybe"}}},
    }
    assert outputs(created(cfn, "condition", template)) == {}
    stack = updated(cfn, "condition", template, Parameters=given(Wanted="yes"))
    assert outputs(stack) == {"Maybe": "/condition/maybe"}
    assert stack["Parameters"] == [{"ParameterKey": "Wanted", "ParameterValue": "yes"}]


REFUSED_TEMPLATES: dict[str, tuple[Any, str]] = {
    "no resources": ({"Resources": {}}, "At least one Resources member"),
    "no YAML": ("Resources: [", "YAML not well-formed"),
    "a key twice": ("Resources:\n  A: {Type: AWS::SNS::Topic}\n  A: {Type: AWS::SNS::Topic}\n", "duplicate key 'A'"),
    "an alias": ("Resources:\n  A: &x {Type: AWS::SNS::Topic}\n  B: *x\n", "aliases are not allowed"),
    "an unknown section": ({"Resources": {"P": parameter("/x")}, "Globals": {}}, "Globals"),
    "a transform": ({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"P": parameter("/x")}}, "Transform"),
    "an unknown type": ({"Resources": {"P": {"Type": "AWS::Made::Up"}}}, "AWS::Made::Up"),
    "a custom resource": ({"Resources": {"P": {"Type": "Custom::Thing"}}}, "Custom::Thing"),
    "an unknown attribute": ({"Resources": {"P": parameter("/x", Foo=1)}}, "'Foo'"),
    "a snapshot": ({"Resources": {"P": parameter("/x", DeletionPolicy="Snapshot")}}, "Snapshot"),
    "a creation policy": ({"Resources": {"P": parameter("/x", CreationPolicy={})}}, "CreationPolicy"),
    "an unknown property": (
        {"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {"Colour": "red"}}}},
        "extraneous key [Colour] is not permitted",
    ),
    "a missing property": (
        {"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String"}}}},
        "required key [Value] not found",
    ),
    "a dangling reference": ({"Resources": {"P": parameter("/x", {"Ref": "Nobody"})}}, "dependencies [Nobody]"),
    "a dangling reference in a text": ({"Resources": {"P": parameter("/x", {"Fn::Sub": "${No.Arn}"})}}, "[No]"),
    "a dangling dependency": ({"Resources": {"P": parameter("/x", DependsOn="Nobody")}}, "dependencies [Nobody]"),
    "a dangling condition": (
        {"Resources": {"P": parameter("/x", Condition="Nobody")}},
        "Nobody in the Resources block",
    ),
    "an unknown attribute of a resource": (
        {"Resources": {"P": parameter("/x"), "Q": parameter("/y", {"Fn::GetAtt": ["P", "Colour"]})}},
        "resource P does not support attribute type Colour in Fn::GetAtt",
    ),
    "a circle": (
        {"Resources": {"A": parameter("/a", {"Ref": "B"}), "B": parameter("/b", {"Ref": "A"}), "C": parameter("/c")}},
        "Circular dependency between resources: [A, B]",
    ),
    "a circle of conditions": (
        {
            "Conditions": {"A": {"Fn::Not": [{"Condition": "A"}]}},
            "Resources": {"P": parameter("/x")},
        },
        "Circular dependency between conditions: [A]",
    ),
    "a condition about a resource": (
        {"Conditions": {"A": {"Fn::Equals": [{"Ref": "P"}, "x"]}}, "Resources": {"P": parameter("/x")}},
        "Conditions block",
    ),
    "a resource that is left out": (
        {
            "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
            "Resources": {"P": parameter("/x", {"Ref": "Q"}), "Q": parameter("/y", Condition="Never")},
        },
        "dependencies [Q] in the Resources block",
    ),
    "a mapping that is not there": (
        {"Resources": {"P": parameter("/x", {"Fn::FindInMap": ["M", "a", "b"]})}},
        "Mapping named 'M' is not present",
    ),
    "an unknown function": ({"Resources": {"P": parameter("/x", {"Fn::Length": []})}}, "Fn::Length"),
    "a dynamic reference": ({"Resources": {"P": parameter("/x", "{{resolve:ssm:/y}}")}}, "{{resolve:...}}"),
    "properties by a function": (
        {"Resources": {"P": {"Type": "AWS::SNS::Topic", "Properties": {"Fn::If": ["A", {}, {}]}}}},
        "[/Resources/P/Properties] must be an object",
    ),
    "a mapping that is no map": (
        {"Mappings": {"M": {"a": "b"}}, "Resources": {"P": parameter("/x")}},
        "map of maps: M",
    ),
    "a bound that is no number": (
        {"Parameters": {"A": {"Type": "String", "MaxLength": "x"}}, "Resources": {"P": parameter("/x")}},
        "MaxLength of parameter A must be a number",
    ),
    "a rule without assertions": ({"Rules": {"R": {}}, "Resources": {"P": parameter("/x")}}, "Assertions of rule R"),
    "a text of nothing": ({"Resources": {"P": parameter("/x", {"Fn::Sub": []})}}, "Fn::Sub intrinsic functions"),
    "an import of nothing": (
        {"Resources": {"P": parameter("/x", {"Fn::ImportValue": "nothing"})}},
        "No export named nothing found.",
    ),
    "an output that is no text": (
        {"Resources": {"P": parameter("/x")}, "Outputs": {"O": {"Value": ["a"]}}},
        "Output O is malformed",
    ),
}


@pytest.mark.parametrize("what", REFUSED_TEMPLATES)
def test_a_template_is_refused_before_anything_is_made(cfn: Any, what: str) -> None:
    template, said = REFUSED_TEMPLATES[what]
    if what == "an output that is no text":  # only known when all is made
        assert created(cfn, "refused-late", template)["StackStatus"] == "ROLLBACK_COMPLETE"
        return
    code, message = error_of(lambda: cfn.create_stack(StackName="refused", TemplateBody=as_body(template)))
    assert code == "ValidationError"
    assert said in message
    assert error_of(lambda: cfn.describe_stacks(StackName="refused"))[0] == "ValidationError"


DECLARED = {
    "Short": {"Type": "String", "MaxLength": 3, "Default": "abc"},
    "Long": {"Type": "String", "MinLength": 2, "Default": "abc"},
    "Shaped": {"Type": "String", "AllowedPattern": "[a-z]+", "Default": "abc"},
    "Said": {"Type": "String", "AllowedPattern": "[a-z]+", "Default": "abc", "ConstraintDescription": "letters"},
    "Either": {"Type": "String", "AllowedValues": ["a", "true", "1"], "Default": True},
    "Count": {"Type": "Number", "MinValue": 1, "MaxValue": 5, "Default": 2},
    "List": {"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]", "Default": "a,b"},
    "Numbers": {"Type": "List<Number>", "Default": "1,2"},
    "Subnet": {"Type": "AWS::EC2::Subnet::Id", "Default": "subnet-0123abcd"},
}
REFUSED_VALUES = {
    "Short": ("abcd", "Parameter 'Short' must contain at most 3 characters"),
    "Long": ("a", "Parameter 'Long' must contain at least 2 characters"),
    "Shaped": ("abc1", "Parameter 'Shaped' must match pattern [a-z]+"),
    "Said": ("1", "Parameter Said failed to satisfy constraint: letters"),
    "Either": ("b", "Parameter 'Either' must be one of AllowedValues"),
    "Count": ("6", "Parameter 'Count' must be a number not greater than 5"),
    "List": ("a,bb", "Parameter 'List' must match pattern [a-z]"),
    "Numbers": ("1,x", "Parameter 'Numbers' must be a number"),
    "Subnet": ("vpc-1", "AWS::EC2::Subnet::Id"),
    "Nobody": ("1", "Parameters: [Nobody] do not exist in the template"),
}


@pytest.mark.parametrize("name", REFUSED_VALUES)
def test_a_parameter_out_of_bounds_is_refused(cfn: Any, name: str) -> None:
    text, said = REFUSED_VALUES[name]
    body = as_body({"Parameters": DECLARED, "Resources": {"P": parameter("/bounds")}})
    code, message = error_of(
        lambda: cfn.create_stack(StackName="bounds", TemplateBody=body, Parameters=given(**{name: text}))
    )
    assert code == "ValidationError"
    assert said in message


def test_parameters_without_a_value_and_of_an_unknown_type(cfn: Any) -> None:
    resources = {"P": parameter("/missing")}
    for declared, said in (
        ({"A": {"Type": "String"}, "B": {"Type": "String"}}, "Parameters: [A, B] must have values"),
        ({"A": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/p"}}, "AWS::SSM::Parameter::Value<String>"),
    ):
        body = as_body({"Parameters": declared, "Resources": resources})
        assert said in error_of(lambda body=body: cfn.create_stack(StackName="missing", TemplateBody=body))[1]  # type: ignore[misc]


def test_a_secret_parameter_is_not_shown(cfn: Any, ssm: Any) -> None:
    template = {
        "Parameters": {"Secret": {"Type": "String", "NoEcho": True}},
        "Resources": {"P": parameter("/secret", {"Ref": "Secret"})},
    }
    stack = created(cfn, "secret", template, Parameters=given(Secret="hidden"))
    assert stack["Parameters"] == [{"ParameterKey": "Secret", "ParameterValue": "****"}]
    assert value(ssm, "/secret") == "hidden"


def test_rules_are_kept(cfn: Any) -> None:
    contains = {"Fn::Contains": [["m5", "m6"], {"Ref": "Kind"}]}
    template = {
        "Parameters": {"Stage": {"Type": "String"}, "Kind": {"Type": "String"}},
        "Rules": {
            "Big": {
                "RuleCondition": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
                "Assertions": [{"Assert": contains, "AssertDescription": "production is big"}],
            }
        },
        "Resources": {"P": parameter("/rules", {"Ref": "Kind"})},
    }
    body = as_body(template)
    wrong = given(Stage="prod", Kind="t2")
    code, message = error_of(lambda: cfn.create_stack(StackName="rules", TemplateBody=body, Parameters=wrong))
    assert (code, "production is big" in message) == ("ValidationError", True)
    stack = created(cfn, "rules", template, Parameters=given(Stage="dev", Kind="t2"))
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert (
        updated(cfn, "rules", template, Parameters=given(Stage="prod", Kind="m5"))["StackStatus"] == "UPDATE_COMPLETE"
    )


# --- failing


def test_a_failed_creation_is_taken_back(cfn: Any, ssm: Any) -> None:
    ssm.put_parameter(Name="/rollback/taken", Value="somebody's", Type="String")
    template = {
        "Resources": {
            "Good": parameter("/rollback/good"),
            "Bad": parameter("/rollback/taken", {"Ref": "Good"}),
            "Never": parameter("/rollback/never", {"Ref": "Bad"}),
        }
    }
    stack = created(cfn, "rollback", template)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert value(ssm, "/rollback/good") is None
    assert value(ssm, "/rollback/taken") == "somebody's"
    said = reasons(cfn, "rollback")
    assert set(said) == {"Bad"}
    assert "(Service: SSM, Status Code: 400, Error Code: ParameterAlreadyExists)" in said["Bad"]
    assert said["Bad"].endswith("(HandlerErrorCode: AlreadyExists)")
    assert (
        rollback_reason(cfn, "rollback")
        == "The following resource(s) failed to create: [Bad]. Rollback requested by user."
    )
    assert ("Never", "CREATE_IN_PROGRESS") not in events(cfn, "rollback")
    code, message = error_of(lambda: cfn.update_stack(StackName="rollback", TemplateBody=as_body(template)))
    assert code == "ValidationError"
    assert message.endswith("is in ROLLBACK_COMPLETE state and can not be updated.")
    assert deleted(cfn, "rollback")["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    ("choice", "status"), [("DO_NOTHING", "CREATE_FAILED"), ("DELETE", "DELETE_COMPLETE")], ids=["keep", "delete"]
)
def test_what_to_do_on_failure(cfn: Any, ssm: Any, choice: str, status: str) -> None:
    ssm.put_parameter(Name=f"/onfailure/{choice}", Value="x", Type="String")
    good = parameter(f"/onfailure/good-{choice}")
    template = {"Resources": {"Good": good, "Bad": parameter(f"/onfailure/{choice}", DependsOn="Good")}}
    name = f"onfailure-{choice.replace('_', '')}"
    identifier = cfn.create_stack(StackName=name, TemplateBody=as_body(template), OnFailure=choice)["StackId"]
    assert settled(cfn, identifier)["StackStatus"] == status
    assert (value(ssm, f"/onfailure/good-{choice}") is not None) == (choice == "DO_NOTHING")


def test_retention_in_a_failed_creation(cfn: Any, ssm: Any) -> None:
    ssm.put_parameter(Name="/retained/taken", Value="x", Type="String")
    template = {
        "Resources": {
            "Kept": parameter("/retained/kept", DeletionPolicy="Retain"),
            "Gone": parameter("/retained/gone", DeletionPolicy="RetainExceptOnCreate"),
            "Bad": parameter("/retained/taken", DependsOn=["Kept", "Gone"]),
        }
    }
    assert created(cfn, "retained", template)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert (value(ssm, "/retained/kept"), value(ssm, "/retained/gone")) == ("v", None)
    assert ("Kept", "DELETE_SKIPPED") in events(cfn, "retained")


def test_retention_can_begin_after_creation(cfn: Any, ssm: Any) -> None:
    ssm.put_parameter(Name="/after/taken", Value="x", Type="String")
    first, second = (parameter(f"/after/{name}", DeletionPolicy="Retain") for name in ("first", "second"))
    bad = parameter("/after/taken", DependsOn="First")
    failing = {"Resources": {"First": first, "Bad": bad}}
    assert created(cfn, "after", failing, RetainExceptOnCreate=True)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert value(ssm, "/after/first") is None
    created(cfn, "afterwards", {"Resources": {"First": first}})
    failing["Resources"] |= {"Second": second, "Bad": bad | {"DependsOn": "Second"}}
    assert updated(cfn, "afterwards", failing, RetainExceptOnCreate=True)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (value(ssm, "/after/first"), value(ssm, "/after/second")) == ("v", None)
    assert updated(cfn, "afterwards", failing)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value(ssm, "/after/second") == "v"


def test_a_deletion_leaves_what_is_to_be_retained(cfn: Any, ssm: Any) -> None:
    policies = {"Gone": "Delete", "Kept": "Retain", "KeptToo": "RetainExceptOnCreate"}
    resources = {name: parameter(f"/policy/{name}", DeletionPolicy=policy) for name, policy in policies.items()}
    created(cfn, "policy", {"Resources": resources})
    gone = deleted(cfn, "policy")
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    assert [value(ssm, f"/policy/{name}") for name in policies] == [None, "v", "v"]
    assert {n for n, status in events(cfn, gone["StackId"]) if status == "DELETE_SKIPPED"} == {"Kept", "KeptToo"}


def test_a_replaced_resource_is_kept_where_its_policy_says_so(cfn: Any, ssm: Any) -> None:
    for name in ("/replaced/one", "/replaced/two"):
        resources = {"P": parameter(name, UpdateReplacePolicy="Retain")}
        (updated if value(ssm, "/replaced/one") else created)(cfn, "replaced", {"Resources": resources})
    assert value(ssm, "/replaced/one") == value(ssm, "/replaced/two") == "v"
    deleted(cfn, "replaced")
    assert (value(ssm, "/replaced/one"), value(ssm, "/replaced/two")) == ("v", None)


def test_a_deletion_that_fails_can_leave_something_behind(aws: EmbeddedAws, cfn: Any, ssm: Any) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "not-empty-here"}, "DependsOn": "Needed"}
    template = {
        "Resources": {
            "Bucket": bucket,
            "Needed": parameter("/delete/needed"),
            "P": parameter("/delete/p", {"Ref": "Bucket"}),
            **chain_of(10, "delete"),
        }
    }
    created(cfn, "full", template)
    aws.client("s3", MINE).put_object(Bucket="not-empty-here", Key="k", Body=b"x")
    stack = deleted(cfn, "full")
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to delete: [Bucket]. "
    assert "BucketNotEmpty" in reasons(cfn, "full")["Bucket"]
    # What the bucket needs stays; what has nothing to do with it goes.
    assert [value(ssm, f"/delete/{name}") for name in ("p", "needed", "T00")] == [None, "v", None]
    cfn.delete_stack(StackName="full", RetainResources=["Bucket"])
    assert settled(cfn, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert value(ssm, "/delete/needed") is None
    assert aws.client("s3", MINE).head_bucket(Bucket="not-empty-here")


# --- updating


def test_an_update_changes_replaces_adds_and_removes(cfn: Any, ssm: Any) -> None:
    before = {
        "Resources": {
            "Changed": parameter("/update/changed", "old"),
            "Replaced": parameter("/update/old-name"),
            "Follows": parameter("/update/follows", {"Ref": "Replaced"}),
            "Removed": parameter("/update/removed"),
            "Kept": parameter("/update/kept", DeletionPolicy="Retain"),
            "Same": parameter("/update/same"),
        }
    }
    after = {
        "Resources": {
            "Changed": parameter("/update/changed", "new"),
            "Replaced": parameter("/update/new-name"),
            "Follows": parameter("/update/follows", {"Ref": "Replaced"}),
            "Added": parameter("/update/added"),
            "Same": parameter("/update/same"),
        }
    }
    created(cfn, "update", before)
    seen = len(events(cfn, "update"))
    assert updated(cfn, "update", after)["StackStatus"] == "UPDATE_COMPLETE"
    assert value(ssm, "/update/changed") == "new"
    assert value(ssm, "/update/follows") == "/update/new-name"
    assert [value(ssm, f"/update/{n}") for n in ("old-name", "removed", "kept", "added")] == [None, None, "v", "v"]
    happened = events(cfn, "update")[seen:]
    assert "Same" not in {name for name, _ in happened}
    assert ("Kept", "DELETE_SKIPPED") in happened
    cleanup = happened.index(("update", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"))
    assert happened.index(("Replaced", "UPDATE_COMPLETE")) < happened.index(("Follows", "UPDATE_IN_PROGRESS"))
    assert happened.index(("Replaced", "DELETE_COMPLETE")) > cleanup > happened.index(("Follows", "UPDATE_COMPLETE"))
    listed = cfn.list_stack_resources(StackName="update")["StackResourceSummaries"]
    assert {r["LogicalResourceId"] for r in listed} == {"Changed", "Replaced", "Follows", "Added", "Same"}


def test_an_update_without_changes_is_refused(cfn: Any) -> None:
    template = {
        "Parameters": {"A": {"Type": "String", "Default": "1"}},
        "Resources": {"P": parameter("/nothing", {"Ref": "A"})},
    }
    created(cfn, "nothing", template, Parameters=given(A="2"))
    previous = [{"ParameterKey": "A", "UsePreviousValue": True}]
    for more in ({"TemplateBody": as_body(template)}, {"UsePreviousTemplate": True}):
        code, message = error_of(lambda more=more: cfn.update_stack(StackName="nothing", Parameters=previous, **more))  # type: ignore[misc]
        assert (code, message) == ("ValidationError", "No updates are to be performed.")
    # What is not given again goes back to its default.
    assert updated(cfn, "nothing", template)["Parameters"] == [{"ParameterKey": "A", "ParameterValue": "1"}]


def test_outputs_and_tags_alone_are_updates(cfn: Any, ssm: Any) -> None:
    template: dict[str, Any] = {"Resources": {"P": parameter("/outputs")}}
    created(cfn, "outputs", template)
    template["Outputs"] = {"O": {"Value": {"Ref": "P"}}}
    assert outputs(updated(cfn, "outputs", template)) == {"O": "/outputs"}
    updated(cfn, "outputs", template, Tags=[{"Key": "team", "Value": "ml"}])
    carried = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/outputs")["TagList"]
    assert {"Key": "team", "Value": "ml"} in carried


def test_a_failed_update_is_taken_back(cfn: Any, ssm: Any) -> None:
    ssm.put_parameter(Name="/back/taken", Value="somebody's", Type="String")
    before = {
        "Resources": {"Changed": parameter("/back/changed", "old"), "Moved": parameter("/back/here")},
        "Outputs": {"O": {"Value": "before"}},
    }
    after = {
        "Resources": {
            "Changed": parameter("/back/changed", "new"),
            "Moved": parameter("/back/there"),
            "Added": parameter("/back/added"),
            "Bad": parameter("/back/taken", DependsOn=["Changed", "Moved", "Added"]),
        },
        "Outputs": {"O": {"Value": "after"}},
    }
    created(cfn, "back", before)
    stack = updated(cfn, "back", after)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert outputs(stack) == {"O": "before"}
    assert value(ssm, "/back/changed") == "old"
    assert [value(ssm, f"/back/{n}") for n in ("here", "there", "added", "taken")] == ["v", None, None, "somebody's"]
    listed = cfn.list_stack_resources(StackName="back")["StackResourceSummaries"]
    assert {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in listed} == {
        "Changed": "/back/changed",
        "Moved": "/back/here",
    }
    assert json.loads(json.dumps(cfn.get_template(StackName="back")["TemplateBody"])) == before
    del after["Resources"]["Bad"]
    assert updated(cfn, "back", after)["StackStatus"] == "UPDATE_COMPLETE"
    assert value(ssm, "/back/there") == "v"


def test_a_named_resource_is_not_replaced_by_itself(cfn: Any, ssm: Any) -> None:
    def template(tier: str) -> dict[str, Any]:
        account = {"Ref": "AWS::AccountId"}
        trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": account}}]}
        return {
            "Resources": {
                "R": {
                    "Type": "AWS::IAM::Role",
                    "Properties": {"RoleName": "fixed", "Path": tier, "AssumeRolePolicyDocument": trust},
                }
            }
        }

    named: dict[str, Any] = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    created(cfn, "fixed", template("/a/"), **named)
    assert updated(cfn, "fixed", template("/b/"), **named)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing. Rename fixed" in reasons(cfn, "fixed")["R"]


def test_a_type_cannot_change(cfn: Any) -> None:
    created(cfn, "retyped", {"Resources": {"P": parameter("/retyped")}})
    topic = as_body({"Resources": {"P": {"Type": "AWS::SNS::Topic"}}})
    said = error_of(lambda: cfn.update_stack(StackName="retyped", TemplateBody=topic))[1]
    assert "Update of resource type is not permitted" in said


def test_a_protected_stack_is_not_deleted(cfn: Any) -> None:
    template = {"Resources": {"P": parameter("/protected")}}
    created(cfn, "protected", template, EnableTerminationProtection=True)
    said = error_of(lambda: cfn.delete_stack(StackName="protected"))[1]
    assert said == "Stack [protected] cannot be deleted while TerminationProtection is enabled"
    cfn.update_termination_protection(StackName="protected", EnableTerminationProtection=False)
    assert deleted(cfn, "protected")["StackStatus"] == "DELETE_COMPLETE"


# --- exports


def test_exports_are_imported_and_guarded(cfn: Any, ssm: Any) -> None:
    exporting = {
        "Resources": {"P": parameter("/export/p")},
        "Outputs": {"O": {"Value": {"Ref": "P"}, "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-name"}}}},
    }
    importing = {"Resources": {"Q": parameter("/export/q", {"Fn::ImportValue": "exporter-name"})}}
    created(cfn, "exporter", exporting)
    created(cfn, "importer", importing)
    assert value(ssm, "/export/q") == "/export/p"
    assert {"exporter-name": "/export/p"}.items() <= {
        export["Name"]: export["Value"] for export in cfn.list_exports()["Exports"]
    }.items()
    assert cfn.list_imports(ExportName="exporter-name")["Imports"] == ["importer"]
    said = error_of(lambda: cfn.delete_stack(StackName="exporter"))[1]
    assert said == "Export exporter-name cannot be deleted as it is in use by importer"
    exporting["Outputs"]["O"]["Value"] = "changed"
    assert updated(cfn, "exporter", exporting)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert rollback_reason(cfn, "exporter") == "Cannot update export exporter-name as it is in use by importer"
    without = {"Resources": exporting["Resources"]}
    assert updated(cfn, "exporter", without)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert rollback_reason(cfn, "exporter") == "Cannot delete export exporter-name as it is in use by importer"
    twin = {"Resources": {"P": parameter("/export/twin")}, "Outputs": exporting["Outputs"]}
    twin["Outputs"]["O"]["Export"] = {"Name": "exporter-name"}
    assert created(cfn, "twin", twin)["StackStatus"] == "ROLLBACK_COMPLETE"
    deleted(cfn, "importer")
    assert deleted(cfn, "exporter")["StackStatus"] == "DELETE_COMPLETE"


# --- in whose name

ROLE = """
Resources:
  R:
    Type: AWS::IAM::Role
    Properties:
      {name}
      AssumeRolePolicyDocument:
        Statement:
          - {{Effect: Allow, Principal: {{Service: cloudformation.amazonaws.com}}, Action: "sts:AssumeRole"}}
Outputs:
  Arn: {{Value: !GetAtt R.Arn}}
"""


def test_capabilities_are_asked_for(cfn: Any) -> None:
    for name, body, enough in (
        ("CAPABILITY_IAM", ROLE.format(name=""), "CAPABILITY_IAM"),
        ("CAPABILITY_NAMED_IAM", ROLE.format(name="RoleName: named"), "CAPABILITY_NAMED_IAM"),
    ):
        little = [] if name == "CAPABILITY_IAM" else ["CAPABILITY_IAM"]
        code, message = error_of(
            lambda body=body, little=little: cfn.create_stack(  # type: ignore[misc]
                StackName="capable", TemplateBody=body, Capabilities=little
            )
        )
        assert (code, message) == ("InsufficientCapabilitiesException", f"Requires capabilities : [{name}]")
        assert cfn.validate_template(TemplateBody=body)["Capabilities"] == [enough]
        assert created(cfn, f"capable{len(name)}", body, Capabilities=[enough])["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_acts_as_its_role(aws: EmbeddedAws, cfn: Any) -> None:
    template = {"Resources": {"P": parameter("/by-role")}}
    role = outputs(created(cfn, "role-of", ROLE.format(name=""), Capabilities=["CAPABILITY_IAM"]))["Arn"]
    stack = created(cfn, "by-role", template, RoleARN=role)
    assert (stack["StackStatus"], stack["RoleARN"]) == ("CREATE_COMPLETE", role)
    for other, said in (
        (f"arn:aws:iam::{MINE}:role/nobody", "invalid or cannot be assumed"),
        (role.replace(MINE, OTHER), "Cross-account pass role is not allowed"),
    ):
        code, message = error_of(
            lambda other=other: cfn.create_stack(StackName="no-role", TemplateBody=as_body(template), RoleARN=other)  # type: ignore[misc]
        )
        assert (code, said in message) == ("ValidationError", True)


# --- change sets


def changed(cfn: Any, stack: str, name: str, template: Any, **more: Any) -> dict[str, Any]:
    cfn.create_change_set(StackName=stack, ChangeSetName=name, TemplateBody=as_body(template), **more)
    described: dict[str, Any] = cfn.describe_change_set(StackName=stack, ChangeSetName=name)
    return described


def test_a_stack_by_change_sets(cfn: Any, ssm: Any) -> None:
    before = {"Resources": {"P": parameter("/set/p", "1"), "Q": parameter("/set/q")}, "Outputs": {"O": {"Value": "o"}}}
    first = changed(cfn, "set", "first", before, ChangeSetType="CREATE")
    assert (first["Status"], first["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert [c["ResourceChange"]["Action"] for c in first["Changes"]] == ["Add", "Add"]
    assert cfn.describe_stacks(StackName="set")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert value(ssm, "/set/p") is None
    cfn.execute_change_set(StackName="set", ChangeSetName="first")
    stack = settled(cfn, "set")
    assert (stack["StackStatus"], outputs(stack)) == ("CREATE_COMPLETE", {"O": "o"})

    same = changed(cfn, "set", "same", before)
    assert (same["Status"], same["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert same["StatusReason"].startswith("The submitted information didn't contain changes.")
    code, _ = error_of(lambda: cfn.execute_change_set(StackName="set", ChangeSetName="same"))
    assert code == "InvalidChangeSetStatus"

    after = {"Resources": {"P": parameter("/set/p", "2"), "R": parameter("/set/r", {"Ref": "P"})}}
    second = changed(cfn, "set", "second", after)
    assert {
        c["ResourceChange"]["LogicalResourceId"]: (
            c["ResourceChange"]["Action"],
            c["ResourceChange"].get("Replacement"),
        )
        for c in second["Changes"]
    } == {"P": ("Modify", "False"), "Q": ("Remove", None), "R": ("Add", None)}
    third = changed(cfn, "set", "third", {"Resources": {"P": parameter("/set/p2")}})
    assert third["Changes"][0]["ResourceChange"]["Replacement"] == "True"
    cfn.execute_change_set(ChangeSetName=second["ChangeSetId"])
    assert settled(cfn, "set")["StackStatus"] == "UPDATE_COMPLETE"
    assert (value(ssm, "/set/p"), value(ssm, "/set/q")) == ("2", None)
    assert error_of(lambda: cfn.execute_change_set(ChangeSetName=third["ChangeSetId"]))[0] == "ChangeSetNotFound"
    cfn.delete_change_set(StackName="set", ChangeSetName="never-was")


def test_a_change_set_foresees_what_follows_from_a_change(cfn: Any) -> None:
    def template(name: str) -> dict[str, Any]:
        return {"Resources": {"P": parameter(name), "F": parameter("/foreseen/f", {"Ref": "P"}), "S": parameter("/s")}}

    created(cfn, "foreseen", template("/foreseen/p"))
    renamed = changed(cfn, "foreseen", "renamed", template("/foreseen/q"))
    assert [
        (c["LogicalResourceId"], c["Replacement"], c["Scope"], [d["Target"]["Name"] for d in c["Details"]])
        for c in (change["ResourceChange"] for change in renamed["Changes"])
    ] == [("P", "True", ["Properties"], ["Name"]), ("F", "False", ["Properties"], ["Value"])]
    tags = [{"Key": "team", "Value": "ml"}]
    tagged = changed(cfn, "foreseen", "tagged", template("/foreseen/p"), Tags=tags)
    assert {c["ResourceChange"]["LogicalResourceId"] for c in tagged["Changes"]} == {"P", "F", "S"}
    assert {tuple(c["ResourceChange"]["Scope"]) for c in tagged["Changes"]} == {("Tags",)}


def test_a_change_set_is_out_of_date_after_an_update(cfn: Any) -> None:
    created(cfn, "dated", {"Resources": {"P": parameter("/dated", "1")}})
    changed(cfn, "dated", "late", {"Resources": {"P": parameter("/dated", "2")}})
    updated(cfn, "dated", {"Resources": {"P": parameter("/dated", "3")}})
    assert cfn.list_change_sets(StackName="dated")["Summaries"][0]["ExecutionStatus"] == "OBSOLETE"
    code, message = error_of(lambda: cfn.execute_change_set(StackName="dated", ChangeSetName="late"))
    assert (code, "OBSOLETE" in message) == ("InvalidChangeSetStatus", True)


def test_a_change_set_of_no_stack(cfn: Any) -> None:
    template = {"Resources": {"P": parameter("/no-stack")}}
    assert error_of(lambda: changed(cfn, "no-stack", "c", template)) == (
        "ValidationError",
        "Stack [no-stack] does not exist",
    )


# --- templates looked at


def test_what_a_template_says_of_itself(cfn: Any) -> None:
    body = as_body(
        {
            "Description": "d",
            "Metadata": {"M": 1},
            "Parameters": {"A": {"Type": "Number", "Default": 1, "AllowedValues": [1, 2], "Description": "a"}},
            "Resources": {"P": parameter("/summary")},
        }
    )
    validated = cfn.validate_template(TemplateBody=body)
    assert validated["Parameters"] == [
        {"ParameterKey": "A", "DefaultValue": "1", "NoEcho": False, "Description": "a"},
    ]
    summary = cfn.get_template_summary(TemplateBody=body)
    assert summary["ResourceTypes"] == ["AWS::SSM::Parameter"]
    assert summary["Parameters"][0]["ParameterConstraints"] == {"AllowedValues": ["1", "2"]}
    assert json.loads(summary["Metadata"]) == {"M": 1}
    assert error_of(lambda: cfn.validate_template(TemplateBody="Resources: {}"))[0] == "ValidationError"
    assert "51200" in error_of(lambda: cfn.validate_template(TemplateBody=body + " " * 51_200))[1]


def test_what_is_not_there_is_refused_by_name(cfn: Any) -> None:
    body = as_body({"Resources": {"P": parameter("/refused")}})
    topic = f"arn:aws:sns:{REGION}:{MINE}:t"
    for call in (
        lambda: cfn.create_stack(StackName="x", TemplateBody=body, NotificationARNs=[topic]),
        lambda: cfn.create_stack(StackName="x", TemplateBody=body, StackPolicyBody="{}"),
        lambda: cfn.detect_stack_drift(StackName="x"),
    ):
        assert error_of(call)[0] == "NotImplementedByEmbeddedAws"
    code, message = error_of(lambda: cfn.create_stack(StackName="1-x", TemplateBody=body))
    assert (code, "stackName" in message) == ("ValidationError", True)
    tags = [{"Key": "aws:mine", "Value": "x"}]
    assert "aws:" in error_of(lambda: cfn.create_stack(StackName="x", TemplateBody=body, Tags=tags))[1]


PUBLISHED = {
    "catalog.yaml": {"PrincipalArn1": f"arn:aws:iam::{MINE}:role/studio"},
    "data-science-account.yaml": {},
    "project.yaml": {"SageMakerProjectName": "demo", "SageMakerProjectId": "p-1"},
    "target-account.yaml": {"DataScienceAccountId": OTHER},
    "cfn-sm-endpoint-template.yml": {
        "SageMakerProjectName": "demo",
        "SageMakerProjectId": "p-1",
        "StageName": "prod",
        "ModelPackageName": f"arn:aws:sagemaker:{REGION}:{MINE}:model-package/demo/1",
        "ModelExecutionRoleName": "path/model",
        "EndpointInstanceType": "ml.m5.large",
        "UpdatePolicy": "CANARY",
        "AutoscalingMaxCapacity": "3",
        "DataCapturePercentage": "20",
        "SubnetIds": "subnet-01234567,subnet-89abcdef",
        "SecurityGroupIds": "sg-01234567",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("file", PUBLISHED)
def test_the_templates_of_this_product_evaluate(aws: EmbeddedAws, cfn: Any, file: str) -> None:
    product, seed = ROOT / "product/cloudformation" / file, ROOT / "<<cookiecutter.project_slug>>" / file
    body = (product if product.exists() else seed).read_bytes()
    s3 = aws.client("s3", MINE)
    s3.create_bucket(Bucket=f"of-{file.lower()}", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=f"of-{file.lower()}", Key="t", Body=body)
    cfn.create_change_set(
        StackName=f"of-{file.split('.', maxsplit=1)[0]}",
        ChangeSetName="look",
        ChangeSetType="CREATE",
        TemplateURL=f"https://s3.{REGION}.amazonaws.com/of-{file.lower()}/t",
        Parameters=given(**PUBLISHED[file]),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    described = cfn.describe_change_set(StackName=f"of-{file.split('.', maxsplit=1)[0]}", ChangeSetName="look")
    assert described["Status"] == "CREATE_COMPLETE"
    added = {change["ResourceChange"]["LogicalResourceId"] for change in described["Changes"]}
    assert len(added) >= 3
    if file == "cfn-sm-endpoint-template.yml":
        assert {"Endpoint", "ErrorAlarm", "ScalingPolicy"} <= added


# --- while something goes on


@pytest.mark.slow
def test_an_update_can_be_cancelled(cfn: Any, ssm: Any) -> None:
    first = {"First": parameter("/cancel/first", "old")}
    created(cfn, "cancel", {"Resources": first})
    more = {"First": parameter("/cancel/first", "new"), **chain_of(60, "cancel")}
    cfn.update_stack(StackName="cancel", TemplateBody=as_body({"Resources": more}))
    said = error_of(lambda: cfn.update_stack(StackName="cancel", TemplateBody=as_body({"Resources": first})))[1]
    assert said.endswith("is in UPDATE_IN_PROGRESS state and can not be updated.")
    cfn.cancel_update_stack(StackName="cancel")
    assert settled(cfn, "cancel")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value(ssm, "/cancel/first") == "old"
    assert value(ssm, "/cancel/T00") is None
    assert value(ssm, "/cancel/T59") is None
    assert "CancelUpdateStack cannot be called" in error_of(lambda: cfn.cancel_update_stack(StackName="cancel"))[1]


@pytest.mark.slow
def test_a_stack_can_be_deleted_while_it_is_created(cfn: Any, ssm: Any) -> None:
    template = {"Resources": chain_of(60, "hasty")}
    identifier = cfn.create_stack(StackName="hasty", TemplateBody=as_body(template))["StackId"]
    cfn.delete_stack(StackName="hasty")
    cfn.get_waiter("stack_delete_complete").wait(StackName=identifier, WaiterConfig={"Delay": 0.1})
    assert value(ssm, "/hasty/T00") is None
    assert ("T59", "CREATE_COMPLETE") not in events(cfn, identifier)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["mended", "skipped"])
def test_a_rollback_that_fails_can_be_continued(aws: EmbeddedAws, cfn: Any, ssm: Any, way: str) -> None:
    """The update goes through first, and what it changed cannot be changed back: it is gone when the failure comes."""
    name, group = f"stuck-{way}", f"/stuck/{way}"
    logs = aws.client("logs", MINE)

    def template(days: int, **more: Any) -> dict[str, Any]:
        properties = {"LogGroupName": group, "RetentionInDays": days}
        return {"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": properties}, **more}}

    created(cfn, name, template(7))
    chain = chain_of(60, name)
    chain["T00"]["DependsOn"] = ["G"]
    chain["T59"]["Properties"]["Name"] = f"/{name}/taken"
    ssm.put_parameter(Name=f"/{name}/taken", Value="somebody's", Type="String")
    cfn.update_stack(StackName=name, TemplateBody=as_body(template(14, **chain)))
    while value(ssm, f"/{name}/T00") is None:
        time.sleep(0.01)
    logs.delete_log_group(logGroupName=group)
    stack = settled(cfn, name)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to update: [G]. "
    said = error_of(lambda: cfn.update_stack(StackName=name, TemplateBody=as_body(template(7))))[1]
    assert "is in UPDATE_ROLLBACK_FAILED state" in said
    if way == "mended":
        logs.create_log_group(logGroupName=group)
    cfn.continue_update_rollback(StackName=name, ResourcesToSkip=["G"] if way == "skipped" else [])
    assert settled(cfn, name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert [g["retentionInDays"] for g in found] == ([7] if way == "mended" else [])
    assert value(ssm, f"/{name}/T00") is None


@pytest.mark.slow
def test_many_stacks_at_once(aws: EmbeddedAws, cfn: Any) -> None:
    template = {"Resources": {"P": parameter({"Fn::Sub": "/many/${AWS::StackName}"})}}  # type: ignore[arg-type]
    names = [f"many-{n}" for n in range(12)]
    for name in names:
        cfn.create_stack(StackName=name, TemplateBody=as_body(template))
    assert {settled(cfn, name)["StackStatus"] for name in names} == {"CREATE_COMPLETE"}
    found = aws.client("ssm", MINE).get_parameters(Names=[f"/many/{name}" for name in names[:10]])["Parameters"]
    assert len(found) == 10
