"""Ed25519 signatures (RFC 8032) through the ``cryptography`` package, with the strict choices made here.

RFC 8032 leaves room that libraries fill in differently. Refused before the library sees it: S of L and above, a key
or an R whose y is not below p, and keys of small order, under which one signature fits many messages. Imported
only where such a key is used: a verifier without them starts sooner.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SECRET_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES = 32, 32, 64
_P = 2**255 - 19
#: Order of the base point.
_L = 2**252 + 27742317777372353535851937790883648493
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
#: y of the eight points whose order divides 8; x does not matter.
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def generate_secret() -> bytes:
    """32 bytes from the operating system's generator."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(secret: bytes) -> bytes:
    """The 32-byte public key. Raises ValueError for a secret of another length."""
    return _private(secret).public_key().public_bytes_raw()


def check_public_key(key: bytes) -> None:
    """Raises ValueError for another length, a non-canonical encoding, a point off the curve or of small order."""
    if len(key) != PUBLIC_BYTES:
        raise ValueError(f"an Ed25519 key has {PUBLIC_BYTES} bytes, not {len(key)}")
    y = _y(key)
    if y >= _P:
        raise ValueError("a non-canonical encoding of an Ed25519 key")
    if y in _SMALL_ORDER:
        raise ValueError("an Ed25519 key of small order")
    # x^2 = (y^2 - 1) / (d y^2 + 1) must be a square: the library finds out only when it verifies.
    d = -121665 * pow(121666, -1, _P)
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, _P) % _P
    if pow(x_squared, (_P - 1) // 2, _P) != 1:
        raise ValueError("not the encoding of a point of Ed25519's curve")


def sign(secret: bytes, message: bytes) -> bytes:
    """The 64-byte signature. Raises ValueError for a secret of another length."""
    return _private(secret).sign(message)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's; False for a key or signature that is refused."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    R, S = signature[:32], int.from_bytes(signature[32:], "little")
    if S >= _L or _y(R) >= _P:
        return False
    try:
        check_public_key(key)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (ValueError, InvalidSignature):
        return False
    return True


def _y(encoded: bytes) -> int:
    """The y coordinate of an encoded point, not reduced."""
    return int.from_bytes(encoded, "little") & ((1 << 255) - 1)


@lru_cache(maxsize=4)  # whoever signs has the secret in memory anyway, and signs again
def _private(secret: bytes) -> Ed25519PrivateKey:
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"not a secret key: {SECRET_BYTES} bytes")
    return Ed25519PrivateKey.from_private_bytes(secret)
