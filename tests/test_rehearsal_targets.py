"""Every deploy target and both layouts of stages on the whole road, strictly: what each makes, where, and as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.road.journey import Options, Silent
from sagemaker_seed.rehearsal.road.stages import LAYOUTS
from sagemaker_seed.rehearsal.road.walk import walk
from test_rehearsal_strict import ACCOUNT, BUCKET, KEY, NOT_NEEDED, PROJECT, SAME_ACCOUNT, TARGET, TRUST, name

pytestmark = pytest.mark.slow
# Two of each: the default, cloudformation in two stages, is walked by other tests.
ROADS = {
    "cloudformation": "three",
    "stackset-self-managed": "two",
    "stackset-service-managed": "three",
    "same-account": "two",
}
PROVIDERS = {
    "cloudformation": "CloudFormation",
    "stackset-self-managed": "CloudFormationStackSet",
    "stackset-service-managed": "CodeBuild",
    "same-account": "CloudFormation",
}
STACKSETS = "stacksets"


@pytest.mark.parametrize("target", ROADS)
def test_a_target_s_road_leads_to_tested_endpoints_and_nobody_is_refused_anything(target: str, tmp_path: Path) -> None:
    answers = (f"deploy_target={target}", f"stages={ROADS[target]}")
    options = Options(None, answers, tmp_path, strict=True, page=tmp_path / "rehearsal.html")
    road = walk(options, Silent()) | {"html": (tmp_path / "rehearsal.html").read_text()}
    every_stage_is_deployed_by_the_action_of_the_target_and_tested_and_approved(target, road)
    every_stage_serves_the_approved_model_and_has_the_results_of_its_tests(target, road)
    accounts_and_units_are_those_that_the_target_needs(target, road)
    nobody_was_refused_anything_and_what_a_target_adds_is_needed(target, road)


def every_stage_is_deployed_by_the_action_of_the_target_and_tested_and_approved(
    target: str, road: dict[str, Any]
) -> None:
    stages = LAYOUTS[ROADS[target]]
    run = next(run for run in reversed(road["runs"]) if run["pipeline"] == "deploy" and run["status"] == "Succeeded")
    took = [(action["stage"], action["name"], action["provider"]) for action in run["actions"]]
    expected = []
    for stage in stages:
        place = f"Deploy{stage.key.capitalize()}"
        expected += [(place, "Deploy", PROVIDERS[target]), (place, "Test", "CodeBuild")]
        expected += [(place, "Approve", "Manual")] if stage is not stages[-1] else []
    checked = [("Security", name, "CodeBuild") for name in ("Scan", "UnitTests")]  # side by side
    assert took[:2] == [("Source", "Source", "CodeCommit"), ("Build", "Build", "CodeBuild")]
    assert (sorted(took[2:4]), took[4:]) == (checked, expected)
    steps = [step["name"] for step in road["steps"]]
    assert steps[steps.index("approve") + 1 :] == [stage.name for stage in stages]


def every_stage_serves_the_approved_model_and_has_the_results_of_its_tests(target: str, road: dict[str, Any]) -> None:
    stages = LAYOUTS[ROADS[target]]
    project = road["project"]
    assert {stage: (said["name"], said["status"]) for stage, said in road["endpoints"].items()} == {
        stage.name: (f"{project['name']}-{project['id']}-{stage.key}", "InService") for stage in stages
    }
    assert len({said["package"] for said in road["endpoints"].values()}) == 1
    tested = [(results["stage"], results["outcome"]) for results in road["tests"]]
    assert sorted(tested) == sorted((stage.key, "passed") for stage in stages)
    assert all(f"{stage.name} endpoint" in road["html"] for stage in stages)


def accounts_and_units_are_those_that_the_target_needs(target: str, road: dict[str, Any]) -> None:
    own = [stage.name for stage in LAYOUTS[ROADS[target]]] if target != "same-account" else []
    management = ["management"] if target == "stackset-service-managed" else []
    assert list(road["accounts"]) == ["data-science", *management, *own]
    of_a_set = {
        account
        for account, resources in road["resources"].items()
        if any(resource["stack"].startswith("StackSet-sagemaker-") for resource in resources)
    }
    assert of_a_set == (set(own) if target.startswith("stackset-") else set())


def nobody_was_refused_anything_and_what_a_target_adds_is_needed(target: str, road: dict[str, Any]) -> None:
    assert road["refusals"] == []
    granted = {name(grant): grant["needed"] for grant in road["grants"]}
    of_sets = {key[1:]: needed for key, needed in granted.items() if STACKSETS in key}
    assert of_sets == OF_STACK_SETS.get(target, {})
    trusted = {key[3] for key, needed in granted.items() if needed and key[0] == TARGET and key[2] == TRUST}
    assert ("StackSetsDeploy" in trusted) == (target == "stackset-self-managed")
    assert trusted - {"StackSetsDeploy"} == TRUSTED_IN_STAGES[target]
    own = [stage for stage in LAYOUTS[ROADS[target]] if target != "same-account"]
    let_in = {f"{stage.slot}Reads" for stage in own}
    for resource, policy in (("ArtifactKey", KEY), ("ArtifactBucketPolicy", BUCKET)):
        statements = {key[3]: needed for key, needed in granted.items() if key[:3] == (PROJECT, resource, policy)}
        assert {sid for sid, needed in statements.items() if needed and sid.endswith("Reads")} == let_in
    if target == "same-account":
        excused = {key for key, why in NOT_NEEDED.items() if why == SAME_ACCOUNT}
        assert {key for key in excused if granted[key]} == NEEDED_IN_ONE_ACCOUNT


# Statements of the trusts of target-account.yaml: who enters a stage's account, and what runs there.
TRUSTED_IN_STAGES: dict[str, set[str]] = {
    "cloudformation": {"1", "PipelinesDeploy", "StacksRun", "TestsLook"},
    "stackset-self-managed": {"1", "TestsLook"},
    "stackset-service-managed": {"1", "TestsLook"},
    "same-account": set(),
}
# Role, policy and statement of stacksets.yaml, and whether the road does not go without it.
OF_STACK_SETS: dict[str, dict[tuple[str, str, str], bool]] = {
    "stackset-self-managed": {
        ("codepipeline", "stacksets", "StackSets"): True,
        ("codepipeline", "stacksets", "StackSetsAreMade"): True,
        ("codepipeline", "stacksets", "StackSetsRunWith"): True,
        ("stackset-administration", "stages", "OtherAccounts"): True,
        ("stackset-administration", TRUST, "1"): True,
    },
    "stackset-service-managed": {
        ("stacksets", TRUST, "1"): True,
        ("stacksets", "codebuild", "Logs"): True,
        ("stacksets", "codebuild", "ArtifactBucket"): False,  # AWS's documentation asks for it
        ("stacksets", "codebuild", "Artifacts"): True,
        ("stacksets", "stacksets", "StackSets"): True,
        ("stacksets", "stacksets", "StackSetsAreMade"): True,
        ("stacksets", "stacksets", "DelegatedAdministrators"): True,
    },
}
# Excused where stages have accounts of their own, and needed where they have not.
NEEDED_IN_ONE_ACCOUNT = {
    (ACCOUNT, "codepipeline", "pipeline", "EndpointStacks"),
    (ACCOUNT, "codepipeline", "pipeline", "EndpointStacksRunWith"),
    (ACCOUNT, "test", "approval", "WhatIsDeployed"),
    (ACCOUNT, "test", "endpoints", "Endpoints"),
    (ACCOUNT, "test", "endpoints", "WhatTheyServe"),
    (ACCOUNT, "cloudformation", TRUST, "1"),
    (ACCOUNT, "cloudformation", "endpoints", "Endpoints"),
    (ACCOUNT, "cloudformation", "endpoints", "ModelsAndConfigurations"),
    (ACCOUNT, "cloudformation", "endpoints", "ModelsRunWith"),
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "Alarms"),
    (ACCOUNT, "cloudformation", "scaling-and-alarms", "AlarmsAreDescribed"),
    (ACCOUNT, "model", TRUST, "1"),
    (ACCOUNT, "model", "model", "ModelArtifacts"),
    (ACCOUNT, "model", "model", "Logs"),
}
