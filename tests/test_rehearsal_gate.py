"""The security gate on the road: a finding in the files of one stage stops the pipeline before anything is deployed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sagemaker_seed.console import Console
from sagemaker_seed.errors import SeedError
from sagemaker_seed.rehearsal.rendering import render
from sagemaker_seed.rehearsal.road import walk as road
from sagemaker_seed.rehearsal.road.journey import Journey, Options


@pytest.mark.slow
def test_a_finding_stops_before_staging_and_names_rule_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = render([], tmp_path)
    config = seed / "prod-config-template.json"
    stage = json.loads(config.read_text())
    stage["Parameters"]["EnableNetworkIsolation"] = False
    config.write_text(json.dumps(stage))
    template = (seed / "cfn-sm-endpoint-template.yml").read_text().splitlines()
    line = next(number for number, text in enumerate(template, 1) if "EnableNetworkIsolation: !If" in text)
    endpoints: dict[str, int] = {}

    def keep(journey: Journey) -> None:
        for stage in ("staging", "production"):
            endpoints[stage] = len(journey.client("sagemaker", stage).list_endpoints()["Endpoints"])

    with pytest.raises(SeedError, match="-deploy: Security/Scan failed: "):
        road.walk(Options(seed=seed, answers=[], output=tmp_path), Console(), keep=keep)
    said = "MODEL_NETWORK Model: can reach the internet: isolate its network, or run it in a VPC"
    assert f"template-export.yml:{line}: {said}" in capsys.readouterr().out
    assert endpoints == {"staging": 0, "production": 0}
