"""Files of tickers as Deribit and its recorders write them, made by hand."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any

from zkmargin.engine.importers import import_market
from zkmargin.engine.market import Market

import_csv = partial(import_market, format_name="deribit-csv")
import_json = partial(import_market, format_name="deribit-json")
START = 1_700_000_000_000  # 2023-11-14T22:13:20Z
HEADER = [
    "underlying_price",
    "underlying_index",
    "timestamp",
    "mark_price",
    "mark_iv",
    "interest_rate",
    "instrument_name",
    "index_price",
    "bids",
]
Row = dict[str, Any]


def option(name: str, at: int = 0, *, forward: str = "36000.5", iv: str = "55.25", index: str = "35900") -> Row:
    return {
        "underlying_price": forward,
        "underlying_index": "SYN.BTC-24NOV23",
        "timestamp": str(START + at),
        "mark_price": "1.86e-06",
        "mark_iv": iv,
        "interest_rate": "0.0",
        "instrument_name": name,
        "index_price": index,
        "bids": "[[0.221, 3.0]]",
    }


CALL, PUT, FAR = "BTC-24NOV23-40000-C", "BTC-24NOV23-30000-P", "BTC-29DEC23-40000-C"


def write_csv(folder: Path, rows: list[Row], header: list[str] = HEADER) -> Path:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, header, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "tickers.csv"
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


def write_json(folder: Path, text: str) -> Path:
    path = folder / "tickers.json"
    path.write_text(text, encoding="utf-8")
    return path


def notes(market: Market) -> str:
    return "\n".join(market.notes)


def json_tickers() -> str:
    """The public API's shape, numbers as the exchange writes them."""
    return """[
 {"jsonrpc": "2.0", "result": {"timestamp": 1700000000001, "state": "open", "open_interest": 35.5,
  "instrument_name": "ETH-24NOV23-2000-C", "index_price": 1980.02, "mark_price": 0.0312, "mark_iv": 50.5,
  "underlying_price": 1985.25, "underlying_index": "ETH-24NOV23", "interest_rate": 0.0, "bid_iv": 49.9, "ask_iv": 51.0,
  "greeks": {"delta": 0.5, "gamma": 1e-05, "vega": 1.2, "theta": -3.1, "rho": 0.2}, "best_bid_price": 0.031,
  "stats": {"volume": 10.5, "price_change": null, "low": 0.02, "high": 0.04}},
  "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": false},
 {"timestamp": 1700000000002, "instrument_name": "ETH-24NOV23", "index_price": 1980.03, "mark_price": 1985.5,
  "estimated_delivery_price": 1980.03, "interest_value": 0.1},
 {"jsonrpc": "2.0", "result": {"timestamp": 1700000000000, "instrument_name": "ETH-PERPETUAL", "index_price": 1980.01,
  "mark_price": 1980.5, "current_funding": 1e-05, "funding_8h": 0.0001, "interest_value": 0.01}},
 {"timestamp": 1700000000002, "instrument_name": "ETH-29DEC23", "index_price": 1980.04, "mark_price": 1999}
]"""
