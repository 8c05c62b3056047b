"""Options under shocks that differ by expiry and strike: the values that discounts, skews and basis moves are made of.

Everything public about an expiry (tenor scales, discount factors, skew widths) is computed in decimals of 50 digits
and each option's vol in 1e-18; Black's formula sees only the forward, the strike and the total variance
``vol^2 T`` in 1e-18, so nothing is lost before the one rounding to money units.

An option is worth ``D BS(F, K, vol^2 T)`` with ``D = exp(-r T)``, an inverse one ``BS I / F``: the conventions of
``engine.valuation`` hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np

from zkmargin.engine.decimals import format_time, parse_time, to_fraction
from zkmargin.engine.exact import Int64Array, round_half_away
from zkmargin.engine.units import MS_PER_YEAR
from zkmargin.engine.valuation import MAX_YEARS, MIN_FORWARD, Valuation, price_decimals, quantity_per_lot
from zkmargin.formats import InputError

#: Vols and total variances are counted in 1e-18.
ONE = 10**18
#: Beyond a standard deviation of 100 a call is worth its forward and a put its strike, to every digit.
MAX_VARIANCE = 10**4 * ONE
#: Total variances up to 9 are a vol of 100 % over ``variance`` years, larger ones a vol of 10000 %.
_SMALL_VARIANCE = 9 * ONE
TENOR_MS = 30 * 86_400_000
_DECIMALS = Context(prec=50)


def exp(exponent: Fraction) -> Fraction:
    """e to a rational power, to 50 digits: the same on every machine, since ``decimal`` rounds it correctly."""
    return Fraction(_DECIMALS.exp(_decimal(exponent)))


def log(value: Fraction) -> Fraction:
    """The natural logarithm of a rational above 0, to 50 digits."""
    return Fraction(_DECIMALS.ln(_decimal(value)))


def sqrt(value: Fraction) -> Fraction:
    """The square root of a rational not below 0, to 50 digits."""
    return Fraction(_DECIMALS.sqrt(_decimal(value)))


def _decimal(value: Fraction) -> Decimal:
    return _DECIMALS.divide(Decimal(value.numerator), Decimal(value.denominator))


class Option(NamedTuple):
    """One option, prices in integer units of its own.

    Attributes:
        slot: its instrument slot.
        expiry: its place in ``Options.expiries``.
        vol: 1e-18.
        factor: money units per lot for one undiscounted price unit.
    """

    slot: int
    name: str
    expiry: int
    forward: int
    strike: int
    vol: int
    is_call: bool
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Expiry:
    """One expiry of one underlying: milliseconds to go (0 once it has passed), the rate a year, D = exp(-rate T)."""

    label: str
    time: int
    rate: Fraction
    discount: Fraction

    @property
    def years(self) -> Fraction:
        """T in years of 365 days."""
        return Fraction(self.time, MS_PER_YEAR)

    def tenor_scale(self, short: Fraction, long: Fraction, floor_ms: int) -> Fraction:
        """``(30 days / max(T, floor))^p``, p = ``short`` up to 30 days and ``long`` beyond."""
        exponent = short if self.time <= TENOR_MS else long
        return exp(exponent * log(Fraction(TENOR_MS) / max(self.time, floor_ms, 1))) if exponent else Fraction(1)


class Options:
    """The options of a market, and the expiries of all its instruments.

    Attributes:
        valuation: the market.
        options: in the order of their slots.
        expiries: per underlying and time of expiry, in order of first appearance.
        expiry_of: [N] int64: the expiry of each instrument slot, -1 for one without.

    Raises:
        InputError: a price or a time out of range; names the instrument.
    """

    def __init__(self, valuation: Valuation) -> None:
        self.valuation = valuation
        market, now = valuation.market, parse_time(valuation.market.time)
        self.options: list[Option] = []
        self.expiries: list[Expiry] = []
        self.expiry_of = np.full(len(market.instruments), -1, dtype=np.int64)
        places: dict[tuple[str, int, str | None], int] = {}
        for slot, instrument in enumerate(market.instruments):
            if instrument.expiry is None:
                continue
            at, forward = parse_time(instrument.expiry), market.forward_of(instrument)
            place = places.setdefault((instrument.underlying, at, instrument.forward), len(places))
            if place == len(self.expiries):
                time, rate = max(at - now, 0), to_fraction(forward.rate)
                if time > MAX_YEARS * MS_PER_YEAR:
                    raise InputError(f"its expiry is more than {MAX_YEARS} years away", field=instrument.id)
                discount = exp(-rate * Fraction(time, MS_PER_YEAR))
                self.expiries.append(Expiry(f"{instrument.underlying} {format_time(at)}", time, rate, discount))
            self.expiry_of[slot] = place
            if instrument.kind != "option":
                continue
            price, strike = to_fraction(forward.price), to_fraction(instrument.strike or "0")
            decimals = price_decimals(max(10 * price, strike), instrument.id)
            units = [_rounded(amount * 10**decimals) for amount in (price, strike)]
            if units[0] < MIN_FORWARD or units[1] < 1:
                raise InputError("its strike is too far from its forward to be priced", field=instrument.id)
            factor = quantity_per_lot(instrument) * valuation.money_unit / 10**decimals
            if instrument.settlement == "inverse":
                factor *= to_fraction(market.underlying(instrument.underlying).index_price) / price
            self.options.append(
                Option(
                    slot=slot,
                    name=instrument.id,
                    expiry=place,
                    forward=units[0],
                    strike=units[1],
                    vol=_rounded(to_fraction(instrument.implied_vol or "0") * ONE),
                    is_call=instrument.option_type == "call",
                    factor=factor if instrument.settlement == "inverse" else factor * self.expiries[place].discount,
                )
            )

    def values(
        self, chosen: Sequence[Option], moves: Mapping[int, Sequence[Fraction]], vols: Sequence[Sequence[int]]
    ) -> list[list[int]]:
        """Undiscounted values under shocks, in each option's price units.

        Args:
            chosen: n options.
            moves: for each expiry S relative moves of its forward, above -1 and at most 9.
            vols: [n][S] in 1e-18.

        Returns:
            [n][S] integers.
        """
        from zkmargin.engine.pricing import black76  # noqa: PLC0415 - compiled code, which a verifier never loads

        if not chosen:
            return []
        growth = {expiry: [(1 + move).as_integer_ratio() for move in own] for expiry, own in moves.items()}
        forward = [[max(round_half_away(o.forward * n, d), 1) for n, d in growth[o.expiry]] for o in chosen]
        times = [self.expiries[o.expiry].time for o in chosen]
        variance = [
            [min(vol * vol * time // (ONE * MS_PER_YEAR), MAX_VARIANCE) for vol in own]
            for time, own in zip(times, vols, strict=True)
        ]
        values = black76(
            np.array(forward, dtype=np.int64),
            np.array([[o.strike] for o in chosen], dtype=np.int64),
            np.array([[10**11 if v > _SMALL_VARIANCE else 10**9 for v in own] for own in variance], dtype=np.int64),
            np.array([[v // 10**4 if v > _SMALL_VARIANCE else v for v in own] for own in variance], dtype=np.int64),
            0,
            np.array([[o.is_call] for o in chosen], dtype=np.bool_),
            units_per_year=ONE,
        )
        rows: list[list[int]] = values.tolist()
        return rows

    def marks(self, chosen: Sequence[Option]) -> list[int]:
        """Undiscounted values now, in each option's price units."""
        still = {expiry: [Fraction(0)] for expiry in range(len(self.expiries))}
        return [value for (value,) in self.values(chosen, still, [[option.vol] for option in chosen])]

    def amounts(
        self,
        chosen: Sequence[Option],
        values: Sequence[Sequence[int]],
        marks: Sequence[int],
        terms: Mapping[int, Sequence[tuple[Fraction, Fraction]]],
    ) -> Int64Array:
        """[n, S] money units of one lot long, ``a value - b mark`` discounted, rounded once, half away from zero.

        Args:
            chosen: n options.
            values: [n][S] price units.
            marks: [n] price units.
            terms: for each expiry S pairs (a, b).

        Raises:
            InputError: an amount past 64 bits; names the option.
        """
        whole = {}
        for expiry, pairs in terms.items():
            unit = lcm(*(x.denominator for pair in pairs for x in pair))
            whole[expiry] = unit, [(int(a * unit), int(b * unit)) for a, b in pairs]
        amounts = np.zeros((len(chosen), len(values[0]) if values else 0), dtype=np.int64)
        for row, (option, own, mark) in enumerate(zip(chosen, values, marks, strict=True)):
            (num, den), (unit, counts) = option.factor.as_integer_ratio(), whole[option.expiry]
            found = [num * (a * value - b * mark) for (a, b), value in zip(counts, own, strict=True)]
            largest = max(found, key=abs, default=0)
            self.valuation.money(Fraction(largest, den * unit), option.name)
            amounts[row] = [round_half_away(amount, den * unit) for amount in found]
        return amounts


def shocked_vol(vol: int, move: Fraction, *, floor: int) -> int:
    """A vol (1e-18) after a relative move: never below 0, and after a move upwards at least ``floor``."""
    num, den = move.as_integer_ratio()
    shocked = max(0, round_half_away(vol * (den + num), den))
    return max(shocked, floor) if move > 0 else shocked


def rounded_rows(rows: Sequence[Sequence[Fraction]], names: Sequence[str], valuation: Valuation) -> Int64Array:
    """[n, S] money units, each rounded once, half away from zero. Raises InputError past 64 bits: names the row."""
    values = [[valuation.money(value, name) for value in own] for own, name in zip(rows, names, strict=True)]
    return np.array(values, dtype=np.int64).reshape(len(rows), -1)


def _rounded(value: Fraction) -> int:
    return round_half_away(value.numerator, value.denominator)
