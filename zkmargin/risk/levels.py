"""One underlying's level under a rule: from closes to a scan range, a multiplier and a variance, in integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import Any

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.delta_norm import MAX_FACTORS
from zkmargin.engine.components.factors import AntiProcyclicality, Factors
from zkmargin.engine.decimals import from_units
from zkmargin.engine.exact import round_half_away
from zkmargin.formats import InputError
from zkmargin.integers import root_up
from zkmargin.risk.history import RETURN_DECIMALS, History, quantile
from zkmargin.risk.rules import (
    BP,
    MAX_SCAN_BP,
    MAX_VOL_SCAN_BP,
    Covariances,
    Level,
    Quantile,
    Rule,
    Stressed,
    Volatility,
    VolScan,
)

#: One bp^2 of variance, times the 10^8 of a multiple squared, in 1e-18.
_BP2 = SCALE_BP**2 * 10**10


def level_of(history: History, name: str, rule: Rule, before: int | None, regime: str) -> Level:
    """The level of one underlying after a history. Raises InputError for too short a history."""
    return Series(history, name, rule).level(len(history.dates), before, regime)


class Series:
    """One underlying's closes under a rule: its level after any number of days, by the same code for each.

    Moves and volatilities of a day depend on the days before it alone, so they are computed once.
    """

    def __init__(self, history: History, name: str, rule: Rule) -> None:
        self.name, self.rule, self.dates, self.count = name, rule, history.dates, len(history.prices)
        horizon = 1 if rule.quantile is None else rule.quantile.horizon_days
        self._horizon, self._long = horizon, history.returns(name, horizon)
        self.moves = history.returns(name)
        self._squares = [0, *accumulate(move * move for move in self.moves)]
        self._periods: dict[tuple[int, int], int] = {}
        self._vols = [] if rule.volatility is None else ewma(self.moves, rule.volatility.lambda_1e4)
        terms = rule.covariances
        self._variances = [] if terms is None else ewma_products(self.moves, self.moves, terms.lambda_1e4)
        self._vol_moves = [] if rule.vols is None else history.vol_returns(name, rule.vols.horizon_days)

    def level(self, days: int, before: int | None, regime: str) -> Level:
        """The level when the first ``days`` closes are known. Raises InputError for too few of them."""
        rule, found, measures = self.rule, dict[str, Any](), [self.rule.floor_bp * BP]
        if rule.quantile is not None:
            found["by_quantile"] = self._by_quantile(days, rule.quantile, self._long)
            measures.append(found["by_quantile"])
        if rule.volatility is not None:
            if days < 2:
                raise InputError("no moves in the history", field=self.name)
            found["volatility"] = self._vols[days - 2]
            found["long_run"] = root_up(self._squares[days - 1] // (days - 1))
            found["by_volatility"] = _by_volatility(found["volatility"], rule.volatility)
            measures.append(found["by_volatility"])
        found["raw"] = raw = max(measures)
        if rule.stressed is not None:
            found["stressed"] = self._stressed(days, rule.stressed)
        if rule.ten_year_days is not None:
            found["ten_year"] = self._measure(max(days - 1 - rule.ten_year_days, 0), days)
        if rule.regimes is not None:
            ratio = found["volatility"] * SCALE_BP // max(found["long_run"], 1)
            limit = rule.regimes.leave_1e4 if regime == "stressed" else rule.regimes.enter_1e4
            found["regime"] = "stressed" if ratio >= limit else "calm"
        if rule.factors is None:
            found["applied"] = ranged = _raised(raw, found, rule, before)
        else:
            found["now"] = ranged = max(_in_regime(raw, found, rule), BP)
            found |= _multiplied(found, rule, before)
        scan = -(-ranged // BP)
        if scan > MAX_SCAN_BP:
            raise InputError(f"a scan range of {scan} bp, above {MAX_SCAN_BP}", field=self.name)
        if rule.covariances is not None and self._variances:
            found["delta_bp"] = root_up(own_variance(self._variances[days - 2], self.count, rule.covariances))
        vol_scan = self._vol_scan(days)
        if vol_scan is not None:
            found["vol_scan_bp"] = vol_scan
        return Level(scan_bp=max(scan, 1), **found)

    def _vol_scan(self, days: int) -> int | None:
        """The range of implied vols in basis points, rounded up; None without vols or a rule."""
        terms = self.rule.vols
        if terms is None or not self._vol_moves:
            return None
        scan: int = max(-(-self._by_quantile(days, terms, self._vol_moves) // BP), terms.floor_bp, 1)
        if scan > MAX_VOL_SCAN_BP:
            raise InputError(f"vols move by {scan} bp, above {MAX_VOL_SCAN_BP}", field=self.name)
        return scan

    def _by_quantile(self, days: int, terms: Quantile | VolScan, moves: Sequence[int]) -> int:
        count = max(days - terms.horizon_days, 0)
        if count < terms.look_back_days:
            raise InputError(
                f"{count} moves over {terms.horizon_days} days, and the rule looks back {terms.look_back_days}",
                field=self.name,
            )
        return quantile([abs(move) for move in moves[count - terms.look_back_days : count]], terms.level_bp)

    def _stressed(self, days: int, terms: Stressed) -> int:
        """The same measures of the stressed period, all its days weighing alike."""
        first = bisect_left(self.dates, terms.first, hi=days)
        last = bisect_right(self.dates, terms.last, hi=days)
        if last - first < 10:
            raise InputError("fewer than ten days of the stressed period are in the history", field="stressed")
        return self._measure(first, last)

    def _measure(self, first: int, last: int) -> int:
        """The measures of the closes from ``first`` to ``last``, all days weighing alike; 0 without moves."""
        if (first, last) in self._periods:  # a stressed period is the same every day
            return self._periods[first, last]
        measures = [0]
        if self.rule.quantile is not None and last - self._horizon > first:
            moves = self._long[first : last - self._horizon]
            measures.append(quantile([abs(move) for move in moves], self.rule.quantile.level_bp))
        if self.rule.volatility is not None and last - 1 > first:
            plain = root_up((self._squares[last - 1] - self._squares[first]) // (last - 1 - first))
            measures.append(_by_volatility(plain, self.rule.volatility))
        self._periods[first, last] = max(measures)
        return self._periods[first, last]


def ewma(moves: Sequence[int], lambda_1e4: int) -> list[int]:
    """The volatility after each move, in 1e-9, rounded up; it starts from the mean square of the first ten.

    Example:
        >>> ewma([30_000_000, 0], 9_700)
        [30000000, 29546574]
    """
    return [root_up(variance) for variance in ewma_products(moves, moves, lambda_1e4)]


def ewma_products(one: Sequence[int], other: Sequence[int], lambda_1e4: int) -> list[int]:
    """The EWMA covariance after each day's pair of moves, in 1e-18; each step is rounded down.

    Example:
        >>> ewma_products([30_000_000, 0], [-10_000_000, 50_000_000], 9_700)
        [-300000000000000, -291000000000000]
    """
    if not one:
        raise InputError("no moves in the history")
    products = [a * b for a, b in zip(one, other, strict=True)]
    first = products[:10]
    covariance = sum(first) // len(first)
    found = []
    for product in products:
        covariance = (lambda_1e4 * covariance + (SCALE_BP - lambda_1e4) * product) // SCALE_BP
        found.append(covariance)
    return found


def covariances(history: History, terms: Covariances) -> list[list[int]]:
    """[K][K] the EWMA covariances on the last day, in 1e-18. Raises InputError for a history of too many columns."""
    if len(history.prices) > MAX_FACTORS:
        raise InputError(f"a matrix of {len(history.prices)} underlyings, at most {MAX_FACTORS}", field="covariances")
    moves = [history.returns(name) for name in history.prices]
    return [[ewma_products(a, b, terms.lambda_1e4)[-1] for b in moves] for a in moves]


def own_variance(variance: int, count: int, terms: Covariances) -> int:
    """The diagonal of the matrix in bp^2, of a variance in 1e-18 among ``count`` underlyings: rounded up, and raised.

    Others' entries are rounded to the nearest, and the recursion drops less than 10^4 units of 1e-18; so ``count`` - 1
    on the diagonal is more than an eigenvalue can lose (Gershgorin).
    """
    return -(-variance * _squared(terms) // _BP2) + count - 1


def matrix_of(covariance: Sequence[Sequence[int]], terms: Covariances) -> list[list[int]]:
    """[K][K] the matrix of a ``delta_norm`` in bp^2, positive semidefinite, of EWMA covariances in 1e-18.

    Example:
        >>> matrix_of([[10**14, 9 * 10**13], [9 * 10**13, 10**14]], Covariances(multiple_1e4=10_000))
        [[10001, 9000], [9000, 10001]]
    """
    size = len(covariance)
    return [
        [
            own_variance(entry, size, terms) if row == place else round_half_away(entry * _squared(terms), _BP2)
            for place, entry in enumerate(entries)
        ]
        for row, entries in enumerate(covariance)
    ]


def _squared(terms: Covariances) -> int:
    return terms.multiple_1e4**2 * terms.horizon_days


def _in_regime(level: int, found: Mapping[str, Any], rule: Rule) -> int:
    if rule.regimes is None or found["regime"] == "calm":
        return level
    return -(-level * rule.regimes.stressed_1e4 // SCALE_BP)


def _raised(level: int, found: Mapping[str, Any], rule: Rule, before: int | None) -> int:
    """The level after the tools, the regime and the buffer, where they widen the scan range itself."""
    if rule.stressed is not None:
        weight = rule.stressed.weight_bp
        level = max(level, -(-((SCALE_BP - weight) * level + weight * found["stressed"]) // SCALE_BP))
    if rule.ten_year_days is not None:
        level = max(level, found["ten_year"])
    level = _in_regime(level, found, rule)
    if rule.buffer is None:
        return level
    buffered = level * (SCALE_BP + rule.buffer.buffer_bp) // SCALE_BP
    return buffered if before is None else max(level, min(buffered, before))


def _multiplied(found: Mapping[str, Any], rule: Rule, before: int | None) -> dict[str, int]:
    """The same as a multiplier, by the component's own formula; at first the whole buffer is there."""
    more: dict[str, int] = {}
    if rule.buffer is not None:
        others = rule.stressed is not None or rule.ten_year_days is not None
        level = found["now"] * (tools_of(found, rule).multiplier() if others else 1)
        whole = ceil(level * Fraction(SCALE_BP + rule.buffer.buffer_bp, SCALE_BP))
        more["previous"] = whole if before is None else before
    tools = tools_of({**found, **more}, rule)
    applied = ceil(found["now"] * tools.multiplier())
    return {**more, "applied": applied, "multiplier_bp": Factors(anti_procyclicality=tools).value_bp(Fraction(1))}


def tools_of(level: Mapping[str, Any], rule: Rule) -> AntiProcyclicality:
    """The levels of one underlying, as the ``factors`` component takes them."""
    given: dict[str, Any] = {
        name: from_units(max(level[name], 1), RETURN_DECIMALS)
        for name in ("now", "stressed", "ten_year", "previous")
        if level.get(name) is not None
    }
    if rule.stressed is not None:
        given["stress_weight_bp"] = rule.stressed.weight_bp
    if rule.buffer is not None:
        given["buffer_bp"] = rule.buffer.buffer_bp
    return AntiProcyclicality(**given)


def _by_volatility(volatility: int, terms: Volatility) -> int:
    over: int = root_up(volatility * volatility * terms.horizon_days)
    return -(-over * terms.multiple_1e4 // SCALE_BP)
