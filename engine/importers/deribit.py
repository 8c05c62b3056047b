"""Deribit tickers: the public API's ticker shape as JSON, or the same fields as columns of a CSV file.

Names, fields and units follow https://docs.deribit.com (``public/ticker``, ``public/get_instruments``):
times are milliseconds, ``mark_iv`` is a percentage, options expire at 08:00 UTC, BTC and ETH contracts are
inverse (premium and P&L in coin). What a file leaves open is decided here and explained in the market's notes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from zkmargin.engine.decimals import format_time, from_units, parse_time, to_fraction, to_units
from zkmargin.engine.importers.tickers import MAX_PULL_ROWS, median, plain_decimal, read_csv, select_pull
from zkmargin.engine.market import NAME_PATTERN, Asset, Forward, Instrument, Market, Underlying
from zkmargin.formats import InputError, parse_json, read_text
from zkmargin.formats.lines import line_of_literal

MAX_JSON_BYTES = 64 << 20
EARLIEST, LATEST = parse_time("2016-01-01T00:00:00Z"), parse_time("2100-01-01T00:00:00Z")
EXPIRY_HOUR = 8
QUOTE = "USD"
NAMES_SHOWN = 5


@dataclass(frozen=True)
class Contract:
    """Deribit's contract table for one currency (``contract_size`` and ``min_trade_amount`` of get_instruments).

    Attributes:
        option_lot: smallest option trade in coin; one option is on one coin.
        contract_usd: quote value of one inverse future or perpetual contract; books count contracts.
        asset_lot: what collateral in the coin is counted in, ours: worth 0.01 USD or more in any likely market.
    """

    option_lot: str
    contract_usd: str
    asset_lot: str


CONTRACTS: dict[str, Contract] = {
    "BTC": Contract(option_lot="0.1", contract_usd="10", asset_lot="0.00001"),
    "ETH": Contract(option_lot="1", contract_usd="1", asset_lot="0.0001"),
}

#: Collateral lots of stablecoins: a cent. Others get the finest power of ten that is worth a cent.
STABLE_LOT = "0.01"
STABLECOINS = frozenset({"USDC", "USDT", "USDE", "USYC", "BUIDL", "DAI", "PYUSD", "EURR"})

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
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAME = re.compile(
    r"(?P<currency>[A-Z0-9]+)-(?:(?P<perpetual>PERPETUAL)"
    r"|(?P<day>[0-9]{1,2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})(?:-(?P<strike>[0-9]{1,12}(?:d[0-9]{1,12})?)-(?P<right>[CP]))?)"
)
#: Linear contracts and spot pairs (SOL_USDC-..., BTC_USDC) and combos (BTC-FS-27MAR26_PERP): known, not imported.
_OTHER = re.compile(r"[A-Z0-9]+_[A-Z0-9]+(?:-[A-Za-z0-9_-]+)?|[A-Z0-9_]+-[A-Z]+-[A-Z0-9_]+")


@dataclass(frozen=True)
class Ticker:
    """One row: where it stands, what instrument it is, and its numbers as exact decimal text."""

    name: str
    line: int | None
    currency: str
    kind: str
    expiry: str | None
    strike: str | None
    option_type: str | None
    time: int
    index_price: str
    mark_price: str | None
    forward: str | None
    forward_name: str
    vol: str | None
    rate: str


def import_csv(path: str | Path, *, pull: int | None = None, prices: Mapping[str, str] | None = None) -> Market:
    """A market from a CSV file whose columns include ``COLUMNS``, one row per ticker; rows are streamed.

    Arguments and errors as ``engine.importers.Importer``.
    """
    return _market(read_csv(path, COLUMNS), "deribit-csv", str(path), pull, prices or {})


def import_json(path: str | Path, *, pull: int | None = None, prices: Mapping[str, str] | None = None) -> Market:
    """A market from a JSON file of tickers: one or a list of ``public/ticker`` results or JSON-RPC responses.

    Arguments and errors as ``engine.importers.Importer``.
    """
    name = str(path)
    text = read_text(path, max_bytes=MAX_JSON_BYTES)
    value = parse_json(text, file=name, decimals="exact")
    try:
        return _market(((None, row) for row in _results(value, name)), "deribit-json", name, pull, prices or {})
    except InputError as error:
        instrument = (error.field or "").split(" ")[0]
        raise error.located(line=line_of_literal(text, f'"{instrument}"')) from None


def _results(value: Any, file: str) -> Iterator[dict[str, Any]]:
    """Unwrap JSON-RPC responses and lists to ticker results; raises InputError."""
    if isinstance(value, list):
        for item in value:
            yield from _results(item, file)
    elif isinstance(value, dict) and "error" in value and "result" not in value:
        raise InputError("the exchange answered with an error instead of a ticker", file=file, field="error")
    elif isinstance(value, dict) and "result" in value:
        yield from _results(value["result"], file)
    elif isinstance(value, dict):
        yield value
    else:
        raise InputError("neither a ticker nor a list of tickers", file=file)


def _market(
    rows: Iterable[tuple[int | None, Mapping[str, Any]]],
    source: str,
    file: str,
    pull: int | None,
    prices: Mapping[str, str],
) -> Market:
    skipped: dict[str, None] = {}
    chosen, notes = select_pull(_tickers(rows, skipped, file), pull, file)
    tickers = sorted(chosen.values(), key=_order)
    if skipped:
        notes.append(f"left out, not an inverse contract of {' or '.join(CONTRACTS)}: {_names(list(skipped))}")
    no_vol = [t.name for t in tickers if t.kind == "option" and t.vol is None]
    if no_vol:
        notes.append(f"left out, no mark_iv to price with: {_names(no_vol)}")
        tickers = [t for t in tickers if t.kind != "option" or t.vol is not None]
    if not tickers:
        raise InputError("holds no instrument that can be imported", file=file)
    now, oldest = max(t.time for t in tickers), min(t.time for t in tickers)
    notes.append(f"prices were taken over {-(-(now - oldest) // 1000)} s: the market's time is the newest of them")
    underlyings = _underlyings(tickers, notes)
    forwards = _forwards(tickers, notes, file)
    if all(t.kind == "option" for t in tickers):
        notes.append("no futures or perpetuals in the file: options only")
    if any(t.kind != "option" for t in tickers):
        units = ", ".join(f"{name} {c.contract_usd}" for name, c in CONTRACTS.items())
        notes.append(f"futures and perpetuals are counted in contracts ({QUOTE} per contract: {units})")
    assets = _assets(underlyings, prices, notes)
    try:
        return Market(
            time=format_time(now),
            quote=QUOTE,
            source=f"Deribit tickers ({source})",
            notes=tuple(notes),
            underlyings=tuple(underlyings),
            forwards=tuple(forwards),
            instruments=tuple(_instrument(t, file) for t in tickers),
            assets=tuple(assets),
        )
    except InputError as error:
        raise error.located(file=file) from None


def _tickers(
    rows: Iterable[tuple[int | None, Mapping[str, Any]]], skipped: dict[str, None], file: str
) -> Iterator[tuple[str, Ticker]]:
    for number, (line, row) in enumerate(rows, 1):
        name = row.get("instrument_name")
        if not isinstance(name, str) or not name:
            raise InputError("missing", file=file, line=line, field=f"ticker {number} instrument_name")
        match = _NAME.fullmatch(name)
        if (match and match["currency"] not in CONTRACTS) or (not match and _OTHER.fullmatch(name)):
            skipped[name] = None
            if len(skipped) > MAX_PULL_ROWS:
                raise InputError(f"more than {MAX_PULL_ROWS} instruments that cannot be imported", file=file)
            continue
        try:
            if not match:
                raise InputError("not a Deribit instrument name", field=name[:80])  # noqa: TRY301 - located below
            ticker = _ticker(name, match, line, row)
        except InputError as error:
            raise error.located(file=file, line=line) from None
        yield name, ticker


def _ticker(name: str, match: re.Match[str], line: int | None, row: Mapping[str, Any]) -> Ticker:
    def number(field: str) -> str:
        try:
            return plain_decimal(row.get(field))
        except InputError as error:
            raise InputError(error.reason, field=f"{name} {field}") from None

    def price(field: str) -> str:
        text = number(field)
        if to_fraction(text) <= 0:
            raise InputError("must be above 0", field=f"{name} {field}")
        return text

    time = number("timestamp")
    if not time.isdigit() or not EARLIEST <= int(time) < LATEST:
        raise InputError("not a time in milliseconds since 1970", field=f"{name} timestamp")
    option = match["right"] is not None
    kind = "option" if option else "perpetual" if match["perpetual"] else "future"
    vol = None
    if option and not _blank(row.get("mark_iv")):
        percent = number("mark_iv")
        if percent.startswith("-"):
            raise InputError("must not be negative", field=f"{name} mark_iv")
        vol = None if percent == "0" else from_units(to_units(percent, 30), 32)
    return Ticker(
        name=name,
        line=line,
        currency=match["currency"],
        kind=kind,
        expiry=None if kind == "perpetual" else _expiry(match, name),
        strike=match["strike"].replace("d", ".") if option else None,
        option_type=("call" if match["right"] == "C" else "put") if option else None,
        time=int(time),
        index_price=price("index_price"),
        mark_price=None if option else price("mark_price"),
        forward=price("underlying_price") if option else None,
        forward_name=str(row.get("underlying_index") or "") if option else "",
        vol=vol,
        rate=number("interest_rate") if option and not _blank(row.get("interest_rate")) else "0",
    )


def _blank(value: object) -> bool:
    return value is None or value == ""


def _expiry(match: re.Match[str], name: str) -> str:
    try:
        moment = datetime(
            2000 + int(match["year"]), _MONTHS.index(match["month"]) + 1, int(match["day"]), EXPIRY_HOUR, tzinfo=UTC
        )
    except ValueError:
        raise InputError("an expiry date that does not exist", field=name) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _order(ticker: Ticker) -> tuple[str, int, str, Decimal, str]:
    """Perpetuals, futures, options; by expiry, strike, calls first. Expiry texts sort by time."""
    rank = {"perpetual": 0, "future": 1, "option": 2}[ticker.kind]
    return ticker.currency, rank, ticker.expiry or "", Decimal(ticker.strike or 0), ticker.option_type or ""


def _underlyings(tickers: list[Ticker], notes: list[str]) -> list[Underlying]:
    """The newest index price of each currency."""
    result = []
    for currency in dict.fromkeys(t.currency for t in tickers):
        own = [t for t in tickers if t.currency == currency]
        newest = max(own, key=lambda t: t.time)
        _, low, high = median([t.index_price for t in own])
        if low != high:
            notes.append(f"{currency} index moved between {low} and {high}: {newest.index_price}, the newest, is used")
        result.append(Underlying(name=currency, index_price=newest.index_price, time=format_time(newest.time)))
    return result


def _forwards(tickers: list[Ticker], notes: list[str], file: str) -> list[Forward]:
    """One forward per expiry: the median of its options' underlying prices, else the future's mark price."""
    groups: dict[tuple[str, str], list[Ticker]] = defaultdict(list)
    for ticker in tickers:
        if ticker.expiry is not None:
            groups[ticker.currency, ticker.expiry].append(ticker)
    result = []
    for (currency, expiry), own in sorted(groups.items()):
        priced = [t for t in own if t.forward is not None] or own
        values = [t.forward or t.mark_price or "" for t in priced]
        middle, low, high = median(values)
        where = f"{currency} {expiry[:10]}"
        if low != high:
            spread = -(-10_000 * (to_fraction(high) - to_fraction(low)) // to_fraction(middle))
            notes.append(
                f"{where}: {len(values)} forwards from {low} to {high} ({spread} bp apart): the median {middle} is used"
            )
        names = {t.forward_name for t in own if t.forward_name}
        if "index_price" in names:
            notes.append(f"{where}: the exchange prices this expiry off the index (it lists no future)")
        if any(n.startswith("SYN.") for n in names):
            notes.append(f"{where}: the exchange's forward is synthetic, interpolated between futures")
        rate, rate_low, rate_high = median([t.rate for t in priced])
        if rate_low != rate_high:
            notes.append(f"{where}: interest rates from {rate_low} to {rate_high}: the median {rate} is used")
        # The median is as old as the older of the quotes in the middle.
        ranked = sorted(zip((to_fraction(v) for v in values), (t.time for t in priced), strict=True))
        time = min(ranked[(len(ranked) - 1) // 2][1], ranked[len(ranked) // 2][1])
        try:
            result.append(Forward(underlying=currency, expiry=expiry, price=middle, rate=rate, time=format_time(time)))
        except InputError as error:
            raise error.located(file=file) from None
    return result


def _instrument(ticker: Ticker, file: str) -> Instrument:
    contract = CONTRACTS[ticker.currency]
    option = ticker.kind == "option"
    try:
        return Instrument.model_validate(
            {
                "id": ticker.name,
                "kind": ticker.kind,
                "underlying": ticker.currency,
                "expiry": ticker.expiry,
                "strike": ticker.strike,
                "option_type": ticker.option_type,
                "implied_vol": ticker.vol,
                "settlement": "inverse",
                "multiplier": "1" if option else contract.contract_usd,
                "lot": contract.option_lot if option else "1",
                "mark_price": ticker.mark_price,
                "time": format_time(ticker.time),
            }
        )
    except InputError as error:
        raise error.located(file=file, line=ticker.line) from None


def _assets(underlyings: list[Underlying], prices: Mapping[str, str], notes: list[str]) -> list[Asset]:
    """The coins at their index price, then the assets that the caller prices."""
    assets = [
        Asset(name=u.name, price=u.index_price, lot=CONTRACTS[u.name].asset_lot, underlying=u.name, time=u.time)
        for u in underlyings
    ]
    coins = {u.name for u in underlyings}
    for name, text in prices.items():
        if name in coins:
            raise InputError("the file has its index price: a second price is refused", field=f"price {name}")
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError("not an asset name like USDC", field=f"price {name[:80]!r}")
        price = to_fraction(text, field=f"price {name}")
        if price <= 0:
            raise InputError("must be above 0", field=f"price {name}")
        assets.append(Asset(name=name, price=text, lot=STABLE_LOT if name in STABLECOINS else cent_lot(price)))
        notes.append(f"{name} = {text} {QUOTE} was given by the caller, as of the market's time")
    if not prices:
        notes.append("no stablecoin price in the file: collateral is coins only (--price USDC=1 adds an asset)")
    return assets


def cent_lot(price: Fraction) -> str:
    """The finest power of ten of an asset that is worth at least 0.01 in quote."""
    lot = Fraction(1)
    while lot * price < Fraction(1, 100):
        lot *= 10
    while lot * price >= Fraction(1, 10):
        lot /= 10
    return from_units(int(lot * 10**30), 30)


def _names(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
