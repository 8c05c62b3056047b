"""What a proof is checked against: everything public, from the verifier's own inputs, never from the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from py_arkworks_bls12381 import G1Point

from zkmargin.accounts.commitments import Commitment, CommitmentPart, check_parts, gather, sum_points
from zkmargin.accounts.slots import ROLES
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.margin import build_circuit
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

MAX_CONTEXT_BYTES = 1024


class Instance(Protocol):
    """What the argument needs to know of what it proves: a circuit, commitments, and all that is public."""

    @property
    def srs(self) -> SRS:
        """The structured reference string."""

    @property
    def circuit(self) -> Circuit:
        """The public equations."""

    def committed_points(self) -> dict[str, G1Point]:
        """The committed columns by name."""

    def public_messages(self) -> Iterator[tuple[str, bytes]]:
        """Everything public, labelled, in the order the transcript absorbs it."""


@dataclass(frozen=True)
class Statement:
    """The public side of one proof. Its circuit follows from snapshot, claim and limits: it is no field of its own.

    Attributes:
        srs: the structured reference string.
        snapshot: the risk snapshot.
        claim: equity : requirement >= num : den, and which requirement.
        limits: further claims proved beside it (engine/limits.py).
        parts: the commitments, in canonical order.
        context: opaque bytes that bind the proof to its reader (audience, nonce, expiry).

    Example:
        >>> statement.claim, len(statement.parts)
        (Claim(num=11, den=10, requirement='initial'), 2)
        >>> statement.circuit.n
        1024
    """

    srs: SRS
    snapshot: Snapshot
    claim: Claim
    parts: tuple[CommitmentPart, ...]
    context: bytes = b""
    limits: tuple[Limit, ...] = ()

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        commitments: Sequence[Commitment],
        claim: Claim,
        *,
        context: bytes = b"",
        limits: Sequence[Limit] = (),
        srs: SRS | None = None,
    ) -> Statement:
        """Build the statement from a snapshot, commitment documents, a claim, a context and limits.

        Raises:
            InputError: documents that do not belong together, or a context of more than 1 KB.
        """
        srs = srs or embedded()
        parts = gather(commitments, snapshot, srs)
        statement = cls(srs, snapshot, claim, parts, context, tuple(limits))
        statement.committed_points()
        return statement

    def __post_init__(self) -> None:
        """Whoever makes one, and from whatever: ``replace`` of a field must not get round what ``of`` asks."""
        if len(self.context) > MAX_CONTEXT_BYTES:
            raise InputError(f"{len(self.context)} bytes, at most {MAX_CONTEXT_BYTES}", field="context")
        check_parts(self.parts, self.snapshot)
        if not self.snapshot.layout.range_proved:
            self._check_attested_bound()

    def __reduce__(self) -> tuple[object, ...]:
        """Copied between processes without what is computed from the fields."""
        return Statement, (self.srs, self.snapshot, self.claim, self.parts, self.context, self.limits)

    @cached_property
    def circuit(self) -> Circuit:
        """The circuit of the claim and the limits against the snapshot. Raises InputError as ``build_circuit``."""
        return build_circuit(self.snapshot, self.claim, self.limits)

    @property
    def n(self) -> int:
        """Rows of a column."""
        return self.circuit.n

    @property
    def account_parts(self) -> tuple[tuple[CommitmentPart, ...], ...]:
        """The parts of each committed account: here of one."""
        return (self.parts,)

    @cached_property
    def snapshot_digest(self) -> bytes:
        """keccak-256 of the risk snapshot."""
        return self.snapshot.digest()

    def _check_attested_bound(self) -> None:
        """Without range-proved positions the parts' own bounds must keep the sum inside the circuit's."""
        total = sum((1 << part.bits) - 1 for part in self.parts if part.role == "positions")
        if total > self.circuit.position_bound:
            raise InputError(
                "the bounds that the position parts state add up to more than the circuit allows",
                field="commitment: bits",
            )

    @cached_property
    def _sums(self) -> dict[str, G1Point]:
        named: dict[str, G1Point] = {}
        for role in ROLES:
            columns = [column for column in self.circuit.listed_rows if column.startswith(role)]
            named |= zip(columns, sum_points(self.parts, role, len(columns)), strict=True)
        return named

    def committed_points(self) -> dict[str, G1Point]:
        """The account's commitments by name, each the sum of its parts. Raises InputError on bad points."""
        return dict(self._sums)

    def public_messages(self) -> Iterator[tuple[str, bytes]]:
        """Everything public, labelled, in the order the transcript absorbs it."""
        yield "srs", self.srs.digest
        yield "snapshot", self.snapshot_digest
        yield "circuit", self.circuit.digest
        yield "claim", f"{self.claim.num}/{self.claim.den} {self.claim.requirement}".encode("ascii")
        yield "limits", len(self.limits).to_bytes(4, "big")
        for limit in self.limits:
            yield "limit", str(limit).encode()
        yield "parts", len(self.parts).to_bytes(4, "big")
        for part in self.parts:
            yield "part", part.canonical()
        yield "context", self.context
