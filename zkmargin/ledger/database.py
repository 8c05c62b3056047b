"""The database below a ledger: connections, transactions that are alone or as if alone, errors in our words."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from zkmargin.formats import Hint, InputError
from zkmargin.ledger import migrations, tables

#: How long a writer waits for the others, and how often it begins again when the database says so.
BUSY_SECONDS = 60
MAX_ATTEMPTS = 50
#: At the same time, where it is not said how many; of these, so many are kept open.
CONNECTIONS, KEPT_OPEN = 15, 5
#: Any fixed number: the lock by which the writers of a PostgreSQL ledger come one after the other.
_WRITERS = 0x7A6B6D6C
_SERIALIZATION_FAILURES = frozenset({"40001", "40P01"})
#: In PostgreSQL, before a writer's work: the lock; and a commit returns when it is on disk, whatever a role, a
#: database or the server was told. Who asked for more than that keeps it.
_ALONE_AND_DURABLE = text(
    "SELECT pg_advisory_xact_lock(:key), set_config('synchronous_commit', "
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, "
    "true)"
)
_SCHEMA_OF = select(tables.meta.c.value).where(tables.meta.c.key == "schema")

T = TypeVar("T")


class Database:
    """A ledger's database.

    Args:
        where: a path (an SQLite file), or a URL ``sqlite:///PATH`` or ``postgresql://...``.
        read_only: open what is there and alter nothing; else it is created with its tables where it is missing (an
            SQLite file with mode 0600), and brought forward from an older version.
        wal: an SQLite file gets a write-ahead log: readers and the writer do not wait for each other.
        connections: so many at the same time. A thread never holds two: where there is one for each, none waits.

    Attributes:
        fence: called in every writing transaction before its work; what it raises ends the transaction.
        schema: the version that was found: an older one only where nothing may be altered.

    Raises:
        InputError: it cannot be opened, is missing, another program's, or a later version's.
    """

    def __init__(
        self, where: str | Path, *, read_only: bool = False, wal: bool = False, connections: int = CONNECTIONS
    ) -> None:
        url = _url(where)
        self.fence: Callable[[Connection], None] | None = None
        self.name = url.render_as_string(hide_password=True) if "://" in str(where) else str(where)
        self.engine = _engine(url, read_only=read_only, wal=wal, connections=connections)
        self._writer = threading.Lock()  # SQLite lets those who wait for it sleep for up to a tenth of a second
        options: dict[str, Any] = {"zkmargin_reading": True}
        if url.get_backend_name() == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"  # one moment's view, and never a reason to begin again
            options["postgresql_readonly"] = True
        self._reader = self.engine.execution_options(**options)
        try:
            self.schema = self._found(read_only=read_only)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()

    def _found(self, *, read_only: bool) -> str:
        """The schema of what is there, made or brought forward first where that is allowed. Raises InputError."""
        with self.reading() as connection:
            schema = self._schema(connection)
        if not read_only and schema != tables.SCHEMA:
            self.write(self._prepare)
            with self.reading() as connection:
                schema = self._schema(connection)
        if schema is None:
            raise InputError("is no ledger: it is empty", file=self.name, hint="is the name right?")
        return schema

    def _prepare(self, connection: Connection) -> None:
        schema = self._schema(connection)  # again: another one may have come first
        if schema == tables.SCHEMA:
            return
        tables.metadata.create_all(connection)
        if schema is None:
            connection.execute(insert(tables.meta).values(key="schema", value=tables.SCHEMA))
        else:
            migrations.FORWARD[schema](connection)

    def _schema(self, connection: Connection) -> str | None:
        """The ledger's version; None for an empty database. Raises InputError: another program's, or a later one's."""
        found = set(inspect(connection).get_table_names())
        if not found:
            return None
        schema = None
        if {table.name for table in tables.FIRST} <= found:
            schema = connection.execute(_SCHEMA_OF).scalar_one_or_none()
        if schema is None:
            raise InputError("is a database of another program", file=self.name, hint="name a file of its own")
        if schema != tables.SCHEMA and schema not in migrations.FORWARD:
            raise InputError(f"no ledger of this version: its schema is {str(schema)[:40]!r}", file=self.name)
        return str(schema)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment's view. Raises InputError."""
        with self._errors(), self._reader.connect() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """One transaction, alone: writers wait for each other, since each adds to the chain where the last one ended.

        Raises:
            InputError: the database cannot be used, or others come in between without end.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                retry = attempt < MAX_ATTEMPTS - 1
                with self._writer, self._errors(retry=retry), self.engine.begin() as connection:
                    if connection.dialect.name == "postgresql":
                        connection.execute(_ALONE_AND_DURABLE, {"key": _WRITERS})
                    if self.fence is not None:
                        self.fence(connection)
                    return work(connection)
            except _Again:
                time.sleep((1 + secrets.randbelow(1 + attempt)) / 200)
        raise AssertionError("the last attempt raises something else")

    @contextmanager
    def _errors(self, *, retry: bool = False) -> Iterator[None]:
        """Database errors as InputErrors, without statements or parameters; passing ones as ``_Again``."""
        try:
            yield
        except PoolTimeout:
            raise UnusableError("the ledger cannot be used: every connection is in use", file=self.name) from None
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if retry and (isinstance(error, IntegrityError) or state in _SERIALIZATION_FAILURES):
                raise _Again from None
            raise UnusableError(f"the ledger cannot be used: {_reason(error)}", file=self.name) from None


class UnusableError(InputError):
    """The database does not answer, or refuses: it may later."""


class _Again(Exception):  # noqa: N818 - never leaves this module
    """Another transaction came in between."""


def _url(where: str | Path) -> URL:
    """The URL of a path or URL. Raises InputError, never repeating what may hold a password."""
    written = str(where)
    if written.startswith("file:"):
        raise InputError("a path, or sqlite:///PATH: file: is neither", field="ledger")
    if written.startswith("postgres://"):
        written = written.replace("postgres://", "postgresql://", 1)
    if "://" not in written:
        return URL.create("sqlite", database=str(Path(written).absolute()))
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise InputError("not a URL like sqlite:///FILE or postgresql://USER@HOST/DATABASE", field="ledger") from None
    kind = url.get_backend_name()
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not url.database or url.database == ":memory:":
        raise InputError("neither an SQLite file nor a PostgreSQL database", field="ledger")
    if url.database.startswith("file:") or url.query:
        # SQLite's own URIs open another file than this path names, or none at all: nothing would be kept
        raise InputError("sqlite:///PATH takes a path, and nothing after it", field="ledger")
    return url.set(drivername="sqlite")


def _engine(url: URL, *, read_only: bool, wal: bool, connections: int) -> Engine:
    kept = min(KEPT_OPEN, connections)
    pool: dict[str, Any] = {"pool_size": kept, "max_overflow": connections - kept}
    if url.get_backend_name() == "postgresql":
        try:
            # what the writer before did while this one waited for the lock must be visible in it
            return create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, **pool)
        except (ImportError, NoSuchModuleError):
            raise InputError("PostgreSQL needs the package psycopg", field="ledger", hint=Hint.GIVE_POSTGRES) from None
    path = Path(url.database or "")
    if read_only:
        _check_file(path)
        where = f"file:{quote(str(path.absolute()))}?mode=ro"
        # without a check of threads as SQLAlchemy's own pool for files has it: a connection is used by one at a time
        engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, check_same_thread=False),
            poolclass=QueuePool,
            **pool,
        )
    else:
        _create_file(path)
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own transactions begin too late
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        if wal:
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = EXTRA")  # on disk, the folder's entry too, when a commit returns
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes the lock before it reads: what it decides on does not change under it
        reading = connection.get_execution_options().get("zkmargin_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _check_file(path: Path) -> None:
    """Raises InputError: there is no such file, or it cannot be read."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except FileNotFoundError:
        raise InputError("there is no such ledger", file=str(path), hint="is the name right?") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "error").lower()
        raise InputError(f"cannot be opened: {reason}", file=str(path)) from None


def _create_file(path: Path) -> None:
    """An empty SQLite file with mode 0600, unless it exists: who proves what to whom is nobody else's business."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "error").lower()
        raise InputError(f"cannot be opened: {reason}", file=str(path)) from None


def _reason(error: DBAPIError) -> str:
    """The driver's first line: it names the cause, and no row of ours."""
    if isinstance(error, DatabaseError) and error.orig is not None:
        lines = str(error.orig).strip().splitlines()
        return lines[0][:200] if lines else type(error.orig).__name__
    return type(error).__name__
