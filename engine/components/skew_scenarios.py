"""Skew scenarios: the smile of each expiry tilts or bends, prices stay; every expiry in its worse direction.

Derive PMRM_2 (v2-core, PMRMLib_2): with k = ln(K / F), or |k| for the bend, and T years to expiry,

    cap = base sqrt(T) + cap_base,   k* = max(min_width, width sqrt(T) (vol + vol_slope sqrt(T)))
    vol times 1 + k cap / k*, that change at most cap outwards:  min(., cap) for k >= 0, max(., -cap) for k < 0

The loss of an expiry is |discounted V_e - V_e|, whichever way it goes. Without a static discount that is convex. With
one it is not: |positive V - n - V_e| falls as the shortfall n = max(0, -(negative - positive) V) grows, so a proof
must know n exactly: one hidden bit an expiry says which side V is on, and the circuit says what the engine says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import Charge, Extent, Labels, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.static_discount import (
    StaticDiscount,
    by_expiry,
    by_group,
    check_expiries,
    check_matrix,
    counted_shortfall,
    members,
)
from zkmargin.engine.exact import Int64Array, exact_dot
from zkmargin.formats import InputError, IntArray, Model, Seq

MAX_BP = 1_000_000


class Skew(Model):
    """One skew scenario: parameters in basis points, named as in the formulas above.

    Attributes:
        shape: ``linear`` tilts the smile with k, ``absolute`` bends it with abs(k).
    """

    shape: Literal["linear", "absolute"]
    weight_bp: int = Field(default=10_000, gt=0, le=10_000)
    cap_base_bp: int = Field(ge=0, le=10_000)
    base_bp: int = Field(ge=-MAX_BP, le=MAX_BP)
    min_width_bp: int = Field(gt=0, le=MAX_BP)
    width_bp: int = Field(ge=0, le=MAX_BP)
    vol_bp: int = Field(ge=0, le=MAX_BP)
    vol_slope_bp: int = Field(ge=-MAX_BP, le=MAX_BP)


class SkewScenarios(Selective, PolicyPart):
    """Skew scenarios, with the static discount of the policy's other scenarios where it has one.

    Raises:
        InputError: a cap that could pass 100 % or fall below 0 within five years: a vol must stay a vol.
    """

    type: Literal["skew_scenarios"] = "skew_scenarios"
    skews: Seq[Skew] = Field(min_length=1, max_length=16)
    discount: StaticDiscount | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for skew in self.skews:
            # sqrt(5) < 2.24; the cap is monotone in T, so its ends decide.
            if not 0 <= 100 * skew.cap_base_bp + 224 * skew.base_bp <= 1_000_000:
                raise InputError(
                    "cap_base_bp + base_bp sqrt(T) leaves 0 to 10000 within five years: a vol would turn around",
                    field="skews",
                )
        return self

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Without options."""
        return "option" not in kinds

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the names of the skews."""
        return {**super().implied(groups, prices), "scenarios": tuple(f"{skew.shape} skew" for skew in self.skews)}


class PublishedSkewScenarios(Selective, PublishedPart):
    """Candidate k of a group: sum over its expiries of |G - max(0, -X)|, G and X their sums of gain and shortfall.

    Attributes:
        scenarios: K labels.
        expiries: [N] a number for each expiry of an underlying, -1 for slots that are not options.
        gain: [N, K] money units per lot long.
        shortfall: [N, K] money units per lot long, not negative; all 0 without a static discount.
    """

    type: Literal["skew_scenarios"] = "skew_scenarios"
    scenarios: Labels
    expiries: IntArray
    gain: IntArray
    shortfall: IntArray

    BY_SLOT: ClassVar[Mapping[str, int]] = {"expiries": -1, "gain": 0, "shortfall": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, signs, and that slots without an expiry have no P&L. Raises InputError."""
        shape = (len(group_of), len(self.scenarios))
        if not self.scenarios:
            raise InputError("no scenario: nothing would be charged", field="scenarios")
        check_expiries(self.expiries, group_of)
        check_matrix("gain", self.gain, shape)
        check_matrix("shortfall", self.shortfall, shape, negative=False)
        for field, array in (("gain", self.gain), ("shortfall", self.shortfall)):
            if np.any(array.values[self.expiries.values < 0]):
                raise InputError("a value without an expiry", field=field)

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """Two rows for each skew, group and expiry."""
        rows, expiries = len(self.scenarios) * groups, len(members(self.expiries.values))
        return Extent(2 * rows * expiries, rows * expiries**2)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates: the loss of each group in each skew."""
        losses: dict[int, list[int]] = {}
        for group, own in by_group(legs).items():
            total = [0] * len(self.scenarios)
            for part in by_expiry(own, self.expiries).values():
                short = counted_shortfall(self._sums(self.shortfall, part), self._rows(self.shortfall, part))
                profits = zip(total, self._sums(self.gain, part), short, strict=True)
                total = [loss + abs(gain - extra) for loss, gain, extra in profits]
            losses[group] = total
        return Charge(candidates=losses)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's P&L with the sign that makes its expiry lose."""
        if candidate is None:
            return [0] * len(legs)
        shares: dict[int, int] = {}
        for part in by_expiry(legs, self.expiries).values():
            short = self._sums(self.shortfall, part)[candidate] < 0
            own = [
                leg.lots
                * (
                    int(self.gain.values[leg.slot, candidate])
                    + (int(self.shortfall.values[leg.slot, candidate]) if short else 0)
                )
                for leg in part
            ]
            sign = 1 if sum(own) >= 0 else -1
            shares |= {leg.slot: sign * profit for leg, profit in zip(part, own, strict=True)}
        return [shares.get(leg.slot, 0) for leg in legs]

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The skew's label."""
        return self.scenarios[candidate]

    def _rows(self, array: IntArray, legs: Sequence[Leg]) -> Int64Array:
        return array.values[[leg.slot for leg in legs]]

    def _sums(self, array: IntArray, legs: Sequence[Leg]) -> list[int]:
        return exact_dot(self._rows(array, legs), [leg.lots for leg in legs])
