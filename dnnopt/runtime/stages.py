"""Stages: which layers of a device run in one go."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dnnopt.base.graphs import topological_order


def stage_levels(devices: Sequence[str], needs: Sequence[Collection[int]]) -> list[int]:
    """Return for each layer how often the data change the device on the way to it, at most.

    Layers of one device and one level run in one go: what they need of others comes from lower levels, so that no two
    such groups wait for each other. A plan that comes back to a device gives it several levels.

    Parameters
    ----------
    devices : sequence of str
        Of each layer.
    needs : sequence of collections of int
        The layers that each one waits for.
    """
    levels = [0] * len(devices)
    order, _ = topological_order(needs)
    for layer in order:
        steps = (levels[before] + (devices[before] != devices[layer]) for before in needs[layer])
        levels[layer] = max(steps, default=0)
    return levels
