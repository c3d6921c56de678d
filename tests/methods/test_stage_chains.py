"""Periods of contiguous stages of chains, on devices in kinds, against enumeration."""

from collections import Counter
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from builders import layer, link, network, platform, problem, tensor
from shared_data import shared_file

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.inputs.pipeedge import read_pipeedge
from dnnopt.methods.bounds import stage_chains
from dnnopt.methods.exact import ideals
from dnnopt.problem.constraints import Contiguous, memory
from dnnopt.problem.objectives import latency, period

KIND = {"p": 0, "q": 0, "r": 1, "s": 1}


def chain(seed, goal=None, extra=()):
    """Return a random chain on two devices of each of two kinds; the link of a pair depends on both kinds."""
    draw = np.random.default_rng(seed)
    names = "abcde"
    net = network(
        [layer(name, float(draw.integers(1, 5))) for name in names],
        [tensor(u, u, v, float(draw.integers(1, 9))) for u, v in pairwise(names)],
    )
    rate = {frozenset(pair): float(draw.integers(1, 8)) for pair in ((0,), (1,), (0, 1))}
    pairs = list(permutations("pqrs", 2))
    links = [link(f"{i}-{j}", rate[frozenset((KIND[i], KIND[j]))]) for i, j in pairs]
    on = platform("p q r s", links, {f"{i}>{j}": f"{i}-{j}" for i, j in pairs})
    times = {name: [one for one in draw.integers(1, 9, 2).tolist() for _ in range(2)] for name in names}
    room = [float(draw.integers(4, 12)), float(draw.integers(6, 16))]
    limit = memory(limits={device: room[kind] for device, kind in KIND.items()}, buffers=seed % 2)
    return problem(net, on, times, "pipelined", minimize=goal or period(), subject_to=[Contiguous(), limit, *extra])


def test_the_value_is_that_of_enumeration():
    seen = Counter()
    every = np.array(list(product(range(4), repeat=5)))
    for seed in range(40):
        c = compile_problem(chain(seed))
        assert stage_chains.refuses(c) is None
        assert ideals.device_classes(c) == [[0, 1], [2, 3]]
        evaluator, found = Evaluator(c), stage_chains.stage_chain(c)
        values = np.where(evaluator.excess(every) > 0, np.inf, evaluator.objectives(every))
        if found is None:
            assert np.isinf(values).all()
            seen["infeasible"] += 1
            continue
        assert found[0] == pytest.approx(values.min(), rel=1e-8)
        assert found[0] <= values.min()
        assert evaluator.excess(found[1][None])[0] == 0
        assert evaluator.objectives(found[1][None])[0] == pytest.approx(values.min())
        seen["devices", len(np.unique(found[1]))] += 1
        seen["kinds", len(np.unique(found[1] // 2))] += 1
    assert seen["infeasible"] >= 1, seen
    assert min(seen["devices", 3], seen["devices", 4], seen["kinds", 2]) >= 3, seen


def test_other_problems_are_refused():
    assert stage_chains.refuses(compile_problem(chain(1, latency()))) is not None
    free = compile_problem(chain(1).replace(subject_to=()))
    assert stage_chains.refuses(free) == "layers that need not be contiguous"
    one = chain(1)
    skip = one.networks[0].replace(tensors=[*one.networks[0].tensors, tensor("skip", "a", "c", 1)])
    assert (
        stage_chains.refuses(compile_problem(one.replace(networks=[skip]))) == "a network that is not a chain of layers"
    )


def test_four_boards_of_each_of_two_kinds_are_proved_at_once():
    boards = {"Minnowboard-E3845": 4, "RCC-VE-C2000": 4}
    one = read_pipeedge(shared_file("pipeedge/vit-base.json"), model="google/vit-base-patch16-224", devices=boards)
    result = dp.solve(one, time_limit=5)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(1.54876, abs=5e-6)
