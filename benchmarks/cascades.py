"""A cascade: 10,000 accounts of 16 legs, 1,023 instruments, 64 scenarios, 100 rounds with pro-rata liquidation.

1,020 options in 16 expiries and three perpetuals on one underlying, the policy ``default`` with 64 scenarios; prices
move in every round, so every round prices 65,472 options and margins every account.
"""

from __future__ import annotations

from typing import Any

from benchmarks.measure import Column, Section, in_child, once, peak_bytes
from benchmarks.risk_arrays import market_of, policy_of_64
from zkmargin.engine.market import Instrument, Market
from zkmargin.risk.repricing import Repricer
from zkmargin.risk.simulation import Impact, Scenario, Shock, Simulation, Synthetic, synthetic_books

COLUMNS = (
    Column("what"),
    Column("accounts"),
    Column("rounds"),
    Column("liquidated"),
    Column("time", "s"),
    Column("a round", "s"),
    Column("most memory", "B"),
)


def table(*, quick: bool) -> Section:
    """The table, measured in a child process."""
    row = in_child("cascades", "run", accounts=500 if quick else 10_000, rounds=5 if quick else 100)
    notes = ["Without making the accounts. A shock of -12 % and one of -8 %, recovering impact, vols that follow."]
    return Section("Cascades", COLUMNS, [row], notes)


def repricer() -> Repricer:
    """The market and the policy."""
    market = market_of(1024)
    perpetuals = tuple(
        Instrument(id=f"BTC-PERP-{k}", kind="perpetual", underlying="BTC", lot="0.001", mark_price="90000")
        for k in range(3)
    )
    fields = {name: getattr(market, name) for name in Market.model_fields}
    return Repricer(Market(**fields | {"instruments": (*market.instruments[:1020], *perpetuals)}), policy_of_64())


def run(*, accounts: int, rounds: int) -> list[Any]:
    """Run in a child process."""
    prices = repricer()
    terms = Synthetic(count=accounts, legs=16, long_bp=6_000, equity_bp=(10_200, 20_000))
    books = synthetic_books(prices, terms, 1, "maintenance")
    scenario = Scenario(
        rounds=rounds,
        shocks=(Shock(round=1, prices_bp={"BTC": -1_200}), Shock(round=rounds // 2, prices_bp={"BTC": -800})),
        impact=Impact(depth={"BTC": "400000"}, permanent_bp=5_000, recovery_bp=300, vol_feedback_bp=10_000),
        fund="1000000",
    )
    simulation = Simulation(prices, books, scenario)
    outcome, seconds = once(simulation.run)
    shape = "pro rata, 16 legs of 1,023 x 64"
    return [shape, accounts, rounds, outcome.liquidated, seconds, seconds / rounds, peak_bytes()]
