"""Cascades: many accounts, a shock, liquidations that move prices, and who pays.

Every round: prices (the shock's and the market impact of what was liquidated), a snapshot at them by the engine's own
rules, the exact margins of all accounts at once, liquidations, their impact, the waterfall. Everything is integers and
fractions, so a scenario and a seed give the same bits on every machine.

    gains      of futures and perpetuals are settled in cash as prices move
    close      an account below the requirement closes the part  f = (c R - E) / (c R - C)  of every position, with E
               its equity, R its requirement, C the cost of closing everything, c the target; at most ``most_bp`` a
               round (or everything, in the mode ``all``); an account without equity closes everything
    impact     of x units sold, D the depth in units: linear  dP / P_0 = -x / D,  root  dP / P_0 = -(x / D)^(1/2);
               the part ``permanent_bp`` stays, the rest decays by ``recovery_bp`` a round; P_0 is the price at the
               start, so that linear impact adds up whatever the order
    vols       rise by ``vol_feedback_bp`` of the price's relative fall below its start
    waterfall  what an account cannot pay after it is closed: the insurance fund, then auto-deleveraging: accounts
               that gained since the start pay in proportion to their gains, then what is left is unpaid

Without impact every account is liquidated independently of all others. With linear impact and one asset the prices
end at the nearest fixed point of  P = P_s - P_0 X(P) / D,  X(P) the units that accounts sell when the price is P.
Accounts whose liquidation prices are spread with density rho amplify a shock by 1 / (1 - rho P_0 / D), and for
rho P_0 / D >= 1 the cascade takes all (the branching condition of Caccioli, Shrestha, Moore and Farmer, "Stability
analysis of financial contagion due to overlapping portfolios", 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isqrt
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, PlainSerializer, model_validator

from zkmargin.engine.books import Books, Products
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP, Requirement
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import ConstraintError, FrozenMap, InputError, Map, Model, PlainName, Seq
from zkmargin.risk.draws import uniform
from zkmargin.risk.liquidation import Terms, cash_slot, plan_liquidation
from zkmargin.risk.margins import MarginModel
from zkmargin.risk.repricing import Repricer

#: Price factors are whole multiples of this part.
GRAIN = 10**12
MAX_ROUNDS, MAX_ACCOUNTS = 10_000, 1_000_000
Family = Literal["perpetuals", "options", "mixed"]

Money = Annotated[
    int, PlainSerializer(lambda amount: from_units(amount, MONEY_DECIMALS), return_type=str, when_used="json")
]


class Shock(Model):
    """Relative moves of prices and implied vols at a round, in basis points."""

    round: int = Field(ge=0)
    prices_bp: Map[str, int] = Field(default_factory=FrozenMap)
    vols_bp: Map[str, int] = Field(default_factory=FrozenMap)


class Impact(Model):
    """How selling moves prices.

    Attributes:
        depth: for each underlying, units whose sale takes the price to 0 (linear) or by all of it (root); an underlying
            that is not named does not move.
    """

    kind: Literal["linear", "root"] = "linear"
    depth: Map[str, str] = Field(default_factory=FrozenMap)
    permanent_bp: int = Field(default=SCALE_BP, ge=0, le=SCALE_BP)
    recovery_bp: int = Field(default=2_500, ge=0, le=SCALE_BP)
    vol_feedback_bp: int = Field(default=0, ge=0, le=10 * SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, text in self.depth.items():
            if to_fraction(text, field=f"depth.{name}") <= 0:
                raise InputError("must be above 0", field=f"depth.{name}")
        return self


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


class Synthetic(Model):
    """Accounts by a documented family.

    Attributes:
        count: how many.
        family: ``perpetuals`` hold futures, perpetuals and spot, ``options`` options (two in three legs sold),
            ``mixed`` both.
        legs: instruments of each.
        lots: largest number of lots of a leg.
        long_bp: the part of legs that are long; crowding is far from one half.
        equity_bp: equity over the requirement at the start, from and to.
    """

    count: int = Field(gt=0, le=MAX_ACCOUNTS)
    family: Family = "mixed"
    legs: int = Field(default=8, gt=0, le=64)
    lots: int = Field(default=100, gt=0, le=1 << 20)
    long_bp: int = Field(default=5_000, ge=0, le=SCALE_BP)
    equity_bp: Seq[int] = Field(default=(10_500, 30_000), min_length=2, max_length=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.equity_bp[0] <= self.equity_bp[1]:
            raise InputError("from and to, above 0", field="equity_bp")
        return self


class Scenario(Model):
    """A simulation. The market, the policy and the accounts' books come beside it."""

    name: PlainName = Field(default="", max_length=200)
    seed: int = Field(default=1, ge=0)
    rounds: int = Field(gt=0, le=MAX_ROUNDS)
    requirement: Requirement = "maintenance"
    accounts: Synthetic | None = None
    shocks: Seq[Shock] = ()
    impact: Impact = Impact()
    closing: Closing = Closing()
    fund: str = "0"
    deleverage: bool = True


class Round(Model):
    """What happened in a round. Prices are parts of those at the start, in 1e-12; amounts are quote.

    Attributes:
        prices, alone: with the cascade, and by the shocks alone.
        below: accounts below their requirement; ``closed`` those that have no position left after it.
        sold: units of each underlying that were sold, net (negative: bought).
        cost: of closing.
        loss: what accounts that were closed could not pay; by layer: ``fund``, ``deleveraged``, ``unpaid``.
    """

    prices: Map[str, int]
    alone: Map[str, int]
    below: int
    closed: int
    sold: Map[str, str]
    cost: Money
    loss: Money
    fund: Money
    deleveraged: Money
    unpaid: Money


class Outcome(Model):
    """A simulation's rounds and sums.

    Attributes:
        margin: the requirement of all accounts at the start: what the policy costs.
        liquidated: accounts that were below their requirement in any round.
        payers: accounts that auto-deleveraging took from.
    """

    name: str
    policy: str
    accounts: int
    margin: Money
    rounds: Seq[Round]
    liquidated: int
    loss: Money
    fund: Money
    deleveraged: Money
    payers: int
    unpaid: Money
    troughs: Map[str, str]


def synthetic_books(repricer: Repricer, terms: Synthetic, seed: int, requirement: str) -> Books:
    """The accounts of a family: legs drawn without replacement, cash so that equity is a drawn part of the requirement.

    Raises:
        InputError: no instrument of the family, or fewer than legs.
    """
    snapshot = repricer.base
    kinds = [slot.kind == "option" for slot in snapshot.instruments]
    chosen = [i for i, option in enumerate(kinds) if terms.family == "mixed" or option == (terms.family == "options")]
    if len(chosen) < terms.legs:
        raise InputError(f"{len(chosen)} instruments of the family, and {terms.legs} legs", field="accounts.legs")
    count, legs = terms.count, terms.legs
    keys = uniform(seed, "legs", count * len(chosen), 0, 1 << 62).reshape(count, -1)
    slots = np.sort(np.array(chosen, dtype=np.int64)[np.argpartition(keys, legs - 1, axis=1)[:, :legs]], axis=1)
    lots = uniform(seed, "lots", count * legs, 1, terms.lots).reshape(count, legs)
    long_bp = np.full(slots.shape, terms.long_bp)
    long_bp[np.array(kinds)[slots]] = min(terms.long_bp, 3_333) if terms.family != "perpetuals" else terms.long_bp
    side = np.where(uniform(seed, "sides", count * legs, 0, SCALE_BP - 1).reshape(count, legs) < long_bp, 1, -1)
    starts = np.arange(count + 1, dtype=np.int64) * legs
    collateral = np.zeros((count, len(snapshot.collateral)), dtype=np.int64)
    bare = Books.sparse(starts, slots.ravel(), (lots * side).ravel(), collateral)
    margins = MarginModel(snapshot, requirement).margins(bare)
    parts = uniform(seed, "equity", count, *terms.equity_bp)
    cash = cash_slot(snapshot, None)
    lot = SCALE_BP * snapshot.collateral[cash].price
    for account in range(count):
        wanted = int(margins.total[account]) * int(parts[account]) // SCALE_BP - int(margins.mark_to_market[account])
        collateral[account, cash] = wanted // lot
    return Books.sparse(starts, slots.ravel(), (lots * side).ravel(), collateral)


class Simulation:
    """A run of a scenario. ``step`` makes one round, ``run`` all.

    Args:
        repricer: the market under the policy.
        books: the accounts; sparse.
        scenario: what happens.

    Raises:
        InputError: names that the market does not have, books that are not of it.
    """

    def __init__(self, repricer: Repricer, books: Books, scenario: Scenario) -> None:
        self.repricer, self.scenario = repricer, scenario
        base = repricer.base
        books.check(base)
        if books.table is not None:
            raise InputError("a simulation takes books by their legs", field="accounts")
        names = {*scenario.impact.depth, *(n for s in scenario.shocks for n in (*s.prices_bp, *s.vols_bp))}
        for name in sorted(names):
            if name not in base.groups:
                raise InputError("no such underlying in the market", field=name)
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
        self.shock = dict.fromkeys(base.groups, Fraction(1))
        self.vol_shock = dict.fromkeys(base.groups, Fraction(1))
        self.permanent = dict.fromkeys(base.groups, Fraction(0))
        self.temporary = dict.fromkeys(base.groups, Fraction(0))
        self.now = dict.fromkeys(base.groups, Fraction(1))
        self.fund = int(to_fraction(scenario.fund, field="fund") * 10**MONEY_DECIMALS)
        self.touched: set[int] = set()
        self.payers: set[int] = set()
        self.rounds: list[Round] = []
        self.margin = sum(int(x) for x in self._margins(base).total) // SCALE_BP

    def run(self) -> Outcome:
        """All rounds."""
        while len(self.rounds) < self.scenario.rounds:
            self.step()
        return self.outcome()

    def step(self) -> Round:
        """One round."""
        number = len(self.rounds)
        for shock in self.scenario.shocks:
            if shock.round == number:
                for name, move in shock.prices_bp.items():
                    self.shock[name] *= Fraction(SCALE_BP + move, SCALE_BP)
                for name, move in shock.vols_bp.items():
                    self.vol_shock[name] *= Fraction(SCALE_BP + move, SCALE_BP)
        prices = {name: self._price(name) for name in self.now}
        vols = {name: self._vol(name, prices[name]) for name in self.now}
        self._settle(prices)
        snapshot = self.repricer.at(prices, vols)
        margins = self._margins(snapshot)
        surplus = margins.surplus
        held = np.zeros(len(self.money), dtype=np.bool_)
        held[self.owner[self.lots != 0]] = True
        below = np.flatnonzero(np.asarray(surplus < 0, dtype=np.bool_) & held).tolist()
        self.touched.update(below)
        closing, cost = self._close(snapshot, margins, below)
        sold = self._impact(snapshot, closing)
        bankrupt = [a for a in below if not self._holds(a)]
        loss, layers = self._waterfall(snapshot, bankrupt)
        found = Round(
            prices={name: int(price * GRAIN) for name, price in prices.items()},
            alone={name: int(price * GRAIN) for name, price in self.shock.items()},
            below=len(below),
            closed=len(bankrupt),
            sold={name: from_units(units, 9) for name, units in sold.items()},
            cost=cost,
            loss=loss,
            fund=layers[0],
            deleveraged=layers[1],
            unpaid=layers[2],
        )
        self.rounds.append(found)
        return found

    def outcome(self) -> Outcome:
        """The sums over the rounds so far."""
        sums = {name: sum(getattr(r, name) for r in self.rounds) for name in ("loss", "fund", "deleveraged", "unpaid")}
        troughs = {name: from_units(min((r.prices[name] for r in self.rounds), default=GRAIN), 12) for name in self.now}
        return Outcome(
            name=self.scenario.name,
            policy=self.repricer.policy.name,
            accounts=len(self.money),
            margin=self.margin,
            rounds=tuple(self.rounds),
            liquidated=len(self.touched),
            payers=len(self.payers),
            troughs=troughs,
            **sums,
        )

    # --- prices -------------------------------------------------------------------------------------------

    def _price(self, name: str) -> Fraction:
        """The price over that at the start, on the grain, never below a thousandth."""
        moved = self.shock[name] - self.permanent[name] - self.temporary[name]
        return max(Fraction(int(moved * GRAIN), GRAIN), Fraction(1, 1000))

    def _vol(self, name: str, price: Fraction) -> Fraction:
        fallen = max(self.shock[name] - price, Fraction(0))
        return self.vol_shock[name] * (1 + fallen * Fraction(self.scenario.impact.vol_feedback_bp, SCALE_BP))

    def _settle(self, prices: Mapping[str, Fraction]) -> None:
        """Gains of futures and perpetuals since the round before go into cash."""
        gains = self.repricer.gains(self.now, prices)
        for account, gain in enumerate(self._sums(self.lots, gains)):
            self.money[account] += gain
        self.now = dict(prices)

    def _impact(self, snapshot: Snapshot, closing: Int64Array) -> dict[str, int]:
        """Units sold of each underlying (1e-9), and what they do to its price from the next round on."""
        impact = self.scenario.impact
        deltas = snapshot.deltas.values
        sold: dict[str, int] = {}
        for group, name in enumerate(snapshot.groups):
            legs = np.flatnonzero(self.group_of[self.slots] == group)
            units = -sum(int(a) * int(d) for a, d in zip(closing[legs], deltas[self.slots[legs]], strict=True) if a)
            sold[name] = units
            self.temporary[name] *= Fraction(SCALE_BP - impact.recovery_bp, SCALE_BP)
            if not units or name not in impact.depth:
                continue
            part = Fraction(abs(units), 10**9) / to_fraction(impact.depth[name])
            if impact.kind == "root":
                part = Fraction(isqrt(int(part * GRAIN**2)), GRAIN)
            move = Fraction(int(part * GRAIN), GRAIN) * (1 if units > 0 else -1)
            kept = Fraction(impact.permanent_bp, SCALE_BP)
            self.permanent[name] += move * kept
            self.temporary[name] += move * (1 - kept)
        return sold

    # --- accounts -----------------------------------------------------------------------------------------

    def _sums(self, lots: Int64Array, per_lot: Int64Array) -> list[int]:
        """``sum lots x per_lot`` of every account."""
        own = Books(self.starts, self.slots, lots, np.zeros((len(self.money), 0), dtype=np.int64))
        return Products(per_lot.reshape(1, -1)).of(own)[0].tolist()

    def _books(self) -> Books:
        balances = self.balances.astype(object)
        balances[:, self.cash] = [amount // self.price for amount in self.money]
        return Books(self.starts, self.slots, self.lots, balances)

    def _margins(self, snapshot: Snapshot) -> Any:
        return MarginModel(snapshot, self.scenario.requirement, once=True).margins(self._books(), bounded=False)

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
        terms, change = self.scenario.closing, np.zeros(len(self.lots), dtype=np.int64)
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
        terms = self.scenario.closing
        if terms.mode == "all" or equity <= 0:
            return SCALE_BP
        target = terms.target_bp * required
        missing, freed = target - SCALE_BP * equity, target - SCALE_BP * cost
        part = SCALE_BP if freed <= 0 else min(-(-SCALE_BP * missing // freed), SCALE_BP)
        return max(min(part, terms.most_bp), 1)

    def _planned(self, snapshot: Snapshot, margins: Any, below: Sequence[int]) -> dict[int, dict[int, int]]:
        """Plans for the accounts that are missing most: closing trades by slot."""
        worst = sorted(below, key=lambda a: int(margins.surplus[a]))[: self.scenario.closing.planned]
        books, found = self._books(), {}
        claim = Claim(1, 1, self.scenario.requirement)
        for account in worst:
            lots = books.lots_of(account, len(snapshot.instruments))
            try:
                plan = plan_liquidation(snapshot, lots, claim, Terms(mode="close", seconds=0.2))
            except ConstraintError:  # no plan is enough: the account is closed pro rata
                continue
            places = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
            found[account] = {places[trade.id]: trade.lots for trade in plan.trades}
        return found

    def _waterfall(self, snapshot: Snapshot, bankrupt: Sequence[int]) -> tuple[int, tuple[int, int, int]]:
        """What closed accounts cannot pay, and which layer pays it."""
        worth = self._worth(snapshot) if bankrupt else []
        missing = sum(-worth[account] for account in bankrupt if worth[account] < 0)
        for account in bankrupt:
            if worth[account] < 0:
                self.money[account] -= worth[account]  # the account is at 0: what it owes is the layers'
        fund = min(missing, self.fund)
        self.fund -= fund
        left = missing - fund
        taken = self._deleverage(worth, left) if left and self.scenario.deleverage else 0
        return missing, (fund, taken, left - taken)

    def _deleverage(self, worth: Sequence[int], amount: int) -> int:
        """Take an amount from those who gained since the start, in proportion; never more than they gained."""
        gains = {
            a: now - before for a, (now, before) in enumerate(zip(worth, self.start_money, strict=True)) if now > before
        }
        total = sum(gains.values())
        taken = 0
        for account, gain in gains.items():
            share = min(amount * gain // total, gain)
            self.money[account] -= share
            taken += share
            if share:
                self.payers.add(account)
        return taken
