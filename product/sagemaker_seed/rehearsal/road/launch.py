"""Launches a product as Studio does: a SageMaker project made from a version in Service Catalog."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...accounts.stacks import reason
from ...errors import BadInput, SeedError
from . import accounts, stacks
from .journey import Journey, Product, Project
from .stages import PARAMETERS

TIMEOUT_SECONDS = 300.0
# SageMaker fills these in.
OWN = {"SageMakerProjectName", "SageMakerProjectId"}


def launch(journey: Journey, name: str) -> Project:
    """Launches the journey's product as a project of this name.

    Raises:
        SeedError: the launch failed; the message names the resource and the reason.
    """
    product = journey.product
    sagemaker = journey.as_person("sagemaker")
    parameters = journey.project_parameters = _parameters(journey, product)
    sagemaker.create_project(
        ProjectName=name,
        ServiceCatalogProvisioningDetails={
            "ProductId": product.product_id,
            "ProvisioningArtifactId": product.version_id,
            "ProvisioningParameters": [{"Key": k, "Value": v} for k, v in parameters.items()],
        },
    )
    described = _wait(journey, sagemaker, name)
    cloudformation = journey.client("cloudformation")
    stack = _stack_of(journey, described)
    if described["ProjectStatus"] != "CreateCompleted":
        said = described.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductStatusMessage", "")
        why = reason(cloudformation, stack["StackId"]) if stack else said
        raise SeedError(f"the launch failed ({described['ProjectStatus']}): {why or 'nothing says why'}")
    if stack is None:
        raise SeedError(f"the project {name} is there, but no stack of it")
    return Project(
        name, described["ProjectId"], stack["StackName"], stacks.resources(cloudformation, stack["StackName"])
    )


def _parameters(journey: Journey, product: Product) -> dict[str, str]:
    check_parameters(product.parameters, journey.options.parameters)
    known = accounts.known_parameters(journey)
    return {name: known[name] for name in product.parameters if name in known}


def check_parameters(declared: Mapping[str, Any], words: Sequence[str]) -> None:
    """Whether a template can be launched with ``key=value`` parameters and what the rehearsal knows.

    Raises:
        BadInput: one that the template does not have, or lacks.
    """
    given = accounts.given(words)
    known = {"DataScienceAccountId", *PARAMETERS, *OWN, *given}
    if unknown := sorted(given.keys() - declared.keys()):
        raise BadInput(f"the product has no parameter {', '.join(unknown)}")
    if missing := [name for name, said in declared.items() if "Default" not in said and name not in known]:
        asked = " ".join(f"--parameter {name}=..." for name in missing)
        raise BadInput(f"the product has parameters without a default that the rehearsal cannot fill in: {asked}")


def _wait(journey: Journey, sagemaker: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        described: dict[str, Any] = sagemaker.describe_project(ProjectName=name)
        if described["ProjectStatus"] not in {"Pending", "CreateInProgress"}:
            return described
        if time.monotonic() > deadline:
            raise SeedError(f"the launch is still {described['ProjectStatus']} after {TIMEOUT_SECONDS:.0f} s")
        journey.doing(f"project {name}: {described['ProjectStatus']}")
        time.sleep(stacks.POLL_SECONDS)


def _stack_of(journey: Journey, described: dict[str, Any]) -> dict[str, Any] | None:
    """The stack that Service Catalog made for a project; it bears the provisioned product's id."""
    provisioned = described.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId", "")
    for page in journey.client("cloudformation").get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            if provisioned and stack["StackName"].endswith(f"-{provisioned}"):
                return dict(stack)
    return None
