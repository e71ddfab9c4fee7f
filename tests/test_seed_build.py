"""build.py of a rendered repository as a child process, against a real HTTP server of the model registry."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path

import pytest
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, bake, build_environment, run, run_build
from seed_support.registry import Registry

pytestmark = pytest.mark.slow
FILES = ("prod-config-export.json", "staging-config-export.json", "template-export.yml")
LISTING = ["DescribeModelPackageGroup", "GetModelPackageGroupPolicy", "ListModelPackages"]


@pytest.fixture
def registry(aws: EmbeddedAws) -> Registry:
    return Registry(aws)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("seed"))


def environment(registry: Registry, **more: str) -> dict[str, str]:
    return build_environment(registry.account, **registry.environment, **more)


def test_the_first_build_creates_the_group_and_says_that_nothing_is_approved(
    registry: Registry, repository: Path, tmp_path: Path
) -> None:
    code, result, error = run_build(repository, "--output", str(tmp_path), env=environment(registry))
    assert code == 1
    assert result["outcome"] == "no-approved-model-package"
    assert error == f"build.py: {result['message']}\n"
    assert list(tmp_path.iterdir()) == []
    assert registry.calls == ["DescribeModelPackageGroup", "CreateModelPackageGroup", "ListModelPackages"]
    arn = registry.client().describe_model_package_group(ModelPackageGroupName=GROUP)["ModelPackageGroupArn"]
    tags = registry.client().list_tags(ResourceArn=arn)["Tags"]
    assert {tag["Key"] for tag in tags} == {"sagemaker:project-name", "sagemaker:project-id"}


def test_approving_a_package_makes_the_next_build_write_its_files(
    registry: Registry, repository: Path, tmp_path: Path
) -> None:
    assert run_build(repository, "--output", str(tmp_path), env=environment(registry))[0] == 1
    arn = registry.register("PendingManualApproval")
    assert run_build(repository, "--output", str(tmp_path), env=environment(registry))[0] == 1
    registry.client().update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    code, result, error = run_build(repository, "--output", str(tmp_path), env=environment(registry))
    assert (code, result["outcome"], error) == (0, "built", "")
    assert result["model_package_arn"] == arn
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for stage, count in (("staging", "1"), ("prod", "2")):
        parameters = json.loads((tmp_path / f"{stage}-config-export.json").read_text())["Parameters"]
        assert (parameters["StageName"], parameters["EndpointInstanceCount"]) == (stage, count)
        assert parameters["ModelPackageName"] == arn


def test_the_newest_approved_package_is_taken(registry: Registry, repository: Path, tmp_path: Path) -> None:
    run_build(repository, "--output", str(tmp_path), env=environment(registry))
    registry.register()
    newest = registry.register()
    registry.register("Rejected")
    registry.register("PendingManualApproval")
    registry.forget_calls()
    code, result, _ = run_build(repository, "--output", str(tmp_path), env=environment(registry))
    assert (code, result["model_package_arn"], result["chosen"]) == (0, newest, "newest")
    assert registry.calls == LISTING


@pytest.mark.parametrize("by", ["environment", "argument"])
def test_the_given_package_is_taken_even_if_it_is_not_the_newest(
    registry: Registry, repository: Path, tmp_path: Path, by: str
) -> None:
    run_build(repository, "--output", str(tmp_path), env=environment(registry))
    given = registry.register()
    registry.register()
    words = ["--model-package-arn", given] if by == "argument" else []
    more = {"MODEL_PACKAGE_ARN": given} if by == "environment" else {"MODEL_PACKAGE_ARN": "newest"}
    code, result, _ = run_build(repository, "--output", str(tmp_path), *words, env=environment(registry, **more))
    assert (code, result["model_package_arn"], result["chosen"]) == (0, given, "given")


def test_a_package_that_was_rejected_meanwhile_is_not_deployed(
    registry: Registry, repository: Path, tmp_path: Path
) -> None:
    run_build(repository, "--output", str(tmp_path), env=environment(registry))
    registry.register()
    given = registry.register("Rejected")
    code, result, error = run_build(
        repository, "--output", str(tmp_path), env=environment(registry, MODEL_PACKAGE_ARN=given)
    )
    assert (code, result["outcome"]) == (1, "model-package-not-deployable")
    assert "was rejected after this run began" in error
    assert list(tmp_path.iterdir()) == []


def test_a_package_of_another_group_is_not_deployed(registry: Registry, repository: Path, tmp_path: Path) -> None:
    registry.client().create_model_package_group(ModelPackageGroupName="other-group")
    given = registry.register(group="other-group")
    code, result, _ = run_build(
        repository, "--output", str(tmp_path), env=environment(registry, MODEL_PACKAGE_ARN=given)
    )
    assert (code, result["outcome"]) == (1, "model-package-not-deployable")


def test_other_accounts_get_a_policy_once_and_lose_it_when_they_are_stages_no_more(
    registry: Registry, repository: Path, tmp_path: Path
) -> None:
    elsewhere = environment(registry, ACCOUNT_STAGING_ID="222222222222", ACCOUNT_PROD_ID="333333333333")
    run_build(repository, "--output", str(tmp_path), env=elsewhere)
    text = registry.policy or ""
    policy = json.loads(text)
    assert [s["Principal"]["AWS"] for s in policy["Statement"]] == [
        ["arn:aws:iam::222222222222:root", "arn:aws:iam::333333333333:root"]
    ] * 2
    assert "UpdateModelPackage" not in text
    registry.forget_calls()
    run_build(repository, "--output", str(tmp_path), env=elsewhere)
    assert registry.calls == LISTING
    run_build(repository, "--output", str(tmp_path), env=environment(registry))
    assert registry.policy is None


def test_ten_and_a_thousand_packages_take_the_same_calls(registry: Registry, repository: Path, tmp_path: Path) -> None:
    run_build(repository, "--output", str(tmp_path), env=environment(registry))
    seen = []
    for more in (10, 990):
        registry.register_many(more)
        registry.forget_calls()
        assert run_build(repository, "--output", str(tmp_path), env=environment(registry))[0] == 0
        seen.append(registry.calls)
    assert seen == [LISTING, LISTING]


def test_a_mistake_in_a_stage_file_stops_the_build_before_the_first_call(registry: Registry, tmp_path: Path) -> None:
    repository = bake(tmp_path)
    file = repository / "prod-config-template.json"
    file.write_text(file.read_text().replace("EndpointInstanceCount", "EndpointInstanceCuont"))
    code, result, error = run_build(repository, env=environment(registry))
    assert (code, result["outcome"]) == (1, "invalid-configuration")
    assert "prod-config-template.json: EndpointInstanceCuont: is not a parameter of the endpoint template" in error
    assert registry.calls == []
    assert not any((repository / name).exists() for name in FILES)


def test_without_credentials_or_server_there_is_one_line(registry: Registry, repository: Path, tmp_path: Path) -> None:
    settings = build_environment(registry.account)
    code, result, error = run_build(repository, "--output", str(tmp_path), env=settings)
    assert (code, result["outcome"]) == (1, "aws-error")
    assert re.fullmatch(r"build\.py: no AWS credentials found; .*\n", error)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    nobody = {**environment(registry), "AWS_ENDPOINT_URL": address}
    code, result, error = run_build(repository, "--output", str(tmp_path), env=nobody)
    assert (code, result["outcome"]) == (1, "aws-error")
    assert re.fullmatch(r"build\.py: AWS cannot be reached .*\n", error)


def test_wrong_use_is_exit_code_2_without_a_traceback(repository: Path) -> None:
    for words in (["--unknown"], []):
        done = run(repository, "build.py", *words, env={})
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_help_and_check_are_fast(repository: Path) -> None:
    """CPU time of the child, so that a busy machine does not matter."""
    for words, bound in ((["--help"], 0.3), (["--check"], 1.0)):
        before, began = os.times(), time.perf_counter()
        assert run(repository, "build.py", *words, env={}).returncode == 0
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        assert spent < bound, f"{words} took {spent:.2f} s of CPU, {time.perf_counter() - began:.2f} s in all"
