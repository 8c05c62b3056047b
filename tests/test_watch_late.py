"""What became of a proof whose answer was lost; and what every turn costs, however many fills there were."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.typed import Unchecked
from support.venue_service import NAME
from support.watching import BIG, DESK, Lines, World, alarms, until
from test_watch_answers import STATEMENT, Venue, made, receipt, service_venue, submission
from test_watch_service import configured

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import read_config
from zkmargin.agent.journal import Journal
from zkmargin.agent.sources import Item
from zkmargin.agent.venues import Verdict
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.fills import Fills
from zkmargin.formats import InputError

NOT_FOUND = (404, "application/json", b'{"error": {"type": "NotFound", "message": "no such", "exit_code": 2}}')
AWAY = (503, "text/plain", b"away")


@pytest.fixture
def venue() -> Iterator[Venue]:
    one = Venue()
    yield one
    one.close()


# --- lost answers ---------------------------------------------------------------------------------------------------


def test_where_a_challenge_has_passed_the_receipt_is_asked_for_before_another_proof_is_made(
    venue: Venue, tmp_path: Path
) -> None:
    one = service_venue(tmp_path, venue)
    proof: Unchecked = SimpleNamespace(
        **{name: getattr(made(), name) for name in made().__dataclass_fields__}
        | {"submission": submission().replace("2099-01-01", "2020-01-01")}
    )
    venue.says = (200, "application/json", receipt())
    assert one.submit(proof) == Verdict("accepted", receipt=receipt().decode())
    venue.says = NOT_FOUND
    assert one.submit(proof).again
    assert venue.asked == [f"/v1/receipts/{STATEMENT}"] * 2


@pytest.mark.parametrize(("says", "state"), [((200, "application/json", receipt()), "accepted"), (NOT_FOUND, "late")])
def test_a_proof_that_is_too_old_to_be_sent_again_is_late_only_where_the_venue_has_no_receipt(
    venue: Venue, tmp_path: Path, says: tuple[int, str, bytes], state: str
) -> None:
    agent = Agent(read_config(str(configured(tmp_path, venue, venue.url))), Log(None))  # type: ignore[arg-type]
    venue.says, now = AWAY, clock_ms()
    agent.journal.proof_made(
        venue=NAME,
        statement=STATEMENT,
        snapshot="cd" * 32,
        snapshot_time=now - 2 * 86_400_000,
        challenge="ab" * 32,
        generations="all 0",
        submission=submission(),
        proof=b"p" * 1000,
        arrived=now,
        now_ms=now,
    )
    agent._submission.start()
    until(lambda: ("late", NAME) in alarms(agent))
    until(lambda: f"/v1/receipts/{STATEMENT}" in venue.asked)
    assert [one.state for one in agent.journal.proofs()] == ["made"]  # nobody knows
    venue.says = says
    until(lambda: [one.state for one in agent.journal.proofs()] == [state])
    until(lambda: (("late", NAME) in alarms(agent)) == (state == "late"))
    assert venue.asked.count("/v1/proofs") == 1
    agent.close()


# --- the world's files ----------------------------------------------------------------------------------------------


def test_no_turn_reads_what_was_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, collateral=BIG)
    monkeypatch.setattr("zkmargin.agent.proving.make_proof", lambda *_, **__: SimpleNamespace(proof=b"p" * 1000))
    agent = Agent(read_config(str(world.config())), Log(Lines()))  # type: ignore[arg-type]
    rows: list[sqlite3.Row] = []
    read = Journal._all

    def counted(self: Journal, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        found = read(self, query, values)
        rows.extend(found if "generations" in query and "FROM proofs" not in query else [])
        return found

    monkeypatch.setattr(Journal, "_all", counted)
    world.publish(world.snapshot, 1)
    for number in range(3):
        world.fill(f"{number}.json", Fills(collateral={"USDC": "1"}))
        agent.sources.look()
        while agent.turn(0.0):
            pass
        assert (world.home / "updates" / f"update-{number + 1:06d}.json").exists()
        assert len(rows) == 1  # the one update that was to be handed over
        rows.clear()
    plan = agent.journal._all("EXPLAIN QUERY PLAN SELECT * FROM generations WHERE delivered = 0")
    assert "generations_undelivered" in plan[0]["detail"]
    world.fill("0.json", Fills(collateral={"USDC": "2"}))  # another one under that name
    agent.sources.look()
    agent.turn(0.0)
    agent._chores(force=True)
    assert ("file", "fills all: 0.json") in alarms(agent)
    # what a snapshot from a venue's feed raised is over with its next one
    bad: Unchecked = SimpleNamespace(check_loaded=_refuse)
    signed = world.sign(world.snapshot, 1)
    for snapshot, is_alarm in ((bad, True), (world.snapshot, False)):
        agent.sources.put(Item("snapshot", None, time.perf_counter(), clock_ms(), snapshot, signed))
        agent.turn(0.0)
        assert (("file", "snapshots") in alarms(agent)) == is_alarm
    assert agent.journal.proofs()[0].venue == DESK
    agent.journal.forget_before("all", 3)
    before = agent.journal._db.total_changes
    agent.journal.forget_before("all", 3)
    assert agent.journal._db.total_changes == before  # what was forgotten is not written again
    agent.close()


def _refuse() -> None:
    raise InputError("a column that is not as long as the others")
