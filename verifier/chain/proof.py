"""The messages of ``chain/v1`` and their bytes (docs/protocol-chain.md section 4).

Points stay the 96 bytes that were sent, scalars are ints: so both provers, the verifier and the contract hash the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from zkmargin.circuits.chain import HELPERS, SIDE_COLUMNS, TABLE_PACK, ChainLayout
from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.chain.words import POINT_BYTES
from zkmargin.verifier.proof import CURVE_BLS12_381, HEADER_BYTES, KIND_CHAIN, MAGIC, VERSION

POINTS = ("F1", "F2", "F3", "H", "phi", "T", "W", "W'")
PINNED = ("t", "sel_p", "W_cells", "claim_cells")
PRICE = ("marks", "som_0", "som_1")


@dataclass(frozen=True)
class Values:
    """Message 4: everything opened at zeta, and phi at omega zeta.

    Attributes:
        f: [6 + G] digit columns.
        mu, h, phi, phi_shifted: multiplicities, three helpers, the running sum at zeta and omega zeta.
        r: [4] folded scenario rows.
        pinned: t, sel_p, the cells of W_g and of the claim.
        price: marks, som_0, som_1 (0 with one group: not sent).
    """

    f: tuple[int, ...]
    mu: int
    h: tuple[int, ...]
    phi: int
    phi_shifted: int
    r: tuple[int, ...]
    pinned: tuple[int, ...]
    price: tuple[int, ...]

    def sent(self) -> tuple[int, ...]:
        """In the order of the bytes: what only two groups have comes last."""
        one = SIDE_COLUMNS + 1
        common = (*self.f[:one], self.mu, *self.h, self.phi, self.phi_shifted, *self.r, *self.pinned, *self.price[:2])
        return common if len(self.f) == one else (*common, self.price[2], self.f[one])

    @classmethod
    def received(cls, sent: tuple[int, ...]) -> Values:
        """The inverse of ``sent``."""
        one, at = SIDE_COLUMNS + 1, SIDE_COLUMNS + 1
        h, (phi, phi_shifted) = sent[at + 1 : at + 4], sent[at + 4 : at + 6]
        rows, pinned, price = sent[at + 6 : at + 10], sent[at + 10 : at + 14], sent[at + 14 : at + 16]
        extra = sent[at + 16 :]
        f = (*sent[:one], *extra[1:])
        return cls(f, sent[at], h, phi, phi_shifted, rows, pinned, (*price, *(extra[:1] or (0,))))


@dataclass(frozen=True)
class ChainProof:
    """The six messages: eight points of 96 bytes, by the names of ``POINTS``, and the values."""

    points: tuple[bytes, ...]
    values: Values

    def body(self) -> bytes:
        """What a contract reads."""
        return b"".join(self.points) + b"".join(map(encode_scalar, self.values.sent()))


def scalar_count(layout: ChainLayout) -> int:
    """23 with one risk group, 25 with two."""
    return SIDE_COLUMNS + layout.groups + 1 + HELPERS + 2 + TABLE_PACK + len(PINNED) + len(PRICE) - (layout.groups == 1)


def body_bytes(layout: ChainLayout) -> int:
    """1,504 or 1,568."""
    return POINT_BYTES * len(POINTS) + SCALAR_BYTES * scalar_count(layout)


def encode_chain_proof(proof: ChainProof, srs_digest: bytes) -> bytes:
    """The bytes of a proof file: the header of all proofs, then the body."""
    return MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, KIND_CHAIN]) + srs_digest + proof.body()


def decode_chain_proof(data: bytes, layout: ChainLayout, srs_digest: bytes) -> ChainProof:
    """Cut the bytes of a proof file; points are checked when they are decoded.

    Raises:
        ProofFormatError: another header, length or SRS, or a scalar >= r.
    """
    expected = MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, KIND_CHAIN])
    if not data.startswith(expected):
        raise ProofFormatError("not a proof of chain/v1")
    if data[len(expected) : HEADER_BYTES] != srs_digest:
        raise ProofFormatError("made for another structured reference string (SRS digest in the header)")
    return decode_body(data[HEADER_BYTES:], layout)


def decode_body(data: bytes, layout: ChainLayout) -> ChainProof:
    """Cut what a contract reads. Raises ProofFormatError."""
    if len(data) != body_bytes(layout):
        raise ProofFormatError(f"{len(data)} bytes where a proof of this layout has {body_bytes(layout)}")
    end = POINT_BYTES * len(POINTS)
    points = tuple(data[i : i + POINT_BYTES] for i in range(0, end, POINT_BYTES))
    try:
        scalars = tuple(decode_scalar(data[i : i + SCALAR_BYTES]) for i in range(end, len(data), SCALAR_BYTES))
    except ValueError as error:
        raise ProofFormatError(f"a value at zeta: {error}") from None
    return ChainProof(points, Values.received(scalars))
