"""What reports say of blocks, and problems without them."""

from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt

import dnnopt as dp
from dnnopt.problem.plainer import without_choices
from dnnopt.problem.remarks import remarks
from dnnopt.problem.transforms.problems import with_merged

NET = network(
    [layer(name) for name in "abcd"],
    [tensor("x", "input", "a", 8), tensor("t", "a", "b", 4), tensor("u", "b", "c", 2), tensor("v", "c", "d", 2)],
    source="p",
)
ON = platform("p q", [link("up", bandwidth=2.0, latency=1.0)], {"p>q": "up"})
TAIL = {"network": "net", "layers": ["b", "c", "d"], "time": {"p": 9, "q": 3}}


def with_block():
    one = problem(NET, ON, {"a": (4, 1), "b": (6, 2), "c": (8, 4), "d": (10, 4)})
    return one.replace(profile=one.profile.replace(blocks=[TAIL]))


def test_solve_prints_which_blocks_run_where(tmp_path):
    dp.write_problem(with_block(), tmp_path / "problem.json")
    run = dnnopt("solve", tmp_path / "problem.json", "--json", tmp_path / "plan.json")
    assert run.returncode == 0
    assert "What runs as one" in run.stdout
    assert ["b..d", "3", "q", "3", "s"] in [line.split() for line in run.stdout.splitlines()]
    checked = dnnopt("check", tmp_path / "problem.json", tmp_path / "plan.json")
    assert checked.returncode == 0
    assert "latency 9 s" in checked.stdout


def test_every_heuristic_cuts_its_plans_into_blocks():
    one = with_block()
    for method in ("greedy", "multi-cut", "single-cut", "local-search", "genetic"):
        result = dp.solve(one, method=method, time_limit=0.2)
        assert result.objective == 9, method
        assert result.plan.blocks == {"net": ("b..d",)}


def test_without_choices_there_are_no_blocks():
    assert not without_choices(with_block()).profile.blocks


def test_other_granularities_keep_blocks_of_whole_layers():
    one = problem(NET, ON, {"a": (4, 1), "b": (6, 2), "c": (8, 4), "d": (10, 4)})
    parts = {"network": "net", "layers": ["c", "d"], "time": {"p": 1}}
    one = one.replace(profile=one.profile.replace(blocks=[TAIL, parts]))
    merged = with_merged(one, {"net": [["a"], ["b"], ["c", "d"]]}).problem
    assert [(block.name, len(block.layers)) for block in merged.blocks] == [("b..d", 2), ("c..d", 1)]
    fewer = with_merged(one, {"net": [["a", "b"], ["c", "d"]]}).problem
    assert [block.name for block in fewer.blocks] == ["c..d"]
    assert dp.solve(merged).objective == dp.solve(one).objective


def test_a_block_that_is_never_quicker_is_remarked_on():
    one = with_block()
    assert not list(remarks(one))
    slow = TAIL | {"layers": ["a", "b"], "time": {"q": 3.0}}
    worse = one.replace(profile=one.profile.replace(blocks=[TAIL, slow]))
    words = "The block a..b of net is never worth it: no device runs it in less time than its layers."
    assert list(remarks(worse)) == [words]
    assert not list(remarks(one.replace(profile=one.profile.replace(blocks=[slow | {"energy": {"q": 1}}]))))
