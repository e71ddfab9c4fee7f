"""Step caching and retry policies: when a step is not run, and when it is run again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pipeline_support import (
    OUTPUT,
    Lab,
    Ran,
    get,
    parameter,
    process,
    s3_input,
    s3_output,
    train,
    within,
)
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

CACHED = {"Enabled": True}
INTERNAL = "SageMaker.JOB_INTERNAL_ERROR"
# Says how often it ran, and is killed as if its instance were lost until it has run so often.
LOST = 'echo x >> "$COUNT"; test "$(wc -l < "$COUNT")" -ge "$GOOD" || kill -9 $$'


@pytest.fixture(scope="module")
def lab(aws: EmbeddedAws) -> Lab:
    return Lab(aws)


def hits(ran: Ran) -> dict[str, bool]:
    assert ran.status == "Succeeded", ran.reason
    return {name: "CacheHitResult" in step for name, step in ran.steps.items()}


def test_the_same_arguments_hit_and_what_follows_gets_the_first_results(lab: Lab) -> None:
    uri = lab.put("cache/in.txt", "first")
    make = process(
        "Make",
        f"cp /opt/ml/processing/input/i/in.txt {OUTPUT}/o/; date +%N >> {OUTPUT}/o/in.txt",
        inputs=[s3_input("i", uri)],
        outputs=[s3_output("o", lab.root + "/cache/" + "out")],
        CacheConfig=CACHED,
    )
    use = process("Use", env={"FROM": get("Steps.Make.ProcessingJobArn")}, CacheConfig=CACHED)
    name = lab.define(make, use)
    first = lab.wait(lab.start(name))
    assert hits(first) == {"Make": False, "Use": False}
    made = lab.read("cache/out/in.txt")
    second = lab.wait(lab.start(name))
    assert hits(second) == {"Make": True, "Use": True}
    assert lab.read("cache/out/in.txt") == made
    assert second.steps["Make"]["CacheHitResult"]["SourcePipelineExecutionArn"] == first.arn
    assert second.job("Make") == first.job("Make")
    # A hit on a hit still names the execution that did the work; what is in the objects does not count.
    lab.put("cache/in.txt", "second")
    third = lab.wait(lab.start(name))
    assert third.steps["Make"]["CacheHitResult"]["SourcePipelineExecutionArn"] == first.arn
    assert len(lab.sagemaker.list_processing_jobs(NameContains=first.job("Make"))["ProcessingJobSummaries"]) == 1


def test_other_arguments_miss_and_what_does_not_count_hits(lab: Lab) -> None:
    step = process(
        "A",
        inputs=[s3_input("i", get("Parameters.In"))],
        outputs=[s3_output("o", get("Parameters.Out"))],
        env={"E": get("Parameters.Env")},
        CacheConfig=CACHED,
    )
    ins = [lab.put(f"misses/{number}.txt", "x") for number in range(2)]
    parameters = [
        parameter("In", default=ins[0]),
        parameter("Env", default="a"),
        parameter("Out", default=f"{lab.root}/misses/out"),
    ]
    name = lab.define(step, parameters=parameters)

    def hit(**values: str) -> bool:
        return hits(lab.wait(lab.start(name, values)))["A"]

    assert not hit()
    assert hit()
    assert not hit(Env="b")
    assert not hit(In=ins[1])
    assert hit(Env="b")
    assert hit(Out=f"{lab.root}/elsewhere")
    other = lab.define(step, parameters=parameters)
    assert not hits(lab.wait(lab.start(other)))["A"], "each pipeline has a cache of its own"


def test_a_cache_that_is_off_is_not_looked_at_but_filled(lab: Lab) -> None:
    name = lab.define(process("A"))
    assert not hits(lab.wait(lab.start(name)))["A"]
    assert not hits(lab.wait(lab.start(name)))["A"]

    lab.sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=lab.text(process("A", CacheConfig=CACHED)))
    assert hits(lab.wait(lab.start(name)))["A"]


@pytest.mark.slow
def test_a_cache_expires(lab: Lab) -> None:
    name = lab.define(process("A", CacheConfig={"Enabled": True, "ExpireAfter": "PT2S"}))
    lab.wait(lab.start(name))
    assert hits(lab.wait(lab.start(name)))["A"]
    time.sleep(2.01)
    assert not hits(lab.wait(lab.start(name)))["A"]


def test_a_failure_is_not_cached(lab: Lab, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    name = lab.define(process("A", f'test -e "{flag}"', CacheConfig=CACHED))
    assert lab.wait(lab.start(name)).status == "Failed"
    flag.touch()
    assert not hits(lab.wait(lab.start(name)))["A"]
    flag.unlink()
    assert hits(lab.wait(lab.start(name)))["A"]


@pytest.mark.slow
def test_training_hits_by_its_hyperparameters(lab: Lab) -> None:
    step = train(
        "T",
        lab.code(train="import os; open(os.environ['SM_MODEL_DIR'] + '/m', 'w').close()"),
        lab.root + "/models",
        hyperparameters={"eta": get("Parameters.Eta")},
        CacheConfig=CACHED,
    )
    name = lab.define(step, parameters=[parameter("Eta", default="0.1")])
    first = lab.wait(lab.start(name))
    assert hits(first) == {"T": False}
    assert hits(lab.wait(lab.start(name))) == {"T": True}
    assert hits(lab.wait(lab.start(name, {"Eta": "0.2"}))) == {"T": False}


def retried(lab: Lab, folder: Path, good: int, **policy: Any) -> tuple[Ran, int]:
    """Runs a step that is lost until it has run ``good`` times; returns what became of it and how often it ran."""
    count = folder / "count"
    given = {"ExceptionType": [INTERNAL], "IntervalSeconds": 0.01, **policy}
    ran = lab.run(process("A", LOST, env={"COUNT": str(count), "GOOD": str(good)}, RetryPolicies=[given]))
    return ran, len(count.read_text().split())


def test_a_lost_job_is_tried_again(lab: Lab, tmp_path: Path) -> None:
    ran, times = retried(lab, tmp_path, 3, MaxAttempts=2)
    assert (ran.status, times, ran.steps["A"]["AttemptCount"]) == ("Succeeded", 3, 3)
    jobs = lab.sagemaker.list_processing_jobs(SortOrder="Ascending", NameContains=ran.arn.rpartition("/")[2])
    statuses = [job["ProcessingJobStatus"] for job in jobs["ProcessingJobSummaries"]]
    assert statuses == ["Failed", "Failed", "Completed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "times"),
    [({"MaxAttempts": 1}, 2), ({"MaxAttempts": 0}, 1), ({}, 6), ({"ExpireAfterMin": 0}, 1)],
    ids=["once", "never", "five times unless said", "expired"],
)
def test_it_is_given_up_after_so_many_tries(lab: Lab, tmp_path: Path, policy: dict[str, int], times: int) -> None:
    ran, found = retried(lab, tmp_path, 99, BackoffRate=1, **policy)
    assert (ran.status, found, ran.steps["A"]["AttemptCount"]) == ("Failed", times, times)
    assert ran.steps["A"]["FailureReason"].startswith("InternalServerError: We encountered an internal error.")


def test_it_is_given_up_when_the_next_try_would_be_too_late(lab: Lab, tmp_path: Path) -> None:
    ran, times = retried(lab, tmp_path, 99, IntervalSeconds=61, ExpireAfterMin=1)
    assert (ran.status, times) == ("Failed", 1)


@pytest.mark.slow
def test_each_try_waits_longer(lab: Lab, tmp_path: Path) -> None:
    ran, _ = retried(lab, tmp_path, 3, IntervalSeconds=0.1, BackoffRate=3, MaxAttempts=2)
    taken = ran.steps["A"]["EndTime"] - ran.steps["A"]["StartTime"]
    assert taken.total_seconds() >= 0.4


def test_an_error_of_the_script_is_not_tried_again(lab: Lab, tmp_path: Path) -> None:
    count = tmp_path / "count"
    policy = {"ExceptionType": [INTERNAL, "Step.SERVICE_FAULT", "SageMaker.CAPACITY_ERROR"], "MaxAttempts": 5}
    ran = lab.run(process("A", 'echo x >> "$COUNT"; exit 1', env={"COUNT": str(count)}, RetryPolicies=[policy]))
    assert (ran.status, count.read_text()) == ("Failed", "x\n")


def test_stopping_ends_the_wait_for_the_next_try(lab: Lab, tmp_path: Path) -> None:
    count = tmp_path / "count"
    policy = {"ExceptionType": [INTERNAL], "IntervalSeconds": 60, "MaxAttempts": 2}
    arn = lab.start(lab.define(process("A", LOST, env={"COUNT": str(count), "GOOD": "9"}, RetryPolicies=[policy])))

    within(
        5,
        lambda: lab.sagemaker.list_processing_jobs(StatusEquals="Failed", NameContains=arn.rpartition("/")[2])[
            "ProcessingJobSummaries"
        ],
    )
    lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert lab.wait(arn, 5).statuses == {"A": "Stopped"}
