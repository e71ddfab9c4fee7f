"""What every test may use: bakes that publish nowhere, an environment without AWS settings, embedded accounts."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from sagemaker_seed.hooks import OVERRIDE
from sagemaker_seed.rehearsal import catalog
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION, ROOT, Account, BakedProject, clean_environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests come first, so that no worker begins the longest of them when the others are done.

    A module stays whole (`--dist loadfile`): its tests may go on from one another, and its fixtures are made once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Lets nothing that tests import leave a cache: cookiecutter copies every file of the template folder.

    Until then caches are written: without them pytest rewrites all assertions anew in every run, for seconds.
    """
    sys.dont_write_bytecode = True


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test publishes by accident, or sees the credentials and the configuration of the person who runs it."""
    for name in set(os.environ) - set(clean_environment()) - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv(OVERRIDE, "nowhere")
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bake(cookies: Any) -> Callable[..., BakedProject]:
    """Renders the template with the given answers; the test fails when rendering does."""

    def bake(**answers: str) -> BakedProject:
        result = cookies.bake(extra_context=answers, template=str(ROOT))
        assert result.exception is None, result.exception
        return BakedProject(result.project_path)

    return bake


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """One embedded AWS for the whole run; tests keep apart by using accounts of their own."""
    with EmbeddedAws(region=REGION) as running:
        yield running


@pytest.fixture(scope="session")
def strict_aws() -> Iterator[EmbeddedAws]:
    """Another, in which what roles and users do must be allowed by policies."""
    with EmbeddedAws(region=REGION, strict=True) as running:
        yield running


_NUMBERS = itertools.count(1)

# The same examples in every run: a test that fails now and then helps nobody who is changing something else.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture
def account(aws: EmbeddedAws) -> Account:
    """A fresh account with a catalog."""
    number = f"{next(_NUMBERS):012d}"
    bucket = f"sagemaker-seed-{number}"
    catalog.set_up(aws, bucket, number)
    return Account(aws, number, bucket)
