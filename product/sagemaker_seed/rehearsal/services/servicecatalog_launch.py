"""Service Catalog's provisioned products: launched by end users as the launch role, updated, terminated, looked up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..ground import Actor, Ground
from ..wire import AwsError, Request, not_implemented
from . import template
from .servicecatalog_launch_stack import Stack, StackFailure
from .servicecatalog_launch_store import Provisioned, Record, Shelf
from .servicecatalog_paths import identity, page, portfolios_for, tag_list
from .servicecatalog_store import Constraint, Portfolio, Product, Store, Version, invalid, merged_tags, new_id, now

Parameters = dict[str, Any]
Answer = dict[str, Any]
Act = Callable[[Store, Request, Parameters], Answer]

PRINCIPAL = "servicecatalog.amazonaws.com"
TYPE = "CFN_STACK"
PROVISION, UPDATE, TERMINATE = "PROVISION_PRODUCT", "UPDATE_PROVISIONED_PRODUCT", "TERMINATE_PROVISIONED_PRODUCT"
# Constraints that change a launch in a way that is not done.
REFUSED_CONSTRAINTS = ("STACKSET", "TEMPLATE")
# What a search can ask for -> what it is compared with.
SEARCHED: dict[str, Callable[[Provisioned], str]] = {
    "arn": lambda one: one.arn,
    "id": lambda one: one.id,
    "lastrecordid": lambda one: one.records[-1].id,
    "name": lambda one: one.name,
    "physicalid": lambda one: one.stack_id,
    "productid": lambda one: one.product,
    "provisioningartifactid": lambda one: one.version,
    "status": lambda one: one.status,
    "type": lambda _: TYPE,
    "userarn": lambda one: one.user,
    "userarnsession": lambda one: one.session,
}


class Launches:
    """The operations on provisioned products, and the state behind them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self.acts: dict[str, Act] = {
            "DescribeProvisionedProduct": self._describe,
            "DescribeRecord": self._describe_record,
            "GetProvisionedProductOutputs": self._outputs,
            "ListRecordHistory": self._history,
            "ProvisionProduct": self._provision,
            "SearchProvisionedProducts": self._search,
            "TerminateProvisionedProduct": self._terminate,
            "UpdateProvisionedProduct": self._update,
        }

    def _shelf(self, store: Store) -> Shelf:
        return self._shelves.setdefault((store.account, store.region), Shelf())

    def _provision(self, store: Store, request: Request, p: Parameters) -> Answer:
        _refuse_preferences(p, "ProvisionProduct")
        product, version, portfolio = _chosen(store, request, p)
        if version.guidance == "DEPRECATED":
            raise invalid(f"Provisioning artifact {version.id} is deprecated: it takes updates and no launches.")
        shelf, name = self._shelf(store), p["ProvisionedProductName"]
        if any(one.name == name for one in shelf.there.values()):
            raise AwsError("DuplicateResourceException", f"A provisioned product is named {name!r} already.")
        role, actor = self._launcher(store, request, portfolio, product)
        identifier = new_id("pp")
        given = merged_tags({**product.tags, **portfolio.tags}, p.get("Tags", ()), (), "tags of a provisioned product")
        notified = [*p.get("NotificationArns", ()), *_notified(store.constraints_on(portfolio.id, product.id))]
        provisioned = Provisioned(
            name=name,
            id=identifier,
            arn=f"arn:{store.partition}:servicecatalog:{store.region}:{store.account}:stack/{name}/{identifier}",
            product=product.id,
            version=version.id,
            portfolio=portfolio.id,
            path=portfolio.products[product.id],
            user=identity(request.caller),
            session=request.caller.arn,
            token=new_id("tok"),
            launch_role=role,
            actor=actor,
            stack=f"SC-{store.account}-{identifier}",
            region=store.region,
            tags=given,
            notified=notified,
            parameters={one["Key"]: one.get("Value", "") for one in p.get("ProvisioningParameters", ())},
        )
        record = Record(PROVISION, version.id)
        shelf.begin(provisioned, record)
        self._work(store, provisioned, record, lambda: Stack(self._ground, provisioned).create(version), "ERROR")
        return {"RecordDetail": _record(provisioned, record)}

    def _update(self, store: Store, request: Request, p: Parameters) -> Answer:
        _refuse_preferences(p, "UpdateProvisionedProduct")
        if p.get("Tags"):
            raise invalid("Tags of a provisioned product cannot be updated: no RESOURCE_UPDATE constraint allows it.")
        shelf = self._shelf(store)
        provisioned = shelf.find(p)
        named = {"ProductId": p.get("ProductId")} if not p.get("ProductName") else {"ProductName": p["ProductName"]}
        if named.get("ProductId", "") is None:
            named = {"ProductId": provisioned.product}
        by_name = p.get("ProvisioningArtifactName")
        kept = {} if by_name else {"ProvisioningArtifactId": p.get("ProvisioningArtifactId") or provisioned.version}
        path = p.get("PathId") or provisioned.path
        product, version, _ = _chosen(store, request, {**p, **named, **kept, "PathId": path})
        if product.id != provisioned.product:
            raise not_implemented("servicecatalog", "UpdateProvisionedProduct", "It changes no product into another.")
        declared = template.parse(version.template).get("Parameters") or {}
        values: dict[str, str | None] = {key: None for key in provisioned.parameters if key in declared}
        for one in p.get("ProvisioningParameters", ()):
            values[one["Key"]] = None if one.get("UsePreviousValue") else one.get("Value", "")
        actor = self._again(provisioned, request)
        record = Record(UPDATE, version.id)
        shelf.begin(provisioned, record)
        provisioned.actor = actor

        def update() -> list[dict[str, str]]:
            outputs = Stack(self._ground, provisioned).update(version, values)
            provisioned.parameters |= {key: value for key, value in values.items() if value is not None}
            provisioned.version = version.id
            return outputs

        self._work(store, provisioned, record, update, "TAINTED")
        return {"RecordDetail": _record(provisioned, record)}

    def _terminate(self, store: Store, request: Request, p: Parameters) -> Answer:
        for refused in ("IgnoreErrors", "RetainPhysicalResources"):
            if p.get(refused):
                raise not_implemented("servicecatalog", "TerminateProvisionedProduct", f"It does not do {refused}.")
        shelf = self._shelf(store)
        provisioned = shelf.find(p)
        actor = self._again(provisioned, request)
        record = Record(TERMINATE, provisioned.version)
        shelf.begin(provisioned, record)
        provisioned.actor = actor

        def delete() -> list[dict[str, str]]:
            Stack(self._ground, provisioned).delete()
            with store.lock:
                del shelf.there[provisioned.id]
            return []

        self._work(store, provisioned, record, delete, "TAINTED")
        return {"RecordDetail": _record(provisioned, record)}

    def _work(
        self,
        store: Store,
        provisioned: Provisioned,
        record: Record,
        change: Callable[[], list[dict[str, str]]],
        spoilt: str,
    ) -> None:
        """Makes a change in a thread of its own; ``spoilt`` is the status that a failure leaves."""

        def work() -> None:
            record.status = "IN_PROGRESS"
            try:
                outputs = change()
            except Exception as error:
                failure = error if isinstance(error, StackFailure) else f"The embedded AWS failed: {error!r}"
                with store.lock:
                    record.errors = [{"Code": "InternalFailure", "Description": str(failure)}]
                    provisioned.status, provisioned.message = spoilt, str(failure)
                    record.updated, record.status = now(), "FAILED"
                if not isinstance(error, StackFailure):
                    raise
                return
            with store.lock:
                record.outputs, provisioned.status = outputs, "AVAILABLE"
                record.updated, record.status = now(), "SUCCEEDED"

        threading.Thread(target=work, daemon=True, name=f"{record.type} {provisioned.name}").start()

    def _launcher(
        self, store: Store, request: Request, portfolio: Portfolio, product: Product
    ) -> tuple[str | None, Actor]:
        """Who makes the stack: the role of a launch constraint, else whoever asks.

        Raises:
            AwsError: the role cannot be assumed, or there is a constraint that is not implemented.
        """
        constraints = {c.type: c for c in store.constraints_on(portfolio.id, product.id)}
        for refused in REFUSED_CONSTRAINTS:
            if refused in constraints:
                raise not_implemented("servicecatalog", "ProvisionProduct", f"It has no {refused} constraints.")
        if "LAUNCH" not in constraints:
            return None, self._ground.caller(request)
        given = json.loads(constraints["LAUNCH"].parameters)
        local = f"arn:{store.partition}:iam::{store.account}:role/{given.get('LocalRoleName')}"
        role = str(given.get("RoleArn") or local)
        return role, self._assumed(role)

    def _again(self, provisioned: Provisioned, request: Request) -> Actor:
        """Who changes a stack that is there."""
        if provisioned.launch_role is None:
            return self._ground.caller(request)
        return self._assumed(provisioned.launch_role)

    def _assumed(self, role: str) -> Actor:
        try:
            return self._ground.role(role, PRINCIPAL, "SC-Launch")
        except AwsError as error:
            raise invalid(f"The launch role {role} cannot be assumed: {error.message}") from None

    def _describe(self, store: Store, _: Request, p: Parameters) -> Answer:
        return {"ProvisionedProductDetail": _detail(self._shelf(store).find(p)), "CloudWatchDashboards": []}

    def _describe_record(self, store: Store, _: Request, p: Parameters) -> Answer:
        found = self._shelf(store).records.get(p["Id"])
        if found is None:
            raise AwsError("ResourceNotFoundException", f"Record {p['Id']} not found.")
        provisioned, record = found
        return {"RecordDetail": _record(provisioned, record)} | page(record.outputs, "RecordOutputs", p)

    def _outputs(self, store: Store, _: Request, p: Parameters) -> Answer:
        success = self._shelf(store).find(p).last_success
        outputs = success.outputs if success is not None else []
        if keys := p.get("OutputKeys"):
            if missing := set(keys) - {output["OutputKey"] for output in outputs}:
                raise invalid(f"There are no outputs {', '.join(sorted(missing))}.")
            outputs = [output for output in outputs if output["OutputKey"] in keys]
        return page(outputs, "Outputs", p)

    def _history(self, store: Store, request: Request, p: Parameters) -> Answer:
        seen = _visible(request, p)
        wanted = p.get("SearchFilter") or {}
        keys = {"provisionedproduct": lambda one: one.id, "product": lambda one: one.product}
        if wanted and wanted.get("Key") not in keys:
            raise invalid(f"SearchFilter must have one of the keys {', '.join(keys)}.")
        found = [
            _record(one, record)
            for one, record in reversed(self._shelf(store).records.values())
            if seen(one) and (not wanted or keys[wanted["Key"]](one) == wanted.get("Value"))
        ]
        return page(found, "RecordDetails", p)

    def _search(self, store: Store, request: Request, p: Parameters) -> Answer:
        seen = _visible(request, p)
        found = [one for one in self._shelf(store).there.values() if seen(one)]
        for kind, queries in (p.get("Filters") or {}).items():
            if kind != "SearchQuery":
                raise invalid(f"A filter must be of the kind SearchQuery, not {kind}.")
            for query in queries:
                found = [one for one in found if _fits(one, query)]
        order = p.get("SortBy") or "createdTime"
        keys = {**SEARCHED, "createdtime": lambda one: one.created}
        if order.lower() not in keys:
            raise invalid(f"SortBy {order!r} is not one of {', '.join(sorted(keys))}.")
        found.sort(key=keys[order.lower()], reverse=p.get("SortOrder") == "DESCENDING")
        answer = page([_attributes(store, one) for one in found], "ProvisionedProducts", p)
        return answer | {"TotalResultsCount": len(found)}


def _refuse_preferences(p: Parameters, operation: str) -> None:
    if p.get("ProvisioningPreferences"):
        raise not_implemented("servicecatalog", operation, "It launches no stack sets (ProvisioningPreferences).")


def _chosen(store: Store, request: Request, p: Parameters) -> tuple[Product, Version, Portfolio]:
    """The product, version and portfolio that a launch means.

    Raises:
        AwsError: there is no such product or version for the caller, no way for them to launch it, or several.
    """
    product = store.product_by(p.get("ProductId"), p.get("ProductName"))
    version = store.version_by(product, p.get("ProvisioningArtifactId"), p.get("ProvisioningArtifactName"))
    if not version.active:
        raise AwsError("ResourceNotFoundException", f"ProvisioningArtifact {version.id} not found.")
    paths = {portfolio.products[product.id]: portfolio for portfolio in portfolios_for(store, product, request)}
    if p.get("PathName"):
        paths = {path: portfolio for path, portfolio in paths.items() if portfolio.name == p["PathName"]}
    if p.get("PathId"):
        paths = {path: portfolio for path, portfolio in paths.items() if path == p["PathId"]}
    if not paths:
        raise AwsError("ResourceNotFoundException", f"No launch paths found for resource: {product.id}")
    if len(paths) > 1:
        raise invalid(f"Product {product.id} has several launch paths: give one of {', '.join(sorted(paths))}.")
    (portfolio,) = paths.values()
    return product, version, portfolio


def _notified(constraints: list[Constraint]) -> list[str]:
    told = [json.loads(c.parameters)["NotificationArns"] for c in constraints if c.type == "NOTIFICATION"]
    return [arn for arns in told for arn in arns]


def _visible(request: Request, p: Parameters) -> Callable[[Provisioned], bool]:
    """Which provisioned products a search is about: by default those of the caller."""
    level = p.get("AccessLevelFilter") or {"Key": "User", "Value": "self"}
    if level.get("Value") != "self":
        raise invalid(f"AccessLevelFilter takes the value self, not {level.get('Value')!r}.")
    mine = identity(request.caller)
    tests: Mapping[str, Callable[[Provisioned], bool]] = {
        "Account": lambda _: True,
        "Role": lambda one: one.user == mine,
        "User": lambda one: one.session == request.caller.arn or one.user == mine,
    }
    return tests[level["Key"]]


def _fits(one: Provisioned, query: str) -> bool:
    key, separator, text = query.partition(":")
    if not separator or key.lower() not in SEARCHED:
        return query.lower() in f"{one.name} {one.id} {one.product}".lower()
    return SEARCHED[key.lower()](one) == text


def _record(provisioned: Provisioned, record: Record) -> Answer:
    role = {"LaunchRoleArn": provisioned.launch_role} if provisioned.launch_role else {}
    return {
        "RecordId": record.id,
        "ProvisionedProductName": provisioned.name,
        "Status": record.status,
        "CreatedTime": record.created,
        "UpdatedTime": record.updated,
        "ProvisionedProductType": TYPE,
        "RecordType": record.type,
        "ProvisionedProductId": provisioned.id,
        "ProductId": provisioned.product,
        "ProvisioningArtifactId": record.version,
        "PathId": provisioned.path,
        "RecordErrors": record.errors,
        "RecordTags": tag_list(provisioned.tags),
        **role,
    }


def _detail(one: Provisioned) -> Answer:
    role = {"LaunchRoleArn": one.launch_role} if one.launch_role else {}
    message = {"StatusMessage": one.message} if one.message else {}
    provisionings = [record for record in one.records if record.type != TERMINATE]
    success = one.last_success
    succeeded = {"LastSuccessfulProvisioningRecordId": success.id} if success is not None else {}
    return {
        "Name": one.name,
        "Arn": one.arn,
        "Type": TYPE,
        "Id": one.id,
        "Status": one.status,
        "CreatedTime": one.created,
        "IdempotencyToken": one.token,
        "LastRecordId": one.records[-1].id,
        "LastProvisioningRecordId": provisionings[-1].id,
        "ProductId": one.product,
        "ProvisioningArtifactId": one.version,
        **message,
        **succeeded,
        **role,
    }


def _attributes(store: Store, one: Provisioned) -> Answer:
    product = store.products.get(one.product)
    version = product.versions.get(one.version) if product else None
    detail = {key: value for key, value in _detail(one).items() if key != "LaunchRoleArn"}
    return {
        **detail,
        "Tags": tag_list(one.tags),
        "PhysicalId": one.stack_id,
        "ProductName": product.name if product else None,
        "ProvisioningArtifactName": version.name if version else None,
        "UserArn": one.user,
        "UserArnSession": one.session,
    }
