"""Tokens, webhooks and lists as a service tells of them; calls that no token is for; what one account may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.venue_desk import Venue
from support.venue_service import Service, account, eventually, running, signers, snapshot, trust

from zkmargin.client.answers import AuditLine
from zkmargin.client.documents import Terms
from zkmargin.client.errors import Denied, NotFound, Unavailable
from zkmargin.client.orders import IssueToken, RegisterAccount, RemoveWebhook, RevokeToken, SetWebhook
from zkmargin.client.tokens import token_digest
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.service import intake, reading, store, tables
from zkmargin.service.rates import TooMany
from zkmargin.verifier.attest import Revocations
from zkmargin.verifier.attest.revocations import RevocationsPayload

HOOK = "http://127.0.0.1:9/hook"
DAY_MS = 86_400_000
TERMS = Terms(period_seconds=60, grace_seconds=60)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = "[limits]\ncalls_per_second = 1000\nburst = 1000\nchallenges_per_minute = 3\n"
    with running(tmp_path_factory.mktemp("venue") / "service", config=limits) as one:
        for role in ("publisher", "auditor", "operator"):
            one.issue(role, role)
        for name in ("alice", "bob"):
            one.order(RegisterAccount(account=name, terms=TERMS, keys=(signers()["maker"].public,)))
            one.issue(name, "account", name)
        one.issue("exchange", "venue", "exchange")
        yield one


def denied(service: Service) -> list[AuditLine]:
    with service.client("auditor") as auditor:
        return [line for line in auditor.audit(limit=1000).items if line.outcome == "denied"]


def test_an_account_sees_its_own_tokens_and_an_operator_all(service: Service) -> None:
    with service.client("alice") as alice, service.client("operator") as operator:
        assert [(one.name, one.role, one.account) for one in alice.tokens()] == [("alice", "account", "alice")]
        assert {one.name for one in operator.tokens()} >= {
            "publisher",
            "auditor",
            "operator",
            "alice",
            "bob",
            "exchange",
        }
        assert {one.digest for one in alice.tokens()} == {token_digest(service.tokens["alice"])}
    for name in ("publisher", "exchange"):
        with service.client(name) as other, pytest.raises(Denied):
            other.tokens()


def test_a_token_that_is_revoked_or_expired_is_not_listed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        venue = Venue(ledger)
        venue.order(RegisterAccount(account="maker", terms=TERMS))
        soon = format_time(venue.now_ms + 60_000)
        for digest, expires in (("aa", soon), ("bb", None), ("cc", None)):
            venue.order(IssueToken(name=digest, role="account", account="maker", digest=digest * 32, expires=expires))
        venue.order(RevokeToken(digest="bb" * 32))
        assert [one.name for one in reading.token_lines(venue.desk, "maker")] == ["aa", "cc"]
        venue.now_ms += 60_000
        assert [one.name for one in reading.token_lines(venue.desk, None)] == ["cc"]
        # one that expired is forgotten; one that was revoked is not, so that nobody issues it again by mistake
        forgotten = venue.desk.ledger.database.write(lambda open_: store.forget_tokens(open_, venue.now_ms + 1))
        assert forgotten == 1
        with pytest.raises(InputError, match="was issued before"):
            venue.order(IssueToken(name="bb", role="account", account="maker", digest="bb" * 32))


def test_an_account_revokes_its_own_token_and_nobody_elses(service: Service) -> None:
    service.issue("second", "account", "alice")
    second, foreign = (token_digest(service.tokens[name]) or "" for name in ("second", "exchange"))
    service.order(RevokeToken(digest=second), by="maker")
    with service.client("second") as gone, pytest.raises(Denied):
        gone.whoami()
    with pytest.raises(Denied):  # the venue's, whatever it is called
        service.order(RevokeToken(digest=foreign), by="maker")
    with service.client("exchange") as still:
        assert still.whoami().role == "venue"


def test_an_account_makes_no_token_for_a_venue_of_its_name(service: Service) -> None:
    with pytest.raises(Denied):
        service.order(IssueToken(name="x", role="venue", account="alice", digest="12" * 32), by="maker")
    for wrong in ({"role": "venue"}, {"role": "auditor", "account": "alice"}):
        with pytest.raises(InputError, match="names one"):
            IssueToken.model_validate({"name": "x", "digest": "12" * 32} | wrong)


def test_webhooks_are_listed_for_whom_they_are(service: Service) -> None:
    service.order(SetWebhook(url=HOOK, account="alice", events=("state",)), by="maker")
    service.order(SetWebhook(url=HOOK))
    with service.client("alice") as alice, service.client("bob") as bob, service.client("auditor") as auditor:
        assert [(one.url, one.account, one.events) for one in alice.webhooks()] == [(HOOK, "alice", ["state"])]
        assert bob.webhooks() == []
        assert [one.account for one in auditor.webhooks()] == [None, "alice"]
        service.order(RegisterAccount(account="alice", terms=TERMS, keys=(signers()["maker"].public,)))
        service.order(RegisterAccount(account="carol", terms=TERMS))  # nobody listens at port 9
        service.order(SetWebhook(url=HOOK, events=("account",)))
        service.order(RegisterAccount(account="dora", terms=TERMS))
        late = eventually(lambda: [one for one in auditor.webhooks() if one.account is None and one.attempts])
        assert late[0].next
        service.order(RemoveWebhook(url=HOOK, account="alice"), by="maker")
        service.order(RemoveWebhook(url=HOOK))
        assert alice.webhooks() == []
    with service.client("publisher") as publisher, pytest.raises(Denied):
        publisher.webhooks()


def test_calls_that_are_not_for_a_token_are_in_the_audit_log(service: Service) -> None:
    """Each token's own first one, whatever others are denied meanwhile."""
    for _ in range(20):  # strangers do not crowd out what tokens of ours try
        httpx.get(f"{service.url}/v1/accounts")
    with service.client("alice") as alice, service.client("publisher") as publisher:
        with pytest.raises(NotFound):
            alice.account("bob")
        with pytest.raises(Denied):
            publisher.venue_challenges("exchange")
    with service.client("exchange") as exchange, pytest.raises(Denied):
        exchange.venue_challenges("other")

    asked = {
        "alice": "GET /v1/accounts/bob",
        "publisher": "POST /v1/venues/exchange/challenges",
        "exchange": "POST /v1/venues/other/challenges",
    }

    def found() -> dict[str, AuditLine] | None:
        lines = {line.actor: line for line in denied(service) if line.subject and asked.get(line.actor) == line.subject}
        return lines if set(lines) == set(asked) else None

    lines = eventually(found)
    assert lines["alice"].facts["role"] == "account"
    assert lines["exchange"].facts["reason"] == "a token of another venue"
    assert token_digest(service.tokens["alice"]) == lines["alice"].facts["digest"]
    before = len(denied(service))
    with service.client("alice") as alice:
        alice.account("alice")
        with pytest.raises(NotFound):
            alice.receipt("00" * 32)  # nobody's: no denial
    assert len(denied(service)) == before


def test_one_account_asks_for_so_many_challenges(service: Service) -> None:
    with service.client("bob") as bob, service.client("operator") as operator, service.client("alice") as alice:
        for _ in range(3):
            bob.challenge("bob", lifetime_seconds=1)
        for caller in (bob, operator):  # whoever asks for it
            with pytest.raises(Unavailable) as late:
                caller.challenge("bob", lifetime_seconds=1)
            assert late.value.retry_after >= 1
        alice.challenge("alice")
        operator.challenge("alice")
        lines = {(line.action, line.actor) for line in operator.audit(limit=1000).items if line.subject == "alice"}
        assert ("challenge", "operator") in lines  # who asks for another is written down; events tell of the others
        assert ("challenge", "alice") not in lines


def test_an_accounts_keys_order_so_much_a_minute(tmp_path: Path) -> None:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        venue = Venue(ledger, settings={"limits": {"changes_per_minute": 2}, "webhooks_to_private_addresses": True})
        venue.order(RegisterAccount(account="maker", terms=TERMS, keys=(signers()["maker"].public,)))
        venue.operator = signers()["maker"]
        for number in range(2):
            venue.order(SetWebhook(url=f"https://desk.example/{number}", account="maker"))
        with pytest.raises(TooMany):
            venue.order(SetWebhook(url="https://desk.example/2", account="maker"))
        venue.operator = signers()["operator"]
        venue.sequence = 1  # numbers are each signer's own
        for number in range(5):
            venue.order(SetWebhook(url=f"https://venue.example/{number}"))


def test_challenges_that_nobody_answered_are_deleted_by_rule(tmp_path: Path) -> None:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        venue = Venue(ledger)
        venue.order(RegisterAccount(account="maker", terms=TERMS))
        old = intake.challenge(venue.desk, "maker", count=3, lifetime_seconds=60)
        intake.venue_challenge(venue.desk, "exchange", count=1, lifetime_seconds=60, actor="exchange")
        table = tables.challenges
        answered = table.update().where(table.c.challenge == old[0].digest().hex()).values(answered=1)
        ledger.database.write(lambda open_: open_.execute(answered))
        venue.now_ms += DAY_MS
        intake.challenge(venue.desk, "maker", count=1, lifetime_seconds=60)
        before = venue.now_ms - DAY_MS // 2
        assert ledger.database.write(lambda open_: store.forget_challenges(open_, before_ms=before)) == 3
        with ledger.database.reading() as open_:
            kept = open_.execute(table.select()).all()
        assert sorted(row.answered for row in kept) == [0, 1]
        assert ledger.audit().bad == []  # that they were issued stays in the chain


def test_lists_of_revocations_can_be_asked_for(tmp_path: Path) -> None:
    rule = {"name": "custodian", "signers": ["custodian"], "threshold": 1, "max_age_seconds": 3600}
    with running(tmp_path / "service", own_trust=trust(revocations=[rule])) as service:
        service.issue("publisher", "publisher")
        (_, collateral) = account("maker").attestations()
        listed = [{"payload": collateral.payload_digest.hex(), "reason": "the wallet moved"}]
        values = {"issuer": "custodian", "sequence": 1, "time": snapshot().time, "attestations": listed}
        published = Revocations(payload=RevocationsPayload.model_validate(values)).signed(signers()["custodian"])
        with service.client("publisher") as publisher:
            assert publisher.revocations() == []
            publisher.revoke(published)
            assert publisher.revocations() == [published]
