"""What a liquidation plan says, and what it may do. A plan is secret: it is about one book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from zkmargin.engine.fills import Fills
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import Amount
from zkmargin.formats import Map, Model, Seq
from zkmargin.risk.costs import DEFAULT_COSTS, Costs

Mode = Literal["any", "close", "neutralise"]
MODES: tuple[Mode, ...] = ("any", "close", "neutralise")
#: Seconds for the programme, unless told otherwise.
SECONDS = 1.0


class Trade(Model):
    """One instrument's trade.

    Attributes:
        quantity: signed, in the instrument's own units; negative is sold.
        cost: spread, impact and fees.
        paid: for it at the mark; negative is received.
    """

    id: str
    lots: int
    quantity: str
    cost: Amount
    paid: Amount


class Position(Model):
    """Where an account stands.

    Attributes:
        shortfall: by how much the claim is missed, in quote: equity that is lacking; 0 where it holds.
        deltas: by underlying, in its units.
        gamma, vega, theta: as in ``engine.greeks``, summed over the book in quote; None for imported arrays.
    """

    equity: Amount
    requirement: Amount
    shortfall: Amount
    deltas: Map[str, str]
    gamma: str | None
    vega: str | None
    theta: str | None


class Step(Model):
    """Trades that are made together: one, or the smallest package that lowers the shortfall."""

    trades: Seq[Trade]
    relief: Amount
    after: Position


class Plan(Model):
    """A liquidation plan. Secret: about one book.

    Attributes:
        steps: in order; each lowers the shortfall.
        cost: of all trades.
        bound: no permitted plan costs less (by the solver's doubles); ``gap`` is what the cost is above it.
        greedy_cost: what closing by contribution costs; None where it was not asked for, or is not enough.
        collateral: signed changes of balances, in the asset's units: premiums and costs.

    Example:
        >>> from zkmargin.risk.liquidation import plan_liquidation
        >>> plan = plan_liquidation(snapshot, lots, Claim("1.3"))
        >>> len(plan.trades) == len(plan.fills().positions)
        True
    """

    claim: str
    mode: Mode
    cash: str
    before: Position
    steps: Seq[Step]
    after: Position
    cost: Amount
    bound: Amount
    gap: float | None
    greedy_cost: Amount | None
    collateral: Map[str, str]

    @property
    def trades(self) -> list[Trade]:
        """All trades in order."""
        return [trade for step in self.steps for trade in step.trades]

    def fills(self) -> Fills:
        """The plan as fills, for ``zkmargin update``."""
        return Fills(
            positions={trade.id: trade.quantity for trade in self.trades}, collateral=dict(self.collateral.items())
        )


class ProRata(Model):
    """The part of every position whose closing makes the claim hold.

    Attributes:
        closed_form: as if lots were divisible and every charge in proportion to the book; None: all is not enough.
        fraction: what whole lots and the policy's exact integers take; None: all is not enough.
        cost: of closing it.
    """

    closed_form: str | None
    fraction: str | None
    cost: Amount | None
    trades: Seq[Trade] = Field(default=())


@dataclass(frozen=True)
class Terms:
    """What a plan may do.

    Attributes:
        limits: what must hold beside the claim.
        costs: of trading.
        cash: the asset that premiums and costs are paid from; None takes the plainest.
        may_trade: patterns of instruments that may be traded; empty is all.
        mode: ``any``; ``close`` only makes positions smaller; ``neutralise`` trades futures, perpetuals and spot
            towards a net delta of 0 of each underlying.
        seconds: for the programme.
        compare: also close by contribution, and take that where it costs less.

    Example:
        >>> Terms(may_trade=("BTC-PERPETUAL", "ETH-PERPETUAL"), mode="neutralise").mode
        'neutralise'
    """

    limits: tuple[Limit, ...] = ()
    costs: Costs = DEFAULT_COSTS
    cash: str | None = None
    may_trade: tuple[str, ...] = ()
    mode: Mode = "any"
    seconds: float = SECONDS
    compare: bool = False
