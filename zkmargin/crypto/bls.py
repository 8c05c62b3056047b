"""BLS signatures on BLS12-381, minimal public keys, with proofs of possession (draft-irtf-cfrg-bls-signature).

A public key is 48 bytes (G1), a signature 96 bytes (G2), messages are hashed to G2 as RFC 9380 says
(BLS12381G2_XMD:SHA-256_SSWU_RO_). Several signatures over one message add up to one, checked against the sum of the
keys. That is sound only for keys that come with a proof of possession: without it, a rogue key chosen as a
difference of keys signs for others. The point at infinity is no key and no signature.

Arithmetic is arkworks': not constant time, so sign where nobody can measure.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point, G2Point

from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar, r
from zkmargin.crypto.group import (
    G1_BYTES,
    G2_BYTES,
    G2_INFINITY,
    decode_g1,
    decode_g2,
    encode_g1,
    encode_g2,
    is_infinity,
    pairing_product_is_one,
)
from zkmargin.crypto.scalars import scalar

SIGNATURE_DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DST = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
SECRET_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES = SCALAR_BYTES, G1_BYTES, G2_BYTES
_WEIGHT_BITS = 128
# The generator of G1 of the draft, section 4.2.1 there: zcash's.
_GENERATOR = decode_g1(
    bytes.fromhex("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")
)


def generate_secret() -> bytes:
    """A uniform secret key from the operating system's generator: a scalar from 1 to r - 1, 32 bytes, big-endian."""
    return encode_scalar(1 + secrets.randbelow(r - 1))


def public_key(secret: bytes) -> bytes:
    """[secret] G1, compressed. Raises ValueError for 0, r and above, or another length."""
    return encode_g1(_GENERATOR * scalar(_decode_secret(secret)))


def check_public_key(key: bytes) -> None:
    """KeyValidate. Raises ValueError for anything that is no finite, canonical point of the subgroup."""
    decode_g1(key)


def sign(secret: bytes, message: bytes) -> bytes:
    """The signature of a message of any length. Raises ValueError as ``public_key`` does."""
    return _sign(secret, message, SIGNATURE_DST)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's; False for a key or signature that is no valid encoding."""
    return fast_aggregate_verify([key], message, signature)


def prove_possession(secret: bytes) -> bytes:
    """PopProve: the own public key signed under its own domain separation tag."""
    return _sign(secret, public_key(secret), POSSESSION_DST)


def check_possession(key: bytes, proof: bytes) -> bool:
    """PopVerify: whether whoever made the key knew its secret."""
    return _holds([key], [key], proof, POSSESSION_DST)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """The sum of signatures; as in the draft, infinity may be one of them (and never verifies).

    Raises:
        ValueError: no signature, or one that is no point of the subgroup.
    """
    if not signatures:
        raise ValueError("nothing to aggregate")
    total = G2Point.identity()
    for signature in signatures:
        if signature != G2_INFINITY:
            total = total + decode_g2(signature)
    return encode_g2(total)


def fast_aggregate_verify(keys: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """One message, several signers. Only for keys whose possession was proved; False for none."""
    try:
        total = sum((decode_g1(key) for key in keys), start=G1Point.identity())
    except ValueError:
        return False
    # Keys that cancel leave infinity, under which every message has the same signature.
    if is_infinity(total):
        return False
    return _holds([encode_g1(total)], [message], signature, SIGNATURE_DST)


def aggregate_verify(keys: Sequence[bytes], messages: Sequence[bytes], signature: bytes) -> bool:
    """Several messages, the i-th signed by the i-th key. False for none, and for different counts."""
    return _holds(keys, messages, signature, SIGNATURE_DST)


def batch_verify(items: Sequence[tuple[bytes, bytes, bytes]]) -> bool:
    """Whether every (key, message, signature) verifies: one pairing product under random 128-bit weights.

    The weights are drawn after the inputs are fixed: errors cannot be made to cancel. False for an empty batch.
    """
    try:
        decoded = [(decode_g1(key), message, decode_g2(signature)) for key, message, signature in items]
    except ValueError:
        return False
    if not decoded:
        return False
    total, pairs = G2Point.identity(), []
    for key, message, signature in decoded:
        weight = scalar(1 + secrets.randbelow((1 << _WEIGHT_BITS) - 1))
        total = total + signature * weight
        pairs.append((key * weight, G2Point.hash_to_curve(message, SIGNATURE_DST)))
    return pairing_product_is_one([*pairs, (-_GENERATOR, total)])


def _sign(secret: bytes, message: bytes, dst: bytes) -> bytes:
    return encode_g2(G2Point.hash_to_curve(message, dst) * scalar(_decode_secret(secret)))


def _holds(keys: Sequence[bytes], messages: Sequence[bytes], signature: bytes, dst: bytes) -> bool:
    """prod_i e(key_i, H(message_i)) = e(G1, signature), every point decoded strictly."""
    if not keys or len(keys) != len(messages):
        return False
    try:
        point = decode_g2(signature)
        pairs = [(decode_g1(key), G2Point.hash_to_curve(m, dst)) for key, m in zip(keys, messages, strict=True)]
    except ValueError:
        return False
    return pairing_product_is_one([*pairs, (-_GENERATOR, point)])


def _decode_secret(secret: bytes) -> int:
    """The scalar. Raises ValueError, without repeating it, for 0, r and above, or another length."""
    try:
        x = decode_scalar(secret)
    except ValueError:
        x = 0
    if x == 0:
        raise ValueError("not a secret key: 32 bytes, big-endian, from 1 to r - 1")
    return x
