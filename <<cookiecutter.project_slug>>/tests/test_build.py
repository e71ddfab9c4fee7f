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
from conftest import ACCOUNT, GROUP, PACKAGE_ARN, PROD_ACCOUNT, ROOT, STAGING_ACCOUNT, Stub
from test_registry import describe_group, missing, policy_of, read_policy, summary

import build

FILES = ["prod-config-export.json", "staging-config-export.json", "template-export.yml"]


@pytest.fixture
def registry(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Stubber:
    client, stubber = stub("sagemaker")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    return stubber


def full_build(stubber: Stubber) -> None:
    describe_group(stubber)
    read_policy(stubber, policy_of(STAGING_ACCOUNT, PROD_ACCOUNT))
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": [summary(7)]})


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
    names |= {"EXPORT_TEMPLATE_PROD_CONFIG": "out/p.json", "DEPLOY_TARGET": "stackset"}
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
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "ROOT", repository)
    (repository / "staging-config-template.json").write_text(
        '{"Parameters": {"EndpointInstanceType": 5, "Typo": 1}}'
    )
    (repository / "prod-config-template.json").write_text("{")
    code, out, _ = run(capsys, environment, "--output", repository / "out", "--json")
    assert code == 1
    result = json.loads(out)
    assert result["outcome"] == "invalid-configuration"
    assert [(p["file"], p["parameter"]) for p in result["problems"]] == [
        ("staging-config-template.json", "EndpointInstanceType"),
        ("staging-config-template.json", "Typo"),
        ("prod-config-template.json", "the file"),
    ]
    assert not (repository / "out").exists()


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
            ('"EndpointInstanceCount": 2', '"EndpointInstanceCount": 1'),
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
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "ROOT", repository)
    assert run(capsys, {}, "--check")[0] == 0
    if change is None:
        (repository / file).unlink()
    else:
        text = (repository / file).read_text()
        assert change[0] in text
        (repository / file).write_text(text.replace(change[0], change[1], 1))
    code, _, err = run(capsys, {}, "--check")
    assert code == 1
    assert message in err
    assert file in err


def test_a_value_of_the_environment_must_suit_the_template_too(
    repository: Path,
    environment: dict[str, str],
    registry: Stubber,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "ROOT", repository)
    template = repository / build.TEMPLATE
    template.write_text(
        template.read_text().replace("AllowedValues: [staging, prod]", "AllowedValues: [staging]")
    )
    code, _, err = run(capsys, environment, "--output", repository)
    assert code == 1
    assert 'StageName: (from the build) must be one of staging (found "prod")' in err


@pytest.mark.parametrize("arguments", [["--check", "--model-package-arn", "newest"], []])
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
    assert {"ml.m5.large", "ml.c5.xlarge"} <= build.instance_types()


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
