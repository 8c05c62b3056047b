"""A copy of a service's database while it runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from zkmargin.formats import InputError
from zkmargin.ledger import Ledger


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


def _sync(path: Path) -> None:
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
