"""Dictionaries that cannot be changed, as fields of records are, and classes whose fields cannot be set."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator

from dnnopt.base.errors import InputError

K = TypeVar("K")
V = TypeVar("V")
Kind = TypeVar("Kind", bound=type)


class FrozenDict(dict[K, V]):
    """A dictionary without ways to change it; hashable, where its values are."""

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise InputError("", problem="what a record holds cannot be changed; its 'replace' gives a changed copy")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


Frozen = Annotated[dict[K, V], AfterValidator(FrozenDict)]


def unchangeable(kind: Kind) -> Kind:
    """Give a frozen dataclass an InputError that says what to do where a field is set or deleted."""

    def refuse(self: Any, name: str, *value: Any) -> NoReturn:
        words = f"a {type(self).__name__} cannot be changed; dataclasses.replace gives a changed copy"
        raise InputError("", field=name, problem=words)

    kind.__setattr__ = kind.__delattr__ = refuse  # type: ignore[method-assign, assignment]
    return kind
