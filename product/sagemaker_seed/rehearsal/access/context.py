"""Condition keys: what a request itself gives, and the tags of a resource, which are looked up when a policy asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ...policies import Value
from .rules import Table, values
from .tables import TABLES

RESOURCE_TAG = "aws:resourcetag/"
# Keys that have a value or none, and are never simply unknown here; a name that ends in ``/`` or ``:`` is a prefix.
UNDERSTOOD = (
    "aws:multifactorauthpresent",
    "aws:principalorgid",
    "aws:principaltag/",
    "aws:requesttag/",
    RESOURCE_TAG,
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceowner",
    "aws:tagkeys",
    "aws:userid",
    "aws:username",
    "iam:associatedresourcearn",
    "iam:passedtoservice",
    "kms:encryptioncontext:",
    "kms:encryptioncontextkeys",
    "kms:grantisforawsresource",
    "kms:requestalias",
    "kms:resourcealiases",
    "kms:viaservice",
    "sts:externalid",
    *sorted({key.lower() for table in TABLES.values() for key in table.keys}),
)
TAG_LISTS = ("Tags", "tags", "TagList", "AddTags", "ResourceTags")
TAG_KEY_LISTS = ("TagKeys", "tagKeys", "tagKeyList", "RemoveTags")
TAG_NAMES = (("Key", "Value"), ("key", "value"), ("TagKey", "TagValue"))


def of_request(table: Table, parameters: Mapping[str, Any], region: str) -> dict[str, Value]:
    """The condition keys that an operation's parameters have values for, in lower case."""
    given = {key.lower(): values(parameters, path) for key, path in table.keys.items()}
    tags = _tags(parameters)
    keys = (*tags, *(key for name in TAG_KEY_LISTS for key in values(parameters, name)))
    return {
        **{key: found[0] if len(found) == 1 else tuple(found) for key, found in given.items() if found},
        **{f"aws:requesttag/{key}".lower(): value for key, value in tags.items()},
        **({"aws:tagkeys": keys} if keys else {}),
        "aws:requestedregion": region,
    }


def _tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a request gives, in whichever of AWS's forms its service has."""
    for name in TAG_LISTS:
        found = parameters.get(name)
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
        if isinstance(found, list | tuple):
            return {
                str(tag[key]): str(tag.get(value, ""))
                for tag in found
                for key, value in TAG_NAMES
                if isinstance(tag, dict) and key in tag
            }
    return {}


@dataclass
class Context(Mapping[str, Value]):
    """Condition keys with their values; those of the resource's tags are asked for when one of them is.

    Attributes:
        known: what needs no asking.
        tags: gives the resource's tags.
    """

    known: Mapping[str, Value]
    tags: Callable[[], Mapping[str, str]]
    _tags: dict[str, str] | None = field(default=None)

    def __getitem__(self, key: str) -> Value:
        """The value of a key in lower case."""
        if not key.startswith(RESOURCE_TAG):
            return self.known[key]
        if self._tags is None:
            self._tags = {f"{RESOURCE_TAG}{name}".lower(): value for name, value in self.tags().items()}
        return self._tags[key]

    def __iter__(self) -> Iterator[str]:
        """The keys that needed no asking."""
        return iter(self.known)

    def __len__(self) -> int:
        """How many of these there are."""
        return len(self.known)


@dataclass(frozen=True)
class _Reading:
    """How a service tells a resource's tags: the operation, its parameter, and where the tags are in the answer."""

    operation: str
    parameter: str
    answer: str
    by_name: bool = False  # the parameter is the last part of the ARN rather than the ARN


READINGS = {
    "application-autoscaling": _Reading("list_tags_for_resource", "ResourceARN", "Tags"),
    "cloudformation": _Reading("describe_stacks", "StackName", "Stacks", by_name=True),
    "cloudwatch": _Reading("list_tags_for_resource", "ResourceARN", "Tags"),
    "codecommit": _Reading("list_tags_for_resource", "resourceArn", "tags"),
    "codepipeline": _Reading("list_tags_for_resource", "resourceArn", "tags"),
    "events": _Reading("list_tags_for_resource", "ResourceARN", "Tags"),
    "iam": _Reading("list_role_tags", "RoleName", "Tags", by_name=True),
    "kms": _Reading("list_resource_tags", "KeyId", "Tags"),
    "logs": _Reading("list_tags_for_resource", "resourceArn", "tags"),
    "sagemaker": _Reading("list_tags", "ResourceArn", "Tags"),
    "sns": _Reading("list_tags_for_resource", "ResourceArn", "Tags"),
}


def resource_tags(arn: str, client: Callable[[str], Any]) -> Mapping[str, str]:
    """The tags of an existing resource; none of one that is not there, and of a service that has no way to tell.

    Args:
        arn: the resource's.
        client: by the service's name, a client that may read everything there.
    """
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    reading = READINGS.get(service)
    if reading is None or "*" in arn:
        return {}
    name = arn.split("/")[1] if service == "cloudformation" else arn.rpartition("/")[2]
    try:
        answer = getattr(client(service), reading.operation)(**{reading.parameter: name if reading.by_name else arn})
    except (ClientError, BotoCoreError):
        return {}
    found = answer[reading.answer]
    return _tags({"Tags": found[0].get("Tags", []) if service == "cloudformation" else found})
