"""A whole problem at another granularity: its networks in other pieces, its limits, times and metrics with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import fsum
from typing import Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted
from dnnopt.base.records import check_known
from dnnopt.problem.blocks import FusedBlock
from dnnopt.problem.constraints import Colocate, Contiguous, Placement, Separate
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.networks import Layer, Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Executor
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.profiles import Profile, layer_joules, layer_loss, layer_seconds
from dnnopt.problem.transforms.fusion import best_fusion
from dnnopt.problem.transforms.granularity import Granularity, in_pieces, merged_layers, with_layers
from dnnopt.problem.transforms.pieces import Lifted, Transformed, in_one_piece
from dnnopt.problem.variants import Variants

BEST = "best"


@dataclass(frozen=True)
class AtGranularity:
    """A problem at another granularity.

    Attributes
    ----------
    problem, original : Problem
    granularity : str
    networks : tuple of Transformed
        One for each network; in `problem` they have the names of the original ones.
    """

    problem: Problem
    original: Problem
    granularity: str
    networks: tuple[Transformed, ...]

    def remarks(self) -> Iterator[str]:
        """Yield what the granularity means: how many layers there are, what is computed twice, what parts are for."""
        for one in self.networks:
            before, after = len(one.original.layers), len(one.network.layers)
            twice = f"; {one.redundancy:.3g} of the FLOP are added" if one.redundancy > 1e-9 else ""
            yield f"{one.original.name} at {self.granularity}: {counted(after, 'layer')}, for {before}{twice}."
        divides = any(len(parts) > 1 for one in self.networks for parts in one.parts.values())
        if divides and self.problem.execution == "sequential":
            yield (
                "Parts of a layer run one after the other under sequential execution, so that they shorten no latency; "
                "under scheduled execution they run side by side."
            )

    @checked
    def spread(self, devices: Sequence[str] | None = None) -> Plan:
        """Return the plan that runs the k-th part of each layer on the k-th device, and whole layers on the first.

        Parameters
        ----------
        devices : sequence of str, optional
            None: all. Where there are more parts, the first device follows the last one.

        Raises
        ------
        InputError
            For devices that there are not.
        """
        known = self.problem.platform.device_names()
        used = list(known if devices is None else devices)
        for name in used:
            check_known(name, known, "devices", "device")
        if not used:
            raise InputError("at least one device", field="devices", value=used)
        placement = {}
        for one in self.networks:
            turn = {name: one.parts[member].index(name) for name, members in one.members.items() for member in members}
            placement[one.original.name] = {name: used[turn.get(name, 0) % len(used)] for name in one.members}
        return Plan(placement=placement)

    def lift(self, plan: Plan) -> dict[str, Lifted]:
        """Return what a plan means for the original problem, network by network.

        Raises
        ------
        InputError
            If the plan is not one of `problem`.
        """
        plan.check(self.problem)
        return {one.original.name: one.lift(plan.placement[one.original.name]) for one in self.networks}


@checked
def at_granularity(problem: AnyProblem, granularity: str) -> AtGranularity:
    """Return a problem whose networks are in other pieces.

    Constraints on a layer hold for all its parts, or for what it is a part of. Measured times, energies and losses of
    accuracy are divided as the FLOP are, and added up where layers are merged. Parts of a layer (`rows`, ...) are made
    of operators, and then merged as at the granularity ``layer``. Under `parallel` execution, where a device does
    everything at once, the parts of a layer are on devices of their own. Blocks with costs of their own stay where they
    are made of whole new layers. (Under `sequential` execution, where times add
    up, parts shorten nothing.)

    Parameters
    ----------
    problem : Problem, str or Path
        With networks at the granularity of operators, as `read_onnx` and the library give them.
    granularity : str
        ``operator``, ``layer``, ``block``; ``rows:4``, ``channels:4``, ``paired:4``, ``batch:4`` (so many parts; or
        shares by devices, each of which has its own: ``rows:pi=1,nx=4``), ``grid:2x2``, ``fused:2x2``.

    Returns
    -------
    AtGranularity

    Raises
    ------
    InputError
        For another granularity; if no network can be divided so; for constraints of the user's own, layers that must be
        apart and are merged, and under `parallel` execution more parts than devices.
    """
    original = as_problem(problem)
    wanted = Granularity.of(granularity)
    homes = isinstance(wanted.parts, Mapping)
    for name in wanted.parts if isinstance(wanted.parts, Mapping) else ():
        known = original.platform.device_names()
        if name not in known:
            raise InputError(f"shares of devices: {', '.join(known)}", field="granularity", value=name)
    transformed, problems = [], []
    for network in original.networks:
        try:
            transformed.append(_at(network, original, granularity))
        except InputError as error:
            problems.append(error)
            transformed.append(in_one_piece(network))
    if len(problems) == len(original.networks):
        raise InputError("", field="granularity", problem=f"{granularity}: {problems[0].problem or problems[0]}")
    return _Change(original, transformed, homes).result(granularity)


def with_merged(original: Problem, groups: Mapping[str, Sequence[Sequence[str]]]) -> AtGranularity:
    """Return a problem in which layers are merged, and cost what they do one by one.

    Parameters
    ----------
    original : Problem
    groups : mapping
        Network -> layers in groups; every layer is in one.
    """
    merged = [merged_layers(network, groups[network.name]) for network in original.networks]
    return _Change(original, merged, homes=False, one_by_one=True).result("merged")


@checked
def granularities(problem: AnyProblem) -> Variants:
    """Return the granularities of a problem as variants, of which `best_of` finds the best plan of all.

    They are ``layer``, ``block`` and, for n devices, ``rows:n``, ``channels:n`` and ``fused:2x2``; those that do not
    apply are left out.

    Raises
    ------
    InputError
        If none applies.
    """
    original = as_problem(problem)
    count = len(original.platform.devices)
    found: dict[str, Problem] = {}
    error: InputError | None = None
    for granularity in ("layer", "block", f"rows:{count}", f"channels:{count}", "fused:2x2"):
        try:
            found[granularity] = at_granularity(original, granularity).problem
        except InputError as problem_there:
            error = error or problem_there
    if not found and error is not None:
        raise error
    return Variants(problems=found, name=original.name)


def _at(network: Network, problem: Problem, granularity: str) -> Transformed:
    """Return a network at a granularity; in tiles, it is fused where all devices together are best off."""
    wanted = Granularity.of(granularity)
    if wanted.kind == "fused" and isinstance(wanted.parts, tuple):
        best = best_fusion(network, problem.platform, [wanted.parts], profile=problem.profile)
        if any(run.grid != (1, 1) for run in best.runs):
            return with_layers(best.transformed())
    return in_pieces(network, granularity)


class _Change:
    """Says everything that a problem says of its layers of the new ones."""

    def __init__(
        self, original: Problem, transformed: list[Transformed], homes: bool, *, one_by_one: bool = False
    ) -> None:
        self.original, self.homes, self.one_by_one = original, homes, one_by_one
        self.networks = {one.original.name: one for one in transformed}
        self.parts = {name: one.parts for name, one in self.networks.items()}

    def result(self, granularity: str) -> AtGranularity:
        original = self.original
        networks = tuple(
            one.network.model_copy(update={"name": name, "provenance": one.original.provenance})
            for name, one in self.networks.items()
        )
        limits = [
            new for index, one in enumerate(original.subject_to) for new in self._limit(one, f"subject_to[{index}]")
        ]
        if original.execution == "parallel":
            limits += self._apart()
        if self.homes:
            limits += self._at_home()
        shared = tuple(
            one.replace(
                layers=tuple(dict.fromkeys((net, part) for net, name in one.layers for part in self.parts[net][name]))
            )
            for one in original.shared_weights
        )
        problem = original.replace(
            networks=networks,
            subject_to=tuple(limits),
            profile=self._profile(),
            metrics=tuple(self._metric(metric, f"metrics[{k}]") for k, metric in enumerate(original.metrics)),
            shared_weights=shared,
        )
        return AtGranularity(problem, original, granularity, tuple(self.networks.values()))

    def _of(self, limit: Any, members: Iterable[tuple[str, str]]) -> list[Any]:
        """Return the parts of layers, each as the constraint may name it."""
        parts = dict.fromkeys((net, part) for net, name in members for part in self.parts[net][name])
        return [part if net == limit.network else (net, part) for net, part in parts]

    def _limit(self, limit: Any, field: str) -> list[Any]:
        """Return a constraint for the new layers."""
        if isinstance(limit, CustomConstraint):
            raise InputError(
                "no constraint of your own, which is about the original layers", field=field, value=limit.label
            )
        if isinstance(limit, Placement):
            return [limit.replace(layer=part) for part in self.parts[limit.network][limit.layer]]
        if isinstance(limit, Colocate):
            together = self._of(limit, limit.members)
            return [limit.replace(layers=tuple(together))] if len(together) > 1 else []
        if isinstance(limit, Separate):
            return self._separate(limit, field)
        if isinstance(limit, Contiguous) and limit.layers is not None and limit.network is not None:
            named = self._of(limit, [(limit.network, name) for name in limit.layers])
            return [limit.replace(layers=tuple(named))]
        return [limit]

    def _separate(self, limit: Separate, field: str) -> list[Separate]:
        """Return that parts of different layers are apart; those of one layer may be together."""
        parts = [self._of(limit, [member]) for member in limit.members]
        if all(len(one) == 1 for one in parts):
            alone = tuple(one[0] for one in parts)
            merged = len(alone) - len(set(alone))
            if merged and limit.at_most == 1:
                raise InputError(
                    "layers that this granularity does not merge, as they must be apart", field=field, value=limit.label
                )
            return [limit.replace(layers=tuple(dict.fromkeys(alone)))]
        if limit.at_most > 1:
            return [limit.replace(layers=tuple(dict.fromkeys(part for one in parts for part in one)))]
        return [
            limit.replace(layers=pair) for first, second in combinations(parts, 2) for pair in product(first, second)
        ]

    def _divided(self) -> dict[str, list[tuple[str, ...]]]:
        """Return, for each network, what layers are divided into: each set of parts once."""
        return {
            name: list(dict.fromkeys(parts for parts in self.parts[name].values() if len(parts) > 1))
            for name in self.networks
        }

    def _apart(self) -> list[Separate]:
        """Return that the parts of a layer are on devices of their own."""
        count = len(self.original.platform.devices)
        found = []
        for name, divided in self._divided().items():
            for parts in divided:
                if len(parts) > count:
                    expected = f"at most {count} parts, as many as devices: under parallel execution each has its own"
                    raise InputError(expected, field="granularity", value=len(parts))
                found.append(Separate(layers=parts, network=name))
        return found

    def _at_home(self) -> list[Placement]:
        """Return that parts are on the devices that they are named after."""
        names = {part for divided in self._divided().values() for parts in divided for part in parts}
        return [
            Placement(layer=layer.name, allowed=(layer.name.rpartition("#")[2],), network=name)
            for name, one in self.networks.items()
            for layer in one.network.layers
            if layer.name in names
        ]

    def _profile(self) -> Profile:
        """Return what was measured, for the new layers: added up, and divided as the FLOP are."""
        profile = self.original.profile
        executors = self.original.platform.executors()
        loses = profile.loss or any(executor.mode.loss for executor in executors)
        tables: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {"time": {}, "energy": {}, "loss": {}}
        for name, one in self.networks.items():
            if one.network is one.original:
                for table in tables:
                    if name in getattr(profile, table):
                        tables[table][name] = {
                            key: dict(values) for key, values in getattr(profile, table)[name].items()
                        }
                continue
            network = one.original
            layers = {layer.name: layer for layer in network.layers}
            for part, shares in one.members.items():
                members = [(layers[member], share) for member, share in shares.items()]
                found = self._measured(network, members, executors, bool(loses))
                for table, values in found.items():
                    if values:
                        tables[table].setdefault(name, {})[part] = values
        return profile.replace(
            time=tables["time"], energy=tables["energy"], loss=tables["loss"], blocks=tuple(self._blocks())
        )

    def _blocks(self) -> Iterator[FusedBlock]:
        """Yield the blocks that are made of whole new layers, with their names; others are left out."""
        for named in self.original.blocks:
            one, layers = self.networks[named.network], {layer.name for layer in named.layers}
            if one.network is one.original:
                yield named.block
                continue
            parts = {part for layer in layers for part in one.parts[layer]}
            undivided = all(len(one.parts[layer]) == 1 for layer in layers)
            if undivided and all(layers >= set(one.members[part]) for part in parts):
                order = tuple(layer.name for layer in one.network.layers if layer.name in parts)
                yield named.block.replace(layers=order, name=named.name)

    def _measured(
        self, network: Network, members: list[tuple[Layer, float]], executors: tuple[Executor, ...], loses: bool
    ) -> dict[str, dict[str, float | None]]:
        profile = self.original.profile
        timed, metered = (
            (self.one_by_one and len(members) > 1)
            or any(layer.name in getattr(profile, table).get(network.name, {}) for layer, _ in members)
            for table in ("time", "energy")
        )
        times: dict[str, float | None] = {}
        energies: dict[str, float | None] = {}
        losses: dict[str, float | None] = {}
        for executor in executors:
            seconds = [layer_seconds(profile, network, layer, executor) for layer, _ in members]
            runs = None not in seconds
            if timed:
                times[executor.name] = _sum(members, seconds) if runs else None
            if metered and runs:
                joules = [
                    layer_joules(profile, network, layer, executor, time or 0.0)
                    for (layer, _), time in zip(members, seconds, strict=True)
                ]
                energies[executor.name] = _sum(members, joules)
            if loses and runs:
                losses[executor.name] = _sum(
                    members, [layer_loss(profile, network, layer, executor) for layer, _ in members]
                )
        return {"time": times, "energy": energies, "loss": losses}

    def _metric(self, metric: Any, field: str) -> Any:
        """Return a metric of the problem's own, for the new layers."""
        layers: dict[str, dict[str, dict[str, float]]] = {}
        for name, table in metric.layers.items():
            for part, shares in self.networks[name].members.items():
                values: dict[str, float] = {}
                for member, share in shares.items():
                    for device, value in table.get(member, {}).items():
                        values[device] = values.get(device, 0.0) + share * value
                if values:
                    layers.setdefault(name, {})[part] = values
        exposed: dict[str, dict[str, float]] = {}
        for name, table in metric.exposed.items():
            kept = {tensor.name for tensor in self.networks[name].network.tensors}
            for tensor, value in table.items():
                if tensor in kept:
                    exposed.setdefault(name, {})[tensor] = value
                elif any(other.startswith((f"{tensor}#", f"{tensor}.")) for other in kept):
                    raise InputError("a tensor that is not divided", field=f"{field}.exposed.{name}", value=tensor)
        return metric.replace(layers=layers, exposed=exposed)


def _sum(members: list[tuple[Layer, float]], values: Iterable[float | None]) -> float:
    return fsum(share * (value or 0.0) for (_, share), value in zip(members, values, strict=True))
