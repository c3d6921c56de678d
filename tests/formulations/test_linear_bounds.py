"""Linear relaxations are bounds, and those of stronger linearisations are no weaker."""

from collections import Counter

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import choose_units
from dnnopt.formulations import registry
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Limits

CLOSE = 1e-6


def relaxed_optimum(compiled, name, units):
    """Return the optimum of a formulation's linear relaxation, or infinity where it is infeasible."""
    model = registry.formulation(name, compiled).build(compiled, units)
    outcome = relaxation(model, Limits(threads=1))
    if outcome.status == "infeasible":
        return float("inf")
    assert outcome.status == "optimal"
    return outcome.objective * model.objective_unit


def test_relaxations_are_bounds_and_ordered_product_edgewise_treewise():
    seen = Counter()

    @settings(max_examples=75)
    @given(problems())
    def check(problem):
        compiled = compile_problem(problem)
        units = choose_units(compiled)
        best = brute_force(problem).objective
        optimum = float("inf") if best is None else best
        able = {name.partition("+")[0] for name in registry.supporting(compiled, "milp")}
        relaxed = {name: relaxed_optimum(compiled, name, units) for name in able}
        room = CLOSE * (abs(optimum) if best is not None else 0.0) + 1e-9 * units.objective
        assert all(value <= optimum + room for value in relaxed.values())
        assert relaxed["product"] <= relaxed["edgewise"] * (1 + CLOSE) + room
        if "treewise" in able:
            assert relaxed["edgewise"] <= relaxed["treewise"] * (1 + CLOSE) + room
            seen["treewise"] += 1
        edgewise = relaxed["edgewise"]
        seen["boundary"] += "boundary" in able and len(problem.platform.devices) > 1
        seen["exact"] += optimum < float("inf") and edgewise >= optimum - room
        seen["not exact"] += edgewise < optimum - 1e-3 * abs(optimum)

    check_until(check, lambda: all(seen[what] for what in ("exact", "not exact", "treewise", "boundary")))


def test_product_is_weaker_than_edgewise_on_three_devices_worked_by_hand():
    net = network("a b", [tensor("t", "a", "b", 10)])
    pairs = {f"{i}>{j}": "link" for i in "pqr" for j in "pqr" if i != j}
    one = problem(net, platform("p q r", [link("link")], pairs), {"a": (0, 1, 9), "b": (9, 1, 0)})
    compiled = compile_problem(one)
    units = choose_units(compiled)
    # Both on q, 1 + 1. Half of a on p and half of b on r look free to `product`: x + x - 1 = 0 there.
    assert brute_force(one).objective == 2
    assert relaxed_optimum(compiled, "edgewise", units) == pytest.approx(2)
    assert relaxed_optimum(compiled, "product", units) == pytest.approx(1)
