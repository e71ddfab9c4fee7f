"""Reads one top-level section of a plain YAML file with the standard library alone; not a YAML parser.

It knows what the Parameters section of a CloudFormation template is written in: mappings by indentation,
plain and quoted scalars, comments, lists, flow lists and mappings on one line, folded and literal blocks.
Whatever else YAML allows (anchors, tags, merge keys, multi-line plain text, octal and sexagesimal numbers,
dates, yes/no) is refused with the number of its line: what this module returns is what a YAML parser would
return, or it raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

Scalar = str | int | float | bool
Node = Scalar | list["Node"] | dict[str, "Node"]

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_LOOKS_NUMERIC = re.compile(r"[-+]?\.?[0-9]|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BOOLEANS = {"true": True, "false": False}
_TOP_LEVEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*:(?: |$)")
# Plain words that YAML 1.1 parsers and people read differently; they must be quoted.
_AMBIGUOUS = frozenset(
    form
    for word in ("yes", "no", "on", "off", "y", "n", "true", "false", "null")
    for form in (word, word.capitalize(), word.upper())
) - set(_BOOLEANS) | {"~", "=", ""}
_RESERVED_START = frozenset(",[]{}#&*!|>'\"%@`?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "t": "\t", "r": "\r"}
_HEX_ESCAPES = {"x": 2, "u": 4}
# Line breaks and control characters other than the newline: YAML refuses them or reads them as line breaks.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_FLOW_DEPTH = 8


class PlainYamlError(ValueError):
    """A line that this reader does not understand. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(frozen=True)
class _Line:
    number: int
    indent: int
    text: str
    """The line without its indentation; trailing spaces are kept, a block scalar may hold them."""

    @property
    def is_blank(self) -> bool:
        return not self.text.strip(" ")

    @property
    def is_comment(self) -> bool:
        return self.text.startswith("#")


def read_section(text: str, name: str) -> dict[str, Node]:
    """Return the mapping under the top-level key `name` of the YAML document `text`.

    Raises PlainYamlError if there is no such section, there are two, it is empty, or a line of it is not
    plain YAML.
    """
    lines = [
        _Line(number, len(raw) - len(raw.lstrip(" ")), raw.lstrip(" "))
        for number, raw in enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    ]
    top = [line for line in lines if line.indent == 0 and not line.is_blank and not line.is_comment]
    for number, line in enumerate(top):
        if not _TOP_LEVEL.match(line.text) and (number or line.text.rstrip(" ") != "---"):
            raise PlainYamlError(line.number, f"expected 'Key:' at the left margin, found {line.text[:40]!r}")
    heads = [line for line in top if re.fullmatch(rf"{re.escape(name)}:(?: .*)?", line.text)]
    if not heads:
        raise PlainYamlError(1, f"no line '{name}:' at the left margin")
    if len(heads) > 1:
        raise PlainYamlError(heads[1].number, f"{name} stands there twice")
    head = heads[0]
    reader = _Reader(lines, head.number)
    if reader.without_comment(head.text[len(name) + 1 :]):
        raise PlainYamlError(head.number, f"what belongs to {name} must stand below it, indented")
    section = reader.block(parent_indent=0, line=head)
    if not isinstance(section, dict):
        raise PlainYamlError(head.number, f"{name} must be a mapping")
    following = reader.peek()
    if following is not None and following.indent > 0:
        reader.refuse(following, "unexpected indentation")
    return section


class _Reader:
    """Walks the lines of a section; every method leaves `position` behind what it has read."""

    def __init__(self, lines: list[_Line], position: int) -> None:
        self.lines = lines
        self.position = position

    def refuse(self, line: _Line, message: str) -> NoReturn:
        raise PlainYamlError(line.number, message)

    def peek(self) -> _Line | None:
        """Return the next line that says something, or None at the end."""
        while self.position < len(self.lines):
            line = self.lines[self.position]
            if "\t" in line.text:
                self.refuse(line, "a tab; indent and separate with spaces")
            if _FORBIDDEN.search(line.text):
                self.refuse(line, "a control character")
            if not line.is_blank and not line.is_comment:
                return line
            self.position += 1
        return None

    def block(self, parent_indent: int, line: _Line) -> Node:
        """Read the mapping or list that stands below `line`, whose key begins at `parent_indent`."""
        first = self.peek()
        if first is None or first.indent < parent_indent:
            self.refuse(line, "a key without a value")
        if _is_item(first):
            return self.items(first.indent)
        if first.indent == parent_indent:
            self.refuse(line, "a key without a value")
        return self.mapping(first.indent)

    def mapping(self, indent: int) -> dict[str, Node]:
        result: dict[str, Node] = {}
        while (line := self.peek()) is not None and line.indent >= indent:
            if line.indent > indent:
                self.refuse(line, "unexpected indentation (text over several lines needs '>-')")
            if _is_item(line):
                self.refuse(line, "a list item where a key was expected")
            key, rest = self.key(line)
            if key in result:
                self.refuse(line, f"{key} stands there twice")
            self.position += 1
            result[key] = self.value(line, rest, indent)
        return result

    def key(self, line: _Line) -> tuple[str, str]:
        """Split `key: rest`; a key is a bare word, so that nothing about it can be read in two ways."""
        match = re.match(r"([A-Za-z][A-Za-z0-9_.-]*)[ ]*:(?: (.*)|$)", line.text)
        if match is None:
            self.refuse(line, f"expected 'key: value', found {line.text.strip(' ')[:40]!r}")
        if match[1] in _AMBIGUOUS or match[1] in _BOOLEANS:
            self.refuse(line, f"{match[1]} is not a word in YAML; it cannot be a key")
        return match[1], match[2] or ""

    def items(self, indent: int) -> list[Node]:
        result: list[Node] = []
        while (line := self.peek()) is not None and line.indent == indent and _is_item(line):
            rest = line.text[1:]
            if not self.without_comment(rest):
                self.refuse(line, "an empty list item, or one that continues on the next line")
            if re.match(r" *(?:-(?: |$)|[|>])", rest):
                self.refuse(line, "lists in lists and text blocks in lists are not read")
            self.position += 1
            result.append(self.value(line, rest, indent))
        return result

    def value(self, line: _Line, rest: str, indent: int) -> Node:
        text = rest.strip(" ")
        if not self.without_comment(rest):
            return self.block(indent, line)
        if text[0] in "|>":
            return self.text_block(line, text, indent)
        node, end = _Inline(line, text).read()
        if self.without_comment(text[end:]):
            self.refuse(line, f"unexpected {text[end:].strip(' ')[:40]!r}")
        return node

    @staticmethod
    def without_comment(rest: str) -> str:
        """Return `rest`, which follows a colon, a dash or a value, trimmed; empty if it is a comment."""
        text = rest.strip(" ")
        if text.startswith("#") and rest.startswith(" "):
            return ""
        return text

    def text_block(self, line: _Line, header: str, indent: int) -> str:
        """Read a literal (|) or folded (>) block, with the line break at its end kept (clip) or not (-)."""
        match = re.fullmatch(r"([|>])(-?)(?: +#.*)?", header)
        if match is None:
            self.refuse(line, f"text blocks begin with |, |-, > or >-, not {header[:20]!r}")
        body: list[str] = []
        inner = 0
        while self.position < len(self.lines):
            current = self.lines[self.position]
            if current.is_blank:
                if current.indent > (inner or 0):
                    self.refuse(current, "a line of spaces in a text block")
                body.append("")
            elif current.indent <= indent:
                break
            else:
                self.check_block_line(current)
                inner = inner or current.indent
                if current.indent != inner:
                    self.refuse(current, "lines of a text block must have the same indentation")
                body.append(current.text)
            self.position += 1
        while body and not body[-1]:
            body.pop()
        if not body:
            self.refuse(line, "an empty text block")
        joined = "\n".join(body) if match[1] == "|" else _fold(body)
        return joined if match[2] else joined + "\n"

    def check_block_line(self, line: _Line) -> None:
        if "\t" in line.text or _FORBIDDEN.search(line.text):
            self.refuse(line, "a tab or a control character")


class _Inline:
    """Reads a value that stands on one line: a scalar, a flow list or a flow mapping."""

    def __init__(self, line: _Line, text: str) -> None:
        self.line = line
        self.text = text
        self.at = 0
        self.depth = 0

    def refuse(self, message: str) -> NoReturn:
        raise PlainYamlError(self.line.number, message)

    def read(self) -> tuple[Node, int]:
        """Return the value and where in the text it ends."""
        return self.node(), self.at

    def node(self) -> Node:
        head = self.text[self.at : self.at + 1]
        if head == "'":
            return self.single_quoted()
        if head == '"':
            return self.double_quoted()
        if head in ("[", "{"):
            self.depth += 1
            if self.depth > _FLOW_DEPTH:
                self.refuse("brackets are nested too deeply")
            result: Node = self.flow_list() if head == "[" else self.flow_mapping()
            self.depth -= 1
            return result
        return self.plain()

    def spaces(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def separator(self, closing: str) -> bool:
        """Step over a comma; return False, having stepped over it, at the closing bracket."""
        self.spaces()
        head = self.text[self.at : self.at + 1]
        if head not in (",", closing) or not head:
            self.refuse(f"expected ',' or '{closing}' on the same line")
        self.at += 1
        self.spaces()
        return head == ","

    def flow_list(self) -> list[Node]:
        self.at += 1
        self.spaces()
        result: list[Node] = []
        if self.text[self.at : self.at + 1] == "]":
            self.at += 1
            return result
        while True:
            result.append(self.node())
            if not self.separator("]"):
                return result

    def flow_mapping(self) -> dict[str, Node]:
        self.at += 1
        self.spaces()
        result: dict[str, Node] = {}
        if self.text[self.at : self.at + 1] == "}":
            self.at += 1
            return result
        while True:
            match = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*): +").match(self.text, self.at)
            if match is None or match[1] in _AMBIGUOUS or match[1] in _BOOLEANS:
                self.refuse(f"expected 'key: value' at {self.text[self.at :][:40]!r}")
            if match[1] in result:
                self.refuse(f"{match[1]} stands there twice")
            self.at = match.end()
            result[match[1]] = self.node()
            if not self.separator("}"):
                return result

    def single_quoted(self) -> str:
        match = re.compile(r"'((?:[^']|'')*)'").match(self.text, self.at)
        if match is None:
            self.refuse("a quotation that does not end on its line")
        self.at = match.end()
        return match[1].replace("''", "'")

    def double_quoted(self) -> str:
        match = re.compile(r'"((?:[^"\\]|\\.)*)"').match(self.text, self.at)
        if match is None:
            self.refuse("a quotation that does not end on its line")
        self.at = match.end()
        return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", self.unescape, match[1])

    def unescape(self, match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            point = int(code[1:], 16)
            if 0xD800 <= point <= 0xDFFF:
                self.refuse(f"unknown escape \\{code}")
            return chr(point)
        if code not in _ESCAPES:
            self.refuse(f"unknown escape \\{code}")
        return _ESCAPES[code]

    def plain(self) -> Scalar:
        inside = self.depth > 0
        end = re.compile(r" +#| *[,\]}\[{]| *$" if inside else r" +#| *$").search(self.text, self.at)
        stop = end.start() if end else len(self.text)
        word = self.text[self.at : stop]
        if re.search(r":(?: |$)", word) or (inside and ":" in word and re.search(r":[,\]}\[{]|:$", word)):
            self.refuse(f"a colon in plain text; quote {word[:40]!r}")
        if word[:1] in _RESERVED_START or re.match(r"[-?:](?: |$)", word) or word.startswith(("---", "...")):
            self.refuse(f"plain text cannot begin like {word[:40]!r}; quote it")
        self.at = stop
        return self.resolve(word)

    def resolve(self, word: str) -> Scalar:
        if word in _BOOLEANS:
            return _BOOLEANS[word]
        if _INTEGER.fullmatch(word):
            return int(word)
        if _DECIMAL.fullmatch(word):
            return float(word)
        if word in _AMBIGUOUS or _LOOKS_NUMERIC.match(word):
            self.refuse(f"{word!r} can be read in more than one way; quote it")
        return word


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


def _fold(body: list[str]) -> str:
    """Join the lines of a folded block: one break becomes a space, n+1 breaks become n."""
    result = ""
    breaks = 0
    for index, text in enumerate(body):
        if not text:
            breaks += 1
            continue
        if index and result:
            result += "\n" * breaks if breaks else " "
        elif index:
            result += "\n" * breaks
        result += text
        breaks = 0
    return result
