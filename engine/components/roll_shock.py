"""Roll shock: what futures and perpetuals could lose to their underlying when they are rolled.

Deribit portfolio margin (docs.deribit.com, ``private/pme/simulate``): with T years to expiry, 0 for a perpetual,

    sum over futures and perpetuals of |coins| x max(min_annualised_move, annualised_move_risk x T)

part of the risk matrix margin, so multiplied by the requirement's factor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.oracle_confidence import gross_charge, one_pool_a_group
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.notional import notional
from zkmargin.engine.revaluation import basis_points
from zkmargin.engine.valuation import MS_PER_YEAR, Valuation
from zkmargin.formats import FrozenMap, Map, Model


class RollRate(Model):
    """The two parameters of a currency, in basis points of notional."""

    min_annualised_move_bp: int = Field(ge=0, le=SCALE_BP)
    annualised_move_risk_bp: int = Field(ge=0, le=SCALE_BP)


class RollShock(Selective, PolicyPart):
    """Rates for all underlyings, and for single ones instead."""

    type: Literal["roll_shock"] = "roll_shock"
    rate: RollRate
    overrides: Map[str, RollRate] = Field(default_factory=FrozenMap)

    NEEDS_SIDES: ClassVar[bool] = True
    PUBLISHES: ClassVar[str] = "gross_charge"

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And one pool a risk group, times the requirement's factor."""
        return {**super().implied(groups, prices), **one_pool_a_group(groups, "added")}

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Where nothing rolls, or at no charge."""
        return True

    def publish(self, valuation: Valuation) -> PublishedGrossCharge | None:
        """A gross charge in money units per lot, rounded half away from zero; None where nothing rolls."""
        now = parse_time(valuation.market.time)
        size = np.zeros(valuation.size, dtype=np.int64)
        for slot, instrument in enumerate(valuation.market.instruments):
            if instrument.kind not in ("future", "perpetual"):
                continue
            terms = self.overrides.get(instrument.underlying, self.rate)
            time = max(parse_time(instrument.expiry) - now, 0) if instrument.expiry else 0
            grown = basis_points(terms.annualised_move_risk_bp) * Fraction(time, MS_PER_YEAR)
            rate = max(basis_points(terms.min_annualised_move_bp), grown)
            size[slot] = valuation.money(rate * notional(valuation, slot), instrument.id)
        if not size.any():
            return None
        return gross_charge(valuation, size, self.implied(valuation.groups, {}))
