"""`sagemaker-seed check` of products that deploy by stack sets: their roles, and the organization around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.answers import NAMES, Seed, read_seed
from sagemaker_seed.check.stacksets import PRINCIPAL, SELF_MANAGED, SERVICE_MANAGED
from sagemaker_seed.console import Console
from sagemaker_seed.rehearsal.checking import Ground, check_in, ground
from sagemaker_seed.rehearsal.rendering import render
from support import REGION
from test_check import Break, Scene, assert_found, lacks, option, template, trusts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("deploy_target" not in NAMES, reason="the template asks for no deploy target"),
]
ADMINISTRATION, EXECUTION = "sagemaker-seed-stackset-administration", "sagemaker-seed-stackset-execution"


class Places:
    """Accounts of each target, made when the first test asks for them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.open = folder, ExitStack()
        self.made: dict[str, tuple[Ground, Seed]] = {}

    def of(self, target: str) -> tuple[Ground, Seed]:
        if target not in self.made:
            answers = [f"aws_region={REGION}", f"deploy_target={target}"]
            seed = read_seed(render(answers, self.folder / target))
            self.made[target] = self.open.enter_context(ground(seed, Console(json=True))), seed
        return self.made[target]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    places = Places(tmp_path_factory.mktemp("targets"))
    with places.open:
        yield places


def organizations(scene: Scene) -> tuple[Any, str]:
    """A client of the organization's management account, and the id of the data science account."""
    described = scene.client("organizations").describe_organization()["Organization"]
    return scene.made.aws.client("organizations", described["MasterAccountId"]), scene.made.accounts["home"]


def untrusted(scene: Scene) -> None:
    client, _ = organizations(scene)
    client.disable_aws_service_access(ServicePrincipal=PRINCIPAL)
    scene.undo.callback(client.enable_aws_service_access, ServicePrincipal=PRINCIPAL)


def undelegated(scene: Scene) -> None:
    client, home = organizations(scene)
    client.deregister_delegated_administrator(AccountId=home, ServicePrincipal=PRINCIPAL)
    scene.undo.callback(client.register_delegated_administrator, AccountId=home, ServicePrincipal=PRINCIPAL)


def another_unit(scene: Scene) -> None:
    client, _ = organizations(scene)
    unit = client.list_parents(ChildId=scene.made.accounts["prod"])["Parents"][0]["Id"]
    scene.more["parameters"] = {"OrganizationalUnitStagingId": unit}


# fault: (deploy target, how it is made, what is found, what fails first, a part of the place, the reason or the fix)
FAULTS: dict[str, tuple[str, Break, str, str, str]] = {
    "an administration role that enters no account": (
        SELF_MANAGED,
        lacks(ADMINISTRATION, "sts:AssumeRole"),
        "the administration role of stack sets lacks sts:AssumeRole",
        "deploy",
        EXECUTION,
    ),
    "an administration role that CloudFormation cannot assume": (
        SELF_MANAGED,
        trusts(ADMINISTRATION, {"Service": "codepipeline.amazonaws.com"}),
        "the administration role of stack sets does not trust cloudformation.amazonaws.com",
        "deploy",
        "sts:AssumeRole",
    ),
    "an execution role that trusts somebody else": (
        SELF_MANAGED,
        trusts(EXECUTION, {"AWS": "999999999999"}, "staging"),
        "the execution role of stack sets in staging cannot be assumed",
        "deploy",
        ADMINISTRATION,
    ),
    "an execution role that makes no endpoint": (
        SELF_MANAGED,
        lacks(EXECUTION, "sagemaker:CreateEndpoint", "prod"),
        "the execution role of stack sets in prod lacks sagemaker:CreateEndpoint",
        "deploy",
        "the prod endpoint",
    ),
    "a pipeline that changes no stack set": (
        SELF_MANAGED,
        lacks("sagemaker-seed-codepipeline", "cloudformation:UpdateStackSet"),
        "the pipeline's role lacks cloudformation:UpdateStackSet",
        "deploy",
        "stackset/sagemaker-*",
    ),
    "a stack set of another permission model": (
        SELF_MANAGED,
        template("PermissionModel: SELF_MANAGED", "PermissionModel: SERVICE_MANAGED", 2),
        "a stack set has another permission model than its target",
        "deploy",
        "AdministrationRoleArn",
    ),
    "an organization that does not trust stack sets": (
        SERVICE_MANAGED,
        untrusted,
        "the organization does not trust stack sets",
        "deploy",
        "activate-organizations-access",
    ),
    "an account that is no delegated administrator": (
        SERVICE_MANAGED,
        undelegated,
        "the account is no delegated administrator of stack sets",
        "deploy",
        "register-delegated-administrator",
    ),
    "an account that is not the management account": (
        SERVICE_MANAGED,
        option(parameters={"StackSetsCallAs": "SELF"}),
        "the account is not the organization's management account",
        "deploy",
        "StackSetsCallAs=DELEGATED_ADMIN",
    ),
    "a unit that the account is not in": (
        SERVICE_MANAGED,
        another_unit,
        "the staging account is not in its organizational unit",
        "deploy",
        "--parameter OrganizationalUnitStagingId=ou-",
    ),
    "a build that makes no instances": (
        SERVICE_MANAGED,
        lacks("sagemaker-seed-stacksets", "cloudformation:CreateStackInstances"),
        "a build's role lacks cloudformation:CreateStackInstances",
        "build",
        "DeployProject",
    ),
}


@pytest.mark.parametrize("target", [SELF_MANAGED, SERVICE_MANAGED])
def test_nothing_is_found_where_all_is_as_our_templates_make_it(target: str, places: Places) -> None:
    made, seed = places.of(target)
    result = check_in(made, seed, Console(json=True))
    assert (result["findings"], result["notes"]) == ([], [])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, places: Places, tmp_path: Path) -> None:
    target, act, what, when, part = FAULTS[name]
    made, seed = places.of(target)
    with ExitStack() as undo:
        scene = Scene(made, seed, tmp_path, undo)
        act(scene)
        assert_found(scene.check(), what, when, part)


@pytest.mark.parametrize("target", [SELF_MANAGED, SERVICE_MANAGED, "same-account"])
def test_a_rehearsal_s_accounts_have_what_batch_inference_takes(target: str, tmp_path: Path) -> None:
    seed = read_seed(render([f"aws_region={REGION}", f"deploy_target={target}", "inference=batch"], tmp_path))
    with ground(seed, Console(json=True)) as made:
        assert check_in(made, seed, Console(json=True))["findings"] == []
