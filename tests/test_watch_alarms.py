"""Alarms are told whatever a hook answers, and what could not count any more is forgotten."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.watching import BIG, Lines, World, alarms, until

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Alarms as AlarmConfig
from zkmargin.agent.config import read_config
from zkmargin.app.verifying import clock_ms

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def hook(*answers: bytes | Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A port that answers each call with the next of some answers, the last one from then on; and what it was told."""
    listener, told = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            answer = answers[min(len(told), len(answers) - 1)]
            with one:
                data = one.recv(1 << 16)
                while b"}" not in data:
                    data += one.recv(1 << 16)
                told.append(data)
                if callable(answer):
                    answer(one)
                else:
                    one.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/", told
    listener.close()


def command(home: Path) -> tuple[str, Path]:
    """A program that appends what it is told to a file."""
    told = home / "told"
    program = home / "told.sh"
    program.write_text(f'#!/bin/sh\ncat >> "{told}"\n')
    program.chmod(0o700)
    told.touch()
    return str(program), told


def test_no_answer_of_a_hook_ends_the_alarms_and_each_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkmargin.agent.alarms.WEBHOOK_FIRST", 0.01)
    (program, told), lines = command(tmp_path), Lines()
    answers = (b"hello, no http\r\n\r\n", b"", b"HTTP/1.1 503 \r\n\r\n", b"HTTP/1.1 200\r\n" + b"a: b\r\n" * 200, GOOD)
    with hook(*answers) as (url, posted):
        found = Alarms(AlarmConfig(command=(program,), webhook=url), Log(lines), "me")  # type: ignore[arg-type]
        found.sound("unhealthy", "one", "m")
        until(lambda: told.read_text().count("\n") == 1)
        found.sound("unhealthy", "two", "m")
        until(lambda: told.read_text().count("\n") == 2)
        until(lambda: len(posted) == 6)
        found.close()
    assert [b'"one"' in data for data in posted] == [True] * 5 + [False]
    assert len({line["reason"] for line in lines.events("alarm-webhook-failed")}) >= 3
    assert not [line for line in lines.events("alarm-webhook-failed") if "lost" in line]


def test_an_alarm_that_is_too_old_for_the_webhook_is_lost_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.agent.alarms.WEBHOOK_FIRST", 0.01)
    monkeypatch.setattr("zkmargin.agent.alarms.WEBHOOK_PATIENCE", 0.1)
    lines = Lines()
    with hook(b"no http\r\n\r\n") as (url, posted):
        found = Alarms(AlarmConfig(webhook=url), Log(lines), "me")  # type: ignore[arg-type]
        found.sound("unhealthy", "one", "m")
        until(lambda: [line for line in lines.events("alarm-webhook-failed") if line.get("lost")])
        assert len(posted) >= 3
        found.close()


def test_a_hook_that_drips_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.agent.alarms.WEBHOOK_FIRST", 0.01)
    monkeypatch.setattr("zkmargin.agent.alarms.WEBHOOK_SECONDS", 0.4)

    def drip(one: socket.socket) -> None:
        try:
            for _ in range(600):
                one.sendall(b"a")
                time.sleep(0.1)
        except OSError:
            return

    lines = Lines()
    with hook(drip, GOOD) as (url, posted):
        found = Alarms(AlarmConfig(webhook=url), Log(lines), "me")  # type: ignore[arg-type]
        begin = time.monotonic()
        found.sound("unhealthy", "one", "m")
        until(lambda: len(posted) == 2, 20)
        assert time.monotonic() - begin < 20
        found.close()
    assert lines.events("alarm-webhook-failed")


def test_what_waits_to_be_told_is_bounded_and_a_program_that_cannot_be_run_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkmargin.agent.alarms.MAX_WAITING", 3)
    lines, go = Lines(), threading.Event()

    def hold(one: socket.socket) -> None:
        go.wait(20)
        one.sendall(GOOD)

    config = AlarmConfig(command=("a\0b",))
    with hook(hold, GOOD) as (url, posted):
        found = Alarms(config.replaced(webhook=url), Log(lines), "me")  # type: ignore[arg-type]
        found.sound("refused", "0", "m")
        until(lambda: posted)
        for number in range(1, 6):
            found.sound("refused", str(number), "m")
        until(lambda: len(lines.events("alarm-command-failed")) >= 4)
        go.set()
        until(lambda: len(posted) == 4)
        found.close()
    subjects = [data.split(b'"subject": "')[1][:1] for data in posted]
    assert subjects == [b"0", b"3", b"4", b"5"]
    assert len(lines.events("alarm-webhook-dropped")) == 2


# --- what is forgotten ------------------------------------------------------------------------------------------------


def test_what_nobody_signs_what_nobody_publishes_and_its_alarms_end_with_the_age_of_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, later = World(tmp_path, collateral=BIG), 0
    monkeypatch.setattr("zkmargin.agent.agent.clock_ms", lambda: clock_ms() + later)
    agent = Agent(read_config(str(world.config())), Log(None))
    world.save("inbox/1.json", world.moved(1))  # nobody signs it
    world.save("inbox/2.att.json", world.sign(world.moved(2), 2))  # its snapshot never comes
    refused = world.moved(3)
    world.save("inbox/3.att.json", world.sign(refused, 3, who="venue"))
    world.save("inbox/3.json", refused)
    world.save("inbox/4.json", world.moved(4000))  # of the future
    agent.sources.look()
    while agent.turn(0.0):
        pass
    agent._chores(force=True)
    assert len([kind for kind, _ in alarms(agent) if kind == "untrusted"]) == 3
    assert (len(agent._unsigned), len(agent._signatures)) == (1, 2)
    later = 80_000 * 1000
    agent._chores(force=True)
    assert (len(agent._unsigned), len(agent._signatures)) == (1, 2)
    later = 90_000 * 1000
    agent._chores(force=True)
    assert (len(agent._unsigned), len(agent._signatures)) == (0, 0)
    assert {kind for kind, _ in alarms(agent)} == {"expired"}  # of the parts, by then
    agent.sources.write_down(now_ms=clock_ms())
    assert {"1.json", "2.att.json", "3.json"} <= set(agent.journal.files_done("inbox"))  # not read again after a crash
    agent.close()


def test_what_waits_for_a_signature_or_a_snapshot_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.agent.agent.KEPT_UNSIGNED", 2)
    monkeypatch.setattr("zkmargin.agent.agent.KEPT_LONE", 2)
    monkeypatch.setattr("zkmargin.agent.agent.KEPT_SIGNED", 2)
    monkeypatch.setattr("zkmargin.agent.alarms.MAX_UNTRUSTED", 2)
    world = World(tmp_path, collateral=BIG)
    agent = Agent(read_config(str(world.config())), Log(None))
    for step in range(1, 5):
        world.save(f"inbox/{step}.json", world.moved(step))
        world.save(f"inbox/{step}.att.json", world.sign(world.moved(100 + step), step))
        agent.sources.look()
        while agent.turn(0.0):
            pass
        agent._chores(force=True)
    assert (len(agent._unsigned), len(agent._signatures), len(agent._signed)) == (2, 2, 2)
    assert world.moved(4).digest().hex() in agent._unsigned
    for number in range(5):
        agent.alarms.sound("untrusted", str(number), "m")
    assert {subject for _, subject in alarms(agent)} == {"3", "4"}
    agent.close()
