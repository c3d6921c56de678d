"""Divides 800 layers into 8 parts each, and solves what comes out: time to divide, plan, bound and time to solve.

python benchmarks/divided.py [SECONDS]
"""

from __future__ import annotations

import sys
import time

import dnnopt as dp

LAYERS, PARTS, ROWS, CHANNELS = 800, 8, 56, 64
PLATFORM = "8-jetson-mixed-lan"


def chain() -> dp.Network:
    """Return convolutions and activations, one after the other, on maps of 56 x 56 with 64 channels."""
    size, window = 4.0 * CHANNELS * ROWS * ROWS, dp.Window(kernel=(3, 3), pads=(1, 1, 1, 1))
    layers, shape = [], (1, CHANNELS, ROWS, ROWS)
    tensors = [dp.Tensor(name="x", producer="input", consumers=("l0",), bytes=size, shape=shape)]
    for k in range(LAYERS):
        if k % 2:
            layers.append(dp.Layer(f"l{k}", "Relu", size / 4, 2 * size, 0.0, size))
        else:
            flops = 18.0 * CHANNELS * CHANNELS * ROWS * ROWS
            weights = 36.0 * CHANNELS * CHANNELS
            layers.append(
                dp.Layer(f"l{k}", "Conv", flops, 2 * size + weights, weights, size, window=window, weight_axes=(1,))
            )
        after = f"l{k + 1}" if k < LAYERS - 1 else "output"
        tensors.append(dp.Tensor(name=f"t{k}", producer=f"l{k}", consumers=(after,), bytes=size, shape=shape))
    return dp.Network(name="chain", layers=layers, tensors=tensors)


def main() -> None:
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    network = chain()
    start = time.perf_counter()
    divided = dp.shard(network, "rows", PARTS).network
    print(f"{divided.summary()}; divided in {time.perf_counter() - start:.2f} s")
    first = dp.platform(PLATFORM).device_names()[0]
    own = divided.replace(source=first, sink=first)
    for execution in ("pipelined", "sequential", "scheduled"):
        objective = dp.period() if execution == "pipelined" else dp.latency()
        start = time.perf_counter()
        found = dp.solve(dp.Problem(own, PLATFORM, execution, objective), time_limit=limit, confirm=False)
        seconds = time.perf_counter() - start
        value, bound = 1e3 * (found.objective or 0.0), 1e3 * (found.bound or 0.0)
        print(
            f"{execution}: {value:.1f} ms, bound {bound:.1f} ms, gap {100 * (found.gap or 0.0):.0f} %, {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
