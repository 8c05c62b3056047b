"""Liquidation as an application asks for it: the plan, and what else an account's holder wants to know beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import from_units
from zkmargin.engine.fills import add_fills, fills_to_lots
from zkmargin.engine.margin import claim_slack, equity
from zkmargin.engine.market import Market
from zkmargin.engine.publishing.snapshots import check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Model
from zkmargin.risk.auction import AuctionTerms, offer
from zkmargin.risk.liquidation import Planner
from zkmargin.risk.path import LiquidationPrice, Path, liquidation_price
from zkmargin.risk.plans import Plan, ProRata, Terms

#: Moments of an auction that are shown, as parts of its length.
MOMENTS = 8


class ShownOffer(Model):
    """What an auction offers after so many seconds: a part of the account, and its price in quote."""

    seconds: int
    solvent: bool
    fraction: str
    price: str


@dataclass(frozen=True)
class Liquidated:
    """A plan, the book after it, and what was asked for beside it."""

    plan: Plan
    after: BookLots
    pro_rata: ProRata | None
    offers: list[ShownOffer] | None


def liquidate(
    snapshot: Snapshot,
    lots: BookLots,
    claim: Claim,
    terms: Terms,
    *,
    pro_rata: bool = False,
    auction: AuctionTerms | None = None,
) -> Liquidated:
    """Plan a liquidation.

    Raises:
        InputError: as ``risk.liquidation.plan_liquidation``.
        ConstraintError: no permitted trades are enough.
        SetupError: the solver is not installed.
    """
    planner = Planner(snapshot, lots, claim, terms)
    plan = planner.plan()
    return Liquidated(
        plan,
        add_fills(lots, fills_to_lots(plan.fills(), snapshot), snapshot),
        planner.pro_rata() if pro_rata else None,
        None if auction is None else auction_offers(snapshot, lots, claim, auction),
    )


def liquidation_prices(
    market: Market, snapshot: Snapshot, lots: BookLots, claim: Claim, cash: str, ratios: Mapping[str, Fraction]
) -> list[LiquidationPrice]:
    """The liquidation prices of every underlying that an account holds something of.

    Raises:
        InputError: a snapshot that was not built from this market, unknown names.
    """
    check_snapshot(snapshot, market)
    held = {snapshot.instruments[slot].underlying for slot, amount in enumerate(lots.positions) if amount}
    followed = {asset.underlying for asset, lot in zip(market.assets, lots.collateral, strict=True) if lot}
    found = []
    for name in (name for name in snapshot.groups if name in held | followed):
        others = {other: ratio for other, ratio in ratios.items() if other != name}
        path = Path(market, snapshot.policy, lots, name, cash=cash, ratios=others)
        found.append(liquidation_price(path, name, claim))
    return found


def auction_offers(snapshot: Snapshot, lots: BookLots, claim: Claim, terms: AuctionTerms) -> list[ShownOffer]:
    """What an auction of an account offers over its length; nothing where the claim holds."""
    worth = equity(snapshot, lots)
    value = worth.mark_to_market + worth.collateral_before_haircut
    surplus = claim_slack(snapshot, lots, claim) // claim.den
    if surplus >= 0:
        return []
    length = terms.fast_seconds + terms.slow_seconds if value > 0 else terms.insolvent_seconds
    moments = {0, terms.fast_seconds, *(length * k // MOMENTS for k in range(1, MOMENTS + 1))}
    found = [offer(value, surplus, terms, seconds=seconds) for seconds in sorted(moments)]
    return [
        ShownOffer(
            seconds=one.seconds,
            solvent=one.solvent,
            fraction=from_units(-(-one.fraction * 10**6 // 1), 6),
            price=from_units(one.price // 1, VALUATION_DECIMALS),
        )
        for one in found
    ]
