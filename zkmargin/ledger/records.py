"""Entries of a ledger, and what happens inside one transaction: keep, see, answer, read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, insert, select, update

from zkmargin.engine.decimals import parse_time
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import Claim
from zkmargin.formats import Document, InputError, VerificationError
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.ledger import tables
from zkmargin.verifier.attest import Attestation, Challenge, Sighting, Stream


@dataclass(frozen=True)
class Entry:
    """An accepted proof, as it is recorded. Digests are hex.

    Attributes:
        statement: the statement digest.
        proof: the bytes.
        snapshot, commitment, trust, challenge, receipt: digests of documents of the ledger; the last three may be None.
        snapshot_ms: the snapshot's time, milliseconds since 1970.
        claim, limits, context: as in the statement.
        attestations: digests of what authenticated it.
        accepted_ms: when, by the verifier's clock.
    """

    statement: str
    proof: bytes
    snapshot: str
    commitment: str
    trust: str | None
    challenge: str | None
    receipt: str | None
    snapshot_ms: int
    claim: Claim
    limits: tuple[Limit, ...]
    context: bytes
    attestations: tuple[str, ...]
    accepted_ms: int


@dataclass(frozen=True)
class Account:
    """What a ledger knows of an account: its alias, its last proof, and how many there are."""

    alias: str
    last: Entry
    proofs: int


def newest(connection: Connection, stream: Stream) -> Sighting | None:
    """The highest number seen of a stream."""
    query = select(tables.streams.c.sequence, tables.streams.c.payload).where(
        tables.streams.c.stream == _stream_key(stream)
    )
    row = connection.execute(query).first()
    return None if row is None else Sighting(row.sequence, row.payload)


def see(connection: Connection, attestation: Attestation) -> None:
    """Take an attestation as seen. Raises VerificationError: superseded, or it contradicts what was seen."""
    payload = attestation.payload
    digest = attestation.payload_digest.hex()
    seen = newest(connection, payload.stream)
    if seen is not None and payload.sequence < seen.sequence:
        raise VerificationError(
            f"number {payload.sequence} of {_named(payload.stream)} is superseded: number {seen.sequence} was seen",
            check="sequence",
        )
    if seen is not None and payload.sequence == seen.sequence:
        if digest != seen.digest:
            raise VerificationError(
                f"number {payload.sequence} of {_named(payload.stream)} contradicts what was signed before under it",
                check="sequence",
            )
        store(connection, attestation)
        return
    store(connection, attestation)
    values = {"sequence": payload.sequence, "payload": digest, "attestation": attestation.digest().hex()}
    key = _stream_key(payload.stream)
    if seen is None:
        connection.execute(insert(tables.streams).values(stream=key, **values))
    else:
        connection.execute(update(tables.streams).where(tables.streams.c.stream == key).values(values))


def issue(connection: Connection, challenge: Challenge) -> None:
    """Keep a challenge that was issued; once."""
    digest = challenge.digest().hex()
    if (
        connection.execute(select(tables.challenges.c.challenge).where(tables.challenges.c.challenge == digest)).first()
        is None
    ):
        store(connection, challenge)
        connection.execute(
            insert(tables.challenges).values(challenge=digest, deadline_ms=parse_time(challenge.deadline))
        )


def check_unanswered(connection: Connection, challenge: Challenge) -> None:
    """Raises VerificationError when a proof was accepted for the challenge."""
    query = select(tables.proofs.c.id).where(tables.proofs.c.challenge == challenge.digest().hex())
    if connection.execute(query).first() is not None:
        raise VerificationError("a proof was accepted for this challenge before: a replay", check="challenge")


def answer(connection: Connection, challenge: Challenge, statement: str) -> None:
    """Mark a challenge as answered by a statement."""
    issue(connection, challenge)
    answered = tables.challenges.c.challenge == challenge.digest().hex()
    connection.execute(update(tables.challenges).where(answered).values(statement=statement))


def store(connection: Connection, document: Document) -> None:
    """Keep a public document under its digest."""
    if document.SECRET:
        raise InputError("a secret document does not belong into a ledger", field=document.FORMAT)
    digest = document.digest().hex()
    if connection.execute(select(tables.documents.c.digest).where(tables.documents.c.digest == digest)).first() is None:
        connection.execute(
            insert(tables.documents).values(digest=digest, format=document.format, body=document.to_bytes())
        )


def entry_of(connection: Connection, row: Any) -> Entry:
    """An entry from its row."""
    query = select(tables.attestations.c.attestation).where(tables.attestations.c.proof_id == row.id)
    return Entry(
        statement=row.statement,
        proof=bytes(row.proof),
        snapshot=row.snapshot,
        commitment=row.commitment,
        trust=row.trust,
        challenge=row.challenge,
        receipt=row.receipt,
        snapshot_ms=row.snapshot_ms,
        claim=Claim(row.num, row.den, row.requirement),
        limits=tuple(Limit(kind, subject, Fraction(bound)) for kind, subject, bound in json.loads(row.limits)),
        context=bytes(row.context),
        attestations=tuple(sorted(connection.execute(query).scalars())),
        accepted_ms=row.accepted_ms,
    )


def _stream_key(stream: Stream) -> str:
    return canonical_bytes(list(stream)).decode()


def _named(stream: Stream) -> str:
    return " ".join(repr(name[:80]) for name in stream)


def digest_of(document: Document | None) -> str | None:
    """A document's digest in hex, None for none."""
    return None if document is None else document.digest().hex()
