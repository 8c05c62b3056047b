"""Points of a setup: encodings and groups, items 2 to 7 of the catalogue of negative tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point, G2Point
from support.setups import FORMS, REFUSED, TAU, Files, N, P, outside_subgroup

from zkmargin.crypto.srs import HEADER_BYTES, SRS
from zkmargin.crypto.srs_checks import strict_point, verify_srs
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import InputError, SetupError


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# Catalogue 2 to 7: encodings and groups


@pytest.mark.parametrize("coordinate", range(2 * N + 8))
def test_item_2_coordinate_of_p_or_more(files: Files, coordinate: int) -> None:
    data = bytearray(files.write("binary"))
    at = HEADER_BYTES + 48 * coordinate
    value = int.from_bytes(data[at : at + 48], "big")
    data[at : at + 48] = (value + P).to_bytes(48, "big")
    with pytest.raises(SetupError):
        files.load(bytes(data))


def test_item_2_compressed_coordinate_of_p_or_more(files: Files) -> None:
    """A point whose x + p stays below the flag bits, so that only the range check can refuse it."""
    point = next(p for i in range(N) if int.from_bytes((p := files.g1[i]).to_xy_bytes_be()[:48], "big") + P < 1 << 381)
    good = point.to_compressed_bytes()
    bad = (int.from_bytes(good, "big") + P).to_bytes(48, "big")
    for form in ("text", "json"):
        with pytest.raises(SetupError):
            files.load(files.write(form).replace(good.hex().encode(), bad.hex().encode()))


@pytest.mark.parametrize("flags", [0b000, 0b001, 0b010, 0b011, 0b110, 0b111])
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("slot", ["g1", "g2", "lagrange"])
def test_item_3_flag_bits(files: Files, form: str, flags: int, slot: str) -> None:
    good = getattr(files, slot)[2].to_compressed_bytes()
    bad = bytes([good[0] & 0x1F | flags << 5]) + good[1:]
    data = files.write(form).replace(good.hex().encode(), bad.hex().encode())
    with pytest.raises(SetupError):
        files.load(data)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("slot", ["g1", "g2", "lagrange"])
@pytest.mark.parametrize("first", [0x00, 0xC0])
def test_item_3_zero_bytes_and_infinity(files: Files, form: str, slot: str, first: int) -> None:
    good = getattr(files, slot)[2].to_compressed_bytes()
    bad = bytes([first]) + bytes(len(good) - 1)
    with pytest.raises(SetupError):
        files.load(files.write(form).replace(good.hex().encode(), bad.hex().encode()))


def test_item_3_a_lenient_library_is_not_believed() -> None:
    """Whatever a decoder makes of some bytes, only the encoding that the point has is accepted."""
    with pytest.raises(SetupError, match="canonical"):
        strict_point(lambda _: G1Point(), G1Point.to_compressed_bytes, bytes(48), "here")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("slot", ["g1", "g2", "lagrange"])
def test_item_3_wrong_sign(files: Files, form: str, slot: str) -> None:
    if (form, slot) == ("binary", "lagrange"):
        return
    points = getattr(files, slot)
    points[1] = -points[1]
    with pytest.raises(SetupError):
        files.load(form)


def test_item_4_every_length_of_our_encoding() -> None:
    data = insecure_from_tau(TAU, 2).encoding
    for length in range(2 * len(data) + 1):
        if length != len(data):
            with pytest.raises(InputError):
                SRS((data + data)[:length])


@pytest.mark.parametrize("form", FORMS)
def test_item_4_short_long_doubled(files: Files, form: str) -> None:
    data = files.write(form)
    for bad in (b"", data[:1], data[:-1], data[:-2], data + b"\0", data + b"0", data + data, b"\0" + data):
        with pytest.raises(InputError):
            files.load(bad)


@pytest.mark.parametrize("end", [b"\n", b" ", b"\r\n"])
def test_item_4_white_space_after_the_end(files: Files, end: bytes) -> None:
    for form in ("binary", "text"):
        with pytest.raises(InputError):
            files.load(files.write(form) + end)


def spoil(files: Files, change: Callable[[Files, str, int], None]) -> Iterator[bytes]:
    """Every file of every form with one slot changed."""
    for slot, count in (("g1", N), ("g2", 2), ("lagrange", N)):
        for i in range(count):
            spoilt = Files(files.folder)
            change(spoilt, slot, i)
            for form in FORMS:
                if (form, slot) != ("binary", "lagrange"):
                    yield spoilt.write(form)


def test_item_5_outside_the_subgroup_in_every_slot(files: Files) -> None:
    def change(f: Files, slot: str, i: int) -> None:
        getattr(f, slot)[i] = outside_subgroup(G2Point) if slot == "g2" else outside_subgroup(G1Point)

    for data in spoil(files, change):
        with pytest.raises(SetupError, match="not in the subgroup"):
            files.load(data)


def test_item_5_right_point_plus_a_point_of_small_order(files: Files) -> None:
    """Such an error survives a pairing with some luck (weights divisible by 3); the subgroup check sees it."""
    # x = 0 is on y^2 = x^3 + 4: the point (0, 2) has order 3.
    small = G1Point.from_xy_bytes_unchecked_be(bytes(95) + b"\x02")
    assert small + small + small == G1Point.identity()
    files.g1[4] = files.g1[4] + small
    with pytest.raises(SetupError, match="not in the subgroup"):
        files.load("binary")


def test_item_6_off_the_curve_in_every_slot(files: Files) -> None:
    good = files.write("binary")
    for coordinate in range(1, 2 * N, 2):
        data = bytearray(good)
        data[HEADER_BYTES + 48 * coordinate + 47] ^= 1
        with pytest.raises(SetupError, match="not the encoding of a point"):
            files.load(bytes(data))
    for coordinate in range(8):
        data = bytearray(good)
        data[HEADER_BYTES + 96 * N + 48 * coordinate + 47] ^= 1
        with pytest.raises(SetupError, match="not the encoding of a point"):
            files.load(bytes(data))


def test_item_7_infinity_in_every_slot(files: Files) -> None:
    def change(f: Files, slot: str, i: int) -> None:
        points = getattr(f, slot)
        points[i] = type(points[i]).identity()

    for data in spoil(files, change):
        with pytest.raises(SetupError, match="infinity"):
            files.load(data)


def test_item_37_every_bit_of_an_encoding_counts() -> None:
    data = insecure_from_tau(TAU, 2).encoding
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(REFUSED):
            verify_srs(SRS(bytes(flipped)))
