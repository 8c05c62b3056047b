"""``zkmargin venue`` with accounts by their own commitments: a ledger's, without a claim, wrong ones."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from support.venue_files import COUNT, NAME, prove, prove_large, proved_large, proved_venue, public

from zkmargin.app.venue_dense import load_dense
from zkmargin.app.venue_witness import witness_of
from zkmargin.cli import main
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document
from zkmargin.ledger.records import silent_of
from zkmargin.prover.venue.blinders import SeededBlinders
from zkmargin.prover.venue.prove import inputs_digest, prove_venue
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_venue(tmp_path_factory.mktemp("venue"))


@pytest.fixture(scope="module")
def large(venue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_large(venue, tmp_path_factory.mktemp("large"))


def test_large_accounts_by_their_commitments_are_those_of_a_ledger(
    venue: Path, large: Path, capsys: pytest.CaptureFixture[str]
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
    assert "claim        nothing is claimed, in the proof of all accounts of 'A venue'" in about_whale
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


def test_names_are_checked_alike_in_folders_and_csvs(
    venue: Path, large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
            over_lines = place[1].endswith(".csv") and "\n" in name
            expected = "a quote that does not end on its line" if over_lines else "a name is 1 to 200 printable char"
            assert expected in said
            assert "a defect of ours" not in said


def test_an_account_given_in_a_block_and_by_its_commitment_is_refused(
    venue: Path, large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "books").mkdir()
    shutil.copy(large / "dense" / "fund.book.json", tmp_path / "books" / "fund.json")
    assert main(prove_large(venue, large, "--accounts", str(tmp_path / "books"), tag="twice-")) == 2
    assert "account fund: is given twice" in capsys.readouterr().err
