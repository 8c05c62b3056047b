"""One process serves one database: a lock that ends with the process, whatever ends it."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from zkmargin.client.errors import Unavailable
from zkmargin.formats import InputError
from zkmargin.ledger.database import Database

#: Any fixed number: the advisory lock of a service in its PostgreSQL database.
_SERVICE = 0x7A6B6D73
#: Whether a session has the lock of a number.
_HELD = text(
    "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND (classid::bigint << 32 | objid::bigint) = :own"
)


class Alone:
    """Held from its making to ``close``: a lock on a file beside an SQLite database, an advisory one in PostgreSQL.

    Raises:
        InputError: another service has it.

    Attributes:
        may_be_lost: the lock ends with a connection, and not only with this process. While it is lost nothing is
            written: every transaction looks for it in the database, where one writer comes after the other.
        taken_anew: called when it was lost and is had again, before anything is written: another service may have
            written in between.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._lock = database, threading.Lock()
        self._file: int | None = None
        self._connection: Connection | None = None
        self._own: int | None = None  # a second lock of the same session, of a number that nobody else has
        self.taken_anew: Callable[[], None] = lambda: None
        self.may_be_lost = database.engine.dialect.name == "postgresql"
        if self.may_be_lost:
            self._take_advisory()
            database.fence = self._fence
        else:
            self._take_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let it go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._drop()

    def _drop(self) -> None:
        """The connection goes, and with it the lock."""
        connection, self._connection, self._own = self._connection, None, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.invalidate()
            connection.close()

    def check(self) -> None:
        """After PostgreSQL went away the lock is taken anew. Raises InputError: another has it, or no answer."""
        if self._file is not None:
            return
        with self._lock:
            if self._connection is not None:
                try:
                    self._connection.execute(text("SELECT 1"))
                    self._connection.commit()
                except DBAPIError:
                    self._drop()
                else:
                    return
            self._take_advisory()

    def _fence(self, connection: Connection) -> None:
        """Raises Unavailable: the lock is lost. Whoever has it now writes after this transaction."""
        own = self._own
        if own is None or not connection.execute(_HELD, {"own": own}).scalar_one():
            raise Unavailable("another service may have the database", retry_after=1)

    def _take_file(self) -> None:
        import fcntl  # noqa: PLC0415 - where there is none, there is no service

        path = f"{self._database.engine.url.database}.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise self._taken() from None

    def _take_advisory(self) -> None:
        try:
            connection = self._database.engine.connect()
            query = text("SELECT pg_try_advisory_lock(:key)")
            got = connection.execute(query, {"key": _SERVICE}).scalar_one()
            own = secrets.randbits(62)
            if got:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": own})
            connection.commit()
        except DBAPIError:
            raise InputError("the ledger cannot be used: no answer", file=self._database.name) from None
        if not got:
            connection.close()
            raise self._taken()
        self._connection = connection
        self.taken_anew()
        self._own = own

    def _taken(self) -> InputError:
        return InputError("another service is running on it", file=self._database.name)
