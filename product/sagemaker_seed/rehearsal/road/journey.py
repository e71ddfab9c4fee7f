"""What is known on the road so far, and what is said about it. Does nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...answers import Seed
from ...bundle import Bundle
from ...console import Console
from ...resources import product_template
from ..embedded import ACCOUNT, EmbeddedAws
from .repository import Clone
from .runs import Follower
from .stages import LAYOUTS, Stage

# Of somebody else's product, which does not say where it will be.
REGION = "us-east-1"


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        seed: a rendered seed repository; None to render one into ``output``.
        answers: ``key=value`` answers to render with.
        output: the folder to render into.
        until: the last step to take; None for all.
        after: whether to walk on after the first deployment, see ``after.py``.
        drift: whether requests drift at the end, see ``drift.py``.
        fail_at: a step that is made to fail, see ``faults.py``.
        product: somebody else's product template; with it ``archive``, their seed code.
        archive: a zip of seed code.
        account_templates: templates to deploy in the stages' accounts in place of ours.
        templates: a folder whose templates are deployed and published in place of the product's of the same name.
        parameters: ``key=value`` launch parameters on top of what the rehearsal knows.
        strict: whether what roles do must be allowed by their policies.
        page: where to write the page about the rehearsal; None for none.
    """

    seed: Path | None
    answers: Sequence[str]
    output: Path
    until: str | None = None
    after: bool = False
    drift: bool = False
    fail_at: str | None = None
    product: Path | None = None
    archive: Path | None = None
    account_templates: Sequence[Path] = ()
    templates: Path | None = None
    parameters: Sequence[str] = ()
    strict: bool = False
    page: Path | None = None


@dataclass
class Step:
    """A step of the road as it was taken: its lines, and when it began and ended, in seconds from the start."""

    name: str
    began: float
    ended: float | None = None
    lines: list[str] = field(default_factory=list)


@dataclass
class Product:
    """What is launched: the ids of the product and its version, and the version's parameters."""

    name: str
    product_id: str
    version_id: str
    version: str
    parameters: Mapping[str, Any]


@dataclass
class Project:
    """A launched project."""

    name: str
    id: str
    stack: str
    resources: list[dict[str, Any]]

    def of_type(self, type_name: str) -> list[str]:
        """The physical ids of its resources of one type."""
        return [r["PhysicalResourceId"] for r in self.resources if r["ResourceType"] == type_name]


@dataclass(frozen=True)
class Teller(Console):
    """A console for what a step has others do: what they say belongs to the step."""

    tell: Callable[[str], None] = print

    def say(self, line: str = "") -> None:
        """A line about the step."""
        self.tell(line.removeprefix("  "))


@dataclass(frozen=True)
class Silent(Console):
    """A console for what need not be said again."""

    def say(self, line: str = "") -> None:
        """Says nothing."""


class Journey:
    """One walk along the road; steps leave here what later ones need.

    Attributes:
        accounts: ids by what the account is for: ``data-science``, the names of the stages that have an account of
            their own, and ``management`` where the organization has another one for that.
        units: ids of the organizational units, by stage.
        studio_role: the role that people in Studio act as.
        publisher_role: the role of whoever publishes.
        project_parameters: what the project was launched with.
    """

    aws: EmbeddedAws
    seed: Seed
    folder: Path
    packed: Bundle
    product: Product
    project: Project
    studio_role: str
    publisher_role: str
    scratch: Path
    follower: Follower
    clone: Clone
    package: str
    own_package = ""  # of a model that the rehearsal brought
    first: str

    def __init__(self, options: Options, console: Console) -> None:
        self.options, self.console = options, console
        self.start = time.monotonic()
        self.steps: list[Step] = []
        self.accounts: dict[str, str] = {"data-science": ACCOUNT}
        self.units: dict[str, str] = {}
        self.result: dict[str, Any] = {}
        self.clock = time.time()
        self.bundle: Path | None = None
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.project_parameters: dict[str, str] = {}
        self._doing: Any = lambda _: None

    @property
    def teller(self) -> Console:
        """A console whose lines belong to the step that is being taken."""
        return Teller(json=self.console.json, tell=self.say)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    @property
    def title(self) -> str:
        """What is rehearsed, for a person."""
        if self.options.product is not None:
            return self.options.product.name
        seed = getattr(self, "seed", None)
        return "a template" if seed is None else str(seed.answers["project_name"])

    @property
    def wanted_region(self) -> str:
        """The region of the answers; of somebody else's product, the first that AWS had."""
        return self.seed.answers["aws_region"] if self.options.product is None else REGION

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the deployment, in their order."""
        return LAYOUTS["two" if self.options.product is not None else self.seed.answers["stages"]]

    @property
    def target(self) -> str:
        """How endpoints get into the stages' accounts; what somebody else's product does is its own affair."""
        return "cloudformation" if self.options.product is not None else self.seed.answers["deploy_target"]

    def account(self, name: str) -> str:
        """The id of an account; that of the data scientists is also every stage's that has none of its own."""
        return self.accounts.get(name, self.accounts["data-science"])

    def template(self, name: str) -> Path:
        """A template of the product, or what stands in for it."""
        folder = self.options.templates
        return folder / name if folder is not None and (folder / name).is_file() else product_template(name)

    @property
    def project_name(self) -> str:
        """The name to launch under."""
        return self.seed.slug if self.options.product is None else "rehearsal"

    @property
    def seed_files(self) -> Sequence[str]:
        """The files that a launched repository must have."""
        from .foreign import seed_files

        return self.packed.files if self.options.archive is None else seed_files(self.options.archive)

    @property
    def region(self) -> str:
        """Of everything."""
        return self.aws.region

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Says which step is being taken; what happens within is said below its name."""
        step = Step(name, self.seconds)
        self.steps.append(step)
        style = self.console.style
        self.console.say(f"{style(f'[{step.began:.1f} s]', 'dim')} {style(name, 'bold')}")
        with self.console.progress() as self._doing:
            try:
                yield step
            finally:
                step.ended = self.seconds

    def say(self, line: str) -> None:
        """A line about the step that is being taken."""
        self.steps[-1].lines.append(line)
        self.console.say(f"  {line}")

    def doing(self, what: str) -> None:
        """What is going on at this moment; shown in a terminal, until the next line."""
        self._doing(f"{what}  {self.seconds:.0f} s")

    def client(self, service: str, account: str = "data-science") -> Any:
        """A client that acts as the root of one of the accounts."""
        return self.aws.client(service, self.account(account))

    @cached_property
    def person(self) -> str:
        """The access key of a data scientist, who launches, approves and looks; a session of Studio's role."""
        answer = self.client("sts").assume_role(RoleArn=self.studio_role, RoleSessionName="data-scientist")
        return str(answer["Credentials"]["AccessKeyId"])

    @cached_property
    def publisher(self) -> str:
        """The access key of whoever publishes."""
        answer = self.client("sts").assume_role(RoleArn=self.publisher_role, RoleSessionName="publisher")
        return str(answer["Credentials"]["AccessKeyId"])

    def following(self, pipelines: Iterable[str]) -> Follower:
        """Somebody who looks at what pipelines do."""
        return Follower(self.aws, self.account("data-science"), pipelines)

    def as_person(self, service: str) -> Any:
        """A client that acts as the data scientist."""
        return self.aws.client(service, self.person)
