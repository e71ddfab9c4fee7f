"""The errors that a person reads: one line each, with the exit code that goes with it."""

from __future__ import annotations


class SeedError(Exception):
    """The act failed: the message says what, where, and what to do next. Exit code 1."""

    exit_code = 1


class BadInput(SeedError):
    """Wrong use, or an answer, folder or option that cannot be right. Exit code 2.

    ``problems`` holds every problem found, a line each; the message is all of them.
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
