"""The table of docs/check.md: each fault that the tests seed, and what `sagemaker-seed check` says of it.

``python tests/check_page.py`` writes it; a test holds the page against it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from test_check import FAULTS
from test_check_serving import FAULTS as FAULTS_OF_SERVING
from test_check_stacksets import FAULTS as FAULTS_OF_STACK_SETS

PAGE = Path(__file__).parent.parent / "docs" / "check.md"
BEGIN, END = "<!-- the faults -->\n", "<!-- the end of the faults -->\n"
ORDER = ("publish", "launch", "build", "deploy", "invoke")
HEAD = "| what is wrong | what `check` says | what would fail first |\n| --- | --- | --- |\n"


def table() -> str:
    """Every fault with its finding, in the order in which they would stop somebody."""
    faults = [(name, what, when) for name, (_, what, when, _) in FAULTS.items()]
    for more in (FAULTS_OF_STACK_SETS, FAULTS_OF_SERVING):
        faults += [(name, what, when) for name, (_, _, what, when, _) in more.items()]
    faults.sort(key=lambda fault: ORDER.index(fault[2]))
    return HEAD + "".join(f"| {name} | {what} | {when} |\n" for name, what, when in faults)


def page() -> str:
    """The page with the table as it has to be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
