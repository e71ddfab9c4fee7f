"""Gives an embedded account what catalog.yaml gives a real one: seed bucket, launch role, portfolio, principal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..publish.catalog import LAUNCH_ROLE_TAG, PORTFOLIO_TAG

if TYPE_CHECKING:
    from .embedded import EmbeddedAws

LAUNCH_ROLE = "sagemaker-seed-launch"
STUDIO_ROLE = "studio-execution-role"


def set_up(aws: EmbeddedAws, bucket: str, account: str) -> None:
    """Makes the catalog behind ``bucket`` in an account. The bucket must not exist yet."""
    iam, s3, servicecatalog = (aws.client(service, account) for service in ("iam", "s3", "servicecatalog"))
    launch_role = _role(iam, LAUNCH_ROLE, "servicecatalog.amazonaws.com")
    studio_role = _role(iam, STUDIO_ROLE, "sagemaker.amazonaws.com")
    portfolio = servicecatalog.create_portfolio(DisplayName="SageMaker projects", ProviderName="Platform")
    portfolio_id = portfolio["PortfolioDetail"]["Id"]
    servicecatalog.associate_principal_with_portfolio(
        PortfolioId=portfolio_id, PrincipalARN=studio_role, PrincipalType="IAM"
    )
    region = s3.meta.region_name
    # us-east-1 is the one region that S3 does not take as a location.
    elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **elsewhere)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    tags = {PORTFOLIO_TAG: portfolio_id, LAUNCH_ROLE_TAG: launch_role}
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})


def _role(iam: object, name: str, service: str) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))  # type: ignore[attr-defined]
    return str(role["Role"]["Arn"])
