"""Which arguments of a job the embedded AWS can honour, and which it refuses by name. Runs nothing.

Arguments are looked at twice: in the definition, where a value may still be an expression (those are passed over), and
when everything is resolved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from botocore.validate import ParamValidator

OPERATION = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "RegisterModel": "CreateModelPackage",
}
# What a pipeline gives by itself, so that a definition does not.
GIVEN = {"Processing": "ProcessingJobName", "Training": "TrainingJobName"}
# Honoured, or without any meaning for a process on this machine (networks, disks, keys, tags, experiments).
HONOURED = {
    "Processing": {
        "AppSpecification",
        "Environment",
        "ExperimentConfig",
        "NetworkConfig",
        "ProcessingInputs",
        "ProcessingJobName",
        "ProcessingOutputConfig",
        "ProcessingResources",
        "RoleArn",
        "StoppingCondition",
        "Tags",
    },
    "Training": {
        "AlgorithmSpecification",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
        "EnableNetworkIsolation",
        "Environment",
        "ExperimentConfig",
        "HyperParameters",
        "InputDataConfig",
        "OutputDataConfig",
        "ProfilerConfig",
        "ResourceConfig",
        "RoleArn",
        "StoppingCondition",
        "Tags",
        "TrainingJobName",
        "VpcConfig",
    },
}
Path = tuple[str, ...]
# Values that mean something which is not done: path ("*" for each item of a list) -> the values that are fine.
ONLY: dict[str, dict[Path, tuple[Any, ...]]] = {
    "Processing": {
        ("ProcessingInputs", "*", "AppManaged"): (None, False),
        ("ProcessingInputs", "*", "DatasetDefinition"): (None,),
        ("ProcessingInputs", "*", "S3Input", "S3DataType"): (None, "S3Prefix"),
        ("ProcessingInputs", "*", "S3Input", "S3InputMode"): (None, "File"),
        ("ProcessingInputs", "*", "S3Input", "S3CompressionType"): (None, "None"),
        ("ProcessingOutputConfig", "Outputs", "*", "AppManaged"): (None, False),
        ("ProcessingOutputConfig", "Outputs", "*", "FeatureStoreOutput"): (None,),
        ("ProcessingOutputConfig", "Outputs", "*", "S3Output", "S3UploadMode"): (None, "EndOfJob"),
        ("ProcessingResources", "ClusterConfig", "InstancePreferences"): (None,),
    },
    "Training": {
        ("AlgorithmSpecification", "AlgorithmName"): (None,),
        ("AlgorithmSpecification", "ContainerEntrypoint"): (None,),
        ("AlgorithmSpecification", "ContainerArguments"): (None,),
        ("AlgorithmSpecification", "TrainingInputMode"): (None, "File", "FastFile"),
        ("EnableManagedSpotTraining",): (None, False),
        ("InputDataConfig", "*", "CompressionType"): (None, "None"),
        ("InputDataConfig", "*", "DataSource", "FileSystemDataSource"): (None,),
        ("InputDataConfig", "*", "DataSource", "DatasetSource"): (None,),
        ("InputDataConfig", "*", "DataSource", "S3DataSource", "S3DataType"): (None, "S3Prefix"),
        ("InputDataConfig", "*", "DataSource", "S3DataSource", "AttributeNames"): (None, []),
        ("InputDataConfig", "*", "DataSource", "S3DataSource", "InstanceGroupNames"): (None, []),
        ("InputDataConfig", "*", "InputMode"): (None, "File", "FastFile"),
        ("InputDataConfig", "*", "RecordWrapperType"): (None, "None"),
        ("InputDataConfig", "*", "ShuffleConfig"): (None,),
        ("OutputDataConfig", "CompressionType"): (None, "GZIP"),
        ("ProfilerConfig", "DisableProfiler"): (None, True),
        ("ResourceConfig", "InstanceGroups"): (None, []),
        ("ResourceConfig", "InstancePreferences"): (None,),
    },
    "RegisterModel": {("CertifyForMarketplace",): (None, False), ("ValidationSpecification",): (None,)},
}
SCRIPT_MODE = ("sagemaker_program", "sagemaker_submit_directory")
LOCAL_ROOT = "/opt/ml/processing/"


def refusals(kind: str, arguments: Mapping[str, Any]) -> list[str]:
    """What of a step's arguments is not implemented, a phrase for each; empty when all of it is."""
    known = HONOURED.get(kind)
    found = [name for name, value in arguments.items() if known and name not in known and value not in (None, {}, [])]
    for path, fine in ONLY[kind].items():
        for where, value in _at(arguments, path, ""):
            if not is_expression(value) and value not in fine:
                found.append(f"{where} = {json.dumps(value)[:80]}")
    found += MORE.get(kind, lambda _: ())(arguments)
    return found


def broken(kind: str, arguments: Mapping[str, Any]) -> str:
    """What the API would refuse in resolved arguments: types, ranges, missing members and enums; empty if nothing."""
    shape = _model().operation_model(OPERATION[kind]).input_shape
    given = dict(arguments)
    if kind in GIVEN:
        given.setdefault(GIVEN[kind], "job")
    report = ParamValidator().validate(given, shape)
    problems = [report.generate_report()] if report.has_errors() else list(_not_in_enum(given, shape, ""))
    return "; ".join(" ".join(problem.split()) for problem in problems)


def misshapen(kind: str, arguments: Mapping[str, Any]) -> list[str]:
    """Where a step's arguments have not the form of the API's, a phrase for each; expressions may stand anywhere."""
    return list(_misshapen(arguments, _model().operation_model(OPERATION[kind]).input_shape, "Arguments"))


def _misshapen(value: Any, shape: Any, where: str) -> Iterator[str]:
    if value is None or is_expression(value):
        return
    form = {"structure": dict, "map": dict, "list": list}.get(shape.type_name, str | int | float)
    if not isinstance(value, form):
        yield f"{where}: expected a {shape.type_name}, found {json.dumps(value)[:80]}"
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _misshapen(item, shape.member, f"{where}[{number}]")
    elif form is dict:
        members = shape.members if shape.type_name == "structure" else dict.fromkeys(value, shape.value)
        for name, item in value.items():
            if name in members:
                yield from _misshapen(item, members[name], f"{where}.{name}")
            else:
                yield f"{where}: {shape.name} has no {name}"


def output_names(arguments: Mapping[str, Any]) -> list[Any]:
    """The names of a processing job's outputs; one may be an expression."""
    return [value for _, value in _at(arguments, ("ProcessingOutputConfig", "Outputs", "*", "OutputName"), "")]


def is_expression(value: Any) -> bool:
    """Whether ``value`` stands for another: a ``Get`` or a function."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    name = str(next(iter(value)))
    return name == "Get" or name.startswith("Std:")


def _no_program(arguments: Mapping[str, Any]) -> Iterator[str]:
    hyperparameters = arguments.get("HyperParameters") or {}
    missing = [name for name in SCRIPT_MODE if name not in hyperparameters]
    if missing:
        yield (
            f"training without the hyperparameters {' and '.join(missing)}: built-in algorithms and images of one's "
            "own are not run, only scripts"
        )


def _local_paths(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Folders outside the container's own, and inputs or outputs without a folder, have no place on this machine."""
    for path in (
        ("ProcessingInputs", "*", "S3Input"),
        ("ProcessingOutputConfig", "Outputs", "*", "S3Output"),
    ):
        for where, value in _at(arguments, path, ""):
            local = value.get("LocalPath") if isinstance(value, dict) else None
            if value is not None and not is_expression(local) and not is_local(str(local)):
                yield f"{where}.LocalPath = {json.dumps(local)} (expected a folder under {LOCAL_ROOT})"


def is_local(path: str) -> bool:
    """Whether ``path`` is one of a processing container's folders."""
    return path.startswith(LOCAL_ROOT) and ".." not in path.split("/")


MORE: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {"Training": _no_program, "Processing": _local_paths}


def _at(value: Any, path: Path, where: str) -> Iterator[tuple[str, Any]]:
    if not path:
        yield where, value
        return
    name, rest = path[0], path[1:]
    if name == "*":
        for number, item in enumerate(value if isinstance(value, list) else ()):
            yield from _at(item, rest, f"{where}[{number}]")
    elif isinstance(value, dict) and name in value:
        yield from _at(value[name], rest, f"{where}.{name}" if where else name)


def _not_in_enum(value: Any, shape: Any, where: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, item in value.items():
            yield from _not_in_enum(item, shape.members[name], f"{where}.{name}" if where else name)
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _not_in_enum(item, shape.member, f"{where}[{number}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{where} is {value!r}, which is not one of the values that SageMaker has for {shape.name}"


@cache
def _model() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")
