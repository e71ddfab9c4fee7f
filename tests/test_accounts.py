"""`sagemaker-seed accounts`: what it deploys where, from which files, and that it writes only what is missing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed import resources
from sagemaker_seed.accounts import flow, projects, settings, stacks
from sagemaker_seed.accounts.connections import Place
from sagemaker_seed.console import Console
from sagemaker_seed.errors import BadInput, SeedError
from sagemaker_seed.publish import catalog as catalogs
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION
from test_cli import command

_NUMBERS = itertools.count(710_000_000_001)
OTHER_REGION = "us-east-1"
ROLES = {"CodePipeline", "Events", "Build", "Security", "Test", "Train", "Training", "CloudFormation", "Model"}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "FIRST_POLL_SECONDS", 0.02)
    monkeypatch.setattr(stacks, "LAST_POLL_SECONDS", 0.05)


class World:
    """Three fresh accounts, the file about them, and what preparing them said."""

    def __init__(self, aws: EmbeddedAws, folder: Path) -> None:
        self.aws, self.file = aws, folder / "accounts.yaml"
        self.here, self.staging, self.production = (f"{next(_NUMBERS):012d}" for _ in range(3))
        self.studio = f"arn:aws:iam::{self.here}:role/service-role/studio"
        self.said: list[str] = []

    def content(self, **other: Any) -> dict[str, Any]:
        return {
            "regions": [REGION],
            "principals": [self.studio],
            "data-science": {"account": self.here},
            "staging": {"account": self.staging},
            "production": {"account": self.production},
            **{name.replace("_", "-"): value for name, value in other.items()},
        }

    def write(self, **other: Any) -> Path:
        self.file.write_text(json.dumps(self.content(**other)))  # JSON is YAML
        return self.file

    def clients(self, service: str, place: Place) -> Any:
        return self.aws.client(service, place.account.id, place.region)

    def prepare(self, *, plan_only: bool = False, **other: Any) -> dict[str, Any]:
        return flow.prepare(self.clients, self.write(**other), Console(), plan_only=plan_only)

    def stacks(self, account: str, region: str = REGION) -> dict[str, dict[str, Any]]:
        found = self.aws.client("cloudformation", account, region).describe_stacks()["Stacks"]
        return {stack["StackName"]: stack for stack in found}

    def writes_since(self, before: int) -> list[str]:
        mine = {self.here, self.staging, self.production}
        return [c.operation for c in self.aws.calls()[before:] if c.writes and c.account in mine]

    def roles(self, account: str) -> set[str]:
        found = self.aws.client("iam", account).list_roles(PathPrefix="/sagemaker-seed/")["Roles"]
        return {role["RoleName"].removeprefix("sagemaker-seed-") for role in found}


@pytest.fixture
def world(aws: EmbeddedAws, tmp_path: Path) -> World:
    return World(aws, tmp_path)


def actions(result: dict[str, Any]) -> dict[tuple[str, str, str], str]:
    return {(s["account"], s["region"], s["stack"]): s["action"] for s in result["stacks"]}


# ----------------------------------------------------------------------------------------------- deploying


@pytest.mark.slow
def test_three_accounts_get_what_they_need_and_a_second_run_writes_nothing(world: World) -> None:
    before = len(world.aws.calls())
    planned = world.prepare(plan_only=True)
    assert world.writes_since(before) == []
    assert list(actions(planned)) == [
        (world.here, REGION, "sagemaker-seed-roles"),
        (world.here, REGION, "sagemaker-seed-catalog"),
        (world.staging, REGION, "sagemaker-seed-stage"),
        (world.production, REGION, "sagemaker-seed-stage"),
    ]
    assert set(actions(planned).values()) == {"create"}
    assert planned["seed_buckets"] == {}
    done = world.prepare()
    assert done["applied"]
    assert set(world.stacks(world.here)) == {"sagemaker-seed-roles", "sagemaker-seed-catalog"}
    for stage in (world.staging, world.production):
        (stack,) = world.stacks(stage).values()
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert stacks.parameters_of(stack)["DataScienceAccountId"] == world.here
        assert world.roles(stage) == {"deploy", "cloudformation", "model"}
    assert done["seed_buckets"] == {REGION: f"sagemaker-seed-{world.here}-{REGION}"}
    assert done["launch_parameters"] == {"AccountStagingId": world.staging, "AccountProdId": world.production}

    before = len(world.aws.calls())
    again = world.prepare()
    assert world.writes_since(before) == []
    assert set(actions(again).values()) == {"unchanged"}
    assert again["projects"] == []
    assert again["seed_buckets"] == done["seed_buckets"]


@pytest.mark.slow
def test_stages_of_asynchronous_and_batch_inference_get_a_stack_more(world: World) -> None:
    done = world.prepare(stored_inference="yes", production={"account": world.here})
    stored = {account: s for account, _, s in actions(done) if s == "sagemaker-seed-stored-inference"}
    assert set(stored) == {world.staging, world.here}
    for account, tests in ((world.staging, "sagemaker-seed-deploy"), (world.here, "sagemaker-seed-test")):
        stack = world.stacks(account)["sagemaker-seed-stored-inference"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert stacks.parameters_of(stack)["TestRoleName"] == tests
        attached = world.aws.client("iam", account).list_attached_role_policies(RoleName=tests)["AttachedPolicies"]
        builds = ["sagemaker-seed-builds"] if account == world.here else []
        assert sorted(policy["PolicyName"] for policy in attached) == [*builds, "sagemaker-seed-inference-tests"]
        assert world.aws.client("s3", account).head_bucket(Bucket=f"sagemaker-inference-{REGION}-{account}")


MAKES, EXECUTES = "sagemaker-seed-cloudformation", "sagemaker-seed-stackset-execution"


# deploy target -> the role that makes what a stage consists of, empty where it is not ours; and whether stages are here
@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "makes", "here"),
    [
        ("cloudformation", MAKES, False),
        ("stackset-self-managed", EXECUTES, False),
        ("stackset-service-managed", "", False),
        ("same-account", MAKES, True),
    ],
)
def test_what_watches_and_what_stores_fits_every_deploy_target(
    target: str, makes: str, here: bool, world: World
) -> None:
    more: dict[str, Any] = {"deploy_target": target, "watching": "yes", "stored_inference": "yes"}
    if makes == "":
        more |= {s: {"account": getattr(world, s), "unit": UNIT} for s in ("staging", "production")}
    content = {k: v for k, v in world.content(**more).items() if not here or k not in {"staging", "production"}}
    world.content = lambda **_: content  # type: ignore[method-assign]
    world.prepare()
    for account in (world.here,) if here else (world.staging, world.production):
        for name in ("sagemaker-seed-watch", "sagemaker-seed-stored-inference"):
            stack = world.stacks(account)[name]
            assert stack["StackStatus"] == "CREATE_COMPLETE"
            assert stacks.parameters_of(stack)["CloudFormationRoleName"] == makes
        if makes:
            iam = world.aws.client("iam", account)
            assert "watching" in iam.list_role_policies(RoleName=makes)["PolicyNames"]
            attached = iam.list_attached_role_policies(RoleName=makes)["AttachedPolicies"]
            assert [policy["PolicyName"] for policy in attached] == ["sagemaker-seed-inference-schedules"]
    before = len(world.aws.calls())
    world.prepare()
    assert world.writes_since(before) == []


@pytest.mark.slow
def test_roles_that_are_there_get_what_watching_and_storing_needs(world: World) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": world.here}, "Action": "sts:AssumeRole"}
    role = {"Path": "/theirs/", "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [trust]})}

    def section(account: str, *names: str) -> dict[str, Any]:
        client = world.aws.client("iam", account)
        made = {name: client.create_role(RoleName=f"Their{name}", **role)["Role"]["Arn"] for name in names}
        return {"account": account, "parameters": {f"Existing{name}RoleArn": arn for name, arn in made.items()}}

    stage = section(world.staging, "CloudFormation", "Model", "Deploy")
    shared: dict[str, Any] = {"staging": stage, "production": {"account": world.staging}}
    world.prepare(stored_inference="yes", watching="yes", data_science=section(world.here, "CloudFormation"), **shared)
    iam = world.aws.client("iam", world.staging)
    for name, policies in (("CloudFormation", {"schedules"}), ("Model", {"models"}), ("Deploy", {"tests"})):
        attached = iam.list_attached_role_policies(RoleName=f"Their{name}")["AttachedPolicies"]
        assert {p["PolicyName"].removeprefix("sagemaker-seed-inference-") for p in attached} == policies
    assert iam.list_role_policies(RoleName="TheirCloudFormation")["PolicyNames"] == ["watching"]


@pytest.mark.slow
def test_one_account_may_be_everything(world: World) -> None:
    one = {"account": world.here}
    done = world.prepare(staging=one, production=one)
    assert list(actions(done)) == [
        (world.here, REGION, "sagemaker-seed-roles"),
        (world.here, REGION, "sagemaker-seed-catalog"),
    ]
    assert world.stacks(world.staging) == {}
    assert done["launch_parameters"] == {"AccountStagingId": world.here, "AccountProdId": world.here}
    assert {name.lower() for name in ROLES} <= world.roles(world.here)


@pytest.mark.slow
def test_two_stages_in_one_account_share_its_roles(world: World) -> None:
    done = world.prepare(production={"account": world.staging})
    assert [s["roles"] for s in done["stacks"] if s["account"] == world.staging] == [["staging", "production"]]
    assert world.roles(world.staging) == {"deploy", "cloudformation", "model"}


@pytest.mark.slow
def test_each_region_gets_a_catalog_and_the_roles_are_there_once(world: World) -> None:
    world.prepare(regions=[REGION, OTHER_REGION])
    assert set(world.stacks(world.here)) == {"sagemaker-seed-roles", "sagemaker-seed-catalog"}
    assert set(world.stacks(world.here, OTHER_REGION)) == {"sagemaker-seed-catalog"}
    for region in (REGION, OTHER_REGION):
        status = world.aws.client("sagemaker", world.here, region).get_sagemaker_servicecatalog_portfolio_status()
        assert status["Status"] == "Enabled"


def catalog_principals(world: World) -> set[tuple[str, str]]:
    client = world.aws.client("servicecatalog", world.here)
    (portfolio,) = client.list_portfolios()["PortfolioDetails"]
    found = client.list_principals_for_portfolio(PortfolioId=portfolio["Id"])["Principals"]
    return {(p["PrincipalARN"], p["PrincipalType"]) for p in found}


@pytest.mark.slow
def test_principals_come_and_go_and_the_order_in_the_file_means_nothing(world: World) -> None:
    first, second, pattern = world.studio, f"{world.studio}-2", "arn:aws:iam:::role/team/*"
    world.prepare(principals=[first, second, first, pattern])
    both = {(first, "IAM"), (second, "IAM"), (pattern, "IAM_PATTERN")}
    assert catalog_principals(world) == both
    before = len(world.aws.calls())
    world.prepare(principals=[pattern, second, first])
    assert world.writes_since(before) == []
    changed = world.prepare(principals=[f"{world.studio}-3", second])
    assert catalog_principals(world) == {(second, "IAM"), (f"{world.studio}-3", "IAM")}
    assert actions(changed)[world.here, REGION, "sagemaker-seed-catalog"] == "update"
    assert actions(changed)[world.here, REGION, "sagemaker-seed-roles"] == "unchanged"


@pytest.mark.slow
def test_parameters_reach_the_templates_that_have_them_and_stay_when_they_are_left_out(world: World) -> None:
    boundary = f"arn:aws:iam::{world.staging}:policy/boundary"
    world.aws.client("iam", world.staging).create_policy(
        PolicyName="boundary",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        ),
    )
    section = {"account": world.staging, "parameters": {"PermissionsBoundaryArn": boundary}}
    world.prepare(staging=section, data_science={"account": world.here, "parameters": {"PortfolioName": "Ours"}})
    assert (
        stacks.parameters_of(world.stacks(world.staging)["sagemaker-seed-stage"])["PermissionsBoundaryArn"] == boundary
    )
    assert stacks.parameters_of(world.stacks(world.here)["sagemaker-seed-catalog"])["PortfolioName"] == "Ours"
    before = len(world.aws.calls())
    world.prepare()
    assert world.writes_since(before) == []


@pytest.mark.slow
def test_accounts_with_a_stage_get_the_roles_of_monitors_when_the_file_says_so(world: World) -> None:
    shared: dict[str, Any] = {"staging": {"account": world.here}}
    done = world.prepare(watching="yes", **shared)
    watched = [account for account, _, stack in actions(done) if stack == "sagemaker-seed-watch"]
    assert watched == [world.here, world.production]
    assert {"monitor", "watch"} <= world.roles(world.production) & world.roles(world.here)
    before = len(world.aws.calls())
    world.prepare(**shared)
    assert world.writes_since(before) == [], "left out, it stays as it is"


@pytest.mark.slow
def test_stages_read_the_default_bucket_when_the_file_says_so(world: World) -> None:
    bucket = f"sagemaker-{REGION}-{world.here}"
    s3 = world.aws.client("s3", world.here)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    shared: dict[str, Any] = {"production": {"account": world.staging}}
    world.prepare(default_bucket="yes", **shared)
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    read = next(s for s in policy["Statement"] if s["Sid"] == "StagesRead")
    assert read["Principal"]["AWS"] in ([root := f"arn:aws:iam::{world.staging}:root"], root), "one principal, once"
    key = stacks.outputs_of(world.stacks(world.here)["sagemaker-seed-roles"])["TrainingKeyArn"]
    assert world.aws.client("kms", world.here).get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    assert stacks.parameters_of(world.stacks(world.staging)["sagemaker-seed-stage"])["ReadsDefaultBucket"] == "yes"
    before = len(world.aws.calls())
    world.prepare(**shared)
    assert world.writes_since(before) == [], "left out, it stays as it is"
    world.prepare(default_bucket="no", **shared)
    assert "TrainingKeyArn" not in stacks.outputs_of(world.stacks(world.here)["sagemaker-seed-roles"])
    assert stacks.parameters_of(world.stacks(world.staging)["sagemaker-seed-stage"])["ReadsDefaultBucket"] == "no"


@pytest.mark.slow
def test_roles_that_exist_are_used_in_place_of_our_own(world: World) -> None:
    model, launch = f"arn:aws:iam::{world.staging}:role/m/model", f"arn:aws:iam::{world.here}:role/launch"
    world.prepare(
        data_science={"account": world.here, "parameters": {"ExistingLaunchRoleArn": launch}},
        staging={"account": world.staging, "parameters": {"ExistingModelRoleArn": model}},
    )
    assert world.roles(world.staging) == {"deploy", "cloudformation"}
    assert not [name for name in world.roles(world.here) if name.startswith("launch")]
    tags = world.aws.client("s3", world.here).get_bucket_tagging(Bucket=f"sagemaker-seed-{world.here}-{REGION}")
    assert {"Key": "sagemaker-seed:launch-role-arn", "Value": launch} in tags["TagSet"]


@pytest.mark.slow
def test_service_roles_that_exist_reach_every_template_that_names_them(world: World) -> None:
    build, gate, pipeline = (f"arn:aws:iam::{world.here}:role/team/{name}" for name in ("build", "gate", "pipeline"))
    deploy = {n: {"ExistingDeployRoleArn": f"arn:aws:iam::{n}:role/d/enter"} for n in (world.staging, world.production)}
    given = {"ExistingBuildRoleArn": build, "ExistingSecurityRoleArn": gate, "ExistingCodePipelineRoleArn": pipeline}
    world.prepare(
        data_science={"account": world.here, "parameters": given},
        staging={"account": world.staging, "parameters": deploy[world.staging]},
        production={"account": world.production, "parameters": deploy[world.production]},
        external_id="from-platform",
    )
    assert {name.lower() for name in ROLES - {"Build", "Security", "CodePipeline"}} == world.roles(world.here) - {
        f"launch-{REGION}"
    }
    assert world.roles(world.staging) == {"cloudformation", "model"}
    told = stacks.parameters_of(world.stacks(world.staging)["sagemaker-seed-stage"])
    assert (told["PipelineRoleArn"], told["TestRoleArn"], told["ExternalId"]) == (pipeline, "", "from-platform")
    tags = world.aws.client("s3", world.here).get_bucket_tagging(Bucket=f"sagemaker-seed-{world.here}-{REGION}")
    found = catalogs.accounts_of({tag["Key"]: tag["Value"] for tag in tags["TagSet"]})
    assert found.roles == {
        "build": "team/build",
        "security": "team/gate",
        "codepipeline": "team/pipeline",
        "deploy": "d/enter",
    }
    assert found.external_id == "from-platform"
    before = len(world.aws.calls())
    world.prepare()
    assert world.writes_since(before) == [], "left out, they stay as they are"


@pytest.mark.slow
def test_a_changed_template_is_brought_up_to_date(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.prepare()
    real = resources.product_template

    def edited(name: str = "project.yaml") -> Path:
        if name != "target-account.yaml":
            return real(name)
        (tmp_path / name).write_text(
            real(name).read_text().replace("What a deployed model of a SageMaker project may do", "What models may do")
        )
        return tmp_path / name

    monkeypatch.setattr(resources, "product_template", edited)
    capsys.readouterr()
    changed = world.prepare()
    assert {key[0]: value for key, value in actions(changed).items() if value != "unchanged"} == {
        world.staging: "update",
        world.production: "update",
    }
    said = capsys.readouterr().out
    assert "target-account.yaml is another than what was deployed" in said
    assert "~ ModelRole (AWS::IAM::Role)" in said
    assert set(actions(world.prepare()).values()) == {"unchanged"}


# ------------------------------------------------------------------------------------- deploy targets and stages

UNIT = "ou-ab12-cdefgh34"


@pytest.mark.slow
def test_stack_sets_by_units_need_a_role_for_the_build_and_no_execution_role(world: World) -> None:
    units: dict[str, Any] = {
        "staging": {"account": world.staging, "unit": UNIT},
        "production": {"account": world.production, "unit": "r-ab12"},
    }
    done = world.prepare(deploy_target="stackset-service-managed", **units)
    assert list(actions(done))[1] == (world.here, REGION, "sagemaker-seed-stacksets")
    assert "stacksets" in world.roles(world.here)
    assert world.roles(world.staging) == {"deploy", "model"}
    assert done["launch_parameters"] == {
        "AccountStagingId": world.staging,
        "AccountProdId": world.production,
        "OrganizationalUnitStagingId": UNIT,
        "OrganizationalUnitProdId": "r-ab12",
    }
    # Another target changes the roles, and leaves nothing to do after that.
    world.prepare(deploy_target="stackset-self-managed")
    assert "stackset-administration" in world.roles(world.here)
    made = {role["RoleName"] for role in world.aws.client("iam", world.staging).list_roles()["Roles"]}
    assert "sagemaker-seed-stackset-execution" in made
    again = world.prepare(deploy_target="stackset-self-managed")
    assert set(actions(again).values()) == {"unchanged"}


THREE_STAGES = """
regions: [eu-west-1]
principals: arn:aws:iam:::role/x
data-science: "111111111111"
development: {account: "222222222222", unit: ou-ab12-cdefgh34}
pre-production: {account: "333333333333", unit: ou-ab12-cdefgh34}
production: {account: "444444444444", unit: ou-ab12-cdefgh34}
deploy-target: stackset-service-managed
"""


def test_three_stages_have_their_places_among_the_launch_parameters(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(THREE_STAGES)
    found = settings.read(tmp_path / "a.yaml")
    assert found.stages == {"development": "Dev", "pre-production": "Staging", "production": "Prod"}
    assert found.of("pre-production").id == "333333333333"
    assert set(found.units.values()) == {UNIT}


def test_in_one_account_no_stage_need_be_named(tmp_path: Path) -> None:
    lines = [line for line in THREE_STAGES.splitlines() if "account:" not in line]
    text = "\n".join(lines).replace("stackset-service-managed", "same-account")
    (tmp_path / "a.yaml").write_text(text)
    found = settings.read(tmp_path / "a.yaml")
    assert ([account.id for account in found.accounts], found.stages) == (["111111111111"], {})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("stackset-service-managed", "stackset", "deploy-target: 'stackset' must be one of cloudformation, stackset-"),
        (", unit: ou-ab12-cdefgh34}\npre", "}\npre", "development: unit: must be given with deploy-target stackset-"),
        ("unit: ou-ab12-cdefgh34}\npre", "unit: Dev}\npre", "development: unit: 'Dev' must be the id of an organ"),
        ('"444444444444"', '"111111111111"', "production: is the data-science account, and stack sets deploy to"),
        ("stackset-service-managed", "same-account", "production: with deploy-target same-account it is the data-"),
        (
            "deploy-target",
            'staging: "555555555555"\ndeploy-target',
            "staging: with development and pre-production there is pre-production in its place",
        ),
        (
            "deploy-target",
            "default-bucket: yes\ndeploy-target",
            "default-bucket: data-science-account.yaml lets 2",
        ),
    ],
)
def test_what_a_target_or_a_layout_lacks_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert THREE_STAGES.count(old) == 1
    (tmp_path / "a.yaml").write_text(THREE_STAGES.replace(old, new))
    with pytest.raises(BadInput) as raised:
        settings.read(tmp_path / "a.yaml")
    assert any(f"a.yaml: {problem}" in line for line in raised.value.problems)


# ---------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.slow
def test_a_failed_creation_is_told_with_its_reason_and_mended_by_the_next_run(world: World) -> None:
    iam = world.aws.client("iam", world.here)
    in_the_way = {"RoleName": "sagemaker-seed-build"}
    trust = {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(**in_the_way, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    with pytest.raises(SeedError) as raised:
        world.prepare()
    assert f"{world.here} (data-science) {REGION}: the stack sagemaker-seed-roles is ROLLBACK_COMPLETE: BuildRole" in (
        str(raised.value)
    )
    assert world.stacks(world.staging) == {}, "the rest waits"
    iam.delete_role(**in_the_way)
    planned = actions(world.prepare(plan_only=True))
    assert planned[world.here, REGION, "sagemaker-seed-roles"] == "create_again"
    world.prepare()
    assert world.stacks(world.here)["sagemaker-seed-roles"]["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["CreateChangeSet", "ExecuteChangeSet", "DescribeChangeSet"])
def test_a_run_that_was_cut_off_is_finished_by_the_next(world: World, operation: str) -> None:
    world.aws.fail("cloudformation", operation, world.here)
    with pytest.raises(SeedError, match=operation):
        world.prepare()
    world.prepare()
    found = world.stacks(world.here)
    assert {stack["StackStatus"] for stack in found.values()} == {"CREATE_COMPLETE"}


def test_credentials_of_another_account_are_refused_before_anything_is_read(world: World) -> None:
    def astray(service: str, place: Place) -> Any:
        account = world.here if place.account.id == world.staging else place.account.id
        return world.aws.client(service, account, place.region)

    file = world.write(staging={"account": world.staging, "profile": "mixed-up"})
    before = len(world.aws.calls())
    with pytest.raises(BadInput, match=f"{world.staging} .staging.: profile mixed-up belongs to account {world.here}"):
        flow.prepare(astray, file, Console(), plan_only=False)
    assert {call.operation for call in world.aws.calls()[before:]} == {"GetCallerIdentity"}


def test_a_stack_that_only_a_person_can_mend_is_named(world: World) -> None:
    class Stuck:
        def describe_stacks(self, **_: Any) -> dict[str, Any]:
            return {"Stacks": [{"StackName": "s", "StackStatus": "UPDATE_ROLLBACK_FAILED", "Parameters": []}]}

    place = Place(settings.Account(world.here, ("staging",)), REGION)
    with pytest.raises(SeedError, match="s is UPDATE_ROLLBACK_FAILED; see to it in the console"):
        stacks.look(Stuck(), stacks.Wanted(place, "s", "t.yaml", "Resources: {}", {}))


def test_a_change_set_with_nothing_in_it_is_no_failure(world: World) -> None:
    """CloudFormation may see no difference where the texts differ, as in a comment."""
    client = world.aws.client("cloudformation", world.here)
    place = Place(settings.Account(world.here, ("staging",)), REGION)
    template = "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"

    def bring(text: str) -> dict[str, Any]:
        step = stacks.look(client, stacks.Wanted(place, "topic", "t.yaml", text, {}))
        return stacks.bring(client, step, lambda _: None, lambda _: None)

    bring(template)
    assert bring(f"# a comment\n{template}")["StackStatus"] == "CREATE_COMPLETE"
    assert client.list_change_sets(StackName="topic")["Summaries"] == []


# --------------------------------------------------------------------------------------------- projects


@pytest.mark.slow
def test_projects_are_on_for_every_principal(world: World) -> None:
    pattern = "arn:aws:iam:::role/team/*"
    done = world.prepare(principals=[world.studio, pattern])
    assert [p["write"] for p in done["projects"]] == [
        "turn SageMaker projects on",
        f"show AWS's project templates to {world.studio}",
        f"show AWS's project templates to {pattern}",
    ]
    client = world.aws.client("servicecatalog", world.here)
    (shared,) = client.list_accepted_portfolio_shares(PortfolioShareType="AWS_SERVICECATALOG")["PortfolioDetails"]
    assert shared["ProviderName"] == "Amazon SageMaker"
    found = client.list_principals_for_portfolio(PortfolioId=shared["Id"])["Principals"]
    assert {p["PrincipalARN"] for p in found} == {world.studio, pattern}
    more = world.prepare(principals=[world.studio, pattern, f"{world.studio}-2"])
    assert [p["write"] for p in more["projects"]] == [f"show AWS's project templates to {world.studio}-2"]


@pytest.mark.slow
def test_the_switch_can_be_left_alone(world: World) -> None:
    assert world.prepare(sagemaker_projects=False)["projects"] == []
    status = world.aws.client("sagemaker", world.here).get_sagemaker_servicecatalog_portfolio_status()["Status"]
    assert status == "Disabled"


@pytest.mark.slow
def test_the_roles_of_awss_own_templates_are_made_when_asked_for(world: World) -> None:
    iam = world.aws.client("iam", world.here)
    missing = projects.roles(iam, "aws", world.here)
    assert len(missing) == 2 * len(projects.AWS_ROLES)
    one = "AmazonSageMakerServiceCatalogProductsEventsRole"
    made = [write for write in missing if one in write.what]
    made[0].act()
    described = iam.get_role(RoleName=one)["Role"]
    assert described["Arn"] == f"arn:aws:iam::{world.here}:role/service-role/{one}"
    (trust,) = described["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    left = [write.what for write in projects.roles(iam, "aws", world.here) if "EventsRole" in write.what]
    assert left == [f"attach AmazonSageMakerServiceCatalogProductsEventsServiceRolePolicy to {one}"]
    assert world.prepare()["projects"][0]["write"] == "turn SageMaker projects on"
    planned = world.prepare(plan_only=True, aws_template_roles=True)["projects"]
    assert len(planned) == 2 * len(projects.AWS_ROLES) - 1


def test_the_policies_of_those_roles_are_awss(world: World) -> None:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    known = json.loads(aws_managed_policies_data)
    for _, policy in projects.AWS_ROLES.values():
        path, _, name = policy.rpartition("/")
        assert known[name]["Path"] == (f"/{path}/" if path else "/")


# --------------------------------------------------------------------------------------------- the file

GOOD = """
regions: eu-west-1
principals: arn:aws:iam::011111111110:role/studio
data-science: {account: 011111111110, profile: science}
staging: 022222222222
production:
  account: 022222222222
  profile: stages
"""


def test_the_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    found = settings.read(tmp_path / "a.yaml")
    assert found.accounts == (
        settings.Account("011111111110", ("data-science",), "science"),
        settings.Account("022222222222", ("staging", "production"), "stages"),
    )
    assert (found.regions, found.patterns) == (("eu-west-1",), ())
    assert (found.projects, found.aws_template_roles) == (True, False)


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("regions: eu-west-1", "regions: Europe", ["regions: 'Europe' must be a region such as eu-west-1"]),
        ("regions: eu-west-1", "", ["regions: must be a list of one or more"]),
        ("regions:", "region: x\nregions:", ["region: is no key of this file"]),
        ("staging: 022222222222", "staging: 22", ["staging: account: '22' must be the 12 digits of an account id"]),
        ("staging: 022222222222", "staging: []", ["staging: must say which account it is"]),
        ("staging: 022222222222", "staging: {account: 022222222222, profile: x}", ["has x already; give one"]),
        ("  profile: stages", "  profil: stages", ["production: profil is none of account, profile, parameters"]),
        ("role/studio", "studio", ["must be the ARN of a role, user or group, or of a role without an account id"]),
        ("iam::011111111110", "iam::033333333333", ["is of another account than data-science, 011111111110"]),
        ("regions:", "sagemaker-projects: perhaps\nregions:", ["sagemaker-projects: must be yes or no"]),
        (
            "  profile: stages",
            "  parameters: {DataScienceAccountId: 1}",
            ["production: parameters: DataScienceAccountId is worked out from the rest of the file"],
        ),
        ("regions:", "external-id: 'a b'\nregions:", ["external-id: must be 2 to 128 letters"]),
        (
            "  profile: stages",
            "  parameters: {ExistingCloudFormationRoleArn: arn:aws:iam::022222222222:role/team/makes}",
            ["ExistingCloudFormationRoleArn: must be of one path and name in every account"],
        ),
        (GOOD, "regions: [", ["is no YAML"]),
        (GOOD, "- a", ["must have regions, principals"]),
        (GOOD, "regions: x\nstaging: 1", ["regions:", "principals:", "data-science:", "staging:", "production:"]),
    ],
)
def test_everything_that_is_wrong_in_the_file_is_named(tmp_path: Path, old: str, new: str, problems: list[str]) -> None:
    assert old in GOOD
    (tmp_path / "a.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput) as raised:
        settings.read(tmp_path / "a.yaml")
    assert len(raised.value.problems) == len(problems)
    for said, expected in zip(sorted(raised.value.problems), sorted(problems), strict=True):
        assert expected in said


def test_more_principals_than_the_catalog_takes_are_refused(world: World) -> None:
    many = [f"{world.studio}-{number}" for number in range(6)] + [f"arn:aws:iam:::role/{n}*" for n in "abc"]
    with pytest.raises(BadInput) as raised:
        world.prepare(principals=many)
    assert len(raised.value.problems) == 2
    declared = flow._declared("catalog.yaml")
    assert sum(name.startswith("PrincipalArn") for name in declared) == settings.PRINCIPALS
    assert sum(name.startswith("PrincipalPattern") for name in declared) == settings.PATTERNS


def test_a_parameter_that_no_template_of_the_account_has_is_refused(world: World) -> None:
    section = {"account": world.staging, "parameters": {"PortfolioName": "x"}}
    with pytest.raises(BadInput, match="no template of this account has a parameter PortfolioName"):
        world.prepare(staging=section)
    assert world.stacks(world.here) == {}


# ------------------------------------------------------------------------------------------ approvals


@pytest.mark.slow
def test_no_role_of_production_changes_an_approval(strict_aws: EmbeddedAws, tmp_path: Path) -> None:
    world = World(strict_aws, tmp_path)
    world.prepare()
    sagemaker, iam = strict_aws.client("sagemaker", world.here), strict_aws.client("iam", world.production)
    group = f"group-{world.here}"
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "1.dkr.ecr.eu-west-1.amazonaws.com/x:1", "ModelDataUrl": "s3://b/m.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    # Even where the group's own policy would let the account in to more than reading.
    shared = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{world.production}:root"},
        "Action": ["sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"],
        "Resource": f"{package.rpartition('/')[0]}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [shared]})
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=policy)
    people = {"Effect": "Allow", "Principal": {"AWS": world.production}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [people]})
    roles = world.roles(world.production)
    assert roles == {"cloudformation", "deploy", "model"}
    for role in sorted(roles):
        name = f"sagemaker-seed-{role}"
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        answer = strict_aws.client("sts", world.production).assume_role(
            RoleArn=iam.get_role(RoleName=name)["Role"]["Arn"], RoleSessionName="somebody"
        )
        acting = strict_aws.client("sagemaker", answer["Credentials"]["AccessKeyId"])
        with pytest.raises(ClientError, match="not authorized to perform: sagemaker:UpdateModelPackage"):
            acting.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    assert sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "PendingManualApproval"


# ------------------------------------------------------------------------------------------ the command


@pytest.fixture
def profiles(tmp_path: Path, world: World) -> Iterator[dict[str, str]]:
    """An environment in which three profiles are the accounts of the embedded AWS."""
    lines = [
        f"[{name}]\naws_access_key_id={account}\naws_secret_access_key=x\n"
        for name, account in (("science", world.here), ("staging", world.staging), ("production", world.production))
    ]
    (tmp_path / "credentials").write_text("\n".join(lines))
    kept = world.aws.environment("711111111111")
    yield {**kept, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


@pytest.mark.slow
def test_the_command_takes_profiles_and_prints_json(world: World, profiles: dict[str, str]) -> None:
    file = world.write(
        data_science={"account": world.here, "profile": "science"},
        staging={"account": world.staging, "profile": "staging"},
        production={"account": world.production, "profile": "production"},
    )
    ran = command("accounts", "--apply", str(file), "--json", env=profiles)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["ok"]
    assert {s["account"] for s in said["stacks"]} == {world.here, world.staging, world.production}
    ran = command("accounts", "--plan", str(file), env=profiles)
    assert ran.returncode == 0, ran.stderr
    assert "nothing to write: everything is there" in ran.stdout


def test_a_profile_that_is_not_there_is_bad_input(world: World, profiles: dict[str, str]) -> None:
    ran = command(
        "accounts", "--plan", str(world.write(staging={"account": world.staging, "profile": "nobody"})), env=profiles
    )
    assert ran.returncode == 2
    assert "nobody" in ran.stderr


def test_the_command_wants_to_be_told_whether_to_write(world: World) -> None:
    ran = command("accounts", str(world.write()))
    assert ran.returncode == 2
    assert "--plan" in ran.stderr
    assert "--apply" in ran.stderr
