"""What the services of one embedded AWS share: its address, its child processes, whoever acts, and what has happened.

A service that does something (a build, a stack, a stage) does it as somebody, over HTTP, like any program: it takes an
:class:`Actor`, makes a client of it, and calls. So one place decides what that somebody may do, and the journal of
calls shows it. No service knows another; they meet in API calls and in events.
"""

from __future__ import annotations

import json
import queue
import threading
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from werkzeug.test import EnvironBuilder

from .embedded import EVENTS_PATH
from .jobs.workshop import Workshop
from .repositories import address
from .serving.standby import Standby
from .wire import Request

if TYPE_CHECKING:
    from .access.gate import Gate

MOST_PATIENT_SECONDS = 5.0
# Of credentials the embedded AWS looks at the key id alone.
SECRET = "embedded"  # noqa: S105
# Clients that are kept: as many as are in use at once, and more. Every build has a session, and so clients, of its own.
MOST_CLIENTS = 128


@dataclass(frozen=True)
class Actor:
    """Somebody who can call AWS: an account's root or the session of a role.

    Attributes:
        account: twelve digits.
        arn: whom the calls are made as.
        key: the access key id, which is what the embedded AWS knows them by.
        token: the session token; None for a root.
    """

    account: str
    arn: str
    key: str
    token: str | None = None


@dataclass(frozen=True)
class Event:
    """Something that a service says has happened, as EventBridge gets it; ``detail`` is what a pattern looks into."""

    account: str
    region: str
    source: str
    detail_type: str
    detail: Mapping[str, Any]
    resources: tuple[str, ...] = field(default=())


class Ground:
    """One per server.

    Args:
        url: where this embedded AWS answers, such as ``http://127.0.0.1:4566``.
        strict: whether what a role does must be allowed by its policies.
    """

    def __init__(self, url: str, *, strict: bool = False) -> None:
        self.url, self.strict = url, strict
        self.workshop = Workshop()
        self.standby = Standby(self.workshop)
        self._clients: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._happened: Counter[str] = Counter()
        self._happening = threading.Condition()
        self._subscribers: list[Callable[[Event], None]] = []
        # Path -> what a page of the embedded AWS's own shows, as JSON; services add theirs when they are made.
        self.pages: dict[str, Callable[[], object]] = {}
        # Path -> what is done with what is posted to it, and answered as JSON.
        self.forms: dict[str, Callable[[bytes], object]] = {EVENTS_PATH: self._awaited}

    @cached_property
    def gate(self) -> Gate:
        """Decides who may do what."""
        from .access.gate import Gate

        def client(service: str, account: str, region: str) -> Any:
            return self.client(service, self.root(account), region)

        return Gate(strict=self.strict, client=client)

    def close(self) -> None:
        """Ends every child process."""
        self.workshop.close()

    def root(self, account: str, partition: str = "aws") -> Actor:
        """The root of an account, who may do everything there."""
        return Actor(account, f"arn:{partition}:iam::{account}:root", account)

    def caller(self, request: Request) -> Actor:
        """Whoever made a request, to act in their name."""
        caller = request.caller
        token = None if caller.is_account else request.http.headers.get("X-Amz-Security-Token", "embedded")
        return Actor(caller.account, caller.arn, request.access_key, token)

    def role(self, arn: str, service: str, session: str, source: str = "") -> Actor:
        """A role, assumed by a service.

        Args:
            arn: the role's.
            service: the service's principal, such as ``codebuild.amazonaws.com``.
            session: the name of the session, which shows in ARNs of what it does.
            source: the ARN of the resource that the service acts for, which the role's trust policy may ask about.

        Raises:
            AwsError: ``AccessDenied``, there is no such role, or it does not trust the service.
        """
        from .services.sts import assumed_by_service

        return assumed_by_service(arn, service, session, source, self.gate.grants if self.strict else None)

    def role_of(self, actor: Actor, arn: str, region: str, session: str) -> Actor:
        """A role, assumed by ``actor`` through STS.

        Raises:
            botocore.exceptions.ClientError: ``AccessDenied``, there is no such role, or they may not assume it.
        """
        answer = self.client("sts", actor, region).assume_role(RoleArn=arn, RoleSessionName=session)
        given, assumed = answer["Credentials"], answer["AssumedRoleUser"]["Arn"]
        return Actor(assumed.split(":")[4], assumed, given["AccessKeyId"], given["SessionToken"])

    def client(self, service: str, actor: Actor, region: str) -> Any:
        """A boto3 client that acts as ``actor``; the same one again for the same question, safe in threads."""
        from botocore.config import Config

        with self._lock:
            if (service, actor.key, region) not in self._clients:
                self._clients[service, actor.key, region] = self._session.client(
                    service,
                    endpoint_url=self.url,
                    region_name=region,
                    aws_access_key_id=actor.key,
                    aws_secret_access_key=SECRET,
                    aws_session_token=actor.token,
                    config=Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=300),
                )
            self._clients.move_to_end((service, actor.key, region))
            if len(self._clients) > MOST_CLIENTS:  # the one that nobody has asked for the longest
                self._clients.popitem(last=False)
            return self._clients[service, actor.key, region]

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.Session()

    def permit(self, actor: Actor, region: str, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        """Refuses what a service does in ``actor``'s name within itself, as if they had called a JSON operation.

        Raises:
            AwsError: policies do not allow it, and the embedded AWS is strict.
        """
        if not self.strict:
            return
        body = json.dumps(parameters, default=str).encode()
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={actor.key}/20000101/{region}/{service}/aws4_request",
            "X-Amz-Target": operation,
            "X-Amz-Security-Token": actor.token or "",
            "Content-Type": "application/x-amz-json-1.1",
        }
        environ = EnvironBuilder(method="POST", path="/", headers=list(headers.items()), data=body).get_environ()
        self.gate.check(Request(environ, body))

    def environment(self, actor: Actor, region: str) -> dict[str, str]:
        """What a child process needs to reach this embedded AWS as ``actor``; there are no other credentials."""
        token = {"AWS_SESSION_TOKEN": actor.token} if actor.token else {}
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": actor.key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            **token,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **address.client_settings(self.url, {}),
        }

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Has ``subscriber`` called with each event, in one thread, in the order in which they happened."""
        with self._lock:
            self._subscribers.append(subscriber)
            first = len(self._subscribers) == 1
        if first:
            threading.Thread(target=self._deliver, daemon=True, name="events").start()

    def emit(self, event: Event) -> None:
        """Says that something has happened; returns at once."""
        self._events.put(event)
        with self._happening:
            self._happened[event.detail_type] += 1
            self._happening.notify_all()

    def await_event(self, kinds: Collection[str], since: int, seconds: float) -> int:
        """Waits for the next event of some kinds, for so long at most; for who would look again and again.

        Args:
            kinds: detail types of events, of any account.
            since: what this answered last, so that nothing between two looks is missed; at first 0, which answers at
                once if there ever was one.

        Returns:
            How many there have been so far.
        """

        def happened() -> int:
            return sum(self._happened[kind] for kind in kinds)

        with self._happening:
            self._happening.wait_for(lambda: happened() != since, seconds)
            return happened()

    def _awaited(self, body: bytes) -> int:
        asked = json.loads(body)
        return self.await_event(asked["kinds"], asked["since"], min(asked["seconds"], MOST_PATIENT_SECONDS))

    def _deliver(self) -> None:
        while True:
            event = self._events.get()
            for subscriber in list(self._subscribers):
                try:
                    subscriber(event)
                except Exception:  # the next event must still be delivered; the server's log says what broke
                    traceback.print_exc()
