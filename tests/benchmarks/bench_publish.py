"""Publishing a new version, against the documented sequence by hand with the AWS CLI on the same embedded AWS.

By hand: copy the zip, tag it, copy the template, tag it, create the version. Both do the same five writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import in_turns, verdict
from sagemaker_seed import bundle as bundles
from sagemaker_seed.answers import Seed, read_seed
from sagemaker_seed.publish import release as releases
from sagemaker_seed.rehearsal import catalog
from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws
from sagemaker_seed.rehearsal.rendering import render
from sagemaker_seed.resources import product_template

AWSCLI = "awscli==1.46.2"
BIN = Path(sys.executable).parent
BUCKET = "sagemaker-seed-benchmark"
ROUNDS = 7


def _aws_cli(folder: Path) -> Path:
    """The AWS CLI, in an environment of its own because it pins another botocore."""
    uv = str(BIN / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "cli")], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(folder / "cli"), AWSCLI], check=True)
    return folder / "cli/bin/aws"


def main() -> int:
    """Prints both times and their ratio, and how many writes an unchanged publication made."""
    with tempfile.TemporaryDirectory() as name, EmbeddedAws(region="eu-west-1") as aws:
        folder = Path(name)
        cli, env = _aws_cli(folder), {**aws.environment(), "PATH": "/usr/bin:/bin", "HOME": name}
        catalog.set_up(aws, BUCKET, ACCOUNT)
        seed = read_seed(render(["aws_region=eu-west-1"], folder / "out"))

        def ours(turn: int) -> str:
            _change(seed, f"ours {turn}")
            words = [
                str(BIN / "sagemaker-seed"),
                "publish",
                str(seed.folder),
                "--to",
                "aws",
                "--bucket",
                BUCKET,
                "--json",
            ]
            return subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout

        product_id = json.loads(ours(-1))["product_id"]

        def by_hand(turn: int) -> None:
            _change(seed, f"by hand {turn}")
            _publish_by_hand(seed, folder, [str(cli)], env, product_id)

        theirs, mine = in_turns(by_hand, ours, ROUNDS)
        before = len(aws.calls())
        ours(ROUNDS)
        writes = sum(call.writes for call in aws.calls()[before:])
    print(f"  sagemaker-seed publish {mine:.3f} s, by hand {theirs:.3f} s (medians of {ROUNDS})")
    print(f"  writes of an unchanged publication: {writes}")
    return 0 if verdict("times faster than by hand", theirs / mine, 5, at_most=False) and not writes else 1


def _change(seed: Seed, text: str) -> None:
    (seed.folder / "CHANGED").write_text(text)


def _publish_by_hand(seed: Seed, folder: Path, aws: list[str], env: dict[str, str], product_id: str) -> None:
    packed = bundles.pack(seed.folder)
    release = releases.make(seed, packed, product_template().read_text(), BUCKET)
    tagging = json.dumps({"TagSet": [releases.OBJECT_TAG]})

    def run(*words: str) -> None:
        subprocess.run([*aws, *words], env=env, check=True, capture_output=True)

    for artifact in (release.code, release.template):
        file = folder / "upload"
        file.write_bytes(artifact.content)
        run("s3", "cp", str(file), f"s3://{BUCKET}/{artifact.key}")
        run("s3api", "put-object-tagging", "--bucket", BUCKET, "--key", artifact.key, "--tagging", tagging)
    info = {"LoadTemplateFromURL": f"https://{BUCKET}.s3.eu-west-1.amazonaws.com/{release.template.key}"}
    parameters = json.dumps({"Name": release.version, "Info": info, "Type": "CLOUD_FORMATION_TEMPLATE"})
    run("servicecatalog", "create-provisioning-artifact", "--product-id", product_id, "--parameters", parameters)


if __name__ == "__main__":
    sys.exit(main())
