"""Numbers as they are printed: what is printed, that it reads back, and that no exponent is left."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.numbers import (
    compared,
    counted,
    format_excess,
    format_gap,
    format_number,
    format_percent,
    format_quantity,
    format_runtime,
)
from dnnopt.base.units import parse_quantity


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (36e9, 4, "36,000,000,000"),
        (12345.6, 4, "12,346"),
        (99.96, 3, "100"),
        (99.5, 2, "100"),
        (0.0042000, 4, "0.0042"),
        (0.000001234, 3, "0.00000123"),
        (-1234.5, 6, "-1,234.5"),
        (100, 1, "100"),
        (0, 4, "0"),
        (1e-300, 3, "1e-300"),
        (float("inf"), 4, "inf"),
    ],
)
def test_numbers_have_their_significant_digits_and_all_before_the_point(value, digits, text):
    assert format_number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0304, "s", "30.4 ms"),
        (123456789, "bytes", "123.5 MB"),
        (36e9, "bytes", "36 GB"),
        (999.99e6, "bytes", "1 GB"),
        (3.2e12, "bytes", "3.2 TB"),
        (2.5e6, "bytes/s", "2.5 MB/s"),
        (8.1e12, "FLOP", "8.1 TFLOP"),
        (-0.25, "J", "-250 mJ"),
        (1500, "J", "1.5 kJ"),
        (0.0004, "USD", "400 uUSD"),
        (12345, "s", "12,345 s"),
        (0, "s", "0 s"),
        (0, "bytes", "0 B"),
        (5, "W", "5 W"),
        (0.25, "", "0.25"),
        (float("inf"), "s", "inf s"),
    ],
)
def test_quantities_are_printed_with_a_fitting_prefix(value, unit, text):
    assert format_quantity(value, unit) == text


DIMENSIONS = {
    "s": "time",
    "bytes": "bytes",
    "J": "energy",
    "bytes/s": "bandwidth",
    "FLOP": "flop",
    "USD": "money",
    "W": "power",
    "1/s": "frequency",
    "": "number",
}


@given(
    st.sampled_from(sorted(DIMENSIONS)),
    st.floats(min_value=1e-15, max_value=1e20) | st.just(0.0),
    st.booleans(),
    st.integers(1, 12),
)
def test_what_is_printed_reads_back_within_its_digits(unit, size, negative, digits):
    value = -size if negative else size
    text = format_quantity(value, unit, digits)
    again = parse_quantity(text.replace(",", ""), DIMENSIONS[unit])
    assert again == pytest.approx(value, rel=0.5 * 10 ** (1 - digits) * (1 + 1e-9), abs=0)


@given(st.sampled_from(["s", "bytes", "J", "FLOP", "USD", ""]), st.floats(min_value=1e-6, max_value=1e14))
def test_no_quantity_of_this_world_has_an_exponent(unit, value):
    assert re.fullmatch(r"[\d,]+(\.\d+)?( [a-zA-Z/]+)?", format_quantity(value, unit))


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (None, "unknown"),
        (0.0, "0 %"),
        (1e-10, "0 %"),
        (0.000001, "0.0001 %"),
        (0.0354, "3.5 %"),
        (0.996, "100 %"),
        (1.0, "100 %"),
        (12.34, "1,234 %"),
    ],
)
def test_gaps_are_in_per_cent(gap, text):
    assert format_gap(gap) == text


@pytest.mark.parametrize(
    ("value", "best", "text"),
    [
        (2.0, 2.0, "the same"),
        (2.0 * (1 + 1e-12), 2.0, "the same"),
        (2.0722, 2.0, "+3.61 %"),
        (1.878, 2.0, "-6.1 %"),
        (20.0, 2.0, "+900 %"),
        (22.0, 2.0, "+1,000 %"),
        (159.4, 2.0, "79.7×"),
        (1.0, 0.0, "worse"),
        (-1.0, 0.0, "better"),
        (5.0, -0.1, "+5,100 %"),  # there is no factor to a negative value
        (7.97e9, 1.0, "7,970,000,000×"),
    ],
)
def test_values_beside_the_best_are_in_per_cent_or_so_many_times_as_much(value, best, text):
    assert compared(value, best) == text


def test_shares_above_the_best_are_in_per_cent_or_factors():
    assert [format_excess(share) for share in (0.0, 0.4261, 10.0, 337.5365)] == ["0 %", "42.6 %", "1,000 %", "339×"]
    assert format_percent(0.12345) == "12.3 %"
    assert format_percent(0.5, 1) == "50 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.00718, "7.2 ms"),
        (0.09423, "94 ms"),
        (0.1764, "0.176 s"),
        (12.345, "12.3 s"),
        (99.97, "100 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_durations_are_in_milliseconds_or_seconds(seconds, text):
    assert format_runtime(seconds) == text


def test_counts_are_in_threes_and_agree_with_their_noun():
    assert [counted(count, "layer") for count in (0, 1, 2, 12345)] == [
        "0 layers",
        "1 layer",
        "2 layers",
        "12,345 layers",
    ]
