"""A plan as one line of letters along the network, to be read in any terminal, with and without colours."""

from __future__ import annotations

import string
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from dnnopt.base.text import COLOURS
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

if TYPE_CHECKING:
    from rich.text import Text

_OTHER = "?"  # devices beyond the alphabet


def letters(problem: Problem) -> dict[str, str]:
    """Return a letter for each device, from its name where that is free."""
    found: dict[str, str] = {}
    for device in problem.platform.device_names():
        wanted = [letter for letter in device.upper() if letter in string.ascii_uppercase]
        free = (letter for letter in [*wanted, *string.ascii_uppercase] if letter not in found.values())
        found[device] = next(free, _OTHER)
    return found


def strip(problem: Problem, plan: Plan, width: int = 60) -> str:
    """Return the letters of the devices along the networks' layers in topological order.

    A letter stands for a layer or, where there are more layers than `width`, for some that follow each other: a small
    letter where they are not all on one device, but most of them on this one. Networks are set apart by a blank.
    """
    of = letters(problem)
    total = sum(len(network.layers) for network in problem.networks)
    width = max(width - len(problem.networks) + 1, len(problem.networks))
    words = []
    for network in problem.networks:
        placed = [plan.placement[network.name][network.layers[index].name] for index in network.order]
        cells = min(len(placed), max(1, width * len(placed) // total))
        ends = [len(placed) * cell // cells for cell in range(cells + 1)]
        words.append("".join(_cell(placed[a:b], of) for a, b in pairwise(ends)))
    return " ".join(words)


def _cell(devices: list[str], of: dict[str, str]) -> str:
    (device, count), *_ = Counter(devices).most_common(1)
    return of[device] if count == len(devices) else of[device].lower()


def legend(problem: Problem) -> str:
    """Return what the letters mean: ``P pi, N nx``."""
    return ", ".join(f"{letter} {device}" for device, letter in letters(problem).items())


def coloured(problem: Problem, line: str) -> Text:
    """Return a line of letters with the colour of each device behind its letter."""
    from rich.text import Text

    index = {letter: position for position, letter in enumerate(letters(problem).values())}
    text = Text(no_wrap=True)
    for letter in line:
        place = index.get(letter.upper())
        text.append(letter, "" if place is None else f"#000000 on {COLOURS[place % len(COLOURS)]}")
    return text


def moved(problem: Problem, plan: Plan, other: Plan) -> list[str]:
    """Return the layers that two plans have on different devices, as ``network.layer`` where there are several."""
    return [
        f"{network.name}.{layer.name}" if len(problem.networks) > 1 else layer.name
        for network in problem.networks
        for layer in (network.layers[index] for index in network.order)
        if plan.placement[network.name][layer.name] != other.placement[network.name][layer.name]
    ]
