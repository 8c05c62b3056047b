"""Strict decoding of scalars and points (catalogue items 1 to 7), and the group against published vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, islice, repeat
from pathlib import Path

import pytest
from eth_typing import BLSPubkey
from hypothesis import given
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point
from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
from py_ecc.optimized_bls12_381 import optimized_curve as bls
from py_ecc.optimized_bls12_381.optimized_pairing import pairing
from support.typed import JsonObject

from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar, encode_scalar, r, random_scalar
from zkmargin.crypto.group import (
    G1_BYTES,
    G1_INFINITY,
    G2_INFINITY,
    add_all,
    decode_g1,
    decode_g2,
    encode_g1,
    encode_g2,
    is_infinity,
    msm,
    msm_many,
    pairing_product_is_one,
)
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs_checks import strict_point
from zkmargin.formats import SetupError, keccak256

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
Files = Callable[[str], list[Path]]


def compressed(x: int, *, larger_y: bool = False, flags: int = 0b100) -> bytes:
    """48 bytes of any x below 2^381 and any flags."""
    return (x | (flags | larger_y) << 381).to_bytes(48, "big")


def multiples(count: int) -> list[bytes]:
    """Encodings of [1]G, [2]G, ..."""
    return [encode_g1(p) for p in islice(accumulate(repeat(G1Point())), count)]


# Scalars


@given(st.integers(0, r - 1))
def test_scalars_round_trip(x: int) -> None:
    data = encode_scalar(x)
    assert len(data) == SCALAR_BYTES
    assert data == x.to_bytes(32, "big")
    assert decode_scalar(data) == x


@given(st.binary(min_size=32, max_size=32))
def test_item_37_one_encoding_of_a_scalar(data: bytes) -> None:
    try:
        x = decode_scalar(data)
    except ValueError:
        assert int.from_bytes(data, "big") >= r
    else:
        assert encode_scalar(x) == data


@pytest.mark.parametrize("x", [r, r + 1, 2 * r, 2**256 - 1])
def test_item_1_scalars_at_or_above_the_order(x: int) -> None:
    with pytest.raises(ValueError, match="at or above the field order"):
        decode_scalar(x.to_bytes(32, "big"))


@pytest.mark.parametrize("x", [-1, r, r + 1, 2**256])
def test_item_1_scalars_out_of_range_are_not_encoded(x: int) -> None:
    with pytest.raises(ValueError, match="not a canonical scalar"):
        encode_scalar(x)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_item_4_scalars_of_another_length(size: int) -> None:
    with pytest.raises(ValueError, match=f"not {size}"):
        decode_scalar(bytes(size))


def test_random_scalars_are_canonical_and_differ() -> None:
    drawn = {random_scalar() for _ in range(64)}
    assert len(drawn) == 64
    assert all(0 <= x < r for x in drawn)


# Points


@given(st.integers(1, r - 1))
def test_points_round_trip_and_agree_with_py_ecc(k: int) -> None:
    data = encode_g1(G1Point() * scalar(k))
    assert encode_g1(decode_g1(data)) == data
    assert data == G1_to_pubkey(bls.multiply(bls.G1, k))


@pytest.mark.parametrize("excess", [0, 1, 5, 12])
def test_item_2_coordinates_at_or_above_p(excess: int) -> None:
    with pytest.raises(ValueError, match="not the encoding"):
        decode_g1(compressed(P + excess))


def test_item_2_a_valid_x_plus_p() -> None:
    """The same coordinate mod p, where it fits 381 bits."""
    small = [data for data in multiples(40) if int.from_bytes(data, "big") % 2**381 + P < 2**381]
    assert len(small) > 3
    for data in small:
        with pytest.raises(ValueError, match="not the encoding"):
            decode_g1((int.from_bytes(data, "big") + P).to_bytes(48, "big"))


@pytest.mark.parametrize("flags", [0b000, 0b001, 0b010, 0b011, 0b110, 0b111])
def test_item_3_other_flag_bits(flags: int) -> None:
    x = int.from_bytes(multiples(1)[0], "big") % 2**381
    with pytest.raises(ValueError, match="compression flag" if flags < 0b100 else "infinity"):
        decode_g1(compressed(x, flags=flags))


@pytest.mark.parametrize("head", [0xC0, 0xE0, 0x40, 0x00, 0x60, 0x20])
@pytest.mark.parametrize("tail", [0, 1])
def test_items_3_and_7_infinity_zero_bytes_and_stray_bits(head: int, tail: int) -> None:
    with pytest.raises(ValueError, match="infinity" if head & 0x80 else "compression flag"):
        decode_g1(bytes([head]) + bytes(46) + bytes([tail]))


def test_item_7_the_identity_encodes_as_infinity() -> None:
    identity = G1Point.identity()
    assert encode_g1(identity) == G1_INFINITY
    assert encode_g2(G2Point.identity()) == G2_INFINITY
    assert is_infinity(identity)
    assert not is_infinity(G1Point())
    with pytest.raises(ValueError, match="the point at infinity"):
        decode_g1(G1_INFINITY)


def test_item_3_the_sign_bit_negates() -> None:
    for data in multiples(8):
        flipped = bytes([data[0] ^ 0x20]) + data[1:]
        assert decode_g1(flipped) == -decode_g1(data)
        assert is_infinity(decode_g1(flipped) + decode_g1(data))


@pytest.mark.parametrize("size", [0, 1, 47, 49, 96])
def test_item_4_points_of_another_length(size: int) -> None:
    data = (multiples(1)[0] * 2)[:size]
    with pytest.raises(ValueError, match=f"not {size}"):
        decode_g1(data)


@pytest.mark.parametrize("larger_y", [False, True])
@pytest.mark.parametrize("x", [0, 4])
def test_item_5_outside_the_subgroup(x: int, larger_y: bool) -> None:
    data = compressed(x, larger_y=larger_y)
    point = G1Point.from_compressed_bytes_unchecked(data)
    assert not point.is_in_subgroup()
    with pytest.raises(ValueError, match="not the encoding"):
        decode_g1(data)
    beside = encode_g1(point + G1Point())
    with pytest.raises(ValueError, match="not the encoding"):
        decode_g1(beside)


def test_item_6_no_point_has_this_x() -> None:
    absent = [x for x in range(1, 40) if pow(x**3 + 4, (P - 1) // 2, P) == P - 1]
    assert len(absent) > 10
    for x in absent:
        for larger_y in (False, True):
            with pytest.raises(ValueError, match="not the encoding"):
                decode_g1(compressed(x, larger_y=larger_y))


def test_item_37_every_bit_of_a_point_counts() -> None:
    data = multiples(3)[-1]
    point = decode_g1(data)
    for bit in range(8 * G1_BYTES):
        changed = bytearray(data)
        changed[bit // 8] ^= 0x80 >> bit % 8
        try:
            other = decode_g1(bytes(changed))
        except ValueError:
            continue
        assert other != point


@given(st.binary(min_size=48, max_size=48))
def test_item_55_hostile_bytes_give_value_error_or_the_same_bytes(data: bytes) -> None:
    marked = bytes([data[0] & 0x3F | 0x80]) + data[1:]
    for candidate in (data, marked):
        try:
            point = decode_g1(candidate)
        except ValueError:
            continue
        assert encode_g1(point) == candidate


# Sums


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 32, 33])
def test_item_43_msm_is_the_sum(count: int) -> None:
    points = [G1Point() * scalar(7 * i + 1) for i in range(count)]
    scalars = [pow(3, 50 * i, r) for i in range(count)]
    expected = sum((7 * i + 1) * k for i, k in enumerate(scalars))
    assert msm(points, scalars) == G1Point() * scalar(expected)
    assert add_all(points) == msm(points, [1] * count)


@pytest.mark.parametrize("k", [0, 1, -1, r - 1, r, r + 1, 2 * r + 3, 2**256 - 1, -(2**300)])
def test_item_43_scalars_are_taken_mod_r(k: int) -> None:
    expected = G1_to_pubkey(bls.multiply(bls.G1, k % r))
    assert encode_g1(msm([G1Point()], [k])) == expected
    assert encode_g1(G1Point() * scalar(k)) == expected


def test_item_43_infinity_and_opposites_inside_a_sum() -> None:
    P1, identity = G1Point() * scalar(5), G1Point.identity()
    for count in (2, 3, 16, 31, 32):
        points = [identity if i == count // 2 else P1 for i in range(count)]
        assert msm(points, list(range(1, count + 1))) == P1 * scalar(sum(range(1, count + 1)) - count // 2 - 1)
    assert is_infinity(msm([P1, -P1], [9, 9]))
    assert is_infinity(msm([P1] * 4, [1, 2, 3, -6]))
    assert is_infinity(msm([], []))


def test_item_43_lengths_that_differ() -> None:
    with pytest.raises(ValueError, match="1 points and 2 scalars"):
        msm([G1Point()], [1, 2])
    for points, scalars in ((2, 1), (1, 2)):
        with pytest.raises(ValueError, match=f"{points} points and {scalars} scalars"):
            msm_many([([G1Point()], [1]), ([G1Point()] * points, [1] * scalars)])


@pytest.mark.parametrize("counts", [(), (0,), (3, 0, 1), (300, 5, 700), (2000,)])
def test_item_43_many_sums_are_those_of_each(counts: tuple[int, ...]) -> None:
    points = [G1Point() * scalar(7 * i + 1) for i in range(10)]
    sums = [([points[i % 10] for i in range(count)], [pow(5, 50 * i, r) for i in range(count)]) for count in counts]
    assert msm_many(sums) == [msm(*one) for one in sums]


@pytest.mark.parametrize(("a", "b", "c"), [(3, 5, 15), (r - 1, 2, r - 2), (2**200, 2**50, 2**250)])
def test_pairing_is_bilinear(a: int, b: int, c: int) -> None:
    P1, Q = G1Point(), G2Point()
    left = (P1 * scalar(a), Q * scalar(b))
    assert pairing_product_is_one([left, (-(P1 * scalar(c)), Q)])
    assert not pairing_product_is_one([left, (-(P1 * scalar(c + 1)), Q)])
    assert pairing_product_is_one([left, (G1Point.identity(), Q), (-(P1 * scalar(c)), Q)])


def test_pairing_agrees_with_py_ecc() -> None:
    assert not pairing_product_is_one([(G1Point(), G2Point())])
    two, six = bls.multiply(bls.G2, 2), bls.multiply(bls.G1, 6)
    assert pairing(two, bls.multiply(bls.G1, 3)) == pairing(bls.G2, six)
    assert pairing_product_is_one([(G1Point() * scalar(3), G2Point() * scalar(2)), (-G1Point() * scalar(6), G2Point())])


# Published vectors


@pytest.mark.conformance
def test_zkcrypto_g1_encodings(conformance_family: Files) -> None:
    """[i]G for i = 0 .. 999, compressed and uncompressed, against arkworks and py_ecc."""
    files = {path.name: path.read_bytes() for path in conformance_family("vectors/zkcrypto-bls12-381")}
    short, long = files["g1_compressed_valid_test_vectors.dat"], files["g1_uncompressed_valid_test_vectors.dat"]
    assert (len(short), len(long)) == (48_000, 96_000)
    assert short[:48] == G1_INFINITY
    with pytest.raises(ValueError, match="infinity"):
        decode_g1(short[:48])
    expected, other = G1Point(), bls.G1
    for i in range(1, 1000):
        data, xy = short[48 * i :][:48], long[96 * i :][:96]
        point = decode_g1(data)
        assert point == expected
        assert encode_g1(point) == data
        assert point.to_xy_bytes_be() == xy
        assert strict_point(G1Point.from_xy_bytes_unchecked_be, G1Point.to_xy_bytes_be, xy, "") == point
        assert G1_to_pubkey(other) == data
        assert bls.eq(pubkey_to_G1(BLSPubkey(data)), other)
        expected, other = expected + G1Point(), bls.add(other, bls.G1)


@pytest.mark.conformance
def test_zkcrypto_g2_encodings(conformance_family: Files) -> None:
    """[i]G for i = 0 .. 999: the parser that reads a setup's G2 points."""
    files = {path.name: path.read_bytes() for path in conformance_family("vectors/zkcrypto-bls12-381")}
    short, long = files["g2_compressed_valid_test_vectors.dat"], files["g2_uncompressed_valid_test_vectors.dat"]
    assert (len(short), len(long)) == (96_000, 192_000)
    expected = G2Point()
    for i in range(1, 1000):
        data, xy = short[96 * i :][:96], long[192 * i :][:192]
        assert strict_point(G2Point.from_compressed_bytes_unchecked, G2Point.to_compressed_bytes, data, "") == expected
        # this family writes the imaginary half first, EIP-2537 and our setups the real half
        halves = [xy[j : j + 48] for j in (48, 0, 144, 96)]
        assert expected.to_xy_bytes_be() == b"".join(halves)
        expected = expected + G2Point()


def known_answers(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """(bits, message, digest) of a KAT file."""
    rows = [line.split(" = ") for line in path.read_text().splitlines() if line.startswith(("Len =", "Msg =", "MD ="))]
    for (_, bits), (_, message), (_, digest) in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        yield int(bits), bytes.fromhex(message), bytes.fromhex(digest)


@pytest.mark.conformance
@pytest.mark.parametrize(("name", "count"), [("keccak_ShortMsgKAT_256.txt", 256), ("keccak_LongMsgKAT_256.txt", 65)])
def test_keccak_known_answers(conformance_family: Files, name: str, count: int) -> None:
    (path,) = conformance_family(f"vectors/keccak/{name}")
    whole = [answer for answer in known_answers(path) if answer[0] % 8 == 0]
    assert len(whole) == count
    for bits, message, digest in whole:
        assert keccak256(message[: bits // 8]) == digest


@pytest.mark.conformance
def test_keccak_is_not_sha3(conformance_family: Files) -> None:
    (path,) = conformance_family("vectors/keccak/nist_SHA3_256ShortMsg.rsp")
    answers = list(known_answers(path))
    assert len(answers) > 100
    assert all(keccak256(message[: bits // 8]) != digest for bits, message, digest in answers)


# EIP-2537 pads each coordinate to 64 bytes and writes infinity as zeros; points are uncompressed.


def unpadded(data: bytes) -> bytes:
    """Coordinates of 48 bytes from coordinates of 64."""
    return b"".join(data[i + 16 : i + 64] for i in range(0, len(data), 64))


def eip_g1(data: bytes, *, in_subgroup: bool = True) -> G1Point:
    xy = unpadded(data)
    if not any(xy):
        return G1Point.identity()
    if not in_subgroup:
        return G1Point.from_xy_bytes_unchecked_be(xy)
    return strict_point(G1Point.from_xy_bytes_unchecked_be, G1Point.to_xy_bytes_be, xy, "G1")


def eip_g2(data: bytes) -> G2Point:
    xy = unpadded(data)
    if not any(xy):
        return G2Point.identity()
    return strict_point(G2Point.from_xy_bytes_unchecked_be, G2Point.to_xy_bytes_be, xy, "G2")


def eip_bytes(point: G1Point) -> bytes:
    if is_infinity(point):
        return bytes(128)
    xy = bytes(point.to_xy_bytes_be())
    return bytes(16) + xy[:48] + bytes(16) + xy[48:]


def vectors(family: Files, name: str) -> list[tuple[str, bytes, JsonObject]]:
    (path,) = family(f"vectors/eip2537/{name}.json")
    return [(v["Name"], bytes.fromhex(v["Input"]), v) for v in json.loads(path.read_text())]


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.conformance
def test_eip2537_g1_add(conformance_family: Files) -> None:
    cases = vectors(conformance_family, "add_G1_bls")
    assert len(cases) == 9
    for name, data, case in cases:
        # addition needs no subgroup, and some of these points are in none
        total = add_all(eip_g1(chunk, in_subgroup=False) for chunk in chunks(data, 128))
        assert eip_bytes(total).hex() == case["Expected"], name


@pytest.mark.conformance
@pytest.mark.parametrize(("family", "count"), [("mul_G1_bls", 11), ("msm_G1_bls", 163)])
def test_eip2537_g1_msm(conformance_family: Files, family: str, count: int) -> None:
    """Scalars are any 256 bits: taken mod r."""
    cases = vectors(conformance_family, family)
    assert len(cases) == count
    for name, data, case in cases:
        rows = chunks(data, 160)
        total = msm([eip_g1(row[:128]) for row in rows], [int.from_bytes(row[128:], "big") for row in rows])
        assert eip_bytes(total).hex() == case["Expected"], name


@pytest.mark.conformance
def test_eip2537_pairing(conformance_family: Files) -> None:
    cases = vectors(conformance_family, "pairing_check_bls")
    assert len(cases) == 15
    for name, data, case in cases:
        pairs = [(eip_g1(row[:128]), eip_g2(row[128:])) for row in chunks(data, 384)]
        assert pairing_product_is_one(pairs) == bool(int(case["Expected"], 16)), name


#: Lengths and padding belong to the contract's encoding; ours has neither (item 4 above stands for them).
OF_THE_ENCODING = ("invalid input length", "invalid field element top bytes")


@pytest.mark.conformance
@pytest.mark.parametrize(
    ("family", "size"), [("fail-add_G1_bls", 128), ("fail-mul_G1_bls", 160), ("fail-msm_G1_bls", 160)]
)
def test_items_2_5_6_eip2537_bad_points(conformance_family: Files, family: str, size: int) -> None:
    cases = [c for c in vectors(conformance_family, family) if c[2]["ExpectedError"] not in OF_THE_ENCODING]
    assert len(cases) >= 3
    for name, data, case in cases:
        slots = [chunk[:128] for chunk in chunks(data, size)]
        assert any(refused(partial(eip_g1, slot)) for slot in slots), name
        if "not on curve" in case["ExpectedError"]:
            continue  # the x of some of these has another y: compressed, they are other points
        assert any(refused(partial(decode_g1, recompressed(slot))) for slot in slots), name


@pytest.mark.conformance
def test_items_2_5_6_eip2537_bad_pairing_inputs(conformance_family: Files) -> None:
    cases = [
        c for c in vectors(conformance_family, "fail-pairing_check_bls") if c[2]["ExpectedError"] not in OF_THE_ENCODING
    ]
    assert len(cases) == 21
    for name, data, _ in cases:
        rows = chunks(data, 384)
        readers = [lambda row=row: (eip_g1(row[:128]), eip_g2(row[128:])) for row in rows]
        assert any(refused(reader) for reader in readers), name


def refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except (ValueError, SetupError):
        return True
    return False


def recompressed(slot: bytes) -> bytes:
    """The compressed form of an uncompressed point, good or bad, by hand."""
    xy = unpadded(slot)
    x, y = int.from_bytes(xy[:48], "big"), int.from_bytes(xy[48:], "big")
    return compressed(x % 2**381, larger_y=2 * y > P)


# --- the G2 decoder, and a library that is too lenient -------------------------------------------------------


def test_items_2_to_7_g2_is_decoded_as_strictly() -> None:
    good = encode_g2(G2Point() * scalar(12345))
    assert encode_g2(decode_g2(good)) == good
    assert decode_g2(good) == G2Point() * scalar(12345)
    opposite = bytes([good[0] ^ 0x20]) + good[1:]
    assert decode_g2(opposite) == -(G2Point() * scalar(12345))
    x = int.from_bytes(good[:48], "big")
    p = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
    reasons = {
        b"": "a G2 point has 96 bytes, not 0",
        good[:-1]: "a G2 point has 96 bytes, not 95",
        good + b"\0": "a G2 point has 96 bytes, not 97",
        bytes([good[0] & 0x7F]) + good[1:]: "without the compression flag",
        bytes([good[0] & 0x7F | 0x01]) + good[1:]: "without the compression flag",
        bytes(96): "without the compression flag",
        b"\xc0" + bytes(95): "the point at infinity",
        b"\xe0" + bytes(94) + b"\1": "the point at infinity",
        (p | 1 << 383).to_bytes(48, "big") + good[48:]: "not the encoding of a point",
        good[:48] + p.to_bytes(48, "big"): "not the encoding of a point",
        (x + 1).to_bytes(48, "big") + good[48:]: "not the encoding of a point",
        b"\x80" + bytes(94) + b"\2": "not the encoding of a point",  # on the twist, outside the subgroup, or on neither
    }
    for data, reason in reasons.items():
        with pytest.raises(ValueError, match=reason):
            decode_g2(data)


@pytest.mark.parametrize(("name", "size"), [("G1Point", 48), ("G2Point", 96)])
def test_item_3_a_library_that_reads_a_second_encoding_is_not_believed(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"G1Point": G1Point, "G2Point": G2Point}[name]

    class Lenient:
        @staticmethod
        def from_compressed_bytes(_: bytes) -> object:
            return kind()

    monkeypatch.setattr(f"zkmargin.crypto.group.{name}", Lenient)
    decode = {"G1Point": decode_g1, "G2Point": decode_g2}[name]
    with pytest.raises(ValueError, match="a non-canonical encoding"):
        decode(b"\x9f" + bytes(size - 1))
