"""The roles that SageMaker assumes to do what a pipeline and its jobs do. Decides nothing of what they may do."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ..wire import AwsError
from .failure import client_error
from .storage import Aws

if TYPE_CHECKING:
    from ..ground import Ground

PRINCIPAL = "sagemaker.amazonaws.com"
SESSION = "SageMaker"
# Steps that follow one another share a session; a change of who may assume the role is seen by the next one.
KEPT_SECONDS = 5.0


class Roles:
    """The sessions of the roles of one account in one region."""

    def __init__(self, ground: Ground, account: str, region: str) -> None:
        self._ground, self._account, self._region = ground, account, region
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, Aws]] = {}

    def acting(self, role: str) -> Aws:
        """AWS as a session of the role sees it.

        Raises:
            StepFailure: there is no such role in the account, or SageMaker may not assume it.
        """
        with self._lock:
            since, aws = self._sessions.get(role, (0.0, None))
            if aws is None or time.monotonic() - since > KEPT_SECONDS:
                aws = self._assumed(role)
                self._sessions[role] = time.monotonic(), aws
            return aws

    def _assumed(self, role: str) -> Aws:
        try:
            actor = self._ground.role(role, PRINCIPAL, SESSION)
        except AwsError as error:
            why = error.message
        else:
            if actor.account == self._account:
                return Aws(self._ground, actor, self._region)
            why = f"it is not in account {self._account}"
        raise client_error(
            f"Could not assume role {role}. Please ensure that the role exists and allows principal '{PRINCIPAL}' to "
            f"assume the role. ({why})"
        )
