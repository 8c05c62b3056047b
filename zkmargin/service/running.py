"""The background work of a service: the queue of proofs, states that change by themselves, webhooks, retention."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Connection

from zkmargin.client.errors import Denied, Unavailable
from zkmargin.formats import ZkMarginError
from zkmargin.service import logs, store, tables
from zkmargin.service.access import NotYours, Unauthorized
from zkmargin.service.bell import Bell
from zkmargin.service.desk import Desk, Token
from zkmargin.service.metrics import Metrics
from zkmargin.service.rates import Rates
from zkmargin.service.submissions import Queue
from zkmargin.service.webhooks import Webhooks

#: How often states are looked at, webhooks served, and old rows deleted.
TICK_SECONDS, WEBHOOK_SECONDS, SWEEP_SECONDS = 0.5, 0.5, 3600.0
#: How long it counts that the database was seen to be this service's alone.
ALONE_SECONDS = 2.0
#: How often refused callers are written down, and how many wait for it at most.
NOTE_SECONDS, MAX_NOTES = 0.1, 256
#: So many lines a second are for callers without a token that counts, all together, and for each token of another role,
#: and so many at once for each.
NOTES_PER_SECOND, NOTES_OF_TOKEN = 1.0, 8


class Running:
    """What runs beside the calls. ``bell`` and ``queue`` are there while it is ``at_work``."""

    bell: Bell
    queue: Queue

    def __init__(self, desk: Desk, *, check_alone: Callable[[], None] | None = None) -> None:
        self.desk, self.metrics = desk, Metrics()
        limits = desk.settings.limits
        self.rates = Rates(limits.calls_per_second, limits.burst)
        self._check_alone, self._ready = check_alone, False
        self._alone, self._lost = -math.inf, -math.inf  # when it was seen last that the database is ours, or not
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="alone")
        self._notes: list[tuple[int, str, str, str | None, dict[str, Any]]] = []
        self._strangers, self._known = Rates(NOTES_PER_SECOND, 1), Rates(NOTES_PER_SECOND, NOTES_OF_TOKEN)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """From the server's start to its end."""
        self.bell, self.queue = Bell(), Queue(self.desk, self.metrics)
        self.desk.changed = self.bell.ring
        hooks = Webhooks(self.desk, self.metrics)

        async def deliver() -> None:
            if self.alone:  # else another service delivers
                await hooks.deliver()

        work: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (TICK_SECONDS, self._tick),
            (WEBHOOK_SECONDS, deliver),
            (SWEEP_SECONDS, self._sweep),
            (NOTE_SECONDS, self._write_notes),
        ]
        tasks = [asyncio.create_task(_again_and_again(seconds, one)) for seconds, one in work]
        self._ready = True
        try:
            yield
        finally:
            self.drain()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.queue.close()
            await hooks.close()
            with suppress(ZkMarginError):  # the database may be away
                await self._write_notes()
            self._checks.shutdown(wait=False, cancel_futures=True)

    def drain(self) -> None:
        """Take no more, and end what waits for something new."""
        self._ready = False
        self.bell.close()

    @property
    def alone(self) -> bool:
        """Whether the database was seen to be this service's a moment ago: a process that was stopped saw it before."""
        return self._check_alone is None or time.monotonic() - self._alone < ALONE_SECONDS

    async def check_alone(self) -> None:
        """Before every call. Raises Unavailable: another service may have the database."""
        if self.alone:
            return
        try:
            async with asyncio.timeout(ALONE_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._checks, self._look)
        except (TimeoutError, ZkMarginError):
            raise Unavailable("another service may have the database", retry_after=1) from None

    def _look(self) -> None:
        """Raises InputError: another has it, or no answer."""
        if self._check_alone is None:
            return
        now = time.monotonic()
        if now - self._lost < TICK_SECONDS:  # many calls ask
            raise Unavailable("another service may have the database", retry_after=1)
        try:
            self._check_alone()
        except ZkMarginError:
            self._alone, self._lost = -math.inf, now
            raise
        self._alone = now

    def check_ready(self) -> None:
        """Raises Unavailable: it starts, drains, or cannot write."""
        if not (self._ready and self.alone):
            raise Unavailable("it starts, drains, or cannot write", retry_after=1)
        if self.desk.pool.alive == 0:
            raise Unavailable("no verifier is alive", retry_after=1)

    def note_denied(self, address: str, reason: str) -> None:
        """A caller without a token that counts, or a change of nobody's who may, into the audit log, soon."""
        self.metrics.denied.labels("token").inc()
        if not self._strangers.take("all"):
            self._note(address, None, {"reason": reason})

    def note_refused(self, token: Token, call: str, error: Exception) -> None:
        """A call that is not for a token's role or account, into the audit log, soon."""
        if isinstance(error, Unauthorized) or not isinstance(error, (Denied, NotYours)):
            return
        self.metrics.denied.labels("role").inc()
        reason = error.message if isinstance(error, Denied) else "another's"
        facts = {"reason": reason, "role": token.role, "account": token.account, "digest": token.digest}
        if not self._known.take(token.digest):
            self._note(token.name, call[:400], facts)

    def _note(self, actor: str, subject: str | None, facts: dict[str, Any]) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append((self.desk.clock(), actor, "call", subject, facts))

    async def _write_notes(self) -> None:
        """Beside the calls: none of them waits for the database because somebody was refused."""
        notes, self._notes = self._notes, []

        def write(connection: Connection) -> None:
            for time_ms, actor, action, subject, facts in notes:
                store.audit(connection, time_ms, actor, action, subject=subject, outcome="denied", **facts)

        if notes:
            try:
                await asyncio.to_thread(self.desk.ledger.database.write, write)
            except BaseException:
                self._notes = [*notes, *self._notes][:MAX_NOTES]
                raise

    async def _tick(self) -> None:
        try:
            changed = await asyncio.to_thread(self._settle)
        except Exception:
            self._ready = False
            self.bell.ring()  # streams of events look whether they may go on
            raise
        self._ready = not self.bell.closed
        if changed:
            self.bell.ring()

    def _settle(self) -> bool:
        """States as of now; whether one changed. Raises where the database does not answer or is not ours alone."""
        self._look()
        desk, now_ms = self.desk, self.desk.clock()
        with desk.ledger.database.reading() as connection:
            rows = [row for row in store.account_rows(connection) if not row.closed]
        stale = [row for row in rows if (row.standing.at(now_ms), row.standing.due_ms) != (row.state, row.until_ms)]
        if not stale:
            return False

        def write(connection: Connection) -> bool:
            found = [store.account_rows(connection, row.account)[0] for row in stale]
            return sum(store.settle_state(connection, desk.name, row, now_ms) for row in found) > 0

        return desk.ledger.database.write(write)

    async def _sweep(self) -> None:
        kept, now_ms = self.desk.settings.retention, self.desk.clock()
        days = {tables.events: kept.events_days, tables.refusals: kept.refusals_days, tables.audit: kept.audit_days}
        asked_ms = now_ms - kept.challenges_days * 86_400_000

        def write(connection: Connection) -> int:
            gone = store.forget_old(connection, now_ms, days) + store.forget_tokens(connection, now_ms)
            return gone + store.forget_challenges(connection, before_ms=asked_ms)

        gone = await asyncio.to_thread(self.desk.ledger.database.write, write)
        if gone:
            logs.say("retention", rows=gone)


async def _again_and_again(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """A failure is logged, and tried again."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the database may be away for a while
            logs.failure("background", error)
        await asyncio.sleep(seconds)
