"""Inter-commodity credit: what SPAN gives back for opposite positions in related commodities.

Net deltas of combined commodities are spread in published order, each spread from the deltas that earlier ones left:
CME, "SPAN methodology", inter-commodity spread credit (record type 6). A spread credits each leg's commodity with

    price risk per delta x deltas per spread x spreads x credit rate

Price risk per delta is public: the price scan range (SPAN's weighted futures price risk by method SCANRANGE), since
dividing by a hidden net delta (method NORMAL) is no rule that a proof can state. Counts of spreads are rounded down
to 1e-9 deltas. A credit lowers its commodity's charge, never below the short option minimum or 0.

The count, a minimum of hidden deltas, lowers the requirement, so it is proved to be the published one, exactly: the
engine and the circuit form the same spreads in the same order (``engine.spreads``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from zkmargin.engine.components.base import KEPT, Charge, Extent, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.spread_rules import RATE_UNIT, CreditSpread, QuoteAmount
from zkmargin.engine.spreads import (
    MAX_SPREADS,
    PublishedSpread,
    Shares,
    check_spreads,
    form_spreads,
    smallest_count,
    smallest_share,
    spread_terms,
)
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Seq

#: Money per delta x 1e-9 deltas x 1e-6 of a rate.
SCALE = 10**9 * RATE_UNIT


class InterCommodityCredit(Selective, PolicyPart):
    """Spreads in published order.

    Imported SPAN arrays that bring spreads of their own are taken at these instead.

    Attributes:
        price_risk: price risk per delta by underlying, where it is not the price scan range of ``span_scenarios``.
    """

    type: Literal["inter_commodity_credit"] = "inter_commodity_credit"
    spreads: Seq[CreditSpread] = ()
    price_risk: Map[str, QuoteAmount] = Field(default_factory=FrozenMap)

    IMPORTABLE: ClassVar[bool] = True

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Where no spread can be formed: it would only lower the requirement."""
        return True


class PublishedInterCommodityCredit(Selective, PublishedPart):
    """Spreads as integers; accounts are the risk groups. The credit of a group is a negative offset of its losses.

    Attributes:
        deltas: [N] 1e-9 deltas per lot.
        spreads: in published order.
        credits: for each spread and leg, 1e-15 money units for each count.
    """

    type: Literal["inter_commodity_credit"] = "inter_commodity_credit"
    deltas: IntArray
    spreads: Seq[PublishedSpread] = Field(max_length=MAX_SPREADS)
    credits: Seq[Seq[int]]

    BY_SLOT: ClassVar[Mapping[str, int]] = {"deltas": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes and signs, and that each leg is one risk group. Raises InputError."""
        if self.deltas.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.deltas.values.shape}, not ({len(group_of)},)", field="deltas")
        if [len(amounts) for amounts in self.credits] != [len(spread.legs) for spread in self.spreads]:
            raise InputError("one credit for each leg of each spread", field="credits")
        if min((amount for amounts in self.credits for amount in amounts), default=0) < 0:
            raise InputError("a negative credit", field="credits")
        if any(len(leg.accounts) != 1 for spread in self.spreads for leg in spread.legs):
            raise InputError("a leg of an inter-commodity spread is one risk group", field="spreads")
        check_spreads(self.spreads, groups)

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each group."""
        return Extent(groups, KEPT * spread_terms(self.spreads, groups))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """A negative offset of each group, in 1e-15 money units."""
        net: dict[int, int] = defaultdict(int)
        for leg in legs:
            net[leg.group] += int(self.deltas.values[leg.slot]) * leg.lots
        sides = [(max(net[group], 0), max(-net[group], 0)) for group in range(self._groups())]
        counts = form_spreads(self.spreads, sides, smallest_count)
        amounts: dict[int, int] = defaultdict(int)
        for spread, credits_, count in zip(self.spreads, self.credits, counts, strict=True):
            for side, credit in zip(spread.legs, credits_, strict=True):
                amounts[side.accounts[0]] -= credit * count
        return Charge(offsets={group: amount for group, amount in amounts.items() if amount}, scale=SCALE)

    def offset_shares(self, legs: Sequence[Leg], group: int) -> Sequence[int]:
        """Each leg's part of a group's credit: that of the legs whose delta binds each spread."""
        none = Shares([0] * len(legs))
        sides = []
        for account in range(self._groups()):
            parts = [int(self.deltas.values[leg.slot]) * leg.lots if leg.group == account else 0 for leg in legs]
            sides.append((Shares(parts), none) if sum(parts) > 0 else (none, none - Shares(parts)))
        total = none
        for spread, credits_, count in zip(
            self.spreads, self.credits, form_spreads(self.spreads, sides, smallest_share), strict=True
        ):
            for side, credit in zip(spread.legs, credits_, strict=True):
                if side.accounts[0] == group:
                    total = total - count * credit
        return total.parts

    def _groups(self) -> int:
        """Accounts that the spreads name, as a count from 0."""
        return 1 + max((a for spread in self.spreads for leg in spread.legs for a in leg.accounts), default=-1)
