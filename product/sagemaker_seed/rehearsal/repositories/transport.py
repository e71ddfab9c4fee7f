"""git's smart HTTP protocol for one repository: what to answer to a fetch or a push. Knows no accounts, no events."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from .git import Git, GitFailed

FLUSH = b"0000"
NEVER_CACHED = [
    ("Cache-Control", "no-cache, max-age=0, must-revalidate"),
    ("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"),
    ("Pragma", "no-cache"),
]
GZIP = 16 + zlib.MAX_WBITS


class BadBody(Exception):
    """The body is not what its headers say."""


@dataclass(frozen=True)
class Answer:
    """What goes back to the git client, with status 200."""

    headers: list[tuple[str, str]]
    body: bytes


def advertise(git: Git, service: str, protocol: str) -> Answer:
    """The references of a repository, to one who is about to fetch (``git-upload-pack``) or to push.

    Args:
        git: the repository.
        service: ``git-upload-pack`` or ``git-receive-pack``.
        protocol: the client's ``Git-Protocol`` header, or nothing.
    """
    variables = {"GIT_PROTOCOL": protocol}
    body = git.run(service.removeprefix("git-"), "--stateless-rpc", "--advertise-refs", ".", variables=variables)
    if "version=2" not in protocol.split(":"):
        body = _packet(f"# service={service}\n".encode()) + FLUSH + body
    return Answer([("Content-Type", f"application/x-{service}-advertisement"), *NEVER_CACHED], body)


def transfer(git: Git, service: str, protocol: str, encoding: str, body: bytes) -> Answer:
    """Carries out a fetch or a push that a client sent as ``body``, compressed if ``encoding`` is ``gzip``.

    Raises:
        BadBody: it is not compressed, although ``encoding`` says so.
        GitFailed: git could not make sense of it.
    """
    if encoding in {"gzip", "x-gzip"}:
        try:
            body = zlib.decompress(body, GZIP)
        except zlib.error as error:
            raise BadBody(f"The body is not gzip: {error}") from None
    variables = {"GIT_PROTOCOL": protocol}
    done = git.attempt(service.removeprefix("git-"), "--stateless-rpc", ".", given=body, variables=variables)
    if done.returncode and not done.stdout:  # else it has told the client itself, in the protocol's own words
        raise GitFailed(done.stderr.decode(errors="replace").strip())
    return Answer([("Content-Type", f"application/x-{service}-result"), *NEVER_CACHED], done.stdout)


def _packet(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line
