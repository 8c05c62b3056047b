"""Golden files of the venue formats, version 1: read, and made again, byte for byte.

``tests/goldens.py --write venue`` makes them again.
"""

import os
from pathlib import Path

import pytest
from support import venue_lab
from support.signing import OURS
from support.venue_lab import Venue, later

from zkmargin.app.venue_notes import VenueSecret
from zkmargin.formats import Document
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord, record_of
from zkmargin.verifier.venue.log import VenueLog
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import verify_venue

FOLDER = Path(__file__).parent / "data" / "golden" / "v1" / "venue"
KINDS: dict[str, type[Document]] = {
    "terms.json": VenueTerms,
    "record.json": VenueRecord,
    "log.json": VenueLog,
    "note.json": VenueNote,
    "secret.json": VenueSecret,
}


@pytest.fixture(scope="module")
def made() -> tuple[Venue, dict[str, bytes]]:
    """The files of a small venue with fixed seeds."""
    big = venue_lab.spec("big", accounts=5, legs=3, slots=1, block=2, claim="5/4")
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 5
    venue = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (big, accounts)], totals=True, exempt=1)
    proof, witness = venue.prove(seed="golden"), venue.witness()
    decoded = decode_venue_proof(proof, venue.statement)
    maker = NoteMaker(venue.statement, decoded, witness, venue_lab.blinders("golden"), venue_lab.tau_power)
    names = [name for books in venue.books for name in books.names]
    record = record_of(venue.statement, decoded)
    secret = VenueSecret(
        statement=record.statement,
        proof=record.proof,
        inputs=inputs_digest(venue.statement, witness).hex(),
        seed="00" * 32,
        classes=tuple(tuple(books.names) for books in venue.books),
        nonces={name: venue_lab.nonce(name).hex() for name in names},
    )
    log = VenueLog(venue=record.venue)
    for minute in range(2):
        log = log.appended(later(venue.statement, minute), record, "2026-01-02T03:05:00Z", OURS)
    return venue, {
        "proof.bin": proof,
        "log.json": log.to_bytes(),
        "terms.json": venue.statement.terms.to_bytes(),
        "record.json": record.to_bytes(),
        "note.json": maker.note(4, "big 1", venue_lab.nonce("big 1")).to_bytes(),
        "secret.json": secret.to_bytes(),
    }


def test_the_golden_files_are_made_again_byte_for_byte(made: tuple[Venue, dict[str, bytes]]) -> None:
    venue, files = made
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (FOLDER / name).write_bytes(data)
    assert sorted(files) == sorted(path.name for path in FOLDER.iterdir())
    for name, data in files.items():
        assert (FOLDER / name).read_bytes() == data, name
    verify_venue(venue.statement, (FOLDER / "proof.bin").read_bytes())


@pytest.mark.parametrize("name", sorted(KINDS))
def test_golden_documents_read_back(name: str) -> None:
    text = (FOLDER / name).read_bytes()
    assert KINDS[name].parse(text).to_bytes() == text
