"""Deribit: the documented portfolio margin simulation, vector by vector; marks and deltas of a real option chain."""

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median

import pytest
from support.typed import Family, Json, JsonObject, Report

from zkmargin.engine.components import Leg
from zkmargin.engine.components.dampened_tails import DampenedTails, PublishedDampenedTails, TailTable
from zkmargin.engine.components.gain_offset import GainOffset, PublishedGainOffset
from zkmargin.engine.components.roll_shock import RollRate, RollShock
from zkmargin.engine.components.worst_scenario import ScenarioGrid, Tail
from zkmargin.engine.decimals import format_time, to_fraction
from zkmargin.engine.market import Forward, Instrument, Market, Underlying
from zkmargin.engine.publishing import publish
from zkmargin.engine.valuation import Valuation

FAMILY = "margin/deribit"
MONEY_DECIMALS = 18
MONEY_UNITS: int = 10**MONEY_DECIMALS
#: Positions have up to 9 decimals.
LOT_DECIMALS = 9
BP = 10_000
VECTOR, MARGIN = Fraction(1, 10**12), Fraction(1, 10**9)
EXPIRY_HOUR = 8
LEAST_VOL = Decimal("0.000000001")
TAILS = (-6600, -3300, 5000, 10_000, 20_000, 30_000, 40_000, 50_000)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def text(value: Json) -> str:
    return format(Decimal(str(value)), "f")


def number(value: Json) -> Fraction:
    return Fraction(Decimal(str(value)))


def bp(value: Json) -> int:
    points = number(value) * BP
    assert points.denominator == 1
    return int(points)


def expiry_in(name: str) -> str:
    day, month, year = re.fullmatch(r"[A-Z_]+-(\d{1,2})([A-Z]{3})(\d{2})(?:-.*)?", name).groups()  # type: ignore[union-attr]
    moment = datetime(2000 + int(year), 1 + MONTHS.index(month), int(day), EXPIRY_HOUR, tzinfo=UTC)
    return format_time(int(moment.timestamp()) * 1000)


class Simulation:
    """A case of the documented simulation through the components. A contract is one coin at its mark."""

    def __init__(self, case: JsonObject) -> None:
        self.case, self.index = case, number(case["index"])
        names = list(case["position"])
        instruments = []
        for name in names:
            perpetual = name.endswith("PERPETUAL")
            mark = text(case["mark"][name])
            instruments.append(
                Instrument(
                    id=name,
                    kind="perpetual" if perpetual else "future",
                    underlying="BTC",
                    expiry=None if perpetual else expiry_in(name),
                    settlement="inverse",
                    multiplier=mark,
                    mark_price=mark,
                    lot=text(Decimal(1).scaleb(-LOT_DECIMALS)),
                )
            )
        expiries = dict.fromkeys(i.expiry for i in instruments if i.expiry is not None)
        market = Market(
            time=format_time(case["timestamp_ms"]),
            underlyings=(Underlying(name="BTC", index_price=text(case["index"])),),
            forwards=tuple(Forward(underlying="BTC", expiry=at, price=text(case["index"])) for at in expiries),
            instruments=tuple(instruments),
        )
        self.valuation = Valuation(market, money_decimals=MONEY_DECIMALS)
        amounts = [number(case["position"][name]) for name in names]
        lots = [amount * 10**LOT_DECIMALS for amount in amounts]
        assert all(amount.denominator == 1 for amount in lots)
        self.legs = [Leg(slot, 0, int(amount)) for slot, amount in enumerate(lots)]
        edge, pair, currency = bp(case["price_range"]), case["currency_pair"], case["currency"]
        vols = (bp(pair["volatility_range_up"]), 0, -bp(pair["volatility_range_down"]))
        moves = tuple(edge * bucket // 4 for bucket in range(-4, 5))
        assert all(edge * bucket % 4 == 0 for bucket in range(-4, 5))
        group = {"underlyings": ("BTC",), "offset_bp": bp(currency["pnl_offset"])}
        groups = {"BTC": group}
        standard = publish(
            GainOffset.model_validate(
                {
                    "grid": ScenarioGrid(price_moves_bp=moves, vol_moves_bp=vols, inverse_in_coin=True),
                    "product_groups": groups,
                }
            ),
            self.valuation,
        )
        assert isinstance(standard, PublishedGainOffset)
        self.standard = standard
        tails = tuple(Tail(price_move_bp=m, vol_move_bp=vols[0], weight_bp=edge * BP // abs(m)) for m in TAILS)
        extended = publish(
            DampenedTails.model_validate(
                {
                    "table": TailTable(tails=tails, edge_bp=edge, inverse_in_coin=True),
                    "dampener": text(currency["extended_dampener"]),
                    "product_groups": groups,
                }
            ),
            self.valuation,
        )
        assert isinstance(extended, PublishedDampenedTails)
        self.extended = extended
        rate = RollRate(
            min_annualised_move_bp=bp(currency["min_annualised_move"]),
            annualised_move_risk_bp=bp(currency["annualised_move_risk"]),
        )
        self.roll = publish(RollShock(rate=rate), self.valuation)

    def coins(self, amount: Fraction | int) -> Fraction:
        return Fraction(amount) / MONEY_UNITS / self.index

    def check(self) -> Iterator[tuple[str, Fraction, Fraction, Fraction]]:
        """(what, computed, published, tolerance), in coin."""
        case = self.case
        for slot, (name, published) in enumerate(case["initial_risk_vectors"].items()):
            row = self.standard.risk.values[slot].tolist()
            lots = self.legs[slot].lots
            for place, wanted in enumerate(published):
                # vols do not matter to what is linear: the three entries of a price are one
                for got in row[3 * place : 3 * place + 3]:
                    yield f"{name} vector", self.coins(lots * got), number(wanted), VECTOR
        charges = self.standard.assess(self.legs)
        losses = [Fraction(loss, charges.scale) for loss in charges.candidates[0]]
        for place, wanted in enumerate(case["aggregated"]):
            for loss in losses[3 * place : 3 * place + 3]:
                yield "aggregated", -self.coins(loss), number(wanted), VECTOR
        tails = self.extended.assess(self.legs)
        extended = [Fraction(loss, tails.scale) for loss in tails.candidates[0]]
        for loss, wanted in zip(extended, case["aggregated_extended"], strict=True):
            yield "aggregated_extended", -self.coins(loss), number(wanted), VECTOR
        worst = self.coins(max(Fraction(0), *losses, *extended))
        yield "worst_case", worst, number(case["worst_case"]), VECTOR
        charge = self.roll.assess(self.legs) if self.roll is not None else None
        roll = self.coins(Fraction(charge.addition, charge.scale)) if charge is not None else Fraction(0)
        yield "roll_shock", roll, number(case["roll_shock"]), VECTOR
        # Not published in full: the delta shock, from a threshold on, and the correlation of several currencies.
        delta = abs(sum(leg.lots for leg in self.legs)) * self.index / 10**LOT_DECIMALS
        assert delta < number(case["currency_pair"]["delta_total_liq_shock_threshold"])
        others = [number(case[name]) for name in ("delta_shock", "correlation_contingency")]
        margin = worst + roll + sum(others)
        yield "risk_matrix_margin", margin, number(case["risk_matrix_margin"]), MARGIN
        yield "maintenance_margin", number(case["mm_factor"]) * margin, number(case["maintenance_margin"]), MARGIN
        besides = sum(number(case.get(name, 0)) for name in ("open_orders_margin", "mmp_margin", "spot_margin"))
        yield "initial_margin", margin + besides, number(case["initial_margin"]), MARGIN


@pytest.mark.conformance
def test_the_documented_simulation(conformance_family: Family, conformance_report: Report) -> None:
    worst, cases = Fraction(0), 0
    for path in conformance_family(FAMILY):
        if path.suffix != ".json":
            continue
        for case in json.loads(path.read_text("utf-8"))["cases"]:
            for what, got, wanted, tolerance in Simulation(case).check():
                assert abs(got - wanted) <= tolerance, f"{case['name']} {what}: {float(got)} is not {float(wanted)}"
                worst = max(worst, abs(got - wanted))
            cases += 1
    conformance_report(f"{FAMILY} (simulation: vectors, MM, IM)", cases, f"{float(worst):.1e} coin")


@pytest.mark.conformance
def test_aggregated_gains_count_nothing_in_the_tails_either(conformance_family: Family) -> None:
    """The published simulation writes 0 for every tail: its losses are below the dampener, its gains are gains.

    Without a dampener the losses of the same book, and of its opposite, come out, and no gain does.
    """
    cases = 0
    for path in conformance_family(FAMILY):
        if path.suffix != ".json":
            continue
        for case in json.loads(path.read_text("utf-8"))["cases"]:
            up = [move > 0 for move in TAILS]
            published = [number(value) for value in case["aggregated_extended"]]
            long = sum(number(amount) for amount in case["position"].values()) > 0
            assert all(value == 0 for value, rises in zip(published, up, strict=True) if rises == long)
            for sign in (1, -1):
                turned = {name: sign * number(amount) for name, amount in case["position"].items()}
                open_case = case | {
                    "position": {name: str(Decimal(v.numerator) / v.denominator) for name, v in turned.items()},
                    "currency": case["currency"] | {"extended_dampener": 0},
                }
                simulation = Simulation(open_case)
                charges = simulation.extended.assess(simulation.legs).candidates[0]
                gains = [rises == (long == (sign > 0)) for rises in up]
                assert all(loss == 0 for loss, gain in zip(charges, gains, strict=True) if gain)
                assert all(loss > 0 for loss, gain in zip(charges, gains, strict=True) if not gain)
            cases += 1
    assert cases


def priced(row: dict[str, str]) -> tuple[Fraction, Fraction]:
    """Mark in coin and delta of a row at its own forward and time."""
    name = row["instrument_name"]
    _, _, strike, kind = name.split("-")
    forward, expiry = text(row["underlying_price"]), expiry_in(name)
    market = Market(
        time=format_time(int(row["timestamp"])),
        underlyings=(Underlying(name="BTC", index_price=forward),),
        forwards=(Forward(underlying="BTC", expiry=expiry, price=forward),),
        instruments=(
            Instrument(
                id=name,
                kind="option",
                underlying="BTC",
                expiry=expiry,
                strike=strike.replace("d", "."),
                option_type={"C": "call", "P": "put"}[kind],  # type: ignore[arg-type]
                implied_vol=text(max(Decimal(row["mark_iv"]) / 100, LEAST_VOL)),
                settlement="inverse",
                lot="1",
            ),
        ),
    )
    valuation = Valuation(market)
    mark = Fraction(int(valuation.marks()[0]), 10**9) / to_fraction(forward)
    return mark, Fraction(int(valuation.deltas()[0]), 10**9)


@pytest.mark.conformance
def test_marks_and_deltas_of_a_real_chain(conformance_family: Family, conformance_report: Report) -> None:
    for path in conformance_family(FAMILY):
        if not re.search(r"_options_.*\.csv$", path.name):
            continue
        marks, deltas = [], []
        with Path(path).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                mark, delta = priced(row)
                marks.append(abs(mark - number(row["mark_price"])))
                deltas.append(abs(delta - number(row["greeks.delta"])))
        marks.sort()
        assert marks, path.name
        assert median(marks) <= Fraction(1, 10**5)
        assert marks[99 * len(marks) // 100 - 1] <= Fraction(2, 10**4)
        assert marks[-1] <= Fraction(1, 10**3)
        assert max(deltas) <= Fraction(1, 10**4)
        worst = f"{float(marks[-1]):.1e} coin (median {float(median(marks)):.1e}), delta {float(max(deltas)):.1e}"
        conformance_report(f"{FAMILY}/{path.name} (marks, deltas)", len(marks), worst)
