"""CodeBuild: projects, builds that really run, and their reports. Everything of it is ours; see ``builds`` for how."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..ground import Ground
from ..wire import Request
from . import codebuild_reports
from .codebuild_builds import Builds
from .codebuild_projects import Projects
from .codebuild_store import Answer, Parameters, Store
from .service import Operation, Service

Act = Callable[[Store, Request, Parameters], Answer]


def service(ground: Ground) -> Service:
    """CodeBuild, with state of its own for each server, account and region."""
    stores: dict[tuple[str, str], Store] = {}
    lock = threading.Lock()
    acts = {**Projects(ground).operations, **Builds(ground).operations, **codebuild_reports.operations()}

    def operation(act: Act) -> Operation:
        def answer(request: Request) -> Answer:
            where = (request.caller.account, request.region)
            with lock:
                store = stores.setdefault(where, Store(*where, request.partition))
            with store.lock:
                return act(store, request, request.parameters())

        return answer

    return Service(name="codebuild", operations={name: operation(act) for name, act in acts.items()}, complete=True)
