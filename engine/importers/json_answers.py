"""Answers of web APIs: JSON documents, JSON lines and logs of messages, as a stream of rows.

What comes around the rows differs from venue to venue and from REST to WebSocket. Here lists, envelopes and objects
keyed by name are opened until a row is found; a venue says what a row and what an error is (``Shape``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from zkmargin.engine.importers import json_stream
from zkmargin.engine.importers.source import Progress, Source
from zkmargin.engine.importers.tickers import not_utf8
from zkmargin.formats import InputError, parse_json
from zkmargin.formats.lines import line_of_literal

#: A document up to this size is held in memory, some twenty times its size; a larger one and a log of lines are not.
WHOLE_BYTES = 4 << 20
MAX_LINE_BYTES = 16 << 20
#: Keys under which answers keep what was asked for, in the order in which they are looked for.
ENVELOPES = (
    *("result", "params", "data", "results", "list", "tickers", "instruments", "optionSymbols", "symbols"),
    *("summaries", "trades"),
)
SHOWN = 200
#: Stands for the key of an object that is keyed by the names of rows.
EACH = "*"
#: Tokens that a large document is recognised by.
FIRST_EVENTS = 1 << 13

Json = Any


class Row(NamedTuple):
    """A row and where it stands.

    Attributes:
        fields: the row itself.
        around: scalars of the envelopes around it, the innermost winning; ``name`` is the key of an object keyed by
            name.
        file: the file's name.
        line: its line in a log of lines; None in a document.
    """

    fields: Mapping[str, Json]
    around: Mapping[str, Json]
    file: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """How to tell the parts of a venue's answers.

    Attributes:
        what: what a row is called in errors, ``ticker``.
        is_row: whether an object is a row.
        error_of: the venue's own words where an object is an answer that says that something went wrong.
    """

    what: str
    is_row: Callable[[Mapping[str, Json]], bool]
    error_of: Callable[[Mapping[str, Json]], str | None]


class Answers:
    """The rows of one or several files.

    Attributes:
        log: whether a file was read line by line, or holds messages of a subscription: changes, as they came.
    """

    def __init__(self, sources: Sequence[Source], shape: Shape, progress: Progress | None = None) -> None:
        self._sources, self._shape, self._progress = sources, shape, progress
        self._documents: dict[str, str] = {}
        self.log = any(_is_log(source) for source in sources)

    def __iter__(self) -> Iterator[Row]:
        for place, source in enumerate(self._sources):
            if source.size > WHOLE_BYTES and not _is_lines(source):
                try:
                    yield from self._streamed(source, place)
                except InputError as error:
                    raise error.located(file=source.name) from None
                continue
            for line, value in self._values(source, place):
                try:
                    yield from self._rows(value, {}, source.name, line)
                except InputError as error:
                    raise self.located(error.located(file=source.name, line=line)) from None

    def located(self, error: InputError) -> InputError:
        """The same error with the line of the instrument that it is about, where that is in a document."""
        text = self._documents.get(error.file or "")
        if text is None or error.line is not None or not error.field:
            return error
        return error.located(line=line_of_literal(text, f'"{error.field.split(" ")[0]}"'))

    def _values(self, source: Source, place: int) -> Iterator[tuple[int | None, Json]]:
        progress, part = self._progress, {"part": place, "parts": len(self._sources)}
        if _is_lines(source):
            with source.reader(progress, **part) as file:
                number = 0
                while raw := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if len(raw) > MAX_LINE_BYTES:
                        raise InputError(f"a line of more than {MAX_LINE_BYTES} bytes", file=source.name, line=number)
                    if raw.strip():
                        text = _text(raw, source)
                        try:
                            yield number, parse_json(text, file=source.name, decimals="exact")
                        except InputError as error:
                            raise InputError(error.reason, file=source.name, line=number, field=error.field) from None
            return
        with source.reader(progress, **part) as file:
            text = _text(file.read(), source)
        value = parse_json(text, file=source.name, decimals="exact")
        self._documents[source.name] = text
        yield None, value

    def _streamed(self, source: Source, place: int) -> Iterator[Row]:
        """The rows of a large document. Raises InputError."""
        with source.reader(self._progress, part=2 * place, parts=2 * len(self._sources)) as file:
            large = json_stream.look_over(file)
        ways = {id(found): self._way(found) for found in large.values() if found.is_map}
        with source.reader(self._progress, part=2 * place + 1, parts=2 * len(self._sources)) as file:
            for piece in json_stream.pieces(file, large, lambda found, key: ways[id(found)] in (EACH, key)):
                around: dict[str, Json] = {}
                for found, key in piece.path:
                    if key is not None and ways[id(found)] == EACH:
                        around["name"] = key
                    elif key is not None:
                        around |= _scalars(found.values)
                yield from self._rows(piece.value, around, source.name, None)

    def _way(self, found: json_stream.Shallow) -> str:
        """The key under which a large object keeps rows, or ``EACH`` where every key is a row's name, as ``_rows``.

        Raises:
            InputError: it is a row, an error, or neither.
        """
        shape, value = self._shape, found.values
        if not shape.is_row(value):
            self._refuse_error(value)
            inner = _envelope(value)
            if inner is not None:
                return inner
            if found.all_objects:
                return EACH
        raise InputError(f"an object of more than {json_stream.LARGE} values that is no list of {shape.what}s")

    def _refuse_error(self, value: Mapping[str, Json]) -> None:
        said = self._shape.error_of(value)
        if said is not None:
            raise InputError(
                f"the exchange answered with an error instead of a {self._shape.what}: {said[:SHOWN]}", field="error"
            )

    def _rows(self, value: Json, around: Mapping[str, Json], file: str, line: int | None) -> Iterator[Row]:
        shape = self._shape
        if isinstance(value, list):
            for item in value:
                yield from self._rows(item, around, file, line)
            return
        if not isinstance(value, dict):
            raise InputError(f"neither a {shape.what} nor a list of {shape.what}s")
        if shape.is_row(value):
            yield Row(value, around, file, line)
            return
        self._refuse_error(value)
        inner = _envelope(value)
        if inner is not None and isinstance(value[inner], list) and all(isinstance(i, str) for i in value[inner]):
            return  # the channels that were subscribed to
        if inner is not None:
            yield from self._rows(value[inner], {**around, **_scalars(value)}, file, line)
            return
        if value and all(isinstance(item, dict) for item in value.values()):
            for name, item in value.items():
                yield from self._rows(item, {**around, "name": name}, file, line)
            return
        if _is_chatter(value):
            return
        # left to the venue, whose own words say what is missing
        yield Row(value, around, file, line)


def _envelope(value: Mapping[str, Json]) -> str | None:
    return next((key for key in ENVELOPES if isinstance(value.get(key), (dict, list))), None)


def _scalars(value: Mapping[str, Json]) -> dict[str, Json]:
    return {key: item for key, item in value.items() if not isinstance(item, (dict, list))}


def _is_chatter(value: Mapping[str, Json]) -> bool:
    """Answers to subscribing, pings and the like, as logs hold them between the messages."""
    return any(key in value for key in ("event", "op", "success", "result")) and not any(
        isinstance(item, dict) for item in value.values()
    )


def first_values(source: Source, count: int) -> list[Json]:
    """The values of the first lines, or the whole document's. Raises InputError."""
    if _is_lines(source):
        with source.reader() as file:
            lines = [line for line in (file.readline(MAX_LINE_BYTES) for _ in range(count)) if line.strip()]
        return [parse_json(_text(line, source), file=source.name, decimals="exact") for line in lines]
    if source.size > WHOLE_BYTES:
        with source.reader() as file:
            return [json_stream.beginning(file, FIRST_EVENTS)]
    with source.reader() as file:
        return [parse_json(_text(file.read(), source), file=source.name, decimals="exact")]


def _is_log(source: Source) -> bool:
    return _is_lines(source) or b'"subscription"' in source.head(1000)


def _is_lines(source: Source) -> bool:
    """Whether the first line is a whole JSON value and another one follows."""
    with source.reader() as file:
        first = file.readline(MAX_LINE_BYTES)
        if not first.endswith(b"\n") or not first.strip().endswith((b"}", b"]")):
            return False
        rest = file.readline(MAX_LINE_BYTES)
        while rest and not rest.strip():
            rest = file.readline(MAX_LINE_BYTES)
    if not rest.lstrip().startswith((b"{", b"[")):
        return False
    try:
        parse_json(_text(first, source), decimals="exact")
    except InputError:
        return False
    return True


def _text(data: bytes, source: Source) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise not_utf8(source) from None
