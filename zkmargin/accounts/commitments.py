"""Commitments to positions and collateral: the document, and the rules for adding parts up.

A commitment hides a vector of lots: C_s = sum_i q_i [L_i(tau)]_1 + r_s [Z_H(tau)]_1, one point a segment. An account
is the sum of its parts (several venues, several custodians). Parts authenticate nothing by themselves: use only
commitments that come from someone you trust for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Annotated, ClassVar, Self

from py_arkworks_bls12381 import G1Point
from pydantic import Field, model_validator

from zkmargin.accounts.slots import ROLES, Role, check_setup, check_slots
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.group import G1_BYTES, add_all, decode_g1, encode_g1, is_infinity
from zkmargin.crypto.segments import segment_rows
from zkmargin.crypto.srs import SRS
from zkmargin.engine.snapshot import MAX_BITS, Snapshot
from zkmargin.formats import Digest, Document, Hexadecimal, Hint, InputError, Model, PlainName, Seq, from_hex
from zkmargin.formats.budget import spend
from zkmargin.formats.canonical import canonical_bytes

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

    Example:
        >>> part = commitment.parts[0]
        >>> len(part.decoded())
        1
    """

    role: Role
    alias: PlainName = Field(min_length=1, max_length=200)
    slot_map: Digest
    points: Seq[PointHex] = Field(min_length=1, max_length=4096)
    bits: int = Field(ge=1, le=MAX_BITS)

    @model_validator(mode="after")
    def _count(self) -> Self:
        spend("points", len(self.points))
        return self

    @cached_property
    def _canonical(self) -> bytes:
        return canonical_bytes(self.model_dump(mode="json"))

    def canonical(self) -> bytes:
        """The bytes that a statement absorbs."""
        return self._canonical

    def decoded(self) -> tuple[G1Point, ...]:
        """The points. Raises InputError naming the first bad one."""
        result = []
        for s, point in enumerate(self.points):
            try:
                result.append(_decoded(point))
            except ValueError as error:
                raise InputError(f"{error}", field=f"{self.role} part {self.alias!r}: points[{s}]") from None
        return tuple(result)


@lru_cache(maxsize=4096)
def _decoded(point: str) -> G1Point:
    """A point of a commitment: an account's are met with every proof of it. Raises ValueError."""
    return decode_g1(from_hex(point))


class Commitment(Document):
    """Commitment parts that belong together, with the setup and the domain they were made over.

    Example:
        >>> [(part.role, len(part.points)) for part in commitment.parts]
        [('positions', 1), ('collateral', 1)]
    """

    FORMAT: ClassVar[str] = "zkmargin/commitment/v1"

    srs: Digest = Field(description="digest of the structured reference string")
    domain_size: int
    parts: Seq[CommitmentPart] = Field(min_length=1, max_length=1024)


@lru_cache(maxsize=1024)
def joined(srs: str, domain_size: int, parts: tuple[CommitmentPart, ...]) -> Commitment:
    """The one commitment document of all parts of an account, in a statement's order: what its digest is taken of."""
    return Commitment(srs=srs, domain_size=domain_size, parts=parts)


def gather(commitments: Sequence[Commitment], snapshot: Snapshot, srs: SRS) -> tuple[CommitmentPart, ...]:
    """All parts of several documents, checked against a snapshot: in canonical order.

    Raises:
        InputError: another SRS, domain or slot map, the same part twice, or a role without any part.
    """
    parts: list[CommitmentPart] = []
    for commitment in commitments:
        check_setup(commitment.srs, commitment.domain_size, snapshot, srs, "commitment")
        parts.extend(commitment.parts)
    check_parts(parts, snapshot)
    return tuple(sorted(parts, key=CommitmentPart.canonical))


def check_parts(parts: Sequence[CommitmentPart], snapshot: Snapshot) -> None:
    """Raises InputError: a part made for other slots than the snapshot's, one twice, or a role without any."""
    for part in parts:
        check_slots(
            part.slot_map,
            part.role,
            snapshot,
            field="commitment: slot_map",
            made=f"{part.role} part {part.alias!r} was made",
            hint=Hint.MIGRATE,
        )
    seen: set[tuple[str, ...]] = set()
    for part in parts:
        if part.points in seen:
            raise InputError(f"{part.role} part {part.alias!r} is given twice", field="commitment: points")
        seen.add(part.points)
    for role in ROLES:
        if not any(part.role == role for part in parts):
            raise InputError(f"no part for {role}", field="commitment", hint=f"give a commitment file with {role} too")


def sum_points(
    parts: Sequence[CommitmentPart], role: Role, segments: int, *, field: str = "commitment: points"
) -> tuple[G1Point, ...]:
    """The account's commitment for a role, one point a segment.

    Raises:
        InputError: wrong number of points, a bad point, or parts that cancel to the point at infinity.
    """
    rows = [part.decoded() for part in parts if part.role == role]
    if any(len(row) != segments for row in rows):
        raise InputError(f"a part for {role} has {segments} points here", field=field)
    sums = tuple(add_all(column) for column in zip(*rows, strict=True))
    if any(is_infinity(point) for point in sums):
        raise InputError(f"the parts for {role} add up to the point at infinity", field=field)
    return sums


def commit_vector(srs: SRS, n: int, lots: Sequence[int], blinders: Sequence[int]) -> list[bytes]:
    """C_s = sum_i q_i [L_i(tau)]_1 + r_s [Z_H(tau)]_1 for each segment s: compressed points.

    Example:
        >>> from zkmargin.crypto.srs import embedded
        >>> points = commit_vector(embedded(), 16, [3, 0, -2], [12345])
        >>> len(points), len(points[0])
        (1, 48)
    """
    return [
        encode_g1(commit_values(srs, Domain.of(n), segment_rows(lots, n, s).tolist(), blinder))
        for s, blinder in enumerate(blinders)
    ]


def hex_points(points: Iterable[bytes]) -> tuple[str, ...]:
    """Points as documents write them."""
    return tuple(point.hex() for point in points)


def part_of(parts: Sequence[CommitmentPart], role: Role) -> tuple[int, CommitmentPart]:
    """Place and value of the only part of a role. Raises InputError where there is none or more than one."""
    found = [(i, part) for i, part in enumerate(parts) if part.role == role]
    if len(found) != 1:
        raise InputError(
            f"{len(found)} parts of {role} where one is needed",
            field="parts",
            hint="a step is about one party's part: give the file of that party",
        )
    return found[0]


def check_bound(part: CommitmentPart, lots: Sequence[int]) -> None:
    """Raises InputError when an entry is not below the part's bound."""
    if any(abs(q) >= 1 << part.bits for q in lots):
        raise InputError(f"a quantity leaves the bound that is attested, 2^{part.bits} lots", field=part.role)
