"""Haircuts: what collateral balances count for, held and owed.

Each asset counts at its price less a haircut; a negative balance, where the policy allows one (unsettled P&L,
funding, borrowing), is debited at its price plus a surcharge. Tiers make the haircut grow with the balance's value
(concentration, as in the collateral ratio tiers of Binance and OKX): the value that counts is concave, the least of
its tiers' lines, so a requirement stays convex. ``min(v rate, v)`` of Binance's portfolio margin is a haircut with a
surcharge of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, Extent, PolicyPart, PublishedPart
from zkmargin.engine.decimals import to_units
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import FullMap, InputError, IntArray, Model, Seq
from zkmargin.integers import smallest

MAX_TIERS = 32


class HaircutTier(Model):
    """The haircut of the part of a balance that is worth more than ``above`` in quote, before haircuts."""

    above: str
    haircut_bp: int = Field(ge=0, le=SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.above_money <= 0:
            raise InputError("must be above 0", field="above")
        return self

    @property
    def above_money(self) -> int:
        """``above`` in money units."""
        return to_units(self.above, MONEY_DECIMALS, field="above")


class AssetTerms(Model):
    """How one asset counts as collateral.

    Attributes:
        haircut_bp: taken off a positive balance.
        negative_allowed: whether the balance may be below zero.
        negative_surcharge_bp: put on top of a negative balance.
        tiers: larger haircuts of the parts of a positive balance above a value, in ascending order.
        bits: the bound of the balance in bits of its lot; the policy's ``layout.collateral_bits`` without one.
    """

    haircut_bp: int = Field(ge=0, le=SCALE_BP)
    negative_allowed: bool = False
    negative_surcharge_bp: int = Field(default=0, ge=-SCALE_BP, le=SCALE_BP)
    bits: int | None = Field(default=None, ge=1, le=60)
    tiers: Seq[HaircutTier] = Field(default=(), max_length=MAX_TIERS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.negative_surcharge_bp < -self.haircut_bp:
            raise InputError(
                "owing the asset would be debited at less than holding it is credited", field="negative_surcharge_bp"
            )
        if self.negative_surcharge_bp and not self.negative_allowed:
            raise InputError("a surcharge on balances that are not allowed", field="negative_surcharge_bp")
        above, haircut = 0, self.haircut_bp
        for tier in self.tiers:
            if tier.above_money <= above:
                raise InputError("tiers must be in ascending order", field="tiers")
            if tier.haircut_bp <= haircut:
                raise InputError(
                    "a haircut that does not grow from tier to tier: the value would not be concave", field="tiers"
                )
            above, haircut = tier.above_money, tier.haircut_bp
        return self


class Haircuts(PolicyPart):
    """The assets that collateral may be held in. An asset that is not listed here is not collateral: refused."""

    type: Literal["haircuts"] = "haircuts"
    assets: FullMap[str, AssetTerms]

    IMPORTABLE: ClassVar[bool] = True

    def terms(self, asset: str) -> AssetTerms:
        """The terms of an asset. Raises InputError for an asset that is not listed."""
        try:
            return self.assets[asset]
        except KeyError:
            listed = ", ".join(sorted(self.assets))
            raise InputError(
                "the policy has no haircut for this asset", field=f"asset {asset}", hint=f"the policy lists {listed}"
            ) from None

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:  # noqa: ARG002
        """All of it."""
        part = self.published(list(prices), list(prices.values()))
        return {name: getattr(part, name) for name in ("long_value", "short_value", "tiers")}

    def published(self, assets: Sequence[str], prices: Sequence[int]) -> PublishedHaircuts:
        """What is published for assets at money units per lot. Raises InputError for an asset without terms."""
        long_value, short_value, tiers = [], [], []
        for slot, (asset, price) in enumerate(zip(assets, prices, strict=True)):
            terms = self.terms(asset)
            long_value.append(price * (SCALE_BP - terms.haircut_bp))
            short_value.append(price * (SCALE_BP + terms.negative_surcharge_bp))
            before, kept_back = terms.haircut_bp, 0
            for tier in terms.tiers:
                kept_back += tier.above_money * (tier.haircut_bp - before)
                before = tier.haircut_bp
                tiers.append(CollateralTier(slot=slot, value=price * (SCALE_BP - before), start=kept_back))
        return PublishedHaircuts(
            long_value=IntArray(np.array(long_value, dtype=np.int64)),
            short_value=IntArray(np.array(short_value, dtype=np.int64)),
            tiers=tuple(tiers),
        )


class CollateralTier(Model):
    """A bound of what a balance held counts for: ``value`` x lots + ``start`` valuation units."""

    slot: int = Field(ge=0)
    value: int = Field(ge=0, lt=1 << 63)
    start: int = Field(ge=0, lt=1 << 120)


class PublishedHaircuts(PublishedPart):
    """Valuation units per lot: ``long_value`` [M] credited for a lot held, ``short_value`` [M] debited for one owed.

    ``tiers`` bound the credit of a slot further: it is the least of ``long_value`` x lots and the slot's tiers.
    """

    type: Literal["haircuts"] = "haircuts"
    long_value: IntArray
    short_value: IntArray
    tiers: Seq[CollateralTier] = ()

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, and 0 <= long_value <= short_value. Raises InputError."""
        for name, array in (("long_value", self.long_value), ("short_value", self.short_value)):
            if array.values.shape != (assets,):
                raise InputError(f"has the shape {array.values.shape}, not ({assets},)", field=name)
        if np.any(self.long_value.values < 0):
            raise InputError("a negative value", field="long_value")
        if np.any(self.short_value.values < self.long_value.values):
            raise InputError("owing an asset would be debited at less than holding it is credited", field="short_value")
        for tier in self.tiers:
            if tier.slot >= assets or tier.value >= int(self.long_value.values[tier.slot]):
                raise InputError("a tier of no slot, or one that does not lower the value", field="tiers")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """Two terms for each slot, and its tiers."""
        return Extent(terms=4 * assets**2 + assets * len(self.tiers))

    def collateral_value(self, lots: Sequence[int]) -> int:
        """Credits for balances held less debits for balances owed."""
        return int(self.values_of(lots))

    def values_of(self, lots: Sequence[Any]) -> Any:
        """The same of one book or, given vectors of balances, of many."""
        worth: list[list[Any]] = [
            [balance * held, balance * owed]
            for balance, held, owed in zip(
                lots, self.long_value.values.tolist(), self.short_value.values.tolist(), strict=True
            )
        ]
        # A lot owed counts for more than one held, and tiers for less: the least is the value on either side of 0.
        for tier in self.tiers:
            worth[tier.slot].append(lots[tier.slot] * tier.value + tier.start)
        return sum((smallest(*bounds) for bounds in worth), 0)
