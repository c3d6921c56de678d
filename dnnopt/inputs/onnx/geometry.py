"""What ONNX operators tell of their geometry: windows, the axes that they work along, those that weights lie along.

`RULES` has a rule for each operator that tells something; of the others, and of what a file leaves open, nothing is
said, as of one that is malformed. Operators with channels last (``NhwcConv``) have no window, as theirs moves over
other axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.costs import Operator
from dnnopt.inputs.onnx.microsoft import DOMAIN, STANDARD
from dnnopt.inputs.onnx.shapes import MALFORMED
from dnnopt.problem.geometry import Window


class Geometry(NamedTuple):
    """The fields of a layer that say it."""

    window: Window | None = None
    axes: tuple[int, ...] = ()
    weight_axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reading:
    """An operator, and what is known of its inputs.

    Attributes
    ----------
    operator : Operator
        Constants that are settings have their elements, as far as they are known.
    constant : tuple of bool
        Which inputs are constants; one that is left out is none.
    version : int
        Of the operator set.
    """

    operator: Operator
    constant: tuple[bool, ...]
    version: int

    @property
    def before(self) -> tuple[int, ...]:
        """Shape of the first input."""
        return self.operator.input(0).shape

    @property
    def after(self) -> tuple[int, ...]:
        """Shape of the first output that is used."""
        return self.operator.out.shape

    def is_constant(self, index: int) -> bool:
        return index < len(self.constant) and self.constant[index]

    def has(self, index: int) -> bool:
        return index < len(self.operator.inputs) and self.operator.inputs[index] is not None

    def get(self, name: str, default: Any = None) -> Any:
        return self.operator.attributes.get(name, default)

    def setting(self, name: str, index: int) -> list[int] | None:
        """Return a setting that is an attribute in some versions and an input in others; None: it is not given.

        Raises
        ------
        _UnknownError
            If its values are not known.
        """
        if self.has(index):
            data = self.operator.input(index).data
            if data is None:
                raise _UnknownError
            return [int(one) for one in data.ravel()]
        value = self.get(name)
        return None if value is None else [int(one) for one in ([value] if isinstance(value, int) else value)]

    def along(self, *axes: int) -> tuple[int, ...]:
        """Return axes of the first input, counted from its first one."""
        return _counted(axes, len(self.before))

    def from_axis(self, axis: int) -> tuple[int, ...]:
        """Return all axes of the first input from the given one on."""
        rank = len(self.before)
        return self.along(*range(axis + rank if axis < 0 else axis, rank))


class _UnknownError(Exception):
    """A setting is no constant."""


_Rule = Callable[[Reading], Geometry]


def geometry_of(reading: Reading) -> Geometry:
    """Return what an operator tells; one whose settings are not known may work along every axis."""
    standard = STANDARD.get(reading.operator.op)
    if standard is not None:
        if standard.channels_last or reading.get("channels_last"):
            return Geometry()
        given = reading.operator
        same = Operator(standard.op, tuple(standard.pick(given.inputs)), given.outputs, given.attributes)
        reading = Reading(same, tuple(standard.pick(reading.constant)), _NEWEST)
    rule = RULES.get(reading.operator.op)
    try:
        return Geometry() if rule is None else rule(reading)
    except _UnknownError:
        return Geometry(axes=tuple(range(len(reading.before))))
    except (InputError, *MALFORMED):
        return Geometry()


def _counted(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    return tuple(sorted({axis % rank for axis in axes})) if rank else ()


# Windows


def _window(reading: Reading, kernel: Sequence[int]) -> Window:
    """Return the window of a convolution or pool, whose pads are such that the usual formula gives the output."""
    before, after = reading.before[2:], reading.after[2:]
    rank = len(before)
    stride, dilation = (reading.get(name) or [1] * rank for name in ("strides", "dilations"))
    extent = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    pads = _pads(reading, [(n - 1) * s + e - b for n, s, e, b in zip(after, stride, extent, before, strict=True)])
    for axis, (size, made, step, reach) in enumerate(zip(before, after, stride, extent, strict=True)):
        begin, end = pads[axis], pads[rank + axis]
        if (size + begin + end - reach) // step + 1 != made:  # rounded up, or not told by the pads
            pads[rank + axis] = (made - 1) * step + reach - size - begin
    return _made(kernel, stride, pads, dilation, reading.get("group", 1))


def _pads(reading: Reading, missing: Sequence[int]) -> list[int]:
    """Return the pads before and after all axes; `missing`: how many each axis lacks, if they are not told.

    Where windows leave a rest of the map, SAME pads nothing, as ONNX infers (runtimes shift such windows by some).
    """
    told, mode = reading.get("pads"), reading.operator.text("auto_pad", "NOTSET")
    if told is not None:
        return list(told)
    if not mode.startswith("SAME"):
        return [0] * 2 * len(missing)
    total = [max(number, 0) for number in missing]
    less, more = [number // 2 for number in total], [number - number // 2 for number in total]
    return [*less, *more] if mode == "SAME_UPPER" else [*more, *less]


def _made(kernel: Sequence[int], *lists: Any) -> Window:
    stride, pads, dilation, groups = lists
    return Window(kernel=tuple(kernel), stride=tuple(stride), pads=tuple(pads), dilation=tuple(dilation), groups=groups)


def _convolution(weight: int) -> _Rule:
    def rule(reading: Reading) -> Geometry:
        window = _window(reading, reading.operator.input(weight).shape[2:])
        return Geometry(window, weight_axes=(1,) if reading.is_constant(weight) else ())

    return rule


def _transposed_convolution(reading: Reading) -> Geometry:
    """What an output padding adds is less of the pads at the end."""
    before, after = reading.before[2:], reading.after[2:]
    kernel, rank = reading.operator.input(1).shape[2:], len(before)
    stride, dilation = (reading.get(name) or [1] * rank for name in ("strides", "dilations"))
    told, mode = reading.get("pads"), reading.operator.text("auto_pad", "NOTSET")
    pads = [0] * 2 * rank
    for axis in range(rank):
        whole = stride[axis] * (before[axis] - 1) + dilation[axis] * (kernel[axis] - 1) + 1
        added = (reading.get("output_padding") or [0] * rank)[axis]
        cut = whole + added - after[axis]  # of both ends, the added numbers too
        if reading.get("output_shape") is None and told is not None:
            begin = told[axis]
        elif mode == "SAME_UPPER":
            begin = cut // 2
        else:
            begin = cut - cut // 2 if reading.get("output_shape") is not None or mode == "SAME_LOWER" else 0
        pads[axis], pads[rank + axis] = begin, cut - begin - added
    window = _made(kernel, stride, pads, dilation, reading.get("group", 1))
    return Geometry(window, weight_axes=(1,) if reading.is_constant(1) else ())


def _pool(reading: Reading) -> Geometry:
    return Geometry(_window(reading, reading.get("kernel_shape")))


# Axes


def _softmax(reading: Reading) -> Geometry:
    """Before version 13, all axes from the given one on are one."""
    if reading.version >= 13:
        return Geometry(axes=reading.along(reading.get("axis", -1)))
    return Geometry(axes=reading.from_axis(reading.get("axis", 1)))


def _quantised_softmax(reading: Reading) -> Geometry:
    return _softmax(replace(reading, version=reading.get("opset", 1)))


def _last_axes(default: int) -> _Rule:
    return lambda reading: Geometry(axes=reading.from_axis(reading.get("axis", default)))


def _axis(default: int) -> _Rule:
    return lambda reading: Geometry(axes=reading.along(reading.get("axis", default)))


def _concat(reading: Reading) -> Geometry:
    return Geometry(axes=_counted([reading.get("axis", 1)], len(reading.after)))


def _cumulative(reading: Reading) -> Geometry:
    return Geometry(axes=reading.along(*(reading.setting("axis", 1) or [0])))


def _fixed(*axes: int) -> _Rule:
    return lambda reading: Geometry(axes=reading.along(*axes))


def _map(reading: Reading) -> Geometry:
    return Geometry(axes=tuple(range(2, len(reading.before))))


def _mean_and_variance(reading: Reading) -> Geometry:
    return Geometry(axes=reading.along(*reading.get("axes", [0, 2, 3])))


def _reduce(reading: Reading) -> Geometry:
    axes = reading.setting("axes", 1)
    if not axes:
        axes = [] if reading.get("noop_with_empty_axes") else list(range(len(reading.before)))
    return Geometry(axes=reading.along(*axes))


def _slice(reading: Reading) -> Geometry:
    """An axis that stays as it is, in its order, is not sliced."""
    axes, steps = reading.setting("axes", 3), reading.setting("steps", 4)
    if axes is None:
        starts = reading.get("starts")
        axes = list(range(reading.operator.input(1).size if starts is None else len(starts)))
    steps = steps or [1] * len(axes)
    before, after = reading.before, reading.after
    cut = [axis for axis, step in zip(axes, steps, strict=True) if step < 0 or before[axis] != after[axis]]
    return Geometry(axes=reading.along(*cut))


def _pad(reading: Reading) -> Geometry:
    pads = reading.setting("pads", 1) or reading.get("paddings") or []
    axes = reading.setting("axes", 3) or list(range(len(reading.before)))
    ends = zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
    return Geometry(axes=reading.along(*(axis for axis, first, last in ends if first or last)))


def _changed(reading: Reading) -> Geometry:
    """The axes whose size changes; all of them where a part of the map is taken first."""
    if reading.operator.text("coordinate_transformation_mode") == "tf_crop_and_resize":
        return Geometry(axes=tuple(range(len(reading.before))))
    pairs = enumerate(zip(reading.before, reading.after, strict=True))
    return Geometry(axes=tuple(axis for axis, (before, after) in pairs if before != after))


def _transpose(reading: Reading) -> Geometry:
    rank = len(reading.before)
    return Geometry(axes=tuple(axis % rank for axis in reading.get("perm", range(rank - 1, -1, -1))))


# Axes of weights


def _shared_out(
    reading: Reading, first: int = 0, until: int | None = None, begin: int | None = None
) -> tuple[int, ...]:
    """Return the axes of the output along which all constants among some operands have parts.

    Operands have the output's last axes, or those from `begin` on; one of a single number has no parts and needs none.
    """
    after, found = reading.after, None
    for index, value in list(enumerate(reading.operator.inputs))[first:until]:
        if value is not None and reading.is_constant(index) and value.size > 1:
            offset = len(after) - len(value.shape) if begin is None else begin
            axes = {offset + axis for axis, size in enumerate(value.shape) if size > 1}
            found = axes if found is None else found & axes
    return tuple(sorted(axis for axis in found or () if 0 <= axis < len(after)))


def _element_wise(reading: Reading) -> Geometry:
    begin = reading.get("axis") if reading.get("broadcast") else None  # before version 7
    if begin is not None and begin < 0:
        begin += len(reading.after)
    return Geometry(weight_axes=_shared_out(reading, begin=begin))


def _prelu(reading: Reading) -> Geometry:
    return Geometry(weight_axes=_shared_out(reading, begin=1 if reading.version < 7 else None))


def _matmul(weight: int) -> _Rule:
    """The last axis, and those of a stack of weights."""

    def rule(reading: Reading) -> Geometry:
        shape, rank = reading.operator.input(weight).shape, len(reading.after)
        if not reading.is_constant(weight) or len(shape) < 2 or not rank:
            return Geometry()
        stack = rank - (1 if len(reading.before) == 1 else 2) - len(shape[:-2])  # where the first axis of weights is
        stacked = [stack + axis for axis, size in enumerate(shape[:-2]) if size > 1]
        return Geometry(weight_axes=(*stacked, rank - 1))

    return rule


def _matmul_as_it_is(reading: Reading) -> Geometry:
    turned = any(reading.get(name) for name in ("transA", "transB", "transBatchA", "transBatchB"))
    return Geometry() if turned else _matmul(1)(reading)


def _packed_matmul(reading: Reading) -> Geometry:
    return Geometry(weight_axes=(len(reading.after) - 1,) if reading.is_constant(1) else ())


def _gemm(reading: Reading) -> Geometry:
    """Whatever reads columns as samples (transA) is left open."""
    return Geometry(weight_axes=(1,) if reading.is_constant(1) and not reading.get("transA") else ())


def _batch_norm(reading: Reading) -> Geometry:
    rank = len(reading.before)
    if rank < 2 or not all(reading.is_constant(index) for index in range(1, 5)):
        return Geometry()
    return Geometry(weight_axes=(1,) if reading.get("spatial", 1) else tuple(range(1, rank)))


def _layer_norm(reading: Reading) -> Geometry:
    axes = reading.from_axis(reading.get("axis", -1))
    return Geometry(axes=axes, weight_axes=axes if reading.is_constant(1) else ())


def _skip_layer_norm(reading: Reading) -> Geometry:
    return Geometry(axes=reading.along(-1), weight_axes=reading.along(-1) if reading.is_constant(2) else ())


def _norm_of_channels(first: int) -> _Rule:
    """A normalisation over the axes from the given one on, with a scale for each channel."""

    def rule(reading: Reading) -> Geometry:
        weight_axes = (1,) if reading.is_constant(1) else ()
        return Geometry(axes=tuple(range(first, len(reading.before))), weight_axes=weight_axes)

    return rule


def _gather(reading: Reading) -> Geometry:
    (axis,) = reading.along(reading.get("axis", 0))
    if not reading.is_constant(0):
        return Geometry(axes=(axis,))
    inside = axis + len(reading.operator.input(1).shape)
    return Geometry(axes=(axis,), weight_axes=(*range(axis), *range(inside, len(reading.after))))


def _each(names: str, rule: _Rule, domain: str = "") -> dict[str, _Rule]:
    return {domain + name: rule for name in names.split()}


_NEWEST = 99
RULES: dict[str, _Rule] = {
    **_each("Conv ConvInteger", _convolution(1)),
    **_each("QLinearConv", _convolution(3)),
    **_each("ConvTranspose", _transposed_convolution),
    **_each("MaxPool AveragePool LpPool", _pool),
    **_each("GlobalMaxPool GlobalAveragePool GlobalLpPool", _map),
    **_each("MatMul MatMulInteger", _matmul(1)),
    **_each("QLinearMatMul", _matmul(3)),
    **_each("Gemm", _gemm),
    **_each("Softmax LogSoftmax Hardmax", _softmax),
    **_each("BatchNormalization", _batch_norm),
    **_each("LayerNormalization RMSNormalization SimplifiedLayerNormalization", _layer_norm),
    **_each("InstanceNormalization", _norm_of_channels(2)),
    **_each("GroupNormalization", _norm_of_channels(1)),
    **_each("LRN", _fixed(1)),
    **_each("MeanVarianceNormalization", _mean_and_variance),
    **_each("ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceL1 ReduceL2 ReduceLogSum", _reduce),
    **_each("ReduceLogSumExp ReduceSumSquare", _reduce),
    **_each("ArgMax ArgMin Split GatherElements Scatter ScatterElements", _axis(0)),
    **_each("LpNormalization TopK", _axis(-1)),
    **_each("CumSum CumProd", _cumulative),
    **_each("Concat", _concat),
    **_each("Gather", _gather),
    **_each("Slice", _slice),
    **_each("Pad", _pad),
    **_each("Resize Upsample Tile CenterCropPad", _changed),
    **_each("Trilu", _fixed(-2, -1)),
    **_each("Transpose", _transpose),
    **_each("Sum Max Min Mean Add Sub Mul Div Pow Mod And Or Xor Equal Greater Less", _element_wise),
    **_each("GreaterOrEqual LessOrEqual BitShift BitwiseAnd BitwiseOr BitwiseXor Where", _element_wise),
    **_each("PRelu", _prelu),
    **_each("BiasGelu BiasAdd FastGelu", _element_wise, DOMAIN),
    **_each("FusedMatMul TransposeMatMul FusedMatMulActivation", _matmul_as_it_is, DOMAIN),
    **_each("MatMulInteger16 GemmFastGelu", _matmul(1), DOMAIN),
    **_each("MatMulNBits MatMulBnb4", _packed_matmul, DOMAIN),
    **_each("SkipLayerNormalization SkipSimplifiedLayerNormalization", _skip_layer_norm, DOMAIN),
    **_each("BiasSoftmax", _last_axes(1), DOMAIN),
    **_each("QLinearSoftmax", _quantised_softmax, DOMAIN),
    **_each("QLinearReduceMean", _reduce, DOMAIN),
}
