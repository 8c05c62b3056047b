"""The structured reference string as a whole: hostile setups of the catalogue are refused, items by number."""

from __future__ import annotations

import copy
import io
import json
import struct
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point, G2Point
from support.setups import FORMS, REFUSED, TAU, Files, M, N, outside_subgroup

from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import scalar
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
from zkmargin.crypto.srs_checks import check_g1_powers, check_lagrange, verify_srs
from zkmargin.crypto.srs_files import load
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import InputError, SetupError, keccak256


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


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


def test_a_copy_is_made_of_the_encoding_and_the_embedded_setup_is_itself() -> None:
    other = insecure_from_tau(TAU, 4)
    assert copy.copy(embedded()) is embedded()
    assert (copy.copy(other), copy.copy(other) is other) == (other, False)
