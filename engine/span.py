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

from fractions import Fraction
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from zkmargin.engine.decimals import to_fraction, to_units
from zkmargin.engine.spread_rules import QuoteAmount
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
