"""Networks as a problem file may name them, in place of their data: of the library, or an ONNX file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Fraction, Name, Number, PerSecond, Probability, Record, Seconds
from dnnopt.problem import library
from dnnopt.problem.networks import Network

_Size = Annotated[int, Field(strict=True, ge=0)]
_OWN = ("name", "source", "sink", "rate", "deadline", "weight")  # what a network says of itself as well


class _Entry(Record):
    name: Name = ""
    source: Name | None = None
    sink: Name | None = None
    rate: PerSecond | None = None
    deadline: Seconds | None = None
    weight: Number = 1.0
    sensitivity_decay: Fraction | None = None
    sensitivities: Frozen[Name, Probability] = FrozenDict()

    def data(self, network: Network) -> dict[str, Any]:
        """Return the network's data, with what the entry says of it."""
        try:
            network = network.with_sensitivity(self.sensitivity_decay, tensors=self.sensitivities)
        except InputError as error:
            raise InputError("", field="sensitivities", problem=error.problem) from None
        own = {key: getattr(self, key) for key in _OWN if key in self.model_fields_set}
        return network.to_data() | own


class LibraryNetwork(_Entry):
    """A network of the library, with some keys of its own.

    Attributes
    ----------
    base : str
        The name of a network in the library.
    sensitivity_decay : float, optional
        Gives the tensors sensitivities: raw input has 1, and this is what each layer leaves of it.
    sensitivities : mapping of str to float
        Sensitivities of single tensors, whatever the decay says.
    """

    base: Name


class OnnxNetwork(_Entry):
    """A network that is read from an ONNX file, with some keys of its own.

    Attributes
    ----------
    onnx : str
        The file; where it is not absolute, beside the problem file.
    dimensions : mapping of str to int
        Sizes of symbolic dimensions, by name, or by input and axis: ``"image[0]"``.
    costs : mapping of str to str
        FLOP of operators that are not known, as ``--cost`` has them: ``{"com.acme:MyOp": "2*out"}``.
    sensitivity_decay : float, optional
        Gives the tensors sensitivities: raw input has 1, and this is what each layer leaves of it.
    sensitivities : mapping of str to float
        Sensitivities of single tensors, whatever the decay says.
    """

    onnx: Name
    dimensions: Frozen[Name, _Size] = FrozenDict()
    costs: Frozen[Name, str] = FrozenDict()


def network_data(entry: Any, folder: Path = Path(), *, allow_large: bool = False) -> Any:
    """Return the data of the network that an entry names; whatever names none is returned as it is.

    Parameters
    ----------
    entry : object
        ``"resnet50"``, ``{"base": "resnet50", "source": "pi"}`` or ``{"onnx": "model.onnx", "source": "pi"}``.
    folder : Path
        Where ONNX files are.
    allow_large : bool
        Whether functions in an ONNX file may become any number of nodes.

    Raises
    ------
    InputError
        For a name that the library has not, and for an ONNX file that cannot be read.
    """
    if isinstance(entry, str):
        return library.network(entry)
    if isinstance(entry, dict) and "base" in entry:
        named: LibraryNetwork = LibraryNetwork.from_data(entry)
        return named.data(library.network(named.base))
    if isinstance(entry, dict) and "onnx" in entry:
        filed: OnnxNetwork = OnnxNetwork.from_data(entry)
        try:
            found = Network.from_onnx(
                folder / filed.onnx, dimensions=filed.dimensions, costs=filed.costs, allow_large=allow_large
            )
        except InputError as error:
            raise InputError("", field="onnx", problem=str(error)) from None
        return filed.data(found)
    return entry
