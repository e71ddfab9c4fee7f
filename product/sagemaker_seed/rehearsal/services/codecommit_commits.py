"""CodeCommit's operations that make a commit: CreateCommit, PutFile and DeleteFile, with AWS's rules for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..repositories.commits import Draft, Written, blob_id, make
from ..repositories.git import HEADS, OBJECT_ID, SUBMODULE, TAGS, Entry
from ..wire import Request
from .codecommit_reading import MODES, plain_path
from .codecommit_store import Repositories, Repository, refusal

Parameters = dict[str, Any]
Answer = dict[str, Any]

MOST_FILES = 100
FILE_SIZE = 6 * 1024 * 1024
CONTENT_SIZE = 7 * 1024 * 1024
MESSAGE_SIZE = 256 * 1024
BRANCH_LENGTH = 256
GIT_MODES = {name: mode for mode, name in MODES.items()}
KEPT = ".gitkeep"


@dataclass(frozen=True)
class Changes:
    """What a commit is to do: files to write, and paths to remove."""

    written: tuple[Written, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """A commit that was made, where, and the files of its parent by path."""

    repository: Repository
    commit: str
    tree: str
    before: Mapping[str, Entry]


def check_branch_name(repository: Repository, name: str) -> None:
    """Refuses what git or CodeCommit does not take for a branch's name.

    Raises:
        AwsError: ``InvalidBranchNameException``.
    """
    if not 1 <= len(name) <= BRANCH_LENGTH or repository.git.attempt("check-ref-format", HEADS + name).returncode:
        raise refusal("InvalidBranchNameException", f"{name!r} is not a valid name of a branch")


def _create_commit(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    puts, deletes, modes = (p.get(key) or [] for key in ("putFiles", "deleteFiles", "setFileModes"))
    if not (puts or deletes or modes):
        raise refusal("FileEntryRequiredException")
    if len(puts) + len(deletes) + len(modes) > MOST_FILES:
        raise refusal("MaximumFileEntriesExceededException")
    named = [plain_path(str(entry.get("filePath") or "")) for entry in (*puts, *deletes, *modes)]
    if "" in named:
        raise refusal("PathRequiredException")
    if [path for path, times in Counter(named).items() if times > 1]:
        raise refusal("SamePathRequestException")

    def changes(there: Mapping[str, Entry]) -> Changes:
        written = [_put(entry, there) for entry in puts]
        moved = [plain_path(e["sourceFile"]["filePath"]) for e in puts if (e.get("sourceFile") or {}).get("isMove")]
        written += [_with_mode(entry, there) for entry in modes]
        deleted = [*(plain_path(entry["filePath"]) for entry in deletes), *moved]
        for path in deleted:
            if path not in there:
                raise refusal("FileDoesNotExistException", f"{path} does not exist")
        return Changes(tuple(written), tuple(deleted))

    made = _commit(repositories, request, p, changes, author=p.get("authorName"))
    after = {e.path: e for e in made.repository.git.entries(made.commit, recursive=True)}
    return {
        "commitId": made.commit,
        "treeId": made.tree,
        "filesAdded": _files(after[path] for path in after if path not in made.before),
        "filesUpdated": _files(
            after[path] for path in after if path in made.before and _differs(after[path], made.before[path])
        ),
        "filesDeleted": _files(made.before[path] for path in made.before if path not in after),
    }


def _differs(one: Entry, other: Entry) -> bool:
    return (one.mode, one.id) != (other.mode, other.id)


def _files(entries: Iterable[Entry]) -> list[Answer]:
    return [{"absolutePath": e.path, "blobId": e.id, "fileMode": MODES.get(e.mode, "NORMAL")} for e in entries]


def _mode(name: str | None) -> str:
    if name not in GIT_MODES:
        raise refusal("InvalidFileModeException")
    return GIT_MODES[name]


def _put(entry: Mapping[str, Any], there: Mapping[str, Entry]) -> Written:
    path, content, source = plain_path(entry["filePath"]), entry.get("fileContent"), entry.get("sourceFile")
    if content is None and not source:
        raise refusal("SourceFileOrContentRequiredException")
    if content is not None and source:
        raise refusal("FileContentAndSourceFileSpecifiedException")
    if content is not None:
        return Written(path, _mode(entry.get("fileMode") or "NORMAL"), content, blob_id(content))
    origin = there.get(plain_path(entry["sourceFile"]["filePath"]))
    if origin is None:
        raise refusal("FileDoesNotExistException", f"{entry['sourceFile']['filePath']} does not exist")
    mode = _mode(entry["fileMode"]) if entry.get("fileMode") else origin.mode
    return Written(path, mode, None, origin.id)


def _with_mode(entry: Mapping[str, Any], there: Mapping[str, Entry]) -> Written:
    path = plain_path(entry["filePath"])
    if not entry.get("fileMode"):
        raise refusal("FileModeRequiredException")
    if path not in there:
        raise refusal("FileDoesNotExistException", f"{path} does not exist")
    return Written(path, _mode(entry["fileMode"]), None, there[path].id)


def _put_file(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    path, content = plain_path(p["filePath"]), p["fileContent"]
    if not path:
        raise refusal("PathRequiredException")

    def changes(there: Mapping[str, Entry]) -> Changes:
        before = there.get(path)
        mode = _mode(p["fileMode"]) if p.get("fileMode") else before.mode if before else GIT_MODES["NORMAL"]
        if before is not None and (before.mode, before.id) == (mode, blob_id(content)):
            raise refusal("SameFileContentException")
        return Changes((Written(path, mode, content, blob_id(content)),), ())

    made = _commit(repositories, request, p, changes, author=p.get("name"))
    return {"commitId": made.commit, "treeId": made.tree, "blobId": blob_id(content)}


def _delete_file(repositories: Repositories, request: Request, p: Parameters) -> Answer:
    path = plain_path(p["filePath"])

    def changes(there: Mapping[str, Entry]) -> Changes:
        if path not in there:
            raise refusal("FileDoesNotExistException", f"{path} does not exist")
        return Changes((), (path,))

    made = _commit(repositories, request, p, changes, author=p.get("name"))
    return {"commitId": made.commit, "treeId": made.tree, "blobId": made.before[path].id, "filePath": path}


def _commit(
    repositories: Repositories,
    request: Request,
    p: Parameters,
    planned: Callable[[Mapping[str, Entry]], Changes],
    *,
    author: str | None,
) -> Made:
    """Makes one commit on a branch, if the request's parent is where the branch is now.

    Args:
        repositories: all of them.
        request: who asks.
        p: the request's parameters.
        planned: what to do, given the files of the parent by path.
        author: a name; without one it is the caller's.
    """
    repository = repositories.find(request, p["repositoryName"])
    git, branch = repository.git, p["branchName"]
    check_branch_name(repository, branch)
    message = p.get("commitMessage")
    if message and len(message.encode()) > MESSAGE_SIZE:
        raise refusal("CommitMessageLengthExceededException")
    with repositories.changing(repository, request) as references:
        parent = _parent(repository, references, branch, p.get("parentCommitId"))
        there = {e.path: e for e in git.entries(parent, recursive=True)} if parent else {}
        changes = planned(there)
        _check_sizes(changes.written)
        _check_paths(changes, there)
        after = _after(changes, there, keep_folders=bool(p.get("keepEmptyFolders")))
        if _modes_and_ids(there) == {path: (w.mode, w.id) for path, w in after.items()}:
            raise refusal("NoChangeException")
        written = tuple(w for path, w in after.items() if path not in there or _is_new(w, there[path]))
        deleted = tuple(path for path in there if path not in after)
        name = author or request.caller.arn.rpartition("/")[2].rpartition(":")[2]
        text = message or _default_message(written, deleted, there)
        commit = make(git, Draft(branch, parent, name, p.get("email") or "", text, written, deleted))
        return Made(repository, commit, git.tree_of(commit), there)


def _parent(repository: Repository, references: Mapping[str, str], branch: str, given: str | None) -> str | None:
    """The commit to build on; None for the first one of a repository."""
    tip = references.get(HEADS + branch)
    if tip is None:
        if TAGS + branch in references:
            raise refusal("BranchNameIsTagNameException")
        if references:
            raise refusal("BranchDoesNotExistException", f"Branch {branch} does not exist")
        if given:
            raise refusal("ParentCommitDoesNotExistException")
        return None
    if not given:
        raise refusal("ParentCommitIdRequiredException")
    if not OBJECT_ID.fullmatch(given):
        raise refusal("InvalidParentCommitIdException")
    if repository.git.kind(given) != "commit":
        raise refusal("ParentCommitDoesNotExistException")
    if given != tip:
        raise refusal("ParentCommitIdOutdatedException")
    return tip


def _check_sizes(written: Sequence[Written]) -> None:
    sizes = [len(w.content) for w in written if w.content is not None]
    if sum(sizes) > CONTENT_SIZE or max(sizes, default=0) > FILE_SIZE:
        raise refusal("FileContentSizeLimitExceededException")


def _check_paths(changes: Changes, there: Mapping[str, Entry]) -> None:
    """Refuses a file where there is a folder, and a file in what is a file."""
    gone, new = set(changes.deleted), [w.path for w in changes.written]
    files = {path for path in there if path not in gone} | set(new)
    folders = {path[:index] for path in files for index, character in enumerate(path) if character == "/"}
    submodules = {path for path, entry in there.items() if entry.mode == SUBMODULE}
    for path in new:
        if path in submodules or any(path.startswith(f"{submodule}/") for submodule in submodules):
            raise refusal("FilePathConflictsWithSubmodulePathException")
        if path in folders:
            raise refusal("FileNameConflictsWithDirectoryNameException", f"{path} is the name of a folder")
        if any(path.startswith(f"{file}/") for file in files & folders):
            raise refusal("DirectoryNameConflictsWithFileNameException", f"A folder of {path} is the name of a file")


def _after(changes: Changes, there: Mapping[str, Entry], *, keep_folders: bool) -> dict[str, Written]:
    """All files of the commit to be, by path."""
    after = {path: Written(path, entry.mode, None, entry.id) for path, entry in there.items()}
    for path in changes.deleted:
        del after[path]
    after |= {w.path: w for w in changes.written}
    for folder in {path.rpartition("/")[0] for path in changes.deleted} - {""} if keep_folders else ():
        if not any(path.startswith(f"{folder}/") for path in after):
            after[f"{folder}/{KEPT}"] = Written(f"{folder}/{KEPT}", GIT_MODES["NORMAL"], b"", blob_id(b""))
    return after


def _modes_and_ids(there: Mapping[str, Entry]) -> dict[str, tuple[str, str]]:
    return {path: (entry.mode, entry.id) for path, entry in there.items()}


def _is_new(written: Written, before: Entry) -> bool:
    return (written.mode, written.id) != (before.mode, before.id)


def _default_message(written: Sequence[Written], deleted: Sequence[str], there: Mapping[str, Entry]) -> str:
    acts = [("Edited" if w.path in there else "Added", w.path) for w in written]
    acts += [("Deleted", path) for path in deleted]
    return "\n".join(f"{act} {path}" for act, path in sorted(acts, key=lambda act: act[1]))


OPERATIONS: dict[str, Callable[[Repositories, Request, Parameters], object]] = {
    "CreateCommit": _create_commit,
    "DeleteFile": _delete_file,
    "PutFile": _put_file,
}
