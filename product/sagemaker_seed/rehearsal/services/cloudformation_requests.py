"""What requests to CloudFormation share: whose stacks, which template, in whose name. No operation is here."""

from __future__ import annotations

import base64
import binascii
import re
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ...templates import parameters
from ...templates.desired import Desired, Place
from ...templates.document import Document, parse
from ...templates.failure import TemplateError
from ..ground import Actor, Ground
from ..stacks import plan
from ..stacks.engine import Deployment
from ..stacks.plan import Providers
from ..stacks.provider import Provider
from ..stacks.stack import Stack, Stacks
from ..wire import AwsError, Request, not_implemented
from . import template, validation
from .service import Operation

Parameters = dict[str, Any]
Answer = dict[str, Any]
PAGE_SIZE = 100
MAX_BODY = 51_200
# A stack of a stack set, by name or ARN: StackSets hands its template on itself, and that may be larger.
OF_A_SET = re.compile(r"(arn:[^/]+:stack/)?StackSet-.+")
STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
# Parameters that change what an operation does, in ways that nobody here has.
REFUSED = {
    "NotificationARNs": "Stacks send no notifications.",
    "ResourceTypes": "Which types a template may use is not restricted.",
    "RollbackConfiguration": "No alarms are watched.",
    "StackPolicyBody": "There are no stack policies.",
    "StackPolicyURL": "There are no stack policies.",
    "StackPolicyDuringUpdateBody": "There are no stack policies.",
    "StackPolicyDuringUpdateURL": "There are no stack policies.",
    "ResourcesToImport": "Resources cannot be imported.",
    "ImportExistingResources": "Resources cannot be imported.",
    "IncludeNestedStacks": "There are no nested stacks.",
    "DeploymentConfig": "There is one way of deploying.",
    "DeploymentMode": "There is one way of deploying.",
}
CAPABILITIES = {
    "AWS::IAM::AccessKey": (),
    "AWS::IAM::Group": ("GroupName",),
    "AWS::IAM::GroupPolicy": (),
    "AWS::IAM::InstanceProfile": ("InstanceProfileName",),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName",),
    "AWS::IAM::Policy": (),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::IAM::RolePolicy": (),
    "AWS::IAM::User": ("UserName",),
    "AWS::IAM::UserPolicy": (),
    "AWS::IAM::UserToGroupAddition": (),
}
# Service Catalog makes its stacks through this API too, and alone may set these.
OWN_TAGS = "aws:servicecatalog:"


def invalid(message: str) -> AwsError:
    """CloudFormation's error for nearly everything."""
    return AwsError("ValidationError", message)


def required_capabilities(document: Document) -> tuple[list[str], str | None]:
    """The capability that a template needs, in a list, and why; nothing of both if it needs none."""
    kinds = [r["Type"] for r in document.resources.values() if r["Type"] in CAPABILITIES]
    if not kinds:
        return [], None
    named = any(
        name in resource.get("Properties", {})
        for resource in document.resources.values()
        for name in CAPABILITIES.get(resource["Type"], ())
    )
    return (
        ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"],
        f"The following resource(s) require capabilities: [{', '.join(dict.fromkeys(kinds))}]",
    )


def tags_of(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags of a request.

    Raises:
        AwsError: one twice, or one that only AWS may set.
    """
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise invalid("Duplicate tag keys are not allowed.")
    if any(key.startswith("aws:") and not key.startswith(OWN_TAGS) for key in tags):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    return tags


def page(items: Sequence[Any], key: str, p: Parameters, size: int = PAGE_SIZE) -> Answer:
    """The part of ``items`` that the request's token asks for."""
    start = 0
    if token := p.get("NextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise invalid(f"Invalid NextToken: {token}") from None
    answer: Answer = {key: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return answer


class Requests:
    """What the operations share: the ground, the stacks by account and region, and the table of providers."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._stacks: dict[tuple[str, str], Stacks] = {}
        self._lock = threading.Lock()

    @property
    def providers(self) -> Mapping[str, Provider]:
        """How each type of resource is made."""
        from ..stacks.providers import PROVIDERS

        return PROVIDERS

    def operation(self, act: Callable[[Requests, Request, Parameters], Answer]) -> Operation:
        """An operation of the service whose parameters are checked, and whose template errors are answers."""

        def answer(request: Request) -> Answer:
            p = request.parameters()
            try:
                validation.check(p, request.operation_model.input_shape)
            except AwsError as error:
                raise invalid(str(error.message)) from None
            for name, why in REFUSED.items():
                if any(p[name].values()) if isinstance(p.get(name), dict) else p.get(name):
                    raise not_implemented("cloudformation", f"{request.operation} with {name}", why)
            try:
                return act(self, request, p)
            except TemplateError as error:
                raise invalid(str(error)) from None

        return answer

    def stacks(self, request: Request) -> Stacks:
        """The stacks of the caller's account and region."""
        with self._lock:
            return self._stacks.setdefault((request.caller.account, request.region), Stacks())

    def stack(self, request: Request, name: str) -> Stack:
        """The stack of a name or ARN.

        Raises:
            AwsError: there is none.
        """
        found = self.stacks(request).find(name)
        if found is None:
            raise invalid(f"Stack with id {name} does not exist")
        return found

    def document(self, request: Request, p: Parameters, previous: Document | None = None) -> Document:
        """The template that a request gives, or the previous one.

        Raises:
            TemplateError: there is none, it cannot be read, or it is not sound.
        """
        given = [name for name in ("TemplateBody", "TemplateURL", "UsePreviousTemplate") if p.get(name)]
        if len(given) != 1:
            either = "Either Template URL or Template Body must be specified."
            raise TemplateError(either if not given else f"Specify exactly one of {', '.join(given)}.")
        if given == ["UsePreviousTemplate"]:
            if previous is None:
                raise TemplateError("UsePreviousTemplate was set, but there is no previous template.")
            return previous
        return parse(self.text(request, p), self.providers)

    def text(self, request: Request, p: Parameters) -> str:
        """The template's text, from the request or from S3, read as the caller."""
        if url := p.get("TemplateURL"):
            return template.fetch(url, request.caller, request.partition)
        body = str(p.get("TemplateBody", ""))
        if len(body.encode()) > MAX_BODY and not OF_A_SET.fullmatch(str(p.get("StackName", ""))):
            raise TemplateError(
                f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                f"length less than or equal to {MAX_BODY}"
            )
        return body

    def place(self, request: Request, name: str) -> Place:
        """Where a new stack is, with an ARN of its own.

        Raises:
            AwsError: it cannot be called so.
        """
        if not STACK_NAME.fullmatch(name):
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must "
                f"satisfy regular expression pattern: {STACK_NAME.pattern}"
            )
        where = f"{request.region}:{request.caller.account}"
        identifier = f"arn:{request.partition}:cloudformation:{where}:stack/{name}/{uuid.uuid4()}"
        return Place(request.caller.account, request.region, request.partition, name, identifier)

    def actor(self, request: Request, role: str | None) -> Actor:
        """In whose name resources are made: the stack's role, or else the caller.

        Raises:
            AwsError: the role cannot be assumed.
        """
        if role is None:
            return self.ground.caller(request)
        if role.split(":")[4:5] != [request.caller.account]:
            raise invalid(f"Role {role} is invalid: Cross-account pass role is not allowed.")
        try:
            return self.ground.role(role, "cloudformation.amazonaws.com", "AWSCloudFormation")
        except AwsError as error:
            raise invalid(f"Role {role} is invalid or cannot be assumed: {error.message}") from None

    def desired(
        self, request: Request, actor: Actor, document: Document, texts: Mapping[str, str], place: Place
    ) -> Desired:
        """What a template with these parameters asks for, with its properties validated.

        Raises:
            TemplateError: it asks for what cannot be.
        """
        stacks = self.stacks(request)

        def imported(name: str) -> str:
            found = next((output.value for _, output in stacks.exports() if output.export == name), None)
            if found is None:
                raise TemplateError(f"No export named {name} found.")
            return found

        def zones(region: str) -> list[str]:
            answer = self.ground.client("ec2", actor, region).describe_availability_zones()
            return [zone["ZoneName"] for zone in answer["AvailabilityZones"]]

        desired = Desired(document, texts, place, imported, zones)
        plan.validate(desired)
        return desired

    def texts(self, document: Document, p: Parameters, previous: Mapping[str, str]) -> dict[str, str]:
        """The parameters that a request gives a template."""
        return parameters.chosen(document.parameters, p.get("Parameters", ()), previous)

    def check_capabilities(self, document: Document, given: Collection[str]) -> None:
        """Refuses a template that makes identities, unless the caller has acknowledged that.

        Raises:
            AwsError: ``InsufficientCapabilitiesException``.
        """
        needed, _ = required_capabilities(document)
        enough = (
            {"CAPABILITY_NAMED_IAM"}
            if needed == ["CAPABILITY_NAMED_IAM"]
            else {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
        )
        if needed and not enough & set(given):
            raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed[0]}]")

    def deployment(self, request: Request, stack: Stack, actor: Actor, tags: Mapping[str, str]) -> Deployment:
        """An operation on a stack, to be started."""
        providers: Providers = self.providers
        stack.stopping.clear()
        return Deployment(self.ground, providers, self.stacks(request), stack, actor, tags)
