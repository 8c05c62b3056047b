"""NSE Clearing's own SPAN output, recomputed: worst short losses and deltas of options, whole arrays of futures."""

import csv
import json
from datetime import date, timedelta
from decimal import Context, Decimal

import numpy as np
import pytest
from support.typed import Family, Report

from zkmargin.engine.components.span_scenarios import SpanScenarios
from zkmargin.engine.market import Forward, Instrument, Market, Underlying
from zkmargin.engine.publishing.span_arrays import span_arrays, span_deltas, span_times
from zkmargin.engine.valuation import Valuation

pytestmark = pytest.mark.conformance

FAMILY = "margin/nse_span"
MONEY = 10**9
PRECISE = Context(prec=40)


def text(value: object) -> str:
    """A number of a JSON or CSV file as plain decimal text."""
    return format(Decimal(str(value)).normalize(PRECISE), "f")


def carried(spot: object, rate: object, days: int) -> str:
    """S exp(r days / 365), to ten decimals."""
    years = PRECISE.divide(Decimal(days), Decimal(365))
    growth = PRECISE.exp(PRECISE.multiply(Decimal(str(rate)), years))
    return text(PRECISE.multiply(Decimal(str(spot)), growth).quantize(Decimal(1).scaleb(-10)))


def nse_model(symbol: str, risk: dict[str, object], *, days: int, fraction_bp: int, multiple: int) -> SpanScenarios:
    return SpanScenarios.model_validate(
        {
            "underlyings": {symbol: risk},
            "moves": "spot",
            "lookahead_seconds": 86_400 * days,
            "day_count": "calendar_days",
            "extreme_multiple": multiple,
            "extreme_fraction_bp": fraction_bp,
            "delta": "plain",
        }
    )


def extremes(scenarios: list[dict[str, float]]) -> dict[str, int]:
    """The policy's terms of scenarios 15 and 16, after checking that the first fourteen are the published ones."""
    thirds = [0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]
    for number, (scenario, third) in enumerate(zip(scenarios, thirds, strict=False)):
        assert round(3 * scenario["price"], 9) == third
        assert scenario["vol"] == (-1 if number % 2 else 1)
        assert scenario["weight"] == 1
    up, down = scenarios[14:]
    assert (up["price"], up["vol"], up["weight"]) == (-down["price"], 0, down["weight"])
    return {"multiple": int(up["price"]), "fraction_bp": round(10_000 * up["weight"])}


def test_worst_losses_and_deltas_of_every_option(conformance_family: Family, conformance_report: Report) -> None:
    files = {path.name: path for path in conformance_family(FAMILY)}
    given = json.loads(files["recovered_parameters.json"].read_text())
    found = {s["file"]: s for s in given["snapshots"]}
    value_date = date.fromisoformat(given["value_date_for_T"])
    names = sorted(name for name in files if name.startswith("span_") and name.endswith(".csv"))
    scan = given["price_scan_fraction_of_spot"]
    cases, worst_loss, worst_delta = 0, Decimal(0), Decimal(0)
    for name in names:
        assert name in found, f"{name}: recovered_parameters.json has no vol for it"
        rows = list(csv.DictReader(files[name].read_text().splitlines()))
        spots = {row["spot_from_rpf"] for row in rows}
        assert len(spots) == 1, f"{name}: one spot a file"
        (spot,) = spots
        model = nse_model(
            "X",
            {
                "price_scan": {"index_bp": round(10_000 * scan["up_to_9_months"])},
                "long_dated": {
                    "beyond_days": int(given["long_dated_rule_used"].rsplit(" ", 1)[1]),
                    "price_scan": {"index_bp": round(10_000 * scan["beyond_9_months"])},
                },
                "vol_scan": text(given["vol_scan_abs"]),
                "vol": text(found[name]["sigma"]),
            },
            days=given["lookahead_days"],
            **extremes(given["scenarios"]),
        )
        rate = text(given["rate_continuous"])
        expiries = sorted({row["expiry"] for row in rows})
        days = {e: (date.fromisoformat(e) - value_date).days for e in expiries}
        market = Market(
            time=f"{value_date}T00:00:00Z",
            quote="INR",
            underlyings=(Underlying(name="X", index_price=text(spot)),),
            forwards=tuple(
                Forward(underlying="X", expiry=f"{e}T00:00:00Z", price=carried(spot, rate, days[e]), rate=rate)
                for e in expiries
            ),
            instruments=tuple(
                Instrument(
                    id=f"{row['expiry']}-{row['strike']}-{row['type']}",
                    kind="option",
                    underlying="X",
                    expiry=f"{row['expiry']}T00:00:00Z",
                    strike=text(row["strike"]),
                    option_type="call" if row["type"] == "C" else "put",
                    implied_vol="0.2",
                    lot="1",
                )
                for row in rows
            ),
        )
        valuation = Valuation(market, parts=(model,))
        # The worst loss of a short is the largest gain of a long.
        losses = span_arrays(model, valuation).max(axis=1)
        for row, loss, delta in zip(rows, losses.tolist(), span_deltas(model, valuation).tolist(), strict=True):
            error = abs(Decimal(loss) / MONEY - Decimal(row["worst_RA_per_unit"]))
            off = abs(Decimal(delta) / MONEY - Decimal(row["delta_in_rpf"]))
            assert error <= Decimal("0.01"), (name, row)
            assert off <= Decimal("0.00005") + Decimal(1).scaleb(-8), (name, row)
            worst_loss, worst_delta = max(worst_loss, error), max(worst_delta, off)
            cases += 1
    conformance_report(f"{FAMILY}/span_*.csv", cases, f"{worst_loss:.4f} rupee, delta {worst_delta:.6f}")


def test_futures_arrays_all_sixteen_values(conformance_family: Family, conformance_report: Report) -> None:
    cases, worst = 0, Decimal(0)
    for path in conformance_family(FAMILY):
        if not path.name.startswith("futures_risk_arrays"):
            continue
        given = json.loads(path.read_text())
        assert given["day_count"] == 365
        for contract in given["contracts"]:
            rate = text(contract["rate_recovered"])
            model = nse_model(
                contract["symbol"],
                {
                    "price_scan": {"amount": text(contract["price_scan"])},
                    "vol_scan": text(contract["vol_scan"]),
                },
                days=given["lookahead_days"],
                multiple=2,
                fraction_bp=3500,
            )
            market = Market(
                # times count from the evening before: T_days before the expiry
                time=f"{date.fromisoformat(contract['expiry']) - timedelta(days=given['T_days'])}T00:00:00Z",
                quote="INR",
                underlyings=(Underlying(name=contract["symbol"], index_price=text(contract["spot"])),),
                forwards=(
                    Forward(
                        underlying=contract["symbol"],
                        expiry=f"{contract['expiry']}T00:00:00Z",
                        price=carried(contract["spot"], rate, given["T_days"]),
                        rate=rate,
                    ),
                ),
                instruments=(
                    Instrument(
                        id=contract["symbol"],
                        kind="future",
                        underlying=contract["symbol"],
                        expiry=f"{contract['expiry']}T00:00:00Z",
                        lot="1",
                    ),
                ),
            )
            assert span_times(model, Valuation(market), [f"{contract['expiry']}T00:00:00Z"]) == [
                given["T_days"] * 86_400_000
            ]
            # Published arrays are positive for a loss; ours for a gain.
            gains = span_arrays(model, Valuation(market))[0].tolist()
            for gain, published in zip(gains, contract["ra"], strict=True):
                error = abs(Decimal(-gain) / MONEY - Decimal(str(published)))
                assert error <= Decimal("0.01"), (contract["symbol"], contract["ra"].index(published))
                worst = max(worst, error)
                cases += 1
            scan = max(-np.array(gains))
            expected = Decimal(str(given["expected"][f"{contract['symbol']}_per_lot_{contract['lot_size_quoted'][0]}"]))
            lots = contract["lot_size_quoted"][0]
            assert abs(Decimal(int(scan)) / MONEY * lots - expected) <= Decimal("0.01") * lots
    conformance_report(f"{FAMILY}/futures_risk_arrays*.json", cases, f"{worst:.4f} rupee")
