"""Accounts and who holds them: prices come in, totals go out, books stay.

A cascade needs of accounts only sums: how many are below their requirement, what is sold of each underlying, what the
closed ones cannot pay, what the others gained. So every holder (a broker, a desk) can keep its accounts' books to
itself: it answers the public prices of a round with totals, and what auto-deleveraging asks for with what it took. The
shares of auto-deleveraging follow from the sum of all gains, so the outcome does not depend on who holds which account.

Totals are the holder's word. Those at the start can be proved (``net`` and ``totals`` of a venue proof); those of a
later round need a proof of that round's books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.books import Books, Products
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP, Requirement
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, Map, Model
from zkmargin.risk.liquidation import plan_liquidation
from zkmargin.risk.margins import MarginModel
from zkmargin.risk.plans import Terms
from zkmargin.risk.repricing import Repricer
from zkmargin.risk.trading import cash_slot

Ratio = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(/[1-9][0-9]*)?$", max_length=4_000)]


class Closing(Model):
    """How accounts are liquidated.

    Attributes:
        mode: ``pro-rata`` closes the part that is needed, ``all`` everything at once, ``planner`` makes plans for the
            worst ``planned`` accounts of a round and closes pro rata in the others.
        target_bp: the equity over the requirement that is aimed at.
        most_bp: the largest part of an account that is closed in one round.
        cost_bp: what closing costs, of the notional.
    """

    mode: Literal["pro-rata", "all", "planner"] = "pro-rata"
    target_bp: int = Field(default=10_500, ge=SCALE_BP, le=2 * SCALE_BP)
    most_bp: int = Field(default=SCALE_BP, gt=0, le=SCALE_BP)
    cost_bp: int = Field(default=10, ge=0, le=SCALE_BP)
    planned: int = Field(default=3, ge=1, le=100)


class Prices(Model):
    """What a round tells every holder: prices and implied vols as parts of those at the start."""

    prices: Map[str, Ratio]
    vols: Map[str, Ratio]


class Required(Model):
    """The requirement of all accounts of a holder at the start, in 1e-13: said once, before any price is told.

    It is exact, so that the sum over holders is rounded once and does not depend on how accounts are spread.
    """

    margin: int


class Totals(Model):
    """What a holder answers to prices, and all that it answers.

    Attributes:
        below: accounts below their requirement; ``fresh`` those that never were before, ``closed`` those that have no
            position left.
        sold: units of each underlying that were sold, net, in 1e-9.
        cost: of closing, money units.
        missing: what closed accounts could not pay, money units.
    """

    below: int
    fresh: int
    closed: int
    sold: Map[str, int]
    cost: int
    missing: int


class Gained(Model):
    """What accounts gained since the start, money units: asked for when the fund is not enough."""

    gains: int


class Levy(Model):
    """What auto-deleveraging asks of those who gained: ``amount``, in proportion to ``gains`` of all holders."""

    amount: int
    gains: int


class Paid(Model):
    """What was taken, and how many accounts paid for the first time."""

    taken: int
    payers: int


class Holder:
    """The accounts of one holder.

    Args:
        repricer: the market under the policy.
        books: sparse.
        closing: how accounts are liquidated.
        requirement: which one they must meet.

    Attributes:
        required: the sum of their requirements at the start.
        net: [N] lots that they hold together at the start: what a venue proof's terms call so.

    Example:
        >>> holder = Holder(repricer, books, Closing(), "maintenance")
        >>> holder.round(Prices(prices={"BTC": "9/10"}, vols={})).missing
        0
    """

    def __init__(self, repricer: Repricer, books: Books, closing: Closing, requirement: Requirement) -> None:
        self.repricer, self.closing, self.requirement = repricer, closing, requirement
        base = repricer.base
        self.starts, self.slots, self.lots = books.starts, books.slots, books.lots.copy()
        self.owner = np.repeat(np.arange(len(books)), np.diff(books.starts))
        self.cash = cash_slot(base, None)
        self.price = base.collateral[self.cash].price
        self.balances = books.collateral.copy()
        #: Cash beyond the balance's lots, in money units; it may be below 0 for a moment.
        self.money: list[int] = [self.price * int(balance) for balance in books.collateral[:, self.cash]]
        self.start_money = self._worth(base)
        self.notionals = repricer.notionals()
        self.group_of = np.array(base.group_of, dtype=np.int64)
        self.now = dict.fromkeys(base.groups, Fraction(1))
        self.touched: set[int] = set()
        self.payers: set[int] = set()
        self.required = Required(margin=sum(int(x) for x in self._margins(base).total))
        self.net = np.zeros(len(base.instruments), dtype=np.int64)
        np.add.at(self.net, self.slots, self.lots)
        self._snapshot, self._worths = base, list[int]()
        self._gains: dict[int, int] = {}

    def round(self, message: Prices) -> Totals:
        """One round at given prices: settle, margin, liquidate."""
        now = {name: Fraction(text) for name, text in message.prices.items()}
        self._settle(now)
        snapshot = self.repricer.at(now, {name: Fraction(text) for name, text in message.vols.items()})
        margins = self._margins(snapshot)
        held = np.zeros(len(self.money), dtype=np.bool_)
        held[self.owner[self.lots != 0]] = True
        below = np.flatnonzero(np.asarray(margins.surplus < 0, dtype=np.bool_) & held).tolist()
        fresh = set(below) - self.touched
        self.touched |= fresh
        closing, cost = self._close(snapshot, margins, below)
        closed = [account for account in below if not self._holds(account)]
        missing = self._written_off(snapshot, closed)
        return Totals(
            below=len(below),
            fresh=len(fresh),
            closed=len(closed),
            sold=self._sold(snapshot, closing),
            cost=cost,
            missing=missing,
        )

    def gained(self) -> Gained:
        """What all accounts that gained since the start gained together, by the prices of the last round."""
        worth = self._worths or self._worth(self._snapshot)
        gains = [now - before for now, before in zip(worth, self.start_money, strict=True)]
        self._gains = {account: gain for account, gain in enumerate(gains) if gain > 0}
        return Gained(gains=sum(self._gains.values()))

    def pay(self, levy: Levy) -> Paid:
        """Take an amount from those who gained since the start, in proportion; never more than they gained."""
        taken, fresh = 0, 0
        for account, gain in self._gains.items():
            share = min(levy.amount * gain // levy.gains, gain)
            self.money[account] -= share
            taken += share
            if share and account not in self.payers:
                self.payers.add(account)
                fresh += 1
        return Paid(taken=taken, payers=fresh)

    # --- within -------------------------------------------------------------------------------------------

    def _written_off(self, snapshot: Snapshot, closed: Sequence[int]) -> int:
        """What closed accounts cannot pay: they are at 0 from here on."""
        self._snapshot, self._gains = snapshot, {}
        self._worths = worth = self._worth(snapshot) if closed else []
        missing = 0
        for account in closed:
            if worth[account] < 0:
                self.money[account] -= worth[account]
                missing -= worth[account]
        return missing

    def _settle(self, prices: Mapping[str, Fraction]) -> None:
        """Gains of futures and perpetuals since the round before go into cash."""
        gains = self.repricer.gains(self.now, prices)
        for account, gain in enumerate(self._sums(self.lots, gains)):
            self.money[account] += gain
        self.now = dict(prices)

    def _sold(self, snapshot: Snapshot, closing: Int64Array) -> dict[str, int]:
        """Units sold of each underlying (1e-9)."""
        deltas = snapshot.deltas.values
        sold: dict[str, int] = {}
        for group, name in enumerate(snapshot.groups):
            legs = np.flatnonzero(self.group_of[self.slots] == group)
            sold[name] = -sum(
                int(a) * int(d) for a, d in zip(closing[legs], deltas[self.slots[legs]], strict=True) if a
            )
        return sold

    def _sums(self, lots: Int64Array, per_lot: Int64Array) -> list[int]:
        """``sum lots x per_lot`` of every account."""
        own = Books(self.starts, self.slots, lots, np.zeros((len(self.money), 0), dtype=np.int64))
        return Products(per_lot.reshape(1, -1)).of(own)[0].tolist()

    def _books(self) -> Books:
        balances = self.balances.astype(object)
        balances[:, self.cash] = [amount // self.price for amount in self.money]
        return Books(self.starts, self.slots, self.lots, balances)

    def _margins(self, snapshot: Snapshot) -> Any:
        return MarginModel(snapshot, self.requirement, once=True).margins(self._books(), bounded=False)

    def _holds(self, account: int) -> bool:
        return bool(self.lots[self.starts[account] : self.starts[account + 1]].any())

    def _worth(self, snapshot: Snapshot) -> list[int]:
        """What each account is worth in money units: cash, marks, and other balances at their prices."""
        marks = self._sums(self.lots, snapshot.marks.values)
        prices = [0 if j == self.cash else slot.price for j, slot in enumerate(snapshot.collateral)]
        others = [sum(int(b) * p for b, p in zip(row, prices, strict=True) if p) for row in self.balances.tolist()]
        return [money + mark + other for money, mark, other in zip(self.money, marks, others, strict=True)]

    def _close(self, snapshot: Snapshot, margins: Any, below: Sequence[int]) -> tuple[Int64Array, int]:
        """Close what is to be closed: the change of every leg, and what it costs."""
        terms, change = self.closing, np.zeros(len(self.lots), dtype=np.int64)
        planned = self._planned(snapshot, margins, below) if terms.mode == "planner" else {}
        sizes = self._sums(np.abs(self.lots), self.notionals) if below else []
        for account in below:
            legs = slice(int(self.starts[account]), int(self.starts[account + 1]))
            if account in planned:
                for leg in range(legs.start, legs.stop):
                    change[leg] = planned[account].get(int(self.slots[leg]), 0)
                continue
            equity, required = int(margins.equity[account]), int(margins.total[account])
            part = self._part(equity, required, terms.cost_bp * sizes[account])
            own = self.lots[legs]
            closed = np.array([-(-abs(lots) * part // SCALE_BP) for lots in own.tolist()], dtype=np.int64)
            change[legs] = -np.sign(own) * closed
        marks, cost = snapshot.marks.values, 0
        received = self._sums(-change, marks)
        traded = self._sums(np.abs(change), self.notionals)
        for account in below:
            fee = -(-terms.cost_bp * traded[account] // SCALE_BP)
            self.money[account] += received[account] - fee
            cost += fee
        self.lots += change
        return change, cost

    def _part(self, equity: int, required: int, cost: int) -> int:
        """The part of an account that is closed, in 1e-4, rounded up."""
        terms = self.closing
        if terms.mode == "all" or equity <= 0:
            return SCALE_BP
        target = terms.target_bp * required
        missing, freed = target - SCALE_BP * equity, target - SCALE_BP * cost
        part = SCALE_BP if freed <= 0 else min(-(-SCALE_BP * missing // freed), SCALE_BP)
        return max(min(part, terms.most_bp), 1)

    def _planned(self, snapshot: Snapshot, margins: Any, below: Sequence[int]) -> dict[int, dict[int, int]]:
        """Plans for the accounts that are missing most: closing trades by slot."""
        worst = sorted(below, key=lambda a: int(margins.surplus[a]))[: self.closing.planned]
        books, found = self._books(), {}
        claim = Claim(1, 1, self.requirement)
        for account in worst:
            lots = books.lots_of(account, len(snapshot.instruments))
            try:
                plan = plan_liquidation(snapshot, lots, claim, Terms(mode="close", seconds=0.2))
            except ConstraintError:  # no plan is enough: the account is closed pro rata
                continue
            places = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
            found[account] = {places[trade.id]: trade.lots for trade in plan.trades}
        return found
