"""Bad input on the command line: one clear line, the right exit code, and no file left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import Refuse, refusing
from support.example_files import COMMIT, MARGIN, PROVE, VERIFY, edit, example_files, placed
from support.typed import Json

from zkmargin.app.files import MAX_PROOF_BYTES
from zkmargin.cli import main
from zkmargin.formats import write_atomic
from zkmargin.verifier.header import HEADER_BYTES


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with all of them, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return placed(example_files(), tmp_path)


@pytest.fixture
def refuse(files: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    return refusing(files, capsys)


FIRST = "BTC-26JUN26-60000-C"


# Books


@pytest.mark.parametrize(
    ("section", "name", "quantity", "reason"),
    [
        ("positions", "BTC-26JUN26-60000-X", "1", "no such instrument in the snapshot"),
        ("collateral", "DOGE", "1", "no such asset in the snapshot"),
        ("positions", "BTC-SPOT", "0.00001", "not a multiple of the lot, 0.0001"),
        ("positions", "BTC-SPOT", "NaN", "not a decimal number like -12.5"),
        ("positions", "BTC-SPOT", "1e3", "not a decimal number like -12.5"),
        ("positions", "BTC-SPOT", "1,5", "not a decimal number like -12.5"),
        ("positions", "BTC-SPOT", "1 BTC", "not a decimal number like -12.5"),
        ("positions", "BTC-SPOT", "", "not a decimal number like -12.5"),
        ("positions", "BTC-SPOT", "99999999999", "too large: the bound is 2^36 lots of 0.0001"),
        ("collateral", "BTC", "-1", "negative, and the policy allows no negative balance"),
    ],
)
@pytest.mark.parametrize("line", [MARGIN, COMMIT, PROVE, "check --snapshot snapshot.json --book book.json"])
def test_bad_quantity_names_line_and_field(
    refuse: Refuse, files: Path, line: str, section: str, name: str, quantity: str, reason: str
) -> None:
    edit(files / "book.json", lambda book: book[section].__setitem__(name, quantity))
    text = (files / "book.json").read_text()
    at = text.index(f'"{name}"', text.index(f'"{section}"'))
    number = text.count("\n", 0, at) + 1
    result = refuse(line)
    assert result.err.startswith(f"zkmargin: error: book.json:{number}: {section}.{name}: {reason}")
    assert len(quantity) < 5 or quantity not in result.err


def test_unknown_instrument_comes_with_the_closest_names(refuse: Refuse, files: Path) -> None:
    edit(files / "book.json", lambda book: book["positions"].__setitem__("BTC-PERPETUALS", "1"))
    assert "hint: the closest: BTC-PERPETUAL" in refuse(MARGIN).err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": "zkmargin/book/v1", "positions": {"A": "1", "A": "2"}}', "the key appears twice"),
        ('{"format": "zkmargin/book/v1", "positions": {"A": NaN}}', "NaN is not a number"),
        (
            '{"format": "zkmargin/book/v1", "positions": {"A": 1.5}}',
            "a bare number with a point or exponent",
        ),
        ('{"format": "zkmargin/book/v1", "positions": {"A": 1}}', "valid string"),
        ('{"format": "zkmargin/book/v1", "position": {}}', "unknown key"),
        ('{"format": "zkmargin/book/v2"}', 'another version: this program reads "zkmargin/book/v1"'),
        ('{"format": "zkmargin/market/v1"}', "expected a book (zkmargin/book/v1)"),
        ('{"positions": {}}', 'no "format" line'),
        ('{"format": "zkmargin/book/v1"', "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "nested"),
        ("\ufeff{}", "byte-order mark"),
        ("[]", "a document is a JSON object"),
    ],
)
def test_malformed_book(refuse: Refuse, files: Path, text: str, reason: str) -> None:
    (files / "book.json").write_text(text)
    result = refuse(MARGIN)
    assert result.err.startswith("zkmargin: error: book.json")
    assert reason in result.err


def test_binary_where_a_document_belongs(refuse: Refuse, files: Path) -> None:
    (files / "book.json").write_bytes(b"\xff\xfe\x00")
    assert "book.json: not UTF-8 text (byte 0)" in refuse(MARGIN).err


def test_names_from_files_cannot_steer_the_terminal(refuse: Refuse, files: Path) -> None:
    edit(files / "book.json", lambda book: book["positions"].__setitem__("\x1b[2J\u202eevil\nzkmargin: accepted", "1"))
    result = refuse(MARGIN)
    assert "\x1b" not in result.err
    assert "\u202e" not in result.err
    assert len([line for line in result.err.splitlines() if not line.startswith("hint")]) == 1


def test_sum_of_books_is_bounded_too(refuse: Refuse, files: Path) -> None:
    half = str((1 << 36) * 6 // 10 // 10_000)
    for name in ("a.json", "b.json"):
        write_atomic(
            files / name,
            json.dumps({"format": "zkmargin/book/v1", "positions": {"BTC-SPOT": half}}).encode(),
            secret=True,
        )
    assert "BTC-SPOT: the books add up to 2^36 lots" in refuse("margin a.json b.json --snapshot snapshot.json").err


# Markets, policies, snapshots


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda market: market["forwards"].pop(0), "missing expiry"),
        (lambda market: market["instruments"][0].__setitem__("lot", "0"), "must be above 0"),
        (lambda market: market["instruments"].append(market["instruments"][0]), "the instrument appears twice"),
        (lambda market: market["underlyings"][0].__setitem__("index_price", "NaN"), "not a decimal"),
        (lambda market: market["underlyings"][0].__setitem__("time", "2026-01-01T00:00:00Z"), "older than the market"),
        (
            lambda market: market["assets"].append({"name": "DOGE", "price": "1", "lot": "1"}),
            "no haircut for this asset",
        ),
        (lambda market: market.__setitem__("format", "zkmargin/market/v9"), "another version"),
    ],
)
def test_bad_market(refuse: Refuse, files: Path, change: Callable[[Json], None], reason: str) -> None:
    edit(files / "market.json", change)
    result = refuse("snapshot build market.json --policy default -o new.json")
    assert result.err.startswith("zkmargin: error: market.json")
    assert reason in result.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("snapshot build market.json --policy defualt -o new.json", "no such policy"),
        (
            "snapshot build market.json --policy book.json -o new.json",
            "is a book, expected a policy (zkmargin/policy/v1)",
        ),
        ("snapshot build market.json --policy default --domain-size 100 -o new.json", "--domain-size: must be a power"),
        ("snapshot build market.json --policy default --position-bits 99 -o new.json", "--position-bits: must be from"),
        ("snapshot show market.json", "expected a snapshot (zkmargin/snapshot/v2)"),
        ("market import --format deribit-csv market.json -o new.json", "market.json"),
        ("market import --format deribit-csv market.json --price USDC -o new.json", "--price: not ASSET=PRICE"),
        ("market import --format deribit-csv market.json --price A=1 --price A=2 -o new.json", "A: given twice"),
        ("market import --format deribit-csv none.csv -o new.json", "none.csv: cannot be read"),
    ],
)
def test_bad_public_input(refuse: Refuse, line: str, words: str) -> None:
    assert words in refuse(line).err


def test_snapshot_of_another_market(refuse: Refuse, files: Path) -> None:
    edit(files / "market.json", lambda market: market["instruments"][20].__setitem__("implied_vol", "0.5"))
    assert "built from another market" in refuse("snapshot check snapshot.json market.json").err


def test_snapshot_whose_array_was_edited(refuse: Refuse, files: Path) -> None:
    def change(snapshot: Json) -> None:
        risk = snapshot["components"][0]["risk"]
        risk["data"] = "AAAB" + risk["data"][4:]

    edit(files / "snapshot.json", change)
    for line in (VERIFY, MARGIN, "snapshot show snapshot.json"):
        assert "the checksum does not match" in refuse(line).err


def test_truncated_document(refuse: Refuse, files: Path) -> None:
    data = (files / "snapshot.json").read_bytes()
    (files / "snapshot.json").write_bytes(data[: len(data) // 2])
    assert "snapshot.json:" in refuse(VERIFY).err


def test_oversized_document(refuse: Refuse, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (files / "snapshot.json").open("r+b") as file:
        file.truncate(300 << 20)  # sparse
    assert main(VERIFY.split()) == 2
    assert "snapshot.json: larger than" in capsys.readouterr().err
    (files / "snapshot.json").unlink()
    assert "snapshot.json: cannot be read" in refuse(VERIFY).err


# Claims, contexts, options


@pytest.mark.parametrize("claim", ["0", "-1", "NaN", "1e3", "1/0", "100000", "1.00001", "", "1/3/5"])
def test_bad_claim(refuse: Refuse, claim: str) -> None:
    for line in (VERIFY, PROVE):
        assert "zkmargin: error: --claim: " in refuse([*line.split(), "--claim", claim]).err


def test_context_of_more_than_a_kilobyte(refuse: Refuse) -> None:
    for line in (VERIFY, PROVE):
        assert "--context: 1025 bytes, at most 1024" in refuse([*line.split(), "--context", "x" * 1025]).err


@pytest.mark.parametrize("age", ["10", "m", "-1m", "1.5h", "10 m", "1w", ""])
def test_bad_age(refuse: Refuse, age: str) -> None:
    assert "--max-age: not an age like" in refuse([*VERIFY.split(), "--max-age", age]).err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("verify", "zkmargin verify --help"),
        ("verfy", "zkmargin --help"),
        ("snapshot nonsense", "zkmargin snapshot --help"),
        ("prove --requirement average", "zkmargin prove --help"),
        ("margin --frobnicate", "zkmargin margin --help"),
        ("commit book.json --snapshot snapshot.json", "zkmargin commit --help"),
    ],
)
def test_usage_errors(refuse: Refuse, line: str, hint: str) -> None:
    assert f"hint: {hint}" in refuse(line).err


def test_alias_is_bounded(refuse: Refuse) -> None:
    for alias in ("", "x" * 201, "a\nb"):
        assert "--alias: 1 to 200 printable characters" in refuse([*COMMIT.split(), "--alias", alias]).err


# Commitments and openings


def test_opening_of_another_book(refuse: Refuse, files: Path) -> None:
    edit(files / "book.json", lambda book: book["collateral"].__setitem__("USDC", "1850000.01"))
    result = refuse(PROVE)
    assert "the openings of collateral do not belong to this book" in result.err
    assert "hint: " in result.err


def test_opening_that_holds_no_scalar(refuse: Refuse, files: Path) -> None:
    blinder = "f" * 64
    edit(files / "opening.json", lambda opening: opening["parts"][0].__setitem__("blinders", [blinder]))
    result = refuse(PROVE)
    assert "blinders: not a canonical scalar" in result.err
    assert blinder not in result.err


def test_missing_part_comes_with_the_next_step(refuse: Refuse, files: Path) -> None:
    edit(files / "commitment.json", lambda commitment: commitment["parts"].pop())
    result = refuse(VERIFY)
    assert "commitment.json: commitment: no part for collateral" in result.err
    assert "hint: give a commitment file with collateral too" in result.err


def test_missing_opening_comes_with_the_next_step(refuse: Refuse, files: Path) -> None:
    edit(files / "opening.json", lambda opening: opening["parts"].pop())
    result = refuse(PROVE)
    assert "opening.json: opening: no part for collateral" in result.err
    assert "hint: give an opening with collateral too" in result.err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.__setitem__("srs", "0" * 64), "another structured reference string"),
        (lambda c: c.__setitem__("domain_size", 1024), "made over 1024 rows"),
        (lambda c: c["parts"][0].__setitem__("slot_map", "0" * 64), "made for other slots"),
        (lambda c: c["parts"][0].__setitem__("points", ["c0" + "0" * 94]), "the point at infinity"),
        (lambda c: c["parts"][0].__setitem__("points", ["80" + "0" * 92 + "05"]), "subgroup"),
        (lambda c: c["parts"][0].__setitem__("points", ["zz"]), "points"),
        (lambda c: c["parts"][0].__setitem__("role", "both"), "role"),
        (lambda c: c["parts"].append(c["parts"][0]), "is given twice"),
        (lambda c: c["parts"][0].__setitem__("alias", ""), "alias"),
    ],
)
def test_bad_commitment_is_bad_input(refuse: Refuse, files: Path, change: Callable[[Json], None], reason: str) -> None:
    edit(files / "commitment.json", change)
    result = refuse(VERIFY)
    assert result.err.startswith("zkmargin: error: commitment.json")
    assert reason in result.err


# Proof bytes: exit code 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: b"", "not a zkmargin proof"),
        (lambda data: data[:-1], "bytes where a proof of this statement has"),
        (lambda data: data[: HEADER_BYTES - 1], "not a zkmargin proof"),
        (lambda data: data + b"\0", "bytes where a proof of this statement has"),
        (lambda data: data + bytes(MAX_PROOF_BYTES), "larger than any proof"),
        (lambda data: b"Z" + data[1:], "not a zkmargin proof"),
        (lambda data: data[:9] + b"\2" + data[10:], "proof format version 2"),
        (lambda data: data[:10] + b"\7" + data[11:], "unknown curve"),
        (lambda data: data[:20] + b"\7" + data[21:], "another structured reference string"),
        (lambda data: data[: len(data) - 130] + bytes([data[-130] ^ 1]) + data[len(data) - 129 :], "rejected"),
        (lambda data: data[: len(data) - 128] + b"\xff" * 32 + data[len(data) - 96 :], "at or above the field order"),
        (lambda data: data[:-48] + b"\xc0" + bytes(47), "infinity"),
    ],
)
def test_bad_proof_bytes(refuse: Refuse, files: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    path = files / "proof.bin"
    path.write_bytes(change(path.read_bytes()))
    result = refuse(VERIFY, code=1)
    assert result.err.startswith("zkmargin: error: proof.bin: rejected: ") or reason == "larger than any proof"
    assert reason in result.err
    assert result.out == ""


def test_rejection_for_scripts(refuse: Refuse, files: Path) -> None:
    (files / "proof.bin").write_bytes(b"zkmargin")
    assert json.loads(refuse(VERIFY + " --json", code=1).out)["accepted"] is False


@pytest.mark.parametrize("name", ["absent.bin", "."])
def test_unreadable_proof_is_bad_input(refuse: Refuse, name: str) -> None:
    assert f"{name}: cannot be read" in refuse(VERIFY.replace("proof.bin", name)).err


def test_file_of_nobody(refuse: Refuse, files: Path) -> None:
    (files / "other.json").write_text('{"format": "other/thing/v1"}')
    assert 'format "other/thing/v1" is none of ours' in refuse("inspect other.json").err
    (files / "other.json").write_text("{}")
    assert 'no "format" line' in refuse("inspect other.json").err


# What is written


def test_false_claim_writes_nothing(refuse: Refuse) -> None:
    result = refuse(PROVE + " --claim 5", code=1)
    assert "the claim is false" in result.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (PROVE.replace("new.bin", "snapshot.json"), "snapshot.json: is an input"),
        (PROVE.replace("new.bin", "./book.json"), "./book.json: is an input"),
        (PROVE.replace("new.bin", "link"), "link: is an input"),
        (COMMIT.replace("new.json", "book.json"), "book.json: is an input"),
        (COMMIT.replace("new-opening.json", "new.json"), "new.json: is named twice"),
        (COMMIT.replace("new-opening.json", "opening.json"), "opening.json: exists: without the opening in it"),
        ("snapshot build market.json --policy default -o market.json", "market.json: is an input"),
        (PROVE.replace("new.bin", "market.json"), "market.json: is a market, and not replaced by another kind of file"),
        (PROVE.replace("new.bin", "commitment.json"), "commitment.json: is a commitment, and not replaced"),
        (PROVE.replace("new.bin", "notes.txt"), "notes.txt: is no file of ours, and not replaced"),
        (COMMIT.replace("new.json", "proof.bin"), "proof.bin: is a proof, and not replaced"),
        ("snapshot build market.json --policy default -o commitment.json", "commitment.json: is a commitment, and not"),
        ("margin book.json --snapshot snapshot.json --csv market.json", "market.json: is a market, and not replaced"),
        (COMMIT.replace("new-opening.json", "opening.json") + " --force", "opening.json: exists: without the opening"),
        (PROVE.replace("new.bin", "none/new.bin"), "none/new.bin: cannot be written"),
        (PROVE.replace("new.bin", "."), ".: "),
        (COMMIT.replace("new.json", "none/new.json"), "none/new.json: cannot be written"),
        (PROVE.replace("new.bin", "-") + " --json", "cannot both go to standard output"),
        (COMMIT.replace("new.json", "-").replace("new-opening.json", "-"), "cannot both go to standard output"),
        ("margin - - --snapshot snapshot.json", "standard input can be read once"),
    ],
)
def test_outputs_that_are_refused(refuse: Refuse, files: Path, line: str, words: str) -> None:
    (files / "link").symlink_to("opening.json")
    (files / "notes.txt").write_text("mine")
    assert words in refuse(line).err


def test_an_output_replaces_its_own_kind_and_with_force_any_public_one(files: Path) -> None:
    (files / "notes.txt").write_text("mine")
    assert main(PROVE.replace("new.bin", "proof.bin").split()) == 0
    assert main([*PROVE.replace("new.bin", "notes.txt").split(), "--force"]) == 0
    assert (files / "notes.txt").read_bytes().startswith(b"zkmargin")
