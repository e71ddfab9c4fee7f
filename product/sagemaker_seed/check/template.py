"""The product template as a launch would have it: it parses, its parameters are complete, its names are short."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..publish.release import MAX_TEMPLATE_BYTES
from ..templates import parameters, schemas
from ..templates.desired import Desired, Place
from ..templates.document import parse
from ..templates.failure import TemplateError
from ..templates.properties import check as problems_of
from ..templates.properties import is_supported
from .findings import When
from .subject import LONGEST_ID, LONGEST_NAME, Resources, Subject

OWN = {"SageMakerProjectName": LONGEST_NAME, "SageMakerProjectId": LONGEST_ID}
# How long a name may be where the schema does not say it: type, property -> characters.
LIMITS = {
    ("AWS::CodeBuild::Project", "Name"): 150,
    ("AWS::CodeCommit::Repository", "RepositoryName"): 100,
    ("AWS::CodePipeline::Pipeline", "Name"): 100,
    ("AWS::Events::Rule", "Name"): 64,
    ("AWS::IAM::Role", "RoleName"): 64,
    ("AWS::KMS::Alias", "AliasName"): 256,
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::S3::Bucket", "BucketName"): 63,
    ("AWS::SageMaker::Endpoint", "EndpointName"): 63,
    ("AWS::SageMaker::ModelPackageGroup", "ModelPackageGroupName"): 63,
}
# How many of each a template may have.
COUNTS = {"Parameters": 200, "Mappings": 200, "Resources": 500, "Outputs": 200}
MAX_CONFIGURATION = 1000  # characters of one value in an action's configuration
_STACK = "arn:{0.partition}:cloudformation:{0.region}:{0.id}:stack/SC-{0.id}-pp-x/u"


def evaluate(subject: Subject) -> None:
    """Leaves the template under the longest names in ``subject``, or says why it cannot."""
    where, report = subject.template_name, subject.report
    if len(subject.template.encode()) > MAX_TEMPLATE_BYTES:
        report.add(
            "the template is too large",
            where,
            f"CloudFormation reads at most {MAX_TEMPLATE_BYTES:,} bytes by URL",
            "publish",
            "take out what is not needed",
        )
    try:
        document = parse(subject.template)
    except TemplateError as error:
        report.add("the template is no template", where, str(error), "publish", f"mend {where}")
        return
    counted = (document.parameters, document.mappings, document.resources, document.outputs)
    for (section, most), there in zip(COUNTS.items(), counted, strict=True):
        if len(there) > most:
            report.add(
                "the template has too many entries",
                f"{where}: {section}",
                f"{len(there)}, and CloudFormation takes {most}",
                "publish",
                "take out what is not needed, or make two products of it",
            )
    if missing := [name for name in OWN if name not in document.parameters]:
        report.add(
            "the template lacks SageMaker's parameters",
            f"{where}: {', '.join(missing)}",
            "SageMaker gives each project its name and id by parameters of these names",
            "launch",
            f"declare {', '.join(missing)} with Type: String and no Default",
        )
    for name in OWN:
        if "Default" in document.parameters.get(name, {}):
            report.add(
                "a parameter of SageMaker's has a default",
                f"{where}: {name}",
                "a launch outside SageMaker would make a project of that name instead of failing",
                "launch",
                f"take the Default of {name} away",
            )
    values = {name: value for name, value in {**subject.given, **OWN}.items() if name in document.parameters}
    entries = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    try:
        texts = parameters.chosen(document.parameters, entries, {})
        home = subject.home
        place = Place(home.id, home.region, home.partition, f"SC-{home.id}-pp-x", _STACK.format(home))
        subject.desired = Desired(document, texts, place, str, lambda _: [])
    except TemplateError as error:
        report.add(
            "the template cannot be launched",
            where,
            str(error),
            "launch",
            "give --parameter KEY=VALUE (an account: --staging-account and --prod-account), or mend the parameter",
        )


def check(subject: Subject) -> None:
    """Every resource of the evaluated template: its properties, its name, its references."""
    if subject.desired is None:
        return
    for unbound in sorted(set(re.findall(r"unbound-[a-z-]+", subject.template))):
        subject.report.add(
            "the template is not bound",
            f"{subject.template_name}: {unbound}",
            "a launch would look for seed code of that name",
            "launch",
            "publish with sagemaker-seed publish, which binds it",
        )
    try:
        subject.desired.check_attributes()
    except (TemplateError, schemas.UnknownType) as error:
        subject.report.add(
            "a reference leads nowhere", subject.template_name, str(error), "launch", f"mend {subject.template_name}"
        )
    judge(subject, subject.template_name, subject.resources, "launch")


def judge(subject: Subject, where: str, resources: Resources, when: When) -> None:
    """Every resource of an evaluated template: its properties and its name."""
    for name, (kind, properties) in resources.items():
        if is_supported(kind, subject.home.region):
            _properties(subject, f"{where}: {name}", kind, properties, when)
        _lengths(subject, f"{where}: {name}", kind, properties, when)


def _properties(subject: Subject, where: str, kind: str, properties: Mapping[str, object], when: When) -> None:
    for problem in problems_of(kind, subject.home.region, properties):
        limited = (kind, problem.partition(":")[0].removeprefix("#/")) in LIMITS and "[maxLength]" in problem
        if not limited:  # said better by _lengths
            subject.report.add(
                "a property is not valid",
                where,
                f"{kind} refuses it under the longest project name: {problem}",
                when,
                f"mend the property of {where.rpartition(' ')[2]}",
            )


def _lengths(subject: Subject, where: str, kind: str, properties: Mapping[str, object], when: When) -> None:
    for (type_, property_), limit in LIMITS.items():
        value = properties.get(property_)
        if kind == type_ and isinstance(value, str) and len(value) > limit:
            subject.report.add(
                "a name can become too long",
                f"{where}.{property_}",
                f"{len(value)} characters under the longest project name and id, and {kind} takes {limit}",
                when,
                f"leave ${{SageMakerProjectName}} out of {property_}: the id is unique by itself",
            )
    for stage in properties.get("Stages", ()) if kind == "AWS::CodePipeline::Pipeline" else ():  # type: ignore[attr-defined]
        for action in stage["Actions"]:
            for key, value in action.get("Configuration", {}).items():
                if isinstance(value, str) and len(value) > MAX_CONFIGURATION:
                    subject.report.add(
                        "a value of a pipeline action is too long",
                        f"{where}, {stage['Name']}/{action['Name']}.{key}",
                        f"{len(value)} characters, and CodePipeline takes {MAX_CONFIGURATION}",
                        when,
                        "shorten it, or read it from a file of the build",
                    )
