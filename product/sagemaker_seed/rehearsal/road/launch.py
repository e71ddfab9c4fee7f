"""Launches a product as Studio does: a SageMaker project made from a version in Service Catalog."""

from __future__ import annotations

import time
from typing import Any

from ...errors import SeedError
from . import accounts, stacks
from .journey import Journey, Product, Project

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
    parameters = _parameters(journey, product)
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
    stack = _stack_of(cloudformation, described["ProjectId"])
    if described["ProjectStatus"] != "CreateCompleted":
        said = described.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductStatusMessage", "")
        why = stacks.reason(cloudformation, stack["StackId"]) if stack else said
        raise SeedError(f"the launch failed ({described['ProjectStatus']}): {why or 'nothing says why'}")
    if stack is None:
        raise SeedError(f"the project {name} is there, but no stack of it")
    return Project(
        name, described["ProjectId"], stack["StackName"], stacks.resources(cloudformation, stack["StackName"])
    )


def _parameters(journey: Journey, product: Product) -> dict[str, str]:
    known = accounts.known_parameters(journey)
    unknown = set(accounts.given(journey.options.parameters)) - set(product.parameters)
    if unknown:
        raise SeedError(f"the product has no parameter {', '.join(sorted(unknown))}")
    missing = [p for p, said in product.parameters.items() if "Default" not in said and p not in known.keys() | OWN]
    if missing:
        words = " ".join(f"--parameter {name}=..." for name in missing)
        raise SeedError(f"the product has parameters without a default that the rehearsal cannot fill in: {words}")
    return {name: known[name] for name in product.parameters if name in known}


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


def _stack_of(cloudformation: Any, project: str) -> dict[str, Any] | None:
    """The stack that a launch made: the one that got the project's id."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    for stack in (stack for page in pages for stack in page["Stacks"]):
        given = {p["ParameterKey"]: p.get("ParameterValue") for p in stack.get("Parameters", ())}
        if given.get("SageMakerProjectId") == project:
            return dict(stack)
    return None
