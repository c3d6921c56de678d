"""Strategies that are made once and kept: to make and check one takes longer than to draw from it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

_PLAIN = (str, float, int, tuple, type(None))


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
