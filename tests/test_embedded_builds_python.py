"""A build's Python: an environment of its own, in which pip is uv and everything that pip installs really works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_support.building import Builder, spec
from sagemaker_seed.rehearsal.builds import python
from sagemaker_seed.rehearsal.builds.failure import BuildTimedOut
from sagemaker_seed.rehearsal.builds.shell import Shell
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.jobs.failure import StepStopped
from sagemaker_seed.rehearsal.jobs.workshop import Workshop
from support import ROOT

pytestmark = pytest.mark.slow
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
PINNED = """iniconfig==2.3.1 \\
    --hash=sha256:{0} \\
    --hash=sha256:9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7
"""
RIGHT = "67f4b9c50da0dedf52af349e7749a80a9057a5031199791b906c3bb3ae878960"

_DEV = (ROOT / "<<cookiecutter.project_slug>>" / "requirements-dev.txt").read_text()
PACKAGING = _DEV[_DEV.index("packaging==") : _DEV.index("pluggy==")]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with EmbeddedAws(region="eu-west-1") as running:
        yield Builder(running)


def with_file(builder: Builder, name: str, text: str, *commands: str) -> str:
    """A project whose source has the one file."""
    place = builder.put(f"{name}.zip", {name: text})
    return builder.project(source={"type": "S3", "location": place, "buildspec": spec(*commands)})


def test_pip_installs_with_hashes_and_tells_what_there_is(builder: Builder) -> None:
    name = with_file(
        builder,
        "requirements.txt",
        PINNED.format(RIGHT),
        "python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt",
        "pip list; pip3 freeze; pip show iniconfig | head -2; pip check 2>&1 | tail -1",
        "pip --version; python -c 'import iniconfig; print(iniconfig.__file__)'",
        "pip uninstall -q -y iniconfig && pip freeze | wc -l",
    )
    done = builder.start(name)
    assert done.status == "SUCCEEDED", done.everything
    lines = done.log.splitlines()
    assert "iniconfig 2.3.1" in lines
    assert "iniconfig==2.3.1" in lines
    assert lines[-5:-3] == ["Version: 2.3.1", "All installed packages are compatible"]
    assert lines[-3].startswith("pip ")
    assert "/python/lib/" in lines[-2]
    assert lines[-1] == "0"


def test_what_hashes_pin_is_kept_for_the_next_build_that_asks_for_it_unless_somebody_changed_it(
    builder: Builder, tmp_path: Path
) -> None:
    look = 'find "$(dirname "$(command -v python)")/../lib" -name one_more.py -o -type d -name iniconfig | wc -l'
    commands = (f": {tmp_path}", look, "pip install --require-hashes -r r.txt 2>&1 | tail -1", look, "sh then.sh")

    def build(then: str, requirements: str = PINNED.format(RIGHT)) -> list[str]:
        place = builder.put("kept.zip", {"r.txt": requirements, "then.sh": then})
        source = {"type": "S3", "location": place, "buildspec": spec(*commands)}
        done = builder.start(builder.project(source=source))
        assert done.status == "SUCCEEDED", done.everything
        return done.log.splitlines()

    kept, site = (
        "Installed 1 package, as a build before",
        "$(python -c 'import iniconfig; print(iniconfig.__path__[0])')",
    )
    first = build("python -c 'import iniconfig'")
    assert (first[0], first[2]) == ("0", "1")
    assert first[1] != kept
    assert build("env -u PYTHONPYCACHEPREFIX python -c 'import iniconfig'") == ["0", kept, "1"]  # compiles it there
    assert build(f"touch {site}/one_more.py") == ["0", kept, "1"]
    changed = build(f"cp {site}/__init__.py {site}/new && mv {site}/new {site}/__init__.py")
    assert (changed[0], changed[2]) == ("0", "1")
    assert changed[1] != kept, "there was a file more"
    assert build("true")[1] != kept, "a file was another one"
    assert build("pip uninstall --quiet --yes iniconfig") == ["0", kept, "1"]
    assert build("true")[1] != kept, "a package was gone"
    other = build("python -c 'import packaging'", PACKAGING)
    assert (other[0], other[2]) == ("0", "0")
    assert build("true", PACKAGING) == ["0", kept, "0"]


def test_pip_refuses_what_is_not_what_the_hash_says_and_what_there_is_not(builder: Builder) -> None:
    wrong = PINNED.format("0" * 64).replace("9121e2c1", "00000000")
    done = builder.start(with_file(builder, "wrong.txt", wrong, "pip install --require-hashes -r wrong.txt"))
    assert (done.status, "hash" in done.log.lower()) == ("FAILED", True), done.everything
    unpinned = with_file(builder, "loose.txt", "iniconfig\n", "pip install --require-hashes -r loose.txt")
    assert builder.start(unpinned).status == "FAILED"
    assert builder.run(spec("pip install")).log.startswith("ERROR: You must give at least one requirement")


def test_the_command_line_that_published_buildspecs_begin_with(builder: Builder) -> None:
    done = builder.run(
        spec(
            "aws --version",
            "pip install --upgrade pip",
            "pip install --upgrade --force-reinstall botocore boto3 awscli",
            'case "$(command -v aws)" in */python/bin/aws) echo installed;; esac',
            "aws sts get-caller-identity --query Arn --output text",
            "aws configure set default.output json && cat ~/.aws/config",
            "pip --version",
        )
    )
    assert done.status == "SUCCEEDED", done.everything
    lines = done.log.splitlines()
    assert lines[0].startswith("aws-cli/")
    assert "installed" in lines
    assert any(line.startswith("arn:aws:sts::111111111111:assumed-role/build/AWSCodeBuild-") for line in lines)
    assert lines[-3:-1] == ["[default]", "output = json"]
    assert "by uv" in lines[-1]


def test_what_uv_cannot_do_is_left_to_pip_itself(builder: Builder) -> None:
    done = builder.run(spec("pip install --quiet iniconfig==2.3.1", "pip inspect | grep -c iniconfig", "pip nonsense"))
    assert "pip: left to pip itself: inspect" in done.log
    assert 'unknown command "nonsense"' in done.log
    assert done.context("BUILD")[1] == "Error while executing command: pip nonsense. Reason: exit status 1"


def test_settings_of_pip_reach_uv(builder: Builder) -> None:
    quick, missing = "UV_HTTP_RETRIES=0", "surely-not-there==1.0"
    done = builder.run(
        spec(
            "PIP_NO_INDEX=1 PIP_FIND_LINKS=/nowhere pip install iniconfig==2.3.1 || echo no index",
            "mkdir -p ~/.config/pip && unset PIP_CONFIG_FILE",
            "printf '[global]\\nindex-url = http://127.0.0.1:9/simple\\n' > ~/.config/pip/pip.conf",
            f"{quick} pip install --no-cache-dir {missing} || echo other index",
            "PIP_REQUIRE_HASHES=1 pip install iniconfig || echo hashes",
            "PIP_TARGET_NOBODY_KNOWS=1 pip freeze",
        )
    )
    assert done.status == "SUCCEEDED", done.everything
    for said in ("no index", "other index", "127.0.0.1:9", "no index can be reached; trying", "hashes"):
        assert said in done.log, done.log
    assert "pip: left to pip itself: the setting target-nobody-knows" in done.log


def test_without_a_network_what_was_fetched_before_is_enough(builder: Builder, tmp_path: Path) -> None:
    assert builder.run(spec("pip install iniconfig==2.3.1")).status == "SUCCEEDED"
    nowhere = "UV_DEFAULT_INDEX=https://127.0.0.1:9/simple UV_HTTP_RETRIES=0"
    name = with_file(builder, "r.txt", PINNED.format(RIGHT), "UV_OFFLINE=1 pip install --require-hashes -r r.txt")
    assert builder.start(name).status == "SUCCEEDED"
    assert builder.run(spec(f"{nowhere} pip install surely-not-there==1.0")).status == "FAILED"


def test_the_version_that_the_buildspec_names_is_taken_where_the_machine_has_it(builder: Builder) -> None:
    install = {"runtime-versions": {"python": "3.12", "nodejs": 20}}
    phases = {"install": install, "build": {"commands": ["python -c 'import sys; print(sys.version_info[:2])'"]}}
    done = builder.run(spec(phases=phases))
    assert done.status == "SUCCEEDED", done.everything
    assert "WARNING: nodejs 20 is not chosen here; this machine has" in done.everything
    if done.log != "(3, 12)\n":
        assert done.log == f"({OWN.replace('.', ', ')})\n"
        assert f"Python 3.12 is not on this machine: Python {OWN} runs this build" in done.everything
    absent = {**phases, "install": {"runtime-versions": {"python": "3.7"}}}
    if not any(python._candidates("3.7")):
        assert "WARNING: Python 3.7 is not on this machine" in builder.run(spec(phases=absent)).everything


OLD = next((version for version in ("3.7", "3.8", "3.9") if any(python._candidates(version))), "")


@pytest.mark.skipif(not OLD, reason="needs an older Python")
def test_pip_works_on_the_old_versions_that_old_buildspecs_name(builder: Builder) -> None:
    install = {"runtime-versions": {"python": OLD}, "commands": ["pip install --upgrade --force-reinstall iniconfig"]}
    tell = "python -c 'import sys, iniconfig; print(sys.version_info[:2])'"
    done = builder.run(spec(phases={"install": install, "build": {"commands": [tell]}}))
    assert done.status == "SUCCEEDED", done.everything
    assert done.log.splitlines()[-1] == f"({OLD.replace('.', ', ')})"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_on_another_file_system_than_the_cache_packages_are_linked_too(tmp_path: Path) -> None:
    cache = subprocess.run([python.uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    options = python._options(python.uv(), Path("/dev/shm"), {**os.environ, "UV_CACHE_DIR": cache})
    same = Path(cache)
    same.mkdir(parents=True, exist_ok=True)
    assert options[-2:] == ["--link-mode", "symlink"]
    assert "symlink" not in python._options(python.uv(), same, {**os.environ, "UV_CACHE_DIR": cache})


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


def shell_for(workshop: Workshop, stop: threading.Event, seconds: float) -> tuple[Shell, Path]:
    folder = workshop.folder("shell")
    log = folder / "log"
    made = Shell(
        workshop,
        "sh",
        folder=folder,
        log=log,
        stop=stop,
        deadline=time.monotonic() + seconds,
        variables={"PATH": os.environ["PATH"]},
        directory=folder,
    )
    return made, log


def test_a_command_that_outlasts_the_build_is_ended(workshop: Workshop) -> None:
    shell, log = shell_for(workshop, threading.Event(), 0.5)
    assert shell.run("echo first; export A=1") == 0
    began = time.monotonic()
    with pytest.raises(BuildTimedOut):
        shell.run("sleep 60")
    assert time.monotonic() - began < 10
    assert (log.read_text(), shell.variables["A"]) == ("first\n", "1")
    shell.close()


def test_a_shell_that_is_told_to_stop_stops(workshop: Workshop) -> None:
    stop = threading.Event()
    shell, _ = shell_for(workshop, stop, 60)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(StepStopped):
        shell.run("sleep 60")
    with pytest.raises(StepStopped):
        shell.run("echo no more")
    shell.close()
