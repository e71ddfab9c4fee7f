"""The embedded AWS's repositories as git sees them: clone, fetch, push and archive over HTTP, and the events of it."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow

REGION = "eu-west-1"
MINE, OTHER = "111111111111", "222222222222"
AUTHOR = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{MINE}:root"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(region=REGION) as running:
        yield running


@pytest.fixture(scope="module")
def code(aws: EmbeddedAws) -> Any:
    return aws.client("codecommit")


@pytest.fixture
def url(code: Any, request: pytest.FixtureRequest) -> str:
    """The address of a new repository, named like the test, with one commit."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:100]
    made = code.create_repository(repositoryName=name)["repositoryMetadata"]
    code.put_file(repositoryName=name, branchName="main", filePath="README", fileContent=b"hello\n")
    return str(made["cloneUrlHttp"])


@pytest.fixture
def git(aws: EmbeddedAws, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs git as anybody would; the environment is all that it knows of the embedded AWS."""

    def run(
        *arguments: str, cwd: Path = tmp_path, fails: bool | None = False, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = env or aws.child_environment(os.environ)
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert fails is None or (done.returncode != 0) == fails, done.stderr
        return done

    return run


Git = Callable[..., subprocess.CompletedProcess[str]]


def repository_of(url: str) -> str:
    return url.rpartition("/")[2]


def committed(git: Git, work: Path, **files: bytes) -> str:
    for name, content in files.items():
        (work / name).write_bytes(content)
    git("add", ".", cwd=work)
    git(*AUTHOR, "commit", "--quiet", "-m", "a change", cwd=work)
    return str(git("rev-parse", "HEAD", cwd=work).stdout.strip())


def requested(aws: EmbeddedAws, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Any:
    host, _, port = aws.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:x".encode()).decode()}


# --- clone, fetch, push


def test_what_is_pushed_can_be_cloned_and_read(code: Any, git: Git, url: str, tmp_path: Path) -> None:
    git("clone", "--quiet", url, "one")
    assert (tmp_path / "one" / "README").read_text() == "hello\n"
    assert git("branch", "--show-current", cwd=tmp_path / "one").stdout.strip() == "main"
    pushed = committed(git, tmp_path / "one", new=b"pushed\n")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "one")
    name = repository_of(url)
    assert code.get_branch(repositoryName=name, branchName="main")["branch"]["commitId"] == pushed
    assert code.get_file(repositoryName=name, filePath="new")["fileContent"] == b"pushed\n"
    code.put_file(
        repositoryName=name, branchName="main", filePath="api", fileContent=b"by API\n", parentCommitId=pushed
    )
    git("pull", "--quiet", "--ff-only", cwd=tmp_path / "one")
    assert (tmp_path / "one" / "api").read_text() == "by API\n"


def test_an_empty_repository_is_cloned_and_its_first_push_makes_the_default_branch(
    code: Any, git: Git, tmp_path: Path
) -> None:
    made = code.create_repository(repositoryName="empty")["repositoryMetadata"]
    git("clone", "--quiet", made["cloneUrlHttp"], "work")
    committed(git, tmp_path / "work", a=b"1")
    git("push", "--quiet", "origin", "HEAD:trunk", cwd=tmp_path / "work")
    assert code.get_repository(repositoryName="empty")["repositoryMetadata"]["defaultBranch"] == "trunk"
    git("clone", "--quiet", made["cloneUrlHttp"], "again")
    assert (tmp_path / "again" / "a").read_bytes() == b"1"


def test_a_large_push_and_a_shallow_clone(git: Git, url: str, tmp_path: Path) -> None:
    git("clone", "--quiet", url, "work")
    content = os.urandom(3_000_000)  # more than git sends in one piece
    committed(git, tmp_path / "work", large=content)
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")
    git("clone", "--quiet", "--depth", "1", url, "shallow")
    assert (tmp_path / "shallow" / "large").read_bytes() == content
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow").stdout.strip() == "1"


def test_a_compressed_request_is_understood(aws: EmbeddedAws, url: str) -> None:
    path = f"/_embedded/git/{REGION}.amazonaws.com/v1/repos/{repository_of(url)}/git-upload-pack"
    headers = {
        "Content-Type": "application/x-git-upload-pack-request",
        "Git-Protocol": "version=2",
        "Content-Encoding": "gzip",
        **basic(MINE),
    }
    listing = b"0014command=ls-refs\n00010000"
    status, answered, body = requested(aws, "POST", path, headers, gzip.compress(listing))
    assert (status, answered["Content-Type"]) == (200, "application/x-git-upload-pack-result")
    assert b"refs/heads/main" in body
    assert requested(aws, "POST", path, headers, listing)[0] == 403, "which is not compressed at all"


def test_of_pushes_at_once_one_wins_and_nothing_is_lost(code: Any, git: Git, url: str, tmp_path: Path) -> None:
    works = [tmp_path / f"work{number}" for number in range(4)]
    for work in works:
        git("clone", "--quiet", url, work.name)
        committed(git, work, **{work.name: b"1"})
    with ThreadPoolExecutor(len(works)) as pool:
        pushes = pool.map(lambda work: git("push", "--quiet", "origin", "main", cwd=work, fails=None), works)
        codes = [push.returncode for push in pushes]
    assert sorted(codes) == [0, 1, 1, 1]
    (winner,) = [work.name for work, exit_code in zip(works, codes, strict=True) if exit_code == 0]
    files = code.get_folder(repositoryName=repository_of(url), folderPath="/")["files"]
    assert sorted(f["absolutePath"] for f in files) == ["README", winner]
    late = works[codes.index(1)]
    assert "fetch first" in git("push", "origin", "main", cwd=late, fails=True).stderr
    git(*AUTHOR, "pull", "--quiet", "--rebase", cwd=late)
    git("push", "--quiet", "origin", "main", cwd=late)
    files = code.get_folder(repositoryName=repository_of(url), folderPath="/")["files"]
    assert sorted(f["absolutePath"] for f in files) == sorted(["README", winner, late.name])


# --- who may


def test_the_credentials_tell_the_account(aws: EmbeddedAws, git: Git, url: str) -> None:
    other = aws.child_environment(os.environ, OTHER)
    assert "not found" in git("clone", url, env=other, fails=True).stderr
    aws.client("codecommit", OTHER).create_repository(repositoryName=repository_of(url))
    git("clone", "--quiet", url, "theirs", env=other)
    assert "not found" in git("clone", url.replace(REGION, "us-east-1"), fails=True).stderr


def test_a_role_clones_and_the_event_names_it(aws: EmbeddedAws, git: Git, url: str, tmp_path: Path) -> None:
    aws.client("iam").create_role(RoleName="developer", AssumeRolePolicyDocument=json.dumps(TRUST))
    role = f"arn:aws:iam::{MINE}:role/developer"
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    environment = aws.child_environment(os.environ) | {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
    git("clone", "--quiet", url, "work", env=environment)
    events = watched(aws, url)
    committed(git, tmp_path / "work", a=b"1")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work", env=environment)
    (event,) = events(1)
    assert "developer" in event["detail"]["callerUserArn"]


def test_strangers_are_kept_out_and_told(aws: EmbeddedAws, git: Git, url: str) -> None:
    stranger = aws.child_environment(os.environ) | {"AWS_ACCESS_KEY_ID": "AKIASTRANGER"}
    said = git("clone", url, env=stranger, fails=True).stderr
    assert "security token included in the request is invalid" in said
    path = f"/_embedded/git/{REGION}.amazonaws.com/v1/repos/{repository_of(url)}/info/refs?service=git-upload-pack"
    before = len(aws.calls())
    status, headers, _ = requested(aws, "GET", path, {})
    assert (status, headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    assert len(aws.calls()) == before, "asking who it is, is no call"
    assert requested(aws, "GET", path, basic(f"{MINE}%token"))[0] == 200


@pytest.mark.parametrize("rest", ["info/refs", "info/refs?service=git-upload-archive", "HEAD", "config", "objects/x"])
def test_nothing_else_of_a_repository_can_be_read(aws: EmbeddedAws, url: str, rest: str) -> None:
    path = f"/_embedded/git/{REGION}.amazonaws.com/v1/repos/{repository_of(url)}/{rest}"
    status, _, body = requested(aws, "GET", path, basic(MINE))
    assert status >= 400
    assert b"README" not in body
    assert b"refs/heads" not in body


def test_git_is_not_told_where_no_git_asks(aws: EmbeddedAws) -> None:
    scope = f"{MINE}/20260101/{REGION}/codecommit/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "CodeCommit_20150413.GitPush",
    }
    status, _, body = requested(aws, "POST", "/", headers, b"{}")
    assert (status, json.loads(body)["__type"]) == (400, "UnknownOperationException")


def test_pulls_and_pushes_are_in_the_journal(aws: EmbeddedAws, git: Git, url: str, tmp_path: Path) -> None:
    before = len(aws.calls())
    git("clone", "--quiet", url, "work")
    pulls = aws.calls()[before:]
    assert {(c.service, c.operation, c.account, c.status, c.writes) for c in pulls} == {
        ("codecommit", "GitPull", MINE, 200, False)
    }
    committed(git, tmp_path / "work", a=b"1")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")
    pushes = aws.calls()[before + len(pulls) :]
    assert {(c.operation, c.status, c.writes) for c in pushes} == {("GitPush", 200, True)}


def test_settings_for_git_that_were_there_are_kept(aws: EmbeddedAws, git: Git) -> None:
    own = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Mine"}
    environment = aws.child_environment({**os.environ, **own})
    assert git("config", "user.name", env=environment).stdout.strip() == "Mine"
    assert "insteadof" in git("config", "--list", env=environment).stdout


# --- the archive that CodePipeline fetches


def archive(aws: EmbeddedAws, name: str, commit: str, account: str = MINE) -> tuple[int, bytes]:
    request = AWSRequest("GET", f"{aws.url}/v1/repos/{name}/archive", params={"commit": commit})
    SigV4Auth(Credentials(account, "embedded"), "codecommit", REGION).add_auth(request)
    prepared = request.prepare()
    path = str(prepared.url).removeprefix(aws.url)
    status, _, body = requested(aws, "GET", path, {k: str(v) for k, v in prepared.headers.items()})
    return status, body


def test_an_archive_has_every_file_of_the_commit_as_it_is(aws: EmbeddedAws, git: Git, url: str, tmp_path: Path) -> None:
    git("clone", "--quiet", url, "work")
    work = tmp_path / "work"
    (work / "run.sh").write_bytes(b"#!/bin/sh\r\n")
    (work / "run.sh").chmod(0o755)
    commit = committed(
        git, work, **{".gitattributes": b"secret export-ignore\nid export-subst\n"}, secret=b"kept", id=b"$Format:%H$"
    )
    git("push", "--quiet", "origin", "main", cwd=work)
    status, body = archive(aws, repository_of(url), commit)
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(body)) as zipped:
        assert sorted(zipped.namelist()) == [".gitattributes", "README", "id", "run.sh", "secret"]
        assert zipped.read("id") == b"$Format:%H$"
        assert zipped.read("run.sh") == b"#!/bin/sh\r\n"
        assert zipped.getinfo("run.sh").external_attr >> 16 & 0o111
    assert archive(aws, repository_of(url), commit) == (status, body), "the same bytes each time"
    call = aws.calls()[-1]
    assert (call.service, call.operation, call.account, call.writes) == ("codecommit", "UploadArchive", MINE, False)


def test_an_archive_that_nobody_can_have(aws: EmbeddedAws, url: str) -> None:
    name = repository_of(url)
    assert archive(aws, name, "main")[0] == 200
    status, body = archive(aws, name, "nope")
    assert (status, json.loads(body)["__type"]) == (400, "CommitDoesNotExistException")
    status, body = archive(aws, name, "main", account=OTHER)
    assert (status, json.loads(body)["__type"]) == (400, "RepositoryDoesNotExistException")
    assert requested(aws, "GET", f"/v1/repos/{name}/archive?commit=main", {})[0] >= 400


# --- events


def watched(aws: EmbeddedAws, url: str) -> Callable[[int], list[dict[str, Any]]]:
    """From now on the repository's events go to a queue; gives what takes so many out of it, and finds no more."""
    queues, rules, name = aws.client("sqs"), aws.client("events"), repository_of(url)[:60]
    queue = queues.create_queue(QueueName=name)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    queues.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [allow]})})
    pattern = {"source": ["aws.codecommit"], "detail": {"repositoryName": [repository_of(url)]}}
    rules.put_rule(Name=name, EventPattern=json.dumps(pattern))
    rules.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def take(count: int) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        deadline = time.monotonic() + 10
        while len(taken) < count and time.monotonic() < deadline:
            for message in queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                taken.append(json.loads(message["Body"]))
                queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        assert len(taken) == count, taken
        return taken

    return take


def test_every_change_of_a_reference_is_an_event(
    aws: EmbeddedAws, code: Any, git: Git, url: str, tmp_path: Path
) -> None:
    name = repository_of(url)
    described = code.get_repository(repositoryName=name)["repositoryMetadata"]
    events = watched(aws, url)
    git("clone", "--quiet", url, "work")
    first = git("rev-parse", "HEAD", cwd=tmp_path / "work").stdout.strip()
    second = committed(git, tmp_path / "work", a=b"1")
    git(*AUTHOR, "tag", "-a", "v1", "-m", "one", cwd=tmp_path / "work")
    git("push", "--quiet", "origin", "main", "HEAD:feature/x", "v1", cwd=tmp_path / "work")
    pushed = events(3)
    assert {event["source"] for event in pushed} == {"aws.codecommit"}
    assert {event["detail-type"] for event in pushed} == {"CodeCommit Repository State Change"}
    assert {tuple(event["resources"]) for event in pushed} == {(described["Arn"],)}
    common = {
        "repositoryName": name,
        "repositoryId": described["repositoryId"],
        "callerUserArn": f"arn:aws:iam::{MINE}:root",
        "commitId": second,
    }
    created = {**common, "event": "referenceCreated", "referenceType": "branch"}
    assert sorted((event["detail"] for event in pushed), key=lambda d: d["referenceFullName"]) == [
        {**created, "referenceName": "feature/x", "referenceFullName": "refs/heads/feature/x"},
        {
            **common,
            "event": "referenceUpdated",
            "referenceType": "branch",
            "referenceName": "main",
            "referenceFullName": "refs/heads/main",
            "oldCommitId": first,
        },
        {**created, "referenceType": "tag", "referenceName": "v1", "referenceFullName": "refs/tags/v1"},
    ]

    third = code.put_file(repositoryName=name, branchName="main", filePath="b", fileContent=b"", parentCommitId=second)[
        "commitId"
    ]
    code.create_branch(repositoryName=name, branchName="late", commitId=third)
    code.delete_branch(repositoryName=name, branchName="late")
    by_api = [(e["detail"]["event"], e["detail"]["referenceName"]) for e in events(3)]
    assert by_api == [("referenceUpdated", "main"), ("referenceCreated", "late"), ("referenceDeleted", "late")]


def test_what_changes_nothing_is_no_event(aws: EmbeddedAws, code: Any, git: Git, url: str, tmp_path: Path) -> None:
    events = watched(aws, url)
    git("clone", "--quiet", url, "work")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")
    again = {"branchName": "main", "filePath": "README", "fileContent": b"hello\n", "parentCommitId": NOBODY}
    with pytest.raises(ClientError):
        code.put_file(repositoryName=repository_of(url), **again)
    git("push", "--quiet", "origin", ":main", cwd=tmp_path / "work", fails=True)  # the default branch
    git("push", "--quiet", "origin", "HEAD:last", cwd=tmp_path / "work")
    (event,) = events(1)
    assert event["detail"]["referenceName"] == "last", "and nothing before it"


NOBODY = "1" * 40


# --- where they are kept


def test_repositories_end_with_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with EmbeddedAws(region=REGION) as short:
        client = short.client("codecommit")
        client.create_repository(repositoryName="r")
        client.put_file(repositoryName="r", branchName="main", filePath="a", fileContent=b"1")
        assert list(tmp_path.glob("*/repositories/*/HEAD"))
    assert list(tmp_path.iterdir()) == []
