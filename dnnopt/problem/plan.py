"""Plans: who runs where and, under scheduled execution, when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_data, write_text
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.numbers import counted
from dnnopt.base.records import Moment, Name, Record, check_known, check_unique
from dnnopt.base.tables import Described

if TYPE_CHECKING:
    from dnnopt.problem.problem import Problem


PLAN_KEYS = ("placement", "forms", "blocks", "schedule")


class Transfer(Record):
    """One hop of one copy of a tensor: it occupies `link` from `start`.

    Under unicast and per_edge `destination` is the device that the copy is for; under multicast it is left out.
    """

    network: Name
    tensor: Name
    link: Name
    start: Moment
    destination: Name | None = None


class Schedule(Record):
    """Start times (s): network -> layer -> start, and the transfers."""

    layers: Frozen[str, Frozen[str, Moment]]
    transfers: tuple[Transfer, ...] = ()


class Plan(Described, Record):
    """A plan.

    Attributes
    ----------
    placement : mapping
        Network -> layer -> device, or device in a mode (``nx:int8``) where it has several.
    forms : mapping
        Network -> tensor -> form in which it is sent; others are sent as they are.
    blocks : mapping
        Network -> names of the blocks that run; other layers run by themselves.
    schedule : Schedule, optional
        Needed under scheduled execution.
    """

    placement: Frozen[str, Frozen[str, Name]]
    forms: Frozen[str, Frozen[str, Name]] = FrozenDict()
    blocks: Frozen[str, tuple[Name, ...]] = FrozenDict()
    schedule: Schedule | None = None

    def __getitem__(self, key: str | tuple[str, str]) -> str:
        """Return the device of a layer: ``plan["conv1"]``, or ``plan["net", "conv1"]`` where several networks have it.

        Raises
        ------
        InputError
            If there is no such layer, or several networks have one of that name.
        """
        network, layer = key if isinstance(key, tuple) and len(key) == 2 else (None, key)
        network, layer = network if network is None else str(network), str(layer)
        check_known(network, self.placement, "plan", "network")
        searched = self.placement if network is None else {network: self.placement[network]}
        having = [name for name, placed in searched.items() if layer in placed]
        if not having:
            check_known(layer, {one for placed in searched.values() for one in placed}, "plan", "layer")
        if len(having) > 1:
            raise InputError(f"the network, too: {', '.join(map(repr, having))} have it", field="plan", value=layer)
        return self.placement[having[0]][layer]

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        counts = Counter(device for placed in self.placement.values() for device in placed.values())
        formed, fused = (sum(map(len, some.values())) for some in (self.forms, self.blocks))
        return {
            "plan": " + ".join(self.placement),
            "layers on each device": ", ".join(f"{device} {count}" for device, count in counts.most_common()),
            "forms": counted(formed, "tensor") + " in a form" if formed else "",
            "blocks": counted(fused, "block") if fused else "",
            "schedule": "with start times" if self.schedule else "",
        }

    def check(self, problem: Problem) -> None:
        """Raise InputError unless the plan places every layer of the problem, and nothing else, on a known device.

        Where a device has several modes, the plan must say which; a form must be one of its tensor, and blocks must be
        the profile's, without layers in common.
        """
        networks = {network.name: network for network in problem.networks}
        places = tuple(executor.name for executor in problem.platform.executors())
        for name, placed in self.placement.items():
            check_known(name, networks, "placement", "network")
            layers = {layer.name for layer in networks[name].layers}
            for key, device in placed.items():
                check_known(key, layers, f"placement.{name}", "layer")
                check_known(device, places, f"placement.{name}.{key}", "device")
        for name, forms in self.forms.items():
            check_known(name, networks, "forms", "network")
            known = {tensor.name: [form.name for form in tensor.forms] for tensor in networks[name].tensors}
            for key, form in forms.items():
                check_known(key, known, f"forms.{name}", "tensor")
                check_known(form, known[key], f"forms.{name}.{key}", "form")
        if self.blocks:
            self._check_blocks(problem)
        for network in problem.networks:
            placed = self.placement.get(network.name, {})
            for layer in network.layers:
                if layer.name not in placed:
                    raise InputError(
                        "", field=f"placement.{network.name}.{layer.name}", problem="missing: expected a device"
                    )

    def _check_blocks(self, problem: Problem) -> None:
        for network, names in self.blocks.items():
            check_known(network, [one.name for one in problem.networks], "blocks", "network")
            known = {block.name: block for block in problem.blocks if block.network == network}
            check_unique(names, f"blocks.{network}", "block")
            owner: dict[str, str] = {}
            for index, name in enumerate(names):
                field = f"blocks.{network}[{index}]"
                check_known(name, known, field, "block")
                for layer in known[name].layers:
                    if owner.setdefault(layer.name, name) != name:
                        expected = f"a block without layers of {owner[layer.name]!r}, which has {layer.name!r} too"
                        raise InputError(expected, field=field, value=name)


def as_plan(given: Any, problem: Problem) -> Plan:
    """Return a plan itself, that of a result or a file, or that of a placement.

    Parameters
    ----------
    given : Plan, Result, str, Path or mapping
        A mapping is from networks to layers to devices, or of one network from layers to devices.
    problem : Problem

    Raises
    ------
    InputError
        For anything else, for a result without a plan, and for a file whose plan does not fit the problem.
    """
    if isinstance(given, str | Path):
        return read_plan(given, problem)
    found = getattr(given, "plan", given)
    if isinstance(found, Mapping):
        whole = all(isinstance(placed, Mapping) for placed in found.values())
        found = Plan(placement=found if whole else {problem.networks[0].name: found})
    if isinstance(found, Plan):
        return found
    raise InputError("a Plan, a Result with one, a file's name, or a device for each layer", field="plan", value=found)


@checked
def read_plan(path: str | Path, problem: Problem | None = None, *, allow_large: bool = False) -> Plan:
    """Read the plan in a plan or result file, and check that it fits `problem` where one is given."""
    data = read_data(path, None, allow_large=allow_large)
    if "placement" in data and data["placement"] is None:
        raise InputError("", file=str(path), field="placement", problem="the file has no plan")
    return plan_in(data, problem, file=str(path))


def plan_in(data: Mapping[str, Any], problem: Problem | None = None, *, file: str = "") -> Plan:
    """Return the plan in the data of a plan or result file, which must fit `problem` where one is given."""
    plan = Plan.from_data({key: data[key] for key in PLAN_KEYS if data.get(key) is not None}, file=file)
    if problem is not None:
        try:
            plan.check(problem)
        except InputError as error:
            raise error.within(file=file) from None
    return plan


@checked
def write_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan file."""
    write_text(path, dump_json(plan.to_data()))
