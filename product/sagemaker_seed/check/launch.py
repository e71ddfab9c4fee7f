"""The launch role: trusted by Service Catalog, and allowed all that making, changing and deleting a project takes."""

from __future__ import annotations

from collections.abc import Iterator

from ..publish.release import OBJECT_TAG
from .preparing import deploy
from .resources import needs
from .statements import Act, covers, there, trusts
from .subject import Subject

# What Service Catalog itself asks of the role, beside what the resources need.
STACK_ACTIONS = "CreateStack DeleteStack DescribeStackEvents DescribeStacks SetStackPolicy UpdateStack".split()
TEMPLATE_ACTIONS = "GetTemplateSummary ValidateTemplate".split()


def check(subject: Subject) -> None:
    """The role, its trust, and its policies against the template."""
    if not subject.launch_role_arn:
        return
    fix = f"{deploy(subject.home, 'catalog.yaml')}; or give --launch-role-arn"
    role = there(subject, subject.launch_role_arn, "the launch role", "launch", fix)
    if role is None:
        return
    trusts(subject, role, "servicecatalog.amazonaws.com", "the launch role", "launch")
    covers(subject, role, _acts(subject), "launch", "the launch role")


def _acts(subject: Subject) -> Iterator[Act]:
    home = subject.home
    stack = f"arn:{home.partition}:cloudformation:{home.region}:{home.id}:stack/SC-{home.id}-pp-x/u"
    yield from (Act(f"cloudformation:{name}", stack, "the project's stack") for name in STACK_ACTIONS)
    yield from (Act(f"cloudformation:{name}", "*", "the project's template") for name in TEMPLATE_ACTIONS)
    tagged = {f"s3:existingobjecttag/{OBJECT_TAG['Key']}": OBJECT_TAG["Value"]}
    if subject.bucket:
        template = f"arn:{home.partition}:s3:::{subject.bucket}/product-templates/x/x.yaml"
        yield Act("s3:GetObject", template, "the project's template", tagged)
    # What is published carries the tag; one that does not is another finding.
    tags = {OBJECT_TAG["Key"]: OBJECT_TAG["Value"]}
    for need in needs(subject.resources, home, tags):
        yield Act(need.action, need.resource, need.logical_id, need.context)
