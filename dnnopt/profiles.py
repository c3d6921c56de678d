"""Profiles: seconds and joules of layers on devices, measured where there is a measurement, else by the roofline."""

from __future__ import annotations

from collections.abc import Mapping

from dnnopt.errors import InputError
from dnnopt.networks import Layer, Network
from dnnopt.platforms import Device, Platform
from dnnopt.records import Number, Record, Seconds, check_known

Table = Mapping[str, Mapping[str, Mapping[str, Seconds | None]]]


class Profile(Record):
    """Measured tables, network -> layer -> device -> value.

    Attributes
    ----------
    time : mapping
        Seconds `t_vi`, launch overhead included; None: the device cannot run the layer.
    energy : mapping
        Joules `ε_vi`; where absent, busy power x time.
    """

    time: dict[str, dict[str, dict[str, Seconds | None]]] = {}
    energy: dict[str, dict[str, dict[str, Number]]] = {}

    def check(self, networks: tuple[Network, ...], platform: Platform) -> None:
        """Raise InputError if a table names a network, layer or device that does not exist."""
        by_name = {network.name: network for network in networks}
        devices = set(platform.device_names())
        for kind, table in (("time", self.time), ("energy", self.energy)):
            for network, layers in table.items():
                check_known(network, by_name, f"profile.{kind}", "network")
                known = {layer.name for layer in by_name[network].layers}
                for layer, values in layers.items():
                    check_known(layer, known, f"profile.{kind}.{network}", "layer")
                    for device in values:
                        check_known(device, devices, f"profile.{kind}.{network}.{layer}", "device")


def roofline_seconds(layer: Layer, device: Device) -> float | None:
    """Return `o_i + max(f_v / F_i, g_v / W_i)`, or None where the layer or the device lacks the numbers.

    Williams, Waterman, Patterson: Roofline, Communications of the ACM 52(4), 2009.
    """
    if layer.flops is None or layer.bytes is None or device.flops_per_s is None or device.bytes_per_s is None:
        return None
    compute = layer.flops / (device.efficiency * device.flops_per_s)
    memory = layer.bytes / (device.efficiency * device.bytes_per_s)
    return device.overhead + max(compute, memory)


def layer_seconds(profile: Profile, network: Network, layer: Layer, device: Device) -> float | None:
    """Return `t_vi`; None: the device cannot run the layer.

    Raises
    ------
    InputError
        If there is neither a measured time nor what the roofline needs.
    """
    measured = profile.time.get(network.name, {}).get(layer.name, {})
    if device.name in measured:
        return measured[device.name]
    seconds = roofline_seconds(layer, device)
    if seconds is None:
        raise InputError(
            "",
            field=f"profile.time.{network.name}.{layer.name}.{device.name}",
            problem="no time: expected a measured one, or flops and bytes of the layer and both rates of the device",
        )
    return seconds


def layer_joules(profile: Profile, network: Network, layer: Layer, device: Device, seconds: float) -> float:
    """Return `ε_vi`: measured, else busy power x `seconds`."""
    measured = profile.energy.get(network.name, {}).get(layer.name, {})
    return measured.get(device.name, device.power * seconds)
