"""Choices beyond placement that scripts write into problems: modes, forms, exits, states, scenarios.

What no paper states is assumed, and the same everywhere, so that problems differ by where they are set and not by these
numbers. `ASSUMED` says so in the provenance of every problem.
"""

from __future__ import annotations

from typing import Any

from dnnopt.problem import library
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Device

Data = dict[str, Any]

# NVIDIA Jetson TX2: clock of the GPU (GHz) and power budget (W) of the modes Max-N, Max-P and Max-Q of nvpmodel.
TX2 = {"max-n": (1.30, 15.0), "max-p": (1.12, 12.0), "max-q": (0.85, 7.5)}
WIDTHS = {8: 0.0005, 4: 0.005, 2: 0.05}  # bits of a tensor's numbers: accuracy lost where it is sent so
EXITS = (0.344, 0.092)  # BranchyNet, B-AlexNet: 65.6 % leave at the first exit, 25.2 % at the second
SCENARIOS = (  # name, probability, what is left of the bandwidth
    ("usual", 0.5, 1.0),
    ("crowded", 0.2, 0.6),
    ("far", 0.15, 0.3),
    ("poor", 0.1, 0.15),
    ("worst", 0.05, 0.05),
)
ASSUMED = {
    "clocks": "Clocks and power of the modes are in the proportions of Jetson TX2's Max-N, Max-P and Max-Q (GPU at "
    "1.30, 1.12 and 0.85 GHz; 15, 12 (assumed) and 7.5 W); both peak rates follow the clock (assumed).",
    "int8": "Assumed of int8: twice the rate, a quarter of the bytes, 0.0005 of accuracy lost by each layer.",
    "forms": "Numbers of 8, 4 or 2 bits for 32 (JALAD); accuracy lost assumed: 0.0005, 0.005, 0.05 for each tensor"
    " sent.",
    "exits": "34.4 % of the inputs pass a first exit and 9.2 % a second one (BranchyNet's B-AlexNet); where the "
    "exits are is assumed, and their heads are left out.",
    "state": "Keys and values of 1,024 tokens beside each attention, 768 numbers of 4 bytes each (assumed).",
    "scenarios": "Five bandwidths, 1 to 0.05 times the platform's; factors and probabilities assumed.",
}


def device_of(platform: str, name: str) -> Device:
    return next(device for device in library.platform(platform).devices if device.name == name)


def clocks(power: float) -> list[Data]:
    """Return the modes of a device whose clock is all its layers': TX2's, in proportion to the device's power."""
    most, full = TX2["max-n"]
    return [
        {"name": name, "efficiency": clock / most, "power": round(power * watts / full, 3)}
        for name, (clock, watts) in TX2.items()
    ]


def clocked(platform: str, devices: list[str]) -> Data:
    """Return the platform, of which these devices have clocks to choose from."""
    override: Data = {}
    for name in devices:
        device = device_of(platform, name)
        modes = clocks(device.power)
        for mode in modes:
            mode["efficiency"] = float(f"{mode['efficiency'] * device.efficiency:.4g}")
        override |= {f"{name}.modes": modes, f"{name}.one_mode": True}
    return {"base": platform, "override": override}


def quantised(platform: str, devices: list[str], loss: float = 0.0005) -> Data:
    """Return the platform, of which these devices run each layer with numbers of 32 or 8 bits."""
    override: Data = {}
    for name in devices:
        device = device_of(platform, name)
        if not isinstance(device.flops_per_s, float | int):
            raise TypeError(f"{name} has rates by type of number")
        eighth = {"weight_bytes": 0.25, "activation_bytes": 0.25, "output_bytes": 0.25, "loss": loss}
        rate = 2.0 * device.flops_per_s
        override[f"{name}.modes"] = [{"name": "float32"}, {"name": "int8", "flops_per_s": rate, **eighth}]
    return {"base": platform, "override": override}


def coded(network: Network, widths: dict[int, float], least: float = 0.0) -> Data:
    """Return the forms of the tensors of at least so many bytes that layers read: fewer bits a number."""
    found: Data = {}
    for tensor in network.tensors:
        if tensor.bytes < least or tensor.consumers == ("output",):
            continue
        forms = [
            {"name": f"{bits}-bit", "bytes": float(-(-tensor.bytes * bits // 32)), "loss": loss}
            for bits, loss in widths.items()
        ]
        found[tensor.name] = {"forms": forms}
    return found


def early(network: Network, shares: tuple[float, ...] = EXITS) -> Data:
    """Return the reach of the layers behind exits that divide the network's order into equal parts."""
    found: Data = {}
    for position, v in enumerate(network.order):
        passed = position * (len(shares) + 1) // len(network.order)
        if passed:
            found[network.layers[v].name] = {"reach": shares[passed - 1]}
    return found


def cached(network: Network, width: int, tokens: int = 1024) -> Data:
    """Return the state of the layers that compute attention: keys and values of so many tokens, of 4-byte numbers."""
    return {
        layer.name: {"state": 2.0 * 4.0 * width * tokens}
        for layer in network.layers
        if "Softmax" in layer.op.split("+")
    }


def varying(links: list[str]) -> list[Data]:
    """Return the scenarios of the bandwidth of these links."""
    return [
        {"name": name, "probability": probability} | ({"bandwidth": dict.fromkeys(links, left)} if left < 1 else {})
        for name, probability, left in SCENARIOS
    ]
