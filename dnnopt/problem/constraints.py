"""Constraints: what every plan must satisfy. One record for each kind; `label` names it in reports."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Bytes, Dollars, Fraction, Joules, Name, Number, Record, Seconds
from dnnopt.base.units import parse_quantity
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.platforms import Device
from dnnopt.problem.scenarios import Across, Level, Rounds, across_label, check_across

MemoryRule = Literal["weights", "weights+activations", "weights+largest_activation"]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Layers = Annotated[tuple[Name, ...], Field(min_length=1)]


def _of(names: tuple[str, ...] | None) -> str:
    return f"({','.join(names)})" if names else ""


class _Kind(Record):
    """Base of all kinds: its name, which tells them apart, is written even though each has it by default.

    Limits on what differs between scenarios say by `across` (``expected``, ``worst``, ``cvar`` with a `level`) what of
    the values in all of them is limited.
    """

    @model_serializer(mode="wrap")
    def _named(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = fields(self)
        first = {"network": written["network"]} if isinstance(self, _InNetwork) and "network" in written else {}
        return {"constraint": vars(self)["constraint"], **first, **written}

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        if "across" in type(self).model_fields:
            check_across(self)
        return self


class Memory(_Kind):
    """Memory of every device that has a limit.

    Attributes
    ----------
    rule : str
        ``weights``; ``weights+activations`` (of all layers hosted); ``weights+largest_activation`` (over all hosted).
    buffers : int
        So many buffers of every tensor that the device sends or receives are added.
    limits : mapping of str to float
        Bytes that replace the memory of the named devices (the share that the application may use).
    """

    constraint: Literal["memory"] = "memory"
    rule: MemoryRule = "weights"
    buffers: Count = 0
    limits: Frozen[str, Bytes] = FrozenDict()

    @property
    def label(self) -> str:
        return "memory"

    def limit_on(self, device: Device) -> float | None:
        """Return the bytes that it allows on a device; None: no limit."""
        return self.limits.get(device.name, device.memory)


class Deadline(_Kind):
    """Latency of a network (or of every network, each on its own) at most `limit`, or its own deadline.

    With a `share`, it is kept in scenarios that have this probability together.
    """

    constraint: Literal["deadline"] = "deadline"
    limit: Seconds | None = None
    network: Name | None = None
    across: Across = "expected"
    level: Level | None = None
    share: Fraction | None = None

    @model_validator(mode="after")
    def _check_share(self) -> Deadline:
        if self.share is not None and self.across != "expected":
            raise InputError("no share, as across says what counts", field="share", value=self.share)
        return self

    @property
    def label(self) -> str:
        name = f"deadline({self.network})" if self.network else "deadline"
        return across_label(self) + name + (f" in {100 * self.share:g} %" if self.share is not None else "")


class Bandwidth(_Kind):
    """Bytes per inference over a link at most `limit`; without limit: `Σ_a λ_a · traffic` at most its bandwidth."""

    constraint: Literal["bandwidth"] = "bandwidth"
    link: Name | None = None
    limit: Bytes | None = None

    @model_validator(mode="after")
    def _check(self) -> Bandwidth:
        if self.limit is not None and self.link is None:
            raise InputError("the name of a link, as there is a limit", field="link", value=None)
        return self

    @property
    def label(self) -> str:
        return f"bandwidth({self.link})" if self.link else "bandwidth"


class Energy(_Kind):
    """Joules per inference, of everything or of the named devices, at most `limit`."""

    constraint: Literal["energy"] = "energy"
    limit: Joules
    devices: tuple[Name, ...] | None = None
    across: Across = "expected"
    level: Level | None = None

    @property
    def label(self) -> str:
        return across_label(self) + "energy" + _of(self.devices)


class Cost(_Kind):
    """USD per inference at most `limit`."""

    constraint: Literal["cost"] = "cost"
    limit: Dollars
    across: Across = "expected"
    level: Level | None = None

    @property
    def label(self) -> str:
        return across_label(self) + "cost"


class Traffic(_Kind):
    """Bytes per inference, over all or the named links together, at most `limit`."""

    constraint: Literal["traffic"] = "traffic"
    limit: Bytes
    links: tuple[Name, ...] | None = None

    @property
    def label(self) -> str:
        return "traffic" + _of(self.links)


class Leakage(_Kind):
    """Summed sensitivity of exposed tensors at most `limit`."""

    constraint: Literal["leakage"] = "leakage"
    limit: Number

    @property
    def label(self) -> str:
        return "leakage"


class WorstLeakage(_Kind):
    """No tensor with a sensitivity above `limit` is exposed."""

    constraint: Literal["worst_leakage"] = "worst_leakage"
    limit: Number

    @property
    def label(self) -> str:
        return "worst_leakage"


class AccuracyLoss(_Kind):
    """Accuracy lost by modes, forms and networks, added up (a proxy), at most `limit`."""

    constraint: Literal["accuracy_loss"] = "accuracy_loss"
    limit: Number

    @property
    def label(self) -> str:
        return "accuracy_loss"


class MetricLimit(_Kind):
    """A metric that has no other constraint (period, batch_latency, or one of the problem's own) at most `limit`.

    `rounds` are those of ``batch_latency``.
    """

    constraint: Literal["metric"] = "metric"
    metric: Name
    limit: Number
    rounds: Rounds | None = None
    across: Across = "expected"
    level: Level | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_unit(cls, data: Any) -> Any:
        """Read a text with a unit as that of the metric."""
        if isinstance(data, dict) and isinstance(data.get("limit"), str) and isinstance(data.get("metric"), str):
            try:
                return data | {"limit": parse_quantity(data["limit"], about(data["metric"]).dimension)}
            except InputError as error:
                raise error.within(field="limit") from None
        return data

    @model_validator(mode="after")
    def _check_rounds(self) -> MetricLimit:
        if self.rounds is not None and self.metric != "batch_latency":
            raise InputError("no rounds, which go with 'batch_latency'", field="rounds", value=self.rounds)
        return self

    @property
    def label(self) -> str:
        return across_label(self) + (self.metric if self.metric in STANDARD else f"metric({self.metric})")


class Utilisation(_Kind):
    """`Σ_a λ_a · load_q,a` at most `limit` for every resource q."""

    constraint: Literal["utilisation"] = "utilisation"
    limit: Number = 1.0

    @property
    def label(self) -> str:
        return "utilisation"


class _InNetwork(_Kind):
    """Base of kinds about layers of one network, which a problem with a single network need not name."""

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, data: Any) -> Any:
        """Refuse a text where a list is expected, as where the network comes first."""
        field, example = ("allowed", "'conv1', ['pi']") if "allowed" in cls.model_fields else ("layers", "['a', 'b']")
        if isinstance(data, dict) and isinstance(data.get(field), str):
            form = f"{cls.__name__}({example}, network='net')"
            raise InputError(f"a list of names (in Python: {form})", field=field, value=data[field])
        return data

    def _label(self, separator: str, names: str) -> str:
        kind, network = vars(self)["constraint"], vars(self)["network"]
        return f"{kind}({network}{separator}{names})" if network else f"{kind}({names})"


class Placement(_InNetwork):
    """A layer runs on one of the `allowed` devices; one device pins it. The only network need not be named."""

    constraint: Literal["placement"] = "placement"
    layer: Name
    allowed: tuple[Name, ...]
    network: str = ""

    @property
    def label(self) -> str:
        return self._label(".", self.layer)


def _named_layer(value: Any) -> Any:
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, str) for one in value)
    if not isinstance(value, str) and not is_pair:
        raise InputError("the name of a layer, or a pair: the name of a network and that of its layer", value=value)
    return value


_Member = Annotated[Name | tuple[Name, Name], BeforeValidator(_named_layer)]


class _Together(_InNetwork):
    """Base of kinds about layers of one network or of several, named with that of their network there.

    Attributes
    ----------
    layers : tuple of str or (str, str)
        Layers of `network`, or the names of a network and one of its layers.
    network : str
        The only network need not be named.
    """

    layers: Annotated[tuple[_Member, ...], Field(min_length=1)]
    network: str = ""

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """The names of each layer's network and its own."""
        return tuple((self.network, one) if isinstance(one, str) else one for one in self.layers)

    @property
    def label(self) -> str:
        return self._label(":", ",".join(one if isinstance(one, str) else ".".join(one) for one in self.layers))


class Colocate(_Together):
    """All the layers run on one device."""

    constraint: Literal["colocate"] = "colocate"


class Separate(_Together):
    """Of the layers, at most `at_most` run on one device: by default, no two do."""

    constraint: Literal["separate"] = "separate"
    at_most: Annotated[Count, Field(ge=1)] = 1

    @property
    def label(self) -> str:
        return super().label + (f"<={self.at_most}" if self.at_most > 1 else "")


class Contiguous(_Kind):
    """Per network, what a device runs is convex in the graph and the quotient graph is acyclic.

    Of the named layers only, or of all; of the named network, or of every one.
    """

    constraint: Literal["contiguous"] = "contiguous"
    network: Name | None = None
    layers: Layers | None = None

    @model_validator(mode="after")
    def _check(self) -> Contiguous:
        if self.layers is not None and self.network is None:
            raise InputError("the name of a network, as layers are listed", field="network", value=None)
        return self

    @property
    def label(self) -> str:
        return f"contiguous({self.network})" if self.network else "contiguous"


class MonotoneTiers(_Kind):
    """No tensor goes back from cloud to edge or end, nor from edge to end."""

    constraint: Literal["monotone_tiers"] = "monotone_tiers"

    @property
    def label(self) -> str:
        return "monotone_tiers"


class MaxDevices(_Kind):
    """At most `limit` devices run layers."""

    constraint: Literal["max_devices"] = "max_devices"
    limit: Count

    @property
    def label(self) -> str:
        return "max_devices"


class MaxCuts(_Kind):
    """At most `limit` distinct (tensor, destination device) pairs are sent."""

    constraint: Literal["max_cuts"] = "max_cuts"
    limit: Count

    @property
    def label(self) -> str:
        return "max_cuts"


Constraint = (
    Memory
    | Deadline
    | Bandwidth
    | Energy
    | Cost
    | Traffic
    | Leakage
    | WorstLeakage
    | AccuracyLoss
    | MetricLimit
    | Utilisation
    | Placement
    | Colocate
    | Separate
    | Contiguous
    | MonotoneTiers
    | MaxDevices
    | MaxCuts
)

KINDS: dict[str, type[Constraint]] = {kind.model_fields["constraint"].default: kind for kind in get_args(Constraint)}


def _own_as_it_is(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, CustomConstraint) else read(value)


AnyConstraint = Annotated[Constraint, Field(discriminator="constraint"), WrapValidator(_own_as_it_is)]


def in_networks(specs: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    """Return a problem's constraints, each with the network that it is about: the only one where it names none.

    Raises
    ------
    InputError
        Where one must name its network, as there are several.
    """
    networks = [network.name for network in info.data.get("networks", ())]  # none where they are wrong themselves
    found = []
    for index, spec in enumerate(specs):
        if networks and isinstance(spec, _InNetwork) and not vars(spec)["network"]:
            if isinstance(spec, _Together) and not any(isinstance(one, str) for one in spec.layers):
                found.append(spec)
                continue
            if len(networks) > 1:
                raise InputError("", field=f"[{index}].network", problem=f"missing: one of {', '.join(networks)}")
            spec = spec.replace(network=networks[0])
        found.append(spec)
    return tuple(found)


@checked
def memory(rule: MemoryRule = "weights", *, buffers: int = 0, limits: dict[str, float] | None = None) -> Memory:
    """Return the memory constraint."""
    return Memory(rule=rule, buffers=buffers, limits=limits or {})
