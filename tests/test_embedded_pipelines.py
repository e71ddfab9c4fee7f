"""Pipelines over their API: how an execution goes from step to step, is followed, stopped and run again."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from pipeline_support import (
    OUTPUT,
    Lab,
    Ran,
    compare,
    condition,
    definition,
    fail,
    get,
    join,
    json_get,
    parameter,
    process,
    register,
    s3_output,
    within,
)
from sagemaker_seed.rehearsal.embedded import STOP_SECONDS, EmbeddedAws
from support import REGION

# A job that runs until it is stopped, and the file that says that it runs.
LONG = 'echo $$ > "$MARK"; sleep 60 & echo $! >> "$MARK"; wait'


@pytest.fixture(scope="module")
def lab(aws: EmbeddedAws) -> Lab:
    return Lab(aws)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def pids(mark: Path, count: int = 2) -> list[int]:
    """The processes that a job of LONG wrote down, once all have."""
    within(10, lambda: mark.is_file() and len(mark.read_text().split()) == count)
    return [int(word) for word in mark.read_text().split()]


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# --- parameters, functions, conditions ---


def test_parameters_have_their_types_and_defaults(lab: Lab) -> None:
    parameters = [
        parameter("Text", default="a b"),
        parameter("Whole", "Integer", 3),
        parameter("Broken", "Float", 0.5),
        parameter("Sure", "Boolean", False),
        parameter("Needed", "Float"),
        parameter("Kind", default="x", enum=["x", "y"]),
    ]
    names = [p["Name"] for p in parameters]
    steps = [
        condition("Whole", compare("Equals", get("Parameters.Whole"), 4)),
        condition("Sure", compare("Equals", get("Parameters.Sure"), True)),
        fail("Say", join(*(get(f"Parameters.{name}") for name in names), on="|"), DependsOn=["Whole", "Sure"]),
    ]
    name = lab.define(*steps, parameters=parameters)
    first = lab.wait(lab.start(name, {"Needed": "1"}))
    assert first.steps["Say"]["FailureReason"] == "a b|3|0.5|false|1.0|x"
    assert [first.steps[n]["Metadata"]["Condition"]["Outcome"] for n in ("Whole", "Sure")] == ["False", "False"]
    given = {"Needed": "-1e3", "Text": "", "Whole": "4", "Sure": "TRUE", "Kind": "y"}
    second = lab.wait(lab.start(name, given))
    assert second.steps["Say"]["FailureReason"] == "|4|0.5|true|-1000.0|y"
    assert [second.steps[n]["Metadata"]["Condition"]["Outcome"] for n in ("Whole", "Sure")] == ["True", "True"]
    listed = lab.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=second.arn)
    assert {p["Name"]: p["Value"] for p in listed["PipelineParameters"]} == {
        "Text": "",
        "Whole": "4",
        "Broken": "0.5",
        "Sure": "true",
        "Needed": "-1000.0",
        "Kind": "y",
    }
    page = lab.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=second.arn, MaxResults=4)
    rest = lab.sagemaker.list_pipeline_parameters_for_execution(
        PipelineExecutionArn=second.arn, NextToken=page["NextToken"]
    )
    assert page["PipelineParameters"] + rest["PipelineParameters"] == listed["PipelineParameters"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "No value was given for parameter N, which has no default"),
        ({"N": "1", "Other": "x"}, "has no parameter Other; it has B, E, F, N"),
        ({"N": "1.5"}, "N is of type Integer, and '1.5' is not"),
        ({"N": "1_000"}, "N is of type Integer, and '1_000' is not"),
        ({"N": " 1"}, "N is of type Integer, and ' 1' is not"),
        ({"N": "1", "F": "much"}, "F is of type Float, and 'much' is not"),
        ({"N": "1", "F": "nan"}, "F is of type Float, and 'nan' is not"),
        ({"N": "1", "B": "yes"}, "B is of type Boolean, and 'yes' is not"),
        ({"N": "1", "E": "z"}, "E is 'z'; expected one of 'x', 'y'"),
    ],
)
def test_a_value_that_a_parameter_cannot_have_starts_nothing(lab: Lab, values: dict[str, str], problem: str) -> None:
    name = "refuses-values"
    if name not in {p["PipelineName"] for p in lab.sagemaker.list_pipelines()["PipelineSummaries"]}:
        parameters = [
            parameter("N", "Integer"),
            parameter("F", "Float", 1),
            parameter("B", "Boolean", True),
            parameter("E", default="x", enum=["x", "y"]),
        ]
        lab.define(fail("Never", "x"), parameters=parameters, name=name)
    with pytest.raises(ClientError) as error:
        lab.start(name, values)
    code, message = refusal(error)
    assert (code, problem in message) == ("ValidationException", True), message
    assert lab.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"] == []


def test_a_parameter_cannot_be_given_twice(lab: Lab) -> None:
    name = lab.define(fail("Never", "x"), parameters=[parameter("A", default="")])
    with pytest.raises(ClientError, match="A is given more than once"):
        lab.sagemaker.start_pipeline_execution(
            PipelineName=name, PipelineParameters=[{"Name": "A", "Value": "1"}, {"Name": "A", "Value": "2"}]
        )


METRICS = {"mse": {"value": 4.0, "names": ["a", "b"]}, "label": "good", "a key": {"with.dot": 7}, "sure": True}


def test_properties_property_files_and_functions(lab: Lab) -> None:
    lab.put("metrics/loose.json", '{"deep": [{"x": 5}]}')
    measure = process(
        "Measure",
        f"printf '%s' '{json.dumps(METRICS)}' > {OUTPUT}/out/metrics.json",
        outputs=[s3_output("out", join(lab.root, get("Execution.PipelineExecutionId"), on="/"))],
        PropertyFiles=[{"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "metrics.json"}],
    )
    parts = {
        "number": json_get("Measure", "Metrics", "mse.value"),
        "text": json_get("Measure", "Metrics", "label"),
        "item": json_get("Measure", "Metrics", "mse.names[1]"),
        "list": json_get("Measure", "Metrics", "mse.names"),
        "quoted": json_get("Measure", "Metrics", "['a key']['with.dot']"),
        "sure": json_get("Measure", "Metrics", "sure"),
        "loose": {"Std:JsonGet": {"S3Uri": join(lab.root, "/metrics/loose.json"), "Path": "deep[0].x"}},
        "path": {
            "Std:JsonGet": {
                "PropertyFile": get("Steps.Measure.PropertyFiles.Metrics"),
                "Path": get("Parameters.Where"),
            }
        },
        "property": get("Steps.Measure.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"),
        "count": get("Steps.Measure.ProcessingResources.ClusterConfig.InstanceCount"),
        "status": get("Steps.Measure.ProcessingJobStatus"),
        "pipeline": get("Execution.PipelineName"),
    }
    said = fail("Say", join(*parts.values(), on="|"))
    ran = lab.run(measure, said, parameters=[parameter("Where", default="mse.names[0]")])
    pipeline, _, execution = ran.arn.partition("/")[2].split("/")
    assert dict(zip(parts, ran.steps["Say"]["FailureReason"].split("|"), strict=True)) == {
        "number": "4.0",
        "text": "good",
        "item": "b",
        "list": '["a", "b"]',
        "quoted": "7",
        "sure": "true",
        "loose": "5",
        "path": "a",
        "property": f"{lab.root}/{execution}",
        "count": "1",
        "status": "Completed",
        "pipeline": pipeline,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("mse.rmse", "has no mse.rmse (there is nothing at mse.rmse)"),
        ("rows[9]", "has no rows[9] (there is nothing at rows[9])"),
        ("rows.x", "has no rows.x (there is nothing at rows.x)"),
        ("mse..x", "'mse..x' of"),
        ("$", "'$' of Steps.Measure.PropertyFiles.Metrics is not a path"),
    ],
)
def test_a_path_that_leads_nowhere_fails_the_step(lab: Lab, path: str, reason: str) -> None:
    measure = process(
        "Measure",
        f'echo \'{{"mse": {{"value": 4}}, "rows": [1]}}\' > {OUTPUT}/out/m.json',
        outputs=[s3_output("out", f"{lab.root}/nowhere")],
        PropertyFiles=[{"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "m.json"}],
    )
    ran = lab.run(measure, condition("Check", compare("LessThan", json_get("Measure", "Metrics", path), 1)))
    assert (ran.status, ran.statuses) == ("Failed", {"Measure": "Succeeded", "Check": "Failed"})
    assert reason in ran.steps["Check"]["FailureReason"]
    assert ran.reason.startswith("Step failure: One or multiple steps failed. Check: ClientError: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "is not JSON: "), (b"\xff", "is not text"), (None, "NoSuchKey")],
    ids=["broken", "binary", "missing"],
)
def test_a_property_file_that_cannot_be_read_fails_the_step(lab: Lab, text: Any, reason: str) -> None:
    root = f"{lab.root}/unreadable-{reason.split(maxsplit=1)[0]}"
    measure = process(
        "Measure",
        outputs=[s3_output("out", root)],
        PropertyFiles=[{"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "m.json"}],
    )
    if text is not None:
        lab.put(f"{root.rpartition('/')[2]}/m.json", text)
    ran = lab.run(measure, condition("Check", compare("LessThan", json_get("Measure", "Metrics", "a"), 1)))
    assert reason in ran.steps["Check"]["FailureReason"]


def equal(left: Any, right: Any) -> dict[str, Any]:
    return compare("Equals", left, right)


def either(*conditions: Any) -> dict[str, Any]:
    return {"Type": "Or", "Conditions": list(conditions)}


def negated(inner: Any) -> dict[str, Any]:
    return {"Type": "Not", "Expression": inner}


def among(query: Any, *values: Any) -> dict[str, Any]:
    return {"Type": "In", "QueryValue": query, "Values": list(values)}


N, T = get("Parameters.N"), get("Parameters.T")
CONDITIONS: list[tuple[list[Any], bool]] = [
    ([equal(N, 5)], True),
    ([equal(N, 5.0)], True),
    ([equal(N, "5")], False),
    ([equal(True, 1)], False),
    ([equal(T, "b")], True),
    ([compare("GreaterThan", N, 4)], True),
    ([compare("GreaterThan", N, 5)], False),
    ([compare("GreaterThanOrEqualTo", N, 5)], True),
    ([compare("GreaterThanOrEqualTo", N, 5.1)], False),
    ([compare("LessThan", 4.9, N)], True),
    ([compare("LessThan", N, 5)], False),
    ([compare("LessThanOrEqualTo", N, 5)], True),
    ([compare("LessThanOrEqualTo", N, 4)], False),
    ([compare("LessThan", "a", T)], True),
    ([among(T, "a", "b")], True),
    ([among(T, "a", "c")], False),
    ([among(N, T, N)], True),
    ([negated(equal(N, 5))], False),
    ([negated(negated(equal(N, 5)))], True),
    ([either(equal(N, 1), equal(T, "b"))], True),
    ([either(equal(N, 1), equal(T, "a"))], False),
    ([negated(either(equal(N, 1), among(T, "z")))], True),
    ([equal(N, 5), equal(T, "b")], True),
    ([equal(N, 5), equal(T, "a")], False),
]


def test_every_kind_of_condition(lab: Lab) -> None:
    steps = [condition(f"C{number}", *conditions) for number, (conditions, _) in enumerate(CONDITIONS)]
    ran = lab.run(*steps, parameters=[parameter("N", "Integer", 5), parameter("T", default="b")])
    assert ran.status == "Succeeded"
    found = [ran.steps[f"C{number}"]["Metadata"]["Condition"]["Outcome"] for number in range(len(steps))]
    assert found == [str(expected) for _, expected in CONDITIONS]


def test_what_cannot_be_compared_fails_the_step(lab: Lab) -> None:
    ran = lab.run(condition("C", compare("LessThan", get("Parameters.T"), 1)), parameters=[parameter("T", default="a")])
    assert ran.steps["C"]["FailureReason"] == "ClientError: LessThan cannot compare 'a' with 1"
    ran = lab.run(condition("C", compare("GreaterThan", True, 0)))
    assert ran.steps["C"]["FailureReason"] == "ClientError: GreaterThan cannot compare True with 0"


def test_conditions_in_conditions_take_one_way(lab: Lab) -> None:
    def inner(name: str, value: int) -> Any:
        return condition(
            name,
            equal(N, value),
            then=[process(f"{name}Then")],
            otherwise=[process(f"{name}Else"), process(f"{name}After", DependsOn=[f"{name}Else"])],
        )

    steps = [
        condition("Outer", equal(N, 5), then=[inner("Yes", 5)], otherwise=[inner("No", 5)]),
        process("AfterTaken", DependsOn=["YesThen"]),
        process("AfterSkipped", DependsOn=["NoThen", "YesThen"]),
        process("AfterSkippedToo", DependsOn=["AfterSkipped"]),
    ]
    name = lab.define(*steps, parameters=[parameter("N", "Integer", 5)])
    ran = lab.wait(lab.start(name))
    assert (ran.status, list(ran.steps)) == ("Succeeded", ["Outer", "Yes", "YesThen", "AfterTaken"])
    ran = lab.wait(lab.start(name, {"N": "1"}))
    assert (ran.status, list(ran.steps)) == ("Succeeded", ["Outer", "No", "NoElse", "NoAfter"])


def test_steps_wait_for_what_they_name_and_for_nothing_else(lab: Lab) -> None:
    steps = [
        process("Last", DependsOn=["Middle"]),
        process("Middle", env={"WHERE": get("Steps.First.ProcessingJobArn")}),
        process("First"),
    ]
    ran = lab.run(*steps)
    assert list(ran.statuses.items()) == [("First", "Succeeded"), ("Middle", "Succeeded"), ("Last", "Succeeded")]
    for before, after in itertools.pairwise(("First", "Middle", "Last")):
        assert ran.steps[before]["EndTime"] <= ran.steps[after]["StartTime"]


def test_after_a_failure_nothing_new_starts_and_the_reason_is_the_steps(lab: Lab) -> None:
    ran = lab.run(
        process("Bad", "echo broken >&2; exit 3"),
        process("Next", DependsOn=["Bad"]),
        fail("Never", "x", DependsOn=["Next"]),
    )
    assert (ran.status, ran.statuses) == ("Failed", {"Bad": "Failed"})
    assert ran.reason == "Step failure: One or multiple steps failed. Bad: AlgorithmError: broken, exit code: 3"
    assert ran.steps["Bad"]["FailureReason"] == "AlgorithmError: broken, exit code: 3"
    job = lab.sagemaker.describe_processing_job(ProcessingJobName=ran.job("Bad"))
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", ran.steps["Bad"]["FailureReason"])


def test_a_model_is_registered_with_what_the_steps_found(lab: Lab) -> None:
    model = lab.put("model.tar.gz", b"model")
    make = process("Make", f"echo '{{}}' > {OUTPUT}/out/m.json", outputs=[s3_output("out", f"{lab.root}/made")])
    step = register(
        "Register",
        get("Parameters.Group"),
        model,
        env={"SAGEMAKER_PROGRAM": "inference.py"},
        ModelApprovalStatus=get("Parameters.Approval"),
        CustomerMetadataProperties={"job": get("Steps.Make.ProcessingJobName")},
        ModelMetrics={
            "ModelQuality": {
                "Statistics": {
                    "ContentType": "application/json",
                    "S3Uri": join(
                        get("Steps.Make.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"), "m.json", on="/"
                    ),
                }
            }
        },
    )
    parameters = [parameter("Group", default="makers"), parameter("Approval", default="PendingManualApproval")]
    name = lab.define(make, step, fail("Say", get("Steps.Register.ModelPackageVersion")), parameters=parameters)
    ran = lab.wait(lab.start(name))
    arn = ran.steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    assert arn == f"arn:aws:sagemaker:{REGION}:{lab.account}:model-package/makers/1"
    assert ran.steps["Say"]["FailureReason"] == "1"
    package = lab.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"] == {"job": ran.job("Make")}
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == f"{lab.root}/made/m.json"
    assert package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == model
    again = lab.wait(lab.start(name, {"Approval": "Approved"}))
    arn = again.steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    assert (arn.rpartition("/")[2], again.steps["Say"]["FailureReason"]) == ("2", "2")
    assert lab.sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (register("R", "g", "s3://no-such-bucket-anywhere/m"), "Could not find model data at s3://no-such-bucket-"),
        (register("R", "g", "ftp://x"), "'ftp://x' is not an S3 URI"),
        (register("R", "no group name", "MODEL"), "Value 'no refusedroup name' at 'modelPackageGroupName'"),
        (register("R", "g", "MODEL", env={"SAGEMAKER_PROGRAM": " "}), "Empty module name: SAGEMAKER_PROGRAM is empty"),
        (register("R", "g", "MODEL", ModelApprovalStatus="Perhaps"), "ModelApprovalStatus is 'Perhaps'"),
        (register("R", "g", "MODEL", CustomerMetadataProperties={"n": 5}), "Invalid type for parameter"),
    ],
)
def test_what_cannot_be_registered_fails_with_its_reason(lab: Lab, step: Any, reason: str) -> None:
    model = lab.put("model.tar.gz", b"model")
    step = json.loads(json.dumps(step).replace("MODEL", model))
    step["Arguments"]["ModelPackageGroupName"] = step["Arguments"]["ModelPackageGroupName"].replace("g", "refused")
    ran = lab.run(step)
    assert ran.status == "Failed"
    assert reason in ran.steps["R"]["FailureReason"]
    groups = lab.sagemaker.list_model_package_groups(NameContains="refused")["ModelPackageGroupSummaryList"]
    assert (
        not groups or not lab.sagemaker.list_model_packages(ModelPackageGroupName="refused")["ModelPackageSummaryList"]
    )


# --- stopping, running again, side by side ---


def started(lab: Lab, mark: Path, *more: Any) -> tuple[str, list[int]]:
    arn = lab.start(lab.define(process("Long", LONG, env={"MARK": str(mark)}), *more))
    return arn, pids(mark)


def test_stopping_ends_the_running_job_and_its_children(lab: Lab, tmp_path: Path) -> None:
    arn, children = started(lab, tmp_path / "mark", process("Next", DependsOn=["Long"]))
    assert all(map(alive, children))
    job = lab.ran(arn).job("Long")
    described = lab.sagemaker.describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "InProgress"
    assert lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionArn"] == arn
    ran = lab.wait(arn)
    assert (ran.status, ran.statuses, ran.reason) == ("Stopped", {"Long": "Stopped"}, "")
    assert not any(map(alive, children))
    assert lab.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError) as error:
        lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert refusal(error)[0] == "ConflictException"


@pytest.mark.slow
def test_a_job_that_does_not_listen_is_killed_after_a_grace(lab: Lab, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    deaf = 'trap "" TERM; echo $$ > "$MARK"; while true; do sleep 0.1; done'
    arn = lab.start(lab.define(process("Deaf", deaf, env={"MARK": str(mark)})))
    (child,) = pids(mark, 1)
    lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert lab.status(arn) == "Stopping"
    assert lab.ran(arn).statuses == {"Deaf": "Stopping"}
    assert lab.wait(arn).status == "Stopped"
    assert not alive(child)


def test_what_a_job_leaves_behind_does_not_outlive_it(lab: Lab, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    ran = lab.run(process("Leave", 'sleep 60 & echo $! > "$MARK"', env={"MARK": str(mark)}))
    assert ran.status == "Succeeded"
    assert not alive(int(mark.read_text()))


def test_running_again_repeats_what_did_not_succeed(lab: Lab) -> None:
    def steps(flag: str) -> Any:
        wanted = f"{lab.root}/{flag}"
        inputs = [{"InputName": "in", "S3Input": {"S3Uri": wanted, "LocalPath": "/opt/ml/processing/input/in"}}]
        for item in inputs:
            item["S3Input"] |= {"S3DataType": "S3Prefix", "S3InputMode": "File"}  # type: ignore[operator]
        needs = process("Needs", inputs=inputs, DependsOn=["First"])
        return process("First"), condition("Way", equal(1, 1), then=[needs], otherwise=[fail("Wrong", "x")])

    arn = lab.start(lab.define(*steps("needed/late")))
    first = lab.wait(arn)
    assert (first.status, first.statuses["Needs"]) == ("Failed", "Failed")
    assert 'No S3 objects found under S3 URL "' in first.reason
    lab.put("needed/late.txt", "x")
    assert lab.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionArn"] == arn
    second = lab.wait(arn)
    assert (second.status, second.reason) == ("Succeeded", "")
    assert second.statuses == {"First": "Succeeded", "Way": "Succeeded", "Needs": "Succeeded"}
    for name in ("First", "Way"):
        assert second.steps[name] == first.steps[name]
    assert second.steps["Needs"]["StartTime"] > first.steps["Needs"]["EndTime"]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert refusal(error)[0] == "ConflictException"


def test_a_stopped_execution_can_go_on(lab: Lab, tmp_path: Path) -> None:
    mark, flag = tmp_path / "mark", tmp_path / "flag"
    command = f'test -e "{flag}" && exit 0; {LONG}'
    arn = lab.start(lab.define(process("Long", command, env={"MARK": str(mark)}), process("Next", DependsOn=["Long"])))
    pids(mark)
    lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert lab.wait(arn).status == "Stopped"
    flag.touch()
    lab.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert lab.wait(arn).statuses == {"Long": "Succeeded", "Next": "Succeeded"}


def overlapping(ran: Ran) -> int:
    """How many steps ran at once at most."""
    moments = [(step["StartTime"], 1) for step in ran.steps.values()]
    moments += [(step["EndTime"], -1) for step in ran.steps.values()]
    counts, now = [], 0
    for _, change in sorted(moments):
        now += change
        counts.append(now)
    return max(counts)


@pytest.mark.slow
def test_no_more_steps_run_at_once_than_allowed(lab: Lab) -> None:
    name = lab.define(
        *(process(f"P{number}", "sleep 0.1") for number in range(4)),
        ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
    )
    ran = lab.wait(lab.start(name))
    assert (ran.status, overlapping(ran)) == ("Succeeded", 2)
    ran = lab.wait(lab.start(name, ParallelismConfiguration={"MaxParallelExecutionSteps": 1}))
    assert overlapping(ran) == 1
    described = lab.sagemaker.describe_pipeline_execution(PipelineExecutionArn=ran.arn)
    assert described["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 1}


@pytest.mark.slow
def test_many_executions_at_once_keep_apart(lab: Lab, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    name = lab.define(
        process("A", f'while ! test -e "{flag}"; do sleep 0.05; done'),
        fail("Say", join(get("Parameters.N"), get("Execution.PipelineExecutionId"), on=" "), DependsOn=["A"]),
        parameters=[parameter("N", "Integer")],
    )
    arns = [lab.start(name, {"N": str(number)}) for number in range(20)]
    with pytest.raises(ClientError) as error:
        lab.start(name, {"N": "20"})
    assert refusal(error) == ("ResourceLimitExceeded", "The embedded AWS runs 20 executions at once.")
    flag.touch()
    for number, arn in enumerate(arns):
        assert lab.wait(arn).steps["Say"]["FailureReason"] == f"{number} {arn.rpartition('/')[2]}"
    assert lab.wait(lab.start(name, {"N": "20"})).status == "Failed"


# --- pipelines and what is known of executions ---


def test_a_pipeline_is_made_changed_described_and_deleted(lab: Lab) -> None:
    text = definition(fail("Stop", "first"))
    arn = lab.sagemaker.create_pipeline(
        PipelineName="life",
        PipelineDisplayName="Life",
        PipelineDescription="of a pipeline",
        PipelineDefinition=text,
        RoleArn=lab.role,
        ParallelismConfiguration={"MaxParallelExecutionSteps": 3},
        Tags=[{"Key": "a", "Value": "1"}],
    )["PipelineArn"]
    assert arn == f"arn:aws:sagemaker:{REGION}:{lab.account}:pipeline/life"
    described = lab.sagemaker.describe_pipeline(PipelineName=arn)
    assert described["PipelineDefinition"] == text
    assert (described["PipelineStatus"], described["RoleArn"]) == ("Active", lab.role)
    assert (described["PipelineDisplayName"], described["PipelineDescription"]) == ("Life", "of a pipeline")
    assert described["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}
    assert described["CreatedBy"]["IamIdentity"]["Arn"] == f"arn:aws:iam::{lab.account}:root"
    assert "LastRunTime" not in described
    first = lab.start("life")
    assert lab.wait(first).reason.endswith("Stop: first")

    key = lab.put("definitions/second.json", definition(fail("Stop", "second"))).removeprefix(f"{lab.root}/")
    lab.sagemaker.update_pipeline(
        PipelineName="life",
        PipelineDescription="changed",
        PipelineDefinitionS3Location={"Bucket": lab.bucket, "ObjectKey": key},
    )
    changed = lab.sagemaker.describe_pipeline(PipelineName="life")
    assert (changed["PipelineDescription"], changed["PipelineDisplayName"]) == ("changed", "Life")
    assert changed["PipelineDefinition"] == definition(fail("Stop", "second"))
    assert changed["LastModifiedTime"] > changed["CreationTime"] == described["CreationTime"]
    second = lab.start("life")
    assert lab.wait(second).reason.endswith("Stop: second")
    for execution, message in ((first, "first"), (second, "second")):
        kept = lab.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)
        assert kept["PipelineDefinition"] == definition(fail("Stop", message))

    assert lab.sagemaker.delete_pipeline(PipelineName="life")["PipelineArn"] == arn
    for gone in (lambda: lab.sagemaker.describe_pipeline(PipelineName="life"), lambda: lab.start("life")):
        with pytest.raises(ClientError) as error:
            gone()
        assert refusal(error) == ("ResourceNotFound", f"Pipeline '{arn}' does not exist.")


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_pipeline", {"PipelineName": "missing"}),
        ("update_pipeline", {"PipelineName": "missing"}),
        ("delete_pipeline", {"PipelineName": "missing"}),
        ("start_pipeline_execution", {"PipelineName": "missing"}),
        ("list_pipeline_executions", {"PipelineName": "missing"}),
        ("describe_pipeline_execution", {"PipelineExecutionArn": "EXECUTION"}),
        ("describe_pipeline_definition_for_execution", {"PipelineExecutionArn": "EXECUTION"}),
        ("list_pipeline_execution_steps", {"PipelineExecutionArn": "EXECUTION"}),
        ("list_pipeline_parameters_for_execution", {"PipelineExecutionArn": "EXECUTION"}),
        ("stop_pipeline_execution", {"PipelineExecutionArn": "EXECUTION"}),
        ("retry_pipeline_execution", {"PipelineExecutionArn": "EXECUTION"}),
    ],
)
def test_what_there_is_not_is_not_found(lab: Lab, operation: str, parameters: dict[str, str]) -> None:
    missing = f"arn:aws:sagemaker:{REGION}:{lab.account}:pipeline/missing/execution/{'0' * 12}"
    given = {name: value.replace("EXECUTION", missing) for name, value in parameters.items()}
    with pytest.raises(ClientError) as error:
        getattr(lab.sagemaker, operation)(**given)
    code, message = refusal(error)
    assert (code, "missing" in message, "does not exist" in message) == ("ResourceNotFound", True, True)


def test_a_pipeline_of_another_account_or_region_is_not_ones_own(lab: Lab, aws: EmbeddedAws) -> None:
    name = lab.define(fail("Stop", "x"), name="not-yours")
    arn = lab.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    for other in (Lab(aws), Lab(aws, "us-west-2")):
        assert other.sagemaker.list_pipelines()["PipelineSummaries"] == []
        other.define(fail("Stop", "x"), name=name)
        with pytest.raises(ClientError) as error:
            other.sagemaker.describe_pipeline(PipelineName=arn)
        assert refusal(error)[0] == "ResourceNotFound"


def test_pipelines_that_cannot_be_made(lab: Lab) -> None:
    text = definition(fail("Stop", "x"))
    lab.define(fail("Stop", "x"), name="taken")
    bucket = {"Bucket": lab.bucket, "ObjectKey": "no/definition.json"}
    lab.put("binary.json", b"\xff\xfe")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"PipelineName": "taken", "PipelineDefinition": text}, "Pipeline with name (taken) already exists"),
        ({"PipelineName": "a", "PipelineDefinition": text, "PipelineDefinitionS3Location": bucket}, "not both"),
        ({"PipelineName": "a"}, "needs PipelineDefinition or PipelineDefinitionS3Location"),
        ({"PipelineName": "a", "PipelineDefinitionS3Location": bucket}, "no/definition.json cannot be read"),
        (
            {"PipelineName": "a", "PipelineDefinitionS3Location": {**bucket, "ObjectKey": "binary.json"}},
            "binary.json cannot be read",
        ),
        ({"PipelineName": "no_such-", "PipelineDefinition": text}, "Value 'no_such-' at 'pipelineName'"),
        ({"PipelineName": "a", "PipelineDefinition": text, "RoleArn": "arn:aws:iam::1:user/x"}, "at 'roleArn'"),
        ({"PipelineName": "a", "PipelineDefinition": "{"}, "The pipeline definition is not JSON"),
    ]
    for given, problem in cases:
        with pytest.raises(ClientError) as error:
            lab.sagemaker.create_pipeline(**{"RoleArn": lab.role, **given})
        code, message = refusal(error)
        assert (code, problem in message) == ("ValidationException", True), message
    assert lab.sagemaker.list_pipelines(PipelineNamePrefix="a")["PipelineSummaries"] == []


def test_asking_twice_with_one_token_makes_one(lab: Lab) -> None:
    given = {"PipelineName": "once", "PipelineDefinition": definition(fail("Stop", "x")), "RoleArn": lab.role}
    arns = {lab.sagemaker.create_pipeline(**given, ClientRequestToken="a" * 32)["PipelineArn"] for _ in range(2)}
    assert len(arns) == 1
    executions = {lab.start("once", ClientRequestToken="b" * 32) for _ in range(2)}
    assert len(executions) == 1
    assert len(lab.sagemaker.list_pipeline_executions(PipelineName="once")["PipelineExecutionSummaries"]) == 1
    assert lab.start("once", ClientRequestToken="c" * 32) not in executions


def test_a_running_pipeline_is_not_deleted(lab: Lab, tmp_path: Path) -> None:
    arn, _ = started(lab, tmp_path / "mark")
    name = arn.split("/")[1]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.delete_pipeline(PipelineName=name)
    assert refusal(error)[0] == "ConflictException"
    lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    lab.wait(arn)
    lab.sagemaker.delete_pipeline(PipelineName=name)


def test_executions_are_listed_sorted_filtered_and_in_pages(lab: Lab) -> None:
    name = lab.define(fail("Stop", "x"))
    arns = []
    for number in range(5):
        arn = lab.start(name, PipelineExecutionDisplayName=f"n-{number}", PipelineExecutionDescription=f"the {number}")
        arns.append(lab.wait(arn).arn)
    between = datetime.now(UTC)
    time.sleep(0.002)
    arns.append(lab.wait(lab.start(name)).arn)

    def listed(**asked: Any) -> list[str]:
        found = lab.sagemaker.list_pipeline_executions(PipelineName=name, **asked)["PipelineExecutionSummaries"]
        return [item["PipelineExecutionArn"] for item in found]

    assert listed() == arns[::-1]
    assert listed(SortOrder="Ascending", SortBy="CreationTime") == arns
    assert listed(SortBy="PipelineExecutionArn", SortOrder="Ascending") == sorted(arns)
    assert listed(SortBy="PipelineExecutionArn") == sorted(arns)[::-1]
    # The API's times have whole milliseconds in some SDKs, so the last one is told apart by more than one.
    assert listed(CreatedBefore=between) == arns[:5][::-1]
    assert listed(CreatedAfter=between) == arns[5:]
    pages = lab.sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=name, PaginationConfig={"PageSize": 4}
    )
    sizes = [[item["PipelineExecutionArn"] for item in page["PipelineExecutionSummaries"]] for page in pages]
    assert sizes == [arns[::-1][:4], arns[::-1][4:]]
    for token in ("nonsense!", "LTU="):
        with pytest.raises(ClientError, match="is not one that was given out"):
            listed(NextToken=token)
    summary = lab.sagemaker.list_pipeline_executions(PipelineName=name, SortOrder="Ascending")
    first = summary["PipelineExecutionSummaries"][0]
    assert (first["PipelineExecutionDisplayName"], first["PipelineExecutionDescription"]) == ("n-0", "the 0")
    assert (first["PipelineExecutionStatus"], first["PipelineExecutionFailureReason"]) == (
        "Failed",
        "Step failure: One or multiple steps failed. Stop: x",
    )
    described = lab.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arns[0])
    assert (described["PipelineExecutionDisplayName"], described["PipelineExecutionDescription"]) == ("n-0", "the 0")
    pipeline = lab.sagemaker.describe_pipeline(PipelineName=name)
    last = lab.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arns[5])
    assert pipeline["LastRunTime"] == last["CreationTime"]


def test_pipelines_are_listed_sorted_filtered_and_in_pages(aws: EmbeddedAws) -> None:
    lab = Lab(aws)
    for name in ("b-1", "c-2", "b-3"):
        lab.define(fail("Stop", "x"), name=name)

    def listed(**asked: Any) -> list[str]:
        return [found["PipelineName"] for found in lab.sagemaker.list_pipelines(**asked)["PipelineSummaries"]]

    assert listed() == ["b-3", "c-2", "b-1"]
    assert listed(SortBy="Name", SortOrder="Ascending") == ["b-1", "b-3", "c-2"]
    assert listed(PipelineNamePrefix="b", SortOrder="Ascending") == ["b-1", "b-3"]
    pages = lab.sagemaker.get_paginator("list_pipelines").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["PipelineSummaries"]) for page in pages] == [2, 1]


def test_steps_are_listed_in_pages_with_what_they_are_called(lab: Lab) -> None:
    steps = [
        process("A", DisplayName="The first", Description="does nothing"),
        process("B", DependsOn=["A"]),
        process("C", DependsOn=["B"]),
    ]
    ran = lab.run(*steps)
    assert (ran.steps["A"]["StepDisplayName"], ran.steps["A"]["StepDescription"]) == ("The first", "does nothing")
    assert "StepDisplayName" not in ran.steps["B"]
    pages = lab.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=ran.arn, PaginationConfig={"PageSize": 2}
    )
    names = [[step["StepName"] for step in page["PipelineExecutionSteps"]] for page in pages]
    assert names == [["C", "B"], ["A"]]


def test_jobs_are_listed_and_described(aws: EmbeddedAws) -> None:
    lab = Lab(aws)
    ran = lab.run(process("Good"), process("Bad", "exit 1", DependsOn=["Good"]))
    good, bad = ran.job("Good"), ran.job("Bad")
    assert good.startswith(f"pipelines-{ran.arn.rpartition('/')[2]}-Good-")
    assert len(good) <= 63

    def listed(**asked: Any) -> list[str]:
        found = lab.sagemaker.list_processing_jobs(**asked)["ProcessingJobSummaries"]
        return [job["ProcessingJobName"] for job in found]

    assert listed() == [bad, good]
    assert listed(SortBy="CreationTime", SortOrder="Ascending") == [good, bad]
    assert listed(StatusEquals="Completed") == [good]
    assert listed(NameContains="-Bad-") == [bad]
    described = lab.sagemaker.describe_processing_job(ProcessingJobName=good)
    assert described["CreationTime"] <= described["ProcessingStartTime"] <= described["ProcessingEndTime"]
    assert described["ProcessingJobArn"] == ran.steps["Good"]["Metadata"]["ProcessingJob"]["Arn"]
    assert lab.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    for operation, kind in (("describe_processing_job", "Processing"), ("describe_training_job", "Training")):
        with pytest.raises(ClientError, match="Could not find requested job with name: none"):
            getattr(lab.sagemaker, operation)(**{f"{kind}JobName": "none"})


def test_tags_of_a_pipeline(lab: Lab) -> None:
    name = lab.define(fail("Stop", "x"), Tags=[{"Key": "project", "Value": "p-1"}])
    arn = lab.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    lab.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "project", "Value": "p-2"}])

    def tags() -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in lab.sagemaker.list_tags(ResourceArn=arn)["Tags"]}

    assert tags() == {"project": "p-2", "b": "2"}
    lab.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert tags() == {"project": "p-2"}
    lab.sagemaker.update_pipeline(PipelineName=name, PipelineDescription="x")
    assert tags() == {"project": "p-2"}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("start_pipeline_execution", {"SelectiveExecutionConfig": {"SelectedSteps": [{"StepName": "A"}]}}, "Selective"),
    ("start_pipeline_execution", {"PipelineVersionId": 1}, "PipelineVersionId"),
    ("describe_pipeline", {"PipelineVersionId": 1}, "PipelineVersionId"),
]


@pytest.mark.parametrize(("operation", "given", "named"), REFUSED)
def test_what_is_not_implemented_is_refused_by_name(lab: Lab, operation: str, given: Any, named: str) -> None:
    name = lab.define(fail("Stop", "x"))
    with pytest.raises(ClientError) as error:
        getattr(lab.sagemaker, operation)(PipelineName=name, **given)
    assert f"The embedded AWS does not implement {named}" in refusal(error)[1]


def test_a_job_by_itself_is_refused_rather_than_pretended(lab: Lab) -> None:
    arguments = process("A")["Arguments"]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_processing_job(ProcessingJobName="alone", **arguments)
    assert refusal(error)[0] == "NotImplementedByEmbeddedAws"
    assert "sagemaker:CreateProcessingJob. It runs jobs as steps of a pipeline." in refusal(error)[1]


# --- servers ---


def running_long(aws: EmbeddedAws, mark: Path) -> tuple[Lab, str, list[int]]:
    lab = Lab(aws)
    return lab, *started(lab, mark)


def folders(children: list[int]) -> set[str]:
    return {psutil.Process(pid).cwd() for pid in children}


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_job_behind(tmp_path: Path) -> None:
    with EmbeddedAws(region=REGION) as own:
        _, _, children = running_long(own, tmp_path / "mark")
        (folder,) = folders(children)
        os.kill(own.pid, signal.SIGKILL)
        within(10, lambda: not any(map(alive, children)))
        within(10, lambda: not Path(folder).exists())


@pytest.mark.slow
def test_a_server_that_ends_leaves_no_job_behind(tmp_path: Path) -> None:
    with EmbeddedAws(region=REGION) as own:
        _, _, children = running_long(own, tmp_path / "mark")
        (folder,) = folders(children)
        begun = time.monotonic()
    assert time.monotonic() - begun < STOP_SECONDS, "it had to be killed"
    assert not any(map(alive, children))
    assert not Path(folder).exists()


@pytest.mark.slow
def test_two_servers_side_by_side_know_nothing_of_each_other(aws: EmbeddedAws, tmp_path: Path) -> None:
    with EmbeddedAws(region=REGION) as other:
        here, arn, children = running_long(aws, tmp_path / "here")
        there = Lab(other)
        there_arn = there.start(there.define(process("Long", LONG, env={"MARK": str(tmp_path / "there")})))
        other_children = pids(tmp_path / "there")
        with pytest.raises(ClientError) as error:
            there.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        assert refusal(error)[0] == "ResourceNotFound"
        here.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
        assert here.wait(arn).status == "Stopped"
        assert there.status(there_arn) == "Executing"
        assert all(map(alive, other_children))
    assert not any(map(alive, children + other_children))
