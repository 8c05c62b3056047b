"""Those who sign all day, as processes of their own: an oracle, and the keepers of what accounts hold.

    python -m support.offices oracle FOLDER
    python -m support.offices keeper FOLDER

A task is a document in ``tasks``, numbered from 1; an office does one after the other. It may be killed at any moment:
what it knows is in its folder, and started again it does the task that it was at once more, to the same end. What it
signs follows from the task and its own record, and its ledger never signs something else under a number.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from support.typed import JsonObject
from support.watching import until
from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.updates import Update, apply_update
from zkmargin.app.attesting import Held, attest_commitment, attest_snapshot
from zkmargin.client.errors import Unavailable
from zkmargin.client.venue import VenueClient
from zkmargin.crypto.keys import SecretKey, SecretSigner
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import load_document, parse_json, save_document
from zkmargin.formats.files import write_atomic
from zkmargin.ledger import Ledger
from zkmargin.verifier.attest import Attestation

ROWS = 512
POLICY = load_policy("default")
PAUSE_SECONDS = 0.01

T = TypeVar("T")


@dataclass
class Office:
    """An office as whoever gives it tasks sees it: its folder, and its process."""

    kind: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    tasks: int = 0

    @classmethod
    def make(cls, kind: str, folder: Path, facts: JsonObject, keys: list[tuple[SecretKey, str]]) -> Office:
        """Its files: what it is, and its keys, the first of which signs."""
        for name in ("tasks", "done"):
            (folder / name).mkdir(parents=True)
        for key, passphrase in keys:
            save_document(key, folder / f"{key.public.name}.key.json")
            write_atomic(folder / "passphrase", passphrase.encode(), secret=True)
        (folder / "office.json").write_text(json.dumps(facts))
        office = cls(kind, folder)
        office.sign_with(keys[0][0].public.name)
        return office

    def sign_with(self, key: str) -> None:
        """From the next task on."""
        write_atomic(self.folder / "signing", key.encode())

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "support.offices", self.kind, str(self.folder)]
        with (self.folder / "errors").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=log)

    def kill(self) -> None:
        """As a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def give(self, task: bytes) -> int:
        """The next task; its number."""
        self.tasks += 1
        write_atomic(self.folder / "tasks" / f"{self.tasks:06d}.json", task)
        return self.tasks

    def done(self, number: int) -> Attestation:
        """What came of a task, when it is done."""
        path = self.folder / "done" / f"{number:06d}.json"

        def finished() -> bool:
            assert self.process is None or self.process.poll() is None, (self.folder / "errors").read_text()[-3000:]
            return path.exists()

        until(finished, 120)
        return load_document(Attestation, path)


class _Desk:
    """In the process: what every office does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: JsonObject = parse_json((folder / "office.json").read_bytes())
        token = Path(self.facts["token_file"]).read_text().strip()
        self.client = VenueClient(self.facts["url"], token=token)
        self.ledger = Ledger(folder / "signed.db")
        self._keys: dict[str, SecretSigner] = {}

    def work(self) -> None:
        """Tasks, for ever."""
        number = 1 + len(list((self.folder / "done").glob("*.json")))
        while True:
            path = self.folder / "tasks" / f"{number:06d}.json"
            if not path.exists():
                time.sleep(PAUSE_SECONDS)
                continue
            save_document(self.do(number, path), self.folder / "done" / path.name)
            number += 1

    def do(self, number: int, task: Path) -> Attestation:
        """One task."""
        raise NotImplementedError

    def signed(self, attestation: Attestation) -> Attestation:
        """Signed with the key of today, and kept before anybody sees it."""
        name = (self.folder / "signing").read_text()
        if name not in self._keys:
            key = load_document(SecretKey, self.folder / f"{name}.key.json")
            self._keys[name] = key.unlock((self.folder / "passphrase").read_text())
        made = attestation.signed(self._keys[name])
        self.ledger.sign(made)
        return made

    def latest(self) -> Snapshot:
        """The newest snapshot of the venue."""
        found = self.patiently(lambda: self.client.latest_snapshot("main"))
        assert found is not None
        return found.snapshot

    def patiently(self, call: Callable[[], T]) -> T:
        """What a call gives, once the service answers."""
        while True:
            try:
                return call()
            except Unavailable:
                time.sleep(10 * PAUSE_SECONDS)


class _Oracle(_Desk):
    """Tasks are markets: their snapshots are signed, and published."""

    def do(self, number: int, task: Path) -> Attestation:
        """A market's snapshot, in the slots of the newest edition of the universe."""
        market, universe = load_document(Market, task), load_document(Universe, self.folder / "universe.json")
        if {one.id for one in market.instruments} - {slot.id for slot in universe.instruments}:
            universe = universe.updated(market)
            save_document(universe, self.folder / "universe.json")
        snapshot = build_snapshot(market, POLICY, universe=universe, domain_size=ROWS)
        payload = attest_snapshot(snapshot, market, POLICY, series="main", sequence=number, universe=universe)
        signed = self.signed(payload)
        self.patiently(lambda: self.client.publish(snapshot, signed))
        return signed


class _Keeper(_Desk):
    """Tasks are what happens to accounts: what is held then is signed, from the keeper's own record."""

    def do(self, number: int, task: Path) -> Attestation:
        """An account opened, its fills, or the same signed anew."""
        given: JsonObject = parse_json(task.read_bytes())
        account, own, snapshot = given["account"], None, self.latest()
        record = self.folder / f"record-{account.replace(' ', '-')}.json"
        if given["kind"] == "opened":
            opening = load_document(Opening, given["opening"])
            lots, commitment = to_lots(load_document(Book, given["book"]), snapshot), opening.commitment()
            own = (lots, opening)
        else:
            kept: JsonObject = parse_json(record.read_bytes())
            commitment = Commitment.model_validate(kept["commitment"])
            lots = BookLots(*(tuple(kept[name]) for name in ("positions", "collateral")))
            if given["kind"] == "filled" and kept["task"] < number:
                commitment, lots = self._filled(snapshot, commitment, lots, given)
        kept = {"task": number, "commitment": commitment.to_json()}
        kept |= {"positions": lots.positions, "collateral": lots.collateral}
        write_atomic(record, json.dumps(kept).encode(), secret=True)
        held = Held(
            role=self.facts["role"],
            issuer=self.facts["issuer"],
            part="main",
            sequence=given["sequence"],
            issued_ms=given["issued_ms"],
            valid_seconds=86_400,
            beneficiary=self.facts["beneficiary"],
        )
        signed = self.signed(attest_commitment(commitment, snapshot, held, account=account, own=own))
        if given["kind"] != "filled":  # of fills the maker tells the venue
            self.patiently(lambda: self.client.attest(signed))
        save_document(signed, Path(given["inbox"]) / f"{held.role}-{held.sequence}.json")
        return signed

    def _filled(
        self, snapshot: Snapshot, commitment: Commitment, lots: BookLots, given: JsonObject
    ) -> tuple[Commitment, BookLots]:
        """The keeper's side of an update: from its own record and the holder's document."""
        more = len(snapshot.instruments) - len(lots.positions)  # a listing may have come since
        lots = BookLots((*lots.positions, *(0,) * more), lots.collateral)
        trades = fills_to_lots(load_document(Fills, given["fills"]), snapshot)
        return apply_update(snapshot, commitment, lots, trades, load_document(Update, given["update"]))


def main(kind: str, folder: str) -> None:
    """Work until somebody ends it."""
    {"oracle": _Oracle, "keeper": _Keeper}[kind](Path(folder)).work()


if __name__ == "__main__":
    main(*sys.argv[1:])
