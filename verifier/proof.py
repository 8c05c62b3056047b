"""The five prover messages and their bytes (docs/protocol.md section 4, docs/formats.md "Proof").

Points are kept as their 48-byte encodings, scalars as ints: a message means the same to both provers and to
the verifier. How many elements a message has comes from the circuit's ``Shape``, never from the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zkmargin.circuits.circuit import Shape
from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar
from zkmargin.crypto.group import G1_BYTES
from zkmargin.formats.errors import ProofFormatError

MAGIC = b"zkmargin"
VERSION = 1
CURVE_BLS12_381 = 1
KIND_SINGLE = 1
#: magic, version (2 bytes, big-endian), curve, kind, SRS digest
HEADER_BYTES = len(MAGIC) + 4 + 32

Point = bytes


@dataclass(frozen=True)
class Message1:
    """Digit columns f_c, lookup multiplicities mu, gate wires (A, B, C) or nothing."""

    f: tuple[Point, ...]
    mu: Point
    gates: tuple[Point, ...]


@dataclass(frozen=True)
class Message2:
    """Lookup helpers h_g and the running sum phi."""

    h: tuple[Point, ...]
    phi: Point


@dataclass(frozen=True)
class Message3:
    """The quotient T in pieces."""

    T: tuple[Point, ...]


@dataclass(frozen=True)
class Message4:
    """f_c(zeta), phi(omega zeta), and A(zeta) or nothing."""

    f: tuple[int, ...]
    phi_shifted: int
    A: tuple[int, ...]


@dataclass(frozen=True)
class Message5:
    """The openings W at zeta and W' at omega zeta."""

    W: Point
    W_shifted: Point


@dataclass(frozen=True)
class Proof:
    """The five messages in order."""

    message1: Message1
    message2: Message2
    message3: Message3
    message4: Message4
    message5: Message5

    def points(self) -> Iterator[tuple[str, Point]]:
        """Every point with its name, in the order of the bytes (scalars stand before W and W')."""
        m1, m2, m3, m5 = self.message1, self.message2, self.message3, self.message5
        for c, point in enumerate(m1.f):
            yield f"f[{c}]", point
        yield "mu", m1.mu
        yield from zip("ABC", m1.gates, strict=False)
        for g, point in enumerate(m2.h):
            yield f"h[{g}]", point
        yield "phi", m2.phi
        for i, point in enumerate(m3.T):
            yield f"T[{i}]", point
        yield "W", m5.W
        yield "W'", m5.W_shifted

    def scalars(self) -> tuple[int, ...]:
        """Every value of message 4, in the order of the bytes."""
        return (*self.message4.f, self.message4.phi_shifted, *self.message4.A)


def proof_bytes(shape: Shape) -> int:
    """The exact length of every proof for a circuit of this shape, header included."""
    points = shape.digits + 1 + 3 * shape.gates + shape.helpers + 1 + shape.pieces + 2
    scalars = shape.digits + 1 + shape.gates
    return HEADER_BYTES + G1_BYTES * points + SCALAR_BYTES * scalars


def header(srs_digest: bytes) -> bytes:
    """Magic, version, curve, kind and the digest of the SRS."""
    return MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, KIND_SINGLE]) + srs_digest


def encode_proof(proof: Proof, srs_digest: bytes) -> bytes:
    """The one encoding of a proof: header, messages 1 to 3, the scalars of message 4, W, W'."""
    *points, W, W_shifted = (point for _, point in proof.points())
    scalars = b"".join(encode_scalar(x) for x in proof.scalars())
    return header(srs_digest) + b"".join(points) + scalars + W + W_shifted


def read_header(data: bytes) -> bytes:
    """Check magic, version, curve and kind; returns the SRS digest. Raises ProofFormatError."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise ProofFormatError("not a zkmargin proof")
    at = len(MAGIC)
    version = int.from_bytes(data[at : at + 2], "big")
    if version != VERSION:
        raise ProofFormatError(f"proof format version {version}: this program reads version {VERSION}")
    if data[at + 2] != CURVE_BLS12_381 or data[at + 3] != KIND_SINGLE:
        raise ProofFormatError("unknown curve or kind of proof")
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
    at = HEADER_BYTES

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return data[at - size : at]

    def points(count: int) -> tuple[bytes, ...]:
        return tuple(take(G1_BYTES) for _ in range(count))

    def scalars(name: str, count: int) -> tuple[int, ...]:
        try:
            return tuple(decode_scalar(take(SCALAR_BYTES)) for _ in range(count))
        except ValueError as error:
            raise ProofFormatError(f"{name}: {error}") from None

    # Arguments are evaluated in order, which is the order of the bytes.
    return Proof(
        Message1(points(shape.digits), take(G1_BYTES), points(3 * shape.gates)),
        Message2(points(shape.helpers), take(G1_BYTES)),
        Message3(points(shape.pieces)),
        Message4(
            scalars("f(zeta)", shape.digits), scalars("phi(omega zeta)", 1)[0], scalars("A(zeta)", int(shape.gates))
        ),
        Message5(take(G1_BYTES), take(G1_BYTES)),
    )
