"""How blocks of variables and rows are called in modelling layers: named components, indexed by raw labels."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnnopt.models.arrays import Block

_Key = str | int | tuple[str, ...] | None
_ARGUMENT = re.compile(r"(\w+)\((.*)\)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Component:
    """A named, indexed set of variables or rows.

    Attributes
    ----------
    name : str
    members : dict
        Index -> column or row. An index is a label, a tuple of labels or a number; None: one alone, without an index.
    """

    name: str
    members: dict[_Key, int]


def components(blocks: Sequence[Block], taken: Container[str] = ()) -> list[Component]:
    """Return the blocks as components whose names differ, from each other and from those `taken`.

    ``peak(pi)`` and ``peak(nx)`` together are one component ``peak``, with the indices ``pi`` and ``nx``. Where a name
    is taken, ``_2`` (``_3``, ...) follows; where an index comes twice, ``..2``.
    """
    found: dict[str, Component] = {}
    grouped: dict[tuple[str, int], Component] = {}
    numbers: dict[tuple[str, _Key], int] = {}

    def new(base: str) -> Component:
        name, number = base, 2
        while name in found or name in taken:
            name = f"{base}_{number}"
            number += 1
        found[name] = Component(name, {})
        return found[name]

    for block in blocks:
        match = _ARGUMENT.fullmatch(block.name)
        base, prefix = (match[1], (match[2],)) if match else (block.name, ())
        labels = [prefix + key for key in block.labels()]
        if not match or not labels:
            component = new(base)
        else:
            group = base, len(labels[0])
            component = grouped.setdefault(group, grouped.get(group) or new(base))
        for number, parts in enumerate(labels, block.first):
            key: _Key = parts if len(parts) > 1 else parts[0] if parts else None
            component.members[_free(key, component, numbers)] = number
    return list(found.values())


def _free(key: _Key, component: Component, numbers: dict[tuple[str, _Key], int]) -> _Key:
    """Return the index, with the next number where it is taken; `numbers` are those each index has come to."""
    if key not in component.members:
        return key
    parts = key if isinstance(key, tuple) else (str(key),)
    number = numbers.get((component.name, key), 2)
    while True:
        last = f"{parts[-1]}..{number}"
        another = (*parts[:-1], last) if len(parts) > 1 else last
        number += 1
        if another not in component.members:
            numbers[component.name, key] = number
            return another
