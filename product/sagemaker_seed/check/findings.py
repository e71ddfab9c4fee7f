"""What a check finds: one problem with the place, the reason, the moment it will fail, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal

When = Literal["publish", "launch", "build", "deploy", "invoke"]
WHENS: tuple[When, ...] = ("publish", "launch", "build", "deploy", "invoke")


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes:
        what: is wrong, in a few words.
        where: the resource, role or file.
        why: what will fail because of it.
        when: the first act that fails.
        fix: a command, or a policy statement to add.
    """

    what: str
    where: str
    why: str
    when: When
    fix: str

    def as_dict(self) -> dict[str, str]:
        """As ``--json`` prints it."""
        return asdict(self)


@dataclass
class Report:
    """What was found, and what could not be looked at."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, where: str, why: str, when: When, fix: str) -> None:
        """Adds a finding, once."""
        finding = Finding(what, where, why, when, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    def note(self, text: str) -> None:
        """Adds a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def sorted(self) -> list[Finding]:
        """The findings in the order in which they would be met."""
        return sorted(self.findings, key=lambda finding: WHENS.index(finding.when))

    @contextmanager
    def looking_at(self, what: str) -> Iterator[None]:
        """Turns a call that AWS refuses into a note that ``what`` was not looked at."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"].get("Code", "?")
            self.note(f"{what}: not looked at, because {error.operation_name} was refused ({code})")
        except BotoCoreError as error:
            self.note(f"{what}: not looked at: {error}")
