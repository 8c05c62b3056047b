"""What a service says of the past: by today's trust file, by snapshot, from one view, without reading everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, cast

import pytest
from sqlalchemy import Connection, inspect, text, update
from support.typed import Passed
from support.venue_desk import Venue
from support.venue_service import Account, account, attested, revoking, signers, snapshot, trust

from zkmargin.accounts import commit_book
from zkmargin.app.verifying import clock_ms
from zkmargin.client.answers import AccountLine
from zkmargin.client.documents import Coverage, Terms
from zkmargin.client.errors import Unavailable
from zkmargin.client.orders import RegisterAccount
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.ledger import Ledger, chain
from zkmargin.ledger.database import UnusableError
from zkmargin.service import intake, judging, reading, tables
from zkmargin.service.desk import Desk
from zkmargin.service.judging import judge
from zkmargin.service.workers import Pool
from zkmargin.verifier import Accepted, Statement, verify_each
from zkmargin.verifier.attest import Attestation, Receipt, SnapshotPayload, Trust

pytestmark = pytest.mark.in_order

SERIES = ("fast", "main", "other")
CUSTODIAN = {"name": "custodian", "signers": ["custodian"], "threshold": 1, "max_age_seconds": 86_400}


class Here:
    """A pool that verifies in this process."""

    alive = 1

    def learn(self, *_: Passed) -> list[None]:
        return []

    def verify_each(self, items: list[tuple[Statement, bytes]]) -> list[Accepted]:
        return cast("list[Accepted]", verify_each(items))


def rules(**ages: int) -> list[dict[str, Passed]]:
    """A rule for each series."""
    (rule,) = trust().model_dump(mode="json")["snapshots"]
    return [rule | {"name": name, "max_age_seconds": ages.get(name, 86_400)} for name in SERIES]


def the_trust(now_ms: int, **more: Passed) -> Trust:
    """The series "fast" takes the example's snapshot for half a minute more."""
    seconds = (now_ms - parse_time(snapshot().time)) // 1000
    return trust(snapshots=rules(fast=seconds + 30), revocations=[CUSTODIAN], **more)


def in_series(name: str, sequence: int) -> Attestation:
    """The oracle's word for the example's snapshot."""
    payload = SnapshotPayload.of(snapshot(), series=name, sequence=sequence)
    return Attestation(payload=payload).signed(signers()["oracle"])


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """With alice, who proved once; one connection to its database at a time."""
    folder, now_ms = tmp_path_factory.mktemp("reading"), clock_ms()
    with Ledger(folder / "venue.db", signer=signers()["desk"], wal=True, connections=1) as ledger:
        ledger.database.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
        one = Venue(ledger, own_trust=the_trust(now_ms), now_ms=now_ms)
        one.desk.pool = cast("Pool", Here())
        one.order(RegisterAccount(account="alice", terms=Terms(period_seconds=3600, grace_seconds=60), keys=()))
        intake.revoke(one.desk, revoking(), actor="publisher")
        intake.publish(one.desk, snapshot(), attested(snapshot(), 3), actor="publisher")
        for attestation in account("alice").attestations():
            intake.attest(one.desk, attestation, actor="publisher")
        yield one


@pytest.fixture(scope="module")
def receipt(venue: Venue) -> Receipt:
    """Alice's."""
    (challenge,) = intake.challenge(venue.desk, "alice", count=1, lifetime_seconds=600)
    (verdict,) = judge(venue.desk, [account("alice").answer(challenge, snapshot())])
    assert isinstance(verdict, Receipt)
    return verdict


def after_a_start(venue: Venue, own_trust: Trust | None = None) -> Desk:
    """The service, started anew."""
    one = venue.desk
    made = Desk(one.settings, own_trust or one.trust, one.operators, one.signer, one.ledger, one.pool, clock=one.clock)
    intake.judge_parts(made)
    return made


def covered(desk: Desk, series: str = "main") -> Coverage:
    moment = parse_time(snapshot().time)
    begin, end = (format_time(moment + 1000 * seconds) for seconds in (-3600, 1))
    return reading.coverage(desk, "alice", series, begin=begin, end=end)


def test_no_call_holds_two_connections(venue: Venue, receipt: Receipt) -> None:
    """Threads that each hold one and wait for a second would wait for each other."""
    desk, statement = venue.desk, receipt.payload.statement
    found = covered(desk).payload
    assert (found.proven, [one.statement for one in found.snapshots]) == (1, [statement])
    assert (found.head_number, found.head) == desk.ledger.head()
    assert reading.account_view(desk, "alice").proofs == 1
    assert isinstance(next(iter(reading.roster(desk))), AccountLine)
    assert reading.receipt(desk, statement) == receipt
    assert reading.evidence(desk, statement).receipt == receipt
    desk.forget()
    assert desk.holding("alice").digests
    assert after_a_start(venue).published_body(snapshot().digest().hex())


def test_the_head_and_the_list_are_of_one_moment(
    venue: Venue, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[Connection] = []
    real = chain.head

    def head(connection: Connection) -> tuple[int, str]:
        views.append(connection)
        return real(connection)

    monkeypatch.setattr(chain, "head", head)
    database = venue.desk.ledger.database
    opened, reading_of = list[Connection](), database.reading

    @contextmanager
    def watched() -> Iterator[Connection]:
        with reading_of() as connection:
            opened.append(connection)
            yield connection

    monkeypatch.setattr(database, "reading", watched)
    covered(venue.desk)
    assert receipt
    assert views == opened


def test_coverage_is_of_proofs_under_the_trust_file_that_it_names(venue: Venue, receipt: Receipt) -> None:
    """A key that was stolen is taken from the trust file: what was proved under it is not said to be under the new."""
    newer = the_trust(venue.now_ms, clock_skew_seconds=7)
    found = covered(after_a_start(venue, newer)).payload
    assert found.trust == newer.digest().hex()
    assert (found.proven, len(found.snapshots)) == (0, 1)
    again = covered(after_a_start(venue)).payload  # the same file as when it was accepted
    assert (again.trust, again.proven) == (receipt.payload.trust, 1)


def test_a_snapshot_is_proved_in_every_series_that_would_have_taken_the_proof(venue: Venue, receipt: Receipt) -> None:
    desk = venue.desk
    for name, sequence in (("other", 2), ("main", 4), ("fast", 9)):  # and under a second number
        assert intake.publish(desk, snapshot(), in_series(name, sequence), actor="publisher")[1]
    assert [covered(desk, name).payload.proven for name in SERIES] == [1, 2, 1]
    assert {one.statement for one in covered(desk).payload.snapshots} == {receipt.payload.statement}
    table = tables.proofs
    later = update(table).values(accepted_ms=table.c.accepted_ms + 60_000)  # as if it had come a minute later
    desk.ledger.database.write(lambda connection: connection.execute(later))
    assert [covered(desk, name).payload.proven for name in SERIES] == [0, 2, 1]


def test_a_snapshot_in_two_series_is_judged_by_the_same_one_always_and_read_in_the_one_that_is_asked(
    venue: Venue, receipt: Receipt
) -> None:
    digest = receipt.payload.snapshot.digest
    for desk in (venue.desk, after_a_start(venue)):
        payload = desk.published(digest).attestation.payload  # "fast" has the highest number, and came last
        assert isinstance(payload, SnapshotPayload)
        assert (payload.series, payload.sequence) == ("main", 4)
        for name, sequence in (("fast", 9), ("main", 4), ("other", 2)):
            told = Attestation.model_validate(json.loads(desk.published_body(digest, name))["attestation"])
            assert told == in_series(name, sequence)


def test_evidence_reads_no_other_record(venue: Venue, receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(_: Connection) -> NoReturn:
        raise AssertionError("the whole chain is read")

    monkeypatch.setattr(chain, "read", everything)
    found = reading.evidence(venue.desk, receipt.payload.statement)
    assert [one.digest() for one in found.revocations] == [revoking().digest()]


def test_a_ledger_of_before_gets_the_index_that_finds_a_record(venue: Venue) -> None:
    database = venue.desk.ledger.database

    def there() -> bool:
        return "records_time" in {one["name"] for one in inspect(database.engine).get_indexes("records")}

    assert there()
    database.write(lambda connection: connection.execute(text("DROP INDEX records_time")))
    assert not there()
    after_a_start(venue)
    assert there()


def test_parts_are_judged_again_by_the_trust_file_of_today(venue: Venue) -> None:
    """The custodian's key is taken from the trust file: what it signed vouches for nobody from the next start on."""
    (rule,) = trust().model_dump(mode="json")["collateral"]
    newer = the_trust(venue.now_ms, collateral=[rule | {"signers": ["venue"]}])
    assert reading.account_view(after_a_start(venue, newer), "alice").state == "uncovered"
    before = reading.newest_event(venue.desk)
    assert reading.account_view(after_a_start(venue), "alice").state == "covered"
    assert reading.newest_event(venue.desk) == before + 1  # it is told
    after_a_start(venue)
    assert reading.newest_event(venue.desk) == before + 1


def test_no_receipt_waits_while_signatures_of_parts_are_verified(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    database, real, waited = venue.desk.ledger.database, intake._is_revoked, list[bool]()

    def watched(*given: Passed) -> bool:
        waited.append(database._writer.locked())
        return real(*given)

    monkeypatch.setattr(intake, "_is_revoked", watched)
    (collateral,) = [one for one in account("alice").attestations() if one.payload.stream[2] == "collateral"]
    intake.revoke(venue.desk, revoking(collateral), actor="publisher")
    assert reading.account_view(venue.desk, "alice").state == "covered"  # of another time than the one that counts
    after_a_start(venue)
    assert waited == [False] * 4


def test_a_list_of_an_issuer_that_the_trust_file_names_no_more_is_nobodys(venue: Venue) -> None:
    """Else every proof would be refused by it, for ever: no newer one could be published."""
    assert len(after_a_start(venue).revocations()) == 1
    assert after_a_start(venue, trust(snapshots=rules())).revocations() == ()


def test_receipts_are_answered_whatever_comes_of_refusals(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded was said not to be, where the refusals of its group could not be."""
    (challenge,) = intake.challenge(venue.desk, "alice", count=1, lifetime_seconds=600)
    good = account("alice").answer(challenge, snapshot())
    bad = good.model_copy(update={"challenge": "ab" * 32})

    def away(*_: Passed) -> NoReturn:
        raise UnusableError("the ledger cannot be used", file="venue.db")

    monkeypatch.setattr(judging, "_record_refusals", away)
    first, second = judge(venue.desk, [good, bad])
    assert isinstance(first, Receipt)
    assert isinstance(second, Unavailable)
    assert reading.receipt(venue.desk, first.payload.statement) == first


def test_a_proof_about_other_parts_does_not_cover_when_terms_change(venue: Venue) -> None:
    """Nor where a proof that came after the change of parts had made up for it, and counts no more by the new terms."""
    terms = Terms(period_seconds=86_400, grace_seconds=60)
    venue.order(RegisterAccount(account="alice", terms=terms, keys=()))
    assert reading.account_view(venue.desk, "alice").state == "covered"
    own = account("alice")
    new = Account("alice", own.lots, commit_book(snapshot(), own.lots, alias="alice"))  # other blinders, other points
    for attestation in new.attestations(5):
        intake.attest(venue.desk, attestation, actor="publisher")
    forgotten = update(tables.accounts).values(changed_ms=None)  # as that proof would
    venue.desk.ledger.database.write(lambda connection: connection.execute(forgotten))
    venue.order(RegisterAccount(account="alice", terms=terms, keys=()))
    assert reading.account_view(venue.desk, "alice").state == "due"
