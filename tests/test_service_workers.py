"""Processes that verify: told of a snapshot before the first proof about it, and started anew when they are lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import wait

import pytest
from support.venue_service import account, snapshot
from support.watching import until

from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.service import workers
from zkmargin.service.workers import Pool
from zkmargin.verifier import Accepted, Statement


@pytest.fixture(scope="module")
def item() -> tuple[Statement, bytes]:
    maker = account("maker")
    statement = Statement.of(snapshot(), [maker.opening.commitment()], Claim("1"))
    return statement, prove(statement, maker.lots, [maker.opening])


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.close()


def test_a_snapshot_is_sent_to_all_before_the_first_proof(
    pool: Pool, item: tuple[Statement, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, _ = item
    impossible = (Claim("1"), (Limit.parse("collateral USDX >= 5"),))  # the snapshot knows no such asset
    wait(pool.learn(statement.snapshot, [(statement.claim, ()), impossible]))

    def sent_again(_: Snapshot) -> bytes:
        raise AssertionError("a process was sent what it knows")

    monkeypatch.setattr(Snapshot, "to_bytes", sent_again)
    assert all(isinstance(verdict, Accepted) for _ in range(2) for verdict in pool.verify_each([item]))


def test_a_process_that_is_lost_while_it_learns_is_started_anew(pool: Pool, item: tuple[Statement, bytes]) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: pool.alive == 0)
    wait(pool.learn(item[0].snapshot, []))
    assert all(isinstance(verdict, Accepted) for _ in range(2) for verdict in pool.verify_each([item]))


def test_a_process_that_answers_nothing_is_started_anew(
    item: tuple[Statement, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped one is alive, and held its judge for ever."""
    monkeypatch.setattr(workers, "ASK_SECONDS", 0.3)
    one = Pool(1)
    try:
        (stopped,) = one.pids
        os.kill(stopped, signal.SIGSTOP)
        wait(one.learn(item[0].snapshot, []))
        monkeypatch.setattr(workers, "ASK_SECONDS", 60.0)
        assert isinstance(one.verify_each([item])[0], Accepted)
        assert one.pids != [stopped]
    finally:
        one.close()
