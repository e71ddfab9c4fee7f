"""What tests share: rendered projects, environments without AWS settings, embedded accounts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.hooks import OVERRIDE
from sagemaker_seed.publish.clients import Clients
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

ROOT = Path(__file__).parent.parent
REGION = "eu-west-1"


@dataclass(frozen=True)
class BakedProject:
    """A rendered seed repository."""

    path: Path

    def files(self) -> set[str]:
        """Every file in it, except the bundle that the hook wrote."""
        found = {p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file()}
        return {name for name in found if not name.startswith("dist/")}

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in it, in an environment without AWS settings and without this test run's own."""
        return subprocess.run(
            command, cwd=self.path, env={**clean_environment(), **env}, capture_output=True, text=True, check=False
        )


def clean_environment() -> dict[str, str]:
    """The environment without what could reach AWS or belongs to this test run."""
    leaks = (
        "AWS_",
        "PYTEST_",
        "VIRTUAL_ENV",
        "PYTHON",
        "SAGEMAKER_",
        "CODEBUILD_",
        "EXPORT_",
        "ARTIFACT_",
        "COMMIT_ID",
        "SOURCE_MODEL_",
        "NOTEBOOK_",
        "BUILD_",
        "MAKE",
        "MFLAGS",
    )
    return {k: v for k, v in os.environ.items() if not k.startswith(leaks) or k == "AWS_CA_BUNDLE"}


@dataclass(frozen=True)
class Account:
    """An account of the embedded AWS with a catalog in it."""

    aws: EmbeddedAws
    id: str
    bucket: str

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of the account."""
        return self.aws.client(service, account=self.id, region=region)

    def clients(self, region: str | None = None) -> Clients:
        """The publisher's clients."""
        return Clients(*(self.client(service, region) for service in ("s3", "servicecatalog", "sts")))


def cookiecutter(
    *words: str, publishes: bool = False, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the cookiecutter command as a person does, with nothing of this test run in its environment.

    Args:
        publishes: leave publishing to the answers; otherwise nothing is published.
    """
    quiet = {} if publishes else {OVERRIDE: "nowhere"}
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", *words],
        cwd=cwd,
        env={**clean_environment(), **quiet, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def git(folder: Path, *words: str) -> None:
    """Runs git in a folder, as somebody, and fails the test when git does."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def tracked(folder: Path) -> list[str]:
    """The files below a folder of this checkout that git tracks or would, relative to it."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=folder, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in listed if name and (folder / name).exists()]


def as_git_repository(target: Path) -> Path:
    """This checkout, with what is not committed yet, as a git repository of one commit on main."""
    for name in tracked(ROOT):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    git(target, "init", "--initial-branch=main")
    git(target, "add", "--all")
    git(target, "commit", "--message", "all of it")
    return target


def slow_after(kept: int, cases: Iterable[Any]) -> list[Any]:
    """The cases of a test's parameters; the fast tests take only the first `kept` of them."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, marks=[pytest.mark.slow] if at >= kept else []) for at, case in enumerate(values)]
