"""The random problems of other tests are what these tests need."""

from collections import Counter
from typing import get_args

from brute_force import brute_force
from examples import check_until
from hypothesis import given, settings
from strategies import EXECUTIONS, problems

from dnnopt.problem import constraints
from dnnopt.problem.metrics import STANDARD


def test_random_problems_have_everything_and_are_feasible_and_infeasible_with_limits_that_bind():
    seen = Counter()
    least = Counter({"feasible": 50, "infeasible": 20, "a limit binds": 5, "optimum 0": 2})

    @settings(max_examples=80)
    @given(problems())
    def check(problem):
        if not seen >= least:
            best = brute_force(problem)
            seen["feasible" if best.objective is not None else "infeasible"] += 1
            seen["optimum 0"] += best.objective == 0
            if problem.subject_to and best.objective is not None:
                free = brute_force(problem.model_copy(update={"subject_to": ()}))
                seen["a limit binds"] += free.objective < best.objective
        seen[problem.execution] += 1
        seen[problem.transport] += 1
        seen["several networks"] += len(problem.networks) > 1
        seen["several devices"] += len(problem.platform.devices) > 1
        for constraint in problem.subject_to:
            seen[type(constraint)] += 1
        for term in problem.minimize:
            seen[term.metric] += 1
        routes = problem.platform.routes
        seen["several hops"] += any(len(route.links) > 1 for route in routes)
        seen["a free route"] += any(not route.links for route in routes)
        seen["no route"] += len(routes) < len(problem.platform.devices) * (len(problem.platform.devices) - 1)
        seen["shared resource"] += any(r.devices and r.links for r in problem.platform.resources)
        seen["shared weights"] += bool(problem.all_shared_weights())
        times = [t for network in problem.profile.time.values() for row in network.values() for t in row.values()]
        seen["unsupported"] += None in times
        seen["no time"] += 0.0 in times
        for network in problem.networks:
            seen["several uses"] += any(len(tensor.consumers) > 1 for tensor in network.tensors)
            pairs = [(tensor.producer, consumer) for tensor in network.tensors for consumer in tensor.consumers]
            seen["parallel tensors"] += len(set(pairs)) < len(pairs)
            seen["source"] += network.source is not None
            seen["sink"] += network.sink is not None

    drawn = set(get_args(constraints.Constraint)) - {constraints.MetricLimit}  # needs a metric of the problem's own
    elsewhere = {"accuracy_loss", "batch_latency", constraints.AccuracyLoss}  # by the strategies of choices
    wanted = {*drawn, *STANDARD, *EXECUTIONS, "unicast", "multicast", "per_edge"} - elsewhere
    check_until(check, lambda: seen >= least and all(seen[what] > 1 for what in wanted | set(seen)))
