"""What CodePipeline's API tells of pipelines, executions and actions, in its own shapes. Changes nothing."""

from __future__ import annotations

from typing import Any

from ..delivery.execution import SUCCEEDED, ActionRun, Artifact, Execution, Revision
from ..delivery.line import Line, Station, Transition

Answer = dict[str, Any]


def pipeline(line: Line) -> Answer:
    """A declaration, as it is given back."""
    return dict(line.declared)


def pipeline_summary(line: Line) -> Answer:
    """An entry in the list of pipelines."""
    return {
        "name": line.name,
        "version": line.declared["version"],
        "pipelineType": line.declared["pipelineType"],
        "executionMode": line.declared["executionMode"],
        "created": line.created,
        "updated": line.updated,
    }


def state(line: Line) -> Answer:
    """The state of each stage and of each of its actions."""
    with line.lock:
        return {
            "pipelineName": line.name,
            "pipelineVersion": line.declared["version"],
            "created": line.created,
            "updated": line.updated,
            "stageStates": [
                _stage(line, station, stage["actions"])
                for station, stage in zip(line.stations, line.declared["stages"], strict=True)
            ],
        }


def _stage(line: Line, station: Station, actions: list[Answer]) -> Answer:
    waiting = [_stage_execution(execution, "InProgress") for execution in station.waiting]
    answer: Answer = {
        "stageName": station.name,
        "inboundTransitionState": _transition(station.inbound),
        "actionStates": [_action_state(line, action, station.runs.get(action["name"])) for action in actions],
    }
    if waiting:
        answer |= {"inboundExecution": waiting[-1], "inboundExecutions": waiting}
    if station.last is not None:
        stage = station.last.stages[station.name]
        answer["latestExecution"] = _stage_execution(station.last, stage.status)
        if stage.attempts > 1:
            answer["retryStageMetadata"] = {
                "manualStageRetryAttempt": stage.attempts - 1,
                "latestRetryTrigger": "ManualStageRetry",
            }
    return answer


def _stage_execution(execution: Execution, status: str) -> Answer:
    return {"pipelineExecutionId": execution.id, "status": status, "type": "STANDARD"}


def _transition(transition: Transition) -> Answer:
    if transition.at is None:
        return {"enabled": transition.enabled}
    known = {"lastChangedBy": transition.by, "lastChangedAt": transition.at}
    if not transition.enabled:
        known["disabledReason"] = transition.reason
    return {"enabled": transition.enabled, **known}


def _action_state(line: Line, action: Answer, run: ActionRun | None) -> Answer:
    answer: Answer = {"actionName": action["name"], "entityUrl": _entity(line, action)}
    if run is None:
        return answer
    answer["latestExecution"] = _set_only(
        actionExecutionId=run.id,
        status=run.status,
        summary=run.summary,
        lastStatusChange=run.changed,
        token=run.token,
        lastUpdatedBy=run.updated_by,
        externalExecutionId=run.external_id,
        externalExecutionUrl=run.external_url,
        errorDetails=run.error,
        logStreamARN=run.log_stream,
    )
    if run.revision is not None:
        revision = run.revision
        answer["revisionUrl"] = revision.url
        answer["currentRevision"] = {
            "revisionId": revision.id,
            "revisionChangeId": revision.id[:100],
            "created": revision.created,
        }
        if not revision.url:
            del answer["revisionUrl"]
    return answer


def _entity(line: Line, action: Answer) -> str:
    """The page in the console of what the action is about; the pipeline's own where there is no better one."""
    region = line.arn.split(":")[3]
    given, host = action["configuration"], f"https://{region}.console.aws.amazon.com"
    pages = {
        "CodeCommit": "codesuite/codecommit/repositories/{RepositoryName}/browse/refs/heads/{BranchName}",
        "CodeBuild": "codesuite/codebuild/projects/{ProjectName}/view",
        "S3": "s3/buckets/{S3Bucket}",
        "CloudFormation": "cloudformation/home#/stacks?filteringText={StackName}",
    }
    page = pages.get(action["actionTypeId"]["provider"])
    return f"{host}/{page.format(**given) if page else f'codesuite/codepipeline/pipelines/{line.name}/view'}"


def execution(line: Line, found: Execution) -> Answer:
    """One execution."""
    with line.lock:
        return _set_only(
            pipelineName=line.name,
            pipelineVersion=found.version,
            pipelineExecutionId=found.id,
            status=found.status,
            statusSummary=found.summary,
            artifactRevisions=[
                _revision(_output(found, action), revision) for action, revision in found.revisions.items()
            ],
            variables=[{"name": name, "resolvedValue": value} for name, value in found.values.items()],
            trigger=_trigger(found),
            executionMode=found.mode,
            executionType="STANDARD",
        )


def _output(found: Execution, action: str) -> str:
    """The name of the artifact that a source action makes."""
    actions = found.declared["stages"][0]["actions"]
    return str(next(a["outputArtifacts"][0]["name"] for a in actions if a["name"] == action))


def _revision(name: str, revision: Revision) -> Answer:
    return _set_only(
        name=name,
        revisionId=revision.id,
        revisionSummary=revision.summary,
        revisionUrl=revision.url,
        created=revision.created,
    )


def _trigger(found: Execution) -> Answer:
    return {"triggerType": found.trigger[0], "triggerDetail": found.trigger[1]}


def execution_summaries(line: Line, succeeded_in: str | None) -> list[Answer]:
    """All executions, the newest first; or those that have succeeded in a stage."""
    with line.lock:
        return [
            _set_only(
                pipelineExecutionId=found.id,
                status=found.status,
                statusSummary=found.summary,
                startTime=found.started,
                lastUpdateTime=found.updated,
                sourceRevisions=[
                    _set_only(
                        actionName=action,
                        revisionId=revision.id,
                        revisionSummary=revision.summary,
                        revisionUrl=revision.url,
                    )
                    for action, revision in found.revisions.items()
                ],
                trigger=_trigger(found),
                stopTrigger=None if found.stop_reason is None else {"reason": found.stop_reason},
                executionMode=found.mode,
                executionType="STANDARD",
            )
            for found in reversed(line.executions)
            if succeeded_in is None or (succeeded_in in found.stages and found.stages[succeeded_in].status == SUCCEEDED)
        ]


def action_executions(line: Line, identifier: str | None) -> list[Answer]:
    """All attempts of actions, the newest first; or those of one execution."""
    with line.lock:
        runs = [run for found in line.executions if identifier in (None, found.id) for run in found.history]
        return [_action_execution(run) for run in sorted(runs, key=lambda run: run.started, reverse=True)]


def _action_execution(run: ActionRun) -> Answer:
    declared = run.declared
    return _set_only(
        pipelineExecutionId=run.execution,
        actionExecutionId=run.id,
        pipelineVersion=run.version,
        stageName=run.stage,
        actionName=run.name,
        startTime=run.started,
        lastUpdateTime=run.changed,
        updatedBy=run.updated_by,
        status=run.status,
        input=_set_only(
            actionTypeId=declared["actionTypeId"],
            configuration=declared["configuration"],
            resolvedConfiguration=run.resolved,
            roleArn=run.role,
            region=declared.get("region"),
            inputArtifacts=[_artifact(artifact) for artifact in run.inputs],
            namespace=declared.get("namespace"),
        ),
        output={
            "outputArtifacts": [_artifact(artifact) for artifact in run.outputs],
            "executionResult": _set_only(
                externalExecutionId=run.external_id,
                externalExecutionSummary=run.summary,
                externalExecutionUrl=run.external_url,
                errorDetails=run.error,
                logStreamARN=run.log_stream,
            ),
            "outputVariables": run.variables,
        },
    )


def _artifact(artifact: Artifact) -> Answer:
    return {"name": artifact.name, "s3location": {"bucket": artifact.bucket, "key": artifact.key}}


def _set_only(**values: Any) -> Answer:
    """Without what is not known: an SDK shows no empty entries either."""
    return {name: value for name, value in values.items() if value not in (None, "")}
