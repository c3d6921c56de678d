"""What to say of a problem's choices beyond placement: what there is to choose, and what is never worth choosing."""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum

from dnnopt.base.numbers import counted
from dnnopt.problem.blocks import NamedBlock
from dnnopt.problem.platforms import Executor
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import layer_seconds


def choices(problem: Problem) -> str:
    """Return what there is beyond a device for each layer: modes, forms, blocks, exits, scenarios; or nothing."""
    said = [
        f"{counted(len(device.modes), 'mode')} of {device.name}{', one for all' if device.one_mode else ''}"
        for device in problem.platform.devices
        if len(device.modes) > 1
    ]
    formed = sum(bool(tensor.forms) for network in problem.networks for tensor in network.tensors)
    if formed:
        said.append(f"forms of {counted(formed, 'tensor')}")
    if problem.profile.blocks:
        said.append(counted(len(problem.profile.blocks), "block"))
    said += [f"exits of {network.name}" for network in problem.networks if network.has_exits]
    if problem.scenarios:
        said.append(counted(len(problem.scenarios), "scenario"))
    return "; ".join(said)


def remarks(problem: Problem) -> Iterator[str]:
    """Yield what is allowed and makes little sense: forms of a tensor and blocks that are never better than without."""
    most = max(executor.mode.output_bytes for executor in problem.platform.executors())
    for network in problem.networks:
        for tensor in network.tensors:
            for form in tensor.forms:
                hidden = form.sensitivity is not None and form.sensitivity < (tensor.sensitivity or 0.0)
                if tensor.plain and form.bytes >= tensor.bytes * most and not hidden:
                    yield (
                        f"The form {form.name} of {network.name}.{tensor.name} is never worth it: it has "
                        f"{form.bytes:g} bytes, the tensor {tensor.bytes:g}."
                    )
    for block in problem.blocks:
        if not block.block.energy and not any(_is_quicker(problem, block, one) for one in problem.platform.executors()):
            yield (
                f"The block {block.name} of {block.network} is never worth it: no device runs it in less time than its "
                "layers."
            )


def _is_quicker(problem: Problem, block: NamedBlock, executor: Executor) -> bool:
    """Return whether a block takes less time than its layers, or runs where they do not, or costs another energy."""
    together = block.seconds(executor)
    if together is None:
        return False
    network = problem.network(block.network)
    metered = problem.profile.energy.get(network.name, {})
    alone = [layer_seconds(problem.profile, network, layer, executor) for layer in block.layers]
    known = [seconds for seconds in alone if seconds is not None]
    return len(known) < len(alone) or together < fsum(known) or any(layer.name in metered for layer in block.layers)
