"""Manifests: which pieces a network was split into, and who sends what to whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_data, write_data
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.base.records import Bytes, Name, Number, Record, check_known, check_unique
from dnnopt.base.tables import Described
from dnnopt.problem.networks import INPUT, OUTPUT

if TYPE_CHECKING:
    from rich.console import Console

MANIFEST = "manifest.json"
PROBLEM = "problem.json"
PLAN = "plan.json"
Axis = int | Name | None
NumberType = Literal[
    "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"
]


class PieceTensor(Record):
    """A value that the model is given, or that one piece makes and another one, or the output, reads.

    Attributes
    ----------
    value : str
        Its name in the ONNX files.
    tensor : str
        The tensor of the network that it is; empty for what the network does not count, such as a shape.
    dtype : str
    shape : tuple
        Sizes; a name, or null, where any size will do.
    bytes : float
        At the sizes that the model was read with.
    producer : str
        A piece, or ``input``.
    consumers : tuple of str
        Pieces, and ``output``.
    shape_of : str
        The input of the model the shape of which it is: whoever has that input makes it.
    axes : tuple of int
        First axis of that shape, and the one after the last; none: all of them. One number: the size of that input.
    """

    value: Name
    tensor: str = ""
    dtype: NumberType
    shape: tuple[Axis, ...]
    bytes: Bytes
    producer: Name
    consumers: tuple[Name, ...]
    shape_of: str = ""
    axes: tuple[int, ...] = ()


class ModelPiece(Record):
    """The layers that one device runs in one go.

    Attributes
    ----------
    name, device : str
    stage : int
        Which of its device's pieces it is, from 0.
    file : str
        ONNX file, in the manifest's folder.
    layers : tuple of str
    inputs, outputs : tuple of str
        Values that it reads and makes.
    weight_bytes : float
        Of the constants that it reads.
    weight_file : str
        File beside the ONNX file that has some of them; the pieces of one device share it.
    """

    name: Name
    device: Name
    stage: int = Field(ge=0)
    file: Name
    layers: tuple[Name, ...]
    inputs: tuple[Name, ...]
    outputs: tuple[Name, ...]
    weight_bytes: Bytes = 0.0
    weight_file: str = ""


class Sent(Record):
    """A value that one device sends to another one, once for each input of the network.

    `sender` is left out for raw input that is everywhere, `receiver` for an answer that stays where it is made.
    """

    value: Name
    sender: Name | None = None
    receiver: Name | None = None


class ModelInput(Record):
    """An input of the model, in the order of the file."""

    name: Name
    dtype: NumberType
    shape: tuple[Axis, ...]


class ModelOutput(Record):
    """An output of the model, and the value that it is."""

    name: Name
    value: Name


class Verification(Record):
    """How far the pieces, put together, differ from the whole model on random inputs.

    Attributes
    ----------
    max_absolute : float
        Largest difference of any number in any output.
    max_relative : float
        The same, over the largest magnitude in that output.
    seed : int
        Of the inputs.
    onnxruntime : str
        Its version.
    """

    max_absolute: Number
    max_relative: Number
    seed: int
    onnxruntime: str


class Manifest(Described, Record):
    """What `dnnopt split` writes beside the pieces.

    Attributes
    ----------
    network : str
        Name of the network in the plan.
    model, checksum : str
        The ONNX file that was split, and its SHA-256 (not that of weights in other files).
    dimensions : mapping
        Sizes of symbolic dimensions that it was read with. The pieces take other sizes as well.
    source, sink : str, optional
        Devices where the input starts and the outputs must arrive.
    inputs : tuple of ModelInput
    outputs : tuple of ModelOutput
    pieces : tuple of ModelPiece
        In an order in which they can run one after the other.
    tensors : tuple of PieceTensor
    sends : tuple of Sent
    forms : mapping
        Value -> ``float16`` or ``int8``, for what is sent in fewer bits.
    verification : Verification, optional
        None: it was not asked for.
    remarks : tuple of str
    """

    network: Name
    model: Name
    checksum: str = ""
    dimensions: Frozen[str, int] = FrozenDict()
    source: Name | None = None
    sink: Name | None = None
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    pieces: tuple[ModelPiece, ...]
    tensors: tuple[PieceTensor, ...]
    sends: tuple[Sent, ...]
    forms: Frozen[Name, Literal["float16", "int8"]] = FrozenDict()
    verification: Verification | None = None
    remarks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_unique((piece.name for piece in self.pieces), "pieces", "piece")
        check_unique((tensor.value for tensor in self.tensors), "tensors", "value")
        made = {tensor.value for tensor in self.tensors}
        names = {piece.name for piece in self.pieces}
        for position, tensor in enumerate(self.tensors):
            check_known(tensor.producer, {*names, INPUT}, f"tensors[{position}].producer", "piece")
            for consumer in tensor.consumers:
                check_known(consumer, {*names, OUTPUT}, f"tensors[{position}].consumers", "piece")
        for position, piece in enumerate(self.pieces):
            for field, listed in (("inputs", piece.inputs), ("outputs", piece.outputs)):
                for value in listed:
                    check_known(value, made, f"pieces[{position}].{field}", "value")
            for file in (piece.file, piece.weight_file):
                if Path(file).name != file:
                    raise InputError("the name of a file", field=f"pieces[{position}]", value=file)
        for position, sending in enumerate(self.sends):
            check_known(sending.value, made, f"sends[{position}].value", "value")
        for position, output in enumerate(self.outputs):
            check_known(output.value, made, f"outputs[{position}].value", "value")
        return self

    def devices(self) -> tuple[str, ...]:
        """Return the devices that take part: those of pieces, and where the input starts and the answer arrives."""
        found = [self.source, *(piece.device for piece in self.pieces), self.sink]
        return tuple(dict.fromkeys(device for device in found if device is not None))

    def tensor_of(self) -> dict[str, PieceTensor]:
        """Return each tensor by its value."""
        return {tensor.value: tensor for tensor in self.tensors}

    def identity(self) -> str:
        """Return a digest of the whole: processes that take part in one run have the same pieces."""
        return hashlib.sha256(dump_json(self.to_data()).encode()).hexdigest()

    def forms_of(self, values: Iterable[str]) -> dict[str, str]:
        """Return the forms in which some of these values are sent."""
        return {value: self.forms[value] for value in values if value in self.forms}

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        sent = [sending for sending in self.sends if sending.sender and sending.receiver]
        size = sum(self.sent_bytes(sending.value) for sending in sent)
        checked = self.verification
        return {
            "pieces of": f"{self.network} ({self.model})",
            "pieces": ", ".join(f"{piece.name} ({counted(len(piece.layers), 'layer')})" for piece in self.pieces),
            "sent": f"{counted(len(sent), 'value')}, {format_quantity(size, 'B')}",
            "against the whole": "not verified"
            if checked is None
            else f"differs by at most {checked.max_absolute:.3g}, relative {checked.max_relative:.3g}",
        }

    def report(self, console: Console) -> None:
        """Print the pieces, what is sent, and how far the pieces are from the whole."""
        tensors = self.tensor_of()
        rows = [
            (
                piece.name,
                piece.device,
                str(len(piece.layers)),
                format_quantity(piece.weight_bytes, "B"),
                piece.layers[0] if len(piece.layers) == 1 else f"{piece.layers[0]} ... {piece.layers[-1]}",
            )
            for piece in self.pieces
        ]
        sides = [("piece", "left"), ("device", "left"), ("layers", "right"), ("weights", "right"), ("which", "left")]
        console.print(table(f"{self.network}: {counted(len(self.pieces), 'piece')}", sides, rows, ["which"]))
        rows = [
            (
                sending.value,
                "x".join("?" if size is None else str(size) for size in tensors[sending.value].shape) or "a number",
                self.forms.get(sending.value, tensors[sending.value].dtype),
                format_quantity(self.sent_bytes(sending.value), "B"),
                f"{sending.sender or 'anywhere'} -> {sending.receiver or 'anywhere'}",
            )
            for sending in self.sends
        ]
        sides = [("value", "left"), ("shape", "left"), ("type", "left"), ("size", "right"), ("from -> to", "left")]
        if rows:
            console.print(table("What is sent", sides, rows, ["shape"]))
        console.print(words(f"Against the whole, on random inputs: {self.overview()['against the whole']}"))

    def sent_bytes(self, value: str) -> float:
        """Return the bytes of a value on the way, at the sizes that the model was read with."""
        tensor = self.tensor_of()[value]
        bits = {"float16": 16, "int8": 8}.get(self.forms.get(value, ""))
        return tensor.bytes if bits is None else tensor.bytes * bits / int(tensor.dtype.removeprefix("float"))


@checked
def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder of pieces."""
    path = Path(folder) / MANIFEST
    found: Manifest = Manifest.from_data(read_data(path, "manifest"), file=str(path))
    return found


def write_manifest(manifest: Manifest, folder: str | Path) -> None:
    """Write the manifest of a folder of pieces."""
    write_data(Path(folder) / MANIFEST, "manifest", manifest.to_data())
