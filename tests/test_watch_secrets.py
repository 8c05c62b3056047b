"""What leaves the machine, byte for byte: nothing of it is a secret. And who may see the page."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.watching import DESK, World, free_of, until

from zkmargin.accounts import Opening
from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import Retry, read_config
from zkmargin.agent.couriers import Courier, wait_seconds
from zkmargin.agent.journal import Made
from zkmargin.agent.page import Page
from zkmargin.agent.venues import UnreachableError, Verdict
from zkmargin.engine.book import Book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.fills import Fills
from zkmargin.engine.margin import margin_report
from zkmargin.formats import ZkMarginError


def scalar_spellings(text: str) -> list[bytes]:
    """A blinder as anybody could write it."""
    raw = bytes.fromhex(text)
    spelt = [raw, raw[::-1], text.encode(), base64.b64encode(raw).rstrip(b"="), str(int(text, 16)).encode()]
    return [*spelt, f"{int(text, 16):x}".encode()]


def secret_values(world: World, openings: list[Opening]) -> list[bytes]:
    """Every number of the book that is long enough to be told from chance, and every blinder, in every spelling."""
    quantities = [*world.book.positions.values(), *world.book.collateral.values()]
    found = [text.encode() for text in quantities if len(text) >= 7]
    for lots in (*world.record.positions, *world.record.collateral):
        if abs(lots) >= 1 << 28:
            found += [lots.to_bytes(8, "little", signed=True), lots.to_bytes(8, "big", signed=True), str(lots).encode()]
    for name in ("initial", "maintenance"):
        report = margin_report(world.snapshot, world.record, name)
        for amount in (report.total, report.surplus, report.equity.total, report.equity.collateral):
            found.append(from_units(amount, VALUATION_DECIMALS).encode())
    for opening in openings:
        for part in opening.parts:
            for blinder in part.blinders:
                found += scalar_spellings(blinder)
    return found


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A web server that keeps every byte of what it is sent."""
    heard: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append(f"{self.requestline}\n{self.headers}".encode() + body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", heard
    finally:
        server.shutdown()
        server.server_close()


def a_book_with_telling_numbers(home: Path) -> World:
    """A world whose balance and positions cannot be met by chance."""
    return World(home, collateral="53719284.61")


def test_nothing_that_leaves_the_machine_is_secret(tmp_path: Path) -> None:
    world = a_book_with_telling_numbers(tmp_path)
    before = world.opening_file()
    with listening() as (url, heard):
        extra = ["[alarms]", f'webhook = "{url}"', 'headroom = "999999999999"']
        config = read_config(str(world.config(extra=extra)))
        agent = Agent(config, Log(None))
        world.publish(world.moved(1), 1)
        world.fill("one.json", Fills(positions={"BTC-PERPETUAL": "3"}, collateral={"USDC": "-19284.61"}))
        agent.once()
        after = agent.account.documents("all")[1]
        secrets = secret_values(world, [before, after])
        world.publish(world.moved(2), 2)
        world.fill("two.json", Fills(collateral={"USDC": "-53700000"}))  # everything: an unhealthy book
        agent.turn(0.0)
        agent.sources.look()
        agent.turn(0.0)
        assert {alarm.kind for alarm in agent.alarms.active()} >= {"headroom", "unhealthy"}
        agent.close()
        until(lambda: len(heard) >= 2)
        sent = b"\n".join(heard)
    assert len(secrets) > 30
    written = b"\n".join(path.read_bytes() for path in sorted((tmp_path / "outbox").iterdir()))
    assert len(written) > 1000
    assert free_of(written, secrets) == []
    assert free_of(sent, secrets) == []
    assert b"unhealthy" in sent
    assert b"shortfall" not in sent
    assert b"message" not in sent
    # the search finds what is there
    assert free_of(before.to_bytes(), secrets)
    assert free_of(world.book.to_bytes(), secrets)


def test_amounts_go_to_a_webhook_only_where_that_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, collateral="1000")
    with listening() as (url, heard):
        extra = ["[alarms]", f'webhook = "{url}"', "webhook_amounts = true"]
        agent = Agent(read_config(str(world.config(extra=extra))), Log(None))
        world.publish(world.moved(1), 1)
        agent.once()
        agent.close()
        until(lambda: heard)
    assert b'"shortfall"' in b"".join(heard)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_for_who_has_the_token_on_this_machine(tmp_path: Path) -> None:
    world = World(tmp_path, collateral="50000000")
    agent = Agent(read_config(str(world.config())), Log(None))
    world.publish(world.moved(1), 1)
    agent.once()
    page = Page(agent.status, tmp_path / "state", 0)
    page.start()
    token = (tmp_path / "state" / "page.token").read_text().strip()
    assert (tmp_path / "state" / "page.token").stat().st_mode & 0o777 == 0o600
    assert page.address == f"http://127.0.0.1:{page.port}/#{token}"

    def ask(path: str, *, host: str | None = None, bearer: str | None = None, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
        headers = {} if host is None else {"Host": host}
        headers |= {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status < 500:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
        connection.close()
        return answer.status, body

    assert page._server.server_address[0] == "127.0.0.1"
    for path in ("/", "/page.js", "/page.css"):
        status, body = ask(path)
        assert status == 200
        assert token not in body
        assert "http://" not in body.replace("http://www.w3.org", "")
        assert "https://" not in body
    for path in ("/status", "/book", "/margin", "/headroom", "/panels"):
        assert ask(path)[0] == 401
        assert ask(path, bearer="")[0] == 401
        assert ask(path, bearer=token[:-1])[0] == 401
        assert ask(path, bearer=token, host="evil.example:80")[0] == 403
        assert ask(path, bearer=token)[0] == 200
    assert ask("/state/journal.db", bearer=token)[0] == 404
    assert ask("/../watch.toml", bearer=token)[0] == 404
    report = margin_report(world.moved(1), world.record)
    margin = json.loads(ask("/margin", bearer=token)[1])
    assert margin["initial"]["total"] == from_units(report.total, VALUATION_DECIMALS)
    panels = ask("/panels", bearer=token)[1]
    assert "No alarm" in panels
    assert "P&amp;L of BTC over price and vol" in panels
    assert "<svg" in panels
    for name, quantity in (*world.book.positions.items(), *world.book.collateral.items()):
        assert f'<tr><td>{name}</td><td class="number">{quantity}</td></tr>' in panels
    assert report.groups[0].label in panels
    assert "<script" not in panels
    page.close()
    agent.close()


# --- couriers ---------------------------------------------------------------------------------------------------------


def test_waits_double_are_cut_at_random_and_respect_what_a_venue_asks() -> None:
    retry = Retry(first_seconds=1.0, most_seconds=10.0)
    for attempts, full in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 10.0), (500, 10.0)):
        waits = {wait_seconds(retry, attempts) for _ in range(50)}
        assert all(full / 2 <= wait <= full for wait in waits)
        assert len(waits) > 10
    assert wait_seconds(retry, 1, asked=7.0) == 7.0
    assert wait_seconds(retry, 1, asked=1e9) == 10.0


class Shy:
    """A venue that answers the third time."""

    def __init__(self) -> None:
        self.calls = 0

    def challenge(self) -> None:
        return None

    def ready(self) -> None:
        return None

    def submit(self, _made: Made) -> Verdict:
        self.calls += 1
        if self.calls < 3:
            raise UnreachableError("no answer")
        return Verdict("accepted", receipt="receipt")

    def receipt(self, _made: Made) -> None:
        return None

    def attest(self, _attestation: object) -> None:
        return None

    def close(self) -> None:
        return None


def test_a_proof_is_sent_until_it_is_answered() -> None:
    settled: list[Verdict] = []
    failed: list[int] = []

    def note(_made: Made | None, attempts: int, _error: ZkMarginError) -> bool:
        failed.append(attempts)
        return True

    courier = Courier(
        DESK,
        Shy(),
        Retry(first_seconds=0.001, most_seconds=0.01),
        settled=lambda _, verdict: settled.append(verdict),
        failed=note,
        through=lambda: None,
    )
    courier.start()
    made = Made(1, DESK, "s", "x", 0, None, "", "{}", b"p", "made", None, None, 0, 0, 0, None)
    courier.take(made)
    until(lambda: settled)
    assert failed == [1, 2]
    assert settled == [Verdict("accepted", receipt="receipt")]
    until(lambda: courier.waiting == 0)
    courier.stop()


def test_a_proof_that_cannot_be_handed_over_in_time_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, collateral="50000000")
    config = world.config(extra=["[retry]", "first_seconds = 0.05", "most_seconds = 0.05"])
    agent = Agent(read_config(str(config)), Log(None))
    world.publish(world.moved(1), 1)
    (tmp_path / "outbox").rmdir()
    agent.start()
    until(lambda: agent.turn(0.05) is None or [a for a in agent.alarms.active() if a.kind == "unreachable"])
    for module in ("agent", "proving", "submission"):
        monkeypatch.setattr(f"zkmargin.agent.{module}.clock_ms", lambda: world.now_ms + 2 * 86_400_000)
    until(lambda: agent.turn(0.05) is None or [a for a in agent.alarms.active() if a.kind == "late"])
    assert agent.journal.proofs()[0].state == "late"
    agent.close()
    assert isinstance(agent.account.documents("all")[0], Book)
