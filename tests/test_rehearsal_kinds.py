"""Every kind of inference through a strict rehearsal: deployed, tested, approved, serving, with what it may."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.road.journey import Options, Silent
from sagemaker_seed.rehearsal.road.walk import walk

pytestmark = pytest.mark.slow
# What serves in production, and which checks of the endpoint's test make no sense.
KINDS = {
    "serverless": ("InService", set()),
    "asynchronous": ("InService", {"latency"}),
    "batch": ("ENABLED", {"latency", "bad input", "healthy-after-bad-input", "payload flowers.json"}),
}
ALWAYS_SKIPPED = {"comparison-with-next-stage"}
# Statements of stored-inference.yaml that no rehearsal needs, and why.
NOT_NEEDED = {
    ("bucket policy", "TlsOnly"): "it lets nobody in; test_embedded_access_resources.py has what it keeps out",
    ("inference-tests", "AnswersAreAwaited"): "S3 here says of what is not there that it is not there, to everybody",
    ("inference-tests", "KeysOfAnswers"): "for stages that encrypt with a key of their own; the default answers do not",
    (
        "inference-models",
        "KeysOfAnswers",
    ): "for stages that encrypt with a key of their own; the default answers do not",
    ("inference-models", "Topics"): "for stages that name topics; the default answers do not",
}


@pytest.fixture(scope="module", params=KINDS)
def road(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The kind, and what a rehearsal of it leaves."""
    folder = tmp_path_factory.mktemp(request.param)
    options = Options(None, (f"inference={request.param}",), folder, strict=True, page=folder / "rehearsal.html")
    return request.param, walk(options, Silent())


NEEDED: set[tuple[str, str]] = set()


def test_both_stages_serve_the_approved_model_and_were_tested(road: tuple[str, dict[str, Any]]) -> None:
    kind, left = road
    status, skipped = KINDS[kind]
    assert left["endpoints"]["production"]["status"] == status
    assert {endpoint["package"].rpartition("/")[2] for endpoint in left["endpoints"].values()} == {"1"}
    assert len(left["tests"]) == 2
    for test in left["tests"]:
        checks = {check["name"].partition(": ")[0]: check["outcome"] for check in test["checks"]}
        assert test["outcome"] == "passed"
        assert {name for name, outcome in checks.items() if outcome == "skipped"} - ALWAYS_SKIPPED == skipped
        assert checks["payload flowers.csv"] == checks["runs-the-configuration-of-the-build"] == "passed"


def test_a_schedule_starts_its_job_and_the_answers_are_there(road: tuple[str, dict[str, Any]]) -> None:
    kind, left = road
    (lines,) = (step["lines"] for step in left["steps"] if step["name"] == "production")
    started = [line for line in lines if re.search(r" started p-\S+: [\d,]+ bytes of answers for flowers\.csv", line)]
    assert len(started) == (kind == "batch"), lines


def test_every_statement_for_it_is_needed_or_it_is_said_why_not(road: tuple[str, dict[str, Any]]) -> None:
    kind, left = road
    assert left["refusals"] == []
    mine = [grant for grant in left["grants"] if grant["template"] == "stored-inference"]
    assert bool(mine) == (kind != "serverless")
    NEEDED.update(name(grant) for grant in mine if grant["needed"])
    if kind == "batch":  # the last of the two that share the template
        assert {name(grant) for grant in mine} - NEEDED == set(NOT_NEEDED)


def name(grant: dict[str, Any]) -> tuple[str, str]:
    """Policy and statement."""
    return grant["policy"].removeprefix("sagemaker-seed-"), grant["statement"]


def test_the_page_shows_it(road: tuple[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    kind, _ = road
    pages = Path(tmp_path_factory.getbasetemp()).glob(f"{kind}[0-9]*/rehearsal.html")
    assert any(f'<span class="good">{KINDS[kind][0]}</span>' in page.read_text() for page in pages)
