"""The service's tables made, or brought forward from an earlier version, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, column, func, insert, select, table, text, update

from zkmargin.formats import InputError
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import store, tables

_KEY = "service"
_BEFORE = "service_proofs_before"
#: For evidence: the record beside one acceptance is found among all by its time. It belongs to services: a ledger that
#: has none answers the same, so this is no new version of either's tables.
_RECORDS_TIME = "CREATE INDEX IF NOT EXISTS records_time ON records (time_ms)"


def _second(connection: Connection) -> str:
    """Challenges to venues; several accounts in one proof: the table of proofs is made anew, which SQLite needs."""
    for index in tables.proofs.indexes:
        connection.execute(text(f"DROP INDEX {index.name}"))
    connection.execute(text(f"ALTER TABLE {tables.proofs.name} RENAME TO {_BEFORE}"))
    tables.metadata.create_all(connection)
    names = [column.name for column in tables.proofs.columns]
    rows: Any = select(*(column(name) for name in names)).select_from(table(_BEFORE))
    connection.execute(insert(tables.proofs).from_select(names, rows))
    connection.execute(text(f"DROP TABLE {_BEFORE}"))
    return "zkmargin/service/v2"


def _third(connection: Connection) -> str:
    """Each account has its number of proofs and its trend: a roster counts nothing."""
    account, proof = tables.accounts, tables.proofs
    for added in ("proofs BIGINT NOT NULL DEFAULT 0", "trend TEXT NOT NULL DEFAULT '[]'"):
        connection.execute(text(f"ALTER TABLE {account.name} ADD COLUMN {added}"))
    for name in connection.execute(select(account.c.account)).scalars().all():
        mine = proof.c.account == name
        newest = select(proof).where(mine).order_by(proof.c.number.desc()).limit(store.TREND)
        ratios = [f"{row.num}/{row.den}" for row in reversed(connection.execute(newest).all())]
        count = connection.execute(select(func.count()).select_from(proof).where(mine)).scalar_one()
        values = {"proofs": count, "trend": json.dumps(ratios)}
        connection.execute(update(account).where(account.c.account == name).values(values))
    return "zkmargin/service/v3"


#: From every version to the next; by the version that is found. Version 1 is the first.
FORWARD: dict[str, Callable[[Connection], str]] = {"zkmargin/service/v1": _second, "zkmargin/service/v2": _third}


def bring_forward(connection: Connection, *, name: str) -> None:
    """Make what is missing. Raises InputError: the tables are a later version's."""
    connection.execute(text(_RECORDS_TIME))
    meta = ledger_tables.meta
    found = connection.execute(select(meta.c.value).where(meta.c.key == _KEY)).scalar_one_or_none()
    if found is None:
        tables.metadata.create_all(connection)
        connection.execute(insert(meta).values(key=_KEY, value=tables.SCHEMA))
        return
    while found != tables.SCHEMA:
        if found not in FORWARD:
            raise InputError(f"its service tables are of version {str(found)[:40]!r}: of a later program", file=name)
        found = FORWARD[found](connection)
        connection.execute(update(meta).where(meta.c.key == _KEY).values(value=found))
