"""Random whole numbers that are the same on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
_MASK = 2**64 - 1


class Stream:
    """SplitMix64, started from a text.

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.

    Parameters
    ----------
    *key : str or int
        Streams of different keys have nothing to do with each other, so that what one knob changes leaves the rest.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self._state = int.from_bytes(digest[:8], "big")

    def bits(self) -> int:
        """Return a whole number below 2^64."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, count: int) -> int:
        """Return a whole number from 0 to `count` - 1, all equally likely."""
        limit = 2**64 - 2**64 % count
        while True:
            drawn = self.bits()
            if drawn < limit:
                return drawn % count

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return `count` different items, in random order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def split(self, total: int, parts: int) -> list[int]:
        """Return `parts` whole numbers >= 1 that add up to `total`."""
        cuts = sorted(self.sample(range(1, total), parts - 1))
        return [after - before for before, after in zip([0, *cuts], [*cuts, total], strict=True)]
