"""deploy/stackset.py: a stage by a stack set of an organization, as its delegated administrator; what can go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import REGION, TEMPLATE, scrubbed

TRUSTED = "member.org.stacksets.cloudformation.amazonaws.com"
MANAGEMENT, ADMINISTRATOR = "661111111111", "662222222222"
NAME = "sagemaker-iris-p-1-staging"
EXPORT = {"Parameters": {"Text": "first"}, "Tags": {"team": "iris"}}
ENDPOINT = {
    "Parameters": {"Text": {"Type": "String"}},
    "Resources": {
        "P": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": "/stage", "Type": "String", "Value": {"Ref": "Text"}},
        }
    },
}


@dataclass(frozen=True)
class Organization:
    """One whose delegated administrator deploys to one of two accounts of a unit."""

    aws: EmbeddedAws
    folder: Path
    unit: str
    account: str
    other: str

    def deploy(self, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs the script as a build of the administrator's account does, with what a build made in its folder."""
        given = {
            **self.aws.environment(ADMINISTRATOR),
            "AWS_REGION": REGION,
            "STACK_SET_NAME": NAME,
            "ORGANIZATIONAL_UNIT_ID": self.unit,
            "ACCOUNT_ID": self.account,
            "CALL_AS": "DELEGATED_ADMIN",
            "BUILD_CONFIG": "staging-config-export.json",
            "CODEBUILD_SRC_DIR_BuildArtifact": str(self.folder),
            **more,
        }
        return subprocess.run(
            [sys.executable, "-m", "deploy.stackset"],
            cwd=TEMPLATE,
            env=scrubbed(**given),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def build(self, text: str = "first", **resource: Any) -> None:
        """Leaves what a build makes: the template and the stage's configuration."""
        template = json.loads(json.dumps(ENDPOINT))
        template["Resources"]["P"]["Properties"] |= resource
        (self.folder / "template-export.yml").write_text(json.dumps(template))
        export = {**EXPORT, "Parameters": {"Text": text}}
        (self.folder / "staging-config-export.json").write_text(json.dumps(export))

    def value(self, account: str) -> str | None:
        """What was deployed to an account."""
        ssm = self.aws.client("ssm", account, REGION)
        try:
            return str(ssm.get_parameter(Name="/stage")["Parameter"]["Value"])
        except ssm.exceptions.ParameterNotFound:
            return None


@pytest.fixture(scope="module")
def organization(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Organization:
    organizations = aws.client("organizations", MANAGEMENT)
    organizations.create_organization(FeatureSet="ALL")
    organizations.enable_aws_service_access(ServicePrincipal=TRUSTED)
    root = organizations.list_roots()["Roots"][0]["Id"]
    unit = organizations.create_organizational_unit(ParentId=root, Name="Staging")["OrganizationalUnit"]["Id"]
    accounts = []
    for name in ("staging", "other"):
        asked = organizations.create_account(AccountName=name, Email=f"{name}@example.com")["CreateAccountStatus"]
        accounts.append(asked["AccountId"])
        organizations.move_account(AccountId=asked["AccountId"], SourceParentId=root, DestinationParentId=unit)
    asked = organizations.invite_account_to_organization(Target={"Id": ADMINISTRATOR, "Type": "ACCOUNT"})
    aws.client("organizations", ADMINISTRATOR).accept_handshake(HandshakeId=asked["Handshake"]["Id"])
    made = Organization(aws, tmp_path_factory.mktemp("build"), unit, *accounts)
    made.build()
    return made


@pytest.mark.slow
def test_a_stage_is_deployed_brought_up_to_date_and_says_why_it_failed(organization: Organization) -> None:
    refused = organization.deploy()
    assert refused.returncode == 1
    assert "Account used is not a delegated administrator" in refused.stderr
    management = organization.aws.client("organizations", MANAGEMENT)
    management.register_delegated_administrator(AccountId=ADMINISTRATOR, ServicePrincipal=TRUSTED)

    first = organization.deploy()
    assert first.returncode == 0, first.stderr
    assert f"creating the stack set {NAME}" in first.stdout
    assert f"deployed to {organization.account} {REGION}: arn:aws:cloudformation:" in first.stdout
    assert organization.value(organization.account) == "first"
    assert organization.value(organization.other) is None, "of its unit, only the stage's own account"
    sets = organization.aws.client("cloudformation", MANAGEMENT, REGION)
    described = sets.describe_stack_set(StackSetName=NAME)["StackSet"]
    assert described["Tags"] == [{"Key": "team", "Value": "iris"}]
    (instance,) = sets.list_stack_instances(StackSetName=NAME)["Summaries"]
    assert (instance["Account"], instance["OrganizationalUnitId"]) == (organization.account, organization.unit)

    organization.build("second")
    second = organization.deploy()
    assert (second.returncode, organization.value(organization.account)) == (0, "second"), second.stderr

    organization.build("third", Type="Nothing")
    failed = organization.deploy()
    assert failed.returncode == 1
    assert f"{organization.account} {REGION}: FAILED: Properties validation failed for resource P" in failed.stderr
    assert organization.value(organization.account) == "second", "it was rolled back"
    organization.build()


@pytest.mark.slow
def test_an_account_outside_of_the_unit_gets_nothing_and_is_named(organization: Organization) -> None:
    management = organization.aws.client("organizations", MANAGEMENT)
    found = management.list_delegated_administrators(ServicePrincipal=TRUSTED)["DelegatedAdministrators"]
    if not found:
        management.register_delegated_administrator(AccountId=ADMINISTRATOR, ServicePrincipal=TRUSTED)
    ran = organization.deploy(STACK_SET_NAME="sagemaker-elsewhere", ACCOUNT_ID=ADMINISTRATOR)
    assert ran.returncode == 1
    assert f"account {ADMINISTRATOR} is not in unit {organization.unit}" in ran.stderr


@pytest.mark.slow
def test_a_wrong_environment_is_named_as_a_whole(organization: Organization) -> None:
    ran = organization.deploy(CALL_AS="ROOT", ACCOUNT_ID="", ORGANIZATIONAL_UNIT_ID="Staging")
    assert ran.returncode == 2
    for line in (
        "ORGANIZATIONAL_UNIT_ID: 'Staging' is not a unit",
        "ACCOUNT_ID is not set: expected an account id of 12 digits",
        "CALL_AS: 'ROOT' is not SELF or DELEGATED_ADMIN",
    ):
        assert line in ran.stderr


# ------------------------------------------------------------------------------- what takes time, with a clock of ours


class Client:
    """CloudFormation, whose answers a test writes; an answer that is an exception is raised."""

    class exceptions:
        """As botocore's clients have them."""

        ClientError = ClientError

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**given: Any) -> Any:
            assert given["CallAs"] == "SELF"
            self.calls.append(operation)
            answers = self.answers[operation]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "x")


@pytest.fixture
def stackset(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(TEMPLATE))
    from deploy import stackset  # type: ignore[import-not-found]

    yield stackset
    for name in [name for name in sys.modules if name.split(".")[0] == "deploy"]:
        del sys.modules[name]


@dataclass
class Clock:
    """Time that passes by sleeping alone."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        """Lets it pass."""
        self.now += seconds


def deployed(stackset: Any, client: Client, clock: Clock) -> str:
    export = stackset.Export({"A": "1"}, {})
    stage = stackset.Stage(NAME, "ou-ab12-cdefgh34", "1" * 12, REGION, "SELF", "{}", export)
    made = stackset.StackSet(client, stage, lambda _: None, clock=lambda: clock.now, sleep=clock.sleep)
    return str(made.deploy())


THERE: dict[str, list[Any]] = {
    "describe_stack_set": [{"StackSet": {"Status": "ACTIVE", "PermissionModel": "SERVICE_MANAGED"}}],
    "list_stack_instances": [{"Summaries": [{"Status": "CURRENT", "StackId": "arn:the-stack"}]}],
    "describe_stack_set_operation": [{"StackSetOperation": {"Status": "SUCCEEDED"}}],
}


def test_another_operation_is_waited_for_with_longer_and_longer_pauses(stackset: Any) -> None:
    busy = [refusal("OperationInProgressException")] * 4
    client = Client(**THERE, update_stack_set=[*busy, {"OperationId": "1"}])
    clock = Clock()
    assert deployed(stackset, client, clock) == "arn:the-stack"
    assert client.calls.count("update_stack_set") == 5
    assert 0.8 * (2 + 4 + 8 + 16) <= clock.now <= 1.2 * (2 + 4 + 8 + 16)


def test_waiting_ends_with_a_line_that_says_for_what(stackset: Any) -> None:
    client = Client(**THERE, update_stack_set=[refusal("OperationInProgressException")])
    with pytest.raises(stackset.DeployError, match=f"the stack set {NAME} takes more than 110 minutes"):
        deployed(stackset, client, Clock())


def test_any_other_refusal_ends_it_at_once(stackset: Any) -> None:
    client = Client(**THERE, update_stack_set=[refusal("AccessDenied")])
    with pytest.raises(ClientError):
        deployed(stackset, client, Clock())
    assert client.calls.count("update_stack_set") == 1


def test_a_set_of_another_permission_model_is_left_alone(stackset: Any) -> None:
    other = {"describe_stack_set": [{"StackSet": {"Status": "ACTIVE", "PermissionModel": "SELF_MANAGED"}}]}
    client = Client(**{**THERE, **other})
    with pytest.raises(stackset.DeployError, match="is SELF_MANAGED; delete it first"):
        deployed(stackset, client, Clock())
    assert client.calls == ["describe_stack_set"]
