"""HierTrain: training over device, edge and cloud."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, permutations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, in_tiers, some_counts
from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import plan_of
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, Tensor
from dnnopt.problem.objectives import latency
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

_BATCH, _PARTS = 24, 3  # samples, and in how many parts
_PASSES = 3  # forward, and the two products of the backward pass
_UPDATE = ".update"


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a training step of 24 samples in three parts, whose gradients are added up layer by layer."""
    if len(platform.devices) > _PARTS:
        raise InputError("a platform of three devices or fewer", field="platform", value=list(platform.device_names()))
    return Problem(at_end(_step(network), platform), platform, "scheduled", latency())


def _step(network: Network) -> Network:
    """Return the network in training: each part of the batch forward and backward, then the sums of gradients."""
    if network.shared_weights:
        raise InputError("a network without shared weights", field="network", value=network.name)
    share = _BATCH / _PARTS
    layers, tensors = [], []
    for layer in network.layers:
        amounts = {name: _PASSES * share * (getattr(layer, name) or 0.0) for name in ("flops", "bytes")}
        for part in range(1, _PARTS + 1):
            layers.append(Layer(name=f"{layer.name}#{part}", op=layer.op, weights=layer.weights, **amounts))
        if layer.weights:
            update = layer.name + _UPDATE
            layers.append(
                Layer(name=update, op="Update", flops=_PARTS * layer.weights / 4, bytes=_PARTS * layer.weights)
            )
            tensors += [  # gradients to the sum, and new weights back
                Tensor(
                    name=f"{layer.name}.gradient#{part}",
                    producer=f"{layer.name}#{part}",
                    consumers=(update,),
                    bytes=2 * layer.weights,
                )
                for part in range(1, _PARTS + 1)
            ]
    for tensor in network.tensors:
        readers = [reader for reader in tensor.consumers if reader != OUTPUT]
        if readers:
            raw = tensor.producer == INPUT
            tensors += [
                Tensor(
                    name=f"{tensor.name}#{part}",
                    producer=INPUT if raw else f"{tensor.producer}#{part}",
                    consumers=tuple(f"{reader}#{part}" for reader in readers),
                    bytes=(1 if raw else 2) * share * tensor.bytes,  # and its gradient back
                )
                for part in range(1, _PARTS + 1)
            ]
    return Network(name=f"{network.name}@batch:{_PARTS}", layers=tuple(layers), tensors=tuple(tensors))


def _plan(problem: Problem) -> Plan:
    """Try all that it chooses from: which worker has all layers, how many the others have, and of how many parts."""
    compiled, (network,) = compile_problem(problem), problem.networks
    names = [network.layers[index].name for index in network.order]
    base = list(dict.fromkeys(name.rpartition("#")[0] for name in names if "#" in name))
    best, least = None, 0.0
    for all_layers, kept in _ways([device.name for device in in_tiers(problem.platform)], len(base)):
        places = {}
        for name in names:
            layer, mark, part = name.rpartition("#")
            home, count = kept[int(part) - 1] if mark else (all_layers, 0)
            places[name] = home if mark and base.index(layer) < count else all_layers
        plan = plan_of(compiled, compiled.placement(Plan(placement={network.name: places})))
        seconds = evaluate(problem, plan).objective
        if best is None or seconds < least:
            best, least = plan, seconds
    if best is None:
        raise InputError("a platform of one device or more", field="platform", value=problem.platform.name)
    return best


def _ways(devices: list[str], layers: int) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield the worker with all layers, and for each part on which worker how many layers are before those."""
    counts = some_counts(layers)
    for all_layers in devices:
        yield all_layers, [(all_layers, 0)] * _PARTS
        others = [name for name in devices if name != all_layers]
        for other in others:
            for parts in range(1, _PARTS + 1):
                for count in counts:
                    yield all_layers, [(other, count)] * parts + [(all_layers, 0)] * (_PARTS - parts)
        for one, two in permutations(others, 2):
            for first, second in combinations_with_replacement(counts, 2):
                yield all_layers, [(one, first), (two, second)] + [(all_layers, 0)] * (_PARTS - 2)


APPROACH = Approach(
    name="hiertrain",
    title="HierTrain",
    venue="OJ-COMS",
    year=2020,
    locations=("end-edge-cloud",),
    granularities=("segments", "samples"),
    constraints=(),
    objectives=("latency",),
    algorithms=("enumeration", "linear-programming"),
    communication="activations at cuts, raw samples, and gradients of what several workers train",
    source="arXiv 2003.09876",
    evidence="A",
    claims=(
        Claim(
            "up to 6.9 times faster than training in the cloud",
            "A",
            "not reproducible",
            "its measured times of layers, forward and backward, are not public",
        ),
    ),
    build=_build,
    plan=_plan,
    missing="Any number of samples for each worker; both passes of a layer apart, and gradients of a "
    "worker's parts added up before they are sent.",
    example=("alexnet@block", "pi4-wifi-nx-wan-t4"),
    stands_for="Three equal parts of the batch are given out, in place of a linear program for the samples; cuts "
    "are tried at 12 places.",
)
