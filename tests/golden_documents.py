"""Golden documents of format version 1: one or more of every kind, which every later release must read as they are.

They tell one story: a market and a policy, a holder who commits to a book, three oracles, a venue and a custodian who
attest, a verifier who asks and accepts, fills, and the move to the next market. What is secret in it is derived from
fixed seeds: as public as this file. Loading this module loads no prover. docs/vectors.md says what the files hold.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from support.typed import JsonObject, Passed

from zkmargin.accounts import Commitment
from zkmargin.accounts.openings import Opening
from zkmargin.accounts.slots import ROLES
from zkmargin.accounts.updates import Migration, Update
from zkmargin.app.batches import BatchList
from zkmargin.app.evidence import Evidence
from zkmargin.app.signers import SignerAnswer, SignerRequest
from zkmargin.circuits import build_circuit
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.engine.book import Book, BookLots, to_book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, keccak256
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Challenge,
    CommitmentPayload,
    Receipt,
    Revocations,
    RevocationsPayload,
    SnapshotPayload,
    Trust,
    accept,
)

FOLDER = Path(__file__).parent / "data" / "golden" / "v1" / "documents"
#: Where the second versions are, from there.
SECOND = "../../v2/documents/"
DIGESTS, TEXTS, LEDGER, INDEX = "digests.json", "texts.json", "ledger.sql", "ledger-export.json"
#: Written by hand, not made: one of each component that a policy can have.
RECORDED = "every-component.policy.json"
PASSPHRASE = "golden: of keys that guard nothing"  # noqa: S105

ISSUED, EXPIRES = "2026-01-02T03:00:00Z", "2026-01-02T05:00:00Z"
#: When the proof was accepted.
NOW = parse_time("2026-01-02T03:05:05Z")
DESK, ACCOUNT = "clearing desk", "market maker"
CLAIM, LIMITS = Claim(5, 4), (Limit.parse("headroom >= 1000.5"), Limit.parse("net-exposure BTC <= 40"))
CONTEXT = "to: Börse".encode()

#: kind of document -> its files, by the end of their names
KINDS: dict[str, type[Document]] = {
    "market": Market,
    "policy": Policy,
    "risk-arrays": RiskArrays,
    "snapshot": Snapshot,
    "book": Book,
    "opening": Opening,
    "commitment": Commitment,
    "fills": Fills,
    "update": Update,
    "migration": Migration,
    "public-key": PublicKey,
    "key": SecretKey,
    "attestation": Attestation,
    "trust": Trust,
    "revocations": Revocations,
    "challenge": Challenge,
    "receipt": Receipt,
    "evidence": Evidence,
    "signer-request": SignerRequest,
    "signer-answer": SignerAnswer,
    "batch": BatchList,
}


def kind_of(name: str) -> type[Document] | None:
    """The class of a file ``NAME.KIND.json``; None for what is no document."""
    return KINDS.get(name.split(".")[-2])


def read(name: str) -> Passed:
    """A golden document, parsed."""
    kind = kind_of(name)
    assert kind is not None, name
    return kind.parse((FOLDER / name).read_bytes(), file=name)


# --- making them (only here: the prover and the ledger) -----------------------------------------------------


@contextmanager
def _drawn(seed: str) -> Iterator[None]:
    """The prover's randomness from a seed."""
    from golden import draws

    import zkmargin.accounts.openings
    import zkmargin.prover.prove

    draw = draws(f"documents {seed}")
    with (
        patch.object(zkmargin.accounts.openings, "random_scalar", draw),
        patch.object(sys.modules["zkmargin.prover.prove"], "random_scalar", draw),
    ):
        yield


def _locked(name: str) -> SecretKey:
    """A party's key encrypted with ``PASSPHRASE``, with the least work that the format permits."""
    from golden_story import signer

    import zkmargin.crypto.keys

    def urandom(size: int) -> bytes:
        return hashlib.sha512(f"golden {name} {size}".encode()).digest()[:size]

    own = signer(name)
    with (
        patch.object(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14),
        patch.object(zkmargin.crypto.keys, "os", SimpleNamespace(urandom=urandom)),
    ):
        return SecretKey.encrypt(own._secret, name, own.public.scheme, PASSPHRASE)


def _attestations(snapshot: Snapshot, commitment: Commitment) -> dict[str, Attestation]:
    from golden_story import signer

    of_snapshot = _first(SnapshotPayload.of(snapshot, series="main", sequence=7))
    made = {
        "snapshot": of_snapshot.signed(signer("oracle 1")).signed(signer("oracle 3")),
        "aggregate": of_snapshot.signed(signer("oracle 1")).signed(signer("oracle 2")).aggregated(),
        "unsigned": of_snapshot,
    }
    for part in commitment.parts:
        issuer, beneficiary = ("venue", None) if part.role == "positions" else ("custodian", DESK)
        payload = CommitmentPayload.of(
            part,
            srs=commitment.srs,
            domain_size=commitment.domain_size,
            issuer=issuer,
            part="main",
            sequence=3,
            issued=ISSUED,
            expires=EXPIRES,
            beneficiary=beneficiary,
        )
        made[part.role] = _first(payload).signed(signer(issuer))
    return made


def _first(payload: SnapshotPayload | CommitmentPayload) -> Attestation:
    """An attestation of version 1, which names no policy."""
    value = {name: item for name, item in payload.model_dump(mode="json").items() if name != "policy"}
    return Attestation.model_validate({"format": "zkmargin/attestation/v1", "payload": value})


def _first_receipt(acceptance: Acceptance) -> Receipt:
    """A receipt of version 1."""
    value = acceptance.receipt(software="zkmargin 1").to_json()
    del value["payload"]["revocations"], value["payload"]["snapshot"]["policy"]
    return Receipt.model_validate(value | {"format": "zkmargin/receipt/v1"})


def _second(snapshot: Snapshot, commitment: Commitment, challenge: Challenge, answer: bytes) -> dict[str, Document]:
    """The documents whose version 2 came together, about the same account."""
    from golden_story import second_trust, signer

    trusted, first = second_trust(DESK), _attestations(snapshot, commitment)
    made = Attestation(payload=SnapshotPayload.of(snapshot, series="main", sequence=8))
    for name in ("oracle 1", "oracle 3", "oracle 4"):
        made = made.signed(signer(name))
    of = {role: Attestation(payload=first[role].payload) for role in ROLES}
    attestations = {"snapshot": made, "positions": of["positions"].signed(signer("venue"))}
    attestations["collateral"] = of["collateral"].signed(signer("custodian"))
    stolen, key = signer("stolen").public, {"scheme": "bls", "reason": "stolen"}
    lists = Revocations(
        payload=RevocationsPayload.model_validate(
            {
                "issuer": "group",
                "sequence": 4,
                "time": ISSUED,
                "keys": [key | {"public_key": stolen.public_key}],
                "attestations": [{"payload": first["snapshot"].payload_digest.hex(), "reason": "the market was wrong"}],
            }
        )
    ).signed(signer("security officer"))
    acceptance = accept(
        Statement.of(snapshot, [commitment], CLAIM, context=challenge.context, limits=LIMITS), answer,
        now_ms=NOW, trust=trusted, attestations=list(attestations.values()), revocations=[lists], challenge=challenge,
    )  # fmt: skip
    receipt = acceptance.receipt(software="zkmargin 2").signed(signer(DESK))
    return {
        "answer.evidence.json": Evidence.of(acceptance, receipt),
        "oracle-4.public-key.json": signer("oracle 4").public,
        "oracle-4.key.json": _locked("oracle 4"),
        **{f"{name}.attestation.json": attestation for name, attestation in attestations.items()},
        "golden.trust.json": trusted,
        "group.revocations.json": lists,
        "signed.receipt.json": receipt,
        "oracle-4.signer-request.json": SignerRequest.of(signer("oracle 4").public, made.message),
        "oracle-4.signer-answer.json": SignerAnswer(signature=made.signatures[-1].signature),
    }


def _step_documents(snapshot: Snapshot, lots: BookLots, opening: Opening) -> dict[str, Document]:
    """Fills that close January, and the move to the next market."""
    from golden_story import FILLS, next_market, policy

    from zkmargin.accounts.holder import migrate_opening, update_opening

    fills, later = Fills.model_validate(FILLS), build_snapshot(next_market(), policy(), version=1)
    changes = fills_to_lots(fills, snapshot)
    settled = add_fills(lots, changes, snapshot)
    with _drawn("update"):
        updated, update = update_opening(snapshot, opening, changes)
    with _drawn("migration"):
        migrated, moved, migration = migrate_opening(snapshot, later, settled, updated)
    return {
        "holder.fills.json": fills,
        "holder.update.json": update,
        "updated.book.json": to_book(settled, snapshot),
        "updated.opening.json": updated,
        "updated.commitment.json": updated.commitment(),
        "next.market.json": next_market(),
        "next.snapshot.json": later,
        "holder.migration.json": migration,
        "migrated.book.json": to_book(moved, later),
        "migrated.opening.json": migrated,
        "migrated.commitment.json": migrated.commitment(),
    }


def make_all() -> dict[str, bytes]:
    """Every file of the folder, by name."""
    from golden_story import BOOK, TIME, market, policy, risk_arrays, signer, trust

    from zkmargin.accounts import commit_book
    from zkmargin.prover import prove

    recorded = Policy.parse((FOLDER / RECORDED).read_bytes(), file=RECORDED)
    snapshot, book = build_snapshot(market(), policy(), version=1), Book.model_validate(BOOK)
    lots = to_lots(book, snapshot)
    with _drawn("opening"):
        opening = commit_book(snapshot, lots, alias=ACCOUNT)
    commitment = opening.commitment()
    challenge = Challenge(
        nonce=bytes(range(0xA0, 0xC0)).hex(), audience=DESK, issued=TIME, deadline="2026-01-02T03:06:05.250Z"
    )
    open_challenge = challenge.model_copy(update={"nonce": "0f" * 32})
    attestations, trusted = _attestations(snapshot, commitment), trust(DESK)
    with _drawn("answer"):
        statement = Statement.of(snapshot, [commitment], CLAIM, context=challenge.context, limits=LIMITS)
        answer = prove(statement, lots, [opening], threads=1)
    with _drawn("plain"):
        plain_statement = Statement.of(snapshot, [commitment], Claim(), context=CONTEXT)
        plain = prove(plain_statement, lots, [opening], threads=1)
    given = [attestations[name] for name in ("snapshot", "positions", "collateral")]
    attested = accept(statement, answer, now_ms=NOW, trust=trusted, attestations=given, challenge=challenge)
    unattested = accept(plain_statement, plain, now_ms=NOW + 1)
    receipt = _first_receipt(attested).signed(signer(DESK))
    of = {"snapshot": "golden.snapshot.json", "commitments": ("golden.commitment.json",)}
    listed = {"claim": "1", "context": CONTEXT.decode()}
    documents: dict[str, Document] = {
        "golden.market.json": market(),
        "golden.policy.json": policy(),
        "golden.snapshot.json": snapshot,
        RECORDED: recorded,
        "every-component.snapshot.json": build_snapshot(market(), recorded, version=1),
        "golden.risk-arrays.json": risk_arrays(),
        "holder.book.json": book,
        "holder.opening.json": opening,
        "golden.commitment.json": commitment,
        **_step_documents(snapshot, lots, opening),
        **{f"{name.replace(' ', '-')}.public-key.json": signer(name).public for name in ("oracle 1", "oracle 3")},
        **{f"{name.replace(' ', '-')}.key.json": _locked(name) for name in ("oracle 1", "oracle 3")},
        **{f"{name}.attestation.json": attestation for name, attestation in attestations.items()},
        "golden.trust.json": trusted,
        "answered.challenge.json": challenge,
        "open.challenge.json": open_challenge,
        "signed.receipt.json": receipt,
        "plain.receipt.json": _first_receipt(unattested),
        "golden.batch.json": BatchList.model_validate({"proofs": [{"proof": "plain.proof", **of, **listed}]}),
    }
    files = {name: document.to_bytes() for name, document in documents.items()}
    files |= {"answer.proof": answer, "plain.proof": plain, TEXTS: _json(texts())}
    # What the first release wrote; nobody writes it any more.
    files |= {name: (FOLDER / name).read_bytes() for name in (LEDGER, INDEX)}
    files[DIGESTS] = _json(digests(documents, files))
    second = _second(snapshot, commitment, challenge, answer)
    files |= {SECOND + name: document.to_bytes() for name, document in second.items()}
    files[SECOND + DIGESTS] = _json(digests(second, {}))
    files[SECOND + LEDGER] = _ledger_file(attested, receipt, unattested, challenge, open_challenge)
    return files


def digests(documents: dict[str, Document], files: dict[str, bytes]) -> JsonObject:
    """What every program must find: of each document its digest, and what else is derived from it."""
    found: JsonObject = {}
    for name, document in sorted(documents.items()):
        entry: JsonObject = {"format": document.format, "digest": document.digest().hex()}
        if isinstance(document, Attestation):
            entry["payload"] = document.payload_digest.hex()
        if isinstance(document, Challenge):
            entry["context"] = document.context.decode("ascii")
        if isinstance(document, PublicKey):
            entry["fingerprint"] = document.fingerprint
        if isinstance(document, Receipt):
            entry["statement"] = document.payload.statement
        if isinstance(document, Snapshot):
            claims = [Claim(requirement=requirement) for requirement in REQUIREMENTS]
            entry["circuits"] = {claim.requirement: build_circuit(document, claim).digest.hex() for claim in claims}
        found[name] = entry
    found |= {name: {"keccak256": keccak256(data).hex()} for name, data in sorted(files.items()) if ".proof" in name}
    return found


def texts() -> JsonObject:
    """Claims and limits as they are typed, with their canonical texts, which a statement absorbs."""
    claims = ("1", "1.0", "1.25", "5/4", "0.5", "2.50/2", "65535", "1/65535")
    limits = (
        "headroom >= 1000.5",
        "net-exposure BTC <= 120.25",
        "gross-exposure ETH<=4000",
        "position BTC-PERP <= 1/3",
        " collateral  USDC >= 0 ",
    )
    read = [(text, Claim.parse(text)) for text in claims]
    return {
        "claims": {text: f"{claim.num}/{claim.den}" for text, claim in read},
        "limits": {text: str(Limit.parse(text)) for text in limits},
        "not claims": ["", "0", "-1", "1e3", " 1", "1,5", "65536", "1/65536", "1/0", "0x1", "٢"],
        "not limits": ["", "headroom > 1", "headroom <= 1", "headroom BTC >= 1", "position <= 1", "delta BTC <= 1",
                       "position BTC <= -1", "position BTC <= 1e3", "collateral USDC >= 1/0"],
    }  # fmt: skip


def _ledger_file(
    attested: Acceptance, receipt: Receipt, plain: Acceptance, challenge: Challenge, waiting: Challenge
) -> bytes:
    """A signed ledger with two proofs and an open challenge, as SQL."""
    from golden_story import signer

    import zkmargin.ledger.ledger
    from zkmargin.ledger import SCHEMA, Ledger

    with tempfile.TemporaryDirectory() as folder, patch.object(zkmargin.ledger.ledger, "_clock_ms", lambda: NOW - 1):
        path = Path(folder) / "ledger.db"
        with Ledger(path, signer=signer(DESK)) as ledger:
            ledger.issue(challenge)
            ledger.issue(waiting)
            ledger.record(attested, receipt)
            ledger.record(plain)
        with closing(sqlite3.connect(path)) as connection:
            # As version 2 wrote it: version 3 has the same tables, and may hold what version 2 could not.
            return sql(connection).replace(SCHEMA, "zkmargin/ledger/v2").encode()


def sql(connection: sqlite3.Connection) -> str:
    """A database as statements that make it again: tables by name with their rows in the order of the text, indexes."""
    lines = []
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"
    for kind, name, statement in connection.execute(query).fetchall():
        lines.append(" ".join(statement.split()) + ";")
        if kind == "table":
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
            quoted = " || ', ' || ".join(f'quote("{column}")' for column in columns)
            rows = connection.execute(f'SELECT {quoted} FROM "{name}"')  # noqa: S608 - names of ours
            lines += sorted(f'INSERT INTO "{name}" VALUES ({values});' for (values,) in rows)  # noqa: S608
    return "".join(f"{line}\n" for line in lines)


def _json(value: JsonObject) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
