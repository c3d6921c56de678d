"""Pictures of problems whose names have formulas, control characters and underscores: each is drawn, as it is."""

import io
from itertools import pairwise

import pytest
from builders import link, network, plan, platform, problem, tensor

import dnnopt as dp
from dnnopt.base.text import visible

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

NAMES = ["$$", "$a", "$x^{$", "_b", "\x1b[2J\n", "\\$c", r"$\frac$"]


@pytest.fixture(params=["sequential", "parallel", "pipelined"])
def one(request):
    device, other = "$p$", "_q"
    tensors = [tensor("$in$", "input", NAMES[0], 10)]
    tensors += [dp.Tensor(name=f"$t{a}$", producer=a, consumers=(b,), bytes=1000) for a, b in pairwise(NAMES)]
    layers = [dp.Layer(name=name) for name in NAMES]
    net = network(layers, tensors, name="$n$", source=device)
    on = platform(
        [dp.Device(name=device), dp.Device(name=other)],
        [link("$up$"), link("_down")],
        {f"{device}>{other}": "$up$", f"{other}>{device}": "_down"},
    )
    return problem(net, on, dict.fromkeys(NAMES, (2, 1)), request.param).replace(name="$problem$")


@pytest.fixture
def placed(one):
    devices = one.platform.device_names()
    return plan({}).replace(placement={"$n$": {name: devices[index // 3 % 2] for index, name in enumerate(NAMES)}})


def drawn_texts(figure, kind="png"):
    figure.savefig(io.BytesIO(), format=kind)
    from matplotlib.text import Text

    return [(text, text._preprocess_math(text.get_text())) for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@pytest.mark.parametrize("what", ["placement", "schedule", "loads"])
def test_no_name_is_a_formula_and_what_is_drawn_is_the_name(one, placed, what, kind):
    if what == "schedule" and one.execution == "pipelined":
        pytest.skip("has no start times")
    texts = drawn_texts(getattr(dp.plot, what)(one, placed), kind)
    shown = [words for _, (words, formula) in texts if not formula]
    own = [words for _, (words, formula) in texts if formula]
    assert all(words.startswith("$\\mathdefault{") for words in own)  # ticks
    assert any("$problem$" in words for words in shown)
    if what == "placement":
        for name in NAMES:
            assert visible(name) in shown
        assert any(words.strip().startswith("_q: ") for words in shown)


def test_layers_and_gaps_and_their_legends_have_every_name(one):
    texts = [words for _, (words, formula) in drawn_texts(dp.plot.layers(one)) if not formula]
    for name in [*NAMES, "$n$: 7 layers"]:
        assert visible(name) in texts
    for name in one.platform.device_names():
        assert any(words.strip().startswith(f"{name}: ") for words in texts)
    methods = {"$m$": [0.0, None], "_n": [0.1]}
    texts = [words.strip() for _, (words, formula) in drawn_texts(dp.plot.gaps(methods)) if not formula]
    assert set(methods) <= set(texts)
