"""test/test.py of a rendered repository as a child process: an endpoint in an embedded AWS, a model that answers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, REGION, bake, build_environment, run, run_build, scrubbed
from seed_support.model_server import (
    Model,
    Reply,
    answering,
    careless,
    csv,
    failing,
    never,
    obliging,
    slow,
    wrong,
)
from seed_support.registry import Registry

pytestmark = pytest.mark.slow
PREDICTIONS = ("classification", "regression")
PAYLOADS = ("payload flowers.csv", "payload flowers.json", "payload one-flower.csv")
BAD_INPUT = tuple(
    f"bad input: {name}" for name in ("text for a number", "a column too few", "broken JSON", "another content type")
)
COMPARISON = "comparison-with-next-stage"


@dataclass(frozen=True)
class Built:
    """An account with a registry of two packages, an old one and a new one, and a repository after its build."""

    registry: Registry
    old: str
    new: str
    repository: Path


@pytest.fixture(scope="module")
def built(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """One for each kind of prediction; tests get copies of the repository."""
    made = {}
    for prediction in PREDICTIONS:
        registry = Registry(aws)
        registry.client().create_model_package_group(ModelPackageGroupName=GROUP)
        old, new = (registry.register(measured=prediction) for _ in range(2))
        repository = bake(tmp_path_factory.mktemp("seed"), prediction=prediction)
        env = build_environment(registry.account, **registry.environment)
        code, result, error = run_build(repository, env=env)
        assert (code, result.get("model_package_arn")) == (0, new), error
        made[prediction] = Built(registry, old, new, repository)
    return made


class Stage:
    """A rendered repository, built and deployed to a stage; the model behind it can be told to misbehave."""

    def __init__(self, built: Built, repository: Path, model: Model, runtime: str) -> None:
        """Takes away the endpoints of the test before."""
        registry = self.registry = built.registry
        self.repository, self.model, self.old, self.new = repository, model, built.old, built.new
        self.address = {
            **registry.environment,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime,
            "AWS_REGION": REGION,
        }
        self.runtime = runtime
        registry.undeploy()

    def deploy(self, stage: str = "staging", model_package: str | None = None) -> str:
        export = json.loads((self.repository / f"{stage}-config-export.json").read_text())
        return self.registry.deploy(export["Parameters"], model_package)

    def expect(self, **changes: Any) -> None:
        """Changes expectations.json: of a section, the values that are given."""
        file = self.repository / "test/expectations.json"
        told = json.loads(file.read_text())
        for name, value in changes.items():
            told[name] = {**told[name], **value} if isinstance(value, dict) else value
        file.write_text(json.dumps(told))

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
        assert not [check["message"] for check in results["checks"] if "\n" in check["message"]]
        page = (self.repository / "test-report.html").read_text()
        assert f'<p class="verdict {"good" if results["outcome"] == "passed" else "bad"}">' in page
        return done.returncode, results


@pytest.fixture(params=PREDICTIONS)
def prediction(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(built: dict[str, Built], tmp_path: Path, prediction: str) -> Iterator[Stage]:
    repository = tmp_path / "seed"
    shutil.copytree(built[prediction].repository, repository)
    with answering(prediction) as (model, runtime):
        yield Stage(built[prediction], repository, model, runtime)


def bad(results: dict[str, Any]) -> dict[str, str]:
    """What the checks say that failed or could not be made."""
    return {check["name"]: check["message"] for check in results["checks"] if check["outcome"] in ("failed", "error")}


def skipped(results: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["message"] for check in results["checks"] if check["outcome"] == "skipped"}


only_classification = pytest.mark.parametrize("prediction", ["classification"], indirect=True)


def test_a_good_endpoint_passes(stage: Stage, prediction: str) -> None:
    for name, requests in (("staging", 50), ("prod", 20)):
        endpoint, before = stage.deploy(name), stage.model.requests
        code, results = stage.test(stage=name)
        alone = {COMPARISON: "no stage comes after this one (NEXT_STAGE is not set)"}
        assert (code, bad(results), skipped(results)) == (0, {}, alone)
        assert results.keys() == {
            *("schema_version", "outcome", "stage", "endpoint", "model_package", "checks", "measurements"),
            *("started", "seconds"),
        }
        assert (results["schema_version"], results["outcome"], results["stage"]) == (2, "passed", name)
        assert (results["endpoint"], results["model_package"]) == (endpoint, stage.new)
        measured = results["measurements"]
        assert measured["latency"].keys() == {"p50_ms", "p95_ms", "requests", "errors"}
        assert (measured["latency"]["requests"], measured["latency"]["errors"]) == (requests, 0)
        quality = measured["quality"]
        assert quality["metric"] == {"classification": "accuracy", "regression": "rmse"}[prediction]
        assert quality["value"] == pytest.approx(quality["registered"], abs=1e-6)
        assert (quality["tolerance"], quality["rows"]) == (0.02, 30)
        assert f"/endpoints/{endpoint}/invocations" in stage.model.endpoints
        # The payloads, the load, the labelled rows, the bad input, and the first payload once more.
        assert stage.model.requests - before == 3 + requests + 1 + 4 + 1


@only_classification
def test_the_stackset_format_is_read_too(stage: Stage) -> None:
    env = build_environment(stage.registry.account, **stage.registry.environment, DEPLOY_TARGET="stackset-self-managed")
    parameters = json.loads((stage.repository / "staging-config-export.json").read_text())["Parameters"]
    assert run_build(stage.repository, env=env)[0] == 0
    assert isinstance(json.loads((stage.repository / "staging-config-export.json").read_text()), list)
    stage.registry.deploy(parameters)
    assert stage.test()[0] == 0


def test_the_one_who_approves_is_told_of_the_model_that_would_be_replaced(stage: Stage, prediction: str) -> None:
    stage.deploy()
    if prediction == "classification":
        results = stage.test(NEXT_STAGE="prod")[1]
        assert skipped(results) == {COMPARISON: f"there is no endpoint {GROUP}-prod"}
    stage.deploy("prod", stage.old)
    # The one in production gives every row the answer of the first.
    stage.model.misbehave = lambda model, reply: wrong(model, reply) if "-prod/" in model.mine.path else reply
    code, results = stage.test(NEXT_STAGE="prod")
    assert (code, bad(results), skipped(results)) == (0, {}, {})
    told = results["measurements"]["comparison"]
    worse = {"classification": told["value"] < 0.5, "regression": told["value"] > 0.5}[prediction]
    assert (told["model_package"], told["rows"], told["different"] >= 15, worse) == (stage.old, 30, True, True)
    (message,) = (check["message"] for check in results["checks"] if check["name"] == COMPARISON)
    assert f"with {stage.old.rpartition('model-package/')[2]} in production" in message
    assert "in production" in (stage.repository / "test-report.html").read_text()
    if prediction == "regression":
        return
    # Whatever is wrong with production, it is not this stage's fault.
    for role in ("arn:aws:iam::000000000000:role/none", "no arn"):
        code, results = stage.test(NEXT_STAGE="prod", NEXT_DEPLOY_ROLE_ARN=role)
        assert (code, bad(results)) == (0, {})
        assert skipped(results)[COMPARISON].startswith("the next stage cannot be looked at: ")
    stage.model.misbehave = lambda model, reply: never(model, reply) if "-prod/" in model.mine.path else reply
    stage.expect(timeout_seconds=0.3)
    code, results = stage.test(NEXT_STAGE="prod")
    assert (code, skipped(results)[COMPARISON][:50]) == (0, "the next stage cannot be asked the same: no answer")


@only_classification
def test_the_old_model_fails_although_the_endpoint_is_in_service(stage: Stage) -> None:
    stage.deploy(model_package=stage.old)
    code, results = stage.test()
    assert code == 1
    assert bad(results) == {"serves-the-model-package-of-the-build": f"serves {stage.old} instead of {stage.new}"}


Misbehave = Callable[[Model, Reply], Reply]
# What the model does -> the checks that fail, and what one of them says.
BAD_ENDPOINTS: dict[str, tuple[Misbehave, tuple[str, ...], str]] = {
    "wrong": (wrong, (*PAYLOADS[:2], "quality"), "row 3: expected"),
    "another content type": (csv, (*PAYLOADS, "quality"), "answered text/csv instead"),
    "500 to one in ten": (failing(10), ("latency",), " invocations failed, the first with payloads/"),
    "500": (
        failing(1),
        (*PAYLOADS, "latency", "quality", *BAD_INPUT),
        "ModelError: Received server error (500)",
    ),
    "500 to bad input": (careless, BAD_INPUT, "is the client's mistake, but was answered with 500"),
    "an answer to anything": (obliging, BAD_INPUT, "was answered instead of refused"),
}


@pytest.mark.parametrize(("misbehave", "checks", "message"), BAD_ENDPOINTS.values(), ids=BAD_ENDPOINTS)
def test_a_misbehaving_model_fails(
    stage: Stage, prediction: str, misbehave: Misbehave, checks: tuple[str, ...], message: str
) -> None:
    stage.deploy()
    stage.model.misbehave = misbehave
    code, results = stage.test()
    assert code == 1
    assert set(bad(results)) == set(checks)
    assert any(message in text for text in bad(results).values()), bad(results)


@only_classification
def test_a_slow_model_fails_the_latency_check_alone(stage: Stage) -> None:
    stage.deploy()
    stage.expect(latency={"requests": 5, "p95_milliseconds": 50})
    stage.model.misbehave = slow(0.1)
    code, results = stage.test()
    assert code == 1
    assert set(bad(results)) == {"latency"}
    assert "at most 50 ms for p95 are allowed" in bad(results)["latency"]


@only_classification
def test_a_model_that_never_answers_is_not_waited_for_again(stage: Stage) -> None:
    stage.deploy()
    stage.expect(timeout_seconds=0.5)
    stage.model.misbehave = never
    code, results = stage.test(NEXT_STAGE="prod")
    assert code == 1
    first, *rest = PAYLOADS
    assert set(bad(results)) == {first}
    assert bad(results)[first].startswith("no answer within 0.")
    hidden = {*rest, "latency", "quality", COMPARISON, *BAD_INPUT, "healthy-after-bad-input"}
    assert skipped(results) == dict.fromkeys(hidden, "the endpoint did not answer payloads/classification/flowers.csv")
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
@pytest.mark.parametrize(
    ("file", "old", "new", "check", "message"),
    [
        (
            "staging-config-export.json",
            '"EndpointInstanceCount": "1"',
            '"EndpointInstanceCount": "4"',
            "runs-the-configuration-of-the-build",
            "EndpointInstanceCount is 1 instead of 4",
        ),
        (
            "staging-config-export.json",
            '"EndpointInstanceType"',
            '"EndpointInstanceTyp"',
            "runs-the-configuration-of-the-build",
            "the configuration that was deployed lacks EndpointInstanceType: is a name mistyped in it?",
        ),
        (
            "test/expectations.json",
            "payloads/classification/flowers.json",
            "payloads/classification/flower.json",
            "payload flower.json",
            "expectations.json names payloads/classification/flower.json, which cannot be read: No such file",
        ),
        ("test/expectations.json", '"latency"', '"latencies"', "expectations", "the file lacks latency and has"),
        ("test/expectations.json", '"prod"', '"production"', "expectations", "stages has 'production', which is no"),
    ],
    ids=["another configuration", "stage file", "missing payload", "expectations", "stage"],
)
def test_a_mistake_in_a_file_fails_with_a_line(
    stage: Stage, file: str, old: str, new: str, check: str, message: str
) -> None:
    stage.deploy()
    path = stage.repository / file
    path.write_text(path.read_text().replace(old, new, 1))
    code, results = stage.test()
    assert (code, set(bad(results))) == (1, {check})
    assert message in bad(results)[check]


OWN = """
import pytest

def test_setosa(endpoint):
    assert endpoint.predict([[5.1, 3.5, 1.4, 0.2]])[0]["label"] == "setosa"
    assert (endpoint.stage, endpoint.invoke("5.1,3.5\\n").status) == ("staging", 400)

def test_virginica(endpoint):
    assert endpoint.predict([[5.1, 3.5, 1.4, 0.2]])[0]["label"] == "virginica"

@pytest.mark.parametrize("length", [1.0, 6.0])
def test_later(endpoint, length):
    pytest.skip("not now")
"""


@only_classification
def test_the_data_scientists_own_tests_are_in_the_same_results(stage: Stage) -> None:
    stage.deploy()
    (stage.repository / "test/test_flowers.py").write_text(OWN)
    (stage.repository / "test/test_broken.py").write_text("import nothing_of_this_name\n")
    code, results = stage.test()
    assert (code, results["outcome"]) == (1, "error")
    found = bad(results)
    assert set(found) == {"test_flowers.py::test_virginica", "test_broken.py"}
    assert found["test_flowers.py::test_virginica"].startswith("test_flowers.py:9: AssertionError: assert 'setosa' ==")
    assert "nothing_of_this_name" in found["test_broken.py"]
    assert [name for name in skipped(results) if "later" in name] == [
        "test_flowers.py::test_later[1.0]",
        "test_flowers.py::test_later[6.0]",
    ]
    assert "test_flowers.py::test_setosa" in {check["name"] for check in results["checks"]}


@only_classification
@pytest.mark.parametrize("stop", ["pytest.exit('enough')", "raise KeyboardInterrupt"], ids=["exit", "interrupt"])
def test_own_tests_that_stop_before_their_end_are_no_success(stage: Stage, stop: str) -> None:
    stage.deploy()
    (stage.repository / "test/test_stop.py").write_text(
        f"import pytest\ndef test_good(endpoint): pass\ndef test_stop(): {stop}\ndef test_bad(): assert False\n"
    )
    code, results = stage.test()
    assert (code, results["outcome"]) == (1, "error")
    assert set(bad(results)) == {"own tests"}
    assert bad(results)["own tests"].startswith("pytest ended with 2 before its end: ")


@only_classification
def test_a_run_that_is_killed_leaves_results_too(stage: Stage) -> None:
    stage.deploy()
    stage.model.misbehave = never
    settings = {"BUILD_CONFIG": "staging-config-export.json", "STAGE": "staging", **stage.address}
    for kill, message in ((signal.SIGTERM, "the run was interrupted"), (signal.SIGKILL, "the run did not come to its")):
        before = stage.model.requests
        child = subprocess.Popen(
            [sys.executable, "test/test.py"], cwd=stage.repository, env=scrubbed(**settings), stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while stage.model.requests == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(kill)
        assert child.wait(20) != 0
        results = json.loads((stage.repository / "test-results.json").read_text())
        assert results["outcome"] == "error"
        assert bad(results)["run"].startswith(message)
        assert ET.parse(stage.repository / "test-results.xml").getroot()[0].get("errors") == "1"
        assert "verdict bad" in (stage.repository / "test-report.html").read_text()


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
