"""Histories of prices, and a rule with everything in it."""

import math
import random

from zkmargin.risk.history import History
from zkmargin.risk.rules import Buffer, Historical, Quantile, Rule, Volatility


def made(seed: int, days: int = 400, calm: float = 0.01, wild: float = 0.04) -> History:
    """Two seeded random walks with a wild stretch in the middle."""
    draw = random.Random(seed)  # noqa: S311 - a test's history
    prices: dict[str, list[float]] = {"BTC": [90_000.0], "ETH": [3_000.0]}
    for day in range(1, days):
        size = wild if days // 3 < day < days // 2 else calm
        shared = draw.gauss(0, size)
        for name, weight in (("BTC", 1.0), ("ETH", 1.3)):
            prices[name].append(prices[name][-1] * math.exp(weight * shared + draw.gauss(0, size / 3)))
    rows = [f"{2024 + day // 336}-{day % 336 // 28 + 1:02d}-{day % 28 + 1:02d}" for day in range(days)]
    lines = [f"{row},{b:.2f},{e:.2f}" for row, b, e in zip(rows, prices["BTC"], prices["ETH"], strict=True)]
    return History.parse("date,BTC,ETH\n" + "\n".join(lines))


# --- policies and derivations -------------------------------------------------------------------------------

FULL = Rule(
    name="full",
    quantile=Quantile(level_bp=9_900, look_back_days=100),
    volatility=Volatility(),
    floor_bp=500,
    buffer=Buffer(),
    historical=Historical(group="book", days=60, filtered=True, shortfall_level_bp=9_750),
    correlation_bp=(5_000, 10_000),
)
