"""Provisions for funding and fees: public rates on hidden positions, put on top of a requirement as they are.

Paradex: initial margin = max(scan, minimum delta) + funding provision (expected funding of the next 8 hours) + fee
provision; maintenance margin = 50 % of the first term + the same provisions (docs.paradex.trade/risk/portfolio-margin).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.components.base import PolicyPart, Selective
from zkmargin.engine.components.oracle_confidence import one_pool_a_group
from zkmargin.engine.components.pools import GrossPools
from zkmargin.engine.market import Instrument, Kind
from zkmargin.engine.notional import notional
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import FrozenMap, IntArray, Map, Model, Seq

PPM = 10**6


class Funding(Selective, PolicyPart):
    """Funding that perpetuals are expected to pay; what they are expected to receive is not credited.

    Attributes:
        rates_ppm: what a long position pays over the provision's horizon (negative: what a short one pays), in
            millionths of its notional at the mark, by instrument id, or else by underlying.
        default_ppm: where neither is listed, what both sides are charged.
    """

    type: Literal["funding"] = "funding"
    rates_ppm: Map[str, int] = Field(default_factory=FrozenMap)
    default_ppm: int = Field(ge=0, le=PPM)

    NEEDS_SIDES: ClassVar[bool] = True

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And one pool a risk group, on top of the requirement."""
        return {**super().implied(groups, prices), **one_pool_a_group(groups, "flat")}

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Without perpetuals."""
        return "perpetual" not in kinds

    def publish(self, valuation: Valuation) -> PublishedFunding | None:
        """Charges per lot in money units, rounded up; None without perpetuals."""
        long, short = (np.zeros(valuation.size, dtype=np.int64) for _ in range(2))
        for slot, instrument in enumerate(valuation.market.instruments):
            if instrument.kind != "perpetual":
                continue
            rate = self.rates_ppm.get(instrument.id, self.rates_ppm.get(instrument.underlying))
            sides = (self.default_ppm, self.default_ppm) if rate is None else (max(rate, 0), max(-rate, 0))
            value = valuation.line(slot) or Fraction(0)
            long[slot], short[slot] = (_up(valuation, value * Fraction(side, PPM), instrument) for side in sides)
        if all(instrument.kind != "perpetual" for instrument in valuation.market.instruments):
            return None
        return PublishedFunding(
            **self.implied(valuation.groups, {}),
            pool=IntArray(valuation.group_of),
            long=IntArray(long),
            short=IntArray(short),
        )


class PublishedFunding(GrossPools):
    """``long`` and ``short``: the provision of one lot in money units."""

    type: Literal["funding"] = "funding"


class FeeRate(Model):
    """The fee of some kinds of instrument: of the notional at the index, at most a part of an option's mark."""

    kinds: Seq[Kind] = Field(min_length=1)
    rate_ppm: int = Field(ge=0, le=PPM)
    up_to_mark_bp: int | None = Field(default=None, ge=0, le=10_000)


class Fees(Selective, PolicyPart):
    """The fees of closing every position; an instrument pays the first rate that lists its kind."""

    type: Literal["fees"] = "fees"
    rates: Seq[FeeRate] = Field(min_length=1)

    NEEDS_SIDES: ClassVar[bool] = True

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And one pool a risk group, on top of the requirement."""
        return {**super().implied(groups, prices), **one_pool_a_group(groups, "flat")}

    def publish(self, valuation: Valuation) -> PublishedFees:
        """Fees per lot in money units, rounded up."""
        fees = np.zeros(valuation.size, dtype=np.int64)
        marks = valuation.marks().tolist()
        for slot, instrument in enumerate(valuation.market.instruments):
            rate = next((rate for rate in self.rates if instrument.kind in rate.kinds), None)
            if rate is None:
                continue
            fee = notional(valuation, slot) * Fraction(rate.rate_ppm, PPM)
            if rate.up_to_mark_bp is not None and instrument.kind == "option":
                fee = min(fee, Fraction(marks[slot] * rate.up_to_mark_bp, 10_000))
            fees[slot] = _up(valuation, fee, instrument)
        return PublishedFees(
            **self.implied(valuation.groups, {}),
            pool=IntArray(valuation.group_of),
            long=IntArray(fees),
            short=IntArray(fees),
        )


class PublishedFees(GrossPools):
    """``long`` and ``short``: the fee of closing one lot in money units."""

    type: Literal["fees"] = "fees"


def _up(valuation: Valuation, amount: Fraction, instrument: Instrument) -> int:
    return valuation.money(Fraction(ceil(amount)), instrument.id)
