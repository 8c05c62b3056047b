"""What trades do to an account, in exact integers: what they cost, the book after them, whether its claim holds then.

A trade is made at the snapshot's mark: options and spot are paid for in one cash asset, futures and perpetuals are
carried at zero, and the cost of every trade is taken from that cash. Costs are rounded up and cash down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction

import numpy as np

from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.decimals import from_units, to_units
from zkmargin.engine.margin import equity, limit_slack
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.risk.costs import costs_of, notional_of
from zkmargin.risk.margins import MarginModel
from zkmargin.risk.plans import Position, Terms, Trade
from zkmargin.risk.programme import Tradable, snapshot_deltas

#: A hedge is at most so many times the size of what the account holds of its underlying.
HEDGE_SIZE = 4


class Trading:
    """One account under a claim, and what terms allow it to trade. Trades are lots by slot of the snapshot.

    Raises:
        InputError: no cash asset, or a pattern that matches no instrument.
    """

    def __init__(self, snapshot: Snapshot, lots: BookLots, claim: Claim, terms: Terms) -> None:
        self.snapshot, self.lots, self.claim, self.terms = snapshot, lots, claim, terms
        self.model = MarginModel(snapshot, claim.requirement)
        self.cash = cash_slot(snapshot, terms.cash)
        self.costs = costs_of(terms.costs, snapshot)
        self.marks: list[int] = snapshot.marks.values.tolist()
        self.tradable = self._permitted()
        self.own = {own.slot: own for own in self.tradable}
        self.held = {slot for slot, amount in enumerate(lots.positions) if amount}

    # --- exact integers -----------------------------------------------------------------------------------

    def cost_of(self, trades: Mapping[int, int]) -> int:
        """What trades cost, in money units."""
        total = 0
        for slot, amount in trades.items():
            cost = self.costs[slot]
            if cost is None:
                raise InputError("no rate of the cost file covers it", field=self.snapshot.instruments[slot].id)
            total += cost.of(amount)
        return total

    def after(self, trades: Mapping[int, int]) -> BookLots:
        """The book after trades; cash rounded down to a lot."""
        positions, collateral = list(self.lots.positions), list(self.lots.collateral)
        for slot, amount in trades.items():
            positions[slot] += amount
        collateral[self.cash] -= self._paid(trades)
        return BookLots(tuple(positions), tuple(collateral))

    def _paid(self, trades: Mapping[int, int]) -> int:
        """Lots of cash that trades take: premiums and costs, rounded up."""
        paid: int = self.cost_of(trades) + sum(amount * self.marks[slot] for slot, amount in trades.items())
        return -(-paid // self.snapshot.collateral[self.cash].price)

    def slacks(self, plans: Sequence[Mapping[int, int]]) -> list[int]:
        """``den equity - num requirement`` after each of some plans."""
        if not plans:
            return []
        used = sorted(self.held.union(*plans))
        column = {slot: place for place, slot in enumerate(used)}
        legs = np.tile(np.array([self.lots.positions[slot] for slot in used], dtype=np.int64), (len(plans), 1))
        balances = np.tile(np.array(self.lots.collateral, dtype=object), (len(plans), 1))
        for row, trades in enumerate(plans):
            for slot, amount in trades.items():
                legs[row, column[slot]] += amount
            balances[row, self.cash] -= self._paid(trades)
        starts = np.arange(len(plans) + 1, dtype=np.int64) * len(used)
        slots = np.tile(np.array(used, dtype=np.int64), len(plans))
        many = Books.sparse(starts, slots, legs.ravel(), balances)
        return [int(x) for x in self.model.margins(many, bounded=False).slack(self.claim)]

    def holds(self, trades: Mapping[int, int]) -> bool:
        """Whether the claim, every limit and the bounds of balances hold after trades."""
        book = self.after(trades)
        asset = self.snapshot.collateral[self.cash]
        cash = book.collateral[self.cash]
        if abs(cash) >= 1 << asset.bits or (cash < 0 and not asset.negative_allowed):
            return False
        kept = all(limit_slack(limit, self.snapshot, book, self.claim.requirement) >= 0 for limit in self.terms.limits)
        return kept and self.slacks([trades])[0] >= 0

    # --- in a plan's words ---------------------------------------------------------------------------------

    def trade(self, slot: int, amount: int) -> Trade:
        """One trade as a plan shows it."""
        return Trade(
            id=self.snapshot.instruments[slot].id,
            lots=amount,
            quantity=quantity_of(amount, self.snapshot.instruments[slot].lot),
            cost=SCALE_BP * self.cost_of({slot: amount}),
            paid=SCALE_BP * amount * self.marks[slot],
        )

    def position(self, trades: Mapping[int, int], slack: int) -> Position:
        """Where the account stands after trades, of which the slack is known."""
        snapshot, book = self.snapshot, self.after(trades)
        worth = equity(snapshot, book).total
        lots = np.array(book.positions, dtype=object)
        deltas = {}
        for group, name in enumerate(snapshot.groups):
            total = int(sum(q * d for q, d in zip(book.positions, snapshot_deltas(snapshot, group), strict=True) if d))
            deltas[name] = from_units(total, 9)
        greeks: dict[str, str | None] = dict.fromkeys(("gamma", "vega", "theta"))
        found = snapshot.sensitivities
        if found is not None:
            index = [Fraction(price) for price in found.index_prices]
            gamma = sum(
                (
                    q * int(g) * index[group]
                    for q, g, group in zip(lots, found.gammas.values, snapshot.group_of, strict=True)
                    if q
                ),
                Fraction(0),
            )
            greeks = {
                "gamma": from_units(round(gamma), 9),
                "vega": from_units(int(lots @ found.vegas.values.astype(object)), 9),
                "theta": from_units(int(lots @ found.thetas.values.astype(object)), 9),
            }
        return Position(
            equity=worth,
            requirement=(self.claim.den * worth - slack) // self.claim.num,
            shortfall=max(-(slack // self.claim.den), 0),
            deltas=deltas,
            **greeks,
        )

    # --- what may be traded -------------------------------------------------------------------------------

    def _permitted(self) -> list[Tradable]:
        found = []
        patterns, mode = self.terms.may_trade, self.terms.mode
        names = [slot.id for slot in self.snapshot.instruments]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError("matches no instrument of the snapshot", field=f"tradable {pattern[:100]}")
        sizes = self._group_sizes()
        for i, slot in enumerate(self.snapshot.instruments):
            cost, held = self.costs[i], self.lots.positions[i]
            if cost is None or (patterns and not any(fnmatchcase(slot.id, pattern) for pattern in patterns)):
                continue
            if mode == "close":
                low, high = min(held, 0), max(held, 0)
            else:
                if mode == "neutralise" and slot.kind == "option":
                    continue
                reach = self._hedge(i, sizes)
                low, high = min(held - reach, -abs(held)), max(held + reach, abs(held))
            if cost.most is not None:
                low, high = max(low, held - cost.most), min(high, held + cost.most)
            bound = (1 << self.snapshot.layout.position_bits) - 1
            low, high = max(low, -bound), min(high, bound)
            if low < high:
                found.append(Tradable(i, low, high, cost.tiers))
        return found

    def _group_sizes(self) -> list[Fraction]:
        """The notional of what is held of each risk group, in money units; lots where there is no index price."""
        sizes = [Fraction(0)] * len(self.snapshot.groups)
        for i, (held, group) in enumerate(zip(self.lots.positions, self.snapshot.group_of, strict=True)):
            if held:
                notional = notional_of(self.snapshot, i)
                sizes[group] += abs(held) * (Fraction(1) if notional is None else notional)
        return sizes

    def _hedge(self, i: int, sizes: Sequence[Fraction]) -> int:
        notional = notional_of(self.snapshot, i) or Fraction(1)
        return math.ceil(HEDGE_SIZE * sizes[self.snapshot.group_of[i]] / notional)


def cash_slot(snapshot: Snapshot, name: str | None) -> int:
    """The collateral slot that trades are paid from: the named one, or the plainest: worth what it is priced at.

    Raises:
        InputError: no such asset, or none that counts in full.
    """
    assets = [slot.asset for slot in snapshot.collateral]
    if name is not None:
        if name not in assets:
            raise InputError("no such asset in the snapshot", field=f"cash {name[:100]}", hint=", ".join(assets))
        return assets.index(name)
    haircuts = next(part for part in snapshot.components if isinstance(part, PublishedHaircuts))
    whole = [
        j for j, slot in enumerate(snapshot.collateral) if int(haircuts.long_value.values[j]) == SCALE_BP * slot.price
    ]
    if not whole:
        raise InputError("no asset counts in full: say which is paid with", field="cash", hint=", ".join(assets))
    return max(
        whole,
        key=lambda j: (snapshot.collateral[j].asset == snapshot.quote, snapshot.collateral[j].negative_allowed, -j),
    )


def quantity_of(lots: int, lot: str) -> str:
    """Lots in an instrument's or an asset's own units: ``quantity_of(-25, "0.1")`` is ``"-2.5"``."""
    decimals = len(lot.partition(".")[2])
    return from_units(lots * to_units(lot, decimals), decimals)
