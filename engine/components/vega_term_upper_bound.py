"""Vega term structure, bounded from above: a charge on vega that offsets across expiries.

Vol does not move in parallel, so venues charge vega that is long in one expiry and short in another: Deribit's first
portfolio margin 25 % of offsetting vegas, Bybit a rate of hedged vega, OKX its MR3. What offsets is ``(sum_e |v_e| -
|sum_e v_e|) / 2``, a difference of convex functions: it is not convex and cannot be charged with one-sided witnesses.
This component charges ``sum_e |v_e| / 2`` times the move, which is never less, and equal where the vegas balance (the
case that the charge is for); a book with all its vega on one side is overcharged by half of it. The name says so. The
engine computes this bound, and the circuit the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.pools import Mode, NetPools

#: Half of what offsets, times basis points of volatility.
SCALE = 2 * SCALE_BP


class VegaTermUpperBound(Selective, PolicyPart):
    """``vol_move_bp``: the move of one expiry's vol against the others', absolute (100 is one vol point)."""

    type: Literal["vega_term_upper_bound"] = "vega_term_upper_bound"
    mode: Mode = "added"
    vol_move_bp: int = Field(gt=0, le=SCALE_BP)

    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the scale."""
        return {**super().implied(groups, prices), "scale": SCALE}

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Without options."""
        return "option" not in kinds


class PublishedVegaTermUpperBound(NetPools):
    """``value``: vega of one lot long; a pool is the net vega of one expiry of an underlying."""

    type: Literal["vega_term_upper_bound"] = "vega_term_upper_bound"
