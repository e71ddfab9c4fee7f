"""The stage files of a build in the format of their deploy target: written all or none, and read back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Export:
    """What a stage gets: the value of every parameter as a string, and the tags of its stack."""

    parameters: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)


def _for_cloudformation(export: Export) -> Any:
    return {"Parameters": export.parameters, "Tags": export.tags}


def _for_stackset(export: Export) -> Any:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in export.parameters.items()]


# What the pipeline's CloudFormation action reads as TemplateConfiguration, and its StackSet action as
# Parameters. The latter has no place for tags: the endpoint template itself tags what it creates with the
# project. With a service-managed stack set it is deploy/stackset.py that reads the file.
FORMATS: dict[str, Callable[[Export], Any]] = {
    "cloudformation": _for_cloudformation,
    "stackset-self-managed": _for_stackset,
    "stackset-service-managed": _for_cloudformation,
    "same-account": _for_cloudformation,
}


def render(export: Export, target: str) -> str:
    """Return the file's text for a deploy target, one of FORMATS."""
    return json.dumps(FORMATS[target](export), indent=2, ensure_ascii=False) + "\n"


def read_export(text: str) -> Export:
    """Read either format back. Raises ValueError with a line that says what was expected."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if isinstance(data, dict) and _is_text_map(data.get("Parameters")) and _is_text_map(data.get("Tags", {})):
        return Export(data["Parameters"], data.get("Tags", {}))
    pairs = [_pair(entry) for entry in data] if isinstance(data, list) else [None]
    found = [pair for pair in pairs if pair is not None]
    if len(found) < len(pairs):
        raise ValueError(
            'expected {"Parameters": {...}, "Tags": {...}} or [{"ParameterKey": ..., "ParameterValue": ...}]'
        )
    if len(dict(found)) < len(found):
        raise ValueError("a ParameterKey occurs twice")
    return Export(dict(found))


def _is_text_map(data: Any) -> bool:
    return isinstance(data, dict) and all(isinstance(value, str) for value in data.values())


def _pair(entry: Any) -> tuple[str, str] | None:
    if not isinstance(entry, dict) or set(entry) != {"ParameterKey", "ParameterValue"}:
        return None
    key, value = entry["ParameterKey"], entry["ParameterValue"]
    return (key, value) if isinstance(key, str) and isinstance(value, str) else None


def write_all(files: Mapping[Path, str]) -> None:
    """Write every file or none: all are written beside their places first, and only then moved there.

    Raises OSError if a place cannot be written; what stood there before is then untouched.
    """
    ready: list[tuple[Path, Path]] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            ready.append((Path(name), path))
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            Path(name).chmod(0o644)
            if path.is_dir():
                raise IsADirectoryError(f"{path} is a folder")
        for temporary, path in ready:
            temporary.replace(path)
    finally:
        for temporary, _ in ready:
            temporary.unlink(missing_ok=True)
