"""Events to whoever listens: signed, numbered, as Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from zkmargin.client.documents import Event, EventPayload
from zkmargin.service import store
from zkmargin.service.bell import Bell
from zkmargin.service.desk import Desk
from zkmargin.service.metrics import Metrics

#: Sent when nothing happened, so that both ends notice a connection that is gone.
ALIVE_SECONDS = 15.0
PAGE = 100


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
        while not bell.closed:
            await desk.know_tokens()
            if not may():
                break
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
