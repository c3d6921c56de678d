"""JSON as it is read here: names once, and what Python could not handle refused with its place."""

from __future__ import annotations

import json
import re
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.records import field_path
from dnnopt.base.sizes import MOST_DEPTH, MOST_DIGITS, MOST_VALUES, check_amount
from dnnopt.base.text import shortened

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # how one half of a surrogate pair is written


class _LongNumber:
    """A whole number that is too long for one: no field takes it, and the message shows its digits."""

    def __init__(self, digits: str) -> None:
        self._digits = digits

    def __repr__(self) -> str:
        return f"{shortened(self._digits, 40)} ({len(self._digits.lstrip('-'))} digits)"


def parse_json(text: str, *, file: str = "", allow_large: bool = False) -> Any:
    """Return the data in a text.

    Raises
    ------
    InputError
        If it is not JSON or cut off, has a name twice in one object, too many values, lists in lists without end, or a
        text that is no Unicode.
    """
    # A comma stands before every value but the first of its list or object.
    check_amount(text.count(","), MOST_VALUES, "values", allow_large=allow_large, file=file)
    try:
        data = json.loads(text, object_pairs_hook=_unique_keys, parse_int=_whole)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        cut = "" if text.rstrip().endswith("}") else "; is the file cut off?"
        raise InputError("", file=file, problem=f"not JSON: {error.msg} at {where}{cut}") from None
    except InputError as error:
        raise error.within(file=file) from None
    except RecursionError:
        raise _too_deep(file) from None
    _check_depth(data, file)
    if _HALF.search(text):
        _check_unicode(data, (), file)
    return data


def _whole(digits: str) -> Any:
    return int(digits) if len(digits) <= MOST_DIGITS else _LongNumber(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError("every name once", field=key, value=key)
            seen.add(key)
    return data


def _too_deep(file: str) -> InputError:
    return InputError("", file=file, problem=f"nested too deeply: more than {MOST_DEPTH} lists and objects in another")


def _check_depth(data: Any, file: str) -> None:
    kinds = (dict, list)  # parsed data has no others, so looking at types does, and is quicker
    level = [data] if type(data) in kinds else []
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in kinds
        ]
    if level:
        raise _too_deep(file)


def _check_unicode(data: Any, place: tuple[str | int, ...], file: str) -> None:
    """Refuse texts with halves of surrogate pairs, which no file can hold."""
    if isinstance(data, str):
        if any("\ud800" <= one <= "\udfff" for one in data):
            expected = "a text in Unicode, without halves of surrogate pairs"
            raise InputError(expected, field=field_path(place), file=file, value=data)
    elif isinstance(data, dict):
        for key, value in data.items():
            _check_unicode(key, (*place, key), file)
            _check_unicode(value, (*place, key), file)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check_unicode(value, (*place, index), file)
