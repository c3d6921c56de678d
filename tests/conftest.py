"""Settings of all tests."""

import gc
import os
import sys

from hypothesis import HealthCheck, settings

gc.set_threshold(500_000, 20, 50)  # thousands of small problems make much that lives on and little that runs in circles
# Where it is set, every process that a test starts would compile all of the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.pop("COLUMNS", None)  # readline sets it where pytest runs, and what pytest starts inherits it


def _keep_to_a_share_of_the_cores() -> None:
    """Give each of several workers, and what it starts, cores of its own: solvers start a thread for each they see.

    Where every worker's solvers have as many threads as there are cores, most of these wait for each other.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and hasattr(os, "sched_setaffinity"):
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number % len(cores) :: workers])


_keep_to_a_share_of_the_cores()

# Solvers take as long as they take. The examples are the same every time and everywhere, so that a test fails only for
# a reason; `make hunt` draws others.
settings.register_profile(
    "dnnopt",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("hunt", settings.get_profile("dnnopt"), derandomize=False)
settings.load_profile("dnnopt")


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every search for garbage."""
    gc.collect()
    gc.freeze()
