"""Walks the road step by step: the table of steps, what each does, and what is left at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ... import bundle as bundles
from ...answers import read_seed
from ...console import Console
from ...errors import BadInput, SeedError
from ...publish.flow import publish as publish_with
from ..embedded import EmbeddedAws
from ..page.write import write as write_page
from ..proof import prove as proof_of
from ..publishing import bucket_of, clients_of
from ..rendering import render as render_seed
from . import accounts, evidence, foreign, models, permissions, repository, served, training
from . import launch as launching
from .after import AFTER
from .drift import drift
from .faults import FAULTS, Fault
from .following import confirm, explain, failure, follow_to_approval, go_on
from .journey import Journey, Options, Product, Silent
from .summary import table


@dataclass(frozen=True)
class Stage:
    """A step: its name and what it does.

    Attributes:
        ours: whose product it is for; None: anybody's, else whether it is ours.
        layout: the number of stages that it is for; None: any.
    """

    name: str
    act: Callable[[Journey], None]
    ours: bool | None = None
    layout: int | None = None


def _render(journey: Journey) -> None:
    options = journey.options
    journey.folder = options.seed or render_seed(options.answers, options.output)
    journey.seed = read_seed(journey.folder)
    journey.say(str(journey.folder))


def _bundle(journey: Journey) -> None:
    journey.packed = bundles.pack(journey.folder)
    name = bundles.file_name(journey.seed.slug, journey.packed)
    journey.bundle = bundles.write(journey.packed, journey.folder / "dist" / name)
    journey.say(f"{journey.bundle}: {len(journey.packed.files)} files, {journey.packed.size:,} bytes")


def _accounts(journey: Journey) -> None:
    accounts.make(journey)
    accounts.deploy_templates(journey)


def _publish(journey: Journey) -> None:
    clients, template = clients_of(journey.aws, journey.publisher), journey.template("project.yaml")
    before = len(journey.aws.calls())
    done = publish_with(clients, journey.seed, journey.teller, bucket=bucket_of(journey.seed), template=template)
    between = len(journey.aws.calls())
    journey.product = Product(
        done["project"], done["product_id"], done["version_id"], done["version"], _parameters_of(journey, done)
    )
    calls = [f"{call.service}:{call.operation}" for call in journey.aws.calls()[before:between]]
    journey.result |= {"publication": done, "calls": calls}


def _parameters_of(journey: Journey, done: dict[str, Any]) -> dict[str, Any]:
    described = journey.client("servicecatalog").describe_provisioning_artifact(
        ProductId=done["product_id"], ProvisioningArtifactId=done["version_id"], Verbose=True
    )
    return foreign.parameters_at(journey.client("s3"), described["Info"]["TemplateUrl"])


def _prove(journey: Journey) -> None:
    proof = proof_of(clients_of(journey.aws), journey.result["publication"])
    for line in proof:
        journey.say(line)
    journey.result["proof"] = proof


def _publish_again(journey: Journey) -> None:
    clients, template = clients_of(journey.aws, journey.publisher), journey.template("project.yaml")
    before = len(journey.aws.calls())
    again = publish_with(clients, journey.seed, Silent(), bucket=bucket_of(journey.seed), template=template)
    calls = journey.aws.calls()[before:]
    writes = [call.operation for call in calls if call.writes]
    if writes or again["version_id"] != journey.product.version_id:
        raise SeedError(f"publishing the same content again is no no-op: it wrote {', '.join(writes) or 'a version'}")
    journey.say(f"{len(calls)} reads, no write")
    journey.result["calls_again"] = [f"{call.service}:{call.operation}" for call in calls]


def _launch(journey: Journey) -> None:
    journey.project = launching.launch(journey, journey.project_name)
    made = journey.project
    journey.say(f"project {made.name} ({made.id}): {len(made.resources)} resources in the stack {made.stack}")
    journey.follower = journey.following(made.of_type("AWS::CodePipeline::Pipeline"))


def _repository(journey: Journey) -> None:
    found = repository.find(journey.as_person("codecommit"), journey.project.of_type("AWS::CodeCommit::Repository"))
    environment = journey.aws.environment(journey.person)
    journey.clone = repository.Clone(found["cloneUrlHttp"], journey.scratch / "clone", environment)
    files = journey.clone.files()
    missing = set(journey.seed_files) - set(files)
    if missing:
        raise SeedError(f"the repository lacks {len(missing)} files of the seed: {', '.join(sorted(missing)[:5])}")
    journey.clone.push_branch("rehearsal")
    journey.say(f"{found['cloneUrlHttp']}: {len(files)} files, cloned; a branch pushed")


def _train(journey: Journey) -> None:
    """What a launch starts by itself: a training, and a deployment that finds no approved model yet."""
    done = journey.follower.follow(journey.say, journey.doing, expect=0)
    for run in done:
        explain(journey, run)
    trained = training.executions(journey.client("sagemaker"))
    for line in (line for execution in trained for line in training.lines(execution)):
        journey.say(line)
    found = models.packages(journey.as_person("sagemaker"))
    if not found and (journey.options.product is None or trained):
        # The training is the last to fail: the first deployment, which finds no model, has long ended.
        failed = sorted((run for run in done if run.failed), key=lambda run: run.ended, reverse=True)
        said = "; ".join(failure(run) for run in failed)
        raise SeedError(f"no model was registered: {said or 'nothing says why'}")
    if not found:
        found = foreign.register_model(journey)
    journey.package = str(found[0]["ModelPackageArn"])
    journey.say(f"registered {models.short(journey.package)}: {found[0]['ModelApprovalStatus']}")
    for line in evidence.model_lines(journey, journey.package):
        journey.say(line)


def _approve(journey: Journey) -> None:
    journey.follower.mark()
    models.decide(journey.as_person("sagemaker"), journey.package, models.APPROVED)
    journey.say(f"{models.short(journey.package)} by a person")


def _first_stage(journey: Journey) -> None:
    follow_to_approval(journey)


def _next_stage(journey: Journey) -> None:
    go_on(journey)


def _production(journey: Journey) -> None:
    confirm(journey)
    served.check(journey)
    served.run_jobs(journey)
    foreign.invoke(journey)


STEPS = (
    Stage("render", _render, ours=True),
    Stage("bundle", _bundle, ours=True),
    Stage("accounts", _accounts),
    Stage("publish", _publish, ours=True),
    Stage("prove", _prove, ours=True),
    Stage("publish-again", _publish_again, ours=True),
    Stage("register", foreign.register, ours=False),
    Stage("launch", _launch),
    Stage("repository", _repository),
    Stage("train", _train),
    Stage("approve", _approve),
    Stage("development", _first_stage, layout=3),
    Stage("pre-production", _next_stage, layout=3),
    Stage("staging", _first_stage, layout=2),
    Stage("production", _production),
)
NAMES = tuple(step.name for step in STEPS)
DRIFT = "drift"


def walk(options: Options, console: Console, *, keep: Callable[[Journey], None] | None = None) -> dict[str, Any]:
    """Walks the road.

    Args:
        keep: called at the end, while the embedded AWS still runs.

    Returns:
        What ``--json`` prints.

    Raises:
        SeedError: a step failed; the message says which and why. The page is written all the same.
    """
    _check(options)
    journey = Journey(options, console)
    try:
        _walk(journey, keep)
    except SeedError as error:
        _page(journey, str(error))
        raise
    _page(journey, "")
    _farewell(journey)
    return evidence.result(journey)


def _page(journey: Journey, problem: str) -> None:
    """Writes the page, unless nothing has happened that could be shown: no account was made."""
    page = journey.options.page
    if page is not None and hasattr(journey, "aws"):
        write_page(page, journey.title, evidence.result(journey), problem)
        if problem:
            journey.console.say(f"  what happened until then: {page}")


def _walk(journey: Journey, keep: Callable[[Journey], None] | None) -> None:
    options = journey.options
    steps = [step for step in STEPS if step.ours in {None, options.product is None}]
    before = [step for step in steps if step.name in {"render", "bundle"}]
    for step in before:
        with journey.step(step.name):
            step.act(journey)
        if options.until == step.name:
            return
    with ExitStack() as held:
        scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="sagemaker-seed-rehearsal-"))
        journey.scratch = Path(scratch)
        with journey.step("start"):
            log = journey.scratch / "embedded-aws.log"
            aws = EmbeddedAws(region=journey.wanted_region, log=log, strict=options.strict)
            journey.aws = held.enter_context(aws)
            journey.say(f"the embedded AWS answers at {aws.url}")
        try:
            _walk_on(journey, _of_layout(journey, [step for step in steps if step not in before]))
        finally:
            evidence.collect(journey)
            if keep is not None:
                keep(journey)


def _of_layout(journey: Journey, steps: list[Stage]) -> list[Stage]:
    """The steps for as many stages as there are.

    Raises:
        BadInput: the rehearsal is to end at a step that there is not, or to watch what has no monitor.
    """
    kind = journey.seed.answers["inference"] if journey.options.drift else "real-time"
    if kind != "real-time":
        raise BadInput(f"--drift needs an endpoint with a monitor, which inference={kind} does not have")
    count, until = len(journey.stages), journey.options.until
    found = [step for step in steps if step.layout in {None, count}]
    if until in {step.name for step in steps} - {step.name for step in found}:
        names = ", ".join(stage.name for stage in journey.stages)
        raise BadInput(f"--until {until}: the stages of this seed are {names}")
    return found


def _check(options: Options) -> None:
    names = [*NAMES, *AFTER]
    if options.until and options.until not in names:
        raise BadInput(f"--until {options.until}: no such step; the steps are {', '.join(names)}")
    if options.fail_at and options.fail_at not in FAULTS:
        raise BadInput(f"--fail-at {options.fail_at}: must be one of {', '.join(FAULTS)}")
    if options.fail_at:
        step = FAULTS[options.fail_at].step
        if step in AFTER and not _after(options):
            raise BadInput(f"--fail-at {options.fail_at}: comes after the first deployment, add --after")
        if options.until and names.index(options.until) < names.index(step):
            raise BadInput(f"--fail-at {options.fail_at}: comes after --until {options.until}")
    if options.drift and options.product is not None:
        raise BadInput("--drift is for the seed repository, whose endpoint has a monitor; leave --product out")
    if (options.product is None) != (options.archive is None):
        raise BadInput("--product and --seed belong together: a product template, and the zip of its seed code")
    if options.product is None:
        return
    if options.seed is not None:
        raise BadInput(f"either the seed repository {options.seed} or --product, not both")
    if options.answers:
        raise BadInput("--answer is for the seed repository that is rendered; with --product there is none")
    foreign.read(options)


def _walk_on(journey: Journey, steps: list[Stage]) -> None:
    options = journey.options
    fault = FAULTS.get(options.fail_at or "")
    acts = [*((step.name, step.act) for step in steps), *_after(options).items()]
    if fault is None:
        _take(journey, acts, None)
        return
    made = f"the rehearsal made {fault.operation} fail in {fault.account} (--fail-at {options.fail_at})"
    try:
        _take(journey, acts, fault)
    except SeedError as error:
        if not journey.aws.failed():
            raise  # for a reason of its own, before the fault was met
        raise SeedError(f"{error}; {made}") from error
    if journey.aws.failed():
        raise SeedError(f"{made}, and nothing on the road noticed")
    raise SeedError(f"--fail-at {options.fail_at}: nothing failed, nobody called {fault.operation} in {fault.account}")


def _after(options: Options) -> dict[str, Callable[[Journey], None]]:
    taken = AFTER if options.after or options.until in AFTER else {}
    return {**taken, DRIFT: drift} if options.drift else taken


def _take(journey: Journey, acts: list[tuple[str, Callable[[Journey], None]]], fault: Fault | None) -> None:
    for name, act in acts:
        with journey.step(name):
            if fault is not None and fault.step == name:
                journey.aws.fail(fault.service, fault.operation, _place_of(journey, fault))
            refused = len(journey.aws.refusals())
            try:
                act(journey)
            except (ClientError, BotoCoreError) as error:
                raise _explained(journey, name, refused, f"{name}: {error}") from error
            except SeedError as error:
                raise _explained(journey, name, refused, str(error)) from error
        if name == journey.options.until:
            return


def _place_of(journey: Journey, fault: Fault) -> str:
    """The account that a fault is put into; of three stages, that before production stands for staging.

    Raises:
        BadInput: it is one that other stages are in too.
    """
    if fault.account == "data-science":
        return journey.accounts[fault.account]
    if journey.target == "same-account":
        raise BadInput(f"--fail-at {journey.options.fail_at}: every stage is in one account, and would fail")
    return journey.accounts[journey.stages[-1 if fault.account == "production" else -2].name]


def _explained(journey: Journey, step: str, before: int, problem: str) -> SeedError:
    """The failure of a step, beginning with the permission that was missing if one was."""
    return SeedError(permissions.lacking(problem, step, journey.aws.refusals(), before))


def _farewell(journey: Journey) -> None:
    console = journey.console
    for line in table(journey.steps):
        console.say(line)
    stays = journey.options.product is None or journey.options.page is not None
    console.say(
        f"{console.style('done', 'ok')} in {journey.seconds:.1f} s; the embedded AWS is gone{', this stays:' * stays}"
    )
    if journey.options.product is None:
        console.say(f"  seed repository  {journey.folder}")
        console.say(f"  bundle           {journey.bundle}")
    if journey.options.page is not None and hasattr(journey, "aws"):
        console.say(f"  page             {journey.options.page}")
