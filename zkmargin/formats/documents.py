"""Versioned documents: pydantic models with a ``format`` line, strict loading, canonical digests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from zkmargin.formats.arrays import IntArray
from zkmargin.formats.canonical import canonical_bytes, keccak256, parse_json
from zkmargin.formats.errors import InputError
from zkmargin.formats.files import MAX_DOCUMENT_BYTES, read_text, write_atomic
from zkmargin.formats.lines import existing_path, line_at

#: pydantic lists all errors at once, half a kilobyte each: beyond this it is not asked to.
MAX_LISTED_ERRORS = 10_000

T = TypeVar("T")

#: A JSON list read into an immutable tuple (everything else is strict: no coercion of any kind). It is read up to its
#: first error: millions of errors would take gigabytes.
Seq = Annotated[tuple[T, ...], Strict(False), Field(fail_fast=True)]


class Model(BaseModel):
    """Base of every model at a boundary: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        ser_json_bytes="hex",
        hide_input_in_errors=True,  # pydantic's own messages must not repeat secrets either
    )


class Document(Model):
    """Base of every file format. Subclasses set ``FORMAT`` and, for secret content, ``SECRET``.

    A document's digest is keccak-256 over its canonical bytes: sorted keys, no white space, arrays by
    their checksum. The promise per format version stands in docs/formats.md.
    """

    FORMAT: ClassVar[str]
    SECRET: ClassVar[bool] = False

    format: str = Field(default="", description="name and version of the format")

    @model_validator(mode="before")
    @classmethod
    def _check_format(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("a document is a JSON object")  # noqa: TRY004 - pydantic reports ValueErrors
        data = dict(data)
        given = data.setdefault("format", cls.FORMAT)
        if given != cls.FORMAT:
            raise ValueError(_format_mismatch(given, cls.FORMAT))
        return data

    def canonical(self) -> bytes:
        """The bytes that the digest is taken over."""
        return canonical_bytes(_without_data(self))

    @cached_property
    def cached_digest(self) -> bytes:
        """``digest()``, computed once: a document is immutable."""
        return keccak256(self.canonical())

    def digest(self) -> bytes:
        """keccak-256 of the canonical bytes; 32 bytes."""
        return self.cached_digest

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, without carrying the digest of the old content over."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("cached_digest", None)
        return copied

    def check_loaded(self) -> None:
        """What ``load_document`` asks of a file besides its structure: nothing, unless a format says so.

        Raises:
            InputError: it contradicts itself.
        """

    def to_bytes(self) -> bytes:
        """The file's bytes: readable JSON, one trailing newline."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def parse(cls, text: str | bytes, *, file: str | None = None) -> Self:
        """Read a document from text.

        Raises:
            InputError: names the file, the line where it is known, the field and the reason.
        """
        data = parse_json(text, file=file)
        if isinstance(data, dict) and "format" not in data:
            raise InputError(f'no "format" line: expected "{cls.FORMAT}"', file=file, field="format")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise input_error(error, file=file, text=text) from None
        except InputError as error:
            raise error.located(file=file) from None


def _format_mismatch(given: object, expected: str) -> str:
    if isinstance(given, str) and given.rsplit("/", 1)[0] == expected.rsplit("/", 1)[0]:
        return f'format "{given[:80]}" is another version: this program reads "{expected}"'
    shown = f'"{given[:80]}"' if isinstance(given, str) else "not a string"
    return f'format is {shown}: expected "{expected}"'


def _without_data(value: Any) -> Any:
    """The canonical JSON value of a model: arrays are replaced by shape and checksum."""
    if isinstance(value, IntArray):
        return value.canonical()
    if isinstance(value, BaseModel):
        return {name: _without_data(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _without_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_data(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value


def input_error(error: ValidationError, *, file: str | None, text: str | bytes = "") -> InputError:
    """One clear line from a pydantic error. Values are never repeated: they may be secret.

    ``text`` is the JSON text that was validated, for the line.
    """
    if error.error_count() > MAX_LISTED_ERRORS:
        return InputError(f"{error.error_count()} fields are wrong: this is no such document", file=file)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = re.sub(r"\.(\d+)", r"[\1]", ".".join(str(part) for part in first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if first["type"] == "extra_forbidden":
        reason = "unknown key"
    line = None
    if text:
        line = line_at(text if isinstance(text, str) else text.decode(), existing_path(json.loads(text), first["loc"]))
    more = error.error_count() - 1
    return InputError(reason + (f" (and {more} more)" if more else ""), file=file, field=field[:200] or None, line=line)


D = TypeVar("D", bound=Document)


def load_document(kind: type[D], path: str | Path, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> D:
    """Read and validate a document file (``-`` for standard input). Raises InputError."""
    document = kind.parse(read_text(path, max_bytes=max_bytes), file=str(path))
    try:
        document.check_loaded()
    except InputError as error:
        raise error.located(file=str(path)) from None
    return document


def save_document(document: Document, path: str | Path) -> None:
    """Write a document all or nothing; secret formats get mode 0600. Raises InputError."""
    write_atomic(path, document.to_bytes(), secret=document.SECRET)
