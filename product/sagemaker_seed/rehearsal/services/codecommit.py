"""CodeCommit: real git repositories, the part of its API that programs use, clone, fetch and push over HTTP, events.

What is not here (pull requests, merges, comments, approval rules, triggers) is refused by name. A repository's address
and how a git client gets to it is told in ``repositories/address.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..ground import Ground
from ..repositories import transport
from ..repositories.address import GitRequest
from ..repositories.git import HEADS, OBJECT_ID, GitFailed
from ..wire import AwsError, Request, Response
from . import codecommit_commits, codecommit_reading
from .codecommit_pages import page
from .codecommit_reading import commit_of
from .codecommit_store import Repositories, Repository, check_name, refusal
from .service import Operation, Service

Parameters = dict[str, Any]
Answer = dict[str, Any]

BATCH_SIZE = 100
DESCRIPTION_LENGTH = 1000
MOST_TAGS = 50
# What git cannot have in a reference's name is refused by git itself; this is what AWS looks at.
BRANCH_LENGTH = 256
# Which error says that a parameter is missing, where it is not named like the parameter.
MISSING = {
    "afterCommitSpecifier": "CommitRequiredException",
    "commitIds": "CommitIdsListRequiredException",
    "defaultBranchName": "BranchNameRequiredException",
    "filePath": "PathRequiredException",
    "folderPath": "PathRequiredException",
    "kmsKeyId": "EncryptionKeyRequiredException",
    "newName": "RepositoryNameRequiredException",
    "oldName": "RepositoryNameRequiredException",
    "tagKeys": "TagKeysListRequiredException",
    "tags": "TagsMapRequiredException",
}
SORTED_BY: dict[str, Callable[[Repository], Any]] = {
    "repositoryName": lambda repository: repository.name,
    "lastModifiedDate": lambda repository: repository.modified,
}


def service(ground: Ground) -> Service:
    """CodeCommit, with repositories of its own for each server; they go when it goes."""
    repositories = Repositories(ground)
    acts = {**OPERATIONS, **codecommit_commits.OPERATIONS, **codecommit_reading.OPERATIONS}

    def operation(act: Callable[[Repositories, Request, Parameters], object]) -> Operation:
        return lambda request: act(repositories, request, _given(request))

    return Service(name="codecommit", operations={name: operation(act) for name, act in acts.items()}, complete=True)


def _given(request: Request) -> Parameters:
    """The request's parameters.

    Raises:
        AwsError: one that the operation needs is missing.
    """
    given = request.parameters()
    if request.operation not in OF_GIT:
        for name in request.operation_model.input_shape.required_members:
            if given.get(name) is None:
                raise refusal(
                    MISSING.get(name, f"{name[0].upper()}{name[1:]}RequiredException"), f"{name} is required."
                )
    return given


# --- repositories


def _metadata(repository: Repository) -> Answer:
    domain = "amazonaws.com.cn" if repository.partition == "aws-cn" else "amazonaws.com"
    place = f"git-codecommit.{repository.region}.{domain}/v1/repos/{repository.name}"
    described = {
        "accountId": repository.account,
        "repositoryId": repository.id,
        "repositoryName": repository.name,
        "repositoryDescription": repository.description,
        "defaultBranch": repository.default_branch,
        "kmsKeyId": repository.kms_key,
        "creationDate": repository.created,
        "lastModifiedDate": repository.modified,
        "cloneUrlHttp": f"https://{place}",
        "cloneUrlSsh": f"ssh://{place}",
        "Arn": repository.arn,
    }
    return {name: value for name, value in described.items() if value is not None}


def _create_repository(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    tags = dict(p.get("tags") or {})
    _check_tags(tags)
    details = {
        "description": _description(p.get("repositoryDescription")),
        "kms_key": p.get("kmsKeyId"),
        "tags": tags,
    }
    return {"repositoryMetadata": _metadata(repositories.create(request, p["repositoryName"], details))}


def _get_repository(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    return {"repositoryMetadata": _metadata(repositories.find(request, p["repositoryName"]))}


def _batch_get_repositories(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    names = p["repositoryNames"]
    if not names:
        raise refusal("RepositoryNamesRequiredException")
    if len(names) > BATCH_SIZE:
        raise refusal("MaximumRepositoryNamesExceededException")
    for name in names:
        check_name(name)
    there = repositories.store(request).repositories
    return {
        "repositories": [_metadata(there[name]) for name in names if name in there],
        "repositoriesNotFound": [name for name in names if name not in there],
        "errors": [],
    }


def _list_repositories(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    sorted_by, order = p.get("sortBy") or "repositoryName", p.get("order") or "ascending"
    if sorted_by not in SORTED_BY:
        raise refusal("InvalidSortByException")
    if order not in {"ascending", "descending"}:
        raise refusal("InvalidOrderException")
    there = list(repositories.store(request).repositories.values())
    there.sort(key=SORTED_BY[sorted_by], reverse=order == "descending")
    pairs = [{"repositoryName": repository.name, "repositoryId": repository.id} for repository in there]
    return page(pairs, "repositories", p.get("nextToken"))


def _delete_repository(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    deleted = repositories.delete(request, p["repositoryName"])
    return {} if deleted is None else {"repositoryId": deleted}


def _description(text: str | None) -> str | None:
    if text is not None and len(text) > DESCRIPTION_LENGTH:
        raise refusal("InvalidRepositoryDescriptionException")
    return text


def _update_description(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    with repository.lock:
        repository.description = _description(p.get("repositoryDescription"))
        repository.modified = datetime.now(UTC)
    return {}


def _update_key(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    with repository.lock:
        before, repository.kms_key = repository.kms_key, p["kmsKeyId"]
    return {"repositoryId": repository.id, "kmsKeyId": repository.kms_key, "originalKmsKeyId": before}


def _update_name(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    new = p["newName"]
    check_name(new)
    store = repositories.store(request)
    with store.lock:
        repository = repositories.find(request, p["oldName"])
        if new in store.repositories:
            raise refusal("RepositoryNameExistsException", f"Repository named {new} already exists")
        store.repositories[new] = store.repositories.pop(repository.name)
        repository.name, repository.modified = new, datetime.now(UTC)
    return {}


# --- branches


def _branches(repository: Repository) -> dict[str, str]:
    there = repository.git.references()
    return {name.removeprefix(HEADS): commit for name, commit in there.items() if name.startswith(HEADS)}


def _branch(repository: Repository, name: str) -> str:
    if not 1 <= len(name) <= BRANCH_LENGTH:
        raise refusal("InvalidBranchNameException")
    found = _branches(repository).get(name)
    if found is None:
        raise refusal("BranchDoesNotExistException", f"Branch {name} does not exist")
    return found


def _get_branch(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    if not p.get("repositoryName"):
        raise refusal("RepositoryNameRequiredException")
    if not p.get("branchName"):
        raise refusal("BranchNameRequiredException")
    repository = repositories.find(request, p["repositoryName"])
    commit = _branch(repository, p["branchName"])
    return {"branch": {"branchName": p["branchName"], "commitId": commit}}


def _list_branches(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = repositories.find(request, p["repositoryName"])
    return page(sorted(_branches(repository)), "branches", p.get("nextToken"))


def _create_branch(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, name, commit = repositories.find(request, p["repositoryName"]), p["branchName"], p["commitId"]
    if not OBJECT_ID.fullmatch(commit):
        raise refusal("InvalidCommitIdException")
    with repositories.changing(repository, request) as references:
        if HEADS + name in references:
            raise refusal("BranchNameExistsException", f"Branch {name} already exists")
        if repository.git.kind(commit) != "commit":
            raise refusal("CommitDoesNotExistException", f"Commit {commit} does not exist")
        codecommit_commits.check_branch_name(repository, name)
        repository.git.set_reference(HEADS + name, commit, None)
    return {}


def _delete_branch(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, name = repositories.find(request, p["repositoryName"]), p["branchName"]
    with repositories.changing(repository, request) as references:
        commit = references.get(HEADS + name)
        if commit is None:
            return {}
        if name == repository.default_branch:
            raise refusal("DefaultBranchCannotBeDeletedException")
        repository.git.delete_reference(HEADS + name)
    return {"deletedBranch": {"branchName": name, "commitId": commit}}


def _update_default_branch(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository, name = repositories.find(request, p["repositoryName"]), p["defaultBranchName"]
    with repository.lock:
        _branch(repository, name)
        repository.git.set_head(name)
        repository.default_branch, repository.modified = name, datetime.now(UTC)
    return {}


# --- tags


def _of_arn(repositories: Repositories, request: Request, p: Parameters) -> Repository:
    arn = p["resourceArn"].split(":")
    here = ["arn", request.partition, "codecommit", request.region, request.caller.account]
    if len(arn) != 6 or arn[:5] != here:
        raise refusal("InvalidResourceArnException")
    return repositories.find(request, arn[5])


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MOST_TAGS:
        raise refusal("TooManyTagsException")


def _tag(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = _of_arn(repositories, request, p)
    with repository.lock:
        tags = {**repository.tags, **p["tags"]}
        _check_tags(tags)
        repository.tags = tags
    return {}


def _untag(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    repository = _of_arn(repositories, request, p)
    with repository.lock:
        repository.tags = {key: value for key, value in repository.tags.items() if key not in p["tagKeys"]}
    return {}


def _list_tags(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    return {"tags": _of_arn(repositories, request, p).tags}


# --- what git asks for


def _asked_by_git(repositories: Repositories, request: Request, p: Parameters) -> tuple[Repository, GitRequest]:
    """The repository that a request of git's is about, and what it asks for."""
    if request.git is None:
        raise AwsError("UnknownOperationException", f"{request.operation} is answered to git alone.")
    repository = repositories.find(request, p["repositoryName"])
    repositories.ground.gate.require(request, f"codecommit:{request.operation}", repository.arn)
    return repository, request.git


def _git(repositories: Repositories, request: Request, p: Parameters) -> Response:
    """A clone, fetch or push: first the references, then the transfer."""
    repository, asked = _asked_by_git(repositories, request, p)
    headers = request.http.headers
    protocol, encoding = headers.get("Git-Protocol", ""), headers.get("Content-Encoding", "")
    try:
        if asked.advertises:
            answer = transport.advertise(repository.git, asked.git_service, protocol)
        elif asked.action == "GitPull":
            answer = transport.transfer(repository.git, asked.git_service, protocol, encoding, request.body)
        else:
            with repositories.changing(repository, request):
                answer = transport.transfer(repository.git, asked.git_service, protocol, encoding, request.body)
    except (GitFailed, transport.BadBody) as error:
        raise AwsError("InvalidRequest", str(error)) from None
    return Response(200, answer.headers, answer.body)


def _upload_archive(repositories: Repositories, request: Request, p: Parameters) -> Response:
    """The files of a commit as a zip. AWS gives them to CodePipeline alone, by no public operation.

    It is ``GET /v1/repos/NAME/archive?commit=COMMIT``, signed for ``codecommit``; COMMIT is what ``GetFile`` takes for
    a ``commitSpecifier``.
    """
    repository, _ = _asked_by_git(repositories, request, p)
    commit = commit_of(repository, request.http.args.get("commit"))
    return Response(200, [("Content-Type", "application/zip")], repository.git.archive(commit))


OF_GIT = {"GitPull": _git, "GitPush": _git, "UploadArchive": _upload_archive}
OPERATIONS: dict[str, Callable[[Repositories, Request, Parameters], object]] = {
    **OF_GIT,
    "BatchGetRepositories": _batch_get_repositories,
    "CreateBranch": _create_branch,
    "CreateRepository": _create_repository,
    "DeleteBranch": _delete_branch,
    "DeleteRepository": _delete_repository,
    "GetBranch": _get_branch,
    "GetRepository": _get_repository,
    "ListBranches": _list_branches,
    "ListRepositories": _list_repositories,
    "ListTagsForResource": _list_tags,
    "TagResource": _tag,
    "UntagResource": _untag,
    "UpdateDefaultBranch": _update_default_branch,
    "UpdateRepositoryDescription": _update_description,
    "UpdateRepositoryEncryptionKey": _update_key,
    "UpdateRepositoryName": _update_name,
}
