"""What stands before every call: size, time and rate, whatever a client declares; and what is counted and logged.

A request is refused before it costs anything: by its declared length, by the bytes that come, by the time that they
take. The connection is then closed, so that nobody goes on sending.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zkmargin.client.errors import Denied, NotFound, Unavailable
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.ledger.database import UnusableError
from zkmargin.service import logs
from zkmargin.service.access import Unauthorized, shown
from zkmargin.service.desk import Desk
from zkmargin.service.metrics import Metrics
from zkmargin.service.rates import Rates, TooMany

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Calls with bodies as large as snapshots.
LARGE = ("/v1/snapshots", "/v1/venue-proofs", "/v1/bundles")
#: Asked by machines that watch the service: never counted against a rate.
FREE = ("/healthz", "/readyz")


class TooLarge(InputError):  # noqa: N818 - it says what it is
    """More bytes than the call takes."""


class TooSlow(InputError):  # noqa: N818 - as above
    """The request did not come in time."""


def status_of(error: ZkMarginError) -> int:
    """The HTTP status of an error of ours."""
    if isinstance(error, VerificationError):
        return 409 if error.check in ("sequence", "replay") else 422
    known: list[tuple[type[ZkMarginError], int]] = [
        (Unauthorized, 401),
        (Denied, 403),
        (NotFound, 404),
        (TooSlow, 408),
        (TooLarge, 413),
        (ProofFormatError, 422),
        (TooMany, 429),
        (Unavailable, 503),
        (UnusableError, 503),
        (InputError, 400),
    ]
    return next((status for kind, status in known if isinstance(error, kind)), 500)


class Guard:
    """ASGI middleware.

    Args:
        app: what it guards.
        desk, metrics: of the service; ``fault`` answers an error.
        alone: raises Unavailable where another service may have the database.
    """

    def __init__(
        self,
        app: App,
        desk: Desk,
        metrics: Metrics,
        fault: Callable[[ZkMarginError], App],
        alone: Callable[[], Awaitable[None]],
    ) -> None:
        self._app, self._desk, self._metrics, self._fault, self._alone = app, desk, metrics, fault, alone
        limits = desk.settings.limits
        self._rates = Rates(limits.calls_per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, seen = time.perf_counter(), {"status": 500, "started": False}

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                seen["status"], seen["started"] = message["status"], True
            await send(message)

        try:
            await self._check_before(scope)
            await self._app(scope, self._bounded(scope, receive), watched)
        except ZkMarginError as error:  # before any route
            await self._fault(error)(scope, receive, watched)
        except Exception as error:
            logs.failure("request", error)
            if seen["started"]:
                raise
            await self._fault(ZkMarginError("a defect of the service"))(scope, receive, watched)
        self._note(scope, int(seen["status"]), time.perf_counter() - begin)

    async def _check_before(self, scope: Scope) -> None:
        """Raises TooMany, TooLarge; InputError: a NUL, which no name has and no database takes."""
        if scope["path"] in FREE:
            return
        await self._alone()
        await self._desk.know_tokens()
        wait = self._rates.take(self._who(scope))
        if wait:
            self._metrics.denied.labels("rate").inc()
            raise TooMany("too many calls", retry_after=wait)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise InputError("a NUL in a name", field="path or query")
        declared = _header(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self._most(scope):
            self._metrics.denied.labels("size").inc()
            raise TooLarge(f"more than {self._most(scope)} bytes")

    def _who(self, scope: Scope) -> str:
        """A known token, else the address: whoever invents tokens does not get more calls by it."""
        digest = shown((_header(scope, b"authorization") or b"").decode("latin-1"))
        scope.setdefault("state", {})["shown"] = digest  # calls ask whose it is
        if digest is not None and digest in self._desk.tokens():
            return digest
        client = scope.get("client")
        return source_of(str(client[0])) if client else "unknown"

    def _most(self, scope: Scope) -> int:
        limits = self._desk.settings.limits
        return limits.max_snapshot_body if scope["path"] in LARGE else limits.max_body

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        most, taken, whole = self._most(scope), 0, False
        deadline = asyncio.get_running_loop().time() + self._desk.settings.limits.body_seconds

        async def bounded() -> MutableMapping[str, Any]:
            nonlocal taken, whole
            if whole:  # only the end of the connection is left to come
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                self._metrics.denied.labels("slow").inc()
                raise TooSlow("the request did not come in time") from None
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > most:
                self._metrics.denied.labels("size").inc()
                raise TooLarge(f"more than {most} bytes")
            return message

        return bounded

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.answered(route, scope["method"], status, seconds)
        who = scope.get("state", {}).get("caller")
        facts = {"route": route, "method": scope["method"], "status": status, "ms": math.ceil(1000 * seconds)}
        logs.say("request", **facts, caller=who)


def source_of(address: str) -> str:
    """Whose an address is, for what is counted: of IPv6 the network, which one machine has for itself.

    Example:
        >>> source_of("2001:db8:1:2:3:4:5:6"), source_of("192.0.2.7"), source_of("::ffff:192.0.2.7")
        ('2001:db8:1:2::/64', '192.0.2.7', '192.0.2.7')
    """
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(host, ipaddress.IPv4Address):
        return str(host)
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(host) >> 64 << 64, 64)))


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
