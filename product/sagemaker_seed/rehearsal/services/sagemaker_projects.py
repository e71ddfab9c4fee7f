"""SageMaker's projects: products that Service Catalog launches in the caller's name, with the project's name and id."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..ground import Actor, Event, Ground
from ..wire import AwsError, Request, not_implemented
from . import aws_portfolio
from .sagemaker_models import arn, checked, listed
from .sagemaker_registry import invalid
from .service import Operation

Answer = dict[str, Any]
Parameters = dict[str, Any]

ID_ALPHABET = string.ascii_lowercase + string.digits
POLL_SECONDS = 0.05
UNDERWAY = {"Pending", "CreateInProgress", "DeleteInProgress", "UpdateInProgress"}
GONE = "DeleteCompleted"
NAME, ID = "SageMakerProjectName", "SageMakerProjectId"
DETAILS = ("ProductId", "ProvisioningArtifactId", "PathId")


@dataclass
class Project:
    """A project; ``details`` is what it was told of the product. ``tags`` is what operations on tags look at."""

    name: str
    id: str
    arn: str
    description: str | None
    details: dict[str, Any]
    tags: list[dict[str, str]]
    creator: str
    status: str = "Pending"
    provisioned: str = ""
    message: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))


class Projects:
    """The operations on projects, and the switch for SageMaker's own portfolio."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._projects: dict[tuple[str, str], dict[str, Project]] = {}
        self._enabled: set[tuple[str, str]] = set()
        self._lock = threading.RLock()
        self.operations: dict[str, Operation] = {
            "CreateProject": self._create,
            "DeleteProject": self._delete,
            "DescribeProject": self._describe,
            "ListProjects": self._list,
            "UpdateProject": self._update,
            "EnableSagemakerServicecatalogPortfolio": self._enable,
            "DisableSagemakerServicecatalogPortfolio": self._disable,
            "GetSagemakerServicecatalogPortfolioStatus": self._portfolio_status,
        }

    def with_arn(self, request: Request, name: str) -> Project | None:
        """The caller's project of this ARN."""
        return next((project for project in self._of(request).values() if project.arn == name), None)

    def _of(self, request: Request) -> dict[str, Project]:
        with self._lock:
            return self._projects.setdefault((request.caller.account, request.region), {})

    def _find(self, request: Request) -> Project:
        name = checked(request)["ProjectName"]
        found = self._of(request).get(name)
        if found is None:
            raise invalid(f"Project with name {name} does not exist.")
        return found

    def _create(self, request: Request) -> Answer:
        given = checked(request)
        if given.get("TemplateProviders"):
            raise not_implemented("sagemaker", "CreateProject", "It launches products of Service Catalog alone.")
        details = dict(given.get("ServiceCatalogProvisioningDetails") or {})
        if not details:
            raise invalid("A project needs ServiceCatalogProvisioningDetails.")
        name, identifier = given["ProjectName"], f"p-{''.join(secrets.choice(ID_ALPHABET) for _ in range(12))}"
        actor, region = self._ground.caller(request), request.region
        catalog = self._ground.client("servicecatalog", actor, region)
        with self._lock:
            there = self._of(request).get(name)
            if there is not None and there.status != GONE:
                raise invalid(f"Project with name {name} already exists.")
            project = Project(
                name=name,
                id=identifier,
                arn=arn(request, "project", name),
                description=given.get("ProjectDescription"),
                details=details,
                tags=list(given.get("Tags") or ()),
                creator=request.caller.arn,
            )
            self._of(request)[name] = project
        own = {"sagemaker:project-name": name, "sagemaker:project-id": identifier}
        tags = [*project.tags, *({"Key": key, "Value": value} for key, value in own.items())]
        parameters = [{"Key": NAME, "Value": name}, {"Key": ID, "Value": identifier}]
        try:
            product = {key: details[key] for key in DETAILS if details.get(key)}
            if "ProvisioningArtifactId" not in product:
                product["ProvisioningArtifactId"] = _latest_version(catalog, details["ProductId"])
            record = catalog.provision_product(
                **product,
                ProvisionedProductName=f"{name}-{identifier}",
                ProvisioningParameters=[*(details.get("ProvisioningParameters") or ()), *parameters],
                Tags=tags,
            )["RecordDetail"]
        except (ClientError, BotoCoreError) as error:
            with self._lock:
                del self._of(request)[name]
            raise _refused(error) from None
        project.details |= product
        project.provisioned = record["ProvisionedProductId"]
        self._follow(project, "Create", record["RecordId"], actor, region)
        return {"ProjectArn": project.arn, "ProjectId": identifier}

    def _update(self, request: Request) -> Answer:
        given = checked(request)
        for refused in ("TemplateProvidersToUpdate", "Tags"):
            if given.get(refused):
                raise not_implemented("sagemaker", "UpdateProject", f"It does not implement {refused}.")
        project = self._settled(request)
        details = given.get("ServiceCatalogProvisioningUpdateDetails")
        if "ProjectDescription" in given:
            project.description = given["ProjectDescription"]
        if details:
            version = {key: details[key] for key in ("ProvisioningArtifactId",) if details.get(key)}
            values = [dict(one) for one in details.get("ProvisioningParameters") or ()]
            self._change(
                request,
                project,
                "Update",
                lambda catalog: catalog.update_provisioned_product(
                    ProvisionedProductId=project.provisioned, **version, ProvisioningParameters=values
                ),
            )
            project.details |= version
        return {"ProjectArn": project.arn}

    def _delete(self, request: Request) -> Answer:
        project = self._settled(request)
        self._change(
            request,
            project,
            "Delete",
            lambda catalog: catalog.terminate_provisioned_product(ProvisionedProductId=project.provisioned),
        )
        return {}

    def _settled(self, request: Request) -> Project:
        project = self._find(request)
        if project.status in UNDERWAY:
            raise AwsError("ConflictException", f"Project {project.name} is being changed: {project.status}.")
        if project.status == GONE:
            raise invalid(f"Project with name {project.name} does not exist.")
        return project

    def _change(self, request: Request, project: Project, verb: str, act: Callable[[Any], Any]) -> None:
        actor, region = self._ground.caller(request), request.region
        try:
            record = act(self._ground.client("servicecatalog", actor, region))["RecordDetail"]
        except (ClientError, BotoCoreError) as error:
            raise _refused(error) from None
        self._follow(project, verb, record["RecordId"], actor, region)

    def _follow(self, project: Project, verb: str, record: str, actor: Actor, region: str) -> None:
        """Has the project's status follow that of a record of Service Catalog, in a thread of its own."""
        self._become(project, f"{verb}InProgress", "", region)
        catalog = self._ground.client("servicecatalog", actor, region)

        def follow() -> None:
            while True:
                try:
                    seen = catalog.describe_record(Id=record)["RecordDetail"]
                except (ClientError, BotoCoreError) as error:
                    self._become(project, f"{verb}Failed", f"Record {record} cannot be read: {error}", region)
                    return
                if seen["Status"] in {"SUCCEEDED", "FAILED"}:
                    break
                time.sleep(POLL_SECONDS)
            said = "; ".join(one["Description"] for one in seen.get("RecordErrors", ()))
            done = seen["Status"] == "SUCCEEDED"
            self._become(project, f"{verb}{'Completed' if done else 'Failed'}", said, region)

        threading.Thread(target=follow, daemon=True, name=f"project {project.name}").start()

    def _become(self, project: Project, status: str, message: str, region: str) -> None:
        project.message, project.modified = message, datetime.now(UTC)
        project.status = status
        detail: Mapping[str, Any] = {
            "ProjectArn": project.arn,
            "ProjectId": project.id,
            "ProjectName": project.name,
            "ProjectStatus": status,
        }
        account = project.arn.split(":")[4]
        kind = "SageMaker Project State Change"
        self._ground.emit(Event(account, region, "aws.sagemaker", kind, detail, (project.arn,)))

    def _describe(self, request: Request) -> Answer:
        project = self._find(request)
        described = {
            "ProjectName": project.name,
            "ProjectArn": project.arn,
            "ProjectId": project.id,
            "ProjectStatus": project.status,
            "CreationTime": project.created,
            "LastModifiedTime": project.modified,
            "ServiceCatalogProvisioningDetails": project.details,
            "CreatedBy": {"IamIdentity": {"Arn": project.creator, "PrincipalId": project.creator.rpartition("/")[2]}},
        }
        if project.provisioned:
            described["ServiceCatalogProvisionedProductDetails"] = {
                "ProvisionedProductId": project.provisioned,
                "ProvisionedProductStatusMessage": project.message,
            }
        return described | ({"ProjectDescription": project.description} if project.description else {})

    def _list(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            found = [
                {
                    "ProjectName": project.name,
                    "ProjectArn": project.arn,
                    "ProjectId": project.id,
                    "CreationTime": project.created,
                    "ProjectStatus": project.status,
                    **({"ProjectDescription": project.description} if project.description else {}),
                }
                for project in self._of(request).values()
                if project.status != GONE
            ]
        given.setdefault("SortOrder", "Ascending")
        keys = {"Name": "ProjectName", "CreationTime": "CreationTime"}
        return listed(found, given, "ProjectSummaryList", keys, "ProjectName")

    def _enable(self, request: Request) -> Answer:
        """Accepts AWS's share of SageMaker's portfolio, in the caller's name."""
        self._share(request).accept_portfolio_share(
            PortfolioId=aws_portfolio.ID, PortfolioShareType=aws_portfolio.SHARE
        )
        self._enabled.add((request.caller.account, request.region))
        return {}

    def _disable(self, request: Request) -> Answer:
        where = (request.caller.account, request.region)
        if where in self._enabled:
            self._share(request).reject_portfolio_share(
                PortfolioId=aws_portfolio.ID, PortfolioShareType=aws_portfolio.SHARE
            )
            self._enabled.discard(where)
        return {}

    def _share(self, request: Request) -> Any:
        return self._ground.client("servicecatalog", self._ground.caller(request), request.region)

    def _portfolio_status(self, request: Request) -> Answer:
        enabled = (request.caller.account, request.region) in self._enabled
        return {"Status": "Enabled" if enabled else "Disabled"}


def _latest_version(catalog: Any, product: str) -> str:
    """The id of the newest active version, which a project gets that names none."""
    versions = [v for v in catalog.describe_product(Id=product)["ProvisioningArtifacts"] if v["Guidance"] == "DEFAULT"]
    if not versions:
        raise invalid(f"Product {product} has no version that can be launched.")
    return str(versions[-1]["Id"])


def _refused(error: Exception) -> AwsError:
    """What Service Catalog refused, as SageMaker says it."""
    told = getattr(error, "response", {}).get("Error", {})
    if told.get("Code") in {"AccessDenied", "AccessDeniedException"}:
        return AwsError("AccessDeniedException", str(told["Message"]))
    return invalid(f"Service Catalog: {told.get('Message') or error}")
