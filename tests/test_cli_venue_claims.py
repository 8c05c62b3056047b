"""``venue prove --claims``: all but those listed, and classes of which something else is claimed."""

import csv
import json
from pathlib import Path

import pytest
from support.typed import Unchecked

from zkmargin.app.venue_accounts import invented_accounts
from zkmargin.cli import main
from zkmargin.engine.book import BookLots, to_book
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document

POOR, LEFT_OUT = "account-0001", "account-0002"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot, six books of which one has no collateral, and a large account that has none either."""
    at = tmp_path_factory.mktemp("claims")
    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)
    save_document(snapshot, at / "snapshot.json")
    for folder in ("books", "dense"):
        (at / folder).mkdir()
    for account in invented_accounts(snapshot, 6):
        bare = BookLots(account.lots.positions, (0,) * len(snapshot.collateral))
        save_document(
            to_book(bare if account.name == POOR else account.lots, snapshot), at / "books" / f"{account.name}.json"
        )
        if account.name == POOR:
            save_document(to_book(bare, snapshot), at / "dense" / "whale.book.json")
        if account.name == "account-0000":
            save_document(to_book(account.lots, snapshot), at / "dense" / "rich.book.json")
    for name in ("whale", "rich"):
        files = [str(at / "dense" / f"{name}.book.json"), "--snapshot", str(at / "snapshot.json"), "--alias", name]
        output = ["-o", str(at / f"{name}.json"), "--opening", str(at / "dense" / f"{name}.opening.json")]
        assert main(["commit", *files, *output]) == 0
    return at


def prove(at: Path, out: Path, *more: str) -> list[str]:
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    outputs = [word for option, name in files.items() for word in (option, str(out / name))]
    given = ["--snapshot", str(at / "snapshot.json"), "--venue", "A venue", "--net", "zero", "--threads", "1"]
    return ["venue", "prove", *given, *more, *outputs]


def claims(at: Path, *rows: str) -> list[str]:
    path = at / "claims.csv"
    path.write_text("\n".join(["account,claim,limit", *rows]) + "\n")
    path.chmod(0o600)
    return ["--claims", str(path)]


def said(capsys: pytest.CaptureFixture[str]) -> Unchecked:
    return json.loads(capsys.readouterr().out)


def test_all_but_listed(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two accounts without collateral count in the sums; everybody sees that nothing is claimed of two."""
    accounts = ["--accounts", str(venue / "books"), "--dense", str(venue / "dense")]
    assert main(prove(venue, tmp_path, *accounts, "--json")) == 1
    poor = said(capsys)
    assert sorted(one["account"] for one in poor["unhealthy"]) == [POOR, "whale"]
    listed = claims(tmp_path, f"{POOR},none,", "whale,none,")
    assert main(prove(venue, tmp_path, *accounts, *listed, "--json")) == 0
    facts = said(capsys)
    assert facts["unclaimed_accounts"] == 2
    assert [(spec["accounts"], spec["claim"]) for spec in facts["classes"]] == [(5, "1"), (1, None)]
    assert sorted(str(one["claim"]) for one in facts["dense"]) == ["1", "None"]
    public = ["--snapshot", str(venue / "snapshot.json"), "--terms", str(tmp_path / "terms.json")]
    commitments = [word for name in ("rich", "whale") for word in ("--commitment", str(venue / f"{name}.json"))]
    proof, ledger = str(tmp_path / "proof.bin"), ["--ledger", str(tmp_path / "ledger.db")]
    assert main(["venue", "verify", *public, *commitments, proof, "--json"]) == 0
    assert said(capsys)["unclaimed_accounts"] == 2
    assert main(["venue", "verify", *public, *commitments, proof]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert 'class "up to 4 legs (2)", ' in text.replace("'", '"')
    assert "of 4 legs): nothing is claimed" in text
    assert "1 account by its own commitment: nothing is claimed" in text
    assert main(["venue", "inspect", *public[:2], *commitments, public[3]]) == 0
    assert "nothing is claimed" in capsys.readouterr().out
    assert main(["venue", "verify", *public, *commitments, "--every-account", proof]) == 1
    assert "nothing is claimed of 2 accounts" in capsys.readouterr().err
    assert main(["verify", *public, *commitments, *ledger, proof]) == 0
    assert main(["report", "venue", *ledger, "-o", str(tmp_path / "page.html")]) == 0
    assert "NOTHING is claimed of the other 2" in (tmp_path / "page.html").read_text()


def test_classes_with_claims_of_their_own(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = ["--accounts", str(venue / "books")]
    rows = (f"{POOR},none,", f"{LEFT_OUT},1.25,", "account-0003,1,headroom >= 10")
    assert main(prove(venue, tmp_path, *accounts, *claims(tmp_path, *rows), "--exempt", "1", "--json")) == 0
    facts = said(capsys)
    found = [(spec["name"], spec["accounts"], spec["claim"], spec["limits"]) for spec in facts["classes"]]
    assert found == [
        ("up to 4 legs", 3, "1", []),
        ("up to 4 legs (2)", 1, None, []),
        ("up to 4 legs (3)", 1, "5/4", []),
        ("up to 4 legs (4)", 1, "1", ["headroom >= 10"]),
    ]
    secret = json.loads((tmp_path / "secret.json").read_text())
    assert [mine[0] for mine in secret["classes"][1:]] == [POOR, LEFT_OUT, "account-0003"]
    public = ["--snapshot", str(venue / "snapshot.json"), "--terms", str(tmp_path / "terms.json")]
    assert main(["venue", "verify", *public, str(tmp_path / "proof.bin")]) == 0


def test_an_exemption_goes_to_an_account_that_has_a_claim(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two committed accounts the first has none: marking it would make no proof at all."""
    (tmp_path / "dense").mkdir()
    listed = claims(tmp_path, "whale,none,")
    assert main(prove(venue, tmp_path, "--dense", str(venue / "dense"), *listed, "--exempt", "1", "--json")) == 0
    assert said(capsys)["exempt"] == 1
    (tmp_path / "secret.json").unlink()
    assert main(prove(venue, tmp_path, "--dense", str(venue / "dense"), *listed, "--exempt", "2")) == 2
    assert "2 exempt accounts where fewer have a claim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["nobody,none,"], "claims: a claim of 'nobody', which is no account here"),
        ([f"{POOR},none,", f"{POOR},1,"], "claims.csv:3: account: an account twice"),
        ([f"{POOR},many,"], f"claims.csv:2: account {POOR}: claim: not a decimal number"),
        ([f"{POOR},0,"], f"claims.csv:2: account {POOR}: claim"),
        ([f"{POOR},none,headroom >= 1"], "limits: a limit where nothing is claimed"),
        ([f"{POOR},1,net-exposure BTC <= 5"], "venue proofs have no such limit"),
        ([f"{POOR},none"], "claims.csv:2: 2 fields, not 3"),
        ([], "names no account"),
    ],
)
def test_bad_claims_are_named(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], reason: str
) -> None:
    assert main(prove(venue, tmp_path, "--accounts", str(venue / "books"), *claims(tmp_path, *rows))) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "a defect of ours" not in error
    assert not (tmp_path / "proof.bin").exists()


def test_too_many_claims_are_counted(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each claim is a class; the numbers of an account are over the least common multiple of all denominators."""
    name = next(iter(json.loads((venue / "books" / f"{POOR}.json").read_text())["positions"]))
    rows = [f"account {a:02},positions,{name},1" for a in range(70)]
    (tmp_path / "many.csv").write_text("\n".join(["account,section,name,quantity", *rows]) + "\n")
    (tmp_path / "many.csv").chmod(0o600)
    for ratios, reason in (
        ([f"{a + 101}/100" for a in range(70)], "claims.csv: claims: 70 classes, more than 64: each claim"),
        ([f"{9999 - a}/{9967 - 2 * a}" for a in range(30)], "least common multiple has 336 bits, more than 64"),
    ):
        listed = claims(tmp_path, *(f"account {a:02},{ratio}," for a, ratio in enumerate(ratios)))
        assert main(prove(venue, tmp_path, "--accounts", str(tmp_path / "many.csv"), *listed)) == 2
        assert reason in capsys.readouterr().err


def test_every_unhealthy_account_is_named_for_programs(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve under margin: the line names the ten that miss most, the JSON all of them with their shortfalls."""
    rows = []
    for copy in range(12):
        book = json.loads((venue / "books" / f"{POOR}.json").read_text())
        rows += [[f"poor-{copy:02}", "positions", name, quantity] for name, quantity in book["positions"].items()]
    with (tmp_path / "poor.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["account", "section", "name", "quantity"], *rows])
    (tmp_path / "poor.csv").chmod(0o600)
    command = prove(venue, tmp_path, "--accounts", str(tmp_path / "poor.csv"), "--json")
    assert main([*command[:6], *command[8:]]) == 1
    facts = said(capsys)
    assert sorted(one["account"] for one in facts["unhealthy"]) == [f"poor-{copy:02}" for copy in range(12)]
    assert all(float(one["shortfall"]) > 0 for one in facts["unhealthy"])
    assert "and 2 more" in facts["error"]["message"]
