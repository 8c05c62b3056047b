"""A universe keeps its slots: commitments live on through listings, expiries and delistings."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support import lab
from support.typed import JsonObject
from support.weeks import (
    DAY,
    FIRST,
    HOUR,
    MONTHLY,
    NAME,
    POLICY,
    START,
    STRIKES,
    TODAY,
    TOMORROW,
    daily,
    market,
    retired_world,
    universe,
)

from zkmargin.accounts import commit_book
from zkmargin.accounts.holder import migrate_opening, update_opening
from zkmargin.accounts.slots import slot_map_digest, slot_maps
from zkmargin.accounts.updates import apply_migration, apply_update
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import System
from zkmargin.circuits.language.witness import assign, check
from zkmargin.cli import main
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.market import Market
from zkmargin.engine.migration import carry_over
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Capacity, Listing, Universe
from zkmargin.formats import ConstraintError, InputError, IntArray, VerificationError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify


@pytest.fixture(scope="module")
def second() -> ModuleType:
    return importlib.import_module("second_verifier")


# --- a week -------------------------------------------------------------------------------------------------


def test_a_week_of_proofs_from_one_commitment(second: ModuleType) -> None:
    """Twice a day: listings, expiries, delistings and missing quotes. The commitment changes where the book does."""
    current = universe(delist_after_seconds=4 * 3600)
    held = f"BTC-{TODAY[:10]}-100000-P"
    book = Book(
        positions={"BTC-PERP": "1.5", NAME: "-4", f"BTC-{MONTHLY[:10]}-80000-C": "2", held: "-1"},
        collateral={"USDC": "150000", "BTC": "1"},
    )
    snapshot = build_snapshot(FIRST, POLICY, universe=current)
    opening, lots = commit_book(snapshot, to_lots(book, snapshot)), to_lots(book, snapshot)
    first, commitments, proved, methods, editions = opening.commitment(), [opening.commitment()], 0, set(), [current]
    before, settled_since = FIRST, False
    for step in range(14):
        now = START + step * 12 * HOUR
        expiries = [daily(now), daily(now + DAY), MONTHLY]
        gone = [daily(now - DAY)] if step else []
        missing = [f"BTC-{MONTHLY[:10]}-90000-P", f"BTC-{MONTHLY[:10]}-{STRIKES[step % 3]}-C"]
        quotes = market(now, expiries=expiries, settled=gone, missing=missing, index=90_000 + 150 * step)
        if (
            step == 2
        ):  # it has expired: the held put is settled in cash before its slot is retired: the book changes, by a fill
            snapshot = build_snapshot(quotes, POLICY, universe=current, earlier=[before])
            place = [slot.id for slot in snapshot.instruments].index(held)
            assert lots.positions[place] == -10
            assert snapshot.marks.values[place] == 970 * 10**9  # (100000 - 90300) / 10
            fills = Fills.model_validate({"positions": {held: "1"}, "collateral": {"USDC": "-9700"}})
            counted = fills_to_lots(fills, snapshot)
            opening, update = update_opening(snapshot, opening, counted)
            applied = apply_update(snapshot, commitments[-1], lots, counted, update)
            assert applied.commitment == opening.commitment()
            lots, settled_since = applied.book, True
            commitments.append(applied.commitment)
        try:
            current = current.updated(quotes)
            current.follows(editions[-1])
            editions.append(current)
        except InputError as error:
            assert "nothing to list" in error.reason  # noqa: PT017 - most half days bring nothing new
        snapshot = build_snapshot(quotes, POLICY, universe=current, earlier=[before])
        check_snapshot(snapshot, quotes, universe=current, earlier=[before])
        methods |= {(quote.method) for quote in snapshot.carried}
        # the same book: new slots behind the old ones hold nothing
        lots = BookLots((*lots.positions, *[0] * (len(snapshot.instruments) - len(lots.positions))), lots.collateral)
        context = f"half day {step}".encode()
        statement = Statement.of(snapshot, [opening.commitment()], Claim(1, 1), context=context)
        proof = prove(statement, lots, [opening])
        verify(statement, proof)
        if step == 13:
            documents = [snapshot.to_bytes(), [opening.commitment().to_bytes()], "1", proof]
            assert second.verify(*documents, context=context) == verify(statement, proof).statement_digest
        proved += 1
        before = quotes
    assert proved == 14
    assert len(commitments) == 2  # the founding one, and the one fill
    assert settled_since
    assert len(editions) > 6
    assert {"last"} <= methods
    retired = [slot.id for slot in current.instruments if slot.retired is not None]
    assert len(retired) >= 5 * 6
    assert snapshot.retired_slots("positions")
    assert build_circuit(snapshot, Claim()).position_segments == 4  # 60 slots of room, 15 a segment
    # the founding commitment still has a place in the chain of slot maps
    for part in first.parts:
        assert bytes.fromhex(part.slot_map) in slot_maps(snapshot, part.role)
        if part.role == "positions":
            assert part.slot_map != slot_map_digest(snapshot, part.role).hex()


# --- slots --------------------------------------------------------------------------------------------------


def test_listings_take_spare_slots_and_change_no_other() -> None:
    founding = universe()
    later = market(START + DAY, expiries=[TOMORROW, MONTHLY], settled=[TODAY])
    after = founding.updated(later)
    after.follows(founding)
    assert after.instruments[: len(founding.instruments)] == tuple(
        slot if slot.expiry != TODAY else slot.replaced(retired=1) for slot in founding.instruments
    )
    assert [slot.expiry for slot in after.instruments[len(founding.instruments) :]] == [TOMORROW] * 6
    assert (after.edition, after.previous) == (1, founding.digest().hex())
    assert Universe.parse(after.to_bytes()) == after
    old, new = (build_snapshot(m, POLICY, universe=u) for m, u in ((FIRST, founding), (later, after)))
    for role in ("positions", "collateral"):
        chain = slot_maps(new, role)
        assert chain[: len(slot_maps(old, role))] == slot_maps(old, role)
    assert len(slot_maps(new, "positions")) == 2
    assert slot_maps(new, "collateral") == slot_maps(old, "collateral")


TERMS = {
    "underlying": "ETH",
    "expiry": "2026-03-28T08:00:00Z",
    "strike": "45000",
    "option_type": "put",
    "multiplier": "2",
    "settlement": "inverse",
    "lot": "0.2",
    "kind": None,
    "id": "OTHER",
}


@pytest.mark.parametrize("term", TERMS)
def test_slot_maps_bind_every_term_of_a_contract(term: str) -> None:
    """A call turned into a put at half the strike had the same slot map in version 1."""
    data = FIRST.to_json()
    data["underlyings"].append({"name": "ETH", "index_price": "3000"})
    data["forwards"].append({"underlying": "ETH", "expiry": MONTHLY, "price": "3000"})
    data["forwards"].append({"underlying": "BTC", "expiry": TERMS["expiry"], "price": "90000"})
    data["instruments"].append({"id": "ETH-PERP", "kind": "perpetual", "underlying": "ETH", "lot": "1"})
    base = build_snapshot(Market.parse(json.dumps(data)), POLICY)
    place = next(k for k, i in enumerate(data["instruments"]) if i["id"] == NAME)
    changed: JsonObject = {term: TERMS[term]}
    if term == "kind":
        gone = {"strike": None, "option_type": None, "implied_vol": None}
        changed = {"kind": "future", **gone}
    data["instruments"][place] |= changed
    other = build_snapshot(Market.parse(json.dumps(data)), POLICY)
    assert slot_map_digest(other, "positions") != slot_map_digest(base, "positions")
    opening = commit_book(base, BookLots((0,) * len(base.instruments), (0, 0)))
    with pytest.raises(InputError, match=r"made for other slots") as caught:
        Statement.of(other, [opening.commitment()], Claim())
    assert "migrate" in (caught.value.hint or "")
    weak = [build_snapshot(Market.parse(json.dumps(d)), POLICY, version=1) for d in (FIRST.to_json(), FIRST.to_json())]
    assert slot_map_digest(weak[0], "positions") == slot_map_digest(weak[1], "positions")


def test_an_old_commitment_holds_nothing_in_other_universes() -> None:
    founding = universe()
    later = market(START + DAY, expiries=[TOMORROW, MONTHLY], settled=[TODAY])
    other = market(START + DAY, expiries=["2026-04-03T08:00:00Z", MONTHLY], settled=[TODAY])
    one, two = (build_snapshot(m, POLICY, universe=founding.updated(m)) for m in (later, other))
    opening = commit_book(one, to_lots(Book(positions={f"BTC-{TOMORROW[:10]}-90000-C": "1"}), one))
    Statement.of(one, [opening.commitment()], Claim())
    with pytest.raises(InputError, match="made for other slots"):
        Statement.of(two, [opening.commitment()], Claim())


# --- what is retired ----------------------------------------------------------------------------------------


def test_no_book_holds_what_is_retired() -> None:
    after, snapshot, slot = retired_world()
    name = snapshot.instruments[slot].id
    assert after.instruments[slot].retired == 1
    assert (snapshot.marks.values[slot], snapshot.deltas.values[slot]) == (0, 0)
    with pytest.raises(InputError, match=r"positions\.BTC-.*: retired: it was delisted") as caught:
        to_lots(Book(positions={name: "1"}), snapshot)
    assert "settle it first" in (caught.value.hint or "")
    to_lots(Book(positions={name: "0"}), snapshot)
    stale = [0] * len(snapshot.instruments)
    stale[slot] = 5
    lots = BookLots(tuple(stale), (10**9, 0))
    circuit = build_circuit(snapshot, Claim())
    loose = replace(circuit, retired=((), ()))
    with pytest.raises(ConstraintError, match=f"positions slot {slot} is retired"):
        check(circuit, assign(loose, lots.positions, lots.collateral))
    opening = commit_book(snapshot, lots)
    with pytest.raises(ConstraintError, match="is retired"):
        prove(Statement.of(snapshot, [opening.commitment()], Claim()), lots, [opening])


@pytest.mark.parametrize("role", ["positions", "collateral"])
def test_a_stale_position_is_kept_out_by_the_selector_alone(role: str) -> None:
    """The same prover, without any check, is accepted by the circuit that does not retire the slot."""
    system = lab.margin_like(assets=((8, True), (4, False), (4, False)))
    system.rows = {kind: [row * np.array([1, 1, 0, 1, 1, 1]) for row in rows] for kind, rows in system.rows.items()}
    positions, collateral = [1, -2, 3, 3, -1, 2], [200, 3, 2]
    if role == "collateral":
        positions[2] = 0
    for retired, accepted in (((), True), ((2,), False)):
        circuit = build_system(system, 3, ((retired, ()) if role == "positions" else ((), retired)))
        given = lab.state(circuit, assign(replace(circuit, retired=((), ())), positions, collateral))
        data = lab.encode(given, lab.cheat(given))
        if accepted:
            verify(given.statement.as_statement(), data)
        else:
            with pytest.raises(VerificationError):
                verify(given.statement.as_statement(), data)
    # an honest book, with nothing there, is proved under the retiring circuit
    positions[2], collateral[2] = 0, 0
    given = lab.state(circuit, assign(circuit, positions, collateral))
    verify(given.statement.as_statement(), lab.prove(given))


def build_system(system: System, assets: int, retired: tuple[tuple[int, ...], tuple[int, ...]]) -> Circuit:
    from zkmargin.circuits.language.circuit import Circuit

    return Circuit.freeze(system, assets, retired=retired)


def test_a_retired_slot_is_never_used_again() -> None:
    after, snapshot, slot = retired_world()
    data = market(START + 2 * DAY, expiries=[TOMORROW, MONTHLY], settled=[TODAY]).to_json()
    name = snapshot.instruments[slot].id
    again = [
        {**i, "expiry": MONTHLY, "implied_vol": "0.5", "settlement_value": None} if i["id"] == name else i
        for i in data["instruments"]
    ]
    with pytest.raises(InputError, match=r"another expiry in the market|never used again"):
        after.updated(Market.parse(json.dumps(data | {"instruments": again})))
    copied = after.instruments[slot].replaced(retired=None)
    for change, reason in (
        ({"instruments": (*after.instruments[:slot], copied, *after.instruments[slot + 1 :])}, "has changed"),
        ({"instruments": after.instruments[:-1]}, "a slot is gone"),
        ({"instruments": (after.instruments[1], after.instruments[0], *after.instruments[2:])}, "has changed"),
        ({"capacity": Capacity(positions=61, collateral=6)}, "another universe"),
        ({"name": "other"}, "another universe"),
        ({"previous": "11" * 32}, "not the digest of the edition before"),
        ({"time": "2026-01-01T00:00:00Z"}, "before the time"),
    ):
        moved = {"edition": 2, "previous": after.digest().hex()} | change
        with pytest.raises(InputError, match=reason):
            after.replaced(**moved).follows(after)
    extra = Listing(id="X", kind="perpetual", underlying="BTC", lot="1", listed=1)
    late = after.replaced(edition=2, previous=after.digest().hex(), instruments=(*after.instruments, extra))
    with pytest.raises(InputError, match="a new slot of an edition before"):
        late.follows(after)
    with pytest.raises(InputError, match="does not come after"):
        after.follows(after)


def test_what_a_universe_refuses() -> None:
    founding = universe()
    with pytest.raises(InputError, match="a name appears twice"):
        founding.replaced(instruments=(*founding.instruments, founding.instruments[0]))
    with pytest.raises(InputError, match="more than the capacity"):
        founding.replaced(capacity=Capacity(positions=5, collateral=6))
    with pytest.raises(InputError, match="a slot of edition 3 in edition 0"):
        founding.replaced(instruments=(*founding.instruments[:-1], founding.instruments[-1].replaced(retired=3)))
    with pytest.raises(InputError, match="retired before it was listed"):
        founding.instruments[0].replaced(listed=2, retired=2)
    with pytest.raises(InputError, match="every option needs one"):
        founding.instruments[1].replaced(strike=None)
    with pytest.raises(InputError, match="nothing to list and nothing to retire"):
        founding.updated(FIRST)
    with pytest.raises(InputError, match="not in the universe"):
        founding.updated(FIRST, retire=["NOPE"])
    with pytest.raises(InputError, match="is carried until"):
        founding.updated(FIRST, retire=[NAME])
    assert founding.updated(FIRST, retire=["BTC-PERP", "BTC"]).instruments[0].retired == 1
    crowded = market(START, expiries=[daily(START + k * DAY) for k in range(1, 12)])
    with pytest.raises(InputError, match="and room for") as caught:
        founding.updated(crowded)
    assert "migrate" in (caught.value.hint or "")
    with pytest.raises(InputError, match="newer than the market"):
        build_snapshot(market(START - HOUR, expiries=[TODAY, MONTHLY]), POLICY, universe=founding)
    data = FIRST.to_json()
    data["instruments"][1] |= {"strike": "81000"}
    with pytest.raises(InputError, match="another strike in the market than in the universe"):
        build_snapshot(Market.parse(json.dumps(data)), POLICY, universe=founding)
    with pytest.raises(InputError, match="there is none"):
        build_snapshot(FIRST, POLICY, earlier=[FIRST])


# --- migration, documents, command line ---------------------------------------------------------------------


def test_migrate_leads_to_the_next_universe() -> None:
    after, snapshot, _slot = retired_world()
    later = market(START + DAY + HOUR, expiries=[TOMORROW, MONTHLY])
    fresh = Universe.create(later, "next", capacity=Capacity(positions=30, collateral=6))
    new = build_snapshot(later, POLICY, universe=fresh)
    lots = to_lots(Book(positions={NAME: "-2", "BTC-PERP": "3"}, collateral={"USDC": "5000"}), snapshot)
    opening = commit_book(snapshot, lots)
    moved, after_lots, migration = migrate_opening(snapshot, new, lots, opening)
    applied = apply_migration(snapshot, new, opening.commitment(), lots, migration)
    assert applied.commitment == moved.commitment()
    assert applied.book == after_lots == carry_over(lots, snapshot, new)
    assert len(moved.parts[0].points) == new.segments("positions") == 2
    assert after.capacity.positions == 60


def test_old_snapshots_have_no_universe() -> None:
    old = build_snapshot(FIRST, POLICY, version=1)
    assert old.format == "zkmargin/snapshot/v1"
    text = json.loads(old.to_bytes())
    for key in ("universe", "carried"):
        assert key not in text
        with pytest.raises(InputError, match="unknown key"):
            Snapshot.parse(json.dumps(text | {key: None if key == "universe" else []}))
    assert "listed" not in text["instruments"][0]
    check_snapshot(Snapshot.parse(old.to_bytes()), FIRST)
    with pytest.raises(InputError, match="version 2 or later"):
        build_snapshot(FIRST, POLICY, universe=universe(), version=1)
    new = json.loads(build_snapshot(FIRST, POLICY, universe=universe()).to_bytes())
    for change, reason in (
        ({"universe": None}, "belong to a universe"),
        ({"layout": new["layout"] | {"position_capacity": 3}}, "more than the universe's capacity"),
        ({"instruments": [new["instruments"][0] | {"listed": 1}, *new["instruments"][1:]]}, "earlier listing behind"),
        ({"instruments": [*new["instruments"][:-1], new["instruments"][-1] | {"retired": True}]}, "a retired slot"),
    ):
        with pytest.raises(InputError, match=reason):
            Snapshot.parse(json.dumps(new | change))


def test_a_retired_row_has_no_part_in_any_array() -> None:
    _, snapshot, slot = retired_world()
    data = json.loads(snapshot.to_bytes())
    grid = snapshot.components[0]
    assert isinstance(grid, PublishedWorstScenario)
    risk = grid.risk.values.copy()
    risk[slot, 0] = -1
    data["components"][0]["risk"] = IntArray(risk).to_json()
    with pytest.raises(InputError, match=r"worst_scenario\.risk: a retired slot has no part in it"):
        Snapshot.parse(json.dumps(data))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        assert main([str(a) for a in arguments]) == code, capsys.readouterr().err
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    path = {
        name: str(tmp_path / f"{name}.json") for name in ("m0", "m1", "u0", "u1", "s0", "s1", "p", "b", "c", "o", "x")
    }
    later = market(START + DAY, expiries=[TOMORROW, MONTHLY], settled=[TODAY], missing=[NAME])
    Path(path["m0"]).write_bytes(FIRST.to_bytes())
    Path(path["m1"]).write_bytes(later.to_bytes())
    Path(path["p"]).write_bytes(POLICY.to_bytes())
    out = run("universe", "create", path["m0"], "--name", "week", "--capacity", "60", "--assets", "6",
              "--delist-after", "30m", "--max-quote-age", "2d", "-o", path["u0"])  # fmt: skip
    assert "13 instruments" in out
    run("snapshot", "build", path["m0"], "--policy", path["p"], "--universe", path["u0"], "-o", path["s0"])
    Path(path["b"]).write_text(
        json.dumps({"format": "zkmargin/book/v1", "positions": {NAME: "-1"}, "collateral": {"USDC": "90000"}})
    )
    run("commit", path["b"], "--snapshot", path["s0"], "-o", path["c"], "--opening", path["o"])
    out = run("universe", "update", path["u0"], path["m1"], "-o", path["u1"], "--json")
    facts = json.loads(out)
    assert (facts["edition"], len(facts["listed"]), len(facts["retired"])) == (1, 6, 6)
    assert "follows" in run("universe", "check", path["u1"], "--after", path["u0"])
    assert "does not come after" in run("universe", "check", path["u0"], "--after", path["u1"], code=2)
    out = run("snapshot", "build", path["m1"], "--policy", path["p"], "--universe", path["u1"], "--last", path["m0"],
              "-o", path["s1"])  # fmt: skip
    assert "carried" in out
    run("snapshot", "check", path["s1"], path["m1"], "--universe", path["u1"], "--last", path["m0"])
    assert "and none is given" in run("snapshot", "check", path["s1"], path["m1"], code=2)
    proof = str(tmp_path / "proof.bin")
    run("prove", "--book", path["b"], "--snapshot", path["s1"], "--opening", path["o"], "--context", "t", "-o", proof)
    said = run("verify", "--snapshot", path["s1"], "--commitment", path["c"], "--context", "t", proof)
    assert f"1 price carried without a quote in its market, the oldest of {NAME}: last, 86400 s old" in said
    shown = run("universe", "show", path["u1"])
    assert "edition 1" in shown
    assert "retired" in shown
    assert "universe" in run("inspect", path["u1"])
    assert "belongs to a universe" in run("snapshot", "build", path["m0"], "--policy", path["p"], "--last", path["m0"],
                                          "-o", path["x"], code=2)  # fmt: skip
