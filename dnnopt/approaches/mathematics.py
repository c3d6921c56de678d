"""A problem in the letters of docs/model.md: what is decided, minimised and required."""

from __future__ import annotations

from typing import Any

from dnnopt.base.numbers import counted, format_quantity
from dnnopt.problem.objectives import Term
from dnnopt.problem.problem import Problem

_LATENCY = {
    "sequential": "Σ_vi t_vi x_vi + Σ_τℓ s_τℓ w_τℓ",
    "parallel": "max_v (S_v + t_v), with S_v ≥ S_u + t_u + Σ_{ℓ ∈ R_ij} s_τℓ where v reads τ of u",
    "scheduled": "max_v (S_v + t_v), with S_v ≥ the end of what v waits for; devices and links do one thing at a time",
    "call": "the end of the last call; a call of i takes Σ_v t_vi x_vi and all its transfers",
    "pipelined": "Σ_vi t_vi x_vi + Σ_τℓ s_τℓ w_τℓ",
}
_PERIOD = "max_q load_q, with load_q = Σ_{v, i ∈ q} t_vi x_vi + Σ_{τ, ℓ ∈ q} s_τℓ w_τℓ"
_METRICS = {
    "period": _PERIOD,
    "energy": "Σ_vi ε_vi x_vi + Σ_τℓ η_ℓ b_τ w_τℓ",
    "cost": "Σ_vi π_i t_vi x_vi + Σ_τℓ κ_ℓ b_τ w_τℓ",
    "traffic": "Σ_τℓ b_τ w_τℓ",
    "leakage": "Σ_τ ρ_τ h_τ",
    "worst_leakage": "max_τ ρ_τ h_τ",
    "accuracy_loss": "the losses of the network, of modes and of forms, added up",
}
_FORMS = {
    "contiguous": "the layers of a device hang together: no path leaves them and comes back",
    "monotone_tiers": "tier_j ≥ tier_i wherever data goes from i to j",
    "separate": "Σ_{v in the set} x_vi ≤ 1 on each device, for sets of layers that are kept apart",
    "colocate": "x_ui = x_vi for layers that stay together",
    "placement": "x_vi = 0 where a layer may not run",
    "max_cuts": "a limit on the tensors that are sent",
    "max_devices": "a limit on the devices with layers",
}
_RULES = {
    "weights": "Σ_v m_v x_vi",
    "weights+activations": "Σ_v (m_v + r_v) x_vi",
    "weights+largest_activation": "Σ_v m_v x_vi + max_v r_v x_vi",
}


def mathematics(problem: Problem) -> list[str]:
    """Return the problem as lines: what is decided, `min` and its objective, then what must hold."""
    found = [_decided(problem)]
    terms = [_weighted(term, problem) for term in problem.minimize]
    found.append(f"min {' + '.join(terms)}")
    found += list(dict.fromkeys(_limit(limit) for limit in problem.subject_to))
    if problem.execution == "scheduled" and not any(term.metric == "latency" for term in problem.minimize):
        found.append(f"latency = {_LATENCY['scheduled']}")
    return found


def _decided(problem: Problem) -> str:
    layers = sum(len(network.layers) for network in problem.networks)
    places = f"{counted(layers, 'layer')} on {counted(len(problem.platform.devices), 'device')}"
    more = []
    if any(device.modes for device in problem.platform.devices):
        more.append("i is a device in one of its modes")
    if any(tensor.forms for network in problem.networks for tensor in network.tensors):
        more.append("what is sent has one of its forms, with its b_τ, its coding at both ends and its loss")
    if problem.profile.blocks:
        more.append("layers run one by one or in blocks with times of their own")
    if any(network.has_exits for network in problem.networks):
        more.append("t_vi and s_τℓ count for the share of inputs that get there")
    if problem.scenarios:
        more.append("times are means over scenarios")
    if problem.transport != "unicast":
        more.append(f"w_τℓ ≤ 1 ({problem.transport})" if problem.transport == "multicast" else problem.transport)
    return "; ".join([f"x_vi ∈ {{0, 1}}, Σ_i x_vi = 1: {places}", *more])


def _weighted(term: Term, problem: Problem) -> str:
    metric = _metric(term.metric, problem)
    if term.metric == "batch_latency":
        metric = f"{_LATENCY['sequential']} + {(term.rounds or 1) - 1} period, where period = {_PERIOD}"
    if term.devices:
        metric += f" (of {', '.join(term.devices)})"
    if term.metric == "latency" and len(problem.networks) > 1:
        metric = f"{'max_a' if term.over == 'max' else 'Σ_a ω_a'} latency_a, where latency_a = {metric}"
    return metric if term.weight == 1 else f"{term.weight:g} ({metric})"


def _metric(name: str, problem: Problem) -> str:
    return _LATENCY[problem.execution] if name == "latency" else _METRICS.get(name, name)


def _limit(limit: Any) -> str:
    if limit.constraint == "memory":
        return f"{_RULES[limit.rule]} ≤ M_i on each device"
    if limit.constraint in _FORMS:
        return _FORMS[limit.constraint]
    amount = getattr(limit, "limit", None)
    shown = "" if amount is None else f" ≤ {format_quantity(amount, getattr(limit, 'unit', ''), 4)}"
    name = {"deadline": "latency", "metric": getattr(limit, "metric", "")}.get(limit.constraint, limit.constraint)
    said = _METRICS.get(name, name)
    return f"{said}{shown}{' s' if name == 'latency' else ''}"
