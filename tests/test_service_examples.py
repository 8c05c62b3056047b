"""The examples of ``zkmargin serve --help``, as they are printed, with a service that listens.

What is put in: a free port for the printed one, a statement's and a token's digest where the examples say ``STATEMENT``
and ``HEX``.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Run
from support.venue_service import (
    NAME,
    PASSPHRASE,
    Service,
    account,
    files_of_parties,
    own_book_files,
    revoking,
    signers,
    snapshot,
    trust,
)

from zkmargin.cli import passphrases
from zkmargin.cli.commands.serve import command
from zkmargin.cli.groups import Command
from zkmargin.client.tokens import token_digest
from zkmargin.formats import save_document

PRINTED = "http://127.0.0.1:8420"
#: What follows what: accounts before tokens for them, tokens before what they allow, proofs before what tells of them.
ORDER = (
    *("check", "register", "token", "publish", "attest", "roster", "challenge", "submit", "proofs", "evidence"),
    *("coverage", "verify-coverage", "set-webhook", "webhooks", "remove-webhook", "revoke", "revocations", "audit"),
    *("tokens", "withdraw", "revoke-token", "close", "backup", "restored"),
)
#: Tokens that the examples use and do not make, made as they make theirs.
TOKENS = {
    "publisher": "--role publisher",
    "auditor": "--role auditor",
    "operator": "--role operator",
    "maker": "--role account --account maker",
    "venue": "--role venue --venue exchange",
    "spare": "--role auditor",
}


def printed(name: str) -> list[str]:
    """The examples of a command."""
    one = command.commands[name]
    assert isinstance(one, Command)
    return list(one.examples)


def test_no_command_is_left_out() -> None:
    assert set(command.commands) == {"start", *ORDER}


class Day:
    """The folder in which they run, and what a person does between them."""

    def __init__(self, service: Service, run: Run) -> None:
        self.service, self.run, self.put = service, run, {PRINTED: service.url}

    def before(self, name: str) -> None:
        """What the examples of a command need."""
        at = ["--url", self.service.url]
        if name == "publish":
            for token, words in TOKENS.items():
                asked = ["serve", "token", *at, "--service", NAME, "--key", "operator.key.json"]
                self.run([*asked, "--name", f"my {token}", *words.split(), "-o", f"{token}.token"])
            self.put["HEX"] = str(token_digest(Path("spare.token").read_text().strip()))
            save_document(revoking(), "none-revoked.json")  # the custodian's first list: without one nobody is believed
            self.run(["serve", "revoke", "none-revoked.json", *at, "--token-file", "publisher.token"])
        if name == "submit":  # the challenge that was asked for is answered
            self.run(["serve", "attest", "collateral.att.json", *at, "--token-file", "publisher.token"])
            own_book_files(Path())
            about = "--snapshot snapshot.json --challenge my-asked-challenge.json"
            self.run(f"prove {about} --book book.json --opening opening.json --claim 1.1 -o proof.bin")
            self.run(f"bundle proof.bin {about} --claim 1.1 --commitment commitment.json -o bundle.json")
        if name == "proofs":
            asked = ["serve", "proofs", "--account", "maker", *at, "--token-file", "auditor.token", "--json"]
            self.put["STATEMENT"] = self.run(asked).json["items"][0]["statement"]
        if name == "restored":
            assert self.service.stop() == 0
        if name == "verify-coverage":  # of a day in which there was a snapshot
            time = snapshot().time
            asked = ["serve", "coverage", "--account", "maker", "--series", "main", "--from", time, "--to", time]
            self.run([*asked, *at, "--token-file", "auditor.token", "-o", "today.json"])
            shutil.copy("today.json", "my-coverage.json")

    def example(self, line: str) -> None:
        """As it is printed."""
        for word, other in self.put.items():
            line = line.replace(word, other)
        self.run(shlex.split(line, comments=True)[1:])


@pytest.mark.slow
def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passphrases, "passphrase", lambda *_, **__: PASSPHRASE)  # which a person types
    custodians = {"name": "custodian", "signers": ["custodian"], "threshold": 1, "max_age_seconds": 3600}
    service = Service.make(tmp_path, own_trust=trust(revocations=[custodians]))
    files_of_parties(tmp_path)
    save_document(signers()["desk"].public, tmp_path / "desk.public.json")
    (_, collateral) = account("maker").attestations()
    save_document(revoking(collateral), tmp_path / "revocations.json")
    (start,) = printed("start")
    service.process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(start)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert service.process.stdout is not None
        service.url = service.process.stdout.readline().removeprefix("listening on ").strip()
        day = Day(service, Run(capsys))
        for name in ORDER:
            day.before(name)
            for line in printed(name):
                day.example(line)
        written = {word for name in ORDER for line in printed(name) for word in shlex.split(line) if word[:3] == "my-"}
        assert {path.name for path in tmp_path.glob("my-*")} == written
    finally:
        assert service.stop() == 0
