"""Heuristic baselines, one file each. A baseline yields named placements; the pool's referee judges them.

Each is a function `placements(evaluator, effort)`. Constructive ones yield each of their placements once; those that
search yield every placement that is better than all before, under one name, until their effort is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from dnnopt.compiled.compiled import Index
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.methods.heuristics import (
    all_on_one,
    annealing,
    coarsening,
    etf,
    genetic,
    greedy,
    heft,
    list_scheduling,
    local_search,
    multi_cut,
    neighbourhood_search,
    particle_swarm,
    proportional,
    pso_ga,
    random_plans,
    repaired_min_cut,
    saving_per_byte,
    single_cut,
)
from dnnopt.methods.heuristics.effort import Effort


@dataclass(frozen=True)
class Baseline:
    """A heuristic.

    Attributes
    ----------
    name : str
    summary : str
        What it does, in one line.
    source : str
        Authors, title, venue and year; "" where there is none.
    searches : bool
        Whether it searches until its effort is spent; the others end by themselves, soon.
    run : callable
        Takes an evaluator and an effort, yields pairs of a name and a placement (N,).
    needs : str
        Module that must be installed; "": none.
    """

    name: str
    summary: str
    source: str
    searches: bool
    run: Callable[[Evaluator, Effort], Iterator[tuple[str, Index]]]
    needs: str = ""

    @property
    def installed(self) -> bool:
        """Whether what it needs is there; where it is not, `run` raises InputError."""
        return not self.needs or find_spec(self.needs) is not None


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "all-on-one",
            "every layer on one device, for each device",
            "",
            False,
            all_on_one.placements,
        ),
        Baseline(
            "single-cut",
            "the best cut in two, for each ordered pair of devices",
            "Kang et al.: Neurosurgeon: Collaborative intelligence between the cloud and mobile edge, ASPLOS 2017",
            False,
            single_cut.placements,
        ),
        Baseline(
            "multi-cut",
            "the best cut into one segment a device, for each order of devices",
            "Lockhart et al.: Scission: Performance-driven and context-aware cloud-edge distribution of deep neural "
            "networks, UCC 2020",
            False,
            multi_cut.placements,
        ),
        Baseline(
            "greedy",
            "layer by layer, each to the device that is best if all later ones follow",
            "",
            False,
            greedy.placements,
        ),
        Baseline(
            "saving-per-byte",
            "layers leave the device of the input, those first that save most time for each byte of their tensors",
            "Dantzig: Discrete-variable extremum problems, Operations Research 5(2), 1957",
            False,
            saving_per_byte.placements,
        ),
        Baseline(
            "repaired-min-cut",
            "the best minimum cut between two devices as if there were no limits, then repaired",
            "Hu, Bao, Wang, Liang: Dynamic adaptive DNN surgery for inference acceleration on the edge (DADS), INFOCOM "
            "2019",
            False,
            repaired_min_cut.placements,
        ),
        Baseline(
            "proportional",
            "segments as long as the devices are fast",
            "Mao et al.: MoDNN: Local distributed mobile computing system for deep neural network, DATE 2017",
            False,
            proportional.placements,
        ),
        Baseline(
            "heft",
            "layers by their distance from the end, each where it ends first, in gaps too",
            "Topcuoglu, Hariri, Wu: Performance-effective and low-complexity task scheduling for heterogeneous "
            "computing, IEEE TPDS 13(3), 2002",
            False,
            heft.placements,
        ),
        Baseline(
            "etf",
            "of all layers that are ready and all devices, the pair with the earliest start",
            "Hwang, Chow, Anger, Lee: Scheduling precedence graphs in systems with interprocessor communication times, "
            "SIAM Journal on Computing 18(2), 1989",
            False,
            etf.placements,
        ),
        Baseline(
            "list-scheduling",
            "of the layers that are ready the one farthest from the end, where it ends first",
            "Adam, Chandy, Dickson: A comparison of list schedules for parallel processing systems, CACM 17(12), 1974",
            False,
            list_scheduling.placements,
        ),
        Baseline(
            "random",
            "random plans, the best of them: the floor for all that search",
            "",
            True,
            random_plans.placements,
        ),
        Baseline(
            "local-search",
            "moves that improve (one layer, swap, block, cut shift), then a kick, and again",
            "Lourenço, Martin, Stützle: Iterated local search, Handbook of Metaheuristics, 2003",
            True,
            local_search.placements,
        ),
        Baseline(
            "annealing",
            "moves that improve, and some that do not, fewer and fewer of them",
            "Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing, Science 220, 1983",
            True,
            annealing.placements,
        ),
        Baseline(
            "neighbourhood-search",
            "some layers are freed and placed best by a MILP, all others stay, again and again",
            "Shaw: Using constraint programming and local search methods to solve vehicle routing problems, CP 1998",
            True,
            neighbourhood_search.placements,
        ),
        Baseline(
            "coarsening",
            "layers that follow each other are placed as one by a MILP: few large groups, then smaller ones",
            "Hendrickson, Leland: A multilevel algorithm for partitioning graphs, Supercomputing 1995",
            True,
            coarsening.placements,
        ),
        Baseline(
            "genetic",
            "vectors of executors, crossed at two points and mutated (needs the extra 'evolutionary')",
            "Holland: Adaptation in Natural and Artificial Systems, 1975; Blank, Deb: pymoo, IEEE Access 8, 2020",
            True,
            genetic.placements,
            "pymoo",
        ),
        Baseline(
            "particle-swarm",
            "positions whose whole parts are executors (needs the extra 'evolutionary')",
            "Kennedy, Eberhart: Particle swarm optimization, ICNN 1995; Blank, Deb: pymoo, IEEE Access 8, 2020",
            True,
            particle_swarm.placements,
            "pymoo",
        ),
        Baseline(
            "pso-ga",
            "a discrete particle swarm that moves by mutation and crossover",
            "Lin et al.: Cost-driven offloading for DNN-based applications over cloud, edge and end devices, IEEE TII "
            "16(8), 2020",
            True,
            pso_ga.placements,
        ),
    )
}
