"""How a script of a step ends badly: one line for people, in the log and in the failure file; no AWS."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# Where SageMaker reads why a job failed, below /opt/ml: the exit message of a processing job, the failure
# reason of a training job. It shows the first 1024 characters.
PROCESSING = Path("output/message")
TRAINING = Path("output/failure")
_SHOWN = 1024


class ScriptError(Exception):
    """An outcome that ends the script; the message is one line for people."""

    exit_code = 1


class DataError(ScriptError):
    """The data, or a model, breaks a rule; the message names the file or the column, and the rule."""


class ClusterError(ScriptError):
    """The hosts of a training job did not find or lost one another, or disagree."""


class UsageError(ScriptError):
    """The arguments or the environment are wrong: nothing was tried."""

    exit_code = 2


class Parser(argparse.ArgumentParser):
    """Arguments whose mistakes end like every other failure, in one line; abbreviations are refused."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError in place of printing the usage."""
        raise UsageError(message)


def base() -> Path:
    """Return the folder that SageMaker mounts as /opt/ml."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def run(main: Callable[[list[str]], None], failure_file: Path) -> int:
    """Run a script with the arguments of the command line and return its exit code.

    Bad input costs one line on standard error. A defect of the script itself also shows its traceback there.
    In both cases the line goes to `failure_file` below the base folder.
    """
    try:
        main(sys.argv[1:])
    except ScriptError as error:
        return _tell(" ".join(str(error).split()), failure_file, error.exit_code)
    except Exception as error:
        traceback.print_exc()
        line = " ".join(str(error).split())
        return _tell(f"unexpected {type(error).__name__}: {line}", failure_file, ScriptError.exit_code)
    return 0


def _tell(line: str, failure_file: Path, exit_code: int) -> int:
    sys.stdout.flush()
    print(line, file=sys.stderr)
    path = base() / failure_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line[:_SHOWN], encoding="utf-8")
    except OSError as error:
        print(f"{path}: the failure could not be written down: {error.strerror}", file=sys.stderr)
    return exit_code
