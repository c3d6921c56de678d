"""Problems without light tensors: few producers are open, no plan costs more, and the bounds hold."""

from collections import Counter
from itertools import pairwise

import numpy as np
from brute_force import ROUNDING, brute_force
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from special import in_memory, in_tight_memory
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.methods.bounds import merged_devices
from dnnopt.methods.bounds.critical_paths import PathSearch, is_tight
from dnnopt.methods.bounds.light_tensors import lighter, with_edges
from dnnopt.methods.bounds.merged_devices import bound_merged, refuses, relaxed
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.steps import StepBuilder, count_states
from dnnopt.models.solvers.interface import Control, Limits


def test_a_plan_costs_no_more_without_some_edges():
    seen = Counter()

    @settings(max_examples=80, deadline=None)
    @given(problems(("sequential", "pipelined", "parallel")), st.integers(0, 2**32))
    def check(one, seed):
        c = compile_problem(one).at_stage(0, {})
        if not c.allowed.any(axis=1).all() or not len(c.edges):
            return
        draw = np.random.default_rng(seed)
        keep = draw.random(len(c.edges)) < 0.5
        fewer = with_edges(c, keep)
        assert len(fewer.edges) == keep.sum()
        placements = np.array([[draw.choice(np.flatnonzero(row)) for row in c.allowed] for _ in range(20)])
        with np.errstate(invalid="ignore"):
            before, after = (evaluator_of(each).objectives(placements) for each in (c, fewer))
        comparable = np.isfinite(before)
        if any(getattr(term, "weight", 1.0) < 0 for term in c.objective[0]):
            return
        assert (after[comparable] <= before[comparable] * (1 + 1e-12) + 1e-300).all()
        seen["compared"] += bool(comparable.any())

    check_until(check, lambda: seen["compared"] >= 20)


def residual(blocks):
    """Return a problem in which every layer reads one of four masks, beside the layer before it."""
    names, masks = [f"l{number}" for number in range(blocks)], [f"m{number}" for number in range(4)]
    tensors = [tensor(f"t{u}", u, v, 100) for u, v in pairwise(names)]
    tensors += [tensor(f"t{mask}", mask, " ".join(names[k::4]), 1) for k, mask in enumerate(masks)]
    net = network([layer(name, 1) for name in [*masks, *names]], tensors)
    on = platform("p q r", [link("w")], {f"{i}>{j}": "w" for i in "pqr" for j in "pqr" if i != j})
    return problem(net, on, dict.fromkeys([*masks, *names], (1, 2, 3)))


def test_light_tensors_go_first_until_few_are_open():
    c = compile_problem(residual(16))
    at = np.argsort(StepBuilder(c, []).order())
    kept = list(lighter(c))
    assert kept[0].all()
    for more, fewer in pairwise(kept):
        assert (fewer <= more).all()
        assert fewer.sum() < more.sum()
    heavy = c.tensor_bytes[c.edge_tensor] == 100
    assert kept[-1][heavy].all()
    begin, end = at[c.edge_producer], at[c.edge_consumer]
    open_ = [np.unique(c.edge_producer[kept[-1] & (begin <= step) & (end > step)]) for step in range(len(at))]
    assert max(map(len, open_)) <= 3
    assert count_states(with_edges(c, kept[-1])) < count_states(c)


def test_bounds_without_light_tensors_are_not_above_the_optimum(monkeypatch):
    seen = Counter()

    @settings(max_examples=80, deadline=None)
    @given(in_memory(most_placements=250), st.sampled_from((20, 60, 150)))
    def check(one, moves):
        monkeypatch.setattr(merged_devices, "_MOST_MOVES", moves)
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None or not c.allowed.any(axis=1).all():
            return
        found = relaxed(c)
        if found is None:
            return
        pool = Pool(one, c)
        outcome = bound_merged(pool, c, Limits(20.0), Control())
        best = brute_force(one).objective
        if best is None:
            assert pool.objective is None
            return
        assert outcome.status != "infeasible"
        assert pool.bound is None or pool.bound <= best + ROUNDING * abs(best) + 1e-300
        seen["fewer" if not found.keep.all() else "all"] += 1

    check_until(check, lambda: seen["fewer"] >= 3 and seen["all"] >= 3)


def test_paths_without_light_tensors_are_not_above_the_optimum(monkeypatch):
    seen = Counter()

    @settings(max_examples=80, deadline=None)
    @given(in_tight_memory(most_placements=250), st.sampled_from((20, 60, 150)))
    def check(one, moves):
        monkeypatch.setattr(merged_devices, "_MOST_MOVES", moves)
        c = compile_problem(one).at_stage(0, {})
        if not is_tight(c) or not c.allowed.any(axis=1).all():
            return
        best = brute_force(one).objective
        pool = Pool(one, c)
        search = PathSearch(pool, c, Control())
        outcome = search.run(Limits(20.0))
        if best is None:
            assert pool.objective is None
            return
        assert outcome.status != "infeasible"
        assert pool.bound is None or pool.bound <= best + ROUNDING * abs(best) + 1e-300
        seen["bound"] += pool.bound is not None

    check_until(check, lambda: seen["bound"] >= 3)
