"""Backtests of a rule: how often prices moved further than the scan range that was in force, and what it cost.

Each day the rule sees the closes up to that day, its buffer and regime carried along; the move over the next
``horizon`` days is compared with the scan range. An exceedance is a move beyond it, up or down. For reading only: the
tests' statistics are doubles, and nothing of them enters a policy.

    Kupiec (1995)           the number of exceedances against the expected rate: likelihood ratio, chi-squared 1
    Christoffersen (1998)   whether an exceedance is likelier after another: likelihood ratio, chi-squared 1
    traffic light           Basel Committee (1996): 0-4 green, 5-9 yellow, 10 and more red in 250 days at 1 %, here by
                            the same probabilities for any number of days: green below 95 %, yellow below 99.99 %
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.worst_scenario import WorstScenario
from zkmargin.engine.policy import load_policy
from zkmargin.formats import InputError, Model, Seq
from zkmargin.risk.calibration import binding
from zkmargin.risk.history import History, check_day
from zkmargin.risk.levels import Series
from zkmargin.risk.rules import BP, Rule


class Track(Model):
    """One underlying under one rule: what was in force on each day, and what came of it.

    Attributes:
        dates: of the days on which a scan range was in force.
        scan_bp, moves_bp: the range, and the largest absolute move over the horizon that followed (rounded up).
        exceedances: how many were beyond it; ``expected`` is the rate in 1e-4 times the days.
        kupiec, christoffersen: p-values; small ones reject the rule. None where there is nothing to test.
        light: the traffic light.
        peak_to_trough: the largest range in force over the smallest.
        largest_rise: the largest rise of the range over ``rise_days`` days, as a factor.
        mean_bp: what the rule costs: the mean range.
    """

    underlying: str
    dates: Seq[str]
    scan_bp: Seq[int]
    moves_bp: Seq[int]
    exceedances: int
    expected: float
    kupiec: float | None
    christoffersen: float | None
    light: Literal["green", "yellow", "red"]
    peak_to_trough: float
    largest_rise: float
    mean_bp: float


class Backtest(Model):
    """A rule over a history."""

    rule: str
    horizon_days: int
    rate_bp: int
    rise_days: int
    tracks: Seq[Track]


def backtest(
    history: History, rule: Rule, *, first: str, horizon: int = 1, rate_bp: int = 100, rise_days: int = 5
) -> Backtest:
    """Run a rule over a history.

    Args:
        history: closes.
        rule: the rule.
        first: the first day on which its range is in force; the days before are for it to learn from.
        horizon: days of the move that is compared.
        rate_bp: the rate of exceedances that the rule is meant to have, in 1e-4 (100 is 1 %).
        rise_days: days of the largest rise.

    Raises:
        InputError: too few days before ``first``, or none after it.
    """
    check_day(first, field="first")
    if not 0 < rate_bp < SCALE_BP:
        raise InputError("between 0 and 10000, exclusive", field="rate")
    dates, ranges = in_force(history, rule, first, horizon)
    tracks = tuple(_track(history, name, dates, own, horizon, rate_bp, rise_days) for name, own in ranges.items())
    return Backtest(rule=rule.name, horizon_days=horizon, rate_bp=rate_bp, rise_days=rise_days, tracks=tracks)


def in_force(history: History, rule: Rule, first: str, horizon: int) -> tuple[list[str], dict[str, list[int]]]:
    """The days, and for each underlying what an outright position was charged on them, in basis points.

    The scan range and the root of the variance in a ``delta_norm``, times the multiplier of a ``factors`` component:
    that of the underlying that needs the largest.

    Raises:
        InputError: no day from ``first`` on has a move after it, or too few days before it.
    """
    series = {name: Series(history, name, rule) for name in history.prices}
    applied: dict[str, int] = {}
    regimes: dict[str, str] = {}
    dates: list[str] = []
    ranges: dict[str, list[int]] = {name: [] for name in series}
    scanned = any(isinstance(part, WorstScenario) for part in load_policy(rule.base).components)
    for place, day in enumerate(history.dates[: len(history.dates) - horizon]):
        if day < first:
            continue
        levels = {n: s.level(place + 1, applied.get(n), regimes.get(n, "calm")) for n, s in series.items()}
        applied = {name: level.applied for name, level in levels.items()}
        regimes = {name: level.regime for name, level in levels.items()}
        multiplier = levels[binding(rule, levels)].multiplier_bp or SCALE_BP
        dates.append(day)
        for name, level in levels.items():
            charge = (level.scan_bp if scanned else 0) + (level.delta_bp or 0)
            ranges[name].append(-(-charge * multiplier // SCALE_BP))
    if not dates:
        raise InputError("no day with a move after it from that day on", field="first")
    return dates, ranges


def _track(
    history: History, name: str, dates: list[str], scans: list[int], horizon: int, rate_bp: int, rise_days: int
) -> Track:
    ahead, start = history.returns(name, horizon), history.dates.index(dates[0])
    moves = [-(-abs(move) // BP) for move in ahead[start : start + len(dates)]]
    hits = [move > scan for move, scan in zip(moves, scans, strict=True)]
    rate = rate_bp / SCALE_BP
    rises = [later / earlier for earlier, later in zip(scans, scans[rise_days:], strict=False)]
    return Track(
        underlying=name,
        dates=tuple(dates),
        scan_bp=tuple(scans),
        moves_bp=tuple(moves),
        exceedances=sum(hits),
        expected=round(rate * len(hits), 4),
        kupiec=kupiec(sum(hits), len(hits), rate),
        christoffersen=christoffersen(hits),
        light=traffic_light(sum(hits), len(hits), rate),
        peak_to_trough=round(max(scans) / min(scans), 4),
        largest_rise=round(max(rises, default=1.0), 4),
        mean_bp=round(sum(scans) / len(scans), 2),
    )


def kupiec(hits: int, days: int, rate: float) -> float:
    """The p-value that so many exceedances in so many days come from a rate. chi-squared, one degree of freedom.

    Example:
        >>> round(kupiec(10, 250, 0.01), 4)
        0.0003
    """
    seen = hits / days
    ratio = -2 * (_log_likelihood(hits, days, rate) - _log_likelihood(hits, days, seen))
    return _chi_squared_1(max(ratio, 0.0))


def christoffersen(hits: Sequence[bool]) -> float | None:
    """The p-value that exceedances come independently of the day before; None without any to tell."""
    pairs = list(pairwise(hits))
    counts = {(a, b): sum(pair == (a, b) for pair in pairs) for a in (False, True) for b in (False, True)}
    after_none = counts[False, False] + counts[False, True]
    after_one = counts[True, False] + counts[True, True]
    if not after_one or not after_none:
        return None
    both = counts[False, True] + counts[True, True]
    together = _log_likelihood(both, len(pairs), both / len(pairs))
    apart = _log_likelihood(counts[False, True], after_none, counts[False, True] / after_none) + _log_likelihood(
        counts[True, True], after_one, counts[True, True] / after_one
    )
    return _chi_squared_1(max(-2 * (together - apart), 0.0))


def traffic_light(hits: int, days: int, rate: float) -> Literal["green", "yellow", "red"]:
    """The zone of so many exceedances: by the probability of as many or fewer.

    Example:
        >>> [traffic_light(k, 250, 0.01) for k in (4, 5, 9, 10)]
        ['green', 'yellow', 'yellow', 'red']
    """
    below = sum(math.comb(days, k) * rate**k * (1 - rate) ** (days - k) for k in range(hits + 1))
    if below < 0.95:
        return "green"
    return "yellow" if below < 0.9999 else "red"


def _log_likelihood(hits: int, days: int, rate: float) -> float:
    none, some = days - hits, hits
    return (none * math.log(1 - rate) if none else 0.0) + (some * math.log(rate) if some else 0.0)


def _chi_squared_1(x: float) -> float:
    """The probability of more than x."""
    return math.erfc(math.sqrt(x / 2))
