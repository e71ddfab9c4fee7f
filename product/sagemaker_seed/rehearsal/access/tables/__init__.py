"""What every operation of a rehearsal needs, service by service: data. An operation that is not here is not judged.

From the service authorization reference, https://docs.aws.amazon.com/service-authorization/latest/reference/, which a
test compares them with.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..rules import Table
from . import accounts, delivery, learning, operating, storage

# By botocore's name of the service. S3 and AssumeRole are judged where they are answered, with the resource's policy.
TABLES: Mapping[str, Table] = {
    **accounts.TABLES,
    **delivery.TABLES,
    **learning.TABLES,
    **operating.TABLES,
    **storage.TABLES,
}
# Operations here, with actions of their own, that no SDK has: what a build does with its reports, and CodeCommit over
# git and for pipelines.
BEYOND_SDK = {
    "codebuild": {"BatchPutCodeCoverages", "BatchPutTestCases", "CreateReport", "UpdateReport"},
    "codecommit": {"GitPull", "GitPush", "UploadArchive"},
}
# Actions that are asked for beside an operation, or in the course of one.
ACTIONS_WITHOUT_OPERATION = {
    "codecommit": "CancelUploadArchive GetUploadArchiveStatus",
    "iam": "PassRole",
}
# Actions of our templates that no call in the embedded AWS asks for, and why.
NO_NETWORK = "An endpoint here has no network of its own, so that no interfaces are made for it."
BUCKET_READ = "CloudFormation on AWS reads this back of every bucket; here it reads what it has set."
BY_TAGS = "AWS asks for it beside the operation that sets tags; with which operations is not documented."
NEVER_ASKED: Mapping[str, str] = {
    "cloudformation:TagResource": BY_TAGS,
    "cloudformation:UntagResource": BY_TAGS,
    "ec2:CreateNetworkInterface": NO_NETWORK,
    "ec2:CreateNetworkInterfacePermission": NO_NETWORK,
    "ec2:DeleteNetworkInterface": NO_NETWORK,
    "ec2:DeleteNetworkInterfacePermission": NO_NETWORK,
    "s3:GetAnalyticsConfiguration": BUCKET_READ,
    "s3:GetIntelligentTieringConfiguration": BUCKET_READ,
    "s3:GetMetricsConfiguration": BUCKET_READ,
    "s3:ListTagsForResource": BY_TAGS,
    "s3:TagResource": BY_TAGS,
    "s3:UntagResource": BY_TAGS,
    "sns:PutDataProtectionPolicy": "CloudFormation on AWS may ask for it with a topic; one here has no such policy.",
    "sts:GetCallerIdentity": "Everybody may ask who they are, and no policy can forbid it.",
}
