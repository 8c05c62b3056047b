"""Evidence: one file with everything that an acceptance was made from, for whoever is to check it again.

What is in it is evidence, never authority: a verifier accepts under its own trust file and its own challenge. No secret
document has a place in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.accounts import Commitment
from zkmargin.app.proof_text import proof_bytes, proof_text
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, Hexadecimal, InputError, Model, Seq, Since
from zkmargin.formats.canonical import keccak256
from zkmargin.verifier.attest.acceptance import Acceptance
from zkmargin.verifier.attest.challenge import Challenge
from zkmargin.verifier.attest.documents import Attestation, SnapshotPayload
from zkmargin.verifier.attest.receipt import Receipt
from zkmargin.verifier.attest.revocations import Revocations
from zkmargin.verifier.attest.trust import Trust
from zkmargin.verifier.protocols import AnyStatement
from zkmargin.verifier.statement import MAX_CONTEXT_BYTES, Statement
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms

if TYPE_CHECKING:
    from zkmargin.ledger import Entry, Ledger

#: Far above any proof.
MAX_PROOF_TEXT = 1 << 21
MAX_VENUE_PROOF_TEXT = 1 << 25
#: Where documents stand inside it.
_SINGLE, _MANY = (
    ("snapshot", "terms", "source", "trust", "challenge", "receipt"),
    ("commitments", "attestations", "revocations"),
)


class EvidenceClaim(Model):
    """What was claimed, as it is typed.

    Attributes:
        ratio, requirement: equity : requirement; no ratio where a venue's terms say it.
        limits: further claims, bounds as decimals or fractions.
        context: hex.
    """

    ratio: Annotated[str, Field(pattern=r"^[0-9]{1,5}/[0-9]{1,5}$")] | None
    requirement: str = Field(max_length=40)
    limits: Seq[Annotated[str, Field(max_length=400)]] = Field(default=(), max_length=64)
    context: Annotated[str, Hexadecimal(), Field(max_length=2 * MAX_CONTEXT_BYTES)] = ""


class Evidence(Document):
    """A proof with all public files around it.

    Attributes:
        claim: with limits and context, makes the statement of ``snapshot`` and ``commitments``.
        proof: base64.
        snapshot, commitments: what the statement is about.
        source: the market or risk arrays that the snapshot was built from, or None.
        attestations, revocations, trust, challenge, receipt: what the acceptance rested on, and its record.
        terms: of a venue's proof; ``commitments`` are then those that the terms name, in their order.

    Version 2 is of a venue's proof; one account's is written in version 1, which verifiers before it read.

    Raises:
        InputError: a proof that is not base64 in its one text, or a document inside without its format line.
    """

    FORMAT: ClassVar[str] = "zkmargin/evidence/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/evidence/v1",)

    claim: EvidenceClaim
    proof: str = Field(min_length=4, max_length=MAX_VENUE_PROOF_TEXT)
    snapshot: Snapshot
    source: Market | RiskArrays | None = None
    commitments: Seq[Commitment] = Field(max_length=4096)
    attestations: Seq[Attestation] = Field(default=(), max_length=4096)
    revocations: Seq[Revocations] = Field(default=(), max_length=1024)
    trust: Trust | None = None
    challenge: Challenge | None = None
    receipt: Receipt | None = None
    terms: Annotated[VenueTerms | None, Since(2)] = None

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """The version that says everything of the content."""
        return cls.READS[0] if data.get("terms") is None else cls.FORMAT

    @model_validator(mode="before")
    @classmethod
    def _check_formats(cls, data: Any) -> Any:
        """A document inside says its version: what is read as the newest would change its digest."""
        if isinstance(data, dict):
            inside = [(name, data.get(name)) for name in _SINGLE]
            many = ((name, data.get(name)) for name in _MANY)
            inside += [(name, item) for name, items in many if isinstance(items, list) for item in items]
            for name, item in inside:
                if isinstance(item, dict) and "format" not in item:
                    raise InputError('no "format" line', field=name)
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        proof_bytes(self.proof)
        if self.terms is None and (self.claim.ratio is None or not self.commitments):
            raise InputError("missing: of one account a ratio and its commitment", field="claim.ratio")
        if self.terms is not None and (self.claim.ratio is not None or self.claim.limits):
            raise InputError("a venue's terms say what is claimed", field="claim.ratio")
        if self.terms is None and len(self.proof) > MAX_PROOF_TEXT:
            raise InputError("longer than a proof of one account", field="proof")
        return self

    def check_loaded(self) -> None:
        """Whether the documents belong together. Raises InputError naming the one that is about something else.

        That they do is no reason to believe any of them: whoever made the file could have made them all.
        """
        try:
            self.snapshot.check_loaded()
        except InputError as error:
            field = ".".join(name for name in ("snapshot", error.field) if name)
            raise InputError(error.reason, field=field, hint=error.hint) from None
        snapshot, context = self.snapshot.digest().hex(), bytes.fromhex(self.claim.context)
        if self.source is not None and self.source.digest().hex() != self.snapshot.market_digest:
            raise InputError("the snapshot was not built from it: its digest is another", field="source")
        if self.challenge is not None and self.challenge.context != context:
            raise InputError("the proof does not answer it: the context is not its digest", field="challenge")
        if self.receipt is not None:
            seen, trust = self.receipt.payload, None if self.trust is None else self.trust.digest().hex()
            same = (seen.proof, seen.snapshot.digest, seen.context) == (
                keccak256(self.proof_bytes).hex(),
                snapshot,
                self.claim.context,
            )
            if not same or (trust is not None and seen.trust not in (trust, None)):
                raise InputError("of another acceptance: proof, snapshot, context or trust differ", field="receipt")
        points = {part.points for commitment in self.commitments for part in commitment.parts}
        for place, attestation in enumerate(self.attestations):
            payload = attestation.payload
            about = payload.snapshot == snapshot if isinstance(payload, SnapshotPayload) else payload.points in points
            if not about:
                raise InputError(
                    "attests neither the snapshot nor a part of the commitments", field=f"attestations[{place}]"
                )

    @classmethod
    def of(cls, acceptance: Acceptance, receipt: Receipt | None = None) -> Self:
        """The evidence of an acceptance."""
        statement, seen = acceptance.statement, acceptance.authenticated
        return cls(
            **_about(statement),
            proof=proof_text(acceptance.proof),
            snapshot=statement.snapshot,
            attestations=tuple({item.attestation.digest(): item.attestation for item in acceptance.attested}.values()),
            revocations=seen.revocations if seen else (),
            trust=acceptance.trust,
            challenge=acceptance.challenge,
            receipt=receipt,
        )

    @property
    def proof_bytes(self) -> bytes:
        """The proof."""
        return proof_bytes(self.proof)

    def statement(self) -> AnyStatement:
        """What the proof is about, from the documents inside. Raises InputError: they do not belong together."""
        context = bytes.fromhex(self.claim.context)
        if self.terms is not None:
            commitments = list(self.commitments)
            return VenueStatement.of(self.snapshot, self.terms, commitments=commitments, context=context)
        num, _, den = str(self.claim.ratio).partition("/")
        claim = Claim(int(num), int(den), self.claim.requirement)
        limits = [Limit.parse(text) for text in self.claim.limits]
        return Statement.of(self.snapshot, list(self.commitments), claim, context=context, limits=limits)

    def to_bytes(self) -> bytes:
        """One line: sorted keys, no white space."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def evidence_of(
    ledger: Ledger, entry: Entry, revocations: Sequence[str], source: Market | RiskArrays | None = None
) -> Evidence:
    """Everything of an accepted proof of a ledger in one document; ``revocations`` by digest. Raises InputError.

    ``source`` is the market or arrays of the entry's snapshot. What a snapshot of a universe needs besides stands
    beside the evidence, under the digests that the snapshot names.
    """
    statement = ledger.statement(entry)
    return Evidence(
        **_about(statement),
        proof=proof_text(entry.proof),
        snapshot=ledger.document(Snapshot, entry.snapshot),
        source=source,
        attestations=tuple(ledger.document(Attestation, digest) for digest in entry.attestations),
        revocations=tuple(ledger.document(Revocations, digest) for digest in revocations),
        trust=None if entry.trust is None else ledger.document(Trust, entry.trust),
        challenge=None if entry.challenge is None else ledger.document(Challenge, entry.challenge),
        receipt=None if entry.receipt is None else ledger.document(Receipt, entry.receipt),
    )


def _about(statement: AnyStatement) -> dict[str, Any]:
    """What is claimed of which commitments: one account's parts in one document, or those that a venue's terms name."""
    claim = claim_of(statement)
    if not isinstance(statement, Statement):
        return {"claim": claim, "terms": statement.terms, "commitments": statement.commitments}
    commitment = Commitment(srs=statement.srs.digest.hex(), domain_size=statement.n, parts=statement.parts)
    return {"claim": claim, "commitments": (commitment,)}


def claim_of(statement: AnyStatement) -> EvidenceClaim:
    """A statement's claim, limits and context."""
    if not isinstance(statement, Statement):
        return EvidenceClaim(ratio=None, requirement=statement.terms.requirement, context=statement.context.hex())
    claim = statement.claim
    return EvidenceClaim(
        ratio=f"{claim.num}/{claim.den}",
        requirement=claim.requirement,
        limits=tuple(str(limit) for limit in statement.limits),
        context=statement.context.hex(),
    )
