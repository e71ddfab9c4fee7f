"""What is checked: accounts to look into, the seed, the template as it would be launched, and the roles it names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..answers import Seed
from ..bundle import Bundle
from ..templates.desired import Desired
from ..templates.values import UNKNOWN
from . import roles
from .findings import Report
from .roles import Managed, Role

# The longest that SageMaker gives: names, and so the patterns of policies, must hold for these too.
LONGEST_NAME = "n" * 32
LONGEST_ID = "p-" + "i" * 18
GROUP = f"{LONGEST_NAME}-{LONGEST_ID}"  # the model package group, which begins the names of endpoints too
# The stages of a layout, and of each the word for it in the names of launch parameters.
LAYOUTS = {
    "two": {"staging": "Staging", "prod": "Prod"},
    "three": {"dev": "Dev", "preprod": "Staging", "prod": "Prod"},
}
NOBODY, ANYBODY = "0" * 12, "1" * 12  # account ids where none is looked into: of this account, and of another
KEY_ID = "00000000-0000-0000-0000-000000000000"  # of the key that a launch will make
AT_ONCE = 8
ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+(?=\")")

Resources = dict[str, tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Account:
    """An account that can be looked into.

    Attributes:
        title: what it is for.
        client: by the service's name, a boto3 client.
    """

    title: str
    id: str
    region: str
    partition: str
    client: Callable[[str], Any]


@dataclass
class Subject:
    """Everything that the checks share; each leaves here what later ones need.

    Attributes:
        home: the data science account.
        stages: the accounts of the stages that can be looked into, by the stage's name.
        stage_ids: the stages' account ids, also of those that cannot be looked into; home's where none is given.
        bucket: the seed bucket, empty if nobody named it.
        template: the product template's text, bound to this bucket.
        desired: the template under the longest names; None if it cannot be evaluated.
        bucket_tags: of the seed bucket.
        endpoints: by stage, the resources of the seed's endpoint template there, if it can be evaluated.
        pool: what reads several things at once.
        object_tags: tags of the published seed code; None while it is not published.
    """

    home: Account
    stages: Mapping[str, Account]
    stage_ids: Mapping[str, str]
    bucket: str
    seed: Seed | None
    packed: Bundle | None
    template: str
    template_name: str
    given: Mapping[str, str]
    report: Report = field(default_factory=Report)
    desired: Desired | None = None
    portfolio_id: str | None = None
    launch_role_arn: str | None = None
    code_key: str = ""
    bucket_tags: Mapping[str, str] = field(default_factory=dict)
    endpoints: dict[str, Resources] = field(default_factory=dict)
    object_tags: Mapping[str, str] | None = None
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))
    _roles: dict[str, Future[Role | None]] = field(default_factory=dict)
    _managed: Managed = field(default_factory=Managed)

    def account_of(self, arn: str) -> Account | None:
        """The account of an ARN, if it can be looked into."""
        number = arn.split(":")[4]
        return next((a for a in (self.home, *self.stages.values()) if a.id == number), None)

    def role(self, arn: str) -> Role | None:
        """The role of this ARN, with its policies; None if there is none, or nobody may look."""
        self.read_roles([arn])
        return self._roles[arn].result()

    def read_roles(self, arns: Iterable[str]) -> None:
        """Begins to read roles, several at once: whoever asks for one waits for that one alone."""
        for arn in arns:
            if arn not in self._roles:
                account = self.account_of(arn)
                self._roles[arn] = self.pool.submit(self._read, account and account.client("iam"), arn)

    def _read(self, iam: Any, arn: str) -> Role | None:
        if iam is not None:
            with self.report.looking_at(arn):
                return roles.read(iam, arn, self._managed)
        return None

    def read_ahead(self) -> None:
        """Begins to read every role that the template names, which is most of what a check waits for."""
        named = ROLE.findall(json.dumps(list(self.resources.values()), default=str))
        self.read_roles(sorted(arn for arn in {*named, self.launch_role_arn} if arn and self.account_of(arn)))

    @cached_property
    def resources(self) -> Resources:
        """By logical id: the type, and the properties under the longest names; what is made up at launch is unknown."""
        return {} if self.desired is None else resolved(self.desired, self.home)

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of the resources of one type, by logical id."""
        return {name: properties for name, (type_, properties) in self.resources.items() if type_ == kind}


def resolved(desired: Desired, account: Account) -> Resources:
    """What a template asks for, with what follows from its names filled in.

    Args:
        account: that the stack is in.
    """
    from .resources import MADE_UP, NAMES, arn_of

    def reference(name: str) -> Any:
        """What ``Ref`` of a resource will be: its name, if the template says it."""
        wanted = desired.resources[name]
        if wanted.type == "AWS::KMS::Key":
            return KEY_ID
        if wanted.type not in NAMES and arn_of(wanted.type, {}, account).endswith(MADE_UP):
            return MADE_UP
        return desired.resolve(wanted.properties.get(NAMES.get(wanted.type, ""), UNKNOWN), reference, attribute)

    def attribute(name: str, asked: str) -> Any:
        """What ``Fn::GetAtt`` will be, of the attributes that follow from a resource's name."""
        wanted = desired.resources[name]
        if asked == "Arn":
            parts = {"Path", NAMES.get(wanted.type, "")} & wanted.properties.keys()  # the rest may refer to this one
            own = {part: desired.resolve(wanted.properties[part], reference, attribute) for part in parts}
            return arn_of(wanted.type, own, account) or UNKNOWN
        return reference(name) if asked.endswith("Name") else UNKNOWN

    found = {}
    for name, wanted in desired.resources.items():
        properties = desired.resolve(wanted.properties, reference, attribute)
        found[name] = (wanted.type, {} if properties is UNKNOWN else properties)
    return found
