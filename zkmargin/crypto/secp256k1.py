"""ECDSA over secp256k1 (SEC 1, SEC 2) with Ethereum's choices: what ``ecrecover`` takes, and one text of each.

A key is its 33-byte compressed point. A message is hashed with keccak-256; a signature is r, s and v, 65 bytes, with s
in the lower half (EIP-2) and v 27 or 28, the parity of the point that r is the x of. Signing is OpenSSL's through the
``cryptography`` package, which Ed25519 needs anyway, with the nonces of RFC 6979. What OpenSSL does not do, the parity
of v, is computed here, from public numbers only. Imported only where such a key is used.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zkmargin.formats.canonical import keccak256

SECRET_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES = 32, 33, 65
#: SEC 2, section 2.4.1: field, order and base point.
_P = 2**256 - 2**32 - 977
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_CURVE = ec.SECP256K1()
_HASHED = Prehashed(hashes.SHA256())  # of 32 bytes: which hash made them does not matter

_Point = tuple[int, int] | None


def generate_secret() -> bytes:
    """A uniform scalar from 1 to n - 1, 32 bytes, from the operating system's generator."""
    return (1 + secrets.randbelow(_N - 1)).to_bytes(SECRET_BYTES, "big")


def public_key(secret: bytes) -> bytes:
    """The compressed key. Raises ValueError for what is no secret key."""
    return _private(secret).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def check_public_key(key: bytes) -> None:
    """Raises ValueError for another length or prefix, or for what is no point of the curve."""
    if len(key) != PUBLIC_BYTES or key[0] not in (2, 3):
        raise ValueError(f"a secp256k1 key is compressed: {PUBLIC_BYTES} bytes that begin with 02 or 03")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)
    except ValueError:
        raise ValueError("not the encoding of a point of secp256k1") from None


def address(key: bytes) -> str:
    """The Ethereum address of a key, with EIP-55's check in its letters. Raises ValueError as ``check_public_key``.

    >>> address(public_key((1).to_bytes(32, "big")))
    '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf'
    """
    check_public_key(key)
    x, y = _decoded(key)
    text = keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:].hex()
    check = keccak256(text.encode("ascii")).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(text, check, strict=False))


def sign(secret: bytes, message: bytes) -> bytes:
    """The 65 bytes r, s, v over keccak-256 of a message. Raises ValueError for what is no secret key."""
    private, digest = _private(secret), keccak256(message)
    try:
        signature = private.sign(digest, ec.ECDSA(_HASHED, deterministic_signing=True))
    except UnsupportedAlgorithm:  # OpenSSL before 3.2: its own nonces, from the operating system
        signature = private.sign(digest, ec.ECDSA(_HASHED))
    r, s = decode_dss_signature(signature)
    s = min(s, _N - s)
    parity = _parity(public_key(secret), digest, r, s)
    if parity is None:  # one time in 2^127
        raise ValueError("a signature that no recovery can tell: sign again")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's, in its one encoding; False for a key or signature that is refused."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not (1 <= r < _N and 1 <= s <= _N // 2):
        return False
    digest = keccak256(message)
    try:
        check_public_key(key)
        public = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)
        public.verify(encode_dss_signature(r, s), digest, ec.ECDSA(_HASHED))
    except (ValueError, InvalidSignature):
        return False
    return _parity(key, digest, r, s) == signature[64] - 27


def _parity(key: bytes, digest: bytes, r: int, s: int) -> int | None:
    """The parity of R = (digest G + r key) / s of a valid signature: what ``ecrecover`` needs besides r and s.

    None where R's x is r + n: no v of 27 or 28 says it. Nobody meets one by chance; whoever chooses R first and a key
    for it makes one at will.
    """
    inverse = pow(s, -1, _N)
    u, w = int.from_bytes(digest, "big") * inverse % _N, r * inverse % _N
    point = _combination(u, w, _decoded(key))
    return None if point is None or point[0] != r else point[1] & 1


def _combination(u: int, w: int, key: tuple[int, int]) -> _Point:
    """u G + w key, with the doublings of both at once."""
    table: tuple[_Point, ...] = (None, _G, key, _add(_G, key))
    total: _Point = None
    for place in reversed(range(256)):
        total = _add(_add(total, total), table[(u >> place & 1) | (w >> place & 1) << 1])
    return total


def _add(a: _Point, b: _Point) -> _Point:
    """Affine addition; variable time, for public numbers only."""
    if a is None or b is None:
        return a if b is None else b
    if a[0] == b[0]:
        if (a[1] + b[1]) % _P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _decoded(key: bytes) -> tuple[int, int]:
    """x and y of a compressed key that ``check_public_key`` accepts."""
    x = int.from_bytes(key[1:], "big")
    y = pow(x**3 + 7, (_P + 1) // 4, _P)
    return x, y if y & 1 == key[0] & 1 else _P - y


def _private(secret: bytes) -> ec.EllipticCurvePrivateKey:
    if len(secret) != SECRET_BYTES or not 1 <= int.from_bytes(secret, "big") < _N:
        raise ValueError("not a secret key: 32 bytes, a number from 1 to the order")
    return ec.derive_private_key(int.from_bytes(secret, "big"), _CURVE)
