"""BLS signatures: the published vectors without exception, the algebra, and what must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point, G2Point
from support.typed import Json, JsonObject

from zkmargin.crypto import bls
from zkmargin.crypto.field import encode_scalar, r
from zkmargin.crypto.group import (
    G1_INFINITY,
    G2_INFINITY,
    decode_g1,
    decode_g2,
    encode_g1,
    encode_g2,
    pairing_product_is_one,
)
from zkmargin.crypto.scalars import scalar

Files = Callable[[str], list[Path]]
Report = Callable[[str, int, object], None]

FAMILY = "vectors/eth-bls12-381-tests-v0.1.1"
SECRETS = [encode_scalar(x) for x in (1, 2, 0x1234567, r - 1)]
MESSAGE = b"a snapshot's digest"


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


# Published vectors


def sign(case: JsonObject) -> str | None:
    try:
        return "0x" + bls.sign(unhex(case["privkey"]), unhex(case["message"])).hex()
    except ValueError:
        return None


def aggregate(case: list[str]) -> str | None:
    try:
        return "0x" + bls.aggregate([unhex(signature) for signature in case]).hex()
    except ValueError:
        return None


def decodes(decode: Callable[[bytes], object], infinity: bytes, data: bytes) -> bool:
    """The vectors accept infinity, a point of the group; ours is refused, by that name, in every slot."""
    try:
        decode(data)
    except ValueError as error:
        return data == infinity and str(error) == "the point at infinity"
    return True


def hash_to_g2(case: dict[str, str]) -> dict[str, str]:
    x0, x1, y0, y1 = coordinates(
        G2Point.hash_to_curve(case["msg"].encode(), b"QUUX-V01-CS02-with-" + b"BLS12381G2_XMD:SHA-256_SSWU_RO_")
    )
    return {"x": f"{x0},{x1}", "y": f"{y0},{y1}"}


def coordinates(point: G2Point) -> list[str]:
    """x.c0, x.c1, y.c0, y.c1 as 0x and 96 hex digits."""
    data = bytes(point.to_xy_bytes_be())
    halves = [f"0x{data[i : i + 48].hex()}" for i in range(0, 192, 48)]
    compressed = bytes(point.to_compressed_bytes())
    # The binding's order of the two halves is read off the encoding, which has c1 first.
    c1 = f"0x{bytes([compressed[0] & 0x1F]).hex()}{compressed[1:48].hex()}"
    return halves if halves[1] == c1 else [halves[1], halves[0], halves[3], halves[2]]


CASES: dict[str, Callable[[Json], object]] = {
    "sign": sign,
    "aggregate": aggregate,
    "verify": lambda c: bls.verify(unhex(c["pubkey"]), unhex(c["message"]), unhex(c["signature"])),
    "fast_aggregate_verify": lambda c: bls.fast_aggregate_verify(
        [unhex(key) for key in c["pubkeys"]], unhex(c["message"]), unhex(c["signature"])
    ),
    "aggregate_verify": lambda c: bls.aggregate_verify(
        [unhex(key) for key in c["pubkeys"]], [unhex(m) for m in c["messages"]], unhex(c["signature"])
    ),
    "batch_verify": lambda c: bls.batch_verify(
        [
            (unhex(key), unhex(message), unhex(signature))
            for key, message, signature in zip(c["pubkeys"], c["messages"], c["signatures"], strict=True)
        ]
    ),
    "deserialization_G1": lambda c: decodes(decode_g1, G1_INFINITY, unhex(c["pubkey"])),
    "deserialization_G2": lambda c: decodes(decode_g2, G2_INFINITY, unhex(c["signature"])),
    "hash_to_G2": hash_to_g2,
}


@pytest.mark.conformance
@pytest.mark.parametrize("operation", CASES)
def test_ethereum_vectors(conformance_family: Files, conformance_report: Report, operation: str) -> None:
    files = [path for path in conformance_family(f"{FAMILY}/{operation}") if path.suffix == ".json"]
    for path in files:
        case = json.loads(path.read_text())
        assert CASES[operation](case["input"]) == case["output"], path.name
    conformance_report(f"{FAMILY}/{operation}", len(files), 0)


@pytest.mark.conformance
def test_every_operation_of_the_ethereum_vectors_is_tested(conformance_data: Path) -> None:
    folder = conformance_data / FAMILY
    if folder.is_dir():
        assert {path.name for path in folder.iterdir() if path.is_dir()} - {"formats"} == set(CASES)


@pytest.mark.conformance
@pytest.mark.parametrize("suite", ["BLS12381G2_XMD_SHA-256_SSWU_RO_", "BLS12381G1_XMD_SHA-256_SSWU_RO_"])
def test_rfc_9380_vectors(conformance_family: Files, conformance_report: Report, suite: str) -> None:
    """The suite that signatures use, and its sibling in G1, through the same binding."""
    (path,) = conformance_family(f"vectors/rfc9380/{suite}.json")
    document = json.loads(path.read_text())
    for case in document["vectors"]:
        message, dst = case["msg"].encode(), document["dst"].encode()
        if "G2" in suite:
            found = coordinates(G2Point.hash_to_curve(message, dst))
            assert found == [*case["P"]["x"].split(","), *case["P"]["y"].split(",")]
        else:
            data = bytes(G1Point.hash_to_curve(message, dst).to_xy_bytes_be())
            assert [f"0x{data[i : i + 48].hex()}" for i in (0, 48)] == [case["P"]["x"], case["P"]["y"]]
    conformance_report(f"vectors/rfc9380/{suite}", len(document["vectors"]), 0)


# Algebra


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
@pytest.mark.parametrize("message", [b"", MESSAGE, bytes(1000)], ids=len)
def test_signature_verifies_for_its_key_and_message_only(secret: bytes, message: bytes) -> None:
    key, signature = bls.public_key(secret), bls.sign(secret, message)
    assert bls.verify(key, message, signature)
    assert not bls.verify(key, message + b"\0", signature)
    assert not bls.verify(bls.public_key(encode_scalar(3)), message, signature)


def test_verification_is_the_equation_of_the_draft() -> None:
    """Written out once with the group alone: e(key, H(m)) = e(G1, signature)."""
    key, signature = bls.public_key(SECRETS[2]), bls.sign(SECRETS[2], MESSAGE)
    H = G2Point.hash_to_curve(MESSAGE, b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_")
    one = decode_g1(bls.public_key(encode_scalar(1)))
    assert pairing_product_is_one([(decode_g1(key), H), (-one, decode_g2(signature))])


def test_fresh_keys_differ() -> None:
    secrets = {bls.generate_secret() for _ in range(8)}
    assert len(secrets) == 8
    assert all(len(bls.public_key(secret)) == bls.PUBLIC_BYTES for secret in secrets)


def test_aggregate_of_one_message() -> None:
    keys = [bls.public_key(secret) for secret in SECRETS[:3]]
    total = bls.aggregate([bls.sign(secret, MESSAGE) for secret in SECRETS[:3]])
    assert bls.fast_aggregate_verify(keys, MESSAGE, total)
    assert not bls.fast_aggregate_verify(keys[:2], MESSAGE, total)
    assert not bls.fast_aggregate_verify([*keys, keys[0]], MESSAGE, total)


def test_aggregate_of_several_messages() -> None:
    messages = [b"a", b"b", b"c"]
    keys = [bls.public_key(secret) for secret in SECRETS[:3]]
    total = bls.aggregate([bls.sign(s, m) for s, m in zip(SECRETS, messages, strict=False)])
    assert bls.aggregate_verify(keys, messages, total)
    assert not bls.aggregate_verify(keys, [b"b", b"a", b"c"], total)
    assert not bls.aggregate_verify(keys, messages[:2], total)


def test_batch_finds_errors_that_cancel() -> None:
    items = [(bls.public_key(s), bytes([i]), bls.sign(s, bytes([i]))) for i, s in enumerate(SECRETS[:3])]
    assert bls.batch_verify(items)
    shift = decode_g2(items[2][2])
    wrong = [
        (items[0][0], items[0][1], encode_g2(decode_g2(items[0][2]) + shift)),
        (items[1][0], items[1][1], encode_g2(decode_g2(items[1][2]) + (-shift))),
    ]
    assert bls.aggregate_verify(
        [k for k, _, _ in wrong], [m for _, m, _ in wrong], bls.aggregate([s for _, _, s in wrong])
    )
    assert not bls.batch_verify(wrong)
    assert not bls.batch_verify([])
    assert not bls.batch_verify([(G1_INFINITY, MESSAGE, items[0][2])])
    assert not bls.batch_verify([(items[0][0], MESSAGE, G2_INFINITY)])


# Catalogue item 33: infinity, wrong tags, no proof of possession


def test_33_infinity_is_no_key_and_no_signature() -> None:
    assert not bls.verify(G1_INFINITY, MESSAGE, G2_INFINITY)
    assert not bls.verify(bls.public_key(SECRETS[0]), MESSAGE, G2_INFINITY)
    assert not bls.verify(G1_INFINITY, MESSAGE, bls.sign(SECRETS[0], MESSAGE))
    assert not bls.check_possession(G1_INFINITY, G2_INFINITY)
    with pytest.raises(ValueError, match="infinity"):
        bls.check_public_key(G1_INFINITY)


def test_33_keys_that_cancel_sign_nothing() -> None:
    """1 and r - 1 are both honest keys; their sum is infinity, under which infinity signs every message."""
    keys = [bls.public_key(SECRETS[0]), bls.public_key(SECRETS[3])]
    assert not bls.fast_aggregate_verify(keys, MESSAGE, G2_INFINITY)
    assert bls.aggregate([bls.sign(SECRETS[0], MESSAGE), bls.sign(SECRETS[3], MESSAGE)]) == G2_INFINITY


def test_33_wrong_domain_separation_tag() -> None:
    key = bls.public_key(SECRETS[2])
    for dst in (b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_", bls.POSSESSION_DST, b"another"):
        other = encode_g2(G2Point.hash_to_curve(MESSAGE, dst) * scalar(0x1234567))
        assert not bls.verify(key, MESSAGE, other)


def test_33_possession_is_proved_by_nothing_else() -> None:
    secret, key = SECRETS[2], bls.public_key(SECRETS[2])
    assert bls.check_possession(key, bls.prove_possession(secret))
    assert not bls.check_possession(key, bls.sign(secret, key))
    assert not bls.check_possession(key, bls.prove_possession(SECRETS[1]))
    assert not bls.verify(key, key, bls.prove_possession(secret))


def test_33_a_rogue_key_forges_without_proofs_of_possession_and_has_none() -> None:
    """Why possession is checked: key = [x] G1 - victim signs for both without the victim."""
    victim, x = bls.public_key(SECRETS[2]), encode_scalar(77)
    rogue = encode_g1(decode_g1(bls.public_key(x)) + (-decode_g1(victim)))
    forged = bls.sign(x, MESSAGE)
    assert bls.fast_aggregate_verify([victim, rogue], MESSAGE, forged)
    assert not bls.check_possession(rogue, bls.prove_possession(x))
    assert not bls.check_possession(rogue, forged)


@pytest.mark.parametrize("secret", [bytes(32), encode_scalar(r - 1)[:31], r.to_bytes(32, "big"), b"\xff" * 32, b""])
def test_secret_that_is_none_is_refused_without_being_shown(secret: bytes) -> None:
    for use in (bls.public_key, bls.prove_possession, lambda s: bls.sign(s, MESSAGE)):
        with pytest.raises(ValueError, match="not a secret key") as caught:
            use(secret)
        assert secret.hex() not in str(caught.value) or not secret


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:0], lambda d: d * 2])
def test_wrong_lengths(change: Callable[[bytes], bytes]) -> None:
    key, signature = bls.public_key(SECRETS[1]), bls.sign(SECRETS[1], MESSAGE)
    assert not bls.verify(change(key), MESSAGE, signature)
    assert not bls.verify(key, MESSAGE, change(signature))
    with pytest.raises(ValueError, match="bytes, not"):
        decode_g2(change(signature))


def test_points_outside_the_subgroup_are_refused() -> None:
    for x in range(200):
        data = bytes([0x80, *x.to_bytes(95, "big")])
        try:
            point = G2Point.from_compressed_bytes_unchecked(data)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            break
    else:
        pytest.fail("no point found")
    with pytest.raises(ValueError, match="subgroup of G2"):
        decode_g2(data)
    assert not bls.verify(bls.public_key(SECRETS[1]), MESSAGE, data)
    outside_g1 = bytes([0x80, *(4).to_bytes(47, "big")])
    assert not bls.verify(outside_g1, MESSAGE, bls.sign(SECRETS[1], MESSAGE))
    with pytest.raises(ValueError, match="subgroup"):
        bls.aggregate([data])


def test_every_flipped_bit_of_a_signature_is_noticed() -> None:
    key, signature = bls.public_key(SECRETS[1]), bls.sign(SECRETS[1], MESSAGE)
    for bit in range(0, 8 * len(signature), 5):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert not bls.verify(key, MESSAGE, bytes(flipped))


def test_flag_bits_of_g2() -> None:
    data = bls.sign(SECRETS[1], MESSAGE)
    with pytest.raises(ValueError, match="compression flag"):
        decode_g2(bytes([data[0] & 0x7F]) + data[1:])
    with pytest.raises(ValueError, match="infinity"):
        decode_g2(G2_INFINITY)
    negated = bytes([data[0] ^ 0x20]) + data[1:]
    assert encode_g2(-decode_g2(data)) == negated
    assert not bls.verify(bls.public_key(SECRETS[1]), MESSAGE, negated)


def test_nothing_to_aggregate() -> None:
    with pytest.raises(ValueError, match="nothing"):
        bls.aggregate([])
    assert not bls.fast_aggregate_verify([], MESSAGE, G2_INFINITY)
    assert not bls.aggregate_verify([], [], G2_INFINITY)
