"""What CodeBuild knows of one account in one region, and how its ARNs are made. Answers nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..builds.order import Order
from ..builds.progress import Progress, now
from ..wire import AwsError

Parameters = dict[str, Any]
Answer = dict[str, Any]
PAGE_SIZE = 100


@dataclass
class Project:
    """A project: what was said of it, with AWS's defaults filled in."""

    arn: str
    settings: Parameters
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    builds: int = 0

    def described(self) -> Answer:
        """As ``BatchGetProjects`` shows it."""
        return {**self.settings, "arn": self.arn, "created": self.created, "lastModified": self.modified}


@dataclass
class Build:
    """A build: what was ordered, how far it is, and the settings that its description repeats."""

    order: Order
    progress: Progress
    request: Parameters
    shown: Parameters


@dataclass
class Report:
    """A report of one build in a report group."""

    arn: str
    group: str
    build: str
    created: datetime = field(default_factory=now)
    status: str = "GENERATING"
    cases: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Store:
    """The projects, builds and reports of an account in a region, by name, id and ARN."""

    account: str
    region: str
    partition: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    projects: dict[str, Project] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    groups: dict[str, Answer] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    answered: dict[str, tuple[Parameters, str]] = field(default_factory=dict)

    def arn(self, kind: str, name: str) -> str:
        """The ARN of something here."""
        return f"arn:{self.partition}:codebuild:{self.region}:{self.account}:{kind}/{name}"

    def project(self, name: str) -> Project:
        """The project of this name or ARN.

        Raises:
            AwsError: ``ResourceNotFoundException``.
        """
        found = self.projects.get(name.rpartition("/")[2])
        if found is None:
            arn = name if name.startswith("arn:") else self.arn("project", name)
            raise not_found(f"Project cannot be found: {arn}")
        return found


def invalid(message: str) -> AwsError:
    """What CodeBuild says of parameters that it cannot take."""
    return AwsError("InvalidInputException", message)


def not_found(message: str) -> AwsError:
    """What CodeBuild says of what is not there."""
    return AwsError("ResourceNotFoundException", message)


def page(names: Iterable[str], given: Mapping[str, Any], answer: str) -> Answer:
    """A page of names, in the order that was asked for."""
    listed = list(names)
    if given.get("sortOrder") == "DESCENDING":
        listed.reverse()
    size = int(given.get("maxResults") or PAGE_SIZE)
    try:
        start = int(given.get("nextToken") or 0)
    except ValueError:
        raise invalid(f"Invalid nextToken: {given['nextToken']}") from None
    more = {"nextToken": str(start + size)} if start + size < len(listed) else {}
    return {answer: listed[start : start + size], **more}
