"""Builds of the embedded AWS run their buildspec as CodeBuild does: shell, phases, variables, sources, artifacts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from build_support.building import BUCKET, Builder, spec
from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws

pytestmark = pytest.mark.slow

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with pytest.MonkeyPatch.context() as patch:
        # As for somebody who has activated the environment that the rehearsal is installed in.
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.setenv("VIRTUAL_ENV", sys.prefix)
        with EmbeddedAws(region=REGION) as running:
            yield Builder(running)


def test_all_commands_share_one_shell_and_see_what_codebuild_tells(builder: Builder) -> None:
    text = """
version: 0.2
env:
  variables: {FROM_SPEC: spec, SHARED: spec, FLAG: true}
  exported-variables: [MADE, ABSENT]
phases:
  install:
    commands:
      - mkdir inner && cd inner
      - export MADE="made here"
      - say() { echo "said $1"; }
      - plain=kept
  build:
    commands:
      - |
        for word in one two
        do
          echo "$word"
        done
      - say "$plain $(basename "$PWD")"
      - echo "$FROM_SPEC $SHARED $FROM_PROJECT $FLAG"
      - echo "$CI $CODEBUILD_BUILD_NUMBER $CODEBUILD_BUILD_SUCCEEDING $CODEBUILD_INITIATOR"
      - test "$CODEBUILD_SRC_DIR/inner" = "$PWD" && echo "$CODEBUILD_BUILD_ID" >&2
"""
    variables = [{"name": "FROM_PROJECT", "value": "project"}, {"name": "SHARED", "value": "project"}]
    name = builder.project(text, environment={"environmentVariables": variables})
    done = builder.start(name, environmentVariablesOverride=[{"name": "SHARED", "value": "start"}])
    assert done.status == "SUCCEEDED", done.everything
    said = f"one\ntwo\nsaid kept inner\nspec start project true\ntrue 1 1 root\n{done.build['id']}\n"
    assert done.log == said
    assert done.build["exportedEnvironmentVariables"] == [{"name": "MADE", "value": "made here"}]
    assert list(done.phases) == [
        *("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD"),
        *("UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
    ]
    assert "[Container]" in done.everything
    assert "Running command say" in done.everything


def test_a_build_acts_as_its_role_and_finds_nothing_of_the_rehearsal(builder: Builder) -> None:
    check = "import importlib.util as u, os, sys; print([u.find_spec(m) for m in ('moto', 'sagemaker_seed', 'boto3')])"
    done = builder.run(
        spec(
            f'python -c "{check}"',
            'echo "$AWS_REGION $AWS_ENDPOINT_URL ${AWS_SESSION_TOKEN:+session}"',
            'echo "${PYTHONPATH:-none} ${VIRTUAL_ENV:-none}"',
            "command -v sagemaker-seed || echo none of its programs",
            'case "$HOME" in */home) echo own home;; esac',
            "docker build . || echo status $?",
        )
    )
    lines = done.log.splitlines()
    assert lines[:2] == ["[None, None, None]", f"{REGION} {builder.aws.url} session"]
    assert lines[2:5] == ["none none", "none of its programs", "own home"]
    assert lines[5:] == ["docker: not found: the embedded AWS runs builds without Docker", "status 127"]


PHASES = """
version: 0.2
phases:
  install: {{commands: [echo install{install}], on-failure: {on_install}}}
  pre_build: {{commands: [echo pre]}}
  build:
    on-failure: {on_build}
    commands: [echo build, "sh -c 'exit 3'", echo not reached]
    finally: [echo finally $CODEBUILD_BUILD_SUCCEEDING]
  post_build: {{commands: [echo post $CODEBUILD_BUILD_SUCCEEDING]}}
"""


def test_after_a_failed_build_post_build_runs_and_the_build_has_failed(builder: Builder) -> None:
    text = PHASES.format(install="", on_install="ABORT", on_build="CONTINUE")
    for shown in (text, text.replace("    on-failure: CONTINUE\n", "")):
        done = builder.run(shown)
        assert (done.status, done.log) == ("FAILED", "install\npre\nbuild\nfinally 1\npost 0\n")
        assert (done.phases["BUILD"], done.phases["POST_BUILD"], done.phases["UPLOAD_ARTIFACTS"]) == (
            *("FAILED", "SUCCEEDED", "SUCCEEDED"),
        )
        message = "Error while executing command: sh -c 'exit 3'. Reason: exit status 3"
        assert done.context("BUILD") == ("COMMAND_EXECUTION_ERROR", message)


def test_abort_ends_the_build_and_a_failed_install_ends_it_by_itself(builder: Builder) -> None:
    aborted = builder.run(PHASES.format(install="", on_install="ABORT", on_build="ABORT"))
    assert (aborted.status, aborted.log) == ("FAILED", "install\npre\nbuild\nfinally 1\n")
    assert not {"POST_BUILD", "UPLOAD_ARTIFACTS"} & set(aborted.phases)
    text = PHASES.format(install="; false", on_install="ABORT", on_build="ABORT")
    for shown, log in (
        (text.replace(", on-failure: ABORT}", "}"), "install\n"),
        (text.replace(", on-failure: ABORT}", ", on-failure: CONTINUE}"), "install\npre\nbuild\nfinally 0\n"),
    ):
        ended = builder.run(shown)
        assert (ended.status, ended.phases["INSTALL"], ended.log) == ("FAILED", "FAILED", log)


def test_a_command_that_ends_the_shell_fails_and_the_next_phase_goes_on_with_what_was_left(builder: Builder) -> None:
    text = """
version: 0.2
env: {shell: bash}
phases:
  build:
    commands: [export KEPT=yes, mkdir there && cd there, set -e, "false; echo not reached", echo nor this]
    finally: [words=("$KEPT" and "$(basename "$PWD")"), 'echo "${words[@]}"']
  post_build: {commands: ["echo before; exit 7; echo after", echo no more]}
"""
    done = builder.run(text)
    assert (done.status, done.log) == ("FAILED", "yes and there\nbefore\n")
    assert done.context("BUILD")[1].endswith("Reason: exit status 1")
    assert done.context("POST_BUILD")[1].endswith("Reason: exit status 7")


def test_sources_from_s3_and_artifacts_as_a_pipeline_brings_and_takes_them(builder: Builder) -> None:
    text = """
version: 0.2
phases:
  build:
    commands:
      - cat text.txt "$CODEBUILD_SRC_DIR_Other/other.txt"
      - echo "$CODEBUILD_RESOLVED_SOURCE_VERSION $CODEBUILD_INITIATOR $CODEBUILD_SOURCE_VERSION"
      - mkdir -p out/deep && echo a > out/a.json && echo b > out/deep/b.json && echo c > out/c.txt
      - export NAME=a.json
artifacts:
  base-directory: out
  files: [$NAME, "deep/**/*"]
  secondary-artifacts:
    Second: {files: ["**/*"], base-directory: $CODEBUILD_SRC_DIR/out, exclude-paths: ["*.txt"], discard-paths: yes}
"""
    first = builder.put("in/first.zip", {"text.txt": "text\n", "ci/spec.yml": text})
    other = builder.put("in/other.zip", {"other.txt": "other\n"})
    name = builder.project(
        source={"type": "CODEPIPELINE", "buildspec": "ci/spec.yml"}, artifacts={"type": "CODEPIPELINE"}
    )
    where = {"type": "S3", "location": BUCKET, "packaging": "ZIP", "namespaceType": "NONE", "path": "out/of"}
    key = builder.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    done = builder.start(
        name,
        sourceTypeOverride="S3",
        sourceLocationOverride=first,
        sourceVersion="0123abc",
        secondarySourcesOverride=[{"type": "S3", "location": other, "sourceIdentifier": "Other"}],
        artifactsOverride={**where, "name": "first"},
        secondaryArtifactsOverride=[{**where, "name": "second", "artifactIdentifier": "Second"}],
        environmentVariablesOverride=[{"name": "CODEBUILD_INITIATOR", "value": "codepipeline/one"}],
        encryptionKeyOverride=key,
    )
    assert done.status == "SUCCEEDED", done.everything
    assert done.log == f"text\nother\n0123abc codepipeline/one arn:aws:s3:::{first}\n"
    assert (done.build["resolvedSourceVersion"], done.build["initiator"]) == ("0123abc", "codepipeline/one")
    assert builder.unzipped("out/of/first") == {"a.json": "a\n", "deep/b.json": "b\n"}
    assert builder.unzipped("out/of/second") == {"a.json": "a\n", "b.json": "b\n"}
    assert builder.aws.client("s3").head_object(Bucket=BUCKET, Key="out/of/first")["SSEKMSKeyId"] == key
    assert done.build["artifacts"]["location"] == f"arn:aws:s3:::{BUCKET}/out/of/first"
    with pytest.raises(ClientError, match="only a pipeline can start it"):
        builder.client.start_build(projectName=name)


def test_parameters_become_variables_and_a_missing_one_fails_by_name(builder: Builder) -> None:
    builder.aws.client("ssm").put_parameter(Name="/app/word", Value="parameter", Type="SecureString")
    variable = {"name": "ALSO", "value": "/app/word", "type": "PARAMETER_STORE"}
    text = spec('echo "$WORD $ALSO"', env={"parameter-store": {"WORD": "/app/word"}})
    done = builder.run(text, environment={"environmentVariables": [variable]})
    assert done.log == "parameter parameter\n"
    missing = builder.run(spec("true", env={"parameter-store": {"WORD": "/app/none"}}))
    assert (missing.status, missing.phases["DOWNLOAD_SOURCE"]) == ("FAILED", "FAILED")
    assert "/app/none cannot be read: ParameterNotFound" in missing.context("DOWNLOAD_SOURCE")[1]


def test_secrets_become_variables(builder: Builder) -> None:
    secret = builder.aws.client("secretsmanager").create_secret(Name="app", SecretString=json.dumps({"user": "secret"}))
    text = spec('echo "$USER_NAME $WHOLE"', env={"secrets-manager": {"USER_NAME": "app:user", "WHOLE": secret["ARN"]}})
    assert builder.run(text).log == 'secret {"user": "secret"}\n'
    missing = builder.run(spec("true", env={"secrets-manager": {"NONE": "app:none"}}))
    assert missing.context("DOWNLOAD_SOURCE")[1] == "Secrets Manager: the secret app has no key none"


JUNIT = (
    '<testsuites><testsuite name="s"><testcase classname="c" name="good" time="0.5"/><testcase name="bad">'
    '<failure message="was 2"/></testcase><testcase name="left"><skipped/></testcase></testsuite></testsuites>'
)


def test_a_failed_test_leaves_its_report(builder: Builder) -> None:
    text = spec(f"echo '{JUNIT}' > r.xml; false", reports={"unit": {"files": ["*.xml"], "file-format": "JUNITXML"}})
    name = builder.project(text)
    done = builder.start(name)
    assert (done.status, done.phases["UPLOAD_ARTIFACTS"]) == ("FAILED", "SUCCEEDED"), done.everything
    (arn,) = done.build["reportArns"]
    group = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:report-group/{name}-unit"
    report = builder.client.batch_get_reports(reportArns=[arn])["reports"][0]
    assert (report["reportGroupArn"], report["status"], report["executionId"]) == (group, "FAILED", done.build["arn"])
    assert report["testSummary"]["statusCounts"] == {
        "SUCCEEDED": 1,
        "FAILED": 1,
        "ERROR": 0,
        "SKIPPED": 1,
        "UNKNOWN": 0,
    }
    cases = builder.client.describe_test_cases(reportArn=arn, filter={"status": "FAILED"})["testCases"]
    assert [(case["name"], case["message"], case["testSuiteName"]) for case in cases] == [("bad", "was 2", "s")]
    again = builder.start(name).build["reportArns"]
    assert builder.client.list_reports_for_report_group(reportGroupArn=group)["reports"] == [*again, arn]
    own = {(call.operation, call.status) for call in builder.aws.calls() if "Report" in call.operation}
    assert {("CreateReportGroup", 200), ("CreateReport", 200), ("UpdateReport", 200)} <= own


def test_what_is_not_there_fails_the_upload(builder: Builder) -> None:
    target = {"type": "S3", "location": BUCKET, "name": "n", "packaging": "ZIP"}
    nothing = builder.run(spec("true", artifacts={"files": ["none.txt"]}), artifacts=target)
    assert (nothing.status, nothing.context("UPLOAD_ARTIFACTS")[1]) == ("FAILED", "no matching artifact paths found")
    undefined = builder.run(spec("true"), artifacts=target)
    assert undefined.context("UPLOAD_ARTIFACTS")[1] == "no definition for primary artifacts in buildspec"
    refused = builder.run(spec("echo a > a", artifacts={"files": "a"}), artifacts={**target, "location": "not-there"})
    assert "NoSuchBucket" in refused.context("UPLOAD_ARTIFACTS")[1]
    unreported = builder.run(spec("true", reports={"unit": {"files": ["r.xml"]}}))
    assert "[unit: [report files not found in build]]" in unreported.context("UPLOAD_ARTIFACTS")[1]


def test_a_stopped_build_ends_with_everything_that_it_has_started(builder: Builder) -> None:
    name = builder.project(spec("sleep 60 & echo $! started; wait"))
    build = builder.client.start_build(projectName=name)["build"]
    deadline = time.monotonic() + 10
    while "started" not in (log := builder.log_of(build)) and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(next(line for line in log.splitlines() if line.endswith(" started")).split()[0])
    assert builder.client.batch_get_builds(ids=[build["id"]])["builds"][0]["currentPhase"] == "BUILD"
    builder.client.stop_build(id=build["id"])
    done = builder.wait(build["id"])
    assert (done.status, done.phases["BUILD"]) == ("STOPPED", "STOPPED")
    assert "POST_BUILD" not in done.phases
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def is_alive(process: int) -> bool:
    """Whether it runs; one that was killed stays in the list until its parent has looked."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


WRONG: dict[str, tuple[str, str]] = {
    "version: 0.3\nphases: {build: {commands: [a]}}": ("YAML_FILE_ERROR", "Unsupported buildspec version: 0.3"),
    "version: 0.2\nphases: {post-build: {commands: [a]}}": (
        "YAML_FILE_ERROR",
        "invalid buildspec phase name(s): post-build. Expected: INSTALL,PRE_BUILD,BUILD,POST_BUILD",
    ),
    "version: 0.2\nphases: {build: {commands: [a: b]}}": ("YAML_FILE_ERROR", "Commands[0] to be of string type"),
    "version: 0.2\nphases: {build: {commands: [a], on-failure: retry}}": ("YAML_FILE_ERROR", "Invalid on-failure"),
    "version: 0.2\nphase: {build: {commands: [a]}}": ("YAML_FILE_ERROR", "Unknown keys in the buildspec: phase"),
    "version: 0.2\nphases: {install: {runtime-versions: {python: 3.10}}}": (
        "YAML_FILE_ERROR",
        "Unknown runtime version named '3.1' of python",
    ),
    "version: 0.2\nbatch: {fast-fail: true}\nphases: {build: {commands: [a]}}": (
        "NOT_IMPLEMENTED_BY_EMBEDDED_AWS",
        "does not implement batch in a buildspec",
    ),
    "version: 0.1\nphases: {build: {commands: [a]}}": ("NOT_IMPLEMENTED_BY_EMBEDDED_AWS", "version 0.1"),
    "version: 0.2\nphases: [": ("YAML_FILE_ERROR", "Could not parse the buildspec"),
}


def test_a_wrong_buildspec_fails_by_name_before_anything_runs(builder: Builder) -> None:
    name = builder.project("version: 0.2\n")
    ids = [builder.client.start_build(projectName=name, buildspecOverride=t)["build"]["id"] for t in WRONG]
    for identifier, (code, message) in zip(ids, WRONG.values(), strict=True):
        done = builder.wait(identifier)
        assert (done.status, done.context("DOWNLOAD_SOURCE")[0]) == ("FAILED", code), message
        assert message in done.context("DOWNLOAD_SOURCE")[1]
        assert "INSTALL" not in done.phases
    missing = builder.project(source={"type": "S3", "location": builder.put("e.zip", {"a": "a"})})
    assert "buildspec.yml: no such file" in builder.start(missing).context("DOWNLOAD_SOURCE")[1]
    gone = builder.project(source={"type": "S3", "location": f"{BUCKET}/none.zip"})
    assert "NoSuchKey" in builder.start(gone).context("DOWNLOAD_SOURCE")[1]
    out = builder.project(source={"type": "S3", "location": builder.put("bad.zip", {"../out": "a"})})
    assert "leads out of its folder" in builder.start(out).context("DOWNLOAD_SOURCE")[1]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an image of one's own": ({"imageOverride": "python:3.12"}, "not python:3.12"),
    "a source elsewhere": (
        {"sourceTypeOverride": "GITHUB", "sourceLocationOverride": "https://github.com/a/b"},
        "source type GITHUB",
    ),
    "Windows": ({"environmentTypeOverride": "WINDOWS_SERVER_2022_CONTAINER"}, "WINDOWS_SERVER_2022_CONTAINER"),
    "a debug session": ({"debugSessionEnabled": True}, "debugSessionEnabled"),
    "logs in S3": (
        {"logsConfigOverride": {"s3Logs": {"status": "ENABLED", "location": "b/l"}}},
        "Logs in S3 are not written",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_run_here_is_refused_by_name(builder: Builder, what: str) -> None:
    overrides, message = REFUSED[what]
    name = builder.project(spec("true"))
    with pytest.raises(ClientError, match=message) as refused:
        builder.client.start_build(projectName=name, **overrides)
    assert refused.value.response["Error"]["Code"] == "NotImplementedByEmbeddedAws"
    assert builder.client.list_builds_for_project(projectName=name)["ids"] == []


def test_projects_are_kept_by_account_and_checked_as_codebuild_does(builder: Builder) -> None:
    client = builder.client
    name = builder.project(spec("true"), tags=[{"key": "k", "value": "v"}], timeoutInMinutes=7)
    arn = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{name}"
    found = client.batch_get_projects(names=[name, "none"])
    shown = found["projects"][0]
    assert (shown["arn"], shown["timeoutInMinutes"], shown["queuedTimeoutInMinutes"]) == (arn, 7, 480)
    assert (found["projectsNotFound"], shown["tags"]) == (["none"], [{"key": "k", "value": "v"}])
    client.update_project(name=name, description="new", timeoutInMinutes=9)
    changed = client.batch_get_projects(names=[arn])["projects"][0]
    assert (changed["description"], changed["timeoutInMinutes"], changed["tags"]) == ("new", 9, shown["tags"])
    assert name in client.list_projects()["projects"]
    assert builder.aws.client("codebuild", account="222222222222").list_projects()["projects"] == []
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException, match=f"already exists: {arn}"):
        builder.project(spec("true"), name=name)
    with pytest.raises(client.exceptions.InvalidInputException, match=r"sts:AssumeRole on .*role/none"):
        builder.project(spec("true"), serviceRole=f"arn:aws:iam::{ACCOUNT}:role/none")
    with pytest.raises(client.exceptions.InvalidInputException, match="source location is required"):
        builder.project(source={"type": "S3"})
    with pytest.raises(ClientError, match=r"environment\.type"):
        builder.project(spec("true"), environment={"type": "LINUX"})
    client.delete_project(name=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"Project cannot be found: {arn}"):
        client.start_build(projectName=name)


def test_an_image_that_aws_left_behind_is_warned_of(builder: Builder) -> None:
    old = "aws/codebuild/amazonlinux2-x86_64-standard:3.0"
    done = builder.run(spec("true"), environment={"image": old, "privilegedMode": True})
    assert done.status == "SUCCEEDED"
    assert f"WARNING: AWS does not maintain the image {old} any more" in done.everything
    assert "WARNING: Privileged mode changes nothing here" in done.everything


def test_retries_and_tokens(builder: Builder) -> None:
    name = builder.project(spec("echo $CODEBUILD_BUILD_NUMBER"))
    first = builder.start(name, idempotencyToken="once")
    assert builder.client.start_build(projectName=name, idempotencyToken="once")["build"]["id"] == first.build["id"]
    again = builder.wait(builder.client.retry_build(id=first.build["id"])["build"]["id"])
    assert (first.log, again.log) == ("1\n", "2\n")
    ids = [again.build["id"], first.build["id"]]
    assert builder.client.list_builds_for_project(projectName=name)["ids"] == ids
