"""`paths` says the same as `potentials`: the same relaxation once separated, the same optimum, every path if asked."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from brute_force import brute_force, check_solved
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import choose_units
from dnnopt.formulations import registry
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.formulations.milp.timing.paths import MOST_PATHS
from dnnopt.methods.formulated import run_formulation, separate_on_relaxations
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import formulate
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import Bandwidth
from dnnopt.problem.objectives import latency

ONE_THREAD = Limits(threads=1)


def relaxed(compiled, name, units):
    """Return the optimum of the relaxation, with all the paths that it violates."""
    model = registry.formulation(name, compiled).build(compiled, units)
    if model.lazy is not None:
        separate_on_relaxations(model, model.lazy, ONE_THREAD, Control(), Clock())
    outcome = relaxation(model, ONE_THREAD)
    return float("inf") if outcome.status == "infeasible" else outcome.objective * model.objective_unit


def test_relaxation_and_optimum_are_those_of_potentials():
    seen = Counter()
    latencies = st.sampled_from((None, latency()))

    @settings(max_examples=25)
    @given(problems(("parallel",), 90), latencies)
    def check(problem, objective):
        if objective is not None:
            problem = problem.model_copy(update={"minimize": (objective,)})
        compiled = compile_problem(problem)
        names = [name for name in registry.supporting(compiled, "milp") if name.endswith("+paths")]
        units = choose_units(compiled)
        best = brute_force(problem)
        for name in names:
            pool = Pool(problem, compiled)
            outcome = run_formulation(pool, registry.formulation(name, compiled), "highs", ONE_THREAD, Control())
            seen[check_solved(best, outcome.status, pool.objective, pool.bound)] += 1
            communication = name.partition("+")[0]
            both = [relaxed(compiled, f"{communication}+{timing}", units) for timing in ("paths", "potentials")]
            if max(both) < float("inf"):
                assert both[0] == pytest.approx(both[1], rel=1e-5, abs=1e-6 * units.objective)
                seen[communication] += 1
            else:
                assert both[0] == both[1] == float("inf")

    check_until(check, lambda: seen["optimal"] >= 5 and all(seen[name] for name in ("edgewise", "product", "treewise")))


def layered(depth, width=2, execution="parallel"):
    """Stages of `width` layers each, everyone sending to all of the next stage."""
    stages = [[f"v{d}_{w}" for w in range(width)] for d in range(depth)]
    tensors = [tensor(f"t{u}", u, " ".join(following), 1) for stage, following in pairwise(stages) for u in stage]
    names = [name for stage in stages for name in stage]
    routes = {f"{i}>{j}": f"{i}-up {j}-down" for i in "pq" for j in "pq" if i != j}
    on = platform("p q", [link(f"{i}-{way}") for i in "pq" for way in ("up", "down")], routes)
    times = {name: (1 + k % 3, 3 - k % 3) for k, name in enumerate(names)}
    return problem(network(" ".join(names), tensors), on, times, execution)


def all_paths(compiled):
    """Return every path from a node without producer to one without consumer, as a tuple of edges."""
    edges = list(zip(compiled.edge_producer.tolist(), compiled.edge_consumer.tolist(), strict=True))
    leaving = {u for u, _ in edges}
    entered = {v for _, v in edges}
    paths, open_paths = [], [((), node) for node in range(len(compiled.node_names)) if node not in entered]
    while open_paths:
        path, node = open_paths.pop()
        if node not in leaving:
            paths.append((path, node))
        open_paths += [((*path, e), v) for e, (u, v) in enumerate(edges) if u == node]
    return paths


@pytest.mark.parametrize("communication", COMMUNICATIONS)
def test_every_path_is_written_where_a_model_is_asked_for_as_a_whole(communication):
    one = layered(3)
    compiled = compile_problem(one)
    model = formulate(one, f"{communication}+paths")
    rows = [name for name in model.row_names() if name.startswith("path")]
    assert len(rows) == len(all_paths(compiled)) == 8
    # The whole model needs no separation: its optimum is that of the problem.
    assert relaxation(model, ONE_THREAD).objective * model.objective_unit <= brute_force(one).objective * (1 + 1e-9)
    formulation = registry.formulation(f"{communication}+paths", compiled)
    for plan in brute_force(one).plans:
        values = formulation.encode(compiled, model, compiled.placement(plan))
        assert model.arrays().worst_violation(values) <= 1e-9


def test_random_graphs_have_as_many_rows_as_paths_and_none_twice():
    seen = Counter()

    @settings(max_examples=30)
    @given(problems(("parallel",), most_constraints=0, largest_spread=0))
    def check(problem):
        problem = problem.model_copy(update={"minimize": (latency(network=problem.networks[0].name),)})
        compiled = compile_problem(problem)
        model = registry.formulation("edgewise+paths", compiled).build(compiled)
        before = model.row_count
        model.lazy.complete()
        paths = all_paths(compiled)
        assert model.row_count - before == len(paths)
        model.lazy.complete()
        assert model.row_count - before == len(paths)
        seen["several"] += len(paths) > 2
        seen["lone node"] += any(not path for path, _ in paths)

    check_until(check, lambda: seen["several"] and seen["lone node"])


def test_rows_of_paths_added_before_are_not_added_again_with_all_of_them():
    compiled = compile_problem(layered(4))
    model = registry.formulation("edgewise+paths", compiled).build(compiled)
    separate_on_relaxations(model, model.lazy, ONE_THREAD, Control(), Clock())
    some = sum(name.startswith("path") for name in model.row_names())
    model.lazy.complete()
    assert 0 < some < sum(name.startswith("path") for name in model.row_names()) == 16


def test_separation_finds_the_longest_path_of_a_plan_and_nothing_more_where_it_is_there():
    one = layered(3)
    compiled = compile_problem(one)
    formulation = registry.formulation("edgewise+paths", compiled)
    model = formulation.build(compiled)
    plan = brute_force(one).plans[0]
    values = formulation.encode(compiled, model, compiled.placement(plan))
    assert model.lazy.separate(values) == 0
    (block,) = [block for block in model.variables if block.name == "latency"]
    values[block.first] *= 0.9
    assert model.lazy.separate(values) > 0
    assert model.arrays().worst_violation(values) > 1e-6
    assert model.lazy.separate(values) == 0


def test_more_paths_than_the_limit_are_refused_with_their_number():
    one = layered(14)  # 2**14 paths
    with pytest.raises(UnsupportedError, match="16,384") as refused:
        formulate(one, "edgewise+paths")
    assert f"{MOST_PATHS:,}" in str(refused.value)
    formulate(layered(13), "edgewise+paths")


@pytest.mark.parametrize("limit", [Bandwidth(link="p-q", limit=1), Bandwidth()])
@pytest.mark.parametrize("name", ["edgewise+paths", "edgewise+potentials", "product+potentials", "treewise+paths"])
def test_a_limit_that_the_optimum_reaches_exactly_is_no_trap_for_the_solver(name, limit):
    # With the row's limit 1e-11 to 1e-9 above what is used, HiGHS called this infeasible, or the plan with 4 s optimal.
    tensors = [tensor("out", "input", "output", 1), tensor("in", "input", "a", 0), tensor("t", "a", "b", 2)]
    net = network("a b", tensors, source="p", sink="q", rate=0.5)
    pairs = {f"{i}-{j}" for i in "pqr" for j in "pqr" if i != j}
    on = platform("p q r", [link(pair, 0.5) for pair in sorted(pairs)], {"p>q": "p-q", "q>p": "q-p"})
    one = problem(net, on, dict.fromkeys("ab", (0, 0, None)), "parallel", subject_to=[limit])
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    outcome = run_formulation(pool, registry.formulation(name, compiled), "highs", ONE_THREAD, Control())
    assert check_solved(brute_force(one), outcome.status, pool.objective, pool.bound) == "optimal"
    assert pool.objective == 2


@pytest.mark.parametrize("communication", COMMUNICATIONS)
def test_optimum_of_a_layered_graph_with_every_linearisation(communication):
    one = layered(3)
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    formulation = registry.formulation(f"{communication}+paths", compiled)
    outcome = run_formulation(pool, formulation, "highs", ONE_THREAD, Control())
    check_solved(brute_force(one), outcome.status, pool.objective, pool.bound)
    assert np.isfinite(pool.bound)


def test_a_path_of_any_length_is_written_out():
    count = 1500
    tensors = [tensor(f"t{v}", f"v{v}", f"v{v + 1}", 0) for v in range(count - 1)]
    net = network(" ".join(f"v{v}" for v in range(count)), tensors)
    one = problem(net, platform("p"), {f"v{v}": (1,) for v in range(count)}, "parallel")
    model = formulate(one, "edgewise+paths")
    assert sum(name.startswith("path") for name in model.row_names()) == 1
