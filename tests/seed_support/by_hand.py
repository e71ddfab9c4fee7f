"""What a person needs who works in a repository without its pipelines: an account to train in, and make."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline_support import policy
from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws
from uv import find_uv_bin

from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION, scrubbed

BUCKET = f"sagemaker-project-{PROJECT_ID}-{ACCOUNT}"
ROLE = "sagemaker-seed/sagemaker-seed-training"
# Stands for Python: pip installs what `make test` needs in other tests, here uv does, as there are many packages.
PIP = """#!/bin/sh
if [ "$1 $2 $3" = "-m pip --python" ]; then
    environment=$4
    shift 6
    exec {uv} pip install --python "$environment" "$@"
fi
exec {python} "$@"
"""


@contextmanager
def account() -> Iterator[EmbeddedAws]:
    """An embedded AWS with what a launch has made for training: the project's bucket and the role of its jobs."""
    with EmbeddedAws(region=REGION) as running:
        where: Any = {"LocationConstraint": REGION}
        running.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        path, _, name = f"/{ROLE}".rpartition("/")
        trust = policy(
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        )
        running.client("iam").create_role(RoleName=name, Path=f"{path}/", AssumeRolePolicyDocument=trust)
        yield running


def environment(aws: EmbeddedAws, **more: str) -> dict[str, str]:
    """What a person exports who trains by hand, and nothing of this test run."""
    own = {
        "SAGEMAKER_PROJECT_NAME": PROJECT,
        "SAGEMAKER_PROJECT_ID": PROJECT_ID,
        "ARTIFACT_BUCKET": BUCKET,
        "SAGEMAKER_PIPELINE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
    }
    return {**scrubbed(), **aws.environment(), **own, **more}


def approvals(aws: EmbeddedAws) -> list[str]:
    """The approval of each model package of the project, the newest first."""
    packages = aws.client("sagemaker").list_model_packages(
        ModelPackageGroupName=GROUP, SortBy="CreationTime", SortOrder="Descending"
    )
    return [package["ModelApprovalStatus"] for package in packages["ModelPackageSummaryList"]]


def make(repository: Path, target: str, environment: dict[str, str]) -> str:
    """Runs a target of the repository's Makefile, which must succeed; what it printed."""
    python = repository.parent / "python"
    python.write_text(PIP.format(uv=find_uv_bin(), python=sys.executable))
    python.chmod(0o755)
    done = subprocess.run(
        ["make", target, f"PYTHON={python}"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
