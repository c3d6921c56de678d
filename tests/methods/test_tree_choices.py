"""The tree program with modes of devices and forms of tensors: exact, or refused by name."""

import math

from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor
from choice_problems import linear_terms, problems_with_choices
from examples import check_until
from hypothesis import given, settings

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import tree
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits


def solved(one):
    pool = Pool(one, compile_problem(one), 0, {})
    return tree.run(pool, Limits(20.0, threads=1), Control()).status, pool.objective, pool.bound


def test_the_tree_program_finds_the_optimum_of_all_modes_and_forms_or_refuses():
    seen = {"modes": 0, "forms": 0, "reach": 0}

    @settings(max_examples=30)
    @given(problems_with_choices(kinds=("modes", "forms", "reach")))
    def check(drawn):
        pinned = tuple(one for one in drawn.subject_to if one.constraint == "placement")
        one = drawn.model_copy(update={"subject_to": pinned, "minimize": linear_terms(drawn)})
        c = compile_problem(one)
        if tree.refuses(c):
            return
        best = brute_force(one).objective
        status, objective, bound = solved(one)
        if best is None:
            assert (status, objective) == ("infeasible", None)
            return
        assert math.isclose(objective, best, rel_tol=1e-9, abs_tol=1e-300)
        assert math.isclose(bound, best, rel_tol=1e-9, abs_tol=1e-300)
        seen["modes"] += len(c.host_names) > len(c.device_names)
        seen["forms"] += bool(c.choices)
        seen["reach"] += not c.tensor_whole.all()

    check_until(check, lambda: all(count > 1 for count in seen.values()))


def fork(transport, **reach):
    forms = [dp.Form(name="z", bytes=1, encode={"p": 0.5}, decode={"q": 0.25})]
    net = network([layer(name) for name in "abc"], [tensor("t", "a", "b c", 8, forms=forms)])
    net = net.replace(layers=[one.replace(**(reach if one.name == "c" else {})) for one in net.layers])
    on = platform("p q", [link("w"), link("v")], {"p>q": "w", "q>p": "v"})
    return problem(net, on, {"a": (1, 9), "b": (9, 1), "c": (9, 1)}, transport=transport)


def test_one_form_is_chosen_for_all_that_use_a_tensor():
    assert solved(fork("unicast"))[1] == 1 + 0.5 + 1 + 0.25 + 1 + 1
    assert tree.refuses(compile_problem(fork("per_edge"))) == "forms of a tensor that is sent several times"
    shares = "forms of a tensor that inputs need in different shares"
    assert tree.refuses(compile_problem(fork("unicast", reach=0.5))) == shares


def test_models_with_choices_have_variables_for_the_choices_that_there_are_alone():
    plain = fork("unicast")
    p = plain.platform.devices[0].replace(modes=[dp.Mode(name="x"), dp.Mode(name="y", ops=[])])
    idle = plain.replace(platform=plain.platform.replace(devices=[p, plain.platform.devices[1]]))
    for name in ("product", "edgewise"):
        assert dp.formulate(idle, name).size()[0] == dp.formulate(plain, name).size()[0]
