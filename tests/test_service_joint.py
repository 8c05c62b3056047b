"""A venue's proof of every account at once, submitted to its service: it answers a challenge that was issued to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Column, Table, insert, select, text, update
from support import venue_lab
from support.postgresql import Server, new_database
from support.typed import JsonObject, Keywords, Passed
from support.venue_service import NAME, running, signers, trust

from benchmarks.attested import attested_parts
from zkmargin.app.verifying import clock_ms
from zkmargin.client import Submission, Terms
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.ledger import Ledger
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import intake, judging, reading, store, tables
from zkmargin.service.desk import Desk
from zkmargin.service.joint import VenueSubmission, judge_venue
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool
from zkmargin.verifier.attest import Attestation, SnapshotPayload, Trust

pytestmark = pytest.mark.in_order

#: As the terms of the lab's venues call them.
VENUE, LARGE = "a venue", "dense 0"
DENSE = ((3, -2, 1, 0, 2), (3000, 5))
SETTINGS = Settings(database="a", trust="a", key="a", operators=("a",))


def trusted(snapshot_policy: str) -> Trust:
    """The service's trust file."""
    rule = {"name": "main", "signers": ["oracle"], "threshold": 1, "max_age_seconds": 600}
    return trust(snapshots=[rule | {"policies": [snapshot_policy]}])


def attestations(venue: venue_lab.Venue, now_ms: int, sequence: int = 1) -> list[Attestation]:
    """Of the committed account's parts."""
    (commitment,) = venue.statement.commitments
    return attested_parts(
        commitment,
        signers().__getitem__,
        beneficiary=NAME,
        issued_ms=now_ms - 1000,
        expires_ms=now_ms + 3_600_000,
        sequence=sequence,
    )


def body(venue: venue_lab.Venue, challenge: str, signed: list[Attestation], *, seed: str = "joint") -> JsonObject:
    """What is submitted."""
    return {
        "terms": venue.statement.terms.to_json(),
        "snapshot": venue.snapshot.digest().hex(),
        "challenge": challenge,
        "commitments": [one.to_json() for one in venue.statement.commitments],
        "attestations": [one.to_json() for one in signed],
        "proof": base64.b64encode(venue.prove(seed=seed)).decode(),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A service whose clock stands a minute after the snapshot; a small venue's proof that answers its challenge, with
    a committed account that is registered as it is committed.
    """
    snapshot, folder = venue_lab.snapshot(), tmp_path_factory.mktemp("joint")
    with Ledger(folder / "venue.db", signer=signers()["desk"]) as ledger:
        pool = Pool(1)
        clock = SimpleNamespace(now_ms=parse_time(snapshot.time) + 60_000)
        rules = trusted(snapshot.policy.digest().hex())
        desk = Desk(SETTINGS, rules, (), signers()["desk"], ledger, pool, clock=lambda: clock.now_ms)
        payload = SnapshotPayload.of(snapshot, series="main", sequence=1)
        intake.publish(desk, snapshot, Attestation(payload=payload).signed(signers()["oracle"]), actor="oracle")
        (challenge,) = intake.venue_challenge(desk, VENUE, count=1, lifetime_seconds=300, actor="venue")
        venue = venue_lab.Venue(srs=embedded(), totals=True, dense=[DENSE], context=challenge.context)
        terms = json.dumps(Terms(period_seconds=3600, grace_seconds=60).model_dump(mode="json"))
        ledger.database.write(
            lambda connection: store.put_account(connection, LARGE, clock.now_ms, terms=terms, keys="[]", closed=0)
        )
        signed = attestations(venue, clock.now_ms)
        for one in signed:
            intake.attest(desk, one, actor="venue")
        given = body(venue, challenge.digest().hex(), signed)
        yield SimpleNamespace(desk=desk, body=given, folder=folder, venue=venue, clock=clock, signed=signed)
        pool.close()


def submitted(world: SimpleNamespace, **changes: Passed) -> VenueSubmission:
    """The fixture's proof, or what is changed of it."""
    return VenueSubmission.read(world.body | changes)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"challenge": "00" * 32}, VerificationError),
        ({"snapshot": "00" * 32}, VerificationError),
        ({"attestations": []}, VerificationError),
        ({"commitments": []}, InputError),
        ({"proof": "AAAA"}, ProofFormatError),
        ({"proof": "!"}, InputError),
        ({"proof": "AAB="}, InputError),  # base64, but not the one text of these bytes
        ({"challenge": None}, InputError),
        ({"snapshot": 5}, InputError),
        ({"commitments": {}}, InputError),
    ],
)
def test_what_is_refused(world: SimpleNamespace, change: JsonObject, error: type[Exception]) -> None:
    with pytest.raises(error):
        judge_venue(world.desk, submitted(world, **change), actor="venue")


def test_only_a_challenge_to_this_venue_counts(world: SimpleNamespace) -> None:
    desk: Desk = world.desk
    (other,) = intake.venue_challenge(desk, "another venue", count=1, lifetime_seconds=60, actor="venue")
    (own,) = intake.challenge(desk, LARGE, count=1, lifetime_seconds=60)
    for challenge in (other, own):  # another venue's, and an account's
        with pytest.raises(VerificationError, match="not issued to this venue"):
            judge_venue(desk, submitted(world, challenge=challenge.digest().hex()), actor="venue")
    named = world.venue.statement.terms.replaced(venue="another venue")
    with pytest.raises(VerificationError, match="not issued to this venue"):  # another venue answers this one's
        judge_venue(desk, submitted(world, terms=named.to_json()), actor="venue")
    with pytest.raises(VerificationError):  # another venue's terms under its own challenge: the proof is of this one's
        judge_venue(desk, submitted(world, terms=named.to_json(), challenge=other.digest().hex()), actor="venue")


def test_an_account_cannot_answer_a_venues_challenge(world: SimpleNamespace) -> None:
    digests = {name: world.body[name] for name in ("challenge", "snapshot")}
    commitment = world.venue.statement.commitments[0].digest().hex()
    given = Submission(account=LARGE, commitment=commitment, proof="00" * 44, **digests)
    (verdict,) = judging.judge(world.desk, [given])
    assert isinstance(verdict, VerificationError)
    assert (verdict.check, verdict.message) == ("challenge", "the challenge was not issued to this account")


def test_a_challenge_whose_time_is_over_is_not_answered(world: SimpleNamespace) -> None:
    world.clock.now_ms += 400_000
    with pytest.raises(VerificationError) as late:
        judge_venue(world.desk, submitted(world), actor="venue")
    world.clock.now_ms -= 400_000
    assert late.value.check == "challenge"


def test_it_is_accepted_once_with_a_receipt_and_its_committed_account_is_proven(world: SimpleNamespace) -> None:
    desk: Desk = world.desk
    (before,) = reading.roster(desk)
    receipt = judge_venue(desk, submitted(world), actor="venue")
    said = receipt.payload
    assert said.venue is not None
    assert (said.verifier, said.venue.terms, said.challenge) == (
        NAME,
        world.venue.statement.terms.digest().hex(),
        world.body["challenge"],
    )
    assert reading.owner_of(desk, said.statement) == reading.Owner(venue=VENUE)  # whom its receipt is for
    assert reading.receipt(desk, said.statement) == receipt
    (row,) = reading.roster(desk)
    assert (before.state, row.state, row.proofs) == ("uncovered", "covered", 1)
    assert row.last is not None
    assert (row.last.statement, row.last.ratio, row.last.counts) == (said.statement, "1/1", True)
    times = [format_time(parse_time(world.venue.snapshot.time) + step) for step in (-1000, 1000)]
    covered = reading.coverage(desk, LARGE, "main", begin=times[0], end=times[1]).payload
    assert [one.statement for one in covered.snapshots] == [said.statement]
    with desk.ledger.database.reading() as connection:
        kinds = [event.kind for event in store.events_after(connection, 0, account=None, limit=100)]
        lines = [(line.action, line.outcome) for line in store.audit_lines(connection, before=None, limit=100)]
    assert kinds[-3:] == ["venue-proof", "accepted", "state"]
    assert lines[0] == ("venue-proof", "done")
    assert ("venue-proof", "refused") in lines
    assert desk.ledger.audit(key=signers()["desk"].public).bad == []


def test_a_replay_is_named_and_a_challenge_counts_once(world: SimpleNamespace) -> None:
    desk: Desk = world.desk
    with pytest.raises(AlreadyAccepted) as again:
        judge_venue(desk, submitted(world), actor="venue")
    assert again.value.statement == reading.roster(desk)[0].last.statement  # type: ignore[union-attr]
    other = body(world.venue, world.body["challenge"], world.signed, seed="of the same, anew")
    assert other["proof"] != world.body["proof"]
    with pytest.raises(VerificationError, match="accepted for this challenge before"):
        judge_venue(desk, VenueSubmission.read(other), actor="venue")
    assert reading.roster(desk)[0].proofs == 1


def test_an_account_is_proven_only_where_the_proof_says_it_of_what_is_registered(world: SimpleNamespace) -> None:
    desk: Desk = world.desk

    def put(closed: int) -> None:
        desk.ledger.database.write(lambda connection: store.put_account(connection, LARGE, desk.clock(), closed=closed))
        desk.forget(LARGE)

    # one after the other: each is a later statement of the same parts, and the last closes the account
    for sequence, why in enumerate(("exemptions", "other parts", "closed"), 2):
        (challenge,) = intake.venue_challenge(desk, VENUE, count=1, lifetime_seconds=300, actor="venue")
        # the commitment that is registered, under terms by which somebody may miss the claim
        more: Keywords = {"exempt": 0} if why == "exemptions" else {}
        venue = venue_lab.Venue(srs=embedded(), dense=[DENSE], context=challenge.context, **more)
        signed = attestations(venue, desk.clock(), sequence)
        for one in signed if why != "other parts" else ():
            intake.attest(desk, one, actor="venue")
        if why == "closed":
            put(1)
        judge_venue(desk, VenueSubmission.read(body(venue, challenge.digest().hex(), signed)), actor="venue")
        assert reading.roster(desk)[0].proofs == 1, why
    put(0)


def test_the_ledger_beside_a_service_is_a_ledger(world: SimpleNamespace, tmp_path: Path) -> None:
    with Ledger(world.folder / "venue.db", read_only=True) as ledger:
        assert ledger.audit().bad == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_over_http_with_the_client(tmp_path: Path) -> None:
    """A challenge for the venue that the token names, the proof, its receipt; nobody else is given one."""
    snapshot = venue_lab.snapshot().replaced(time=format_time(clock_ms() // 1000 * 1000))
    with running(tmp_path, own_trust=trusted(snapshot.policy.digest().hex())) as service:
        service.issue("publisher", "publisher")
        service.issue("auditor", "auditor")
        service.issue("exchange", "venue", VENUE)
        service.issue("other", "venue", "another venue")
        with service.client("publisher") as publisher:
            payload = SnapshotPayload.of(snapshot, series="main", sequence=1)
            publisher.publish(snapshot, Attestation(payload=payload).signed(signers()["oracle"]))
        with service.client("exchange") as client:
            (challenge,) = client.venue_challenges(VENUE, lifetime_seconds=600)
            venue = venue_lab.Venue(srs=embedded(), market=snapshot, dense=[DENSE], context=challenge.context)
            given: Keywords = {"snapshot": snapshot.digest().hex(), "challenge": challenge}
            given |= {"commitments": venue.statement.commitments, "attestations": attestations(venue, clock_ms())}
            proof, terms = venue.prove(), venue.statement.terms
            for name in ("publisher", "auditor", "other"):  # a stolen token of another may not hand it over
                with service.client(name) as stranger, pytest.raises(Denied):
                    stranger.submit_venue_proof(terms, proof, **given)
            receipt = client.submit_venue_proof(terms, proof, **given)
            assert client.receipt(receipt.payload.statement) == receipt
            with pytest.raises(AlreadyAccepted) as again:
                client.submit_venue_proof(terms, proof, **given)
            assert again.value.statement == receipt.payload.statement
            with pytest.raises(InputError, match="count"):
                client.venue_challenges(VENUE, count=100_000)
        for name in ("publisher", "auditor", "other"):
            with service.client(name) as stranger, pytest.raises(Denied):
                stranger.venue_challenges(VENUE)
        with service.client("auditor") as auditor, service.client("other") as other:
            assert auditor.receipt(receipt.payload.statement) == receipt
            with pytest.raises(NotFound):  # nobody learns what another venue proved
                other.receipt(receipt.payload.statement)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_tables_of_the_version_before_are_brought_forward(tmp_path: Path, kind: str) -> None:
    if kind == "sqlite":
        _forward(str(tmp_path / "venue.db"))
        return
    with Server() as server:
        _forward(new_database(server.folder))


def _forward(where: str) -> None:
    """From version 1, in which a proof was of one account, with a row in it."""
    values = {column.name: "x" if column.type.python_type is str else 1 for column in tables.proofs.columns}
    with Ledger(where, signer=signers()["desk"]) as ledger:
        pool = Pool(1)
        Desk(SETTINGS, trust(), (), signers()["desk"], ledger, pool)

        def back(connection: Passed) -> None:
            for name in ("proofs", "trend"):
                connection.execute(text(f"ALTER TABLE service_accounts DROP COLUMN {name}"))
            connection.execute(
                text(
                    "INSERT INTO service_accounts (account, terms, keys, closed, state, since_ms) "
                    "VALUES ('x', '{}', '[]', 1, 'uncovered', 1)"
                )
            )
            for index in tables.proofs.indexes:
                index.drop(connection)
            for table in (tables.venue_challenges, tables.proofs):
                table.drop(connection)
            columns = [Column(one.name, one.type, primary_key=one.primary_key) for one in tables.proofs.columns]
            old = Table(tables.proofs.name, type(tables.metadata)(), *columns)
            old.c.statement.unique = True
            old.create(connection)
            for name in ("account", "snapshot"):
                connection.execute(text(f"CREATE INDEX service_proofs_{name} ON service_proofs (account, number)"))
            connection.execute(insert(old).values(values))
            key = ledger_tables.meta.c.key == "service"
            connection.execute(update(ledger_tables.meta).where(key).values(value="zkmargin/service/v1"))

        ledger.database.write(back)
        desk = Desk(SETTINGS, trust(), (), signers()["desk"], ledger, pool)
        pool.close()
        with ledger.database.reading() as connection:
            assert [dict(row._mapping) for row in connection.execute(select(tables.proofs))] == [values]
            found = connection.execute(select(ledger_tables.meta.c.value).where(ledger_tables.meta.c.key == "service"))
            assert found.scalar_one() == tables.SCHEMA
            counted = select(tables.accounts.c.account, tables.accounts.c.proofs, tables.accounts.c.trend)
            assert [tuple(row) for row in connection.execute(counted)] == [("x", 1, '["1/1"]')]
        another = values | {"number": 2, "account": "y"}  # of the same statement
        ledger.database.write(lambda connection: connection.execute(insert(tables.proofs).values(another)))
        intake.venue_challenge(desk, VENUE, count=1, lifetime_seconds=60, actor="venue")
