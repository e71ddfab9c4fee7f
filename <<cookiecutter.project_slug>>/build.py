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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from deploy.errors import AwsError, DeployError, InvalidFilesError, Problem, UsageError, one_line
from deploy.exports import render, write_all
from deploy.parameters import Parameter, read_parameters
from deploy.registry import NEWEST, ModelPackage, choose_package, ensure_group, ensure_policy
from deploy.settings import Settings, read_settings
from deploy.stages import (
    STAGES,
    StageFile,
    compose,
    owned_problems,
    read_stage,
    stage_problems,
    template_problems,
)

ROOT = Path(__file__).resolve().parent
TEMPLATE = "cfn-sm-endpoint-template.yml"

EPILOG = """\
Reads from the environment: SAGEMAKER_PROJECT_NAME, SAGEMAKER_PROJECT_ID, SOURCE_MODEL_PACKAGE_GROUP_NAME,
AWS_REGION, SAGEMAKER_EXECUTION_ROLE_STAGING_NAME, SAGEMAKER_EXECUTION_ROLE_PROD_NAME, and, where they differ
from the default: ACCOUNT_STAGING_ID, ACCOUNT_PROD_ID, DEPLOY_TARGET (cloudformation or stackset),
MODEL_PACKAGE_ARN, EXPORT_TEMPLATE_NAME, EXPORT_TEMPLATE_STAGING_CONFIG, EXPORT_TEMPLATE_PROD_CONFIG.

Exit codes: 0 the files are written (or, with --check, are valid); 1 nothing was written, because no model
package is approved yet, the given one may not be deployed, a stage file breaks a rule, or AWS refused; 2
wrong use.
"""


@dataclass(frozen=True)
class Inputs:
    """The template and the stage files of the repository, read and found valid."""

    template: str
    declared: dict[str, Parameter]
    stages: dict[str, StageFile]


def read_inputs(root: Path, settings: Settings | None = None) -> Inputs:
    """Read and check everything that needs no AWS. Raises InvalidFilesError with all problems of all files.

    With `settings`, the values that the build itself passes are checked against the template too.
    """
    template, problems = _read(root, TEMPLATE)
    declared, found = read_parameters(template, TEMPLATE) if not problems else ({}, [])
    problems += found
    if not problems:
        problems += template_problems(declared, TEMPLATE)
    usable = not problems
    known = instance_types() if usable else None
    stages: dict[str, StageFile] = {}
    for stage in STAGES:
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


@cache
def instance_types() -> frozenset[str]:
    """Return the instance types for endpoints that the installed botocore knows; calls nothing."""
    from botocore.loaders import create_loader

    model = create_loader().load_service_model("sagemaker", "service-2")
    return frozenset(model["shapes"]["ProductionVariantInstanceType"]["enum"])


def build(settings: Settings, root: Path, output: Path, client: Any) -> dict[str, Any]:
    """Do the whole build and return what --json prints. Raises DeployError, having written nothing."""
    inputs = read_inputs(root, settings)
    tags = {"sagemaker:project-name": settings.project_name, "sagemaker:project-id": settings.project_id}
    description = f"Models of the SageMaker project {settings.project_name}"
    group = ensure_group(client, settings.group_name, description, tags)
    policy = ensure_policy(
        client, group, [account or group.account for account in settings.accounts.values()]
    )
    package = choose_package(client, group, settings.model_package_arn)
    files = _files(settings, inputs, package)
    try:
        write_all({output / path: text for path, text in files.items()})
    except OSError as error:
        raise DeployError(f"Cannot write the files of the build: {error}") from error
    return {
        "outcome": "built",
        "model_package_arn": package.arn,
        "chosen": package.chosen,
        "model_package_group": {
            "name": group.name,
            "arn": group.arn,
            "created": group.created,
            "policy": policy,
        },
        "deploy_target": settings.target,
        "files": [str(output / path) for path in files],
    }


def _files(settings: Settings, inputs: Inputs, package: ModelPackage) -> dict[Path, str]:
    files = {settings.template_file: inputs.template}
    problems: list[Problem] = []
    for stage in STAGES:
        owned = {**settings.owned(stage), "ModelPackageName": package.arn}
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
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser.parse_args(arguments)


def _act(options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    if options.check:
        if options.model_package_arn is not None:
            raise UsageError("--check looks at no model package: leave --model-package-arn out")
        inputs = read_inputs(ROOT)
        return {"outcome": "valid", "files": [stage.file for stage in inputs.stages.values()]}
    settings = read_settings(environment)
    if options.model_package_arn is not None:
        settings = replace(settings, model_package_arn=options.model_package_arn.strip())
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        retries = Config(
            retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60
        )
        client = boto3.client("sagemaker", region_name=settings.region, config=retries)
        return build(settings, ROOT, options.output, client)
    except (BotoCoreError, ClientError) as error:
        raise AwsError(one_line(error)) from error


def _summary(result: dict[str, Any]) -> str:
    if result["outcome"] == "valid":
        return f"Valid: {', '.join(result['files'])}"
    group = result["model_package_group"]
    return "\n".join(
        [
            f"Model package  {result['model_package_arn']} ({result['chosen']})",
            f"Group          {group['name']} ({'created' if group['created'] else 'found'})",
            f"Policy         {group['policy']}",
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
