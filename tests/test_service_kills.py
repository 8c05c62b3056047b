"""Killed at any moment, service or database: no receipt that was acknowledged is lost, and none is given twice."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from support.postgresql import Server, new_database
from support.venue_service import TERMS, Service, account, descendants, eventually, running, signers, snapshot
from test_service_random_kills import patiently

from zkmargin.client import Submission
from zkmargin.client.errors import AlreadyAccepted, Denied, Unavailable
from zkmargin.client.orders import RegisterAccount, RevokeToken
from zkmargin.client.tokens import token_digest
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.service.alone import Alone
from zkmargin.verifier.attest import Receipt

PROOFS = 5
FAST = "[limits]\ncalls_per_second = 1000\nburst = 1000\n"


def answers(service: Service) -> list[Submission]:
    """Proofs that answer challenges which were issued before."""
    with service.client("alice") as client:
        return [
            account("alice").answer(one, snapshot())
            for one in client.challenges("alice", count=PROOFS, lifetime_seconds=600)
        ]


class Submitting(threading.Thread):
    """Submits proofs one after the other; what was acknowledged is in ``receipts``."""

    def __init__(self, service: Service, submissions: list[Submission]) -> None:
        super().__init__()
        self.service, self.submissions = service, submissions
        self.receipts: dict[int, Receipt] = {}

    def run(self) -> None:
        for place, submission in enumerate(self.submissions):
            with self.service.client("alice") as client, contextlib.suppress(Unavailable):
                self.receipts[place] = client.submit(submission)


def under_way(service: Service) -> Submitting:
    """Proofs are being submitted, at least one is acknowledged."""
    service.settle_in("alice")
    submitting = Submitting(service, answers(service))
    submitting.start()
    eventually(lambda: submitting.receipts)
    return submitting


def check_nothing_lost(service: Service, submitting: Submitting) -> None:
    """Every receipt is there, every proof is accepted once in the end, and the ledger is whole."""
    with service.client("alice") as client:
        for receipt in submitting.receipts.values():
            assert client.receipt(receipt.payload.statement) == receipt
        statements = set()
        for place, submission in enumerate(submitting.submissions):
            try:
                statements.add(patiently(partial(client.submit, submission)).payload.statement)
                assert place not in submitting.receipts
            except AlreadyAccepted as error:
                statements.add(error.statement)
        assert len(statements) == PROOFS
        assert client.account("alice").proofs == PROOFS
        assert len(client.proofs("alice").items) == PROOFS


def check_whole(database: str) -> None:
    with Ledger(database, read_only=True) as ledger:
        found = ledger.audit(key=signers()["desk"].public)
    assert (found.bad, found.verified) == ([], PROOFS)


def test_a_killed_service_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with running(tmp_path / "service", config=FAST) as service:
        submitting = under_way(service)
        service.kill()
        submitting.join()
        service.start()
        check_nothing_lost(service, submitting)
        assert service.stop() == 0
    check_whole(str(tmp_path / "service" / "venue.db"))


@pytest.mark.linux
def test_a_killed_verifier_costs_nobody_a_receipt(tmp_path: Path) -> None:
    with running(tmp_path / "service", config=FAST) as service:
        submitting = under_way(service)
        assert service.process is not None
        for pid in descendants(service.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        submitting.join()
        check_nothing_lost(service, submitting)
        assert len(submitting.receipts) >= PROOFS - 1


def test_a_killed_database_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with Server() as server:
        url = new_database(server.folder)
        with running(tmp_path / "service", database=url, config=FAST) as service:
            submitting = under_way(service)
            server.kill()
            submitting.join()
            with service.client("alice") as client, pytest.raises(Unavailable):
                client.submit(submitting.submissions[-1])
            server.start()
            eventually(_ready(service))
            check_nothing_lost(service, submitting)
            assert service.stop() == 0
        check_whole(url)


def end_locks(url: str) -> None:
    """The sessions that have a lock of a service end, as when the database is restarted, before this returns."""
    with psycopg.connect(url, autocommit=True) as connection:
        holders = "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        connection.execute(f"{holders} AND objid = {0x7A6B6D73}".encode())


def test_a_service_that_lost_its_database_says_nothing_and_writes_nothing(tmp_path: Path) -> None:
    """Stopped, its lock gone, another one at work: when it goes on it knows less than it thinks."""
    with Server() as server:
        url = new_database(server.folder)
        with running(tmp_path / "a", database=url, config=FAST) as one:
            one.issue("auditor", "auditor")
            one.issue("operator", "operator")
            with one.client("auditor") as auditor:
                assert auditor.roster() == []
            assert one.process is not None
            one.process.send_signal(signal.SIGSTOP)
            end_locks(url)
            with running(tmp_path / "b", database=url, config=FAST) as other:
                other.numbers, other.tokens = one.numbers, one.tokens
                other.order(RevokeToken.model_validate({"digest": token_digest(one.tokens["auditor"])}))
                one.process.send_signal(signal.SIGCONT)
                with one.client("auditor") as revoked, pytest.raises(Unavailable):
                    revoked.roster()
                with pytest.raises(Unavailable):
                    one.order(RegisterAccount(account="alice", terms=TERMS))
                assert httpx.get(f"{one.url}/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE
                with other.client("operator") as client:
                    assert client.roster() == []
            eventually(_ready(one))
            with one.client("auditor") as revoked, pytest.raises(Denied, match="revoked"):
                revoked.roster()
            one.order(RegisterAccount(account="alice", terms=TERMS))
            assert one.stop() == 0
        check_fence(url)


def check_fence(url: str) -> None:
    """A transaction that comes when the lock is gone ends, whoever looks for the lock when."""
    forgot: list[bool] = []
    with Ledger(url, signer=signers()["desk"]) as ledger, Alone(ledger.database) as alone:
        alone.taken_anew = lambda: forgot.append(True)
        ledger.database.write(lambda _: None)
        end_locks(url)
        with pytest.raises(Unavailable, match="another service"):
            ledger.database.write(lambda _: None)
        with Ledger(url, signer=signers()["desk"]) as second, Alone(second.database):
            with pytest.raises(InputError, match="another service"):
                alone.check()
            with pytest.raises(Unavailable):
                ledger.database.write(lambda _: None)
        eventually(lambda: _has(alone))
        assert forgot == [True]
        ledger.database.write(lambda _: None)


def _has(alone: Alone) -> bool:
    try:
        alone.check()
    except InputError:
        return False
    return True


def _ready(service: Service) -> Callable[[], bool]:
    return lambda: httpx.get(f"{service.url}/readyz").status_code == httpx.codes.OK
