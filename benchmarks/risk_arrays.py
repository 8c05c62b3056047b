"""Risk arrays: option values per second beside QuantLib and py_vollib_vectorized, and whole snapshots.

The peers compute in double precision; ours are integers, the same on every machine. They are asked for what a user of
each from Python would ask: QuantLib's blackFormula option by option, py_vollib_vectorized's vectorized_black on arrays.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Column, Section, alternating, in_child
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.pricing import MS_PER_YEAR, black76
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import load_document, save_document

COLUMNS = (
    Column("what"),
    Column("option-scenarios"),
    Column("time", "s"),
    Column("option-scenarios a second", "1/s"),
    Column("ratio", "x"),
)
SCENARIOS = 64
START = datetime(2026, 1, 1, 8, tzinfo=UTC)
#: Peers must agree with us to this part of the forward: double precision far from the money.
AGREEMENT = 1e-9


def table(*, quick: bool) -> Section:
    """The table, measured in a child process."""
    measured = in_child("risk_arrays", "rows", quick=quick)
    notes = [
        "Ratio: time of the peer by ours.",
        "A snapshot is all that market and policy give: market read and checked, risk array, marks, charges, digest.",
        *measured["absent"],
    ]
    return Section("Risk arrays", COLUMNS, measured["rows"], notes)


def rows(*, quick: bool) -> dict[str, Any]:
    """Run in a child process."""
    options, runs = (64, 3) if quick else (1024, 9)
    rng = np.random.default_rng(76)
    count = options * SCENARIOS
    unit = 1 << 40  # price units of one forward: far below the accuracy
    forward = rng.integers(unit // 2, 2 * unit, count)
    strike = rng.integers(unit // 2, 2 * unit, count)
    vol = rng.integers(10**8, 2 * 10**9, count)
    time = rng.integers(MS_PER_YEAR // 365, 2 * MS_PER_YEAR, count)
    call = rng.integers(0, 2, count).astype(np.bool_)
    zero = np.zeros(count, dtype=np.int64)
    floats = (forward / unit, strike / unit, vol / 1e9, time / MS_PER_YEAR, call)
    ours = black76(forward, strike, vol, time, zero, call)

    candidates: dict[str, Callable[[], object]] = {"zkmargin": lambda: black76(forward, strike, vol, time, zero, call)}
    absent = []
    for name, make in (("QuantLib", _quantlib), ("py_vollib_vectorized", _vollib)):
        if find_spec(name) is None:
            absent.append(f"{name}: not installed (pip install 'zkmargin[bench]').")
            continue
        try:
            price = make(floats)
            values = np.asarray(price(), dtype=np.float64).ravel()
        except Exception as error:  # noqa: BLE001 - a peer that does not work here is named, not fatal
            reason = str(error).strip().splitlines() or [""]
            absent.append(f"{name}: installed, but fails: {type(error).__name__}: {reason[0][:120]}")
            continue
        if (worst := float(np.max(np.abs(values - ours / unit) / floats[0]))) > AGREEMENT:
            absent.append(f"{name}: differs from us by {worst:.1e} of the forward: not compared.")
            continue
        candidates[name] = price
    times = alternating(candidates, runs)
    mine = times["zkmargin"].wall
    result: list[list[Any]] = [
        [f"Black-76, {name}", count, t.wall, count / t.wall, None if name == "zkmargin" else t.wall / mine]
        for name, t in times.items()
    ]
    result.append(_snapshot_row(options, runs))
    return {"rows": result, "absent": absent}


def _quantlib(columns: tuple[Any, ...]) -> Callable[[], object]:
    import QuantLib as ql  # noqa: N813, PLC0415 - optional; its own usual name

    forward, strike, vol, years, call = (column.tolist() for column in columns)
    kinds = [ql.Option.Call if c else ql.Option.Put for c in call]
    deviations = [v * t**0.5 for v, t in zip(vol, years, strict=True)]
    rows = list(zip(kinds, strike, forward, deviations, strict=True))
    return lambda: [ql.blackFormula(kind, k, f, s, 1.0) for kind, k, f, s in rows]


def _vollib(columns: tuple[Any, ...]) -> Callable[[], object]:
    from py_vollib_vectorized import vectorized_black  # noqa: PLC0415 - optional

    forward, strike, vol, years, call = columns
    flags = np.where(call, "c", "p")
    rate = np.zeros_like(vol)
    return lambda: vectorized_black(flags, forward, strike, years, rate, vol, return_as="numpy")


def _snapshot_row(options: int, runs: int) -> list[Any]:
    policy = policy_of_64()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "market.json"
        save_document(market_of(options), file)

        def build() -> bytes:
            return build_snapshot(load_document(Market, file), policy).digest()

        wall = alternating({"build": build}, runs)["build"].wall
    count = options * SCENARIOS
    return [f"snapshot, {options} options x {SCENARIOS} scenarios, from a market file", count, wall, count / wall, None]


def market_of(options: int) -> Market:
    """A chain of that many options on one underlying: up to 16 expiries, calls and puts."""
    expiries = [f"{START + timedelta(days=7 * (e + 1)):%Y-%m-%dT%H:%M:%SZ}" for e in range(min(16, options // 4))]
    strikes = options // (2 * len(expiries))
    chain = [
        Instrument(
            id=f"BTC-{number}-{strike}-{kind[0].upper()}",
            kind="option",
            underlying="BTC",
            expiry=expiry,
            strike=str(strike),
            option_type=kind,
            implied_vol=f"0.{50 + number}",
            lot="0.1",
        )
        for number, expiry in enumerate(expiries)
        for strike in range(90_000 - 1000 * (strikes // 2), 90_000 + 1000 * (strikes - strikes // 2), 1000)
        for kind in ("call", "put")
    ]
    return Market(
        time=f"{START:%Y-%m-%dT%H:%M:%SZ}",
        underlyings=(Underlying(name="BTC", index_price="90000"),),
        forwards=tuple(Forward(underlying="BTC", expiry=expiry, price="90500", rate="0.04") for expiry in expiries),
        instruments=tuple(chain),
        assets=(Asset(name="USDC", price="1", lot="0.01"),),
    )


def policy_of_64() -> Policy:
    """The default policy with a finer grid: 19 price moves x 3 vol moves and 7 tails."""
    data = json.loads(load_policy("default").to_bytes())
    grid = next(part["grid"] for part in data["components"] if part["type"] == "worst_scenario")
    grid["price_moves_bp"] = list(range(-2700, 2701, 300))
    grid["tails"] = grid["tails"][:7]
    return Policy.parse(json.dumps(data))
