"""What follows a first deployment, in one project: guarded updates, ways back, and several things at once.

The tests go on from one another, in order: each looks at what staging and production serve when it ends.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from road_support import lean
from sagemaker_seed.errors import SeedError
from sagemaker_seed.rehearsal.road import models, runs
from sagemaker_seed.rehearsal.road.following import confirm, follow_to_approval
from sagemaker_seed.rehearsal.road.journey import Journey, Options, Silent
from sagemaker_seed.rehearsal.road.models import APPROVED, PENDING
from sagemaker_seed.rehearsal.road.walk import walk

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 300.0
STAGES = {"staging": "staging", "production": "prod"}


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The end of the road, while the embedded AWS still runs; from here on only the deploy pipeline is followed."""
    arrived: queue.Queue[Journey | None] = queue.Queue()
    over, failures = threading.Event(), []

    def keep(journey: Journey) -> None:
        arrived.put(journey)
        over.wait()

    def go() -> None:
        try:
            folder = tmp_path_factory.mktemp("road")
            options = Options(lean(folder), [], folder, parameters=["ApprovalEmail=people@example.com"])
            walk(options, Silent(), keep=keep)
        except SeedError as error:
            failures.append(error)
        finally:
            arrived.put(None)

    walking = threading.Thread(target=go)
    walking.start()
    try:
        here = arrived.get()
        assert here is not None, failures
        assert here.endpoints, f"the road ended at {here.steps[-1].name}"
        (deploy,) = (name for name in here.follower.pipelines if name.endswith("-deploy"))
        here.follower = here.following([deploy])
        here.follower.mark()
        yield here
    finally:
        over.set()
        walking.join()
    assert not failures


def another(journey: Journey) -> str:
    """A new version of the model, waiting for its approval; the same model once more, because training takes time."""
    sagemaker = journey.client("sagemaker")
    described = sagemaker.describe_model_package(ModelPackageName=journey.package)
    same = ("ModelPackageGroupName", "InferenceSpecification", "ModelMetrics", "CustomerMetadataProperties")
    kept: dict[str, Any] = {name: described[name] for name in same if name in described}
    return str(sagemaker.create_model_package(**kept, ModelApprovalStatus=PENDING)["ModelPackageArn"])


def decide(journey: Journey, package: str, status: str = APPROVED) -> str:
    models.decide(journey.as_person("sagemaker"), package, status)
    return package


def serves(journey: Journey) -> dict[str, str]:
    """By stage, the version that the endpoint serves; its answer to a request proves that it does."""
    found = {}
    for stage, name in STAGES.items():
        endpoint = f"{journey.project.name}-{journey.project.id}-{name}"
        sagemaker = journey.client("sagemaker", stage)
        assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"
        answer = journey.client("sagemaker-runtime", stage).invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", Accept="application/json", Body=b"5.1,3.5,1.4,0.2\n"
        )
        assert json.loads(answer["Body"].read())["predictions"][0]["label"] == "setosa"
        found[stage] = version(models.served(sagemaker, endpoint))
    return found


def version(package: str) -> str:
    return package.rpartition("/")[2]


def both(package: str) -> dict[str, str]:
    return dict.fromkeys(STAGES, version(package))


def until(holds: Callable[[], object], pause: float = 0.2) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(pause)


def asked(journey: Journey) -> dict[str, Any]:
    """The summary behind the newest question."""
    action = [a for run in journey.follower.everything() for a in run.actions if a.provider == "Manual"][-1]
    gist, link = action.asks
    bucket, key = link.partition("/s3/object/")[2].partition("?")[0], link.partition("prefix=")[2]
    text = journey.client("s3").get_object(Bucket=bucket, Key=key.replace(".html", ".json"))["Body"].read()
    summary: dict[str, Any] = json.loads(text)
    page = journey.client("s3").get_object(Bucket=bucket, Key=key)
    assert page["ContentType"] == "text/html; charset=utf-8"
    assert page["Body"].read().startswith(b"<!doctype html>")
    assert (summary["gist"], summary["url"]) == (gist, link)
    assert 0 < len(gist) <= 1000
    return summary


def in_production(journey: Journey) -> str:
    return f"{journey.project.name}-{journey.project.id}-prod"


def alarm(journey: Journey, state: str) -> str:
    """Sets the alarm on errors of production; its name."""
    stack = journey.client("cloudformation", "production").describe_stack_resource(
        StackName=f"sagemaker-{in_production(journey)}", LogicalResourceId="ErrorAlarm"
    )
    name = str(stack["StackResourceDetail"]["PhysicalResourceId"])
    journey.client("cloudwatch", "production").set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    return name


def test_the_first_approval_says_that_nothing_is_there_yet(journey: Journey) -> None:
    summary = asked(journey)
    assert summary["deployed"] == {"nothing": True}
    assert summary["changes"] == {"nothing": True}
    assert (summary["model"]["package"], summary["model"]["metric"]) == (journey.package, "accuracy")
    assert [row["deployed"] for row in summary["metrics"]] == [None] * 7
    assert summary["tests"]["outcome"] == "passed"
    assert summary["commit"]["author"] == "AWS CloudFormation"
    assert summary["cost"]["planned"] == {"instance_type": "ml.m5.large", "least": 167.9, "most": 167.9}
    assert "version 1 to prod? Nothing is in prod yet. Model: accuracy 0.9524" in summary["gist"]
    assert serves(journey) == both(journey.package)


def test_the_question_is_told_to_whom_the_launch_names(journey: Journey) -> None:
    sns = journey.client("sns")
    (topic,) = journey.project.of_type("AWS::SNS::Topic")
    assert [s["Endpoint"] for s in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]] == [
        "people@example.com"
    ]
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"].startswith("arn:aws:kms:")
    assert [call.operation for call in journey.aws.calls() if call.service == "sns"].count("Publish") == 1


def test_the_next_approval_compares_with_what_production_serves(journey: Journey) -> None:
    package = decide(journey, another(journey))
    follow_to_approval(journey)
    assert serves(journey) == {"staging": "2", "production": "1"}
    summary = asked(journey)
    assert (summary["model"]["version"], summary["deployed"]["version"]) == (2, 1)
    assert {row["better"] for row in summary["metrics"]} == {None}
    assert all(row["new"] == row["deployed"] for row in summary["metrics"])
    assert [change["name"] for change in summary["changes"]["parameters"]] == ["ModelPackageName"]
    assert summary["changes"]["template"] == []
    touched = {resource["name"] for resource in summary["changes"]["resources"]}
    assert {"Model", "EndpointConfig", "Endpoint"} <= touched
    assert summary["cost"]["planned"] == summary["cost"]["deployed"]
    assert "It serves version 1 now." in summary["gist"]
    confirm(journey)
    assert serves(journey) == both(package)


def test_an_alarm_during_the_update_leaves_the_old_model_and_fails_the_pipeline(
    journey: Journey, tmp_path: Path
) -> None:
    decide(journey, another(journey))
    follow_to_approval(journey)
    sagemaker, endpoint = journey.client("sagemaker", "production"), in_production(journey)
    names: list[str] = []

    def raise_alarm() -> None:
        until(lambda: sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating", 0.02)
        names.append(alarm(journey, "ALARM"))

    watching = threading.Thread(target=raise_alarm)
    watching.start()
    (run,) = confirm(journey, forgive=True)
    watching.join()
    alarm(journey, "OK")
    assert run.status == "Failed"
    assert run.failed is not None
    assert (run.failed.stage, run.failed.name) == ("DeployProd", "Deploy")
    assert "UPDATE_ROLLBACK_COMPLETE. Endpoint (AWS::SageMaker::Endpoint)" in run.failed.said
    assert f"was rolled back: The update was rolled back: alarms in the state ALARM: {names[0]}" in run.failed.said
    assert serves(journey) == {"staging": "3", "production": "2"}
    checks = checks_of(journey, tmp_path, version="3")
    assert checks["update-not-rolled-back"][0] == "failed"
    assert (
        f"the last update was rolled back: The update was rolled back: alarms in the state ALARM: {names[0]}"
        in (checks["update-not-rolled-back"][1])
    )


def checks_of(journey: Journey, folder: Path, version: str) -> dict[str, tuple[str, str]]:
    """The checks of test/test.py for a version in production: outcome and message by name."""
    stack = journey.client("cloudformation", "production").describe_stacks(
        StackName=f"sagemaker-{in_production(journey)}"
    )["Stacks"][0]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    parameters["ModelPackageName"] = f"{journey.package.rpartition('/')[0]}/{version}"
    (folder / "config.json").write_text(json.dumps({"Parameters": parameters, "Tags": {}}))
    results = folder / "results.json"
    done = subprocess.run(
        [sys.executable, "test/test.py", "--config", str(folder / "config.json"), "--results", str(results)],
        cwd=journey.clone.folder,
        env=journey.aws.environment(journey.accounts["production"]),
        check=False,
    )
    assert done.returncode == 1
    return {c["name"]: (c["outcome"], c["message"]) for c in json.loads(results.read_text())["checks"]}


def test_a_commit_during_a_deployment_waits_for_its_turn(journey: Journey) -> None:
    """The approved model is deployed as the repository was when it was approved; then comes the commit."""
    path = journey.clone.folder / "prod-config-template.json"
    config = json.loads(path.read_text())
    config["Parameters"] |= {"AutoscalingMinCapacity": 2, "AutoscalingMaxCapacity": 4}
    package = decide(journey, another(journey))
    until(lambda: [a for run in journey.follower.recent() for a in run.actions if a.stage == "DeployStaging"])
    commit = journey.clone.commit("Scale production", {path.name: json.dumps(config, indent=2) + "\n"})
    first, second = answered(journey, 2)
    assert [run.status for run in (first, second)] == ["Succeeded", "Succeeded"]
    assert step(first, "DeployProd", "Test").ended <= step(second, "DeployProd", "Deploy").began
    summary = asked(journey)
    assert (summary["commit"]["id"], summary["commit"]["message"]) == (commit, "Scale production")
    changed = {change["name"]: change["to"] for change in summary["changes"]["parameters"]}
    assert changed == {"AutoscalingMinCapacity": "2", "AutoscalingMaxCapacity": "4"}
    assert {"ScalableTarget", "ScalingPolicy"} <= {r["name"] for r in summary["changes"]["resources"]}
    assert (summary["cost"]["planned"]["least"], summary["cost"]["planned"]["most"]) == (167.9, 335.8)
    assert serves(journey) == both(package)


def test_rolling_back_by_command_returns_to_an_earlier_version_and_keeps_the_scale(journey: Journey) -> None:
    sagemaker, endpoint = journey.client("sagemaker", "production"), in_production(journey)
    wanted = {"VariantName": "AllTraffic", "DesiredInstanceCount": 3}  # what autoscaling does under load
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=[wanted])
    refused = rolled_back(journey, version(another(journey)))
    assert refused.returncode == 1
    assert "is PendingManualApproval: only an approved model package is deployed" in refused.stderr
    done = rolled_back(journey, "1")
    assert done.returncode == 0, done.stderr
    assert "the next commit deploys" in done.stdout
    confirm(journey)
    assert serves(journey) == both(journey.package)
    (variant,) = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    assert variant["DesiredInstanceCount"] == 3


def rolled_back(journey: Journey, version: str) -> subprocess.CompletedProcess[str]:
    project = {"SAGEMAKER_PROJECT_NAME": journey.project.name, "SAGEMAKER_PROJECT_ID": journey.project.id}
    return subprocess.run(
        [sys.executable, "build.py", "--rollback-to", version],
        cwd=journey.clone.folder,
        env={**journey.aws.environment(journey.person), **project, "AWS_REGION": journey.region},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_approvals_within_seconds_are_deployed_one_after_the_other(journey: Journey) -> None:
    """One of them of an older version: approving it returns to it."""
    older, newer = f"{journey.package.rpartition('/')[0]}/2", another(journey)
    decide(journey, older, PENDING)
    decide(journey, older)
    decide(journey, newer)
    seen: list[dict[str, str]] = []
    done = answered(journey, 2, before=lambda: seen.append(serves(journey)))
    assert [run.status for run in done] == ["Succeeded", "Succeeded"]
    # While the first waits for a person the second has not come to staging: what is tested is what is approved.
    assert seen == [
        {"staging": "2", "production": "1"},
        {"staging": version(newer), "production": "2"},
    ]
    assert serves(journey) == both(newer)


def answered(journey: Journey, count: int, before: Callable[[], None] = lambda: None) -> list[runs.Run]:
    """Approves each execution as it asks, until so many have ended; returns them, oldest first."""
    client = journey.as_person("codepipeline")
    answers: set[str] = set()

    def ended() -> bool:
        found = journey.follower.recent()
        for run in [run for run in found if run.waits and run.id not in answers]:
            states = [a for s in client.get_pipeline_state(name=run.pipeline)["stageStates"] for a in s["actionStates"]]
            tokens = [a["latestExecution"]["token"] for a in states if a.get("latestExecution", {}).get("token")]
            if not tokens:
                continue  # the question is about to be put
            before()
            client.put_approval_result(
                pipelineName=run.pipeline,
                stageName="DeployStaging",
                actionName="Approve",
                token=tokens[0],
                result={"status": "Approved", "summary": "yes"},
            )
            answers.add(run.id)
        return len(found) == count and all(run.status != "InProgress" for run in found)

    until(ended)
    done = journey.follower.recent()
    journey.follower.mark()
    return done


def step(run: runs.Run, stage: str, name: str) -> runs.Action:
    return next(action for action in run.actions if (action.stage, action.name) == (stage, name))
