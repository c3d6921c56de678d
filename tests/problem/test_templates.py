"""Platforms from templates: stars, meshes and lines of devices and links of the catalogue."""

import itertools

import pytest

import dnnopt as dp
from dnnopt.problem import library

HOME = ["pi5", "orin-nano", "rtx4060"]


def routes(platform):
    return {(route.origin, route.destination): route.links for route in platform.routes}


def link(platform, name):
    (found,) = [link for link in platform.links if link.name == name]
    return found


def test_a_star_joins_every_device_to_a_router_and_the_last_link_repeats():
    platform = dp.star(HOME, ["wifi", "ethernet-1g"])
    assert platform.device_names() == tuple(HOME)
    assert routes(platform) == {(i, j): (f"{i}-up", f"{j}-down") for i, j in itertools.permutations(HOME, 2)}
    assert link(platform, "pi5-up").bandwidth == pytest.approx(15e6 / 8)
    assert link(platform, "pi5-down").bandwidth == pytest.approx(30e6 / 8)
    for name in ("orin-nano-up", "orin-nano-down", "rtx4060-up", "rtx4060-down"):
        assert link(platform, name).bandwidth == pytest.approx(1e9 / 8)
    assert (link(platform, "pi5-up").sender, link(platform, "pi5-up").receiver) == ("pi5", None)
    assert [(medium.name, medium.links) for medium in platform.resources] == [("wifi", ("pi5-up", "pi5-down"))]


def test_a_star_around_a_device_goes_through_it():
    platform = dp.star(HOME, ["wifi", "ethernet-1g"], centre="orin-nano")
    found = routes(platform)
    assert found["pi5", "rtx4060"] == ("pi5-up", "rtx4060-down")
    assert found["pi5", "orin-nano"] == ("pi5-up",)
    assert found["orin-nano", "rtx4060"] == ("rtx4060-down",)
    assert link(platform, "pi5-up").receiver == link(platform, "rtx4060-down").sender == "orin-nano"
    assert link(platform, "rtx4060-up").bandwidth == pytest.approx(1e9 / 8)


def test_a_line_relays_over_the_devices_between():
    platform = dp.line(HOME, ["wifi", "ethernet-1g"])
    found = routes(platform)
    assert found["pi5", "rtx4060"] == ("pi5->orin-nano", "orin-nano->rtx4060")
    assert found["rtx4060", "pi5"] == ("rtx4060->orin-nano", "orin-nano->pi5")
    assert platform.resources[0].links == ("pi5->orin-nano", "orin-nano->pi5")


def test_a_mesh_has_a_link_for_each_pair_in_order():
    platform = dp.mesh(HOME, ["wifi-4", "ethernet-1g", "ethernet-10g"])
    rate = {pair: link(platform, over[0]).bandwidth * 8 for pair, over in routes(platform).items() if len(over) == 1}
    assert len(rate) == 6
    assert rate["pi5", "orin-nano"] == rate["orin-nano", "pi5"] == pytest.approx(40e6)
    assert rate["pi5", "rtx4060"] == pytest.approx(1e9)
    assert rate["rtx4060", "orin-nano"] == pytest.approx(10e9)


def test_all_links_over_one_wifi_are_one_medium_and_another_name_is_another():
    platform = dp.star(["pi4"] * 3 + ["pi5"], ["wifi", "wifi", dp.link("wifi", name="upstairs"), "ethernet-1g"])
    media = {medium.name: set(medium.links) for medium in platform.resources}
    assert media == {
        "wifi": {"pi4-up", "pi4-down", "pi4-2-up", "pi4-2-down"},
        "upstairs": {"pi4-3-up", "pi4-3-down"},
    }


def test_repeated_devices_get_numbers_that_nothing_else_has():
    third = dp.device("pi4", name="pi5-2")
    assert dp.line(["pi5", "pi5", third, "pi5"], "wifi").device_names() == ("pi5", "pi5-3", "pi5-2", "pi5-4")


def test_a_medium_that_is_called_like_a_device_gets_another_name():
    platform = dp.star([dp.device("pi5", name="wifi"), "pi4"], "wifi")
    assert platform.resources[0].name == "wifi-medium"


def test_a_line_has_the_numbers_of_the_same_platform_in_the_library():
    new = dp.line(["pi4", "xavier-nx", "t4"], ["wifi", "wan"])
    old = library.platform("pi4-wifi-nx-wan-t4")
    names = {
        "pi4->xavier-nx": "wifi-up",
        "xavier-nx->pi4": "wifi-down",
        "xavier-nx->t4": "wan-up",
        "t4->xavier-nx": "wan-down",
    }
    for name, other in names.items():
        one, two = link(new, name), link(old, other)
        assert (one.bandwidth, one.latency, one.price_per_byte) == pytest.approx(
            (two.bandwidth, two.latency, two.price_per_byte)
        )
    for one, two in zip(new.devices, old.devices, strict=True):
        assert (one.tier, one.trusted, one.price) == (two.tier, two.trusted, pytest.approx(two.price))
    over = [tuple(names[name] for name in route.links) for route in new.routes]
    assert sorted(over) == sorted(route.links for route in old.routes)


def test_up_is_towards_the_higher_tier_whatever_the_order():
    home = dp.star(["pi5", "t4"], ["wifi", "cable"])  # the T4 is above the router
    assert link(home, "t4-down").bandwidth == pytest.approx(1e6 / 8)  # from the home
    assert link(home, "t4-up").bandwidth == pytest.approx(5e6 / 8)
    phone = dp.line(["t4", "pixel8"], "lte")
    assert link(phone, "pixel8->t4").bandwidth == pytest.approx(6e6 / 8)
    assert link(phone, "t4->pixel8").bandwidth == pytest.approx(13e6 / 8)


def test_both_ends_of_a_radio_pay_but_only_the_lower_one_of_an_access_link_and_no_router():
    watch = dp.line(["watch-imx7", "pixel8"], "bluetooth").links[0]
    assert watch.send_energy_per_byte == watch.receive_energy_per_byte == pytest.approx(0.4e-6)
    up, down = dp.line(["pixel8", "t4"], "lte").links
    assert (up.send_energy_per_byte, up.receive_energy_per_byte) == (pytest.approx(5.22e-6), 0)
    assert (down.send_energy_per_byte, down.receive_energy_per_byte) == (0, pytest.approx(1.21e-6))
    up, down, *_ = dp.star(["pi5", "pi4"], "wifi").links
    assert (up.send_energy_per_byte, up.receive_energy_per_byte) == (pytest.approx(2.34e-6), 0)
    assert (down.send_energy_per_byte, down.receive_energy_per_byte) == (0, pytest.approx(1.13e-6))


def test_only_what_leaves_a_rented_cloud_is_charged():
    rented = {link.name: link.price_per_byte for link in dp.line(["pi5", "t4"], "wan").links}
    assert rented == {"pi5->t4": 0, "t4->pi5": pytest.approx(0.09e-9)}
    own = dp.line(["pi5", dp.device("t4", trusted=True)], "wan")
    assert all(link.price_per_byte == 0 for link in own.links)


def test_devices_and_links_of_ones_own_are_taken_as_they_are():
    cable = dp.Link("mine", bandwidth=1e6, latency=0.5, send_energy_per_byte=1e-6, price_per_byte=1e-9)
    one = dp.Device("one", flops_per_s=1e9, bytes_per_s=1e9)
    for found in dp.line([one, "pi5"], cable).links:
        assert (found.bandwidth, found.latency, found.send_energy_per_byte) == (1e6, 0.5, 1e-6)
        assert found.price_per_byte == 1e-9
    unlike = dp.Connection("unlike", up=cable, down=cable.replace(bandwidth=2e6))
    assert [found.bandwidth for found in dp.line([one, "pi5"], unlike).links] == [1e6, 2e6]


def test_any_number_can_be_overridden_and_its_provenance_says_so():
    numbers = {"pi5.memory": "2 GiB", "pi5-up.bandwidth": "100 Mbit/s", "rtx4060.trusted": False}
    platform = dp.star(HOME, "wifi-6", override=numbers)
    assert platform.devices[0].memory == 2 * 2**30
    assert platform.devices[2].trusted is False
    assert link(platform, "pi5-up").bandwidth == pytest.approx(12.5e6)
    assert platform.devices[0].provenance.endswith("; memory given by hand")


def test_a_platform_says_where_its_numbers_are_from_and_survives_a_file(tmp_path):
    platform = dp.star(HOME, ["wifi", "ethernet-1g"], name="home")
    assert platform.provenance
    for item in (*platform.devices, *platform.links):
        assert "[" in item.provenance
    dp.write_platform(platform, tmp_path / "home.json")
    assert dp.read_platform(tmp_path / "home.json") == platform


@pytest.mark.parametrize("make", [dp.star, dp.mesh, dp.line])
def test_a_network_is_solved_on_every_template(make):
    platform = make(["pi5", "orin-nano", "t4"], ["wifi", "wan"])
    problem = dp.Problem(dp.network("alexnet", source="pi5", sink="pi5"), platform, "sequential", dp.latency())
    assert dp.solve(problem).status == "optimal"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dp.star(["pi5"], "wifi"), r"devices: got \['pi5'\], expected at least two devices"),
        (lambda: dp.star("pi5", "wifi"), r"devices: got 'pi5', expected a list of devices"),
        (lambda: dp.star(["pi5", 3], "wifi"), r"devices\[1\]: got 3, expected a name in the catalogue, or a Device"),
        (
            lambda: dp.star(["pi5", "orin"], "wifi"),
            r"devices\[1\]: no device named 'orin' .* did you mean orin-nx, agx-orin",
        ),
        (lambda: dp.line(HOME, ["wifi", "etherne-1g"]), r"links\[1\]: no link .* did you mean ethernet-1g"),
        (lambda: dp.line(HOME, ["wifi"] * 3), r"links: .* expected 1 to 2 links: one for each two neighbours"),
        (lambda: dp.line(["pi5", "pi4"], ["wifi"] * 2), r"expected one link: one for each two neighbours"),
        (lambda: dp.star(HOME, ["wifi"] * 4), r"expected 1 to 3 links: one for each device"),
        (lambda: dp.star(HOME, ["wifi"] * 3, centre="pi5"), r"1 to 2 links: one for each device but the centre"),
        (lambda: dp.mesh(HOME, ["wifi"] * 4), r"expected 1 to 3 links: one for each pair of devices"),
        (lambda: dp.mesh(HOME, []), r"links: got \[\], expected 1 to 3 links"),
        (lambda: dp.mesh(HOME, 7), r"links: got 7, expected a link, or a list of links"),
        (lambda: dp.mesh(HOME, [7]), r"links\[0\]: got 7, expected a name in the catalogue, a Link or a Connection"),
        (lambda: dp.star(HOME, "wifi", centre="pi4"), r"centre: got 'pi4', expected one of the devices pi5"),
        (lambda: dp.star(HOME, "wifi", centre=1), r"centre: got 1, expected the name of a device"),
        (lambda: dp.star(HOME, "wifi", override={"pi4.memory": 1}), r"override: got 'pi4.memory', expected DEVICE"),
        (lambda: dp.star(HOME, "wifi", override={"pi5.memry": 1}), r"did you mean memory"),
        (lambda: dp.star(HOME, "wifi", override={"pi5.memory": "x"}), r"override\['pi5.memory'\]: got 'x', expected b"),
        (lambda: dp.star(HOME, "wifi", override={"pi5.name": "x"}), r"expected a field, after the last dot"),
        (lambda: dp.star(HOME, "wifi", override=[1]), r"override: got \[1\], expected numbers by DEVICE.FIELD"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, message):
    with pytest.raises(dp.InputError, match=message):
        call()
