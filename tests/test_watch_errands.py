"""What is asked of a venue that cannot be reached waits once, however often it is asked for; then all of it is done."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

from support.typed import Unchecked
from support.watching import Lines, World, until

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import Retry, read_config
from zkmargin.agent.couriers import Courier
from zkmargin.agent.sources import Item
from zkmargin.agent.submission import KEPT_ASKING
from zkmargin.agent.venues import UnreachableError
from zkmargin.client.tokens import new_token
from zkmargin.formats import ZkMarginError


class Shut:
    """A venue that cannot be reached until it opens; what was asked of it."""

    def __init__(self, after: float | None = None) -> None:
        self.open, self.after, self.asked = False, after, list[str]()

    def ask(self, what: str) -> None:
        self.asked.append(what)
        if not self.open:
            raise UnreachableError("shut", after=self.after)

    def ready(self) -> None:
        self.ask("ready")

    def attest(self, attestation: Unchecked) -> None:
        self.ask(f"attest {attestation.payload.role} {attestation.payload.sequence}")

    def close(self) -> None:
        """Nothing."""


def courier(venue: Shut, retry: Retry) -> Courier:
    untyped: Unchecked = venue
    made = Courier("desk", untyped, retry, settled=lambda *_: None, failed=lambda *_: True, through=lambda: None)
    made.start()
    return made


def test_errands_of_one_key_are_one_and_the_newest_counts() -> None:
    venue = Shut()
    one = courier(venue, Retry(first_seconds=0.2, most_seconds=0.2))
    try:
        for number in range(1000):
            one.errand(lambda number=number: venue.ask(f"a {number}"), key="a")  # type: ignore[misc]
            one.errand(lambda number=number: venue.ask(f"b {number}"), key="b")  # type: ignore[misc]
        assert one.waiting <= 3  # one of each, and one that is being tried
        venue.open = True
        until(lambda: not one.waiting)
        assert {"a 999", "b 999"} <= set(venue.asked)
        assert len(venue.asked) < 100
    finally:
        one.stop()


def test_a_reason_to_ask_again_is_one_though_not_before_the_venue_asked_to_be_asked() -> None:
    venue = Shut()
    one = courier(venue, Retry(first_seconds=600, most_seconds=600))
    try:
        one.errand(venue.ready, key="ready")
        until(lambda: len(venue.asked) == 1 and one.waiting == 1)
        one.errand(venue.ready, key="ready")
        time.sleep(0.05)
        assert len(venue.asked) == 1  # in ten minutes
        venue.after = 600.0
        one.errand(venue.ready, key="ready", now=True)
        until(lambda: len(venue.asked) == 2 and one.waiting == 1)
        one.errand(venue.ready, key="ready", now=True)
        time.sleep(0.05)
        assert len(venue.asked) == 2  # "ask me in ten minutes"
    finally:
        one.stop()


def test_what_was_asked_for_while_it_was_tried_does_not_make_two() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(30)
        raise UnreachableError("shut")

    one = courier(Shut(), Retry(first_seconds=600, most_seconds=600))
    try:
        one.errand(slow, key="x")
        assert begun.wait(30)
        one.errand(lambda: None, key="x")
        go.set()
        until(lambda: one.waiting == 1)
        time.sleep(0.05)
        assert one.waiting == 1  # it has the back-off of the one that failed
    finally:
        go.set()
        one.stop()


def test_an_unreachable_venue_has_few_errands_waiting_and_its_snapshots_are_dealt_with_once(tmp_path: Path) -> None:
    world, lines, shut = World(tmp_path), Lines(), Shut()
    (tmp_path / "token").write_text(new_token())
    (tmp_path / "token").chmod(0o600)
    config = world.config(venue='url = "http://127.0.0.1:9"\ntoken_file = "token"')
    agent = Agent(read_config(str(config)), Log(lines))  # type: ignore[arg-type]
    submission = agent._submission
    (one,) = submission._couriers.values()
    untyped: Unchecked = shut
    one.venue = untyped
    one.start()
    try:
        for number in range(KEPT_ASKING + 10):
            submission.get_ready()
            submission.when_ready(one.name, asking(number))
            submission.when_ready(one.name, asking(number))
            submission.get_ready(if_idle=True)
        for _ in range(3):
            for attestation in world.attest():
                submission.attest(attestation)
        assert one.waiting <= 4  # to get ready, two parts, and the one that is being tried
        assert submission.asking(one.name) == KEPT_ASKING
        assert len(lines.events("snapshot-dropped")) == 10
        shut.open = True
        submission.when_ready(one.name, asking(KEPT_ASKING + 9))  # a reason to try at once
        until(lambda: not one.waiting)
        assert submission.asking(one.name) == 0
        found = agent.sources.take(0)
        digests = [item.snapshot.digest().hex() for item in found if item.snapshot is not None]
        assert digests == [f"{number:064x}" for number in range(KEPT_ASKING + 9, 9, -1)]  # the newest first
        newest = world.sequence
        assert {f"attest positions {newest}", f"attest collateral {newest}"} <= set(shut.asked)
    finally:
        agent.close()


def asking(number: int) -> Item:
    """A snapshot that waits; only its digest is looked at."""
    snapshot: Unchecked = SimpleNamespace(digest=lambda: bytes.fromhex(f"{number:064x}"))
    return Item("snapshot", None, time.perf_counter(), 0, snapshot=snapshot)


def test_an_error_that_no_patience_mends_ends_an_errand() -> None:
    venue = Shut()
    one = courier(venue, Retry())
    try:
        one.errand(_never, key="x")
        until(lambda: one.waiting == 0)
    finally:
        one.stop()


def _never() -> None:
    raise ZkMarginError("no")
