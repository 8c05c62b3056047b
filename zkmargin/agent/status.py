"""What an agent says of itself: to the terminal, to the page, to programs. About one book: secret."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from zkmargin.agent.account import Account, Chosen
from zkmargin.agent.alarms import Alarms
from zkmargin.agent.config import Config
from zkmargin.agent.journal import Journal
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.book import Book, to_book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import format_time, from_units, parse_time
from zkmargin.engine.explain import pnl_surface, risk_array
from zkmargin.engine.frames import Surface
from zkmargin.engine.margin import MarginReport, margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

KEPT = 1000


@dataclass(repr=False)
class Seen:
    """The newest snapshot and the book at it. Secret."""

    snapshot: Snapshot
    chosen: Chosen
    time_ms: int
    reports: dict[str, MarginReport] = field(default_factory=dict)
    surfaces: dict[str, Surface] | None = None


class Status:
    """Facts that threads may ask for at any time.

    Args:
        config, journal, account, alarms: the agent's.
    """

    def __init__(self, config: Config, journal: Journal, account: Account, alarms: Alarms) -> None:
        self._config, self._journal, self._account, self._alarms = config, journal, account, alarms
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._latencies: dict[str, deque[float]] = {venue.name: deque(maxlen=KEPT) for venue in config.venues}
        self.started_ms = clock_ms()

    def saw(self, snapshot: Snapshot, chosen: Chosen) -> None:
        """The newest snapshot, and the account at it."""
        with self._lock:
            self._seen = Seen(snapshot, chosen, clock_ms())

    def settled(self, venue: str, seconds: float) -> None:
        """A proof was accepted or delivered so long after what it answers came."""
        with self._lock:
            self._latencies[venue].append(seconds)

    def facts(self) -> dict[str, Any]:
        """Everything but the margin: JSON."""
        now = clock_ms()
        with self._lock:
            seen = self._seen
            latencies = {name: list(values) for name, values in self._latencies.items()}
        counts = self._journal.counts()
        return {
            "account": self._config.account,
            "time": format_time(now),
            "started": format_time(self.started_ms),
            "snapshot": None if seen is None else self._snapshot_facts(seen, now),
            "venues": [
                {
                    "name": venue.name,
                    "claim": venue.claim,
                    "requirement": venue.requirement,
                    "limits": list(venue.limits),
                    "proofs": counts.get(venue.name, {}),
                    "latency": _latency_facts(latencies[venue.name]),
                }
                for venue in self._config.venues
            ],
            "holdings": [{"name": name, "fills_applied": number} for name, number in self._account.numbers().items()],
            "updates_to_hand_over": len(self._account.undelivered()),
            "attestations": [
                {
                    "issuer": payload.issuer,
                    "role": payload.role,
                    "part": payload.part,
                    "sequence": payload.sequence,
                    "expires": payload.expires,
                    "seconds_left": left,
                }
                for payload, left in self._account.expiring(now_ms=now, within_seconds=1 << 40)
            ],
            "alarms": [alarm.to_json() for alarm in self._alarms.active()],
            "recent_alarms": [alarm.to_json() for alarm in self._alarms.recent()[:20]],
            "proofs": [
                {
                    "venue": made.venue,
                    "statement": made.statement,
                    "snapshot_time": format_time(made.snapshot_time),
                    "state": made.state,
                    "reason": made.reason,
                    "attempts": made.attempts,
                    "milliseconds": None if made.done is None else made.done - made.arrived,
                }
                for made in self._journal.proofs(last=20)
            ],
        }

    @staticmethod
    def _snapshot_facts(seen: Seen, now: int) -> dict[str, Any]:
        return {
            "name": seen.snapshot.name,
            "time": seen.snapshot.time,
            "age_seconds": (now - parse_time(seen.snapshot.time)) // 1000,
            "digest": seen.snapshot.digest().hex(),
            "quote": seen.snapshot.quote,
        }

    def book(self) -> Book | None:
        """The whole book at the newest snapshot, of all holdings: secret. None before the first snapshot."""
        with self._lock:
            seen = self._seen
        return None if seen is None else to_book(seen.chosen.lots, seen.snapshot)

    def report(self, requirement: str = "initial") -> MarginReport | None:
        """The margin at the newest snapshot, computed once a snapshot when it is asked for."""
        with self._lock:
            seen = self._seen
        if seen is None:
            return None
        if requirement not in seen.reports:
            seen.reports[requirement] = margin_report(seen.snapshot, seen.chosen.lots, requirement)
        return seen.reports[requirement]

    def scenarios(self, *, worst: int = 20) -> list[tuple[str, str, int]]:
        """The worst scenarios: group, label, P&L in valuation units; the worst first."""
        with self._lock:
            seen = self._seen
        if seen is None:
            return []
        rows = [row for row in risk_array(seen.snapshot, seen.chosen.lots) if not row.floor]
        return [(row.group, row.label, row.profit) for row in sorted(rows, key=lambda row: row.profit)[:worst]]

    def surfaces(self) -> dict[str, Surface]:
        """The P&L over price and vol by group, where the policy has such a grid."""
        with self._lock:
            seen = self._seen
        if seen is None:
            return {}
        if seen.surfaces is None:
            found = {}
            for group in seen.snapshot.groups:
                try:
                    found[group] = pnl_surface(seen.snapshot, seen.chosen.lots, group)
                except InputError:  # a policy without a grid of prices and vols
                    continue
            seen.surfaces = found
        return seen.surfaces

    def margin_facts(self) -> dict[str, Any] | None:
        """The margin under both requirements, for programs; None before the first snapshot."""
        found = {name: self.report(name) for name in ("initial", "maintenance")}
        return None if None in found.values() else {n: r.model_dump(mode="json") for n, r in found.items() if r}

    def headroom(self) -> list[dict[str, str]]:
        """Its course: time, equity, requirements, as decimals."""
        return [
            {
                "time": format_time(time_ms),
                "equity": from_units(equity, VALUATION_DECIMALS),
                "initial": from_units(initial, VALUATION_DECIMALS),
                "maintenance": from_units(maintenance, VALUATION_DECIMALS),
            }
            for time_ms, equity, initial, maintenance in self._journal.headroom()
        ]


def _latency_facts(values: list[float]) -> dict[str, Any] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "count": len(values),
        "median_milliseconds": round(1000 * median(ordered), 1),
        "p99_milliseconds": round(1000 * ordered[min(len(ordered) - 1, 99 * len(ordered) // 100)], 1),
        "last_milliseconds": round(1000 * values[-1], 1),
    }
