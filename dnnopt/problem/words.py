"""A plan as one line of letters along the network, to be read in any terminal, with and without colours."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from dnnopt.base.console import words
from dnnopt.base.numbers import format_quantity
from dnnopt.base.text import COLOURS, visible
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LEAST_STRIP, _MOST_STRIP = 12, 80
_MOST_FORMED = 2  # tensors that are named in a column
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
    device, of = problem.platform.device_of(), letters(problem)
    total = sum(len(network.layers) for network in problem.networks)
    width = max(width - len(problem.networks) + 1, len(problem.networks))
    words = []
    for network in problem.networks:
        placed = [device[plan.placement[network.name][network.layers[index].name]] for index in network.order]
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
    """Return the layers that two plans have on different executors, as ``network.layer`` where there are several."""
    return [
        f"{network.name}.{layer.name}" if len(problem.networks) > 1 else layer.name
        for network in problem.networks
        for layer in (network.layers[index] for index in network.order)
        if plan.placement[network.name][layer.name] != other.placement[network.name][layer.name]
    ]


def print_strips(console: Console, problem: Problem, plans: Mapping[str, Plan]) -> None:
    """Print plans as lines of letters along the network, one below the other."""
    from rich.cells import cell_len
    from rich.text import Text

    if not plans:
        return
    names = {name: visible(name) for name in plans}
    name_width = min(max(map(cell_len, names.values())), console.width // 3)
    width = min(max(console.width - name_width - 2, _LEAST_STRIP), _MOST_STRIP)
    console.print(words("Along the network", "bold"))
    lines = {name: strip(problem, plan, width) for name, plan in plans.items()}
    for name, line in lines.items():
        room = name_width - cell_len(names[name])
        # A name that is too long has a line of its own.
        begin = Text(names[name] + " " * (room + 2) if room >= 0 else f"{names[name]}\n{' ' * (name_width + 2)}")
        console.print(begin + coloured(problem, line), no_wrap=True, overflow="fold")
    small = any(letter.islower() for line in lines.values() for letter in line)
    console.print(words(legend(problem) + ("; small: most of these layers" if small else "")))


def objective_name(problem: Problem, priority: int | None = None) -> tuple[str, str]:
    """Return what is minimised (first, or at a priority), in words, and its SI unit (empty for unlike metrics)."""
    priority = min(term.priority for term in problem.minimize) if priority is None else priority
    terms = [term for term in problem.minimize if term.priority == priority]
    own = {metric.name: metric.unit for metric in problem.metrics}
    units = {own.get(term.metric, term.unit) for term in terms}
    names = (term.label + (" (a proxy)" if term.metric == "accuracy_loss" else "") for term in terms)
    return " + ".join(names), units.pop() if len(units) == 1 else ""


def runs(problem: Problem, plan: Plan) -> dict[str, list[str]]:
    """Return for each device its layers as runs along the network's order: ``conv1 ... relu5 (12)``.

    Where a device has several modes, a run is in one of them: ``conv1 ... relu5 (12) in int8``.
    """
    found: dict[str, list[str]] = {device: [] for device in problem.platform.device_names()}
    executors = {executor.name: executor for executor in problem.platform.executors()}
    for network in problem.networks:
        prefix = f"{network.name}: " if len(problem.networks) > 1 else ""
        placed = plan.placement[network.name]
        run: list[str] = []
        for index in [*network.order, None]:
            name = network.layers[index].name if index is not None else None
            if run and (name is None or placed[name] != placed[run[-1]]):
                text = run[0] if len(run) == 1 else f"{run[0]} ... {run[-1]} ({len(run)})"
                executor = executors[placed[run[0]]]
                device = executor.device.name
                mode = "" if executor.name == device else f" in {executor.mode.name}"
                found[device].append(prefix + text + mode)
                run = []
            if name is not None:
                run.append(name)
    return found


def where(problem: Problem, plan: Plan) -> str:
    """Return how many layers are where, and what is sent in which form: ``pi 3, nx:int8 4; t as jpeg; blocks a..c``."""
    counts = dict.fromkeys(problem.platform.device_of(), 0)
    for placed in plan.placement.values():
        for device in placed.values():
            counts[device] += 1
    several = len(problem.networks) > 1
    formed = [
        f"{network}.{tensor} as {form}" if several else f"{tensor} as {form}"
        for network, forms in plan.forms.items()
        for tensor, form in forms.items()
    ]
    if len(formed) > _MOST_FORMED:
        formed = [f"{len(formed)} tensors in forms of their own"]
    fused = [name for names in plan.blocks.values() for name in names]
    if fused:
        formed.append(f"blocks {', '.join(fused)}" if len(fused) <= _MOST_FORMED else f"{len(fused)} blocks")
    return "; ".join([", ".join(f"{device} {count}" for device, count in counts.items() if count), *formed])


def metric_line(problem: Problem, metrics: Mapping[str, float]) -> str:
    """Return the main metrics in one line, the throughput among them where the problem is about periods.

    It says that they are expected ones where that is more than a word: of scenarios, or where inputs leave early.
    """
    expected = bool(problem.scenarios) or any(network.has_exits for network in problem.networks)
    parts = []
    for name, metric in STANDARD.items():
        if name in metrics and math.isfinite(metrics[name]):
            proxy = " (losses added up: a proxy)" if name == "accuracy_loss" else ""
            parts.append(f"{name.replace('_', ' ')} {format_quantity(metrics[name], metric.unit)}{proxy}")
            if name == "period" and metrics[name] > 0 and _is_pipeline(problem):
                parts.append(f"throughput {format_quantity(1 / metrics[name], '1/s')}")
    return ("expected: " if expected else "") + ", ".join(parts)


def _is_pipeline(problem: Problem) -> bool:
    named = {getattr(one, "metric", None) for one in (*problem.minimize, *problem.subject_to)}
    return problem.execution == "pipelined" or "period" in named
