"""The service's tables made, or brought forward from an earlier version, in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, select, update

from zkmargin.formats import InputError
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import tables

#: From every released version to the next; by the version that is found. Version 1 is the first.
FORWARD: dict[str, Callable[[Connection], str]] = {}
_KEY = "service"


def bring_forward(connection: Connection, *, name: str) -> None:
    """Make what is missing. Raises InputError: the tables are a later version's."""
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
