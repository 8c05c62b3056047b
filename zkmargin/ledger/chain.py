"""The chain of a ledger's records: each holds the digest of the one before, and a signature where the ledger has a key.

What a record says is canonical JSON (``body``) with the digests of documents; which kinds there are, ``KINDS`` says.
Whoever can write the database can cut the chain at its end, or write all of it anew where nothing is signed: a head
that was noted elsewhere shows the one, the ledger's public key the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.formats import InputError, VerificationError, parse_json
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.ledger import records, tables

#: Names what is hashed and signed: it came with version 2 of the ledger, and stays when tables change.
RECORD = "zkmargin/ledger/v2"
#: accepted: a proof; issued: a challenge; seen: an attestation or revocations; signed: what an attester signed.
KINDS = ("accepted", "issued", "seen", "signed")
GENESIS = "00" * 32


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        number: from 1, without gaps.
        kind: of ``KINDS``.
        time_ms: when, by the clock of whoever wrote it.
        body: what happened; JSON.
        previous, digest: hex.
        signature: by the ledger's key, or None.
    """

    number: int
    kind: str
    time_ms: int
    body: dict[str, Any]
    previous: str
    digest: str
    signature: Signature | None

    def computed(self) -> bytes:
        """The digest that it must have."""
        return _digest(self.number, self.kind, self.time_ms, self.body, self.previous)

    def check(self, *, number: int, previous: str, keys: Sequence[PublicKey] = ()) -> int:
        """Which of the ledger's keys signed it; 0 where none are given.

        Raises:
            VerificationError: not what follows the record before, edited, or signed by none of the keys.
        """
        if self.number != number:
            raise VerificationError(f"record {number} is missing: the next one is {self.number}", check="chain")
        if self.kind not in KINDS or self.previous != previous or self.computed().hex() != self.digest:
            raise VerificationError(f"record {number} is not what follows record {number - 1}: edited", check="chain")
        if self.signature is not None and not self.signature.verifies(message_of(self)):
            raise VerificationError(f"record {number}: its signature does not verify", check="chain")
        signers = () if self.signature is None else self.signature.public_keys
        place = next((place for place, key in enumerate(keys) if signers == (key.public_key,)), None)
        if place is None and keys:
            raise VerificationError(f"record {number} is not signed with the ledger's key", check="chain")
        return place or 0


def message_of(record: Record) -> Message:
    """What the ledger's key signs."""
    members = {"number": "uint64", "previous": "bytes32"}
    values = {"number": record.number, "previous": bytes.fromhex(record.previous)}
    return Message.of(RECORD, bytes.fromhex(record.digest), "Record", members, values)


def append(connection: Connection, kind: str, time_ms: int, body: dict[str, Any], signer: Signer | None) -> None:
    """Add a record at the end, inside a transaction that no other writer comes in between."""
    extend(connection, [(kind, time_ms, body)], signer)


def extend(connection: Connection, added: Sequence[tuple[str, int, dict[str, Any]]], signer: Signer | None) -> None:
    """Add records at the end, as ``append`` does: kind, time and body of each."""
    if not added:
        return
    number, previous = head(connection)
    rows = []
    for kind, time_ms, body in added:
        number += 1
        digest = _digest(number, kind, time_ms, body, previous).hex()
        record = Record(number, kind, time_ms, body, previous, digest, None)
        signature = None if signer is None else json.dumps(signer.sign(message_of(record)).model_dump(mode="json"))
        values = {"number": number, "kind": kind, "time_ms": time_ms, "previous": previous, "digest": digest}
        rows.append(values | {"body": canonical_bytes(body).decode(), "signature": signature})
        previous = digest
    connection.execute(insert(tables.records), rows)


def read(connection: Connection) -> Iterator[Record]:
    """Every record, the first first. Raises InputError: one that cannot be read."""
    for row in connection.execute(select(tables.records).order_by(tables.records.c.number)):
        yield _whole(row)


def head(connection: Connection) -> tuple[int, str]:
    """Number and digest of the last record, as a connection sees them; 0 and zeros before the first."""
    query = select(tables.records.c.number, tables.records.c.digest).order_by(tables.records.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return (0, GENESIS) if row is None else (row.number, row.digest)


def beside(connection: Connection, what: str) -> dict[str, tuple[str, ...]]:
    """By the statement digest of each acceptance that names any: the digests under ``what`` in its record.

    Raises:
        InputError: a record that cannot be read, or names something that is no digest.
    """
    found: dict[str, tuple[str, ...]] = {}
    for record in read(connection):
        digests = _named(record, what)
        if digests:
            found[str(record.body.get("statement"))] = digests
    return found


def beside_one(connection: Connection, what: str, *, statement: str, accepted_ms: int) -> tuple[str, ...]:
    """As ``beside``, of one acceptance: only records of its time that name its statement are read."""
    table = tables.records.c
    query = select(tables.records).where(table.time_ms == accepted_ms, table.kind == "accepted")
    for row in connection.execute(query.where(table.body.contains(statement)).order_by(table.number)):
        record = _whole(row)
        if record.body.get("statement") == statement:
            return _named(record, what)
    return ()


def _named(record: Record, what: str) -> tuple[str, ...]:
    digests = record.body.get(what) if record.kind == "accepted" else None
    for digest in digests or ():
        records.check_digest(digest, f"record {record.number}")
    return tuple(digests or ())


def _whole(row: Any) -> Record:
    """Raises InputError: it cannot be read."""
    try:
        record = _read(row)
    except (InputError, ValueError, TypeError):
        record = None
    if record is None or canonical_bytes(record.body).decode() != row.body:
        raise InputError("is damaged", field=f"record {str(row.number)[:20]}")
    return record


def _read(row: Any) -> Record | None:
    body = parse_json(row.body)
    signature = None if row.signature is None else Signature.model_validate(parse_json(row.signature))
    if not isinstance(body, dict) or not isinstance(row.time_ms, int):
        return None
    return Record(row.number, row.kind, row.time_ms, body, str(row.previous), str(row.digest), signature)


def _digest(number: int, kind: str, time_ms: int, body: dict[str, Any], previous: str) -> bytes:
    content = {"body": body, "format": RECORD, "kind": kind, "number": number, "previous": previous}
    return keccak256(canonical_bytes({**content, "time_ms": time_ms}))
