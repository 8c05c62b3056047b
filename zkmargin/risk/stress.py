"""Margin simulator for an account: its requirement and equity in stressed markets, over days, along a history.

What clearing houses owe their members (CPMI-IOSCO, "Public quantitative disclosure standards" and the principle that
participants can simulate their margin): what a book would have to put up if prices, vols or time moved. Every point
prices the book's instruments anew by the engine's rules; what futures and perpetuals gain by the move is settled in
cash, and options that expire on the way are paid out at their intrinsic value at the forward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from zkmargin.engine.book import BookLots
from zkmargin.engine.decimals import format_time, parse_time, to_fraction
from zkmargin.engine.margin import Amount, equity, requirement_total
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import Valuation, quantity_per_lot
from zkmargin.formats import InputError, Model
from zkmargin.risk.history import History
from zkmargin.risk.repricing import moved_market

DAY_MS = 86_400_000


class Point(Model):
    """An account at one point: ``label`` says where. Amounts are in quote."""

    label: str
    equity: Amount
    requirement: Amount

    @property
    def surplus(self) -> int:
        """Equity less requirement, in valuation units."""
        return self.equity - self.requirement


class Holding:
    """An account with the part of a market that it holds.

    Args:
        market: now.
        policy: the rules.
        lots: the account, in the slots of ``build_snapshot(market, policy)``.
        cash: the asset that gains are settled in.
        requirement: which.

    Raises:
        InputError: a book of another market, or an unknown asset.
    """

    def __init__(
        self, market: Market, policy: Policy, lots: BookLots, *, cash: str, requirement: str = "initial"
    ) -> None:
        if len(lots.positions) != len(market.instruments) or len(lots.collateral) != len(market.assets):
            raise InputError("the book is not of this market: another number of slots")
        assets = [asset.name for asset in market.assets]
        if cash not in assets:
            raise InputError("no such asset in the market", field=f"cash {cash[:100]}")
        kept = [slot for slot, held in enumerate(lots.positions) if held] or [0]
        self.market = _remade(market, instruments=tuple(market.instruments[slot] for slot in kept))
        self.lots = BookLots(tuple(lots.positions[slot] for slot in kept), lots.collateral)
        self.policy, self.cash, self.requirement = policy, assets.index(cash), requirement
        self._lines = Valuation(self.market)

    def at(
        self,
        label: str,
        prices: Mapping[str, Fraction] | None = None,
        vols: Mapping[str, Fraction] | None = None,
        days: int = 0,
    ) -> Point:
        """The account after moves of prices and vols (factors by underlying) and so many days.

        Raises:
            InputError: a price that pricing does not take.
        """
        factors = prices or {}
        gain = Fraction(0)
        for slot, (held, own) in enumerate(zip(self.lots.positions, self.market.instruments, strict=True)):
            if own.kind in ("future", "perpetual"):
                gain += held * (self._lines.line(slot) or 0) * (Fraction(factors.get(own.underlying, 1)) - 1)
        market, positions = moved_market(self.market, factors, vols), list(self.lots.positions)
        if days:
            market, positions, paid = _later(market, positions, days)
            gain += paid
        balances = list(self.lots.collateral)
        balances[self.cash] += math.floor(gain / Valuation(market).asset_prices[self.cash])
        book = BookLots(tuple(positions), tuple(balances))
        snapshot = build_snapshot(market, self.policy)
        asked = requirement_total(snapshot, book, self.requirement)
        return Point(label=label, equity=equity(snapshot, book).total, requirement=asked)

    def grid(self, moves_bp: Sequence[int], vols_bp: Sequence[int]) -> list[list[Point]]:
        """Every move of all prices with every move of all vols: a row for each vol move."""
        names = [underlying.name for underlying in self.market.underlyings]
        return [
            [
                self.at(
                    f"price {move / 100:+g} %, vol {vol / 100:+g} %",
                    {name: 1 + Fraction(move, 10_000) for name in names},
                    {name: 1 + Fraction(vol, 10_000) for name in names},
                )
                for move in moves_bp
            ]
            for vol in vols_bp
        ]

    def over_days(self, days: int) -> list[Point]:
        """As time passes and nothing moves."""
        return [self.at(f"day {day}", days=day) for day in range(days + 1)]

    def along(self, history: History, days: int) -> list[Point]:
        """At the prices of the last days of a history, scaled so that its last day is now.

        Raises:
            InputError: no underlying of the market in the history.
        """
        names = [u.name for u in self.market.underlyings if u.name in history.prices]
        if not names:
            raise InputError("no underlying of the market is in the history", field="history")
        points = []
        for place in range(max(len(history.dates) - days, 0), len(history.dates)):
            factors = {name: Fraction(history.prices[name][place], history.prices[name][-1]) for name in names}
            points.append(self.at(history.dates[place], factors))
        return points


def _later(market: Market, positions: Sequence[int], days: int) -> tuple[Market, list[int], Fraction]:
    """The market so many days later at the same prices, what is left of the book, and what expiries paid."""
    now = parse_time(market.time) + days * DAY_MS
    left, kept, paid = [], [], Fraction(0)
    for held, own in zip(positions, market.instruments, strict=True):
        if own.expiry is not None and parse_time(own.expiry) <= now:
            paid += held * _intrinsic(market, own)
        else:
            left.append(own.model_copy(update={"time": None}))
            kept.append(held)
    if not left:  # a market needs an instrument: one that is not held stands in
        stand_in = Instrument(id="nothing", kind="spot", underlying=market.underlyings[0].name, lot="1")
        left, kept = [stand_in], [0]
    return (
        _remade(
            market,
            time=format_time(now),
            underlyings=tuple(u.model_copy(update={"time": None}) for u in market.underlyings),
            forwards=tuple(f.model_copy(update={"time": None}) for f in market.forwards if parse_time(f.expiry) > now),
            instruments=tuple(left),
            assets=tuple(a.model_copy(update={"time": None}) for a in market.assets),
        ),
        kept,
        paid,
    )


def _intrinsic(market: Market, own: Instrument) -> Fraction:
    """What a lot pays at expiry at the forward, in money units; a future has settled its gains already."""
    if own.kind != "option":
        return Fraction(0)
    forward = to_fraction(market.forward_of(own).price)
    strike = to_fraction(own.strike or "0")
    value = max(forward - strike if own.option_type == "call" else strike - forward, Fraction(0))
    return value * quantity_per_lot(own) * MONEY


def _remade(market: Market, **fields: object) -> Market:
    """The market with other fields; made anew, as a copy would keep what the old one has looked up."""
    return Market.model_validate({name: getattr(market, name) for name in Market.model_fields} | fields)
