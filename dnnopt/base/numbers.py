"""How numbers are printed for people: significant digits, no exponents, a prefix that fits, gaps, durations, counts."""

from __future__ import annotations

import math

_PREFIXES: dict[str, list[tuple[float, str]]] = {
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
    "bytes": [(1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
    "J": [(1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")],
    "W": [(1e3, "kW"), (1.0, "W"), (1e-3, "mW")],
    "1/s": [(1.0, "/s")],
    "bytes/s": [(1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")],
    "FLOP": [(1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1.0, "FLOP")],
    "USD": [(1.0, "USD"), (1e-3, "mUSD"), (1e-6, "uUSD")],
}
_PLAIN = (1e-7, 1e15)  # numbers in between have no exponents
_ROUNDING = 1e-9  # differences below this share are no differences
_FACTOR = 10.0  # a plan that is worse by more than 1,000 % is so many times the best


def format_number(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits, and all of those before the point: ``12,346``, ``0.0123``."""
    rounded = _rounded(value, digits)
    if rounded == 0 or not _PLAIN[0] <= abs(rounded) < _PLAIN[1]:
        return f"{value:.{digits}g}"
    text = f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def rounded_up(value: float, digits: int = 4) -> float:
    """Return the next number with so many significant digits that is not below a value by more than rounding."""
    nearest = _rounded(value, digits)
    if not math.isfinite(value) or nearest >= value - _ROUNDING * abs(value):
        return nearest
    return _rounded(nearest + 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1), digits)


def fitting_unit(value: float, unit: str) -> tuple[float, str]:
    """Return the unit with the prefix that fits `value` (in the SI unit `unit`): what to divide by, and its name."""
    scales = _PREFIXES.get(unit)
    if not scales:
        return 1.0, unit
    if value == 0 or not math.isfinite(value):
        return next(scale for scale in scales if scale[0] == 1.0)
    return next(((factor, name) for factor, name in scales if abs(value) >= factor), scales[-1])


def format_quantity(value: float, unit: str, digits: int = 4) -> str:
    """Return `value` (in the SI unit `unit`) for a person to read, with a fitting prefix."""
    factor, name = fitting_unit(_rounded(value, digits), unit)
    return f"{format_number(value / factor, digits)} {name}".rstrip()


def counted(count: int, noun: str) -> str:
    """Return ``1 layer``, ``2 layers``, ``1,200 layers``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def is_rounding(share: float) -> bool:
    """Return whether a difference, as a share, is none."""
    return abs(share) < _ROUNDING


def format_percent(share: float, digits: int = 3) -> str:
    """Return a share in per cent; below 1e-9 it is rounding."""
    return "0 %" if is_rounding(share) else f"{format_number(100 * share, digits)} %"


def format_gap(gap: float | None) -> str:
    """Return a relative gap between a plan and a bound in per cent."""
    return "unknown" if gap is None else format_percent(gap, 2)


def format_excess(share: float) -> str:
    """Return how much a value is above the best, given as a share of that: in per cent, or ``79.7×`` the best."""
    return f"{format_number(1 + share, 3)}×" if share > _FACTOR else format_percent(share)


def compared(value: float, best: float) -> str:
    """Return how much worse (or better) a value is than the best: ``+3.61 %``, or ``79.7×`` the best."""
    if value == best:
        return "the same"
    if not best:
        return "worse" if value > best else "better"
    share = (value - best) / abs(best)
    if is_rounding(share):
        return "the same"
    if best > 0 and share > _FACTOR:
        return format_excess(share)
    return f"{'+' if share > 0 else ''}{format_percent(share)}"


def format_runtime(seconds: float) -> str:
    """Return a duration: ``7.2 ms``, ``0.945 s``, ``12.3 s``, ``1,234 s``."""
    if seconds < 0.1:
        return f"{format_number(1000 * seconds, 2)} ms"
    return f"{format_number(seconds, 3)} s"
