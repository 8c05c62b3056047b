"""A prover's check of its own proof, its points shared among workers.

Nearly all of a verification is decoding points (each is in its group, or refused) and adding them up. A worker checks
and adds up the points that its neighbour made; one without a neighbour checks nothing. What is checked is what
``verifier.venue.verify.verify_venue`` checks; a worker that lies here can let a bad proof out, which every verifier
refuses: it convinces nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Protocol

from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.group import G1_BYTES, decode_g1, encode_g1, msm
from zkmargin.crypto.scalars import Vector
from zkmargin.formats.errors import ProofFormatError, VerificationError
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.argument import reduce_with
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.verify import VenueAccepted, verify_venue
from zkmargin.verifier.verify import fold, holds


class Checker(Protocol):
    """A worker."""

    def check(self, points: bytes, scalars: Sequence[int]) -> bytes:
        """As ``checked_sum``."""
        ...


def checked_sum(points: bytes, scalars: Sequence[int]) -> bytes:
    """The sum of encoded points times scalars, encoded; nothing where all scalars are 0.

    Raises:
        ProofFormatError: bytes that are no point of the group.
    """
    decoded = [decoded_point(points[i : i + G1_BYTES]) for i in range(0, len(points), G1_BYTES)]
    terms = [(point, c) for point, c in zip(decoded, scalars, strict=True) if c]
    if not terms:
        return b""
    return encode_g1(msm([point for point, _ in terms], [c for _, c in terms]))


def decoded_point(data: bytes) -> G1Point:
    """A point of a proof. Raises ProofFormatError."""
    try:
        return decode_g1(data)
    except ValueError as error:
        raise ProofFormatError(str(error)) from None


def verify_shared(statement: VenueStatement, data: bytes, checkers: Sequence[Checker]) -> VenueAccepted:
    """Check a proof, points by workers; all of it here where there is one alone, which would check its own.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
    """
    if len(checkers) < 2:
        return verify_venue(statement, data)
    proof = decode_venue_proof(data, statement)
    *encoded, W, W_shifted = (point for _, point in proof.points())

    def weighted(scalars: Vector) -> list[tuple[G1Point, int]]:
        count = len(checkers)
        cuts = [len(encoded) * i // count for i in range(count + 1)]
        pieces = [range(a, b) for a, b in pairwise(cuts)]
        pieces = pieces[1:] + pieces[:1]  # points come in the order of their makers: nobody checks only its own

        def checked(checker: Checker, piece: range) -> bytes:
            return checker.check(b"".join(encoded[i] for i in piece), [int(scalars[i]) for i in piece])

        with ThreadPoolExecutor(count) as pool:
            sums = pool.map(checked, checkers, pieces)
            return [(decoded_point(one), 1) for one in sums if one]

    reduced = reduce_with(statement, proof, weighted, decoded_point(W), decoded_point(W_shifted))
    if not holds(*fold([reduced.opening], [1], statement.srs), statement.srs):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    root = merkle.root(proof.columns.leaves(statement))
    return VenueAccepted(statement, reduced.statement_digest, reduced.proof_digest, root)
