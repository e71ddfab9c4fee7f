"""Lets the hosts of a training job work as one with XGBoost's collective; alone on one host it is a no-op."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from failures import ClusterError, DataError
from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

# How long the hosts look for one another: they start apart, and some read more data than others.
FINDING_SECONDS = 600
# How long a host waits for the others within one exchange.
EXCHANGE_SECONDS = 900
_PAUSE_SECONDS = 0.5
_PORT_SECONDS = 90
_FAREWELL_SECONDS = 15


@dataclass(frozen=True)
class Ring:
    """The hosts that train together, seen from one of them."""

    rank: int
    size: int
    is_first: bool
    """Whether this is the first of the hosts: the one that writes the model."""

    def all_of(self, text: str) -> list[str]:
        """Return what every host says, by rank; all hosts must call it."""
        if self.size == 1:
            return [text]
        return [
            str(collective.broadcast(text if self.rank == rank else "", rank)) for rank in range(self.size)
        ]

    def agree(self, problem: str) -> None:
        """Raise DataError on every host with the first problem that any of them has; empty is none."""
        for said in self.all_of(problem):
            if said:
                raise DataError(said)

    def must_be_equal(self, value: str, what: str) -> None:
        """Raise ClusterError on every host when they do not hold the same value."""
        said = self.all_of(value)
        if len(set(said)) > 1:
            raise ClusterError(f"the hosts differ in {what}: {', '.join(said)}")


@contextmanager
def joined(
    hosts: Sequence[str], current: str, port: int, finding_seconds: float = FINDING_SECONDS
) -> Iterator[Ring]:
    """Join the hosts, of which the first runs the tracker on `port`, for as long as the context lasts.

    Only the name of the first host must resolve. Raises ClusterError when the hosts do not find one another.
    """
    if len(hosts) == 1:
        yield Ring(rank=0, size=1, is_first=True)
        return
    deadline = time.monotonic() + finding_seconds
    address = _address(hosts[0], deadline)
    tracker = None
    if current == hosts[0]:
        tracker = _tracker(len(hosts), address, port, finding_seconds)
    try:
        with _communicator(address, port, hosts.index(current), deadline):
            yield Ring(collective.get_rank(), collective.get_world_size(), current == hosts[0])
    except XGBoostError as error:
        raise ClusterError(f"{current}: the hosts lost one another: {_cause(error)}") from error
    finally:
        if tracker is not None:
            _stop(tracker)


def _address(host: str, deadline: float) -> str:
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"the name of the first host, {host}, does not resolve: {error}") from None
            time.sleep(_PAUSE_SECONDS)


def _tracker(size: int, address: str, port: int, seconds: float) -> RabitTracker:
    # A port that has just been closed is taken for another minute; XGBoost does not ask for it all the same.
    deadline = time.monotonic() + min(seconds, _PORT_SECONDS)
    while True:
        try:
            tracker = RabitTracker(
                n_workers=size, host_ip=address, port=port, sortby="task", timeout=max(1, int(seconds))
            )
            tracker.start()
            return tracker
        except XGBoostError:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the tracker cannot listen on {address}:{port}: the port is taken"
                ) from None
            time.sleep(_PAUSE_SECONDS)


def _stop(tracker: RabitTracker) -> None:
    """Stop the tracker after the other hosts took leave of it: one that goes earlier makes them fail."""
    # Every host has its result, or its reason, by now: a tracker that complains changes neither.
    with suppress(XGBoostError):
        tracker.wait_for(timeout=_FAREWELL_SECONDS)
    with suppress(XGBoostError):
        tracker.free()


@contextmanager
def _communicator(address: str, port: int, task: int, deadline: float) -> Iterator[None]:
    """Try again until the tracker listens: a connection that only looks whether it does would confuse it."""
    arguments: dict[str, int | str | None] = {
        "dmlc_tracker_uri": address,
        "dmlc_tracker_port": port,
        # Ranks are dealt in the order of the tasks' names, so that the same host always has the same rank.
        "dmlc_task_id": f"{task:06d}",
        "dmlc_timeout": EXCHANGE_SECONDS,
        "dmlc_retry": 1,
    }
    while True:
        try:
            with warnings.catch_warnings():
                # It warns of every refused connection, and of none that matters: those it raises.
                warnings.simplefilter("ignore")
                collective.init(**arguments)
            break
        except XGBoostError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"the first host at {address}:{port} does not answer") from error
            time.sleep(_PAUSE_SECONDS)
    try:
        yield
    except BaseException:
        # The reason is on its way to people; that the farewell fails as well must not hide it.
        with suppress(XGBoostError):
            collective.finalize()
        raise
    collective.finalize()


def _cause(error: BaseException) -> str:
    text = str(error).partition("Stack trace")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
