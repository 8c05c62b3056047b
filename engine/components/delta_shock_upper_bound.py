"""Delta shock, bounded from above: the liquidity charge on a large net delta, made convex.

Deribit's delta shock (its portfolio margin parameters ``delta_total_liq_shock_threshold``, ``max_delta_shock`` and a
slope per USD): nothing up to a threshold T, then a rate that grows with the delta D up to a cap,

    f(D) = D min(cap, cap (D - T)^+ / (S - T))            S: where the cap is reached

f is convex up to S and bends down there, so it is not convex, and a charge with a sign bit per book would be needed to
prove it exactly. This component charges the smallest function that is linear between n + 1 equidistant points of
[T, S], equal to f on those, and continues its last line beyond S: never below f, convex, exact at the n + 1 points. The
name says so: the number is an upper bound of the exchange's. The engine computes this bound, and the circuit the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.pools import Line, Mode, NetPools, Pool
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.units import MONEY
from zkmargin.formats import FrozenMap, InputError, Map, Model
from zkmargin.formats.budget import spend

SCALE = 10**9


class DeltaShock(Model):
    """The parameters: ``threshold`` and ``saturation`` in quote, the rate reached there, chords between them."""

    threshold: str
    saturation: str
    cap_bp: int = Field(gt=0, le=SCALE_BP)
    chords: int = Field(default=8, ge=1, le=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = to_fraction(self.threshold, field="threshold"), to_fraction(self.saturation, field="saturation")
        if not 0 <= low < high:
            raise InputError("must be above the threshold, which must not be negative", field="saturation")
        return self

    def lines(self, money_unit: Fraction) -> tuple[Line, ...]:
        """The chords as lines in 1/10^9 money units, slopes rounded up and starts down: never below f."""
        spend("lines", self.chords)
        low, high = (to_fraction(text) * money_unit for text in (self.threshold, self.saturation))
        cap = Fraction(self.cap_bp, SCALE_BP)
        points = [low + (high - low) * k / self.chords for k in range(self.chords + 1)]
        charges = [point * cap * k / self.chords for k, point in enumerate(points)]
        lines = []
        for k in range(self.chords):
            slope = (charges[k + 1] - charges[k]) / (points[k + 1] - points[k])
            start = slope * points[k] - charges[k]
            lines.append(Line(slope=ceil(SCALE * slope), start=floor(SCALE * start)))
        return tuple(lines)


class DeltaShockUpperBound(Selective, PolicyPart):
    """The charge per underlying, ``overrides`` first."""

    type: Literal["delta_shock_upper_bound"] = "delta_shock_upper_bound"
    mode: Mode = "added"
    shock: DeltaShock
    overrides: Map[str, DeltaShock] = Field(default_factory=FrozenMap)

    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the lines of each underlying."""
        return {**super().implied(groups, prices), "scale": SCALE, "pools": self.pools_of(groups, MONEY)}

    def pools_of(self, groups: Sequence[str], money_unit: Fraction) -> tuple[Pool, ...]:
        """One pool a risk group with the lines of its shock."""
        common = self.shock.lines(money_unit)
        own = {name: self.overrides[name].lines(money_unit) for name in groups if name in self.overrides}
        return tuple(Pool(name=name, group=g, lines=own.get(name, common)) for g, name in enumerate(groups))


class PublishedDeltaShockUpperBound(NetPools):
    """``value``: delta notional of one lot long; a pool is the net delta of an underlying."""

    type: Literal["delta_shock_upper_bound"] = "delta_shock_upper_bound"
