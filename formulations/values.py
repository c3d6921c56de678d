"""Values in a plan of variables that say what happens to tensors. Shared by all formulations."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.edges import edge_uses_pair
from dnnopt.models.arrays import Values


def exposed_values(c: CompiledProblem, placement: Index) -> Values:
    """Return `h_τ`: 1 where the tensor is exposed (T,)."""
    evaluator, placements = evaluator_of(c), placement[None]
    return evaluator.exposed(placements, evaluator.edge_pairs(placements))[0].astype(float)


def event_values(c: CompiledProblem, placement: Index) -> Values:
    """Return `g_χ`: 1 where the event happens (X,)."""
    evaluator, placements = evaluator_of(c), placement[None]
    return evaluator.events(placements, evaluator.edge_pairs(placements))[0].astype(float)


def mode_values(c: CompiledProblem, placement: Index) -> Values:
    """Return 1 where a layer runs on the host (H,)."""
    return np.isin(np.arange(len(c.host_names)), c.executor_host[placement[c.is_layer]]).astype(float)


def touched_values(c: CompiledProblem, placement: Index) -> Values:
    """Return 1 where the device sends or receives the tensor (T, D)."""
    evaluator = evaluator_of(c)
    pairs = evaluator.edge_pairs(placement[None])
    return np.stack([evaluator.touched(pairs, d)[0] for d in range(len(c.device_names))], axis=1).astype(float)


def held_values(c: CompiledProblem, placement: Index) -> Values:
    """Return 1 where the host runs a layer that reads the shared weights (G, H)."""
    here = c.executor_host[placement][:, None] == np.arange(len(c.host_names))
    return (c.shared_weights.readers.astype(float) @ here > 0).astype(float)


def received_values(c: CompiledProblem, placement: Index) -> Values:
    """Return 1 where the tensor is sent to the device (T, D)."""
    values = np.zeros((len(c.tensor_names), len(c.device_names)))
    edge, pair = np.nonzero(edge_uses_pair(c, placement))
    values[c.edge_tensor[edge], c.pair_destination[pair]] = 1.0
    return values
