"""The approaches in the five dimensions: against the table of the design notes, and against problems."""

import re
from itertools import pairwise
from typing import get_args

import pytest
from builders import link, network, platform, tensor
from commands import check_refused, dnnopt
from shared_data import shared_design
from small_settings import small

import dnnopt as dp
from dnnopt.approaches import (
    DIMENSIONS,
    Approach,
    Claim,
    approach_named,
    classification,
    classify,
    classifying,
    published,
)
from dnnopt.methods.exact import EXACT
from dnnopt.problem import constraints
from dnnopt.problem.metrics import STANDARD

COLUMNS = dict(zip((one.name for one in DIMENSIONS), (1, 2, 3, 4, 5), strict=True))
# What the table says where an approach has a value; one of the words is enough.
WORDS = {
    "end-edge": "end-edge|end/edge|edge server|device-edge|GPU server|end devices - several fog|device-edge-cloud",
    "end-cloud": "end-cloud|end/edge-cloud|mobile-cloud|device-cloud|cloud . edge end|device-edge-cloud",
    "edge-cloud": "edge-cloud|edge - cloud|cloud . edge end",
    "end-edge-cloud": "edge - cloud|edge.*cloud|tiers|fog nodes|cloud . edge . end",
    "multi-end": "multi-end|2 ends|RPi-RPi|participants|Raspberry|boards|home devices",
    "multi-edge": "edge",
    "accelerators": "accelerator|GPU|identical machines",
    "split": "split|cut|contiguous",
    "graph-cut": "DAG cut|DAG single split",
    "segments": "multi|contiguous|slices|stage|pipeline|blocks|groups|layer split|ideals|units",
    "layers": "layer|operator|DAG|arbitrary",
    "rows": "spatial|row|2-D|vertical|sub-layer",
    "fused": "fused|synchronisation blocks",
    "channels": "channel|FC|SMCD|sparsity|intra-op|tensor parallel",
    "samples": "batch|intra-op",
    "replicas": "replicate|data/tensor|data parallel",
    "exits": "exit",
    "memory": "memory|footprint|sizes",
    "deadline": "deadline|latency / FPS|SLA|time cap|QoS",
    "accuracy": "accuracy|exit threshold|BranchyNet|sparsity|compressed",
    "energy": "battery|energy",
    "budget": "cost",
    "privacy": "privacy|mutual information|MI",
    "bandwidth": "bandwidth|BW|uplink|upload|network (state|RTT)|channel SINR|RTT|links|own rate|TU_j|/BW",
    "capacity": "capab|capacity|server load|cloud load|device compute|compute per device|heterogene|resource limits|"
    "edge load|hardware|latency curves|dynamics|padding",
    "one-way": "monotone|tier|DADS",
    "contiguity": "contig|monotone|cuts|ideals",
    "colocation": "coloc",
    "support": "support|include|first block",
    "exclusive": "non-overlap|sched|list order",
    "transitions": "transition",
    "own": "nothing",
    "latency": "latency|time|makespan|T_e|min T|delay|layers in proportion|equal counts|performance|max shard",
    "throughput": "throughput|bottleneck|period|time-per-sample|max_stage|max-stage|max.T_e|max over|"
    "cost budget|as DADS|memory",
    "cost": "cost",
    "traffic": "comm cost",
    "enumeration": "scan|exhaustive|enumerat|sweep|multi-step|candidate|ranking",
    "shortest-path": "shortest path|graph search|wild card",
    "min-cut": "min-cut|DADS",
    "dynamic-programming": "DP|dynamic program",
    "integer-programming": "ILP|IP|MILP|MIP|SMT",
    "linear-programming": "LP",
    "approximation": "approximation|DADS",
    "heuristic": "heuristic|greedy|list|rule|proportional|PSS|clustering|split|multi-step|grid|random|collapsed|"
    "wild card|adaptive|ranking|progressive",
    "evolutionary": "PSO|genetic",
    "learning": "RL|DDPG|bandit|train",
    "game": "game",
    "manual": "manual|fixed",
}


def table():
    """Return the rows of the design notes' table, as cells."""
    text = shared_design("approaches.md").read_text("utf-8")
    first = text[text.index("| name (year)") : text.index("### 1b")]
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in first.splitlines()[2:] if line[:1] == "|"
    ]


def row_of(one, rows):
    title = one.title.partition(" (")[0]
    (found,) = (row for row in rows if re.search(rf"(?<![\w-]){re.escape(title)}(?!\w)", row[0].partition(" / ")[0]))
    return found


def test_every_row_of_the_table_has_an_approach_and_every_approach_a_row():
    rows = table()
    found = [row_of(one, rows)[0] for one in published().values()]
    assert sorted(set(found)) == sorted(row[0] for row in rows)
    assert len(found) == len(rows) + 1  # equal layers and order of memory share one


@pytest.mark.parametrize("name", published())
def test_approaches_are_what_the_table_says(name):
    one = approach_named(name)
    row = row_of(one, table())
    text = " | ".join(row)
    assert one.year is None or str(one.year) in row[0]
    for dimension in DIMENSIONS:
        cell = row[COLUMNS[dimension.name]]
        nearby = cell if dimension.name == "locations" else text
        wrong = [value for value in one.values(dimension.name) if not re.search(WORDS[value], nearby, re.IGNORECASE)]
        assert wrong == [], cell
    tags = set(re.findall(r"\[([ATMI])[\],:]", row[-1].replace("A/T", "A").replace("[A,T:", "[A:")))
    for claim in one.claims:
        if claim.reproduced != "exact":
            numbers = re.findall(r"\d+(?:\.\d+)?", claim.text)
            assert [number for number in numbers if number not in re.findall(r"\d+(?:\.\d+)?", text)] == [], claim
            assert claim.evidence in tags | ({"T"} if "recomputed" in text else set()) | {"M"}, claim


def test_what_is_from_memory_is_never_shown_as_verified():
    with pytest.raises(dp.InputError, match="no exact reproduction of what is from memory"):
        Claim("3 times faster", "M", "exact", "a test")
    for one in published().values():
        for claim in one.claims:
            assert claim.reproduced != "exact" or claim.evidence != "M"
            assert claim.reproduced == "same model, other numbers" or claim.why
            assert claim.reproduced == "not reproducible" or one.runs or one.instances, one.name


def test_an_approach_without_a_problem_says_what_is_missing():
    assert all(one.runs for one in published().values())
    one = approach_named("ddnn")
    values = {name: getattr(one, name) for name in one.__dataclass_fields__} | {"build": None}
    with pytest.raises(dp.InputError, match=r"missing: .*as there is no problem"):
        Approach(**values | {"missing": ""})
    with pytest.raises(dp.InputError, match="location: got 'moon'"):
        Approach(**values | {"locations": ("moon",)})


def test_the_table_is_filtered_by_values_of_which_all_must_be_there():
    found = {one.name for one in classification(locations=["end-cloud"], algorithms=["min-cut"]).approaches}
    assert found == {"dads", "qdmp"}
    assert len(classification().approaches) == len(published())
    assert classification(objectives=["traffic", "energy"]).approaches == ()
    with pytest.raises(dp.InputError, match="algorithm: got 'magic'"):
        classification(algorithms=["magic"])
    with pytest.raises(dp.InputError, match="dimensions: locations"):
        classification(sizes=["large"])


@pytest.mark.parametrize("name", [name for name, one in published().items() if one.runs])
def test_the_problem_of_an_approach_is_one_that_it_is_about(name):
    one = approach_named(name)
    for problem in one.problems(*small(name)).values():
        (match,) = (match for match in classify(problem).matches if match.approach is one)
        beyond = set(match.beyond) - {"locations"}  # the platform is an example
        assert beyond == ({"constraints"} if name == "shredder" else set())  # a deadline stands for what a cut costs


def chain(*layers):
    edges = pairwise(layers)
    tensors = [tensor(f"t{a}", a, b, 1) for a, b in edges]
    return network(" ".join(layers), [tensor("x", "input", layers[0], 1), *tensors], source="pi")


def of(net, links, limits=(), tiers=("end", "cloud"), **keys):
    devices = [dp.Device(name, tier=tier) for name, tier in zip(("pi", "t4"), tiers, strict=True)]
    routes = {"pi>t4": "up", "t4>pi": "down"}
    where = platform(devices, [link("up"), link("down")], {pair: routes[pair] for pair in links})
    times = dp.Profile(time={net.name: {one.name: {"pi": 2.0, "t4": 1.0} for one in net.layers}})
    usual = {"execution": "sequential", "minimize": dp.latency()}
    return dp.Problem(net, where, subject_to=limits, profile=times, **usual | keys)


def test_a_problem_has_its_values_in_the_five_dimensions():
    line = chain("a", "b", "c")
    fork = network("a b c", [tensor("x", "input", "a", 1), tensor("t", "a", "b c", 1)], source="pi")
    assert classify(of(line, ["pi>t4"])).values == {
        "locations": ("end-cloud",),
        "granularities": ("split",),
        "constraints": ("one-way",),
        "objectives": ("latency",),
        "algorithms": ("shortest-path", "dynamic-programming", "min-cut", "enumeration", "integer-programming"),
    }
    assert classify(of(fork, ["pi>t4"])).values["granularities"] == ("graph-cut",)
    assert classify(of(fork, ["pi>t4", "t4>pi"])).values["granularities"] == ("layers",)
    both = ["pi>t4", "t4>pi"]
    limited = classify(
        of(
            line,
            both,
            [dp.MonotoneTiers(), dp.energy("pi") <= 2.0, dp.period() <= 3.0],
            minimize=dp.cost(),
        )
    ).values
    assert limited["constraints"] == ("one-way", "energy", "deadline")
    assert limited["objectives"] == ("cost",)
    ends = classify(
        of(line, both, [dp.Contiguous()], tiers=("end", "end"), execution="pipelined", minimize=dp.period())
    )
    assert ends.values["locations"] == ("multi-end",)
    assert ends.values["granularities"] == ("segments",)
    assert ends.values["objectives"] == ("throughput",)


def test_parts_of_merged_layers_are_parts():
    whole = dp.network("alexnet@layer")
    for name, pieces in (("alexnet@layer", ()), ("alexnet@rows:2", ("rows",)), ("alexnet@layer@batch:3", ("samples",))):
        problem = dp.Problem(whole.replace(name=name), "pi3-wifi-pc", "sequential", dp.latency())
        assert classifying.pieces_of(problem) == pieces


def test_what_no_approach_knows_is_said():
    line = chain("a", "b", "c")
    grams = dp.Metric(name="carbon", unit="g", layers={"net": {"a": {"pi": 1.0}}})
    problem = of(line, ["pi>t4"], [dp.MaxDevices(limit=1)], minimize=dp.metric("carbon"), metrics=[grams])
    found = classify(problem)
    assert found.values["constraints"] == ("own", "one-way")
    assert found.values["objectives"] == ("own",)
    assert found.matches == ()


def test_every_kind_of_constraint_and_metric_has_a_value():
    kinds = {get_args(one.model_fields["constraint"].annotation)[0] for one in get_args(constraints.Constraint)}
    assert kinds - {*classifying._LIMITS} == {"metric", "max_devices"}
    assert {*STANDARD} == {*classifying._GOALS}
    assert {*EXACT} == {*classifying._EXACT}
    known = {one.name: one.values for one in DIMENSIONS}
    assert {*classifying._LIMITS.values()} <= {*known["constraints"]}
    assert {goal for goals in classifying._GOALS.values() for goal in goals} <= {*known["objectives"]}
    assert {*classifying._PIECES.values()} <= {*known["granularities"]}
    assert {*classifying._EXACT.values()} <= {*known["algorithms"]}


def test_approaches_match_that_have_all_of_a_problem():
    line = chain("a", "b", "c")
    found = {match.approach.name: match.beyond for match in classify(of(line, ["pi>t4"])).matches}
    assert found["neurosurgeon"] == {} == found["dads"]
    assert found["jalad"] == {"locations": ("end-cloud",)}
    assert "msr" not in found
    dear = {
        match.approach.name for match in classify(of(line, ["pi>t4"], [dp.cost() <= 1.0])).matches if not match.beyond
    }
    assert "dads" not in dear


def test_the_commands_show_the_table_and_what_a_problem_is():
    done = dnnopt("list", "approaches", "--location", "end-cloud", "--algorithm", "min-cut")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["dads", "qdmp"]
    assert "2 approaches, 2 of which run here" in done.stdout
    assert "one cut: all layers before it" in dnnopt("list", "approaches", "-v").stdout
    check_refused(dnnopt("list", "words", "--location", "end-cloud"), "KIND", "expected approaches")
    check_refused(dnnopt("list", "approaches", "--location", "moon"), "location: got 'moon'")
    done = dnnopt("classify", "small/001")
    assert re.search(r"deployment locations +end-edge-cloud", done.stdout)
    assert "edgeshard" in done.stdout
    assert "approach" in dnnopt("classify", "small/001", "--csv", "-").stdout
