"""What a chain proof is checked against, from the verifier's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zkmargin.accounts.commitments import Commitment
from zkmargin.accounts.slots import ROLES
from zkmargin.circuits.chain import DIGIT_BITS, MAX_RATIO, POSITION_DIGITS, ChainPrices, fit
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.chain.table import Table, check_head
from zkmargin.verifier.chain.words import keccak256, point_bytes, word
from zkmargin.verifier.statement import Statement

#: What every chain proof shows of every position: below 2^30 lots.
CHAIN_POSITION_BITS = POSITION_DIGITS * DIGIT_BITS


@dataclass(frozen=True)
class ChainStatement:
    """The public side of a chain proof.

    Attributes:
        statement: snapshot, claim, commitments and context, as of any proof: the same commitments serve both.
        prices: the snapshot in the chain layout.
        table: the table that the contract will be shown.

    Example:
        >>> chain_statement.statement.claim
        Claim(num=11, den=10, requirement='initial')
        >>> len(chain_statement.context_word)
        32
    """

    statement: Statement
    prices: ChainPrices
    table: Table

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        commitments: Sequence[Commitment],
        claim: Claim,
        table: Table,
        *,
        context: bytes = b"",
        limits: Sequence[Limit] = (),
        srs: SRS | None = None,
    ) -> ChainStatement:
        """Build the statement.

        Raises:
            InputError: documents that do not belong together, or that the chain layout has no room for.
        """
        if limits:
            raise InputError("the chain protocol proves a claim alone", field="limits", hint="leave the limits out")
        if table.requirement != claim.requirement:
            raise InputError(f"made for the {table.requirement} requirement", field="table: requirement")
        fit("claim", max(claim.num, claim.den), MAX_RATIO, what="as numerator or denominator")
        prices = ChainPrices.of(snapshot, claim.requirement)
        statement = Statement.of(snapshot, commitments, claim, context=context, srs=srs)
        check_head(table, prices, statement.snapshot_digest, statement.srs)
        return cls(statement, prices, table)

    @property
    def context_word(self) -> bytes:
        """H(context): the word that the transcript absorbs; a contract computes it (``chain_context``)."""
        return keccak256(self.statement.context)

    def commitments(self) -> tuple[bytes, bytes]:
        """Positions and collateral, 96 bytes each, the sums of their parts."""
        points = self.statement.committed_points()
        positions, collateral = (point_bytes(points[f"{role}[0]"]) for role in ROLES)
        return positions, collateral


def chain_context(chain_id: int, verifier: bytes, application: bytes, nonce: bytes) -> bytes:
    """The context of a proof for a contract, 128 bytes: chain id, MarginVerifier, its caller, the caller's nonce.

    Addresses are 20 bytes, the nonce 32. ``MarginVerifier`` computes it from what it knows; nobody can choose it.

    Example:
        >>> len(chain_context(1, bytes(20), bytes(20), bytes(32)))
        128
    """
    if len(verifier) != 20 or len(application) != 20 or len(nonce) != 32:
        raise ValueError("two addresses of 20 bytes and a nonce of 32")
    return word(chain_id) + bytes(12) + verifier + bytes(12) + application + nonce
