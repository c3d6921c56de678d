"""The errors a user can cause."""

from __future__ import annotations

_MISSING = object()


def shorten(value: object, limit: int = 80) -> str:
    """Return ``repr(value)``, cut in the middle where it is longer than `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 20]} ... {text[-15:]}"


class InputError(ValueError):
    """Something the user gave is wrong: says where, what was found and what was expected.

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
        super().__init__(": ".join(part for part in (file, field, self.problem) if part))

    def within(self, *, file: str = "", field: str = "") -> InputError:
        """Return the same error, placed inside `file` and under `field`."""
        joined = field + ("." if field and self.field and not self.field.startswith("[") else "") + self.field
        return type(self)("", field=joined, file=file or self.file, problem=self.problem)


class UnsupportedError(InputError):
    """A formulation, solver or method was asked for something that it does not support; the message names what does."""
