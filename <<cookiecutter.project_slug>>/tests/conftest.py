"""What the tests share: a valid environment of a build, a client of boto3 whose answers the test writes."""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from build import TEMPLATE
from deploy.parameters import read_parameters
from deploy.settings import LAYOUTS, Answers

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "111111111111"
STAGING_ACCOUNT = "222222222222"
PROD_ACCOUNT = "333333333333"
GROUP = "iris-p-0123456789ab"
GROUP_ARN = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package-group/{GROUP}"
PACKAGE_ARN = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/{GROUP}/7"
# Most tests are about two stages, also where the repository itself was made for three.
TWO = Answers(LAYOUTS["two"], "cloudformation")


def pytest_collection_finish() -> None:
    """Spare the modules and the tests themselves from being looked through after every few tests."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def no_credentials() -> Iterator[None]:
    """No test may reach AWS, whatever the machine it runs on is signed in to."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        }.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def environment() -> dict[str, str]:
    return {
        "SAGEMAKER_PROJECT_NAME": "iris",
        "SAGEMAKER_PROJECT_ID": "p-0123456789ab",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
        "SAGEMAKER_EXECUTION_ROLE_STAGING_NAME": "seed/model",
        "SAGEMAKER_EXECUTION_ROLE_PROD_NAME": "/seed/model-prod",
        "ACCOUNT_STAGING_ID": STAGING_ACCOUNT,
        "ACCOUNT_PROD_ID": PROD_ACCOUNT,
        "AWS_REGION": "eu-west-1",
    }


@pytest.fixture
def training_environment() -> dict[str, str]:
    """Return what a build of the train pipeline is told."""
    return {
        "SAGEMAKER_PROJECT_NAME": "iris",
        "SAGEMAKER_PROJECT_ID": "p-0123456789ab",
        "ARTIFACT_BUCKET": "artifacts",
        "ARTIFACT_KEY_ARN": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0a",
        "SAGEMAKER_PIPELINE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/seed/training",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
        "AWS_REGION": "eu-west-1",
    }


Stub = Callable[[str], tuple[Any, Stubber]]


@functools.cache
def _client(service: str) -> Any:
    """Return the one client of a service: to make one takes longer than most tests."""
    return boto3.client(service, region_name="eu-west-1")  # type: ignore[call-overload]


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Return a function that makes a client and its stubber, which also checks every request against the API.

    At the end of the test every answer that was prepared must have been asked for.
    """
    made: list[Stubber] = []

    def make(service: str = "sagemaker") -> tuple[Any, Stubber]:
        client = _client(service)
        stubber = Stubber(client)
        stubber.activate()
        made.append(stubber)
        return client, stubber

    yield make
    for stubber in made:
        stubber.deactivate()
        stubber.assert_no_pending_responses()


@pytest.fixture
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a build of two stages reads, free to be changed."""
    return copied(tmp_path_factory.mktemp("repositories") / "two", "two")


# Not what the team has written into its stage files: what is wrong there is the matter of one test alone.
STAGE_FILE = {
    "EndpointInstanceType": "ml.m5.large",
    "EndpointInstanceCount": 2,
    "UpdatePolicy": "CANARY",
    "TransformInstanceType": "ml.m5.large",
}


@functools.cache
def _declared(template: str) -> frozenset[str]:
    return frozenset(read_parameters(template, TEMPLATE)[0])


def copied(folder: Path, layout: str) -> Path:
    """Write what a build reads into a folder; its stages are those of `layout`."""
    folder.mkdir()
    template = (ROOT / TEMPLATE).read_text(encoding="utf-8")
    (folder / TEMPLATE).write_text(template)
    declared = _declared(template)
    content = {"Parameters": {name: value for name, value in STAGE_FILE.items() if name in declared}}
    for stage in LAYOUTS[layout]:
        (folder / f"{stage}-config-template.json").write_text(json.dumps(content))
    answers = {"stages": layout, "deploy_target": TWO.target}
    (folder / "seed.json").write_text(json.dumps({"answers": answers}))
    return folder


class Scripts:
    """The modules of training/ as the containers import them: as siblings."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripts]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    yield Scripts()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(ROOT / "training" / f"{name}.py"):
            del sys.modules[name]
