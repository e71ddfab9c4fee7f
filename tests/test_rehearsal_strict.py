"""The policies of our templates on a strict road: each statement is needed, or it is said here why not.

Those of roles, who may assume these, and those of buckets, keys, topics, buses and the group of model packages. A
statement that is taken away makes a step fail, by the name of the role and of the action that it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from road_support import lean
from sagemaker_seed.errors import SeedError
from sagemaker_seed.rehearsal.embedded import Refusal
from sagemaker_seed.rehearsal.road.journey import Options, Silent
from sagemaker_seed.rehearsal.road.permissions import lacking
from sagemaker_seed.rehearsal.road.walk import walk
from sagemaker_seed.resources import product_template
from test_product_templates import load

ACCOUNT, CATALOG, TARGET, WATCHING = "data-science-account", "catalog", "target-account", "watching"
PROJECT, SEED = "project", "build.py"
TRUST, BUCKET, KEY, TOPIC = "trust policy", "bucket policy", "key policy", "topic policy"
GROUP = "model package group policy"
SAME_ACCOUNT = "for stages in the account that trains; the road's are in accounts of their own"
NEVER_DELETED = "for updating or deleting a project; the road does neither"
BY_THE_KEY = "the key's own policy lets the role in through S3; this is for calls that come without S3"
DOCUMENTED = "AWS's documentation asks for it; the embedded service does without the call"
CONTAINERS = "SageMaker pulls an image and sends metrics; there are no containers here"
NO_VPC = "for an endpoint in a VPC; there is no network here"
NO_KEY = "for stages that encrypt captured data or volumes; the default answers do not"
NO_SCALING = "for stages whose endpoints scale; the default answers do not"
ONE_POLICY = "all builds have one policy between them, and this one's writes no report"
LARGE_DATA = "for an upload in parts that is given up; the road's data go up in one"
DENIES = "it lets nobody in; test_embedded_access_resources.py has what it keeps out"
BY_ALIAS = "the roles' own policies let them use the key by its alias; on AWS that takes minutes after the launch"
NOT_NEEDED = {
    (CATALOG, "SeedBucketPolicy", BUCKET, "TlsOnly"): DENIES,
    (CATALOG, "SeedBucketPolicy", BUCKET, "WriteOnce"): DENIES,
    (CATALOG, "SeedBucketPolicy", BUCKET, "AlwaysTagged"): DENIES,
    (CATALOG, "SeedBucketPolicy", BUCKET, "NeverUntagged"): DENIES,
    (CATALOG, "SeedBucketPolicy", BUCKET, "KeptForOldVersions"): DENIES,
    (PROJECT, "ArtifactBucketPolicy", BUCKET, "TlsOnly"): DENIES,
    (PROJECT, "ArtifactKey", KEY, "ThisAccountUsesItForTheBucket"): BY_ALIAS,
    (PROJECT, "ApprovalTopic", TOPIC, "TlsOnly"): DENIES,
    (SEED, "ModelPackageGroup", GROUP, "StagesReadModelPackageGroup"): DOCUMENTED,
    (CATALOG, "launch", "launch", "Templates"): DOCUMENTED,
    (CATALOG, "launch", "launch", "ServiceRoles"): DOCUMENTED,
    (CATALOG, "launch", "launch", "PassToCloudFormation"): SAME_ACCOUNT,
    (CATALOG, "launch", "launch", "ProjectKeys"): NEVER_DELETED,
    (CATALOG, "launch", "launch", "AliasesAreListed"): DOCUMENTED,
    (CATALOG, "launch", "launch", "RepositoriesAreListed"): NEVER_DELETED,
    (CATALOG, "launch", "launch", "LogsAreDescribed"): DOCUMENTED,
    (CATALOG, "launch", "launch", "SubscriptionsAreEnded"): NEVER_DELETED,
    (ACCOUNT, "codepipeline", "pipeline", "ArtifactBucket"): DOCUMENTED,
    (ACCOUNT, "codepipeline", "pipeline", "EndpointStacks"): SAME_ACCOUNT,
    (ACCOUNT, "codepipeline", "pipeline", "Templates"): SAME_ACCOUNT,
    (ACCOUNT, "codepipeline", "pipeline", "EndpointStacksRunWith"): SAME_ACCOUNT,
    (ACCOUNT, "build", "builds", "ArtifactBucket"): DOCUMENTED,
    (ACCOUNT, "build", "builds", "ArtifactKey"): BY_THE_KEY,
    (ACCOUNT, "build", "builds", "Reports"): ONE_POLICY,
    (ACCOUNT, "security", "builds", "ArtifactBucket"): DOCUMENTED,
    (ACCOUNT, "security", "builds", "ArtifactKey"): BY_THE_KEY,
    (ACCOUNT, "test", "builds", "ArtifactBucket"): DOCUMENTED,
    (ACCOUNT, "test", "builds", "ArtifactKey"): BY_THE_KEY,
    (ACCOUNT, "test", "endpoints", "Endpoints"): SAME_ACCOUNT,
    (ACCOUNT, "test", "endpoints", "WhatTheyServe"): SAME_ACCOUNT,
    (ACCOUNT, "test", "approval", "WhatIsDeployed"): SAME_ACCOUNT,
    (ACCOUNT, "train", "builds", "ArtifactKey"): BY_THE_KEY,
    (ACCOUNT, "train", "codebuild", "LargeData"): LARGE_DATA,
    (ACCOUNT, "training", "jobs", "ArtifactKey"): BY_THE_KEY,
    (ACCOUNT, "training", "jobs", "Images"): CONTAINERS,
    (ACCOUNT, "training", "jobs", "ImageLogin"): CONTAINERS,
    (ACCOUNT, "training", "jobs", "Metrics"): CONTAINERS,
    (ACCOUNT, "cloudformation", TRUST, "1"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "Endpoints"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "ModelsAndConfigurations"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "ModelsFromPackages"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "ModelsRunWith"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "VolumeKey"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "endpoints", "VolumeKeyIsThere"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "Scaling"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "ScalingIsDescribed"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "ScalingActsAsItself"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "Alarms"): SAME_ACCOUNT,
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "AlarmsAreDescribed"): SAME_ACCOUNT,
    (ACCOUNT, "model", TRUST, "1"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "ModelArtifacts"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "ModelBuckets"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "DataCapture"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "KeysOfTheseBuckets"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "Images"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "ImageLogin"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "Logs"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "Metrics"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "NetworkInterfaces"): SAME_ACCOUNT,
    (ACCOUNT, "model", "model", "NetworkIsDescribed"): SAME_ACCOUNT,
    (TARGET, "deploy", "deploy", "Templates"): DOCUMENTED,
    (TARGET, "cloudformation", "endpoints", "VolumeKey"): NO_KEY,
    (TARGET, "cloudformation", "endpoints", "VolumeKeyIsThere"): NO_KEY,
    (TARGET, "cloudformation", "model-artifacts", "Artifacts"): DOCUMENTED,
    (TARGET, "cloudformation", "model-artifacts", "ArtifactKeys"): DOCUMENTED,
    (TARGET, "cloudformation", "scaling-and-alarms", "Scaling"): NO_SCALING,
    (TARGET, "cloudformation", "scaling-and-alarms", "ScalingIsDescribed"): NO_SCALING,
    (TARGET, "cloudformation", "scaling-and-alarms", "ScalingActsAsItself"): NO_SCALING,
    (TARGET, "model", "model", "ModelBuckets"): DOCUMENTED,
    (TARGET, "model", "model", "KeysOfCapturedData"): NO_KEY,
    (TARGET, "model", "model", "Images"): CONTAINERS,
    (TARGET, "model", "model", "ImageLogin"): CONTAINERS,
    (TARGET, "model", "model", "Metrics"): CONTAINERS,
    (TARGET, "model", "model", "NetworkInterfaces"): NO_VPC,
    (TARGET, "model", "model", "NetworkIsDescribed"): NO_VPC,
    (WATCHING, "monitor", "monitor", "KeysOfCapturedData"): NO_KEY,
    (WATCHING, "monitor", "monitor", "Images"): CONTAINERS,
    (WATCHING, "monitor", "monitor", "ImageLogin"): CONTAINERS,
}

# Template, the role's resource, and a statement of it that is taken away -> the step that fails, and how it says so.
REMOVED = [
    (
        CATALOG,
        "LaunchPolicy",
        "KeyIsMade",
        "launch",
        "sagemaker-seed-launch-us-east-1 lacks kms:CreateKey for ArtifactKey",
    ),
    (CATALOG, "PublisherPolicy", "Published", "publish", "publisher lacks s3:GetObject for publish"),
    (
        ACCOUNT,
        "CodePipelineRole",
        "Source",
        "train",
        "sagemaker-seed-codepipeline lacks codecommit:GetBranch for Source/Source",
    ),
    (
        ACCOUNT,
        "TrainingRole",
        "CodeDataAndModels",
        "train",
        "sagemaker-seed-training lacks s3:GetObject for Train/Train",
    ),
    (
        ACCOUNT,
        "EventsRole",
        "Start",
        "staging",
        "sagemaker-seed-events lacks codepipeline:StartPipelineExecution for staging",
    ),
    (
        ACCOUNT,
        "TestRole",
        "OtherAccounts",
        "staging",
        "sagemaker-seed-test lacks sts:AssumeRole for DeployStaging/Test",
    ),
    (
        TARGET,
        "CloudFormationRole",
        "ModelsRunWith",
        "staging",
        "sagemaker-seed-cloudformation lacks iam:PassRole for Model",
    ),
    (TARGET, "ModelRole", "ModelArtifacts", "staging", "sagemaker-seed-model lacks s3:GetObject for"),
    # Of resources, and of whom a role trusts.
    (
        PROJECT,
        "ArtifactKey",
        "AccountAdministersThroughIam",
        "launch",
        "sagemaker-seed-launch-us-east-1 lacks kms:EnableKeyRotation for ArtifactKey",
    ),
    (
        PROJECT,
        "ArtifactKey",
        "StagingReads",
        "staging",
        "sagemaker-seed-deploy lacks kms:Decrypt for DeployStaging/Deploy",
    ),
    (
        PROJECT,
        "ArtifactBucketPolicy",
        "ProdReads",
        "production",
        "sagemaker-seed-deploy lacks s3:GetObject for DeployProd/Deploy",
    ),
    (
        TARGET,
        "DeployRole",
        "PipelinesDeploy",
        "staging",
        "sagemaker-seed-codepipeline lacks sts:AssumeRole for DeployStaging/Deploy",
    ),
    (
        TARGET,
        "DeployRole",
        "TestsLook",
        "staging",
        "sagemaker-seed-test lacks sts:AssumeRole for DeployStaging/Test",
    ),
]
# Policies of these resources, and the trust of a role, say who; in place of a statement of theirs there can be nothing.
ATTACHED = {"ArtifactKey", "ArtifactBucketPolicy", "PipelinesDeploy", "TestsLook"}


def without(text: str, resource: str, sid: str) -> str:
    """A template without one statement, which its resource and its ``Sid`` name; its other lines stay as they are.

    In its place is one for what nobody needs leave for, because a policy without statements is none; and nothing in
    the policy of a resource, where that would let everybody in.
    """
    lines = text.splitlines(keepends=True)
    start = lines.index(f"  {resource}:\n")
    first = next(i for i in range(start, len(lines)) if re.match(rf" *- Sid: {sid}\b", lines[i]))
    depth = len(lines[first]) - len(lines[first].lstrip())

    def ends(line: str) -> bool:
        return bool(line.strip()) and len(line) - len(line.lstrip()) <= depth

    last = next((i for i in range(first + 1, len(lines)) if ends(lines[i])), len(lines))
    nothing = {resource, sid} & ATTACHED
    stub = "!Ref AWS::NoValue" if nothing else '{Effect: Allow, Action: sts:GetCallerIdentity, Resource: "*"}'
    return "".join([*lines[:first], f"{' ' * depth}- {stub}\n", *lines[last:]])


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a strict rehearsal of everything leaves."""
    folder = tmp_path_factory.mktemp("strict")
    asked = ("ApprovalEmail=approver@example.com",)
    page = folder / "rehearsal.html"
    options = Options(lean(folder), (), folder, strict=True, after=True, drift=True, parameters=asked, page=page)
    return walk(options, Silent()) | {"html": (folder / "rehearsal.html").read_text()}


@pytest.mark.slow
def test_every_statement_is_needed_or_it_is_said_why_not(road: dict[str, Any]) -> None:
    needed = {name(grant) for grant in road["grants"] if grant["needed"]}
    others = {name(grant) for grant in road["grants"]} - needed

    assert others == set(NOT_NEEDED)
    # What the last step breaks on purpose is a role that nobody has.
    assert {refused["resource"].rpartition("/")[2] for refused in road["refusals"]} <= {"nobody"}
    assert len(needed) > 50


# Statements of the policies of resources that are no part of the road: template, resource, Sid -> where they are asked.
READERS = "for models in the default bucket: test_embedded_access_resources.py"
THREE_STAGES = "for three stages: test_rehearsal_targets.py"
OFF_THE_ROAD = {
    (ACCOUNT, "DefaultBucketPolicy", "StagesRead"): READERS,
    (ACCOUNT, "DefaultBucketPolicy", "TlsOnly"): READERS,
    (ACCOUNT, "TrainingKey", "AccountAdministersThroughIam"): READERS,
    (ACCOUNT, "TrainingKey", "StagesRead"): READERS,
    (ACCOUNT, "TrainingKey", "ThisAccountUsesItForTheBucket"): READERS,
    (PROJECT, "ArtifactBucketPolicy", "DevReads"): THREE_STAGES,
    (PROJECT, "ArtifactKey", "DevReads"): THREE_STAGES,
    ("stored-inference", "InferenceBucketPolicy", "TlsOnly"): "for stored inference: test_rehearsal_kinds.py",
}
POLICIES = ("KeyPolicy", "PolicyDocument", "Policy")


@pytest.mark.slow
def test_no_statement_of_a_resource_is_left_out(road: dict[str, Any]) -> None:
    on_the_road = {(grant["template"], grant["holder"], grant["statement"]) for grant in road["grants"]}
    assert set(of_resources()) - on_the_road == set(OFF_THE_ROAD)


def of_resources() -> Iterator[tuple[str, str, str]]:
    """Template, resource and Sid of the statements of resources' own policies, as the templates have them."""
    for path in product_template(f"{PROJECT}.yaml").parent.glob("*.yaml"):
        for name, resource in load(path.name)["Resources"].items():
            if not resource["Type"].startswith("AWS::IAM::"):
                found = [resource["Properties"].get(key) for key in POLICIES]
                yield from ((path.stem, name.replace("TopicPolicy", "Topic"), sid) for sid in sids(found))


def sids(node: Any) -> Iterator[str]:
    """Every Sid in a policy, under whatever condition."""
    if isinstance(node, dict) and "Sid" in node:
        yield node["Sid"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from sids(child)


@pytest.mark.slow
def test_drift_is_found_raises_the_alarm_and_trains(road: dict[str, Any]) -> None:
    (step,) = [step for step in road["steps"] if step["name"] == "drift"]
    said = "\n".join(step["lines"])
    before, _, after = said.partition("Completed: no violations in ")
    assert "is captured and monitored; dashboard sagemaker-" in before
    calm, _, raised = after.partition("CompletedWithViolations: 4 violations in ")
    assert re.search(r"-DriftAlarm-\w+ is OK", calm)
    assert raised.count("Baseline drift distance: ") == 4
    assert re.search(r"-DriftAlarm-\w+ is ALARM", raised)
    assert re.search(r"trained \S+, which waits for approval", raised)


def name(grant: dict[str, Any]) -> tuple[str, str, str, str]:
    """Template, role or resource, policy and statement, without what all names here begin or end with."""
    holder, policy = (re.sub(r"^sagemaker-seed-|-us-east-1$", "", grant[key]) for key in ("holder", "policy"))
    return grant["template"], holder, policy, grant["statement"]


@pytest.mark.slow
def test_the_page_has_the_statements(road: dict[str, Any]) -> None:
    assert "<h2>Permissions</h2>" in road["html"]
    assert "KeyIsMade" in road["html"]
    assert re.search(r"sagemaker-seed-events.*2 of 2 statements needed", road["html"])  # one of them its trust
    assert re.search(r"ArtifactKey .*3 of 4 statements needed", road["html"])
    assert re.search(r"<td>bucket policy</td><td>WriteOnce</td><td [^>]*>denies</td>", road["html"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "resource", "sid", "step", "said"), REMOVED, ids=[f"{r[1]}-{r[2]}" for r in REMOVED]
)
def test_a_statement_that_is_missing_is_named(
    tmp_path: Path, template: str, resource: str, sid: str, step: str, said: str
) -> None:
    file = tmp_path / "templates" / f"{template}.yaml"
    file.parent.mkdir()
    file.write_text(without(product_template(file.name).read_text(), resource, sid))
    options = Options(lean(tmp_path), (), tmp_path, strict=True, templates=file.parent, until="production", page=None)
    console = Kept()

    with pytest.raises(SeedError) as failure:
        walk(options, console)

    assert str(failure.value).startswith(said)
    assert console.steps()[-1] == step


@pytest.mark.slow
def test_a_statement_that_a_build_does_not_write_is_named(tmp_path: Path) -> None:
    seed = lean(tmp_path)  # whose unit tests would notice before anything is deployed
    registry = seed / "deploy/registry.py"
    text = registry.read_text()
    start = text.index("        (\n            _PACKAGE_SID,")
    registry.write_text(text[:start] + text[text.index("    )\n    return [", start) :])
    console = Kept()

    with pytest.raises(SeedError) as failure:
        walk(Options(seed, (), tmp_path, strict=True, until="production", page=None), console)

    assert str(failure.value).startswith("sagemaker-seed-cloudformation lacks sagemaker:CreateModel for Model")
    assert console.steps()[-1] == "staging"


class Kept(Silent):
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str = "") -> None:
        """Keeps a line."""
        self.lines.append(line)

    def steps(self) -> list[str]:
        """The steps that began."""
        return [line.rpartition("] ")[2] for line in self.lines if line.startswith("[")]


def refusal(action: str) -> Refusal:
    """Something that a role could not do."""
    return Refusal(
        "arn:aws:iam::1:role/path/launcher", action, "arn:aws:x", "because no identity-based policy allows it"
    )


def test_a_failure_begins_with_what_was_missing() -> None:
    problem = "the launch failed: ArtifactKey (AWS::KMS::Key): not authorized to perform: kms:CreateKey on resource: *"

    said = lacking(problem, "launch", [refusal("kms:ListAliases"), refusal("kms:CreateKey")])

    assert said == f"launcher lacks kms:CreateKey for ArtifactKey on arn:aws:x: {problem}"


def test_a_build_s_failure_does_not_name_what_was_missing_but_its_role_does() -> None:
    problem = "sagemaker-iris-deploy: Build/Build failed: exit status 1"

    said = lacking(problem, "staging", [refusal("sagemaker:ListModelPackages")])

    assert said.startswith("launcher lacks sagemaker:ListModelPackages for Build/Build on")


def test_a_failure_without_a_refusal_stays_as_it_is() -> None:
    assert lacking("git push: no", "better", []) == "git push: no"


def test_taking_a_statement_away_takes_nothing_else() -> None:
    text = product_template("data-science-account.yaml").read_text()

    left = without(text, "EventsRole", "Start").splitlines()

    action = "codepipeline:StartPipelineExecution"
    gone = [line for line in text.splitlines() if ("Sid" in line and line not in left) or action in line]
    assert [line.split()[-1] for line in gone] == ["Start", action]
    assert "  BuildRole:" in left
