"""A whole market on this machine: a venue's service, an oracle, a custodian, and makers' agents as processes.

Hours are simulated: snapshots carry times that are minutes apart, and come as fast as they are answered. What the venue
says of its accounts is compared with what the script of the day says (``Day.expected``), which asks nobody.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from support.typed import JsonObject, Passed
from support.venue_service import NAME, Service, new_signer, signers, trust
from support.watching import environment, until
from zkmargin.accounts import commit_book
from zkmargin.accounts.updates import Update, apply_update
from zkmargin.app.attesting import Held, attest_commitment, revocations_of
from zkmargin.app.verifying import clock_ms
from zkmargin.client import RegisterAccount, Terms
from zkmargin.crypto.keys import SecretSigner
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import VerificationError, load_document, save_document
from zkmargin.verifier.attest import Attestation, SnapshotPayload, Trust

ROWS = 512
POLICY = load_policy("default")


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Maker:
    """A maker's agent, and what venue and custodian know of it."""

    name: str
    home: Path
    day: Day
    process: subprocess.Popen[str] | None = None
    events: list[JsonObject] = field(default_factory=list)
    sequence: int = 0
    updates: int = 0

    def settle_in(self, snapshot: Snapshot) -> None:
        """A book, its commitment, attestations, and the agent's configuration."""
        for folder in ("inbox", "fills", "updates"):
            (self.home / folder).mkdir(parents=True)
        book = Book.model_validate(example_book(self.day.market_at(0)))
        book = book.replaced(collateral={**book.collateral, "USDC": "20000000"})
        opening = commit_book(snapshot, book, alias=self.name)
        self.record, self.commitment = to_lots(book, snapshot), opening.commitment()
        save_document(book, self.home / "book.json")
        save_document(opening, self.home / "opening.json")
        save_document(self.day.trust, self.home / "trust.json")
        self.day.service.order(RegisterAccount(account=self.name, terms=Terms(period_seconds=86_400, grace_seconds=60)))
        token = self.home / "token"
        token.write_text(self.day.service.issue(self.name, "account", self.name) + "\n")
        token.chmod(0o600)
        self.attest(snapshot, self.day.publish_part)
        (self.home / "watch.toml").write_text(
            f'account = "{self.name}"\nstate = "state"\n[[holdings]]\nname = "all"\nbook = "book.json"\n'
            'opening = "opening.json"\nfills = "fills"\nupdates = "updates"\n[trust]\nfile = "trust.json"\n'
            f'[snapshots]\nvenue = "{NAME}"\nfolder = "inbox"\nmax_age_seconds = 86400\n[[venues]]\nname = "{NAME}"\n'
            f'url = "{self.day.service.url}"\ntoken_file = "token"\n[retry]\nfirst_seconds = 0.1\nmost_seconds = 1.0\n'
        )

    def attest(self, snapshot: Snapshot, *tell: Passed) -> None:
        """Venue and custodian sign what they hold: into the inbox, and to who else is told."""
        self.sequence += 1
        for role, issuer in (("positions", "venue"), ("collateral", "custodian")):
            held = Held(
                role="positions" if role == "positions" else "collateral",
                issuer=issuer,
                part="main",
                sequence=self.sequence,
                issued_ms=clock_ms(),
                valid_seconds=86_400,
                beneficiary=None if role == "positions" else NAME,
            )
            signed = attest_commitment(self.commitment, snapshot, held, account=self.name).signed(signers()[issuer])
            save_document(signed, self.home / "inbox" / f"{role}-{self.sequence}.json")
            for one in tell:
                one(signed)

    def start(self) -> Maker:
        """Start the agent."""
        command = [sys.executable, "-m", "zkmargin", "watch", str(self.home / "watch.toml"), "--json"]
        log = (self.home / "errors").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment())
        log.close()
        self.listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self.listener.start()
        return self

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.events.append(json.loads(line))

    def kill(self) -> None:
        """As a crash does."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self._ended(self.process)

    def stop(self) -> int:
        """As a service manager does."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self._ended(self.process)

    def _ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(60)
        self.listener.join()
        if process.stdout is not None:
            process.stdout.close()
        return code

    def seen(self, event: str, **facts: Passed) -> bool:
        """Whether the agent said this."""
        return any(one["event"] == event and facts.items() <= one.items() for one in self.events)

    def fill(self, fills: Fills, snapshot: Snapshot) -> None:
        """Trades: the agent applies them, venue and custodian follow with their own records, and sign."""
        self.updates += 1
        path = self.home / "updates" / f"update-{self.updates:06d}.json"
        save_document(fills, self.home / "fills" / f"{self.updates}.json")
        until(path.exists)
        update = load_document(Update, path)
        lots = fills_to_lots(fills, snapshot)
        if len(self.record.positions) < len(snapshot.instruments):  # a listing came since
            more = (0,) * (len(snapshot.instruments) - len(self.record.positions))
            self.record = type(self.record)((*self.record.positions, *more), self.record.collateral)
        self.commitment, self.record = apply_update(snapshot, self.commitment, self.record, lots, update)
        self.attest(snapshot)


class Day:
    """The script of a day.

    Args:
        home: a folder.
        database: of the service.
        steps: snapshots that there will be.
        step_ms: simulated time between two.
    """

    def __init__(self, home: Path, *, database: str, steps: int, step_ms: int) -> None:
        self.home, self.steps, self.step_ms = home, steps, step_ms
        self.begin_ms = clock_ms() // 1000 * 1000 - step_ms * (steps + 1)
        self.oracles: dict[str, SecretSigner] = {"oracle": signers()["oracle"], "oracle 2": new_signer("oracle 2")}
        self.officer = new_signer("officer")
        self.trust = self._trust()
        self.service = Service.make(home / "venue", database=database, own_trust=self.trust)
        toml = home / "venue" / "serve.toml"
        toml.write_text(toml.read_text().replace("port = 0\n", f"port = {free_port()}\n"))  # the same after a crash
        self.signing = "oracle"
        self.published: list[tuple[int, int, str]] = []
        self.universe = Universe.create(self.market_at(0, listed=False), "live")
        self.makers: list[Maker] = []

    def _trust(self) -> Trust:
        base = trust()
        rule = {"threshold": 1}
        series = base.snapshots[0].replaced(signers=("oracle", "oracle 2"))
        officer = {**rule, "name": "officer", "signers": ["officer"], "max_age_seconds": 86_400}
        keys = (*base.keys, self.oracles["oracle 2"].public, self.officer.public)
        return Trust.model_validate(
            base.to_json()
            | {
                "keys": [key.to_json() for key in keys],
                "snapshots": [series.model_dump(mode="json")],
                "revocations": [officer],
            }
        )

    def market_at(self, step: int, *, listed: bool = True) -> Market:
        """The example's market at a step; the last instrument is listed in the middle of the day."""
        market = example_market(format_time(self.begin_ms))
        market = market.replaced(time=format_time(self.begin_ms + self.step_ms * step))
        return market if listed else market.replaced(instruments=market.instruments[:-1])

    def start(self, *names: str) -> None:
        """The service, its parties, and the makers."""
        self.service.start()
        self.service.issue("publisher", "publisher")
        self.service.issue("auditor", "auditor")
        self.revoke(sequence=1)
        self.snapshot = self._build(0, listed=False)
        self._publish(self.snapshot)
        for name in names:
            maker = Maker(name, self.home / name.replace(" ", "-"), self)
            self.makers.append(maker)
            maker.settle_in(self.snapshot)
            save_document(self.list, maker.home / "inbox" / "revocations-1.json")
            maker.start()

    def stop(self) -> list[int]:
        """Everybody; the agents' exit codes."""
        codes = [maker.stop() for maker in self.makers]
        self.service.stop()
        self._close()
        return codes

    def _close(self) -> None:
        if self.service.process is not None and self.service.process.stdout is not None:
            self.service.process.stdout.close()

    def crash(self) -> None:
        """The service dies, and is started again."""
        self.service.kill()
        self._close()
        self.service.start()

    def _build(self, step: int, *, listed: bool) -> Snapshot:
        market = self.market_at(step, listed=listed)
        if listed and self.universe.edition == 0:
            self.universe = self.universe.updated(market)
        return build_snapshot(market, POLICY, universe=self.universe, domain_size=ROWS)

    def _publish(self, snapshot: Snapshot) -> None:
        sequence = len(self.published) + 1
        payload = SnapshotPayload.of(snapshot, series="main", sequence=sequence)
        signed = Attestation(payload=payload).signed(self.oracles[self.signing])
        with self.service.client("publisher") as client:
            client.publish(snapshot, signed)
        step = sequence - 1
        self.published.append((sequence, self.begin_ms + self.step_ms * step, snapshot.digest().hex()))

    def publish_part(self, attestation: Attestation) -> None:
        """A part's attestation, by who signed it."""
        with self.service.client("publisher") as client:
            client.attest(attestation)

    def step(self, *, listed: bool) -> Snapshot:
        """The next snapshot."""
        self.snapshot = self._build(len(self.published), listed=listed)
        self._publish(self.snapshot)
        return self.snapshot

    def revoke(self, *, sequence: int, key: str | None = None) -> None:
        """The officer's next list, to the service and into every inbox."""
        keys = [] if key is None else [self.oracles[key].public]
        self.list = revocations_of(
            "officer", sequence, now_ms=clock_ms(), keys=keys, reason="rotated", before=getattr(self, "list", None)
        ).signed(self.officer)
        with self.service.client("publisher") as client:
            client.revoke(self.list)
        for maker in self.makers:
            save_document(self.list, maker.home / "inbox" / f"revocations-{sequence}.json")

    def rotate(self) -> None:
        """The oracle signs with its second key from now on; the first counts no more, which is tried."""
        self.signing = "oracle 2"
        self.revoke(sequence=2, key="oracle")
        stale = SnapshotPayload.of(self.snapshot, series="main", sequence=10_000)
        with self.service.client("publisher") as client:
            try:
                client.publish(self.snapshot, Attestation(payload=stale).signed(self.oracles["oracle"]))
            except VerificationError:
                return
        raise AssertionError("a revoked key's signature was taken")

    def answered(self, maker: Maker) -> bool:
        """Whether a maker's proof about the newest snapshot was accepted."""
        return maker.seen("accepted", snapshot=self.published[-1][2])

    def wait(self, *makers: Maker) -> None:
        """Until these have answered."""
        for maker in makers:
            until(partial(self.answered, maker), 120)

    # --- what the venue says, and what the script says --------------------------------------------------------------

    def check_coverage(self, maker: Maker, missing: set[int]) -> None:
        """Compare the venue's signed statement with the script: proved at every snapshot but the missing numbers."""
        begin, end = self.published[0][1], self.published[-1][1]
        with self.service.client("auditor") as client:
            coverage = client.coverage(maker.name, "main", begin=format_time(begin), end=format_time(end))
            desk = client.service().public_key
        (signature,) = coverage.signatures
        assert signature.public_keys == (desk.public_key,) == (signers()["desk"].public.public_key,)
        assert signature.verifies(coverage.message)
        payload = coverage.payload
        found = {one.sequence: (one.snapshot, one.statement) for one in payload.snapshots}
        assert {number: digest for number, (digest, _) in found.items()} == {n: d for n, _, d in self.published}
        assert {number for number, (_, statement) in found.items() if statement is None} == missing
        last, largest = begin, 0
        for number, time_ms, _ in self.published:
            if number not in missing:
                largest, last = max(largest, time_ms - last), time_ms
        assert payload.largest_gap_ms == max(largest, end - last)
        said = {event["statement"] for event in maker.events if event["event"] == "accepted"}
        assert {statement for _, statement in found.values() if statement is not None} <= said


@contextmanager
def day(home: Path, *names: str, database: str, steps: int, step_ms: int = 600_000) -> Iterator[Day]:
    """A day that is going on inside; without more words its snapshots are ten minutes apart."""
    one = Day(home, database=database, steps=steps, step_ms=step_ms)
    try:
        one.start(*names)
        yield one
    finally:
        for maker in one.makers:
            if maker.process is not None and maker.process.poll() is None:
                maker.kill()
        if one.service.process is not None and one.service.process.poll() is None:
            one.service.kill()
            one._close()
