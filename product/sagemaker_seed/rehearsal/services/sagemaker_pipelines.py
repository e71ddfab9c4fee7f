"""SageMaker's API of pipelines, their executions, and the jobs that these start. Executes nothing itself."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..ground import Ground
from ..jobs import definition as definitions
from ..jobs.caching import Cache
from ..jobs.execution import ENDED, STATUS_FIELD, Execution, Jobs, Surroundings, now
from ..jobs.resolving import as_text
from ..jobs.roles import Roles
from ..wire import AwsError, Request
from . import s3, validation
from .sagemaker_registry import backend, invalid
from .service import Operation

Parameters = dict[str, Any]
Answer = dict[str, Any]

EXECUTIONS_AT_ONCE = 20
PAGE_SIZE = 100
# Parameters of requests that mean something which is not done.
REFUSED = {
    "CreatePipeline": ("PipelineVersionAliases",),
    "UpdatePipeline": ("PipelineVersionAliases",),
    "DescribePipeline": ("PipelineVersionId", "PipelineVersionAlias"),
    "ListPipelines": ("ManagedBy",),
    "StartPipelineExecution": (
        "SelectiveExecutionConfig",
        "PipelineVersionId",
        "PipelineVersionAlias",
        "MlflowExperimentName",
    ),
    "ListPipelineExecutions": ("PipelineVersionAlias",),
    "ListTrainingJobs": ("WarmPoolStatusEquals", "TrainingPlanArnEquals"),
}


@dataclass
class Pipeline:
    """A pipeline and its executions, oldest first. ``tags`` is what moto's operations on tags look at."""

    name: str
    arn: str
    role: str
    text: str
    creator: str
    details: dict[str, Any]
    tags: list[dict[str, str]]
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    modifier: str = ""
    executions: list[Execution] = field(default_factory=list)
    cache: Cache = field(default_factory=Cache)


@dataclass
class Store:
    """What there is of one account in one region."""

    around: Surroundings
    lock: threading.RLock = field(default_factory=threading.RLock)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    answered: dict[tuple[str, str], Answer] = field(default_factory=dict)


class Pipelines:
    """The operations, and the state behind them; all accounts' jobs share one workshop."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stores: dict[tuple[str, str], Store] = {}
        self._lock = threading.Lock()
        self.operations: dict[str, Operation] = {name: self._operation(name, act) for name, act in OPERATIONS.items()}

    def _operation(self, name: str, act: Callable[[Store, Request, Parameters], Answer]) -> Operation:
        def answer(request: Request) -> Answer:
            given = request.parameters()
            _check_given(name, given, request)
            store = self._store(request)
            with store.lock:
                token = given.get("ClientRequestToken")
                if token and (name, token) in store.answered:
                    return store.answered[name, token]
                answered = act(store, request, given)
                if token:
                    store.answered[name, token] = answered
                return answered

        return answer

    def _store(self, request: Request) -> Store:
        where = (request.caller.account, request.region)
        with self._lock:
            if where not in self._stores:
                roles = Roles(self._ground, *where)
                around = Surroundings(self._ground.workshop, roles, Jobs(), *where, request.partition)
                self._stores[where] = Store(around)
            return self._stores[where]


def _check_given(name: str, given: Parameters, request: Request) -> None:
    for refused in REFUSED.get(name, ()):
        if given.get(refused) is not None:
            raise invalid(f"The embedded AWS does not implement {refused} of {name}.")
    validation.check(given, request.operation_model.input_shape)


def _not_found(arn: str, what: str) -> AwsError:
    return AwsError("ResourceNotFound", f"{what} '{arn}' does not exist.")


def _pipeline(store: Store, name: str) -> Pipeline:
    """The pipeline of a name or an ARN."""
    arn = name if name.startswith("arn:") else store.around.arn("pipeline", name)
    found = store.pipelines.get(name.rpartition("/")[2])
    if found is None or found.arn != arn:
        raise _not_found(arn, "Pipeline")
    return found


def _execution(store: Store, p: Parameters) -> tuple[Pipeline, Execution]:
    arn = str(p.get("PipelineExecutionArn") or "")
    for pipeline in store.pipelines.values():
        for execution in pipeline.executions:
            if execution.arn == arn:
                return pipeline, execution
    raise _not_found(arn, "Pipeline execution")


def _text(request: Request, p: Parameters) -> str | None:
    """The definition that a request carries or points to; None if it has neither."""
    place = p.get("PipelineDefinitionS3Location")
    if place and p.get("PipelineDefinition"):
        raise invalid("Give either PipelineDefinition or PipelineDefinitionS3Location, not both.")
    if not place:
        text = p.get("PipelineDefinition")
        return None if text is None else str(text)
    where = s3.Place(request.partition, place["Bucket"], place["ObjectKey"], place.get("VersionId"))
    try:
        return s3.read_object(request.caller, where).decode()
    except (AwsError, UnicodeDecodeError) as error:
        raise invalid(f"The definition at {where.arn} cannot be read: {error}") from None


def _parsed(text: str) -> definitions.Definition:
    try:
        return definitions.parse(text)
    except definitions.DefinitionError as error:
        raise invalid(f"Unable to parse pipeline definition. {error}") from None


def _create(store: Store, request: Request, p: Parameters) -> Answer:
    name, text = p["PipelineName"], _text(request, p)
    if name in store.pipelines:
        raise invalid(
            f"Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already "
            "exists."
        )
    if text is None:
        raise invalid("A pipeline needs PipelineDefinition or PipelineDefinitionS3Location.")
    _parsed(text)
    arn = store.around.arn("pipeline", name)
    details = {k: p[k] for k in DETAILS if p.get(k) is not None}
    pipeline = Pipeline(name, arn, p["RoleArn"], text, request.caller.arn, details, list(p.get("Tags") or []))
    store.pipelines[name] = pipeline
    backend(request).pipelines[name] = pipeline  # where moto's AddTags, ListTags and DeleteTags look
    return {"PipelineArn": arn}


def _update(store: Store, request: Request, p: Parameters) -> Answer:
    pipeline, text = _pipeline(store, p["PipelineName"]), _text(request, p)
    if text is not None:
        _parsed(text)
        pipeline.text = text
    pipeline.role = p.get("RoleArn") or pipeline.role
    pipeline.details |= {k: p[k] for k in DETAILS if p.get(k) is not None}
    pipeline.modified, pipeline.modifier = now(), request.caller.arn
    return {"PipelineArn": pipeline.arn}


def _delete(store: Store, request: Request, p: Parameters) -> Answer:
    pipeline = _pipeline(store, p["PipelineName"])
    running = [e.arn for e in pipeline.executions if e.status not in ENDED]
    if running:
        raise AwsError("ConflictException", f"Pipeline {pipeline.arn} has executions that have not ended: {running}")
    del store.pipelines[pipeline.name]
    del backend(request).pipelines[pipeline.name]
    return {"PipelineArn": pipeline.arn}


def _describe(store: Store, _: Request, p: Parameters) -> Answer:
    pipeline = _pipeline(store, p["PipelineName"])
    return {
        "PipelineArn": pipeline.arn,
        "PipelineName": pipeline.name,
        "PipelineDisplayName": pipeline.details.get("PipelineDisplayName", pipeline.name),
        "PipelineDefinition": pipeline.text,
        "PipelineDescription": pipeline.details.get("PipelineDescription"),
        "ParallelismConfiguration": pipeline.details.get("ParallelismConfiguration"),
        "RoleArn": pipeline.role,
        "PipelineStatus": "Active",
        "CreationTime": pipeline.created,
        "LastModifiedTime": pipeline.modified,
        "LastRunTime": pipeline.executions[-1].created if pipeline.executions else None,
        "CreatedBy": _identity(pipeline.creator),
        "LastModifiedBy": _identity(pipeline.modifier or pipeline.creator),
    }


def _identity(arn: str) -> Answer:
    return {"IamIdentity": {"Arn": arn, "PrincipalId": arn.rpartition("/")[2]}}


def _list(store: Store, _: Request, p: Parameters) -> Answer:
    prefix = p.get("PipelineNamePrefix") or ""
    found = [
        {
            "PipelineArn": pipeline.arn,
            "PipelineName": pipeline.name,
            "PipelineDisplayName": pipeline.details.get("PipelineDisplayName", pipeline.name),
            "PipelineDescription": pipeline.details.get("PipelineDescription"),
            "RoleArn": pipeline.role,
            "CreationTime": pipeline.created,
            "LastModifiedTime": pipeline.modified,
            "LastExecutionTime": pipeline.executions[-1].created if pipeline.executions else None,
        }
        for pipeline in store.pipelines.values()
        if pipeline.name.startswith(prefix)
    ]
    key = "PipelineName" if p.get("SortBy") == "Name" else "CreationTime"
    return _page(_sorted(_between(found, p, "CreationTime"), key, p), "PipelineSummaries", p)


def _start(store: Store, request: Request, p: Parameters) -> Answer:
    pipeline = _pipeline(store, p["PipelineName"])
    given: dict[str, str] = {}
    for item in p.get("PipelineParameters") or ():
        if item["Name"] in given:
            raise invalid(f"Parameter {item['Name']} is given more than once.")
        given[item["Name"]] = item["Value"]
    parsed = _parsed(pipeline.text)
    try:
        values = parsed.values(given)
    except definitions.DefinitionError as error:
        raise invalid(f"{error}.") from None
    running = sum(e.status not in ENDED for other in store.pipelines.values() for e in other.executions)
    if running >= EXECUTIONS_AT_ONCE:
        raise AwsError("ResourceLimitExceeded", f"The embedded AWS runs {EXECUTIONS_AT_ONCE} executions at once.")
    details = {k: p[k] for k in EXECUTION_DETAILS if p.get(k) is not None}
    details["CreatedBy"] = _identity(request.caller.arn)
    details["RoleArn"] = p.get("RoleArn") or pipeline.role
    parallel = p.get("ParallelismConfiguration") or pipeline.details.get("ParallelismConfiguration") or {}
    execution = Execution(
        store.around,
        pipeline=pipeline.name,
        text=pipeline.text,
        definition=parsed,
        values=values,
        cache=pipeline.cache,
        details=details,
        parallel=parallel.get("MaxParallelExecutionSteps"),
        role=details["RoleArn"],
    )
    pipeline.executions.append(execution)
    execution.start()
    return {"PipelineExecutionArn": execution.arn}


def _describe_execution(store: Store, _: Request, p: Parameters) -> Answer:
    pipeline, execution = _execution(store, p)
    return {
        "PipelineArn": pipeline.arn,
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionDisplayName": f"execution-{int(execution.created.timestamp() * 1000)}",
        "PipelineExecutionStatus": execution.status,
        "FailureReason": execution.reason or None,
        "CreationTime": execution.created,
        "LastModifiedTime": execution.modified,
        "LastModifiedBy": execution.details["CreatedBy"],
        "ParallelismConfiguration": (
            {"MaxParallelExecutionSteps": execution.parallel} if execution.parallel is not None else None
        ),
        **execution.details,
    }


def _list_executions(store: Store, _: Request, p: Parameters) -> Answer:
    found = [
        {
            "PipelineExecutionArn": e.arn,
            "StartTime": e.created,
            "PipelineExecutionStatus": e.status,
            "PipelineExecutionDescription": e.details.get("PipelineExecutionDescription"),
            "PipelineExecutionDisplayName": e.details.get(
                "PipelineExecutionDisplayName", f"execution-{int(e.created.timestamp() * 1000)}"
            ),
            "PipelineExecutionFailureReason": e.reason or None,
        }
        for e in _pipeline(store, p["PipelineName"]).executions
    ]
    key = "PipelineExecutionArn" if p.get("SortBy") == "PipelineExecutionArn" else "StartTime"
    return _page(_sorted(_between(found, p, "StartTime"), key, p), "PipelineExecutionSummaries", p)


def _list_steps(store: Store, _: Request, p: Parameters) -> Answer:
    execution = _execution(store, p)[1]
    found = [
        {
            "StepName": state.step.name,
            "StepDisplayName": state.step.display_name,
            "StepDescription": state.step.description,
            "StartTime": state.started,
            "EndTime": state.ended,
            "StepStatus": _step_status(execution, state.status),
            "CacheHitResult": {"SourcePipelineExecutionArn": state.cache_hit} if state.cache_hit else None,
            "FailureReason": state.reason,
            "Metadata": state.metadata,
            "AttemptCount": state.attempts,
        }
        for state in execution.steps()
    ]
    if p.get("SortOrder", "Descending") == "Descending":
        found.reverse()
    return _page(found, "PipelineExecutionSteps", p)


def _step_status(execution: Execution, status: str) -> str:
    return "Stopping" if status == "Executing" and execution.status == "Stopping" else status


def _list_parameters(store: Store, _: Request, p: Parameters) -> Answer:
    execution = _execution(store, p)[1]
    values = [{"Name": name, "Value": as_text(value)} for name, value in execution.values.items()]
    return _page(values, "PipelineParameters", p)


def _describe_definition(store: Store, _: Request, p: Parameters) -> Answer:
    execution = _execution(store, p)[1]
    return {"PipelineDefinition": execution.text, "CreationTime": execution.created}


def _stop(store: Store, _: Request, p: Parameters) -> Answer:
    execution = _execution(store, p)[1]
    if not execution.stop():
        raise AwsError(
            "ConflictException",
            f"Only executions with status Executing can be stopped; {execution.arn} is {execution.status}.",
        )
    return {"PipelineExecutionArn": execution.arn}


def _retry(store: Store, _: Request, p: Parameters) -> Answer:
    execution = _execution(store, p)[1]
    if not execution.retry():
        raise AwsError(
            "ConflictException",
            f"Only executions with status Failed or Stopped can be retried; {execution.arn} is {execution.status}.",
        )
    return {"PipelineExecutionArn": execution.arn}


def _describe_job(kind: str) -> Callable[[Store, Request, Parameters], Answer]:
    def describe(store: Store, _: Request, p: Parameters) -> Answer:
        found = store.around.jobs.get(kind, p[f"{kind}JobName"])
        if found is None:
            raise invalid(f"Could not find requested job with name: {p[f'{kind}JobName']}")
        return found

    return describe


def _list_jobs(kind: str) -> Callable[[Store, Request, Parameters], Answer]:
    def list_jobs(store: Store, _: Request, p: Parameters) -> Answer:
        status = STATUS_FIELD[kind]
        names = (f"{kind}JobName", f"{kind}JobArn", status, "CreationTime", "LastModifiedTime", f"{kind}EndTime")
        found = [{name: job[name] for name in names if name in job} for job in store.around.jobs.all(kind)]
        found = [
            job
            for job in _between(_between(found, p, "CreationTime", "CreationTime"), p, "LastModifiedTime", MODIFIED)
            if p.get("NameContains", "") in job[f"{kind}JobName"] and p.get("StatusEquals", job[status]) == job[status]
        ]
        key = {"Name": f"{kind}JobName", "Status": status}.get(p.get("SortBy", ""), "CreationTime")
        return _page(_sorted(found, key, p), f"{kind}JobSummaries", p)

    return list_jobs


MODIFIED = "LastModifiedTime"
DETAILS = ("PipelineDisplayName", "PipelineDescription", "ParallelismConfiguration")
EXECUTION_DETAILS = ("PipelineExecutionDisplayName", "PipelineExecutionDescription")
OPERATIONS: dict[str, Callable[[Store, Request, Parameters], Answer]] = {
    "CreatePipeline": _create,
    "UpdatePipeline": _update,
    "DeletePipeline": _delete,
    "DescribePipeline": _describe,
    "ListPipelines": _list,
    "StartPipelineExecution": _start,
    "StopPipelineExecution": _stop,
    "RetryPipelineExecution": _retry,
    "DescribePipelineExecution": _describe_execution,
    "DescribePipelineDefinitionForExecution": _describe_definition,
    "ListPipelineExecutions": _list_executions,
    "ListPipelineExecutionSteps": _list_steps,
    "ListPipelineParametersForExecution": _list_parameters,
    "DescribeProcessingJob": _describe_job("Processing"),
    "DescribeTrainingJob": _describe_job("Training"),
    "ListProcessingJobs": _list_jobs("Processing"),
    "ListTrainingJobs": _list_jobs("Training"),
}


def _between(found: Iterable[Answer], p: Parameters, key: str, field_: str = "Created") -> list[Answer]:
    """What was made within the times that the request names (``<field>After`` and ``<field>Before``)."""
    after, before = _moment(p.get(f"{field_}After")), _moment(p.get(f"{field_}Before"))
    return [f for f in found if (after is None or f[key] > after) and (before is None or f[key] < before)]


def _moment(given: Any) -> datetime | None:
    if given is None:
        return None
    moment = given if isinstance(given, datetime) else datetime.fromtimestamp(float(given), UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sorted(found: list[Answer], key: str, p: Parameters) -> list[Answer]:
    """By what was asked; the newest first unless asked otherwise."""
    return sorted(found, key=lambda f: f[key], reverse=p.get("SortOrder", "Descending") == "Descending")


def _page(items: list[Any], key: str, p: Mapping[str, Any]) -> Answer:
    """The part of ``items`` that the request's token and page size ask for."""
    start = 0
    if token := p.get("NextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            start = -1
        if start < 0:
            raise invalid(f"NextToken {token!r} is not one that was given out.")
    end = start + (p.get("MaxResults") or PAGE_SIZE)
    answer: Answer = {key: items[start:end]}
    if end < len(items):
        answer["NextToken"] = base64.b64encode(str(end).encode()).decode()
    return answer
