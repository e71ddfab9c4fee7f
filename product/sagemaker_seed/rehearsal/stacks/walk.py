"""Does one thing for each node of a graph, in the order of its dependencies and side by side where they allow it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

AT_ONCE = 8
POLL_SECONDS = 0.05


def walk(
    dependencies: Mapping[str, Collection[str]],
    act: Callable[[str], bool],
    *,
    stop: Callable[[], bool] = lambda: False,
    go_on: bool = False,
) -> list[str]:
    """Calls ``act`` with each node after all that it depends on.

    Args:
        dependencies: node -> the nodes before it; names that are no nodes are ignored.
        act: says whether it succeeded; what depends on a failure is left out.
        stop: asked now and then; once it says yes, nothing new is begun.
        go_on: whether what does not depend on a failure is done all the same.

    Returns:
        The nodes for which it failed.
    """
    left = {name: {n for n in before if n in dependencies} for name, before in dependencies.items()}
    done: set[str] = set()
    failed: list[str] = []
    running: dict[Future[bool], str] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stack") as pool:
        while True:
            if not (stop() or (failed and not go_on)):
                for name in [name for name, before in left.items() if before <= done]:
                    del left[name]
                    running[pool.submit(act, name)] = name
            if not running:
                return failed
            for future in wait(running, POLL_SECONDS, FIRST_COMPLETED).done:
                name = running.pop(future)
                if future.result():
                    done.add(name)
                else:
                    failed.append(name)


def backwards(dependencies: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """The graph in which each node comes before what it depended on."""
    turned: dict[str, set[str]] = {name: set() for name in reversed(list(dependencies))}
    for name, before in dependencies.items():
        for other in before:
            if other in turned:
                turned[other].add(name)
    return turned
