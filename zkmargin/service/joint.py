"""A venue's own proof, of every account at once: the answer to a challenge that was issued to the venue, accepted under
the trust file, recorded with a receipt. A committed account in it that is registered here is proven by it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, select, update

from zkmargin.accounts import Commitment
from zkmargin.app.proof_text import proof_bytes
from zkmargin.app.verifying import software
from zkmargin.circuits.venue import Ratio
from zkmargin.client.errors import AlreadyAccepted, NotFound
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.ledger.records import silent_of
from zkmargin.service import judging, store, tables
from zkmargin.service.desk import Desk, Holding
from zkmargin.service.store import Proven
from zkmargin.verifier.attest import Acceptance, Attestation, Candidate, Challenge, Receipt, SnapshotPayload
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms

_DIGEST = re.compile("[0-9a-f]{64}")
#: The keys of the call's body.
KEYS = ("terms", "snapshot", "commitments", "attestations", "challenge", "proof")


@dataclass(frozen=True)
class VenueSubmission:
    """A venue's proof, and what it is about.

    Attributes:
        terms: which accounts, and what is said of them.
        snapshot: the digest of one that was published here.
        commitments, attestations: of the accounts that are committed one by one; none for block accounts.
        challenge: the digest of the challenge that it answers, issued to the venue of the terms.
        proof: the proof's bytes.
    """

    terms: VenueTerms
    snapshot: str
    commitments: tuple[Commitment, ...]
    attestations: tuple[Attestation, ...]
    challenge: str
    proof: bytes

    @classmethod
    def read(cls, value: dict[str, Any]) -> Self:
        """From a call's body. Raises InputError."""
        proof = proof_bytes(value.get("proof"))
        lists = [value.get(name, []) for name in ("commitments", "attestations")]
        if not all(isinstance(one, list) for one in lists):
            raise InputError("lists of documents", field="commitments, attestations")
        for name in ("snapshot", "challenge"):
            if not _DIGEST.fullmatch(str(value.get(name))):
                raise InputError("a digest in hex", field=name)
        commitments, attestations = lists
        return cls(
            VenueTerms.model_validate(value.get("terms")),
            value["snapshot"],
            tuple(Commitment.model_validate(one) for one in commitments),
            tuple(Attestation.model_validate(one) for one in attestations),
            value["challenge"],
            proof,
        )


def judge_venue(desk: Desk, given: VenueSubmission, *, actor: str) -> Receipt:
    """Accept a venue's proof, once; its receipt is on disk when this returns.

    Raises:
        InputError: documents that do not belong together.
        AlreadyAccepted: this very proof was accepted before.
        ProofFormatError, VerificationError: refused; in the audit log.
    """
    now_ms = desk.clock()
    try:
        receipt = _judge(desk, given, actor, now_ms)
    except (ProofFormatError, VerificationError) as error:
        _record_refusal(desk, given, actor, now_ms, error)
        raise
    desk.changed()
    return receipt


def _judge(desk: Desk, given: VenueSubmission, actor: str, now_ms: int) -> Receipt:
    """As ``judge_venue``; what it raises is recorded there."""
    challenge = _issued(desk, given)
    try:
        published = desk.published(given.snapshot)
    except NotFound as error:
        raise VerificationError(error.message, check="snapshot", hint="fetch the newest snapshot") from None
    statement = VenueStatement.of(
        published.snapshot, given.terms, commitments=given.commitments, context=challenge.context
    )
    concerned = _concerned(desk, statement)

    def verify_all(items: Sequence[tuple[AnyStatement, bytes]]) -> list[AnyAccepted | ZkMarginError]:
        return [desk.pool.verify_venue(one, proof) for one, proof in items if not isinstance(one, Statement)]

    def also(connection: Connection, recorded: Sequence[tuple[int, Acceptance, Receipt]]) -> None:
        for _, acceptance, _ in recorded:
            _record(desk, connection, given, published.attestation, acceptance, actor)
            others = judging.changed_since(connection, {at: holding for at, (holding, *_) in enumerate(concerned)})
            proven = [
                Proven(holding.row.account, acceptance, claim, limits)
                for at, (holding, claim, limits) in enumerate(concerned)
                if at not in others
            ]
            store.add_proofs(connection, desk.name, proven)

    (verdict,) = desk.ledger.accept_each(
        [Candidate(statement, given.proof, (published.attestation, *given.attestations), challenge)],
        now_ms=now_ms,
        trust=desk.trust,
        revocations=desk.revocations(),
        receipt=lambda acceptance: acceptance.receipt(software=software()).signed(desk.signer),
        verify_all=verify_all,
        older_snapshots=True,
        also=also,
    )
    if isinstance(verdict, ZkMarginError):
        raise judging.accepted_before(desk, given.challenge, given.proof, verdict)
    return verdict[1]


def _issued(desk: Desk, given: VenueSubmission) -> Challenge:
    """The challenge that is answered. Raises VerificationError: it was not issued to this venue."""
    table = tables.venue_challenges
    query = select(table.c.venue).where(table.c.challenge == given.challenge)
    with desk.ledger.database.reading() as connection:
        venue = connection.execute(query).scalar_one_or_none()
    if venue is None or venue != given.terms.venue:
        raise VerificationError("the challenge was not issued to this venue", check="challenge")
    return desk.ledger.document(Challenge, given.challenge)


def _concerned(desk: Desk, statement: VenueStatement) -> list[tuple[Holding, Claim, tuple[Limit, ...]]]:
    """The accounts of ours that are committed in a venue's proof as they are registered, and what it claims of them.

    None where some may miss their claim: with exemptions and with a cap on shortfalls the proof does not say who does.
    """
    terms, found = statement.terms, []
    silent = silent_of(terms)
    for asked, commitment in zip(terms.dense, statement.commitments, strict=True):
        try:
            holding = desk.holding(commitment.parts[0].alias)
        except NotFound:
            continue
        mine = holding.commitment
        same = mine is not None and _content(mine) == _content(commitment)
        if asked.claim is not None and asked.commitment not in silent and same and not holding.row.closed:
            ratio = Ratio.parse(asked.claim)
            claim = Claim(ratio.num, ratio.den, terms.requirement)
            found.append((holding, claim, tuple(Limit.parse(text) for text in asked.limits)))
    return found


def _content(commitment: Commitment) -> tuple[str, int, list[bytes]]:
    """What a commitment is to: setup, rows, and the parts whatever their order."""
    return commitment.srs, commitment.domain_size, sorted(part.canonical() for part in commitment.parts)


def _record(
    desk: Desk, connection: Connection, given: VenueSubmission, signed: Attestation, acceptance: Acceptance, actor: str
) -> None:
    """Beside the acceptance, in its transaction: the challenge is answered, an event, a line of the audit log."""
    table, payload, digest = tables.venue_challenges, signed.payload, acceptance.statement_digest.hex()
    connection.execute(update(table).where(table.c.challenge == given.challenge).values(answered=1))
    series = payload.series if isinstance(payload, SnapshotPayload) else None
    facts = {"statement": digest, "snapshot": given.snapshot, "series": series, "sequence": payload.sequence}
    store.emit(connection, desk.name, acceptance.time_ms, "venue-proof", challenge=given.challenge, **facts)
    store.audit(connection, acceptance.time_ms, actor, "venue-proof", subject=given.terms.venue, statement=digest)


def _record_refusal(desk: Desk, given: VenueSubmission, actor: str, now_ms: int, error: ZkMarginError) -> None:
    if isinstance(error, AlreadyAccepted):
        return
    facts: dict[str, Any] = {"reason": error.message[:200], "check": getattr(error, "check", "format")}
    facts |= {"subject": given.terms.venue, "outcome": "refused"}
    desk.ledger.database.write(lambda connection: store.audit(connection, now_ms, actor, "venue-proof", **facts))
