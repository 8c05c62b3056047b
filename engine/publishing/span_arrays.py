"""SPAN arrays and deltas of a market under a ``SpanModel``: the pricing behind ``engine.span``."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkmargin.engine.decimals import parse_time, to_fraction, to_nearest_units, to_units
from zkmargin.engine.exact import Int64Array, round_half_away, scale_round
from zkmargin.engine.market import Instrument
from zkmargin.engine.span import MAX_VOL_1E9, SCENARIOS, Point, SpanModel
from zkmargin.engine.valuation import PRICE_BITS, Valuation, quantity_per_lot
from zkmargin.formats import InputError

MS_PER_DAY = 86_400_000
_BP = 10_000
_DELTA_UNIT = 10**9


def span_arrays(model: SpanModel, valuation: Valuation) -> Int64Array:
    """[N, 16] P&L of one lot long, gain positive, money units.

    Raises:
        InputError: an inverse instrument, a price move past 0, a number that does not fit: names the instrument.
    """
    for instrument in valuation.market.instruments:
        if instrument.settlement == "inverse" and (instrument.kind == "option" or model.moves == "spot"):
            raise InputError(
                "SPAN arrays are for contracts that settle in the quote currency, and inverse futures on forwards",
                field=instrument.id,
            )
    result = valuation.table(SCENARIOS)
    points = model.points()
    for slot, instrument in enumerate(valuation.market.instruments):
        if instrument.kind != "option":
            changes = _line(model, valuation, slot, points)
            result[slot] = [_rounded(model, valuation, instrument, change) for change in changes]
    options = valuation.options
    if len(options.slots):
        moved = _Priced(model, valuation).changes(points)
        rounded = np.empty_like(moved)
        for columns, weight in ((slice(0, 14), points[0].weight), (slice(14, 16), points[15].weight)):
            rounded[:, columns] = _rounded_all(model, valuation, moved[:, columns], weight)
        result[options.slots] = rounded
    return result


def span_deltas(model: SpanModel, valuation: Valuation) -> Int64Array:
    """[N] 1e-9 units of underlying per lot: 1 a unit for what is no option."""
    result = np.zeros(valuation.size, dtype=np.int64)
    for slot, instrument in enumerate(valuation.market.instruments):
        units = quantity_per_lot(instrument)
        if instrument.settlement == "inverse":
            index = to_fraction(valuation.market.underlying(instrument.underlying).index_price)
            units = (valuation.line(slot) or Fraction(0)) / (index * valuation.money_unit)
        result[slot] = _units(instrument, units * _DELTA_UNIT)
    options = valuation.options
    if len(options.slots):
        priced = _Priced(model, valuation)
        slopes = priced.composite_deltas() if model.delta == "composite" else priced.plain_deltas()
        for slot, slope in zip(options.slots.tolist(), slopes, strict=True):
            instrument = valuation.market.instruments[slot]
            result[slot] = _units(instrument, quantity_per_lot(instrument) * slope * _DELTA_UNIT)
    return result


def span_times(model: SpanModel, valuation: Valuation, expiries: Sequence[str]) -> list[int]:
    """Milliseconds to each expiry, as the policy counts them; 0 once it has passed."""
    now = parse_time(valuation.market.time)
    if model.day_count == "exact":
        return [max(parse_time(expiry) - now, 0) for expiry in expiries]
    days = [parse_time(expiry) // MS_PER_DAY - now // MS_PER_DAY + model.days_added for expiry in expiries]
    return [max(day, 0) * MS_PER_DAY for day in days]


def price_scan(model: SpanModel, valuation: Valuation, underlying: str, time_ms: int = 0) -> Fraction:
    """The price scan range in quote per unit of the underlying, for a time to expiry."""
    risk, index = model.risk(underlying), to_fraction(valuation.market.underlying(underlying).index_price)
    long_dated = risk.long_dated
    if long_dated is not None and time_ms > long_dated.beyond_days * MS_PER_DAY:
        return long_dated.price_scan.of(index)
    return risk.price_scan.of(index)


def _moved(model: SpanModel, valuation: Valuation, instrument: Instrument, time_ms: int) -> _Moved:
    """How the forward of an instrument moves (its index, without an expiry)."""
    underlying = instrument.underlying
    index = to_fraction(valuation.market.underlying(underlying).index_price)
    scan = price_scan(model, valuation, underlying, time_ms)
    if instrument.expiry is None:
        return _Moved(index, scan, Fraction(1))
    forward = valuation.market.forward_of(instrument)
    price = to_fraction(forward.price)
    if model.moves == "forward":
        return _Moved(price, scan, Fraction(1))
    carry = price / index
    passed = min(1000 * model.lookahead_seconds, time_ms)
    rate = to_nearest_units(forward.rate, 9, field=f"forward {underlying} {instrument.expiry} rate")
    return _Moved(price, scan * carry, _discount(passed, rate))


def _line(model: SpanModel, valuation: Valuation, slot: int, points: Sequence[Point]) -> list[Fraction]:
    """Changes per contract unit of a future, perpetual or spot, weights applied."""
    instrument = valuation.market.instruments[slot]
    time = span_times(model, valuation, [instrument.expiry])[0] if instrument.expiry else 0
    if instrument.settlement == "inverse":
        # linear in the relative move of price and index together (engine.valuation)
        index = to_fraction(valuation.market.underlying(instrument.underlying).index_price)
        slope = (valuation.line(slot) or Fraction(0)) / (to_fraction(instrument.lot) * valuation.money_unit)
        move = price_scan(model, valuation, instrument.underlying, time) / index
        return [slope * move * point.weight * point.price for point in points]
    moved = _moved(model, valuation, instrument, time)
    multiplier = to_fraction(instrument.multiplier)
    return [multiplier * point.weight * (moved.price(point.price) - moved.base) for point in points]


def _rounded(model: SpanModel, valuation: Valuation, instrument: Instrument, change: Fraction) -> int:
    """A change per contract unit as money units per lot, rounded to the array's unit where it has one."""
    money = to_fraction(instrument.lot) * valuation.money_unit
    if model.array_unit is None:
        return _units(instrument, change * money)
    unit = to_fraction(model.array_unit)
    counts = change / unit
    return _units(instrument, round_half_away(counts.numerator, counts.denominator) * unit * money)


def _rounded_all(model: SpanModel, valuation: Valuation, changes: Int64Array, weight: Fraction) -> Int64Array:
    """The same for options, whose changes are in their price units."""
    options = valuation.options
    factors = [factor * weight for factor in options.factors]
    if model.array_unit is None:
        return _scaled(changes, factors, options.names)
    lots = [to_fraction(valuation.market.instruments[slot].lot) for slot in options.slots.tolist()]
    unit = to_fraction(model.array_unit) * valuation.money_unit
    counts = _scaled(changes, [f / (lot * unit) for f, lot in zip(factors, lots, strict=True)], options.names)
    return _scaled(counts, [lot * unit for lot in lots], options.names)


class _Moved(NamedTuple):
    """A forward (or index) before the look-ahead and its move; ``carry`` multiplies what it is after it."""

    base: Fraction
    scan: Fraction
    carry: Fraction

    def price(self, move: Fraction) -> Fraction:
        return (self.base + move * self.scan) * self.carry


class _Priced:
    """The options of a market under a SPAN model, as arrays for pricing."""

    def __init__(self, model: SpanModel, valuation: Valuation) -> None:
        self._model, self._options = model, valuation.options
        chosen = [valuation.market.instruments[slot] for slot in self._options.slots.tolist()]
        self._times = np.array(span_times(model, valuation, [o.expiry or "" for o in chosen]), dtype=np.int64)
        self._later = np.maximum(self._times - 1000 * model.lookahead_seconds, 0)
        risks = [model.risk(option.underlying) for option in chosen]
        own = zip(risks, self._options.vol.tolist(), strict=True)
        self._vol = np.array([to_units(r.vol, 9) if r.vol is not None else v for r, v in own], dtype=np.int64)
        self._vol_scan = np.array([to_units(risk.vol_scan, 9) for risk in risks], dtype=np.int64)
        self._moved = []
        self._units = []
        known: dict[tuple[str, str, str | None], _Moved] = {}
        for option, time, factor in zip(chosen, self._times.tolist(), self._options.factors, strict=True):
            key = (option.underlying, option.expiry or "", option.forward)
            if key not in known:
                known[key] = _moved(model, valuation, option, time)
            self._moved.append(known[key])
            self._units.append(quantity_per_lot(option) * valuation.money_unit / factor)

    def changes(self, points: Sequence[Point]) -> Int64Array:
        """[n, 16] changes of value in the options' price units, before weights."""
        from zkmargin.engine.pricing import black76  # noqa: PLC0415 - compiled code, which a verifier never loads

        options = self._options
        moves = sorted({point.price for point in points})
        forwards = self._forwards(moves)
        column = [moves.index(point.price) for point in points]
        shift = np.array([point.vol for point in points], dtype=np.int64)
        vols = np.maximum(self._vol[:, None] + shift * self._vol_scan[:, None], 0)
        if np.any(vols > MAX_VOL_1E9):
            raise InputError("a vol shocked above 10000 %", field=options.names[int(np.argmax(vols.max(axis=1)))])
        strike, rate, call = options.strike[:, None], options.rate[:, None], options.is_call[:, None]
        after = black76(forwards[:, column], strike, vols, self._later[:, None], rate, call)
        before = black76(options.forward[:, None], strike, self._vol[:, None], self._times[:, None], rate, call)
        return after - before

    def plain_deltas(self) -> list[Fraction]:
        """N(d1) of each option, N(d1) - 1 of a put: now, undiscounted."""
        return [Fraction(slope, 10**12) for slope in self._slopes(self._options.forward, self._times)]

    def composite_deltas(self) -> list[Fraction]:
        """The weighted mean over seven price moves, after the look-ahead."""
        weights = [weight for weight in self._model.delta_weights_bp for _ in (1, -1)][1:]
        moves = [Fraction(sign * k, 3) for k in range(4) for sign in (1, -1)][1:]
        forwards = self._forwards(moves)
        columns = [self._slopes(forwards[:, column], self._later) for column in range(len(moves))]
        return [
            Fraction(sum(w * slope for w, slope in zip(weights, slopes, strict=True)), _BP * 10**12)
            for slopes in zip(*columns, strict=True)
        ]

    def _slopes(self, forward: Int64Array, time: Int64Array) -> list[int]:
        from zkmargin.engine.pricing import greeks  # noqa: PLC0415

        options = self._options
        no_rate = np.zeros_like(options.rate)
        slopes: list[int] = greeks(
            forward, options.strike, self._vol, time, no_rate, options.is_call
        ).delta_1e12.tolist()
        return slopes

    def _forwards(self, moves: Sequence[Fraction]) -> Int64Array:
        """[n, moves] shocked forwards in the options' price units, rounded half away from zero."""
        known: dict[tuple[_Moved, Fraction], list[int]] = {}
        rows = []
        for name, moved, unit in zip(self._options.names, self._moved, self._units, strict=True):
            key = (moved, unit)
            if key not in known:
                exact = [moved.price(move) * unit for move in moves]
                known[key] = [round_half_away(price.numerator, price.denominator) for price in exact]
                if min(known[key]) <= 0 or max(known[key]) >> PRICE_BITS:
                    raise InputError(
                        "a scenario takes its forward to 0 or below, or past what is priced",
                        field=name,
                        hint="the price scan range or extreme_multiple is too large for this underlying",
                    )
            rows.append(known[key])
        return np.array(rows, dtype=np.int64)


def _units(instrument: Instrument, amount: Fraction) -> int:
    rounded = round_half_away(amount.numerator, amount.denominator)
    if abs(rounded) >= 1 << 63:
        raise InputError("a value per lot is past 64 bits", field=instrument.id, hint="use a smaller lot")
    return rounded


def _scaled(values: Int64Array, factors: Sequence[Fraction], names: Sequence[str]) -> Int64Array:
    try:
        return scale_round(values, [f.numerator for f in factors], [f.denominator for f in factors])
    except OverflowError as error:
        raise InputError(
            "a value per lot is past 64 bits", field=names[int(error.args[0])], hint="use a smaller lot"
        ) from None


def _discount(time_ms: int, rate_1e9: int) -> Fraction:
    from zkmargin.engine.pricing import discount_1e17  # noqa: PLC0415

    return Fraction(int(discount_1e17(time_ms, rate_1e9)), 10**17)
