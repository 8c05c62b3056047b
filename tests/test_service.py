"""The venue's service as a process, over HTTP: what it takes, refuses, says and keeps."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from support.typed import Json, JsonObject, Passed
from support.venue_service import (
    NAME,
    TERMS,
    Service,
    account,
    attested,
    eventually,
    running,
    signers,
    snapshot,
    trust,
)

from zkmargin.app.verifying import clock_ms
from zkmargin.client import Event, Terms
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound, Unavailable
from zkmargin.client.orders import IssueToken, RegisterAccount, RevokeToken, SetWebhook, WithdrawPart
from zkmargin.client.tokens import new_token, token_digest
from zkmargin.client.venue import VenueClient
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import Ledger

pytestmark = pytest.mark.in_order

LIMITS = (
    "[limits]\ncalls_per_second = 1000\nburst = 1000\nbody_seconds = 1\nidle_seconds = 2\nmax_open_challenges = 8\n"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("venue") / "service", config=LIMITS) as one:
        one.settle_in("alice", "bob")
        yield one


def post(service: Service, path: str, body: Json, name: str | None = None) -> httpx.Response:
    headers = {} if name is None else {"authorization": f"Bearer {service.tokens[name]}"}
    return httpx.post(service.url + path, content=body, headers=headers)


# Proofs


def test_a_proof_gets_a_signed_receipt_once(service: Service) -> None:
    with service.client("alice") as client:
        challenge = client.challenge("alice", lifetime_seconds=600)
        submission = account("alice").answer(challenge, snapshot())
        receipt = client.submit(submission)
        assert receipt.payload.challenge == challenge.digest().hex()
        assert trust().receipt_quorum(receipt).signers == ("desk",)
        with pytest.raises(AlreadyAccepted) as again:
            client.submit(submission)
        assert client.receipt(again.value.statement) == receipt
        assert json.loads(client.evidence(again.value.statement))["receipt"]["payload"]["proof"]
        view = client.account("alice")
        assert (view.state, view.proofs, view.trend, view.challenges) == ("covered", 1, ["1/1"], [])
        assert view.until == format_time(parse_time(snapshot().time) + 3_600_000)
        with pytest.raises(Denied):  # the roster names every account
            client.roster()
    with service.client("bob") as other, pytest.raises(NotFound):
        other.receipt(again.value.statement)


def test_what_is_refused_is_recorded_with_its_reason(service: Service) -> None:
    with service.client("bob") as bob:
        challenges = bob.challenges("bob", count=4, lifetime_seconds=600)
        good = account("bob").answer(challenges[0], snapshot())
        proof = bytearray(good.proof_bytes)
        proof[200] ^= 1
        other_claim = good.claim.model_copy(update={"ratio": "2/1"})
        changed: list[tuple[JsonObject, str]] = [
            ({"proof": base64.b64encode(bytes(proof)).decode()}, "format"),
            ({"claim": other_claim}, "pairing"),
            ({"challenge": challenges[1].digest().hex()}, "pairing"),
            ({"challenge": "00" * 32}, "challenge"),
            ({"snapshot": "00" * 32}, "snapshot"),
            ({"commitment": "00" * 32}, "commitment"),
        ]
        batch = [good.model_copy(update=changes) for changes, _ in changed]
        verdicts = bob.submit_batch([*batch, good, good])
        checks = [verdict.error.check or "format" for verdict in verdicts[:-2] if verdict.error is not None]
        assert checks == [check for _, check in changed]
        assert [verdict.accepted for verdict in verdicts[-2:]] == [True, False]  # one of two that are the same
        refused = bob.refusals("bob").items
        assert sorted(line.check for line in refused) == sorted(checks)
        view = bob.account("bob")
        assert view.state == "covered"  # a refusal does not undo a proof


def test_nobody_answers_for_another_account(service: Service) -> None:
    with service.client("alice") as alice, service.client("bob") as bob:
        challenge = bob.challenge("bob", lifetime_seconds=600)
        submission = account("alice").answer(challenge, snapshot())  # alice's proof for bob's challenge
        with pytest.raises(VerificationError, match="not issued to this account"):
            alice.submit(submission)
        with pytest.raises(NotFound):
            alice.submit(submission.model_copy(update={"account": "bob"}))
        with pytest.raises(VerificationError, match="other parts"):  # bob with alice's commitment and proof
            bob.submit(submission.model_copy(update={"account": "bob"}))
        for call in (alice.account, alice.attestations, alice.proofs, alice.challenges, alice.refusals):
            with pytest.raises(NotFound):
                call("bob")
        with pytest.raises(NotFound):
            alice.attest(account("bob").attestations(9)[0])


def test_challenges_are_bounded(service: Service) -> None:
    service.order(RegisterAccount(account="eve", terms=TERMS))
    with service.client("operator") as client:
        with pytest.raises(InputError, match="from 1 to 8"):
            client.challenges("eve", count=9)
        assert len(client.challenges("eve", count=7, lifetime_seconds=600)) == 7
        with pytest.raises(InputError, match="wait for an answer"):
            client.challenges("eve", count=2)
        assert len(client.account("eve").challenges) == 7


# Who may


def test_tokens_and_roles(service: Service) -> None:
    for token in (None, "zkm_" + "A" * 43, "nonsense"):
        with VenueClient(service.url, token=token) as nobody, pytest.raises(Denied):
            nobody.roster()
    with VenueClient(service.url) as nobody:
        info = nobody.service()
    assert (info.name, info.trust, info.public_key.public_key) == (
        NAME,
        trust().digest().hex(),
        signers()["desk"].public.public_key,
    )
    with service.client("auditor") as auditor:
        assert {line.account for line in auditor.roster()} >= {"alice", "bob"}
        for call in (
            lambda: auditor.challenge("alice", lifetime_seconds=600),
            lambda: auditor.publish(snapshot(), attested(snapshot())),
        ):
            with pytest.raises(Denied):
                call()
    service.issue("short", "auditor")
    digest = token_digest(service.tokens["short"])
    assert digest is not None
    service.order(RevokeToken(digest=digest))
    with service.client("short") as revoked, pytest.raises(Denied, match="revoked"):
        revoked.roster()
    database = (service.folder / "venue.db").read_bytes() + (service.folder / "venue.db-wal").read_bytes()
    for token in service.tokens.values():
        assert token.encode() not in database
        assert token not in service.log()


def test_changes_count_once_for_this_service_and_now(service: Service) -> None:
    action = RegisterAccount(account="carol", terms=TERMS)
    good = service.change(action)
    late = service.change(action, time=format_time(clock_ms() - 301_000))
    other = service.change(action, service="another desk")
    stranger = good.model_copy(update={"signatures": ()}).signed(signers()["venue"])
    with service.client() as client:
        assert client.change(good)["signer"] == "operator operator"
        assert client.change(good)["sequence"] == good.payload.sequence  # the same once more: nothing happens
        for bad, error, words in (
            (late, VerificationError, "more than 300 s"),
            (other, VerificationError, "is for 'another desk'"),
            (service.change(action, sequence=1), VerificationError, "was used"),
            (stranger, Denied, "nobody who may"),
            (good.model_copy(update={"signatures": ()}), Denied, "not signed"),
        ):
            with pytest.raises(error, match=words):
                client.change(bad)
    tampered = good.to_json()
    tampered["payload"]["action"]["account"] = "mallory"
    assert post(service, "/v1/changes", json.dumps(tampered)).status_code == 403
    with service.client("auditor") as auditor:
        lines = auditor.audit().items
    assert {line.outcome for line in lines} >= {"done", "refused", "denied"}
    assert {line.subject for line in lines if line.action == "register-account"} >= {"alice", "bob", "carol"}
    assert [line.number for line in lines] == sorted((line.number for line in lines), reverse=True)


def test_an_account_orders_about_itself_only(service: Service) -> None:
    token = new_token()
    digest = token_digest(token)
    mine = {"name": "mine", "role": "account", "account": "alice", "digest": digest}
    service.order(IssueToken.model_validate(mine), by="maker")
    with VenueClient(service.url, token=token) as own:
        assert own.account("alice").account == "alice"
    for action in (
        IssueToken.model_validate(mine | {"role": "operator", "account": None}),
        RegisterAccount(account="alice", terms=Terms(ratio="1/2", period_seconds=9, grace_seconds=0)),
        WithdrawPart(account="alice", role="positions", issuer="venue"),
    ):
        with pytest.raises(Denied):
            service.order(action, by="maker")


# Hostile callers


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/proofs", b"", 400),
        ("/v1/proofs", b"{" * 100_000, 400),
        ("/v1/proofs", b'{"format": "zkmargin/submission/v1", "account": "alice"}', 400),
        ("/v1/proofs", b'{"format": "zkmargin/submission/v2"}', 400),
        ("/v1/proofs", b"\xff\xfe", 400),
        ("/v1/batches", b'{"submissions": []}', 400),
        ("/v1/batches", json.dumps({"submissions": [1] * 65}).encode(), 400),
        ("/v1/changes", b'{"format": "zkmargin/change/v1", "payload": {"a": NaN}}', 400),
        ("/v1/accounts/alice/challenges", b'{"count": true}', 400),
        ("/v1/accounts/alice/challenges", b'{"count": 1e3}', 400),
        ("/v1/nothing", b"", 404),
    ],
)
def test_hostile_bodies_get_one_line(service: Service, path: str, body: bytes, status: int) -> None:
    answer = post(service, path, body, "alice")
    assert answer.status_code == status
    assert len(answer.content) < 2000
    assert "Traceback" not in service.log()


def test_huge_uploads_end_early(service: Service) -> None:
    answer = post(service, "/v1/proofs", b"x" * (1 << 19), "alice")
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "TooLarge")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1 << 14):  # a gigabyte, without saying so
            sent += 1 << 16
            yield b"y" * (1 << 16)

    try:
        answer = post(service, "/v1/proofs", endless(), "alice")
        assert answer.status_code == 413
    except httpx.HTTPError:
        pass  # closed while we were sending
    assert sent < 1 << 26
    with raw(service) as connection:  # declares a terabyte, sends nothing: refused at once
        connection.sendall(b"POST /v1/proofs HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n")
        assert b" 413 " in connection.recv(100)


def raw(service: Service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port), timeout=15)


def test_slow_clients_are_sent_away(service: Service) -> None:
    with raw(service) as silent, raw(service) as dripping, raw(service) as stalled, raw(service) as wordy:
        dripping.sendall(b"GET /healthz HT")
        head = b"POST /v1/proofs HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
        stalled.sendall(head + b"Authorization: Bearer " + service.tokens["alice"].encode() + b"\r\n\r\nabc")
        wordy.sendall(b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 4000) for i in range(12)))
        assert b" 408 " in stalled.recv(200)
        assert silent.recv(100) == b""
        assert dripping.recv(100) == b""
        with pytest.raises((ConnectionResetError, BrokenPipeError, AssertionError)):
            assert wordy.recv(100)
    with VenueClient(service.url) as client:
        assert client.service().name == NAME


@pytest.mark.parametrize("line", [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-", b"GET / HTTP/1.1\r\nX: "])
def test_lines_without_end_are_not_kept(service: Service, line: bytes) -> None:
    sent = 0
    with raw(service) as endless, contextlib.suppress(OSError):  # reset, or a broken pipe
        endless.sendall(line)
        for _ in range(24):
            endless.sendall(b"a" * (1 << 20))
            sent += 1 << 20
    assert sent < 24 << 20
    with raw(service) as long:
        long.sendall((b"GET /healthz?" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 2)
        assert b" 200 " in long.recv(100)


def test_nobody_waits_because_a_refused_call_is_written_down(service: Service) -> None:
    with contextlib.closing(sqlite3.connect(service.folder / "venue.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        time.sleep(1.1)  # after the last one that was written down
        body = b'{"submissions": []}'  # a route of the loop itself
        answer = httpx.post(service.url + "/v1/batches", content=body, timeout=3)
        assert answer.status_code == 401
        assert httpx.get(service.url + "/healthz", timeout=3).status_code == 200
        writer.execute("ROLLBACK")
    with service.client("auditor") as auditor:
        now = clock_ms()
        eventually(
            lambda: [
                line
                for line in auditor.audit().items
                if line.outcome == "denied" and now - parse_time(line.time) < 20_000
            ]
        )


@pytest.mark.parametrize(
    "path",
    ["snapshots?series=%00", "accounts/a%00b", "snapshots/%00", "accounts/alice/coverage?series=a%00&from=a&to=b"],
)
def test_a_nul_in_a_name_is_refused(service: Service, path: str) -> None:
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    answer = httpx.get(f"{service.url}/v1/{path}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "path or query: a NUL in a name")


def test_coverage_ends_by_now(service: Service) -> None:
    with service.client("alice") as alice:
        with pytest.raises(InputError, match="to: after now"):
            alice.coverage("alice", "main", begin=snapshot().time, end="2099-01-01T00:00:00Z")
        assert alice.coverage("alice", "main", begin=snapshot().time, end=format_time(clock_ms() - 1000)).payload


# Events


def test_a_stream_ends_with_its_token(service: Service) -> None:
    """Revoked while it listens: it hears nothing of what comes after."""
    token = service.issue("listener", "auditor")
    with service.client("listener") as listener:
        stream = listener.events(seconds=10)
        assert next(stream).payload.number == 1
        service.order(RevokeToken.model_validate({"digest": token_digest(token)}))
        assert len(list(stream)) < 100  # it ends by itself, before the next sign of life
        with pytest.raises(Denied, match="revoked"):
            next(listener.events())


def test_an_account_takes_no_more_than_its_streams_with_all_its_tokens(service: Service) -> None:
    service.issue("bob again", "account", "bob")
    with service.client("bob") as first, service.client("bob again") as second, service.client("auditor") as auditor:
        streams = [client.events() for client in (first, second) for _ in range(4)]
        assert [next(stream).payload.number for stream in streams]
        for client in (first, second):
            with pytest.raises(Unavailable, match="too many listen"):
                next(client.events())
        assert next(iter(auditor.events())).payload.number == 1


def test_one_token_takes_no_more_than_its_streams(service: Service) -> None:
    service.issue("greedy", "auditor")
    with service.client("greedy") as greedy, service.client("auditor") as auditor:
        streams = [greedy.events() for _ in range(8)]
        assert [next(stream).payload.number for stream in streams] == [1] * 8
        with pytest.raises(Unavailable, match="too many listen"):
            next(greedy.events())
        assert next(iter(auditor.events())).payload.number == 1
        streams.pop()  # the last that knows it: closed
        eventually(lambda: _listens(greedy))


def _listens(client: VenueClient) -> bool:
    try:
        return next(iter(client.events())).payload.number == 1
    except Unavailable:
        return False


@pytest.mark.parametrize(
    "query", ["events?after=", "snapshots?series=main&before=", "snapshots/latest?series=main&after="]
)
def test_numbers_that_no_database_counts_to_are_refused(service: Service, query: str) -> None:
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    answer = httpx.get(f"{service.url}/v1/{query}{2**63}", headers=headers)
    assert answer.status_code == 400
    assert "less than or equal to" in answer.json()["error"]["message"]


@pytest.mark.parametrize("last", ["9" * 19, "9" * 5000, "-1", "1.5", "\u00b2"])
def test_a_last_event_that_is_no_number_of_ours_is_left_aside(service: Service, last: str) -> None:
    token = service.tokens["auditor"].encode()
    headers = [(b"authorization", b"Bearer " + token), (b"last-event-id", last.encode("latin-1"))]
    with httpx.stream("GET", f"{service.url}/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_lines()) == "retry: 2000"


def test_events_are_signed_numbered_and_resumed(service: Service) -> None:
    with service.client("auditor") as auditor:
        seen: list[Event] = []
        for event in auditor.events():
            seen.append(event)
            if len(seen) == 5:
                break
        key = signers()["desk"].public.public_key
        for one in seen:
            assert one.signatures[0].public_keys == (key,)
            assert one.signatures[0].verifies(one.message)
        assert [one.payload.number for one in seen] == [1, 2, 3, 4, 5]
        assert next(iter(auditor.events(after=4))).payload.number == 5
    with service.client("alice") as alice:
        assert alice.account("alice").proofs
        mine = []
        for event in alice.events():
            mine.append(event.payload)
            if event.payload.kind == "accepted":
                break
        assert {payload.account for payload in mine} == {None, "alice"}


class Hook(http.server.BaseHTTPRequestHandler):
    """A webhook that fails twice."""

    taken: list[bytes]
    failures: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        kind = type(self)
        if kind.failures:
            kind.failures -= 1
            self.send_response(503)
        else:
            kind.taken.append(body)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Passed) -> None:
        pass


def test_webhooks_are_told_until_they_take_it(service: Service) -> None:
    kind = type("OwnHook", (Hook,), {"taken": [], "failures": 2})
    with http.server.HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        service.order(RegisterAccount(account="dora", terms=TERMS))
        service.order(SetWebhook(url=url, account="dora", events=("account", "part")))
        service.order(RegisterAccount(account="dora", terms=Terms(ratio="5/4", period_seconds=9, grace_seconds=1)))
        taken = eventually(lambda: kind.taken)  # type: ignore[attr-defined]
        event = Event.parse(taken[0])
        assert (event.payload.kind, event.payload.account) == ("account", "dora")
        assert event.signatures[0].verifies(event.message)
        server.shutdown()


# Health


def test_it_says_how_it_is(service: Service) -> None:
    with httpx.Client(base_url=service.url) as http_client:
        assert http_client.get("/healthz").json() == {"status": "alive"}
        assert http_client.get("/readyz").json() == {"status": "ready"}
        described = http_client.get("/openapi.json").json()
        assert "/v1/proofs" in described["paths"]
        assert "Submission" in described["components"]["schemas"]
        assert http_client.get("/metrics").status_code == 401
        headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
        text = http_client.get("/metrics", headers=headers).text
    assert 'zkmargin_proofs_total{verdict="accepted"}' in text
    assert "alice" not in text
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert all({"time", "level"} <= set(line) for line in lines)
    assert any(line.get("event") == "request" and line["route"] == "/v1/proofs" for line in lines)


def test_a_second_service_is_refused(service: Service) -> None:
    command = [sys.executable, "-m", "zkmargin", "serve", "start", str(service.folder / "serve.toml")]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (2, "")
    assert "another service is running on it" in second.stderr


# Coverage, against a computation of its own


def test_coverage_is_what_the_ledger_gives(tmp_path: Path) -> None:
    with running(tmp_path / "service") as service:
        service.settle_in("alice")
        first = snapshot()
        others = [snapshot(age) for age in (45, 30, 15)]
        with service.client("publisher") as publisher, service.client("alice") as alice:
            for number, one in enumerate(others, 2):
                publisher.publish(one, attested(one, number))
            with pytest.raises(VerificationError, match=r"superseded|contradicts"):
                publisher.publish(others[0], attested(others[0], 3))
            for about, claim in ((first, Claim()), (others[2], Claim()), (others[1], Claim("1/2"))):
                challenge = alice.challenge("alice", lifetime_seconds=600)
                alice.submit(account("alice").answer(challenge, about, claim))  # older snapshots count too
            begin, end = first.time, format_time(parse_time(others[2].time) + 5000)
            coverage = alice.coverage("alice", "main", begin=begin, end=end)
            with pytest.raises(NotFound):
                alice.coverage("bob", "main", begin=begin, end=end)
        assert service.stop() == 0
    assert coverage.signatures[0].verifies(coverage.message)
    payload = coverage.payload
    published = [first, *others]
    with Ledger(service.folder / "venue.db", read_only=True) as ledger:
        entries = list(ledger.entries())
        assert ledger.audit(key=signers()["desk"].public).bad == []
        assert payload.head_number <= ledger.head()[0]
    enough = {
        entry.snapshot: entry for entry in entries if entry.claim is not None and entry.claim.num >= entry.claim.den
    }
    found = [(one.digest().hex(), getattr(enough.get(one.digest().hex()), "statement", None)) for one in published]
    assert [(one.snapshot, one.statement) for one in payload.snapshots] == found
    assert [statement is not None for _, statement in found] == [True, False, False, True]
    times = [parse_time(begin), parse_time(first.time), parse_time(others[2].time), parse_time(end)]
    assert payload.largest_gap_ms == max(later - earlier for earlier, later in pairwise(times))
    assert not payload.complete
