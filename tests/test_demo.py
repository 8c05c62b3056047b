"""The demo: everything works, everything that must fail does, and a demo that should fail does so loudly."""

from __future__ import annotations

import io
import stat
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from support.typed import Passed

import zkmargin.cli.demo
from zkmargin.cli import main
from zkmargin.cli.demo import MARKER, cash_of, least_cash, with_cash
from zkmargin.cli.demo_files import CONTEXT
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot

TIME = "2026-01-02T03:04:05Z"


class Ran(NamedTuple):
    folder: Path
    out: str
    err: str


def demo(folder: Path) -> int:
    return main(["demo", "--folder", str(folder), "--time", TIME])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demo, run twice in one folder: it may overwrite what it made."""
    folder = tmp_path_factory.mktemp("demo") / "zkmargin-demo"
    for _ in range(2):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            assert demo(folder) == 0
    return Ran(folder, out.getvalue(), err.getvalue())


def test_demo_shows_what_works_and_what_must_fail(ran: Ran) -> None:
    assert ran.err == ""
    for words in (
        "432 options, 12 futures, 2 perpetuals",
        "Isolated margin",
        "Netting saves",
        "a proof has",
        "accepted. Proved",
        "Not guaranteed",
        "process accepts it too",
        "the claim holds: every equation was checked",
        "the claim is false",
        "short by",
        "price -66 %",
        "no proof of it can be made",
        "rejected: one flipped byte",
        "rejected: another commitment",
        "rejected: another claim",
        "rejected: another context",
        "rejected: another snapshot",
        "segments of positions; proved",
        "All that had to fail did.",
        "zkmargin verify --snapshot snapshot.json",
    ):
        assert words in ran.out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("snapshot show snapshot.json", 0),
        ("snapshot check snapshot.json market.json", 0),
        ("margin book.json --snapshot snapshot.json", 0),
        ("check --snapshot snapshot.json --book book-boundary.json", 0),
        ("check --snapshot snapshot.json --book book-short.json", 1),
        ("verify --snapshot small-snapshot.json --commitment small-commitment.json small-proof.bin", 1),
        ("inspect proof.bin --snapshot snapshot.json", 0),
    ],
)
def test_files_of_the_demo_can_be_tried(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, code: int
) -> None:
    monkeypatch.chdir(ran.folder)
    assert main(line.split()) == code
    capsys.readouterr()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (["snapshot.json", "commitment.json", "proof.bin"], 0),
        (["snapshot.json", "commitment.json", "proof-flipped.bin"], 1),
        (["snapshot.json", "commitment-other.json", "proof.bin"], 1),
        (["snapshot-other.json", "commitment.json", "proof.bin"], 1),
        (["small-snapshot.json", "small-commitment.json", "small-proof.bin"], 0),
    ],
)
def test_proofs_of_the_demo_verify_or_not(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: list[str], code: int
) -> None:
    monkeypatch.chdir(ran.folder)
    snapshot, commitment, proof = files
    line = ["verify", "--snapshot", snapshot, "--commitment", commitment, "--context", CONTEXT, proof]
    assert main(line) == code
    capsys.readouterr()


def test_secret_files_are_private(ran: Ran) -> None:
    secret = [path.name for path in ran.folder.iterdir() if stat.S_IMODE(path.stat().st_mode) == 0o600]
    own = ["book-boundary.json", "book-short.json", "book.json", "opening.json", "small-opening.json"]
    kept = ["custody.json", "fills.json", "migration.json", "pass.txt", "record.json", "update.json", "ledger.db"]
    kept += ["acceptances.db", "positions.json", "summaries.json", "trades.json"]
    keys = [f"{name}.key.json" for name in ("oracle", "venue", "custodian")]
    assert sorted(secret) == sorted([*own, *kept, *keys])


def test_boundary_is_one_unit_wide() -> None:
    market = example_market(TIME)
    snapshot = build_snapshot(market, load_policy("default"))
    lots = to_lots(Book.model_validate(example_book(market)), snapshot)
    for claim in (Claim(), Claim(5, 4), Claim(1, 1, "maintenance")):
        enough = least_cash(snapshot, lots, claim)
        short = with_cash(snapshot, enough, cash_of(snapshot, enough) - 1)
        assert claim_slack(snapshot, enough, claim) >= 0 > claim_slack(snapshot, short, claim)
        assert enough.positions == lots.positions


def test_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.json").write_text("mine")
    assert demo(tmp_path) == 2
    assert "is not empty, and not a folder of the demo's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["book.json"]
    assert demo(tmp_path / "book.json") == 2
    assert "cannot be used as a folder" in capsys.readouterr().err


def test_bad_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--folder", str(tmp_path), "--time", "yesterday"]) == 2
    assert "not a UTC time" in capsys.readouterr().err


def _accepting(*_: Passed, **__: Passed) -> Passed:
    class Accepted:
        statement_digest = bytes(32)

    return Accepted()


@pytest.mark.parametrize("broken", ["verify", "margin_witness", "prove"])
def test_demo_fails_loudly_when_something_bad_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    real = getattr(zkmargin.cli.demo, broken)
    calls = 0

    def sometimes(*arguments: Passed, **options: Passed) -> Passed:
        nonlocal calls
        calls += 1
        return real(*arguments, **options) if calls == 1 else _accepting()

    monkeypatch.setattr(zkmargin.cli.demo, broken, sometimes)
    assert demo(tmp_path / "demo") == 1
    out, err = capsys.readouterr()
    assert "zkmargin: error: THE DEMO FAILED: " in err
    assert "All that had to fail did" not in out
    assert (tmp_path / "demo" / MARKER).exists()
