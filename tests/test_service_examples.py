"""The examples of ``zkmargin serve --help``, as they are printed, with a service that listens."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Run
from support.venue_service import PASSPHRASE, Service, files_of_parties

from zkmargin.cli import passphrases
from zkmargin.cli.commands.serve import command
from zkmargin.cli.groups import Command

#: Where the examples' service listens; the test's takes a free port.
PRINTED = "http://127.0.0.1:8420"
#: What follows what: accounts before tokens for them, tokens before what they allow.
ORDER = ("check", "register", "token", "publish", "attest", "roster", "coverage", "backup")


def printed(name: str) -> list[str]:
    """The examples of a command."""
    one = command.commands[name]
    assert isinstance(one, Command)
    return list(one.examples)


def test_no_command_is_left_out() -> None:
    assert set(command.commands) == {"start", *ORDER}


@pytest.mark.slow
def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passphrases, "passphrase", lambda *_, **__: PASSPHRASE)  # which a person types
    run, service = Run(capsys), Service.make(tmp_path)
    files_of_parties(tmp_path)
    (start,) = printed("start")
    service.process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(start)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert service.process.stdout is not None
        service.url = service.process.stdout.readline().removeprefix("listening on ").strip()
        for name in ORDER:
            if name == "publish":  # two tokens more, made as the examples make theirs
                asked = ["serve", "token", "--url", service.url, "--key", "operator.key.json"]
                for role in ("publisher", "auditor"):
                    run([*asked, "--name", f"my {role}", "--role", role, "-o", f"{role}.token"])
            for line in printed(name):
                run(shlex.split(line.replace(PRINTED, service.url), comments=True)[1:])
        assert {path.name for path in tmp_path.glob("my-*")} == {
            "my-token",
            "my-maker-token",
            "my-coverage.json",
            "my-backup.db",
        }
    finally:
        assert service.stop() == 0
