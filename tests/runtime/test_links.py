"""Links between processes of one machine: when messages arrive, and what is predicted of that."""

import time

import pytest
from devices import devices, split
from piece_models import placed

import dnnopt as dp
from dnnopt.runtime.links import LinkClocks, hops_of, idle_overlaps, make_clocks
from dnnopt.runtime.prediction import predict
from dnnopt.runtime.running import run_pieces

pytest.importorskip("fcntl", reason="not on this system")


@pytest.fixture
def chain_of_three():
    """a - b - c, the links on the air: ab and ba are one medium, and a reaches c by way of b."""
    links = [dp.Link(name, bandwidth=1000.0, latency=0.5) for name in ("ab", "ba", "bc", "cb")]
    return dp.Platform(
        devices=[dp.Device(name, flops_per_s=1e9, bytes_per_s=1e9) for name in "abc"],
        links=links,
        routes=[
            dp.Route("a", "b", ["ab"]),
            dp.Route("b", "a", ["ba"]),
            dp.Route("b", "c", ["bc"]),
            dp.Route("a", "c", ["ab", "bc"]),
            dp.Route("c", "a", ["cb", "ba"]),
        ],
        resources=[dp.Resource("air", links=["ab", "ba"])],
    )


def test_each_link_and_each_shared_medium_carries_one_message_at_a_time(chain_of_three, tmp_path):
    make_clocks(tmp_path / "clocks", chain_of_three)
    first, second = LinkClocks(tmp_path / "clocks"), LinkClocks(tmp_path / "clocks")  # as two processes have them
    start = time.monotonic()
    through = first.reserve(hops_of(chain_of_three, "a", "c"), 1000)
    back = second.reserve(hops_of(chain_of_three, "b", "a"), 0)
    onward = second.reserve(hops_of(chain_of_three, "b", "c"), 500)
    first.close()
    second.close()
    moments = [(link, begin - start, end - start) for link, begin, end in (*through, *back, *onward)]
    expected = [("ab", 0.0, 1.5), ("bc", 1.5, 3.0), ("ba", 1.5, 2.0), ("bc", 3.0, 4.0)]
    for found, wanted in zip(moments, expected, strict=True):
        assert found[0] == wanted[0]
        assert found[1:] == pytest.approx(wanted[1:], abs=0.05)


def test_a_pair_without_a_route_is_named(chain_of_three):
    with pytest.raises(dp.InputError, match="no route from 'c' to 'b'"):
        hops_of(chain_of_three, "c", "b")
    assert hops_of(chain_of_three, "a", "a") == ()


def test_devices_that_share_a_resource_with_links_are_told(chain_of_three):
    assert idle_overlaps(chain_of_three) == []
    half = chain_of_three.replace(resources=[dp.Resource("half-duplex", devices=["a"], links=["ab"])])
    assert idle_overlaps(half) == ["half-duplex"]


@pytest.fixture
def split_problem(chain_of_three, tmp_path):
    """Two networks on the platform, of which one is split; its links are a thousand times as fast."""
    from piece_models import network_of, saved

    fast = [link.replace(bandwidth=1e6, latency=0.003) for link in chain_of_three.links]
    network = network_of(saved("residual", tmp_path)).model_copy(update={"source": "a", "sink": "a"})
    other = network.model_copy(update={"name": "other"})
    platform = chain_of_three.replace(links=fast)
    problem = dp.Problem([network, other], platform, execution="sequential", minimize=dp.latency())
    half = ["a"] * 5 + ["c"] * (len(network.layers) - 5)
    plan = placed(network, half)
    both = dp.Plan(placement={**plan.placement, "other": dict.fromkeys(plan.placement["residual"], "b")})
    folder = split("residual", lambda _: both, tmp_path, problem=problem, network="residual")
    return folder, problem, both


def test_what_is_predicted_is_of_the_network_that_was_split(split_problem):
    folder, problem, plan = split_problem
    with devices(folder) as run:
        found = predict(run.manifest, problem, plan)
    alone = problem.replace(networks=problem.networks[:1])
    expected = dp.evaluate(alone, dp.Plan(placement={"residual": plan.placement["residual"]}))
    assert found.latency == pytest.approx(expected.metrics["latency"])
    assert found.as_run == pytest.approx(found.latency)  # one thing after the other
    crossings = [event for event in found.events if event[0] == "link"]
    on_links = sum(end - start for *_, start, end in crossings)
    assert sum(found.pieces.values()) == pytest.approx(found.latency - on_links)
    assert [event[1] for event in crossings] == ["ab", "bc", "cb", "ba"]


def test_a_run_goes_over_routes_of_several_links(split_problem):
    folder, _, _ = split_problem
    found = run_pieces(folder, repeat=4, warmup=1, stream=0)
    assert found.links == found.prediction.links
    assert found.prediction.latency <= found.latency.median < found.prediction.latency + 0.3
    assert found.period is None
