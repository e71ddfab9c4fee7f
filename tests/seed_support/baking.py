"""Renders a seed repository without hooks, and runs its scripts as child processes; starts no server."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from support import ROOT, clean_environment

TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
REGION = "eu-west-1"
PROJECT = "iris"
PROJECT_ID = "p-0123456789ab"
GROUP = f"{PROJECT}-{PROJECT_ID}"


def bake(folder: Path, **answers: Any) -> Path:
    """Renders into `folder` and returns the seed repository; nothing is pruned, validated or published."""
    made = cookiecutter(
        str(ROOT), no_input=True, accept_hooks=False, output_dir=str(folder), extra_context=answers, default_config=True
    )
    return Path(made)


def scrubbed(**more: str) -> dict[str, str]:
    """The environment of a child without anything that could reach AWS or belongs to this test run."""
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {
        **clean_environment(),
        **nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def build_environment(account: str, **more: str) -> dict[str, str]:
    """What a build of the project is told; both stages are in `account`."""
    return {
        "SAGEMAKER_PROJECT_NAME": PROJECT,
        "SAGEMAKER_PROJECT_ID": PROJECT_ID,
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
        "SAGEMAKER_EXECUTION_ROLE_STAGING_NAME": "seed/model",
        "SAGEMAKER_EXECUTION_ROLE_PROD_NAME": "seed/model",
        "ACCOUNT_STAGING_ID": account,
        "ACCOUNT_PROD_ID": account,
        "AWS_REGION": REGION,
        **more,
    }


def run(repository: Path, script: str, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a script of the seed repository in it with `env` on top of a scrubbed environment."""
    return subprocess.run(
        [sys.executable, script, *words],
        cwd=repository,
        env=scrubbed(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run_build(repository: Path, *words: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any], str]:
    """Runs build.py --json; returns its exit code, what it printed on standard output, and on standard error."""
    done = run(repository, "build.py", "--json", *words, env=env)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def load_module(path: Path, name: str) -> ModuleType:
    """Loads a module of the template folder that imports nothing of the seed repository, and leaves no cache there."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
    return module
