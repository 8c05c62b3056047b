"""Where the output of the command line goes: JSON, terminals, pipes, full disks, interrupts, and defects of ours."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import Refuse, refusing
from support.example_files import COMMIT, MARGIN, PROVE, VERIFY, example_files, placed

from zkmargin.app.files import Output, write_outputs
from zkmargin.cli import main, terminal
from zkmargin.formats import ProofFormatError, VerificationError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with all of them, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return placed(example_files(), tmp_path)


@pytest.fixture
def refuse(files: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    return refusing(files, capsys)


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
        ("verify --snapshto snapshot.json", "No such option '--snapshto': did you mean --snapshot or"),
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


def test_lines_fit_a_narrow_terminal_and_digests_and_commands_stay_whole(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, shown = on_terminal(VERIFY.split(), files)
    lines = shown.decode().splitlines()
    assert code == 0
    assert all(len(line) <= 60 or " " not in line.strip() or "zkmargin " in line for line in lines), lines
    assert any(len(line.strip()) == 64 for line in lines), "no digest on a line of its own"
    piped = subprocess.run(
        [sys.executable, "-m", "zkmargin", *VERIFY.split()], cwd=files, capture_output=True, text=True, check=True
    )
    assert any(len(line) > 60 for line in piped.stdout.splitlines())
    assert piped.stdout.split() == shown.decode().split()


@pytest.mark.parametrize(
    ("line", "fitted"),
    [
        ("- that the book is complete", "- that the book is\n  complete"),
        ("4. Two commitments, to both parts", "4. Two commitments,\n   to both parts"),
        ("next: zkmargin verify --snapshot s.json", "next: zkmargin verify --snapshot s.json"),
        ("  digest  " + "0a" * 16, "  digest\n          " + "0a" * 16),
        ("a label that is long  and its words", "a label that is long\nand its words"),
    ],
)
def test_how_a_line_is_broken(line: str, fitted: str) -> None:
    assert terminal.fitted(line, 20) == fitted


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
