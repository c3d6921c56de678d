"""Versions of dnnopt and of what it runs on: for results, which record them, and for bug reports."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from dnnopt.base.programs import find_cbc


def _project() -> tuple[str, list[str]]:
    """Return dnnopt's version and its requirements: of the installation, else (a bare checkout) of pyproject.toml."""
    try:
        return metadata.version("dnnopt"), metadata.requires("dnnopt") or []
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project["optional-dependencies"].values()
        return project["version"], [*project["dependencies"], *(name for extra in extras for name in extra)]


__version__ = _project()[0]


def versions() -> dict[str, str]:
    """Return the versions of dnnopt, Python, the platform and every installed dependency, without importing any."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Return what `versions` does; every result has them, and to read them takes as long as a small problem does."""
    found = {"dnnopt": __version__, "python": platform.python_version(), "platform": platform.platform()}
    listed = _listed()
    for requirement in _project()[1]:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            found.setdefault(name, listed.get(_normalised(name)) or metadata.version(name))
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
    return found


def _listed() -> dict[str, str]:
    """Return the versions that names of installations tell, ``NAME-VERSION.dist-info``: their files are long."""
    found: dict[str, str] = {}
    for folder in sys.path:
        for path in Path(folder or ".").glob("*.dist-info"):
            name, dash, version = path.name.removesuffix(".dist-info").partition("-")
            if dash:
                found.setdefault(_normalised(name), version)
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def show_versions() -> None:
    """Print what `versions` returns, and which CBC there is, one per line: paste it into a bug report."""
    cbc = find_cbc()
    found = versions() | {"cbc": "none" if cbc is None else f"{cbc.path} ({cbc.source})"}
    width = max(map(len, found))
    for name, version in found.items():
        print(f"{name:{width}}  {version}")
