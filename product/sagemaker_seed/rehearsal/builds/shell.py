"""One shell that all commands of a build run in, so that what one sets the next one sees. Knows nothing of buildspecs.

The shell reads the name of a file with the next command from a pipe, sources it, leaves its environment and working
directory in files, and writes the exit status to another pipe. A command that ends the shell (``exit``, or a failure
after ``set -e``) has failed with the shell's status; what comes after it has a new shell with what was left last.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from ..jobs.failure import StepStopped
from ..jobs.workshop import Ending, Machine, Workshop
from .failure import BuildTimedOut

POLL_SECONDS = 0.02
CLOSE_SECONDS = 2.0
# A program that a command has installed is found by the next, even if another of its name has run before. What the
# loop itself does is kept out of the log, even where a command has switched tracing on.
LOOP = """
while IFS= read -r __command < {next}; do
  . "$__command"
  {{ __status=$?; hash -r; {env} -0 > {variables}; pwd > {directory}; echo "$__status" > {done}; }} 2> /dev/null
done
"""
OWN_VARIABLES = {"_", "PWD", "OLDPWD", "SHLVL", "BASH_EXECUTION_STRING"}


class Shell:
    """The shell of a build; nothing is started before the first command.

    Args:
        workshop: where child processes run.
        program: the shell's name or path.
        folder: the shell's own, outside of what the build sees as its source.
        log: the file that everything is printed to.
        stop: ends the command that runs.
        deadline: the same by the clock of ``time.monotonic``.

    Attributes:
        variables: the environment that the last command left.
        directory: the working directory that it left.
    """

    def __init__(
        self,
        workshop: Workshop,
        program: str,
        *,
        folder: Path,
        log: Path,
        stop: threading.Event,
        deadline: float,
        variables: Mapping[str, str],
        directory: Path,
    ) -> None:
        self.variables, self.directory = dict(variables), directory
        self._workshop, self._program, self._log = workshop, program, log
        self._stop, self._deadline = stop, deadline
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._ending: Ending | BaseException | None = None
        self._count = 0
        for pipe in ("next", "done"):
            os.mkfifo(folder / pipe)
        # Both ends in one descriptor: no open waits for the other side, and nothing that was written is lost.
        self._next = os.open(folder / "next", os.O_RDWR | os.O_NONBLOCK)
        self._done = os.open(folder / "done", os.O_RDWR | os.O_NONBLOCK)

    def run(self, command: str) -> int:
        """Runs a command; returns its exit status.

        Raises:
            StepStopped: the build was stopped.
            BuildTimedOut: the deadline has passed.
        """
        if self._stop.is_set():
            raise StepStopped
        self._count += 1
        file = self._folder / f"command-{self._count}"
        file.write_text(command + "\n", encoding="utf-8")
        if self._thread is None:
            self._start()
        os.write(self._next, f"{file}\n".encode())
        status = self._status()
        if status is None:
            return self._ended()
        self._remember()
        return status

    def export(self, **variables: str) -> None:
        """Sets environment variables for the commands that follow."""
        if self._thread is None:
            self.variables |= variables
        else:
            self.run("; ".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))

    def close(self) -> None:
        """Ends the shell and whatever a command has left running."""
        if self._thread is not None:
            file = self._folder / "exit"
            file.write_text("exit 0\n", encoding="utf-8")
            os.write(self._next, f"{file}\n".encode())
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                self._stop.set()
                self._thread.join()
            self._thread = None
        os.close(self._next)
        os.close(self._done)

    def _start(self) -> None:
        path = self.variables.get("PATH", os.defpath)
        program = shutil.which(self._program, path=path) or self._program
        places = {name: shlex.quote(str(self._folder / name)) for name in ("next", "done", "variables", "directory")}
        loop = LOOP.format(env=shlex.quote(shutil.which("env") or "/usr/bin/env"), **places)
        machine = Machine("shell", [program, "-c", loop], dict(self.variables), self.directory, self._log)
        seconds = max(0.0, self._deadline - time.monotonic())

        def work() -> None:
            try:
                self._ending = self._workshop.run([machine], self._stop, seconds)
            except BaseException as error:  # handed over to the thread of the build
                self._ending = error

        self._ending = None
        self._thread = threading.Thread(target=work, daemon=True, name="shell")
        self._thread.start()

    def _status(self) -> int | None:
        """The status that the shell reports; None if it has ended instead."""
        read = b""
        while not read.endswith(b"\n"):
            alive = self._thread is not None and self._thread.is_alive()
            if select.select([self._done], [], [], POLL_SECONDS)[0]:
                read += os.read(self._done, 64)
            elif not alive:
                return None
        return int(read)

    def _ended(self) -> int:
        self._thread = None
        ending = self._ending
        if isinstance(ending, BaseException):
            raise ending
        if ending is None or ending.timed_out:
            raise BuildTimedOut
        code = ending.codes["shell"]
        # A shell that a command ended with "exit 0" has run nothing of what came after it in that command; on AWS too.
        return code if code >= 0 else 128 - code

    def _remember(self) -> None:
        entries = (self._folder / "variables").read_bytes().decode(errors="surrogateescape").split("\0")
        pairs = (entry.partition("=") for entry in entries if "=" in entry)
        self.variables = {name: value for name, _, value in pairs if name not in OWN_VARIABLES}
        left = Path((self._folder / "directory").read_text(errors="surrogateescape").rstrip("\n"))
        if left.is_dir():
            self.directory = left
