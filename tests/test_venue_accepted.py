"""A venue's proof is accepted, recorded, exported and run again as any other proof is.

ZKMARGIN_WRITE_GOLDEN=1 pytest tests/test_venue_accepted.py         writes the golden files anew
"""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import golden
import pytest
from support import parties, venue_lab
from support.typed import Keywords
from support.venue_lab import Venue

import zkmargin.accounts.openings
import zkmargin.ledger.ledger
from zkmargin.accounts import Commitment
from zkmargin.app.evidence import Evidence, evidence_of
from zkmargin.app.verifying import Terms, accept_proof
from zkmargin.crypto.keys import SecretSigner
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.ledger import SCHEMA, Ledger
from zkmargin.verifier.attest import Attestation, Challenge, CommitmentPayload, Receipt, SnapshotPayload, Trust
from zkmargin.verifier.protocols import verify_any
from zkmargin.verifier.venue.statement import VenueStatement

GOLDEN = Path(__file__).parent / "data" / "golden" / "v2" / "venue"
DENSE = ((3, -2, 1, 0, 2), (3000, 5))


@dataclass(frozen=True)
class World:
    """A venue, its proof, and what a verifier accepts it under."""

    venue: Venue
    statement: VenueStatement
    proof: bytes
    commitment: Commitment
    terms: Terms
    challenge: Challenge
    desk: SecretSigner


@pytest.fixture(scope="module")
def world() -> World:
    """A venue of three small accounts and a committed one; who attests what; a challenge and its answer."""
    time = parse_time("2026-01-01T00:00:00Z")
    challenge = Challenge(
        nonce="5a" * 32, audience=parties.DESK, issued="2026-01-01T00:00:00Z", deadline=format_time(time + 120_000)
    )
    with patch.object(zkmargin.accounts.openings, "random_scalar", golden.draws("venue accepted")):
        venue = venue_lab.Venue(dense=[DENSE], srs=embedded(), totals=True, context=challenge.context)
    proof = venue.prove(seed="accepted")
    (commitment,) = venue.statement.commitments
    signed = [parties.signed(Attestation(payload=SnapshotPayload.of(venue.snapshot, series="main", sequence=7)),
                             *parties.ORACLES[:2])]  # fmt: skip
    for part in commitment.parts:
        issuer = "venue A" if part.role == "positions" else "custodian D"
        payload = CommitmentPayload.of(
            part, srs=commitment.srs, domain_size=16, issuer=issuer, part="main", sequence=3,
            issued="2026-01-01T00:00:00Z", expires="2026-01-02T00:00:00Z",
            beneficiary=None if part.role == "positions" else parties.DESK,
        )  # fmt: skip
        signed.append(parties.signed(Attestation(payload=payload), issuer))
    desk = parties.signer(parties.DESK)
    receipts = {"receipts": [{"name": parties.DESK, "signers": [parties.DESK], "threshold": 1}]}
    policy = venue.snapshot.policy.digest().hex()
    trusted = parties.trust(
        snapshots=[parties.snapshot_rule(policies=[policy])],
        keys=[*parties.trust_json()["keys"], desk.public.model_dump(mode="json")],
        **receipts,
    )
    terms = Terms(now_ms=time + 60_000, trust=trusted, attestations=tuple(signed), challenge=challenge)
    return World(venue, venue.statement, proof, commitment, terms, challenge, desk)


def test_it_is_accepted_under_trust_and_the_receipt_says_of_what(world: World) -> None:
    accepted, receipt = accept_proof(world.statement, world.proof, world.terms)
    said = receipt.payload
    assert receipt.format == "zkmargin/receipt/v3"
    assert (said.ratio, said.requirement, said.limits) == (None, "initial", ())
    assert said.venue is not None
    record = accepted.accepted.record  # type: ignore[union-attr]
    assert (said.venue.proof, said.venue.root) == (record.proof, record.root)
    assert said.venue.terms == world.statement.terms.digest().hex()
    assert (said.venue.accounts, said.venue.dense) == (3, 1)
    assert {part.part.role for part in said.parts} == {"positions", "collateral"}
    assert all(part.attested for part in said.parts)
    signed = receipt.signed(world.desk)
    again = Receipt.parse(signed.to_bytes())
    assert again == signed
    assert again.signatures[0].verifies(again.message)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: {"attestations": w.terms.attestations[:2]}, "nobody attested the collateral part"),
        (lambda w: {"attestations": w.terms.attestations[1:]}, "nobody signed the snapshot"),
        (lambda w: {"trust": w.terms.trust.replaced(verifier="another desk")}, "is addressed to"),
        (lambda w: {"now_ms": w.terms.now_ms + 10**7}, "deadline|expired|stale"),
    ],
)
def test_what_a_trust_file_asks_is_asked_of_a_venue(
    world: World, change: Callable[[World], Keywords], reason: str
) -> None:
    with pytest.raises(VerificationError, match=reason):
        accept_proof(world.statement, world.proof, replace(world.terms, **change(world)))


def test_an_account_is_not_there_twice_and_required_parts_are_each_account_s(world: World) -> None:
    (parts,) = world.statement.parts
    twice = venue_lab.with_parts(world.statement, parts, parts)
    with pytest.raises(VerificationError, match="'dense 0' is there twice"):
        accept_proof(twice, world.proof, replace(world.terms, challenge=None))
    needed = {"role": "positions", "issuer": "venue B", "accounts": ["dense 0"]}
    assert world.terms.trust
    value = world.terms.trust.to_json() | {"required": [needed]}
    with pytest.raises(VerificationError, match="requires positions 'main' by 'venue B' of 'dense 0'"):
        accept_proof(world.statement, world.proof, replace(world.terms, trust=Trust.model_validate(value)))


def test_a_proof_of_the_other_kind_is_no_proof_of_the_statement(world: World) -> None:
    with pytest.raises(ProofFormatError):
        verify_any(parties.world().statement, world.proof)
    with pytest.raises(ProofFormatError):
        verify_any(world.statement, parties.world().proof)


def recorded(world: World, where: Path) -> Ledger:
    ledger = Ledger(where, signer=world.desk)
    ledger.issue(world.challenge)
    accept_proof(
        world.statement, world.proof, world.terms, ledger=ledger, sign=lambda receipt: receipt.signed(world.desk)
    )
    return ledger


def test_a_ledger_records_it_once_and_checks_all_of_it_again(world: World, tmp_path: Path) -> None:
    with recorded(world, tmp_path / "ledger.db") as ledger:
        assert ledger.schema == SCHEMA
        (entry,) = ledger.entries()
        assert entry.of_venue
        assert ledger.statement(entry).digest == world.statement.digest  # type: ignore[union-attr]
        assert ledger.check(entry).statement_digest.hex() == entry.statement
        assert [(a.alias, a.venue, a.proofs) for a in ledger.accounts()] == [
            ("dense 0", False, 1),
            ("a venue", True, 1),
        ]
        found = ledger.audit(key=world.desk.public)
        assert (found.bad, found.verified, found.signed) == ([], 1, found.records)
        with pytest.raises(VerificationError, match="replay"):
            accept_proof(world.statement, world.proof, replace(world.terms, challenge=None), ledger=ledger)
        assert ledger.open_challenges() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE proofs SET proof = zeroblob(500)", "proof"),
        ("UPDATE proofs SET num = 1, den = 1", "no record gives"),
        ("UPDATE proofs SET requirement = 'maintenance'", "no record gives"),
        ("UPDATE parts SET alias = 'another venue' WHERE role = 'venue'", "no record gives"),
        ("DELETE FROM parts WHERE role = 'venue'", "a row is missing"),
        ("DELETE FROM documents WHERE format LIKE '%venue-terms%'", "is not in the ledger"),
        (
            "UPDATE documents SET body = replace(body, 'initial', 'maintenance') WHERE format LIKE '%venue-terms%'",
            "dama",
        ),
    ],
)
def test_an_edited_row_of_a_venue_is_noticed(world: World, tmp_path: Path, change: str, reason: str) -> None:
    recorded(world, tmp_path / "ledger.db").close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute(change)
        connection.commit()
    with Ledger(tmp_path / "ledger.db", read_only=True) as ledger:
        bad = ledger.audit(key=world.desk.public).bad
    assert any(reason in item["reason"] for item in bad), bad


def test_evidence_carries_it_and_says_no_more_than_its_terms(world: World, tmp_path: Path) -> None:
    accepted, receipt = accept_proof(world.statement, world.proof, world.terms)
    evidence = Evidence.of(accepted, receipt)
    assert evidence.format == "zkmargin/evidence/v2"
    again = Evidence.parse(evidence.to_bytes())
    assert again == evidence
    assert verify_any(again.statement(), again.proof_bytes).statement_digest == world.statement.digest
    with recorded(world, tmp_path / "ledger.db") as ledger:
        (entry,) = ledger.entries()
        assert evidence_of(ledger, entry, ()).statement().digest == world.statement.digest  # type: ignore[union-attr]
    for changes, reason in (
        ({"terms": None}, "of one account a ratio"),
        ({"claim": {"ratio": "1/1", "requirement": "initial"}}, "terms say what is claimed"),
        ({"format": "zkmargin/evidence/v1"}, "unknown key in version 1"),
    ):
        with pytest.raises(InputError, match=reason):
            Evidence.parse(json.dumps(evidence.to_json() | changes))
    payload = receipt.to_json()["payload"]
    for inside, reason in (({"ratio": "1/1"}, "terms say what is claimed"), ({"venue": None}, "missing")):
        with pytest.raises(InputError, match=reason):
            Receipt.parse(json.dumps(receipt.to_json() | {"payload": payload | inside}))


def test_the_golden_files_are_made_again_byte_for_byte(world: World, tmp_path: Path) -> None:
    import golden_documents

    accepted, receipt = accept_proof(world.statement, world.proof, world.terms)
    signed = replace_software(receipt).signed(world.desk)
    with patch.object(zkmargin.ledger.ledger, "_clock_ms", lambda: world.terms.now_ms - 1):
        ledger = Ledger(tmp_path / "ledger.db", signer=world.desk)
        ledger.issue(world.challenge)
        ledger.record(accepted, signed)
        ledger.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        dumped = golden_documents.sql(connection).encode()
    made = {
        "signed.receipt.json": signed.to_bytes(),
        "venue.evidence.json": Evidence.of(accepted, signed).to_bytes(),
        "ledger.sql": dumped,
    }
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        GOLDEN.mkdir(parents=True, exist_ok=True)
        for name, data in made.items():
            (GOLDEN / name).write_bytes(data)
    assert {path.name: path.read_bytes() for path in GOLDEN.iterdir()} == made


def replace_software(receipt: Receipt) -> Receipt:
    """The receipt of a program whose version stays."""
    return receipt.replaced(payload=receipt.payload.replaced(software="zkmargin 3"))
