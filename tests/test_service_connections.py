"""What a connection costs: a body that nobody reads has an end, and one address does not take every connection."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from support.venue_service import Service, running

from zkmargin.service.guard import _within

PER_ADDRESS = 12
HEAD = b"POST %s HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"a" * 65536 + b"\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    config = f"[limits]\nconnections_per_address = {PER_ADDRESS}\n"
    with running(tmp_path_factory.mktemp("connections") / "service", config=config) as one:
        one.issue("auditor", "auditor")
        yield one


def connected(service: Service, source: str = "127.0.0.1") -> socket.socket:
    parts = urlsplit(service.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30, source_address=(source, 0))


def upload(one: socket.socket, head: bytes) -> None:
    one.sendall(head)
    for _ in range(1 << 10):  # 64 MB: far more than what buffers on the way hold
        one.sendall(CHUNK)


@pytest.mark.parametrize("path", [b"/nothing", b"/v1/snapshots", b"/healthz", b"/v1/audit"])
def test_a_gigabyte_that_no_call_reads_ends_soon(service: Service, path: bytes) -> None:
    """Whoever was told 404, 405 or 403 at once went on sending for half a minute, as fast as the line is."""
    token = b"authorization: Bearer %b\r\n" % service.tokens["auditor"].encode()
    with connected(service) as one, pytest.raises(OSError):  # noqa: PT011 - whichever way it is cut off
        upload(one, HEAD % (path, token))


def test_a_small_body_that_nobody_reads_keeps_the_connection(service: Service) -> None:
    """A caller that is refused sees why, and asks the next thing on the same connection."""
    with httpx.Client(base_url=service.url) as client:
        for size in (10, 100_000):
            assert client.post("/nothing", content=b"a" * size).status_code == 404
        assert client.get("/healthz").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine's on Linux only")
def test_one_address_does_not_keep_others_out(service: Service) -> None:
    with ExitStack() as held:
        idle = [held.enter_context(connected(service, "127.0.0.2")) for _ in range(3 * PER_ADDRESS)]
        assert httpx.get(f"{service.url}/healthz").status_code == 200  # of another address
        cut = 0
        for one in idle:
            one.settimeout(0.2)
            try:
                cut += one.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                cut += 1
        assert cut == 2 * PER_ADDRESS
    with connected(service, "127.0.0.2") as again:  # they are gone: it is served again
        again.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert again.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("address", "proxies", "within"),
    [
        ("10.0.0.1", ("10.0.0.1",), True),
        ("10.0.0.1", ("10.0.0.2",), False),
        ("10.0.0.1", ("10.0.0.0/24",), True),
        ("10.0.1.1", ("10.0.0.0/24",), False),
        ("::1", ("10.0.0.0/24", "::1"), True),
        ("10.0.0.1", ("*",), True),
        ("10.0.0.1", ("proxy.example",), False),
        ("proxy.example", ("proxy.example",), True),
        ("10.0.0.1", (), False),
    ],
)
def test_a_proxy_stands_for_many(address: str, proxies: tuple[str, ...], within: bool) -> None:
    assert _within(address, proxies) is within
