"""Statements of every protocol whose proofs are accepted, recorded and bundled alike: one account's, a venue's.

Whoever accepts a proof asks here, so that no other module tells one protocol from another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import Accepted, verify

if TYPE_CHECKING:
    from zkmargin.verifier.venue.statement import VenueStatement
    from zkmargin.verifier.venue.verify import VenueAccepted

#: What a proof is checked against. All of them have ``snapshot``, ``srs``, ``n``, ``context`` and ``account_parts``.
AnyStatement: TypeAlias = "Statement | VenueStatement"
AnyAccepted: TypeAlias = "Accepted | VenueAccepted"


def verify_any(statement: AnyStatement, proof: bytes) -> AnyAccepted:
    """Check a proof of the statement's protocol.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
    """
    if isinstance(statement, Statement):
        return verify(statement, proof)
    from zkmargin.verifier.venue.verify import verify_venue  # noqa: PLC0415 - most proofs are of one account

    return verify_venue(statement, proof)
