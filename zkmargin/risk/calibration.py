"""Policies that adapt in the open: a rule and a history give a policy, and a derivation that anybody recomputes.

A *rule* is data: how scan ranges follow from daily closes, and which components of a base policy they go into. A
*derivation* names the digests of rule, history and policy and every number between; it is recomputed bit for bit from
the history and the rule. Everything is integers: moves and volatilities in 1e-9, divisions rounded down, square roots
rounded up, scan ranges rounded up to basis points.

    volatility   v_t = (lambda v_(t-1) + (10^4 - lambda) r_t^2) / 10^4         RiskMetrics, 1996
    scan         the largest of: a quantile of |moves| over the horizon, a multiple of the volatility times the square
                 root of the horizon, a floor
    EMIR RTS 153/2013 Art. 28(1): (b) (1 - w) scan + w stressed scan, w at least 25 %; (c) not below the scan of a
                 look-back of ten years; (a) a buffer of 25 % or more, which may be exhausted while levels rise:
                 max(scan, min((1 + b) scan, the level applied before))
    regimes      stressed from ``enter`` times the long-run volatility, calm again below ``leave`` times it
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import isqrt
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.worst_scenario import ScenarioGrid, WorstScenario
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.units import MAX_PRICE_MOVE_BP
from zkmargin.formats import Digest, Document, FrozenMap, InputError, Map, Model, Seq, Since
from zkmargin.risk.history import UNIT, History, quantile

#: One basis point in 1e-9.
BP = UNIT // SCALE_BP
#: Scan ranges beyond this are a mistake: prices stay above 0.
MAX_SCAN_BP = 9_900
#: Vols do not rise by more than tenfold in one scenario.
MAX_VOL_SCAN_BP = 10 * SCALE_BP


class Quantile(Model):
    """A quantile of absolute moves over ``horizon_days``, of the last ``look_back_days``."""

    level_bp: int = Field(gt=0, le=SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)
    look_back_days: int = Field(ge=10, le=10_000)


class Volatility(Model):
    """A multiple of the EWMA volatility; ``lambda_1e4`` is the weight of the day before, in 1e-4."""

    lambda_1e4: int = Field(default=9_700, gt=0, lt=SCALE_BP)
    multiple_1e4: int = Field(default=30_000, gt=0, le=20 * SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)


class Stressed(Model):
    """Art. 28(1)(b): a weight of a quarter at least for the scan of a stressed period."""

    first: str
    last: str
    weight_bp: int = Field(default=2_500, ge=2_500, le=SCALE_BP)


class Buffer(Model):
    """Art. 28(1)(a): the buffer that is exhausted while levels rise above what was applied before."""

    buffer_bp: int = Field(default=2_500, ge=2_500, le=10 * SCALE_BP)


class VolScan(Model):
    """How far implied vols move: a quantile of absolute relative moves of a history of vols, and a floor.

    The vol moves of the base policy's grid are scaled so that the largest is this range.
    """

    level_bp: int = Field(gt=0, le=SCALE_BP)
    horizon_days: int = Field(default=1, ge=1, le=30)
    look_back_days: int = Field(ge=10, le=10_000)
    floor_bp: int = Field(default=0, ge=0, le=MAX_VOL_SCAN_BP)


class Regimes(Model):
    """A stressed regime multiplies the scan; hysteresis keeps it from flickering.

    Attributes:
        enter_1e4, leave_1e4: EWMA volatility over the long-run one (of all days), in 1e-4.
        stressed_1e4: what the scan is multiplied by in the stressed regime, in 1e-4.
    """

    enter_1e4: int = Field(gt=0)
    leave_1e4: int = Field(gt=0)
    stressed_1e4: int = Field(ge=SCALE_BP, le=10 * SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.leave_1e4 > self.enter_1e4:
            raise InputError("above enter: no hysteresis", field="leave_1e4")
        return self


class Historical(Model):
    """Days of the history as joint scenarios of a group, over all underlyings; the most recent ones.

    Attributes:
        filtered: each day's move is scaled by today's volatility over that day's (Barone-Adesi, Giannopoulos and
            Vosper, "VaR without correlations for portfolios of derivative securities", 1999).
        shortfall_level_bp: emit an expected shortfall at this level; without it the worst day counts.
    """

    group: str
    days: int = Field(ge=1, le=1_000)
    filtered: bool = False
    lambda_1e4: int = Field(default=9_700, gt=0, lt=SCALE_BP)
    shortfall_level_bp: int | None = Field(default=None, gt=0, lt=SCALE_BP)


class LiquidityTier(Model):
    """Beyond ``part_bp`` of a day's volume, a position costs ``rate_bp`` of its notional more: a marginal rate."""

    part_bp: int = Field(gt=0, le=100 * SCALE_BP)
    rate_bp: int = Field(gt=0, le=SCALE_BP)


class Liquidity(Model):
    """Charges that grow with a position's size against what its market trades in a day (a ``gross_charge``).

    Attributes:
        daily_volume: quote a day, by underlying; one that is not named is not charged.
        tiers: ascending parts of it, with marginal rates that grow.
    """

    daily_volume: Map[str, str]
    tiers: Seq[LiquidityTier] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, text in self.daily_volume.items():
            if to_fraction(text, field=f"daily_volume.{name}") <= 0:
                raise InputError("must be above 0", field=f"daily_volume.{name}")
        for before, after in pairwise(self.tiers):
            if after.part_bp <= before.part_bp or after.rate_bp <= before.rate_bp:
                raise InputError("parts and rates must grow from tier to tier", field="tiers")
        return self


class Rule(Document):
    """How a policy follows from a history.

    Attributes:
        base: a named policy, whose ``worst_scenario`` grid is scaled; everything else of it stays.
        floor_bp: no scan range is below this.
        vols: how far implied vols move, from a history of them; None leaves the base policy's vol moves as they are.
        correlation_bp: for each, all underlyings move by their scan ranges together, and the second and later ones by
            this part of theirs against the first: joint scenarios of a group ``correlation``.
    """

    FORMAT: ClassVar[str] = "zkmargin/rule/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/rule/v1",)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    base: str = "default"
    quantile: Quantile | None = None
    volatility: Volatility | None = None
    floor_bp: int = Field(default=0, ge=0, le=MAX_SCAN_BP)
    stressed: Stressed | None = None
    ten_year_days: int | None = Field(default=None, ge=250, le=10_000)
    buffer: Buffer | None = None
    regimes: Regimes | None = None
    historical: Historical | None = None
    correlation_bp: Seq[int] = Field(default=(), max_length=8)
    liquidity: Liquidity | None = None
    vols: Annotated[VolScan | None, Since(2)] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.quantile is None and self.volatility is None:
            raise InputError("neither quantile nor volatility: nothing says how a scan range follows", field="quantile")
        if self.regimes is not None and self.volatility is None:
            raise InputError("regimes are told apart by volatility", field="regimes")
        if any(not 0 <= part <= SCALE_BP for part in self.correlation_bp):
            raise InputError("from 0 to 10000", field="correlation_bp")
        return self


class Level(Model):
    """What a rule says of one underlying: every number on the way to its scan range. Moves are in 1e-9.

    Attributes:
        volatility, long_run: EWMA and plain root mean square of daily moves; None without a rule for them.
        by_quantile, by_volatility: the two measures.
        raw: the larger, and the floor.
        stressed, ten_year: the measure of these periods.
        regime: ``calm`` or ``stressed``.
        applied: after the tools against procyclicality, the regime and the buffer.
        scan_bp: ``applied`` in basis points, rounded up: what the policy holds.
        vol_scan_bp: the range of implied vols, rounded up; None where there are no vols or no rule for them.
    """

    volatility: int | None = None
    long_run: int | None = None
    by_quantile: int | None = None
    by_volatility: int | None = None
    raw: int
    stressed: int | None = None
    ten_year: int | None = None
    regime: Literal["calm", "stressed"] = "calm"
    applied: int
    scan_bp: int
    vol_scan_bp: Annotated[int | None, Since(2)] = None


class Derivation(Document):
    """How a policy came about. Public.

    Attributes:
        rule: the rule itself; its digest is what a series of policies is announced by.
        as_of: the last day of the history that was used.
        history: keccak-256 of that part of the history.
        before: the derivation before, whose levels a buffer and the regimes start from; None for the first.
        policy: digest of the policy.
    """

    FORMAT: ClassVar[str] = "zkmargin/derivation/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/derivation/v1",)

    rule: Rule
    rule_digest: Digest
    as_of: str
    history: Digest
    before: Digest | None = None
    before_levels: Map[str, int] = Field(default_factory=FrozenMap)
    before_regimes: Map[str, str] = Field(default_factory=FrozenMap)
    levels: Map[str, Level]
    policy: Digest


def calibrate(
    history: History, rule: Rule, *, as_of: str | None = None, before: Derivation | None = None
) -> tuple[Policy, Derivation]:
    """The policy that follows from a history under a rule, and how.

    Args:
        history: closes; days after ``as_of`` are not looked at.
        rule: the rule.
        as_of: the date; None is the last one.
        before: the derivation of the policy in force, for a buffer and for regimes.

    Raises:
        InputError: too few days, a stressed period outside the history, a base policy without a grid to scale, a
            derivation of another rule.
    """
    known = history.until(as_of or history.dates[-1])
    rule_digest = rule.digest().hex()
    if before is not None and before.rule_digest != rule_digest:
        raise InputError("the derivation before is of another rule", field="before")
    applied = {} if before is None else {name: level.applied for name, level in before.levels.items()}
    regimes: dict[str, str] = {} if before is None else {n: level.regime for n, level in before.levels.items()}
    levels = {name: level_of(known, name, rule, applied.get(name), regimes.get(name, "calm")) for name in known.prices}
    policy = _policy(known, rule, levels)
    derivation = Derivation(
        format=Derivation.FORMAT if rule.format == Rule.FORMAT else Derivation.READS[0],
        rule=rule,
        rule_digest=rule_digest,
        as_of=known.dates[-1],
        history=known.digest().hex(),
        before=None if before is None else before.digest().hex(),
        before_levels=applied,
        before_regimes=regimes,
        levels=levels,
        policy=policy.digest().hex(),
    )
    return policy, derivation


def check_derivation(derivation: Derivation, history: History, policy: Policy) -> None:
    """Recompute a derivation from its rule and the history, bit for bit.

    Raises:
        InputError: the first thing that differs.
    """
    if derivation.rule.digest().hex() != derivation.rule_digest:
        raise InputError("not the digest of its rule", field="rule_digest")
    known = history.until(derivation.as_of)
    if known.dates[-1] != derivation.as_of or known.digest().hex() != derivation.history:
        raise InputError("not of this history", field="history")
    if policy.digest().hex() != derivation.policy:
        raise InputError("not of this policy", field="policy")
    for name in known.prices:
        level = level_of(
            known,
            name,
            derivation.rule,
            derivation.before_levels.get(name),
            derivation.before_regimes.get(name, "calm"),
        )
        if derivation.levels.get(name) != level:
            raise InputError("another level follows from the history", field=f"levels.{name}")
    if set(derivation.levels) != set(known.prices):
        raise InputError("other underlyings than the history's", field="levels")
    if _policy(known, derivation.rule, dict(derivation.levels.items())).digest() != policy.digest():
        raise InputError("another policy follows from the levels", field="policy")


def level_of(history: History, name: str, rule: Rule, before: int | None, regime: str) -> Level:
    """The level of one underlying after a history. Raises InputError for too short a history."""
    return Series(history, name, rule).level(len(history.dates), before, regime)


class Series:
    """One underlying's closes under a rule: its level after any number of days, by the same code for each.

    Moves and volatilities of a day depend on the days before it alone, so they are computed once.
    """

    def __init__(self, history: History, name: str, rule: Rule) -> None:
        self.name, self.rule, self.dates = name, rule, history.dates
        horizon = 1 if rule.quantile is None else rule.quantile.horizon_days
        self._horizon, self._long = horizon, history.returns(name, horizon)
        self.moves = history.returns(name)
        self._squares = [0, *accumulate(move * move for move in self.moves)]
        self._periods: dict[tuple[int, int], int] = {}
        self._vols = [] if rule.volatility is None else ewma(self.moves, rule.volatility.lambda_1e4)
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
        found["raw"] = level = max(measures)
        if rule.stressed is not None:
            found["stressed"] = self._stressed(days, rule.stressed)
            weight = rule.stressed.weight_bp
            level = max(level, -(-((SCALE_BP - weight) * level + weight * found["stressed"]) // SCALE_BP))
        if rule.ten_year_days is not None:
            found["ten_year"] = self._measure(max(days - 1 - rule.ten_year_days, 0), days)
            level = max(level, found["ten_year"])
        if rule.regimes is not None:
            ratio = found["volatility"] * SCALE_BP // max(found["long_run"], 1)
            limit = rule.regimes.leave_1e4 if regime == "stressed" else rule.regimes.enter_1e4
            found["regime"] = "stressed" if ratio >= limit else "calm"
            if found["regime"] == "stressed":
                level = -(-level * rule.regimes.stressed_1e4 // SCALE_BP)
        if rule.buffer is not None:
            buffered = level * (SCALE_BP + rule.buffer.buffer_bp) // SCALE_BP
            level = buffered if before is None else max(level, min(buffered, before))
        scan = -(-level // BP)
        if scan > MAX_SCAN_BP:
            raise InputError(f"a scan range of {scan} bp, above {MAX_SCAN_BP}", field=self.name)
        vol_scan = self._vol_scan(days)
        if vol_scan is not None:
            found["vol_scan_bp"] = vol_scan
        return Level(applied=level, scan_bp=max(scan, 1), **found)

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
    """The volatility after each move, in 1e-9; it starts from the mean square of the first ten."""
    if not moves:
        raise InputError("no moves in the history")
    first = moves[:10]
    variance = sum(move * move for move in first) // len(first)
    found = []
    for move in moves:
        variance = (lambda_1e4 * variance + (SCALE_BP - lambda_1e4) * move * move) // SCALE_BP
        found.append(root_up(variance))
    return found


def root_up(square: int) -> int:
    """The square root, rounded up."""
    root = isqrt(square)
    return root if root * root == square else root + 1


def _by_volatility(volatility: int, terms: Volatility) -> int:
    return -(-root_up(volatility * volatility * terms.horizon_days) * terms.multiple_1e4 // SCALE_BP)


def _policy(history: History, rule: Rule, levels: dict[str, Level]) -> Policy:
    base = load_policy(rule.base)
    grids = [(place, part) for place, part in enumerate(base.components) if isinstance(part, WorstScenario)]
    if not grids:
        raise InputError("has no worst_scenario grid to scale", field="base")
    place, worst = grids[0]
    overrides = {
        name: scaled_grid(worst.overrides.get(name, worst.grid), level.scan_bp, level.vol_scan_bp)
        for name, level in levels.items()
    }
    data = base.model_dump(mode="json")
    changed = worst.model_copy(update={"overrides": FrozenMap({**dict(worst.overrides.items()), **overrides})})
    data["components"][place] = changed.model_dump(mode="json")
    more = (_days(history, rule), _correlations(rule, levels), _liquidity(rule))
    data["components"] += [part for part in more if part is not None]
    data |= {
        "name": rule.name,
        "version": history.dates[-1],
        "title": f"{base.title}: calibrated"[:200],
        "description": f"Calibrated by the rule {rule.name} on closes up to {history.dates[-1]}. {base.description}"[
            :4000
        ],
    }
    return Policy.model_validate(data)


def scaled_grid(grid: ScenarioGrid, scan_bp: int, vol_scan_bp: int | None = None) -> ScenarioGrid:
    """A grid whose largest price move is ``scan_bp``; of tails, the part scan / |move| counts, up to all of it.

    Its largest vol move is ``vol_scan_bp``, unless that is None; no vol falls by more than 99 %.

    Raises:
        InputError: vols are to be scaled, and the grid moves none.
    """
    widest = max(abs(move) for move in grid.price_moves_bp)
    moves = tuple(
        dict.fromkeys((1 if m > 0 else -1) * -(-abs(m) * scan_bp // widest) if m else 0 for m in grid.price_moves_bp)
    )
    tails = tuple(
        tail.model_copy(update={"weight_bp": min(-(-scan_bp * SCALE_BP // abs(tail.price_move_bp)), SCALE_BP)})
        for tail in grid.tails
        if abs(tail.price_move_bp) > scan_bp
    )
    changed: dict[str, Any] = {"price_moves_bp": moves, "tails": [t.model_dump() for t in tails]}
    if vol_scan_bp is not None:
        largest = max(abs(move) for move in grid.vol_moves_bp)
        if not largest:
            raise InputError("the base policy's grid moves no vols", field="vols")
        vols = [-(-abs(move) * vol_scan_bp // largest) for move in grid.vol_moves_bp]
        signed = [x if move >= 0 else -min(x, MAX_SCAN_BP) for x, move in zip(vols, grid.vol_moves_bp, strict=True)]
        changed["vol_moves_bp"] = tuple(dict.fromkeys(signed))
    return ScenarioGrid.model_validate(grid.model_dump() | changed)


def _days(history: History, rule: Rule) -> dict[str, Any] | None:
    terms = rule.historical
    if terms is None:
        return None
    moves = {name: history.returns(name) for name in history.prices}
    implied = {name: history.vol_returns(name) for name in history.vols} if rule.vols is not None else {}
    count = min(terms.days, len(history.dates) - 1)
    scenarios = []
    vols = {name: ewma(own, terms.lambda_1e4) for name, own in moves.items()} if terms.filtered else {}
    for day in range(len(history.dates) - 1 - count, len(history.dates) - 1):
        own = {}
        for name, column in moves.items():
            move = column[day]
            if terms.filtered:
                move = move * vols[name][-1] // max(vols[name][day], 1)
            own[name] = {"price_move_bp": _bp_away(move)}
            if name in implied:
                own[name]["vol_move_bp"] = _bp_away(implied[name][day])
        scenarios.append({"name": history.dates[day + 1], "moves": own})
    common: dict[str, Any] = {
        "group": terms.group,
        "source": "simulated" if terms.filtered else "historical",
        "scenarios": scenarios,
        "others": {"price_move_bp": 0},
    }
    if terms.shortfall_level_bp is None:
        return {"type": "joint_scenarios", **common}
    return {"type": "expected_shortfall", "level_bp": terms.shortfall_level_bp, **common}


def _bp_away(move: int) -> int:
    """A move in basis points, rounded away from 0, above -100 %."""
    size: int = -(-abs(move) // BP)
    return min(size, MAX_PRICE_MOVE_BP) if move >= 0 else -min(size, MAX_SCAN_BP)


def _liquidity(rule: Rule) -> dict[str, Any] | None:
    if rule.liquidity is None:
        return None
    rates = []
    for name, text in rule.liquidity.daily_volume.items():
        volume = to_fraction(text)
        # where a tier begins, rounded down to a billionth: against the account
        tiers = [
            {"above": from_units(int(volume * tier.part_bp * 10**9) // SCALE_BP, 9), "rate_bp": tier.rate_bp}
            for tier in rule.liquidity.tiers
        ]
        kinds = ["option", "future", "perpetual", "spot"]
        rates.append({"kinds": kinds, "underlyings": [name], "rate_bp": 0, "tiers": tiers})
    return {"type": "gross_charge", "mode": "added", "rates": rates}


def _correlations(rule: Rule, levels: dict[str, Level]) -> dict[str, Any] | None:
    if not rule.correlation_bp or len(levels) < 2:
        return None
    names = list(levels)
    scenarios = []
    for part in sorted(set(rule.correlation_bp)):
        for sign, word in ((1, "up"), (-1, "down")):
            for other, how in ((1, "with"), (-1, "against")):
                moves = {names[0]: {"price_move_bp": sign * levels[names[0]].scan_bp}}
                for name in names[1:]:
                    size = -(-levels[name].scan_bp * part // SCALE_BP)
                    moves[name] = {"price_move_bp": sign * other * size}
                scenarios.append({"name": f"{names[0]} {word}, others {part} bp {how} it", "moves": moves})
    return {
        "type": "joint_scenarios",
        "group": "correlation",
        "source": "stress",
        "scenarios": scenarios,
        "others": {"price_move_bp": 0},
    }
