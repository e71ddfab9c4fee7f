"""Portfolios, products with their versions, and who and what belongs to a portfolio."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..provider import Context, Made, ResourceFailed
from .common import (
    Properties,
    gone_is_fine,
    not_changed,
    nothing_to_change,
    picked,
    resource,
    tag_list,
    tags_of,
    undone,
)

GONE = "ResourceNotFoundException"
PRODUCT = "AWS::ServiceCatalog::CloudFormationProduct"
DETAILS = "Description Distributor Name Owner SupportDescription SupportEmail SupportUrl AcceptLanguage"
ARTIFACT_DETAILS = "Name Description"


def _tagging(there: list[dict[str, str]], wanted: dict[str, str]) -> dict[str, Any]:
    """The arguments of an update that bring the tags there are to those wanted."""
    present = {tag["Key"]: tag["Value"] for tag in there}
    new = {key: value for key, value in wanted.items() if present.get(key) != value}
    gone = [key for key in present if key not in wanted]
    return {**({"AddTags": tag_list(new)} if new else {}), **({"RemoveTags": gone} if gone else {})}


# --- portfolios


def _create_portfolio(context: Context, properties: Properties) -> Made:
    tags = tag_list(tags_of(context, properties))
    given = picked(properties, "DisplayName ProviderName Description AcceptLanguage")
    catalog = context.client("servicecatalog")
    made = catalog.create_portfolio(**given, **({"Tags": tags} if tags else {}))["PortfolioDetail"]
    return Made(made["Id"], {"PortfolioName": made["DisplayName"], "Id": made["Id"]})


def _update_portfolio(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    catalog = context.client("servicecatalog")
    there = catalog.describe_portfolio(Id=made.physical_id).get("Tags", [])
    given = {"Description": ""} | picked(new, "DisplayName ProviderName Description AcceptLanguage")
    updated = catalog.update_portfolio(Id=made.physical_id, **given, **_tagging(there, tags_of(context, new)))
    return Made(made.physical_id, {**made.attributes, "PortfolioName": updated["PortfolioDetail"]["DisplayName"]})


def _delete_portfolio(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine(GONE):
        context.client("servicecatalog").delete_portfolio(Id=made.physical_id)


# --- products


def _create_product(context: Context, properties: Properties) -> Made:
    versions = properties.get("ProvisioningArtifactParameters")
    if not versions:
        raise ResourceFailed("Invalid request provided: ProvisioningArtifactParameters is required.")
    catalog, tags = context.client("servicecatalog"), tag_list(tags_of(context, properties))
    answer = catalog.create_product(
        ProductType=properties.get("ProductType", "CLOUD_FORMATION_TEMPLATE"),
        ProvisioningArtifactParameters=_artifact(versions[0]),
        **picked(properties, DETAILS),
        **({"Tags": tags} if tags else {}),
    )
    product = answer["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    with undone(lambda: catalog.delete_product(Id=product)):
        for version in versions[1:]:
            catalog.create_provisioning_artifact(ProductId=product, Parameters=_artifact(version))
    return _product(catalog, product, properties)


def _artifact(version: Properties) -> dict[str, Any]:
    return {"Type": "CLOUD_FORMATION_TEMPLATE", **version}


def _product(catalog: Any, product: str, properties: Properties) -> Made:
    versions = catalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    attributes = {
        "Id": product,
        "ProductName": properties["Name"],
        "ProvisioningArtifactIds": ",".join(version["Id"] for version in versions),
        "ProvisioningArtifactNames": ",".join(version["Name"] for version in versions),
    }
    return Made(product, attributes)


def _update_product(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    not_changed(PRODUCT, old, new, "ProductType")
    catalog, product = context.client("servicecatalog"), made.physical_id
    there = catalog.describe_product_as_admin(Id=product).get("Tags", [])
    absent = dict.fromkeys(picked(old, "Description Distributor SupportDescription SupportEmail SupportUrl"), "")
    catalog.update_product(Id=product, **(absent | picked(new, DETAILS)), **_tagging(there, tags_of(context, new)))
    _update_versions(catalog, product, old, new)
    return _product(catalog, product, new)


def _update_versions(catalog: Any, product: str, old: Properties, new: Properties) -> None:
    """New versions first, because a product keeps at least one. A version is known by its template and its name."""
    before, after = (side.get("ProvisioningArtifactParameters", []) for side in (old, new))
    listed = catalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    ids = {version["Name"]: version["Id"] for version in listed}
    replaces = new.get("ReplaceProvisioningArtifacts", False) and before != after
    known = {} if replaces else {_identity(version): version for version in before}
    for version in after:
        same = known.get(_identity(version))
        if same is None:
            catalog.create_provisioning_artifact(ProductId=product, Parameters=_artifact(version))
        elif same != version:
            catalog.update_provisioning_artifact(
                ProductId=product,
                ProvisioningArtifactId=ids[version["Name"]],
                **({"Description": ""} | picked(version, ARTIFACT_DETAILS)),
            )
    kept = set() if replaces else {_identity(version) for version in after}
    for version in before:
        if _identity(version) not in kept and (gone := ids.get(version.get("Name", ""))):
            with gone_is_fine(GONE):
                catalog.delete_provisioning_artifact(ProductId=product, ProvisioningArtifactId=gone)


def _identity(version: Properties) -> tuple[str, str]:
    return json.dumps(version["Info"], sort_keys=True), version.get("Name", "")


def _delete_product(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine(GONE):
        context.client("servicecatalog").delete_product(Id=made.physical_id)


# --- what binds products, principals and roles to a portfolio


def _bind(operation: str, *identity: str) -> Callable[[Context, Properties], Made]:
    def create(context: Context, properties: Properties) -> Made:
        getattr(context.client("servicecatalog"), operation)(**properties)
        return Made("|".join(properties[name] for name in identity), {})

    return create


def _unbind(operation: str, names: str) -> Callable[[Context, Made, Properties], None]:
    def delete(context: Context, _: Made, properties: Properties) -> None:
        with gone_is_fine(GONE):
            getattr(context.client("servicecatalog"), operation)(**picked(properties, names))

    return delete


def _launch_parameters(properties: Properties) -> str:
    given = {"RoleArn": properties.get("RoleArn"), "LocalRoleName": properties.get("LocalRoleName")}
    return json.dumps({name: value for name, value in given.items() if value is not None})


def _create_launch_constraint(context: Context, properties: Properties) -> Made:
    constraint = context.client("servicecatalog").create_constraint(
        Type="LAUNCH",
        Parameters=_launch_parameters(properties),
        **picked(properties, "PortfolioId ProductId Description AcceptLanguage"),
    )["ConstraintDetail"]["ConstraintId"]
    return Made(constraint, {"Id": constraint})


def _update_launch_constraint(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    context.client("servicecatalog").update_constraint(
        Id=made.physical_id,
        Parameters=_launch_parameters(new),
        **({"Description": ""} | picked(new, "Description AcceptLanguage")),
    )
    return made


def _delete_constraint(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine(GONE):
        context.client("servicecatalog").delete_constraint(Id=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            "AWS::ServiceCatalog::Portfolio",
            _create_portfolio,
            _update_portfolio,
            _delete_portfolio,
            honours="AcceptLanguage Description DisplayName ProviderName Tags",
        ),
        resource(
            PRODUCT,
            _create_product,
            _update_product,
            _delete_product,
            honours=f"ProductType ProvisioningArtifactParameters ReplaceProvisioningArtifacts Tags {DETAILS}",
        ),
        resource(
            "AWS::ServiceCatalog::PortfolioPrincipalAssociation",
            _bind("associate_principal_with_portfolio", "PortfolioId", "PrincipalARN"),
            nothing_to_change,
            _unbind("disassociate_principal_from_portfolio", "PortfolioId PrincipalARN PrincipalType"),
            honours="AcceptLanguage PortfolioId PrincipalARN PrincipalType",
        ),
        resource(
            "AWS::ServiceCatalog::PortfolioProductAssociation",
            _bind("associate_product_with_portfolio", "PortfolioId", "ProductId"),
            nothing_to_change,
            _unbind("disassociate_product_from_portfolio", "PortfolioId ProductId"),
            honours="AcceptLanguage PortfolioId ProductId SourcePortfolioId",
        ),
        resource(
            "AWS::ServiceCatalog::LaunchRoleConstraint",
            _create_launch_constraint,
            _update_launch_constraint,
            _delete_constraint,
            honours="AcceptLanguage Description LocalRoleName PortfolioId ProductId RoleArn",
        ),
    )
)
