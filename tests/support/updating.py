"""A market with two expiries, a book and its fills, and steps that somebody changed."""

from __future__ import annotations

import json
from typing import TypeVar

from support.typed import Passed
from zkmargin.crypto.field import encode_scalar
from zkmargin.engine.book import Book
from zkmargin.engine.fills import Fills
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document

EXPIRIES = ("2026-01-30T08:00:00Z", "2026-03-27T08:00:00Z")


def market(
    *expiries: str,
    strikes: tuple[int, ...] = (80_000, 90_000, 100_000),
    lot: str = "0.1",
    assets: tuple[str, ...] = ("USDC", "BTC"),
    multiplier: str = "1",
    rates: str = "0",
) -> Market:
    prices = {"USDC": ("1", "0.01"), "BTC": ("90000", "0.00001"), "USDT": ("1", "0.01")}
    options = [
        Instrument(
            id=f"BTC-{expiry[:10]}-{strike}-{kind[0].upper()}",
            kind="option",
            underlying="BTC",
            expiry=expiry,
            strike=str(strike),
            option_type=kind,
            implied_vol="0.5",
            lot=lot,
            multiplier=multiplier,
        )
        for expiry in expiries
        for strike in strikes
        for kind in ("call", "put")
    ]
    perpetual = Instrument(id="BTC-PERP", kind="perpetual", underlying="BTC", lot="0.001")
    return Market(
        time="2026-01-02T00:00:00Z",
        underlyings=(Underlying(name="BTC", index_price="90000"),),
        forwards=tuple(Forward(underlying="BTC", expiry=expiry, price="90500", rate=rates) for expiry in expiries),
        instruments=(*options, perpetual),
        assets=tuple(Asset(name=name, price=prices[name][0], lot=prices[name][1]) for name in assets),
    )


def snapshot_of(made: Market, rows: int = 64) -> Snapshot:
    """Its snapshot under the default policy."""
    return build_snapshot(made, load_policy("default"), domain_size=rows)


CALL, PUT, NEXT = "BTC-2026-01-30-90000-C", "BTC-2026-01-30-80000-P", "BTC-2026-03-27-100000-C"
BOOK = Book(
    positions={CALL: "-1.5", PUT: "3", NEXT: "2.5", "BTC-PERP": "0.75"}, collateral={"USDC": "900000", "BTC": "2"}
)
FILLS = Fills(positions={CALL: "0.7", NEXT: "-2.5", "BTC-2026-03-27-80000-P": "1.1"}, collateral={"USDC": "-1234.5"})
D = TypeVar("D", bound=Document)


def changed(document: D, **edits: Passed) -> D:
    """A document with values of its first part replaced, read again as if from a file."""
    data = json.loads(document.to_bytes())
    for name, value in edits.items():
        if name in data:
            data[name] = value
        else:
            data["parts"][0][name] = value
    return type(document).parse(json.dumps(data), file="step.json")


def hexed(x: int) -> str:
    return encode_scalar(x).hex()
