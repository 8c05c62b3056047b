"""Haircuts: what collateral balances count for, held and owed.

Each asset counts at its price less a haircut; a negative balance, where the policy allows one (unsettled P&L,
funding, borrowing), is debited at its price plus a surcharge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from engine.components.base import SCALE_BP, PolicyPart, PublishedPart
from engine.valuation import Valuation
from formats import InputError, IntArray, Model


class AssetTerms(Model):
    """How one asset counts as collateral.

    Attributes:
        haircut_bp: taken off a positive balance.
        negative_allowed: whether the balance may be below zero.
        negative_surcharge_bp: put on top of a negative balance.
        bits: the bound of the balance in bits of its lot; the policy's ``layout.collateral_bits`` without one.
    """

    haircut_bp: int = Field(ge=0, le=SCALE_BP)
    negative_allowed: bool = False
    negative_surcharge_bp: int = Field(default=0, ge=-SCALE_BP, le=SCALE_BP)
    bits: int | None = Field(default=None, ge=1, le=60)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.negative_surcharge_bp < -self.haircut_bp:
            raise InputError(
                "owing the asset would be debited at less than holding it is credited", field="negative_surcharge_bp"
            )
        if self.negative_surcharge_bp and not self.negative_allowed:
            raise InputError("a surcharge on balances that are not allowed", field="negative_surcharge_bp")
        return self


class Haircuts(PolicyPart):
    """The assets that collateral may be held in. An asset that is not listed here is not collateral: refused."""

    type: Literal["haircuts"] = "haircuts"
    assets: dict[str, AssetTerms] = Field(min_length=1)

    def terms(self, asset: str) -> AssetTerms:
        """The terms of an asset. Raises InputError for an asset that is not listed."""
        try:
            return self.assets[asset]
        except KeyError:
            listed = ", ".join(sorted(self.assets))
            raise InputError(
                "the policy has no haircut for this asset", field=f"asset {asset}", hint=f"the policy lists {listed}"
            ) from None

    def publish(self, valuation: Valuation) -> PublishedHaircuts:
        """Values per lot held and owed, exact. Raises InputError for an asset without terms."""
        long_value, short_value = [], []
        for slot, asset in enumerate(valuation.market.assets):
            terms, price = self.terms(asset.name), valuation.asset_prices[slot]
            long_value.append(price * (SCALE_BP - terms.haircut_bp))
            short_value.append(price * (SCALE_BP + terms.negative_surcharge_bp))
        return PublishedHaircuts(
            long_value=IntArray(np.array(long_value, dtype=np.int64)),
            short_value=IntArray(np.array(short_value, dtype=np.int64)),
        )


class PublishedHaircuts(PublishedPart):
    """Valuation units per lot: ``long_value`` [M] credited for a lot held, ``short_value`` [M] debited for one owed."""

    type: Literal["haircuts"] = "haircuts"
    long_value: IntArray
    short_value: IntArray

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, and 0 <= long_value <= short_value. Raises InputError."""
        for name, array in (("long_value", self.long_value), ("short_value", self.short_value)):
            if array.values.shape != (assets,):
                raise InputError(f"has the shape {array.values.shape}, not ({assets},)", field=name)
        if np.any(self.long_value.values < 0):
            raise InputError("a negative value", field="long_value")
        if np.any(self.short_value.values < self.long_value.values):
            raise InputError("owing an asset would be debited at less than holding it is credited", field="short_value")

    def collateral_value(self, lots: Sequence[int]) -> int:
        """Credits for balances held less debits for balances owed."""
        values = zip(lots, self.long_value.values.tolist(), self.short_value.values.tolist(), strict=True)
        return sum(balance * (held if balance > 0 else owed) for balance, held, owed in values)
