"""The command line of the training pipeline: define it, bring it to SageMaker, start it, watch it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy.errors import ACT_FAILED, AwsError, DeployError, UsageError, one_line
from training.project import DRIFT, Project, read_project

EPILOG = """\
Reads from the environment: SAGEMAKER_PROJECT_NAME, SAGEMAKER_PROJECT_ID, ARTIFACT_BUCKET, ARTIFACT_KEY_ARN,
SAGEMAKER_PIPELINE_ROLE_ARN, SOURCE_MODEL_PACKAGE_GROUP_NAME, AWS_REGION and, for the record, COMMIT_ID
and TRAIN_REASON (commit, or drift, which trains even if nothing has changed).
--definition and upsert need the SageMaker SDK (requirements-training.txt), the others boto3 alone. What the
SDK reports about its use to AWS is off; SAGEMAKER_SDK_TELEMETRY=on turns it on.

Exit codes: 0 done, also when there was nothing to do or the time to wait is over; 1 AWS refused, the
definition is not valid, or the execution did not succeed; 2 wrong use.
"""


def client(service: str, project: Project) -> Any:
    """Return a client of boto3 for the project's region."""
    import boto3
    from botocore.config import Config

    patient = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60
    )
    make: Any = boto3.client
    return make(service, region_name=project.region, config=patient)


Result = tuple[dict[str, Any], str, int]
"""What --json prints, what is printed without it, and the exit code."""


def _definition(project: Project, _: argparse.Namespace) -> Result:
    from training.describing import describe

    described = describe(project)
    return described.definition, json.dumps(described.definition, indent=2), 0


def _upsert(project: Project, _: argparse.Namespace) -> Result:
    from training.describing import describe
    from training.publishing import upsert

    done = upsert(client("sagemaker", project), client("s3", project), describe(project))
    lines = [
        f"Pipeline  {done.name} ({done.outcome})",
        f"Group     {project.group} ({done.group})",
        *(f"Uploaded  s3://{project.bucket}/{key}" for key in done.uploaded),
    ]
    return asdict(done), "\n".join(lines), 0


def _start(project: Project, options: argparse.Namespace) -> Result:
    from training import runs

    sagemaker = client("sagemaker", project)
    # Requests that drift ask for a training whether or not anything has changed since the last one.
    if_changed = options.if_changed and project.reason != DRIFT
    arn = runs.already(sagemaker, project) if if_changed else None
    started = arn is None
    arn = arn or runs.start(sagemaker, project, _parameters(options.parameter))
    _say(f"{'Started' if started else 'Nothing has changed since'} {arn}")
    if not options.wait:
        return {"outcome": "started" if started else "unchanged", "execution_arn": arn}, "", 0
    at_most = None if options.at_most is None else options.at_most * 60
    execution = runs.watch(sagemaker, arn, _say, every=options.every, at_most=at_most)
    if options.report:
        from training.reporting import to_junit

        options.report.write_text(to_junit(execution, project.pipeline), encoding="utf-8")
    return _outcome(execution, "started" if started else "unchanged")


def _status(project: Project, options: argparse.Namespace) -> Result:
    from training import runs

    sagemaker = client("sagemaker", project)
    execution = runs.look(sagemaker, options.execution or runs.newest_execution(sagemaker, project))
    result, text, _ = _outcome(execution, "found")
    return result, text, 0


def _outcome(execution: Any, outcome: str) -> Result:
    from training import runs

    text = runs.table(execution)
    if execution.running:
        text += "\nIt is still running: `python -m training.pipeline status` says how it goes on"
    failed = not execution.running and not execution.succeeded
    if failed:
        text += f"\nThe execution did not succeed: {execution.failure()}"
    return {"outcome": outcome, **execution.to_dict()}, text, ACT_FAILED if failed else 0


def _parameters(words: Sequence[str]) -> dict[str, str]:
    """Return what --parameter gives. Raises UsageError for a word without an equals sign."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"--parameter {word}: expected Name=value, such as Rounds=100")
        values[name] = value
    return values


def _say(line: str) -> None:
    """Tell about progress on standard error, at once: a build's log shows it as it happens."""
    print(line, file=sys.stderr, flush=True)


def _minutes(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.pipeline",
        description="Make, start and watch the SageMaker pipeline that trains and registers a model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--definition", action="store_true", help="print the definition as JSON; calls no AWS"
    )
    acts = parser.add_subparsers(dest="act", metavar="ACT")
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    acts.add_parser("upsert", parents=[both], help="upload code and data, create or update the pipeline")
    start = acts.add_parser("start", parents=[both], help="start an execution")
    start.add_argument("--wait", action="store_true", help="follow it; exit code 1 unless it succeeds")
    start.add_argument("--at-most", type=_minutes, metavar="MINUTES", help="follow it only for so long")
    start.add_argument(
        "--every", type=_minutes, default=15.0, metavar="SECONDS", help="look at least that often"
    )
    start.add_argument(
        "--if-changed",
        action="store_true",
        help="not if the newest execution ran just this, and did not fail",
    )
    start.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value of a parameter; repeat it",
    )
    start.add_argument(
        "--report", type=Path, metavar="FILE", help="write the steps as JUnit XML (with --wait)"
    )
    status = acts.add_parser("status", parents=[both], help="show the newest execution")
    status.add_argument("--execution", metavar="ARN", help="show this one")
    options = parser.parse_args(arguments)
    if options.definition == bool(options.act):
        parser.error("expected either --definition or one of upsert, start, status")
    if options.act == "start" and not options.wait and (options.report or options.at_most):
        parser.error("--report and --at-most go with --wait")
    return options


_ACTS: dict[str | None, Callable[[Project, argparse.Namespace], Result]] = {
    None: _definition,
    "upsert": _upsert,
    "start": _start,
    "status": _status,
}


def _act(project: Project, options: argparse.Namespace) -> Result:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _ACTS[options.act](project, options)
    except (BotoCoreError, ClientError) as error:
        raise AwsError(one_line(error)) from error


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _read_arguments(arguments)
    as_json = getattr(options, "json", False)
    try:
        result, text, code = _act(read_project(os.environ if environment is None else environment), options)
    except DeployError as error:
        if as_json:
            print(json.dumps({"outcome": error.outcome, "message": str(error)}))
        print(f"training.pipeline: {error}", file=sys.stderr)
        return error.exit_code
    if as_json or text:
        print(json.dumps(result) if as_json else text)
    return code


if __name__ == "__main__":
    sys.exit(main())
