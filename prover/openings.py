"""Openings: what the holder of a commitment keeps secret, and how commitments are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from zkmargin.circuits.circuit import segments
from zkmargin.circuits.margin import slot_map_digest
from zkmargin.circuits.witness import segment_rows
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar, r, random_scalar
from zkmargin.crypto.group import encode_g1
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Seq, from_hex
from zkmargin.verifier.commitments import ROLES, Commitment, CommitmentPart, Role


class OpeningPart(CommitmentPart):
    """A commitment part with its blinders (hex, one canonical scalar a segment): secret."""

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
    """The secret counterpart of a commitment file: written with mode 0600, never shown."""

    FORMAT: ClassVar[str] = "zkmargin/opening/v1"
    SECRET: ClassVar[bool] = True

    srs: Digest
    domain_size: int
    parts: Seq[OpeningPart] = Field(min_length=1, max_length=1024)

    def commitment(self) -> Commitment:
        """The public document that goes to verifiers."""
        return Commitment(srs=self.srs, domain_size=self.domain_size, parts=tuple(p.public() for p in self.parts))


def commit_book(
    snapshot: Snapshot, lots: BookLots, *, roles: Sequence[Role] = ROLES, alias: str = "account", srs: SRS | None = None
) -> Opening:
    """Commit to a book's positions and collateral with fresh blinders; ``.commitment()`` is the public part.

    Every part costs one full-length MSM a segment whatever the book holds, so its shape does not show.
    """
    srs = srs or embedded()
    n = snapshot.layout.domain_size
    parts = []
    for role in roles:
        vector = getattr(lots, role)
        bits = (
            snapshot.layout.position_bits
            if role == "positions"
            else max((s.bits for s in snapshot.collateral), default=1)
        )
        blinders = [random_scalar() for _ in range(segments(len(vector), n))]
        points = commit_vector(srs, n, vector, blinders)
        parts.append(
            OpeningPart(
                role=role,
                alias=alias,
                slot_map=slot_map_digest(snapshot, role).hex(),
                points=tuple(p.hex() for p in points),
                bits=bits,
                blinders=tuple(encode_scalar(b).hex() for b in blinders),
            )
        )
    return Opening(srs=srs.digest.hex(), domain_size=n, parts=tuple(parts))


def commit_vector(srs: SRS, n: int, lots: Sequence[int], blinders: Sequence[int]) -> list[bytes]:
    """C_s = sum_i q_i [L_i(tau)]_1 + r_s [Z_H(tau)]_1 for each segment s: compressed points."""
    return [
        encode_g1(commit_values(srs, Domain.of(n), segment_rows(lots, n, s).tolist(), blinder))
        for s, blinder in enumerate(blinders)
    ]


def total_blinders(openings: Sequence[Opening]) -> dict[str, int]:
    """For each committed column, by name, the sum of its parts' blinders mod r. Raises InputError."""
    totals: dict[str, int] = {}
    for opening in openings:
        for part in opening.parts:
            for s, blinder in enumerate(part.scalars()):
                column = f"{part.role}[{s}]"
                totals[column] = (totals.get(column, 0) + blinder) % r
    return totals
