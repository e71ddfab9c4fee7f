"""What a check found, for a person: a table in a terminal, and everywhere else lines that can be searched."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from ..console import Console

_PARTS = ("where", "why", "fix")


def show(result: Mapping[str, Any], console: Console) -> None:
    """The findings in the order in which they would be met, and what was not looked at."""
    for note in result["notes"]:
        console.say(f"  {console.style('note', 'dim')} {note}")
    findings, where = result["findings"], f"{result['account'] or 'the seed'} {result['region']}"
    if not findings:
        console.say(f"  {console.style('nothing found', 'ok')} in {where}")
    elif sys.stdout.isatty() and not console.json:
        _table(findings)
    else:
        _lines(findings, console)


def _lines(findings: list[dict[str, str]], console: Console) -> None:
    for number, finding in enumerate(findings, 1):
        when = console.style(f"{number:>2} {finding['when']:<8}", "bad")
        console.say(f"  {when} {finding['what']}")
        for part in _PARTS:
            console.say(f"     {console.style(f'{part:<8}', 'dim')} {finding[part]}")


def _table(findings: list[dict[str, str]]) -> None:
    from rich import box
    from rich.console import Console as Terminal
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False)
    table.add_column("fails at", style="red", no_wrap=True)
    table.add_column("finding", ratio=3, overflow="fold")
    table.add_column("fix", ratio=2, overflow="fold")
    for finding in findings:
        what = Text.assemble((finding["what"], "bold"), "\n", (finding["where"], "dim"), "\n", finding["why"])
        table.add_row(finding["when"], what, Text(finding["fix"]))
    Terminal(no_color=bool(os.environ.get("NO_COLOR")) or None).print(table)
