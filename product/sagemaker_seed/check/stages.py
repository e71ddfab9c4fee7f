"""The service roles of the pipelines: each there, trusting its service, and allowed what its stage does.

Which role does what follows from the template's own pipelines, builds and rules, so that another template's roles are
looked at in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..policies import Value, Verdict, evaluate
from . import roles
from .findings import When
from .inference import test_acts
from .preparing import deploy
from .resources import MADE_UP, needs, permissions
from .roles import Role
from .statements import Act, covers, there, trusts
from .subject import GROUP, KEY_ID, LAYOUTS, LONGEST_ID, Subject

REPOSITORY = "CancelUploadArchive GetBranch GetCommit GetUploadArchiveStatus UploadArchive".split()
BUILDS = "BatchGetBuilds StartBuild".split()
STACKS = "CreateStack DescribeStacks UpdateStack".split()
REPORTS = "BatchPutTestCases CreateReport CreateReportGroup UpdateReport".split()
# What the seed's code calls in a build, known by a variable of that build: actions on a kind of resource.
CODE: dict[str, tuple[tuple[str, str], ...]] = {
    "EXPORT_TEMPLATE_PROD_CONFIG": (
        ("DescribeModelPackageGroup ListModelPackages", "model-package-group/{group}"),
        ("DescribeModelPackage", "model-package/{group}/1"),
    ),
    "EXPORT_TEST_RESULTS": (("DescribeModelPackage", "model-package/{group}/1"),),
    "SAGEMAKER_PIPELINE_ROLE_ARN": (
        ("CreatePipeline DescribePipeline StartPipelineExecution UpdatePipeline", "pipeline/{group}-training"),
        ("DescribePipelineExecution", "pipeline/{group}-training/execution/x"),
    ),
}
STACK_SETS = "CALL_AS"  # the variable of a build that deploys by stack sets of the organization
# What deploying a stage calls on its stack set, whoever does it.
STACK_SET = "CreateStackInstances DescribeStackSet DescribeStackSetOperation ListStackInstances UpdateStackSet".split()
SHARING = "GetModelPackageGroupPolicy PutModelPackageGroupPolicy".split()  # with a stage in another account
TRAINING: tuple[tuple[str, str], ...] = (
    ("CreateProcessingJob DescribeProcessingJob", "processing-job/pipelines-x"),
    ("CreateTrainingJob DescribeTrainingJob", "training-job/pipelines-x"),
    ("CreateModelPackage", "model-package/{group}/1"),
)
# What an endpoint's stack is made of, and where its names come from, where there is no seed that says it.
ENDPOINT: dict[str, str] = {
    "AWS::SageMaker::Model": "sagemaker:{here}:model/" + MADE_UP,
    "AWS::SageMaker::EndpointConfig": "sagemaker:{here}:endpoint-config/" + MADE_UP,
    "AWS::SageMaker::Endpoint": "sagemaker:{here}:endpoint/{group}-{stage}",
}


def check(subject: Subject) -> None:
    """Every role that the template's pipelines, builds and rules name in this account."""
    found = list(_named(subject))
    subject.read_roles(arn for arn, *_ in found)
    for arn, service, what, when in found:
        role = there(subject, arn, what, when, deploy(subject.home, _template(arn)))
        if role is not None:
            trusts(subject, role, service, what, when)
    for kind, acts, when, what in (
        ("AWS::CodePipeline::Pipeline", pipeline_acts, "build", "the pipeline's role"),
        ("AWS::CodeBuild::Project", _build, "build", "a build's role"),
        ("AWS::Events::Rule", _rule, "build", "the events' role"),
    ):
        for name, properties in subject.of_type(kind).items():
            for arn, needed in _by_role(acts(subject, name, properties)).items():
                role = subject.role(arn)
                if role is not None:
                    moment: When = "deploy" if _is_test(properties) else "build"
                    covers(subject, role, needed, moment if kind.endswith("Project") else when, what)
    _training(subject)


def _template(arn: str) -> str:
    """Which of our templates makes a role of this account."""
    return "stacksets.yaml" if arn.endswith("/sagemaker-seed-stacksets") else "data-science-account.yaml"


def _named(subject: Subject) -> Iterator[tuple[str, str, str, When]]:
    for properties in subject.of_type("AWS::CodePipeline::Pipeline").values():
        yield properties["RoleArn"], "codepipeline.amazonaws.com", "the pipeline's role", "build"
        for action in actions(properties):
            arn = action["Configuration"].get("RoleArn", "")
            if provider(action) == "CloudFormation" and subject.account_of(arn) is subject.home:
                yield arn, "cloudformation.amazonaws.com", "CloudFormation's role", "deploy"
    for properties in subject.of_type("AWS::CodeBuild::Project").values():
        when: When = "deploy" if _is_test(properties) else "build"
        yield properties["ServiceRole"], "codebuild.amazonaws.com", "a build's role", when
        if training := variables(properties).get("SAGEMAKER_PIPELINE_ROLE_ARN"):
            yield training, "sagemaker.amazonaws.com", "the training's role", "build"
    for properties in subject.of_type("AWS::Events::Rule").values():
        for target in properties.get("Targets", ()):
            if "RoleArn" in target:
                yield target["RoleArn"], "events.amazonaws.com", "the events' role", "build"
    for stage, account in subject.stage_ids.items():
        if account == subject.home.id and (arn := model_role(subject, stage)):
            yield arn, "sagemaker.amazonaws.com", "the model's role", "deploy"


def actions(pipeline: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The actions of a pipeline."""
    for stage in pipeline.get("Stages", ()):
        for action in stage["Actions"]:
            yield {"Configuration": {}, **action}


def provider(action: Mapping[str, Any]) -> str:
    """Who performs an action."""
    return str(action["ActionTypeId"]["Provider"])


def variables(project: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a build."""
    return {v["Name"]: v["Value"] for v in project.get("Environment", {}).get("EnvironmentVariables", ())}


def model_role(subject: Subject, stage: str) -> str:
    """The role that a stage's model runs with; empty if the template does not say it."""
    word = next(words[stage] for words in LAYOUTS.values() if stage in words)
    name = subject.desired.texts.get(f"SageMakerExecutionRole{word}Name") if subject.desired else None
    return f"arn:{subject.home.partition}:iam::{subject.stage_ids[stage]}:role/{name}" if name else ""


def _is_test(properties: Mapping[str, Any]) -> bool:
    return "BUILD_CONFIG" in variables(properties)


def _by_role(acts: Iterator[tuple[str, Act]]) -> dict[str, list[Act]]:
    found: dict[str, list[Act]] = {}
    for arn, act in acts:
        found.setdefault(arn, []).append(act)
    return found


def pipeline_acts(subject: Subject, name: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Act]]:
    """What a pipeline's actions do, each with the ARN of the role that does it."""
    own, home = properties["RoleArn"], subject.home
    base = f"arn:{home.partition}:"
    for act in _artifacts(subject, own, properties["ArtifactStore"].get("Location"), name):
        yield own, act
    for action in actions(properties):
        settings, why = action["Configuration"], f"{name}: {action['Name']}"
        role = action.get("RoleArn", own)
        if role != own:
            yield own, Act("sts:AssumeRole", role, why)
        if provider(action) == "CodeCommit":
            arn = f"{base}codecommit:{home.region}:{home.id}:{settings['RepositoryName']}"
            yield from ((role, Act(f"codecommit:{verb}", arn, why)) for verb in REPOSITORY)
        elif provider(action) == "CodeBuild":
            arn = f"{base}codebuild:{home.region}:{home.id}:project/{settings['ProjectName']}"
            yield from ((role, Act(f"codebuild:{verb}", arn, why)) for verb in BUILDS)
        elif provider(action) == "CloudFormation":
            account = role.split(":")[4]
            arn = f"{base}cloudformation:{home.region}:{account}:stack/{settings['StackName']}/x"
            yield from ((role, Act(f"cloudformation:{verb}", arn, why)) for verb in STACKS)
            passing: dict[str, Value] = {"iam:passedtoservice": "cloudformation.amazonaws.com"}
            yield role, Act("iam:PassRole", settings["RoleArn"], why, passing)


def _artifacts(subject: Subject, role: str, bucket: Any, why: str) -> Iterator[Act]:
    """Reading and writing a project's artifacts: the bucket, and its key unless the key's own policy lets one in."""
    if not isinstance(bucket, str):
        return
    whole = f"arn:{subject.home.partition}:s3:::{bucket}"
    for verb in ("GetObject", "GetObjectVersion", "PutObject"):
        yield Act(f"s3:{verb}", f"{whole}/x", f"{why}: artifacts")
    found = subject.role(role)
    for verb in ("Decrypt", "GenerateDataKey"):
        act = key_act(subject, f"kms:{verb}", whole, why)
        if found is not None and not key_lets(subject, found, act):
            yield act


def key_act(subject: Subject, action: str, bucket: str, why: str) -> Act:
    """The use of a project's key for an object in its bucket."""
    home = subject.home
    context: dict[str, Value] = {
        "kms:calleraccount": home.id,
        "kms:viaservice": f"s3.{home.region}.amazonaws.com",
        "kms:encryptioncontext:aws:s3:arn": bucket,
        "kms:resourcealiases": f"alias/sagemaker-project-{LONGEST_ID}",
    }
    key = f"arn:{home.partition}:kms:{home.region}:{home.id}:key/{KEY_ID}"
    return Act(action, key, f"{why}: the key of the artifacts", context)


def key_lets(subject: Subject, role: Role, act: Act) -> bool:
    """Whether the policy of the project's key lets a role in as such, not only as one of its account."""
    return any(verdict.direct and not verdict.denied for verdict in key_verdicts(subject, role, act))


def key_verdicts(subject: Subject, role: Role, act: Act) -> Iterator[Verdict]:
    """What the policy of each key of the project says to a role's act."""
    for properties in subject.of_type("AWS::KMS::Key").values():
        context = {**act.context, "kms:calleraccount": role.account}
        yield evaluate(properties["KeyPolicy"], roles.asked(role, act.action, "", context))


def _build(subject: Subject, name: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Act]]:
    own, home, environment = properties["ServiceRole"], subject.home, variables(properties)
    base = f"arn:{home.partition}:"
    group = properties.get("LogsConfig", {}).get("CloudWatchLogs", {}).get("GroupName")
    if isinstance(group, str):
        arn = f"{base}logs:{home.region}:{home.id}:log-group:{group}:log-stream:x"
        yield from ((own, Act(f"logs:{verb}", arn, f"{name}: logs")) for verb in ("CreateLogStream", "PutLogEvents"))
    for act in _artifacts(subject, own, environment.get("ARTIFACT_BUCKET"), name):
        yield own, act
    if _has_reports(subject, properties):
        arn = f"{base}codebuild:{home.region}:{home.id}:report-group/{properties['Name']}-x"
        yield from ((own, Act(f"codebuild:{verb}", arn, f"{name}: reports")) for verb in REPORTS)
    elsewhere = environment.get("DEPLOY_ROLE_ARN", "")
    for variable, needed in CODE.items():
        if variable not in environment or STACK_SETS in environment:
            continue
        for verbs, resource in needed:
            arn = f"{base}sagemaker:{home.region}:{home.id}:" + resource.format(group=GROUP)
            yield from ((own, Act(f"sagemaker:{verb}", arn, name)) for verb in verbs.split())
    stage = environment.get("STAGE", "")
    if _is_test(properties) and not elsewhere and stage in subject.stage_ids:
        yield from ((own, act) for act in test_acts(subject, stage))
    for role in sorted({elsewhere, environment.get("NEXT_DEPLOY_ROLE_ARN", "")} - {""}):
        yield own, Act("sts:AssumeRole", role, name)
    if STACK_SETS in environment:
        arn = f"{base}cloudformation:{home.region}:{home.id}:stackset/sagemaker-{GROUP}-x:u"
        yield from ((own, Act(f"cloudformation:{verb}", arn, name)) for verb in STACK_SET)
        yield own, Act("cloudformation:CreateStackSet", "", name)
    elif "EXPORT_TEMPLATE_PROD_CONFIG" in environment and any(a != home.id for a in subject.stage_ids.values()):
        arn = f"{base}sagemaker:{home.region}:{home.id}:model-package-group/{GROUP}"
        yield from ((own, Act(f"sagemaker:{verb}", arn, f"{name}: sharing the models")) for verb in SHARING)
    if training := environment.get("SAGEMAKER_PIPELINE_ROLE_ARN"):
        yield own, Act("iam:PassRole", training, name, {"iam:passedtoservice": "sagemaker.amazonaws.com"})


def _has_reports(subject: Subject, properties: Mapping[str, Any]) -> bool:
    text = buildspec(subject, properties)
    return text is not None and re.search(r"^reports:", text, re.MULTILINE) is not None


def buildspec(subject: Subject, properties: Mapping[str, Any]) -> str | None:
    """The text of a build's buildspec, a file of the seed or in the template; None if it is not known."""
    said = str(properties.get("Source", {}).get("BuildSpec", ""))
    if "\n" in said:
        return said
    path = subject.seed.folder / said if subject.seed and said else None
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else None


def _rule(subject: Subject, name: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Act]]:
    del subject
    for target in properties.get("Targets", ()):
        if "RoleArn" in target and ":codepipeline:" in str(target["Arn"]):
            yield target["RoleArn"], Act("codepipeline:StartPipelineExecution", target["Arn"], name)


def _training(subject: Subject) -> None:
    home = subject.home
    for name, properties in subject.of_type("AWS::CodeBuild::Project").items():
        environment = variables(properties)
        arn = environment.get("SAGEMAKER_PIPELINE_ROLE_ARN")
        role = subject.role(arn) if arn else None
        if role is None or not arn:
            continue
        acts = [
            Act(
                f"sagemaker:{verb}",
                f"arn:{home.partition}:sagemaker:{home.region}:{home.id}:{resource.format(group=GROUP)}",
                f"{name}: training",
                {"sagemaker:modelapprovalstatus": "PendingManualApproval"},
            )
            for verbs, resource in TRAINING
            for verb in verbs.split()
        ]
        acts.append(Act("iam:PassRole", arn, f"{name}: jobs", {"iam:passedtoservice": "sagemaker.amazonaws.com"}))
        acts += [
            act
            for act in _artifacts(subject, arn, environment.get("ARTIFACT_BUCKET"), name)
            if act.action != "s3:GetObjectVersion"
        ]
        covers(subject, role, acts, "build", "the training's role")


def endpoint_acts(subject: Subject, stage: str) -> Iterator[Act]:
    """What CloudFormation needs in a stage's account to make, change and delete the stack of an endpoint."""
    home, account = subject.home, subject.stage_ids[stage]
    for need in needs(subject.endpoints.get(stage, {}), replace(home, id=account), {}):
        yield Act(need.action, need.resource, f"the {stage} endpoint: {need.logical_id}", need.context)
    for kind, form in {} if stage in subject.endpoints else ENDPOINT.items():
        arn = f"arn:{home.partition}:" + form.format(here=f"{home.region}:{account}", group=GROUP, stage=stage)
        for action in permissions(kind, home.region, {"ExecutionRoleArn": ""}):
            if action.startswith("sagemaker:"):
                yield Act(action, arn, f"the {stage} endpoint")
    if role := model_role(subject, stage):
        passing: dict[str, Value] = {"iam:passedtoservice": "sagemaker.amazonaws.com"}
        yield Act("iam:PassRole", role, f"the {stage} model", passing)
    package = f"arn:{home.partition}:sagemaker:{home.region}:{home.id}:model-package/{GROUP}/1"
    for verb in ("CreateModel", "DescribeModelPackage"):
        yield Act(f"sagemaker:{verb}", package, f"the {stage} model")
