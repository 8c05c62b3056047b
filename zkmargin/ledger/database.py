"""The database below a ledger: connections, transactions that are alone or as if alone, errors in our words."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, NoSuchModuleError

from zkmargin.formats import Hint, InputError
from zkmargin.ledger import tables

#: How long a writer waits for the others, and how often it begins again when the database says so.
BUSY_SECONDS = 60
MAX_ATTEMPTS = 50
#: Any fixed number: makes the first verifiers of a PostgreSQL ledger create its tables one after the other.
_CREATION_LOCK = 0x7A6B6D6C
_SERIALIZATION_FAILURES = frozenset({"40001", "40P01"})
_SCHEMA_OF = select(tables.meta.c.value).where(tables.meta.c.key == "schema")

T = TypeVar("T")


class Database:
    """A ledger's database, created with its tables when it is missing.

    Args:
        where: a path (an SQLite file, created with mode 0600), or a URL ``sqlite:///PATH`` or ``postgresql://...``.

    Raises:
        InputError: it cannot be opened, or is another version's.
    """

    def __init__(self, where: str | Path) -> None:
        url = _url(where)
        self.name = url.render_as_string(hide_password=True) if "://" in str(where) else str(where)
        self.engine = _engine(url)
        options: dict[str, Any] = {"zkmargin_reading": True}
        if url.get_backend_name() == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"  # one moment's view, and never a reason to begin again
        self._reader = self.engine.execution_options(**options)
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()

    def _create(self) -> None:
        engine = self.engine
        if engine.dialect.name == "postgresql":
            # what the transaction before made while this one waited for the lock must be visible in it
            engine = engine.execution_options(isolation_level="READ COMMITTED")

        def create(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
            tables.metadata.create_all(connection)
            if connection.execute(_SCHEMA_OF).first() is None:
                connection.execute(insert(tables.meta).values(key="schema", value=tables.SCHEMA))

        with self.reading() as connection:
            existing = inspect(connection).has_table(tables.meta.name)
        if not existing:
            self.write(create, engine)
        with self.reading() as connection:
            schema = connection.execute(_SCHEMA_OF).scalar_one_or_none()
        if schema != tables.SCHEMA:
            raise InputError(f"no ledger of this version: its schema is {str(schema)[:40]!r}", file=self.name)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment's view. Raises InputError."""
        with self._errors(), self._reader.connect() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T], engine: Engine | None = None) -> T:
        """One transaction, alone or as if alone; again from its beginning where another one came in between.

        Raises:
            InputError: the database cannot be used, or others come in between without end.
        """
        engine = engine or self.engine
        for attempt in range(MAX_ATTEMPTS):
            try:
                with self._errors(retry=attempt < MAX_ATTEMPTS - 1), engine.begin() as connection:
                    return work(connection)
            except _Again:
                time.sleep((1 + secrets.randbelow(1 + attempt)) / 200)
        raise AssertionError("the last attempt raises something else")

    @contextmanager
    def _errors(self, *, retry: bool = False) -> Iterator[None]:
        """Database errors as InputErrors, without statements or parameters; passing ones as ``_Again``."""
        try:
            yield
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if retry and (isinstance(error, IntegrityError) or state in _SERIALIZATION_FAILURES):
                raise _Again from None
            raise InputError(f"the ledger cannot be used: {_reason(error)}", file=self.name) from None


class _Again(Exception):  # noqa: N818 - never leaves this module
    """Another transaction came in between."""


def _url(where: str | Path) -> URL:
    """The URL of a path or URL. Raises InputError, never repeating what may hold a password."""
    written = str(where)
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
    return url.set(drivername="sqlite")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, isolation_level="SERIALIZABLE", pool_pre_ping=True)
        except (ImportError, NoSuchModuleError):
            raise InputError("PostgreSQL needs the package psycopg", field="ledger", hint=Hint.GIVE_POSTGRES) from None
    _create_file(Path(url.database or ""))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own transactions begin too late
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = EXTRA")  # on disk, the folder's entry too, when a commit returns
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes the lock before it reads: what it decides on does not change under it
        reading = connection.get_execution_options().get("zkmargin_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


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
