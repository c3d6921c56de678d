"""What data say of where they come from, which changes nothing of what they mean."""

from __future__ import annotations

from typing import Any

_PROVENANCE = ("provenance", "measurements")


def without_provenance(data: Any) -> Any:
    """Return plain data without texts on where they come from."""
    if isinstance(data, dict):
        return {key: without_provenance(value) for key, value in data.items() if key not in _PROVENANCE}
    return [without_provenance(value) for value in data] if isinstance(data, list) else data
