"""``zkmargin chain`` on anvil: one proof of an account or of many, asked of the contract; refusals in words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.chain_files import ACCOUNT, KEYS, PROVE, Said, runner, venue_files

from contracts.tests.evm import Anvil
from zkmargin.chain.typed_data import read_typed_data

NONCE = "ab" * 32
OTHER = "0x" + "ad" * 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return venue_files(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def run(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    monkeypatch.chdir(files)
    return runner(capsys)


def test_a_table_counts_as_soon_as_it_is_signed(run: Said, anvil: Anvil) -> None:
    node, at = ("--rpc", anvil.url, "--sender", anvil.account), ("--deployment", "registry.json")
    venue = ("--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run("chain", "deploy", *node, *venue, "-o", "registry.json")
    time.sleep(1.1)  # so that the latest block is before what is signed
    run("chain", "sign", "table", *at, *venue, "-o", "typed.json")
    typed = read_typed_data(json.loads(Path("typed.json").read_text()))
    for i in (0, 2):
        Path(f"{i}.signature").write_text("0x" + bytes(KEYS[i].unsafe_sign_hash(typed.digest).signature).hex())
    register = ("chain", "register", *node, *at, "--rules", "rules.json", "--typed", "typed.json")
    said = run(*register, "--signature", "0.signature", code=1)
    assert "NotAttested(): fewer signatures than the threshold" in said
    assert "registered in block" in run(*register, "--signature", "0.signature", "--signature", "2.signature")
    said = run(*register, "--signature", "0.signature", "--signature", "2.signature", code=1)
    assert "OldSequence()" in said


def test_contracts_are_asked_for_their_verdict(run: Said, anvil: Anvil) -> None:
    node = ("--rpc", anvil.url)
    venue = ("--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run("chain", "deploy", *node, "--sender", anvil.account, *venue, "--joint", "-o", "d.json")
    at = ("--deployment", "d.json", "--snapshot", "snapshot.json", "--table", "table.json")
    offline = ("--block", "5", "--nonce", NONCE, "--calldata", "tx.json")
    prove = ("--deployment", "d.json", "--account", ACCOUNT, *PROVE[1:], "--table", "table.json", *offline)
    run("chain", "prove", *prove, "--proof", "one.bin")
    members = [word for account in (ACCOUNT, OTHER) for word in ("--account", account, "book.json", "opening.json")]
    run("chain", "prove-joint", *at, *members, *offline, "--proof", "joint.bin")
    live = ("--rpc", anvil.url, "--sender", anvil.account, "--calldata", "tx.json", "--json", "--proof", "live.bin")
    run("chain", "prove-joint", *at, *members, *live)

    said = run("chain", "prove-joint", *at, *members, "--rpc", anvil.url, code=2)
    assert "nobody to send it" in said
    assert "Connection refused" in run(
        "chain", "status", "--rpc", "http://127.0.0.1:9", "--deployment", "d.json", code=2
    )

    one, joint = ("--commitment", "commitment.json"), ("--account", "commitment.json") * 2
    for who, proof in ((one, "one.bin"), (joint, "joint.bin")):
        ask = ("chain", "verify", *at, *who, proof)
        facts = json.loads(run(*ask, *node, "--nonce", NONCE, "--json"))
        assert facts["accepted"]
        said = run(*ask, *node, "--nonce", "cd" * 32, code=1)
        assert "ProofRejected(): every part is well-formed, and the proof does not prove its statement" in said
        run(*ask, "--nonce", NONCE, "--calldata", "call.json")
        (call,) = json.loads(Path("call.json").read_text())
        answer = anvil.rpc("eth_call", {name: call[name] for name in ("from", "to", "data")}, "latest")
        assert answer == "0x" + facts["table_hash"] + facts["statement_digest"]

    ask = ("chain", "verify", *at, *node, "--nonce", NONCE)
    assert "a joint chain proof: expected a chain proof" in run(*ask, *one, "joint.bin", code=1)
    assert "a chain proof: expected a joint chain proof" in run(*ask, *joint, "one.bin", code=1)
    assert "bytes" in run(*ask, *joint[:2], "joint.bin", code=1)
    assert "give --commitment (one account), or --account" in run(*ask, "one.bin", code=2)
    assert "give --rpc URL" in run("chain", "verify", *at, "--nonce", NONCE, *one, "one.bin", code=2)
    assert "no address" in run(*ask, *one, "--caller", "0x12", "one.bin", code=2)
