"""Quantities with units: ``parse_quantity("20 Mbit/s", "bandwidth")`` is 2.5e6 (bytes per second).

Everything inside the package is in SI base units; texts with units are read in platform files and on the command line.
A text needs its unit where there is one: whoever types ``memory=64`` may mean bytes or MiB.
Decimal prefixes are powers of 1000 (kB), binary ones of 1024 (KiB). Bit and byte are told apart by name or case:
``Mbit``, ``Mb`` are bits, ``MB`` is bytes.
"""

from __future__ import annotations

import math
import re

from dnnopt.base.errors import InputError

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_SMALL = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12}

_TIME = {p + "s": f for p, f in _SMALL.items()} | {"min": 60.0, "h": 3600.0}
_BYTES = {p + b: f * s for p, f in (_DECIMAL | _BINARY).items() for b, s in (("B", 1.0), ("b", 0.125), ("bit", 0.125))}
_BYTES |= {"bytes": 1.0, "byte": 1.0}
_FLOP = {p + "FLOP": f for p, f in _DECIMAL.items()}
_ENERGY = {p + "J": f for p, f in (_SMALL | {"k": 1e3}).items()} | {"Wh": 3600.0, "kWh": 3.6e6}
_POWER = {p + "W": f for p, f in (_SMALL | {"k": 1e3}).items()}
_MONEY = {p + "USD": _SMALL[p] for p in ("", "m", "u")} | {"$": 1.0}


def _ratio(over: dict[str, float], under: dict[str, float]) -> dict[str, float]:
    return {f"{a}/{b}": x / y for a, x in over.items() for b, y in under.items()}


_PER_SECOND = {"s": 1.0}
_UNITS: dict[str, dict[str, float]] = {
    "time": _TIME,
    "bytes": _BYTES,
    "flop": _FLOP,
    "energy": _ENERGY,
    "power": _POWER,
    "money": _MONEY,
    "number": {"": 1.0, "%": 0.01},
    "frequency": {"Hz": 1.0, "/s": 1.0, "1/s": 1.0, "fps": 1.0, "/min": 1 / 60},
    "flop rate": _ratio(_FLOP, _PER_SECOND) | {p + "FLOPS": f for p, f in _DECIMAL.items()},
    "bandwidth": _ratio(_BYTES, _PER_SECOND) | {p + "bps": 0.125 * f for p, f in _DECIMAL.items()},
    "energy per byte": _ratio(_ENERGY, _BYTES),
    "money per second": _ratio(_MONEY, {"s": 1.0, "h": 3600.0}),
    "money per byte": _ratio(_MONEY, _BYTES),
}
_EXAMPLE = {
    "time": "30 ms", "bytes": "4 GiB", "flop": "2 GFLOP", "energy": "2 J", "power": "5 W", "money": "0.01 USD",
    "number": "0.5", "frequency": "30 Hz", "flop rate": "8 GFLOP/s", "bandwidth": "20 Mbit/s",
    "energy per byte": "0.3 uJ/B", "money per second": "0.5 USD/h", "money per byte": "0.09 USD/GB",
}  # fmt: skip
# What a bare number most likely means.
_MEANINGS = {
    "time": ("s", "ms"), "bytes": ("bytes", "MiB"), "flop": ("FLOP", "GFLOP"), "energy": ("mJ", "J"),
    "power": ("mW", "W"), "money": ("USD", "uUSD"), "frequency": ("/min", "/s"), "flop rate": ("FLOP/s", "GFLOP/s"),
    "bandwidth": ("B/s", "Mbit/s"), "energy per byte": ("J/B", "uJ/B"), "money per second": ("USD/s", "USD/h"),
    "money per byte": ("USD/B", "USD/GB"),
}  # fmt: skip
_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)")
_LONGEST = 200  # characters


def parse_quantity(text: str, dimension: str, *, after: str = "") -> float:
    """Return the SI value of `text`; 0 needs no unit, and a pure number has none.

    Parameters
    ----------
    text, dimension : str
    after : str
        What stands before it where it was typed, such as ``pi=``: the error says how to write it.

    Raises
    ------
    InputError
        If the text is not a number followed by a unit of the dimension.
    """
    match = _QUANTITY.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    units = _UNITS[dimension]
    if match and (match[2] in units or match[2] == ""):
        value = float(match[1]) * units.get(match[2], 1.0)
        if match[2] not in units and value != 0:
            one, other = (f"{match[1]} {unit}" for unit in _MEANINGS[dimension])
            raise InputError(f"a unit: {one}, or {other}? Write '{after}{other}'", value=text)
        if math.isfinite(value):
            return value
    meant = [unit for unit in units if match and unit.lower() == match[2].lower()]
    told = f"; did you mean {' or '.join(meant)}?" if meant and match and match[2] not in units else ""
    raise InputError(f"{dimension} such as {_EXAMPLE[dimension]!r}{told}", value=text)


def parse_value(text: str, dimension: str) -> float:
    """Return the SI value of a text that stands where a number is expected; a pure number is a share, in per cent.

    Raises
    ------
    InputError
        As of `parse_quantity`, and for a pure number without its per cent sign.
    """
    if dimension == "number" and "%" not in text:
        raise InputError("a number", value=text)
    return parse_quantity(text, dimension)


def typed_unit(text: str) -> str:
    """Return what follows the number in a text; empty where there is none, or no number."""
    match = _QUANTITY.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    return match[2] if match else ""


def si_unit(dimension: str) -> str:
    """Return the unit of a bare number: ``B/s`` for ``bandwidth``; empty for a pure number."""
    return next(unit for unit, factor in _UNITS[dimension].items() if factor == 1.0)


def example(dimension: str) -> str:
    """Return a text that `parse_quantity` reads, such as ``20 Mbit/s`` for ``bandwidth``."""
    return _EXAMPLE[dimension]
