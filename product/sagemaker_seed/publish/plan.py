"""Compares a release with what the account holds, and says which writes are missing. Reads only."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ..errors import BadInput, SeedError
from .catalog import Catalog
from .clients import Clients, readable_errors
from .release import OBJECT_TAG, Artifact, Release

if TYPE_CHECKING:
    from mypy_boto3_servicecatalog.type_defs import ProvisioningArtifactDetailTypeDef as Version

MAX_VERSIONS = 100  # of a product, by default
SLUG_TAG = "sagemaker:seed-slug"
VISIBILITY_TAG = "sagemaker:studio-visibility"


class Write(Enum):
    """The writes of publishing, in the order in which they are safe.

    What a version refers to exists before the version does; people see a product once it is in the portfolio.
    """

    UPLOAD_CODE = "upload the seed code"
    TAG_CODE = "tag the seed code"
    UPLOAD_TEMPLATE = "upload the product template"
    TAG_TEMPLATE = "tag the product template"
    CREATE_PRODUCT = "create the product with this version"
    TAG_PRODUCT = "tag the product"
    ADD_TO_PORTFOLIO = "add the product to the portfolio"
    CONSTRAIN = "let the product launch with the launch role"
    RECONSTRAIN = "change the launch role of the product"
    REMOVE_FAILED = "remove the failed version of this name"
    REGISTER = "register the version"


@dataclass(frozen=True)
class Step:
    """One write, and what it is done to."""

    write: Write
    subject: str


@dataclass(frozen=True)
class Plan:
    """What publishing a release would do. ``steps`` is empty when everything is there already."""

    release: Release
    catalog: Catalog
    steps: tuple[Step, ...]
    product_id: str | None = None
    version_id: str | None = None
    available: bool = False  # the version is, and need not be waited for
    constraint_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def template_url(self) -> str:
        """The address that the version is registered with."""
        return self.catalog.url(self.release.template.key)


def product_tags(slug: str) -> dict[str, str]:
    """The tags of a product: Studio lists what carries the first; the second says whose product it is.

    Both keys begin with ``sagemaker:``, because AWS's own launch role refuses to tag with any other key.
    """
    return {VISIBILITY_TAG: "true", SLUG_TAG: slug}


@dataclass
class _Findings:
    """What the planner has found so far."""

    clients: Clients
    release: Release
    catalog: Catalog
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def need(self, write: Write, subject: str) -> None:
        self.steps.append(Step(write, subject))


def plan(clients: Clients, release: Release, catalog: Catalog) -> Plan:
    """What is missing in the account for the release to be launchable.

    Raises:
        SeedError: an object was changed behind its digest, a product of the same name is somebody else's,
            a limit would be broken, or AWS refused a call.
    """
    with readable_errors():
        found = _Findings(clients, release, catalog)
        _plan_object(found, release.code, Write.UPLOAD_CODE, Write.TAG_CODE)
        _plan_object(found, release.template, Write.UPLOAD_TEMPLATE, Write.TAG_TEMPLATE)
        product_id = _plan_product(found)
        constraint_id = version = None
        if product_id is None:
            name = release.seed.answers["project_name"]
            found.need(Write.CREATE_PRODUCT, f"{name} {release.version}")
            found.need(Write.ADD_TO_PORTFOLIO, catalog.portfolio_id)
            found.need(Write.CONSTRAIN, catalog.launch_role_arn)
        else:
            constraint_id = _plan_access(found, product_id)
            version = _plan_version(found, product_id)
        version_id, available = version or (None, False)
        steps, notes = tuple(found.steps), tuple(found.notes)
        return Plan(release, catalog, steps, product_id, version_id, available, constraint_id, notes)


def _plan_object(found: _Findings, artifact: Artifact, upload: Write, tag: Write) -> None:
    where = {
        "Bucket": found.catalog.bucket,
        "Key": artifact.key,
        "ExpectedBucketOwner": found.catalog.account,
    }
    uri = f"s3://{found.catalog.bucket}/{artifact.key}"
    try:
        head = found.clients.s3.head_object(**where, ChecksumMode="ENABLED")  # type: ignore[arg-type]
    except ClientError as error:
        if error.response["Error"].get("Code") not in ("404", "NoSuchKey"):
            raise
        found.need(upload, f"{artifact.key} ({len(artifact.content):,} bytes)")
        return
    if head.get("ChecksumSHA256") != base64_sha256(artifact.content):
        raise SeedError(
            f"{uri}: holds something else than its name says, or has no SHA-256 checksum; nothing was written. "
            f"See who wrote it (`aws s3api list-object-versions`), remove it, and run the same command again"
        )
    tags = found.clients.s3.get_object_tagging(**where)["TagSet"]  # type: ignore[arg-type]
    if OBJECT_TAG not in tags:
        found.need(tag, f"{uri} {OBJECT_TAG['Key']}={OBJECT_TAG['Value']}")


def base64_sha256(content: bytes) -> str:
    """The checksum in the form that S3 keeps beside an object."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _plan_product(found: _Findings) -> str | None:
    name, slug = found.release.seed.answers["project_name"], found.release.seed.slug
    servicecatalog = found.clients.servicecatalog
    try:
        product = servicecatalog.describe_product_as_admin(Name=name)
    except servicecatalog.exceptions.ResourceNotFoundException:
        return None
    product_id = product["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    tags = {tag["Key"]: tag["Value"] for tag in product.get("Tags", [])}
    if tags.get(SLUG_TAG) != slug:
        owner = f"the seed {tags[SLUG_TAG]}" if SLUG_TAG in tags else "somebody else"
        raise BadInput(
            f"project_name: the product {name!r} ({product_id}) exists and belongs to {owner} (its tag {SLUG_TAG} "
            f"is not {slug}); choose another project name, or set that tag if the product is yours"
        )
    if tags.get(VISIBILITY_TAG) != "true":
        found.need(Write.TAG_PRODUCT, f"{VISIBILITY_TAG}=true")
    return product_id


def _plan_access(found: _Findings, product_id: str) -> str | None:
    servicecatalog, catalog = found.clients.servicecatalog, found.catalog
    portfolios = servicecatalog.get_paginator("list_portfolios_for_product").paginate(ProductId=product_id)
    if catalog.portfolio_id not in {p["Id"] for page in portfolios for p in page["PortfolioDetails"]}:
        found.need(Write.ADD_TO_PORTFOLIO, catalog.portfolio_id)
        found.need(Write.CONSTRAIN, catalog.launch_role_arn)
        return None
    pages = servicecatalog.get_paginator("list_constraints_for_portfolio").paginate(
        PortfolioId=catalog.portfolio_id, ProductId=product_id
    )
    launch = [c["ConstraintId"] for page in pages for c in page["ConstraintDetails"] if c["Type"] == "LAUNCH"]
    if not launch:
        found.need(Write.CONSTRAIN, catalog.launch_role_arn)
        return None
    current = json.loads(servicecatalog.describe_constraint(Id=launch[0])["ConstraintParameters"])
    if current.get("RoleArn") != catalog.launch_role_arn:
        found.need(Write.RECONSTRAIN, f"{catalog.launch_role_arn} (is {next(iter(current.values()), 'none')})")
    return launch[0]


def versions_of(clients: Clients, product_id: str) -> list[Version]:
    """The versions of a product, oldest first."""
    found = clients.servicecatalog.list_provisioning_artifacts(ProductId=product_id)["ProvisioningArtifactDetails"]
    return sorted(found, key=lambda version: (version["CreatedTime"], version["Id"]))


def _plan_version(found: _Findings, product_id: str) -> tuple[str, bool] | None:
    """The version of this name, and whether it is available; None when there is none."""
    name = found.release.version
    versions = versions_of(found.clients, product_id)
    same = [version for version in versions if version["Name"] == name]
    if same:
        status = found.clients.servicecatalog.describe_provisioning_artifact(
            ProductId=product_id, ProvisioningArtifactId=same[0]["Id"]
        )["Status"]
        if status != "FAILED":
            _note_hidden(found, product_id, same[0])
            return same[0]["Id"], status == "AVAILABLE"
        found.need(Write.REMOVE_FAILED, f"{name} ({same[0]['Id']})")
    elif len(versions) >= MAX_VERSIONS:
        raise SeedError(_too_many(product_id, versions))
    found.need(Write.REGISTER, name)
    return (same[0]["Id"], False) if same else None


def _note_hidden(found: _Findings, product_id: str, version: Version) -> None:
    if version.get("Active") and version.get("Guidance", "DEFAULT") == "DEFAULT":
        return
    state = "inactive" if not version.get("Active") else "deprecated"
    found.notes.append(
        f"version {version['Name']} is registered but {state}, so nobody can launch it; to bring it back: "
        f"aws servicecatalog update-provisioning-artifact --product-id {product_id} "
        f"--provisioning-artifact-id {version['Id']} --active --guidance DEFAULT"
    )


def _too_many(product_id: str, versions: list[Version]) -> str:
    # Versions that nobody can launch any more go first, then the oldest.
    first = sorted(
        versions,
        key=lambda v: (bool(v.get("Active")) and v.get("Guidance") != "DEPRECATED", v["CreatedTime"]),
    )[0]
    return (
        f"product {product_id} has {len(versions)} versions, and Service Catalog takes {MAX_VERSIONS}; nothing was "
        f"written. Retire one, for example {first['Name']} of {first['CreatedTime']:%Y-%m-%d}: aws servicecatalog "
        f"delete-provisioning-artifact --product-id {product_id} --provisioning-artifact-id {first['Id']}"
    )
