"""The kinds of files and texts that `fuzz.py` mutates: where mutations come from, and how they are read and used."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from mutations import Make, change_bytes, of_data, of_messages, of_text
from seeds import (
    best_known,
    expressions,
    model_files,
    msr_workloads,
    onnx_models,
    pipedream_graphs,
    pipeedge_files,
    plans,
    problems,
    profiles,
    quantities,
    recipes,
    solution_files,
)

import dnnopt as dp
from dnnopt.problem.problem import Problem

_TINY = 40  # layers, tensors and devices together, of a problem that is solved


@dataclass(frozen=True)
class Kind:
    """A kind of file: its ending, what makes a mutation, and what reads and uses it."""

    name: str
    ending: str
    make: Make
    use: Callable[[Path], None]

    def warm_up(self) -> None:
        """Import what reading needs, so that its time and memory are not those of the first mutation."""
        use_problem(first_problem())


@cache
def first_problem() -> Problem:
    """Return the problem that other kinds of files go with."""
    return Problem.from_data(_without_header(problems()[0]))


def _without_header(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("format", "version")}


def use_problem(problem: Problem) -> None:
    """Do with a problem what commands do: write, compile, judge a plan, show; solve it where it is tiny."""
    from rich.console import Console

    from dnnopt.base.files import dump_json
    from dnnopt.compiled.compiler import compile_problem
    from dnnopt.methods.result import print_check
    from dnnopt.studies.features import features, print_features

    console = Console(file=io.StringIO(), width=100)
    text = dump_json(problem.to_data())
    compile_problem(problem)
    first = problem.platform.devices[0].name
    plan = dp.Plan({n.name: {layer.name: first for layer in n.layers} for n in problem.networks})
    plan.check(problem)
    print_check(console, problem, dp.evaluate(problem, plan))
    sizes = [len(problem.platform.devices), *(len(n.layers) + len(n.tensors) for n in problem.networks)]
    if sum(sizes) <= _TINY:
        print_features(console, problem, features(problem), None)
        result = dp.solve(problem, time_limit=1.0, threads=1)
        str(result)
        dump_json(result.to_data())
        if result.status == "error":  # the command line would exit with 3
            raise RuntimeError(f"{result.found_by}, {result.bound_by}: {result.message}")
        if result.status == "infeasible":
            str(dp.explain_infeasibility(problem, time_limit=1.0))
        further = _FURTHER[crc32(text.encode()) % len(_FURTHER)]  # one of them, and the same one each time
        further(problem, result)


def _export(problem: Problem, result: dp.Result) -> None:
    from dnnopt.models.lp import lp_text
    from dnnopt.models.mps import mps_text

    model = dp.formulate(problem, kind="milp")
    model.summary()
    lp_text(model)
    mps_text(model)


def _export_constraints(problem: Problem, result: dp.Result) -> None:
    from dnnopt.models.cp_sat import cp_sat_text
    from dnnopt.models.minizinc import minizinc_texts

    model = dp.formulate(problem, kind="cp")
    model.summary()
    cp_sat_text(model)
    minizinc_texts(model)


def _draw(problem: Problem, result: dp.Result) -> None:
    pictures = [dp.plot.layers(problem, problem.networks[0].name)]
    if result.plan is not None:
        pictures += [dp.plot.placement(result), dp.plot.progress(result), dp.plot.loads(result)]
        if problem.execution not in ("pipelined", "call"):
            pictures.append(dp.plot.schedule(result))
    for picture in pictures:
        picture.savefig(io.BytesIO(), format="svg")


def _compare(problem: Problem, result: dp.Result) -> None:
    from dnnopt.base.tables import as_csv, as_latex, as_markdown

    found = dp.compare(problem, heuristic_limit=0.05, time_limit=1.0, threads=1)
    str(found)
    json.dumps(found.to_data(), allow_nan=False)
    for write in (as_csv, as_latex, as_markdown):
        write(found.to_rows())


def _front(problem: Problem, result: dp.Result) -> None:
    from dnnopt.studies.pareto import pareto

    front = pareto(problem, [dp.latency(), dp.energy()], time_limit=1.0, threads=1)
    json.dumps(front.to_data(), allow_nan=False)


def _rank(problem: Problem, result: dp.Result) -> None:
    found = dp.best_plans(problem, 3, time_limit=1.0, threads=1)
    str(found)
    json.dumps(found.to_data(), allow_nan=False)


def _sweep(problem: Problem, result: dp.Result) -> None:
    found = dp.sweep(problem, "bandwidth=0.1..10", points=2, most=4, time_limit=0.5, threads=1)
    str(found)
    json.dumps(found.to_data(), allow_nan=False)


_FURTHER = (_export, _export_constraints, _draw, _compare, _front, _rank, _sweep)


def _use_problem_file(path: Path) -> None:
    use_problem(dp.read_problem(path))


def _use_variants(path: Path) -> None:
    found = dp.best_of(dp.read_variants(path), time_limit=1.0, threads=1)
    _printed(found.report)
    json.dumps(found.to_data(), allow_nan=False)


def _use_network(path: Path) -> None:
    network = dp.read_network(path)
    network.summary()
    network = network.model_copy(update={"source": None, "sink": None})
    on = first_problem().platform
    use_problem(Problem(network, on, execution="sequential", minimize=dp.latency()))


def _use_platform(path: Path) -> None:
    platform = dp.read_platform(path)
    network = first_problem().networks[0].model_copy(update={"source": None, "sink": None})
    use_problem(Problem(network, platform, execution="sequential", minimize=dp.latency()))


def _use_profile(path: Path) -> None:
    use_problem(first_problem().replace(profile=dp.read_profile(path)))


def _printed(show: Callable[[Any], None]) -> None:
    from rich.console import Console

    show(Console(file=io.StringIO(), width=100))


def _use_plan(path: Path) -> None:
    from dnnopt.methods.result import evaluation_data, print_check, read_result

    problem = first_problem().replace(execution="scheduled")
    plan = dp.read_plan(path, problem)
    evaluation = dp.evaluate(problem, plan)
    _printed(lambda console: print_check(console, problem, evaluation))
    json.dumps(evaluation_data(evaluation), allow_nan=False)
    dp.solve(problem, start=plan, time_limit=1.0, threads=1)
    if b'"format"' in path.read_bytes():
        read_result(path)


def _use_onnx(path: Path) -> None:
    network = dp.read_onnx(path, dimensions={"N": 2})
    network.summary()
    use_problem(Problem(network, "pi4-lte-t4", execution="sequential", minimize=dp.latency()))


def _use_msr(path: Path) -> None:
    use_problem(dp.read_msr(path))
    use_problem(dp.read_msr(path, objective="latency"))


def _use_pipeedge(path: Path) -> None:
    use_problem(dp.read_pipeedge(path, model="m", devices={"board": 2, "other": 1}))


def _use_pipedream(path: Path) -> None:
    use_problem(dp.read_pipedream(path, machines=(2, 1)))


def _use_model(path: Path) -> None:
    """Read a model file, and a solution of the model that it was made from."""
    good = path.with_name("good.sol")
    good.write_text(solution_files()[0], encoding="utf-8")
    dp.plan_from_file(path, good, first_problem())


def _use_solution(path: Path) -> None:
    good = path.with_name("good.lp")
    good.write_text(model_files()[".lp"], encoding="utf-8")
    dp.evaluate(first_problem(), dp.plan_from_file(good, path, first_problem()))


def _use_recipe(path: Path) -> None:
    from dnnopt.base.json_text import parse_json

    recipe = dp.Recipe.from_data(parse_json(path.read_text(encoding="utf-8", errors="replace")))
    if recipe.size * len(recipe.kinds) * recipe.devices > 2000:
        recipe = recipe.replace(size=3, devices=2, hosts=1)
    use_problem(dp.generate(recipe).problem)


def _use_best_known(path: Path) -> None:
    from dnnopt.studies.best_known import read_table, write_table

    write_table(read_table(path).values(), path)


def _use_expression(path: Path) -> None:
    from dnnopt.problem.expressions import parse_constraints, parse_objective
    from dnnopt.problem.parameters import parse_range, parse_setting

    option, _, text = path.read_text(encoding="utf-8", errors="replace").partition("|")
    problem = first_problem()
    if option == "minimize":
        problem = problem.replace(minimize=parse_objective(text, ["spread"]))
    elif option == "subject-to":
        problem = problem.replace(
            subject_to=(*problem.subject_to, *parse_constraints(text, problem.networks, ["spread"]))
        )
    elif option == "set":
        parameter, value = parse_setting(text)
        parameter.check(problem)
        problem = parameter.at(problem, value)
    else:
        parameter, low, high = parse_range(text)
        parameter.check(problem)
        use_problem(parameter.at(problem, low))
        problem = parameter.at(problem, high)
    use_problem(problem)


def _use_quantity(path: Path) -> None:
    from dnnopt.base.numbers import format_quantity
    from dnnopt.base.units import _UNITS, parse_quantity

    text = path.read_text(encoding="utf-8", errors="replace")
    errors = []
    for dimension in _UNITS:
        try:
            format_quantity(parse_quantity(text, dimension), "s")
        except dp.InputError as error:
            errors.append(error)
    if len(errors) == len(_UNITS):
        raise errors[0]


def _packed(make: Make, seeds: list[bytes]) -> Make:
    """Return what makes mutations of packed files: of what is in them, or of the packed bytes."""

    def pack(random: Random) -> bytes:
        if random.random() < 0.5:
            return gzip.compress(make(random), mtime=0)
        return change_bytes(gzip.compress(random.choice(seeds), mtime=0), random)

    return pack


def _with_header(kind: str, parts: Iterable[dict[str, Any]]) -> Make:
    return of_data([{"format": f"dnnopt-{kind}", "version": 1, **part} for part in parts])


def _problems() -> Make:
    return of_data(problems())


def _packed_problems() -> Make:
    return _packed(of_data(problems()), [json.dumps(problem).encode() for problem in problems()])


def _variants() -> Make:
    first, second = (one | {"minimize": [{"metric": "latency"}]} for one in problems()[:2])
    return _with_header("variants", [{"name": "three", "problems": {"a": first, "b": second, "c": "small/001"}}])


def _models(ending: str) -> Make:
    return of_text([model_files()[ending]])


def _option(name: str) -> Make:
    make = of_text(expressions()[name])
    return lambda random: f"{name}|".encode() + make(random)


# name -> ending, where mutations come from, and what reads and uses them
KINDS: dict[str, tuple[str, Callable[[], Make], Callable[[Path], None]]] = {
    "problem": (".json", _problems, _use_problem_file),
    "packed problem": (".json.gz", _packed_problems, _use_problem_file),
    "variants": (".json", _variants, _use_variants),
    "network": (".json", lambda: _with_header("network", problems()[0]["networks"]), _use_network),
    "platform": (".json", lambda: _with_header("platform", [problems()[0]["platform"]]), _use_platform),
    "profile": (".json", lambda: _with_header("profile", profiles()), _use_profile),
    "plan, result": (".json", lambda: of_data(plans()), _use_plan),
    "ONNX": (".onnx", lambda: of_messages(onnx_models()), _use_onnx),
    "MSR": (".json", lambda: of_data(msr_workloads()), _use_msr),
    "PipeEdge JSON": (".json", lambda: of_data([pipeedge_files()[0]]), _use_pipeedge),
    "PipeEdge YAML": (".yml", lambda: of_text([pipeedge_files()[1]]), _use_pipeedge),
    "PipeDream": (".txt", lambda: of_text(pipedream_graphs()), _use_pipedream),
    "model .lp": (".lp", lambda: _models(".lp"), _use_model),
    "model .mps": (".mps", lambda: _models(".mps"), _use_model),
    "model .mps.gz": (".mps.gz", lambda: _packed(_models(".mps"), [model_files()[".mps"].encode()]), _use_model),
    "solution": (".sol", lambda: of_text(solution_files()), _use_solution),
    "recipe": (".json", lambda: of_data(recipes()), _use_recipe),
    "best known": (".csv", lambda: of_text([best_known()]), _use_best_known),
    "--minimize": (".txt", lambda: _option("minimize"), _use_expression),
    "--subject-to": (".txt", lambda: _option("subject-to"), _use_expression),
    "--set": (".txt", lambda: _option("set"), _use_expression),
    "--vary": (".txt", lambda: _option("vary"), _use_expression),
    "quantity": (".txt", lambda: of_text(quantities()), _use_quantity),
}


@cache
def kind_of(name: str) -> Kind:
    """Return the kind of that name."""
    ending, make, use = KINDS[name]
    return Kind(name, ending, make(), use)
