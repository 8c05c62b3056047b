"""Liquidation plans: their cost beside closing by contribution, over a seeded family of books, and the time of one.

The family: books over the example market under the policy ``default``, of 4 to 40 legs drawn without replacement, up to
60 lots of options and 3,000 of everything else, long or short; cash in USDC such that equity is 70 % to 98 % of the
initial requirement. Trading costs are the assumed ones (risk/costs.py). ``close`` plans only make positions smaller, as
closing by contribution does; ``any`` plans may hedge.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.measure import Column, Section, in_child
from benchmarks.risk_arrays import market_of, policy_of_64
from benchmarks.synthetic import SEED
from zkmargin import BookLots, Claim, Policy, Snapshot, build_snapshot, load_policy
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import claim_slack, equity, requirement_total
from zkmargin.formats import ConstraintError
from zkmargin.risk.liquidation import Planner
from zkmargin.risk.plans import Mode, Terms

COLUMNS = (
    Column("what"),
    Column("books"),
    Column("planned"),
    Column("mean cost by closing", "x"),
    Column("worst", "x"),
    Column("mean gap", "x"),
    Column("median time", "s"),
    Column("longest", "s"),
)
TIME = "2026-11-20T12:00:00Z"


def table(*, quick: bool) -> Section:
    """The table, measured in a child process."""
    notes = [
        (
            "Cost: of the plan by that of closing the largest contributions until the claim holds, both in exact "
            "integers with the same trading costs; 1 is equal, books that closing cannot make whole are left out."
        ),
        "Gap: the plan's cost above what the solver proves that no plan can go below.",
    ]
    rows = [in_child("liquidation", "family", mode=mode, count=6 if quick else 200) for mode in ("close", "any")]
    rows.append(in_child("liquidation", "large", runs=1 if quick else 5))
    return Section("Liquidation", COLUMNS, rows, notes)


def book_of(snapshot: Snapshot, seed: int, legs: tuple[int, int], part: tuple[float, float]) -> BookLots:
    """One book of the family."""
    draw = np.random.default_rng((SEED, seed))
    lots = [0] * len(snapshot.instruments)
    for slot in draw.choice(len(lots), size=int(draw.integers(*legs, endpoint=True)), replace=False).tolist():
        most = 60 if snapshot.instruments[slot].kind == "option" else 3_000
        lots[slot] = int(draw.integers(1, most, endpoint=True)) * int(draw.choice([-1, 1]))
    cash = [slot.asset for slot in snapshot.collateral].index("USDC")
    balances = [0] * len(snapshot.collateral)
    bare = BookLots(tuple(lots), tuple(balances))
    wanted = int(requirement_total(snapshot, bare) * draw.uniform(*part)) - equity(snapshot, bare).mark_to_market
    balances[cash] = wanted // (10_000 * snapshot.collateral[cash].price)
    return BookLots(tuple(lots), tuple(balances))


def family(*, mode: Mode, count: int) -> list[Any]:
    """Run in a child process."""
    snapshot = build_snapshot(example_market(TIME), load_policy("default"))
    ratios, gaps, times, planned = [], [], [], 0
    for seed in range(count):
        book = book_of(snapshot, seed, (4, 40), (0.7, 0.98))
        started = time.perf_counter()
        try:
            planner = Planner(snapshot, book, Claim(1, 1), Terms(mode=mode, seconds=0.5))
            plan = planner.plan()
        except ConstraintError:
            if planner.greedy() is not None:
                raise
            continue
        times.append(time.perf_counter() - started)
        planned += 1
        if plan.gap is not None:
            gaps.append(1 + plan.gap)
        greedy = planner.greedy()
        if greedy is not None:
            ratios.append(plan.cost / 10_000 / planner.cost_of(greedy))
    name = f"{mode}: 4 to 40 legs, default, {len(snapshot.instruments)} instruments"
    return [
        name,
        count,
        planned,
        statistics.mean(ratios),
        max(ratios),
        statistics.mean(gaps),
        statistics.median(times),
        max(times),
    ]


def large(*, runs: int) -> list[Any]:
    """A book of 500 legs, 1,023 instruments, 64 scenarios. Run in a child process."""
    market = market_of(1024)
    market = market.model_copy(update={"instruments": market.instruments[:1023]})
    text = json.loads(policy_of_64().to_bytes())
    snapshot = build_snapshot(market, Policy.parse(json.dumps(text)))
    times, gaps = [], []
    for seed in range(runs):
        book = book_of(snapshot, 1000 + seed, (500, 500), (0.8, 0.9))
        if claim_slack(snapshot, book, Claim(1, 1)) >= 0:
            raise AssertionError("nothing to plan")
        started = time.perf_counter()
        plan = Planner(snapshot, book, Claim(1, 1), Terms()).plan()
        times.append(time.perf_counter() - started)
        gaps.append(1 + (plan.gap or 0.0))
    return [
        "any: 500 legs, 1,023 x 64",
        runs,
        runs,
        None,
        None,
        statistics.mean(gaps),
        statistics.median(times),
        max(times),
    ]
