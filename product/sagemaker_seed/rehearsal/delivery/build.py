"""Build and test actions: starts a build of a CodeBuild project with the action's artifacts, and follows it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from .execution import Artifact
from .failure import CONFIGURATION, ActionFailed
from .job import Job, Outcome, as_json

LOG_LINES = 25
TYPES = {"PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER"}
ENDED = {"SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"}


def codebuild(job: Job) -> Outcome:
    """Runs the project; its artifacts become the action's, its exported variables the action's variables."""
    client = job.client("codebuild")
    outputs = tuple(job.store.place(name) for name in job.outputs)
    build = client.start_build(**_request(job, outputs))["build"]
    job.note(external_id=build["id"], external_url=_url(job, build["id"]))

    def ended() -> dict[str, Any] | None:
        found = client.batch_get_builds(ids=[build["id"]])["builds"]
        if not found:
            raise ActionFailed(f"The build {build['id']} is not there any more.")
        return found[0] if found[0]["buildStatus"] in ENDED else None

    done = job.follow(ended, "CodeBuild Build State Change")
    job.note(log_stream=(done.get("logs") or {}).get("cloudWatchLogsArn", "")[:250])
    if done["buildStatus"] != "SUCCEEDED":
        raise ActionFailed(_why(job, done))
    variables = {v["name"]: v["value"] for v in done.get("exportedEnvironmentVariables") or ()}
    return Outcome(variables, outputs, f"Build {build['id']} succeeded")


def _request(job: Job, outputs: tuple[Artifact, ...]) -> dict[str, Any]:
    given = job.configuration
    primary = job.input(given["PrimarySource"]) if "PrimarySource" in given else job.inputs[0]
    others = [artifact for artifact in job.inputs if artifact.name != primary.name]
    request: dict[str, Any] = {
        "projectName": given["ProjectName"],
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": _location(primary),
        "secondarySourcesOverride": [
            {"type": "S3", "location": _location(artifact), "sourceIdentifier": artifact.name} for artifact in others
        ],
        "artifactsOverride": _artifact(outputs[0]) if outputs else {"type": "NO_ARTIFACTS"},
        "secondaryArtifactsOverride": [
            _artifact(output) | {"artifactIdentifier": output.name} for output in outputs[1:]
        ],
        "environmentVariablesOverride": [
            *_variables(given.get("EnvironmentVariables")),
            # On AWS CodeBuild knows it by itself: no caller can say it.
            {"name": "CODEBUILD_INITIATOR", "value": f"codepipeline/{job.pipeline}", "type": "PLAINTEXT"},
        ],
    }
    if primary.revision:
        request["sourceVersion"] = primary.revision
    if job.store.key:
        request["encryptionKeyOverride"] = job.store.key
    return request


def _location(artifact: Artifact) -> str:
    return f"{artifact.bucket}/{artifact.key}"


def _artifact(output: Artifact) -> dict[str, Any]:
    path, _, name = output.key.rpartition("/")
    return {
        "type": "S3",
        "location": output.bucket,
        "path": path,
        "name": name,
        "namespaceType": "NONE",
        "packaging": "ZIP",
        "overrideArtifactName": False,
    }


def _variables(text: str | None) -> list[dict[str, str]]:
    """The variables of a build, from the JSON array in the action's configuration."""
    what = "The EnvironmentVariables of the action"
    given = as_json(text, what) if text is not None else []
    if not isinstance(given, list) or not all(isinstance(v, dict) and {"name", "value"} <= v.keys() for v in given):
        raise ActionFailed(f"{what} are not a JSON array of objects with name and value.", CONFIGURATION)
    for variable in given:
        if variable.get("type", "PLAINTEXT") not in TYPES:
            raise ActionFailed(f"{what} have a variable of the unknown type {variable['type']}.", CONFIGURATION)
    return [{"name": v["name"], "value": str(v["value"]), "type": v.get("type", "PLAINTEXT")} for v in given]


def _why(job: Job, build: dict[str, Any]) -> str:
    """Which phase failed and with what, and the end of the log."""
    said = [f"Build terminated with state: {build['buildStatus']}. Build ID: {build['id']}"]
    for phase in build.get("phases") or ():
        if phase.get("phaseStatus") in ENDED - {"SUCCEEDED"}:
            contexts = [
                f"Code: {context.get('statusCode', '')}, Message: {context.get('message', '')}"
                for context in phase.get("contexts") or ()
                if context.get("message")
            ]
            said.append(f"Phase: {phase['phaseType']}, {'; '.join(contexts) or phase['phaseStatus']}")
    if lines := _log(job, build):
        said.append("The last lines of its log:\n" + "\n".join(lines))
    return "\n".join(said)


def _log(job: Job, build: dict[str, Any]) -> list[str]:
    """The last lines of a build's log.

    They are for the person who reads the message, and so are read as the account's root: on AWS no pipeline's role
    needs a permission for it.
    """
    logs = build.get("logs") or {}
    if not logs.get("groupName") or not logs.get("streamName"):
        return []
    client = job.ground.client("logs", job.ground.root(job.account, job.partition), job.region)
    try:
        events = client.get_log_events(
            logGroupName=logs["groupName"], logStreamName=logs["streamName"], limit=LOG_LINES, startFromHead=False
        )["events"]
    except ClientError:  # without a log the phase has to do
        return []
    return [str(event["message"]).rstrip() for event in events]


def _url(job: Job, build: str) -> str:
    project = build.partition(":")[0]
    return f"{job.host}/codesuite/codebuild/{job.account}/projects/{project}/build/{build}/log?region={job.region}"
