"""Starts and stops an embedded AWS: a child process that answers AWS's API on a free local port.

This is the parent's side, which knows nothing of how the child answers (see ``server.py``). boto3 is imported when a
client is asked for, moto never: it lives in the child, so that two embedded AWSs side by side share nothing, with each
other or with the caller.

    with EmbeddedAws(region="eu-west-1") as aws:
        aws.client("s3").create_bucket(...)
        subprocess.run([...], env=aws.child_environment(os.environ))

**Credentials.** An access key id of twelve digits is that account (its root; the secret is not looked at). Keys that
the embedded AWS issued (``AssumeRole``, ``CreateAccessKey``) are the role or user they were issued for. The key id
``EXPIRED`` (:data:`EXPIRED_KEY`) meets ``ExpiredToken`` (``ExpiredTokenException`` where a service's protocol is JSON),
and any other key id is refused as unknown, as on AWS.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from ..errors import SeedError
from .repositories import address

if TYPE_CHECKING:
    from botocore.config import Config

ACCOUNT = "111111111111"
EXPIRED_KEY = "EXPIRED"
JOURNAL_PATH = "/_embedded/calls"
GRANTS_PATH = "/_embedded/grants"
REFUSALS_PATH = "/_embedded/refusals"
START_SECONDS = 30.0
STOP_SECONDS = 3.0
LOG_LINES = 15
LOCAL_HOSTS = "127.0.0.1,localhost"
FAULTS_PATH = "/_embedded/faults"
DELIVERIES_PATH = "/_embedded/deliveries"
SCHEDULES_PATH = "/_embedded/schedules"
SCHEDULED_PATH = "/_embedded/scheduled"
EVENTS_PATH = "/_embedded/events"


class EmbeddedAwsError(SeedError):
    """The embedded AWS could not be started, or is not there any more."""


@dataclass(frozen=True)
class Scheduled:
    """One call that a schedule made, or could not make.

    Attributes:
        account: twelve digits, the schedule's.
        schedule: its ARN.
        target: what it calls, such as ``arn:aws:scheduler:::aws-sdk:sagemaker:createTransformJob``.
        input: the parameters, as text.
        reason: why the call failed; empty when it did not.
    """

    account: str
    schedule: str
    target: str
    input: str
    reason: str


@dataclass(frozen=True)
class Delivery:
    """One event that one target of a rule was to get.

    Attributes:
        account: twelve digits, the rule's.
        region: the rule's.
        rule: name of the rule.
        target: ARN of the target.
        event: id of the event.
        detail_type: what kind of event, such as ``CodeCommit Repository State Change``.
        input: what the target was given, as text.
        status: ``delivered`` or ``failed``.
        reason: why it failed; empty when it did not.
    """

    account: str
    region: str
    rule: str
    target: str
    event: str
    detail_type: str
    input: str
    status: str
    reason: str


@dataclass(frozen=True)
class Call:
    """One AWS call that the embedded AWS answered.

    Attributes:
        service: botocore's name of the service, such as ``servicecatalog``.
        operation: the API's name of the operation, such as ``CreateProduct``.
        account: twelve digits, or empty when the credentials said nothing of an account.
        status: the HTTP status that the caller got.
        writes: whether the operation is one that changes something, whether or not it succeeded.
    """

    service: str
    operation: str
    account: str
    status: int
    writes: bool


@dataclass(frozen=True)
class Grant:
    """One statement of a policy that has let somebody do something.

    Attributes:
        account: twelve digits, of the holder; empty for a bucket, whose ARN has none.
        holder: the ARN of the role or user, or of the resource, that has the policy.
        policy: the name of an inline policy, the ARN of a managed one; of a resource's the kind, as "key policy".
        statement: its ``Sid``, or its number, counted from 1.
        actions: action -> how often.
        alone: how often it alone let it happen.
    """

    account: str
    holder: str
    policy: str
    statement: str
    actions: dict[str, int]
    alone: int


@dataclass(frozen=True)
class Refusal:
    """Something that policies did not let a role or a user do.

    Attributes:
        principal: the ARN of the role or user; a service's own principal, if it was not let assume a role.
        action: such as ``kms:CreateKey``.
        resource: the ARN of what it was to be done to.
        reason: in AWS's words.
    """

    principal: str
    action: str
    resource: str
    reason: str


class EmbeddedAws:
    """An AWS of one's own, alive for the length of a ``with`` block.

    Args:
        region: the region of clients and environments that name none.
        log: file that the child's log is appended to; without one the log is kept only to explain a failed start.
        strict: whether what roles and users do must be allowed by policies; the root of an account may do everything.

    Attributes:
        url: ``http://127.0.0.1:PORT`` while it runs, else empty.
        pid: the child's process id while it runs, else 0.

    Raises:
        EmbeddedAwsError: on entering, if the child does not answer within ``START_SECONDS``; the message says why.
    """

    def __init__(self, *, region: str, log: Path | None = None, strict: bool = False) -> None:
        self.region = region
        self._strict = strict
        self.url = ""
        self.pid = 0
        self._log = log
        self._exit = ExitStack()
        self._session: Any = None
        self._session_lock = threading.Lock()

    def __enter__(self) -> Self:
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise EmbeddedAwsError(
                "The embedded AWS needs moto's server, which is not installed here: "
                "pip install 'sagemaker-seed[rehearsal]'"
            )
        with ExitStack() as undo:
            log = undo.enter_context(self._open_log())
            start = log.seek(0, os.SEEK_END)
            child = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", f"{__package__}.server", "--parent", str(os.getpid())),
                    *(["--strict"] if self._strict else []),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_child_process_environment(),
            )
            undo.callback(_stop, child)
            try:
                port = _announced_port(child)
            except EmbeddedAwsError as error:
                raise EmbeddedAwsError(f"{error}{_last_lines(log, start)}") from None
            self._exit = undo.pop_all()
        self.url, self.pid = f"http://127.0.0.1:{port}", child.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.url, self.pid, self._session = "", 0, None
        self._exit.close()

    def environment(self, account: str = ACCOUNT) -> dict[str, str]:
        """What to add to a process's environment so that its AWS SDK or CLI talks to this embedded AWS as ``account``.

        It can only add: a caller whose own environment may hold ``AWS_PROFILE`` or a session token uses
        :meth:`child_environment`, which also takes away.
        """
        return {**self._aws_settings(account), **address.client_settings(self._running_url(), os.environ)}

    def _aws_settings(self, account: str) -> dict[str, str]:
        no_proxy = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), LOCAL_HOSTS]))
        return {
            "AWS_ENDPOINT_URL": self._running_url(),
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }

    def child_environment(self, base: Mapping[str, str], account: str = ACCOUNT) -> dict[str, str]:
        """``base`` without any of its AWS settings, and with those of :meth:`environment`, for a child process."""
        return {k: v for k, v in base.items() if not k.startswith(("AWS_", "BOTO"))} | {
            **self._aws_settings(account),
            **address.client_settings(self._running_url(), base),
        }

    def client(
        self, service: str, account: str = ACCOUNT, region: str | None = None, *, config: Config | None = None
    ) -> Any:
        """A boto3 client of ``service`` that acts as ``account``; it reads nothing of the user's AWS configuration.

        Args:
            service: botocore's name of the service, such as ``servicecatalog``.
            account: twelve digits, or an access key id that this embedded AWS issued.
            region: if not the one that the embedded AWS was made with.
            config: settings on top of the defaults, such as how often to try again.
        """
        from botocore.config import Config

        url = self._running_url()
        with self._session_lock:  # creating clients from one session is not thread-safe
            if self._session is None:
                self._session = _isolated_session()
            return self._session.client(
                service,
                endpoint_url=url,
                region_name=region or self.region,
                aws_access_key_id=account,
                aws_secret_access_key="embedded",  # noqa: S106 - the embedded AWS looks at the key id alone
                config=Config(proxies={}).merge(config or Config()),
            )

    def deliveries(self) -> list[Delivery]:
        """Every event that a rule passed on to a target, or failed to, oldest first."""
        return [Delivery(**entry) for entry in self._page(DELIVERIES_PATH)]

    def let_time_come(self, rule: str, account: str) -> list[Delivery]:
        """Starts what a rule with a schedule starts, once; what was delivered.

        Raises:
            EmbeddedAwsError: there is no such rule with a schedule, or it is disabled.
        """
        answer = self._page(SCHEDULES_PATH, {"rule": rule, "account": account})
        if "error" in answer:
            raise EmbeddedAwsError(answer["error"])
        return [Delivery(**entry) for entry in answer]

    def scheduled(self) -> list[Scheduled]:
        """Every call that a schedule made or could not make, oldest first."""
        return [Scheduled(**entry) for entry in self._page(SCHEDULED_PATH)]

    def await_event(self, kinds: Collection[str], since: int, seconds: float) -> int:
        """Waits for the next event of some kinds, for so long at most: see ``Ground.await_event``."""
        return int(self._page(EVENTS_PATH, {"kinds": list(kinds), "since": since, "seconds": seconds}))

    def calls(self) -> list[Call]:
        """Every AWS call answered so far, oldest first."""
        return [Call(**entry) for entry in self._page(JOURNAL_PATH)]

    def grants(self) -> list[Grant]:
        """Every policy statement that has let a role or a user do something so far; none where it is not strict."""
        return [Grant(**entry) for entry in self._page(GRANTS_PATH)]

    def refusals(self) -> list[Refusal]:
        """Everything so far that policies did not let a role or a user do, oldest first."""
        return [Refusal(**entry) for entry in self._page(REFUSALS_PATH)]

    def fail(
        self, service: str, operation: str, account: str, *, code: str = "InternalFailure", times: int = 1
    ) -> None:
        """Has the next calls of an operation in an account refused, whoever makes them."""
        fault = {"service": service, "operation": operation, "account": account, "code": code, "times": times}
        self._page(FAULTS_PATH, fault)

    def failed(self) -> int:
        """How many calls have been refused because ``fail`` said so."""
        return int(self._page(FAULTS_PATH)["met"])

    def _page(self, path: str, body: object = None) -> Any:
        host, _, port = self._running_url().removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request(*(("GET", path) if body is None else ("POST", path, json.dumps(body))))
            entries = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EmbeddedAwsError(f"The embedded AWS at {self.url} does not answer any more: {error}") from error
        finally:
            connection.close()
        return entries

    def _running_url(self) -> str:
        if not self.url:
            raise EmbeddedAwsError("The embedded AWS is not running: use it inside its `with` block")
        return self.url

    def _open_log(self) -> IO[bytes]:
        if self._log is None:
            return tempfile.TemporaryFile()  # has no name: nothing to clean up
        try:
            return self._log.open("ab+")
        except OSError as error:
            raise EmbeddedAwsError(
                f"The embedded AWS cannot write its log {self._log}: {error.strerror}. "
                "Name a file in an existing folder."
            ) from None


def _child_process_environment() -> dict[str, str]:
    """The caller's environment less what would steer the child's own moto and boto3; this package is importable."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BOTO", "MOTO_"))}
    package_home = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [package_home, kept.get("PYTHONPATH")]))
    return kept | {
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _announced_port(child: subprocess.Popen[bytes]) -> int:
    """Waits for the line in which the child says that it is ready.

    Raises:
        EmbeddedAwsError: the child ended, said something else, or said nothing for ``START_SECONDS``.
    """
    if child.stdout is None:
        raise EmbeddedAwsError("The embedded AWS was started without a pipe to announce its port on")
    deadline, line = time.monotonic() + START_SECONDS, b""
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not ready.select(max(0.0, deadline - time.monotonic())):
                raise EmbeddedAwsError(f"The embedded AWS did not start within {START_SECONDS:.0f} s")
            part = os.read(child.stdout.fileno(), 4096)
            if not part:
                raise EmbeddedAwsError(f"The embedded AWS could not start (exit code {child.wait(STOP_SECONDS)})")
            line += part
    try:
        return int(json.loads(line)["port"])
    except (ValueError, KeyError, TypeError):
        raise EmbeddedAwsError(f"The embedded AWS announced {line!r} in place of its port") from None


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ends the child: its standard input closing is the signal; what does not listen is killed."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_lines(log: IO[bytes], start: int) -> str:
    log.seek(start)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return ":\n" + "\n".join(lines[-LOG_LINES:]) if lines else ""


def _isolated_session() -> Any:
    """A boto3 session that takes no setting from environment variables, profiles or configuration files."""
    import boto3
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
    from botocore.session import Session

    files = {"config_file": os.devnull, "credentials_file": os.devnull}
    settings = {
        name: (None, None, files.get(name, default), convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    return boto3.Session(botocore_session=Session(session_vars=settings))
