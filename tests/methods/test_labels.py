"""Label search: dominance and limits by hand, bounds of beams that leave labels out, tables over states."""

from collections import Counter

import numpy as np
import pytest
from brute_force import ROUNDING, SAME, brute_force
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import labels
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.rows import PlanSum, rows_of
from dnnopt.methods.programs.tree_program import TreeProgram
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import MaxCuts, Separate, memory
from dnnopt.problem.objectives import energy, latency, period
from dnnopt.problem.platforms import Device
from dnnopt.referee import evaluate

PAIR = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})


def test_a_label_with_more_weights_beside_a_large_activation_dominates_none():
    # With b on p, which is faster, the activation of a does not fit.
    net = network([layer("a", 0, 8), layer("b", 4, 0)])
    limit = memory("weights+largest_activation", limits={"p": 10})
    one = problem(net, PAIR, {"a": (1, None), "b": (1, 2)}, subject_to=[limit])
    result = solve(one, method="labels")
    assert (result.status, result.objective) == ("optimal", 3)


def test_a_limit_below_zero_is_an_upper_limit():
    # The network has no weight: only the idle power counts that its busy seconds save, at least 3 J of it.
    devices = [Device(name=name, idle_power=1) for name in "pq"]
    minimize = (energy(idle=True), period().model_copy(update={"priority": 1}))
    one = problem(network("a b", weight=0.0), platform(devices), dict.fromkeys("ab", (3, 1)), minimize=minimize)
    caps = {0: -3.0}
    pool = Pool(one, compile_problem(one).at_stage(1, caps), 1, caps)
    labels.run(pool, Limits(), Control())
    assert pool.evaluation.objectives == (-4, 3)
    assert pool.is_closed(1e-6)


def test_more_layers_apart_than_devices_are_infeasible():
    net = network("a b c d", [tensor("t", "a", "d", 1)])
    one = problem(net, PAIR, dict.fromkeys("abcd", (1, 1)), subject_to=[Separate(network="net", layers=tuple("abcd"))])
    assert solve(one, method="labels").status == "infeasible"


def test_networks_are_too_wide_where_cuts_are_counted():
    # One by one, only the device of each producer matters; for cuts, also which devices have its tensor already.
    words = "abcdefghijk"
    net = network([*map(layer, f"{words}xyz")], [tensor(f"t{u}", u, "x y z", 1) for u in words])
    on = platform("p q r", [link("w")], {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j})
    one = problem(net, on, dict.fromkeys(f"{words}xyz", (1, 2, 3)), transport="per_edge")
    assert labels.refuses(compile_problem(one)) is None
    counted = compile_problem(one.replace(subject_to=[MaxCuts(limit=3)]))
    assert labels.refuses(counted) == "more than 2,000,000 states of what is alive at once"


def test_beams_that_leave_labels_out_have_bounds_and_wide_ones_the_optimum():
    seen = Counter()
    drawn = problems(executions=("sequential", "pipelined"), most_placements=250, most_constraints=1)

    @settings(max_examples=80)
    @given(drawn, st.sampled_from((latency(), energy(), period())), st.sampled_from((1, 1, 2, 1000)))
    def check(one, objective, width):
        c = compile_problem(one := one.replace(minimize=objective))
        if labels.refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        best = brute_force(one).objective
        rows = rows_of(c)
        prices = np.zeros((1, len(rows.objective) + len(rows.limits)))
        prices[:, : len(rows.objective)] = 1 / len(rows.objective)
        found = LabelSearch(c, prices).run(width, np.inf, Clock(), Control())
        if best is None:
            assert not len(found.placements)
            assert width < 1000 or found.bound == np.inf
            return
        judged = [evaluate(one, c.plan(placement)) for placement in found.placements]
        reached = min((each.objective for each in judged if each.feasible), default=np.inf)
        assert reached >= best - SAME * abs(best)
        assert min(found.bound, reached) <= best + ROUNDING * abs(best)
        if found.bound < np.inf:
            seen["left out"] += 1
        else:
            assert reached == pytest.approx(best, rel=SAME)
            seen["all"] += 1

    check_until(check, lambda: min(seen["left out"], seen["all"]) >= 3)


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_tables_begin_with_the_optimum_of_the_tree_program(transport):
    seen = Counter()

    @settings(max_examples=25)
    @given(problems(most_placements=250, most_constraints=0), st.integers(0, 999))
    def check(one, seed):
        c = compile_problem(one.replace(transport=transport))
        if not c.allowed.any(axis=1).all():
            return
        draw = np.random.default_rng(seed)
        sizes = c.time.shape, (len(c.tensor_names), len(c.link_names))
        rows = [PlanSum(draw.uniform(-1, 2, sizes[0]), draw.uniform(0, 1, sizes[1])) for _ in range(2)]
        weights = draw.uniform(0, 1, (3, 2))
        found = Frontier(c, rows).tables(weights)[0][0]
        program = TreeProgram(c)
        for (first, second), value in zip(weights, found, strict=True):
            alpha, beta = first * rows[0].alpha + second * rows[1].alpha, first * rows[0].beta + second * rows[1].beta
            assert value == pytest.approx(program.solve(alpha, beta)[0], rel=1e-9, abs=1e-12)
        seen[bool(np.isfinite(found).all())] += 1

    check_until(check, lambda: seen[True] >= 5)
