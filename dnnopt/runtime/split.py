"""Split an ONNX file by a plan: one file for each device and stage, and a manifest of who sends what to whom."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.outputs import make_folder
from dnnopt.base.records import check_known
from dnnopt.problem.manifest import (
    MANIFEST,
    PLAN,
    PROBLEM,
    Manifest,
    ModelInput,
    ModelOutput,
    ModelPiece,
    Sent,
    write_manifest,
)
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.plan import Plan, write_plan
from dnnopt.problem.problem import Problem, problem_text
from dnnopt.runtime.assembly import Assembly, PieceDraft
from dnnopt.runtime.emission import check_whole, constants_of, piece_model
from dnnopt.runtime.placing import PlacedLayers, place_layers
from dnnopt.runtime.verification import verified
from dnnopt.runtime.weights import WeightFile, stored_bytes, sync

if TYPE_CHECKING:
    from onnx import ModelProto

_FORMS = ("float16", "int8")


@checked
def split_onnx(
    model: str | Path,
    plan: Plan,
    folder: str | Path,
    *,
    problem: Problem | None = None,
    dimensions: Mapping[str, int] | None = None,
    network: str | None = None,
    granularity: str | None = None,
    forms: Mapping[str, str] | None = None,
    verify: bool = True,
    seed: int = 0,
    allow_large: bool = False,
) -> Manifest:
    """Split an ONNX file by a plan.

    The folder gets an ONNX file for each device and stage, weights in other files where the model has them there or
    several pieces of a device read them, `manifest.json`, and, where there is a problem, `problem.json` and
    `plan.json`. All are there in the end, or none. Tensors, nodes and operator sets are those of the file, and calls of
    functions stay where all of the function is in one piece. Pieces take inputs of other sizes where the file does,
    save for branches that the reader had to choose.

    Parameters
    ----------
    model : str or Path
    plan : Plan
        Where each layer runs. Modes of devices are not made: a piece computes what the file says.
    folder : str or Path
        New or empty, or one with pieces, which are replaced.
    problem : Problem, optional
        Whose plan it is: where the input starts, where the answer must arrive, and what is predicted.
    dimensions : mapping of str to int, optional
        Sizes of symbolic dimensions that the network was read with.
    network : str, optional
        Which of the plan's networks it is, where there are several.
    granularity : str, optional
        Of the plan, where its layers are not the file's: ``layer``, ``block`` and, where the operators allow it,
        ``rows:4``, ``grid:2x2``, ``channels:4``, ``paired:4``, ``batch:4`` and ``fused:2x2``, as in
        `dnnopt.at_granularity`. Parts of layers become nodes.
    forms : mapping of str to str, optional
        Tensors, or ``*`` for all of floating-point numbers, that are sent as ``float16`` or ``int8``; beside the
        plan's own forms of these names.
    verify : bool
        Whether to run the pieces and the whole with onnxruntime, on random inputs, and state how they differ.
    seed : int
        Of these inputs.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.

    Raises
    ------
    InputError
        If the plan does not place exactly the layers of the file, a value that would be sent is no tensor of numbers,
        weights are missing, the folder has something else in it or cannot be written, or, to verify, onnxruntime
        cannot run the file.
    """
    path, target = Path(model), Path(folder)
    _check_target(target)
    placed = place_layers(
        path,
        plan,
        problem=problem,
        dimensions=dimensions,
        network=network,
        granularity=granularity,
        allow_large=allow_large,
    )
    name, graph = placed.network, placed.graph
    plan, problem = placed.plan, placed.problem
    assembly = Assembly(graph, placed.devices, placed.declared, placed.dynamic)
    of_problem = _network_of(problem, name)
    source, sink = (None, None) if of_problem is None else (of_problem.source, of_problem.sink)
    planned = plan.forms.get(name, {})
    chosen = {tensor: form for tensor, form in planned.items() if form in _FORMS} | dict(forms or {})
    remarks = []
    other = sorted({form for form in planned.values() if form not in _FORMS})
    if other:
        remarks.append(f"What the plan sends in the forms {', '.join(other)} is sent as it is.")
    if placed.modes:
        remarks.append(
            f"The pieces compute what the file says: nothing is made of the modes {', '.join(placed.modes)}."
        )
    try:
        with _written(target) as place:
            pieces = _write_pieces(assembly, placed, place, path.parent)
            manifest = Manifest(
                network=name,
                model=path.name,
                checksum=_checksum(path),
                dimensions=dict(dimensions or {}),
                source=source,
                sink=sink,
                inputs=tuple(
                    ModelInput(
                        name=value.name,
                        dtype=assembly.number_type(value.name),
                        shape=assembly.shape(value.name),
                    )
                    for value in graph.inputs
                    if any(tensor.value == value.name for tensor in assembly.tensors)
                ),
                outputs=tuple(ModelOutput(name=output, value=value) for output, value in assembly.results),
                pieces=pieces,
                tensors=tuple(assembly.tensors),
                sends=tuple(_sends(assembly, source, sink)),
                forms=_sent_forms(assembly, chosen),
                remarks=tuple(remarks),
            )
            if verify:
                manifest = manifest.replace(verification=verified(manifest, place, path, seed))
            write_manifest(manifest, place)
            if problem is not None:
                (place / PROBLEM).write_text(problem_text(problem), encoding="utf-8")
                write_plan(plan, place / PLAN)
            for written in place.iterdir():
                sync(written)
    except OSError as error:
        raise InputError("", file=str(target), problem=f"cannot be written: {error.strerror or error}") from None
    except InputError as error:
        raise error if error.file else error.within(file=str(path)) from None
    return manifest


def _check_target(target: Path) -> None:
    try:
        if target.exists() and not target.is_dir():
            raise InputError("", file=str(target), problem="is no folder")
        if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
            raise InputError("", file=str(target), problem="has something else in it; expected a new folder, or pieces")
    except OSError as error:
        raise InputError("", file=str(target), problem=f"cannot be read: {error.strerror}") from None


def _network_of(problem: Problem | None, name: str) -> Network | None:
    if problem is None:
        return None
    names = [network.name for network in problem.networks]
    check_known(name, names, "network", "network of the problem")
    return problem.networks[names.index(name)]


def _write_pieces(assembly: Assembly, placed: PlacedLayers, place: Path, weights: Path) -> tuple[ModelPiece, ...]:
    """Write the file of each piece, and that of each device's weights; `weights`: where the model has its own."""
    models = {draft.name: piece_model(assembly, draft) for draft in assembly.drafts}
    readers = _readers(assembly, models)
    pieces: list[ModelPiece] = []
    with ExitStack() as open_files:
        files = {}
        for draft in assembly.drafts:
            if draft.device not in files:
                stem = draft.name.rpartition(".")[0]
                files[draft.device] = WeightFile(place / f"{stem}.weights", weights)
                open_files.callback(files[draft.device].close)
            made, file = models.pop(draft.name), files[draft.device]
            check_whole(made, draft)
            total = used = 0
            for tensor in constants_of(made):
                file.store(tensor, shared=readers[draft.device, tensor.name] > 1)
                used += tensor.data_location == tensor.EXTERNAL
                total += stored_bytes(tensor)
            (place / f"{draft.name}.onnx").write_bytes(made.SerializeToString())
            pieces.append(
                ModelPiece(
                    name=draft.name,
                    device=draft.device,
                    stage=draft.stage,
                    file=f"{draft.name}.onnx",
                    layers=_named(placed, draft, pieces),
                    inputs=tuple(draft.inputs),
                    outputs=tuple(draft.outputs),
                    weight_bytes=total,
                    weight_file=file.path.name if used else "",
                )
            )
    return tuple(pieces)


def _named(placed: PlacedLayers, draft: PieceDraft, pieces: Sequence[ModelPiece]) -> tuple[str, ...]:
    """Return the plan's layers in a piece, those of which another one has the first part left out."""
    elsewhere = {layer for piece in pieces for layer in piece.layers}
    names = dict.fromkeys(placed.names[layer] for layer in draft.layers)
    return tuple(name for name in names if name and name not in elsewhere)


def _readers(assembly: Assembly, models: Mapping[str, ModelProto]) -> Counter[tuple[str, str]]:
    """Count the pieces of each device that have an initialiser."""
    found: Counter[tuple[str, str]] = Counter()
    for draft in assembly.drafts:
        found.update((draft.device, tensor.name) for tensor in models[draft.name].graph.initializer)
    return found


def _sends(assembly: Assembly, source: str | None, sink: str | None) -> Iterator[Sent]:
    """Yield what one device sends to another: each value once to each device that needs it."""
    device_of = {draft.name: draft.device for draft in assembly.drafts}
    for tensor in assembly.tensors:
        sender = source if tensor.producer == INPUT else device_of[tensor.producer]
        for receiver in dict.fromkeys(sink if one == OUTPUT else device_of[one] for one in tensor.consumers):
            if sender is None or sender != receiver:
                yield Sent(value=tensor.value, sender=sender, receiver=receiver)


def _sent_forms(assembly: Assembly, chosen: Mapping[str, str]) -> dict[str, str]:
    known = {tensor.tensor: tensor for tensor in assembly.tensors if tensor.tensor}
    found: dict[str, str] = {}
    for name, form in chosen.items():
        if form not in _FORMS:
            raise InputError(f"one of {', '.join(_FORMS)}", field=f"forms.{name}", value=form)
        if name != "*" and name not in known:
            raise InputError(f"a tensor that is sent: {', '.join(known)}", field="forms", value=name)
        for tensor in known.values() if name == "*" else (known[name],):
            if tensor.dtype in ("float32", "float64"):
                found[tensor.value] = form
            elif name != "*":
                raise InputError("a tensor of floating-point numbers", field="forms", value=name)
    return found


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """Yield a folder to write in, which then takes the place of the target; of nothing whole, nothing is left."""
    make_folder(target.absolute().parent)
    place, old = (target.absolute().with_name(f".dnnopt-{secrets.token_hex(8)}") for _ in range(2))
    place.mkdir()
    try:
        yield place
        if target.is_dir():
            target.rename(old)
        place.rename(target)
    except BaseException:
        if old.is_dir() and not target.exists():
            old.rename(target)
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
