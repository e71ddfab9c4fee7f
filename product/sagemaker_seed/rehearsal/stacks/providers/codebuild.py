"""Projects that build."""

from __future__ import annotations

from typing import Any

from ..provider import Context, Made
from .common import Properties, camel, generated_short, resource, tag_list, tags_of

PROJECT = "AWS::CodeBuild::Project"
# What UpdateProject is told when a template does not give a property any more; without it the old value would stay.
ABSENT: dict[str, Any] = {
    "Description": "",
    "SecondarySources": [],
    "SecondarySourceVersions": [],
    "SourceVersion": "",
    "SecondaryArtifacts": [],
    "Cache": {"Type": "NO_CACHE"},
    "TimeoutInMinutes": 60,
    "QueuedTimeoutInMinutes": 480,
    "VpcConfig": {},
    "BadgeEnabled": False,
    "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED"}, "S3Logs": {"Status": "DISABLED"}},
    "ConcurrentBuildLimit": -1,
    "AutoRetryLimit": 0,
}


def _arguments(context: Context, name: str, properties: Properties) -> dict[str, Any]:
    given = {key: value for key, value in properties.items() if key != "Tags"} | {"Name": name}
    arguments = _api(given)
    return {**arguments, "tags": tag_list(tags_of(context, properties), "key", "value")}


def _api(properties: Properties) -> dict[str, Any]:
    """The API's spelling, which differs from ours in more than its first letter in one place only."""
    spelt: dict[str, Any] = camel(properties)
    for source in [spelt.get("source"), *spelt.get("secondarySources", ())]:
        if source is not None and "buildSpec" in source:
            source["buildspec"] = source.pop("buildSpec")
    return spelt


def _create(context: Context, properties: Properties) -> Made:
    name = properties.get("Name") or generated_short(context, 150)
    project = context.client("codebuild").create_project(**_arguments(context, name, properties))["project"]
    return Made(name, {"Arn": project["arn"], "Id": name})


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    aws_key = f"arn:{context.partition}:kms:{context.region}:{context.account}:alias/aws/s3"
    absent = {**ABSENT, "EncryptionKey": aws_key}
    gone = {key: value for key, value in absent.items() if key in old and key not in new}
    arguments = _api(gone) | _arguments(context, made.physical_id, new)
    context.client("codebuild").update_project(**arguments)
    return made


def _delete(context: Context, made: Made, _: Properties) -> None:
    context.client("codebuild").delete_project(name=made.physical_id)  # which is content with one that is not there


PROVIDERS = dict(
    (
        resource(
            PROJECT,
            _create,
            _update,
            _delete,
            honours=f"Name Artifacts EncryptionKey Environment ServiceRole Source Tags {' '.join(ABSENT)}",
        ),
    )
)
