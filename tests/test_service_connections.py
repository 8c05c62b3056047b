"""What a connection costs: a body that nobody reads has an end, and one address does not take every connection."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from support.certificates import authority
from support.venue_service import TERMS, Service, eventually, running

from zkmargin.client.orders import RegisterAccount
from zkmargin.service.connections import Bounded, Listener, within

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


def test_who_is_told_of_a_listener_is_not_refused() -> None:
    def never() -> Bounded:
        raise AssertionError("nothing is accepted yet")

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        Listener(bound, never, tls=None, handshake_seconds=1, most=1, per_address=1)  # its loop has not turned yet
        with socket.create_connection(bound.getsockname(), timeout=5):
            pass


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
    ("address", "proxies", "found"),
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
def test_a_proxy_stands_for_many(address: str, proxies: tuple[str, ...], found: bool) -> None:
    assert within(address, proxies) is found


# --- a peer that does not read, or does not end its handshake ---------------------------------------------------------

IDLE, FEW = 2, 3
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine's on Linux only")
ELSEWHERE = "127.0.0.2"
ASKED = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It has no long patience."""
    config = f"[limits]\nconnections_per_address = {FEW}\nidle_seconds = {IDLE}\nburst = 1000\nmax_body = 4096\n"
    with running(tmp_path_factory.mktemp("hurried") / "service", config=config) as one:
        one.order(RegisterAccount(account="maker", terms=TERMS, keys=()))
        one.issue("maker", "account", "maker")
        yield one


def slow(service: Service, asked: bytes) -> socket.socket:
    """A connection that asks, and has a small buffer for answers."""
    parts = urlsplit(service.url)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.bind((ELSEWHERE, 0))
    one.connect((parts.hostname, parts.port))
    one.sendall(asked)
    return one


def serves(service: Service) -> bool:
    """Whether a new connection of the other address is."""
    with connected(service, ELSEWHERE) as one:
        try:
            one.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            return one.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@LINUX
@pytest.mark.parametrize(
    "asked", [ASKED * 200, ASKED * 40 + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], ids=["many", "last"]
)
def test_whoever_does_not_read_what_it_asked_for_holds_no_connection(hurried: Service, asked: bytes) -> None:
    with ExitStack() as held:
        for _ in range(FEW):
            held.enter_context(slow(hurried, asked))
        assert not serves(hurried)
        eventually(lambda: serves(hurried))


@LINUX
def test_a_slow_reader_that_reads_gets_everything(hurried: Service) -> None:
    whole = len(httpx.get(f"{hurried.url}/openapi.json").content)
    wanted, got, begin = 40 * whole, 0, time.monotonic()
    with slow(hurried, ASKED * 40) as one:
        one.settimeout(30)
        while got < wanted:
            part = one.recv(1 << 18)
            assert part, got
            got += len(part)
            if time.monotonic() - begin < 2 * IDLE:  # for longer than it may be idle
                time.sleep(len(part) / wanted * 2.5 * IDLE)
    assert time.monotonic() - begin > IDLE


def test_bundles_count_by_their_size(hurried: Service) -> None:
    """To read one of eight megabytes takes as long as many calls."""
    headers = {"authorization": f"Bearer {hurried.tokens['maker']}"}
    with httpx.Client(base_url=hurried.url, headers=headers) as client:
        asked = [client.post("/v1/bundles", content=b"a" * (1 << 20)).status_code for _ in range(5)]
        assert asked[:3] == [400] * 3
        assert asked[-1] == 429


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_connections_leave_files_for_the_rest() -> None:
    """By the limit of a shell, 1024, all of them would be connections, and the database could open none."""
    command = (
        "import resource; from zkmargin.service.server import raise_files; "
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)); raise_files(3000); raise_files(10); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE) == (min(3000, hard), hard))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """With TLS; and the file of its authority."""
    folder = tmp_path_factory.mktemp("private")
    known, certificate, key = authority(folder)
    config = f"[limits]\nconnections_per_address = {FEW}\nidle_seconds = {IDLE}\n"
    tls = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with running(folder / "service", config=config + tls) as one:
        yield one, str(known)


@LINUX
def test_a_handshake_that_does_not_begin_counts_and_ends(private: tuple[Service, str]) -> None:
    service, known = private
    context = ssl.create_default_context(cafile=known)

    def greets() -> bool:
        try:
            with context.wrap_socket(connected(service, ELSEWHERE), server_hostname="127.0.0.1"):
                return True
        except OSError:
            return False

    assert greets()
    with ExitStack() as held:
        for _ in range(FEW):
            held.enter_context(connected(service, ELSEWHERE))
        assert not greets()
        assert httpx.get(f"{service.url}/healthz", verify=context).status_code == 200  # of another address
        eventually(greets)
    for _ in range(2 * FEW):  # what failed does not count on
        with connected(service, ELSEWHERE) as one:
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
    eventually(greets)


@pytest.mark.parametrize(
    ("ciphers", "taken"), [("ECDHE+AESGCM", True), ("ECDHE+CHACHA20", True), ("ECDHE+AES+SHA1", False)]
)
def test_tls_has_no_old_ciphers(private: tuple[Service, str], ciphers: str, taken: bool) -> None:
    """Some versions of uvicorn ask for those of TLS 1.0 where nobody says which."""
    service, known = private
    context = ssl.create_default_context(cafile=known)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with connected(service) as plain:
        try:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
            found = True
        except ssl.SSLError:
            found = False
    assert found is taken
