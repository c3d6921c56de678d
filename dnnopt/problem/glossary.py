"""The words of reports, explained: `dnnopt list words`, and the end of docs/model.md."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "network": "the graph of a deep neural network: its layers, and the tensors that they send to each other",
    "platform": "devices, the links between them, and which links lead from one device to another (routes)",
    "plan": "which device runs each layer; under scheduled execution also when everything starts",
    "placement": "a plan without times",
    "cut": "a tensor that is sent to another device: where a plan divides the network",
    "objective": "what is minimised: a metric such as latency, energy or cost, or a weighted sum of several",
    "latency": "seconds from the input to the answer; how parts overlap is said by the execution",
    "period": "seconds between two answers of a pipeline: the load of its busiest device or link",
    "leakage": "how sensitive the tensors are that devices or links outside of the trusted ones get to see",
    "mode": "a setting of a device (clock, precision, pruning), among which each layer on it has one",
    "executor": "what a layer runs on: a device, or a device in one of its modes (nx:int8)",
    "form": "as what a tensor is sent: as it is, or encoded where it is made and decoded where it is used",
    "reach": "the share of inputs that get as far as a layer, where some leave at an earlier exit",
    "accuracy loss": "what modes, forms and exits lose, added up: a proxy, as losses do not add up exactly",
    "scenario": "what bandwidths and speeds may be, with a probability; one plan is for all of them",
    "regret": "how far a plan is above the best one of a scenario",
    "bound": "a value that no plan can be better than, as was proved",
    "gap": "how far a plan is above the bound, in per cent of the plan's value; 0 %: the plan is proved optimal",
    "above the best": "how far a plan is above the best one, in per cent of the best; 12×: twelve times as much",
    "optimal": "proved: no plan is better (by more than a gap of 0.0001 %)",
    "feasible": "nothing is broken, but it is not proved that no plan is better",
    "infeasible": "of a problem: proved that every plan breaks something; of a plan: it breaks something",
    "confirmed by": "a second engine, with another formulation or solver, that was asked about the proof and agreed",
    "referee": "the part of dnnopt that judges every plan from the definitions alone, whoever found it",
    "formulation": "a way to write a problem for a solver: how sending is written, and how times are (edgewise+paths)",
    "relaxation": "a formulation without whole numbers; its optimum, the LP bound, is a bound on every plan",
    "heuristic": "a method that finds plans and proves nothing",
    "baseline": "a heuristic that results are compared with, such as the best single cut",
    "auto": "what solve does unless told otherwise: the methods that suit the problem, one after the other",
    "chain": "an exact method for networks without branches: a shortest path through layers and devices",
    "tree": "an exact method for networks of small treewidth: dynamic programming over parts of the graph",
    "treewidth": "how far a graph is from a tree: 1 for trees and chains, 2 to 4 for most networks",
    "ideals": "sets of layers with all that come before them; the exact method of that name builds pipelines of them",
    "labels": "an exact method that extends partial plans layer by layer and drops those that others are better than",
    "groups": "an exact method for tight memory: programs of groups of devices bound what partial plans come to",
    "scan": "an exact method that tries every placement",
    "layers elsewhere": "layers that a plan has on another device, or in another mode, than the best plan does",
    "break point": "a value of a parameter at which the optimal plan changes",
    "Pareto front": "the plans that no other one is better than in every objective",
}


def words_markdown() -> str:
    """Return the words as a Markdown table."""
    lines = ["| word | what it means |", "|---|---|"]
    return "\n".join([*lines, *(f"| {word} | {meaning} |" for word, meaning in WORDS.items())]) + "\n"
