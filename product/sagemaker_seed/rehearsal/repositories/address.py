"""Where git finds a repository of the embedded AWS, and what a git client must be told. Runs no git, and needs no moto.

A repository's address is CodeCommit's, ``https://git-codecommit.REGION.amazonaws.com/v1/repos/NAME``, in every answer
and every template. A git client with the settings of :func:`client_settings` in its environment asks the embedded AWS
in its place, under ``/_embedded/git/REGION.amazonaws.com/v1/repos/NAME`` (no bucket can have a name like that): the
path tells the region. Basic authentication tells the account: the user name is an access key id, followed by ``%`` and
a session token if there is one, as the AWS CLI's credential helper has it; the password is not looked at. Nobody has to
type them: the settings name a helper that takes them from the ``AWS_`` variables of whoever runs git.
Settings in the environment need git 2.31 or newer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "/_embedded/git/"
PATH = re.compile(
    r"/_embedded/git/(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/v1/repos/(?P<repository>[^/]+)"
    r"/(?P<resource>info/refs|git-upload-pack|git-receive-pack)"
)
ARCHIVE = re.compile(r"/v1/repos/(?P<repository>[^/]+)/archive")
# What each of git's services is in CodeCommit's terms: the IAM actions.
ACTIONS = {"git-upload-pack": "GitPull", "git-receive-pack": "GitPush"}
HELPER = (
    '!f() { test "$1" = get || exit 0; echo "username=$AWS_ACCESS_KEY_ID${AWS_SESSION_TOKEN:+%$AWS_SESSION_TOKEN}"; '
    'echo "password=${AWS_SECRET_ACCESS_KEY:-none}"; }; f'
)


@dataclass(frozen=True)
class GitRequest:
    """What the path of one of git's requests says.

    Attributes:
        region: empty for an archive, whose signature tells it.
        repository: name of the repository, which need not exist.
        action: ``GitPull``, ``GitPush``, or ``UploadArchive``, which is what CodePipeline does.
        git_service: ``git-upload-pack`` or ``git-receive-pack``; empty for an archive.
        advertises: whether it asks for the references, which comes before the transfer itself.
    """

    region: str
    repository: str
    action: str
    git_service: str
    advertises: bool


def parse(method: str, path: str, query: Mapping[str, str]) -> GitRequest | None:
    """The request of git's that this is; None if it is none that is answered."""
    if method == "GET" and (archive := ARCHIVE.fullmatch(path)):
        return GitRequest("", archive["repository"], "UploadArchive", "", advertises=False)
    found = PATH.fullmatch(path)
    if found is None:
        return None
    advertises = found["resource"] == "info/refs"
    service = query.get("service", "") if advertises else found["resource"]
    if service not in ACTIONS or (method == "GET") != advertises:
        return None
    return GitRequest(found["region"], found["repository"], ACTIONS[service], service, advertises)


def client_settings(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables with which git finds the repositories of the embedded AWS at ``url``.

    Args:
        url: such as ``http://127.0.0.1:4566``.
        environment: what there is already; settings that it gives git in the same way are kept.
    """
    settings = (
        (f"url.{url}{PREFIX}.insteadOf", "https://git-codecommit."),
        (f"credential.{url}.helper", ""),  # an empty one makes git forget those of the user's own configuration
        (f"credential.{url}.helper", HELPER),
        (f"http.{url}/.proxy", ""),
    )
    count = environment.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings)), "GIT_TERMINAL_PROMPT": "0"}
    for number, (key, value) in enumerate(settings, first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
