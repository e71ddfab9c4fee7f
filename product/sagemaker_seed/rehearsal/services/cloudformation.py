"""CloudFormation as moto has it, except that resource types that moto would silently leave out are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..wire import AwsError, Request
from . import template
from .service import Service

WITH_TEMPLATE = {"CreateStack", "UpdateStack", "CreateChangeSet", "CreateStackSet", "UpdateStackSet"}


def service() -> Service:
    """CloudFormation; it keeps no state of its own."""
    return Service(name="cloudformation", operations={}, guard=_guard)


@contextmanager
def _guard(request: Request) -> Iterator[None]:
    if request.operation in WITH_TEMPLATE:
        _check_types(request)
    yield


def _check_types(request: Request) -> None:
    from moto.cloudformation.parsing import NULL_MODELS, get_model_map

    given = request.parameters()
    try:
        text = given.get("TemplateBody") or (
            template.fetch(given["TemplateURL"], request.caller, request.partition) if "TemplateURL" in given else None
        )
        if text is None:  # the template in place stays, and has been looked at before
            return
        resources = template.parse(text)["Resources"]
    except template.TemplateError as error:
        raise AwsError("ValidationError", str(error)) from None
    known = {*get_model_map(), *NULL_MODELS}
    types = {resource["Type"] for resource in resources.values()}
    unknown = sorted(t for t in types - known if not t.startswith("Custom::"))
    if unknown:
        raise AwsError(
            "ValidationError",
            f"Template format error: Unrecognized resource types (the embedded AWS does not have them): {unknown}",
        )
