"""A model's container: loads the model, then answers /ping and /invocations on the socket that it was handed.

Runs as a script of its own, with nothing of this package importable, and follows SageMaker's XGBoost container: the
functions of SAGEMAKER_PROGRAM with that container's defaults for those that are missing, or the built-in algorithm
where there is no SAGEMAKER_PROGRAM. It ends with code 1 when the model cannot be loaded; the log says why.

With ``--standby`` it imports XGBoost, and waits until it is told its model: log and socket as file descriptors, folder
and environment as JSON. It then goes on as if it had been started so; a model for which it would have imported XGBoost
in another way, or not at all, it serves by starting itself anew.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JSON, CSV, LIBSVM, LINES = "application/json", "text/csv", ("text/libsvm", "text/x-libsvm"), "application/jsonlines"
HTML = "text/html; charset=utf-8"
AS_TEXT = (JSON, CSV)
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
MAX_CONTENT = 6 * 1024 * 1024
# A word of these in a model's code, and XGBoost is imported with its scikit-learn interface.
NEEDS_SKLEARN = re.compile(r"sklearn|scikit|joblib|pickle|dask|\bXGB[A-Z]")
PICKLED = b"\x80"
# Read while Python starts, or while a library is loaded: by then it was the environment of a process that waits.
READ_AT_START = ("PYTHON", "LD_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "MALLOC_", "LC_", "LANG", "TZ")


@dataclass(frozen=True)
class Reply:
    """An answer to an invocation."""

    status: int
    content_type: str
    body: bytes
    custom: str = ""


Answer = Callable[[bytes, str, str], Reply]


class UnsupportedFormat(Exception):
    """A content type that a default function cannot read, or cannot write."""


def _text_reply(status: int, text: str, content_type: str = HTML) -> Reply:
    return Reply(status, content_type, text.encode())


def _server_error() -> Reply:
    """What Flask makes of an exception."""
    return _text_reply(
        500,
        "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n"
        "<p>The server encountered an internal error and was unable to complete your request. Either the server is "
        "overloaded or there is an error in the application.</p>\n",
    )


def _import_xgboost_alone() -> None:
    """Imports XGBoost without its scikit-learn interface, for those who cannot want that.

    scikit-learn is two thirds of the memory of a small model's process, and more than that of its start.
    """
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # what the import system takes for "not to be had"
    try:
        with suppress(ImportError):  # who imports it will hear of it
            importlib.import_module("xgboost")
    finally:
        del sys.modules["sklearn"]


# --- script mode: the functions of the model's own module, as sagemaker_containers' Transformer calls them


class Script:
    """The functions of a module, with defaults for what it does not define."""

    def __init__(self, program: str, folder: Path, model: Path) -> None:
        if not program:
            raise ValueError("Empty module name")
        _check_requirements(folder)
        sys.path.insert(0, str(folder))
        if _wants_xgboost_alone(folder):
            _import_xgboost_alone()
        module = importlib.import_module(program.removesuffix(".py"))
        found = {name: getattr(module, name, None) for name in ("model_fn", "input_fn", "predict_fn", "output_fn")}
        self._transform = getattr(module, "transform_fn", None)
        if self._transform and (found["input_fn"] or found["predict_fn"] or found["output_fn"]):
            raise ValueError(
                "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn implementation"
            )
        if found["model_fn"] is None:
            raise NotImplementedError("Please provide a model_fn implementation.")
        self._input = found["input_fn"] or _read
        self._predict = found["predict_fn"] or _predict
        self._output = found["output_fn"] or _written
        self._accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        self._model = found["model_fn"](str(model))

    def __call__(self, body: bytes, content_type: str, accept: str) -> Reply:
        """Answers an invocation."""
        content_type = content_type or JSON
        content = body.decode("utf-8", "replace") if content_type in AS_TEXT else body
        accept = self._accept if accept in {"", "*/*"} else accept
        if self._transform:
            return _as_reply(self._transform(self._model, content, content_type, accept))
        try:
            data = self._input(content, content_type)
        except UnsupportedFormat as error:
            return _unsupported(error, 415)
        prediction = self._predict(data, self._model)
        try:
            return _as_reply(self._output(prediction, accept))
        except UnsupportedFormat as error:
            return _unsupported(error, 406)


def _wants_xgboost_alone(folder: Path) -> bool:
    sources = "\n".join(path.read_text(errors="replace") for path in folder.rglob("*.py"))
    return "xgboost" in sources and not NEEDS_SKLEARN.search(sources)


def _check_requirements(folder: Path) -> None:
    """The container would install these; here they must be there.

    Raises:
        RuntimeError: one is not, or in another version.
    """
    file = folder / "requirements.txt"
    if not file.is_file():
        return
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    lacking = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition(" #")[0].partition(" --hash")[0].strip(" \\")
        if not text or text.startswith(("#", "-")):
            continue
        try:
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate():
                continue
            if not wanted.specifier.contains(metadata.version(wanted.name), prereleases=True):
                lacking.append(text)
        except (InvalidRequirement, metadata.PackageNotFoundError):
            lacking.append(text)
    if lacking:
        raise RuntimeError(
            "The embedded AWS installs nothing into a model's environment; requirements.txt of the model asks for "
            f"what is not installed here: {', '.join(lacking)}"
        )


def _as_reply(result: Any) -> Reply:
    """What Flask makes of what a function returns: a pair of body and type, a response, or a body alone."""
    if isinstance(result, tuple):
        body, content_type = result
        return Reply(200, str(content_type), _as_bytes(body))
    if hasattr(result, "status_code"):
        custom = str(result.headers.get(CUSTOM, ""))
        return Reply(int(result.status_code), str(result.content_type), result.get_data(), custom)
    return Reply(200, HTML, _as_bytes(result))


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if not isinstance(body, str):
        raise TypeError(f"the view returned a {type(body).__name__}, which is no response")
    return body.encode()


def _unsupported(error: UnsupportedFormat, status: int) -> Reply:
    content = {"error": "UnsupportedFormatError", "error-message": str(error)}
    return _text_reply(status, json.dumps(content), JSON)


def _read(content: bytes | str, content_type: str) -> Any:
    """A matrix of a request's rows."""
    import numpy
    import xgboost

    text = content if isinstance(content, str) else content.decode()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == CSV:
        delimiter = "," if "," in text.partition("\n")[0] else None
        return xgboost.DMatrix(numpy.genfromtxt(io.StringIO(text.strip()), delimiter=delimiter, ndmin=2))
    if kind in LIBSVM:
        return xgboost.DMatrix(_sparse(text))
    raise UnsupportedFormat(f"Content type {content_type} is not supported by the embedded AWS's default input_fn.")


def _sparse(text: str) -> Any:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for number, line in enumerate(text.strip().splitlines()):
        for item in line.split():
            if ":" in item:
                column, _, value = item.partition(":")
                rows.append(number)
                columns.append(int(column))
                values.append(float(value))
    return csr_matrix((values, (rows, columns)))


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data, validate_features=False)


def _written(prediction: Any, accept: str) -> tuple[bytes | str, str]:
    """A prediction as the client accepts it."""
    import numpy

    array = numpy.asarray(prediction)
    if accept == JSON:
        return json.dumps(array.tolist()), accept
    if accept == CSV:
        out = io.StringIO()
        numpy.savetxt(out, array, delimiter=",", fmt="%s")
        return out.getvalue(), accept
    if accept == "application/x-npy":
        packed = io.BytesIO()
        numpy.save(packed, array)
        return packed.getvalue(), accept
    raise UnsupportedFormat(f"Content type {accept} is not supported by this framework.")


# --- algorithm mode: a booster, and no code


class Algorithm:
    """The first file of the model's folder as a booster, as the built-in algorithm serves it."""

    def __init__(self, model: Path) -> None:
        files = _files(model)
        if not files:
            raise RuntimeError(f"Unable to load model: there is no file in {model}")
        pickled = _is_pickled(files[0])
        if not pickled:
            _import_xgboost_alone()
        import xgboost

        if pickled:
            import pickle

            self._booster = pickle.loads(files[0].read_bytes())  # noqa: S301 - as the container does
        else:
            self._booster = xgboost.Booster(model_file=files[0])
        self._booster.set_param("nthread", 1)

    def __call__(self, body: bytes, content_type: str, accept: str) -> Reply:
        """Answers an invocation."""
        if not body:
            return Reply(204, HTML, b"")
        try:
            data = _read(body, content_type or LIBSVM[0])
        except (ValueError, UnsupportedFormat) as error:
            return _text_reply(415, str(error))
        try:
            predictions = self._booster.predict(data, validate_features=False).tolist()
        except ValueError as error:
            return _text_reply(400, f"Unable to evaluate payload provided: {error}")
        return _scored(predictions, accept)


def _files(model: Path) -> list[Path]:
    return sorted(path for path in model.iterdir() if path.is_file())


def _is_pickled(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(1) == PICKLED


def _scored(predictions: list[Any], accept: str) -> Reply:
    wanted = accept.partition(";")[0].strip().lower()
    if wanted in {"", "*/*", CSV}:
        return _text_reply(200, "\n".join(map(str, predictions)) + "\n", f"{CSV}; charset=utf-8")
    scores = [{"score": prediction} for prediction in predictions]
    if wanted == JSON:
        return _text_reply(200, json.dumps({"predictions": scores}), JSON)
    if wanted == LINES:
        return _text_reply(200, "\n".join(map(json.dumps, scores)) + "\n", LINES)
    return _text_reply(406, f"Accept type {accept} is not supported")


# --- the web server


def _handler(answer: Answer, limit: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one piece: in two, the kernel holds the second back for 40 ms.
        wbufsize = -1

        def do_GET(self) -> None:
            self._send(Reply(200, JSON, b"") if self.path == "/ping" else _text_reply(404, "Not Found"))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if self.path != "/invocations":
                self._send(_text_reply(404, "Not Found"))
                return
            self._send(self._answered(body))

        def _answered(self, body: bytes) -> Reply:
            if len(body) > limit:
                return _text_reply(413, f"The payload has {len(body)} bytes; at most {limit} are allowed.")
            try:
                return answer(body, self.headers.get("Content-Type", ""), self.headers.get("Accept", ""))
            except Exception:
                traceback.print_exc()
                return _server_error()

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.custom:
                self.send_header(CUSTOM, reply.custom)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - a base class's
            if self.path != "/ping":
                print(f'"{self.requestline}" {int(code)}', flush=True)

    return Handler


# --- the process


def _code(model: Path) -> Path:
    folder = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or str(model.parent / "code")
    return Path(folder.removeprefix("file://"))


def _loaded(model: Path) -> Answer:
    if "SAGEMAKER_PROGRAM" not in os.environ:
        return Algorithm(model)
    return Script(os.environ["SAGEMAKER_PROGRAM"], _code(model), model)


def _told(door: int) -> tuple[int, Path]:
    """Waits to be told a model, and becomes its process; where that cannot be, does not come back."""
    _import_xgboost_alone()
    with socket.socket(fileno=door) as told:
        _, descriptors, _, _ = socket.recv_fds(told, 1, 2)
        if not descriptors:  # nobody has a model for it, and nobody will
            sys.exit(0)
        with told.makefile("rb") as order:
            given = json.load(order)
        told.sendall(b"!")
    log, listener = descriptors
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.chdir(given["folder"])
    before = _read_at_start()
    os.environ.clear()
    os.environ.update(given["environment"])
    model = Path(given["model"])
    if before != _read_at_start() or not _is_ready_for(model):
        os.set_inheritable(listener, True)
        os.execv(sys.executable, [sys.executable, "-P", __file__, str(listener), str(model)])  # noqa: S606
    return listener, model


def _read_at_start() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(READ_AT_START)}


def _is_ready_for(model: Path) -> bool:
    """Whether this is what importing XGBoost for the model comes to."""
    if "SAGEMAKER_PROGRAM" in os.environ:
        return _wants_xgboost_alone(_code(model))
    files = _files(model)
    return bool(files) and not _is_pickled(files[0])


def main(arguments: list[str]) -> int:
    """Loads the model, and serves until the process is ended."""
    if arguments[0] == "--standby":
        descriptor, model = _told(int(arguments[1]))
    else:
        descriptor, model = int(arguments[0]), Path(arguments[1])
    try:
        answer = _loaded(model)
    except Exception:
        traceback.print_exc()
        return 1
    limit = int(os.environ.get("MAX_CONTENT_LENGTH", MAX_CONTENT))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, limit), bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    print("Model loaded", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
