"""What was proved, in words and for scripts. Plain text: the verifier's path needs no tables."""

from __future__ import annotations

from typing import Any

from circuits.circuit import Circuit
from engine.margin import VALUATION_DECIMALS, Claim
from engine.snapshot import Snapshot
from verifier.commitments import CommitmentPart
from verifier.proof import proof_bytes
from verifier.statement import Statement
from zkmargin.terminal import safe

NOT_GUARANTEED = (
    "whose commitments these are: they authenticate nothing by themselves, use only those of parties that you trust",
    "that the book is complete: positions or debts that were not committed are not in it",
    "that the collateral exists, is free of other claims, or can be sold at the snapshot's prices",
    "that the snapshot's prices are right: rebuild it from its market with `zkmargin snapshot check`",
    "anything about another time than the snapshot's, or about losses beyond the policy's scenarios",
    "that it is shown for the first time: compare statement digests to notice a replay, and ask for a fresh --context",
)


def money(amount: int) -> str:
    """Valuation units as quote currency to the cent, thousands separated; rounded down."""
    cents = amount // 10 ** (VALUATION_DECIMALS - 2)
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{cents // 100:,}.{cents % 100:02d}"


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
        "policy": {
            "name": snapshot.policy.name,
            "version": snapshot.policy.version,
            "digest": snapshot.policy.digest().hex(),
        },
        "market_digest": snapshot.market_digest,
        "instruments": len(snapshot.instruments),
        "collateral_assets": len(snapshot.collateral),
    }


def part_facts(part: CommitmentPart) -> dict[str, Any]:
    """One commitment part; nothing in it is secret."""
    return {
        "role": part.role,
        "alias": part.alias,
        "bits": part.bits,
        "slot_map": part.slot_map,
        "points": list(part.points),
        "authenticated": False,
    }


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


def statement_facts(statement: Statement, snapshot: Snapshot) -> dict[str, Any]:
    """Everything public that a proof of the statement shows, for scripts."""
    return {
        "claim": claim_facts(statement.claim),
        "snapshot": snapshot_facts(snapshot),
        "positions_range_proved": snapshot.layout.range_proved,
        "position_bits": snapshot.layout.position_bits,
        "commitments": [part_facts(part) for part in statement.parts],
        "context": context_facts(statement.context),
        "srs": {"name": statement.srs.name, "digest": statement.srs.digest.hex()},
        "not_guaranteed": list(NOT_GUARANTEED),
    }


def statement_lines(facts: dict[str, Any]) -> list[str]:
    """``statement_facts`` for people. Names in it come from files: they are shown with control characters escaped."""
    snapshot, policy, claim = facts["snapshot"], facts["snapshot"]["policy"], facts["claim"]
    bound = f"every position is within 2^{facts['position_bits']} lots"
    how = "proved" if facts["positions_range_proved"] else "said by whoever made the commitments, not proved"
    lines = [
        f"claim        {claim['words']}",
        f"policy       {safe(policy['name'])} version {safe(policy['version'])}, all its components",
        f"snapshot     {safe(snapshot['name'])}",
        f"             taken at {safe(snapshot['time'])}",
        f"             {snapshot['instruments']} instruments, {snapshot['collateral_assets']} collateral assets",
        f"             digest {snapshot['digest']}",
        f"bounds       {bound} ({how})",
    ]
    for part in facts["commitments"]:
        points = len(part["points"])
        lines.append(
            f"commitment   {part['role']} of {safe(part['alias'])!r} ({points} point{'s' * (points > 1)}, up to "
            f"{part['bits']} bits): not authenticated by itself"
        )
    context = facts["context"]
    text = "none" if not context["hex"] else safe(context["text"] or "") or f"0x{context['hex']}"
    lines += [f"context      {text}", f"setup        {facts['srs']['name']}, digest {facts['srs']['digest'][:16]}…"]
    return lines


def not_guaranteed_lines() -> list[str]:
    """The limits of every proof."""
    return ["Not guaranteed by any proof:", *(f"  - {line}" for line in NOT_GUARANTEED)]
