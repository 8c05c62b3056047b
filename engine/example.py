"""Our own example: a parametric BTC and ETH market at any time, and a market maker's book over it.

No market data is in here. Everything is exact rational arithmetic, so the same time gives the same bytes on
every machine. Vols follow the usual stylised shape: a term structure that rises with expiry and a smile that
is quadratic in log-moneyness per square root of time (the leading terms of Gatheral's SVI around the money).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import isqrt

from zkmargin.engine.decimals import format_time, from_units, parse_time, to_fraction
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying

STRIKES_BELOW, STRIKES_ABOVE = 9, 8
EXPIRY_HOUR = 8
DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
FRIDAY = 4
QUARTER_MONTHS = (3, 6, 9, 12)


@dataclass(frozen=True)
class Shape:
    """The parameters of one underlying: prices in USD, vols and rates as fractions a year, sizes in coin."""

    name: str
    index: Fraction
    carry: Fraction
    short_vol: Fraction
    long_vol: Fraction
    skew: Fraction
    smile: Fraction
    strike_steps: tuple[int, int, int, int, int, int]
    option_lot: Fraction
    perpetual_lot: Fraction
    spot_lot: Fraction
    asset_lot: Fraction
    contract_usd: int
    trade_size: Fraction


SHAPES = (
    Shape(
        name="BTC",
        index=Fraction("92416.5"),
        carry=Fraction("0.065"),
        short_vol=Fraction("0.44"),
        long_vol=Fraction("0.56"),
        skew=Fraction("-0.05"),
        smile=Fraction("0.06"),
        strike_steps=(1000, 2000, 2500, 4000, 5000, 8000),
        option_lot=Fraction("0.1"),
        perpetual_lot=Fraction("0.001"),
        spot_lot=Fraction("0.0001"),
        asset_lot=Fraction("0.00001"),
        contract_usd=10,
        trade_size=Fraction(10),
    ),
    Shape(
        name="ETH",
        index=Fraction("3178.25"),
        carry=Fraction("0.055"),
        short_vol=Fraction("0.58"),
        long_vol=Fraction("0.7"),
        skew=Fraction("-0.04"),
        smile=Fraction("0.07"),
        strike_steps=(50, 100, 100, 150, 200, 300),
        option_lot=Fraction(1),
        perpetual_lot=Fraction("0.01"),
        spot_lot=Fraction("0.001"),
        asset_lot=Fraction("0.0001"),
        contract_usd=1,
        trade_size=Fraction(180),
    ),
)

#: Half of the vol's way from short to long is gone after this many days.
HALF_WAY_DAYS = 90
DISCOUNT_RATE = "0.04"
PERPETUAL_PREMIUM = Fraction("1.0002")


def example_market(time: str) -> Market:
    """The example market at a time (ISO-8601 UTC): 432 options over 6 expiries, futures, perpetuals, spot.

    Options and perpetuals are linear, futures are inverse, so that both kinds of settlement are shown.

    Raises:
        InputError: not a time.
    """
    now = parse_time(time, field="time")
    expiries = example_expiries(now)
    forwards: list[Forward] = []
    instruments: list[Instrument] = []
    for shape in SHAPES:
        prices = [_round(shape.index * (1 + shape.carry * Fraction(at - now, YEAR_MS)), 2) for at in expiries]
        forwards += [
            Forward(underlying=shape.name, expiry=format_time(at), price=price, rate=DISCOUNT_RATE)
            for at, price in zip(expiries, prices, strict=True)
        ]
        instruments += _linear_and_futures(shape, expiries)
        for number, (at, price) in enumerate(zip(expiries, prices, strict=True)):
            instruments += _options(shape, at, Fraction(at - now, YEAR_MS), Fraction(price), shape.strike_steps[number])
    return Market(
        time=time,
        source="zkmargin's parametric example: not market data",
        underlyings=tuple(Underlying(name=s.name, index_price=_round(s.index, 2)) for s in SHAPES),
        forwards=tuple(forwards),
        instruments=tuple(instruments),
        assets=(
            Asset(name="USDC", price="1", lot="0.01"),
            *(Asset(name=s.name, price=_round(s.index, 2), lot=_text(s.asset_lot), underlying=s.name) for s in SHAPES),
        ),
    )


def example_expiries(now: int) -> tuple[int, ...]:
    """Six expiries after a time in milliseconds: the next two Fridays, two month ends and two quarter ends.

    An exchange's usual calendar: month and quarter ends are last Fridays, at 08:00 UTC; the first is at
    least a day and a half away.
    """
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now) + timedelta(hours=36)
    day = start.replace(hour=EXPIRY_HOUR, minute=0, second=0, microsecond=0)
    day += timedelta(days=(FRIDAY - day.weekday()) % 7)
    if day < start:
        day += timedelta(days=7)
    found = [day, day + timedelta(days=7)]
    for last in _month_ends(found[-1]):
        if len(found) < 4 or (len(found) < 6 and last.month in QUARTER_MONTHS):
            found.append(last)
        if len(found) == 6:
            break
    return tuple((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) for at in found)


def _month_ends(after: datetime) -> Iterator[datetime]:
    """The last Fridays of months, later than a week after a Friday."""
    day = after + timedelta(days=7)
    while True:
        day += timedelta(days=7)
        if (day + timedelta(days=7)).month != day.month:
            yield day


def _linear_and_futures(shape: Shape, expiries: tuple[int, ...]) -> Iterator[Instrument]:
    name = shape.name
    yield Instrument(id=f"{name}-SPOT", kind="spot", underlying=name, lot=_text(shape.spot_lot))
    yield Instrument(
        id=f"{name}-PERPETUAL",
        kind="perpetual",
        underlying=name,
        lot=_text(shape.perpetual_lot),
        mark_price=_round(shape.index * PERPETUAL_PREMIUM, 2),
    )
    for at in expiries:
        yield Instrument(
            id=f"{name}-{_date(at)}",
            kind="future",
            underlying=name,
            expiry=format_time(at),
            settlement="inverse",
            multiplier=str(shape.contract_usd),
            lot="1",
        )


def _options(shape: Shape, at: int, years: Fraction, forward: Fraction, step: int) -> Iterator[Instrument]:
    middle = round(forward / step)
    for number in range(middle - STRIKES_BELOW, middle + STRIKES_ABOVE + 1):
        strike = number * step
        vol = _round(_vol(shape, years, forward, Fraction(strike)), 4)
        for right in ("call", "put"):
            yield Instrument(
                id=f"{shape.name}-{_date(at)}-{strike}-{right[0].upper()}",
                kind="option",
                underlying=shape.name,
                expiry=format_time(at),
                strike=str(strike),
                option_type="call" if right == "call" else "put",
                implied_vol=vol,
                lot=_text(shape.option_lot),
            )


def _vol(shape: Shape, years: Fraction, forward: Fraction, strike: Fraction) -> Fraction:
    days = years * 365
    at_the_money = shape.short_vol + (shape.long_vol - shape.short_vol) * days / (days + HALF_WAY_DAYS)
    moneyness = _log(strike / forward) / _sqrt(years)
    return at_the_money * (1 + shape.skew * moneyness + shape.smile * moneyness**2)


def example_book(market: Market) -> dict[str, dict[str, str]]:
    """A market maker's book over ``example_market``: ``{"positions": {id: text}, "collateral": {asset: text}}``.

    Short strangles with bought wings in five expiries, a calendar (short near, long far straddles), a
    cash-and-carry in spot and futures, and the delta hedged with inverse futures and the perpetual.
    Collateral in USDC, BTC and ETH.
    """
    now = parse_time(market.time)
    positions: dict[str, Fraction] = {}
    for shape in SHAPES:
        chains: dict[str, list[Instrument]] = {}
        for instrument in market.instruments:
            if instrument.underlying == shape.name and instrument.kind == "option" and instrument.expiry:
                chains.setdefault(instrument.expiry, []).append(instrument)
        expiries = sorted(chains)
        legs = dict(_option_legs(shape, [chains[e] for e in expiries]))
        by_id = {i.id: i for chain in chains.values() for i in chain}
        delta = sum((size * _delta(market, by_id[name], now) for name, size in legs.items()), Fraction(0))
        carry = shape.trade_size
        far, near = (market.forward(shape.name, expiries[n]) for n in (4, 2))
        legs[f"{shape.name}-SPOT"] = carry
        _add_future(legs, shape, far, -carry)
        hedge = _whole(-delta * Fraction(3, 5), shape.perpetual_lot)
        _add_future(legs, shape, near, hedge)
        legs[f"{shape.name}-PERPETUAL"] = _whole(-delta - hedge, shape.perpetual_lot)
        positions |= {name: size for name, size in legs.items() if size}
    return {
        "positions": {name: _text(size) for name, size in positions.items()},
        "collateral": {"USDC": "1050000", "BTC": "22.5", "ETH": "310.25"},
    }


def _option_legs(shape: Shape, chains: list[list[Instrument]]) -> Iterator[tuple[str, Fraction]]:
    """Sizes by instrument. A chain holds call and put of each strike in turn, strikes ascending."""
    for number, chain in enumerate(chains[:5]):
        # Sizes vary from leg to leg, as in a book built by many trades.
        sold = [(2 * 7 + 1), (2 * 6 + 1), (2 * 5 + 1), 2 * 11, 2 * 12, 2 * 13]
        bought = [2 * 2 + 1, 2 * 15]
        for place in sold:
            yield (
                chain[place].id,
                -_whole(shape.trade_size * Fraction(4 + (place + 3 * number) % 7, 6), shape.option_lot),
            )
        for place in bought:
            yield chain[place].id, _whole(shape.trade_size * Fraction(9 + (place + number) % 5, 6), shape.option_lot)
    straddle = (2 * 9, 2 * 9 + 1)
    for place in straddle:
        yield chains[1][place].id, -_whole(shape.trade_size * Fraction(5, 4), shape.option_lot)
        yield chains[5][place].id, _whole(shape.trade_size * Fraction(3, 2), shape.option_lot)


def _add_future(legs: dict[str, Fraction], shape: Shape, forward: Forward, coins: Fraction) -> None:
    """Inverse futures with the delta of so many coins: their number is coins x forward / contract value."""
    name = f"{shape.name}-{_date(parse_time(forward.expiry))}"
    legs[name] = _whole(coins * Fraction(forward.price) / shape.contract_usd, Fraction(1))


def _delta(market: Market, option: Instrument, now: int) -> Fraction:
    """Black-76 delta, coarse and undiscounted: it sizes the example's hedge and is no part of any margin."""
    forward = Fraction(market.forward(option.underlying, option.expiry or "").price)
    deviation = to_fraction(option.implied_vol or "") * _sqrt(Fraction(parse_time(option.expiry or "") - now, YEAR_MS))
    call = _normal(_log(forward / Fraction(option.strike or "")) / deviation + deviation / 2)
    return call if option.option_type == "call" else call - 1


def _normal(x: Fraction) -> Fraction:
    """The normal distribution to 3e-4 in rationals: Abramowitz and Stegun 7.1.27."""
    if x < 0:
        return 1 - _normal(-x)
    # Four decimals are plenty and keep the fractions short.
    y = Fraction(round(x * 7071), 10_000)
    base = 1 + y * (
        Fraction("0.278393") + y * (Fraction("0.230389") + y * (Fraction("0.000972") + y * Fraction("0.078108")))
    )
    return 1 - 1 / (2 * base**4)


def _log(ratio: Fraction) -> Fraction:
    """The natural logarithm near 1, 3 (r^2 - 1) / (r^2 + 4 r + 1): a Padé approximant good to 3 % for r in 0.2 .. 4."""
    return 3 * (ratio**2 - 1) / (ratio**2 + 4 * ratio + 1)


def _sqrt(value: Fraction) -> Fraction:
    """The square root to 6 decimals, down."""
    return Fraction(isqrt(value.numerator * 10**12 // value.denominator), 10**6)


def _date(at: int) -> str:
    """The exchanges' short date, 27MAR26."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    month = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")[moment.month - 1]
    return f"{moment.day}{month}{moment.year % 100:02d}"


def _whole(value: Fraction, lot: Fraction) -> Fraction:
    return round(value / lot) * lot


def _round(value: Fraction, decimals: int) -> str:
    return from_units(round(value * 10**decimals), decimals)


def _text(value: Fraction) -> str:
    """Exact: sizes here are multiples of lots, which have few decimals."""
    return from_units(int(value * 10**9), 9)
