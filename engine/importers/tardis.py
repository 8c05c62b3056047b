"""Tardis: ``options_chain`` files, every change of every option of a day (https://docs.tardis.dev/downloadable-csv-files,
read in November 2026), of Deribit.

``timestamp`` and ``expiration`` are microseconds, ``mark_iv`` a percentage, marks of inverse options in coin. The files
hold no index price: it is given, unless an expiry is priced off the index. The newest row of each option counts, until
a time where one is given: files are streamed, however many rows they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zkmargin.engine.importers import deribit
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import number
from zkmargin.engine.importers.json_answers import Row
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import read_csv
from zkmargin.engine.market import Market
from zkmargin.formats import InputError

COLUMNS = (
    *("exchange", "symbol", "timestamp", "type", "strike_price", "expiration", "mark_price", "mark_iv"),
    *("underlying_index", "underlying_price"),
)
OTHER = "of another exchange than Deribit"


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read a file. Arguments and errors as ``engine.importers.base.Reader``."""
    (source,) = sources
    return deribit.market_of_rows(
        _rows(source, options, left_out), options, left_out, source="Deribit (Tardis)", file=source.name, log=True
    )


def _rows(source: Source, options: Options, left_out: LeftOut) -> Iterator[Row]:
    for line, row in read_csv(source, COLUMNS, progress=options.progress):
        name = row["symbol"]
        if row["exchange"] != "deribit":
            left_out.add(OTHER, f"{row['exchange'][:40]} {name[:80]}")
            continue
        if not row["mark_price"] and not row["mark_iv"] and not row["underlying_price"]:
            continue  # a change of open interest before the first quote
        try:
            yield Row(_ticker(row, name), {}, source.name, line)
        except InputError as error:
            raise error.located(file=source.name, line=line) from None


def _ticker(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row as Deribit's own ticker. Raises InputError."""
    text = number(row, "timestamp", name)
    if not text.isdigit() or len(text) != 16:
        raise InputError("not a time in microseconds since 1970", field=f"{name} timestamp")
    off_index = row["underlying_index"] == "index_price"
    return {
        "instrument_name": name,
        "timestamp": text[:-3],
        "index_price": row["underlying_price"] if off_index else None,
        "mark_price": row["mark_price"],
        "mark_iv": row["mark_iv"],
        "underlying_price": row["underlying_price"],
        "underlying_index": row["underlying_index"],
    }
