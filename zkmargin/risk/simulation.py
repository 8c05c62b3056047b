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

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from math import isqrt
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, PlainSerializer, model_validator

from zkmargin.engine.books import Books
from zkmargin.engine.components import SCALE_BP, Requirement
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import FrozenMap, InputError, Map, Model, PlainName, Seq
from zkmargin.risk.draws import uniform
from zkmargin.risk.holders import Closing, Gained, Holder, Levy, Paid, Prices, Required, Totals
from zkmargin.risk.margins import MarginModel
from zkmargin.risk.repricing import Repricer
from zkmargin.risk.trading import cash_slot

M = TypeVar("M", bound=Model)

#: Price factors are whole multiples of this part.
GRAIN = 10**12
MAX_ROUNDS, MAX_ACCOUNTS = 10_000, 1_000_000
Family = Literal["perpetuals", "options", "mixed"]

Money = Annotated[
    int, PlainSerializer(lambda amount: from_units(amount, MONEY_DECIMALS), return_type=str, when_used="json")
]


#: Prices and vols stay above 0 by a shock, and rise to tenfold at most.
LOWEST_SHOCK_BP, HIGHEST_SHOCK_BP = -9_900, 9 * SCALE_BP


class Shock(Model):
    """Relative moves of prices and implied vols at a round, in basis points."""

    round: int = Field(ge=0)
    prices_bp: Map[str, int] = Field(default_factory=FrozenMap)
    vols_bp: Map[str, int] = Field(default_factory=FrozenMap)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind, moves in (("prices_bp", self.prices_bp), ("vols_bp", self.vols_bp)):
            for name, move in moves.items():
                if not LOWEST_SHOCK_BP <= move <= HIGHEST_SHOCK_BP:
                    raise InputError(f"not from {LOWEST_SHOCK_BP} to {HIGHEST_SHOCK_BP}", field=f"{kind}.{name[:40]}")
        return self


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
    """A simulation. The market, the policy and the accounts' books come beside it.

    Attributes:
        holders: how many parties hold the accounts, in equal parts; each shows totals only.
    """

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
    holders: int = Field(default=1, ge=1, le=1_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_fraction(self.fund, field="fund") < 0:
            raise InputError("must not be negative", field="fund")
        return self


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
    """A run of a scenario: what is public. ``step`` makes one round, ``run`` all.

    Accounts are with their holders (``risk.holders``), who answer prices with totals; without ``holders`` in the
    scenario one has them all. The outcome is the same, bit for bit, however accounts are spread.

    Args:
        repricer: the market under the policy.
        books: the accounts; sparse.
        scenario: what happens.
        wire: sees every message to and from a holder, as text.

    Raises:
        InputError: names that the market does not have, books that are not of it, plans where several hold accounts.

    Example:
        >>> Simulation(repricer, books, Scenario(rounds=2, holders=3)).run().liquidated
        0
    """

    def __init__(
        self, repricer: Repricer, books: Books, scenario: Scenario, wire: Callable[[str], None] | None = None
    ) -> None:
        self.repricer, self.scenario, self._wire = repricer, scenario, wire
        base = repricer.base
        books.check(base)
        if books.table is not None:
            raise InputError("a simulation takes books by their legs", field="accounts")
        names = {*scenario.impact.depth, *(n for s in scenario.shocks for n in (*s.prices_bp, *s.vols_bp))}
        for name in sorted(names):
            if name not in base.groups:
                raise InputError("no such underlying in the market", field=name)
        if scenario.holders > 1 and scenario.closing.mode == "planner":
            raise InputError("which account is worst is known to nobody: pro-rata or all", field="closing.mode")
        ends = [len(books) * place // scenario.holders for place in range(scenario.holders + 1)]
        self.holders = [
            Holder(repricer, books.part(first, last), scenario.closing, scenario.requirement)
            for first, last in pairwise(ends)
            if first < last
        ]
        self.accounts = len(books)
        self.shock = dict.fromkeys(base.groups, Fraction(1))
        self.vol_shock = dict.fromkeys(base.groups, Fraction(1))
        self.permanent = dict.fromkeys(base.groups, Fraction(0))
        self.temporary = dict.fromkeys(base.groups, Fraction(0))
        self.fund = int(to_fraction(scenario.fund, field="fund") * 10**MONEY_DECIMALS)
        self.liquidated = self.payers = 0
        self.rounds: list[Round] = []
        required = [self._heard(Required, holder.required) for holder in self.holders]
        self.margin = sum(answer.margin for answer in required) // SCALE_BP

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
        prices = {name: self._price(name) for name in self.shock}
        vols = {name: self._vol(name, price) for name, price in prices.items()}
        told = Prices(
            prices={name: str(price) for name, price in prices.items()},
            vols={name: str(vol) for name, vol in vols.items()},
        )
        answers = [self._heard(Totals, holder.round(self._heard(Prices, told))) for holder in self.holders]
        sold = {name: sum(answer.sold[name] for answer in answers) for name in prices}
        self._impact(sold)
        self.liquidated += sum(answer.fresh for answer in answers)
        missing = sum(answer.missing for answer in answers)
        fund = min(missing, self.fund)
        self.fund -= fund
        taken = self._deleverage(missing - fund)
        found = Round(
            prices={name: int(price * GRAIN) for name, price in prices.items()},
            alone={name: int(price * GRAIN) for name, price in self.shock.items()},
            below=sum(answer.below for answer in answers),
            closed=sum(answer.closed for answer in answers),
            sold={name: from_units(units, 9) for name, units in sold.items()},
            cost=sum(answer.cost for answer in answers),
            loss=missing,
            fund=fund,
            deleveraged=taken,
            unpaid=missing - fund - taken,
        )
        self.rounds.append(found)
        return found

    def outcome(self) -> Outcome:
        """The sums over the rounds so far."""
        sums = {name: sum(getattr(r, name) for r in self.rounds) for name in ("loss", "fund", "deleveraged", "unpaid")}
        troughs = {
            name: from_units(min((r.prices[name] for r in self.rounds), default=GRAIN), 12) for name in self.shock
        }
        return Outcome(
            name=self.scenario.name,
            policy=self.repricer.policy.name,
            accounts=self.accounts,
            margin=self.margin,
            rounds=tuple(self.rounds),
            liquidated=self.liquidated,
            payers=self.payers,
            troughs=troughs,
            **sums,
        )

    def _deleverage(self, amount: int) -> int:
        """What those who gained pay of an amount that nobody else does."""
        if not amount or not self.scenario.deleverage:
            return 0
        gains = sum(self._heard(Gained, holder.gained()).gains for holder in self.holders)
        if not gains:
            return 0
        levy = Levy(amount=amount, gains=gains)
        paid = [self._heard(Paid, holder.pay(self._heard(Levy, levy))) for holder in self.holders]
        self.payers += sum(answer.payers for answer in paid)
        return sum(answer.taken for answer in paid)

    def _heard(self, kind: type[M], message: M) -> M:
        """A message as the other side reads it: from its text, where somebody looks at the wire."""
        if self._wire is None:
            return message
        text = message.model_dump_json()
        self._wire(text)
        return kind.model_validate_json(text)

    # --- prices -------------------------------------------------------------------------------------------

    def _price(self, name: str) -> Fraction:
        """The price over that at the start, on the grain, never below a thousandth."""
        moved = self.shock[name] - self.permanent[name] - self.temporary[name]
        return max(Fraction(int(moved * GRAIN), GRAIN), Fraction(1, 1000))

    def _vol(self, name: str, price: Fraction) -> Fraction:
        fallen = max(self.shock[name] - price, Fraction(0))
        return self.vol_shock[name] * (1 + fallen * Fraction(self.scenario.impact.vol_feedback_bp, SCALE_BP))

    def _impact(self, sold: Mapping[str, int]) -> None:
        """What units sold (1e-9) do to prices from the next round on."""
        impact = self.scenario.impact
        for name, units in sold.items():
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
