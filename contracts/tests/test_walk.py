"""``zkmargin chain dev`` from a demo's folder: the whole way on anvil, with key files, refusals included."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.chain_files import book_of, by_size_policy, one_coin_market

from contracts.tests.evm import ANVIL
from zkmargin.accounts.openings import commit_book
from zkmargin.cli import main
from zkmargin.engine.book import to_lots
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document


@pytest.fixture(params=["default", "charges by size", "tims", "deribit-pm"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    market = one_coin_market() if request.param == "deribit-pm" else example_market("2026-01-02T03:04:05Z")
    policy = by_size_policy() if request.param == "charges by size" else load_policy(request.param)
    snapshot = build_snapshot(market, policy)
    book = book_of(market)
    opening = commit_book(snapshot, to_lots(book, snapshot))
    for name, document in {
        "market": market,
        "snapshot": snapshot,
        "book": book,
        "opening": opening,
        "commitment": opening.commitment(),
    }.items():
        save_document(document, tmp_path / f"{name}.json")
    return tmp_path


def test_the_whole_way_on_a_local_chain(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", "dev", "--folder", str(folder), "--anvil", str(ANVIL)]) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    said = captured.out
    assert "the contract refuses: NotAttested()" in captured.err
    assert "refused, as it must be: the contract refuses: BadInverse()" in said
    assert said.count("covered until ") == 2
    assert said.count("not covered") == 2
    assert "pinned       recomputed, the same" in said
    assert "All that had to fail did." in said


def test_what_it_needs_is_said(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["chain", "dev", "--folder", str(empty), "--anvil", str(ANVIL)]) == 2
    assert "zkmargin demo" in capsys.readouterr().err
    assert main(["chain", "dev", "--folder", str(folder), "--anvil", str(tmp_path / "no-anvil")]) == 2
    assert "npm install @foundry-rs/anvil" in capsys.readouterr().err
    deployment = folder / "d.json"
    assert main(["chain", "status", "--rpc", "http://127.0.0.1:9", "--deployment", str(deployment)]) == 2
