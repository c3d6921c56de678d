"""Geometry of layers and tensors: sizes, axes, and the windows of convolutions and pools. No cost depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted
from dnnopt.base.records import Record

_KEYS = ("window", "axes", "inputs", "weight_axes", "shape")
_AtLeastOne = Annotated[int, Field(strict=True, ge=1)]


def _distinct(axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) < len(axes):
        raise InputError("axes, each of them once", value=list(axes))
    return axes


AxisSizes = tuple[Annotated[int, Field(strict=True, ge=0)], ...]
AxisNumbers = Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...], AfterValidator(_distinct)]


class Window(Record):
    """A window that moves over the axes of a map, those after samples and channels.

    What a convolution or a pool makes of an axis of `n` numbers has
    ``floor((n + begin + end - dilation * (kernel - 1) - 1) / stride) + 1``, and what a transposed convolution makes
    ``stride * (n - 1) + dilation * (kernel - 1) + 1 - begin - end``.

    Attributes
    ----------
    kernel : tuple of int
        Its size along each axis.
    stride : tuple of int
        Its steps; 1 along each axis where none are given.
    pads : tuple of int
        What is put around the map, before all axes, then after all; 0 where none are given. Below 0, the map is cut.
    dilation : tuple of int
        Distance of neighbours in the window; 1 along each axis where none are given.
    groups : int
        Into how many groups the channels are split, each with weights of its own; 1 for pools.

    Raises
    ------
    InputError
        For lists that do not have as many numbers as there are axes.
    """

    kernel: tuple[_AtLeastOne, ...] = Field(min_length=1)
    stride: tuple[_AtLeastOne, ...] = ()
    pads: tuple[Annotated[int, Field(strict=True)], ...] = ()
    dilation: tuple[_AtLeastOne, ...] = ()
    groups: _AtLeastOne = 1

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        kernel = data.get("kernel") if isinstance(data, Mapping) else None
        if not isinstance(kernel, list | tuple):
            return data
        usual = {"stride": (1,), "pads": (0, 0), "dilation": (1,)}
        missing = {name: value * len(kernel) for name, value in usual.items() if data.get(name, ()) in ((), [])}
        return {**data, **missing}

    @model_validator(mode="after")
    def _check(self) -> Window:
        for name, times in (("stride", 1), ("pads", 2), ("dilation", 1)):
            values, count = getattr(self, name), times * len(self.kernel)
            if len(values) != count:
                expected = f"{counted(count, 'number')}, as kernel has {len(self.kernel)}"
                raise InputError(expected, field=name, value=list(values))
        return self

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        rank = len(self.kernel)
        usual = {"stride": (1,) * rank, "pads": (0,) * 2 * rank, "dilation": (1,) * rank}
        return {name: value for name, value in data.items() if getattr(self, name) != usual.get(name)}


def without_geometry(data: dict[str, Any]) -> dict[str, Any]:
    """Take out of a problem's data, as `Problem.to_data` gives them, what changes no cost; return them."""
    for network in data["networks"]:
        for part in (*network["layers"], *network.get("tensors", ())):
            for key in _KEYS:
                part.pop(key, None)
    return data
