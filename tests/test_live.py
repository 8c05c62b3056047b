"""A venue, an oracle, a custodian and three makers for simulated hours: what the venue states is what happened.

Each is a process of its own, and each is killed once: the service, its database, the oracle, both keepers of records
(the venue's and the custodian's), a maker's agent. Everybody's keys are changed: of the oracle, venue and custodian, of
the service, its operator, the officer who revokes, and a maker's token.

Short in CI; ``ZKMARGIN_LIVE_STEPS`` makes the day longer (``make assurance``, shard ``live``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live import Day, Maker, day
from support.postgresql import Server, new_database
from support.watching import until

from zkmargin.cli import main
from zkmargin.engine.fills import Fills
from zkmargin.formats import save_document

STEPS = int(os.environ.get("ZKMARGIN_LIVE_STEPS", "9"))
ALL = Fills(collateral={"USDC": "-20000000"})
BACK = Fills(collateral={"USDC": "20000000"})
TRADE = Fills(positions={"BTC-PERPETUAL": "0.5"}, collateral={"USDC": "-100"})

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL server that nobody else needs: it is killed."""
    with Server() as one:
        yield one


def test_a_day_with_everything_in_it(tmp_path: Path, server: Server) -> None:
    database, broke, lost, away = new_database(server.folder), set[int](), set[int](), False
    at = {name: max(1, STEPS * part // 9) for name, part in (("trade", 1), ("broke", 2), ("crash", 3), ("listing", 4))}
    at |= {name: max(1, STEPS * part // 9) for name, part in (("venue", 5), ("rotate", 6), ("well", 7), ("back", 8))}
    with day(tmp_path, "steady maker", "broke maker", "mortal maker", database=database, steps=STEPS) as one:
        steady, poor, mortal = one.makers
        one.wait(*one.makers)
        for step in range(1, STEPS):
            if step == at["broke"]:
                poor.fill(ALL)
            if step == at["crash"]:
                mortal.kill()
                away = True
            if step == at["venue"]:
                one.crash()
            if step == at["rotate"]:
                one.rotate()
                one.rotate_service()
                mortal.rotate()
            if step == at["well"]:
                server.kill()
                server.start()
            if step == at["back"]:
                mortal.start()
                away = False
            one.step(listed=step >= at["listing"], crash=step == at["listing"])
            if away and step < at["rotate"]:
                lost.add(one.published[-1][0])  # signed with a key that was revoked before it came back
            if at["broke"] <= step < at["well"]:
                until(lambda: poor.seen("snapshot", snapshot=one.published[-1][2]), 120)
                broke.add(one.published[-1][0])
            one.wait(steady, *([] if step in range(at["broke"], at["well"]) else [poor]), *([] if away else [mortal]))
            if step == at["trade"] or step == at["listing"]:
                steady.fill(TRADE, crash=step == at["trade"])
            if step == at["well"] - 1:
                poor.fill(BACK)  # and the newest snapshot is proved after all
                one.wait(poor)
                broke.discard(one.published[-1][0])
        assert poor.seen("alarm", kind="unhealthy")
        assert poor.seen("alarm-over", kind="unhealthy")
        assert broke
        one.check_coverage(steady, set())
        one.check_coverage(poor, broke)
        # what came while the agent was dead it proved when it was back, where the signature still counts
        until(lambda: _proved(one, mortal) == {number for number, *_ in one.published} - lost, 120, pause=0.2)
        one.check_coverage(mortal, lost)
        assert mortal.seen("alarm", kind="untrusted") == bool(lost)
        assert one.stop() == [0, 0, 0]
    keys = []
    for number, key in enumerate(one.desks):
        save_document(key.public, tmp_path / f"desk-{number}.json")
        keys += ["--key", str(tmp_path / f"desk-{number}.json")]
    check = ["ledger", "check", "--ledger", database]
    assert main([*check, *keys]) == 0
    for wrong in (keys[:2], keys[2:], [*keys[2:], *keys[:2]]):  # one alone, or the later one first
        assert main([*check, *wrong]) == 1


def _proved(one: Day, maker: Maker) -> set[int]:
    with one.service.client("auditor") as client:
        return {line.sequence for line in client.proofs(maker.name, limit=200).items}
