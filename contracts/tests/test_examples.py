"""The examples of ``zkmargin chain --help``, as they are printed, on anvil: only the node's address is put in.

``chain dev`` brings its own chain: test_walk.py.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from eth_account import Account
from support.chain_files import KEYS, runner, venue_files

from contracts.tests.evm import Anvil
from zkmargin.cli.commands.chain import command
from zkmargin.cli.groups import Command

PRINTED = "http://127.0.0.1:8545"
#: The first account of every development chain, which anvil gives ether; its key is no secret.
SENDER = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
NONCE = "07" * 32
#: What follows what on one chain.
ORDER = (
    *("series", "deploy", "sign table", "sign with-key", "register", "sign part", "commit", "prove", "prove-joint"),
    *("status", "verify"),
)
ACCOUNTS = tuple("0x" + "00" * 19 + last for last in ("ac", "ad"))


def printed(group: click.Group = command, before: str = "") -> Iterator[tuple[str, Command]]:
    """Every command by its words."""
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from printed(one, f"{before}{name} ")
        else:
            assert isinstance(one, Command)
            yield before + name, one


def test_no_command_is_left_out() -> None:
    assert {name for name, _ in printed()} == {"dev", *ORDER}


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A chain of its own: addresses are of what is deployed, so another test's registry would be met again."""
    evm = Anvil()
    yield evm
    evm.close()


class Walk:
    """What people do between the examples."""

    def __init__(self, run: object, anvil: Anvil) -> None:
        self.call, self.url = runner(run), anvil.url  # type: ignore[arg-type]
        self.send = ("--rpc", anvil.url, "--key", "sender.key", "--deployment", "deployment.json")

    def signed(self, typed: str, key: str, output: str) -> None:
        self.call("chain", "sign", "with-key", typed, "--key", f"{key}.key", "-o", output)

    def committed(self, account: str, role: str, keeper: str) -> None:
        at = ("--deployment", "deployment.json", "--account", account, "--role", role, "--new", "commitment.json")
        name = f"{role}-{account[-2:]}"
        self.call("chain", "sign", "part", *at, "-o", f"{name}.typed.json")
        self.signed(f"{name}.typed.json", keeper, f"{name}.signature")
        if name != "positions-ac":  # which an example does
            told = ("--typed", f"{name}.typed.json", "--signature", f"{name}.signature")
            self.call("chain", "commit", *self.send, "--role", role, "--new", "commitment.json", *told)

    def before(self, name: str) -> None:
        venue = ("--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
        if name == "sign table":
            self.call("chain", "deploy", *self.send[:4], *venue, "--joint", "-o", "deployment.json")
        if name == "sign with-key":
            shutil.copy("my-table.typed.json", "table.typed.json")
            for key in ("oracle-1", "oracle-3"):
                self.signed("table.typed.json", key, f"{key}.signature")
        if name == "commit":
            for account in ACCOUNTS:
                self.committed(account, "positions", "venue")
                self.committed(account, "collateral", "custodian")
            for suffix in ("typed.json", "signature"):
                shutil.copy(f"positions-ac.{suffix}", f"positions.{suffix}")
            words = ("book.json", "--snapshot", "snapshot.json", "--part", "positions")
            self.call("commit", *words, "-o", "next.json", "--opening", "next-opening.json")
            at = ("--deployment", "deployment.json", "--account", ACCOUNTS[0], "--role", "positions")
            fill = ("--new", "next.json", "--old", "commitment.json", "--sequence", "2")
            self.call("chain", "sign", "part", *at, *fill, "-o", "next.typed.json")
            self.signed("next.typed.json", "venue", "next.signature")
        if name == "verify":
            at = ("--deployment", "deployment.json", "--snapshot", "snapshot.json", "--table", "table.json")
            offline = ("--block", "5", "--nonce", NONCE, "--calldata", "unsent.json")
            one = ("--account", ACCOUNTS[0], "--book", "book.json", "--opening", "opening.json")
            self.call("chain", "prove", *at, *one, *offline, "--proof", "chain.bin")
            both = [word for account in ACCOUNTS for word in ("--account", account, "book.json", "opening.json")]
            self.call("chain", "prove-joint", *at, *both, *offline, "--proof", "joint.bin")


def test_every_example_runs(
    tmp_path: Path, anvil: Anvil, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(venue_files(tmp_path))
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "typed by a person")
    keys = dict(zip(("oracle-1", "oracle-2", "oracle-3", "venue", "custodian"), KEYS, strict=True))
    for name, key in {**keys, "sender": Account.from_key("0x" + SENDER)}.items():
        encrypted = Account.encrypt(key.key, "typed by a person", kdf="pbkdf2", iterations=1)
        Path(f"{name}.key").write_text(json.dumps(encrypted))
        Path(f"{name}.key").chmod(0o600)
    walk, examples = Walk(capsys, anvil), dict(printed())
    later = []
    for name in ORDER:
        walk.before(name)
        for line in examples[name].examples:
            words = shlex.split(line.replace(PRINTED, anvil.url), comments=True)[1:]
            if "next.json" in words:
                later.append(words)  # a fill ends coverage, and the opening of before opens no more
            else:
                walk.call(*words)
    for words in later:
        walk.call(*words)
