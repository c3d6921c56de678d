"""The table of what each formulation supports."""

from pathlib import Path

from dnnopt.studies.capabilities import capabilities, markdown, overview

DOCS = Path(__file__).parents[2] / "docs" / "formulations.md"


def test_table_in_the_docs_is_what_the_formulations_say():
    assert DOCS.read_text(encoding="utf-8").endswith("\n\n" + markdown())


def test_every_feature_but_calls_is_supported_by_a_milp_and_by_a_cp_formulation():
    for group, feature, supported in capabilities():
        kinds = {name.startswith("cp-") for name, able in supported.items() if able}
        assert kinds == ({False} if feature == "call" else {True, False}), (group, feature)


def test_no_timing_for_linear_metrics_supports_a_critical_path():
    table = {(group, feature): supported for group, feature, supported in capabilities()}
    assert table["latency under", "sequential"]["edgewise+sum"]
    assert not table["latency under", "parallel"]["edgewise+sum"]
    assert not table["objective", "period"]["edgewise+sum"]


def test_the_short_table_says_of_each_timing_what_the_whole_one_says():
    found = {timing: rest for timing, *rest in overview()}
    assert found["sum"] == ["product, edgewise, boundary, segments, treewise", "sequential, pipelined", "period"]
    assert found["disjunctive"] == ["product, edgewise, segments, treewise", "scheduled", "batch latency"]
    assert found["cp-schedule"] == ["(by itself)", "parallel, scheduled", "batch latency"]
