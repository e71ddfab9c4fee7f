"""A whole check of three accounts, against the start of one bare boto3 client that asks who it is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import in_turns, verdict
from sagemaker_seed.answers import read_seed
from sagemaker_seed.console import Console
from sagemaker_seed.rehearsal.checking import ground
from sagemaker_seed.rehearsal.rendering import render

ROUNDS = 5
ENTRY = "from sagemaker_seed.cli import entry; entry()"
BARE = "import boto3; boto3.client('sts').get_caller_identity()"
PROFILE = "[profile {}]\naws_access_key_id = {}\naws_secret_access_key = embedded\n"


def main() -> int:
    """Prints both times and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        seed = read_seed(render(["aws_region=eu-west-1"], Path(name) / "out"))
        with ground(seed, Console(json=True)) as made:
            config = Path(name) / "config"
            config.write_text("".join(PROFILE.format(title, account) for title, account in made.accounts.items()))
            env = {**made.aws.environment(), "PATH": "/usr/bin:/bin", "HOME": name, "AWS_CONFIG_FILE": str(config)}
            env["PYTHONPATH"] = str(Path(__file__).parents[2] / "product")
            command = [sys.executable, "-c", ENTRY, "check", str(seed.folder), "--bucket", made.bucket, "--json"]
            command += ["--staging-profile", "staging", "--prod-profile", "prod"]

            def run(words: list[str]) -> str:
                return subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout

            result = json.loads(run(command))
            bare, whole = in_turns(lambda _: run([sys.executable, "-c", BARE]), lambda _: run(command), ROUNDS)
    print(f"  sagemaker-seed check {whole:.3f} s, a bare client {bare:.3f} s (medians of {ROUNDS})")
    held = verdict("seconds", whole, 5, at_most=True)
    return 0 if verdict("times a bare client", whole / bare, 6, at_most=True) and held and result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
