"""Costs of operators as a person types them: ``com.acme:MyOp=2*out``, ``MyOp=2*out + in0, bytes=in + out``.

What stands after the operator is its FLOP, and after ``bytes=`` what it reads and writes, by default every input,
weight and output once. Both are sums of products of numbers and of sizes: ``in`` is all inputs, weights included,
``in0`` the first one, ``out`` and ``out0`` the same of the outputs. Sizes are elements in the FLOP, and bytes in the
bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from dnnopt.base.errors import InputError
from dnnopt.base.units import parse_quantity
from dnnopt.inputs.onnx.costs import CostFunction, Operator, OperatorCost, Value

_SIZE = re.compile(r"(in|out)(\d{0,6})")
_EXAMPLE = "a cost such as 'com.acme:MyOp=2*out' or 'MyOp=2*out + in0, bytes=in + out'"


def parse_cost(text: str) -> tuple[str, CostFunction]:
    """Return the operator, with its domain where one is given, and its cost.

    Raises
    ------
    InputError
        For anything else than this module describes.
    """
    name, equals, rest = text.partition("=")
    parts = rest.split(",")
    if not equals or not name.strip() or len(parts) > 2:
        raise InputError(_EXAMPLE, value=text)
    flops = _sum(parts[0], text)
    if len(parts) == 1:
        return name.strip(), lambda node: OperatorCost(flops(node, _elements))
    what, equals, moved_text = parts[1].partition("=")
    if what.strip() != "bytes" or not equals:
        raise InputError(_EXAMPLE, value=text)
    moved = _sum(moved_text, text)
    return name.strip(), lambda node: OperatorCost(flops(node, _elements), moved(node, _bytes))


_Unit = Callable[[Value], float]


def _elements(value: Value) -> float:
    return value.size


def _bytes(value: Value) -> float:
    return value.bytes


def _sum(text: str, whole: str) -> Callable[[Operator, _Unit], float]:
    terms = [[_factor(part.strip(), whole) for part in term.split("*")] for term in re.split(r"(?<![\d.][eE])\+", text)]
    return lambda node, unit: math.fsum(math.prod(factor(node, unit) for factor in term) for term in terms)


def _factor(text: str, whole: str) -> Callable[[Operator, _Unit], float]:
    match = _SIZE.fullmatch(text)
    if match is None:
        try:
            number = parse_quantity(text, "number")
        except InputError:
            raise InputError(_EXAMPLE, value=whole) from None
        return lambda node, unit: number

    def size(node: Operator, unit: _Unit) -> float:
        values = node.inputs if match[1] == "in" else node.outputs
        if match[2]:
            values = values[int(match[2]) : int(match[2]) + 1]
        return math.fsum(unit(value) for value in values if value is not None)

    return size
