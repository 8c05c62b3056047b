"""What a service keeps in memory: nothing of it outlives a change that comes while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection
from support.venue_service import NAME, signers, trust

from zkmargin.client.documents import (
    Action,
    Change,
    ChangePayload,
    CloseAccount,
    IssueToken,
    RegisterAccount,
    RevokeToken,
    Terms,
)
from zkmargin.engine.decimals import format_time
from zkmargin.ledger import Ledger
from zkmargin.service.changes import change
from zkmargin.service.desk import Desk
from zkmargin.service.judging import changed_since
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool

TOKEN = "ab" * 32


class Venue:
    """A service without calls and verifiers; its clock stands."""

    def __init__(self, ledger: Ledger) -> None:
        settings = Settings(database="a", trust="a", key="a", operators=("a",))
        self.operator, self.sequence = signers()["operator"], 0
        pool = cast("Pool", None)  # nothing is verified
        self.desk = Desk(
            settings, trust(), (self.operator.public,), signers()["desk"], ledger, pool, clock=lambda: 1_000_000
        )

    def order(self, action: Action) -> None:
        """Signed by the operator."""
        self.sequence += 1
        payload = ChangePayload(service=NAME, sequence=self.sequence, time=format_time(1_000_000), action=action)
        assert change(self.desk, Change(payload=payload).signed(self.operator))[1]

    def while_reading(self, patch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
        """The next time that something is read, this happens before it is kept."""
        real = self.desk.ledger.database.reading

        @contextmanager
        def reading() -> Iterator[Connection]:
            with real() as connection:
                yield connection
            patch.undo()
            meanwhile()

        patch.setattr(self.desk.ledger.database, "reading", reading)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        one = Venue(ledger)
        one.order(RegisterAccount(account="maker", terms=Terms(period_seconds=60, grace_seconds=60), keys=()))
        one.order(IssueToken(name="desk", role="account", account="maker", digest=TOKEN))
        yield one


def test_a_token_that_is_revoked_while_tokens_are_read_is_not_kept(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.while_reading(monkeypatch, lambda: venue.order(RevokeToken(digest=TOKEN)))
    assert TOKEN in venue.desk.tokens()  # as it was when this call began
    assert TOKEN not in venue.desk.tokens()
    assert venue.desk.tokens() is venue.desk.tokens()  # and kept


def test_an_account_that_is_closed_while_it_is_read_is_not_kept_open(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.while_reading(monkeypatch, lambda: venue.order(CloseAccount(account="maker")))
    assert not venue.desk.holding("maker").row.closed
    assert venue.desk.holding("maker").row.closed
    assert venue.desk.holding("maker") is venue.desk.holding("maker")


def test_lists_of_revocations_that_are_forgotten_while_they_are_read_are_read_again(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = venue.desk.revocations()
    assert venue.desk.revocations() is before
    venue.desk.forget()
    venue.while_reading(monkeypatch, venue.desk.forget)
    venue.desk.revocations()
    with monkeypatch.context() as patch:
        read: list[bool] = []
        venue.while_reading(patch, lambda: read.append(True))
        venue.desk.revocations()
        assert read


def test_a_proof_of_an_account_that_was_closed_meanwhile_is_not_recorded(venue: Venue) -> None:
    holding = venue.desk.holding("maker")
    database = venue.desk.ledger.database
    with database.reading() as connection:
        assert changed_since(connection, {3: holding}) == {}
    venue.order(CloseAccount(account="maker"))
    with database.reading() as connection:
        assert changed_since(connection, {3: holding})[3].message == "the account is closed"
