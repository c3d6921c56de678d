"""A problem without choices beyond placement, and the plans that its own plans are."""

from builders import layer, link, network, plan, platform, problem, tensor

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods import auto
from dnnopt.methods.auto import place_without_choices
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.plainer import without_choices
from dnnopt.referee import evaluate


def chosen():
    net = network(
        [layer("a"), layer("b")], [tensor("t", "a", "b", 4, forms=[dp.Form(name="z", bytes=1)], sensitivity=0.5)]
    )
    modes = [dp.Mode(name="slow", power=1.0), dp.Mode(name="fast", efficiency=0.5, power=9.0, loss=0.1)]
    on = platform([dp.Device(name="p", modes=modes), dp.Device(name="q")], [link("w")], {"p>q": "w"})
    one = problem(net, platform("p q", on.links, {"p>q": "w"}), {"a": (2, 9), "b": (9, 1)})
    times = {"a": {"p": 2, "p:fast": 1, "q": 9}, "b": {"p:slow": 9, "p:fast": 5, "q": 1}}
    return one.replace(platform=on, profile={"time": {"net": times}}, subject_to=[dp.Placement("a", ["p:slow"])])


def test_devices_are_in_their_first_modes_and_tensors_as_they_are():
    plain = without_choices(chosen())
    assert plain.platform.device_names() == ("p", "q")
    assert plain.platform.devices[0].power == 1.0
    assert not plain.networks[0].tensors[0].forms
    assert plain.subject_to == (dp.Placement("a", ["p"], network="net"),)
    assert not compile_problem(plain).has_choices
    assert evaluate(plain, plan("a:p b:q")).metrics["latency"] == 2 + 4 + 1
    assert evaluate(plain, plan("a:p b:p")).metrics["latency"] == 2 + 9


def test_its_plans_are_plans_of_the_problem():
    one = chosen()
    pool = Pool(one, compile_problem(one))
    place_without_choices(pool, Limits(5.0, threads=1), Control())
    assert pool.objective == 7
    assert pool.plan.placement["net"] == {"a": "p:slow", "b": "q"}
    assert dp.solve(one).objective == 2 + 1 + 1


def test_a_problem_with_nothing_to_leave_out_is_not_asked_again(monkeypatch):
    asked = []
    monkeypatch.setattr(auto, "place_without_choices", lambda pool, *rest: asked.append(pool.problem))
    stays = network([layer("a"), layer("b")], [tensor("t", "a", "b", 4, plain=False)])
    one = problem(stays, platform("p q", [link("w")], {"p>q": "w"}), {"a": (1, 9), "b": (9, 1)})
    for asking in (one, chosen(), without_choices(chosen())):
        pool = Pool(asking, compile_problem(asking))
        formulation = registry.formulation("edgewise", pool.compiled)
        auto._Auto(pool, formulation, "highs", Limits(5.0, threads=1), Control(), True)._plainer()
    assert compile_problem(one).has_choices
    assert asked == [chosen()]
