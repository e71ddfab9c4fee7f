"""Finds where to publish: the seed bucket of catalog.yaml, and from its tags the portfolio and the roles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import ClientError
from botocore.loaders import Loader

from ..errors import BadInput
from .clients import Clients
from .release import Accounts

PORTFOLIO_TAG = "sagemaker-seed:portfolio-id"
LAUNCH_ROLE_TAG = "sagemaker-seed:launch-role-arn"
# Of a service role that is not the one of our account templates: the tag's end says which, its value the path and name.
ROLE_TAGS = "sagemaker-seed:role-"
EXTERNAL_ID_TAG = "sagemaker-seed:external-id"


def accounts_of(tags: Mapping[str, str]) -> Accounts:
    """What a seed bucket's tags say of the accounts."""
    roles = {key.removeprefix(ROLE_TAGS): value for key, value in tags.items() if key.startswith(ROLE_TAGS)}
    return Accounts(roles, tags.get(EXTERNAL_ID_TAG, ""))


@dataclass(frozen=True)
class Catalog:
    """What catalog.yaml made in one account and region.

    Attributes:
        accounts: what the organisation's accounts have in place of what our templates make.
    """

    account: str
    region: str
    bucket: str
    portfolio_id: str
    launch_role_arn: str
    accounts: Accounts = field(default_factory=Accounts)

    def url(self, key: str) -> str:
        """The HTTPS address of an object in the seed bucket, as Service Catalog takes it."""
        return f"https://{self.bucket}.s3.{self.region}.{_dns_suffix(self.region)}/{key}"


def _dns_suffix(region: str) -> str:
    partitions = Loader().load_data("partitions")["partitions"]
    return str(next(p["outputs"]["dnsSuffix"] for p in partitions if re.match(p["regionRegex"], region)))


def _bucket_problem(code: str, bucket: str, account: str) -> str:
    if code in ("404", "NoSuchBucket"):
        return f"seed_bucket: {bucket} does not exist; deploy catalog.yaml once, its output SeedBucket is the name"
    return (
        f"seed_bucket: {bucket} is not readable by account {account}: it belongs to another account, or the identity "
        f"lacks s3:ListBucket and s3:GetBucketTagging on it"
    )


def find(clients: Clients, bucket: str, portfolio_id: str | None = None, launch_role_arn: str | None = None) -> Catalog:
    """The catalog behind a seed bucket. Reads only.

    Args:
        portfolio_id: overrides the bucket's tag ``sagemaker-seed:portfolio-id``.
        launch_role_arn: overrides the bucket's tag ``sagemaker-seed:launch-role-arn``.

    Raises:
        BadInput: the bucket is missing, foreign or in another region, or neither tags nor options name the rest.
    """
    account = clients.sts.get_caller_identity()["Account"]
    try:
        head = clients.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        tags = _tags(clients, bucket, account)
    except ClientError as error:
        code = error.response["Error"].get("Code", "?")
        if code in ("403", "404", "AccessDenied", "NoSuchBucket"):
            raise BadInput(_bucket_problem(code, bucket, account)) from None
        raise
    region = head.get("BucketRegion", clients.region)
    if region != clients.region:
        raise BadInput(
            f"seed_bucket: {bucket} is in {region}, but the product would be registered in {clients.region}: a launch "
            f"reads the bucket of its own region; use the bucket of {clients.region}, or --region {region}"
        )
    portfolio, role = portfolio_id or tags.get(PORTFOLIO_TAG), launch_role_arn or tags.get(LAUNCH_ROLE_TAG)
    missing = [
        f"seed_bucket: {bucket} has no tag {tag}, so the {what} is not known; deploy catalog.yaml, or give {option}"
        for value, tag, what, option in (
            (portfolio, PORTFOLIO_TAG, "portfolio", "--portfolio-id"),
            (role, LAUNCH_ROLE_TAG, "launch role", "--launch-role-arn"),
        )
        if not value
    ]
    if not portfolio or not role:
        raise BadInput(*missing)
    try:
        clients.servicecatalog.describe_portfolio(Id=portfolio)
    except clients.servicecatalog.exceptions.ResourceNotFoundException:
        raise BadInput(
            f"portfolio {portfolio} does not exist in {account} {clients.region}; give --portfolio-id"
        ) from None
    return Catalog(account, clients.region, bucket, portfolio, role, accounts_of(tags))


def _tags(clients: Clients, bucket: str, account: str) -> dict[str, str]:
    try:
        answer = clients.s3.get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"].get("Code") == "NoSuchTagSet":
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
