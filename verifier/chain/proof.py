"""The messages of ``chain/v1`` and their bytes (docs/protocol-chain.md section 4).

Points stay the 96 bytes that were sent, scalars are ints: so both provers, the verifier and the contract hash the same.
A contract reads all points first, then all values; the order of the rounds is the transcript's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zkmargin.circuits.chain import HELPERS, SIDE_COLUMNS, TABLE_PACK, ChainLayout
from zkmargin.verifier.chain.words import POINT_BYTES
from zkmargin.verifier.header import ProofKind, body_of, header
from zkmargin.verifier.messages import SCALAR, Kind, Message, Messages, element

#: x || y; it is checked later, when it is decoded for use.
WORDS = Kind(POINT_BYTES, bytes, bytes)
PINNED = ("t", "sel_p", "W_cells", "claim_cells")
PRICE = ("marks", "som_0", "som_1")


def _second_column(layout: ChainLayout) -> int:
    return layout.packed - 1


@dataclass(frozen=True)
class Commitments(Message):
    """Packed columns (message 1), helpers and running sum (2), quotient (3), both openings (5 and 6)."""

    F1: bytes = field(metadata=element("F1", WORDS))
    F2: bytes = field(metadata=element("F2", WORDS))
    F3: bytes = field(metadata=element("F3", WORDS))
    H: bytes = field(metadata=element("H", WORDS))
    phi: bytes = field(metadata=element("phi", WORDS))
    T: bytes = field(metadata=element("T", WORDS))
    W: bytes = field(metadata=element("W", WORDS))
    W_shifted: bytes = field(metadata=element("W'", WORDS))


@dataclass(frozen=True)
class Values(Message):
    """Message 4: everything opened at zeta, and phi at omega zeta; what only some layouts have comes last.

    Attributes:
        f: [7] digit columns of the sides and of the first group.
        mu, h, phi, phi_shifted: multiplicities, [3] helpers, the running sum at zeta and omega zeta.
        r: [4] folded scenario rows.
        pinned: t, sel_p, the cells of W_g and of the claim.
        price: marks, som_0.
        som_1, f_7: the second group's minimum and the second packed column, or nothing.
        side_rows: the layout's side rows, or nothing.
    """

    f: tuple[int, ...] = field(metadata=element("f", SCALAR, "f_{}(zeta)", lambda _: SIDE_COLUMNS + 1))
    mu: int = field(metadata=element("mu", SCALAR, "mu(zeta)"))
    h: tuple[int, ...] = field(metadata=element("h", SCALAR, "h_{}(zeta)", lambda _: HELPERS))
    phi: int = field(metadata=element("phi", SCALAR, "phi(zeta)"))
    phi_shifted: int = field(metadata=element("phi(omega zeta)", SCALAR))
    r: tuple[int, ...] = field(metadata=element("r", SCALAR, "r_{}(zeta)", lambda _: TABLE_PACK))
    pinned: tuple[int, ...] = field(metadata=element("pinned", SCALAR, PINNED, lambda _: len(PINNED)))
    price: tuple[int, ...] = field(metadata=element("price", SCALAR, PRICE, lambda _: len(PRICE) - 1))
    som_1: tuple[int, ...] = field(default=(), metadata=element("som_1", SCALAR, PRICE[-1:], _second_column))
    f_7: tuple[int, ...] = field(default=(), metadata=element("f_7", SCALAR, ("f_7(zeta)",), _second_column))
    side_rows: tuple[int, ...] = field(
        default=(), metadata=element("side rows", SCALAR, "side row {}", lambda layout: len(layout.side_rows))
    )

    @classmethod
    def of(
        cls,
        *,
        f: tuple[int, ...],
        mu: int,
        h: tuple[int, ...],
        phi: int,
        phi_shifted: int,
        r: tuple[int, ...],
        pinned: tuple[int, ...],
        prices: tuple[int, ...],
        side_rows: tuple[int, ...] = (),
    ) -> Values:
        """From ``digits`` and ``prices`` as a prover holds them."""
        (*price, som_1), second = prices, f[SIDE_COLUMNS + 1 :]
        som, f_7 = ((som_1,), second) if second else ((), ())
        first = f[: SIDE_COLUMNS + 1]
        return cls(first, mu, h, phi, phi_shifted, r, pinned, tuple(price), som, f_7, side_rows)

    @property
    def digits(self) -> tuple[int, ...]:
        """[7] or, from two groups on, [8] digit columns at zeta."""
        return (*self.f, *self.f_7)

    @property
    def prices(self) -> tuple[int, ...]:
        """marks, som_0, som_1: 0 with one group."""
        return (*self.price, *(self.som_1 or (0,)))


@dataclass(frozen=True)
class ChainProof(Messages):
    """Eight points, then the values: what a contract reads.

    Example:
        >>> proof = decode_chain_proof(chain_proof, prices.layout, embedded().digest)
        >>> len(proof.encode())
        1568
    """

    commitments: Commitments
    values: Values


def encode_chain_proof(proof: ChainProof, srs_digest: bytes) -> bytes:
    """The bytes of a proof file: the header of all proofs, then what a contract reads.

    Example:
        >>> decoded = decode_chain_proof(chain_proof, prices.layout, embedded().digest)
        >>> encode_chain_proof(decoded, embedded().digest) == chain_proof
        True
    """
    return header(srs_digest, ProofKind.CHAIN) + proof.encode()


def decode_chain_proof(data: bytes, layout: ChainLayout, srs_digest: bytes) -> ChainProof:
    """Cut the bytes of a proof file; points are checked when they are decoded.

    Raises:
        ProofFormatError: another header, length or SRS, or a scalar >= r.

    Example:
        >>> decoded = decode_chain_proof(chain_proof, prices.layout, embedded().digest)
        >>> len(decoded.values.digits)
        8
    """
    return ChainProof.decode(body_of(data, srs_digest, ProofKind.CHAIN), layout)
