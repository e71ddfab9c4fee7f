"""Turns SageMaker projects on in an account, as the console does with its switch; writes only what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..errors import SeedError

PROVIDER = "Amazon SageMaker"  # of the portfolio that AWS shares with every account
SHARE = "AWS_SERVICECATALOG"

_POLICY = "AmazonSageMakerServiceCatalogProducts{}ServiceRolePolicy"
# The roles of AWS's own project templates, under service-role/: the service that each trusts, and AWS's policy for it.
# Ours need none of them. Left out are the two that the console gives a policy without a fixed name or full access to
# SageMaker: ...UseRole, which only templates of 2021 and before run with, and ...ExecutionRole.
AWS_ROLES = {
    "AmazonSageMakerServiceCatalogProductsLaunchRole": (
        "servicecatalog",
        "AmazonSageMakerAdmin-ServiceCatalogProductsServiceRolePolicy",
    ),
    "AmazonSageMakerServiceCatalogProductsApiGatewayRole": (
        "apigateway",
        "service-role/" + _POLICY.format("ApiGateway"),
    ),
    "AmazonSageMakerServiceCatalogProductsCloudformationRole": (
        "cloudformation",
        "service-role/" + _POLICY.format("Cloudformation"),
    ),
    "AmazonSageMakerServiceCatalogProductsCodeBuildRole": ("codebuild", _POLICY.format("CodeBuild")),
    "AmazonSageMakerServiceCatalogProductsCodePipelineRole": (
        "codepipeline",
        "service-role/" + _POLICY.format("CodePipeline"),
    ),
    "AmazonSageMakerServiceCatalogProductsEventsRole": ("events", "service-role/" + _POLICY.format("Events")),
    "AmazonSageMakerServiceCatalogProductsFirehoseRole": ("firehose", "service-role/" + _POLICY.format("Firehose")),
    "AmazonSageMakerServiceCatalogProductsGlueRole": ("glue", "service-role/" + _POLICY.format("Glue")),
    "AmazonSageMakerServiceCatalogProductsLambdaRole": ("lambda", "service-role/" + _POLICY.format("Lambda")),
}


@dataclass(frozen=True)
class Write:
    """One thing that is missing, and how to mend that."""

    what: str
    act: Callable[[], Any]


def switch(sagemaker: Any, servicecatalog: Any, principals: Sequence[tuple[str, str]]) -> list[Write]:
    """What is missing for projects to be on in a region, for some principals.

    Args:
        principals: ARN and type, ``IAM`` or ``IAM_PATTERN``, of each.
    """
    writes = []
    portfolio = None
    if sagemaker.get_sagemaker_servicecatalog_portfolio_status().get("Status") == "Enabled":
        portfolio = _portfolio(servicecatalog)
    else:
        writes.append(Write("turn SageMaker projects on", sagemaker.enable_sagemaker_servicecatalog_portfolio))
    there = _principals(servicecatalog, portfolio) if portfolio else set()
    return writes + [
        Write(f"show AWS's project templates to {arn}", _association(servicecatalog, arn, kind))
        for arn, kind in principals
        if (arn, kind) not in there
    ]


def _association(servicecatalog: Any, arn: str, kind: str) -> Callable[[], Any]:
    def act() -> None:
        portfolio = _portfolio(servicecatalog)
        if portfolio is None:
            raise SeedError(f"SageMaker projects are on, but no portfolio of {PROVIDER} is shared with this account")
        servicecatalog.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=arn, PrincipalType=kind)

    return act


def _portfolio(servicecatalog: Any) -> str | None:
    pages = servicecatalog.get_paginator("list_accepted_portfolio_shares").paginate(PortfolioShareType=SHARE)
    found = (p["Id"] for page in pages for p in page["PortfolioDetails"] if p.get("ProviderName") == PROVIDER)
    return next(found, None)


def _principals(servicecatalog: Any, portfolio: str) -> set[tuple[str, str]]:
    pages = servicecatalog.get_paginator("list_principals_for_portfolio").paginate(PortfolioId=portfolio)
    return {(p["PrincipalARN"], p["PrincipalType"]) for page in pages for p in page["Principals"]}


def roles(iam: Any, partition: str, account: str) -> list[Write]:
    """What is missing of the roles of AWS's own project templates."""
    return [
        write
        for name, (service, policy) in AWS_ROLES.items()
        for write in _role(iam, name, service, f"arn:{partition}:iam::aws:policy/{policy}", account)
    ]


def _role(iam: Any, name: str, service: str, policy: str, account: str) -> list[Write]:
    attached: set[str] = set()
    writes = []
    try:
        pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        attached = {p["PolicyArn"] for page in pages for p in page["AttachedPolicies"]}
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEqualsIfExists": {"aws:SourceAccount": account}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        writes.append(
            Write(
                f"create the role {name}",
                lambda: iam.create_role(Path="/service-role/", RoleName=name, AssumeRolePolicyDocument=document),
            )
        )
    if policy not in attached:
        last = policy.rpartition("/")[2]
        writes.append(
            Write(f"attach {last} to it", lambda: iam.attach_role_policy(RoleName=name, PolicyArn=policy))
            if writes
            else Write(f"attach {last} to {name}", lambda: iam.attach_role_policy(RoleName=name, PolicyArn=policy))
        )
    return writes
