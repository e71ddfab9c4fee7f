"""The README: every command in it is run or, where it needs AWS, checked; what it shows is what there is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import check_page
import pytest
from sagemaker_seed import answers as rules
from sagemaker_seed.policies import listed
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import ROOT, BakedProject, as_git_repository, clean_environment, cookiecutter
from test_cli import command
from test_generation import FILES, FILES_OF_AN_ANSWER

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLES = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:] for block in CONSOLES for line in block.splitlines() if line.startswith("$ ")]


def _commands(start: str) -> list[str]:
    found = [line for line in COMMANDS if line.startswith(start)]
    assert found, start
    return found


def test_the_first_screen_has_the_two_commands() -> None:
    assert COMMANDS[:2] == ["make rehearse", "make test"]
    assert README.index("$ make rehearse") < 1500


def test_every_command_is_of_a_kind_that_is_tested_here() -> None:
    kinds = ("make ", "pip install ", "cookiecutter ", "sagemaker-seed ")
    assert [line for line in COMMANDS if not line.startswith(kinds)] == []


def test_make_targets_exist_and_ci_runs_the_readmes_test_command() -> None:
    for line in _commands("make "):
        ran = subprocess.run(["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True, check=False)
        assert ran.returncode == 0, line
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("install", "rehearse", "test", "test-fast", "benchmark"):
        assert f"make {target} " in listed


def _shape(text: str) -> list[str]:
    """The lines without what differs from run to run: digests, ids, ports, seconds and sizes."""
    text = re.sub(r"\b(port|prod|pa)-[a-z0-9]{13}\b", r"\1-ID", text)
    text = re.sub(r"\bp-[a-z0-9]{12}\b", "p-ID", re.sub(r"\bou-[a-z0-9]{4}-[a-z0-9]{8}\b", "ou-ID", text))
    text = re.sub(r"\bpp-[a-z0-9]{13}\b", "pp-ID", re.sub(r"\b[0-9]{12}\b", "ACCOUNT", text))
    text = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", text)
    return re.sub(r"[0-9][0-9.,:]*", "N", text).splitlines()


def _in_order(lines: list[str]) -> list[str]:
    """The lines, those of the two actions that run side by side in the order of their names."""
    beside = [number for number, line in enumerate(lines) if line.startswith("  deploy  Security/")]
    for number, line in zip(beside, sorted(lines[number] for number in beside), strict=True):
        lines[number] = line
    return lines


@pytest.mark.slow
def test_the_output_in_the_readme_is_real(tmp_path: Path) -> None:
    shown = CONSOLES[0].split("$ make test")[0].splitlines()[2:]
    ran = command("rehearse", "--output", "build", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines, elided = iter(_in_order(_shape(ran.stdout))), False
    for line in _in_order(_shape("\n".join(shown))):
        if line == "  ...":
            elided = True
            continue
        found = next(lines, None)
        while elided and found != line and found is not None:
            found = next(lines, None)
        assert found == line
        elided = False
    assert next(lines, None) is None


def test_the_questions_are_all_there_in_order_with_their_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", README, re.MULTILINE)
    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    assert [name for name, _ in rows] == list(rules.NAMES)
    for name, shown in rows:
        default = asked[name][0] if isinstance(asked[name], list) else asked[name]
        assert shown == ("made from the name" if "<<" in default else default or "empty")


def test_the_page_of_the_check_lists_every_fault_that_the_tests_seed() -> None:
    assert check_page.PAGE.read_text() == check_page.page(), "run: python tests/check_page.py"
    assert check_page.table().count("\n") > 100
    assert f"(docs/{check_page.PAGE.name})" in README


def test_the_tree_is_what_is_rendered() -> None:
    tree = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert tree
    shown = set(re.findall(r"^[├└]── (\S+)", tree[1], re.MULTILINE))
    files = FILES.union(*FILES_OF_AN_ANSWER.values())
    top = {name.split("/")[0] + ("/" if "/" in name else "") for name in files}
    assert shown == top | {"dist/"}


@pytest.mark.slow
def test_cookiecutter_commands_render(tmp_path: Path) -> None:
    for number, line in enumerate(_commands("cookiecutter ")):
        filled = (
            line.replace("gh:ORG/REPO", str(ROOT)).replace("SEED_BUCKET", "a-bucket").replace("REGION", "eu-west-1")
        )
        words = shlex.split(filled)[1:]
        out = tmp_path / str(number)
        ran = cookiecutter(*words, *(() if "--no-input" in words else ("--no-input",)), "-o", str(out))
        assert ran.returncode == 0, ran.stderr
        assert (out / "iris-classifier/build.py").exists()


@pytest.mark.slow
def test_the_accounts_of_the_readme_are_prepared_and_its_publishing_commands_publish(
    aws: EmbeddedAws, tmp_path: Path, bake: Callable[..., BakedProject]
) -> None:
    project = bake(aws_region="eu-west-1")
    folder = project.path.parent
    shown = re.search(r"```yaml\n(regions:.*?)```", README, re.DOTALL)
    assert shown
    ids = {"111111111111": "721111111111", "222222222222": "722222222222", "333333333333": "723333333333"}
    (folder / "accounts.yaml").write_text(re.sub(r"\d{12}", lambda found: ids[found[0]], shown[1]))
    profiles = dict(zip(re.findall(r"profile: (\w+)", shown[1]), ids.values(), strict=True))
    (tmp_path / "credentials").write_text(
        "".join(f"[{name}]\naws_access_key_id={key}\naws_secret_access_key=x\n" for name, key in profiles.items())
    )
    env = {**aws.environment("721111111111"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    _makes_the_studio_role(aws, "721111111111", shown[1])
    bucket, said = "", []
    for line in _commands("sagemaker-seed "):
        zips = [path.name for path in (project.path / "dist").glob("*.zip")]
        filled = line.replace("SEED_BUCKET", bucket).replace("BUNDLE", zips[0] if zips else "")
        ran = command(*shlex.split(filled)[1:], cwd=folder, env=env)
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout)
        found = re.search(r"seed_bucket in eu-west-1: (\S+)", ran.stdout)
        bucket = found[1] if found else bucket
    assert "launch parameters: AccountStagingId=722222222222, AccountProdId=723333333333" in said[1]
    assert bucket == "sagemaker-seed-721111111111-eu-west-1"
    assert len(list((project.path / "dist").glob("*.zip"))) == 1
    assert [text.splitlines()[-1] for text in said[-2:]] == [
        "  nothing found in 721111111111 eu-west-1",
        "  nothing found in the seed eu-west-1",
    ]
    _takes_two_permissions_away(aws)
    asked = _commands("sagemaker-seed check")[0].replace("SEED_BUCKET", bucket)
    ran = command(*shlex.split(asked)[1:], cwd=folder, env=env)
    assert ran.returncode == 1, ran.stderr
    (findings,) = re.findall(r"```text\n( +1 launch .*?)```", README, re.DOTALL)
    assert _shape(ran.stdout) == _shape(findings)
    # The table of what goes where is that of the command.
    made = {
        (s["StackName"], n) for n in ids.values() for s in aws.client("cloudformation", n).describe_stacks()["Stacks"]
    }
    rows = re.findall(r"^\| ([^|]+?) \| `(sagemaker-seed-\w+)` \|", README, re.MULTILINE)
    places = {
        "data science": ["721111111111"],
        "staging and production": ["722222222222", "723333333333"],
        "an account of a stage": [],  # only with `watching: yes`, which this file does not say
    }
    assert made == {(stack, number) for where, stack in rows for number in places[where.split(",")[0]]}


def _makes_the_studio_role(aws: EmbeddedAws, account: str, accounts_file: str) -> None:
    (name,) = re.findall(r":role/service-role/(\w+)", accounts_file)
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    aws.client("iam", account).create_role(RoleName=name, Path="/service-role/", AssumeRolePolicyDocument=document)


def _takes_two_permissions_away(aws: EmbeddedAws) -> None:
    for account, role, action in (
        ("721111111111", "sagemaker-seed-launch-eu-west-1", "kms:CreateKey"),
        ("722222222222", "sagemaker-seed-model", "s3:GetObject"),
    ):
        iam = aws.client("iam", account)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for statement in document["Statement"]:
                if action in statement["Action"]:
                    less = [other for other in listed(statement["Action"]) if other != action]
                    statement["Action"] = less or "sts:GetCallerIdentity"
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


@pytest.mark.slow
def test_the_package_installs_and_works_without_this_checkout(tmp_path: Path) -> None:
    (line,) = _commands('pip install "')
    address = f"git+file://{tmp_path}/clone"
    requirement = shlex.split(line)[2].replace("git+https://github.com/ORG/REPO", address)
    assert address in requirement
    as_git_repository(tmp_path / "clone")
    uv = str(Path(sys.executable).with_name("uv"))
    env = {**clean_environment(), "HOME": str(tmp_path)}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], env=env, check=True)
    python = tmp_path / "venv/bin/python"
    with_moto = requirement.replace("sagemaker-seed @", "sagemaker-seed[rehearsal] @")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), with_moto], env=env, check=True)
    shutil.rmtree(tmp_path / "clone")
    ran = subprocess.run(
        [tmp_path / "venv/bin/sagemaker-seed", "rehearse"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "done in" in ran.stdout
