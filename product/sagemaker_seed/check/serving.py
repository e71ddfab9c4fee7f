"""What serves in a stage beside its model: the roles that its stack hands on, the buckets that it reads and writes.

Monitors, rules and schedules act with roles of ``watching.yaml`` and ``stored-inference.yaml``; requests and answers of
asynchronous and batch inference, and captured data, are objects in buckets of the stage's account. All of it follows
from the endpoint template with the stage's file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ..accounts.names import role_names
from ..policies import evaluate
from . import roles
from .inference import Place, job_arn, job_of, places
from .preparing import deploy
from .resources import arn_of, passed
from .roles import Role
from .stages import model_role
from .statements import Act, covers, there, trusts
from .subject import Account, Subject
from .targets import reads, test_role

WATCHING, STORED = "watching.yaml", "stored-inference.yaml"
FILE = "config-template.json"  # of a stage, after its name
METRICS = "/aws/sagemaker/Endpoints/data-metrics"  # the namespace that monitors write to
ALARM: dict[str, Any] = {"events:source": "aws.cloudwatch", "events:detail-type": "CloudWatch Alarm State Change"}
_IMAGE = "BatchCheckLayerAvailability BatchGetImage GetAuthorizationToken GetDownloadUrlForLayer".split()

Properties = Mapping[str, Any]


class Uses(NamedTuple):
    """Whoever acts with a role that a stage's stack hands on: what it is called, our template, and what it does."""

    title: str
    file: str
    acts: Callable[[Subject, str, str, Properties], Iterator[Act]]


def check(subject: Subject) -> None:
    """Every stage whose account can be looked into."""
    for stage, account in subject.stage_ids.items():
        found = subject.account_of(f"arn:aws:iam::{account}:root")
        if found is not None and stage in subject.endpoints:
            _handed_on(subject, stage)
            _captures(subject, stage)
            for place in places(subject, stage).values():
                with subject.report.looking_at(f"s3://{place.bucket}"):
                    _bucket(subject, stage, found, place)


# ------------------------------------------------------------------------------------------------------- the roles


def _handed_on(subject: Subject, stage: str) -> None:
    by_role: dict[str, list[tuple[str, str, str, Properties]]] = {}
    for logical_id, (kind, properties) in subject.endpoints[stage].items():
        for arn, service in passed(kind, properties) if kind in USES else ():
            by_role.setdefault(arn, []).append((service, kind, logical_id, properties))
    subject.read_roles(by_role)
    for arn, named in by_role.items():
        title = USES[named[0][1]].title.format(stage)
        fix = prepare(subject, stage, USES[named[0][1]].file)
        role = there(subject, arn, title, "deploy", f"{fix}; or name a role that is there in {stage}-{FILE}")
        if role is None:
            continue
        for service in dict.fromkeys(service for service, *_ in named):
            trusts(subject, role, service, title, "deploy")
        acts = [act for _, kind, name, given in named for act in USES[kind].acts(subject, stage, name, given)]
        covers(subject, role, acts, "invoke", title)
        if any(kind == "AWS::SageMaker::Pipeline" for _, kind, *_ in named):
            reads(subject, role, title, "invoke")
        _lets_in(subject, role, title, acts)


def _monitor(subject: Subject, stage: str, name: str, properties: Properties) -> Iterator[Act]:
    """A pipeline of processing jobs that compare what was captured with a project's baseline."""
    home, account, why = subject.home, subject.stage_ids[stage], f"the {stage} endpoint: {name}"
    job = f"arn:{home.partition}:sagemaker:{home.region}:{account}:processing-job/pipelines-x"
    yield from (Act(f"sagemaker:{verb}ProcessingJob", job, why) for verb in ("Create", "Describe"))
    yield Act("iam:PassRole", str(properties["RoleArn"]), why, {"iam:passedtoservice": "sagemaker.amazonaws.com"})
    for bucket in subject.of_type("AWS::S3::BucketPolicy").values():
        yield Act("s3:ListBucket", f"arn:{home.partition}:s3:::{bucket['Bucket']}", f"{why}: code and baseline")
    if captured := places(subject, stage).get("captured data"):
        yield Act("s3:ListBucket", captured.bucket_arn(home.partition), f"{why}: captured data")
        yield Act("s3:GetObject", captured.arn(home.partition), f"{why}: captured data")
        yield Act("s3:PutObject", captured.arn(home.partition, "reports"), f"{why}: reports")
    yield Act("cloudwatch:PutMetricData", "*", f"{why}: metrics", {"cloudwatch:namespace": METRICS})
    yield from (Act(f"ecr:{verb}", "", f"{why}: the image of its jobs") for verb in _IMAGE)


def _rule(subject: Subject, stage: str, name: str, properties: Properties) -> Iterator[Act]:
    """What a rule's targets take: the start of a monitor, or the project's event bus."""
    del subject
    verbs = {"sagemaker": "sagemaker:StartPipelineExecution", "events": "events:PutEvents"}
    for target in properties.get("Targets", ()):
        arn = str(target.get("Arn"))
        service = ":".join(arn.split(":")[2:3])
        if service in verbs and "RoleArn" in target:
            yield Act(verbs[service], arn, f"the {stage} endpoint: {name}", ALARM if service == "events" else {})


def _schedule(subject: Subject, stage: str, name: str, properties: Properties) -> Iterator[Act]:
    if job := job_of(properties):
        for verb in ("CreateTransformJob", *(["AddTags"] if job.get("Tags") else [])):
            yield Act(f"sagemaker:{verb}", job_arn(subject, stage, job), f"the jobs of {stage}: {name}")


# By the type of a resource: who acts with the role that it hands on.
USES = {
    "AWS::SageMaker::Pipeline": Uses("the {} monitor's role", WATCHING, _monitor),
    "AWS::Events::Rule": Uses("the role of the {} monitor's rules", WATCHING, _rule),
    "AWS::Scheduler::Schedule": Uses("the role of the {} schedule", STORED, _schedule),
}


def _lets_in(subject: Subject, role: Role, what: str, acts: list[Act]) -> None:
    """Whether the project's event bus takes what a role of another account puts on it."""
    for properties in subject.of_type("AWS::Events::EventBus").values():
        own = arn_of("AWS::Events::EventBus", properties, subject.home)
        for act in acts:
            if act.resource != own or role.account == subject.home.id or not properties.get("Policy"):
                continue
            if not evaluate(properties["Policy"], roles.asked(role, act.action, own, act.context)).allowed:
                subject.report.add(
                    f"the project's event bus does not let {what} in",
                    f"{subject.template_name}: {properties['Name']}",
                    f"{role.arn} has to tell it of drift across accounts",
                    "invoke",
                    f"name {role.account} in the policy of the bus, as an account that may events:PutEvents",
                )


def prepare(subject: Subject, stage: str, file: str) -> str:
    """The command that deploys what a stage's account lacks, with the roles that are there."""
    account = subject.stage_ids[stage]
    here = account == subject.home.id
    target = subject.desired.texts.get("DeployTarget", "") if subject.desired else ""
    usual, ours = role_names("", here=False), role_names(target, here=here)
    named = {"ModelRoleName": model_role(subject, stage), "TestRoleName": test_role(subject, stage)}
    ours |= {name: arn.rpartition("/")[2] for name, arn in named.items() if arn}
    wanted = {name: value for name, value in ours.items() if value != usual[name]}
    if file == WATCHING:
        wanted = {"DataScienceAccountId": subject.home.id, **{k: v for k, v in wanted.items() if k not in named}}
    return deploy(subject.home, file, account, **wanted)


# ------------------------------------------------------------------------------------------------------ the buckets


def _captures(subject: Subject, stage: str) -> None:
    captured, arn = places(subject, stage).get("captured data"), model_role(subject, stage)
    role = subject.role(arn) if arn else None
    if captured is not None and role is not None:
        act = Act("s3:PutObject", captured.arn(subject.home.partition), f"captured data of {stage}")
        covers(subject, role, [act], "invoke", f"the {stage} model's role")


def _bucket(subject: Subject, stage: str, account: Account, place: Place) -> None:
    try:
        head = account.client("s3").head_bucket(Bucket=place.bucket)
    except ClientError as error:
        if error.response["Error"].get("Code") not in {"404", "NoSuchBucket"}:
            raise
        stored = place.bucket == f"sagemaker-inference-{account.region}-{account.id}"
        subject.report.add(
            f"the bucket of the {stage} stage's {'requests and answers' if stored else place.what} does not exist",
            f"s3://{place.bucket}",
            f"the stage's template or file names it, and there is no such bucket in {account.id}",
            "invoke" if place.what == "captured data" else "deploy",
            prepare(subject, stage, STORED) if stored else _make(account, place.bucket, subject.home.id),
        )
        return
    region = head.get("BucketRegion", account.region)
    if region != account.region:
        subject.report.add(
            f"the bucket of the {stage} stage's {place.what} is in another region",
            f"s3://{place.bucket} in {region}",
            f"SageMaker in {account.region} reads and writes buckets of its own region",
            "deploy",
            f"name a bucket of {account.region} in {stage}-{FILE}",
        )


def _make(account: Account, bucket: str, home: str) -> str:
    whose = f"with the credentials of {account.id}: " if account.id != home else ""
    # us-east-1 is where buckets are made that say nothing, and saying it is refused.
    where = f" --create-bucket-configuration LocationConstraint={account.region}"
    return (
        f"{whose}aws s3api create-bucket --bucket {bucket} --region {account.region}"
        f"{'' if account.region == 'us-east-1' else where}"
    )
