"""The rooms of the package: each imports rooms below it alone, and no files import each other in a ring."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the bottom up: a room may import those before it.
ROOMS = (
    "base", "problem", "referee", "compiled", "inputs", "models", "formulations", "methods", "studies", "approaches",
    "runtime", "plot", "cli",
)  # fmt: skip
# Methods of records that only forward to a function.
FORWARDS = {
    "LinearModel.write", "LinearModel.to_pyomo", "LinearModel.to_pulp", "ConstraintModel.write", "Sweep.plot",
    "Network.from_onnx", "Problem.solve", "Problem.summary",
}  # fmt: skip


def files():
    """Return the path of each module, by its name."""
    found = {}
    for path in (ROOT / "dnnopt").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] not in ("formulations", "instances"):
            found[".".join(parts)] = path
    for path in (ROOT / "formulations").rglob("*.py"):
        found[".".join(("dnnopt", *path.relative_to(ROOT).with_suffix("").parts))] = path
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


FILES = files()


def public_names():
    """Return where each public name of the package comes from."""
    stub = ast.parse((ROOT / "dnnopt" / "__init__.pyi").read_text("utf-8"))
    nodes = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module != "dnnopt"]
    return {name.name: node.module for node in nodes for name in node.names}


PUBLIC = public_names()


def imports(node, inside="", forwards=frozenset()):
    """Yield the modules that a tree imports, wherever in it, but for what the methods named in `forwards` import."""
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for name in node.names:
            if node.module == "dnnopt" and name.name in PUBLIC:
                yield PUBLIC[name.name]
            else:
                longer = f"{node.module}.{name.name}"
                yield longer if longer in FILES else node.module
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            name = f"{inside}.{child.name}".removeprefix(".")
        if name not in forwards:
            yield from imports(child, name, forwards)


def arrows(forwards=frozenset(FORWARDS)):
    """Return the modules of the package that each one imports."""
    found = {}
    for name, path in FILES.items():
        listed = imports(ast.parse(path.read_text("utf-8")), forwards=forwards)
        found[name] = {other for other in listed if other in FILES and other not in (name, "dnnopt")}
    return found


def room(module):
    return module.split(".")[1] if "." in module else ""


def test_every_file_is_in_a_room():
    assert {room(name) for name in FILES} == {"", *ROOMS, "__main__"}


def test_every_room_imports_rooms_below_it_alone():
    upwards = [
        f"{module} imports {other}"
        for module, others in arrows().items()
        for other in others
        if room(module) in ROOMS and ROOMS.index(room(other)) > ROOMS.index(room(module))
    ]
    assert upwards == []


def test_no_files_import_each_other_in_a_ring():
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_methods_that_forward_import_one_module_each():
    found = defaultdict(set)
    for path in FILES.values():
        for part in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(part, ast.ClassDef):
                for method in part.body:
                    name = f"{part.name}.{getattr(method, 'name', '')}"
                    if name in FORWARDS:
                        found[name] |= set(imports(method))
    assert {name: len(modules) for name, modules in found.items()} == dict.fromkeys(FORWARDS, 1)


def test_no_file_is_longer_than_500_lines():
    paths = {
        path
        for top in ("dnnopt", "formulations", "instances", "tests", "benchmarks")
        for path in (ROOT / top).rglob("*.py")
    }
    assert [str(path.relative_to(ROOT)) for path in paths if len(path.read_text("utf-8").splitlines()) > 500] == []
