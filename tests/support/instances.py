"""Instances of the argument over circuits that no snapshot has. Loads no prover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from py_arkworks_bls12381 import G1Point

import zkmargin.verifier
from zkmargin.accounts import CommitmentPart
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.verifier import Accepted, Statement


@dataclass(frozen=True)
class BareStatement:
    """A ``Statement`` whose circuit and snapshot digest are given: what the product cannot make.

    What is absorbed and what is added up is the product's own code.
    """

    srs: SRS
    snapshot_digest: bytes
    circuit: Circuit
    claim: Claim
    parts: tuple[CommitmentPart, ...]
    context: bytes = b""
    limits: tuple[Limit, ...] = ()

    def as_statement(self) -> Statement:
        """Itself, for functions that take no other statement than the product's own: it has all that they read."""
        return cast("Statement", self)

    def public_messages(self) -> Iterator[tuple[str, bytes]]:
        """As in ``Statement``."""
        return Statement.public_messages(cast("Statement", self))

    def committed_points(self) -> dict[str, G1Point]:
        """As in ``Statement``."""
        points: dict[str, G1Point] = vars(Statement)["_sums"].func(cast("Statement", self))
        return points


def verify(statement: Statement | BareStatement, proof: bytes) -> Accepted:
    """The product's ``verify``, of either statement."""
    return zkmargin.verifier.verify(cast("Statement", statement), proof)


def verify_batch(items: Sequence[tuple[Statement | BareStatement, bytes]]) -> list[Accepted]:
    """The product's ``verify_batch``, of either statement."""
    return zkmargin.verifier.verify_batch(cast("Sequence[tuple[Statement, bytes]]", items))
