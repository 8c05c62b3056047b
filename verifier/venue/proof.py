"""The messages of a venue proof and their bytes (docs/protocol-venue.md section 4, docs/formats.md "Venue proof").

Every count comes from the statement, never from a proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zkmargin.crypto.transcript import Transcript
from zkmargin.verifier.header import HEADER_BYTES, ProofKind, body_of, header
from zkmargin.verifier.messages import POINT, SCALAR, Message, Messages, Point, element
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.statement import VenueStatement


@dataclass(frozen=True)
class Counts:
    """How many values each element of a proof has.

    Attributes:
        sets: for each set its columns (instruments, group, digits).
        tags, extra, dense, mu: the other columns of message 1.
        aggregates, helpers, pieces: those of messages 2 to 4.
    """

    sets: tuple[int, ...]
    tags: int
    extra: int
    dense: int
    mu: int
    aggregates: int
    helpers: int
    pieces: int

    @classmethod
    def of(cls, statement: VenueStatement) -> Counts:
        """The counts of every proof of a statement."""
        return cls(
            sets=tuple(statement.templates[x.kind].opened_columns for x in statement.sets),
            tags=statement.tag_columns,
            extra=int(statement.extra),
            dense=statement.dense_columns,
            mu=statement.tables,
            aggregates=3 * statement.segments,
            helpers=len(statement.helpers),
            pieces=statement.g,
        )

    @property
    def columns(self) -> int:
        """Columns of all sets."""
        return sum(self.sets)

    @property
    def opened(self) -> int:
        """Columns that are evaluated."""
        return self.columns + self.extra + self.dense


@dataclass(frozen=True)
class Columns(Message):
    """1: columns of the sets, tags, the cap's column, dense digits, multiplicities."""

    columns: tuple[Point, ...] = field(metadata=element("columns", POINT, "column {}", lambda c: c.columns))
    tags: tuple[Point, ...] = field(metadata=element("tags", POINT, "tag {}", lambda c: c.tags))
    extra: tuple[Point, ...] = field(metadata=element("extra", POINT, "extra {}", lambda c: c.extra))
    dense: tuple[Point, ...] = field(metadata=element("dense", POINT, "dense digit {}", lambda c: c.dense))
    mu: tuple[Point, ...] = field(metadata=element("mu", POINT, "mu {}", lambda c: c.mu))

    def set_points(self, statement: VenueStatement) -> list[tuple[Point, ...]]:
        """For each set its columns, then the tag column that it uses."""
        found, at = [], 0
        for x, count in zip(statement.sets, Counts.of(statement).sets, strict=True):
            found.append((*self.columns[at : at + count], self.tags[statement.tag_column(x)[0]]))
            at += count
        return found

    def leaves(self, statement: VenueStatement) -> list[bytes]:
        """The Merkle leaves, one a set."""
        return [merkle.leaf(x, points) for x, points in enumerate(self.set_points(statement))]

    def absorb_with(self, transcript: Transcript, leaves: list[bytes]) -> None:
        """Everything of sets as the root of their leaves; the rest as other messages are absorbed."""
        for label, data in self._encoded():
            if label == "columns":
                transcript.append(label, merkle.root(leaves))
            elif label != "tags":  # every tag column is in the leaves of its sets
                transcript.append(label, data)


@dataclass(frozen=True)
class Aggregates(Message):
    """2: Qp, Qm, Qc of each segment."""

    Q: tuple[Point, ...] = field(metadata=element("Q", POINT, "Q {}", lambda c: c.aggregates))


@dataclass(frozen=True)
class Helpers(Message):
    """3: every helper, and the running sum."""

    h: tuple[Point, ...] = field(metadata=element("h", POINT, "h {}", lambda c: c.helpers))
    phi: Point = field(metadata=element("phi", POINT))


@dataclass(frozen=True)
class Quotient(Message):
    """4: T in pieces."""

    T: tuple[Point, ...] = field(metadata=element("T", POINT, "T {}", lambda c: c.pieces))


@dataclass(frozen=True)
class Values(Message):
    """5: every evaluated column at zeta, phi at omega zeta."""

    f: tuple[int, ...] = field(metadata=element("f(zeta)", SCALAR, "value {} at zeta", lambda c: c.opened))
    phi_shifted: int = field(metadata=element("phi(omega zeta)", SCALAR))


@dataclass(frozen=True)
class Openings(Message):
    """6: the openings W at zeta and W' at omega zeta."""

    W: Point = field(metadata=element("W", POINT))
    W_shifted: Point = field(metadata=element("W'", POINT))


@dataclass(frozen=True)
class VenueProof(Messages):
    """The six messages, in the order of rounds and of bytes."""

    columns: Columns
    aggregates: Aggregates
    helpers: Helpers
    quotient: Quotient
    values: Values
    openings: Openings


def venue_proof_bytes(statement: VenueStatement) -> int:
    """The exact length of every proof of a statement, header included."""
    return HEADER_BYTES + VenueProof.size(Counts.of(statement))


def encode_venue_proof(proof: VenueProof, srs_digest: bytes) -> bytes:
    """The one encoding of a proof: header, then the messages."""
    return header(srs_digest, ProofKind.VENUE) + proof.encode()


def decode_venue_proof(data: bytes, statement: VenueStatement) -> VenueProof:
    """Cut the bytes into messages; points are checked later, when they are decoded.

    Raises:
        ProofFormatError: another length, header or setup than expected, or a scalar >= r.
    """
    return VenueProof.decode(body_of(data, statement.srs.digest, ProofKind.VENUE), Counts.of(statement))
