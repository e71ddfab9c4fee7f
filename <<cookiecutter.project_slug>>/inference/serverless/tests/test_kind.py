"""What the stage files of a serverless endpoint may say."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT

import build
from deploy.parameters import read_parameters
from deploy.stages import StageFile, stage_problems

DECLARED = read_parameters((ROOT / build.TEMPLATE).read_text(encoding="utf-8"), build.TEMPLATE)[0]
NEEDED: dict[str, Any] = {}


def problems_of(parameters: dict[str, Any]) -> list[str]:
    stage = StageFile("prod.json", {**NEEDED, **parameters})
    return [str(problem) for problem in stage_problems(stage, DECLARED, build.instance_types())]


@pytest.mark.parametrize(
    "parameters",
    [
        {"ServerlessMemoryMB": 6144, "ServerlessMaxConcurrency": 200},
        {"ServerlessMaxConcurrency": 3, "ServerlessProvisionedConcurrency": 3},
    ],
)
def test_takes(parameters: dict[str, Any]) -> None:
    assert problems_of(parameters) == []


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"ServerlessMemoryMB": 1500}, "must be one of 1024"),
        ({"ServerlessMaxConcurrency": 201}, "at most 200"),
        (
            {"ServerlessMaxConcurrency": 3, "ServerlessProvisionedConcurrency": 4},
            "at most ServerlessMaxConcurrency",
        ),
        ({"EndpointInstanceType": "ml.m5.large"}, "is not a parameter of the endpoint template"),
        ({"SubnetIds": ["subnet-0123abcd"]}, "is not a parameter of the endpoint template"),
    ],
)
def test_refuses(parameters: dict[str, Any], rule: str) -> None:
    (problem,) = problems_of(parameters)
    assert rule in problem
