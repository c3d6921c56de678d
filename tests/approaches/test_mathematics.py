"""A problem in letters names its decisions, its objective and each of its limits."""

from typing import get_args

import pytest
from small_settings import forked, small, two

import dnnopt as dp
from dnnopt.approaches import approach_named, mathematics
from dnnopt.problem import constraints
from dnnopt.problem.metrics import STANDARD

SEQUENTIAL = "Σ_vi t_vi x_vi + Σ_τℓ s_τℓ w_τℓ"


def lines(name):
    (problem, *_) = approach_named(name).problems(*small(name)).values()
    return mathematics.mathematics(problem)


def test_a_cut_is_a_sum_of_times():
    assert lines("neurosurgeon") == ["x_vi ∈ {0, 1}, Σ_i x_vi = 1: 5 layers on 2 devices", f"min {SEQUENTIAL}"]


def test_what_is_chosen_beside_places_is_said():
    assert "has one of its forms" in lines("jalad")[0]
    assert "in one of its modes" in lines("auto-split")[0]
    assert "share of inputs that get there" in lines("spinn")[0]
    assert "in blocks" in lines("aofl")[0]
    assert "means over scenarios" in lines("ans")[0]
    assert "w_τℓ ≤ 1 (multicast)" in lines("msr")[0]


def test_objectives_and_limits_have_formulas():
    assert lines("pipeedge")[1:] == [
        "min max_q load_q, with load_q = Σ_{v, i ∈ q} t_vi x_vi + Σ_{τ, ℓ ∈ q} s_τℓ w_τℓ",
        "Σ_v m_v x_vi ≤ M_i on each device",
        "the layers of a device hang together: no path leaves them and comes back",
    ]
    assert lines("hivemind")[1] == f"min 0.5 ({SEQUENTIAL}) + 0.5 (Σ_vi ε_vi x_vi + Σ_τℓ η_ℓ b_τ w_τℓ (of pi))"
    assert lines("alpa")[1].startswith(f"min {SEQUENTIAL} + 7 period, where period = max_q load_q")
    assert lines("jalad")[2] == "the losses of the network, of modes and of forms, added up ≤ 0.01"
    assert lines("edgent")[2].startswith("latency ≤ ")
    assert lines("edgent")[2].endswith(" s")
    assert "Σ_a ω_a latency_a, where latency_a = max_v (S_v + t_v)" in lines("dina")[1]
    assert lines("hax-conn")[1].startswith("min max_a latency_a")
    assert lines("coedge")[-1].startswith("latency = max_v (S_v + t_v)")


@pytest.mark.parametrize("name", STANDARD)
def test_every_metric_has_a_formula(name):
    term = dp.batch_latency(4) if name == "batch_latency" else getattr(dp, name)()
    net = forked().with_sensitivity(0.9)
    where = two()
    where = where.replace(
        devices=[device.replace(trusted=device.name == "pi") for device in where.devices],
        links=[one.replace(trusted=True) for one in where.links],
    )
    (_, objective) = mathematics.mathematics(dp.Problem(net, where, "sequential", term))
    assert any(sign in objective for sign in ("Σ", "max", "added up"))


def test_every_kind_of_limit_that_is_no_number_has_words():
    numbers = {"metric", "deadline", "energy", "cost", "traffic", "leakage", "worst_leakage", "accuracy_loss"}
    kinds = {get_args(one.model_fields["constraint"].annotation)[0] for one in get_args(constraints.Constraint)}
    assert kinds - numbers - {"memory", "utilisation", "bandwidth"} == {*mathematics._FORMS}
