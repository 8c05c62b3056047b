"""Trust files, challenges and receipts on the command line."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest
from support.command_line import Run
from support.desk import (
    ATTESTED,
    LIMIT,
    PROVE,
    SIGN,
    TRUSTED,
    VERIFY,
    WORDS,
    desk_files,
    quick_scrypt,
    replaced,
    run_at,
    save_trust,
    weak_policy,
)
from support.example_files import placed
from support.typed import Keywords

from zkmargin.cli import main
from zkmargin.engine.book import Book
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.formats import save_document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return placed(desk_files(), tmp_path / "copy")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return run_at(folder, capsys, monkeypatch)


@pytest.fixture
def weak(tmp_path: Path) -> Path:
    return weak_policy(tmp_path / "weak.json")


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
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
