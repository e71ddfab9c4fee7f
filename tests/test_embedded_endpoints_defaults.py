"""What the embedded AWS serves of a model that brings no code, or little: the XGBoost container's own functions."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from endpoint_support import SCRIPT, Stage, archive, error_of
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow
if TYPE_CHECKING:  # its import takes a second, which those who run other tests need not wait for
    import xgboost

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.5], [1.0, 0.5]])
ONLY_LOADS = """
import os, xgboost

def model_fn(model_dir):
    return xgboost.Booster(model_file=os.path.join(model_dir, "xgboost-model"))
"""
WITH_SKLEARN = """
import os, xgboost
from sklearn.preprocessing import StandardScaler

def model_fn(model_dir):
    return xgboost.XGBRegressor(), StandardScaler().fit([[1.0], [2.0]])

def input_fn(body, content_type):
    return [[float(body)]]

def predict_fn(rows, model):
    return model[1].transform(rows)

def output_fn(prediction, accept):
    return str(prediction.tolist()), "application/json"
"""


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    import xgboost

    data = xgboost.DMatrix(ROWS, label=np.array([0.0, 1.0, 0.0, 1.0]))
    settings = {"objective": "binary:logistic", "min_child_weight": 0, "nthread": 1}
    return xgboost.train(settings, data, num_boost_round=5)


class Served(Stage):
    """A stage that serves files which are not text."""

    def serve_file(self, content: bytes, **files: str) -> dict[str, Any]:
        packed = archive({**files, "xgboost-model": content.decode("latin-1")}, encoding="latin-1")
        self.s3.put_object(Bucket=self.bucket, Key="m/model.tar.gz", Body=packed)
        environment = SCRIPT if files else {}
        self.model("m", data=f"s3://{self.bucket}/m/model.tar.gz", environment=environment)
        return self.serve("m")

    def say(self, body: bytes, content_type: str, accept: str = "") -> tuple[str, bytes]:
        more = {"Accept": accept} if accept else {}
        answer = self.runtime.invoke_endpoint(EndpointName="endpoint", Body=body, ContentType=content_type, **more)
        return answer["ContentType"], answer["Body"].read()


@pytest.fixture
def stage(aws: EmbeddedAws) -> Served:
    return Served(aws)


def expected(booster: xgboost.Booster) -> list[float]:
    import xgboost

    return [float(value) for value in booster.predict(xgboost.DMatrix(ROWS[:2]))]


@pytest.mark.parametrize("pickled", [False, True], ids=["saved", "pickled"])
def test_the_built_in_algorithm(stage: Served, booster: xgboost.Booster, tmp_path: Path, *, pickled: bool) -> None:
    booster.save_model(tmp_path / "m.ubj")
    content = pickle.dumps(booster) if pickled else (tmp_path / "m.ubj").read_bytes()
    assert stage.serve_file(content)["EndpointStatus"] == "InService"
    wanted = pytest.approx(expected(booster))
    content_type, body = stage.say(b"0,1\n1,0\n", "text/csv")
    assert content_type.startswith("text/csv")
    assert [float(line) for line in body.splitlines()] == wanted
    content_type, body = stage.say(b"0 0:0 1:1\n0 0:1 1:0\n", "text/libsvm", "application/json")
    assert [one["score"] for one in json.loads(body)["predictions"]] == wanted
    content_type, body = stage.say(b"0,1\n1,0\n", "text/csv; charset=utf-8", "application/jsonlines")
    assert [json.loads(line)["score"] for line in body.splitlines()] == wanted
    for body, content_type, status in ((b"{}", "application/json", 415), (b"1,2,3\n", "text/csv", 400)):
        refused = error_of(lambda body=body, kind=content_type: stage.say(body, kind))  # type: ignore[misc]
        assert (refused["Code"], refused["OriginalStatusCode"]) == ("ModelError", status)


def test_a_folder_that_holds_no_model(stage: Served) -> None:
    seen = stage.serve_file(b"no model")
    assert (seen["EndpointStatus"], "ping health check" in seen["FailureReason"]) == ("Failed", True)


def test_a_script_that_only_loads_the_model(stage: Served, booster: xgboost.Booster, tmp_path: Path) -> None:
    booster.save_model(tmp_path / "m.ubj")
    stage.serve_file((tmp_path / "m.ubj").read_bytes(), **{"code/inference.py": ONLY_LOADS})
    wanted = pytest.approx(expected(booster))
    assert json.loads(stage.say(b"0,1\n1,0\n", "text/csv")[1]) == wanted
    content_type, body = stage.say(b"0,1\n1,0\n", "text/csv", "text/csv")
    assert content_type == "text/csv"
    assert [float(line) for line in body.splitlines()] == wanted
    unread = error_of(lambda: stage.say(b"{}", "application/json"))
    assert (unread["OriginalStatusCode"], json.loads(unread["OriginalMessage"])["error"]) == (
        415,
        "UnsupportedFormatError",
    )
    assert error_of(lambda: stage.say(b"0,1\n", "text/csv", "image/png"))["OriginalStatusCode"] == 406


def test_a_script_that_needs_scikit_learn_has_it(stage: Served) -> None:
    stage.serve_file(b"unused", **{"code/inference.py": WITH_SKLEARN})
    assert json.loads(stage.say(b"2.0", "text/csv")[1]) == [[1.0]]
