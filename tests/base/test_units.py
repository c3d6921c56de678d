"""Texts with units: what is read and what is refused."""

import pytest

from dnnopt.base.errors import InputError
from dnnopt.base.units import _UNITS, parse_quantity
from dnnopt.problem.constraints import Memory, MetricLimit
from dnnopt.problem.networks import Layer, Network, Tensor
from dnnopt.problem.objectives import cost, energy, latency, period
from dnnopt.problem.platforms import Device, Link, read_platform
from dnnopt.problem.profiles import Profile


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("30 ms", "time", 0.03),
        ("50us", "time", 50e-6),
        ("50 µs", "time", 50e-6),  # the micro sign
        ("50 μs", "time", 50e-6),  # the Greek letter
        ("2 h", "time", 7200),
        ("1.5e-3 s", "time", 1.5e-3),
        (".5 s", "time", 0.5),
        ("  7 min ", "time", 420),
        ("2 GFLOP", "flop", 2e9),
        ("1.2 kWh", "energy", 4.32e6),
        ("3 mJ", "energy", 3e-3),
        ("500 mW", "power", 0.5),
        ("12.5 %", "number", 0.125),
        ("0.5", "number", 0.5),
        ("30 Hz", "frequency", 30),
        ("30 1/s", "frequency", 30),
        ("24 GFLOP/s", "flop rate", 24e9),
        ("8.1 TFLOPS", "flop rate", 8.1e12),
        ("0.01 USD", "money", 0.01),
        ("5 mUSD", "money", 0.005),
    ],
)
def test_units_of_each_dimension(text, dimension, value):
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4 GB", 4e9),
        ("4 GiB", 4 * 2**30),
        ("4 kB", 4000),
        ("4 KB", 4000),
        ("4 KiB", 4096),
        ("4 Gbit", 5e8),
        ("4 Gb", 5e8),
        ("4 Gib", 2**29),
        ("8 bit", 1),
        ("3 bytes", 3),
    ],
)
def test_bits_are_not_bytes_and_binary_prefixes_not_decimal_ones(text, value):
    assert parse_quantity(text, "bytes") == value


@pytest.mark.parametrize("text", ["20 Mbit/s", "20 Mb/s", "20 Mbps", "20000 kbit/s", "2.5 MB/s", "2500 kB/s"])
def test_one_rate_has_many_names(text):
    assert parse_quantity(text, "bandwidth") == 2.5e6


def test_compound_units_divide_their_parts():
    assert parse_quantity("290 mJ/Mbit", "energy per byte") == pytest.approx(2.32e-6)
    assert parse_quantity("5 pJ/bit", "energy per byte") == pytest.approx(40e-12)
    assert parse_quantity("3.06 USD/h", "money per second") == pytest.approx(8.5e-4)
    assert parse_quantity("3.06 $/h", "money per second") == pytest.approx(8.5e-4)
    assert parse_quantity("0.09 USD/GB", "money per byte") == pytest.approx(9e-11)


@pytest.mark.parametrize(
    ("text", "dimension", "one", "other"),
    [
        ("64", "bytes", "64 bytes", "64 MiB"),
        ("300", "time", "300 s", "300 ms"),
        ("1e6", "bandwidth", "1e6 B/s", "1e6 Mbit/s"),
        ("20", "frequency", "20 /min", "20 /s"),
        ("2", "energy", "2 mJ", "2 J"),
    ],
)
def test_a_text_without_its_unit_is_refused_with_what_may_be_meant(text, dimension, one, other):
    with pytest.raises(InputError) as refused:
        parse_quantity(text, dimension, after="x=")
    assert str(refused.value) == f"got '{text}', expected a unit: {one}, or {other}? Write 'x={other}'"
    assert parse_quantity(one, dimension) != parse_quantity(other, dimension)


def test_a_unit_in_other_letters_is_refused_with_those_that_may_be_meant():
    with pytest.raises(InputError, match=r"expected bytes such as '4 GiB'; did you mean MB or Mb\?"):
        parse_quantity("64mb", "bytes")
    with pytest.raises(InputError, match=r"did you mean Mbit/s\?"):
        parse_quantity("5 mbit/s", "bandwidth")


@pytest.mark.parametrize("dimension", list(_UNITS))
def test_zero_and_pure_numbers_need_no_unit(dimension):
    assert parse_quantity("0", dimension) == 0
    if dimension == "number":
        assert parse_quantity("64", dimension) == 64
    else:
        with pytest.raises(InputError, match="a unit"):
            parse_quantity("64", dimension)


@pytest.mark.parametrize("text", ["20 /s", "20/s", "20 Hz", "20 fps", "1200 /min"])
def test_frequencies_are_those_of_frames_and_requests(text):
    assert parse_quantity(text, "frequency") == pytest.approx(20)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("20 apples", "bandwidth"),
        ("", "time"),
        (" ", "number"),
        ("fast", "bandwidth"),
        ("ms", "time"),
        ("nan", "time"),
        ("inf s", "time"),
        ("1e999 s", "time"),
        ("1,000 ms", "time"),
        ("3 4 ms", "time"),
        ("0x10 s", "time"),
        ("20 Mbit", "bandwidth"),  # an amount, not a rate
        ("20 MB/s", "bytes"),  # a rate, not an amount
        ("20 ms", "bandwidth"),
        ("20 mb/s", "bandwidth"),  # milli-bits?
        ("5 MS", "time"),
        ("8 GFLOP", "flop rate"),
    ],
)
def test_nonsense_is_refused_with_what_was_found_and_an_example(text, dimension):
    with pytest.raises(InputError) as caught:
        parse_quantity(text, dimension)
    found, expected = caught.value.problem.split(", expected ")
    assert found == f"got {text!r}"
    example = expected.removeprefix(f"{dimension} such as ").partition(";")[0].strip("'")
    assert parse_quantity(example, dimension) > 0


def test_a_sign_is_read_but_no_field_takes_a_negative_quantity():
    assert parse_quantity("-5 ms", "time") == -0.005
    data = {"name": "l", "bandwidth": "1 MB/s", "latency": "-5 ms"}
    with pytest.raises(InputError, match=r"^latency: got '-5 ms', expected a number >= 0$"):
        Link.from_data(data)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("memory", "4 GiB", 4 * 2**30),
        ("flops_per_s", "24 GFLOP/s", 24e9),
        ("bytes_per_s", "12.8 GB/s", 12.8e9),
        ("overhead", "50 us", 50e-6),
        ("efficiency", "35 %", 0.35),
        ("power", "5 W", 5),
        ("idle_power", "100 mW", 0.1),
        ("price", "3.6 USD/h", 1e-3),
    ],
)
def test_fields_of_a_device_know_their_dimension(field, text, value):
    device = Device.from_data({"name": "d", field: text})
    assert getattr(device, field) == pytest.approx(value, rel=1e-15)


def test_units_are_read_in_every_record_and_every_file():
    assert Device("d", memory="4 GiB").memory == 4 * 2**30
    assert Tensor("t", "a", ["b"], bytes="2 kB").bytes == 2000
    assert Network("n", layers=[Layer("a")], rate="30 Hz").rate == 30
    assert Memory(limits={"pi": "64 MiB"}).limits == {"pi": 2**26}
    assert [(latency() <= "100 ms").limit, (energy() <= "2 mJ").limit, (cost() <= "1 mUSD").limit] == [0.1, 2e-3, 1e-3]
    assert (period() <= "50 ms").limit == 0.05
    data = {"constraint": "metric", "metric": "period", "limit": "50 ms"}
    assert MetricLimit.from_data(data).limit == 0.05
    profile = Profile(time={"n": {"a": {"d": "3 ms"}}}, energy={"n": {"a": {"d": "2 mJ"}}})
    assert (profile.time["n"]["a"]["d"], profile.energy["n"]["a"]["d"]) == (0.003, 0.002)
    with pytest.raises(InputError, match=r"^limit: got '2 J', expected time such as '30 ms'"):
        period() <= "2 J"  # noqa: B015


def test_a_bad_unit_in_a_file_is_reported_with_its_place(tmp_path):
    path = tmp_path / "p.json"
    devices = '[{"name": "a", "memory": "4 GiB"}, {"name": "b", "memory": "4 GiBit"}]'
    path.write_text(f'{{"format": "dnnopt-platform", "version": 1, "devices": {devices}}}', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_platform(path)
    assert (
        str(caught.value)
        == f"{path}: devices[1].memory: got '4 GiBit', expected bytes such as '4 GiB'; did you mean Gibit?"
    )
