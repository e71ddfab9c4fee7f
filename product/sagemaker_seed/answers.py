"""The questions of the template: what an answer may be, and which files it keeps.

Standard library only, because the hooks import it in whatever environment cookiecutter runs in.
Asking and rendering are cookiecutter's; this module neither prompts nor writes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput

Rule = Callable[[str], bool]

# Regions in which every resource of the product can be created: SageMaker projects, CodeCommit, CodeBuild,
# CodePipeline, Service Catalog and SageMaker endpoints. A test compares the set with cfn-lint's resource schemas.
REGIONS = frozenset(
    """
    ap-east-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1
    cn-north-1 cn-northwest-1 eu-central-1 eu-isoe-west-1 eu-north-1 eu-south-1 eu-west-1 eu-west-2 eu-west-3
    eusc-de-east-1 me-south-1 sa-east-1 us-east-1 us-east-2 us-gov-west-1 us-iso-east-1 us-iso-west-1
    us-isob-east-1 us-isob-west-1 us-isof-east-1 us-isof-south-1 us-west-1 us-west-2
    """.split()
)

# The smallest limit of all the names that an answer ends up in decides how long it may be.
# (where it ends up, characters that are there beside the answer, the limit)
NAME_LIMITS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "project_slug": (
        ("the suggested SageMaker project name", 0, 32),
        ("the name of an S3-hosted project template", 0, 32),
        ("the S3 key of the seed code", len("seed-code//.zip") + 64, 1024),
        ("the idempotency token of a product version", len("version--") + 64, 128),
    ),
    "project_name": (("the product's line in Studio's list of templates", 0, 100),),
    "team": (("the value of a tag", 0, 256),),
    "description": (("the description of the CodeCommit repository", 0, 1000),),
}


def _readable(text: str) -> bool:
    """Letters of any script, digits, spaces and ``. _ -``: what tags, Studio and file names all take."""
    return (
        all(c in " ._-" or unicodedata.category(c)[0] in "LN" for c in text)
        and text[:1].isalnum()
        and text == text.strip()
    )


def _one_line(text: str) -> bool:
    """The characters that SageMaker takes in a project description: no control characters, no line breaks."""
    return bool(text) and all(unicodedata.category(c)[0] in "LMZSNP" and c not in "\u2028\u2029" for c in text)


def _bucket(text: str) -> bool:
    shaped = re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", text)
    reserved = text.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or text.endswith(("-s3alias", "--ol-s3", "--x-s3"))
    return bool(shaped) and not reserved


def _matches(pattern: str) -> Rule:
    return lambda text: re.fullmatch(pattern, text) is not None


# How endpoints get into the accounts of their stages.
TARGETS = ("cloudformation", "stackset-self-managed", "stackset-service-managed", "same-account")
# The stages of a deployment, in their order, by the answer ``stages``.
LAYOUTS = {"two": ("staging", "prod"), "three": ("dev", "preprod", "prod")}
# Where a seed repository may be published.
PLACES = ("embedded", "aws", "nowhere")


@dataclass(frozen=True)
class Question:
    """One question of ``cookiecutter.json``: its rule, in words and as a test, and an answer that passes.

    ``derived``: nobody is asked, the template works the answer out; it can be given under a name with two underscores.
    """

    name: str
    rule: str
    holds: Rule
    example: str
    choices: tuple[str, ...] = ()
    derived: bool = False

    @property
    def key(self) -> str:
        """Its name in ``cookiecutter.json`` and on cookiecutter's command line."""
        return f"__{self.name}" if self.derived else self.name


def _choice(name: str, *choices: str) -> Question:
    return Question(name, f"must be one of {', '.join(choices)}", lambda text: text in choices, choices[0], choices)


QUESTIONS: tuple[Question, ...] = (
    Question(
        "project_name",
        "must start with a letter or a digit and hold only letters, digits, spaces and . _ -",
        _readable,
        "Iris classifier",
    ),
    Question(
        "project_slug",
        "must hold only a-z, 0-9 and single hyphens between them",
        _matches(r"[a-z0-9](-?[a-z0-9])*"),
        "iris-classifier",
    ),
    Question(
        "team",
        "must start with a letter or a digit and hold only letters, digits, spaces and . _ -",
        _readable,
        "Data science",
    ),
    Question(
        "description",
        "must be one line of printable characters, and not empty",
        _one_line,
        "Names the species of an iris from four measurements",
        derived=True,
    ),
    _choice("prediction", "classification", "regression"),
    Question(
        "aws_region",
        "must be a region that has SageMaker projects and CodeCommit",
        lambda text: text in REGIONS,
        "eu-west-1",
    ),
    _choice("inference", "real-time", "serverless", "asynchronous", "batch"),
    _choice("deploy_target", *TARGETS),
    _choice("stages", *LAYOUTS),
    _choice("publish_to", *PLACES),
    Question(
        "seed_bucket",
        "must be a bucket name (3 to 63 of a-z, 0-9 and hyphens), or empty unless publish_to is aws",
        lambda text: not text or _bucket(text),
        "sagemaker-seed-111111111111-eu-west-1",
    ),
)
NAMES = tuple(question.key for question in QUESTIONS if not question.derived)
_DERIVED = {question.key: question.name for question in QUESTIONS if question.derived}
_BY_NAME = {question.name: question for question in QUESTIONS}

# The folder of the template that an answer lays over the seed repository: its files take the place of those of the same
# name. An answer that is not here needs none: the repository itself is made for it. No such folder is ever kept.
OVERLAYS: dict[str, dict[str, str]] = {
    "inference": {
        "serverless": "inference/serverless",
        "asynchronous": "inference/asynchronous",
        "batch": "inference/batch",
    },
}

# Which paths of the seed repository an answer keeps; the paths of the other answers are pruned.
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    "prediction": {
        "classification": ("test/payloads/classification",),
        "regression": ("test/payloads/regression",),
    },
    "deploy_target": {
        **dict.fromkeys(TARGETS, ()),
        "stackset-service-managed": ("deploy/stackset.py",),
    },
    "inference": {
        # Only an endpoint in real time has shadows. The cases of the other tests are parameters of one; the other kinds
        # bring tests/test_kind.py.
        "real-time": (
            "test/shadow.py",
            "tests/test_parameters.py",
            "tests/test_shadow.py",
            "tests/test_stages.py",
        ),
        **dict.fromkeys(OVERLAYS["inference"], ()),
    },
    "stages": {"two": ("staging-config-template.json",), "three": ()},
}

# Files that an answer makes of others of the repository: a stage begins like the one that it is most like.
MADE_OF: dict[str, dict[str, dict[str, str]]] = {
    "stages": {
        "three": {
            "dev-config-template.json": "staging-config-template.json",
            "preprod-config-template.json": "prod-config-template.json",
        },
    },
}


def problem(name: str, rule: str, value: object, example: str) -> str:
    """The one line that a bad answer gets."""
    shown = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}... ({len(str(value))} characters)"
    return f"{name}: {rule}. Got {shown}. Example: {example}"


def problems_of(name: str, value: object) -> list[str]:
    """The problems of one answer by itself; an unknown name has none here (see ``unknown``)."""
    name = _DERIVED.get(name, name)
    return _problems_of(_BY_NAME[name], value) if name in _BY_NAME else []


def _problems_of(question: Question, value: object) -> list[str]:
    if not isinstance(value, str):
        return [problem(question.name, "must be text", value, question.example)]
    found = [] if question.holds(value) else [question.rule]
    found += [
        f"must be at most {limit - around} characters, because it ends up in {where}"
        for where, around, limit in NAME_LIMITS.get(question.name, ())
        if len(value) > limit - around
    ][:1]
    return [problem(question.name, rule, value, question.example) for rule in found]


def validate(answers: Mapping[str, Any]) -> list[str]:
    """Every problem of the answers, a line each: the question, the rule, the value and an example.

    ``answers`` maps the names of the questions to their values; names that start with ``_`` are cookiecutter's own, and
    among them a derived answer may be.
    """
    answers = {**answers, **{name: answers[key] for key, name in _DERIVED.items() if key in answers}}
    found = unknown(key for key in answers if not key.startswith("_") and key not in _BY_NAME)
    for question in QUESTIONS:
        if question.name in answers:
            found += _problems_of(question, answers[question.name])
        else:
            found.append(f"{question.name}: is missing. Example: {question.example}")
    if answers.get("publish_to") == "aws" and answers.get("seed_bucket") == "":
        bucket = _BY_NAME["seed_bucket"]
        found.append(problem(bucket.name, "must be given when publish_to is aws", "", bucket.example))
    return found


def unknown(names: Iterable[str]) -> list[str]:
    """A line for each name that is no question of this template."""
    known = f"{', '.join(NAMES)}; unasked: {', '.join(_DERIVED)}"
    return [
        f"{name}: is no question of this template. The questions are: {known}"
        for name in names
        if name not in NAMES and name not in _DERIVED
    ]


# The options of the cookiecutter command that take a value, which is therefore no answer.
_VALUED = frozenset(
    "-c --checkout --directory -o --output-dir --replay-file --config-file --debug-file --accept-hooks".split()
)


def typed(argv: Sequence[str]) -> dict[str, str]:
    """The ``key=value`` answers of a cookiecutter command line; cookiecutter drops unknown ones without a word.

    Args:
        argv: the words of the process that runs the hook. Another program than cookiecutter has no answers.
    """
    program = next(
        (i for i, word in enumerate(argv[:3]) if re.search(r"(^|/)cookiecutter(/__main__\.py)?$", word)), None
    )
    if program is None:
        return {}
    words = list(argv[program + 1 :])
    free = [
        w for before, w in zip(["", *words], words, strict=False) if before not in _VALUED and not w.startswith("-")
    ]
    return dict(word.split("=", 1) for word in free[1:] if re.match(r"\w+=", word))


def overlaid(answers: Mapping[str, Any]) -> list[str]:
    """The folders, relative to the seed repository, whose contents take their place in it; then all overlays go."""
    return [folders[answers[name]] for name, folders in OVERLAYS.items() if answers[name] in folders]


def pruned(answers: Mapping[str, Any]) -> list[str]:
    """The paths, relative to the seed repository, that the answers do not keep."""
    drop: list[str] = []
    for name, kept_by in KEPT.items():
        keep = set(kept_by[answers[name]])
        drop += sorted({path for paths in kept_by.values() for path in paths} - keep)
    return [*sorted({folder.split("/")[0] for folders in OVERLAYS.values() for folder in folders.values()}), *drop]


def made(answers: Mapping[str, Any]) -> dict[str, str]:
    """The paths that the answers make, each with the path of what it is a copy of; before anything is pruned."""
    found: dict[str, str] = {}
    for name, made_by in MADE_OF.items():
        found |= made_by.get(answers[name], {})
    return found


@dataclass(frozen=True)
class Seed:
    """A rendered seed repository: its folder, the answers that it was rendered with, and the template's version."""

    folder: Path
    answers: Mapping[str, str]
    template_version: str

    @property
    def slug(self) -> str:
        """The short name, which is also the name of its folder in the seed bucket."""
        return self.answers["project_slug"]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of its deployments, in their order."""
        return LAYOUTS[self.answers["stages"]]


def read_seed(folder: Path) -> Seed:
    """The seed repository in ``folder``, as its ``seed.json`` describes it.

    Raises:
        BadInput: there is no readable ``seed.json``, or an answer in it breaks a rule.
    """
    path = folder / "seed.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"{folder}: is no seed repository (it has no seed.json); give the folder that cookiecutter rendered"
        ) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("answers"), dict):
        raise BadInput(f"{path}: must be an object with 'answers' and 'template_version'")
    version = content.get("template_version")
    problems = [f"{path}: {line}" for line in validate(content["answers"])]
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.]+)?", version):
        problems.append(f"{path}: {problem('template_version', 'must be a version', version, '1.0.0')}")
    if problems:
        raise BadInput(*problems)
    return Seed(folder, content["answers"], str(version))
