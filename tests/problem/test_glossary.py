"""The words of reports: the page has what the command prints, and reports use these words."""

from pathlib import Path

from commands import dnnopt

from dnnopt.problem.glossary import WORDS, words_markdown

PAGE = Path(__file__).parents[2] / "docs" / "model.md"


def test_the_page_ends_with_the_words_that_the_command_prints():
    assert PAGE.read_text(encoding="utf-8").endswith("\n\n" + words_markdown())
    lines = dnnopt("list", "words").stdout.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == list(WORDS)


def test_words_of_reports_are_explained():
    said = dnnopt("compare", "small/002", "--method", "single-cut", "-t", "20").stdout.lower()
    for word in ("bound", "gap", "layers elsewhere", "optimal", "feasible", "period"):
        assert word in said
        assert word in WORDS
