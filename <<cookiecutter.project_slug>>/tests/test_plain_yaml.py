"""The reader of the template's Parameters: what it reads, and what it refuses by line."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT

from deploy.plain_yaml import PlainYamlError, read_section


def section(body: str) -> str:
    return (
        "Parameters:\n" + "".join(f"  {line}\n" for line in body.splitlines()) + "Resources:\n  X: !Ref Y\n"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A: text", {"A": "text"}),
        ("A: text  # a comment", {"A": "text"}),
        ("A: a#b", {"A": "a#b"}),
        ("A: 3\nB: -4\nC: 0.5", {"A": 3, "B": -4, "C": 0.5}),
        ("A: true\nB: false", {"A": True, "B": False}),
        ("A: 'it''s'\nB: \"a \\\"b\\\" \\\\d\\n\"", {"A": "it's", "B": 'a "b" \\d\n'}),
        ("A: ''", {"A": ""}),
        ("A: ^[a-z]{1,3}$", {"A": "^[a-z]{1,3}$"}),
        ("A: (?:x)", {"A": "(?:x)"}),
        ("A: [a, 'b, c', \"d\", 4]", {"A": ["a", "b, c", "d", 4]}),
        ("A: []\nB: {}", {"A": [], "B": {}}),
        (
            'A: {Type: String, Default: "", AllowedValues: [a, b]}',
            {"A": {"Type": "String", "Default": "", "AllowedValues": ["a", "b"]}},
        ),
        ("A:\n  B:\n    C: d\n  E: f", {"A": {"B": {"C": "d"}, "E": "f"}}),
        ("A:\n  - x\n  - 'y'  # why\n  - [1, 2]\nB: z", {"A": ["x", "y", [1, 2]], "B": "z"}),
        ("A:\n- x\n- w\nB: z", {"A": ["x", "w"], "B": "z"}),
        ("A: >-\n  one\n  two\n\n  three\nB: z", {"A": "one two\nthree", "B": "z"}),
        ("A: >\n  one\n  two", {"A": "one two\n"}),
        ("A: |\n  one\n  two\n\nB: z", {"A": "one\ntwo\n", "B": "z"}),
        ("A: |-\n  # no comment\n  b: c", {"A": "# no comment\nb: c"}),
        ("# first\nA: x\n\n  # between\nB: z", {"A": "x", "B": "z"}),
    ],
)
def test_reads(body: str, expected: dict[str, Any]) -> None:
    assert read_section(section(body), "Parameters") == expected


def test_reads_windows_line_ends() -> None:
    assert read_section("Parameters:\r\n  A: b\r\n", "Parameters") == {"A": "b"}


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("A: yes", 2, "more than one way"),
        ("A: ~", 2, "more than one way"),
        ("A: 0777", 2, "more than one way"),
        ("A: 1_000", 2, "more than one way"),
        ("A: 12:30", 2, "more than one way"),
        ("A: 2026-11-21", 2, "more than one way"),
        ("A: 1e5", 2, "more than one way"),
        ("A: .inf", 2, "more than one way"),
        ("A: +1", 2, "more than one way"),
        ("A: one\n  two", 3, "unexpected indentation"),
        ("A:\nB: c", 2, "without a value"),
        ("A: x\nA: y", 3, "twice"),
        ("A: {B: 1, B: 2}", 2, "twice"),
        ("A: &x y", 2, "cannot begin"),
        ("A: *x", 2, "cannot begin"),
        ("A: !Ref x", 2, "cannot begin"),
        ("A: @x", 2, "cannot begin"),
        ("A: a: b", 2, "colon"),
        ("A: [a: b]", 2, "colon"),
        ("A: 'open", 2, "does not end"),
        ('A: "open', 2, "does not end"),
        ('A: "\\q"', 2, "escape"),
        ("A: 'x' y", 2, "unexpected"),
        ("A: [a, b", 2, "expected ','"),
        ("A: [a b] c", 2, "unexpected"),
        ("A: >+\n  x", 2, "text blocks"),
        ("A: |2\n  x", 2, "text blocks"),
        ("A: >\n  x\n    y", 4, "same indentation"),
        ("A:\n  - - x", 3, "lists in lists"),
        ("A:\n  -\n    x", 3, "empty list item"),
        ("? A\n: b", 2, "expected 'key: value'"),
        ("'A': b", 2, "expected 'key: value'"),
        ("yes: b", 2, "not a word"),
        ("A:\tb", 2, "tab"),
        ("A: b\x07", 2, "control"),
    ],
)
def test_refuses_with_the_line(body: str, line: int, message: str) -> None:
    with pytest.raises(PlainYamlError, match=message) as error:
        read_section(section(body), "Parameters")
    assert error.value.line == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources:\n  A: b\n", "no line 'Parameters:'"),
        ('{"Parameters": {}}', "expected 'Key:' at the left margin"),
        ("Parameters:\n  A: b\nnonsense\n", "expected 'Key:' at the left margin"),
        ("Parameters:\n  A: b\nParameters:\n  C: d\n", "twice"),
        ("Parameters: {A: b}\n", "below it"),
        ("Parameters:\nResources:\n  A: b\n", "without a value"),
        ("Parameters:\n  - A\n", "must be a mapping"),
        ("Parameters:\n    A: b\n  C: d\n", "unexpected indentation"),
    ],
)
def test_refuses_other_sections(text: str, message: str) -> None:
    with pytest.raises(PlainYamlError, match=message):
        read_section(text, "Parameters")


def test_reads_the_endpoint_template() -> None:
    parameters = read_section(
        (ROOT / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8"), "Parameters"
    )
    assert parameters["StageName"] == {
        "Type": "String",
        "Description": "The stage that this endpoint serves",
        "AllowedValues": ["dev", "staging", "preprod", "prod"],
    }
