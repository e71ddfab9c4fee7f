"""Service Catalog: the portfolio, who sees it, the product in it, its versions, and the role that it launches with."""

from __future__ import annotations

import json
from typing import Any

from ..publish.plan import MAX_VERSIONS, SLUG_TAG, VISIBILITY_TAG
from .subject import Subject

MAX_PRODUCTS = 150
NEAR = 0.9


def check(subject: Subject) -> None:
    """The portfolio, then the product in it, if it is published already."""
    if not subject.portfolio_id:
        return
    servicecatalog, where = subject.home.client("servicecatalog"), subject.portfolio_id
    with subject.report.looking_at(f"portfolio {where}"):
        try:
            servicecatalog.describe_portfolio(Id=where)
        except servicecatalog.exceptions.ResourceNotFoundException:
            subject.report.add(
                "the portfolio does not exist",
                where,
                f"the product would belong to no portfolio of {subject.home.id} {subject.home.region}",
                "publish",
                "deploy catalog.yaml again, or give --portfolio-id",
            )
            return
        _principals(subject, servicecatalog)
        _products(subject, servicecatalog)


def _principals(subject: Subject, servicecatalog: Any) -> None:
    pages = servicecatalog.get_paginator("list_principals_for_portfolio").paginate(PortfolioId=subject.portfolio_id)
    principals = [principal for page in pages for principal in page["Principals"]]
    associate = (
        f"aws servicecatalog associate-principal-with-portfolio --portfolio-id {subject.portfolio_id} "
        "--principal-type IAM --principal-arn <ARN of the Studio execution role, with its path>"
    )
    if not principals:
        subject.report.add(
            "nobody sees the portfolio",
            str(subject.portfolio_id),
            "no principal is associated with it, so Studio lists none of its products",
            "launch",
            associate,
        )
    exact = [p["PrincipalARN"] for p in principals if p["PrincipalType"] == "IAM" and ":role/" in p["PrincipalARN"]]
    own = [arn for arn in exact if subject.account_of(arn) is subject.home]
    subject.read_roles(own)
    for arn in own:
        if subject.role(arn) is None and not any(note.startswith(arn) for note in subject.report.notes):
            subject.report.add(
                "a principal of the portfolio is no role",
                arn,
                "there is no role of this name and path, so whoever was meant sees nothing",
                "launch",
                f"{associate}; `aws iam get-role` tells the path",
            )


def _products(subject: Subject, servicecatalog: Any) -> None:
    pages = servicecatalog.get_paginator("search_products_as_admin").paginate(PortfolioId=subject.portfolio_id)
    products = [product for page in pages for product in page["ProductViewDetails"]]
    if len(products) >= MAX_PRODUCTS * NEAR:
        subject.report.add(
            "the portfolio is nearly full",
            str(subject.portfolio_id),
            f"it has {len(products)} products, and Service Catalog takes {MAX_PRODUCTS}",
            "publish",
            "retire products, use another portfolio, or ask for a higher quota",
        )
    if subject.seed is None:
        return
    name = subject.seed.answers["project_name"]
    try:
        product = servicecatalog.describe_product_as_admin(Name=name)
    except servicecatalog.exceptions.ResourceNotFoundException:
        subject.report.note(f"product {name}: not published yet")
        return
    _product(subject, servicecatalog, name, product)


def _product(subject: Subject, servicecatalog: Any, name: str, product: dict[str, Any]) -> None:
    product_id, report = product["ProductViewDetail"]["ProductViewSummary"]["ProductId"], subject.report
    tags = {tag["Key"]: tag["Value"] for tag in product.get("Tags", [])}
    slug = subject.seed.slug if subject.seed else ""
    if tags.get(SLUG_TAG) != slug:
        report.add(
            "the product belongs to somebody else",
            f"{name} ({product_id})",
            f"its tag {SLUG_TAG} is {tags.get(SLUG_TAG, 'missing')}, not {slug}; publishing refuses to touch it",
            "publish",
            "render again with another project_name, or set the tag if the product is yours",
        )
        return
    if tags.get(VISIBILITY_TAG) != "true":
        report.add(
            "Studio does not show the product",
            f"{name} ({product_id})",
            f"its tag {VISIBILITY_TAG} is {tags.get(VISIBILITY_TAG, 'missing')}, and must be true",
            "launch",
            f"aws servicecatalog update-product --id {product_id} --add-tags Key={VISIBILITY_TAG},Value=true",
        )
    versions = servicecatalog.list_provisioning_artifacts(ProductId=product_id)["ProvisioningArtifactDetails"]
    if len(versions) >= MAX_VERSIONS * NEAR:
        report.add(
            "the product is nearly full",
            f"{name} ({product_id})",
            f"it has {len(versions)} versions, and Service Catalog takes {MAX_VERSIONS}",
            "publish",
            f"aws servicecatalog delete-provisioning-artifact --product-id {product_id} "
            f"--provisioning-artifact-id {min(versions, key=lambda v: v['CreatedTime'])['Id']}",
        )
    if not any(v.get("Active", True) and v.get("Guidance", "DEFAULT") == "DEFAULT" for v in versions):
        report.add(
            "no version can be launched",
            f"{name} ({product_id})",
            "every version is inactive or deprecated",
            "launch",
            f"aws servicecatalog update-provisioning-artifact --product-id {product_id} "
            "--provisioning-artifact-id <id> --active --guidance DEFAULT",
        )
    _constraint(subject, servicecatalog, product_id)


def _constraint(subject: Subject, servicecatalog: Any, product_id: str) -> None:
    report, portfolio = subject.report, str(subject.portfolio_id)
    publish = "run sagemaker-seed publish again, which mends it"
    pages = servicecatalog.get_paginator("list_portfolios_for_product").paginate(ProductId=product_id)
    if portfolio not in {p["Id"] for page in pages for p in page["PortfolioDetails"]}:
        report.add("the product is in no portfolio of ours", product_id, f"not in {portfolio}", "launch", publish)
        return
    found = servicecatalog.list_constraints_for_portfolio(PortfolioId=portfolio, ProductId=product_id)
    launch = [c for c in found["ConstraintDetails"] if c["Type"] == "LAUNCH"]
    if not launch:
        report.add(
            "the product has no launch constraint",
            f"{product_id} in {portfolio}",
            "a launch would act with the rights of whoever launches, who has none of the needed ones",
            "launch",
            publish,
        )
        return
    said = servicecatalog.describe_constraint(Id=launch[0]["ConstraintId"])["ConstraintParameters"]
    role = json.loads(said).get("RoleArn")
    if role != subject.launch_role_arn:
        report.add(
            "the product launches with another role",
            f"{product_id} in {portfolio}",
            f"its launch constraint names {role}, and the launch role is {subject.launch_role_arn}",
            "launch",
            publish,
        )
