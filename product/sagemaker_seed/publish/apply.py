"""Does the writes of a plan, in its order. Running it again after a crash finishes what is missing."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from ..errors import SeedError
from .clients import Clients, readable_errors
from .plan import VISIBILITY_TAG, Plan, Step, Write, base64_sha256, product_tags, versions_of
from .release import OBJECT_TAG, OBJECT_TAGGING, Artifact

AVAILABLE_WITHIN = 120.0  # seconds that a new version may take to become available

Report = Callable[[Step], None]


@dataclass(frozen=True)
class Published:
    """A product version that is registered and launchable."""

    product_id: str
    version_id: str
    version: str
    template_url: str


def apply(clients: Clients, plan: Plan, report: Report = lambda _step: None) -> Published:
    """Does every step of the plan, and waits until the version is available.

    Args:
        report: is told each step before it is done.

    Raises:
        SeedError: AWS refused a call, or the version failed. What was done stays, and the next run goes on from it.
    """
    with readable_errors():
        writer = _Writer(clients, plan)
        for step in plan.steps:
            report(step)
            _DO[step.write](writer)
        return writer.finish()


class _Writer:
    """The writes, with the ids that they learn on the way."""

    def __init__(self, clients: Clients, plan: Plan) -> None:
        self._clients, self._plan = clients, plan
        self._release, self._catalog = plan.release, plan.catalog
        self._product_id, self._version_id = plan.product_id, plan.version_id

    def finish(self) -> Published:
        """Waits for the version, and tells what was published."""
        if self._product_id is None or self._version_id is None:
            raise SeedError("the plan neither finds nor makes a product version; this is a fault of the planner")
        if not self._plan.available:
            self._wait(self._product_id, self._version_id)
        return Published(self._product_id, self._version_id, self._release.version, self._plan.template_url)

    def upload_code(self) -> None:
        self._upload(self._release.code)

    def upload_template(self) -> None:
        self._upload(self._release.template)

    def tag_code(self) -> None:
        self._tag(self._release.code)

    def tag_template(self) -> None:
        self._tag(self._release.template)

    def _where(self, artifact: Artifact) -> dict[str, str]:
        return {
            "Bucket": self._catalog.bucket,
            "Key": artifact.key,
            "ExpectedBucketOwner": self._catalog.account,
        }

    def _upload(self, artifact: Artifact) -> None:
        try:
            self._clients.s3.put_object(
                **self._where(artifact),  # type: ignore[arg-type]
                Body=artifact.content,
                ContentType=artifact.media_type,
                Tagging=OBJECT_TAGGING,
                IfNoneMatch="*",
                ChecksumSHA256=base64_sha256(artifact.content),
            )
        except ClientError as error:
            # Another publisher was first with the same bytes: the key is their digest.
            if error.response["Error"].get("Code") != "PreconditionFailed":
                raise

    def _tag(self, artifact: Artifact) -> None:
        self._clients.s3.put_object_tagging(**self._where(artifact), Tagging={"TagSet": [OBJECT_TAG]})  # type: ignore[arg-type, list-item]

    def _version_parameters(self) -> dict[str, object]:
        return {
            "Name": self._release.version,
            "Description": f"Seed code {self._release.code.key}",
            "Info": {"LoadTemplateFromURL": self._plan.template_url},
            "Type": "CLOUD_FORMATION_TEMPLATE",
        }

    def create_product(self) -> None:
        # The token is the same whoever publishes, and whatever code: publishers at once get one product.
        seed = self._release.seed
        token = f"product-{seed.slug}-{uuid.uuid5(uuid.NAMESPACE_URL, seed.answers['project_name'])}"
        servicecatalog = self._clients.servicecatalog
        try:
            self._product_id, self._version_id = self._create_product(token)
        except servicecatalog.exceptions.InvalidParametersException:
            # Another publisher used the token, with other code; without one, the parameters really are wrong.
            self._product_id = self._described({"Name": seed.answers["project_name"]})
            if self._product_id is None:
                raise
        if self._described({"Id": self._product_id}) is None:
            # Service Catalog remembers the answer to a token for a while, also of a product that is deleted since.
            self._product_id, self._version_id = self._create_product(str(uuid.uuid4()))
        if not self._same_versions(self._product_id):
            self.register()

    def _create_product(self, token: str) -> tuple[str, str]:
        answers = self._release.seed.answers
        created = self._clients.servicecatalog.create_product(
            Name=answers["project_name"],
            Owner=answers["team"],
            Description=answers["description"],
            ProductType="CLOUD_FORMATION_TEMPLATE",
            Tags=[{"Key": key, "Value": value} for key, value in product_tags(self._release.seed.slug).items()],
            ProvisioningArtifactParameters=self._version_parameters(),  # type: ignore[arg-type]
            IdempotencyToken=token,
        )
        summary = created["ProductViewDetail"]["ProductViewSummary"]
        return summary["ProductId"], created["ProvisioningArtifactDetail"]["Id"]

    def _described(self, which: dict[str, str]) -> str | None:
        """The id of the product, if there is one."""
        servicecatalog = self._clients.servicecatalog
        try:
            view = servicecatalog.describe_product_as_admin(**which)["ProductViewDetail"]
        except servicecatalog.exceptions.ResourceNotFoundException:
            return None
        return view["ProductViewSummary"]["ProductId"]

    def _same_versions(self, product_id: str) -> list[str]:
        """The ids of the versions of this release's name, oldest first."""
        return [v["Id"] for v in versions_of(self._clients, product_id) if v["Name"] == self._release.version]

    def tag_product(self) -> None:
        self._clients.servicecatalog.update_product(
            Id=str(self._product_id), AddTags=[{"Key": VISIBILITY_TAG, "Value": "true"}]
        )

    def add_to_portfolio(self) -> None:
        self._clients.servicecatalog.associate_product_with_portfolio(
            ProductId=str(self._product_id), PortfolioId=self._catalog.portfolio_id
        )

    def constrain(self) -> None:
        servicecatalog = self._clients.servicecatalog
        try:
            servicecatalog.create_constraint(
                PortfolioId=self._catalog.portfolio_id,
                ProductId=str(self._product_id),
                Type="LAUNCH",
                Parameters=self._launch_role(),
                Description="Launches with the role of the catalog, not with the rights of the person",
                IdempotencyToken=f"launch-{uuid.uuid4()}",
            )
        except servicecatalog.exceptions.DuplicateResourceException:
            # Another publisher was first; the next plan compares the role.
            return

    def reconstrain(self) -> None:
        self._clients.servicecatalog.update_constraint(Id=str(self._plan.constraint_id), Parameters=self._launch_role())

    def _launch_role(self) -> str:
        return json.dumps({"RoleArn": self._catalog.launch_role_arn})

    def remove_failed(self) -> None:
        self._delete_version(str(self._product_id), str(self._plan.version_id))

    def _delete_version(self, product_id: str, version_id: str) -> None:
        servicecatalog = self._clients.servicecatalog
        # That it is gone already is as good: another publisher was first.
        with contextlib.suppress(servicecatalog.exceptions.ResourceNotFoundException):
            servicecatalog.delete_provisioning_artifact(ProductId=product_id, ProvisioningArtifactId=version_id)

    def register(self) -> None:
        product_id = str(self._product_id)
        mine = self._register(product_id, f"version-{self._release.seed.slug}-{self._release.digest}")
        same = self._same_versions(product_id)
        if mine not in same:
            # As with products: an answer that Service Catalog remembered, of a version that is gone.
            mine = self._register(product_id, str(uuid.uuid4()))
            same = self._same_versions(product_id)
        self._version_id, *doubles = same
        for double in doubles:
            # Two publishers at once, and no token that kept them apart: both keep the same one of the equal versions.
            self._delete_version(product_id, double)

    def _register(self, product_id: str, token: str) -> str:
        created = self._clients.servicecatalog.create_provisioning_artifact(
            ProductId=product_id,
            Parameters=self._version_parameters(),  # type: ignore[arg-type]
            IdempotencyToken=token,
        )
        return created["ProvisioningArtifactDetail"]["Id"]

    def _wait(self, product_id: str, version_id: str) -> None:
        deadline = time.monotonic() + AVAILABLE_WITHIN
        pause = 0.2
        while True:
            status = self._clients.servicecatalog.describe_provisioning_artifact(
                ProductId=product_id, ProvisioningArtifactId=version_id
            )["Status"]
            if status == "AVAILABLE":
                return
            if status == "FAILED":
                raise SeedError(
                    f"version {self._release.version} failed to register: Service Catalog could not use "
                    f"{self._plan.template_url}; `aws cloudformation validate-template` says why; the next publish "
                    f"replaces the failed version"
                )
            if time.monotonic() > deadline:
                raise SeedError(
                    f"version {self._release.version} is still {status} after {AVAILABLE_WITHIN:.0f} seconds; "
                    f"run the same command again to go on waiting"
                )
            time.sleep(pause)
            pause = min(2 * pause, 5)


_DO: dict[Write, Callable[[_Writer], None]] = {
    Write.UPLOAD_CODE: _Writer.upload_code,
    Write.TAG_CODE: _Writer.tag_code,
    Write.UPLOAD_TEMPLATE: _Writer.upload_template,
    Write.TAG_TEMPLATE: _Writer.tag_template,
    Write.CREATE_PRODUCT: _Writer.create_product,
    Write.TAG_PRODUCT: _Writer.tag_product,
    Write.ADD_TO_PORTFOLIO: _Writer.add_to_portfolio,
    Write.CONSTRAIN: _Writer.constrain,
    Write.RECONSTRAIN: _Writer.reconstrain,
    Write.REMOVE_FAILED: _Writer.remove_failed,
    Write.REGISTER: _Writer.register,
}
