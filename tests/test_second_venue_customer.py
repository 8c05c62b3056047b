"""A second check of customers' notes, from the protocol text alone, gives the product's verdicts."""

import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G2Point
from support import lab, venue_lab, venue_policies
from support.typed import Keywords, Passed, Unchecked
from support.venue_lab import Venue

from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import scalar
from zkmargin.formats import VerificationError
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord, check_note, place_of, tag_of
from zkmargin.verifier.venue.proof import decode_venue_proof

GOLDEN = Path(__file__).parent / "data" / "golden" / "v1" / "venue"


@pytest.fixture(scope="module")
def second() -> Unchecked:
    return import_module("second_venue_customer")


class Desk:
    """A venue, its record, and both checks of a note."""

    def __init__(self, second: Unchecked, venue: Venue, record: VenueRecord, folder: Path) -> None:
        self.second, self.venue, self.record = second, venue, record
        self.setup = folder / "setup.srs"
        self.setup.write_bytes(venue.srs.encoding)
        commitments = [opening.commitment().to_bytes() for opening in venue.openings]
        self.documents = venue.snapshot.to_bytes(), venue.statement.terms.to_bytes(), commitments

    def ours(self, note: VenueNote, name: str, book: tuple[dict[int, int], Sequence[int]], record: VenueRecord) -> bool:
        B = self.venue.statement.templates[place_of(self.venue.statement, note.account).column_set.kind].spec.block
        power = G2Point() * scalar(pow(lab.TAU, B, r))
        given: Keywords = {"name": name, "nonce": venue_lab.nonce(name), "positions": book[0], "balances": book[1]}
        return check_note(self.venue.statement, record, note, tau_power=power, **given).exempt

    def theirs(
        self, note: VenueNote, name: str, book: tuple[dict[int, int], Sequence[int]], record: VenueRecord
    ) -> bool:
        x = self.second.place_of(self.second.Venue(*map(json.loads, self.documents[:2])), note.account)
        power = self.second.curve.multiply(self.second.curve.G2, pow(lab.TAU, x[1].B, r))
        given: Keywords = {"name": name, "nonce": venue_lab.nonce(name), "positions": book[0], "balances": book[1]}
        documents = json.loads(record.to_bytes()), json.loads(note.to_bytes())
        found: bool = self.second.check(self.documents, *documents, setup=self.setup, tau_power=power, **given)
        return found

    def both_refuse(
        self, note: VenueNote, name: str, book: tuple[dict[int, int], Sequence[int]], record: VenueRecord | None = None
    ) -> None:
        for check, error in ((self.ours, VerificationError), (self.theirs, self.second.second.Rejected)):
            with pytest.raises(error):
                check(note, name, book, record or self.record)


def book_of(account: Unchecked) -> tuple[dict[int, int], Sequence[int]]:
    slots, balances = account
    found: dict[int, int] = {}
    for _, legs in slots:
        for i, q in legs:
            found[i] = found.get(i, 0) + q
    return {i: q for i, q in found.items() if q}, balances


@pytest.fixture(scope="module")
def golden(second: Unchecked, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The venue of the golden files, tests/test_venue_golden.py: nothing is proved here."""
    big = venue_lab.spec("big", accounts=5, legs=3, slots=1, block=2, claim="5/4")
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 5
    venue = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (big, accounts)], totals=True, exempt=1)
    record = VenueRecord.parse((GOLDEN / "record.json").read_bytes())
    return Desk(second, venue, record, tmp_path_factory.mktemp("golden"))


BOOK = ({0: 1, 1: 1, 4: -1}, (3000, 4))


def forged(note: VenueNote) -> Iterator[tuple[str, VenueNote]]:
    """A note with one part changed, everything that a customer relies on once."""
    block = note.block

    def cell(c: int, b: int) -> VenueNote:
        cells = [list(column) for column in block.cells]
        cells[c][b] = str((int(cells[c][b]) + 1) % r)
        return note.model_copy(update={"block": block.model_copy(update={"cells": tuple(map(tuple, cells))})})

    def part(**changes: Passed) -> VenueNote:
        return note.model_copy(update={"block": block.model_copy(update=changes)})

    yield "a digit of a position", cell(4, 0)
    yield "the instrument of a leg", cell(0, 0)
    yield "a cell that no book shows", cell(len(block.cells) - 2, 1)
    yield "the tag", cell(-1, 0)
    yield "a foreign tag", cell(-1, 1)
    yield "the opening", part(opening=block.points[0])
    yield "points", part(points=(block.points[1], block.points[0], *block.points[2:]))
    yield "a shorter path", part(path=block.path[:-1])
    yield "a longer path", part(path=(*block.path, "00" * 32))
    yield "a path", part(path=("00" * 32, *block.path[1:]))
    yield "fewer columns", part(cells=block.cells[:-1])
    yield "another account", note.model_copy(update={"account": note.account + 1})
    yield "no account", note.model_copy(update={"account": 8})
    yield "another statement", note.model_copy(update={"statement": "00" * 32})
    yield "another proof", note.model_copy(update={"proof": "00" * 32})
    yield "another number of accounts", note.model_copy(update={"accounts": 9})
    yield "another venue", note.model_copy(update={"venue": "another"})


def test_the_golden_note_is_taken_by_both(golden: Desk) -> None:
    note = VenueNote.parse((GOLDEN / "note.json").read_bytes())
    assert note.name == "big 1"
    assert golden.theirs(note, "big 1", BOOK, golden.record) is golden.ours(note, "big 1", BOOK, golden.record) is False


def test_forged_golden_notes_are_refused_by_both(golden: Desk) -> None:
    note = VenueNote.parse((GOLDEN / "note.json").read_bytes())
    for what, bad in forged(note):
        try:
            golden.both_refuse(bad, "big 1", BOOK)
        except BaseException as error:
            raise AssertionError(what) from error
    for name, book in (
        ("big 2", BOOK),
        ("big 1", ({0: 1, 1: 1, 4: -2}, (3000, 4))),
        ("big 1", ({0: 1, 1: 1}, (3000, 4))),
        ("big 1", ({**BOOK[0], 3: 1}, (3000, 4))),
        ("big 1", (BOOK[0], (3000, 5))),
    ):
        golden.both_refuse(note, name, book)
    for changes in ({"root": "00" * 32}, {"accounts": 9}, {"proof": "00" * 32}, {"venue": "another"}):
        golden.both_refuse(note, "big 1", BOOK, golden.record.model_copy(update=changes))


@pytest.mark.parametrize("layout", ["slots, owed, exempt", "by circuit"])
def test_notes_of_other_layouts_are_taken_by_both(second: Unchecked, tmp_path: Path, layout: str) -> None:
    if layout == "by circuit":
        spec = venue_lab.spec("all", accounts=1, legs=3, slots=1, block=16, charge_bits=9)
        classes: Unchecked = [(spec, venue_policies.BOOKS[:1])]
        venue = venue_lab.Venue(classes, market=venue_policies.snapshot("tims"))
        names = ["all 0"]
    else:
        poor = (((1, ((3, -2),)),), (-7, 0))
        classes = [(venue_lab.spec(accounts=4), (*venue_lab.SMALL, poor))]
        venue = venue_lab.Venue(classes, exempt=1)
        names = ["small 0", "small 1", "small 3"]
    proof = decode_venue_proof(venue.prove(), venue.statement)
    maker = NoteMaker(venue.statement, proof, venue.witness(), venue_lab.blinders(), venue_lab.tau_power)
    desk = Desk(second, venue, maker.record, tmp_path)
    exempt = []
    for name in names:
        account = int(name.split()[1])
        note, book = maker.note(account, name, venue_lab.nonce(name)), book_of(classes[0][1][account])
        exempt.append(desk.ours(note, name, book, maker.record))
        assert desk.theirs(note, name, book, maker.record) == exempt[-1]
        positions, balances = book
        desk.both_refuse(note, name, (positions, (balances[0] + 1, *balances[1:])))
    assert sum(exempt) == (layout != "by circuit")


def test_tags_and_paths_are_the_same(second: Unchecked) -> None:
    for name, nonce in (("a", bytes(16)), ("\u00e9\u4e2d", b"\7" * 16)):
        assert second.tag(b"\1" * 32, name, nonce) == tag_of(b"\1" * 32, name, nonce)
    for count in (1, 2, 3, 5, 6, 7, 12):
        points = [[bytes([x]) * 48, bytes([x + 1]) * 48] for x in range(count)]
        leaves = [merkle.leaf(x, mine) for x, mine in enumerate(points)]
        for x, mine in enumerate(points):
            path = merkle.path(leaves, x)
            assert second.root_of(x, count, mine, path) == merkle.root(leaves)
            for bad in (path[:-1], (*path, bytes(32))):
                if bad == path:
                    continue
                with pytest.raises(second.second.Rejected):
                    second.root_of(x, count, mine, bad)
                with pytest.raises(ValueError, match="path"):
                    merkle.root_from_path(merkle.leaf(x, mine), x, count, list(bad))
