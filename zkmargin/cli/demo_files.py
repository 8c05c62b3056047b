"""The files that the commands' examples are about: what the parties of a netted account keep. Part of the demo.

Every example of every ``--help`` runs in the demo's folder as it is printed, in any order: what it writes begins with
``my-``, and no other example reads that. The keys open with the passphrase in pass.txt, so they protect nothing.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from zkmargin.accounts.holder import migrate_opening, update_opening
from zkmargin.app import snapshots
from zkmargin.app.attesting import Held, attest_commitment, attest_snapshot, revocations_of
from zkmargin.app.batches import BatchItem, BatchList
from zkmargin.app.bundles import Around, make_bundle
from zkmargin.app.verifying import Terms, accept_proof, clock_ms
from zkmargin.crypto import bls
from zkmargin.crypto.keys import PublicKey, SecretKey, SecretSigner, Signer
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import Book, BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, load_document, save_document, write_atomic
from zkmargin.ledger import Ledger
from zkmargin.prover import Opening, prove
from zkmargin.risk.costs import DEFAULT_COSTS
from zkmargin.verifier import Commitment, Statement
from zkmargin.verifier.attest import Attestation, Challenge, Rule, SnapshotRule, Trust

PASSPHRASE = "this protects nothing"  # noqa: S105 - of the demo's keys, which anyone may have
DESK = "clearing desk"
#: The demo's account.
ALIAS = "market maker"
ONE_YEAR = 365 * 86_400
WATCH = f"""\
account = "{ALIAS}"
state = "watched/state"

[[holdings]]
name = "all"
book = "book.json"
opening = "opening.json"
attestations = ["venue.json", "custodian.json"]
fills = "watched/fills"
updates = "watched/updates"

[trust]
file = "trust.json"

[snapshots]
folder = "watched/inbox"
max_age_seconds = {ONE_YEAR}

[[venues]]
name = "{DESK}"
folder = "watched/outbox"

[page]
"""
SAMPLES = ("market_demo.csv", "span_demo.spn", "span_demo.pa2", "crash.toml")


class ExampleFiles:
    """Makes them, beside the demo's market, snapshot, book, commitment and opening.

    Args:
        folder: the demo's.
        market, snapshot, book, lots, opening: as the demo saved them.
        small: a snapshot of the same market with other slots' rows, to migrate to.
    """

    def __init__(
        self,
        folder: Path,
        market: Market,
        snapshot: Snapshot,
        book: Book,
        lots: BookLots,
        opening: Opening,
        small: Snapshot,
    ) -> None:
        self.folder, self.market, self.snapshot, self.book, self.lots = folder, market, snapshot, book, lots
        self.opening, self.small, self.commitment = opening, small, opening.commitment()

    def make(self) -> None:
        """Write all of them. Raises InputError: the folder cannot be written."""
        self._samples()
        self._records()
        self._parties()
        self._proofs()
        self._watched()

    def _save(self, name: str, document: Document) -> None:
        save_document(document, self.folder / name)

    def _samples(self) -> None:
        """Files of the formats that ``market import`` reads, and a scenario."""
        for name in SAMPLES:
            data = resources.files("zkmargin.cli").joinpath("samples", name).read_bytes()
            write_atomic(self.folder / name, data)
        arrays = import_arrays(self.folder / "span_demo.spn", "span-xml", lots={"ALPHA": "75", "BETA": "1"})
        self._save("arrays.json", arrays)
        self._save("span-snapshot.json", snapshots.build(arrays, load_policy("span")))
        self._save("universe.json", Universe.create(self.market, "demo"))
        fewer = self.market.model_copy(update={"instruments": self.market.instruments[:-1]})
        first = Universe.create(fewer, "demo")
        self._save("universe-1.json", first)
        self._save("universe-2.json", first.updated(self.market))
        self._save("costs.json", DEFAULT_COSTS)
        write_atomic(self.folder / "setup.bin", embedded().encoding)

    def _records(self) -> None:
        """What a venue and a custodian keep, and what changes."""
        self._save("record.json", self.book)
        self._save("custody.json", Book(positions={}, collateral=self.book.collateral))
        fills = Fills(positions={"BTC-PERPETUAL": "0.5"}, collateral={"USDC": "-250"})
        self._save("fills.json", fills)
        _, update = update_opening(self.snapshot, self.opening, fills_to_lots(fills, self.snapshot))
        self._save("update.json", update)
        _, _, migration = migrate_opening(self.snapshot, self.small, self.lots, self.opening)
        self._save("migration.json", migration)

    def _parties(self) -> None:
        """Keys, a trust file, and what was signed."""
        write_atomic(self.folder / "pass.txt", f"{PASSPHRASE}\n".encode(), secret=True)
        keys: dict[str, Signer] = {}
        for name in ("oracle", "venue", "custodian"):
            secret = bls.generate_secret()
            key = SecretKey.encrypt(secret, name, "bls", PASSPHRASE)
            keys[name] = SecretSigner(key.public, secret)
            self._save(f"{name}.key.json", key)
            self._save(f"{name}.public.json", key.public)
        secret = bls.generate_secret()
        public = PublicKey(
            name="second oracle",
            scheme="bls",
            public_key=bls.public_key(secret).hex(),
            possession=bls.prove_possession(secret).hex(),
        )
        keys["second oracle"] = SecretSigner(public, secret)
        rule = SnapshotRule(
            name="main",
            signers=("oracle", "second oracle"),
            threshold=1,
            max_age_seconds=ONE_YEAR,
            policies=(self.snapshot.policy.digest().hex(),),
        )
        trust = Trust(
            verifier=DESK,
            beneficiary=DESK,
            keys=tuple(signer.public for signer in keys.values()),
            snapshots=(rule,),
            positions=(Rule(name="venue", signers=("venue",), threshold=1),),
            collateral=(Rule(name="custodian", signers=("custodian",), threshold=1),),
        )
        self._save("trust.json", trust)
        policy = load_policy("default")
        of_snapshot = attest_snapshot(self.snapshot, self.market, policy, series="main", sequence=7)
        self._save("oracle.json", of_snapshot.signed(keys["oracle"]))
        self._save("second-oracle.json", of_snapshot.signed(keys["second oracle"]))
        self._save("venue.json", self._held("positions", 3).signed(keys["venue"]))
        self._save("custodian.json", self._held("collateral", 3).signed(keys["custodian"]))
        nothing = revocations_of(
            "exchange group", 3, now_ms=clock_ms(), keys=[], attestations=[], reason="", before=None
        )
        self._save("revocations.json", nothing.signed(keys["venue"]))
        self._save("venue-4.json", self._held("positions", 4).signed(keys["venue"]))

    def _held(self, role: str, sequence: int) -> Attestation:
        held = Held(
            role="positions" if role == "positions" else "collateral",
            issuer="venue" if role == "positions" else "custodian",
            part="main",
            sequence=sequence,
            issued_ms=clock_ms(),
            valid_seconds=ONE_YEAR,
            beneficiary=None if role == "positions" else DESK,
        )
        return attest_commitment(self.commitment, self.snapshot, held, account=ALIAS, own=(self.lots, self.opening))

    def _proofs(self) -> None:
        """Proofs without a context, the answer to a challenge, a list of them, and a ledger."""
        challenge = Challenge.new(DESK, lifetime_seconds=ONE_YEAR, now_ms=clock_ms())
        self._save("challenge.json", challenge)
        plain = self._statement(self.commitment)
        for name in ("one.bin", "two.bin"):
            write_atomic(self.folder / name, prove(plain, self.lots, [self.opening]))
        answer = self._statement(self.commitment, challenge.context)
        proof = prove(answer, self.lots, [self.opening])
        write_atomic(self.folder / "answer.bin", proof)
        signed = [load_document(Attestation, self.folder / f"{name}.json") for name in ("oracle", "venue", "custodian")]
        around = Around(
            source=self.market,
            attestations=tuple(signed),
            trust=load_document(Trust, self.folder / "trust.json"),
            challenge=challenge,
        )
        bundle = make_bundle(answer, [self.commitment], proof, around)
        write_atomic(self.folder / "bundle.json", bundle.to_bytes())
        items = tuple(
            BatchItem(proof=name, snapshot="snapshot.json", commitments=("commitment.json",))
            for name in ("one.bin", "two.bin")
        )
        self._save("list.json", BatchList(proofs=items))
        (self.folder / "ledger.db").unlink(missing_ok=True)
        with Ledger(self.folder / "ledger.db") as ledger:
            proof = (self.folder / "one.bin").read_bytes()
            accept_proof(plain, proof, Terms(now_ms=clock_ms()), ledger=ledger)

    def _watched(self) -> None:
        """What `zkmargin watch` is told, and the folders that it works with."""
        for name in ("inbox", "outbox", "fills", "updates"):
            (self.folder / "watched" / name).mkdir(parents=True, exist_ok=True)
        for name in ("snapshot.json", "oracle.json"):
            write_atomic(self.folder / "watched" / "inbox" / name, (self.folder / name).read_bytes())
        write_atomic(self.folder / "watch.toml", WATCH.encode())

    def _statement(self, commitment: Commitment, context: bytes = b"") -> Statement:
        return Statement.of(self.snapshot, [commitment], Claim(), context=context)
