"""Key files and their passphrases on the command line."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import Run
from support.desk import WORDS, desk_files, run_at
from support.example_files import placed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return placed(desk_files(), tmp_path / "copy")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return run_at(folder, capsys, monkeypatch)


# Keys and passphrases


def test_key_files(run: Run, folder: Path) -> None:
    assert (folder / "venue.key").stat().st_mode & 0o777 == 0o600
    shown = run("key show venue.key --json").json
    assert shown == run("key show venue.pub --json").json
    assert "possession   proved" in run("key show venue.key").out
    run("key show venue.key -o copy.pub")
    assert (folder / "copy.pub").read_bytes() == (folder / "venue.pub").read_bytes()
    assert "exists" in run("key new --name x --passphrase-file pass -o venue.key", code=2).err


def test_wrong_passphrase(run: Run, folder: Path) -> None:
    (folder / "wrong").write_text("something else\n")
    (folder / "wrong").chmod(0o600)
    line = (
        "attest snapshot snapshot.json --market market.json --policy default --sequence 8 "
        "--key oracle.key --passphrase-file wrong -o n"
    )
    err = run(line, code=2).err
    assert "oracle.key: passphrase: wrong passphrase" in err
    assert "something else" not in err
    assert not (folder / "n").exists()


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "first line is empty"), (b"\xff\xfe", "UTF-8"), (b"short\n", "8")]
)
def test_passphrase_file_of_no_use(run: Run, folder: Path, content: bytes, reason: str) -> None:
    (folder / "odd").write_bytes(content)
    (folder / "odd").chmod(0o600)
    assert reason in run("key new --name x --passphrase-file odd -o x.key", code=2).err
    assert not (folder / "x.key").exists()


def test_exposed_passphrase_file_gets_a_warning(run: Run, folder: Path) -> None:
    (folder / "open").write_text(f"{WORDS}\r\n")
    (folder / "open").chmod(0o644)
    line = (
        "attest snapshot snapshot.json --market market.json --policy default --sequence 8 "
        "--key oracle.key --passphrase-file open -o o8"
    )
    assert "warning: open: a secret file that others may read" in run(line).err


def test_passphrase_is_not_taken_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKMARGIN_PASSPHRASE", WORDS)
    err = run("key new --name x --passphrase-file pass -o x.key", code=2).err
    assert "not taken from the environment" in err
    assert WORDS not in err


def test_no_option_takes_a_secret() -> None:
    from zkmargin.cli.commands import attest, key, verify

    for group in (attest.command, key.command):
        for command in group.commands.values():
            assert not {"passphrase", "secret", "password"} & {parameter.name for parameter in command.params}
    assert "passphrase" not in {parameter.name for parameter in verify.command.params}


def test_passphrase_without_a_terminal(run: Run) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "zkmargin", "key", "new", "--name", "x", "-o", "y.key"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "no terminal to ask on" in result.stderr
    assert run("key show venue.pub").err == ""


def test_passphrase_is_asked_for_without_echo(folder: Path) -> None:
    """On a real terminal: asked twice, and nothing that was typed comes back."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "zkmargin", "key", "new", "--name", "x", "-o", "typed.key"])  # noqa: S606
    shown = b""
    for prompt in (b"Passphrase", b"Repeat"):
        while prompt not in shown:
            shown += os.read(terminal, 1000)
        time.sleep(0.3)  # getpass drops what was typed before it switched the echo off
        os.write(terminal, WORDS.encode() + b"\n")
    try:
        while piece := os.read(terminal, 1000):
            shown += piece
    except OSError:  # the terminal is closed when the process ends
        pass
    assert os.waitpid(pid, 0)[1] == 0, shown
    assert WORDS.encode() not in shown
    assert b"made the bls key" in shown
