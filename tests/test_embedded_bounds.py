"""What an embedded AWS keeps is bounded, whoever waits is woken, and bytecode never stands for another source."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal import ground as grounds
from sagemaker_seed.rehearsal.builds import place, sources
from sagemaker_seed.rehearsal.builds.pip_shim.pip import kept
from sagemaker_seed.rehearsal.ground import Event, Ground

REGION = "eu-west-1"
ACCOUNT = "111111111111"


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground("http://127.0.0.1:9")
    yield made
    made.close()


def test_no_more_clients_are_kept_than_are_used(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounds, "MOST_CLIENTS", 3)
    first, often = (ground.client("sts", ground.root(account), REGION) for account in ("100000000001", "100000000002"))
    for number in range(3, 9):
        assert ground.client("sts", ground.root("100000000002"), REGION) is often
        ground.client("sts", ground.root(f"10000000000{number}"), REGION)
    assert len(ground._clients) == 3
    assert ground.client("sts", ground.root("100000000001"), REGION) is not first


def test_who_waits_is_woken_by_an_event_and_misses_none(ground: Ground) -> None:
    kind = "CodeBuild Build State Change"
    event, other = (Event(ACCOUNT, REGION, "aws.codebuild", name, {}) for name in (kind, "another"))
    ground.emit(other)
    seen = ground.await_event([kind], 0, 0.01)
    assert seen == 0, "nothing of the kind has happened, and the time is up"
    threading.Timer(0.05, ground.emit, [event]).start()
    began = time.monotonic()
    assert ground.await_event([kind], seen, 30) == 1
    assert time.monotonic() - began < 10
    ground.emit(event)
    assert ground.await_event([kind], 1, 30) == 2, "what happened between two waits is not waited for"
    assert ground.await_event([kind, "another"], 2, 30) == 3


def archive(text: str) -> bytes:
    """A source as an artifact, with a module of a certain day."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("module.py", (2026, 1, 2, 3, 4, 6)), text)
    return content.getvalue()


def run(taken: place.Place, folder: Path, text: str) -> tuple[Path, str]:
    """Where a source is put, and what its module says there when Python may keep what it compiles."""
    source = folder / "src"
    source.mkdir(parents=True)
    sources._unzip(archive(text), source, "source.zip")
    housed = taken.house(source)
    command = [sys.executable, "-X", f"pycache_prefix={taken.bytecode}", "-c", "import module; print(module.SAYS)"]
    done = subprocess.run(command, cwd=housed, env={}, capture_output=True, text=True, check=True)
    return housed, done.stdout.strip()


def compiled(taken: place.Place) -> set[Path]:
    """The modules that are there as bytecode."""
    return set(taken.bytecode.rglob("module.*.pyc"))


def test_bytecode_is_found_again_for_the_same_source_and_never_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places, kept = [], []
    for number, text in enumerate(["SAYS = 1", "SAYS = 1", "SAYS = 2"]):  # of one length and one day
        room = tmp_path / f"room-{number}"
        taken = place.take("commands", room)
        housed, said = run(taken, room, text)
        assert said == text[-1]
        places.append(housed)
        kept.append({path: path.stat().st_mtime_ns for path in compiled(taken)})
        taken.give_back(room)
        assert not housed.exists()
    assert places[0] == places[1] != places[2]
    assert kept[0] == kept[1], "compiled once for both"
    assert len(kept[2]) == 1, "what was compiled of the source before is given up"
    assert not kept[2].keys() & kept[1].keys()


HASH = "--hash=sha256:" + "0" * 64
PINNED = f"one==1.0 \\\n    {HASH} \\\n    {HASH}\n    # via -r another.in\ntwo==2.0 {HASH}\n"


@pytest.mark.parametrize(
    ("text", "options", "own"),
    [
        (PINNED, ["--quiet"], {}),
        (PINNED, ["--require-hashes", "--target=/elsewhere"], {}),
        (PINNED, ["--require-hashes"], {"options": ["--link-mode", "symlink"]}),
        (PINNED + "-r more.txt\n", ["--require-hashes"], {}),
        (PINNED + "--index-url https://example.com\n", ["--require-hashes"], {}),
        (PINNED + "./local\n", ["--require-hashes"], {}),
        (PINNED + f"three @ file:///tmp/three.whl {HASH}\n", ["--require-hashes"], {}),
        (PINNED + f"https://example.com/three.whl {HASH}\n", ["--require-hashes"], {}),
    ],
)
def test_only_what_hashes_alone_decide_is_kept(
    tmp_path: Path, text: str, options: list[str], own: dict[str, Any]
) -> None:
    own = {"version": "1", "python": sys.executable, "options": []} | own
    (tmp_path / "r.txt").write_text(text)
    assert kept.key([str(tmp_path / "r.txt")], options, own) == ""
    (tmp_path / "r.txt").write_text(PINNED)
    sound = kept.key([str(tmp_path / "r.txt")], ["--require-hashes", "--quiet"], own | {"options": []})
    assert sound
    (tmp_path / "r.txt").write_text(PINNED.replace("1.0", "1.1"))
    assert sound != kept.key([str(tmp_path / "r.txt")], ["--require-hashes", "--quiet"], own | {"options": []})


def test_what_a_build_that_was_killed_had_been_lent_is_not_lent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def build() -> tuple[place.Place, kept.Kept]:
        taken = place.take("commands", tmp_path)
        site = taken.python / "lib" / "python3.99" / "site-packages"
        site.mkdir(parents=True)
        (site / kept.OWN).touch()
        (taken.python / "bin").mkdir()
        return taken, kept.Kept(taken.python)

    def install(into: kept.Kept, home: Path) -> None:
        before = into.before()
        (home / "lib/python3.99/site-packages/one-1.dist-info").mkdir()
        (home / "lib/python3.99/site-packages/one.py").write_text("pass")
        (home / "bin" / "one").touch()
        into.installed("key", before)

    taken, beside = build()
    install(beside, taken.python)
    taken.give_back(tmp_path)
    assert not taken.python.exists()
    taken, beside = build()
    assert beside.is_empty()
    assert beside.lend("another") is None
    assert beside.lend("key") == 1
    assert (taken.python / "bin" / "one").exists()
    assert taken.lock is not None
    taken.lock.close()  # the build is killed here: nothing is given back
    taken, beside = build()
    assert not taken.python.joinpath("bin", "one").exists()
    assert beside.lend("key") is None


def test_places_that_nobody_uses_any_more_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    old, young = place.take("old", tmp_path), place.take("young", tmp_path)
    for taken, days in ((old, 31), (young, 29)):
        taken.give_back(tmp_path)
        long_ago = time.time() - days * 24 * 3600
        os.utime(taken.python.parent / "lock", (long_ago, long_ago))
    place.take("another", tmp_path).give_back(tmp_path)
    assert not old.python.parent.exists()
    assert young.python.parent.exists()


@pytest.mark.slow
def test_the_journal_keeps_the_newest_calls(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagemaker_seed.rehearsal import dispatch
    from sagemaker_seed.rehearsal.embedded import JOURNAL_PATH
    from werkzeug.test import Client

    monkeypatch.setattr(dispatch, "MOST_CALLS", 3)
    client = Client(dispatch.Application(ground))
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20000101/{REGION}/sts/aws4_request"}
    for _ in range(5):
        client.post("/", headers=headers, data={"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    calls = client.get(JOURNAL_PATH).json
    assert calls is not None
    assert [call["operation"] for call in calls] == ["GetCallerIdentity"] * 3
