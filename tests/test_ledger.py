"""The ledger on SQLite and on PostgreSQL: what is recorded, what is refused, crashes, and many writers at once."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update

from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.crypto import ed25519
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError, save_document, write_atomic
from zkmargin.ledger import Entry, Ledger, database, records, tables
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Challenge,
    CommitmentPayload,
    Rule,
    Sighting,
    SnapshotPayload,
    SnapshotRule,
    Trust,
    accept,
)

TIME = "2026-01-02T03:04:05Z"
NOW = 1_767_323_045_000 + 5_000
CLAIM = Claim()
LIMIT = Limit.parse("net-exposure BTC <= 1000.5")

New = Callable[[], str]

POLICY = load_policy("default").digest().hex()


@dataclass
class World:
    """Everything that proofs are made and accepted from; few proofs, used by many tests."""

    snapshot: Snapshot
    lots: BookLots
    opening: Opening
    signers: dict[str, SecretSigner]
    trust: Trust
    challenge: Challenge
    proofs: dict[str, bytes]

    @property
    def commitment(self) -> Commitment:
        return self.opening.commitment()

    def attestations(self, sequence: int = 1, *, expires: str = "2026-01-03T00:00:00Z") -> list[Attestation]:
        made = [
            Attestation(payload=SnapshotPayload.of(self.snapshot, series="main", sequence=sequence)).signed(
                self.signers["oracle"]
            )
        ]
        for part in self.commitment.parts:
            payload = CommitmentPayload.of(
                part,
                srs=self.commitment.srs,
                domain_size=self.commitment.domain_size,
                issuer=part.role,
                part="main",
                sequence=sequence,
                issued=TIME,
                expires=expires,
                beneficiary="desk" if part.role == "collateral" else None,
            )
            made.append(Attestation(payload=payload).signed(self.signers[part.role]))
        return made

    def accepted(self, name: str = "0", *, attestations: list[Attestation] | None = None) -> Acceptance:
        """The acceptance of a proof by its context; ``challenge`` answers the challenge, with other limits too."""
        if name.startswith("challenge"):
            limits = [LIMIT] if name == "challenge limit" else []
            statement = Statement.of(
                self.snapshot, [self.commitment], CLAIM, context=self.challenge.context, limits=limits
            )
            return accept(statement, self.proofs[name], now_ms=NOW, challenge=self.challenge)
        statement = Statement.of(self.snapshot, [self.commitment], CLAIM, context=name.encode())
        if attestations is None:
            return accept(statement, self.proofs[name], now_ms=NOW)
        return accept(statement, self.proofs[name], now_ms=NOW, trust=self.trust, attestations=attestations)


def new_signer(name: str) -> SecretSigner:
    secret = ed25519.generate_secret()
    return SecretSigner(PublicKey(name=name, scheme="ed25519", public_key=ed25519.public_key(secret).hex()), secret)


@pytest.fixture(scope="module")
def world() -> World:
    market = example_market(TIME)
    snapshot = build_snapshot(market, load_policy("default"), domain_size=512)
    lots = to_lots(Book.model_validate(example_book(market)), snapshot)
    opening = commit_book(snapshot, lots, alias="maker")
    signers = {name: new_signer(name) for name in ("oracle", "positions", "collateral")}
    trust = Trust(
        verifier="desk",
        beneficiary="desk",
        keys=tuple(signer.public for signer in signers.values()),
        snapshots=(
            SnapshotRule(name="main", signers=("oracle",), threshold=1, max_age_seconds=600, policies=(POLICY,)),
        ),
        positions=(Rule(name="positions", signers=("positions",), threshold=1),),
        collateral=(Rule(name="collateral", signers=("collateral",), threshold=1),),
    )
    challenge = Challenge.new("desk", lifetime_seconds=600, now_ms=NOW - 1000)

    def proof(context: bytes, *limits: Limit) -> bytes:
        statement = Statement.of(snapshot, [opening.commitment()], CLAIM, context=context, limits=limits)
        return prove(statement, lots, [opening])

    proofs = {name: proof(name.encode()) for name in "0123"}
    proofs["challenge"] = proof(challenge.context)
    proofs["challenge limit"] = proof(challenge.context, LIMIT)
    return World(snapshot, lots, opening, signers, trust, challenge, proofs)


@pytest.fixture
def ledger(new_ledger: New) -> Iterator[Ledger]:
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


# Real processes

#: A verifier process: accepts the proofs that it is given the names of, waits for the word, and records them. With
#: ``die``, it does so once for every step to the database, each time in an empty ledger and in a child of its own that
#: is killed at this step.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from zkmargin.engine.limits import Limit
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import VerificationError, load_document
from zkmargin.verifier import Statement
from zkmargin.accounts import Commitment
from zkmargin.verifier.attest import Challenge, accept
from zkmargin.ledger import Ledger

mode, folder, now, *names = sys.argv[1:]
folder, steps, die_at = Path(folder), 0, 0

def step(*_):
    global steps
    steps += 1
    if steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
    event.listen(Engine, name, step)

snapshot = load_document(Snapshot, folder / "snapshot.json")
commitment = load_document(Commitment, folder / "commitment.json")
challenge = load_document(Challenge, folder / "challenge.json")
prepared = []
for name in names:
    answers = challenge if name.startswith("challenge") else None
    limits = [Limit.parse("net-exposure BTC <= 1000.5")] if name == "challenge limit" else []
    context = answers.context if answers else name.encode()
    statement = Statement.of(snapshot, [commitment], Claim(), context=context, limits=limits)
    proof = (folder / f"{name}.bin").read_bytes()
    prepared.append((name, accept(statement, proof, now_ms=int(now), challenge=answers)))

def record(where):
    with Ledger(where) as ledger:
        for name, acceptance in prepared:
            if acceptance.challenge is not None:
                ledger.issue(acceptance.challenge)
            try:
                ledger.record(acceptance)
                print("recorded", name, flush=True)
            except VerificationError as error:
                print("refused", name, error.check, flush=True)

print("ready", flush=True)
for line in sys.stdin:
    where, steps = line.strip(), 0
    if mode == "live":
        record(where)
        break
    die_at += 1
    child = os.fork()
    if child == 0:
        record(where)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else f"exit {status}", flush=True)
"""


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ledger")
    save_document(world.snapshot, home / "snapshot.json")
    save_document(world.commitment, home / "commitment.json")
    save_document(world.challenge, home / "challenge.json")
    for name, proof in world.proofs.items():
        write_atomic(home / f"{name}.bin", proof)
    (home / "recorder.py").write_text(SCRIPT)
    return home


class Recorder:
    """The process of ``SCRIPT``."""

    def __init__(self, folder: Path, *names: str, mode: str = "live") -> None:
        self.process = subprocess.Popen(
            [sys.executable, folder / "recorder.py", mode, folder, str(NOW), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self, where: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(where + "\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """What it said after it was told to go on."""
        out, _ = self.process.communicate()
        return out.splitlines()


Start = Callable[..., Recorder]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts recorders; none of them outlives the test."""
    started: list[Recorder] = []

    def begin(*names: str, mode: str = "live") -> Recorder:
        started.append(Recorder(folder, *names, mode=mode))
        return started[-1]

    yield begin
    for recorder in started:
        recorder.process.kill()
        recorder.process.communicate()


def run_at_once(where: str, *recorders: Recorder) -> list[list[str]]:
    for recorder in recorders:
        assert recorder.read() == "ready"
    for recorder in recorders:
        recorder.go(where)
    results = [recorder.finish() for recorder in recorders]
    assert [recorder.process.returncode for recorder in recorders] == [0] * len(recorders)
    return results


def test_of_many_verifiers_one_records_a_statement(new_ledger: New, start: Start) -> None:
    where = new_ledger()
    # the ledger does not exist yet: they make it at the same time too
    results = run_at_once(where, *(start("0", "1", "2", "3") for _ in range(4)))
    lines = [line for lines in results for line in lines]
    for name in "0123":
        assert lines.count(f"recorded {name}") == 1
        assert lines.count(f"refused {name} replay") == 3
    with Ledger(where) as ledger:
        assert sorted(entry.context for entry in ledger.entries()) == [b"0", b"1", b"2", b"3"]
        for entry in ledger.entries():
            ledger.check(entry)


def test_of_many_verifiers_one_accepts_an_answer_to_a_challenge(new_ledger: New, world: World, start: Start) -> None:
    where = new_ledger()
    names = ("challenge", "challenge limit", "challenge", "challenge limit")
    results = run_at_once(where, *(start(name) for name in names))
    assert sorted(lines[0].split()[0] for lines in results) == ["recorded", "refused", "refused", "refused"]
    with Ledger(where) as ledger:
        (entry,) = ledger.entries()
        assert entry.challenge == world.challenge.digest().hex()
        assert ledger.open_challenges() == []


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_lost_or_half_there(new_ledger: New, world: World, start: Start) -> None:
    """Killed before and after every statement to the database, its creation's too, and before every commit."""
    recorder = start("challenge", mode="die")
    assert recorder.read() == "ready"
    killed = 0
    while True:
        where = new_ledger()
        recorder.go(where)
        said = recorder.read()
        acknowledged = said == "recorded challenge"
        ended = recorder.read() if acknowledged else said
        assert_sound(where, world, acknowledged=acknowledged)
        if ended != "killed":
            assert (acknowledged, ended) == (True, "exit 0")
            break
        killed += 1
    assert killed > 30


def assert_sound(where: str, world: World, *, acknowledged: bool) -> None:
    """All of the proof is there, or nothing of it; then it can be recorded now."""
    with Ledger(where) as ledger:
        entries = list(ledger.entries())
        assert len(entries) <= 1
        if acknowledged:
            assert entries
        for entry in entries:
            ledger.check(entry)
        assert ledger.challenge_used(world.challenge.digest()) == bool(entries)
        expected = {"proofs": 1, "documents": 3, "streams": 0, "challenges": 1}
        issued = len(ledger.open_challenges())  # or not yet
        nothing = {"proofs": 0, "documents": issued, "streams": 0, "challenges": issued}
        assert ledger.counts() == (expected if entries else nothing)
        if entries:
            with pytest.raises(VerificationError, match="replay"):
                ledger.record(world.accepted("challenge"))
        else:
            ledger.issue(world.challenge)
            ledger.record(world.accepted("challenge"))
        assert ledger.counts() == expected
        assert ledger.audit().bad == []


@pytest.mark.slow
def test_killed_by_the_clock_among_others(new_ledger: New, start: Start) -> None:
    """Writers are killed at odd moments while others go on: whatever anyone was told is recorded, is recorded."""
    where = new_ledger()
    told: list[str] = []
    for delay in (0.02, 0.05):
        victim, survivor = start("0", "1"), start("2", "3")
        for recorder in (victim, survivor):
            assert recorder.read() == "ready"
        for recorder in (victim, survivor):
            recorder.go(where)
        with contextlib.suppress(subprocess.TimeoutExpired):
            victim.process.wait(delay)
        victim.process.kill()
        told += [line.split()[1] for r in (victim, survivor) for line in r.finish() if line.startswith("recorded")]
        assert survivor.process.returncode == 0
        with Ledger(where) as ledger:
            assert set(told) <= {entry.context.decode() for entry in ledger.entries()}
            for entry in ledger.entries():
                ledger.check(entry)
    assert len(told) == len(set(told))
    run_at_once(where, start("0", "1", "2", "3"))
    with Ledger(where) as ledger:
        assert ledger.counts()["proofs"] == 4
