"""Verification of one proof or of many."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.group import msm, pairing_product_is_one
from formats.errors import InputError, VerificationError
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
        ProofFormatError, VerificationError: the first bad proof, by its place in ``items``.
    """
    if not items:
        raise InputError("an empty batch proves nothing", field="proofs")
    if len({statement.srs.digest for statement, _ in items}) > 1:
        raise InputError("statements under different structured reference strings", field="proofs")
    openings = [_reduce(statement, proof) for statement, proof in items]
    bad = _first_bad(openings, items[0][0], 0)
    if bad is not None:
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


def _first_bad(openings: Sequence[Opening], statement: Statement, offset: int) -> int | None:
    """Index of a bad opening, found by bisection; None if the weighted sum passes."""
    weights = [1 + secrets.randbelow((1 << _WEIGHT_BITS) - 1) for _ in openings]
    folded = Opening(msm([o.left for o in openings], weights), msm([o.right for o in openings], weights), b"")
    if _holds(folded, statement):
        return None
    if len(openings) == 1:
        return offset
    middle = len(openings) // 2
    left = _first_bad(openings[:middle], statement, offset)
    return left if left is not None else _first_bad(openings[middle:], statement, offset + middle)
