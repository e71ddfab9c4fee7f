"""Brings a described pipeline to SageMaker: group, code, data, then itself; writes only what differs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy.registry import ensure_group
from training.describing import Description
from training.packing import upload
from training.project import Project


@dataclass(frozen=True)
class Upserted:
    """What was done."""

    name: str
    arn: str
    outcome: str
    """`created`, `updated` or `unchanged`."""
    uploaded: list[str]
    """The S3 keys that were written."""
    group: str
    """`created` or `found`."""


def upsert(sagemaker: Any, s3: Any, described: Description) -> Upserted:
    """Make AWS hold what is described. The same again writes nothing.

    The pipeline comes last, so that at no moment it points at anything that is not there.
    """
    project = described.project
    group = ensure_group(
        sagemaker, project.group, f"Models of the SageMaker project {project.name}", project.tags
    )
    uploaded = [key for package in described.packages for key in upload(s3, package, project.key_arn)]
    arn, outcome = _upsert_pipeline(sagemaker, described)
    return Upserted(project.pipeline, arn, outcome, uploaded, "created" if group.created else "found")


def _upsert_pipeline(client: Any, described: Description) -> tuple[str, str]:
    project = described.project
    wanted = {
        "PipelineDefinition": described.text,
        "PipelineDescription": f"Trains, evaluates and registers models of {project.name}",
        "RoleArn": project.role_arn,
    }
    there = find_pipeline(client, project)
    if there is None:
        try:
            created = client.create_pipeline(PipelineName=project.pipeline, Tags=_tags(project), **wanted)
        except client.exceptions.ClientError as error:
            # Somebody else made it in the meantime.
            if "already exists" not in error.response["Error"].get("Message", ""):
                raise
            there = client.describe_pipeline(PipelineName=project.pipeline)
        else:
            return str(created["PipelineArn"]), "created"
    arn = str(there["PipelineArn"])
    changed = any(there.get(name) != value for name, value in wanted.items() if name != "PipelineDefinition")
    if changed or not _same(there.get("PipelineDefinition", ""), described.definition):
        client.update_pipeline(PipelineName=project.pipeline, **wanted)
        outcome = "updated"
    else:
        outcome = "unchanged"
    present = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}
    if not project.tags.items() <= present.items():
        client.add_tags(ResourceArn=arn, Tags=_tags(project))
    return arn, outcome


def find_pipeline(client: Any, project: Project) -> dict[str, Any] | None:
    """Return what SageMaker says about the project's pipeline, or None if there is none yet."""
    try:
        found: dict[str, Any] = client.describe_pipeline(PipelineName=project.pipeline)
    except client.exceptions.ResourceNotFound:
        return None
    return found


def _tags(project: Project) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in project.tags.items()]


def _same(text: str, definition: dict[str, Any]) -> bool:
    """Compare as values: SageMaker may give a definition back with other blanks."""
    try:
        return bool(json.loads(text) == definition)
    except json.JSONDecodeError:
        return False
