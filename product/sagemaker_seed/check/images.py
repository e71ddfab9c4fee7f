"""The images that builds and training run in: maintained, and not near the end of their patches."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any

from .stages import buildspec
from .subject import Subject

# End of patches of each SageMaker XGBoost image, as AWS announced it.
XGBOOST_UNTIL = {
    "3.0-5": datetime.date(2026, 11, 17),
    "3.2-0": datetime.date(2027, 5, 13),
}
# The curated CodeBuild images that AWS maintains, and their Python runtimes.
_FROM_39 = frozenset("3.9 3.10 3.11 3.12 3.13 3.14".split())
_FROM_310 = _FROM_39 - {"3.9"}
CODEBUILD_PYTHON = {
    "aws/codebuild/amazonlinux-x86_64-standard:5.0": _FROM_39,
    "aws/codebuild/amazonlinux-x86_64-standard:6.0": _FROM_310,
    "aws/codebuild/amazonlinux-aarch64-standard:3.0": _FROM_39,
    "aws/codebuild/amazonlinux-aarch64-standard:4.0": _FROM_310,
    "aws/codebuild/standard:7.0": _FROM_39,
    "aws/codebuild/standard:8.0": _FROM_310,
}
SOON = datetime.timedelta(days=60)
NEWEST = "aws/codebuild/amazonlinux-x86_64-standard:5.0"


def check(subject: Subject, today: datetime.date | None = None) -> None:
    """The image of every build, with the Python that its buildspec asks for; and the XGBoost image."""
    for name, properties in subject.of_type("AWS::CodeBuild::Project").items():
        image = properties["Environment"]["Image"]
        if not str(image).startswith("aws/codebuild/"):
            continue  # an image of one's own
        runtimes = CODEBUILD_PYTHON.get(image)
        if runtimes is None:
            subject.report.add(
                "a build's image is not maintained",
                f"{subject.template_name}: {name}: {image}",
                "AWS does not patch it any more, and may take it away",
                "build",
                f"name {NEWEST} in the template",
            )
            continue
        _python(subject, properties, image, runtimes)
    _xgboost(subject, today or datetime.datetime.now(tz=datetime.UTC).date())


def _python(subject: Subject, project: Mapping[str, Any], image: str, runtimes: frozenset[str]) -> None:
    said, text = str(project["Source"].get("BuildSpec", "")), buildspec(subject, project)
    if text is None:
        if said and subject.seed:
            subject.report.add(
                "a buildspec is missing", said, "a build of the template reads it", "build", "render the seed again"
            )
        return
    asked = re.search(r"^\s*python:\s*[\"']?([\d.]+)", text, re.MULTILINE)
    if asked and asked[1] not in runtimes:
        where = f"the buildspec in {subject.template_name}" if "\n" in said else said
        subject.report.add(
            "the build's image lacks a Python",
            f"{where}: python {asked[1]}",
            f"{image} has {', '.join(sorted(runtimes, key=lambda v: int(v.partition('.')[2])))}",
            "build",
            "ask for one of these in runtime-versions",
        )


def _xgboost(subject: Subject, today: datetime.date) -> None:
    path = subject.seed.folder / "training/settings.json" if subject.seed else None
    if path is None or not path.is_file():
        return
    version = json.loads(path.read_text()).get("image", {}).get("version")
    until = XGBOOST_UNTIL.get(version)
    newest = max(XGBOOST_UNTIL, key=lambda name: XGBOOST_UNTIL[name])
    fix = f"set image.version in training/settings.json to {newest}"
    if until is None:
        subject.report.add(
            "the XGBoost image is not supported",
            f"training/settings.json: {version}",
            "AWS has no such image, or patches it no longer",
            "build",
            fix,
        )
    elif until - today < SOON:
        ended = "had" if until < today else "has"
        subject.report.add(
            "the XGBoost image is near its end" if until >= today else "the XGBoost image is past its end",
            f"training/settings.json: {version}",
            f"it {ended} its last patch on {until}",
            "build",
            fix,
        )
