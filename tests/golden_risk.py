"""Golden files of cost files, auctions, rules and derivations."""

from __future__ import annotations

import json
from pathlib import Path

from zkmargin.formats import Document
from zkmargin.risk.auction import AuctionTerms
from zkmargin.risk.calibration import calibrate
from zkmargin.risk.costs import CostRate, Costs, ImpactTier
from zkmargin.risk.history import History
from zkmargin.risk.rules import (
    Buffer,
    Covariances,
    Historical,
    Liquidity,
    LiquidityTier,
    Multiplier,
    Quantile,
    Regimes,
    Rule,
    Stressed,
    Volatility,
    VolScan,
)

FOLDER = Path(__file__).parent / "data" / "golden" / "risk"


def make_all() -> dict[str, bytes]:
    """Every file but the closes, by name."""
    history = History.load(FOLDER / "closes.csv")
    rule = Rule(
        format="zkmargin/rule/v1",
        name="golden",
        quantile=Quantile(level_bp=9_900, horizon_days=2, look_back_days=100),
        volatility=Volatility(),
        floor_bp=500,
        stressed=Stressed(first="2024-04-15", last="2024-06-01"),
        ten_year_days=2_500,
        buffer=Buffer(),
        regimes=Regimes(enter_1e4=15_000, leave_1e4=12_000, stressed_1e4=12_500),
        historical=Historical(group="book", days=20, filtered=True, shortfall_level_bp=9_000),
        correlation_bp=(5_000, 10_000),
        liquidity=Liquidity(daily_volume={"BTC": "20000000000"}, tiers=(LiquidityTier(part_bp=100, rate_bp=25),)),
    )
    _, first = calibrate(history, rule, as_of="2024-09-10")
    policy, second = calibrate(history, rule, before=first)
    vols = history.with_vols(History.load(FOLDER / "vols.csv"))
    with_vols = Rule(
        name="golden-vols",
        volatility=Volatility(),
        historical=Historical(group="book", days=20),
        vols=VolScan(level_bp=9_900, horizon_days=2, look_back_days=100, floor_bp=1_000),
    )
    policy_of_vols, third = calibrate(vols, with_vols)
    multiplied = Rule(
        name="golden-factors",
        quantile=Quantile(level_bp=9_900, look_back_days=100),
        floor_bp=500,
        stressed=Stressed(first="2024-04-15", last="2024-06-01"),
        buffer=Buffer(),
        factors=Multiplier(requirements=("initial",)),
    )
    _, fourth = calibrate(history, multiplied, as_of="2024-09-10")
    policy_of_factors, fifth = calibrate(history, multiplied, before=fourth)
    norm = Rule(name="golden-norm", base="delta-norm", volatility=Volatility(), covariances=Covariances())
    policy_of_norm, sixth = calibrate(history, norm)
    perpetuals = CostRate(
        instruments=("*-PERPETUAL",),
        half_spread_bp=1,
        fee_bp=5,
        most="20",
        tiers=(ImpactTier(above="5", impact_bp=10),),
    )
    options = CostRate(kinds=("option",), half_spread_of_mark_bp=250, fee_bp=3, amount="0.5")
    documents: dict[str, Document] = {
        "golden.costs.json": Costs(name="desk", rates=(perpetuals, options)),
        "golden.auction.json": AuctionTerms(name="ours", buffer_bp=2_000),
        "golden.rule.json": rule,
        "first.derivation.json": first,
        "second.derivation.json": second,
        "calibrated.policy.json": policy,
        "vols.rule.json": with_vols,
        "vols.derivation.json": third,
        "vols.policy.json": policy_of_vols,
        "factors.rule.json": multiplied,
        "factors-first.derivation.json": fourth,
        "factors.derivation.json": fifth,
        "factors.policy.json": policy_of_factors,
        "norm.rule.json": norm,
        "norm.derivation.json": sixth,
        "norm.policy.json": policy_of_norm,
    }
    digests = {name: {"format": d.format, "digest": d.digest().hex()} for name, d in sorted(documents.items())}
    digests["closes.csv"] = {"format": "zkmargin/history/v1", "digest": history.digest().hex()}
    digests["vols.csv"] = {"format": "zkmargin/history/v2", "digest": vols.digest().hex()}
    files = {name: document.to_bytes() for name, document in documents.items()}
    return files | {"digests.json": (json.dumps(digests, indent=1) + "\n").encode()}
