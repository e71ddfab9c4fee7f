"""CloudWatch Logs as moto has it, and the change of a log group's key, which moto lacks."""

from __future__ import annotations

from typing import Any

from moto.logs.models import logs_backends

from ..wire import AwsError, Request
from .service import Service


def service() -> Service:
    """CloudWatch Logs; it keeps no state of its own."""
    return Service(name="logs", operations={"AssociateKmsKey": _associate, "DisassociateKmsKey": _disassociate})


def _group(request: Request) -> Any:
    name = request.parameters().get("logGroupName", "")
    group = logs_backends[request.caller.account][request.region].groups.get(name)
    if group is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    return group


def _associate(request: Request) -> dict[str, Any]:
    _group(request).kms_key_id = request.parameters()["kmsKeyId"]
    return {}


def _disassociate(request: Request) -> dict[str, Any]:
    _group(request).kms_key_id = None
    return {}
