"""Runs a build from its start to its end: phases in CodeBuild's order, each with its context. Keeps no projects.

What follows a failed phase is CodeBuild's: nothing follows ``install`` and ``pre_build``, ``post_build`` follows
``build`` all the same, and ``on-failure`` changes either. Reports and artifacts are attempted whenever that point is
reached, so that a failed test leaves its report.
"""

from __future__ import annotations

import shutil
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..jobs.failure import StepStopped
from ..wire import AwsError
from . import artifacts, buildspec, inner, place, python, reports, sources, variables
from .failure import CLIENT_ERROR, COMMAND_ERROR, BuildFailure, BuildTimedOut
from .log import Log
from .order import Order
from .progress import Progress
from .shell import Shell

if TYPE_CHECKING:
    from ..ground import Actor, Ground

PRINCIPAL = "codebuild.amazonaws.com"
SESSION_LENGTH = 64
# What follows a phase that failed, unless its on-failure says otherwise.
GOES_ON = {"install": False, "pre_build": False, "build": True, "post_build": True}
NOT_TRUSTED = (
    "CodeBuild is not authorized to perform: sts:AssumeRole on service role. Please verify that: 1) The provided "
    "service role exists, 2) The role name is case-sensitive and matches exactly, and 3) The role has the necessary "
    "trust policy configured. ({reason})"
)


class Run:
    """One build; :meth:`run` is for a thread of its own."""

    def __init__(self, ground: Ground, order: Order, progress: Progress, slots: threading.Semaphore) -> None:
        self._ground, self._order, self._progress, self._slots = ground, order, progress, slots
        self._folder: Path | None = None
        self._place: place.Place | None = None
        self._actor: Actor | None = None
        self._log: Log | None = None
        self._shell: Shell | None = None
        self._spec: buildspec.Buildspec | None = None
        self._folders: dict[str, Path] = {}
        self._given: dict[str, str] = {}
        self._failed = False

    def run(self, queued_seconds: float) -> None:
        """Runs the build; whatever happens, it ends."""
        self._progress.begin("SUBMITTED")
        self._progress.end("SUCCEEDED")
        self._progress.begin("QUEUED")
        deadline = time.monotonic() + queued_seconds
        while not self._slots.acquire(timeout=0.05):
            if self._progress.stop.is_set() or time.monotonic() > deadline:
                status = "STOPPED" if self._progress.stop.is_set() else "TIMED_OUT"
                self._progress.end(status)
                self._progress.finish(status)
                return
        self._progress.end("SUCCEEDED")
        try:
            status = self._outcome()
        finally:
            self._slots.release()
        self._progress.finish(status)
        if self._folder is not None:
            if self._place is not None:
                self._place.give_back(self._folder)
            for name in ("output", "home", "tmp"):
                self._ground.workshop.discard(self._folder / name)

    def _outcome(self) -> str:
        status = "FAULT"
        try:
            status = self._phases(time.monotonic() + self._order.seconds)
        except StepStopped:
            status = "STOPPED"
            self._progress.end(status)
        except BuildTimedOut:
            status = "TIMED_OUT"
            minutes = round(self._order.seconds / 60)
            self._progress.end(status, "BUILD_TIMED_OUT", f"Build has timed out after {minutes} minutes.")
        except Exception as error:  # the last resort: a build that nobody can wait for would be worse
            traceback.print_exc()
            self._progress.end(status, "INTERNAL_ERROR", f"The embedded AWS failed: {type(error).__name__}: {error}")
        finally:
            self._finalize()
        return status

    def _finalize(self) -> None:
        self._progress.begin("FINALIZING")
        if self._shell is not None:
            self._shell.close()
        if self._log is not None:
            self._log.close()
        self._progress.end("SUCCEEDED")

    def _phases(self, deadline: float) -> str:
        if not self._do("PROVISIONING", self._provision) or not self._do("DOWNLOAD_SOURCE", self._download):
            return "FAILED"
        spec = self._read()
        for name in buildspec.PHASES:
            if not self._do(name.upper(), lambda name=name: self._commands(name, deadline)):
                on_failure = spec.phases[name].on_failure if name in spec.phases else None
                if on_failure == "ABORT" or (on_failure is None and not GOES_ON[name]):
                    return "FAILED"
        self._do("UPLOAD_ARTIFACTS", self._upload)
        return "FAILED" if self._failed else "SUCCEEDED"

    def _do(self, name: str, act: Any) -> bool:
        """Runs a phase; whether it succeeded. Being stopped or timed out goes further up."""
        self._progress.begin(name)
        if self._progress.stop.is_set():
            raise StepStopped
        failure: BuildFailure | None = None
        try:
            act()
            if self._log is not None:
                self._log.flush()
        except BuildFailure as error:
            failure = error
        except (ClientError, BotoCoreError) as error:
            failure = BuildFailure(CLIENT_ERROR, str(error))
        except OSError as error:
            failure = BuildFailure(CLIENT_ERROR, f"{error.strerror}: {error.filename}")
        code, message = (failure.code, failure.message) if failure else ("", "")
        status = "FAILED" if failure else "SUCCEEDED"
        self._say(f"Phase complete: {name} State: {status}")
        self._say(f"Phase context status code: {code} Message: {message}")
        if failure and not self._failed:
            self._failed = True
            if self._shell is not None:
                self._shell.export(CODEBUILD_BUILD_SUCCEEDING="0")
        self._progress.end(status, code, message)
        return failure is None

    def _say(self, text: str) -> None:
        if self._log is not None:
            self._log.say(text)

    def _client(self, service: str) -> Any:
        return self._ground.client(service, self._as_role(), self._order.region)

    def _as_role(self) -> Actor:
        if self._actor is None:
            raise BuildFailure(CLIENT_ERROR, "The build has no role yet.")
        return self._actor

    def _room(self) -> Path:
        if self._folder is None:
            raise BuildFailure(CLIENT_ERROR, "The build has no folder yet.")
        return self._folder

    def _read(self) -> buildspec.Buildspec:
        if self._spec is None:
            raise BuildFailure(CLIENT_ERROR, "The buildspec has not been read yet.")
        return self._spec

    def _provision(self) -> None:
        order = self._order
        unique = order.identifier.partition(":")[2]
        self._folder = self._ground.workshop.folder(f"build-{order.project[:80]}-{unique}")
        try:
            session = f"AWSCodeBuild-{unique}"[:SESSION_LENGTH]
            self._actor = self._ground.role(order.role, PRINCIPAL, session, order.project_arn)
        except AwsError as error:
            raise BuildFailure("ACCESS_DENIED", NOT_TRUSTED.format(reason=error.message)) from None
        logs = order.logs
        client = self._client("logs") if logs["enabled"] else None
        self._log = Log(
            self._room() / "build.log",
            client,
            group=logs["group"],
            stream=logs["stream"],
            role=order.role,
            build=order.arn,
        )
        for warning in order.warnings:
            self._say(f"WARNING: {warning}")

    def _download(self) -> None:
        order, progress = self._order, self._progress
        git = self._git_environment()
        room = self._room() / "output"
        self._folders = {"": room / "src"}
        for number, source in enumerate(order.secondary):
            self._folders[source["sourceIdentifier"]] = room / f"src-{number:02}"
        for folder in self._folders.values():
            folder.mkdir(parents=True)
        self._say(f"Waiting for DOWNLOAD_SOURCE: {order.source['type']} {order.source.get('location') or ''}".rstrip())
        # A pipeline says which revision of its own source an artifact is of: no version of the object.
        wanted = "" if order.from_pipeline else order.version
        progress.resolved = sources.fetch(order.source, wanted, self._folders[""], self._client, git) or order.version
        for source in order.secondary:
            name = source["sourceIdentifier"]
            version = "" if order.from_pipeline else order.secondary_versions.get(name, "")
            sources.fetch(source, version, self._folders[name], self._client, git)
        text = sources.buildspec(str(order.source.get("buildspec") or ""), self._folders[""], self._client)
        self._spec = buildspec.parse(text)
        self._given = variables.given(order, self._spec, self._client)
        self._say(f"YAML location is {order.source.get('buildspec') or sources.BUILDSPEC}".partition("\n")[0])
        self._say(f"Processing environment variables: {', '.join(sorted(self._given)) or 'none'}")

    def _git_environment(self) -> dict[str, str]:
        path = {"PATH": python.system_path(), "HOME": str(self._room()), "LANG": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0"}
        return path | python.network_settings() | self._ground.environment(self._as_role(), self._order.region)

    def _commands(self, name: str, deadline: float) -> None:
        spec = self._read()
        phase = spec.phases.get(name)
        if name == "install":
            self._equip(spec, phase, deadline)
        if phase is None or self._shell is None:
            return
        self._say(f"Entering phase {name.upper()}")
        failure = self._each(phase.commands)
        failure = self._each(phase.finally_) or failure
        if failure is not None:
            raise failure

    def _each(self, commands: tuple[str, ...]) -> BuildFailure | None:
        """Runs commands up to the first that fails."""
        if self._shell is None:
            return None
        for command in commands:
            self._say(f"Running command {command}")
            status = self._shell.run(command)
            if status:
                self._say(f"Command did not exit successfully {command} exit status {status}")
                message = f"Error while executing command: {command.strip()}. Reason: exit status {status}"
                return BuildFailure(COMMAND_ERROR, message)
        return None

    def _equip(self, spec: buildspec.Buildspec, phase: buildspec.Phase | None, deadline: float) -> None:
        """Makes the environment and the shell, which live until the end of the build."""
        order, room = self._order, self._room()
        runtimes: Mapping[str, str] = phase.runtimes if phase is not None else {}
        for name, version in runtimes.items():
            self._say(f"Selecting '{name}' runtime version '{version}' based on manual selections...")
            if name != "python":
                program = {"nodejs": "node", "golang": "go"}.get(name, name)
                found = shutil.which(program, path=python.system_path()) or "none: what needs it will fail"
                self._say(f"WARNING: {name} {version} is not chosen here; this machine has {found}")
        self._place = place.take(repr(spec.phases), room)
        self._folders[""] = self._place.house(self._folders[""])
        made = python.prepare(room, self._place.python, runtimes.get("python"), order.image, keeps=self._place.keeps)
        for note in [
            *made.notes,
            *(["The cache of the buildspec is not kept from build to build"] if spec.caches else []),
        ]:
            self._say(f"WARNING: {note}")
        for name in ("home", "tmp", "shell"):
            (room / name).mkdir()
        home = room / "home"
        account = self._ground.environment(self._as_role(), order.region)
        folders = {name: str(folder) for name, folder in self._folders.items()}
        environment = {
            "PATH": made.path,
            "HOME": str(home),
            "TMPDIR": str(room / "tmp"),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "PYTHONPYCACHEPREFIX": str(self._place.bytecode),
            **python.network_settings(),
            **account,
            # Files of the build's own, which it may write, as `aws configure` does.
            "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
            **variables.own(order, self._progress.started.timestamp(), folders, self._progress.resolved),
            **self._given,
            # Whatever a build is told, it must not reach AWS itself.
            "AWS_ENDPOINT_URL": account["AWS_ENDPOINT_URL"],
        }
        self._shell = Shell(
            self._ground.workshop,
            spec.shell,
            folder=room / "shell",
            log=room / "build.log",
            stop=self._progress.stop,
            deadline=deadline,
            variables=environment,
            directory=self._folders[""],
        )

    def _upload(self) -> None:
        spec, order = self._read(), self._order
        left = self._shell.variables if self._shell is not None else {}
        self._progress.exported = [{"name": name, "value": left[name]} for name in spec.exported if name in left]
        with self._every() as attempt:
            for name, output in spec.reports.items():
                attempt(lambda name=name, output=output: self._report(name, output, left))
            attempt(lambda: self._artifact(order.artifacts, spec.artifacts, "", left))
            for target in order.secondary_artifacts:
                name = str(target.get("artifactIdentifier") or "")
                attempt(lambda t=target, n=name: self._artifact(t, spec.secondary.get(n), n, left))

    @contextmanager
    def _every(self) -> Iterator[Any]:
        """Attempts several things, and fails at the end with what failed first."""
        failures: list[BuildFailure] = []

        def attempt(act: Any) -> None:
            try:
                act()
            except BuildFailure as failure:
                self._say(failure.message)
                failures.append(failure)

        yield attempt
        if failures:
            raise failures[0]

    def _artifact(
        self, target: Mapping[str, Any], output: buildspec.Output | None, identifier: str, left: Mapping[str, str]
    ) -> None:
        if target["type"] == "NO_ARTIFACTS":
            return
        if output is None:
            which = f"secondary artifacts {identifier}" if identifier else "primary artifacts"
            raise BuildFailure(CLIENT_ERROR, f"no definition for {which} in buildspec")
        order = self._order
        files = artifacts.find(output, self._folders[""], left, self._say)
        name = str(target.get("name") or order.project)
        if target.get("overrideArtifactName") and output.name:
            name = artifacts.expanded(output.name, left)
        made = artifacts.upload(files, target, name, build=order.identifier, key=order.key, s3=self._client("s3"))
        if identifier:
            self._progress.secondary.append({**made, "artifactIdentifier": identifier})
        else:
            self._progress.artifacts = made

    def _report(self, name: str, output: buildspec.Output, left: Mapping[str, str]) -> None:
        order = self._order
        try:
            files = artifacts.find(output, self._folders[""], left, self._say)
        except BuildFailure:
            raise BuildFailure(
                CLIENT_ERROR, f"Error in UPLOAD_ARTIFACTS phase: [{name}: [report files not found in build]]"
            ) from None
        cases = [case for found in files for case in reports.read(found.path, found.name)]
        group = name if name.startswith("arn:") else self._group(name)
        where = (self._ground, self._as_role(), order.region)
        made = f"{group.replace(':report-group/', ':report/')}:{uuid.uuid4()}"
        new = {"reportArn": made, "reportGroupArn": group, "executionId": order.arn}
        inner.call(*where, "CreateReport", new)
        inner.call(*where, "BatchPutTestCases", {"reportArn": made, "testCases": cases})
        failed = any(case["status"] in {"FAILED", "ERROR"} for case in cases)
        inner.call(*where, "UpdateReport", {"reportArn": made, "status": "FAILED" if failed else "SUCCEEDED"})
        self._progress.reports.append(made)
        self._say(f"Report {name}: {len(cases)} test case(s)")

    def _group(self, name: str) -> str:
        """The report group of the project for this name, made if there is none."""
        order, client = self._order, self._client("codebuild")
        full = f"{order.project}-{name}"
        try:
            made = client.create_report_group(name=full, type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"})
        except client.exceptions.ResourceAlreadyExistsException:
            return f"arn:{order.partition}:codebuild:{order.region}:{order.account}:report-group/{full}"
        return str(made["reportGroup"]["arn"])
