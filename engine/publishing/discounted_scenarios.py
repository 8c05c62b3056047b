"""What is published of a market: discounted scenarios. Its rule: ``engine/components/discounted_scenarios.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from zkmargin.engine.components.discounted_scenarios import _1E14, DiscountedScenarios, PublishedDiscountedScenarios
from zkmargin.engine.components.worst_scenario import ScenarioGrid
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.publishing.base import publish, settle
from zkmargin.engine.publishing.static_discount import discount_multipliers
from zkmargin.engine.revaluation import Expiry, Options, rounded_rows, shocked_vol
from zkmargin.engine.settlement import Settled
from zkmargin.engine.units import Scenario, basis_points
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray


@publish.register
def _publish_discounted_scenarios(part: DiscountedScenarios, valuation: Valuation) -> PublishedDiscountedScenarios:
    """Revalue everything in every scenario of its underlying. Raises InputError."""
    grids = [part.overrides.get(group, part.grid) for group in valuation.groups]
    lists = [grid.scenarios() for grid in grids]
    width = max((len(scenarios) for scenarios in lists), default=0)
    gain = valuation.table(width)
    shortfall = valuation.table(gain.shape[1])
    options = Options(valuation)
    for group, (grid, scenarios) in enumerate(zip(grids, lists, strict=True)):
        chosen = [option for option in options.options if valuation.group_of[option.slot] == group]
        own = {option.expiry: options.expiries[option.expiry] for option in chosen}
        moves = {place: _moves(part, expiry, scenarios) for place, expiry in own.items()}
        vol_moves = {place: _vol_moves(expiry, grid, scenarios) for place, expiry in own.items()}
        floor = round_half_away(*(_1E14 * Fraction(grid.vol_floor_bp)).as_integer_ratio())
        vols = [_vols(option.vol, vol_moves[option.expiry], floor, scenarios) for option in chosen]
        values, marks = options.values(chosen, moves, vols), options.marks(chosen)
        weights = [basis_points(scenario.weight_bp) for scenario in scenarios]
        discounts = {place: discount_multipliers(part.discount, expiry) for place, expiry in own.items()}
        kept = {place: [(w * long, w) for w in weights] for place, (long, _) in discounts.items()}
        lost = {
            place: [(w * (short - long), Fraction(0)) for w in weights] for place, (long, short) in discounts.items()
        }
        if chosen:
            slots = [option.slot for option in chosen]
            gain[slots, : len(scenarios)] = options.amounts(chosen, values, marks, kept)
            shortfall[slots, : len(scenarios)] = options.amounts(chosen, values, marks, lost)
        for slot in np.flatnonzero(valuation.group_of == group).tolist():
            line = valuation.line(slot)
            if line is not None:
                name = valuation.market.instruments[slot].id
                gain[slot, : len(scenarios)] = rounded_rows([_line(line, scenarios)], [name], valuation)[0]
    groups, gains_of = _collateral(part, valuation, lists, width)
    return PublishedDiscountedScenarios(
        **part.implied(valuation.groups, {}),
        expiries=IntArray(options.expiry_of),
        gain=IntArray(gain),
        shortfall=IntArray(shortfall),
        collateral_group=IntArray(groups),
        collateral_gain=IntArray(gains_of),
    )


@settle.register
def _settle_discounted_scenarios(
    part: DiscountedScenarios, published: PublishedDiscountedScenarios, settled: Sequence[Settled], valuation: Valuation
) -> PublishedDiscountedScenarios:
    """Options that have expired keep their settlement value in every scenario, at the static discount.

    Derive's contract (PMRMLib_2, ``_applyMTMDiscount``) discounts the value of an expiry whatever its time, so that
    what is due to the account counts ``long_base_bp`` of itself until it is paid; its published case 66 writes 1.0
    after expiry, with the same margins. The contract's rule is kept.
    """
    expiries, gain = published.expiries.values.copy(), published.gain.values.copy()
    shortfall = published.shortfall.values.copy()
    places: dict[tuple[str, int], int] = {}
    first = int(expiries.max(initial=-1)) + 1
    for own in settled:
        if not own.value:
            continue
        expiries[own.slot] = first + places.setdefault((own.underlying, own.expiry), len(places))
        expired = Expiry(label="", time=0, rate=Fraction(0), discount=Fraction(1))
        long, short = discount_multipliers(part.discount, expired)
        for s, scenario in enumerate(part.overrides.get(own.underlying, part.grid).scenarios()):
            weight = basis_points(scenario.weight_bp)
            gain[own.slot, s] = valuation.money(weight * (long - 1) * own.value, own.name)
            shortfall[own.slot, s] = valuation.money(weight * (short - long) * own.value, own.name)
    return published.replaced(expiries=IntArray(expiries), gain=IntArray(gain), shortfall=IntArray(shortfall))


def _moves(part: DiscountedScenarios, expiry: Expiry, scenarios: Sequence[Scenario]) -> list[Fraction]:
    """The relative moves of an expiry's forward: only what is not averaged yet moves."""
    average = 1000 * part.settlement_average_seconds
    moving = Fraction(min(expiry.time, average), average) if average else Fraction(1)
    return [moving * basis_points(scenario.price_move_bp) for scenario in scenarios]


def _collateral(
    part: DiscountedScenarios, valuation: Valuation, lists: Sequence[Sequence[Scenario]], width: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """The risk group of each asset, -1 for one that does not move, and its P&L per lot and scenario."""
    assets, places = valuation.market.assets, {name: g for g, name in enumerate(valuation.groups)}
    groups, gains = np.full(len(assets), -1, dtype=np.int64), np.zeros((len(assets), width), dtype=np.int64)
    for j, asset in enumerate(assets):
        if asset.name not in part.risk_cancelling:
            continue
        if asset.underlying not in places:
            raise InputError(
                "a risk-cancelling asset whose underlying has no instrument: nothing would move it",
                field=f"asset {asset.name}",
            )
        groups[j] = places[asset.underlying]
        scenarios, price = lists[groups[j]], Fraction(valuation.asset_prices[j])
        gains[j, : len(scenarios)] = rounded_rows([_line(price, scenarios)], [asset.name], valuation)[0]
    return groups, gains


def _line(line: Fraction, scenarios: Sequence[Scenario]) -> list[Fraction]:
    """The weighted P&L of something that is worth ``line`` per relative move of 1."""
    return [line * basis_points(s.price_move_bp) * basis_points(s.weight_bp) for s in scenarios]


def _vol_moves(expiry: Expiry, grid: ScenarioGrid, scenarios: Sequence[Scenario]) -> dict[int, Fraction]:
    """The relative vol moves of an expiry, by the scenario's own."""
    scale = expiry.tenor_scale(
        basis_points(grid.tenor_exponent_short_1e4),
        basis_points(grid.tenor_exponent_long_1e4),
        1000 * grid.tenor_floor_seconds,
    )
    return {move: basis_points(move) * scale for move in {scenario.vol_move_bp for scenario in scenarios}}


def _vols(vol: int, moves: Mapping[int, Fraction], floor: int, scenarios: Sequence[Scenario]) -> list[int]:
    """The vols of an option in each scenario; vols and their floor in 1e-18."""
    shocked = {own: shocked_vol(vol, move, floor=floor) for own, move in moves.items()}
    return [shocked[scenario.vol_move_bp] for scenario in scenarios]
