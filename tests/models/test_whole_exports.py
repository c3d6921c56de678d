"""Nothing is lost on the way out: blocks without labels, names, numbers, and what a writer would leave out."""

import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
from builders import layer, link, network, platform, problem, tensor
from exporting import optimum
from hypothesis import given, settings
from linear_models import linear_models
from readers import READERS

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.solutions import plan_from_file
from dnnopt.models import cp_sat as cp_sat_file
from dnnopt.models import lp as lp_file
from dnnopt.models import minizinc as minizinc_files
from dnnopt.models import mps as mps_file
from dnnopt.models import portable
from dnnopt.models import pulp as pulp_model
from dnnopt.models import pyomo as pyomo_model
from dnnopt.models.arrays import Block
from dnnopt.models.components import components
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel
from dnnopt.models.lp import lp_text, size_of_lp
from dnnopt.models.mps import mps_text, size_of_mps
from dnnopt.problem import library

LAYERS = ("a", "b", "c", "d")


class Together(dp.CustomConstraint):
    """A device that runs any layer runs at least so many; its blocks of variables and rows have no labels."""

    def __init__(self, count, axes=None):
        self.count = count
        self.label = "together"
        self.axes = {} if axes is None else {"axes": axes}

    def violation(self, problem, plan):
        layers = Counter(device for devices in plan.placement.values() for device in devices.values())
        return max(0, self.count - min(layers.values()))

    def add(self, build):
        layers = np.flatnonzero(build.c.is_layer)
        x = build.x[layers]
        awake = build.model.add_variables(
            "awake",
            (x.shape[1],),
            upper=1.0,
            evaluate=lambda placement: np.isin(np.arange(x.shape[1]), placement[layers]),
            **self.axes,
        )
        each = np.stack([np.broadcast_to(awake, x.shape), x], axis=2)
        build.model.add_rows("wakes", each, [1, -1], lower=0, **self.axes)
        rows = np.concatenate([x.T, awake[:, None]], axis=1)
        values = np.append(np.ones(len(layers)), -self.count)
        build.model.add_rows(self.label, rows, values, lower=0, **self.axes)


def own_piece(axes=None, count=3):
    """A chain whose first layer is better on pi and whose others are better on t4: 4 without the constraint, then 9."""
    return problem(
        network(
            [layer(name) for name in LAYERS],
            [tensor(f"t{v}", LAYERS[v], LAYERS[v + 1], 0) for v in range(3)],
            source=None,
        ),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"a": (1, 6), "b": (5, 1), "c": (5, 1), "d": (5, 1)},
        subject_to=[Together(count, axes)],
    )


AXES = {
    "none": None,
    "one": lambda: (["only"],),
    "too many": lambda: (["p", "q", "r"], ["s"] * 5),
    "equal": lambda: (["same"] * 2,),
    "numbers": lambda: (range(2),),
    "control characters": lambda: (["\x1b[2J", "a\nb"],),
}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_pieces_with_any_labels_leave_whole_by_every_way_out(axes, tmp_path):
    one = own_piece(axes)
    model = dp.formulate(one, "edgewise")
    best = optimum(model)
    assert best * model.objective_unit == pytest.approx(9)
    assert optimum(dp.formulate(own_piece(axes, count=1), "edgewise")) * model.objective_unit == pytest.approx(4)
    for ending in (".lp", ".mps"):
        file = tmp_path / f"model{ending}"
        model.write(file)
        for name, reader in READERS.items():
            reading = reader(file)
            assert (reading.columns, reading.rows, reading.nonzeros) == model.size(), (name, ending)
            assert reading.objective == pytest.approx(best), (name, ending)
            assert dp.evaluate(one, plan_from_file(file, reading.solution, one)).objective == pytest.approx(9)


@pytest.mark.parametrize("solver", ["highs", "cbc", "scip", "pyomo:appsi_highs"])
def test_pieces_without_labels_reach_every_solver(solver):
    for module in {"scip": ["pyscipopt"], "pyomo:appsi_highs": ["pyomo"]}.get(solver, []):
        pytest.importorskip(module, reason=f"{module} is not installed")
    result = dp.solve(own_piece(), formulation="edgewise", solver=solver, threads=1)
    assert (result.status, result.objective) == ("optimal", pytest.approx(9))


def test_pieces_without_labels_leave_whole_for_modelling_layers():
    pyo = pytest.importorskip("pyomo.environ", reason="pyomo is not installed")
    pulp = pytest.importorskip("pulp", reason="pulp is not installed")
    one = own_piece()
    model = dp.formulate(one, "edgewise")
    m, lp = model.to_pyomo(), model.to_pulp()
    assert list(m.awake) == ["0", "1"]
    assert len(m.wakes) == 8
    assert sum(len(rows) for rows in m.component_objects(pyo.Constraint)) == model.row_count
    assert len(lp.constraints()) == model.row_count
    pyo.SolverFactory("appsi_highs").solve(m)
    lp.solve(pulp.HiGHS(msg=False))
    for plan in (dp.plan_from_pyomo(m, one), dp.plan_from_pulp(lp, one)):
        assert dp.evaluate(one, plan).objective == pytest.approx(9)


@settings(max_examples=8)
@given(model=linear_models())
def test_any_model_is_read_whole_by_every_solver(model, tmp_path_factory):
    best, folder = optimum(model), tmp_path_factory.mktemp("random")
    for ending in (".lp", ".mps"):
        file = folder / f"model{ending}"
        model.write(file)
        written = portable.portable(model, one_sided=ending == ".lp", constant=True)
        right = len(written.columns), len(written.rows), len(written.arrays.value)
        for name, reader in READERS.items():
            reading = reader(file)
            assert (reading.columns, reading.rows, reading.nonzeros) == right, (name, ending)
            same = best if best is None else pytest.approx(best, rel=1e-6, abs=1e-6)
            assert reading.objective == same, (name, ending)


@settings(max_examples=50)
@given(model=linear_models())
def test_sizes_are_the_models_but_for_what_the_formats_need(model):
    columns, rows, nonzeros = model.size()
    arrays = model.arrays().tidied()
    free = np.isinf(arrays.row_lower) & np.isinf(arrays.row_upper)
    ranges = np.isfinite(arrays.row_lower) & np.isfinite(arrays.row_upper) & (arrays.row_lower < arrays.row_upper)
    entries = np.diff(arrays.start)
    columns += model.offset != 0  # a constant is a column
    rows -= free.sum()  # rows without a side say nothing
    nonzeros -= entries[free].sum()
    assert size_of_mps(mps_text(model)) == (columns, rows, nonzeros)
    assert size_of_lp(lp_text(model)) == (columns, rows + ranges.sum(), nonzeros + entries[ranges].sum())


@pytest.mark.parametrize(
    ("name", "formulation", "reached"),
    [
        ("small/001", "boundary+sum", ()),
        ("small/002", "product+period", ()),
        ("small/002", "treewise+period", ()),
        ("small/008", "edgewise+paths", ()),
        ("small/013", "boundary+potentials", ()),
        ("small/023", "edgewise+potentials", (2.457734593967491,)),
    ],
)
def test_formulations_of_library_problems_have_their_sizes_and_optima(name, formulation, reached, tmp_path):
    """A sample of what benchmarks/exports.py does."""
    one = dp.load(name)
    model = dp.formulate(one, formulation, reached=reached)
    best = dp.evaluate(one, dp.read_plan(library.folder("plans") / f"{name}.json.gz", one)).objectives[len(reached)]
    for ending in (".lp", ".mps"):
        file = tmp_path / f"model{ending}"
        model.write(file)
        for reader in READERS.values():
            reading = reader(file)
            assert (reading.columns, reading.rows, reading.nonzeros) == model.size(), reader
            assert reading.objective * model.objective_unit == pytest.approx(best, rel=1e-6), reader


def test_every_row_and_column_of_a_formulation_is_written():
    model = dp.formulate(dp.load("small/001"), "product")
    assert size_of_lp(lp_text(model)) == size_of_mps(mps_text(model)) == model.size()


# Labels


@pytest.mark.parametrize(
    ("shape", "axes", "names"),
    [
        ((), (), ["b"]),
        ((2,), (), ["b(0)", "b(1)"]),
        ((2,), (["p", "q"],), ["b(p)", "b(q)"]),
        ((2,), (["p"],), ["b(0)", "b(1)"]),
        ((1, 2), (["p"],), ["b(p,0)", "b(p,1)"]),
        ((2,), (["p", "q"], ["r"]), ["b(p)", "b(q)"]),
        ((2,), ([3, 4],), ["b(3)", "b(4)"]),
        ((0,), (), []),
    ],
)
def test_axes_without_fitting_labels_are_numbered(shape, axes, names):
    block = Block("b", 0, shape, lambda: axes)
    assert block.names() == names
    assert ["b" + (f"({','.join(labels)})" if labels else "") for labels in block.labels()] == names


def test_very_many_names_that_are_the_same_are_told_apart():
    layers = ["層" * 5] * 20_000
    assert len(set(portable.safe_names(layers))) == len(layers)
    (component,) = components([Block("b", 0, (len(layers),), lambda: (layers,))])
    assert sorted(component.members.values()) == list(range(len(layers)))


WORDS = [
    "inf", "inf(0)", "info", "nan(0)", "Infinity", "free", "bin", "st", "end", "obj", "max", "general", "sos1",
    "subject", "bounds", "integer", "rhs",
    "NAME", "ROWS", "RANGES", "objsense", "marker", "e9", "E5x", "1st", "constant_1",
    "x.low",
]  # fmt: skip


@pytest.mark.parametrize("ending", [".lp", ".mps"])
def test_names_that_are_words_of_the_formats_are_read(ending, tmp_path):
    model = LinearModel("words")
    columns = [int(model.add_variables(name, (), upper=4, integer=True)) for name in WORDS]
    for column, name in zip(columns, WORDS, strict=True):
        model.add_rows(name, np.array([column, columns[0]]), [1.0, 1.0], lower=2.5, upper=7)
    model.minimize(np.array(columns), 1.0)
    file = tmp_path / f"model{ending}"
    model.write(file)
    for name, reader in READERS.items():
        assert reader(file).objective == pytest.approx(optimum(model)), name


# Numbers


def two_columns(**bounds):
    model = LinearModel("two")
    return model, model.add_variables("x", (2,), axes=lambda: (["p", "q"],), **bounds)


def test_entries_of_one_place_are_summed():
    model, x = two_columns(upper=5, integer=True)
    model.add_rows("r", x[[0, 0, 1, 1, 1]], [1.0, 2.0, 1.0, 0.0, -1.0], lower=4)
    model.minimize(x, 1.0)
    assert model.size() == (2, 1, 1)
    assert optimum(model) == 2
    assert " r: + 3 x(p) >= 4\n" in lp_text(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m, x: m.add_rows("r", x, [1.0, np.nan], lower=0), r"row r, column x\(q\): got nan"),
        (lambda m, x: m.add_rows("r", x, [np.inf, 1.0], lower=0), r"row r, column x\(p\): got inf"),
        (lambda m, x: m.add_rows("r", x, 1.0, lower=np.inf), "r: got 'inf to inf'"),
        (lambda m, x: m.add_rows("r", x, 1.0, lower=2, upper=1), r"r: got '2\.0 to 1\.0'"),
        (lambda m, x: m.minimize(x, [0.0, np.inf]), r"cost of x\(q\): got inf"),
        (lambda m, x: setattr(m, "offset", np.nan), "constant of the objective: got nan"),
        (lambda m, x: m.add_variables("z", (), lower=3, upper=2), r"z: got '3\.0 to 2\.0'"),
    ],
)
@pytest.mark.parametrize("write", [lp_text, mps_text, LinearModel.to_pyomo, LinearModel.to_pulp])
def test_numbers_that_no_file_can_hold_are_refused_with_their_place(change, words, write):
    for module in ("pyomo", "pulp"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    model, x = two_columns()
    change(model, x)
    with pytest.raises(dp.InputError, match=words):
        write(model)


def test_bounds_of_integer_variables_are_whole():
    model, _ = two_columns(lower=[0.5, -2.5], upper=[2.5, np.inf], integer=True)
    assert model.arrays().lower.tolist() == [1, -2]
    assert model.arrays().upper.tolist() == [2, np.inf]


def test_model_without_columns_is_written(tmp_path):
    file = tmp_path / "model.lp"
    LinearModel("nothing").write(file)
    assert READERS["highs"](file).objective == 0


# What is lost is noticed


def lossy(make, lost):
    """Return a function that leaves out what `make` yields where `lost` is found in it."""

    def made(*arguments):
        return [line for line in make(*arguments) if lost not in str(line)]

    return made


@pytest.mark.parametrize(
    ("place", "name", "lost", "write", "words"),
    [
        (lp_file, "_rows", "r(1)", lp_text, "4 rows of a model with 5"),
        (lp_file, "_terms", "y(2)", lp_text, "columns|nonzeros"),
        (mps_file, "_row_kinds", "r(1)", mps_text, "4 rows of a model with 5"),
        (mps_file, "_columns", "y(2)", mps_text, "4 columns of a model with 5"),
        (mps_file, "_columns", "y(2) r", mps_text, "nonzeros"),
    ],
)
def test_file_that_lacks_something_is_not_written(monkeypatch, tmp_path, place, name, lost, write, words):
    model = LinearModel("five")
    columns = model.add_variables("y", (5,), upper=1)
    model.add_rows("r", columns[:, None], 1.0, lower=0.5)
    model.minimize(columns, 1.0)
    monkeypatch.setattr(place, name, lossy(getattr(place, name), lost))
    with pytest.raises(RuntimeError, match=words):
        write(model)
    file = tmp_path / ("model.lp" if place is lp_file else "model.mps")
    with pytest.raises(RuntimeError):
        model.write(file)
    assert not file.exists()


def test_modelling_layer_that_lacks_a_row_is_not_returned(monkeypatch):
    pulp = pytest.importorskip("pulp", reason="pulp is not installed")
    pytest.importorskip("pyomo", reason="pyomo is not installed")
    model, x = two_columns(upper=1)
    model.add_rows("r", x[:, None], 1.0, lower=0.5)
    monkeypatch.setattr(pyomo_model, "components", partial(without_last, pyomo_model.components))
    with pytest.raises(RuntimeError, match="Pyomo model would hold"):
        model.to_pyomo()
    monkeypatch.setattr(pulp.LpProblem, "addConstraint", lambda self, row: None)
    with pytest.raises(RuntimeError, match="PuLP model would hold"):
        pulp_model.pulp_model(model)


def without_last(components, blocks, taken=()):
    found = components(blocks, taken)
    if blocks and blocks[0].name == "r":
        found[-1].members.popitem()
    return found


def tiny_constraints():
    model = ConstraintModel("tiny")
    x = model.add_variables("x", (3,))
    model.add_exactly_one(x[None])
    model.add_clauses("either", x[None, :2], (True, False))
    model.add_rows("at most", x[None], [1, 1, 2], lower=[0], upper=[2])
    model.add_whole_row("at least", x, 1, lower=1)
    model.minimize(x, np.array([3, 2, 1]))
    return model


@pytest.mark.parametrize(
    ("place", "change", "write"),
    [
        (minizinc_files, "_add_choices", minizinc_files.minizinc_texts),
        (minizinc_files, "_add_clauses", minizinc_files.minizinc_texts),
        (minizinc_files, "_add_family", minizinc_files.minizinc_texts),
        (minizinc_files, "safe_names", minizinc_files.minizinc_texts),
        (cp_sat_file, "read_text", cp_sat_file.cp_sat_text),
    ],
)
def test_constraint_file_that_lacks_something_is_not_returned(monkeypatch, place, change, write):
    write(tiny_constraints())
    as_it_is = getattr(place, change)
    lossy = {
        "safe_names": lambda names: as_it_is(names)[1:],
        "read_text": lambda file: re.sub(r"^constraints", "nothing", as_it_is(file), count=1, flags=re.MULTILINE),
    }
    monkeypatch.setattr(place, change, lossy.get(change, lambda *arguments: None))
    with pytest.raises(RuntimeError, match="file would hold"):
        write(tiny_constraints())


def test_rows_that_are_otherwise_added_as_needed_are_written():
    two = problem(
        network(
            "a b",
            [tensor("in", "input", "a", 1), tensor("t", "a", "b", 1)],
            source="pi",
        ),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"a": (1, 2), "b": (3, 1)},
        execution="parallel",
    )
    compiled = compile_problem(two)
    model = registry.formulation("edgewise+paths", compiled).build(compiled)
    few = model.row_count
    text = lp_text(dp.formulate(two, "edgewise+paths"))
    for write in (LinearModel.to_pyomo, LinearModel.to_pulp):
        pytest.importorskip("pyomo" if write is LinearModel.to_pyomo else "pulp")
        write(registry.formulation("edgewise+paths", compiled).build(compiled))
    model.complete()
    assert model.row_count > few
    assert size_of_lp(text).rows == model.row_count


# Headers


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak: edgewise+sum. Units:",
        "\x1b[2J\x00\r",
        "\\* comment *\\",
        "* % # \\",
        "Priority 2 of 3; reached before: 1.0.",
        "\u202eright to left",
        "x" * 5000,
        "é 层",
    ],
)
@pytest.mark.parametrize("ending", [".lp", ".mps", ".pb.txt", ".mzn"])
def test_header_is_one_short_line_whatever_the_problem_is_called(name, ending, tmp_path):
    one = own_piece().replace(name=name, subject_to=[])
    file = tmp_path / f"model{ending}"
    model = dp.formulate(one, "cp-assignment" if ending in (".pb.txt", ".mzn") else "product")
    model.write(file)
    text = file.read_text(encoding="utf-8")
    header = text.split("\n")[0]
    assert header.isprintable()
    assert len(header) < 400
    if ending in (".lp", ".mps"):
        for reader in READERS.values():
            assert reader(file).objective == pytest.approx(optimum(model))
    listed = tmp_path / "list.sol"
    listed.write_text("x(a,pi) 1\n" + "".join(f"x({one},t4) 1\n" for one in LAYERS[1:]), encoding="utf-8")
    assert dp.evaluate(one, plan_from_file(file, listed, one)).objective == pytest.approx(4)
