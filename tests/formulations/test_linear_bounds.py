"""Linear relaxations are bounds, and those of stronger linearisations are no weaker."""

from collections import Counter

from brute_force import brute_force
from hypothesis import given, settings
from strategies import problems

from dnnopt.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.scaling import choose_units
from dnnopt.solvers.highs import relaxation
from dnnopt.solvers.interface import Limits

CLOSE = 1e-6


def relaxed_optimum(compiled, name, units):
    """Return the optimum of a formulation's linear relaxation, or infinity where it is infeasible."""
    model = registry.formulation(name, compiled).build(compiled, units)
    outcome = relaxation(model, Limits(threads=1))
    if outcome.status == "infeasible":
        return float("inf")
    assert outcome.status == "optimal"
    return outcome.objective * model.objective_unit


def test_relaxations_are_ordered_product_edgewise_treewise_optimum():
    seen = Counter()

    @settings(max_examples=150)
    @given(problems())
    def check(problem):
        compiled = compile_problem(problem)
        units = choose_units(compiled)
        best = brute_force(problem).objective
        optimum = float("inf") if best is None else best
        product, edgewise, treewise = (
            relaxed_optimum(compiled, name, units) for name in ("product", "edgewise", "treewise")
        )
        room = CLOSE * (abs(optimum) if best is not None else 0.0) + 1e-9 * units.objective
        assert product <= edgewise * (1 + CLOSE) + room
        assert edgewise <= treewise * (1 + CLOSE) + room
        assert treewise <= optimum + room
        seen["edgewise is stronger"] += product < edgewise - 1e-3 * abs(edgewise)
        seen["treewise is stronger"] += edgewise < treewise - 1e-3 * abs(treewise)
        seen["exact"] += optimum < float("inf") and edgewise >= optimum - room
        seen["not exact"] += edgewise < optimum - 1e-3 * abs(optimum)

    check()
    assert min(seen["edgewise is stronger"], seen["exact"], seen["not exact"]) >= 5


def test_the_boundary_relaxation_is_a_bound_where_it_fits():
    seen = Counter()

    @settings(max_examples=100)
    @given(problems())
    def check(problem):
        compiled = compile_problem(problem)
        if not any(name.startswith("boundary") for name in registry.supporting(compiled)):
            return
        units = choose_units(compiled)
        best = brute_force(problem).objective
        if best is None:
            return
        assert relaxed_optimum(compiled, "boundary", units) <= best + CLOSE * abs(best) + 1e-9 * units.objective
        seen[len(problem.platform.devices)] += 1

    check()
    assert seen[2] + seen[3] >= 5
