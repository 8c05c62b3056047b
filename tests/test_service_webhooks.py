"""Webhooks that do harm: slow ones, endless answers, removed ones, addresses of the inside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.typed import Passed
from support.venue_desk import Venue
from support.venue_service import signers

from zkmargin.client.documents import Terms
from zkmargin.client.orders import RegisterAccount, RemoveWebhook, SetWebhook
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.service import webhooks
from zkmargin.service.metrics import Metrics
from zkmargin.service.webhooks import Webhooks, check_url

ALLOWED = {"webhooks_over_http": True, "webhooks_to_private_addresses": True}


@pytest.fixture
def ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Ledger]:
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"], wal=True) as one:
        yield one
    assert [
        record
        for record in caplog.get_records("call")
        if record.name == "zkmargin.service" and record.levelno >= logging.ERROR
    ] == []


class Receiver:
    """Answers on a port of its own; ``answer`` says how, once it has a request."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.sent = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self.requests.append(head + await reader.readexactly(length))
        with contextlib.suppress(ConnectionError):
            await self.answer(writer)
        writer.close()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()


class Dripping(Receiver):
    """A byte of a header now and then."""

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not writer.is_closing():
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.05)


class Endless(Receiver):
    """Taken, and then words without end."""

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while self.sent < 1 << 28:
            writer.write(b"z" * (1 << 16))
            self.sent += 1 << 16
            await writer.drain()


@asynccontextmanager
async def at(receiver: Receiver) -> AsyncIterator[str]:
    """Its URL."""
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
        for writer in receiver.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(venue: Venue) -> AsyncIterator[Webhooks]:
    """As the service does it, faster."""
    hooks = Webhooks(venue.desk, Metrics())

    async def again() -> None:
        while True:
            await hooks.deliver()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(again())
    try:
        yield hooks
    finally:
        task.cancel()
        await hooks.close()


def account(venue: Venue, name: str, url: str | None = None) -> None:
    """An account with a webhook: an event of it."""
    venue.order(RegisterAccount(account=name, terms=Terms(period_seconds=60, grace_seconds=60), keys=()))
    if url is not None:
        venue.order(SetWebhook(url=url, account=name, events=("account",)))


async def until(done: Passed, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - other threads and the database are waited for too
            await asyncio.sleep(0.01)


def test_a_slow_webhook_delays_nobody_elses_and_ends(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "EXCHANGE_SECONDS", 1.0)
    venue, slow, good = Venue(ledger, settings=ALLOWED), Dripping(), Receiver()

    async def work() -> None:
        async with at(slow) as slow_url, at(good) as good_url, serving(venue) as hooks:
            await asyncio.to_thread(account, venue, "alice", slow_url)
            await asyncio.to_thread(account, venue, "bob", good_url)
            await asyncio.to_thread(account, venue, "alice")
            await until(lambda: slow.requests)
            for number in range(1, 4):
                await asyncio.to_thread(account, venue, "bob")
                await until(lambda number=number: len(good.requests) == number, 0.9)
            await until(lambda: not hooks._tasks, 5)  # the whole exchange has a time
            assert len(slow.requests) == 1  # and is tried again later: this clock stands

    asyncio.run(work())


def test_the_answer_of_a_webhook_is_not_read(ledger: Ledger) -> None:
    venue, endless = Venue(ledger, settings=ALLOWED), Endless()

    async def work() -> None:
        async with at(endless) as url, serving(venue):
            await asyncio.to_thread(account, venue, "alice", url)
            for number in (1, 2):
                await asyncio.to_thread(account, venue, "alice")
                await until(lambda number=number: len(endless.requests) == number)

    asyncio.run(work())
    assert 0 < endless.sent < 1 << 26


def test_a_webhook_that_is_removed_hears_no_more(ledger: Ledger) -> None:
    venue = Venue(ledger, settings=ALLOWED)

    class Removing(Receiver):
        async def answer(self, writer: asyncio.StreamWriter) -> None:
            remove = RemoveWebhook(url=url, account="alice")
            await asyncio.to_thread(venue.order, remove)
            await super().answer(writer)

    receiver, url = Removing(), ""

    async def work() -> None:
        nonlocal url
        async with at(receiver) as url:
            await asyncio.to_thread(account, venue, "alice", url)
            for _ in range(3):  # they wait together
                await asyncio.to_thread(account, venue, "alice")
            async with serving(venue) as hooks:
                await until(lambda: receiver.requests)
                await until(lambda: not hooks._tasks)

    asyncio.run(work())
    assert len(receiver.requests) == 1


def test_an_account_has_so_many_webhooks(ledger: Ledger) -> None:
    venue = Venue(ledger, settings={"limits": {"webhooks_per_account": 2}})
    account(venue, "alice")
    for name in ("one", "two", "one"):  # set again, it counts once
        venue.order(SetWebhook(url=f"https://hooks.example/{name}", account="alice"))
    with pytest.raises(InputError, match="there are 2, no more may be"):
        venue.order(SetWebhook(url="https://hooks.example/three", account="alice"))
    venue.order(SetWebhook(url="https://hooks.example/three"))  # of all accounts: others


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),  # noqa: S104
        *("[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "localhost", "LOCALHOST."),
    ],
)
def test_addresses_of_the_inside_are_refused_when_set(ledger: Ledger, host: str) -> None:
    venue = Venue(ledger)
    with pytest.raises(InputError, match="not a public address"):
        venue.order(SetWebhook(url=f"https://{host}/hook"))
    venue.desk.settings = venue.desk.settings.model_copy(update=ALLOWED)
    check_url(f"https://{host}/hook", venue.desk.settings)


def test_a_name_of_an_address_of_the_inside_is_not_called(ledger: Ledger) -> None:
    venue, receiver = Venue(ledger, settings={"webhooks_over_http": True}), Receiver()

    async def work() -> None:
        async with at(receiver) as url:
            # a number is a name to whoever looks names up: that of the loopback
            await asyncio.to_thread(account, venue, "alice", url.replace("127.0.0.1", "2130706433"))
            await asyncio.to_thread(account, venue, "alice")
            metrics = Metrics()
            hooks = Webhooks(venue.desk, metrics)
            await hooks.deliver()
            await until(lambda: not hooks._tasks)
            await hooks.close()
            assert metrics.webhooks.labels("failed")._value.get() == 1
            assert receiver.requests == []
            venue.desk.settings = venue.desk.settings.model_copy(update=ALLOWED)
            venue.now_ms += 10_000
            async with serving(venue):
                await until(lambda: receiver.requests)
            assert b"2130706433" in receiver.requests[0]  # the host is the URL's

    asyncio.run(work())
