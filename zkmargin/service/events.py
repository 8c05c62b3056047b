"""Events to whoever listens: Server-Sent Events, and webhooks that are tried again until they are taken.

A webhook gets the events of its kinds one after the other, each signed by the service. It is told again what it did not
answer with 2xx; whoever gets an event twice knows it by its number.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
from sqlalchemy import Connection, select, update

from zkmargin.client.documents import Event, EventPayload
from zkmargin.service import logs, store, tables
from zkmargin.service.bell import Bell
from zkmargin.service.desk import Desk
from zkmargin.service.metrics import Metrics

#: Sent when nothing happened, so that both ends notice a connection that is gone.
ALIVE_SECONDS = 15.0
PAGE = 100
#: How long a webhook may take, and how long the service waits before it tries again, at most.
WEBHOOK_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 3600


def signed(desk: Desk, payload: EventPayload) -> bytes:
    """An event as one line of JSON."""
    event = Event(payload=payload).signed(desk.signer)
    return json.dumps(event.to_json(), separators=(",", ":"), ensure_ascii=False).encode()


def _after(desk: Desk, number: int, account: str | None) -> list[EventPayload]:
    with desk.ledger.database.reading() as connection:
        return store.events_after(connection, number, account=account, limit=PAGE)


async def stream(
    desk: Desk, bell: Bell, metrics: Metrics, *, after: int, account: str | None, may: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Server-Sent Events above a number, until whoever listens ``may`` not any more: revoked at once, expired soon."""
    metrics.streams.inc()
    try:
        yield b"retry: 2000\n\n"
        while may() and not bell.closed:
            rang = bell.listen()
            found = await asyncio.to_thread(_after, desk, after, account)
            for payload in found:
                after = payload.number
                line = await asyncio.to_thread(signed, desk, payload)
                yield f"id: {payload.number}\nevent: {payload.kind}\ndata: ".encode() + line + b"\n\n"
            if not found and not await bell.wait(rang, ALIVE_SECONDS):
                yield b": alive\n\n"
    finally:
        metrics.streams.dec()


class Webhooks:
    """Sends events to webhooks, in the background."""

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        self._desk, self._metrics = desk, metrics
        self._http = httpx.AsyncClient(timeout=WEBHOOK_SECONDS, follow_redirects=False)

    async def close(self) -> None:
        """Release the connections."""
        await self._http.aclose()

    async def deliver(self) -> None:
        """Send to each webhook that is due what it has not got yet."""
        await asyncio.gather(*(self._deliver(hook) for hook in await asyncio.to_thread(self._due)))

    def _due(self) -> list[Any]:
        query = select(tables.webhooks).where(tables.webhooks.c.next_ms <= self._desk.clock())
        with self._desk.ledger.database.reading() as connection:
            return list(connection.execute(query).all())

    async def _deliver(self, hook: Any) -> None:
        kinds = set(json.loads(hook.events))
        while True:
            found = await asyncio.to_thread(_after, self._desk, hook.delivered, hook.scope or None)
            if not found:
                return
            for payload in found:
                mine = payload.kind in kinds and (not hook.scope or payload.account == hook.scope)
                if mine and not await self._send(hook, payload):
                    return
            hook = hook._replace(delivered=found[-1].number, attempts=0)
            await self._save(hook, delivered=found[-1].number, attempts=0, next_ms=0)

    async def _send(self, hook: Any, payload: EventPayload) -> bool:
        """Whether it was taken; else when to try again is kept."""
        body = await asyncio.to_thread(signed, self._desk, payload)
        headers = {"content-type": "application/json", "zkmargin-event": str(payload.number)}
        try:
            response = await self._http.post(hook.url, content=body, headers=headers)
            taken = response.is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            taken = False
        self._metrics.webhooks.labels("taken" if taken else "failed").inc()
        if taken:
            await self._save(hook, delivered=payload.number, attempts=0, next_ms=0)
            return True
        wait = min(2**hook.attempts, LONGEST_WAIT_SECONDS)
        logs.say("webhook", outcome="failed", number=payload.number, attempts=hook.attempts + 1, again_seconds=wait)
        next_ms = self._desk.clock() + 1000 * wait
        await self._save(hook, attempts=min(hook.attempts + 1, 30), next_ms=next_ms)
        return False

    async def _save(self, hook: Any, **values: int) -> None:
        await asyncio.to_thread(self._desk.ledger.database.write, partial(_save, hook, values))


def _save(hook: Any, values: dict[str, int], connection: Connection) -> None:
    table = tables.webhooks
    of = (table.c.url == hook.url) & (table.c.scope == hook.scope)
    connection.execute(update(table).where(of).values(values))
