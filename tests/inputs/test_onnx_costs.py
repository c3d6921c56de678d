"""FLOP and bytes of single operators, worked by hand."""

import onnx
import pytest

from dnnopt.inputs.onnx.costs import COSTS, DATA_INPUTS, PICKS, VIEWS, Operator, Value, bytes_moved


def operator(op, inputs, outputs, **attributes):
    def value(shape):
        return None if shape is None else Value(tuple(shape))

    return Operator(op, tuple(map(value, inputs)), tuple(map(value, outputs)), attributes)


def flops(op, inputs, outputs, **attributes):
    return COSTS[op](operator(op, inputs, outputs, **attributes))


def test_convolution_is_two_flop_per_weight_of_a_filter_and_output():
    # 4 filters of 3 x 5 x 5 over 2 images of 8 x 8: 2 * 4 * 64 outputs, 75 multiply-accumulates each.
    assert flops("Conv", [(2, 3, 12, 12), (4, 3, 5, 5), (4,)], [(2, 4, 8, 8)]) == 2 * (2 * 4 * 64) * 75


def test_grouped_convolution_sees_the_channels_of_its_group_only():
    whole = flops("Conv", [(1, 8, 10, 10), (16, 8, 3, 3)], [(1, 16, 8, 8)])
    assert flops("Conv", [(1, 8, 10, 10), (16, 2, 3, 3)], [(1, 16, 8, 8)], group=4) == whole / 4


def test_depthwise_convolution_is_one_kernel_per_output():
    assert flops("Conv", [(1, 32, 16, 16), (32, 1, 3, 3)], [(1, 32, 14, 14)], group=32) == 2 * (32 * 14 * 14) * 9


def test_one_dimensional_and_three_dimensional_convolutions_are_counted():
    assert flops("Conv", [(1, 4, 100), (6, 4, 7)], [(1, 6, 94)]) == 2 * (6 * 94) * 28
    assert flops("Conv", [(1, 2, 8, 8, 8), (3, 2, 3, 3, 3)], [(1, 3, 6, 6, 6)]) == 2 * (3 * 216) * 54


def test_transposed_convolution_spreads_every_input_over_its_filters():
    # 2 x 2 inputs in 3 channels; each meets 4 filters of 2 x 2.
    assert flops("ConvTranspose", [(1, 3, 2, 2), (3, 4, 2, 2)], [(1, 4, 4, 4)], strides=[2, 2]) == 2 * 12 * 16


def test_grouped_transposed_convolution_has_fewer_filters_per_input():
    assert flops("ConvTranspose", [(1, 8, 5, 5), (8, 1, 3, 3)], [(1, 8, 7, 7)], group=8) == 2 * 200 * 9


@pytest.mark.parametrize(
    ("a", "b", "attributes"),
    [
        ((2, 3), (3, 5), {}),
        ((3, 2), (3, 5), {"transA": 1}),
        ((2, 3), (5, 3), {"transB": 1}),
        ((3, 2), (5, 3), {"transA": 1, "transB": 1}),
    ],
)
def test_gemm_is_the_same_product_however_its_factors_lie(a, b, attributes):
    assert flops("Gemm", [a, b, (5,)], [(2, 5)], **attributes) == 2 * 2 * 3 * 5


@pytest.mark.parametrize(
    ("a", "b", "out", "multiply_accumulates"),
    [
        ((4, 6), (6, 5), (4, 5), 4 * 6 * 5),
        ((2, 8, 4, 6), (2, 8, 6, 5), (2, 8, 4, 5), 16 * 4 * 6 * 5),
        ((7, 1, 4, 6), (3, 6, 5), (7, 3, 4, 5), 21 * 4 * 6 * 5),
        ((6,), (6, 5), (5,), 6 * 5),
        ((4, 6), (6,), (4,), 4 * 6),
        ((6,), (6,), (), 6),
    ],
)
def test_matmul_counts_batches_broadcasts_and_vectors(a, b, out, multiply_accumulates):
    assert flops("MatMul", [a, b], [out]) == 2 * multiply_accumulates


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        (b"bhqd,bhkd->bhqk", [(2, 4, 10, 8), (2, 4, 12, 8)], 2 * (2 * 4 * 10 * 12 * 8)),
        ("ij,jk", [(3, 4), (4, 5)], 2 * 60),
        ("...ij, ...jk -> ...ik", [(7, 3, 4), (1, 4, 5)], 2 * 7 * 60),
        ("...ij,jk->...ik", [(6, 7, 3, 4), (4, 5)], 2 * 42 * 60),
        ("ii->i", [(9, 9)], 9),
    ],
)
def test_einsum_counts_every_combination_of_its_indices(equation, shapes, expected):
    assert flops("Einsum", shapes, [()], equation=equation) == expected


def test_quantised_products_are_those_of_their_weights():
    scale = ()
    conv = [(1, 3, 8, 8), scale, scale, (4, 3, 3, 3), scale, scale, scale, scale]
    assert flops("QLinearConv", conv, [(1, 4, 6, 6)]) == 2 * (4 * 36) * 27
    assert flops("ConvInteger", [(1, 3, 8, 8), (4, 3, 3, 3)], [(1, 4, 6, 6)]) == 2 * (4 * 36) * 27
    assert flops("MatMulInteger", [(2, 3), (3, 5)], [(2, 5)]) == 2 * 30
    assert flops("QLinearMatMul", [(2, 3), scale, scale, (3, 5), scale, scale, scale, scale], [(2, 5)]) == 2 * 30


def test_pooling_reads_its_whole_kernel_for_each_output():
    assert flops("MaxPool", [(1, 8, 16, 16)], [(1, 8, 7, 5)], kernel_shape=[3, 4]) == 8 * 35 * 12
    assert flops("AveragePool", [(1, 8, 16, 16)], [(1, 8, 8, 8)], kernel_shape=[2, 2]) == 8 * 64 * 4
    assert flops("GlobalAveragePool", [(1, 8, 16, 16)], [(1, 8, 1, 1)]) == 8 * 256


def test_local_response_normalisation_sums_over_its_window():
    assert flops("LRN", [(1, 8, 4, 4)], [(1, 8, 4, 4)], size=5) == 128 * (5 + 5)


@pytest.mark.parametrize(
    ("op", "per_element"),
    {
        **{"Relu": 1, "Erf": 1, "Clip": 2, "Sigmoid": 4, "Gelu": 5, "HardSwish": 5, "Softmax": 5, "Cast": 0},
        **{"BatchNormalization": 2, "QuantizeLinear": 3, "DequantizeLinear": 2},
        **dict.fromkeys(["LayerNormalization", "GroupNormalization", "InstanceNormalization"], 7),
    }.items(),
)
def test_elementwise_operators_cost_a_constant_per_element(op, per_element):
    assert flops(op, [(2, 3, 4, 4)], [(2, 3, 4, 4)]) == 96 * per_element


def test_broadcast_arithmetic_is_counted_on_the_output():
    assert flops("Add", [(4, 1), (5,)], [(4, 5)]) == 20
    assert flops("Where", [(4, 5), (), (4, 5)], [(4, 5)]) == 20


def test_variadic_sum_adds_one_input_less_than_it_has_and_mean_divides_too():
    assert flops("Sum", [(10,)] * 3, [(10,)]) == 20
    assert flops("Mean", [(10,)] * 3, [(10,)]) == 30


def test_reductions_are_counted_on_the_input():
    assert flops("ReduceMean", [(3, 100)], [(3, 1)]) == 300
    assert flops("ReduceL2", [(3, 100)], [(3, 1)]) == 600


@pytest.mark.parametrize(("mode", "samples"), [(b"nearest", 0), (b"linear", 4), (b"cubic", 16)])
def test_resize_weighs_the_samples_of_the_axes_that_change(mode, samples):
    assert flops("Resize", [(1, 3, 4, 4), None, (4,)], [(1, 3, 8, 8)], mode=mode) == 2 * 192 * samples


def test_resize_to_the_same_size_computes_nothing():
    assert flops("Resize", [(1, 3, 4, 4), None, (4,)], [(1, 3, 4, 4)], mode=b"cubic") == 0


def test_recurrent_layers_meet_both_weights_in_every_step():
    # 10 steps of 2 samples; 4 gates of 8 units read 5 inputs and 8 states.
    lstm = [(10, 2, 5), (1, 32, 5), (1, 32, 8), (1, 64)]
    assert flops("LSTM", lstm, [(10, 1, 2, 8), None, None], hidden_size=8) == 2 * (10 * 2) * 32 * (5 + 8)
    assert flops("GRU", [(10, 2, 5), (2, 24, 5), (2, 24, 8)], [(10, 2, 2, 8)]) == 2 * 20 * 2 * 24 * 13


def test_attention_is_its_two_products_and_the_softmax():
    four = [(2, 4, 10, 8), (2, 4, 12, 8), (2, 4, 12, 6)]
    expected = 2 * (2 * 4 * 10 * 12 * 8) + 5 * (2 * 4 * 10 * 12) + 2 * (2 * 4 * 10 * 12 * 6)
    assert flops("Attention", four, [(2, 4, 10, 6)]) == expected
    three = [(2, 10, 32), (2, 12, 32), (2, 12, 24)]
    assert flops("Attention", three, [(2, 10, 24)], q_num_heads=4, kv_num_heads=4) == expected
    with_past = [(2, 4, 10, 8), (2, 4, 7, 8), (2, 4, 7, 6), None, (2, 4, 5, 8), (2, 4, 5, 6)]
    assert flops("Attention", with_past, [(2, 4, 10, 6)]) == expected


def test_ordinary_operators_move_inputs_and_outputs():
    relu = operator("Relu", [(10,)], [(10,)])
    assert bytes_moved(relu, [40]) == 80


def test_views_move_nothing():
    for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        assert bytes_moved(operator(op, [(2, 5)], [(10,)]), [40, 8]) == 0


def test_gather_reads_the_rows_that_it_picks_and_its_indices():
    gather = operator("Gather", [(1000, 8), (3,)], [(3, 8)])
    assert bytes_moved(gather, [32000, 24]) == 96 + 96 + 24


def test_gather_reads_a_small_table_once_at_most():
    gather = operator("Gather", [(2, 8), (100,)], [(100, 8)])
    assert bytes_moved(gather, [64, 800]) == 64 + 800 + 3200


def test_bytes_of_elements_below_eight_bits_are_packed():
    assert Value((3, 3), 4).bytes == 5
    assert Value((), 64).bytes == 8
    assert Value((5,), 16).bytes == 10


def test_a_missing_input_is_named():
    with pytest.raises(ValueError, match="Conv lacks its input 1"):
        flops("Conv", [(1, 3, 4, 4)], [(1, 3, 4, 4)])


def test_every_entry_of_the_tables_is_an_onnx_operator_with_a_cost():
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    # Experimental operators of the first operator sets, which runtimes still have.
    assert COSTS.keys() - known == {"Affine", "ImageScaler", "ParametricSoftplus", "ScaledTanh"}
    assert {op for op in VIEWS | PICKS | DATA_INPUTS.keys() if ":" not in op} <= COSTS.keys()
