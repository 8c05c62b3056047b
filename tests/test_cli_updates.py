"""``zkmargin update`` and ``zkmargin migrate`` on files: both sides, and what they refuse."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from support.command_line import Run
from support.example_files import example_files, placed

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.updates import Migration, Update
from zkmargin.engine.book import Book
from zkmargin.engine.fills import Fills
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import load_document, save_document

MAKE = (
    "update make --snapshot snapshot.json --book book.json --opening opening.json --fills fills.json "
    "--new-book book-2.json --new-opening opening-2.json --update update.json -o commitment-2.json"
)
APPLY = (
    "update apply --snapshot snapshot.json --book book.json --commitment commitment.json --fills fills.json "
    "--update update.json --new-book record-2.json -o venue-2.json"
)
MOVE = (
    "migrate make --snapshot snapshot.json --to next.json --book book.json --opening opening.json "
    "--new-book book-3.json --new-opening opening-3.json --migration migration.json -o commitment-3.json"
)
FOLLOW = (
    "migrate apply --snapshot snapshot.json --to next.json --book book.json --commitment commitment.json "
    "--migration migration.json --new-book record-3.json -o venue-3.json"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = placed(example_files(), tmp_path_factory.mktemp("made"))
    (home / "proof.bin").unlink()
    market = load_document(Market, home / "market.json")
    kept = market.model_copy(update={"instruments": tuple(reversed(market.instruments))})
    save_document(build_snapshot(kept, load_policy("default"), domain_size=256), home / "next.json")
    book = load_document(Book, home / "book.json")
    held = next(iter(book.positions))
    gone = tuple(i for i in market.instruments if i.id != held)
    save_document(
        build_snapshot(market.model_copy(update={"instruments": gone}), load_policy("default"), domain_size=512),
        home / "gone.json",
    )
    fills = Fills(positions={"BTC-PERPETUAL": "0.5", held: "1"}, collateral={"USDC": "-12345.67"})
    save_document(fills, home / "fills.json")
    save_document(fills.model_copy(update={"collateral": {"USDC": "-12345.68"}}), home / "other-fills.json")
    save_document(Fills(positions={}), home / "no-fills.json")
    return home


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_holder_and_venue_end_with_the_same_commitment_and_it_proves(folder: Path, run: Run) -> None:
    out, err = run(MAKE)
    assert "updated the positions of 'account'" in out
    assert "of no authority before it is attested again" in out
    assert err == ""
    out, _ = run(APPLY)
    assert "agrees with your records" in out
    assert (folder / "venue-2.json").read_bytes() == (folder / "commitment-2.json").read_bytes()
    assert load_document(Book, folder / "record-2.json") == load_document(Book, folder / "book-2.json")
    assert load_document(Opening, folder / "opening-2.json").commitment() == load_document(
        Commitment, folder / "venue-2.json"
    )
    for name in ("book-2.json", "opening-2.json", "update.json", "record-2.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    run("prove --snapshot snapshot.json --book book-2.json --opening opening-2.json -o proof.bin")
    run("verify --snapshot snapshot.json --commitment venue-2.json proof.bin")


def test_another_universe(folder: Path, run: Run) -> None:
    out, _ = run(MOVE)
    assert "moved the positions of 'account'" in out
    run(FOLLOW)
    assert (folder / "venue-3.json").read_bytes() == (folder / "commitment-3.json").read_bytes()
    assert load_document(Commitment, folder / "venue-3.json").domain_size == 256
    assert load_document(Migration, folder / "migration.json").domain_size == 256
    run("prove --snapshot next.json --book book-3.json --opening opening-3.json -o proof.bin")
    run("verify --snapshot next.json --commitment venue-3.json proof.bin")


def test_json_is_one_value_and_shows_no_secret(folder: Path, run: Run) -> None:
    for line in (MAKE, APPLY, MOVE, FOLLOW):
        out, err = run(line, "--json")
        value = json.loads(out)
        assert {part["role"] for part in value["parts"]} == {"positions", "collateral"}
        assert err == ""
        assert "12345" not in out
    update = load_document(Update, folder / "update.json")
    assert update.parts[0].increments[0] not in repr(update)


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (APPLY.replace(" fills.json", " other-fills.json"), 1, "collateral: the holder's fills are not these"),
        (APPLY.replace(" fills.json", " no-fills.json"), 1, "the fills are of positions"),
        (APPLY.replace("commitment.json", "commitment-2.json"), 1, "starts from another commitment"),
        (APPLY.replace("--update update.json", "--update book.json"), 2, "expected an update (zkmargin/update/v1)"),
        (APPLY.replace("--book book.json", "--book snapshot.json"), 2, "expected a book (zkmargin/book/v1)"),
        (APPLY.replace("record-2.json", "book.json"), 2, "is an input of this command"),
        (APPLY.replace("record-2.json", "other-fills.json"), 2, "exists, and a secret file is never overwritten"),
        (MAKE.replace("opening-2.json", "other-fills.json"), 2, "exists, and a secret file is never overwritten"),
        (MAKE.replace("-o commitment-2.json", "-o update.json"), 2, "is named twice as an output"),
        (MAKE.replace("--snapshot snapshot.json", "--snapshot next.json"), 2, "made over 512 rows"),
        (MOVE.replace("next.json", "gone.json"), 2, "open, and not in the next snapshot"),
        (FOLLOW.replace("next.json", "gone.json"), 2, "migration: domain_size"),
        (FOLLOW.replace("--book book.json", "--book book-2.json"), 1, "moved another book than this record"),
    ],
)
def test_what_is_refused_leaves_no_file(folder: Path, run: Run, line: str, code: int, reason: str) -> None:
    run(MAKE)
    run(MOVE)
    if " make " in f" {line} ":
        for name in (
            "book-2",
            "opening-2",
            "update",
            "commitment-2",
            "book-3",
            "opening-3",
            "migration",
            "commitment-3",
        ):
            (folder / f"{name}.json").unlink(missing_ok=True)
    before = sorted(folder.iterdir())
    _, err = run(line, code=code)
    assert reason in err
    assert sorted(folder.iterdir()) == before
    assert "12345" not in err


def test_inspect_explains_without_showing(folder: Path, run: Run) -> None:
    run(MAKE)
    run(MOVE)
    increments = load_document(Update, folder / "update.json").parts[0].increments
    blinders = load_document(Migration, folder / "migration.json").parts[0].blinders
    for name, words in (("fills", "SECRET: fills"), ("update", "SECRET: an update"), ("migration", "SECRET: a migrat")):
        out, _ = run(f"inspect {name}.json")
        assert words in out
        for secret in (*increments, *blinders, "12345"):
            assert secret not in out
