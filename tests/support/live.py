"""A whole market on this machine: a venue's service, an oracle, keepers of records (the venue's and a custodian) and
makers' agents, each a process of its own.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

import zkmargin.crypto.keys
from benchmarks.attested import new_signer
from support.offices import Office
from support.typed import JsonObject, Passed
from support.venue_service import NAME, PASSPHRASE, Service, signers, trust
from support.watching import environment, until
from zkmargin.accounts import commit_book
from zkmargin.app.attesting import revocations_of
from zkmargin.app.verifying import clock_ms
from zkmargin.client import CloseAccount, RegisterAccount, RevokeToken, Terms
from zkmargin.client.checking import check_coverage
from zkmargin.client.errors import Denied
from zkmargin.client.tokens import token_digest
from zkmargin.crypto.keys import SecretKey, SecretSigner
from zkmargin.engine.book import Book
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.fills import Fills
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import VerificationError, save_document
from zkmargin.formats.files import write_atomic
from zkmargin.verifier.attest import Attestation, SnapshotPayload, Trust

#: Who signs, and of which part of an account the two keepers of records do.
OFFICES = ("oracle", "venue", "custodian")
ROLES = {"venue": "positions", "custodian": "collateral"}


def locked(signer: SecretSigner) -> SecretKey:
    """A key as its file: with the least work that the format permits, as it guards nothing."""
    with patch.object(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14):
        return SecretKey.encrypt(signer._secret, signer.public.name, "ed25519", PASSPHRASE)


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Maker:
    """A maker's agent."""

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
        save_document(book, self.home / "book.json")
        save_document(commit_book(snapshot, book, alias=self.name), self.home / "opening.json")
        save_document(self.day.trust, self.home / "trust.json")
        self.day.service.order(RegisterAccount(account=self.name, terms=Terms(period_seconds=86_400, grace_seconds=60)))
        write_atomic(self.home / "token", self.day.service.issue(self.name, "account", self.name).encode(), secret=True)
        self.day.attest(self, "opened", book=str(self.home / "book.json"), opening=str(self.home / "opening.json"))
        (self.home / "watch.toml").write_text(
            f'account = "{self.name}"\nstate = "state"\n[[holdings]]\nname = "all"\nbook = "book.json"\n'
            'opening = "opening.json"\nfills = "fills"\nupdates = "updates"\n[trust]\nfile = "trust.json"\n'
            f'[snapshots]\nvenue = "{NAME}"\nfolder = "inbox"\nmax_age_seconds = 86400\n[[venues]]\nname = "{NAME}"\n'
            f'url = "{self.day.service.url}"\ntoken_file = "token"\n[retry]\nfirst_seconds = 0.1\nmost_seconds = 1.0\n'
        )

    def rotate(self) -> None:
        """Another token from the next start on; the one before may not call any more."""
        old = token_digest(self.day.service.tokens[self.name])
        write_atomic(self.home / "token", self.day.service.issue(self.name, "account", self.name).encode(), secret=True)
        self.day.service.order(RevokeToken(digest=old or ""))

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

    def fill(self, fills: Fills, *, crash: bool = False) -> None:
        """Trades: the agent applies them, venue and custodian follow with their own records, and sign.

        ``crash``: both keepers die over it, and are started again.
        """
        self.updates += 1
        path, given = self.home / "updates" / f"update-{self.updates:06d}.json", self.home / "fills"
        save_document(fills, given / f"{self.updates}.json")
        until(path.exists)
        kept = self.home / f"told-{self.updates}.json"
        save_document(fills, kept)  # the agent takes its own away
        self.day.attest(self, "filled", crash=crash, fills=str(kept), update=str(path))


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
        #: Of each office the key that it begins with, and the one that follows it.
        self.keys = {name: (signers()[name], new_signer(f"{name} 2")) for name in OFFICES}
        self.officers = (new_signer("officer"), new_signer("officer 2"))
        self.officer = self.officers[0]
        #: The service's keys, the first one first, and which it has now.
        self.desks = (signers()["desk"], new_signer("desk 2"))
        self.desk = self.desks[0]
        self.trust = self._trust()
        self.service = Service.make(home / "venue", database=database, own_trust=self.trust)
        toml = home / "venue" / "serve.toml"
        toml.write_text(toml.read_text().replace("port = 0\n", f"port = {free_port()}\n"))  # the same after a crash
        self.published: list[tuple[int, int, str]] = []
        self.makers: list[Maker] = []
        self.offices: dict[str, Office] = {}

    def _trust(self) -> Trust:
        base = trust()
        rule = {"threshold": 1}
        oracle, venue, custodian = ([key.public.name for key in self.keys[name]] for name in OFFICES)
        series = base.snapshots[0].replaced(signers=tuple(oracle))
        officers = [key.public.name for key in self.officers]
        officer = {**rule, "name": "officer", "signers": officers, "max_age_seconds": 86_400}
        others = [second for _, second in self.keys.values()] + [*self.officers, self.desks[1]]
        keys = (*base.keys, *(key.public for key in others))
        desks = [key.public.name for key in self.desks]
        return Trust.model_validate(
            base.to_json()
            | {
                "keys": [key.to_json() for key in keys],
                "snapshots": [series.model_dump(mode="json")],
                "positions": [rule | {"name": "venue", "signers": venue}],
                "collateral": [rule | {"name": "custodian", "signers": custodian}],
                "revocations": [officer],
                "receipts": [rule | {"name": NAME, "signers": desks}],
            }
        )

    def market_at(self, step: int, *, listed: bool = True) -> Market:
        """The example's market at a step; the last instrument is listed in the middle of the day."""
        market = example_market(format_time(self.begin_ms))
        market = market.replaced(time=format_time(self.begin_ms + self.step_ms * step))
        return market if listed else market.replaced(instruments=market.instruments[:-1])

    def start(self, *names: str) -> None:
        """The service, the offices, and the makers."""
        self.service.start()
        for role in ("publisher", "auditor"):
            self.service.issue(role, role)
        token = self.home / "publisher"
        write_atomic(token, self.service.tokens["publisher"].encode(), secret=True)
        self.revoke(sequence=1)
        for name in OFFICES:
            facts = {"url": self.service.url, "token_file": str(token), "issuer": name, "role": ROLES.get(name)}
            facts["beneficiary"] = NAME if name == "custodian" else None
            kind = "keeper" if name in ROLES else "oracle"
            keys = [(locked(key), PASSPHRASE) for key in self.keys[name]]
            self.offices[name] = Office.make(kind, self.home / f"office-{name}", facts, keys)
        universe = Universe.create(self.market_at(0, listed=False), "live")
        save_document(universe, self.offices["oracle"].folder / "universe.json")
        for office in self.offices.values():
            office.start()
        self.step(listed=False)
        for name in names:
            maker = Maker(name, self.home / name.replace(" ", "-"), self)
            self.makers.append(maker)
            maker.settle_in(self.snapshot)
            save_document(self.list, maker.home / "inbox" / "revocations-1.json")
            maker.start()

    def stop(self) -> list[int]:
        """Everybody; the agents' exit codes."""
        codes = [maker.stop() for maker in self.makers]
        self.end()
        self.service.stop()
        return codes

    def end(self) -> None:
        """The offices."""
        for office in self.offices.values():
            office.kill()

    def crash(self) -> None:
        """The service dies, and is started again."""
        self.service.kill()
        self.service.start()

    def step(self, *, listed: bool, crash: bool = False) -> None:
        """The next snapshot is published. ``crash``: the oracle dies over it, and is started again."""
        step, oracle = len(self.published), self.offices["oracle"]
        number = oracle.give(self.market_at(step, listed=listed).to_bytes())
        if crash:
            self._crash("oracle")
        payload = oracle.done(number).payload
        assert isinstance(payload, SnapshotPayload)
        self.published.append((number, self.begin_ms + self.step_ms * step, payload.snapshot))
        with self.service.client("auditor") as client:
            self.snapshot = client.snapshot(payload.snapshot).snapshot

    def attest(self, maker: Maker, kind: str, *, crash: bool = False, **given: str) -> None:
        """Venue and custodian sign what a maker has with them: into its inbox."""
        maker.sequence += 1
        task: JsonObject = {"kind": kind, "account": maker.name, "sequence": maker.sequence, "issued_ms": clock_ms()}
        task |= {"inbox": str(maker.home / "inbox"), **given}
        numbers = {name: self.offices[name].give(json.dumps(task).encode()) for name in ROLES}
        if crash:
            self._crash(*ROLES)
        for name, number in numbers.items():
            self.offices[name].done(number)

    def _crash(self, *names: str) -> None:
        """Offices die, and are started again."""
        for name in names:
            self.offices[name].kill()
        for name in names:
            self.offices[name].start()

    def revoke(self, *, sequence: int, keys: Sequence[SecretSigner] = ()) -> None:
        """The officer's next list, to the service and into every inbox."""
        public, before = [key.public for key in keys], getattr(self, "list", None)
        made = revocations_of("officer", sequence, now_ms=clock_ms(), keys=public, reason="rotated", before=before)
        self.list = made.signed(self.officer)
        with self.service.client("publisher") as client:
            client.revoke(self.list)
        for maker in self.makers:
            save_document(self.list, maker.home / "inbox" / f"revocations-{sequence}.json")

    def rotate(self) -> None:
        """Oracle, venue and custodian sign with their second keys from now on, and sign anew what counts still; their
        first keys count no more, which is tried.
        """
        for name, office in self.offices.items():
            office.sign_with(self.keys[name][1].public.name)
        before = [self.offices[name].done(self.offices[name].tasks) for name in OFFICES]
        for maker in self.makers:
            self.attest(maker, "renewed")
        self.revoke(sequence=2, keys=[first for first, _ in self.keys.values()])
        for name, last in zip(OFFICES, before, strict=True):
            payload = last.payload.replaced(sequence=10_000)
            stale = Attestation(payload=payload).signed(self.keys[name][0])
            with self.service.client("publisher") as client, pytest.raises(VerificationError, match="revoked"):
                client.publish(self.snapshot, stale) if name == "oracle" else client.attest(stale)

    def rotate_service(self) -> None:
        """The service has another key from its next start on, and another operator, whose predecessor orders nothing
        more; and another officer says what is revoked.
        """
        folder, second = self.home / "venue", "operator 2"
        signers().setdefault(second, new_signer(second))
        save_document(signers()[second].public, folder / "operator-2.json")
        save_document(locked(self.desks[1]), folder / "desk-2.key.json")
        toml = folder / "serve.toml"
        changed = toml.read_text().replace('"desk.key.json"', '"desk-2.key.json"')
        toml.write_text(changed.replace('"operator.json"', '"operator-2.json"'))
        assert self.service.stop() == 0
        self.service.start()
        self.desk = self.desks[1]
        close = CloseAccount(account=self.makers[0].name)
        with pytest.raises(Denied):
            self.service.order(close)
        self.service.operator = second
        self.officer = self.officers[1]
        self.revoke(sequence=3)

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
        assert signature.public_keys == (desk.public_key,) == (self.desk.public.public_key,)
        assert check_coverage(coverage, trust=self.trust).public_key == desk.public_key
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
        one.end()
        if one.service.process is not None and one.service.process.poll() is None:
            one.service.kill()
