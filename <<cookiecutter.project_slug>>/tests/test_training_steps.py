"""What can be tested of the steps without pandas and XGBoost: settings, bounds, failures, requests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Scripts

SETTINGS: dict[str, Any] = json.loads((ROOT / "training" / "settings.json").read_text(encoding="utf-8"))
KINDS = ("classification", "regression")


@pytest.mark.parametrize("prediction", KINDS)
def test_the_settings_fit_the_data(prediction: str) -> None:
    with (ROOT / SETTINGS["data"]).open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    named = [*SETTINGS["drop"][prediction], *SETTINGS["categorical"][prediction]]
    assert SETTINGS["target"][prediction] in header
    assert set(named) <= set(header) - {SETTINGS["target"][prediction]}


def test_the_settings_fit_the_scripts(scripts: Scripts) -> None:
    words = [
        word for name, value in SETTINGS["hyperparameters"].items() for word in (f"--{name}", str(value))
    ]
    assert scripts.hyperparameters.read(words) == SETTINGS["hyperparameters"]
    assert set(SETTINGS["hyperparameters"]) == set(scripts.hyperparameters.TABLE)
    split = SETTINGS["split"]
    assert split["train"] + split["validation"] + split["test"] == pytest.approx(1)
    assert split["shards"] >= SETTINGS["instances"]["train"]["count"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--subsample", "0"], "hyperparameter subsample: 0 must be more than 0 and at most 1"),
        (["--max_depth", "31"], "hyperparameter max_depth: 31 must be at least 1 and at most 30"),
        (["--lambda=-1"], "hyperparameter lambda: -1 must be at least 0"),
        (["--eta", "nan"], "hyperparameter eta: nan must be more than 0 and at most 1"),
        (["--gama", "1"], "hyperparameter gama is unknown; there are num_round"),
        (["--seed", "1.5"], "argument --seed: invalid int value: '1.5'"),
    ],
)
def test_a_hyperparameter_out_of_bounds_is_named(scripts: Scripts, words: list[str], line: str) -> None:
    with pytest.raises(scripts.failures.UsageError) as error:
        scripts.hyperparameters.read(words)
    assert str(error.value).startswith(line)


def test_hyperparameters_have_defaults_and_let_those_of_the_container_pass(scripts: Scripts) -> None:
    told = ["--sagemaker_program", "train.py", "--sagemaker_submit_directory=s3://b/k", "--eta", "0.5"]
    found = scripts.hyperparameters.read(told)
    assert found["eta"] == 0.5
    assert found["num_round"] == 200


@pytest.mark.parametrize("kind", ["PROCESSING", "TRAINING"])
def test_a_failure_is_one_line_in_the_log_and_in_the_failure_file(
    scripts: Scripts, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def bad(_: list[str]) -> None:
        raise scripts.failures.DataError("column 'x':\n  every value is missing")

    file = getattr(scripts.failures, kind)
    assert scripts.failures.run(bad, file) == 1
    assert capsys.readouterr().err == "column 'x': every value is missing\n"
    assert (tmp_path / file).read_text(encoding="utf-8") == "column 'x': every value is missing"


def test_wrong_use_and_defects_are_told_apart(
    scripts: Scripts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(_: list[str]) -> None:
        scripts.failures.Parser("what it does").parse_args(["--colour"])

    def defect(_: list[str]) -> None:
        raise ZeroDivisionError("division by zero")

    assert scripts.failures.run(wrong, scripts.failures.PROCESSING) == 2
    assert capsys.readouterr().err == "unrecognized arguments: --colour\n"
    assert scripts.failures.run(defect, scripts.failures.PROCESSING) == 1
    assert "Traceback" in capsys.readouterr().err
    written = (tmp_path / scripts.failures.PROCESSING).read_text(encoding="utf-8")
    assert written == "unexpected ZeroDivisionError: division by zero"
    assert scripts.failures.run(lambda _: None, scripts.failures.PROCESSING) == 0


def test_a_schema_survives_its_file(scripts: Scripts, tmp_path: Path) -> None:
    schema = scripts.schema
    features = (
        schema.Feature("size", "number", (), {"missing": 0, "mean": 1.5}),
        schema.Feature("farbe", "category", ("grün", "rot"), {"missing": 2}),
    )
    table = schema.Schema("classification", "ripe", features, ("no", "yes"), {"train": 3})
    table.save(tmp_path)
    assert schema.load(tmp_path) == table
    assert table.names == ["size", "farbe"]
    assert table.xgboost_types == ["q", "c"]
    assert table.of_type("category") == ["farbe"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "it: there is no schema.json, so it does not come from this pipeline"),
        ("{", "it: schema.json is not JSON"),
        ("[]", "it: schema.json has version None, and this code reads version 1"),
        ('{"version": 2}', "it: schema.json has version 2, and this code reads version 1"),
        ('{"version": 1}', "it: schema.json is incomplete: 'features'"),
    ],
)
def test_a_schema_of_somebody_else_is_refused(
    scripts: Scripts, tmp_path: Path, text: str | None, line: str
) -> None:
    if text is not None:
        (tmp_path / "schema.json").write_text(text, encoding="utf-8")
    with pytest.raises(scripts.failures.DataError) as error:
        scripts.schema.load(tmp_path, "it")
    assert str(error.value).startswith(line)


def test_requests_are_read_without_xgboost(scripts: Scripts) -> None:
    inference = scripts.inference
    assert inference.input_fn(b"1, 2\n\n,x\n", "text/csv; charset=UTF-8") == [["1", "2"], ["", "x"]]
    assert inference.input_fn('{"instances": [[1, null]]}', "application/json") == [[1, None]]
    for body, content_type, status in (
        (b"", "text/csv", 400),
        (b"{}", "application/json", 400),
        (b"1", "image/png", 415),
    ):
        refusal = inference.input_fn(body, content_type)
        assert refusal.status == status
        assert json.loads(refusal.body) == {"error": refusal.message}
        # It goes through the model as it is.
        assert inference.predict_fn(refusal, None) is refusal


def test_answers_are_written_without_xgboost(scripts: Scripts) -> None:
    inference = scripts.inference
    named = [{"label": "a,b", "probabilities": {"a,b": 0.75, "c": 0.25}}]
    assert inference.output_fn(named, "text/csv") == ('"a,b",0.75,0.25\n', "text/csv")
    body, content_type = inference.output_fn([{"value": 1.5}], "application/xml, */*;q=0.1")
    assert (json.loads(body), content_type) == ({"predictions": [{"value": 1.5}]}, "application/json")
