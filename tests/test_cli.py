"""The command line from outside: help, exit codes, `--json`, and what bad input is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import cli
from support import Account, clean_environment, slow_after
from test_publish import make_seed

ROAD = [
    *("render", "bundle", "start", "accounts", "publish", "prove", "publish-again"),
    *("launch", "repository", "train", "approve", "staging", "production"),
]


def command(
    *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `sagemaker-seed` as a person does."""
    program = Path(sys.executable).with_name("sagemaker-seed")
    return subprocess.run(
        [program, *words],
        cwd=cwd,
        env={**clean_environment(), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("bundle",), ("publish",), ("rehearse",)])
def test_help_tells_options_and_exit_codes(words: tuple[str, ...]) -> None:
    ran = command(*words, "--help")
    assert ran.returncode == 0
    assert "exit codes: 0 done" in ran.stdout
    assert "--json" in ran.stdout or not words


def test_help_imports_nothing_heavy() -> None:
    heavy = ("boto3", "botocore", "moto", "rich", "cookiecutter", "yaml", "sagemaker")
    script = (
        "import sys; from sagemaker_seed import cli\n"
        "try: cli.main(['publish', '--help'])\n"
        f"except SystemExit: print([m for m in {heavy!r} if m in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", ["", "fly", "publish --to mars", "bundle --colour", "rehearse a b"])
def test_wrong_use_ends_with_2(words: str) -> None:
    ran = command(*words.split())
    assert ran.returncode == 2
    assert "usage: sagemaker-seed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_bundle_writes_into_dist_and_says_where(tmp_path: Path) -> None:
    make_seed(tmp_path / "seed", "print(1)\n")
    ran = command("bundle", "--json", cwd=tmp_path / "seed")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["ok"] is True
    assert told["files"] == ["build.py", "seed.json"]
    assert (tmp_path / "seed" / told["path"]).name == f"iris-classifier-{told['digest'][:12]}.zip"
    assert (tmp_path / "seed" / told["path"]).stat().st_size == told["size"]
    again = command("bundle", "--output", str(tmp_path / "here.zip"), cwd=tmp_path / "seed")
    assert again.stdout.startswith(f"{tmp_path}/here.zip: 2 files, ")
    assert (tmp_path / "here.zip").read_bytes() == (tmp_path / "seed" / told["path"]).read_bytes()


@pytest.mark.parametrize("words", ["bundle", "publish --to aws", "publish --to embedded", "rehearse"])
def test_a_folder_that_is_no_seed(tmp_path: Path, words: str) -> None:
    ran = command(*words.split(), str(tmp_path / "none"))
    assert ran.returncode == 2
    assert ran.stderr.strip().endswith("(it has no seed.json); give the folder that cookiecutter rendered")
    assert len(ran.stderr.splitlines()) == 1


def test_problems_come_as_json_too(tmp_path: Path) -> None:
    ran = command("bundle", str(tmp_path), "--json")
    assert ran.returncode == 2
    told = json.loads(ran.stdout)
    assert told["ok"] is False
    assert told["problems"][0].startswith(str(tmp_path))


def _aws(account: Account, **more: str) -> dict[str, str]:
    return {**account.aws.environment(account.id), **more}


def test_publish_to_what_the_environment_names(account: Account, tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed", "", seed_bucket=account.bucket, publish_to="aws")
    plan = command("publish", str(seed.folder), "--plan", "--json", env=_aws(account))
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["applied"] is False
    ran = command("publish", str(seed.folder), env=_aws(account))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("  + ") == 5
    again = command("publish", str(seed.folder), "--json", env=_aws(account))
    told: dict[str, Any] = json.loads(again.stdout)
    assert (told["applied"], told["steps"]) == (True, [])
    assert "unchanged: 0.1.0-" in again.stderr


@pytest.mark.parametrize(
    ("env", "code", "said"),
    slow_after(
        1,
        [
            ({"AWS_ACCESS_KEY_ID": "EXPIRED"}, 1, "the credentials have expired; sign in again"),
            ({"AWS_ACCESS_KEY_ID": ""}, 1, "no AWS credentials were found; sign in again"),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 1, "http://127.0.0.1:9/ cannot be reached: check the network"),
        ],
    ),
)
def test_publishing_without_credentials_or_network(
    account: Account, tmp_path: Path, env: dict[str, str], code: int, said: str
) -> None:
    seed = make_seed(tmp_path / "seed", "", seed_bucket=account.bucket, publish_to="aws")
    ran = command("publish", str(seed.folder), env=_aws(account, **env))
    assert (ran.returncode, "Traceback" in ran.stderr) == (code, False)
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_an_unknown_profile(tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed", "", seed_bucket="a-bucket", publish_to="aws")
    ran = command("publish", str(seed.folder), "--profile", "nobody", env={"AWS_CONFIG_FILE": os.devnull})
    assert ran.returncode == 2
    assert "--profile: The config profile (nobody) could not be found" in ran.stderr


def test_nowhere_is_said(tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed", "", publish_to="nowhere")
    ran = command("publish", str(seed.folder))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "the answer publish_to is nowhere; give --to aws or --to embedded" in ran.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    slow_after(
        1,
        [
            (("--answer", "prediction=clustering"), "prediction: must be one of classification, regression"),
            (("--answer", "colour=red"), "colour: is no question of this template"),
            (("--answer", "colour"), "--answer 'colour': must be KEY=VALUE"),
            (("--answer", "publish_to=aws"), "seed_bucket: must be given when publish_to is aws"),
        ],
    ),
)
def test_rehearsing_with_bad_answers(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ran = command("rehearse", "--output", str(tmp_path / "out"), *words)
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.rglob("seed.json"))
    assert not list(tmp_path.glob("out/.*"))


def test_rehearsing_into_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = command("rehearse", "--output", str(tmp_path / "file" / "out"))
    assert ran.returncode == 1
    assert "cannot be written: Not a directory; choose --output" in ran.stderr


@pytest.mark.slow
def test_a_rehearsal_renders_publishes_proves_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    until = ("--until", "publish-again")
    words = ("rehearse", "--output", "out", "--answer", "prediction=regression", "--json", *until)
    ran = command(*words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["seed"] == "out/iris-classifier"
    assert (tmp_path / told["bundle"]).exists()
    assert len(told["proof"]) == 4
    assert {"s3:PutObject", "servicecatalog:CreateProduct"} <= set(told["calls"])
    assert not {call for call in told["calls_again"] if call.split(":")[1].startswith(("Put", "Create"))}

    # A rendering that nobody touched gives way to the next; one that somebody edited does not.
    assert command(*words, cwd=tmp_path).returncode == 0
    edited = tmp_path / "out/iris-classifier/build.py"
    edited.write_text("# mine\n")
    refused = command(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "out/iris-classifier: was edited since it was rendered" in refused.stderr
    assert edited.read_text() == "# mine\n"
    assert command("rehearse", "out/iris-classifier", *until, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_rehearsal_walks_the_whole_road_to_two_endpoints_that_serve_the_same_model(tmp_path: Path) -> None:
    ran = command("rehearse", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["ok"] is True
    assert [step["name"] for step in told["steps"]] == ROAD
    endpoints = told["endpoints"]
    assert set(endpoints) == {"staging", "production"}
    assert {endpoint["status"] for endpoint in endpoints.values()} == {"InService"}
    assert len({endpoint["package"] for endpoint in endpoints.values()}) == 1
    assert (tmp_path / "build/rehearsal.html").stat().st_size > 0


@pytest.mark.slow
def test_publishing_to_the_embedded_aws_from_the_command_line(tmp_path: Path) -> None:
    seed = make_seed(tmp_path / "seed", "")
    ran = command("publish", str(seed.folder))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("proved: ") == 4


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_seed", interrupted)
    assert cli.main(["bundle"]) == 1
    assert capsys.readouterr().err == "ERROR: interrupted; run the same command again, it goes on where it stopped\n"
