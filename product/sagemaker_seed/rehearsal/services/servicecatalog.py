"""Service Catalog: portfolios, products, versions, constraints, principals, and products as end users see them.

Every operation is a function of the store of the caller's account and region, the request, and its parameters, to a
dict in the shape of the operation's output; ``OPERATIONS`` at the end, and what ``servicecatalog_launch`` adds to it,
is all that there is. The rest is refused by name.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from ...templates.failure import TemplateError
from ..ground import Ground
from ..wire import AwsError, Request
from . import aws_portfolio, sts, template, validation
from .service import Operation, Service
from .servicecatalog_launch import Launches
from .servicecatalog_paths import page, portfolios_for, tag_list
from .servicecatalog_store import (
    Constraint,
    Portfolio,
    Product,
    Store,
    Version,
    in_use,
    invalid,
    merged_tags,
    new_id,
    now,
    within,
)

Parameters = dict[str, Any]
Answer = dict[str, Any]
Act = Callable[[Store, Request, Parameters], Answer]

# What makes a repeated request the same one.
TOKENS = ("IdempotencyToken", "ProvisionToken", "TerminateToken", "UpdateToken")
PRODUCT_DETAILS = ("Description", "Distributor", "SupportDescription", "SupportEmail", "SupportUrl")
ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::(?P<account>\d{12}):role/(?P<path>[\w+=,.@/-]+)")
PRINCIPAL_FORMS = {
    "IAM": re.compile(r"arn:[a-z-]+:iam::\d{12}:(role|user|group)/[\w+=,.@/-]+"),
    "IAM_PATTERN": re.compile(r"arn:[a-z-]+:iam:::(role|user|group)/[\w+=,.@/*?-]+"),
}
CONSTRAINT_KEYS = {
    "LAUNCH": ({"RoleArn"}, {"LocalRoleName"}),
    "NOTIFICATION": ({"NotificationArns"},),
    "RESOURCE_UPDATE": ({"Version", "Properties"},),
    "STACKSET": ({"Version", "Properties"},),
    "TEMPLATE": ({"Rules"}, {"Rules", "Version"}),
}
ONE_EACH = {"LAUNCH", "STACKSET", "RESOURCE_UPDATE"}
EXCLUDES = {"LAUNCH": "STACKSET", "STACKSET": "LAUNCH"}


def service(ground: Ground) -> Service:
    """Service Catalog, with a store of its own for each account and region."""
    launches = Launches(ground)
    stores: dict[tuple[str, str], Store] = {}
    stores_lock = threading.Lock()

    def store_of(request: Request) -> Store:
        where = (request.caller.account, request.region)
        with stores_lock:
            return stores.setdefault(where, Store(*where, request.partition))

    def operation(act: Act) -> Operation:
        def answer(request: Request) -> Answer:
            parameters = request.parameters()
            validation.check(parameters, request.operation_model.input_shape)
            store = store_of(request)
            with store.lock:
                return _once(store, request, parameters, act)

        return answer

    return Service(
        name="servicecatalog",
        operations={name: operation(act) for name, act in {**OPERATIONS, **launches.acts}.items()},
        complete=True,
    )


def _once(store: Store, request: Request, parameters: Parameters, act: Act) -> Answer:
    """Acts, unless a request with this idempotency token was answered before: then that answer again, and no act."""
    token = next((parameters.pop(name) for name in TOKENS if name in parameters), None)
    if token is None:
        return act(store, request, parameters)
    key = (request.operation, token)
    if key in store.answered:
        before, answer = store.answered[key]
        if before != parameters:
            raise invalid(f"Idempotency token {token} was used before with other parameters.")
        return answer
    answer = act(store, request, parameters)
    store.answered[key] = (parameters, answer)
    return answer


# --- portfolios


def _portfolio(portfolio: Portfolio) -> Answer:
    return {
        "Id": portfolio.id,
        "ARN": portfolio.arn,
        "DisplayName": portfolio.name,
        "ProviderName": portfolio.provider,
        "Description": portfolio.description,
        "CreatedTime": portfolio.created,
    }


def _portfolio_and_tags(portfolio: Portfolio) -> Answer:
    return {"PortfolioDetail": _portfolio(portfolio), "Tags": tag_list(portfolio.tags)}


def _create_portfolio(store: Store, _: Request, p: Parameters) -> Answer:
    within("portfolios in a region", len(store.portfolios) + 1)
    identifier = new_id("port")
    portfolio = Portfolio(
        id=identifier,
        arn=store.arn("portfolio", identifier),
        name=p["DisplayName"],
        provider=p["ProviderName"],
        description=p.get("Description"),
        created=now(),
        tags=merged_tags({}, p.get("Tags", ()), (), "tags of a portfolio"),
    )
    store.portfolios[identifier] = portfolio
    return _portfolio_and_tags(portfolio)


def _describe_portfolio(store: Store, _: Request, p: Parameters) -> Answer:
    return _portfolio_and_tags(store.portfolio(p["Id"])) | {"TagOptions": [], "Budgets": []}


def _list_portfolios(store: Store, _: Request, p: Parameters) -> Answer:
    return page([_portfolio(portfolio) for portfolio in store.portfolios.values()], "PortfolioDetails", p)


def _update_portfolio(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio = store.portfolio(p["Id"])
    portfolio.tags = merged_tags(portfolio.tags, p.get("AddTags", ()), p.get("RemoveTags", ()), "tags of a portfolio")
    portfolio.name = p.get("DisplayName", portfolio.name)
    portfolio.provider = p.get("ProviderName", portfolio.provider)
    portfolio.description = p.get("Description", portfolio.description)
    return _portfolio_and_tags(portfolio)


def _delete_portfolio(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio = store.portfolio(p["Id"])
    held = {
        "products": len(portfolio.products),
        "principals": len(portfolio.principals),
        "constraints": len(store.constraints_on(portfolio.id)),
    }
    if any(held.values()):
        what = ", ".join(f"{count} {name}" for name, count in held.items() if count)
        raise in_use(f"Portfolio {portfolio.id} still has {what}; take these away first.")
    del store.portfolios[portfolio.id]
    return {}


# --- products


def _product(product: Product) -> Answer:
    return {
        "ProductViewSummary": {
            "Id": product.view_id,
            "ProductId": product.id,
            "Name": product.name,
            "Owner": product.owner,
            "ShortDescription": product.details.get("Description"),
            "Type": product.type,
            "HasDefaultPath": False,
            **{name: product.details.get(name) for name in PRODUCT_DETAILS[1:]},
        },
        "Status": "AVAILABLE",
        "ProductARN": product.arn,
        "CreatedTime": product.created,
    }


def _create_product(store: Store, request: Request, p: Parameters) -> Answer:
    within("products in a region", len(store.products) + 1)
    if "SourceConnection" in p:
        raise AwsError(
            "OperationNotSupportedException", "The embedded AWS has no products that sync from a repository."
        )
    if "ProvisioningArtifactParameters" not in p:
        raise invalid("ProvisioningArtifactParameters is required for a product without a SourceConnection.")
    identifier = new_id("prod")
    product = Product(
        id=identifier,
        view_id=new_id("prodview"),
        arn=store.arn("product", identifier),
        name=_required_text(p["Name"], "Name"),
        owner=_required_text(p["Owner"], "Owner"),
        type=p["ProductType"],
        created=now(),
        details={name: p[name] for name in PRODUCT_DETAILS if name in p},
        tags=merged_tags({}, p.get("Tags", ()), (), "tags of a product"),
    )
    version = _new_version(request, product, p["ProvisioningArtifactParameters"])
    product.versions[version.id] = version
    store.products[identifier] = product
    return {
        "ProductViewDetail": _product(product) | {"Status": "CREATED"},
        "ProvisioningArtifactDetail": _version(version),
        "Tags": tag_list(product.tags),
    }


def _required_text(text: str, name: str) -> str:
    if not text.strip():
        raise invalid(f"{name} must not be empty.")
    return text


def _describe_product_as_admin(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product_by(p.get("Id"), p.get("Name"))
    return {
        "ProductViewDetail": _product(product),
        "ProvisioningArtifactSummaries": [
            {"Id": v.id, "Name": v.name, "Description": v.description, "CreatedTime": v.created}
            for v in product.versions.values()
        ],
        "Tags": tag_list(product.tags),
        "TagOptions": [],
        "Budgets": [],
    }


FILTERS: dict[str, Callable[[Product, str], bool]] = {
    "FullTextSearch": lambda product, text: all(
        word in " ".join([product.name, product.owner, *product.details.values()]).lower()
        for word in text.lower().split()
    ),
    "Owner": lambda product, text: product.owner == text,
    "ProductType": lambda product, text: product.type == text,
    "SourceProductId": lambda product, text: product.id == text,
}
SORTED_BY: dict[str, Callable[[Product], Any]] = {
    "Title": lambda product: product.name,
    "VersionCount": lambda product: len(product.versions),
    "CreationDate": lambda product: product.created,
}


def _filtered(products: list[Product], p: Parameters) -> list[Product]:
    """Those that pass every filter of a search, in the order that it asks for."""
    for name, texts in p.get("Filters", {}).items():
        products = [q for q in products if any(FILTERS[name](q, text) for text in texts)]
    if "SortBy" in p:
        products.sort(key=SORTED_BY[p["SortBy"]], reverse=p.get("SortOrder") == "DESCENDING")
    return products


def _search_products_as_admin(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio = store.portfolio(p["PortfolioId"]) if "PortfolioId" in p else None
    found = _filtered([q for q in store.products.values() if portfolio is None or q.id in portfolio.products], p)
    return page([_product(product) for product in found], "ProductViewDetails", p)


def _describe_product(store: Store, request: Request, p: Parameters) -> Answer:
    """A product as an end user sees it: with its active versions, and the ways to launch it."""
    product = store.product_by(p.get("Id"), p.get("Name"))
    portfolios = portfolios_for(store, product, request)
    if not portfolios:
        raise AwsError("ResourceNotFoundException", f"Product {product.id} not found.")
    return {
        "ProductViewSummary": _product(product)["ProductViewSummary"],
        "ProvisioningArtifacts": [
            {
                "Id": v.id,
                "Name": v.name,
                "Description": v.description,
                "CreatedTime": v.created,
                "Guidance": v.guidance,
            }
            for v in product.versions.values()
            if v.active
        ],
        "LaunchPaths": [{"Id": portfolio.products[product.id], "Name": portfolio.name} for portfolio in portfolios],
        "Budgets": [],
    }


def _search_products(store: Store, request: Request, p: Parameters) -> Answer:
    found = _filtered([q for q in store.products.values() if portfolios_for(store, q, request)], p)
    summaries = [_product(product)["ProductViewSummary"] for product in found]
    return page(summaries, "ProductViewSummaries", p) | {"ProductViewAggregations": {}}


def _update_product(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product(p["Id"])
    if "SourceConnection" in p:
        raise AwsError(
            "OperationNotSupportedException", "The embedded AWS has no products that sync from a repository."
        )
    name = _required_text(p.get("Name", product.name), "Name")
    owner = _required_text(p.get("Owner", product.owner), "Owner")
    product.tags = merged_tags(product.tags, p.get("AddTags", ()), p.get("RemoveTags", ()), "tags of a product")
    product.name, product.owner = name, owner
    product.details |= {detail: p[detail] for detail in PRODUCT_DETAILS if detail in p}
    return {"ProductViewDetail": _product(product), "Tags": tag_list(product.tags)}


def _delete_product(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product(p["Id"])
    if portfolios := store.portfolios_of(product.id):
        raise in_use(f"Product {product.id} is still in {', '.join(portfolio.id for portfolio in portfolios)}.")
    del store.products[product.id]
    return {}


# --- versions (provisioning artifacts)


def _version(version: Version) -> Answer:
    return {
        "Id": version.id,
        "Name": version.name,
        "Description": version.description,
        "Type": version.type,
        "CreatedTime": version.created,
        "Active": version.active,
        "Guidance": version.guidance,
    }


def _new_version(request: Request, product: Product, p: Parameters) -> Version:
    """A version from the parameters of a request; the template is read from S3 now, as the caller."""
    name = p.get("Name", "")
    if re.search(r"\s", name):
        raise invalid(f"Provisioning artifact name {name!r} must not contain spaces.")
    kind = p.get("Type", "CLOUD_FORMATION_TEMPLATE")
    if kind != product.type:
        raise invalid(f"A provisioning artifact of type {kind} does not fit a product of type {product.type}.")
    if kind != "CLOUD_FORMATION_TEMPLATE":
        raise AwsError("OperationNotSupportedException", f"The embedded AWS has no products of type {kind}.")
    if set(p.get("Info", {})) != {"LoadTemplateFromURL"}:
        given = ", ".join(p.get("Info", {})) or "nothing"
        raise invalid(
            f"Info must hold LoadTemplateFromURL (the only source that the embedded AWS has), and holds {given}."
        )
    url = p["Info"]["LoadTemplateFromURL"]
    try:
        text = template.fetch(url, request.caller, request.partition)
        if not p.get("DisableTemplateValidation"):
            template.parse(text)
    except TemplateError as error:
        raise invalid(f"Invalid templateBody. Please make sure that your template is valid: {error}") from None
    return Version(
        id=new_id("pa"), name=name, description=p.get("Description"), type=kind, url=url, template=text, created=now()
    )


def _create_version(store: Store, request: Request, p: Parameters) -> Answer:
    product = store.product(p["ProductId"])
    within("versions of a product", len(product.versions) + 1)
    version = _new_version(request, product, p["Parameters"])
    product.versions[version.id] = version
    # AWS answers before it is done: who needs the version asks again.
    return {
        "ProvisioningArtifactDetail": _version(version),
        "Info": {"TemplateUrl": version.url},
        "Status": "CREATING",
    }


def _list_versions(store: Store, _: Request, p: Parameters) -> Answer:
    versions = store.product(p["ProductId"]).versions.values()
    return {"ProvisioningArtifactDetails": [_version(version) for version in versions]}


def _describe_version(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product_by(p.get("ProductId"), p.get("ProductName"))
    version = store.version_by(product, p.get("ProvisioningArtifactId"), p.get("ProvisioningArtifactName"))
    answer = _settled(version)
    if p.get("IncludeProvisioningArtifactParameters"):
        answer["ProvisioningArtifactParameters"] = _template_parameters(version)
    return answer


def _settled(version: Version) -> Answer:
    return {
        "ProvisioningArtifactDetail": _version(version),
        "Info": {"TemplateUrl": version.url},
        "Status": "AVAILABLE",
    }


def _update_version(store: Store, _: Request, p: Parameters) -> Answer:
    version = store.version_by(store.product(p["ProductId"]), p["ProvisioningArtifactId"], None)
    name = p.get("Name", version.name)
    if re.search(r"\s", name):
        raise invalid(f"Provisioning artifact name {name!r} must not contain spaces.")
    version.name = name
    version.description = p.get("Description", version.description)
    version.active = p.get("Active", version.active)
    version.guidance = p.get("Guidance", version.guidance)
    return _settled(version)


def _delete_version(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product(p["ProductId"])
    version = store.version_by(product, p["ProvisioningArtifactId"], None)
    if len(product.versions) == 1:
        raise in_use(f"{version.id} is the last provisioning artifact of product {product.id} and cannot be deleted.")
    del product.versions[version.id]
    return {}


def _describe_provisioning_parameters(store: Store, _: Request, p: Parameters) -> Answer:
    product = store.product_by(p.get("ProductId"), p.get("ProductName"))
    version = store.version_by(product, p.get("ProvisioningArtifactId"), p.get("ProvisioningArtifactName"))
    outputs = template.parse(version.template).get("Outputs", {})
    return {
        "ProvisioningArtifactParameters": _template_parameters(version),
        "ConstraintSummaries": [
            {"Type": c.type, "Description": c.description}
            for portfolio in store.portfolios_of(product.id)
            for c in store.constraints_on(portfolio.id, product.id)
            if p.get("PathId") in (None, portfolio.products[product.id])
        ],
        "UsageInstructions": [],
        "TagOptions": [],
        "ProvisioningArtifactOutputKeys": [
            {"Key": key, "Description": output.get("Description")} for key, output in outputs.items()
        ],
    }


CONSTRAINT_NAMES = ("AllowedPattern", "ConstraintDescription", "MaxLength", "MinLength", "MaxValue", "MinValue")


def _template_parameters(version: Version) -> list[Answer]:
    """The parameters of a version's template, in Service Catalog's shape: every constraint is text."""
    declared = template.parse(version.template).get("Parameters", {})
    return [
        {
            "ParameterKey": key,
            "DefaultValue": str(parameter["Default"]) if "Default" in parameter else None,
            "ParameterType": parameter.get("Type"),
            "IsNoEcho": str(parameter.get("NoEcho", False)).lower() == "true",
            "Description": parameter.get("Description"),
            "ParameterConstraints": {
                "AllowedValues": [str(value) for value in parameter.get("AllowedValues", ())],
                **{name: str(parameter[name]) for name in CONSTRAINT_NAMES if name in parameter},
            },
        }
        for key, parameter in declared.items()
    ]


# --- which products are in which portfolios, and who may launch them


def _associate_product(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio, product = store.portfolio(p["PortfolioId"]), store.product(p["ProductId"])
    if product.id not in portfolio.products:
        within("products in a portfolio", len(portfolio.products) + 1)
        portfolio.products[product.id] = new_id("lpv2")
    return {}


def _disassociate_product(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio, product = store.portfolio(p["PortfolioId"]), store.product(p["ProductId"])
    _in_portfolio(portfolio, product)
    if constraints := store.constraints_on(portfolio.id, product.id):
        raise in_use(f"Constraints need this association: {', '.join(c.id for c in constraints)}. Delete them first.")
    del portfolio.products[product.id]
    return {}


def _in_portfolio(portfolio: Portfolio, product: Product) -> None:
    if product.id not in portfolio.products:
        raise AwsError("ResourceNotFoundException", f"Product {product.id} is not in portfolio {portfolio.id}.")


def _list_portfolios_for_product(store: Store, _: Request, p: Parameters) -> Answer:
    portfolios = store.portfolios_of(store.product(p["ProductId"]).id)
    return page([_portfolio(portfolio) for portfolio in portfolios], "PortfolioDetails", p)


def _associate_principal(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio = store.portfolio_or_share(p["PortfolioId"])
    kind, arn = p["PrincipalType"], p["PrincipalARN"]
    if PRINCIPAL_FORMS[kind].fullmatch(arn) is None:
        forms = {
            "IAM": "the ARN of a role, user or group, with an account id",
            "IAM_PATTERN": "such an ARN without an account id",
        }
        raise invalid(f"Principal {arn!r} is not of type {kind}: {forms[kind]} is expected.")
    principals = portfolio.principals | {(arn, kind): None}
    within("principals of a portfolio", len(principals))
    within("principal patterns of a portfolio", sum(k == "IAM_PATTERN" for _, k in principals))
    portfolio.principals = principals
    return {}


def _disassociate_principal(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio = store.portfolio_or_share(p["PortfolioId"])
    principal = (p["PrincipalARN"], p.get("PrincipalType", "IAM"))
    if principal not in portfolio.principals:
        raise AwsError("ResourceNotFoundException", f"Principal {principal[0]} is not in portfolio {portfolio.id}.")
    del portfolio.principals[principal]
    return {}


def _list_principals(store: Store, _: Request, p: Parameters) -> Answer:
    principals = store.portfolio_or_share(p["PortfolioId"]).principals
    return page([{"PrincipalARN": arn, "PrincipalType": kind} for arn, kind in principals], "Principals", p)


def _accept_share(store: Store, request: Request, p: Parameters) -> Answer:
    """Only AWS's own share of SageMaker's portfolio can be accepted: accounts here share none with each other."""
    if p.get("PortfolioShareType", "IMPORTED") != aws_portfolio.SHARE or p["PortfolioId"] != aws_portfolio.ID:
        raise AwsError("ResourceNotFoundException", f"Portfolio {p['PortfolioId']} is not shared with this account.")
    if aws_portfolio.ID not in store.imported:
        store.imported[aws_portfolio.ID] = Portfolio(
            id=aws_portfolio.ID,
            # The account of AWS is not ours to know.
            arn=f"arn:{request.partition}:catalog:{request.region}:aws:portfolio/{aws_portfolio.ID}",
            name=aws_portfolio.NAME,
            provider=aws_portfolio.PROVIDER,
            description=None,
            created=now(),
            tags={},
        )
    return {}


def _reject_share(store: Store, _: Request, p: Parameters) -> Answer:
    if store.imported.pop(p["PortfolioId"], None) is None:
        raise AwsError("ResourceNotFoundException", f"Portfolio {p['PortfolioId']} is not shared with this account.")
    return {}


def _list_accepted_shares(store: Store, _: Request, p: Parameters) -> Answer:
    kind = p.get("PortfolioShareType", aws_portfolio.SHARE)
    accepted = store.imported.values() if kind == aws_portfolio.SHARE else ()
    return page([_portfolio(portfolio) for portfolio in accepted], "PortfolioDetails", p)


def _list_launch_paths(store: Store, request: Request, p: Parameters) -> Answer:
    """The ways for the caller to launch a product: each portfolio that has it, and has the caller as a principal."""
    product = store.product(p["ProductId"])
    paths = [
        {
            "Id": portfolio.products[product.id],
            "Name": portfolio.name,
            "ConstraintSummaries": [
                {"Type": c.type, "Description": c.description} for c in store.constraints_on(portfolio.id, product.id)
            ],
            "Tags": tag_list(portfolio.tags | product.tags),
        }
        for portfolio in portfolios_for(store, product, request)
    ]
    return page(paths, "LaunchPathSummaries", p)


# --- constraints


def _constraint(constraint: Constraint) -> Answer:
    return {
        "ConstraintId": constraint.id,
        "Type": constraint.type,
        "Description": constraint.description,
        "Owner": constraint.owner,
        "ProductId": constraint.product,
        "PortfolioId": constraint.portfolio,
    }


def _whole_constraint(constraint: Constraint, status: str = "AVAILABLE") -> Answer:
    return {
        "ConstraintDetail": _constraint(constraint),
        "ConstraintParameters": constraint.parameters,
        "Status": status,
    }


def _checked_parameters(store: Store, kind: str, text: str) -> str:
    """The JSON text of a constraint's parameters, if it is what this type of constraint takes."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise invalid(f"Parameters of a {kind} constraint are not JSON: {error}.") from None
    choices = CONSTRAINT_KEYS[kind]
    if not isinstance(given, dict) or set(given) not in choices:
        expected = " or ".join("{" + ", ".join(sorted(keys)) + "}" for keys in choices)
        raise invalid(f"Parameters of a {kind} constraint must be a JSON object of {expected}, and are {text}.")
    if kind == "LAUNCH":
        _check_launch_role(store, given)
    return text


def _check_launch_role(store: Store, given: Parameters) -> None:
    arn = given.get("RoleArn", f"arn:{store.partition}:iam::{store.account}:role/{given.get('LocalRoleName')}")
    named = ROLE_ARN.fullmatch(arn) if isinstance(arn, str) else None
    if named is None:
        raise invalid(f"Launch role {arn!r} is not the ARN of an IAM role.")
    if named["account"] == store.account and not sts.role_exists(arn):
        raise invalid(f"Launch role {arn} does not exist.")


def _create_constraint(store: Store, _: Request, p: Parameters) -> Answer:
    portfolio, product, kind = store.portfolio(p["PortfolioId"]), store.product(p["ProductId"]), p["Type"]
    _in_portfolio(portfolio, product)
    if kind not in CONSTRAINT_KEYS:
        raise invalid(f"Constraint type {kind!r} is not one of {', '.join(CONSTRAINT_KEYS)}.")
    parameters = _checked_parameters(store, kind, p["Parameters"])
    there = store.constraints_on(portfolio.id, product.id)
    for other in there:
        if other.type == EXCLUDES.get(kind):
            raise invalid(
                f"A product in a portfolio cannot have both a {kind} and a {other.type} constraint ({other.id})."
            )
        if other.type == kind and kind in ONE_EACH:
            raise AwsError(
                "DuplicateResourceException",
                f"Product {product.id} in portfolio {portfolio.id} has a {kind} constraint: {other.id}.",
            )
    within("constraints of a product in a portfolio", len(there) + 1)
    constraint = Constraint(
        id=new_id("cons"),
        type=kind,
        product=product.id,
        portfolio=portfolio.id,
        owner=store.account,
        parameters=parameters,
        description=p.get("Description"),
    )
    store.constraints[constraint.id] = constraint
    return _whole_constraint(constraint, "CREATING")


def _describe_constraint(store: Store, _: Request, p: Parameters) -> Answer:
    return _whole_constraint(store.constraint(p["Id"]))


def _list_constraints(store: Store, _: Request, p: Parameters) -> Answer:
    constraints = store.constraints_on(store.portfolio(p["PortfolioId"]).id, p.get("ProductId"))
    return page([_constraint(constraint) for constraint in constraints], "ConstraintDetails", p)


def _update_constraint(store: Store, _: Request, p: Parameters) -> Answer:
    constraint = store.constraint(p["Id"])
    if "Parameters" in p:
        constraint.parameters = _checked_parameters(store, constraint.type, p["Parameters"])
    constraint.description = p.get("Description", constraint.description)
    return _whole_constraint(constraint)


def _delete_constraint(store: Store, _: Request, p: Parameters) -> Answer:
    del store.constraints[store.constraint(p["Id"]).id]
    return {}


OPERATIONS: dict[str, Act] = {
    "AcceptPortfolioShare": _accept_share,
    "AssociatePrincipalWithPortfolio": _associate_principal,
    "AssociateProductWithPortfolio": _associate_product,
    "CreateConstraint": _create_constraint,
    "CreatePortfolio": _create_portfolio,
    "CreateProduct": _create_product,
    "CreateProvisioningArtifact": _create_version,
    "DeleteConstraint": _delete_constraint,
    "DeletePortfolio": _delete_portfolio,
    "DeleteProduct": _delete_product,
    "DeleteProvisioningArtifact": _delete_version,
    "DescribeConstraint": _describe_constraint,
    "DescribePortfolio": _describe_portfolio,
    "DescribeProduct": _describe_product,
    "DescribeProductAsAdmin": _describe_product_as_admin,
    "DescribeProvisioningArtifact": _describe_version,
    "DescribeProvisioningParameters": _describe_provisioning_parameters,
    "DisassociatePrincipalFromPortfolio": _disassociate_principal,
    "DisassociateProductFromPortfolio": _disassociate_product,
    "ListAcceptedPortfolioShares": _list_accepted_shares,
    "ListConstraintsForPortfolio": _list_constraints,
    "ListLaunchPaths": _list_launch_paths,
    "ListPortfolios": _list_portfolios,
    "ListPortfoliosForProduct": _list_portfolios_for_product,
    "ListPrincipalsForPortfolio": _list_principals,
    "ListProvisioningArtifacts": _list_versions,
    "RejectPortfolioShare": _reject_share,
    "SearchProducts": _search_products,
    "SearchProductsAsAdmin": _search_products_as_admin,
    "UpdateConstraint": _update_constraint,
    "UpdatePortfolio": _update_portfolio,
    "UpdateProduct": _update_product,
    "UpdateProvisioningArtifact": _update_version,
}
