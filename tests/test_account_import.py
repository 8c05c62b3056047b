"""Books and fills from Deribit's answers about an account: units, signs, and what is never dropped."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from support.typed import JsonObject, Passed

from zkmargin.cli import main
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.engine.importers import Account, Options, import_book, import_file
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

TIME = 1_790_000_000_000
CALL, XRP = "BTC-25DEC26-90000-C", "XRP_USDC-25DEC26-3-P"


def quote(name: str, index: float, forward: float | None = None) -> JsonObject:
    row: JsonObject = {"instrument_name": name, "timestamp": TIME, "index_price": index, "mark_price": 0.05}
    if forward is None:
        return row | {"mark_price": index}
    return row | {"mark_iv": 50, "underlying_price": forward, "interest_rate": 0}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    rows = [
        quote(CALL, 85_000, 86_000),
        quote("BTC-PERPETUAL", 85_000),
        quote(XRP, 2.4, 2.41),
        quote("SOL_USDC-PERPETUAL", 74.5),
    ]
    path = tmp_path_factory.mktemp("market") / "tickers.json"
    path.write_text(json.dumps(rows))
    market = import_file(path, options=Options()).document
    assert isinstance(market, Market)
    return build_snapshot(market, load_policy("default"))


def position(name: str, size: float, direction: str | None = None) -> JsonObject:
    side = direction or ("buy" if size > 0 else "sell" if size < 0 else "zero")
    return {
        "instrument_name": name,
        "size": size,
        "direction": side,
        "kind": "any",
        "average_price": 1,
        "mark_price": 1,
    }


POSITIONS = [
    position(CALL, -2.5),
    position("BTC-PERPETUAL", 12_340),
    position(XRP, -7000),
    position("SOL_USDC-PERPETUAL", 1.5),
    position("BTC-25DEC26-80000-P", 0),
]
SUMMARIES = {
    "id": 7,
    "username": "desk",
    "summaries": [
        {"currency": "BTC", "equity": 3.000012349, "options_value": -0.1, "balance": 3.05, "margin_balance": 3.1},
        {"currency": "USDC", "equity": -12.345, "options_value": 0, "balance": -12},
        {"currency": "ETH", "equity": 4, "balance": 4},
        {"currency": "USDT", "equity": 0},
    ],
}


def answered(folder: Path, *values: Passed) -> list[Path]:
    paths = []
    for number, value in enumerate(values):
        paths.append(folder / f"answer-{number}.json")
        paths[-1].write_text(json.dumps({"jsonrpc": "2.0", "id": number, "result": value}))
    return paths


def read(folder: Path, snapshot: Snapshot, *values: Passed, fills: bool = False) -> Account:
    return import_book(answered(folder, *values), snapshot, fills=fills)


def test_amounts_become_contracts_and_balances_exclude_options(tmp_path: Path, snapshot: Snapshot) -> None:
    found = read(tmp_path, snapshot, POSITIONS, SUMMARIES)
    book = found.document
    assert isinstance(book, Book)
    assert book.positions == {CALL: "-2.5", "BTC-PERPETUAL": "1234", XRP: "-7", "SOL_USDC-PERPETUAL": "1.5"}
    # 3.000012349 + 0.1 down to 0.00001, and -12.345 down to a cent: against the account
    assert book.collateral == {"BTC": "3.10001", "USDC": "-12.35"}
    assert [(o.reason, o.names) for o in found.left_out] == [
        ("closed: its size is 0", ("BTC-25DEC26-80000-P",)),
        ("an asset that the snapshot does not list", ("ETH",)),
    ]
    to_lots(book, snapshot)


def test_messages_of_a_portfolio_are_summaries(tmp_path: Path, snapshot: Snapshot) -> None:
    path = tmp_path / "log"
    message = {"method": "subscription", "params": {"channel": "user.portfolio.btc", "data": SUMMARIES["summaries"][0]}}  # type: ignore[index]
    path.write_text(json.dumps(message) + "\n" + json.dumps({"result": POSITIONS[:1]}) + "\n")
    book = import_book(path, snapshot).document
    assert book.collateral == {"BTC": "3.10001"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[position("BTC-26MAR27-90000-C", 1)], SUMMARIES], "no such instrument in the snapshot"),
        ([[position(CALL, 0.25)], SUMMARIES], "positions.BTC-25DEC26-90000-C: not a multiple of the lot, 0.1"),
        ([[position("BTC-PERPETUAL", 12_345)], SUMMARIES], "not a multiple of the lot, 1"),
        ([[position(CALL, 1, "sell")], SUMMARIES], "contradicts the sign"),
        ([POSITIONS], "no account summary"),
        ([POSITIONS, SUMMARIES, [position(CALL, 1)]], "twice, with other numbers"),
        ([POSITIONS, {"currency": "ETH", "equity": -1}], "owed, and the snapshot lists no such asset"),
        ([[{**position(CALL, 1), "size": "many"}], SUMMARIES], "size: not a number"),
        ([[{"trade_id": "1"}], SUMMARIES], "trades are read as fills"),
        ([{"error": {"code": 13009, "message": "unauthorized"}}], "13009 unauthorized"),
    ],
)
def test_f6_nothing_is_dropped_or_rounded_quietly(
    tmp_path: Path, snapshot: Snapshot, values: list[Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path, snapshot, *values)
    assert "12345" not in str(caught.value)


def trade(number: int, name: str, direction: str, amount: float, price: float, fee: float, currency: str) -> JsonObject:
    return {
        "trade_id": str(number),
        "instrument_name": name,
        "direction": direction,
        "amount": amount,
        "price": price,
        "fee": fee,
        "fee_currency": currency,
        "timestamp": TIME + number,
        "mark_price": 1,
    }


TRADES = [
    trade(1, CALL, "sell", 1.5, 0.05, 0.0003, "BTC"),
    trade(2, CALL, "buy", 0.5, 0.04, 0.0001, "BTC"),
    trade(3, XRP, "buy", 2000, 0.62, 0.5, "USDC"),
    trade(4, "BTC-PERPETUAL", "sell", 5000, 85_010.5, -0.000001, "BTC"),
    {**trade(5, "BTC-CS-25DEC26-80000_90000", "buy", 1, 0.01, 0.0002, "BTC"), "legs": []},
]


def test_trades_become_fills_that_apply(tmp_path: Path, snapshot: Snapshot) -> None:
    answer = {"trades": TRADES, "has_more": False}
    found = read(tmp_path, snapshot, {"trades": TRADES[:2], "has_more": True}, answer, fills=True)
    fills = found.document
    assert isinstance(fills, Fills)
    assert fills.positions == {CALL: "-1", XRP: "2", "BTC-PERPETUAL": "-500"}
    # 1.5 x 0.05 - 0.5 x 0.04 - 0.0004 + 0.000001 = 0.054601, down to 0.00001; -2000 x 0.62 - 0.5
    assert fills.collateral == {"BTC": "0.0546", "USDC": "-1240.5"}
    assert [o.reason for o in found.left_out] == ["a combo: its legs are trades of their own"]
    assert any("P&L of futures" in note for note in found.notes)
    book = read(tmp_path, snapshot, POSITIONS, SUMMARIES).document
    assert isinstance(book, Book)
    after = add_fills(to_lots(book, snapshot), fills_to_lots(fills, snapshot), snapshot)
    named = {slot.id: lots for slot, lots in zip(snapshot.instruments, after.positions, strict=True)}
    assert (named[CALL], named["BTC-PERPETUAL"], named[XRP]) == (-35, 734, -5)


@pytest.mark.parametrize(
    ("trades", "more", "reason"),
    [
        (TRADES, True, "there are more trades"),
        ([TRADES[0], {**TRADES[0], "price": 0.06}], False, "a trade twice, with other numbers"),
        ([{**TRADES[0], "direction": "zero"}], False, "neither buy nor sell"),
        ([{**TRADES[0], "amount": 0}], False, "amount: must be above 0"),
        ([{**TRADES[0], "amount": 0.05}], False, "not a multiple of the lot"),
        ([{**TRADES[0], "fee_currency": "ETH"}], False, "lists no such asset"),
        ([{**TRADES[0], "instrument_name": "ETH-PERPETUAL"}], False, "no such instrument"),
        ([POSITIONS[0]], False, "not a trade"),
    ],
)
def test_f6_trades_that_do_not_fit(
    tmp_path: Path, snapshot: Snapshot, trades: list[Any], more: bool, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        read(tmp_path, snapshot, {"trades": trades, "has_more": more}, fills=True)


def test_on_the_command_line_files_are_secret_and_no_number_is_shown(
    tmp_path: Path, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    public = tmp_path / "snapshot.json"
    public.write_bytes(snapshot.to_bytes())
    paths = [str(path) for path in answered(tmp_path, POSITIONS, SUMMARIES)]
    out = tmp_path / "book.json"
    assert main(["book", "import", *paths, "--snapshot", str(public), "-o", str(out), "--json"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["positions"] == 4
    assert "1234" not in said
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert main(["margin", str(out), "--snapshot", str(public)]) == 0
    trades = answered(tmp_path, {"trades": TRADES, "has_more": False})
    fills = tmp_path / "fills.json"
    assert main(["book", "fills", str(trades[0]), "--snapshot", str(public), "-o", str(fills)]) == 0
    assert "0.0546" not in capsys.readouterr().out
    assert Fills.parse(fills.read_bytes()).positions is not None
