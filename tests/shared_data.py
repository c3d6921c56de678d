"""Published workloads, and small inputs that went wrong, beside a checkout: tests that need them skip without them."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_file(name: str) -> Path:
    """Return the path of a published workload, or skip the test."""
    return _there(f"data/{name}")


def shared_case(name: str) -> Path:
    """Return the path of a small input that went wrong, or skip the test."""
    return _there(f"cases/{name}")


def shared_design(name: str) -> Path:
    """Return the path of a design note, or skip the test."""
    return _there(f"design/{name}")


def _there(name: str) -> Path:
    if not (SHARED / name).is_file():
        pytest.skip(f"no ../shared/{name}")
    return SHARED / name
