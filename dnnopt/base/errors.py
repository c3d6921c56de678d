"""The errors a user can cause."""

from __future__ import annotations

import math

from dnnopt.base.text import shortened, visible

_MISSING = object()
_LONGEST_PART = 300  # of a message: where it is
_LONGEST = 3000  # what is wrong: some messages list names


def shorten(value: object, limit: int = 80) -> str:
    """Return ``repr(value)``, cut in the middle where it is longer than `limit` characters."""
    try:
        return shortened(repr(value), limit)
    except (ValueError, RecursionError):  # Python writes no whole number of more than 4300 digits
        if isinstance(value, int):
            return f"a whole number of {math.ceil(value.bit_length() * math.log10(2))} digits"
        return f"a {type(value).__name__} that cannot be shown"


class InputError(ValueError):
    """Something the user gave is wrong: says where, what was found and what was expected.

    The message is one line; what is long is cut in the middle, and what a terminal would act on is escaped.

    Attributes
    ----------
    file, field : str
        Where: a file's name and the path of the field in it, such as ``platform.links[0].bandwidth``; may be empty.
    problem : str
        What was found and what was expected.
    """

    def __init__(self, expected: str, *, field: str = "", value: object = _MISSING, file: str = "", problem: str = ""):
        self.file = file
        self.field = field
        self.problem = problem or (
            f"expected {expected}" if value is _MISSING else f"got {shorten(value)}, expected {expected}"
        )
        parts = [shortened(file, _LONGEST_PART), shortened(field, _LONGEST_PART), shortened(self.problem, _LONGEST)]
        super().__init__(visible(": ".join(filter(None, parts))))

    def within(self, *, file: str = "", field: str = "") -> InputError:
        """Return the same error, placed inside `file` and under `field`."""
        joined = field + ("." if field and self.field and not self.field.startswith("[") else "") + self.field
        return type(self)("", field=joined, file=file or self.file, problem=self.problem)


class UnsupportedError(InputError):
    """A formulation, solver or method was asked for something that it does not support; the message names what does."""


class NumbersError(UnsupportedError):
    """A problem's numbers are too far apart for a solver; the message names two of them."""
