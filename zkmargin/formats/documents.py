"""Versioned documents: pydantic models with a ``format`` line, strict loading, canonical digests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from zkmargin.formats.arrays import IntArray
from zkmargin.formats.budget import budget, spend
from zkmargin.formats.canonical import canonical_bytes, indented, keccak256, parse_json
from zkmargin.formats.errors import InputError
from zkmargin.formats.files import MAX_DOCUMENT_BYTES, read_text, write_atomic
from zkmargin.formats.lines import existing_path, field_name, line_at
from zkmargin.formats.mappings import MAX_ITEMS

#: Of the mistakes in a document, so many are listed for who asks.
MAX_SHOWN_ERRORS = 50

#: Values that are their own canonical JSON.
_PLAIN = frozenset({str, int, bool, type(None)})

T = TypeVar("T")


@dataclass(frozen=True)
class Bounded:
    """Gives a sequence a largest length where its field sets none."""

    items: int = MAX_ITEMS

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        schema: Any = handler(source)
        if schema["type"] == "tuple":
            schema.setdefault("max_length", self.items)
        return schema


#: A JSON list read into an immutable tuple (everything else is strict: no coercion of any kind). It is read up to its
#: first error: millions of errors would take gigabytes.
Seq = Annotated[tuple[T, ...], Strict(False), Field(fail_fast=True), Bounded()]


@dataclass(frozen=True)
class Since:
    """Marks a field that came with a later version of its document: ``Annotated[Digest | None, Since(2)] = None``.

    Older versions leave it out of their files and canonical bytes, and a file of an older version that has it is
    refused (docs/decisions/0005-one-round-of-formats.md).

    Example:
        >>> from typing import ClassVar
        >>> class Memo(Document):
        ...     FORMAT: ClassVar[str] = "example/memo/v2"
        ...     READS: ClassVar[tuple[str, ...]] = ("example/memo/v1",)
        ...     text: str
        ...     author: Annotated[str, Since(2)] = ""
        >>> Memo.parse('{"format": "example/memo/v1", "text": "hello"}').format_version
        1
    """

    version: int


class Model(BaseModel):
    """Base of every model at a boundary: strict types, no unknown keys, immutable.

    Example:
        >>> class Pair(Model):
        ...     name: str
        ...     lots: int
        >>> pair = Pair(name="a", lots=1)
        >>> pair.replaced(lots=2)
        Pair(name='a', lots=2)
        >>> Pair(name="a", lots="1")
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: lots: input should be a valid integer
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        ser_json_bytes="hex",
        hide_input_in_errors=True,  # pydantic's own messages must not repeat secrets either
    )

    def __init__(self, /, **fields: Any) -> None:
        """Of its fields, by name.

        Raises:
            InputError: a field is missing, unknown, or not what it must be; they do not fit each other.
        """
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise input_error(error, file=None) from None

    # pydantic's validator of a model inside another goes on without this method, as it does for its own
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """One of its fields as a mapping gives them; ``options`` are pydantic's.

        Raises:
            InputError: as the constructor does.
        """
        return cls._validated(obj, **options)

    @classmethod
    def _validated(cls, obj: Any, *, text: str | bytes = "", **options: Any) -> Self:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise input_error(error, file=None, text=text) from None

    def replaced(self, **changes: Any) -> Self:
        """The same with other values in some fields, validated like any other."""
        return self.model_copy(update=changes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; with fields replaced it is validated like any other, and carries no cache of the old content.

        Raises:
            InputError: fields that do not fit each other or do not exist.
        """
        if not update:
            return super().model_copy(deep=deep)
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        if deep:
            fields = deepcopy(fields)
        return self.model_validate({**fields, **update})

    @model_validator(mode="before")
    @classmethod
    def _count_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > len(cls.__pydantic_fields__):
            spend("mistakes", len(data) - len(cls.__pydantic_fields__))
        return data


class Document(Model):
    """Base of every file format. Subclasses set ``FORMAT`` and, for secret content, ``SECRET``.

    A document's digest is keccak-256 over its canonical bytes: sorted keys, no white space, arrays by
    their checksum. The promise per format version stands in docs/formats.md. One class reads every version: ``FORMAT``
    is the one that is written, ``READS`` are the others, and ``format`` says which one an object is of.

    Example:
        >>> from typing import ClassVar
        >>> class Note(Document):
        ...     FORMAT: ClassVar[str] = "example/note/v1"
        ...     text: str
        >>> print(Note(text="hello").to_bytes().decode(), end="")
        {
         "format": "example/note/v1",
         "text": "hello"
        }
        >>> Note.parse('{"format": "example/note/v1", "text": 5}')
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: line:1: text: input should be a valid string
    """

    FORMAT: ClassVar[str]
    READS: ClassVar[tuple[str, ...]] = ()
    SECRET: ClassVar[bool] = False

    format: str = Field(default="", description="name and version of the format")

    @model_validator(mode="before")
    @classmethod
    def _check_format(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("a document is a JSON object")  # noqa: TRY004 - pydantic reports ValueErrors
        data = dict(data)
        given = data.setdefault("format", cls.default_format(data))
        if given != cls.FORMAT and given not in cls.READS:
            raise ValueError(_format_mismatch(given, cls.FORMAT))
        return data

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:  # noqa: ARG003 - subclasses look at it
        """The format of content without a format line: of what is made here, and of documents inside documents."""
        return cls.FORMAT

    @model_validator(mode="after")
    def _refuse_later_fields(self) -> Self:
        if self.format_version < max(map(_version, (self.FORMAT, *self.READS))):
            for path in _later(self, self.format_version):
                raise InputError(f"unknown key in version {self.format_version}", field=path)
        return self

    @property
    def format_version(self) -> int:
        """The number of the version that this object is of."""
        return _version(self.format)

    def canonical(self) -> bytes:
        """The bytes that the digest is taken over."""
        return canonical_bytes(without_data(self, self.format_version))

    @cached_property
    def cached_digest(self) -> bytes:
        """``digest()``, computed once: a document is immutable."""
        return keccak256(self.canonical())

    def digest(self) -> bytes:
        """keccak-256 of the canonical bytes; 32 bytes."""
        return self.cached_digest

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied between processes as its bytes, which are read as strictly there as from a file."""
        return type(self).parse, (self.to_bytes(),)

    def check_loaded(self) -> None:
        """What ``load_document`` asks of a file besides its structure: nothing, unless a format says so.

        Raises:
            InputError: it contradicts itself.
        """

    def to_bytes(self) -> bytes:
        """The file's bytes: readable JSON, one trailing newline."""
        return (indented(self.to_json()) + "\n").encode()

    def to_json(self) -> Any:
        """The file's JSON value."""
        return json_in_version(self, self.format_version)

    @classmethod
    def parse(cls, text: str | bytes, *, file: str | None = None) -> Self:
        """Read a document from text.

        Raises:
            InputError: names the file, the line where it is known, the field and the reason.
        """
        with budget():
            return cls.from_json(parse_json(text, file=file), file=file, text=text)

    @classmethod
    def from_json(cls, data: Any, *, file: str | None = None, text: str | bytes = "") -> Self:
        """Read a document from a JSON value that ``parse_json`` gave, as one inside another; ``text`` is for lines.

        Raises:
            InputError: as ``parse`` does.
        """
        if isinstance(data, dict) and "format" not in data:
            raise InputError(f'no "format" line: expected "{cls.FORMAT}"', file=file, field="format")
        try:
            return cls._validated(data, text=text)
        except InputError as error:
            raise error.located(file=file) from None


def _format_mismatch(given: object, expected: str) -> str:
    if isinstance(given, str) and given.rsplit("/", 1)[0] == expected.rsplit("/", 1)[0]:
        return f'format "{given[:80]}" is another version: this program reads "{expected}"'
    shown = f'"{given[:80]}"' if isinstance(given, str) else "not a string"
    return f'format is {shown}: expected "{expected}"'


def json_in_version(model: BaseModel, version: int) -> Any:
    """A model's JSON value inside a document of a version.

    Example:
        >>> json_in_version(book, 1).keys()
        dict_keys(['format', 'positions', 'collateral'])
    """
    return _without_later(model, model.model_dump(mode="json"), version)


@lru_cache(maxsize=256)
def _version(form: str) -> int:
    return int(form.rpartition("/v")[2])


def _without_later(model: Any, value: Any, version: int) -> Any:
    """``value``, the JSON of ``model``, without the fields that came after a version."""
    if type(model) in _PLAIN:
        return value
    if isinstance(model, BaseModel):
        nested, given = model.format_version if isinstance(model, Document) else version, vars(model)
        return {
            name: value[name] if type(item := given[name]) in _PLAIN else _without_later(item, value[name], nested)
            for name in _fields(type(model), nested)
        }
    if isinstance(model, Mapping):
        return {key: _without_later(item, value[key], version) for key, item in model.items()}
    if isinstance(model, (list, tuple)):
        return [_without_later(item, one, version) for item, one in zip(model, value, strict=True)]
    return value


@lru_cache(maxsize=4096)
def _since(kind: type[BaseModel], name: str) -> int:
    """The version that a field came with."""
    return next((mark.version for mark in kind.model_fields[name].metadata if isinstance(mark, Since)), 1)


def _later(value: Any, version: int, path: str = "") -> Iterator[str]:
    """Fields inside a value that were given though they came after a version."""
    if isinstance(value, BaseModel):
        if path and isinstance(value, Document):
            return  # checked on its own
        now = _fields(type(value), version)
        for name, item in vars(value).items():
            if name not in now and name in value.model_fields_set:
                yield f"{path}.{name}".lstrip(".")
            if type(item) not in _PLAIN and name in type(value).model_fields:
                yield from _later(item, version, f"{path}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _later(item, version, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _later(item, version, f"{path}[{i}]")


def without_data(value: Any, version: int) -> Any:
    """The canonical JSON value of a model in a version: arrays are replaced by shape and checksum.

    Example:
        >>> without_data(book, 1).keys()
        dict_keys(['format', 'positions', 'collateral'])
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, BaseModel):
        version = value.format_version if isinstance(value, Document) else version
        given = vars(value)  # not getattr a field: thousands of slots are hashed for every snapshot
        fields = {name: given[name] for name in _fields(type(value), version)}
        if _PLAIN.issuperset(map(type, fields.values())):
            return fields
        return {name: without_data(item, version) for name, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [without_data(item, version) for item in value]
    if isinstance(value, IntArray):
        return value.canonical()
    if isinstance(value, Mapping):
        return {key: without_data(item, version) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return value


@lru_cache(maxsize=4096)
def _fields(kind: type[BaseModel], version: int) -> tuple[str, ...]:
    """The fields that a model has in a version of its document."""
    return tuple(name for name in kind.model_fields if _since(kind, name) <= version)


def input_error(error: ValidationError, *, file: str | None, text: str | bytes = "") -> InputError:
    """One clear line from a pydantic error. Values are never repeated: they may be secret.

    ``text`` is the JSON text that was validated, for the line.
    """
    all_errors = error.errors(include_url=False, include_input=False, include_context=False)
    first = all_errors[0]
    line, hint = None, None
    if text:
        value = json.loads(text)
        path = existing_path(value, first["loc"])
        line = line_at(text if isinstance(text, str) else text.decode(), path)
        if first["type"] == "string_type" and _is_number(value, path):
            hint = 'decimal text belongs here: put the number in quotes, as "-12.5"'
    more = error.error_count() - 1
    reason = _reason(first) + (f" (and {more} more)" if more else "")
    found = InputError(reason, file=file, field=field_name(first["loc"]), line=line, hint=hint)
    shown = all_errors[:MAX_SHOWN_ERRORS]
    found.facts = {"errors": [{"field": field_name(one["loc"]), "reason": _reason(one)} for one in shown]}
    return found


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    reason = error["msg"].removeprefix("Value error, ")
    return reason[:1].lower() + reason[1:]


def _is_number(value: Any, path: Sequence[str | int]) -> bool:
    for step in path:
        value = value[step]
    return isinstance(value, int | float) and not isinstance(value, bool)


D = TypeVar("D", bound=Document)


def load_document(kind: type[D], path: str | Path, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> D:
    """Read and validate a document file (``-`` for standard input). Raises InputError.

    Example:
        >>> from zkmargin import Book
        >>> save_document(book, "my-document.json")
        >>> load_document(Book, "my-document.json") == book
        True
        >>> load_document(Book, "my-documents.json")
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: my-documents.json: cannot be read: no such file or directory
    """
    with budget():
        document = kind.parse(read_text(path, max_bytes=max_bytes), file=str(path))
        try:
            document.check_loaded()
        except InputError as error:
            raise error.located(file=str(path)) from None
    return document


def save_document(document: Document, path: str | Path) -> None:
    """Write a document all or nothing; secret formats get mode 0600. Raises InputError.

    Example:
        >>> save_document(book, "my-document.json")
    """
    write_atomic(path, document.to_bytes(), secret=document.SECRET)
