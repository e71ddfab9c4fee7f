"""Who asks and where: the account of the credentials, and whether the region has what a project is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..answers import REGIONS
from ..errors import BadInput
from ..templates.properties import is_supported
from .subject import NOBODY, Account, Subject


def account(title: str, client: Callable[[str], Any], region: str) -> Account:
    """The account that a client of STS acts in.

    Raises:
        ClientError: the credentials are refused.
    """
    caller = client("sts").get_caller_identity()
    return Account(title, caller["Account"], region, caller["Arn"].split(":")[1], client)


def nowhere(region: str) -> Account:
    """What stands in for an account where none is looked into."""
    import botocore.session
    from botocore.exceptions import UnknownRegionError

    try:
        partition = botocore.session.Session().get_partition_for_region(region)
    except UnknownRegionError:
        partition = "aws"

    def client(service: str) -> Any:
        raise AssertionError(f"a look at {service} takes an account")

    return Account("no account", NOBODY, region, partition, client)


def check(subject: Subject) -> None:
    """The region: SageMaker projects as a whole, and each type of the template; the accounts: which is whose."""
    region, report = subject.home.region, subject.report
    if region not in REGIONS:
        report.add(
            "the region lacks services",
            region,
            "SageMaker projects, CodeCommit or Service Catalog are not there, so a launch cannot make its resources",
            "launch",
            "render again with another aws_region, or give --region",
        )
    asked = subject.seed.answers["aws_region"] if subject.seed else region
    if asked != region:
        report.add(
            "the region is not that of the seed",
            f"{region} (seed: {asked})",
            "the seed was rendered for another region; its product would be registered where nobody looks for it",
            "publish",
            f"give --region {asked}, or render again with aws_region={region}",
        )
    for kind in subject.desired.document.types if subject.desired else ():
        if not is_supported(kind, region):
            report.add(
                "a resource type is not available in the region",
                f"{kind} in {region}",
                "CloudFormation refuses a template with a type that it does not have",
                "launch",
                "publish to a region that has it; `aws cloudformation describe-type` tells",
            )
    for stage, found in subject.stages.items():
        if found.id != subject.stage_ids[stage]:
            report.add(
                "the profile is of another account",
                f"--{stage}-profile is {found.id}",
                f"the {stage} account is said to be {subject.stage_ids[stage]}",
                "deploy",
                f"give --{stage}-account {found.id}, or the profile of {subject.stage_ids[stage]}",
            )


def stage_account(stage: str, given: str | None, found: Account | None, default: str) -> str:
    """The id of a stage's account: as given, as its profile says, or ``default``.

    Raises:
        BadInput: the id is none.
    """
    if given is not None and not (len(given) == 12 and given.isdigit()):
        raise BadInput(f"--{stage}-account: must be the 12 digits of an account id, got {given!r}")
    return given or (found.id if found else default)
