"""What a service keeps in memory: nothing of it outlives a change that comes while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import update
from support.typed import JsonObject
from support.venue_desk import Venue
from support.venue_service import account, signers, trust

from zkmargin.app.verifying import clock_ms
from zkmargin.client.documents import Terms
from zkmargin.client.orders import CloseAccount, IssueToken, RegisterAccount, RevokeToken, WithdrawPart
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import Ledger
from zkmargin.ledger.database import UnusableError
from zkmargin.service import store, tables
from zkmargin.service.desk import Holding
from zkmargin.service.guard import status_of
from zkmargin.service.intake import attest, revoke
from zkmargin.service.judging import changed_since
from zkmargin.verifier.attest import Attestation, Revocations
from zkmargin.verifier.attest.revocations import RevocationsPayload

TOKEN = "ab" * 32


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


def revoking(issuer: str, *revoked: Attestation) -> Revocations:
    """An issuer's first list."""
    listed: list[JsonObject] = [{"payload": one.payload_digest.hex(), "reason": "the wallet moved"} for one in revoked]
    values = {"issuer": issuer, "sequence": 1, "time": format_time(clock_ms() - 1000), "attestations": listed}
    return Revocations(payload=RevocationsPayload.model_validate(values)).signed(signers()[issuer])


def test_a_list_of_revocations_counts_from_its_commit_on_whatever_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [
        {"name": name, "signers": [name], "threshold": 1, "max_age_seconds": 86_400} for name in ("venue", "custodian")
    ]
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        venue = Venue(ledger, own_trust=trust(revocations=rules), now_ms=clock_ms())
        desk, database = venue.desk, ledger.database
        venue.order(RegisterAccount(account="alice", terms=Terms(period_seconds=60, grace_seconds=60), keys=()))
        parts = account("alice").attestations()
        for one in parts:
            attest(desk, one, actor="publisher")
        holding = desk.holding("alice")
        assert desk.revocations() == ()
        monkeypatch.setattr(desk, "forget", lambda *_: None)  # as between a commit and the word of it
        (collateral,) = [one for one in parts if one.payload.stream[2] == "collateral"]
        revoke(desk, revoking("custodian", collateral), actor="publisher")
        revoke(desk, revoking("venue"), actor="publisher")  # with the custodian's, which memory has not

        def vouched() -> int | None:
            with database.reading() as connection:
                return store.account_rows(connection, "alice")[0].standing.vouched_until_ms

        assert vouched() is None
        newer = account("alice").attestations(2)
        venue.order(WithdrawPart(account="alice", role="collateral", issuer="custodian"))
        with pytest.raises(VerificationError) as refused:
            attest(desk, collateral, actor="publisher")
        assert refused.value.check == "revocation"
        assert [attest(desk, one, actor="publisher")[1] for one in newer] == [True, True]
        assert vouched() is not None
        with database.reading() as connection:
            assert changed_since(connection, {0: holding})[0].message.startswith("the account's parts changed")
        revoked_one = Holding(holding.row, tuple(newer))
        with database.reading() as connection:
            assert changed_since(connection, {0: revoked_one}) == {}
        database.write(lambda connection: connection.execute(update(tables.parts).values(revoked=1)))
        with database.reading() as connection:
            assert "revoked in the meantime" in changed_since(connection, {0: revoked_one})[0].message


def test_an_account_has_so_many_tokens_that_live(tmp_path: Path) -> None:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        venue = Venue(ledger, settings={"limits": {"tokens_per_account": 2}})
        for name in ("maker", "other"):
            venue.order(RegisterAccount(account=name, terms=Terms(period_seconds=60, grace_seconds=60), keys=()))

        def issue(number: int, name: str = "maker", expires: str | None = None) -> None:
            digest = f"{number:064x}"
            venue.order(IssueToken(name=f"t{number}", role="account", account=name, digest=digest, expires=expires))

        issue(1, expires=format_time(venue.now_ms + 1000))
        issue(2)
        with pytest.raises(InputError, match="there are 2, no more may be"):
            issue(3)
        issue(4, "other")
        venue.order(RevokeToken(digest=f"{2:064x}"))
        issue(5)
        venue.now_ms += 1000  # the first expires
        issue(6)
        with pytest.raises(InputError, match="no more may be"):
            issue(7)
        with ledger.database.reading() as connection:
            lines = store.audit_lines(connection, before=None, limit=100)
        issued = [line for line in lines if line.action == "issue-token"]
        assert {line.facts["digest"] for line in issued} == {f"{number:064x}" for number in range(1, 8)}
        assert {line.outcome for line in issued if line.facts["digest"] == f"{7:064x}"} == {"refused"}


def test_a_database_without_a_free_connection_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger, ExitStack() as held:
        monkeypatch.setattr(ledger.database.engine.pool, "_timeout", 0.01)

        def hold() -> None:
            for _ in range(100):
                held.enter_context(ledger.database.reading())

        with pytest.raises(UnusableError, match="every connection is in use") as refused:
            hold()
        assert status_of(refused.value) == 503
