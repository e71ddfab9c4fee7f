"""What is published: the seed code and the product template that launches it, and the name of the version.

Pure: it makes bytes and names, and touches neither AWS nor the disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

try:  # ten times faster, where PyYAML was built with libyaml
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from ..answers import Seed
from ..bundle import Bundle
from ..errors import BadInput

MAX_TEMPLATE_BYTES = 1024**2  # of a template that CloudFormation reads by URL

# The object tag by which a launch role may read an object (an IAM condition of every launch role for SageMaker
# projects), and its form in the Tagging header of PutObject.
OBJECT_TAG = {"Key": "servicecatalog:provisioning", "Value": "true"}
OBJECT_TAGGING = "servicecatalog%3Aprovisioning=true"

# The values of the product template's mapping `Seed` that stand for what publishing decides.
PLACEHOLDERS = {
    "unbound-seed-bucket": "bucket",
    "unbound-seed-key": "key",
    "unbound-project": "project",
    "unbound-team": "team",
    "unbound-version": "version",
    "unbound-external-id": "external-id",
}
# The answers that a parameter of the product template carries. Its Default and AllowedValues end in a comment,
# `# bound: <answer>`; publishing leaves it no value but the answer, so that a launch cannot choose another.
CHOICES = ("deploy_target", "stages")
# The roles of our account templates, as the product template names them; publishing puts others in their place.
OUR_ROLE = "sagemaker-seed/sagemaker-seed-{}"


@dataclass(frozen=True)
class Artifact:
    """An object in the seed bucket, under a key that holds the SHA-256 of its content."""

    what: str
    key: str
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Accounts:
    """What a published template has to know of the accounts that projects run in.

    Attributes:
        roles: path and name of each service role that exists already, by the last word of our own one's name.
        external_id: what the tests say to enter another account; empty for nothing.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    external_id: str = ""


@dataclass(frozen=True)
class Release:
    """A version of a product before it is registered: what it launches, and the template that launches it."""

    seed: Seed
    bucket: str
    version: str
    digest: str
    code: Artifact
    template: Artifact


class _Loader(SafeLoader):
    """Reads CloudFormation's short forms (``!Sub`` and the like) as plain values."""


def _short_form(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has three kinds of nodes
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _short_form)


def read_template(text: str, name: str) -> dict[str, Any]:
    """The content of a CloudFormation template, its short forms as plain values.

    Raises:
        BadInput: it is no YAML, or no template.
    """
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with constructors for plain values
    except yaml.YAMLError as error:
        raise BadInput(f"{name}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("Resources"), dict):
        raise BadInput(f"{name}: is no CloudFormation template (it has no Resources)")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bind(source: str, values: dict[str, str], name: str) -> str:
    for placeholder, value in values.items():
        count = source.count(placeholder)
        if count != 1:
            raise BadInput(f"{name}: must hold the placeholder {placeholder} exactly once, has it {count} times")
        source = source.replace(placeholder, json.dumps(value, ensure_ascii=False))
    return source


def bind_choices(source: str, answers: Mapping[str, str], name: str) -> str:
    """The template whose parameters can have the values of the answers in :data:`CHOICES`, and no others.

    Raises:
        BadInput: the template lacks a place for one of them.
    """
    for choice in CHOICES:
        value = json.dumps(answers[choice])
        for key, bound in (("Default", value), ("AllowedValues", f"[{value}]")):
            line = re.compile(rf"^( +{key}: ).+ # bound: {choice}$", re.MULTILINE)
            source, count = line.subn(rf"\g<1>{bound}", source)
            if count != 1:
                raise BadInput(f"{name}: must have `{key}: ... # bound: {choice}` exactly once, has it {count} times")
    return source


def with_roles(source: str, roles: Mapping[str, str]) -> str:
    """The template with every mention of a role of ours turned into the one that exists in its place."""
    for last, existing in roles.items():
        # A role's path and name have no backslash, so that they can stand for themselves in a replacement.
        source = re.sub(rf"\b{re.escape(OUR_ROLE.format(last))}(?![\w-])", existing, source)
    return source


def make(
    seed: Seed,
    bundle: Bundle,
    template: str,
    bucket: str,
    name: str = "project.yaml",
    *,
    accounts: Accounts | None = None,
) -> Release:
    """The release of a bundle: its keys, the template with the mapping ``Seed`` bound, and the version's name.

    The version's digest covers the seed code and the product template, so that a change of either is a new
    version; so is another role or external id. It does not cover the bucket, so that the same release has the same
    name in every region.

    Args:
        template: the text of the product template, with each of ``PLACEHOLDERS`` once, and each of ``CHOICES``.
        accounts: what is there in place of what our account templates make; None for nothing.

    Raises:
        BadInput: the template does not parse, is too large, or lacks a placeholder.
    """
    accounts = accounts or Accounts()
    template = with_roles(template, accounts.roles)
    told = f"{accounts.external_id}\n" if accounts.external_id else ""
    digest = _sha256(f"{bundle.digest}\n{_sha256(template.encode())}\n{told}".encode())
    values = {
        "external-id": accounts.external_id,
        "bucket": bucket,
        "key": f"seed-code/{seed.slug}/{bundle.digest}.zip",
        "project": seed.slug,
        "team": seed.answers["team"],
        "version": f"{seed.template_version}-{digest[:12]}",
    }
    bound = _bind(template, {placeholder: values[what] for placeholder, what in PLACEHOLDERS.items()}, name)
    bound = bind_choices(bound, seed.answers, name)
    read_template(bound, name)
    content = bound.encode()
    if len(content) > MAX_TEMPLATE_BYTES:
        raise BadInput(f"{name}: is {len(content):,} bytes; CloudFormation reads at most {MAX_TEMPLATE_BYTES:,} by URL")
    return Release(
        seed,
        bucket,
        values["version"],
        digest,
        Artifact("seed code", values["key"], bundle.content, "application/zip"),
        Artifact(
            "product template",
            f"product-templates/{seed.slug}/{_sha256(content)}.yaml",
            content,
            "application/yaml",
        ),
    )
