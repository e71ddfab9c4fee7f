"""The whole act of preparing accounts, as the command line runs it: read, find, plan, show, apply."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import resources
from ..console import Console
from ..errors import BadInput
from ..publish.release import read_template
from . import projects, settings, stacks
from .connections import Clients, Place, check_identities, readable
from .names import CATALOG_STACK, ROLES_STACK, STACK_SETS_STACK, STAGE_STACK, STORED_STACK, WATCH_STACK, role_names
from .settings import DATA_SCIENCE, SAME_NAME, Account, Settings
from .stacks import Action, Step, Wanted

# By which parameter a role that is there takes the place of ours: in the account that trains, and elsewhere.
EXISTING = {
    "CloudFormationRoleName": (SAME_NAME[1], SAME_NAME[1]),
    "ModelRoleName": ("ExistingModelRoleArn", "ExistingModelRoleArn"),
    "TestRoleName": ("ExistingTestRoleArn", SAME_NAME[0]),
}
DEPLOY_ROLE = SAME_NAME[0]
_SIGNS = {Action.CREATE: "+", Action.CREATE_AGAIN: "+", Action.UPDATE: "~"}


def prepare(clients: Clients, file: Path, console: Console, *, plan_only: bool) -> dict[str, Any]:
    """Prepares the accounts of a file, or with ``plan_only`` says what preparing would write.

    Returns:
        What ``--json`` prints: the stacks and the switches with what was (to be) done, and what a launch needs.

    Raises:
        BadInput: the file, a profile or a parameter cannot be right. Nothing was written.
        SeedError: AWS refused. What was written is complete in itself, and the next run goes on from it.
    """
    wanted = settings.read(file)
    check_identities(clients, [Place(account, wanted.regions[0]) for account in wanted.accounts])
    steps = list(_look(clients, wanted))
    missing = [(place, write) for place, writes in _switches(clients, wanted) for write in writes]
    for step in steps:
        _show(step, console)
    for place, write in missing:
        console.say(f"  {console.style('+', 'todo')} {place}: {write.what}")
    has_work = bool(missing) or any(step.action is not Action.UNCHANGED for step in steps)
    if not has_work:
        console.say("  nothing to write: everything is there")
    if has_work and not plan_only:
        with console.progress() as doing:
            for step in steps:
                _bring(clients, step, console, doing)
            for place, write in missing:
                doing(write.what)
                with readable(place):
                    write.act()
                console.say(f"  {console.style('done', 'ok')}: {place}: {write.what}")
    return _result(clients, wanted, steps, missing, console, applied=not plan_only)


def _look(clients: Clients, wanted: Settings) -> Iterator[Step]:
    for place, name, file, parameters in _deployments(wanted):
        template = resources.product_template(file).read_text(encoding="utf-8")
        client = clients("cloudformation", place)
        with readable(place):
            who = principals(wanted, stacks.parameters_of(stacks.find(client, name))) if name == CATALOG_STACK else {}
            step = stacks.look(client, Wanted(place, name, file, template, {**parameters, **who}))
        yield step


def _deployments(wanted: Settings) -> Iterator[tuple[Place, str, str, dict[str, str]]]:
    """What goes where, in order: the roles of the account that launches, its catalogs, then each stage's own account.

    Raises:
        BadInput: the file gives a parameter that no template of that account has.
    """
    first, here = wanted.regions[0], wanted.data_science
    told = {**_deploy_role(wanted), **_external_id(wanted)}
    found: list[tuple[Place, str, str, dict[str, str]]] = [
        (Place(here, first), ROLES_STACK, "data-science-account.yaml", {**_readers(wanted), **_deploy_role(wanted)}),
        *((Place(here, region), CATALOG_STACK, "catalog.yaml", told) for region in wanted.regions),
    ]
    if wanted.target in settings.STACK_SETS:
        found.insert(1, (Place(here, first), STACK_SETS_STACK, "stacksets.yaml", {"DeployTarget": wanted.target}))
    # A stage in the account that launches has all it needs there already; two stages in one account share the roles.
    reads = {None: {}, True: {"ReadsDefaultBucket": "yes"}, False: {"ReadsDefaultBucket": "no"}}
    worked_out = {
        "DataScienceAccountId": here.id,
        "DeployTarget": wanted.target,
        **reads[wanted.default_bucket],
        **_external_id(wanted),
    }
    for name, role in (("PipelineRoleArn", "CodePipeline"), ("TestRoleArn", "Test")):
        if arn := here.parameters.get(f"Existing{role}RoleArn"):
            worked_out[name] = arn
    found += [
        (Place(account, first), STAGE_STACK, "target-account.yaml", worked_out)
        for account in wanted.accounts
        if account is not here
    ]
    staged = [a for a in wanted.accounts if set(a.roles) - {DATA_SCIENCE} or wanted.target == settings.SAME_ACCOUNT]
    for account, (name, file) in itertools.product(staged, _besides(wanted)):
        known = {"DataScienceAccountId": here.id, **_role_names(wanted, account)}
        names = _declared(file).keys() - account.parameters.keys()
        found.append((Place(account, first), name, file, {k: v for k, v in known.items() if k in names}))
    problems = []
    for account in wanted.accounts:
        declared = [_declared(file) for place, _, file, _ in found if place.account is account]
        problems += [
            f"{account}: no template of this account has a parameter {name}"
            for name in account.parameters
            if not any(name in names for names in declared)
        ]
    if problems:
        raise BadInput(*problems)
    for place, name, file, parameters in found:
        own = {k: v for k, v in place.account.parameters.items() if k in _declared(file)}
        yield place, name, file, {**own, **parameters}


def _besides(wanted: Settings) -> list[tuple[str, str]]:
    """What each account of a stage gets on top of its roles: stack and template."""
    watching = [(WATCH_STACK, "watching.yaml")] if wanted.watching else []
    return [*watching, *([(STORED_STACK, "stored-inference.yaml")] if wanted.stored_inference else [])]


def _role_names(wanted: Settings, account: Account) -> dict[str, str]:
    """The names of the roles of a stage's account that other templates add to: ours, or those that are there."""
    here, found = account is wanted.data_science, {}
    for name, ours in role_names(wanted.target, here=here).items():
        existing = account.parameters.get(EXISTING[name][not here], "").rpartition("/")[2]
        found[name] = (existing or ours) if ours else ""  # nobody's, and so not that one either
    return found


def _readers(wanted: Settings) -> dict[str, str]:
    """Who reads the default bucket; the template itself leaves out an account that is given twice, or is its own."""
    if wanted.default_bucket is None:
        return {}
    others = dict.fromkeys(wanted.of(stage).id for stage in wanted.stages if DATA_SCIENCE not in wanted.of(stage).roles)
    slots = [*(others if wanted.default_bucket else ()), *[""] * settings.READERS][: settings.READERS]
    return {f"DefaultBucketReaderId{number}": reader for number, reader in enumerate(slots, 1)}


def _deploy_role(wanted: Settings) -> dict[str, str]:
    """The name of the role that stages have in place of ours, for those who assume it."""
    elsewhere = [account for account in wanted.accounts if account is not wanted.data_science]
    deploy = [a.parameters[DEPLOY_ROLE] for a in elsewhere if DEPLOY_ROLE in a.parameters]
    return {"DeployRoleName": deploy[0].partition(":role/")[2]} if deploy else {}


def _external_id(wanted: Settings) -> dict[str, str]:
    return {} if wanted.external_id is None else {"ExternalId": wanted.external_id}


def _declared(file: str) -> Mapping[str, Any]:
    text = resources.product_template(file).read_text(encoding="utf-8")
    return dict(read_template(text, file).get("Parameters", {}))


def principals(wanted: Settings, there: Mapping[str, str]) -> dict[str, str]:
    """The parameters of catalog.yaml that say who may launch, all of them.

    Whoever has a slot keeps it: CloudFormation would else associate somebody in the new slot, and then, cleaning up,
    take the same association away with the old one.
    """
    found: dict[str, str] = {}
    for prefix, count, arns in (
        ("PrincipalArn", settings.PRINCIPALS, wanted.principals),
        ("PrincipalPattern", settings.PATTERNS, wanted.patterns),
    ):
        slots = {f"{prefix}{number}": "" for number in range(1, count + 1)}
        slots |= {name: there[name] for name in slots if there.get(name) in arns}
        rest = iter([arn for arn in arns if arn not in slots.values()])
        found |= {name: value or next(rest, "") for name, value in slots.items()}
    return found


def _switches(clients: Clients, wanted: Settings) -> Iterator[tuple[Place, list[projects.Write]]]:
    people = [*((arn, "IAM") for arn in wanted.principals), *((arn, "IAM_PATTERN") for arn in wanted.patterns)]
    places = [Place(wanted.data_science, region) for region in wanted.regions]
    if wanted.projects:
        for place in places:
            with readable(place):
                writes = projects.switch(clients("sagemaker", place), clients("servicecatalog", place), people)
            yield place, writes
    if wanted.aws_template_roles:
        partition = people[0][0].split(":")[1]
        with readable(places[0]):
            writes = projects.roles(clients("iam", places[0]), partition, wanted.data_science.id)
        yield places[0], writes


def _show(step: Step, console: Console) -> None:
    sign = console.style(_SIGNS[step.action], "todo") if step.action in _SIGNS else " "
    console.say(f"  {sign} {step.wanted.place}: {step.wanted.name} ({step.wanted.file}): {step.action.value}")
    for line in step.why:
        console.say(f"      {line}")


def _bring(clients: Clients, step: Step, console: Console, doing: stacks.Say) -> None:
    if step.action is Action.UNCHANGED:
        return
    place = step.wanted.place
    doing(f"{place}: {step.wanted.name}")
    with readable(place):
        stack = stacks.bring(clients("cloudformation", place), step, lambda line: console.say(f"      {line}"), doing)
    console.say(f"  {console.style('done', 'ok')}: {place}: {step.wanted.name} is {stack['StackStatus']}")


def _result(
    clients: Clients,
    wanted: Settings,
    steps: list[Step],
    missing: list[tuple[Place, projects.Write]],
    console: Console,
    *,
    applied: bool,
) -> dict[str, Any]:
    buckets: dict[str, str] = {}
    for region in wanted.regions:
        place = Place(wanted.data_science, region)
        with readable(place):
            outputs = stacks.outputs_of(stacks.find(clients("cloudformation", place), CATALOG_STACK))
        if "SeedBucket" in outputs:
            buckets[region] = outputs["SeedBucket"]
            console.say(f"  seed_bucket in {region}: {outputs['SeedBucket']}")
    launch = {f"Account{slot}Id": wanted.of(stage).id for stage, slot in wanted.stages.items()}
    units = {wanted.stages[stage]: unit for stage, unit in wanted.units.items()}
    launch |= {f"OrganizationalUnit{slot}Id": unit for slot, unit in units.items()}
    said = ", ".join(f"{name}={value}" for name, value in launch.items())
    console.say(f"  launch parameters: {said or 'none is needed'}")
    return {
        "applied": applied,
        "stacks": [
            {
                "account": step.wanted.place.account.id,
                "roles": list(step.wanted.place.account.roles),
                "region": step.wanted.place.region,
                "stack": step.wanted.name,
                "template": step.wanted.file,
                "action": step.action.name.lower(),
                "why": list(step.why),
            }
            for step in steps
        ],
        "projects": [
            {"account": place.account.id, "region": place.region, "write": write.what} for place, write in missing
        ],
        "seed_buckets": buckets,
        "launch_parameters": launch,
    }
