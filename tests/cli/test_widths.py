"""Whatever a command prints fits the terminal, breaks no word, and says which columns it leaves out."""

from itertools import pairwise

import pytest
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt
from rich.cells import cell_len

import dnnopt as dp
from dnnopt.problem.plan import write_plan
from dnnopt.problem.problem import write_problem

LONG = "stage3_unit2_bottleneck/convolution"
KINDS = ["networks", "platforms", "devices", "links", "problems", "formulations", "methods", "heuristics", "words"]


@pytest.fixture(scope="module")
def named_at_length(tmp_path_factory):
    """Return a folder with a problem of long names, an infeasible one, and two plans."""
    folder = tmp_path_factory.mktemp("long")
    near, far = dp.Device(name="raspberry-pi-in-the-hall", memory=9), dp.Device(name="workstation-upstairs", memory=9)
    on = platform([near, far], [link("wireless-network")], {f"{near.name}>{far.name}": "wireless-network"})
    names = [f"{LONG}_{number}" for number in range(4)]
    tensors = [tensor(f"activation_of_{a}", a, b, 2) for a, b in pairwise(names)]
    times = {name: (number + 1, 1) for number, name in enumerate(names)}
    net = network([layer(name, 4) for name in names], tensors, name="detector-of-the-front-door")
    one = problem(net, on, times, subject_to=[dp.memory()]).replace(name="cameras-of-the-house-in-the-evening")
    write_problem(one, folder / "long.json")
    write_problem(
        one.replace(subject_to=[dp.memory(), dp.latency() <= 5, dp.MaxDevices(limit=1)]), folder / "none.json"
    )
    places = dict.fromkeys(names[:2], near.name) | dict.fromkeys(names[2:], far.name)
    write_plan(dp.Plan(placement={net.name: places}), folder / "plan.json")
    write_plan(dp.Plan(placement={net.name: dict.fromkeys(names, near.name)}), folder / "broken.json")
    return folder


COMMANDS = {
    "solve": ("solve long.json", 0),
    "solve a library problem": ("solve small/004 -t 5", 0),
    "solve with everything": ("solve long.json -v", 0),
    "solve what is infeasible": ("solve none.json", 1),
    "best plans": ("solve small/002 --best 3", 0),
    "compare": ("compare long.json --method single-cut --method greedy --method heft", 0),
    "compare a library problem": ("compare small/004 --method all-on-one --method single-cut -t 5", 0),
    "compare over a set": (
        "compare --over small/002 --output runs --method neighbourhood-search --heuristic-limit 0.1",
        0,
    ),
    "sweep": ("sweep long.json --vary bandwidth(wireless-network)=1B/s..9B/s --points 3", 0),
    "pareto": ("pareto long.json -b latency -b traffic", 0),
    "formulations": ("formulations small/002 -f edgewise -f treewise -f cp-assignment -t 5", 0),
    "show": ("show long.json", 0),
    "show a library problem": ("show core/017", 0),
    "check": ("check long.json plan.json", 0),
    "check what is broken": ("check long.json broken.json", 1),
    "bench": ("bench small/002 --output runs --method greedy", 0),
    "explain": ("explain none.json", 1),
    "explain a feasible one": ("explain long.json", 0),
    **{f"list {kind}": (f"list {kind}", 0) for kind in KINDS},
    **{f"list {kind} -v": (f"list {kind} -v", 0) for kind in KINDS},
}


def words_of(output):
    """Return the words of an output, without what stands around them in lists."""
    return {word.strip(":;,-.") for word in output.split()} - {""}


@pytest.mark.parametrize("what", COMMANDS)
def test_every_command_fits_the_terminal(what, named_at_length, monkeypatch):
    words, code = COMMANDS[what]
    for width in (60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        run = dnnopt(*words.split(), cwd=named_at_length)
        assert run.returncode == code, run.output
        assert run.output.strip()
        assert [line for line in run.output.splitlines() if cell_len(line) > width] == []
        if what.startswith("compare"):
            assert "status" in run.output or "failed" in run.output


@pytest.mark.parametrize(
    "what", ["show", "check", "check what is broken", *(name for name in COMMANDS if "list" in name)]
)
def test_no_word_is_broken_in_a_narrow_terminal(what, named_at_length, monkeypatch):
    words, _ = COMMANDS[what]
    monkeypatch.setenv("COLUMNS", "2000")
    whole = words_of(dnnopt(*words.split(), cwd=named_at_length).stdout)
    for width in (60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = dnnopt(*words.split(), cwd=named_at_length).stdout.splitlines()
        shown = words_of("\n".join(line for line in lines if not line.startswith("There is no room here for")))
        assert shown <= whole


def test_the_status_is_never_left_out_and_what_is_left_out_is_named(named_at_length, monkeypatch):
    words, _ = COMMANDS["compare a library problem"]
    monkeypatch.setenv("COLUMNS", "60")
    output = dnnopt(*words.split(), cwd=named_at_length).stdout
    assert {"status", "optimal", "feasible", "breaks"} <= words_of(output)
    assert "There is no room here for: gap to bound, layers elsewhere." in output


def test_printed_problems_results_and_tables_fit_80_columns(named_at_length):
    one = dp.read_problem(named_at_length / "long.json")
    comparison = dp.compare(one, methods=["single-cut", "greedy"])
    for shown in (
        one,
        dp.load("resnet50-pi4-wifi-nx-wan-t4"),
        dp.solve(one),
        comparison,
        one.networks[0],
        one.platform,
    ):
        assert max(map(cell_len, str(shown).splitlines())) <= 80
    assert str(one).startswith("<Problem cameras-of-the-house-in-the-evening: 4 layers, 2 devices, ")
