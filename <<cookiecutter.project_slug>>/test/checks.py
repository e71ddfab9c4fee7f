"""The checks of a deployed endpoint, in order: each adds to the report, none raises for a bad endpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from endpoint import (
    ROLLING_BACK,
    Clients,
    InvocationError,
    NotInServiceError,
    Ready,
    Served,
    invoke,
    served,
    wait_until_in_service,
)
from expectations import Expectations, answer_problem
from report import ERROR, FAILED, PASSED, SKIPPED, Check, Report

MAX_FAILED_INVOCATIONS = 5
"""After so many the latency check stops: the endpoint is broken, and more of the same says no more."""


@dataclass(frozen=True)
class Subject:
    """What is tested: the endpoint of a stage, and the parameters that the build deployed to it."""

    clients: Clients
    endpoint: str
    parameters: Mapping[str, str]
    expectations: Expectations
    timeout_seconds: float
    poll_seconds: float


Outcome = tuple[str, str, dict[str, Any]]
"""The outcome of a check, its one-line message and its details."""


def run(subject: Subject, report: Report) -> None:
    """Make every check, in order; what an earlier failure hides is skipped, with the reason."""
    ready: list[Ready] = []
    runs: list[Served] = []
    _checked(report, "in-service", lambda: _in_service(subject, ready))
    if not ready:
        _skip_rest(report, subject, "the endpoint is not in service")
        return
    _checked(report, "update-not-rolled-back", lambda: _not_rolled_back(ready[0]))
    _checked(
        report,
        "serves-the-model-package-of-the-build",
        lambda: _serves_model_package(subject, ready[0], runs),
    )
    _checked(report, "runs-the-configuration-of-the-build", lambda: _runs_configuration(subject, runs))
    _check_answers(report, subject)


def _checked(report: Report, name: str, check: Callable[[], Outcome]) -> None:
    """Make one check; an error of AWS ends this check and not the run."""
    from botocore.exceptions import BotoCoreError, ClientError

    from deploy.errors import one_line

    began = time.perf_counter()
    try:
        outcome, message, details = check()
    except (BotoCoreError, ClientError) as error:
        outcome, message, details = ERROR, one_line(error), {}
    report.checks.append(Check(name, outcome, message, time.perf_counter() - began, details))


def _skip_rest(report: Report, subject: Subject, reason: str) -> None:
    names = [
        "update-not-rolled-back",
        "serves-the-model-package-of-the-build",
        "runs-the-configuration-of-the-build",
    ]
    names += [f"payload {payload.file}" for payload in subject.expectations.payloads]
    names += ["latency"]
    report.checks += [Check(name, SKIPPED, reason) for name in names]


def _in_service(subject: Subject, ready: list[Ready]) -> Outcome:
    try:
        found = wait_until_in_service(
            subject.clients.sagemaker, subject.endpoint, subject.timeout_seconds, subject.poll_seconds
        )
    except NotInServiceError as error:
        return FAILED, str(error), {}
    ready.append(found)
    return PASSED, f"{subject.endpoint} is in service", {"seen": list(found.seen)}


def _not_rolled_back(ready: Ready) -> Outcome:
    """An endpoint whose update failed is in service again with what it ran before, and keeps the reason."""
    reason = ready.description.get("FailureReason")
    if ROLLING_BACK in ready.seen or reason:
        return FAILED, f"the last update was rolled back: {reason or 'no reason given'}", {}
    return PASSED, "no sign of a rolled-back update", {}


def _serves_model_package(subject: Subject, ready: Ready, runs: list[Served]) -> Outcome:
    runs.append(served(subject.clients.sagemaker, ready.description))
    wanted, found = subject.parameters["ModelPackageName"], runs[0].model_packages
    details = {"expected": wanted, "served": found}
    # SageMaker does not keep the case of a group's name in an ARN.
    if found and all(package.lower() == wanted.lower() for package in found):
        return PASSED, f"serves {wanted}", details
    return FAILED, f"serves {', '.join(found) or 'no model'} instead of {wanted}", details


def _runs_configuration(subject: Subject, runs: list[Served]) -> Outcome:
    if not runs:
        return SKIPPED, "what the endpoint runs could not be read", {}
    differences = {}
    for parameter, read in _CONFIGURATION.items():
        if parameter in subject.parameters:
            wanted, found = _normal(subject.parameters[parameter]), _normal(read(runs[0]))
            if wanted != found:
                differences[parameter] = {"expected": wanted, "found": found}
    if differences:
        shown = "; ".join(
            f"{name} is {d['found'] or 'none'} instead of {d['expected'] or 'none'}"
            for name, d in differences.items()
        )
        return FAILED, shown, differences
    return PASSED, "the endpoint configuration is that of the build", {}


def _normal(value: Any) -> str:
    """Return a value so that what CloudFormation was told and what SageMaker says compare equal."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(sorted(map(str, value)))
    return ",".join(sorted(part.strip() for part in str(value).split(",")))


def _variant(runs: Served, name: str) -> Any:
    return runs.config["ProductionVariants"][0].get(name, "")


def _captured(runs: Served) -> Any:
    capture = runs.config.get("DataCaptureConfig") or {}
    return capture.get("InitialSamplingPercentage", 0) if capture.get("EnableCapture", bool(capture)) else 0


def _vpc(runs: Served, name: str) -> Any:
    return (runs.models[0].get("VpcConfig") or {}).get(name, [])


# Parameter of the endpoint template -> where SageMaker says what is in force.
_CONFIGURATION: dict[str, Callable[[Served], Any]] = {
    "EndpointInstanceType": lambda runs: _variant(runs, "InstanceType"),
    "EndpointInstanceCount": lambda runs: _variant(runs, "InitialInstanceCount"),
    "DataCapturePercentage": _captured,
    "KmsKeyArn": lambda runs: runs.config.get("KmsKeyId") or "",
    "EnableNetworkIsolation": lambda runs: bool(runs.models[0].get("EnableNetworkIsolation")),
    "SubnetIds": lambda runs: _vpc(runs, "Subnets"),
    "SecurityGroupIds": lambda runs: _vpc(runs, "SecurityGroupIds"),
}


def _check_answers(report: Report, subject: Subject) -> None:
    for file, reason in subject.expectations.broken.items():
        report.checks.append(Check(f"payload {file}", FAILED, reason))
    silent = ""
    for payload in subject.expectations.payloads:
        name = f"payload {payload.file}"
        if silent:
            report.checks.append(Check(name, SKIPPED, silent))
            continue
        began = time.perf_counter()
        try:
            answer = invoke(subject.clients.runtime, subject.endpoint, payload.content_type, payload.body)
        except InvocationError as error:
            report.checks.append(Check(name, FAILED, str(error), time.perf_counter() - began))
            silent = f"the endpoint did not answer {payload.file}" if error.timed_out else ""
            continue
        problem = answer_problem(subject.expectations, payload, answer.content_type, answer.body)
        message = problem or f"{payload.rows} rows answered as expected"
        report.checks.append(Check(name, FAILED if problem else PASSED, message, answer.seconds))
    if silent or not subject.expectations.payloads:
        report.checks.append(Check("latency", SKIPPED, silent or "there is no payload to send"))
    else:
        _checked(report, "latency", lambda: _latency(subject))


def _latency(subject: Subject) -> Outcome:
    """Send the payloads in turn, one at a time; every one must be answered, and p95 keep to its bound."""
    seconds: list[float] = []
    failures: list[str] = []
    payloads, wanted = subject.expectations.payloads, subject.expectations
    sent = 0
    while sent < wanted.invocations and len(failures) < MAX_FAILED_INVOCATIONS:
        payload = payloads[sent % len(payloads)]
        sent += 1
        try:
            seconds.append(
                invoke(subject.clients.runtime, subject.endpoint, payload.content_type, payload.body).seconds
            )
        except InvocationError as error:
            failures.append(f"{payload.file}: {error}")
            if error.timed_out:
                break
    details: dict[str, Any] = {"invocations": sent, "failed": len(failures)}
    if seconds:
        details |= {
            f"p{share}_milliseconds": round(percentile(seconds, share) * 1000, 1) for share in (50, 95)
        }
    if failures:
        return FAILED, f"{len(failures)} of {sent} invocations failed, the first with {failures[0]}", details
    p95, bound = details["p95_milliseconds"], wanted.p95_milliseconds
    text = f"p95 {p95:g} ms over {sent} invocations, one at a time"
    return (
        (PASSED, text, details)
        if p95 <= bound
        else (FAILED, f"{text}; at most {bound:g} ms are allowed", details)
    )


def percentile(values: list[float], share: int) -> float:
    """Return the smallest value that at least `share` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]
