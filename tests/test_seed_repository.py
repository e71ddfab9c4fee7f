"""The rendered deploy half as a whole: its files, its own unit tests and linters, and what its templates promise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from seed_support.baking import bake, run, scrubbed

PREDICTIONS = ("classification", "regression")


class _Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as one-key mappings."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise yaml.constructor.ConstructorError(None, None, f"!{suffix} of a mapping", node.start_mark)


_Tagged.add_multi_constructor("!", _intrinsic)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def template(repository: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((repository / "cfn-sm-endpoint-template.yml").read_text(), _Tagged)
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_its_own_unit_tests_pass(tmp_path: Path, prediction: str, pruned: bool) -> None:
    repository = bake(tmp_path, prediction=prediction)
    if pruned:
        (other,) = set(PREDICTIONS) - {prediction}
        shutil.rmtree(repository / "test" / "payloads" / other)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=repository,
        env=scrubbed(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = re.search(r"(\d+) passed", done.stdout)
    assert count is not None
    assert int(count[1]) > 300


def test_its_stage_files_are_valid(repository: Path) -> None:
    done = run(repository, "build.py", "--check", env={})
    assert done.returncode == 0, done.stdout + done.stderr


def unit_tests(repository: Path) -> list[str]:
    """Runs the repository's own unit tests; returns the lines of those that failed, and why."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"],
        cwd=repository,
        env=scrubbed(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert " passed" in done.stdout, done.stdout
    failures = done.stdout.partition("= FAILURES =")[2].partition("\n")[2].partition("= short test summary")[0]
    return [line for line in failures.splitlines() if not re.match(r"_+ test|=+$", line)]


def changed(path: Path, **sections: Any) -> None:
    told = json.loads(path.read_text())
    for name, section in sections.items():
        told[name] = {**told[name], **section} if isinstance(section, dict) and section else section
    path.write_text(json.dumps({name: section for name, section in told.items() if section is not None}))


@pytest.mark.slow
def test_what_a_team_may_change_fails_no_unit_test_which_the_pipeline_would_stop_at(tmp_path: Path) -> None:
    repository = bake(tmp_path)
    captured = {"DataCapturePercentage": 50, "MonitorSchedule": "daily", "Dashboard": True}
    changed(
        repository / "prod-config-template.json",
        Parameters={"ShadowOfVersion": 3, "UpdatePolicy": "ALL_AT_ONCE", "EndpointInstanceCount": 1, **captured},
        Tags={"cost-center": "a"},
    )
    changed(repository / "staging-config-template.json", Parameters={"EndpointInstanceType": "ml.c5.xlarge"})
    payload = {"file": "payloads/mine.csv", "content_type": "text/csv", "expected": [{"label": "a"}]}
    changed(
        repository / "test/expectations.json",
        answers={"classes": ["a", "b"]},
        payloads=[payload],
        bad_input=[],
        latency={"requests": 100},
        quality=None,
        stages=None,
    )
    (repository / "test/payloads/mine.csv").write_text("1,2\n")
    (repository / "test/test_mine.py").write_text("def test_mine(endpoint):\n    endpoint.predict([[1, 2]])\n")
    assert unit_tests(repository) == []


@pytest.mark.slow
def test_a_mistake_in_a_stage_file_fails_one_unit_test_with_one_line(tmp_path: Path) -> None:
    repository = bake(tmp_path)
    path = repository / "staging-config-template.json"
    path.write_text(path.read_text().replace("EndpointInstanceCount", "EndpointInstnceCount"))
    assert unit_tests(repository) == [
        "staging-config-template.json: EndpointInstnceCount: is not a parameter of the endpoint template; "
        "did you mean EndpointInstanceCount? (found 1)"
    ]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_recorded_payload_is_among_the_expectations(tmp_path: Path, prediction: str) -> None:
    folder = bake(tmp_path, prediction=prediction) / "test"
    told = json.loads((folder / "expectations.json").read_text())
    assert {folder / one["file"] for one in told["payloads"]} == set((folder / "payloads" / prediction).iterdir())
    assert {one["content_type"] for one in told["payloads"]} == {"text/csv", "application/json"}
    assert told["bad_input"]


@pytest.mark.slow
def test_its_types_are_sound(repository: Path, tmp_path: Path) -> None:
    words = ["--strict", "--explicit-package-bases", "--cache-dir", str(tmp_path), "build.py", "deploy"]
    words += [f"test/{name}.py" for name in ("test", "checks", "endpoint", "expectations")]
    words += [f"test/{name}.py" for name in ("labelled", "measures", "own", "page", "report")]
    words += [f"approval/{name}.py" for name in ("summary", "presenting")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        cwd=repository,
        env=scrubbed(MYPYPATH=".:test:approval"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def requirements(path: Path) -> dict[str, str]:
    """Name and version of every requirement; each must be exact and carry a hash."""
    found = {}
    for entry in re.split(r"\n(?=\S)", path.read_text()):
        if not entry.startswith("#"):
            match = re.match(r"([a-z0-9.-]+)==(\S+) \\\n(?:\s+--hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+$", entry)
            assert match is not None, entry
            found[match[1]] = match[2]
    return found


def test_requirements_are_exact_closed_and_consistent(repository: Path) -> None:
    runtime = requirements(repository / "requirements.txt")
    development = requirements(repository / "requirements-dev.txt")
    assert runtime.keys() == {
        "boto3",
        "botocore",
        "jmespath",
        "python-dateutil",
        "s3transfer",
        "six",
        "urllib3",
    }
    assert runtime.items() <= development.items()
    assert development.keys() - runtime.keys() == {
        "pytest",
        "ruff",
        "iniconfig",
        "packaging",
        "pluggy",
        "pygments",
    }


def test_the_gate_is_pinned_apart_from_what_is_tested(repository: Path) -> None:
    lines = [
        line for line in (repository / "requirements-security.txt").read_text().splitlines() if line[0] not in "# "
    ]
    names = {line.partition("==")[0] for line in lines if "==" in line}
    assert {"cfn-lint", "cfn-guard-rs"} <= names
    assert len(lines) == len([line for line in lines if re.match(r"[a-z-]+==[0-9.]+\b", line)])
    assert "boto3" not in names


@pytest.mark.parametrize(
    "name", ["buildspec.yml", "security/buildspec.yml", "test/buildspec.yml", "tests/buildspec.yml"]
)
def test_buildspecs(repository: Path, name: str) -> None:
    spec = yaml.safe_load((repository / name).read_text())
    assert spec["version"] == 0.2
    assert spec["phases"]["install"]["runtime-versions"] == {"python": "3.12"}
    assert spec["phases"]["install"]["on-failure"] == "ABORT"
    commands = [command for phase in spec["phases"].values() for command in phase["commands"]]
    assert all(command.startswith(("python ", "if [ ")) for command in commands)
    for word in (
        word for command in commands for word in re.split(r"[ ;]+", command) if word.endswith((".py", ".txt"))
    ):
        assert (repository / word).is_file(), word
    if name == "buildspec.yml":
        assert "reports" not in spec, "the Security stage reports"
        return
    (report,) = spec["reports"].values()
    assert report["file-format"] == "JUNITXML"
    assert any(f"={report['files'][0]}" in command or f" {report['files'][0]}" in command for command in commands)
    assert "on-failure" not in spec["phases"]["build"], "a failure must still end in a report"


def test_the_build_hands_over_the_files_that_the_environment_names(repository: Path) -> None:
    spec = yaml.safe_load((repository / "buildspec.yml").read_text())
    assert spec["artifacts"]["files"] == ["$EXPORT_TEMPLATE_NAME", "*-config-export.json"]


def test_a_failed_endpoint_test_still_ends_in_a_report(repository: Path) -> None:
    spec = yaml.safe_load((repository / "test" / "buildspec.yml").read_text())
    assert "on-failure" not in spec["phases"]["build"]
    assert spec["artifacts"]["files"] == ["$EXPORT_TEST_RESULTS", "test-results.xml", "test-report.html"]
    # A build that fails has post_build all the same: of what failed no summary is made.
    assert spec["phases"]["post_build"]["commands"][0].startswith('if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then ')


def test_the_readme_speaks_of_what_there_is(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", (repository / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z]+)\b(?= |`|\n)", text)) <= targets
    made = {"template-export.yml", "staging-config-export.json", "prod-config-export.json"}
    made |= {"test-results.json", "test-results.xml", "security-results.json", "security-results.xml"}
    made |= {"baseline/statistics.json", "baseline/constraints.json", "statistics.json", "constraint_violations.json"}
    made |= {"approval-summary.json"}
    for name in set(re.findall(r"`([\w./-]+\.(?:py|json|yml|txt|xml))`", text)) - made:
        assert list(repository.rglob(Path(name).name)), name
    declared = yaml.load((repository / "cfn-sm-endpoint-template.yml").read_text(), _Tagged)["Parameters"]
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text))
    assert named <= set(declared) | {"AccessDenied", "DriftAlarm", "DriftCheckBaselines", "RetrainOnDrift"}


def refers_to(value: Any) -> set[str]:
    """Every logical id that a part of a template refers to."""
    if isinstance(value, dict):
        found = set().union(*(refers_to(item) for item in value.values()), set())
        if isinstance(value.get("Ref"), str):
            found.add(value["Ref"])
        for short in ("GetAtt", "Sub"):
            text = value.get(short)
            text = text[0] if short == "Sub" and isinstance(text, list) else text
            if isinstance(text, str):
                names = [text] if short == "GetAtt" else re.findall(r"\$\{([^}]+)\}", text)
                found |= {name.split(".")[0] for name in names}
        return found
    return set().union(*(refers_to(item) for item in value), set()) if isinstance(value, list) else set()


def test_alarms_exist_before_the_endpoint_asks_for_them(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    assert {"ErrorAlarm", "LatencyAlarm"} <= refers_to(resources["Endpoint"])
    for name in ("ErrorAlarm", "LatencyAlarm"):
        alarm = resources[name]["Properties"]
        assert "Endpoint" not in refers_to(alarm), "a cycle"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert 1 < alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
        assert "AlarmName" not in alarm
    assert resources["ErrorAlarm"]["Properties"]["Metrics"][0]["MetricStat"]["Stat"] == "Average"
    assert resources["LatencyAlarm"]["Properties"]["ExtendedStatistic"] == "p95"
    wait = template["Parameters"]["UpdateWaitSeconds"]["MinValue"]
    assert wait >= 60 * resources["ErrorAlarm"]["Properties"]["EvaluationPeriods"]


def test_names_survive_a_replacement(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    assert "ModelName" not in resources["Model"]["Properties"]
    assert "EndpointConfigName" not in resources["EndpointConfig"]["Properties"]
    name = resources["Endpoint"]["Properties"]["EndpointName"]["Sub"]
    lengths = {n: p.get("MaxLength", len("staging")) for n, p in template["Parameters"].items()}
    longest = re.sub(r"\$\{(\w+)\}", lambda match: "x" * lengths[match[1]], name)
    assert len(longest) == 61


def test_everything_that_can_be_tagged_is(template: dict[str, Any]) -> None:
    keys = ["sagemaker:project-name", "sagemaker:project-id", "sagemaker:deployment-stage"]
    for name, resource in template["Resources"].items():
        if not resource["Type"].startswith(("AWS::ApplicationAutoScaling::", "AWS::CloudWatch::Dashboard")):
            assert [tag["Key"] for tag in resource["Properties"]["Tags"]] == keys, name


def test_every_parameter_is_used_described_and_grouped(template: dict[str, Any]) -> None:
    used = refers_to(template["Resources"]) | refers_to(template["Conditions"])
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])
    for name, parameter in template["Parameters"].items():
        assert name in used, name
        assert parameter["Description"], name
        assert set(parameter) & {"AllowedPattern", "AllowedValues", "MinValue"}, name


def test_production_starts_guarded_on_two_instances_and_staging_does_not(repository: Path) -> None:
    stages = {s: json.loads((repository / f"{s}-config-template.json").read_text()) for s in ("staging", "prod")}
    chosen = {
        stage: (config["Parameters"]["EndpointInstanceCount"], config["Parameters"]["UpdatePolicy"])
        for stage, config in stages.items()
    }
    assert chosen == {"staging": (1, "ALL_AT_ONCE"), "prod": (2, "CANARY")}
    assert all(config["Parameters"]["EnableNetworkIsolation"] is True for config in stages.values())


def test_what_watches_is_off_until_a_stage_file_turns_it_on(repository: Path, template: dict[str, Any]) -> None:
    off = {"DataCapturePercentage": 0, "MonitorSchedule": "off", "Dashboard": "false"}
    assert {name: template["Parameters"][name]["Default"] for name in off} == off
    shown = json.loads((repository / "prod-config-template.json").read_text())["Parameters"]
    assert {name: shown[name] for name in off} == {**off, "Dashboard": False}
    conditions = {"Monitors", "TellsOfDrift", "HasDashboard"}
    watching = {name for name, r in template["Resources"].items() if r.get("Condition") in conditions}
    assert watching == {"MonitorPipeline", "MonitorRule", "DriftAlarm", "DriftRule", "EndpointDashboard"}


def test_the_scan_takes_every_stage_file_that_is_there(tmp_path: Path) -> None:
    repository = bake(tmp_path)
    for stage in ("dev", "preprod"):
        shutil.copy(repository / "staging-config-template.json", repository / f"{stage}-config-template.json")
    (repository / "staging-config-template.json").unlink()
    done = subprocess.run(["make", "-n", "scan"], cwd=repository, capture_output=True, text=True, check=True)
    names = {f"{stage}-config-template.json" for stage in ("dev", "preprod", "prod")}
    assert set(re.findall(r"--config (\S+)", done.stdout)) == names
