"""Proofs on their way: one thread a venue, so that a slow one keeps nobody waiting; back-off with jitter."""

from __future__ import annotations

import heapq
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from zkmargin.agent.config import Retry
from zkmargin.agent.journal import Made
from zkmargin.agent.venues import UnreachableError, Venue, Verdict
from zkmargin.formats import ZkMarginError

_JITTER = secrets.SystemRandom()


def wait_seconds(retry: Retry, attempts: int, asked: float | None = None) -> float:
    """How long to wait after so many attempts (from 1): doubled each time, cut by a random part of up to a half.

    ``asked`` is what the venue asked for: never less than that, never more than ``most_seconds``.
    """
    wait = min(retry.first_seconds * 2.0 ** min(attempts - 1, 60), retry.most_seconds) * _JITTER.uniform(0.5, 1.0)
    return wait if asked is None else min(max(asked, wait), max(retry.most_seconds, wait))


@dataclass(order=True)
class _Due:
    at: float
    number: int
    work: Callable[[], object] = field(compare=False)
    made: Made | None = field(compare=False)
    key: Hashable = field(compare=False, default=None)
    attempts: int = field(compare=False, default=0)
    earliest: float = field(compare=False, default=0.0)


class Courier:
    """Hands things to one venue until it has taken them.

    Args:
        name, venue: to whom.
        retry: how often.
        settled: called with a proof and its verdict, in the courier's thread.
        failed: called with the error of an attempt that did not get through; what it returns says whether to go on.
        through: called when something got through.
    """

    def __init__(
        self,
        name: str,
        venue: Venue,
        retry: Retry,
        *,
        settled: Callable[[Made, Verdict], None],
        failed: Callable[[Made | None, int, ZkMarginError], bool],
        through: Callable[[], None],
    ) -> None:
        self.name, self.venue = name, venue
        self._retry, self._settled, self._failed, self._through = retry, settled, failed, through
        self._due: list[_Due] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy = False
        self._thread = threading.Thread(target=self._run, name=f"courier {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, made: Made) -> None:
        """Hand a proof over as soon as it can be."""
        self._add(_Due(time.monotonic(), next(self._numbers), lambda: self.venue.submit(made), made, made.attempts))

    def errand(self, work: Callable[[], object], key: Hashable, *, now: bool = False) -> None:
        """Do something else at the venue, with the same patience.

        Errands of one key are one: what waits to be tried again takes the newer work, so that a venue that does not
        answer has one of each waiting however often it is asked for.

        Args:
            work: what to do.
            key: what it is.
            now: whether there is a reason to try at once, though not before the venue asked to be asked.
        """
        with self._changed:
            waiting = next((due for due in self._due if due.key == key), None)
            if waiting is not None:
                waiting.work = work
                if now:
                    waiting.at = min(waiting.at, max(waiting.earliest, time.monotonic()))
                    heapq.heapify(self._due)
                    self._changed.notify()
                return
        self._add(_Due(time.monotonic(), next(self._numbers), work, None, key))

    @property
    def waiting(self) -> int:
        """How much is not through."""
        with self._changed:
            return len(self._due) + self._busy

    def stop(self) -> None:
        """End after what is going on; the journal keeps what is not through."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self.venue.close()

    def _add(self, due: _Due) -> None:
        with self._changed:
            heapq.heappush(self._due, due)
            self._changed.notify()

    def _put_back(self, due: _Due) -> None:
        """To be tried again, unless the same errand was asked for meanwhile."""
        with self._changed:
            twin = None if due.key is None else next((one for one in self._due if one.key == due.key), None)
            if twin is None:
                heapq.heappush(self._due, due)
                return
            twin.at, twin.attempts, twin.earliest = due.at, due.attempts, due.earliest
            heapq.heapify(self._due)

    def _next(self) -> _Due | None:
        with self._changed:
            while not self._stopping:
                if not self._due:
                    self._changed.wait()
                    continue
                left = self._due[0].at - time.monotonic()
                if left <= 0:
                    self._busy = True
                    return heapq.heappop(self._due)
                self._changed.wait(left)
            return None

    def _run(self) -> None:
        while (due := self._next()) is not None:
            try:
                self._try(due)
            except Exception as error:  # noqa: BLE001 - whatever a venue answers, the others' turn comes
                self._again(due, UnreachableError(f"an unexpected {type(error).__name__}"))
            finally:
                with self._changed:
                    self._busy = False

    def _try(self, due: _Due) -> None:
        try:
            result = due.work()
        except UnreachableError as error:
            self._again(due, error)
            return
        except ZkMarginError as error:
            if due.made is not None:
                self._settled(due.made, Verdict("refused", error.message))
            else:
                self._failed(None, due.attempts + 1, error)
            return
        self._through()
        if due.made is not None and isinstance(result, Verdict):
            self._settled(due.made, result)

    def _again(self, due: _Due, error: UnreachableError) -> None:
        """Later, unless whoever is told of it says no; where that fails too (a full disk), later."""
        due.attempts += 1
        now = time.monotonic()
        due.at = now + wait_seconds(self._retry, due.attempts, error.after)
        due.earliest = 0.0 if error.after is None else now + min(error.after, self._retry.most_seconds)
        with suppress(Exception):
            if not self._failed(due.made, due.attempts, error):
                return
        self._put_back(due)
