"""Reads a buildspec (version 0.2) into what a build has to do, and refuses what CodeBuild would. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from .failure import YAML_ERROR, BuildFailure, not_done

PHASES = ("install", "pre_build", "build", "post_build")
SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}
RUNTIMES = ("android", "docker", "dotnet", "golang", "java", "nodejs", "php", "python", "ruby")
PYTHONS = tuple(f"3.{minor}" for minor in range(7, 15))
TRUE, FALSE = {"yes", "true"}, {"no", "false"}
ON_FAILURE = {"ABORT", "CONTINUE"}
TEST_FORMATS = {"JUNITXML"}
KNOWN_FORMATS = {
    *("CUCUMBERJSON", "JUNITXML", "NUNITXML", "NUNIT3XML", "TESTNGXML", "VISUALSTUDIOTRX"),
    *("CLOVERXML", "COBERTURAXML", "JACOCOXML", "SIMPLECOV"),
}
KEYS = {
    "": {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"},
    "env": {
        *("shell", "variables", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper"),
    },
    "phase": {"run-as", "on-failure", "runtime-versions", "commands", "finally", "steps"},
    "report": {"files", "base-directory", "discard-paths", "file-format"},
    "artifacts": {
        *("files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks", "s3-prefix"),
        "secondary-artifacts",
    },
}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Phase:
    """The commands of one phase, those that run whatever became of them, and what a failure means for the build."""

    name: str
    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    on_failure: str | None = None
    runtimes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """Files that a build leaves: patterns below a folder."""

    files: tuple[str, ...]
    base: str = ""
    discard_paths: bool = False
    excluded: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Buildspec:
    """What a build has to do."""

    shell: str
    variables: Mapping[str, str]
    parameters: Mapping[str, str]
    secrets: Mapping[str, str]
    exported: tuple[str, ...]
    phases: Mapping[str, Phase]
    reports: Mapping[str, Output]
    artifacts: Output | None
    secondary: Mapping[str, Output]
    caches: bool


def parse(text: str) -> Buildspec:
    """The buildspec that ``text`` (YAML or JSON) is.

    Raises:
        BuildFailure: ``YAML_FILE_ERROR``, or it asks for what is not implemented here.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _wrong(f"Could not parse the buildspec: {' '.join(str(error).split())}") from None
    spec = _mapping(content, "the buildspec", KEYS[""])
    _check_version(spec.get("version"))
    for refused in ("batch", "proxy"):
        if spec.get(refused):
            raise not_done(f"{refused} in a buildspec")
    _check_user(spec.get("run-as"))
    env = _mapping(spec.get("env"), "env", KEYS["env"])
    artifacts = _mapping(spec.get("artifacts"), "artifacts", KEYS["artifacts"])
    return Buildspec(
        shell=_shell(env.get("shell")),
        variables=_strings(env.get("variables"), "env/variables"),
        parameters=_strings(env.get("parameter-store"), "env/parameter-store"),
        secrets=_strings(env.get("secrets-manager"), "env/secrets-manager"),
        exported=_texts(env.get("exported-variables"), "env/exported-variables"),
        phases=_phases(spec.get("phases")),
        reports={str(name): _report(name, given) for name, given in _mapping(spec.get("reports"), "reports").items()},
        artifacts=_output(artifacts, "artifacts") if artifacts.get("files") else None,
        secondary=_secondary(artifacts),
        caches=bool(spec.get("cache")),
    )


def _wrong(message: str) -> BuildFailure:
    return BuildFailure(YAML_ERROR, message)


def _check_version(version: Any) -> None:
    if version is None:
        raise _wrong("Missing required key: version")
    if str(version) == "0.1":
        raise not_done("version 0.1 of the buildspec, which runs each command in a shell of its own: use 0.2")
    if str(version) != "0.2":
        raise _wrong(f"Unsupported buildspec version: {version}")


def _check_user(user: Any) -> None:
    if user not in (None, "root"):
        raise not_done(f"run-as: {user}")


def _shell(name: Any) -> str:
    if name is None:
        return "sh"
    if name not in SHELLS:
        raise not_done(f"the shell {name}")
    return str(name).rpartition("/")[2]


def _mapping(value: Any, where: str, known: Iterable[str] | None = None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(f"Expected {where} to be a mapping")
    unknown = sorted(str(key) for key in value if known is not None and key not in set(known))
    if unknown:
        raise _wrong(f"Unknown keys in {where}: {', '.join(unknown)}")
    return value


def _text(value: Any, where: str) -> str:
    """A scalar as the text that a person wrote, as far as YAML lets that be known."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, Mapping | list):
        raise _wrong(f"Expected {where} to be of string type")
    return str(value)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise _wrong(f"Expected {where} to be a sequence")
    return tuple(_text(item, f"{where}[{number}]") for number, item in enumerate(value))


def _strings(value: Any, where: str) -> dict[str, str]:
    found = {str(name): _text(item, f"{where}/{name}") for name, item in _mapping(value, where).items()}
    for name in found:
        if not IDENTIFIER.fullmatch(name):
            raise _wrong(f"Invalid name of an environment variable in {where}: {name}")
    return found


def _flag(value: Any, where: str) -> bool:
    text = _text(value, where).lower()
    if text not in TRUE | FALSE:
        raise _wrong(f"Expected {where} to be yes or no")
    return text in TRUE


def _phases(value: Any) -> dict[str, Phase]:
    given = _mapping(value, "phases")
    unknown = sorted(str(name) for name in given if name not in PHASES)
    if unknown:
        expected = ",".join(name.upper() for name in PHASES)
        raise _wrong(f"invalid buildspec phase name(s): {', '.join(unknown)}. Expected: {expected}")
    if not given:
        raise _wrong("At least one build phase must be specified")
    return {name: _phase(name, given[name]) for name in PHASES if name in given}


def _phase(name: str, value: Any) -> Phase:
    given = _mapping(value, f"phases/{name}", KEYS["phase"])
    if given.get("steps"):
        raise not_done("steps in a phase of a buildspec")
    _check_user(given.get("run-as"))
    on_failure = given.get("on-failure")
    if str(on_failure).startswith("RETRY"):
        raise not_done("on-failure: RETRY")
    if on_failure is not None and on_failure not in ON_FAILURE:
        raise _wrong(f"Invalid on-failure of phase {name}: {on_failure}. Expected: ABORT, CONTINUE or RETRY")
    commands = _texts(given.get("commands"), "Commands")
    runtimes = _runtimes(given.get("runtime-versions"), name)
    if not commands and not runtimes:
        raise _wrong(f"No commands in phase {name}")
    return Phase(name, commands, _texts(given.get("finally"), "Finally"), on_failure, runtimes)


def _runtimes(value: Any, phase: str) -> dict[str, str]:
    given = _mapping(value, "runtime-versions")
    if given and phase != "install":
        raise _wrong("runtime-versions are only supported in the install phase")
    found = {str(name): _text(version, f"runtime-versions/{name}") for name, version in given.items()}
    for name in found:
        if name not in RUNTIMES:
            raise _wrong(f"Unknown runtime named '{name}'. This build image has the runtimes: {', '.join(RUNTIMES)}")
    python = found.get("python")
    if python is not None and python not in {*PYTHONS, "latest", "3.x"}:
        raise _wrong(
            f"Unknown runtime version named '{python}' of python. This build image has the following versions: "
            f"{', '.join(PYTHONS)}"
        )
    return found


def _report(name: Any, value: Any) -> Output:
    where = f"reports/{name}"
    given = _mapping(value, where, KEYS["report"])
    kind = str(given.get("file-format", "JUNITXML")).upper()
    if kind not in KNOWN_FORMATS:
        raise _wrong(f"Invalid file-format of {where}: {kind}")
    if kind not in TEST_FORMATS:
        raise not_done(f"reports of the format {kind}")
    return _output(given, where)


def _output(given: Mapping[str, Any], where: str) -> Output:
    files = _texts(given.get("files"), f"{where}/files")
    if not files:
        raise _wrong(f"Missing required key: {where}/files")
    flag: Callable[[str], bool] = lambda key: _flag(given.get(key, "no"), f"{where}/{key}")  # noqa: E731
    for refused in ("enable-symlinks", "s3-prefix"):
        if given.get(refused) and str(given[refused]).lower() not in FALSE:
            raise not_done(f"{refused} in a buildspec")
    name = _text(given.get("name", ""), f"{where}/name")
    if "$(" in name or "`" in name:
        raise not_done("commands in the name of an artifact")
    return Output(
        files,
        _text(given.get("base-directory", ""), f"{where}/base-directory"),
        flag("discard-paths"),
        _texts(given.get("exclude-paths"), f"{where}/exclude-paths"),
        name,
    )


def _secondary(artifacts: Mapping[str, Any]) -> dict[str, Output]:
    given = _mapping(artifacts.get("secondary-artifacts"), "secondary-artifacts")
    known = KEYS["artifacts"] - {"secondary-artifacts"}
    return {str(name): _output(_mapping(value, str(name), known), str(name)) for name, value in given.items()}
