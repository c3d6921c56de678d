"""A slice of `benchmarks/fuzz.py`: mutations of every kind of file are refused with one message, or read and used."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="no limits on processes here")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COUNT = 50


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import fuzz
    finally:
        sys.path.remove(str(BENCHMARKS))
    return fuzz


def names():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from kinds import KINDS
    finally:
        sys.path.remove(str(BENCHMARKS))
    return list(KINDS)


@pytest.mark.parametrize("name", names())
def test_mutations_are_refused_with_one_message_or_read_and_used(fuzz, name, tmp_path):
    kind = fuzz.kind_of(name)
    outcomes = [fuzz.check(kind, number, tmp_path).outcome for number in range(COUNT)]
    assert [outcome for outcome in outcomes if outcome not in (fuzz.REFUSED, fuzz.READ)] == []
    assert fuzz.REFUSED in outcomes
    assert fuzz.READ in outcomes


def test_a_mutation_is_the_same_whenever_it_is_made(fuzz):
    kind = fuzz.kind_of("problem")
    assert fuzz.mutation(kind, 7) == fuzz.mutation(kind, 7)
    assert len({fuzz.mutation(kind, number) for number in range(50)}) > 40


def test_what_fails_is_told_with_its_place(fuzz, tmp_path):
    def broken(path):
        raise KeyError("x")

    kind = fuzz.Kind("broken", ".txt", lambda random: b"", broken)
    assert fuzz.check(kind, 0, tmp_path).outcome.startswith("KeyError at tests/test_fuzz.py:")
    unprintable = fuzz.Kind("unprintable", ".txt", lambda random: b"", lambda path: path.with_name("\x00").read_text())
    assert fuzz.check(unprintable, 0, tmp_path).outcome.startswith("ValueError")
