"""How often: a bucket of calls for each caller."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from zkmargin.client.errors import Unavailable

#: Callers whose rate is remembered: those that were heard of last.
CALLERS = 65_536


class TooMany(Unavailable):
    """More than this caller may ask for now."""


class Rates:
    """Each caller has a bucket of calls that fills again: who empties it waits.

    Args:
        per_second: how fast it fills.
        burst: how much it holds.

    Example:
        >>> now = [0.0]
        >>> rates = Rates(1, 2, clock=lambda: now[0])
        >>> [rates.take("a"), rates.take("a"), rates.take("a"), rates.take("b")]
        [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, per_second: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: str, calls: float = 1.0) -> float:
        """0 where a caller may call; else the seconds after which it may try again."""
        now = self._clock()
        with self._lock:
            left, at = self._buckets.get(who, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._rate)
            wait = 0.0 if left >= min(calls, self._burst) else (min(calls, self._burst) - left) / self._rate
            self._buckets[who] = (left if wait else left - calls, now)
            self._buckets.move_to_end(who)
            while len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
        return wait

    def check(self, who: str, calls: float = 1.0) -> None:
        """Raises TooMany: a caller may not call now."""
        wait = self.take(who, calls)
        if wait:
            raise TooMany("too many at once", retry_after=wait)
