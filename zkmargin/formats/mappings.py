"""Mappings inside documents: immutable, so that a digest taken once stays that of the content."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from zkmargin.formats.budget import spend

#: Twice the instruments of the largest market.
MAX_ITEMS = 1 << 17

K = TypeVar("K")
V = TypeVar("V")


class FrozenMap(Mapping[K, V]):
    """A mapping that nobody can change: a copy of what it is made of. Equal to a dict of the same items, and hashable
    if its values are.

    Example:
        >>> FrozenMap({"a": 1})["a"]
        1
        >>> FrozenMap({"a": 1}) == {"a": 1}
        True
    """

    __slots__ = ("_items",)
    _items: Mapping[K, V]

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        object.__setattr__(self, "_items", types.MappingProxyType(dict(items or {})))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(dict(self._items))

    def __reduce__(self) -> tuple[object, ...]:
        """Copied between processes as its items."""
        return type(self), (dict(self._items),)

    def __copy__(self) -> FrozenMap[K, V]:
        return self

    def __deepcopy__(self, memo: object) -> FrozenMap[K, V]:
        return self


@dataclass(frozen=True)
class _Frozen:
    """Reads what ``dict[K, V]`` reads into a ``FrozenMap``, and writes it the same way; of the same JSON schema."""

    min_length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        keys, values = (handler.generate_schema(argument) for argument in get_args(source))
        keys, values = (core_schema.no_info_wrap_validator_function(_counted, schema) for schema in (keys, values))
        plain = core_schema.dict_schema(keys, values, min_length=self.min_length)
        return core_schema.no_info_after_validator_function(
            FrozenMap,
            core_schema.no_info_before_validator_function(_thawed, plain),
            serialization=core_schema.wrap_serializer_function_ser_schema(_serialized, schema=plain),
        )


def _thawed(value: object) -> object:
    if isinstance(value, Mapping) and len(value) > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} keys")
    return dict(value) if isinstance(value, FrozenMap) else value


def _counted(value: object, handler: core_schema.ValidatorFunctionWrapHandler) -> object:
    """A mapping is validated to its end, whatever is wrong before: so what is wrong is counted."""
    try:
        return handler(value)
    except ValidationError:
        spend("mistakes", 1)
        raise


def _serialized(value: Mapping[Any, Any], handler: core_schema.SerializerFunctionWrapHandler) -> Any:
    return handler(dict(value))


#: A JSON object read into a ``FrozenMap``: the type of every mapping in a document. ``FullMap`` has one item at least.
Map = Annotated[Mapping[K, V], _Frozen()]
FullMap = Annotated[Mapping[K, V], _Frozen(min_length=1)]
