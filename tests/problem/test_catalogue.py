"""The catalogue of devices and links: what is in it, whether its numbers can be, and that each has a source."""

import re
from collections import Counter

import pytest

import dnnopt as dp
from dnnopt.problem import catalogue, library

DEVICES, LINKS = catalogue.devices(), catalogue.links()

# Least and most of each number, by tier.
PLAUSIBLE = {
    "end": {"memory": (8e6, 32e9), "flops_per_s": (5e8, 2e13), "bytes_per_s": (1e8, 5e11), "power": (0.3, 150)},
    "edge": {"memory": (2e9, 1e12), "flops_per_s": (2e11, 2e14), "bytes_per_s": (2e10, 2e12), "power": (5, 600)},
    "cloud": {"memory": (8e9, 1e12), "flops_per_s": (1e12, 1e15), "bytes_per_s": (1e11, 1e13), "power": (50, 1200)},
}
LATENCY = {"radio": (1e-3, 0.1), "access": (1e-3, 1), "wired": (1e-6, 1e-3), "bus": (1e-6, 1e-3)}
# What the platforms of the library call the same kinds.
SAME = {
    "Raspberry Pi 3B+": "pi3", "Raspberry Pi 4B": "pi4", "Jetson TK1": "tk1", "Jetson Nano": "jetson-nano",
    "Jetson TX2": "tx2", "Jetson Xavier NX": "xavier-nx", "Jetson AGX Xavier": "agx-xavier",
    "Snapdragon 855 phone": "pixel4", "Snapdragon 888 phone": "galaxy-s21", "Snapdragon 410 camera": "camera-sd410",
    "i.MX7 Dual watch": "watch-imx7", "Core i7-6700K PC": "i7-6700k", "Two-socket Xeon host": "xeon-2s",
    "Tesla K80 (one GK210)": "k80", "NVIDIA V100": "v100", "NVIDIA T4": "t4", "NVIDIA A100": "a100",
}  # fmt: skip
LIBRARY = [library.platform(name) for name in library.names("platforms")]


def kind(item):
    return item.provenance.partition(":")[0]


def test_there_are_enough_devices_and_links_of_every_kind_and_their_names_are_unique():
    assert len(DEVICES) >= 60
    assert len(LINKS) >= 25
    assert {entry.tier for entry in DEVICES.values()} == set(PLAUSIBLE)
    kinds = Counter(entry.kind for entry in DEVICES.values())
    assert set(kinds) == {"board", "phone", "laptop", "mac", "gpu", "processor", "accelerator"}
    assert {entry.kind for entry in LINKS.values()} == set(LATENCY)
    titles = [entry.title for entry in (*DEVICES.values(), *LINKS.values())]
    assert len(set(titles)) == len(titles)
    expected = {"pi3", "pi5", "orin-nano", "agx-orin", "coral", "iphone-16", "m1", "m4-max", "rtx2060", "rtx5090"}
    assert expected | {"k80", "p100", "a10", "l4", "h200", "mi300x", "tpu-v5e", "epyc-9654"} <= set(DEVICES)
    assert {"wifi-4", "wifi-7", "ble", "zigbee", "lora", "3g", "lte", "5g", "5g-mmwave", "ethernet-100g"} <= set(LINKS)
    assert {"usb-2", "usb-4", "pcie-5-x16", "nvlink-4", "wan", "dsl", "fibre", "starlink", "satellite"} <= set(LINKS)


@pytest.mark.parametrize("name", [*DEVICES, *LINKS])
def test_every_number_has_a_source_and_says_how_it_is_known(name):
    entry = (DEVICES | LINKS)[name]
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
    for field, figure in entry.figures.items():
        assert figure.evidence in catalogue.EVIDENCE
        assert len(figure.source) >= 5, field
        assert figure.source == figure.source.strip()
        if field in ("price", "egress"):
            assert re.search(r"as_of \d{4}", figure.source)


@pytest.mark.parametrize("name", DEVICES)
def test_the_numbers_of_a_device_are_those_of_its_tier(name):
    device = dp.device(name)
    assert device.name == name
    for field, (least, most) in PLAUSIBLE[device.tier].items():
        assert least <= getattr(device, field) <= most, field
    assert 0 < device.idle_power < device.power
    assert 0.1 <= device.efficiency <= 0.9
    assert 1e-5 <= device.overhead <= 1e-4
    assert 0.1 <= device.flops_per_s / device.bytes_per_s <= 700  # FLOP per byte
    assert (device.trusted, device.price > 0) in {(True, False), (False, False), (False, True)}
    assert device.trusted == (device.tier != "cloud")
    assert device.price * 3600 <= 15


@pytest.mark.parametrize("name", LINKS)
def test_the_numbers_of_a_link_are_those_of_its_kind(name):
    entry, both = LINKS[name], dp.link(name)
    assert both.name == name
    least, most = LATENCY[entry.kind]
    for link in (both.up, both.down):
        assert 100 <= link.bandwidth <= 1e12
        assert least <= link.latency <= most
        assert 0 <= link.send_energy_per_byte + link.receive_energy_per_byte <= 1e-3
    assert both.up.bandwidth <= both.down.bandwidth or name == "nb-iot"
    assert both.shared == (entry.kind == "radio" or name == "usb-2")
    assert (both.egress > 0) == (entry.kind == "access")
    if entry.kind == "access":
        assert both.up.receive_energy_per_byte == both.down.send_energy_per_byte == 0
    if entry.kind in ("wired", "bus"):
        assert "send_energy_per_byte" not in entry.figures


def test_devices_of_the_librarys_platforms_have_the_same_numbers_in_the_catalogue():
    seen = {}
    for platform in LIBRARY:
        for device in platform.devices:
            entry = dp.device(SAME[kind(device)])
            seen[kind(device)] = entry
            for field in ("memory", "flops_per_s", "bytes_per_s", "efficiency", "overhead", "power", "idle_power"):
                assert getattr(device, field) == pytest.approx(getattr(entry, field)), (device.name, field)
            if device.price:
                assert device.price == pytest.approx(entry.price)
    assert set(seen) == set(SAME)


@pytest.mark.parametrize(
    ("platform", "link", "entry", "way"),
    [
        ("pi4-wifi-nx-wan-t4", "wifi-up", "wifi", "up"),
        ("pi4-wifi-nx-wan-t4", "wifi-down", "wifi", "down"),
        ("pi4-wifi-nx-wan-t4", "wan-down", "wan", "down"),
        ("pi4-lte-t4", "lte-up", "lte", "up"),
        ("pi4-lte-t4", "lte-down", "lte", "down"),
        ("pi4-3g-t4", "3g-up", "3g", "up"),
        ("phone-5g-edge-cloud", "5g-up", "5g", "up"),
        ("phone-5g-edge-cloud", "5g-down", "5g", "down"),
        ("smart-home-cable-t4", "cable-up", "cable", "up"),
    ],
)
def test_links_of_the_librarys_platforms_have_the_same_numbers_in_the_catalogue(platform, link, entry, way):
    (old,) = [found for found in library.platform(platform).links if found.name == link]
    new, egress = getattr(dp.link(entry), way), dp.link(entry).egress
    assert (old.bandwidth, old.latency) == pytest.approx((new.bandwidth, new.latency))
    if way == "up":
        assert old.send_energy_per_byte == pytest.approx(new.send_energy_per_byte)
    else:
        assert old.receive_energy_per_byte == pytest.approx(new.receive_energy_per_byte)
    if old.price_per_byte:
        assert old.price_per_byte == pytest.approx(egress)


def test_a_device_takes_other_numbers_with_units_and_says_so():
    device = dp.device("pi5", name="camera", memory="2 GiB", power=7, tier="edge")
    assert (device.name, device.memory, device.power, device.tier) == ("camera", 2 * 2**30, 7.0, "edge")
    assert device.flops_per_s == dp.device("pi5").flops_per_s
    assert "memory: given by hand" in device.provenance
    assert "power: given by hand" in device.provenance
    assert device.provenance.startswith("Raspberry Pi 5 (8 GB), FP32: ")


def test_a_rented_device_can_be_ones_own():
    assert (dp.device("t4").trusted, dp.device("t4", trusted=True, price=0).trusted) == (False, True)
    assert dp.device("t4", tier="edge").trusted


def test_a_link_takes_other_numbers_either_way_or_both():
    both = dp.link("lte", bandwidth="20 Mbit/s")
    assert both.up.bandwidth == both.down.bandwidth == pytest.approx(2.5e6)
    one = dp.link("lte", bandwidth_up="8 Mbit/s", latency=0.01, shared=True, name="roof")
    assert (one.up.bandwidth, one.down.bandwidth) == pytest.approx((1e6, 13e6 / 8))
    assert (one.up.latency, one.down.latency, one.shared, one.name) == (0.01, 0.01, True, "roof")
    assert "bandwidth_up: given by hand" in one.up.provenance


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dp.device("orin-nno"), r"no device named 'orin-nno' in the library; did you mean orin-nano"),
        (lambda: dp.link("wify"), r"no link named 'wify' in the library; did you mean wifi"),
        (lambda: dp.device("zzzzz"), r"see 'dnnopt list devices'"),
        (lambda: dp.device(5), r"got 5, expected the name of a device in the catalogue"),
        (lambda: dp.link(None), r"got None, expected the name of a link in the catalogue"),
        (lambda: dp.device("pi5", memory="4 apples"), r"memory: got '4 apples', expected bytes such as '4 GiB'"),
        (lambda: dp.device("pi5", memry=4), r"memry: unknown key"),
        (lambda: dp.device("pi5", tier="fog"), r"tier: got 'fog', expected one of 'end', 'edge' or 'cloud'"),
        (lambda: dp.link("lte", bandwidth_up="8 MHz"), r"bandwidth_up: got '8 MHz', expected bandwidth"),
        (lambda: dp.link("lte", bandwidth=-1), r"bandwidth: got -1, expected a number > 0"),
        (lambda: dp.link("lte", latncy=1), r"latncy: got 1, expected one of bandwidth"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make, message):
    with pytest.raises(dp.InputError, match=message):
        make()
