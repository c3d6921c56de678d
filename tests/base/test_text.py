"""Texts of others: shown whole, and without anything that a terminal acts on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.errors import InputError
from dnnopt.base.text import shortened, visible
from dnnopt.problem.networks import Layer

names = st.text(st.characters(), max_size=30)  # halves of surrogate pairs too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv 1, größe µ → 層 🙂", "conv 1, größe µ → 層 🙂"),
        ("\x1b[2J\x1b[31m", r"\x1b[2J\x1b[31m"),
        ("a\nb\rc\td\x00", r"a\nb\rc\td\x00"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u200bb\u00a0c\u2028", r"a\u200bb\xa0c\u2028"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_acts_or_hides_is_escaped_and_the_rest_stays(text, shown):
    assert visible(text) == shown


@given(names)
def test_every_text_becomes_one_printable_line_with_all_of_it(text):
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert "".join(visible(one) for one in text) == shown
    assert text.isprintable() == (shown == text)


@given(names, names)
def test_messages_of_errors_are_one_printable_line(field, value):
    error = InputError("a number", field=field, value=value, file="file")
    assert str(error).isprintable()
    assert error.field == field  # as it is


def test_long_values_fields_and_whole_numbers_beyond_pythons_are_shortened_in_messages():
    error = InputError("a number", field="x" * 10_000, value=10**5000)
    assert len(str(error)) < 500
    assert "a whole number of 5001 digits" in str(error)
    assert len(str(InputError("a number", value=[10**5000]))) < 100
    assert shortened("a" * 50 + "b" * 50, 80) == f"{'a' * 50}{'b' * 10} ... {'b' * 15}"


@pytest.mark.parametrize("value", [10**400, pytest.param(-(10**5000), id="long"), float("nan"), 10.0**308 * 10])
def test_numbers_beyond_floats_are_refused_with_their_field(value):
    with pytest.raises(InputError, match=r"^flops: got .*, expected a finite number$"):
        Layer(name="a", flops=value)
