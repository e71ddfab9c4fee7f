"""Builds the definition of the SageMaker pipeline with the SageMaker SDK; calls no AWS, and makes sure of it.

It is the only module that needs the SDK, whose import takes seconds: `training.describing` imports it late,
and in an environment that keeps the SDK to itself.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from sagemaker.core import image_uris
from sagemaker.core.config.config_manager import SageMakerConfig
from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.processing import Processor
from sagemaker.core.resources import ModelPackageModelCard
from sagemaker.core.shapes import (
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.workflow.conditions import ConditionEquals
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train.configs import Compute, InputData
from sagemaker.train.model_trainer import ModelTrainer

from training.choices import Choices
from training.packing import SOURCEDIR, Packages
from training.project import Project

_INPUT = "/opt/ml/processing/input"
_OUTPUT = "/opt/ml/processing/output"
_CACHE = CacheConfig(enable_caching=True, expire_after="P30D")
_MAX_SECONDS = 6 * 60 * 60
# The image installs the training code, and the code in the model, with pip. This flag of pip, inverted, says:
# without fetching build tools first, so that jobs and endpoints start where the internet cannot be reached.
_PIP = {"PIP_NO_BUILD_ISOLATION": "0"}
# What a person who deploys the model by hand is offered; the pipeline's stage files decide for themselves.
_INFERENCE_INSTANCES = ("ml.m5.large", "ml.m5.xlarge")
_TASKS = {"classification": "CLASSIFICATION", "regression": "REGRESSION"}
# The SDK reports to its makers which functions are used, unless its configuration says no.
_QUIET = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}
_TALKATIVE = (
    "botocore.credentials",
    "sagemaker",
    "sagemaker.config",
    "sagemaker.core.workflow.utilities",
    "sagemaker.mlops.workflow.model_step",
)


class AwsWasCalledError(RuntimeError):
    """The SDK tried to call AWS while a definition was built, which must depend on files alone."""


class _Session(PipelineSession):  # type: ignore[misc]
    """A session for building definitions: it knows its bucket, and refuses every call to AWS.

    The SDK's own session looks for the bucket, and creates it when it finds none, although its name is given.
    """

    def __init__(self, project: Project, config: dict[str, Any]) -> None:
        # No profile, no credentials: none are needed, and a machine's own must not change the result.
        own = boto3.Session(
            region_name=project.region,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
        )
        own.events.register("before-call", _refuse)
        super().__init__(
            boto_session=own,
            sagemaker_client=own.client("sagemaker", config=Config(retries={"total_max_attempts": 1})),
            default_bucket=project.bucket,
            sagemaker_config=config,
        )
        self._bucket = project.bucket

    def default_bucket(self) -> str:
        return self._bucket


def _refuse(model: Any, **_: Any) -> NoReturn:
    raise AwsWasCalledError(
        f"The SageMaker SDK tried to call {model.service_model.service_name}:{model.name} while the "
        "definition was built. A definition depends on files alone: report this with the version of the SDK"
    )


def build_definition(
    project: Project, choices: Choices, packages: Packages, *, telemetry: bool = False
) -> dict[str, Any]:
    """Return the pipeline's definition as SageMaker takes it, the same for the same arguments.

    Args:
        telemetry: let the SDK report its use to AWS; that is off unless somebody asks for it.

    Raises AwsWasCalledError if the SDK tries to call AWS on the way.
    """
    with _without_remarks(), _unchecked():
        session = _Session(project, {} if telemetry else _QUIET)
        text = _Builder(project, choices, packages, session).pipeline().definition()
    definition: dict[str, Any] = json.loads(text)
    return definition


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep to the SDK itself what it says about names that a pipeline makes up when it runs."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Running within a PipelineSession")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Keep the SDK from checking its configuration each of the forty times that it looks there.

    A check takes some 50 ms, because the SDK lets its schema be checked too. The configuration is `_QUIET`,
    which does not change; the tests see that it has its effect.
    """
    check = SageMakerConfig.validate_sagemaker_config
    SageMakerConfig.validate_sagemaker_config = staticmethod(lambda *_: None)
    try:
        yield
    finally:
        SageMakerConfig.validate_sagemaker_config = staticmethod(check)


class _Builder:
    """The steps in their order, each made from the ones before it."""

    def __init__(
        self, project: Project, choices: Choices, packages: Packages, session: PipelineSession
    ) -> None:
        self.project, self.choices, self.packages, self.session = project, choices, packages, session
        self.image = image_uris.retrieve("xgboost", project.region, version=choices.image_version)
        hyper = choices.hyperparameters
        self.input_data = ParameterString("InputData", packages.data.uri)
        self.metric = ParameterString("Metric", choices.metric)
        self.threshold = ParameterFloat("Threshold", choices.threshold)
        self.production = ParameterString("ProductionModel", "none")
        self.group = ParameterString("ModelPackageGroupName", project.group)
        self.approval = ParameterString(
            "ModelApprovalStatus",
            "PendingManualApproval",
            enum_values=["PendingManualApproval", "Approved", "Rejected"],
        )
        self.train_type = ParameterString("TrainInstanceType", choices.train.type)
        self.train_count = ParameterInteger("TrainInstanceCount", choices.train.count)
        self.processing_type = ParameterString("ProcessingInstanceType", choices.processing.type)
        self.commit = ParameterString("CommitId", "unknown")
        self.tuned = {
            "num_round": ParameterInteger("Rounds", int(hyper["num_round"])),
            "max_depth": ParameterInteger("MaxDepth", int(hyper["max_depth"])),
            "eta": ParameterFloat("Eta", float(hyper["eta"])),
            "subsample": ParameterFloat("Subsample", float(hyper["subsample"])),
        }
        self.evaluation = PropertyFile("Evaluation", output_name="evaluation", path="evaluation.json")

    def pipeline(self) -> Pipeline:
        preprocess = self._preprocess()
        train = self._train(preprocess)
        evaluate = self._evaluate(preprocess, train)
        return Pipeline(
            name=self.project.pipeline,
            parameters=[
                self.input_data,
                self.metric,
                self.threshold,
                self.production,
                self.group,
                self.approval,
                self.train_type,
                self.train_count,
                self.processing_type,
                *self.tuned.values(),
                self.commit,
            ],
            steps=[preprocess, train, evaluate, self._check(preprocess, train, evaluate)],
            # No experiment: it would need more rights, is not in every region, and the registry already says
            # which data and code a model comes from.
            pipeline_experiment_config=None,
            sagemaker_session=self.session,
        )

    def _processor(self, script: str) -> Processor:
        return Processor(
            role=self.project.role_arn,
            image_uri=self.image,
            instance_count=1,
            instance_type=self.processing_type,
            volume_size_in_gb=self.choices.processing.volume_gb,
            max_runtime_in_seconds=_MAX_SECONDS,
            output_kms_key=self.project.key_arn or None,
            entrypoint=["python3", f"{_INPUT}/code/{script}"],
            # SageMaker says AWS_REGION, which boto3 does not read.
            env={"AWS_DEFAULT_REGION": self.project.region},
            sagemaker_session=self.session,
        )

    def _code(self) -> ProcessingInput:
        return _input("code", self.packages.code.uri)

    def _preprocess(self) -> ProcessingStep:
        choices = self.choices
        arguments = ["--input", f"{_INPUT}/data", "--output", _OUTPUT, "--target", choices.target]
        for name, columns in (("--drop", choices.drop), ("--categorical", choices.categorical)):
            arguments += [name, ",".join(columns)] if columns else []
        arguments += ["--prediction", choices.prediction]
        for part, share in choices.split.items():
            arguments += [f"--{part}", repr(share)]
        arguments += ["--seed", str(choices.split_seed), "--shards", str(choices.shards)]
        return ProcessingStep(
            "Preprocess",
            description="Check the data and split it into training, validation and test rows",
            step_args=self._processor("preprocess.py").run(
                inputs=[self._code(), _input("data", self.input_data)],
                outputs=[_output(name) for name in ("train", "validation", "test", "schema", "baseline")],
                arguments=arguments,
            ),
            cache_config=_CACHE,
            retry_policies=_retries(),
        )

    def _train(self, preprocess: ProcessingStep) -> TrainingStep:
        hyperparameters = {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": self.packages.code.uri + SOURCEDIR,
            "sagemaker_region": self.project.region,
            **{name: str(value) for name, value in self.choices.hyperparameters.items()},
            **{name: parameter.to_string() for name, parameter in self.tuned.items()},
        }
        trainer = ModelTrainer(
            role=self.project.role_arn,
            training_image=self.image,
            compute=Compute(
                instance_type=self.train_type,
                instance_count=self.train_count,
                volume_size_in_gb=self.choices.train.volume_gb,
            ),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=_MAX_SECONDS),
            # Without the key SageMaker takes the account's own, and no other account could read the model.
            output_data_config=OutputDataConfig(
                s3_output_path=self.project.uri("models"),
                **({"kms_key_id": self.project.key_arn} if self.project.key_arn else {}),
            ),
            hyperparameters=hyperparameters,
            environment=_PIP,
            base_job_name=self.project.pipeline,
            sagemaker_session=self.session,
        )
        # Each machine trains on its share of the rows, and every one validates on all of them.
        channels = (
            ("train", "ShardedByS3Key"),
            ("validation", "FullyReplicated"),
            ("schema", "FullyReplicated"),
        )
        return TrainingStep(
            "Train",
            description="Train gradient boosted trees",
            step_args=trainer.train(
                input_data_config=[
                    InputData(
                        channel_name=name,
                        data_source=S3DataSource(
                            s3_data_type="S3Prefix",
                            s3_uri=_written(preprocess, name),
                            s3_data_distribution_type=distribution,
                        ),
                    )
                    for name, distribution in channels
                ]
            ),
            cache_config=_CACHE,
            retry_policies=_retries(),
        )

    def _evaluate(self, preprocess: ProcessingStep, train: TrainingStep) -> ProcessingStep:
        return ProcessingStep(
            "Evaluate",
            description="Measure the model against the threshold and against the one in production",
            step_args=self._processor("evaluate.py").run(
                inputs=[
                    self._code(),
                    _input("model", train.properties.ModelArtifacts.S3ModelArtifacts),
                    _input("test", _written(preprocess, "test")),
                ],
                outputs=[_output("evaluation")],
                arguments=[
                    "--model",
                    f"{_INPUT}/model",
                    "--test",
                    f"{_INPUT}/test",
                    "--output",
                    f"{_OUTPUT}/evaluation",
                    "--metric",
                    self.metric,
                    "--threshold",
                    self.threshold.to_string(),
                    "--production-model",
                    self.production,
                ],
            ),
            property_files=[self.evaluation],
            cache_config=_CACHE,
            retry_policies=_retries(),
        )

    def _found(self, evaluate: ProcessingStep, path: str) -> JsonGet:
        return JsonGet(step_name=evaluate.name, property_file=self.evaluation, json_path=path)

    def _check(
        self, preprocess: ProcessingStep, train: TrainingStep, evaluate: ProcessingStep
    ) -> ConditionStep:
        refused = FailStep(
            "Reject",
            error_message=Join(" ", ["The model is not registered:", self._found(evaluate, "summary")]),
            description="End the execution with the figures",
        )
        return ConditionStep(
            "CheckQuality",
            conditions=[ConditionEquals(self._found(evaluate, "accepted"), True)],
            if_steps=[self._register(preprocess, train, evaluate)],
            else_steps=[refused],
            description="Does the model meet the threshold, and is it no worse than the one in production?",
        )

    def _register(
        self, preprocess: ProcessingStep, train: TrainingStep, evaluate: ProcessingStep
    ) -> ModelStep:
        # With the code in the model, and these variables said, the SDK neither adds a step of its own that
        # packs the model again (and runs whatever the condition says), nor leaves the program's name empty.
        model = ModelBuilder(
            image_uri=self.image,
            s3_model_data_url=train.properties.ModelArtifacts.S3ModelArtifacts,
            role_arn=self.project.role_arn,
            sagemaker_session=self.session,
            instance_type=_INFERENCE_INSTANCES[0],
            env_vars={
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                **_PIP,
            },
        )
        metrics = Join("/", [_written(evaluate, "evaluation"), "model-metrics.json"])
        # The registry shows the baseline as the model's data quality, and by the package that an endpoint
        # serves its monitor knows what to compare the requests with.
        baseline = {
            f"model_data_{name}": MetricsSource(
                "application/json", Join("/", [_written(preprocess, "baseline"), f"{name}.json"])
            )
            for name in ("statistics", "constraints")
        }
        registered = model.register(
            model_package_group_name=self.group,
            approval_status=self.approval,
            content_types=["text/csv", "application/json"],
            response_types=["application/json", "text/csv"],
            inference_instances=list(_INFERENCE_INSTANCES),
            transform_instances=list(_INFERENCE_INSTANCES),
            model_metrics=ModelMetrics(
                model_statistics=MetricsSource("application/json", metrics), **baseline
            ),
            drift_check_baselines=DriftCheckBaselines(**baseline),
            customer_metadata_properties=self._metadata(preprocess, evaluate),
            domain="MACHINE_LEARNING",
            task=_TASKS[self.choices.prediction],
            nearest_model_name="xgboost",
            sample_payload_url=self.packages.sample.uri + "payload.tar.gz",
            skip_model_validation="None",
            model_card=ModelPackageModelCard(
                model_card_content=json.dumps(model_card(self.project, self.choices), sort_keys=True),
                model_card_status="Draft",
            ),
        )
        return ModelStep(
            "Register",
            step_args=registered,
            description="Register the model, to be approved by a person",
            retry_policies=[_again(StepRetryPolicy, list(StepExceptionTypeEnum))],
        )

    def _metadata(self, preprocess: ProcessingStep, evaluate: ProcessingStep) -> dict[str, Any]:
        """Return what the registry shows next to a model: where it comes from, and how good it was.

        Also where the rows are that it was measured on: test/test.py asks the deployed model for them again.
        """
        return {
            "commit": self.commit,
            "data": self.input_data,
            "code": self.packages.code.uri,
            "prediction": self.choices.prediction,
            "target": self.choices.target,
            "metric": self.metric,
            "value": Join("", [self._found(evaluate, "metric.value")]),
            "threshold": self.threshold.to_string(),
            "production_model": self.production,
            "evaluation": Join("/", [_written(evaluate, "evaluation"), "evaluation.json"]),
            "test_data": Join("/", [_written(preprocess, "test"), "test.csv"]),
        }


def model_card(project: Project, choices: Choices) -> dict[str, Any]:
    """Return the model card's content, as model packages have it; the figures are in the metrics' file."""
    what = f"Predicts {choices.target} ({choices.prediction})"
    return {
        "model_overview": {"model_creator": choices.team or project.name},
        "intended_uses": {"purpose_of_model": choices.description or what, "intended_uses": what},
        "training_details": {
            "objective_function": {"notes": f"Registered when {choices.metric} meets {choices.threshold}"},
            "training_observations": "Gradient boosted trees (XGBoost); rows are split into training, "
            "validation and test rows, and the test rows are seen only by the evaluation.",
        },
        "additional_information": {
            "custom_details": {
                "project": project.name,
                "project_id": project.id,
                "image": f"sagemaker-xgboost:{choices.image_version}",
                "columns_left_out": ", ".join(choices.drop) or "none",
            }
        },
    }


def _input(name: str, uri: Any) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri,
            local_path=f"{_INPUT}/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="FullyReplicated",
        ),
    )


def _output(name: str) -> ProcessingOutput:
    """Return an output; the empty URI asks the SDK for one that differs by execution."""
    return ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(s3_uri="", local_path=f"{_OUTPUT}/{name}", s3_upload_mode="EndOfJob"),
    )


def _written(step: ProcessingStep, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _again(policy: Any, reasons: list[Any]) -> Any:
    return policy(exception_types=reasons, interval_seconds=30, backoff_rate=2.0, max_attempts=5)


def _retries() -> list[Any]:
    """Return what is tried again: faults and limits of AWS. A failing script fails the same way again."""
    return [
        _again(StepRetryPolicy, list(StepExceptionTypeEnum)),
        _again(SageMakerJobStepRetryPolicy, list(SageMakerJobExceptionTypeEnum)),
    ]
