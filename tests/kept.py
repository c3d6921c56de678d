"""Strategies that are made once and kept: to make and check one takes longer than to draw from it.

Every choice that is drawn takes Hypothesis about as long as making a record of the problem, so that `each` and
`arrangement` draw one whole number for several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Any

from hypothesis import strategies as st

_PLAIN = (str, float, int, tuple, type(None))
_MOST = 2**24  # whole numbers below it are drawn evenly; of larger ranges, small ones are more likely


def sampled_from(values: Iterable[Any]) -> st.SearchStrategy[Any]:
    """Return the strategy for one of some values."""
    listed = tuple(values)
    if not all(isinstance(value, _PLAIN) for value in listed):
        return st.sampled_from(listed)
    return _sampled(listed, tuple(map(type, listed)))  # 1, 1.0 and True are equal


@lru_cache(maxsize=10_000)
def _sampled(values: tuple[Any, ...], kinds: tuple[type, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@lru_cache(maxsize=1000)
def integers(least: int, most: int) -> st.SearchStrategy[int]:
    """Return the strategy for whole numbers from `least` to `most`."""
    return st.integers(least, most)


@lru_cache(maxsize=1000)
def lists(
    elements: st.SearchStrategy[Any], *, min_size: int = 0, max_size: int | None = None, unique: bool = False
) -> st.SearchStrategy[list[Any]]:
    """Return the strategy for lists of what a strategy draws."""
    return st.lists(elements, min_size=min_size, max_size=max_size, unique=unique)


@lru_cache(maxsize=1000)
def tuples_of(
    elements: st.SearchStrategy[Any], *, min_size: int = 0, max_size: int | None = None, unique: bool = False
) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return the strategy for tuples of any length of what a strategy draws."""
    return lists(elements, min_size=min_size, max_size=max_size, unique=unique).map(tuple)


def each(draw: Callable[[st.SearchStrategy[Any]], Any], *options: Sequence[Any]) -> list[Any]:
    """Draw one value of each of some sequences, all evenly and apart from each other."""
    found: list[Any] = []
    while len(found) < len(options):
        count, ways = len(found), 1
        while count < len(options) and (count == len(found) or ways * len(options[count]) <= _MOST):
            ways *= len(options[count])
            count += 1
        number = draw(integers(0, ways - 1))
        for values in options[len(found) : count]:
            number, place = divmod(number, len(values))
            found.append(values[place])
    return found


def arrangement(
    draw: Callable[[st.SearchStrategy[Any]], Any], values: Sequence[Any], least: int, most: int
) -> tuple[Any, ...]:
    """Draw from `least` to `most` of a few values, none twice, in any order; every number of them is as likely."""
    kinds = _arrangements(len(values), least, min(most, len(values)))
    number, kind = divmod(draw(integers(0, len(kinds) * math.lcm(*(len(places) for places in kinds)) - 1)), len(kinds))
    return tuple(values[place] for place in kinds[kind][number % len(kinds[kind])])


@lru_cache(maxsize=1000)
def _arrangements(count: int, least: int, most: int) -> list[list[tuple[int, ...]]]:
    return [list(permutations(range(count), size)) for size in range(least, most + 1)]
