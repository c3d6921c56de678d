"""Changes to data, texts and bytes that no careful program would make: what `fuzz.py` feeds to the readers."""

from __future__ import annotations

import copy
import json
import re
import string
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Make = Callable[[Random], bytes]
_RAW = "\ue000"  # marks a text that is written without its quotation marks
_NAMES = [
    "",
    "a",
    "input",
    "output",
    "net",
    "p",
    "q",
    "[/]",
    "$$",
    "\x1b[2J",
    "a\nb",
    "\u202e",
    "\ud800",
    "\x00",
    "=1",
    "é" * 50,
]
_NAMES += ["x" * 10_000, "input@p", "a,b", "(", "busy", "constraint", "weights", "🙂", " ", "null", "../../x"]
_NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2,
    3,
    0.5,
    1e-9,
    1e-300,
    5e-324,
    1e9,
    1e18,
    1e100,
    1e300,
    1.7e308,
    -1e308,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
]
_RAW_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-0.0",
    "1E-400",
    "9" * 400,
    "9" * 5000,
    "-" + "9" * 5000,
    "1e",
    "01",
]


def scalar(random: Random) -> Any:
    """Return a value that may be anything but a list or an object."""
    return random.choice(
        [
            lambda: random.choice([None, True, False]),
            lambda: random.choice(_NUMBERS),
            lambda: _RAW + random.choice(_RAW_NUMBERS),
            lambda: random.choice(_NAMES),
            lambda: random.uniform(-10, 10) * 10 ** random.randint(-20, 20),
            lambda: random.choice(["1 ms", "20 Mbit/s", "4 GiB", "1e400 s", "latency", "memory", "sequential"]),
        ]
    )()


def value(random: Random) -> Any:
    """Return any value."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice([[], {}, [[]], [{}], {"": None}, [None] * 5, [0] * 1000, {str(k): k for k in range(100)}])
    if kind == 1:
        nested: Any = scalar(random)
        for _ in range(random.choice([2, 50, 120, 200])):
            nested = [nested] if random.random() < 0.5 else {"a": nested}
        return nested
    return scalar(random)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Return each list or object with each of its indices or names."""
    found: list[tuple[Any, Any]] = []
    inside = [data]
    while inside:
        one = inside.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else []
        for key in keys:
            found.append((one, key))
            inside.append(one[key])
    return found


def change_data(data: Any, random: Random) -> Any:
    """Return a copy of lists and objects with a few changes: values, types, names, order, what is missing or double."""
    data = copy.deepcopy(data)
    if random.random() < 0.5:
        _change_a_little(data, random)
        return data
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        places = _places(data)
        if not places:
            return value(random)
        owner, key = random.choice(places)
        other_owner, other_key = random.choice(places)
        old = owner[key]
        what = random.randrange(10)
        if what <= 2:
            owner[key] = value(random)
        elif what == 3:
            del owner[key]
        elif what == 4 and isinstance(owner, list):
            owner.insert(random.randrange(len(owner) + 1), copy.deepcopy(old))
        elif what == 4:
            owner[random.choice([*_NAMES, *(name for o, name in places if isinstance(o, dict))])] = owner.pop(key)
        elif what == 5:
            owner[key] = copy.deepcopy(other_owner[other_key])
        elif what == 6 and isinstance(old, int | float) and not isinstance(old, bool):
            owner[key] = random.choice([-old, str(old), old * 10.0 ** random.randint(-30, 30), [old], bool(old)])
        elif what == 7 and isinstance(old, list):
            owner[key] = random.choice([old[::-1], old * 2, old[:1], dict(enumerate(old)), old[0] if old else None])
        elif what == 7 and isinstance(old, dict):
            owner[key] = random.choice(
                [list(old), list(old.values()), {**old, "extra": 1}, dict(list(old.items())[:1])]
            )
        elif what == 8 and isinstance(old, str):
            owner[key] = random.choice(
                [old * 2, old[:-1], old.upper(), f" {old}", [old], {old: old}, old + random.choice(_NAMES)]
            )
        else:
            owner[key] = scalar(random)
    return data


def _change_a_little(data: Any, random: Random) -> None:
    """Change values to others of their kind, and what there is how often: much of that can be read."""
    for _ in range(random.choice([1, 1, 2, 3, 6])):
        places = _places(data)
        numbers = [(o, k) for o, k in places if isinstance(o[k], int | float) and not isinstance(o[k], bool)]
        texts = [(o, k) for o, k in places if isinstance(o[k], str)]
        what = random.randrange(5)
        if not places:
            return
        if what <= 1 and numbers:
            owner, key = random.choice(numbers)
            owner[key] = random.choice([owner[key] * 10.0 ** random.randint(-30, 30), *_NUMBERS])
        elif what == 2 and texts:
            owner, key = random.choice(texts)
            other_owner, other_key = random.choice(texts)
            name, new = owner[key], random.choice([other_owner[other_key], *_NAMES])
            for each, its in texts if random.random() < 0.7 else [(owner, key)]:  # a new name, or another one's
                if each[its] == name:
                    each[its] = new
        elif what == 3:
            owner, key = random.choice(places)
            if isinstance(owner, list) or random.random() < 0.3:
                del owner[key]
        else:
            owner, key = random.choice(places)
            if isinstance(owner[key], bool):
                owner[key] = not owner[key]


def dump(data: Any, random: Random) -> bytes:
    """Return data as JSON text, sometimes with what JSON allows and few write."""
    text = json.dumps(data, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1]))
    text = re.sub(rf'"(?:{_RAW}|\\ue000)([^"]*)"', r"\1", text)
    if random.random() < 0.03 and '"name"' in text:
        text = text.replace('"name"', '"name": 1, "name"', 1)
    return text.encode("utf-8", "surrogatepass")


_TOKENS = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
]
_TOKENS += [
    b"-",
    b"1e400",
    b"NaN",
    b"9" * 400,
    b"\\ud800",
    b"\xed\xa0\x80",
    b"[" * 3000,
    b"A" * 10_000,
    b"<",
    b">",
    b"=",
]


def change_bytes(data: bytes, random: Random) -> bytes:
    """Return bytes with a few changes: bits, pieces that are lost, doubled or moved, and strange ones put in."""
    for _ in range(random.choice([1, 1, 2, 8])):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice([1, 2, 10, 100]))
        what = random.randrange(7)
        if what <= 1 and data[start:end]:
            data = data[:start] + bytes([data[start] ^ 1 << random.randrange(8)]) + data[start + 1 :]
        elif what == 2:
            data = data[:start] + data[end:]
        elif what == 3:
            data = data[:start] + data[start:end] * 2 + data[end:]
        elif what == 4:
            data = data[:start] + random.choice(_TOKENS) + data[start:]
        elif what == 5:
            data = data[:start] + random.randbytes(end - start) + data[end:]
        elif random.random() < 0.3:
            data = data[:start]
    return data


_WORD = re.compile(r"[^\s,:()\[\]{}=<>+*\"'-]+|[,:()\[\]{}=<>+*\"'-]|\s+")
_WORDS = [
    "0",
    "1",
    "-1",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "1e308",
    "9" * 400,
    "free",
    "End",
    "obj",
    "é",
    "\x00",
    "\x1b[2J",
    "x" * 5000,
    "#",
    "\\",
    '"',
]


def change_text(text: str, random: Random, words: Sequence[str] = ()) -> str:
    """Return a text with a few changes: words and lines that are others, lost, doubled or in another order."""
    for _ in range(random.choice([1, 1, 2, 5])):
        if random.random() < 0.3:
            parts, glue = text.split("\n"), "\n"
        else:
            parts, glue = _WORD.findall(text), ""
        if not parts:
            return random.choice([*_WORDS, *words])
        at, other = random.randrange(len(parts)), random.randrange(len(parts))
        what = random.randrange(6)
        if what == 0:
            del parts[at]
        elif what == 1:
            parts.insert(at, parts[other])
        elif what == 2:
            parts[at], parts[other] = parts[other], parts[at]
        elif what == 3:
            parts[at] = random.choice([*_WORDS, *words])
        elif what == 4:
            parts[at] = "".join(random.choice([one, random.choice(string.printable)]) for one in parts[at])
        else:
            parts[at] = parts[at] * random.choice([2, 2, 50])
        text = glue.join(parts)[:200_000]
    return text


def of_data(seeds: Sequence[Any]) -> Make:
    """Return what makes mutations of JSON files from their data: by structure, and some by bytes."""

    def make(random: Random) -> bytes:
        data = random.choice(seeds)
        if random.random() < 0.2:
            return change_bytes(json.dumps(data).encode(), random)
        try:
            return dump(change_data(data, random), random)
        except RecursionError:  # lists in lists, copied into each other
            return b"[" * 5000 + b"]" * 5000

    return make


def of_text(seeds: Sequence[str], words: Sequence[str] = ()) -> Make:
    """Return what makes mutations of text files: by words and lines, and some by bytes."""

    def make(random: Random) -> bytes:
        text = random.choice(seeds)
        if random.random() < 0.2:
            return change_bytes(text.encode(), random)
        return change_text(text, random, words).encode("utf-8", "surrogatepass")

    return make


def of_messages(seeds: Sequence[Any]) -> Make:
    """Return what makes mutations of protocol buffers: by fields, and some by bytes."""

    def make(random: Random) -> bytes:
        message = copy.deepcopy(random.choice(seeds))
        if random.random() < 0.2:
            return change_bytes(message.SerializeToString(), random)
        for _ in range(random.choice([1, 1, 2, 4])):
            _change_field(message, random)
        return bytes(message.SerializeToString())

    return make


def _fields(message: Any) -> list[tuple[Any, Any]]:
    found, inside = [], [message]
    while inside:
        one = inside.pop()
        for field, content in one.ListFields():
            found.append((one, field))
            if field.message_type is not None:
                inside += content if _is_repeated(field) else [content]
    return found


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _change_field(message: Any, random: Random) -> None:
    places = _fields(message)
    if not places:
        return
    owner, field = random.choice(places)
    if random.random() < 0.15:
        owner.ClearField(field.name)
        return
    content = getattr(owner, field.name)
    if field.message_type is not None:
        if not _is_repeated(field):
            owner.ClearField(field.name)
        elif random.random() < 0.5:
            del content[random.randrange(len(content))]
        else:
            content.add().CopyFrom(random.choice(content))
        return
    new = _primitive(field, [getattr(one, f.name) for one, f in places if f.cpp_type == field.cpp_type], random)
    if not _is_repeated(field):
        setattr(owner, field.name, new)
    elif random.random() < 0.3:
        del content[random.randrange(len(content))]
    elif random.random() < 0.5:
        content.append(new)
    else:
        content[random.randrange(len(content))] = new


def _primitive(field: Any, others: Sequence[Any], random: Random) -> Any:
    """Return a value of a field's type: an extreme one, or one that another such field has."""
    if field.type == field.TYPE_BYTES:
        return random.choice([b"", b"\x00", b"\xff" * 100, random.randbytes(9)])
    if field.cpp_type == field.CPPTYPE_STRING:
        known = [
            text for other in others for text in ([other] if isinstance(other, str) else other) if isinstance(text, str)
        ]
        return random.choice([*known, *(name for name in _NAMES if "\ud800" not in name)])
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
    if field.cpp_type == field.CPPTYPE_ENUM:
        return random.choice([one.number for one in field.enum_type.values])
    wide = field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    signed = field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_INT32)
    large = [2**31 - 1, *([2**40, 2**63 - 1] if wide else [])]
    return random.choice([0, 1, 2, 3, 7, 1000, 10**6, *large, *([-1, -2, -(2**31)] if signed else [])])
