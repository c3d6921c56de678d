"""Properties that are about several kinds of examples: more are drawn until each kind was there.

How many of a kind are among so many examples is chance, and another version of Hypothesis draws others. So no test may
fail for it; one that counts kinds says here when it has seen enough.
"""

import os
from collections.abc import Callable

from hypothesis import seed

_FIRST_SEED = int(os.environ.get("HUNT_NUMBER", "0"))
_MOST_TIMES = 30


def check_until(check: Callable[[], None], enough: Callable[[], bool]) -> None:
    """Run a property, and again with other examples, until `enough()`."""
    for times in range(_MOST_TIMES):
        if times:
            check = seed(_FIRST_SEED + times)(check)
        check()
        if enough():
            return
    raise AssertionError(f"{_MOST_TIMES} times as many examples did not have what the test is about")
