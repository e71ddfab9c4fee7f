"""Service Catalog: the portfolio, who sees it, the product in it, its versions, and the role that it launches with."""

from __future__ import annotations

import json
from typing import Any

from ..publish.plan import MAX_VERSIONS, SLUG_TAG, VISIBILITY_TAG
from . import versions as of_product
from .preparing import aws, deploy
from .subject import Subject

# Service Catalog's quotas, as they are until somebody has them raised: what there may be -> of what, how many.
PRODUCTS, PRINCIPALS, CONSTRAINTS, TAGS = 150, 100, 100, 20
NEAR = 0.9  # of a quota
RAISE = "ask for a higher quota in Service Quotas"


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
                f"{deploy(subject.home, 'catalog.yaml')}; or give --portfolio-id",
            )
            return
        _principals(subject, servicecatalog)
        _products(subject, servicecatalog)


def _principals(subject: Subject, servicecatalog: Any) -> None:
    pages = servicecatalog.get_paginator("list_principals_for_portfolio").paginate(PortfolioId=subject.portfolio_id)
    principals = [principal for page in pages for principal in page["Principals"]]
    _room(
        subject,
        "the portfolio has no room for more principals",
        str(subject.portfolio_id),
        (len(principals), PRINCIPALS, "principals"),
        f"let a pattern (principal type IAM_PATTERN) stand for many of them, or {RAISE}",
    )
    which = f"portfolio --portfolio-id {subject.portfolio_id} --principal-arn"
    whom = "'<ARN of the Studio execution role, with its path>' --principal-type IAM"
    associate = aws(subject.home, f"servicecatalog associate-principal-with-{which} {whom}")
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
                f"{associate}; then {aws(subject.home, f'servicecatalog disassociate-principal-from-{which} {arn}')}",
            )


def _products(subject: Subject, servicecatalog: Any) -> None:
    pages = servicecatalog.get_paginator("search_products_as_admin").paginate(PortfolioId=subject.portfolio_id)
    products = [product for page in pages for product in page["ProductViewDetails"]]
    _room(
        subject,
        "the portfolio is nearly full",
        str(subject.portfolio_id),
        (len(products), PRODUCTS, "products"),
        f"retire products, use another portfolio, or {RAISE}",
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
    home = subject.home
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
            aws(home, f"servicecatalog update-product --id {product_id} --add-tags Key={VISIBILITY_TAG},Value=true"),
        )
    which = f"--product-id {product_id} --provisioning-artifact-id"
    versions = servicecatalog.list_provisioning_artifacts(ProductId=product_id)["ProvisioningArtifactDetails"]
    if versions:
        oldest = min(versions, key=lambda v: (of_product.can_launch(v), v["CreatedTime"]))  # hidden ones go first
        _room(
            subject,
            "the product is nearly full",
            f"{name} ({product_id})",
            (len(versions), MAX_VERSIONS, "versions"),
            aws(home, f"servicecatalog delete-provisioning-artifact {which} {oldest['Id']}"),
        )
    _room(
        subject,
        "the product has no room for more tags",
        f"{name} ({product_id})",
        (len(tags), TAGS, "tags"),
        aws(home, f"servicecatalog update-product --id {product_id} --remove-tags '<keys that nobody needs>'"),
    )
    of_product.check(subject, product_id, versions)
    newest = max(versions, key=lambda v: v["CreatedTime"])["Id"] if versions else "'<id>'"
    if not any(of_product.can_launch(v) for v in versions):
        report.add(
            "no version can be launched",
            f"{name} ({product_id})",
            "every version is inactive or deprecated",
            "launch",
            aws(home, f"servicecatalog update-provisioning-artifact {which} {newest} --active --guidance DEFAULT"),
        )
    _constraint(subject, servicecatalog, product_id)


def _constraint(subject: Subject, servicecatalog: Any, product_id: str) -> None:
    report, portfolio = subject.report, str(subject.portfolio_id)
    publish = "run sagemaker-seed publish again, which mends it"
    pages = servicecatalog.get_paginator("list_portfolios_for_product").paginate(ProductId=product_id)
    if portfolio not in {p["Id"] for page in pages for p in page["PortfolioDetails"]}:
        report.add("the product is in no portfolio of ours", product_id, f"not in {portfolio}", "launch", publish)
        return
    pages = servicecatalog.get_paginator("list_constraints_for_portfolio").paginate(
        PortfolioId=portfolio, ProductId=product_id
    )
    found = [constraint for page in pages for constraint in page["ConstraintDetails"]]
    _room(
        subject,
        "the product is nearly full of constraints",
        f"{product_id} in {portfolio}",
        (len(found), CONSTRAINTS, "constraints in one portfolio"),
        aws(subject.home, "servicecatalog delete-constraint --id '<one that is not needed>'"),
    )
    launch = [c for c in found if c["Type"] == "LAUNCH"]
    if by_stack_set := [c["ConstraintId"] for c in found if c["Type"] == "STACKSET"]:
        report.add(
            "the product launches as a stack set",
            f"{product_id} in {portfolio}",
            "Studio launches a project as one stack in this account, and cannot fill in a stack set's accounts",
            "launch",
            f"{aws(subject.home, f'servicecatalog delete-constraint --id {by_stack_set[0]}')}; then {publish}",
        )
        return
    if not launch:
        report.add(
            "the product has no launch constraint",
            f"{product_id} in {portfolio}",
            "a launch would act with the rights of whoever launches, who has none of the needed ones",
            "launch",
            publish,
        )
        return
    said = json.loads(servicecatalog.describe_constraint(Id=launch[0]["ConstraintId"])["ConstraintParameters"])
    here = f"arn:{subject.home.partition}:iam::{subject.home.id}:role/"
    role = said.get("RoleArn") or here + str(said.get("LocalRoleName"))
    if role != subject.launch_role_arn:
        report.add(
            "the product launches with another role",
            f"{product_id} in {portfolio}",
            f"its launch constraint names {role}, and the launch role is {subject.launch_role_arn}",
            "launch",
            publish,
        )


def _room(subject: Subject, what: str, where: str, counted: tuple[int, int, str], fix: str) -> None:
    """A finding, if a quota is all but used up."""
    count, most, of_what = counted
    if count >= most * NEAR:
        subject.report.add(what, where, f"it has {count} {of_what}, and Service Catalog takes {most}", "publish", fix)
