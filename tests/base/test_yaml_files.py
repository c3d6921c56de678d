"""YAML as programs write it: what it means, and that the rest is refused and never misread."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.base.errors import InputError
from dnnopt.base.yaml_files import read_yaml


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        (tmp_path / "data.yml").write_text(text, encoding="utf-8")
        return read_yaml(tmp_path / "data.yml")

    return read_text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("a: 1\nb: 2.5\nc: 1e-3\nd: -7\n", {"a": 1, "b": 2.5, "c": 0.001, "d": -7}),
        ("a: true\nb: null\nc: ~\nd:\ne: False", {"a": True, "b": None, "c": None, "d": None, "e": False}),
        ("---\na: x y # why\n# not this\n\nb: 'it''s'\n", {"a": "x y", "b": "it's"}),
        ('a: "1"\nb: "x # \\"y\\""', {"a": "1", "b": 'x # "y"'}),
        ("a/b-c.d: x:y\n'e: f': 1", {"a/b-c.d": "x:y", "e: f": 1}),
        ("a:\n- 1\n- 2\nb:\n  - 3\n", {"a": [1, 2], "b": [3]}),
        ("a: [1, 2,\n  3, [x, 'y'], ]\nb: {c: 1,\n d: [e]}", {"a": [1, 2, 3, ["x", "y"]], "b": {"c": 1, "d": ["e"]}}),
        ("a:\n  - b: 1\n    c: 2\n  - b: 3\n", {"a": [{"b": 1, "c": 2}, {"b": 3}]}),
        ("- - 1\n  - 2\n-\n  a: 1\n- []\n", [[1, 2], {"a": 1}, []]),
        ("a:\n  b:\n    c: 1\n  d: 2\ne: 3", {"a": {"b": {"c": 1}, "d": 2}, "e": 3}),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_programs_yaml_is_read(read, text, data):
    assert read(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x",
        "a: !!int 3",
        "a: |\n  text",
        "a: >\n  text",
        "? a",
        "a\nb",
        "a: 1\n  b: 2",
        "a: 1\nb",
        "a: b: c",
        "a: 1\na: 2",
        "a: {b: 1, b: 2}",
        "a: [1, 2",
        "a: [1, 2]]",
        "a: [1 2: 3",
        "a: 'x",
        'a: "x" y',
        "\ta: 1",
        "a:\n - 1\n  - 2",
        "a: " + "9" * 5000,
    ],
)
def test_anything_else_is_refused_with_its_line(read, text):
    with pytest.raises(InputError, match=r"data\.yml: line \d+: got .*, expected "):
        read(text)


def test_deep_nesting_is_refused(read):
    with pytest.raises(InputError, match="nested too deeply"):
        read("a: " + "[" * 100_000 + "]" * 100_000)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=6)
nested = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def block(data, indent=0):
    """Write data as nested blocks, with JSON for scalars and keys."""
    space = " " * indent
    if isinstance(data, dict) and data:
        return "".join(f"{space}{json.dumps(k)}:{_below(v, indent)}" for k, v in data.items())
    if isinstance(data, list) and data:
        return "".join(f"{space}-{_below(v, indent)}" for v in data)
    return f"{space}{json.dumps(data)}\n"


def _below(data, indent):
    return "\n" + block(data, indent + 2) if isinstance(data, dict | list) and data else f" {json.dumps(data)}\n"


@given(nested)
def test_flow_and_blocks_mean_the_same(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("yaml") / "data.yaml"
    for text in (json.dumps(data), block(data)):
        path.write_text(text)
        assert read_yaml(path) == data
