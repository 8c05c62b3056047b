"""The server: uvicorn around the calls, from the configuration to the last answer."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from zkmargin.crypto.keys import Signer
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.service import intake, logs
from zkmargin.service.alone import Alone
from zkmargin.service.app import create_app
from zkmargin.service.connections import Listener, protocol_with
from zkmargin.service.desk import Desk
from zkmargin.service.running import Running
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool

if sys.platform != "win32":
    import resource

#: How long calls may go on after the service was told to end.
DRAIN_SECONDS = 15
#: Of TLS 1.2; 1.3 has no others. Forward secrecy, and authenticated encryption.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: How long a TLS handshake may take, or as long as a connection may be idle, where that is less.
HANDSHAKE_SECONDS = 10.0
#: Threads that ask the database beside those that judge: calls (40), asyncio's own (32 at most), some of ours.
THREADS = 80
#: ``mallopt``'s name for the number of heaps, and how many.
_M_ARENA_MAX, HEAPS = -8, 2


def serve(settings: Settings, signer: Signer, *, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, and return.

    Args:
        settings: the configuration.
        signer: the service's key.
        listening: told the URL when calls are taken.

    Raises:
        InputError: files that cannot be used, an address that is taken, a database that another service has.
    """
    share_heaps()
    raise_files(4 * settings.limits.connections + 1024)
    trust, operators = settings.load_trust(), settings.load_operators()
    connections = THREADS + settings.workers
    opened = Ledger(settings.database, signer=signer, wal=True, connections=connections)
    with opened as ledger, Alone(ledger.database) as alone:
        pool = Pool(settings.workers)
        try:
            desk = Desk(settings, trust, operators, signer, ledger, pool)
            alone.taken_anew = desk.forget
            intake.judge_parts(desk)
            running = Running(desk, check_alone=alone.check if alone.may_be_lost else None)
            logs.begin()
            _run(desk, running, listening)
        finally:
            pool.close()


def share_heaps() -> None:
    """All threads share two heaps (glibc; elsewhere nothing is done).

    By default each thread has one, which keeps what its largest work took: some 35 MB for a snapshot that is published
    or fetched, in each of forty threads, so that memory grows all day though nothing is kept.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)


def raise_files(wanted: int) -> None:
    """So many files may be open, or as many as this process may ask for.

    Connections, accepted up to twice as many as are served, leave some for the database and for what verifies. A
    shell's or a container's limit is often 1024.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _run(desk: Desk, running: Running, listening: Callable[[str], None]) -> None:
    settings = desk.settings
    listener = _bound(settings)
    tls = settings.tls
    config = uvicorn.Config(
        create_app(desk, running),
        ws="none",
        access_log=False,
        log_config=None,
        limit_concurrency=settings.limits.connections,
        timeout_keep_alive=settings.limits.idle_seconds,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        server_header=False,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ciphers=CIPHERS,  # some versions of uvicorn have others
    )
    try:
        config.load()
    except OSError as error:  # uvicorn reads the certificate: a missing file, or no certificate
        raise InputError(f"cannot be used: {type(error).__name__}", field="tls") from None
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server = _Server(config, running, settings, lambda: listening(f"http{'s' if tls else ''}://{shown}:{port}"))
    server.run(sockets=[listener])
    logs.say("ended")


def _bound(settings: Settings) -> socket.socket:
    """A socket that listens. Raises InputError: the address cannot be used."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen there: {(error.strerror or 'error').lower()}", field="host, port") from None
    listener.set_inheritable(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn's; it accepts connections by ``Listener``, and told to end, it ends at once what only waits for something
    new.
    """

    def __init__(
        self, config: uvicorn.Config, running: Running, settings: Settings, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._running, self._settings, self._tell = running, settings, started
        self._protocol = protocol_with(settings.limits.idle_seconds)
        self._accepting = list[asyncio.Task[None]]()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        limits = self._settings.limits
        for one in sockets or ():
            listener = Listener(
                one,
                lambda: self._protocol(self.config, self.server_state, self.lifespan.state),
                tls=self.config.ssl,
                handshake_seconds=min(HANDSHAKE_SECONDS, limits.idle_seconds),
                most=2 * limits.connections,  # above once, they are told 503
                per_address=limits.connections_per_address,
                proxies=self._settings.trusted_proxies,
            )
            self._accepting.append(asyncio.create_task(listener.run()))
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        logs.say("draining", signal=signal.Signals(sig).name)
        if hasattr(self._running, "bell"):
            self._running.drain()
        # not uvicorn's own, which raises the signal once more at its end: an end that was asked for is no failure
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
