"""The venue's service under load: proofs verified and recorded a second, and how long each waits for its receipt.

    python -m benchmarks.service                       # 100 accounts, 200 proofs/s for 10 s, then half of it
    python -m benchmarks.service --accounts 10 --rate 50 --seconds 4

Statements are of one segment, 512 x 35, SQLite, receipts signed with Ed25519; challenges are issued and proofs made
before. The generator sends at fixed times, whatever came back, and counts a proof's time from when it was due: a
service that falls behind shows it. CPU seconds are of the service with its verifiers, and of the generator; beside them
stands what `verify_each` alone costs on the same proofs in this run, so that the ratio means something on a busy
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from zkmargin.accounts import Opening, commit_book
from zkmargin.app.verifying import clock_ms
from zkmargin.client.documents import Change, ChangePayload, IssueToken, RegisterAccount, Submission, Terms
from zkmargin.client.tokens import new_token, token_digest
from zkmargin.client.venue import VenueClient
from zkmargin.crypto import ed25519
from zkmargin.crypto.keys import PublicKey, SecretKey, SecretSigner
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify_each
from zkmargin.verifier.attest import Attestation, CommitmentPayload, SnapshotPayload, Trust

DESK, PASSPHRASE = "desk", "a benchmark's passphrase"
CONNECTIONS = 32
Keys = dict[str, SecretSigner]


def make_keys() -> Keys:
    """Everybody's key."""
    keys = {}
    for name in ("oracle", "venue", "custodian", DESK, "operator"):
        secret = ed25519.generate_secret()
        public = PublicKey(name=name, scheme="ed25519", public_key=ed25519.public_key(secret).hex())
        keys[name] = SecretSigner(public, secret)
    return keys


def write_files(folder: Path, keys: Keys, workers: int) -> None:
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
    save_document(SecretKey.encrypt(keys[DESK]._secret, DESK, "ed25519", PASSPHRASE), folder / "key.json")  # noqa: SLF001
    save_document(keys["operator"].public, folder / "operator.json")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    (folder / "serve.toml").write_text(
        'database = "venue.db"\ntrust = "trust.json"\nkey = "key.json"\npassphrase_file = "passphrase"\n'
        f'operators = ["operator.json"]\nport = 0\nworkers = {workers}\n[limits]\ncalls_per_second = 100000\n'
        "burst = 100000\nmax_open_challenges = 4096\nqueue = 4096\nmax_challenge_seconds = 86400\n"
    )


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The service and its URL."""
    command = [sys.executable, "-m", "zkmargin", "serve", "start", str(folder / "serve.toml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("listening on "):
        raise SystemExit(f"the service does not start: {(folder / 'log').read_text()[-1000:]}")
    return process, line.removeprefix("listening on ").strip()


class Venue:
    """Accounts registered with a running service."""

    def __init__(self, url: str, keys: Keys, accounts: int) -> None:
        self.url, self.keys, self.number = url, keys, 0
        market = example_market(format_time(clock_ms() - 60_000))
        self.snapshot: Snapshot = build_snapshot(market, load_policy("default"), domain_size=512)
        self.lots: BookLots = to_lots(Book.model_validate(example_book(market)), self.snapshot)
        self.tokens: dict[str, str] = {}
        self.openings: dict[str, Opening] = {}
        publisher = self.token("publisher", "publisher", None)
        with VenueClient(url, token=publisher) as client:
            payload = SnapshotPayload.of(self.snapshot, series="main", sequence=1)
            client.publish(self.snapshot, Attestation(payload=payload).signed(keys["oracle"]))
            for name in (f"account {i}" for i in range(accounts)):
                self.order(RegisterAccount(account=name, terms=Terms(period_seconds=60, grace_seconds=10)))
                self.tokens[name] = self.token(name, "account", name)
                self.openings[name] = commit_book(self.snapshot, self.lots, alias=name)
                for attestation in self.attestations(self.openings[name]):
                    client.attest(attestation)

    def order(self, action: Any) -> None:
        """A signed change."""
        self.number += 1
        payload = ChangePayload(service=DESK, sequence=self.number, time=format_time(clock_ms()), action=action)
        with VenueClient(self.url) as client:
            client.change(Change(payload=payload).signed(self.keys["operator"]))

    def token(self, name: str, role: Any, account: str | None) -> str:
        """A token that may call."""
        token = new_token()
        self.order(IssueToken(name=name, role=role, account=account, digest=token_digest(token) or ""))
        return token

    def attestations(self, opening: Opening) -> list[Attestation]:
        """Of an account's two parts."""
        commitment, now_ms, made = opening.commitment(), clock_ms(), []
        for part in commitment.parts:
            issuer = "venue" if part.role == "positions" else "custodian"
            payload = CommitmentPayload.of(
                part,
                srs=commitment.srs,
                domain_size=commitment.domain_size,
                issuer=issuer,
                part="main",
                sequence=1,
                issued=format_time(now_ms - 60_000),
                expires=format_time(now_ms + 86_400_000),
                beneficiary=DESK if part.role == "collateral" else None,
            )
            made.append(Attestation(payload=payload).signed(self.keys[issuer]))
        return made

    def proofs(self, count: int) -> tuple[list[bytes], list[tuple[Statement, bytes]]]:
        """Requests that submit proofs, account after account, and the proofs themselves."""
        names, requests, items = list(self.openings), [], []
        each = -(-count // len(names))
        host = self.url.removeprefix("http://")
        for name in names:
            with VenueClient(self.url, token=self.tokens[name]) as client:
                challenges = client.challenges(name, count=each, lifetime_seconds=86_000)
            for challenge in challenges:
                commitment = self.openings[name].commitment()
                statement = Statement.of(self.snapshot, [commitment], Claim(), context=challenge.context)
                proof = prove(statement, self.lots, [self.openings[name]])
                body = Submission.of(statement, proof, account=name, challenge=challenge).to_bytes()
                head = f"POST /v1/proofs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.tokens[name]}\r\n"
                requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                items.append((statement, proof))
        return requests[:count], items[:count]


async def load(url: str, requests: list[bytes], rate: float) -> list[float]:
    """Send requests at fixed times; seconds from when each was due to its receipt. Raises RuntimeError: one refused."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    begin, waiting, seconds = time.perf_counter() + 0.1, iter(enumerate(requests)), []

    async def caller() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for place, request in waiting:
            due = begin + place / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            body = await reader.readexactly(length)
            if b" 201 " not in head[:20]:
                raise RuntimeError(f"refused: {body[:300]!r}")
            seconds.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(min(CONNECTIONS, len(requests)))))
    return seconds


def cpu_seconds(pid: int) -> float:
    """Of a process and those that it started, by now (Linux)."""
    ticks = 0
    for one in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    for task in Path(f"/proc/{pid}/task").iterdir():  # children that other threads started
        for child in map(int, (task / "children").read_text().split()):
            if task.name != str(pid):
                fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of the service's own process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def own_cpu() -> float:
    """Of this process: the generator."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def phase(process: subprocess.Popen[str], url: str, requests: list[bytes], rate: float) -> dict[str, Any]:
    """One rate, measured."""
    service, generator, began = cpu_seconds(process.pid), own_cpu(), time.perf_counter()
    seconds = asyncio.run(load(url, requests, rate))
    wall, count = time.perf_counter() - began - 0.1, len(requests)
    quantiles = statistics.quantiles(seconds, n=100)
    return {
        "asked_per_second": rate,
        "done_per_second": round(count / wall, 1),
        "p50_ms": round(1000 * quantiles[49], 1),
        "p99_ms": round(1000 * quantiles[98], 1),
        "service_cpu_ms_a_proof": round(1000 * (cpu_seconds(process.pid) - service) / count, 2),
        "generator_cpu_ms_a_proof": round(1000 * (own_cpu() - generator) / count, 2),
        "memory_mb": round(memory_mb(process.pid), 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    full, half = int(asked.rate * asked.seconds), int(asked.rate * asked.seconds / 2)
    with tempfile.TemporaryDirectory() as name:
        folder, keys = Path(name), make_keys()
        write_files(folder, keys, asked.workers)
        process, url = start(folder)
        try:
            venue = Venue(url, keys, asked.accounts)
            requests, items = venue.proofs(full + half + 32)
            asyncio.run(load(url, requests[:32], 1000))  # warm
            results = [
                phase(process, url, requests[32 : 32 + full], asked.rate),
                phase(process, url, requests[32 + full :], asked.rate / 2),
            ]
            begin = time.process_time()
            for at in range(0, 256, 32):
                verify_each([(_fresh(statement), proof) for statement, proof in items[at : at + 32]])
            alone = 1000 * (time.process_time() - begin) / min(256, len(items))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    print(json.dumps({"verify_each_cpu_ms_a_proof": round(alone, 2), "phases": results}, indent=1))


def _fresh(statement: Statement) -> Statement:
    """Without what was computed from it."""
    return Statement(statement.srs, statement.snapshot, statement.claim, statement.parts, statement.context)


if __name__ == "__main__":
    main()
