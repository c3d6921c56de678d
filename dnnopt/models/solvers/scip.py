"""SCIP through PySCIPOpt: an .mps file goes in, events come out.

SCIP searches with one thread; `threads` is what its LP solver may use.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr
from pyscipopt import Model as Scip

from dnnopt.models.linear import LinearModel
from dnnopt.models.mps import mps_text
from dnnopt.models.portable import column_names, safe_names
from dnnopt.models.solvers.highs import tolerance_for
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, Values, run_in_thread

# With 1e-9, which is its epsilon, the presolve of SCIP 10 calls wrong values optimal (tests/models/test_traps.py).
_LEAST_TOLERANCE = 1e-8
_INFINITE = 1e20
_EVENTS = (SCIP_EVENTTYPE.BESTSOLFOUND, SCIP_EVENTTYPE.DUALBOUNDIMPROVED)


class _Watch(Eventhdlr):
    """Reports incumbents and bounds."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def eventinit(self) -> None:
        for event in _EVENTS:
            self.model.catchEvent(event, self)

    def eventexit(self) -> None:
        for event in _EVENTS:
            self.model.dropEvent(event, self)

    def eventexec(self, event: object) -> None:
        self._control.report(_finite(self.model.getPrimalbound()), _finite(self.model.getDualbound()))


def set_options(scip: Scip, limits: Limits, tolerance: float) -> None:
    """Set limits and tolerances."""
    options = {
        "limits/gap": _gap(limits.gap),
        "limits/absgap": 0.0,
        "numerics/feastol": tolerance,
        "numerics/dualfeastol": tolerance,
        "randomization/randomseedshift": limits.seed,
        "lp/threads": min(limits.processors, 64),
        "misc/catchctrlc": False,
        "timing/clocktype": 2,  # elapsed time
    }
    if limits.time_limit is not None:
        options["limits/time"] = limits.time_limit
    scip.setParams(options)


def _gap(gap: float) -> float:
    """Return SCIP's gap, which is relative to the smaller of objective and bound, for one relative to the objective."""
    return min(gap / (1.0 - gap), _INFINITE) if gap < 1 else _INFINITE


def solve(model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model."""
    if model.column_count == 0:
        return Outcome("optimal", values=np.zeros(0), objective=model.offset, bound=model.offset)
    clock = Clock(limits.time_limit)
    scip = Scip()
    scip.hideOutput()
    with tempfile.TemporaryDirectory(prefix="dnnopt-scip-") as folder:
        file = Path(folder) / "model.mps"
        file.write_text(mps_text(model, room=True), encoding="utf-8")
        scip.readProblem(str(file))
    if control.log is not None:
        scip.setLogfile(control.log)
    by_name = {variable.name: variable for variable in scip.getVars()}
    variables = [by_name[name] for name in safe_names(column_names(model))]
    if start is not None:
        solution = scip.createOrigSol()
        for variable, value in zip(variables, start.tolist(), strict=True):
            scip.setSolVal(solution, variable, value)
        scip.addSol(solution)
    scip.includeEventhdlr(_Watch(control), "dnnopt", "reports incumbents and bounds")
    left = limits.within(clock.left())
    set_options(scip, left, max(tolerance_for(model.arrays()), _LEAST_TOLERANCE))
    run_in_thread(scip.optimizeNogil, control, cancel=scip.interruptSolve)
    outcome = _outcome(scip, variables, control)
    if control.log is not None:
        scip.setLogfile(None)
    return outcome


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < _INFINITE else None


def _outcome(scip: Scip, variables: list[Any], control: Control) -> Outcome:
    status, nodes = scip.getStatus(), int(scip.getNTotalNodes())
    if status in ("infeasible", "inforunbd"):
        # What may grow in our models is minimised, so presolve's "or unbounded" means infeasible.
        return Outcome("infeasible", nodes=nodes)
    if status == "unbounded":
        return Outcome("unbounded", nodes=nodes)
    bound = _finite(scip.getDualbound())
    values, objective = None, None
    if scip.getNSols():
        best = scip.getBestSol()
        values = np.array([scip.getSolVal(best, variable) for variable in variables])
        objective = float(scip.getSolObjVal(best))
    if status in ("optimal", "gaplimit"):
        return Outcome("optimal", values, objective, bound, nodes)
    if status == "userinterrupt" and control.stop.is_set():
        return Outcome("interrupted", values, objective, bound, nodes)
    if status.endswith("limit"):
        return Outcome("no_solution" if values is None else "feasible", values, objective, bound, nodes)
    return Outcome("error", values, objective, bound, nodes, message=f"SCIP: {status}")
