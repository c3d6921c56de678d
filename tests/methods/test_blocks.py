"""The exact method `blocks`: equal to brute force on chains and on chains of pieces, or refused by name."""

import math
from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor
from choice_problems import problems_with_choices
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import blocks, tree
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits


def solved(one):
    pool = Pool(one, compile_problem(one))
    return blocks.run(pool, Limits(20.0, threads=1), Control()).status, pool


def check_equal(one):
    """Assert that the method finds what brute force does; return the best plans."""
    best = brute_force(one)
    status, pool = solved(one)
    if best.objective is None:
        assert (status, pool.objective) == ("infeasible", None)
    else:
        assert math.isclose(pool.objective, best.objective, rel_tol=1e-9, abs_tol=1e-300)
        assert math.isclose(pool.bound, best.objective, rel_tol=1e-9, abs_tol=1e-300)
    return best


@pytest.mark.parametrize("kinds", [(), ("modes", "reach")])
def test_it_finds_the_optimum_of_all_cuts_or_refuses(kinds):
    seen = Counter()

    @settings(max_examples=50)
    @given(problems_with_choices(kinds=(*kinds, "blocks"), always=("blocks",), executions=("sequential",)))
    def check(drawn):
        pinned = tuple(one for one in drawn.subject_to if one.constraint == "placement")
        one = drawn.model_copy(update={"subject_to": pinned})
        c = compile_problem(one)
        if blocks.refuses(c):
            seen["refused"] += 1
            return
        best = check_equal(one)
        seen["used"] += best.objective is not None and all(plan.blocks for plan in best.plans)
        seen["modes"] += len(c.host_names) > len(c.device_names)

    check_until(check, lambda: seen["used"] > 3 and (seen["modes"] > 1 or not kinds))


def pieces(seed, kinds, devices=2):
    """Return a chain of layers and fork-joins, with blocks of any run of whole pieces and inside pieces."""
    rng = np.random.default_rng(seed)
    places = "pqr"[:devices]
    names, tensors, items = ["s"], [tensor("x", "input", "s", float(rng.integers(1, 9)))], [["s"]]
    for number, kind in enumerate(kinds):
        last = names[-1]
        if kind == "fork":
            inner = [f"u{number}", f"v{number}"]
            join = f"j{number}"
            uses = " ".join(inner + [join] * int(rng.integers(0, 2)))
            tensors.append(tensor(f"t{number}", last, uses, float(rng.integers(1, 9))))
            tensors += [tensor(f"{one}t", one, join, float(rng.integers(1, 9))) for one in inner]
            names += [*inner, join]
            items += [inner, [join]]
        else:
            names.append(f"c{number}")
            tensors.append(tensor(f"t{number}", last, names[-1], float(rng.integers(1, 9))))
            items.append([names[-1]])
    tensors.append(tensor("y", names[-1], "output", 1.0))
    pairs = [(i, j) for i in places for j in places if i != j]
    on = platform(
        " ".join(places),
        [link(f"{i}{j}", latency=float(rng.integers(0, 3))) for i, j in pairs],
        {f"{i}>{j}": f"{i}{j}" for i, j in pairs},
    )
    times = {name: tuple(float(t) for t in rng.integers(1, 9, devices)) for name in names}
    transport = ("unicast", "multicast", "per_edge")[seed % 3]
    net = network([layer(name) for name in names], tensors, source="p", sink="q")
    one = problem(net, on, times, transport=transport)
    runs = [list(chain(*items[i:j])) for i in range(len(items)) for j in range(i + 1, len(items) + 1)]
    chosen = [run for run in runs if len(run) > 1 and rng.random() < 0.5][:5]
    chosen = [run for run in chosen if set(run) != {"u0", "v0"}] or [names[:2] if kinds[0] == "layer" else names]
    listed = []
    for run in chosen:
        try:
            time = {d: float(sum(times[name][i] for name in run) * rng.uniform(0.2, 1.1)) for i, d in enumerate(places)}
            block = {"network": "net", "layers": run, "time": time}
            one.replace(profile=one.profile.replace(blocks=[block]))
            listed.append(block)
        except dp.InputError:  # two layers side by side alone
            continue
    return one.replace(profile=one.profile.replace(blocks=listed))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    kinds=st.sampled_from(
        [("fork",), ("layer", "fork"), ("fork", "layer"), ("layer", "layer", "layer"), ("fork", "fork")]
    ),
)
def test_it_solves_chains_of_pieces(seed, kinds):
    one = pieces(seed, kinds)
    c = compile_problem(one)
    assert blocks.refuses(c) is None
    best = check_equal(one)
    assert dp.solve(one, method="blocks").plan is not None
    result = dp.solve(one)
    assert result.found_by in ("blocks", "tree", "chain", "min-cut") or result.objective == best.objective
    assert result.objective == pytest.approx(best.objective, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_tree_program_on_longer_chains(seed):
    one = pieces(seed, ("layer", "fork") * 4, devices=3)
    pool = Pool(one, compile_problem(one))
    assert tree.refuses(pool.compiled) is None
    tree.run(pool, Limits(20.0, threads=1), Control())
    assert solved(one)[1].objective == pytest.approx(pool.objective, rel=1e-9)


def test_every_run_of_a_long_chain_may_be_a_block():
    names = [f"c{number}" for number in range(40)]
    tensors = [tensor(f"t{u}", u, v, 1.0) for u, v in pairwise(names)]
    times = dict.fromkeys(names, (1.0, 3.0))
    on = platform("p q", [link("w"), link("v")], {"p>q": "w", "q>p": "v"})
    times_of = {size: 0.5 * size + 0.25 + 0.05 * (size - 6) ** 2 for size in range(2, 12)}
    listed = [
        {"network": "net", "layers": names[i:j], "time": {"p": times_of[j - i]}}
        for i in range(40)
        for j in range(i + 2, min(i + 12, 41))
    ]
    one = problem(network([layer(name) for name in names], tensors), on, times)
    one = one.replace(profile=one.profile.replace(blocks=listed))
    result = dp.solve(one)
    assert (result.status, result.found_by, result.bound_by) == ("optimal", "blocks", "blocks")
    least = [0.0]
    for count in range(1, 41):
        runs = [least[count - size] + times_of[size] for size in times_of if size <= count]
        least.append(min([least[count - 1] + 1.0, *runs]))
    assert result.objective == pytest.approx(least[40])
    assert set(map(len, result.plan.blocks.values())) == {6}


def test_what_it_does_not_look_at_it_refuses_by_name():
    one = pieces(1, ("fork", "layer"))
    partly = one.replace(
        profile=one.profile.replace(blocks=[{"network": "net", "layers": ["s", "u0"], "time": {"p": 1}}])
    )
    words = "does not support the block s..u0, which is no run of layers between cut layers"
    with pytest.raises(dp.UnsupportedError, match=words):
        dp.solve(partly, method="blocks")
    limited = one.replace(subject_to=[dp.Separate(["s", "u0"])])
    with pytest.raises(dp.UnsupportedError, match="does not support the constraint separate"):
        dp.solve(limited, method="blocks")
    wide = network(
        [layer(name) for name in ("s", *(f"u{k}" for k in range(20)))],
        [tensor("t", "s", " ".join(f"u{k}" for k in range(20)), 1.0)],
    )
    broad = problem(wide, one.platform, {each.name: (1, 2) for each in wide.layers})
    with pytest.raises(dp.UnsupportedError, match="does not support so many layers side by side as those at u0"):
        dp.solve(broad, method="blocks")


def test_it_needs_no_blocks():
    one = pieces(2, ("fork", "layer"))
    one = one.replace(profile=one.profile.replace(blocks=()))
    assert solved(one)[1].objective == pytest.approx(brute_force(one).objective, rel=1e-9)
