"""References to variables in an action's configuration (``#{namespace.key}``): finds and resolves them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .failure import CONFIGURATION, ActionFailed

REFERENCE = re.compile(r"#\{(?P<namespace>[A-Za-z0-9@\-_]+)\.(?P<key>[A-Za-z0-9@\-_]+)\}")
PIPELINE = "variables"
EXECUTION = "codepipeline"
# What every execution has without declaring it.
EXECUTION_KEYS = frozenset({"PipelineExecutionId"})

Namespaces = Mapping[str, Mapping[str, str]]


def references(configuration: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The key of the configuration, the namespace and the variable of each reference."""
    for name, value in configuration.items():
        for found in REFERENCE.finditer(value):
            yield name, found["namespace"], found["key"]


def resolve(configuration: Mapping[str, str], known: Namespaces, action: str) -> dict[str, str]:
    """The configuration with values in place of references.

    Raises:
        ActionFailed: a namespace or a variable is not there.
    """
    missing = [f"#{{{space}.{key}}}" for _, space, key in references(configuration) if key not in known.get(space, {})]
    if missing:
        raise ActionFailed(
            "An action in this pipeline failed because one or more variables could not be resolved: "
            f"Action name={action}, {', '.join(dict.fromkeys(missing))}. This can result when a variable is referenced "
            "that does not exist. Validate the pipeline action configuration.",
            CONFIGURATION,
        )
    return {
        name: REFERENCE.sub(lambda found: known[found["namespace"]][found["key"]], value)
        for name, value in configuration.items()
    }
