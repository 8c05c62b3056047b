"""Provisions for funding and fees: public rates on hidden positions, put on top of a requirement as they are.

Paradex: initial margin = max(scan, minimum delta) + funding provision (expected funding of the next 8 hours) + fee
provision; maintenance margin = 50 % of the first term + the same provisions (docs.paradex.trade/risk/portfolio-margin).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from zkmargin.engine.components.base import PolicyPart, Selective
from zkmargin.engine.components.oracle_confidence import one_pool_a_group
from zkmargin.engine.components.pools import GrossPools
from zkmargin.engine.names import Kind
from zkmargin.formats import FrozenMap, Map, Model, Seq

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


class PublishedFees(GrossPools):
    """``long`` and ``short``: the fee of closing one lot in money units."""

    type: Literal["fees"] = "fees"
