"""The five prover messages and their bytes (docs/protocol.md section 4, docs/formats.md "Proof").

Points are kept as their 48-byte encodings, scalars as ints: a message means the same to both provers and to
the verifier. How many elements a message has comes from the circuit's ``Shape``, never from the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain

from zkmargin.circuits.language.circuit import Shape
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.messages import POINT, SCALAR, Message, Point, element

MAGIC = b"zkmargin"
VERSION = 1
CURVE_BLS12_381 = 1
KIND_SINGLE = 1
KIND_VENUE = 2
#: The proofs of ``verifier/chain``.
KIND_CHAIN = 16
#: magic, version (2 bytes, big-endian), curve, kind, SRS digest
HEADER_BYTES = len(MAGIC) + 4 + 32


def _digits(shape: Shape) -> int:
    return shape.digits


@dataclass(frozen=True)
class Message1(Message):
    """Digit columns f_c, lookup multiplicities mu, gate wires (A, B, C) or nothing."""

    f: tuple[Point, ...] = field(metadata=element("f", POINT, "f[{}]", _digits))
    mu: Point = field(metadata=element("mu", POINT))
    gates: tuple[Point, ...] = field(metadata=element("gates", POINT, ("A", "B", "C"), lambda shape: 3 * shape.gates))


@dataclass(frozen=True)
class Message2(Message):
    """Lookup helpers h_g and the running sum phi."""

    h: tuple[Point, ...] = field(metadata=element("h", POINT, "h[{}]", lambda shape: shape.helpers))
    phi: Point = field(metadata=element("phi", POINT))


@dataclass(frozen=True)
class Message3(Message):
    """The quotient T in pieces."""

    T: tuple[Point, ...] = field(metadata=element("T", POINT, "T[{}]", lambda shape: shape.pieces))


@dataclass(frozen=True)
class Message4(Message):
    """f_c(zeta), phi(omega zeta), and A(zeta) or nothing."""

    f: tuple[int, ...] = field(metadata=element("f(zeta)", SCALAR, "f[{}](zeta)", _digits))
    phi_shifted: int = field(metadata=element("phi(omega zeta)", SCALAR))
    A: tuple[int, ...] = field(metadata=element("A(zeta)", SCALAR, ("A(zeta)",), lambda shape: int(shape.gates)))

    def at_zeta(self) -> dict[str, int]:
        """The values at zeta by the names of their columns, in the order of the powers of v (message 5)."""
        return {name.removesuffix("(zeta)"): x for name, x in self.named(SCALAR) if name.endswith("(zeta)")}


@dataclass(frozen=True)
class Message5(Message):
    """The openings W at zeta and W' at omega zeta."""

    W: Point = field(metadata=element("W", POINT))
    W_shifted: Point = field(metadata=element("W'", POINT))


@dataclass(frozen=True)
class Proof:
    """The five messages in order."""

    message1: Message1
    message2: Message2
    message3: Message3
    message4: Message4
    message5: Message5

    def messages(self) -> tuple[Message, ...]:
        """The messages, in the order of rounds and of bytes."""
        return self.message1, self.message2, self.message3, self.message4, self.message5

    def points(self) -> Iterator[tuple[str, Point]]:
        """Every point with its name, in the order of the bytes (scalars stand before W and W')."""
        return chain.from_iterable(message.named(POINT) for message in self.messages())

    def named_scalars(self) -> Iterator[tuple[str, int]]:
        """Every scalar with its name, in the order of the bytes."""
        return chain.from_iterable(message.named(SCALAR) for message in self.messages())

    def scalars(self) -> tuple[int, ...]:
        """Every scalar, in the order of the bytes."""
        return tuple(value for _, value in self.named_scalars())


#: The messages, in the order of rounds and of bytes.
MESSAGES: tuple[type[Message], ...] = (Message1, Message2, Message3, Message4, Message5)


def proof_bytes(shape: Shape) -> int:
    """The exact length of every proof for a circuit of this shape, header included."""
    return HEADER_BYTES + sum(message.size(shape) for message in MESSAGES)


def header(srs_digest: bytes) -> bytes:
    """Magic, version, curve, kind and the digest of the SRS."""
    return MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, KIND_SINGLE]) + srs_digest


def encode_proof(proof: Proof, srs_digest: bytes) -> bytes:
    """The one encoding of a proof: header, then the messages."""
    return header(srs_digest) + b"".join(message.encode() for message in proof.messages())


def is_chain_proof(data: bytes) -> bool:
    """Whether the header says that a proof is of the chain protocol; that protocol's own decoder checks it."""
    return len(data) >= HEADER_BYTES and data.startswith(MAGIC) and data[len(MAGIC) + 3] == KIND_CHAIN


def read_header(data: bytes) -> bytes:
    """Check magic, version, curve and kind; returns the SRS digest. Raises ProofFormatError."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise ProofFormatError("not a zkmargin proof")
    at = len(MAGIC)
    version = int.from_bytes(data[at : at + 2], "big")
    if version != VERSION:
        raise ProofFormatError(f"proof format version {version}: this program reads version {VERSION}")
    if data[at + 2] != CURVE_BLS12_381 or data[at + 3] != KIND_SINGLE:
        venue = data[at + 2 : at + 4] == bytes([CURVE_BLS12_381, KIND_VENUE])
        raise ProofFormatError("a proof about a venue's accounts" if venue else "unknown curve or kind of proof")
    return data[at + 4 : HEADER_BYTES]


def decode_proof(data: bytes, shape: Shape, srs_digest: bytes) -> Proof:
    """Cut the bytes into messages. Points are checked later, when they are decoded.

    Raises:
        ProofFormatError: another length, header or SRS than expected, or a scalar >= r.
    """
    if read_header(data) != srs_digest:
        raise ProofFormatError("made for another structured reference string (SRS digest in the header)")
    if len(data) != proof_bytes(shape):
        raise ProofFormatError(f"{len(data)} bytes where a proof of this statement has {proof_bytes(shape)}")
    body = BytesIO(data[HEADER_BYTES:])
    # Arguments are evaluated in order, which is the order of the bytes.
    return Proof(
        Message1.read(body, shape),
        Message2.read(body, shape),
        Message3.read(body, shape),
        Message4.read(body, shape),
        Message5.read(body, shape),
    )
