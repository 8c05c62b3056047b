"""A whole market in one CSV file of our own: the way in for any source that has no importer.

Every row is a ``record``; a cell that does not belong to it stays empty. UTF-8, a header, a line end on every line,
decimal text (``1e-05`` counts as ``0.00001``), times as ``2026-01-02T03:04:05Z``. Columns, in any order:

    record       market | underlying | forward | option | future | perpetual | spot | asset
    name         market: the quote currency; underlying, contracts and assets: their name; forward: optional, below
    underlying   forward and contracts; asset: optional
    expiry       forward, option, future
    strike, option_type, implied_vol      option (call or put; the vol as a fraction, 0.65)
    price        underlying, forward, asset; future, perpetual, spot: the mark, optional
    rate         forward: continuously compounded, a fraction per year, optional
    settlement   contracts: linear or inverse, linear where empty
    multiplier   contracts: units of the underlying (inverse: quote) in a contract unit, 1 where empty
    lot          contracts, asset: the smallest quantity
    time         market; elsewhere the time of that price, optional
    forward      option, future: the name of the forward that it is priced on; the column may be missing

Options that expire together on different futures are priced on named forwards, which may expire later than they do:
``forward,ZCZ26,ZC,2026-12-14T18:30:00Z,...`` and ``ZCZ26`` in the option's cell. An option with a vol of 0 is worth its
intrinsic value. There is one ``market`` row. Order is kept: contracts become slots in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import plain_decimal, read_csv
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.names import MAX_INSTRUMENTS
from zkmargin.formats import InputError, Model

COLUMNS = (
    "record",
    "name",
    "underlying",
    "expiry",
    "strike",
    "option_type",
    "implied_vol",
    "price",
    "rate",
    "settlement",
    "multiplier",
    "lot",
    "time",
)
#: Not the file's name: the same content is the same market, whoever keeps it under which name.
SOURCE = "CSV"
#: Columns that a file may lack.
OPTIONAL = ("forward",)
_NUMBERS = ("strike", "implied_vol", "price", "rate", "multiplier", "lot")
_CONTRACTS = ("option", "future", "perpetual", "spot")
#: The columns of each record, and the fields they become where these are called otherwise.
_RECORDS: dict[str, tuple[type[Model] | None, dict[str, str]]] = {
    "market": (None, {"name": "quote", "time": "time"}),
    "underlying": (Underlying, {"name": "name", "price": "index_price", "time": "time"}),
    "forward": (Forward, {name: name for name in ("name", "underlying", "expiry", "price", "rate", "time")}),
    "asset": (Asset, {name: name for name in ("name", "price", "lot", "underlying", "time")}),
    **{
        kind: (
            Instrument,
            {
                **{name: name for name in (*COLUMNS, *OPTIONAL) if name not in ("record", "name", "price", "rate")},
                "name": "id",
                "price": "mark_price",
            },
        )
        for kind in _CONTRACTS
    },
}


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:  # noqa: ARG001 - nothing is left out
    """Read a market. Assets that the file does not list and the caller prices are in lots of 0.01.

    Arguments and errors as ``engine.importers.base.Reader``.
    """
    (source,) = sources
    file = source.name
    head: dict[str, Any] | None = None
    parts: dict[type[Model], list[Any]] = {Underlying: [], Forward: [], Instrument: [], Asset: []}
    for line, row in read_csv(source, COLUMNS, optional=OPTIONAL, progress=options.progress):
        try:
            kind, fields = _fields(row)
            if kind is None:
                if head is not None:
                    raise InputError("a second market row")  # noqa: TRY301 - located below
                head = fields
                continue
            if len(parts[kind]) >= MAX_INSTRUMENTS:
                raise InputError(f"more than {MAX_INSTRUMENTS} of a kind")  # noqa: TRY301 - located below
            parts[kind].append(kind.model_validate(fields))
        except InputError as error:
            raise error.located(file=file, line=line) from None
    if head is None:
        raise InputError("no market row: it holds the quote currency and the time", file=file)
    listed = {asset.name for asset in parts[Asset]}
    try:
        extra = [
            Asset(name=name, price=price, lot="0.01") for name, price in options.prices.items() if name not in listed
        ]
        return Market.model_validate(
            {
                **head,
                "source": SOURCE,
                "underlyings": tuple(parts[Underlying]),
                "forwards": tuple(parts[Forward]),
                "instruments": tuple(parts[Instrument]),
                "assets": (*parts[Asset], *extra),
            }
        )
    except InputError as error:
        raise error.located(file=file) from None


def _fields(row: Mapping[str, str]) -> tuple[type[Model] | None, dict[str, Any]]:
    """The model of a row and its fields. Raises InputError for a cell that does not belong to the record."""
    record = row["record"]
    if record not in _RECORDS:
        raise InputError(f"not one of {', '.join(_RECORDS)}", field="record")
    kind, names = _RECORDS[record]
    fields: dict[str, Any] = {}
    for column, text in row.items():
        if column == "record" or not text:
            continue
        if column not in names:
            raise InputError(f"does not belong to a row of record {record}", field=column)
        try:
            fields[names[column]] = plain_decimal(text) if column in _NUMBERS else text
        except InputError as error:
            raise InputError(error.reason, field=column, hint=error.hint) from None
    if record in _CONTRACTS:
        fields["kind"] = record
    return kind, fields
