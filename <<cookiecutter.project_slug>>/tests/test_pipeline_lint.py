"""The lint of a definition: a valid one passes, and each way of being wrong is found and named."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.lint import lint

FIXTURE = Path(__file__).parent / "pipeline" / "definition.json"
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def definition() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    return loaded


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    """Find a step, also inside a condition."""
    waiting = list(definition["Steps"])
    while waiting:
        one: dict[str, Any] = waiting.pop()
        if one["Name"] == name:
            return one
        if one["Type"] == "Condition":
            waiting += one["Arguments"]["IfSteps"] + one["Arguments"]["ElseSteps"]
    raise AssertionError(name)


def arguments(definition: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = step(definition, name)["Arguments"]
    return found


def test_a_valid_definition_passes(definition: dict[str, Any]) -> None:
    assert lint(definition) == []


def test_it_takes_less_than_a_second(definition: dict[str, Any]) -> None:
    began = time.perf_counter()
    lint(definition)
    assert time.perf_counter() - began < 1


# What to do to the valid definition, and what must then be said.
BREAKS: dict[str, tuple[Change, str]] = {
    "version": (lambda d: d.update(Version="2019"), "Version is '2019'"),
    "no steps": (lambda d: d.update(Steps=[]), "Steps is missing or empty"),
    "two parameters": (
        lambda d: d["Parameters"].append(copy.deepcopy(d["Parameters"][0])),
        "parameter InputData: there are two of that name",
    ),
    "parameter type": (
        lambda d: d["Parameters"][0].update(Type="Text"),
        "parameter InputData: Type is 'Text'",
    ),
    "default of another type": (
        lambda d: d["Parameters"][2].update(DefaultValue="high"),
        "parameter Threshold: the default 'high' is no Float",
    ),
    "truth is no number": (
        lambda d: d["Parameters"][2].update(DefaultValue=True),
        "parameter Threshold: the default True is no Float",
    ),
    "default not allowed": (
        lambda d: d["Parameters"][5].update(DefaultValue="Maybe"),
        "parameter ModelApprovalStatus: the default 'Maybe' is not one of",
    ),
    "two steps": (
        lambda d: d["Steps"].append(copy.deepcopy(d["Steps"][0])),
        "step Preprocess: there are two of that name",
    ),
    "two steps, one inside": (
        lambda d: d["Steps"].append(copy.deepcopy(step(d, "Register"))),
        "step Register: there are two of that name",
    ),
    "name of a step": (
        lambda d: d["Steps"][0].update(Name="Pre process"),
        "step 'Pre process': a name has 1 to 64",
    ),
    "type of a step": (
        lambda d: d["Steps"][0].update(Type="Lambda"),
        "step Preprocess: a step of type 'Lambda' is not known here",
    ),
    "key of a step": (lambda d: d["Steps"][0].update(Retry=1), "step Preprocess: Retry is not known"),
    "retry policy": (
        lambda d: d["Steps"][0]["RetryPolicies"][0].update(ExceptionType=["Step.ANY"]),
        "step Preprocess: RetryPolicies: Step.ANY is not known",
    ),
    "required member": (
        lambda d: arguments(d, "Train").pop("OutputDataConfig"),
        "step Train: OutputDataConfig is missing",
    ),
    "required member, deeper": (
        lambda d: arguments(d, "Preprocess")["AppSpecification"].pop("ImageUri"),
        "step Preprocess: AppSpecification.ImageUri is missing",
    ),
    "unknown member": (
        lambda d: arguments(d, "Train").update(Hyperparameters={}),
        "step Train: Hyperparameters is not a member of CreateTrainingJobRequest",
    ),
    "enumeration": (
        lambda d: arguments(d, "Train")["InputDataConfig"][0]["DataSource"]["S3DataSource"].update(
            S3DataDistributionType="Sharded"
        ),
        "step Train: InputDataConfig[0].DataSource.S3DataSource.S3DataDistributionType is 'Sharded'",
    ),
    "instance type": (
        lambda d: arguments(d, "Train")["ResourceConfig"].update(InstanceType="ml.m5.huge"),
        "step Train: ResourceConfig.InstanceType is 'ml.m5.huge'",
    ),
    "number as text": (
        lambda d: arguments(d, "Train")["ResourceConfig"].update(VolumeSizeInGB="30"),
        "step Train: ResourceConfig.VolumeSizeInGB is '30': expected a integer",
    ),
    "text as number": (
        lambda d: arguments(d, "Train")["HyperParameters"].update(seed=42),
        "step Train: HyperParameters.seed is 42: expected a string",
    ),
    "too small": (
        lambda d: arguments(d, "Train")["StoppingCondition"].update(MaxRuntimeInSeconds=0),
        "step Train: StoppingCondition.MaxRuntimeInSeconds is 0: expected 1",
    ),
    "pattern": (
        lambda d: arguments(d, "Train").update(RoleArn="arn:aws:iam::1:role/training"),
        "step Train: RoleArn is 'arn:aws:iam::1:role/training': does not match",
    ),
    "length": (
        lambda d: arguments(d, "Train").update(RoleArn="x"),
        "step Train: RoleArn has 1 characters: expected 20 to 2048",
    ),
    "list": (
        lambda d: arguments(d, "Preprocess")["AppSpecification"].update(ContainerEntrypoint="python3"),
        "ContainerEntrypoint is 'python3': expected a list",
    ),
    "object": (
        lambda d: arguments(d, "Train").update(Environment=[]),
        "step Train: Environment is []: expected an object",
    ),
    "structure": (
        lambda d: arguments(d, "Train").update(ResourceConfig="big"),
        "step Train: ResourceConfig is 'big': expected an object",
    ),
    "no such parameter": (
        lambda d: arguments(d, "Train")["ResourceConfig"].update(InstanceType={"Get": "Parameters.Machine"}),
        "step Train: there is no parameter Machine",
    ),
    "parameter of another type": (
        lambda d: arguments(d, "Train")["HyperParameters"].update(eta={"Get": "Parameters.Eta"}),
        "step Train: HyperParameters.eta: Parameters.Eta is of type Float: expected String",
    ),
    "join for a number": (
        lambda d: arguments(d, "Train")["ResourceConfig"].update(
            InstanceCount={"Std:Join": {"On": "", "Values": ["1"]}}
        ),
        "step Train: ResourceConfig.InstanceCount: Std:Join gives a text",
    ),
    "variable for an object": (
        lambda d: arguments(d, "Train").update(ResourceConfig={"Get": "Parameters.Metric"}),
        "step Train: ResourceConfig: only texts, numbers and truth",
    ),
    "no such step": (
        lambda d: arguments(d, "Evaluate")["ProcessingInputs"][1]["S3Input"].update(
            S3Uri={"Get": "Steps.Fit.ModelArtifacts.S3ModelArtifacts"}
        ),
        "step Evaluate: there is no step Fit",
    ),
    "no such answer": (
        lambda d: arguments(d, "Evaluate")["ProcessingInputs"][1]["S3Input"].update(
            S3Uri={"Get": "Steps.Train.ModelArtifacts.S3Model"}
        ),
        "step Evaluate: step Train has no ModelArtifacts.S3Model",
    ),
    "no such output": (
        lambda d: arguments(d, "Preprocess")["ProcessingOutputConfig"]["Outputs"].pop(0),
        "step Train: step Preprocess has no output train",
    ),
    "of the execution": (
        lambda d: arguments(d, "Train")["OutputDataConfig"].update(S3OutputPath={"Get": "Execution.Id"}),
        "step Train: an execution has no Id",
    ),
    "of nothing": (
        lambda d: arguments(d, "Train")["OutputDataConfig"].update(S3OutputPath={"Get": "Bucket"}),
        "step Train: 'Bucket' is neither a parameter",
    ),
    "answer of a fail step": (
        lambda d: arguments(d, "Train")["OutputDataConfig"].update(
            S3OutputPath={"Get": "Steps.Reject.Message"}
        ),
        "step Train: step Reject has nothing that another step could use",
    ),
    "no such property file": (
        lambda d: step(d, "Evaluate")["PropertyFiles"][0].update(PropertyFileName="Result"),
        "step CheckQuality: step Evaluate has no property file Evaluation",
    ),
    "property file of no output": (
        lambda d: step(d, "Evaluate")["PropertyFiles"][0].update(OutputName="results"),
        "step Evaluate: property file Evaluation is in an output that the step does not have",
    ),
    "json without a path": (
        lambda d: arguments(d, "CheckQuality")["Conditions"][0]["LeftValue"]["Std:JsonGet"].update(Path=""),
        "step CheckQuality: Std:JsonGet of Evaluation has no Path",
    ),
    "condition": (
        lambda d: arguments(d, "CheckQuality")["Conditions"][0].update(Type="Same"),
        "step CheckQuality: there is no condition 'Same'",
    ),
    "half a condition": (
        lambda d: arguments(d, "CheckQuality")["Conditions"][0].pop("RightValue"),
        "step CheckQuality: Equals compares LeftValue with RightValue",
    ),
    "argument of a condition step": (
        lambda d: arguments(d, "CheckQuality").update(ThenSteps=[]),
        "step CheckQuality: ThenSteps is not an argument of a Condition step",
    ),
    "fail without message": (
        lambda d: arguments(d, "Reject").pop("ErrorMessage"),
        "step Reject: ErrorMessage is missing",
    ),
    "waits for nobody": (
        lambda d: step(d, "Train").update(DependsOn=["Prepare"]),
        "step Train: DependsOn: there is no step Prepare",
    ),
    "circle": (
        lambda d: step(d, "Preprocess").update(DependsOn=["Evaluate"]),
        "steps that wait for each other: CheckQuality, Evaluate, Preprocess, Register, Reject, Train",
    ),
    "empty program": (
        lambda d: arguments(d, "Register")["InferenceSpecification"]["Containers"][0]["Environment"].update(
            SAGEMAKER_PROGRAM=""
        ),
        "step Register: container 0: SAGEMAKER_PROGRAM is missing or empty",
    ),
    "no script": (
        lambda d: arguments(d, "Train")["HyperParameters"].pop("sagemaker_program"),
        "step Train: hyperparameter sagemaker_program is missing or empty",
    ),
    "nonsense in an argument": (
        lambda d: d["Steps"][0].update(Arguments=None),
        "step Preprocess: Arguments is missing",
    ),
}


@pytest.mark.parametrize(("change", "expected"), BREAKS.values(), ids=BREAKS)
def test_what_is_wrong_is_found_and_named(definition: dict[str, Any], change: Change, expected: str) -> None:
    change(definition)
    found = lint(definition)
    assert any(problem.startswith(expected) or expected in problem for problem in found), found


def test_it_finds_everything_at_once(definition: dict[str, Any]) -> None:
    arguments(definition, "Train").pop("RoleArn")
    arguments(definition, "Register")["Task"] = 1
    assert len(lint(definition)) == 2


@pytest.mark.parametrize("nonsense", [None, [], "text", {}])
def test_nonsense_is_said_and_does_not_crash(nonsense: Any) -> None:
    assert lint(nonsense)
