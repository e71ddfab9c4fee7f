"""Proves a publication by reading it back as a launch would: version, template, seed code, tags. Reads only."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..errors import SeedError
from ..publish.clients import Clients
from ..publish.plan import SLUG_TAG, VISIBILITY_TAG
from ..publish.release import OBJECT_TAG, read_template


def prove(clients: Clients, published: dict[str, Any]) -> list[str]:
    """What a launch of the published version will find, a line each.

    Args:
        published: the result of ``publish.flow.publish``.

    Raises:
        SeedError: something that a launch needs is not there, or not what was published.
    """
    product_id, version_id = published["product_id"], published["version_id"]
    product = clients.servicecatalog.describe_product_as_admin(Id=product_id)
    tags = {tag["Key"]: tag["Value"] for tag in product["Tags"]}
    _expect("product tag that Studio looks for", tags.get(VISIBILITY_TAG), "true")
    _expect("product tag that names the seed", tags.get(SLUG_TAG), published["project"])
    portfolio_id = published["portfolio_id"]
    portfolios = clients.servicecatalog.list_portfolios_for_product(ProductId=product_id)["PortfolioDetails"]
    _expect("portfolios that hold the product", [portfolio["Id"] for portfolio in portfolios], [portfolio_id])
    where = {"PortfolioId": portfolio_id}
    constraints = clients.servicecatalog.list_constraints_for_portfolio(**where, ProductId=product_id)
    _expect("constraints", [c["Type"] for c in constraints["ConstraintDetails"]], ["LAUNCH"])
    principals = clients.servicecatalog.list_principals_for_portfolio(**where)["Principals"]
    _expect("somebody may launch from the portfolio", bool(principals), True)

    version = clients.servicecatalog.describe_provisioning_artifact(
        ProductId=product_id, ProvisioningArtifactId=version_id, Verbose=True
    )
    detail = version["ProvisioningArtifactDetail"]
    _expect("version's name", detail["Name"], published["version"])
    _expect("version is active", detail["Active"], True)
    url = version["Info"]["TemplateUrl"]
    bucket, key = urlsplit(url).netloc.split(".")[0], urlsplit(url).path.lstrip("/")
    template = _read(clients, bucket, key)

    code = read_template(template.decode(), url)["Mappings"]["Seed"]["Code"]
    archive = _read(clients, code["Bucket"], code["Key"])
    files = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    return [
        f"version {detail['Name']} of {product_id} is active; its template is {len(template):,} bytes",
        f"the template names {code['Key']}: {len(files)} files, and the digest is theirs",
        f"both objects carry {OBJECT_TAG['Key']}={OBJECT_TAG['Value']}",
        f"Studio shows the product, and launches it through {portfolio_id} with the launch role",
    ]


def _read(clients: Clients, bucket: str, key: str) -> bytes:
    content = clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    _expect(f"digest in the key {key}", PurePosixPath(key).stem, hashlib.sha256(content).hexdigest())
    tags = clients.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    _expect(f"tag of {key}", OBJECT_TAG in tags, True)
    return content


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SeedError(f"the publication is not launchable: {what} is {found!r}, expected {wanted!r}")
