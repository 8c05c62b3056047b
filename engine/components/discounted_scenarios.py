"""Discounted scenarios: price x vol moves in which each expiry's shocked value is discounted, long and short apart.

Derive PMRM_2 (v2-core, PMRMLib_2): per scenario the P&L of a risk group is, with weight w and relative move s,

    w ( sum over expiries (discounted V_e(s) - V_e) + sum over futures, perpetuals, spot and collateral of value x s )

V_e is what the expiry's options are worth, undiscounted by the static discount: even an unchanged price loses, which
stands for time. In the last half hour before expiry only the part of the forward that is not yet averaged into the
settlement price moves. Collateral named ``risk_cancelling`` moves with its underlying; other collateral does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import Charge, Extent, Labels, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.static_discount import (
    StaticDiscount,
    by_expiry,
    by_group,
    check_expiries,
    check_matrix,
    counted_shortfall,
    members,
)
from zkmargin.engine.components.worst_scenario import ScenarioGrid
from zkmargin.engine.exact import exact_dot, round_half_away
from zkmargin.engine.revaluation import Expiry, Options, basis_points, rounded_rows, shocked_vol
from zkmargin.engine.settlement import Settled
from zkmargin.engine.valuation import Scenario, Valuation
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Seq

_1E14 = 10**14


class DiscountedScenarios(Selective, PolicyPart):
    """The grid and its discount.

    Attributes:
        overrides: whole grids for single underlyings.
        settlement_average_seconds: how long before expiry the settlement price begins to be averaged.
        risk_cancelling: assets whose balances gain and lose with their underlying in every scenario.
    """

    type: Literal["discounted_scenarios"] = "discounted_scenarios"
    grid: ScenarioGrid
    overrides: Map[str, ScenarioGrid] = Field(default_factory=FrozenMap)
    discount: StaticDiscount
    settlement_average_seconds: int = Field(default=0, ge=0, le=86_400)
    risk_cancelling: Seq[str] = ()

    RISK: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(grid.time_step_seconds for grid in (self.grid, *self.overrides.values())):
            raise InputError("the static discount stands for time: a time step would count it twice", field="grid")
        if len(set(self.risk_cancelling)) != len(self.risk_cancelling):
            raise InputError("an asset twice", field="risk_cancelling")
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the labels of every group's scenarios."""
        labels = self.grid.labels()
        own = {group: self.overrides[group].labels() for group in groups if group in self.overrides}
        return {**super().implied(groups, prices), "scenarios": tuple(own.get(group, labels) for group in groups)}

    def publish(self, valuation: Valuation) -> PublishedDiscountedScenarios:
        """Revalue everything in every scenario of its underlying. Raises InputError."""
        grids = [self.overrides.get(group, self.grid) for group in valuation.groups]
        lists = [grid.scenarios() for grid in grids]
        width = max((len(scenarios) for scenarios in lists), default=0)
        gain = valuation.table(width)
        shortfall = valuation.table(gain.shape[1])
        options = Options(valuation)
        for group, (grid, scenarios) in enumerate(zip(grids, lists, strict=True)):
            chosen = [option for option in options.options if valuation.group_of[option.slot] == group]
            own = {option.expiry: options.expiries[option.expiry] for option in chosen}
            moves = {place: self._moves(expiry, scenarios) for place, expiry in own.items()}
            vol_moves = {place: _vol_moves(expiry, grid, scenarios) for place, expiry in own.items()}
            floor = round_half_away(*(_1E14 * Fraction(grid.vol_floor_bp)).as_integer_ratio())
            vols = [_vols(option.vol, vol_moves[option.expiry], floor, scenarios) for option in chosen]
            values, marks = options.values(chosen, moves, vols), options.marks(chosen)
            weights = [basis_points(scenario.weight_bp) for scenario in scenarios]
            discounts = {place: self.discount.multipliers(expiry) for place, expiry in own.items()}
            kept = {place: [(w * long, w) for w in weights] for place, (long, _) in discounts.items()}
            lost = {
                place: [(w * (short - long), Fraction(0)) for w in weights]
                for place, (long, short) in discounts.items()
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
        groups, gains_of = self._collateral(valuation, lists, width)
        return PublishedDiscountedScenarios(
            **self.implied(valuation.groups, {}),
            expiries=IntArray(options.expiry_of),
            gain=IntArray(gain),
            shortfall=IntArray(shortfall),
            collateral_group=IntArray(groups),
            collateral_gain=IntArray(gains_of),
        )

    def settle(
        self, published: PublishedDiscountedScenarios, settled: Sequence[Settled], valuation: Valuation
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
            long, short = self.discount.multipliers(expired)
            for s, scenario in enumerate(self.overrides.get(own.underlying, self.grid).scenarios()):
                weight = basis_points(scenario.weight_bp)
                gain[own.slot, s] = valuation.money(weight * (long - 1) * own.value, own.name)
                shortfall[own.slot, s] = valuation.money(weight * (short - long) * own.value, own.name)
        return published.replaced(expiries=IntArray(expiries), gain=IntArray(gain), shortfall=IntArray(shortfall))

    def _moves(self, expiry: Expiry, scenarios: Sequence[Scenario]) -> list[Fraction]:
        """The relative moves of an expiry's forward: only what is not averaged yet moves."""
        average = 1000 * self.settlement_average_seconds
        moving = Fraction(min(expiry.time, average), average) if average else Fraction(1)
        return [moving * basis_points(scenario.price_move_bp) for scenario in scenarios]

    def _collateral(
        self, valuation: Valuation, lists: Sequence[Sequence[Scenario]], width: int
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
        """The risk group of each asset, -1 for one that does not move, and its P&L per lot and scenario."""
        assets = valuation.market.assets
        groups, gains = np.full(len(assets), -1, dtype=np.int64), np.zeros((len(assets), width), dtype=np.int64)
        for j, asset in enumerate(assets):
            if asset.name not in self.risk_cancelling:
                continue
            if asset.underlying not in valuation.groups:
                raise InputError(
                    "a risk-cancelling asset whose underlying has no instrument: nothing would move it",
                    field=f"asset {asset.name}",
                )
            groups[j] = valuation.groups.index(asset.underlying)
            scenarios, price = lists[groups[j]], Fraction(valuation.asset_prices[j])
            gains[j, : len(scenarios)] = rounded_rows([_line(price, scenarios)], [asset.name], valuation)[0]
        return groups, gains


class PublishedDiscountedScenarios(Selective, PublishedPart):
    """P&L of one lot long, in two parts: ``gain`` adds up, ``shortfall`` counts against an expiry that is short.

    loss of scenario s = -sum_i q_i gain[i, s] + sum over expiries of max(0, -sum_(i of expiry) q_i shortfall[i, s])
                         - sum_j balance_j collateral_gain[j, s]

    Attributes:
        scenarios: labels per group and scenario; weights are in the arrays.
        expiries: [N] a number for each expiry of an underlying, -1 for slots without one.
        gain: [N, S] money units: ``positive V(s) - V``.
        shortfall: [N, S] money units, not negative: ``(negative - positive) V(s)``.
        collateral_group: [M] the risk group that a balance moves with, -1 for none.
        collateral_gain: [M, S] money units per collateral lot.
    """

    type: Literal["discounted_scenarios"] = "discounted_scenarios"
    scenarios: Seq[Labels]
    expiries: IntArray
    gain: IntArray
    shortfall: IntArray
    collateral_group: IntArray
    collateral_gain: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"expiries": -1, "gain": 0, "shortfall": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """Check shapes, signs, and that columns beyond a group's scenarios are 0. Raises InputError."""
        if len(self.scenarios) != groups:
            raise InputError(f"labels for {len(self.scenarios)} groups, not {groups}", field="scenarios")
        if not all(self.scenarios):
            raise InputError("a group without a scenario: nothing would be charged", field="scenarios")
        counts = np.array([*(len(labels) for labels in self.scenarios), 0], dtype=np.int64)  # the last is of group -1
        width = int(counts.max())
        check_expiries(self.expiries, group_of)
        check_matrix("gain", self.gain, (len(group_of), width))
        check_matrix("shortfall", self.shortfall, (len(group_of), width), negative=False)
        check_matrix("collateral_group", self.collateral_group, (assets,))
        check_matrix("collateral_gain", self.collateral_gain, (assets, width))
        moved = self.collateral_group.values
        if np.any((moved < -1) | (moved >= groups)):
            raise InputError("not a risk group", field="collateral_group")
        if np.any(self.shortfall.values[self.expiries.values < 0]):
            raise InputError("a shortfall without an expiry", field="shortfall")
        for field, array, of in (
            ("gain", self.gain, np.asarray(group_of, dtype=np.int64)),
            ("shortfall", self.shortfall, np.asarray(group_of, dtype=np.int64)),
            ("collateral_gain", self.collateral_gain, moved),
        ):
            if np.any(array.values[np.arange(width) >= counts[of][:, None]]):
                raise InputError("a value beyond the scenarios of its group", field=field)

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each scenario of each group, and for each of these and every expiry."""
        rows, expiries = sum(map(len, self.scenarios)), len(members(self.expiries.values))
        return Extent(rows * (1 + expiries), rows * (expiries**2 + assets**2))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates: the loss of each group in each of its scenarios, collateral left out."""
        losses: dict[int, list[int]] = {}
        for group, own in by_group(legs).items():
            rows = self.gain.values[[leg.slot for leg in own], : len(self.scenarios[group])]
            losses[group] = exact_dot(rows, [-leg.lots for leg in own])
            for part in by_expiry(own, self.expiries).values():
                rows = self.shortfall.values[[leg.slot for leg in part], : len(self.scenarios[group])]
                short = counted_shortfall(exact_dot(rows, [leg.lots for leg in part]), rows)
                losses[group] = [loss + extra for loss, extra in zip(losses[group], short, strict=True)]
        return Charge(candidates=losses)

    def assess_balances(self, lots: Sequence[int]) -> Charge:
        """Candidates: what the collateral that moves with each group loses in its scenarios."""
        losses: dict[int, list[int]] = {}
        groups = self.collateral_group.values
        for group in sorted({int(groups[j]) for j, balance in enumerate(lots) if balance and groups[j] >= 0}):
            rows = np.flatnonzero(groups == group)
            matrix = self.collateral_gain.values[rows, : len(self.scenarios[group])]
            losses[group] = exact_dot(matrix, [-lots[j] for j in rows.tolist()])
        return Charge(candidates=losses)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's loss in a scenario; a leg of a short expiry has its part of the shortfall too."""
        if candidate is None:
            return [0] * len(legs)
        gain, shortfall = self.gain.values[:, candidate], self.shortfall.values[:, candidate]
        short = {
            expiry
            for expiry, part in by_expiry(legs, self.expiries).items()
            if sum(leg.lots * int(shortfall[leg.slot]) for leg in part) < 0
        }
        return [
            -leg.lots * (int(gain[leg.slot]) + (int(shortfall[leg.slot]) if self._expiry(leg) in short else 0))
            for leg in legs
        ]

    def label(self, group: int, candidate: int) -> str:
        """The scenario's label."""
        return self.scenarios[group][candidate]

    def _expiry(self, leg: Leg) -> int:
        return int(self.expiries.values[leg.slot])


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
