"""The checks of a deployed endpoint, in order: each adds to the report, none raises for a bad endpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endpoint import (
    ROLLING_BACK,
    Answer,
    Connection,
    Invoker,
    NoAnswerError,
    NotInServiceError,
    Ready,
    Served,
    is_all,
    load,
    packages_of,
)
from expectations import BadInput, Expectations, Payload, answer_problem
from report import ERROR, FAILED, PASSED, SKIPPED, Check, Report

MAX_FAILED_INVOCATIONS = 5
"""After so many the latency check stops: the endpoint is broken, and more of the same says no more."""

IN = "in-service"
ROLLED_BACK = "update-not-rolled-back"
PACKAGE = "serves-the-model-package-of-the-build"
CONFIGURATION = "runs-the-configuration-of-the-build"
LATENCY = "latency"
QUALITY = "quality"
COMPARISON = "comparison-with-next-stage"
HEALTHY = "healthy-after-bad-input"

BAD_INPUT = "bad input"
"""With the name of each behind it."""

_A_JOB = "each would be a transform job of its own, which fails as a whole and tells no status"
# Kind of inference -> the checks that make no sense for it, each with the reason for the results.
NOT_FOR: dict[str, dict[str, str]] = {
    "real-time": {},
    "asynchronous": {LATENCY: "the time of an answer is that of the queue and of S3, not the model's"},
    "batch": {
        LATENCY: "a batch transform is not waited for request by request",
        COMPARISON: "it would take a second transform job, in the other stage",
        BAD_INPUT: _A_JOB,
        HEALTHY: _A_JOB,
    },
}


@dataclass(frozen=True)
class Following:
    """The stage that a model comes to next, which still has the one before."""

    stage: str
    endpoint: str
    connection: Connection


@dataclass(frozen=True)
class Subject:
    """What is tested: the endpoint of a stage, and what it must be."""

    endpoint: str
    stage: str
    kind: str
    parameters: Mapping[str, str]
    """What the build deployed."""
    expectations: Expectations
    folder: Path
    """Where expectations.json is."""
    invoker: Invoker
    home: Connection
    """The account that trains: its model registry and its bucket."""
    following: Following | None
    """What comes after this stage, if anything does and this run was told."""
    timeout_seconds: float
    poll_seconds: float


Outcome = tuple[str, str]
"""The outcome of a check, and its one-line message."""


@dataclass
class Found:
    """What the checks before have found, for those after them."""

    ready: Ready | None = None
    served: Served | None = None
    prepared: bool = False
    good: Payload | None = None
    """A payload that was answered as it should be."""
    silent: str = ""
    """Why nothing more is sent to the endpoint."""


def run(subject: Subject, report: Report) -> Found:
    """Make every check, in order; what an earlier failure hides is skipped, with the reason."""
    found = Found()
    not_for = NOT_FOR.get(subject.kind, {})
    for name, hidden, check in _plan(subject, report, found):
        reason = not_for.get(name) or not_for.get(name.partition(":")[0]) or hidden()
        if reason:
            report.checks.append(Check(name, SKIPPED, reason))
        else:
            _checked(report, name, check)
    return found


def _plan(
    subject: Subject, report: Report, found: Found
) -> list[tuple[str, Callable[[], str], Callable[[], Outcome]]]:
    """Return the checks: the name, why it has to be left out (empty: it is made), and how it is made."""

    def always() -> str:
        return ""

    def out_of_service() -> str:
        return "" if found.ready else "the endpoint is not in service"

    def unread() -> str:
        return out_of_service() or ("" if found.served else "what the endpoint runs could not be read")

    def silent() -> str:
        return out_of_service() or found.silent

    def sendable(one: Payload | BadInput) -> Callable[[], str]:
        return lambda: silent() or subject.invoker.declines(one.content_type)

    def without_payload() -> str:
        sent = any(not subject.invoker.declines(one.content_type) for one in subject.expectations.payloads)
        return silent() or ("" if sent else "there is no payload to send")

    def never_right() -> str:
        return silent() or ("" if found.good else "no payload was answered rightly before")

    return [
        (IN, always, lambda: _in_service(subject, found)),
        (ROLLED_BACK, out_of_service, lambda: _not_rolled_back(found)),
        (PACKAGE, out_of_service, lambda: _serves_model_package(subject, found)),
        (CONFIGURATION, unread, lambda: _runs_configuration(subject, found)),
        *(
            (f"payload {_short(file, subject)}", always, lambda reason=reason: (FAILED, reason))
            for file, reason in subject.expectations.broken.items()
        ),
        *(
            (
                f"payload {_short(one.file, subject)}",
                sendable(one),
                lambda one=one: _answers(subject, found, one),
            )
            for one in subject.expectations.payloads
        ),
        (LATENCY, without_payload, lambda: _latency(subject, report, found)),
        *_quality_plan(subject, report, found, silent),
        *(
            (f"{BAD_INPUT}: {one.name}", sendable(one), lambda one=one: _refuses(subject, found, one))
            for one in subject.expectations.bad_input
        ),
        *(
            [(HEALTHY, never_right, lambda: _healthy(subject, found))]
            if subject.expectations.bad_input
            else []
        ),
    ]


def _short(file: str, subject: Subject) -> str:
    """Return the name of a payload's file without its folders, if there is only one of that name."""
    expected = subject.expectations
    names = [Path(other).name for other in (*expected.broken, *(one.file for one in expected.payloads))]
    return Path(file).name if names.count(Path(file).name) == 1 else file


def _checked(report: Report, name: str, check: Callable[[], Outcome]) -> None:
    """Make one check; an error of AWS, or a defect of the check, ends this one and not the run."""
    from botocore.exceptions import BotoCoreError, ClientError

    from deploy.errors import one_line

    began = time.perf_counter()
    try:
        outcome, message = check()
    except (BotoCoreError, ClientError) as error:
        outcome, message = ERROR, one_line(error)
    except Exception as error:  # the other checks are worth making all the same
        outcome, message = ERROR, f"unexpected {one_line(error)}; this is a defect of the check itself"
    report.checks.append(Check(name, outcome, message, time.perf_counter() - began))


# -------------------------------------------------------------------------------- what is deployed


def _in_service(subject: Subject, found: Found) -> Outcome:
    try:
        found.ready = subject.invoker.wait(subject.timeout_seconds, subject.poll_seconds)
    except NotInServiceError as error:
        return FAILED, str(error)
    return PASSED, f"{subject.endpoint} is in service"


def _not_rolled_back(found: Found) -> Outcome:
    """An endpoint whose update failed is in service again with what it ran before, and keeps the reason."""
    assert found.ready is not None  # noqa: S101
    reason = found.ready.description.get("FailureReason")
    if ROLLING_BACK in found.ready.seen or reason:
        return FAILED, f"the last update was rolled back: {reason or 'no reason given'}"
    return PASSED, "no sign of a rolled-back update"


def _serves_model_package(subject: Subject, found: Found) -> Outcome:
    assert found.ready is not None  # noqa: S101
    found.served = subject.invoker.served(found.ready)
    wanted, packages = subject.parameters["ModelPackageName"], found.served.model_packages
    if not is_all(wanted, packages):
        return FAILED, f"serves {', '.join(packages) or 'no model'} instead of {wanted}"
    wanted_shadow, shadows = subject.parameters.get("ShadowModelPackageName", ""), found.served.shadows
    if not wanted_shadow and not shadows:
        return PASSED, f"serves {wanted}"
    packages = packages_of(shadows)
    if not is_all(wanted_shadow, packages):
        has, should = ", ".join(packages) or "no shadow", wanted_shadow or "no shadow"
        return FAILED, f"serves {wanted}, but has {has} beside it instead of {should}"
    return PASSED, f"serves {wanted}, with {wanted_shadow} as its shadow"


def _runs_configuration(subject: Subject, found: Found) -> Outcome:
    assert found.served is not None  # noqa: S101
    missing = [name for name in CONFIGURATION_OF[subject.kind] if name not in subject.parameters]
    if missing:
        return (
            FAILED,
            f"the configuration that was deployed lacks {', '.join(missing)}: is a name mistyped in it?",
        )
    differences = []
    for parameter in CONFIGURATION_OF[subject.kind]:
        wanted, runs = (
            _normal(value) for value in (subject.parameters[parameter], _READ[parameter](found.served))
        )
        # Where nothing is said of the place of captured data, the template has its own.
        if wanted != runs and not (parameter == "DataCaptureS3Uri" and not wanted):
            differences.append(f"{parameter} is {runs or 'none'} instead of {wanted or 'none'}")
    if differences:
        return FAILED, "; ".join(differences)
    return PASSED, "the endpoint configuration is that of the build"


def _normal(value: Any) -> str:
    """Return a value so that what CloudFormation was told and what SageMaker says compare equal."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(sorted(map(str, value)))
    return ",".join(sorted(part.strip() for part in str(value).split(",")))


def _variant(runs: Served, name: str) -> Any:
    return runs.config["ProductionVariants"][0].get(name, "")


def _capture(runs: Served) -> dict[str, Any]:
    capture: dict[str, Any] = runs.config.get("DataCaptureConfig") or {}
    return capture if capture.get("EnableCapture", bool(capture)) else {}


def _vpc(runs: Served, name: str) -> Any:
    return (runs.models[0].get("VpcConfig") or {}).get(name, [])


def _serverless(runs: Served, name: str) -> Any:
    return _variant(runs, "ServerlessConfig").get(name, 0)


def _asynchronous(runs: Served, *names: str) -> dict[str, Any]:
    found = runs.config["AsyncInferenceConfig"]
    for name in names:
        found = found.get(name) or {}
    return dict(found)


def _key(runs: Served) -> str:
    """Return the key of the instances' storage, which a transform job has among its resources."""
    return str(
        (runs.config.get("TransformResources") or {}).get("VolumeKmsKeyId")
        or runs.config.get("KmsKeyId")
        or ""
    )


# Parameter of the endpoint template -> where SageMaker says what is in force.
_READ: dict[str, Callable[[Served], Any]] = {
    "EndpointInstanceType": lambda runs: _variant(runs, "InstanceType"),
    "EndpointInstanceCount": lambda runs: _variant(runs, "InitialInstanceCount"),
    "DataCapturePercentage": lambda runs: _capture(runs).get("InitialSamplingPercentage", 0),
    "DataCaptureS3Uri": lambda runs: _capture(runs).get("DestinationS3Uri", ""),
    "ServerlessMemoryMB": lambda runs: _serverless(runs, "MemorySizeInMB"),
    "ServerlessMaxConcurrency": lambda runs: _serverless(runs, "MaxConcurrency"),
    "ServerlessProvisionedConcurrency": lambda runs: _serverless(runs, "ProvisionedConcurrency"),
    "AsyncMaxConcurrentPerInstance": lambda runs: _asynchronous(runs, "ClientConfig").get(
        "MaxConcurrentInvocationsPerInstance", 0
    ),
    "SuccessTopicArn": lambda runs: _asynchronous(runs, "OutputConfig", "NotificationConfig").get(
        "SuccessTopic", ""
    ),
    "ErrorTopicArn": lambda runs: _asynchronous(runs, "OutputConfig", "NotificationConfig").get(
        "ErrorTopic", ""
    ),
    "TransformInstanceType": lambda runs: runs.config["TransformResources"]["InstanceType"],
    "TransformInstanceCount": lambda runs: runs.config["TransformResources"]["InstanceCount"],
    "TransformBatchStrategy": lambda runs: runs.config["BatchStrategy"],
    "TransformMaxPayloadMB": lambda runs: runs.config["MaxPayloadInMB"],
    "TransformMaxConcurrent": lambda runs: runs.config["MaxConcurrentTransforms"],
    "KmsKeyArn": _key,
    "EnableNetworkIsolation": lambda runs: bool(runs.models[0].get("EnableNetworkIsolation")),
    "SubnetIds": lambda runs: _vpc(runs, "Subnets"),
    "SecurityGroupIds": lambda runs: _vpc(runs, "SecurityGroupIds"),
}
# Kind of inference -> the parameters that are compared: each must be in the configuration of the build.
_INSTANCES = ("EndpointInstanceType", "EndpointInstanceCount")
_PLACE = ("KmsKeyArn", "EnableNetworkIsolation", "SubnetIds", "SecurityGroupIds")
CONFIGURATION_OF: dict[str, tuple[str, ...]] = {
    "real-time": (*_INSTANCES, "DataCapturePercentage", "DataCaptureS3Uri", *_PLACE),
    "serverless": ("ServerlessMemoryMB", "ServerlessMaxConcurrency", "ServerlessProvisionedConcurrency"),
    "asynchronous": (
        *_INSTANCES,
        "AsyncMaxConcurrentPerInstance",
        "SuccessTopicArn",
        "ErrorTopicArn",
        *_PLACE,
    ),
    "batch": (
        "TransformInstanceType",
        "TransformInstanceCount",
        "TransformBatchStrategy",
        "TransformMaxPayloadMB",
        "TransformMaxConcurrent",
        *_PLACE,
    ),
}


# -------------------------------------------------------------------------------- what it answers


def _sent(subject: Subject, found: Found, content_type: str, body: bytes, what: str) -> Answer | str:
    """Send one request; return the answer, or why there is none. After silence no more is sent."""
    try:
        return subject.invoker.send(content_type, body)
    except NoAnswerError as error:
        if error.timed_out:
            found.silent = f"the endpoint did not answer {what}"
        return str(error)


def _answers(subject: Subject, found: Found, payload: Payload) -> Outcome:
    if not found.prepared:
        found.prepared = True
        declines, payloads = subject.invoker.declines, subject.expectations.payloads
        subject.invoker.prepare([one.body for one in payloads if not declines(one.content_type)])
    answer = _sent(subject, found, payload.content_type, payload.body, payload.file)
    if isinstance(answer, str):
        return FAILED, answer
    if not answer.good:
        return FAILED, answer.message
    problem = answer_problem(subject.expectations, payload, answer.content_type, answer.body)
    if problem:
        return FAILED, problem
    found.good = found.good or payload
    count = "1 row" if payload.rows == 1 else f"{payload.rows} rows"
    return PASSED, f"{count} answered as expected"


def _refuses(subject: Subject, found: Found, bad: BadInput) -> Outcome:
    answer = _sent(subject, found, bad.content_type, bad.body, f"the bad input {bad.name!r}")
    if isinstance(answer, str):
        return FAILED, answer
    if answer.good:
        return FAILED, f"was answered instead of refused: {answer.body[:80]!r}"
    if answer.status >= 500:
        return FAILED, f"is the client's mistake, but was answered with {answer.status}: {answer.message}"
    return PASSED, f"refused with {answer.status}"


def _healthy(subject: Subject, found: Found) -> Outcome:
    """What was refused must not have cost anything: a payload gets its answer again."""
    assert found.good is not None  # noqa: S101
    outcome, message = _in_service(subject, found)
    if outcome == PASSED:
        outcome, message = _answers(subject, found, found.good)
    return (PASSED, "in service, and answers as before") if outcome == PASSED else (outcome, message)


def _latency(subject: Subject, report: Report, found: Found) -> Outcome:
    """Send the payloads in turn; every one must be answered, and p50 and p95 keep to their bounds."""
    wanted = subject.expectations.latency
    declines = subject.invoker.declines
    payloads = {one.file: one for one in subject.expectations.payloads if not declines(one.content_type)}
    sample = load(
        lambda file: subject.invoker.send(payloads[file].content_type, payloads[file].body),
        list(payloads),
        requests=wanted.requests,
        concurrency=wanted.concurrency,
        seconds=wanted.seconds,
        most_failures=MAX_FAILED_INVOCATIONS,
    )
    if sample.silent:
        found.silent = "the endpoint fell silent under the load of the latency check"
    measured: dict[str, Any] = {"requests": sample.requests, "errors": len(sample.failures)}
    bounds = {50: wanted.p50_milliseconds, 95: wanted.p95_milliseconds}
    if sample.seconds:
        measured = {
            **{f"p{share}_ms": round(percentile(sample.seconds, share) * 1000, 1) for share in bounds},
            **measured,
        }
        report.figures["latency"] = {
            "milliseconds": [seconds * 1000 for seconds in sample.seconds],
            "bounds": {f"p{share}": bound for share, bound in bounds.items()},
        }
    report.measurements["latency"] = measured
    if sample.failures:
        failed = f"{len(sample.failures)} of {sample.requests} invocations failed"
        return FAILED, f"{failed}, the first with {sample.failures[0]}"
    at_once = "one at a time" if wanted.concurrency == 1 else f"{wanted.concurrency} at a time"
    text = (
        f"p50 {measured['p50_ms']:g} ms, p95 {measured['p95_ms']:g} ms"
        f" over {sample.requests} invocations, {at_once}"
    )
    missed = [
        f"{bound:g} ms for p{share}" for share, bound in bounds.items() if measured[f"p{share}_ms"] > bound
    ]
    return (FAILED, f"{text}; at most {' and '.join(missed)} are allowed") if missed else (PASSED, text)


def percentile(values: list[float], share: int) -> float:
    """Return the smallest value that at least `share` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def _quality_plan(
    subject: Subject, report: Report, found: Found, silent: Callable[[], str]
) -> list[tuple[str, Callable[[], str], Callable[[], Outcome]]]:
    """Return the two checks on labelled rows, and no checks where expectations.json asks for none."""
    wanted = subject.expectations.quality
    if wanted is None:
        return []
    from labelled import Trial

    trial = Trial(
        subject, wanted, report, lambda body: _sent(subject, found, "text/csv", body, "the labelled rows")
    )

    def unmeasured() -> str:
        return silent() or ("" if trial.predictions else "the quality could not be measured")

    def alone() -> str:
        return unmeasured() if subject.following else "no stage comes after this one (NEXT_STAGE is not set)"

    return [(QUALITY, silent, trial.quality), (COMPARISON, alone, trial.comparison)]
