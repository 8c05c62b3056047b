"""The structured reference string (SRS): powers of a secret tau that nobody knows, from a public ceremony.

Binary encoding, version 1 (all integers big-endian). It is what ships in ``crypto/data``, what kernels read
without any parsing, and what the digest is taken over: ``digest = keccak-256(the whole encoding)``, so a setup
has one digest whatever file it came in.

    offset  bytes   content
    0       26      "zkmargin/srs/v1" LF "bls12-381" LF
    26      4       n, the number of G1 powers, 2 <= n <= 32768
    30      2       the number of G2 powers, always 2
    32      96 n    [tau^i]_1 for i = 0..n-1: affine x || y, 48 bytes each
    32+96n  192 x 2 [1]_2 and [tau]_2: affine x.c0 || x.c1 || y.c0 || y.c1, 48 bytes each

Points stand uncompressed because square roots are what makes loading a setup slow.

A setup from another transcript can pass every algebraic check, so only a pinned digest says who made it:
``KNOWN`` lists the ceremonies this program accepts. Anything else is ``insecure``.

Sources: EIP-4844 and the Ethereum KZG ceremony (n = 4096; its sister ceremonies have other values of tau, so their
points are never mixed); Kate, Zaverucha, Goldberg, "Polynomial commitments", 2010.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from py_arkworks_bls12381 import G1Point, G2Point

from zkmargin.formats import InputError, SetupError, keccak256, read_bytes

MAX_POWERS = 1 << 15
G1_BYTES = 96
G2_BYTES = 192

MAGIC = b"zkmargin/srs/v1\nbls12-381\n"
_COUNTS = struct.Struct(">IH")
HEADER_BYTES = len(MAGIC) + _COUNTS.size

EMBEDDED_FILE = Path(__file__).with_name("data") / "ethereum-kzg-4096.srs"
EMBEDDED_DIGEST = bytes.fromhex("fb12c4dba024a4deb0a6b95566635ed09914f59326eef3d7b860df39d8f97d9e")

#: The ceremonies that are accepted without an explicit insecure switch: digest -> name.
KNOWN = {
    EMBEDDED_DIGEST: "ethereum-kzg-4096",
    bytes.fromhex("73caec77e1358b45f6456193856d2fdfc0c35a59719dd793892a91b792c4b111"): "ethereum-kzg-8192",
}


def encoded_bytes(powers: int) -> int:
    """The exact length of the binary encoding of a setup with this many G1 powers."""
    return HEADER_BYTES + powers * G1_BYTES + 2 * G2_BYTES


@dataclass(frozen=True)
class SRS:
    """A structured reference string, held as its binary encoding; points are parsed when they are asked for.

    The constructor checks the header and the exact length, not the points: use ``embedded()`` (pinned digest) or
    ``crypto.srs_files.load()`` (every check).

    Raises:
        InputError: the bytes are not one encoding, whole and without anything after it.
    """

    encoding: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.encoding.startswith(MAGIC):
            raise InputError('not a setup in the binary format "zkmargin/srs/v1" over bls12-381')
        if len(self.encoding) < HEADER_BYTES:
            raise InputError("ends within the header")
        powers, g2_powers = _COUNTS.unpack_from(self.encoding, len(MAGIC))
        if not 2 <= powers <= MAX_POWERS:
            raise InputError(f"{powers} powers: a setup has 2 to {MAX_POWERS}", field="powers")
        if g2_powers != 2:
            raise InputError(f"{g2_powers} G2 powers: the binary format has 2", field="g2 powers")
        if len(self.encoding) != encoded_bytes(powers):
            raise InputError(f"{len(self.encoding)} bytes: {powers} powers take exactly {encoded_bytes(powers)}")

    def __reduce__(self) -> tuple[object, ...]:
        """Copied between processes as its encoding; the embedded one by name."""
        return (embedded, ()) if self is embedded() else (SRS, (self.encoding,))

    def __repr__(self) -> str:
        return f"SRS({self.name}, powers={self.powers}, digest={self.digest.hex()[:16]}…)"

    @classmethod
    def from_points(cls, g1: Sequence[G1Point], g2: Sequence[G2Point]) -> SRS:
        """Encode ``[tau^i]_1`` and ``[1]_2, [tau]_2`` (further G2 powers are left out). Nothing is checked."""
        parts = [MAGIC, _COUNTS.pack(len(g1), 2)]
        parts += [point.to_xy_bytes_be() for point in g1]
        parts += [point.to_xy_bytes_be() for point in g2[:2]]
        return cls(b"".join(parts))

    @cached_property
    def digest(self) -> bytes:
        """keccak-256 of the encoding; 32 bytes. What transcripts absorb and proofs name."""
        return keccak256(self.encoding)

    @property
    def insecure(self) -> bool:
        """True unless the digest is that of a known ceremony: somebody may know tau and forge any proof."""
        return self.digest not in KNOWN

    @property
    def name(self) -> str:
        """The ceremony's name, or ``insecure-`` and the digest's first bytes. A file cannot choose it."""
        return KNOWN.get(self.digest, f"insecure-{self.digest.hex()[:16]}")

    @property
    def powers(self) -> int:
        """The number n of G1 powers: polynomials of degree at most n - 1 can be committed."""
        return int.from_bytes(self.encoding[len(MAGIC) : len(MAGIC) + 4], "big")

    @property
    def g1_bytes(self) -> memoryview:
        """All G1 powers for kernels: read-only, n rows of 96 bytes, affine big-endian x || y."""
        return memoryview(self.encoding)[HEADER_BYTES : HEADER_BYTES + self.powers * G1_BYTES]

    @property
    def g2_bytes(self) -> memoryview:
        """``[1]_2`` and ``[tau]_2``: read-only, 2 rows of 192 bytes."""
        return memoryview(self.encoding)[-2 * G2_BYTES :]

    def g1(self, i: int) -> G1Point:
        """``[tau^i]_1``. Raises SetupError when there is no such power."""
        if not 0 <= i < self.powers:
            raise SetupError(f"power {i} of tau: the setup {self.name} has the powers 0..{self.powers - 1}")
        start = HEADER_BYTES + i * G1_BYTES
        return G1Point.from_xy_bytes_unchecked_be(self.encoding[start : start + G1_BYTES])

    def g1_powers(self, count: int) -> list[G1Point]:
        """The first ``count`` powers ``[tau^i]_1``. Raises SetupError when the setup has fewer."""
        if not 0 <= count <= self.powers:
            raise SetupError(f"{count} powers of tau: the setup {self.name} has {self.powers}")
        return self._g1[:count]

    @cached_property
    def _g1(self) -> list[G1Point]:
        return [self.g1(i) for i in range(self.powers)]

    @cached_property
    def g2_one(self) -> G2Point:
        """``[1]_2``."""
        return G2Point.from_xy_bytes_unchecked_be(bytes(self.g2_bytes[:G2_BYTES]))

    @cached_property
    def g2_tau(self) -> G2Point:
        """``[tau]_2``."""
        return G2Point.from_xy_bytes_unchecked_be(bytes(self.g2_bytes[G2_BYTES:]))


@cache
def embedded() -> SRS:
    """The Ethereum KZG ceremony (4096 powers) that ships with the package; read once a process.

    Raises:
        SetupError: the data file is missing or is not, byte for byte, the pinned one.
    """
    hint = "install zkmargin again from a trusted source"
    try:
        data = read_bytes(EMBEDDED_FILE, max_bytes=encoded_bytes(MAX_POWERS))
    except InputError as error:
        raise SetupError(f"the embedded setup: {error.message}", hint=hint) from None
    if keccak256(data) != EMBEDDED_DIGEST:
        raise SetupError("the embedded setup is damaged: its digest is not the pinned one", hint=hint)
    return SRS(data)
