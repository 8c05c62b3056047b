"""The page of a liquidation plan: what each step does, what it costs, what is traded. Secret: about one book."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.app.liquidating import Liquidated, ShownOffer
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_cents, to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.risk.costs import Costs
from zkmargin.risk.path import LiquidationPrice
from zkmargin.risk.plans import Plan, Position, ProRata
from zkmargin.risk.report import Point, Report, point_chart


def plan_page(found: Liquidated, snapshot: Snapshot, costs: Costs, prices: Sequence[LiquidationPrice] = ()) -> bytes:
    """The page of a plan, and of what was asked for beside it."""
    plan = found.plan
    page = Report(f"Liquidation plan: {snapshot.name}")
    page.text("SECRET: about one book. Amounts are rounded down to the cent; charts are for the eye.")
    page.table(["", ""], _facts(plan, snapshot, costs), words=True)
    if plan.steps:
        _steps(page, plan)
        _trades(page, plan)
    else:
        page.text("Nothing to do: the claim holds already.")
    if found.pro_rata is not None:
        _pro_rata(page, found.pro_rata)
    if found.offers:
        _offers(page, found.offers)
    if prices:
        _prices(page, prices)
    return page.page().encode()


def _facts(plan: Plan, snapshot: Snapshot, costs: Costs) -> list[tuple[str, str]]:
    facts = [
        ("Claim", plan.claim),
        ("Snapshot", snapshot.digest().hex()),
        ("Prices of", snapshot.time),
        ("Amounts in", snapshot.quote),
        ("Mode", plan.mode),
        ("Rates", costs.name),
        ("Cost", f"{_money(plan.cost)}, from {plan.cash}"),
        ("No plan costs less than", _money(plan.bound)),
    ]
    if plan.greedy_cost is not None:
        facts.append(("Closing the largest contributions would cost", _money(plan.greedy_cost)))
    return facts


def _steps(page: Report, plan: Plan) -> None:
    """Where the account stands before the plan and after each of its steps."""
    states = [plan.before, *(step.after for step in plan.steps)]
    labels = ["before", *(str(number) for number in range(1, len(states)))]
    spent = [0]
    for step in plan.steps:
        spent.append(spent[-1] + sum(trade.cost for trade in step.trades))
    page.heading("Steps")
    page.text(
        "Each step lowers the shortfall, the most relief for its cost first: a plan that stops half-way has helped."
    )
    page.chart(
        "Equity and requirement after each step",
        labels,
        {
            "equity": [_quote(state.equity) for state in states],
            "requirement": [_quote(state.requirement) for state in states],
        },
    )
    page.table(
        ["After step", "Equity", "Requirement", "Gamma per 1 %", "Vega per point", "Theta per day", "Deltas"],
        [
            [label, _money(state.equity), _money(state.requirement), *_greeks(state)]
            for label, state in zip(labels, states, strict=True)
        ],
    )
    page.figure(
        "Shortfall that is left against what was spent, step by step",
        point_chart(
            [
                Point(label, _quote(cost), _quote(state.shortfall))
                for label, cost, state in zip(labels, spent, states, strict=True)
            ],
            "cost so far",
            "shortfall",
        ),
        ["After step", "Cost so far", "Shortfall"],
        [
            [label, _money(cost), _money(state.shortfall)]
            for label, cost, state in zip(labels, spent, states, strict=True)
        ],
    )


def _greeks(state: Position) -> list[str]:
    deltas = ", ".join(f"{name} {delta}" for name, delta in state.deltas.items())
    known = [state.gamma, state.vega, state.theta]
    return [*("-" if text is None else _money(to_units(text, VALUATION_DECIMALS)) for text in known), deltas]


def _trades(page: Report, plan: Plan) -> None:
    page.heading("Trades")
    rows = [
        [
            number,
            "sell" if trade.lots < 0 else "buy",
            trade.quantity.lstrip("-"),
            _money(trade.paid),
            _money(trade.cost),
            trade.id,
        ]
        for number, step in enumerate(plan.steps, 1)
        for trade in step.trades
    ]
    page.table(["Step", "Side", "Quantity", "Paid at the mark", "Cost", "Instrument"], rows)


def _pro_rata(page: Report, found: ProRata) -> None:
    page.heading("Pro rata")
    if found.fraction is None:
        page.text("Closing all of every position is not enough.")
        return
    page.table(
        ["Part of every position", "Cost", "Closed form"],
        [[found.fraction, _money(found.cost or 0), found.closed_form or "-"]],
    )


def _offers(page: Report, offers: Sequence[ShownOffer]) -> None:
    page.heading("Auction")
    rows = [
        [
            f"{one.seconds:,}",
            one.fraction,
            _money(to_units(one.price, VALUATION_DECIMALS)),
            "" if one.solvent else "the fund pays",
        ]
        for one in offers
    ]
    page.table(["Seconds", "Part of the account", "Price", ""], rows)


def _prices(page: Report, prices: Sequence[LiquidationPrice]) -> None:
    page.heading("Liquidation prices")
    rows = [
        [p.underlying, p.price, p.below or f"none down to {p.lowest}", p.above or f"none up to {p.highest}", p.tick]
        for p in prices
    ]
    page.table(["Underlying", "Now", "Fails below", "Fails above", "Tick"], rows)


def _money(amount: int) -> str:
    """Valuation units to the cent, rounded down."""
    return to_cents(amount, VALUATION_DECIMALS)


def _quote(amount: int) -> float:
    return float(amount / 10**VALUATION_DECIMALS)
