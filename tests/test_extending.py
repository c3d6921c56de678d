"""Metrics, constraints and linearisations of a user's own, against enumeration, and the page that shows them."""

import re
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import brute_force, check_solved
from builders import link, network, platform, problem, tensor
from commands import dnnopt
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import page, printed, programs, without_times
from scheduled_optimum import scheduled, scheduled_optimum
from strategies import problems

import dnnopt as dp
from dnnopt.approaches import registry as registry_of_approaches
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.presolve import presolve
from dnnopt.formulations import registry
from dnnopt.formulations.hops import not_a_tree
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.formulations.milp.timing import disjunctive
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.heuristics import BASELINES
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.problem import read_problem, write_problem

IDS = ["metric", "constraint", "inequality", "moves", "heuristic"]


@pytest.fixture(autouse=True)
def _what_is_registered_does_not_stay():
    tables = [(table, dict(table)) for table in (COMMUNICATIONS, BASELINES, registry_of_approaches._OWN)]
    path = list(sys.path)
    yield
    for table, before in tables:
        table.clear()
        table.update(before)
    sys.path[:] = path


@pytest.mark.parametrize(("code", "output"), programs(page("extending.md")), ids=IDS)
def test_programs_print_what_the_page_shows(code, output):
    assert printed(code) == output


def test_the_heuristic_of_the_page_is_run_by_the_command_that_it_shows(tmp_path):
    text = page("extending.md").partition("## On the command line")[2]
    code, command, output = re.search(r"```python\n(.*?)```.*?\n\$ dnnopt (.*?)\n(.*?)```", text, re.DOTALL).groups()
    (tmp_path / "own_heuristic.py").write_text(code, encoding="utf-8")
    run = dnnopt(*command.split(), cwd=tmp_path)
    assert run.returncode == 0, run.output
    assert without_times(run.stdout) == without_times(output)


def test_the_approach_of_the_page_is_one_file(tmp_path):
    text = page("extending.md").partition("## A published approach")[2]
    code, command, output = re.search(r"```python\n(.*?)```.*?\n\$ dnnopt (.*?)\n(.*?)```", text, re.DOTALL).groups()
    (tmp_path / "own_approach.py").write_text(code, encoding="utf-8")
    run = dnnopt(*command.split(), cwd=tmp_path)
    assert run.returncode == 0, run.output
    assert [line.rstrip() for line in run.stdout.rstrip().split("\n")] == output.rstrip().split("\n")
    one = dp.approaches.published()["smallest-cut"]
    with pytest.raises(dp.InputError, match="no approach of the package has"):
        dp.approaches.register(replace(one, name="dads"))
    table = dnnopt(
        "list",
        "approaches",
        "--granularity",
        "split",
        "--algorithm",
        "heuristic",
        "--plugin",
        "own_approach.py",
        cwd=tmp_path,
    )
    assert "smallest-cut" in table.stdout
    runs = dnnopt(
        "approaches",
        "small/004",
        "-o",
        "runs",
        "--approach",
        "smallest-cut",
        "--plugin",
        "own_approach.py",
        "--csv",
        "-",
        cwd=tmp_path,
    )
    assert runs.stdout.split("\n")[1].startswith("smallest-cut,1,")


@st.composite
def own_metrics(draw, one):
    """Return a metric over whatever the problem has."""
    values = st.sampled_from((0.0, 0.5, 1.0, 3.0))
    devices = one.platform.device_names()
    layers = {
        net.name: {layer.name: {name: draw(values) for name in devices} for layer in net.layers} for net in one.networks
    }
    links = {
        link.name: dp.LinkCharge(per_copy=draw(values), per_byte=draw(values) / 1e6) for link in one.platform.links
    }
    trusts = [place.trusted for place in (*one.platform.devices, *one.platform.links)]
    tensors = {net.name: {tensor.name: draw(values) for tensor in net.tensors} for net in one.networks}
    known = None not in trusts and all(t.sensitivity is not None for net in one.networks for t in net.tensors)
    return dp.Metric(
        name="own",
        unit=draw(st.sampled_from(("", "g", "J"))),
        layers=layers,
        links=links,
        exposed=tensors if known else {},
    )


def test_own_metrics_as_objective_and_as_limit_match_brute_force_in_every_formulation():
    seen = Counter()

    @settings(max_examples=25)
    @given(problems(largest_spread=2, executions=("sequential", "pipelined", "parallel")), st.data())
    def check(drawn, data):
        one = drawn.replace(metrics=[data.draw(own_metrics(drawn))], minimize=dp.metric("own"))
        best = brute_force(one)
        check_every(one, best, seen)
        if best.objective:
            limited = drawn.replace(
                metrics=one.metrics,
                minimize=dp.traffic(),
                subject_to=[*one.subject_to, dp.metric("own") <= 1.5 * best.objective],
            )
            check_every(limited, brute_force(limited), seen)

    check_until(check, lambda: {status for _, status in seen} == {"optimal", "infeasible"})


def check_every(one, best, seen):
    compiled = compile_problem(one)
    for name in registry.suiting(compiled):
        pool = Pool(one, compiled)
        formulation = registry.formulation(name, compiled)
        solver = "cpsat" if formulation.kind == "cp" else "highs"
        outcome = run_formulation(pool, formulation, solver, Limits(threads=1), Control())
        status = "optimal" if outcome.status == "feasible" and pool.objective == pool.bound else outcome.status
        noise = 10 * pool.resolution
        seen[name, check_solved(best, status, pool.objective, pool.bound, noise)] += 1


class AtLeast(dp.CustomConstraint):
    """A device runs at least so many layers, or none."""

    def __init__(self, count):
        self.count, self.label = count, f"at_least({count})"

    def violation(self, problem, plan):
        layers = Counter(device for devices in plan.placement.values() for device in devices.values())
        return max(0, self.count - min(layers.values()))

    def add(self, build):
        c, model = build.c, build.model
        layers = np.flatnonzero(c.is_layer)
        x = build.x[layers]
        used = model.add_variables(
            "used_at_all",
            (len(c.device_names),),
            axes=lambda: (c.device_names,),
            upper=1.0,
            evaluate=lambda placement: np.isin(np.arange(len(c.device_names)), placement[layers]),
        )
        model.add_rows("uses_it", np.stack([np.broadcast_to(used, x.shape), x], axis=2), [1, -1], lower=0)
        together = np.concatenate([x.T, used[:, None]], axis=1)
        model.add_rows(self.label, together, np.append(np.ones(len(layers)), -self.count), lower=0)


def test_own_constraints_match_brute_force_in_every_linear_formulation_and_in_solve():
    seen = Counter()

    @settings(max_examples=25)
    @given(problems(largest_spread=2, executions=("sequential", "pipelined", "parallel")), st.integers(2, 3))
    def check(drawn, count):
        one = drawn.replace(subject_to=[*drawn.subject_to, AtLeast(count)], minimize=dp.traffic())
        best = brute_force(one)
        result = dp.solve(one, threads=1)
        seen["solve", check_solved(best, result.status, result.objective, result.bound)] += 1
        check_every(one, best, seen)

    check_until(check, lambda: {status for _, status in seen} == {"optimal", "infeasible"})
    assert not any(name.startswith("cp-") for name, _ in seen)


def test_own_constraints_match_enumeration_under_scheduled_execution():
    seen = Counter()

    @settings(max_examples=15)
    @given(scheduled(most_placements=64, largest_spread=1), st.integers(2, 3))
    def check(drawn, count):
        one = drawn.replace(subject_to=[*drawn.subject_to, AtLeast(count)])
        if not_a_tree(compile_problem(one)):
            return
        best, result = scheduled_optimum(one), dp.solve(one, threads=1, time_limit=100)
        assert result.status == ("infeasible" if best is None else "optimal")
        assert result.objective == (best if best is None else pytest.approx(best, rel=2e-6))
        seen[result.status] += 1

    check_until(check, lambda: seen["optimal"] >= 3)


class Together(dp.CustomConstraint):
    """No tensor is sent; said in the variables of pairs, which not every linearisation has."""

    label = "together"

    def violation(self, problem, plan):
        return len({device for devices in plan.placement.values() for device in devices.values()}) - 1

    def add(self, build):
        build.model.add_rows(self.label, build.y.ravel(), 1.0, upper=0.0)


@pytest.mark.parametrize("minimize", [dp.latency(), dp.period(), dp.energy()], ids=lambda term: term.metric)
@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined", "scheduled", "call"])
def test_an_own_constraint_in_variables_of_pairs_is_kept_to_under_every_execution(execution, minimize):
    on = platform(
        [dp.Device(name="acc"), dp.Device(name="cpu", pool=True)],
        [link("out", sender="acc"), link("in", receiver="acc")],
        {"acc>cpu": "out", "cpu>acc": "in"},
    )
    net = network("a b c", [tensor("s", "a", "b", 1), tensor("t", "b", "c", 1)])
    times = {"a": (1, 9), "b": (9, 1), "c": (9, 1)}
    one = problem(net, on, times, execution, minimize, energies=times)
    apart, together = dp.solve(one, threads=1), dp.solve(one.replace(subject_to=[Together()]), threads=1)
    assert (apart.status, together.status) == ("optimal", "optimal")
    assert set(apart.plan.placement["net"].values()) == {"acc", "cpu"}
    assert set(together.plan.placement["net"].values()) == {"cpu"}
    assert together.objective == pytest.approx(11)
    with pytest.raises(dp.UnsupportedError, match="no variables for pairs"):
        dp.formulate(one.replace(execution="sequential", subject_to=[Together()]), "boundary")


class KindsApart(dp.CustomConstraint):
    """No device runs two kinds of operators; said in the records of the problem that `Build` hands out."""

    label = "kinds_apart"

    def violation(self, problem, plan):
        kinds = {(plan.placement[net.name][layer.name], layer.op) for net in problem.networks for layer in net.layers}
        return len(kinds) - len({device for device, _ in kinds})

    def add(self, build):
        kinds = sorted({layer.op for layer in build.layers if layer is not None})
        devices = [device.name for device in build.devices]
        rows = {
            kind: [row for row, one in enumerate(build.layers) if one is not None and one.op == kind] for kind in kinds
        }
        there = build.model.add_variables(
            "there",
            (len(kinds), len(devices)),
            axes=lambda: (kinds, devices),
            upper=1.0,
            evaluate=lambda placement: np.array(
                [np.isin(np.arange(len(devices)), placement[rows[kind]]) for kind in kinds], dtype=float
            ),
        )
        for number, kind in enumerate(kinds):
            for row in rows[kind]:
                columns = np.stack([there[number], build.x[row]], axis=1)
                build.model.add_rows(f"runs({row})", columns, [1, -1], lower=0)
        build.model.add_rows(self.label, there.T, 1.0, upper=1.0)


def test_an_own_constraint_on_operators_matches_brute_force_in_every_linear_formulation():
    seen = Counter()

    @settings(max_examples=15)
    @given(problems(largest_spread=2, executions=("sequential", "pipelined", "parallel")), st.data())
    def check(drawn, data):
        networks = [
            net.replace(layers=[one.replace(op=data.draw(st.sampled_from(("Conv", "Gemm")))) for one in net.layers])
            for net in drawn.networks
        ]
        one = drawn.replace(networks=networks, subject_to=[*drawn.subject_to, KindsApart()], minimize=dp.traffic())
        check_every(one, brute_force(one), seen)

    check_until(check, lambda: {status for _, status in seen} == {"optimal", "infeasible"})


class Looking(dp.CustomConstraint):
    """Keeps what it was handed."""

    label = "looking"

    def violation(self, problem, plan):
        return 0.0

    def add(self, build):
        self.build = build


@settings(max_examples=20)
@given(problems(largest_spread=2))
def test_the_records_that_a_build_hands_out_are_in_the_order_of_its_arrays(one):
    looking = Looking()
    compiled = compile_problem(one.replace(subject_to=[*one.subject_to, looking]))
    suiting = [name for name in registry.suiting(compiled) if not name.startswith("cp-")]
    if not suiting:
        return
    registry.formulation(suiting[0], compiled).build(presolve(compiled.at_stage(0, {})).compiled)
    build, c = looking.build, compiled
    assert build.problem.networks == one.networks
    assert build.x.shape == (len(build.layers), len(build.devices))
    for node, (key, layer) in enumerate(zip(build.layer_keys, build.layers, strict=True)):
        assert (layer is None) == (key is None) == (not c.is_layer[node])
        if key is not None:
            assert layer == next(found for found in one.network(key[0]).layers if found.name == key[1])
    assert [device.name for device in build.devices] == list(c.executor_names)
    assert [tensor.bytes for tensor in build.tensors] == c.tensor_bytes.tolist()
    assert [link.name for link in build.links] == list(c.link_names)


def contended(subject_to):
    """Return a schedule of six layers whose optimum, 13 s, the relaxation by modules does not reach."""
    tensors = [tensor("ta", "a", "d e", 3), tensor("tb", "b", "c d e", 4)]
    tensors += [tensor(f"t{word}", word, "output", size) for word, size in zip("cdef", (3, 3, 1, 3), strict=True)]
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    times = {"a": (4, 3), "b": (4, 4), "c": (5, 2), "d": (5, 2), "e": (2, 2), "f": (1, 2)}
    return problem(network("a b c d e f", tensors, sink="p"), on, times, "scheduled", subject_to=subject_to)


def test_a_schedule_is_proved_without_constraint_programming_where_that_does_not_know_a_constraint():
    result = dp.solve(contended([AtLeast(2)]), threads=1)
    assert (result.status, result.objective) == ("optimal", pytest.approx(13))
    assert result.bound_by == "edgewise+disjunctive (highs)"


def test_a_schedule_that_no_exact_formulation_can_prove_keeps_its_plan_and_says_why(monkeypatch):
    monkeypatch.setattr(disjunctive, "MOST_PAIRS", 9)
    result = dp.solve(contended([AtLeast(2)]), threads=1, time_limit=3)
    assert result.status == "feasible"
    assert result.bound <= 13 <= result.objective
    assert result.message == (
        "'cp-schedule' does not support the constraint at_least(2); "
        "'edgewise+disjunctive' does not support graphs with 10 pairs of unordered layers (at most 9)"
    )


def test_a_schedule_is_never_shown_to_an_own_constraint():
    class Looks(Together):
        def violation(self, problem, plan):
            assert plan.schedule is None
            return super().violation(problem, plan)

    result = dp.solve(contended([Looks()]), threads=1, time_limit=5)
    assert result.plan.schedule is not None
    assert len(set(result.plan.placement["net"].values())) == 1


def test_an_own_constraint_without_rows_is_for_heuristics_and_scan():
    class Bare(dp.CustomConstraint):
        label = "bare"
        violation = Together.violation

    one = two_devices(subject_to=[Bare()])
    with pytest.raises(
        dp.UnsupportedError, match="'edgewise\\+sum' does not support the constraint bare, which has no"
    ):
        dp.solve(one)
    with pytest.raises(
        dp.UnsupportedError, match="the constraint bare, which has no method 'add'; no formulation does"
    ):
        dp.formulate(one, "boundary")
    best = brute_force(one).objective
    for method in ("scan", "local-search", "all-on-one"):
        searched = {"iterations": 20} if method == "local-search" else {}
        result = dp.solve(one, method=method, **searched)
        assert result.objective == best
    assert dp.solve(one, method="scan").status == "optimal"


def test_solvers_that_no_formulation_with_an_own_constraint_is_for_are_refused_by_name():
    with pytest.raises(dp.UnsupportedError, match="'cp-assignment' does not support the constraint at_least"):
        dp.solve(two_devices(subject_to=[AtLeast(2)]), solver="cpsat")


def two_devices(**fields):
    net = network("a b", [tensor("t", "a", "b", 2)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    return problem(net, on, dict.fromkeys("ab", (2, 1))).replace(**fields)


def test_identical_devices_are_told_apart_by_an_own_metric_and_never_exchanged_under_an_own_constraint():
    net = network("a b", [tensor("t", "a", "b", 2)])
    on = platform("p q", [link("w"), link("u")], {"p>q": "w", "q>p": "u"})
    one = problem(net, on, dict.fromkeys("ab", (1, 1)))
    own = dp.Metric(name="own", layers={"net": {"a": {"p": 1.0}, "b": {"p": 1.0}}})
    assert set(dp.solve(one.replace(metrics=[own], minimize=dp.metric("own"))).plan.placement["net"].values()) == {"q"}

    class OnQ(dp.CustomConstraint):
        label = "on q"

        def violation(self, problem, plan):
            return float(plan.placement["net"]["b"] != "q")

        def add(self, build):
            build.model.add_rows("on q", build.x[-1], [0, 1], lower=1)

    result = dp.solve(one.replace(subject_to=[OnQ()]))
    assert (result.status, result.plan.placement["net"]) == ("optimal", {"a": "q", "b": "q"})


def test_a_problem_with_own_metrics_is_read_back_as_it_was(tmp_path):
    own = dp.Metric(name="own", unit="g", layers={"net": {"a": {"p": 1.0}}}, links={"w": dp.LinkCharge(per_copy=2)})
    one = two_devices(metrics=[own], minimize=dp.metric("own"), subject_to=[dp.metric("own") <= 3])
    write_problem(one, tmp_path / "own.json")
    assert read_problem(tmp_path / "own.json") == one


def test_a_problem_with_an_own_constraint_is_not_written(tmp_path):
    with pytest.raises(dp.InputError, match=r"subject_to\[0\]: got 'at_least\(2\)'"):
        write_problem(two_devices(subject_to=[AtLeast(2)]), tmp_path / "own.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layers": {"net": {"c": {"p": 1}}}}, r"metrics\[0\].layers.net: got 'c'"),
        ({"layers": {"other": {}}}, r"metrics\[0\].layers: got 'other'"),
        ({"layers": {"net": {"a": {"z": 1}}}}, r"metrics\[0\].layers.net.a: got 'z'"),
        ({"links": {"v": {}}}, r"metrics\[0\].links: got 'v'"),
        ({"exposed": {"net": {"s": 1}}}, r"metrics\[0\].exposed.net: got 's'"),
        ({"exposed": {"net": {"t": 1}}}, r"trusted.*missing"),
        ({"layers": {"net": {"a": {"p": -1}}}}, r"metrics\[0\].layers.net.a.p: got -1"),
        ({"name": "energy"}, r"name: got 'energy', expected a name that no standard metric has"),
        ({"name": "my metric"}, r"name: got 'my metric', expected a name of letters"),
    ],
)
def test_bad_metrics_are_refused_by_name(fields, words):
    with pytest.raises(dp.InputError, match=words):
        two_devices(metrics=[{"name": "own", **fields}])


def test_a_metric_that_the_problem_does_not_have_is_refused():
    with pytest.raises(dp.InputError, match=r"minimize\[0\].metric: got 'carbon', expected the name of a metric"):
        two_devices(minimize=dp.metric("carbon"))
    with pytest.raises(dp.InputError, match=r"subject_to\[0\].metric: got 'carbon'"):
        two_devices(subject_to=[dp.metric("carbon") <= 1])


@pytest.mark.parametrize("value", [float("nan"), None, "much"])
def test_a_violation_that_is_no_number_is_refused(value):
    class Odd(dp.CustomConstraint):
        label = "odd"

        def violation(self, problem, plan):
            return value

        def add(self, build):
            pass

    with pytest.raises(dp.InputError, match=r"violation of odd: got .*, expected a number"):
        dp.solve(two_devices(subject_to=[Odd()]))
