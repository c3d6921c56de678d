"""Solution files as programs that need a licence, or a package of their own, write them: from values by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

Values = Mapping[str, float]
ROWS = ("assign(a)", "x(conv1,pi)")  # a row may be called as a column is


def cplex(values: Values) -> str:
    lines = "\n".join(
        f'  <variable name="{name}" index="{number}" value="{value!r}"/>'
        for number, (name, value) in enumerate(values.items())
    )
    rows = "\n".join(f'  <constraint name="{name}" index="{row}" slack="0"/>' for row, name in enumerate(ROWS))
    return f"""<?xml version = "1.0" encoding="UTF-8" standalone="yes"?>
<CPLEXSolution version="1.2">
 <header
   problemName="model.lp"
   objectiveValue="100"
   solutionStatusString="integer optimal solution"
   primalFeasible="1"/>
 <linearConstraints>
{rows}
 </linearConstraints>
 <variables>
{lines}
 </variables>
</CPLEXSolution>
"""


def cplex_pool(values: Values) -> str:
    """Several solutions: the best one, and then the others."""
    worse = cplex(dict.fromkeys(values, 1.0))
    both = "".join(text.partition("\n")[2] for text in (cplex(values), worse))
    return f'<?xml version = "1.0"?>\n<CPLEXSolutions version="1.2">\n{both}</CPLEXSolutions>\n'


def gurobi_json(values: Values) -> str:
    listed = [{"VarName": name, "X": value} for name, value in values.items() if value]
    return json.dumps({"SolutionInfo": {"Status": 2, "ObjVal": 100.0, "SolCount": 1}, "Vars": listed})


def gurobi(values: Values) -> str:
    lines = "".join(f"{name} {value!r}\n" for name, value in values.items())
    return f"# Solution for model dnnopt\n# Objective value = 100\n{lines}"


def xpress_slx(values: Values) -> str:
    lines = "".join(f"  C {name:<30} {value!r:>12}\n" for name, value in values.items())
    return f"NAME          dnnopt FREE\n{lines}ENDATA\n"


def xpress_asc(values: Values) -> str:
    lines = [f'{row:6},"{name:<24}","E","SB",1,0,1,1,0,1' for row, name in enumerate(ROWS, 1)]
    lines += [
        f'{number:6},"{name:<24}","C","SB",{value!r},0,0,1,0'
        for number, (name, value) in enumerate(values.items(), len(lines) + 1)
    ]
    return "\n".join([*lines, ""])


def python_mip(values: Values) -> str:
    shown = [(name, value) for name, value in values.items() if value]
    lines = "".join(f"{number} {name} {value!r} 0.5\n" for number, (name, value) in enumerate(shown))
    return f"Feasible solution - objective 0.0\n{lines}"


def cbc_all(values: Values) -> str:
    lines = [f"{row:7} {name:<20} {1:>15} {0:>23}" for row, name in enumerate(ROWS)]
    lines += [f"{number:7} {name:<20} {value!r:>15} {0:>23}" for number, (name, value) in enumerate(values.items())]
    lines[-1] = f"**{lines[-1].lstrip()}"  # off its bounds by a little
    return "\n".join(["Optimal - objective value 100.00000000", *lines, ""])


def cbc_csv(values: Values) -> str:
    return "name,solution\n" + "".join(f"{name},{value!r}\n" for name, value in values.items())


def lp_solve(values: Values) -> str:
    def table(shown: Values) -> str:
        return "".join(f"{name:<20} {value:>12g}\n" for name, value in shown.items())

    worse = table(dict.fromkeys(values, 1.0))
    return f"""
Improved solution being stored

Actual values of the variables:
{worse}
Value of objective function: 100.00000000

Actual values of the variables:
{table(values)}
Actual values of the constraints:
{table(dict.fromkeys(ROWS, 1.0))}
Dual values with from - till limits:
"""


def minizinc(values: Values) -> str:
    """Several solutions, each better than the one before; what is 0 is not printed."""
    worse = "".join(f"{name} 1\n" for name in values)
    best = "".join(f"{name} {value:g}\n" for name, value in values.items() if value)
    return f"{worse}----------\n{best}----------\n==========\n"


TEXTS: dict[str, Callable[[Values], str]] = {
    "CPLEX": cplex,
    "CPLEX, several": cplex_pool,
    "Gurobi .json": gurobi_json,
    "Gurobi .sol": gurobi,
    "Xpress .slx": xpress_slx,
    "Xpress .asc": xpress_asc,
    "python-mip": python_mip,
    "CBC, all": cbc_all,
    "CBC, csv": cbc_csv,
    "lp_solve": lp_solve,
    "MiniZinc": minizinc,
}
