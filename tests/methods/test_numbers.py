"""Numbers: what a problem is measured in does not matter, and what is infinite is infinite."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import OPTIMAL, ROUNDING, brute_force, lexicographic_optimum
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt
from hypothesis import given, settings
from hypothesis import strategies as st
from restating import Factors, restated
from scheduled_optimum import scheduled, scheduled_optimum
from strategies import problems

import dnnopt as dp
from dnnopt.base.errors import NumbersError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import choose_units
from dnnopt.formulations import registry
from dnnopt.methods import formulated
from dnnopt.methods.exact import EXACT
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers import names as solver_names
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import Contiguous, Memory
from dnnopt.problem.platforms import Device

ONE_THREAD = Limits(threads=1)
POWERS = st.integers(-12, 12)
FACTORS = st.builds(
    lambda *powers: Factors(*(10.0**power for power in powers)), POWERS, POWERS, POWERS, POWERS, st.integers(-18, 18)
)


def ways(one):
    """Return the ways to solve a problem: methods, and formulations that are exact with each of their solvers."""
    compiled = compile_problem(one)
    found = ["auto", *(name for name, method in EXACT.items() if method.refuses(compiled) is None)]
    for name in registry.suiting(compiled):
        formulation = registry.formulation(name, compiled)
        if formulation.value == "exact":
            found += [(name, solver) for solver in solver_names(formulation.kind)]
    return found


def solved(one, way):
    """Return status, objective and bound; a formulation gets no plan to start from."""
    if isinstance(way, str):
        result = dp.solve(one, method=way, threads=1)
        return result.status, result.objective, result.bound
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    outcome = run_formulation(pool, registry.formulation(way[0], compiled), way[1], ONE_THREAD, Control())
    return outcome.status if pool.plan is None else "optimal", pool.objective, pool.bound


def check(best, found, below=OPTIMAL):
    """Assert that the optimum was found and proved, or that there is none."""
    status, objective, bound = found
    if best is None:
        assert (status, objective) == ("infeasible", None)
    else:
        assert status == "optimal"
        assert abs(objective - best) <= OPTIMAL * abs(best)
        assert best - 2 * below * abs(best) <= bound <= best + ROUNDING * abs(best)


def test_every_method_and_solver_is_right_whatever_the_units_of_the_problem():
    seen = Counter()

    @settings(max_examples=40)
    @given(problems(most_placements=60, most_constraints=2), FACTORS, st.data())
    def matches(one, factors, data):
        way = data.draw(st.sampled_from(ways(one)))
        best = brute_force(one).objective
        check(None if best is None else best * factors.objective, solved(restated(one, factors), way))
        seen[way if isinstance(way, str) else way[1]] += 1

    matches()
    assert {"auto", "highs", "cbc", "cpsat"} <= set(seen)


@settings(max_examples=15)
@given(scheduled(most_placements=30, largest_spread=2), FACTORS, st.data())
def test_schedules_are_right_whatever_the_units_of_the_problem(one, factors, data):
    way = data.draw(st.sampled_from([way for way in ways(one) if "time-indexed" not in way[0]]))
    best = scheduled_optimum(one)
    found = solved(restated(one, factors), way)
    check(None if best is None else best * factors.objective, found, below=1e-5)  # of times that are rounded


@settings(max_examples=15)
@given(problems(most_placements=40, most_constraints=1, largest_spread=2, priorities=2), FACTORS, POWERS)
def test_priorities_may_be_measured_in_different_units(one, factors, power):
    best = lexicographic_optimum(one)
    other = restated(one, factors)
    factor = factors.objective, factors.objective * 10.0**power
    terms = [
        term.model_copy(update={"weight": term.weight * 10.0 ** (power * term.priority)}) for term in other.minimize
    ]
    result = dp.solve(other.model_copy(update={"minimize": tuple(terms)}), threads=1)
    if best is None:
        assert result.status == "infeasible"
    else:
        assert result.status == "optimal"
        assert result.evaluation.objectives == pytest.approx(
            [x * y for x, y in zip(best, factor, strict=True)], rel=2e-6
        )


@settings(max_examples=20)
@given(problems(executions=("sequential", "parallel"), most_placements=40, largest_spread=2), st.integers(-18, 18))
def test_weights_of_networks_may_have_any_size(one, power):
    latency = one.model_copy(update={"minimize": dp.latency(), "subject_to": ()}).replace(minimize=dp.latency())
    networks = tuple(net.model_copy(update={"weight": net.weight * 10.0**power}) for net in latency.networks)
    best = brute_force(latency).objective
    found = solved(latency.replace(networks=networks), "auto")
    check(None if best is None else best * 10.0**power, found)


WIDE = st.sampled_from([0.0, *(mantissa * 10.0**power for mantissa in (1.0, 3.0) for power in range(-8, 9, 4))])


LIMITS = st.sampled_from(
    ((), (), (Contiguous(),), (Memory(limits={"p": 1.0, "q": 1e4}),), (Memory(limits={"p": 1e-4}), Contiguous()))
)


@st.composite
def wide_problems(draw):
    """Draw a problem on two or three devices whose times are up to 1e16 apart, and more with what is sent."""
    devices = "pqr"[: draw(st.integers(2, 3))]
    words = "abcd"[: draw(st.integers(1, 4))]
    tensors = [tensor("in", "input", words[0], draw(WIDE), source=draw(st.sampled_from((None, *devices))))]
    for position, word in enumerate(words):
        later = [other for other in words[position + 1 :] if draw(st.booleans())]
        result = ["output"] if draw(st.integers(0, 2)) == 0 else []
        if later or result:
            tensors.append(tensor(f"t{word}", word, " ".join(later + result), draw(WIDE)))
    pairs = [f"{i}>{j}" for i in devices for j in devices if i != j]
    routes = {pair: pair for pair in pairs if draw(st.integers(0, 7))}
    links = [link(way, draw(st.sampled_from((1.0, 1.0, 1e-8, 1e8)))) for way in routes]
    time = st.sampled_from((False, False, False, False, True)).flatmap(lambda none: st.none() if none else WIDE)
    return problem(
        network([layer(word, draw(WIDE)) for word in words], tensors, sink=draw(st.sampled_from((None, *devices)))),
        platform(" ".join(devices), links, routes),
        {word: [draw(time) for _ in devices] for word in words},
        draw(st.sampled_from(("sequential", "sequential", "parallel", "pipelined"))),
        minimize=draw(st.sampled_from((dp.latency(), dp.latency(), dp.period(), dp.latency() + 1e-9 * dp.traffic()))),
        subject_to=draw(LIMITS),
        transport=draw(st.sampled_from(("unicast", "multicast", "per_edge"))),
    )


def test_times_that_are_1e16_apart_do_not_spoil_plans_and_proofs():
    seen = Counter()

    @settings(max_examples=80)
    @given(wide_problems(), st.data())
    def matches(one, data):
        way = data.draw(st.sampled_from(ways(one)))
        best = brute_force(one).objective
        status, objective, bound = solved(one, way)
        seen[way if isinstance(way, str) else way[1]] += 1
        if way == "ideals" and bound is not None and status != "optimal":
            assert bound <= best  # sums over ideals are differences: room for rounding is left
            assert objective == pytest.approx(best)
        else:
            check(best, (status, objective, bound))

    matches()
    assert {"auto", "highs", "cbc", "cpsat"} <= set(seen)


def two_halves(fast=1.0, slow=1e12, **fields):
    """Return a problem of four layers, of which each of two devices is slow at two."""
    net = network("a b c d", [tensor(f"t{u}", u, v, 1.0) for u, v in ("ab", "bc", "cd")])
    on = platform("p q", [link("l", bandwidth=1 / fast)], {"p>q": "l", "q>p": "l"})
    times = {word: (fast, slow) if word in "ac" else (slow, fast) for word in "abcd"}
    return problem(net, on, times, **fields)


@pytest.mark.parametrize("execution", ["sequential", "parallel", "scheduled", "pipelined"])
@pytest.mark.parametrize("minimize", [dp.period(), 1e-18 * dp.latency(), 1e16 * dp.latency()])
def test_a_plan_far_better_than_those_on_one_device_is_found_and_proved(execution, minimize):
    one = two_halves(execution=execution, minimize=minimize)
    best = brute_force(one).objective if execution != "scheduled" else scheduled_optimum(one)
    for way in ways(one):
        if isinstance(way, str) or way[0].startswith(
            ("edgewise+potentials", "edgewise+disjunctive", "edgewise+period", "cp")
        ):
            check(best, solved(one, way), below=1e-5)


def test_big_m_of_calls_is_that_of_plans_within_the_cap():
    net = network("a b", [tensor("t", "a", "b", 1.0)])
    on = platform(
        [Device(name="acc"), Device(name="cpu", pool=True)],
        [link("in", receiver="acc"), link("out", 1e-13, sender="acc")],
        {"cpu>acc": "in", "acc>cpu": "out"},
    )
    one = problem(net, on, {"a": (3.0, 1.0), "b": (1.0, 5.0)}, "call")
    compiled = compile_problem(one)
    formulation = registry.formulation("edgewise", compiled)
    assert formulation.build(compiled).arrays().largest >= 1e10
    capped = replace(compiled, cap=4.0)
    arrays = formulation.build(capped).arrays()
    # Rows with a big M hold the placement of a layer (or its move), and the ends of two tasks.
    assert -arrays.row_lower[np.isfinite(arrays.row_lower)].min() <= 4.0 * (1 + 1e-6) / choose_units(capped).time
    for way in ways(one):
        check(3.0, solved(one, way))


def idling(execution):
    """Return a problem in which waiting saves energy, so that no cap on it rules out layers that take 1e16 s."""
    one = two_halves(slow=1e16, execution=execution, minimize=dp.energy(idle=True))
    devices = [device.model_copy(update={"power": 1.0, "idle_power": 5.0}) for device in one.platform.devices]
    return one.replace(platform=one.platform.model_copy(update={"devices": tuple(devices)}))


def test_numbers_that_no_milp_solver_takes_are_named():
    one = idling("parallel")
    words = r"5e\+16 J \(layer \w on \w\) and .* J \(layer \w on \w\) are too far apart for MILP solvers"
    with pytest.raises(NumbersError, match=words):
        dp.solve(one, formulation="edgewise", solver="highs", start=brute_force(one).plans[0])


def test_the_command_line_names_such_numbers_and_ends_with_code_2(tmp_path):
    problem_file, plan_file = tmp_path / "problem.json", tmp_path / "plan.json"
    dp.write_problem(idling("parallel"), problem_file)
    dp.write_plan(brute_force(idling("parallel")).plans[0], plan_file)
    words = ["solve", problem_file, "--start", plan_file, "--formulation", "edgewise", "--solver", "cbc"]
    run = dnnopt(*words)
    assert (run.returncode, run.stdout) == (2, "")
    assert "too far apart" in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("execution", ["parallel", "scheduled"])
def test_auto_goes_on_with_what_takes_such_numbers(execution):
    one = idling(execution)
    result = dp.solve(one, threads=1, time_limit=5)
    assert result.objective == pytest.approx(brute_force(idling("parallel")).objective)
    assert result.bound is None or result.bound <= result.objective


def test_a_solver_that_reports_less_than_nothing_is_taken_to_mean_nothing(monkeypatch):
    one = problem(network("l"), platform("d"), {"l": [1.0]}, minimize=dp.cost())
    run = formulated.solver_of("highs", "milp")

    def rounding(model, limits, start, control):
        control.report(-2e-12, None)
        return run(model, limits, start, control)

    monkeypatch.setattr(formulated, "solver_of", lambda *_: rounding)
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    run_formulation(pool, registry.formulation("product", compiled), "highs", ONE_THREAD, Control())
    assert min(event.objective for event in pool.trace if event.objective is not None) == 0.0
