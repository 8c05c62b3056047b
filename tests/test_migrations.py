"""Migrations: a settled book moves to the next snapshot, and both sides agree on its commitment."""

from __future__ import annotations

import json

import pytest
from support.typed import Keywords
from support.updating import BOOK, CALL, EXPIRIES, NEXT, PUT, changed, hexed, market, snapshot_of

from zkmargin.accounts import Opening, commit_book
from zkmargin.accounts.holder import migrate_opening, update_opening
from zkmargin.accounts.updates import Migration, apply_migration
from zkmargin.crypto.field import r
from zkmargin.engine.book import Book, BookLots, to_book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.engine.migration import carry_over, lost_slots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

# Migrations


OLD = snapshot_of(market(*EXPIRIES))
SETTLED = Fills(positions={CALL: "1.5", PUT: "-3"}, collateral={"USDC": "-2250"})


#: The January expiry is gone; strikes, a later expiry and an asset are new; lots are finer; rows fewer.
NEW = snapshot_of(
    market("2026-03-27T08:00:00Z", "2026-06-26T08:00:00Z", lot="0.01", assets=("USDT", "BTC", "USDC")), rows=16
)


@pytest.fixture(scope="module")
def settled() -> tuple[BookLots, Opening]:
    """A book whose January positions were settled as fills."""
    lots = to_lots(BOOK, OLD)
    fills = fills_to_lots(SETTLED, OLD)
    opening, _ = update_opening(OLD, commit_book(OLD, lots, alias="maker"), fills)
    return add_fills(lots, fills, OLD), opening


def test_a_settled_book_moves_and_both_sides_agree(settled: tuple[BookLots, Opening]) -> None:
    lots, old = settled
    opening, moved, migration = migrate_opening(OLD, NEW, lots, old)
    same = Book(positions={NEXT: "2.5", "BTC-PERP": "0.75"}, collateral={"USDC": "897750", "BTC": "2"})
    assert to_book(moved, NEW) == to_book(lots, OLD) == same
    applied = apply_migration(OLD, NEW, old.commitment(), lots, migration)
    assert applied.commitment == opening.commitment()
    assert applied.book == moved
    proof = prove(Statement.of(NEW, [opening.commitment()], Claim()), moved, [opening])
    verify(Statement.of(NEW, [applied.commitment], Claim()), proof)
    assert Migration.parse(migration.to_bytes()) == migration


def test_a_position_that_would_be_lost_is_an_error() -> None:
    lots = to_lots(BOOK, OLD)
    opening = commit_book(OLD, lots, alias="maker")
    with pytest.raises(InputError, match=r"open, and not in the next snapshot") as caught:
        migrate_opening(OLD, NEW, lots, opening)
    assert caught.value.field in (f"positions.{CALL}", f"positions.{PUT}")
    assert "settle it first" in str(caught.value.hint)
    assert "1.5" not in f"{caught.value}{caught.value.hint}"
    assert set(lost_slots(OLD, NEW)) == {slot.id for slot in OLD.instruments if "2026-01-30" in slot.id}


@pytest.mark.parametrize(
    ("book", "target", "reason"),
    [
        (Book(collateral={"BTC": "1"}), {"assets": ("USDC",)}, "collateral.BTC: held, and not in the next snapshot"),
        (Book(positions={NEXT: "1"}), {"multiplier": "10"}, "open, and another contract in the next snapshot"),
        (Book(positions={NEXT: "0.3"}), {"lot": "0.2"}, "not a multiple of the next snapshot's lot, 0.2"),
        (Book(positions={NEXT: "90000000"}), {"lot": "0.0001"}, "too large for the next snapshot"),
    ],
)
def test_what_the_next_snapshot_cannot_hold(book: Book, target: Keywords, reason: str) -> None:
    new = snapshot_of(market(*EXPIRIES, **target))
    with pytest.raises(InputError, match=reason):
        carry_over(to_lots(book, OLD), OLD, new)
    carry_over(to_lots(Book(), OLD), OLD, new)


def test_a_debt_that_the_next_policy_forbids() -> None:
    owed = to_lots(Book(collateral={"USDC": "-5"}), OLD)
    data = json.loads(OLD.to_bytes())
    data["collateral"][0]["negative_allowed"] = False
    with pytest.raises(InputError, match="the next policy allows no negative balance"):
        carry_over(owed, OLD, Snapshot.parse(json.dumps(data)))


def test_the_venue_moves_its_own_record(settled: tuple[BookLots, Opening]) -> None:
    lots, old = settled
    _, _, migration = migrate_opening(OLD, NEW, lots, old)
    commitment = old.commitment()
    other = add_fills(lots, fills_to_lots(Fills(positions={NEXT: "0.1"}), OLD), OLD)
    with pytest.raises(VerificationError, match="the holder moved another book than this record"):
        apply_migration(OLD, NEW, commitment, other, migration)
    unsettled = to_lots(BOOK, OLD)
    with pytest.raises(InputError, match="open, and not in the next snapshot"):
        apply_migration(OLD, NEW, commitment, unsettled, migration)
    stranger = commit_book(OLD, lots, alias="maker").commitment()
    with pytest.raises(VerificationError, match="starts from another commitment"):
        apply_migration(OLD, NEW, stranger, lots, migration)
    half = migration.model_copy(update={"parts": migration.parts[:1]})
    with pytest.raises(VerificationError, match="nothing may be left behind"):
        apply_migration(OLD, NEW, commitment, lots, half)
    part = commitment.model_copy(update={"parts": commitment.parts[:1]})
    with pytest.raises(VerificationError, match="nothing may be left behind"):
        apply_migration(OLD, NEW, part, lots, migration)
    one_role = migration.model_copy(
        update={"parts": migration.parts[:1], "slot_maps": {"positions": migration.slot_maps["positions"]}}
    )
    with pytest.raises(InputError, match="the record has collateral, the commitment no part for them"):
        apply_migration(OLD, NEW, part, lots, one_role)
    count = len(migration.parts[0].blinders)
    with pytest.raises(VerificationError, match="moved another book"):
        apply_migration(OLD, NEW, commitment, lots, changed(migration, blinders=[hexed(3 + s) for s in range(count)]))


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ({"srs": "00" * 32}, "migration: srs"),
        ({"domain_size": 32}, "migration: domain_size"),
        ({"slot_maps": {"positions": "00" * 32, "collateral": "00" * 32}}, "for other slots than the new snapshot"),
        ({"blinders": ["a" * 96]}, "a point where a number must be"),
        ({"blinders": [hexed(r - 1).upper()]}, r"blinders\[0\]: not 32 bytes in lower-case hexadecimal"),
        ({"after": ["A" * 96]}, r"after\[0\]: not 48 bytes in lower-case hexadecimal"),
        ({"slot_maps": {"positions": "AB" * 32}}, r"slot_maps\.positions: not 32 bytes in lower-case hexadecimal"),
        ({"blinders": [hexed(0)]}, "0 hides nothing"),
        ({"blinders": [hexed(1), hexed(2), hexed(3)]}, "numbers for"),
        ({"blinders": [hexed(1), hexed(2)], "after": ["a" * 96, "b" * 96]}, "2 segments, the new snapshot has 1"),
    ],
)
def test_migrations_that_are_refused(
    settled: tuple[BookLots, Opening], edits: dict[str, dict[str, str] | int | str], reason: str
) -> None:
    lots, old = settled
    _, _, migration = migrate_opening(OLD, NEW, lots, old)
    with pytest.raises(InputError, match=reason):
        apply_migration(OLD, NEW, old.commitment(), lots, changed(migration, **edits))


def test_the_holder_gives_the_book_that_was_committed(settled: tuple[BookLots, Opening]) -> None:
    lots, old = settled
    other = add_fills(lots, fills_to_lots(Fills(positions={NEXT: "0.1"}), OLD), OLD)
    with pytest.raises(InputError, match="the opening is not of this book"):
        migrate_opening(OLD, NEW, other, old)
    positions = old.model_copy(update={"parts": old.parts[:1]})
    with pytest.raises(InputError, match="the book has collateral, the opening no part for them"):
        migrate_opening(OLD, NEW, lots, positions)
    alone = BookLots(lots.positions, (0,) * len(lots.collateral))
    opening, moved, migration = migrate_opening(OLD, NEW, alone, positions)
    applied = apply_migration(OLD, NEW, positions.commitment(), alone, migration)
    assert (applied.commitment, applied.book) == (opening.commitment(), moved)
    with pytest.raises(InputError, match="made for other slots"):
        migrate_opening(snapshot_of(market(EXPIRIES[1])), NEW, to_lots(Book(), snapshot_of(market(EXPIRIES[1]))), old)
