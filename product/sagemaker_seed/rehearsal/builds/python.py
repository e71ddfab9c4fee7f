"""The Python of a build: an environment of its own with pip, and the programs a curated image has. Runs no command.

uv does what pip would: it links packages from its cache where pip copies them. Nothing of the environment that the
rehearsal itself runs in can be imported, and only its interpreter is taken, when the machine has no other.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from .failure import CLIENT_ERROR, BuildFailure
from .pip_shim.pip.kept import OWN

SHIM = Path(__file__).parent / "pip_shim" / "pip"
# Of whoever rehearses: where uv's cache and configuration are, how packages are reached.
KEPT = (
    "HOME",
    "XDG_",
    "PATH",
    "NETRC",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "LANG",
    "LC_",
    "SYSTEMROOT",
)
# uv's settings that are about another environment than the build's.
FOREIGN = {
    "UV_COMPILE_BYTECODE",  # place.py keeps what is really imported
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_WORKING_DIR",
    "UV_RUN_RECURSION_DEPTH",
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# uv asks Python's sysconfig, which answers nothing to a second thread while it is being filled for the first.
SYSCONFIG = threading.Lock()
NO_DOCKER = 'echo "${0##*/}: not found: the embedded AWS runs builds without Docker" >&2; exit 127'
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Environment:
    """What a build's shell gets: its search path, and what its log has to say of it."""

    path: str
    notes: tuple[str, ...]


def uv() -> str:
    """The uv program.

    Raises:
        BuildFailure: it is not installed.
    """
    try:
        from uv import find_uv_bin

        with SYSCONFIG:
            return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise BuildFailure(
            CLIENT_ERROR, "Builds need uv, which is not installed here: pip install 'sagemaker-seed[rehearsal]'"
        )
    return found


def network_settings() -> dict[str, str]:
    """What of this process's environment tells where packages come from; a build needs it too."""
    names = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    found = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(names) and name not in FOREIGN) or name.lower() in PROXIES
    }
    own = next((p for p in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf") if p.is_file()), None)
    return found | ({"PIP_CONFIG_FILE": str(own)} if own and "PIP_CONFIG_FILE" not in found else {})


def system_path() -> str:
    """The search path of this machine's own programs."""
    return os.pathsep.join(_system_path())


def prepare(folder: Path, home: Path, wanted: str | None, image: str, *, keeps: bool) -> Environment:
    """Makes the environment of a build.

    Args:
        folder: the build's own, for the programs in front of and behind the environment's.
        home: where the environment is to be.
        wanted: the version that the buildspec names.
        image: the build image's name, which decides what ``sh`` is.
        keeps: whether the next build with the same commands will be in the same place.

    Raises:
        BuildFailure: it cannot be made.
    """
    interpreter, version = _interpreter(wanted)
    notes = []
    if wanted not in (None, "latest", "3.x", version):
        notes.append(f"Python {wanted} is not on this machine: Python {version} runs this build")
    tool = uv()
    environment = _uv_environment()
    _environment(tool, interpreter, home, environment=environment, keeps=keeps)
    python = home / "bin" / "python"
    first, last = folder / "bin", folder / "image"
    options = _options(tool, home.parent, environment)
    _pip(folder, python, version, environment=environment, options=options, keeps=keeps)
    _script(last / "aws", f'unset PYTHONPATH PYTHONHOME\nexec {_aws(tool, interpreter, environment)} "$@"')
    for name in ("docker", "docker-compose"):
        _script(first / name, NO_DOCKER)
    bash = shutil.which("bash")
    if bash and "amazonlinux" in image:  # whose sh is bash
        (first / "sh").symlink_to(bash)
    search = [str(first), str(home / "bin"), str(last), *_system_path()]
    return Environment(os.pathsep.join(search), tuple(notes))


def _environment(tool: str, interpreter: str, home: Path, *, environment: Mapping[str, str], keeps: bool) -> None:
    """An empty environment; where one has been before in the same place, a copy of it as it was when it was made."""
    bare, noted = home.parent / "bare", home.parent / "bare.txt"
    maker = f"{interpreter}\n{tool}\n{_version_of_uv()}\n"
    if keeps and noted.is_file() and noted.read_text() == maker:
        shutil.copytree(bare, home, symlinks=True)
        return
    made = subprocess.run(
        [tool, "venv", "--quiet", "--no-config", "--no-project", "--python", interpreter, str(home)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=home.parent,
    )
    if made.returncode:
        raise BuildFailure(CLIENT_ERROR, f"The build's Python environment cannot be made: {made.stderr.strip()}")
    if keeps:
        noted.unlink(missing_ok=True)
        shutil.rmtree(bare, ignore_errors=True)
        shutil.copytree(home, bare, symlinks=True)
        noted.write_text(maker)


def _aws(tool: str, interpreter: str, environment: Mapping[str, str]) -> str:
    words = ["tool", "run", "--quiet", "--no-config", "--python", interpreter, "--from", "awscli", "aws"]
    kept = {name: value for name, value in environment.items() if name.startswith(("UV_", "XDG_", "SSL_"))}
    kept["UV_CACHE_DIR"] = _cache(tool, tuple(sorted(environment.items())))
    return " ".join(shlex.quote(word) for word in ["env", *(f"{k}={v}" for k, v in kept.items()), tool, *words])


def _pip(
    folder: Path, python: Path, version: str, *, environment: Mapping[str, str], options: list[str], keeps: bool
) -> None:
    shim = folder / "shim"
    shutil.copytree(SHIM, shim / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "uv": uv(),
        "version": _version_of_uv(),
        "python": str(python),
        "options": options,
        "keeps": keeps,
        "environment": dict(environment),
    }
    (shim / "pip" / "settings.json").write_text(json.dumps(settings))
    site = python.parents[1] / "lib" / f"python{version}" / "site-packages"
    # In front of the environment's packages, so that it stays pip even after `pip install --upgrade pip`.
    (site / OWN).write_text(f"import sys; sys.path.insert(0, {str(shim)!r})\n")
    for name in ("pip", "pip3", f"pip{version}"):
        _script(folder / "bin" / name, f'exec {shlex.quote(str(python))} -m pip "$@"')


def _options(tool: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """uv's options that depend on this machine."""
    own = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uv" / "uv.toml"
    configuration = ["--config-file", str(own)] if own.is_file() and "UV_CONFIG_FILE" not in environment else []
    configuration = configuration or ([] if "UV_CONFIG_FILE" in environment else ["--no-config"])
    if "UV_LINK_MODE" in environment:
        return configuration
    store = Path(_cache(tool, tuple(sorted(environment.items()))))
    store.mkdir(parents=True, exist_ok=True)
    # uv would copy between file systems, hundreds of megabytes for an SDK; an environment that is thrown away after
    # the build can live with links into the cache.
    other = store.stat().st_dev != folder.stat().st_dev
    return [*configuration, *(["--link-mode", "symlink"] if other else [])]


@cache
def _cache(tool: str, environment: tuple[tuple[str, str], ...]) -> str:
    asked = subprocess.run(
        [tool, "cache", "dir", "--no-config"], env=dict(environment), capture_output=True, text=True, check=True
    )
    return asked.stdout.strip()


def _uv_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    return kept | network_settings() | {"UV_PYTHON_DOWNLOADS": "never"}


@cache
def _interpreter(wanted: str | None) -> tuple[str, str]:
    """An interpreter of the wanted version, or else the one that runs this, and its version."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if wanted not in (None, "latest", "3.x", own):
        for candidate in _candidates(str(wanted)):
            if _version_of(candidate) == wanted:
                return candidate, str(wanted)
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve()), own


def _candidates(version: str) -> Iterator[str]:
    for folder in _system_path():
        found = shutil.which(f"python{version}", path=folder)
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for root in (pyenv, Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")):
        for found_ in sorted(root.glob(f"*{version}.*/bin/python{version}")):
            yield str(found_)


def _version_of(interpreter: str) -> str:
    try:
        asked = subprocess.run(
            [interpreter, "-I", "-c", VERSION], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def _system_path() -> list[str]:
    """Where this machine's programs are, without those of the environment that the rehearsal runs in."""
    own = {Path(sys.prefix) / "bin", Path(sys.executable).parent} if sys.prefix != sys.base_prefix else set()
    return [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder) not in own]


def _version_of_uv() -> str:
    try:
        return metadata.version("uv")
    except metadata.PackageNotFoundError:
        return "0"


def _script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
