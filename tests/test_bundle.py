"""The bundle: what goes in, what never does, and that the same content is the same bytes everywhere."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import bundle
from sagemaker_seed.errors import BadInput, SeedError


def _tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


SMALL = {"build.py": b"print(1)\n", "test/test.py": b"", "a/b/c.json": b"{}\n", ".gitignore": b"dist/\n"}


def test_entries_lie_at_the_root_sorted_and_whole(tmp_path: Path) -> None:
    packed = bundle.pack(_tree(tmp_path, SMALL))
    archive = zipfile.ZipFile(io.BytesIO(packed.content))
    assert archive.testzip() is None
    assert archive.namelist() == sorted(SMALL) == list(packed.files)
    assert {name: archive.read(name) for name in archive.namelist()} == SMALL
    assert packed.digest == hashlib.sha256(packed.content).hexdigest()
    assert packed.size == len(packed.content)


def test_same_content_same_bytes_whatever_time_mode_order_and_umask(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", SMALL)
    before = os.umask(0o077)
    try:
        two = _tree(tmp_path / "two", dict(reversed(SMALL.items())))
    finally:
        os.umask(before)
    (two / "build.py").chmod(0o700)
    os.utime(two / "build.py", (0, 4_000_000_000))
    assert bundle.pack(one).content == bundle.pack(two).content


def test_the_bytes_are_these_on_every_machine(tmp_path: Path) -> None:
    # Pinned, so that no release changes the digest of what has not changed.
    packed = bundle.pack(_tree(tmp_path, {"a": b"1"}))
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        (entry,) = archive.infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert (entry.create_system, entry.compress_type, entry.extra) == (3, zipfile.ZIP_STORED, b"")
    assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
    assert packed.digest == "ff7bcfadea03f673a7f7d3cc9bbda7475b29016681fc9fd85b548e9bc3a16974"


def test_another_byte_is_another_digest(tmp_path: Path) -> None:
    first = bundle.pack(_tree(tmp_path, SMALL)).digest
    (tmp_path / "build.py").write_text("print(2)\n")
    assert bundle.pack(tmp_path).digest != first


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        "a/.git",
        "__pycache__/x.pyc",
        "a/x.pyc",
        ".venv/bin/python",
        "dist/old.zip",
        ".pytest_cache/x",
        "a/.ipynb_checkpoints/x",
        ".idea/x",
        ".vscode/settings.json",
        ".DS_Store",
        "a/.DS_Store",
        "build.py~",
        ".build.py.swp",
        "#build.py#",
        ".env",
        ".env.local",
        "key.pem",
        "template-export.yml",
        "staging-config-export.json",
        "test-results.json",
        "test-report.html",
    ],
)
def test_what_is_no_part_of_a_seed_stays_out(tmp_path: Path, name: str) -> None:
    clean = bundle.pack(_tree(tmp_path, SMALL)).content
    assert bundle.pack(_tree(tmp_path, {name: b"x"})).content == clean


@pytest.mark.parametrize(
    "name", ["environment.py", "git/x", "distance/a", "pem", "build/x", ".gitattributes", ".github/x"]
)
def test_what_only_looks_like_it_goes_in(tmp_path: Path, name: str) -> None:
    assert name in bundle.pack(_tree(tmp_path, {**SMALL, name: b"x"})).files


def test_links_inside_are_stored_as_what_they_point_to(tmp_path: Path) -> None:
    _tree(tmp_path, SMALL)
    (tmp_path / "link.py").symlink_to("build.py")
    archive = zipfile.ZipFile(io.BytesIO(bundle.pack(tmp_path).content))
    assert archive.read("link.py") == SMALL["build.py"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: (f / "link").symlink_to("/etc/hostname"), "link: is a link that leaves the folder"),
        (lambda f: (f / "a/up").symlink_to("../../outside"), "a/up: is a link that leaves the folder"),
        (lambda f: (f / "folder").symlink_to("/etc"), "folder: is a link that leaves the folder"),
        (lambda f: (f / "loop").symlink_to("."), "loop: is a link to a folder"),
        (lambda f: (f / "gone").symlink_to("nothing"), "gone: is no regular file"),
        (lambda f: os.mkfifo(f / "pipe"), "pipe: is no regular file"),
        (lambda f: (f / "new\nline").write_text("x"), r"'new\nline': its name has characters"),
        (lambda f: Path(os.fsdecode(bytes(f) + b"/\xff")).write_text("x"), "its name has characters"),
    ],
)
def test_what_cannot_go_in_is_refused_by_name(tmp_path: Path, make: Any, said: str) -> None:
    folder = _tree(tmp_path / "seed", SMALL)
    (tmp_path / "outside").write_text("secret")
    make(folder)
    with pytest.raises(BadInput) as refused:
        bundle.pack(folder)
    assert said in str(refused.value)


def test_limits_of_codecommit_come_all_at_once(tmp_path: Path) -> None:
    _tree(tmp_path, {f"{n:03}": b"" for n in range(101)})
    _tree(tmp_path, {"large.csv": b"x" * (6 * 1024**2 + 1), "/".join("d" * 22): b""})
    with pytest.raises(BadInput) as refused:
        bundle.pack(tmp_path)
    first, second, third = refused.value.problems
    assert first.startswith("large.csv: is 6.0 MB; CodeCommit takes at most 6 MB a file")
    assert "lies 21 folders deep; CodeCommit takes at most 20" in second
    assert third.startswith("103 files: CodeCommit takes at most 100")


def test_a_bundle_over_20_mb_is_refused(tmp_path: Path) -> None:
    _tree(tmp_path, {f"{n}": bytes(5 * 1024**2) for n in range(4)})
    with pytest.raises(BadInput, match=r"its bundle is 20\.0 MB; CodeCommit takes at most 20 MB"):
        bundle.pack(tmp_path)


def test_exactly_at_the_limits_passes(tmp_path: Path) -> None:
    _tree(tmp_path, {f"{n:03}": b"" for n in range(99)})
    _tree(tmp_path, {"large.csv": bytes(6 * 1024**2)})
    assert len(bundle.pack(tmp_path).files) == 100


@pytest.mark.parametrize(("make", "said"), [(lambda p: None, "is no folder"), (Path.mkdir, "holds no file to bundle")])
def test_no_folder_and_an_empty_one(tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "seed")
    with pytest.raises(BadInput, match=said):
        bundle.pack(tmp_path / "seed")


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tree(tmp_path, SMALL)

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadInput, match=r"\.gitignore: cannot be read: Permission denied"):
        bundle.pack(tmp_path)


def test_writing_leaves_the_old_file_when_the_disk_is_full(tmp_path: Path) -> None:
    packed = bundle.pack(_tree(tmp_path / "seed", {**SMALL, "data": bytes(200_000)}))
    target = tmp_path / "out" / "x.zip"
    target.parent.mkdir()
    target.write_bytes(b"old")
    # A limit on the size of files fails a write part of the way, as a full disk does.
    script = (
        "import resource, signal, sys; from pathlib import Path; from sagemaker_seed import bundle\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "packed = bundle.pack(Path(sys.argv[1]))\n"
        "try: bundle.write(packed, Path(sys.argv[2]))\n"
        "except bundle.SeedError as error: print(error); sys.exit(1)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "seed"), str(target)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran.stderr
    assert "x.zip: cannot be written: File too large" in ran.stdout
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]
    assert len(packed.content) > 100_000


def test_writing_where_a_file_is_in_the_way_says_so(tmp_path: Path) -> None:
    packed = bundle.pack(_tree(tmp_path / "seed", SMALL))
    (tmp_path / "file").write_text("x")
    with pytest.raises(SeedError, match=r"cannot be written: .*; choose another place with --output"):
        bundle.write(packed, tmp_path / "file" / "x.zip")


def test_written_is_what_was_packed(tmp_path: Path) -> None:
    packed = bundle.pack(_tree(tmp_path / "seed", SMALL))
    path = bundle.write(packed, tmp_path / "new" / "folder" / "x.zip")
    assert path.read_bytes() == packed.content
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
