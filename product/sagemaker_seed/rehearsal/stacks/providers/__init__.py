"""The resource types that can be made, by name. What is not in this table is refused by that name."""

from __future__ import annotations

from ..provider import Provider
from . import (
    autoscaling,
    cloudwatch,
    codebuild,
    codecommit,
    codepipeline,
    ec2,
    events,
    iam,
    kms,
    logs,
    s3,
    sagemaker,
    scheduler,
    servicecatalog,
    sns,
    ssm,
)

PROVIDERS: dict[str, Provider] = {
    **autoscaling.PROVIDERS,
    **cloudwatch.PROVIDERS,
    **codebuild.PROVIDERS,
    **codecommit.PROVIDERS,
    **codepipeline.PROVIDERS,
    **ec2.PROVIDERS,
    **events.PROVIDERS,
    **iam.PROVIDERS,
    **kms.PROVIDERS,
    **logs.PROVIDERS,
    **s3.PROVIDERS,
    **sagemaker.PROVIDERS,
    **scheduler.PROVIDERS,
    **servicecatalog.PROVIDERS,
    **sns.PROVIDERS,
    **ssm.PROVIDERS,
}
