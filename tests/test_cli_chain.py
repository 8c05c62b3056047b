"""Tables and chain proofs on the command line, and everything of ``zkmargin chain`` that needs no chain."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.chain_files import (
    ACCOUNT,
    KEYS,
    PROVE,
    VERIFY,
    Said,
    by_size_policy,
    one_coin_market,
    runner,
    venue_files,
)
from support.signing import SIGNER
from support.typed import Json, Keywords

from zkmargin.chain import artefacts
from zkmargin.chain.abi import encode_call, error_name, error_selector, error_text
from zkmargin.chain.deployment import create2
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.chain.typed_data import compacted, in_order, read_signature, read_typed_data, signer_of
from zkmargin.crypto import secp256k1
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError, SetupError, save_document, write_atomic


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venue's files in a folder."""
    return venue_files(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def run(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command line in the folder."""
    monkeypatch.chdir(files)
    return runner(capsys)


def test_a_chain_proof_from_table_to_verdict(run: Said, tmp_path: Path) -> None:
    proof = str(tmp_path / "chain.bin")
    run(*PROVE, "--protocol", "chain", "--table", "table.json", "--context", "one", "-o", proof)
    facts = json.loads(run(*VERIFY, "--table", "table.json", "--context", "one", "--json", proof))
    assert facts["accepted"]
    assert facts["protocol"] == "chain/v1"
    assert facts["position_bits"] == 30
    assert "rejected" in run(*VERIFY, "--table", "table.json", "--context", "two", proof, code=1)
    assert "give the table with --table" in run(*VERIFY, proof, code=2)
    run(*PROVE, "-o", str(tmp_path / "margin.bin"))
    assert "a margin proof: expected a chain proof" in run(
        *VERIFY, "--table", "table.json", str(tmp_path / "margin.bin"), code=1
    )
    ledger = str(tmp_path / "ledger.db")
    assert "does not go with a chain proof" in run(*VERIFY, "--table", "table.json", "--ledger", ledger, proof, code=2)
    assert "one at a time" in run(*VERIFY, "--table", "table.json", proof, proof, code=2)


def test_a_policy_with_charges_by_size_from_table_to_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(venue_files(tmp_path, by_size_policy()))
    run = runner(capsys)
    table = json.loads(Path("table.json").read_text())
    assert (table["format"], table["gross"]) == ("zkmargin/chain-table/v2", ["floor", "flat"])
    assert "every point of it" in run("snapshot", "check", "snapshot.json", "market.json", "--table", "table.json")
    run(*PROVE, "--protocol", "chain", "--table", "table.json", "-o", "chain.bin")
    assert json.loads(run(*VERIFY, "--table", "table.json", "--json", "chain.bin"))["accepted"]
    table["sides"] = table["sides"][::-1]
    Path("false.json").write_text(json.dumps(table))
    said = run("snapshot", "check", "snapshot.json", "market.json", "--table", "false.json", code=2)
    assert "sides[0]" in said
    words = ("chain", "deploy", "--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run(*words, "--chain-id", "1", "--joint", "--calldata", "txs.json", "-o", "d.json")
    sent = [bytes.fromhex(t["data"][66:]) for t in json.loads(Path("txs.json").read_text())]
    for name in ("WideMarginVerifier", "WideMarginJointVerifier"):
        assert any(data.startswith(artefacts.artefact(name).creation) for data in sent)


def test_a_policy_with_gain_offsets_from_table_to_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(venue_files(tmp_path, load_policy("tims")))
    run = runner(capsys)
    table = json.loads(Path("table.json").read_text())
    assert (table["format"], table["scenarios"], table["scales"]) == ("zkmargin/chain-table/v3", [40], [2])
    assert "40 lines of gain offsets" in run("snapshot", "table", "snapshot.json", "-o", "again.json")
    assert "every point of it" in run("snapshot", "check", "snapshot.json", "market.json", "--table", "table.json")
    run(*PROVE, "--protocol", "chain", "--table", "table.json", "-o", "chain.bin")
    assert json.loads(run(*VERIFY, "--table", "table.json", "--json", "chain.bin"))["accepted"]
    Path("false.json").write_text(json.dumps(table | {"scales": [4]}))
    said = run("snapshot", "check", "snapshot.json", "market.json", "--table", "false.json", code=2)
    assert "table: scales" in said
    words = ("chain", "deploy", "--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run(*words, "--chain-id", "1", "--calldata", "txs.json", "-o", "d.json")
    sent = [bytes.fromhex(t["data"][66:]) for t in json.loads(Path("txs.json").read_text())]
    assert any(data.startswith(artefacts.artefact("WideMarginVerifier").creation) for data in sent)
    save_document(
        build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("deribit-pm")), tmp_path / "tails.json"
    )
    said = run("snapshot", "table", "tails.json", "-o", "none.json", code=2)
    assert "BTC and ETH: 135 + 42 lines of gain offsets and tails take 179 indices: the chain layout has 128" in said


def test_a_policy_with_dampened_tails_from_table_to_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(venue_files(tmp_path, load_policy("deribit-pm"), one_coin_market()))
    run = runner(capsys)
    table = json.loads(Path("table.json").read_text())
    assert (table["format"], table["scenarios"], table["tails"]) == ("zkmargin/chain-table/v4", [27, 10], True)
    assert "27 + 10 lines of gain offsets and tails" in run("snapshot", "table", "snapshot.json", "-o", "again.json")
    assert "every point of it" in run("snapshot", "check", "snapshot.json", "market.json", "--table", "table.json")
    run(*PROVE, "--protocol", "chain", "--table", "table.json", "-o", "chain.bin")
    assert json.loads(run(*VERIFY, "--table", "table.json", "--json", "chain.bin"))["accepted"]
    words = ("chain", "deploy", "--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run(*words, "--chain-id", "1", "--calldata", "txs.json", "-o", "d.json")
    sent = [bytes.fromhex(t["data"][66:]) for t in json.loads(Path("txs.json").read_text())]
    assert any(data.startswith(artefacts.artefact("TailsMarginVerifier").creation) for data in sent)


def test_protocol_and_table_belong_together(run: Said) -> None:
    assert "give --table FILE" in run(*PROVE, "--protocol", "chain", "-o", "x.bin", code=2)
    assert "--protocol chain" in run(*PROVE, "--table", "table.json", "-o", "x.bin", code=2)
    also = ("--also", "headroom >= 1")
    assert "claim alone" in run(*PROVE, "--protocol", "chain", "--table", "table.json", *also, "-o", "x.bin", code=2)
    other = ("--requirement", "maintenance")
    message = run(*PROVE, "--protocol", "chain", "--table", "table.json", *other, "-o", "x.bin", code=2)
    assert "table.json" in message
    assert "initial requirement" in message


def test_a_table_is_made_without_what_prices_a_market() -> None:
    code = "import sys, zkmargin.app.tables, zkmargin.cli.commands.snapshot; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zkmargin.engine.publishing", "zkmargin.engine.carried", "zkmargin.app.attesting"} & set(loaded)


def test_a_table_is_recomputed(run: Said, files: Path, tmp_path: Path) -> None:
    said = run("snapshot", "check", "snapshot.json", "market.json", "--table", "table.json")
    assert "every point of it" in said
    table = json.loads((files / "table.json").read_text())
    table["rows"][0], table["rows"][1] = table["rows"][1], table["rows"][0]
    false = tmp_path / "false.json"
    false.write_text(json.dumps(table))
    said = run("snapshot", "check", "snapshot.json", "market.json", "--table", str(false), code=2)
    assert "rows[0]" in said
    assert "--series" in run("snapshot", "table", "snapshot.json", "--series", "5a", "-o", "x.json", code=2)


def test_what_does_not_fit_is_said_by_name(run: Said, files: Path, tmp_path: Path) -> None:
    market = example_market("2026-01-02T03:04:05Z")
    save_document(build_snapshot(market, load_policy("default"), domain_size=256), tmp_path / "small.json")
    said = run("snapshot", "table", str(tmp_path / "small.json"), "-o", str(tmp_path / "t.json"), code=2)
    assert "256 rows: the chain layout has exactly 1024" in said
    assert (files / "table.json").exists()


def test_deployment_needs_no_chain(run: Said, tmp_path: Path) -> None:
    output, calldata = str(tmp_path / "d.json"), str(tmp_path / "txs.json")
    words = ("chain", "deploy", "--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run(*words, "--chain-id", "1", "--calldata", calldata, "-o", output)
    deployment = Deployment.parse(Path(output).read_text())
    transactions = json.loads(Path(calldata).read_text())
    assert [t["to"] for t in transactions] == ["0x4e59b44847b379578588920ca78fbf26c0b4956c"] * 4
    addresses = [create2(bytes.fromhex(t["data"][66:])) for t in transactions]
    assert addresses == [deployment.snapshots, deployment.commitments, deployment.verifier, deployment.checker]
    assert "--chain-id" in run(*words, "--calldata", calldata, "-o", output, code=2)
    assert "give --rpc" in run(*words, "-o", output, code=2)
    assert run("chain", "series", "rules.json").strip() == deployment.series


def test_what_attesters_sign_is_written_signed_and_sent(run: Said, tmp_path: Path) -> None:
    d, typed, tx = str(tmp_path / "d.json"), str(tmp_path / "typed.json"), str(tmp_path / "tx.json")
    venue = ("--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json")
    run("chain", "deploy", *venue, "--chain-id", "1", "--calldata", str(tmp_path / "txs.json"), "-o", d)
    run("chain", "sign", "table", "--deployment", d, *venue, "-o", typed)
    data = read_typed_data(json.loads(Path(typed).read_text()))
    signatures = []
    for i in (0, 2):
        path = tmp_path / f"{i}.signature"
        signed = KEYS[i].unsafe_sign_hash(data.digest)
        path.write_text("0x" + signed.signature.hex().removeprefix("0x"))
        signatures += ["--signature", str(path)]
    run(
        "chain", "register", "--deployment", d, "--rules", "rules.json", "--typed", typed, *signatures, "--calldata", tx
    )
    (transaction,) = json.loads(Path(tx).read_text())
    assert transaction["data"].startswith("0x" + encode_call_selector("register"))
    part = ("--account", ACCOUNT, "--role", "positions", "--new", "commitment.json")
    run("chain", "sign", "part", "--deployment", d, *part, "-o", typed)
    part_data = read_typed_data(json.loads(Path(typed).read_text()))
    assert part_data.message["sequence"] == 1
    key = secp256k1.public_key(bytes([4]) * 32)
    save_document(PublicKey(format="zkmargin/public-key/v2", name="venue", scheme="secp256k1", public_key=key.hex()),
                  tmp_path / "public.json")  # fmt: skip
    (tmp_path / "signer.py").write_text(SIGNER)
    outside = shlex.join([sys.executable, str(tmp_path / "signer.py"), (bytes([4]) * 32).hex()])
    written = tmp_path / "outside.signature"
    run("chain", "sign", "with-key", typed, "--key", str(tmp_path / "public.json"), "--signer", outside,
        "-o", str(written))  # fmt: skip
    assert signer_of(part_data, read_signature(written.read_text())) == KEYS[3].address
    signed = KEYS[3].unsafe_sign_hash(part_data.digest)
    write_atomic(str(tmp_path / "part.signature"), json.dumps({"signature": "0x" + signed.signature.hex()}).encode())
    words = ("--role", "positions", "--new", "commitment.json", "--typed", typed)
    signature = ("--signature", str(tmp_path / "part.signature"))
    run("chain", "commit", "--deployment", d, *words, *signature, "--calldata", tx)
    assert "number 1" in run("chain", "sign", "part", "--deployment", d, *part, "--sequence", "2", "-o", typed, code=2)
    assert "no address" in run(
        "chain", "sign", "part", "--deployment", d, "--account", "0x12", *part[2:], "-o", typed, code=2
    )
    nonce = ("--block", "5", "--nonce", "ab" * 32, "--calldata", tx)
    run("chain", "prove", "--deployment", d, "--account", ACCOUNT, *PROVE[1:], "--table", "table.json", *nonce)
    (transaction,) = json.loads(Path(tx).read_text())
    assert len(transaction["data"]) > 2 * 4000


def test_joint_proofs_offline(run: Said, tmp_path: Path) -> None:
    output, tx = str(tmp_path / "d.json"), str(tmp_path / "tx.json")
    words = ("--rules", "rules.json", "--snapshot", "snapshot.json", "--table", "table.json", "--chain-id", "1")
    run("chain", "deploy", *words, "--calldata", tx, "-o", output)
    other = ("--account", ACCOUNT, "book.json", "opening.json")
    offline = ("--block", "5", "--nonce", "ab" * 32, "--calldata", tx)
    prove = ("chain", "prove-joint", "--deployment", output, "--snapshot", "snapshot.json", "--table", "table.json")
    assert "chain deploy --joint" in run(*prove, *other, *offline, code=2)
    run("chain", "deploy", *words, "--joint", "--calldata", tx, "-o", output)
    assert len(json.loads(Path(tx).read_text())) == 5
    deployment = Deployment.parse(Path(output).read_text())
    assert deployment.format == "zkmargin/chain-deployment/v2"
    joint = str(tmp_path / "joint.bin")
    run(*prove, *other, "--account", "0x" + "ad" * 20, "book.json", "opening.json", *offline, "--proof", joint)
    (transaction,) = json.loads(Path(tx).read_text())
    assert transaction["to"] == deployment.checker
    assert len(transaction["data"]) > 2 * 5000
    call_path = str(tmp_path / "call.json")
    ask = ("chain", "verify", "--deployment", output, "--nonce", "ab" * 32, *prove[4:], "--calldata", call_path)
    run(*ask, "--account", "commitment.json", "--account", "commitment.json", joint)
    (call,) = json.loads(Path(call_path).read_text())
    assert (call["from"], call["to"]) == (deployment.checker, deployment.joint_verifier)
    assert call["data"][-2048:] == transaction["data"][-2048:]
    assert "chain proof" in run(*ask, "--commitment", "commitment.json", joint, code=1)
    assert "given twice" in run(*prove, *other, *other, *offline, code=2)
    above = ("--claim", "65535")
    assert "false" in run(*prove, *other, *above, *offline, code=1)


def encode_call_selector(name: str) -> str:
    found = next(e for e in artefacts.artefact("SnapshotRegistry").abi if e.get("name") == name)
    assert found["type"] == "function"
    arguments: list[Json] = [([], 0, [], 0, bytes(32)), (bytes(32), 0, bytes(32), bytes(32), bytes(32), 0, 0), []]
    return encode_call("SnapshotRegistry", name, arguments)[:4].hex()


def test_signatures_are_read_ordered_and_refused(run: Said) -> None:
    del run
    document = {
        "primaryType": "CommitmentPart",
        "types": {},
        "domain": {},
        "message": {},
    }
    with pytest.raises(InputError, match="not typed data"):
        read_typed_data(document)
    values: tuple[Json, ...] = (None, [], "x", {"primaryType": "Other"})
    for value in values:
        with pytest.raises(InputError, match="not typed data"):
            read_typed_data(value)
    for text in ("", "0x12", "{}", "{", '{"signature": 5}', "zz" * 65):
        with pytest.raises(InputError, match="no signature"):
            read_signature(text)
    with pytest.raises(InputError, match="low s"):
        compacted(bytes(32) + b"\xff" * 32 + b"\x1b")


def test_signers_are_found_and_put_in_order() -> None:
    from zkmargin.chain.typed_data import snapshot_table

    fields: Keywords = dict.fromkeys(("series", "snapshot", "policy", "table"), bytes(32))
    typed = snapshot_table(1, ACCOUNT, **fields, sequence=1, time=2, expiry=3)
    made = {key.address: bytes(key.unsafe_sign_hash(typed.digest).signature) for key in KEYS}
    for address, signature in made.items():
        assert signer_of(typed, signature) == address
    ordered = sorted(made, key=lambda address: int(address, 16))
    assert in_order(typed, list(made.values())) == [compacted(made[address]) for address in ordered]
    assert read_typed_data(typed.document()) == typed


def test_rules_refuse_what_no_registry_takes() -> None:
    fields: Keywords = {
        "attesters": (KEYS[0].address, KEYS[1].address),
        "threshold": 2,
        "policies": ("00" * 32,),
        "lifetime_seconds": 60,
        "position_attesters": (KEYS[0].address,),
        "collateral_attesters": (KEYS[0].address,),
        "num": 1,
        "den": 1,
        "lag": 0,
        "period_seconds": 60,
        "window_blocks": 10,
    }
    assert len(Rules(**fields).series) == 32
    assert Rules(**fields | {"attesters": fields["attesters"][::-1]}).series == Rules(**fields).series
    for change in ({"threshold": 3}, {"attesters": (KEYS[0].address, KEYS[0].address.lower())}):
        with pytest.raises(InputError):
            Rules(**fields | change)


def test_errors_of_contracts_have_names() -> None:
    assert error_name(error_selector("ProofRejected()")) == "ProofRejected()"
    assert error_name(error_selector("PointAtInfinity(uint256)") + (3).to_bytes(32, "big")) == "PointAtInfinity(3)"
    assert "without a reason" in error_name(b"")
    assert error_name(b"\1\2\3\4") == error_text(b"\1\2\3\4") == "reverted with 0x01020304"
    assert error_text(error_selector("ProofRejected()")).startswith("ProofRejected(): every part is well-formed")
    assert "number is not one more" in error_text(error_selector("OldSequence()"))
    assert "; or the series has a later table" in error_text(error_selector("OldSequence()"))


def test_every_error_of_the_contracts_says_what_it_means() -> None:
    for contract in artefacts.names():
        for entry in artefacts.artefact(contract).abi:
            if entry["type"] == "error":
                signature = f"{entry['name']}({','.join(i['type'] for i in entry['inputs'])})"
                values = bytes(32 * len(entry["inputs"]))
                assert ": " in error_text(error_selector(signature) + values), f"{contract}: {signature}"


def test_damaged_artefacts_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(artefacts.names()) == {
        "CommitmentRegistry",
        "MarginChecker",
        "MarginJointVerifier",
        "MarginVerifier",
        "SnapshotRegistry",
        "TailsMarginJointVerifier",
        "TailsMarginVerifier",
        "WideMarginJointVerifier",
        "WideMarginVerifier",
    }
    version, settings = artefacts.compiler()
    assert version.startswith("0.8.37")
    assert settings["viaIR"]
    changed = tmp_path / "contracts.json"
    changed.write_bytes(artefacts.CONTRACTS_FILE.read_bytes() + b"\n")
    monkeypatch.setattr(artefacts, "CONTRACTS_FILE", changed)
    artefacts._document.cache_clear()
    try:
        with pytest.raises(SetupError, match="damaged"):
            artefacts.names()
    finally:
        artefacts._document.cache_clear()


@pytest.mark.parametrize("contract", ["MarginVerifier", "MarginJointVerifier"])
def test_every_error_of_the_interface_is_raised(contract: str) -> None:
    import re

    sources = json.loads(artefacts.INPUT_FILE.read_text())["sources"]
    source = "".join(sources[f"src/{name}.sol"]["content"] for name in ("ChainVerifier", contract))
    known = {e["name"] for e in artefacts.artefact(contract).abi if e["type"] == "error"}
    raised = set(re.findall(r"_fail(?:At)?\((\w+)\.selector", source)) | set(re.findall(r"revert (\w+)\(\)", source))
    assert raised == known


def test_constants_of_the_contract_are_the_setups() -> None:
    import re

    from zkmargin.crypto.domain import Domain
    from zkmargin.crypto.field import r
    from zkmargin.crypto.srs import embedded

    source = json.loads(artefacts.INPUT_FILE.read_text())["sources"]["src/ChainVerifier.sol"]["content"]
    found = {name: int(value, 16) for name, value in re.findall(r"constant (\w+) = (0x[0-9a-f]{64});", source)}
    omega = Domain.of(1024).omega
    expected = {
        "R": r,
        "R_1": r - 1,
        "TWO_256": pow(2, 256, r),
        "OMEGA": omega,
        "OMEGA_INV": pow(omega, -1, r),
        "OMEGA_INV_4": pow(omega, -4, r),
        "OMEGA_INV_16": pow(omega, -16, r),
        "OMEGA_INV_46": pow(omega, -46, r),
        "OMEGA_INV_55": pow(omega, -55, r),
        "OMEGA_INV_64": pow(omega, -64, r),
        "OMEGA_INV_144": pow(omega, -144, r),
        "OMEGA_64": pow(omega, 64, r),
        "OMEGA_256": pow(omega, 256, r),
        "OMEGA_INV_256": pow(omega, -256, r),
        "N_INV": pow(1024, -1, r),
        "OMEGA_1_INV": pow(omega - 1, -1, r),
        "SRS_DIGEST": int.from_bytes(embedded().digest, "big"),
    }
    assert found == expected
    words = re.findall(r"0x(0{32}[0-9a-f]{32})\)", source)
    low = re.findall(r"0x([0-9a-f]{64})\)", source)
    p = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
    tau = bytes(embedded().g2_bytes[192:])
    y = [(p - int.from_bytes(tau[i : i + 48], "big")).to_bytes(48, "big") for i in (96, 144)]
    coordinates = [bytes(embedded().g1_bytes[i : i + 48]) for i in (0, 48)]
    coordinates += [bytes(embedded().g2_bytes[i : i + 48]) for i in (0, 48, 96, 144)]
    coordinates += [tau[:48], tau[48:96], *y]
    for coordinate in coordinates:
        assert "0" * 32 + coordinate[:16].hex() in words
        assert coordinate[16:].hex() in low
