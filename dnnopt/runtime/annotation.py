"""Another way out: one ONNX file whose nodes say where they are to run, for ONNX Runtime to follow in one process.

ONNX Runtime reads the key ``layer_ann`` of a node's metadata, and the session option
``session.layer_assignment_settings`` says which kind of processor runs which of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.outputs import write_output
from dnnopt.base.records import check_known
from dnnopt.inputs.onnx.file import load_model
from dnnopt.inputs.onnx.quantised import folded_graph
from dnnopt.inputs.onnx.reader import layer_names
from dnnopt.problem.plan import Plan
from dnnopt.runtime.emission import constants_of
from dnnopt.runtime.origins import Origins
from dnnopt.runtime.placing import network_name, placement_of

if TYPE_CHECKING:
    from onnx import NodeProto

KEY = "layer_ann"
SETTING = "session.layer_assignment_settings"
_PROCESSOR = re.compile(r"[A-Za-z][A-Za-z0-9_:]*")


@checked
def annotate_onnx(
    model: str | Path,
    plan: Plan,
    output: str | Path,
    *,
    processors: Mapping[str, str] | None = None,
    dimensions: Mapping[str, int] | None = None,
    network: str | None = None,
    allow_large: bool = False,
) -> str:
    """Write an ONNX file with each node's device in its metadata; return the setting that ONNX Runtime is to have.

    Nodes that several devices' layers stand for, such as calls of functions, get none: the runtime decides.

    Parameters
    ----------
    model : str or Path
    plan : Plan
    output : str or Path
        Beside the model, where that has weights in other files.
    processors : mapping of str to str, optional
        What ONNX Runtime calls each device: ``cpu``, ``gpu``, ``gpu:1``, ``npu``, ...; by default ``cpu`` for the first
        one, and ``gpu`` for all others.
    dimensions : mapping of str to int, optional
        Sizes of symbolic dimensions that the network was read with.
    network : str, optional
        Which of the plan's networks it is, where there are several.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Returns
    -------
    str
        The value of ``session.layer_assignment_settings``.

    Raises
    ------
    InputError
        If the plan does not place exactly the layers of the file, or the file cannot be written there.
    """
    path, target = Path(model), Path(output)
    graph = folded_graph(path, dimensions or {}, allow_large=allow_large)
    names = layer_names(graph.layers)
    placed = placement_of(plan, network_name(plan, network), names, path)
    devices = list(dict.fromkeys(placed[name] for name in names))
    marks = _marks(devices)
    chosen = {device: "gpu" if position else "cpu" for position, device in enumerate(devices)}
    for device, processor in (processors or {}).items():
        check_known(device, devices, "processors", "device of the plan")
        if not _PROCESSOR.fullmatch(processor):
            raise InputError(
                "a processor, such as 'cpu', 'gpu:1' or 'npu'", field=f"processors.{device}", value=processor
            )
        chosen[device] = processor
    is_elsewhere = any(tensor.data_location == tensor.EXTERNAL for tensor in constants_of(graph.model))
    if is_elsewhere and target.absolute().parent.resolve() != path.absolute().parent.resolve():
        problem = f"{path.name} has weights in other files; expected a place beside it"
        raise InputError("", file=str(target), problem=problem)
    origins = Origins(graph)
    found: dict[int, set[str]] = {}
    for index, name in enumerate(names):
        for node in origins.layer_part(index).nodes:
            proto = node.proto if node.call is None else node.call
            found.setdefault(id(proto), set()).add(marks[placed[name]])
    fresh = load_model(path)  # the graph has the sizes of dimensions in it
    for old, new in zip(graph.model.graph.node, fresh.graph.node, strict=True):
        if len(found.get(id(old), ())) == 1:
            _mark(new, found[id(old)].pop())
    write_output(target, fresh.SerializeToString())
    return "; ".join(f"{chosen[device]}(={marks[device]})" for device in devices)


def _marks(devices: list[str]) -> dict[str, str]:
    """Return what stands in the file for each device: letters and digits, as the setting is made of the others."""
    found: dict[str, str] = {}
    for device in devices:
        mark = stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", device) or "device"
        number = 1
        while mark in found.values():
            number += 1
            mark = f"{stem}_{number}"
        found[device] = mark
    return found


def _mark(node: NodeProto, mark: str) -> None:
    entry = next((one for one in node.metadata_props if one.key == KEY), None) or node.metadata_props.add()
    entry.key, entry.value = KEY, mark
