"""`sagemaker-seed check` of what serves: four kinds of inference and the monitor, for each way to deploy.

The accounts are prepared by `sagemaker-seed accounts --apply`, first without and then with what watching and stored
inference take: what is missing is found before, and nothing after.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.accounts import flow as accounts_flow
from sagemaker_seed.accounts import stacks
from sagemaker_seed.accounts.connections import Place
from sagemaker_seed.answers import Seed, read_seed
from sagemaker_seed.console import Console
from sagemaker_seed.publish.flow import publish
from sagemaker_seed.rehearsal.checking import Ground, check_in
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.publishing import bucket_of, clients_of
from sagemaker_seed.rehearsal.rendering import render
from sagemaker_seed.rehearsal.road import accounts as road_accounts
from sagemaker_seed.rehearsal.road.journey import Journey, Options
from support import REGION
from test_check import Break, Scene, edited, lacks, template, trusts

pytestmark = pytest.mark.slow
TARGETS = ("cloudformation", "stackset-self-managed", "stackset-service-managed", "same-account")
KINDS = ("real-time", "serverless", "asynchronous", "batch")
# What a seed needs -> the kind of inference that it is rendered with.
CASES = {**{kind: kind for kind in KINDS}, "monitored": "real-time"}
SWITCHES = {"DataCapturePercentage": 100, "MonitorSchedule": "hourly", "Dashboard": True}
FILE = "prod-config-template.json"
QUIET = Console(json=True)


@dataclass
class World:
    """The accounts of one deploy target, and the seeds of every case for it."""

    made: Ground
    seeds: dict[str, Seed]
    before: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def captures_into(self) -> str:
        return f"sagemaker-{REGION}-{self.made.accounts['prod']}"

    def check(self, case: str) -> dict[str, Any]:
        return check_in(self.made, self.seeds[case], QUIET, parameters={"RetrainOnDrift": "yes"})


class Worlds:
    """One for each deploy target, made when the first test asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.open = folder, ExitStack()
        self.made: dict[str, World] = {}

    def of(self, target: str) -> World:
        if target not in self.made:
            self.made[target] = self._make(target)
        return self.made[target]

    def _make(self, target: str) -> World:
        seeds = {case: self._seed(target, case) for case in CASES}
        aws = self.open.enter_context(EmbeddedAws(region=REGION))
        journey = Journey(Options(None, (), Path()), QUIET)
        journey.aws, journey.seed = aws, seeds["real-time"]
        with journey.step("accounts"):
            road_accounts.make(journey)
        self._prepare(journey, target)
        publish(clients_of(aws), seeds["real-time"], QUIET, bucket=bucket_of(seeds["real-time"]))
        ids = {"home": "data-science", **{stage.slot.lower(): stage.name for stage in journey.stages}}
        made = Ground(aws, {name: journey.account(a) for name, a in ids.items()}, bucket_of(seeds["real-time"]))
        world = World(made, seeds)
        world.before = {case: world.check(case)["findings"] for case in CASES}
        self._prepare(journey, target, watching="yes", **{"stored-inference": "yes"})
        where = {"LocationConstraint": REGION}
        made.clients("prod")("s3").create_bucket(Bucket=world.captures_into, CreateBucketConfiguration=where)
        return world

    def _seed(self, target: str, case: str) -> Seed:
        answers = [f"aws_region={REGION}", f"deploy_target={target}", f"inference={CASES[case]}"]
        folder = render(answers, self.folder / target / case)
        if case == "monitored":
            stage = json.loads((folder / FILE).read_text())
            stage["Parameters"] |= SWITCHES
            (folder / FILE).write_text(json.dumps(stage))
        return read_seed(folder)

    def _prepare(self, journey: Journey, target: str, **more: str) -> None:
        content: dict[str, Any] = {
            "regions": [REGION],
            "principals": [journey.studio_role],
            "deploy-target": target,
            "data-science": {"account": journey.accounts["data-science"]},
            **more,
        }
        for stage in journey.stages if target != "same-account" else ():
            unit = {"unit": journey.units[stage.name]} if target == "stackset-service-managed" else {}
            content[stage.name] = {"account": journey.accounts[stage.name], **unit}
        file = self.folder / target / "accounts.yaml"
        file.write_text(json.dumps(content))

        def clients(service: str, place: Place) -> Any:
            return journey.aws.client(service, place.account.id, place.region)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stacks, "FIRST_POLL_SECONDS", 0.02)
            accounts_flow.prepare(clients, file, QUIET, plan_only=False)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = Worlds(tmp_path_factory.mktemp("worlds"))
    with worlds.open:
        yield worlds


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_accounts_that_are_prepared_for_it(target: str, case: str, worlds: Worlds) -> None:
    found = worlds.of(target).check(case)
    notes = [note for note in found["notes"] if not note.endswith("not published yet")]  # one of the seeds is
    assert (found["findings"], notes) == ([], [])


MONITOR = {
    "the prod monitor's role does not exist": "watching.yaml",
    "the role of the prod monitor's rules does not exist": "watching.yaml",
    "the bucket of the prod stage's captured data does not exist": "aws s3api create-bucket --bucket sagemaker-eu-",
}
STORED = {
    f"the bucket of the {stage} stage's requests and answers does not exist": "stored-inference.yaml"
    for stage in ("staging", "prod")
}
# What is found before: by a part of what, a part of the fix.
LACKING: dict[str, dict[str, str]] = {
    "real-time": {},
    "serverless": {},
    "monitored": MONITOR,
    "asynchronous": {**STORED, "the prod model's role lacks s3:": "sagemaker-inference-"},
    "batch": {
        **STORED,
        "the role of the staging schedule does not exist": "stored-inference.yaml",
        "the prod model's role lacks s3:": "sagemaker-inference-",
    },
}
# By deploy target: what makes a stage, and what tests it; a role of Organizations' own is nobody's to look at.
MAKES = {
    "cloudformation": "CloudFormation's prod role",
    "stackset-self-managed": "the execution role of stack sets in prod",
    "same-account": "CloudFormation's prod role",
}
TESTS = dict.fromkeys(TARGETS, "the prod deploy role") | {"same-account": "a build's role"}
OF_MAKER = {"monitored": "sagemaker:CreatePipeline", "batch": "scheduler:CreateSchedule"}
OF_TESTS = {"asynchronous": "sagemaker:InvokeEndpointAsync", "batch": "sagemaker:CreateTransformJob"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("target", TARGETS)
def test_what_the_accounts_lack_is_found_before(target: str, case: str, worlds: Worlds) -> None:
    findings = worlds.of(target).before[case]
    wanted = dict(LACKING[case])
    if case in OF_TESTS:
        wanted[f"{TESTS[target]} lacks"] = OF_TESTS[case]
    if case in OF_MAKER and target in MAKES:
        wanted[f"{MAKES[target]} lacks"] = OF_MAKER[case]
    for what, part in wanted.items():
        found = [finding for finding in findings if finding["what"].startswith(what)]
        assert found, (what, findings)
        assert part in found[0]["fix"], found[0]
        assert all(found[0].values())
    assert bool(findings) == bool(wanted), findings


def no_bucket(name: str) -> Break:
    """A stage without one of its buckets."""

    def act(scene: Scene) -> None:
        s3, bucket = scene.client("s3", "prod"), name.format(region=REGION, account=scene.made.accounts["prod"])
        policy = None
        if "inference" in bucket:
            policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        s3.delete_bucket(Bucket=bucket)
        if policy:
            scene.undo.callback(s3.put_bucket_policy, Bucket=bucket, Policy=policy)
        where = {"LocationConstraint": REGION}
        scene.undo.callback(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=where)

    return act


def far(scene: Scene) -> None:
    bucket = "sagemaker-inference-far"
    s3 = scene.made.aws.client("s3", scene.made.accounts["prod"], "eu-central-1")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    scene.undo.callback(s3.delete_bucket, Bucket=bucket)
    _said(OutputS3Uri=f"s3://{bucket}/answers")(scene)


def _said(**parameters: Any) -> Break:
    """A stage's file that says something else."""

    def act(scene: Scene) -> None:
        edited(FILE, '"Parameters": {', '"Parameters": {' + json.dumps(parameters)[1:-1] + ",")(scene)

    return act


MONITORS, WATCHES, SCHEDULES = "sagemaker-seed-monitor", "sagemaker-seed-watch", "sagemaker-seed-scheduler"
MODEL, ENTERS, MAKER = "sagemaker-seed-model", "sagemaker-seed-deploy", "sagemaker-seed-cloudformation"
EXECUTION, HERE = "sagemaker-seed-stackset-execution", "sagemaker-seed-test"
NOBODY = {"Service": "lambda.amazonaws.com"}
MONITOR_IS, WATCH_IS, SCHEDULE_IS = "the prod monitor's role", "the role of the prod monitor's rules", "the role of the"

# fault: (case, how it is made, what is found, the act that would fail, a part of the place, the reason or the fix)
FAULTS: dict[str, tuple[str, Break, str, str, str]] = {
    "a monitor's role that is not there": (
        "monitored",
        _said(MonitorRoleName="team/nobody"),
        f"{MONITOR_IS} does not exist",
        "deploy",
        "--stack-name sagemaker-seed-watch",
    ),
    "a monitor that SageMaker cannot run": (
        "monitored",
        trusts(MONITORS, NOBODY, "prod"),
        f"{MONITOR_IS} does not trust sagemaker.amazonaws.com",
        "deploy",
        "sts:AssumeRole",
    ),
    **{
        f"a monitor without {action}": (
            "monitored",
            lacks(MONITORS, action, "prod"),
            f"{MONITOR_IS} lacks {action}",
            "invoke",
            part,
        )
        for action, part in {
            "sagemaker:CreateProcessingJob": "processing-job/pipelines-*",
            "iam:PassRole": "sagemaker-seed-monitor",
            "s3:GetObject": "data-capture",
            "s3:ListBucket": "code and baseline",
            "s3:PutObject": "reports",
            "kms:Decrypt": "model artifacts",
            "cloudwatch:PutMetricData": "metrics",
            "ecr:BatchGetImage": "the image of its jobs",
        }.items()
    },
    "rules that EventBridge cannot act for": (
        "monitored",
        trusts(WATCHES, NOBODY, "prod"),
        f"{WATCH_IS} does not trust events.amazonaws.com",
        "deploy",
        "sts:AssumeRole",
    ),
    "a schedule that starts no monitor": (
        "monitored",
        lacks(WATCHES, "sagemaker:StartPipelineExecution", "prod"),
        f"{WATCH_IS} lacks sagemaker:StartPipelineExecution",
        "invoke",
        "-prod-monitor",
    ),
    "drift that nobody is told of": (
        "monitored",
        lacks(WATCHES, "events:PutEvents", "prod"),
        f"{WATCH_IS} lacks events:PutEvents",
        "invoke",
        "event-bus/sagemaker-*-drift",
    ),
    "a bus that lets no stage in": (
        "monitored",
        template("            Action: events:PutEvents", "            Action: events:PutRule"),
        f"the project's event bus does not let {WATCH_IS} in",
        "invoke",
        "events:PutEvents",
    ),
    **{
        f"a stage that cannot make what watches: {action}": (
            "monitored",
            lacks(MAKER, action, "prod"),
            f"CloudFormation's prod role lacks {action}",
            "deploy",
            part,
        )
        for action, part in {
            "sagemaker:UpdatePipeline": "pipeline/*-prod-monitor",
            "events:PutRule": "MonitorRule",
            "iam:PassRole": "sagemaker-seed-monitor",
            "cloudwatch:PutDashboard": "dashboard/sagemaker-*",
        }.items()
    },
    "captured data without a bucket": (
        "monitored",
        no_bucket("sagemaker-{region}-{account}"),
        "the bucket of the prod stage's captured data does not exist",
        "invoke",
        f"--create-bucket-configuration LocationConstraint={REGION}",
    ),
    "a model that cannot capture": (
        "monitored",
        lacks(MODEL, "s3:PutObject", "prod"),
        "the prod model's role lacks s3:PutObject",
        "invoke",
        "data-capture",
    ),
    "a test that cannot invoke": (
        "real-time",
        lacks(ENTERS, "sagemaker:InvokeEndpoint", "prod"),
        "the prod deploy role lacks sagemaker:InvokeEndpoint",
        "deploy",
        "endpoint/*-prod",
    ),
    "a test that cannot see what is served": (
        "serverless",
        lacks(ENTERS, "sagemaker:DescribeEndpointConfig", "prod"),
        "the prod deploy role lacks sagemaker:DescribeEndpointConfig",
        "deploy",
        "the test of prod",
    ),
    "a test that cannot queue requests": (
        "asynchronous",
        lacks(ENTERS, "sagemaker:InvokeEndpointAsync", "prod"),
        "the prod deploy role lacks sagemaker:InvokeEndpointAsync",
        "deploy",
        "endpoint/*-prod",
    ),
    "a test that cannot put its requests": (
        "asynchronous",
        lacks(ENTERS, "s3:PutObject", "prod"),
        "the prod deploy role lacks s3:PutObject",
        "deploy",
        "/output/test/*",
    ),
    "a model that cannot answer": (
        "asynchronous",
        lacks(MODEL, "s3:PutObject", "prod"),
        "the prod model's role lacks s3:PutObject",
        "deploy",
        "sagemaker-inference-",
    ),
    "a model that may not tell": (
        "asynchronous",
        _said(SuccessTopicArn=f"arn:aws:sns:{REGION}:111111111111:answers"),
        "the prod model's role lacks sns:Publish",
        "deploy",
        "notices of prod",
    ),
    "answers without a bucket": (
        "asynchronous",
        no_bucket("sagemaker-inference-{region}-{account}"),
        "the bucket of the prod stage's requests and answers does not exist",
        "deploy",
        "--stack-name sagemaker-seed-stored-inference",
    ),
    "answers in another region": (
        "asynchronous",
        far,
        "the bucket of the prod stage's answers is in another region",
        "deploy",
        "eu-central-1",
    ),
    "answers in a bucket that nobody made": (
        "asynchronous",
        _said(OutputS3Uri="s3://sagemaker-nowhere/answers"),
        "the bucket of the prod stage's answers does not exist",
        "deploy",
        "aws s3api create-bucket --bucket sagemaker-nowhere",
    ),
    "a schedule's role that is not there": (
        "batch",
        _said(ScheduleRoleName="team/nobody"),
        "the role of the prod schedule does not exist",
        "deploy",
        "--stack-name sagemaker-seed-stored-inference",
    ),
    "a schedule that EventBridge cannot act for": (
        "batch",
        trusts(SCHEDULES, NOBODY, "prod"),
        f"{SCHEDULE_IS} prod schedule does not trust scheduler.amazonaws.com",
        "deploy",
        "sts:AssumeRole",
    ),
    **{
        f"a schedule without {action}": (
            "batch",
            lacks(SCHEDULES, action, "prod"),
            f"{SCHEDULE_IS} prod schedule lacks {action}",
            "invoke",
            "transform-job/*-prod-*",
        )
        for action in ("sagemaker:CreateTransformJob", "sagemaker:AddTags")
    },
    **{
        f"a stage that cannot make a schedule: {action}": (
            "batch",
            lacks(MAKER, action, "prod"),
            f"CloudFormation's prod role lacks {action}",
            "deploy",
            part,
        )
        for action, part in {
            "scheduler:UpdateSchedule": "schedule/default/*-prod",
            "iam:PassRole": "sagemaker-seed-scheduler",
        }.items()
    },
    **{
        f"a test of jobs without {action}": (
            "batch",
            lacks(ENTERS, action, "prod"),
            f"the prod deploy role lacks {action}",
            "deploy",
            "the test of prod",
        )
        for action in ("scheduler:GetSchedule", "sagemaker:StopTransformJob", "s3:PutObject")
    },
    "a job whose model reads no requests": (
        "batch",
        lacks(MODEL, "s3:ListBucket", "prod"),
        "the prod model's role lacks s3:ListBucket",
        "deploy",
        "sagemaker-inference-",
    ),
}
# The same for other deploy targets, where other roles do it.
ELSEWHERE: dict[str, tuple[str, str, Break, str]] = {
    "an execution role that makes no monitor": (
        "stackset-self-managed",
        "monitored",
        lacks(EXECUTION, "sagemaker:CreatePipeline", "prod"),
        "the execution role of stack sets in prod lacks sagemaker:CreatePipeline",
    ),
    "an execution role that makes no schedule": (
        "stackset-self-managed",
        "batch",
        lacks(EXECUTION, "scheduler:CreateSchedule", "prod"),
        "the execution role of stack sets in prod lacks scheduler:CreateSchedule",
    ),
    "a monitor of a service-managed stack set": (
        "stackset-service-managed",
        "monitored",
        lacks(MONITORS, "sagemaker:CreateProcessingJob", "prod"),
        f"{MONITOR_IS} lacks sagemaker:CreateProcessingJob",
    ),
    "a test of jobs in the account that trains": (
        "same-account",
        "batch",
        lacks(HERE, "sagemaker:CreateTransformJob"),
        "a build's role lacks sagemaker:CreateTransformJob",
    ),
    "a monitor in the account that trains": (
        "same-account",
        "monitored",
        lacks(MONITORS, "s3:PutObject"),
        f"{MONITOR_IS} lacks s3:PutObject",
    ),
}


def found_in(world: World, case: str, act: Break, what: str, folder: Path) -> dict[str, str]:
    with ExitStack() as undo:
        scene = Scene(world.made, world.seeds[case], folder, undo)
        scene.more["parameters"] = {"RetrainOnDrift": "yes"}
        act(scene)
        findings = scene.check()
        found = [finding for finding in findings if finding["what"].startswith(what)]
        assert found, findings
        assert all(found[0].values()), found[0]
        several = len([f for f in findings if f["where"] == found[0]["where"]]) > 1  # each has its own statement
        assert " lacks " not in what or several or mended(scene, found[0]), found[0]
    return found[0]


STATEMENT = re.compile(r"add to the policies of (\S+): (.+)")


def mended(scene: Scene, finding: dict[str, str]) -> bool:
    """Whether the statement of a finding, put where it says, leaves nothing of it."""
    match = STATEMENT.fullmatch(finding["fix"])
    assert match is not None
    number = finding["where"].split(":")[4]
    iam = scene.made.aws.client("iam", number)
    document = json.dumps({"Version": "2012-10-17", "Statement": json.loads(match[2])})
    iam.put_role_policy(RoleName=match[1], PolicyName="fix", PolicyDocument=document)
    scene.undo.callback(iam.delete_role_policy, RoleName=match[1], PolicyName="fix")
    left = [f for f in scene.check() if f["where"] == finding["where"] and " lacks " in f["what"]]
    return left == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, worlds: Worlds, tmp_path: Path) -> None:
    case, act, what, when, part = FAULTS[name]
    found = found_in(worlds.of("cloudformation"), case, act, what, tmp_path)
    assert found["when"] == when, found
    assert part in " ".join(found.values()), found


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_fault_of_another_deploy_target_is_found(name: str, worlds: Worlds, tmp_path: Path) -> None:
    target, case, act, what = ELSEWHERE[name]
    found_in(worlds.of(target), case, act, what, tmp_path)
