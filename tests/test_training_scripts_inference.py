"""The inference code of a model, called as the serving container calls it: what it reads, answers and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from seed_support.baking import TEMPLATE, scrubbed
from training_support.container import Container, WrappedError
from training_support.jobs import IRIS, SETTINGS, Work, hyperparameters

pytestmark = pytest.mark.slow

KINDS = ("classification", "regression")
CLASSES = ("setosa", "versicolor", "virginica")


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The content of a model.tar.gz in a folder of its own, with nothing of the repository beside it."""
    prediction = request.param
    work = Work(tmp_path_factory.mktemp(prediction))
    drop = ",".join(SETTINGS["drop"][prediction])
    assert work.preprocess(IRIS, prediction, SETTINGS["target"][prediction], "--drop", drop).code == 0
    assert work.train(*hyperparameters())[0].code == 0
    folder = tmp_path_factory.mktemp("model")
    with tarfile.open(work.archive() / "model.tar.gz") as packed:
        packed.extractall(folder)
    return prediction, folder


def payloads(prediction: str) -> dict[str, Any]:
    (path,) = (TEMPLATE / "test").glob(f"*expectations.json*'{prediction}'*")
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_the_payloads_of_the_deployment_test_get_the_expected_answers(served: tuple[str, Path]) -> None:
    prediction, folder = served
    container = Container(folder)
    for payload in payloads(prediction)["payloads"]:
        body = (TEMPLATE / "test" / payload["file"]).read_bytes()
        answer = container.invoke(body, payload["content_type"])
        assert (answer.status, answer.content_type) == (200, "application/json")
        predictions = json.loads(answer.body)["predictions"]
        for one, expected in zip(predictions, payload["expected"], strict=True):
            if prediction == "classification":
                assert one["label"] == expected["label"]
                assert tuple(one["probabilities"]) == CLASSES
                assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
                assert one["probabilities"][one["label"]] == max(one["probabilities"].values())
            else:
                assert one["value"] == pytest.approx(expected["value"], abs=expected["tolerance"])
        # The container passes text on as text, and other types as bytes: both must do.
        assert container.invoke(body.decode(), payload["content_type"]) == answer


def test_csv_comes_out_when_it_is_asked_for(served: tuple[str, Path]) -> None:
    prediction, folder = served
    container = Container(folder)
    row = "5.1,3.5,1.4,0.2" if prediction == "classification" else "5.1,3.5,1.4"
    answer = container.invoke(f"{row}\n\n{row}", "text/csv; charset=utf-8", "text/csv")
    (one, _) = json.loads(container.invoke(f"{row}\r\n{row}\r\n", "TEXT/CSV", "*/*").body)["predictions"]
    assert (answer.status, answer.content_type) == (200, "text/csv")
    lines = answer.body.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    if prediction == "classification":
        assert lines[0] == ",".join(["setosa", *(str(share) for share in one["probabilities"].values())])
    else:
        assert float(lines[0]) == one["value"]
    for accept in ("", "application/xml, text/csv;q=0.5", "application/json;q=1, text/csv"):
        assert container.invoke(row, "text/csv", accept).status == 200


def test_a_missing_value_is_a_missing_value_in_both_formats(served: tuple[str, Path]) -> None:
    prediction, folder = served
    container = Container(folder)
    more = ["0.2"] if prediction == "classification" else []
    cells = ["5.1", "", "NA", *more]
    from_csv = container.invoke(",".join(cells), "text/csv")
    instance = [5.1, None, None, *map(float, more)]
    assert container.invoke(json.dumps({"instances": [instance]}), "application/json") == from_csv
    assert from_csv.status == 200


# Body, content type, status, and the message; for the model with four features.
REFUSED: dict[str, tuple[bytes, str, int, str]] = {
    "text": (b"5.1,3.5,1.4,0.2\n1,2,wide,4", "text/csv", 400, "row 2: column 'petal_length': 'wide' is not a number"),
    "header": (
        b"sepal_length,sepal_width,petal_length,petal_width\n1,2,3,4",
        "text/csv",
        400,
        "row 1: column 'sepal_length': 'sepal_length' is not a number",
    ),
    "underscore": (b"1_0,2,3,4", "text/csv", 400, "row 1: column 'sepal_length': '1_0' is not a number"),
    "short": (
        b"1,2,3",
        "text/csv",
        400,
        "row 1: 3 values; expected 4: sepal_length, sepal_width, petal_length, petal_width",
    ),
    "infinite": (b"1,2,inf,4", "text/csv", 400, "row 1: column 'petal_length': 'inf' is not a number"),
    "large": (
        b"1,2,3,-1e39",
        "text/csv",
        400,
        "row 1: column 'petal_width': '-1e39' is not a finite number of 32 bits",
    ),
    "empty": (b"", "text/csv", 400, "there are no rows in the request"),
    "no text": (b"\xff\xfe", "text/csv", 400, "the body is not UTF-8 text: invalid start byte at byte 0"),
    "no JSON": (
        b'{"instances": [',
        "application/json",
        400,
        "the body is not JSON: Expecting value: line 1 column 16 (char 15)",
    ),
    "no instances": (
        b"[[1, 2, 3, 4]]",
        "application/json",
        400,
        'the body must be {"instances": [[...], ...]}: one list of values for each row',
    ),
    "flat": (
        b'{"instances": [1, 2, 3, 4]}',
        "application/json",
        400,
        'the body must be {"instances": [[...], ...]}: one list of values for each row',
    ),
    "NaN": (
        b'{"instances": [[NaN, 2, 3, 4]]}',
        "application/json",
        400,
        "the body holds NaN, which is no JSON; send null for a missing value",
    ),
    "boolean": (
        b'{"instances": [[true, 2, 3, 4]]}',
        "application/json",
        400,
        "row 1: column 'sepal_length': 'true' is not a number",
    ),
    "nested": (
        b'{"instances": [[[1], 2, 3, 4]]}',
        "application/json",
        400,
        "row 1: column 'sepal_length': '[1]' is not a number",
    ),
    "deep": (
        b"[" * 100_000,
        "application/json",
        400,
        "the body is not JSON that can be read: it is nested too deeply",
    ),
    "long": (
        b'{"instances": [[1, 2, 3, 1' + b"0" * 400 + b"]]}",
        "application/json",
        400,
        "row 1: column 'petal_width': '1000000000000000000000000000000000000000...' is not a finite number of 32 bits",
    ),
    "type": (
        b"1,2,3,4",
        "text/libsvm",
        415,
        "content type 'text/libsvm' is not supported; send text/csv or application/json",
    ),
    "charset": (b"1,2,3,4", "text/csv; charset=utf-16", 415, "charset 'utf-16' is not supported; send UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_cannot_be_read_is_the_clients_mistake(case: str, classifier: Container) -> None:
    body, content_type, status, message = REFUSED[case]
    answer = classifier.invoke(body, content_type)
    assert (answer.status, answer.content_type) == (status, "application/json"), answer
    assert json.loads(answer.body) == {"error": message}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Container:
    work = Work(tmp_path_factory.mktemp("classifier"))
    assert work.preprocess(IRIS, "classification", "species").code == 0
    assert work.train("--num_round", "3")[0].code == 0
    return Container(work.model, name="inference_of_the_classifier")


def test_an_answer_in_an_unknown_format_is_refused(classifier: Container) -> None:
    answer = classifier.invoke("1,2,3,4", "text/csv", "application/xml")
    assert answer.status == 406
    assert "application/json or text/csv" in json.loads(answer.body)["error"]


def test_a_broken_model_is_not_served(served: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = served
    broken = tmp_path / "model"
    shutil.copytree(folder, broken)
    (broken / "xgboost-model.ubj").write_bytes(b"{}")
    with pytest.raises(WrappedError):
        Container(broken, name="inference_of_a_broken_model")
    shutil.copytree(folder, broken, dirs_exist_ok=True)
    schema = json.loads((broken / "schema.json").read_text())
    schema["features"].reverse()
    (broken / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(WrappedError, match=r"the model reads .*, its schema\.json"):
        Container(broken, name="inference_of_a_mixed_up_model")


def test_the_inference_code_needs_nothing_of_the_repository(served: tuple[str, Path], tmp_path: Path) -> None:
    prediction, folder = served
    row = "5.1,3.5,1.4,0.2" if prediction == "classification" else "5.1,3.5,1.4"
    program = (
        "import sys; sys.path.insert(0, sys.argv[1] + '/code'); import inference as i; m = i.model_fn(sys.argv[1])\n"
        "print(i.output_fn(i.predict_fn(i.input_fn(sys.argv[2], 'text/csv'), m), 'text/csv')[0])\n"
        "print(sorted({'failures', 'schema', 'tables', 'train'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(folder), row],
        cwd=tmp_path,
        env=scrubbed(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    answer, _, modules = ran.stdout.strip().splitlines()
    assert answer.startswith("setosa," if prediction == "classification" else "0.")
    assert modules == "[]"
