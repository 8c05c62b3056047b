"""A venue for tests of its service: parties with keys, accounts with books and proofs, and the service as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import zkmargin.crypto.keys
from benchmarks.attested import attested_parts, new_signer
from support.typed import JsonObject, Passed
from zkmargin.accounts import Opening, commit_book
from zkmargin.app.verifying import clock_ms
from zkmargin.client import Change, ChangePayload, IssueToken, RegisterAccount, Submission, Terms
from zkmargin.client.tokens import new_token, token_digest
from zkmargin.client.venue import VenueClient
from zkmargin.crypto.keys import SecretKey, SecretSigner
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document, write_atomic
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, Revocations, SnapshotPayload, Trust
from zkmargin.verifier.attest.revocations import RevocationsPayload

NAME = "clearing desk"
PASSPHRASE = "of keys that guard nothing"  # noqa: S105
PARTIES = ("oracle", "venue", "custodian", "desk", "operator", "maker")


@cache
def signers() -> dict[str, SecretSigner]:
    """The keys of everybody, for one session."""
    return {name: new_signer(name) for name in PARTIES}


def trust(**changes: Passed) -> Trust:
    """The service's trust file: one oracle, one venue, one custodian."""
    rule = {"threshold": 1}
    snapshots = {"name": "main", "signers": ["oracle"], "max_age_seconds": 86_400}
    snapshots |= {"policies": [load_policy("default").digest().hex()]}
    return Trust.model_validate(
        {
            "format": Trust.FORMAT,
            "verifier": NAME,
            "beneficiary": NAME,
            "keys": [signer.public.to_json() for name, signer in signers().items() if name != "operator"],
            "snapshots": [rule | snapshots],
            "positions": [rule | {"name": "venue", "signers": ["venue"]}],
            "collateral": [rule | {"name": "custodian", "signers": ["custodian"]}],
            "receipts": [rule | {"name": NAME, "signers": ["desk"]}],
        }
        | changes
    )


@cache
def snapshot(age_seconds: int = 60) -> Snapshot:
    """A snapshot of the example market, so long ago; the session keeps it."""
    market = example_market(format_time((clock_ms() // 1000 - age_seconds) * 1000))
    return build_snapshot(market, load_policy("default"), domain_size=512)


@dataclass(frozen=True)
class Account:
    """An account with its secrets."""

    name: str
    lots: BookLots
    opening: Opening

    def attestations(self, sequence: int = 1, *, seconds: int = 7200) -> list[Attestation]:
        """Of its two parts, by venue and custodian."""
        now_ms = clock_ms()
        return attested_parts(
            self.opening.commitment(),
            signers().__getitem__,
            beneficiary=NAME,
            issued_ms=now_ms - 60_000,
            expires_ms=now_ms + 1000 * seconds,
            sequence=sequence,
        )

    def answer(self, challenge: Challenge, about: Snapshot, claim: Claim = Claim()) -> Submission:  # noqa: B008
        """A proof that answers a challenge, as it is submitted."""
        statement = Statement.of(about, [self.opening.commitment()], claim, context=challenge.context)
        proof = prove(statement, self.lots, [self.opening], threads=1)
        return Submission.of(statement, proof, account=self.name, challenge=challenge)


@cache
def account(name: str) -> Account:
    """An account that holds the example book."""
    about = snapshot()
    lots = to_lots(Book.model_validate(example_book(example_market(about.time))), about)
    return Account(name, lots, commit_book(about, lots, alias=name))


def attested(about: Snapshot, sequence: int = 1) -> Attestation:
    """The oracle's word for a snapshot."""
    return Attestation(payload=SnapshotPayload.of(about, series="main", sequence=sequence)).signed(signers()["oracle"])


def files_of_parties(folder: Path) -> None:
    """What operator, oracle, venue, custodian and a maker bring to the commands of a service."""
    with patch.object(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14):  # the least work that the format permits
        key = SecretKey.encrypt(signers()["operator"]._secret, "operator", "ed25519", PASSPHRASE)
    save_document(key, folder / "operator.key.json")
    write_atomic(folder / "passphrase", f"{PASSPHRASE}\n".encode(), secret=True)
    save_document(snapshot(), folder / "snapshot.json")
    save_document(attested(snapshot()), folder / "oracle.json")
    for name, attestation in zip(("positions", "collateral"), account("maker").attestations(), strict=True):
        save_document(attestation, folder / f"{name}.att.json")
    save_document(signers()["maker"].public, folder / "maker.public.json")


def revoking(*attestations: Attestation) -> Revocations:
    """The custodian's list number 1, or the next one with these."""
    listed = [{"payload": one.payload_digest.hex(), "reason": "the wallet moved"} for one in attestations]
    values = {"issuer": "custodian", "sequence": 1 + len(listed), "time": snapshot().time, "attestations": listed}
    payload = RevocationsPayload.model_validate(values)
    return Revocations(payload=payload).signed(signers()["custodian"])


def own_book_files(folder: Path) -> None:
    """What the maker proves from."""
    opening = account("maker").opening
    save_document(Book.model_validate(example_book(example_market(snapshot().time))), folder / "book.json")
    save_document(opening, folder / "opening.json")
    save_document(opening.commitment(), folder / "commitment.json")


TERMS = Terms(period_seconds=3600, grace_seconds=60)


@dataclass
class Service:
    """A service as a process of its own.

    Attributes:
        folder: with its configuration and files.
        url: where it listens; after ``start``.
        process: it.
        numbers: the next number of each signer's changes.
        operator: who signs its operator's changes.
    """

    folder: Path
    url: str = ""
    process: subprocess.Popen[str] | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    operator: str = "operator"

    @classmethod
    def make(
        cls, folder: Path, *, database: str = "venue.db", config: str = "", own_trust: Trust | None = None
    ) -> Service:
        """Its files in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        desk = signers()["desk"]
        with patch.object(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14):  # the least work that the format permits
            key = SecretKey.encrypt(desk._secret, "desk", "ed25519", PASSPHRASE)
        save_document(key, folder / "desk.key.json")
        save_document(own_trust or trust(), folder / "trust.json")
        save_document(signers()["operator"].public, folder / "operator.json")
        write_atomic(folder / "passphrase", f"{PASSPHRASE}\n".encode(), secret=True)
        (folder / "serve.toml").write_text(
            f'database = "{database}"\ntrust = "trust.json"\nkey = "desk.key.json"\npassphrase_file = "passphrase"\n'
            f'operators = ["operator.json"]\nport = 0\nwebhooks_over_http = true\n'
            f"webhooks_to_private_addresses = true\n{config}"
        )
        return cls(folder)

    def start(self) -> Service:
        """Start it, and wait until it takes calls."""
        command = [sys.executable, "-m", "zkmargin", "serve", "start", str(self.folder / "serve.toml")]
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as a user's
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, env=plain, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), (line, self.log()[-3000:])
        self.url = line.removeprefix("listening on ").strip()
        return self

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """At once, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """As a service manager does; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        assert self.process is not None
        code = self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def client(self, name: str | None = None) -> VenueClient:
        """A client with the token of a name that ``issue`` knows; nobody's without."""
        return VenueClient(self.url, token=None if name is None else self.tokens[name])

    def order(self, action: object, *, by: str | None = None) -> JsonObject:
        """A signed change; by the operator, where it is not said by whom."""
        with self.client() as client:
            return client.change(self.change(action, by=by))

    def change(self, action: object, *, by: str | None = None, **changes: Passed) -> Change:
        """A change with the signer's next number."""
        by = by or self.operator
        self.numbers[by] = self.numbers.get(by, 0) + 1
        values = {"service": NAME, "sequence": self.numbers[by], "time": format_time(clock_ms()), "action": action}
        return Change(payload=ChangePayload.model_validate(values | changes)).signed(signers()[by])

    def issue(self, name: str, role: str, account_name: str | None = None) -> str:
        """A token under a name."""
        token = self.tokens[name] = new_token()
        digest = token_digest(token)
        self.order(IssueToken.model_validate({"name": name, "role": role, "account": account_name, "digest": digest}))
        return token

    def settle_in(self, *names: str, terms: Terms = TERMS) -> None:
        """Tokens for everybody, the snapshot published, and accounts registered with their parts."""
        for role in ("publisher", "auditor", "operator"):
            self.issue(role, role)
        with self.client("publisher") as publisher:
            publisher.publish(snapshot(), attested(snapshot()))
            for name in names:
                self.order(RegisterAccount(account=name, terms=terms, keys=(signers()["maker"].public,)))
                self.issue(name, "account", name)
                for attestation in account(name).attestations():
                    publisher.attest(attestation)


@contextmanager
def running(folder: Path, **more: Passed) -> Iterator[Service]:
    """A service that is there inside."""
    service = Service.make(folder, **more).start()
    try:
        yield service
    finally:
        if service.process is not None:
            service.kill()


T = TypeVar("T")


def eventually(condition: Callable[[], T | None], *, seconds: float = 20) -> T:
    """What a condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def descendants(pid: int) -> list[int]:
    """Processes that a process started (Linux)."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in path.read_text().split()] if path.exists() else []
    return [*found, *(one for child in found for one in descendants(child))]


__all__ = ["NAME", "TERMS", "Account", "Service", "account", "attested", "eventually", "running", "snapshot", "trust"]
