"""Small networks and platforms on which each approach is tried."""

from __future__ import annotations

from builders import link, network, platform, tensor

import dnnopt as dp
from dnnopt.approaches import approach_named
from dnnopt.approaches.settings import among
from dnnopt.problem.networks import OUTPUT

SIZES = [12.0, 9.0, 7.0, 2.0, 3.0, 1.0]  # bytes of the input, and of what each layer makes
WORK = [4.0, 6.0, 5.0, 3.0, 8.0]
WEIGHTS = [1.0, 2.0, 4.0, 8.0, 6.0]


def chain():
    names = "abcde"
    layers = [
        dp.Layer(name, flops=flops, bytes=0.0, weights=weights, activations=1.0)
        for name, flops, weights in zip(names, WORK, WEIGHTS, strict=True)
    ]
    ends = ["input", *names, "output"]
    tensors = [tensor(f"t{k}", ends[k], ends[k + 1], SIZES[k]) for k in range(6)]
    return network(layers, tensors)


def machine(name, tier, speed, **fields):
    return dp.Device(name, tier=tier, flops_per_s=speed, bytes_per_s=1.0, power=fields.pop("power", 1.0), **fields)


def two(up=2.0, down=4.0, first="end", second="cloud", **fields):
    devices = [machine("pi", first, 1.0, power=3.0), machine("t4", second, 8.0, power=5.0, **fields)]
    return platform(devices, [link("up", up), link("down", down)], {"pi>t4": "up", "t4>pi": "down"})


def graph():
    layers = [
        dp.Layer(name, flops=flops, bytes=0.0, weights=1.0, activations=1.0)
        for name, flops in zip("abcde", WORK, strict=True)
    ]
    tensors = [
        tensor("x", "input", "a", 9.0),
        tensor("ta", "a", "b c e", 3.0),
        tensor("tb", "b", "d", 2.0),
        tensor("tc", "c", "d", 1.0),
        tensor("td", "d", "e", 6.0),
    ]
    return network(layers, tensors)


def tiers():
    devices = [machine("pi", "end", 1.0), machine("nx", "edge", 4.0), machine("t4", "cloud", 20.0)]
    links = [link("a", 4.0, 0.5), link("b", 1.0, 0.25), link("c", 8.0), link("d", 8.0)]
    routes = {"pi>nx": "a", "nx>t4": "b", "pi>t4": "a b", "nx>pi": "c", "t4>nx": "d", "t4>pi": "d c"}
    return platform(devices, links, routes)


def gpus(count=2):
    devices = [machine(f"g{k}", "cloud", 1.0 + k, memory=16.0) for k in range(count)]
    links = [
        link(f"{way}{k}", 2.0, sender=f"g{k}" if way == "out" else None) for k in range(count) for way in ("out", "in")
    ]
    links = [one.replace(receiver=f"g{one.name[2:]}") if one.name.startswith("in") else one for one in links]
    routes = {f"g{a}>g{b}": f"out{a} in{b}" for a in range(count) for b in range(count) if a != b}
    return platform(devices, links, routes)


def forked(layers="abcde"):
    """Return a network with an answer after its second layer, after its third one, and at its end."""
    found = chain()
    answers = [tensor("x", "b", "output", 1.0), tensor("y", "c", "output", 1.0)]
    return found.replace(tensors=(*found.tensors, *answers))


def users():
    devices = [machine("a", "end", 1.0), machine("b", "end", 2.0), machine("c", "edge", 6.0), machine("d", "edge", 4.0)]
    links = [link(f"{one}{other}", 4.0) for one in "ab" for other in "cd"]
    return platform(devices, links, {f"{p}>{q}": one.name for one in links for p, q in (one.name, one.name[::-1])})


def alike(count=3, memory=12.0):
    devices = [machine(f"g{k}", "end", 1.0, memory=memory) for k in range(count)]
    links = [link(f"{way}{k}", 2.0, **{end: f"g{k}"}) for k in range(count) for way, end in WAYS]
    routes = {f"g{a}>g{b}": f"out{a} in{b}" for a in range(count) for b in range(count) if a != b}
    return platform(devices, links, routes)


WAYS = (("out", "sender"), ("in", "receiver"))


def beginning(name, last):
    """Return the first layers of a network of the library, up to one of them."""
    net = dp.network(name)
    names = [net.layers[index].name for index in net.order]
    kept = set(names[: names.index(last) + 1])
    tensors = []
    for one in net.tensors:
        readers = (OUTPUT,) if one.producer == last else tuple(reader for reader in one.consumers if reader in kept)
        if readers and one.producer in kept | {"input"}:
            tensors.append(one.replace(consumers=readers))
    return net.replace(layers=tuple(layer for layer in net.layers if layer.name in kept), tensors=tuple(tensors))


def pair(name):
    whole = dp.platform(name)
    return among(whole, whole.device_names()[:2])


PAIRS = {
    "aofl": "six-pi4-wifi",
    "coedge": "four-pi3-lan-blocking",
    "deepslicing": "four-pi3-lan-blocking",
    "deepthings": "six-pi4-wifi",
    "distprivacy": "four-pi3-lan-blocking",
    "distredge": "pi4-lan-nano-nx-wan-t4",
    "edgeflow": "4-jetson-nx-lan",
    "legion": "six-pi4-wifi",
    "mednn": "four-pi3-lan-blocking",
    "modnn": "four-pi3-lan-blocking",
}
BEGINNINGS = {"coedge": ("alexnet", "maxpool2"), "distprivacy": ("alexnet", "maxpool1")}
# Without its plan none is found soon, or a second proof takes long.
SLOW = {"coedge", "distredge", "hiertrain"}


TIERS = (("edge", "cloud"), ("end", "edge"), ("end", "cloud"))


def small(name):
    """Return a small network and a platform that suit an approach."""
    one = approach_named(name)
    if name in PAIRS:
        return beginning(*BEGINNINGS.get(name, ("vgg16", "features.4"))), pair(PAIRS[name])
    if name in ("ddnn", "edgent", "spinn"):
        return forked(), tiers() if name == "ddnn" else two(up=0.5, second="edge")
    if name == "hiertrain":
        return beginning_of_chain(2), tiers()
    if name == "dina":
        return chain(), users()
    if name in ("musical-chair", "pipedream"):
        return chain(), alike()
    if name in ("aaiot", "scission", "edgeshard", "couper", "hivemind"):
        where = tiers()
        return chain(), where.replace(devices=[device.replace(memory=12.0) for device in where.devices])
    if name == "deepwear":
        return chain(), two(second="end")
    if name in ("alpa", "baechi", "defer", "dnnpipe", "equal-layers", "exo", "moirai", "msr", "pesto"):
        return (chain() if "segments" in one.granularities else graph()), gpus()
    if name in ("pipeedge", "pipelined-inference", "piper", "vram-order"):
        return chain(), gpus()
    net = graph() if "graph-cut" in one.granularities else chain()
    first, second = next(pair for pair in TIERS if "-".join(pair) in {*one.locations, "end-cloud"})
    where = two(up=0.5, price=2.0, first=first, second=second)
    return net, where.replace(
        devices=[device.replace(memory=40.0, trusted=device.name == "pi") for device in where.devices],
        links=[one.replace(trusted=True) for one in where.links],
    )


def beginning_of_chain(count):
    found = chain()
    kept = "abcde"[:count]
    tensors = [one for one in found.tensors if one.producer in ("input", *kept[:-1])]
    return found.replace(layers=found.layers[:count], tensors=(*tensors, tensor("out", kept[-1], "output", 1.0)))
