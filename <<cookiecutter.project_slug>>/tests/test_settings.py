"""The environment of a build: what it may say, and that every mistake is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import UsageError
from deploy.settings import read_settings


def test_defaults(environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert settings.target == "cloudformation"
    assert settings.model_package_arn == "newest"
    assert settings.template_file == Path("template-export.yml")
    assert settings.stage_files == {
        "staging": Path("staging-config-export.json"),
        "prod": Path("prod-config-export.json"),
    }


def test_what_a_stage_gets(environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert settings.owned("staging")["ModelExecutionRoleName"] == "seed/model"
    assert settings.owned("prod") == {
        "SageMakerProjectName": "iris",
        "SageMakerProjectId": "p-0123456789ab",
        "StageName": "prod",
        "ModelExecutionRoleName": "seed/model-prod",
    }


def test_an_empty_variable_counts_as_unset(environment: dict[str, str]) -> None:
    settings = read_settings(
        {**environment, "MODEL_PACKAGE_ARN": "", "DEPLOY_TARGET": " ", "ACCOUNT_PROD_ID": ""}
    )
    assert (settings.model_package_arn, settings.target, settings.accounts["prod"]) == (
        "newest",
        "cloudformation",
        "",
    )


def test_every_missing_variable_is_named() -> None:
    with pytest.raises(UsageError) as error:
        read_settings({})
    lines = str(error.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "SAGEMAKER_PROJECT_NAME",
        "SAGEMAKER_PROJECT_ID",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME",
        "SAGEMAKER_EXECUTION_ROLE_STAGING_NAME",
        "SAGEMAKER_EXECUTION_ROLE_PROD_NAME",
        "AWS_REGION",
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
    read_settings(environment)
    with pytest.raises(UsageError, match=name):
        read_settings({**environment, name: value})
