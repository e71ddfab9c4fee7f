"""CodePipeline's API. What a pipeline does is in the package ``delivery``."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..delivery import declaration
from ..delivery.execution import ALIVE, FAILED, IN_PROGRESS, STOPPED, STOPPING, Execution, now
from ..delivery.line import Line, Station, TooMany, Transition
from ..delivery.news import News
from ..delivery.performing import PRINCIPAL, Performer
from ..ground import Event, Ground
from ..wire import AwsError, Request, not_implemented
from . import codepipeline_answers as answers
from . import validation
from .service import Operation, Service

Parameters = dict[str, Any]
Answer = dict[str, Any]

PAGE_SIZE = 100
TAGS = 50
# What happens to a branch that is a change of a source.
CHANGES = {"referenceCreated", "referenceUpdated"}
# The name of the session of a role that EventBridge has assumed for a rule's target.
EVENTS_SESSION = "events"


@dataclass
class Store:
    """What there is of one account in one region."""

    performer: Performer
    lock: threading.RLock = field(default_factory=threading.RLock)
    lines: dict[str, Line] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)


class Pipelines:
    """The operations, and the state behind them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stores: dict[tuple[str, str], Store] = {}
        self._lock = threading.Lock()
        self.operations: dict[str, Operation] = {name: self._operation(act) for name, act in OPERATIONS.items()}
        ground.subscribe(self._hear)

    def _operation(self, act: Callable[[Store, Request, Parameters], Answer]) -> Operation:
        def answer(request: Request) -> Answer:
            given = request.parameters()
            validation.check(given, request.operation_model.input_shape)
            store = self._store(request)
            with store.lock:
                return act(store, request, given)

        return answer

    def _hear(self, event: Event) -> None:
        """Starts the pipelines that poll the branch of which an event tells: sooner than AWS would, and as often."""
        with self._lock:
            store = self._stores.get((event.account, event.region))
        if store is None or event.source != "aws.codecommit" or event.detail.get("event") not in CHANGES:
            return
        with store.lock:
            for line in list(store.lines.values()):
                if any(_polls(action, event) for action in line.declared["stages"][0]["actions"]):
                    chosen = declaration.values(line.declared, [])
                    missing = declaration.without_value(line.declared, chosen)
                    line.start(chosen, ("PollForSourceChanges", str(event.detail.get("commitId", ""))), {}, missing)

    def _store(self, request: Request) -> Store:
        where = (request.caller.account, request.region)
        with self._lock:
            if where not in self._stores:
                self._stores[where] = Store(Performer(self._ground, *where, request.partition))
            return self._stores[where]


def service(ground: Ground) -> Service:
    """CodePipeline, with state of its own for each server; nothing of it is moto's."""
    return Service(name="codepipeline", operations=Pipelines(ground).operations, complete=True)


def _polls(action: Parameters, event: Event) -> bool:
    """Whether a source action watches the branch that an event is about."""
    given, told = action["configuration"], event.detail
    return (
        action["actionTypeId"]["provider"] == "CodeCommit"
        and declaration.is_polled(action)
        and told.get("referenceType") == "branch"
        and (given["RepositoryName"], given["BranchName"]) == (told.get("repositoryName"), told.get("referenceName"))
    )


# ------------------------------------------------------------------------------------------------------ what there is


def _line(store: Store, request: Request, name: str) -> Line:
    found = store.lines.get(name)
    if found is None:
        raise AwsError(
            "PipelineNotFoundException",
            f"Account '{request.caller.account}' does not have a pipeline with name '{name}'",
        )
    return found


def _station(line: Line, name: str) -> Station:
    station = line.station(name)
    if station is None:
        raise AwsError("StageNotFoundException", f"Stage '{name}' does not exist in pipeline '{line.name}'")
    return station


def _execution(line: Line, identifier: str) -> Execution:
    execution = line.execution(identifier)
    if execution is None:
        raise AwsError(
            "PipelineExecutionNotFoundException",
            f"The pipeline execution [{identifier}] does not exist in pipeline [{line.name}].",
        )
    return execution


def _arn(request: Request, name: str) -> str:
    return f"arn:{request.partition}:codepipeline:{request.region}:{request.caller.account}:{name}"


def _by_arn(store: Store, request: Request, arn: str) -> Line:
    for line in store.lines.values():
        if line.arn == arn:
            return line
    raise AwsError(
        "ResourceNotFoundException", f"The account with id '{request.caller.account}' does not include {arn}"
    )


def _page(items: list[Any], key: str, p: Parameters) -> Answer:
    """The part of ``items`` that the request's token and page size ask for."""
    start = 0
    if token := p.get("nextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise AwsError("InvalidNextTokenException", "The next token is not one that was given out.") from None
    end = start + (p.get("maxResults") or PAGE_SIZE)
    answer: Answer = {key: items[start:end]}
    if end < len(items):
        answer["nextToken"] = base64.b64encode(str(end).encode()).decode()
    return answer


# ---------------------------------------------------------------------------------------------------------- pipelines


def _declared(store: Store, request: Request, p: Parameters) -> Parameters:
    """The declaration of a request, checked, and its role with it."""
    declared = declaration.checked(p["pipeline"], request.region)
    try:
        store.performer.ground.role(declared["roleArn"], PRINCIPAL, "validation", _arn(request, declared["name"]))
    except AwsError:
        raise AwsError(
            "InvalidStructureException",
            f"CodePipeline is not authorized to perform AssumeRole on role {declared['roleArn']}",
        ) from None
    return declared


def _create(store: Store, request: Request, p: Parameters) -> Answer:
    name = p["pipeline"]["name"]
    if name in store.lines:
        raise AwsError(
            "PipelineNameInUseException",
            f"A pipeline with the name '{name}' already exists in account '{request.caller.account}'",
        )
    tags = _tags(p.get("tags") or [])
    declared = _declared(store, request, p) | {"version": 1}
    arn = _arn(request, name)
    news = News(store.performer.ground, request.caller.account, request.region, arn)
    line = store.lines[name] = Line(declared, arn, news, store.performer.begin)
    store.tags[name] = tags
    chosen = declaration.values(declared, [])
    trigger = ("CreatePipeline", request.caller.arn)
    line.start(chosen, trigger, {}, declaration.without_value(declared, chosen))
    return {"pipeline": answers.pipeline(line), "tags": p.get("tags")}


def _update(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipeline"]["name"])
    declared = _declared(store, request, p) | {"version": line.declared["version"] + 1}
    line.redeclare(declared)
    return {"pipeline": answers.pipeline(line)}


def _get(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["name"])
    if p.get("version") not in (None, line.declared["version"]):
        raise AwsError(
            "PipelineVersionNotFoundException",
            f"The embedded AWS keeps the newest version of a pipeline alone, which is {line.declared['version']}.",
        )
    metadata = {"pipelineArn": line.arn, "created": line.created, "updated": line.updated}
    return {"pipeline": answers.pipeline(line), "metadata": metadata}


def _delete(store: Store, _: Request, p: Parameters) -> Answer:
    line = store.lines.pop(p["name"], None)
    if line is not None:
        store.tags.pop(p["name"])
        line.close()
    return {}


def _list(store: Store, _: Request, p: Parameters) -> Answer:
    lines = sorted(store.lines.values(), key=lambda line: line.name)
    return _page([answers.pipeline_summary(line) for line in lines], "pipelines", p)


def _state(store: Store, request: Request, p: Parameters) -> Answer:
    return answers.state(_line(store, request, p["name"]))


# --------------------------------------------------------------------------------------------------------- executions


def _start(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["name"])
    token = p.get("clientRequestToken")
    if token in line.tokens:
        return {"pipelineExecutionId": line.tokens[token]}
    given = p.get("variables") or []
    if given and line.declared["pipelineType"] == "V1":
        raise AwsError("ValidationException", "Pipelines of type V1 do not support variables")
    chosen = declaration.values(line.declared, given)
    if missing := declaration.without_value(line.declared, chosen):
        raise AwsError("ValidationException", f"Value not provided for variable(s) {', '.join(missing)}")
    try:
        execution = line.start(chosen, _trigger(request), _overrides(line, p), [])
    except TooMany:
        raise AwsError(
            "ConcurrentPipelineExecutionsLimitExceededException",
            f"Pipeline '{line.name}' has as many executions under way as it may have.",
        ) from None
    if token:
        line.tokens[token] = execution.id
    return {"pipelineExecutionId": execution.id}


def _trigger(request: Request) -> tuple[str, str]:
    """Who started it: a rule of EventBridge, which acts in a role's session of its own, or whoever called."""
    from moto.sts.models import sts_backends

    sessions = sts_backends[request.caller.account][request.partition]
    assumed = sessions.get_assumed_role_from_access_key(request.access_key)
    by_rule = assumed is not None and assumed.session_name == EVENTS_SESSION
    return ("CloudWatchEvent" if by_rule else "StartPipelineExecution", request.caller.arn)


def _overrides(line: Line, p: Parameters) -> dict[str, dict[str, str]]:
    """The source revisions that an execution is started with, by action and type."""
    chosen: dict[str, dict[str, str]] = {}
    kinds = {
        action["name"]: OVERRIDES[action["actionTypeId"]["provider"]]
        for action in line.declared["stages"][0]["actions"]
    }
    for revision in p.get("sourceRevisions") or ():
        action, kind = revision["actionName"], revision["revisionType"]
        if kind not in kinds.get(action, ()):
            raise AwsError("ValidationException", f"There is no source action {action} that takes a {kind}")
        chosen.setdefault(action, {})[kind] = revision["revisionValue"]
    return chosen


OVERRIDES = {"CodeCommit": {"COMMIT_ID"}, "S3": {"S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"}}


def _get_execution(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    return {"pipelineExecution": answers.execution(line, _execution(line, p["pipelineExecutionId"]))}


def _list_executions(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    wanted = ((p.get("filter") or {}).get("succeededInStage") or {}).get("stageName")
    return _page(answers.execution_summaries(line, wanted), "pipelineExecutionSummaries", p)


def _list_actions(store: Store, request: Request, p: Parameters) -> Answer:
    line, chosen = _line(store, request, p["pipelineName"]), p.get("filter") or {}
    if chosen.get("latestInPipelineExecution"):
        raise not_implemented("codepipeline", "ListActionExecutions", "The filter latestInPipelineExecution is not.")
    identifier = chosen.get("pipelineExecutionId")
    if identifier:
        _execution(line, identifier)
    return _page(answers.action_executions(line, identifier), "actionExecutionDetails", p)


def _stop(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    with line.lock:
        execution = line.execution(p["pipelineExecutionId"])
        abandon = bool(p.get("abandon"))
        if execution is None or execution.status not in ALIVE:
            raise AwsError(
                "PipelineExecutionNotStoppableException",
                f"Unable to stop the pipeline execution {p['pipelineExecutionId']}: "
                + (f"it is {execution.status}." if execution else "it does not exist."),
            )
        if execution.status == STOPPING and not abandon:
            raise AwsError(
                "DuplicatedStopRequestException", f"The pipeline execution {execution.id} is already being stopped."
            )
        line.stop(execution, p.get("reason", ""), abandon=abandon)
    return {"pipelineExecutionId": execution.id}


def _retry(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    station = _station(line, p["stageName"])
    with line.lock:
        execution = line.execution(p["pipelineExecutionId"])
        if execution is None or station.name not in execution.stages:
            raise _not_retryable(p["pipelineExecutionId"], station, "it has not been in that stage")
        if execution.status in ALIVE:
            raise AwsError(
                "ConflictException",
                f"Unable to retry: the pipeline execution {execution.id} is {execution.status}.",
            )
        if station.last is not execution:
            raise AwsError(
                "NotLatestPipelineExecutionException",
                f"The pipeline execution {execution.id} is not the latest one in stage {station.name}.",
            )
        if execution.stages[station.name].status not in {FAILED, STOPPED}:
            raise _not_retryable(execution.id, station, f"the stage has {execution.stages[station.name].status}")
        if execution.version != line.declared["version"]:
            raise _not_retryable(execution.id, station, "the pipeline's structure has changed since")
        line.retry(execution, station, everything=p["retryMode"] == "ALL_ACTIONS")
    return {"pipelineExecutionId": execution.id}


def _not_retryable(execution: str, station: Station, why: str) -> AwsError:
    return AwsError(
        "StageNotRetryableException",
        f"Unable to retry stage {station.name} of the pipeline execution {execution}: {why}.",
    )


def _approve(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    station, name, token = _station(line, p["stageName"]), p["actionName"], p["token"]
    declared = next(stage for stage in line.declared["stages"] if stage["name"] == station.name)
    kind = next((a["actionTypeId"]["category"] for a in declared["actions"] if a["name"] == name), None)
    if kind != "Approval":
        raise AwsError("ActionNotFoundException", f"There is no approval action {name} in stage {station.name}")
    with line.lock:
        runs = [run for e in line.executions for s in e.stages.values() for run in s.actions.values()]
        asking = [run for run in runs if run.stage == station.name and run.name == name and run.token == token]
        run = asking[-1] if asking else station.runs.get(name)
    if run is None or (not asking and run.status == IN_PROGRESS):
        raise AwsError("InvalidApprovalTokenException", f"Invalid approval token: {token}")
    result = p["result"]
    at = line.questions.answer(token, result["status"], result["summary"], request.caller.arn)
    if at is None:
        raise AwsError("ApprovalAlreadyCompletedException", f"The approval action {name} has already been completed.")
    return {"approvedAt": at}


def _enable(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    line.transition(_station(line, p["stageName"]), p["transitionType"], Transition(by=request.caller.arn, at=now()))
    return {}


def _disable(store: Store, request: Request, p: Parameters) -> Answer:
    line = _line(store, request, p["pipelineName"])
    closed = Transition(enabled=False, by=request.caller.arn, at=now(), reason=p["reason"])
    line.transition(_station(line, p["stageName"]), p["transitionType"], closed)
    return {}


# --------------------------------------------------------------------------------------------------------------- tags


def _tags(given: list[dict[str, str]]) -> dict[str, str]:
    if system := [tag["key"] for tag in given if tag["key"].lower().startswith("aws:")]:
        raise AwsError(
            "InvalidTagsException", f"Not allowed to modify system tags. System tags start with 'aws:': {system}"
        )
    return {tag["key"]: tag["value"] for tag in given}


def _tag(store: Store, request: Request, p: Parameters) -> Answer:
    line = _by_arn(store, request, p["resourceArn"])
    tags = store.tags[line.name] | _tags(p["tags"])
    if len(tags) > TAGS:
        raise AwsError("TooManyTagsException", f"A pipeline has {TAGS} tags at most: {line.arn}")
    store.tags[line.name] = tags
    return {}


def _untag(store: Store, request: Request, p: Parameters) -> Answer:
    line = _by_arn(store, request, p["resourceArn"])
    store.tags[line.name] = {k: v for k, v in store.tags[line.name].items() if k not in p["tagKeys"]}
    return {}


def _list_tags(store: Store, request: Request, p: Parameters) -> Answer:
    line = _by_arn(store, request, p["resourceArn"])
    tags = [{"key": key, "value": value} for key, value in sorted(store.tags[line.name].items())]
    return _page(tags, "tags", p)


OPERATIONS: dict[str, Callable[[Store, Request, Parameters], Answer]] = {
    "CreatePipeline": _create,
    "UpdatePipeline": _update,
    "GetPipeline": _get,
    "DeletePipeline": _delete,
    "ListPipelines": _list,
    "GetPipelineState": _state,
    "StartPipelineExecution": _start,
    "GetPipelineExecution": _get_execution,
    "ListPipelineExecutions": _list_executions,
    "ListActionExecutions": _list_actions,
    "StopPipelineExecution": _stop,
    "RetryStageExecution": _retry,
    "PutApprovalResult": _approve,
    "EnableStageTransition": _enable,
    "DisableStageTransition": _disable,
    "TagResource": _tag,
    "UntagResource": _untag,
    "ListTagsForResource": _list_tags,
}
