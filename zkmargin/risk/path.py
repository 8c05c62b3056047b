"""Liquidation prices: where along a path of prices an account's claim stops holding, to the tick.

Along a path one underlying's index moves, its forwards, marks and the assets that follow it in proportion; others move
with it by the ratios that are given, or stay. Vols stay. The snapshot is built anew at every price looked at, from the
instruments that the account holds, so convexity, haircuts and coin collateral are in the answer. What futures and
perpetuals gain or lose, which a snapshot carries at zero, is settled into one cash asset, rounded down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import from_units, to_fraction, to_units
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, Model
from zkmargin.risk.repricing import moved_market

#: Prices that are looked at on each side before the tick is searched, and how far the path goes.
POINTS, LOWEST, HIGHEST = 40, Fraction(1, 50), Fraction(5)


class LiquidationPrice(Model):
    """Where a claim stops holding as one index moves; None: nowhere between ``lowest`` and ``highest``.

    Attributes:
        price: the index now.
        below: the highest price below it at which the claim fails, a whole number of ticks.
        above: the lowest one above it.
    """

    underlying: str
    tick: str
    price: str
    below: str | None
    above: str | None
    lowest: str
    highest: str


class Path:
    """An account along the prices of one underlying.

    Args:
        market: now.
        policy: the rules.
        lots: the account, in the slots of ``build_snapshot(market, policy)``.
        underlying: whose index moves.
        ratios: relative moves of other underlyings, as parts of its own.
        cash: the asset that futures and perpetuals settle into.

    Raises:
        InputError: unknown names, or a book of another market.
    """

    def __init__(
        self,
        market: Market,
        policy: Policy,
        lots: BookLots,
        underlying: str,
        *,
        cash: str,
        ratios: Mapping[str, Fraction] | None = None,
    ) -> None:
        if len(lots.positions) != len(market.instruments) or len(lots.collateral) != len(market.assets):
            raise InputError("the book is not of this market: another number of slots")
        self.index = to_fraction(market.underlying(underlying).index_price)
        self.ratios = {underlying: Fraction(1), **(ratios or {})}
        for name in self.ratios:
            market.underlying(name)
        kept = [slot for slot, held in enumerate(lots.positions) if held] or [0]
        held = tuple(market.instruments[slot] for slot in kept)
        self.market = Market(**{name: getattr(market, name) for name in Market.model_fields} | {"instruments": held})
        self.policy = policy
        self.lots = BookLots(tuple(lots.positions[slot] for slot in kept), lots.collateral)
        assets = [asset.name for asset in market.assets]
        if cash not in assets:
            raise InputError("no such asset in the market", field=f"cash {cash[:100]}")
        self.cash = assets.index(cash)
        self._lines = Valuation(self.market)

    def at(self, price: Fraction) -> tuple[Market, BookLots]:
        """The market and the account when the index is at a price."""
        move = price / self.index - 1
        factor = {name: 1 + ratio * move for name, ratio in self.ratios.items()}
        if min(factor.values()) <= 0:
            raise InputError("a ratio that would take a price to 0", field="ratios")

        market = moved_market(self.market, factor)
        profit = Fraction(0)
        for slot, (held, instrument) in enumerate(zip(self.lots.positions, self.market.instruments, strict=True)):
            if instrument.kind in ("future", "perpetual"):
                profit += held * (self._lines.line(slot) or 0) * (factor.get(instrument.underlying, 1) - 1)
        collateral = list(self.lots.collateral)
        collateral[self.cash] += math.floor(profit / Valuation(market).asset_prices[self.cash])
        return market, BookLots(self.lots.positions, tuple(collateral))

    def slack(self, price: Fraction, claim: Claim) -> int:
        """``den equity - num requirement`` when the index is at a price."""
        market, lots = self.at(price)
        return claim_slack(build_snapshot(market, self.policy), lots, claim)


def liquidation_price(path: Path, underlying: str, claim: Claim, tick: str | None = None) -> LiquidationPrice:
    """The nearest prices on both sides at which the claim fails, to the tick.

    Each side is looked at in 40 points of equal relative distance, down to a fiftieth and up to five times the index;
    between the last point that holds and the first that fails the tick is found by bisection. An account that fails
    and holds again between two points goes unseen.

    Args:
        path: the account and how prices move.
        underlying: its name, for the answer.
        claim: what must hold.
        tick: decimal text; None takes one unit of the last decimal of the index, at most two decimals.

    Raises:
        InputError: a tick that is not above 0.
    """
    text = path.market.underlying(underlying).index_price
    if tick is None:
        tick = from_units(1, min(len(text.partition(".")[2]), 2))
    step = to_fraction(tick, field="tick")
    if step <= 0:
        raise InputError("must be above 0", field="tick")
    lowest, highest = path.index * LOWEST, path.index * HIGHEST
    if path.slack(path.index, claim) < 0:
        below: Fraction | None = path.index
        above: Fraction | None = path.index
    else:
        below, above = (_first_failure(path, claim, step, end) for end in (lowest, highest))
    decimals = max(len(tick.partition(".")[2]), len(text.partition(".")[2]))
    return LiquidationPrice(
        underlying=underlying,
        tick=tick,
        price=text,
        below=_price(below, decimals),
        above=_price(above, decimals),
        lowest=_price(lowest, decimals) or "",
        highest=_price(highest, decimals) or "",
    )


def _first_failure(path: Path, claim: Claim, step: Fraction, end: Fraction) -> Fraction | None:
    """The nearest multiple of a tick, from the index towards ``end``, at which the claim fails."""
    up = end > path.index
    ratio = float(end / path.index) ** (1 / POINTS)

    def ticks(price: Fraction) -> int:
        return math.ceil(price / step) if up else math.floor(price / step)

    good = ticks(path.index)
    for point in range(1, POINTS + 1):
        price = end if point == POINTS else path.index * Fraction(ratio**point)
        bad = max(ticks(price), 1)
        if path.slack(bad * step, claim) < 0:
            break
        good = bad
    else:
        return None
    while abs(bad - good) > 1:
        middle = (bad + good) // 2
        bad, good = (middle, good) if path.slack(middle * step, claim) < 0 else (bad, middle)
    return bad * step


def _price(price: Fraction | None, decimals: int) -> str | None:
    return None if price is None else from_units(round(price * 10**decimals), decimals)


def parse_ratios(texts: tuple[str, ...]) -> dict[str, Fraction]:
    """Ratios of other underlyings' moves, each ``ETH=1.2``. Raises InputError."""
    ratios = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError("not like ETH=1.2", field="ratio")
        ratios[name] = to_fraction(value, field=f"ratio {name[:100]}")
        to_units(value, 9, field=f"ratio {name[:100]}")
    return ratios
