"""What a command prints: lines for a person, or one JSON object for a program. Nothing else prints."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_STYLES = {"ok": "32", "todo": "33", "bad": "31", "dim": "2", "bold": "1"}


@dataclass(frozen=True)
class Console:
    """Lines go to stdout; with ``json`` they go to stderr, and stdout gets the result alone."""

    json: bool = False

    def say(self, line: str = "") -> None:
        """A line for a person: of a SHA-256 it shows the first twelve characters."""
        line = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", "\\1...", line)
        print(line, file=sys.stderr if self.json else sys.stdout, flush=True)

    def fail(self, problems: tuple[str, ...]) -> None:
        """Why it did not work: a line each, on stderr."""
        for problem in problems:
            print(f"{self.style('ERROR:', 'bad', sys.stderr)} {problem}", file=sys.stderr)
        if self.json:
            print(json.dumps({"ok": False, "problems": list(problems)}, indent=2))

    def result(self, value: Mapping[str, Any]) -> None:
        """What a program reads."""
        if self.json:
            print(json.dumps({"ok": not value.get("findings"), **value}, indent=2))

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Gives a function that shows what is being done, on a line that goes away; only in a terminal."""
        stream = sys.stderr if self.json else sys.stdout
        if not stream.isatty():
            yield lambda _doing: None
            return
        from rich.console import Console as Terminal

        with Terminal(file=stream).status("") as status:
            yield status.update

    def style(self, text: str, name: str, stream: Any = None) -> str:
        """The text in a colour, where colours can be seen and ``NO_COLOR`` does not forbid them."""
        stream = stream or (sys.stderr if self.json else sys.stdout)
        seen = stream.isatty() and not os.environ.get("NO_COLOR")
        return f"\033[{_STYLES[name]}m{text}\033[0m" if seen else text
