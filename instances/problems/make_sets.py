"""Writes the problems of the sets `small`, `core` and `hard`.

    python instances/problems/make_sets.py

Every problem is a small file that names a network (with its granularity) and a platform of the library; numbers that
make limits tight are computed here from the data, without any solver, and written into the file. What is in a set never
changes: with the fixed lists below and fixed data, this script writes the same files again. (Deadlines and rates are
those of the contiguous cuts that `multi_cut` found when the sets were made, and memory that of the networks as they
were exported then; should newer ones differ a little, the files stay.) The dimensions go round with different periods,
so that every value of one meets most values of the others:

- granularity of the networks (operator, layer, block), locations of the platforms, execution semantics;
- a theme: what is minimised and what must hold (`THEMES`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dnnopt.base.files import dump_json, write_text
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.heuristics import Effort, multi_cut
from dnnopt.problem import library
from dnnopt.problem.problem import Problem

Data = dict[str, Any]
FOLDER = Path(__file__).parent
DECAY = 0.9


def problem_of(data: Data) -> Problem:
    return Problem.from_data({key: value for key, value in data.items() if key not in ("format", "version")})


def rounded(value: float) -> float:
    """Return four digits of a limit, rounded up: what the files say is short."""
    digits = 3 - int(np.floor(np.log10(value)))
    return float(np.ceil(round(value * 10.0**digits, 6)) / 10.0**digits)


def equal_memory(data: Data, slack: float) -> Data:
    """Return a memory constraint: every device may hold `slack` times an equal share of all weights and activations.

    Or the largest layer, where that is more; never more than the device has.
    """
    problem = problem_of(data)
    layers = [layer for network in problem.networks for layer in network.layers]
    shared = [weights for network in problem.networks for weights in network.shared_weights]
    weights = np.array([layer.weights or 0.0 for layer in layers])
    activations = np.array([layer.activations or 0.0 for layer in layers])
    share = slack * (weights.sum() + sum(part.bytes for part in shared) + activations.max())
    share /= len(problem.platform.devices)
    room = max(share, 1.05 * float((weights + activations).max()))
    limits = {device.name: float(np.ceil(min(room, device.memory or room))) for device in problem.platform.devices}
    return {"constraint": "memory", "rule": "weights+largest_activation", "limits": limits}


def tight_memory(data: Data, slack: float) -> Data:
    """Return the same, with more slack if need be where devices hold weights that layers share, each a copy."""
    if any(network.shared_weights for network in problem_of(data).networks):
        return met_memory(data, slack)[0]
    return equal_memory(data, slack)


def evaluator_of(data: Data, metric: Data) -> Evaluator:
    return Evaluator(compile_problem(problem_of(data | {"minimize": [metric]})))


def trivial(data: Data, metric: Data) -> float:
    """Return the least value of a metric over the plans that run everything on one device, whatever their memory."""
    evaluator = evaluator_of(data | {"subject_to": []}, metric)
    values = evaluator.objectives(all_on_one(evaluator.compiled))
    return float(values[np.isfinite(values) & (values > 0)].min())


def cut(data: Data, memory: Data, metric: Data) -> tuple[float, bool]:
    """Return a metric of the best contiguous cuts, and whether they fit into the memory: what can be reached."""
    evaluator = evaluator_of(data | {"subject_to": [memory]}, metric)
    [(_, placement)] = multi_cut.placements(evaluator, Effort())
    return float(evaluator.objectives(placement[None])[0]), bool(evaluator.excess(placement[None])[0] == 0)


def met_memory(data: Data, slack: float, buffers: int = 0) -> tuple[Data, float]:
    """Return a memory constraint into which contiguous cuts fit, with more slack if need be, and their latency."""
    while True:
        memory = equal_memory(data, slack) | ({"buffers": buffers} if buffers else {})
        seconds, fits = cut(data, memory, _LATENCY)
        if fits:
            return memory, seconds
        slack *= 1.2


# Themes: from the bare data, what is minimised and what must hold.


def fast(data: Data) -> Data:
    """Latency, or the period of a pipeline, where memory binds."""
    return {"minimize": [_speed(data)], "subject_to": [tight_memory(data, 1.4)]}


def roomy(data: Data) -> Data:
    """The same with twice the memory that is needed, and few devices or cuts."""
    memory = tight_memory(data, 2.0)
    most = 6
    while True:
        limits = [memory, {"constraint": "max_cuts", "limit": most}]
        evaluator = evaluator_of(data | {"subject_to": limits}, _LATENCY)
        [(_, placement)] = multi_cut.placements(evaluator, Effort())
        if not evaluator.excess(placement[None])[0]:
            break
        most += 1
    return {"minimize": [_speed(data)], "subject_to": limits}


def green(data: Data) -> Data:
    """Energy, within a deadline."""
    return {"minimize": [{"metric": "energy"}], "subject_to": _in_time(data, 1.8, 1.3)}


def private(data: Data) -> Data:
    """Speed, where nothing that tells much of the input may leave the owner's devices."""
    worst = {"constraint": "worst_leakage", "limit": rounded(DECAY**4)}
    return {"minimize": [_speed(data)], "subject_to": [tight_memory(data, 1.6), worst]}


def weighed(data: Data) -> Data:
    """Speed and energy in one sum, each in units of its best single device."""
    speed = _speed(data)
    terms = [
        speed | {"weight": 1.0},
        {"metric": "energy", "weight": rounded(0.5 * trivial(data, speed) / trivial(data, {"metric": "energy"}))},
    ]
    return {"minimize": terms, "subject_to": [tight_memory(data, 1.5)]}


def thrifty(data: Data) -> Data:
    """Traffic, within a deadline."""
    return {"minimize": [{"metric": "traffic"}], "subject_to": _in_time(data, 1.3, 1.15)}


def forward(data: Data) -> Data:
    """Speed, where tensors go from end to edge to cloud only."""
    ends = [{**network, "sink": None} for network in data["networks"]]
    limits = [tight_memory(data, 1.5), {"constraint": "monotone_tiers"}]
    return {"networks": ends, "minimize": [_speed(data)], "subject_to": limits}


def contiguous(data: Data) -> Data:
    """Speed, with what each device runs in one piece."""
    return {"minimize": [_speed(data)], "subject_to": [met_memory(data, 1.6)[0], {"constraint": "contiguous"}]}


def ranked(data: Data) -> Data:
    """Speed first, then energy."""
    terms = [_speed(data), {"metric": "energy", "priority": 1}]
    return {"minimize": terms, "subject_to": [tight_memory(data, 1.7)]}


def multicast(data: Data) -> Data:
    """Speed, where a tensor crosses a link once for all its destinations, and every buffer counts."""
    data = data | {"transport": "multicast"}
    memory, _ = met_memory(data, 1.8, buffers=1)
    return {"transport": "multicast", "minimize": [_speed(data)], "subject_to": [memory]}


def crowded(data: Data) -> Data:
    """The largest latency of several networks, each with a rate that the resources must sustain."""
    memory = tight_memory(data, 2.0)
    period, _ = cut(data | {"execution": "pipelined"}, memory, {"metric": "period"})
    networks = [{**network, "rate": float(f"{0.8 / period:.3g}")} for network in data["networks"]]
    goal = {"metric": "period"} if data["execution"] == "pipelined" else {"metric": "latency", "over": "max"}
    limits = [memory, {"constraint": "utilisation", "limit": 1.0}]
    return {"networks": networks, "minimize": [goal], "subject_to": limits}


THEMES: tuple[Callable[[Data], Data], ...] = (
    fast, green, private, roomy, weighed, contiguous, thrifty, forward, ranked, multicast,
)  # fmt: skip
_LATENCY = {"metric": "latency"}


def _speed(data: Data) -> Data:
    return {"metric": "period"} if data["execution"] == "pipelined" else dict(_LATENCY)


def _in_time(data: Data, slack: float, factor: float) -> list[Data]:
    """Return memory, and a deadline of so many times the latency of the best contiguous cuts."""
    memory, seconds = met_memory(data, slack)
    return [memory, {"constraint": "deadline", "limit": rounded(factor * seconds)}]


# Platforms by location, with the devices between which a network's input and answer go.

END_CLOUD = ("pi4-lte-t4", "pixel4-wifi-v100", "tx2-wifi-k80", "pi4-5g-v100", "pixel4-lte-v100")
END_EDGE_CLOUD = (
    "pi4-wifi-nx-wan-t4", "phone-5g-edge-cloud", "vehicle-5g-edge-cloud", "pi4-lan-nano-nx-wan-t4",
    "smart-home-cable-t4", "tx2-wifi-pc-wan-a100", "two-phones-wifi-nx-wan-v100",
)  # fmt: skip
CLUSTERS = ("4-jetson-nx-lan", "four-pi3-lan-blocking", "six-pi4-wifi", "8-jetson-mixed-lan")
HOSTS = ("pcie-host-4xa100", "pcie-host-2xv100-4xt4", "pcie-host-8xt4")
LARGE = ("12-jetson-nx-lan", "16-campus-lan-wan-t4", "8-jetson-mixed-lan", "pcie-host-8xt4", "six-pi4-wifi")
# Executions in the shares in which sets have them.
EXECUTIONS = ("sequential", "pipelined", "parallel", "pipelined", "sequential", "scheduled", "parallel")


def bare(networks: list[str], platform: str, execution: str, theme: Callable[[Data], Data]) -> Data:
    """Return the data of a problem without goal and limits."""
    first = library.platform(platform).devices[0].name
    decay = {"sensitivity_decay": DECAY} if theme is private else {}
    listed = [
        {"base": name, "name": f"{name}-{number}", "source": first, "sink": first, **decay}
        if networks.count(name) > 1
        else {"base": name, "source": first, "sink": first, **decay}
        for number, name in enumerate(networks)
    ]
    return {
        "format": "dnnopt-problem",
        "version": 1,
        "networks": listed,
        "platform": platform,
        "execution": execution,
        "transport": "unicast",
        "minimize": [_LATENCY],
        "subject_to": [],
    }


def made(name: str, networks: list[str], platform: str, execution: str, theme: Callable[[Data], Data]) -> Data:
    """Return the data of a problem."""
    data = bare(networks, platform, execution, theme)
    said = (theme.__doc__ or "").partition("\n")[0]
    return data | theme(data) | {"name": name, "provenance": f"{said} Written by make_sets.py."}


# The sets

SMALL_NETWORKS = (
    "alexnet", "zfnet512@layer", "vgg19@layer", "resnet50@layer", "resnet18", "squeezenet@layer", "shufflenet@layer",
    "inception_v1@block", "mobilenet-v2@layer", "efficientnet-b0@block", "vit-b@block", "bert-base@block", "gpt2@block",
    "branchynet", "unet", "r3d-18@layer", "swin-t@block", "distilbert@layer", "googlenet@block", "whisper-tiny@block",
    "convnext-t@layer", "regnet-y-800mf@block", "segformer-b0@block", "deeplabv3@block",
)  # fmt: skip
SMALL_PLATFORMS = (
    "pi4-wifi-nx-wan-t4", "pi4-lte-t4", "4-jetson-nx-lan", "phone-5g-edge-cloud", "pixel4-wifi-v100",
    "pi4-lan-nano-nx-wan-t4", "tx2-wifi-pc-wan-a100",
)  # fmt: skip
SMALL_EXECUTIONS = ("sequential", "pipelined", "parallel", "sequential", "pipelined")
CORE_NETWORKS = (
    "resnet50", "mobilenet-v2", "bert-base", "squeezenet", "efficientnet-b0", "vit-b", "inception_v1", "gpt2",
    "unet", "shufflenet", "resnet101", "swin-t", "distilbert", "convnext-t", "vgg19", "googlenet", "ssdlite",
    "t5-small", "mobilenet-v3-large", "densenet121", "regnet-y-800mf", "whisper-tiny", "deeplabv3", "resnext50",
    "inception-v3", "segformer-b0", "alexnet", "yolos-tiny", "mnasnet", "albert-base", "branchynet", "ssd300",
    "efficientnet-b4", "r3d-18", "inception_v2", "shufflenet-v2", "resnet34",
)  # fmt: skip
GRANULARITIES = ("layer", "block", "operator")
MOST_OPERATORS = 260
LOCATIONS = (END_CLOUD, END_EDGE_CLOUD, CLUSTERS, END_EDGE_CLOUD, HOSTS)
HARD_NETWORKS = (
    ("swin-b",), ("resnet50@layer", "bert-base@layer"), ("llama-135m",), ("densenet201",),
    ("squeezenet", "inception_v1"),
    ("vit-l",), ("detr",), ("mobilenet-v2", "efficientnet-b0", "gpt2@layer"), ("bert-large",), ("clip-vit-b32",),
    ("resnet101", "unet", "distilbert"), ("maxvit-t",), ("retinanet",), ("shufflenet", "shufflenet"), ("t5-small",),
    ("densenet121",), ("yolos-tiny@layer", "whisper-tiny"), ("efficientnet-v2-s",), ("resnet152",),
)  # fmt: skip


def granular(name: str, number: int) -> str:
    """Return a network's name with the granularity whose turn it is; operators only where they are not too many."""
    granularity = GRANULARITIES[number % len(GRANULARITIES)]
    if granularity == "operator":
        return name if len(library.network(name).layers) <= MOST_OPERATORS else f"{name}@layer"
    return f"{name}@{granularity}"


def fitting(theme: Callable[[Data], Data], platform: str) -> Callable[[Data], Data]:
    """Return the theme, or another one where the platform has nothing that its limits could forbid."""
    devices = library.platform(platform).devices
    if theme is private and all(device.trusted for device in devices):
        return fast
    if theme is forward and len({device.tier for device in devices}) == 1:
        return contiguous
    return theme


def small() -> list[Data]:
    found = []
    for i, network in enumerate(SMALL_NETWORKS):
        platform = SMALL_PLATFORMS[i % len(SMALL_PLATFORMS)]
        theme = fitting(THEMES[(3 * i + i // 10) % len(THEMES)], platform)
        execution = SMALL_EXECUTIONS[i % len(SMALL_EXECUTIONS)]
        found.append(made(f"small/{i + 1:03}", [network], platform, execution, theme))
    return found


def core() -> list[Data]:
    found = []
    for i in range(100):
        network = granular(CORE_NETWORKS[i % len(CORE_NETWORKS)], i + i // len(CORE_NETWORKS))
        place = LOCATIONS[i % len(LOCATIONS)]
        platform = place[(i // len(LOCATIONS)) % len(place)]
        theme = fitting(THEMES[(i + i // 10) % len(THEMES)], platform)
        found.append(made(f"core/{i + 1:03}", [network], platform, EXECUTIONS[i % len(EXECUTIONS)], theme))
    return found


def hard() -> list[Data]:
    found = []
    for i in range(40):
        networks = list(HARD_NETWORKS[i % len(HARD_NETWORKS)])
        platform = LARGE[i % len(LARGE)]
        theme = fitting(THEMES[(3 * i + i // 10) % len(THEMES)], platform)
        if len(networks) > 1 and i % 2:
            theme = crowded
        found.append(made(f"hard/{i + 1:03}", networks, platform, EXECUTIONS[i % len(EXECUTIONS)], theme))
    return found


def main() -> None:
    for members in (small(), core(), hard()):
        for data in members:
            path = FOLDER / f"{data['name']}.json"
            path.parent.mkdir(exist_ok=True)
            write_text(path, dump_json(data))


if __name__ == "__main__":
    main()
