"""The files of a venue on chain, made once for the tests of its commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from eth_account import Account

from support.command_line import Run
from zkmargin.accounts.openings import commit_book
from zkmargin.cli import main
from zkmargin.cli.chain_dev import venue_rules
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.components.gross_charge import GrossCharge, GrossRate
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document

Said = Callable[..., str]
KEYS = [Account.from_key(bytes([i + 1]) * 32) for i in range(5)]
ACCOUNT = "0x" + "ac" * 20
PROVE = ("prove", "--snapshot", "snapshot.json", "--book", "book.json", "--opening", "opening.json")
VERIFY = ("verify", "--snapshot", "snapshot.json", "--commitment", "commitment.json")


def by_size_policy() -> Policy:
    """The default policy with charges by size: a floor in each group, and what is added as it is."""
    policy = load_policy("default")
    charges = (
        GrossCharge(mode="floor", rates=(GrossRate(kinds=("option", "perpetual", "future"), rate_bp=25),)),
        GrossCharge(mode="flat", rates=(GrossRate(kinds=("option",), amount="0.37"),)),
    )
    changed: Policy = policy.model_copy(
        update={"name": "by-size", "title": "Charges by size", "components": (*policy.components, *charges)}
    )
    return changed


def one_coin_market() -> Market:
    """The example market without all that is not on BTC."""
    market = example_market("2026-01-02T03:04:05Z")
    changed: Market = market.model_copy(
        update={"instruments": tuple(slot for slot in market.instruments if slot.underlying == "BTC")}
    )
    return changed


def book_of(market: Market) -> Book:
    """The example book, as far as a market has its instruments."""
    book = example_book(example_market("2026-01-02T03:04:05Z"))
    listed = {slot.id for slot in market.instruments}
    return Book.model_validate(
        book | {"positions": {name: x for name, x in book["positions"].items() if name in listed}}
    )


def venue_files(folder: Path, policy: Policy | None = None, market: Market | None = None) -> Path:
    """The example market under a policy, the default one without, a book, its commitment and opening, rules."""
    market = market or example_market("2026-01-02T03:04:05Z")
    snapshot = build_snapshot(market, policy or load_policy("default"))
    book = book_of(market)
    save_document(market, folder / "market.json")
    save_document(snapshot, folder / "snapshot.json")
    save_document(book, folder / "book.json")
    opening = commit_book(snapshot, to_lots(book, snapshot))
    save_document(opening, folder / "opening.json")
    save_document(opening.commitment(), folder / "commitment.json")
    rules = venue_rules([key.address for key in KEYS], snapshot)
    save_document(rules, folder / "rules.json")
    series = rules.series.hex()
    words = ["snapshot", "table", str(folder / "snapshot.json"), "--series", series, "--sequence", "1"]
    assert main([*words, "-o", str(folder / "table.json")]) == 0
    return folder


def runner(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs command lines; gives their output, or what they say when they must fail."""
    command_line = Run(capsys)

    def call(*words: str, code: int = 0) -> str:
        result = command_line(words, code=code)
        return result.err if code else result.out

    return call
