"""Writes the problems of the sets `core@2` and `hard@2`: those with choices beyond placement (docs/choices.md).

    python instances/problems/make_choices.py

As in make_sets.py, whose parts it uses, limits are computed from the data without any solver. They are those of the
best contiguous cuts in the devices' first modes, with tensors as they are: so every problem has a plan, unless its
provenance says that it has none. What is assumed of the choices is in choices.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from choices import (  # type: ignore[import-not-found]
    ASSUMED,
    Data,
    cached,
    clocked,
    coded,
    early,
    quantised,
    varying,
)
from make_sets import (  # type: ignore[import-not-found]
    LARGE,
    bare,
    cut,
    equal_memory,
    met_memory,
    problem_of,
    rounded,
)

from dnnopt.base.files import dump_json, write_text
from dnnopt.problem import library
from dnnopt.problem.networks import Network

FOLDER = Path(__file__).parent
MOST_TEXT = 12_000  # characters of a file that is not packed
_LATENCY = {"metric": "latency"}
_PERIOD = {"metric": "period"}


def speed(data: Data) -> Data:
    return dict(_PERIOD if data["execution"] == "pipelined" else _LATENCY)


def own_devices(data: Data) -> list[str]:
    """Return the devices that are not in the cloud, or all where there are no others."""
    devices = library.platform(data["platform"]).devices
    return [device.name for device in devices if device.tier != "cloud"] or [device.name for device in devices]


def own_links(data: Data) -> list[str]:
    """Return the links of the device where the input is."""
    source = data["networks"][0]["source"]
    routes = library.platform(data["platform"]).routes
    found = [route.links[0] for route in routes if route.origin == source and route.links]
    found += [route.links[-1] for route in routes if route.destination == source and route.links]
    return list(dict.fromkeys(found))


def networks_with(data: Data, key: str, choose: Callable[[Network], Data]) -> list[Data]:
    return [entry | {key: choose(library.network(entry["base"]))} for entry in data["networks"]]


# Themes: from the bare data, what may be chosen, what is minimised and what must hold.


def precise(data: Data) -> Iterator[str | Data]:
    """Speed, with int8 or float32 for each layer, where memory and the accuracy that may be lost bind."""
    yield "int8"
    layers = sum(len(network.layers) for network in problem_of(data).networks)
    lost = {"constraint": "accuracy_loss", "limit": rounded(0.0005 * 0.4 * layers)}
    yield {
        "platform": quantised(data["platform"], own_devices(data)),
        "minimize": [speed(data)],
        "subject_to": [met_memory(data, 1.3)[0], lost],
    }


def compressed(data: Data) -> Iterator[str | Data]:
    """Speed, with a bit width for each tensor that is sent, where the accuracy that may be lost binds."""
    yield "forms"
    yield {
        "networks": networks_with(data, "tensors", lambda network: coded(network, {8: 0.0005, 4: 0.005})),
        "minimize": [speed(data)],
        "subject_to": [met_memory(data, 1.4)[0], {"constraint": "accuracy_loss", "limit": 0.006}],
    }


def leaving(data: Data) -> Iterator[str | Data]:
    """Speed over all inputs, of which many leave early."""
    yield "exits"
    yield {
        "networks": networks_with(data, "layers", early),
        "minimize": [speed(data)],
        "subject_to": [met_memory(data, 1.4)[0]],
    }


def worst(data: Data) -> Iterator[str | Data]:
    """The worst speed over five bandwidths."""
    yield "scenarios"
    yield {
        "scenarios": varying(own_links(data)),
        "minimize": [speed(data) | {"across": "worst"}],
        "subject_to": [met_memory(data, 1.5)[0]],
    }


def frugal(data: Data) -> Iterator[str | Data]:
    """Energy within a deadline, with one clock for all that a device runs."""
    yield "clocks"
    memory, seconds = met_memory(data, 1.6)
    yield {
        "platform": clocked(data["platform"], own_devices(data)),
        "minimize": [{"metric": "energy"}],
        "subject_to": [memory, {"constraint": "deadline", "limit": rounded(1.4 * seconds)}],
    }


def remembering(data: Data) -> Iterator[str | Data]:
    """64 rounds through a pipeline, or its period, where each attention keeps keys and values."""
    yield "state"
    networks = networks_with(data, "layers", lambda network: cached(network, width=768))
    data = data | {"networks": networks}
    batch = {"metric": "batch_latency", "rounds": 64}
    yield {
        "networks": networks,
        "minimize": [speed(data) if data["execution"] == "pipelined" else batch],
        "subject_to": [met_memory(data, 1.8)[0]],
    }


def cautious(data: Data) -> Iterator[str | Data]:
    """The mean latency of the worst fifth of what the bandwidth may be."""
    yield "scenarios"
    yield {
        "scenarios": varying(own_links(data)),
        "minimize": [_LATENCY | {"across": "cvar", "level": 0.8}],
        "subject_to": [met_memory(data, 1.4)[0]],
    }


def small_and_precise(data: Data) -> Iterator[str | Data]:
    """Energy within a deadline, with int8 or float32 for each layer and a bit width for each tensor that is sent."""
    yield from ("int8", "forms")
    memory, seconds = met_memory(data, 1.5)
    lost = {"constraint": "accuracy_loss", "limit": 0.01}
    yield {
        "platform": quantised(data["platform"], own_devices(data)),
        "networks": networks_with(data, "tensors", lambda network: coded(network, {4: 0.005})),
        "minimize": [{"metric": "energy"}],
        "subject_to": [memory, {"constraint": "deadline", "limit": rounded(1.2 * seconds)}, lost],
    }


def likely(data: Data) -> Iterator[str | Data]:
    """Energy, where a deadline is kept with a probability of 85 %."""
    yield "scenarios"
    data = data | {"scenarios": varying(own_links(data))}
    memory = met_memory(data | {"scenarios": []}, 1.5)[0]
    seconds, _ = cut(data, memory, _LATENCY | {"across": "worst"})
    deadline = {"constraint": "deadline", "limit": rounded(0.8 * seconds), "share": 0.85}
    yield {"scenarios": data["scenarios"], "minimize": [{"metric": "energy"}], "subject_to": [memory, deadline]}


def budgeted(data: Data) -> Iterator[str | Data]:
    """Speed within a budget of energy, with one clock for all that a device runs and a bit width for each tensor."""
    yield from ("clocks", "forms")
    memory, _ = met_memory(data, 1.5)
    joules, _ = cut(data, memory, {"metric": "energy"})
    limits = [
        memory,
        {"constraint": "energy", "limit": rounded(joules)},
        {"constraint": "accuracy_loss", "limit": 0.02},
    ]
    yield {
        "platform": clocked(data["platform"], own_devices(data)),
        "networks": networks_with(data, "tensors", lambda network: coded(network, {8: 0.0005})),
        "minimize": [speed(data)],
        "subject_to": limits,
    }


Theme = Callable[[Data], Iterator[str | Data]]
THEMES: tuple[Theme, ...] = (
    precise, compressed, leaving, worst, frugal, remembering, cautious, small_and_precise, likely, budgeted,
)  # fmt: skip
# Those of a theme stand ten apart; every sixth reads text, as its theme needs attention.
CORE_NETWORKS = (
    "resnet50@layer", "squeezenet@layer", "inception_v1@layer", "mobilenet-v2", "resnet101@layer",
    "gpt2@layer", "efficientnet-b0@layer", "alexnet", "googlenet@layer", "unet",
    "bert-base@layer", "mobilenet-v2@layer", "densenet121@block", "vit-b@layer", "resnet18",
    "llama-135m@block", "regnet-y-800mf@layer", "resnet34@layer", "swin-t@block", "segformer-b0@layer",
    "convnext-t@layer", "resnext50@layer", "yolos-tiny@block", "whisper-tiny@block", "distilbert@layer",
    "t5-small@block", "vgg16@layer", "deeplabv3@block", "shufflenet@layer", "inception-v3@layer",
)  # fmt: skip
CORE_PLATFORMS = (
    "pi4-wifi-nx-wan-t4", "phone-5g-edge-cloud", "4-jetson-nx-lan", "tx2-wifi-pc-wan-a100", "pi4-lte-t4",
    "smart-home-cable-t4", "two-phones-wifi-nx-wan-v100",
)  # fmt: skip
HARD_NETWORKS = (
    ("bert-base",), ("resnet101",), ("densenet201",), ("efficientnet-b4@layer",), ("resnet50@layer", "bert-base@layer"),
    ("llama-135m@layer",), ("swin-b@layer",), ("mobilenet-v2", "gpt2@layer"), ("resnet152",), ("vit-l@layer",),
)  # fmt: skip
IMPOSSIBLE = "core@2/029"


def made(name: str, networks: list[str], platform: str, execution: str, theme: Theme) -> Data:
    """Return the data of a problem."""
    data = bare(networks, platform, execution, equal_memory)
    *assumed, choices = theme(data)
    said = (theme.__doc__ or "").partition("\n")[0]
    words = [said, *(ASSUMED[kind] for kind in assumed), "Written by make_choices.py."]
    return data | choices | {"name": name, "provenance": " ".join(words)}


def impossible(data: Data) -> Data:
    """Return the problem with a deadline that no plan keeps with the probability that is asked for."""
    limits = [limit | ({"limit": 1e-3} if limit["constraint"] == "deadline" else {}) for limit in data["subject_to"]]
    words = "Infeasible on purpose: 1 ms is less than the layers take anywhere."
    return data | {"subject_to": limits, "provenance": f"{data['provenance']} {words}"}


def core() -> Iterator[Data]:
    for i, network in enumerate(CORE_NETWORKS):
        execution = ("sequential", "pipelined")[(i + i // len(THEMES)) % 2]
        platform = CORE_PLATFORMS[i % len(CORE_PLATFORMS)]
        data = made(f"core@2/{i + 1:03}", [network], platform, execution, THEMES[i % len(THEMES)])
        yield impossible(data) if data["name"] == IMPOSSIBLE else data


def hard() -> Iterator[Data]:
    for i, networks in enumerate(HARD_NETWORKS):
        execution = ("pipelined", "sequential")[i % 2]
        yield made(f"hard@2/{i + 1:03}", list(networks), LARGE[i % len(LARGE)], execution, THEMES[i])


def write(data: Data) -> None:
    """Write a problem, packed where it is long."""
    text = dump_json(data)
    path = FOLDER / f"{data['name']}.json{'.gz' if len(text) > MOST_TEXT else ''}"
    path.parent.mkdir(exist_ok=True)
    write_text(path, text)


def main() -> None:
    for data in (*core(), *hard()):
        write(data)


if __name__ == "__main__":
    main()
