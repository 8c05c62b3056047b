"""Quotes that are missing: carried, interpolated or stressed, within an age that verifiers cap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from support import parties
from support.typed import Passed
from support.weeks import DAY, FIRST, HOUR, MONTHLY, NAME, POLICY, START, TODAY, market, universe

from zkmargin.accounts import commit_book
from zkmargin.accounts.slots import slot_map_digest
from zkmargin.circuits.books import margin_witness
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import MissingQuotes
from zkmargin.formats import ConstraintError, InputError, VerificationError
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, SnapshotPayload, accept
from zkmargin.verifier.attest.accept import check_carried_age

# --- what has no quote --------------------------------------------------------------------------------------


def without(*names: str, time: int = START + HOUR, forwards: Sequence[str] = (), **changes: Passed) -> Market:
    data = market(time, expiries=[TODAY, MONTHLY], missing=names).to_json() | changes
    data["forwards"] = [f for f in data["forwards"] if f["expiry"] not in forwards]
    return Market.parse(json.dumps(data))


def carried(snapshot: Snapshot) -> dict[str, tuple[str, str, int]]:
    return {quote.id: (quote.method, quote.source, quote.age_seconds) for quote in snapshot.carried}


def test_a_missing_quote_is_the_last_one_within_its_age() -> None:
    quotes, founding = without(NAME), universe()
    snapshot = build_snapshot(quotes, POLICY, universe=founding, earlier=[FIRST])
    assert carried(snapshot) == {NAME: ("last", FIRST.digest().hex(), 3600)}
    slot = [i.id for i in snapshot.instruments].index(NAME)
    quoted = build_snapshot(without(), POLICY, universe=founding)
    assert snapshot.marks.values[slot] == quoted.marks.values[slot] > 0
    assert slot_map_digest(snapshot, "positions") == slot_map_digest(quoted, "positions")
    check_snapshot(snapshot, quotes, universe=founding, earlier=[FIRST])
    for bad, reason in (
        ({"universe": founding}, "differs"),
        ({"universe": None}, "and none is given"),
        ({"universe": universe(delist_after_seconds=1)}, "another universe"),
    ):
        with pytest.raises(InputError, match=reason):
            check_snapshot(snapshot, quotes, **bad)
    plain = build_snapshot(quotes, POLICY)
    with pytest.raises(InputError, match="built without a universe"):
        check_snapshot(plain, quotes, universe=founding)


def test_a_quote_between_two_others_is_interpolated() -> None:
    put = NAME.replace("-C", "-P")
    founding = universe(missing_quotes=MissingQuotes(methods=("interpolated",)))
    snapshot = build_snapshot(without(NAME, put), POLICY, universe=founding)
    quotes = without(NAME, put)
    assert carried(snapshot) == {name: ("interpolated", quotes.digest().hex(), 0) for name in (NAME, put)}
    data = market(START + HOUR, expiries=[TODAY, MONTHLY]).to_json()
    for i in data["instruments"]:
        if i["id"] in (NAME, put):
            i["implied_vol"] = "0.51"  # half way from 0.50 at 80000 to 0.52 at 100000
    given = build_snapshot(Market.parse(json.dumps(data)), POLICY, universe=founding)
    assert given.marks == snapshot.marks
    # a call at a strike where the put is quoted has its vol; beyond the quoted strikes nothing is said
    assert carried(build_snapshot(without(NAME), POLICY, universe=founding))[NAME][0] == "interpolated"
    wing = [f"BTC-{MONTHLY[:10]}-80000-{right}" for right in "CP"]
    with pytest.raises(InputError, match="no quote in the market, and none of interpolated gives one"):
        build_snapshot(without(*wing), POLICY, universe=founding)


def test_a_stressed_quote_is_charged_on_both_sides() -> None:
    wing = [f"BTC-{MONTHLY[:10]}-80000-{right}" for right in "CP"]
    founding = universe(missing_quotes=MissingQuotes(methods=("last", "stressed"), stress_bp=4_000))
    quotes = without(*wing)
    snapshot = build_snapshot(quotes, POLICY, universe=founding)
    assert {name: found[0] for name, found in carried(snapshot).items()} == dict.fromkeys(wing, "stressed")
    Snapshot.parse(snapshot.to_bytes()).check_loaded()
    charge = snapshot.components[-1]
    assert isinstance(charge, PublishedGrossCharge)
    slot = [i.id for i in snapshot.instruments].index(wing[0])
    long, short = int(charge.long.values[slot]), int(charge.short.values[slot])
    assert long > 0
    assert short > 0
    assert not np.delete(charge.short.values, [slot, slot + 1]).any()
    # what the option is worth 40 % away: priced as quoted there, both ways
    marks = {}
    for vol in ("0.51", str(float(Fraction("0.51") * Fraction("0.6"))), str(float(Fraction("0.51") * Fraction("1.4")))):
        data = market(START + HOUR, expiries=[TODAY, MONTHLY]).to_json()
        for i in data["instruments"]:
            if i["id"] == wing[0]:
                i["implied_vol"] = vol
        marks[vol] = int(build_snapshot(Market.parse(json.dumps(data)), POLICY).marks.values[slot])
    middle, down, up = marks.values()
    assert middle == snapshot.marks.values[slot]  # the vol of the nearest strike, 90000
    assert abs(long - (middle - down)) <= 1
    assert abs(short - (up - middle)) <= 1
    for sign, amount in (("1", long), ("-1", short)):
        lots = to_lots(Book(positions={wing[0]: sign}), snapshot)
        report = margin_report(snapshot, lots, "initial")
        assert sum(a.amount for a in report.additions if a.component == "gross_charge") == 10 * amount * 10**4
    # engine and circuit agree at the boundary and one unit short
    lots = to_lots(Book(positions={wing[0]: "-1", NAME: "2"}), snapshot)
    report = margin_report(snapshot, lots, "initial")
    missing = report.total - report.equity.total
    per_cent = int(next(c for c in snapshot.components if isinstance(c, PublishedHaircuts)).long_value.values[0])
    enough = -(-missing // per_cent)
    margin_witness(snapshot, Claim(), BookLots(lots.positions, (enough, 0)))
    with pytest.raises(ConstraintError):
        margin_witness(snapshot, Claim(), BookLots(lots.positions, (enough - 1, 0)))
    # a snapshot that leaves the charge out contradicts itself
    lying = json.loads(snapshot.to_bytes())
    lying["components"].pop()
    with pytest.raises(InputError, match="no charge on what is carried at a stressed vol"):
        Snapshot.parse(json.dumps(lying)).check_loaded()
    honest = json.loads(build_snapshot(without(), POLICY, universe=founding).to_bytes())
    honest["components"].append(json.loads(snapshot.to_bytes())["components"][-1])
    with pytest.raises(InputError, match="not what the policy says"):
        Snapshot.parse(json.dumps(honest)).check_loaded()


def test_forwards_marks_and_assets_that_are_missing() -> None:
    founding = universe()
    monthly, today = ([i.id for i in FIRST.instruments if i.expiry == expiry] for expiry in (MONTHLY, TODAY))
    quotes = without("BTC-PERP", *monthly, forwards=[MONTHLY])
    snapshot = build_snapshot(quotes, POLICY, universe=founding, earlier=[FIRST])
    assert carried(snapshot) == {name: ("last", FIRST.digest().hex(), 3600) for name in monthly} | {
        f"forward BTC {MONTHLY}": ("last", FIRST.digest().hex(), 3600),
        "BTC-PERP": ("index", quotes.digest().hex(), 0),
    }
    quotes = without(*today, forwards=[TODAY])
    snapshot = build_snapshot(quotes, POLICY, universe=founding)  # between the index, now, and the monthly forward
    assert carried(snapshot)[f"forward BTC {TODAY}"] == ("interpolated", quotes.digest().hex(), 0)
    assert {found[0] for name, found in carried(snapshot).items() if name in today} == {"stressed"}
    with pytest.raises(InputError, match=f"forward BTC {MONTHLY}: missing in the market, and nothing to take it from"):
        build_snapshot(without(*monthly, forwards=[MONTHLY]), POLICY, universe=founding)
    no_coin = without(assets=[{"name": "USDC", "price": "1", "lot": "0.01"}])
    with pytest.raises(InputError, match="asset BTC: no price in the market"):
        build_snapshot(no_coin, POLICY, universe=founding)
    snapshot = build_snapshot(no_coin, POLICY, universe=founding, earlier=[FIRST])
    assert carried(snapshot) == {"asset BTC": ("last", FIRST.digest().hex(), 3600)}
    old = market(START + 2 * HOUR, expiries=[TODAY, MONTHLY], missing=[NAME, NAME.replace("-C", "-P")])
    rule = universe(missing_quotes=MissingQuotes(methods=("last",)))
    with pytest.raises(InputError, match="none of last gives one"):
        build_snapshot(old, POLICY, universe=rule, earlier=[FIRST])
    with pytest.raises(InputError, match="an earlier market that is newer"):
        build_snapshot(FIRST, POLICY, universe=founding, earlier=[old])


def test_a_settlement_value_may_come_from_an_earlier_market() -> None:
    founding = universe()
    first = market(START + DAY, expiries=[MONTHLY], settled=[TODAY])
    quotes = market(START + DAY + HOUR, expiries=[MONTHLY])
    with pytest.raises(InputError, match="has expired"):
        build_snapshot(quotes, POLICY, universe=founding)
    snapshot = build_snapshot(quotes, POLICY, universe=founding, earlier=[first])
    assert snapshot.marks == build_snapshot(first, POLICY, universe=founding).marks or not snapshot.carried


def test_trust_files_cap_the_age_of_carried_quotes() -> None:
    quotes, founding = without(NAME), universe()
    snapshot = build_snapshot(quotes, POLICY, universe=founding, earlier=[FIRST])  # an hour old
    payload = SnapshotPayload.of(snapshot, series="main", sequence=1)
    for allowed in (3600, 86_400):
        check_carried_age(payload, snapshot, parties.trust(snapshots=[parties.snapshot_rule(max_age_seconds=allowed)]))
    for allowed in (3599, 600):
        with pytest.raises(
            VerificationError, match=f"carries '{NAME}' at a quote that was 3600 s old, at most {allowed}"
        ):
            check_carried_age(
                payload, snapshot, parties.trust(snapshots=[parties.snapshot_rule(max_age_seconds=allowed)])
            )
    # acceptance asks it: nothing else stands between a stale surface and a verdict
    lots = to_lots(Book(positions={NAME: "-1"}, collateral={"USDC": "90000"}), snapshot)
    opening = commit_book(snapshot, lots)
    statement = Statement.of(snapshot, [opening.commitment()], Claim())
    proof, signed = (
        prove(statement, lots, [opening]),
        [parties.signed(Attestation(payload=payload), *parties.ORACLES[:2])],
    )
    policies = [POLICY.digest().hex()]
    now = parse_time(snapshot.time) + 1000
    for allowed, reason in ((600, "carried quotes"), (3600, "commitment attestation")):
        trust = parties.trust(snapshots=[parties.snapshot_rule(max_age_seconds=allowed, policies=policies)])
        with pytest.raises(VerificationError) as caught:
            accept(statement, proof, now_ms=now, trust=trust, attestations=signed)
        assert caught.value.check == reason  # with the age in order, the parts are the next to be missing
