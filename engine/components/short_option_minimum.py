"""Short option minimum: every option sold short costs at least a fraction of its underlying.

SPAN's short option minimum, counted gross per contract. As a ``floor`` it competes with the scenarios of its risk
group, so it binds where far out-of-the-money options show no scenario loss; ``added`` puts it on top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.components.base import Charge, Leg, PolicyPart, PublishedPart
from engine.valuation import Valuation
from formats import InputError, IntArray

RateBp = Annotated[int, Field(ge=0, le=10_000)]


class ShortOptionMinimum(PolicyPart):
    """The minimum per short option: ``rate_bp`` of the index value of one lot, ``rates_bp`` by underlying first."""

    type: Literal["short_option_minimum"] = "short_option_minimum"
    mode: Literal["floor", "added"] = "floor"
    rate_bp: RateBp
    rates_bp: dict[str, RateBp] = Field(default_factory=dict)

    NEEDS_SIDES: ClassVar[bool] = True

    def publish(self, valuation: Valuation) -> PublishedShortOptionMinimum | None:
        """Charges in money units per short lot, rounded half away from zero; None without options."""
        instruments = valuation.market.instruments
        if all(instrument.kind != "option" for instrument in instruments):
            return None
        charge = np.zeros(len(instruments), dtype=np.int64)
        for slot, instrument in enumerate(instruments):
            if instrument.kind == "option":
                rate = Fraction(self.rates_bp.get(instrument.underlying, self.rate_bp), 10_000)
                charge[slot] = valuation.money(rate * valuation.index_value(slot), instrument.id)
        return PublishedShortOptionMinimum(mode=self.mode, charge=IntArray(charge))


class PublishedShortOptionMinimum(PublishedPart):
    """``charge`` [N]: money units per short lot, 0 for everything that is not an option."""

    type: Literal["short_option_minimum"] = "short_option_minimum"
    mode: Literal["floor", "added"]
    charge: IntArray

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shape and signs. Raises InputError."""
        if self.charge.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.charge.values.shape}, not ({len(group_of)},)", field="charge")
        if np.any(self.charge.values < 0):
            raise InputError("a negative charge", field="charge")

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The sum of charge x short lots: a candidate of each group, or an addition."""
        sums: dict[int, int] = defaultdict(int)
        for leg in legs:
            sums[leg.group] += self._amount(leg)
        if self.mode == "added":
            return Charge(addition=sum(sums.values()))
        return Charge(candidates={group: (amount,) for group, amount in sums.items()})

    def share(self, leg: Leg, candidate: int | None) -> int:
        """One leg's minimum, where it is counted."""
        return self._amount(leg) if (candidate is None) == (self.mode == "added") else 0

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The only candidate is the sum of the minima."""
        return "short option minimum"

    def _amount(self, leg: Leg) -> int:
        return int(self.charge.values[leg.slot]) * max(-leg.lots, 0)
