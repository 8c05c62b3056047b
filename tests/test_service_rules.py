"""The venue's service by its rules: bundles, updates, withdrawals, revocations, a full queue, what is deleted when."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.typed import Unchecked
from support.venue_service import NAME, Account, Service, account, eventually, running, signers, snapshot, trust

from zkmargin.accounts import commit_book
from zkmargin.app.bundles import Around, make_bundle
from zkmargin.app.verifying import clock_ms
from zkmargin.client.errors import AlreadyAccepted, NotFound
from zkmargin.client.orders import WithdrawPart
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import Ledger
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, Revocations
from zkmargin.verifier.attest.revocations import RevocationsPayload

pytestmark = pytest.mark.in_order

#: Two wait for a verifier at most; a custodian may revoke.
CONFIG = "[limits]\ncalls_per_second = 1000\nburst = 1000\nqueue = 2\nmax_batch = 4\n[retention]\nevents_days = 30\n"
DAY_MS = 86_400_000
KEPT = ("service_refusals", "service_audit", "service_proofs", "records", "documents", "proofs")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    rule = {"name": "custodian", "signers": ["custodian"], "threshold": 1, "max_age_seconds": 86_400}
    own = trust(revocations=[rule])
    with running(tmp_path_factory.mktemp("rules") / "service", config=CONFIG, own_trust=own) as one:
        one.issue("publisher", "publisher")
        with one.client("publisher") as publisher:  # before anything that is signed is believed
            publisher.revoke(revocations(1))
        one.settle_in("alice", "bob", "carol")
        yield one


def rows(database: sqlite3.Connection, table: str) -> int:
    """How many there are."""
    (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names of ours
    return int(count)


def revocations(sequence: int, *revoked: Attestation) -> Revocations:
    """The custodian's list."""
    listed = [{"payload": one.payload_digest.hex(), "reason": "the wallet moved"} for one in revoked]
    values: dict[str, Unchecked] = {"issuer": "custodian", "sequence": sequence, "time": format_time(clock_ms() - 1000)}
    payload = RevocationsPayload.model_validate(values | {"attestations": listed})
    return Revocations(payload=payload).signed(signers()["custodian"])


def bundle(name: str, challenge: Challenge | None) -> bytes:
    """A bundle of a proof that answers a challenge."""
    own = account(name)
    context = b"of nobody" if challenge is None else challenge.context
    commitment = own.opening.commitment()
    statement = Statement.of(snapshot(), [commitment], Claim(), context=context)
    proof = prove(statement, own.lots, [own.opening], threads=1)
    # a trust file that would believe anybody: evidence, never authority
    around = Around(challenge=challenge, trust=trust(verifier="whoever", receipts=[]))
    return make_bundle(statement, [commitment], proof, around).to_bytes()


def test_a_bundle_is_a_submission_and_nothing_more(service: Service) -> None:
    with service.client("alice") as alice, service.client("bob") as bob:
        made = bundle("alice", alice.challenge("alice", lifetime_seconds=600))
        with pytest.raises(NotFound):  # another's token
            bob.submit_bundle(made)
        receipt = alice.submit_bundle(made)
        assert receipt.payload.trust != trust(verifier="whoever", receipts=[]).digest().hex()
        assert alice.receipt(receipt.payload.statement) == receipt
        with pytest.raises(AlreadyAccepted):
            alice.submit_bundle(made)
        with pytest.raises(InputError, match="answers no challenge"):
            alice.submit_bundle(bundle("alice", None))
        own = Challenge.new(NAME, lifetime_seconds=60, now_ms=clock_ms())  # not issued by the service
        with pytest.raises(VerificationError, match="not issued"):
            alice.submit_bundle(bundle("alice", own))
        with pytest.raises(InputError, match="format"):
            alice.submit_bundle(b'{"format": "zkmargin/evidence/v9"}')


def test_a_full_queue_sends_away(service: Service) -> None:
    with service.client("alice") as alice:
        submission = account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot())
        with pytest.raises(InputError, match="2 wait at most"):  # 503 would be said of it for ever
            alice.submit_batch([submission] * 3)
        several = [submission.model_copy(update={"challenge": f"{number:064x}"}) for number in (1, 2)]
        body = b'{"submissions": [%b]}' % b",".join(one.to_bytes() for one in several)
        headers = {"authorization": f"Bearer {service.tokens['alice']}"}

        def ask(_: int) -> httpx.Response:
            return httpx.post(service.url + "/v1/batches", content=body, headers=headers, timeout=60)

        answers = list[httpx.Response]()
        with ThreadPoolExecutor(16) as threads:
            while all(one.status_code != 503 for one in answers):
                answers += threads.map(ask, range(32))
        (away, *_) = [one for one in answers if one.status_code == 503]
        assert away.headers["retry-after"] == "1"
        assert "too many proofs wait" in away.text
        assert alice.submit(submission)  # nothing was lost by it
    count = sum(one.status_code == 503 for one in answers)
    with service.client("auditor") as auditor:
        assert f'zkmargin_denied_calls_total{{reason="queue"}} {count}.0' in metrics(service)
        assert {line.account for line in auditor.roster()} == {"alice", "bob", "carol"}


def metrics(service: Service) -> str:
    """What Prometheus is told."""
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    return httpx.get(service.url + "/metrics", headers=headers).text


def test_an_update_makes_a_proof_due_and_the_old_commitment_useless(service: Service) -> None:
    old = account("bob")
    with service.client("bob") as bob, service.client("publisher") as publisher:
        first, second, third = bob.challenges("bob", count=3, lifetime_seconds=600)
        bob.submit(old.answer(first, snapshot()))
        assert bob.account("bob").state == "covered"
        late = old.answer(second, snapshot())
        new = Account("bob", old.lots, commit_book(snapshot(), old.lots, alias="bob"))  # fresh blinders: other points
        for attestation in new.attestations(2):
            publisher.attest(attestation)
        assert bob.account("bob").state == "due"
        with pytest.raises(VerificationError, match="other parts") as refused:
            bob.submit(late)
        assert refused.value.check == "commitment"
        with pytest.raises(VerificationError, match="superseded"):
            publisher.attest(old.attestations(1)[0])
        bob.submit(new.answer(third, snapshot()))
        assert bob.account("bob").state == "covered"


def test_a_part_that_is_withdrawn_counts_no_more(service: Service) -> None:
    with service.client("carol") as carol:
        first, second = carol.challenges("carol", count=2, lifetime_seconds=600)
        carol.submit(account("carol").answer(first, snapshot()))
        part = WithdrawPart(account="carol", role="collateral", issuer="custodian")
        service.order(part)
        assert carol.account("carol").state == "uncovered"
        with pytest.raises(VerificationError):  # positions alone make no statement
            carol.submit(account("carol").answer(second, snapshot()))
        with pytest.raises(InputError, match="no such part"):
            service.order(part)


def test_what_is_revoked_covers_nobody(service: Service) -> None:
    with service.client("alice") as alice, service.client("publisher") as publisher:
        (collateral,) = [one for one in alice.attestations("alice") if one.payload.stream[2] == "collateral"]
        challenge = alice.challenge("alice", lifetime_seconds=600)
        submission = account("alice").answer(challenge, snapshot())
        publisher.revoke(revocations(2, collateral))
        assert alice.account("alice").state == "uncovered"
        with pytest.raises(VerificationError) as refused:
            alice.submit(submission)
        assert refused.value.check == "revocation"
        with pytest.raises(VerificationError, match="superseded"):  # a list is not taken back by an older one
            publisher.revoke(revocations(1))
        publisher.revoke(revocations(3))
        alice.submit(submission)
        assert alice.account("alice").state == "covered"


def test_what_is_old_is_deleted_and_receipts_never(service: Service) -> None:
    with service.client("auditor") as auditor:
        proofs = auditor.proofs("alice").items
        last = next(iter(auditor.events())).payload.number
    assert last == 1
    service.stop()
    with sqlite3.connect(service.folder / "venue.db") as database:
        old = clock_ms() - 31 * DAY_MS
        for table in ("service_events", "service_refusals", "service_audit"):
            database.execute(f"UPDATE {table} SET time_ms = ?", (old,))  # noqa: S608 - names of ours
        (newest,) = database.execute("SELECT max(number) FROM service_events").fetchone()
        kept = {table: rows(database, table) for table in KEPT}
    service.start()
    with service.client("auditor") as auditor:
        eventually(lambda: next(iter(auditor.events())).payload.number >= newest)  # the last stays: no number twice
        assert auditor.proofs("alice").items == proofs
        for line in proofs:
            auditor.receipt(line.statement)
    assert service.stop() == 0
    with sqlite3.connect(service.folder / "venue.db") as database:
        # refusals are kept for a year, the audit log for ten
        assert {table: rows(database, table) for table in KEPT} == kept
    with Ledger(service.folder / "venue.db", read_only=True) as ledger:
        assert ledger.audit(key=signers()["desk"].public).bad == []
