"""Blocks: layers that run as one, with costs of their own. A fused block is not the sum of its layers.

A plan states which blocks run: their layers are on one executor, and cost there what the block does. All else (memory,
weights, tensors, losses, constraints) is the layers' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from pydantic import Field

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Joules, Name, Record, Seconds, check_known, check_unique
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network
from dnnopt.problem.platforms import Executor

_JOINED = ".."


class FusedBlock(Record):
    """What some layers cost that run as one: connected, convex, and of one reach.

    Attributes
    ----------
    network : str
    layers : tuple of str
        Several blocks may have the same ones: as other tilings do.
    time : mapping of str to float or None
        Seconds by device, or device in a mode (``nx:int8``), launch overhead included; one that is missing, or None,
        cannot run the block.
    energy : mapping of str to float
        Joules, likewise; where absent, busy power x time.
    name : str, optional
        How plans name it: unique in its network. None: the names of its first and last layer (``conv1..relu3``), with
        a number where that is another block's name.
    """

    network: Name
    layers: tuple[Name, ...] = Field(min_length=1)
    time: Frozen[Name, Seconds | None]
    energy: Frozen[Name, Joules] = FrozenDict()
    name: Name | None = None


@dataclass(frozen=True)
class NamedBlock:
    """A block with the name that plans have for it.

    Attributes
    ----------
    network, name : str
    layers : tuple of Layer
        In the network's order.
    block : FusedBlock
    """

    network: str
    name: str
    layers: tuple[Layer, ...]
    block: FusedBlock

    @property
    def reach(self) -> float:
        """The share of the inputs that get as far as its layers."""
        return self.layers[0].reach

    def seconds(self, executor: Executor) -> float | None:
        """Return its time, for an input that gets there; None: the executor cannot run it.

        What is measured of a device holds for those of its modes that override no rate and no overhead. Its layers
        need not run there by themselves, but a mode runs no others than its operators.
        """
        if not all(executor.runs(layer.op) for layer in self.layers):
            return None
        of_device = self.block.time.get(executor.device.name) if executor.same_times else None
        return self.block.time.get(executor.name, of_device)

    def joules(self, executor: Executor, seconds: float) -> float:
        """Return its energy: measured, else busy power x `seconds`."""
        of_device = self.block.energy.get(executor.device.name) if executor.same_energies else None
        joules = self.block.energy.get(executor.name, of_device)
        return executor.device.power * seconds if joules is None else joules


def named_blocks(blocks: Sequence[FusedBlock], networks: Sequence[Network]) -> tuple[NamedBlock, ...]:
    """Return blocks with their names, in their order."""
    if not blocks:
        return ()
    named = {block.network for block in blocks}
    order = {
        network.name: {network.layers[v].name: (place, network.layers[v]) for place, v in enumerate(network.order)}
        for network in networks
        if network.name in named
    }
    taken = {(block.network, block.name) for block in blocks}
    found = []
    for block in blocks:
        of_network = order[block.network]
        layers = tuple(layer for _, layer in sorted((of_network[name] for name in block.layers), key=itemgetter(0)))
        ends = dict.fromkeys((layers[0].name, layers[-1].name))
        name, number = block.name or _JOINED.join(ends), 1
        while block.name is None and (block.network, name) in taken:
            number += 1
            name = f"{_JOINED.join(ends)}#{number}"
        taken.add((block.network, name))
        found.append(NamedBlock(block.network, name, layers, block))
    return tuple(found)


def check_blocks(blocks: Sequence[FusedBlock], networks: Mapping[str, Network], places: set[str]) -> None:
    """Raise InputError for the first block that is none of its network, or that names what there is not.

    Parameters
    ----------
    blocks : sequence of FusedBlock
    networks : mapping
        By name.
    places : set of str
        Names of devices and executors.
    """
    names: set[tuple[str, str]] = set()
    for index, block in enumerate(blocks):
        field = f"blocks[{index}]"
        check_known(block.network, networks, f"{field}.network", "network")
        network = networks[block.network]
        for position, layer in enumerate(block.layers):
            check_known(layer, network.layer_names, f"{field}.layers[{position}]", "layer")
        check_unique(block.layers, f"{field}.layers", "layer")
        for kind in ("time", "energy"):
            for place in getattr(block, kind):
                check_known(place, places, f"{field}.{kind}", "device")
        if all(seconds is None for seconds in block.time.values()):
            raise InputError("the seconds on at least one device", field=f"{field}.time", value=dict(block.time))
        _check_shape(block, network, f"{field}.layers")
        if block.name is not None and (block.network, block.name) in names:
            expected = f"a name that no other block of {block.network!r} has"
            raise InputError(expected, field=f"{field}.name", value=block.name)
        names.add((block.network, block.name or ""))


def _check_shape(block: FusedBlock, network: Network, field: str) -> None:
    """Check that a block's layers have one reach, are connected, and that no way leaves them and comes back."""
    members = set(block.layers)
    reaches = {layer.name: layer.reach for layer in network.layers if layer.name in members}
    if len(set(reaches.values())) > 1:
        words = ", ".join(f"{name} {reach:g}" for name, reach in reaches.items())
        raise InputError("", field=field, problem=f"layers of different reach are no block: {words}")
    after: dict[str, set[str]] = {layer.name: set() for layer in network.layers}
    beside: dict[str, set[str]] = {name: set() for name in members}
    for tensor in network.tensors:
        for consumer in tensor.consumers:
            if tensor.producer != INPUT and consumer != OUTPUT:
                after[tensor.producer].add(consumer)
                if {tensor.producer, consumer} <= members:
                    beside[tensor.producer].add(consumer)
                    beside[consumer].add(tensor.producer)
    apart = members - _reached({block.layers[0]}, beside)
    if apart:
        other = next(name for name in block.layers if name in apart)
        words = f"no tensors connect {block.layers[0]!r} and {other!r} within the block"
        raise InputError("", field=field, problem=words)
    left = {follower for name in members for follower in after[name]} - members
    back = members & _reached(left, after)
    if back:
        first = next(
            layer.name for layer in network.layers if layer.name in left and _reached({layer.name}, after) & members
        )
        words = f"a way leaves the block by {first!r} and comes back to it"
        raise InputError("", field=field, problem=words)


def _reached(names: set[str], after: Mapping[str, set[str]]) -> set[str]:
    """Return some names and all that can be reached from them."""
    found, waiting = set(names), list(names)
    while waiting:
        new = after[waiting.pop()] - found
        found |= new
        waiting += new
    return found
