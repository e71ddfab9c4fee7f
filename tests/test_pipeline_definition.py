"""The definition as the SageMaker SDK makes it: calls nothing, differs by content only, has what was agreed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION, bake, scrubbed

ACCOUNT = "111111111111"
BUCKET = f"sagemaker-project-{PROJECT_ID}-{ACCOUNT}"
CODE = f"s3://{BUCKET}/{PROJECT}/code/"

# Runs the command line with a socket that refuses and notes every connection and every look-up of a name.
WITHOUT_NETWORK = """
import runpy, socket, sys
tried = []
def refuse(*words, **_):
    tried.append(repr(words[:2]))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
sys.argv = ["training.pipeline", *sys.argv[1:]]
try:
    runpy.run_module("training.pipeline", run_name="__main__")
except SystemExit as end:
    import threading
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(5)
    print("tried:", tried, file=sys.stderr)
    raise
"""


def training_environment(**more: str) -> dict[str, str]:
    """What a build of the train pipeline is told."""
    return {
        "SAGEMAKER_PROJECT_NAME": PROJECT,
        "SAGEMAKER_PROJECT_ID": PROJECT_ID,
        "ARTIFACT_BUCKET": BUCKET,
        "ARTIFACT_KEY_ARN": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a",
        "SAGEMAKER_PIPELINE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/sagemaker-seed/sagemaker-seed-training",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
        "AWS_REGION": REGION,
        **more,
    }


def run(repository: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command line of the training pipeline without a network."""
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT_NETWORK, *words],
        cwd=repository,
        env=scrubbed(**(training_environment() if env is None else env)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def printed(repository: Path) -> subprocess.CompletedProcess[str]:
    # Credentials that would have to be looked for, in a file that names a profile, and in the network.
    env = training_environment(AWS_EC2_METADATA_DISABLED="false", AWS_PROFILE="missing")
    return run(repository, "--definition", env=env)


@pytest.fixture(scope="module")
def definition(printed: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert printed.returncode == 0, printed.stderr
    loaded: dict[str, Any] = json.loads(printed.stdout)
    return loaded


@pytest.fixture(scope="module")
def steps(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {step["Name"]: step for step in definition["Steps"]}
    branches = found["CheckQuality"]["Arguments"]
    return found | {step["Name"]: step for step in branches["IfSteps"] + branches["ElseSteps"]}


@pytest.mark.slow
def test_making_it_tries_no_connection_and_says_nothing(printed: subprocess.CompletedProcess[str]) -> None:
    assert printed.returncode == 0, printed.stderr
    assert printed.stderr == "tried: []\n"


@pytest.mark.slow
def test_telemetry_is_sent_only_when_asked_for(repository: Path) -> None:
    done = run(repository, "--definition", env=training_environment(SAGEMAKER_SDK_TELEMETRY="on"))
    assert done.returncode == 0, done.stderr
    # Proof that the notes above would have shown it.
    assert "tried: []" not in done.stderr


@pytest.mark.slow
def test_it_is_the_same_in_another_folder_at_another_time(
    repository: Path, tmp_path: Path, printed: subprocess.CompletedProcess[str]
) -> None:
    other = shutil.copytree(repository, tmp_path / "elsewhere" / "with another name")
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    # Another person, on another machine, with settings and defaults of their own.
    config = tmp_path / "config.yaml"
    config.write_text("SchemaVersion: '1.0'\nSageMaker: {TrainingJob: {EnableInterContainerTrafficEncryption: true}}\n")
    env = training_environment(
        SAGEMAKER_USER_CONFIG_OVERRIDE=str(config), AWS_DEFAULT_REGION="us-east-1", TZ="Asia/Tokyo", PYTHONHASHSEED="7"
    )
    again = run(other, "--definition", env=env)
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed.stdout


@pytest.mark.slow
def test_only_what_the_jobs_run_changes_it(repository: Path, tmp_path: Path, definition: dict[str, Any]) -> None:
    other = shutil.copytree(repository, tmp_path / "other")
    for name in ("runs.py", "pipeline.py"):
        path = other / "training" / name
        path.write_text(path.read_text() + "\n# a remark\n")
    assert json.loads(run(other, "--definition").stdout) == definition
    path = other / "training" / "tables.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    assert json.loads(run(other, "--definition").stdout) != definition


@pytest.mark.slow
def test_the_steps_and_nothing_outside_the_condition(
    definition: dict[str, Any], steps: dict[str, dict[str, Any]]
) -> None:
    types = {"Preprocess": "Processing", "Train": "Training", "Evaluate": "Processing", "CheckQuality": "Condition"}
    assert {step["Name"]: step["Type"] for step in definition["Steps"]} == types
    branches = steps["CheckQuality"]["Arguments"]
    assert [(step["Name"], step["Type"]) for step in branches["IfSteps"]] == [("Register", "RegisterModel")]
    assert [(step["Name"], step["Type"]) for step in branches["ElseSteps"]] == [("Reject", "Fail")]


@pytest.mark.slow
def test_the_parameters(definition: dict[str, Any]) -> None:
    assert [(one["Name"], one["Type"]) for one in definition["Parameters"]] == [
        ("InputData", "String"),
        ("Metric", "String"),
        ("Threshold", "Float"),
        ("ProductionModel", "String"),
        ("ModelPackageGroupName", "String"),
        ("ModelApprovalStatus", "String"),
        ("TrainInstanceType", "String"),
        ("TrainInstanceCount", "Integer"),
        ("ProcessingInstanceType", "String"),
        ("Rounds", "Integer"),
        ("MaxDepth", "Integer"),
        ("Eta", "Float"),
        ("Subsample", "Float"),
        ("CommitId", "String"),
    ]
    defaults = {one["Name"]: one["DefaultValue"] for one in definition["Parameters"]}
    assert defaults["ModelApprovalStatus"] == "PendingManualApproval"
    assert defaults["ProductionModel"] == "none"
    assert defaults["ModelPackageGroupName"] == GROUP


@pytest.mark.slow
def test_every_hyperparameter_is_a_setting_or_a_parameter(repository: Path, steps: dict[str, dict[str, Any]]) -> None:
    settings = json.loads((repository / "training" / "settings.json").read_text())["hyperparameters"]
    passed = steps["Train"]["Arguments"]["HyperParameters"]
    own = {"sagemaker_program", "sagemaker_submit_directory", "sagemaker_region"}
    assert passed.keys() - own == settings.keys()
    assert passed["sagemaker_program"] == "train.py"
    assert passed["sagemaker_submit_directory"].startswith(CODE)
    assert passed["sagemaker_submit_directory"].endswith("/sourcedir.tar.gz")
    assert passed["num_round"] == {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Rounds"}]}}


@pytest.mark.slow
def test_jobs_are_cached_and_tried_again_when_aws_fails(steps: dict[str, dict[str, Any]]) -> None:
    for name in ("Preprocess", "Train", "Evaluate"):
        assert steps[name]["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        reasons = {reason for policy in steps[name]["RetryPolicies"] for reason in policy["ExceptionType"]}
        assert "SageMaker.CAPACITY_ERROR" in reasons
        assert "Step.THROTTLING" in reasons


@pytest.mark.slow
def test_the_commit_reaches_no_job(steps: dict[str, dict[str, Any]]) -> None:
    """Or no step would ever come from the cache."""
    for name in ("Preprocess", "Train", "Evaluate"):
        assert "CommitId" not in json.dumps(steps[name])
    assert steps["Register"]["Arguments"]["CustomerMetadataProperties"]["commit"] == {"Get": "Parameters.CommitId"}


@pytest.mark.slow
def test_one_image_and_one_key_for_all(steps: dict[str, dict[str, Any]]) -> None:
    images = {
        steps["Preprocess"]["Arguments"]["AppSpecification"]["ImageUri"],
        steps["Train"]["Arguments"]["AlgorithmSpecification"]["TrainingImage"],
        steps["Evaluate"]["Arguments"]["AppSpecification"]["ImageUri"],
        steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"][0]["Image"],
    }
    assert len(images) == 1
    assert images.pop().endswith(f".dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0")
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a"
    assert steps["Train"]["Arguments"]["OutputDataConfig"]["KmsKeyId"] == key
    assert steps["Preprocess"]["Arguments"]["ProcessingOutputConfig"]["KmsKeyId"] == key


@pytest.mark.slow
def test_rows_are_shared_out_among_the_machines(steps: dict[str, dict[str, Any]]) -> None:
    channels = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3DataDistributionType"]
        for channel in steps["Train"]["Arguments"]["InputDataConfig"]
    }
    assert channels == {"train": "ShardedByS3Key", "validation": "FullyReplicated", "schema": "FullyReplicated"}


@pytest.mark.slow
def test_the_model_package_says_what_serves_it_and_where_it_comes_from(steps: dict[str, dict[str, Any]]) -> None:
    arguments = steps["Register"]["Arguments"]
    container = arguments["InferenceSpecification"]["Containers"][0]
    assert container["ModelDataUrl"] == {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert container["Environment"]["PIP_NO_BUILD_ISOLATION"] == "0"
    assert arguments["InferenceSpecification"]["SupportedContentTypes"] == ["text/csv", "application/json"]
    assert arguments["ModelApprovalStatus"] == {"Get": "Parameters.ModelApprovalStatus"}
    assert arguments["CustomerMetadataProperties"].keys() >= {"commit", "data", "code", "prediction", "metric", "value"}
    assert arguments["Task"] == "CLASSIFICATION"
    assert arguments["SamplePayloadUrl"].endswith("/payload.tar.gz")
    statistics = arguments["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]["Std:Join"]["Values"]
    assert statistics[1] == "model-metrics.json"
    assert json.loads(arguments["ModelCard"]["ModelCardContent"])["model_overview"]["model_creator"] == "Data science"


@pytest.mark.slow
def test_reject_says_the_figures(steps: dict[str, dict[str, Any]]) -> None:
    (_, said) = steps["Reject"]["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    assert said["Std:JsonGet"]["Path"] == "summary"


@pytest.mark.slow
def test_a_regression_has_other_columns_and_a_metric_of_its_own(tmp_path: Path) -> None:
    done = run(bake(tmp_path, prediction="regression"), "--definition", env=training_environment(ARTIFACT_KEY_ARN=""))
    assert done.returncode == 0, done.stderr
    definition = json.loads(done.stdout)
    words = definition["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert words[words.index("--target") + 1] == "petal_width"
    assert words[words.index("--drop") + 1] == "species"
    defaults = {one["Name"]: one["DefaultValue"] for one in definition["Parameters"]}
    assert (defaults["Metric"], defaults["Threshold"]) == ("rmse", 0.3)
    assert "KmsKeyId" not in done.stdout


@pytest.mark.slow
def test_the_fixture_of_the_seeds_own_tests_is_like_what_the_sdk_makes(
    repository: Path, definition: dict[str, Any]
) -> None:
    """The seed checks its lint without the SDK, on a definition kept beside the tests: it must not grow old."""
    kept = json.loads((repository / "tests" / "pipeline" / "definition.json").read_text())

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__

    assert shape(kept) == shape(definition)


@pytest.mark.slow
def test_calls_of_the_sdk_are_refused_by_name(repository: Path) -> None:
    code = (
        "import os; os.environ['AWS_DEFAULT_REGION'] = os.environ['AWS_REGION']\n"
        "from training import definition\n"
        "from training.project import read_project\n"
        "session = definition._Session(read_project(os.environ), {})\n"
        "assert session.default_bucket() == os.environ['ARTIFACT_BUCKET']\n"
        "for service, call in (('s3', 'list_buckets'), ('iam', 'list_roles'), ('sts', 'get_caller_identity')):\n"
        "    try:\n"
        "        getattr(session.boto_session.client(service), call)()\n"
        "    except definition.AwsWasCalledError as error:\n"
        "        print(str(error).split(' while ')[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        env=scrubbed(**training_environment()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "The SageMaker SDK tried to call s3:ListBuckets",
        "The SageMaker SDK tried to call iam:ListRoles",
        "The SageMaker SDK tried to call sts:GetCallerIdentity",
    ], done.stderr


def test_requirements_are_exact_hashed_and_agree_with_the_builds(repository: Path) -> None:
    pinned = {}
    for entry in re.split(r"\n(?=\S)", (repository / "requirements-training.txt").read_text()):
        if entry.startswith("#"):
            continue
        match = re.match(r"([a-z0-9._-]+)==(\S+)( ; [^\n]+)? \\\n(?:\s+--hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+$", entry)
        assert match is not None, entry
        pinned[match[1]] = match[2]
    assert pinned["sagemaker"].startswith("3.")
    assert tuple(map(int, pinned["sagemaker"].split("."))) >= (3, 12)
    builds = dict(re.findall(r"(?m)^(boto3|botocore)==(\S+)", (repository / "requirements.txt").read_text()))
    assert builds.items() <= pinned.items()


def test_the_build_runs_commands_that_there_are(repository: Path) -> None:
    buildspec = yaml.safe_load((repository / "training" / "buildspec.yml").read_text())
    phases = buildspec["phases"]
    commands = [command for phase in phases.values() for command in phase["commands"]]
    assert "--require-hashes -r requirements-training.txt" in commands[0]
    acts = [shlex.split(command) for command in commands[1:]]
    assert [act[3] for act in acts] == ["upsert", "start"]
    for act in acts:
        # Understood, and refused only because nothing says which project it is for.
        done = subprocess.run(
            [sys.executable, *act[1:]], cwd=repository, env=scrubbed(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "does not say which project" in done.stderr
    # A training that failed must still end in a report, so only what comes before it ends the build.
    assert "on-failure" not in phases["build"]
    assert buildspec["reports"]["training"]["files"] == [acts[1][acts[1].index("--report") + 1]]


@pytest.mark.slow
def test_its_types_are_sound(repository: Path, tmp_path: Path) -> None:
    names = "project choices packing definition describing lint publishing runs reporting results plots studio pipeline"
    config = tmp_path / "mypy.ini"
    # Neither the SDK nor what the notebook draws with says its types.
    config.write_text("[mypy]\n[mypy-sagemaker.*,matplotlib.*]\nignore_missing_imports = True\n")
    words = [
        "--strict",
        "--explicit-package-bases",
        "--config-file",
        str(config),
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    words += [f"training/{name}.py" for name in names.split()]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        cwd=repository,
        env=scrubbed(MYPYPATH="."),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
