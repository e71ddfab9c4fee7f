"""Reads CloudFormation templates: from the embedded S3 by the URL that AWS would fetch, or as text. Deploys nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...templates.failure import TemplateError
from ..wire import AwsError, Caller
from . import s3

MAX_BYTES = 1024 * 1024
HOST_FORMS = (
    re.compile(
        r"(?P<bucket>[a-z0-9][a-z0-9.-]+?)\.s3(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?"
    ),
    re.compile(r"s3(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?"),
)


@dataclass(frozen=True)
class Location:
    """Where an S3 URL points; ``region`` is None in the form that names none."""

    bucket: str
    key: str
    region: str | None
    version: str | None


def locate(url: str) -> Location:
    """The object that a template URL names: virtual-hosted or path style, with or without a region.

    Raises:
        TemplateError: the URL is not one of an S3 object.
    """
    parts = urlsplit(url)
    forms = [found for form in HOST_FORMS if (found := form.fullmatch(parts.netloc))]
    path = unquote(parts.path).lstrip("/")
    if parts.scheme != "https" or not forms:
        raise TemplateError(
            f"{url!r} is not the https URL of an S3 object, such as https://BUCKET.s3.REGION.amazonaws.com/KEY"
        )
    named = forms[0].groupdict()
    bucket, key = (named["bucket"], path) if "bucket" in named else path.partition("/")[::2]
    if not bucket or not key:
        raise TemplateError(f"{url!r} names no object: bucket {bucket!r}, key {key!r}")
    return Location(bucket, key, named["region"], parse_qs(parts.query).get("versionId", [None])[0])


def fetch(url: str, caller: Caller, partition: str) -> str:
    """The text of the template at ``url``, read from the embedded S3 as ``caller``.

    Raises:
        TemplateError: not an S3 URL, no such object, not the caller's to read, in another region, too big, or not text.
    """
    where = locate(url)
    region = s3.region_of(where.bucket, partition)
    if region is not None and where.region is not None and where.region != region:
        raise TemplateError(f"S3 error: bucket {where.bucket} is in {region}, and the URL says {where.region}: {url}")
    try:
        content = s3.read_object(caller, s3.Place(partition, where.bucket, where.key, where.version))
    except AwsError as error:
        raise TemplateError(f"S3 error: {error.message} ({url})") from None
    if len(content) > MAX_BYTES:
        raise TemplateError(f"the template at {url} has {len(content)} bytes; at most {MAX_BYTES} are allowed")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"the template at {url} is not UTF-8 text: {error.reason} at byte {error.start}") from None


def parse(text: str) -> dict[str, Any]:
    """A CloudFormation template's top level, with short intrinsic functions (``!Ref``) left as their plain values.

    Raises:
        TemplateError: neither JSON nor YAML, not an object, or without resources.
    """
    import yaml

    if text.lstrip().startswith("{"):
        try:
            template = json.loads(text)
        except ValueError as error:
            raise TemplateError(f"Template format error: JSON not well-formed: {error}") from None
    else:
        try:
            template = yaml.load(text, Loader=_loader())  # noqa: S506 - a safe loader
        except yaml.YAMLError as error:
            raise TemplateError(
                f"Template format error: YAML not well-formed: {' '.join(str(error).split())}"
            ) from None
    if not isinstance(template, dict):
        raise TemplateError("Template format error: unsupported structure: the top level is not an object")
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    untyped = [n for n, r in resources.items() if not (isinstance(r, dict) and isinstance(r.get("Type"), str))]
    if untyped:
        raise TemplateError(f"Template format error: resources without a Type: {', '.join(map(str, untyped))}")
    return template


def _loader() -> Any:
    """YAML as CloudFormation reads it: safe, with any ``!Tag`` accepted and scalars such as dates left as text."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    builders = {
        yaml.ScalarNode: "construct_scalar",
        yaml.SequenceNode: "construct_sequence",
        yaml.MappingNode: "construct_mapping",
    }

    def tagged(loader: Any, _: str, node: Any) -> Any:
        arguments = (node,) if isinstance(node, yaml.ScalarNode) else (node, True)
        return getattr(loader, builders[type(node)])(*arguments)

    Loader.add_multi_constructor("!", tagged)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    return Loader
