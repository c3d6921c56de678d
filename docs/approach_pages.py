"""The pages of docs/approaches, and tables of docs/approaches.md and docs/taxonomy.md.

A page for each published approach is made of its file and of a trial on its example, the tables over problems of what
`dnnopt approaches core --csv docs/approaches/core.csv` and `dnnopt approaches --own --csv docs/approaches/own.csv` have
written.

python docs/approach_pages.py            write the pages again
python docs/approach_pages.py --trials   run the trials again first (minutes); they are kept in trials.json
python docs/approach_pages.py --trials NAME ...   just these
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from dnnopt.approaches import DIMENSIONS, Approach, Trial, approach_named, published, try_approach
from dnnopt.approaches.approach import EVIDENCE
from dnnopt.approaches.classifying import overview_of_approaches, overview_of_claims
from dnnopt.approaches.mathematics import mathematics
from dnnopt.base.console import as_text
from dnnopt.base.numbers import counted, format_excess, format_number, format_percent, format_quantity, format_runtime
from dnnopt.base.tables import as_markdown
from dnnopt.methods.result import STATUS
from dnnopt.problem.words import objective_name, print_strips

FOLDER = Path(__file__).parent / "approaches"
TRIALS = FOLDER / "trials.json"
CORE, OWN = FOLDER / "core.csv", FOLDER / "own.csv"
SECONDS = 20.0
Told = dict[str, Any]


def told(trial: Trial) -> Told:
    """Return what a page says of a trial, as plain data."""
    name, unit = objective_name(trial.problem)
    strips = ""
    plans = {"its own": trial.own, "best": trial.best.plan}
    if trial.variant == trial.best_variant:
        strips = as_text(
            lambda console: print_strips(console, trial.problem, {key: one for key, one in plans.items() if one})
        )
    return {
        "problem": mathematics(trial.problem),
        "objective": name,
        "unit": unit,
        "own": trial.evaluation.objective if trial.evaluation else None,
        "broken": [one.constraint for one in trial.evaluation.violations] if trial.evaluation else [],
        "refusal": trial.refusal,
        "variant": trial.variant,
        "best": trial.best.objective,
        "best_variant": trial.best_variant,
        "status": trial.best.status,
        "gap": trial.gap,
        "elsewhere": len(trial.elsewhere),
        "against": trial.against,
        "strips": strips,
    }


def page(one: Approach, trial: Told, own: dict[str, str] | None) -> str:
    """Return the page of an approach."""
    appeared = ", ".join(str(part) for part in (one.venue, one.year) if part)
    parts = [f"# {one.title}", f"{appeared}. {one.source} [{one.evidence}: {EVIDENCE[one.evidence]}].".lstrip(". ")]
    rows = [
        {
            "dimension": dimension.title,
            "value": value,
            "what it means": dimension.values[value],
        }
        for dimension in DIMENSIONS
        for value in one.values(dimension.name)
    ]
    parts.append(as_markdown(rows))
    parts.append(f"Communication: {one.communication}.")
    parts += [
        "## Its problem here",
        one.problem_here,
        "In the letters of [the model](../model.md), for the example below:",
    ]
    parts.append("```\n" + "\n".join(trial["problem"]) + "\n```")
    if one.missing:
        parts.append(f"Missing: {one.missing}")
    algorithm = f"Its algorithm here: {one.algorithm or 'none'}."
    parts.append(" ".join(filter(None, (algorithm, one.stands_for))))
    parts += ["## What is published, and what the model says"]
    if one.claims:
        claims = [{"published": claim.text, "evidence": claim.evidence, "here": claim.verdict} for claim in one.claims]
        parts.append(as_markdown(claims))
    else:
        parts.append("No figures are known.")
    if one.reading:
        parts.append(one.reading)
    parts += [f"## {one.example[0]} on {one.example[1]}", _outcome(one, trial)]
    if trial["strips"]:
        parts.append(f"```\n{trial['strips']}\n```")
    if own is not None:
        parts.append(_over_own(own))
    parts.append(
        f"`dnnopt approach {one.name} --figure both.png` runs this and draws both plans; a network and a platform "
        "after the name run others."
    )
    if one.instances:
        parts.append(f"In the library: {', '.join(f'`{name}`' for name in one.instances)}.")
    parts.append("[All approaches](../approaches.md)")
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _over_own(row: dict[str, str]) -> str:
    """Return how an approach does on its own problems for several networks and platforms."""
    count = int(row["problems"])
    text = f"[Over {counted(count, 'problem')} of its own](../approaches.md#on-their-own-problems), "
    text += f"{_share(row['optimum proved (%)'])} of which are proved: a plan that keeps all limits in "
    text += f"{_share(row['plan (%)'])}, the proved optimum in {_share(row['finds it (%)'])}"
    if row["mean gap (%)"]:
        text += f"; mean gap {_excess(row['mean gap (%)'])}, worst {_excess(row['worst gap (%)'])}"
    return f"{text}."


def _outcome(one: Approach, trial: Told) -> str:
    def shown(value: float | None) -> str:
        return "none" if value is None else format_quantity(value, trial["unit"], 6)

    rows = [
        {
            "plan": " ".join(filter(None, (one.algorithm or "no algorithm here", trial["variant"]))),
            trial["objective"]: shown(trial["own"]) if not trial["broken"] else f"breaks {trial['broken'][0]}",
            "above": "" if trial["gap"] is None else format_percent(trial["gap"]),
            "": trial["refusal"],
        },
        {
            "plan": " ".join(filter(None, ("best", trial["best_variant"]))),
            trial["objective"]: shown(trial["best"]),
            "above": "",
            "": STATUS[trial["status"]],
        },
    ]
    text = as_markdown(rows)
    if trial["against"]:
        ratios = (
            f"{format_number(ratio, 3)} times its {trial['objective']} on {name}"
            for name, ratio in trial["against"].items()
        )
        text += f"\nAll on one device: {', '.join(ratios)}.\n"
    return text


def pages(trials: dict[str, Told]) -> dict[str, str]:
    """Return the text of each page by its file's name."""
    own = {row["approach"]: row for row in _read(OWN)}
    return {f"{name}.md": page(one, trials[name], own.get(name)) for name, one in published().items()}


def counts() -> str:
    """Return how many approaches have each value of each dimension."""
    rows = [
        {
            "dimension": dimension.title,
            "values, with the number of approaches": ", ".join(
                f"{value} {count}"
                for value in dimension.values
                if (count := sum(value in one.values(dimension.name) for one in published().values()))
            ),
        }
        for dimension in DIMENSIONS
    ]
    return as_markdown(rows)


def evidence() -> str:
    """Return which approaches are known how well."""
    rows = []
    for tag, words in EVIDENCE.items():
        names = [one.title for one in published().values() if one.evidence == tag]
        if names:
            rows.append({"known from": words, "approaches": f"{len(names)}: {', '.join(names)}"})
    return as_markdown(rows)


def over_own() -> str:
    """Return each approach on its own problems."""
    return _linked(
        as_markdown(
            [
                {
                    "approach": row["approach"],
                    "problems": row["problems"],
                    "with a plan": _share(row["plan (%)"]),
                    "optimum proved": _share(row["optimum proved (%)"]),
                    "finds it": _share(row["finds it (%)"]),
                    "mean gap": _excess(row["mean gap (%)"]),
                    "worst gap": _excess(row["worst gap (%)"]),
                    "time": format_runtime(float(row["time (s)"])),
                }
                for row in _read(OWN)
            ]
        )
    )


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _share(text: str) -> str:
    return f"{float(text):.0f} %"


def over_core() -> tuple[str, str]:
    """Return the approaches over `core`: what they find, and their other metrics."""

    def number(text: str, digits: int = 3) -> str:
        return format_number(float(text), digits) if text else ""

    found, metrics = [], []
    for row in _read(CORE):
        found.append(
            {
                "approach": row["approach"],
                "problems": row["problems"],
                "with a plan": _share(row["plan (%)"]),
                "within 1 %": _share(row["within 1 % (%)"]),
                "median gap": _excess(row["median gap (%)"]),
                "worst gap": _excess(row["worst gap (%)"]),
                "time": format_runtime(float(row["time (s)"])),
                "regret": _excess(row["regret (%)"]),
            }
        )
        if row["median gap (%)"]:
            metrics.append(
                {
                    "approach": row["approach"],
                    "over local": number(row["over local"]),
                    "over remote": number(row["over remote"]),
                    "energy to local": number(row["energy to local"]),
                    "traffic": format_quantity(float(row["traffic (bytes)"]), "bytes", 3),
                    "memory": format_quantity(float(row["memory (bytes)"]), "bytes", 3),
                    "cost (USD)": number(row["cost (USD)"]),
                    "leakage": number(row["leakage"]),
                    "largest": f"{row['layers']} layers, {row['devices']} devices",
                }
            )
    return _linked(as_markdown(found)), as_markdown(metrics)


def _linked(table: str) -> str:
    """Return a table of docs/approaches.md whose first column links to the pages of approaches."""
    known = published()
    return re.sub(
        r"^\| ([\w-]+) \|",
        lambda name: f"| [{name[1]}](approaches/{name[1]}.md) |" if name[1] in known else name[0],
        table,
        flags=re.MULTILINE,
    )


def _excess(text: str) -> str:
    return format_excess(float(text) / 100) if text else ""


def tables() -> dict[Path, str]:
    """Return the pages that have tables between marks, with these tables."""
    found, metrics = over_core()
    wanted = {
        FOLDER.parent / "approaches.md": {
            "approaches": _linked(overview_of_approaches()),
            "claims": overview_of_claims(),
            "core": found,
            "metrics": metrics,
            "own": over_own(),
        },
        FOLDER.parent / "taxonomy.md": {"counts": counts(), "evidence": evidence()},
    }
    pages = {}
    for path, parts in wanted.items():
        text = path.read_text("utf-8")
        for mark, table in parts.items():
            begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
        pages[path] = text
    return pages


def read_trials() -> dict[str, Told]:
    """Return what the file of trials has."""
    found: dict[str, Told] = json.loads(TRIALS.read_text("utf-8")) if TRIALS.exists() else {}
    return found


def main(words: list[str]) -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    trials = read_trials()
    if words[:1] == ["--trials"]:
        for name in words[1:] or list(published()):
            trials[name] = told(try_approach(approach_named(name), time_limit=SECONDS))
            print(name, trials[name]["gap"], trials[name]["status"], flush=True)
            TRIALS.write_text(json.dumps(dict(sorted(trials.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
    for file, text in pages(trials).items():
        (FOLDER / file).write_text(text, "utf-8")
    for path, text in tables().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
