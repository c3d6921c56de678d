"""What formulations and all other parts look at, asked of themselves: never written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args

from dnnopt.base.errors import InputError
from dnnopt.compiled import evaluator, presolve, symmetry
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import Escape, ObjectiveTerm
from dnnopt.compiled.logical import KINDS
from dnnopt.compiled.scope import Scope
from dnnopt.formulations import registry
from dnnopt.methods.bounds import capped_loads, chains, contiguous, critical_paths, escapes, loads, merged_devices
from dnnopt.methods.exact import EXACT
from dnnopt.methods.programs import lagrangian
from dnnopt.problem import constraints as c
from dnnopt.problem.blocks import FusedBlock
from dnnopt.problem.custom import LinkCharge, Metric
from dnnopt.problem.forms import Form
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import Layer, Network, SharedAcross, Tensor
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Device, Link, Platform, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.scenarios import Scenario

_TERMS: dict[str, Term] = {
    **{name.replace("_", " "): Term(metric=name) for name in STANDARD},
    "idle energy": Term(metric="energy", idle=True),
    "own metric": Term(metric="own"),
    "maximum": Term(metric="energy", over="max"),
}
# What the fields are that a constraint must have, and further ones that are the hardest to support.
_REQUIRED = {"limit": 0, "network": "net", "layer": "a", "layers": ("a", "b"), "allowed": ("end",), "metric": "own"}
_HARDEST: dict[type, dict[str, Any]] = {
    c.Memory: {"rule": "weights+largest_activation", "buffers": 1},
    c.Deadline: {"limit": 1.0},
}
_EXECUTIONS = ("sequential", "parallel", "scheduled", "pipelined", "call")


def _problem(**fields: object) -> Problem:
    """Return a small problem with every kind of data, on two devices."""
    layers = [Layer(name=name, flops=1e9, bytes=1e6, weights=1e6, activations=1e6) for name in "ab"]
    tensors = [
        Tensor(name="x", producer="input", consumers=("a",), bytes=1e5, sensitivity=1.0),
        Tensor(name="t", producer="a", consumers=("b",), bytes=1e5, sensitivity=0.5),
    ]
    network = Network(name="net", layers=tuple(layers), tensors=tuple(tensors), source="end", rate=1.0)
    rates = {"flops_per_s": 1e10, "bytes_per_s": 1e10, "memory": 1e9, "power": 5.0, "idle_power": 1.0, "price": 1e-4}
    devices = [
        Device(name="end", tier="end", trusted=True, pool=True, **rates),
        Device(name="cloud", tier="cloud", trusted=False, **rates),
    ]
    links = [
        Link(name="up", bandwidth=1e6, latency=0.01, sender="end", receiver="cloud", trusted=True),
        Link(name="down", bandwidth=1e6, latency=0.01, sender="cloud", receiver="end", trusted=True),
    ]
    routes = [
        Route(origin="end", destination="cloud", links=("up",)),
        Route(origin="cloud", destination="end", links=("down",)),
    ]
    platform = Platform(devices=tuple(devices), links=tuple(links), routes=tuple(routes))
    own = Metric(name="own", layers={"net": {"a": {"end": 1.0}}}, links={"up": LinkCharge(per_byte=1.0)})
    base: dict[str, Any] = {"execution": "sequential", "minimize": Term(metric="latency"), "metrics": (own,)}
    return Problem(**({"networks": network, "platform": platform} | base | fields))


def _constraints() -> Iterator[tuple[str, c.Constraint]]:
    """Yield a constraint of each kind, and its name."""
    for kind in get_args(c.Constraint):
        fields = {name: _REQUIRED[name] for name, field in kind.model_fields.items() if field.is_required()}
        constraint = kind(**fields, **_HARDEST.get(kind, {}))
        yield constraint.constraint.replace("_", " "), constraint


def _features() -> Iterator[tuple[str, str, Problem]]:
    """Yield (group, feature, a problem with it)."""
    for execution in _EXECUTIONS:
        yield "latency under", execution, _problem(execution=execution)
    for name, term in _TERMS.items():
        if name != "latency":
            yield "objective", name, _problem(minimize=term)
    for name, constraint in _constraints():
        yield "constraint", name, _problem(subject_to=[constraint])
    tied = SharedAcross(name="tied", bytes=1e6, layers=(("net", "a"), ("net", "b")))
    yield "weights", "shared", _problem(subject_to=[c.Memory()], shared_weights=[tied])
    yield from (("choice", name, problem) for name, problem in _choices())
    for transport in ("unicast", "multicast", "per_edge"):
        yield "transport", transport, _problem(transport=transport)


def _choices() -> Iterator[tuple[str, Problem]]:
    """Yield choices beyond placement, by name."""
    plain = _problem()
    network, (end, cloud) = plain.networks[0], plain.platform.devices
    modes = (Mode(name="fast"), Mode(name="small", efficiency=0.5, weight_bytes=0.25, output_bytes=0.25, loss=0.01))

    def on(device: Device) -> Platform:
        return plain.platform.replace(devices=(device, cloud))

    def layers(**fields: Any) -> Network:
        return network.replace(layers=(network.layers[0], network.layers[1].replace(**fields)))

    yield "modes", _problem(platform=on(end.replace(modes=modes)))
    yield "one mode", _problem(platform=on(end.replace(modes=modes, one_mode=True)))
    form = Form(name="jpeg", bytes=1e4, encode={"end": 1e-3}, decode={"cloud": 1e-3}, loss=0.01)
    yield "forms", _problem(networks=network.replace(tensors=[one.replace(forms=[form]) for one in network.tensors]))
    block = FusedBlock(network="net", layers=("a", "b"), time={"end": 0.01, "cloud": 0.01})
    yield "blocks", _problem(profile=Profile(blocks=(block,)))
    yield "reach", _problem(networks=layers(reach=0.5))
    yield "state", _problem(networks=layers(state=1e6), subject_to=[c.Memory()])
    slow = Scenario(name="slow", probability=0.25, bandwidth={"up": 0.1})
    scenarios = (slow, Scenario(name="usual", probability=0.75))
    for name, said in (("expected", {}), ("worst", {"across": "worst"}), ("cvar", {"across": "cvar", "level": 0.9})):
        yield f"scenarios, {name}", _problem(minimize=Term(metric="latency", **said), scenarios=scenarios)
    yield "scenarios, share", _problem(subject_to=[c.Deadline(limit=1.0, share=0.9)], scenarios=scenarios)


def capabilities() -> list[tuple[str, str, dict[str, bool]]]:
    """Return for each feature (its group and name) whether each formulation supports it, by the formulation's name.

    A feature other than an execution is asked for with sequential execution, or with the one that the timing is for.
    """
    rows = []
    names = registry.names()
    for group, feature, problem in _features():
        able = set(registry.supporting(compile_problem(problem)))
        if group != "latency under":
            for execution in ("parallel", "scheduled", "call"):
                with suppress(InputError):  # some choices mean nothing under some executions
                    able |= set(registry.supporting(compile_problem(problem.replace(execution=execution))))
        rows.append((group, feature, {name: name in able for name in names}))
    return rows


def overview() -> list[tuple[str, str, str, str]]:
    """Return for each timing what it goes with, under which executions it has the latency, and what it lacks.

    Choices beyond placement are left to the whole table.
    """
    rows = capabilities()
    merged: dict[str, list[str]] = {}
    for name in registry.names():
        merged.setdefault(name.partition("+")[2] or name, []).append(name)
    found = []
    for timing, names in merged.items():
        able = [name for name in names if any(supported[name] for _, _, supported in rows)]
        under = [feature for group, feature, one in rows if group == "latency under" and any(one[n] for n in able)]
        others = [(feature, one) for group, feature, one in rows if group not in ("latency under", "choice")]
        lacking = [feature for feature, one in others if not any(one[name] for name in able)]
        sending = ", ".join(name.partition("+")[0] for name in able) if timing not in names else "(by itself)"
        found.append((timing, sending, ", ".join(under), ", ".join(lacking)))
    return found


def markdown() -> str:
    """Return the capabilities as a table in Markdown: timings and constraint-programming formulations as columns."""
    rows = capabilities()
    merged: dict[str, list[str]] = {}
    for name in registry.names():
        merged.setdefault(name.partition("+")[2] or name, []).append(name)
    lines = ["| | " + " | ".join(merged) + " |", "|---|" + "---|" * len(merged)]
    last = ""
    for group, feature, supported in rows:
        if group != last:
            lines.append(f"| **{group}** |" + " |" * len(merged))
            last = group
        cells = []
        for names in merged.values():
            yes = [name for name in names if supported[name]]
            missing = [name.partition("+")[0] for name in names if not supported[name]]
            cells.append("yes" if not missing else "no" if not yes else f"not {', '.join(missing)}")
        lines.append(f"| {feature} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def parts() -> dict[str, Scope]:
    """Return what every part looks at that reads compiled problems, by its name. Heuristics ask the evaluator."""
    found = {name: method.SCOPE for name, method in EXACT.items()}
    found |= {"evaluator": evaluator.SCOPE, "presolve": presolve.SCOPE, "identical devices": symmetry.SCOPE}
    found |= {"Lagrangian": lagrangian.SCOPE, "chain bound": chains.SCOPE, "escapes": escapes.SCOPE}
    found |= {
        contiguous.SOURCE: contiguous.SCOPE,
        loads.SOURCE: loads.SCOPE,
        merged_devices.SOURCE: merged_devices.SCOPE,
        critical_paths.SOURCE: critical_paths.SCOPE,
        capped_loads.SOURCE: capped_loads.SCOPE,
    }
    return found | {name: registry.find(name).scope for name in registry.names()}


def parts_markdown() -> str:
    """Return what every part but the formulations looks at as a table in Markdown; parts alike share a column."""
    alike: dict[Scope, list[str]] = {}
    for name, scope in parts().items():
        if name not in registry.names():
            alike.setdefault(scope, []).append(name)
    lines = ["| | " + " | ".join(map(", ".join, alike.values())) + " |", "|---|" + "---|" * len(alike)]
    for kind in KINDS:
        if kind is not Escape:  # no constraint of a problem's own
            cells = ["yes" if kind in scope.enforces else "left out" if scope.relaxes else "no" for scope in alike]
            lines.append(f"| {kind.__name__} | " + " | ".join(cells) + " |")
    for kind in get_args(ObjectiveTerm):
        cells = ["yes" if kind in scope.terms else "no" for scope in alike]
        lines.append(f"| {kind.__name__} | " + " | ".join(cells) + " |")
    for name, has in (("modes, forms", lambda one: one.choices), ("blocks", lambda one: one.blocks)):
        lines.append(f"| {name} | " + " | ".join("yes" if has(scope) else "no" for scope in alike) + " |")
    cells = [", ".join(sorted(scope.latencies)) or "none" for scope in alike]
    return "\n".join([*lines, "| latency, but sequential, under | " + " | ".join(cells) + " |"]) + "\n"
