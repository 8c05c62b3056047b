"""Greeks of a book: per leg, per underlying and in all. Exact sums of the integers of ``engine.sensitivities``.

Collateral is not in them: a balance in coin has a delta of its own, one unit a coin.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import PlainSerializer

from zkmargin.engine.book import Book, BookLots, as_lots
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.exact import place, round_half_away
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.publishing.greeks import sensitivities
from zkmargin.engine.sensitivities import Sensitivities
from zkmargin.engine.settlement import alive
from zkmargin.engine.snapshot import InstrumentSlot, Snapshot
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.engine.valuation import Valuation, risk_groups
from zkmargin.formats import InputError, Map, Model, Seq

UNITS = {
    "delta": "units of the underlying",
    "delta_value": "quote: delta at the index price",
    "gamma": "units of the underlying that a rise of the price by 1 % adds to delta",
    "gamma_value": "quote: gamma at the index price",
    "vega": "quote per point of vol (0.01)",
    "theta": "quote per calendar day",
    "rho": "quote per percentage point of the discount rates (0.01)",
}
NO_GREEKS = "imported SPAN arrays hold a composite delta and no other Greeks, nor an index price"
_TERMS = ("kind", "underlying", "lot", "expiry", "strike", "option_type", "settlement", "multiplier")


def _decimal(amount: int) -> str:
    return from_units(amount, MONEY_DECIMALS)


#: 1e-9 (of the underlying, or of the quote currency) in Python, an exact decimal in JSON.
Billionths = Annotated[int, PlainSerializer(_decimal, return_type=str, when_used="json")]


class Exposure(Model):
    """Greeks of one leg, of an underlying, or of the book, in ``UNITS``; None is unknown.

    The book has no delta and gamma in units: those of several underlyings do not add up, their values do.
    """

    name: str
    delta: Billionths | None = None
    delta_value: Billionths | None = None
    gamma: Billionths | None = None
    gamma_value: Billionths | None = None
    vega: Billionths | None = None
    theta: Billionths | None = None
    rho: Billionths | None = None


class GreekReport(Model):
    """Greeks of a book. Secret: about one book.

    Attributes:
        source: ``snapshot``, or ``market`` for one that was given.
        time: the prices' time.
        market_digest: of the market that they come from (for imported arrays: of the arrays).
        missing: why some are None; empty where none is.
        legs: one a position that is not zero, in the order of slots.
        underlyings: one a risk group that the book has positions in.

    Example:
        >>> report = greek_report(snapshot, book, market)
        >>> report.underlyings[0].name
        'BTC'
    """

    source: str
    time: str
    market_digest: str
    quote: str
    units: Map[str, str]
    missing: str
    legs: Seq[Exposure]
    underlyings: Seq[Exposure]
    book: Exposure


def greek_report(snapshot: Snapshot, book: Book | BookLots, market: Market | None = None) -> GreekReport:
    """The Greeks of a book.

    Args:
        snapshot: names the slots, and holds Greeks unless it was built from imported SPAN arrays.
        book: in its own units or in lots.
        market: where to compute them from instead, at any time: the snapshot's own market, or a later one.

    Raises:
        InputError: a market without an instrument of the book, or with another one under its name, or with stale
            prices; a book of another snapshot.

    Example:
        >>> len(greek_report(snapshot, book, market).legs) == len(book.positions)
        True
    """
    lots = as_lots(book, snapshot)
    if len(lots.positions) != len(snapshot.instruments):
        raise InputError("the book is not of this snapshot: another number of slots")
    held = [slot for slot, amount in enumerate(lots.positions) if amount]
    if market is None:
        deltas, found, rows = snapshot.deltas.values.tolist(), snapshot.sensitivities, held
        group_of, groups = snapshot.group_of, snapshot.groups
    else:
        rest, slots, _ = alive(market)
        rest.refuse_stale(snapshot.policy.max_price_age_seconds)
        places = {instrument.id: place for place, instrument in enumerate(market.instruments)}
        rows = [_place(snapshot.instruments[slot], places, market.instruments) for slot in held]
        groups, size = risk_groups(market), len(market.instruments)
        valuation = Valuation(rest, groups=groups)
        deltas = place(valuation.deltas(), slots, size).tolist()
        found = sensitivities(valuation).placed(slots, size)
        number = {name: group for group, name in enumerate(groups)}
        group_of = tuple(number[instrument.underlying] for instrument in market.instruments)
    legs = [
        _leg(snapshot.instruments[slot].id, lots.positions[slot], row, group_of[row], deltas, found)
        for slot, row in zip(held, rows, strict=True)
    ]
    owners = [groups[group_of[row]] for row in rows]
    return GreekReport(
        source="snapshot" if market is None else "market",
        time=snapshot.time if market is None else market.time,
        market_digest=snapshot.market_digest if market is None else market.digest().hex(),
        quote=snapshot.quote if market is None else market.quote,
        units=UNITS,
        missing="" if found is not None else NO_GREEKS,
        legs=tuple(legs),
        underlyings=tuple(
            _total(name, [leg for leg, owner in zip(legs, owners, strict=True) if owner == name])
            for name in dict.fromkeys(owners)
        ),
        book=_total("book", legs).model_copy(update={"delta": None, "gamma": None}),
    )


def _place(slot: InstrumentSlot, places: dict[str, int], instruments: Sequence[Instrument]) -> int:
    """Where a slot's instrument is in a market. Raises InputError."""
    if slot.id not in places:
        raise InputError("the market does not have it: no Greeks without its price", field=slot.id)
    found = places[slot.id]
    for term in _TERMS:
        if getattr(slot, term) != getattr(instruments[found], term):
            raise InputError(f"another {term} in the market than in the snapshot", field=slot.id)
    return found


def _leg(name: str, amount: int, row: int, group: int, deltas: Sequence[int], found: Sensitivities | None) -> Exposure:
    delta = amount * deltas[row]
    if found is None:
        return Exposure(name=name, delta=delta)
    index, gamma = to_fraction(found.index_prices[group]), amount * int(found.gammas.values[row])
    return Exposure(
        name=name,
        delta=delta,
        delta_value=_at(delta, index),
        gamma=gamma,
        gamma_value=_at(gamma, index),
        vega=amount * int(found.vegas.values[row]),
        theta=amount * int(found.thetas.values[row]),
        rho=amount * int(found.rhos.values[row]),
    )


def _at(units: int, price: Fraction) -> int:
    value = units * price
    return round_half_away(value.numerator, value.denominator)


def _total(name: str, parts: Sequence[Exposure]) -> Exposure:
    """The sum of exposures: a Greek that one of them lacks is unknown in all."""
    sums: dict[str, int | None] = {}
    for greek in UNITS:
        values = [getattr(part, greek) for part in parts]
        sums[greek] = None if None in values else sum(values)
    return Exposure(name=name, **sums)
