"""Sizes of symbolic dimensions: names, places, what is computed from names, and contradictions."""

import re

import pytest
from onnx import TensorProto, helper

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.dimensions import set_sizes


def sized(given, *shapes, others=()):
    """Return the dimensions of inputs x, y, ... and of further values u, v, ... once the sizes are set."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("xyz", shapes, strict=False)
    ]
    more = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("uvw", others, strict=False)
    ]
    set_sizes(given, inputs, more)
    return [[entry.dim_value for entry in value.type.tensor_type.shape.dim] for value in inputs + more]


def refused(given, *shapes, others=()):
    with pytest.raises(InputError) as caught:
        sized(given, *shapes, others=others)
    return str(caught.value)


def test_names_and_places_give_sizes():
    assert sized({"N": 2, "x[1]": 7}, ["N", None], ["N", 3]) == [[2, 7], [2, 3]]


def test_a_place_gives_a_size_to_all_that_have_its_name():
    assert sized({"x[0]": 4}, ["N", 3], ["N", "N + 1"], others=[["N"]]) == [[4, 3], [4, 5], [4]]


@pytest.mark.parametrize("unknown", ["?", "", "*", "None", "-1", -1, 0])
def test_what_is_written_for_the_unknown_is_no_name(unknown):
    assert sized({"x[0]": 2, "x[1]": 3}, [unknown, unknown]) == [[2, 3]]
    assert "no size for x[0], x[1]; give dimensions={'x[0]': ..., 'x[1]': ...}" in refused({}, [unknown, unknown])
    assert "no size for x[1];" in refused({"x[0]": 2}, [unknown, unknown])


def test_unknown_is_no_name_on_the_command_line_either():
    assert "no dimension is called ?; expected some of x[0], x[1]" in refused({"?": 2}, ["?", "?"])


def test_sizes_may_be_zero():
    assert sized({"past": 0, "seq": 3}, ["past", "seq", "past + seq"]) == [[0, 3, 3]]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("past + seq", 13),
        ("past+seq", 13),
        ("seq - 3", 7),
        ("2*seq", 20),
        ("seq*past", 30),
        ("(past + seq) // 2", 6),
        ("seq/2 + 1", 6),
        ("seq % past", 1),
        ("floor(seq/past - 1/2) + 1", 3),
        ("ceil(seq/past)", 4),
        ("Max(past, seq, 1)", 10),
        ("min(past, 2)", 2),
        ("224", 224),
    ],
)
def test_what_is_computed_from_names_follows_from_theirs(text, size):
    assert sized({"past": 3, "seq": 10}, ["past", "seq", text]) == [[3, 10, size]]


@pytest.mark.parametrize("name", ["batch-size", "a b", "x.1", "f(n)", "n +", "((", "n/"])
def test_what_is_no_expression_is_a_name(name):
    assert sized({name: 5}, [name]) == [[5]]
    assert f"no size for {name};" in refused({}, [name])


def test_names_that_only_an_expression_has_are_asked_for():
    assert "no size for past, seq;" in refused({}, ["past + seq"])
    assert "no size for past;" in refused({"seq": 1}, ["past + seq"])
    assert sized({"past": 2, "seq": 1}, ["past + seq"]) == [[3]]
    assert sized({"past+seq": 3}, ["past + seq"]) == [[3]]


@pytest.mark.parametrize(
    ("given", "shapes", "message"),
    [
        ({"x[0]": 4, "N": 5}, [["N"]], "dimensions['x[0]']: got 4, expected 5, as 'N'"),
        ({"x[0]": 4, "y[0]": 5}, [["N"], ["N"]], "dimensions['y[0]']: got 5, expected 4, as 'x[0]'"),
        ({"x[0]": 4}, [[3]], "dimensions['x[0]']: got 4, expected 3, as the file says"),
        ({"a": 1, "b": 2, "a+b": 4}, [["a", "b", "a + b"]], "dimensions['a+b']: got 4, expected 3, as 'a + b' says"),
        ({"a": 1, "b": 2, "x[2]": 4}, [["a", "b", "a + b"]], "dimensions['x[2]']: got 4, expected 3, as 'a + b' says"),
        ({"a": 1, "b": 2}, [["a", "b", "a - b"]], "'a - b' of x[2] is -1, expected a whole number >= 0"),
        ({"a": 1, "b": 2}, [["a", "b", "a / b"]], "'a / b' of x[2] is 1/2, expected a whole number >= 0"),
        ({"a": 1, "b": 0}, [["a", "b", "a / b"]], "'a / b' of x[2] is -1, expected a whole number >= 0"),
    ],
)
def test_contradictions_are_refused(given, shapes, message):
    assert message in refused(given, *shapes)


def test_a_place_may_repeat_what_the_file_says():
    assert sized({"x[0]": 3, "x[1]": 2}, [3, "N"]) == [[3, 2]]


def test_values_that_are_no_inputs_may_lack_sizes():
    assert sized({"N": 2}, ["N"], others=[["N", "M", "N + M", "N - 5"]]) == [[2], [2, 0, 0, 0]]
    assert sized({"N": 2, "M": 1}, ["N"], others=[["N", "M", "N + M"]]) == [[2], [2, 1, 3]]


@pytest.mark.parametrize("size", [-1, 1.0, "3", True, None, 2**60])
def test_a_size_is_a_whole_number(size):
    with pytest.raises(InputError, match=re.escape("dimensions['N']: got ")):
        sized({"N": size}, ["N"])


def test_unknown_keys_are_refused_with_what_there_is():
    assert "no dimension is called M, x[3]; expected some of N, a, b, y[0]" in refused(
        {"M": 1, "x[3]": 1, "N": 1}, ["N", 2, "a + b"], [None]
    )
    assert "no dimension is called N; the file has no symbolic dimension" in refused({"N": 1}, [3])


def test_long_texts_are_names():
    text = "+".join(["n"] * 5000)
    assert sized({text: 2}, [text]) == [[2]]
