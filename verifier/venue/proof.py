"""The bytes of a venue proof (docs/formats.md "Venue proof"). Every count comes from the statement, never from a proof.

header      magic, version, curve, kind 2, SRS digest                                44 bytes
points      column sets (instruments, group, digits), tags, the cap's column, dense digits, mu, Qp Qm Qc a segment,
            helpers, phi, T                                                          48 bytes each
scalars     f(zeta) of every column set, cap, dense column; phi(omega zeta)          32 bytes each
W, W'
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar
from zkmargin.crypto.group import G1_BYTES
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.proof import CURVE_BLS12_381, HEADER_BYTES, MAGIC, VERSION
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.statement import VenueStatement

KIND_VENUE = 2


@dataclass(frozen=True)
class VenueProof:
    """All messages; points and scalars as their encodings, one after another.

    Attributes:
        columns: for each set its columns' points.
        tags, extra, dense, mu: the rest of message 1.
        aggregates: Qp, Qm, Qc of each segment.
        helpers, phi: message 3.
        T: message 4.
        values, phi_shifted: message 5.
        W, W_shifted: message 6.
    """

    columns: tuple[bytes, ...]
    tags: bytes
    extra: bytes
    dense: bytes
    mu: bytes
    aggregates: bytes
    helpers: bytes
    phi: bytes
    T: bytes
    values: bytes
    phi_shifted: int
    W: bytes
    W_shifted: bytes

    def leaves(self, statement: VenueStatement) -> list[bytes]:
        """The Merkle leaves of message 1, one a set."""
        return [
            merkle.leaf(x.index, [self.columns[x.index], self.tag_point(statement.tag_column(x)[0])])
            for x in statement.sets
        ]

    def tag_point(self, index: int) -> bytes:
        """The commitment of one tag column."""
        return self.tags[index * G1_BYTES : (index + 1) * G1_BYTES]

    def point_bytes(self) -> bytes:
        """Every point in the order of the encoding, W and W' last."""
        return b"".join(
            (*self.columns, self.tags, self.extra, self.dense, self.mu, self.aggregates, self.helpers, self.phi, self.T)
        ) + (self.W + self.W_shifted)

    @cached_property
    def scalars(self) -> list[int]:
        """The values at zeta. Raises ProofFormatError for one that is not canonical."""
        try:
            size = SCALAR_BYTES
            return [decode_scalar(self.values[i : i + size]) for i in range(0, len(self.values), size)]
        except ValueError as error:
            raise ProofFormatError(f"f(zeta): {error}") from None


@dataclass(frozen=True)
class ProofCounts:
    """How many elements each part of a proof has."""

    sets: tuple[int, ...]
    tags: int
    extra: int
    dense: int
    mu: int
    aggregates: int
    helpers: int
    pieces: int
    values: int

    @classmethod
    def of(cls, statement: VenueStatement) -> ProofCounts:
        """The counts of every proof of a statement."""
        return cls(
            sets=tuple(statement.templates[x.kind].opened_columns for x in statement.sets),
            tags=statement.tag_columns,
            extra=int(statement.extra),
            dense=sum(y.template.digit_columns for y in statement.dense),
            mu=statement.tables,
            aggregates=3 * statement.segments,
            helpers=len(statement.helpers),
            pieces=statement.g,
            values=len(statement.opened),
        )

    @property
    def points(self) -> int:
        """All points."""
        others = self.tags + self.extra + self.dense + self.mu + self.aggregates + self.helpers + self.pieces
        return sum(self.sets) + others + 3

    @property
    def total_bytes(self) -> int:
        """The exact length of a proof, header included."""
        return HEADER_BYTES + G1_BYTES * self.points + SCALAR_BYTES * (self.values + 1)


def venue_header(srs_digest: bytes) -> bytes:
    """Magic, version, curve, kind and the digest of the SRS."""
    return MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, KIND_VENUE]) + srs_digest


def is_venue_proof(data: bytes) -> bool:
    """Whether bytes begin as a venue proof does."""
    return len(data) >= HEADER_BYTES and data[: HEADER_BYTES - 32] == venue_header(b"")


def encode_venue_proof(proof: VenueProof, srs_digest: bytes) -> bytes:
    """The one encoding of a proof."""
    points = proof.point_bytes()
    openings = 2 * G1_BYTES
    return b"".join(
        (
            venue_header(srs_digest),
            points[:-openings],
            proof.values,
            encode_scalar(proof.phi_shifted),
            points[-openings:],
        )
    )


def decode_venue_proof(data: bytes, statement: VenueStatement) -> VenueProof:
    """Cut the bytes into messages; points are checked later, when they are decoded.

    Raises:
        ProofFormatError: another length, header or setup than expected, or a scalar >= r.
    """
    counts = ProofCounts.of(statement)
    if not is_venue_proof(data):
        raise ProofFormatError("not a venue proof of this version")
    if data[HEADER_BYTES - 32 : HEADER_BYTES] != statement.srs.digest:
        raise ProofFormatError("made for another structured reference string (SRS digest in the header)")
    if len(data) != counts.total_bytes:
        raise ProofFormatError(f"{len(data)} bytes where a proof of this statement has {counts.total_bytes}")
    at = HEADER_BYTES

    def points(count: int) -> bytes:
        nonlocal at
        at += count * G1_BYTES
        return data[at - count * G1_BYTES : at]

    columns = tuple(points(count) for count in counts.sets)
    tags, extra, dense, mu = (points(count) for count in (counts.tags, counts.extra, counts.dense, counts.mu))
    aggregates, helpers, phi, T = (points(count) for count in (counts.aggregates, counts.helpers, 1, counts.pieces))
    values = data[at : at + SCALAR_BYTES * counts.values]
    at += len(values)
    try:
        phi_shifted = decode_scalar(data[at : at + SCALAR_BYTES])
    except ValueError as error:
        raise ProofFormatError(f"phi(omega zeta): {error}") from None
    at += SCALAR_BYTES
    proof = VenueProof(
        columns, tags, extra, dense, mu, aggregates, helpers, phi, T, values, phi_shifted, points(1), points(1)
    )
    _ = proof.scalars
    return proof
