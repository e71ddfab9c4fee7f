"""Checks that moto is the very version this was written against, and replaces in it what it gets wrong. Not a service.

Whatever else the embedded AWS takes from moto's inside is listed too, so that another moto is refused at the start, by
name, rather than found out in the middle of a rehearsal.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# module -> names that the embedded AWS calls or replaces
RELIED_ON = {
    "moto.backends": ("list_of_moto_modules",),
    "moto.cloudformation.parsing": ("get_model_map", "NULL_MODELS"),
    "moto.core.exceptions": ("ServiceException",),
    "moto.core.model": ("OperationModel", "ServiceModel"),
    "moto.core.parse": ("PROTOCOL_PARSERS",),
    "moto.core.request": ("determine_request_protocol",),
    "moto.core.routing": ("get_service_router",),
    "moto.core.serialize": ("XFormedAttributePicker", "get_serializer_class"),
    "moto.core.utils": ("get_service_model",),
    "moto.iam.access_control": ("PermissionResult.PERMITTED",),
    "moto.iam.models": ("iam_backends", "IAMBackend.get_role_by_arn"),
    "moto.moto_server.werkzeug_app": (
        "BackendRequest",
        "DomainDispatcherApplication",
        "MotoRequestHandler",
        "create_backend_app",
    ),
    "moto.s3.models": (
        "FakeBucket.get_permission",
        "S3Backend.get_object",
        "s3_backends",
        "s3_backends.bucket_accounts",
    ),
    "moto.s3.responses": ("S3Response._get_checksum", "S3Response.setup_class"),
    "moto.s3.utils": ("compute_checksum",),
    "moto.utilities.utils": ("get_partition",),
}
# Takes a second to import, and the first stack will: until then it is enough to see that the names are in its file.
LOOKED_UP_ONLY = {"moto.cloudformation.parsing"}
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
    if module in LOOKED_UP_ONLY:
        return _source_defines(module, name)
    try:
        value: Any = import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError):
        return False
    return True


def _source_defines(module: str, name: str) -> bool:
    """Whether a module's file defines ``name`` at its top level; nothing is imported but moto itself."""
    import moto

    path = Path(moto.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    return path.is_file() and bool(re.search(rf"^(def {name}\(|{name}\b.*=)", path.read_text(), re.MULTILINE))


def apply() -> None:
    """Puts the replacements below in their places in moto."""
    from moto.s3.models import FakeBucket
    from moto.s3.responses import S3Response

    replacements: tuple[tuple[Any, str, Any], ...] = (
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
