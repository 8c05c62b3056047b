"""Commitments to positions and collateral: the document, and the rules for adding parts up.

A commitment hides a vector of lots: C_s = sum_i q_i [L_i(tau)]_1 + r_s [Z_H(tau)]_1, one point a segment. An account
is the sum of its parts (several venues, several custodians). Parts authenticate nothing by themselves: use only
commitments that come from someone you trust for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from py_arkworks_bls12381 import G1Point
from pydantic import Field, model_validator

from zkmargin.circuits.circuit import Circuit
from zkmargin.circuits.margin import slot_map_digest
from zkmargin.crypto.group import G1_BYTES, add_all, decode_g1, is_infinity
from zkmargin.crypto.srs import SRS
from zkmargin.engine.snapshot import MAX_BITS, Snapshot
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Model, Seq, from_hex
from zkmargin.formats.budget import spend
from zkmargin.formats.canonical import canonical_bytes

Role = Literal["positions", "collateral"]
ROLES: tuple[Role, ...] = ("positions", "collateral")
#: One text for one point: parts that are the same are seen to be the same.
PointHex = Annotated[str, Hexadecimal(G1_BYTES)]


class CommitmentPart(Model):
    """One committed vector.

    Attributes:
        role: ``positions`` or ``collateral``; a part counts for its role only.
        alias: a public name for the account or its holder, free text, no authority of its own.
        slot_map: digest of the slots that the rows stand for (hex).
        points: one compressed G1 point a segment (hex).
        bits: every entry is below 2^bits lots in absolute value, says whoever made the part.
    """

    role: Role
    alias: str = Field(min_length=1, max_length=200)
    slot_map: Digest
    points: Seq[PointHex] = Field(min_length=1, max_length=4096)
    bits: int = Field(ge=1, le=MAX_BITS)

    @model_validator(mode="after")
    def _count(self) -> Self:
        spend("points", len(self.points))
        return self

    def canonical(self) -> bytes:
        """The bytes that a statement absorbs."""
        return canonical_bytes(self.model_dump(mode="json"))

    def decoded(self) -> tuple[G1Point, ...]:
        """The points. Raises InputError naming the first bad one."""
        result = []
        for s, point in enumerate(self.points):
            try:
                result.append(decode_g1(from_hex(point)))
            except ValueError as error:
                raise InputError(f"{error}", field=f"{self.role} part {self.alias!r}: points[{s}]") from None
        return tuple(result)


class Commitment(Document):
    """Commitment parts that belong together, with the setup and the domain they were made over."""

    FORMAT: ClassVar[str] = "zkmargin/commitment/v1"

    srs: Digest = Field(description="digest of the structured reference string")
    domain_size: int
    parts: Seq[CommitmentPart] = Field(min_length=1, max_length=1024)


def gather(commitments: Sequence[Commitment], snapshot: Snapshot, srs: SRS) -> tuple[CommitmentPart, ...]:
    """All parts of several documents, checked against a snapshot: in canonical order.

    Raises:
        InputError: another SRS, domain or slot map, the same part twice, or a role without any part.
    """
    parts: list[CommitmentPart] = []
    for commitment in commitments:
        if commitment.srs != srs.digest.hex():
            raise InputError("made with another structured reference string", field="commitment: srs")
        if commitment.domain_size != snapshot.layout.domain_size:
            raise InputError(
                f"made over {commitment.domain_size} rows, the snapshot has {snapshot.layout.domain_size}",
                field="commitment: domain_size",
            )
        parts.extend(commitment.parts)
    expected = {role: slot_map_digest(snapshot, role).hex() for role in ROLES}
    for part in parts:
        if part.slot_map != expected[part.role]:
            raise InputError(
                f"{part.role} part {part.alias!r} was made for other slots than the snapshot lists",
                field="commitment: slot_map",
                hint="commit the book again against this snapshot",
            )
    seen: set[tuple[str, ...]] = set()
    for part in parts:
        if part.points in seen:
            raise InputError(f"{part.role} part {part.alias!r} is given twice", field="commitment: points")
        seen.add(part.points)
    for role in ROLES:
        if not any(part.role == role for part in parts):
            raise InputError(f"no part for {role}", field="commitment", hint=f"give a commitment file with {role} too")
    return tuple(sorted(parts, key=CommitmentPart.canonical))


def sum_points(parts: Sequence[CommitmentPart], role: Role, circuit: Circuit) -> tuple[G1Point, ...]:
    """The account's commitment for a role, one point a segment.

    Raises:
        InputError: wrong number of points, a bad point, or parts that cancel to the point at infinity.
    """
    count = circuit.position_segments if role == "positions" else circuit.collateral_segments
    rows = [part.decoded() for part in parts if part.role == role]
    if any(len(row) != count for row in rows):
        raise InputError(f"a part for {role} has {count} points here", field="commitment: points")
    sums = tuple(add_all(column) for column in zip(*rows, strict=True))
    if any(is_infinity(point) for point in sums):
        raise InputError(f"the parts for {role} add up to the point at infinity", field="commitment: points")
    return sums
