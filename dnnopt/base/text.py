"""Texts that others have written, such as names in a file, where people read them: nothing in them acts or hides."""

from __future__ import annotations

import re

# Of devices, methods and the like. Okabe, Ito: Color universal design, 2008; yellow comes last, as it is hard to see on
# white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")

_PART = re.compile(r'(?:"[^"]*"|[^",])+')


def visible(text: str) -> str:
    r"""Return a text in which all is seen: Python's escapes stand for what a terminal would do something else with.

    Control characters become ``\x1b``, ``\n`` and the like; so do marks of direction, characters without a width,
    blanks other than the space, and halves of surrogate pairs. Everything else stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def shortened(text: str, limit: int) -> str:
    """Return a text without its middle where it is longer than `limit` characters (of which 20 or more)."""
    return text if len(text) <= limit else f"{text[: limit - 20]} ... {text[-15:]}"


def between_commas(text: str) -> list[str]:
    """Return what stands between the commas, outside of quotation marks."""
    return [part.strip() for part in _PART.findall(text) if part.strip()]


def unquoted(text: str) -> str:
    """Return a name as it is, without the double quotes that it may be typed in."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
