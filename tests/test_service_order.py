"""Webhooks over restarts: every event, in order, whatever dies; and more connections than there may be."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from support.venue_service import TERMS, Service, eventually, running, signers

from zkmargin.client import Event
from zkmargin.client.orders import RegisterAccount, SetWebhook

FAST = "[limits]\ncalls_per_second = 1000\nburst = 1000\n"
CONNECTIONS = 8


class Hook:
    """Takes events; ``broken``: it answers with an error, as while its own service is away."""

    def __init__(self) -> None:
        self.broken, self.taken, self.tries = False, list[Event](), 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.tries += 1
                if not outer.broken:
                    outer.taken.append(Event.parse(body))
                self.send_response(500 if outer.broken else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextmanager
def hook() -> Iterator[Hook]:
    one = Hook()
    thread = threading.Thread(target=one.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()


def register(service: Service, *names: str) -> None:
    for name in names:
        service.order(RegisterAccount(account=name, terms=TERMS))


def check(found: list[Event], names: list[str]) -> None:
    """All of them, in order; one may come twice where the service died before it wrote down that it was taken."""
    numbers = [event.payload.number for event in found]
    assert numbers == sorted(numbers)
    once = {event.payload.number: event.payload for event in found}
    assert [payload.account for payload in once.values()] == names
    assert list(once) == list(range(min(once), min(once) + len(once)))
    assert all(event.signatures[0].public_keys == (signers()["desk"].public.public_key,) for event in found)
    assert all(event.signatures[0].verifies(event.message) for event in found)


def test_events_come_in_order_over_restarts_of_both(tmp_path: Path) -> None:
    names = [f"account {number}" for number in range(9)]
    with running(tmp_path / "service", config=FAST) as service, hook() as one:
        service.order(SetWebhook(url=one.url, events=("account",)))
        register(service, *names[:3])
        eventually(lambda: len(one.taken) == 3)
        one.broken = True  # whoever listens is away
        register(service, *names[3:6])
        eventually(lambda: one.tries > 3)
        service.kill()  # and then the service too
        service.start()
        register(service, *names[6:])
        assert len(one.taken) == 3
        one.broken = False
        eventually(lambda: len({event.payload.number for event in one.taken}) == len(names))
        service.kill()  # at once after the last one
        service.start()
        register(service, "the last")
        eventually(lambda: one.taken[-1].payload.account == "the last")
    check(one.taken, [*names, "the last"])


def test_more_connections_than_there_may_be_get_503(tmp_path: Path) -> None:
    with running(tmp_path / "service", config=f"[limits]\nconnections = {CONNECTIONS}\n") as service:
        with ExitStack() as open_:
            where = httpx.URL(service.url)
            assert where.port is not None
            for _ in range(CONNECTIONS):  # half a request each
                one = open_.enter_context(socket.create_connection((where.host, where.port)))
                one.sendall(b"GET /v1/service HTTP/1.1\r\n")
            eventually(lambda: _status(service) == httpx.codes.SERVICE_UNAVAILABLE)
        eventually(lambda: _status(service) == httpx.codes.OK)  # and when they are gone, as before
        assert json.loads(httpx.get(f"{service.url}/healthz").content) == {"status": "alive"}


def _status(service: Service) -> int:
    try:
        return httpx.get(f"{service.url}/v1/service").status_code
    except httpx.TransportError:
        return 0
