"""Settings of all tests."""

import os

from hypothesis import settings

# Solvers take as long as they take. In CI the examples are the same every time, so that it fails only for a reason.
settings.register_profile("dnnopt", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("dnnopt")
