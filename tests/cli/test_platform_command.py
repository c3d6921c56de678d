"""Platforms made on the command line, and the lists of what they are made of."""

import json

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.problem import catalogue


def new(path, devices, links, *words):
    return dnnopt("platform", "new", "--devices", devices, "--links", links, "-o", path, *words)


def test_a_new_platform_is_a_file_that_solve_takes_as_it_is(tmp_path):
    home, result = tmp_path / "home.json", tmp_path / "result.json"
    made = new(home, "pi5,orin-nano,rtx4060", "wifi,ethernet-1g")
    assert made.returncode == 0, made.output
    assert made.stdout == f"{home}: pi5, orin-nano, rtx4060; 6 links\n"
    assert dp.read_platform(home) == dp.star(["pi5", "orin-nano", "rtx4060"], ["wifi", "ethernet-1g"], name="home")
    solved = dnnopt("solve", "alexnet", "--platform", home, "--json", result)
    assert solved.returncode == 0, solved.output
    assert json.loads(result.read_text("utf-8"))["status"] == "optimal"


def test_the_file_says_where_each_number_is_from(tmp_path):
    home = tmp_path / "home.json"
    new(home, "pi5,t4", "wifi,wan")
    data = json.loads(home.read_text("utf-8"))
    for item in (*data["devices"], *data["links"]):
        for evidence in ("datasheet", "measured", "derived", "recalled", "estimate"):
            item["provenance"] = item["provenance"].replace(f"[{evidence}]", "[...]")
        assert item["provenance"].count("[...]") >= 2
    assert data["provenance"].startswith("A star of pi5, t4.")


def test_topology_centre_names_and_numbers_are_those_asked_for(tmp_path):
    path = tmp_path / "home.json"
    words = ("--centre", "hub", "--set", "hub.memory=4 GiB", "--set", "pi4-up.latency=5 ms", "--name", "mine")
    assert new(path, "pi4, hub=orin-nano, pi4", "wifi", *words).returncode == 0
    found = dp.read_platform(path)
    assert (found.name, found.device_names()) == ("mine", ("pi4", "hub", "pi4-2"))
    assert found.devices[1].memory == 2**32
    assert {link.name: link.latency for link in found.links}["pi4-up"] == pytest.approx(5e-3)
    assert {link.receiver for link in found.links if link.name.endswith("-up")} == {"hub"}
    assert new(path, "pi4,pi5,t4", "wifi,wan", "--topology", "line").returncode == 0
    assert dp.read_platform(path) == dp.line(["pi4", "pi5", "t4"], ["wifi", "wan"], name="home")


def test_a_rented_device_on_the_local_network_is_remarked_on(tmp_path):
    path = tmp_path / "home.json"
    said = "t4 is rented in a cloud, but no link to it leads over the Internet (wan, broadband, lte, ...).\n"
    assert new(path, "pi5,orin-nano,t4", "wifi,ethernet-1g").stderr == said
    assert new(path, "pi5,orin-nano,t4", "wifi,ethernet-1g,wan").stderr == ""
    assert new(path, "pi5,t4", "lte", "--topology", "line").stderr == ""
    assert new(path, "pi5,t4", "ethernet-1g", "--set", "t4.trusted=true", "--set", "t4.price=0").stderr == ""
    assert dp.read_platform(path).devices[1].trusted is True
    assert new(path, "v100,t4", "pcie-3-x16", "--topology", "line").stderr == ""  # one host


@pytest.mark.parametrize(
    ("devices", "links", "words", "message"),
    [
        ("pi5,orin-nno", "wifi", [], "--devices[1]: no device named 'orin-nno' in the library; did you mean orin-nano"),
        ("pi5,pi4", "wifii", [], "--links[0]: no link named 'wifii' in the library; did you mean wifi"),
        ("cam=pi6,pi5", "wifi", [], "--devices: no device named 'pi6'"),
        ("=pi5,pi4", "wifi", [], "expected a text that is not empty"),
        ("pi5", "wifi", [], "--devices: got ['pi5'], expected at least two devices"),
        ("pi5,pi4", "wifi,wifi,wifi", [], "--links: got ['wifi', 'wifi', 'wifi'], expected 1 to 2 links"),
        ("pi5,,pi4", "wifi", [], "--devices[1]: no device named ''"),
        ("pi5,pi4", "wifi", ["--topology", "ring"], "--topology: got 'ring', expected one of star, mesh, line"),
        ("pi5,pi4", "wifi", ["--centre", "pi3"], "--centre: got 'pi3', expected one of the devices pi5, pi4"),
        ("pi5,pi4", "wifi", ["--centre", "pi5", "--topology", "line"], "--centre: goes with --topology star"),
        ("pi5,pi4", "wifi", ["--set", "pi5.memory=3 apples"], "--set['pi5.memory']: got '3 apples', expected bytes"),
        ("pi5,pi4", "wifi", ["--set", "pi6.memory=3"], "--set: got 'pi6.memory', expected DEVICE.FIELD"),
        ("pi5,pi4", "wifi", ["--set", "pi5.memory"], "--set: got 'pi5.memory', expected NAME=VALUE"),
    ],
)
def test_mistakes_give_one_line_and_no_file(tmp_path, devices, links, words, message):
    run = new(tmp_path / "home.json", devices, links, *words)
    assert run.returncode == 2
    assert message in run.output
    assert len(run.output.strip().splitlines()) == 1
    assert not (tmp_path / "home.json").exists()


@pytest.mark.parametrize(("kind", "entries"), [("devices", catalogue.devices()), ("links", catalogue.links())])
@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_lists_of_the_catalogue_have_a_line_for_each_entry_that_a_terminal_shows_whole(kind, entries, verbose):
    run = dnnopt("list", kind, *verbose)
    assert run.returncode == 0
    first, *lines = run.stdout.splitlines()
    assert first.startswith("name ")
    assert [line.split()[0] for line in lines] == list(entries)
    assert max(map(len, run.output.splitlines())) <= 80


def test_a_verbose_list_has_the_numbers_and_how_they_are_known():
    rows = {line.split("  ")[0]: line.split() for line in dnnopt("list", "devices", "-v").stdout.splitlines()}
    assert rows["t4"] == ["t4", "16", "G", "8.1", "T", "320", "G", "0.52", "70", "~10", "0.526"]
    assert rows["orin-nano"] == ["orin-nano", "8", "Gi", "1.28", "T", "68", "G", "~0.7", "15", "~4"]
    assert rows["tpu-v5e"][1:6] == ["16", "G", "197", "T", "BF16"]
    rows = {line.split("  ")[0]: line.split() for line in dnnopt("list", "links", "-v").stdout.splitlines()}
    assert rows["lte"][1:7] == ["6", "Mbit/s", "13", "Mbit/s", "35", "ms"]
    assert "~0.4" in rows["bluetooth"]
