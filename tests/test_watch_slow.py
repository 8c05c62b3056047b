"""A venue that does not answer keeps no other one waiting, and challenges that are over when they come are an alarm."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.typed import Unchecked
from support.venue_service import NAME
from support.watching import World, until
from support.watching import running as running_agent
from test_watch_answers import Venue, service_venue

from zkmargin.agent.served import Feed
from zkmargin.agent.venues import NotReadyError, UnreachableError
from zkmargin.app.verifying import clock_ms
from zkmargin.client.tokens import new_token
from zkmargin.engine.decimals import format_time
from zkmargin.verifier.attest import Challenge


@contextmanager
def silent() -> Iterator[tuple[str, list[bytes], Callable[[], None]]]:
    """A port that takes calls and never answers; what it was asked; and what hangs up, so that nobody waits longer."""
    listener, asked, taken = socket.create_server(("127.0.0.1", 0)), list[bytes](), list[socket.socket]()

    def take() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            taken.append(one)
            asked.append(one.recv(1 << 16))

    def hang_up() -> None:
        with suppress(OSError):  # twice
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in taken:
            one.close()

    threading.Thread(target=take, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked, hang_up
    finally:
        hang_up()


def test_a_venue_that_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "token").write_text(new_token())
    (tmp_path / "token").chmod(0o600)
    with silent() as (url, asked, hang_up):
        slow = f'url = "{url}"\ntoken_file = "token"'  # the first of the two in the configuration
        config = world.config(venue=slow, extra=["[[venues]]", 'name = "other"', 'folder = "outbox"'])
        with running_agent(config) as (agent, lines):
            until(lambda: asked)  # its challenge, in its courier's thread
            for number in (1, 2, 3):
                world.publish(world.moved(number), number)
                until(partial(_so_many, world, number), 240)  # the first may compile kernels
            assert not [one for one in agent.alarms.active() if one.subject == "other"]
            assert [made.venue for made in agent.journal.proofs()] == ["other"] * 3
            assert len(lines.events("proved")) == 3
            hang_up()


def _so_many(world: World, number: int) -> bool:
    return len(world.proofs()) == number


def test_none_is_asked_for_but_by_its_courier(tmp_path: Path) -> None:
    venue = Venue()
    try:
        one = service_venue(tmp_path, venue)
        with pytest.raises(NotReadyError):
            one.challenge()
        assert venue.asked == []
        fresh = [Challenge.new(NAME, lifetime_seconds=60, now_ms=clock_ms()) for _ in range(3)]
        venue.says = (201, "application/json", json.dumps({"challenges": [item.to_json() for item in fresh]}).encode())
        one.ready()
        assert [one.challenge() for _ in fresh] == fresh
        with pytest.raises(NotReadyError):
            one.challenge()
        old = [Challenge.new(NAME, lifetime_seconds=60, now_ms=clock_ms() - 120_000) for _ in range(3)]
        venue.says = (201, "application/json", json.dumps({"challenges": [item.to_json() for item in old]}).encode())
        with pytest.raises(UnreachableError, match="check the clocks"):  # and not asked for again at once, for ever
            one.ready()
    finally:
        venue.close()


def test_what_was_dealt_with_is_not_fetched_again_after_a_restart() -> None:
    """The newest one of a day does not wait for all the others."""
    fetched: list[str] = []
    lines = [
        SimpleNamespace(sequence=number, time=format_time(clock_ms()), snapshot=str(number)) for number in (5, 4, 3)
    ]

    def snapshot(digest: str) -> SimpleNamespace:
        fetched.append(digest)
        return SimpleNamespace(snapshot=None, attestation=None)

    feed = Feed.__new__(Feed)
    client: Unchecked = SimpleNamespace(
        snapshots=lambda *_, **__: SimpleNamespace(items=lines, next=None), snapshot=snapshot
    )
    feed._client, feed._series, feed._take, feed._max_age_ms = client, "main", lambda _: None, 60_000
    feed._known = {"4"}.__contains__
    assert feed._between(None, 5) == 1
    assert fetched == ["3"]
