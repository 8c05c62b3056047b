"""A universe over days: markets with a daily and a monthly expiry, and what of them is listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

from support.typed import JsonObject, Keywords, Passed
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Capacity, Universe

DAY, HOUR = 86_400_000, 3_600_000
START = parse_time("2026-03-02T09:00:00Z")  # a Monday, an hour after the daily expiry
MONTHLY = "2026-03-27T08:00:00Z"
STRIKES = (80_000, 90_000, 100_000)


def policy(n: int = 16, **layout: Passed) -> Policy:
    """The default policy with a layout of few slots."""
    data = json.loads(load_policy("default").to_bytes())
    data["layout"] |= {"domain_size": n, "position_bits": 20, "collateral_bits": 44} | layout
    return Policy.parse(json.dumps(data))


POLICY = policy()


def daily(at: int) -> str:
    """The daily expiry at 08:00 of the day that a time is in, or after it."""
    day = at // DAY * DAY + 8 * HOUR
    return format_time(day if day > at else day + DAY)


def option(expiry: str, strike: int, right: str) -> JsonObject:
    """An option of a market file."""
    vol = Fraction(strike, 10**6) + Fraction("0.42")
    return {
        "id": f"BTC-{expiry[:10]}-{strike}-{right}",
        "kind": "option",
        "underlying": "BTC",
        "expiry": expiry,
        "strike": str(strike),
        "option_type": "call" if right == "C" else "put",
        "implied_vol": str(float(vol)),
        "lot": "0.1",
    }


def market(
    time: int, *, expiries: Sequence[str], missing: Sequence[str] = (), settled: Sequence[str] = (), index: int = 90_000
) -> Market:
    """A perpetual, two assets, and calls and puts of some expiries; ``settled`` ones have expired at the index."""
    instruments: list[JsonObject] = [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1"}]
    for expiry in expiries:
        instruments += [option(expiry, strike, right) for strike in STRIKES for right in "CP"]
    for expiry in settled:
        for strike in STRIKES:
            for right, gain in (("C", index - strike), ("P", strike - index)):
                own = option(expiry, strike, right) | {"settlement_value": str(max(gain, 0))}
                instruments.append({k: v for k, v in own.items() if k != "implied_vol"})
    return Market.parse(
        json.dumps(
            {
                "format": "zkmargin/market/v2",
                "time": format_time(time),
                "underlyings": [{"name": "BTC", "index_price": str(index)}],
                "forwards": [
                    {"underlying": "BTC", "expiry": e, "price": str(index + 50 * k)} for k, e in enumerate(expiries)
                ],
                "instruments": [i for i in instruments if i["id"] not in missing],
                "assets": [
                    {"name": "USDC", "price": "1", "lot": "0.01"},
                    {"name": "BTC", "price": str(index), "lot": "0.0001"},
                ],
            }
        )
    )


TODAY, TOMORROW = daily(START), daily(START + DAY)
FIRST = market(START, expiries=[TODAY, MONTHLY])
NAME = f"BTC-{MONTHLY[:10]}-90000-C"


def universe(**changes: Passed) -> Universe:
    """What was listed on the first day."""
    given: Keywords = {"capacity": Capacity(positions=60, collateral=6), "delist_after_seconds": 1800} | changes
    return Universe.create(FIRST, "week", **given)


def retired_world() -> tuple[Universe, Snapshot, int]:
    """The second day: its universe, its snapshot and a slot that was retired."""
    founding = universe()
    later = market(START + DAY, expiries=[TOMORROW, MONTHLY], settled=[TODAY])
    after = founding.updated(later)
    snapshot = build_snapshot(later, POLICY, universe=after)
    return after, snapshot, snapshot.retired_slots("positions")[0]
