"""The seed's endpoint template with each stage's file, as a deployment would have it: it parses, and it can be made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..templates import parameters
from ..templates.desired import Desired, Place
from ..templates.document import Document, parse
from ..templates.failure import TemplateError
from ..templates.properties import is_supported
from ..templates.values import as_text
from .stages import model_role, variables
from .subject import GROUP, LONGEST_ID, LONGEST_NAME, Account, Subject, resolved
from .template import judge

TEMPLATE = "cfn-sm-endpoint-template.yml"
FILE = "{stage}-config-template.json"
MONITOR, OFF = "MonitorSchedule", "off"
BUS = "DRIFT_EVENT_BUS_ARN"  # the variable of a build that names the project's event bus


def check(subject: Subject) -> None:
    """Leaves in ``subject`` what each stage's stack will be made of, or says why there will be none."""
    folder = subject.seed.folder if subject.seed else None
    if folder is None or not (folder / TEMPLATE).is_file():
        return
    try:
        document = parse((folder / TEMPLATE).read_text(encoding="utf-8"))
    except TemplateError as error:
        subject.report.add("the endpoint template is no template", TEMPLATE, str(error), "build", f"mend {TEMPLATE}")
        return
    for kind in document.types:
        if not is_supported(kind, subject.home.region):
            subject.report.add(
                "a resource type is not available in the region",
                f"{TEMPLATE}: {kind} in {subject.home.region}",
                "CloudFormation refuses a template with a type that it does not have",
                "deploy",
                f"take it out of {TEMPLATE}, or deploy in a region that has it",
            )
    for stage in subject.stage_ids:
        _stage(subject, document, stage, folder / FILE.format(stage=stage))


def _stage(subject: Subject, document: Document, stage: str, file: Path) -> None:
    account = replace(subject.home, id=subject.stage_ids[stage])
    try:
        given = dict(_given(file))
        if unknown := sorted(given.keys() - document.parameters.keys()):
            raise TemplateError(f"{TEMPLATE} has no parameter {', '.join(unknown)}")
        filled_in = _filled_in(subject, stage, given)
        given |= {name: text for name, text in filled_in.items() if name in document.parameters}
        entries = [{"ParameterKey": name, "ParameterValue": text} for name, text in given.items()]
        texts = parameters.chosen(document.parameters, entries, {})
        desired = Desired(document, texts, _place(account, stage), str, lambda _: [])
    except (TemplateError, OSError, ValueError) as error:
        subject.report.add(
            "a stage cannot be deployed as its file says", file.name, str(error), "build", f"mend {file.name}"
        )
        return
    subject.endpoints[stage] = resolved(desired, account)
    judge(subject, f"{TEMPLATE} with {file.name}", subject.endpoints[stage], "deploy")


def _given(file: Path) -> Iterator[tuple[str, str]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("Parameters"), dict):
        raise ValueError('it must be {"Parameters": {...}, "Tags": {...}}')
    for name, value in content["Parameters"].items():
        yield name, ",".join(map(as_text, value)) if isinstance(value, list) else as_text(value)


def _filled_in(subject: Subject, stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """What the build adds to a stage's file."""
    home = subject.home
    builds = subject.of_type("AWS::CodeBuild::Project").values()
    monitored = given.get(MONITOR, OFF) != OFF
    buses = [bus for build in builds if monitored and isinstance(bus := variables(build).get(BUS), str)]
    return {
        "SageMakerProjectName": LONGEST_NAME,
        "SageMakerProjectId": LONGEST_ID,
        "StageName": stage,
        "ModelPackageName": f"arn:{home.partition}:sagemaker:{home.region}:{home.id}:model-package/{GROUP}/1",
        "ModelExecutionRoleName": model_role(subject, stage).partition(":role/")[2] or "unknown",
        "DriftEventBusArn": next(filter(None, buses), ""),
    }


def _place(account: Account, stage: str) -> Place:
    name = f"sagemaker-{GROUP}-{stage}"
    stack = f"arn:{account.partition}:cloudformation:{account.region}:{account.id}:stack/{name}/u"
    return Place(account.id, account.region, account.partition, name, stack)
