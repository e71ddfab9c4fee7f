"""Definitions that cannot be run: refused when the pipeline is made, with the place and the rule."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline_support import (
    Lab,
    Step,
    channel,
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
    s3_input,
    s3_output,
    train,
)
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.jobs import definition as definitions

STOP = fail("Stop", "x")
EQUAL = compare("Equals", 1, 1)
RETRIED = ["Step.SERVICE_FAULT"]


@pytest.fixture(scope="module")
def lab(aws: EmbeddedAws) -> Lab:
    return Lab(aws)


def with_file(**file: Any) -> Step:
    files = [{"PropertyFileName": "F", "OutputName": "out", "FilePath": "f.json", **file}]
    return process("A", outputs=[s3_output("out", "s3://b/o")], PropertyFiles=files)


def training(**more: Any) -> Step:
    return train("T", "s3://b/s.tar.gz", "s3://b/o", **more)


def text(*steps: Step, **more: Any) -> str:
    return definition(*(steps or (STOP,)), **more)


BAD: dict[str, tuple[str, str]] = {
    # the whole
    "not JSON": ("{", "The pipeline definition is not JSON"),
    "a list": ("[]", "The pipeline definition: expected an object, found []"),
    "no steps": (json.dumps({"Version": "2020-12-01"}), "The pipeline definition: Steps is missing"),
    "empty": (json.dumps({"Version": "2020-12-01", "Steps": []}), "Steps: expected at least one step"),
    "another version": (json.dumps({"Version": "2019-01-01", "Steps": [STOP]}), "has Version '2019-01-01'; expected"),
    "unknown key": (text(Extra=1), "The pipeline definition: the embedded AWS does not implement Extra"),
    "mlflow": (text(MlflowConfig={"MlflowResourceArn": "x"}), "does not implement MlflowConfig"),
    # parameters
    "parameter twice": (text(parameters=[parameter("A"), parameter("A")]), "Parameters: a name is there more than"),
    "parameter type": (text(parameters=[parameter("A", "Date")]), "Parameter A has type 'Date'; expected one of"),
    "parameter name": (text(parameters=[parameter("a b")]), "Parameters: 'a b' is not a name"),
    "default type": (text(parameters=[parameter("A", "Integer", "3")]), "A is of type Integer, and '3' is not"),
    "default is a truth": (text(parameters=[parameter("A", "Integer", True)]), "A is of type Integer, and True is not"),
    "enum type": (text(parameters=[parameter("A", "Float", 1, [1, "x"])]), "A is of type Float, and 'x' is not"),
    "default outside": (text(parameters=[parameter("A", default="z", enum=["x"])]), "A is 'z'; expected one of 'x'"),
    # steps
    "step type": (
        text({"Name": "A", "Type": "Tuning", "Arguments": {}}),
        "Step A: the embedded AWS does not implement",
    ),
    "step without a name": (text({"Type": "Fail", "Arguments": {}}), "expected an object with a Name"),
    "step name": (text(fail("a b", "x")), "expected an object with a Name of up to 64"),
    "step twice": (text(STOP, condition("C", EQUAL, then=[STOP])), "Step Stop: there is another step of this name"),
    "step key": (text({**STOP, "Extra": 1}), "Step Stop: the embedded AWS does not implement Extra"),
    "no arguments": (text({"Name": "A", "Type": "Fail"}), "Step A: Arguments is missing"),
    "retry of a Fail": (text({**STOP, "RetryPolicies": []}), "Step Stop: the embedded AWS does not implement Retry"),
    "unknown dependency": (text(process("A", DependsOn=["B"])), "Step A depends on step B, which is not there"),
    "circle": (
        text(process("A", DependsOn=["B"]), process("B", env={"X": get("Steps.A.ProcessingJobArn")})),
        "The steps wait for one another in a circle: A -> B -> A",
    ),
    "circle through a condition": (
        text(condition("C", compare("Equals", get("Steps.A.X"), 1), then=[process("A")])),
        "The steps wait for one another in a circle: C -> A -> C",
    ),
    # references
    "unknown parameter": (text(fail("A", get("Parameters.B"))), "Step A: Parameters.B does not name anything"),
    "unknown variable": (text(fail("A", get("Execution.Colour"))), "Step A: Execution.Colour does not name anything"),
    "unknown scope": (text(fail("A", get("Things.B"))), "Step A: Things.B does not name anything"),
    "unknown step": (text(fail("A", get("Steps.B.X"))), "Step A depends on step B, which is not there"),
    "unknown file": (
        text(with_file(), fail("B", json_get("A", "G", "x"))),
        "Step B: step A has no property file G",
    ),
    "file of no output": (text(with_file(OutputName="other")), "property file F is in output other, which the step"),
    "unknown function": (text(fail("A", {"Std:Split": {}})), "Step A: the embedded AWS does not implement Std:Split"),
    "join of what": (text(fail("A", {"Std:Join": {"On": ""}})), "Step A: Std:Join takes On, Values"),
    "join of a text": (text(fail("A", {"Std:Join": {"On": "", "Values": "x"}})), "expected On to be a text and Values"),
    "json of what": (
        text(fail("A", {"Std:JsonGet": {"Path": "x"}})),
        "Std:JsonGet takes Path, PropertyFile or Path, S",
    ),
    "json of a name": (
        text(fail("A", {"Std:JsonGet": {"PropertyFile": "F", "Path": "x"}})),
        "PropertyFile: expected a Get of Steps.<step>.PropertyFiles.<name>",
    ),
    # conditions
    "condition type": (text(condition("C", compare("Like", 1, 1))), "a condition has type 'Like'; expected one of"),
    "no condition": (text(condition("C")), "Step C: Conditions: expected at least one"),
    "one side": (text(condition("C", {"Type": "Equals", "LeftValue": 1})), "condition Equals: RightValue is missing"),
    "in nothing": (text(condition("C", {"Type": "In", "QueryValue": 1, "Values": []})), "Values: expected at least"),
    "in a text": (text(condition("C", {"Type": "In", "QueryValue": 1, "Values": "ab"})), "Values: expected a list"),
    "or of nothing": (text(condition("C", {"Type": "Or", "Conditions": []})), "Conditions: expected at least one"),
    "not of nothing": (text(condition("C", {"Type": "Not", "Expression": 1})), "a condition has type None"),
    # caching and retries
    "cache without switch": (text(process("A", CacheConfig={})), "Step A: CacheConfig: Enabled is missing"),
    "cache in words": (
        text(process("A", CacheConfig={"Enabled": "no"})),
        "Enabled: expected true or false, found 'no'",
    ),
    "cache of no time": (
        text(process("A", CacheConfig={"Enabled": True, "ExpireAfter": "a day"})),
        "Step A: CacheConfig: ExpireAfter: 'a day' is not a duration such as P30D or PT1H",
    ),
    "cache for ever": (
        text(process("A", CacheConfig={"Enabled": True, "ExpireAfter": "P9999999999D"})),
        "ExpireAfter: 'P9999999999D' is too long a duration",
    ),
    "retry of what": (
        text(process("A", RetryPolicies=[{"ExceptionType": ["Any"]}])),
        "Step A: RetryPolicies: unknown ExceptionType Any; expected Step.SERVICE_FAULT",
    ),
    "retry too often": (
        text(process("A", RetryPolicies=[{"ExceptionType": RETRIED, "MaxAttempts": 21}])),
        "MaxAttempts: expected a whole number from 0 to 20, found 21",
    ),
    "retry in words": (
        text(process("A", RetryPolicies=[{"ExceptionType": RETRIED, "IntervalSeconds": "1"}])),
        'IntervalSeconds: expected a number from 0 to 43200, found "1"',
    ),
    "retry twice limited": (
        text(process("A", RetryPolicies=[{"ExceptionType": RETRIED, "MaxAttempts": 2, "ExpireAfterMin": 2}])),
        "expected either MaxAttempts or ExpireAfterMin, not both",
    ),
    # jobs
    "arguments of no job": (text({**process("A"), "Arguments": []}), "Step A: Arguments must be an object"),
    "unknown argument": (
        text(process("A", arguments={"Colour": 1})),
        "Arguments: CreateProcessingJobRequest has no Co",
    ),
    "text for a list": (text(process("A", arguments={"ProcessingInputs": "x"})), "ProcessingInputs: expected a list"),
    "map for a text": (text(process("A", env={"X": {}})), "Arguments.Environment.X: expected a string, found {}"),
    "no program": (
        text({**training(), "Arguments": {**training()["Arguments"], "HyperParameters": {"a": "1"}}}),
        "training without the hyperparameters sagemaker_program and sagemaker_submit_directory",
    ),
    "own entrypoint": (
        text(training(arguments={"AlgorithmSpecification": {"ContainerEntrypoint": ["x"]}})),
        "Step T: the embedded AWS does not implement AlgorithmSpecification.ContainerEntrypoint",
    ),
    "spot": (text(training(arguments={"EnableManagedSpotTraining": True})), "EnableManagedSpotTraining = true"),
    "checkpoints": (text(training(arguments={"CheckpointConfig": {"S3Uri": "s3://b/c"}})), "CheckpointConfig"),
    "pipe": (
        text(training(channels=[{**channel("c", "s3://b/c"), "InputMode": "Pipe"}])),
        'InputDataConfig[0].InputMode = "Pipe"',
    ),
    "manifest": (
        text(training(channels=[channel("c", "s3://b/c", S3DataType="ManifestFile")])),
        'InputDataConfig[0].DataSource.S3DataSource.S3DataType = "ManifestFile"',
    ),
    "manifest of processing": (
        text(process("A", inputs=[s3_input("i", "s3://b/c", S3DataType="ManifestFile")])),
        'ProcessingInputs[0].S3Input.S3DataType = "ManifestFile"',
    ),
    "folder elsewhere": (
        text(process("A", inputs=[s3_input("i", "s3://b/c", LocalPath="/etc")])),
        'ProcessingInputs[0].S3Input.LocalPath = "/etc" (expected a folder under /opt/ml/processing/)',
    ),
    "folder out of it": (
        text(process("A", inputs=[s3_input("i", "s3://b/c", LocalPath="/opt/ml/processing/../../x")])),
        "(expected a folder under /opt/ml/processing/)",
    ),
    "continuous upload": (
        text(
            process(
                "A",
                outputs=[
                    {
                        "OutputName": "o",
                        "S3Output": {
                            "S3Uri": "s3://b/o",
                            "LocalPath": "/opt/ml/processing/o",
                            "S3UploadMode": "Continuous",
                        },
                    }
                ],
            )
        ),
        'S3UploadMode = "Continuous"',
    ),
    "validation of a model": (
        text(register("R", "g", "s3://b/m", ValidationSpecification={"ValidationRole": "x"})),
        "Step R: the embedded AWS does not implement ValidationSpecification",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_definition_makes_no_pipeline(lab: Lab, case: str) -> None:
    content, problem = BAD[case]
    with pytest.raises(ClientError) as error:
        lab.sagemaker.create_pipeline(PipelineName="bad", PipelineDefinition=content, RoleArn=lab.role)
    said = error.value.response["Error"]
    assert said["Code"] == "ValidationException"
    assert said["Message"].startswith("Unable to parse pipeline definition. ")
    assert problem in said["Message"]
    assert "\n" not in said["Message"]
    assert lab.sagemaker.list_pipelines()["PipelineSummaries"] == []


def test_a_bad_change_leaves_the_pipeline_as_it_was(aws: EmbeddedAws) -> None:
    lab = Lab(aws)
    name = lab.define(STOP)
    with pytest.raises(ClientError, match="expected at least one step"):
        lab.sagemaker.update_pipeline(
            PipelineName=name, PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": []})
        )
    assert lab.sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == definition(STOP)


def test_names_that_begin_like_functions_are_names(lab: Lab) -> None:
    """A map with one entry is not an expression because of what the entry is called."""
    definitions.parse(definition(process("A", env={"GetReady": "1"})))


GOOD = json.loads(
    definition(
        process(
            "A",
            "x",
            get("Parameters.S"),
            join("a", get("Execution.PipelineName")),
            inputs=[s3_input("i", "s3://b/k")],
            outputs=[s3_output("o", "s3://b/o")],
            env={"a": "b"},
            PropertyFiles=[{"PropertyFileName": "E", "OutputName": "o", "FilePath": "e.json"}],
            CacheConfig={"Enabled": True, "ExpireAfter": "P30D"},
            RetryPolicies=[
                {"ExceptionType": RETRIED, "MaxAttempts": 2, "IntervalSeconds": 1, "BackoffRate": 2.0},
                {"ExceptionType": RETRIED, "ExpireAfterMin": 2},
            ],
            DependsOn=["T"],
            DisplayName="d",
            Description="e",
        ),
        training(hyperparameters={"a": "1"}, channels=[channel("train", "s3://b/t")]),
        condition(
            "C",
            compare("Equals", json_get("A", "E", "a"), 1),
            {"Type": "Not", "Expression": compare("LessThan", 1, 2)},
            {"Type": "Or", "Conditions": [compare("LessThan", 1, 2)]},
            {"Type": "In", "QueryValue": 1, "Values": [1]},
            then=[register("R", "g", get("Steps.T.ModelArtifacts.S3ModelArtifacts"), env={"a": "b"})],
            otherwise=[fail("F", join("a", "b"))],
        ),
        parameters=[parameter("S", default="x", enum=["x", "y"]), parameter("I", "Integer", 3)],
    )
)
JUNK: list[Any] = [None, -1, "", [], {}, [None], {"Get": 5}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in children:
        yield from places(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def test_whatever_stands_where_it_is_read_or_refused() -> None:
    """With junk in the place of each value in turn, a definition is refused in words, and never breaks its reader."""
    definitions.parse(json.dumps(GOOD))
    refused = tried = 0
    for path in places(GOOD):
        for junk in JUNK:
            tried += 1
            try:
                definitions.parse(json.dumps(replaced(GOOD, path, junk)))
            except definitions.DefinitionError as error:
                refused += 1
                assert str(error)
    assert refused > tried / 2
