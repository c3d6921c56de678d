"""Networks: the directed acyclic graph of layers and the tensors between them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib.resources.abc import Traversable
from numbers import Real
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.extras import optional
from dnnopt.base.files import read_data, write_data
from dnnopt.base.graphs import topological_order
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.base.records import (
    Bytes,
    Flag,
    Flop,
    Fraction,
    Name,
    Number,
    PerSecond,
    Probability,
    Record,
    Seconds,
    check_known,
    check_unique,
)
from dnnopt.base.sizes import check_layers_and_devices
from dnnopt.base.tables import Described
from dnnopt.base.text import visible
from dnnopt.problem.forms import Form
from dnnopt.problem.geometry import AxisNumbers, AxisSizes, Window
from dnnopt.problem.precision import FLOAT32, DType

INPUT = "input"
OUTPUT = "output"
RESERVED = (INPUT, OUTPUT)


class Layer(Record):
    """One layer `v` of a network (an operator, or what a granularity transform made of several).

    Attributes
    ----------
    name : str
    op : str
        Kind of operator, such as ``Conv``.
    flops : float, optional
        Floating-point operations `f_v`; one multiply-accumulate counts as two. Needed by the roofline only.
    bytes : float, optional
        Bytes read and written `g_v`: inputs, weights and outputs. Needed by the roofline only.
    weights : float, optional
        Bytes of weights `m_v`. Needed where memory is limited.
    activations : float, optional
        Bytes of activations resident while the layer runs, `r_v`. Needed by the memory rules that count them.
    state : float
        Bytes that stay beside the layer from one round to the next (a cache of keys and values); every memory rule
        counts them, and they never travel.
    reach : float
        Share of the inputs that get as far as the layer, where some leave at an earlier exit.
    dtype : str
        Type of the numbers that it computes with, for which devices may have rates; float32 where it is not known.
    window : Window, optional
        Of convolutions and pools: the window that moves over their first input.
    axes : tuple of int
        Axes that the operator works along, of its first input (of its output for ``Concat``): that of a softmax, those
        of a reduction; of a ``Transpose`` the whole order of axes.
    inputs : tuple of str
        Tensors that it reads in the operator's order, empty for one that is constant or left out; none where its only
        tensor is the first operand.
    weight_axes : tuple of int
        Axes of its first output along which its weights are divided: a part of the output needs its share alone.
    """

    name: Name
    op: str = ""
    flops: Flop | None = None
    bytes: Bytes | None = None
    weights: Bytes | None = None
    activations: Bytes | None = None
    state: Bytes = 0.0
    reach: Fraction = 1.0
    dtype: DType = FLOAT32
    window: Window | None = None
    axes: AxisNumbers = ()
    inputs: tuple[str, ...] = ()
    weight_axes: AxisNumbers = ()


class Tensor(Record):
    """One tensor `τ`: what a layer produces and others consume.

    Attributes
    ----------
    name : str
    producer : str
        A layer, or ``"input"`` for raw input.
    consumers : tuple of str
        Layers; ``"output"`` among them says that the tensor is a result which must reach the network's sink.
    bytes : float
        Size `b_τ`.
    sensitivity : float, optional
        Privacy sensitivity `ρ_τ` in [0, 1]; needed where leakage is measured.
    source : str, optional
        For raw input: the device where it starts, if not the network's source.
    forms : tuple of Form
        As what else it may be sent.
    plain : bool
        Whether it may be sent as it is.
    reach : float, optional
        Of a result: the share of the inputs whose answer it is; None: its producer's reach.
    shape : tuple of int, optional
        Sizes of its axes, the batch included; None: not known.
    """

    name: Name
    producer: Name
    consumers: tuple[Name, ...]
    bytes: Bytes
    sensitivity: Probability | None = None
    source: Name | None = None
    forms: tuple[Form, ...] = ()
    plain: Flag = True
    reach: Fraction | None = None
    shape: AxisSizes | None = None


class SharedWeights(Record):
    """Weights that several layers of a network read, such as those of a tied embedding.

    A device that runs any of the layers holds them once, beside what the layers' own `weights` say.

    Attributes
    ----------
    name : str
    bytes : float
    layers : tuple of str
        The layers that read them.
    """

    name: Name
    bytes: Bytes
    layers: tuple[Name, ...] = Field(min_length=1)


def _network_and_layer(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError("a pair: the name of a network and that of one of its layers", value=value)
    return value


class SharedAcross(Record):
    """Weights that layers of one or several networks read, such as those of a backbone that the networks share.

    A device that runs any of the layers holds them once, beside what the layers' own `weights` say.

    Attributes
    ----------
    name : str
    bytes : float
    layers : tuple of (str, str)
        The layers that read them, each as the name of its network and its own.
    """

    name: Name
    bytes: Bytes
    layers: tuple[Annotated[tuple[Name, Name], BeforeValidator(_network_and_layer)], ...] = Field(min_length=1)


@lru_cache(maxsize=4096)
def across_network(shared: SharedWeights, network: str, name: str) -> SharedAcross:
    """Return a network's shared weights as those of a problem, under a name."""
    return SharedAcross(name=name, bytes=shared.bytes, layers=tuple((network, layer) for layer in shared.layers))


class Network(Described, Record):
    """A deep neural network: layers, tensors, and where its input starts and its answer is wanted.

    Attributes
    ----------
    name : str
    layers : tuple of Layer
    tensors : tuple of Tensor
    source : str, optional
        Device where the raw input starts; None: it is everywhere already, so it is never sent.
    sink : str, optional
        Device where the results must arrive; None: they stay where they are made.
    rate : float, optional
        Requests per second `λ_a`.
    deadline : float, optional
        Seconds `D_a`; enforced only where a deadline constraint is listed.
    weight : float
        Weight `ω_a` in the total latency.
    provenance : str
        Where the network comes from (package, version, command, input shape).
    family : str
        Kind of architecture, such as ``residual CNN``; it only describes.
    parameters : float, optional
        Number of trained parameters, where the origin tells it; it only describes (`Layer.weights` counts bytes).
    shared_weights : tuple of SharedWeights
        Weights that several layers read; `Layer.weights` leaves them out.
    loss : float
        Accuracy that is lost whatever the plan (of an earlier exit, of pruning); it counts in `accuracy_loss`.

    Raises
    ------
    InputError
        For duplicate or reserved names, unknown producers, consumers or readers, inputs that a layer does not consume,
        cycles, and a reach that grows.
    """

    name: Name
    layers: tuple[Layer, ...] = Field(min_length=1)
    tensors: tuple[Tensor, ...] = ()
    source: Name | None = None
    sink: Name | None = None
    rate: PerSecond | None = None
    deadline: Seconds | None = None
    weight: Number = 1.0
    provenance: str = ""
    family: str = ""
    parameters: Number | None = None
    shared_weights: tuple[SharedWeights, ...] = ()
    loss: Number = 0.0

    @model_validator(mode="after")
    def _check(self) -> Network:
        check_unique((layer.name for layer in self.layers), "layers", "layer")
        check_unique((tensor.name for tensor in self.tensors), "tensors", "tensor")
        names = self.layer_names
        producers, consumers = names | {INPUT}, names | {OUTPUT}
        for index, layer in enumerate(self.layers):
            if layer.name in RESERVED:
                raise InputError(
                    "a layer name other than the reserved 'input' and 'output'",
                    field=f"layers[{index}].name",
                    value=layer.name,
                )
        for index, tensor in enumerate(self.tensors):
            field, to = f"tensors[{index}]", tensor.consumers
            if tensor.producer not in producers:
                check_known(tensor.producer, producers, f"{field}.producer", "layer, or 'input'")
            if len(set(to)) < len(to):
                check_unique(to, f"{field}.consumers", "consumer")
            for position, consumer in () if consumers.issuperset(to) else enumerate(to):
                check_known(consumer, consumers, f"{field}.consumers[{position}]", "layer, or 'output'")
            if tensor.source is not None and tensor.producer != INPUT:
                raise InputError(
                    "no source, as the tensor is not raw input", field=f"{field}.source", value=tensor.source
                )
            if tensor.forms:
                check_unique((form.name for form in tensor.forms), f"{field}.forms", "form")
            if tensor.reach is not None and OUTPUT not in tensor.consumers:
                raise InputError(f"no reach, as {OUTPUT!r} is no consumer", field=f"{field}.reach", value=tensor.reach)
        check_unique((shared.name for shared in self.shared_weights), "shared_weights", "shared-weights")
        for index, shared in enumerate(self.shared_weights):
            field = f"shared_weights[{index}].layers"
            check_unique(shared.layers, field, "layer")
            for position, name in enumerate(shared.layers):
                check_known(name, names, f"{field}[{position}]", "layer")
        self._check_inputs()
        _ = self.order  # refuses cycles
        self._check_reach()
        return self

    def _check_inputs(self) -> None:
        """Check that layers name as their inputs what they consume."""
        if not any(layer.inputs for layer in self.layers):
            return
        consumed: dict[str, set[str]] = {layer.name: set() for layer in self.layers}
        for tensor in self.tensors:
            for consumer in tensor.consumers:
                if consumer != OUTPUT:
                    consumed[consumer].add(tensor.name)
        for index, layer in enumerate(self.layers):
            if consumed[layer.name].issuperset(filter(None, layer.inputs)):
                continue
            for position, name in enumerate(layer.inputs):
                what = "tensor that the layer consumes"
                check_known(name or None, consumed[layer.name], f"layers[{index}].inputs[{position}]", what)

    def _check_reach(self) -> None:
        """Check that no reach is more than that of what comes before."""
        if not self.has_exits:
            return
        reach = {INPUT: 1.0} | {layer.name: layer.reach for layer in self.layers}
        place = {layer.name: index for index, layer in enumerate(self.layers)}
        for index, tensor in enumerate(self.tensors):
            for consumer in tensor.consumers:
                own = self.reach_of(tensor, consumer)
                if own > reach[tensor.producer]:
                    where = f"tensors[{index}]" if consumer == OUTPUT else f"layers[{place[consumer]}]"
                    expected = f"at most {reach[tensor.producer]:g}, the reach of {tensor.producer}, which comes before"
                    raise InputError(expected, field=f"{where}.reach", value=own)

    def reach_of(self, tensor: Tensor, consumer: str) -> float:
        """Return the share of the inputs for which a consumer, a layer or the output, needs a tensor."""
        if consumer != OUTPUT:
            return self._reaches[consumer]
        if tensor.reach is not None:
            return tensor.reach
        return 1.0 if tensor.producer == INPUT else self._reaches[tensor.producer]

    @cached_property
    def has_exits(self) -> bool:
        """Whether some inputs do not get as far as all others."""
        return any(one.reach < 1 for one in self.layers) or any((one.reach or 1.0) < 1 for one in self.tensors)

    @cached_property
    def _reaches(self) -> dict[str, float]:
        return {layer.name: layer.reach for layer in self.layers}

    @cached_property
    def layer_names(self) -> frozenset[str]:
        """Names of all layers."""
        return frozenset(layer.name for layer in self.layers)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of the layers in a topological order; among layers that are ready, the first listed comes first."""
        index = {layer.name: position for position, layer in enumerate(self.layers)}
        producers: list[list[int]] = [[] for _ in self.layers]
        for tensor in self.tensors:
            if tensor.producer != INPUT:
                for consumer in tensor.consumers:
                    if consumer != OUTPUT:
                        producers[index[consumer]].append(index[tensor.producer])
        order, cycle = topological_order(producers)
        if cycle:
            words = " -> ".join(self.layers[v].name for v in cycle)
            raise InputError("", field="tensors", problem=f"the layers form a cycle: {words}")
        return tuple(order)

    @classmethod
    def from_onnx(cls, path: str | Path, **options: Any) -> Network:
        """Read an ONNX file; the options are those of `dnnopt.read_onnx`."""
        from dnnopt.inputs.onnx.reader import read_onnx

        return read_onnx(path, **options)

    def to_networkx(self) -> Any:
        """Return the layers as a `networkx.MultiDiGraph`: an edge for each tensor and consumer, with its name as key.

        Nodes have the layer's fields, edges the tensor's ``bytes`` and ``sensitivity``; ``input`` and ``output`` are
        nodes where there is raw input and where there are results.

        Raises
        ------
        InputError
            If networkx is not installed.
        """
        graph = optional("networkx", "networkx", "graphs").MultiDiGraph(name=self.name)
        for layer in self.layers:
            graph.add_node(layer.name, **{key: value for key, value in layer if key != "name"})
        for tensor in self.tensors:
            for consumer in tensor.consumers:
                sent = {"bytes": tensor.bytes, "sensitivity": tensor.sensitivity}
                graph.add_edge(tensor.producer, consumer, key=tensor.name, **sent)
        return graph

    @checked
    def with_sensitivity(
        self, decay: float | None = None, *, input: float = 1.0, tensors: Mapping[str, float] | None = None
    ) -> Network:
        """Return the network with `ρ_τ = input · decay^d`, d: most layers on a way from the input to where τ is made.

        So raw input has `input`, what a layer makes of it `input · decay`, and what deeper layers pass on tells less
        and less of it (assumed, as published measures do not compare; see ``docs/model.md``).

        Parameters
        ----------
        decay : float, optional
            What each layer leaves of it, above 0 and at most 1; None: `tensors` alone get what is said there.
        input : float
            Sensitivity of raw input, from 0 to 1.
        tensors : mapping of str to float, optional
            Sensitivities of single tensors, from 0 to 1, that are known otherwise.

        Raises
        ------
        InputError
            For a tensor that there is not, and for a number out of range.
        """
        known = dict(tensors or {})
        if decay is not None and not 0 < _number(decay, "decay") <= 1:
            raise InputError("a number > 0 and <= 1", field="decay", value=decay)
        for field, value in (("input", input), *((f"tensors.{name}", value) for name, value in known.items())):
            if not 0 <= _number(value, field) <= 1:
                raise InputError("a number from 0 to 1", field=field, value=value)
        names = [tensor.name for tensor in self.tensors]
        for name in known:
            check_known(name, names, "tensors", "tensor")
        if decay is not None:
            depth = self._depths()
            known = {tensor.name: input * decay ** depth[tensor.producer] for tensor in self.tensors} | known
        given = (
            tensor.model_copy(update={"sensitivity": float(known[tensor.name])}) if tensor.name in known else tensor
            for tensor in self.tensors
        )
        return self.model_copy(update={"tensors": tuple(given)})

    def _depths(self) -> dict[str, int]:
        """Return for each layer how many are on the longest way from the input to it, itself among them."""
        depth = {INPUT: 0}
        made_by: dict[str, list[str]] = {layer.name: [] for layer in self.layers}
        for tensor in self.tensors:
            for consumer in tensor.consumers:
                if consumer != OUTPUT:
                    made_by[consumer].append(tensor.producer)
        for index in self.order:
            name = self.layers[index].name
            depth[name] = 1 + max((depth[producer] for producer in made_by[name]), default=0)
        return depth

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        flops = sum(layer.flops or 0.0 for layer in self.layers)
        weights = sum(layer.weights or 0.0 for layer in self.layers) + sum(one.bytes for one in self.shared_weights)
        return {
            "network": self.name,
            "layers": counted(len(self.layers), "layer"),
            "tensors": counted(len(self.tensors), "tensor"),
            "work": format_quantity(flops, "FLOP"),
            "weights": f"{format_quantity(weights, 'bytes')} of weights",
        }

    def summary(self) -> str:
        """Return one line: layers, tensors, FLOPs, weights."""
        name, *parts = self.overview().values()
        return f"{visible(name)}: {', '.join(parts)}"


def _number(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError("a number", field=field, value=value)
    return float(value)


@checked
def read_network(path: str | Path | Traversable, *, allow_large: bool = False) -> Network:
    """Read a network file; `allow_large` lifts the limits of `dnnopt.base.sizes`, here and in the other readers."""
    return network_of(read_data(path, "network", allow_large=allow_large), str(path), allow_large)


def network_of(data: dict[str, Any], file: str, allow_large: bool) -> Network:
    check_layers_and_devices([data], None, file, allow_large)
    return Network.from_data(data, file=file)


@checked
def write_network(network: Network, path: str | Path) -> None:
    """Write a network file."""
    write_data(path, "network", network.to_data())
