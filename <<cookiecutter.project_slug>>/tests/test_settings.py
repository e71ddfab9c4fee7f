"""What a build reads from its environment, every mistake named, and what it writes, all or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, TWO

from deploy.errors import UsageError
from deploy.exports import FORMATS, Export, read_export, render, write_all
from deploy.settings import LAYOUTS, Answers, read_answers, read_settings

EXPORT = Export({"A": "1", "B": ""}, {"team": "dätä"})


def test_defaults(environment: dict[str, str]) -> None:
    settings = read_settings(environment, TWO)
    assert settings.target == "cloudformation"
    assert settings.model_package_arn == "newest"
    assert settings.template_file == Path("template-export.yml")
    assert settings.stage_files == {
        "staging": Path("staging-config-export.json"),
        "prod": Path("prod-config-export.json"),
    }


def test_what_a_stage_gets(environment: dict[str, str]) -> None:
    settings = read_settings(environment, TWO)
    assert settings.owned("staging")["ModelExecutionRoleName"] == "seed/model"
    assert settings.owned("prod") == {
        "SageMakerProjectName": "iris",
        "SageMakerProjectId": "p-0123456789ab",
        "StageName": "prod",
        "ModelExecutionRoleName": "seed/model-prod",
        "DriftEventBusArn": "",
    }


def test_three_stages_and_their_target_come_from_the_repository() -> None:
    answers = Answers(LAYOUTS["three"], "stackset-self-managed")
    environment = {
        "SAGEMAKER_PROJECT_NAME": "iris",
        "SAGEMAKER_PROJECT_ID": "p-0123456789ab",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": "iris-p-0123456789ab",
        "AWS_REGION": "eu-west-1",
        "ACCOUNT_DEV_ID": "222222222222",
        **{
            f"SAGEMAKER_EXECUTION_ROLE_{stage}_NAME": f"model-{stage}" for stage in ("DEV", "PREPROD", "PROD")
        },
    }
    settings = read_settings(environment, answers)
    assert settings.stages == ("dev", "preprod", "prod")
    assert settings.accounts == {"dev": "222222222222", "preprod": "", "prod": ""}
    assert settings.owned("preprod")["ModelExecutionRoleName"] == "model-PREPROD"
    assert settings.stage_files["dev"] == Path("dev-config-export.json")
    assert settings.target == "stackset-self-managed"


def test_the_answers_of_this_repository_are_read() -> None:
    assert read_answers(ROOT).stages in LAYOUTS.values()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        '{"answers": {"stages": "four", "deploy_target": "same-account"}}',
        '{"answers": {"stages": "two", "deploy_target": "ftp"}}',
    ],
)
def test_a_seed_json_without_the_answers_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "seed.json").write_text(content)
    with pytest.raises(UsageError, match=r"seed\.json: .*deploy_target"):
        read_answers(tmp_path)


def test_an_empty_variable_counts_as_unset(environment: dict[str, str]) -> None:
    settings = read_settings(
        {**environment, "MODEL_PACKAGE_ARN": "", "DEPLOY_TARGET": " ", "ACCOUNT_PROD_ID": ""}, TWO
    )
    assert (settings.model_package_arn, settings.target, settings.accounts["prod"]) == (
        "newest",
        "cloudformation",
        "",
    )


def test_every_missing_variable_is_named() -> None:
    with pytest.raises(UsageError) as error:
        read_settings({}, TWO)
    lines = str(error.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "SAGEMAKER_PROJECT_NAME",
        "SAGEMAKER_PROJECT_ID",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME",
        "AWS_REGION",
        "SAGEMAKER_EXECUTION_ROLE_STAGING_NAME",
        "SAGEMAKER_EXECUTION_ROLE_PROD_NAME",
    ]
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_PROJECT_NAME", "a" * 33),
        ("SAGEMAKER_PROJECT_NAME", "-a"),
        ("SAGEMAKER_PROJECT_ID", "p_1"),
        ("SOURCE_MODEL_PACKAGE_GROUP_NAME", "g" * 64),
        ("SAGEMAKER_EXECUTION_ROLE_PROD_NAME", "a role"),
        ("ACCOUNT_STAGING_ID", "12345"),
        ("DEPLOY_TARGET", "terraform"),
        ("AWS_REGION", "Ireland"),
        ("EXPORT_TEMPLATE_NAME", "/absolute"),
        ("EXPORT_TEMPLATE_NAME", "prod-config-export.json"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], name: str, value: str) -> None:
    read_settings(environment, TWO)
    with pytest.raises(UsageError, match=name):
        read_settings({**environment, name: value}, TWO)


def test_cloudformation_format() -> None:
    assert json.loads(render(EXPORT, "cloudformation")) == {
        "Parameters": {"A": "1", "B": ""},
        "Tags": {"team": "dätä"},
    }


def test_stackset_format() -> None:
    assert json.loads(render(EXPORT, "stackset-self-managed")) == [
        {"ParameterKey": "A", "ParameterValue": "1"},
        {"ParameterKey": "B", "ParameterValue": ""},
    ]


@pytest.mark.parametrize("target", FORMATS)
def test_reads_back_what_it_writes(target: str) -> None:
    assert read_export(render(EXPORT, target)).parameters == EXPORT.parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "expected"),
        ("3", "expected"),
        ('{"Parameters": {"A": 1}}', "expected"),
        ('{"Parameters": {}, "Tags": []}', "expected"),
        ('[{"ParameterKey": "A"}]', "expected"),
        ('[{"ParameterKey": "A", "ParameterValue": 1}]', "expected"),
        (
            '[{"ParameterKey": "A", "ParameterValue": "1"}, {"ParameterKey": "A", "ParameterValue": "2"}]',
            "twice",
        ),
    ],
)
def test_refuses_other_forms(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_export(text)


def test_writes_all_files_and_replaces_older_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    write_all({tmp_path / "a": "new", tmp_path / "deep" / "b": "b"})
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "deep" / "b").read_text() == "b"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "deep"]


def test_writes_nothing_if_one_place_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError):
        write_all({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
