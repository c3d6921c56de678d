"""Problem: networks, platform, times and energies, how execution and communication are charged, goal and limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache, partial
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import data_text, read_data, write_text
from dnnopt.base.numbers import counted
from dnnopt.base.records import Record, check_known, check_unique
from dnnopt.base.sizes import check_layers_and_devices
from dnnopt.base.tables import Described
from dnnopt.problem import library
from dnnopt.problem.blocks import NamedBlock, named_blocks
from dnnopt.problem.constraints import AnyConstraint, Constraint, in_networks
from dnnopt.problem.custom import CustomConstraint, Metric
from dnnopt.problem.entries import network_data, platform_data
from dnnopt.problem.geometry import without_geometry
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.networks import Network, SharedAcross, across_network
from dnnopt.problem.objectives import Term, as_terms
from dnnopt.problem.platforms import Platform, read_platform
from dnnopt.problem.profiles import Profile, coding_seconds, layer_seconds
from dnnopt.problem.provenance import without_provenance
from dnnopt.problem.scenarios import Scenario, check_scenarios

Execution = Literal["sequential", "parallel", "scheduled", "pipelined", "call"]
Transport = Literal["unicast", "multicast", "per_edge"]
_SENSITIVITY = (
    "a number from 0 to 1 (by '--sensitivity input=1 --decay 0.9' or '--sensitivity FILE' on the command line, by "
    "'sensitivity_decay' in a problem file, by 'with_sensitivity' in Python)"
)


def _as_sequence(value: Any) -> Any:
    return (value,) if isinstance(value, Network | str) else value


class Problem(Described, Record):
    """What runs, where it may run, what is minimised and what must hold.

    Parameters
    ----------
    networks : Network, str, or a sequence of them
        A text is the name of a network in the library.
    platform : Platform or str
    execution : {"sequential", "parallel", "scheduled", "pipelined", "call"}
        What latency means (see ``docs/model.md``).
    minimize : Term, sum of terms, or list of either
        Terms of one priority add up (of a list: where they have one unit); `in_order` gives them priorities.
    subject_to : sequence of Constraint
        What every plan must satisfy.
    transport : {"unicast", "multicast", "per_edge"}
        How copies are charged: per (tensor, destination device), per (tensor, link), or per edge.
    profile : Profile
        Measured times and energies; the roofline serves where there is none.
    metrics : sequence of Metric
        Metrics of the problem's own, for terms and limits to name.
    shared_weights : sequence of SharedAcross
        Weights that several layers read, beside those that the networks list (`all_shared_weights` has both).
    scenarios : sequence of Scenario
        How bandwidths, latencies and speeds vary; none: they do not.
    name, provenance : str

    Raises
    ------
    InputError
        With the path of the field that is wrong, its value and what was expected.
    """

    networks: Annotated[
        tuple[Annotated[Network, BeforeValidator(lambda entry: network_data(entry))], ...],
        BeforeValidator(_as_sequence),
        Field(min_length=1),
    ]
    platform: Annotated[Platform, BeforeValidator(platform_data)]
    execution: Execution
    minimize: Annotated[tuple[Term, ...], BeforeValidator(as_terms), Field(min_length=1)]
    subject_to: Annotated[tuple[AnyConstraint, ...], AfterValidator(in_networks)] = ()
    transport: Transport = "unicast"
    profile: Profile = Profile()
    metrics: tuple[Metric, ...] = ()
    name: str = ""
    provenance: str = ""
    shared_weights: tuple[SharedAcross, ...] = ()
    scenarios: tuple[Scenario, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            networks: Network | str | Sequence[Network | str],
            platform: Platform | str,
            execution: Execution,
            minimize: Term | Sequence[Term | tuple[Term, ...]],
            subject_to: Sequence[Constraint | CustomConstraint] = (),
            transport: Transport = "unicast",
            profile: Profile = ...,
            metrics: Sequence[Metric] = (),
            name: str = "",
            provenance: str = "",
            shared_weights: Sequence[SharedAcross] = (),
            scenarios: Sequence[Scenario] = (),
        ) -> None: ...

    @model_validator(mode="after")
    def _check(self) -> Problem:
        check_unique((network.name for network in self.networks), "networks", "network")
        own = tuple(metric.name for metric in self.metrics)
        devices = set(self.platform.device_names())
        for index, network in enumerate(self.networks):
            field = f"networks[{index}]"
            check_known(network.source, devices, f"{field}.source", "device")
            check_known(network.sink, devices, f"{field}.sink", "device")
            for position, tensor in enumerate(network.tensors):
                check_known(tensor.source, devices, f"{field}.tensors[{position}].source", "device")
        self._check_shared_weights()
        check_scenarios(self.scenarios, [link.name for link in self.platform.links], self.platform.device_names())
        if self.execution == "call":
            self._check_calls()
        try:
            self.profile.check(self.networks, self.platform, self.execution)
        except InputError as error:
            raise error.within(field="profile") from None
        executors = self.platform.executors()
        for a, network in enumerate(self.networks):
            self._check_forms(network, f"networks[{a}]")
            for layer in network.layers:
                for executor in executors:
                    layer_seconds(self.profile, network, layer, executor)
        self._check_execution()
        check_unique((metric.name for metric in self.metrics), "metrics", "metric")
        for index, metric in enumerate(self.metrics):
            self._check_metric(metric, f"metrics[{index}]")
        for index, term in enumerate(self.minimize):
            check_known(term.metric, (*STANDARD, *own), f"minimize[{index}].metric", "metric")
            self._check_names(term, f"minimize[{index}]")
            self._check_exposure(term.metric, f"minimize[{index}].metric")
        for index, constraint in enumerate(self.subject_to):
            if constraint.constraint == "metric":
                limited = (*own, *(name for name, metric in STANDARD.items() if metric.limit == "metric"))
                check_known(constraint.metric, limited, f"subject_to[{index}].metric", "metric of the problem's own")
                self._check_exposure(constraint.metric, f"subject_to[{index}].metric")
            self._check_names(constraint, f"subject_to[{index}]")
            self._check_exposure(constraint.constraint, f"subject_to[{index}].constraint")
            self._check_needs(constraint.constraint, f"subject_to[{index}].constraint", constraint)
        return self

    def to_data(self) -> dict[str, Any]:
        """Return plain data, ready for JSON.

        Raises
        ------
        InputError
            If there is a constraint of the user's own, which is code.
        """
        for index, constraint in enumerate(self.subject_to):
            if isinstance(constraint, CustomConstraint):
                expected = "constraints that a file can hold; one of your own lives in Python alone"
                raise InputError(expected, field=f"subject_to[{index}]", value=constraint.label)
        return super().to_data()

    @property
    def title(self) -> str:
        """Its name, or those of its networks."""
        return self.name or " + ".join(network.name for network in self.networks)

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        priorities = sorted({term.priority for term in self.minimize})
        sums = (" + ".join(term.label for term in self.minimize if term.priority == one) for one in priorities)
        return {
            "problem": self.title,
            "layers": counted(sum(len(network.layers) for network in self.networks), "layer"),
            "devices": counted(len(self.platform.devices), "device"),
            "execution": self.execution,
            "objective": f"minimise {', then '.join(sums)}",
            "constraints": counted(len(self.subject_to), "constraint") if self.subject_to else "",
        }

    def summary(self) -> str:
        """Return what kind of problem it is, in lines: dimensions, sizes, treewidth, best known value."""
        from dnnopt.studies.features import summary_of

        return summary_of(self)

    def solve(self, **options: Any) -> Any:
        """Solve it; the options, the Result and the errors are those of `dnnopt.solve`."""
        from dnnopt.methods.solving import solve

        return solve(self, **options)

    @property
    def is_data(self) -> bool:
        """Whether a file can hold it: not where there is a constraint of the user's own, which is code."""
        return not any(isinstance(constraint, CustomConstraint) for constraint in self.subject_to)

    @property
    def checksum(self) -> str:
        """SHA-256 of all that the problem says, networks and platform too, but for provenance and layers' geometry."""
        data = without_provenance(without_geometry(self.to_data()))
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def network(self, name: str) -> Network:
        """Return the network of that name."""
        return next(network for network in self.networks if network.name == name)

    @property
    def can_lose_accuracy(self) -> bool:
        """Whether a network, a mode, the profile or a form says that accuracy is lost."""
        forms = (form for network in self.networks for tensor in network.tensors for form in tensor.forms)
        modes = (mode for device in self.platform.devices for mode in device.modes)
        lost = any(one.loss > 0 for some in (self.networks, modes, forms) for one in some)
        return lost or bool(self.profile.loss)

    @property
    def blocks(self) -> tuple[NamedBlock, ...]:
        """The profile's blocks, with their names."""
        return named_blocks(self.profile.blocks, self.networks)

    def all_shared_weights(self) -> tuple[SharedAcross, ...]:
        """Return the weights that several layers read: those that the networks list, then the problem's own.

        Where there are several networks, a network's own are called ``NETWORK.NAME``.
        """
        return self._shared_by_networks() + self.shared_weights

    def _shared_by_networks(self) -> tuple[SharedAcross, ...]:
        alone = len(self.networks) == 1
        return tuple(
            across_network(shared, network.name, shared.name if alone else f"{network.name}.{shared.name}")
            for network in self.networks
            for shared in network.shared_weights
        )

    def source_of(self, network: Network, tensor_source: str | None) -> str | None:
        """Return the device where a raw input of `network` starts; None: it is everywhere."""
        return tensor_source if tensor_source is not None else network.source

    def _check_execution(self) -> None:
        """Check that nothing is asked for of which the execution does not tell what it means."""
        listed: list[tuple[str, Any]] = [(f"minimize[{k}].metric", term) for k, term in enumerate(self.minimize)]
        listed += [(f"subject_to[{k}].metric", entry) for k, entry in enumerate(self.subject_to)]
        for field, record in listed:
            if getattr(record, "metric", "") == "batch_latency" and self.execution != "sequential":
                expected = f"a metric under {self.execution} execution; batch_latency is one under sequential execution"
                raise InputError(expected, field=field, value="batch_latency")
        if self.execution in ("sequential", "pipelined"):
            return
        terms = [(f"minimize[{k}]", term) for k, term in enumerate(self.minimize)]
        asked = [where for where, term in terms if term.metric == "latency" or term.idle]
        asked += [f"subject_to[{k}]" for k, entry in enumerate(self.subject_to) if entry.constraint == "deadline"]
        if self.scenarios and (asked or self.execution != "parallel"):
            where = f"as {asked[0]} asks for the latency " if asked else ""
            expected = f"no scenarios, {where}under {self.execution} execution"
            raise InputError(expected, field="scenarios", value=[one.name for one in self.scenarios])
        for a, network in enumerate(self.networks):
            for v, layer in enumerate(network.layers):
                if layer.reach < 1 and asked:
                    expected = f"1, as {asked[0]} asks for the latency under {self.execution} execution"
                    raise InputError(expected, field=f"networks[{a}].layers[{v}].reach", value=layer.reach)
            for t, tensor in enumerate(network.tensors):
                if tensor.forms and self.execution != "parallel":
                    expected = f"no forms under {self.execution} execution"
                    where = f"networks[{a}].tensors[{t}].forms"
                    raise InputError(expected, field=where, value=[form.name for form in tensor.forms])

    def _check_forms(self, network: Network, field: str) -> None:
        """Check every device that a form of a tensor names, and that it is known how long coding takes."""
        devices = self.platform.device_names()
        for t, tensor in enumerate(network.tensors):
            for f, form in enumerate(tensor.forms):
                for side in ("encode", "decode"):
                    where, coding = f"{field}.tensors[{t}].forms[{f}].{side}", getattr(form, side)
                    for name in coding if isinstance(coding, dict) else ():
                        check_known(name, devices, where, "device")
                    for device in self.platform.devices:
                        coding_seconds(coding, device, where)

    def _check_shared_weights(self) -> None:
        of_networks = {shared.name for shared in self._shared_by_networks()}
        check_unique((shared.name for shared in self.shared_weights), "shared_weights", "shared-weights")
        for index, shared in enumerate(self.shared_weights):
            field = f"shared_weights[{index}]"
            if shared.name in of_networks:
                expected = "a name other than those of the networks' shared weights"
                raise InputError(expected, field=f"{field}.name", value=shared.name)
            check_unique(shared.layers, f"{field}.layers", "layer")
            for position, (network, layer) in enumerate(shared.layers):
                check_known(network, [one.name for one in self.networks], f"{field}.layers[{position}][0]", "network")
                check_known(layer, self._layer_names(network), f"{field}.layers[{position}][1]", "layer")

    def _check_calls(self) -> None:
        """Check that every transmission is part of a call: that of its sender, of its receiver, or of both."""
        if len(self.networks) > 1:
            raise InputError(
                "one network under call execution", field="networks", value=[n.name for n in self.networks]
            )
        network = self.networks[0]
        calling = {device.name for device in self.platform.devices if not device.pool}
        pinned = [("source", network.source), ("sink", network.sink)]
        pinned += [(f"tensors[{position}].source", tensor.source) for position, tensor in enumerate(network.tensors)]
        for field, device in pinned:
            if device in calling:
                raise InputError("a pool, under call execution", field=f"networks[0].{field}", value=device)
        ends = {link.name: {link.sender, link.receiver} & calling for link in self.platform.links}
        for index, route in enumerate(self.platform.routes):
            for position, name in enumerate(route.links):
                if not ends[name] or not ends[name] <= {route.origin, route.destination}:
                    raise InputError(
                        f"under call execution, a link at {route.origin} or {route.destination} (one that is no pool), "
                        "and at no third device that runs calls",
                        field=f"platform.routes[{index}].links[{position}]",
                        value=name,
                    )

    def _check_names(self, record: Any, field: str) -> None:
        """Check every device, link, network and layer that a term or a constraint names."""
        devices = self.platform.device_names()
        links = tuple(link.name for link in self.platform.links)
        networks = tuple(network.name for network in self.networks)
        network = getattr(record, "network", None) or None
        check_known(network, networks, f"{field}.network", "network")
        members = getattr(record, "members", ())
        check_unique(members, f"{field}.layers", "layer")
        for position, (owner, layer) in enumerate(members):
            check_known(owner, networks, f"{field}.layers[{position}]", "network")
            check_known(layer, self._layer_names(owner), f"{field}.layers[{position}]", "layer")
        check_known(getattr(record, "link", None), links, f"{field}.link", "link")
        for attribute, known, what in (
            ("devices", devices, "device"),
            ("allowed", dict.fromkeys((*devices, *(one.name for one in self.platform.executors()))), "device"),
            ("links", links, "link"),
            ("layers", self._layer_names(network), "layer"),
        ):
            names = () if members and attribute == "layers" else getattr(record, attribute, None) or ()
            check_unique(names, f"{field}.{attribute}", what)
            for position, name in enumerate(names):
                check_known(name, known, f"{field}.{attribute}[{position}]", what)
        if getattr(record, "layer", None) is not None:
            check_known(record.layer, self._layer_names(network), f"{field}.layer", "layer")
        for name in getattr(record, "limits", {}):
            check_known(name, devices, f"{field}.limits", "device")

    def _check_metric(self, metric: Metric, field: str) -> None:
        """Check every network, layer, device, link and tensor that a metric names."""
        devices = self.platform.device_names()
        networks = tuple(network.name for network in self.networks)
        for name, layers in metric.layers.items():
            check_known(name, networks, f"{field}.layers", "network")
            for layer, places in layers.items():
                check_known(layer, self._layer_names(name), f"{field}.layers.{name}", "layer")
                for device in places:
                    check_known(device, devices, f"{field}.layers.{name}.{layer}", "device")
        for name in metric.links:
            check_known(name, tuple(link.name for link in self.platform.links), f"{field}.links", "link")
        for name, tensors in metric.exposed.items():
            check_known(name, networks, f"{field}.exposed", "network")
            known = tuple(tensor.name for tensor in self.network(name).tensors)
            for tensor in tensors:
                check_known(tensor, known, f"{field}.exposed.{name}", "tensor")
            self._check_exposure("leakage", f"{field}.exposed")

    def _layer_names(self, network: str | None) -> frozenset[str]:
        return frozenset() if network is None else self.network(network).layer_names

    def _check_exposure(self, metric: str, field: str) -> None:
        """Check that it is known what is exposed, if a metric reads it."""
        if not about(metric).exposure:
            return
        for index, device in enumerate(self.platform.devices):
            if device.trusted is None:
                raise _missing(metric, field, f"platform.devices[{index}].trusted", "true or false")
        for index, link in enumerate(self.platform.links):
            if link.trusted is None:
                raise _missing(metric, field, f"platform.links[{index}].trusted", "true or false")
        for a, network in enumerate(self.networks):
            for index, tensor in enumerate(network.tensors):
                if tensor.sensitivity is None:
                    where = f"networks[{a}].tensors[{index}].sensitivity"
                    raise _missing(metric, field, where, _SENSITIVITY)

    def _check_needs(self, kind: str, field: str, record: Any) -> None:
        """Check that the data which a constraint reads are there."""
        missing = partial(_missing, kind, field)
        if kind == "memory":
            for a, network in enumerate(self.networks):
                for index, layer in enumerate(network.layers):
                    if layer.weights is None:
                        raise missing(f"networks[{a}].layers[{index}].weights", "bytes")
                    if layer.activations is None and record.rule != "weights":
                        raise missing(f"networks[{a}].layers[{index}].activations", "bytes")
        elif kind == "monotone_tiers":
            for index, device in enumerate(self.platform.devices):
                if device.tier is None:
                    raise missing(f"platform.devices[{index}].tier", "'end', 'edge' or 'cloud'")
        elif kind == "utilisation" or (kind == "bandwidth" and record.limit is None):
            for a, network in enumerate(self.networks):
                if network.rate is None:
                    raise missing(f"networks[{a}].rate", "requests per second (--rate on the command line)")
        elif kind == "deadline" and record.limit is None:
            for a, network in enumerate(self.networks):
                if record.network in (None, network.name) and network.deadline is None:
                    raise missing(f"networks[{a}].deadline", "seconds (the constraint has no limit of its own)")


def _missing(kind: str, field: str, where: str, what: str) -> InputError:
    return InputError("", field=where, problem=f"missing: {kind!r} ({field}) needs {what}")


@checked
def read_problem(path: str | Path | Traversable, *, allow_large: bool = False) -> Problem:
    """Read a problem file; networks and platforms may be named, and are then the library's."""
    return problem_of(read_data(path, "problem", allow_large=allow_large), str(path), allow_large)


def problem_of(data: dict[str, Any], file: str, allow_large: bool) -> Problem:
    """Return the problem that a file's data say; other files that they name are beside it, or here if it is a pipe."""
    listed = data.get("networks")
    networks = list(listed) if isinstance(listed, list) else []
    folder = Path(file).parent if Path(file).is_file() else Path()
    for index, network in enumerate(networks):
        if isinstance(network, dict) and "onnx" in network:
            try:
                networks[index] = network_data(network, folder, allow_large=allow_large)
            except InputError as error:
                raise error.within(file=file, field=f"networks[{index}]") from None
    if isinstance(listed, list):
        data = data | {"networks": networks}
    on = data.get("platform")
    if isinstance(on, str) and on.endswith((".json", ".json.gz")):
        try:
            data = data | {"platform": read_platform(folder / on, allow_large=allow_large).to_data()}
        except (InputError, OSError) as error:
            raise InputError("", file=file, field="platform", problem=str(error)) from None
    check_layers_and_devices(networks, data.get("platform"), file, allow_large)
    return Problem.from_data(data, file=file)


@checked
def write_problem(problem: Problem, path: str | Path) -> None:
    """Write a problem file with its networks and platform in full."""
    write_text(path, problem_text(problem))


def problem_text(problem: Problem) -> str:
    """Return the text of a problem file."""
    return data_text("problem", problem.to_data())


@checked
@cache
def load(name: str) -> Problem:
    """Return the library's problem of that name, such as ``core/017``.

    Raises
    ------
    InputError
        If there is none.
    """
    path = library.entry("problems", name)
    if path is None:
        raise library.unknown("problem", name, library.names("problems"))
    return read_problem(path)


AnyProblem = Annotated[Problem | str | Path, "a Problem, the name of one in the library, or a file's"]


def as_problem(given: AnyProblem) -> Problem:
    """Return a problem itself, the library's of that name, or that of a file.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(given, Problem):
        return given
    if not isinstance(given, str | Path):
        raise InputError("a Problem, the name of one in the library, or a file's", field="problem", value=given)
    is_file = isinstance(given, Path) or given.endswith((".json", ".gz")) or Path(given).is_file()
    return read_problem(given) if is_file else load(given)
