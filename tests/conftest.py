"""Settings of all tests."""

from hypothesis import settings

# Solvers take as long as they take. The examples are the same every time and everywhere, so that a test fails only for
# a reason; `make hunt` draws others.
settings.register_profile("dnnopt", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("hunt", deadline=None, derandomize=False, database=None, print_blob=True)
settings.load_profile("dnnopt")
