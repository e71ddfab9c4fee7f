"""Writes the page from what a rehearsal collected (``road.evidence``). Reads nothing but that, judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ...errors import SeedError
from . import plots

TEMPLATE = "rehearsal.html.j2"
LANES = 1000.0
# Which services are whose, for the table of resources.
FAMILIES = {
    "CodeCommit": "code",
    "CodeBuild": "code",
    "CodePipeline": "code",
    "Events": "code",
    "IAM": "access",
    "KMS": "access",
    "S3": "storage",
    "Logs": "storage",
    "SageMaker": "model",
    "ServiceCatalog": "catalog",
}


def write(path: Path, title: str, result: Mapping[str, Any], problem: str) -> None:
    """Writes the page.

    Args:
        title: what was rehearsed.
        result: as ``road.evidence.result`` gives it; what is not in it has no place on the page.
        problem: why the rehearsal ended early; empty if it did not.

    Raises:
        SeedError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html(title, result, problem), encoding="utf-8")
    except OSError as error:
        raise SeedError(f"{path}: cannot be written: {error.strerror}; choose another --page") from None


def html(title: str, result: Mapping[str, Any], problem: str) -> str:
    """The text of the page."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"seconds": _seconds, "figure": _figure, "stage": _stage_name}
    seconds = float(result["seconds"]) or 1.0
    return environment.get_template(TEMPLATE).render(
        title=title,
        problem=problem,
        seconds=seconds,
        steps=_steps(result),
        lanes=_lanes(result, seconds),
        ticks=_ticks(seconds),
        models=[{**model, "plots": plots.of(model)} for model in result.get("models", ())],
        tests=result.get("tests", []),
        approvals=result.get("approvals", []),
        endpoints=result.get("endpoints", {}),
        accounts=result.get("accounts", {}),
        resources={account: _grouped(made) for account, made in result.get("resources", {}).items()},
        builds=result.get("builds", []),
        runs=result.get("runs", []),
        grants=_by_holder(result.get("grants", ())),
        missing=result.get("missing", {}),
        project=result.get("project", {}),
        publication=result.get("publication", {}),
        region=result.get("region", ""),
    )


def _steps(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    began, found = 0.0, []
    for step in result["steps"]:
        found.append({**step, "began": began})
        began += step["seconds"]
    return found


def _lanes(result: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
    """The bars of the timeline: the road's own steps on top, then each execution of a pipeline."""
    road = [
        _bar(step["name"], step["began"], step["began"] + step["seconds"], "step", seconds) for step in _steps(result)
    ]
    lanes = [{"name": "road", "bars": road}]
    for run in result.get("runs", ()):
        bars = [
            _bar(
                f"{action['stage']}/{action['name']}",
                action["began"],
                action["ended"],
                "person" if action["provider"] == "Manual" else action["status"].lower(),
                seconds,
            )
            for action in run["actions"]
        ]
        lanes.append({"name": run["pipeline"], "bars": bars})
    for execution in result.get("training", ()):
        bars = [
            _bar(step["name"], step["began"], step["ended"], step["status"].lower(), seconds)
            for step in execution["steps"]
        ]
        lanes.append({"name": "SageMaker", "bars": bars})
    return lanes


def _bar(name: str, began: float, ended: float, kind: str, seconds: float) -> dict[str, Any]:
    left = max(0.0, min(began / seconds, 1.0)) * LANES
    width = max(3.0, (min(ended / seconds, 1.0) * LANES) - left)
    return {"name": name, "left": round(left, 1), "width": round(width, 1), "kind": kind, "seconds": ended - began}


def _ticks(seconds: float) -> list[dict[str, Any]]:
    step = next(s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600) if seconds / s <= 10)
    return [{"at": round(at / seconds * LANES, 1), "label": f"{at} s"} for at in range(0, int(seconds) + 1, step)]


def _grouped(made: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Resources by stack, those of one service together."""
    stacks: dict[str, list[dict[str, Any]]] = {}
    for resource in made:
        family = FAMILIES.get(resource["type"].split("::")[1], "other")
        stacks.setdefault(resource["stack"], []).append({**resource, "family": family})
    return {stack: sorted(found, key=lambda r: (r["type"], r["id"])) for stack, found in stacks.items()}


def _by_holder(grants: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The statements of policies by account and by the role or resource that has them."""
    holders: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for grant in grants:
        holders.setdefault((grant["account"], grant["holder"]), []).append(grant)
    return holders


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _stage_name(value: str) -> str:
    return value.replace("-", " ")
