"""What comes after the first deployment: again, better, rejected, and two commits that break something.

Each step changes one thing, as a person would, and looks at what every stage serves then.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from ...errors import SeedError
from . import evidence, models, served
from .following import confirm, explain
from .journey import Journey

SETTINGS = "training/settings.json"
EXPECTATIONS = "test/expectations.json"
TEMPLATE = "cfn-sm-endpoint-template.yml"
RESOURCES = re.compile(r"^Resources:\s*$", re.MULTILINE)
# A model that cannot be made, because nobody has its role.
BROKEN = """Resources:
  BrokenOnPurpose:
    Type: AWS::SageMaker::Model
    Properties:
      ExecutionRoleArn: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/nobody
      EnableNetworkIsolation: true
      PrimaryContainer:
        Image: !Sub ${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/nothing:1
"""
# Tried one after the other, until one makes a model that is no worse. The last changes nothing: training stops early.
CHANGES = (("seed", 7), ("eta", 0.05), ("max_depth", 2), ("num_round", 1000))
# For an approval that changes nothing there may be no event, and so nothing to wait for.
NO_EVENT_SECONDS = 1.0


def again(journey: Journey) -> None:
    """The same model approved again changes nothing."""
    before = _serving(journey)
    journey.follower.mark()
    models.decide(journey.as_person("sagemaker"), journey.package, models.APPROVED)
    time.sleep(NO_EVENT_SECONDS)
    confirm(journey, expect=0)
    _expect(journey, before, "approving the same model again")
    journey.say("nothing changed: the same endpoint configurations in every stage")


def better(journey: Journey) -> None:
    """A second model, trained by a commit and approved, replaces the first in every stage.

    A change that makes the model worse is not accepted, and registers nothing; then the next one is tried.
    """
    settings = json.loads(_file(journey, SETTINGS))
    journey.follower.mark()
    for name, value in CHANGES:
        changed = {**settings, "hyperparameters": {**settings["hyperparameters"], name: value}}
        text = json.dumps(changed, indent=2) + "\n"
        journey.clone.commit(f"Train with {name} {value}", {SETTINGS: text})
        confirm(journey, expect=len(journey.follower.pipelines), forgive=True)
        newest = str(models.packages(journey.as_person("sagemaker"))[0]["ModelPackageArn"])
        if newest != journey.package:
            break
        journey.say(f"{name} {value} makes no better model, and registers none")
    else:
        raise SeedError("no change of the hyperparameters made a model as good as the first")
    journey.first, journey.package = journey.package, newest
    for package in (journey.first, journey.package):
        journey.say(f"{models.short(package)}: {', '.join(evidence.model_lines(journey, package))}")
    models.decide(journey.as_person("sagemaker"), journey.package, models.APPROVED)
    confirm(journey)
    _expect_package(journey, journey.package)


def rejected(journey: Journey) -> None:
    """A rejected model gives way to the one that was approved before it, in production too."""
    models.decide(journey.as_person("sagemaker"), journey.package, models.REJECTED)
    confirm(journey)
    _expect_package(journey, journey.first)


def broken_test(journey: Journey) -> None:
    """A commit that breaks the test stops at the first stage, with what the test says; production is not touched."""
    before = _serving(journey)["production"]
    text = _file(journey, EXPECTATIONS)
    expectations = json.loads(text)
    payload = next(p for p in expectations["payloads"] if p.get("expected"))
    payload["expected"][0] = _other(payload["expected"][0], expectations["answers"].get("classes", []))
    journey.clone.commit("Expect something else", {EXPECTATIONS: json.dumps(expectations, indent=2) + "\n"})
    _fails(journey, "CodeBuild")
    if _serving(journey)["production"] != before:
        raise SeedError("a commit whose test failed in an earlier stage changed production")
    journey.clone.commit("Expect what was right", {EXPECTATIONS: text})
    confirm(journey, expect=len(journey.follower.pipelines))
    journey.say("production was not touched; the commit was taken back")


def broken_template(journey: Journey) -> None:
    """A commit that breaks the endpoint template is rolled back, and every stage goes on serving."""
    before = _serving(journey)
    text = _file(journey, TEMPLATE)
    if not RESOURCES.search(text):
        raise SeedError(f"{TEMPLATE} has no line `Resources:` to break it at")
    journey.clone.commit("Break the endpoint", {TEMPLATE: RESOURCES.sub(lambda _: BROKEN.rstrip(), text, count=1)})
    _fails(journey, "CloudFormation")
    _expect(journey, before, "a template that was rolled back")
    journey.clone.commit("Mend the endpoint", {TEMPLATE: text})
    confirm(journey, expect=len(journey.follower.pipelines))
    journey.say("rolled back: every stage served all the time; the commit was taken back")


AFTER: dict[str, Callable[[Journey], None]] = {
    "again": again,
    "better": better,
    "rejected": rejected,
    "broken-test": broken_test,
    "broken-template": broken_template,
}


def _file(journey: Journey, name: str) -> str:
    path = journey.clone.folder / name
    if not path.is_file():
        raise SeedError(f"the seed has no {name}, which this step changes; rehearse it with --until production")
    return path.read_text()


def _other(expected: dict[str, object], classes: list[str]) -> dict[str, object]:
    """An expectation that the model cannot meet."""
    if "label" in expected:
        return {**expected, "label": next(name for name in classes if name != expected["label"])}
    return {**expected, "value": float(str(expected["value"])) + 1000}


def _fails(journey: Journey, provider: str) -> None:
    """Follows a commit to the failure in the first stage that it must end with."""
    done = journey.follower.follow(journey.say, journey.doing, expect=len(journey.follower.pipelines))
    journey.follower.mark()
    failed = [(run, run.failed) for run in done if run.failed]
    if [action.provider for _, action in failed if action] != [provider]:
        said = ", ".join(f"{run.pipeline}: {run.status}" for run in done)
        raise SeedError(f"the broken commit should have failed in {provider} and nowhere else; it ended with {said}")
    explain(journey, failed[0][0])


def _serving(journey: Journey) -> dict[str, list[str]]:
    """By stage, what serves there and how."""
    return {
        stage.name: [f"{one.name} {one.configuration} {one.status}" for one in served.of(journey, stage)]
        for stage in journey.stages
    }


def _expect(journey: Journey, before: dict[str, list[str]], what: str) -> None:
    now = _serving(journey)
    changed = [stage for stage in before if now[stage] != before[stage]]
    if changed:
        raise SeedError(f"{what} changed {', '.join(changed)}: {before[changed[0]]} became {now[changed[0]]}")


def _expect_package(journey: Journey, package: str) -> None:
    for stage in journey.stages:
        for one in served.of(journey, stage):
            if one.package != package:
                raise SeedError(f"{stage.name} serves {models.short(one.package)}, expected {models.short(package)}")
            journey.say(f"{stage.name:<13} {one.name} serves {models.short(package)}")
