"""``zkmargin venue``: from accounts to a proof and its verification."""

import json
import shlex
from pathlib import Path

import pytest
from support.venue_files import COUNT, NAME, NONCE, prove, proved_venue, public

from zkmargin.app.venue_accounts import load_accounts
from zkmargin.cli import main
from zkmargin.engine.snapshot import Snapshot


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_venue(tmp_path_factory.mktemp("venue"))


def test_the_proof_is_verified_from_public_files(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["venue", "verify", *public(venue, "snapshot", "terms", "record"), "--json", str(venue / "proof.bin")]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"]
    assert (facts["accounts"], facts["net"], facts["exempt"]) == (COUNT, "zero", None)
    record = json.loads((venue / "record.json").read_text())
    assert (record["statement"], record["proof"]) == (facts["statement_digest"], facts["proof_digest"])
    assert main([*command[:-2], str(venue / "proof.bin")]) == 0
    assert "12 accounts" in capsys.readouterr().out


def test_rejections_are_one_line_and_exit_1(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = (venue / "proof.bin").read_bytes()
    for name, data, reason in (
        ("flipped.bin", proof[:60] + bytes([proof[60] ^ 1]) + proof[61:], "rejected"),
        ("short.bin", proof[:-1], "rejected"),
        ("long.bin", proof + b"\0", "larger than a proof"),
    ):
        (tmp_path / name).write_bytes(data)
        assert main(["venue", "verify", *public(venue, "snapshot", "terms"), str(tmp_path / name)]) == 1
        error = capsys.readouterr().err
        assert reason in error
        assert "Traceback" not in error
    record = json.loads((venue / "record.json").read_text()) | {"root": "00" * 32}
    (tmp_path / "record.json").write_text(json.dumps(record))
    command = ["venue", "verify", *public(venue, "snapshot", "terms"), "--record", str(tmp_path / "record.json")]
    assert main([*command, str(venue / "proof.bin")]) == 1
    assert "not the one of the published record" in capsys.readouterr().err
    old = ["venue", "verify", *public(venue, "snapshot", "terms"), "--max-age", "1s", str(venue / "proof.bin")]
    assert main(old) == 1
    assert "stale" in capsys.readouterr().err


def test_it_answers_a_challenge(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    challenge, where = str(tmp_path / "challenge.json"), ["--ledger", str(tmp_path / "ledger.db")]
    assert main(["challenge", "new", "--audience", "desk", "--lifetime", "1h", *where, "-o", challenge]) == 0
    assert main(prove(venue, "accounts.csv", "--challenge", challenge, tag="answer-")) == 0
    capsys.readouterr()
    given = ["--snapshot", str(venue / "snapshot.json"), "--terms", str(venue / "answer-terms.json")]
    proof = str(venue / "answer-proof.bin")
    assert main(["venue", "verify", *given, proof]) == 1
    assert "rejected" in capsys.readouterr().err
    assert main(["venue", "verify", *given, "--challenge", challenge, proof]) == 0
    assert main(["verify", *given, "--challenge", challenge, *where, proof]) == 0
    assert main(["verify", *given, "--challenge", challenge, *where, proof]) == 1
    assert "replay" in capsys.readouterr().err
    assert main(["venue", "verify", *given, "--challenge", challenge, "--context", "x", proof]) == 2
    assert "give one of the two" in capsys.readouterr().err


def test_verify_and_a_ledger_take_it_as_any_other_proof(
    venue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, proof = ["verify", *public(venue, "snapshot")], str(venue / "proof.bin")
    terms, where = ["--terms", str(venue / "terms.json")], ["--ledger", str(tmp_path / "ledger.db")]
    receipt = ["--receipt", str(tmp_path / "receipt.json")]
    assert main([*given, *terms, *where, *receipt, proof, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["accepted"], facts["venue"], facts["accounts"], facts["net"]) == (True, "A venue", COUNT, "zero")
    assert any("every customer is inside" in line for line in facts["not_guaranteed"])
    assert json.loads((tmp_path / "receipt.json").read_text())["payload"]["venue"]["root"] == facts["root"]
    assert main([*given, *terms, proof]) == 0
    assert "proves, of all accounts of a venue, that" in capsys.readouterr().out
    for more, code, reason in (
        ([*terms, *where, proof], 1, "replay"),
        ([proof], 2, "--terms or --bundle"),
        (["--commitment", str(venue / "snapshot.json"), proof], 2, "expected a commitment"),
        ([*terms, "--claim", "2", proof], 2, "the terms say what is claimed"),
        ([*terms, proof, proof], 2, "one at a time"),
        ([*terms, str(venue / "snapshot.json")], 1, "larger than a proof of this statement"),
        ([*terms, "--context", "another", proof], 1, "does not prove this statement"),
    ):
        assert main([*given, *more]) == code
        assert reason in capsys.readouterr().err
    assert main(["ledger", "status", *where]) == 0
    assert "A venue: 1 proof," in capsys.readouterr().out.replace('"', "").replace("'", "")
    assert main(["ledger", "check", *where]) == 0
    assert main(["ledger", "export", *where, str(tmp_path / "out")]) == 0
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_text())["proofs"]
    assert entry["venue"]["venue"] == "A venue"
    monkeypatch.chdir(tmp_path / "out")
    assert main(shlex.split(entry["verify"])[1:]) == 0
    assert main(["inspect", entry["files"]["evidence"]]) == 0
    capsys.readouterr()
    assert main(["verify", "--bundle", entry["files"]["evidence"]]) == 1
    assert "shows" in (said := capsys.readouterr()).out
    assert "no trust file of your own" in said.err


def test_a_csv_gives_the_same_terms_and_secrets_are_never_overwritten(
    venue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(prove(venue, "accounts.csv", "--workers", "2", tag="csv-")) == 0
    assert (venue / "csv-terms.json").read_bytes() == (venue / "terms.json").read_bytes()
    assert (venue / "csv-secret.json").stat().st_mode & 0o077 == 0
    capsys.readouterr()
    assert main(prove(venue, "accounts.csv", tag="csv-")) == 2
    assert "exists" in capsys.readouterr().err


def test_accounts_under_margin_are_named_and_nothing_is_written(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        (venue / "accounts.csv")
        .read_text()
        .replace("account-0005,collateral,USDC,10000000", "account-0005,collateral,USDC,0")
    )
    for name, content in (("accounts.csv", text), ("nonces.csv", (venue / "nonces.csv").read_text())):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "snapshot.json").write_bytes((venue / "snapshot.json").read_bytes())
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(prove(tmp_path, "accounts.csv")) == 1
    error = capsys.readouterr().err
    assert "1 account is under margin, 0 may be; short by: account-0005: " in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert main(prove(tmp_path, "accounts.csv", "--exempt", "1")) == 0


def test_bad_accounts_and_nonces_name_line_and_field(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "account,section,name,quantity\n"
    for content, reason in (
        ("", "first line is not"),
        (header, "no accounts"),
        (header + "a,positions\n", "2 fields, not 4"),
        (header + "a,other,USDC,1\n", 'neither "positions" nor "collateral"'),
        (header + "a,collateral,USDC,1\na,collateral,USDC,2\n", "twice"),
        (header + "a,collateral,XYZ,1\n", "no such asset"),
        (header + "a,collateral,USDC,1x\n", "account a"),
        (header + '"a\n', "a quote that does not end on its line"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        (tmp_path / "bad.csv").chmod(0o600)
        command = prove(venue, "books", tag="bad-")
        command[command.index("--accounts") + 1] = str(tmp_path / "bad.csv")
        assert main(command) == 2, content
        assert reason in capsys.readouterr().err
    for content, reason in (
        ("account,nonce\na,12\n", "32 hexadecimal digits"),
        (f"account,nonce\na,{NONCE}\nb,{NONCE}\n", "twice"),
        (f"account,nonce\nnobody,{NONCE}\n", "no account"),
    ):
        (tmp_path / "nonces.csv").write_text(content)
        (tmp_path / "nonces.csv").chmod(0o600)
        command = prove(venue, "books", tag="bad-")
        command[command.index("--nonces") + 1] = str(tmp_path / "nonces.csv")
        assert main(command) == 2, content
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--also", "headroom >= 1", "--also", "headroom >= 2"], "--also: a venue's proof has one limit"),
        (["--also", "net-exposure BTC <= 5"], "--also: a venue's proof has one limit of every account, headroom"),
        (["--venue", ""], "--venue: a name is 1 to 200 printable characters"),
        (["--venue", "A\nB"], "--venue: a name is 1 to 200 printable characters"),
        (["--venue", "A\ufe0f"], "--venue: a name is 1 to 200 printable characters"),
        (["--cap", "ten"], "--cap: not a decimal number"),
        (["--cap", "-1"], "--cap: below 0"),
    ],
)
def test_bad_options_are_named(venue: Path, capsys: pytest.CaptureFixture[str], more: list[str], reason: str) -> None:
    assert main(prove(venue, "books", *more, tag="bad-")) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "a defect of ours" not in said


def test_a_csv_may_have_a_mark_and_blank_lines_and_unbalanced_books_name_the_instrument(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (venue / "accounts.csv").read_text()
    plain = load_accounts(
        str(venue / "accounts.csv"), snapshot := Snapshot.parse((venue / "snapshot.json").read_bytes())
    )
    (tmp_path / "marked.csv").write_text("\ufeff" + text.replace("\n", "\n\n"))
    (tmp_path / "marked.csv").chmod(0o600)
    marked = load_accounts(str(tmp_path / "marked.csv"), snapshot)
    assert [(one.name, one.lots) for one in marked] == [(one.name, one.lots) for one in plain]
    lost = next(line for line in text.splitlines() if line.startswith(f"{NAME},positions,"))
    (tmp_path / "lost.csv").write_text(text.replace(lost + "\n", ""))
    (tmp_path / "lost.csv").chmod(0o600)
    command = prove(venue, "books", tag="bad-")
    command[command.index("--accounts") + 1] = str(tmp_path / "lost.csv")
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"net: {lost.split(',')[2]}: the books together have " in said
    assert "is an account missing?" in said
