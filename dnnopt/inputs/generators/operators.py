"""Operator graphs of transformers with colocation classes, on accelerators around a host's memory.

What frameworks write down of a network: every weight, reshape and mask is an operator of its own, forward and backward.
Operators that touch the same weights share a device, and so do a forward operator and its gradients; what adds up
gradients has no class. Such graphs have many more nodes than choices, and classes that lie across them.

A block has 25 forward operators, and 38 backward ones where the network is trained. Times are whole nanoseconds, those
of a processor 23 times those of an accelerator, as in the workloads of Tarnawski et al.: Efficient algorithms for
device placement of DNN graph operators, NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.sizes import check_places
from dnnopt.inputs.generators.stream import Stream
from dnnopt.inputs.msr import problem_of_workload
from dnnopt.problem.problem import Problem

_RATE, _MEMORY, _HOST = 10_000, 500, 16  # operations and bytes in a nanosecond; bytes to and from the host
_SLOWER = 23  # a processor than an accelerator
_TRIVIAL = 1  # nanosecond
_ENDS, _BLOCK, _BACK = 8, 25, 38  # forward operators outside blocks and in each; backward ones of a block
_GIVEN = "Ids", "Mask"  # they have no gradient


@checked
def operator_graph(
    size: int = 200,
    accelerators: int = 4,
    *,
    training: bool = False,
    objective: str = "latency",
    contiguous: bool = False,
    room: float = 1.5,
    seed: int = 0,
    allow_large: bool = False,
) -> Problem:
    """Return a problem of the kind of MSR's operator graphs; the same arguments give the same problem everywhere.

    Parameters
    ----------
    size : int
        Operators, at least: blocks are whole.
    accelerators : int
        Beside one processor, which has no limit on memory; for latency, a pool of them.
    training : bool
        Whether there are gradients.
    objective : {"latency", "throughput"}
        As for `read_msr`; so is `contiguous`.
    contiguous : bool
    room : float
        Memory of all accelerators together, as a multiple of what all operators need: below 1, some stay on processors.
    seed : int
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Raises
    ------
    InputError
        For values out of range, latency of training, and if it would be larger than `dnnopt.base.sizes` has it.
    """
    if size < 1:
        raise InputError("a whole number >= 1", field="size", value=size)
    if accelerators < 1:
        raise InputError("a whole number >= 1", field="accelerators", value=accelerators)
    if not room > 0:
        raise InputError("a number > 0", field="room", value=room)
    if objective not in ("latency", "throughput"):
        raise InputError("one of latency, throughput", field="objective", value=objective)
    if objective == "latency" and (training or contiguous):
        what = "training" if training else "contiguous"
        raise InputError("", field=what, problem="goes with throughput")
    check_places(size, accelerators + 1, allow_large=allow_large)
    data = operator_workload(size, accelerators, training=training, room=room, seed=seed)
    name = f"operators-{'training-' if training else ''}{size}-{accelerators}-{seed}"
    kind: Any = objective
    return problem_of_workload(data, name, objective=kind, contiguous=contiguous)


def operator_workload(size: int, accelerators: int, *, training: bool, room: float, seed: int) -> dict[str, Any]:
    """Return the workload as `read_msr` reads it from a JSON file; for the parameters see `operator_graph`."""
    stream = Stream(seed, "operators")
    graph = _Graph(stream, hidden=64 * stream.choice((8, 12, 16)), tokens=64 * stream.between(2, 6))
    graph.build(size, training=training)
    held = sum(node.size for node in graph.nodes)
    largest = max(graph.class_sizes().values())
    return {
        "maxSizePerFPGA": float(max(int(room * held) // accelerators, largest)),
        "maxFPGAs": accelerators,
        "maxCPUs": 1,
        "nodes": [
            {
                "id": number,
                "name": node.name,
                "supportedOnFpga": 1,
                "cpuLatency": _SLOWER * node.nanoseconds / 1e6,
                "fpgaLatency": node.nanoseconds / 1e6,
                "isBackwardNode": node.backward,
                "size": float(node.size),
                "colorClass": node.color,
            }
            for number, node in enumerate(graph.nodes)
        ],
        "edges": [
            {"sourceId": source, "destId": number, "cost": (graph.nodes[source].out // _HOST) / 1e6}
            for number, node in enumerate(graph.nodes)
            for source in node.sources
        ],
    }


@dataclass
class _Operator:
    name: str
    sources: list[int]
    nanoseconds: int
    out: int  # bytes
    size: int
    color: int | None = None
    backward: bool = False
    weights: bool = False


@dataclass
class _Graph:
    """Operators so far; tensors have `tokens` rows of `hidden` numbers of four bytes, or multiples of these."""

    stream: Stream
    hidden: int
    tokens: int
    nodes: list[_Operator] = field(default_factory=list)
    classes: int = 0

    def build(self, size: int, *, training: bool) -> None:
        ids = self._add("Ids", [], self._bytes(1))
        table = self._add("Embedding", [], 0, size=16 * self.hidden**2, weights=True)
        one = self._add("Gather", [ids, table], self._bytes(self.hidden), color=self._color(table))
        mask = self._add("Mask", [ids], self._bytes(self.tokens))
        blocks = max(1, -(-(size - _ENDS) // (_BLOCK + _BACK if training else _BLOCK)))
        for number in range(blocks):
            one = self._block(f"b{number}", one, mask)
        one = self._add("Pooled", [one], self._bytes(self.hidden))
        one = self._product("Head", one, 1, 2)
        loss = self._add("Loss", [one], self._bytes(1))
        if training:
            self._backward(loss)

    def class_sizes(self) -> dict[int, int]:
        """Return the bytes of each class, and of each operator without one (by a number below 0)."""
        found: dict[int, int] = {}
        for number, node in enumerate(self.nodes):
            color = -1 - number if node.color is None else node.color
            found[color] = found.get(color, 0) + node.size
        return found

    def _bytes(self, columns: int) -> int:
        return 4 * self.tokens * columns

    def _color(self, *nodes: int) -> int:
        """Return a new class with these operators in it."""
        self.classes += 1
        for node in nodes:
            self.nodes[node].color = self.classes
        return self.classes

    def _add(
        self,
        name: str,
        sources: list[int],
        out: int,
        *,
        flops: int = 0,
        size: int = 0,
        color: int | None = None,
        backward: bool = False,
        weights: bool = False,
        trivial: bool = False,
    ) -> int:
        """Add an operator, which holds what it makes and its weights, and return its number."""
        moved = out + size + sum(self.nodes[source].out for source in sources)
        took = _TRIVIAL if trivial or not sources else max(flops // _RATE, moved // _MEMORY, _TRIVIAL)
        if took > _TRIVIAL:
            took = took * self.stream.between(90, 110) // 100
        held = size if weights else out + size
        self.nodes.append(_Operator(name, sources, took, out or size, held, color, backward, weights))
        return len(self.nodes) - 1

    def _product(self, name: str, one: int, rows: int, columns: int) -> int:
        """Add weights of `rows` times `columns` squares and the product with them, which share a device."""
        size = 4 * rows * columns * self.hidden**2 if rows * columns > 2 else 4 * self.hidden**2
        weights = self._add(f"{name}.w", [], 0, size=size, weights=True)
        flops = 2 * self.tokens * size // 4
        return self._add(
            f"{name}.mm", [one, weights], self._bytes(columns * self.hidden), flops=flops, color=self._color(weights)
        )

    def _block(self, name: str, one: int, mask: int) -> int:
        """Add a block of attention and a feed-forward part."""
        wide = self._bytes(self.hidden)
        pairs = self._bytes(self.tokens)
        norm = self._add(f"{name}.norm1", [one], wide)
        query, key, value = (self._product(f"{name}.{part}", norm, 1, 1) for part in ("q", "k", "v"))
        turned = self._add(f"{name}.kT", [key], wide, trivial=True)
        score = self._add(f"{name}.score", [query, turned], pairs, flops=2 * self.tokens**2 * self.hidden)
        scaled = self._add(f"{name}.scale", [score], pairs)
        masked = self._add(f"{name}.mask", [scaled, mask], pairs)
        soft = self._add(f"{name}.softmax", [masked], pairs)
        kept = self._add(f"{name}.dropout1", [soft], pairs)
        context = self._add(f"{name}.context", [kept, value], wide, flops=2 * self.tokens**2 * self.hidden)
        shaped = self._add(f"{name}.reshape", [context], wide, trivial=True)
        proj = self._product(f"{name}.o", shaped, 1, 1)
        added = self._add(f"{name}.add1", [proj, one], wide)
        norm2 = self._add(f"{name}.norm2", [added], wide)
        up = self._product(f"{name}.up", norm2, 1, 4)
        curved = self._add(f"{name}.gelu", [up], 4 * wide)
        down = self._product(f"{name}.down", curved, 4, 1)
        return self._add(f"{name}.add2", [down, added], wide)

    def _backward(self, loss: int) -> None:
        """Add gradients from the last operator to the first; what is used several times has its gradients added up."""
        count = loss + 1
        parts: dict[int, list[int]] = {loss: []}
        for number in reversed(range(count)):
            node = self.nodes[number]
            if number not in parts:
                continue
            came = parts[number]
            if len(came) > 1:
                came = [self._add(f"{node.name}.sum'", came, node.out, backward=True)]
            color = node.color if node.color is not None else self._color(number)
            if node.weights:
                self._add(f"{node.name}.step", [*came, number], 0, size=2 * node.size, color=color, backward=True)
                continue
            for source in node.sources:
                if self.nodes[source].name in _GIVEN:
                    continue
                used = [other for other in node.sources if other != source]
                gradient = self._add(
                    f"{node.name}.d{self.nodes[source].name}",
                    [*came, *used],
                    self.nodes[source].out,
                    flops=node.nanoseconds * _RATE if used else 0,
                    color=color,
                    backward=True,
                )
                parts.setdefault(source, []).append(gradient)
