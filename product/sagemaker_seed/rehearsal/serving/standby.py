"""A process that waits for its model: XGBoost takes most of a start to import, and that can be done before.

One stands by at a time, from the first model that is served on: who serves none has none. It becomes a model's process
as if it had been started for it (see program.py); where it cannot, it starts itself anew.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from ..jobs import container
from ..jobs.workshop import Machine, Running, Workshop

PROGRAM = Path(__file__).with_name("program.py")
# One core's worth of an instance: endpoints side by side share this machine, and a waiting thread must not spin.
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
ANSWER_SECONDS = 60.0
UNDERSTOOD = b"!"
COMMAND = (sys.executable, "-P", str(PROGRAM))


@dataclass(frozen=True)
class _Waiting:
    running: Running
    door: socket.socket


class Standby:
    """Starts the processes of models, for one workshop."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self._waiting: _Waiting | None = None
        self._lock = threading.Lock()

    def start(self, machine: Machine, listener: socket.socket, model: Path) -> Running:
        """A process that serves the model in a folder on a socket that listens; ``machine`` has no command.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if waiting.running.code is None and _told(waiting, machine, listener, model):
                return waiting.running
            waiting.running.stop()
        words = [*COMMAND, str(listener.fileno()), str(model)]
        machine = Machine(machine.name, words, machine.environment, machine.folder, machine.log)
        return self.workshop.start(machine, [listener.fileno()])

    def prepare(self) -> None:
        """Lets one stand by for the next model, if none does."""
        with self._lock:
            if self._waiting is None:
                ours, theirs = socket.socketpair()
                with theirs:
                    self._waiting = _Waiting(self._started(theirs.fileno()), ours)

    def _started(self, door: int) -> Running:
        folder = self.workshop.folder(f"standby-{secrets.token_hex(4)}")
        environment = {"PATH": container.search_path(), **container.PYTHON, **THREADS}
        machine = Machine("standby", [*COMMAND, "--standby", str(door)], environment, folder, folder / "log")
        return self.workshop.start(machine, [door])


def _told(waiting: _Waiting, machine: Machine, listener: socket.socket, model: Path) -> bool:
    """Tells the process what to be; whether it has understood, for it may be about to die."""
    order = {"folder": str(machine.folder), "environment": dict(machine.environment), "model": str(model)}
    try:
        with waiting.door as door, machine.log.open("ab") as log:
            socket.send_fds(door, [b"\n"], [log.fileno(), listener.fileno()])
            door.sendall(json.dumps(order).encode())
            door.shutdown(socket.SHUT_WR)
            door.settimeout(ANSWER_SECONDS)
            return door.recv(1) == UNDERSTOOD
    except OSError:
        return False
