"""The five prover messages and their bytes (docs/protocol.md section 4, docs/formats.md "Proof").

Points are kept as their 48-byte encodings, scalars as ints: a message means the same to both provers and to
the verifier. How many elements a message has comes from the circuit's ``Shape``, never from the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zkmargin.circuits.language.circuit import Shape
from zkmargin.verifier.header import HEADER_BYTES, body_of, header
from zkmargin.verifier.messages import POINT, SCALAR, Message, Messages, Point, element


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
class Proof(Messages):
    """The five messages, in the order of rounds and of bytes (scalars stand before W and W')."""

    message1: Message1
    message2: Message2
    message3: Message3
    message4: Message4
    message5: Message5


def proof_bytes(shape: Shape) -> int:
    """The exact length of every proof for a circuit of this shape, header included."""
    return HEADER_BYTES + Proof.size(shape)


def encode_proof(proof: Proof, srs_digest: bytes) -> bytes:
    """The one encoding of a proof: header, then the messages."""
    return header(srs_digest) + proof.encode()


def decode_proof(data: bytes, shape: Shape, srs_digest: bytes) -> Proof:
    """Cut the bytes into messages. Points are checked later, when they are decoded.

    Raises:
        ProofFormatError: another length, header or SRS than expected, or a scalar >= r.
    """
    return Proof.decode(body_of(data, srs_digest), shape)
