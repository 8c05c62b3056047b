"""Signers outside: a program signs, this one verifies what it says."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support import parties
from support.parties import World
from support.signing import SIGNER

from zkmargin.app.signers import CommandSigner, SignerAnswer, SignerRequest
from zkmargin.cli import cli, main
from zkmargin.crypto.signatures import SCHEMES, Scheme
from zkmargin.formats import InputError, save_document
from zkmargin.ledger import Ledger

SHORT = "import json; print(json.dumps({'format': 'zkmargin/signer-answer/v1', 'signature': '00' * 64}))"


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "my signer.py"
    path.write_text(SIGNER)
    return path


def command(program: Path, secret: bytes) -> str:
    return shlex.join([sys.executable, str(program), secret.hex()])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_program_signs_for_every_scheme(world: World, program: Path, scheme: Scheme) -> None:
    own = parties.signer("outside", scheme)
    outside = CommandSigner(own.public, command(program, own._secret))
    attestation = world.attest_snapshot("oracle 2").signed(outside)
    assert attestation.signatures[1] == own.sign(attestation.message)


def test_what_it_is_asked(world: World) -> None:
    message = world.attest_snapshot().message
    plain = SignerRequest.of(parties.signer("outside").public, message)
    assert bytes.fromhex(plain.message) == message.for_scheme("bls")
    assert plain.typed_data is None
    wallet = SignerRequest.of(parties.signer("outside", "secp256k1").public, message)
    assert wallet.typed_data is not None
    assert wallet.typed_data["primaryType"] == "Snapshot"
    assert wallet.typed_data["message"]["series"] == "main"
    for document in (plain, wallet, SignerAnswer(signature="00" * 96)):
        assert type(document).parse(document.to_bytes()) == document


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["no such program"], "cannot be started"),
        ([], "cannot be started"),
        ([sys.executable, "-c", "import sys; sys.exit(3)"], "failed with exit code 3"),
        ([sys.executable, "-c", "print('yes')"], "not JSON"),
        ([sys.executable, "-c", "print('{}')"], 'no "format" line'),
        ([sys.executable, "-c", "print('x' * 70000)"], "more than 64 KiB"),
        ([sys.executable, "-c", SHORT], "no signature of bls"),
    ],
)  # fmt: skip
def test_t12_answers_that_are_none(world: World, words: list[str], reason: str) -> None:
    outside = CommandSigner(parties.signer("outside").public, shlex.join(words))
    with pytest.raises(InputError, match=reason) as caught:
        outside.sign(world.attest_snapshot().message)
    assert caught.value.file == "signer"


def test_t12_a_signature_of_another_key_is_not_used(world: World, program: Path) -> None:
    mine, other = parties.signer("outside"), parties.signer("somebody")
    with pytest.raises(InputError, match="does not verify with the key"):
        CommandSigner(mine.public, command(program, other._secret)).sign(world.attest_snapshot().message)


def commands(group: click.Group, context: click.Context, name: str = "") -> Iterator[tuple[str, click.Command]]:
    for child in group.list_commands(context):
        found = group.get_command(context, child)
        assert found is not None
        yield f"{name} {child}".strip(), found
        if isinstance(found, click.Group):
            yield from commands(found, context, f"{name} {child}".strip())


def test_whatever_signs_takes_a_signer_outside() -> None:
    """What makes a key and what opens one need its passphrase; chain transactions go out as --calldata instead."""
    lacking = set()
    for name, found in commands(cli, click.Context(cli)):
        options = {word for option in found.params for word in option.opts}
        if "--passphrase-file" in options and not options & {"--signer", "--calldata"}:
            lacking.add(name)
    assert lacking == {"key new"}


def test_on_the_command_line_with_a_ledger(
    world: World, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    own = parties.signer("oracle 9", "secp256k1")
    save_document(own.public, tmp_path / "public.json")
    save_document(world.snapshot, tmp_path / "snapshot.json")
    save_document(world.market, tmp_path / "market.json")
    sign = ["attest", "snapshot", "snapshot.json", "--market", "market.json", "--policy", "default"]
    sign += ["--key", "public.json", "--signer", command(program, own._secret), "--ledger", "signed.db"]
    assert main([*sign, "--sequence", "7", "-o", "a.json"]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "a.json").read_text())["signatures"][0]["scheme"] == "secp256k1"
    with Ledger(tmp_path / "signed.db", read_only=True) as ledger:
        assert ledger.audit().bad == []
        assert ledger.head()[0] == 1
    assert main([*sign, "--sequence", "6", "-o", "b.json"]) == 1
    assert "number 7 was signed already" in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()
    assert main([*sign, "--sequence", "8", "--passphrase-file", "p", "-o", "c.json"]) == 2
    assert "the signer has its own" in capsys.readouterr().err
