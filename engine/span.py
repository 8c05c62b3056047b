"""SPAN's own risk arrays: sixteen scenarios of one price scan range and one vol scan range, and composite deltas.

    1-14   price moves 0, +1/3, -1/3, +2/3, -2/3, +1, -1 of the price scan range, each with vol up, then vol down
    15, 16 price moves +k, -k price scan ranges, vol unchanged, of which only a fraction counts
           (CME gold: k = 3, 33 %; NSE: k = 2, 35 %). The fraction is applied to the array, as in published files.

Unlike ``worst_scenario`` the moves are absolute, vols shift by points, and every value is after a look-ahead. Two
ways to move are published:

* ``forward`` (CME): forwards and futures prices move by the same amount, options on them follow Black (1976);
* ``spot`` (NSE Clearing): the index moves, forwards are carried to it: ``F' = F (S + p PSR) / S exp(-r look-ahead)``,
  so that a future's value changes even where its price does not.

Sources: CME, "SPAN methodology" and the layout of risk parameter files (record types 8 and B); NSE Clearing, "SPAN
parameters" (look-ahead, one vol for each underlying), whose arithmetic tests/test_conformance_nse.py reproduces.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.decimals import parse_time, to_fraction, to_nearest_units, to_units
from zkmargin.engine.exact import Int64Array, round_half_away, scale_round
from zkmargin.engine.market import Instrument
from zkmargin.engine.spread_rules import QuoteAmount
from zkmargin.engine.valuation import PRICE_BITS, Valuation, quantity_per_lot
from zkmargin.formats import FrozenMap, InputError, Map, Model

SCENARIOS = 16
MS_PER_DAY = 86_400_000
MAX_VOL_1E9 = 100 * 10**9
_BP = 10_000
_DELTA_UNIT = 10**9


class LongDated(Model):
    """Another scan range for what expires more than ``beyond_days`` days from now."""

    beyond_days: int = Field(ge=1, le=36_500)
    price_scan: QuoteAmount


class SpanRisk(Model):
    """The parameters of one underlying.

    Attributes:
        price_scan: the price scan range.
        vol_scan: the vol scan range, absolute: ``"0.05"`` is five points of vol.
        vol: one vol for all options, whatever their own (NSE); without it each option's own.
    """

    price_scan: QuoteAmount
    long_dated: LongDated | None = None
    vol_scan: str
    vol: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= to_units(self.vol_scan, 9, field="vol_scan") <= MAX_VOL_1E9:
            raise InputError("must be from 0 to 100", field="vol_scan")
        if self.vol is not None and not 0 < to_units(self.vol, 9, field="vol") <= MAX_VOL_1E9:
            raise InputError("must be above 0 and at most 100", field="vol")
        return self


class Point(NamedTuple):
    """One scenario: a price move in scan ranges, the direction of the vol, and the part that counts."""

    price: Fraction
    vol: int
    weight: Fraction


class SpanModel(Model):
    """The parameters that define SPAN arrays and deltas.

    Attributes:
        default: parameters of underlyings that ``underlyings`` does not name; without it these are refused.
        moves: what moves, ``forward`` or ``spot``.
        lookahead_seconds: shocked values are this much closer to expiry, never past it.
        day_count: ``exact`` times to expiry, or whole ``calendar_days`` between UTC dates, plus ``days_added``
            (NSE's arrays run from the evening before: 1).
        extreme_multiple: k of scenarios 15 and 16.
        extreme_fraction_bp: the part of their P&L that counts.
        array_unit: published arrays are rounded to this amount per contract unit, half away from zero (CME "1", NSE
            "0.01"); without it only to a money unit.
        delta: ``plain`` N(d1) now, or SPAN's ``composite`` over seven price moves after the look-ahead, vol unchanged.
        delta_weights_bp: weights of the moves 0, +-1/3, +-2/3, +-1 of a composite delta.
    """

    underlyings: Map[str, SpanRisk] = Field(default_factory=FrozenMap)
    default: SpanRisk | None = None
    moves: Literal["forward", "spot"]
    lookahead_seconds: int = Field(ge=0, le=30 * 86_400)
    day_count: Literal["exact", "calendar_days"] = "exact"
    days_added: int = Field(default=0, ge=0, le=5)
    extreme_multiple: int = Field(ge=1, le=10)
    extreme_fraction_bp: int = Field(ge=1, le=_BP)
    array_unit: str | None = None
    delta: Literal["plain", "composite"] = "composite"
    delta_weights_bp: tuple[int, int, int, int] = Field(default=(2700, 2170, 1110, 370), strict=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.underlyings and self.default is None:
            raise InputError("parameters of no underlying at all", field="underlyings")
        if self.days_added and self.day_count == "exact":
            raise InputError("days are added to whole calendar days only", field="days_added")
        if self.array_unit is not None and to_fraction(self.array_unit, field="array_unit") <= 0:
            raise InputError("must be above 0", field="array_unit")
        centre, *sides = self.delta_weights_bp
        if min(self.delta_weights_bp) < 0 or centre + 2 * sum(sides) != _BP:
            raise InputError("weights of the seven moves must add up to 10000", field="delta_weights_bp")
        return self

    def risk(self, underlying: str) -> SpanRisk:
        """The parameters of an underlying. Raises InputError where there are none."""
        found = self.underlyings.get(underlying, self.default)
        if found is None:
            raise InputError("the policy has no SPAN parameters for this underlying", field=underlying)
        return found

    def points(self) -> tuple[Point, ...]:
        """The sixteen scenarios in published order."""
        thirds = (0, 1, -1, 2, -2, 3, -3)
        extreme = Fraction(self.extreme_fraction_bp, _BP)
        return (
            *(Point(Fraction(move, 3), vol, Fraction(1)) for move in thirds for vol in (1, -1)),
            *(Point(Fraction(sign * self.extreme_multiple), 0, extreme) for sign in (1, -1)),
        )

    def labels(self) -> tuple[str, ...]:
        """Names of the scenarios."""
        names = []
        for number, point in enumerate(self.points(), 1):
            sign = "+" if point.price > 0 else ""
            move = f"{number} price {sign}{point.price} scan"
            names.append(f"{move} vol {'up' if point.vol > 0 else 'down'}" if point.vol else f"{move} extreme")
        return tuple(names)

    def arrays(self, valuation: Valuation) -> Int64Array:
        """[N, 16] P&L of one lot long, gain positive, money units.

        Raises:
            InputError: an inverse instrument, a price move past 0, a number that does not fit: names the instrument.
        """
        for instrument in valuation.market.instruments:
            if instrument.settlement == "inverse" and (instrument.kind == "option" or self.moves == "spot"):
                raise InputError(
                    "SPAN arrays are for contracts that settle in the quote currency, and inverse futures on forwards",
                    field=instrument.id,
                )
        result = valuation.table(SCENARIOS)
        points = self.points()
        for slot, instrument in enumerate(valuation.market.instruments):
            if instrument.kind != "option":
                changes = self._line(valuation, slot, points)
                result[slot] = [self._rounded(valuation, instrument, change) for change in changes]
        options = valuation.options
        if len(options.slots):
            moved = _Priced(self, valuation).changes(points)
            rounded = np.empty_like(moved)
            for columns, weight in ((slice(0, 14), points[0].weight), (slice(14, 16), points[15].weight)):
                rounded[:, columns] = self._rounded_all(valuation, moved[:, columns], weight)
            result[options.slots] = rounded
        return result

    def deltas(self, valuation: Valuation) -> Int64Array:
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
            priced = _Priced(self, valuation)
            slopes = priced.composite_deltas() if self.delta == "composite" else priced.plain_deltas()
            for slot, slope in zip(options.slots.tolist(), slopes, strict=True):
                instrument = valuation.market.instruments[slot]
                result[slot] = _units(instrument, quantity_per_lot(instrument) * slope * _DELTA_UNIT)
        return result

    def times(self, valuation: Valuation, expiries: Sequence[str]) -> list[int]:
        """Milliseconds to each expiry, as the policy counts them; 0 once it has passed."""
        now = parse_time(valuation.market.time)
        if self.day_count == "exact":
            return [max(parse_time(expiry) - now, 0) for expiry in expiries]
        days = [parse_time(expiry) // MS_PER_DAY - now // MS_PER_DAY + self.days_added for expiry in expiries]
        return [max(day, 0) * MS_PER_DAY for day in days]

    def price_scan(self, valuation: Valuation, underlying: str, time_ms: int = 0) -> Fraction:
        """The price scan range in quote per unit of the underlying, for a time to expiry."""
        risk, index = self.risk(underlying), to_fraction(valuation.market.underlying(underlying).index_price)
        long_dated = risk.long_dated
        if long_dated is not None and time_ms > long_dated.beyond_days * MS_PER_DAY:
            return long_dated.price_scan.of(index)
        return risk.price_scan.of(index)

    def moved(self, valuation: Valuation, instrument: Instrument, time_ms: int) -> _Moved:
        """How the forward of an instrument moves (its index, without an expiry)."""
        underlying = instrument.underlying
        index = to_fraction(valuation.market.underlying(underlying).index_price)
        scan = self.price_scan(valuation, underlying, time_ms)
        if instrument.expiry is None:
            return _Moved(index, scan, Fraction(1))
        forward = valuation.market.forward_of(instrument)
        price = to_fraction(forward.price)
        if self.moves == "forward":
            return _Moved(price, scan, Fraction(1))
        carry = price / index
        passed = min(1000 * self.lookahead_seconds, time_ms)
        rate = to_nearest_units(forward.rate, 9, field=f"forward {underlying} {instrument.expiry} rate")
        return _Moved(price, scan * carry, _discount(passed, rate))

    def _line(self, valuation: Valuation, slot: int, points: Sequence[Point]) -> list[Fraction]:
        """Changes per contract unit of a future, perpetual or spot, weights applied."""
        instrument = valuation.market.instruments[slot]
        time = self.times(valuation, [instrument.expiry])[0] if instrument.expiry else 0
        if instrument.settlement == "inverse":
            # linear in the relative move of price and index together (engine.valuation)
            index = to_fraction(valuation.market.underlying(instrument.underlying).index_price)
            slope = (valuation.line(slot) or Fraction(0)) / (to_fraction(instrument.lot) * valuation.money_unit)
            move = self.price_scan(valuation, instrument.underlying, time) / index
            return [slope * move * point.weight * point.price for point in points]
        moved = self.moved(valuation, instrument, time)
        multiplier = to_fraction(instrument.multiplier)
        return [multiplier * point.weight * (moved.price(point.price) - moved.base) for point in points]

    def _rounded(self, valuation: Valuation, instrument: Instrument, change: Fraction) -> int:
        """A change per contract unit as money units per lot, rounded to the array's unit where it has one."""
        money = to_fraction(instrument.lot) * valuation.money_unit
        if self.array_unit is None:
            return _units(instrument, change * money)
        unit = to_fraction(self.array_unit)
        counts = change / unit
        return _units(instrument, round_half_away(counts.numerator, counts.denominator) * unit * money)

    def _rounded_all(self, valuation: Valuation, changes: Int64Array, weight: Fraction) -> Int64Array:
        """The same for options, whose changes are in their price units."""
        options = valuation.options
        factors = [factor * weight for factor in options.factors]
        if self.array_unit is None:
            return _scaled(changes, factors, options.names)
        lots = [to_fraction(valuation.market.instruments[slot].lot) for slot in options.slots.tolist()]
        unit = to_fraction(self.array_unit) * valuation.money_unit
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
        self._times = np.array(model.times(valuation, [o.expiry or "" for o in chosen]), dtype=np.int64)
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
                known[key] = model.moved(valuation, option, time)
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
