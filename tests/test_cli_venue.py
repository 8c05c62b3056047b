"""``zkmargin venue`` and ``demo --venue``: from accounts to a proof, its verification, and a customer's check."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.signing import SIGNER

from zkmargin.app.venue_accounts import invented_accounts, load_accounts
from zkmargin.app.venue_dense import load_dense
from zkmargin.app.venue_notes import VenueSecret
from zkmargin.app.venue_witness import witness_of
from zkmargin.cli import main
from zkmargin.crypto import ed25519
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.book import to_book
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document
from zkmargin.ledger.records import silent_of
from zkmargin.prover.venue.blinders import SeededBlinders
from zkmargin.prover.venue.prove import inputs_digest, prove_venue
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms

TIME = "2026-01-02T03:04:05Z"
COUNT = 12
NAME = "account-0003"
NONCE = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot, twelve books in a folder and in a CSV, one customer's nonce, and a proof."""
    at = tmp_path_factory.mktemp("venue")
    snapshot = build_snapshot(example_market(TIME), load_policy("default"), domain_size=256)
    save_document(snapshot, at / "snapshot.json")
    (at / "books").mkdir()
    lines = ["account,section,name,quantity"]
    for account in invented_accounts(snapshot, COUNT):
        book = to_book(account.lots, snapshot)
        save_document(book, at / "books" / f"{account.name}.json")
        for section, entries in (("positions", book.positions), ("collateral", book.collateral)):
            lines += [f"{account.name},{section},{name},{quantity}" for name, quantity in entries.items()]
    (at / "accounts.csv").write_text("\n".join(lines) + "\n")
    (at / "nonces.csv").write_text(f"account,nonce\n{NAME},{NONCE}\n")
    for name in ("accounts.csv", "nonces.csv"):
        (at / name).chmod(0o600)
    assert main(prove(at, "books")) == 0
    return at


def prove(at: Path, accounts: str, *more: str, tag: str = "") -> list[str]:
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    outputs = [word for option, name in files.items() for word in (option, str(at / f"{tag}{name}"))]
    given = ["--snapshot", str(at / "snapshot.json"), "--accounts", str(at / accounts), "--venue", "A venue"]
    options = ["--nonces", str(at / "nonces.csv"), "--net", "zero", "--totals", "--threads", "1", *more]
    return ["venue", "prove", *given, *options, *outputs]


def cash(text: str, account: int, amount: int) -> str:
    line = f"account-{account:04},collateral,USDC,"
    assert f"{line}10000000\n" in text
    return text.replace(f"{line}10000000", f"{line}{amount}")


def public(at: Path, *names: str) -> list[str]:
    known = {"snapshot": "snapshot.json", "terms": "terms.json", "record": "record.json"}
    return [word for name in names for word in (f"--{name}", str(at / known[name]))]


def test_the_proof_is_verified_from_public_files(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["venue", "verify", *public(venue, "snapshot", "terms", "record"), "--json", str(venue / "proof.bin")]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"]
    assert (facts["accounts"], facts["net"], facts["exempt"]) == (COUNT, "zero", None)
    record = json.loads((venue / "record.json").read_text())
    assert (record["statement"], record["proof"]) == (facts["statement_digest"], facts["proof_digest"])
    assert main([*command[:-2], str(venue / "proof.bin")]) == 0
    assert "12 accounts" in capsys.readouterr().out


def test_rejections_are_one_line_and_exit_1(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = (venue / "proof.bin").read_bytes()
    for name, data, reason in (
        ("flipped.bin", proof[:60] + bytes([proof[60] ^ 1]) + proof[61:], "rejected"),
        ("short.bin", proof[:-1], "rejected"),
        ("long.bin", proof + b"\0", "larger than a proof"),
    ):
        (tmp_path / name).write_bytes(data)
        assert main(["venue", "verify", *public(venue, "snapshot", "terms"), str(tmp_path / name)]) == 1
        error = capsys.readouterr().err
        assert reason in error
        assert "Traceback" not in error
    record = json.loads((venue / "record.json").read_text()) | {"root": "00" * 32}
    (tmp_path / "record.json").write_text(json.dumps(record))
    command = ["venue", "verify", *public(venue, "snapshot", "terms"), "--record", str(tmp_path / "record.json")]
    assert main([*command, str(venue / "proof.bin")]) == 1
    assert "not the one of the published record" in capsys.readouterr().err
    old = ["venue", "verify", *public(venue, "snapshot", "terms"), "--max-age", "1s", str(venue / "proof.bin")]
    assert main(old) == 1
    assert "stale" in capsys.readouterr().err


def test_it_answers_a_challenge(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    challenge, where = str(tmp_path / "challenge.json"), ["--ledger", str(tmp_path / "ledger.db")]
    assert main(["challenge", "new", "--audience", "desk", "--lifetime", "1h", *where, "-o", challenge]) == 0
    assert main(prove(venue, "accounts.csv", "--challenge", challenge, tag="answer-")) == 0
    capsys.readouterr()
    given = ["--snapshot", str(venue / "snapshot.json"), "--terms", str(venue / "answer-terms.json")]
    proof = str(venue / "answer-proof.bin")
    assert main(["venue", "verify", *given, proof]) == 1
    assert "rejected" in capsys.readouterr().err
    assert main(["venue", "verify", *given, "--challenge", challenge, proof]) == 0
    assert main(["verify", *given, "--challenge", challenge, *where, proof]) == 0
    assert main(["verify", *given, "--challenge", challenge, *where, proof]) == 1
    assert "replay" in capsys.readouterr().err
    assert main(["venue", "verify", *given, "--challenge", challenge, "--context", "x", proof]) == 2
    assert "give one of the two" in capsys.readouterr().err


def test_verify_and_a_ledger_take_it_as_any_other_proof(
    venue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, proof = ["verify", *public(venue, "snapshot")], str(venue / "proof.bin")
    terms, where = ["--terms", str(venue / "terms.json")], ["--ledger", str(tmp_path / "ledger.db")]
    receipt = ["--receipt", str(tmp_path / "receipt.json")]
    assert main([*given, *terms, *where, *receipt, proof, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["accepted"], facts["venue"], facts["accounts"], facts["net"]) == (True, "A venue", COUNT, "zero")
    assert any("every customer is inside" in line for line in facts["not_guaranteed"])
    assert json.loads((tmp_path / "receipt.json").read_text())["payload"]["venue"]["root"] == facts["root"]
    assert main([*given, *terms, proof]) == 0
    assert "proves, of all accounts of a venue, that" in capsys.readouterr().out
    for more, code, reason in (
        ([*terms, *where, proof], 1, "replay"),
        ([proof], 2, "--terms or --bundle"),
        (["--commitment", str(venue / "snapshot.json"), proof], 2, "expected a commitment"),
        ([*terms, "--claim", "2", proof], 2, "the terms say what is claimed"),
        ([*terms, proof, proof], 2, "one at a time"),
        ([*terms, str(venue / "snapshot.json")], 1, "larger than a proof of this statement"),
        ([*terms, "--context", "another", proof], 1, "does not prove this statement"),
    ):
        assert main([*given, *more]) == code
        assert reason in capsys.readouterr().err
    assert main(["ledger", "status", *where]) == 0
    assert "A venue: 1 proof," in capsys.readouterr().out.replace('"', "").replace("'", "")
    assert main(["ledger", "check", *where]) == 0
    assert main(["ledger", "export", *where, str(tmp_path / "out")]) == 0
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_text())["proofs"]
    assert entry["venue"]["venue"] == "A venue"
    monkeypatch.chdir(tmp_path / "out")
    assert main(shlex.split(entry["verify"])[1:]) == 0
    assert main(["inspect", entry["files"]["evidence"]]) == 0
    capsys.readouterr()
    assert main(["verify", "--bundle", entry["files"]["evidence"]]) == 1
    assert "shows" in (said := capsys.readouterr()).out
    assert "no trust file of your own" in said.err


@pytest.fixture(scope="module")
def large(venue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large accounts, short of each other's longs, committed and proved one by one into a ledger."""
    at = tmp_path_factory.mktemp("large")
    (at / "dense").mkdir()
    snapshot = str(venue / "snapshot.json")
    for name, account in (("fund", "account-0000"), ("desk", "account-0001")):
        book, opening = at / "dense" / f"{name}.book.json", at / "dense" / f"{name}.opening.json"
        book.write_bytes((venue / "books" / f"{account}.json").read_bytes())
        book.chmod(0o600)
        commitment, proof = str(at / f"{name}.json"), str(at / f"{name}.bin")
        shared = ["--snapshot", snapshot]
        assert main(["commit", str(book), *shared, "--alias", name, "-o", commitment, "--opening", str(opening)]) == 0
        assert main(["prove", "--book", str(book), *shared, "--opening", str(opening), "-o", proof]) == 0
        assert main(["verify", *shared, "--commitment", commitment, "--ledger", str(at / "ledger.db"), proof]) == 0
    return at


def prove_large(venue: Path, at: Path, *more: str, tag: str = "") -> list[str]:
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    outputs = [word for option, name in files.items() for word in (option, str(at / f"{tag}{name}"))]
    given = ["--snapshot", str(venue / "snapshot.json"), "--dense", str(at / "dense"), "--venue", "A venue"]
    return ["venue", "prove", *given, "--net", "zero", "--totals", "--threads", "1", *more, *outputs]


def test_large_accounts_by_their_commitments_are_those_of_a_ledger(
    venue: Any, large: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(prove_large(venue, large, "--ledger", str(large / "ledger.db"))) == 0
    assert "proved 2 accounts" in capsys.readouterr().out
    parts = json.loads((large / "fund.json").read_text())["parts"]
    assert {part["role"]: len(part["points"]) for part in parts}["positions"] == 2  # 448 instruments, 256 rows
    public_files = ["--snapshot", str(venue / "snapshot.json"), "--terms", str(large / "terms.json")]
    commitments = [word for name in ("desk", "fund") for word in ("--commitment", str(large / f"{name}.json"))]
    assert main(["venue", "verify", *public_files, *commitments, str(large / "proof.bin")]) == 0
    assert "2 accounts by their own commitments" in capsys.readouterr().out
    assert main(["venue", "inspect", *public_files[:2], *commitments, public_files[3]]) == 0
    assert (
        main(["verify", *public_files, *commitments, "--ledger", str(large / "ledger.db"), str(large / "proof.bin")])
        == 0
    )
    capsys.readouterr()
    assert main(["venue", "verify", *public_files, *commitments[2:], str(large / "proof.bin")]) == 2
    assert "not the commitments that the terms name" in capsys.readouterr().err


def test_small_and_large_accounts_in_one_proof(venue: Path, large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(prove_large(venue, large, "--accounts", str(venue / "books"), tag="both-")) == 0
    assert f"proved {COUNT + 2} accounts" in capsys.readouterr().out
    terms = json.loads((large / "both-terms.json").read_text())
    assert (sum(spec["accounts"] for spec in terms["classes"]), len(terms["dense"])) == (COUNT, 2)
    note = ["venue", "note", *public(venue, "snapshot"), "--terms", str(large / "both-terms.json"), "--accounts"]
    note += [str(venue / "books"), "--dense", str(large / "dense"), "--secret", str(large / "both-secret.json")]
    note += ["--proof", str(large / "both-proof.bin"), "--account", NAME, "-o", str(large / "note.json")]
    assert main(note) == 0
    nonce = json.loads((large / "both-secret.json").read_text())["nonces"][NAME]
    check = ["venue", "check-note", str(large / "note.json"), *public(venue, "snapshot"), "--name", NAME]
    check += ["--terms", str(large / "both-terms.json"), "--record", str(large / "both-record.json"), "--nonce", nonce]
    check += [word for name in ("desk", "fund") for word in ("--commitment", str(large / f"{name}.json"))]
    assert main([*check, "--book", str(venue / "books" / f"{NAME}.json")]) == 0


def test_a_committed_account_of_which_nothing_is_claimed_never_looks_claimed(
    venue: Path, large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = Snapshot.parse((venue / "snapshot.json").read_bytes())
    (tmp_path / "dense").mkdir()
    for suffix in ("book.json", "opening.json"):
        shutil.copy(large / "dense" / f"desk.{suffix}", tmp_path / "dense")
    book, commitment = tmp_path / "dense" / "whale.book.json", str(tmp_path / "whale.json")
    book.write_text(json.dumps(json.loads((large / "dense" / "fund.book.json").read_text()) | {"collateral": {}}))
    book.chmod(0o600)
    opening = str(tmp_path / "dense" / "whale.opening.json")
    given = ["--snapshot", str(venue / "snapshot.json")]
    assert main(["commit", str(book), *given, "--alias", "whale", "-o", commitment, "--opening", opening]) == 0
    dense = load_dense(str(tmp_path / "dense"), snapshot)
    commitments = tuple(account.commitment for account in dense)
    asked = VenueTerms(
        venue="A venue",
        requirement="initial",
        domain_size=256,
        digit_bits=8,
        helper_group=7,
        classes=(),
        dense=tuple(
            DenseAccount(commitment=one.digest().hex(), claim=None if account.name == "whale" else "1")
            for account, one in zip(dense, commitments, strict=True)
        ),
    )
    statement = VenueStatement.of(snapshot, asked, commitments=commitments)
    witness = witness_of(statement, [], [], dense)
    blinders = SeededBlinders(bytes(32), inputs_digest(statement, witness))
    (tmp_path / "proof.bin").write_bytes(prove_venue(statement, witness, blinders=blinders, threads=1)[0])
    save_document(asked, tmp_path / "terms.json")
    terms, proof = ["--terms", str(tmp_path / "terms.json")], str(tmp_path / "proof.bin")
    named = [word for path in (str(large / "desk.json"), commitment) for word in ("--commitment", path)]
    where, half = ["--ledger", str(tmp_path / "ledger.db")], "equity at least 1 x initial margin"
    (tmp_path / "list.json").write_text(
        json.dumps(
            {
                "format": "zkmargin/batch/v2",
                "proofs": [
                    {
                        "proof": proof,
                        "snapshot": given[1],
                        "terms": terms[1],
                        "commitments": [str(large / "desk.json"), commitment],
                    }
                ],
            }
        )
    )
    for command in (
        ["venue", "verify", *given, *terms, *named, proof],
        ["venue", "inspect", *given, *named, terms[1]],
        ["verify", *given, *terms, *named, *where, proof],
        ["verify-batch", str(tmp_path / "list.json")],
    ):
        capsys.readouterr()
        assert main(command) == 0
        said = capsys.readouterr().out
        assert f"1 account by its own commitment: {half}" in said
        assert "1 account by its own commitment: nothing" in said
        assert "every account" not in said
    assert main(["inspect", terms[1]]) == 0
    assert "unclaimed_accounts" in capsys.readouterr().out.replace(" ", "_")
    assert main(["venue", "verify", *given, *terms, *named, proof, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [one["claim"] for one in facts["dense"]] == ["1", None]
    assert facts["unclaimed_accounts"] == 1
    schema = json.loads((Path(__file__).parent.parent / "docs" / "output.schema.json").read_text())
    jsonschema.validate(facts, {"$ref": "#/$defs/venue verify", "$defs": schema["$defs"]})
    both = {account.commitment for account in asked.dense}
    assert silent_of(asked) == both - {commitments[0].digest().hex()}
    assert silent_of(asked.model_copy(update={"exempt": 0})) == both  # which one may miss its claim nobody says
    assert silent_of(asked.model_copy(update={"cap": "0"})) == both
    assert main(["ledger", "status", *where, "--due-after", "36500d"]) == 0
    _, whale = capsys.readouterr().out.split("'whale': ")
    about_whale = whale.split("'A venue': ")[0]
    assert about_whale.startswith("0 proofs")
    assert "claim        nothing, in the proof of all accounts of 'A venue'" in about_whale
    assert "OVERDUE: no proof claims anything of this account" in about_whale
    assert half not in about_whale
    assert main(["ledger", "status", *where, "--due-after", "36500d", "--json"]) == 0
    status = {account["alias"]: account for account in json.loads(capsys.readouterr().out)["accounts"]}
    assert (status["whale"]["claimed"], status["whale"]["proofs"], status["whale"]["overdue"]) == (False, 0, True)
    assert (status["desk"]["claimed"], status["desk"]["proofs"], status["desk"]["overdue"]) == (True, 1, False)
    assert (status["desk"]["last"]["own"]["claim"], status["whale"]["last"]["own"]["claim"]) == ("1", None)
    assert main(["report", "venue", *where, "-o", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "1 of 2 accounts, by the terms; NOTHING is claimed of the other 1" in page
    assert "every account" not in page


@pytest.mark.parametrize(
    "wrong", ["left out", "not of the ledger", "another opening", "another book", "no opening", "poor"]
)
def test_wrong_large_accounts_are_named(
    venue: Path, large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    shutil.copytree(large / "dense", tmp_path / "dense")
    shutil.copy(large / "ledger.db", tmp_path / "ledger.db")
    fund, ledger = tmp_path / "dense" / "fund.book.json", ["--ledger", str(tmp_path / "ledger.db")]
    opening = fund.with_name("fund.opening.json")
    book, code, reason = json.loads(fund.read_text()), 2, "account fund"
    match wrong:
        case "left out":
            fund.unlink()
            opening.unlink()
        case "not of the ledger" | "another opening":
            alias, opening = ("other", fund.with_name("other.opening.json")) if wrong[0] == "n" else ("fund", opening)
            opening.unlink(missing_ok=True)
            given = ["--snapshot", str(venue / "snapshot.json"), "-o", str(tmp_path / "c.json"), "--alias", alias]
            assert main(["commit", str(fund), *given, "--opening", str(opening)]) == 0
            if alias == "other":
                shutil.copy(fund, fund.with_name("other.book.json"))
                reason = "account other: is not in the ledger"
            else:
                reason = "has another commitment than in its newest proof"
        case "another book":
            book["collateral"]["USDC"] = "9999999"
            reason = "its opening does not open its commitment to these collateral"
        case "no opening":
            opening.unlink()
            reason = "fund.opening.json: is missing beside fund.book.json"
        case "poor":
            fund = fund.with_name("desk.book.json")
            book = json.loads(fund.read_text()) | {"collateral": {}}
            code, reason = 1, "short by: desk: "
    if fund.exists():
        fund.write_text(json.dumps(book))
    capsys.readouterr()
    net = ["--net", "none"] if wrong in ("left out", "not of the ledger") else []
    assert main([*prove_large(venue, tmp_path, *ledger), *net]) == code
    assert reason in capsys.readouterr().err


def test_a_csv_gives_the_same_terms_and_secrets_are_never_overwritten(
    venue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(prove(venue, "accounts.csv", "--workers", "2", tag="csv-")) == 0
    assert (venue / "csv-terms.json").read_bytes() == (venue / "terms.json").read_bytes()
    assert (venue / "csv-secret.json").stat().st_mode & 0o077 == 0
    capsys.readouterr()
    assert main(prove(venue, "accounts.csv", tag="csv-")) == 2
    assert "exists" in capsys.readouterr().err


def test_a_customer_checks_its_note(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = venue / "note.json"
    make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(venue / "books")]
    make += ["--secret", str(venue / "secret.json"), "--proof", str(venue / "proof.bin"), "--account", NAME]
    assert main([*make, "-o", str(note)]) == 0
    assert note.stat().st_mode & 0o077 == 0
    secret = ed25519.generate_secret()
    key = PublicKey(name="venue", scheme="ed25519", public_key=ed25519.public_key(secret).hex())
    save_document(key, venue / "venue.public.json")
    (venue / "signer.py").write_text(SIGNER)
    outside = ["--signer", shlex.join([sys.executable, str(venue / "signer.py"), secret.hex()])]
    signed = str(venue / "signed-note.json")
    assert main([*make, *outside, "-o", signed]) == 2  # which key is it?
    assert main([*make, "--key", str(venue / "venue.public.json"), *outside, "-o", signed]) == 0
    assert json.loads((venue / "signed-note.json").read_text())["signatures"][0]["public_keys"] == [key.public_key]
    capsys.readouterr()
    check = ["venue", "check-note", str(note), *public(venue, "snapshot", "terms", "record"), "--name", NAME]
    own = ["--book", str(venue / "books" / f"{NAME}.json"), "--nonce", NONCE]
    assert main([*check, *own, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"]
    assert not facts["exempt"]
    assert main([*check, *own]) == 0
    said = capsys.readouterr().out
    assert "your book is in the proof" in said
    assert "is not signed: it binds nobody" in said
    other = PublicKey(name="venue", scheme="ed25519", public_key=ed25519.public_key(ed25519.generate_secret()).hex())
    save_document(other, venue / "other.public.json")
    demand = ["--signer", str(venue / "venue.public.json")]
    check_signed = [*check[:2], signed, *check[3:], *own]
    assert main(check_signed) == 0
    assert f"is signed with {key.public_key}: whose key that is was not checked" in capsys.readouterr().out
    assert main([*check_signed, *demand]) == 0
    assert f"signed with the key of --signer, 'venue', {key.public_key}" in capsys.readouterr().out
    for wrong, reason in (
        ([*check_signed, "--signer", str(venue / "other.public.json")], f"is signed with {key.public_key}, not with"),
        ([*check, *own, *demand], "the note is not signed, not with the key of --signer"),
    ):
        assert main(wrong) == 1
        assert reason in capsys.readouterr().err
    for wrong, reason in (
        (["--book", str(venue / "books" / "account-0004.json"), "--nonce", NONCE], "other positions"),
        ([*own[:3], "00" * 16], "not of one nonce"),
    ):
        assert main([*check, *wrong]) == 1
        assert reason in capsys.readouterr().err
    assert main([*check, *own[:3], "xyz"]) == 2


def test_accounts_under_margin_are_named_and_nothing_is_written(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        (venue / "accounts.csv")
        .read_text()
        .replace("account-0005,collateral,USDC,10000000", "account-0005,collateral,USDC,0")
    )
    for name, content in (("accounts.csv", text), ("nonces.csv", (venue / "nonces.csv").read_text())):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "snapshot.json").write_bytes((venue / "snapshot.json").read_bytes())
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(prove(tmp_path, "accounts.csv")) == 1
    error = capsys.readouterr().err
    assert "1 account is under margin, 0 may be; short by: account-0005: " in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert main(prove(tmp_path, "accounts.csv", "--exempt", "1")) == 0


def test_bad_accounts_and_nonces_name_line_and_field(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "account,section,name,quantity\n"
    for content, reason in (
        ("", "first line is not"),
        (header, "no accounts"),
        (header + "a,positions\n", "2 fields, not 4"),
        (header + "a,other,USDC,1\n", 'neither "positions" nor "collateral"'),
        (header + "a,collateral,USDC,1\na,collateral,USDC,2\n", "twice"),
        (header + "a,collateral,XYZ,1\n", "no such asset"),
        (header + "a,collateral,USDC,1x\n", "account a"),
        (header + '"a\n', "no CSV"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        (tmp_path / "bad.csv").chmod(0o600)
        command = prove(venue, "books", tag="bad-")
        command[command.index("--accounts") + 1] = str(tmp_path / "bad.csv")
        assert main(command) == 2, content
        assert reason in capsys.readouterr().err
    for content, reason in (
        ("account,nonce\na,12\n", "32 hexadecimal digits"),
        (f"account,nonce\na,{NONCE}\nb,{NONCE}\n", "twice"),
        (f"account,nonce\nnobody,{NONCE}\n", "no account"),
    ):
        (tmp_path / "nonces.csv").write_text(content)
        (tmp_path / "nonces.csv").chmod(0o600)
        command = prove(venue, "books", tag="bad-")
        command[command.index("--nonces") + 1] = str(tmp_path / "nonces.csv")
        assert main(command) == 2, content
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--also", "headroom >= 1", "--also", "headroom >= 2"], "--also: a venue's proof has one limit"),
        (["--also", "net-exposure BTC <= 5"], "--also: a venue's proof has one limit of every account, headroom"),
        (["--venue", ""], "--venue: a name is 1 to 200 printable characters"),
        (["--venue", "A\nB"], "--venue: a name is 1 to 200 printable characters"),
        (["--venue", "A\ufe0f"], "--venue: a name is 1 to 200 printable characters"),
        (["--cap", "ten"], "--cap: not a decimal number"),
        (["--cap", "-1"], "--cap: below 0"),
    ],
)
def test_bad_options_are_named(venue: Path, capsys: Any, more: list[str], reason: str) -> None:
    assert main(prove(venue, "books", *more, tag="bad-")) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "a defect of ours" not in said


def test_a_csv_may_have_a_mark_and_blank_lines_and_unbalanced_books_name_the_instrument(
    venue: Path, tmp_path: Path, capsys: Any
) -> None:
    text = (venue / "accounts.csv").read_text()
    plain = load_accounts(
        str(venue / "accounts.csv"), snapshot := Snapshot.parse((venue / "snapshot.json").read_bytes())
    )
    (tmp_path / "marked.csv").write_text("\ufeff" + text.replace("\n", "\n\n"))
    (tmp_path / "marked.csv").chmod(0o600)
    marked = load_accounts(str(tmp_path / "marked.csv"), snapshot)
    assert [(one.name, one.lots) for one in marked] == [(one.name, one.lots) for one in plain]
    lost = next(line for line in text.splitlines() if line.startswith(f"{NAME},positions,"))
    (tmp_path / "lost.csv").write_text(text.replace(lost + "\n", ""))
    (tmp_path / "lost.csv").chmod(0o600)
    command = prove(venue, "books", tag="bad-")
    command[command.index("--accounts") + 1] = str(tmp_path / "lost.csv")
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"net: {lost.split(',')[2]}: the books together have " in said
    assert "is an account missing?" in said


def test_names_are_checked_alike_in_folders_and_csvs(venue: Path, large: Path, tmp_path: Path, capsys: Any) -> None:
    header = "account,section,name,quantity\n"
    for name in ("a\nb", "n" * 201, "a\u200bb", "a\ufe0f"):
        (tmp_path / "bad.csv").write_text(f'{header}"{name}",collateral,USDC,1\n')
        (tmp_path / "bad.csv").chmod(0o600)
        places = [["--accounts", str(tmp_path / "bad.csv")]]
        for kind, suffixes in (("--accounts", [".json"]), ("--dense", [".book.json", ".opening.json"])):
            folder = tmp_path / f"{kind[2:]}-{len(name)}-{ord(name[1])}"
            folder.mkdir()
            for suffix in suffixes:
                source = large / "dense" / f"fund{suffix}" if len(suffixes) > 1 else venue / "books" / f"{NAME}.json"
                shutil.copy(source, folder / f"{name}{suffix}")
            places.append([kind, str(folder)])
        for place in places:
            command = prove(venue, "books", tag="bad-")
            at = command.index("--accounts")
            command[at : at + 2] = place
            nonces = command.index("--nonces")
            del command[nonces : nonces + 2]
            assert main(command) == 2
            said = capsys.readouterr().err
            assert "a name is 1 to 200 printable characters" in said
            assert "a defect of ours" not in said


def test_an_account_given_in_a_block_and_by_its_commitment_is_refused(
    venue: Path, large: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "books").mkdir()
    shutil.copy(large / "dense" / "fund.book.json", tmp_path / "books" / "fund.json")
    assert main(prove_large(venue, large, "--accounts", str(tmp_path / "books"), tag="twice-")) == 2
    assert "account fund: is given twice" in capsys.readouterr().err


def test_a_note_needs_the_secret_proof_and_accounts_that_belong_together(
    venue: Path, tmp_path: Path, capsys: Any
) -> None:
    kept = json.loads((venue / "secret.json").read_text())
    other, first = next(name for name in kept["nonces"] if name != NAME), kept["classes"][0]
    short = [first[:-1], *kept["classes"][1:]]
    secrets = {
        "missing": kept | {"nonces": {NAME: NONCE}},
        "hex": kept | {"nonces": kept["nonces"] | {other: "zz"}},
        "fewer": kept | {"classes": short},
        "twice": kept | {"classes": [[*first[:-1], first[0]], *kept["classes"][1:]]},
        "good": kept,
    }
    for name, content in secrets.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        (tmp_path / f"{name}.json").chmod(0o600)
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    poor = cash((venue / "accounts.csv").read_text(), 5, 0)
    wide = (venue / "accounts.csv").read_text()
    names = [item.id for item in Snapshot.parse((venue / "snapshot.json").read_bytes()).instruments]
    wide += "".join(
        f"{first[0]},positions,{name},1\n" for name in names[:400] if f"{first[0]},positions,{name}," not in wide
    )
    for name, text in (("poor.csv", poor), ("wide.csv", wide)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    proof, books = venue / "proof.bin", venue / "books"
    for secret, file, accounts, whose, reason in (
        ("missing", proof, books, NAME, "nonces: none of account"),
        ("hex", proof, books, NAME, f"nonces.{other}: not 16 bytes in lower-case hexadecimal"),
        ("fewer", proof, books, NAME, f"secret: names {COUNT - 1} accounts, the terms have {COUNT}"),
        ("twice", proof, books, NAME, "classes: an account appears twice"),
        ("good", tmp_path / "bad.bin", books, NAME, "bad.bin: proof: is not the proof that the secret was kept for"),
        ("good", proof, tmp_path / "poor.csv", NAME, "poor.csv: accounts: the accounts are not those of the proof"),
        ("good", proof, tmp_path / "wide.csv", NAME, "its book is not that of the proof"),
        ("good", proof, books, "nobody", "--account: account: no account 'nobody' in blocks"),
    ):
        make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(accounts), "--proof", str(file)]
        make += ["--secret", str(tmp_path / f"{secret}.json"), "--account", whose, "-o", str(tmp_path / "note.json")]
        assert main(make) == 2, reason
        said = capsys.readouterr().err
        assert reason in said
        assert "a defect of ours" not in said
        assert not (tmp_path / "note.json").exists()


def test_notes_are_made_from_the_proof_s_own_accounts_only(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        (venue / "accounts.csv")
        .read_text()
        .replace("account-0005,collateral,USDC,10000000", "account-0005,collateral,USDC,10000001")
    )
    text = text.replace("account-0006,collateral,USDC,10000000", "account-0006,collateral,USDC,9999999")
    (tmp_path / "accounts.csv").write_text(text)
    (tmp_path / "accounts.csv").chmod(0o600)
    make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(tmp_path / "accounts.csv")]
    make += ["--secret", str(venue / "secret.json"), "--proof", str(venue / "proof.bin"), "--account", NAME]
    assert main([*make, "-o", str(tmp_path / "note.json")]) == 2
    assert "not those of the proof" in capsys.readouterr().err
    secret = VenueSecret.parse((venue / "secret.json").read_text())
    assert secret.seed not in repr(secret)


def test_terms_explain_themselves(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["venue", "inspect", *public(venue, "snapshot"), str(venue / "terms.json")]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proof_bytes"] == (venue / "proof.bin").stat().st_size
    assert main(command) == 0
    assert "sum to zero in every instrument" in capsys.readouterr().out


def test_inspect_explains_every_file_and_no_secret_of_it(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = VenueSecret.parse((venue / "secret.json").read_text())
    for name, words in (
        ("proof.bin", "a venue proof"),
        ("terms.json", "the terms of a venue proof"),
        ("record.json", "in one log"),
        ("secret.json", "SECRET"),
    ):
        assert main(["inspect", str(venue / name)]) == 0
        said = capsys.readouterr().out
        assert words in said
        assert secret.seed not in said
        assert NAME not in said
    assert main(["verify", *public(venue, "snapshot"), "--commitment", str(venue / "x"), str(venue / "proof.bin")]) == 2


def test_the_demo_of_a_venue_shows_what_must_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zkmargin.cli.demo_venue import run_venue_demo

    run_venue_demo(tmp_path, TIME, 20)
    said = capsys.readouterr().out
    for line in (
        "under margin",
        "the books together have",
        "the block holds another customer's tag",
        "All that had to fail did.",
    ):
        assert line in said


# --- bundles and lists ---------------------------------------------------------------------------------------


def test_a_venue_s_proof_is_bundled_verified_and_unpacked(venue: Path, tmp_path: Path, capsys: Any) -> None:
    bundle, folder = str(tmp_path / "bundle.json"), tmp_path / "files"
    files = ["--terms", str(venue / "terms.json"), "--snapshot", str(venue / "snapshot.json")]
    assert main(["bundle", *files, str(venue / "proof.bin"), "-o", bundle]) == 0
    document = json.loads(Path(bundle).read_bytes())
    assert document["format"] == "zkmargin/evidence/v2"
    assert main(["bundle", "--unpack", bundle, "-o", str(folder)]) == 0
    for mine, name in (("proof.bin", "proof.bin"), ("terms.json", "terms.json")):
        assert (folder / name).read_bytes() == (venue / mine).read_bytes()
    capsys.readouterr()
    unpacked = ["--terms", str(folder / "terms.json"), "--snapshot", str(folder / "snapshot.json")]
    assert main(["verify", *unpacked, str(folder / "proof.bin"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["terms"]
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    assert main(["bundle", *files, str(tmp_path / "bad.bin"), "-o", str(tmp_path / "none.json")]) == 1
    assert not (tmp_path / "none.json").exists()
    assert main(["bundle", *files, "--claim", "1", str(venue / "proof.bin"), "-o", str(tmp_path / "none.json")]) == 2
    assert "the terms say what is claimed" in capsys.readouterr().err


def test_a_list_holds_venues_proofs(venue: Path, tmp_path: Path, capsys: Any) -> None:
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    about = {"snapshot": str(venue / "snapshot.json"), "terms": str(venue / "terms.json")}
    good = {"proof": str(venue / "proof.bin"), **about}

    def verified(*items: Any) -> tuple[int, Any, str]:
        (tmp_path / "list.json").write_text(json.dumps({"format": "zkmargin/batch/v2", "proofs": items}))
        code = main(["verify-batch", str(tmp_path / "list.json"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    code, facts, _ = verified(good)
    assert (code, facts["accepted"], facts["proofs"][0]["venue"]) == (0, True, "A venue")
    code, facts, _ = verified({"proof": str(tmp_path / "bad.bin"), **about}, good)
    assert (code, [one["accepted"] for one in facts["proofs"]]) == (1, [False, True])
    assert main(["verify-batch", str(tmp_path / "list.json")]) == 1
    said = capsys.readouterr()
    assert "the accounts of 'A venue' by its terms:" in said.out
    for change, reason in (({"claim": "1"}, "terms say what is claimed"), ({"terms": None}, "missing")):
        code, _, err = verified({**good, **change})
        assert code == 2
        assert reason in err
