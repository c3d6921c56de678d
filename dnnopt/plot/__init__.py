"""Pictures of networks, plans, runs and comparisons, as ``dnnopt.plot.placement(result)``.

Each function returns a matplotlib Figure (``figure.savefig("name.pdf")``), or draws on the axes given. matplotlib comes
with ``pip install 'dnnopt[plot]'``; it is imported when the first picture is drawn.
"""

from dnnopt.plot.both_plans import both_plans
from dnnopt.plot.front import front
from dnnopt.plot.gaps import gaps
from dnnopt.plot.layers import layers
from dnnopt.plot.loads import loads
from dnnopt.plot.matrix import matrix
from dnnopt.plot.performance_profile import performance_profile
from dnnopt.plot.pieces_run import pieces_run
from dnnopt.plot.placement import placement
from dnnopt.plot.progress import progress
from dnnopt.plot.schedule import schedule
from dnnopt.plot.sweep import sweep

__all__ = [
    "both_plans",
    "front",
    "gaps",
    "layers",
    "loads",
    "matrix",
    "performance_profile",
    "pieces_run",
    "placement",
    "progress",
    "schedule",
    "sweep",
]
