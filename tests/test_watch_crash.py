"""The agent killed in the middle, again and again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Run
from support.watching import World, environment, until

from zkmargin.agent.journal import Journal
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.formats import load_document

#: The agent is killed as soon as it says this.
MOMENTS = ("fills-applied", "proved", "delivered", "snapshot")
DAILY = Fills(positions={"BTC-PERPETUAL": "1", "ETH-PERPETUAL": "-2"}, collateral={"USDC": "-10"})

pytestmark = pytest.mark.slow


def killed_at(config: Path, moment: str) -> None:
    """Run the agent until it says something, and kill it there."""
    command = [sys.executable, "-m", "zkmargin", "watch", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == moment:
                os.kill(process.pid, signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL


def test_killed_at_any_moment_it_applies_every_fill_once_and_proves_every_snapshot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, run = World(tmp_path, collateral="50000000"), Run(capsys)
    config = world.config()
    for number, moment in enumerate(MOMENTS, 1):
        world.publish(world.moved(number), number)
        world.fill(f"day-{number}.json", DAILY)
        killed_at(config, moment)
    run(f"watch {config} --once")
    journal = Journal(tmp_path / "state", read_only=True)
    generations = journal.generations("all")
    assert [g.number for g in generations] == list(range(len(MOMENTS) + 1))
    assert [g.fills_name for g in generations[1:]] == [f"day-{n}.json" for n in range(1, len(MOMENTS) + 1)]
    assert all(g.delivered for g in generations)
    proofs = journal.proofs(last=100)
    assert {made.state for made in proofs} == {"delivered"}
    assert len({made.snapshot for made in proofs}) == len(proofs) == len(MOMENTS)
    journal.close()
    # the attesting party's own records lead to the same commitments, update by update
    expected = world.record
    for number in range(1, len(MOMENTS) + 1):
        expected = add_fills(expected, fills_to_lots(DAILY, world.snapshot), world.snapshot)
        world.follow(number, DAILY)
    assert world.record == expected
    assert to_lots(Book.parse(generations[-1].book), world.snapshot) == expected
    for number, attestation in enumerate(world.attest()):
        world.save(f"inbox/attested-{number}.json", attestation)
    world.publish(world.moved(20), 20)
    run(f"watch {config} --once")
    journal = Journal(tmp_path / "state", read_only=True)
    assert journal.proofs()[0].generations == f"all {len(MOMENTS)}"
    journal.close()


def test_it_ends_when_it_is_told_to_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    world = World(tmp_path, collateral="50000000")
    world.publish(world.moved(1), 1)
    command = [sys.executable, "-m", "zkmargin", "watch", str(world.config()), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        until(world.proofs)
        process.terminate()
        out, _ = process.communicate()
        assert process.returncode == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "stopped"
    assert {"warm", "started", "proved", "delivered", "snapshot"} <= {event["event"] for event in events}
    assert load_document(Book, tmp_path / "book.json") == world.book
