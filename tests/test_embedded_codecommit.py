"""CodeCommit's API in the embedded AWS: repositories, branches, commits, refusals. git itself is tested elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
MINE, OTHER = "611111111111", "612222222222"
NOWHERE = "0" * 40


@pytest.fixture(scope="module")
def code(aws: EmbeddedAws) -> Any:
    return aws.client("codecommit", MINE)


@pytest.fixture
def repository(code: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new repository, without a commit, named like the test."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:100]
    code.create_repository(repositoryName=name)
    yield name
    code.delete_repository(repositoryName=name)


def error_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refusal:
        call()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refusal.value.response["Error"]["Message"]
    return str(refusal.value.response["Error"]["Code"])


def put(path: str, content: bytes = b"content", **more: Any) -> dict[str, Any]:
    return {"filePath": path, "fileContent": content, **more}


def commit(code: Any, repository: str, *files: dict[str, Any], **more: Any) -> str:
    """A commit on ``main``, on top of what is there."""
    branches = code.list_branches(repositoryName=repository)["branches"]
    if "main" in branches and "parentCommitId" not in more:
        more["parentCommitId"] = tip(code, repository)
    more = {"branchName": "main", "putFiles": list(files), **more}
    return str(code.create_commit(repositoryName=repository, **more)["commitId"])


def tip(code: Any, repository: str, branch: str = "main") -> str:
    return str(code.get_branch(repositoryName=repository, branchName=branch)["branch"]["commitId"])


def paths(code: Any, repository: str, specifier: str = "main") -> list[str]:
    """Every file of a commit, as differences from nothing."""
    changes = code.get_differences(repositoryName=repository, afterCommitSpecifier=specifier)["differences"]
    return [change["afterBlob"]["path"] for change in changes]


# --- repositories


def test_a_repository_is_described_as_aws_does(code: Any) -> None:
    made = code.create_repository(repositoryName="My.repo_1", repositoryDescription="for a test", tags={"team": "a"})
    described = code.get_repository(repositoryName="My.repo_1")["repositoryMetadata"]
    assert made["repositoryMetadata"] == described
    assert described["Arn"] == f"arn:aws:codecommit:{REGION}:{MINE}:My.repo_1"
    assert described["cloneUrlHttp"] == f"https://git-codecommit.{REGION}.amazonaws.com/v1/repos/My.repo_1"
    assert described["cloneUrlSsh"] == f"ssh://git-codecommit.{REGION}.amazonaws.com/v1/repos/My.repo_1"
    assert (described["accountId"], described["repositoryDescription"]) == (MINE, "for a test")
    assert "defaultBranch" not in described, "there is no branch yet"
    assert code.list_tags_for_resource(resourceArn=described["Arn"])["tags"] == {"team": "a"}
    assert code.delete_repository(repositoryName="My.repo_1")["repositoryId"] == described["repositoryId"]
    assert "repositoryId" not in code.delete_repository(repositoryName="My.repo_1")
    assert error_of(lambda: code.get_repository(repositoryName="My.repo_1")) == "RepositoryDoesNotExistException"


def test_a_name_is_taken_once_in_an_account_and_region(aws: EmbeddedAws, code: Any, repository: str) -> None:
    assert error_of(lambda: code.create_repository(repositoryName=repository)) == "RepositoryNameExistsException"
    for elsewhere in (aws.client("codecommit", OTHER), aws.client("codecommit", MINE, "us-east-1")):
        assert error_of(lambda c=elsewhere: c.get_repository(repositoryName=repository)) == (  # type: ignore[misc]
            "RepositoryDoesNotExistException"
        )
        elsewhere.create_repository(repositoryName=repository)
        elsewhere.put_file(repositoryName=repository, branchName="main", filePath="a", fileContent=b"theirs")
    assert code.list_branches(repositoryName=repository)["branches"] == []


@pytest.mark.parametrize("name", ["with space", "a/b", "name.git", "ü", "x" * 101, "../x"])
def test_names_that_aws_does_not_take(code: Any, name: str) -> None:
    assert error_of(lambda: code.create_repository(repositoryName=name)) == "InvalidRepositoryNameException"


@pytest.mark.slow
def test_lists_come_in_pages(aws: EmbeddedAws) -> None:
    mine = aws.client("codecommit", "333333333333")
    names = [f"r{number:03d}" for number in range(103)]
    for name in names:
        mine.create_repository(repositoryName=name)
    first = mine.list_repositories()
    assert [r["repositoryName"] for r in first["repositories"]] == names[:100]
    second = mine.list_repositories(nextToken=first["nextToken"])
    assert [r["repositoryName"] for r in second["repositories"]] == names[100:]
    assert "nextToken" not in second
    backwards = mine.list_repositories(sortBy="repositoryName", order="descending")["repositories"]
    assert backwards[0]["repositoryName"] == "r102"
    assert error_of(lambda: mine.list_repositories(nextToken="?")) == "InvalidContinuationTokenException"
    found = mine.batch_get_repositories(repositoryNames=["r001", "nope"])
    assert [r["repositoryName"] for r in found["repositories"]] == ["r001"]
    assert found["repositoriesNotFound"] == ["nope"]


def test_a_repository_can_be_changed(code: Any, repository: str) -> None:
    code.update_repository_description(repositoryName=repository, repositoryDescription="new")
    code.update_repository_name(oldName=repository, newName="renamed")
    described = code.get_repository(repositoryName="renamed")["repositoryMetadata"]
    assert described["repositoryDescription"] == "new"
    assert error_of(lambda: code.get_repository(repositoryName=repository)) == "RepositoryDoesNotExistException"
    code.tag_resource(resourceArn=described["Arn"], tags={"a": "1", "b": "2"})
    code.untag_resource(resourceArn=described["Arn"], tagKeys=["a"])
    assert code.list_tags_for_resource(resourceArn=described["Arn"])["tags"] == {"b": "2"}
    foreign = described["Arn"].replace(MINE, OTHER)
    assert error_of(lambda: code.list_tags_for_resource(resourceArn=foreign)) == "InvalidResourceArnException"
    code.update_repository_name(oldName="renamed", newName=repository)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("create_pull_request", {"title": "t", "targets": [{"repositoryName": "r", "sourceReference": "b"}]}),
        ("put_repository_triggers", {"repositoryName": "r", "triggers": []}),
    ],
)
def test_what_is_not_there_is_refused_by_name(code: Any, method: str, parameters: dict[str, Any]) -> None:
    assert error_of(lambda: getattr(code, method)(**parameters)) == "NotImplementedByEmbeddedAws"


# --- branches


def test_the_first_branch_becomes_the_default(code: Any, repository: str) -> None:
    code.put_file(repositoryName=repository, branchName="trunk", filePath="a", fileContent=b"1")
    assert code.get_repository(repositoryName=repository)["repositoryMetadata"]["defaultBranch"] == "trunk"
    start = tip(code, repository, "trunk")
    code.create_branch(repositoryName=repository, branchName="feature/x", commitId=start)
    assert code.list_branches(repositoryName=repository)["branches"] == ["feature/x", "trunk"]
    assert error_of(lambda: code.create_branch(repositoryName=repository, branchName="feature/x", commitId=start)) == (
        "BranchNameExistsException"
    )
    assert error_of(lambda: code.delete_branch(repositoryName=repository, branchName="trunk")) == (
        "DefaultBranchCannotBeDeletedException"
    )
    code.update_default_branch(repositoryName=repository, defaultBranchName="feature/x")
    deleted = code.delete_branch(repositoryName=repository, branchName="trunk")["deletedBranch"]
    assert deleted == {"branchName": "trunk", "commitId": start}
    assert "deletedBranch" not in code.delete_branch(repositoryName=repository, branchName="trunk")
    assert code.get_file(repositoryName=repository, filePath="a")["fileContent"] == b"1", "of the default branch"


@pytest.mark.parametrize("name", ["a..b", "a b", "-x.lock", "x~1", "/x"])
def test_branches_that_git_does_not_take(code: Any, repository: str, name: str) -> None:
    assert error_of(lambda: commit(code, repository, put("a"), branchName=name)) == "InvalidBranchNameException"
    assert code.list_branches(repositoryName=repository)["branches"] == []


def test_a_branch_starts_at_a_commit_that_exists(code: Any, repository: str) -> None:
    def create(commit_id: str) -> Any:
        return lambda: code.create_branch(repositoryName=repository, branchName="b", commitId=commit_id)

    assert error_of(create(NOWHERE)) == "CommitDoesNotExistException"
    assert error_of(create("main")) == "InvalidCommitIdException"
    missing = error_of(lambda: code.get_branch(repositoryName=repository, branchName="b"))
    assert missing == "BranchDoesNotExistException"


# --- commits


def test_a_hundred_files_in_one_commit_as_a_stack_makes_them(code: Any, repository: str) -> None:
    names = [f"folder {number % 7}/ä\"{number}'.txt" for number in range(99)]
    files = [put(name, f"{name}\n".encode() * 100) for name in names]
    run = put("run.sh", b"#!/bin/sh\n", fileMode="EXECUTABLE")
    made = code.create_commit(
        repositoryName=repository,
        branchName="main",
        authorName="Ann <Ops>",
        email="ann@example.com",
        commitMessage="All at once\n\nWith a body",
        putFiles=[*files, run],
    )
    assert sorted(f["absolutePath"] for f in made["filesAdded"]) == sorted([*names, "run.sh"])
    assert (made["filesUpdated"], made["filesDeleted"]) == ([], [])
    assert sorted(paths(code, repository)) == sorted([*names, "run.sh"])
    read = code.get_file(repositoryName=repository, filePath=names[3])
    assert read["fileContent"] == f"{names[3]}\n".encode() * 100
    assert (read["fileMode"], read["fileSize"]) == ("NORMAL", len(read["fileContent"]))
    assert code.get_file(repositoryName=repository, filePath="/run.sh")["fileMode"] == "EXECUTABLE"
    described = code.get_commit(repositoryName=repository, commitId=made["commitId"])["commit"]
    assert described["message"] == "All at once\n\nWith a body"
    assert (described["author"]["name"], described["author"]["email"]) == ("Ann Ops", "ann@example.com")
    assert (described["parents"], described["treeId"]) == ([], made["treeId"])


def test_one_commit_writes_moves_deletes_and_sets_modes(code: Any, repository: str) -> None:
    first = commit(code, repository, put("keep"), put("old", b"moved"), put("gone/x"), put("script"))
    made = code.create_commit(
        repositoryName=repository,
        branchName="main",
        parentCommitId=first,
        putFiles=[put("keep", b"other"), {"filePath": "new", "sourceFile": {"filePath": "old", "isMove": True}}],
        deleteFiles=[{"filePath": "gone/x"}],
        setFileModes=[{"filePath": "script", "fileMode": "EXECUTABLE"}],
        keepEmptyFolders=True,
    )
    assert [f["absolutePath"] for f in made["filesAdded"]] == ["gone/.gitkeep", "new"]
    assert [f["absolutePath"] for f in made["filesUpdated"]] == ["keep", "script"]
    assert [f["absolutePath"] for f in made["filesDeleted"]] == ["gone/x", "old"]
    assert code.get_file(repositoryName=repository, filePath="new")["fileContent"] == b"moved"
    assert code.get_commit(repositoryName=repository, commitId=made["commitId"])["commit"]["parents"] == [first]


def test_single_files(code: Any, repository: str) -> None:
    first = code.put_file(repositoryName=repository, branchName="main", filePath="a/b", fileContent=b"1")

    def again(content: bytes, **more: Any) -> Any:
        parent = {"parentCommitId": first["commitId"], **more}
        return code.put_file(
            repositoryName=repository, branchName="main", filePath="a/b", fileContent=content, **parent
        )

    assert error_of(lambda: again(b"1")) == "SameFileContentException"
    second = again(b"2", commitMessage="two", name="Bob")
    assert error_of(lambda: again(b"3")) == "ParentCommitIdOutdatedException"
    described = code.get_commit(repositoryName=repository, commitId=second["commitId"])["commit"]
    assert (described["message"].strip(), described["author"]["name"]) == ("two", "Bob")
    deletion = {"repositoryName": repository, "branchName": "main", "parentCommitId": second["commitId"]}
    assert error_of(lambda: code.delete_file(filePath="nope", **deletion)) == "FileDoesNotExistException"
    deleted = code.delete_file(filePath="a/b", **deletion)
    assert (deleted["blobId"], deleted["filePath"]) == (second["blobId"], "a/b")
    assert paths(code, repository) == []
    assert code.get_blob(repositoryName=repository, blobId=second["blobId"])["content"] == b"2"


MEBIBYTE = 1024 * 1024
BAD_COMMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("FileEntryRequiredException", {"putFiles": []}),
    "too many files": (
        "MaximumFileEntriesExceededException",
        {"putFiles": [put(f"{n}") for n in range(101)]},
    ),
    "a file too large": (
        "FileContentSizeLimitExceededException",
        {"putFiles": [put("l", b"x" * (6 * MEBIBYTE + 1))]},
    ),
    "too much together": (
        "FileContentSizeLimitExceededException",
        {"putFiles": [put(n, b"x" * 4 * MEBIBYTE) for n in "ab"]},
    ),
    "no change": ("NoChangeException", {"putFiles": [put("there")]}),
    "the same path twice": ("SamePathRequestException", {"putFiles": [put("a"), put("/a")]}),
    "a path upwards": ("InvalidPathException", {"putFiles": [put("a/../../b")]}),
    "git's own folder": ("InvalidPathException", {"putFiles": [put(".git/config")]}),
    "a folder's name": ("FileNameConflictsWithDirectoryNameException", {"putFiles": [put("folder")]}),
    "below a file": ("DirectoryNameConflictsWithFileNameException", {"putFiles": [put("there/x")]}),
    "no such mode": ("InvalidFileModeException", {"putFiles": [put("a", fileMode="WORLD")]}),
    "no content": ("SourceFileOrContentRequiredException", {"putFiles": [{"filePath": "a"}]}),
    "two contents": (
        "FileContentAndSourceFileSpecifiedException",
        {"putFiles": [put("a", sourceFile={"filePath": "there"})]},
    ),
    "a missing source": (
        "FileDoesNotExistException",
        {"putFiles": [{"filePath": "a", "sourceFile": {"filePath": "nope"}}]},
    ),
    "a missing file deleted": ("FileDoesNotExistException", {"deleteFiles": [{"filePath": "nope"}]}),
    "no parent": ("ParentCommitIdRequiredException", {"putFiles": [put("a")], "parentCommitId": ""}),
    "a parent that is none": ("InvalidParentCommitIdException", {"putFiles": [put("a")], "parentCommitId": "main"}),
    "a missing parent": ("ParentCommitDoesNotExistException", {"putFiles": [put("a")], "parentCommitId": NOWHERE}),
    "a missing branch": ("BranchDoesNotExistException", {"putFiles": [put("a")], "branchName": "nope"}),
    "a message too long": (
        "CommitMessageLengthExceededException",
        {"putFiles": [put("a")], "commitMessage": "x" * 256 * 1024 + "x"},
    ),
}


@pytest.fixture(scope="module")
def steady(code: Any) -> str:
    """A repository with one commit, which nobody changes."""
    code.create_repository(repositoryName="steady")
    commit(code, "steady", put("there"), put("folder/x"))
    return "steady"


LARGE = {"a file too large", "too much together"}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.slow] * (what in LARGE)) for what in BAD_COMMITS]
)
def test_commits_that_are_refused_change_nothing(code: Any, steady: str, what: str) -> None:
    expected, parameters = BAD_COMMITS[what]
    before = tip(code, steady)
    assert error_of(lambda: commit(code, steady, **parameters)) == expected
    assert tip(code, steady) == before
    assert code.list_branches(repositoryName=steady)["branches"] == ["main"]


def test_of_commits_at_once_on_one_parent_one_is_made(code: Any, repository: str) -> None:
    parent = commit(code, repository, put("a"))
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            outcomes.append(commit(code, repository, put(f"{number}"), parentCommitId=parent))
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("ParentCommitIdOutdatedException") == 7
    (made,) = [outcome for outcome in outcomes if outcome != "ParentCommitIdOutdatedException"]
    assert tip(code, repository) == made
    assert len(paths(code, repository)) == 2


# --- reading


def test_a_folder_is_listed(code: Any, repository: str) -> None:
    commit(code, repository, put("top"), put("a/one"), put("a/b/two"), put("a/link", b"one", fileMode="SYMLINK"))
    root = code.get_folder(repositoryName=repository, folderPath="/")
    assert [f["absolutePath"] for f in root["files"]] == ["top"]
    assert [(f["absolutePath"], f["relativePath"]) for f in root["subFolders"]] == [("a", "a")]
    inner = code.get_folder(repositoryName=repository, folderPath="/a/", commitSpecifier="refs/heads/main")
    assert [(f["absolutePath"], f["relativePath"]) for f in inner["files"]] == [("a/one", "one")]
    assert [f["absolutePath"] for f in inner["symbolicLinks"]] == ["a/link"]
    assert [f["absolutePath"] for f in inner["subFolders"]] == ["a/b"]
    assert inner["treeId"] == root["subFolders"][0]["treeId"]
    for path in ("nope", "top"):
        missing = error_of(lambda p=path: code.get_folder(repositoryName=repository, folderPath=p))  # type: ignore[misc]
        assert missing == "FolderDoesNotExistException"
    for path in ("nope", "a"):
        missing = error_of(lambda p=path: code.get_file(repositoryName=repository, filePath=p))  # type: ignore[misc]
        assert missing == "FileDoesNotExistException"


def test_differences_between_commits(code: Any, repository: str) -> None:
    first = commit(code, repository, put("a/same"), put("a/changed"), put("b/gone"))
    second = commit(code, repository, put("a/changed", b"!"), put("new"), deleteFiles=[{"filePath": "b/gone"}])

    def differences(**more: Any) -> list[tuple[str, str]]:
        asked = {"repositoryName": repository, "beforeCommitSpecifier": first, "afterCommitSpecifier": second}
        changes = code.get_differences(**asked, **more)["differences"]
        return [(c["changeType"], (c.get("afterBlob") or c["beforeBlob"])["path"]) for c in changes]

    assert differences() == [("M", "a/changed"), ("D", "b/gone"), ("A", "new")]
    assert differences(afterPath="a") == [("M", "a/changed")]
    assert differences(beforePath="b") == [("D", "b/gone")]
    assert error_of(lambda: differences(afterPath="b")) == "PathDoesNotExistException"
    page = code.get_differences(repositoryName=repository, afterCommitSpecifier="main", MaxResults=2)
    rest = code.get_differences(
        repositoryName=repository, afterCommitSpecifier="main", MaxResults=2, NextToken=page["NextToken"]
    )
    assert [c["afterBlob"]["path"] for c in page["differences"] + rest["differences"]] == [
        "a/changed",
        "a/same",
        "new",
    ]


def test_commits_that_are_not_there(code: Any, repository: str) -> None:
    assert error_of(lambda: code.get_file(repositoryName=repository, filePath="a")) == "CommitDoesNotExistException"
    made = commit(code, repository, put("a"))
    found = code.batch_get_commits(repositoryName=repository, commitIds=[made, NOWHERE])
    assert [c["commitId"] for c in found["commits"]] == [made]
    assert [c["commitId"] for c in found["errors"]] == [NOWHERE]
    blob = code.get_file(repositoryName=repository, filePath="a")["blobId"]
    for missing in (NOWHERE, blob):
        asked = {"repositoryName": repository, "commitId": missing}
        assert error_of(lambda a=asked: code.get_commit(**a)) == "CommitIdDoesNotExistException"  # type: ignore[misc]
    for specifier in ("nope", NOWHERE, "main~1", "--help"):
        asked = {"repositoryName": repository, "filePath": "a", "commitSpecifier": specifier}
        assert error_of(lambda a=asked: code.get_file(**a)) == "CommitDoesNotExistException"  # type: ignore[misc]
