"""The approval summary for people: in one line, and as a page that needs no network. Reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

MAX_GIST = 990
"""CodePipeline takes 1,000 characters as an approval's CustomData."""

MOST_CHECKS = 300
_SHOWN = 4
_OUTCOMES = {"passed": "good", "failed": "bad", "error": "bad", "skipped": "soft"}


def gist(summary: Mapping[str, Any]) -> str:
    """Return the summary in one line of ASCII, short enough for the question that CodePipeline asks."""
    said = (
        part(summary) for part in (_what, _metrics_said, _tests_said, _changes_said, _cost_said, _commit_said)
    )
    plain = (" ".join(sentence.split()).encode("ascii", "replace").decode() for sentence in said)
    # What CodePipeline would take for a variable of its own is none.
    sentences = [sentence.replace("#{", "# {") for sentence in plain if sentence]
    most = _share([len(sentence) + 1 for sentence in sentences], MAX_GIST + 1)
    return " ".join(s if len(s) < most else s[: most - 4] + "..." for s in sentences)


def _share(lengths: Sequence[int], room: int) -> int:
    """Return how long each may be, so that all are in it and only the longest are cut."""
    for number, length in enumerate(sorted(lengths)):
        share = room // (len(lengths) - number)
        if length > share:
            return share
        room -= length
    return max(lengths) + 1


def _what(summary: Mapping[str, Any]) -> str:
    new, old, following = summary["model"], summary["deployed"], summary["following"]
    if "problem" in new:
        return f"The model for {following} {new['problem']}."
    return f"{_proposal(summary)}? {_replaces(new, old, following)}"


def _proposal(summary: Mapping[str, Any]) -> str:
    """Return what is to be decided about."""
    serving = summary.get("shadow_of", "").rpartition("/")[2]
    shadow = f", as the shadow of version {serving}" if serving else ""
    return f"{_name(summary)} to {summary['following']}{shadow}"


def _replaces(new: Mapping[str, Any], old: Mapping[str, Any], following: str) -> str:
    if "nothing" in old:
        return f"Nothing is in {following} yet."
    if "problem" in old:
        return f"What {following} serves now {old['problem']}."
    if old["package"].lower() == new.get("package", "").lower():
        return "It serves that version already."
    return f"It serves version {old['version']} now."


def _metrics_said(summary: Mapping[str, Any]) -> str:
    rows = _leading(summary)[:2]
    if not rows:
        return f"No metrics: {summary['model'].get('metrics_problem', 'the model could not be read')}."
    return (
        f"{summary['following'] if _compares(summary) else 'Model'}: " + ", ".join(map(_metric, rows)) + "."
    )


def _leading(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of the metrics, the one that the model was judged by first."""
    judged = summary["model"].get("metric", "")
    return sorted(summary["metrics"], key=lambda row: row["name"] != judged)


def _compares(summary: Mapping[str, Any]) -> bool:
    return any(row["deployed"] is not None for row in summary["metrics"])


def _metric(row: Mapping[str, Any]) -> str:
    if row["deployed"] is None:
        return f"{row['name']} {row['new']:.4g}"
    verdict = {True: ", better", False: ", worse", None: ""}[row["better"]]
    return f"{row['name']} {row['deployed']:.4g} -> {row['new']:.4g}{verdict}"


def _tests_said(summary: Mapping[str, Any]) -> str:
    found, stage = summary["tests"], summary["stage"]
    if "problem" in found:
        return f"Tests in {stage}: {found['problem']}."
    measured = [text for name, text in _measured(found["measurements"]) if name != "comparison"]
    said = f"Tests in {stage}: {_checked(found)}"
    return "; ".join([said, *measured]) + "."


def _checked(found: Mapping[str, Any]) -> str:
    counts = found["counts"]
    skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
    return f"{found['outcome']}, {counts['passed']} of {len(found['checks'])} checks{skipped}"


def _measured(measurements: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and text of what the tests measured, where they did."""
    found = []
    latency, quality = measurements.get("latency") or {}, measurements.get("quality") or {}
    if {"p50_ms", "p95_ms", "requests", "errors"} <= latency.keys():
        text = (
            f"p50 {latency['p50_ms']:g} ms, p95 {latency['p95_ms']:g} ms "
            f"over {latency['requests']} requests, {latency['errors']} failed"
        )
        found.append(("latency", text))
    if {"metric", "value", "registered", "rows"} <= quality.keys():
        registered = _figure(quality["registered"])
        text = (
            f"{quality['metric']} {quality['value']:.4g} on {quality['rows']} rows (registered {registered})"
        )
        found.append(("quality", text))
    other = measurements.get("comparison") or {}
    if {"metric", "value", "rows", "different", "stage"} <= other.keys():
        text = (
            f"the model in {other['stage']} has {other['metric']} {other['value']:.4g} on the same "
            f"{other['rows']} rows, and answers {other['different']} of them differently"
        )
        found.append(("comparison", text))
    return found


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _changes_said(summary: Mapping[str, Any]) -> str:
    found = summary["changes"]
    if "nothing" in found:
        return f"The stack of {summary['following']} will be made."
    if "problem" in found:
        return f"What changes {found['problem']}."
    names = [change["name"] for change in found["parameters"]]
    parts = [f"{part['section']}/{part['name']}" for part in found["template"]]
    if not names and not parts:
        return "Configuration and template do not change."
    said = [f"parameters {_some(names)}"] * bool(names) + [f"template {_some(parts)}"] * bool(parts)
    resources = f"; resources {_some([r['name'] for r in found['resources']])}" if found["resources"] else ""
    return f"Changes: {'; '.join(said)}{resources}."


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _cost_said(summary: Mapping[str, Any]) -> str:
    costs = summary["cost"]
    now = f" (now {_amount(costs['deployed'], costs)})" if costs["deployed"] else ""
    return f"Cost a month: {_amount(costs['planned'], costs)}{now}{_price_note(costs)}."


def _price_note(costs: Mapping[str, Any]) -> str:
    return "" if "problem" in costs["planned"] else f", by the prices of {costs['region']}, {costs['date']}"


def _amount(found: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    if "problem" in found:
        return f"not known: {found['problem']}"
    if found["least"] == found["most"]:
        return f"{found['most']:,.2f} {costs['currency']}"
    return f"{found['least']:,.2f} to {found['most']:,.2f} {costs['currency']}"


def _commit_said(summary: Mapping[str, Any]) -> str:
    found = summary["commit"]
    if "problem" in found:
        return f"Commit: {found['problem']}."
    return f"Commit {found['id'][:8]} by {found['author']}: {found['message'][:120]}"


# --------------------------------------------------------------------------------------------------- the page


def html(summary: Mapping[str, Any]) -> str:
    """Return the summary as a page: self-contained, light or dark as the reader has it."""
    title = _proposal(summary)
    body = "\n".join(section(summary) for section in _SECTIONS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
<p class="soft foot">Made {escape(summary["made"])} in pipeline execution {escape(summary["execution"])}.
The approval in the pipeline decides; this page only informs.</p>
</main>
</body>
</html>
"""


def _name(summary: Mapping[str, Any]) -> str:
    new = summary["model"]
    return "The model" if "problem" in new else f"{new['group']} version {new['version']}"


def _head(summary: Mapping[str, Any]) -> str:
    found = summary["tests"]
    outcome = found.get("outcome", "not known")
    tone = _OUTCOMES.get(outcome, "bad")
    facts = {
        "Now": _replaces(summary["model"], summary["deployed"], summary["following"]),
        "Tests in " + summary["stage"]: _checked(found) if "counts" in found else outcome,
        "Cost a month": _amount(summary["cost"]["planned"], summary["cost"]),
        "Model package": summary["model"].get("package", summary["model"].get("problem", "")),
    }
    listed = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items()
    )
    return (
        f"<h1>{escape(_proposal(summary))}?</h1>\n"
        f'<p class="soft">Project {escape(summary["project"])}</p>\n'
        f'<p class="verdict {tone}">Tests in {escape(summary["stage"])}: {escape(outcome)}</p>\n'
        f'<dl class="facts card">{listed}</dl>'
    )


def _metrics(summary: Mapping[str, Any]) -> str:
    if not summary["metrics"]:
        return _section(
            "Metrics",
            _problem(summary["model"].get("metrics_problem") or summary["model"].get("problem", "")),
        )
    old = summary["deployed"]
    now = (
        f"In {summary['following']} (version {old['version']})"
        if "version" in old
        else f"In {summary['following']}"
    )
    rows = [
        (
            row["name"] + (" (judged by)" if row["name"] == summary["model"].get("metric") else ""),
            f"{row['new']:.4g}",
            "-" if row["deployed"] is None else f"{row['deployed']:.4g}",
            _verdict(row),
        )
        for row in _leading(summary)
    ]
    table = _table(("Metric", "New", now, ""), rows, numbers=(1, 2))
    note = f"Each as registered by the evaluation of its own training. {_replaces_note(summary)}"
    return _section("Metrics", f'{table}<p class="soft">{escape(note)}</p>')


def _replaces_note(summary: Mapping[str, Any]) -> str:
    old, following = summary["deployed"], summary["following"]
    if "problem" in old:
        return f"What {following} serves now {old['problem']}."
    return f"Of the model in {following}: {old['metrics_problem']}." if "metrics_problem" in old else ""


def _verdict(row: Mapping[str, Any]) -> str:
    if row["better"] is None:
        return ""
    tone, word = ("good", "better") if row["better"] else ("bad", "worse")
    return f'<span class="{tone}">{word} by {abs(row["new"] - row["deployed"]):.4g}</span>'


def _configuration(summary: Mapping[str, Any]) -> str:
    found, following = summary["changes"], summary["following"]
    title = f"What changes in {following}"
    if "nothing" in found:
        return _section(title, f"<p>Everything: {escape(following)} has no stack yet.</p>")
    if "problem" in found:
        return _section(title, _problem(found["problem"]))
    if not found["parameters"] and not found["template"]:
        return _section(title, "<p>Nothing: parameters and template are those of the stack.</p>")
    parameters = [
        (change["name"], _value(change["from"]), _value(change["to"])) for change in found["parameters"]
    ]
    parts = [(part["section"], part["name"], part["change"]) for part in found["template"]]
    resources = [(resource["name"], resource["type"], resource["change"]) for resource in found["resources"]]
    tables = (
        _titled("Parameters", ("Parameter", "Now", "Planned"), parameters)
        + _titled("Template", ("Section", "Part", "Change"), parts)
        + _titled("Resources that an update may touch", ("Resource", "Type", "Why"), resources)
    )
    note = f'<p class="soft">Stack {escape(found["stack"])}, {escape(found["stack_status"])}.</p>'
    return _section(title, tables + note)


def _value(value: str | None) -> str:
    return "-" if value is None else value or "(empty)"


def _tests(summary: Mapping[str, Any]) -> str:
    found, title = summary["tests"], f"Tests in {summary['stage']}"
    if "problem" in found:
        return _section(title, _problem(found["problem"]))
    measured = _titled("Measured", ("What", "Found"), _measured(found["measurements"]))
    rows = [
        (
            check["name"],
            f'<span class="{_OUTCOMES.get(check["outcome"], "bad")}">{escape(check["outcome"])}</span>',
            check["message"][:300],
        )
        for check in found["checks"][:MOST_CHECKS]
    ]
    more = len(found["checks"]) - MOST_CHECKS
    note = f'<p class="soft">and {more} more, which are in the test report</p>' if more > 0 else ""
    return _section(title, measured + _table(("Check", "Outcome", "What it found"), rows, marked=(1,)) + note)


def _cost(summary: Mapping[str, Any]) -> str:
    costs = summary["cost"]
    rows = [("Planned", _amount(costs["planned"], costs))]
    if costs["deployed"]:
        rows.insert(0, ("Now", _amount(costs["deployed"], costs)))
    note = (
        f"Instances alone, {costs['hours_per_month']} hours a month, in {costs['region']}, by "
        f"approval/prices.json of {costs['date']} ({costs['source']}); without storage, traffic, data "
        "capture, monitor, taxes, discounts."
    )
    if costs["stage_region"] != costs["region"]:
        note += f" The endpoint runs in {costs['stage_region']}, where prices differ."
    return _section("Cost a month", _table(("", ""), rows) + f'<p class="soft">{escape(note)}</p>')


def _commit(summary: Mapping[str, Any]) -> str:
    found = summary["commit"]
    if "problem" in found:
        return _section("Commit", _problem(found["problem"]))
    rows = [
        ("Commit", found["id"]),
        ("Author", found["author"]),
        ("Date", found["date"]),
        ("Message", found["message"]),
    ]
    if summary["model"].get("trained_from"):
        rows.append(("The model was trained from", summary["model"]["trained_from"]))
    return _section("Commit", _table(("", ""), rows))


def _section(title: str, content: str) -> str:
    return f'<h2>{escape(title)}</h2>\n<div class="card wide">{content}</div>'


def _problem(text: str) -> str:
    return f'<p class="bad">{escape(text)}</p>'


def _titled(title: str, head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    return f"<h3>{escape(title)}</h3>{_table(head, rows)}" if rows else ""


def _table(
    head: Iterable[str],
    rows: Iterable[tuple[str, ...]],
    numbers: tuple[int, ...] = (),
    marked: tuple[int, ...] = (3,),
) -> str:
    """Return a table; the cells of the columns in `marked` are HTML already."""

    def cell(tag: str, number: int, text: str) -> str:
        shown = text if tag == "td" and number in marked else escape(text)
        return f'<{tag} class="number">{shown}</{tag}>' if number in numbers else f"<{tag}>{shown}</{tag}>"

    def line(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(cell(tag, number, text) for number, text in enumerate(texts)) + "</tr>"

    head = list(head)
    top = line("th", head) if any(head) else ""
    return f"<table>{top}{''.join(line('td', row) for row in rows)}</table>"


_SECTIONS: tuple[Callable[[Mapping[str, Any]], str], ...] = (
    _head,
    _metrics,
    _configuration,
    _tests,
    _cost,
    _commit,
)

_STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf7; --card: #ffffff; --ink: #1d2330; --soft: #667085; --rule: #e3e1da;
  --good: #2e7d4f; --bad: #b3372f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --card: #1b2027; --ink: #e6e4de; --soft: #98a1b0; --rule: #2c333d;
    --good: #6cc492; --bad: #ef8b82;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; } h3:first-child { margin-top: 0; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
.soft, th, dt { color: var(--soft); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1rem 1.15rem; }
.verdict {
  display: inline-block; margin-top: .9rem; padding: .3rem .7rem;
  border-radius: 99px; font-weight: 600; border: 1px solid currentColor;
}
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  gap: .75rem; margin: 1.25rem 0 0;
}
.facts div { min-width: 0; } dt { font-size: .85rem; } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .foot { margin-top: 2.5rem; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 500; }
th, td {
  padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; overflow-wrap: anywhere;
}
th, td:first-child { overflow-wrap: break-word; } td span { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
@media (max-width: 40rem) { main { padding-top: 1.5rem; } h1 { font-size: 1.35rem; } }
"""
