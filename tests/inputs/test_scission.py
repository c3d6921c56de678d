"""Measurements of layers as a problem: what is in it, the best cut by hand and by enumeration, and what is refused."""

import random
from itertools import combinations_with_replacement

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.base.errors import InputError
from dnnopt.problem import library

TABLE = """layer,device,seconds,output_bytes
input,pi,0,602112
conv1,pi,0.021,3211264
conv1,nx,0.0031,3211264
conv1,t4,0.0009,3211264

fc,nx,0.0004,4000
fc,t4,0.0001,4000
"""
WHERE = "pi4-wifi-nx-wan-t4"


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="net.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def test_the_table_is_a_chain_with_its_times_and_its_input(write):
    problem = dp.read_scission(write(TABLE), WHERE)
    (network,) = problem.networks
    assert (network.name, network.source, network.sink) == ("net", "pi", None)
    assert [layer.name for layer in network.layers] == ["conv1", "fc"]
    assert [(one.producer, one.consumers, one.bytes) for one in network.tensors] == [
        ("input", ("conv1",), 602112),
        ("conv1", ("fc",), 3211264),
    ]
    assert problem.profile.time["net"]["conv1"] == {"pi": 0.021, "nx": 0.0031, "t4": 0.0009}
    assert problem.profile.time["net"]["fc"] == {"pi": None, "nx": 0.0004, "t4": 0.0001}
    assert [one.constraint for one in problem.subject_to] == ["contiguous", "monotone_tiers"]


def test_columns_may_come_in_any_order_among_others_and_the_input_may_be_everywhere(write):
    rows = [line.split(",") for line in TABLE.split("\n") if line and not line.startswith("input")]
    text = "\r\n".join(", ".join((row[3], row[0], "x", row[2], row[1])) for row in rows)
    other = dp.read_scission(write("\ufeff" + text), WHERE)
    assert other.networks[0].source is None
    assert other.profile == dp.read_scission(write(TABLE), WHERE).profile


def test_the_best_parts_are_those_of_all_cuts(write):
    where = library.platform(WHERE)
    for seed in range(8):
        draw = random.Random(seed)
        names = ["pi", "nx", "t4"]
        size = [draw.choice((1e3, 1e5, 1e6)) for _ in range(6)]  # the first is the input's
        seconds = [[draw.random() * scale for scale in (0.5, 0.1, 0.02)] for _ in range(5)]
        lines = ["layer,device,seconds,output_bytes", f"input,pi,0,{size[0]}"]
        lines += [f"l{v},{names[i]},{seconds[v][i]},{size[v + 1]}" for v in range(5) for i in range(3)]
        problem = dp.read_scission(write("\n".join(lines)), where)
        routes = {(one.origin, one.destination): one.links for one in where.routes}
        links = {one.name: one for one in where.links}

        def sent(tensor, i, j, names=names, size=size, routes=routes, links=links):
            way = [links[name] for name in routes[names[i], names[j]]] if i != j else []
            return sum(one.latency + size[tensor] / one.bandwidth for one in way)

        best = min(
            sum(seconds[v][i] for v, i in enumerate(at))
            + sum(sent(v, i, j) for v, (i, j) in enumerate(zip((0, *at), at, strict=False)))
            for at in combinations_with_replacement(range(3), 5)
        )
        result = dp.solve(problem)
        assert result.status == "optimal"
        assert result.objective == pytest.approx(best)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("line 1", "a header with layer,device,seconds,output_bytes")),
        ("layer,device,seconds\n", ("line 1", "'layer,device,seconds'")),
        ("layer,device,seconds,output_bytes\n", ("no measurements",)),
        ("layer,device,seconds,output_bytes\ninput,pi,0,1\n", ("no measurements",)),
        (TABLE.replace("0.021", "fast"), ("line 3: seconds", "'fast'", "a number")),
        (TABLE.replace("0.021", "-1"), ("line 3: seconds", "-1", ">= 0")),
        (TABLE.replace("0.021", "nan"), ("line 3: seconds", "finite")),
        (TABLE.replace("fc,nx", "fc,phone"), ("line 7: device", "'phone'", "device of the platform")),
        (TABLE.replace("fc,nx", "fc,t4"), ("line 8: device", "'t4'", "one row of 'fc' on each device")),
        (TABLE.replace("fc,t4,0.0001,4000", "fc,t4,0.0001,40"), ("line 8: output_bytes", "4000")),
        (TABLE.replace("fc,", "output,"), ("line 7: layer", "another name")),
        (TABLE.replace("pi,0,", "pi,1,"), ("line 2: seconds", "one row of the input")),
        (TABLE + "fc,pi\n", ("line 9", "4 values")),
    ],
)
def test_malformed_tables_are_refused_by_line(write, text, parts):
    path = write(text)
    with pytest.raises(InputError) as caught:
        dp.read_scission(path, WHERE)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_the_command_writes_a_problem_file(write, tmp_path):
    path, out = write(TABLE), tmp_path / "problem.json"
    run = dnnopt("import", "scission", str(path), "--platform", WHERE, "-o", str(out))
    assert run.returncode == 0, run.output
    assert "net on 3 devices, measured; 2 layers, 3 devices" in run.output
    assert dp.read_problem(out) == dp.read_scission(path, WHERE)
    refused = dnnopt("import", "scission", str(path), "--platform", "nowhere", "-o", str(out))
    assert refused.returncode == 2
