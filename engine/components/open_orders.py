"""Open orders: a provision for resting orders, at public rates on their hidden sizes.

Sizes of orders are hidden quantities like any other: they are balances of collateral slots of their own, whose price is
the notional of one lot and whose balance is the gross size of the orders. They count for nothing as collateral (a
haircut of 10000, which a policy is checked for). Deribit, OKX and Bybit add such a margin to the initial requirement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.components.base import SCALE_BP, Charge, PolicyPart, PublishedPart, Selective
from zkmargin.formats import FullMap, InputError, IntArray

RateBp = Annotated[int, Field(ge=0, le=10 * SCALE_BP)]


class OpenOrders(Selective, PolicyPart):
    """``assets``: basis points of the value of a balance, by the name of the slot that holds the orders."""

    type: Literal["open_orders"] = "open_orders"
    mode: Literal["added", "flat"] = "flat"
    assets: FullMap[str, RateBp]

    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the rates, which are those of the prices."""
        rates = [price * self.assets.get(name, 0) for name, price in prices.items()]
        if any(rate >= 1 << 63 for rate in rates):
            raise InputError("a charge per lot past 64 bits", field="assets", hint="use a smaller lot")
        return {**super().implied(groups, prices), "rate": IntArray(np.array(rates, dtype=np.int64))}


class PublishedOpenOrders(Selective, PublishedPart):
    """``rate`` [M]: valuation units (money unit / 10^4) per lot of a balance, held or owed, >= 0."""

    type: Literal["open_orders"] = "open_orders"
    mode: Literal["added", "flat"]
    rate: IntArray

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shape and signs. Raises InputError."""
        if self.rate.values.shape != (assets,):
            raise InputError(f"has the shape {self.rate.values.shape}, not ({assets},)", field="rate")
        if np.any(self.rate.values < 0):
            raise InputError("a negative rate", field="rate")

    def assess_balances(self, lots: Sequence[int]) -> Charge:
        """The sum over balances."""
        total = sum(abs(balance) * rate for balance, rate in zip(lots, self.rate.values.tolist(), strict=True))
        return Charge(addition=total, scale=SCALE_BP) if self.mode == "added" else Charge(flat=total, scale=SCALE_BP)
