"""Short option minimum: every option sold short costs at least a fraction of its underlying.

Per contract, counted gross: SPAN's short option minimum (CME SPAN, "short option minimum charge"). Per strike, after
calls and puts of one expiry and strike net against each other: the naked shorts of Derive's PMRM (v2-core,
PMRMLib: ``max(0, -(calls + puts))``) and of Deribit's first portfolio margin (+10 calls and -20 puts count 10).

As a ``floor`` it competes with the scenarios of its risk group, so it binds where far out-of-the-money options show
no scenario loss; ``added`` puts it on top and multiplies it by the requirement's factor, ``flat`` does not multiply.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.components.base import Charge, Extent, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.formats import FrozenMap, InputError, IntArray, Map

RateBp = Annotated[int, Field(ge=0, le=10_000)]
Mode = Literal["floor", "added", "flat"]


class ShortOptionMinimum(Selective, PolicyPart):
    """The minimum per short option: ``rate_bp`` of the index value of one lot, ``rates_bp`` by underlying first.

    Attributes:
        per: ``contract`` counts every short option, ``strike`` what is short after netting the calls and puts of
            one underlying, expiry and strike.
    """

    type: Literal["short_option_minimum"] = "short_option_minimum"
    mode: Mode = "floor"
    per: Literal["contract", "strike"] = "contract"
    rate_bp: RateBp
    rates_bp: Map[str, RateBp] = Field(default_factory=FrozenMap)

    IMPORTABLE: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    @property
    def needs_sides(self) -> bool:
        """Netting per strike is linear in the positions; a count per contract needs their short side."""
        return self.per == "contract"

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Without options."""
        return "option" not in kinds


class PublishedShortOptionMinimum(Selective, PublishedPart):
    """The minimum as integers.

    Attributes:
        charge: [N] money units per short lot, 0 for everything that is not an option.
        strikes: [N] which legs net: options with the same number, -1 for everything else; None where nothing nets.
    """

    type: Literal["short_option_minimum"] = "short_option_minimum"
    mode: Mode
    charge: IntArray
    strikes: IntArray | None = None

    BY_SLOT: ClassVar[Mapping[str, int]] = {"charge": 0, "strikes": -1}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shapes and signs, and that a strike lies in one risk group. Raises InputError."""
        if self.charge.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.charge.values.shape}, not ({len(group_of)},)", field="charge")
        if np.any(self.charge.values < 0):
            raise InputError("a negative charge", field="charge")
        if self.strikes is None:
            return
        if self.strikes.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.strikes.values.shape}, not ({len(group_of)},)", field="strikes")
        if np.any((self.strikes.values < 0) & (self.charge.values > 0)):
            raise InputError("an option without a strike", field="strikes")
        pairs = {(int(strike), group) for strike, group in zip(self.strikes.values, group_of, strict=True)}
        named = [strike for strike, _ in pairs if strike >= 0]
        if len(set(named)) != len(named):
            raise InputError("options of two risk groups at one strike", field="strikes")

    @property
    def is_floor(self) -> bool:
        """In mode ``floor`` it competes after calendar charges and credits, as in SPAN."""
        return self.mode == "floor"

    def members(self) -> list[list[int]]:
        """The slots of each strike, in the order of their numbers; only where ``strikes`` is given."""
        found: dict[int, list[int]] = defaultdict(list)
        for slot, strike in enumerate([] if self.strikes is None else self.strikes.values.tolist()):
            if strike >= 0:
                found[strike].append(slot)
        return [found[strike] for strike in sorted(found)]

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each group, or for each of its strikes."""
        strikes = 1 if self.strikes is None else len(self.members())
        return Extent(groups * strikes, groups * strikes**2)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The sum of charge x short lots: a candidate of each group, or an addition."""
        sums: dict[int, int] = {leg.group: 0 for leg in legs}
        for leg, share in zip(legs, self._amounts(legs), strict=True):
            sums[leg.group] += share
        match self.mode:
            case "added":
                return Charge(addition=sum(sums.values()))
            case "flat":
                return Charge(flat=sum(sums.values()))
            case "floor":
                return Charge(candidates={group: (amount,) for group, amount in sums.items()})

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's part of the minimum, where it is counted; a leg that nets has a negative one."""
        return self._amounts(legs) if (candidate is None) == (self.mode != "floor") else [0] * len(legs)

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The only candidate is the sum of the minima."""
        return "short option minimum"

    def _amounts(self, legs: Sequence[Leg]) -> list[int]:
        charge = self.charge.values
        owed = [-int(charge[leg.slot]) * leg.lots for leg in legs]
        if self.strikes is None:
            return [max(amount, 0) for amount in owed]
        strikes = [int(self.strikes.values[leg.slot]) for leg in legs]
        net: dict[int, int] = defaultdict(int)
        for strike, amount in zip(strikes, owed, strict=True):
            net[strike] += amount
        return [amount if net[strike] > 0 else 0 for strike, amount in zip(strikes, owed, strict=True)]
