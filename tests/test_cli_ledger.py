"""``zkmargin verify --ledger`` and ``zkmargin ledger`` on both databases."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update
from support.command_line import Run
from support.typed import Passed

from benchmarks.attested import attested_parts, new_signer
from zkmargin.accounts import Commitment
from zkmargin.app.evidence import Evidence
from zkmargin.app.ledgers import limit_text
from zkmargin.cli import main
from zkmargin.crypto import group
from zkmargin.crypto.keys import SecretKey
from zkmargin.engine.book import Book
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import load_document, save_document
from zkmargin.ledger import Ledger, tables
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Rule, SnapshotPayload, SnapshotRule, Trust
from zkmargin.verifier.protocols import verify_any

ROOT = Path(__file__).resolve().parent.parent
NOW_MS = 1_767_323_045_000
PROVE = "prove --snapshot snapshot.json --book book.json --opening opening.json"
VERIFY = "verify --snapshot snapshot.json --commitment commitment.json"
TRUSTED = (
    f"{VERIFY} --trust trust.json --attestation oracle-5.json --attestation venue-5.json --attestation bank-5.json"
)

New = Callable[[], str]

POLICY = load_policy("default").digest().hex()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("verifier")
    market = example_market(format_time(NOW_MS))
    save_document(market, home / "market.json")
    save_document(Book.model_validate(example_book(market)), home / "book.json")
    save_document(Challenge.new("desk", lifetime_seconds=60, now_ms=NOW_MS), home / "challenge.json")
    before = Path.cwd()
    os.chdir(home)
    try:
        for line in (
            "snapshot build market.json --policy default --domain-size 512 -o snapshot.json",
            'commit book.json --snapshot snapshot.json --alias "maker 7" -o commitment.json --opening opening.json',
            f"{PROVE} -o plain.bin",
            f'{PROVE} --context "for the desk" --also "net-exposure BTC <= 1000.25" --claim 1.01 -o limited.bin',
            f"{PROVE} --challenge challenge.json -o answer.bin",
            f'{PROVE} --challenge challenge.json --also "headroom >= 1" -o second.bin',
        ):
            assert main(shlex.split(line)) == 0
    finally:
        os.chdir(before)
    snapshot = load_document(Snapshot, home / "snapshot.json")
    commitment = load_document(Commitment, home / "commitment.json")
    keys = {name: new_signer(name) for name in ("oracle", "venue", "bank", "desk")}
    (home / "pass").write_text("long enough\n")
    (home / "pass").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zkmargin.crypto.keys.SCRYPT_LOG_N", 14)
        own = SecretKey.encrypt(keys["desk"]._secret, "desk", "ed25519", "long enough")
    save_document(own, home / "desk.key.json")
    trust = Trust(
        verifier="desk",
        beneficiary="desk",
        keys=tuple(key.public for key in keys.values()),
        snapshots=(
            SnapshotRule(name="main", signers=("oracle",), threshold=1, max_age_seconds=600, policies=(POLICY,)),
        ),
        positions=(Rule(name="venue", signers=("venue",), threshold=1),),
        collateral=(Rule(name="bank", signers=("bank",), threshold=1),),
        receipts=(Rule(name="desk", signers=("desk",), threshold=1),),
    )
    save_document(trust, home / "trust.json")
    for sequence in (5, 6):
        oracle = Attestation(payload=SnapshotPayload.of(snapshot, series="main", sequence=sequence))
        save_document(oracle.signed(keys["oracle"]), home / f"oracle-{sequence}.json")
        parts = attested_parts(
            commitment,
            keys.__getitem__,
            beneficiary="desk",
            issued_ms=NOW_MS,
            expires_ms=NOW_MS + 10**8,
            sequence=sequence,
            issuers={"positions": "venue", "collateral": "bank"},
        )
        for name, attestation in zip(("venue", "bank"), parts, strict=True):
            save_document(attestation, home / f"{name}-{sequence}.json")
    return home


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in the verifier's folder, five seconds after the snapshot by the clock."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("time.time_ns", lambda: (NOW_MS + 5000) * 1_000_000)

    return Run(capsys)


def test_a_proof_is_recorded_once(run: Run, new_ledger: New) -> None:
    where = new_ledger()
    first = run(f"{VERIFY} plain.bin", "--ledger", where)
    assert "ledger       recorded in " in first.out
    again = run(f"{VERIFY} plain.bin", "--ledger", where, "--json", code=1)
    assert again.json["check"] == "replay"
    run(f"{VERIFY} plain.bin")
    assert run("ledger status", "--ledger", where, "--json").json["proofs"] == 1


def test_a_rejected_proof_is_not_recorded(run: Run, new_ledger: New) -> None:
    where = new_ledger()
    run(f"{VERIFY} limited.bin", "--ledger", where, code=1)
    run(f"{VERIFY} --max-age 1s plain.bin", "--ledger", where, code=1)
    assert run("ledger status", "--ledger", where, "--json").json["documents"] == 0


def issue(where: str, folder: Path) -> None:
    """Only challenges that a ledger issued count with it."""
    with Ledger(where) as ledger:
        ledger.issue(load_document(Challenge, folder / "challenge.json"))


def test_a_challenge_counts_once(run: Run, new_ledger: New, folder: Path) -> None:
    where = new_ledger()
    refused = run(f"{VERIFY} --challenge challenge.json answer.bin", "--ledger", where, "--json", code=1)
    assert "was not issued by this ledger" in refused.json["reason"]
    issue(where, folder)
    run(f"{VERIFY} --challenge challenge.json answer.bin", "--ledger", where)
    other = f'{VERIFY} --challenge challenge.json --also "headroom >= 1" second.bin'
    refused = run(other, "--ledger", where, "--json", code=1)
    assert refused.json["check"] == "challenge"
    run(other)


def test_what_was_seen_supersedes_older_attestations(run: Run, new_ledger: New) -> None:
    where = new_ledger()
    seen = run("ledger see venue-6.json --trust trust.json", "--ledger", where, "--json").json
    assert (seen["sequence"], seen["signers"]) == (6, ["venue"])
    assert (
        "seen: number 6 of commitment venue positions"
        in run("ledger see venue-6.json --trust trust.json", "--ledger", where).out
    )
    refused = run(f"{TRUSTED} plain.bin", "--ledger", where, "--json", code=1)
    assert refused.json["check"] == "sequence"
    run("ledger see venue-5.json --trust trust.json", "--ledger", where, code=1)
    run(f"{TRUSTED.replace('-5', '-6')} plain.bin", "--ledger", where)


def test_what_a_ledger_guarantees_is_not_called_unguaranteed(run: Run, new_ledger: New) -> None:
    limited = '--context "for the desk" --also "net-exposure BTC <= 1000.25" --claim 1.01 limited.bin'
    first = "that it is shown for the first time"
    assert first in run(f"{TRUSTED} {limited}").out
    recorded = run(f"{TRUSTED} {limited}", "--ledger", where := new_ledger()).out
    assert first not in recorded
    assert "its statement is new to this ledger, other verifiers' ledgers are not asked" in recorded
    assert "replay" in run(f"{TRUSTED} {limited}", "--ledger", where, code=1).err


def test_status_says_everything_of_an_account(run: Run, new_ledger: New, folder: Path) -> None:
    where = new_ledger()
    with Ledger(where):
        pass
    assert "0 proofs of 0 accounts" in run("ledger status", "--ledger", where).out
    limited = '--context "for the desk" --also "net-exposure BTC <= 1000.25" --claim 1.01 limited.bin'
    run(f"{TRUSTED} {limited}", "--ledger", where)
    with Ledger(where) as ledger:
        ledger.issue(load_document(Challenge, folder / "challenge.json"))
        ledger.issue(Challenge.new("desk", lifetime_seconds=2, now_ms=NOW_MS))
    facts = run("ledger status --due-after 4s", "--ledger", where, "--json").json
    (account,) = facts["accounts"]
    last = account["last"]
    snapshot = load_document(Snapshot, folder / "snapshot.json")
    assert (account["alias"], account["proofs"], account["age_seconds"], account["overdue"]) == ("maker 7", 1, 5, True)
    assert last["snapshot"] == {"name": snapshot.name, "time": snapshot.time, "digest": snapshot.digest().hex()}
    assert (last["claim"]["ratio"], last["limits"]) == ("101/100", ["net-exposure BTC <= 1000.25"])
    assert last["accepted"] == format_time(NOW_MS + 5000)
    assert [challenge["overdue"] for challenge in facts["open_challenges"]] == [True, False]
    text = run("ledger status --due-after 5s", "--ledger", where).out
    for words in ("'maker 7': 1 proof,", "within 5s", "101/100", "limit        net-exposure BTC <= 1000.25", "OVERDUE"):
        assert words in text
    assert "OVERDUE: older than 4s" in run("ledger status --due-after 4s", "--ledger", where).out


def test_an_export_can_be_verified_by_whoever_gets_it(run: Run, new_ledger: New, folder: Path, tmp_path: Path) -> None:
    where = new_ledger()
    limited = '--context "for the desk" --also "net-exposure BTC <= 1000.25" --claim 1.01 limited.bin'
    issue(where, folder)
    key = "--receipt-key desk.key.json --passphrase-file pass"
    run(f"{TRUSTED} {limited} --market market.json --receipt {tmp_path / 'receipt.json'} {key}", "--ledger", where)
    run(f"{VERIFY} --challenge challenge.json answer.bin", "--ledger", where)
    home = tmp_path / "archive"
    found = run("ledger export", str(home), "--ledger", where, "--json").json
    index = json.loads((home / "index.json").read_text())
    assert index["format"] == "zkmargin/ledger-export/v2"
    assert index["proofs"] == found["proofs"]
    for entry in index["proofs"]:
        command = [sys.executable, "-m", *shlex.split(entry["verify"])]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert entry["statement"] in done.stdout
    trusted = index["proofs"][0]["files"]
    assert len(trusted["attestations"]) == 3
    assert load_document(Trust, home / trusted["trust"]) == load_document(Trust, folder / "trust.json")
    assert load_document(Receipt, home / trusted["receipt"]) == load_document(Receipt, tmp_path / "receipt.json")
    assert all(load_document(Attestation, home / name) for name in trusted["attestations"])
    assert "--rerun" in index["proofs"][0]["verify"]  # trust, attestations and receipt: the whole verdict
    assert "--rerun" not in index["proofs"][1]["verify"]
    market = load_document(Market, folder / "market.json")
    assert f"--market documents/market-{market.digest().hex()}.json" in index["proofs"][0]["verify"]
    assert load_document(Evidence, home / index["proofs"][0]["files"]["evidence"]).source == market
    assert index["proofs"][1]["files"]["source"] is None  # nobody gave it; whoever exports may
    given = str(tmp_path / "given")
    both = run("ledger export", given, "--market", folder / "market.json", "--ledger", where, "--json").json["proofs"]
    assert all("--market" in entry["verify"] for entry in both)
    for entry in index["proofs"]:
        evidence = load_document(Evidence, home / entry["files"]["evidence"])
        assert verify_any(evidence.statement(), evidence.proof_bytes).statement_digest.hex() == entry["statement"]
        assert main(["inspect", str(home / entry["files"]["evidence"])]) == 0
    one = run("ledger export", str(tmp_path / "one"), "--ledger", where, "--statement", index["proofs"][1]["statement"])
    assert "wrote 1 proof and 4 documents" in one.out
    run("ledger export", str(home), "--ledger", where, code=2)
    assert (
        "no accepted proof"
        in run("ledger export", str(tmp_path / "none"), "--ledger", where, "--statement", "zz", code=2).err
    )


def test_t16_a_snapshot_is_rebuilt_from_the_market_that_is_given(run: Run, new_ledger: New, folder: Path) -> None:
    market = load_document(Market, folder / "market.json")
    save_document(market.replaced(notes=("another",)), folder / "other-market.json")
    where = new_ledger()
    err = run(f"{VERIFY} --market other-market.json plain.bin", "--ledger", where, code=2).err
    assert "other-market.json" in err
    run("ledger status", "--ledger", where, code=2)  # it was not even made
    run(f"{VERIFY} --universe market.json plain.bin", code=2)
    run(f"{VERIFY} --market market.json plain.bin", "--ledger", where)
    assert run("ledger check", "--ledger", where, "--json").json["bad"] == []


def test_an_issued_challenge_waits_for_its_answer(run: Run, new_ledger: New, tmp_path: Path) -> None:
    where, path = new_ledger(), tmp_path / "issued.json"
    run(f"challenge new --audience desk --lifetime 1m -o {path}", "--ledger", where)
    digest = load_document(Challenge, path).digest().hex()
    (waiting,) = run("ledger status", "--ledger", where, "--json").json["open_challenges"]
    assert (waiting["digest"], waiting["audience"], waiting["overdue"]) == (digest, "desk", False)
    run(f"{PROVE} --challenge {path} -o {tmp_path / 'proof.bin'}")
    run(f"{VERIFY} --challenge {path} {tmp_path / 'proof.bin'}", "--ledger", where)
    assert run("ledger status", "--ledger", where, "--json").json["open_challenges"] == []


def test_check_verifies_the_records_again(run: Run, new_ledger: New) -> None:
    where = new_ledger()
    run(f"{VERIFY} plain.bin", "--ledger", where)
    assert run("ledger check", "--ledger", where, "--json").json["verified"] == 1
    assert "1 proof verifies" in run("ledger check", "--ledger", where).out
    with Ledger(where) as ledger, ledger._database.engine.begin() as connection:
        connection.execute(update(tables.proofs).values(proof=b"zkmargin"))
    result = run("ledger check", "--ledger", where, "--json", code=1)
    assert [item["subject"].split()[0] for item in result.json["bad"]] == ["proofs", "proofs", "statement"]
    assert "3 things are wrong" in result.err


def test_refusals_in_one_line(run: Run, tmp_path: Path) -> None:
    for line, reason in (
        ("ledger status --ledger mysql://u:hunter2@h/d", "neither an SQLite file nor a PostgreSQL database"),
        (f"ledger status --ledger {tmp_path}/no/such.db", "there is no such ledger"),
        (f"{VERIFY} plain.bin --ledger {tmp_path}/no/such.db", "cannot be opened"),
        (f"ledger status --ledger file:{tmp_path}/a.db", "file: is neither"),
        ("ledger status --ledger book.json", "file is not a database"),
        (f"ledger status --ledger {tmp_path}/a.db --due-after soon", "--due-after: not a time"),
        (f"{TRUSTED} plain.bin --rerun receipt.json --ledger {tmp_path}/a.db", "--rerun: repeats an acceptance"),
    ):
        err = run(line, code=2).err
        assert reason in err
        assert "hunter2" not in err
        assert err.count("error:") == 1


def test_without_the_driver_the_error_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    err = run("ledger status --ledger postgresql://u@h/d", code=2).err
    assert "PostgreSQL needs the package psycopg" in err
    assert "zkmargin[postgres]" in err


@pytest.mark.parametrize("text", ["headroom >= 100000", "net-exposure BTC <= 120.5", "position BTC-PERPETUAL <= 0.001"])
def test_a_limit_is_shown_as_it_is_typed(text: str) -> None:
    assert limit_text(Limit.parse(text)) == text


def test_verifying_without_a_ledger_loads_no_database() -> None:
    script = "import sys, zkmargin.cli.commands.verify; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_a_proof_is_verified_once_for_its_ledger(run: Run, new_ledger: New, monkeypatch: pytest.MonkeyPatch) -> None:
    pairings = []

    def counted(*arguments: Passed) -> bool:
        pairings.append(arguments)
        return group.pairing_product_is_one(*arguments)

    monkeypatch.setattr(sys.modules["zkmargin.verifier.verify"], "pairing_product_is_one", counted)
    run(f"{VERIFY} --ledger {new_ledger()} plain.bin")
    assert len(pairings) == 1
