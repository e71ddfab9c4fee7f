"""A SageMaker runtime whose model really computes its answers from iris rows, and that can misbehave on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CLASSES = ("setosa", "versicolor", "virginica")
Reply = tuple[int, str, bytes]
"""HTTP status, content type and body."""


def rows_of(content_type: str, body: bytes) -> list[list[float]]:
    """The feature rows of a request."""
    if content_type not in ("application/json", "text/csv"):
        raise ValueError(content_type)
    if content_type == "application/json":
        return [[float(value) for value in row] for row in json.loads(body)["instances"]]
    return [[float(value) for value in line.split(",")] for line in body.decode().splitlines() if line]


def error(status: int) -> Reply:
    """What SageMaker answers when the container answered with an error."""
    whose = "client" if status < 500 else "server"
    body = {"Message": f"Received {whose} error ({status}) from primary", "OriginalStatusCode": status}
    return 424, "application/json", json.dumps(body).encode()


def classify(row: list[float]) -> dict[str, Any]:
    """Tells the species by the length of the petals, which is nearly enough."""
    sure = 0 if row[2] < 2.5 else 1 if row[2] < 4.9 else 2
    return {
        "label": CLASSES[sure],
        "probabilities": {name: 0.9 if index == sure else 0.05 for index, name in enumerate(CLASSES)},
    }


def estimate(row: list[float]) -> dict[str, Any]:
    """Estimates the width of the petals from their length."""
    return {"value": 0.42 * row[2] - 0.36}


COLUMNS = {"classification": 4, "regression": 3}
MODELS: dict[str, Callable[[list[float]], dict[str, Any]]] = {"classification": classify, "regression": estimate}


class Model:
    """A model behind an endpoint; set `misbehave` to change what it answers.

    In the state of an endpoint that no test can wait for, it answers for SageMaker itself: set `described` to what
    DescribeEndpoint shall answer.
    """

    def __init__(self, prediction: str) -> None:
        self.predict, self.columns = MODELS[prediction], COLUMNS[prediction]
        self.requests = 0
        self.lock, self.mine = threading.Lock(), threading.local()
        self.endpoints: set[str] = set()
        self.stopped = threading.Event()
        self.described: dict[str, Any] = {}
        self.misbehave: Callable[[Model, Reply], Reply] = lambda _, reply: reply

    def answer(self, content_type: str, body: bytes) -> Reply:
        """Answers a request, rightly or as `misbehave` says; refuses what it cannot read."""
        with self.lock:
            self.requests += 1
            self.mine.number = self.requests
        try:
            rows = rows_of(content_type, body)
            if any(len(row) != self.columns for row in rows):
                raise ValueError(rows)
            predictions = [self.predict(row) for row in rows]
            right = (200, "application/json", json.dumps({"predictions": predictions}).encode())
        except (ValueError, LookupError):
            right = error(400)
        return self.misbehave(self, right)


def slow(seconds: float) -> Callable[[Model, Reply], Reply]:
    """Answers rightly, but late."""

    def late(_: Model, reply: Reply) -> Reply:
        time.sleep(seconds)
        return reply

    return late


def never(model: Model, reply: Reply) -> Reply:
    """Does not answer as long as the server runs."""
    model.stopped.wait()
    return reply


def wrong(_: Model, reply: Reply) -> Reply:
    """Gives every row the first row's answer."""
    if reply[0] != 200:
        return reply
    predictions = json.loads(reply[2])["predictions"]
    return reply[0], reply[1], json.dumps({"predictions": [predictions[0]] * len(predictions)}).encode()


def careless(_: Model, reply: Reply) -> Reply:
    """Answers with a server error what is the client's mistake."""
    return reply if reply[0] == 200 else error(500)


def obliging(model: Model, reply: Reply) -> Reply:
    """Answers anything as if it were good."""
    return (200, "application/json", b'{"predictions": []}') if reply[0] != 200 else reply


def csv(_: Model, reply: Reply) -> Reply:
    """Answers in another content type."""
    return (200, "text/csv", b"0\n") if reply[0] == 200 else reply


def failing(every: int) -> Callable[[Model, Reply], Reply]:
    """Answers every so many requests with a server error, as SageMaker reports that of a container."""

    def broken(model: Model, reply: Reply) -> Reply:
        return reply if model.mine.number % every else error(500)

    return broken


@contextmanager
def answering(prediction: str) -> Iterator[tuple[Model, str]]:
    """Starts the runtime on a free port; yields the model and the address for AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME."""
    model = Model(prediction)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one piece: in two, the kernel holds the second back for 40 ms.
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("X-Amz-Target") == "SageMaker.DescribeEndpoint":
                status, content_type, answer = 200, "application/x-amz-json-1.1", json.dumps(model.described).encode()
            else:
                model.endpoints.add(self.path)
                model.mine.path = self.path
                status, content_type, answer = model.answer(self.headers["Content-Type"], body)
            if model.stopped.is_set():
                return
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            if status != 200:
                self.send_header("x-amzn-ErrorType", "ModelError")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        model.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
