"""Bad input on the command line: one clear line, the right exit code, and no file left behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from support.command_line import Result, Run
from support.typed import Json

from zkmargin.app.files import MAX_PROOF_BYTES, Output, write_outputs
from zkmargin.cli import cli, main, terminal
from zkmargin.cli.hints import MAKES
from zkmargin.engine.book import Book
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.formats import ProofFormatError, VerificationError, save_document, write_atomic
from zkmargin.verifier.header import HEADER_BYTES

TIME = "2026-01-02T03:04:05Z"
FIRST = "BTC-26JUN26-60000-C"


Refuse = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of one of each file, made by the command line."""
    folder = tmp_path_factory.mktemp("errors")
    market = example_market(TIME)
    save_document(market, folder / "market.json")
    save_document(Book.model_validate(example_book(market)), folder / "book.json")
    names = ("market.json", "snapshot.json", "book.json", "commitment.json", "opening.json", "proof.bin")
    market_path, snapshot, book, commitment, opening, proof = (str(folder / name) for name in names)
    for line in (
        ["snapshot", "build", market_path, "--policy", "default", "--domain-size", "512", "-o", snapshot],
        ["commit", book, "--snapshot", snapshot, "-o", commitment, "--opening", opening],
        ["prove", "--snapshot", snapshot, "--book", book, "--opening", opening, "-o", proof],
    ):
        assert main(line) == 0
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture
def files(made: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with all of them, which is also the current one."""
    for name, data in made.items():
        write_atomic(tmp_path / name, data, secret=name in ("book.json", "opening.json"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refuse(files: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a line that must fail, with one error line on standard error and no change in the folder."""
    command_line = Run(capsys, one_error=True)

    def call(line: str | list[str], *, code: int = 2, warnings: int = 0) -> Result:
        before = {path.name: path.read_bytes() for path in files.iterdir()}
        result = command_line(line.split() if isinstance(line, str) else line, code=code)
        lines = result.err.splitlines()
        assert sum(text.startswith("zkmargin: warning: ") for text in lines) == warnings, result.err
        assert all(text.startswith(("zkmargin: ", "hint: ")) for text in lines)
        assert {path.name: path.read_bytes() for path in files.iterdir()} == before
        return result

    return call


def edit(path: Path, change: Callable[[Json], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value, indent=1))


VERIFY = "verify --snapshot snapshot.json --commitment commitment.json proof.bin"
MARGIN = "margin book.json --snapshot snapshot.json"
PROVE = "prove --snapshot snapshot.json --book book.json --opening opening.json -o new.bin"
COMMIT = "commit book.json --snapshot snapshot.json -o new.json --opening new-opening.json"


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
        ("snapshot build market.json --policy book.json -o new.json", 'expected "zkmargin/policy/v1"'),
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


# What a failure says to scripts


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("snapshot show none.json --json", 2, {"type": "InputError", "file": "none.json"}),
        ("snapshot biuld --json", 2, {"type": "UsageError", "hint": "zkmargin snapshot --help"}),
        ("prove --json", 2, {"type": "UsageError", "exit_code": 2}),
        (f"{PROVE} --claim 5 --json", 1, {"type": "ConstraintError", "rule": "claim"}),
        (f"{VERIFY} --context other proof.bin --json", 1, {"type": "VerificationError", "check": "pairing"}),
        (f"{VERIFY} snapshot.json --json", 1, {"type": "ProofFormatError"}),
    ],
)
def test_a_failure_is_a_value_too(
    files: Path, capsys: pytest.CaptureFixture[str], line: str, code: int, error: dict[str, object]
) -> None:
    capsys.readouterr()
    assert main(line.split()) == code
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["output_version"] == 1
    assert error.items() <= value["error"].items(), value
    assert value["error"]["message"] in captured.err
    assert ("accepted" in value) == line.startswith("verify")
    assert files.exists()


def test_an_interruption_is_a_value_too(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zkmargin.app.margins.margin_report", interrupted)
    assert main([*MARGIN.split(), "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["type"] == "Interrupted"
    assert captured.err == "zkmargin: error: interrupted\n"
    assert files.exists()


def test_a_missing_package_is_no_defect_of_ours(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr("zkmargin.app.margins.margin_report", missing)
    result = refuse(MARGIN)
    assert "the package numba cannot be loaded" in result.err
    assert "zkmargin doctor" in result.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("verfy proof.bin", "No such command 'verfy': did you mean verify"),
        ("snapshot biuld market.json", "No such command 'biuld': did you mean build?"),
    ],
)
def test_a_mistyped_command_is_guessed(refuse: Refuse, line: str, words: str) -> None:
    assert words in refuse(line).err


def test_json_is_ascii(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (files / "commitment.json").read_text().replace('"account"', '"\u540d"')
    (files / "commitment.json").write_text(text)
    capsys.readouterr()
    assert main(["inspect", "commitment.json", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["parts"][0]["alias"] == "\u540d"


def test_outputs_are_written_all_or_none(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")
    outputs = [Output(str(kept), b"new"), Output(str(tmp_path / "made"), b"new"), Output(str(tmp_path / "no/way"), b"")]
    with pytest.raises(Exception, match="cannot be written"):
        write_outputs(outputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


@pytest.mark.parametrize("name", ["book.json", "opening.json"])
def test_secret_file_that_others_can_read_gets_a_warning(
    files: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (files / name).chmod(0o644)
    assert main(PROVE.split()) == 0
    err = capsys.readouterr().err
    assert f"zkmargin: warning: {name}: a secret file that others may read" in err
    assert f"hint: chmod 600 {name}" in err


# Terminals and pipes


def on_terminal(arguments: list[str], cwd: Path, *, both: bool = True) -> tuple[int, bytes]:
    """Run the command line with a terminal as its output; returns exit code and what the terminal got."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zkmargin", *arguments],
        cwd=cwd,
        stdout=follower if both else subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the last writer is gone
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    if process.stdout:
        process.stdout.close()
    return process.wait(), shown


def test_no_binary_and_no_secret_on_a_terminal(files: Path) -> None:
    code, shown = on_terminal(PROVE.replace("new.bin", "-").split(), files)
    assert code == 2
    assert b"a proof (binary) is not written to a terminal" in shown
    code, shown = on_terminal(COMMIT.replace("new-opening.json", "-").split(), files)
    assert code == 2
    assert b"a secret opening is not written to a terminal" in shown
    assert not (files / "new.json").exists()


def test_proof_goes_through_a_pipe(files: Path) -> None:
    command = [sys.executable, "-m", "zkmargin"]
    made = subprocess.run(
        [*command, *PROVE.replace("new.bin", "-").split()], cwd=files, capture_output=True, check=True
    )
    verify = [*command, *VERIFY.replace("proof.bin", "-").split()]
    result = subprocess.run(verify, cwd=files, input=made.stdout, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"proved in" in made.stderr


def test_reader_that_goes_away_is_no_rejection(files: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "zkmargin", *MARGIN.split()]
    result = subprocess.run(command, cwd=files, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert result.returncode == 141
    assert result.stderr == b""


@pytest.mark.linux
def test_full_disk_behind_standard_output(files: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "zkmargin", *VERIFY.split(), "--json"]
        result = subprocess.run(command, cwd=files, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("zkmargin: error: standard output: cannot be written")
    assert len(result.stderr.splitlines()) == 1


def test_interrupt(files: Path) -> None:
    os.mkfifo(files / "slow.json")
    command = [sys.executable, "-m", "zkmargin", "snapshot", "show", "slow.json"]
    # a shell's background job ignores SIGINT, and so would its children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=files, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with (files / "slow.json").open("wb"):  # waits until the reader is there
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "zkmargin: error: interrupted\n"


def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "PROGRESS_AFTER_SECONDS", 0.0)
    with terminal.progress("Working"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.progress("Working"):
        time.sleep(0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Working ..." in err


# Defects of ours


PRIVATE = "the balance is 123456"


def _broken(*_: object, **__: object) -> None:
    raise ValueError(PRIVATE)


def test_defect_shows_a_place_and_no_message(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.app.margins.margin_report", _broken)
    result = refuse(MARGIN)
    assert re.search(r"a defect of ours: ValueError at zkmargin/app/margins.py:\d+\n", result.err)
    assert "hint: please report it" in result.err
    assert PRIVATE not in result.err


def test_defect_shows_its_traceback_on_request(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zkmargin.app.margins.margin_report", _broken)
    monkeypatch.setenv("ZKMARGIN_DEBUG", "1")
    assert main(MARGIN.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("The traceback below may hold secrets")
    assert PRIVATE in err
    assert files.exists()


@pytest.mark.parametrize("error", [VerificationError("no", check="x"), ProofFormatError("no")])
def test_errors_of_a_proof_have_exit_code_1(error: VerificationError | ProofFormatError) -> None:
    assert error.exit_code == 1


# --- first mistakes: what was found, what was expected, and the next command ------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason", "hint"),
    [
        ("snapshot build tickers.json --policy default", "no market and no risk arrays of ours", "market import FILE"),
        ("snapshot build tickers.csv --policy default", "no market and no risk arrays of ours", "market import FILE"),
        ("snapshot show market.json", "is a market, expected a snapshot (zkmargin/snapshot/v2)", "snapshot build FILE"),
        (PROVE.replace("opening.json", "book.json"), "is a book, expected an opening", "zkmargin commit BOOK"),
        ("margin commitment.json --snapshot snapshot.json", "is a commitment, expected a book", "zkmargin inspect"),
        ("snapshot show proof.bin", "is a proof, expected a snapshot", "zkmargin inspect"),
        (
            "margin book.json --snapshot snapshot.json --market arrays.json",
            "is risk arrays, expected a market",
            "--arrays",
        ),
        (PROVE.replace("--opening opening.json", "--opening lost.json"), "no such file", "without its opening"),
        ("check --snapshot snapshot.json --book book.json --claim 110%", "a ratio, not a percentage", "--claim 1.1"),
        ("margin numbers.json --snapshot snapshot.json", "should be a valid string", "put the number in quotes"),
    ],
)
def test_first_mistakes_name_the_next_command(refuse: Refuse, files: Path, line: str, reason: str, hint: str) -> None:
    (files / "tickers.json").write_text('{"result": [{"instrument_name": "BTC-PERPETUAL", "mark_price": 1.5}]}')
    (files / "arrays.json").write_text('{"format": "zkmargin/risk-arrays/v1"}')
    (files / "tickers.csv").write_text("symbol,mark_price\nBTC-PERPETUAL,60000\n")
    numbers = '{"format": "zkmargin/book/v1", "positions": {"BTC-PERPETUAL": 5}}'
    write_atomic(files / "numbers.json", numbers.encode(), secret=True)
    error = refuse(line).err
    assert reason in error
    assert hint in error.partition("hint: ")[2]


def test_all_mistakes_of_a_policy_are_listed_at_once(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = json.loads(load_policy("default").to_bytes())
    del policy["version"]
    policy["requirements"]["initial"] = "x"
    policy["nonsense"] = 1
    # values of the right type that do not go: a policy is read up to the first of them
    policy["layout"]["domain_size"] = 17
    policy["components"][0]["grid"]["price_moves_bp"] = [0, 0]
    policy["components"][1]["kind"] = "x"
    (files / "policy.json").write_text(json.dumps(policy))
    capsys.readouterr()
    assert main(["policy", "check", "policy.json"]) == 2
    err = capsys.readouterr().err
    expected = {
        "version": "field required",
        "nonsense": "unknown key",
        "requirements.initial": "input should be a valid integer",
        "layout.domain_size": "must be a power of two from 16 to 2048",
        "components[0].grid.price_moves_bp": "the same move twice",
        "components[1].short_option_minimum.kind": "unknown key",
    }
    for field, reason in expected.items():
        assert f"  {field}: {reason}\n" in err
    assert f"(and {len(expected) - 1} more)" in err
    assert main(["policy", "check", "policy.json", "--json"]) == 2
    errors = {one["field"]: one["reason"] for one in json.loads(capsys.readouterr().out)["errors"]}
    assert errors == expected


def test_what_a_policys_parts_make_wrong_together_is_listed_with_the_rest(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = json.loads(load_policy("default").to_bytes())
    policy["title"] = 5
    policy["requirements"] = {"initial": 0, "maintenance": 5}
    policy["components"] = [policy["components"][1]]
    policy["layout"]["range_proved"] = False
    (files / "policy.json").write_text(json.dumps(policy))
    capsys.readouterr()
    assert main(["policy", "check", "policy.json"]) == 2
    err = capsys.readouterr().err
    for words in (
        "  title: input should be a valid string",
        "  requirements.initial: must be above 0",
        "  requirements: maintenance above initial",
        "  components: no worst_scenario component for the initial requirement",
        "  components: no worst_scenario component for the maintenance requirement",
        "  components: exactly one haircuts component",
        "  layout.range_proved: short_option_minimum charges short positions",
    ):
        assert words in err


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("margin none.json --snapshot snapshot.json", "a book is a file of your own"),
        ("margin book.json --snapshot none.json", "zkmargin snapshot build MARKET"),
        (VERIFY.replace("proof.bin", "none.bin"), "zkmargin prove"),
        (VERIFY.replace("commitment.json", "none.json"), "zkmargin commit BOOK"),
        ("market import none.json", "the folder that you are in"),
        ("inspect none.json", "the folder that you are in"),
        ("verify --bundle none.json", "zkmargin bundle"),
        ("snapshot build market.json --policy default -o nowhere/s.json", "mkdir -p"),
    ],
)
def test_a_file_that_is_not_there_has_a_way_out(refuse: Refuse, line: str, way: str) -> None:
    assert way in refuse(line).err.partition("hint: ")[2]


def test_what_makes_a_missing_file_is_a_command() -> None:
    for family, made in MAKES.items():
        for words in re.findall(r"zkmargin ([a-z-]+)(?: ([a-z-]+))?", made):
            group = cli.get_command(click.Context(cli), words[0])
            assert group is not None, (family, words)
            if isinstance(group, click.Group):
                assert group.get_command(click.Context(group), words[1]) is not None, (family, words)
