"""A ledger without a key, rewritten by whoever can write its database: tables, documents, records and their chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from support.typed import JsonObject, Passed
from zkmargin.formats import Document
from zkmargin.formats.canonical import keccak256
from zkmargin.ledger import Ledger, chain, tables
from zkmargin.ledger.chain import Record

#: SQL with its values, run without the database's checks of keys.
Edit = tuple[str, tuple[Passed, ...]]
REMOVED = object()
#: The kinds of records that fill a table.
KINDS = {"streams": "seen", "challenges": "issued", "signed": "signed"}


def rewrite(path: Path, change: Callable[[Record], Iterable[Record]], *edits: Edit) -> None:
    """Each record as ``change`` gives it, chained anew; the edits first."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for sql, values in edits:
            connection.execute(sql, values)
        connection.commit()
    with Ledger(path) as ledger, ledger.database.engine.begin() as chained:
        old = list(chain.read(chained))
        chained.execute(tables.records.delete())
        for record in old:
            for one in change(record):
                chain.append(chained, one.kind, one.time_ms, one.body, None)


def as_they_are(record: Record) -> list[Record]:
    """No record is another."""
    return [record]


def saying(kind: str, **members: Passed) -> Callable[[Record], list[Record]]:
    """Every record of a kind says this; ``REMOVED`` takes a member away."""

    def change(record: Record) -> list[Record]:
        body = {**record.body, **members} if record.kind == kind else record.body
        return [replace(record, body={name: body[name] for name in body if body[name] is not REMOVED})]

    return change


def column_edited(path: Path, table: str, column: str, old: Passed, new: Passed) -> None:
    """One value, in every row of its table that has it and in every record that gives it to such a row."""
    where = (f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" IS ?', (new, old))  # noqa: S608
    answered = ("UPDATE challenges SET statement = ? WHERE statement = ?", (new, old))
    edits = (where, answered) if (table, column) == ("proofs", "statement") else (where,)
    kind = KINDS.get(table, "accepted")

    def change(record: Record) -> list[Record]:
        if record.kind != kind:
            return [record]
        body = _of_proof(table, column, record.body, old, new) if kind == "accepted" else dict(record.body)
        if body.get(column) == old:
            body[column] = new
        return [replace(record, body=body)]

    rewrite(path, change, *edits)


def _of_proof(table: str, column: str, body: JsonObject, old: Passed, new: Passed) -> JsonObject:
    """The record of an accepted proof gives rows to three tables; the numbers of its rows it does not say."""
    names = {"parts": ("role", "alias", "attestation"), "proofs": ("num", "den", "requirement")}.get(table, ())

    def other(values: list[Passed]) -> list[Passed]:
        return [new if name == column and value == old else value for name, value in zip(names, values, strict=True)]

    if table == "attestations":
        return body | {"attestations": [new if one == old else one for one in body["attestations"]]}
    if table == "parts":
        return body | {"parts": [other(part) for part in body["parts"]]}
    if column in names:
        return body | {"claim": other(body["claim"])}
    if isinstance(new, bytes):
        return body | {column: keccak256(new).hex() if column == "proof" else new.hex()}
    return dict(body)


def with_document(document: Document) -> Edit:
    """One more document."""
    values = (document.digest().hex(), document.format, document.to_bytes())
    return "INSERT INTO documents VALUES (?, ?, ?)", values


def without_document(digest: str) -> Edit:
    """One document less."""
    return "DELETE FROM documents WHERE digest = ?", (digest,)


def signed_by(path: Path, number: int, signature: str) -> None:
    """A record's signature, which the chain does not cover."""
    rewrite(path, as_they_are)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE records SET signature = ? WHERE number = ?", (signature, number))
        connection.commit()
