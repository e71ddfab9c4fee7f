"""Calls a model's inference code as the serving container does; starts no server."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class WrappedError(Exception):
    """What the container makes of any exception of the model's functions; its web server answers 500."""


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    content_type: str
    body: str


class Container:
    """A model folder, served: the order of calls and the handling of results of the container's Transformer."""

    def __init__(self, model: Path, *, name: str = "inference_of_a_model") -> None:
        spec = importlib.util.spec_from_file_location(name, model / "code" / "inference.py")
        assert spec is not None and spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        import sys

        sys.modules[name] = self.module
        spec.loader.exec_module(self.module)
        assert not hasattr(self.module, "transform_fn")
        self.model = self._call("model_fn", str(model))

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self.module, name)(*arguments)
        except Exception as error:
            raise WrappedError(str(error)) from error

    def invoke(self, body: bytes | str, content_type: str, accept: str = "application/json") -> Answer:
        """Answers a request."""
        try:
            data = self._call("input_fn", body, content_type)
            result = self._call("output_fn", self._call("predict_fn", data, self.model), accept)
        except WrappedError as error:
            return Answer(500, "text/html", str(error))
        if isinstance(result, tuple):
            return Answer(200, result[1], result[0])
        return Answer(result.status_code, result.mimetype, result.get_data(as_text=True))
