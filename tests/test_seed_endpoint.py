"""test/test.py of a rendered repository as a child process: an endpoint in an embedded AWS, a model that answers."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, REGION, bake, build_environment, run, run_build
from seed_support.model_server import Model, Reply, answering, csv, failing, never, slow, wrong
from seed_support.registry import Registry

pytestmark = pytest.mark.slow
PREDICTIONS = ("classification", "regression")


@pytest.fixture(scope="module")
def registry(aws: EmbeddedAws) -> Registry:
    """A registry with two packages: an old one and a new one."""
    registry = Registry(aws)
    registry.client().create_model_package_group(ModelPackageGroupName=GROUP)
    return registry


@pytest.fixture(scope="module")
def packages(registry: Registry) -> tuple[str, str]:
    return registry.register(), registry.register()


@pytest.fixture(scope="module")
def built(registry: Registry, packages: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A repository for each kind of prediction, after a build; tests get copies of it."""
    repositories = {}
    for prediction in PREDICTIONS:
        repository = bake(tmp_path_factory.mktemp("seed"), prediction=prediction)
        env = build_environment(registry.account, **registry.environment)
        code, result, error = run_build(repository, env=env)
        assert (code, result.get("model_package_arn")) == (0, packages[1]), error
        repositories[prediction] = repository
    return repositories


class Stage:
    """A rendered repository, built and deployed to a stage; the model behind it can be told to misbehave."""

    def __init__(
        self, registry: Registry, packages: tuple[str, str], repository: Path, model: Model, runtime: str
    ) -> None:
        """Takes away the endpoints of the test before."""
        self.registry, self.repository, self.model = registry, repository, model
        self.address = {
            **registry.environment,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime,
            "AWS_REGION": REGION,
        }
        self.old, self.new = packages
        self.runtime = runtime
        registry.undeploy()

    def deploy(self, stage: str = "staging", model_package: str | None = None) -> str:
        export = json.loads((self.repository / f"{stage}-config-export.json").read_text())
        return self.registry.deploy(export["Parameters"], model_package)

    def expect(self, **changes: Any) -> None:
        for file in self.repository.glob("test/payloads/*/expectations.json"):
            file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    def test(self, *words: str, stage: str = "staging", **more: str) -> tuple[int, dict[str, Any]]:
        """Runs test.py; returns its exit code and its results, which must agree with its JUnit file."""
        settings = {"BUILD_CONFIG": f"{stage}-config-export.json", "STAGE": stage, **self.address, **more}
        for leftover in self.repository.glob("test-results*"):
            leftover.unlink()
        done = run(self.repository, "test/test.py", "--poll", "0.1", *words, env=settings)
        assert "Traceback" not in done.stderr, done.stderr
        results: dict[str, Any] = json.loads((self.repository / "test-results.json").read_text())
        suite = ET.parse(self.repository / "test-results.xml").getroot()[0]
        assert suite.get("tests") == str(len(results["checks"]))
        bad = sum(check["outcome"] in ("failed", "error") for check in results["checks"])
        assert int(suite.get("failures", "")) + int(suite.get("errors", "")) == bad
        assert done.stdout.splitlines()[-1].startswith(results["outcome"])
        return done.returncode, results


@pytest.fixture(params=PREDICTIONS)
def prediction(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(
    registry: Registry, packages: tuple[str, str], built: dict[str, Path], tmp_path: Path, prediction: str
) -> Iterator[Stage]:
    repository = tmp_path / "seed"
    shutil.copytree(built[prediction], repository)
    with answering(prediction) as (model, runtime):
        yield Stage(registry, packages, repository, model, runtime)


def bad(results: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["message"] for check in results["checks"] if check["outcome"] != "passed"}


only_classification = pytest.mark.parametrize("prediction", ["classification"], indirect=True)


def test_a_good_endpoint_passes(stage: Stage, prediction: str) -> None:
    for name in ("staging", "prod"):
        endpoint = stage.deploy(name)
        code, results = stage.test(stage=name)
        assert (code, bad(results)) == (0, {})
        assert (results["outcome"], results["stage"], results["prediction"]) == ("passed", name, prediction)
        assert (results["endpoint"], results["model_package_arn"]) == (endpoint, stage.new)
        assert f"/endpoints/{endpoint}/invocations" in stage.model.endpoints
    assert stage.model.requests == 2 * (3 + 20)


@only_classification
def test_the_stackset_format_is_read_too(stage: Stage) -> None:
    env = build_environment(stage.registry.account, **stage.registry.environment, DEPLOY_TARGET="stackset")
    parameters = json.loads((stage.repository / "staging-config-export.json").read_text())["Parameters"]
    assert run_build(stage.repository, env=env)[0] == 0
    assert isinstance(json.loads((stage.repository / "staging-config-export.json").read_text()), list)
    stage.registry.deploy(parameters)
    assert stage.test()[0] == 0


@only_classification
def test_the_old_model_fails_although_the_endpoint_is_in_service(stage: Stage) -> None:
    stage.deploy(model_package=stage.old)
    code, results = stage.test()
    assert code == 1
    assert bad(results) == {"serves-the-model-package-of-the-build": f"serves {stage.old} instead of {stage.new}"}


@pytest.mark.parametrize(
    ("misbehave", "checks", "message"),
    [
        (wrong, {"payload flowers.csv", "payload flowers.json"}, "row 3: expected"),
        (
            csv,
            {"payload flowers.csv", "payload flowers.json", "payload one-flower.csv"},
            "answered text/csv instead",
        ),
        (failing(10), {"latency"}, "2 of 20 invocations failed"),
        (
            failing(1),
            {"payload flowers.csv", "payload flowers.json", "payload one-flower.csv", "latency"},
            "ModelError: Received server error (500)",
        ),
    ],
    ids=["wrong", "csv", "500 to one in ten", "500"],
)
def test_a_misbehaving_model_fails(
    stage: Stage, misbehave: Callable[[Model, Reply], Reply], checks: set[str], message: str
) -> None:
    stage.deploy()
    stage.model.misbehave = misbehave
    code, results = stage.test()
    assert code == 1
    assert set(bad(results)) == checks
    assert any(message in text for text in bad(results).values()), bad(results)


@only_classification
def test_a_slow_model_fails_the_latency_check_alone(stage: Stage) -> None:
    stage.deploy()
    stage.expect(latency={"invocations": 5, "p95_milliseconds": 50})
    stage.model.misbehave = slow(0.1)
    code, results = stage.test()
    assert code == 1
    assert set(bad(results)) == {"latency"}
    assert "at most 50 ms are allowed" in bad(results)["latency"]


@only_classification
def test_a_model_that_never_answers_is_not_waited_for_again(stage: Stage) -> None:
    stage.deploy()
    stage.expect(timeout_seconds=0.5)
    stage.model.misbehave = never
    code, results = stage.test()
    assert code == 1
    outcomes = {check["name"]: check["outcome"] for check in results["checks"] if check["outcome"] != "passed"}
    assert outcomes == {
        "payload flowers.csv": "failed",
        "payload flowers.json": "skipped",
        "payload one-flower.csv": "skipped",
        "latency": "skipped",
    }
    assert stage.model.requests == 1
    assert results["seconds"] < 10


@only_classification
def test_a_failed_endpoint_and_one_that_takes_too_long(stage: Stage) -> None:
    name = f"{GROUP}-staging"
    elsewhere = {"AWS_ENDPOINT_URL_SAGEMAKER": stage.runtime}
    stage.model.described = {"EndpointName": name, "EndpointStatus": "Failed", "FailureReason": "no capacity"}
    code, results = stage.test(**elsewhere)
    assert code == 1
    assert bad(results)["in-service"] == f"{name} is Failed: no capacity"
    stage.model.described = {"EndpointName": name, "EndpointStatus": "Updating"}
    code, results = stage.test("--timeout", "1", **elsewhere)
    assert code == 1
    assert bad(results)["in-service"] == f"{name} is still Updating after 1 seconds"
    assert stage.model.requests == 0


@only_classification
def test_a_missing_endpoint(stage: Stage) -> None:
    code, results = stage.test()
    assert code == 1
    assert bad(results)["in-service"].startswith("there is no endpoint")


@only_classification
def test_another_configuration_than_the_builds_fails(stage: Stage) -> None:
    stage.deploy()
    file = stage.repository / "staging-config-export.json"
    file.write_text(file.read_text().replace('"EndpointInstanceCount": "1"', '"EndpointInstanceCount": "4"'))
    code, results = stage.test()
    assert code == 1
    assert bad(results) == {"runs-the-configuration-of-the-build": "EndpointInstanceCount is 1 instead of 4"}


@only_classification
def test_expectations_that_name_a_missing_payload(stage: Stage) -> None:
    stage.deploy()
    (stage.repository / "test/payloads/classification/flowers.json").unlink()
    code, results = stage.test()
    assert code == 1
    assert set(bad(results)) == {"payload flowers.json"}
    assert "names flowers.json, which cannot be read" in bad(results)["payload flowers.json"]


@only_classification
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"BUILD_CONFIG": ""}, 2),
        ({"BUILD_CONFIG": "seed.json"}, 2),
        ({"BUILD_CONFIG": "gone.json"}, 2),
        ({"STAGE": "prod"}, 2),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 1),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 1),
    ],
    ids=["unset", "another file", "missing", "another stage", "no server", "no credentials"],
)
def test_bad_input_always_leaves_results(stage: Stage, more: dict[str, str], code: int) -> None:
    found, results = stage.test(**more)
    assert found == code
    assert results["outcome"] == "error"


@only_classification
def test_the_stages_role_is_assumed(stage: Stage) -> None:
    stage.deploy()
    role = stage.registry.role("seed/deploy")
    stage.registry.forget_calls()
    assert stage.test(DEPLOY_ROLE_ARN=role)[0] == 0
    assert stage.registry.calls[0] == "AssumeRole"
    assert stage.test(DEPLOY_ROLE_ARN="not an arn")[1]["outcome"] == "error"
