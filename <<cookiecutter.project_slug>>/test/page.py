"""Shows what a test run found as one HTML page that needs nothing beside it: no network, script or file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

from report import ERROR, FAILED, PASSED, SKIPPED, Check, Report, cut, printable, title

_WRITTEN = {"auc": "AUC", "f1": "F1", "mae": "MAE", "r2": "R²", "rmse": "RMSE"}
_BROAD = {True: "broad", False: "narrow"}
MOST_CHECKS = 300
MOST_CLASSES = 20
MOST_POINTS = 1000
_ROOM = 500_000
_KINDS = {PASSED: "good", FAILED: "bad", ERROR: "bad", SKIPPED: "soft"}
_WIDTH, _HEIGHT = 400.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 20.0, 40.0

# The policy keeps a name or a message that looks like HTML from ever doing anything, should one slip through.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{
  color-scheme: light dark;
  --ground: #fbfaf7; --card: #ffffff; --ink: #1d2330; --soft: #5d6676; --rule: #e3e1da;
  --accent: #2f6f8f; --good: #2e7d4f; --bad: #b3372f; --second: #b3541e;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --ground: #14171c; --card: #1b2027; --ink: #e6e4de; --soft: #98a1b0; --rule: #2c333d;
    --accent: #6cb4d3; --good: #6cc492; --bad: #ef8b82; --second: #e89a68;
  }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }}
h1 {{ font-size: 1.8rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .75rem; }}
p {{ margin: .25rem 0; }}
.soft, figcaption, th {{ color: var(--soft); }}
.end {{ margin-top: 2.5rem; }}
.good {{ color: var(--good); }} .bad {{ color: var(--bad); }}
.card {{
  background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.15rem;
}}
.verdict {{
  display: inline-block; margin-top: .8rem; padding: .3rem .8rem; border-radius: 99px; font-weight: 600;
  border: 1px solid currentColor;
}}
.facts {{
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 11rem), 1fr)); gap: .75rem 1.25rem;
  margin: 1.25rem 0 0;
}}
.facts div {{ min-width: 0; }} .facts .broad {{ grid-column: 1 / -1; }}
dt {{ color: var(--soft); font-size: .85rem; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
dd b {{ font-size: 1.25rem; font-weight: 600; }}
.failing p {{ padding: .4rem 0; border-top: 1px solid var(--rule); overflow-wrap: anywhere; }}
.failing p:first-child {{ border-top: 0; }}
table {{ border-collapse: collapse; width: 100%; font-size: .92rem; }}
th {{ text-align: left; font-weight: 500; }}
th, td {{ padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }}
td {{ overflow-wrap: anywhere; }} td.name {{ min-width: 9rem; }} td.word {{ white-space: nowrap; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-right: 0; }}
tr:last-child td {{ border-bottom: 0; }}
.plots {{
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem;
  align-items: stretch;
}}
figure {{ margin: 0; display: flex; flex-direction: column; justify-content: space-between; }}
svg {{ width: 100%; height: auto; max-width: 30rem; display: block; }}
figcaption {{ font-size: .85rem; margin-top: .5rem; overflow-wrap: anywhere; }}
svg text {{ fill: var(--soft); font: 12px system-ui, sans-serif; }}
svg .on {{ fill: var(--card); }} svg .strong {{ fill: var(--ink); }}
.cell {{ fill: color-mix(in srgb, var(--accent) calc(var(--shade) * 100%), var(--rule)); }}
.bar, .dot {{ fill: var(--accent); }} .dot {{ fill-opacity: .7; }} .bar.b {{ fill: var(--second); }}
.bar.c {{ fill: var(--soft); }}
.grid {{ stroke: var(--rule); }} .rule {{ stroke: var(--second); stroke-dasharray: 4 4; fill: none; }}
@media (max-width: 40rem) {{
  main {{ padding-top: 1.5rem; }} h1 {{ font-size: 1.4rem; }}
  thead {{ display: none; }} tr {{ display: block; padding: .5rem 0; border-bottom: 1px solid var(--rule); }}
  tr:last-child {{ border-bottom: 0; }}
  td {{ display: block; border: 0; padding: 0; }} td.number {{ text-align: left; color: var(--soft); }}
  td.name {{ font-weight: 600; }}
}}
@media print {{ .card {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<main>
"""


def render(report: Report) -> str:
    """Return the page; below 1 MB whatever the report holds."""
    title = f"Test of {report.endpoint or 'an endpoint'}"
    parts = [
        _HEAD.format(title=_text(title)),
        f"<h1>{_text(title)}</h1>",
        '<p class="soft">What the stage\'s endpoint was asked, and what it did.</p>',
        f'<p class="verdict {_KINDS[report.outcome]}">{report.outcome}</p>',
        _facts(report),
        _not_passed(report),
        _measured(report),
        _plots(report),
        _checks(report.checks),
        '<p class="soft end">Made by test/test.py from test/expectations.json. The same as data: '
        "test-results.json.</p>",
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _text(value: Any, most: int = 1500) -> str:
    return escape(cut(printable(str(value)), most))


def _list_of(facts: Sequence[tuple[str, str]]) -> str:
    """Return facts as a card; a value that is long gets more room."""
    items = (
        f'<div class="{_BROAD[len(value) > 45]}"><dt>{_text(name)}</dt><dd>{value}</dd></div>'
        for name, value in facts
    )
    return f'<dl class="facts card">{"".join(items)}</dl>'


def _facts(report: Report) -> str:
    counts = {outcome: sum(check.outcome == outcome for check in report.checks) for outcome in _KINDS}
    facts = {
        "Stage": report.stage,
        "Began": report.started.replace("T", " ")[:16] + " UTC" if report.started else "",
        "Took": f"{report.seconds:.1f} s",
        "Checks": ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count),
        "Model package": report.model_package,
    }
    return _list_of([(name, _text(value)) for name, value in facts.items() if value])


def _not_passed(report: Report) -> str:
    bad = [check for check in report.checks if check.outcome in (FAILED, ERROR)]
    if not bad:
        return ""
    shown = "".join(f'<p><b class="bad">{_text(one.name)}</b>: {_text(one.message)}</p>' for one in bad[:20])
    more = f'<p class="soft">and {len(bad) - 20} more below</p>' if len(bad) > 20 else ""
    return f'<h2>What did not pass</h2>\n<div class="card failing">{shown}{more}</div>'


def _measured(report: Report) -> str:
    """Return the figures that a person looks for first."""
    facts: list[tuple[str, str]] = []
    latency, quality, other = (report.measurements.get(n, {}) for n in ("latency", "quality", "comparison"))
    facts += [
        (f"Latency, {share}", f"<b>{latency[f'{share}_ms']:g}</b> ms")
        for share in ("p50", "p95")
        if f"{share}_ms" in latency
    ]
    if latency:
        facts.append(("Requests", f"<b>{latency['requests']}</b>, of which {latency['errors']} failed"))
    if quality:
        named = _metric(quality)
        facts.append((f"{named} on {quality['rows']} labelled rows", f"<b>{quality['value']:.4g}</b>"))
        facts.append((f"{named} when registered", f"<b>{quality['registered']:.4g}</b>"))
    if other:
        facts.append(
            (f"{_metric(other)} of the model in {title(other['stage'])}", f"<b>{other['value']:.4g}</b>")
        )
    return f"<h2>Measurements</h2>\n{_list_of(facts)}" if facts else ""


def _metric(measured: Mapping[str, Any]) -> str:
    """Return how people write a metric's name."""
    name = str(measured["metric"])
    return _WRITTEN.get(name, name.replace("_", " ").capitalize())


def _checks(checks: Sequence[Check]) -> str:
    """Return the table of them; of very many those first that did not pass, and as many as there is room."""
    order = (
        sorted(checks, key=lambda check: check.outcome not in (FAILED, ERROR))
        if len(checks) > MOST_CHECKS
        else checks
    )
    rows = [
        f'<tr><td class="name">{_text(one.name, 300)}</td>'
        f'<td class="word {_KINDS[one.outcome]}">{one.outcome}</td>'
        f'<td>{_text(one.message)}</td><td class="number">{one.seconds:.2f} s</td></tr>'
        for one in order[:MOST_CHECKS]
    ]
    # A character can take six of them, as markup of its own.
    sizes = accumulate(len(row.encode()) for row in rows)
    rows = [row for row, size in zip(rows, sizes, strict=True) if size <= _ROOM]
    more = len(checks) - len(rows)
    note = f'<p class="soft">and {more} more, which are in test-results.json</p>' if more > 0 else ""
    return (
        '<h2>All checks</h2>\n<div class="card"><table><thead><tr><th>Check</th><th>Outcome</th>'
        '<th>What it found</th><th class="number">Took</th></tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody></table>{note}</div>"
    )


# -------------------------------------------------------------------------------- plots


def _plots(report: Report) -> str:
    drawn = [draw(report) for draw in (_confusion, _residuals, _latencies, _compared)]
    shown = "\n".join(figure for figure in drawn if figure)
    return f'<h2>Plots</h2>\n<div class="plots">{shown}</div>' if shown else ""


def _figure(caption: str, parts: Sequence[str], width: float = _WIDTH, height: float = _HEIGHT) -> str:
    return (
        f'<figure class="card"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
        f' aria-label="{_text(caption)}">'
        f"{''.join(parts)}</svg><figcaption>{_text(caption)}</figcaption></figure>"
    )


def _label(x: float, y: float, text: Any, anchor: str = "start", kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(text)}</text>'


def _steps(low: float, high: float) -> list[float]:
    """Return about five round numbers from `low` to `high`."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= raw * 0.999)
    return [
        round(n * step, 10) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


class _Axes:
    """Two axes with round numbers, and where a value lies on them."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.across, self.up = (
            (low, high) if high > low else (low - 0.5, high + 0.5) for low, high in (across, up)
        )

    def x(self, value: float) -> float:
        low, high = self.across
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def frame(self, across: str, up: str) -> list[str]:
        parts = []
        for value in _steps(*self.up):
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(_label(_LEFT - 6, y + 4, f"{value:g}", "end"))
        parts += [
            _label(self.x(value), _HEIGHT - _BOTTOM + 17, f"{value:g}", "middle")
            for value in _steps(*self.across)
        ]
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(_label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, across, "middle"))
        parts.append(
            f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">'
            f"{_text(up)}</text>"
        )
        return parts


def _confusion(report: Report) -> str:
    told = report.figures.get("confusion")
    if not told:
        return ""
    caption = "Labelled rows: true class (rows) by predicted class (columns)"
    classes, rows = told["classes"], told["rows"]
    if len(classes) > MOST_CLASSES:
        # The classes that are mistaken most often, which are the ones to look at.
        mistaken = [sum(row) - row[i] + sum(r[i] for r in rows) - row[i] for i, row in enumerate(rows)]
        kept = sorted(sorted(range(len(classes)), key=lambda i: -mistaken[i])[:MOST_CLASSES])
        caption += f"; the {MOST_CLASSES} of {len(classes)} classes that are mistaken most often"
        classes, rows = [classes[i] for i in kept], [[rows[i][j] for j in kept] for i in kept]
    most = max(map(max, rows)) or 1
    left = 14 + 6.6 * max(len(cut(name, 14)) for name in classes)
    side = min(64.0, (_WIDTH - left - _RIGHT) / len(classes))
    parts = []
    for i, row in enumerate(rows):
        y = _TOP + i * side
        parts.append(_label(left - 8, y + side / 2 + 4, cut(classes[i], 14), "end"))
        for j, count in enumerate(row):
            x, shade = left + j * side, count / most
            parts.append(
                f'<rect class="cell" rx="3" x="{x:.1f}" y="{y:.1f}" width="{side - 2:.1f}"'
                f' height="{side - 2:.1f}" style="--shade:{shade:.2f}"/>'
            )
            if side >= 16:
                kind = "on" if shade > 0.5 else "strong"
                parts.append(_label(x + side / 2 - 1, y + side / 2 + 4, count, "middle", kind))
    below = _TOP + len(classes) * side + 14
    for j, name in enumerate(classes):
        x = left + (j + 0.6) * side
        parts.append(
            f'<text x="{x:.1f}" y="{below:.1f}" text-anchor="end"'
            f' transform="rotate(-35 {x:.1f} {below:.1f})">'
            f"{_text(cut(name, 14))}</text>"
        )
    longest = max(len(cut(name, 14)) for name in classes)
    return _figure(caption, parts, _WIDTH, below + 12 + 4 * longest)


def _residuals(report: Report) -> str:
    told = report.figures.get("residuals")
    if not told:
        return ""
    pairs = list(zip(told["actual"], told["predicted"], strict=True))[:MOST_POINTS]
    low, high = min(map(min, pairs)), max(map(max, pairs))
    axes = _Axes((low, high), (low, high))
    line = f'x1="{axes.x(low):.1f}" y1="{axes.y(low):.1f}" x2="{axes.x(high):.1f}" y2="{axes.y(high):.1f}"'
    parts = [*axes.frame("true", "predicted"), f'<line class="rule" {line}/>']
    parts += [
        f'<circle class="dot" cx="{axes.x(actual):.1f}" cy="{axes.y(guess):.1f}" r="3.5"/>'
        for actual, guess in pairs
    ]
    return _figure("Labelled rows: predicted by true value; on the line they agree", parts)


def _latencies(report: Report) -> str:
    told = report.figures.get("latency")
    if not told:
        return ""
    taken, bounds = sorted(told["milliseconds"]), told["bounds"]
    marks = {share: report.measurements["latency"][f"{share}_ms"] for share in bounds}
    low, high = 0.0, max(taken[-1] * 1.05, 0.1)
    bins = min(24, max(8, len(taken) // 3))
    counts = [0] * bins
    for value in taken:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    axes = _Axes((low, high), (0, max(counts) * 1.12))
    parts = axes.frame("milliseconds", "requests")
    for index, count in enumerate(counts):
        left, right = (axes.x(low + (high - low) * edge / bins) for edge in (index, index + 1))
        top = axes.y(count)
        parts.append(
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(0.5, right - left - 1):.1f}"'
            f' height="{axes.y(0) - top:.1f}"/>'
        )
    for number, (share, value) in enumerate(marks.items()):
        x = axes.x(value)
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{axes.y(0):.1f}"/>')
        # One to the left of its line and one to the right, so that they do not meet.
        anchor, shift = ("end", -4) if number == 0 else ("start", 4)
        if number and x > _WIDTH - 60:
            anchor, shift = "end", -4
        parts.append(_label(x + shift, _TOP + 4 + 14 * number, f"{share} {value:g}", anchor, "strong"))
    allowed = ", ".join(f"{bound:g} ms for {share}" for share, bound in bounds.items())
    return _figure(f"Latency of {len(taken)} answered requests; allowed are {allowed}", parts)


def _compared(report: Report) -> str:
    """Draw this model beside what was registered of it, and beside the one that it would replace."""
    quality, other = report.measurements.get("quality"), report.measurements.get("comparison")
    if not quality:
        return ""
    bars: list[tuple[str, float, str]] = [
        ("when registered", quality["registered"], "c"),
        ("this endpoint", quality["value"], ""),
    ]
    if other:
        bars.append((f"in {title(other['stage'])}", other["value"], "b"))
    low, high = min(0.0, *(bar[1] for bar in bars)), max(1e-9, *(bar[1] for bar in bars))
    left, top, each = 112.0, _TOP + 6, 50.0
    width = _WIDTH - left - 64

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * width

    parts = []
    for number, (name, value, kind) in enumerate(bars):
        y, begin, end = top + number * each, *sorted((x(0), x(value)))
        parts.append(_label(left - 10, y + 20, name, "end"))
        parts.append(
            f'<rect class="bar {kind}" rx="3" x="{begin:.1f}" y="{y:.1f}"'
            f' width="{max(1.0, end - begin):.1f}" height="30"/>'
        )
        parts.append(_label(end + 6, y + 20, f"{value:.4g}", "start", "strong"))
    metric = _metric(quality)
    told = f"{metric} on the same {quality['rows']} labelled rows"
    if other:
        short = str(other["model_package"]).rpartition("model-package/")[2]
        told += (
            f"; {title(other['stage'])} has {short}, which answers {other['different']} of them differently"
        )
    else:
        told = f"{metric} on {quality['rows']} labelled rows; it was compared with no other model"
    return _figure(told, parts, _WIDTH, top + len(bars) * each)
