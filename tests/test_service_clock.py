"""What time does to accounts, over HTTP, by a clock that the test sets: covered, due, late, refused, uncovered."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from support.clocked import Clocked, clocked
from support.venue_service import TERMS, account, attested, eventually, snapshot, trust

from zkmargin.client import Event
from zkmargin.client.checking import check_coverage
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import VerificationError

SECOND = 1000
#: Of the terms: a proof is due so long after its snapshot, and late so long after that.
PERIOD_MS, GRACE_MS = SECOND * TERMS.period_seconds, SECOND * TERMS.grace_seconds


def become(service: Clocked, state: str) -> None:
    """Wait until the roster, the account, and an event say this."""
    with service.client("auditor") as auditor:
        eventually(lambda: [line.state for line in auditor.roster()] == [state])
        assert auditor.account("maker").state == state
    eventually(lambda: state == "uncovered" or _states(events(service))[-1:] == [state])


def prove(service: Clocked, about: Snapshot) -> None:
    with service.client("maker") as maker:
        challenge = maker.challenge("maker", lifetime_seconds=600)
        maker.submit(account("maker").answer(challenge, about))


@pytest.mark.slow
def test_states_come_and_go_with_the_clock(tmp_path: Path) -> None:
    with clocked(tmp_path / "service") as service:
        service.settle_in("maker")
        become(service, "uncovered")
        first = snapshot()
        prove(service, first)
        become(service, "covered")
        begin_ms = service.now_ms
        # to well before and after each boundary: a busy machine takes its time between two looks
        due_ms = parse_time(first.time) + PERIOD_MS  # the snapshot is as old as the session that made it
        service.ahead_ms += due_ms - 600 * SECOND - service.now_ms
        become(service, "covered")
        service.ahead_ms += due_ms + GRACE_MS // 10 - service.now_ms  # however long the looks took
        become(service, "due")
        service.ahead_ms += GRACE_MS
        become(service, "late")
        with service.client("maker") as maker:  # a proof that is none, while one is missing
            challenge = maker.challenge("maker", lifetime_seconds=600)
            wrong = account("maker").answer(challenge, first)
            with pytest.raises(VerificationError):
                maker.submit(wrong.model_copy(update={"challenge": "00" * 32}))
        become(service, "refused")
        second = snapshot().replaced(time=format_time(service.now_ms // SECOND * SECOND))
        with service.client("publisher") as publisher:
            publisher.publish(second, attested(second, 2))
        prove(service, second)
        become(service, "covered")
        service.ahead_ms += 7200 * SECOND  # what vouches for its parts ends
        become(service, "uncovered")
        with service.client("auditor") as auditor:
            eventually(lambda: _states(events(service))[-1] == "uncovered")
            check_order(events(service))
            end = format_time(service.now_ms)
            coverage = auditor.coverage("maker", "main", begin=format_time(begin_ms - 3_600_000), end=end)
        payload = coverage.payload
        assert (payload.proven, len(payload.snapshots), payload.complete) == (2, 2, True)
        marks = [begin_ms - 3_600_000, parse_time(first.time), parse_time(second.time), parse_time(end)]
        assert payload.largest_gap_ms == max(later - earlier for earlier, later in pairwise(marks))
        assert check_coverage(coverage, trust=trust()).name == "desk"


def newest_event(service: Clocked) -> int:
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    return int(httpx.get(f"{service.url}/v1/accounts", headers=headers).json()["newest_event"])


def events(service: Clocked) -> list[Event]:
    """All until now."""
    found, last = [], newest_event(service)
    with service.client("auditor") as auditor:
        for event in auditor.events(after=0, seconds=20):
            found.append(event)
            if event.payload.number >= last:
                break
    return found


def _states(found: list[Event]) -> list[str | None]:
    return [event.payload.state for event in found if event.payload.kind == "state"]


def check_order(found: list[Event]) -> None:
    """Numbers without gaps, times that do not go back, each state from the one before, each signed."""
    assert [event.payload.number for event in found] == list(range(1, len(found) + 1))
    times = [event.payload.time for event in found]
    assert times == sorted(times)
    states = [(event.payload.previous, event.payload.state) for event in found if event.payload.kind == "state"]
    assert states == list(pairwise(["uncovered", "covered", "due", "late", "refused", "covered", "uncovered"]))
    assert all(event.signatures[0].verifies(event.message) for event in found)
