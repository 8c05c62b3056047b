"""Statements of every protocol whose proofs are accepted, recorded and bundled alike: one account's, a venue's.

Whoever accepts a proof asks here, so that no other module tells one protocol from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from zkmargin.formats import ProofFormatError, VerificationError
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import Accepted, verify, verify_each

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


def verify_any_each(
    items: Sequence[tuple[AnyStatement, bytes]],
) -> list[AnyAccepted | ProofFormatError | VerificationError]:
    """A verdict for each of many proofs, in their order: those of accounts together, a venue's by itself.

    Raises:
        InputError: statements of accounts under different SRS.
    """
    mine = [(statement, proof) for statement, proof in items if isinstance(statement, Statement)]
    together = iter(verify_each(mine))
    return [
        next(together) if isinstance(statement, Statement) else _judged(statement, proof) for statement, proof in items
    ]


def _judged(statement: AnyStatement, proof: bytes) -> AnyAccepted | ProofFormatError | VerificationError:
    try:
        return verify_any(statement, proof)
    except (ProofFormatError, VerificationError) as error:
        return error
