"""A market with one of everything, the policy over it, and what its snapshot says of a slot."""

import json
from fractions import Fraction

from support.typed import Passed
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario, WorstScenario
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.snapshot import Snapshot

TIME, EXPIRY, PAST = "2026-01-01T08:00:00Z", "2026-03-02T08:00:00Z", "2025-12-31T08:00:00Z"
DAY = 86_400_000
INDEX, FORWARD = Fraction("90000.5"), Fraction("91234.25")


def option(name: str, strike: str, **more: Passed) -> Instrument:
    given_parts = {
        "id": name,
        "kind": "option",
        "underlying": "BTC",
        "expiry": EXPIRY,
        "strike": strike,
        "option_type": "call",
        "implied_vol": "0.55",
        "lot": "0.1",
    }
    return Instrument(**{**given_parts, **more})


INSTRUMENTS = (
    option("CALL", "95000"),
    option("PUT", "80000", option_type="put", implied_vol="0.654321", lot="0.25"),
    option("COIN-CALL", "95000", settlement="inverse"),
    option("COIN-PUT", "120000", settlement="inverse", option_type="put", multiplier="0.01", lot="1"),
    option("PAST-PUT", "95000", expiry=PAST, option_type="put", settlement_value="5000"),
    Instrument(id="FUT", kind="future", underlying="BTC", expiry=EXPIRY, lot="0.001"),
    Instrument(id="FUT-MARKED", kind="future", underlying="BTC", expiry=EXPIRY, lot="1", mark_price="91111.75"),
    Instrument(
        id="COIN-FUT", kind="future", underlying="BTC", expiry=EXPIRY, lot="1", multiplier="10", settlement="inverse"
    ),
    Instrument(id="PERP", kind="perpetual", underlying="BTC", lot="0.01"),
    Instrument(
        id="COIN-PERP",
        kind="perpetual",
        underlying="BTC",
        lot="1",
        multiplier="10",
        settlement="inverse",
        mark_price="90123.5",
    ),
    Instrument(id="SPOT", kind="spot", underlying="BTC", lot="0.0001"),
    Instrument(id="ETH-PERP", kind="perpetual", underlying="ETH", lot="0.1"),
)
SLOT = {instrument.id: slot for slot, instrument in enumerate(INSTRUMENTS)}


def make_market(**changes: Passed) -> Market:
    given_parts = {
        "time": TIME,
        "underlyings": (Underlying(name="BTC", index_price="90000.5"), Underlying(name="ETH", index_price="3000.1")),
        "forwards": (
            Forward(underlying="BTC", expiry=EXPIRY, price="91234.25", rate="0.05"),
            Forward(underlying="BTC", expiry=PAST, price="90000"),
        ),
        "instruments": INSTRUMENTS,
        "assets": (Asset(name="USDC", price="0.9998", lot="0.01"), Asset(name="BTC", price="90000.5", lot="0.00001")),
    }
    return Market(**{**given_parts, **changes})


def policy_with(**changes: Passed) -> Policy:
    """The default policy with parts of its first component's grid, or of itself, replaced."""
    data = json.loads(load_policy("default").to_bytes())
    for key, value in changes.items():
        target = data if key in data else data["components"][0]["grid"]
        target[key] = value
    return Policy.parse(json.dumps(data))


MARKET, POLICY = make_market(), load_policy("default")


def grid_of(snapshot: Snapshot) -> PublishedWorstScenario:
    return next(part for part in snapshot.components if isinstance(part, PublishedWorstScenario))


def risk_of(snapshot: Snapshot, name: str) -> list[int]:
    row: list[int] = grid_of(snapshot).risk.values[SLOT[name]].tolist()
    return row


def rounded(value: Fraction) -> int:
    return round_half_away(value.numerator, value.denominator)


(GRID,) = (part.grid for part in POLICY.components if isinstance(part, WorstScenario))
SCENARIOS = GRID.scenarios()
