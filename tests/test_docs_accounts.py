"""docs/accounts.md: its commands are run, by the AWS CLI against an embedded AWS, and leave what the command leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sagemaker_seed.cli import main
from sagemaker_seed.publish.release import read_template
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import ROOT, clean_environment

PAGE = (ROOT / "docs/accounts.md").read_text(encoding="utf-8")
COMMANDS = [
    line[2:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("$ ")
]
IDS = {"science": "731111111111", "staging": "732222222222", "production": "733333333333"}
STUDIO = f"arn:aws:iam::{IDS['science']}:role/service-role/STUDIO_EXECUTION_ROLE"


@pytest.fixture(scope="module")
def environment(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One in which the page's profiles are accounts of the embedded AWS."""
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "credentials").write_text(
        "".join(f"[{name}]\naws_access_key_id={key}\naws_secret_access_key=x\n" for name, key in IDS.items())
    )
    own = {**clean_environment(), **aws.environment(IDS["science"]), "AWS_PAGER": ""}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}  # they would win over a profile
    yield {k: v for k, v in own.items() if k not in keys} | {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials")}


# The CLI itself, which asks again at once instead of after thirty seconds.
AWS = """
import sys, time
from awscli.clidriver import main
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.1))
sys.exit(main())
"""


def run(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of the page."""
    return run_cli(line.replace("111111111111", IDS["science"]), environment)


def run_cli(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command with the AWS CLI, which uv brings."""
    uv = str(Path(sys.executable).with_name("uv"))
    words = shlex.split(line)
    assert words[0] == "aws"
    return subprocess.run(
        [uv, "tool", "run", "--quiet", "--from", "awscli", "python", "-c", AWS, *words[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_commands_of_the_page_prepare_the_accounts(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {}
    for line in COMMANDS:
        ran = run(line, environment)
        assert ran.returncode == 0, (line, ran.stderr)
        said[line] = ran.stdout.strip()
    assert f"sagemaker-seed-{IDS['science']}-eu-west-1" in said.values()
    (status,) = (text for line, text in said.items() if "portfolio-status" in line)
    assert json.loads(status) == {"Status": "Enabled"}
    assert re.search(r"subnet-[0-9a-f]+,subnet-[0-9a-f]+", said[COMMANDS[-1]])
    # The command finds nothing more to do but what the console does with its switch.
    (tmp_path / "accounts.yaml").write_text(
        json.dumps(
            {
                "regions": ["eu-west-1"],
                "principals": [STUDIO],
                "data-science": {"account": IDS["science"], "profile": "science"},
                "staging": {"account": IDS["staging"], "profile": "staging"},
                "production": {"account": IDS["production"], "profile": "production"},
            }
        )
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in [name for name in environment if name.startswith("AWS_")]:
        monkeypatch.setenv(name, environment[name])
    assert main(["accounts", "--plan", str(tmp_path / "accounts.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [stack["action"] for stack in found["stacks"]] == ["unchanged"] * 4
    assert [write["write"] for write in found["projects"]] == [f"show AWS's project templates to {STUDIO}"]


def test_the_page_s_parameters_are_those_of_the_templates() -> None:
    folder = ROOT / "product/cloudformation"
    declared = {f.name: set(read_template(f.read_text(), f.name).get("Parameters", {})) for f in folder.glob("*.yaml")}
    rows = re.findall(r"^\| (`.+?`.*?) \| (.+?) \|", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for names, files in rows:
        for name in re.findall(r"`(\w+)`", names):
            holders = re.findall(r"`([\w-]+\.yaml)`", files)
            if name in {"DefaultBucketReaderId1", "ReadsDefaultBucket"}:
                holders = [holders[name == "ReadsDefaultBucket"]]
            if files.startswith("each but"):
                holders = [file for file in declared if file not in {*holders, "project.yaml"}]
            assert all(name in declared[file] for file in holders if name != "2"), (name, holders)


def test_the_page_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 80
