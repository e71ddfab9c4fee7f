"""The commands of the seed's README that install what is large, as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from seed_support import by_hand
from seed_support.baking import bake, scrubbed

pytestmark = pytest.mark.slow


def test_a_person_prints_the_definition_and_trains_a_model(tmp_path: Path) -> None:
    repository = bake(tmp_path)
    with by_hand.account() as aws:
        environment = by_hand.environment(aws)
        nowhere = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        printed = by_hand.make(repository, "definition", nowhere)
        names = {step["Name"] for step in json.loads(printed[printed.index("\n{") :])["Steps"]}
        assert {"Preprocess", "Train", "Evaluate", "CheckQuality"} <= names
        said = by_hand.make(repository, "train", environment)
        assert said.rstrip().endswith(": Succeeded")
        assert by_hand.approvals(aws) == ["PendingManualApproval"]


def test_a_person_scans_as_the_gate_does(tmp_path: Path) -> None:
    said = by_hand.make(bake(tmp_path), "scan", scrubbed())
    assert said.rstrip().endswith("0 findings, 0 accepted, in cfn-sm-endpoint-template.yml")
