"""Updates: both sides get the same commitment, and nobody else learns what moved."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from support.typed import Keywords, Passed
from support.updating import BOOK, CALL, EXPIRIES, FILLS, NEXT, PUT, changed, hexed, market, snapshot_of

from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.accounts.commitments import commit_vector
from zkmargin.accounts.holder import update_opening
from zkmargin.accounts.openings import fresh_scalars
from zkmargin.accounts.updates import Migration, Update, apply_update
from zkmargin.crypto.commitment import commit_values, lagrange_basis
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.group import add_all, decode_g1, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import Book, BookLots, to_book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.fills import FillLots, Fills, add_fills, fills_to_lots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError, ZkMarginError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify


@dataclass
class Setting:
    """A holder's book and opening, and fills; the venue has the same record."""

    snapshot: Snapshot
    lots: BookLots
    opening: Opening
    fills: FillLots

    @property
    def commitment(self) -> Commitment:
        return self.opening.commitment()


@pytest.fixture(scope="module", params=[16, 64], ids=["two segments", "one segment"])
def setting(request: pytest.FixtureRequest) -> Setting:
    # 16 options and a perpetual: two segments of 15 slots, or one of 63
    snapshot = snapshot_of(market(*EXPIRIES, strikes=(80_000, 90_000, 100_000, 110_000)), request.param)
    lots = to_lots(BOOK, snapshot)
    return Setting(snapshot, lots, commit_book(snapshot, lots, alias="maker"), fills_to_lots(FILLS, snapshot))


# Fills


def test_fills_are_counted_in_lots_and_added(setting: Setting) -> None:
    after = add_fills(setting.lots, setting.fills, setting.snapshot)
    assert to_book(after, setting.snapshot) == Book(
        positions={CALL: "-0.8", PUT: "3", "BTC-2026-03-27-80000-P": "1.1", "BTC-PERP": "0.75"},
        collateral={"USDC": "898765.5", "BTC": "2"},
    )
    assert to_lots(to_book(after, setting.snapshot), setting.snapshot) == after
    only = fills_to_lots(Fills(positions={}), setting.snapshot)
    assert list(only) == ["positions"]
    assert add_fills(setting.lots, only, setting.snapshot) == setting.lots


@pytest.mark.parametrize(
    ("fills", "reason"),
    [
        ({"positions": {"BTC-PREP": "1"}}, "positions.BTC-PREP: no such instrument"),
        ({"positions": {CALL: "0.05"}}, "not a multiple of the lot, 0.1"),
        ({"positions": {CALL: "1e9"}}, "not a decimal number"),
        ({"positions": {CALL: "999999999999"}}, "too large"),
        ({"collateral": {"DOGE": "1"}}, "no such asset"),
        ({}, 'neither "positions" nor "collateral"'),
    ],
)
def test_fills_that_mean_nothing(setting: Setting, fills: dict[str, dict[str, str]], reason: str) -> None:
    text = json.dumps({"format": "zkmargin/fills/v1", **fills}, indent=1)
    with pytest.raises(InputError, match=reason) as caught:
        fills_to_lots(Fills.parse(text, file="fills.json"), setting.snapshot, text, "fills.json")
    assert str(caught.value).startswith("fills.json")


def test_fills_keep_the_bounds(setting: Setting) -> None:
    bits = setting.snapshot.layout.position_bits
    for quantity in ((1 << bits) + 15, 15 - (1 << bits)):  # the book has -15 lots
        with pytest.raises(InputError, match=f"{CALL}: after the fills 2") as caught:
            add_fills(setting.lots, {"positions": one(setting, CALL, quantity)}, setting.snapshot)
        assert str(quantity) not in str(caught.value)
        inside = quantity - 1 if quantity > 0 else quantity + 1
        add_fills(setting.lots, {"positions": one(setting, CALL, inside)}, setting.snapshot)
    with pytest.raises(InputError, match="BTC: negative after the fills"):
        add_fills(
            setting.lots, fills_to_lots(Fills(collateral={"BTC": "-2.00001"}), setting.snapshot), setting.snapshot
        )
    usdc = setting.snapshot.collateral[0]
    with pytest.raises(InputError, match="USDC: after the fills 2"):
        add_fills(setting.lots, {"collateral": (1 << usdc.bits, 0)}, setting.snapshot)


def one(setting: Setting, name: str, lots: int) -> tuple[int, ...]:
    return tuple(lots if slot.id == name else 0 for slot in setting.snapshot.instruments)


def test_fills_show_no_amounts() -> None:
    assert repr(FILLS) == str(FILLS) == "Fills(3 positions, 1 balances)"
    assert Fills.SECRET
    assert Update.SECRET
    assert Migration.SECRET


# Updates


def test_both_sides_get_the_same_commitment_and_it_can_be_proved(setting: Setting) -> None:
    opening, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    applied = apply_update(setting.snapshot, setting.commitment, setting.lots, setting.fills, update)
    assert applied.commitment == opening.commitment()
    after = add_fills(setting.lots, setting.fills, setting.snapshot)
    assert applied.book == after
    for part in opening.parts:
        points = commit_vector(embedded(), opening.domain_size, getattr(after, part.role), part.scalars())
        assert part.points == tuple(point.hex() for point in points)
    proof = prove(Statement.of(setting.snapshot, [opening.commitment()], Claim()), after, [opening])
    verify(Statement.of(setting.snapshot, [applied.commitment], Claim()), proof)
    with pytest.raises(ZkMarginError):
        verify(Statement.of(setting.snapshot, [setting.commitment], Claim()), proof)


def test_updates_follow_each_other(setting: Setting) -> None:
    opening, book, commitment = setting.opening, setting.lots, setting.commitment
    for sign in (1, -1):
        fills = {role: tuple(sign * q for q in lots) for role, lots in setting.fills.items()}
        opening, update = update_opening(setting.snapshot, opening, fills)
        commitment, book = apply_update(setting.snapshot, commitment, book, fills, update)
        assert commitment == opening.commitment()
    assert book == setting.lots
    assert not {p for part in commitment.parts for p in part.points} & {
        p for part in setting.commitment.parts for p in part.points
    }


def test_only_the_roles_of_the_fills_are_renewed(setting: Setting) -> None:
    fills = {"positions": setting.fills["positions"]}
    opening, update = update_opening(setting.snapshot, setting.opening, fills)
    assert [part.role for part in update.parts] == ["positions"]
    before = {part.role: part.points for part in setting.opening.parts}
    after = {part.role: part.points for part in opening.parts}
    assert after["collateral"] == before["collateral"]
    assert all(a != b for a, b in zip(after["positions"], before["positions"], strict=True))
    assert apply_update(setting.snapshot, setting.commitment, setting.lots, fills, update).commitment == (
        opening.commitment()
    )


def test_without_increments_an_observer_finds_the_fill_and_with_them_not(setting: Setting) -> None:
    """An observer who sees both commitments searches all slots for one fill of at most 40 lots."""
    fills = {"positions": one(setting, NEXT, -25)}
    n = setting.snapshot.layout.domain_size
    basis = lagrange_basis(embedded(), Domain.of(n))

    def found(before: tuple[str, ...], after: tuple[str, ...]) -> list[tuple[int, int]]:
        hits = []
        for s, (old, new) in enumerate(zip(before, after, strict=True)):
            difference = decode_g1(bytes.fromhex(new)) - decode_g1(bytes.fromhex(old))
            for row in range(n - 1):
                step, total = basis[row], basis[row] * scalar(-40)
                for lots in range(-40, 41):
                    if lots and total == difference:
                        hits.append((s * (n - 1) + row, lots))
                    total = total + step
        return hits

    slot = [instrument.id for instrument in setting.snapshot.instruments].index(NEXT)
    (part,) = (part for part in setting.opening.parts if part.role == "positions")
    naive = tuple(
        encode_g1(add_all([decode_g1(bytes.fromhex(point)), change])).hex()
        for point, change in zip(part.points, plain_changes(setting, fills["positions"]), strict=True)
    )
    assert found(part.points, naive) == [(slot, -25)]
    opening, update = update_opening(setting.snapshot, setting.opening, fills)
    (renewed,) = (part for part in opening.parts if part.role == "positions")
    assert found(part.points, renewed.points) == []
    # what hides it is the increment alone: with it, the venue gets from one to the other
    n_segments = len(part.points)
    blinding = [commit_values(embedded(), Domain.of(n), [0] * n, dr) for dr in update.parts[0].scalars()]
    unblinded = tuple(
        encode_g1(decode_g1(bytes.fromhex(renewed.points[s])) - blinding[s]).hex() for s in range(n_segments)
    )
    assert found(part.points, unblinded) == [(slot, -25)]


def plain_changes(setting: Setting, lots: tuple[int, ...]) -> list[Passed]:
    n = setting.snapshot.layout.domain_size
    rows = [lots[at : at + n - 1] for at in range(0, len(lots), n - 1)]
    return [commit_values(embedded(), Domain.of(n), [*row, *[0] * (n - len(row))], 0) for row in rows]


def test_an_update_without_fills_looks_like_any_other(setting: Setting) -> None:
    quiet = fills_to_lots(Fills(positions={}, collateral={}), setting.snapshot)
    opening, nothing = update_opening(setting.snapshot, setting.opening, quiet)
    for old, new in zip(setting.opening.parts, opening.parts, strict=True):
        assert all(a != b for a, b in zip(old.points, new.points, strict=True))
    _, something = update_opening(setting.snapshot, setting.opening, setting.fills)
    assert len(nothing.to_bytes()) == len(something.to_bytes())
    applied = apply_update(setting.snapshot, setting.commitment, setting.lots, quiet, nothing)
    assert applied == (opening.commitment(), setting.lots)


def test_increments_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([0, 5, 5, 0, 7, 9])
    monkeypatch.setattr("zkmargin.accounts.openings.random_scalar", lambda: next(drawn))
    assert fresh_scalars(3) == [5, 7, 9]


# What the venue refuses


@pytest.mark.parametrize(
    ("role_fills", "reason"),
    [
        ({"positions": {CALL: "0.7"}}, "positions: the holder's fills are not these"),
        ({"positions": {CALL: "0.7", NEXT: "-2.5", "BTC-2026-03-27-80000-P": "1"}}, "the holder's fills are not these"),
        ({"positions": {CALL: "0.7", NEXT: "-2.5", "BTC-2026-03-27-80000-P": "1.1"}}, None),
    ],
)
def test_the_venue_trusts_its_own_record_of_the_fills(
    setting: Setting, role_fills: Keywords, reason: str | None
) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, {"positions": setting.fills["positions"]})
    fills = fills_to_lots(Fills(**role_fills), setting.snapshot)
    if reason is None:
        apply_update(setting.snapshot, setting.commitment, setting.lots, fills, update)
        return
    with pytest.raises(VerificationError, match=reason) as caught:
        apply_update(setting.snapshot, setting.commitment, setting.lots, fills, update)
    assert caught.value.check == "update"


def test_an_update_holds_for_one_commitment_once(setting: Setting) -> None:
    opening, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    with pytest.raises(VerificationError, match="starts from another commitment"):
        apply_update(setting.snapshot, opening.commitment(), setting.lots, setting.fills, update)
    stranger = commit_book(setting.snapshot, setting.lots, alias="maker").commitment()
    with pytest.raises(VerificationError, match="starts from another commitment"):
        apply_update(setting.snapshot, stranger, setting.lots, setting.fills, update)
    renamed = changed(update, alias="somebody else")
    with pytest.raises(VerificationError, match="starts from another commitment"):
        apply_update(setting.snapshot, setting.commitment, setting.lots, setting.fills, renamed)


def test_the_roles_must_be_those_of_the_fills(setting: Setting) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    only = {"positions": setting.fills["positions"]}
    with pytest.raises(VerificationError, match="of collateral and positions, the fills are of positions"):
        apply_update(setting.snapshot, setting.commitment, setting.lots, only, update)
    twice = update.model_copy(update={"parts": (update.parts[0], update.parts[0])})
    with pytest.raises(VerificationError, match="the update is of positions"):
        apply_update(setting.snapshot, setting.commitment, setting.lots, setting.fills, twice)


@pytest.mark.parametrize(
    ("increment", "reason"),
    [
        ("a" * 96, "a point where a number must be"),
        ("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb", "a point"),
        (hexed(0), "0 hides nothing"),
        (f"{r:064x}", "not a canonical scalar"),
        (f"{r + 1:064x}", "not a canonical scalar"),
        ("f" * 64, "not a canonical scalar"),
        ("12", "not 32 bytes in lower-case hexadecimal"),
        ("zz" * 32, "not 32 bytes in lower-case hexadecimal"),
        (f" {hexed(7)[1:]}", "not 32 bytes in lower-case hexadecimal"),
        (hexed(r - 1).upper(), "not 32 bytes in lower-case hexadecimal"),
    ],
)
def test_an_increment_is_a_number_and_not_zero(setting: Setting, increment: str, reason: str) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    increments = [increment, *update.parts[0].increments[1:]]
    with pytest.raises(InputError, match=reason) as caught:
        changed(update, increments=increments)
    assert re.match(r"step\.json:1: parts\[0\]\.increments\[0\]: |step\.json: parts\.increments: ", str(caught.value))
    assert increment not in str(caught.value)


@pytest.mark.parametrize("field", ["before", "after", "slot_map", "srs"])
def test_29_points_and_digests_of_an_update_have_one_text(setting: Setting, field: str) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    value = getattr(update.parts[0], field, update.srs)
    upper = value.upper() if isinstance(value, str) else [text.upper() for text in value]
    with pytest.raises(InputError, match=rf"{field}(\[0\])?: not (32|48) bytes in lower-case hexadecimal"):
        changed(update, **{field: upper})


def test_29_blinders_of_an_opening_have_one_text(setting: Setting) -> None:
    spaced = [f" {text[1:]}" for text in setting.opening.parts[0].blinders]
    with pytest.raises(InputError, match=r"blinders\[0\]: not 32 bytes in lower-case hexadecimal") as caught:
        changed(setting.opening, blinders=spaced)
    assert spaced[0] not in caught.value.message


def test_increments_are_one_a_segment_and_different(setting: Setting) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    increments = list(update.parts[0].increments)
    for wrong in ([*increments, hexed(3)], increments[:-1]):
        with pytest.raises(InputError, match=r"numbers for|at least 1 item"):
            changed(update, increments=wrong)
    after = list(update.parts[0].after)
    with pytest.raises(InputError, match="does not change the number of segments"):
        changed(update, after=[*after, after[0]])
    if len(increments) > 1:
        with pytest.raises(InputError, match="the same number twice"):
            changed(update, increments=[increments[0]] * len(increments))


def test_an_increment_that_was_changed_leads_elsewhere(setting: Setting) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    other = changed(update, increments=[hexed(11 + s) for s in range(len(update.parts[0].increments))])
    with pytest.raises(VerificationError, match="leads to another commitment"):
        apply_update(setting.snapshot, setting.commitment, setting.lots, setting.fills, other)


def test_the_attested_bound_is_kept(setting: Setting) -> None:
    tight = Commitment(
        **{
            **setting.commitment.model_dump(),
            "parts": tuple(part.model_copy(update={"bits": 5}) for part in setting.commitment.parts),
        }
    )
    fills = {"positions": one(setting, CALL, -17)}  # from -15 lots to -32
    _, update = update_opening(setting.snapshot, setting.opening, fills)
    with pytest.raises(InputError, match=r"positions: a quantity leaves the bound that is attested, 2\^5 lots"):
        apply_update(setting.snapshot, tight, setting.lots, fills, update)


def test_documents_that_do_not_belong_together(setting: Setting) -> None:
    _, update = update_opening(setting.snapshot, setting.opening, setting.fills)
    other = snapshot_of(market(*EXPIRIES), setting.snapshot.layout.domain_size)
    with pytest.raises(InputError):
        apply_update(other, setting.commitment, to_lots(BOOK, other), fills_to_lots(FILLS, other), update)
    with pytest.raises(InputError, match="made for other slots"):
        update_opening(other, setting.opening, fills_to_lots(FILLS, other))
    bigger = snapshot_of(market(*EXPIRIES), 128)
    with pytest.raises(InputError, match="made over"):
        update_opening(bigger, setting.opening, fills_to_lots(FILLS, bigger))
    arguments = (setting.lots, setting.fills)
    with pytest.raises(InputError, match="update: domain_size"):
        apply_update(setting.snapshot, setting.commitment, *arguments, changed(update, domain_size=256))
    with pytest.raises(InputError, match="another structured reference string"):
        apply_update(setting.snapshot, setting.commitment, *arguments, changed(update, srs="00" * 32))
    with pytest.raises(InputError, match="another structured reference string"):
        update_opening(setting.snapshot, changed(setting.opening, srs="00" * 32), setting.fills)
    with pytest.raises(InputError, match="for other slots"):
        apply_update(setting.snapshot, setting.commitment, *arguments, changed(update, slot_map="00" * 32))
    half = commit_book(setting.snapshot, setting.lots, roles=["collateral"], alias="maker")
    with pytest.raises(InputError, match="0 parts of positions where one is needed"):
        update_opening(setting.snapshot, half, setting.fills)
    double = setting.opening.model_copy(update={"parts": (setting.opening.parts[0],) * 2})
    with pytest.raises(InputError, match="2 parts of positions where one is needed"):
        update_opening(setting.snapshot, double, setting.fills)
