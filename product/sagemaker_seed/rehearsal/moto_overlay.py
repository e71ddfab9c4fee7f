"""Checks that moto is the very version this was written against, and replaces in it what it gets wrong. Not a service.

Whatever else the embedded AWS takes from moto's inside is listed too, so that another moto is refused at the start, by
name, rather than found out in the middle of a rehearsal.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

# module -> names that the embedded AWS calls or replaces
RELIED_ON = {
    "moto.applicationautoscaling.models": ("applicationautoscaling_backends",),
    "moto.backends": ("get_backend", "list_of_moto_modules"),
    "moto.core.exceptions": ("ServiceException",),
    "moto.core.model": ("OperationModel", "ServiceModel"),
    "moto.core.parse": ("PROTOCOL_PARSERS",),
    "moto.core.request": ("determine_request_protocol",),
    "moto.core.routing": ("get_service_router",),
    "moto.core.serialize": ("XFormedAttributePicker", "get_serializer_class"),
    "moto.core.utils": ("get_service_model",),
    "moto.events.models": (
        "EventPattern._does_item_match_named_filter",
        "EventPattern.dump",
        "UNDEFINED",
        "events_backends",
    ),
    "moto.iam.access_control": ("PermissionResult.PERMITTED",),
    "moto.iam.exceptions": ("MalformedPolicyDocument",),
    "moto.iam.models": (
        "AWSManagedPolicy.from_data",
        "IAMBackend.attach_role_policy",
        "IAMBackend.create_role",
        "IAMBackend.get_groups_for_user",
        "IAMBackend.get_role_by_arn",
        "IAMBackend.get_roles",
        "iam_backends",
    ),
    "moto.iam.policy_validation": ("IAMTrustPolicyDocumentValidator",),
    "moto.kms.models": ("KmsBackend.get_key_id_from_alias", "kms_backends"),
    "moto.logs.models": ("logs_backends",),
    "moto.moto_server.werkzeug_app": (
        "BackendRequest",
        "DomainDispatcherApplication",
        "MotoRequestHandler",
        "create_backend_app",
    ),
    "moto.organizations.models": (
        "FakeAccount",
        "FakeDelegatedAdministrator.supported_service",
        "FakeServiceAccess.trusted_service",
        "OrganizationsBackend.attach_policy",
        "organizations_backends",
    ),
    "moto.s3.models": (
        "FakeBucket.get_permission",
        "S3Backend.get_object",
        "s3_backends",
        "s3_backends.bucket_accounts",
    ),
    "moto.s3.notifications": ("_detail_type", "_send_event_bridge_message"),
    "moto.s3.responses": ("S3Response._get_checksum", "S3Response.setup_class"),
    "moto.s3.utils": ("compute_checksum",),
    "moto.sagemaker.models": ("sagemaker_backends", "SageMakerModelBackend._get_resource_from_arn"),
    "moto.sts.models": ("STSBackend.get_assumed_role_from_access_key", "sts_backends"),
    "moto.utilities.utils": ("get_partition",),
}
CHECKSUM_HEADER = re.compile(r"x-amz-checksum-(sha1|sha256|crc32|crc32c|crc64nvme)", re.IGNORECASE)
TRAILER = re.compile(rb"x-amz-checksum-(\w+):(\S+)")
# Without an optional library, moto computes these as if they were CRC32: their values are taken as given.
UNVERIFIED = {"CRC32C", "CRC64NVME"}


class MotoMismatch(Exception):
    """The installed moto is not the one that the embedded AWS was written against."""


def check(version: str) -> None:
    """Refuses a moto of another version or without a name that is relied on.

    Raises:
        MotoMismatch: says what was expected, what was found, and what to install.
    """
    found = metadata.version("moto")
    if found != version:
        raise MotoMismatch(
            f"The embedded AWS is built on moto {version}, and moto {found} is installed: {_remedy(version)}"
        )
    missing = [f"{module}.{name}" for module, names in RELIED_ON.items() for name in names if not _has(module, name)]
    if missing:
        raise MotoMismatch(f"The installed moto lacks {', '.join(missing)}: {_remedy(version)}")


def _remedy(version: str) -> str:
    return f"pip install 'moto[server]=={version}'"


def _has(module: str, name: str) -> bool:
    try:
        value: Any = import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError):
        return False
    return True


def apply() -> None:
    """Puts the replacements below in their places in moto."""
    from moto.organizations.models import FakeDelegatedAdministrator, FakeServiceAccess
    from moto.s3.models import FakeBucket
    from moto.s3.responses import S3Response

    replacements: tuple[tuple[Any, str, Any], ...] = (
        # moto knows of six services that can have a delegated administrator, and lacks that of StackSets.
        (FakeDelegatedAdministrator, "supported_service", staticmethod(FakeServiceAccess.trusted_service)),
        (FakeBucket, "get_permission", _already_decided),
        (S3Response, "_get_checksum", _checksum),
    )
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)


def _already_decided(*_: Any) -> Any:
    """``services/s3.py`` decides: moto ignores conditions, so that "deny what is not TLS" would deny everything."""
    from moto.iam.access_control import PermissionResult

    return PermissionResult.PERMITTED


def _checksum(response: Any, response_headers: dict[str, Any]) -> tuple[str, str | None]:
    """The checksum of an upload: moto keeps one only with its algorithm header, and never compares it with the content.

    Raises:
        S3ClientError: ``BadDigest``, the content is not what the caller's checksum says.
    """
    from moto.s3.exceptions import S3ClientError
    from moto.s3.utils import compute_checksum

    headers = response.headers
    declared = str(headers.get("x-amz-sdk-checksum-algorithm", "")).upper()
    given = next(((m[1].upper(), v) for k, v in headers.items() if (m := CHECKSUM_HEADER.fullmatch(k))), None)
    trailer = TRAILER.search(response.raw_body[-512:]) if headers.get("x-amz-trailer") else None
    if given is None and trailer:
        given = (trailer[1].decode().upper(), trailer[2].decode())
    if given is None and not declared:
        return "", None
    algorithm = given[0] if given else declared
    compute: Callable[..., bytes] = compute_checksum
    value = compute(response.body or b"", algorithm=algorithm).decode()
    if given and algorithm in UNVERIFIED:
        value = given[1]
    if given and given[1] != value:
        problem = "is not valid base64" if not _is_base64(given[1]) else "did not match what we received"
        raise S3ClientError("BadDigest", f"The {algorithm} you specified {problem}.")
    response_headers[f"x-amz-checksum-{algorithm.lower()}"] = value
    return algorithm, value


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
