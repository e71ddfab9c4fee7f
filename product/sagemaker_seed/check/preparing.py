"""Commands as the fixes of findings: they name the region, and the account if it is not that of the data scientists."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..accounts.names import STACKS
from ..resources import product_template
from .subject import Account


def deploy(home: Account, file: str, account: str = "", **parameters: str) -> str:
    """Deploys one of our templates, for the first time or again; a parameter that is not given stays as it is.

    Args:
        home: the data science account.
        account: that the template goes to, if not to that one.
    """
    whose = f"with the credentials of {account}: " if account not in {"", home.id} else ""
    words = ["aws", "cloudformation", "deploy", "--region", home.region, "--stack-name", STACKS[file]]
    words += ["--template-file", _path(file), "--capabilities", "CAPABILITY_NAMED_IAM"]
    words += ["--parameter-overrides"] if parameters else []
    return whose + shlex.join([*words, *(f"{name}={value}" for name, value in parameters.items())])


def aws(home: Account, words: str) -> str:
    """A command of the AWS CLI in the region that is looked at, which may be another than the shell's."""
    return f"aws {words} --region {home.region}"


def _path(file: str) -> str:
    """As short as it can be typed from here."""
    path = product_template(file).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
