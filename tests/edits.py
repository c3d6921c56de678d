"""Data of files, with one value changed."""

import copy


def edited(data, path, value):
    """Return a copy of data with another value at a path of keys; None takes what is there away."""
    data = copy.deepcopy(data)
    *parents, last = path
    inner = data
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return data
