"""The command line of the training pipeline: what it refuses, its exit codes, errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from training import pipeline, runs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "expected either --definition or one of upsert, start, status"),
        (["--definition", "upsert"], "expected either --definition"),
        (["train"], "invalid choice"),
        (["start", "--report", "a.xml"], "go with --wait"),
        (["start", "--wait", "--at-most", "0"], "not above zero"),
        (["start", "--wait", "--at-most", "soon"], "invalid"),
    ],
)
def test_wrong_use_is_refused(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        pipeline.main(words, {})
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--definition"], ["upsert"], ["start"], ["status"]])
def test_without_an_environment_one_line_says_what_is_missing(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline.main(words, {}) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("training.pipeline: The environment does not say which project this is")


def test_json_says_errors_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.main(["start", "--json"], {}) == 2
    assert json.loads(capsys.readouterr().out)["outcome"] == "wrong-use"


@pytest.mark.parametrize(
    ("reason", "outcome"), [("", "unchanged"), ("commit", "unchanged"), ("drift", "started")]
)
def test_drift_trains_even_if_nothing_has_changed(
    reason: str,
    outcome: str,
    training_environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "client", lambda *_: None)
    monkeypatch.setattr(runs, "already", lambda *_: "arn:old")
    monkeypatch.setattr(runs, "start", lambda *_: "arn:new")
    words = ["start", "--if-changed", "--json"]
    assert pipeline.main(words, {**training_environment, "TRAIN_REASON": reason}) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == outcome


def test_aws_that_cannot_be_reached_is_one_line(
    training_environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(pipeline, "client", lambda *_: Unreachable())
    assert pipeline.main(["status"], training_environment) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "AWS cannot be reached" in said.err


class Unreachable:
    """A client behind a network that is down."""

    class exceptions:
        class ResourceNotFound(Exception):
            pass

    def describe_pipeline(self, **_: str) -> None:
        from botocore.exceptions import EndpointConnectionError

        raise EndpointConnectionError(endpoint_url="https://example.com")


ARN = "arn:aws:sagemaker:eu-west-1:111111111111:pipeline/p/execution/e"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("Succeeded", 0, "Succeeded"),
        ("Failed", 1, "The execution did not succeed: Train: no rows"),
        ("Stopped", 1, "The execution did not succeed"),
        ("Executing", 0, "It is still running"),
    ],
)
def test_the_exit_code_tells_how_it_ended(
    status: str,
    code: int,
    expected: str,
    training_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = (runs.Step("Train", "Failed", reason="no rows"),) if status == "Failed" else ()
    monkeypatch.setattr(pipeline, "client", lambda *_: None)
    monkeypatch.setattr(runs, "start", lambda *_: ARN)
    monkeypatch.setattr(runs, "watch", lambda *_, **__: runs.Execution(ARN, status, steps=steps))
    assert pipeline.main(["start", "--wait"], training_environment) == code
    assert expected in capsys.readouterr().out


def test_parameters_are_names_and_values() -> None:
    assert pipeline._parameters(["Rounds=5", "InputData=s3://b/k=v"]) == {
        "Rounds": "5",
        "InputData": "s3://b/k=v",
    }


@pytest.mark.parametrize("word", ["Rounds", "=5"])
def test_a_parameter_without_a_name_or_value_is_wrong_use(
    word: str, training_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "client", lambda *_: None)
    assert pipeline.main(["start", "--parameter", word], training_environment) == 2


def test_help_needs_neither_sdk_nor_boto3() -> None:
    code = "import sys; sys.modules.update(boto3=None, botocore=None, sagemaker=None)"
    code += "; from training import pipeline"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; pipeline.main(['--help'])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exit codes: 0 done" in done.stdout


def test_without_the_sdk_one_line_says_how_to_get_it(training_environment: dict[str, str]) -> None:
    code = "import sys; sys.modules['sagemaker'] = None; from training import pipeline"
    code += "; sys.exit(pipeline.main(['--definition']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=training_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "pip install --require-hashes -r requirements-training.txt" in done.stderr
