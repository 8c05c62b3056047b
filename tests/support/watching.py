"""A small world around a market maker's agent: an oracle, a venue, a custodian, a desk, and the files between them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.attested import new_signer
from support.typed import JsonObject
from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.accounts.updates import Update, apply_update
from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import read_config
from zkmargin.app.attesting import Held, attest_commitment
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, load_document, save_document
from zkmargin.verifier.attest import Attestation, Rule, SnapshotPayload, SnapshotRule, Trust

DESK, ACCOUNT = "desk", "maker 7"
POLICY = load_policy("default")
ROWS = 512


def until(true: Callable[[], object], seconds: float = 60.0, *, pause: float = 0.01) -> None:
    """Wait until something is so; a busy machine gets its time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(pause)


class World:
    """Everybody's keys and records.

    Args:
        home: a folder; the agent's is below it.
        collateral: USDC that the maker has; None leaves the example's.
    """

    def __init__(self, home: Path, *, collateral: str | None = None, now_ms: int | None = None) -> None:
        self.home = home
        self.now_ms = now_ms or time.time_ns() // 1_000_000
        self.keys = {name: new_signer(name) for name in ("oracle", "venue", "custodian", DESK)}
        for name in ("inbox", "outbox", "fills", "updates"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self.market = example_market(format_time(self.now_ms))
        self.snapshot = self.build(self.market)
        book = Book.model_validate(example_book(self.market))
        if collateral is not None:
            book = book.replaced(collateral={**book.collateral, "USDC": collateral})
        self.book = book
        self.opening = commit_book(self.snapshot, book, alias=ACCOUNT)
        self.record: BookLots = to_lots(book, self.snapshot)
        self.commitment: Commitment = self.opening.commitment()
        self.sequence = 0
        self.save("book.json", book)
        self.save("opening.json", self.opening)
        self.save("trust.json", self.trust())
        for attestation in self.attest():
            self.save(f"{attestation.payload.role}.att.json", attestation)  # type: ignore[union-attr]

    # --- documents --------------------------------------------------------------------------------------------------

    def save(self, name: str, document: Document) -> Path:
        """Write a document below the home: at once, as a rename."""
        save_document(document, self.home / name)
        return self.home / name

    def build(self, market: Market) -> Snapshot:
        """A snapshot under the default policy, over few rows."""
        return build_snapshot(market, POLICY, domain_size=ROWS)

    def trust(self, *, max_age_seconds: int = 86_400) -> Trust:
        """The desk's trust file, which the maker uses too."""
        rule = SnapshotRule(
            name="main",
            signers=("oracle",),
            threshold=1,
            max_age_seconds=max_age_seconds,
            policies=(POLICY.digest().hex(),),
        )
        return Trust(
            verifier=DESK,
            beneficiary=DESK,
            keys=tuple(key.public for key in self.keys.values()),
            snapshots=(rule,),
            positions=(Rule(name="venue", signers=("venue",), threshold=1),),
            collateral=(Rule(name="custodian", signers=("custodian",), threshold=1),),
            receipts=(Rule(name=DESK, signers=(DESK,), threshold=1),),
        )

    def moved(self, step: int, *, factor: str = "1") -> Snapshot:
        """The snapshot ``step`` seconds later, the index of the first underlying times ``factor``."""
        market = self.market.replaced(time=format_time(self.now_ms + 1000 * step))
        if factor != "1":
            first, *others = market.underlyings
            price = f"{float(first.index_price) * float(factor):.2f}"
            market = market.replaced(underlyings=(first.replaced(index_price=price), *others))
        return self.build(market)

    def sign(self, snapshot: Snapshot, sequence: int, who: str = "oracle") -> Attestation:
        """The oracle's signature of a snapshot."""
        payload = SnapshotPayload.of(snapshot, series="main", sequence=sequence)
        return Attestation(payload=payload).signed(self.keys[who])

    def publish(self, snapshot: Snapshot, sequence: int) -> None:
        """A snapshot and its attestation appear in the inbox."""
        self.save(f"inbox/{sequence:06d}.att.json", self.sign(snapshot, sequence))
        self.save(f"inbox/{sequence:06d}.json", snapshot)

    def attest(self, *, valid_seconds: int = 86_400, snapshot: Snapshot | None = None) -> list[Attestation]:
        """Venue and custodian sign what they hold now."""
        self.sequence += 1
        found = []
        for role, issuer in (("positions", "venue"), ("collateral", "custodian")):
            held = Held(
                role="positions" if role == "positions" else "collateral",
                issuer=issuer,
                part="main",
                sequence=self.sequence,
                issued_ms=time.time_ns() // 1_000_000,
                valid_seconds=valid_seconds,
                beneficiary=None if role == "positions" else DESK,
            )
            payload = attest_commitment(self.commitment, snapshot or self.snapshot, held, account=ACCOUNT)
            found.append(payload.signed(self.keys[issuer]))
        return found

    def fill(self, name: str, fills: Fills) -> None:
        """A file of fills appears."""
        self.save(f"fills/{name}", fills)

    def follow(self, number: int, fills: Fills) -> None:
        """The attesting party's side of an update: from its own records and the holder's document."""
        update = load_document(Update, self.home / "updates" / f"update-{number:06d}.json")
        lots = fills_to_lots(fills, self.snapshot)
        applied = apply_update(self.snapshot, self.commitment, self.record, lots, update)
        self.commitment, self.record = applied

    def config(self, *, venue: str | None = None, extra: Sequence[str] = (), trust: str | None = None) -> Path:
        """Write the agent's configuration."""
        lines = [
            f'account = "{ACCOUNT}"',
            'state = "state"',
            "[[holdings]]",
            'name = "all"',
            'book = "book.json"',
            'opening = "opening.json"',
            'attestations = ["positions.att.json", "collateral.att.json"]',
            'fills = "fills"',
            'updates = "updates"',
            "[trust]",
            trust or 'file = "trust.json"',
            "[snapshots]",
            'folder = "inbox"',
            "max_age_seconds = 86400",
            "[[venues]]",
            f'name = "{DESK}"',
            venue or 'folder = "outbox"',
            *extra,
        ]
        path = self.home / "watch.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def proofs(self) -> list[Path]:
        """What the agent wrote into the outbox: the lists, the oldest first."""
        return sorted(
            path for path in (self.home / "outbox").glob("*.json") if not path.name.endswith(".commitment.json")
        )

    def opening_file(self) -> Opening:
        """The opening that the configuration names."""
        return load_document(Opening, self.home / "opening.json")


def free_of(data: bytes, secrets: Sequence[bytes]) -> list[bytes]:
    """Which of some secret values stand in data."""
    return [secret for secret in secrets if secret in data]


def environment() -> dict[str, str]:
    """For a process of the command line."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


BIG = "50000000"


class Lines:
    """A stream that keeps what the agent says."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def write(self, text: str) -> int:
        self.text.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing."""

    def events(self, event: str) -> list[JsonObject]:
        return [line for line in map(json.loads, self.text) if line["event"] == event]


@contextmanager
def running(config: Path) -> Iterator[tuple[Agent, Lines]]:
    """An agent in a thread of this process."""
    lines, stop = Lines(), threading.Event()
    agent = Agent(read_config(str(config)), Log(lines))  # type: ignore[arg-type]
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        yield agent, lines
    finally:
        stop.set()
        thread.join()


def parts(world: World) -> list[Attestation]:
    """Those of the account's parts."""
    return [load_document(Attestation, world.home / f"{role}.att.json") for role in ("positions", "collateral")]


def alarms(agent: Agent) -> dict[tuple[str, str], str]:
    """Kind and subject -> message."""
    return {(alarm.kind, alarm.subject): alarm.message for alarm in agent.alarms.active()}
