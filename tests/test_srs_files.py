"""Files of setups: their forms, hostile ones, those of the package and those that are published."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G2Point
from support.setups import TAU, Files, N

import zkmargin.crypto.srs
from zkmargin.crypto import make_srs
from zkmargin.crypto.srs import EMBEDDED_DIGEST, EMBEDDED_FILE, HEADER_BYTES, KNOWN, MAGIC, MAX_POWERS, SRS, embedded
from zkmargin.crypto.srs_files import MAX_FILE_BYTES, load
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.formats import InputError, SetupError


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def fresh_embedded() -> Iterator[None]:
    embedded.cache_clear()
    yield
    embedded.cache_clear()


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


def test_item_47_counts_at_both_ends() -> None:
    from zkmargin.crypto.srs_files import MAX_FILE_BYTES, MAX_G2_POWERS, _check_counts

    assert (MAX_G2_POWERS, MAX_FILE_BYTES) == (1024, 8 * 2**20)
    for counts in ((2, 2), (1 << 15, 2), (2, 1024)):
        _check_counts(*counts)
    for counts in ((1, 2), (2, 1), ((1 << 15) + 1, 2), (2, 1025)):
        with pytest.raises(InputError, match="a setup has 2 to"):
            _check_counts(*counts)


def test_item_47_json_counts_out_of_range(files: Files) -> None:
    document = json.loads(files.write("json"))
    for field, what in (("g1_monomial", "1 powers"), ("g2_monomial", "1 G2 powers")):
        short = {**document, field: document[field][:1]}
        with pytest.raises(InputError, match=f"{what}: a setup has 2 to"):
            files.load(json.dumps(short).encode())
    long = {**document, "g2_monomial": document["g2_monomial"][:1] * 1025}
    with pytest.raises(InputError, match="1025 G2 powers: a setup has 2 to 1024"):
        files.load(json.dumps(long).encode())


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
