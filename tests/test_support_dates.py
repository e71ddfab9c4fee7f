"""The images that the project names are still supported: these tests turn red when it is time to move on."""

from __future__ import annotations

import datetime
import json

from sagemaker_seed.check.images import CODEBUILD_PYTHON, XGBOOST_UNTIL
from sagemaker_seed.publish.release import read_template
from sagemaker_seed.resources import product_template
from support import ROOT

SEED = ROOT / "<<cookiecutter.project_slug>>"


def test_the_xgboost_image_is_supported() -> None:
    version = json.loads((SEED / "training/settings.json").read_text())["image"]["version"]
    until = XGBOOST_UNTIL[version]
    assert datetime.datetime.now(tz=datetime.UTC).date() <= until, (
        f"sagemaker-xgboost:{version} had its last patch on {until}: raise image.version in training/settings.json"
    )


def test_the_codebuild_image_is_maintained_and_has_our_python() -> None:
    image = read_template(product_template().read_text(), "project.yaml")["Mappings"]["Build"]["Environment"]["Image"]
    runtimes = CODEBUILD_PYTHON[image]
    for buildspec in sorted(SEED.rglob("buildspec.yml")):
        (line,) = (line for line in buildspec.read_text().splitlines() if line.strip().startswith("python: "))
        assert line.split('"')[1] in runtimes, buildspec
