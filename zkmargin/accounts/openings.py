"""Openings: what the holder of a commitment keeps secret, and how commitments are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from zkmargin.accounts.commitments import Commitment, CommitmentPart, commit_vector, hex_points
from zkmargin.accounts.slots import ROLES, Role, role_bits, slot_map_digest
from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar, r, random_scalar
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.book import Book, BookLots, as_lots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Seq, from_hex


class OpeningPart(CommitmentPart):
    """A commitment part with its blinders (hex, one canonical scalar a segment): secret.

    Example:
        >>> part = opening.parts[0]
        >>> part.public() == commitment.parts[0]
        True
    """

    blinders: Seq[Annotated[str, Hexadecimal(SCALAR_BYTES)]] = Field(min_length=1, max_length=4096, repr=False)

    def scalars(self) -> tuple[int, ...]:
        """The blinders. Raises InputError without repeating them."""
        try:
            scalars = tuple(decode_scalar(from_hex(b)) for b in self.blinders)
        except ValueError:
            raise InputError("not a canonical scalar in hex", field="parts.blinders") from None
        if len(scalars) != len(self.points):
            raise InputError(f"{len(scalars)} blinders for {len(self.points)} points", field="parts.blinders")
        return scalars

    def public(self) -> CommitmentPart:
        """The part without its blinders."""
        return CommitmentPart(**self.model_dump(exclude={"blinders"}))


class Opening(Document):
    """The secret counterpart of a commitment file: written with mode 0600, never shown.

    Example:
        >>> "blinders" in repr(opening)
        False
        >>> opening.commitment() == commitment
        True
    """

    FORMAT: ClassVar[str] = "zkmargin/opening/v1"
    SECRET: ClassVar[bool] = True

    srs: Digest
    domain_size: int
    parts: Seq[OpeningPart] = Field(min_length=1, max_length=1024)

    def commitment(self) -> Commitment:
        """The public document that goes to verifiers."""
        return Commitment(srs=self.srs, domain_size=self.domain_size, parts=tuple(p.public() for p in self.parts))


def commit_book(
    snapshot: Snapshot,
    book: Book | BookLots,
    *,
    roles: Sequence[Role] = ROLES,
    alias: str = "account",
    srs: SRS | None = None,
) -> Opening:
    """Commit to a book's positions and collateral with fresh blinders; ``.commitment()`` is the public part.

    Every part costs one full-length MSM a segment whatever the book holds, so its shape does not show.

    Example:
        >>> commit_book(snapshot, book).commitment() == commitment
        False
        >>> commit_book(snapshot, book, roles=["collateral"]).commitment().parts[0].role
        'collateral'
    """
    lots = as_lots(book, snapshot)
    srs = srs or embedded()
    n = snapshot.layout.domain_size
    parts = []
    for role in roles:
        vector = getattr(lots, role)
        blinders = [random_scalar() for _ in range(snapshot.segments(role))]
        points = commit_vector(srs, n, vector, blinders)
        parts.append(
            OpeningPart(
                role=role,
                alias=alias,
                slot_map=slot_map_digest(snapshot, role).hex(),
                points=hex_points(points),
                bits=role_bits(snapshot, role),
                blinders=hex_scalars(blinders),
            )
        )
    return Opening(srs=srs.digest.hex(), domain_size=n, parts=tuple(parts))


def check_opened(openings: Sequence[Opening], parts: Sequence[CommitmentPart]) -> None:
    """Raises InputError unless the openings are those of exactly these commitments, in any order."""
    opened = (part.public() for opening in openings for part in opening.parts)
    if sorted(opened, key=CommitmentPart.canonical) != sorted(parts, key=CommitmentPart.canonical):
        raise InputError(
            "the openings are not those of the statement's commitments",
            field="opening",
            hint="give the opening of every commitment, and of no other",
        )


def total_blinders(openings: Sequence[Opening]) -> dict[str, int]:
    """For each committed column, by name, the sum of its parts' blinders mod r. Raises InputError."""
    totals: dict[str, int] = {}
    for opening in openings:
        for part in opening.parts:
            for s, blinder in enumerate(part.scalars()):
                column = f"{part.role}[{s}]"
                totals[column] = (totals.get(column, 0) + blinder) % r
    return totals


def fresh_scalars(count: int) -> list[int]:
    """Uniform field elements, none 0, all different."""
    scalars: dict[int, None] = {}
    while len(scalars) < count:
        scalar = random_scalar()
        if scalar:
            scalars[scalar] = None
    return list(scalars)


def hex_scalars(scalars: Sequence[int]) -> tuple[str, ...]:
    """Scalars as documents write them."""
    return tuple(encode_scalar(x).hex() for x in scalars)
