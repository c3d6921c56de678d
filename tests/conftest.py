"""Settings of all tests."""

import gc
import os

from hypothesis import HealthCheck, settings

gc.set_threshold(100_000, 50, 50)  # thousands of small problems make much that lives on and little that runs in circles
os.environ.pop("COLUMNS", None)  # readline sets it where pytest runs, and what pytest starts inherits it

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
