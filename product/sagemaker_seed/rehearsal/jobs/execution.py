"""Executes a pipeline: which step may start, what became of each, stopping and retrying. Knows no job's inside."""

from __future__ import annotations

import secrets
import string
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..wire import AwsError
from . import contract, processing, resolving, storage, training
from .caching import Cache, Hit
from .container import Place
from .definition import Definition, RetryPolicy, Step
from .failure import INTERNAL_ERROR, StepFailure, StepStopped, client_error
from .roles import Roles
from .storage import Aws
from .workshop import Workshop

ALPHABET = string.ascii_lowercase + string.digits
REASON = "Step failure: One or multiple steps failed."
REASON_LENGTH = 1300
STEP_REASON_LENGTH = 1024
DEFAULT_PARALLEL = 50
ENDED = {"Succeeded", "Failed", "Stopped"}
ARN_KIND = {"Processing": "processing-job", "Training": "training-job"}
STATUS_FIELD = {"Processing": "ProcessingJobStatus", "Training": "TrainingJobStatus"}
RUN: dict[str, Callable[[Place, Mapping[str, Any]], dict[str, Any]]] = {
    "Processing": processing.run,
    "Training": training.run,
}


def new_id(length: int = 12) -> str:
    """An identifier as executions and jobs have."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def now() -> datetime:
    """The time, as answers give it."""
    return datetime.now(UTC)


class Jobs:
    """The descriptions of the jobs of one account and region, by kind and name, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._described: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in RUN}
        self._count = 0

    def number(self) -> int:
        """A number that no other job has."""
        with self._lock:
            self._count += 1
            return self._count

    def put(self, kind: str, name: str, **changed: Any) -> dict[str, Any]:
        """Adds to the description of a job; returns a copy of it."""
        with self._lock:
            described = self._described[kind].setdefault(name, {})
            described.update(changed, LastModifiedTime=now())
            return dict(described)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """A copy of the description of a job; None if there is none of this name."""
        with self._lock:
            found = self._described[kind].get(name)
            return None if found is None else dict(found)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Copies of all descriptions."""
        with self._lock:
            return [dict(described) for described in self._described[kind].values()]


@dataclass
class StepState:
    """What became of a step. ``status`` is AWS's; ``Waiting`` and ``Skipped`` are of steps that never started."""

    step: Step
    status: str = "Waiting"
    started: datetime | None = None
    ended: datetime | None = None
    reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    attempts: int = 0
    cache_hit: str | None = None
    order: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What executions of one account and region share."""

    workshop: Workshop
    roles: Roles
    jobs: Jobs
    account: str
    region: str
    partition: str

    def arn(self, kind: str, name: str) -> str:
        """The ARN of something of SageMaker's here."""
        return f"arn:{self.partition}:sagemaker:{self.region}:{self.account}:{kind}/{name}"


class Execution:
    """One execution of a pipeline, in threads of its own from :meth:`start` to its end.

    What the pipeline itself does is done as the ``role``; a job acts as the role of its own.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        pipeline: str,
        text: str,
        definition: Definition,
        values: Mapping[str, Any],
        cache: Cache,
        details: Mapping[str, Any],
        parallel: int | None,
        role: str,
    ) -> None:
        self.id = new_id()
        self.pipeline_arn = surroundings.arn("pipeline", pipeline)
        self.arn = f"{self.pipeline_arn}/execution/{self.id}"
        self.text, self.values, self.details = text, dict(values), dict(details)
        self.parallel, self._role = parallel, role
        self.status, self.reason = "Executing", ""
        self.created = self.modified = now()
        self.states = {name: StepState(step) for name, step in definition.steps.items()}
        self._around, self._pipeline, self._cache = surroundings, pipeline, cache
        self._properties: dict[str, Any] = {}
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._started = 0

    def start(self) -> None:
        """Begins, or begins again."""
        threading.Thread(target=self._loop, daemon=True, name=f"execution-{self.id}").start()

    def stop(self) -> bool:
        """Asks it to stop; whether it was running."""
        with self._changed:
            if self.status != "Executing":
                return False
            self._set_status("Stopping")
            self._stop.set()
            self._changed.notify_all()
            return True

    def retry(self) -> bool:
        """Runs again what failed, was stopped or never started; whether there was an execution to run again."""
        with self._changed:
            if self.status not in {"Failed", "Stopped"}:
                return False
            for name, state in self.states.items():
                if state.status != "Succeeded":
                    self.states[name] = StepState(state.step)
            self._stop.clear()
            self.reason = ""
            self._set_status("Executing")
        self.start()
        return True

    def steps(self) -> list[StepState]:
        """The steps that have started, in the order in which they did."""
        with self._changed:
            return sorted((s for s in self.states.values() if s.started), key=lambda state: state.order)

    def _set_status(self, status: str) -> None:
        self.status, self.modified = status, now()

    def _loop(self) -> None:
        with self._changed:
            while True:
                self._skip()
                self._begin_ready()
                if not any(s.status == "Executing" for s in self.states.values()):
                    break
                self._changed.wait()
            self._finish()

    def _skip(self) -> None:
        """Marks what can never start: in the branch not taken, or waiting for a step that was skipped."""
        before = -1
        while before != (skipped := sum(s.status == "Skipped" for s in self.states.values())):
            before = skipped
            for state in self.states.values():
                if state.status == "Waiting" and self._never(state.step):
                    state.status = "Skipped"

    def _never(self, step: Step) -> bool:
        if any(self.states[name].status == "Skipped" for name in step.needs):
            return True
        if step.parent is None:
            return False
        parent = self.states[step.parent]
        if parent.status == "Skipped":
            return True
        return parent.status == "Succeeded" and not self._taken(step)

    def _taken(self, step: Step) -> bool:
        outcome = self._properties[str(step.parent)]["Outcome"]
        return bool((outcome == "True") == (step.branch == "IfSteps"))

    def _begin_ready(self) -> None:
        if self._stop.is_set() or any(s.status == "Failed" for s in self.states.values()):
            return
        for state in self.states.values():
            executing = sum(s.status == "Executing" for s in self.states.values())
            if executing >= (self.parallel or DEFAULT_PARALLEL):
                return
            before = state.step.needs | ({state.step.parent} if state.step.parent else set())
            if state.status == "Waiting" and all(self.states[name].status == "Succeeded" for name in before):
                self._started += 1
                state.status, state.started, state.order = "Executing", now(), self._started
                threading.Thread(target=self._one, args=(state,), daemon=True).start()

    def _finish(self) -> None:
        failed = [s for s in self.states.values() if s.status == "Failed"]
        if failed:
            why = "; ".join(f"{s.step.name}: {s.reason}" for s in failed)
            self.reason = f"{REASON} {why}"[:REASON_LENGTH]
        self._set_status("Failed" if failed else "Stopped" if self._stop.is_set() else "Succeeded")

    def _one(self, state: StepState) -> None:
        """Runs one step to its end, whatever that is."""
        status, reason = "Succeeded", None
        try:
            self._with_retries(state)
        except StepStopped:
            status = "Stopped"
        except StepFailure as failure:
            status, reason = "Failed", str(failure)[:STEP_REASON_LENGTH]
        except Exception as error:  # the last resort: a thread that dies would leave its execution running for ever
            traceback.print_exc()
            status = "Failed"
            reason = f"InternalServerError: The embedded AWS failed: {type(error).__name__}: {error}"[
                :STEP_REASON_LENGTH
            ]
        with self._changed:
            state.status, state.reason, state.ended = status, reason, now()
            self.modified = state.ended
            self._changed.notify_all()

    def _with_retries(self, state: StepState) -> None:
        begun = time.monotonic()
        used: dict[RetryPolicy, int] = {}
        while True:
            state.attempts += 1
            try:
                STEPS[state.step.type](self, state)
                return
            except StepFailure as failure:
                policy = next((p for p in state.step.retries if failure.retry_type in p.types), None)
                if policy is None:
                    raise
                tries = used[policy] = used.get(policy, 0) + 1
                pause = policy.interval * policy.backoff ** (tries - 1)
                over = policy.expires is not None and time.monotonic() + pause - begun > policy.expires
                if over or (policy.attempts is not None and tries > policy.attempts):
                    raise
                if self._stop.wait(pause):
                    raise StepStopped from None

    def _scope(self, **more: str) -> resolving.Scope:
        variables = {
            "PipelineName": self._pipeline,
            "PipelineArn": self.pipeline_arn,
            "PipelineExecutionId": self.id,
            "PipelineExecutionArn": self.arn,
            "StartDateTime": _iso(self.created),
            "CurrentDateTime": _iso(now()),
            **more,
        }
        with self._changed:
            properties = dict(self._properties)
        return resolving.Scope(
            self.values, variables, properties, self._property_file, lambda uri: storage.read(self._aws(), uri)
        )

    def _aws(self) -> Aws:
        return self._around.roles.acting(self._role)

    def _property_file(self, step: str, name: str) -> str:
        output, path = self.states[step].step.property_files[name]
        where = resolving.follow(
            self._properties[step], f"ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri", step
        )
        return storage.read(self._aws(), f"{where.rstrip('/')}/{path}")

    def _done(self, state: StepState, properties: Mapping[str, Any], metadata: dict[str, Any]) -> None:
        with self._changed:
            self._properties[state.step.name] = properties
            state.metadata = metadata

    def _job(self, state: StepState) -> None:
        step, kind = state.step, state.step.type
        job = _job_name(self.id, step.name)
        arguments = resolving.resolve(step.arguments, self._scope(**{f"{kind}JobName": job}))
        arguments = {name: value for name, value in arguments.items() if value is not None}
        if broken := contract.broken(kind, arguments):
            raise client_error(f"Failed to invoke sagemaker:{contract.OPERATION[kind]}. Error Details: {broken}")
        if refused := contract.refusals(kind, arguments):
            raise client_error(f"The embedded AWS does not implement {'; '.join(refused)}")
        if hit := self._cache.find(step, arguments):
            state.cache_hit = hit.execution
            self._done(state, hit.properties, {f"{kind}Job": {"Arn": hit.arn}})
            return
        operation = contract.OPERATION[kind]
        try:
            self._aws().permit("sagemaker", operation, {**arguments, f"{kind}JobName": job})
        except AwsError as error:
            raise client_error(f"Failed to invoke sagemaker:{operation}. Error Details: {error.message}") from None
        aws = self._around.roles.acting(arguments["RoleArn"])
        arn = self._around.arn(ARN_KIND[kind], job)
        state.metadata = {f"{kind}Job": {"Arn": arn}}
        described = self._run_job(kind, job, arn, arguments, aws)
        self._done(state, described, {f"{kind}Job": {"Arn": arn}})
        self._cache.keep(step, arguments, Hit(self.arn, described, arn, now()))

    def _run_job(self, kind: str, job: str, arn: str, arguments: Mapping[str, Any], aws: Aws) -> dict[str, Any]:
        jobs, status = self._around.jobs, STATUS_FIELD[kind]
        named = {f"{kind}JobName": job, f"{kind}JobArn": arn}
        jobs.put(kind, job, **{**EMPTY[kind], **arguments, **named, status: "InProgress", "CreationTime": now()})
        changed: dict[str, Any] = {}
        try:
            with self._around.workshop.slot(self._stop):
                folder = self._around.workshop.folder(job)
                place = Place(self._around.workshop, aws, self._stop, job, arn, folder, jobs.number())
                jobs.put(kind, job, **{f"{kind}StartTime": now()})
                try:
                    changed = {**RUN[kind](place, arguments), status: "Completed"}
                finally:
                    self._around.workshop.discard(folder)
        except StepStopped:
            changed = {status: "Stopped"}
            raise
        except StepFailure as failure:
            changed = {status: "Failed", "FailureReason": str(failure)[:STEP_REASON_LENGTH]}
            raise
        except Exception as error:
            changed = {status: "Failed", "FailureReason": f"InternalServerError: {type(error).__name__}: {error}"}
            raise StepFailure(changed["FailureReason"], INTERNAL_ERROR) from error
        finally:
            if kind == "Training":
                changed["SecondaryStatus"] = changed.get(status, "Failed")
            described = jobs.put(kind, job, **changed, **{f"{kind}EndTime": now()})
        return described

    def _condition(self, state: StepState) -> None:
        scope = self._scope()
        outcome = str(all(resolving.holds(c, scope) for c in state.step.arguments["Conditions"]))
        self._done(state, {"Outcome": outcome}, {"Condition": {"Outcome": outcome}})

    def _fail(self, state: StepState) -> None:
        message = resolving.as_text(resolving.resolve(state.step.arguments["ErrorMessage"], self._scope()))
        state.metadata = {"Fail": {"ErrorMessage": message}}
        raise StepFailure(message)

    def _register(self, state: StepState) -> None:
        arguments = resolving.resolve(state.step.arguments, self._scope())
        arguments = {name: value for name, value in arguments.items() if value is not None}
        if broken := contract.broken("RegisterModel", arguments):
            raise client_error(f"Failed to invoke sagemaker:CreateModelPackage. Error Details: {broken}")
        if refused := contract.refusals("RegisterModel", arguments):
            raise client_error(f"The embedded AWS does not implement {'; '.join(refused)}")
        if self._stop.is_set():
            raise StepStopped
        aws = self._aws()
        arn = _registered(aws, arguments)
        described = aws.client("sagemaker").describe_model_package(ModelPackageName=arn)
        described.pop("ResponseMetadata", None)
        self._done(state, described, {"RegisterModel": {"Arn": arn}})


STEPS: dict[str, Callable[[Execution, StepState], None]] = {
    "Processing": Execution._job,
    "Training": Execution._job,
    "Condition": Execution._condition,
    "RegisterModel": Execution._register,
    "Fail": Execution._fail,
}
# What a description must have before the job has it.
EMPTY: dict[str, dict[str, Any]] = {
    "Processing": {},
    "Training": {"ModelArtifacts": {}, "SecondaryStatus": "Starting", "StoppingCondition": {}},
}


def _registered(aws: Aws, arguments: Mapping[str, Any]) -> str:
    """Registers a model package, in a group that is made if it is missing, as SageMaker does; returns its ARN."""
    from botocore.exceptions import ClientError

    for container in (arguments.get("InferenceSpecification") or {}).get("Containers") or ():
        if container.get("ModelDataUrl"):
            storage.require(aws, container["ModelDataUrl"])
        environment = container.get("Environment") or {}
        if "SAGEMAKER_PROGRAM" in environment and not environment["SAGEMAKER_PROGRAM"].strip():
            raise client_error(
                "Empty module name: SAGEMAKER_PROGRAM is empty in the environment of the model's container, with "
                "which its serving process does not start"
            )
    client = aws.client("sagemaker")
    try:
        group = arguments.get("ModelPackageGroupName")
        if group and not group.startswith("arn:"):
            _ensure_group(client, group)
        return str(client.create_model_package(**arguments)["ModelPackageArn"])
    except ClientError as error:
        said = error.response["Error"]
        raise client_error(
            f"Failed to invoke sagemaker:CreateModelPackage. Error Details: {said['Code']}: {said['Message']}"
        ) from error


def _ensure_group(client: Any, group: str) -> None:
    from botocore.exceptions import ClientError

    try:
        client.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        client.create_model_package_group(ModelPackageGroupName=group)


def _job_name(execution: str, step: str) -> str:
    """The name that a pipeline gives to a job: 63 characters at most, and what is special in it last."""
    cleaned = step.replace("_", "-").strip("-")
    tail = new_id(10)
    return f"pipelines-{execution}-{cleaned[: 63 - len('pipelines---') - len(execution) - len(tail)]}-{tail}"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
