"""Reads the one small file that says which accounts there are, and says everything that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..answers import TARGETS
from ..errors import BadInput

DATA_SCIENCE = "data-science"
# The stages, in their order, and what they are called in launch parameters; the file has one layout or the other.
TWO = {"staging": "Staging", "production": "Prod"}
THREE = {"development": "Dev", "pre-production": "Staging", "production": "Prod"}
SAME_ACCOUNT, SERVICE_MANAGED = "same-account", "stackset-service-managed"
STACK_SETS = ("stackset-self-managed", SERVICE_MANAGED)
READERS = 2  # of the default bucket, as many as data-science-account.yaml has parameters for
PRINCIPALS, PATTERNS = 5, 2  # as many as catalog.yaml has parameters for

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_ARN = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):(role|user|group)/.+")
_PATTERN = re.compile(r"arn:[a-z-]+:iam:::role/.+")
_YES = {"yes": True, "true": True, "no": False, "false": False}
_SWITCHES: dict[str, bool | None] = {
    "sagemaker-projects": True,
    "aws-template-roles": False,
    "default-bucket": None,
    "stored-inference": False,
    "watching": False,
}
_KEYS = {"regions", "principals", "external-id", "deploy-target", DATA_SCIENCE, *TWO, *THREE, *_SWITCHES}
_UNIT = re.compile(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32}")
_EXTERNAL_ID = re.compile(r"[\w+=.@:/-]{2,128}")
# Of our roles, those that a project names in every account by one path and name.
SAME_NAME = ("ExistingDeployRoleArn", "ExistingCloudFormationRoleArn")
# What the file says in other words, or what is worked out.
_NOT_PARAMETERS = re.compile(
    r"Principal(Arn|Pattern)[0-9]|DataScienceAccountId|DefaultBucketReaderId[0-9]|DeployTarget|ReadsDefaultBucket"
    r"|DeployRoleName|PipelineRoleArn|TestRoleArn|TestRoleName|ExternalId"
)


@dataclass(frozen=True)
class Account:
    """An account, and what it is for; one account may be everything.

    Attributes:
        id: twelve digits.
        roles: :data:`DATA_SCIENCE`, or the name of a stage.
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
        external_id: what tests say to enter another account; None leaves that as it is, empty is nothing.
        default_bucket: whether stages may run models from SageMaker's default bucket; None leaves that as it is.
        target: how endpoints get into the stages' accounts, as the question ``deploy_target`` has it.
        stages: those in the file, each with its place among the launch parameters, in their order.
        units: the organizational units of stages.
        watching: whether accounts with a stage get the roles that monitors run with; without it, what is there stays.
        stored_inference: whether stages get what asynchronous and batch inference need.
    """

    accounts: tuple[Account, ...]
    regions: tuple[str, ...]
    principals: tuple[str, ...]
    patterns: tuple[str, ...]
    projects: bool = True
    aws_template_roles: bool = False
    default_bucket: bool | None = None
    target: str = TARGETS[0]
    stages: Mapping[str, str] = field(default_factory=lambda: TWO)
    units: Mapping[str, str] = field(default_factory=dict)
    external_id: str | None = None
    watching: bool = False
    stored_inference: bool = False

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
        self._units: dict[str, str] = {}
        self.problems: list[str] = []

    def settings(self) -> Settings | None:
        unknown = sorted(set(map(str, self._content)) - _KEYS)
        self.problems += [f"{key}: is no key of this file; those are {', '.join(sorted(_KEYS))}" for key in unknown]
        regions = self._texts("regions")
        self._each("regions", regions, _REGION, "a region such as eu-west-1")
        target, stages = self._target(), self._stages()
        sections = {role: self._section(role) for role in (DATA_SCIENCE, *stages)}
        principals = self._texts("principals")
        patterns = tuple(p for p in principals if _PATTERN.fullmatch(p))
        exact = tuple(p for p in principals if p not in patterns)
        self._each("principals", exact, _ARN, "the ARN of a role, user or group, or of a role without an account id")
        switches = {name: self._switch(name, default) for name, default in _SWITCHES.items()}
        external_id = self._content.get("external-id")
        if external_id and not (isinstance(external_id, str) and _EXTERNAL_ID.fullmatch(external_id)):
            self.problems.append("external-id: must be 2 to 128 letters, digits and + = . @ : / - _, or empty")
        if self.problems:
            return None
        accounts = self._accounts({role: section for role, section in sections.items() if section is not None})
        here = sections[DATA_SCIENCE]
        self._check_target(target, {role: section for role, section in sections.items() if section is not None})
        if switches["default-bucket"] and len({a.id for a in accounts if DATA_SCIENCE not in a.roles}) > READERS:
            self.problems.append(f"default-bucket: data-science-account.yaml lets {READERS} other accounts read it")
        for arn in exact:
            match = _ARN.fullmatch(arn)
            if here is not None and match is not None and match[1] != here.id:
                self.problems.append(f"principals: {arn} is of another account than data-science, {here.id}")
        for name in SAME_NAME:
            having = [a for a in accounts if name == SAME_NAME[1] or a.roles[0] != DATA_SCIENCE]
            if len({a.parameters.get(name, "").partition(":role/")[2] for a in having}) > 1:
                self.problems.append(f"parameters: {name}: must be of one path and name in every account that has it")
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
            target=target,
            stages=stages,
            units=self._units,
            external_id=external_id,
            watching=bool(switches["watching"]),
            stored_inference=bool(switches["stored-inference"]),
        )

    def _target(self) -> str:
        value = self._content.get("deploy-target", TARGETS[0])
        if value not in TARGETS:
            self.problems.append(f"deploy-target: {value!r} must be one of {', '.join(TARGETS)}")
        return str(value)

    def _stages(self) -> dict[str, str]:
        """The layout that the file has; where every stage is in one account they may be left out."""
        three = [stage for stage in THREE if stage in self._content and stage not in TWO]
        if three and "staging" in self._content:
            self.problems.append(f"staging: with {' and '.join(three)} there is pre-production in its place")
        stages = THREE if three else TWO
        if self._content.get("deploy-target") == SAME_ACCOUNT:
            return {stage: slot for stage, slot in stages.items() if stage in self._content}
        return stages

    def _check_target(self, target: str, sections: Mapping[str, Account]) -> None:
        here = sections[DATA_SCIENCE].id
        for stage in sections.keys() - {DATA_SCIENCE}:
            same = sections[stage].id == here
            if target == SAME_ACCOUNT and not same:
                self.problems.append(f"{stage}: with deploy-target {target} it is the data-science account, {here}")
            if target in STACK_SETS and same:
                self.problems.append(f"{stage}: is the data-science account, and stack sets deploy to another one")
            if target == SERVICE_MANAGED and stage not in self._units:
                self.problems.append(f"{stage}: unit: must be given with deploy-target {target}")

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
        known = ("account", "profile", "parameters", *(("unit",) if role != DATA_SCIENCE else ()))
        unknown = sorted(set(value) - set(known))
        self.problems += [f"{role}: {key} is none of {', '.join(known)}" for key in unknown]
        if "unit" in value and role != DATA_SCIENCE:
            self._units[role] = str(value["unit"])
            if _UNIT.fullmatch(self._units[role]) is None:
                self.problems.append(f"{role}: unit: {value['unit']!r} must be the id of an organizational unit")
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
