"""Bundles: evidence made from files, what it is worth to a verifier with a trust file of its own, its files again."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zkmargin.accounts import Commitment
from zkmargin.app.evidence import Evidence, claim_of
from zkmargin.app.files import Output
from zkmargin.app.verifying import Terms
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.formats import InputError, VerificationError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations, Trust
from zkmargin.verifier.protocols import AnyStatement, verify_any


@dataclass(frozen=True, kw_only=True)
class Around:
    """The public files around a proof, as far as there are any.

    Attributes:
        source: the market or risk arrays that the snapshot was built from.
        attestations, revocations, trust, challenge, receipt: of an acceptance.
    """

    source: Market | RiskArrays | None = None
    attestations: tuple[Attestation, ...] = ()
    revocations: tuple[Revocations, ...] = ()
    trust: Trust | None = None
    challenge: Challenge | None = None
    receipt: Receipt | None = None


def make_bundle(statement: AnyStatement, commitments: Sequence[Commitment], proof: bytes, around: Around) -> Evidence:
    """Evidence of a proof that verifies.

    Args:
        statement: what was proved.
        commitments: the documents that it was made from.
        proof: its bytes.
        around: what else is to be in the file.

    Raises:
        InputError: a document that is about something else, by its field.
        ProofFormatError, VerificationError: the proof does not prove the statement.
    """
    verify_any(statement, proof)
    of_venue: dict[str, Any] = {} if isinstance(statement, Statement) else {"terms": statement.terms}
    evidence = Evidence(
        **of_venue,
        claim=claim_of(statement),
        proof=base64.b64encode(proof).decode(),
        snapshot=statement.snapshot,
        commitments=tuple(commitments),
        source=around.source,
        attestations=around.attestations,
        revocations=around.revocations,
        trust=around.trust,
        challenge=around.challenge,
        receipt=around.receipt,
    )
    evidence.check_loaded()
    return evidence


@dataclass(frozen=True)
class Least:
    """What a verifier asks of a bundle's claim at least.

    Attributes:
        claim: at least this ratio of this requirement.
        limits: each must be among the bundle's.
        context: the statement's, where the verifier knows it.
    """

    claim: Claim
    limits: tuple[Limit, ...] = ()
    context: bytes | None = None


def check_least(statement: AnyStatement, asked: Least) -> None:
    """Raises VerificationError where a bundle claims less than its verifier asks for.

    What a venue claims of whom stands in its terms, which a verifier reads: only the context is compared.
    """
    if asked.context is not None and statement.context != asked.context:
        raise VerificationError("its context is another", check="context")
    if not isinstance(statement, Statement):
        return
    claim = statement.claim
    if claim.requirement != asked.claim.requirement:
        reason = f"claims the {claim.requirement} requirement, and {asked.claim.requirement} is asked for"
        raise VerificationError(reason, check="claim")
    if claim.num * asked.claim.den < asked.claim.num * claim.den:
        reason = f"claims {claim.num}/{claim.den}, and at least {asked.claim.num}/{asked.claim.den} is asked for"
        raise VerificationError(reason, check="claim")
    for limit in asked.limits:
        if limit not in statement.limits:
            raise VerificationError(f"does not claim {limit}", check="claim")


def terms_for(evidence: Evidence, own: Terms, *, before: Receipt | None = None) -> Terms:
    """The terms of an acceptance: whom to believe from the verifier, what was signed from the bundle too.

    Attestations and revocations are worth their signatures, wherever they come from. Of one issuer's revocations the
    verifier's own list counts; lists that its trust file does not ask for are left aside. Where ``before`` is given,
    a receipt that the verifier signed, the lists of then are in the bundle and those of today the verifier's
    (``rerun_terms``); and the challenge is the verifier's own, or the one in the bundle that the receipt names.
    """
    if own.trust is None:
        return own
    asked = {rule.name for rule in own.trust.revocations}
    if before is None:
        asked -= {item.payload.issuer for item in own.revocations}
    found = tuple(item for item in evidence.revocations if item.payload.issuer in asked and item not in own.revocations)
    challenge = own.challenge
    if challenge is None and before is not None and evidence.challenge is not None:
        named = before.payload.challenge == evidence.challenge.digest().hex()
        challenge = evidence.challenge if named else None
    return replace(
        own,
        attestations=(*own.attestations, *(item for item in evidence.attestations if item not in own.attestations)),
        revocations=(*own.revocations, *found),
        challenge=challenge,
    )


def bundled_receipt(evidence: Evidence) -> Receipt:
    """The record of the acceptance that a bundle is evidence of. Raises InputError: there is none in it."""
    if evidence.receipt is None:
        raise InputError("holds no receipt: there is no acceptance to repeat", field="receipt")
    return evidence.receipt


def files_of(evidence: Evidence) -> Iterator[Output]:
    """The files that a bundle was made from, named by what they are."""
    yield Output.proof("proof.bin", evidence.proof_bytes)
    yield Output.document("snapshot.json", evidence.snapshot)
    if evidence.terms is not None:
        yield Output.document("terms.json", evidence.terms)
    if evidence.source is not None:
        name = "arrays.json" if isinstance(evidence.source, RiskArrays) else "market.json"
        yield Output.document(name, evidence.source)
    for name, items in (
        ("commitment", evidence.commitments),
        ("attestation", evidence.attestations),
        ("revocations", evidence.revocations),
    ):
        for place, item in enumerate(items, 1):
            yield Output.document(f"{name}-{place}.json", item)
    for name, one in (("trust", evidence.trust), ("challenge", evidence.challenge), ("receipt", evidence.receipt)):
        if one is not None:
            yield Output.document(f"{name}.json", one)
