"""Stack sets of the embedded CloudFormation: by account through roles, and by organizational unit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION, FAR = "eu-west-1", "us-east-1"
ADMIN, FIRST, SECOND, ROLELESS = "641111111111", "642222222222", "643333333333", "644444444444"
EXECUTION_ROLE = "AWSCloudFormationStackSetExecutionRole"
TRUSTED = "member.org.stacksets.cloudformation.amazonaws.com"
SECONDS = 20
TEMPLATE = {
    "Parameters": {"Text": {"Type": "String", "Default": "default"}},
    "Resources": {
        "P": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": "/of-the-set", "Type": "String", "Value": {"Ref": "Text"}},
        }
    },
}


@pytest.fixture(scope="module")
def cfn(aws: EmbeddedAws) -> Any:
    """CloudFormation in an administrator's account, with the roles of self-managed sets in two others."""
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    service = {
        "Version": "2012-10-17",
        "Statement": [allow | {"Principal": {"Service": "cloudformation.amazonaws.com"}}],
    }
    administration = "AWSCloudFormationStackSetAdministrationRole"
    iam = aws.client("iam", ADMIN)
    role = iam.create_role(RoleName=administration, AssumeRolePolicyDocument=json.dumps(service))["Role"]["Arn"]
    trust = {"Version": "2012-10-17", "Statement": [allow | {"Principal": {"AWS": role}}]}
    assume = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": assume})
    iam.put_role_policy(RoleName=administration, PolicyName="assume", PolicyDocument=policy)
    for account in (FIRST, SECOND):
        aws.client("iam", account).create_role(RoleName=EXECUTION_ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    return aws.client("cloudformation", ADMIN)


def ended(cfn: Any, name: str, operation: str) -> dict[str, Any]:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        answer = cfn.describe_stack_set_operation(StackSetName=name, OperationId=operation)
        found: dict[str, Any] = answer["StackSetOperation"]
        if found["Status"] not in {"RUNNING", "STOPPING"}:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{operation} is still {found['Status']}")


def made(cfn: Any, name: str, **more: Any) -> str:
    cfn.create_stack_set(StackSetName=name, TemplateBody=json.dumps(template(name)), **more)
    return name


def template(name: str, **more: Any) -> dict[str, Any]:
    """One whose parameter has the set's name."""
    text = json.dumps(TEMPLATE).replace("/of-the-set", f"/{name}")
    return {**json.loads(text), **more}


def values(aws: EmbeddedAws, name: str, *accounts: str, region: str = REGION) -> list[str | None]:
    found: list[str | None] = []
    for account in accounts:
        ssm = aws.client("ssm", account, region)
        try:
            found.append(ssm.get_parameter(Name=f"/{name}")["Parameter"]["Value"])
        except ssm.exceptions.ParameterNotFound:
            found.append(None)
    return found


def results(cfn: Any, name: str, operation: str) -> dict[tuple[str, str], str]:
    pages = cfn.get_paginator("list_stack_set_operation_results").paginate(StackSetName=name, OperationId=operation)
    return {(r["Account"], r["Region"]): r["Status"] for page in pages for r in page["Summaries"]}


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.slow
def test_the_life_of_a_set_by_accounts(aws: EmbeddedAws, cfn: Any) -> None:
    name = made(cfn, "life")
    accounts = [FIRST, SECOND]
    operation = cfn.create_stack_instances(StackSetName=name, Accounts=accounts, Regions=[REGION, FAR])["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert results(cfn, name, operation) == {(a, r): "SUCCEEDED" for a in accounts for r in (REGION, FAR)}
    assert values(aws, name, FIRST, SECOND) == ["default", "default"]
    assert values(aws, name, FIRST, region=FAR) == ["default"]
    [stack] = aws.client("cloudformation", FIRST).describe_stacks()["Stacks"]
    assert stack["StackName"].startswith("StackSet-life-")
    instances = cfn.list_stack_instances(StackSetName=name)["Summaries"]
    assert {(i["Status"], i["StackInstanceStatus"]["DetailedStatus"]) for i in instances} == {("CURRENT", "SUCCEEDED")}
    assert stack["StackId"] in [i["StackId"] for i in instances]

    override = [{"ParameterKey": "Text", "ParameterValue": "mine"}]
    operation = cfn.update_stack_instances(
        StackSetName=name, Accounts=[FIRST], Regions=[REGION], ParameterOverrides=override
    )["OperationId"]
    assert ended(cfn, name, operation)["Action"] == "UPDATE"
    wanted = [{"ParameterKey": "Text", "ParameterValue": "new"}]
    operation = cfn.update_stack_set(StackSetName=name, UsePreviousTemplate=True, Parameters=wanted)["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, FIRST, SECOND) == ["mine", "new"]

    assert error_of(lambda: cfn.delete_stack_set(StackSetName=name))[0] == "StackSetNotEmptyException"
    operation = cfn.delete_stack_instances(
        StackSetName=name, Accounts=[FIRST], Regions=[REGION, FAR], RetainStacks=False
    )["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    operation = cfn.delete_stack_instances(
        StackSetName=name, Accounts=[SECOND], Regions=[REGION, FAR], RetainStacks=True
    )["OperationId"]
    assert ended(cfn, name, operation)["RetainStacks"] is True
    assert values(aws, name, FIRST, SECOND) == [None, "new"]
    cfn.delete_stack_set(StackSetName=name)
    code, message = error_of(lambda: cfn.describe_stack_set(StackSetName=name))
    assert (code, message) == ("StackSetNotFoundException", f"StackSet {name} not found")
    assert name in [s["StackSetName"] for s in cfn.list_stack_sets(Status="DELETED")["Summaries"]]


@pytest.mark.slow
def test_an_account_without_the_role_fails_and_ends_the_operation(aws: EmbeddedAws, cfn: Any) -> None:
    name = made(cfn, "roleless")
    accounts = [ROLELESS, FIRST]
    operation = cfn.create_stack_instances(StackSetName=name, Accounts=accounts, Regions=[REGION])["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "FAILED"
    assert results(cfn, name, operation) == {(ROLELESS, REGION): "FAILED", (FIRST, REGION): "CANCELLED"}
    [failed] = [i for i in cfn.list_stack_instances(StackSetName=name)["Summaries"] if i["Account"] == ROLELESS]
    assert failed["Status"] == "OUTDATED"
    assert f"Account {ROLELESS} should have '{EXECUTION_ROLE}' role with trust relationship" in failed["StatusReason"]
    assert values(aws, name, FIRST) == [None]
    operation = cfn.create_stack_instances(
        StackSetName=name, Accounts=accounts, Regions=[REGION], OperationPreferences={"FailureTolerancePercentage": 50}
    )["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, FIRST) == ["default"]


@pytest.mark.slow
def test_a_stack_that_fails_says_why_and_is_made_anew(aws: EmbeddedAws, cfn: Any) -> None:
    name = made(cfn, "failing")
    ssm = aws.client("ssm", FIRST)
    ssm.put_parameter(Name=f"/{name}", Value="somebody's", Type="String")
    operation = cfn.create_stack_instances(StackSetName=name, Accounts=[FIRST], Regions=[REGION])["OperationId"]
    assert ended(cfn, name, operation)["StatusDetails"] == {"FailedStackInstancesCount": 1}
    instance = cfn.describe_stack_instance(StackSetName=name, StackInstanceAccount=FIRST, StackInstanceRegion=REGION)[
        "StackInstance"
    ]
    assert instance["StatusReason"].startswith(
        "ResourceLogicalId:P, ResourceType:AWS::SSM::Parameter, ResourceStatusReason:"
    )
    assert "ParameterAlreadyExists" in instance["StatusReason"]
    ssm.delete_parameter(Name=f"/{name}")
    operation = cfn.update_stack_set(StackSetName=name, UsePreviousTemplate=True)["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, FIRST) == ["default"]


@pytest.mark.slow
def test_one_operation_at_a_time(cfn: Any) -> None:
    name = made(cfn, "busy")
    regions = [REGION, FAR, "eu-central-1", "us-west-2"]
    where: dict[str, Any] = {"StackSetName": name, "Accounts": [FIRST, SECOND], "Regions": regions}
    operation = cfn.create_stack_instances(**where)["OperationId"]
    code, message = error_of(lambda: cfn.update_stack_set(StackSetName=name, UsePreviousTemplate=True))
    assert (code, operation in message) == ("OperationInProgressException", True)
    assert error_of(lambda: cfn.create_stack_instances(**where))[0] == "OperationInProgressException"
    cfn.stop_stack_set_operation(StackSetName=name, OperationId=operation)
    assert ended(cfn, name, operation)["Status"] == "STOPPED"
    assert "CANCELLED" in results(cfn, name, operation).values()
    assert error_of(lambda: cfn.create_stack_instances(**where, OperationId=operation)) == (
        "OperationIdAlreadyExistsException",
        f"Operation {operation} already exists",
    )


@pytest.mark.slow
def test_a_template_too_large_for_a_request_of_ones_own(aws: EmbeddedAws, cfn: Any) -> None:
    s3 = aws.client("s3", ADMIN)
    s3.create_bucket(Bucket="large-sets", CreateBucketConfiguration={"LocationConstraint": REGION})
    body = json.dumps(template("large", Metadata={"Padding": "x" * 60_000}))
    s3.put_object(Bucket="large-sets", Key="t", Body=body.encode())
    url = f"https://large-sets.s3.{REGION}.amazonaws.com/t"
    cfn.create_stack_set(StackSetName="large", TemplateURL=url)
    operation = cfn.create_stack_instances(StackSetName="large", Accounts=[FIRST], Regions=[REGION])["OperationId"]
    assert ended(cfn, "large", operation)["Status"] == "SUCCEEDED"
    assert values(aws, "large", FIRST) == ["default"]


REFUSED: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "a name that is none": ("create_stack_set", {"StackSetName": "1"}, ("ValidationError", "stackSetName")),
    "a name that is taken": ("create_stack_set", {"StackSetName": "there"}, ("NameAlreadyExistsException", "there")),
    "no organization": (
        "create_stack_set",
        {"StackSetName": "new", "PermissionModel": "SERVICE_MANAGED"},
        ("ValidationError", "You must be the management account"),
    ),
    "automatic deployment by accounts": (
        "create_stack_set",
        {"StackSetName": "new", "AutoDeployment": {"Enabled": False}},
        ("ValidationError", "AutoDeployment is only supported"),
    ),
    "a delegated administrator": (
        "create_stack_set",
        {"StackSetName": "new", "CallAs": "DELEGATED_ADMIN", "PermissionModel": "SERVICE_MANAGED"},
        ("ValidationError", "You must be the management account"),
    ),
    "units by accounts": (
        "create_stack_instances",
        {
            "StackSetName": "there",
            "DeploymentTargets": {"OrganizationalUnitIds": ["ou-abcd-12345678"]},
            "Regions": [FAR],
        },
        ("ValidationError", "SERVICE_MANAGED"),
    ),
    "an override of nothing": (
        "create_stack_instances",
        {
            "StackSetName": "there",
            "Accounts": [FIRST],
            "Regions": [FAR],
            "ParameterOverrides": [{"ParameterKey": "No", "ParameterValue": "x"}],
        },
        ("ValidationError", "[No] do not exist"),
    ),
    "instances that are not there": (
        "update_stack_instances",
        {"StackSetName": "there", "Accounts": [FIRST], "Regions": [FAR]},
        ("StackInstanceNotFoundException", "there"),
    ),
    "an operation that was not": (
        "describe_stack_set_operation",
        {"StackSetName": "there", "OperationId": "never"},
        ("OperationNotFoundException", "never"),
    ),
    "drift": (
        "detect_stack_set_drift",
        {"StackSetName": "there"},
        ("NotImplementedByEmbeddedAws", "DetectStackSetDrift"),
    ),
}


@pytest.fixture(scope="module")
def there(cfn: Any) -> str:
    return made(cfn, "there")


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(cfn: Any, there: str, what: str) -> None:
    method, given, (code, said) = REFUSED[what]
    body = {"TemplateBody": json.dumps(TEMPLATE)} if method == "create_stack_set" else {}
    found, message = error_of(lambda: getattr(cfn, method)(**given, **body))
    assert (found, said in message) == (code, True)
    assert cfn.list_stack_instances(StackSetName=there)["Summaries"] == []


@pytest.mark.slow
def test_a_set_by_organizational_units(aws: EmbeddedAws) -> None:
    management = "555555555555"
    organizations = aws.client("organizations", management)
    cfn = aws.client("cloudformation", management)
    organizations.create_organization(FeatureSet="ALL")
    settings = {"PermissionModel": "SERVICE_MANAGED", "AutoDeployment": {"Enabled": False}}
    code, message = error_of(lambda: made(cfn, "units", **settings))
    assert (code, TRUSTED in message) == ("ValidationError", True)
    organizations.enable_aws_service_access(ServicePrincipal=TRUSTED)

    root = organizations.list_roots()["Roots"][0]["Id"]
    staging = organizations.create_organizational_unit(ParentId=root, Name="staging")["OrganizationalUnit"]["Id"]
    inner = organizations.create_organizational_unit(ParentId=staging, Name="inner")["OrganizationalUnit"]["Id"]
    empty = organizations.create_organizational_unit(ParentId=root, Name="empty")["OrganizationalUnit"]["Id"]
    accounts = []
    for number, unit in enumerate((staging, inner)):
        status = organizations.create_account(AccountName=f"a{number}", Email=f"a{number}@example.com")
        accounts.append(status["CreateAccountStatus"]["AccountId"])
        organizations.move_account(AccountId=accounts[-1], SourceParentId=root, DestinationParentId=unit)

    name = made(cfn, "units", **settings)
    described = cfn.describe_stack_set(StackSetName=name)["StackSet"]
    assert (described["PermissionModel"], described["AutoDeployment"]) == ("SERVICE_MANAGED", {"Enabled": False})
    by_account = {"StackSetName": name, "Accounts": accounts, "Regions": [REGION]}
    assert "OrganizationalUnit as target" in error_of(lambda: cfn.create_stack_instances(**by_account))[1]

    def at(unit: str, **more: Any) -> dict[str, Any]:
        targets = {"OrganizationalUnitIds": [unit], **more}
        return {"StackSetName": name, "DeploymentTargets": targets, "Regions": [REGION]}

    operation = cfn.create_stack_instances(**at(staging))["OperationId"]
    found = ended(cfn, name, operation)
    assert found["Status"] == "SUCCEEDED"
    assert found["DeploymentTargets"]["OrganizationalUnitIds"] == [staging]
    assert values(aws, name, *accounts) == ["default", "default"]
    assert [len(aws.client("cloudformation", a).list_stacks()["StackSummaries"]) for a in accounts] == [1, 1]
    instances = cfn.list_stack_instances(StackSetName=name)["Summaries"]
    assert {(i["Account"], i["OrganizationalUnitId"]) for i in instances} == {(a, staging) for a in accounts}

    operation = cfn.update_stack_set(
        StackSetName=name,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Text", "ParameterValue": "new"}],
    )["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, *accounts) == ["new", "new"]

    only = at(staging, Accounts=[accounts[1]], AccountFilterType="INTERSECTION")
    operation = cfn.delete_stack_instances(**only, RetainStacks=False)["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, *accounts) == ["new", None]
    operation = cfn.delete_stack_instances(**at(staging), RetainStacks=False)["OperationId"]
    assert ended(cfn, name, operation)["Status"] == "SUCCEEDED"
    assert values(aws, name, *accounts) == [None, None]
    assert ended(cfn, name, cfn.create_stack_instances(**at(empty))["OperationId"])["Status"] == "SUCCEEDED"
    assert "ou-none-12345678" in error_of(lambda: cfn.create_stack_instances(**at("ou-none-12345678")))[1]
    cfn.delete_stack_set(StackSetName=name)
