"""Roll shock: what futures and perpetuals could lose to their underlying when they are rolled.

Deribit portfolio margin (docs.deribit.com, ``private/pme/simulate``): with T years to expiry, 0 for a perpetual,

    sum over futures and perpetuals of |coins| x max(min_annualised_move, annualised_move_risk x T)

part of the risk matrix margin, so multiplied by the requirement's factor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.oracle_confidence import one_pool_a_group
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
