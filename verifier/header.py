"""The 44 bytes at the start of every proof: which protocol, curve and setup (docs/formats.md "Proof").

magic (8) || version (2, big-endian) || curve (1) || kind (1) || SRS digest (32)
"""

from __future__ import annotations

from enum import IntEnum

from zkmargin.formats.errors import ProofFormatError

MAGIC = b"zkmargin"
VERSION = 1
CURVE_BLS12_381 = 1
HEADER_BYTES = len(MAGIC) + 4 + 32


class ProofKind(IntEnum):
    """The protocols."""

    MARGIN = 1
    VENUE = 2
    #: ``chain/v1``
    CHAIN = 16
    #: ``chain-joint/v1``
    CHAIN_JOINT = 17


_NAMES = {
    ProofKind.MARGIN: "a margin proof",
    ProofKind.VENUE: "a proof about a venue's accounts",
    ProofKind.CHAIN: "a chain proof",
    ProofKind.CHAIN_JOINT: "a joint chain proof",
}


def header(srs_digest: bytes, kind: ProofKind = ProofKind.MARGIN) -> bytes:
    """Magic, version, curve, kind and the digest of the SRS."""
    return MAGIC + VERSION.to_bytes(2, "big") + bytes([CURVE_BLS12_381, kind]) + srs_digest


def is_of(kind: ProofKind, data: bytes) -> bool:
    """Whether the header says that a proof is of a protocol; that protocol's own decoder checks it."""
    return len(data) >= HEADER_BYTES and data.startswith(header(b"", kind))


def read_header(data: bytes, kind: ProofKind = ProofKind.MARGIN) -> bytes:
    """Check magic, version, curve and kind; returns the SRS digest. Raises ProofFormatError."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise ProofFormatError("not a zkmargin proof")
    at = len(MAGIC)
    version = int.from_bytes(data[at : at + 2], "big")
    if version != VERSION:
        raise ProofFormatError(f"proof format version {version}: this program reads version {VERSION}")
    if not is_of(kind, data):
        found = next((name for other, name in _NAMES.items() if is_of(other, data)), "unknown curve or kind of proof")
        raise ProofFormatError(f"{found}: expected {_NAMES[kind]}")
    return data[at + 4 : HEADER_BYTES]


def body_of(data: bytes, srs_digest: bytes, kind: ProofKind = ProofKind.MARGIN) -> bytes:
    """What follows the header of a proof of a protocol under a setup. Raises ProofFormatError for another header."""
    if read_header(data, kind) != srs_digest:
        raise ProofFormatError("made for another structured reference string (SRS digest in the header)")
    return data[HEADER_BYTES:]
