"""Verification of one proof or of many."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.group import msm, pairing_product_is_one
from formats.errors import InputError, ProofFormatError, VerificationError
from verifier.argument import Opening, reduce_to_opening
from verifier.proof import decode_proof
from verifier.statement import Statement

_WEIGHT_BITS = 128


@dataclass(frozen=True)
class Accepted:
    """A proof that passed every check.

    ``statement_digest`` identifies what was proved: use it, never proof bytes, to recognise a replay.
    """

    statement: Statement
    statement_digest: bytes


def verify(statement: Statement, proof: bytes) -> Accepted:
    """Check a proof against a statement.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
    """
    opening = _reduce(statement, proof)
    if not _holds(opening, statement):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    return Accepted(statement, opening.statement_digest)


def verify_batch(items: Sequence[tuple[Statement, bytes]]) -> list[Accepted]:
    """Check many proofs under one SRS with one pairing: random 128-bit weights drawn after all inputs are fixed.

    Raises:
        InputError: an empty batch, or statements under different SRS.
        ProofFormatError: the first proof that is not well-formed, named by its place in ``items`` (from 1).
        VerificationError: all are well-formed; the first that does not prove its statement, named likewise.
    """
    if not items:
        raise InputError("an empty batch proves nothing", field="proofs")
    if len({statement.srs.digest for statement, _ in items}) > 1:
        raise InputError("statements under different structured reference strings", field="proofs")
    openings = []
    for place, (statement, proof) in enumerate(items, 1):
        try:
            openings.append(_reduce(statement, proof))
        except ProofFormatError as error:
            raise ProofFormatError(f"proof {place} of {len(items)}: {error.message}") from None
    if not _holds_together(openings, items[0][0]):
        bad = _first_bad(openings, items[0][0])
        raise VerificationError(f"proof {bad + 1} of {len(items)} does not prove its statement", check="pairing")
    return [Accepted(s, o.statement_digest) for (s, _), o in zip(items, openings, strict=True)]


def _reduce(statement: Statement, proof: bytes) -> Opening:
    if not isinstance(proof, bytes):
        raise TypeError("a proof is bytes")
    return reduce_to_opening(statement, decode_proof(proof, statement.circuit.shape, statement.srs.digest))


def _holds(opening: Opening, statement: Statement) -> bool:
    """e(left, [tau]_2) = e(right, [1]_2)."""
    srs = statement.srs
    return pairing_product_is_one([(opening.left, srs.g2_tau), (-opening.right, srs.g2_one)])


def _holds_together(openings: Sequence[Opening], statement: Statement) -> bool:
    """All openings at once, folded with fresh weights."""
    weights = [1 + secrets.randbelow((1 << _WEIGHT_BITS) - 1) for _ in openings]
    folded = Opening(msm([o.left for o in openings], weights), msm([o.right for o in openings], weights), b"")
    return _holds(folded, statement)


def _first_bad(openings: Sequence[Opening], statement: Statement) -> int:
    """Index of the first bad opening of a batch that does not hold together, by bisection.

    It always names one: a batch that failed is never accepted because a half of it passes.
    """
    if len(openings) == 1:
        return 0
    middle = len(openings) // 2
    if not _holds_together(openings[:middle], statement):
        return _first_bad(openings[:middle], statement)
    return middle + _first_bad(openings[middle:], statement)
