"""Small pipelines for the embedded AWS: steps as shell or Python one-liners, started and followed over HTTP."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sagemaker_seed.rehearsal.embedded import EmbeddedAws

Step = dict[str, Any]
IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"
# What stands for the role of the lab, whose account is not known when a step is written down.
ROLE = "arn:aws:iam::000000000000:role/of-the-lab"
ENDED = {"Succeeded", "Failed", "Stopped"}
CLUSTER = {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
INPUT, OUTPUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
_NUMBERS = itertools.count(1)


def get(name: str) -> dict[str, str]:
    """A parameter, a variable or a property."""
    return {"Get": name}


def join(*values: Any, on: str = "") -> dict[str, Any]:
    """Values joined to a text."""
    return {"Std:Join": {"On": on, "Values": list(values)}}


def json_get(step: str, file: str, path: str) -> dict[str, Any]:
    """A value in a property file."""
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


def parameter(name: str, kind: str = "String", default: Any = None, enum: Sequence[Any] = ()) -> dict[str, Any]:
    """A parameter; without a default one must be given a value."""
    more: dict[str, Any] = {} if default is None else {"DefaultValue": default}
    return {"Name": name, "Type": kind, **more, **({"EnumValues": list(enum)} if enum else {})}


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    """A condition with two sides."""
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def condition(
    name: str, *conditions: Any, then: Sequence[Step] = (), otherwise: Sequence[Step] = (), **more: Any
) -> Step:
    """A condition step."""
    arguments = {"Conditions": list(conditions), "IfSteps": list(then), "ElseSteps": list(otherwise)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}


def fail(name: str, message: Any, **more: Any) -> Step:
    """A step that fails."""
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}


def s3_input(name: str, uri: Any, **more: Any) -> dict[str, Any]:
    """What a processing job gets, under the folder of its name."""
    source = {"S3Uri": uri, "LocalPath": f"{INPUT}/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File", **more}
    return {"InputName": name, "S3Input": source}


def s3_output(name: str, uri: Any) -> dict[str, Any]:
    """What a processing job leaves, under the folder of its name."""
    return {
        "OutputName": name,
        "S3Output": {"S3Uri": uri, "LocalPath": f"{OUTPUT}/{name}", "S3UploadMode": "EndOfJob"},
    }


def process(
    name: str,
    command: Sequence[Any] | str = "true",
    *words: Any,
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    hosts: Any = 1,
    env: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    **more: Any,
) -> Step:
    """A processing step; a command that is a text is one of the shell."""
    entrypoint = ["sh", "-ec", command, "sh"] if isinstance(command, str) else list(command)
    job: dict[str, Any] = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": entrypoint},
        "ProcessingResources": {"ClusterConfig": {**CLUSTER, "InstanceCount": hosts}},
        "RoleArn": ROLE,
    }
    if words:
        job["AppSpecification"]["ContainerArguments"] = list(words)
    if inputs:
        job["ProcessingInputs"] = list(inputs)
    if outputs:
        job["ProcessingOutputConfig"] = {"Outputs": list(outputs)}
    if env:
        job["Environment"] = dict(env)
    return {"Name": name, "Type": "Processing", "Arguments": {**job, **(arguments or {})}, **more}


def channel(name: str, uri: Any, **more: Any) -> dict[str, Any]:
    """A channel of a training job."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated", **more}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def train(
    name: str,
    source: Any,
    output: Any,
    *,
    program: Any = "train.py",
    hyperparameters: Mapping[str, Any] | None = None,
    channels: Sequence[Any] = (),
    hosts: Any = 1,
    arguments: Mapping[str, Any] | None = None,
    **more: Any,
) -> Step:
    """A training step in script mode."""
    own = {"sagemaker_program": program, "sagemaker_submit_directory": source}
    job: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {**own, **(hyperparameters or {})},
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {**CLUSTER, "InstanceCount": hosts},
        "RoleArn": ROLE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    if channels:
        job["InputDataConfig"] = list(channels)
    return {"Name": name, "Type": "Training", "Arguments": {**job, **(arguments or {})}, **more}


def register(name: str, group: Any, model: Any, *, env: Mapping[str, Any] | None = None, **arguments: Any) -> Step:
    """A step that registers a model."""
    container = {"Image": IMAGE, "ModelDataUrl": model, "Environment": dict(env or {})}
    job = {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    }
    return {"Name": name, "Type": "RegisterModel", "Arguments": {**job, **arguments}}


def definition(*steps: Step, parameters: Sequence[Any] = (), **more: Any) -> str:
    """The text of a definition."""
    return json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps), **more})


def packed(files: Mapping[str, str]) -> bytes:
    """A tar.gz of texts."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


@dataclass(frozen=True)
class Ran:
    """An execution that has ended (or of which its caller says what it has become)."""

    arn: str
    status: str
    reason: str
    steps: dict[str, dict[str, Any]]

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each step that started, in the order in which they did."""
        return {name: step["StepStatus"] for name, step in self.steps.items()}

    def job(self, step: str) -> str:
        """The name of a step's job."""
        (metadata,) = self.steps[step]["Metadata"].values()
        return str(metadata["Arn"]).rpartition("/")[2]


class Lab:
    """An account of its own with a bucket, in which pipelines are made and followed."""

    def __init__(self, aws: EmbeddedAws, region: str | None = None) -> None:
        """Every lab has a number that no other has."""
        self.aws, self.account = aws, f"5{next(_NUMBERS):011d}"
        self.sagemaker = aws.client("sagemaker", self.account, region)
        self.s3 = aws.client("s3", self.account, region)
        self.bucket = f"lab-{self.account}"
        self.root = f"s3://{self.bucket}"
        self.region = region or aws.region
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": self.region})
        self._names = itertools.count(1)

    def put(self, key: str, body: str | bytes = "") -> str:
        """Puts an object; returns its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode() if isinstance(body, str) else body)
        return f"{self.root}/{key}"

    def read(self, key: str) -> str:
        """The text of an object."""
        return self.bytes(key).decode()

    def bytes(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        """The keys under a prefix, in order."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [found["Key"] for found in listed]

    def code(self, **files: str) -> str:
        """Packs scripts, named without their ``.py``; returns the URI of the archive."""
        archive = packed({f"{name}.py": text for name, text in files.items()})
        return self.put(f"code/{next(self._names)}/sourcedir.tar.gz", archive)

    @cached_property
    def role(self) -> str:
        """The ARN of a role for pipelines and jobs."""
        return self.make_role("pipeline", "sagemaker.amazonaws.com")

    def make_role(self, name: str, trusted: str) -> str:
        """Makes a role that a service may assume, and that may do everything; returns its ARN."""
        iam = self.aws.client("iam", self.account)
        trust = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]
        everything = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
        iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=everything)
        return str(role["Arn"])

    def text(self, *steps: Step, parameters: Sequence[Any] = ()) -> str:
        """The text of a definition whose jobs act as the lab's role."""
        return definition(*steps, parameters=parameters).replace(ROLE, self.role)

    def define(self, *steps: Step, parameters: Sequence[Any] = (), name: str = "", **more: Any) -> str:
        """Makes a pipeline; returns its name."""
        name = name or f"pipeline-{next(self._names)}"
        text = self.text(*steps, parameters=parameters)
        self.sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=self.role, **more)
        return name

    def start(self, name: str, values: Mapping[str, str] | None = None, **more: Any) -> str:
        """Starts a pipeline; returns the execution's ARN."""
        given = [{"Name": key, "Value": value} for key, value in (values or {}).items()]
        answer = self.sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=given, **more)
        return str(answer["PipelineExecutionArn"])

    def ran(self, arn: str) -> Ran:
        """What has become of an execution so far."""
        described = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        listed = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
        steps = {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}
        return Ran(arn, described["PipelineExecutionStatus"], described.get("FailureReason", ""), steps)

    def wait(self, arn: str, seconds: float = 30) -> Ran:
        """Follows an execution to its end."""
        within(seconds, lambda: self.status(arn) in ENDED)
        return self.ran(arn)

    def status(self, arn: str) -> str:
        """The status of an execution."""
        return str(self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"])

    def run(self, *steps: Step, parameters: Sequence[Any] = (), values: Mapping[str, str] | None = None) -> Ran:
        """Makes a pipeline, starts it and follows it to its end."""
        return self.wait(self.start(self.define(*steps, parameters=parameters), values))


def policy(*statements: Any) -> str:
    """The text of a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def within(seconds: float, holds: Any) -> None:
    """Waits until something holds; the test fails when it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
