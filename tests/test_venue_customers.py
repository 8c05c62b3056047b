"""Customers of a venue: notes, openings and what their checks refuse."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from py_arkworks_bls12381 import G2Point
from support import lab, parties, venue_lab
from support.typed import Keywords, Passed

from zkmargin.crypto.field import r
from zkmargin.crypto.g2_powers import EXPONENTS, check_g2_power, g2_power
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import embedded
from zkmargin.formats import SetupError, VerificationError
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.prover.venue.witness import unhealthy
from zkmargin.verifier.venue.customers import CheckedAccount, VenueNote, check_note, place_of, record_of, tag_of
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement


class Desk:
    """A venue of two classes, its proof and its notes."""

    def __init__(self, small: Sequence[venue_lab.Account] = venue_lab.SMALL, **options: Passed) -> None:
        big = venue_lab.spec("big", accounts=20, legs=3, slots=1, block=2, claim="5/4")
        accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 20
        self.lab, self.venue_lab, self.small = lab, venue_lab, small
        self.venue = venue_lab.Venue([(venue_lab.spec(), small), (big, accounts)], **(options or {"exempt": 1}))
        proof = decode_venue_proof(self.venue.prove(), self.venue.statement)
        self.maker = NoteMaker(
            self.venue.statement, proof, self.venue.witness(), venue_lab.blinders(), venue_lab.tau_power
        )
        self.record = record_of(self.venue.statement, proof)

    def name(self, account: int) -> str:
        return f"small {account}" if account < 3 else f"big {account - 3}"

    def note(self, account: int) -> VenueNote:
        name = self.name(account)
        return self.maker.note(account, name, self.venue_lab.nonce(name))

    def book(self, account: int) -> Keywords:
        if account >= 3:
            return {"positions": {0: 1, 1: 1, 4: -1}, "balances": (3000, 4)}
        slots, balances = self.small[account]
        return {"positions": {i: q for _, legs in slots for i, q in legs}, "balances": balances}

    def check(self, account: int, **changes: Passed) -> CheckedAccount:
        place = place_of(self.venue.statement, account)
        B = self.venue.statement.templates[place.column_set.kind].spec.block
        given: Keywords = {
            "record": self.record,
            "note": self.note(account),
            "name": self.name(account),
            "nonce": self.venue_lab.nonce(self.name(account)),
            "tau_power": self.venue_lab.tau_power(B),
            **self.book(account),
        } | changes
        return check_note(self.venue.statement, given.pop("record"), given.pop("note"), **given)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("account", [0, 1, 2, 3, 11, 22])
def test_every_customer_finds_its_book(desk: Desk, account: int) -> None:
    checked = desk.check(account)
    assert (checked.account, checked.class_name) == (account, "small" if account < 3 else "big")
    assert checked.claim == ("1" if account < 3 else "5/4")
    assert checked.exempt == (account == 0)
    assert (checked.exempt_accounts, checked.cap, checked.shortfall) == (1, None, None)


def test_under_a_cap_a_customer_learns_it_and_its_own_shortfall() -> None:
    poor = (venue_lab.SMALL[0], (venue_lab.SMALL[1][0], (3, 3)), venue_lab.SMALL[2])
    desk = Desk(poor, cap=10**10)
    (one,) = unhealthy(desk.venue.statement, desk.venue.books)
    assert (one.account, one.shortfall > 0) == (1, True)
    for account, shortfall in ((0, 0), (1, one.shortfall), (5, 0)):
        checked = desk.check(account)
        assert (checked.exempt, checked.exempt_accounts, checked.cap) == (False, None, 10**10)
        assert checked.shortfall == shortfall


def test_a_note_is_a_secret_document_that_reads_back(desk: Desk) -> None:
    note = desk.note(4)
    assert VenueNote.SECRET
    assert VenueNote.parse(note.to_bytes()) == note
    assert note.nonce not in repr(note)


def test_v4_another_book_name_nonce_or_record_is_refused(desk: Desk) -> None:
    for changes, check in (
        ({"positions": {0: 1, 1: 1, 4: -2}}, "book"),
        ({"positions": {0: 1, 1: 1}}, "book"),
        ({"balances": (3000, 5)}, "book"),
        ({"balances": (3000,)}, "book"),
        ({"balances": ()}, "book"),
        ({"balances": (3000, 4, 0)}, "book"),
        ({"name": "big 4"}, "name"),
        ({"nonce": bytes(16)}, "nonce"),
        ({"record": desk.record.model_copy(update={"proof": "00" * 32})}, "proof"),
        ({"record": desk.record.model_copy(update={"root": "00" * 32})}, "path"),
        ({"record": desk.record.model_copy(update={"accounts": 24})}, "accounts"),
        ({"note": desk.note(6)}, "name"),
    ):
        with pytest.raises(VerificationError) as caught:
            desk.check(5, **changes)
        assert caught.value.check == check, changes


def test_v4_one_row_never_serves_two_customers(desk: Desk) -> None:
    """The venue shows customer 6 the block of customer 5, whose book is the same."""
    name = desk.name(6)
    nonce = desk.venue_lab.nonce(name)
    with pytest.raises(VerificationError) as caught:
        desk.check(6, note=desk.maker.note(5, name, nonce))
    assert caught.value.check == "tag"


def changed(note: VenueNote, **changes: Passed) -> VenueNote:
    return note.model_copy(update={"block": note.block.model_copy(update=changes)})


def test_v4_every_part_of_an_opening_is_bound(desk: Desk) -> None:
    note, other = desk.note(5), desk.note(6)
    block = note.block
    for place, column in enumerate(block.cells):
        for b, cell in enumerate(column):
            cells = [list(row) for row in block.cells]
            cells[place][b] = str((int(cell) + 1) % r)
            with pytest.raises(VerificationError) as caught:
                desk.check(5, note=changed(note, cells=tuple(map(tuple, cells))))
            assert caught.value.check == "opening"
    for changes, check in (
        ({"opening": other.block.opening}, "opening"),
        ({"points": (block.points[1], block.points[0], *block.points[2:])}, "path"),
        ({"path": block.path[:-1]}, "path"),
        ({"path": (*block.path, "00" * 32)}, "path"),
        ({"path": ("00" * 32, *block.path[1:])}, "path"),
        ({"cells": block.cells[:-1]}, "opening"),
        ({"cells": tuple((*column, "0") for column in block.cells)}, "opening"),
        ({"cells": ((str(r), *block.cells[0][1:]), *block.cells[1:])}, "opening"),
        ({"opening": "c0" + "00" * 47}, "opening"),
    ):
        with pytest.raises(VerificationError) as caught:
            desk.check(5, note=changed(note, **changes))
        assert caught.value.check == check, list(changes)
    with pytest.raises(VerificationError) as caught:
        desk.check(5, note=note.model_copy(update={"account": 6}))
    assert caught.value.check == "opening"


def test_places_are_found_and_not_searched(desk: Desk) -> None:
    """A venue makes a million notes: each finds its set among thousands by halving."""
    statement, looks = desk.venue.statement, 0
    sets = [ColumnSet(x, 0, x, 16, 0, 0, 16 * x) for x in range(1 << 14)]

    class Counted(list[ColumnSet]):
        def __getitem__(self, key: Passed) -> Passed:
            nonlocal looks
            looks += 1
            return super().__getitem__(key)

        def __iter__(self) -> Passed:
            raise AssertionError("walked through")

    large = SimpleNamespace(accounts=1 << 18, sets=Counted(sets))
    for account in (0, 15, 16, 100_000, (1 << 18) - 1):
        place = place_of(cast(VenueStatement, large), account)
        assert (place.column_set.index, place.block) == divmod(account, 16)
    assert looks <= 5 * 20
    every = [place_of(statement, account) for account in range(23)]
    assert [(p.column_set.index, p.block) for p in every] == [
        (x.index, t) for x in statement.sets for t in range(x.used)
    ]


def test_accounts_beyond_the_count_have_no_place(desk: Desk) -> None:
    for account in (-1, 23, 10**9):
        with pytest.raises(VerificationError, match="the statement has 23"):
            place_of(desk.venue.statement, account)


def test_a_wrong_signature_is_refused_and_a_right_one_named(desk: Desk) -> None:
    note = desk.note(5).signed(parties.signer("venue"))
    assert desk.check(5, note=note).signers == (parties.signer("venue").public.public_key,)
    forged = note.model_copy(update={"signatures": desk.note(6).signed(parties.signer("venue")).signatures})
    with pytest.raises(VerificationError) as caught:
        desk.check(5, note=forged)
    assert caught.value.check == "signature"


def test_a_wrong_power_in_g2_is_refused(desk: Desk) -> None:
    with pytest.raises(SetupError):
        desk.check(5, tau_power=G2Point() * scalar(pow(desk.lab.TAU, 4, r)))


def test_tags_depend_on_statement_name_and_nonce() -> None:
    tag = tag_of(bytes(32), "a", bytes(16))
    assert 0 <= tag < r
    assert tag not in {
        tag_of(b"\1" * 32, "a", bytes(16)),
        tag_of(bytes(32), "b", bytes(16)),
        tag_of(bytes(32), "a", b"\1" * 16),
    }
    with pytest.raises(ValueError, match="16 bytes"):
        tag_of(bytes(32), "a", b"")


def test_the_ceremony_s_powers_in_g2_fit_its_setup() -> None:
    for exponent in (1, *EXPONENTS):
        check_g2_power(embedded(), exponent, g2_power(embedded(), exponent))
    with pytest.raises(SetupError):
        check_g2_power(embedded(), 4, g2_power(embedded(), 8))
    with pytest.raises(SetupError, match="not known here"):
        g2_power(lab.known_tau(), 8)
    assert g2_power(lab.known_tau(), 1) == lab.known_tau().g2_tau
