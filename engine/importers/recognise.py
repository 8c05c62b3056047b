"""What a file is, by its content: never by its name, which says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zkmargin.engine.importers import deribit, generic_csv, tardis
from zkmargin.engine.importers.json_answers import first_values
from zkmargin.engine.importers.pa2 import FILE_FORMAT
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import header_of
from zkmargin.formats import InputError

AUTO = "auto"
HEAD = 1 << 16
#: Lines of a log looked at: the first ones answer to subscribing.
LINES = 50
#: Objects looked at before an answer is given up on, and how deep.
MAX_OBJECTS, MAX_DEPTH = 200, 6


def recognised(source: Source) -> str:
    """The name of the format of a file. Raises InputError for what is none of them."""
    head = source.head(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    found: str | None = None
    if head.startswith(b"<"):
        found = "span-xml" if b"<spanFile" in head else None
    elif head.startswith((b"{", b"[")):
        found = _of_json(first_values(source, LINES))
    elif head.startswith(b"0 ") and head[35:37] == FILE_FORMAT.encode():
        found = "span-pa2"
    else:
        found = _of_columns(frozenset(header_of(source)))
    if found is None:
        raise InputError(
            "none of the formats that are read, by its content",
            file=source.name,
            hint="docs/importers.md lists them; name one to see what it misses",
        )
    return found


def _of_columns(columns: frozenset[str]) -> str | None:
    if columns >= frozenset(generic_csv.COLUMNS):
        return "csv"
    if columns >= frozenset(deribit.COLUMNS):
        return "deribit-csv"
    if columns >= frozenset(tardis.COLUMNS):
        return "tardis-csv"
    return None


def _of_json(value: Any) -> str | None:
    for fields in _objects(value):
        for name, signs in JSON_SIGNS.items():
            if any(sign <= fields.keys() for sign in signs):
                return name
    return None


#: Keys that answers of that venue have, all of one set in one object; the first venue that fits.
JSON_SIGNS: dict[str, tuple[frozenset[str], ...]] = {
    "derive": (frozenset({"t", "I", "M"}), frozenset({"instrument_name", "amount_step"})),
    "deribit-json": (frozenset({"instrument_name"}),),
    "okx": (frozenset({"instId"}),),
    "bybit": (frozenset({"retCode"}), frozenset({"topic", "ts"})),
    "binance": (
        frozenset({"optionSymbols"}),
        frozenset({"symbol", "markIV"}),
        frozenset({"symbol", "markPrice", "indexPrice", "time"}),
        frozenset({"serverTime", "symbols"}),
    ),
    "paradex": (frozenset({"symbol", "created_at"}), frozenset({"symbol", "order_size_increment"})),
}


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The first objects inside a JSON value, outermost first."""
    level, seen = [value], 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                seen += 1
                yield item
                inner.extend(list(item.values())[:MAX_OBJECTS])
            elif isinstance(item, list):
                inner.extend(item[:MAX_OBJECTS])
            if seen > MAX_OBJECTS:
                return
        level = inner[:MAX_OBJECTS]
