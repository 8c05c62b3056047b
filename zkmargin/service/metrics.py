"""Counters of the service in Prometheus' text: no account is named in them."""

from __future__ import annotations

from collections import Counter as Count
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from zkmargin.service import store
from zkmargin.service.desk import Desk

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What is counted. Each service has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("zkmargin_http_requests", "Calls.", ["route", "method", "status"], **of)
        self.seconds = Histogram("zkmargin_http_seconds", "Time of a call.", ["route"], buckets=_SECONDS, **of)
        self.verdicts = Counter("zkmargin_proofs", "Proofs judged.", ["verdict"], **of)
        self.judging = Histogram("zkmargin_judging_seconds", "A group judged and recorded.", buckets=_SECONDS, **of)
        self.group = Histogram("zkmargin_group_size", "Proofs judged together.", buckets=(1, 2, 4, 8, 16, 32, 64), **of)
        self.waiting = Gauge("zkmargin_waiting_proofs", "Submissions that wait for a verifier.", **of)
        self.workers = Gauge("zkmargin_workers_alive", "Processes that verify.", **of)
        self.accounts = Gauge("zkmargin_accounts", "Accounts by state.", ["state"], **of)
        self.webhooks = Counter("zkmargin_webhook_deliveries", "Events sent to webhooks.", ["outcome"], **of)
        self.denied = Counter("zkmargin_denied_calls", "Calls refused before they were looked at.", ["reason"], **of)
        self.streams = Gauge("zkmargin_event_streams", "Callers that listen to events.", **of)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A call was answered."""
        requests, observed = self._of_call(route, method, status)
        requests.inc()
        observed.observe(seconds)

    @cache  # noqa: B019 - as many as there are routes, methods and answers; one service has one of these
    def _of_call(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, method, str(status)), self.seconds.labels(route)

    def text(self, desk: Desk) -> bytes:
        """All of it now."""
        self.workers.set(desk.pool.alive)
        with desk.ledger.database.reading() as connection:
            now_ms = desk.clock()
            rows = store.account_rows(connection)
            found = Count("closed" if row.closed else row.standing.at(now_ms) for row in rows)
        for state in ("covered", "due", "late", "refused", "uncovered", "closed"):
            self.accounts.labels(state).set(found[state])
        return generate_latest(self.registry)
