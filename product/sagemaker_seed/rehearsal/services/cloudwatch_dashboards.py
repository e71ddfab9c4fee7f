"""Which bodies CloudWatch takes for a dashboard: its documented structure. Draws nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..wire import AwsError

MOST_WIDGETS, MOST_METRICS, WIDTH = 500, 500, 24
# Type of widget -> properties of which it needs one.
NEEDS = {
    "alarm": ("alarms",),
    "explorer": ("metrics",),
    "log": ("query",),
    "metric": ("metrics", "annotations"),
    "text": ("markdown",),
}
KNOWN = {"height", "properties", "type", "width", "x", "y"}


def check(body: str) -> None:
    """Refuses a body that CloudWatch would not take.

    Raises:
        AwsError: ``InvalidParameterInput``, with every problem and where it is.
    """
    try:
        dashboard = json.loads(body)
    except ValueError as error:
        raise _invalid([f"/: The dashboard body is not valid JSON: {error}"]) from None
    if not isinstance(dashboard, dict) or not isinstance(dashboard.get("widgets"), list):
        raise _invalid(["/widgets: The dashboard body must have an array of widgets"])
    widgets = dashboard["widgets"]
    problems = [f"/widgets: more than {MOST_WIDGETS} widgets"] if len(widgets) > MOST_WIDGETS else []
    for number, widget in enumerate(widgets):
        problems += [f"/widgets/{number}{problem}" for problem in _problems(widget)]
    if problems:
        raise _invalid(problems)


def _problems(widget: Any) -> Iterator[str]:
    if not isinstance(widget, dict) or widget.get("type") not in NEEDS:
        yield f"/type: must be one of {', '.join(NEEDS)}"
        return
    yield from (f"/{name}: is not known" for name in sorted(widget.keys() - KNOWN))
    sizes = {name: widget.get(name, 0) for name in ("x", "y", "width", "height")}
    yield from (f"/{name}: must be a number of 0 or more" for name, v in sizes.items() if not _is_size(v))
    if all(map(_is_size, sizes.values())) and sizes["x"] + sizes["width"] > WIDTH:
        yield f"/x: the widget ends beyond {WIDTH} columns"
    properties = widget.get("properties")
    if not isinstance(properties, dict):
        yield "/properties: must be an object"
        return
    if not any(properties.get(name) for name in NEEDS[widget["type"]]):
        yield f"/properties: must have {' or '.join(NEEDS[widget['type']])}"
    if widget["type"] == "metric":
        if not properties.get("region"):
            yield "/properties/region: is missing"
        metrics = properties.get("metrics", [])
        if not isinstance(metrics, list) or len(metrics) > MOST_METRICS or not all(map(_is_metric, metrics)):
            yield "/properties/metrics: must be an array of arrays: namespace, name, dimensions, options"


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_metric(metric: Any) -> bool:
    """Whether it is names and then, if anything, one object of options; an expression has options alone."""
    if not isinstance(metric, list) or not metric:
        return False
    names = metric[:-1] if isinstance(metric[-1], dict) else metric
    shortened = "..." in names
    return all(isinstance(name, str) for name in names) and (shortened or len(names) % 2 == 0)


def _invalid(problems: list[str]) -> AwsError:
    return AwsError("InvalidParameterInput", f"The dashboard body is invalid: {'; '.join(problems)}")
