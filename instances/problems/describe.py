"""Writes what `docs/problems.md` shows of the sets: two tables, and the figure `docs/figures/problem-sets.svg`.

    python instances/problems/describe.py

Needs the extra `plot`. The tables go to the standard output; `--check` only says whether the page has them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from statistics import median

from dnnopt.problem import library
from dnnopt.problem.problem import load
from dnnopt.studies.best_known import BestKnown, read_table
from dnnopt.studies.features import Features, features

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The default cycle of Okabe and Ito, which colour-blind people can tell apart.
COLOURS = {"small": "#009E73", "core": "#0072B2", "hard": "#D55E00"}
NEAR = 0.05  # a trivial plan within this of the best known one makes a problem easy


def members(name: str) -> list[str]:
    return [problem for problem in library.names("problems") if problem.startswith(f"{name}/")]


def trivial_gap(found: Features, known: BestKnown | None) -> float:
    """Return how much worse the best plan on one device is than the best known plan; infinite: there is none."""
    if found.best_trivial is None or known is None or known.objective is None:
        return float("inf")
    if found.best_trivial == known.objective:
        return 0.0
    return (found.best_trivial - known.objective) / abs(known.objective) if known.objective else float("inf")


def table(described: dict[str, list[tuple[Features, BestKnown | None]]]) -> str:
    """Return a Markdown table of the sets."""
    lines = ["| | " + " | ".join(described) + " |", "|---|" + "---|" * len(described)]

    def row(head: str, cells: list[str]) -> None:
        lines.append(f"| {head} | " + " | ".join(cells) + " |")

    def spread(name: str, digits: str = "g") -> list[str]:
        found = [[getattr(one, name) for one, _ in rows] for rows in described.values()]
        return [f"{min(x):{digits}} / {median(x):{digits}} / {max(x):{digits}}" for x in found]

    def counts(name: str) -> list[str]:
        cells = []
        for rows in described.values():
            tally = Counter(value for one, _ in rows for value in _several(getattr(one, name)))
            cells.append(", ".join(f"{value} {count}" for value, count in tally.most_common()))
        return cells

    row("problems", [str(len(rows)) for rows in described.values()])
    for head, name in (("layers", "layers"), ("devices", "devices"), ("width", "width"), ("treewidth", "treewidth")):
        row(f"{head}: least / median / most", spread(name))
    row("computing : sending", spread("compute_communication", ".2g"))
    for head, name in (("locations", "locations"), ("execution", "execution"), ("objectives", "objectives")):
        row(head, counts(name))
    row("constraints", counts("constraints"))
    if any(one.choices for rows in described.values() for one, _ in rows):
        row("choices", counts("choices"))
    gaps = [[trivial_gap(*one) for one in rows] for rows in described.values()]
    row(
        f"all on one device within {NEAR:.0%} of the best known plan",
        [f"{sum(gap <= NEAR for gap in x)} of {len(x)}" for x in gaps],
    )
    row(
        "all on one device breaks a limit",
        [f"{sum(one.best_trivial is None for one, _ in r)}" for r in described.values()],
    )
    proved = [[known is not None and known.status == "proved" for _, known in rows] for rows in described.values()]
    row("proved optimal", [f"{sum(x)} of {len(x)}" for x in proved])
    infeasible = [sum(known is not None and known.status == "infeasible" for _, known in x) for x in described.values()]
    if any(infeasible):
        row("infeasible, on purpose", [str(count) for count in infeasible])
    return "\n".join(lines) + "\n"


def tables(described: dict[str, list[tuple[Features, BestKnown | None]]]) -> list[str]:
    """Return a table of the sets about placement alone, which the figure shows, and one of the others."""
    placement = {name: rows for name, rows in described.items() if name in COLOURS}
    return [table(placement), table({name: rows for name, rows in described.items() if name not in COLOURS})]


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def figure(described: dict[str, list[tuple[Features, BestKnown | None]]], path: Path) -> None:
    """Draw the distributions, one panel each, every problem a point."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "dnnopt", "font.size": 8, "axes.spines.top": False})
    from matplotlib import pyplot

    panels = {
        "layers": lambda one, known: one.layers,
        "most tensors alive at once": lambda one, known: one.width,
        "treewidth (upper bound)": lambda one, known: one.treewidth,
        "computing : sending": lambda one, known: one.compute_communication,
        "best plan on one device, % above the best known (right of the line: none is feasible)": lambda one, known: (
            100 * trivial_gap(one, known)
        ),
    }
    fig, axes = pyplot.subplots(len(panels), 1, figsize=(6.5, 7.5), layout="constrained")
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        finite = [v for rows in described.values() for one in rows if (v := value(*one)) not in (0, float("inf"))]
        most = max(finite, default=1.0)
        for level, (name, rows) in enumerate(described.items()):
            values = [min(value(*one), 4 * most) for one in rows]
            jitter = [level + 0.6 * ((number * 0.618) % 1 - 0.5) for number in range(len(values))]
            axis.scatter(values, jitter, s=9, color=COLOURS[name], linewidths=0)
        if title.startswith("best plan"):
            axis.set_xscale("symlog", linthresh=1)
            axis.axvline(100 * NEAR, color="grey", linewidth=0.8, linestyle="--")
            axis.axvline(2.5 * most, color="grey", linewidth=0.8)
        else:
            axis.set_xscale("log")
        axis.set_yticks(range(len(described)), list(described))
        axis.set_ylim(len(described) - 0.4, -0.6)
        axis.set_title(title, loc="left", fontsize=8)
        axis.spines["right"].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    known = read_table()
    described = {
        name: [(features(load(member)), known.get(member)) for member in members(name)] for name in library.SETS
    }
    texts = tables(described)
    if options.check:
        page = (DOCS / "problems.md").read_text("utf-8")
        same = all(text in page for text in texts)
        print("the same" if same else "DIFFERENT")
        raise SystemExit(not same)
    print("\n".join(texts), end="")
    figure({name: described[name] for name in COLOURS}, DOCS / "figures" / "problem-sets.svg")


if __name__ == "__main__":
    main()
