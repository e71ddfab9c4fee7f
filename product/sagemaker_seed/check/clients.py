"""The clients that a check reads with, made when one is asked for. The check itself gets them and makes none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from ..errors import BadInput


def clients(region: str, profile: str | None = None) -> Callable[[str], Any]:
    """Clients by the service's name, with the current credentials or those of a named profile.

    Raises:
        BadInput: there is no such profile.
    """
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    session = botocore.session.Session(profile=profile)
    try:
        session.register_component("data_loader", _models(session.get_config_variable("data_path")))
        session.get_credentials()
    except ProfileNotFound as error:
        raise BadInput(f"--profile: {error}; `aws configure list-profiles` shows those there are") from None
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})
    made: dict[str, Any] = {}
    lock = threading.Lock()  # making clients from one session is not thread-safe

    def client(service: str) -> Any:
        with lock:
            if service not in made:
                made[service] = session.create_client(service, region_name=region, config=config)
            return made[service]

    return client


@cache
def _models(data_path: str | None) -> Any:
    """What botocore knows of services, read once for all sessions: a check of three accounts has three."""
    from botocore.loaders import create_loader

    return create_loader(data_path)
