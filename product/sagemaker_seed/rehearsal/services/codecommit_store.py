"""CodeCommit's repositories of one server, by account and region, and the events of what happens to their references.

The files are in a bare git repository each; here is what AWS knows about it, and who may change it when.
"""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.utils import get_service_model

from ..ground import Event, Ground
from ..repositories.git import HEADS, TAGS, Git
from ..wire import AwsError, Request, not_implemented

NAME = re.compile(r"(?!.*\.git$)[\w.-]{1,100}", re.ASCII)
DEFAULT_BRANCH = "main"
REFERENCE_TYPES = {HEADS: "branch", TAGS: "tag"}
MARKUP = re.compile(r"<note>.*|<[^>]+>", re.DOTALL)


@dataclass
class Repository:
    """What AWS knows of one repository. ``lock`` is held by whoever changes it or its references."""

    name: str
    account: str
    region: str
    partition: str
    git: Git
    id: str
    description: str | None = None
    kms_key: str | None = None
    default_branch: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def arn(self) -> str:
        """The repository's ARN."""
        return f"arn:{self.partition}:codecommit:{self.region}:{self.account}:{self.name}"


class Store:
    """The repositories of one account in one region, by name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repositories: dict[str, Repository] = {}


class Repositories:
    """The repositories of all accounts of one server."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, str], Store] = {}

    def store(self, request: Request) -> Store:
        """Those of the caller's account, in the region of the request."""
        with self._lock:
            return self._stores.setdefault((request.caller.account, request.region), Store())

    def find(self, request: Request, name: Any) -> Repository:
        """The caller's repository of this name.

        Raises:
            AwsError: ``RepositoryDoesNotExistException``, or the name is none.
        """
        check_name(name)
        found = self.store(request).repositories.get(name)
        if found is None:
            raise refusal("RepositoryDoesNotExistException", f"{name} does not exist")
        return found

    def create(self, request: Request, name: str, details: Mapping[str, Any]) -> Repository:
        """A new repository, without a commit.

        Raises:
            AwsError: ``RepositoryNameExistsException``, or there is no git program here.
        """
        check_name(name)
        store = self.store(request)
        with store.lock:
            if name in store.repositories:
                raise refusal("RepositoryNameExistsException", f"Repository named {name} already exists")
            if shutil.which("git") is None:
                raise not_implemented("codecommit", "CreateRepository", "It needs the git program, which is not here.")
            identifier = str(uuid.uuid4())
            git = Git(self.ground.workshop.folder(f"repositories/{identifier}"))
            git.create(DEFAULT_BRANCH)
            repository = Repository(
                name, request.caller.account, request.region, request.partition, git, identifier, **details
            )
            store.repositories[name] = repository
        return repository

    def delete(self, request: Request, name: str) -> str | None:
        """Deletes the repository of this name, with its commits; answers its id, None if there was none."""
        check_name(name)
        store = self.store(request)
        with store.lock:
            repository = store.repositories.pop(name, None)
        if repository is None:
            return None
        with repository.lock:
            shutil.rmtree(repository.git.folder, ignore_errors=True)
        return repository.id

    @contextmanager
    def changing(self, repository: Repository, request: Request) -> Iterator[dict[str, str]]:
        """Lets one at a time change references; gives what they are before, and says as events what has changed.

        The first branch of a repository becomes its default branch.
        """
        with repository.lock:
            if not repository.git.folder.is_dir():  # deleted while this one waited for its turn
                raise refusal("RepositoryDoesNotExistException", f"{repository.name} does not exist")
            before = repository.git.references()
            try:
                yield dict(before)
            finally:
                after = repository.git.references()
                if after != before:
                    self._changed(repository, before, after, request.caller.arn)

    def _changed(
        self, repository: Repository, before: Mapping[str, str], after: Mapping[str, str], caller: str
    ) -> None:
        repository.modified = datetime.now(UTC)
        branches = sorted(name.removeprefix(HEADS) for name in after if name.startswith(HEADS))
        if repository.default_branch is None and branches:
            repository.default_branch = DEFAULT_BRANCH if DEFAULT_BRANCH in branches else branches[0]
            repository.git.set_head(repository.default_branch)
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                for event in _events(repository, name, before.get(name), after.get(name), caller):
                    self.ground.emit(event)


def _events(repository: Repository, name: str, before: str | None, after: str | None, caller: str) -> Iterator[Event]:
    """What EventBridge is told of one reference that has changed; nothing if it is neither branch nor tag."""
    kind = next((prefix for prefix in REFERENCE_TYPES if name.startswith(prefix)), None)
    if kind is None:
        return
    detail = {
        "callerUserArn": caller,
        "event": "referenceCreated" if before is None else "referenceDeleted" if after is None else "referenceUpdated",
        "repositoryName": repository.name,
        "repositoryId": repository.id,
        "referenceType": REFERENCE_TYPES[kind],
        "referenceName": name.removeprefix(kind),
        "referenceFullName": name,
    }
    if after is not None:
        detail["commitId"] = after
    if before is not None:
        detail["oldCommitId"] = before
    yield Event(
        repository.account,
        repository.region,
        "aws.codecommit",
        "CodeCommit Repository State Change",
        detail,
        (repository.arn,),
    )


def check_name(name: Any) -> None:
    """Refuses what cannot be a repository's name.

    Raises:
        AwsError: ``RepositoryNameRequiredException`` or ``InvalidRepositoryNameException``.
    """
    if not name:
        raise refusal("RepositoryNameRequiredException")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise refusal(
            "InvalidRepositoryNameException",
            "Repository names can be any valid combination of letters, numbers, periods, underscores, and dashes "
            "between 1 and 100 characters in length, and cannot end in .git.",
        )


def refusal(code: str, message: str = "") -> AwsError:
    """One of CodeCommit's errors; without a message of its own, with the API reference's description of it."""
    return AwsError(code, message or MARKUP.sub("", get_service_model("codecommit").shape_for(code).documentation))
