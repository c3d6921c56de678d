"""The platforms of the library: what their files claim, and that their README tells the same."""

import itertools
import re
from importlib.resources import files

import pytest

from dnnopt.base.units import parse_quantity
from dnnopt.problem import library
from dnnopt.problem.networks import Layer
from dnnopt.problem.platforms import read_platform, write_platform
from dnnopt.problem.profiles import roofline_seconds

FOLDER = files("dnnopt") / "instances" / "platforms"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMES = library.names("platforms")

RELAYED = [  # a device in between carries the data on
    "pcie-host-4xa100",
    "pcie-host-8xt4",
    "phone-5g-edge-cloud",
    "pcie-host-2xv100-4xt4",
    "pi4-wifi-nx-wan-t4",
    "tx2-wifi-pc-wan-a100",
    "vehicle-5g-edge-cloud",
    "wearable-bluetooth-phone-wifi-cloud",
]
STARS = [  # a switch, an access point or a router in between
    "12-jetson-nx-lan",
    "16-campus-lan-wan-t4",
    "4-jetson-nx-lan",
    "8-jetson-mixed-lan",
    "four-pi3-lan-blocking",
    "pi4-lan-nano-nx-wan-t4",
    "six-pi4-wifi",
    "smart-home-cable-t4",
    "two-phones-wifi-nx-wan-v100",
]
EVIDENCE = re.compile(r"\[[ATMI]\b[^]]*\]|\bassumed\b")


def kind(device):
    """The model of a device, which its provenance begins with."""
    return device.provenance.split(":")[0]


ONE_OF_A_KIND = {kind(d): d for name in NAMES for d in library.platform(name).devices}


@pytest.fixture(params=NAMES)
def platform(request):
    return library.platform(request.param)


def test_library_is_large_enough_and_has_the_names_that_others_use():
    assert len(NAMES) >= 25
    assert {"pi4-wifi-nx-wan-t4", "pi4-lan-nano-nx-wan-t4", "4-jetson-nx-lan", *RELAYED, *STARS} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_file_reads_under_its_own_name_and_survives_writing(name, tmp_path):
    platform = read_platform(FOLDER / f"{name}.json")
    assert platform.name == name
    write_platform(platform, tmp_path / "again.json")
    assert read_platform(tmp_path / "again.json") == platform


def test_every_device_and_link_has_evidence(platform):
    assert platform.provenance
    for item in (*platform.devices, *platform.links):
        assert EVIDENCE.search(item.provenance), item.name


def test_every_device_has_all_numbers(platform):
    for d in platform.devices:
        assert min(d.memory, d.flops_per_s, d.bytes_per_s, d.overhead, d.power, d.idle_power) > 0, d.name
        assert d.idle_power < d.power
        assert d.efficiency < 1
        assert d.tier is not None


def test_every_ordered_pair_has_a_connected_route(platform):
    links = {link.name: link for link in platform.links}
    routes = {(route.origin, route.destination): [links[name] for name in route.links] for route in platform.routes}
    assert set(routes) == set(itertools.permutations(platform.device_names(), 2))
    for (origin, destination), route in routes.items():
        assert route[0].sender in (origin, None)
        assert route[-1].receiver in (destination, None)
        for first, second in itertools.pairwise(route):
            assert first.receiver == second.sender  # a device, or (None) a switch
    assert {link.name for route in routes.values() for link in route} == set(links)


def test_devices_of_one_kind_have_the_same_numbers():
    def numbers(device):
        setting = ("name", "tier", "trusted", "price", "provenance")
        return {key: value for key, value in device.to_data().items() if key not in setting}

    for name in NAMES:
        for d in library.platform(name).devices:
            same = ONE_OF_A_KIND[kind(d)]
            assert numbers(d) == numbers(same), name
            assert d.provenance.split("; price")[0] == same.provenance.split("; price")[0], name


def test_devices_of_one_kind_have_one_price_where_they_are_rented():
    prices = {}
    for name in NAMES:
        for d in library.platform(name).devices:
            if d.price:
                assert prices.setdefault(kind(d), d.price) == d.price
    assert set(prices) == {"NVIDIA T4", "NVIDIA V100", "NVIDIA A100", "Tesla K80 (one GK210)"}


def test_rented_clouds_cost_and_are_not_trusted_but_end_devices_are_and_do_not(platform):
    for d in platform.devices:
        if d.price:
            assert (d.tier, d.trusted) == ("cloud", False)
            assert re.search(r"as_of \d{4}", d.provenance)
        if d.tier == "end":
            assert (d.price, d.trusted) == (0, True)
    for link in platform.links:
        assert link.trusted is True
        if link.price_per_byte:
            assert re.search(r"as_of \d{4}", link.provenance)


@pytest.mark.parametrize("name", RELAYED)
def test_relayed_platforms_send_through_a_device(name):
    platform = library.platform(name)
    links = {link.name: link for link in platform.links}
    relayed = {links[first].receiver for route in platform.routes for first, second in itertools.pairwise(route.links)}
    assert len(relayed - {None}) == 1


@pytest.mark.parametrize("name", [*STARS, "pcie-host-2xv100-4xt4", "pcie-host-4xa100", "pcie-host-8xt4"])
def test_stars_send_over_a_link_of_the_sender_then_one_of_the_receiver(name):
    platform = library.platform(name)
    ups = {route.origin: set() for route in platform.routes}
    downs = {route.destination: set() for route in platform.routes}
    for route in platform.routes:
        if "host" not in (route.origin, route.destination):
            up, down = route.links
            ups[route.origin].add(up)
            downs[route.destination].add(down)
    assert all(len(own) == 1 for device, own in (*ups.items(), *downs.items()) if device != "host")


def test_end_edge_cloud_platform_is_what_problems_expect():
    platform = library.platform("pi4-wifi-nx-wan-t4")
    assert platform.device_names() == ("pi", "nx", "t4")
    assert [d.tier for d in platform.devices] == ["end", "edge", "cloud"]
    assert [link.name for link in platform.links] == ["wifi-up", "wifi-down", "wan-up", "wan-down"]
    routes = {(route.origin, route.destination): route.links for route in platform.routes}
    assert routes["pi", "t4"] == ("wifi-up", "wan-up")
    assert routes["t4", "pi"] == ("wan-down", "wifi-down")


@pytest.mark.parametrize(
    ("name", "count"), [("six-pi4-wifi", 12), ("smart-home-cable-t4", 4), ("two-phones-wifi-nx-wan-v100", 4)]
)
def test_shared_media_hold_all_links_of_the_channel(name, count):
    platform = library.platform(name)
    (channel,) = platform.resources
    wireless = {link.name for link in platform.links if link.provenance.startswith("Wi-Fi")}
    assert set(channel.links) == wireless
    assert len(wireless) == count
    assert not channel.devices


def test_blocking_platform_joins_each_device_with_its_links():
    platform = library.platform("four-pi3-lan-blocking")
    assert len(platform.resources) == len(platform.devices)
    for resource in platform.resources:
        (device,) = resource.devices
        assert set(resource.links) == {x.name for x in platform.links if device in (x.sender, x.receiver)}
    assert platform.all_resources() == platform.resources


POWER_MODEL = {"Wi-Fi": (283.17, 137.01, 132.86), "LTE": (438.39, 51.97, 1288.04), "3G": (868.98, 122.12, 817.88)}


def test_radio_energy_follows_the_power_model_at_the_rate_of_the_link(platform):
    """Huang et al., A close examination of performance and power characteristics of 4G LTE networks, MobiSys 2012."""
    for link in platform.links:
        sends = link.send_energy_per_byte > 0
        energy = link.send_energy_per_byte if sends else link.receive_energy_per_byte
        found = re.search(r"from the (\S+) power model of Huang", link.provenance)
        if found:
            up, down, base = POWER_MODEL[found[1]]
            rate = link.bandwidth * 8 / 1e6
            assert energy == pytest.approx(8e-9 * ((up if sends else down) + base / rate), rel=3e-3)
            assert (link.sender if sends else link.receiver) is not None
        else:
            assert not energy or link.name.startswith(("5g", "bluetooth"))


# The calibration: networks as a runtime executes them, each convolution fused with what follows it.


def fused(flops, numbers):
    return Layer("layer", flops=flops, bytes=4 * numbers)


def convolution(channels, size, out, kernel, stride=1, added=False):
    """Square images; `added`: the residual is read too."""
    numbers = out * (size // stride) ** 2
    weights = channels * out * kernel**2
    return fused(2 * numbers * channels * kernel**2, channels * size**2 + weights + (1 + added) * numbers)


def dense(inputs, outputs):
    return fused(2 * inputs * outputs, inputs * outputs + inputs + outputs)


def resnet(blocks, bottleneck, image=224):
    """He et al. 2015, with the stride of a bottleneck in its 3 x 3 convolution."""
    size = image // 4
    layers = [convolution(3, image, 64, 7, 2), fused(9 * 64 * size**2, 64 * 5 * size**2)]
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for block in range(count):
            stride = 2 if stage and not block else 1
            small = size // stride
            if bottleneck:
                layers += [convolution(channels, size, width, 1), convolution(width, size, width, 3, stride)]
                layers.append(convolution(width, small, out, 1, added=True))
            else:
                layers += [convolution(channels, size, width, 3, stride), convolution(width, small, out, 3, added=True)]
            if stride == 2 or channels != out:
                layers.append(convolution(channels, size, out, 1, stride))
            channels, size = out, small
    return [*layers, fused(channels * size**2, channels * (size**2 + 1)), dense(channels, 1000)]


def vgg16():
    layers, channels, size = [], 3, 224
    for count, out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            layers.append(convolution(channels, size, out, 3))
            channels = out
        size //= 2
        layers.append(fused(4 * out * size**2, 5 * out * size**2))
    return [*layers, dense(25088, 4096), dense(4096, 4096), dense(4096, 1000)]


NETWORKS = {
    "ResNet-18": resnet((2, 2, 2, 2), False),
    "ResNet-50": resnet((3, 4, 6, 3), True),
    "ResNet-152": resnet((3, 8, 36, 3), True),
    "ResNet-18 at 256": resnet((2, 2, 2, 2), False, 256),
    "ResNet-34 at 256": resnet((3, 4, 6, 3), False, 256),
    "ResNet-50 at 256": resnet((3, 4, 6, 3), True, 256),
    "VGG-16": vgg16(),
}


def seconds(layers, device):
    return sum(roofline_seconds(layer, device) for layer in layers)


def table(first, second):
    """The rows of the README's table whose first two columns have these titles, as dictionaries."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} | {second} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    titles, *cells = ([cell.strip() for cell in row.split("|")[1:-1]] for row in (lines[start], *rows))
    return [dict(zip(titles, row, strict=True)) for row in cells]


def shown(text):
    """A time of a table: three digits."""
    return pytest.approx(parse_quantity(text, "time"), rel=6e-3)


def test_readme_lists_every_platform():
    rows = table("file", "devices")
    assert [row["file"].strip("`") for row in rows] == NAMES
    for row in rows:
        platform = library.platform(row["file"].strip("`"))
        assert int(row["links"]) == len(platform.links)
        assert platform.provenance.startswith(row["what it is"])


def test_resnet50_is_the_usual_one():
    assert len(NETWORKS["ResNet-50"]) == 56
    assert sum(layer.flops for layer in NETWORKS["ResNet-50"]) == pytest.approx(8.2e9, rel=0.01)


def test_readme_lists_every_kind_of_device_with_its_numbers():
    rows = table("kind", "peak")
    assert {row["kind"] for row in rows} == set(ONE_OF_A_KIND)
    for row in rows:
        device = ONE_OF_A_KIND[row["kind"]]
        assert device.flops_per_s == parse_quantity(row["peak"], "flop rate")
        assert device.bytes_per_s == parse_quantity(row["bandwidth"], "bandwidth")
        assert device.overhead == parse_quantity(row["overhead"], "time")
        assert device.efficiency == float(row["efficiency"])
        compute, memory = row["achieved"].split(", ")
        assert parse_quantity(compute, "flop rate") == pytest.approx(device.efficiency * device.flops_per_s, rel=6e-3)
        assert parse_quantity(memory, "bandwidth") == pytest.approx(device.efficiency * device.bytes_per_s, rel=6e-3)


@pytest.mark.parametrize("row", table("kind", "peak"), ids=lambda row: row["kind"])
def test_device_reproduces_the_measured_time_that_it_is_calibrated_on(row):
    device = ONE_OF_A_KIND[row["kind"]]
    if row["calibrated on"] == "–":
        assert "no measured" in device.provenance
        return
    model = seconds(NETWORKS[row["calibrated on"]], device)
    assert model == shown(row["model"])
    assert model == pytest.approx(parse_quantity(row["measured"], "time"), rel=0.03)


@pytest.mark.parametrize("row", table("kind", "peak"), ids=lambda row: row["kind"])
def test_readme_gives_the_time_of_resnet50_on_every_device(row):
    device = ONE_OF_A_KIND[row["kind"]]
    assert seconds(NETWORKS["ResNet-50"], device) == shown(row["ResNet-50, fused"])
    operators = seconds(library.network("resnet50").layers, device)
    assert operators == pytest.approx(parse_quantity(row["ResNet-50, operators"], "time"), rel=0.02)


@pytest.mark.parametrize("row", table("kind", "network"), ids=lambda row: f"{row['kind']} {row['network']}")
def test_device_predicts_other_measured_times_as_well_as_the_readme_says(row):
    model = seconds(NETWORKS[row["network"]], ONE_OF_A_KIND[row["kind"]])
    assert model == shown(row["model"])
    ratio = model / parse_quantity(row["measured"], "time")
    assert ratio == pytest.approx(float(row["model / measured"]), abs=0.01)
    assert 1 / 1.6 < ratio < (2.25 if row["network"] == "VGG-16" else 1.6)


@pytest.mark.parametrize("row", table("kind", "measured"), ids=lambda row: row["kind"])
def test_operators_take_between_the_optimised_runtime_and_the_framework(row):
    device = ONE_OF_A_KIND[row["kind"]]
    operators = seconds(library.network("resnet50").layers, device)
    assert seconds(NETWORKS["ResNet-50"], device) < operators < parse_quantity(row["measured"], "time")
    assert operators == pytest.approx(parse_quantity(row["model, operators"], "time"), rel=0.02)
