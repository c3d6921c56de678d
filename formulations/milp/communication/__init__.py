"""Communication linearisations: one file each, registered here by name.

Each adds `y_ep ∈ [0, 1]`: the producer of edge e's tensor is on the first device of the ordered pair p, the consumer on
the second (another one). What is charged as copies follows in `copies.py`, the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from dnnopt.compiled import CompiledProblem
from dnnopt.formulations.milp.communication import edgewise, product
from dnnopt.linear_model import Columns, LinearModel

Communication = Callable[[LinearModel, CompiledProblem, Columns], Columns]

COMMUNICATIONS: dict[str, Communication] = {
    "product": product.add_pairs,
    "edgewise": edgewise.add_pairs,
}
