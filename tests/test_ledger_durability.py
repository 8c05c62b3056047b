"""PostgreSQL: when a writing transaction ends, it is on disk, whatever a role, a database or the server was told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from zkmargin.ledger.database import Database

SAID = text("SHOW synchronous_commit")


@pytest.mark.parametrize(("told", "kept"), [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply",) * 2])
def test_a_commit_waits_for_the_disk(new_postgresql: Callable[[], str], told: str, kept: str) -> None:
    """With "off", PostgreSQL acknowledges what it has in memory only: a crash would take receipts that were given."""
    where = new_postgresql()
    first = Database(where)
    with first.engine.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = {told}'))
        connection.commit()
    first.close()
    database = Database(where)
    try:
        with database.reading() as connection:
            assert connection.execute(SAID).scalar_one() == told

        def work(connection: Connection) -> str:
            return str(connection.execute(SAID).scalar_one())

        assert database.write(work) == kept
    finally:
        database.close()
