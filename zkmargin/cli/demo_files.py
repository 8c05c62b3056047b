"""The files that the commands' examples are about: what the parties of a netted account keep. Part of the demo.

Every example of every ``--help`` runs in the demo's folder as it is printed, in any order: what it writes begins with
``my-``, and no other example reads that. The keys open with the passphrase in pass.txt, so they protect nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from zkmargin.accounts.holder import migrate_opening, update_opening
from zkmargin.app import snapshots
from zkmargin.app.attesting import Held, attest_commitment, attest_snapshot, revocations_of
from zkmargin.app.batches import BatchItem, BatchList
from zkmargin.app.bundles import Around, make_bundle
from zkmargin.app.calibrating import calibrated
from zkmargin.app.tables import build_table
from zkmargin.app.verifying import Terms, accept_proof, clock_ms
from zkmargin.crypto import bls
from zkmargin.crypto.keys import PublicKey, SecretKey, SecretSigner, Signer
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import Book, BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.fills import Fills, fills_to_lots
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, load_document, save_document, write_atomic
from zkmargin.ledger import Ledger
from zkmargin.prover import Opening, prove
from zkmargin.prover.breach import prove_breach
from zkmargin.prover.prove_chain import prove_chain
from zkmargin.risk.costs import DEFAULT_COSTS
from zkmargin.verifier import Commitment, Statement
from zkmargin.verifier.attest import Attestation, Challenge, Rule, SnapshotRule, Trust
from zkmargin.verifier.breach import BreachStatement
from zkmargin.verifier.chain import ChainStatement

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
SAMPLES = (
    "market_demo.csv",
    "span_demo.spn",
    "span_demo.pa2",
    "crash.toml",
    "expired.json",
    "closes.csv",
    "rule.json",
    "plain-rule.json",
)
#: The last day but three of closes.csv: the rest is for the policy after it.
CALIBRATED = "2025-08-21"
CONTEXT = "the demo's verifier, request 1"


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
        self.taken_ms = parse_time(snapshot.time)

    def make(self) -> None:
        """Write all of them. Raises InputError: the folder cannot be written."""
        self._samples()
        self._records()
        self._parties()
        self._proofs()
        self._other_protocols()
        self._calibrated()
        self._answers_of_a_venue()
        self._watched()

    def _save(self, name: str, document: Document) -> None:
        save_document(document, self.folder / name)

    def _samples(self) -> None:
        """Files of the formats that ``market import`` reads, a scenario, an expired market, invented daily closes."""
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
        keys = self._keys()
        self._save("trust.json", self._trust([signer.public for signer in keys.values()]))
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

    def _keys(self) -> dict[str, Signer]:
        """Of oracle, venue and custodian, in files; of a second oracle, whose key is nowhere."""
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
        return keys

    def _trust(self, keys: Sequence[PublicKey]) -> Trust:
        rule = SnapshotRule(
            name="main",
            signers=("oracle", "second oracle"),
            threshold=1,
            max_age_seconds=ONE_YEAR,
            policies=(self.snapshot.policy.digest().hex(),),
        )
        return Trust(
            verifier=DESK,
            beneficiary=DESK,
            keys=tuple(keys),
            snapshots=(rule,),
            positions=(Rule(name="venue", signers=("venue",), threshold=1),),
            collateral=(Rule(name="custodian", signers=("custodian",), threshold=1),),
        )

    def _held(self, role: str, sequence: int) -> Attestation:
        held = Held(
            role="positions" if role == "positions" else "collateral",
            issuer="venue" if role == "positions" else "custodian",
            part="main",
            sequence=sequence,
            issued_ms=self.taken_ms,  # what is proved of the snapshot must be in force at its time
            valid_seconds=ONE_YEAR + (clock_ms() - self.taken_ms) // 1000,
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
        vouched = items[0].model_copy(update={"attestations": ("oracle.json", "venue.json", "custodian.json")})
        asked = vouched.model_copy(update={"proof": "proof.bin", "context": CONTEXT})
        self._save("attested-list.json", BatchList(proofs=(vouched, asked)))
        proof = (self.folder / "one.bin").read_bytes()
        for name in ("ledger.db", "acceptances.db"):  # examples write the first
            (self.folder / name).unlink(missing_ok=True)
            with Ledger(self.folder / name) as ledger:
                accept_proof(plain, proof, Terms(now_ms=clock_ms()), ledger=ledger)

    def _other_protocols(self) -> None:
        """A table and a proof for contracts; and that equity is below 1.5 times the requirement, as a breach."""
        table = build_table(self.snapshot, "initial", series=bytes(32), sequence=1)
        self._save("table.json", table)
        on_chain = ChainStatement.of(self.snapshot, [self.commitment], Claim(), table)
        write_atomic(self.folder / "chain.bin", prove_chain(on_chain, self.lots, [self.opening]))
        below = BreachStatement.of(self.snapshot, [self.commitment], Claim("1.5"), context=b"auction 7")
        write_atomic(self.folder / "breach.bin", prove_breach(below, self.lots, [self.opening]))

    def _calibrated(self) -> None:
        """A policy that follows from a rule and closes, and the one of a later day."""
        closes, rule = (str(self.folder / name) for name in ("closes.csv", "rule.json"))
        before = None
        for name, as_of in (("calibrated", CALIBRATED), ("recalibrated", None)):
            policy, derivation = calibrated(closes, rule, as_of=as_of, before_path=before)
            before = str(self.folder / f"{name}.derivation.json")
            self._save(f"{name}.json", policy)
            self._save(f"{name}.derivation.json", derivation)

    def _answers_of_a_venue(self) -> None:
        """Deribit's answers about an account: a perpetual in dollars, and the options of the book in coins."""
        held = {name: float(q) for name, q in self.book.positions.items() if name.startswith("BTC-") and "-P" in name}
        sizes = {**dict(list(held.items())[:3]), "BTC-PERPETUAL": -1230}
        positions = [
            {"instrument_name": name, "size": size, "direction": "buy" if size > 0 else "sell", "kind": "any"}
            for name, size in sizes.items()
        ]
        balances = [
            {"currency": "BTC", "equity": 3.1, "options_value": -0.1, "balance": 3.05},
            {"currency": "USDC", "equity": 250_000, "options_value": 0, "balance": 250_000},
        ]
        trade = {
            "trade_id": "1",
            "instrument_name": "BTC-PERPETUAL",
            "direction": "buy",
            "amount": 2500,
            "price": 92_000.5,
            "fee": 0.0000136,
            "fee_currency": "BTC",
            "timestamp": self.taken_ms,
        }
        answers = {
            "positions.json": positions,
            "summaries.json": {"summaries": balances},
            "trades.json": {"trades": [trade], "has_more": False},
        }
        for name, result in answers.items():
            answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}, indent=1)
            write_atomic(self.folder / name, f"{answer}\n".encode(), secret=True)

    def _watched(self) -> None:
        """What `zkmargin watch` is told, and the folders that it works with."""
        for name in ("inbox", "outbox", "fills", "updates"):
            (self.folder / "watched" / name).mkdir(parents=True, exist_ok=True)
        for name in ("snapshot.json", "oracle.json"):
            write_atomic(self.folder / "watched" / "inbox" / name, (self.folder / name).read_bytes())
        write_atomic(self.folder / "watch.toml", WATCH.encode())

    def _statement(self, commitment: Commitment, context: bytes = b"") -> Statement:
        return Statement.of(self.snapshot, [commitment], Claim(), context=context)
