"""Minimum delta: a charge on net and hedged delta, for books whose scenarios cancel.

Paradex (docs.paradex.trade/risk/portfolio-margin): ``(2 % |net| + 1 % hedged) spot`` with ``hedged = (gross - |net|) /
2``, the greater of it and the scan risk. That is ``(2 % - 1 %/2) |net| + 1 %/2 gross``: convex as long as the net rate
is at least half the hedged rate, which is checked. Deltas are those of the snapshot's prices, in quote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, Charge, Extent, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.pools import Mode
from zkmargin.formats import InputError, IntArray

#: hedged is half of (gross - |net|), so twice the charge is an integer number of basis points.
SCALE = 2 * SCALE_BP


class MinDelta(Selective, PolicyPart):
    """Rates of net and hedged delta notional, per underlying; a floor of the scenarios or on top of them."""

    type: Literal["min_delta"] = "min_delta"
    mode: Mode = "floor"
    net_rate_bp: int = Field(ge=0, le=SCALE_BP)
    hedged_rate_bp: int = Field(ge=0, le=SCALE_BP)

    NEEDS_SIDES: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode", "net_rate_bp", "hedged_rate_bp")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 2 * self.net_rate_bp < self.hedged_rate_bp:
            raise InputError(
                "below half of hedged_rate_bp: the charge would fall as the net delta grows, and not be convex",
                field="net_rate_bp",
            )
        return self


class PublishedMinDelta(Selective, PublishedPart):
    """``delta`` [N]: money units of P&L per relative move of 1 and lot. Amounts are in 1/20000 money units."""

    type: Literal["min_delta"] = "min_delta"
    mode: Mode
    net_rate_bp: int = Field(ge=0, le=SCALE_BP)
    hedged_rate_bp: int = Field(ge=0, le=SCALE_BP)
    delta: IntArray

    BY_SLOT: ClassVar[Mapping[str, int]] = {"delta": 0}

    @property
    def is_floor(self) -> bool:
        """As a floor it competes after SPAN's spreads."""
        return self.mode == "floor"

    @property
    def weights(self) -> tuple[int, int]:
        """What |net| and gross count for, in 1/20000."""
        return 2 * self.net_rate_bp - self.hedged_rate_bp, self.hedged_rate_bp

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shape and the rates. Raises InputError."""
        if self.delta.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.delta.values.shape}, not ({len(group_of)},)", field="delta")
        if np.any(self.delta.values == np.iinfo(np.int64).min):
            raise InputError("a value outside 64 bits with sign", field="delta")
        if self.weights[0] < 0:
            raise InputError("below half of the hedged rate: not convex", field="net_rate_bp")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """Three rows for each group."""
        return Extent(3 * groups, groups**2)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The charge of each risk group: a candidate, or a summand of the addition."""
        amounts: dict[int, int] = defaultdict(int)
        for leg, share in zip(legs, self._shares(legs), strict=True):
            amounts[leg.group] += share
        if self.mode == "floor":
            return Charge(candidates={group: (amount,) for group, amount in amounts.items()}, scale=SCALE)
        total = sum(amounts.values())
        return Charge(addition=total, scale=SCALE) if self.mode == "added" else Charge(flat=total, scale=SCALE)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's part: of the net delta with its sign, of the gross delta without."""
        return self._shares(legs) if (candidate is None) == (self.mode != "floor") else [0] * len(legs)

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """There is one candidate."""
        return "minimum delta"

    def _shares(self, legs: Sequence[Leg]) -> list[int]:
        net_weight, gross_weight = self.weights
        deltas = [leg.lots * int(self.delta.values[leg.slot]) for leg in legs]
        net: dict[int, int] = defaultdict(int)
        for leg, delta in zip(legs, deltas, strict=True):
            net[leg.group] += delta
        return [
            gross_weight * abs(delta) + net_weight * (delta if net[leg.group] > 0 else -delta)
            for leg, delta in zip(legs, deltas, strict=True)
        ]
