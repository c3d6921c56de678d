"""Published workloads that lie beside a checkout, in ``../shared/data``; tests that need them skip without them."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_file(name: str) -> Path:
    """Return the path of a published workload, or skip the test."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no {name} in ../shared/data")
    return path
