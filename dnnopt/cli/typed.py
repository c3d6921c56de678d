"""What is typed after options, read: each error names its option."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.base.text import unquoted, visible
from dnnopt.cli.app import announce
from dnnopt.cli.options import whole

if TYPE_CHECKING:
    from dnnopt.inputs.onnx.costs import CostFunction
    from dnnopt.problem.constraints import Constraint
    from dnnopt.problem.networks import Network
    from dnnopt.problem.objectives import Term
    from dnnopt.problem.problem import Problem
    from dnnopt.studies.explanation import Explanation

_ASSIGNMENT = re.compile(r'(\s*"[^"]*"\s*|[^=]*)=(.*)', re.DOTALL)


def named(parse: Callable[[str], Any], text: str, option: str) -> Any:
    try:
        return parse(text)
    except InputError as error:
        raise error.within(field=option) from None


def assignments(texts: list[str] | None, option: str, read: Callable[[str, str], Any], example: str) -> dict[str, Any]:
    """Return what texts of the kind NAME=VALUE say; `read` is given both. A name may stand in double quotes."""
    found: dict[str, Any] = {}
    for text in texts or ():
        match = _ASSIGNMENT.fullmatch(text)
        name = unquoted(match[1].strip()) if match else ""
        if match is None or not name:
            raise InputError(f"NAME=VALUE, such as '{example}'", field=option, value=text)
        if name in found:
            raise InputError("every name once", field=option, value=text)
        found[name] = named(partial(read, name), match[2], option)
    return found


def dimensions(texts: list[str] | None) -> dict[str, int]:
    """Return the sizes that ``--dim`` gives."""
    return assignments(texts, "--dim", lambda _, value: whole(value.strip(), 0), "batch=1")


def costs(texts: list[str] | None) -> dict[str, CostFunction]:
    """Return the costs of operators that ``--cost`` gives."""
    from dnnopt.inputs.onnx.own_costs import parse_cost

    found: dict[str, CostFunction] = {}
    for text in texts or ():
        name, cost = named(parse_cost, text, "--cost")
        if name in found:
            raise InputError("every operator once", field="--cost", value=text)
        found[name] = cost
    return found


def memory_limits(texts: list[str] | None) -> dict[str, float]:
    """Return the bytes on each device that ``--memory`` gives."""
    from dnnopt.base.units import parse_quantity

    def read(device: str, text: str) -> float:
        return parse_quantity(text, "bytes", after=f"{device}=")

    return assignments(texts, "--memory", read, "pi=64 MiB")


def rate(text: str) -> float:
    """Return the requests per second that ``--rate`` gives."""
    from dnnopt.base.units import parse_quantity

    value: float = named(lambda text: parse_quantity(text, "frequency"), text, "--rate")
    if not value > 0:
        raise InputError("a rate > 0, such as '10 /s'", field="--rate", value=text)
    return value


def objective(minimize: str | None, maximize: str | None, execution: str | None = None) -> tuple[Term, ...]:
    """Return the objective that is asked for; where none is, what the execution is made for."""
    from dnnopt.problem.expressions import THROUGHPUT, parse_objective

    if maximize is not None and minimize is not None:
        raise InputError("", field="--maximize", problem="does not go with --minimize")
    if maximize is not None and maximize.strip() != THROUGHPUT:
        raise InputError("'throughput' (all else is minimised)", field="--maximize", value=maximize)
    if minimize is not None and minimize.strip(" -") == THROUGHPUT:
        expected = "what is to be small; '--maximize throughput' is the same as '--minimize period'"
        raise InputError(expected, field="--minimize", value=minimize)
    if minimize is None and maximize is None and execution == "pipelined":
        announce("The period is minimised, as execution is pipelined: throughput is 1 / period.")
        return parse_objective("period")
    wanted = "latency" if minimize is None else minimize
    option, text = ("--minimize", wanted) if maximize is None else ("--maximize", maximize)
    terms: tuple[Term, ...] = named(parse_objective, text, option)
    return terms


def constraints(texts: list[str] | None, networks: Sequence[Network]) -> list[tuple[str, Constraint]]:
    """Return the constraints that ``--subject-to`` lists, each with the text that says it."""
    from dnnopt.problem.expressions import parse_constraints

    def read(text: str) -> tuple[Constraint, ...]:
        return parse_constraints(text, networks)

    return [(text, one) for text in texts or () for one in named(read, text, "--subject-to")]


_texts: dict[Constraint, str] = {}


def remember(limits: Sequence[tuple[str, Constraint]]) -> None:
    """Keep which text says each constraint of the problem that the command is about."""
    _texts.clear()
    _texts.update((limit, text) for text, limit in limits)


def as_typed(found: Explanation) -> Explanation:
    """Return an explanation whose parts are called as they were typed."""
    from dnnopt.studies.explain import part_name

    names = {
        part_name(spec.label, index): f"{spec.label} (-s {_texts[spec]!r})"
        for index, spec in enumerate(found.problem.subject_to)
        if spec in _texts
    }
    return found.renamed(names)


def sensitive(network: Network, texts: list[str] | None, decay_text: str | None) -> Network:
    """Return the network with the sensitivities that ``--sensitivity`` and ``--decay`` give."""
    from dnnopt.problem.networks import INPUT

    if not texts and decay_text is None:
        return network
    decay = None if decay_text is None else named(partial(_share, ""), decay_text, "--decay")
    files = [text for text in texts or () if text.endswith((".json", ".gz")) or Path(text).exists()]
    single = [text for text in texts or () if text not in files]
    values = assignments(single, "--sensitivity", _share, "input=1' or the file 'rho.json")
    for file in files:
        values = _sensitivity_file(Path(file)) | values
    if INPUT in values and decay is None and INPUT not in {tensor.name for tensor in network.tensors}:
        raise InputError("", field="--decay", problem="missing: what each layer leaves of it, such as 0.9 (1: all)")
    raw = values.pop(INPUT, None) if decay is not None else None
    try:
        return network.with_sensitivity(decay, input=1.0 if raw is None else raw, tensors=values)
    except InputError as error:
        option = "--decay" if error.field == "decay" else "--sensitivity"
        place = error.field.removeprefix("tensors").removeprefix(".") if option == "--sensitivity" else ""
        raise InputError("", field=f"{option} {place}".strip(), problem=error.problem) from None


def _share(_: str, text: str) -> float:
    from dnnopt.base.units import parse_quantity

    return parse_quantity(text, "number")


def _sensitivity_file(path: Path) -> dict[str, Any]:
    from dnnopt.base.files import read_data

    try:
        return read_data(path, None)
    except InputError as error:
        raise error.within(field="--sensitivity") from None


def changed(problem: Problem, texts: list[str] | None) -> Problem:
    """Return the problem with the parameters that ``--set`` gives, and say which."""
    for text in texts or ():
        from dnnopt.problem.parameters import parse_setting

        parameter, value = named(parse_setting, text, "--set")
        try:
            parameter.check(problem)
        except InputError as error:
            raise error.within(field="--set") from None
        problem = parameter.at(problem, value)
        announce(visible(f"Set: {text.strip()}"))
    return problem


_PLACE = re.compile(r"subject_to\[(\d+)\]")


def told(error: InputError, texts: Sequence[str]) -> InputError:
    """Return an error about a problem that options describe, in the words of the options.

    `texts` are what ``--subject-to`` says of each constraint; empty for what no option says.
    """
    place = _PLACE.match(error.field)
    text = texts[int(place[1])] if place and int(place[1]) < len(texts) else ""
    return InputError("", field=f"--subject-to {text!r}", problem=error.problem) if text else error
