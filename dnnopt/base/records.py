"""Records: immutable, validated data whose errors name the field, the value and what was expected.

Every class that a file can describe (networks, platforms, problems, plans) is a record, so the Python constructors and
the files share one set of names, one set of checks and one JSON Schema.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted
from dnnopt.base.units import parse_value

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _Meta
else:
    _Meta = type(BaseModel)

# Of a quantity: products and quotients of several are then far from the ends of what a float can be.
_LEAST, _LARGEST = 1e-30, 1e30
_MOST_DETAILS = 100_000  # errors that are looked at: each takes about a kilobyte


class _RecordMeta(_Meta):
    """Gives constructors positional arguments, and turns their ValidationError into an InputError.

    What has but one value, such as the kind of a constraint, is no positional argument. Validation of nested data does
    not come through here, so the error keeps its full path.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        described: dict[str, FieldInfo] = vars(cls)["__pydantic_fields__"]
        fields = [name for name, field in described.items() if not _has_one_value(field)] if args else []
        if len(args) > len(fields):
            raise InputError("", problem=f"{cls.__name__} takes at most {counted(len(fields), 'argument')}")
        for name, value in zip(fields, args, strict=False):
            if name in kwargs:
                raise InputError("", field=name, problem=f"{cls.__name__} got two values")
            kwargs[name] = value
        try:
            return super().__call__(**kwargs)
        except ValidationError as error:
            raise input_error(error, kwargs, known=described) from None


def _has_one_value(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


class Record(BaseModel, metaclass=_RecordMeta):
    """Base of all records: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def from_data(cls, data: object, *, file: str = "") -> Any:
        """Validate plain data (as read from JSON).

        Parameters
        ----------
        data : object
            Dictionaries, lists, strings, numbers, booleans and None; a quantity may be a text, such as ``"20 Mbit/s"``.
        file : str
            Named in errors.

        Raises
        ------
        InputError
            With the path of the first bad field.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise input_error(error, data, file=file, known=cls.model_fields) from None

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self).__name__
        raise InputError("", field=name, problem=f"a {kind} cannot be changed; its 'replace' gives a changed copy")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    @checked
    def replace(self, **fields: Any) -> Self:
        """Return a copy with other values in some fields, all checked again."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**(own | fields))

    def to_data(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; fields that hold their default are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def field_path(location: Iterable[str | int]) -> str:
    """Join the parts of a field's place: ``("links", 0, "name")`` gives ``links[0].name``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


_KINDS = {"Dictionary": "an object (names to values)"}
_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda c: f"a number > {c['gt']:g}",
    "greater_than_equal": lambda c: f"a number >= {c['ge']:.12g}",
    "less_than": lambda c: f"a number < {c['lt']:g}",
    "less_than_equal": lambda c: f"a number <= {c['le']:.12g}",
    "finite_number": lambda c: "a finite number",
    "float_type": lambda c: "a number",
    "int_type": lambda c: "a whole number",
    "int_from_float": lambda c: "a whole number",
    "string_type": lambda c: "a text",
    "string_too_short": lambda c: "a text that is not empty",
    "string_unicode": lambda c: "a text in Unicode, without halves of surrogate pairs",
    "bool_type": lambda c: "true or false",
    "tuple_type": lambda c: "a list",
    "list_type": lambda c: "a list",
    "dict_type": lambda c: "an object (names to values)",
    "model_type": lambda c: "an object (names to values)",
    "model_attributes_type": lambda c: "an object (names to values)",
    "too_short": lambda c: f"{_KINDS.get(c['field_type'], 'a list')} of at least {c['min_length']}",
    "literal_error": lambda c: f"one of {c['expected']}",
    "union_tag_invalid": lambda c: f"one of {c['expected_tags']}",
}


def _without_tags(location: Iterable[str | int], data: Any) -> Iterator[str | int]:
    """Yield the parts of a field's place in `data`.

    Pydantic adds which one of several types a value has (the kind of a constraint, or a tag such as ``<number>``), and
    that a key is wrong.
    """
    tagged = False
    for part in location:
        if isinstance(part, str) and (part.startswith("<") or part == "[key]"):
            continue
        if not tagged and isinstance(data, Mapping) and part == data.get("constraint"):
            tagged = True  # what follows is a key, even if it has the same name
            continue
        tagged = False
        yield part
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None


def input_error(
    error: ValidationError, data: object, *, file: str = "", known: Mapping[str, FieldInfo] | None = None
) -> InputError:
    """Turn pydantic's error on `data` into one InputError: the first wrong field, and how many more there are.

    A key that is nearly one of those that are `known` comes first, as what is missing is then what it stands for.
    """
    if error.error_count() > _MOST_DETAILS:
        return InputError("", file=file, problem=f"{error.error_count():,} values are not what is expected")
    details = error.errors(include_url=False)
    # A list whose items are bad is reported as too short as well.
    details = [d for d in details if d["type"] != "too_short" or d["input"] == []] or details
    keys = [field.alias or name for name, field in (known or {}).items()]
    meant: dict[tuple[int | str, ...], list[str]] = {
        d["loc"]: get_close_matches(str(d["loc"][0]), keys, n=1)
        for d in details
        if d["type"] == "extra_forbidden" and len(d["loc"]) == 1
    }
    first = next((d for d in details if meant.get(d["loc"])), details[0])
    field = field_path(_without_tags(first["loc"], data))
    kind, context, value = first["type"], first.get("ctx", {}), first["input"]
    inner = context.get("error")
    if isinstance(inner, InputError):
        found = inner.within(file=file, field=field)
    elif kind == "missing":
        found = InputError("a value", field=field, file=file, problem="missing, and it has no default")
    elif kind == "union_tag_not_found":
        found = InputError("", field=field, file=file, problem=f"missing key {context['discriminator']}")
    elif kind == "extra_forbidden":
        found = InputError("", field=field, file=file, problem=_unknown(meant.get(first["loc"])))
    elif kind in _EXPECTED:
        found = InputError(_EXPECTED[kind](context), field=field, value=value, file=file)
    else:
        found = InputError("", field=field, file=file, problem=first["msg"])
    if len(details) > 1:
        found = InputError(
            "", field=found.field, file=found.file, problem=f"{found.problem} (and {len(details) - 1} more)"
        )
    return found


def _unknown(meant: list[str] | None) -> str:
    return f"unknown key; did you mean {meant[0]!r}?" if meant else "unknown key"


def _quantity(dimension: str, least: float) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is float and (value == 0 or least <= value <= _LARGEST):
            return value  # as nearly all are
        if hasattr(value, "item"):
            value = value.item()  # numpy scalars
        if isinstance(value, str):
            value = parse_value(value, dimension)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError("a number", value=value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InputError("a finite number", value=value)
        if number and not least <= abs(number) <= _LARGEST:
            raise InputError(f"0, or a number from {least:g} to {_LARGEST:g}", value=value)
        return number

    return read


class _Reader:
    """Reads a quantity, and tells its dimension in JSON Schemas (see `dnnopt.methods.schemas`)."""

    def __init__(self, dimension: str, least: float = _LEAST):
        self._dimension, self._read = dimension, _quantity(dimension, least)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "dimension": self._dimension}


Moment = Annotated[float, _Reader("time", 0.0), Field(ge=0)]  # seconds since the start
Seconds = Annotated[float, _Reader("time"), Field(ge=0)]
Bytes = Annotated[float, _Reader("bytes"), Field(ge=0)]
Flop = Annotated[float, _Reader("flop"), Field(ge=0)]
Joules = Annotated[float, _Reader("energy"), Field(ge=0)]
Dollars = Annotated[float, _Reader("money"), Field(ge=0)]
PerSecond = Annotated[float, _Reader("frequency"), Field(gt=0)]
Watts = Annotated[float, _Reader("power"), Field(ge=0)]
DollarsPerSecond = Annotated[float, _Reader("money per second"), Field(ge=0)]
DollarsPerByte = Annotated[float, _Reader("money per byte"), Field(ge=0)]
JoulesPerByte = Annotated[float, _Reader("energy per byte"), Field(ge=0)]
FlopPerSecond = Annotated[float, _Reader("flop rate"), Field(gt=0)]
BytesPerSecond = Annotated[float, _Reader("bandwidth"), Field(gt=0)]
Number = Annotated[float, _Reader("number"), Field(ge=0)]
Positive = Annotated[float, _Reader("number"), Field(gt=0)]
Probability = Annotated[float, _Reader("number"), Field(ge=0, le=1)]
Fraction = Annotated[float, _Reader("number"), Field(gt=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Flag = StrictBool


def check_unique(names: Iterable[Hashable], field: str, what: str) -> None:
    """Raise InputError if a name occurs twice; `field` is the list that holds the named things."""
    seen: dict[Hashable, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            raise InputError(
                f"a {what} name of its own ({field}[{seen[name]}] has this one)",
                field=f"{field}[{position}]",
                value=name,
            )
        seen[name] = position


def check_known(name: str | None, known: Iterable[str], field: str, what: str) -> None:
    """Raise InputError if `name` is given and not among `known`."""
    if name is not None and name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise InputError(
            f"the name of a {what}: {names if len(names) < 200 else names[:200] + ' ...'}", field=field, value=name
        )
