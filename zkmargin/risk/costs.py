"""What trading costs: half spreads, fees and rising impact, per lot in money units.

A cost file is a list of rates; an instrument has the first that covers it. Sizes are in the instrument's own units:

    {"format": "zkmargin/costs/v1", "name": "my desk", "rates": [
      {"instruments": ["BTC-PERPETUAL"], "half_spread_bp": 1, "fee_bp": 5, "most": "500",
       "tiers": [{"above": "50", "impact_bp": 10}]},
      {"kinds": ["option"], "half_spread_of_mark_bp": 250, "fee_bp": 3},
      {"half_spread_bp": 5, "fee_bp": 5}]}

Basis points are of the notional at the index, ``half_spread_of_mark_bp`` of an option's or spot's mark; ``amount`` is
quote for one unit. The impact of a tier is marginal: it is paid on what is traded beyond its size, on top of what was
paid before. Marginal costs only grow, so the sum is convex and a planner cannot gain by trading more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.names import Kind
from zkmargin.engine.snapshot import InstrumentSlot, Snapshot
from zkmargin.engine.units import MONEY
from zkmargin.formats import Document, InputError, Model, PlainName, Seq


class ImpactTier(Model):
    """Marginal impact of what is traded ``above`` a size, in basis points of the notional."""

    above: str
    impact_bp: int = Field(gt=0, le=SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_fraction(self.above, field="above") <= 0:
            raise InputError("must be above 0", field="above")
        return self


class CostRate(Model):
    """The cost of some instruments: those named (patterns with * and ?), of these kinds; without either, all.

    Attributes:
        most: the most that may be traded of an instrument, in its own units; None is no limit.
    """

    instruments: Seq[str] = ()
    kinds: Seq[Kind] = ()
    half_spread_bp: int = Field(default=0, ge=0, le=SCALE_BP)
    half_spread_of_mark_bp: int = Field(default=0, ge=0, le=SCALE_BP)
    amount: str = "0"
    fee_bp: int = Field(default=0, ge=0, le=SCALE_BP)
    tiers: Seq[ImpactTier] = Field(default=(), max_length=16)
    most: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_fraction(self.amount, field="amount") < 0:
            raise InputError("must not be negative", field="amount")
        if self.most is not None and to_fraction(self.most, field="most") < 0:
            raise InputError("must not be negative", field="most")
        sizes = [to_fraction(tier.above) for tier in self.tiers]
        if sizes != sorted(set(sizes)):
            raise InputError("tiers must be in ascending order", field="tiers")
        return self

    def covers(self, slot: InstrumentSlot) -> bool:
        """Whether an instrument has this rate."""
        named = not self.instruments or any(fnmatchcase(slot.id, pattern) for pattern in self.instruments)
        return named and (not self.kinds or slot.kind in self.kinds)


class Costs(Document):
    """A cost file. An instrument that no rate covers cannot be traded."""

    FORMAT: ClassVar[str] = "zkmargin/costs/v1"

    name: PlainName = Field(default="", max_length=200)
    rates: Seq[CostRate] = Field(min_length=1, max_length=4096)


#: Without a cost file: our assumption of a liquid crypto venue, to be replaced by figures of one's own.
DEFAULT_COSTS = Costs(
    name="assumed",
    rates=(
        CostRate(kinds=("option",), half_spread_of_mark_bp=200, fee_bp=3),
        CostRate(half_spread_bp=2, fee_bp=5),
    ),
)


@dataclass(frozen=True, slots=True)
class SlotCost:
    """What trading one instrument costs.

    Attributes:
        most: lots that may be traded; None is no limit.
        tiers: (lots, money units a lot) in order: what is traded up to so many lots costs so much each; the last
            tier has None.
        notional: money units a lot.
    """

    most: int | None
    tiers: tuple[tuple[int | None, int], ...]
    notional: int

    def of(self, lots: int) -> int:
        """The cost of so many lots, bought or sold, in money units."""
        left, below, total = abs(lots), 0, 0
        for upto, rate in self.tiers:
            width = left if upto is None else min(left, upto - below)
            total += width * rate
            left -= width
            below = below if upto is None else upto
        return total


def costs_of(costs: Costs, snapshot: Snapshot) -> list[SlotCost | None]:
    """The cost of every instrument slot, rounded up to money units a lot; None where it cannot be traded.

    Raises:
        InputError: basis points of a notional, and a snapshot of imported arrays, which has no index prices.
    """
    return [_slot_cost(costs.rates, snapshot, i) for i in range(len(snapshot.instruments))]


def notional_of(snapshot: Snapshot, i: int) -> Fraction | None:
    """Money units that one lot of a slot is worth at the index; None where the snapshot has no index prices."""
    slot = snapshot.instruments[i]
    if snapshot.sensitivities is None:
        return None
    index = to_fraction(snapshot.sensitivities.index_prices[slot.group])
    if slot.kind != "option" and slot.settlement == "inverse":
        return abs(int(snapshot.deltas.values[i])) * index
    return to_fraction(slot.lot) * to_fraction(slot.multiplier) * index * MONEY


def _slot_cost(rates: Sequence[CostRate], snapshot: Snapshot, i: int) -> SlotCost | None:
    slot = snapshot.instruments[i]
    rate = next((rate for rate in rates if rate.covers(slot)), None)
    if rate is None:
        return None
    notional = notional_of(snapshot, i)
    if notional is None and (rate.half_spread_bp or rate.fee_bp or rate.tiers):
        raise InputError(
            "basis points of a notional, and imported arrays have no index price",
            field=slot.id,
            hint='give "amount", the half spread and fee of one unit in quote',
        )
    whole = notional or Fraction(0)
    lot = to_fraction(slot.lot)
    base = (
        whole * (rate.half_spread_bp + rate.fee_bp) / SCALE_BP
        + Fraction(int(snapshot.marks.values[i]) * rate.half_spread_of_mark_bp, SCALE_BP)
        + to_fraction(rate.amount) * lot * MONEY
    )
    tiers: list[tuple[int | None, int]] = []
    impact = 0
    for tier in rate.tiers:
        tiers.append((math.floor(to_fraction(tier.above) / lot), math.ceil(base + whole * impact / SCALE_BP)))
        impact += tier.impact_bp
    tiers.append((None, math.ceil(base + whole * impact / SCALE_BP)))
    most = None if rate.most is None else math.floor(to_fraction(rate.most) / lot)
    return SlotCost(most, tuple(tiers), math.ceil(whole))
