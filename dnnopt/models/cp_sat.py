"""CP-SAT models as text: what ``CpModel.export_to_file`` writes, with the names of the variables."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from dnnopt.base.files import read_text
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.portable import check_counts, column_names, header, safe_names

_HINT = (
    "CP-SAT 9.15: solve with presolve_inclusion_work_limit: 0 and cp_model_probing_level: 0, or optimal plans may be "
    "cut off (or-tools #5293)."
)


def cp_sat_text(model: ConstraintModel) -> str:
    """Return a constraint model as a CpModelProto in text format."""
    from dnnopt.models.solvers.cpsat import to_cp_sat

    cp, variables = to_cp_sat(model)
    for variable, name in zip(variables, safe_names(column_names(model)), strict=True):
        variable.name = name
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pb.txt"
        if not cp.export_to_file(str(file)):
            raise RuntimeError("CP-SAT could not write the model")
        text = read_text(file)
    _check(model, text)
    return f"# {header(model)}\n# {_HINT}\n{text}"


def _check(model: ConstraintModel, text: str) -> None:
    """Raise RuntimeError where the text holds more or less than the model."""
    variables, constraints, _ = model.size()
    intervals = sum(len(block.start) for block in model.intervals)
    written = {what: len(re.findall(rf"^{what} {{", text, re.MULTILINE)) for what in ("variables", "constraints")}
    check_counts(".pb.txt file", {"variables": variables, "constraints": constraints + intervals}, written)
