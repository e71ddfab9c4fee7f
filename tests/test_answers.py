"""The rules of the answers: what passes, what does not, and what a bad answer is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import answers
from sagemaker_seed.errors import BadInput
from support import ROOT

GOOD: dict[str, str] = {
    "project_name": "Iris classifier",
    "project_slug": "iris-classifier",
    "team": "Data science",
    "description": "Names the species of an iris",
    "prediction": "classification",
    "aws_region": "eu-west-1",
    "inference": "real-time",
    "deploy_target": "cloudformation",
    "stages": "two",
    "publish_to": "embedded",
    "seed_bucket": "",
}

BAD = [
    ("project_name", ""),
    ("project_name", 'quo"ted'),
    ("project_name", "apos'trophe"),
    ("project_name", "two\nlines"),
    ("project_name", "trailing newline\n"),
    ("project_name", "{braces}"),
    ("project_name", "<< 7*7 >>"),
    ("project_name", "../escape"),
    ("project_name", "back\\slash"),
    ("project_name", "flower \N{TULIP}"),
    ("project_name", " spaced "),
    ("project_name", "x" * 101),
    ("project_name", "x" * 200),
    ("project_slug", ""),
    ("project_slug", "../x"),
    ("project_slug", "/etc"),
    ("project_slug", "Upper"),
    ("project_slug", "double--hyphen"),
    ("project_slug", "-leading"),
    ("project_slug", "trailing-"),
    ("project_slug", "under_score"),
    ("project_slug", "newline\n"),
    ("project_slug", "a" * 33),
    ("team", ""),
    ("team", "a" * 257),
    ("team", "<b>"),
    ("description", ""),
    ("description", "two\nlines"),
    ("description", "tab\there"),
    ("description", "line\N{LINE SEPARATOR}separator"),
    ("description", "x" * 1001),
    ("prediction", "clustering"),
    ("prediction", "Classification"),
    ("aws_region", "eu-wset-1"),
    ("aws_region", "ap-east-2"),
    ("aws_region", ""),
    ("inference", "realtime"),
    ("inference", ""),
    ("deploy_target", "stackset"),
    ("stages", "4"),
    ("publish_to", "everywhere"),
    ("seed_bucket", "Upper-Case"),
    ("seed_bucket", "ab"),
    ("seed_bucket", "a" * 64),
    ("seed_bucket", "dots.are.not.tls"),
    ("seed_bucket", "s3://bucket"),
    ("seed_bucket", "xn--bucket"),
    ("seed_bucket", "bucket-s3alias"),
]

AWKWARD = [
    ("project_name", "x"),
    ("project_name", "3D-Modell für Blüten"),
    ("project_name", "鳶尾花 v2"),
    ("project_name", "x" * 100),
    ("project_slug", "a" * 32),
    ("project_slug", "3d"),
    ("team", "a" * 256),
    ("description", 'says "hello", {{resolve:ssm:/a:1}} and << 7*7 >> \\ #{x} ${y}'),
    ("description", "x" * 1000),
    ("seed_bucket", "a" * 63),
]


def test_the_questions_are_those_of_cookiecutter_json() -> None:
    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    questions = {key: value for key, value in asked.items() if not key.startswith("_")}
    assert tuple(questions) == answers.NAMES
    assert len(questions) <= 10
    choices = {q.name: list(q.choices) for q in answers.QUESTIONS if q.choices}
    assert {name: value for name, value in questions.items() if isinstance(value, list)} == choices


def test_every_question_has_a_prompt_and_every_choice_a_line_of_its_own() -> None:
    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    prompts = asked["__prompts__"]
    assert set(prompts) == set(answers.NAMES)
    for question in answers.QUESTIONS:
        if question.derived:
            assert question.key in asked
            continue
        prompt = prompts[question.name]
        if question.choices:
            assert set(prompt) == {"__prompt__", *question.choices}
        # Square brackets are markup to rich, which prints prompts: they would vanish.
        assert "[" not in json.dumps(prompt).replace("\\[", "")


def test_good_answers_have_no_problem() -> None:
    assert answers.validate(GOOD) == []


@pytest.mark.parametrize(("name", "value"), AWKWARD)
def test_awkward_but_good(name: str, value: str) -> None:
    assert answers.validate({**GOOD, name: value}) == []


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_answers_name_question_rule_value_and_example(name: str, value: str) -> None:
    problems = answers.validate({**GOOD, name: value})
    assert problems
    for line in problems:
        assert line.startswith(f"{name}: must ")
        assert f"Got {value!r}"[:50] in line
        assert ". Example: " in line
        assert "\n" not in line


def test_every_example_is_a_good_answer() -> None:
    for question in answers.QUESTIONS:
        assert answers.validate({**GOOD, question.name: question.example}) == []


def test_all_problems_come_at_once() -> None:
    problems = answers.validate({"project_name": "", "aws_region": 7, "colour": "red"})
    named = [line.split(":")[0] for line in problems]
    assert sorted(set(named)) == sorted({*(question.name for question in answers.QUESTIONS), "colour"})


def test_a_derived_answer_is_given_under_a_name_of_its_own() -> None:
    """Nobody is asked for the description; a configuration file or a word on the command line may still say it."""
    derived = {key: value for key, value in GOOD.items() if key != "description"}
    assert answers.validate({**derived, "__description": "one line"}) == []
    (problem,) = answers.validate({**derived, "__description": "two\nlines"})
    assert problem.startswith("description: must be one line")
    assert answers.unknown(["__description"]) == []
    (line,) = answers.unknown(["description"])
    assert line.startswith("description: is no question of this template. The questions are: project_name, ")
    assert line.endswith("; unasked: __description")


def test_publishing_to_aws_needs_a_bucket() -> None:
    (problem,) = answers.validate({**GOOD, "publish_to": "aws"})
    assert problem.startswith("seed_bucket: must be given when publish_to is aws")
    assert answers.validate({**GOOD, "publish_to": "aws", "seed_bucket": "a-bucket"}) == []


def test_regions_are_those_where_the_product_can_be_created() -> None:
    from cfnlint.helpers import REGIONS
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    needed = {
        "AWS::SageMaker::Project",
        "AWS::SageMaker::Endpoint",
        "AWS::CodeCommit::Repository",
        "AWS::CodeBuild::Project",
        "AWS::CodePipeline::Pipeline",
        "AWS::ServiceCatalog::Portfolio",
    }
    there = {region for region in REGIONS if needed <= set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))}
    assert there == answers.REGIONS


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        ("python /x/bin/cookiecutter . --no-input foo=bar", {"foo": "bar"}),
        ("cookiecutter -o out=dir gh:a/b x=1=2", {"x": "1=2"}),
        ("python /x/cookiecutter/__main__.py --config-file c=d /t a=b --accept-hooks yes", {"a": "b"}),
        ("cookiecutter https://host/repo?a=b", {}),
        ("python -m pytest -k a=b -o foo=bar x=y", {}),
        ("", {}),
    ],
)
def test_answers_of_a_command_line(line: str, answered: dict[str, str]) -> None:
    assert answers.typed(line.split()) == answered


def test_what_an_answer_drops_is_what_the_others_keep() -> None:
    script = "deploy/stackset.py"
    assert answers.pruned(GOOD) == ["inference", "test/payloads/regression", script]
    other = answers.pruned({**GOOD, "prediction": "regression"})
    assert other == ["inference", "test/payloads/classification", script]
    assert script not in answers.pruned({**GOOD, "deploy_target": "stackset-service-managed"})
    assert "staging-config-template.json" in answers.pruned({**GOOD, "stages": "three"})
    cases = ["test/shadow.py", "tests/test_parameters.py", "tests/test_shadow.py", "tests/test_stages.py"]
    assert set(cases) <= set(answers.pruned({**GOOD, "inference": "batch"}))
    for kept in answers.KEPT.values():
        for path in (path for paths in kept.values() for path in paths):
            assert (ROOT / "<<cookiecutter.project_slug>>" / path).exists()


def test_a_stage_of_three_begins_like_the_one_that_it_is_most_like() -> None:
    assert answers.made(GOOD) == {}
    assert answers.made({**GOOD, "stages": "three"}) == {
        "dev-config-template.json": "staging-config-template.json",
        "preprod-config-template.json": "prod-config-template.json",
    }


def test_what_an_answer_lays_over_the_repository() -> None:
    assert answers.overlaid(GOOD) == []
    (kind,) = (question for question in answers.QUESTIONS if question.name == "inference")
    for choice in kind.choices[1:]:
        (folder,) = answers.overlaid({**GOOD, "inference": choice})
        there = ROOT / "<<cookiecutter.project_slug>>" / folder
        files = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}
        assert {"cfn-sm-endpoint-template.yml", "staging-config-template.json", "prod-config-template.json"} <= files


def _seed(folder: Path, content: Any) -> Path:
    (folder / "seed.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_reading_a_seed(tmp_path: Path) -> None:
    seed = answers.read_seed(_seed(tmp_path, {"answers": GOOD, "template_version": "1.2.3"}))
    assert (seed.slug, seed.template_version, seed.answers) == ("iris-classifier", "1.2.3", GOOD)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no seed repository"),
        ("{", "cannot be read"),
        ("[]", "must be an object"),
        ({"answers": {**GOOD, "aws_region": "mars-1"}, "template_version": "1.0.0"}, "aws_region: must be a region"),
        ({"answers": GOOD, "template_version": "new version"}, "template_version: must be a version"),
        ({"answers": GOOD}, "template_version: must be a version"),
    ],
)
def test_a_seed_that_cannot_be_read_says_why(tmp_path: Path, content: Any, said: str) -> None:
    if content is not None:
        _seed(tmp_path, content)
    with pytest.raises(BadInput, match=said):
        answers.read_seed(tmp_path)
