"""What a ledger is asked: how accounts stand, whether its records verify, and all of it as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from zkmargin.accounts import Commitment
from zkmargin.app.evidence import Evidence, evidence_of
from zkmargin.app.facts import claim_facts
from zkmargin.app.venue_facts import terms_facts
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import format_time, from_units, parse_time
from zkmargin.engine.limits import KINDS, Limit
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, InputError, VerificationError, write_atomic
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.ledger import Account, Entry, Ledger
from zkmargin.ledger.audit import UNBOUND, UNPROTECTED
from zkmargin.ledger.tables import WITHOUT_CHAIN
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations, Revoked, Trust
from zkmargin.verifier.venue.terms import VenueTerms

INDEX_FORMAT = "zkmargin/ledger-export/v2"
#: Two clocks may differ by so much: a snapshot that is further ahead has no age, so its account is overdue.
CLOCK_SKEW_MS = 60_000


def status_facts(ledger: Ledger, *, now_ms: int, due_seconds: int) -> dict[str, Any]:
    """Each account by alias, and the challenges nobody answered.

    Overdue: the snapshot of the last proof that claims something of the account is older, or it is from the future
    (then nobody can say how old it is), or there is none.
    """
    return {
        "ledger": ledger.name,
        **ledger.counts(),
        "accounts": [
            _account_facts(ledger, account, now_ms=now_ms, due_seconds=due_seconds) for account in ledger.accounts()
        ],
        "open_challenges": [_challenge_facts(challenge, now_ms) for challenge in ledger.open_challenges()],
    }


def _account_facts(ledger: Ledger, account: Account, *, now_ms: int, due_seconds: int) -> dict[str, Any]:
    last, claimed = account.proven or account.last, account.proven is not None
    age_ms = now_ms - last.snapshot_ms
    return {
        "alias": account.alias,
        "venue": account.venue,
        "proofs": account.proofs,
        "claimed": claimed,
        "age_seconds": age_ms // 1000,
        "overdue": not (claimed and -CLOCK_SKEW_MS <= age_ms <= 1000 * due_seconds),
        "last": entry_facts(ledger, last) | _own_claim(ledger, account, last),
    }


def _own_claim(ledger: Ledger, account: Account, last: Entry) -> dict[str, Any]:
    """What a venue's proof says of one committed account in it: of the others nothing is repeated here."""
    if account.venue or not last.of_venue:
        return {}
    terms = ledger.document(VenueTerms, last.commitment)
    own: dict[str, Any] = {"venue_name": terms.venue, "requirement": terms.requirement, "claim": None, "limits": []}
    for dense in terms.dense if account.proven else ():
        if any(part.alias == account.alias for part in ledger.document(Commitment, dense.commitment).parts):
            own |= {"claim": dense.claim, "limits": list(dense.limits)}
    return {"own": own}


def check_ledger(
    ledger: Ledger, *, key: PublicKey | Sequence[PublicKey] = (), head: str | None = None
) -> dict[str, Any]:
    """Derive everything in a ledger again from the ledger alone: what is wrong, and what nothing protects.

    Args:
        ledger: which.
        key: its public key, or its keys in their order: every record must be signed with one, as ``Ledger.audit`` says.
        head: the digest of a record that was noted before.
    """
    found = ledger.audit(key=key, head=head)
    unbound = (UNBOUND.format(found.unbound, found.verified),) if found.unbound else ()
    unprotected: tuple[str, ...] = () if key else (*unbound, *UNPROTECTED)
    if found.schema == WITHOUT_CHAIN:
        unprotected = ("every column: a ledger of version 1 has no chain; it gets one when it is next written to",)
    return {
        "ledger": ledger.name,
        "schema": found.schema,
        "verified": found.verified,
        "records": found.records,
        "signed": found.signed,
        "head": found.head[1],
        "unprotected": list(unprotected),
        "bad": found.bad,
    }


def entry_facts(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    """An accepted proof for programs."""
    snapshot = ledger.document(Snapshot, entry.snapshot)
    venue = {"venue": terms_facts(ledger.document(VenueTerms, entry.commitment))} if entry.of_venue else {}
    return {
        "statement": entry.statement,
        "accepted": format_time(entry.accepted_ms),
        "snapshot": {"name": snapshot.name, "time": snapshot.time, "digest": entry.snapshot},
        "claim": None if entry.claim is None else claim_facts(entry.claim),
        **venue,
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
    ledger: Ledger,
    folder: str,
    *,
    statement: str | None,
    how: Callable[[Entry, dict[str, Any]], str],
    sources: Sequence[Market | RiskArrays | Universe] = (),
) -> Exported:
    """Write accepted proofs and all their files to a new folder, with an index.

    Args:
        ledger: where they are.
        folder: created; refused when it is not empty.
        statement: only the proof whose statement digest begins like this (hex).
        how: says how to verify an entry whose files have these names.
        sources: what snapshots were built from, for those entries that the ledger keeps no sources of.

    Raises:
        InputError: the folder cannot be used, or no proof has such a digest (``field`` "statement").
    """
    exporting = _Exporting(ledger, _empty_folder(folder), how, {item.digest().hex(): item for item in sources})
    chosen = (entry for entry in ledger.entries() if entry.statement.startswith(statement or ""))
    proofs = [exporting.write(entry) for entry in chosen]
    home, written = exporting.home, exporting.written
    if statement is not None and not proofs:
        raise InputError("no accepted proof has such a statement digest", field="statement")
    write_atomic(home / "index.json", canonical_bytes({"format": INDEX_FORMAT, "proofs": proofs}) + b"\n")
    return Exported(proofs, len(written))


def _counts(evidence: Evidence) -> bool:
    """Whether the receipt is signed by whom the trust file beside it names: then the acceptance can be run again."""
    if evidence.trust is None or evidence.receipt is None:
        return False
    try:
        evidence.trust.receipt_quorum(evidence.receipt, Revoked.by(evidence.revocations))
    except VerificationError:
        return False
    return True


def _empty_folder(folder: str) -> Path:
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise InputError("is not empty", file=folder, hint="name a new folder")
        (home / "documents").mkdir()
        (home / "proofs").mkdir()
        (home / "evidence").mkdir()
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=folder) from None
    return home


class _Exporting:
    """One export: what is written so far, and what is asked of the ledger once."""

    def __init__(
        self,
        ledger: Ledger,
        home: Path,
        how: Callable[[Entry, dict[str, Any]], str],
        given: Mapping[str, Market | RiskArrays | Universe],
    ) -> None:
        self._ledger, self.home, self._how, self._given = ledger, home, how, given
        self._revocations, self._sources = ledger.beside("revocations"), ledger.beside("sources")
        self.written: set[str] = set()

    def write(self, entry: Entry) -> dict[str, Any]:
        """Write an entry's evidence, and its files one by one; returns what the index says of it."""
        sources = self._sources_of(entry)
        first = sources[0] if sources and not isinstance(sources[0], Universe) else None
        evidence = evidence_of(self._ledger, entry, self._revocations.get(entry.statement, ()), first)
        bundle, proof = f"evidence/{entry.statement}.json", f"proofs/{entry.statement}.bin"
        write_atomic(self.home / bundle, evidence.to_bytes())
        write_atomic(self.home / proof, entry.proof)
        about: dict[str, Any] = {"commitment": self._save(Commitment, None if entry.of_venue else entry.commitment)}
        if entry.of_venue:
            about["terms"] = self._save(VenueTerms, entry.commitment)
            about["commitments"] = [self._put(commitment) for commitment in evidence.commitments]
        files = {
            "proof": proof,
            "snapshot": self._save(Snapshot, entry.snapshot),
            **about,
            "trust": self._save(Trust, entry.trust),
            "challenge": self._save(Challenge, entry.challenge),
            "attestations": [self._save(Attestation, digest) for digest in entry.attestations],
            "revocations": [self._save(Revocations, item.digest().hex()) for item in evidence.revocations],
            "receipt": self._save(Receipt, entry.receipt),
            "source": None if first is None else self._put(first),
            "universe": next((self._put(item) for item in sources if isinstance(item, Universe)), None),
            "earlier": [self._put(item) for item in sources[1:] if isinstance(item, Market)],
            "evidence": bundle,
        }
        files["rerun"] = files["receipt"] if _counts(evidence) else None
        facts = entry_facts(self._ledger, entry)
        return {**facts, "files": files, "context": entry.context.hex(), "verify": self._how(entry, files)}

    def _sources_of(self, entry: Entry) -> list[Market | RiskArrays | Universe]:
        """What the snapshot was built from: what the ledger keeps, else what was given of it. Raises InputError."""
        kept = self._sources.get(entry.statement)
        if kept is not None:
            return [self._ledger.source(digest) for digest in kept]
        snapshot = self._ledger.document(Snapshot, entry.snapshot)
        names = [snapshot.market_digest, snapshot.universe, *(quote.source for quote in snapshot.carried)]
        found = [self._given[name] for name in dict.fromkeys(names) if name is not None and name in self._given]
        return found if found and found[0].digest().hex() == snapshot.market_digest else []

    def _save(self, kind: type[Document], digest: str | None) -> str | None:
        return None if digest is None else self._put(self._ledger.document(kind, digest), digest)

    def _put(self, document: Document, digest: str | None = None) -> str:
        digest = digest or document.digest().hex()
        name = f"documents/{document.FORMAT.split('/')[1]}-{digest}.json"
        if digest not in self.written:
            write_atomic(self.home / name, document.to_bytes())
            self.written.add(digest)
        return name
