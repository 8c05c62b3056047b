"""From a snapshot's arrival to an accepted proof: the warm agent beside the same cycle by commands, in turns.

Both ends are real: ``zkmargin watch`` and ``zkmargin serve`` as processes of their own, over HTTP, with trust, SQLite
and signed receipts. The clock starts when the snapshot is there for the maker (its file has its name, or the service
has answered the oracle) and stops when the agent says ``accepted``: the receipt is on the service's disk then. The
commands are ``challenge new``, ``prove`` and ``verify`` with trust and a ledger, one after the other.

``python -m benchmarks.watch [--quick]`` measures this part alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np

from benchmarks.attested import attested_parts, new_signer
from benchmarks.measure import Column, Section
from benchmarks.synthetic import MAX_RISK, SEED, Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.app.verifying import clock_ms
from zkmargin.client import Change, ChangePayload, IssueToken, RegisterAccount, Terms
from zkmargin.client.tokens import new_token, token_digest
from zkmargin.client.venue import VenueClient
from zkmargin.crypto.keys import SecretKey
from zkmargin.engine.book import to_book
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.decimals import format_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import IntArray, save_document
from zkmargin.verifier.attest import Attestation, SnapshotPayload, Trust

COLUMNS = (
    Column("way"),
    Column("cycles"),
    Column("median", "s"),
    Column("slowest", "s"),
    Column("agent's CPU", "s"),
    Column("by commands", "s"),
    Column("their CPU", "s"),
    Column("agent / commands", "x"),
    Column("CPU, agent / commands", "x"),
)
DESK, ACCOUNT, PASSPHRASE = "clearing desk", "maker", "guards nothing here"
#: Between two snapshots: the agent has got ready for the next one by then.
PAUSE_SECONDS = 0.6


def table(*, quick: bool) -> Section:
    """Agent and commands on 1,023 x 64; small and few where it only has to work."""
    case, cycles, by_commands = (Case(127, 8, n=256), 3, 1) if quick else (Case(1023, 64), 40, 5)
    section = Section(f"From a snapshot to an accepted proof, {case}", COLUMNS)
    for way in ("folder", "service"):
        with tempfile.TemporaryDirectory() as folder, _World(Path(folder), case, way) as world:
            world.cycle()  # the first one warms both ends
            agent, commands, processor = [], [], 0.0
            before = world.agent_seconds()
            for number in range(cycles):
                agent.append(world.cycle())
                if number % max(1, cycles // by_commands) == 0:
                    used = _children_seconds()
                    commands.append(world.by_commands())
                    processor += _children_seconds() - used
            own = (world.agent_seconds() - before) / cycles
        theirs = processor / len(commands)
        wall = (median(agent), median(commands))
        section.rows.append(
            [f"by {way}", cycles, wall[0], max(agent), own, wall[1], theirs, wall[0] / wall[1], own / theirs]
        )
    section.notes = [
        "Agent and service are two processes; the load, the oracle and the agent share this machine.",
        "By commands: challenge new, prove, verify with trust and ledger, files between them.",
        "CPU: of the agent for each snapshot, with what it does between them; of the three commands.",
    ]
    return section


def _children_seconds() -> float:
    """Processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _World:
    """An oracle, a venue's service, a maker's agent, and the files of who works by commands."""

    def __init__(self, folder: Path, case: Case, way: str) -> None:
        self._folder, self._way = folder, way
        self._keys = {name: new_signer(name) for name in ("oracle", "venue", "custodian", "desk", "operator")}
        self._first = snapshot_of(case)
        self._draw = np.random.default_rng(SEED + 2)
        self._sequence, self._number, self._ledgers = 0, 0, 0
        self._accepted: dict[str, float] = {}
        self._changed = threading.Condition()
        for name in ("inbox", "venue"):
            (folder / name).mkdir()
        lots = book_of(case)
        opening = commit_book(self._first, lots, alias=ACCOUNT)
        save_document(to_book(lots, self._first), folder / "book.json")
        save_document(opening, folder / "opening.json")
        save_document(opening.commitment(), folder / "commitment.json")
        for place in ("trust.json", "venue/trust.json"):
            save_document(self._trust_file(), folder / place)
        self._parts = attested_parts(
            opening.commitment(),
            self._keys.__getitem__,
            beneficiary=DESK,
            issued_ms=clock_ms() - 1000,
            expires_ms=clock_ms() + 86_400_000,
        )
        for part, attestation in zip(opening.parts, self._parts, strict=True):
            save_document(attestation, folder / f"{part.role}.att.json")

    def _trust_file(self) -> Trust:
        rule = {"threshold": 1}
        policy = self._first.policy.digest().hex()
        series = {"name": "main", "signers": ["oracle"], "max_age_seconds": 86_400, "policies": [policy]}
        return Trust.model_validate(
            {
                "format": Trust.FORMAT,
                "verifier": DESK,
                "beneficiary": DESK,
                "keys": [key.public.to_json() for name, key in self._keys.items() if name != "operator"],
                "snapshots": [rule | series],
                "positions": [rule | {"name": "venue", "signers": ["venue"]}],
                "collateral": [rule | {"name": "custodian", "signers": ["custodian"]}],
                "receipts": [rule | {"name": DESK, "signers": ["desk"]}],
            }
        )

    def __enter__(self) -> Self:
        self._service = self._start_service()
        self._settle_in()
        self._agent = self._start_agent()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._agent, self._service):
            process.terminate()
            process.wait()
        self._oracle.close()

    def agent_seconds(self) -> float:
        """Processor seconds of the agent's process so far (Linux)."""
        fields = Path(f"/proc/{self._agent.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _start_service(self) -> subprocess.Popen[str]:
        folder = self._folder / "venue"
        key = SecretKey.encrypt(self._keys["desk"]._secret, "desk", "ed25519", PASSPHRASE)  # noqa: SLF001
        save_document(key, folder / "desk.key.json")
        save_document(self._keys["operator"].public, folder / "operator.json")
        (folder / "pass.txt").write_text(PASSPHRASE + "\n")
        (folder / "pass.txt").chmod(0o600)
        (folder / "serve.toml").write_text(
            'database = "venue.db"\ntrust = "trust.json"\nkey = "desk.key.json"\npassphrase_file = "pass.txt"\n'
            'operators = ["operator.json"]\nport = 0\n'
        )
        process = _start(["serve", "start", str(folder / "serve.toml")])
        if process.stdout is None:
            raise RuntimeError("no output")
        self._url = process.stdout.readline().removeprefix("listening on ").strip()
        return process

    def _order(self, action: Any) -> None:
        self._number += 1
        payload = ChangePayload(service=DESK, sequence=self._number, time=format_time(clock_ms()), action=action)
        with VenueClient(self._url) as client:
            client.change(Change(payload=payload).signed(self._keys["operator"]))

    def _token(self, name: str, role: str, account: str | None) -> str:
        token = new_token()
        order = {"name": name, "role": role, "account": account, "digest": token_digest(token)}
        self._order(IssueToken.model_validate(order))
        return token

    def _settle_in(self) -> None:
        self._oracle = VenueClient(self._url, token=self._token("oracle", "publisher", None))
        self._order(RegisterAccount(account=ACCOUNT, terms=Terms(period_seconds=3600, grace_seconds=60)))
        self._publish(self._next())
        for attestation in self._parts:
            self._oracle.attest(attestation)
        token = self._folder / "token"
        token.write_text(self._token(ACCOUNT, "account", ACCOUNT) + "\n")
        token.chmod(0o600)

    def _start_agent(self) -> subprocess.Popen[str]:
        source = 'folder = "inbox"' if self._way == "folder" else f'venue = "{DESK}"'
        (self._folder / "watch.toml").write_text(
            f'account = "{ACCOUNT}"\nstate = "state"\n[[holdings]]\nname = "all"\nbook = "book.json"\n'
            'opening = "opening.json"\nattestations = ["positions.att.json", "collateral.att.json"]\n'
            f'[trust]\nfile = "trust.json"\n[snapshots]\n{source}\n[[venues]]\nname = "{DESK}"\nurl = "{self._url}"\n'
            'token_file = "token"\n'
        )
        process = _start(["watch", str(self._folder / "watch.toml"), "--json"])
        ready = threading.Event()

        def listen() -> None:
            for line in process.stdout or ():
                clock, event = time.perf_counter(), json.loads(line)
                if event["event"] == "started":
                    ready.set()
                if event["event"] == "accepted":
                    with self._changed:
                        self._accepted[event["snapshot"]] = clock
                        self._changed.notify_all()

        threading.Thread(target=listen, daemon=True).start()
        ready.wait(120)
        return process

    # --- cycles -----------------------------------------------------------------------------------------------------

    def _next(self) -> Snapshot:
        """A snapshot of now with other risk arrays."""
        worst, *others = self._first.components
        if not isinstance(worst, PublishedWorstScenario):
            raise TypeError("the synthetic snapshot begins with its scenarios")
        risk = self._draw.integers(-MAX_RISK, MAX_RISK, size=worst.risk.values.shape, dtype=np.int64)
        text = format_time(clock_ms())
        changed = (worst.replaced(risk=IntArray(risk)), *others)
        return self._first.replaced(time=text, name=f"{self._first.policy.name} {text}", components=changed)

    def _publish(self, snapshot: Snapshot) -> Attestation:
        self._sequence += 1
        payload = SnapshotPayload.of(snapshot, series="main", sequence=self._sequence)
        attestation = Attestation(payload=payload).signed(self._keys["oracle"])
        self._oracle.publish(snapshot, attestation)
        return attestation

    def cycle(self) -> float:
        """One snapshot by the agent: seconds."""
        time.sleep(PAUSE_SECONDS)
        snapshot = self._next()
        attestation = self._publish(snapshot)
        begin = time.perf_counter()
        if self._way == "folder":
            inbox = self._folder / "inbox"
            save_document(attestation, inbox / "attestation.json")
            save_document(snapshot, inbox / ".snapshot.json")
            begin = time.perf_counter()
            (inbox / ".snapshot.json").replace(inbox / f"{self._sequence:06d}.json")
        digest = snapshot.digest().hex()
        with self._changed:
            if not self._changed.wait_for(lambda: digest in self._accepted, timeout=60):
                raise RuntimeError("no proof was accepted within a minute")
            return self._accepted[digest] - begin

    def by_commands(self) -> float:
        """The same by commands: seconds."""
        time.sleep(PAUSE_SECONDS)
        snapshot = self._next()
        self._ledgers += 1
        attestations = ("snapshot.att.json", "positions.att.json", "collateral.att.json")
        signed = [word for path in attestations for word in ("--attestation", path)]
        about = ["--snapshot", "snapshot.json"]
        answer = ["--challenge", "challenge.json"]
        ledger, kept = ["--ledger", "ledger.db"], ["--commitment", "commitment.json"]
        with _inside(self._folder):
            save_document(snapshot, Path("snapshot.json"))
            payload = SnapshotPayload.of(snapshot, series="main", sequence=self._ledgers)
            save_document(Attestation(payload=payload).signed(self._keys["oracle"]), Path("snapshot.att.json"))
            begin = time.perf_counter()
            for words in (
                ["challenge", "new", "--audience", DESK, *ledger, "-o", "challenge.json", "--force"],
                ["prove", *about, "--book", "book.json", "--opening", "opening.json", *answer, "-o", "proof.bin"],
                ["verify", *about, *kept, "--trust", "trust.json", *signed, *answer, *ledger, "proof.bin"],
            ):
                subprocess.run([sys.executable, "-m", "zkmargin", *words], check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - begin


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zkmargin", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> int:
    """This part alone."""
    from benchmarks.__main__ import text_of  # noqa: PLC0415

    print(text_of(table(quick="--quick" in sys.argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
