"""Sends each request to the one who answers it: a service of our own, or moto; and keeps the journal of calls.

Every answer that leaves here is AWS-shaped. What nobody implements is an error that names it, and so is what breaks.
"""

from __future__ import annotations

import io
import json
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from botocore.model import OperationNotFoundError
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app

from .embedded import FAULTS_PATH, GRANTS_PATH, JOURNAL_PATH, REFUSALS_PATH, Call
from .faults import Faults
from .ground import Ground
from .services import (
    autoscaling,
    cloudformation,
    cloudwatch,
    codebuild,
    codecommit,
    codepipeline,
    events,
    iam,
    kms,
    logs,
    organizations,
    s3,
    sagemaker,
    scheduler,
    servicecatalog,
    sts,
)
from .services.service import Service
from .wire import AwsError, Request, Response, not_implemented

# Calls that the journal keeps: the whole road with everything after it is a tenth of that.
MOST_CALLS = 100_000
# git shows its credentials only when it is asked for them: asking is no call of anybody's.
UNIDENTIFIED = Response(401, [("WWW-Authenticate", 'Basic realm="An access key id of the embedded AWS"')], b"")
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def own_services(ground: Ground) -> dict[str, Service]:
    """What is ours, by botocore's name of the service; with state of its own for each server."""
    services = [
        autoscaling.service(ground),
        cloudformation.service(ground),
        cloudwatch.service(ground),
        codebuild.service(ground),
        codecommit.service(ground),
        codepipeline.service(ground),
        events.service(ground),
        iam.service(),
        kms.service(),
        logs.service(),
        organizations.service(),
        s3.service(),
        *sagemaker.services(ground),
        scheduler.service(ground),
        servicecatalog.service(ground),
        sts.service(),
    ]
    return {service.name: service for service in services}


class Application:
    """The WSGI application of one embedded AWS."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._services = own_services(ground)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._journal: deque[Call] = deque(maxlen=MOST_CALLS)
        self._journal_lock = threading.Lock()
        self._faults = Faults()
        self._pages: dict[str, Callable[[], object]] = {
            JOURNAL_PATH: self._calls,
            GRANTS_PATH: ground.gate.grants.listed,
            FAULTS_PATH: self._faults.state,
            REFUSALS_PATH: ground.gate.grants.refused,
            **ground.pages,
        }
        self._forms: dict[str, Callable[[bytes], object]] = {FAULTS_PATH: self._faults.add, **ground.forms}

    def close(self) -> None:
        """Ends what the services have running outside this process."""
        self._ground.close()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers one HTTP request."""
        page, form = self._pages.get(environ["PATH_INFO"]), self._forms.get(environ["PATH_INFO"])
        if form is not None and environ["REQUEST_METHOD"] == "POST":
            response = _json_page(form(_body(environ)))
        else:
            response = self._aws(environ) if page is None else _json_page(page())
        headers = [(k, v) for k, v in response.headers if k.lower() != "content-length" or not response.body]
        if response.body:
            headers.append(("Content-Length", str(len(response.body))))
        start_response(f"{response.status} ", headers)
        return [response.body]

    def _calls(self) -> object:
        with self._journal_lock:
            return [asdict(call) for call in self._journal]

    def _aws(self, environ: dict[str, Any]) -> Response:
        request = _whole(environ)
        if request.git is not None and request.git.git_service and not request.access_key:
            return UNIDENTIFIED
        account = ""
        try:
            account = request.caller.account
            response = self._answered(request, environ)
        except AwsError as error:
            response = request.answer(error)
        except (NotImplementedError, OperationNotFoundError) as error:  # what moto raises for what it lacks
            response = request.answer(not_implemented(request.service, request.operation, f"({error})"))
        except Exception as error:  # the last resort: whatever broke, the caller must get an AWS error that says so
            traceback.print_exc()
            where, what = f"{request.service}:{request.operation}", f"{type(error).__name__}: {error}"
            failure = AwsError("InternalFailure", f"The embedded AWS failed in {where}: {what}", 500)
            response = request.answer(failure)
        call = Call(request.service, request.operation, account, response.status, request.writes)
        with self._journal_lock:  # before the answer is sent: who has the answer can read of it
            self._journal.append(call)
        print(f"{call.account} {call.service}:{call.operation} {call.status}", file=sys.stderr, flush=True)
        return response

    def _answered(self, request: Request, environ: dict[str, Any]) -> Response:
        self._ground.gate.check(request)
        self._faults.meet(request)
        service = self._services.get(request.service)
        if service is None:
            return self._by_moto(request, environ)
        operation = service.operations.get(request.operation)
        if operation is not None:
            return request.answer(operation(request))
        if service.complete:
            raise not_implemented(request.service, request.operation)
        with service.guard(request):
            return self._by_moto(request, environ)

    def _by_moto(self, request: Request, environ: dict[str, Any]) -> Response:
        # moto's own way to say whose state a request is about; it reads account ids from 20-character keys alone.
        if request.caller.account:
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = request.caller.account
        if environ["PATH_INFO"].startswith("/moto-api"):
            raise not_implemented("moto", "its control API", "It could reset what this server holds.")
        environ["wsgi.input"] = io.BytesIO(request.body)
        host = self._moto.infer_service_region_host(environ, environ["PATH_INFO"])
        if host is not None and self._moto.get_backend_for_host(host) is None:
            raise not_implemented(request.service, request.operation)
        chunks, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        response = Response(int(status.split()[0]), list(headers), b"".join(chunks))
        if _is_nobodys(request, response):
            raise not_implemented(request.service, request.operation)
        return response


def _json_page(content: object) -> Response:
    """A page of the embedded AWS's own."""
    return Response(200, [("Content-Type", "application/json")], json.dumps(content).encode())


def _is_nobodys(request: Request, response: Response) -> bool:
    """Whether moto had no handler: its web framework's page for people, or an empty 404 where a protocol has none."""
    if response.status == 404 and not response.body:
        return request.protocol in {"json", "query"} or " " in request.operation
    return response.status >= 400 and response.body[:100].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _body(environ: dict[str, Any]) -> bytes:
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    if environ.pop("HTTP_TRANSFER_ENCODING", "") == "chunked":
        return bytes(stream.read())
    return bytes(stream.read(int(length))) if length else b""


def _whole(environ: dict[str, Any]) -> Request:
    """The request with its body read: it can be looked at and passed on, and no lock waits for a slow sender."""
    body = _body(environ)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    request = Request(environ, body)
    request.http.get_data(cache=True, parse_form_data=False)
    return request


class _Handler(MotoRequestHandler):
    """moto's handler of a connection, without a line in the log that says less than the journal's."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing: the application does."""


def serve(application: Application, listener: socket.socket) -> BaseWSGIServer:
    """A threaded server on the bound socket; call its ``serve_forever``."""
    host, port = listener.getsockname()
    listener.listen(128)
    return make_server(host, port, application, threaded=True, request_handler=_Handler, fd=listener.detach())
