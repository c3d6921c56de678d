"""DINA: users who share fog nodes."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="dina",
    title="DINA",
    venue="INFOCOM",
    year=2020,
    locations=("end-edge", "end-edge-cloud"),
    granularities=("layers", "rows"),
    constraints=("capacity", "bandwidth"),
    objectives=("latency",),
    algorithms=("game", "heuristic"),
    communication="tensors over radio channels that disturb each other",
    source="DINA, INFOCOM 2020",
    evidence="A",
    claims=(
        Claim(
            "2.6 to 4.2 times less latency than the state of the art",
            "A",
            "not reproducible",
            "queues and interference are not in the model",
        ),
    ),
    missing="Queues at fog nodes, and interference between users.",
)
