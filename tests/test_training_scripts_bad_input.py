"""Bad data and bad arguments: exactly one line, in the log and in the failure file, that names column and rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from training_support.jobs import IRIS, Work

LINES = IRIS.read_text(encoding="utf-8").splitlines()
HEADER = "sepal_length, sepal_width, petal_length, petal_width, species"


def edited(line: int, column: int, cell: str) -> list[str]:
    """Iris with one cell changed; lines count from 1, as in the messages."""
    lines = list(LINES)
    cells = lines[line - 1].split(",")
    cells[column] = cell
    lines[line - 1] = ",".join(cells)
    return lines


def column_emptied(column: int) -> list[str]:
    rows = [line.split(",") for line in LINES[1:]]
    return [LINES[0], *(",".join([*row[:column], "", *row[column + 1 :]]) for row in rows)]


NOT_A_NUMBER = (
    'is not a number (a feature whose values are names must be listed under "categorical" in training/settings.json)'
)

pytestmark = pytest.mark.slow
# What is wrong, the lines of the file, and the line that says so.
BAD: dict[str, tuple[list[str], str]] = {
    "target missing": (
        [line.rpartition(",")[0] for line in LINES],
        "iris.csv: target column 'species' is missing; the header has"
        " sepal_length, sepal_width, petal_length, petal_width",
    ),
    "all missing": (
        column_emptied(1),
        "column 'sepal_width': every value is missing; list it under \"drop\", or fill it",
    ),
    "one class": (
        LINES[:1] + LINES[1:51] * 2,
        "target column 'species': there is only one class, 'setosa'; classification needs at least two",
    ),
    "class too small": (
        LINES[:103],
        "target column 'species': class 'virginica' has 2 rows; every class needs at least 3: for training,"
        " validation and test",
    ),
    "ten rows": (
        LINES[:1] + LINES[1:150:15],
        "10 rows are too few to train, validate and test; at least 50 are needed",
    ),
    "text in a number": (
        edited(8, 2, "wide"),
        f"iris.csv: line 8: column 'petal_length': 'wide' {NOT_A_NUMBER}",
    ),
    "infinite": (
        edited(9, 0, "inf"),
        "iris.csv: line 9: column 'sepal_length': 'inf' is not a finite number of 32 bits",
    ),
    "too large": (
        edited(9, 0, "1e39"),
        "iris.csv: line 9: column 'sepal_length': '1e39' is not a finite number of 32 bits",
    ),
    "label NaN": (
        edited(12, 4, "NaN"),
        "iris.csv: line 12: target column 'species': the label is missing ('NaN'); every row needs one",
    ),
    "label empty": (
        edited(13, 4, " "),
        "iris.csv: line 13: target column 'species': the label is missing (''); every row needs one",
    ),
    "header repeats": (
        [*LINES[:60], LINES[0], *LINES[60:]],
        "iris.csv: line 61: the header is there again (column 'sepal_length')",
    ),
    "name repeats": (
        [LINES[0].replace("petal_width", "sepal_width"), *LINES[1:]],
        "iris.csv: line 1: column 'sepal_width' is there twice; every name must be unique",
    ),
    "no header": (LINES[1:], "iris.csv: line 1: '5.1' is a number; expected a header with names"),
    "bracket in a name": (
        [LINES[0].replace("petal_width", "petal_width[cm]"), *LINES[1:]],
        "iris.csv: column 'petal_width[cm]': the names of features must not contain [, ] or <; rename it",
    ),
    "semicolons": (
        [line.replace(",", ";") for line in LINES],
        "iris.csv: line 1: the columns are separated by semicolons; expected commas",
    ),
    "tabs": (
        [line.replace(",", "\t") for line in LINES],
        "iris.csv: line 1: the columns are separated by tabs; expected commas",
    ),
    "empty": ([], "iris.csv: the file is empty; expected a header and rows"),
    "header only": (LINES[:1], "iris.csv: there are no rows under the header"),
    "short row": (
        [*LINES[:20], "1,2,3", *LINES[20:]],
        "iris.csv: line 21: 3 cells; expected 5 as in the header",
    ),
    "long row": (
        [*LINES, "1,2,3,4,setosa,6"],
        "iris.csv: line 152: 6 cells; expected 5 as in the header",
    ),
}


def one_line(work: Work, data: Path, prediction: str, target: str, *words: str, code: int = 1) -> str:
    """Runs Preprocess, which must fail; returns its only line."""
    done = work.preprocess(data, prediction, target, *words)
    assert done.code == code, done.error
    assert done.error.endswith("\n") and done.error.count("\n") == 1, done.error
    assert done.failure == done.error.strip()
    assert not (work.folder / "prepared/schema/schema.json").exists()
    return done.failure


@pytest.mark.parametrize("case", BAD)
def test_bad_data(case: str, tmp_path: Path) -> None:
    lines, line = BAD[case]
    data = tmp_path / "iris.csv"
    data.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    assert one_line(Work(tmp_path), data, "classification", "species") == line


# The arguments after target, and the line.
WRONG: dict[str, tuple[str, str, list[str], str]] = {
    "text as a target of regression": (
        "regression",
        "species",
        [],
        f"iris.csv: line 2: column 'species': 'setosa' {NOT_A_NUMBER}",
    ),
    "undeclared categories": (
        "regression",
        "petal_width",
        [],
        f"iris.csv: line 2: column 'species': 'setosa' {NOT_A_NUMBER}",
    ),
    "unknown column to drop": (
        "classification",
        "species",
        ["--drop", "stem"],
        f"iris.csv: column 'stem' of --drop is missing; the header has {HEADER}",
    ),
    "target dropped": (
        "classification",
        "species",
        ["--drop", "species"],
        "iris.csv: column 'species' of --drop is the target; it cannot be both",
    ),
    "dropped and declared": (
        "classification",
        "species",
        ["--drop", "petal_width", "--categorical", "petal_width"],
        "iris.csv: column 'petal_width' is in --drop and in --categorical; it cannot be both",
    ),
    "nothing left": (
        "classification",
        "species",
        ["--drop", "sepal_length,sepal_width,petal_length,petal_width"],
        "iris.csv: no column is left besides the target 'species'; a model needs a feature",
    ),
    "too many shards": (
        "classification",
        "species",
        ["--shards", "106"],
        "--shards: 106 shards are more than the 105 training rows",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_arguments_that_the_data_does_not_fit(case: str, tmp_path: Path) -> None:
    prediction, target, words, line = WRONG[case]
    assert one_line(Work(tmp_path), IRIS, prediction, target, *words) == line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--train", "0.9"], "--train, --validation, --test: [0.9, 0.15, 0.15] must be positive and add up to 1"),
        (["--shards", "0"], "--shards: 0 must be at least 1"),
        (["--seed", "-1"], "--seed: -1 must not be negative"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_wrong_use_is_told_apart_by_its_exit_code(words: list[str], line: str, tmp_path: Path) -> None:
    assert one_line(Work(tmp_path), IRIS, "classification", "species", *words, code=2) == line


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert one_line(Work(tmp_path), folder, "regression", "x") == (
        f"{folder}: there is no file that ends in .csv; it is empty"
    )
    (folder / "iris.parquet").write_bytes(b"PAR1")
    assert one_line(Work(tmp_path), folder, "regression", "x") == (
        f"{folder}: there is no file that ends in .csv; found iris.parquet"
    )
    (folder / "a.csv").write_bytes(IRIS.read_bytes())
    (folder / "b.csv").write_text("x,y\n1,2\n")
    assert one_line(Work(tmp_path), folder, "classification", "species") == (
        "b.csv: line 1: the columns differ from those of a.csv"
    )
    (folder / "b.csv").write_bytes(b"sepal\xff,x\n1,2\n")
    assert one_line(Work(tmp_path), folder, "classification", "species") == (
        "b.csv: not UTF-8 text: invalid start byte at byte 5"
    )


def test_a_target_that_never_changes(tmp_path: Path) -> None:
    data = tmp_path / "flat.csv"
    data.write_text("x,y\n" + "".join(f"{x},3\n" for x in range(60)))
    assert one_line(Work(tmp_path), data, "regression", "y") == (
        "target column 'y': every value is 3; there is nothing to predict"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = Work(tmp_path_factory.mktemp("trained"))
    assert work.preprocess(IRIS, "classification", "species").code == 0
    assert work.train("--num_round", "3")[0].code == 0
    return work


Change = Callable[[str], str]
# What happens to the test rows between training and evaluation, and the line.
SPOILED: dict[str, tuple[Change, str]] = {
    "unknown class": (
        lambda text: text.replace("virginica", "rose", 1),
        "column 'species': unknown class 'rose'; known are setosa, versicolor, virginica",
    ),
    "missing column": (
        lambda text: text.replace("petal_width", "width", 1),
        "test.csv: column 'petal_width' is missing; the header has sepal_length, sepal_width, petal_length, width,"
        " species",
    ),
    "missing label": (
        lambda text: text + "1,2,3,4,\n",
        "test.csv: line 23: target column 'species': the label is missing ('')",
    ),
    "text": (lambda text: text + "1,2,x,4,setosa\n", "test.csv: line 23: column 'petal_length': 'x' is not a number"),
    "absent class": (
        lambda text: "".join(line for line in text.splitlines(keepends=True) if "setosa" not in line),
        "the test data has no row of class 'setosa' in column 'species'",
    ),
    "empty": (lambda text: "", "test.csv: the file is empty; expected a header and rows"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_test_rows_that_the_model_cannot_read(case: str, trained: Work) -> None:
    change, line = SPOILED[case]
    path = trained.folder / "prepared/test/test.csv"
    before = path.read_text()
    try:
        path.write_text(change(before))
        done = trained.evaluate("accuracy", 0.5)
    finally:
        path.write_text(before)
    assert done.code == 1
    assert line in done.failure
    assert done.error == done.failure + "\n"
    assert not (trained.folder / "evaluation/evaluation.json").exists()


@pytest.mark.parametrize(
    ("metric", "threshold", "production", "code", "line"),
    [
        ("rmse", 1, "none", 2, "--metric: rmse is no metric of a classification; there are accuracy, "),
        ("beauty", 1, "none", 2, "argument --metric: invalid choice: 'beauty'"),
        ("accuracy", float("nan"), "none", 2, "--threshold: nan is not a number that a metric can reach"),
        ("accuracy", 1, "models/x", 2, "--production-model: 'models/x' is neither s3://bucket/key nor none"),
    ],
)
def test_evaluate_used_wrongly(
    metric: str, threshold: float, production: str, code: int, line: str, trained: Work
) -> None:
    done = trained.evaluate(metric, threshold, production)
    assert (done.code, done.error) == (code, done.failure + "\n")
    assert done.failure.startswith(line)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--eta", "2"], "hyperparameter eta: 2 must be more than 0 and at most 1"),
        (["--eta", "0"], "hyperparameter eta: 0 must be more than 0 and at most 1"),
        (["--num_round", "0"], "hyperparameter num_round: 0 must be at least 1"),
        (["--max_depth", "deep"], "argument --max_depth: invalid int value: 'deep'"),
        (["--depth", "3"], "hyperparameter depth is unknown; there are num_round, early_stopping_rounds, max_depth"),
    ],
)
def test_hyperparameters_out_of_bounds(words: list[str], line: str, trained: Work, tmp_path: Path) -> None:
    (done,) = trained.train(*words)
    assert done.code == 2
    assert done.failure.startswith(line)
    assert done.error == done.failure + "\n"


def test_what_the_container_adds_to_the_hyperparameters_is_no_mistake(trained: Work) -> None:
    assert trained.train("--sagemaker_program", "train.py", "--num_round", "2")[0].code == 0


def test_a_channel_that_is_missing_is_named(trained: Work) -> None:
    (done,) = trained.train("--num_round", "2", SM_CHANNEL_SCHEMA=str(trained.folder / "nowhere"))
    assert done.code == 1
    assert done.failure == "channel schema: there is no schema.json, so it does not come from this pipeline"
