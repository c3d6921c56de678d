"""How much is read: bombs, counts, digits and depth are refused at once, with one message, and allowed where asked."""

import gzip
import json

import pytest

from dnnopt.base import files, records, sizes
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data, read_text
from dnnopt.base.json_text import parse_json
from dnnopt.problem.networks import read_network
from dnnopt.problem.platforms import read_platform
from dnnopt.problem.problem import read_problem


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


@pytest.fixture
def small(monkeypatch):
    """Make the limits small, so that tests are quick."""
    for module in (sizes, files):
        if hasattr(module, "MOST_BYTES"):
            monkeypatch.setattr(module, "MOST_BYTES", 1000)
    monkeypatch.setattr(sizes, "MOST_LAYERS", 10)
    monkeypatch.setattr(sizes, "MOST_DEVICES", 5)
    monkeypatch.setattr(sizes, "MOST_PLACES", 20)


def test_a_text_that_is_too_long_is_refused_packed_or_not_and_read_where_allowed(tmp_path, small):
    plain, packed = tmp_path / "file.json", tmp_path / "file.json.gz"
    plain.write_bytes(b" " * 1001)
    packed.write_bytes(gzip.compress(b" " * 1001))
    for path in (plain, packed):
        with pytest.raises(InputError, match=r"file.json\S*: longer than 1,000 bytes of text; .*--allow-large"):
            read_text(path)
        assert read_text(path, allow_large=True) == " " * 1001
    packed.write_bytes(gzip.compress(b" " * 1000))
    assert read_text(packed) == " " * 1000


def test_a_bomb_is_unpacked_no_further_than_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 300_000_000, compresslevel=1))
    with pytest.raises(InputError, match="longer than 134,217,728 bytes"):
        read_text(path)


def test_endless_devices_are_refused(small):
    with pytest.raises(InputError, match="/dev/zero: longer than 1,000 bytes"):
        read_text("/dev/zero")


@pytest.mark.parametrize("digits", [301, 5000, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_whole_numbers_with_many_digits_are_refused_with_their_field_and_digits(path, digits, sign):
    path.write_text(
        '{"format": "dnnopt-network", "version": 1, "name": "n", "layers": '
        f'[{{"name": "a", "flops": {sign}{"9" * digits}}}]}}',
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=rf"layers\[0\].flops: got .*99 \({digits} digits\), expected a number"):
        read_network(path)


@pytest.mark.parametrize(("key", "expected"), [("version", "1"), ("name", "a text"), ("format", "'dnnopt-network'")])
def test_long_numbers_are_no_other_value_either(path, key, expected):
    data = {"format": "dnnopt-network", "version": 1, "name": "n", "layers": [{"name": "a"}]} | {key: "NUMBER"}
    path.write_text(json.dumps(data).replace('"NUMBER"', "9" * 5000), encoding="utf-8")
    with pytest.raises(InputError, match=rf"{key}: got 99.*\(5000 digits\), expected {expected}"):
        read_network(path)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_numbers_that_are_not_finite_are_refused_with_their_field(path, number):
    path.write_text(
        f'{{"format": "dnnopt-network", "version": 1, "name": "n", "layers": [{{"name": "a", "flops": {number}}}]}}',
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"layers\[0\].flops: got -?(inf|nan), expected a finite number"):
        read_network(path)


@pytest.mark.parametrize("depth", [101, 5_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_data_that_are_nested_without_end_are_refused(path, depth, opening, closing):
    path.write_text(f'{{"layers": {opening * depth}1{closing * depth}}}', encoding="utf-8")
    with pytest.raises(InputError, match="nested too deeply: more than 100"):
        read_data(path, None)


def test_data_that_are_nested_a_little_are_read():
    assert parse_json("[" * 100 + "]" * 100)


def test_too_many_values_are_refused_before_they_are_read(monkeypatch):
    text = "[" + "0," * 1_000_001 + "0]"
    with pytest.raises(InputError, match="got 1000001, expected at most 1,000,000 values"):
        parse_json(text)
    assert len(parse_json(text, allow_large=True)) == 1_000_002


@pytest.mark.parametrize(
    ("data", "place"), [({"name": "\ud800"}, "name"), ({"a": [0, {"\udfff": 1}]}, r"a\[1\].\\udfff"), (["\udead"], "")]
)
def test_halves_of_surrogate_pairs_are_refused_with_their_place(data, place):
    with pytest.raises(InputError, match=rf"^file: {place}.*a text in Unicode"):
        parse_json(json.dumps(data), file="file")
    assert parse_json(json.dumps("\U0001f642")) == "\U0001f642"


def layers(count):
    return {"name": "n", "layers": [{"name": f"l{index}", "flops": 1, "bytes": 1} for index in range(count)]}


def devices(count):
    return {"devices": [{"name": f"d{index}", "flops_per_s": 1, "bytes_per_s": 1} for index in range(count)]}


@pytest.mark.parametrize(
    ("read", "kind", "data", "words"),
    [
        (read_network, "network", layers(11), "got 11, expected at most 10 layers"),
        (read_platform, "platform", devices(6), "got 6, expected at most 5 devices"),
        (
            read_problem,
            "problem",
            {
                "networks": [layers(3), layers(4) | {"name": "m"}],
                "platform": devices(3),
                "execution": "sequential",
                "minimize": [{"metric": "latency"}],
            },
            "got 21, expected at most 20 layers times devices",
        ),
    ],
)
def test_too_many_layers_and_devices_are_refused_and_read_where_allowed(path, small, read, kind, data, words):
    path.write_text(json.dumps({"format": f"dnnopt-{kind}", "version": 1, **data}), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read(path)
    read(path, allow_large=True)


@pytest.mark.parametrize("number", [1e31, 1e300, 1e-31, 5e-324])
def test_quantities_that_products_would_make_infinite_or_nothing_are_refused(path, number):
    data = {"format": "dnnopt-network", "version": 1, "name": "n", "layers": [{"name": "a", "flops": number}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match=r"layers\[0\].flops: got .*, expected 0, or a number from 1e-30 to 1e\+30"):
        read_network(path)
    path.write_text(json.dumps(data).replace(repr(number), "-0.0"), encoding="utf-8")
    assert read_network(path).layers[0].flops == 0


def test_the_first_of_many_wrong_values_is_named_and_of_far_too_many_just_their_number(path, monkeypatch):
    data = {"format": "dnnopt-network", "version": 1, "name": "n", "layers": [{"name": "a", "flop": 1}] * 50}
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match=r"layers\[0\].flop: unknown key \(and 49 more\)"):
        read_network(path)
    monkeypatch.setattr(records, "_MOST_DETAILS", 40)
    with pytest.raises(InputError, match=r"file\.json: 51 values are not what is expected"):
        read_network(path)


def test_a_cycle_through_very_many_layers_is_told_soon(path):
    count = 20_000
    tensors = [
        {"name": f"t{k}", "producer": f"l{k}", "consumers": [f"l{(k + 1) % count}"], "bytes": 1} for k in range(count)
    ]
    path.write_text(
        json.dumps({"format": "dnnopt-network", "version": 1, **layers(count), "tensors": tensors}), encoding="utf-8"
    )
    with pytest.raises(InputError, match="the layers form a cycle: l0 -> l1 -> l2"):
        read_network(path)
