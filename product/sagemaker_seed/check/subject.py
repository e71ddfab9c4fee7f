"""What is checked: accounts to look into, the seed, the template as it would be launched, and the roles it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..answers import Seed
from ..bundle import Bundle
from ..templates.desired import Desired
from ..templates.values import UNKNOWN
from . import roles
from .findings import Report
from .roles import Role

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
    _roles: dict[str, Role | None] = field(default_factory=dict)

    def account_of(self, arn: str) -> Account | None:
        """The account of an ARN, if it can be looked into."""
        number = arn.split(":")[4]
        return next((a for a in (self.home, *self.stages.values()) if a.id == number), None)

    def role(self, arn: str) -> Role | None:
        """The role of this ARN, with its policies; None if there is none, or nobody may look."""
        self.read_roles([arn])
        return self._roles[arn]

    def read_roles(self, arns: Iterable[str]) -> None:
        """Reads roles, several at once."""
        clients: dict[str, Any] = {}
        wanted = [arn for arn in dict.fromkeys(arns) if arn not in self._roles]
        if not wanted:
            return
        for arn in wanted:
            account = self.account_of(arn)
            if account is not None and account.id not in clients:
                clients[account.id] = account.client("iam")

        def read(arn: str) -> Role | None:
            iam = clients.get(arn.split(":")[4])
            if iam is None:
                return None
            with self.report.looking_at(arn):
                return roles.read(iam, arn)
            return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._roles.update(zip(wanted, pool.map(read, wanted), strict=True))

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
