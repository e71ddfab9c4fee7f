"""The scripts of the training steps, run for real: prepared, trained, evaluated, served, on one host and on two."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from training_support.container import Container
from training_support.datasets import DATASETS, Dataset, write
from training_support.jobs import IRIS, SETTINGS, Done, Work, digests, hyperparameters

pytestmark = pytest.mark.slow

KINDS = ("classification", "regression")
SHARDS = ("--shards", "2")


def prepare_iris(work: Work, prediction: str, data: Path = IRIS, *more: str) -> Done:
    target, drop = SETTINGS["target"][prediction], SETTINGS["drop"][prediction]
    split = [word for part in ("train", "validation", "test") for word in (f"--{part}", str(SETTINGS["split"][part]))]
    return work.preprocess(data, prediction, target, "--drop", ",".join(drop), *split, *SHARDS, *more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def well(done: Done) -> Done:
    assert (done.code, done.failure) == (0, ""), done.error
    return done


@pytest.fixture(scope="module", params=KINDS)
def iris(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Work]:
    """Iris, prepared and trained once for each kind of prediction with the settings that a repository ships."""
    work = Work(tmp_path_factory.mktemp(f"iris-{request.param}"))
    well(prepare_iris(work, request.param))
    for done in work.train(*hyperparameters()):
        well(done)
    return request.param, work


def test_the_model_folder_is_complete_and_plain(iris: tuple[str, Work]) -> None:
    _, work = iris
    assert set(digests(work.model)) == {"xgboost-model.ubj", "schema.json", "code/inference.py"}
    outputs = work.folder / "host-0/output/data"
    importance = json.loads((outputs / "feature-importance.json").read_text())
    assert max(importance, key=importance.__getitem__) == "petal_length" or importance["petal_length"] > 0.1
    assert sum(importance.values()) == pytest.approx(1)
    curve = json.loads((outputs / "training-curve.json").read_text())
    assert set(curve) == {"train", "validation"}
    (validation,) = curve["validation"].values()
    # It stopped early, and kept the rounds up to the best one.
    kept = int(re.search(r"model: (\d+) rounds", work.train(*hyperparameters())[0].out)[1])  # type: ignore[index]
    assert len(validation) < SETTINGS["hyperparameters"]["num_round"]
    assert kept == validation.index(min(validation)) + 1


def test_iris_is_accepted_with_the_thresholds_that_a_repository_ships(iris: tuple[str, Work]) -> None:
    prediction, work = iris
    threshold = SETTINGS["threshold"][prediction]
    done = well(work.evaluate(threshold["metric"], threshold["value"]))
    report = work.report()
    assert report["accepted"] is True
    assert report["metric"]["met"] is True
    assert report["production"] == {"model": None, "value": None, "not_worse": True}
    assert report["summary"] == done.out.strip()
    assert report["summary"].startswith(f"accepted: {threshold['metric']} ")
    assert report["prediction"] == prediction
    if prediction == "classification":
        matrix = report["confusion_matrix"]
        assert matrix["classes"] == ["setosa", "versicolor", "virginica"]
        counted = sum(map(sum, matrix["rows"]))
        right = sum(matrix["rows"][index][index] for index in range(3))
        assert counted == len(rows_of(work.folder / "prepared/test/test.csv"))
        assert report["metrics"]["accuracy"] == pytest.approx(right / counted)
        assert set(report["metrics"]) >= {"accuracy", "f1", "auc"}
        assert list(work.report("model-metrics")) == ["multiclass_classification_metrics"]
    else:
        shown = report["residuals"]
        errors = [(a - b) ** 2 for a, b in zip(shown["actual"], shown["predicted"], strict=True)]
        assert report["metrics"]["rmse"] == pytest.approx((sum(errors) / len(errors)) ** 0.5, rel=1e-5)
        assert set(report["metrics"]) == {"rmse", "mae", "r2"}
        assert work.report("model-metrics")["regression_metrics"]["rmse"]["standard_deviation"] == "NaN"


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_other_real_data_trains_with_other_arguments_alone(dataset: Dataset, tmp_path: Path) -> None:
    work = Work(tmp_path)
    data = write(dataset, tmp_path / "data.csv")
    well(work.preprocess(data, dataset.prediction, dataset.target, *SHARDS))
    well(work.train(*hyperparameters())[0])
    well(work.evaluate(dataset.metric, dataset.threshold))
    report = work.report()
    assert report["accepted"], report["summary"]
    (kind, figures) = next(iter(work.report("model-metrics").items()))
    if dataset.name == "breast_cancer":
        assert kind == "binary_classification_metrics"
        assert figures["auc"]["value"] == pytest.approx(report["metrics"]["auc"])
        assert figures["true_positive_rate"]["value"] == pytest.approx(figures["recall"]["value"])
    served_like_measured(work, report)


def served_like_measured(work: Work, report: dict[str, Any]) -> None:
    """The inference code gives the test rows the same answers that the evaluation measured."""
    schema = json.loads((work.model / "schema.json").read_text())
    names = [feature["name"] for feature in schema["features"]]
    rows = rows_of(work.folder / "prepared/test/test.csv")
    body = "".join(",".join(row[name] for name in names) + "\n" for row in rows)
    answer = Container(work.model).invoke(body, "text/csv")
    assert answer.status == 200
    predictions = json.loads(answer.body)["predictions"]
    truth = [row[schema["target"]] for row in rows]
    if schema["classes"]:
        right = sum(one["label"] == label for one, label in zip(predictions, truth, strict=True))
        assert report["metrics"]["accuracy"] == pytest.approx(right / len(rows))
    else:
        errors = [abs(one["value"] - float(value)) for one, value in zip(predictions, truth, strict=True)]
        assert report["metrics"]["mae"] == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_the_same_input_gives_the_same_bytes(iris: tuple[str, Work], tmp_path: Path) -> None:
    prediction, work = iris
    again = Work(tmp_path)
    well(prepare_iris(again, prediction))
    assert digests(again.folder / "prepared") == digests(work.folder / "prepared")
    well(again.train(*hyperparameters())[0])
    assert digests(again.model) == digests(work.model)
    other = Work(tmp_path / "other")
    other.folder.mkdir()
    well(prepare_iris(other, prediction, IRIS, "--seed", "7"))
    assert digests(other.folder / "prepared/test") != digests(work.folder / "prepared/test")


def test_the_split_does_not_depend_on_the_order_of_the_rows_or_the_files(tmp_path: Path) -> None:
    header, *lines = IRIS.read_text().splitlines()
    random.Random(1).shuffle(lines)
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "b.csv").write_text("\n".join([header, *lines[:40]]) + "\n")
    (folder / "a.csv").write_text("\n".join([header, *lines[40:], "", ""]))
    works = [Work(tmp_path / name) for name in ("one", "other")]
    for work, data in zip(works, (IRIS, folder), strict=True):
        work.folder.mkdir()
        well(prepare_iris(work, "classification", data))
    first, second = (digests(work.folder / "prepared") for work in works)
    assert first == second


def test_the_split_is_stratified_and_loses_no_row(tmp_path: Path) -> None:
    work = Work(tmp_path)
    lines = IRIS.read_text().splitlines()
    # 50 of one class, 50 of another, and 10 of the third.
    data = tmp_path / "uneven.csv"
    data.write_text("\n".join(lines[:111]) + "\n")
    well(prepare_iris(work, "classification", data))
    parts = {
        part: [row for path in sorted((work.folder / "prepared" / part).iterdir()) for row in rows_of(path)]
        for part in ("train", "validation", "test")
    }
    counts = {part: [sum(row["species"] == name for row in rows) for name in NAMES] for part, rows in parts.items()}
    assert counts["train"] == [35, 35, 7]
    assert [a + b for a, b in zip(counts["validation"], counts["test"], strict=True)] == [15, 15, 3]
    assert min(counts["validation"] + counts["test"]) >= 1
    together = sorted(",".join(row.values()) for rows in parts.values() for row in rows)
    assert together == sorted(lines[1:111])


NAMES = ("setosa", "versicolor", "virginica")


def test_categories_that_are_declared_are_learned_and_served(tmp_path: Path) -> None:
    work = Work(tmp_path)
    data = tmp_path / "fruit.csv"
    rows = [(color, size, color == "red") for size in range(40) for color in ("red", "green", " blue")]
    data.write_text("color,size,ripe\n" + "".join(f"{c},{s if s else ''},{'yes' if r else 'no'}\n" for c, s, r in rows))
    well(work.preprocess(data, "classification", "ripe", "--categorical", "color"))
    well(work.train(*hyperparameters(num_round=5))[0])
    well(work.evaluate("accuracy", 1.0))
    assert work.report()["feature_importance"]["color"] == pytest.approx(1)
    served_like_measured(work, work.report())
    container = Container(work.model)
    (red, green, none) = json.loads(container.invoke("red,3\n green ,\n,5", "text/csv").body)["predictions"]
    assert (red["label"], green["label"]) == ("yes", "no")
    assert set(none["probabilities"]) == {"no", "yes"}
    refused = container.invoke('{"instances": [["purple", 3]]}', "application/json")
    assert refused.status == 400
    assert json.loads(refused.body)["error"] == (
        "row 1: column 'color': unknown category 'purple'; known are blue, green, red"
    )


# The first name resolves; the others need not, as only the first host is looked for.
HOSTS = ("localhost", "algo-2")


@pytest.mark.parametrize("prediction", KINDS)
def test_two_hosts_grow_the_same_trees_as_one(prediction: str, tmp_path: Path) -> None:
    work = Work(tmp_path)
    well(prepare_iris(work, prediction))
    chosen = hyperparameters(num_round=40, subsample=1.0)
    (alone,) = work.train(*chosen)
    well(alone)
    metric, threshold = SETTINGS["threshold"][prediction].values()
    well(work.evaluate(metric, threshold))
    one_host = work.report()["metric"]["value"]
    ends = work.train(*chosen, hosts=HOSTS)
    models = [re.search(r"rounds, sha256 (\w+), on (\S+)", well(done).out) for done in ends]
    assert [found[2] for found in models if found] == list(HOSTS)
    assert len({found[1] for found in models if found}) == 1
    assert len(list((work.folder / "host-1/input/data/train").iterdir())) == 1
    # Only the first host writes: what another one leaves would land in the same archive.
    assert not (work.folder / "host-1/model").exists()
    well(work.evaluate(metric, threshold))
    assert work.report()["metric"]["value"] == pytest.approx(one_host, rel=0.1)


def test_bad_data_on_one_host_ends_all_of_them_with_the_same_line(tmp_path: Path) -> None:
    work = Work(tmp_path)
    well(prepare_iris(work, "classification"))
    shard = work.folder / "prepared/train/part-00001.csv"
    lines = shard.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split(",")[-1], "daisy")
    shard.write_text("\n".join(lines) + "\n")
    ends = work.train(*hyperparameters(), hosts=HOSTS)
    line = (
        "algo-2: part-00001.csv: line 4: column 'species': unknown class 'daisy';"
        " known are setosa, versicolor, virginica"
    )
    assert [(done.code, done.failure) for done in ends] == [(1, line)] * 2
    assert [done.error.strip() for done in ends] == [line] * 2
    assert not work.model.exists()


def test_a_host_without_a_shard_is_refused(tmp_path: Path) -> None:
    work = Work(tmp_path)
    well(prepare_iris(work, "classification", IRIS, "--shards", "1"))
    ends = work.train(*hyperparameters(), hosts=HOSTS)
    assert {done.code for done in ends} == {1}
    assert {done.failure for done in ends} == {
        "algo-2: channel train: no shard is left for this host; 2 hosts need --shards of at least 2 in preprocessing"
    }


def test_a_host_that_never_comes_ends_the_wait(tmp_path: Path) -> None:
    work = Work(tmp_path)
    well(prepare_iris(work, "classification"))
    # Nobody listens at the first host.
    (done,) = work.train(hosts=("algo-2",), SM_HOSTS='["localhost", "algo-2"]', TRACKER_SECONDS="1")
    assert done.code == 1
    assert re.fullmatch(r"the first host at 127\.0\.0\.1:\d+ does not answer", done.failure)
    assert done.error.strip() == done.failure


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[Any, dict[str, str]]]:
    """A client of a bucket `models`, and the environment of a child that finds it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }
    client = boto3.client(
        "s3", "us-east-1", endpoint_url=env["AWS_ENDPOINT_URL"], aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="models")
    try:
        yield client, env
    finally:
        server.stop()


def test_the_model_in_production_is_measured_on_the_same_rows(
    s3: tuple[Any, dict[str, str]], iris: tuple[str, Work], tmp_path: Path
) -> None:
    client, env = s3
    prediction, work = iris
    metric, threshold = SETTINGS["threshold"][prediction].values()
    client.upload_file(str(work.archive() / "model.tar.gz"), "models", "good/model.tar.gz")
    uri = "s3://models/good/model.tar.gz"
    well(work.evaluate(metric, threshold, uri, **env))
    value = work.report()["metric"]["value"]
    assert work.report()["production"] == {"model": uri, "value": value, "not_worse": True}
    weak = Work(tmp_path)
    well(prepare_iris(weak, prediction))
    well(weak.train(*hyperparameters(num_round=1, max_depth=1, early_stopping_rounds=0))[0])
    lenient = 0.0 if prediction == "classification" else 100.0
    well(weak.evaluate(metric, lenient, uri, **env))
    report = weak.report()
    assert report["metric"]["met"] is True
    assert report["production"]["value"] == pytest.approx(value)
    assert (report["production"]["not_worse"], report["accepted"]) == (False, False)
    assert f"worse than {value:.4g} of the model in production" in report["summary"]


def test_a_production_model_that_cannot_be_compared_fails_the_step(
    s3: tuple[Any, dict[str, str]], iris: tuple[str, Work]
) -> None:
    client, env = s3
    prediction, work = iris
    client.put_object(Bucket="models", Key="broken", Body=b"no archive")
    client.upload_file(str(work.archive() / "model.tar.gz"), "models", prediction)
    if prediction == "regression":
        other = work.evaluate("rmse", 1, "s3://models/classification", **env)
        assert "has another kind of prediction (classification, not regression) and cannot be compared" in other.failure
        assert other.code == 1
    broken = work.evaluate("r2" if prediction == "regression" else "f1", 0, "s3://models/broken", **env)
    assert (broken.code, broken.failure) == (1, broken.error.strip())
    assert broken.failure.startswith("the model in production (s3://models/broken): production-model.tar.gz cannot be")
    gone = work.evaluate("r2" if prediction == "regression" else "f1", 0, "s3://models/gone", **env)
    assert gone.failure.startswith("the model in production (s3://models/gone) cannot be downloaded: ")
    assert "404" in gone.failure


def test_a_threshold_that_cannot_be_met_is_told_as_such(iris: tuple[str, Work]) -> None:
    prediction, work = iris
    metric, threshold, word = (
        ("accuracy", 1.5, "above 1") if prediction == "classification" else ("rmse", -1, "below 0")
    )
    well(work.evaluate(metric, threshold))
    report = work.report()
    assert (report["accepted"], report["metric"]["met"]) == (False, False)
    assert f"misses the threshold of at {'least' if word[0] == 'a' else 'most'} {threshold:g}" in report["summary"]
    assert f"which no model can meet, as {metric} is never {word}" in report["summary"]
