"""Keys, attestations, trust, challenges and receipts on the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import Run
from support.typed import Keywords, Passed

import zkmargin.crypto.keys
from zkmargin.cli import main
from zkmargin.engine.book import Book
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.formats import save_document

WORDS = "correct horse battery"
LIMIT = "collateral USDC >= 1"


def quick_scrypt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An oracle, a venue, a custodian, a market maker and a verifier, each with the files it makes, and a proof."""
    home = tmp_path_factory.mktemp("trust")
    market = example_market(format_time(time.time_ns() // 1_000_000 // 1000 * 1000))
    save_document(market, home / "market.json")
    save_document(Book.model_validate(example_book(market)), home / "book.json")
    (home / "pass").write_text(f"{WORDS}\n")
    (home / "pass").chmod(0o600)
    lines = ["snapshot build market.json --policy default --domain-size 512 -o snapshot.json"]
    schemes = {"oracle": "bls", "second": "bls", "venue": "bls", "custodian": "ed25519", "desk": "ed25519"}
    lines += [
        f"key new --name {name} --scheme {scheme} --passphrase-file pass -o {name}.key --public {name}.pub"
        for name, scheme in schemes.items()
    ]
    commit = "commit book.json --snapshot snapshot.json --alias maker"
    own = "--account maker --snapshot snapshot.json --book book.json --opening opening.json --sequence 3 --valid 1h"
    oracle = "attest snapshot snapshot.json --market market.json --policy default --sequence 7"
    sign = "--passphrase-file pass --key"
    lines += [
        f"{commit} -o commitment.json --opening opening.json",
        f"{oracle} {sign} oracle.key -o snapshot-1.json",
        f"{oracle} {sign} second.key -o snapshot-2.json",
        "attest combine snapshot-1.json snapshot-2.json --aggregate -o snapshot-both.json",
        f"attest commitment commitment.json --role positions --issuer venue {own} {sign} venue.key -o positions.json",
        (
            f"attest commitment commitment.json --role collateral --issuer custodian {own} {sign} custodian.key "
            "--beneficiary desk -o collateral.json"
        ),
        "challenge new --audience desk --lifetime 1h -o challenge.json",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        quick_scrypt(patch)
        for line in lines:
            assert main(line.split()) == 0, line
        save_trust(home)
        assert main([*PROVE, "--challenge", "challenge.json", "--also", LIMIT, "-o", "proof.bin"]) == 0
    return home


PROVE = ["prove", "--snapshot", "snapshot.json", "--book", "book.json", "--opening", "opening.json"]
VERIFY = [
    "verify",
    "--snapshot",
    "snapshot.json",
    "--commitment",
    "commitment.json",
    "--challenge",
    "challenge.json",
    "--also",
    LIMIT,
]
ATTESTED = [word for name in ("snapshot-both", "positions", "collateral") for word in ("--attestation", f"{name}.json")]
TRUSTED = [*VERIFY, "--trust", "trust.json", *ATTESTED]


def save_trust(home: Path, name: str = "trust.json", **changes: Passed) -> None:
    names = ("oracle", "second", "venue", "custodian", "desk")
    trust = {
        "format": "zkmargin/trust/v2",
        "verifier": "desk",
        "beneficiary": "desk",
        "keys": [json.loads((home / f"{n}.pub").read_text()) for n in names],
        "snapshots": [
            {"name": "main", "signers": ["oracle", "second"], "threshold": 2, "max_age_seconds": 86_400}
            | {"policies": [load_policy("default").digest().hex()]}
        ],
        "positions": [{"name": "venue", "signers": ["venue"], "threshold": 1}],
        "collateral": [{"name": "custodian", "signers": ["custodian"], "threshold": 1}],
        "receipts": [{"name": "desk", "signers": ["desk"], "threshold": 1}],
    }
    (home / name).write_text(json.dumps(trust | changes))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a line in the folder; expects an exit code, and exactly one error line unless it is 0."""
    monkeypatch.chdir(folder)
    quick_scrypt(monkeypatch)

    return Run(capsys, one_error=True)


def replaced(words: list[str], old: str, new: str) -> list[str]:
    assert old in words
    return [new if word == old else word for word in words]


# Verification


def test_verify_says_who_attested_what(run: Run) -> None:
    out = run(TRUSTED, "proof.bin").out
    assert "attested by 'main' as number 7, signed by 'oracle', 'second'" in out
    assert "attested by 'venue' as number 3, signed by 'venue', until" in out
    assert "attested by 'custodian' as number 3, signed by 'custodian', held for 'desk'" in out
    assert f"limit        {LIMIT}" in out
    assert "the challenge for 'desk'" in out
    assert "not authenticated" not in out
    assert "that the signers told the truth" in out


def test_verify_json(run: Run) -> None:
    facts = run(TRUSTED, "proof.bin", "--json").json
    assert facts["accepted"]
    assert facts["limits"] == [LIMIT]
    assert facts["trust"]["verifier"] == "desk"
    assert facts["snapshot"]["attested"]["signers"] == ["oracle", "second"]
    by = {part["role"]: part["attested"] for part in facts["commitments"]}
    assert all(part["authenticated"] for part in facts["commitments"])
    assert by["positions"]["by"] == "venue"
    assert by["collateral"]["beneficiary"] == "desk"


def test_without_trust_nothing_is_authenticated(run: Run) -> None:
    out = run(VERIFY, "proof.bin").out
    assert out.count("not authenticated by itself") == 2
    assert "without a trust file nobody has signed anything" in out
    facts = run(VERIFY, "proof.bin", "--json").json
    assert facts["trust"] is None
    assert not any(part["authenticated"] for part in facts["commitments"])


def test_attestation_without_trust_is_a_mistake(run: Run) -> None:
    assert "means nothing without --trust" in run([*VERIFY, *ATTESTED], "proof.bin", code=2).err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([*VERIFY, "--trust", "trust.json"], "nobody signed the snapshot"),
        (replaced(TRUSTED, "snapshot-both.json", "snapshot-1.json"), "1 of 2 signatures (oracle)"),
        (replaced(TRUSTED, "positions.json", "positions.json")[:-2], "nobody attested the collateral part"),
        (TRUSTED[:-4] + TRUSTED[-2:], "nobody attested the positions part"),
    ],
)
def test_refused_attestations_are_rejections(run: Run, words: list[str], reason: str) -> None:
    assert f"proof.bin: rejected: {reason}" in run(words, "proof.bin", code=1).err.replace("main: ", "")
    facts = run(words, "proof.bin", "--json", code=1).json
    assert facts["accepted"] is False


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verifier": "other"}, "addressed to 'desk', not to 'other'"),
        ({"beneficiary": "other"}, "is held for 'desk', not for 'other'"),
        ({"positions": [{"name": "other", "signers": ["venue"], "threshold": 1}]}, "positions by 'venue'"),
        ({"positions": [{"name": "venue", "signers": ["oracle"], "threshold": 1}]}, "0 of 1 signatures"),
    ],
)
def test_another_trust_file(run: Run, folder: Path, changes: Keywords, reason: str) -> None:
    save_trust(folder, "other-trust.json", **changes)
    assert reason in run(replaced(TRUSTED, "trust.json", "other-trust.json"), "proof.bin", code=1).err


def test_stale_by_the_trust_file(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 90_000 * 10**9)
    words = [word for word in TRUSTED if word not in ("--challenge", "challenge.json")]
    context = json.loads(run("challenge show challenge.json --json").out)["context"]
    assert "the snapshot is stale" in run([*words, "--context", context], "proof.bin", code=1).err
    assert "deadline has passed" in run(TRUSTED, "proof.bin", code=1).err
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trust", "{}"),
        ("trust", '{"format": "zkmargin/trust/v3"}'),
        ("snapshot-both", "[1]"),
        ("challenge", '{"format"'),
    ],
)
def test_malformed_files_are_bad_input(run: Run, folder: Path, name: str, text: str) -> None:
    (folder / "bad.json").write_text(text)
    assert "bad.json" in run(replaced(TRUSTED, f"{name}.json", "bad.json"), "proof.bin", code=2).err


def test_challenge_is_the_context(run: Run) -> None:
    assert "give one of the two" in run([*TRUSTED, "--context", "x"], "proof.bin", code=2).err
    context = run("challenge show challenge.json --json").json["context"]
    words = [word for word in TRUSTED if word not in ("--challenge", "challenge.json")]
    run([*words, "--context", context], "proof.bin")
    run("challenge new --audience desk -o other.json")
    assert "rejected" in run(replaced(TRUSTED, "challenge.json", "other.json"), "proof.bin", code=1).err


def test_limits_are_part_of_the_statement(run: Run) -> None:
    other = replaced(TRUSTED, LIMIT, "collateral USDC >= 2")
    assert "rejected" in run(other, "proof.bin", code=1).err
    assert "not a limit" in run(replaced(TRUSTED, LIMIT, "luck >= 2"), "proof.bin", code=2).err


def test_prove_also(run: Run, folder: Path) -> None:
    high = "collateral USDC >= 999999999999"
    assert "the limit is not kept" in run(PROVE, "--also", high, "-o", "no.bin", code=1).err
    assert not (folder / "no.bin").exists()
    two = ["--also", "headroom >= 1", "--also", LIMIT]
    out = run(PROVE, *two, "-o", "two.bin").out
    assert f"and {LIMIT}" in out
    words = ["verify", "--snapshot", "snapshot.json", "--commitment", "commitment.json"]
    run(words, *two, "two.bin")
    run(words, *two[2:], *two[:2], "two.bin", code=1)
    run(words, "two.bin", code=1)
    check = ["check", "--snapshot", "snapshot.json", "--book", "book.json"]
    assert "kept: headroom >= 1" in run(check, *two).out
    assert "not kept" in run(check, "--also", high, code=1).err
    elements = run(["inspect", "two.bin", "--snapshot", "snapshot.json", "--json"], *two).json["elements"]
    assert "phi" in elements


# Receipts


def test_receipt_can_be_run_again(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ["--receipt-key", "desk.key", "--passphrase-file", "pass"]
    run(TRUSTED, "proof.bin", "--receipt", "receipt.json", *key)
    shown = run("inspect receipt.json").out
    assert "verifies" in shown
    assert "venue" in shown
    # Years later, when everything has expired:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10**18)
    run(TRUSTED, "proof.bin", code=1)
    out = run(TRUSTED, "proof.bin", "--rerun", "receipt.json").out
    time_of = json.loads((folder / "receipt.json").read_text())["payload"]["time"]
    assert f"as of {time_of}, by the receipt of 'desk': this machine's clock was not asked" in out
    rerun = run(TRUSTED, "proof.bin", "--rerun", "receipt.json", "--json").json["rerun"]
    assert rerun == {"time": time_of, "verifier": "desk", "signers": ["desk"]}
    save_trust(folder, "other-trust.json", clock_skew_seconds=31)
    other = replaced(TRUSTED, "trust.json", "other-trust.json")
    assert (
        "another acceptance than the receipt's: trust" in run(other, "proof.bin", "--rerun", "receipt.json", code=1).err
    )
    forged = json.loads((folder / "receipt.json").read_text())
    forged["payload"]["software"] = "zkmargin 0"
    (folder / "forged.json").write_text(json.dumps(forged))
    refused = run(TRUSTED, "proof.bin", "--rerun", "forged.json", code=1).err
    assert "the signature of desk does not verify" in refused


def test_t4_a_rerun_takes_its_clock_from_nobody_unknown(run: Run, folder: Path) -> None:
    """Whoever has the public files and the trust file could write such a receipt, with any time in it."""
    run(TRUSTED, "proof.bin", "--receipt", "plain.json")
    assert "not signed by anyone" in run(TRUSTED, "proof.bin", "--rerun", "plain.json", code=1).err
    mallory = ["--receipt", "mallory.json", "--receipt-key", "second.key", "--passphrase-file", "pass"]
    run(TRUSTED, "proof.bin", *mallory)
    refused = run(TRUSTED, "proof.bin", "--rerun", "mallory.json", code=1).err
    assert "0 of 1 signatures; 1 not counted: by a key that is not trusted for this" in refused
    save_trust(folder, "no-receipts.json", receipts=[])
    own = ["--receipt", "receipt.json", "--receipt-key", "desk.key", "--passphrase-file", "pass"]
    words = replaced(TRUSTED, "trust.json", "no-receipts.json")
    run(words, "proof.bin", *own)
    refused = run(words, "proof.bin", "--rerun", "receipt.json", code=1).err
    assert "trusts no receipts of the verifier" in refused
    assert "hint: the trust file says whose signatures count" in refused  # nothing is wrong with the proof
    assert "needs --trust" in run(VERIFY, "proof.bin", "--rerun", "receipt.json", code=2).err


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--receipt", "again.json"], "a new receipt would be back-dated"),
        (["--max-age", "10m"], "not by this machine's clock"),
        (["--ledger", "ledger.db"], "nothing is recorded"),
    ],
)
def test_t4_a_rerun_makes_nothing_that_looks_fresh(run: Run, folder: Path, option: list[str], reason: str) -> None:
    run(TRUSTED, "proof.bin", "--receipt", "r.json", "--receipt-key", "desk.key", "--passphrase-file", "pass")
    assert reason in run(TRUSTED, "proof.bin", "--rerun", "r.json", *option, code=2).err
    assert not (folder / "again.json").exists()
    assert not (folder / "ledger.db").exists()


# The policy


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that nearly never charges, and calls itself "default"."""
    value = json.loads(load_policy("default").to_bytes())
    part = next(part for part in value["components"] if part["type"] == "worst_scenario")
    part["grid"].update(price_moves_bp=[-1, 0, 1], vol_moves_bp=[0], tails=[])
    part["overrides"] = {}
    path = tmp_path_factory.mktemp("weak") / "weak.json"
    path.write_text(json.dumps(value))
    return path


SIGN = ["--sequence", "8", "--key", "oracle.key", "--passphrase-file", "pass", "-o", "signed.json"]


def test_t1_attest_snapshot_signs_its_own_policy_only(run: Run, folder: Path, weak: Path) -> None:
    run(["snapshot", "build", "market.json", "--policy", str(weak), "--domain-size", "512", "-o", "weak.json"])
    words = ["attest", "snapshot", "weak.json", "--market", "market.json"]
    refused = run([*words, "--policy", "default"], *SIGN, code=2).err
    assert "was built with another policy than yours" in refused
    assert load_policy("default").digest().hex() in refused
    assert not (folder / "signed.json").exists()
    assert "--policy" in run(words, *SIGN, code=2).err
    run([*words, "--policy", str(weak)], *SIGN)
    shown = run("inspect signed.json --json").json
    assert shown["policy"] == load_policy(weak).digest().hex()


def test_t1_everything_that_shows_a_policy_says_what_its_name_is_worth(run: Run, weak: Path) -> None:
    run(["snapshot", "build", "market.json", "--policy", str(weak), "--domain-size", "512", "-o", "weak.json"])
    digest, words = load_policy(weak).digest().hex(), "NOT the one that ships under that name"
    for line in ("snapshot show weak.json", "snapshot check weak.json market.json", f"policy show {weak}"):
        out = "".join(run(line).out.split())  # tables wrap
        assert words.replace(" ", "") in out
        assert digest in out
    for line in ("inspect weak.json", f"inspect {weak}"):
        facts = run(f"{line} --json").json
        assert (facts.get("policy") or facts)["shipped"] == "altered"
    assert "the one that ships with this program" in run(VERIFY, "proof.bin").out
    policy = run(VERIFY, "proof.bin", "--json").json["snapshot"]["policy"]
    assert policy["shipped"] == "as shipped"
    assert policy["digest"] == load_policy("default").digest().hex()


def test_t1_verify_and_check_against_ones_own_policy(run: Run, weak: Path) -> None:
    run(TRUSTED, "proof.bin", "--policy", "default")
    refused = run(TRUSTED, "proof.bin", "--policy", str(weak), code=1).err
    assert "is not the verifier's own policy" in refused
    run("snapshot check snapshot.json market.json --policy default")
    run(["snapshot", "check", "snapshot.json", "market.json", "--policy", str(weak)], code=1)


def test_t1_the_trust_file_pins_the_policy(run: Run, folder: Path, weak: Path) -> None:
    rule = {"name": "main", "signers": ["oracle", "second"], "threshold": 2, "max_age_seconds": 86_400}
    save_trust(folder, "other.json", snapshots=[rule | {"policies": [load_policy(weak).digest().hex()]}])
    refused = run(replaced(TRUSTED, "trust.json", "other.json"), "proof.bin", code=1).err
    assert "is not a policy that the trust file allows for the series 'main'" in refused
    check = "snapshot check snapshot.json market.json --attestation snapshot-both.json --trust"
    assert "is not a policy that the trust file allows" in run(f"{check} other.json", code=1).err
    run(f"{check} trust.json")


def test_t1_a_trust_file_of_version_1_says_what_it_lacks(run: Run, folder: Path) -> None:
    save_trust(folder, "old.json")
    value = json.loads((folder / "old.json").read_text()) | {"format": "zkmargin/trust/v1"}
    del value["receipts"], value["snapshots"][0]["policies"]
    (folder / "old.json").write_text(json.dumps(value))
    out = run(replaced(TRUSTED, "trust.json", "old.json"), "proof.bin").out
    assert "version 1: it pins no policy, revokes nothing and requires no part" in out


# Revocations


def test_t2_revoke_a_key_and_an_attestation(run: Run, folder: Path) -> None:
    save_trust(folder, revocations=[{"name": "group", "signers": ["desk"], "threshold": 1, "max_age_seconds": 3600}])
    sign = ["--key", "desk.key", "--passphrase-file", "pass"]
    assert "give its newest with --revocations" in run(TRUSTED, "proof.bin", code=1).err
    run(["attest", "revoke", "--issuer", "group", "--sequence", "1"], *sign, "-o", "none.json")
    run(TRUSTED, "proof.bin", "--revocations", "none.json")
    later = [
        "attest",
        "revoke",
        "--issuer",
        "group",
        "--sequence",
        "2",
        "--previous",
        "none.json",
        "--reason",
        "stolen",
    ]
    run([*later, "--revoke-key", "venue.pub"], *sign, "-o", "key.json")
    assert "by a key that is revoked" in run(TRUSTED, "proof.bin", "--revocations", "key.json", code=1).err
    run([*later, "--revoke", "collateral.json"], *sign, "-o", "attestation.json")
    refused = run(TRUSTED, "proof.bin", "--revocations", "attestation.json", code=1).err
    assert "custodian: the attestation is revoked" in refused
    shown = run("inspect key.json").out
    assert "stolen" in shown
    assert "is no earlier list" in run([*later, "--previous", "key.json"], *sign, "-o", "x.json", code=2).err


def test_t3_the_account_is_named_by_who_attests(run: Run) -> None:
    own = "--snapshot snapshot.json --book book.json --opening opening.json --sequence 4 --valid 1h --issuer venue"
    line = (
        f"attest commitment commitment.json --role positions {own} --key venue.key --passphrase-file pass -o out.json"
    )
    assert "--account" in run(line, code=2).err
    assert "is of another account than 'taker'" in run(f"{line} --account taker", code=2).err
    run(f"{line} --account maker")


def test_no_receipt_of_a_rejection(run: Run, folder: Path) -> None:
    run(VERIFY, "--trust", "trust.json", "--receipt", "never.json", "proof.bin", code=1)
    assert not (folder / "never.json").exists()
    assert "give --receipt" in run(VERIFY, "--receipt-key", "desk.key", "proof.bin", code=2).err


def test_unsigned_receipt_says_so(run: Run) -> None:
    run(VERIFY, "--receipt", "plain.json", "proof.bin")
    assert "none: whoever has the file" in run("inspect plain.json").out


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


# Attesting


OWN = (
    "--snapshot snapshot.json --sequence 4 --valid 1h --issuer venue --account maker "
    "--key venue.key --passphrase-file pass -o made"
)


def test_signer_recomputes_the_commitment(run: Run, folder: Path) -> None:
    book = json.loads((folder / "book.json").read_text())
    name = next(iter(book["positions"]))
    book["positions"][name] = "0"
    (folder / "other-book.json").write_text(json.dumps(book))
    (folder / "other-book.json").chmod(0o600)
    line = f"attest commitment commitment.json --role positions {OWN} --opening opening.json --book"
    assert "is not to what the book says: do not sign it" in run(f"{line} other-book.json", code=2).err
    assert not (folder / "made").exists()
    run(f"{line} book.json")
    run("commit book.json --snapshot snapshot.json --alias maker -o c2.json --opening o2.json")
    other = f"attest commitment commitment.json --role positions {OWN} --book book.json --opening o2.json"
    assert "the opening is of another commitment" in run(other, code=2).err


def test_signer_says_how_the_commitment_is_known(run: Run) -> None:
    line = f"attest commitment commitment.json --role positions {OWN}"
    assert "give --book and --opening" in run(line, code=2).err
    assert "give --book and --opening" in run(f"{line} --book book.json", code=2).err
    assert "give --book and --opening" in run(f"{line} --book book.json --opening opening.json --computed", code=2).err
    run(f"{line} --computed")
    other = line.replace("--account maker", "--account somebody")
    assert "another account" in run(f"{other} --computed", code=2).err


def test_beneficiary_is_for_collateral(run: Run) -> None:
    line = f"attest commitment commitment.json {OWN} --computed --role"
    assert "name them" in run(f"{line} collateral", code=2).err
    assert "for collateral only" in run(f"{line} positions --beneficiary x", code=2).err


def test_signer_checks_the_universe(run: Run) -> None:
    run("snapshot build market.json --policy default --domain-size 1024 -o other-snapshot.json")
    line = f"attest commitment commitment.json --role positions {OWN} --computed"
    err = run(line.replace("snapshot.json", "other-snapshot.json"), code=2).err
    assert "made over 512 rows, the snapshot has 1024" in err


def test_snapshot_is_rebuilt_before_it_is_signed(run: Run, folder: Path) -> None:
    market = json.loads((folder / "market.json").read_text())
    market["source"] = "another"
    (folder / "other-market.json").write_text(json.dumps(market))
    line = (
        "attest snapshot snapshot.json --market other-market.json --policy default --sequence 9 "
        "--key oracle.key --passphrase-file pass"
    )
    assert "another market" in run(f"{line} -o never.json", code=2).err
    assert not (folder / "never.json").exists()


def test_combine_refuses_different_things(run: Run) -> None:
    assert "something else" in run("attest combine snapshot-1.json positions.json -o x.json", code=2).err


def test_snapshot_check_with_attestations(run: Run, folder: Path) -> None:
    line = "snapshot check snapshot.json market.json --trust trust.json --attestation"
    assert "number 7 of 'main', signed by 'oracle', 'second'" in run(f"{line} snapshot-both.json").out
    assert run(f"{line} snapshot-1.json --attestation snapshot-2.json --json").json["attested"]["sequence"] == 7
    assert "1 of 2 signatures" in run(f"{line} snapshot-1.json", code=1).err
    assert "not a snapshot" in run(f"{line} positions.json", code=2).err
    assert "belong together" in run("snapshot check snapshot.json market.json --trust trust.json", code=2).err
    run("snapshot build market.json --policy default --domain-size 1024 -o other-snapshot.json")
    assert (
        "is another snapshot"
        in run(line.replace(" snapshot.json", " other-snapshot.json") + " snapshot-both.json", code=1).err
    )
    assert folder.is_dir()


def test_scripts_get_json(run: Run, folder: Path) -> None:
    key = run("key new --name robot --scheme ed25519 --passphrase-file pass -o robot.key --json").json
    assert key == {"output": "robot.key", "public": None, **run("key show robot.key --json").json}
    assert "zkmargin key show robot2.key -o FILE" in run("key new --name r --passphrase-file pass -o robot2.key").out
    challenge = run("challenge new --audience desk --lifetime 90s -o c.json --json").json
    assert challenge["context"] == f"zkmargin/challenge/v1 {challenge['digest']}"
    line = (
        "attest snapshot snapshot.json --market market.json --policy default --sequence 8 "
        "--key oracle.key --passphrase-file pass"
    )
    attested = run(f"{line} -o a.json --json").json
    assert attested["payload"]["sequence"] == 8
    assert attested["signatures"] == 1
    piped = run(line)
    assert json.loads(piped.out)["payload"] == attested["payload"]
    assert "attested: snapshot, number 8" in piped.err
    assert (folder / "a.json").exists()


def test_challenge_in_words_and_its_mistakes(run: Run) -> None:
    out = run("challenge show challenge.json").out
    assert "open, by this machine's clock" in out
    assert "context   zkmargin/challenge/v1 " in out
    assert "--lifetime" in run("challenge new --audience desk --lifetime soon -o c.json", code=2).err
    assert "from a second to a year" in run("challenge new --audience desk --lifetime 0s -o c.json", code=2).err
    assert "audience" in run(["challenge", "new", "--audience", "", "-o", "c.json"], code=2).err
    assert "--name" in run(["key", "new", "--name", "", "--passphrase-file", "pass", "-o", "k"], code=2).err


def test_signer_of_another_universe_or_of_two_parts(run: Run, folder: Path) -> None:
    line = f"attest commitment commitment.json --role positions {OWN} --computed"
    value = json.loads((folder / "commitment.json").read_text())
    for change, reason in (
        ({"srs": "00" * 32}, "another structured reference string"),
        ({"parts": [part | {"slot_map": "00" * 32} for part in value["parts"]]}, "other slots"),
        ({"parts": value["parts"] * 2}, "2 parts of positions"),
        ({"parts": [part for part in value["parts"] if part["role"] != "positions"]}, "0 parts of positions"),
    ):
        (folder / "commitment.json").write_text(json.dumps(value | change))
        assert reason in run(line, code=2).err
        assert not (folder / "made").exists()


@pytest.mark.parametrize("option", ["--issuer", "--part", "--beneficiary"])
@pytest.mark.parametrize("text", ["", "x" * 201, "a\nb", "\u202eb"], ids=["empty", "long", "line end", "override"])
def test_names_are_printable(run: Run, option: str, text: str) -> None:
    role = "collateral" if option == "--beneficiary" else "positions"
    line = f"attest commitment commitment.json --role {role} {OWN} --computed".split()
    assert f"{option}: 1 to 200 printable characters" in run([*line, option, text], code=2).err
    line = [
        *[
            "attest",
            "snapshot",
            "snapshot.json",
            "--market",
            "market.json",
            "--policy",
            "default",
            "--sequence",
            "8",
            "--key",
            "oracle.key",
        ]
    ]
    assert "--series: 1 to 200" in run([*line, "--series", text], code=2).err


@pytest.mark.parametrize("more", ["--valid 999999999d", "--valid 0s", "--issued yesterday"])
def test_times_that_are_none(run: Run, folder: Path, more: str) -> None:
    run(f"attest commitment commitment.json --role positions {OWN} --computed {more}", code=2)
    assert not (folder / "made").exists()


def test_book_beyond_the_stated_bits_is_not_signed(run: Run, folder: Path) -> None:
    for name in ("commitment.json", "opening.json"):
        value = json.loads((folder / name).read_text())
        value["parts"] = [part | {"bits": 1} for part in value["parts"]]
        (folder / name).write_text(json.dumps(value))
    line = f"attest commitment commitment.json --role positions {OWN} --book book.json --opening opening.json"
    assert "more than the 1 bits that it states" in run(line, code=2).err


# Inspect


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("venue.key", ["SECRET", "scrypt (N = 2^14", "chacha20-poly1305"]),
        ("venue.pub", ["a public key", "possession"]),
        ("positions.json", ["an attestation of a commitment to positions", "venue", "verifies"]),
        ("snapshot-both.json", ["an attestation of a snapshot", "main", "verifies"]),
        ("trust.json", ["a trust file", "main: 2 of oracle, second"]),
        ("challenge.json", ["a verifier's challenge", "zkmargin/challenge/v1 "]),
    ],
)
def test_inspect_explains_every_new_file(run: Run, name: str, words: list[str]) -> None:
    out = run(["inspect", name]).out
    assert all(word in out for word in words), out
    assert run(["inspect", name, "--json"]).json["format"]


def test_expired_challenge_warns_the_prover(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 90_000 * 10**9)
    assert "deadline has passed" in run(PROVE, "--challenge", "challenge.json", "-o", "late.bin").err
    assert run("challenge show challenge.json --json").json["open"] is False


def test_verifying_bls_attestations_loads_no_cryptography_package(run: Run, folder: Path) -> None:
    """A cold start stays quick: the package is imported only for Ed25519 and for encrypted keys."""
    own = "--snapshot snapshot.json --book book.json --opening opening.json --sequence 5 --valid 1h"
    run(
        f"attest commitment commitment.json --role collateral --issuer venue --beneficiary desk {own} "
        "--account maker --key venue.key --passphrase-file pass -o bls-collateral.json"
    )
    keys = [json.loads((folder / f"{n}.pub").read_text()) for n in ("oracle", "second", "venue")]
    venue = [{"name": "venue", "signers": ["venue"], "threshold": 1}]
    save_trust(folder, "bls-trust.json", keys=keys, collateral=venue, receipts=[])
    words = replaced(replaced(TRUSTED, "trust.json", "bls-trust.json"), "collateral.json", "bls-collateral.json")
    script = (
        "import sys; from zkmargin.cli import main; code = main(sys.argv[1:]);"
        "assert 'cryptography' not in sys.modules; assert 'numba' not in sys.modules; sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *words, "proof.bin"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


# The walk-through of the documentation


def test_walk_through_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of docs/trust.md, in its order, on files that exist only once the text has made them."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "trust.md").read_text()
    lines = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("    zkmargin ")]
    assert {" ".join(line[:1]) for line in lines} >= {"key", "attest", "challenge", "prove", "verify", "snapshot"}
    market = example_market(format_time(time.time_ns() // 1_000_000 // 1000 * 1000))
    book = example_book(market)
    save_document(market, tmp_path / "market.json")
    save_document(Book(positions=book["positions"]), tmp_path / "venue-record.json")
    save_document(Book(collateral=book["collateral"]), tmp_path / "custody-record.json")
    (tmp_path / "pass").write_text(f"{WORDS}\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    quick_scrypt(monkeypatch)
    for line in lines:
        if line[0] == "snapshot" and line[1] == "build":
            names = ("oracle", "venue", "custodian", "desk")
            template = text[text.index('    {"format": "zkmargin/trust/v2"') :].split("\n\n", 1)[0]
            trust = json.loads(re.sub(r'"(keys|policies)": \[.*?\]', r'"\1": []', template))
            trust["keys"] = [json.loads((tmp_path / f"{name}.public.json").read_text()) for name in names]
            trust["snapshots"][0]["policies"] = [load_policy("default").digest().hex()]
            (tmp_path / "trust.json").write_text(json.dumps(trust))
        signs = line[:2] == ["key", "new"] or {"--key", "--receipt-key"} & set(line)
        assert main([*line, *(["--passphrase-file", "pass"] if signs else [])]) == 0, (line, capsys.readouterr().err)


def test_each_proof_of_a_batch_is_judged_under_the_trust_file(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "batch"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    item: dict[str, object] = {"proof": "proof.bin", "snapshot": "snapshot.json", "commitments": ["commitment.json"]}
    item |= {"limits": [LIMIT], "challenge": "challenge.json"}
    signed = ["snapshot-both.json", "positions.json", "collateral.json"]
    items = [item | {"attestations": signed}, item | {"attestations": signed[:-1]}, item]
    Path("list.json").write_text(json.dumps({"format": "zkmargin/batch/v2", "proofs": items}))
    assert main(["verify-batch", "list.json", "--trust", "trust.json", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)["proofs"]
    assert [fact["accepted"] for fact in facts] == [True, False, False]
    assert [fact.get("check") for fact in facts] == [None, "commitment attestation", "snapshot attestation"]
    Path("one.json").write_text(json.dumps({"format": "zkmargin/batch/v2", "proofs": items[:1]}))
    assert main(["verify-batch", "one.json", "--trust", "trust.json"]) == 0
    weak = [json.loads(Path("trust.json").read_text())["snapshots"][0] | {"policies": ["00" * 32]}]
    save_trust(folder, "other.json", snapshots=weak)
    capsys.readouterr()
    assert main(["verify-batch", "one.json", "--trust", "other.json"]) == 1
    assert "the snapshot's policy" in capsys.readouterr().err
    assert main(["verify-batch", "one.json"]) == 2  # attestations that nobody asks for
