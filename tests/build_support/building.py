"""Makes projects in an embedded AWS, starts builds, waits for them, and reads what they printed."""

from __future__ import annotations

import io
import itertools
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws

IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
BUCKET = "built"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SECONDS = 120


@dataclass(frozen=True)
class Done:
    """A build that has ended, and its log without CodeBuild's own lines."""

    build: dict[str, Any]
    everything: str

    @property
    def status(self) -> str:
        return str(self.build["buildStatus"])

    @property
    def log(self) -> str:
        return "".join(line for line in self.everything.splitlines(True) if not line.startswith("[Container]"))

    @property
    def phases(self) -> dict[str, str]:
        return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in self.build["phases"]}

    def context(self, phase: str) -> tuple[str, str]:
        found = next(p for p in self.build["phases"] if p["phaseType"] == phase)["contexts"][0]
        return found["statusCode"], found["message"]


class Builder:
    """One account's CodeBuild, with a bucket and a role that builds run as."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.client = aws.client("codebuild")
        self._names = itertools.count(1)
        iam = aws.client("iam")
        made = iam.create_role(RoleName="build", AssumeRolePolicyDocument=json.dumps(TRUST))
        self.role = made["Role"]["Arn"]
        place = {"LocationConstraint": aws.region}
        aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)

    def project(self, buildspec: str | None = None, **settings: Any) -> str:
        """A new project; without other settings one with nothing but an inline buildspec."""
        name = settings.pop("name", f"project-{next(self._names)}")
        environment = {"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"}
        defaults = {
            "source": {"type": "NO_SOURCE", "buildspec": buildspec},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "serviceRole": self.role,
        }
        given = {**defaults, **settings, "environment": {**environment, **settings.get("environment", {})}}
        self.client.create_project(name=name, **given)
        return str(name)

    def run(self, buildspec: str, **settings: Any) -> Done:
        """Builds a project made for it."""
        return self.start(self.project(buildspec, **settings))

    def start(self, project: str, **overrides: Any) -> Done:
        """Builds a project to the end."""
        return self.wait(self.client.start_build(projectName=project, **overrides)["build"]["id"])

    def wait(self, identifier: str) -> Done:
        """Waits for the end of a build."""
        deadline = time.monotonic() + SECONDS
        while True:
            build = self.client.batch_get_builds(ids=[identifier])["builds"][0]
            if build["buildComplete"]:
                return Done(build, self.log_of(build))
            assert time.monotonic() < deadline, build
            time.sleep(0.02)

    def log_of(self, build: Mapping[str, Any]) -> str:
        """What a build has printed so far."""
        logs = self.aws.client("logs")
        where = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
        try:
            events = logs.get_log_events(**where, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return ""
        return "".join(event["message"] for event in events)

    def put(self, key: str, files: Mapping[str, str]) -> str:
        """A zip of files in the bucket; returns where it is, as a source's location."""
        self.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=zipped(files))
        return f"{BUCKET}/{key}"

    def unzipped(self, key: str) -> dict[str, str]:
        """The files in a zip in the bucket."""
        body = self.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


def zipped(files: Mapping[str, str]) -> bytes:
    """A zip archive of texts."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def spec(*commands: str, **more: Any) -> str:
    """A buildspec whose build phase has the commands, or with the phases given."""
    return json.dumps({"version": 0.2, "phases": {"build": {"commands": list(commands)}}, **more}, indent=1)


__all__ = ["ACCOUNT", "BUCKET", "IMAGE", "TRUST", "Builder", "Done", "spec", "zipped"]
