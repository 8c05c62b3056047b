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
    factors      the same three tools as a multiplier of requirements: a ``factors`` component
    covariances  c_t = (lambda c_(t-1) + (10^4 - lambda) r_t s_t) / 10^4: the matrix of a ``delta_norm``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.base import PolicyPart
from zkmargin.engine.components.delta_norm import MAX_VARIANCE, DeltaNorm
from zkmargin.engine.components.factors import Factors
from zkmargin.engine.components.worst_scenario import ScenarioGrid, WorstScenario
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.units import MAX_PRICE_MOVE_BP
from zkmargin.formats import FrozenMap, InputError
from zkmargin.risk.history import History
from zkmargin.risk.levels import covariances, ewma, level_of, matrix_of, tools_of
from zkmargin.risk.rules import BP, MAX_SCAN_BP, Derivation, Level, Rule


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
    if before is not None and before.as_of >= known.dates[-1]:
        raise InputError(f"the derivation before is of {before.as_of}, no earlier day", field="before")
    applied = {} if before is None else {name: level.applied for name, level in before.levels.items()}
    regimes: dict[str, str] = {} if before is None else {n: level.regime for n, level in before.levels.items()}
    levels = {name: level_of(known, name, rule, applied.get(name), regimes.get(name, "calm")) for name in known.prices}
    policy = _policy(known, rule, levels)
    derivation = Derivation(
        format=f"{Derivation.FORMAT.rpartition('/')[0]}/v{rule.format_version}",
        rule=rule,
        rule_digest=rule_digest,
        as_of=known.dates[-1],
        history=known.digest().hex(),
        before=None if before is None else before.digest().hex(),
        before_levels=applied,
        before_regimes=regimes,
        levels=levels,
        policy=policy.digest().hex(),
        **({} if rule.covariances is None else {"covariances": _covariances(known, rule)}),
    )
    return policy, derivation


def check_derivation(
    derivation: Derivation, history: History, policy: Policy, before: Sequence[Derivation] = ()
) -> None:
    """Recompute a derivation from its rule and the history, bit for bit.

    Args:
        derivation: what is checked.
        history: the checker's own closes, at least up to its day.
        policy: the policy that is to follow.
        before: derivations that led to it, in any order: each link is recomputed as well. What the oldest of them
            starts from, or ``derivation`` itself without any, is taken as it says: ``first_known`` says which one.

    Raises:
        InputError: the first thing that differs.
    """
    chain = [*sorted(before, key=lambda one: one.as_of), derivation]
    for one in chain:
        _check_levels(one, history)
    for earlier, later in pairwise(chain):
        _check_link(earlier, later)
    if policy.digest().hex() != derivation.policy:
        raise InputError("not of this policy", field="policy")
    known = history.until(derivation.as_of)
    if _policy(known, derivation.rule, dict(derivation.levels.items())).digest() != policy.digest():
        raise InputError("another policy follows from the levels", field="policy")


def first_known(derivation: Derivation, before: Sequence[Derivation] = ()) -> Derivation:
    """The oldest of the derivations that are at hand; where its ``before`` is None, the whole series was recomputed."""
    return min((*before, derivation), key=lambda one: one.as_of)


def _check_levels(derivation: Derivation, history: History) -> None:
    """The numbers of one derivation. Raises InputError: the first that another one follows for."""
    rule = derivation.rule
    if rule.digest().hex() != derivation.rule_digest:
        raise InputError("not the digest of its rule", field="rule_digest")
    known = history.until(derivation.as_of)
    if known.dates[-1] != derivation.as_of or known.digest().hex() != derivation.history:
        raise InputError("not of this history", field="history")
    started = {*derivation.before_levels, *derivation.before_regimes}
    if started and derivation.before is None:
        raise InputError("starts from levels in force, and names no derivation before it", field="before")
    if not started <= set(known.prices):
        raise InputError("other underlyings than the history's", field="before_levels")
    for name in known.prices:
        level, regime = derivation.before_levels.get(name), derivation.before_regimes.get(name, "calm")
        if derivation.levels.get(name) != level_of(known, name, rule, level, regime):
            raise InputError("another level follows from the history", field=f"levels.{name}")
    if set(derivation.levels) != set(known.prices):
        raise InputError("other underlyings than the history's", field="levels")
    if derivation.covariances != _covariances(known, rule):
        raise InputError("other covariances follow from the history", field="covariances")


def _check_link(earlier: Derivation, later: Derivation) -> None:
    """That one starts from the other. Raises InputError."""
    if earlier.rule_digest != later.rule_digest:
        raise InputError("the derivation before is of another rule", field="before")
    if earlier.as_of >= later.as_of:
        raise InputError(f"the derivation before is of {earlier.as_of}, no earlier day", field="before")
    if later.before != earlier.digest().hex():
        raise InputError(f"does not follow the derivation of {earlier.as_of}", field="before")
    if dict(later.before_levels.items()) != {name: level.applied for name, level in earlier.levels.items()}:
        raise InputError("other levels than the derivation before", field="before_levels")
    if dict(later.before_regimes.items()) != {name: level.regime for name, level in earlier.levels.items()}:
        raise InputError("other regimes than the derivation before", field="before_regimes")


def _policy(history: History, rule: Rule, levels: dict[str, Level]) -> Policy:
    base = load_policy(rule.base)
    data = base.model_dump(mode="json")
    scaled = {type(part): place for place, part in reversed(list(enumerate(base.components)))}
    if DeltaNorm not in scaled and rule.covariances is not None:
        raise InputError("has no delta_norm whose matrix covariances could be", field="base")
    if WorstScenario not in scaled and (rule.covariances is None or rule.vols is not None):
        raise InputError("has no worst_scenario grid to scale", field="base")
    for kind, changed in ((WorstScenario, _scaled), (DeltaNorm, _normed)):
        if kind in scaled:
            place = scaled[kind]
            data["components"][place] = changed(base.components[place], history, rule, levels).model_dump(mode="json")
    more = (_days(history, rule), _correlations(rule, levels), _liquidity(rule), _factors(rule, levels))
    data["components"] += [part for part in more if part is not None]
    data |= {
        "name": rule.name,
        "version": history.dates[-1],
        "title": f"{base.title}: calibrated"[:200],
        "description": f"Calibrated by the rule {rule.name} on closes up to {history.dates[-1]}. {base.description}"[
            :4000
        ],
    }
    if rule.covariances is not None and base.approximation:
        text = f"The matrix is calibrated, in place of the one that the policy {rule.base} describes so: "
        data["approximation"] = (text + base.approximation)[:4000]
    return Policy.model_validate(data)


def _covariances(history: History, rule: Rule) -> tuple[tuple[int, ...], ...]:
    terms = rule.covariances
    return () if terms is None else tuple(map(tuple, covariances(history, terms)))


def _scaled(part: Any, history: History, rule: Rule, levels: dict[str, Level]) -> PolicyPart:  # noqa: ARG001
    """The base policy's grid, scaled for each underlying."""
    own = {
        name: scaled_grid(part.overrides.get(name, part.grid), level.scan_bp, level.vol_scan_bp)
        for name, level in levels.items()
    }
    changed: PolicyPart = part.replaced(overrides=FrozenMap({**dict(part.overrides.items()), **own}))
    return changed


def _normed(part: Any, history: History, rule: Rule, levels: dict[str, Level]) -> PolicyPart:
    """The base policy's delta norm with the covariances as its matrix; as it is, without a rule for them."""
    if rule.covariances is None:
        unchanged: PolicyPart = part
        return unchanged
    matrix = matrix_of(covariances(history, rule.covariances), rule.covariances)
    if any(abs(entry) > MAX_VARIANCE for row in matrix for entry in row):
        raise InputError(f"a variance beyond {MAX_VARIANCE} bp^2", field="covariances")
    changed: PolicyPart = part.replaced(underlyings=tuple(levels), matrix=tuple(map(tuple, matrix)))
    return changed


def _factors(rule: Rule, levels: dict[str, Level]) -> dict[str, Any] | None:
    """The tools of the underlying that needs the largest multiplier."""
    if rule.factors is None:
        return None
    name = binding(rule, levels)
    tools = tools_of(levels[name].model_dump(), rule)
    part = Factors(requirements=rule.factors.requirements, anti_procyclicality=tools)
    return part.model_dump(mode="json")


def binding(rule: Rule, levels: Mapping[str, Level]) -> str:
    """The underlying whose level needs the largest multiplier, the first of equals.

    Raises:
        InputError: the rule names one that has no level.
    """
    chosen = levels if rule.factors is None or not rule.factors.underlyings else rule.factors.underlyings
    for name in chosen:
        if name not in levels:
            raise InputError("the history has no such underlying", field=f"factors.underlyings {name}")
    return max(chosen, key=lambda name: levels[name].multiplier_bp or SCALE_BP)


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
