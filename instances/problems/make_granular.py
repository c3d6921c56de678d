"""Writes the problems whose layers are divided: some of `papers`, and the last of `core@2` and `hard@2`.

    python instances/problems/make_granular.py

As in make_choices.py: limits are computed from the data without any solver. Parts of layers are those of
`dnnopt.problem.transforms`: a name such as ``vgg16@rows:4`` says it all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from choices import Data  # type: ignore[import-not-found]
from make_choices import write  # type: ignore[import-not-found]
from make_sets import bare, equal_memory, met_memory, rounded, trivial  # type: ignore[import-not-found]

from dnnopt.problem import library
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.fusing import fuse
from dnnopt.problem.transforms.fusion import best_fusion

CORE_FIRST, HARD_FIRST = 31, 11  # numbers of the first problems here
_LATENCY = {"metric": "latency"}
_ENERGY = {"metric": "energy"}

# Themes: from the bare data, what is minimised and what must hold.


def together(data: Data) -> Data:
    """Latency, where devices compute parts of a layer side by side."""
    return {"minimize": [_LATENCY]}


def thin(data: Data) -> Data:
    """The same, where memory binds: tiles need less of it than layers do."""
    return {"minimize": [_LATENCY], "subject_to": [met_memory(data, 1.3)[0]]}


def divided(data: Data) -> Data:
    """Latency, where no device can hold what the largest layers weigh before they are divided."""
    return {"minimize": [_LATENCY], "subject_to": [met_memory(data, 1.2)[0]]}


def flowing(data: Data) -> Data:
    """The period of a pipeline whose stages share layers, where memory binds."""
    return {"minimize": [{"metric": "period"}], "subject_to": [met_memory(data, 1.4)[0]]}


def frugal(data: Data) -> Data:
    """Energy within a deadline that no device keeps alone."""
    limit = rounded(0.9 * trivial(data, _LATENCY))
    return {"minimize": [_ENERGY], "subject_to": [{"constraint": "deadline", "limit": limit}]}


def slow(data: Data) -> Data:
    """Energy within a deadline, where memory binds."""
    memory, seconds = met_memory(data, 1.3)
    return {"minimize": [_ENERGY], "subject_to": [memory, {"constraint": "deadline", "limit": rounded(1.2 * seconds)}]}


def hidden(data: Data) -> Data:
    """Latency, where each device sees at most two of the parts of a layer (DistPrivacy, GLOBECOM 2020)."""
    return {"minimize": [_LATENCY], "subject_to": [met_memory(data, 1.6)[0], *_capped(data, 2)]}


def apart(data: Data) -> Data:
    """Latency, where the parts of a layer run at the same time, each on a device of its own."""
    return {"minimize": [_LATENCY], "subject_to": _capped(data, 1)}


def _capped(data: Data, most: int) -> list[Data]:
    """Return that at most so many parts of a layer share a device."""
    found = []
    for entry in data["networks"]:
        parts: dict[str, list[str]] = {}
        for layer in library.network(entry["base"]).layers:
            name, mark, _ = layer.name.rpartition("#")
            if mark:
                parts.setdefault(name, []).append(layer.name)
        more = {"at_most": most} if most > 1 else {}
        found += [{"constraint": "separate", "layers": names} | more for names in parts.values() if len(names) > most]
    return found


Theme = Callable[[Data], Data]
CORE: tuple[tuple[str, str, str, Theme], ...] = (
    ("vgg16@fused:2x2", "4-jetson-nx-lan", "scheduled", together),
    ("vgg16@channels:4", "six-pi4-wifi", "sequential", divided),
    ("resnet18@rows:2", "4-jetson-nx-lan", "pipelined", flowing),
    ("alexnet@rows:2", "pi4-wifi-nx-wan-t4", "scheduled", frugal),
    ("gpt2@paired:2", "4-jetson-nx-lan", "sequential", slow),
    ("squeezenet@rows:2", "six-pi4-wifi", "pipelined", flowing),
    ("zfnet512@fused:4x1", "four-pi3-lan-blocking", "scheduled", together),
    ("branchynet@channels:4", "six-pi4-wifi", "sequential", hidden),
    ("alexnet@channels:6", "8-jetson-mixed-lan", "pipelined", flowing),
    ("resnet18@fused:2x2", "six-pi4-wifi", "scheduled", thin),
    ("bert-base@paired:2", "8-jetson-mixed-lan", "pipelined", flowing),
    ("vgg19@rows:3", "4-jetson-nx-lan", "parallel", apart),
    ("googlenet@rows:2", "tx2-wifi-pc-wan-a100", "sequential", slow),
    ("unet@fused:2x1", "4-jetson-nx-lan", "scheduled", together),
    ("distilbert@paired:3", "six-pi4-wifi", "sequential", divided),
    ("mobilenet-v2@channels:2", "pi4-lan-nano-nx-wan-t4", "pipelined", flowing),
    ("vgg16@grid:2x2", "four-pi3-lan-blocking", "scheduled", together),
    ("zfnet512@channels:4", "4-jetson-nx-lan", "sequential", hidden),
    ("resnet34@rows:3", "pi4-wifi-nx-wan-t4", "parallel", apart),
    ("inception_v1@rows:2", "8-jetson-mixed-lan", "pipelined", flowing),
)
HARD: tuple[tuple[str, str, str, Theme], ...] = (
    ("resnet50@rows:4", "8-jetson-mixed-lan", "scheduled", together),
    ("vit-l@rows:4", "12-jetson-nx-lan", "pipelined", flowing),
    ("bert-large@paired:4", "16-campus-lan-wan-t4", "sequential", slow),
    ("vgg19@rows:8", "8-jetson-mixed-lan", "scheduled", thin),
    ("resnet152@channels:4", "12-jetson-nx-lan", "pipelined", flowing),
    ("densenet201@rows:4", "six-pi4-wifi", "sequential", slow),
    ("llama-135m@paired:4", "8-jetson-mixed-lan", "pipelined", flowing),
    ("resnet101@rows:8", "16-campus-lan-wan-t4", "pipelined", flowing),
    ("swin-b@rows:4", "8-jetson-mixed-lan", "sequential", divided),
    ("inception-v3@grid:3x2", "six-pi4-wifi", "scheduled", thin),
)


def made(name: str, network: str, platform: str, execution: str, theme: Theme) -> Data:
    """Return the data of a problem."""
    data = bare([network], platform, execution, equal_memory)
    said = (theme.__doc__ or "").partition("\n")[0]
    return data | theme(data) | {"name": name, "provenance": f"{said} Written by make_granular.py."}


# Papers


MODNN = (
    "Mao, Chen, Nixon, Krieger, Chen: MoDNN: local distributed mobile computing system for deep neural network, DATE "
    "2017: rows of each convolution over {n} devices. There: 2.17 to 4.28 times as fast with 2 to 4 smartphones. "
    "Here: Raspberry Pi 3B+ on an Ethernet switch; parts of a layer may share a device, and nothing waits for a layer "
    "to be done everywhere."
)
COEDGE = (
    "Zeng, Chen, Zhou, Yang, Zhang: CoEdge: cooperative DNN inference with adaptive workload partitioning over "
    "heterogeneous edge devices, IEEE/ACM ToN 2020: rows of each layer in one proportion, at the least energy within a "
    "deadline. There: 25.5 to 66.9 % less energy. Here: rows in four equal parts, of which a device may have several; "
    "eight Jetsons of four kinds, and a deadline of 1.5 times what the fastest one needs alone."
)
DEEPTHINGS = (
    "Zhao, Barijough, Gerstlauer: DeepThings: distributed adaptive deep learning inference on resource-constrained IoT "
    "edge clusters, IEEE TCAD 37(11), 2018: the first 16 layers of a network in fused tiles, {grid}, on Raspberry Pi 3 "
    "with little memory. There: YOLOv2, 5x5 tiles at most, 68 % less memory, 1.7 to 3.5 times as fast on 2 to 6 "
    "devices. Here: VGG-16, whose 18 first layers end in the fourth of five pools."
)
AOFL = (
    "Zhou, Samavatian, Bacha, Majumdar, Teodorescu: Adaptive parallel execution of deep neural networks on "
    "heterogeneous edge devices, SEC 2019 (AOFL): which layers to fuse, and in how many parts, on Raspberry Pi 3 with "
    "Wi-Fi. There: 1.9 to 3.7 times as fast with 8. Here: {n} devices work on one block after the other "
    "(dnnopt.best_fusion), Raspberry Pi 4B, one channel; tiles 2x1 to {n}x1 and 2x2."
)
SLICING = (
    "Zhang, Zhang, Zhang, et al.: DeepSlicing: collaborative and adaptive CNN inference with low latency, IEEE TPDS "
    "2021: blocks between synchronisation points in slices, on eight heterogeneous devices. There: up to 5.79 times as "
    "fast. Here: the best points for slices of equal height (dnnopt.best_fusion); what runs where is left open."
)


def paper(name: str, data: Data, provenance: str, **keys: object) -> Data:
    return data | keys | {"name": f"papers/{name}", "provenance": provenance}


def papers() -> Iterator[Data]:
    for parts in (2, 4):
        data = bare([f"vgg16@rows:{parts}"], "four-pi3-lan-blocking", "scheduled", equal_memory)
        yield paper(f"modnn-vgg16-{parts}", data, MODNN.format(n=parts))
    data = bare(["alexnet@rows:4"], "8-jetson-mixed-lan", "scheduled", equal_memory)
    deadline = {"constraint": "deadline", "limit": rounded(1.5 * trivial(data, _LATENCY))}
    yield paper("coedge-alexnet", data, COEDGE, minimize=[_ENERGY], subject_to=[deadline])
    for rows in (3, 5):
        network = library.network("vgg16")
        tiles = fuse(network, [("features.0", "features.23")], (rows, rows)).network
        own = {"source": "pi0", "sink": "pi0", "name": f"vgg16-{rows}x{rows}"}
        data = bare(["vgg16"], "six-pi4-wifi", "scheduled", equal_memory)
        limits = {device.name: 600e6 for device in library.platform("six-pi4-wifi").devices}
        yield paper(
            f"deepthings-vgg16-{rows}x{rows}",
            data | {"networks": [tiles.model_copy(update=own).to_data()]},
            DEEPTHINGS.format(grid=f"{rows}x{rows}"),
            subject_to=[{"constraint": "memory", "rule": "weights+largest_activation", "limits": limits}],
        )
    platform = library.platform("six-pi4-wifi")
    for name in ("vgg16", "resnet34"):
        grids = [(2, 1), (3, 1), (4, 1), (2, 2)]
        chosen = best_fusion(library.network(name), platform, grids, devices=platform.device_names()[:4])
        yield paper(f"aofl-{name}", _stated(chosen.problem), AOFL.format(n=4))
    mixed = library.platform("8-jetson-mixed-lan")
    network = library.network("vgg16").model_copy(update={"source": mixed.devices[0].name})
    slices = best_fusion(network, mixed, [(n, 1) for n in (2, 4, 8)]).transformed().network
    own = {"source": mixed.devices[0].name, "sink": mixed.devices[0].name, "name": "vgg16-slices"}
    data = bare(["vgg16"], "8-jetson-mixed-lan", "scheduled", equal_memory)
    yield paper("deepslicing-vgg16", data | {"networks": [slices.model_copy(update=own).to_data()]}, SLICING)


def _stated(problem: Problem) -> Data:
    return {"format": "dnnopt-problem", "version": 1, **problem.to_data()}


def core() -> Iterator[Data]:
    for i, row in enumerate(CORE):
        yield made(f"core@2/{CORE_FIRST + i:03}", *row)


def hard() -> Iterator[Data]:
    for i, row in enumerate(HARD):
        yield made(f"hard@2/{HARD_FIRST + i:03}", *row)


def main() -> None:
    for data in (*papers(), *core(), *hard()):
        write(data)


if __name__ == "__main__":
    main()
