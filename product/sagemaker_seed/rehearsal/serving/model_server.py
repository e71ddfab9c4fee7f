"""One model as a child process that answers invocations: its data, its environment, its start and its end."""

from __future__ import annotations

import http.client
import secrets
import shutil
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from ..jobs import container, storage
from ..jobs.failure import StepFailure
from ..jobs.storage import Aws
from ..jobs.training import unpack
from ..jobs.workshop import Machine, Running
from .failure import ServingFailure, bad_data, no_data, unhealthy
from .logbook import Logbook
from .standby import THREADS, Standby

HEALTH_SECONDS = 240
INVOCATION_SECONDS = 60
DRAIN_SECONDS = 5
SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"


@dataclass(frozen=True)
class Contents:
    """What a model consists of: image, place of its data (empty if none), environment, and whether it is kept apart."""

    image: str
    data: str
    environment: Mapping[str, str]
    isolated: bool


@dataclass(frozen=True)
class Invocation:
    """A request to a model."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """What a container answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """A container did not answer; ``late`` if it took too long rather than broke."""

    def __init__(self, message: str, *, late: bool) -> None:
        super().__init__(message)
        self.late = late


@dataclass(frozen=True)
class Seat:
    """Whose model it is: name and ARN of an endpoint or a job, the variant's name, how long it may take to get healthy.

    Attributes:
        log_group: where its log goes; empty for the group of the endpoint.
    """

    endpoint: str
    arn: str
    variant: str
    health_seconds: int = HEALTH_SECONDS
    log_group: str = ""


class ModelServer:
    """A running model. Make one with :meth:`started`."""

    def __init__(self, running: Running, port: int, folder: Path, logbook: Logbook) -> None:
        self._running, self._port, self._folder, self.logbook = running, port, folder, logbook
        self._inside, self._left = 0, threading.Condition()

    @classmethod
    def started(cls, standby: Standby, aws: Aws, seat: Seat, contents: Contents) -> ModelServer:
        """A model that answers its health check; ``aws`` acts as the model's role.

        Raises:
            ServingFailure: its data cannot be had or is no archive, or it does not get healthy.
        """
        instance = f"i-{secrets.token_hex(8)}"
        folder = standby.workshop.folder(f"{seat.endpoint}-{instance}")
        place = container.Place(standby.workshop, aws, threading.Event(), seat.endpoint, seat.arn, folder, 0)
        (host,) = container.hosts(place, 1)
        try:
            given = _prepared(aws, seat, contents, host)
        except ServingFailure:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        log = folder / "log"
        stream = f"{seat.variant}/{instance}"
        logbook = Logbook(aws, seat.log_group or f"/aws/sagemaker/Endpoints/{seat.endpoint}", stream, log)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            environment = container.environment(place, host, given, isolated=contents.isolated)
            machine = Machine(instance, [], environment, host.base, log)
            running = standby.start(machine, listener, host.at("/opt/ml/model"))
            server = cls(running, listener.getsockname()[1], folder, logbook)
        try:
            server.check_health(seat)
            standby.prepare()
        except (ServingFailure, OSError):
            server.stop()
            raise
        return server

    def check_health(self, seat: Seat) -> None:
        """Pings once, and waits for the answer: a container that is not there yet keeps it until it is.

        Raises:
            ServingFailure: no answer in time, or another one than 200.
        """
        try:
            reply = self._ask("GET", "/ping", Invocation(b"", {}), seat.health_seconds)
        except NoReply:
            raise unhealthy(seat.variant, self.logbook.last_line) from None
        if reply.status != http.client.OK:
            raise unhealthy(seat.variant, self.logbook.last_line)

    def invoke(self, invocation: Invocation) -> Reply:
        """The container's answer.

        Raises:
            NoReply: there is none.
        """
        try:
            return self._ask("POST", "/invocations", invocation, INVOCATION_SECONDS)
        finally:
            self.logbook.note()

    def enter(self) -> None:
        """An invocation is on its way here: see :meth:`stop`."""
        with self._left:
            self._inside += 1

    def leave(self) -> None:
        """An invocation that had entered is over."""
        with self._left:
            self._inside -= 1
            self._left.notify_all()

    def stop(self) -> None:
        """Ends the process when what is on its way here is over, and takes its files away."""
        with self._left:
            self._left.wait_for(lambda: not self._inside, DRAIN_SECONDS)
        self._running.stop()
        self.logbook.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, method: str, path: str, invocation: Invocation, seconds: float) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=seconds)
        try:
            connection.request(method, path, invocation.body or None, dict(invocation.headers))
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        except TimeoutError:
            raise NoReply(f"no answer within {seconds} seconds", late=True) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoReply(str(error) or type(error).__name__, late=False) from None
        finally:
            with suppress(OSError):
                connection.close()


def _prepared(aws: Aws, seat: Seat, contents: Contents, host: container.Host) -> dict[str, str]:
    """Puts a model's data, and its code where that is elsewhere, in place; returns the container's environment.

    Raises:
        ServingFailure: one of them cannot be had.
    """
    given = {"SM_MODEL_DIR": "/opt/ml/model", **THREADS, **contents.environment}
    if contents.data:
        _unpacked(aws, contents.data, host.base / "model.tar.gz", host.at("/opt/ml/model"))
    code = given.get(SUBMIT_DIRECTORY, "")
    if code.startswith("s3://"):
        if contents.isolated:  # it is the container itself that fetches its code
            raise unhealthy(seat.variant, f"{code} cannot be fetched by a container in network isolation")
        _unpacked(aws, code, host.base / "sourcedir.tar.gz", host.at("/opt/ml/code"))
        given[SUBMIT_DIRECTORY] = "/opt/ml/code"
    return given


def _unpacked(aws: Aws, uri: str, archive: Path, folder: Path) -> None:
    try:
        bucket, key = storage.split(uri)
        aws.client("s3").download_file(bucket, key, str(archive))
    except (ClientError, BotoCoreError, StepFailure) as error:
        raise no_data(uri, str(error)) from None
    try:
        unpack(archive, folder, uri)
    except StepFailure as error:
        raise bad_data(uri, str(error)) from None
    archive.unlink()
