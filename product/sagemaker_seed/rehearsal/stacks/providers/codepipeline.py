"""Pipelines."""

from __future__ import annotations

from typing import Any

from ..provider import Context, Made
from .common import Properties, camel, generated, gone_is_fine, resource, retag, tag_list, tags_of, undone

PIPELINE = "AWS::CodePipeline::Pipeline"
OPAQUE = ("Configuration",)


def _declaration(name: str, properties: Properties) -> dict[str, Any]:
    given = {k: v for k, v in properties.items() if k not in NOT_DECLARED}
    declared: dict[str, Any] = camel(given, OPAQUE) | {"name": name}
    for stage in declared["stages"]:
        for action in stage["actions"]:
            if "configuration" in action:
                action["configuration"] = {k: _text(v) for k, v in action["configuration"].items()}
    if "ArtifactStores" in properties:
        stores = properties["ArtifactStores"]
        declared["artifactStores"] = {store["Region"]: camel(store["ArtifactStore"]) for store in stores}
    return declared


NOT_DECLARED = {"Tags", "DisableInboundStageTransitions", "RestartExecutionOnUpdate", "ArtifactStores"}


def _text(value: Any) -> str:
    """A value of an action's configuration, which the API has as text throughout."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _create(context: Context, properties: Properties) -> Made:
    pipelines, name = context.client("codepipeline"), properties.get("Name") or generated(context, 100)
    tags = tag_list(tags_of(context, properties), "key", "value")
    created = pipelines.create_pipeline(pipeline=_declaration(name, properties), **({"tags": tags} if tags else {}))[
        "pipeline"
    ]
    with undone(lambda: pipelines.delete_pipeline(name=name)):
        _disable(pipelines, name, properties)
    return _pipeline(context, name, created)


def _pipeline(context: Context, name: str, declared: Properties) -> Made:
    arn = f"arn:{context.partition}:codepipeline:{context.region}:{context.account}:{name}"
    return Made(name, {"Arn": arn, "Version": str(declared["version"])})


def _disabled(properties: Properties) -> dict[str, str]:
    return {t["StageName"]: t["Reason"] for t in properties.get("DisableInboundStageTransitions", ())}


def _disable(pipelines: Any, name: str, properties: Properties) -> None:
    for stage, reason in _disabled(properties).items():
        pipelines.disable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound", reason=reason)


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    pipelines, name = context.client("codepipeline"), made.physical_id
    moved = _declaration(name, old) != _declaration(name, new)
    if moved:
        made = _pipeline(context, name, pipelines.update_pipeline(pipeline=_declaration(name, new))["pipeline"])
    if _disabled(old) != _disabled(new):
        for stage in _disabled(old).keys() - _disabled(new).keys():
            pipelines.enable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound")
        _disable(pipelines, name, new)
    arn = made.attributes["Arn"]
    retag(
        pipelines.list_tags_for_resource(resourceArn=arn)["tags"],
        tags_of(context, new),
        lambda tags: pipelines.tag_resource(resourceArn=arn, tags=tag_list(tags, "key", "value")),
        lambda keys: pipelines.untag_resource(resourceArn=arn, tagKeys=keys),
    )
    if moved and new.get("RestartExecutionOnUpdate"):
        pipelines.start_pipeline_execution(name=name)
    return made


def _delete(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("PipelineNotFoundException"):
        context.client("codepipeline").delete_pipeline(name=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            PIPELINE,
            _create,
            _update,
            _delete,
            honours="ArtifactStore ExecutionMode Name PipelineType RoleArn Stages Triggers Variables "
            + " ".join(sorted(NOT_DECLARED)),
        ),
    )
)
