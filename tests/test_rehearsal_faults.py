"""A rehearsal that is made to fail: what it says, how it ends, and what it leaves in the accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from road_support import lean
from sagemaker_seed import cli
from sagemaker_seed.console import Console
from sagemaker_seed.errors import SeedError
from sagemaker_seed.rehearsal.road import walk as road
from sagemaker_seed.rehearsal.road.after import AFTER
from sagemaker_seed.rehearsal.road.faults import FAULTS
from sagemaker_seed.rehearsal.road.journey import Journey, Options
from sagemaker_seed.rehearsal.road.models import served, short
from sagemaker_seed.rehearsal.road.stages import LAYOUTS

STAGES = [stage.name for stage in LAYOUTS["two"]]

OWN_FAULT = "This call was made to fail by the rehearsal."
AFTER_LAUNCH = {"launched": "CREATE_COMPLETE"}
NOTHING = {"staging": "", "production": ""}


@dataclass
class Left:
    """What was there when a rehearsal ended.

    Attributes:
        stacks: the status of the project's own stack (``launched``) and of the one in each stage; empty if none.
        serves: by stage, the version of the model behind the endpoint in service; empty if there is none.
        packages: how many models are registered.
        projects: the status of each SageMaker project.
        code: names of repositories, pipelines and rules.
    """

    stacks: dict[str, str] = field(default_factory=dict)
    serves: dict[str, str] = field(default_factory=dict)
    packages: int = 0
    projects: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


def look(journey: Journey) -> Left:
    """Looks around in the accounts while they are there."""
    stacks = journey.client("cloudformation").describe_stacks()["Stacks"]
    left = Left({"launched": next((s["StackStatus"] for s in stacks if s["StackName"].startswith("SC-")), "")})
    for stage in STAGES:
        stacks = journey.client("cloudformation", stage).describe_stacks()["Stacks"]
        left.stacks[stage] = ", ".join(
            s["StackStatus"] for s in stacks if s["StackName"] != "sagemaker-seed-target-account"
        )
        sagemaker = journey.client("sagemaker", stage)
        endpoints = sagemaker.list_endpoints()["Endpoints"]
        assert all(endpoint["EndpointStatus"] == "InService" for endpoint in endpoints)
        found = [short(served(sagemaker, endpoint["EndpointName"])) for endpoint in endpoints]
        left.serves[stage] = ", ".join(name.rpartition("/")[2] for name in found)
    sagemaker = journey.client("sagemaker")
    for group in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]:
        name = group["ModelPackageGroupName"]
        left.packages += len(sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"])
    left.projects = [project["ProjectStatus"] for project in sagemaker.list_projects()["ProjectSummaryList"]]
    left.code += [r["repositoryName"] for r in journey.client("codecommit").list_repositories()["repositories"]]
    left.code += [p["name"] for p in journey.client("codepipeline").list_pipelines()["pipelines"]]
    left.code += [r["Name"] for r in journey.client("events").list_rules()["Rules"]]
    return left


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lean(tmp_path_factory.mktemp("seed"))


# Fault -> what the error says where it failed, the statuses of the stacks, and the model that each stage serves.
EXPECTED: Mapping[str, tuple[tuple[str, ...], dict[str, str], dict[str, str]]] = {
    "launch": (
        ("the launch failed (CreateFailed): ", "(AWS::CodePipeline::Pipeline): ", OWN_FAULT),
        {"launched": "ROLLBACK_COMPLETE", **NOTHING},
        NOTHING,
    ),
    "train": (("no model was registered: ", "-train: Train/Train failed: "), {**AFTER_LAUNCH, **NOTHING}, NOTHING),
    "build": (("-deploy: Build/Build failed: ", OWN_FAULT), {**AFTER_LAUNCH, **NOTHING}, NOTHING),
    "staging": (
        ("-deploy: DeployStaging/Deploy failed: ", "ROLLBACK_COMPLETE. Endpoint (AWS::SageMaker::Endpoint)", OWN_FAULT),
        {**AFTER_LAUNCH, "staging": "ROLLBACK_COMPLETE", "production": ""},
        NOTHING,
    ),
    "staging-test": (
        ("-deploy: DeployStaging/Test failed: ", "python test/test.py"),
        {**AFTER_LAUNCH, "staging": "CREATE_COMPLETE", "production": ""},
        {"staging": "1", "production": ""},
    ),
    "production": (
        ("-deploy: DeployProd/Deploy failed: ", "ROLLBACK_COMPLETE. Endpoint (AWS::SageMaker::Endpoint)", OWN_FAULT),
        {**AFTER_LAUNCH, "staging": "CREATE_COMPLETE", "production": "ROLLBACK_COMPLETE"},
        {"staging": "1", "production": ""},
    ),
    "production-test": (
        ("-deploy: DeployProd/Test failed: ", "python test/test.py"),
        {**AFTER_LAUNCH, "staging": "CREATE_COMPLETE", "production": "CREATE_COMPLETE"},
        {"staging": "1", "production": "1"},
    ),
    "staging-update": (
        ("-deploy: DeployStaging/Deploy failed: ", "UPDATE_ROLLBACK_COMPLETE. Endpoint (AWS::", OWN_FAULT),
        {**AFTER_LAUNCH, "staging": "UPDATE_ROLLBACK_COMPLETE", "production": "CREATE_COMPLETE"},
        {"staging": "1", "production": "1"},
    ),
    "production-update": (
        ("-deploy: DeployProd/Deploy failed: ", "UPDATE_ROLLBACK_COMPLETE. Endpoint (AWS::", OWN_FAULT),
        {**AFTER_LAUNCH, "staging": "UPDATE_COMPLETE", "production": "UPDATE_ROLLBACK_COMPLETE"},
        {"staging": "2", "production": "1"},
    ),
}
PACKAGES = {"launch": 0, "train": 0, "staging-update": 2, "production-update": 2}


def test_every_fault_has_its_test() -> None:
    assert set(EXPECTED) == set(FAULTS)
    assert {fault.step for fault in FAULTS.values()} <= {*road.NAMES, *AFTER}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_fault_ends_the_rehearsal_and_leaves_what_aws_would(
    name: str, seed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says, stacks, serves = EXPECTED[name]
    fault, left = FAULTS[name], Left()

    def keep(journey: Journey) -> None:
        nonlocal left
        left = look(journey)

    options = Options(
        seed=seed, answers=[], output=tmp_path, fail_at=name, after=fault.step in AFTER, page=tmp_path / "p.html"
    )
    with pytest.raises(SeedError) as failed:
        road.walk(options, Console(), keep=keep)
    said = str(failed.value)
    assert failed.value.exit_code == 1
    assert len(said.splitlines()) == 1
    for part in says:
        assert part in said
    assert said.endswith(f"; the rehearsal made {fault.operation} fail in {fault.account} (--fail-at {name})")
    if OWN_FAULT not in said:  # then the log that was shown says it
        assert OWN_FAULT in capsys.readouterr().out
    assert left.stacks == stacks
    assert left.serves == serves
    assert left.packages == PACKAGES.get(name, 1)
    assert left.projects == (["CreateFailed"] if name == "launch" else ["CreateCompleted"])
    assert bool(left.code) == (name != "launch")
    assert f"(--fail-at {name})" in (tmp_path / "p.html").read_text()


def test_what_the_command_says_of_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(options: Options, _: Console, **_more: Any) -> dict[str, Any]:
        raise SeedError(f"broken; the rehearsal made it (--fail-at {options.fail_at})")

    monkeypatch.setattr(road, "walk", failing)
    assert cli.main(["rehearse", "--output", str(tmp_path), "--fail-at", "build"]) == 1
    assert capsys.readouterr().err.splitlines() == ["ERROR: broken; the rehearsal made it (--fail-at build)"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--fail-at lunch", f"--fail-at lunch: must be one of {', '.join(FAULTS)}"),
        ("--fail-at production-update", "--fail-at production-update: comes after the first deployment, add --after"),
        ("--fail-at launch --until bundle", "--fail-at launch: comes after --until bundle"),
    ],
)
def test_a_fault_that_cannot_be_met_is_refused(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rehearse", "--output", str(tmp_path / "out"), *words.split()]) == 2
    assert capsys.readouterr().err.splitlines() == [f"ERROR: {said}"]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_fault_that_nobody_meets_is_no_success(seed: Path, tmp_path: Path) -> None:
    options = Options(seed=seed, answers=[], output=tmp_path, fail_at="train", until="launch")
    with pytest.raises(SeedError, match=r"^--fail-at train: nothing failed, nobody called CreateModelPackage in data-"):
        road.walk(options, Console())
