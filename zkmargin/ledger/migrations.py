"""From every released schema to this one, in the transaction that opens the ledger for writing."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from zkmargin.ledger import chain, records, tables


def _first(connection: Connection) -> None:
    """From version 1: its rows become records, in the order of acceptance, marked as imported: nothing protected them.

    Challenges come first, then what was seen without a proof, then the proofs: all that is known of their order.
    """

    def add(kind: str, time_ms: int, body: dict[str, object]) -> None:
        chain.append(connection, kind, time_ms, {**body, "imported": True}, None)

    for row in connection.execute(select(tables.challenges).order_by(tables.challenges.c.challenge)).all():
        add("issued", 0, records.issued_body(row.challenge, row.deadline_ms))
    for row in connection.execute(select(tables.streams).order_by(tables.streams.c.stream)).all():
        add("seen", 0, records.seen_body(row.stream, row.sequence, row.payload, row.attestation))
    for row in connection.execute(select(tables.proofs).order_by(tables.proofs.c.id)).all():
        entry = records.entry_of(connection, row)
        add("accepted", entry.accepted_ms, records.accepted_body(entry, records.parts_of(connection, row.id), ()))
    _second(connection)


def _second(connection: Connection) -> None:
    """From version 2: the same tables; from now on also venues' proofs."""
    connection.execute(update(tables.meta).where(tables.meta.c.key == "schema").values(value=tables.SCHEMA))


#: By the schema that is found.
FORWARD: dict[str, Callable[[Connection], None]] = {
    tables.WITHOUT_CHAIN: _first,
    "zkmargin/ledger/v2": _second,
}
