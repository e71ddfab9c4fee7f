"""pip's command line on top of uv, for a build that must not wait for pip. Runs in the build, on its own Python.

What is not in the tables below is left to pip itself, which uv fetches for that; nothing is dropped silently but
options that say nothing about what is installed. Old buildspecs name old versions: it runs on Python 3.7 and newer.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import kept

if TYPE_CHECKING:  # older Pythons have no dict[...] but in annotations, which are not evaluated
    Settings = dict[str, str]
    Own = dict[str, Any]

PASSED_FLAGS = {
    "--dry-run": "--dry-run",
    "--force-reinstall": "--reinstall",
    "--no-build-isolation": "--no-build-isolation",
    "--no-deps": "--no-deps",
    "--no-index": "--no-index",
    "--pre": "--prerelease=allow",
    "--quiet -q": "--quiet",
    "--require-hashes": "--require-hashes",
    "--upgrade -U": "--upgrade",
}
PASSED_VALUES = {
    "--constraint -c": "--constraints",
    "--editable -e": "--editable",
    "--extra-index-url": "--extra-index-url",
    "--find-links -f": "--find-links",
    "--index-url -i --pypi-url": "--index-url",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
    "--prefix": "--prefix",
    "--requirement -r": "--requirements",
    "--target -t": "--target",
    "--trusted-host": "--allow-insecure-host",
}
# What they say holds anyway (the environment is the build's own, uv asks nothing and warns of nothing), or is about
# how things are shown, or about a cache that a build's container would not have kept.
IGNORED_FLAGS = (
    "--break-system-packages --disable-pip-version-check --ignore-installed -I --isolated --no-cache-dir --no-color "
    "--no-compile --no-input --no-python-version-warning --no-warn-conflicts --no-warn-script-location "
    "--prefer-binary --use-pep517 --user --verbose -v"
).split()
IGNORED_VALUES = "--exists-action --progress-bar --retries --root-user-action --timeout --default-timeout".split()
IGNORED_SETTINGS = {name.lstrip("-") for name in [*IGNORED_FLAGS, *IGNORED_VALUES]} | {"cache-dir", "cert", "proxy"}
PASSED_SETTINGS = {names.split()[0].lstrip("-"): option for names, option in {**PASSED_FLAGS, **PASSED_VALUES}.items()}
LISTS = {"constraint", "extra-index-url", "find-links", "requirement", "trusted-host", "no-binary", "only-binary"}
FLAG_SETTINGS = {names.split()[0].lstrip("-") for names in PASSED_FLAGS}
# Other commands: what of theirs uv has under the same name.
OTHERS = {
    "check": (),
    "freeze": ("--exclude-editable",),
    "list": ("--format", "--outdated", "--editable", "--exclude-editable"),
    "show": ("--files", "-f"),
}
NETWORK = re.compile(
    r"error sending request|dns error|tcp connect error|Connection refused|Failed to fetch|operation timed out", re.I
)
UNKNOWN = "this command line"


class LeftToPip(Exception):
    """uv has nothing for it."""


class Parser(argparse.ArgumentParser):
    """Says that it does not understand instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """argparse calls it for what it cannot read."""
        raise LeftToPip(message)


def main(arguments: list[str]) -> int:
    """Carries out pip's ``arguments``; returns the exit code."""
    own = json.loads((Path(__file__).parent / "settings.json").read_text())
    words = [word for word in arguments if word not in IGNORED_FLAGS] if arguments[:1] != ["--version"] else arguments
    try:
        given = settings()
        if words in (["--version"], ["-V"]):
            print(f"pip {own['version']} from {Path(__file__).parent} (python {platform.python_version()[:4]}, by uv)")
            return 0
        command, rest = (words[0], words[1:]) if words else ("", [])
        if command == "install":
            return install(own, given, rest)
        if command == "uninstall":
            return uninstall(own, rest)
        if command in OTHERS:
            return other(own, command, rest)
        raise LeftToPip(command or UNKNOWN)
    except LeftToPip as reason:
        print(f"pip: left to pip itself: {reason}", file=sys.stderr, flush=True)
        return uv(own, ["tool", "run", "--from", "pip", "pip", "--python", own["python"], *arguments])


def settings() -> Settings:
    """What configuration files and variables tell pip; the later wins, as with pip.

    Raises:
        LeftToPip: one of them says what uv has nothing for.
    """
    named = os.environ.get("PIP_CONFIG_FILE")
    home = Path.home()
    files = [
        Path("/etc/pip.conf"),
        *([Path(named)] if named else [home / ".pip/pip.conf", home / ".config/pip/pip.conf"]),
    ]
    found: Settings = {}
    for file in files if named != os.devnull else ():
        parser = configparser.RawConfigParser()
        parser.read(file, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    for name, value in os.environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            found[name[4:].lower().replace("_", "-")] = value
    unknown = sorted(set(found) - IGNORED_SETTINGS - set(PASSED_SETTINGS))
    if unknown:
        raise LeftToPip(f"the setting {', '.join(unknown)}")
    return found


def install(own: Own, given: Settings, words: list[str]) -> int:
    """``pip install``."""
    parser = Parser(add_help=False, allow_abbrev=False)
    for names in PASSED_FLAGS:
        parser.add_argument(*names.split(), action="count", default=0)
    for names in PASSED_VALUES:
        parser.add_argument(*names.split(), action="append", default=[])
    for name in IGNORED_VALUES:
        parser.add_argument(name)
    parser.add_argument("packages", nargs="*")
    parsed, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        raise LeftToPip(" ".join(unknown))
    options = [option for setting in given for option in from_setting(setting, given[setting])]
    for names, option in PASSED_FLAGS.items():
        options += [option] * min(1, getattr(parsed, attribute(names)))
    for names, option in PASSED_VALUES.items():
        options += [f"{option}={value}" for value in getattr(parsed, attribute(names))]
    if not parsed.packages and not parsed.requirement and not parsed.editable and "requirement" not in given:
        print('ERROR: You must give at least one requirement to install (see "pip help install")', file=sys.stderr)
        return 1
    how = ["pip", "install", "--python", own["python"], "--no-sources", "--index-strategy", "unsafe-best-match"]
    how += own["options"]
    what = [*options, *parsed.packages]
    place = kept.Kept(Path(own["python"]).parents[1])
    key = kept.key(parsed.requirement, what, own) if own["keeps"] and place.is_empty() else ""
    packages = place.lend(key) if key else None
    if packages is not None:
        if not parsed.quiet:
            print(f"Installed {packages} package{'s' * (packages != 1)}, as a build before", file=sys.stderr)
        return 0
    before = place.before() if key else set()
    status = run(own, given, how, what, pinned="--require-hashes" in options and not parsed.force_reinstall)
    if key and not status:
        place.installed(key, before)
    return status


def run(own: Own, given: Settings, how: list[str], what: list[str], *, pinned: bool) -> int:
    """Runs uv; if everything is pinned, what is in its cache is what an index would give."""
    if pinned:
        quiet = subprocess.run(
            [own["uv"], *how, "--offline", *what], env=environment(own), capture_output=True, text=True, check=False
        )
        if not quiet.returncode:
            sys.stderr.write(quiet.stderr)
            return 0
    return uv(own, [*how, *what], given)


def attribute(names: str) -> str:
    """argparse's name of the option."""
    return names.split(maxsplit=1)[0].lstrip("-").replace("-", "_")


def from_setting(name: str, value: str) -> list[str]:
    """A setting of pip's as options of uv's."""
    option = PASSED_SETTINGS.get(name)
    if option is None:
        return []
    if name in FLAG_SETTINGS:
        return [option] if value.strip().lower() in {"1", "true", "yes", "on", "y", "t"} else []
    return [f"{option}={part}" for part in (value.split() if name in LISTS else [value.strip()]) if part]


def uninstall(own: Own, words: list[str]) -> int:
    """``pip uninstall``; there is nobody to ask whether it is meant."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--yes", "-y", action="store_true")
    parser.add_argument("--requirement", "-r", action="append", default=[])
    parser.add_argument("--quiet", "-q", action="count", default=0)
    parser.add_argument("packages", nargs="*")
    parsed, unknown = parser.parse_known_intermixed_args(words)
    if unknown or not parsed.yes:
        raise LeftToPip(" ".join(unknown) or "uninstall without --yes")
    quiet = ["--quiet"] * min(1, parsed.quiet)
    files = [f"--requirements={file}" for file in parsed.requirement]
    return uv(own, ["pip", "uninstall", "--python", own["python"], *quiet, *files, *parsed.packages])


def other(own: Own, command: str, words: list[str]) -> int:
    """A command that uv has under the same name."""
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    unknown = [option for option in options if option not in OTHERS[command]]
    if unknown:
        raise LeftToPip(f"{command} {' '.join(unknown)}")
    return uv(own, ["pip", command, "--python", own["python"], *words])


def uv(own: Own, words: list[str], given: Settings | None = None) -> int:
    """Runs uv; without a network once more with what its cache has."""
    full = environment(own, given)
    # A build's own pyproject.toml says nothing to pip; a person's uv.toml may say where packages are.
    command = [own["uv"], *words]
    with subprocess.Popen(command, env=full, stderr=subprocess.PIPE, text=True) as child:
        said = []
        for line in child.stderr or ():
            said.append(line)
            if line.startswith("Using Python "):  # a build has one environment, and pip does not say where it is
                continue
            sys.stderr.write(line)
            sys.stderr.flush()
    if child.returncode and "--offline" not in words and NETWORK.search("".join(said)):
        print("pip: no index can be reached; trying what has been fetched before", file=sys.stderr, flush=True)
        return subprocess.run(
            [*command[:2], *command[2:3], "--offline", *command[3:]], env=full, check=False
        ).returncode
    return child.returncode


def environment(own: Own, given: Settings | None = None) -> Settings:
    """uv's environment: the one of whoever rehearses, so that their caches, indexes and certificates are found."""
    from_build = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("UV_") or name.lower().endswith("_proxy") or name in {"SSL_CERT_FILE", "TMPDIR"}
    }
    full = {**own["environment"], **from_build}
    if given and given.get("cert"):
        full["SSL_CERT_FILE"] = given["cert"]
    if given and given.get("proxy"):
        full["HTTPS_PROXY"] = full["HTTP_PROXY"] = given["proxy"]
    return full


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
