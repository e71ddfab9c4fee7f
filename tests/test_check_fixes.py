"""`sagemaker-seed check`: its fixes are run by the AWS CLI as they are written, and leave nothing of the finding."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sagemaker_seed.answers import Seed, read_seed
from sagemaker_seed.console import Console
from sagemaker_seed.rehearsal.checking import Ground, ground
from sagemaker_seed.rehearsal.rendering import render
from support import REGION, clean_environment
from test_check import Break, Scene, hidden, retagged, tagged, unseen, unversioned
from test_check_serving import FILE, SWITCHES
from test_docs_accounts import run_cli

pytestmark = pytest.mark.slow
COMMAND = re.compile(r"(?:with the credentials of (\d+): )?(aws [^;]+)")
# Of a placeholder in a command: what stands there when a person has filled it in.
STUDIO = "arn:aws:iam::{home}:role/service-role/studio-execution-role"


def nothing(scene: Scene) -> None:
    """The accounts lack it as they are."""


def pathless(scene: Scene) -> None:
    """A principal that is no role, which the fix takes away again."""
    arn = f"arn:aws:iam::{scene.made.accounts['home']}:role/studio-execution-role"  # it is in service-role/
    client = scene.client("servicecatalog")
    client.associate_principal_with_portfolio(PortfolioId=scene.portfolio, PrincipalARN=arn, PrincipalType="IAM")


# what is wrong: (seed, how it is made, what is found)
CAPTURED, ANSWERS = "captured data", "requests and answers"
FIXES: dict[str, tuple[str, Break, str]] = {
    "no role of a monitor": ("monitored", nothing, "the prod monitor's role does not exist"),
    "no bucket for captured data": (
        "monitored",
        nothing,
        f"the bucket of the prod stage's {CAPTURED} does not exist",
    ),
    "no role of a schedule": ("batch", nothing, "the role of the staging schedule does not exist"),
    "no bucket for answers": ("batch", nothing, f"the bucket of the prod stage's {ANSWERS} does not exist"),
    "no versioning": ("real-time", unversioned, "the seed bucket has no versioning"),
    "a missing tag": ("real-time", tagged(), "the seed code lacks its tag"),
    "a product that Studio hides": (
        "real-time",
        retagged("sagemaker:studio-visibility", None),
        "Studio does not show the product",
    ),
    "no version to launch": ("real-time", hidden, "no version can be launched"),
    "a portfolio that nobody sees": ("real-time", unseen, "nobody sees the portfolio"),
    "a principal without its path": ("real-time", pathless, "a principal of the portfolio is no role"),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seed]:
    folder = tmp_path_factory.mktemp("fixes")
    found = {
        kind: render([f"aws_region={REGION}", f"inference={kind}"], folder / kind) for kind in ("real-time", "batch")
    }
    found["monitored"] = render([f"aws_region={REGION}"], folder / "monitored")
    stage = json.loads((found["monitored"] / FILE).read_text())
    stage["Parameters"] |= SWITCHES
    (found["monitored"] / FILE).write_text(json.dumps(stage))
    return {name: read_seed(path) for name, path in found.items()}


@pytest.fixture(scope="module")
def made(seeds: dict[str, Seed]) -> Iterator[Ground]:
    with ground(seeds["real-time"], Console(json=True)) as made:
        yield made


@pytest.mark.parametrize("name", FIXES)
def test_the_command_of_a_fix_mends_it(name: str, made: Ground, seeds: dict[str, Seed], tmp_path: Path) -> None:
    seed, act, what = FIXES[name]
    with ExitStack() as undo:
        scene = Scene(made, seeds[seed], tmp_path, undo)
        act(scene)
        (finding,) = [finding for finding in scene.check() if finding["what"] == what]
        commands = COMMAND.findall(finding["fix"])
        assert commands, finding
        for account, command in commands:
            whole = re.sub(r"'<ARN of the Studio .*?>'", STUDIO.format(**made.accounts), command)
            # The region is in the command: that of the shell is another one.
            shell = {**clean_environment(), **made.aws.environment(account or made.accounts["home"]), "AWS_PAGER": ""}
            ran = run_cli(whole, {**shell, "AWS_DEFAULT_REGION": "us-west-2", "AWS_REGION": "us-west-2"})
            assert ran.returncode == 0, (whole, ran.stderr)
        assert what not in {finding["what"] for finding in scene.check()}
