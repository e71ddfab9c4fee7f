"""build.py as a whole, with the registry stubbed: what it writes, prints and returns, also when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber
from conftest import ACCOUNT, GROUP, PACKAGE_ARN, PROD_ACCOUNT, ROOT, STAGING_ACCOUNT, Stub, copied
from test_registry import describe_group, describe_package, missing, policy_of, read_policy, summary

import build
from deploy.errors import InvalidFilesError
from deploy.settings import read_answers

FILES = ["prod-config-export.json", "staging-config-export.json", "template-export.yml"]


@pytest.fixture(autouse=True)
def _two_stages(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROOT", repository)


@pytest.fixture
def registry(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Stubber:
    client, stubber = stub("sagemaker")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    return stubber


def full_build(stubber: Stubber) -> None:
    describe_group(stubber)
    read_policy(stubber, policy_of(STAGING_ACCOUNT, PROD_ACCOUNT))
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": [summary(7)]})


def described(stubber: Stubber, *, baseline: bool = True) -> None:
    files = {
        name: {"ContentType": "application/json", "S3Uri": f"s3://b/{name}.json"}
        for name in ("Constraints", "Statistics")
    }
    package = {
        "ModelPackageName": "p",
        "ModelPackageArn": PACKAGE_ARN,
        "CreationTime": 0,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "CustomerMetadataProperties": {"code": "s3://b/iris/code/0a/"},
        "InferenceSpecification": {"Containers": [{"Image": "registry/i:1"}]},
        "DriftCheckBaselines": {"ModelDataQuality": files if baseline else {}},
    }
    stubber.add_response("describe_model_package", package, {"ModelPackageName": PACKAGE_ARN})


def run(
    capsys: pytest.CaptureFixture[str], environment: dict[str, str], *arguments: object
) -> tuple[int, str, str]:
    code = build.main([str(argument) for argument in arguments], environment)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_build_writes_template_and_stage_files(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_build(registry)
    code, out, err = run(capsys, environment, "--output", tmp_path, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["outcome"] == "built"
    assert result["model_package_arn"] == PACKAGE_ARN
    assert result["model_package_group"]["policy"] == "unchanged"
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert (tmp_path / "template-export.yml").read_bytes() == (ROOT / build.TEMPLATE).read_bytes()
    for stage in ("staging", "prod"):
        config = json.loads((tmp_path / f"{stage}-config-export.json").read_text())
        assert config["Parameters"]["ModelPackageName"] == PACKAGE_ARN
        assert config["Parameters"]["StageName"] == config["Tags"]["sagemaker:deployment-stage"] == stage
        assert all(isinstance(value, str) for value in config["Parameters"].values())


def test_a_build_of_three_stages_writes_a_file_for_each(
    registry: Stubber,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "ROOT", copied(tmp_path / "three", "three"))
    full_build(registry)
    more = {f"SAGEMAKER_EXECUTION_ROLE_{stage}_NAME": "seed/model" for stage in ("DEV", "PREPROD")}
    more |= {"ACCOUNT_DEV_ID": "", "ACCOUNT_PREPROD_ID": STAGING_ACCOUNT}
    code, _, err = run(capsys, {**environment, **more}, "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    stages = {name.split("-")[0]: file["Parameters"]["StageName"] for name, file in written.items()}
    assert stages == {"dev": "dev", "preprod": "preprod", "prod": "prod"}


@pytest.fixture
def shadowed(repository: Path) -> Path:
    """The repository, whose production stage keeps version 6 and takes the new model as its shadow."""
    file = repository / "prod-config-template.json"
    stage = json.loads(file.read_text())
    if "UpdatePolicy" not in stage["Parameters"]:
        pytest.skip("only an endpoint in real time has shadows")
    stage["Parameters"] |= {"ShadowOfVersion": 6, "DataCapturePercentage": 100}
    file.write_text(json.dumps(stage))
    return repository


def test_a_stage_may_keep_its_model_and_take_the_new_one_as_its_shadow(
    registry: Stubber,
    environment: dict[str, str],
    shadowed: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    full_build(registry)
    six = PACKAGE_ARN.replace("/7", "/6")
    describe_package(registry, "Approved", arn=six)
    code, out, err = run(capsys, environment, "--output", shadowed / "out", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["shadow_of"] == {"prod": six}
    exports = {
        name: json.loads((shadowed / "out" / f"{name}-config-export.json").read_text())["Parameters"]
        for name in ("staging", "prod")
    }
    found = {name: (e["ModelPackageName"], e["ShadowModelPackageName"]) for name, e in exports.items()}
    assert found == {"staging": (PACKAGE_ARN, ""), "prod": (six, PACKAGE_ARN)}


def test_a_shadow_of_what_may_not_be_deployed_is_named_by_its_stage_file(
    registry: Stubber,
    environment: dict[str, str],
    shadowed: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    full_build(registry)
    describe_package(registry, "Rejected", arn=PACKAGE_ARN.replace("/7", "/6"))
    code, _, err = run(capsys, environment, "--output", shadowed / "out")
    assert code == 1
    assert "\nprod-config-template.json: ShadowOfVersion: arn:" in err
    assert err.endswith(
        "/6 is rejected: only an approved model package is deployed. Nothing was written (found 6)\n"
    )
    assert not (shadowed / "out").exists()


def test_a_build_says_what_it_did(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_build(registry)
    code, out, _ = run(capsys, environment, "--output", tmp_path)
    assert code == 0
    assert f"{PACKAGE_ARN} (newest)" in out
    assert out.count("Written") == 3


def test_file_names_and_format_come_from_the_environment(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_build(registry)
    names = {"EXPORT_TEMPLATE_NAME": "t.yml", "EXPORT_TEMPLATE_STAGING_CONFIG": "s.json"}
    names |= {"EXPORT_TEMPLATE_PROD_CONFIG": "out/p.json", "DEPLOY_TARGET": "stackset-self-managed"}
    code, _, _ = run(capsys, {**environment, **names}, "--output", tmp_path)
    assert code == 0
    pairs = json.loads((tmp_path / "out" / "p.json").read_text())
    assert {"ParameterKey": "StageName", "ParameterValue": "prod"} in pairs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s.json", "t.yml"]


def test_an_argument_beats_the_environment(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_build(registry)
    environment = {**environment, "MODEL_PACKAGE_ARN": "something else"}
    code, out, _ = run(capsys, environment, "--output", tmp_path, "--model-package-arn", "newest", "--json")
    assert (code, json.loads(out)["chosen"]) == (0, "newest")


def test_empty_account_ids_mean_this_account(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe_group(registry)
    read_policy(registry, None)
    registry.add_response("list_model_packages", {"ModelPackageSummaryList": [summary(7)]})
    accounts = {"ACCOUNT_STAGING_ID": "", "ACCOUNT_PROD_ID": ACCOUNT}
    code, out, _ = run(capsys, {**environment, **accounts}, "--output", tmp_path, "--json")
    assert (code, json.loads(out)["model_package_group"]["policy"]) == (0, "unchanged")


def watched(folder: Path) -> Path:
    """Return a copy of what a build reads, with the monitor of production switched on."""
    root = copied(folder, "two")
    if "MonitorSchedule" not in (root / build.TEMPLATE).read_text():
        pytest.skip("only an endpoint in real time has a monitor")
    for name, schedule in (("staging", "off"), ("prod", "daily")):
        path = root / f"{name}-config-template.json"
        stage = json.loads(path.read_text())
        stage["Parameters"] |= {"MonitorSchedule": schedule, "DataCapturePercentage": 100}
        path.write_text(json.dumps(stage))
    return root


def test_a_monitor_gets_the_baseline_of_the_model_that_is_deployed(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROOT", watched(tmp_path / "watched"))
    full_build(registry)
    described(registry)
    bus = f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/drift"
    assert build.main(["--output", str(tmp_path)], {**environment, "DRIFT_EVENT_BUS_ARN": bus}) == 0
    staging, prod = (
        json.loads((tmp_path / f"{stage}-config-export.json").read_text())["Parameters"]
        for stage in ("staging", "prod")
    )
    assert prod["BaselineConstraintsS3Uri"] == "s3://b/Constraints.json"
    assert prod["BaselineStatisticsS3Uri"] == "s3://b/Statistics.json"
    assert prod["MonitorCodeS3Uri"] == "s3://b/iris/code/0a/"
    assert prod["MonitorImageUri"].endswith("/i:1")
    assert prod["DriftEventBusArn"] == bus
    assert (staging["MonitorSchedule"], staging["BaselineConstraintsS3Uri"]) == ("off", "")


def test_a_monitor_without_a_baseline_is_refused_by_the_name_of_the_model(
    registry: Stubber,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "ROOT", watched(tmp_path / "watched"))
    full_build(registry)
    described(registry, baseline=False)
    code, _, err = run(capsys, environment, "--output", tmp_path)
    assert code == 1
    assert "prod-config-template.json" in err
    assert f"needs a baseline, and {PACKAGE_ARN} has none: train again, or set it to off" in err
    assert not (tmp_path / "prod-config-export.json").exists()


def no_package(stubber: Stubber) -> None:
    describe_group(stubber)
    read_policy(stubber, policy_of(STAGING_ACCOUNT, PROD_ACCOUNT))
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": []})


def denied(stubber: Stubber) -> None:
    stubber.add_client_error("describe_model_package_group", "AccessDeniedException", "not authorized")


def throttled(stubber: Stubber) -> None:
    describe_group(stubber)
    stubber.add_client_error("get_model_package_group_policy", "ThrottlingException", "Rate exceeded")


@pytest.mark.parametrize(
    ("prepare", "outcome", "message"),
    [
        (no_package, "no-approved-model-package", f"No approved model package in group {GROUP} yet"),
        (
            denied,
            "aws-error",
            "DescribeModelPackageGroup: AccessDeniedException: not authorized; give the role",
        ),
        (
            throttled,
            "aws-error",
            "GetModelPackageGroupPolicy: ThrottlingException: Rate exceeded; AWS is throttling",
        ),
    ],
)
def test_a_failed_build_writes_nothing_and_says_why_in_one_line(
    prepare: Any,
    outcome: str,
    message: str,
    registry: Stubber,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(registry)
    code, out, err = run(capsys, environment, "--output", tmp_path / "out", "--json")
    assert code == 1
    assert json.loads(out)["outcome"] == outcome
    assert err.startswith(f"build.py: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_credentials(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def client(*_: Any, **__: Any) -> Any:
        raise NoCredentialsError

    monkeypatch.setattr(boto3, "client", client)
    code, _, err = run(capsys, environment, "--output", tmp_path)
    assert code == 1
    assert err.startswith("build.py: no AWS credentials found; sign in")


def test_a_folder_that_cannot_be_written(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_build(registry)
    (tmp_path / "out").write_text("a file where a folder should be")
    code, _, err = run(capsys, environment, "--output", tmp_path / "out")
    assert code == 1
    assert err.startswith("build.py: Cannot write the files of the build")


def test_every_problem_of_every_file_is_named_before_any_call(
    repository: Path,
    environment: dict[str, str],
    registry: Stubber,
    capsys: pytest.CaptureFixture[str],
) -> None:
    staging = repository / "staging-config-template.json"
    parameters = {**json.loads(staging.read_text())["Parameters"], "StageName": "prod", "Typo": 1}
    staging.write_text(json.dumps({"Parameters": parameters}))
    (repository / "prod-config-template.json").write_text("{")
    code, out, _ = run(capsys, environment, "--output", repository / "out", "--json")
    assert code == 1
    result = json.loads(out)
    assert result["outcome"] == "invalid-configuration"
    assert [(p["file"], p["parameter"]) for p in result["problems"]] == [
        ("staging-config-template.json", "StageName"),
        ("staging-config-template.json", "Typo"),
        ("prod-config-template.json", "the file"),
    ]
    assert not (repository / "out").exists()


def test_the_stage_files_of_this_repository_are_valid() -> None:
    problems = []
    try:
        build.read_inputs(ROOT, read_answers(ROOT).stages)
    except InvalidFilesError as error:
        problems = error.problems
    if problems:
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("cfn-sm-endpoint-template.yml", ("  StageName:\n", "  StageNam:\n"), "StageName: must be declared"),
        ("cfn-sm-endpoint-template.yml", ("Default: 1\n", "Default: one\n"), "its own Default must be"),
        ("cfn-sm-endpoint-template.yml", ("Type: String\n", "Type: !Ref X\n"), "Parameters: line "),
        (
            "prod-config-template.json",
            ('"CANARY"', '"CANARIES"'),
            "must be one of ALL_AT_ONCE, CANARY, LINEAR",
        ),
        (
            "prod-config-template.json",
            ('"EndpointInstanceCount": 2, "UpdatePolicy"', '"EndpointInstanceCount": 1, "UpdatePolicy"'),
            "at least 2",
        ),
        ("staging-config-template.json", ("ml.", "mll."), "must match"),
        ("staging-config-template.json", None, "cannot be read"),
    ],
)
def test_check_names_what_is_wrong(
    repository: Path,
    file: str,
    change: tuple[str, str] | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, {}, "--check")[0] == 0
    if change is None:
        (repository / file).unlink()
    else:
        text = (repository / file).read_text()
        if change[0] not in text:
            pytest.skip(f"{file} has no {change[0]!r} for this kind of inference")
        (repository / file).write_text(text.replace(change[0], change[1], 1))
    code, _, err = run(capsys, {}, "--check")
    assert code == 1
    assert message in err
    assert file in err


def test_a_value_of_the_environment_must_suit_the_template_too(
    repository: Path,
    environment: dict[str, str],
    registry: Stubber,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template = repository / build.TEMPLATE
    template.write_text(
        template.read_text().replace(
            "AllowedValues: [dev, staging, preprod, prod]", "AllowedValues: [staging]"
        )
    )
    code, _, err = run(capsys, environment, "--output", repository)
    assert code == 1
    assert 'StageName: (from the build) must be one of staging (found "prod")' in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--check", "--model-package-arn", "newest"],
        ["--check", "--rollback-to", "7"],
        ["--rollback-to", "7"],
        [],
    ],
)
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, {}, *arguments)[0] == 2


def test_abbreviated_and_unknown_options_are_refused() -> None:
    with pytest.raises(SystemExit) as error:
        build.main(["--model-package", "newest"], {})
    assert error.value.code == 2


def test_help_needs_no_boto3() -> None:
    code = "import sys; sys.modules.update(boto3=None, botocore=None); import build; build.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout


def test_the_instance_types_of_botocore() -> None:
    known = build.instance_types()
    assert set(known) == {"EndpointInstanceType", "TransformInstanceType"}
    assert all({"ml.m5.large", "ml.c5.xlarge"} <= types for types in known.values())
    assert known["EndpointInstanceType"] != known["TransformInstanceType"]


def test_a_first_build_creates_the_group(
    registry: Stubber, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing(registry, "describe_model_package_group", "ModelPackageGroup x does not exist.")
    arn = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package-group/{GROUP}"
    registry.add_response(
        "create_model_package_group",
        {"ModelPackageGroupArn": arn},
        {
            "ModelPackageGroupName": GROUP,
            "ModelPackageGroupDescription": "Models of the SageMaker project iris",
            "Tags": [
                {"Key": "sagemaker:project-name", "Value": "iris"},
                {"Key": "sagemaker:project-id", "Value": "p-0123456789ab"},
            ],
        },
    )
    registry.add_response("put_model_package_group_policy", {"ModelPackageGroupArn": arn})
    registry.add_response("list_model_packages", {"ModelPackageSummaryList": []})
    assert run(capsys, environment, "--output", tmp_path)[0] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["7", "07", PACKAGE_ARN])
def test_rolling_back_starts_the_pipeline_with_an_approved_version(
    version: str, stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = {name: stub(name) for name in ("sagemaker", "codepipeline")}
    monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service][0])
    registry, pipeline = clients["sagemaker"][1], clients["codepipeline"][1]
    describe_group(registry)
    describe_package(registry, "Approved")
    newest = PACKAGE_ARN.replace("/7", "/9")
    registry.add_response("list_model_packages", {"ModelPackageSummaryList": [summary(9)]})
    pipeline.add_response(
        "start_pipeline_execution",
        {"pipelineExecutionId": "0a1b"},
        {
            "name": "sagemaker-iris-p-0123456789ab-deploy",
            "variables": [{"name": "ModelPackageArn", "value": PACKAGE_ARN}],
        },
    )
    names = ("SAGEMAKER_PROJECT_NAME", "SAGEMAKER_PROJECT_ID", "AWS_REGION")
    environment = dict(zip(names, ("iris", "p-0123456789ab", "eu-west-1"), strict=True))
    code, out, err = run(capsys, environment, "--rollback-to", version)
    assert (code, err) == (0, "")
    assert "sagemaker-iris-p-0123456789ab-deploy, 0a1b" in out
    assert f"the next commit deploys {newest} again, unless you reject it" in out


def test_rolling_back_to_what_is_not_approved_starts_nothing(
    registry: Stubber, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    describe_group(registry)
    describe_package(registry, "Rejected")
    code, out, err = run(capsys, environment, "--rollback-to", "7", "--json")
    assert (code, json.loads(out)["outcome"]) == (1, "model-package-not-deployable")
    assert err.startswith(f"build.py: {PACKAGE_ARN} is rejected: only an approved")
