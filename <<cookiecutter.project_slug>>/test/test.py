"""Tests the endpoint of a deployment; always leaves its results: JSON, JUnit and a page. Deploys nothing."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
# The folder of this file comes first by itself; deploy/ stands beside it.
sys.path.insert(1, str(HERE.parent))

from checks import Following, Subject, run  # noqa: E402
from deploy.errors import DeployError, UsageError, one_line  # noqa: E402
from deploy.exports import Export, read_export, write_all  # noqa: E402
from endpoint import INVOKERS, Connection, invoker  # noqa: E402
from expectations import FILE, ExpectationsError, read_expectations  # noqa: E402
from report import ERROR, FAILED, PASSED, SKIPPED, Check, Report  # noqa: E402

DEFAULT_RESULTS = "test-results.json"
PAGE = "test-report.html"
DEFAULT_KIND = "real-time"
_STAGE_FILE = "-config-template.json"
_NEEDED = ("SageMakerProjectName", "SageMakerProjectId", "StageName", "ModelPackageName")

EPILOG = """\
Reads from the environment: BUILD_CONFIG (the stage's configuration as build.py wrote it; looked for in
$CODEBUILD_SRC_DIR_BuildArtifact first, if that is set), AWS_REGION, and, where wanted: EXPORT_TEST_RESULTS
(default: test-results.json), STAGE (must be the stage of BUILD_CONFIG), DEPLOY_ROLE_ARN (a role to look at
the endpoint with) and DEPLOY_ROLE_EXTERNAL_ID (what that role asks for), NEXT_STAGE and NEXT_DEPLOY_ROLE_ARN
(the same of the stage after this one, to compare with). What is tested stands in test/expectations.json.

Exit codes: 0 every check passed; 1 a check failed or could not be made; 2 wrong use or bad input. The results
are written in every case.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        description="Test the deployed endpoint of a stage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="instead of BUILD_CONFIG")
    parser.add_argument("--results", metavar="FILE", help="instead of EXPORT_TEST_RESULTS")
    parser.add_argument(
        "--junit", metavar="FILE", help="the JUnit file (default: beside the results, ending in .xml)"
    )
    parser.add_argument("--page", metavar="FILE", help=f"the HTML page (default: {PAGE} beside the results)")
    parser.add_argument(
        "--timeout", type=_seconds, default=900.0, metavar="SECONDS", help="wait at most (default: 900)"
    )
    parser.add_argument(
        "--poll", type=_seconds, default=10.0, metavar="SECONDS", help="look every (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print the results on standard output")
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most 86400, not {text}")
    return value


def _config_path(options: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    name = options.config or environment.get("BUILD_CONFIG", "")
    if not name:
        raise UsageError("BUILD_CONFIG is not set: expected the stage's configuration as build.py wrote it")
    artifact = environment.get("CODEBUILD_SRC_DIR_BuildArtifact", "")
    candidate = Path(artifact, name) if artifact else Path(name)
    return candidate if candidate.is_file() else Path(name)


def _read_config(path: Path, stage: str) -> Export:
    try:
        export = read_export(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; run build.py first, or set BUILD_CONFIG"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    missing = [name for name in _NEEDED if not export.parameters.get(name)]
    if missing:
        raise UsageError(f"{path}: lacks {', '.join(missing)}: is it a file that build.py wrote?")
    if stage and export.parameters["StageName"] != stage:
        raise UsageError(f"{path}: is for {export.parameters['StageName']}, but STAGE is {stage}")
    return export


def _answers() -> dict[str, Any]:
    path = HERE.parent / "seed.json"
    try:
        answers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["answers"]
        return {"inference": DEFAULT_KIND, **answers, "prediction": answers["prediction"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no answers.prediction in it: {one_line(error)}") from error


def _test(options: argparse.Namespace, environment: Mapping[str, str], report: Report) -> None:
    parameters, answers = _fill_in(options, environment, report), _answers()
    kind = answers["inference"]
    if kind not in INVOKERS:
        raise UsageError(
            f"seed.json: there is no test for inference {kind!r}; there is {', '.join(INVOKERS)}"
        )
    stages = [path.name.removesuffix(_STAGE_FILE) for path in HERE.parent.glob(f"*{_STAGE_FILE}")]
    try:
        expected = read_expectations(HERE / FILE, answers["prediction"], report.stage, stages)
    except ExpectationsError as error:
        report.checks.append(Check("expectations", FAILED, str(error)))
        return
    from botocore.exceptions import BotoCoreError, ClientError

    region, role = environment.get("AWS_REGION") or None, environment.get("DEPLOY_ROLE_ARN", "")
    following = environment.get("NEXT_STAGE", "")
    external_id = environment.get("DEPLOY_ROLE_EXTERNAL_ID", "")
    home, there = Connection(region), Connection(region, role, expected.timeout_seconds, external_id)
    try:
        there.client("sagemaker")
    except (BotoCoreError, ClientError, ValueError) as error:
        report.checks.append(Check("connection", ERROR, one_line(error)))
        return
    subject = Subject(
        endpoint=report.endpoint,
        stage=report.stage,
        kind=kind,
        parameters=parameters,
        expectations=expected,
        folder=HERE,
        invoker=invoker(kind, there, report.endpoint, parameters),
        home=home if role else there,
        following=Following(
            following,
            report.endpoint.removesuffix(report.stage) + following,
            Connection(
                region, environment.get("NEXT_DEPLOY_ROLE_ARN", ""), expected.timeout_seconds, external_id
            ),
        )
        if following
        else None,
        timeout_seconds=options.timeout,
        poll_seconds=options.poll,
    )
    found = run(subject, report)
    if any(HERE.glob("test_*.py")):
        # Here, because a repository without tests of its own pays nothing for them.
        import own

        if found.silent or not found.ready:
            report.checks.append(Check(own.NAME, SKIPPED, found.silent or "the endpoint is not in service"))
        else:
            tested = own.Endpoint(subject.invoker, report.endpoint, report.stage, report.model_package)
            report.checks += own.run(HERE, tested)


def _fill_in(options: argparse.Namespace, environment: Mapping[str, str], report: Report) -> dict[str, str]:
    report.stage = environment.get("STAGE", "")
    parameters = _read_config(_config_path(options, environment), report.stage).parameters
    report.stage = parameters["StageName"]
    report.endpoint = "-".join(
        parameters[name] for name in ("SageMakerProjectName", "SageMakerProjectId", "StageName")
    )
    report.model_package = parameters["ModelPackageName"]
    return parameters


def _terminated(number: int, frame: Any) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line; return its exit code. Whatever happens, the results are written first."""
    environment = os.environ if environment is None else environment
    report = Report(started=datetime.now(UTC).isoformat(timespec="seconds"))
    began = time.perf_counter()
    code = 0
    options = argparse.Namespace(results=None, junit=None, page=None, json=False)
    try:
        options = _options(arguments)
        # First of all, for a run that is killed.
        unfinished = Report(report.started, checks=[Check("run", ERROR, "the run did not come to its end")])
        _write(options, environment, unfinished, quietly=True)
        _test(options, environment, report)
    except DeployError as error:
        code = error.exit_code
        report.checks.append(Check("input", ERROR, str(error)))
    except KeyboardInterrupt:
        report.checks.append(Check("run", ERROR, "the run was interrupted"))
    except Exception as error:  # the results must be written whatever goes wrong
        report.checks.append(
            Check("run", ERROR, f"unexpected {one_line(error)}; this is a defect of the test itself")
        )
    report.seconds = time.perf_counter() - began
    written = _write(options, environment, report)
    _print(options, report)
    return code or (0 if report.outcome == PASSED and written else 1)


def _write(
    options: argparse.Namespace, environment: Mapping[str, str], report: Report, quietly: bool = False
) -> bool:
    results = Path(options.results or environment.get("EXPORT_TEST_RESULTS") or DEFAULT_RESULTS)
    junit = Path(options.junit) if options.junit else results.with_suffix(".xml")
    page, drawn = Path(options.page) if options.page else results.with_name(PAGE), _page(report)
    files = {results: report.to_json(), junit: report.to_junit(), page: drawn}
    try:
        write_all(files)
    except OSError as error:
        if not quietly:
            print(f"test.py: cannot write the results: {error}", file=sys.stderr)
        return False
    return True


def _page(report: Report) -> str:
    import page

    try:
        return page.render(report)
    except Exception as error:  # the results are worth more than their picture
        report.checks.append(Check("page", ERROR, f"the plots could not be drawn: {one_line(error)}"))
        return page.render(replace(report, figures={}))


def _print(options: argparse.Namespace, report: Report) -> None:
    if options.json:
        print(report.to_json(), end="")
        return
    for check in report.checks:
        # An answer may hold halves of characters, which no terminal takes.
        line = f"{check.outcome:8}{check.name}: {check.message}"
        print(line.encode("utf-8", "backslashreplace").decode())
    print(f"{report.outcome}: {report.endpoint or 'no endpoint'} in {report.seconds:.1f} s")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main())
