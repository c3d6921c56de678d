"""Networks with several answers: what an earlier exit needs, and how many inputs get how far."""

from __future__ import annotations

from dnnopt.base.errors import InputError
from dnnopt.problem.networks import INPUT, OUTPUT, Network


def exits_of(network: Network) -> list[str]:
    """Return the layers that answer, from the first exit to the last.

    Raises
    ------
    InputError
        If there is just one.
    """
    answering = {tensor.producer for tensor in network.tensors if OUTPUT in tensor.consumers}
    names = [network.layers[index].name for index in network.order]
    found = sorted((name for name in names if name in answering), key=lambda name: len(_needed(network, name)))
    if len(found) < 2:
        raise InputError("a network with several exits, such as branchynet", field="network", value=network.name)
    return found


def _needed(network: Network, last: str) -> frozenset[str]:
    """Return the layers without which a layer has no result, itself among them."""
    before: dict[str, set[str]] = {name: set() for name in network.layer_names}
    for tensor in network.tensors:
        for reader in tensor.consumers:
            if reader != OUTPUT and tensor.producer != INPUT:
                before[reader].add(tensor.producer)
    found, new = {last}, [last]
    while new:
        new = sorted({name for one in new for name in before[one]} - found)
        found |= set(new)
    return frozenset(found)


def until(network: Network, last: str) -> Network:
    """Return what of a network is needed for the answer of one layer."""
    kept = _needed(network, last)
    tensors = []
    for tensor in network.tensors:
        readers = tuple(one for one in tensor.consumers if one in kept or (one == OUTPUT and tensor.producer == last))
        if readers:
            tensors.append(tensor.replace(consumers=readers))
    return network.replace(
        layers=tuple(layer for layer in network.layers if layer.name in kept),
        tensors=tuple(tensors),
        name=f"{network.name}-{last}",
    )


def sections(network: Network) -> list[list[str]]:
    """Return for each exit the layers that it needs and no earlier one does."""
    found, done = [], frozenset[str]()
    for last in exits_of(network):
        needed = _needed(network, last)
        found.append([layer.name for layer in network.layers if layer.name in needed - done])
        done |= needed
    return found


def leaving(network: Network, stays: float) -> Network:
    """Return the network where of all inputs that reach an exit but the last this share goes on."""
    last, parts = exits_of(network), sections(network)
    reach = {name: stays**index for index, part in enumerate(parts) for name in part}
    own = {name: reach[name] * (1 - stays) for name in last[:-1]}
    return network.replace(
        layers=tuple(layer.replace(reach=reach.get(layer.name, 0.0) or layer.reach) for layer in network.layers),
        tensors=tuple(
            tensor.replace(reach=own[tensor.producer])
            if OUTPUT in tensor.consumers and tensor.producer in own
            else tensor
            for tensor in network.tensors
        ),
    )
