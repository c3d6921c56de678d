"""Recipe: what a generated problem is made from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dnnopt.base.errors import InputError
from dnnopt.base.records import Number, Positive, Probability, Record, check_known
from dnnopt.inputs.generators.networks import KINDS
from dnnopt.inputs.generators.platforms import TOPOLOGIES
from dnnopt.problem.constraints import AnyConstraint
from dnnopt.problem.objectives import Term, as_terms
from dnnopt.problem.problem import Transport

_Count = Annotated[int, Field(strict=True, ge=1)]
Ratio = Annotated[Number, Field(ge=1)]


class Recipe(Record):
    """What a generated problem is made from.

    Attributes
    ----------
    kinds : tuple of str
        Kind of each network (see `dnnopt.inputs.generators.KINDS`).
    size : int
        Layers of each network, at least; exactly for ``chain``, ``series-parallel`` and ``layered``.
    devices : int
    topology : str
        ``mesh``, ``star``, ``shared``, ``line`` or ``hosts``.
    hosts : int
        Number of hosts, for that topology.
    heterogeneity, link_heterogeneity : float
        Fastest through slowest, of devices and of links; 1: all alike.
    communication : float
        Time to send every tensor once over the slowest link, as a multiple of that of all layers on the slowest device.
    memory : float
        Tightness in [0, 1]. 0: everything fits everywhere, and memory is not limited.
    deadline : float, optional
        Tightness in [0, 1] of the deadline of every network; None: there is none.
    decay : float
        In [0, 1]: how much of the raw input's sensitivity is lost in the deepest layer's output.
    execution, transport : str
        As for `Problem`; ``call`` execution needs a platform of its own.
    minimize : Term, sum of terms, or list, optional
        None: energy where there is a deadline, else the period under ``pipelined`` execution and the latency elsewhere.
    subject_to : tuple of Constraint
        Further constraints; what no knob makes feasible may rule out every plan.
    seed : int

    Raises
    ------
    InputError
        For unknown kinds and topologies, and values out of range.
    """

    kinds: Annotated[tuple[str, ...], Field(min_length=1)]
    size: _Count = 30
    devices: _Count = 3
    topology: str = "mesh"
    hosts: _Count = 2
    heterogeneity: Ratio = 8.0
    link_heterogeneity: Ratio = 4.0
    communication: Positive = 1.0
    memory: Probability = 0.0
    deadline: Probability | None = None
    decay: Probability = 1.0
    execution: Literal["sequential", "parallel", "scheduled", "pipelined"] = "sequential"
    transport: Transport = "unicast"
    minimize: Annotated[tuple[Term, ...], BeforeValidator(as_terms)] = ()
    subject_to: tuple[AnyConstraint, ...] = ()
    seed: Annotated[int, Field(strict=True, ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        for position, kind in enumerate(self.kinds):
            check_known(kind, KINDS, f"kinds[{position}]", "kind of network")
        check_known(self.topology, TOPOLOGIES, "topology", "topology")
        if self.topology == "hosts" and self.hosts > self.devices:
            raise InputError(f"at most {self.devices}, one device in each", field="hosts", value=self.hosts)
        return self
