"""The baseline that cuts a topological order into one segment a device."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest
from builders import layer, link, network, platform, problem, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.methods.heuristics import Effort, multi_cut
from dnnopt.models.solvers.interface import Clock
from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import latency, period
from dnnopt.referee import evaluate


def segmentations(layers, devices):
    """Yield every placement of a chain in which each device has one segment."""
    for order in permutations(range(devices)):
        for parts in product(range(layers + 1), repeat=devices):
            if sum(parts) == layers:
                yield np.repeat(order, parts)


@pytest.mark.parametrize(("execution", "goal"), [("sequential", latency()), ("pipelined", period())])
@pytest.mark.parametrize("seed", range(6))
def test_chains_are_cut_as_enumeration_cuts_them(execution, goal, seed):
    draw = np.random.default_rng(seed)
    names = "abcdef"
    net = network(
        [layer(name, float(draw.integers(1, 5))) for name in names],
        [tensor(u, u, v, float(draw.integers(1, 9))) for u, v in pairwise(names)],
    )
    pairs = [f"{i}-{j}" for i in "pqr" for j in "pqr" if i != j]
    on = platform("p q r", [link(pair, 4) for pair in pairs], {pair.replace("-", ">"): pair for pair in pairs})
    times = {name: draw.integers(1, 9, 3).tolist() for name in names}
    room = dict.fromkeys("pqr", 7.0)
    one = problem(net, on, times, execution, minimize=goal, subject_to=[memory(limits=room)])
    c = compile_problem(one)
    evaluator = Evaluator(c)
    every = np.array(list(segmentations(6, 3)))
    values = np.where(evaluator.excess(every) > 0, np.inf, evaluator.objectives(every))
    [(name, found)] = multi_cut.placements(evaluator, Effort())
    assert name == "best multi-cut"
    judged = evaluate(one, c.plan(found))
    assert judged.feasible == bool(np.isfinite(values).any())
    if judged.feasible:
        assert judged.objective == pytest.approx(values.min())


def test_it_takes_every_problem():
    @settings(max_examples=40)
    @given(problems(), st.integers(0, 1))
    def check(one, short):
        c = compile_problem(one)
        if Evaluator.refuses(c) is None:
            [(_, found)] = multi_cut.placements(Evaluator(c), Effort(Clock(0.0 if short else None)))
            assert found.shape == (len(c.node_names),)
            evaluate(one, c.plan(found))

    check()
