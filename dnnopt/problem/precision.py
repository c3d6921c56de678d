"""Types of numbers that layers compute with, and rates of devices by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import FlopPerSecond

DType = Literal["float64", "float32", "float16", "bfloat16", "float8", "int16", "int8", "int4"]
FLOAT32: DType = "float32"


def _serves_all(rates: FrozenDict[DType, float]) -> FrozenDict[DType, float]:
    if FLOAT32 not in rates:
        raise InputError(f"a rate of {FLOAT32!r}, which is that of types without one", value=dict(rates))
    return rates


def _kind(value: Any) -> str:
    return "<types>" if isinstance(value, Mapping) else "<number>"


_NEEDED = Field(json_schema_extra={"required": [FLOAT32]})
Rates = Annotated[
    Annotated[FlopPerSecond, Tag("<number>")]
    | Annotated[Frozen[DType, FlopPerSecond], AfterValidator(_serves_all), _NEEDED, Tag("<types>")],
    Discriminator(_kind),
]
"""FLOP/s of every type, or of each type by its name, with ``float32`` among them."""


def rate_of(rates: float | Mapping[DType, float], dtype: DType) -> float:
    """Return the FLOP/s at which a type is computed: its own, else that of float32."""
    return rates.get(dtype, rates[FLOAT32]) if isinstance(rates, Mapping) else rates
