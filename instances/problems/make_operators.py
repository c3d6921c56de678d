"""Writes the problems of the set `hard@3`: generated graphs of operators with colocation classes (docs/generators.md).

    python instances/problems/make_operators.py

Each is what `dnnopt generate-operators` makes of a row of `ROWS`, under a name of its own. What is in a set never
changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dnnopt.base.files import write_data
from dnnopt.inputs.generators.operators import operator_graph

Data = dict[str, Any]
FOLDER = Path(__file__).parent


class Row(NamedTuple):
    """One problem; `what`: call, inference, training, or one of the latter two with `contiguous` before it."""

    what: str
    size: int
    accelerators: int
    room: float


ROWS = (
    Row("call", 200, 3, 0.6),
    Row("call", 300, 5, 0.8),
    Row("call", 600, 8, 0.6),
    Row("call", 1000, 6, 0.6),
    Row("call", 1500, 10, 1.5),
    Row("call", 2000, 14, 0.6),
    Row("contiguous inference", 400, 6, 0.8),
    Row("training", 400, 5, 1.2),
    Row("contiguous training", 600, 3, 1.5),
    Row("contiguous training", 1000, 8, 1.2),
    Row("training", 1200, 4, 1.5),
    Row("contiguous training", 2000, 14, 1.5),
)


def hard() -> Iterator[Data]:
    for i, (what, size, accelerators, room) in enumerate(ROWS):
        made = operator_graph(
            size,
            accelerators,
            training="training" in what,
            objective="latency" if what == "call" else "throughput",
            contiguous="contiguous" in what,
            room=room,
            seed=i + 1,
        )
        said = (
            f"Operators of a transformer in colocation classes, {what}: {size} or more on {accelerators} accelerators "
        )
        said += f"that hold {room:g} times what all need. Written by make_operators.py."
        yield made.replace(name=f"hard@3/{i + 1:03}", provenance=said).to_data()


def main() -> None:
    for data in hard():
        path = FOLDER / f"{data['name']}.json.gz"
        path.parent.mkdir(exist_ok=True)
        write_data(path, "problem", data)


if __name__ == "__main__":
    main()
