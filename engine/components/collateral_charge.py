"""Collateral charge: a part of what collateral is worth, on top of one requirement only.

``haircuts`` says what a balance counts for in every requirement; this adds what initial margin takes off besides it.
Derive PMRM_2 (v2-core, PMRMLib_2): collateral haircuts of maintenance margin, an extra one of initial margin, and where
the oracle of an asset or of its underlying is in doubt, (1 - confidence) x rate x value.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, Charge, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.oracle_confidence import Doubt
from zkmargin.engine.components.static_discount import check_matrix
from zkmargin.formats import FrozenMap, InputError, IntArray, Map

RateBp = Annotated[int, Field(ge=0, le=SCALE_BP)]


class CollateralCharge(Selective, PolicyPart):
    """Rates in basis points of the value of a balance held, by asset; an asset that is not listed is charged nothing.

    Attributes:
        doubt: what an asset's missing oracle confidence, or its underlying's, costs besides.
    """

    type: Literal["collateral_charge"] = "collateral_charge"
    rates_bp: Map[str, RateBp] = Field(default_factory=FrozenMap)
    doubt: Doubt | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.rates_bp and self.doubt is None:
            raise InputError("it would charge nothing", field="rates_bp")
        return self

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Where no asset is charged."""
        return True


class PublishedCollateralCharge(Selective, PublishedPart):
    """``charge`` [M]: money units per lot held."""

    type: Literal["collateral_charge"] = "collateral_charge"
    charge: IntArray

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shape and signs. Raises InputError."""
        check_matrix("charge", self.charge, (assets,), negative=False)

    def assess_balances(self, lots: Sequence[int]) -> Charge:
        """A flat amount on balances held."""
        return Charge(flat=sum(max(lot, 0) * rate for lot, rate in zip(lots, self.charge.values.tolist(), strict=True)))
