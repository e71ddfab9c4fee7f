"""How good a deployed model is on labelled rows, beside what was registered and what it would replace.

The rows are those that the training pipeline measured the model on before it was registered. The split keeps
them apart from what the model learns from, and each model package says where its own are; so a model is never
asked for rows that it was trained on.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endpoint import (
    IN_SERVICE,
    Answer,
    Invoker,
    NoAnswerError,
    NotInServiceError,
    Ready,
    describe,
    invoker,
    is_all,
)
from expectations import Quality, is_finite, prediction_problem, predictions_in
from measures import METRICS, CannotMeasureError, confusion, measure
from report import FAILED, PASSED, SKIPPED, Report, title

if TYPE_CHECKING:
    from checks import Outcome, Subject

MOST_ROWS = 200
"""So many labelled rows go into one request."""
# A file is read no further than this: the rows stand in no order, so that the first ones are a fair sample.
MOST_BYTES = 4_000_000
_DEFAULT = {"classification": "accuracy", "regression": "rmse"}
# In SageMaker's form of model quality these mean what they mean here; its other figures are other means.
_SAME_IN_MODEL_METRICS = frozenset({"accuracy", "auc", "rmse", "mae", "r2"})


@dataclass(frozen=True)
class Labelled:
    """Rows of features as they stand in the file, and the truth of each."""

    rows: list[list[str]]
    truth: list[str]

    def requests(self, most_rows: int) -> list[tuple[int, bytes]]:
        """Return the rows as bodies of `text/csv`, so many rows in each at most, with how many they are."""
        bodies = []
        for start in range(0, len(self.rows), most_rows):
            part = self.rows[start : start + most_rows]
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerows(part)
            bodies.append((len(part), out.getvalue().encode()))
        return bodies


def labelled_rows(content: bytes, target: str, most_rows: int, where: str) -> Labelled:
    """Read a CSV with a header: the column `target` has the truth, the others are the features in order."""
    # What was cut off at MOST_BYTES ends within a line.
    whole = content if len(content) < MOST_BYTES else content[: content.rfind(b"\n") + 1]
    try:
        lines = csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline=""))
        header = [name.strip() for name in next(lines, [])]
        found = [row for _, row in zip(range(most_rows), filter(None, lines), strict=False)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CannotMeasureError(f"{where} is not CSV: {error}") from None
    if target not in header:
        raise CannotMeasureError(f"{where} has no column {target!r}; it has {', '.join(header) or 'none'}")
    place = header.index(target)
    for number, row in enumerate(found, start=1):
        if len(row) != len(header):
            raise CannotMeasureError(
                f"{where}: row {number} has {len(row)} cells; the header has {len(header)}"
            )
    if len(found) < 2:
        raise CannotMeasureError(f"{where} has {len(found)} rows under its header; at least 2 are needed")
    return Labelled(
        [[cell for index, cell in enumerate(row) if index != place] for row in found],
        [row[place].strip() for row in found],
    )


@dataclass(frozen=True)
class Registered:
    """What the model registry says of a model package's quality."""

    metric: str
    value: float
    test_data: str
    """Where the rows are that it was measured on; empty if that is not registered."""
    target: str


def registered(
    package: Mapping[str, Any], prediction: str, quality: Quality, read: Callable[[str], bytes]
) -> Registered:
    """Return what was registered with a model package. Raises CannotMeasureError.

    Args:
        package: the answer of DescribeModelPackage.
        prediction: classification or regression.
        quality: what expectations.json says in its place.
        read: returns the content of an s3:// address.
    """
    told = package.get("CustomerMetadataProperties", {})
    metric = quality.metric or told.get("metric") or _DEFAULT[prediction]
    if metric not in METRICS or METRICS[metric].prediction != prediction:
        known = ", ".join(name for name, one in METRICS.items() if one.prediction == prediction)
        raise CannotMeasureError(f"{metric} is no metric of a {prediction}; there are {known}")
    value = quality.registered
    if value is None:
        value = _registered_value(package, metric, told.get("evaluation", ""), read)
    return Registered(metric, value, told.get("test_data", ""), told.get("target", ""))


def _registered_value(
    package: Mapping[str, Any], metric: str, evaluation: str, read: Callable[[str], bytes]
) -> float:
    statistics = (
        package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    )
    places: list[tuple[str, Callable[[Any], list[Any]]]] = []
    if statistics and metric in _SAME_IN_MODEL_METRICS:
        places.append(
            (statistics, lambda told: [group.get(metric, {}).get("value") for group in told.values()])
        )
    if evaluation:
        places.append((evaluation, lambda told: [told["metrics"].get(metric)]))
    for uri, values in places:
        try:
            found = [value for value in values(json.loads(read(uri))) if is_finite(value)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CannotMeasureError(f"{uri} has not the form of registered metrics: {error!r}") from None
        if found:
            return float(found[0])
    arn = package.get("ModelPackageArn", "the model package")
    raise CannotMeasureError(
        f"no {metric} is registered with {arn}: train it with the training pipeline, or set"
        " quality.registered in test/expectations.json"
    )


Ask = Callable[[bytes], "Answer | str"]
"""Sends rows of CSV; returns the answer, or in one line why there is none."""


class Trial:
    """The labelled rows, what the endpoint makes of them, and what the one does that it would replace."""

    def __init__(self, subject: Subject, wanted: Quality, report: Report, ask: Ask) -> None:
        self.subject, self.wanted, self.report, self.ask = subject, wanted, report, ask
        self.predictions: list[Any] = []

    def quality(self) -> Outcome:
        """Find the endpoint as good as the model was when it was registered, but for the tolerance."""
        try:
            return self._quality()
        except CannotMeasureError as error:
            return FAILED, str(error)

    def _quality(self) -> Outcome:
        subject, expected = self.subject, self.subject.expectations
        package = subject.home.client("sagemaker").describe_model_package(
            ModelPackageName=subject.parameters["ModelPackageName"]
        )
        told = registered(package, expected.prediction, self.wanted, self._read)
        self.rows, self.metric = self._labelled(told), told.metric
        predictions = self._predictions(self.ask)
        self.value = self._measured(predictions)
        self.predictions = predictions
        more, tolerance = METRICS[told.metric].more_is_better, self.wanted.tolerance
        self.report.measurements["quality"] = {
            "metric": told.metric,
            "value": round(self.value, 6),
            "registered": told.value,
            "tolerance": tolerance,
            "rows": len(predictions),
        }
        self._draw()
        bound = told.value - tolerance if more else told.value + tolerance
        text = f"{told.metric} {self.value:.4g} on {len(predictions)} labelled rows"
        text += f"; registered was {told.value:.4g}"
        # The registered value comes from other libraries, which round in another place.
        missed = self.value < bound - 1e-9 if more else self.value > bound + 1e-9
        required = f"{text}; {'at least' if more else 'at most'} {bound:.4g} is required"
        return (FAILED, required) if missed else (PASSED, text)

    def comparison(self) -> Outcome:
        """Ask the model of the next stage the same. It is for the one who approves, and fails no stage."""
        from botocore.exceptions import BotoCoreError, ClientError

        from deploy.errors import one_line

        try:
            return self._comparison()
        except (BotoCoreError, ClientError) as error:
            return SKIPPED, f"the next stage cannot be looked at: {one_line(error)}"
        except NotInServiceError as error:
            return SKIPPED, str(error)
        except CannotMeasureError as error:
            return SKIPPED, f"the next stage cannot be asked the same: {error}"
        except Exception as error:  # such as an endpoint of another kind, which is not this stage's fault
            return SKIPPED, f"the next stage cannot be compared: unexpected {one_line(error)}"

    def _comparison(self) -> Outcome:
        subject, there = self.subject, self.subject.following
        assert there is not None  # noqa: S101
        description = describe(there.connection.client("sagemaker"), there.endpoint)
        if description["EndpointStatus"] != IN_SERVICE:
            return SKIPPED, f"{there.endpoint} is {description['EndpointStatus']}"
        other = invoker(subject.kind, there.connection, there.endpoint, subject.parameters)
        packages = other.served(Ready(description, ())).model_packages
        if is_all(subject.parameters["ModelPackageName"], packages):
            return SKIPPED, f"{title(there.stage)} serves the same model package"
        theirs = self._predictions(_asking(other))
        value = self._measured(theirs)
        pairs = zip(self.predictions, theirs, strict=True)
        different = sum(_differ(ours, their) for ours, their in pairs)
        self.report.measurements["comparison"] = {
            "stage": there.stage,
            "model_package": ", ".join(packages),
            "metric": self.metric,
            "value": round(value, 6),
            "rows": len(theirs),
            "different": different,
        }
        short = ", ".join(package.rpartition("model-package/")[2] for package in packages)
        return PASSED, (
            f"{self.metric} {self.value:.4g} here and {value:.4g} with {short} in {title(there.stage)}, on"
            f" the same {len(theirs)} rows; {different} of them are answered differently"
        )

    def _measured(self, predictions: list[Any]) -> float:
        classes = self.subject.expectations.answers.classes
        return measure(self.metric, self.rows.truth, predictions, classes)

    def _labelled(self, told: Registered) -> Labelled:
        wanted = self.wanted
        if wanted.labelled:
            content = (self.subject.folder / wanted.labelled).read_bytes()
            return labelled_rows(content, wanted.target, wanted.rows, wanted.labelled)
        if not told.test_data:
            raise CannotMeasureError(
                f"no test data is registered with {self.subject.parameters['ModelPackageName']}: train it"
                " with the training pipeline, or set quality.labelled in test/expectations.json"
            )
        target = wanted.target or told.target
        return labelled_rows(self._read(told.test_data), target, wanted.rows, told.test_data)

    def _read(self, uri: str) -> bytes:
        """Return the beginning of an object, as the account that trains sees it."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not (uri.startswith("s3://") and bucket and key):
            raise CannotMeasureError(
                f"{uri!r} is registered with the model package, and is no s3://bucket/key"
            )
        s3 = self.subject.home.client("s3")
        try:
            answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{MOST_BYTES - 1}")
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
            raise CannotMeasureError(
                f"{uri} is registered with the model package, and is not there (any more)"
            ) from None
        return bytes(answer["Body"].read())

    def _predictions(self, ask: Ask) -> list[Any]:
        """Return what is predicted for the labelled rows. Raises CannotMeasureError."""
        found: list[Any] = []
        for rows, body in self.rows.requests(MOST_ROWS):
            answer = ask(body)
            if isinstance(answer, str) or not answer.good:
                raise CannotMeasureError(answer if isinstance(answer, str) else answer.message)
            try:
                found += predictions_in(answer.content_type, answer.body, rows)
            except ValueError as error:
                raise CannotMeasureError(f"the labelled rows: {error}") from None
        for row, prediction in enumerate(found, start=1):
            problem = prediction_problem(self.subject.expectations, prediction)
            if problem:
                raise CannotMeasureError(f"row {row} of the labelled rows: {problem}")
        return found

    def _draw(self) -> None:
        classes, truth = self.subject.expectations.answers.classes, self.rows.truth
        if classes:
            matrix = confusion(truth, self.predictions, classes)
            self.report.figures["confusion"] = {"classes": classes, "rows": matrix}
        else:
            guesses = [prediction["value"] for prediction in self.predictions]
            self.report.figures["residuals"] = {"actual": list(map(float, truth)), "predicted": guesses}


def _asking(other: Invoker) -> Ask:
    def ask(body: bytes) -> Answer | str:
        try:
            return other.send("text/csv", body)
        except NoAnswerError as error:
            return str(error)

    return ask


def _differ(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Return whether two models answer a row differently: another label, or a value more than 1 % away."""
    if "label" in ours:
        return bool(ours["label"] != theirs["label"])
    return not math.isclose(ours["value"], theirs["value"], rel_tol=0.01)
