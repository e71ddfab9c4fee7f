"""Calls of CodeBuild's API that no SDK has: those that the build agent makes for reports, as the build's role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .failure import CLIENT_ERROR, BuildFailure

if TYPE_CHECKING:
    from ..ground import Actor, Ground

TARGET = "CodeBuild_20161006"


def call(ground: Ground, actor: Actor, region: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Makes the call, signed like any other; there is no model of an answer, and so none.

    Raises:
        BuildFailure: it is refused.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.httpsession import URLLib3Session

    from ..ground import SECRET

    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{TARGET}.{operation}"}
    request = AWSRequest("POST", f"{ground.url}/", headers=headers, data=json.dumps(parameters).encode())
    SigV4Auth(Credentials(actor.key, SECRET, actor.token), "codebuild", region).add_auth(request)
    response = URLLib3Session(proxies={}).send(request.prepare())
    if response.status_code != 200:
        said = json.loads(response.content or b"{}")
        reason = said.get("message") or said.get("Message") or str(said)
        raise BuildFailure(CLIENT_ERROR, f"Error in UPLOAD_ARTIFACTS phase: {operation}: {reason}")
