"""What the benchmark of the venue's service needs before it measures: a service's files, its accounts, and proofs.

Proofs answer challenges, so that they fit one database only: it is kept with them, and copied for every phase.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.attested import attested_parts, new_signer
from zkmargin.accounts import Opening, commit_book
from zkmargin.app.verifying import clock_ms
from zkmargin.client.documents import Submission, Terms
from zkmargin.client.orders import Change, ChangePayload, IssueToken, RegisterAccount
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
from zkmargin.formats import canonical_bytes, parse_json, save_document
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, SnapshotPayload, Trust
from zkmargin.verifier.workers import Item, request_of, statement_of

DESK, PASSPHRASE = "desk", "a benchmark's passphrase"
#: Challenges and the snapshot count for a day.
KEPT_SECONDS, LIFETIME_SECONDS = 72_000, 86_000
#: Until the log says how far it is.
STEP_SECONDS = 5.0
_FILES = (
    "venue.db",
    "venue.db-wal",
    "venue.db-shm",
    "ready.json",
    "trust.json",
    "key.json",
    "operator.json",
    "snapshot.json",
)
Keys = dict[str, SecretSigner]


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service of a folder, and its URL."""
    command = [sys.executable, "-m", "zkmargin", "serve", "start", str(folder / "serve.toml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("listening on "):
            raise SystemExit(f"the service does not start: {(folder / 'log').read_text()[-1000:]}")
        yield process, line.removeprefix("listening on ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def prepare(folder: Path, *, accounts: int, count: int) -> None:
    """A service with accounts and open challenges, and ``count`` proofs that answer them; once for a day."""
    facts = {"accounts": accounts, "count": count}
    mark = folder / "ready.json"
    if mark.exists():
        found = parse_json(mark.read_text())
        if found["facts"] == facts and time.time() - found["time"] < KEPT_SECONDS:
            say(f"prepared before: {folder}")
            return
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    begin, keys = int(time.time()), _make_keys()
    _write_files(folder, keys)
    with running(folder) as (_, url):
        _Venue(url, keys, accounts).write(folder, count)
    mark.write_bytes(canonical_bytes({"facts": facts, "time": begin}))


def requests_of(folder: Path) -> list[bytes]:
    """Requests that submit the proofs, the accounts in turns."""
    lines = (folder / "requests").read_text().split()
    each = len(lines) // parse_json((folder / "ready.json").read_text())["facts"]["accounts"]
    return [bytes.fromhex(line) for turn in range(each) for line in lines[turn::each]]


def items_of(folder: Path, most: int) -> list[Item]:
    """Statements and proofs of the first requests, each with nothing computed yet."""
    snapshot = Snapshot.parse((folder / "snapshot.json").read_bytes())
    lines = (folder / "items").read_text().splitlines()[:most]
    known = {snapshot.digest().hex(): snapshot}
    read = [parse_json(line) for line in lines]
    return [(statement_of(given, known), bytes.fromhex(given["proof"])) for given in read]


def _make_keys() -> Keys:
    """Everybody's key."""
    return {name: new_signer(name) for name in ("oracle", "venue", "custodian", DESK, "operator")}


def _write_files(folder: Path, keys: Keys) -> None:
    """The service's configuration."""
    rule: dict[str, Any] = {"threshold": 1}
    policy = load_policy("default").digest().hex()
    trust = {
        "format": Trust.FORMAT,
        "verifier": DESK,
        "beneficiary": DESK,
        "keys": [keys[name].public.to_json() for name in ("oracle", "venue", "custodian")],
        "snapshots": [rule | {"name": "main", "signers": ["oracle"], "max_age_seconds": 86_400, "policies": [policy]}],
        "positions": [rule | {"name": "venue", "signers": ["venue"]}],
        "collateral": [rule | {"name": "custodian", "signers": ["custodian"]}],
    }
    save_document(Trust.model_validate(trust), folder / "trust.json")
    secret = SecretKey.encrypt(keys[DESK]._secret, DESK, "ed25519", PASSPHRASE)  # noqa: SLF001
    save_document(secret, folder / "key.json")
    save_document(keys["operator"].public, folder / "operator.json")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    (folder / "serve.toml").write_text(
        'database = "venue.db"\ntrust = "trust.json"\nkey = "key.json"\npassphrase_file = "passphrase"\n'
        'operators = ["operator.json"]\nport = 0\nworkers = 1\n[limits]\ncalls_per_second = 100000\n'
        "burst = 100000\nmax_open_challenges = 4096\nqueue = 4096\nmax_challenge_seconds = 86400\n"
    )


class _Venue:
    """Accounts registered with a running service."""

    def __init__(self, url: str, keys: Keys, accounts: int) -> None:
        self.url, self.keys, self.number = url, keys, 0
        market = example_market(format_time(clock_ms() - 60_000))
        self.snapshot: Snapshot = build_snapshot(market, load_policy("default"), domain_size=512)
        self.lots: BookLots = to_lots(Book.model_validate(example_book(market)), self.snapshot)
        self.tokens: dict[str, str] = {}
        self.openings: dict[str, Opening] = {}
        with VenueClient(url) as self.anyone:
            self.operator = self._token("operator", "operator", None)
            with VenueClient(url, token=self.operator) as client:
                payload = SnapshotPayload.of(self.snapshot, series="main", sequence=1)
                client.publish(self.snapshot, Attestation(payload=payload).signed(keys["oracle"]))
                for name in (f"account {i}" for i in range(accounts)):
                    self._order(RegisterAccount(account=name, terms=Terms(period_seconds=60, grace_seconds=10)))
                    self.tokens[name] = self._token(name, "account", name)
                    self.openings[name] = commit_book(self.snapshot, self.lots, alias=name)
                    for attestation in self._attested(self.openings[name]):
                        client.attest(attestation)
        say(f"{accounts} accounts are registered")

    def write(self, folder: Path, count: int) -> None:
        """Requests and items into a folder."""
        save_document(self.snapshot, folder / "snapshot.json")
        names, made, said = list(self.openings), 0, time.monotonic()
        each = -(-count // len(names))
        with (
            VenueClient(self.url, token=self.operator) as client,
            (folder / "requests").open("w") as requests,
            (folder / "items").open("w") as items,
        ):
            for name in names:
                for challenge in client.challenges(name, count=each, lifetime_seconds=LIFETIME_SECONDS):
                    commitment = self.openings[name].commitment()
                    statement = Statement.of(self.snapshot, [commitment], Claim(), context=challenge.context)
                    proof = prove(statement, self.lots, [self.openings[name]])
                    body = Submission.of(statement, proof, account=name, challenge=challenge).to_bytes()
                    requests.write((self._head(name, len(body)) + body).hex() + "\n")
                    items.write(request_of(statement, proof).decode() + "\n")
                    made += 1
                    if time.monotonic() - said > STEP_SECONDS:
                        said = time.monotonic()
                        say(f"{made} of {each * len(names)} proofs are made")

    def _head(self, name: str, length: int) -> bytes:
        lines = ["POST /v1/proofs HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.tokens[name]}"]
        return ("\r\n".join([*lines, f"Content-Length: {length}"]) + "\r\n\r\n").encode()

    def _order(self, action: Any) -> None:
        """A signed change."""
        self.number += 1
        payload = ChangePayload(service=DESK, sequence=self.number, time=format_time(clock_ms()), action=action)
        self.anyone.change(Change(payload=payload).signed(self.keys["operator"]))

    def _token(self, name: str, role: Any, account: str | None) -> str:
        """A token that may call."""
        token = new_token()
        self._order(IssueToken(name=name, role=role, account=account, digest=token_digest(token) or ""))
        return token

    def _attested(self, opening: Opening) -> list[Attestation]:
        """An account's two parts, for a day."""
        now_ms = clock_ms()
        return attested_parts(
            opening.commitment(),
            self.keys.__getitem__,
            beneficiary=DESK,
            issued_ms=now_ms - 60_000,
            expires_ms=now_ms + 86_400_000,
        )
