"""Random workloads in MSR's format, and every placement of a small problem."""

from itertools import product

import numpy as np


def workload(seed, nodes=7, accelerators=2, backward=0, room=None):
    """Return a random workload; its last `backward` nodes are gradients."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 6, nodes)
    return {
        "maxSizePerFPGA": float(sizes.sum() if room is None else int(room * sizes.sum())),
        "maxFPGAs": accelerators,
        "maxCPUs": 1,
        "nodes": [
            {
                "id": node,
                "name": f"n{node}",
                "supportedOnFpga": 1,
                "cpuLatency": float(draw.integers(5, 30)),
                "fpgaLatency": float(draw.integers(1, 6)),
                "isBackwardNode": node >= nodes - backward,
                "size": float(sizes[node]),
                "colorClass": int(draw.integers(0, 2)) if draw.random() < 0.5 else 10 + node,
            }
            for node in range(nodes)
        ],
        "edges": [
            {"sourceId": u, "destId": v, "cost": float(1 + u % 3)}
            for u in range(nodes)
            for v in range(u + 1, nodes)
            if draw.random() < 0.4
        ],
    }


def every_placement(c):
    layers = np.flatnonzero(c.is_layer)
    found = np.tile(c.allowed.argmax(axis=1), (len(c.device_names) ** len(layers), 1))
    found[:, layers] = list(product(range(len(c.device_names)), repeat=len(layers)))
    return found
