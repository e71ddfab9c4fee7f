"""CodeCommit's operations that read commits, folders, files and differences. They change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..repositories.git import HEADS, OBJECT_ID, SUBMODULE, SYMLINK, TAGS, Commit, Difference, Entry, Person
from ..wire import Request
from .codecommit_pages import page
from .codecommit_store import Repositories, Repository, refusal

Parameters = dict[str, Any]
Answer = dict[str, Any]

FILE_SIZE = 6 * 1024 * 1024
MOST_COMMITS = 100
MOST_DIFFERENCES = 1000
NOTHING = "0" * 40
MODES = {"100644": "NORMAL", "100755": "EXECUTABLE", SYMLINK: "SYMLINK"}


def commit_of(repository: Repository, specifier: str | None) -> str:
    """The commit that a branch, a tag, ``HEAD``, the full name of a reference or a commit id stands for.

    Args:
        repository: where to look.
        specifier: nothing for the head of the default branch.

    Raises:
        AwsError: ``CommitDoesNotExistException``.
    """
    references = repository.git.references()
    if specifier in {None, "", "HEAD"}:
        specifier = HEADS + (repository.default_branch or "")
    for name in (specifier, f"{HEADS}{specifier}", f"{TAGS}{specifier}"):
        if name in references:
            return references[name]
    if repository.git.kind(str(specifier)) == "commit":
        return str(specifier)
    raise refusal("CommitDoesNotExistException")


def plain_path(path: str) -> str:
    """A path as git has it.

    Raises:
        AwsError: ``InvalidPathException``.
    """
    plain = path.strip("/")
    if path and ("\0" in path or (any(part in {"", ".", "..", ".git"} for part in plain.split("/")) and plain)):
        raise refusal("InvalidPathException", f"The specified path is not valid: {path}")
    return plain


def _person(person: Person) -> Answer:
    return {"name": person.name, "email": person.email, "date": person.date}


def _commit(commit: Commit) -> Answer:
    return {
        "commitId": commit.id,
        "treeId": commit.tree,
        "parents": list(commit.parents),
        "message": commit.message,
        "author": _person(commit.author),
        "committer": _person(commit.committer),
        "additionalData": "",
    }


def _get_commit(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, wanted = repositories.find(request, p["repositoryName"]), p["commitId"]
    if not OBJECT_ID.fullmatch(wanted):
        raise refusal("InvalidCommitIdException")
    if repository.git.kind(wanted) != "commit":
        raise refusal("CommitIdDoesNotExistException", f"Commit ID {wanted} does not exist")
    return {"commit": _commit(repository.git.commit(wanted))}


def _batch_get_commits(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, wanted = repositories.find(request, p["repositoryName"]), p["commitIds"]
    if not wanted:
        raise refusal("CommitIdsListRequiredException")
    if len(wanted) > MOST_COMMITS:
        raise refusal("CommitIdsLimitExceededException")
    there = [commit for commit in wanted if repository.git.kind(commit) == "commit"]
    missing = [
        {"commitId": c, "errorCode": "CommitIdDoesNotExistException", "errorMessage": f"Commit ID {c} does not exist"}
        for c in wanted
        if c not in there
    ]
    return {"commits": [_commit(repository.git.commit(commit)) for commit in there], "errors": missing}


def _get_blob(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, wanted = repositories.find(request, p["repositoryName"]), p["blobId"]
    if not OBJECT_ID.fullmatch(wanted):
        raise refusal("InvalidBlobIdException")
    if repository.git.kind(wanted) != "blob":
        raise refusal("BlobIdDoesNotExistException")
    return {"content": _content(repository, wanted)}


def _content(repository: Repository, blob: str) -> bytes:
    content = repository.git.content(blob)
    if len(content) > FILE_SIZE:
        raise refusal("FileTooLargeException")
    return content


def _get_file(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    commit, path = commit_of(repository, p.get("commitSpecifier")), plain_path(p["filePath"])
    entry = repository.git.entry(commit, path)
    if entry is None or entry.kind != "blob":
        raise refusal("FileDoesNotExistException", f"{path} does not exist in commit {commit}")
    return {
        "commitId": commit,
        "blobId": entry.id,
        "filePath": path,
        "fileMode": MODES[entry.mode],
        "fileSize": entry.size,
        "fileContent": _content(repository, entry.id),
    }


def _get_folder(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    commit, folder = commit_of(repository, p.get("commitSpecifier")), plain_path(p["folderPath"])
    tree = repository.git.tree_of(commit)
    if folder:
        entry = repository.git.entry(commit, folder)
        if entry is None or entry.kind != "tree":
            raise refusal("FolderDoesNotExistException", f"{folder} does not exist in commit {commit}")
        tree = entry.id
    there = repository.git.entries(commit, folder)

    def place(entry: Entry) -> Answer:
        return {"absolutePath": entry.path, "relativePath": entry.path.rpartition("/")[2]}

    def files(*modes: str) -> list[Answer]:
        return [{"blobId": e.id, "fileMode": MODES[e.mode], **place(e)} for e in there if e.mode in modes]

    return {
        "commitId": commit,
        "folderPath": folder,
        "treeId": tree,
        "subFolders": [{"treeId": e.id, **place(e)} for e in there if e.kind == "tree"],
        "files": files("100644", "100755"),
        "symbolicLinks": files(SYMLINK),
        "subModules": [{"commitId": e.id, **place(e)} for e in there if e.mode == SUBMODULE],
    }


def _get_differences(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    before = commit_of(repository, p["beforeCommitSpecifier"]) if p.get("beforeCommitSpecifier") else None
    after = commit_of(repository, p["afterCommitSpecifier"])
    size = p.get("MaxResults") or MOST_DIFFERENCES
    if size < 1:
        raise refusal("InvalidMaxResultsException")
    sides = ((p.get("beforePath"), before), (p.get("afterPath"), after))
    for path, commit in sides:
        if path and (commit is None or repository.git.entry(commit, plain_path(path)) is None):
            raise refusal("PathDoesNotExistException", f"{path} does not exist in commit {commit}")
    wanted = [plain_path(path) for path, _ in sides if path]
    changes = [
        _difference(change)
        for change in repository.git.differences(before, after)
        if not wanted or any(change.path == path or change.path.startswith(f"{path}/") for path in wanted)
    ]
    return page(changes, "differences", p.get("NextToken"), min(size, MOST_DIFFERENCES), next_key="NextToken")


def _difference(difference: Difference) -> Answer:
    answer: Answer = {"changeType": difference.change}
    for side, (mode, blob) in (("beforeBlob", difference.before), ("afterBlob", difference.after)):
        if blob != NOTHING:
            answer[side] = {"blobId": blob, "path": difference.path, "mode": mode}
    return answer


OPERATIONS: dict[str, Callable[[Repositories, Request, Parameters], object]] = {
    "BatchGetCommits": _batch_get_commits,
    "GetBlob": _get_blob,
    "GetCommit": _get_commit,
    "GetDifferences": _get_differences,
    "GetFile": _get_file,
    "GetFolder": _get_folder,
}
