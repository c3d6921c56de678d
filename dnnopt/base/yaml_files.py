"""Read YAML as programs write it: block and flow lists and maps of plain or quoted scalars.

What only people write (anchors, tags, texts over several lines) is refused, never misread.
"""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text

_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
_COMMENT = re.compile(rf"""(?:^|(?<=[\s\[{{,:]))({_QUOTED})|(?:^|(?<=\s))\#.*$""")
_COLON = re.compile(r":(?:\s+|$)")
_FLOW = re.compile(rf"""\s*({_QUOTED}|[\[\]{{}},]|:(?=[\s\[\]{{}},]|$)|(?:[^\s,\[\]{{}}:"']|:(?=\S)|[ ](?=[^\s#]))+)""")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "/": "/"}
_UNSUPPORTED = tuple("&*!|>%@`?")


def read_yaml(path: str | Path | Traversable, *, allow_large: bool = False) -> Any:
    """Return the data of a YAML file: dictionaries, lists, texts, numbers, booleans and None.

    Raises
    ------
    InputError
        For a file that cannot be read, is too large or no YAML, or uses more of it than programs write.
    """
    try:
        return _Reader(read_text(path, allow_large=allow_large)).document()
    except RecursionError:
        raise InputError("", file=str(path), problem="not a file of this kind: nested too deeply") from None
    except InputError as error:
        raise error.within(file=str(path)) from None


class _Reader:
    """A text as lines without comments, and how far they are read."""

    def __init__(self, text: str):
        self.lines: list[tuple[int, int, str]] = []  # number, indentation, content
        for number, line in enumerate(text.splitlines(), start=1):
            content = _COMMENT.sub(lambda match: match[1] or "", line).rstrip()
            if content in ("---", "...") or not content:
                continue
            indent = len(content) - len(content.lstrip(" "))
            if content[indent] == "\t":
                raise InputError("indentation by spaces", field=f"line {number}", value=content)
            self.lines.append((number, indent, content.lstrip(" ")))
        self.position = 0

    def document(self) -> Any:
        data = self._node(-1)
        if self.position < len(self.lines):
            raise self._error("indentation that fits what is above it")
        return data

    def _error(self, expected: str) -> InputError:
        number, _, content = self.lines[min(self.position, len(self.lines) - 1)]
        return InputError(expected, field=f"line {number}", value=content)

    def _node(self, above: int, *, list_may_align: bool = False) -> Any:
        """Read what is indented by more than `above`; a list below a key may be indented as the key is."""
        if self.position == len(self.lines):
            return None
        _, indent, content = self.lines[self.position]
        is_list = content == "-" or content.startswith("- ")
        if indent < above or (indent == above and not (is_list and list_may_align)):
            return None
        if is_list:
            return self._list(indent)
        return self._map(indent) if self._key(content) else self._value(content)

    def _key(self, content: str) -> tuple[str, str] | None:
        """Return the key that a line begins with, and what follows it."""
        quoted = re.match(_QUOTED, content)
        if quoted:
            colon = _COLON.match(content, quoted.end())
            return (_quoted(quoted[0]), content[colon.end() :]) if colon else None
        colon = None if content.startswith(("[", "{", *_UNSUPPORTED)) else _COLON.search(content)
        return (content[: colon.start()].rstrip(), content[colon.end() :]) if colon else None

    def _here(self, indent: int) -> str | None:
        """Return the line that is next, if it is indented by `indent`."""
        if self.position == len(self.lines) or self.lines[self.position][1] != indent:
            return None
        return self.lines[self.position][2]

    def _list(self, indent: int) -> list[Any]:
        items = []
        while (content := self._here(indent)) is not None and (content == "-" or content.startswith("- ")):
            number = self.lines[self.position][0]
            rest = content[1:].lstrip(" ")
            if rest:  # what follows the dash begins a node of its own, indented by where it stands
                self.lines[self.position] = (number, indent + len(content) - len(rest), rest)
            else:
                self.position += 1
            items.append(self._node(indent))
        return items

    def _map(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (content := self._here(indent)) is not None:
            pair = self._key(content)
            if pair is None:
                raise self._error("NAME: VALUE")
            key, rest = pair
            if key in found:
                raise self._error("every name once")
            if rest:
                found[key] = self._value(rest)
            else:
                self.position += 1
                found[key] = self._node(indent, list_may_align=True)
        return found

    def _value(self, text: str) -> Any:
        """Read a scalar, or a flow list or map, which may go on over the next lines."""
        if text.startswith(_UNSUPPORTED):
            raise self._error("a plain or quoted value, a list or a map")
        if text[0] not in "[{":
            value = self._scalar(text)
            self.position += 1
            return value
        start = self.position
        tokens = self._tokens(text)
        self.position += 1
        depth = _depth(tokens)
        while depth > 0:
            if self.position == len(self.lines):
                self.position = start
                raise self._error("a list or a map that ends")
            more = self._tokens(self.lines[self.position][2])
            depth += _depth(more)
            tokens += more
            self.position += 1
        tokens.reverse()
        try:
            value = self._flow(tokens)
            if tokens:
                raise IndexError
        except IndexError:
            self.position = start
            raise self._error("[VALUE, ...] or {NAME: VALUE, ...}") from None
        return value

    def _tokens(self, text: str) -> list[str]:
        found, end = [], 0
        while end < len(text):
            match = _FLOW.match(text, end)
            if not match:
                raise self._error("[VALUE, ...] or {NAME: VALUE, ...}")
            found.append(match[1])
            end = match.end()
        return found

    def _flow(self, tokens: list[str]) -> Any:
        """Read one value off the end of `tokens`, which are in reverse; an IndexError says that they do not fit."""
        first = tokens.pop()
        if first not in ("[", "{"):
            if first in ("]", "}", ",", ":"):
                raise IndexError
            return self._scalar(first)
        items: list[Any] = []
        pairs: dict[str, Any] = {}
        closing = "]" if first == "[" else "}"
        while tokens[-1] != closing:
            item = self._flow(tokens)
            if first == "{":
                if tokens.pop() != ":" or not isinstance(item, str) or item in pairs:
                    raise IndexError
                pairs[item] = None if tokens[-1] in (",", "}") else self._flow(tokens)
            else:
                items.append(item)
            if tokens[-1] == ",":
                tokens.pop()
            elif tokens[-1] != closing:
                raise IndexError
        tokens.pop()
        return items if first == "[" else pairs

    def _scalar(self, text: str) -> Any:
        if text[:1] in ('"', "'"):
            if not re.fullmatch(_QUOTED, text):
                raise self._error("a text that ends with the quotation mark it begins with")
            return _quoted(text)
        if text.startswith(_UNSUPPORTED) or ": " in text:
            raise self._error("a plain or quoted value")
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        try:
            if _INTEGER.fullmatch(text):
                return int(text)
        except ValueError:  # more digits than Python reads
            raise self._error("a number that is not that long") from None
        return float(text) if _NUMBER.fullmatch(text) else text


def _depth(tokens: list[str]) -> int:
    return sum((token in ("[", "{")) - (token in ("]", "}")) for token in tokens)


def _quoted(text: str) -> str:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1])
