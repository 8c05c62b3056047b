"""From the quotes of a venue to a market: index prices, one forward an expiry, instruments, collateral assets.

Venues differ in names, units and what they publish; their readers turn that into ``Quote``s. What a market then needs
is decided here, once for all of them, and explained in its notes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from zkmargin.engine.decimals import format_time, from_units, parse_time, to_fraction
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.tickers import median, plain_decimal
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.names import NAME_PATTERN, Kind, OptionType, Settlement
from zkmargin.formats import InputError

QUOTE = "USD"
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
EXPIRY_HOUR = 8
EARLIEST, LATEST = parse_time("2016-01-01T00:00:00Z"), parse_time("2100-01-01T00:00:00Z")
#: Collateral lots: of stablecoins a cent; of coins what is worth 0.01 USD or more in any likely market. Others get the
#: finest power of ten that is worth a cent.
STABLE_LOT = "0.01"
STABLECOINS = frozenset({"USDC", "USDT", "USDE", "USYC", "BUIDL", "DAI", "PYUSD", "EURR", "USD"})
COIN_LOTS = {"BTC": "0.00001", "ETH": "0.0001"}
#: A mark that is the intrinsic value to within this part of the forward: marks in coin have four decimals.
INTRINSIC = Fraction(1, 10_000)
NO_VOL = "no implied vol to price with"
ZERO_VOL = "implied vol 0 and a mark that is not the intrinsic value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One contract as its venue quotes it; numbers are exact decimal text.

    Attributes:
        name: its id.
        underlying: the index that it follows, which is its risk group.
        currency: what its prices are in.
        coin: what an inverse contract settles in.
        time: milliseconds since 1970.
        index: price of the index, where the quote has it.
        mark: of a future or perpetual, in quote.
        forward: of an option, in quote; ``forward_name`` is what the venue calls it.
        line: where it stands in its file.
    """

    name: str
    kind: Kind
    underlying: str
    currency: str
    coin: str | None = None
    settlement: Settlement = "linear"
    multiplier: str = "1"
    lot: str
    time: int
    expiry: str | None = None
    strike: str | None = None
    option_type: OptionType | None = None
    vol: str | None = None
    index: str | None = None
    mark: str | None = None
    forward: str | None = None
    forward_name: str = ""
    rate: str = "0"
    file: str | None = None
    line: int | None = None


def market_of(
    quotes: Sequence[Quote],
    options: Options,
    *,
    source: str,
    notes: list[str],
    left_out: LeftOut,
    indices: Mapping[str, tuple[str, int]] | None = None,
    file: str,
) -> Market:
    """The market of a venue's quotes.

    Args:
        quotes: one of each contract.
        options: prices of collateral assets and of indices that the file does not have.
        source: what the market says of where it comes from.
        notes: what was decided so far; added to.
        left_out: what was left out so far; added to.
        indices: index prices and their times in milliseconds, where they are apart from the quotes.
        file: name for errors.

    Raises:
        InputError: nothing that can be imported, an index price that is missing, what ``Market`` refuses.
    """
    kept = []
    for quote in sorted(quotes, key=_order):
        if quote.kind == "option" and quote.vol is None:
            left_out.add(NO_VOL, quote.name)
        else:
            kept.append(quote)
    if not kept:
        raise nothing_left(left_out, file)
    known = _indices(kept, dict(indices or {}), options, notes, file)
    now = max([q.time for q in kept] + [known[q.underlying][1] for q in kept])
    oldest = min(q.time for q in kept)
    notes.append(f"prices were taken over {-(-(now - oldest) // 1000)} s: the market's time is the newest of them")
    names = dict.fromkeys(quote.underlying for quote in kept)
    try:
        forwards = _forwards(kept, notes)
        if all(quote.kind == "option" for quote in kept):
            notes.append("no futures or perpetuals in the file: options only")
        linear = {quote.currency for quote in kept if quote.settlement == "linear"} - {QUOTE}
        if linear:
            notes.append(f"prices in {' and '.join(sorted(linear))} count as {QUOTE}, one for one")
        assets = _assets(kept, known, options, notes)
        notes += [omission.text() for omission in left_out.summary()]
        return Market(
            time=format_time(now),
            quote=QUOTE,
            source=source,
            notes=tuple(notes),
            underlyings=tuple(
                Underlying(name=name, index_price=known[name][0], time=format_time(known[name][1])) for name in names
            ),
            forwards=tuple(forwards),
            instruments=tuple(_instrument(quote) for quote in kept),
            assets=tuple(assets),
        )
    except InputError as error:
        raise error.located(file=file) from None


def nothing_left(left_out: LeftOut, file: str) -> InputError:
    """The error for a file of which nothing is left, with what was left out."""
    found = "; ".join(omission.text() for omission in left_out.summary())
    return InputError("holds no instrument that can be imported" + (f" ({found})" if found else ""), file=file)


def number(row: Mapping[str, object], field: str, name: str) -> str:
    """A number of a row as plain decimal text. Raises InputError with the instrument and the field."""
    try:
        return plain_decimal(row.get(field))
    except InputError as error:
        raise InputError(error.reason, field=f"{name} {field}", hint=error.hint) from None


def price(row: Mapping[str, object], field: str, name: str) -> str:
    """A number above 0. Raises InputError."""
    text = number(row, field, name)
    if to_fraction(text) <= 0:
        raise InputError("must be above 0", field=f"{name} {field}")
    return text


def milliseconds(row: Mapping[str, object], field: str, name: str) -> int:
    """A time in milliseconds since 1970. Raises InputError."""
    text = number(row, field, name)
    if not text.isdigit() or not EARLIEST <= int(text) < LATEST:
        hint = "in microseconds it seems: divide by 1000" if text.isdigit() and len(text) == 16 else None
        raise InputError("not a time in milliseconds since 1970", field=f"{name} {field}", hint=hint)
    return int(text)


def expiry_of(day: str, month: str, year: str, name: str) -> str:
    """The instant at which venues let contracts of a date expire, 08:00 UTC; ``30``, ``JAN`` or ``01``, ``26``.

    Raises:
        InputError: a date that does not exist.
    """
    try:
        number = MONTHS.index(month) + 1 if month.isalpha() else int(month)
        moment = datetime(int(year) + (2000 if len(year) == 2 else 0), number, int(day), EXPIRY_HOUR, tzinfo=UTC)
    except ValueError:
        raise InputError("an expiry date that does not exist", field=name) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parity_forwards(
    marks: Mapping[tuple[str, str, str, str], str], indices: Mapping[str, str], growth: Callable[[str, str], Fraction]
) -> dict[tuple[str, str], str]:
    """The forward of each underlying and expiry that the marks of a call and a put imply, at the strike nearest to the
    index that has both: ``F = K + (C - P) / D``, for venues that publish no forward.

    Args:
        marks: in quote a unit, by underlying, expiry, strike and type.
        indices: index prices by underlying.
        growth: ``1 / D`` of an underlying and expiry.
    """
    found: dict[tuple[str, str], tuple[Fraction, Fraction]] = {}
    for (underlying, expiry, strike, kind), mark in marks.items():
        other = marks.get((underlying, expiry, strike, "put"))
        if kind != "call" or other is None or underlying not in indices:
            continue
        level = to_fraction(strike)
        forward = level + (to_fraction(mark) - to_fraction(other)) * growth(underlying, expiry)
        far = abs(level - to_fraction(indices[underlying]))
        if forward > 0 and far < found.get((underlying, expiry), (far + 1, forward))[0]:
            found[underlying, expiry] = (far, forward)
    return {key: twelve(forward) for key, (_, forward) in found.items()}


def at_parity(
    options: Sequence[tuple[Quote, str | None, str | None]],
    indices: Mapping[str, str],
    growth: Callable[[str, str], Fraction],
    left_out: LeftOut,
    *,
    reason: str,
    otherwise: Callable[[Quote], str | None] = lambda _quote: None,
) -> tuple[list[Quote], list[str]]:
    """Options of a venue that publishes no forward, each given with its vol and its mark, on the forward that marks
    imply, and a note that says so.

    Args:
        indices, growth: as ``parity_forwards``.
        reason: why one is left out that has no forward.
        otherwise: the forward of an option where no pair implies one, or None.
    """
    implied = parity_forwards(
        {(q.underlying, q.expiry or "", q.strike or "", q.option_type or ""): mark for q, _, mark in options if mark},
        indices,
        growth,
    )
    quotes = []
    for quote, vol, mark in options:
        forward = implied.get((quote.underlying, quote.expiry or "")) or otherwise(quote)
        if forward is None:
            left_out.add(reason, quote.name)
            continue
        priced = with_vol(replace(quote, forward=forward), vol, mark, left_out)
        if priced is not None:
            quotes.append(priced)
    said = "forwards of options are what marks of calls and puts imply: the venue publishes none"
    return quotes, [said] if implied else []


def instrument_name(fields: Mapping[str, object], field: str) -> str:
    """What a row is about. Raises InputError where the field is missing or no text."""
    name = fields.get(field)
    if not isinstance(name, str) or not name:
        raise InputError("missing", field=field)
    return name


def twelve(value: Fraction) -> str:
    """A fraction as decimal text with twelve decimals."""
    return from_units(round_half_away(value.numerator * 10**12, value.denominator), 12)


def blank(value: object) -> bool:
    """Whether a cell or a value says nothing."""
    return value is None or value == ""


def percentage(text: str) -> str:
    """A percentage as a fraction, both exact decimal text."""
    value = to_fraction(text) / 100
    places = len(text.partition(".")[2]) + 2
    return from_units(int(value * 10**places), places)


def vol_or_reason(quote: Quote, vol: str | None, mark: str | None) -> tuple[str | None, str]:
    """The vol to price an option with, or None and why there is none.

    A vol of 0 is what venues publish where no vol gives the mark. Where the mark is the option's intrinsic value, that
    is what a vol of 0 gives; where it is not, the vol is missing.

    Args:
        quote: the option, with forward, strike and type.
        vol: as published, a fraction; None without one.
        mark: the option's price in quote per unit; None without one.
    """
    if vol is None:
        return None, NO_VOL
    if to_fraction(vol) > 0:
        return vol, ""
    if mark is None or quote.forward is None or quote.strike is None:
        return None, ZERO_VOL
    forward, strike = to_fraction(quote.forward), to_fraction(quote.strike)
    intrinsic = max(Fraction(0), (forward - strike) if quote.option_type == "call" else (strike - forward))
    if abs(to_fraction(mark) - intrinsic) <= INTRINSIC * forward:
        return "0", ""
    return None, ZERO_VOL


def _order(quote: Quote) -> tuple[str, int, str, Decimal, str, str]:
    """Perpetuals, futures, options; by expiry, strike, calls first. Expiry texts sort by time."""
    rank = {"spot": 0, "perpetual": 0, "future": 1, "option": 2}[quote.kind]
    strike = Decimal(quote.strike or 0)
    return quote.underlying, rank, quote.expiry or "", strike, quote.option_type or "", quote.name


def _indices(
    quotes: Sequence[Quote],
    apart: dict[str, tuple[str, int]],
    options: Options,
    notes: list[str],
    file: str,
) -> dict[str, tuple[str, int]]:
    """The newest price of each index, the caller's where the file has none. Raises InputError."""
    for name in options.indices:
        if any(quote.underlying == name and quote.index is not None for quote in quotes) or name in apart:
            raise InputError("the file has its index price: a second one is refused", field=f"index {name}")
        if all(quote.underlying != name for quote in quotes):
            listed = ", ".join(dict.fromkeys(quote.underlying for quote in quotes))
            raise InputError("no contract of the file is on it", field=f"index {name}", hint=f"they are on {listed}")
    result = {}
    for name in dict.fromkeys(quote.underlying for quote in quotes):
        own = [quote for quote in quotes if quote.underlying == name]
        priced = [(quote.index, quote.time) for quote in own if quote.index is not None]
        if name in apart:
            result[name] = apart[name]
        elif priced:
            newest = max(priced, key=lambda item: item[1])
            _, low, high = median([text for text, _ in priced])
            if low != high:
                notes.append(f"{name} index moved between {low} and {high}: {newest[0]}, the newest, is used")
            result[name] = newest
        elif name in options.indices:
            text = options.indices[name]
            if to_fraction(text, field=f"index {name}") <= 0:
                raise InputError("must be above 0", field=f"index {name}")
            notes.append(f"index {name} = {text} {QUOTE} was given by the caller, as of the newest price")
            result[name] = (text, max(quote.time for quote in own))
        else:
            raise InputError(
                f"no index price of {name} in the file",
                file=file,
                field="index",
                hint=f"give a price for the index {name}, or add the venue's answer that has it",
            )
    return result


def _forwards(quotes: Sequence[Quote], notes: list[str]) -> list[Forward]:
    """One forward per expiry: the median of its options' underlying prices, else the future's mark price."""
    groups: dict[tuple[str, str], list[Quote]] = defaultdict(list)
    for quote in quotes:
        if quote.expiry is not None:
            groups[quote.underlying, quote.expiry].append(quote)
    result = []
    for (underlying, expiry), own in sorted(groups.items()):
        priced = [quote for quote in own if quote.forward is not None] or own
        values = [quote.forward or quote.mark or "" for quote in priced]
        middle, low, high = median(values)
        where = f"{underlying} {expiry[:10]}"
        if low != high:
            spread = -(-10_000 * (to_fraction(high) - to_fraction(low)) // to_fraction(middle))
            notes.append(
                f"{where}: {len(values)} forwards from {low} to {high} ({spread} bp apart): the median {middle} is used"
            )
        names = {quote.forward_name for quote in own if quote.forward_name}
        if "index_price" in names:
            notes.append(f"{where}: the exchange prices this expiry off the index (it lists no future)")
        if any(n.startswith("SYN.") for n in names):
            notes.append(f"{where}: the exchange's forward is synthetic, interpolated between futures")
        rate, rate_low, rate_high = median([quote.rate for quote in priced])
        if rate_low != rate_high:
            notes.append(f"{where}: interest rates from {rate_low} to {rate_high}: the median {rate} is used")
        # The median is as old as the older of the quotes in the middle.
        ranked = sorted(zip((to_fraction(v) for v in values), (quote.time for quote in priced), strict=True))
        time = min(ranked[(len(ranked) - 1) // 2][1], ranked[len(ranked) // 2][1])
        result.append(Forward(underlying=underlying, expiry=expiry, price=middle, rate=rate, time=format_time(time)))
    return result


def _instrument(quote: Quote) -> Instrument:
    try:
        return Instrument.model_validate(
            {
                "id": quote.name,
                "kind": quote.kind,
                "underlying": quote.underlying,
                "expiry": quote.expiry,
                "strike": quote.strike,
                "option_type": quote.option_type,
                "implied_vol": quote.vol,
                "settlement": quote.settlement,
                "multiplier": quote.multiplier,
                "lot": quote.lot,
                "mark_price": None if quote.kind == "option" else quote.mark,
                "time": format_time(quote.time),
            }
        )
    except InputError as error:
        raise error.located(file=quote.file, line=quote.line) from None


def _assets(
    quotes: Sequence[Quote], indices: Mapping[str, tuple[str, int]], options: Options, notes: list[str]
) -> list[Asset]:
    """Coins that contracts settle in at their index price, currencies of linear ones, what the caller prices."""
    coins = {quote.coin: quote.underlying for quote in quotes if quote.coin is not None}
    assets = []
    for coin, underlying in coins.items():
        if coin in options.prices:
            raise InputError("the file has its index price: a second price is refused", field=f"price {coin}")
        text, time = indices[underlying]
        lot = COIN_LOTS.get(coin) or cent_lot(to_fraction(text))
        assets.append(Asset(name=coin, price=text, lot=lot, underlying=underlying, time=format_time(time)))
    linear = sorted({quote.currency for quote in quotes if quote.settlement == "linear"} - set(options.prices))
    assets += [Asset(name=currency, price="1", lot=STABLE_LOT) for currency in linear]
    if linear:
        notes.append(f"{' and '.join(linear)}: collateral at 1 {QUOTE} (a price given for {linear[0]} says otherwise)")
    for name, text in options.prices.items():
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError("not an asset name like USDC", field=f"price {name[:80]!r}")
        value = to_fraction(text, field=f"price {name}")
        if value <= 0:
            raise InputError("must be above 0", field=f"price {name}")
        assets.append(Asset(name=name, price=text, lot=STABLE_LOT if name in STABLECOINS else cent_lot(value)))
        notes.append(f"{name} = {text} {QUOTE} was given by the caller, as of the market's time")
    if not options.prices and not linear:
        notes.append("no stablecoin price in the file: collateral is coins only (a price given for USDC adds it)")
    return assets


def cent_lot(value: Fraction) -> str:
    """The finest power of ten of an asset that is worth at least 0.01 in quote."""
    lot = Fraction(1)
    while lot * value < Fraction(1, 100):
        lot *= 10
    while lot * value >= Fraction(1, 10):
        lot /= 10
    return from_units(int(lot * 10**30), 30)


def with_vol(quote: Quote, vol: str | None, mark: str | None, left_out: LeftOut) -> Quote | None:
    """The option with its vol; None, and it is left out, where there is none."""
    chosen, reason = vol_or_reason(quote, vol, mark)
    if chosen is None:
        left_out.add(reason, quote.name)
        return None
    return replace(quote, vol=chosen)
