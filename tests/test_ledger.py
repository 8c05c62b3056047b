"""The ledger on SQLite and on PostgreSQL: what is recorded, what is refused, what was damaged."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update
from support.ledger_world import CLAIM, LIMIT, NOW, World, ledger_world

from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.ledger import Entry, Ledger, database, records, tables
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Attestation, Challenge, Sighting, SnapshotPayload, Trust, accept

New = Callable[[], str]


@pytest.fixture(scope="module")
def world() -> World:
    return ledger_world()


@pytest.fixture
def ledger(new_ledger: Callable[[], str]) -> Iterator[Ledger]:
    with Ledger(new_ledger()) as opened:
        yield opened


# What is recorded


def test_an_accepted_proof_is_there_with_all_that_it_was_accepted_from(ledger: Ledger, world: World) -> None:
    acceptance = world.accepted("0", attestations=world.attestations())
    receipt = acceptance.receipt(software="the tests")
    ledger.record(acceptance, receipt)
    (entry,) = ledger.entries()
    assert entry == Entry(
        statement=acceptance.statement_digest.hex(),
        proof=world.proofs["0"],
        snapshot=world.snapshot.digest().hex(),
        commitment=entry.commitment,
        trust=world.trust.digest().hex(),
        challenge=None,
        receipt=receipt.digest().hex(),
        snapshot_ms=NOW - 5_000,
        claim=CLAIM,
        limits=(),
        context=b"0",
        attestations=tuple(sorted(a.digest().hex() for a in world.attestations())),
        accepted_ms=NOW,
    )
    assert ledger.document(Trust, entry.trust or "") == world.trust
    assert ledger.check(entry).statement_digest == acceptance.statement_digest
    assert ledger.statement(entry).parts == acceptance.statement.parts
    (account,) = ledger.accounts()
    assert (account.alias, account.last, account.proofs) == ("maker", entry, 1)
    assert ledger.counts() == {"proofs": 1, "documents": 7, "streams": 3, "challenges": 0}


def test_limits_and_challenge_are_kept_exactly(ledger: Ledger, world: World) -> None:
    with pytest.raises(VerificationError, match="was not issued by this ledger"):
        ledger.record(world.accepted("challenge limit"))
    ledger.issue(world.challenge)
    ledger.record(world.accepted("challenge limit"))
    (entry,) = ledger.entries()
    assert entry.limits == (LIMIT,)
    assert ledger.document(Challenge, entry.challenge or "") == world.challenge
    assert ledger.challenge_used(world.challenge.digest())
    assert ledger.open_challenges() == []
    ledger.check(entry)


def test_the_newest_proof_of_an_account_is_about_the_newest_snapshot(ledger: Ledger, world: World) -> None:
    ledger.record(world.accepted("0"))
    ledger.record(world.accepted("1"))
    (account,) = ledger.accounts()
    assert (account.last.context, account.proofs) == (b"1", 2)
    assert [entry.context for entry in ledger.entries()] == [b"0", b"1"]


def test_a_ledger_is_what_accept_asks(ledger: Ledger, world: World) -> None:
    ledger.record(world.accepted("0", attestations=world.attestations(5)))
    stream = ("snapshot", "main")
    payload = SnapshotPayload.of(world.snapshot, series="main", sequence=5)
    digest = Attestation(payload=payload).payload_digest.hex()
    assert ledger.newest(stream) == Sighting(5, digest)
    assert ledger.newest(("snapshot", "other")) is None
    statement = Statement.of(world.snapshot, [world.commitment], CLAIM, context=b"0")
    with pytest.raises(VerificationError, match="a replay") as caught:
        accept(statement, world.proofs["0"], now_ms=NOW, known=ledger)
    assert caught.value.check == "replay"
    other = Statement.of(world.snapshot, [world.commitment], CLAIM, context=b"1")
    with pytest.raises(VerificationError, match="superseded: number 5 was seen"):
        accept(
            other,
            world.proofs["1"],
            now_ms=NOW,
            trust=world.trust,
            attestations=world.attestations(4),
            known=ledger,
        )


def test_what_is_recorded_survives_closing(new_ledger: New, world: World) -> None:
    where = new_ledger()
    with Ledger(where) as first:
        first.record(world.accepted("0"))
    with Ledger(where) as second:
        (entry,) = second.entries()
        second.check(entry)


# What is refused, and leaves no trace


def refused(ledger: Ledger, acceptance: Acceptance, reason: str) -> None:
    before = ledger.counts(), list(ledger.entries())
    with pytest.raises(ZkMarginError, match=reason):
        ledger.record(acceptance)
    assert (ledger.counts(), list(ledger.entries())) == before


def test_a_statement_is_recorded_once(ledger: Ledger, world: World) -> None:
    ledger.record(world.accepted("0"))
    refused(ledger, world.accepted("0"), "in the ledger already: a replay")
    again = prove(
        Statement.of(world.snapshot, [world.opening.commitment()], CLAIM, context=b"0"), world.lots, [world.opening]
    )
    assert again != world.proofs["0"]
    refused(ledger, replace(world.accepted("0"), proof=again), "in the ledger already: a replay")


def test_a_challenge_is_answered_once(ledger: Ledger, world: World) -> None:
    ledger.issue(world.challenge)
    ledger.issue(world.challenge)
    assert ledger.open_challenges() == [world.challenge]
    first, second = world.accepted("challenge"), world.accepted("challenge limit")
    ledger.record(first)
    refused(ledger, second, "accepted for this challenge before")


def test_what_was_not_verified_is_not_recorded(ledger: Ledger, world: World) -> None:
    good = world.accepted("0")
    bent = bytearray(good.proof)
    bent[-1] ^= 1
    for proof in (bytes(bent), world.proofs["1"], b"", good.proof[:-1]):
        with pytest.raises((VerificationError, ProofFormatError)):
            ledger.record(replace(good, proof=proof))
    other = replace(good, accepted=replace(good.accepted, statement_digest=bytes(32)))
    refused(ledger, other, "of another statement")
    assert ledger.counts() == {"proofs": 0, "documents": 0, "streams": 0, "challenges": 0}


def test_older_and_contradicting_attestations_are_refused_at_the_last_moment(ledger: Ledger, world: World) -> None:
    older = world.accepted("0", attestations=world.attestations(6))
    other = world.accepted("0", attestations=world.attestations(7, expires="2026-01-04T00:00:00Z"))
    # both were accepted while the ledger was empty; another verifier is faster
    ledger.record(world.accepted("1", attestations=world.attestations(7)))
    refused(ledger, older, "superseded: number 7 was seen")
    refused(ledger, other, "contradicts")


def test_what_is_seen_together_is_seen_whole_or_not_at_all(ledger: Ledger, world: World) -> None:
    """Two that contradict each other in one call: neither stays."""
    first, other = world.attestations(5)[1], world.attestations(5, expires="2026-01-05T00:00:00Z")[1]
    older, later = world.attestations(4)[1], world.attestations(6)[1]

    def see(*signed: Attestation) -> None:
        ledger.database.write(lambda connection: ledger.keep(connection, now_ms=0, seen=signed))

    for second, why in ((other, "contradicts"), (older, "superseded")):
        with pytest.raises(VerificationError, match=why):
            see(first, second)
        assert ledger.counts()["streams"] == 0
    see(older, later, later)
    with pytest.raises(VerificationError, match="number 6 was seen"):
        ledger.see(first, world.trust)


def test_an_attestation_that_was_seen_supersedes_older_ones(ledger: Ledger, world: World) -> None:
    for attestation in world.attestations(3):
        assert ledger.see(attestation, world.trust).signers
        ledger.see(attestation, world.trust)
    with pytest.raises(VerificationError, match="superseded"):
        ledger.see(world.attestations(2)[1], world.trust)
    with pytest.raises(VerificationError, match="contradicts"):
        ledger.see(world.attestations(3, expires="2026-01-05T00:00:00Z")[1], world.trust)
    with pytest.raises(VerificationError, match="not signed by anyone"):
        ledger.see(world.attestations(9)[0].model_copy(update={"signatures": ()}), world.trust)
    refused(ledger, world.accepted("0", attestations=world.attestations(2)), "superseded")
    ledger.record(world.accepted("0", attestations=world.attestations(4)))


def test_secrets_do_not_get_in(ledger: Ledger, world: World) -> None:
    with pytest.raises(InputError, match="secret document"):
        ledger._database.write(lambda connection: records.store(connection, world.opening))
    assert ledger.counts()["documents"] == 0


def test_a_damaged_record_is_noticed(ledger: Ledger, world: World) -> None:
    ledger.record(world.accepted("0"))
    with ledger._database.engine.begin() as connection:
        connection.execute(update(tables.proofs).values(proof=world.proofs["1"]))
    (entry,) = ledger.entries()
    with pytest.raises(VerificationError):
        ledger.check(entry)
    with ledger._database.engine.begin() as connection:
        connection.execute(update(tables.proofs).values(proof=world.proofs["0"], statement="00" * 32))
    (entry,) = ledger.entries()
    with pytest.raises(VerificationError, match="another statement"):
        ledger.check(entry)
    body = world.snapshot.to_bytes().replace(b"USDC", b"USDX")
    with ledger._database.engine.begin() as connection:
        connection.execute(
            update(tables.documents).where(tables.documents.c.digest == entry.snapshot).values(body=body)
        )
    with pytest.raises(InputError):
        ledger.check(entry)
    with pytest.raises(InputError, match="not in the ledger"):
        ledger.document(Snapshot, "11" * 32)


def test_a_document_that_is_text_in_the_table_is_damaged(tmp_path: Path, world: World) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(world.accepted("0"))
        (entry,) = ledger.entries()
        with ledger._database.engine.begin() as connection:
            connection.exec_driver_sql("update documents set body = 'by hand'")
        with pytest.raises(InputError, match="is damaged: no bytes"):
            ledger.check(entry)


# Where it is


def test_another_version_is_refused(new_ledger: New) -> None:
    where = new_ledger()
    with Ledger(where) as ledger, ledger._database.engine.begin() as connection:
        connection.execute(update(tables.meta).values(value="zkmargin/ledger/v9"))
    with pytest.raises(InputError, match="no ledger of this version"):
        Ledger(where)


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Ledger(f"sqlite:///{path}").close()


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("mysql://user:hunter2@host/db", "neither an SQLite file nor a PostgreSQL database"),
        ("sqlite://", "neither an SQLite file nor a PostgreSQL database"),
        ("sqlite:///:memory:", "neither an SQLite file nor a PostgreSQL database"),
        ("sqlite:///file:abc.db?mode=memory&uri=true", "takes a path, and nothing after it"),
        ("sqlite:///file:real.db", "takes a path, and nothing after it"),
        ("sqlite:///real.db?uri=true", "takes a path, and nothing after it"),
        ("postgresql://user:hunter2@[::1/db", "not a URL"),
        ("postgresql://user:hunter2@/db?host=/nowhere", "the ledger cannot be used"),
        ("/nowhere/ledger.db", "cannot be opened: no such file or directory"),
        ("/dev", "cannot be opened"),
    ],
)
def test_what_is_no_place_for_a_ledger(where: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        Ledger(where)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


def test_another_file_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_text("{}" * 600)
    with pytest.raises(InputError, match="file is not a database"):
        Ledger(path)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE meta (something TEXT)")
    connection.close()
    with pytest.raises(InputError, match="is a database of another program"):
        Ledger(tmp_path / "other.db")


def test_a_full_or_read_only_disk_is_an_error_in_words(tmp_path: Path, world: World) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        with ledger._database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        ledger._database.engine.dispose()

        from sqlalchemy import event

        @event.listens_for(ledger._database.engine, "connect")
        def full(connection: sqlite3.Connection, _: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")

        with pytest.raises(InputError, match="database or disk is full"):
            ledger.record(world.accepted("0"))
        assert ledger.counts()["proofs"] == 0


def test_a_conflict_that_never_ends_is_reported(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_ATTEMPTS", 3)
    attempts = []

    def clash(connection: Connection) -> None:
        attempts.append(1)
        connection.execute(insert(tables.meta).values(key="schema", value="again"))

    with pytest.raises(InputError, match="cannot be used"):
        ledger._database.write(clash)
    assert len(attempts) == 3
