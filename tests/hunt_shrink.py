"""Smaller problems that go wrong in the same way: parts are left out and numbers made simple, one after the other."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hunt_checks import MISMATCH, ask, ways
from hunt_truth import Truth

from dnnopt.base.errors import InputError
from dnnopt.problem.problem import Problem, write_problem

SECONDS = 300.0
_SIMPLE = (0, 1, 2)
_FIXED = ("format", "version", "name", "constraint", "metric", "execution")


def shrink_file(path: str, name: str) -> None:
    """Write the smallest problem found beside the file, as FILE.small.json."""
    from dnnopt.problem.problem import read_problem

    target = Path(path).with_suffix(".small.json")
    small = shrink(read_problem(path), name, lambda smaller: write_problem(smaller, target))
    print(f"{target}\n{json.dumps(small.to_data())}")


def shrink(problem: Problem, name: str, watch: Callable[[Problem], None] = lambda smaller: None) -> Problem:
    """Return a small problem that the named way answers wrongly, as it does `problem`; `watch` is told of each."""
    until = time.monotonic() + SECONDS
    smaller = True
    while smaller and time.monotonic() < until:
        smaller = False
        for candidate in _candidates(problem.to_data()):
            if time.monotonic() > until:
                break
            reduced = _fails(candidate, name)
            if reduced is not None:
                problem, smaller = reduced, True
                watch(problem)
                break
    return problem


def _fails(data: dict[str, Any], name: str) -> Problem | None:
    try:
        problem = Problem.from_data(data)
        way = dict(ways(problem)).get(name)
    except InputError:
        return None
    if way is None:
        return None
    return problem if ask(way, problem, Truth(problem))[0] == MISMATCH else None


def _candidates(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for a, network in enumerate(data["networks"]):
        if len(data["networks"]) > 1:
            yield _without_network(data, a)
        for layer in network["layers"]:
            if len(network["layers"]) > 1:
                yield _without_layer(data, network["name"], layer["name"])
    for device in data["platform"]["devices"]:
        if len(data["platform"]["devices"]) > 1:
            yield _without_device(data, device["name"])
    for path in _paths(data):
        yield from _simpler(data, path)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of all parts, the larger ones first."""
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, _ in entries:
        if key not in _FIXED:
            yield (*path, key)
    for key, inner in entries:
        yield from _paths(inner, (*path, key))


def _simpler(data: dict[str, Any], path: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    value = _at(data, path)
    changed = copy.deepcopy(data)
    del _at(changed, path[:-1])[path[-1]]
    yield changed
    if isinstance(value, int | float) and not isinstance(value, bool):
        for simple in (*_SIMPLE, round(value), float(f"{value:.1g}"), float(f"{value:.3g}")):
            if simple != value and len(repr(simple)) <= len(repr(value)) and not (value in _SIMPLE and simple > value):
                changed = copy.deepcopy(data)
                _at(changed, path[:-1])[path[-1]] = simple
                yield changed


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def _without_network(data: dict[str, Any], index: int) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    name = changed["networks"].pop(index)["name"]
    _forget(changed, lambda entry: entry.get("network") == name, {name})
    return changed


def _without_layer(data: dict[str, Any], network: str, layer: str) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    (found,) = (one for one in changed["networks"] if one["name"] == network)
    found["layers"] = [one for one in found["layers"] if one["name"] != layer]
    tensors = [one for one in found.get("tensors", []) if one["producer"] != layer]
    for tensor in tensors:
        tensor["consumers"] = [one for one in tensor["consumers"] if one != layer]
    found["tensors"] = tensors
    _forget(changed, lambda entry: entry.get("network") == network and _names(entry, layer), {layer})
    return changed


def _without_device(data: dict[str, Any], device: str) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    platform = changed["platform"]
    modes = [mode["name"] for one in platform["devices"] if one["name"] == device for mode in one.get("modes", [])]
    platform["devices"] = [one for one in platform["devices"] if one["name"] != device]
    platform["routes"] = [one for one in platform.get("routes", []) if device not in (one["from"], one["to"])]
    for link in platform.get("links", []):
        for end in ("sender", "receiver"):
            if link.get(end) == device:
                del link[end]
    for resource in platform.get("resources", []):
        resource["devices"] = [one for one in resource.get("devices", []) if one != device]
    for network in changed["networks"]:
        for owner in (network, *network.get("tensors", [])):
            for key in ("source", "sink"):
                if owner.get(key) == device:
                    del owner[key]
        for form in (form for tensor in network.get("tensors", []) for form in tensor.get("forms", [])):
            for key in ("encode", "decode"):
                form.get(key, {}).pop(device, None)
    for scenario in changed.get("scenarios", []):
        scenario.get("speed", {}).pop(device, None)
    for entry in (*changed["minimize"], *changed.get("subject_to", [])):
        for key in ("devices", "allowed"):
            if device in entry.get(key, ()):
                entry[key] = [one for one in entry[key] if one != device]
        entry.get("limits", {}).pop(device, None)
    _forget(changed, lambda entry: entry.get("devices") == [], {device, *(f"{device}:{mode}" for mode in modes)})
    return changed


def _names(entry: dict[str, Any], layer: str) -> bool:
    return entry.get("layer") == layer or layer in entry.get("layers", ())


def _forget(data: dict[str, Any], goes: Any, keys: set[str]) -> None:
    """Leave out the terms and limits for which `goes` holds, and these keys of tables."""
    data["minimize"] = [entry for entry in data["minimize"] if not goes(entry)]
    data["subject_to"] = [entry for entry in data.get("subject_to", []) if not goes(entry)]

    def prune(value: Any) -> None:
        if isinstance(value, dict):
            for key in list(value):
                if key in keys:
                    del value[key]
                else:
                    prune(value[key])

    prune(data.get("profile", {}))
    for block in list(data.get("profile", {}).get("blocks", ())):
        prune(block)
        if not block.get("time") or {block["network"], *block["layers"]} & keys:
            data["profile"]["blocks"].remove(block)
    for metric in data.get("metrics", []):
        prune(metric.get("layers", {}))
        prune(metric.get("exposed", {}))
