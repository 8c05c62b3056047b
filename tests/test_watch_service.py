"""The agent and a venue's service: challenges, answers that were lost, and every byte that goes over the wire."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.venue_service import NAME, Account, Service, account, running, signers, snapshot, trust
from support.watching import free_of, until

from zkmargin.accounts import commit_book
from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.checking import check
from zkmargin.agent.config import read_config
from zkmargin.agent.inbox import Arrived
from zkmargin.agent.journal import Made
from zkmargin.agent.served import ServiceVenue
from zkmargin.agent.sources import VENUE, Item, item_of
from zkmargin.agent.venues import Verdict
from zkmargin.engine.book import to_book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import format_time, from_units, parse_time
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document
from zkmargin.verifier.attest import Attestation, SnapshotPayload

MAKER = "alice"

pytestmark = [pytest.mark.slow, pytest.mark.in_order]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("venue") / "service") as one:
        one.settle_in(MAKER)
        yield one


class Wire:
    """A port that passes everything on, and keeps what it passed; it can lose answers.

    Attributes:
        sent: every byte from the agent to the service.
        lose: a word of requests whose answers are not passed on, once; empty: none.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.sent: list[bytes] = []
        self.lose = b""
        self.lost = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            try:
                other = socket.create_connection(self._to)
            except OSError:
                one.close()
                continue
            drop = threading.Event()
            threading.Thread(target=self._carry, args=(one, other, drop, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(other, one, drop, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, drop: threading.Event, ours: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if ours:
                    self.sent.append(data)
                    if self.lose and self.lose in data:
                        self.lose = b""
                        drop.set()
                elif drop.is_set():  # the service has answered, and nobody hears it
                    self.lost += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            one.close()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def wired(service: Service) -> Iterator[Wire]:
    wire = Wire(service.url)
    try:
        yield wire
    finally:
        wire.close()


def configured(home: Path, service: Service, url: str) -> Path:
    """The maker's files and configuration."""
    maker = account(MAKER)
    home.mkdir(exist_ok=True)
    save_document(to_book(maker.lots, snapshot()), home / "book.json")
    save_document(maker.opening, home / "opening.json")
    save_document(trust(), home / "trust.json")
    for attestation in maker.attestations():
        save_document(attestation, home / f"{attestation.payload.role}.att.json")  # type: ignore[union-attr]
    (home / "token").write_text(service.tokens[MAKER] + "\n")
    (home / "token").chmod(0o600)
    (home / "watch.toml").write_text(
        f'account = "{MAKER}"\nstate = "state"\n[[holdings]]\nname = "all"\nbook = "book.json"\n'
        'opening = "opening.json"\nattestations = ["positions.att.json", "collateral.att.json"]\n'
        f'[trust]\nfile = "trust.json"\n[snapshots]\nvenue = "{NAME}"\nmax_age_seconds = 86400\n[[venues]]\n'
        f'name = "{NAME}"\nurl = "{url}"\ntoken_file = "token"\n[retry]\nfirst_seconds = 0.05\nmost_seconds = 0.2\n'
    )
    return home / "watch.toml"


def later(seconds: int) -> Snapshot:
    """A snapshot after the one that the service has."""
    time_ms = parse_time(snapshot().time) + 1000 * seconds
    return build_snapshot(example_market(format_time(time_ms)), load_policy("default"), domain_size=512)


def publish(service: Service, one: Snapshot, number: int) -> None:
    payload = SnapshotPayload.of(one, series="main", sequence=number)
    with service.client("publisher") as client:
        client.publish(one, Attestation(payload=payload).signed(signers()["oracle"]))


def test_proofs_reach_the_service_nothing_secret_does_and_lost_answers_are_found(
    service: Service, tmp_path: Path
) -> None:
    lines = io.StringIO()
    with wired(service) as wire:
        agent = Agent(read_config(str(configured(tmp_path, service, wire.url))), Log(lines))
        agent.start()
        until(lambda: agent.turn(0.05) is None or _states(agent) == ["accepted"])
        wire.lose = b"POST /v1/proofs"
        publish(service, later(2), 2)
        until(lambda: agent.turn(0.05) is None or _states(agent) == ["accepted", "accepted"])
        assert wire.lost == 1
        assert agent.journal.proofs()[0].attempts >= 2, lines.getvalue()
        receipts = [made.receipt for made in agent.journal.proofs()]
        assert all(receipt and '"statement"' in receipt for receipt in receipts)
        assert not [alarm for alarm in agent.alarms.active() if alarm.kind in ("refused", "late", "unreachable")]
        agent.close()
        sent = b"".join(wire.sent)
    assert len(sent) > 4000
    assert free_of(sent, secrets_of()) == []
    assert service.tokens[MAKER].encode() in sent  # the search would find it
    with service.client(MAKER) as client:
        assert client.account(MAKER).proofs == 2
        assert not client.refusals(MAKER).items


def secrets_of() -> list[bytes]:
    """Blinders in hex and as integers, long quantities, and what the margin is."""
    maker, found = account(MAKER), list[bytes]()
    for part in maker.opening.parts:
        for text in part.blinders:
            raw = bytes.fromhex(text)
            found += [text.encode(), raw, raw[::-1], str(int(text, 16)).encode()]
    book = to_book(maker.lots, snapshot())
    found += [text.encode() for text in (*book.positions.values(), *book.collateral.values()) if len(text) >= 7]
    for name in ("initial", "maintenance"):
        report = margin_report(snapshot(), maker.lots, name)
        amounts = (report.total, report.surplus, report.equity.total)
        found += [from_units(amount, VALUATION_DECIMALS).encode() for amount in amounts]
    return found


def test_a_challenge_that_passed_meanwhile_means_another_proof(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(read_config(str(configured(tmp_path, service, service.url))), Log(None))
    first = True

    def passed(self: ServiceVenue, made: Made) -> Verdict:
        nonlocal first
        if first:
            first = False
            return Verdict("refused", "its challenge had passed", again=True)
        return submit(self, made)

    submit = ServiceVenue.submit
    monkeypatch.setattr(ServiceVenue, "submit", passed)
    publish(service, later(4), 4)
    agent.start()
    until(lambda: agent.turn(0.05) is None or _states(agent)[:2].count("accepted") >= 1)
    states = _states(agent)
    assert states.count("refused") == 1
    assert not [alarm for alarm in agent.alarms.active() if alarm.kind == "refused"]
    agent.close()


def test_check_asks_the_service_who_it_is(service: Service, tmp_path: Path) -> None:
    path = configured(tmp_path, service, service.url)
    assert check(str(path)) == ([], read_config(str(path)))
    path.write_text(path.read_text().replace(f'"{NAME}"', '"another"'))
    (mistake,) = check(str(path))[0]
    assert "calls itself" in mistake.message
    (tmp_path / "token").write_text("zkm_" + "A" * 43 + "\n")
    (mistake,) = check(str(path))[0]
    assert "token" in mistake.message
    path = configured(tmp_path, service, service.url)
    (tmp_path / "token").write_text(service.tokens["auditor"] + "\n")  # it may read all of it, and submit nothing
    (mistake,) = check(str(path))[0]
    assert (mistake.field, "of role auditor" in mistake.message) == (f"venues: {NAME}: token_file", True)


def test_what_others_register_of_the_account_arrives_from_the_service_and_counts_by_its_signatures(
    service: Service, tmp_path: Path
) -> None:
    lines, maker = io.StringIO(), account(MAKER)
    with wired(service) as wire:
        agent = Agent(read_config(str(configured(tmp_path, service, wire.url))), Log(lines))
        agent.start()
        until(lambda: agent.turn(0.05) is None or "accepted" in _states(agent))
        with service.client("publisher") as client:
            for attestation in maker.attestations(sequence=5):
                client.attest(attestation)
        publish(service, later(5), 5)
        until(lambda: agent.turn(0.05) is None or lines.getvalue().count('"attested"') == 2)
        assert {one.payload.sequence for one in agent.account.attestations} == {5}
        assert b"POST /v1/attestations" not in b"".join(wire.sent)  # the service has them
        forged = [one.replaced(signatures=()) for one in maker.attestations(sequence=6)]
        forged[0] = forged[0].signed(signers()["maker"])
        for one in forged:  # a venue could say anything
            agent.sources.put(item_of("attestation", Arrived(f"{VENUE}{NAME}", "name", "mark", one.to_bytes())))
        until(lambda: agent.turn(0.05) is None or [one for one in agent.alarms.active() if one.kind == "untrusted"])
        assert {one.payload.sequence for one in agent.account.attestations} == {5}
        agent.close()


def test_a_venue_that_refuses_is_an_alarm_and_is_not_asked_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = account(MAKER)
    other = Account(MAKER, maker.lots, commit_book(snapshot(), maker.lots, alias=MAKER))
    agent = Agent(read_config(str(configured(tmp_path, service, service.url))), Log(None))
    agent.start()
    until(lambda: agent.turn(0.05) is None or "accepted" in _states(agent))
    # the agent hears of what is registered instead only after it has proved: on the way there they race
    take, kept = agent.sources.take, list[Item]()

    def without_attestations(timeout: float) -> list[Item]:
        found = take(timeout)
        kept.extend(item for item in found if item.kind == "attestation")
        return [item for item in found if item.kind != "attestation"]

    monkeypatch.setattr(agent.sources, "take", without_attestations)
    with service.client("publisher") as client:
        for attestation in other.attestations(sequence=9):
            client.attest(attestation)
    newest = later(6)
    publish(service, newest, 6)

    def of_newest() -> list[Made]:
        return [made for made in agent.journal.proofs() if made.snapshot == newest.digest().hex()]

    until(lambda: agent.turn(0.05) is None or [made for made in of_newest() if made.state == "refused"])
    until(lambda: agent.turn(0.05) is None or ("made" not in _states(agent) and len(kept) >= 2))
    assert [one for one in agent.alarms.active() if one.kind == "refused"]
    (refused,) = of_newest()
    assert "other parts" in str(refused.reason)
    assert refused.attempts == 1
    # what was registered instead is not to the maker's book: nothing more is proved
    monkeypatch.setattr(agent.sources, "take", take)
    for item in kept:
        agent.sources.put(item)
    until(lambda: agent.turn(0.05) is None or [one for one in agent.alarms.active() if one.kind == "unattested"])
    agent.close()


def _states(agent: Agent) -> list[str]:
    return [made.state for made in agent.journal.proofs()]
