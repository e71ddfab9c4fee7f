"""Where jobs run: a folder for each, child processes, and a limit on how many at once. Knows nothing of SageMaker.

A second process, the warden, holds the end of a pipe from this one. When that pipe closes, in whatever way this
process ended, the warden kills every process group that was still registered and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .failure import StepStopped

FOLDER_VARIABLE = "SAGEMAKER_SEED_JOBS_FOLDER"
JOBS_AT_ONCE = 4
POLL_SECONDS = 0.01
GRACE_SECONDS = 2.0
CLOSE_SECONDS = 2.0
WARDEN = """
import os, shutil, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        continue
if len(sys.argv) > 1:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@dataclass(frozen=True)
class Machine:
    """One process to run: its name among the job's, command, environment, folder to start in, and file for its log."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path


@dataclass(frozen=True)
class Ending:
    """How a job's processes ended: exit codes by machine (negative: the signal), and whether time had run out."""

    codes: Mapping[str, int]
    timed_out: bool

    @property
    def first_failed(self) -> str | None:
        """The first machine that did not end with 0; one that failed by itself before one that was killed for it."""
        failed = [name for name, code in self.codes.items() if code]
        return min(failed, key=lambda name: self.codes[name] < 0) if failed else None


class Running:
    """A process that goes on until it is stopped."""

    def __init__(self, workshop: Workshop, child: subprocess.Popen[bytes]) -> None:
        self._workshop, self._child = workshop, child

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group."""
        return self._child.pid

    @property
    def code(self) -> int | None:
        """Its exit code once it has ended (negative: the signal), else None."""
        return self._child.poll()

    def stop(self) -> None:
        """Ends it and what it started, if it has not ended by itself."""
        self._workshop.end([self._child])


class Workshop:
    """The jobs' folder and processes of one server; nothing is made before the first job."""

    def __init__(self, slots: int = JOBS_AT_ONCE) -> None:
        self._slots = threading.BoundedSemaphore(slots)
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._kept = False
        self._warden: subprocess.Popen[str] | None = None

    def folder(self, job: str) -> Path:
        """A new folder for the job of this name."""
        with self._lock:
            if self._root is None:
                self._open()
            folder = Path(str(self._root)) / job
        folder.mkdir(parents=True)
        return folder

    def discard(self, folder: Path) -> None:
        """Removes the folder of a job that has ended, unless its place was chosen: then somebody wants to look."""
        if not self._kept:
            shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> None:
        kept = os.environ.get(FOLDER_VARIABLE)
        if kept:
            self._kept, self._root = True, Path(kept).resolve()
            self._root.mkdir(parents=True, exist_ok=True)
        else:
            self._root = Path(tempfile.mkdtemp(prefix="sagemaker-seed-jobs-"))
        arguments = [] if kept else [str(self._root)]
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WARDEN, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def close(self) -> None:
        """Kills what runs and removes the folder, unless its place was chosen; waits a little for that to be done."""
        with self._lock:
            if self._warden is not None and self._warden.stdin is not None:
                self._warden.stdin.close()
                try:
                    self._warden.wait(CLOSE_SECONDS)
                except subprocess.TimeoutExpired:
                    self._warden.kill()

    @contextmanager
    def slot(self, stop: threading.Event) -> Iterator[None]:
        """Waits for one of the places for jobs.

        Raises:
            StepStopped: ``stop`` was set meanwhile.
        """
        while not self._slots.acquire(timeout=0.1):
            if stop.is_set():
                raise StepStopped
        try:
            if stop.is_set():
                raise StepStopped
            yield
        finally:
            self._slots.release()

    def run(self, machines: Sequence[Machine], stop: threading.Event, seconds: float) -> Ending:
        """Runs the machines of one job side by side to their end; when one fails, the others are ended too.

        Raises:
            StepStopped: ``stop`` was set; nothing runs any more.
            OSError: a command cannot be started; nothing runs any more.
        """
        running: dict[str, subprocess.Popen[bytes]] = {}
        deadline, timed_out = time.monotonic() + seconds, False
        try:
            for machine in machines:
                running[machine.name] = self._start(machine)
            while any(child.poll() is None for child in running.values()):
                timed_out = time.monotonic() > deadline
                if stop.is_set() or timed_out or any(child.poll() for child in running.values()):
                    break
                time.sleep(POLL_SECONDS)
        finally:
            self.end(list(running.values()))
        if stop.is_set():
            raise StepStopped
        return Ending({name: child.returncode for name, child in running.items()}, timed_out)

    def start(self, machine: Machine, hand_over: Sequence[int] = ()) -> Running:
        """Starts a process that takes no place among the jobs; it keeps the file descriptors ``hand_over``.

        Raises:
            OSError: its command cannot be started.
        """
        return Running(self, self._start(machine, hand_over))

    def _start(self, machine: Machine, hand_over: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        with machine.log.open("ab") as log:
            child = subprocess.Popen(
                list(machine.command),
                cwd=machine.folder,
                env=dict(machine.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(hand_over),
            )
        self._tell("+", child.pid)
        return child

    def end(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        """Asks what still runs to end, and after a while kills it; what a child left behind is killed at once."""
        waiting = [child for child in children if child.poll() is None]
        for child in waiting:
            _signal(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.poll() is None for child in waiting) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for child in children:
            _signal(child.pid, signal.SIGKILL)
            child.wait()
            self._tell("-", child.pid)

    def _tell(self, act: str, pid: int) -> None:
        with self._lock:
            if self._warden is not None and self._warden.stdin is not None and not self._warden.stdin.closed:
                self._warden.stdin.write(f"{act}{pid}\n")
                self._warden.stdin.flush()


def _signal(group: int, number: signal.Signals) -> None:
    """Signals a process group; that there is none left is what was wanted."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
