"""IONN: what to upload first to an edge server that does not have the network."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided, two_sides
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile, layer_seconds


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of the first query: a layer on the server waits for its weights, too."""
    client, server = two_sides(platform)
    links = {link.name: link for link in platform.links}
    up = [links[name] for route in platform.routes if route.origin == client.name for name in route.links]
    if not up:
        raise InputError(f"a route from {client.name} to {server.name}", field="platform.routes", value=[])
    per_byte = sum(1 / link.bandwidth for link in up)
    times = {}
    for layer in network.layers:
        seconds = layer_seconds(Profile(), network, layer, server.executors[0])
        times[layer.name] = {server.name: None if seconds is None else seconds + per_byte * (layer.weights or 0.0)}
    profile = Profile(time={network.name: times})
    return two_sided(network, platform, profile=profile)


APPROACH = Approach(
    name="ionn",
    title="IONN",
    venue="SoCC",
    year=2018,
    locations=("end-edge",),
    granularities=("segments", "split"),
    constraints=("bandwidth",),
    objectives=("latency",),
    algorithms=("shortest-path",),
    communication="tensors as they cross, and the weights of layers on the server, which are uploaded first",
    source="IONN, SoCC 2018",
    evidence="A",
    claims=(Claim("queries are faster during the upload than where all is uploaded first", "A"),),
    build=_build,
    missing="Parts that come back to the client, and the order of the upload: the same problem "
    "again with uploaded layers free, query after query.",
    example=("alexnet", "pi3-wifi-pc"),
    method="chain",
    stands_for="The path of the first query; IONN repeats it with weights that count less and less.",
    reading="For the first query, the weights of AlexNet have to go over Wi-Fi, for minutes; so nothing is "
    "offloaded, and the server alone, which waits for everything, is far behind. IONN's gain is over that, "
    "query by query, while parts arrive.",
)
