"""Verification of one proof or of many."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.field import dot
from zkmargin.crypto.group import msm_many, pairing_product_is_one
from zkmargin.crypto.srs import SRS
from zkmargin.formats.errors import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.argument import Opening, Terms, reduce_to_opening
from zkmargin.verifier.proof import decode_proof
from zkmargin.verifier.statement import Statement

_WEIGHT_BITS = 128


@dataclass(frozen=True)
class Accepted:
    """A proof that passed every check.

    ``statement_digest`` identifies what was proved: use it, never proof bytes, to recognise a replay.

    Example:
        >>> accepted = verify(statement, proof)
        >>> len(accepted.statement_digest)
        32
    """

    statement: Statement
    statement_digest: bytes

    def __repr__(self) -> str:
        return f"Accepted({self.statement.claim}, statement {self.statement_digest.hex()[:16]}...)"


def verify(statement: Statement, proof: bytes) -> Accepted:
    """Check a proof against a statement.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.

    Example:
        >>> verify(statement, proof).statement.claim
        Claim(num=11, den=10, requirement='initial')
        >>> verify(statement, proof[:-1])
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.ProofFormatError: 1071 bytes where a proof of this statement has 1072, its header aside
    """
    opening = opening_of(statement, proof)
    if not holds(*fold([opening], [1], statement.srs), statement.srs):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    return Accepted(statement, opening.statement_digest)


def verify_batch(items: Sequence[tuple[Statement, bytes]]) -> list[Accepted]:
    """Check many proofs under one SRS with one pairing: random 128-bit weights drawn after all inputs are fixed.

    Raises:
        InputError: an empty batch, or statements under different SRS.
        ProofFormatError: the first proof that is not well-formed, named by its place in ``items`` (from 1).
        VerificationError: all are well-formed; the first that does not prove its statement, named likewise.

    Example:
        >>> [accepted.statement.claim.num for accepted in verify_batch([(statement, proof)] * 2)]
        [11, 11]
    """
    if not items:
        raise InputError("an empty batch proves nothing", field="proofs")
    if len({statement.srs.digest for statement, _ in items}) > 1:
        raise InputError("statements under different structured reference strings", field="proofs")
    srs = items[0][0].srs
    openings = []
    for place, (statement, proof) in enumerate(items, 1):
        try:
            openings.append(opening_of(statement, proof))
        except ProofFormatError as error:
            raise ProofFormatError(f"proof {place} of {len(items)}: {error.message}") from None
    if not _hold_together(openings, srs):
        bad = _first_bad(openings, srs)
        raise VerificationError(f"proof {bad + 1} of {len(items)} does not prove its statement", check="pairing")
    return [Accepted(s, o.statement_digest) for (s, _), o in zip(items, openings, strict=True)]


def verify_each(items: Sequence[tuple[Statement, bytes]]) -> list[Accepted | ProofFormatError | VerificationError]:
    """A verdict for each of many proofs under one SRS, in their order: accepted, or why not.

    One pairing where all are good; each bad one costs some more to be found, by halving.

    Raises:
        InputError: statements under different SRS.

    Example:
        >>> [type(verdict).__name__ for verdict in verify_each([(statement, proof), (statement, proof[:-1])])]
        ['Accepted', 'ProofFormatError']
    """
    if len({statement.srs.digest for statement, _ in items}) > 1:
        raise InputError("statements under different structured reference strings", field="proofs")
    verdicts: dict[int, Accepted | ProofFormatError | VerificationError] = {}
    openings: dict[int, Opening] = {}
    for place, (statement, proof) in enumerate(items):
        try:
            openings[place] = opening_of(statement, proof)
        except (ProofFormatError, VerificationError) as error:
            verdicts[place] = error
    bad = _all_bad(list(openings), openings, items[0][0].srs) if openings else set()
    for place, opening in openings.items():
        if place in bad:
            verdicts[place] = VerificationError("the proof does not prove this statement", check="pairing")
        else:
            verdicts[place] = Accepted(items[place][0], opening.statement_digest)
    return [verdicts[place] for place in range(len(items))]


def opening_of(statement: Statement, proof: bytes) -> Opening:
    """Everything about a proof but the pairing. Raises ProofFormatError."""
    if not isinstance(proof, bytes):
        raise TypeError("a proof is bytes")
    return reduce_to_opening(statement, decode_proof(proof, statement.circuit.shape, statement.srs.digest))


def fresh_weights(count: int) -> list[int]:
    """Random 128-bit weights, none 0: to be drawn when everything they weigh is fixed."""
    return [1 + secrets.randbelow((1 << _WEIGHT_BITS) - 1) for _ in range(count)]


def fold(openings: Sequence[Opening], weights: Sequence[int], srs: SRS) -> tuple[G1Point, G1Point]:
    """The weighted sums of the left and of the right sides."""
    constant = dot([opening.constant for opening in openings], weights)
    left = _weighted([opening.left for opening in openings], weights)
    right = _weighted([opening.right for opening in openings], weights)
    left_sum, right_sum = msm_many([_split(left), _split([*right, (srs.g1(0), constant)])])
    return left_sum, right_sum


def holds(left: G1Point, right: G1Point, srs: SRS) -> bool:
    """e(left, [tau]_2) = e(right, [1]_2)."""
    return pairing_product_is_one([(left, srs.g2_tau), (-right, srs.g2_one)])


def _weighted(sides: Sequence[Terms], weights: Sequence[int]) -> list[tuple[G1Point, int]]:
    return [(point, weight * c) for side, weight in zip(sides, weights, strict=True) for point, c in side]


def _split(terms: Sequence[tuple[G1Point, int]]) -> tuple[list[G1Point], list[int]]:
    return [point for point, _ in terms], [c for _, c in terms]


def _hold_together(openings: Sequence[Opening], srs: SRS) -> bool:
    """All openings at once, folded with fresh weights."""
    return holds(*fold(openings, fresh_weights(len(openings)), srs), srs)


def _first_bad(openings: Sequence[Opening], srs: SRS) -> int:
    """Index of the first bad opening of a batch that does not hold together, by bisection.

    It always names one: a batch that failed is never accepted because a half of it passes.
    """
    if len(openings) == 1:
        return 0
    middle = len(openings) // 2
    if not _hold_together(openings[:middle], srs):
        return _first_bad(openings[:middle], srs)
    return middle + _first_bad(openings[middle:], srs)


def _all_bad(places: Sequence[int], openings: Mapping[int, Opening], srs: SRS) -> set[int]:
    """Which of these openings are bad: none where they hold together, else those of both halves."""
    if _hold_together([openings[place] for place in places], srs):
        return set()
    if len(places) == 1:
        return set(places)
    middle = len(places) // 2
    return _all_bad(places[:middle], openings, srs) | _all_bad(places[middle:], openings, srs)
