"""Deribit: tickers and book summaries as JSON (REST answers, messages, logs), or tickers as columns of a CSV file.

Names, fields and units follow https://docs.deribit.com (``public/ticker``, ``public/get_book_summary_by_currency``,
``public/get_instruments``, the ``ticker`` channels; read in November 2026): times are milliseconds, ``mark_iv`` is a
percentage, expiry is at 08:00 UTC. BTC and ETH contracts are inverse: premium and P&L in coin, futures counted in
contracts of so many USD. ``XRP_USDC`` and the like are linear; their options are counted in contracts of so many
coins (https://insights.deribit.com/education/usdc-settled-altcoin-options-live-trade-examples, March 2024), futures in
coins. The point of a strike is written ``d`` or ``D``.

What a contract is follows from its name; how large it is from ``get_instruments``, where that answer is among the
files, else from the table below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import (
    Quote,
    blank,
    expiry_of,
    market_of,
    milliseconds,
    nothing_left,
    number,
    percentage,
    price,
    with_vol,
)
from zkmargin.engine.importers.json_answers import Answers, Json, Row, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import read_csv, select
from zkmargin.engine.market import Market
from zkmargin.formats import InputError


@dataclass(frozen=True, slots=True)
class Terms:
    """How large contracts are, by currency or pair: ``contract_size`` and ``min_trade_amount`` of get_instruments.

    Attributes:
        option: coins of one option contract; ``option_lot`` is the smallest trade, in contracts.
        future: inverse: USD of one future or perpetual contract; linear: coins, of which one is counted as one.
        future_lot: the smallest trade, in that unit.
    """

    option: str | None
    option_lot: str
    future: str
    future_lot: str


TERMS: dict[str, Terms] = {
    "BTC": Terms(option="1", option_lot="0.1", future="10", future_lot="1"),
    "ETH": Terms(option="1", option_lot="1", future="1", future_lot="1"),
    "BTC_USDC": Terms(option=None, option_lot="1", future="1", future_lot="0.0001"),
    "ETH_USDC": Terms(option=None, option_lot="1", future="1", future_lot="0.001"),
    "SOL_USDC": Terms(option="10", option_lot="1", future="1", future_lot="0.1"),
    "XRP_USDC": Terms(option="1000", option_lot="1", future="1", future_lot="1"),
}
INVERSE = ("BTC", "ETH")

COLUMNS = (
    "instrument_name",
    "timestamp",
    "index_price",
    "mark_price",
    "mark_iv",
    "underlying_price",
    "underlying_index",
    "interest_rate",
)
_NAME = re.compile(
    r"(?P<index>[A-Z0-9]{1,20}(?:_[A-Z0-9]{1,10})?)-(?:(?P<perpetual>PERPETUAL)"
    r"|(?P<day>[0-9]{1,2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})"
    r"(?:-(?P<strike>[0-9]{1,12}(?:[dD][0-9]{1,12})?)-(?P<right>[CP]))?)"
)
#: What a quote is made of: the rest of a ticker, most of it, is not held.
_QUOTED = (*COLUMNS[1:], "creation_timestamp", "estimated_delivery_price")
#: BTC-FS-27MAR26_PERP, BTC-CS-19MAY26-70000_75000, BTC_USDC-STRD-29MAY26-77000: several contracts in one trade.
_COMBO = re.compile(r"[A-Z0-9]+(?:_[A-Z0-9]+)?-[A-Z]{1,8}-[0-9]{1,2}[A-Z]{3}[0-9]{2}[A-Za-z0-9_-]*")
_SPOT = re.compile(r"[A-Z0-9]+_[A-Z0-9]+")
COMBO, SPOT = "a combo or spread: its legs are imported", "a spot pair"
CLOSED = "not open: its state is closed, settled or archived"
_OPEN_STATES = ("open", "halted", "")


@dataclass(frozen=True, slots=True)
class Ticker:
    """One row, not yet a quote: how large its contract is may stand further down."""

    name: str
    match: re.Match[str]
    time: int
    row: Mapping[str, Any]
    file: str
    line: int | None


def read_json(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Tickers, book summaries and instruments as JSON. Arguments and errors as ``engine.importers.base.Reader``."""
    answers = Answers(sources, SHAPE, options.progress)
    try:
        return market_of_rows(answers, options, left_out, source="Deribit", file=sources[0].name, log=answers.log)
    except InputError as error:
        raise answers.located(error.located(file=sources[0].name)) from None


def read_csv_file(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """A CSV file whose columns include ``COLUMNS``, one row per ticker. Arguments and errors as ``Reader``."""
    (source,) = sources
    rows = (
        Row(row, {}, source.name, line)
        for line, row in read_csv(source, COLUMNS, optional=("state",), progress=options.progress)
    )
    return market_of_rows(rows, options, left_out, source="Deribit tickers (deribit-csv)", file=source.name)


def error_of(answer: Mapping[str, Json]) -> str | None:
    """The API's own words of an error answer (JSON-RPC): code, message and reason."""
    error = answer.get("error")
    if error is None or "result" in answer:
        return None
    if not isinstance(error, dict):
        return str(error)
    data = error.get("data")
    reason = data.get("reason") if isinstance(data, dict) else None
    return " ".join(str(part) for part in (error.get("code"), error.get("message"), reason) if part is not None)


SHAPE = Shape("ticker", lambda value: "instrument_name" in value, error_of)


def market_of_rows(
    rows: Iterable[Row], options: Options, left_out: LeftOut, *, source: str, file: str, log: bool = False
) -> Market:
    """The market of rows with the fields of tickers; ``log`` says that the newest count. Raises InputError."""
    terms: dict[str, Mapping[str, Any]] = {}
    chosen, notes = select(_tickers(rows, terms, left_out), options, file, log=log)
    quotes = []
    for ticker in chosen.values():
        try:
            quote = _quote(ticker, terms.get(ticker.name), left_out)
        except InputError as error:
            raise error.located(file=ticker.file, line=ticker.line) from None
        if quote is not None:
            quotes.append(quote)
    if any(quote.kind in ("future", "perpetual") and quote.settlement == "inverse" for quote in quotes):
        units = ", ".join(f"{name} {TERMS[name].future}" for name in INVERSE)
        notes.append(f"inverse futures and perpetuals are counted in contracts (USD per contract: {units})")
    return market_of(quotes, options, source=source, notes=notes, left_out=left_out, file=file)


def _tickers(
    rows: Iterable[Row], terms: dict[str, Mapping[str, Any]], left_out: LeftOut
) -> Iterator[tuple[str, Ticker]]:
    """Rows of contracts that can be imported; definitions go into ``terms``, the others to ``left_out``."""
    count = 0
    for number_, row in enumerate(rows, 1):
        fields = row.fields
        name = fields.get("instrument_name")
        try:
            if not isinstance(name, str) or not name:
                raise InputError("missing", field=f"ticker {number_} instrument_name")  # noqa: TRY301 - located below
            if "contract_size" in fields and "mark_price" not in fields:
                terms[name] = {field: fields.get(field) for field in ("contract_size", "min_trade_amount")}
                continue
            match = parse_name(name)
            if match is None:
                left_out.add(SPOT if _SPOT.fullmatch(name) else COMBO, name)
                continue
            if str(fields.get("state") or "") not in _OPEN_STATES:
                left_out.add(CLOSED, name)
                continue
            # a book summary has its time under another name
            stamp = "timestamp" if "timestamp" in fields or "creation_timestamp" not in fields else "creation_timestamp"
            time = milliseconds(fields, stamp, name)
        except InputError as error:
            raise error.located(file=row.file, line=row.line) from None
        count += 1
        kept = {field: fields[field] for field in _QUOTED if field in fields}
        yield name, Ticker(name, match, time, kept, row.file, row.line)
    if not count and len(left_out):
        raise nothing_left(left_out, "")


def parse_name(name: str) -> re.Match[str] | None:
    """The parts of a contract's name; None for combos, spreads and spot pairs. Raises InputError for any other."""
    match = _NAME.fullmatch(name)
    if match is None and not _COMBO.fullmatch(name) and not _SPOT.fullmatch(name):
        raise InputError("not a Deribit instrument name", field=name[:80])
    return match


def _quote(ticker: Ticker, defined: Mapping[str, Any] | None, left_out: LeftOut) -> Quote | None:
    name, match, row = ticker.name, ticker.match, ticker.row
    index = match["index"]
    base, _, currency = index.partition("_")
    inverse = not currency
    if inverse and index not in INVERSE:
        left_out.add(f"an inverse contract, but not of {' or '.join(INVERSE)}", name)
        return None
    option = match["right"] is not None
    size = contract_of(name, match, defined)
    if size is None:
        left_out.add("its contract size is not known: add the answer of public/get_instruments", name)
        return None
    multiplier, lot = size
    summary = "timestamp" not in row and "creation_timestamp" in row
    quoted = "estimated_delivery_price" if summary else "index_price"
    mark = None if blank(row.get("mark_price")) else number(row, "mark_price", name)
    forward_name = str(row.get("underlying_index") or "") if option else ""
    quote = Quote(
        name=name,
        kind="option" if option else "perpetual" if match["perpetual"] else "future",
        underlying=index,
        currency=currency or "USD",
        coin=base if inverse else None,
        settlement="inverse" if inverse else "linear",
        multiplier=multiplier,
        lot=lot,
        time=ticker.time,
        expiry=None if match["perpetual"] else expiry_of(match["day"], match["month"], match["year"], name),
        strike=strike_of(match["strike"]) if option else None,
        option_type=("call" if match["right"] == "C" else "put") if option else None,
        index=None if blank(row.get(quoted)) and "index_price" in row else price(row, quoted, name),
        mark=None if option else price(row, "mark_price", name),
        forward=price(row, "underlying_price", name) if option else None,
        forward_name=forward_name,
        rate=number(row, "interest_rate", name) if option and not blank(row.get("interest_rate")) else "0",
        file=ticker.file,
        line=ticker.line,
    )
    if not option:
        return quote
    vol = None
    if not blank(row.get("mark_iv")):
        percent = number(row, "mark_iv", name)
        if percent.startswith("-"):
            raise InputError("must not be negative", field=f"{name} mark_iv")
        vol = percentage(percent)
    if mark is not None and inverse:  # in coin of the forward
        value = to_fraction(mark) * to_fraction(quote.forward or "0")
        mark = from_units(int(value * 10**18), 18)
    return with_vol(quote, vol, mark, left_out)


def contract_of(name: str, match: re.Match[str], defined: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Multiplier and lot of a contract, from its definition or the table; None where neither knows it.

    A contract unit is one contract, and of linear futures one coin; in amounts as the API has them (USD of inverse
    futures, coins of everything else) it is the multiplier.
    """
    option, inverse = match["right"] is not None, "_" not in match["index"]
    if defined is not None:
        size = price(defined, "contract_size", name) if option or inverse else "1"
        step = to_fraction(price(defined, "min_trade_amount", name)) / to_fraction(size)
        return size, from_units(int(step * 10**18), 18)
    terms = TERMS.get(match["index"])
    if terms is None:
        return None
    if option:
        return None if terms.option is None else (terms.option, terms.option_lot)
    return terms.future, terms.future_lot


def strike_of(text: str) -> str:
    """``0d625`` as ``0.625``."""
    whole, _, part = text.lower().partition("d")
    return from_units(int(whole + part), len(part))
