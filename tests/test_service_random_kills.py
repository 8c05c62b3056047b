"""Killed at moments that nobody chose: no receipt that was acknowledged is lost, and no proof is accepted twice.

A few moments here, of a seed; many, and others each time, in ``make assurance``, shard ``kills`` (``ZKMARGIN_KILLS``,
``ZKMARGIN_KILLS_SEED``). And what a back-up of PostgreSQL brings back.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from support.postgresql import Server, new_database
from support.venue_service import Service, account, eventually, running, signers, snapshot

from zkmargin.client import Submission
from zkmargin.client.errors import AlreadyAccepted, Unavailable
from zkmargin.ledger import Ledger
from zkmargin.verifier.attest import Receipt

KILLS = int(os.environ.get("ZKMARGIN_KILLS", "2"))
SEED = int(os.environ.get("ZKMARGIN_KILLS_SEED", "1"))
NAMES = ("alice", "bob")
#: Proofs of each account between two kills, and within which time the next one comes.
PROOFS, SOON_SECONDS = 3, 0.4
FAST = "workers = 1\n[limits]\ncalls_per_second = 1000\nburst = 1000\nmax_open_challenges = 4096\n"
FAST += "challenges_per_minute = 100000\nmax_challenge_seconds = 86400\n"

pytestmark = pytest.mark.slow


class Made(NamedTuple):
    """A proof of an account, not yet submitted."""

    account: str
    submission: Submission


class Round(threading.Thread):
    """Both accounts submit what they proved; what was acknowledged is kept."""

    def __init__(self, service: Service, made: list[Made]) -> None:
        super().__init__()
        self.service, self.made, self.receipts = service, made, dict[int, Receipt]()

    def run(self) -> None:
        for place, one in enumerate(self.made):
            with self.service.client(one.account) as client, suppress(Unavailable):
                self.receipts[place] = client.submit(one.submission)


def answers(service: Service, rounds: int) -> list[list[Made]]:
    """What is submitted between two kills."""
    found: list[list[Made]] = [[] for _ in range(rounds)]
    for name in NAMES:
        with service.client(name) as client:
            asked = client.challenges(name, count=rounds * PROOFS, lifetime_seconds=80_000)
        for place, one in enumerate(asked):
            found[place % rounds].append(Made(name, account(name).answer(one, snapshot())))
    return found


def patiently(call: Callable[[], Receipt]) -> Receipt:
    """As clients must: a database that came back sooner than it was missed is not the service's yet. Its next answer of
    503 says so, and that nothing is acknowledged.
    """
    for _ in range(60):
        with suppress(Unavailable):
            return call()
        time.sleep(0.25)
    return call()


def settled(service: Service, round_: Round) -> set[str]:
    """Whatever was acknowledged is there; the rest is accepted now, or was. The statements."""
    statements = set()
    for place, (name, submission) in enumerate(round_.made):
        with service.client(name) as client:
            known = round_.receipts.get(place)
            if known is not None:
                assert patiently(partial(client.receipt, known.payload.statement)) == known
            try:
                receipt = patiently(partial(client.submit, submission))
                assert known is None, "accepted twice"
            except AlreadyAccepted as error:
                receipt = patiently(partial(client.receipt, error.statement))
                assert known in (None, receipt)
            assert receipt.payload.challenge == submission.challenge
            statements.add(receipt.payload.statement)
    assert len(statements) == len(round_.made)
    return statements


def check_whole(service: Service, database: str, statements: set[str]) -> None:
    """As many proofs as there were, each once: in the service's lists, and in the chain of the ledger."""
    for name in NAMES:
        with service.client(name) as client:
            assert client.account(name).proofs == len(statements) // len(NAMES)
    service.stop()
    with Ledger(database, read_only=True) as ledger:
        found = ledger.audit(key=signers()["desk"].public)
    assert (found.bad, found.verified) == ([], len(statements))


def test_a_service_killed_at_random_moments(tmp_path: Path) -> None:
    moments, statements = random.Random(SEED), set[str]()  # noqa: S311 - moments, not secrets
    with running(tmp_path / "service", config=FAST) as service:
        service.settle_in(*NAMES)
        for made in answers(service, KILLS):
            round_ = Round(service, made)
            round_.start()
            time.sleep(moments.uniform(0, SOON_SECONDS))
            service.kill()
            round_.join()
            service.start()
            statements |= settled(service, round_)
        check_whole(service, str(service.folder / "venue.db"), statements)


def test_a_database_and_its_service_killed_at_random_moments_and_put_back(tmp_path: Path) -> None:
    moments, statements = random.Random(SEED + 1), set[str]()  # noqa: S311 - moments, not secrets
    with Server() as server:
        url = new_database(server.folder)
        with running(tmp_path / "service", database=url, config=FAST) as service:
            service.settle_in(*NAMES)
            rounds = answers(service, KILLS + 1)
            for made in rounds[:-1]:
                round_ = Round(service, made)
                round_.start()
                time.sleep(moments.uniform(0, SOON_SECONDS))
                server.kill()
                if moments.random() < 0.3:  # both, as a power cut would
                    service.kill()
                round_.join()
                server.start()
                if service.process is not None and service.process.poll() is not None:
                    service.start()
                eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == httpx.codes.OK)
                statements |= settled(service, round_)
            check_put_back(server, url, service, rounds[-1], statements)


def check_put_back(server: Server, url: str, service: Service, last: list[Made], before: set[str]) -> None:
    """A back-up while the service runs; what was acknowledged until then comes back from it, and works."""
    copy = new_database(server.folder)
    dump = server.dump(url)
    round_ = Round(service, last)
    round_.run()  # after the back-up
    assert len(round_.receipts) == len(last)
    service.stop()
    server.restore(dump, copy)
    toml = service.folder / "serve.toml"
    toml.write_text(toml.read_text().replace(url, copy))
    service.start()
    service.issue("auditor 2", "auditor")
    with service.client("auditor 2") as auditor:
        for statement in before:
            assert auditor.receipt(statement).payload.statement == statement
    # what came after the back-up is open again, and counts once; whoever has its receipt has it all the same
    round_.receipts.clear()
    check_whole(service, copy, before | settled(service, round_))
