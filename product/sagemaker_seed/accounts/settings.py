"""Reads the one small file that says which accounts there are, and says everything that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput

DATA_SCIENCE, STAGES = "data-science", ("staging", "production")
ROLES = (DATA_SCIENCE, *STAGES)
PRINCIPALS, PATTERNS = 5, 2  # as many as catalog.yaml has parameters for

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_ARN = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):(role|user|group)/.+")
_PATTERN = re.compile(r"arn:[a-z-]+:iam:::role/.+")
_YES = {"yes": True, "true": True, "no": False, "false": False}
_SWITCHES: dict[str, bool | None] = {"sagemaker-projects": True, "aws-template-roles": False, "default-bucket": None}
_KEYS = {"regions", "principals", *ROLES, *_SWITCHES}
# What the file says in other words, or what is worked out.
_NOT_PARAMETERS = re.compile(
    r"Principal(Arn|Pattern)[0-9]|DataScienceAccountId|DefaultBucketReaderId[0-9]|ReadsDefaultBucket"
)


@dataclass(frozen=True)
class Account:
    """An account, and what it is for; one account may be all three.

    Attributes:
        id: twelve digits.
        roles: of :data:`ROLES`.
        profile: of the AWS configuration; None for the current credentials.
        parameters: for the templates that go there, on top of what is worked out.
    """

    id: str
    roles: tuple[str, ...]
    profile: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.id} ({', '.join(self.roles)})"


@dataclass(frozen=True)
class Settings:
    """What the file says.

    Attributes:
        accounts: each once, that of the data scientists first.
        regions: where projects are launched; roles, which are global, are deployed from the first.
        principals: who may launch, as ARNs.
        patterns: the same, as patterns without an account id.
        projects: whether SageMaker's switch for projects is turned on.
        aws_template_roles: whether the roles of AWS's own project templates are made.
        default_bucket: whether stages may run models from SageMaker's default bucket; None leaves that as it is.
    """

    accounts: tuple[Account, ...]
    regions: tuple[str, ...]
    principals: tuple[str, ...]
    patterns: tuple[str, ...]
    projects: bool = True
    aws_template_roles: bool = False
    default_bucket: bool | None = None

    @property
    def data_science(self) -> Account:
        """The account that trains and launches."""
        return self.of(DATA_SCIENCE)

    def of(self, role: str) -> Account:
        """The account that has a role."""
        return next(account for account in self.accounts if role in account.roles)


def read(path: Path) -> Settings:
    """The settings of a file.

    Raises:
        BadInput: it cannot be read, or something in it cannot be right; every problem is named.
    """
    try:
        # Every scalar stays text: an account id may begin with a zero, and YAML's numbers may not.
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - builds only text
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    reader = _Reader(content if isinstance(content, dict) else {})
    if not isinstance(content, dict):
        reader.problems = ["must have regions, principals, data-science, staging and production, each with its values"]
    settings = reader.settings() if not reader.problems else None
    if reader.problems or settings is None:
        raise BadInput(*(f"{path.name}: {problem}" for problem in reader.problems))
    return settings


class _Reader:
    """Goes through the file once and collects what is wrong."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self.problems: list[str] = []

    def settings(self) -> Settings | None:
        unknown = sorted(set(map(str, self._content)) - _KEYS)
        self.problems += [f"{key}: is no key of this file; those are {', '.join(sorted(_KEYS))}" for key in unknown]
        regions = self._texts("regions")
        self._each("regions", regions, _REGION, "a region such as eu-west-1")
        sections = {role: self._section(role) for role in ROLES}
        principals = self._texts("principals")
        patterns = tuple(p for p in principals if _PATTERN.fullmatch(p))
        exact = tuple(p for p in principals if p not in patterns)
        self._each("principals", exact, _ARN, "the ARN of a role, user or group, or of a role without an account id")
        switches = {name: self._switch(name, default) for name, default in _SWITCHES.items()}
        if self.problems:
            return None
        accounts = self._accounts({role: section for role, section in sections.items() if section is not None})
        here = sections[DATA_SCIENCE]
        for arn in exact:
            match = _ARN.fullmatch(arn)
            if here is not None and match is not None and match[1] != here.id:
                self.problems.append(f"principals: {arn} is of another account than data-science, {here.id}")
        for what, found, most in (("ARNs", exact, PRINCIPALS), ("patterns", patterns, PATTERNS)):
            if len(found) > most:
                self.problems.append(f"principals: {len(found)} {what}, and catalog.yaml takes {most}; use a pattern")
        return Settings(
            tuple(accounts),
            regions,
            exact,
            patterns,
            projects=bool(switches["sagemaker-projects"]),
            aws_template_roles=bool(switches["aws-template-roles"]),
            default_bucket=switches["default-bucket"],
        )

    def _texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, each once; one text alone is a list of one."""
        value = self._content.get(key)
        texts = [value] if isinstance(value, str) and value else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            self.problems.append(f"{key}: must be a list of one or more")
            return ()
        return tuple(dict.fromkeys(texts))

    def _each(self, key: str, texts: Iterable[str], form: re.Pattern[str], what: str) -> None:
        self.problems += [f"{key}: {text!r} must be {what}" for text in texts if form.fullmatch(text) is None]

    def _switch(self, key: str, default: bool | None) -> bool | None:
        if key not in self._content:
            return default
        value = str(self._content[key]).lower()
        if value not in _YES:
            self.problems.append(f"{key}: must be yes or no")
        return _YES.get(value)

    def _section(self, role: str) -> Account | None:
        value = self._content.get(role)
        value = {"account": value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            self.problems.append(f"{role}: must say which account it is")
            return None
        unknown = sorted(set(value) - {"account", "profile", "parameters"})
        self.problems += [f"{role}: {key} is none of account, profile, parameters" for key in unknown]
        number, profile, parameters = value.get("account"), value.get("profile"), value.get("parameters") or {}
        if not isinstance(number, str) or _ACCOUNT.fullmatch(number) is None:
            self.problems.append(f"{role}: account: {number!r} must be the 12 digits of an account id")
        if profile is not None and not (isinstance(profile, str) and profile):
            self.problems.append(f"{role}: profile: must be the name of a profile, or be left out")
        if not isinstance(parameters, dict) or not all(isinstance(text, str) for text in parameters.values()):
            self.problems.append(f"{role}: parameters: must be names with one text each")
            parameters = {}
        self.problems += [
            f"{role}: parameters: {name} is worked out from the rest of the file"
            for name in parameters
            if _NOT_PARAMETERS.fullmatch(name)
        ]
        return Account(str(number), (role,), profile, dict(parameters))

    def _accounts(self, sections: Mapping[str, Account]) -> list[Account]:
        """Each account once, with all that it is for."""
        merged: dict[str, Account] = {}
        for role, section in sections.items():
            there = merged.get(section.id)
            if there is None:
                merged[section.id] = section
                continue
            if section.profile and there.profile and section.profile != there.profile:
                self.problems.append(f"{role}: profile: {section.id} has {there.profile} already; give one")
            differing = {k for k, v in section.parameters.items() if there.parameters.get(k, v) != v}
            self.problems += [f"{role}: parameters: {k} has another value for {section.id}" for k in sorted(differing)]
            parameters = {**there.parameters, **section.parameters}
            merged[section.id] = Account(section.id, (*there.roles, role), there.profile or section.profile, parameters)
        return list(merged.values())
