"""A copy of a service's database while it runs, and its return."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from zkmargin.app.verifying import clock_ms
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import migrations, store, tables
from zkmargin.service.alone import Alone
from zkmargin.service.settings import Settings

#: Numbers of events that a restore leaves out: far more than were given between a back-up and the end of its service.
LEFT_OUT = 1 << 32


def backup(database: str, output: str) -> dict[str, Any]:
    """Copy an SQLite database as it is at one moment; what the copy holds.

    Everything that was acknowledged before is in it. The copy is on disk when this returns.

    Raises:
        InputError: a PostgreSQL database, a file that exists, or one that cannot be read or written.
    """
    if database.startswith("postgres"):
        raise InputError("a PostgreSQL database is backed up with pg_dump", field="database")
    source = Path(database.removeprefix("sqlite:///"))
    if not source.is_file():
        raise InputError("there is no such database", file=str(source))
    try:
        os.close(os.open(output, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise InputError(f"cannot be created: {(error.strerror or 'error').lower()}", file=output) from None
    try:
        with closing(sqlite3.connect(source, timeout=60)) as live, closing(sqlite3.connect(output)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        _sync(Path(output))
        with Ledger(output, read_only=True) as ledger:
            return {"output": output, **ledger.counts(), "head": ledger.head()[1]}
    except sqlite3.Error as error:
        Path(output).unlink(missing_ok=True)
        raise InputError(f"cannot be copied: {error}", file=str(source)) from None
    except BaseException:
        Path(output).unlink(missing_ok=True)
        raise


def restored(settings: Settings) -> dict[str, Any]:
    """Say once that the database was put back from a back-up, before the service is started on it.

    An event of nobody's says it to whoever listens. Its number is above all that were given after the back-up: else
    the next events would have the numbers of others, which are signed too, and receivers would take them for these.

    Raises:
        InputError: a service runs on it, or it cannot be used.
    """
    where, service, now_ms = settings.database, settings.load_trust().verifier, clock_ms()
    if "://" not in where and not Path(where).is_file():
        raise InputError("there is no such database", file=where)
    with Ledger(where, wal=True) as ledger, Alone(ledger.database):

        def write(connection: Connection) -> dict[str, Any]:
            migrations.bring_forward(connection, name=ledger.name)
            times = [
                connection.execute(select(func.max(table.c.time_ms))).scalar_one_or_none()
                for table in (tables.events, tables.audit, ledger_tables.records)
            ]
            last_ms = max((time for time in times if time is not None), default=0)
            number = store.next_number(connection, tables.events) + LEFT_OUT
            facts = {"until": format_time(last_ms), "reason": "restored from a back-up"}
            store.emit_at(connection, service, now_ms, number, "account", **facts)
            store.audit(connection, now_ms, "whoever restored", "restored", event=number, until=facts["until"])
            return {"event": number, "until": facts["until"]}

        found = ledger.database.write(write)
        return {**found, "head": ledger.head()[1]}


def _sync(path: Path) -> None:
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
