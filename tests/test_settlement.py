"""Expiry: from that instant on an instrument is carried at its settlement value, under every policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from support.typed import JsonObject, Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.books import margin_witness
from zkmargin.cli import main
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart, parts_of
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.example import example_market
from zkmargin.engine.greeks import greek_report
from zkmargin.engine.importers import import_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.policy import load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.settlement import with_deliveries
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, IntArray

EXPIRY, BEFORE, AFTER = "2026-05-19T08:00:00Z", "2026-05-19T07:59:59.999Z", "2026-05-19T08:01:00Z"
LATER = "2026-05-29T08:00:00Z"
OPTION = {"kind": "option", "underlying": "BTC", "option_type": "call", "implied_vol": "0.42", "lot": "0.1"}
VALUE = {"calls": "1000.25", "futures": "0"}
#: Those that price a market; the others take imported arrays.
POLICIES = ("default", "deribit-pm", "paradex", "tims", "derive-pmrm2")


def market(time: str, *, settled: bool = False, settlement: str = "linear", extra: Sequence[JsonObject] = ()) -> Market:
    """One expiring call, one put and one future, and the same of ten days later, and a perpetual."""
    instruments: list[JsonObject] = [{"id": "PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1"}]
    for name, expiry in (("OLD", EXPIRY), ("NEW", LATER)):
        own = {"expiry": expiry, "settlement": settlement}
        instruments += [
            {**OPTION, "id": f"{name}-C", "strike": "76000", **own},
            {**OPTION, "id": f"{name}-P", "strike": "76000", **own, "option_type": "put"},
            {"id": f"{name}-F", "kind": "future", "underlying": "BTC", "lot": "0.1", "mark_price": "77001", **own},
        ]
    if settled:
        values = {"OLD-C": "1000.25", "OLD-P": "0", "OLD-F": "0"}
        instruments = [i | ({"settlement_value": values[i["id"]]} if i["id"] in values else {}) for i in instruments]
        for gone in instruments[1:3]:
            del gone["implied_vol"]
    forwards = [{"underlying": "BTC", "expiry": LATER, "price": "77100.1"}]
    if not settled:
        forwards.append({"underlying": "BTC", "expiry": EXPIRY, "price": "77001.1"})
    return Market.parse(
        json.dumps(
            {
                "format": f"zkmargin/market/v{2 if settled else 1}",
                "time": time,
                "underlyings": [{"name": "BTC", "index_price": "77000.25"}],
                "forwards": forwards,
                "instruments": [*instruments, *extra],
                "assets": [{"name": "USDC", "price": "1", "lot": "0.01"}],
            }
        )
    )


def total(snapshot: Snapshot, requirement: str = "initial", **positions: str) -> int:
    book = Book(positions={name.replace("_", "-"): lots for name, lots in positions.items()})
    return int(margin_report(snapshot, to_lots(book, snapshot), requirement).total)


@pytest.mark.conformance
@pytest.mark.parametrize(
    ("policy", "alone", "both"),
    [
        ("default", "229750.34", "229750.34"),
        ("deribit-pm", "89304.53", "89304.53"),
        ("paradex", "122764.51", "122764.51"),
        ("tims", "95110.21", "95110.21"),
        # the contract's static discount of what is due: 5 % of 10 x 1000.25 (its published case 66 writes 1.0)
        ("derive-pmrm2", "125096.14", "125596.26"),
    ],
)
def test_an_expired_call_hedges_no_live_one(conformance_data: Path, policy: str, alone: str, both: str) -> None:
    case = conformance_data / "cases" / "04-expired-0dte"
    for name in ("at.json", "after.json"):
        imported = import_market(case / name, "deribit-json", prices={"USDC": "1"})
        with pytest.raises(InputError, match=r"BTC-19MAY26-76000-C: has expired .* without a settlement value"):
            build_snapshot(imported, load_policy(policy))
    snapshot = build_snapshot(settled_like_case(imported), load_policy(policy))
    live = {"BTC-29MAY26-77000-C": "-10"}
    for positions, expected in ((live, alone), (live | {"BTC-19MAY26-76000-C": "10"}, both)):
        lots = to_lots(Book(positions=positions), snapshot)
        found = margin_report(snapshot, lots, "initial").total
        assert round(Fraction(found, 10**13), 2) == Fraction(expected)
    unexpired = import_market(case / "before1min.json", "deribit-json", prices={"USDC": "1"})
    build_snapshot(unexpired, load_policy(policy))


@pytest.mark.conformance
def test_a_future_months_after_its_expiry_hedges_no_perpetual(conformance_data: Path) -> None:
    case = conformance_data / "cases" / "04-expired-0dte"
    imported = import_market(case / "fut.csv", "csv")
    with pytest.raises(InputError, match="BTC-26DEC25: has expired"):
        build_snapshot(imported, load_policy("default"))
    delivered = with_deliveries(imported, {("BTC", parse_time("2025-12-26T08:00:00Z")): Fraction(60_000)})
    snapshot = build_snapshot(delivered, load_policy("default"))
    lots = to_lots(Book(positions={"BTC-26DEC25": "1", "BTC-PERP": "-1"}, collateral={"USDC": "100000"}), snapshot)
    assert margin_report(snapshot, lots, "initial").total == 23_100 * 10**13  # 30 % of 77,000; it was 5,100
    values = {i.id: i.settlement_value for i in delivered.instruments if i.settled}
    assert values == {"BTC-26DEC25": "0", "BTC-26DEC25-50000-P": "0"}


def settled_like_case(imported: Market) -> Market:
    instruments = [
        {**i, "settlement_value": "1000.25"} if i["expiry"] == EXPIRY else i for i in imported.to_json()["instruments"]
    ]
    return Market.parse(json.dumps(imported.to_json() | {"format": "zkmargin/market/v2", "instruments": instruments}))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("settlement", ["linear", "inverse"])
def test_what_has_expired_is_worth_a_fixed_amount_and_nothing_else(policy: str, settlement: str) -> None:
    whole = market(AFTER, settled=True, settlement=settlement)
    snapshot = build_snapshot(whole, load_policy(policy))
    check_snapshot(snapshot, whole)
    assert Snapshot.parse(snapshot.to_bytes()).digest() == snapshot.digest()
    Snapshot.parse(snapshot.to_bytes()).check_loaded()
    slots = [slot for slot, i in enumerate(snapshot.instruments) if i.id.startswith("OLD")]
    assert snapshot.marks.values[slots].tolist() == [100_025_000_000, 0, 0]  # 0.1 x 1000.25 in 1e-9
    assert not snapshot.deltas.values[slots].any()
    assert snapshot.sensitivities is not None
    for name in ("gammas", "vegas", "thetas", "rhos"):
        assert not getattr(snapshot.sensitivities, name).values[slots].any()
    alive_only = market(AFTER, settled=True, settlement=settlement)
    rest = alive_only.model_copy(update={"instruments": tuple(i for i in whole.instruments if not i.settled)})
    without = build_snapshot(rest, load_policy(policy))
    for component, own in zip(snapshot.components, without.components, strict=True):
        for name, absent in component.BY_SLOT.items():
            array = getattr(component, name)
            if array is None or (component.type == "discounted_scenarios"):
                continue
            assert (array.values[slots] == absent).all(), (component.type, name)
            kept = np.delete(array.values, slots, axis=0)
            assert np.array_equal(kept, getattr(own, name).values), (component.type, name)
    for requirement in ("initial", "maintenance"):
        alone = total(snapshot, requirement, NEW_C="-10", PERP="2")
        assert alone == total(without, requirement, NEW_C="-10", PERP="2") > 0
        # neither a long nor a short of the expired contracts moves the requirement: nothing offsets, nothing spreads
        for position in ({"OLD_C": "-10"}, {"OLD_P": "10"}, {"OLD_F": "25"}, {"OLD_F": "-25"}):
            assert total(snapshot, requirement, NEW_C="-10", PERP="2", **position) == alone
        long = total(snapshot, requirement, NEW_C="-10", PERP="2", OLD_C="10")
        assert (long > alone) if policy == "derive-pmrm2" else (long == alone)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_short_expired_option_is_never_free(policy: str) -> None:
    snapshot = build_snapshot(market(AFTER, settled=True), load_policy(policy))
    book = Book(positions={"OLD-C": "-10"}, collateral={"USDC": "10002.5"})
    lots = to_lots(book, snapshot)
    report = margin_report(snapshot, lots, "initial")
    assert report.total == 0
    assert report.equity.total <= 0  # 10 x 1000.25 are owed: all of the cash, and more under a haircut
    lots = to_lots(Book(positions={"OLD-C": "-10"}, collateral={"USDC": "10002.49"}), snapshot)
    with pytest.raises(ConstraintError, match="the claim is false"):
        margin_witness(snapshot, Claim(), lots)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_circuit_says_what_the_engine_says(policy: str) -> None:
    snapshot = build_snapshot(market(AFTER, settled=True), load_policy(policy))
    positions = {"OLD-C": "7", "OLD-F": "-3", "OLD-P": "-4", "NEW-C": "-2", "NEW-P": "1.5", "PERP": "1"}
    report = margin_report(snapshot, to_lots(Book(positions=positions), snapshot), "initial")
    asset = snapshot.collateral[0]
    short = -(report.equity.total - report.total)
    value = next(c for c in snapshot.components if isinstance(c, PublishedHaircuts)).long_value.values[0]
    enough = -(-short // int(value))
    for lots, holds in ((enough, True), (enough - 1, False)):
        cash = {asset.asset: f"{lots // 100}.{lots % 100:02d}"}
        own = to_lots(Book(positions=positions, collateral=cash), snapshot)
        if holds:
            margin_witness(snapshot, Claim(), own)
        else:
            with pytest.raises(ConstraintError):
                margin_witness(snapshot, Claim(), own)
    assert build_circuit(snapshot, Claim()).position_count == len(snapshot.instruments)


def test_the_last_millisecond_counts_and_the_instant_of_expiry_does_not() -> None:
    policy = load_policy("default")
    before = build_snapshot(market(BEFORE), policy)
    assert total(before, OLD_C="-10") > 0
    for time in (EXPIRY, AFTER):
        with pytest.raises(InputError, match="OLD-C: has expired"):
            build_snapshot(market(time), policy)
        assert total(build_snapshot(market(time, settled=True), policy), OLD_C="-10") == 0


def test_a_market_of_expired_instruments_only() -> None:
    whole = market(AFTER, settled=True)
    gone = whole.replaced(instruments=tuple(i for i in whole.instruments if i.settled), forwards=())
    for name in POLICIES:
        snapshot = build_snapshot(gone, load_policy(name))
        assert total(snapshot, OLD_F="3", OLD_C="-1") == 0
        Snapshot.parse(snapshot.to_bytes()).check_loaded()


def test_what_a_settlement_value_may_be() -> None:
    whole = market(AFTER, settled=True).to_json()
    where = next(place for place, i in enumerate(whole["instruments"]) if i["id"] == "OLD-C")

    def refused(change: JsonObject, place: int = where, **top: Passed) -> str:
        instruments = [i | change if k == place else i for k, i in enumerate(whole["instruments"])]
        with pytest.raises(InputError) as caught:
            Market.parse(json.dumps(whole | {"instruments": instruments} | top))
        return caught.value.message

    assert "must not be negative" in refused({"settlement_value": "-1"})
    assert "not a decimal" in refused({"settlement_value": "1e3"})
    assert "above 1000000000000000" in refused({"settlement_value": "1000000000000001"})
    assert "does not expire" in refused({"settlement_value": "1"}, 0)
    assert "must be 0 for a future" in refused({"settlement_value": "1"}, where + 2)
    assert "before the expiry" in refused({}, time=BEFORE)
    assert "missing implied_vol" in refused({"settlement_value": None})
    assert "unknown key in version 1" in refused({}, format="zkmargin/market/v1")
    with pytest.raises(InputError, match="no forward"):
        market(AFTER, settled=True, extra=[{**OPTION, "id": "X", "strike": "1", "expiry": "2026-06-26T08:00:00Z"}])


def test_greeks_from_a_later_market_know_what_has_expired() -> None:
    policy = load_policy("default")
    before = build_snapshot(market(BEFORE), policy)
    lots = to_lots(Book(positions={"OLD-C": "10", "NEW-C": "-10"}), before)
    report = greek_report(before, lots, market(AFTER, settled=True))
    assert (report.legs[0].delta, report.legs[0].vega) == (0, 0)
    assert report.legs[1].delta
    with pytest.raises(InputError, match="OLD-C: has expired"):
        greek_report(before, lots, market(AFTER))


def test_every_array_by_slot_is_declared() -> None:
    """An array that a component forgot would keep an expired contract's risk, or lose a live one's."""
    of_others = {"collateral_group", "collateral_gain", "long_value", "short_value", "rate", "sigma"}  # assets, groups
    for kind in parts_of(PublishedPart):
        arrays = {
            name
            for name, field in kind.model_fields.items()
            if IntArray in (field.annotation, *get_args(field.annotation))
        }
        own = of_others | ({"charge"} if kind.__name__ == "PublishedCollateralCharge" else set())
        assert set(kind.BY_SLOT) == arrays - own, kind.__name__


def test_markets_of_version_1_keep_their_bytes() -> None:
    old = example_market("2026-01-02T03:04:05Z")
    assert old.format == "zkmargin/market/v1"
    assert "settlement_value" not in old.to_bytes().decode()
    again = Market.parse(old.to_bytes())
    assert (again.to_bytes(), again.digest()) == (old.to_bytes(), old.digest())
    assert market(AFTER, settled=True).format == "zkmargin/market/v2"
    assert Instrument.model_fields["settlement_value"].default is None


def test_settle_gives_values_at_the_delivery_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, other = (str(tmp_path / name) for name in ("market.json", "settled.json", "other.json"))
    Path(path).write_bytes(market(AFTER).to_bytes())
    assert main(["snapshot", "build", path, "--policy", "default", "-o", other]) == 2
    message = capsys.readouterr().err
    assert "OLD-C: has expired" in message
    assert "market settle" in message
    arguments = ["market", "settle", path, "--delivery"]
    assert main([*arguments, f"BTC@{EXPIRY}=77000.25", "-o", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["settlement_values"]
    assert found == {"OLD-C": "1000.25", "OLD-P": "0", "OLD-F": "0"}
    settled = Market.parse(Path(out).read_bytes())
    assert settled.format == "zkmargin/market/v2"
    build_snapshot(settled, load_policy("default"))
    for bad, reason in (
        ("BTC=1", "not UNDERLYING@EXPIRY=PRICE"),
        (f"BTC@{LATER}=1", "nothing of the market has expired then"),
        (f"ETH@{EXPIRY}=1", "nothing of the market has expired then"),
        (f"BTC@{EXPIRY}=-1", "must not be negative"),
        (f"BTC@{EXPIRY}=x", "not a decimal"),
    ):
        assert main([*arguments, bad, "-o", other]) == 2
        assert reason in capsys.readouterr().err
    assert main(["market", "settle", out, "--delivery", f"BTC@{EXPIRY}=77000.25", "-o", other]) == 2
    assert "has a settlement value already" in capsys.readouterr().err


def test_policies_that_price_are_all_here() -> None:
    priced = set()
    for name in policy_names():
        try:
            build_snapshot(market(BEFORE), load_policy(name))
        except InputError:
            continue
        priced.add(name)
    assert priced >= set(POLICIES)
