"""Powers [tau^B]_2, B = 2, 4, .. 64, of a ceremony: what opening a block of rows needs beside the setup.

They stand in a file of their own under a digest of their own, so that the setup's digest stays what it is. A power is
also checked against the setup: e([tau^B]_1, [1]_2) = e([1]_1, [tau^B]_2).

    offset  bytes   content
    0       28      "zkmargin/g2-powers/v1" LF "2..64" LF
    28      32      digest of the setup that they belong to
    60      96 x 6  [tau^2]_2, [tau^4]_2, ..., [tau^64]_2, zcash-compressed
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from py_arkworks_bls12381 import G2Point

from zkmargin.crypto.group import G2_BYTES, decode_g2, pairing_product_is_one
from zkmargin.crypto.srs import EMBEDDED_DIGEST, SRS
from zkmargin.formats import InputError, SetupError, keccak256, read_bytes

MAGIC = b"zkmargin/g2-powers/v1\n2..64\n"
EXPONENTS = (2, 4, 8, 16, 32, 64)
FILE = Path(__file__).with_name("data") / "ethereum-kzg-4096.g2"
#: keccak-256 of the file.
FILE_DIGEST = bytes.fromhex("d6555d18cf8dded2e3456e9b6e3efe8481e16fb09cc09df250f1230547d1264e")


def encode(srs_digest: bytes, points: list[bytes]) -> bytes:
    """The file of six compressed points."""
    return MAGIC + srs_digest + b"".join(points)


def g2_power(srs: SRS, exponent: int) -> G2Point:
    """[tau^exponent]_2 for 1, 2, 4, .. 64.

    Raises:
        SetupError: the powers of this setup do not ship with the package, or the file is damaged.
        ValueError: another exponent.
    """
    if exponent == 1:
        return srs.g2_tau
    if srs.digest != EMBEDDED_DIGEST:
        raise SetupError(f"the powers in G2 of the setup {srs.name} are not known here")
    return _points()[EXPONENTS.index(exponent)]


@cache
def _points() -> tuple[G2Point, ...]:
    hint = "install zkmargin again from a trusted source"
    try:
        data = read_bytes(FILE, max_bytes=4096)
    except InputError as error:
        raise SetupError(f"the powers in G2: {error.message}", hint=hint) from None
    if keccak256(data) != FILE_DIGEST:
        raise SetupError("the powers in G2 are damaged: their digest is not the pinned one", hint=hint)
    start = len(MAGIC) + 32
    return tuple(decode_g2(data[start + i * G2_BYTES :][:G2_BYTES]) for i in range(len(EXPONENTS)))


def check_g2_power(srs: SRS, exponent: int, point: G2Point) -> None:
    """Raises SetupError unless a point is [tau^exponent]_2 of a setup."""
    if not pairing_product_is_one([(srs.g1(exponent), srs.g2_one), (-srs.g1(0), point)]):
        raise SetupError(f"not the power {exponent} in G2 of the setup {srs.name}")
