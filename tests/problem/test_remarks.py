"""What is said of choices beyond placement: what there is to choose, and what is never worth choosing."""

import pytest
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt

import dnnopt as dp
from dnnopt.problem.remarks import choices, remarks


def with_form(size, **fields):
    form = dp.Form(name="z", bytes=size, **fields)
    net = network([layer("a"), layer("b")], [tensor("t", "a", "b", 4, sensitivity=0.5, forms=[form])])
    on = platform("p q", [link("w")], {"p>q": "w"})
    return problem(net, on, {"a": (1, 9), "b": (9, 1)})


@pytest.mark.parametrize(
    ("size", "fields", "worth"), [(5, {}, False), (4, {}, False), (3, {}, True), (5, {"sensitivity": 0.1}, True)]
)
def test_a_form_that_is_no_smaller_and_hides_nothing_is_remarked(size, fields, worth):
    said = list(remarks(with_form(size, **fields)))
    expected = f"The form z of net.t is never worth it: it has {size} bytes, the tensor 4."
    assert said == ([] if worth else [expected])


def test_a_mode_may_make_tensors_so_large_that_a_form_is_worth_it():
    one = with_form(5)
    p = one.platform.devices[0].replace(modes=[dp.Mode(name="x"), dp.Mode(name="y", output_bytes=2)])
    assert not list(remarks(one.replace(platform=one.platform.replace(devices=[p, one.platform.devices[1]]))))


def test_commands_say_so_before_they_begin_and_a_summary_lists_what_there_is_to_choose(tmp_path):
    dp.write_problem(with_form(5), tmp_path / "problem.json")
    done = dnnopt("solve", str(tmp_path / "problem.json"))
    assert done.returncode == 0
    assert "never worth it" in done.stderr
    assert "forms of 1 tensor" in with_form(5).summary()


def test_every_kind_of_choice_is_named():
    one = with_form(3)
    p = one.platform.devices[0].replace(modes=[dp.Mode(name="x"), dp.Mode(name="y")], one_mode=True)
    net = one.networks[0].replace(layers=[layer("a"), layer("b").replace(reach=0.5)])
    found = one.replace(
        networks=net,
        platform=one.platform.replace(devices=[p, one.platform.devices[1]]),
        scenarios=[dp.Scenario("usual", 1.0)],
    )
    assert choices(found) == "2 modes of p, one for all; forms of 1 tensor; exits of net; 1 scenario"
    assert choices(one.replace(networks=network("a b"))) == ""
