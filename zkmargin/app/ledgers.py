"""What a ledger is asked: how accounts stand, whether its records verify, and all of it as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from zkmargin.accounts import Commitment
from zkmargin.app.facts import claim_words, ratio
from zkmargin.engine.decimals import format_time, from_units, parse_time
from zkmargin.engine.limits import KINDS, Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, ZkMarginError, write_atomic
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.ledger import Entry, Ledger
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Trust

INDEX_FORMAT = "zkmargin/ledger-export/v1"


def status_facts(ledger: Ledger, *, now_ms: int, due_seconds: int) -> dict[str, Any]:
    """Each account by alias, and the challenges nobody answered. Overdue: the last proof's snapshot is older."""
    return {
        "ledger": ledger.name,
        **ledger.counts(),
        "accounts": [
            {
                "alias": account.alias,
                "proofs": account.proofs,
                "age_seconds": (now_ms - account.last.snapshot_ms) // 1000,
                "overdue": now_ms - account.last.snapshot_ms > 1000 * due_seconds,
                "last": entry_facts(ledger, account.last),
            }
            for account in ledger.accounts()
        ],
        "open_challenges": [_challenge_facts(challenge, now_ms) for challenge in ledger.open_challenges()],
    }


def check_ledger(ledger: Ledger) -> dict[str, Any]:
    """Verify every recorded proof again, from the ledger alone: how many do, and which do not and why."""
    good, bad = 0, []
    for entry in ledger.entries():
        try:
            ledger.check(entry)
            good += 1
        except ZkMarginError as error:
            bad.append({"statement": entry.statement, "reason": error.message})
    return {"ledger": ledger.name, "verified": good, "bad": bad}


def entry_facts(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    """An accepted proof for programs."""
    snapshot = ledger.document(Snapshot, entry.snapshot)
    return {
        "statement": entry.statement,
        "accepted": format_time(entry.accepted_ms),
        "snapshot": {"name": snapshot.name, "time": snapshot.time, "digest": entry.snapshot},
        "claim": {
            "ratio": ratio(entry.claim),
            "requirement": entry.claim.requirement,
            "words": claim_words(entry.claim),
        },
        "limits": [limit_text(limit) for limit in entry.limits],
        "trust": entry.trust,
        "challenge": entry.challenge,
        "receipt": entry.receipt,
        "proof_bytes": len(entry.proof),
    }


def _challenge_facts(challenge: Challenge, now_ms: int) -> dict[str, Any]:
    return {
        "digest": challenge.digest().hex(),
        "audience": challenge.audience,
        "deadline": challenge.deadline,
        "overdue": now_ms > parse_time(challenge.deadline),
    }


def limit_text(limit: Limit) -> str:
    """A limit as it is typed: its bound as a decimal."""
    decimals = 0
    while (limit.bound * 10**decimals).denominator != 1:
        decimals += 1
    bound = from_units(int(Fraction(limit.bound * 10**decimals)), decimals)
    return f"{limit.kind}{' ' * bool(limit.subject)}{limit.subject} {KINDS[limit.kind][1]} {bound}"


# --- export ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exported:
    """What was written: what the index says of each proof, and how many documents there are."""

    proofs: list[dict[str, Any]]
    documents: int


def export(
    ledger: Ledger, folder: str, *, statement: str | None, how: Callable[[Entry, dict[str, Any]], str]
) -> Exported:
    """Write accepted proofs and all their files to a new folder, with an index.

    Args:
        ledger: where they are.
        folder: created; refused when it is not empty.
        statement: only the proof whose statement digest begins like this (hex).
        how: says how to verify an entry whose files have these names.

    Raises:
        InputError: the folder cannot be used, or no proof has such a digest (``field`` "statement").
    """
    home, written = _empty_folder(folder), set[str]()
    chosen = (entry for entry in ledger.entries() if entry.statement.startswith(statement or ""))
    proofs = [_export_entry(ledger, entry, home, written, how) for entry in chosen]
    if statement is not None and not proofs:
        raise InputError("no accepted proof has such a statement digest", field="statement")
    write_atomic(home / "index.json", canonical_bytes({"format": INDEX_FORMAT, "proofs": proofs}) + b"\n")
    return Exported(proofs, len(written))


def _empty_folder(folder: str) -> Path:
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise InputError("is not empty", file=folder, hint="name a new folder")
        (home / "documents").mkdir()
        (home / "proofs").mkdir()
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=folder) from None
    return home


def _export_entry(
    ledger: Ledger, entry: Entry, home: Path, written: set[str], how: Callable[[Entry, dict[str, Any]], str]
) -> dict[str, Any]:
    """Write an entry's files; returns what the index says of it."""

    def save(kind: type[Document], digest: str | None) -> str | None:
        if digest is None:
            return None
        name = f"documents/{kind.FORMAT.split('/')[1]}-{digest}.json"
        if digest not in written:
            write_atomic(home / name, ledger.document(kind, digest).to_bytes())
            written.add(digest)
        return name

    proof = f"proofs/{entry.statement}.bin"
    write_atomic(home / proof, entry.proof)
    files = {
        "proof": proof,
        "snapshot": save(Snapshot, entry.snapshot),
        "commitment": save(Commitment, entry.commitment),
        "trust": save(Trust, entry.trust),
        "challenge": save(Challenge, entry.challenge),
        "attestations": [save(Attestation, digest) for digest in entry.attestations],
        "receipt": save(Receipt, entry.receipt),
    }
    facts = entry_facts(ledger, entry)
    return {**facts, "files": files, "context": entry.context.hex(), "verify": how(entry, files)}
