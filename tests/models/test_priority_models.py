"""A problem with priorities leaves as a model for each, which holds what the earlier ones have reached."""

import pytest
from brute_force import lexicographic_optimum
from builders import network, platform, problem
from commands import dnnopt
from hypothesis import assume, given, settings
from readers import cbc, highs
from strategies import problems

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.solutions import plan_from_file


def three_priorities():
    """Devices differ in time, energy and cost: the time of all but s is the least; r costs less than q, as q does."""
    return problem(
        network("a"),
        platform("p q r s"),
        {"a": (2, 2, 2, 3)},
        energies={"a": (5, 3, 3, 0)},
        minimize=[dp.latency(), dp.energy().replace(priority=1), dp.traffic().replace(priority=2)],
    )


@pytest.fixture
def problem_file(tmp_path):
    path = tmp_path / "problem.json"
    dp.write_problem(three_priorities().replace(name="three"), path)
    return path


@settings(max_examples=10)
@given(problems(("sequential", "pipelined"), 81, most_constraints=2, largest_spread=0, priorities=2))
def test_models_one_after_the_other_reach_the_lexicographic_optimum(tmp_path_factory, one):
    folder = tmp_path_factory.mktemp("stages")
    expected = lexicographic_optimum(one)
    compiled = compile_problem(one).at_stage(1, {0: 1.0})
    assume(registry.supporting(compiled, "milp"))
    reached = []
    for stage in range(2):
        model = dp.formulate(one, "product", reached=reached)
        file = folder / f"model.{stage}.mps"
        model.write(file)
        reading = cbc(file)
        if expected is None:
            assert reading.objective is None
            return
        assert reading.objective * model.objective_unit == pytest.approx(expected[stage], rel=1e-6, abs=1e-12)
        reached.append(dp.evaluate(one, plan_from_file(file, reading.solution, one)).objectives[stage])
    assert reached == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_header_says_which_priority_it_is_and_brings_the_model_back(tmp_path):
    one, file = three_priorities(), tmp_path / "model.lp"
    dp.formulate(one, reached=[2.0, 3.0]).write(file)
    header = file.read_text(encoding="utf-8").split("\n")[0]
    assert header.endswith("Priority 3 of 3; reached before: 2.0, 3.0.")
    assert plan_from_file(file, highs(file).solution, one).placement["net"]["a"] in ("q", "r")
    wrong = one.replace(minimize=one.minimize[:2])
    with pytest.raises(dp.InputError, match=r"model\.lp: .*Priority 3 of 3.*2 priorities"):
        plan_from_file(file, highs(file).solution, wrong)


def test_modelling_layers_hold_what_was_reached():
    pytest.importorskip("pyomo", reason="pyomo is not installed")
    pyo = pytest.importorskip("pyomo.environ", reason="pyomo is not installed")
    one = three_priorities()
    m = dp.formulate(one, reached=[2.0]).to_pyomo()
    pyo.SolverFactory("appsi_highs").solve(m)
    assert dp.evaluate(one, dp.plan_from_pyomo(m, one)).objectives[:2] == pytest.approx((2, 3))


@pytest.mark.parametrize(
    ("minimize", "reached", "words"),
    [
        (slice(3), None, "reached: the problem has 3 priorities"),
        (slice(3), [1.0, 2.0, 3.0], "at most 2 values"),
        (slice(3), [float("nan")], "finite"),
        (slice(1), [1.0], "at most 0 values, for the problem has 1 priority"),
    ],
)
def test_what_is_not_one_model_is_refused(minimize, reached, words):
    one = three_priorities()
    with pytest.raises(dp.InputError, match=words):
        dp.formulate(one.replace(minimize=one.minimize[minimize]), reached=reached)


def test_without_priorities_nothing_is_said_of_them():
    one = three_priorities()
    one = one.replace(minimize=one.minimize[:1])
    assert dp.formulate(one, reached=[]).describe() == dp.formulate(one).describe()


# The command


def test_export_writes_the_first_priority_and_says_so(problem_file, tmp_path):
    done = dnnopt("export", problem_file, "-o", tmp_path / "model.mps.gz")
    assert done.returncode == 0, done.output
    assert "priority 1 of 3" in done.stderr
    assert [file.name for file in tmp_path.glob("model*")] == ["model.1.mps.gz"]


def test_plans_of_one_model_make_the_next(problem_file, tmp_path):
    one, options = dp.read_problem(problem_file), []
    for stage in (1, 2, 3):
        done = dnnopt("export", problem_file, "-o", tmp_path / "model.lp", *options)
        assert done.returncode == 0, done.output
        assert (f"priority {stage} of 3" in done.stderr) == (stage < 3)
        model, out = tmp_path / f"model.{stage}.lp", tmp_path / f"plan.{stage}.json"
        done = dnnopt("import-solution", model, cbc(model).solution, "--problem", problem_file, "-o", out)
        assert done.returncode == 0, done.output
        options += ["--reached", str(out)]
    assert dp.evaluate(one, dp.read_plan(out)).objectives == pytest.approx((2, 3, 0))


def test_solve_writes_a_model_of_every_priority(problem_file, tmp_path):
    given_values = dnnopt("export", problem_file, "-o", tmp_path / "given.mzn", "--reached", "2000 ms", "--reached", 3)
    assert given_values.returncode == 0, given_values.output
    done = dnnopt("export", problem_file, "-o", tmp_path / "model.mzn", "--solve", "--time-limit", 60)
    assert (done.returncode, done.stderr) == (0, "")
    names = sorted(file.name for file in tmp_path.glob("model*"))
    assert names == [f"model.{stage}.{ending}" for stage in (1, 2, 3) for ending in ("dzn", "mzn")]
    assert (tmp_path / "model.3.mzn").read_bytes() == (tmp_path / "given.3.mzn").read_bytes()


def test_options_that_do_not_fit_are_refused(problem_file, tmp_path):
    single = tmp_path / "single.json"
    one = three_priorities()
    dp.write_problem(one.replace(minimize=one.minimize[:1]), single)
    for words, said in [
        ((single, "--reached", 1), "--reached"),
        ((single, "--solve"), "--solve"),
        ((problem_file, "--time-limit", 3), "--time-limit"),
        ((problem_file, "--solve", "--reached", 1), "--reached"),
        ((problem_file, *["--reached", 1] * 3), "at most 2"),
        ((problem_file, "--reached", tmp_path / "none.json"), "none.json"),
        ((problem_file, "--reached", "nan"), "finite"),
        ((problem_file, "--reached", "2 J"), "--reached: got '2 J', expected time such as"),
    ]:
        done = dnnopt("export", *words, "-o", tmp_path / "model.lp")
        assert done.returncode == 2, words
        assert said in done.output
