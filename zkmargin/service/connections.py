"""What a connection costs: from when it is accepted to its end, whatever its peer sends, reads, or leaves to wait."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from zkmargin.service.guard import source_of

#: Of the URL and all headers of one request.
MAX_HEADER_BYTES = 1 << 15
#: Of a body whose request was answered already: a caller that is refused shall see why.
MAX_UNREAD_BYTES = 1 << 18
#: Of an answer that waits for its peer to read it, in the time that a connection may be idle.
MIN_READ_BYTES = 1 << 16
#: Connections that wait to be accepted.
BACKLOG = 2048


def within(address: str, proxies: Collection[str]) -> bool:
    """Whether an address is a proxy's."""
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return address in proxies
    for proxy in proxies:
        try:
            if proxy == "*" or host in ipaddress.ip_network(proxy, strict=False):
                return True
        except ValueError:
            continue  # a name
    return False


class Bounded(HttpToolsProtocol):
    """uvicorn's protocol; whoever accepted the connection is told of its end."""

    made = False
    ended: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As in uvicorn."""
        self.made = True
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """As in uvicorn."""
        if self.ended is not None:
            self.ended()
        super().connection_lost(exc)


def protocol_with(idle_seconds: float) -> type[Bounded]:
    """uvicorn's protocol, with an end to what a connection costs before, beside and after a request.

    Args:
        idle_seconds: a request that does not begin and get its headers in time is not waited for; nor is a peer that
            in this time does not read ``MIN_READ_BYTES`` of an answer.
    """

    class Protocol(Bounded):
        _late: asyncio.TimerHandle | None = None
        _slow: asyncio.TimerHandle | None = None
        _header_bytes = 0
        # a line that does not end is kept by the parser, which tells of it when it ends: what came is counted too
        _in_head, _heads, _pending = True, 0, 0
        _unread = 0

        def data_received(self, data: bytes) -> None:
            before = (self._in_head, self._heads)
            super().data_received(data)
            if self._in_head and (self._in_head, self._heads) == before:
                self._pending += len(data)
                if self._pending > MAX_HEADER_BYTES:
                    self.transport.abort()

        def on_url(self, url: bytes) -> None:
            self._header_bytes += len(url)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.transport.abort()
            else:
                super().on_url(url)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self._look_no_more()
            super().connection_lost(exc)

        def pause_writing(self) -> None:  # the peer does not read as fast as it is answered
            super().pause_writing()
            self._look_later()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._look_no_more()

        def on_header(self, name: bytes, value: bytes) -> None:
            self._header_bytes += len(name) + len(value)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.transport.abort()
            else:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._header_bytes = self._pending = 0
            self._heads += 1
            self._in_head = False
            self._stop()
            if not self.transport.is_closing():
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            if self.cycle.response_complete:  # nobody reads it: a call that is none, or not for this caller
                self._unread += len(body)
                if self._unread > MAX_UNREAD_BYTES:
                    self.transport.abort()

        def on_message_complete(self) -> None:
            self._in_head, self._unread = True, 0
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():
                self._look_later()  # it ends when what is left was read
            elif self.cycle.response_complete:  # else the next of several requests is answered
                self._wait()

        def _wait(self) -> None:
            self._stop()
            self._late = self.loop.call_later(idle_seconds, self._end)

        def _stop(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _end(self) -> None:
            self.transport.close()
            self._look_later()

        def _look_later(self) -> None:
            self._look_no_more()
            self._slow = self.loop.call_later(idle_seconds, self._look, self.transport.get_write_buffer_size())

        def _look_no_more(self) -> None:
            if self._slow is not None:
                self._slow.cancel()
                self._slow = None

        def _look(self, before: int) -> None:
            if before - self.transport.get_write_buffer_size() < MIN_READ_BYTES:
                self.transport.abort()
            else:
                self._look_later()

    return Protocol


class Listener:
    """Accepts connections for a server. They count from there on: also those that never end their TLS handshake.

    Args:
        listening: a socket that is bound. It listens from here on: whoever is told of it now gets no refusal.
        make: the protocol of a connection.
        tls: its context, or None.
        handshake_seconds: so long a handshake may take.
        most: connections at the same time; a further one is closed at once.
        per_address: of one address; a further one is closed at once.
        proxies: addresses and networks of proxies, which stand for many; ``*`` for all.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], Bounded],
        *,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
        most: int,
        per_address: int,
        proxies: Collection[str] = (),
    ) -> None:
        self._listening, self._make, self._tls, self._handshake_seconds = listening, make, tls, handshake_seconds
        self._most, self._per_address, self._proxies = most, per_address, proxies
        self._taken, self._count = Counter[str | None](), 0
        self._tasks = set[asyncio.Task[None]]()
        listening.setblocking(False)
        listening.listen(BACKLOG)

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError as error:
                if error.errno != errno.ECONNABORTED:  # no descriptor or memory is left: others end meanwhile
                    await asyncio.sleep(0.1)
                continue
            source = None if within(str(address[0]), self._proxies) else source_of(str(address[0]))
            if self._count >= self._most or (source is not None and self._taken[source] >= self._per_address):
                connection.close()
                continue
            self._taken[source] += 1
            self._count += 1
            task = loop.create_task(self._begin(connection, source))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, connection: socket.socket, source: str | None) -> None:
        """Until its protocol has the connection, after the handshake where there is one, or it is gone."""
        protocol = self._make()
        protocol.ended = partial(self._release, source)
        loop, seconds = asyncio.get_running_loop(), None if self._tls is None else self._handshake_seconds
        try:
            with suppress(OSError):  # a handshake that fails, or takes too long
                await loop.connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=seconds
                )
        finally:
            if not protocol.made:
                protocol.ended = None
                self._release(source)

    def _release(self, source: str | None) -> None:
        self._count -= 1
        self._taken[source] -= 1
        if not self._taken[source]:
            del self._taken[source]
