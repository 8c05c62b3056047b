"""The messages of ``chain-joint/v1``, their bytes and its transcript (docs/protocol-chain-joint.md section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zkmargin.circuits.chain import COLUMN_PACK, MAX_ACCOUNTS, SIDE_COLUMNS, TABLE_PACK, ChainLayout
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.chain.proof import PINNED, PRICE, WORDS
from zkmargin.verifier.chain.transcript import ChainChallenges, Rounds
from zkmargin.verifier.chain.words import word
from zkmargin.verifier.header import ProofKind, body_of, header
from zkmargin.verifier.messages import SCALAR, Message, Messages, element

JOINT_PROTOCOL = "zkmargin/chain-joint/v1"


@dataclass(frozen=True)
class JointShape:
    """What decides how many elements a joint proof has.

    Attributes:
        accounts: m, 1 to 256.
        groups: packed columns of an account: one, or from two groups on two.
        side_rows: price rows beside those of every layout.
    """

    accounts: int
    groups: int
    side_rows: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.accounts <= MAX_ACCOUNTS:
            raise ValueError(f"{self.accounts} accounts: a joint proof has 1 to {MAX_ACCOUNTS}")

    @classmethod
    def of(cls, accounts: int, layout: ChainLayout) -> JointShape:
        """Of so many accounts in a layout. Raises ValueError for another number of them."""
        return cls(accounts, layout.packed, len(layout.side_rows))

    @property
    def sides(self) -> int:
        """6 m: digit columns of the positions' sides."""
        return SIDE_COLUMNS * self.accounts

    @property
    def packed(self) -> int:
        """Packed columns of all accounts."""
        return self.groups * self.accounts

    @property
    def packs(self) -> int:
        """Points of the packed columns and mu, three a point."""
        return -(-(self.packed + 1) // COLUMN_PACK)

    @property
    def columns(self) -> int:
        """F: points of columns, each with one helper."""
        return 2 * self.accounts + self.packs

    @property
    def helpers(self) -> int:
        """H: points of helpers, three a point."""
        return -(-self.columns // COLUMN_PACK)


def _columns(shape: JointShape) -> int:
    return shape.columns


def _second_group(shape: JointShape) -> int:
    return shape.groups - 1


@dataclass(frozen=True)
class JointCommitments(Message):
    """Columns (message 1), helpers and running sum (2), quotient (3), both openings (5 and 6)."""

    F: tuple[bytes, ...] = field(metadata=element("F", WORDS, "F[{}]", _columns))
    H: tuple[bytes, ...] = field(metadata=element("H", WORDS, "H[{}]", lambda shape: shape.helpers))
    phi: bytes = field(metadata=element("phi", WORDS))
    T: bytes = field(metadata=element("T", WORDS))
    W: bytes = field(metadata=element("W", WORDS))
    W_shifted: bytes = field(metadata=element("W'", WORDS))


@dataclass(frozen=True)
class JointValues(Message):
    """Message 4: everything opened at zeta, and phi at omega zeta.

    Attributes:
        sides: [6 m] digit columns f_0 .. f_5 of each account.
        packed: [G m] f_6 (and f_7) of each account.
        mu, h, phi, phi_shifted, r, pinned, price, som_1, side_rows: as in ``proof.Values``; h has one for each point of
            columns.
    """

    sides: tuple[int, ...] = field(metadata=element("f", SCALAR, "f_{}(zeta)", lambda shape: shape.sides))
    packed: tuple[int, ...] = field(metadata=element("packed", SCALAR, "packed_{}(zeta)", lambda shape: shape.packed))
    mu: int = field(metadata=element("mu", SCALAR, "mu(zeta)"))
    h: tuple[int, ...] = field(metadata=element("h", SCALAR, "h_{}(zeta)", _columns))
    phi: int = field(metadata=element("phi", SCALAR, "phi(zeta)"))
    phi_shifted: int = field(metadata=element("phi(omega zeta)", SCALAR))
    r: tuple[int, ...] = field(metadata=element("r", SCALAR, "r_{}(zeta)", lambda _: TABLE_PACK))
    pinned: tuple[int, ...] = field(metadata=element("pinned", SCALAR, PINNED, lambda _: len(PINNED)))
    price: tuple[int, ...] = field(metadata=element("price", SCALAR, PRICE, lambda _: len(PRICE) - 1))
    som_1: tuple[int, ...] = field(default=(), metadata=element("som_1", SCALAR, PRICE[-1:], _second_group))
    side_rows: tuple[int, ...] = field(
        default=(), metadata=element("side rows", SCALAR, "side row {}", lambda shape: shape.side_rows)
    )

    @property
    def prices(self) -> tuple[int, ...]:
        """marks, som_0, som_1: 0 with one group."""
        return (*self.price, *(self.som_1 or (0,)))


@dataclass(frozen=True)
class JointProof(Messages):
    """All points, then the values: what a contract reads."""

    commitments: JointCommitments
    values: JointValues


class JointTranscript(Rounds):
    """The transcript of ``chain-joint/v1``: m, the claim and every account's commitments are absorbed first."""

    def __init__(
        self, *, table_hash: bytes, context: bytes, num: int, den: int, commitments: Sequence[tuple[bytes, bytes]]
    ) -> None:
        public = claimed(num, den, commitments)
        super().__init__(JOINT_PROTOCOL, table_hash=table_hash, context=context, public=public)

    def replay(self, proof: JointProof) -> ChainChallenges:
        """Every challenge."""
        c = proof.commitments
        beta, rho = self.round1(*c.F)
        chi, zeta = self.round2(*c.H, c.phi), self.round3(c.T)
        return ChainChallenges(beta, rho, chi, zeta, self.round4(proof.values), self.round5(c.W))


def claimed(num: int, den: int, commitments: Sequence[tuple[bytes, bytes]]) -> bytes:
    """m, num, den, then positions and collateral of each account: what a contract is sent before the proof."""
    return b"".join([word(len(commitments)), word(num), word(den), *(point for pair in commitments for point in pair)])


def encode_joint_proof(proof: JointProof, srs_digest: bytes) -> bytes:
    """The bytes of a proof file: the header of all proofs, then what a contract reads."""
    return header(srs_digest, ProofKind.CHAIN_JOINT) + proof.encode()


def decode_joint_proof(data: bytes, accounts: int, layout: ChainLayout, srs_digest: bytes) -> JointProof:
    """Cut the bytes of a proof file for so many accounts; points are checked when they are decoded.

    Raises:
        ProofFormatError: another header, length or SRS, or a scalar >= r.
    """
    body = body_of(data, srs_digest, ProofKind.CHAIN_JOINT)
    try:
        shape = JointShape.of(accounts, layout)
    except ValueError as error:
        raise ProofFormatError(str(error)) from None
    return JointProof.decode(body, shape)
