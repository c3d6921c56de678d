"""Networks and platforms as a problem file may name them, in place of their data: of the library, or an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import (
    Bytes,
    Flag,
    Fraction,
    Name,
    Number,
    PerSecond,
    Probability,
    Record,
    Seconds,
    check_known,
)
from dnnopt.problem import library
from dnnopt.problem.forms import Form
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform

_Size = Annotated[int, Field(strict=True, ge=0)]
_OWN = ("name", "source", "sink", "rate", "deadline", "weight", "loss")  # what a network says of itself as well


class LayerChoices(Record):
    """What a problem says of a layer of a named network, in place of what the network says.

    Attributes
    ----------
    reach : float
        Share of the inputs that get as far as the layer, where some leave at an earlier exit.
    state : float
        Bytes that stay beside the layer from one round to the next.
    """

    reach: Fraction = 1.0
    state: Bytes = 0.0


class TensorChoices(Record):
    """What a problem says of a tensor of a named network, in place of what the network says.

    Attributes
    ----------
    forms : tuple of Form
        As what else it may be sent.
    plain : bool
        Whether it may be sent as it is.
    reach : float, optional
        Of a result: the share of the inputs whose answer it is; None: its producer's reach.
    """

    forms: tuple[Form, ...] = ()
    plain: Flag = True
    reach: Fraction | None = None


class _Entry(Record):
    name: Name = ""
    source: Name | None = None
    sink: Name | None = None
    rate: PerSecond | None = None
    deadline: Seconds | None = None
    weight: Number = 1.0
    loss: Number = 0.0
    layers: Frozen[Name, LayerChoices] = FrozenDict()
    tensors: Frozen[Name, TensorChoices] = FrozenDict()
    sensitivity_decay: Fraction | None = None
    sensitivities: Frozen[Name, Probability] = FrozenDict()

    def data(self, network: Network) -> dict[str, Any]:
        """Return the network's data, with what the entry says of it."""
        try:
            network = network.with_sensitivity(self.sensitivity_decay, tensors=self.sensitivities)
        except InputError as error:
            raise InputError("", field="sensitivities", problem=error.problem) from None
        own = {key: getattr(self, key) for key in _OWN if key in self.model_fields_set}
        data = network.to_data() | own
        for key, changes in (("layers", self.layers), ("tensors", self.tensors)):
            for name in changes:
                check_known(name, [one["name"] for one in data.get(key, ())], key, key[:-1])
            if changes:
                data[key] = [one | _said(changes.get(one["name"])) for one in data[key]]
        return data


def _said(changes: Record | None) -> dict[str, Any]:
    return {} if changes is None else changes.model_dump(mode="json", exclude_unset=True)


class LibraryNetwork(_Entry):
    """A network of the library, with some keys of its own.

    Attributes
    ----------
    base : str
        The name of a network in the library.
    layers : mapping of str to LayerChoices
        Of single layers, by name.
    tensors : mapping of str to TensorChoices
        Of single tensors, by name.
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
    layers : mapping of str to LayerChoices
        Of single layers, by name.
    tensors : mapping of str to TensorChoices
        Of single tensors, by name.
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


class LibraryPlatform(Record):
    """A platform of the library, with other numbers, or modes.

    Attributes
    ----------
    base : str
        The name of a platform in the library.
    override : mapping
        Values in place of others, by device or link and field: ``{"pi.memory": "2 GiB", "nx.modes": [...]}``.
    """

    base: Name
    override: Frozen[Name, Any] = FrozenDict()


def platform_data(entry: Any) -> Any:
    """Return the platform that an entry names; whatever names none is returned as it is.

    Parameters
    ----------
    entry : object
        ``"pi4-wifi-nx-wan-t4"``, or ``{"base": "pi4-wifi-nx-wan-t4", "override": {"nx.modes": [...]}}``.

    Raises
    ------
    InputError
        For a name that the library has not, and for what cannot be overridden.
    """
    if isinstance(entry, str):
        return library.platform(entry)
    if isinstance(entry, dict) and "base" in entry:
        from dnnopt.problem.templates import overridden

        named: LibraryPlatform = LibraryPlatform.from_data(entry)
        found: Platform = overridden(library.platform(named.base), named.override)
        return found
    return entry
