"""Whatever a venue answers: receipts count by their statement and signature, and nonsense is tried again."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.golden import DOCUMENTS as FIRST
from support.typed import JsonObject, Unchecked
from support.venue_service import NAME, signers, trust
from support.watching import until
from test_watch_service import MAKER, configured

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import Retry, read_config
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.couriers import Courier
from zkmargin.agent.journal import Made
from zkmargin.agent.served import Feed, ServiceVenue
from zkmargin.agent.venues import UnreachableError, UntrustedError, Verdict
from zkmargin.app.verifying import clock_ms
from zkmargin.client.errors import Unavailable
from zkmargin.client.tokens import new_token
from zkmargin.client.venue import VenueClient
from zkmargin.formats import ZkMarginError
from zkmargin.verifier.attest import Receipt, Trust

STATEMENT = "ef" * 32
DOCUMENTS = FIRST.parents[1] / "v2" / "documents"


class Venue:
    """A port that answers what it is told to (``says``: status, content type, body), and keeps the paths of calls."""

    def __init__(self) -> None:
        self.says = (200, "application/json", b"{}")
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.asked.append(self.path)
                info = self.path == "/v1/service"
                status, kind, body = (200, "application/json", outer.info()) if info else outer.says
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.tokens = {MAKER: new_token()}

    def info(self) -> bytes:
        limits = dict.fromkeys(("max_body", "max_snapshot_body", "max_batch", "max_open_challenges"), 1)
        limits |= {"max_challenge_seconds": 60, "calls_per_second": 1}
        key = signers()["desk"].public.to_json()
        facts = {"name": NAME, "version": "1", "time": "2026-01-01T00:00:00Z", "public_key": key, "limits": limits}
        return json.dumps(facts | {"trust": "00" * 32, "srs": "00" * 32}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def venue() -> Iterator[Venue]:
    one = Venue()
    yield one
    one.close()


def receipt(signer: str | None = "desk", **changes: object) -> bytes:
    golden: JsonObject = json.loads((DOCUMENTS / "signed.receipt.json").read_text())
    payload = golden["payload"] | {"statement": STATEMENT, "verifier": NAME} | changes
    found = Receipt.from_json(golden | {"payload": payload, "signatures": []})
    return (found if signer is None else found.signed(signers()[signer])).to_bytes()


def service_venue(home: Path, venue: Venue, known: Trust | None = None) -> ServiceVenue:
    (home / "token").write_text(venue.tokens[MAKER])
    (home / "token").chmod(0o600)
    return ServiceVenue(VenueConfig(name=NAME, url=venue.url, token_file=str(home / "token")), MAKER, known)


def submission() -> str:
    answer: JsonObject = json.loads((DOCUMENTS / "answer.evidence.json").read_text())
    about = {"challenge": "ab" * 32, "deadline": "2099-01-01T00:00:00Z", "snapshot": "cd" * 32, "claim": "1/1"}
    return json.dumps(about | {"commitment": answer["commitments"][0], "requirement": "initial", "limits": []})


def made() -> Made:
    proof = b"p" * 1000
    return Made(1, NAME, STATEMENT, "cd" * 32, 0, None, "", submission(), proof, "made", None, None, 0, 0, 0, None)


# --- receipts ---------------------------------------------------------------------------------------------------------


def test_a_receipt_from_a_venue_counts_by_its_statement_its_verifier_and_its_signature(
    venue: Venue, tmp_path: Path
) -> None:
    ruled, without = service_venue(tmp_path, venue, trust()), service_venue(tmp_path, venue, trust(receipts=[]))
    venue.says = (201, "application/json", receipt())
    assert ruled.submit(made()) == Verdict("accepted", receipt=receipt().decode())
    for wrong, reason in (
        (receipt(statement="aa" * 32), "another statement"),
        (receipt(None), "not signed by anyone"),
        (receipt("maker"), "not trusted"),
        (receipt(verifier="another desk"), "another desk"),
    ):
        venue.says = (201, "application/json", wrong)
        with pytest.raises(UntrustedError, match=reason):
            ruled.submit(made())
    venue.says = (201, "application/json", receipt(None))
    assert without.submit(made()).state == "accepted"
    for wrong in (receipt(statement="aa" * 32), receipt(verifier="another desk")):
        venue.says = (201, "application/json", wrong)
        with pytest.raises(UntrustedError):
            without.submit(made())


def test_a_wrong_receipt_is_an_alarm_and_settles_nothing_and_the_right_one_ends_it(
    venue: Venue, tmp_path: Path
) -> None:
    agent = Agent(read_config(str(configured(tmp_path, venue, venue.url))), Log(None))  # type: ignore[arg-type]
    venue.says = (201, "application/json", receipt("maker"))
    now = clock_ms()
    row = agent.journal.proof_made(
        venue=NAME,
        statement=STATEMENT,
        snapshot="cd" * 32,
        snapshot_time=now,
        challenge=None,
        generations="all 0",
        submission=submission(),
        proof=b"p" * 1000,
        arrived=now,
        now_ms=now,
    )
    agent._submission.start()
    until(lambda: [one for one in agent.alarms.active() if one.kind == "untrusted"])
    (alarm,) = agent.alarms.active()
    assert alarm.subject == f"receipt {STATEMENT[:16]}"
    assert [one.state for one in agent.journal.proofs()] == ["made"]
    venue.says = (201, "application/json", receipt())
    until(lambda: [one.state for one in agent.journal.proofs()] == ["accepted"])
    until(lambda: not agent.alarms.active())
    assert row.statement == STATEMENT
    agent.close()


# --- nonsense ---------------------------------------------------------------------------------------------------------

PAGE = (201, "text/html", b"<html>welcome to the proxy</html>")
NONSENSE = [
    (200, "application/json", b"{}"),
    (200, "application/json", b"[{}]"),
    (200, "application/json", b'{"challenges": []}'),
    (200, "application/json", b'{"challenges": [{}]}'),
    (200, "application/json", b'{"challenges": 7, "items": 7, "accounts": {}, "attestations": [[]], "verdicts": 0}'),
    (200, "application/json", b"[" * 100_000),
    (200, "application/json", b"\xff\xfe"),
    (302, "text/html", b""),
    PAGE,
]


@pytest.mark.parametrize("says", NONSENSE)
def test_nonsense_is_one_error_of_ours_with_what_was_found(
    venue: Venue, tmp_path: Path, says: tuple[int, str, bytes]
) -> None:
    venue.says = says
    digest, one = "ab" * 32, service_venue(tmp_path, venue)
    with VenueClient(venue.url) as client:
        for call in (
            client.whoami,
            client.audit,
            client.roster,
            lambda: client.account(MAKER),
            lambda: client.attestations(MAKER),
            lambda: client.challenges(MAKER),
            lambda: client.challenge(MAKER),
            lambda: client.venue_challenges("v"),
            lambda: client.latest_snapshot("main"),
            lambda: client.snapshot(digest),
            lambda: client.snapshots("main"),
            lambda: client.receipt(digest),
            lambda: client.proofs(MAKER),
            lambda: client.submit_batch([]),
        ):
            with pytest.raises(Unavailable, match=f"HTTP status {says[0]}, {len(says[2])} bytes"):
                call()
    for ask in (one.challenge, one.ready, lambda: one.submit(made())):
        with pytest.raises(UnreachableError):
            ask()


def test_a_refusal_in_nobodys_words_is_tried_again(venue: Venue, tmp_path: Path) -> None:
    one = service_venue(tmp_path, venue)
    venue.says = (413, "text/html", b"<html>too large for this proxy</html>")
    with pytest.raises(UnreachableError, match="413"):
        one.submit(made())
    fault = {"type": "InputError", "message": "too many wait", "exit_code": 2}
    venue.says = (400, "application/json", json.dumps({"error": fault}).encode())
    assert one.submit(made()).state == "refused"
    with pytest.raises(UnreachableError, match="too many wait"):  # of a challenge: there may be one later
        one.ready()


def test_an_answer_without_an_end_is_given_up(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.client.venue.MAX_ANSWER", 1000)
    venue.says = (200, "application/json", b" " * 2000)
    with VenueClient(venue.url) as client, pytest.raises(Unavailable, match="too long"):
        client.whoami()


def test_the_feed_lives_on_and_says_what_is_wrong(
    venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkmargin.agent.served.PAUSE_SECONDS", 0.01)
    (tmp_path / "token").write_text(venue.tokens[MAKER])
    (tmp_path / "token").chmod(0o600)
    troubles: list[str | None] = []
    config = VenueConfig(name=NAME, url=venue.url, token_file=str(tmp_path / "token"))
    feed = Feed(config, MAKER, "main", lambda _: None, lambda _: None, troubles.append, max_age_seconds=60)
    feed.start()
    until(lambda: len(troubles) >= 3)
    nothing: dict[str, str] = {}
    monkeypatch.setattr(VenueClient, "latest_snapshot", lambda *_, **__: nothing["a fault of ours"])
    monkeypatch.setattr(VenueClient, "attestations", lambda *_: [])
    until(lambda: troubles[-1] == "an unexpected KeyError")
    feed.stop()
    assert troubles[0] is not None
    assert "not the answer of a service" in troubles[0]


def test_a_courier_lives_on() -> None:
    settled: list[Verdict] = []
    failed: list[str] = []

    def note(_made: Made | None, _attempts: int, error: ZkMarginError) -> bool:
        failed.append(error.message)
        if len(failed) == 2:
            raise OSError("no space left")
        return True

    answers: Iterator[Verdict | Exception] = iter([KeyError("a"), ValueError("b"), Verdict("accepted", receipt="r")])

    def submit(_made: Made) -> Verdict:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    one: Unchecked = SimpleNamespace(submit=submit, close=lambda: None)
    courier = Courier(
        NAME,
        one,
        Retry(first_seconds=0.001, most_seconds=0.01),
        settled=lambda _, verdict: settled.append(verdict),
        failed=note,
        through=lambda: None,
    )
    courier.start()
    courier.take(made())
    until(lambda: settled)
    assert failed == ["an unexpected KeyError", "an unexpected ValueError"]
    courier.stop()
