"""One word means one thing: a public class, an alias of a type or a function has its name to itself."""

import ast
from collections import defaultdict

from test_rooms import FILES

from dnnopt.methods.groups.loops import Loops
from dnnopt.problem.metrics import STANDARD

# Plug-in modules of one kind have these alike, one in each.
PROTOCOLS = {
    "dnnopt.": {"refuses"},
    "dnnopt.methods.": {"placements", "run"},
    "dnnopt.models.solvers.": {"solve", "solve_unpresolved", "set_options"},
    "dnnopt.methods.groups.": {name for name in vars(Loops) if not name.startswith("_")},
    "dnnopt.formulations.milp.communication.": {"add_pairs"},
    "dnnopt.formulations.milp.timing.": {"add"},
}
# What is public stands for the term, the definition of which is the referee's, or for the study that is drawn.
PUBLIC = {*STANDARD, "memory", "solve", "sweep"}
REGISTRIES = {"dnnopt.problem.library", "dnnopt.models.solvers", "dnnopt.formulations.registry"}  # each has `names`


def homes():
    """Return the modules that each public class, alias of a type or function is defined in."""
    found = defaultdict(set)
    for module, path in FILES.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found[node.name].add(module)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[0].isupper() and not name.isupper():
                    found[name].add(module)
    return {name: modules for name, modules in found.items() if not name.startswith("_")}


def means_one_thing(name, modules):
    others = {
        module
        for module in modules
        if not any(module.startswith(kind) and name in alike for kind, alike in PROTOCOLS.items())
    }
    if name == "names":
        others -= REGISTRIES
    if name.startswith("add_"):  # what the two kinds of models write alike
        others = {module.replace("formulations.cp", "formulations.milp") for module in others}
        return len({module.rpartition(".")[0] for module in others}) <= 1
    return len(others) <= (2 if name in PUBLIC and others & {"dnnopt.referee.metrics", "dnnopt.plot.sweep"} else 1)


def test_a_public_name_means_one_thing():
    assert {name: modules for name, modules in homes().items() if not means_one_thing(name, modules)} == {}


def test_a_second_home_of_a_name_is_seen():
    assert not means_one_thing("Metric", {"dnnopt.problem.custom", "dnnopt.compiled.metrics"})
    assert not means_one_thing("energy", {"dnnopt.problem.objectives", "dnnopt.compiled.metrics"})
    assert not means_one_thing("run", {"dnnopt.methods.exact.chain", "dnnopt.cli.process", "dnnopt.base.guardian"})
    assert means_one_thing("run", {"dnnopt.methods.exact.chain", "dnnopt.methods.exact.tree"})
