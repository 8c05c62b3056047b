"""CME gold: the published sixteen-value array, margin, calendar charges and option totals."""

import csv
import json
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from support.typed import Family, Json, Passed, Report

from zkmargin.engine.book import BookLots
from zkmargin.engine.components.span_scenarios import SpanScenarios
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import build_snapshot_from_arrays
from zkmargin.engine.publishing.span_arrays import span_arrays, span_deltas
from zkmargin.engine.risk_arrays import ArrayInstrument, RiskArrays
from zkmargin.engine.spread_rules import CalendarRules
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray

pytestmark = pytest.mark.conformance

FAMILY = "margin/cme_span"
USD = 10**13  # valuation units


def quoted(conformance_family: Family) -> Json:
    return [json.loads(p.read_text()) for p in conformance_family(FAMILY) if p.name.endswith("quoted_values.json")]


def policy(**rules: Passed) -> Policy:
    return Policy.model_validate(
        {
            "name": "gold",
            "title": "CME gold",
            "version": "1",
            "requirements": {"initial": 10_000, "maintenance": 10_000},
            "layout": {"domain_size": 16, "position_bits": 16, "collateral_bits": 40},
            "max_price_age_seconds": 0,
            "components": [
                {
                    "type": "span_scenarios",
                    "default": {"price_scan": {"amount": "160"}, "vol_scan": "0"},
                    "moves": "forward",
                    "lookahead_seconds": 86_400,
                    "extreme_multiple": 3,
                    "extreme_fraction_bp": 3300,
                },
                {"type": "calendar_charge", "method": "exact", **rules},
                {"type": "short_option_minimum", "rate_bp": 0},
                {"type": "haircuts", "assets": {"USD": {"haircut_bp": 0, "negative_allowed": True}}},
            ],
        }
    )


def test_the_array_of_gold_from_its_parameters(conformance_family: Family, conformance_report: Report) -> None:
    cases, worst = 0, Decimal(0)
    for given in quoted(conformance_family):
        for name, future in given.items():
            if "_FUT_" not in name:
                continue
            model = SpanScenarios.model_validate(
                {
                    "default": {
                        "price_scan": {"amount": str(future["price_scan"])},
                        "vol_scan": "0",
                    },
                    "moves": "forward",
                    "lookahead_seconds": 86_400,
                    "extreme_multiple": future["extreme_price_multiple"],
                    "extreme_fraction_bp": round(10_000 * future["extreme_cover_fraction"]),
                    # arrays of CME are whole dollars a contract
                    "array_unit": "1",
                }
            )
            month = name.rsplit("_", 1)[1]
            expiry = f"{month[:4]}-{month[4:]}-26T00:00:00Z"
            price = str(future["settlement"])
            market = Market(
                time="2025-09-12T00:00:00Z",
                underlyings=(Underlying(name="GC", index_price=price),),
                forwards=(Forward(underlying="GC", expiry=expiry, price=price),),
                instruments=(
                    # one contract: the quoted amounts are per contract
                    Instrument(id=name, kind="future", underlying="GC", expiry=expiry, lot="1"),
                ),
            )
            valuation = Valuation(market, parts=(model,))
            gains = span_arrays(model, valuation)[0].tolist()
            assert len(gains) == len(future["ra"])
            for gain, loss in zip(gains, future["ra"], strict=True):
                error = abs(Decimal(-gain) / 10**9 - Decimal(str(loss)))
                assert error == 0, (name, loss)
                worst, cases = max(worst, error), cases + 1
            assert -min(gains) == future["published_maintenance_long"] * 10**9
            assert max(gains) == future["published_maintenance_short"] * 10**9
            assert span_deltas(model, valuation).tolist() == [round(future["composite_delta"] * 10**9)]
    conformance_report(f"{FAMILY}: gold array", cases, f"{worst} USD")


def arrays_of(entries: Json, calendars: Json = None, minimum: Json = "0", contract: Json = 1) -> Json:
    """Risk arrays of (id, kind, period, price, losses, delta)."""
    return RiskArrays(
        time="2025-09-12T00:00:00Z",
        quote="USD",
        instruments=tuple(
            ArrayInstrument(
                id=name,
                kind=kind,
                underlying="GC",
                period=period,
                multiplier=format(Decimal(contract).normalize(), "f"),
                lot="1",
                price=price,
                premium=kind == "option",
            )
            for name, kind, period, price, _, _ in entries
        ),
        gains=IntArray(np.array([[-1_000_000 * loss for loss in losses] for *_, losses, _ in entries], dtype=np.int64)),
        deltas=IntArray(np.array([delta for *_, delta in entries], dtype=np.int64)),
        short_option_minimums={"GC": minimum},
        calendars={"GC": calendars} if calendars else {},
        assets=(Asset(name="USD", price="1", lot="0.01"),),
    )


def test_the_totals_of_an_option_before_and_after_its_premium(
    conformance_family: Family, conformance_report: Report
) -> None:
    cases = 0
    for given in quoted(conformance_family):
        minimum = str(next(future["short_option_minimum"] for name, future in given.items() if "_FUT_" in name))
        for name, option in given.items():
            if not isinstance(option, dict) or "short_scan" not in option:
                continue
            # the published array is not quoted: only its worst values
            losses = [0] * 16
            losses[10], losses[12] = option["long_scan"], -option["short_scan"]
            delta = round(option["composite_delta"] * 10**9)
            contract = Decimal(str(option["contract_value"])) / Decimal(str(option["settlement"]))
            arrays = arrays_of(
                [(name, "option", "202512", str(option["settlement"]), losses, delta)],
                minimum=minimum,
                contract=contract,
            )
            snapshot = build_snapshot_from_arrays(arrays, policy())
            for lots, side in ((1, "long"), (-1, "short")):
                report = margin_report(snapshot, BookLots((lots,), (0,)))
                assert report.total == option[f"{side}_scan"] * USD
                assert report.equity.mark_to_market == lots * option["contract_value"] * USD
                assert report.comparison.portfolio == option[f"{side}_total"] * USD
                cases += 1
    conformance_report(f"{FAMILY}: option totals", cases, "0 USD")


def test_the_published_calendar_charges(conformance_family: Family, conformance_report: Report) -> None:
    cases = 0
    for given in quoted(conformance_family):
        future = next(future for name, future in given.items() if "_FUT_" in name)
        months = sorted({leg for s in given["calendar_spreads"] for leg in (s["long"], s["short"])})
        rules = {
            "tiers": [
                {"number": 1, "first": months[0], "last": months[-2]},
                {"number": 2, "first": months[-1], "last": months[-1]},
            ],
            "spreads": [
                {
                    "charge": {"amount": str(spread["charge"])},
                    "legs": [
                        {"period": spread["long"], "side": "A"},
                        {"period": spread["short"], "side": "B"},
                    ]
                    if spread["kind"] == "series"
                    else [{"tier": 1, "side": "A"}, {"tier": 2, "side": "B"}],
                }
                for spread in sorted(given["calendar_spreads"], key=lambda s: s["kind"] != "series")
            ],
        }
        entries = [(f"GC-{m}", "future", m, None, future["ra"], 10**9) for m in months]
        arrays = arrays_of(entries, CalendarRules.model_validate(rules))
        snapshot = build_snapshot_from_arrays(arrays, policy())
        for spread in given["calendar_spreads"]:
            lots = tuple({spread["long"]: 1, spread["short"]: -1}.get(month, 0) for month in months)
            report = margin_report(snapshot, BookLots(lots, (0,)))
            assert report.total == (spread.get("scan", 0) + spread["charge"]) * USD
            cases += 1
    conformance_report(f"{FAMILY}: calendar spreads", cases, "0 USD")


def test_published_outright_margins_are_scan_ranges(conformance_family: Family, conformance_report: Report) -> None:
    """SPAN margins only: SPAN 2's are of another model, whose parameters are not published."""
    files = {path.name: path for path in conformance_family(FAMILY)}
    given = quoted(conformance_family)[0]
    cases = 0
    for name, path in files.items():
        if not name.startswith("published_"):
            continue
        for row in csv.DictReader(path.read_text().splitlines()):
            assert date.fromisoformat(row["date"])
            future = next((f for key, f in given.items() if key.startswith(f"{row['product']}_FUT_")), None)
            if row["margin_model"] == "SPAN" and future is not None:
                scan = max(future["ra"])
                assert scan == int(row["long_margin_usd"]) == int(row["short_margin_usd"])
                cases += 1
    conformance_report(f"{FAMILY}: outright margins", cases, "0 USD")
