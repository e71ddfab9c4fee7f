"""Makes what the deploy pipeline deploys: endpoint template and stage configurations; deploys nothing itself.

It checks the stage files against the template, makes sure that the model package group exists and that the
stages' accounts may read it, chooses the model package, and writes the files. See README.md, "What a build
does".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from deploy.errors import (
    AwsError,
    DeployError,
    InvalidFilesError,
    NotDeployableError,
    Problem,
    UsageError,
    one_line,
)
from deploy.exports import render, write_all
from deploy.parameters import Parameter, read_parameters
from deploy.registry import (
    NEWEST,
    Baseline,
    Group,
    ModelPackage,
    choose_package,
    earlier_package,
    ensure_group,
    ensure_policy,
    find_baseline,
)
from deploy.settings import Project, Settings, read_answers, read_project, read_settings
from deploy.stages import (
    StageFile,
    compose,
    monitored,
    owned_problems,
    read_stage,
    shadow_of,
    stage_problems,
    template_problems,
)

ROOT = Path(__file__).resolve().parent
TEMPLATE = "cfn-sm-endpoint-template.yml"

EPILOG = """\
Reads from the environment: SAGEMAKER_PROJECT_NAME, SAGEMAKER_PROJECT_ID, SOURCE_MODEL_PACKAGE_GROUP_NAME,
AWS_REGION, for each stage (STAGING and PROD, or DEV, PREPROD and PROD, as seed.json says)
SAGEMAKER_EXECUTION_ROLE_<STAGE>_NAME, and, where they differ from the default: ACCOUNT_<STAGE>_ID,
EXPORT_TEMPLATE_<STAGE>_CONFIG, EXPORT_TEMPLATE_NAME, DEPLOY_TARGET (that of seed.json), MODEL_PACKAGE_ARN,
DRIFT_EVENT_BUS_ARN.

With --rollback-to: SAGEMAKER_PROJECT_NAME, SAGEMAKER_PROJECT_ID and AWS_REGION alone.

Exit codes: 0 the files are written (with --check: are valid; with --rollback-to: the pipeline has started);
1 nothing was written or started, because no model package is approved yet, the given one may not be deployed,
a stage file breaks a rule, or AWS refused; 2 wrong use.
"""


@dataclass(frozen=True)
class Inputs:
    """The template and the stage files of the repository, read and found valid."""

    template: str
    declared: dict[str, Parameter]
    stages: dict[str, StageFile]


def read_inputs(
    root: Path, names: Sequence[str], settings: Settings | None = None, model: Any = None
) -> Inputs:
    """Read and check everything that needs no AWS. Raises InvalidFilesError with all problems of all files.

    `names` are the stages. With `settings`, the values that the build itself passes are checked against the
    template too. `model` is SageMaker's in botocore, for who has loaded it: see `instance_types`.
    """
    template, problems = _read(root, TEMPLATE)
    declared, found = read_parameters(template, TEMPLATE) if not problems else ({}, [])
    problems += found
    if not problems:
        problems += template_problems(declared, TEMPLATE)
    usable = not problems
    known = instance_types(model) if usable else None
    stages: dict[str, StageFile] = {}
    for stage in names:
        name = f"{stage}-config-template.json"
        text, unreadable = _read(root, name)
        stages[stage], malformed = read_stage(text, name) if not unreadable else (StageFile(name), [])
        problems += unreadable + malformed
        # Without the template's declarations, or with a file that cannot be read, the rest would be noise.
        if usable and not unreadable and not any(p.parameter == "the file" for p in malformed):
            problems += stage_problems(stages[stage], declared, known)
            problems += owned_problems(settings.owned(stage), declared, name) if settings else []
    if problems:
        raise InvalidFilesError(problems)
    return Inputs(template, declared, stages)


def _read(root: Path, name: str) -> tuple[str, list[Problem]]:
    try:
        return (root / name).read_text(encoding="utf-8"), []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        return "", [Problem(name, "the file", f"cannot be read: {reason}")]


# Parameter of an endpoint template -> what the API calls the instance types that it may be.
_INSTANCE_TYPES = {
    "EndpointInstanceType": "ProductionVariantInstanceType",
    "TransformInstanceType": "TransformInstanceType",
}


def instance_types(model: Any = None) -> dict[str, frozenset[str]]:
    """Return the instance types that the installed botocore knows, by parameter; calls nothing.

    `model` is the service model of a client of SageMaker; without one it is read, which takes a while.
    """
    model = model or _service_model()
    return {name: frozenset(model.shape_for(shape).enum) for name, shape in _INSTANCE_TYPES.items()}


@cache
def _service_model() -> Any:
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    return ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def build(settings: Settings, root: Path, output: Path, client: Any) -> dict[str, Any]:
    """Do the whole build and return what --json prints. Raises DeployError, having written nothing."""
    inputs = read_inputs(root, settings.stages, settings, client.meta.service_model)
    tags = {"sagemaker:project-name": settings.project_name, "sagemaker:project-id": settings.project_id}
    description = f"Models of the SageMaker project {settings.project_name}"
    group = ensure_group(client, settings.group_name, description, tags)
    policy = ensure_policy(
        client, group, [account or group.account for account in settings.accounts.values()]
    )
    package = choose_package(client, group, settings.model_package_arn)
    served = {
        stage: _shadowed(client, group, inputs.stages[stage].file, version) if version else package
        for stage in settings.stages
        for version in [shadow_of(inputs.stages[stage], inputs.declared)]
    }
    baselines = {
        stage: find_baseline(client, served[stage])
        for stage in settings.stages
        if monitored(inputs.stages[stage], inputs.declared)
    }
    files = _files(settings, inputs, package, served, baselines)
    try:
        write_all({output / path: text for path, text in files.items()})
    except OSError as error:
        raise DeployError(f"Cannot write the files of the build: {error}") from error
    return {
        "outcome": "built",
        "model_package_arn": package.arn,
        "chosen": package.chosen,
        "shadow_of": {stage: other.arn for stage, other in served.items() if other.arn != package.arn},
        "model_package_group": {
            "name": group.name,
            "arn": group.arn,
            "created": group.created,
            "policy": policy,
        },
        "deploy_target": settings.target,
        "files": [str(output / path) for path in files],
    }


def _shadowed(client: Any, group: Group, file: str, version: int) -> ModelPackage:
    """Return the version that a stage file keeps in service. Raises InvalidFilesError if it may not be."""
    try:
        return choose_package(client, group, f"{group.package_prefix}{version}", "is rejected")
    except NotDeployableError as error:
        raise InvalidFilesError([Problem(file, "ShadowOfVersion", str(error), str(version))]) from error


def roll_back(project: Project, version: str, sagemaker: Any, codepipeline: Any) -> dict[str, Any]:
    """Start the deploy pipeline with an approved model package, which it takes through every stage.

    Raises DeployError, having started nothing, if that version may not be deployed.
    """
    package, newest = earlier_package(sagemaker, project.group, version)
    started = codepipeline.start_pipeline_execution(
        name=project.pipeline, variables=[{"name": "ModelPackageArn", "value": package}]
    )
    return {
        "outcome": "rollback-started",
        "model_package_arn": package,
        "newest_approved": newest,
        "pipeline": project.pipeline,
        "execution": started["pipelineExecutionId"],
    }


def _files(
    settings: Settings,
    inputs: Inputs,
    package: ModelPackage,
    served: Mapping[str, ModelPackage],
    baselines: Mapping[str, Baseline | None],
) -> dict[Path, str]:
    """Return the files.

    `served` has the model package that each stage answers with: the chosen one, or the one that it is the
    shadow of; `baselines` has those of monitored stages, None for a package that was registered without.
    """
    files = {settings.template_file: inputs.template}
    problems: list[Problem] = []
    for stage in settings.stages:
        owned = {**settings.owned(stage), "ModelPackageName": served[stage].arn}
        if served[stage].arn != package.arn:
            owned["ShadowModelPackageName"] = package.arn
        if stage in baselines:
            baseline = baselines[stage]
            if baseline is None:
                rule = f"needs a baseline, and {served[stage].arn} has none: train again, or set it to off"
                problems.append(Problem(inputs.stages[stage].file, "MonitorSchedule", rule))
            else:
                owned |= baseline.owned()
        problems += owned_problems(owned, inputs.declared, TEMPLATE)
        files[settings.stage_files[stage]] = render(
            compose(inputs.stages[stage], inputs.declared, owned), settings.target
        )
    if problems:
        raise InvalidFilesError(problems)
    return files


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the endpoint template and stage configurations for the approved model package.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model-package-arn", metavar="ARN", help=f"what to deploy; '{NEWEST}': the newest approved one"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)"
    )
    parser.add_argument(
        "--check", action="store_true", help="only check the stage files; needs neither AWS nor environment"
    )
    parser.add_argument(
        "--rollback-to",
        metavar="VERSION",
        help="write nothing; have the pipeline deploy this approved version (a number, or an ARN) again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser.parse_args(arguments)


def _act(options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    if options.check:
        if options.model_package_arn is not None or options.rollback_to is not None:
            raise UsageError(
                "--check looks at no model package: leave --model-package-arn and --rollback-to out"
            )
        inputs = read_inputs(ROOT, read_answers(ROOT).stages)
        return {"outcome": "valid", "files": [stage.file for stage in inputs.stages.values()]}
    if options.rollback_to is not None:
        if options.model_package_arn is not None or options.output != Path():
            raise UsageError("--rollback-to starts the pipeline: leave --model-package-arn and --output out")
        project = read_project(environment)
        return _with_aws(
            project.region,
            lambda client: roll_back(
                project, options.rollback_to.strip(), client("sagemaker"), client("codepipeline")
            ),
        )
    settings = read_settings(environment, read_answers(ROOT))
    if options.model_package_arn is not None:
        settings = replace(settings, model_package_arn=options.model_package_arn.strip())
    return _with_aws(
        settings.region, lambda client: build(settings, ROOT, options.output, client("sagemaker"))
    )


def _with_aws(region: str, act: Callable[[Callable[[str], Any]], dict[str, Any]]) -> dict[str, Any]:
    """Act with what makes clients; they try again, each time later, what AWS throttles or fails at."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    retries = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60
    )
    try:
        make: Any = boto3.client  # its types know services by literal names alone
        return act(lambda service: make(service, region_name=region, config=retries))
    except (BotoCoreError, ClientError) as error:
        raise AwsError(one_line(error)) from error


def _summary(result: dict[str, Any]) -> str:
    if result["outcome"] == "valid":
        return f"Valid: {', '.join(result['files'])}"
    if result["outcome"] == "rollback-started":
        package, newest = result["model_package_arn"], result["newest_approved"]
        lines = [f"Model package  {package}", f"Started        {result['pipeline']}, {result['execution']}"]
        if newest != package:
            lines.append(f"Mind           the next commit deploys {newest} again, unless you reject it")
        return "\n".join(lines)
    group = result["model_package_group"]
    return "\n".join(
        [
            f"Model package  {result['model_package_arn']} ({result['chosen']})",
            f"Group          {group['name']} ({'created' if group['created'] else 'found'})",
            f"Policy         {group['policy']}",
            *(f"Shadow         in {stage}, of {arn}" for stage, arn in result["shadow_of"].items()),
            *(f"Written        {file}" for file in result["files"]),
        ]
    )


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _arguments(arguments)
    try:
        result = _act(options, os.environ if environment is None else environment)
    except DeployError as error:
        if options.json:
            print(json.dumps({"outcome": error.outcome, "message": str(error), **error.details()}))
        print(f"build.py: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result) if options.json else _summary(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
