"""The process that waits for its model: it is as if it had been started for the model, or it starts itself anew."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.jobs.container import PYTHON, search_path
from sagemaker_seed.rehearsal.jobs.workshop import Machine, Running, Workshop
from sagemaker_seed.rehearsal.serving.standby import THREADS, Standby

pytestmark = pytest.mark.slow
# Says what its process is; without a word of a library, which decides how XGBoost is imported.
CODE = """
import json, os, sys

def model_fn(model_dir):
    print("loaded from", model_dir)
    return model_dir

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return {
        "model": model, "pid": os.getpid(), "folder": os.getcwd(), "environment": dict(os.environ),
        "waited": "--standby" in sys.orig_argv,
        "has": [name for name in ("xg" + "boost", "sk" + "learn") if name in sys.modules],
        "seed": sys.flags.hash_randomization,
    }

def output_fn(said, accept):
    return json.dumps(said), "application/json"
"""
WITH_XGBOOST = f"{CODE}\nimport xgboost\n"


@dataclass
class Model:
    """A process with a model, and how to ask it."""

    running: Running
    port: int
    given: dict[str, str]
    folder: Path
    log: Path

    def says(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/invocations", b"?", {"Content-Type": "text/csv"})
        said: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return said


@pytest.fixture
def standby() -> Iterator[Standby]:
    workshop = Workshop()
    yield Standby(workshop)
    workshop.close()


def start(standby: Standby, folder: Path, code: str = WITH_XGBOOST, **more: str) -> Model:
    (folder / "code").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "code" / "inference.py").write_text(code)
    given = {
        "PATH": search_path(),
        **PYTHON,
        **THREADS,
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": str(folder / "code"),
        **more,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        machine = Machine("model", [], given, folder, folder / "log")
        running = standby.start(machine, listener, folder / "model")
        return Model(running, listener.getsockname()[1], given, folder, folder / "log")


def as_started(model: Model) -> dict[str, Any]:
    """What the process says of itself; it must be what it was given, and no more."""
    said = model.says()
    # What the libraries of XGBoost set while they are imported is not of the process that waited alone.
    libraries = {name for name in said["environment"] if name.startswith(("KMP_", "SCIPY_"))}
    assert {name: said["environment"][name] for name in set(said["environment"]) - libraries} == model.given
    assert (said["folder"], said["model"]) == (str(model.folder), str(model.folder / "model"))
    assert said["pid"] == model.running.pid
    assert f"loaded from {model.folder / 'model'}" in model.log.read_text()
    return said


def test_the_next_model_is_served_by_who_stood_by(standby: Standby, tmp_path: Path) -> None:
    first = as_started(start(standby, tmp_path / "first", GREETING="hello"))
    assert not first["waited"], "nobody had asked for one to stand by"
    standby.prepare()
    standby.prepare()
    second = as_started(start(standby, tmp_path / "second", COLOUR="red"))
    assert (second["waited"], second["has"]) == (True, ["xgboost"])
    assert "GREETING" not in second["environment"]
    third = as_started(start(standby, tmp_path / "third"))
    assert not third["waited"], "one stands by at a time"


@pytest.mark.parametrize(
    ("code", "more", "has"),
    [
        (f"{WITH_XGBOOST}\nfrom sklearn import tree\nxgboost.XGBRegressor\n", {}, ["xgboost", "sklearn"]),
        (CODE, {}, []),
        (WITH_XGBOOST, {"OMP_NUM_THREADS": "2"}, ["xgboost"]),
        (WITH_XGBOOST, {"PYTHONHASHSEED": "0"}, ["xgboost"]),
    ],
    ids=["scikit-learn", "without XGBoost", "threads", "Python"],
)
def test_who_stood_by_starts_anew_for_a_model_that_it_is_not_ready_for(
    standby: Standby, tmp_path: Path, code: str, more: dict[str, str], has: list[str]
) -> None:
    standby.prepare()
    said = as_started(start(standby, tmp_path / "model", code, **more))
    assert (said["waited"], said["has"]) == (False, has)
    assert said["seed"] == (0 if "PYTHONHASHSEED" in more else 1)


def test_one_that_is_gone_is_replaced(standby: Standby, tmp_path: Path) -> None:
    standby.prepare()
    waiting = waiting_in(standby)
    os.kill(waiting, signal.SIGKILL)
    said = as_started(start(standby, tmp_path / "model"))
    assert not said["waited"]
    assert said["pid"] != waiting


def test_nobody_waits_longer_than_the_embedded_aws(standby: Standby) -> None:
    standby.prepare()
    waiting = waiting_in(standby)
    standby.workshop.close()
    for _ in range(500):
        if not Path(f"/proc/{waiting}/cmdline").exists() or not Path(f"/proc/{waiting}/cmdline").read_bytes():
            return
        time.sleep(0.02)
    pytest.fail("it still waits")


def waiting_in(standby: Standby) -> int:
    assert standby._waiting is not None
    return standby._waiting.running.pid
