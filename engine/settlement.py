"""Expiry: what is alive in a market, and what still pays a fixed amount.

From the instant of its expiry an instrument is carried at its *settlement value*, which the market document states:
that is its mark, and it has no P&L in any scenario, no Greek, no part in an offset, a spread or a minimum, until it is
delisted. A short expired option therefore still owes what it settled at, and a long one no longer hedges anything. No
model is asked: only what is alive is priced, and every published array is 0 for what is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkmargin.engine.decimals import MAX_DECIMAL_LENGTH, format_time, from_units, parse_time, to_fraction
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.market import Market
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import quantity_per_lot
from zkmargin.formats import Hint, InputError


class Settled(NamedTuple):
    """An instrument that has expired: its slot, underlying and expiry (ms), and what it still pays.

    ``value`` is in money units per lot, before rounding.
    """

    slot: int
    name: str
    underlying: str
    expiry: int
    value: Fraction


class Alive(NamedTuple):
    """A market without what has expired.

    Attributes:
        market: the rest of the market, in the same order; forwards of expiries that have passed are gone too.
        slots: [n] int64, where its instruments are in the whole market.
        settled: what has expired, in the order of slots.
    """

    market: Market
    slots: Int64Array
    settled: tuple[Settled, ...]


def alive(market: Market) -> Alive:
    """Split a market at its own time: an instrument whose expiry is that very millisecond has expired.

    Raises:
        InputError: an instrument has expired, and no settlement value is given for it: names it.
    """
    now = parse_time(market.time)
    slots, settled = [], []
    for slot, instrument in enumerate(market.instruments):
        if not instrument.expired_at(now):
            slots.append(slot)
            continue
        if instrument.settlement_value is None:
            raise InputError(
                f"has expired ({instrument.expiry}, the market's time is {market.time}) without a settlement value",
                field=instrument.id,
                hint=Hint.SETTLE,
            )
        value = to_fraction(instrument.settlement_value) * quantity_per_lot(instrument) * MONEY
        settled.append(Settled(slot, instrument.id, instrument.underlying, parse_time(instrument.expiry or ""), value))
    if not settled:
        return Alive(market, np.arange(len(slots), dtype=np.int64), ())
    rest = market.model_copy(
        update={
            "instruments": tuple(market.instruments[slot] for slot in slots),
            "forwards": tuple(forward for forward in market.forwards if parse_time(forward.expiry) > now),
        }
    )
    return Alive(rest, np.array(slots, dtype=np.int64), tuple(settled))


def payoff(option_type: str | None, strike: str | None, delivery: Fraction) -> Fraction:
    """What one unit of an expired option pays at a delivery price, in quote: ``max(S - K, 0)`` or ``max(K - S, 0)``.

    An inverse option pays that amount in coin at the delivery price. Of a future nothing is left.
    """
    if option_type is None:
        return Fraction(0)
    gain = delivery - to_fraction(strike or "0")
    return max(gain if option_type == "call" else -gain, Fraction(0))


def with_deliveries(market: Market, deliveries: Mapping[tuple[str, int], Fraction]) -> Market:
    """The market with a settlement value for everything that has expired at a delivery price that is given.

    Args:
        market: any version; the result is of version 2.
        deliveries: quote per unit, by underlying and expiry in milliseconds.

    Raises:
        InputError: an expiry at which nothing has expired, or an instrument that has a settlement value already.
    """
    now, used, instruments = parse_time(market.time), set(), []
    for instrument in market.instruments:
        key = (instrument.underlying, parse_time(instrument.expiry)) if instrument.expiry is not None else None
        if key is None or key not in deliveries or not instrument.expired_at(now):
            instruments.append(instrument)
            continue
        used.add(key)
        if instrument.settled:
            raise InputError("has a settlement value already", field=instrument.id)
        value = payoff(instrument.option_type, instrument.strike, deliveries[key])
        instruments.append(instrument.model_copy(update={"settlement_value": _text(value)}))
    for underlying, expiry in deliveries:
        if (underlying, expiry) not in used:
            raise InputError("nothing of the market has expired then", field=f"{underlying} {format_time(expiry)}")
    return market.replaced(format="zkmargin/market/v2", instruments=tuple(instruments))


def _text(value: Fraction) -> str:
    """A difference of decimals as decimal text, exact."""
    return from_units(int(value * 10**MAX_DECIMAL_LENGTH), MAX_DECIMAL_LENGTH)
