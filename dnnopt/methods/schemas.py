"""JSON Schemas of the files that are read and written, and their keys as tables: both from the records themselves.

A schema says what each key may hold. What one key means for another (routes name devices that exist) is for the reader.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from dnnopt.base.errors import InputError
from dnnopt.base.files import VERSION
from dnnopt.base.records import Record
from dnnopt.base.units import example, si_unit
from dnnopt.methods.result import Event, Result
from dnnopt.problem.entries import LibraryNetwork, LibraryPlatform, OnnxNetwork
from dnnopt.problem.manifest import Manifest
from dnnopt.problem.networks import Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.variants import Variants
from dnnopt.referee import Transmission, Violation

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_RECORDS: dict[str, type[Record]] = {
    "problem": Problem,
    "platform": Platform,
    "network": Network,
    "profile": Profile,
    "plan": Plan,
    "variants": Variants,
    "manifest": Manifest,
}
KINDS = (*_RECORDS, "result")
_PARTS = {"problem": ("platform", "network", "profile"), "variants": ("problem",)}
_WITHOUT_HEADER = ("plan",)
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
_NUMBER = r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_ZERO = r"(0+\.?0*|\.0+)([eE][-+]?\d+)?"
_QUANTITY = rf"^\s*[-+]?{_NUMBER}\s*[A-Za-z1µμ$%/]*\s*$"
_WITH_UNIT = rf"^\s*[-+]?({_NUMBER}\s*[A-Za-z1µμ$/]+|{_ZERO})\s*$"
_TEXT: dict[str, Any] = {"type": "string"}
_FLOAT: dict[str, Any] = {"type": "number"}
_NULL: dict[str, Any] = {"type": "null"}


class _Untitled(GenerateJsonSchema):
    """Gives keys no titles, which would be their names again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file.

    Parameters
    ----------
    kind : {"problem", "platform", "network", "profile", "plan", "variants", "manifest", "result"}

    Raises
    ------
    InputError
        For another kind.
    """
    if kind not in KINDS:
        raise InputError(f"one of {', '.join(KINDS)}", value=kind)
    found = _result() if kind == "result" else _of_record(_RECORDS[kind])
    if kind == "problem":
        _allow_names(found, found["$defs"])
    if kind == "variants":
        _allow_names(found["$defs"]["Problem"], found["$defs"])
        _allow_problem_files(found)
    if kind in _WITHOUT_HEADER:
        found["additionalProperties"] = True  # a result is a plan file as well
    else:
        found["properties"] = _header(kind) | found["properties"]
        found["required"] = ["format", "version", *found.get("required", [])]
    return {"$schema": DIALECT, "title": f"dnnopt {kind}", **found}


def _of_record(record: type[Record]) -> dict[str, Any]:
    raw = record.model_json_schema(by_alias=True, schema_generator=_Untitled)
    found: dict[str, Any] = _tidy(raw)
    classes = {record.__name__: record} | _classes(record)
    for name, definition in [(record.__name__, found), *found.get("$defs", {}).items()]:
        _describe(definition, classes[name])
    for definition in found.get("$defs", {}).values():
        if "constraint" in definition["properties"]:  # tells the kinds apart
            definition["required"] = ["constraint", *definition.get("required", [])]
    return found


def _tidy(node: Any) -> Any:
    """Return a schema in JSON Schema's own words; quantities say their unit, and take texts with one as well."""
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {_BOUNDS.get(key, key): _tidy(value) for key, value in node.items() if key != "discriminator"}
    least = {"array": "minItems", "object": "minProperties"}.get(str(found.get("type")))
    if least and "minLength" in found:
        found[least] = found.pop("minLength")
    dimension = found.pop("dimension", None) if isinstance(found.get("dimension"), str) else None
    if dimension is None:
        return found
    kept = {key: found.pop(key) for key in ("default", "description") if key in found}
    unit = si_unit(dimension)
    number = found | ({"$comment": unit} if unit else {})
    text = {
        "type": "string",
        "pattern": _WITH_UNIT if unit else _QUANTITY,
        "$comment": f"such as {example(dimension)!r}",
    }
    return kept | {"anyOf": [number, text]}


def _classes(record: type[Record]) -> dict[str, type]:
    """Return all records that a record's fields can hold, by name."""
    found: dict[str, type] = {}

    def visit(annotation: Any) -> None:
        if inspect.isclass(annotation) and issubclass(annotation, Record) and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for part in getattr(annotation, "__args__", ()):
            visit(part)

    visit(record)
    return found


def _describe(definition: dict[str, Any], of: type) -> None:
    """Take the descriptions from the docstring: its first line, and what it says of each attribute."""
    text = inspect.cleandoc(of.__doc__ or "")
    definition["description"] = text.partition("\n")[0]
    for names, meaning in _attributes(text):
        for name in names:
            if name in definition["properties"]:
                definition["properties"][name] = {**definition["properties"][name], "description": meaning}


def _attributes(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield what a docstring says of attributes (or parameters): their names, and the meaning."""
    section = re.search(r"^(?:Attributes|Parameters)\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    for entry in re.finditer(
        r"^(\w[\w, ]*?) : [^\n]*\n?((?:[ ]+[^\n]*\n?|\n)*)", section[1] if section else "", re.MULTILINE
    ):
        meaning = " ".join(entry[2].split())
        if meaning:
            yield [name.strip() for name in entry[1].split(",")], meaning


def _allow_names(problem: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Let a problem name networks and platforms of the library in place of their data."""
    network = definitions["Network"]["properties"]
    named = {**_TEXT, "description": "The name of a network in the library."}
    one = [{"$ref": "#/$defs/Network"}]
    for entry in (LibraryNetwork, OnnxNetwork):
        definition = _of_record(entry)
        definitions |= definition.pop("$defs")
        for key in definition["properties"]:
            if key in network and key not in ("layers", "tensors"):
                definition["properties"][key] = network[key]
        definitions[entry.__name__] = definition
        one.append({"$ref": f"#/$defs/{entry.__name__}"})
    one.append(named)
    properties = problem["properties"]
    properties["networks"] = {
        "description": "Networks, in full, by name, or of ONNX files.",
        "anyOf": [{"type": "array", "items": {"anyOf": one}, "minItems": 1}, named],
    }
    definitions["LibraryPlatform"] = _of_record(LibraryPlatform)
    properties["platform"] = {
        "description": "A platform, in full or by name.",
        "anyOf": [
            {"$ref": "#/$defs/Platform"},
            {"$ref": "#/$defs/LibraryPlatform"},
            {**_TEXT, "description": "The name of a platform in the library."},
        ],
    }


def _allow_problem_files(variants: dict[str, Any]) -> None:
    """Let variants be names of problems or files, and their data have the header of a file."""
    variants["properties"]["problems"]["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/Problem"}, _TEXT]}
    problem = variants["$defs"]["Problem"]
    header = _header("problem")
    problem["properties"] = header | problem["properties"]
    problem["dependentRequired"] = {key: ["format", "version"] for key in header}


def _header(kind: str) -> dict[str, Any]:
    """Return the keys that say what a file is."""
    editors = {**_TEXT, "description": "Where editors find the schema; it is not read."}
    return {"$schema": editors, "format": {"const": f"dnnopt-{kind}"}, "version": {"const": VERSION}}


def _result() -> dict[str, Any]:
    """Return the schema of a result: what `Result.to_data` writes, the plan among it."""
    plan = _of_record(Plan)
    definitions: dict[str, Any] = dict(plan["$defs"])
    for of in (Violation, Transmission, Event):
        definition = TypeAdapter(of).json_schema(schema_generator=_Untitled)
        definitions[of.__name__] = definition | {"additionalProperties": False}
        _describe(definitions[of.__name__], of)
    definitions["Violation"]["properties"]["amount"]["type"] = ["number", "null"]
    definitions["Baseline"] = {
        "type": "object",
        "description": "What the referee says of a plan made by hand.",
        "properties": {"name": _TEXT, "objective": _either(_FLOAT), "violations": {"type": "integer", "minimum": 0}},
        "required": ["name", "objective", "violations"],
        "additionalProperties": False,
    }
    texts = ("problem", "date", "status", "method", "found_by", "bound_by", "confirmed_by", "message")
    properties: dict[str, Any] = dict.fromkeys(texts, _TEXT)
    properties |= {
        "checksum": {**_either(_TEXT), "description": "SHA-256 of the problem; null where no file can hold it."},
        "bound": {**_either(_FLOAT), "description": "What no plan is better than, in the first priority."},
        "objective": {**_either(_FLOAT), "description": "The plan's, in the first priority, by the referee."},
        "objectives": {**_list(_FLOAT), "description": "The plan's, by the referee: one for each priority."},
        "bounds": _list(_either(_FLOAT)),
        "formulation": _either(_TEXT),
        "solver": _either(_TEXT),
        "gap": {**_either(_FLOAT), "description": "(objective - bound) / |objective|."},
        "runtime": {**_FLOAT, "minimum": 0},
        "confirming": {**_FLOAT, "minimum": 0},
        "contradictions": _list(_TEXT),
        "seed": {"type": "integer"},
        "metrics": {**_named(_either(_FLOAT)), "description": "The plan's metrics by name."},
        "violations": {**_list({"$ref": "#/$defs/Violation"}), "description": "Limits that the plan breaks."},
        "transmissions": {**_list({"$ref": "#/$defs/Transmission"}), "description": "What is sent, and how."},
        "placement": {**_either(plan["properties"]["placement"]), "description": "As in a plan; null: there is none."},
        **{key: plan["properties"][key] for key in ("forms", "blocks", "schedule")},
        "baselines": _list({"$ref": "#/$defs/Baseline"}),
        "trace": {**_list({"$ref": "#/$defs/Event"}), "description": "When better plans and bounds were found."},
        "versions": {**_named(_TEXT), "description": "Of dnnopt and what it uses."},
    }  # fmt: skip
    found: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if key not in ("forms", "blocks", "schedule")],
        "additionalProperties": False,
        "$defs": definitions,
    }
    own = {key: value["description"] for key, value in properties.items() if "description" in value}
    _describe(found, Result)
    for key, meaning in own.items():
        found["properties"][key]["description"] = meaning
    return found


def _either(node: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{key: value for key, value in node.items() if key != "description"}, _NULL]}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


# As tables


def keys(kind: str) -> str:
    """Return the keys of a kind of file, and of the objects in it, as Markdown.

    Objects that are files of their own as well, such as the networks of a problem, are left to those.
    """
    found = schema(kind)
    elsewhere: set[str] = set()
    for other in _PARTS.get(kind, ()):
        elsewhere |= {_RECORDS[other].__name__, *schema(other)["$defs"]}
    sections = [_table(found)]
    for name, definition in found.get("$defs", {}).items():
        if name not in elsewhere:
            sections.append(f"#### {name}\n\n{definition['description']}\n\n{_table(definition)}")
    return "\n".join(sections)


def _table(definition: Mapping[str, Any]) -> str:
    required = definition.get("required", [])
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, node in definition["properties"].items():
        default = node.get("default")
        shown = "" if default in (None, "") else f"`{json.dumps(default)}`"
        meaning = re.sub(r"\bNone\b", "null", node.get("description", "")).replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{key}` | {_words(node)} | {'*needed*' if key in required else shown} | {meaning} |")
    return "\n".join(lines) + "\n"


def _words(node: Mapping[str, Any]) -> str:
    """Say what a value may be."""
    if "$ref" in node:
        return node["$ref"].rpartition("/")[2]
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{json.dumps(value)}`" for value in node["enum"])
    if "anyOf" in node or "oneOf" in node:
        options = list(dict.fromkeys(_words(part) for part in node.get("anyOf", node.get("oneOf", ()))))
        return ", or ".join(options)
    kind = node.get("type")
    if isinstance(kind, list):
        return ", or ".join(_words({**node, "type": one}) for one in kind)
    if kind == "null":
        return kind
    if kind == "array":
        if "prefixItems" in node:
            return f"[{', '.join(map(_words, node['prefixItems']))}]"
        items = _words(node["items"])
        return f"list of: ({items})" if ", or " in items else f"list of: {items}"
    if kind == "object":
        values = node["additionalProperties"]
        return f"object, names to: {'any values' if values is True else _words(values)}"
    if kind == "string":
        return f"text {node['$comment']}" if "$comment" in node else "text"
    if kind == "boolean":
        return "true or false"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<="}
    bounds = " and ".join(f"{sign} {node[bound]:.12g}" for bound, sign in signs.items() if bound in node)
    word = "whole number" if kind == "integer" else "number"
    return " ".join(filter(None, [word, bounds, f"({node['$comment']})" if "$comment" in node else ""]))
