"""The environment variables of a build: CodeBuild's own, and those of parameters and secrets. Sets none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from .buildspec import Buildspec
from .failure import CLIENT_ERROR, BuildFailure
from .order import Order

Client = Callable[[str], Any]


def own(order: Order, started: float, folders: Mapping[str, str], resolved: str) -> dict[str, str]:
    """What CodeBuild sets by itself; ``folders`` by source identifier, which the primary source does not have."""
    base = {
        "CI": "true",
        "CODEBUILD_BUILD_ARN": order.arn,
        "CODEBUILD_BUILD_ID": order.identifier,
        "CODEBUILD_BUILD_IMAGE": order.image,
        "CODEBUILD_BUILD_NUMBER": str(order.number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": order.initiator,
        "CODEBUILD_KMS_KEY_ID": order.key or f"arn:{order.partition}:kms:{order.region}:{order.account}:alias/aws/s3",
        "CODEBUILD_LOG_PATH": str(order.logs["stream"]).rpartition("/")[2],
        "CODEBUILD_SRC_DIR": folders[""],
        "CODEBUILD_START_TIME": str(int(started * 1000)),
    }
    given = {
        "CODEBUILD_RESOLVED_SOURCE_VERSION": resolved,
        "CODEBUILD_SOURCE_VERSION": _source_version(order),
        "CODEBUILD_SOURCE_REPO_URL": str(order.source.get("location") or ""),
    }
    versions = {f"CODEBUILD_SOURCE_VERSION_{name}": version for name, version in order.secondary_versions.items()}
    extra = {f"CODEBUILD_SRC_DIR_{name}": folder for name, folder in folders.items() if name}
    return base | {name: value for name, value in {**given, **versions}.items() if value} | extra


def _source_version(order: Order) -> str:
    if order.from_pipeline and order.source.get("location"):
        return f"arn:{order.partition}:s3:::{order.source['location']}"
    return order.version


def given(order: Order, spec: Buildspec, client: Client) -> dict[str, str]:
    """What the buildspec says, over which the project, over which the start of the build.

    Raises:
        BuildFailure: a parameter or a secret cannot be had.
    """
    found: dict[str, str] = dict(spec.variables)
    found |= {name: _parameter(place, client) for name, place in spec.parameters.items()}
    found |= {name: _secret(place, client) for name, place in spec.secrets.items()}
    for variable in order.variables:
        read = READERS[variable.get("type") or "PLAINTEXT"]
        found[variable["name"]] = read(str(variable["value"]), client)
    return found


def _plain(value: str, _: Client) -> str:
    return value


def _parameter(name: str, client: Client) -> str:
    try:
        return str(client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        raise _unreadable("Parameter Store", name, error) from None


def _secret(place: str, client: Client) -> str:
    """``secret-id:json-key:version-stage:version-id``, of which only the first is needed; the id can be an ARN."""
    parts = place.split(":")
    name = ":".join(parts[:7]) if place.startswith("arn:") else parts[0]
    key, stage, version = [*parts[7 if place.startswith("arn:") else 1 :], "", "", ""][:3]
    which = {"VersionStage": stage} if stage else {}
    which |= {"VersionId": version} if version else {}
    try:
        text = str(client("secretsmanager").get_secret_value(SecretId=name, **which)["SecretString"])
    except ClientError as error:
        raise _unreadable("Secrets Manager", place, error) from None
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise BuildFailure(CLIENT_ERROR, f"Secrets Manager: the secret {name} has no key {key}") from None


def _unreadable(service: str, name: str, error: ClientError) -> BuildFailure:
    said = error.response["Error"]
    return BuildFailure(CLIENT_ERROR, f"{service}: {name} cannot be read: {said['Code']}: {said.get('Message', '')}")


READERS: dict[str, Callable[[str, Client], str]] = {
    "PLAINTEXT": _plain,
    "PARAMETER_STORE": _parameter,
    "SECRETS_MANAGER": _secret,
}
