"""A venue's own proof, of every account at once: accepted under the trust file, recorded with a receipt."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection

from zkmargin.accounts import Commitment
from zkmargin.app.verifying import software
from zkmargin.client.errors import NotFound
from zkmargin.formats import InputError, VerificationError, ZkMarginError
from zkmargin.service import store
from zkmargin.service.desk import Desk
from zkmargin.verifier.attest import Acceptance, Attestation, Candidate, Receipt, SnapshotPayload
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms

#: The keys of the call's body.
KEYS = ("terms", "snapshot", "commitments", "attestations", "context", "proof")


@dataclass(frozen=True)
class VenueSubmission:
    """A venue's proof, and what it is about.

    Attributes:
        terms: which accounts, and what is said of them.
        snapshot: the digest of one that was published here.
        commitments, attestations: of the accounts that are committed one by one; none for block accounts.
        context: of the statement.
        proof: the proof's bytes.
    """

    terms: VenueTerms
    snapshot: str
    commitments: tuple[Commitment, ...]
    attestations: tuple[Attestation, ...]
    context: bytes
    proof: bytes

    @classmethod
    def read(cls, value: dict[str, Any]) -> Self:
        """From a call's body. Raises InputError."""
        try:
            proof = base64.b64decode(value.get("proof", ""), validate=True)
            context = bytes.fromhex(value.get("context", ""))
        except (binascii.Error, ValueError, TypeError):
            raise InputError("the proof is base64, the context hex", field="proof, context") from None
        lists = [value.get(name, []) for name in ("commitments", "attestations")]
        if not all(isinstance(one, list) for one in lists) or not isinstance(value.get("snapshot"), str):
            raise InputError("lists of documents, and a digest", field="commitments, attestations, snapshot")
        commitments, attestations = lists
        return cls(
            VenueTerms.model_validate(value.get("terms")),
            value["snapshot"],
            tuple(Commitment.model_validate(one) for one in commitments),
            tuple(Attestation.model_validate(one) for one in attestations),
            context,
            proof,
        )


def judge_venue(desk: Desk, given: VenueSubmission, *, actor: str) -> Receipt:
    """Accept a venue's proof, once; its receipt is on disk when this returns.

    Raises:
        InputError: documents that do not belong together.
        ProofFormatError, VerificationError: refused; in the audit log.
    """
    now_ms = desk.clock()
    try:
        published = desk.published(given.snapshot)
    except NotFound as error:
        raise VerificationError(error.message, check="snapshot", hint="fetch the newest snapshot") from None
    statement = VenueStatement.of(published.snapshot, given.terms, commitments=given.commitments, context=given.context)

    def verify_all(items: Sequence[tuple[AnyStatement, bytes]]) -> list[AnyAccepted | ZkMarginError]:
        return [desk.pool.verify_venue(one, proof) for one, proof in items if not isinstance(one, Statement)]

    def also(connection: Connection, recorded: Sequence[tuple[int, Acceptance, Receipt]]) -> None:
        if not recorded:
            return
        payload, digest = published.attestation.payload, recorded[0][1].statement_digest.hex()
        series = payload.series if isinstance(payload, SnapshotPayload) else None
        facts = {"statement": digest, "snapshot": given.snapshot, "series": series, "sequence": payload.sequence}
        store.emit(connection, desk.name, now_ms, "venue-proof", **facts)
        store.audit(connection, now_ms, actor, "venue-proof", subject=given.terms.venue, statement=digest)

    (verdict,) = desk.ledger.accept_each(
        [Candidate(statement, given.proof, (published.attestation, *given.attestations))],
        now_ms=now_ms,
        trust=desk.trust,
        revocations=desk.revocations(),
        receipt=lambda acceptance: acceptance.receipt(software=software()).signed(desk.signer),
        verify_all=verify_all,
        older_snapshots=True,
        also=also,
    )
    if isinstance(verdict, ZkMarginError):
        reason, check = verdict.message[:200], getattr(verdict, "check", "format")
        subject = given.terms.venue
        desk.ledger.database.write(
            lambda connection: store.audit(
                connection, now_ms, actor, "venue-proof", subject=subject, outcome="refused", reason=reason, check=check
            )
        )
        raise verdict
    desk.changed()
    return verdict[1]
