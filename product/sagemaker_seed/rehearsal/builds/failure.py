"""How a phase of a build fails: the status code and the message that its context shows. Decides nothing."""

from __future__ import annotations

CLIENT_ERROR = "CLIENT_ERROR"
COMMAND_ERROR = "COMMAND_EXECUTION_ERROR"
YAML_ERROR = "YAML_FILE_ERROR"
NOT_DONE = "NOT_IMPLEMENTED_BY_EMBEDDED_AWS"


class BuildFailure(Exception):
    """A phase failed; ``code`` and ``message`` are those of its context."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class BuildTimedOut(Exception):
    """The build took longer than it may."""


def not_done(what: str) -> BuildFailure:
    """The failure for what a build asks for and nobody here does."""
    return BuildFailure(NOT_DONE, f"The embedded AWS does not implement {what}.")
