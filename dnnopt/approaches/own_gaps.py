"""Approaches on their own problems for networks and platforms: how far their algorithms are from the proved optimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from dnnopt.approaches.registry import approach_named, published
from dnnopt.approaches.trial import try_approach
from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_data, write_text
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_excess, format_runtime, is_rounding
from dnnopt.base.outputs import make_folder
from dnnopt.base.records import Number, Record
from dnnopt.base.tables import Heading, Tabular

if TYPE_CHECKING:
    from rich.console import Console

NETWORKS = ("alexnet", "resnet18", "branchynet")
PLATFORMS = (
    "pi3-wifi-pc",
    "pi4-lte-t4",
    "pi4-wifi-nx-wan-t4",
    "two-phones-wifi-nx-wan-v100",
    "four-pi3-lan-blocking",
    "4-jetson-nx-lan",
)
_KIND = "approach-trial"


class _Told(Record):
    """What the file of a trial has."""

    approach: str
    network: str
    platform: str
    unsuited: str
    status: str = ""
    gap: Number | None = None
    found: bool = False
    seconds: Number | None = None


@unchangeable
@dataclass(frozen=True)
class OwnGap:
    """One approach on its own problems.

    Attributes
    ----------
    approach : str
    problems : int
        Pairs of a network and a platform that suit it.
    plans, proved, optima : float
        Shares of them: with a plan of its algorithm that keeps all limits, with a proved optimum, and where both are
        the same.
    mean, worst : float, optional
        Of the gaps to the best plan known, over the problems with a plan.
    seconds : float, optional
        That its algorithm takes, in the middle.
    """

    approach: str
    problems: int
    plans: float
    proved: float
    optima: float
    mean: float | None
    worst: float | None
    seconds: float | None


@unchangeable
@dataclass(frozen=True, repr=False)
class OwnGaps(Tabular):
    """What `own_gaps` returns.

    Attributes
    ----------
    rows : tuple of OwnGap
    unsuited : mapping
        Approach -> pair of a network and a platform -> why it does not suit it.
    """

    rows: tuple[OwnGap, ...]
    unsuited: Mapping[str, Mapping[str, str]]

    row_noun = "approach"

    def headline(self) -> str:
        """Return how many problems there are."""
        many = "1 approach" if len(self.rows) == 1 else f"{len(self.rows)} approaches"
        return f"{counted(sum(row.problems for row in self.rows), 'problem')} of {many}"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [vars(row) for row in self.rows]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "plans": Heading("plan", "%"),
            "proved": Heading("optimum proved", "%"),
            "optima": Heading("finds it", "%"),
            "mean": Heading("mean gap", "%"),
            "worst": Heading("worst gap", "%"),
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        unsuited = {name: dict(reasons) for name, reasons in self.unsuited.items()}
        return {"format": "dnnopt-own-gaps", "version": 1, "rows": self.to_rows(), "unsuited": unsuited}

    def report(self, console: Console) -> None:
        """Print it for a person."""
        names = ("approach", "problems", "plan", "optimum proved", "finds it", "mean gap", "worst gap", "time")
        columns = [(name, "right" if position else "left") for position, name in enumerate(names)]
        rows = [
            (
                row.approach,
                f"{row.problems:,}",
                *(f"{100 * share:.0f} %" for share in (row.plans, row.proved, row.optima)),
                *("" if gap is None else format_excess(gap) for gap in (row.mean, row.worst)),
                "" if row.seconds is None else format_runtime(row.seconds),
            )
            for row in self.rows
        ]
        console.print(table("Each approach on its own problems", columns, rows, ("time", "mean gap")))
        console.print()
        console.print(words(f"{self.headline()}."))


@checked
def own_gaps(
    output: str | Path,
    *,
    networks: Sequence[str] = NETWORKS,
    platforms: Sequence[str] = PLATFORMS,
    approaches: Sequence[str] = (),
    time_limit: Duration = 5.0,
    seed: int = 0,
    watch: Callable[[int, str], None] | None = None,
) -> OwnGaps:
    """Try approaches on their own problems for pairs of networks and platforms; called again, it does what is missing.

    Parameters
    ----------
    output : path
        Folder for the results: a file for each trial.
    networks, platforms : sequence of str
        Of the library; all pairs are tried, and those that do not suit an approach are left out.
    approaches : sequence of str
        Names; by default all.
    time_limit : float or str
        Seconds for each proof.
    seed : int
    watch : callable, optional
        Called with the number of trials, and what has been tried, as each ends.

    Raises
    ------
    InputError
        For names that there are not.
    """
    chosen = [approach_named(name).name for name in approaches] or list(published())
    pairs = list(product(networks, platforms))
    told = []
    for name, (network, platform) in product(chosen, pairs):
        file = Path(output) / "own" / name / f"{network}-on-{platform}.json"
        if not file.exists():
            make_folder(file.parent)
            found = _tried(name, network, platform, time_limit, seed)
            write_text(file, dump_json({"format": f"dnnopt-{_KIND}", "version": 1} | found.to_data()))
        told.append(_Told.from_data(read_data(file, _KIND), file=str(file)))
        if watch is not None:
            watch(len(chosen) * len(pairs), f"{name}: {network} on {platform}: {told[-1].status or 'does not suit it'}")
    unsuited: dict[str, dict[str, str]] = {name: {} for name in chosen}
    for one in told:
        if one.unsuited:
            unsuited[one.approach][f"{one.network} on {one.platform}"] = one.unsuited
    suited = {name: [one for one in told if one.approach == name and not one.unsuited] for name in chosen}
    return OwnGaps(tuple(_row(name, some) for name, some in suited.items() if some), unsuited)


def _tried(name: str, network: str, platform: str, time_limit: float, seed: int) -> _Told:
    try:
        trial = try_approach(name, network, platform, time_limit=time_limit, seed=seed)
    except InputError as error:
        return _Told(approach=name, network=network, platform=platform, unsuited=str(error))
    gap = trial.gap
    return _Told(
        approach=name,
        network=network,
        platform=platform,
        unsuited="",
        status=trial.best.status,
        gap=None if gap is None or not math.isfinite(gap) else gap,
        found=gap is not None,
        seconds=trial.seconds,
    )


def _row(name: str, told: Sequence[_Told]) -> OwnGap:
    gaps = [one.gap for one in told if one.gap is not None]
    proved = [one for one in told if one.status == "optimal"]
    seconds = [one.seconds for one in told if one.seconds is not None]
    return OwnGap(
        approach=name,
        problems=len(told),
        plans=sum(one.found for one in told) / len(told),
        proved=len(proved) / len(told),
        optima=sum(one.gap is not None and is_rounding(one.gap) for one in proved) / len(told),
        mean=fmean(gaps) if gaps else None,
        worst=max(gaps, default=None),
        seconds=median(seconds) if seconds else None,
    )
