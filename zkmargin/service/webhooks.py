"""Webhooks: events that are sent to others, and sent again until they are taken.

A webhook gets the events of its kinds one after the other, each signed by the service. It is told again what it did not
answer with 2xx; whoever gets an event twice knows it by its number. What answers is not trusted: it has a time for the
whole exchange, its words are not read, and it delays nobody else's events.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import httpx
from sqlalchemy import Connection, select, update

from zkmargin.client.documents import EventPayload
from zkmargin.formats import InputError
from zkmargin.service import logs, store, tables
from zkmargin.service.desk import Desk
from zkmargin.service.events import PAGE, signed
from zkmargin.service.metrics import Metrics
from zkmargin.service.settings import Settings

#: How long a webhook may take, from its name to its status, and how long is waited before it is tried again, at most.
EXCHANGE_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 3600
#: Names that are looked up at the same time: a slow server of names holds one of these, and no other thread.
LOOKUPS = 32

#: Where the last 32 bits are an IPv4 address (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

#: Addresses that only a machine or a network gives a meaning to: IPv4 in the old way (RFC 4291, 2.5.5.1), and of a
#: network's own translator (RFC 8215), which not every Python calls private.
_NOWHERE = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))

_Key = tuple[str, str]


class _Hook(NamedTuple):
    """A row of its table."""

    url: str
    scope: str
    events: str
    delivered: int
    attempts: int
    next_ms: int


class _Page(NamedTuple):
    """A webhook as it is now, and the next events: of one moment."""

    hook: _Hook
    events: list[EventPayload]


def check_url(url: str, settings: Settings) -> None:
    """Whether events may go there, as far as the URL tells; names are looked up when it is called.

    Raises:
        InputError: no URL, without TLS, or an address that is not public, where the configuration does not allow it.
    """
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        raise InputError("not a URL", field="url") from None
    if not url.startswith("https://") and not settings.webhooks_over_http:
        raise InputError("not https", field="url", hint="the service's configuration may allow it")
    if settings.webhooks_to_private_addresses:
        return
    public = host.rstrip(".").lower() != "localhost"
    with suppress(ValueError):  # a name
        public = public and is_public(ipaddress.ip_address(host))
    if not public:
        raise InputError(
            "not a public address", field="url", hint="the service's configuration may allow private addresses"
        )


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the Internet's: not private, loopback, link-local, reserved or of a group.

    Example:
        >>> from ipaddress import ip_address
        >>> [is_public(ip_address(one)) for one in ("1.1.1.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
        [True, False, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within is not None:
            return is_public(within)
        if any(address in network for network in _NOWHERE):
            return False
    return address.is_global and not address.is_multicast


class Webhooks:
    """Sends events to webhooks, in the background: each has a task of its own while there is something for it."""

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        self._desk, self._metrics = desk, metrics
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")
        # directly, whatever the environment says of proxies: the address that was looked at is the one that is called
        self._http = httpx.AsyncClient(
            timeout=EXCHANGE_SECONDS,
            follow_redirects=False,
            trust_env=False,
            verify=httpx.create_ssl_context(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),  # nobody waits for another
        )

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lookups.shutdown(wait=False, cancel_futures=True)
        await self._http.aclose()

    async def deliver(self) -> None:
        """Begin to send to each webhook that is due what it has not got yet; it waits for none."""
        for key in await asyncio.to_thread(self._due):
            if key not in self._tasks:
                self._tasks[key] = asyncio.create_task(self._serve(key))

    def _due(self) -> list[_Key]:
        table = tables.webhooks
        query = select(table.c.url, table.c.scope).where(table.c.next_ms <= self._desk.clock())
        with self._desk.ledger.database.reading() as connection:
            return [(row.url, row.scope) for row in connection.execute(query)]

    def _page(self, key: _Key) -> _Page | None:
        """None where it was removed."""
        table, (url, scope) = tables.webhooks, key
        with self._desk.ledger.database.reading() as connection:
            row = connection.execute(select(table).where(table.c.url == url, table.c.scope == scope)).first()
            if row is None:
                return None
            hook = _Hook(**row._asdict())
            return _Page(hook, store.events_after(connection, hook.delivered, account=scope or None, limit=PAGE))

    async def _serve(self, key: _Key) -> None:
        try:
            while (page := await asyncio.to_thread(self._page, key)) is not None and page.events:
                if not await self._deliver(page):
                    return
        except Exception as error:  # noqa: BLE001 - the database may be away for a while
            logs.failure("webhook", error)
        finally:
            del self._tasks[key]

    async def _deliver(self, page: _Page) -> bool:
        """Whether all of a page was taken, by a webhook that is still there."""
        hook, kinds = page.hook, set(json.loads(page.hook.events))
        for payload in page.events:
            if payload.kind not in kinds or (hook.scope and payload.account != hook.scope):
                continue
            if not await self._send(hook, payload):
                return False
            hook = hook._replace(delivered=payload.number, attempts=0)
        last = page.events[-1].number
        return last == hook.delivered or await self._save(hook, delivered=last)

    async def _send(self, hook: _Hook, payload: EventPayload) -> bool:
        """Whether it was taken, by a webhook that is still there; else when to try again is kept."""
        body = await asyncio.to_thread(signed, self._desk, payload)
        headers = {"content-type": "application/json", "zkmargin-event": str(payload.number)}
        taken = await self._taken(hook.url, body, headers)
        self._metrics.webhooks.labels("taken" if taken else "failed").inc()
        if taken:
            return await self._save(hook, delivered=payload.number, attempts=0, next_ms=0)
        wait = min(2**hook.attempts, LONGEST_WAIT_SECONDS)
        logs.say("webhook", outcome="failed", number=payload.number, attempts=hook.attempts + 1, again_seconds=wait)
        next_ms = self._desk.clock() + 1000 * wait
        await self._save(hook, attempts=min(hook.attempts + 1, 30), next_ms=next_ms)
        return False

    async def _taken(self, url: str, body: bytes, headers: dict[str, str]) -> bool:
        """Whether it answered with 2xx in time."""
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                target = httpx.URL(url)
                for address in await self._addresses(target):
                    with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # a name may have several
                        return await self._post(target, address, body, headers)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError):
            pass
        return False

    async def _addresses(self, target: httpx.URL) -> list[str]:
        """Those of its host that events may go to. Raises OSError: there is no such name."""
        loop, port = asyncio.get_running_loop(), target.port or (443 if target.scheme == "https" else 80)
        look = partial(socket.getaddrinfo, target.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        found = dict.fromkeys(str(row[4][0]) for row in await loop.run_in_executor(self._lookups, look))
        if self._desk.settings.webhooks_to_private_addresses:
            return list(found)
        return [one for one in found if is_public(ipaddress.ip_address(one))]

    async def _post(self, target: httpx.URL, address: str, body: bytes, headers: dict[str, str]) -> bool:
        """To the very address that was looked at, under the name of the URL. Only its status is read."""
        headers = headers | {"host": target.netloc.decode("ascii")}
        named = {"sni_hostname": target.raw_host.decode("ascii")}
        url = target.copy_with(host=address)
        async with self._http.stream("POST", url, content=body, headers=headers, extensions=named) as response:
            return response.is_success

    async def _save(self, hook: _Hook, **values: int) -> bool:
        """Whether it is still there as it was."""
        return await asyncio.to_thread(self._desk.ledger.database.write, partial(_save, hook, values))


def _save(hook: _Hook, values: dict[str, int], connection: Connection) -> bool:
    table = tables.webhooks
    of = (table.c.url == hook.url) & (table.c.scope == hook.scope)
    of &= (table.c.delivered == hook.delivered) & (table.c.events == hook.events)  # not one that was set meanwhile
    return connection.execute(update(table).where(of).values(values)).rowcount > 0
