"""Verification of venue proofs."""

from __future__ import annotations

from dataclasses import dataclass

from zkmargin.formats.errors import VerificationError
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.argument import reduce_to_opening
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.verify import fold, holds


@dataclass(frozen=True, repr=False)
class VenueAccepted:
    """A venue proof that passed every check.

    Attributes:
        statement: what was proved.
        statement_digest: identifies it: use it, never proof bytes, to recognise a replay.
        proof_digest: identifies this proof; customers' notes name it. Two for one snapshot are evidence of fraud.
        root: of the tree over the columns of message 1.
    """

    statement: VenueStatement
    statement_digest: bytes
    proof_digest: bytes
    root: bytes

    @property
    def record(self) -> VenueRecord:
        """What the venue publishes beside the proof."""
        return VenueRecord(
            venue=self.statement.terms.venue,
            statement=self.statement_digest.hex(),
            proof=self.proof_digest.hex(),
            root=self.root.hex(),
            accounts=self.statement.accounts,
        )


def verify_venue(statement: VenueStatement, proof: bytes) -> VenueAccepted:
    """Check a venue proof against a statement.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
    """
    if not isinstance(proof, bytes):
        raise TypeError("a proof is bytes")
    decoded = decode_venue_proof(proof, statement)
    reduced = reduce_to_opening(statement, decoded)
    if not holds(*fold([reduced.opening], [1], statement.srs), statement.srs):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    root = merkle.root(decoded.columns.leaves(statement))
    return VenueAccepted(statement, reduced.statement_digest, reduced.proof_digest, root)
