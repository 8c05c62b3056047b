"""What was made, accepted and proved, as values for programs: JSON with decimal strings, and nothing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zkmargin.accounts.commitments import CommitmentPart
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.policy import Policy, compare_with_shipped
from zkmargin.engine.snapshot import Snapshot
from zkmargin.verifier.attest.acceptance import Acceptance, Attested
from zkmargin.verifier.attest.documents import CommitmentPayload
from zkmargin.verifier.proof import proof_bytes
from zkmargin.verifier.protocols import AnyStatement
from zkmargin.verifier.statement import Statement

if TYPE_CHECKING:
    from zkmargin.engine.universe import Universe  # verifying needs no market

UNAUTHENTICATED = (
    "whose commitments these are, and whose snapshot: without a trust file nobody has signed anything. The parts of "
    "an account are added up, so a part that the prover made up can cancel the positions in another"
)
AUTHENTICATED = "that the signers told the truth: the trust file says whose word counts"
REPLAY = (
    "that it is shown for the first time: compare statement digests to notice a replay, and ask for a fresh context "
    "or challenge"
)
CHALLENGED = "that the challenge is used once: keep a ledger, or the challenges and statement digests that you accepted"
RECORDED = "that it is shown to you alone: its statement is new to this ledger, other verifiers' ledgers are not asked"
NOT_GUARANTEED = (
    "that the book is complete: positions or debts that were not committed are not in it",
    "that the collateral exists, is free of other claims, or can be sold at the snapshot's prices",
    "that the snapshot's prices are right, or its charges its policy's: rebuild it from its market",
    "anything about another time than the snapshot's, or about losses beyond the policy's scenarios",
)

if TYPE_CHECKING:
    from zkmargin.engine.universe import Universe


def not_guaranteed(*, authenticated: bool = False, challenged: bool = False, recorded: bool = False) -> list[str]:
    """What no proof says, and what this one does not; ``recorded``: a ledger took it, which refuses a replay."""
    first = AUTHENTICATED if authenticated else UNAUTHENTICATED
    return [first, *NOT_GUARANTEED, RECORDED if recorded else CHALLENGED if challenged else REPLAY]


def ratio(claim: Claim) -> str:
    """1, or 5/4."""
    return str(claim.num) if claim.den == 1 else f"{claim.num}/{claim.den}"


def claim_words(claim: Claim) -> str:
    """The claim as a sentence's object."""
    requirement = f"the {claim.requirement} margin requirement"
    if claim.num == claim.den:
        return f"equity is at least {requirement}"
    return f"equity is at least {ratio(claim)} times {requirement}"


def claim_facts(claim: Claim) -> dict[str, Any]:
    """The claim for scripts."""
    return {"ratio": ratio(claim), "requirement": claim.requirement, "words": claim_words(claim)}


def context_facts(context: bytes) -> dict[str, Any]:
    """The context: as hex, and as text where it is text."""
    try:
        text: str | None = context.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {"hex": context.hex(), "text": text}


def snapshot_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What identifies a snapshot."""
    return {
        "digest": snapshot.digest().hex(),
        "name": snapshot.name,
        "time": snapshot.time,
        "quote": snapshot.quote,
        "policy": policy_facts(snapshot.policy),
        "market_digest": snapshot.market_digest,
        "instruments": len(snapshot.instruments),
        "collateral_assets": len(snapshot.collateral),
        "universe": snapshot.universe,
        "retired": len(snapshot.retired_slots("positions")),
        "carried": [quote.model_dump(mode="json") for quote in snapshot.carried],
    }


def universe_facts(universe: Universe) -> dict[str, Any]:
    """What a universe is, and how much room is left in it."""
    return {
        "name": universe.name,
        "digest": universe.digest().hex(),
        "edition": universe.edition,
        "previous": universe.previous,
        "time": universe.time,
        "instruments": len(universe.instruments),
        "retired_instruments": sum(slot.retired is not None for slot in universe.instruments),
        "spare_instruments": universe.capacity.positions - len(universe.instruments),
        "assets": len(universe.assets),
        "retired_assets": sum(slot.retired is not None for slot in universe.assets),
        "spare_assets": universe.capacity.collateral - len(universe.assets),
    }


def policy_facts(policy: Policy) -> dict[str, Any]:
    """What identifies a policy: its digest. Its name is a text in it; ``shipped`` says what that is worth."""
    digest, shipped = policy.digest().hex(), compare_with_shipped(policy)
    return {"name": policy.name, "version": policy.version, "digest": digest, "shipped": shipped}


def part_facts(part: CommitmentPart, attested: Attested | None = None) -> dict[str, Any]:
    """One commitment part and who attested it; nothing in it is secret."""
    return {
        "role": part.role,
        "alias": part.alias,
        "bits": part.bits,
        "slot_map": part.slot_map,
        "points": list(part.points),
        "authenticated": attested is not None,
        "attested": None if attested is None else attested_facts(attested),
    }


def attested_facts(attested: Attested) -> dict[str, Any]:
    """Who attested something, for scripts."""
    payload = attested.payload
    facts: dict[str, Any] = {
        "by": attested.rule,
        "signers": list(attested.signers),
        "sequence": payload.sequence,
        "payload_digest": attested.attestation.payload_digest.hex(),
    }
    if isinstance(payload, CommitmentPayload):
        facts |= {
            "part": payload.part,
            "issued": payload.issued,
            "expires": payload.expires,
            "beneficiary": payload.beneficiary,
        }
    return facts


def layout_facts(circuit: Circuit) -> dict[str, Any]:
    """Rows, columns and the size of every proof of a circuit."""
    shape = circuit.shape
    return {
        "rows": circuit.n,
        "position_segments": circuit.position_segments,
        "collateral_segments": circuit.collateral_segments,
        "digit_columns": shape.digits,
        "position_digits_a_side": circuit.position_digits,
        "equations": len(circuit.equations),
        "product_gates": len(circuit.gates),
        "proof_bytes": proof_bytes(shape),
        "circuit_digest": circuit.digest.hex(),
    }


def statement_facts(
    statement: Statement, acceptance: Acceptance | None = None, *, recorded: bool = False
) -> dict[str, Any]:
    """Everything public that a proof of the statement shows, for scripts.

    After its acceptance also who vouches; ``recorded``, that a ledger took it.
    """
    snapshot = statement.snapshot
    trust, challenge = (acceptance.trust, acceptance.challenge) if acceptance else (None, None)
    return {
        "claim": claim_facts(statement.claim),
        "limits": [str(limit) for limit in statement.limits],
        "positions_range_proved": snapshot.layout.range_proved,
        "position_bits": snapshot.layout.position_bits,
        **around_facts(statement, acceptance),
        "not_guaranteed": not_guaranteed(
            authenticated=trust is not None, challenged=challenge is not None, recorded=recorded
        ),
    }


def around_facts(statement: AnyStatement, acceptance: Acceptance | None = None) -> dict[str, Any]:
    """Snapshot, commitments, context and setup of a statement of any protocol, and who vouches for them."""
    snapshot = statement.snapshot
    seen = acceptance.authenticated if acceptance else None
    parts = [part for account in statement.account_parts for part in account]
    by = seen.parts if seen else (None,) * len(parts)
    trust, challenge = (acceptance.trust, acceptance.challenge) if acceptance else (None, None)
    return {
        "snapshot": snapshot_facts(snapshot) | {"attested": attested_facts(seen.snapshot) if seen else None},
        "commitments": [part_facts(part, who) for part, who in zip(parts, by, strict=True)],
        "context": context_facts(statement.context),
        "srs": {"name": statement.srs.name, "digest": statement.srs.digest.hex()},
        "trust": None
        if trust is None
        else {
            "verifier": trust.verifier,
            "digest": trust.digest().hex(),
            "format": trust.format,
            "pins_policies": trust.pins_policies,
            "policy_rule": seen.policy_rule if seen else None,
            "revocations": [document.payload_digest.hex() for document in seen.revocations] if seen else [],
        },
        "challenge": None
        if challenge is None
        else {
            "digest": challenge.digest().hex(),
            "audience": challenge.audience,
            "deadline": challenge.deadline,
        },
    }
