"""Basis contingency: the forward of each expiry moves by itself, up or down, whichever is worse for it.

Derive PMRM_2, "forward contingency" (v2-core, PMRMLib_2): with V_e the value of an expiry, static discount left out,

    sum over expiries of (add + multiple T) max(V_e - V_e(up), V_e - V_e(down), 0)

It competes with the scenarios of its risk group, or is added. An expiry's futures move with its forward.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import Charge, Extent, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.static_discount import by_expiry, by_group, check_expiries, check_matrix, members
from zkmargin.engine.exact import exact_dot
from zkmargin.formats import InputError, IntArray


class BasisContingency(Selective, PolicyPart):
    """Moves of an expiry's forward in basis points, and the part of the loss that counts: add + multiple x years.

    Attributes:
        settlement_average_seconds: how long before expiry the settlement price begins to be averaged.
    """

    type: Literal["basis_contingency"] = "basis_contingency"
    mode: Literal["floor", "added"] = "floor"
    up_bp: int = Field(gt=0, le=90_000)
    down_bp: int = Field(gt=-10_000, lt=0)
    add_bp: int = Field(ge=0, le=1_000_000)
    multiple_bp: int = Field(ge=0, le=1_000_000)
    settlement_average_seconds: int = Field(default=0, ge=0, le=86_400)

    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.add_bp and not self.multiple_bp:
            raise InputError("it would charge nothing", field="add_bp")
        return self

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Where nothing expires."""
        return "option" not in kinds and "future" not in kinds


class PublishedBasisContingency(Selective, PublishedPart):
    """``change`` [N, 2]: P&L of one lot long, forward up and down, times the rate; ``expiries`` [N], -1 for none."""

    type: Literal["basis_contingency"] = "basis_contingency"
    mode: Literal["floor", "added"]
    expiries: IntArray
    change: IntArray

    BY_SLOT: ClassVar[Mapping[str, int]] = {"expiries": -1, "change": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, and that slots without an expiry do not change. Raises InputError."""
        check_expiries(self.expiries, group_of)
        check_matrix("change", self.change, (len(group_of), 2))
        if np.any(self.change.values[self.expiries.values < 0]):
            raise InputError("a value without an expiry", field="change")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """Two rows for each expiry."""
        expiries = len(members(self.expiries.values))
        return Extent(2 * expiries, expiries**2)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The sum of the expiries' losses: a candidate of each group, or an addition."""
        sums = {
            group: sum(max(0, *self._losses(part)) for part in by_expiry(own, self.expiries).values())
            for group, own in by_group(legs).items()
        }
        if self.mode == "added":
            return Charge(addition=sum(sums.values()))
        return Charge(candidates={group: (amount,) for group, amount in sums.items()})

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's loss in the worse direction of its expiry."""
        if (candidate is None) != (self.mode == "added"):
            return [0] * len(legs)
        shares: dict[int, int] = {}
        for part in by_expiry(legs, self.expiries).values():
            losses = self._losses(part)
            if max(losses) > 0:
                worse = losses.index(max(losses))
                shares |= {leg.slot: -leg.lots * int(self.change.values[leg.slot, worse]) for leg in part}
        return [shares.get(leg.slot, 0) for leg in legs]

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The only candidate is the sum over the expiries."""
        return "basis contingency"

    def _losses(self, legs: Sequence[Leg]) -> list[int]:
        return exact_dot(self.change.values[[leg.slot for leg in legs]], [-leg.lots for leg in legs])
