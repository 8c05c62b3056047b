"""The structured reference string: hostile files of the catalogue of negative tests are refused, items by number."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TypeVar

import pytest
from py_arkworks_bls12381 import G1Point, G2Point

import zkmargin.crypto.srs
from zkmargin.crypto import make_srs
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at, scalar
from zkmargin.crypto.srs import (
    EMBEDDED_DIGEST,
    EMBEDDED_FILE,
    HEADER_BYTES,
    KNOWN,
    MAGIC,
    MAX_POWERS,
    SRS,
    embedded,
    encoded_bytes,
)
from zkmargin.crypto.srs_checks import check_g1_powers, check_lagrange, strict_point, verify_srs
from zkmargin.crypto.srs_files import MAX_FILE_BYTES, load
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import InputError, SetupError, keccak256

TAU, N, M = 0xC0FFEE, 8, 5
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
REFUSED = (InputError, SetupError)
FORMS = ["binary", "text", "json"]

Point = TypeVar("Point", G1Point, G2Point)


class Files:
    """A small setup's points, free to be spoilt, and the three forms of file they are written in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.g1 = [G1Point() * scalar(pow(TAU, i, r)) for i in range(N)]
        self.g2 = [G2Point() * scalar(pow(TAU, i, r)) for i in range(M)]
        self.lagrange = [G1Point() * x for x in lagrange_at(Domain.of(N), TAU)]

    def write(self, form: str) -> bytes:
        if form == "binary":
            return SRS.from_points(self.g1, self.g2).encoding
        g1, g2, lagrange = ([p.to_compressed_bytes().hex() for p in ps] for ps in (self.g1, self.g2, self.lagrange))
        if form == "text":
            return "".join(f"{x}\n" for x in [len(g1), len(g2), *lagrange, *g2, *g1]).encode()
        lists = {"g1_monomial": g1, "g1_lagrange": lagrange, "g2_monomial": g2}
        return json.dumps({k: ["0x" + x for x in v] for k, v in lists.items()}, indent=2).encode()

    def load(self, data: bytes | str) -> SRS:
        """Load with the insecure switch on, so that only the checks of the content stand in the way."""
        path = self.folder / "setup"
        path.write_bytes(data if isinstance(data, bytes) else self.write(data))
        return load(path, allow_insecure=True)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def fresh_embedded() -> Iterator[None]:
    embedded.cache_clear()
    yield
    embedded.cache_clear()


def outside_subgroup(kind: type[Point]) -> Point:
    """A point of the curve (or twist) that is not in the subgroup; for G1 it is the one with x = 4."""
    for x in range(4, 64):
        try:
            width = 48 if kind is G1Point else 96
            point = kind.from_compressed_bytes_unchecked(b"\x80" + bytes(width - 2) + bytes([x]))
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return point
    raise AssertionError("no such point")


# What is in a setup


def test_embedded_is_the_ethereum_ceremony() -> None:
    srs = embedded()
    assert (srs.name, srs.powers, srs.insecure) == ("ethereum-kzg-4096", 4096, False)
    assert srs.digest == EMBEDDED_DIGEST == keccak256(EMBEDDED_FILE.read_bytes())
    assert srs is embedded()


def test_verify_srs_reports_every_check_of_the_embedded_setup() -> None:
    seen: list[str] = []
    report = verify_srs(embedded(), progress=seen.append)
    assert (report.name, report.digest, report.powers) == ("ethereum-kzg-4096", EMBEDDED_DIGEST, 4096)
    assert not report.insecure
    assert report.checks == tuple(seen)
    assert len(seen) == len(set(seen)) == 4
    with pytest.raises(FrozenInstanceError):
        report.insecure = True  # type: ignore[misc]


def test_encoding_has_the_documented_layout() -> None:
    """Read with nothing but struct, against the coordinates of the generators in the standard."""
    data = insecure_from_tau(TAU, 3).encoding
    assert data[:26] == b"zkmargin/srs/v1\nbls12-381\n"
    assert struct.unpack_from(">IH", data, 26) == (3, 2)
    assert len(data) == 32 + 3 * 96 + 2 * 192
    x1, y1 = data[32:80], data[80:128]
    assert x1.hex().startswith("17f1d3a73197d794")
    assert y1.hex().startswith("08b3f481e3aaa0f1")
    x2c0, x2c1 = data[32 + 288 :][:48], data[32 + 288 + 48 :][:48]
    assert x2c0.hex().startswith("024aa2b2f08f0a91")
    assert x2c1.hex().startswith("13e02b6052719f60")


def test_points_and_views_agree() -> None:
    srs = insecure_from_tau(TAU, N)
    expected = [G1Point() * scalar(pow(TAU, i, r)) for i in range(N)]
    assert srs.g1_powers(N) == [srs.g1(i) for i in range(N)] == expected
    assert srs.g1_powers(0) == []
    assert bytes(srs.g1_bytes) == b"".join(p.to_xy_bytes_be() for p in expected)
    assert srs.g1_bytes.readonly
    assert (srs.g2_one, srs.g2_tau) == (G2Point(), G2Point() * scalar(TAU))
    assert bytes(srs.g2_bytes) == srs.g2_one.to_xy_bytes_be() + srs.g2_tau.to_xy_bytes_be()


def test_a_caller_cannot_change_a_setup() -> None:
    srs = insecure_from_tau(TAU, N)
    srs.g1_powers(N).clear()
    assert len(srs.g1_powers(N)) == N
    with pytest.raises(FrozenInstanceError):
        srs.encoding = b""  # type: ignore[misc]


@pytest.mark.parametrize("form", FORMS)
def test_one_digest_whatever_the_file(files: Files, form: str) -> None:
    assert files.load(form) == insecure_from_tau(TAU, N)
    assert files.load(form).digest == insecure_from_tau(TAU, N).digest


def test_json_without_lagrange_points(files: Files) -> None:
    document = json.loads(files.write("json"))
    del document["g1_lagrange"]
    assert files.load(json.dumps(document).encode()) == insecure_from_tau(TAU, N)


def test_the_smallest_setup_has_two_powers(files: Files) -> None:
    half = pow(2, -1, r)  # L_0 = (1 + X) / 2, L_1 = (1 - X) / 2
    files.g1, files.lagrange = files.g1[:2], [G1Point() * scalar((1 + s * TAU) * half) for s in (1, -1)]
    for form in FORMS:
        assert files.load(form).powers == 2


def test_load_from_standard_input(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(files.write("binary"))))
    assert load("-", allow_insecure=True).powers == N


def test_load_tells_its_progress(files: Files) -> None:
    path = files.folder / "setup"
    path.write_bytes(files.write("text"))
    seen: list[str] = []
    load(path, allow_insecure=True, progress=seen.append)
    assert len(seen) == 6
    assert any("G2" in check for check in seen)
    assert seen[-1] == "the Lagrange points belong to these powers"


def test_errors_name_the_file_and_the_place(files: Files) -> None:
    files.g1[3] = outside_subgroup(G1Point)
    path = str(files.folder / "setup")
    with pytest.raises(SetupError) as binary:
        files.load("binary")
    assert binary.value.message == f"{path}: G1 power 3: not in the subgroup of order r"
    with pytest.raises(SetupError) as text:
        files.load("text")
    assert text.value.message == f"{path}: line {2 + N + M + 4}: not in the subgroup of order r"
    with pytest.raises(SetupError) as document:
        files.load("json")
    assert document.value.message == f"{path}: g1_monomial[3]: not in the subgroup of order r"
    files.g1[3] = files.g1[2]
    for slot, field in (("lagrange", "g1_lagrange"), ("g2", "g2_monomial")):
        points = getattr(files, slot)
        points[3] = outside_subgroup(type(points[3]))
        with pytest.raises(SetupError) as other:
            files.load("json")
        assert other.value.message == f"{path}: {field}[3]: not in the subgroup of order r"


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


# Catalogue 8 to 12: the setup as a whole


def test_item_8_degenerate_tau(files: Files) -> None:
    for tau in (0, 1, r - 1, r):
        files.g1 = [G1Point() * scalar(pow(tau, i, r)) for i in range(N)]
        files.g2 = [G2Point() * scalar(pow(tau, i, r)) for i in range(2)]
        with pytest.raises(SetupError):
            files.load("binary")


def test_item_8_tau_in_g2_is_one_or_infinity(files: Files) -> None:
    for bad, message in ((G2Point(), "tau is 1"), (G2Point.identity(), "infinity")):
        files.g2[1] = bad
        for form in FORMS:
            with pytest.raises(SetupError, match=message):
                files.load(form)


def test_item_8_two_equal_powers(files: Files) -> None:
    files.g1[5] = files.g1[2]
    for form in FORMS:
        with pytest.raises(SetupError, match="the G1 powers 2 and 5 are equal"):
            files.load(form)


@pytest.mark.parametrize("form", FORMS)
def test_item_8_another_generator(files: Files, form: str) -> None:
    """Consistent powers of tau, but of other generators: commitments to known constants would be unknown."""
    for slot in ("g1", "g2"):
        spoilt = Files(files.folder)
        setattr(spoilt, slot, [p * scalar(5) for p in getattr(spoilt, slot)])
        with pytest.raises(SetupError, match="not the generator"):
            files.load(spoilt.write(form))


@pytest.mark.parametrize("form", FORMS)
def test_item_9_one_power_altered(files: Files, form: str) -> None:
    for i in range(1, N):
        spoilt = Files(files.folder)
        spoilt.g1[i] = spoilt.g1[i] + G1Point()
        with pytest.raises(SetupError, match="not consecutive powers"):
            files.load(spoilt.write(form))


@pytest.mark.parametrize("form", ["text", "json"])
def test_item_9_one_g2_power_altered(files: Files, form: str) -> None:
    for i in range(1, M):
        spoilt = Files(files.folder)
        spoilt.g2[i] = spoilt.g2[i] + G2Point()
        with pytest.raises(SetupError, match="not consecutive powers"):
            files.load(spoilt.write(form))


@pytest.mark.parametrize("form", FORMS)
def test_item_9_two_powers_swapped(files: Files, form: str) -> None:
    files.g1[3], files.g1[4] = files.g1[4], files.g1[3]
    with pytest.raises(SetupError, match="not consecutive powers"):
        files.load(form)


@pytest.mark.parametrize("form", FORMS)
def test_item_9_one_power_missing(files: Files, form: str) -> None:
    """Left out in the middle, the counts adjusted: the text form then lacks rows, too."""
    del files.g1[3]
    with pytest.raises(REFUSED):
        files.load(form)
    del files.lagrange[3]
    with pytest.raises(SetupError, match="not consecutive powers"):
        files.load(form)


def test_item_9_one_power_missing_or_extra_against_the_counts(files: Files) -> None:
    data = files.write("binary")
    for bad in (data[:HEADER_BYTES] + data[HEADER_BYTES + 96 :], data[:HEADER_BYTES] + data[HEADER_BYTES - 96 :]):
        with pytest.raises(InputError, match="take exactly"):
            files.load(bad)
    lines = files.write("text").splitlines(keepends=True)
    for rows in (lines[:-1], [*lines, lines[-1]]):
        with pytest.raises(InputError, match="take exactly"):
            files.load(b"".join(rows))


@pytest.mark.parametrize("form", FORMS)
def test_item_9_last_power_replaced_by_a_copy(files: Files, form: str) -> None:
    files.g1[-1] = files.g1[-2]
    with pytest.raises(SetupError, match="are equal"):
        files.load(form)


@pytest.mark.parametrize("form", ["text", "json"])
def test_item_9_lagrange_points_altered_or_reordered(files: Files, form: str) -> None:
    good = list(files.lagrange)
    reversed_bits = [good[int(f"{i:03b}"[::-1], 2)] for i in range(N)]
    altered = [*good[:3], good[3] + G1Point(), *good[4:]]
    for bad in (reversed_bits, altered, [*good[1:], good[0]], [good[0]] * N, files.g1):
        files.lagrange = bad
        with pytest.raises(SetupError, match="Lagrange points do not belong"):
            files.load(form)


def test_item_9_lagrange_points_of_another_count(files: Files) -> None:
    document = json.loads(files.write("json"))
    for length in (0, N - 1, 2 * N):
        lagrange = (document["g1_lagrange"] * 2)[:length]
        with pytest.raises(InputError, match="g1_lagrange"):
            files.load(json.dumps({**document, "g1_lagrange": lagrange}).encode())


def test_item_9_lagrange_points_are_as_many_as_the_powers(files: Files) -> None:
    check_lagrange(files.g1, files.lagrange)
    for lagrange in (files.lagrange[:-1], files.lagrange * 2, []):
        with pytest.raises(SetupError, match=f"^{len(lagrange)} Lagrange points for {N} powers"):
            check_lagrange(files.g1, lagrange)


def test_item_9_lagrange_points_need_a_power_of_two(files: Files) -> None:
    del files.g1[-1], files.lagrange[-1]
    with pytest.raises(SetupError, match="power of two"):
        files.load("text")


def test_item_10_perfect_setup_from_another_transcript(files: Files) -> None:
    path = files.folder / "setup"
    for form in FORMS:
        path.write_bytes(files.write(form))
        with pytest.raises(SetupError, match="belongs to no known ceremony") as caught:
            load(path)
        assert insecure_from_tau(TAU, N).digest.hex() in caught.value.message
        assert caught.value.hint is not None


def test_item_10_a_part_of_the_known_ceremony_is_another_setup(tmp_path: Path) -> None:
    part = SRS.from_points(embedded().g1_powers(16), [embedded().g2_one, embedded().g2_tau])
    assert part.insecure
    path = tmp_path / "part.srs"
    path.write_bytes(part.encoding)
    with pytest.raises(SetupError, match="belongs to no known ceremony"):
        load(path)


def test_item_10_lookalike_ptau(files: Files) -> None:
    with pytest.raises(InputError, match="not a setup in a known form"):
        files.load(b"ptau" + struct.pack("<IIIQ", 1, 11, 1, 40) + bytes(1000))


def test_item_11_known_tau_is_marked(tmp_path: Path) -> None:
    srs = insecure_from_tau(TAU, N)
    assert srs.insecure
    assert srs.name == f"insecure-{srs.digest.hex()[:16]}"
    assert srs.digest != embedded().digest
    assert "insecure" in repr(srs)
    path = tmp_path / "ethereum-kzg-4096.srs"
    path.write_bytes(srs.encoding)
    with pytest.raises(SetupError, match="belongs to no known ceremony"):
        load(path)
    assert load(path, allow_insecure=True).insecure
    assert verify_srs(srs).insecure


def test_item_11_insecure_setup_wants_its_arguments_in_range() -> None:
    for tau in (-1, 0, 1, r, r + 2):
        with pytest.raises(ValueError, match="tau"):
            insecure_from_tau(tau, N)
    for powers in (-1, 0, 1, MAX_POWERS + 1):
        with pytest.raises(ValueError, match="powers"):
            insecure_from_tau(TAU, powers)


def test_item_12_more_powers_than_there_are() -> None:
    srs = insecure_from_tau(TAU, N)
    for count in (N + 1, -1):
        with pytest.raises(SetupError):
            srs.g1_powers(count)
    for i in (N, -1):
        with pytest.raises(SetupError):
            srs.g1(i)


@pytest.mark.parametrize("form", FORMS)
def test_item_12_g1_of_one_setup_with_g2_of_another(files: Files, form: str) -> None:
    files.g2 = [G2Point() * scalar(pow(TAU + 1, i, r)) for i in range(M)]
    with pytest.raises(SetupError, match="not consecutive powers"):
        files.load(form)


def test_item_38_errors_that_cancel_are_seen() -> None:
    """+D and -D at two places pass an unweighted sum; random weights keep them apart, each time anew."""
    g2 = [G2Point(), G2Point() * scalar(TAU)]
    g1 = [G1Point() * scalar(pow(TAU, i, r)) for i in range(N)]
    d = G1Point() * scalar(77)
    g1[3], g1[5] = g1[3] + d, g1[5] - d
    for _ in range(20):
        with pytest.raises(SetupError):
            check_g1_powers(g1, g2)


# Catalogue 47 to 49: files


@pytest.mark.parametrize("powers", [0, 1, MAX_POWERS + 1, 2**31, 2**32 - 1])
def test_item_47_counts_out_of_range(files: Files, powers: int) -> None:
    head = MAGIC + struct.pack(">IH", powers, 2)
    with pytest.raises(InputError, match=f"{powers} powers: a setup has 2 to"):
        files.load(head + bytes(368))


@pytest.mark.parametrize("g2_powers", [0, 1, 3, 65535])
def test_item_47_g2_count_is_two(files: Files, g2_powers: int) -> None:
    head = MAGIC + struct.pack(">IH", N, g2_powers)
    with pytest.raises(InputError, match="G2 powers"):
        files.load(head + files.write("binary")[HEADER_BYTES:])


@pytest.mark.parametrize("head", [b"1\n65\n", b"8\n1\n", b"99999\n2\n", b"32769\n65\n", b"8\n1025\n", b"8\n9999\n"])
def test_item_47_text_counts_out_of_range(files: Files, head: bytes) -> None:
    with pytest.raises(InputError, match="powers: a setup has 2 to"):
        files.load(head + files.write("text")[4:])


def test_item_47_text_counts_beyond_the_file(files: Files) -> None:
    with pytest.raises(InputError, match="take exactly"):
        files.load(b"32768\n1024\n" + files.write("text")[4:])


@pytest.mark.parametrize(
    "head", [b"08\n5\n", b"8 \n5\n", b"+8\n5\n", b"8\r\n5\r\n", b"\xef\xbb\xbf8\n5\n", b"8\n", b"x"]
)
def test_item_47_text_counts_malformed(files: Files, head: bytes) -> None:
    with pytest.raises(InputError, match="not a setup in a known form"):
        files.load(head + files.write("text")[4:])


def test_text_rows_are_lower_case_hex_of_their_length(files: Files) -> None:
    data = files.write("text")
    rows = data.split(b"\n")
    for bad in (
        rows[4].upper(),
        b"0x" + rows[4][2:],
        rows[4][:-1] + b" ",
        rows[4][:-1] + b"g",
        rows[4][:-1] + b"\r",
        rows[4][:-2] + b"\xc3\xa9",
    ):
        with pytest.raises(InputError) as caught:
            files.load(data.replace(rows[4], bad))
        assert caught.value.line == 5
    shifted = [*rows[:4], rows[4][:-1], rows[4][-1:] + rows[5], *rows[6:]]
    with pytest.raises(InputError):
        files.load(b"\n".join(shifted))


@pytest.mark.parametrize("field", ["g1_monomial", "g2_monomial", "g1_lagrange"])
def test_json_rows_are_strict(files: Files, field: str) -> None:
    document = json.loads(files.write("json"))
    good = document[field][2]
    for bad in (good[2:], good.upper(), good[:-1], good + "00", good + "\n", " " + good, "", 7, None, [good]):
        document[field][2] = bad
        with pytest.raises(InputError) as caught:
            files.load(json.dumps(document).encode())
        assert caught.value.field == f"{field}[2]"


def test_json_keys_are_strict(files: Files) -> None:
    document = json.loads(files.write("json"))
    text = files.write("json").decode()
    for bad in (
        json.dumps({**document, "tau": "0x02"}),
        json.dumps({k: v for k, v in document.items() if k != "g1_monomial"}),
        json.dumps({k: v for k, v in document.items() if k != "g2_monomial"}),
        json.dumps({**document, "g1_monomial": {}}),
        json.dumps({**document, "g1_monomial": document["g1_monomial"][:1], "g1_lagrange": ["0x" + "00" * 48]}),
        json.dumps({**document, "g2_monomial": document["g2_monomial"][:1]}),
        json.dumps([document]),
        text.replace('"g1_lagrange"', '"g1_monomial"'),
    ):
        with pytest.raises(InputError):
            files.load(bad.encode())


def test_item_48_nested_or_large(files: Files) -> None:
    with pytest.raises(InputError):
        files.load(b'{"g1_monomial":' + b"[" * 100_000)
    with pytest.raises(InputError, match="larger than"):
        files.load(files.write("binary") + bytes(MAX_FILE_BYTES))


def test_json_is_known_by_its_brace(files: Files) -> None:
    data = files.write("json")
    for white in (b"", b" \t\r\n", b"\n\n"):
        assert files.load(white + data).powers == N
    for other in (b"x", b"\0", b"[", b"\xef\xbb\xbf"):
        with pytest.raises(InputError, match="not a setup in a known form"):
            files.load(other + data)


def test_item_49_pickle_is_not_a_setup(files: Files) -> None:
    with pytest.raises(InputError, match="not a setup in a known form"):
        files.load(pickle.dumps({"g1_monomial": []}))


def test_unreadable_path(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load(path)


# Catalogue 56: tampered package data


@pytest.mark.usefixtures("fresh_embedded")
@pytest.mark.parametrize("at", [0, 20, 29, 31, 32, 100_000, -385, -384, -192, -1])
def test_item_56_tampered_data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    data = bytearray(EMBEDDED_FILE.read_bytes())
    data[at] ^= 1
    path = tmp_path / "data.srs"
    path.write_bytes(bytes(data))
    monkeypatch.setattr(zkmargin.crypto.srs, "EMBEDDED_FILE", path)
    with pytest.raises(SetupError, match="damaged") as caught:
        embedded()
    assert caught.value.hint == "install zkmargin again from a trusted source"


@pytest.mark.usefixtures("fresh_embedded")
def test_item_56_data_file_missing_short_long_or_another_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.srs"
    monkeypatch.setattr(zkmargin.crypto.srs, "EMBEDDED_FILE", path)
    with pytest.raises(SetupError, match="cannot be read"):
        embedded()
    data = EMBEDDED_FILE.read_bytes()
    for bad in (b"", data[:-1], data + b"\0", insecure_from_tau(TAU, N).encoding, bytes(MAX_FILE_BYTES)):
        path.write_bytes(bad)
        with pytest.raises(SetupError, match="the embedded setup"):
            embedded()
    path.write_bytes(data)
    assert embedded().digest == EMBEDDED_DIGEST


# The script that makes the data file


def test_make_srs_refuses_another_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "source.txt", tmp_path / "out.srs"
    source.write_bytes(Files(tmp_path).write("text"))
    assert make_srs.main([str(source), "-o", str(output)]) == 2
    assert "not the published ceremony" in capsys.readouterr().err
    assert make_srs.main([str(tmp_path / "absent"), "-o", str(output)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not output.exists()


def test_make_srs_pins_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(Files(tmp_path).write("text"))
    monkeypatch.setattr(make_srs, "SOURCE_SHA256", hashlib.sha256(source.read_bytes()).hexdigest())
    monkeypatch.setitem(KNOWN, insecure_from_tau(TAU, N).digest, "toy")
    with pytest.raises(SetupError, match="not the pinned one"):
        make_srs.make(source)


def test_data_file_is_reproducible_from_the_registry_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = importlib.util.find_spec("eth_account")
    if package is None or package.origin is None:
        pytest.fail("the package eth-account is missing: pip install 'zkmargin[dev]'")
    source = Path(package.origin).parent / "typed_transactions/blob_transactions/kzg_trusted_setup.txt"
    output = tmp_path / "out.srs"
    assert make_srs.main([str(source), "-o", str(output)]) == 0
    assert output.read_bytes() == EMBEDDED_FILE.read_bytes()
    assert EMBEDDED_DIGEST.hex() in capsys.readouterr().out


# Published files


@pytest.mark.conformance
def test_published_text_is_the_embedded_setup(conformance_data: Path) -> None:
    assert load(conformance_data / "srs/trusted_setup_4096.txt") == embedded()


@pytest.mark.conformance
def test_published_json_of_8192_powers(conformance_data: Path) -> None:
    srs = load(conformance_data / "srs/trusted_setup_8192.json")
    assert (srs.name, srs.powers, srs.insecure) == ("ethereum-kzg-8192", 8192, False)
    assert srs.g2_tau != embedded().g2_tau


@pytest.mark.conformance
def test_item_12_published_4096_mixed_with_8192(conformance_data: Path, tmp_path: Path) -> None:
    other = json.loads((conformance_data / "srs/trusted_setup_8192.json").read_bytes())
    tau = G2Point.from_compressed_bytes(bytes.fromhex(other["g2_monomial"][1][2:]))
    mixed = SRS.from_points(embedded().g1_powers(4096), [G2Point(), tau])
    path = tmp_path / "mixed.srs"
    path.write_bytes(mixed.encoding)
    with pytest.raises(SetupError, match="not consecutive powers"):
        load(path, allow_insecure=True)


@pytest.mark.conformance
def test_published_file_with_one_digit_changed(conformance_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "setup.txt"
    shutil.copyfile(conformance_data / "srs/trusted_setup_4096.txt", path)
    data = bytearray(path.read_bytes())
    data[-2] = ord("0") if data[-2] != ord("0") else ord("1")
    path.write_bytes(bytes(data))
    with pytest.raises(SetupError, match="line "):
        load(path, allow_insecure=True)


def test_item_47_counts_at_both_ends() -> None:
    from zkmargin.crypto.srs_files import MAX_FILE_BYTES, MAX_G2_POWERS, _check_counts

    assert (MAX_G2_POWERS, MAX_FILE_BYTES) == (1024, 8 * 2**20)
    for counts in ((2, 2), (1 << 15, 2), (2, 1024)):
        _check_counts(*counts)
    for counts in ((1, 2), (2, 1), ((1 << 15) + 1, 2), (2, 1025)):
        with pytest.raises(InputError, match="a setup has 2 to"):
            _check_counts(*counts)


def test_the_words_of_every_check_and_the_size_of_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import secrets

    from zkmargin.crypto.group import encode_g1, encode_g2
    from zkmargin.crypto.unsafe_srs import insecure_from_tau

    sizes = []

    def randbits(size: int) -> int:
        sizes.append(size)
        return secrets.SystemRandom().getrandbits(size)

    monkeypatch.setattr("zkmargin.crypto.srs_checks.secrets.randbits", randbits)
    srs, words = insecure_from_tau(5, 4), list[str]()
    rows = {
        "g1_monomial": ["0x" + encode_g1(point).hex() for point in srs.g1_powers(4)],
        "g2_monomial": ["0x" + encode_g2(point).hex() for point in (srs.g2_one, srs.g2_tau)],
    }
    path = tmp_path / "setup.json"
    path.write_text(json.dumps(rows))
    load(path, allow_insecure=True, progress=words.append)
    assert words == [
        "every point is canonical, on the curve, in the subgroup and not infinity",
        "the powers of degree 0 are the standard generators",
        "tau is not 0 or 1, and no two powers are equal",
        "consecutive G1 powers differ by the factor tau",
        "consecutive G2 powers differ by the factor tau",
    ]
    assert sizes == [128] * 4
    path.write_bytes(srs.encoding)
    load(path, allow_insecure=True, progress=words.append)
    assert len(words) == 5 + 4


def test_item_47_json_counts_out_of_range(files: Files) -> None:
    document = json.loads(files.write("json"))
    for field, what in (("g1_monomial", "1 powers"), ("g2_monomial", "1 G2 powers")):
        short = {**document, field: document[field][:1]}
        with pytest.raises(InputError, match=f"{what}: a setup has 2 to"):
            files.load(json.dumps(short).encode())
    long = {**document, "g2_monomial": document["g2_monomial"][:1] * 1025}
    with pytest.raises(InputError, match="1025 G2 powers: a setup has 2 to 1024"):
        files.load(json.dumps(long).encode())


def test_the_header_says_how_much_follows() -> None:
    for powers in (2, MAX_POWERS):
        head = MAGIC + struct.pack(">IH", powers, 2)
        with pytest.raises(InputError, match=f"^32 bytes: {powers} powers take exactly {encoded_bytes(powers)}$"):
            SRS(head)
        assert SRS(head.ljust(encoded_bytes(powers), b"\0")).powers == powers
    with pytest.raises(InputError, match="ends within the header"):
        SRS(head[:-1])


def test_the_ceremonies_that_are_accepted_are_these_two() -> None:
    assert {digest.hex()[:16]: name for digest, name in KNOWN.items()} == {
        "fb12c4dba024a4de": "ethereum-kzg-4096",
        "73caec77e1358b45": "ethereum-kzg-8192",
    }
