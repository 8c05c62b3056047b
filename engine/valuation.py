"""A market in the integers of pricing: marks, deltas, and the P&L of every instrument under shocks.

Per unit of a contract, in quote, with F the forward, I the index, s the relative move of both:

* linear option: discounted Black-76, ``D BS(F, K)``;
* inverse option: the premium is paid in coin, ``BS(F, K) / F`` coins worth I each. A move takes I and F along, so
  the value after it is ``BS(F (1+s), K) (I (1+s)) / (F (1+s)) = BS(F (1+s), K) I / F``;
* linear future, perpetual and spot at price P: P&L ``P s``;
* inverse future and perpetual at price P, a contract of M quote: ``M (1/P - 1/(P (1+s)))`` coins worth ``I (1+s)``
  each, that is ``M s I / P``: linear in s.

An option whose expiry has passed is worth its intrinsic value here. Snapshots price none: ``engine.settlement``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np

from zkmargin.engine.decimals import parse_time, to_fraction, to_nearest_units
from zkmargin.engine.exact import Int64Array, round_half_away, scale_round
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.units import MAX_ASSET_PRICE, MONEY_DECIMALS, MS_PER_YEAR, WHOLE_BP, Scenario, VolRule
from zkmargin.formats import InputError
from zkmargin.formats.budget import spend

#: Pricing takes shocked forwards and strikes up to 2^PRICE_BITS price units.
PRICE_BITS = 57
#: A forward of fewer price units would not resolve its own moves: its strike is 10^10 times larger.
MIN_FORWARD = 1 << 20
#: What pricing takes: years to expiry, vols, rates, and -rate x years.
MAX_YEARS = 100
MAX_VOL_1E9 = 100 * 10**9
MAX_RATE_1E9 = 5 * 10**9
MAX_GROWTH_1E9 = 24 * 10**8
#: A collateral lot worth less than this many money units must be worth a whole number of them.
MIN_ASSET_PRICE = 10**6
_INT64_MAX = 2**63 - 1
_1E9 = 10**9

P = TypeVar("P")


class Valuation:
    """A market ready to be valued.

    Attributes:
        market: the market.
        groups: underlyings that instruments have, in order of first appearance; or those that are given, where
            some have no instrument that is alive.
        group_of: [N] int64, the group of each instrument.
        asset_prices: [M] money units per lot of each asset.
        money_unit: money units in one unit of quote currency; conformance tests use finer ones than snapshots.

    Raises:
        InputError: a number that does not fit its unit; names the instrument or asset.
    """

    def __init__(
        self,
        market: Market,
        *,
        parts: Sequence[object] = (),
        money_decimals: int = MONEY_DECIMALS,
        groups: Sequence[str] | None = None,
    ) -> None:
        self.market = market
        self._parts = parts
        self.money_unit = Fraction(10**money_decimals)
        self.size = len(market.instruments)
        self.groups = risk_groups(market) if groups is None else tuple(groups)
        index = {name: group for group, name in enumerate(self.groups)}
        self.group_of = np.array([index[i.underlying] for i in market.instruments], dtype=np.int64)
        self._index = {name: to_fraction(market.underlying(name).index_price) for name in self.groups}
        # Money units per lot for a relative move of the whole price (all but options): P&L is this times the move.
        self._lines = [
            None if instrument.kind == "option" else _value_per_move(market, instrument, self._index) * self.money_unit
            for instrument in market.instruments
        ]
        self.asset_prices = tuple(
            asset_price(asset.name, to_fraction(asset.price) * to_fraction(asset.lot) * self.money_unit)
            for asset in market.assets
        )

    @property
    def options(self) -> _Options:
        """The options as arrays, for models that shock them in their own way."""
        return self._options

    def moved(self, prices: Mapping[str, Fraction], vols: Mapping[str, Fraction]) -> Valuation:
        """The same contracts at the same time after a move, without reading the market's texts again.

        ``market`` stays what it was: for components that read nothing of its prices (risk/repricing.py lists them).

        Args:
            prices: factors of the index, forwards and marks of underlyings, and of the assets that follow them.
            vols: factors of their options' implied vols.

        Raises:
            InputError: a price that pricing does not take; names the instrument or asset.
        """
        after = copy(self)
        vars(after).update(
            _index={name: price * prices.get(name, 1) for name, price in self._index.items()},
            _lines=[
                # an inverse contract holds fewer coins at a higher price: what it gains by a relative move stays
                None if line is None else line * (1 if i.settlement == "inverse" else prices.get(i.underlying, 1))
                for line, i in zip(self._lines, self.market.instruments, strict=True)
            ],
            asset_prices=tuple(
                asset_price(asset.name, price * Fraction(prices.get(asset.underlying or "", 1)))
                for price, asset in zip(self.asset_prices, self.market.assets, strict=True)
            ),
            _options=self._options.moved(
                [prices.get(name, Fraction(1)) for name in self.groups],
                [vols.get(name, Fraction(1)) for name in self.groups],
                self.group_of[self._options.slots],
            ),
        )
        return after

    def part(self, kind: type[P]) -> P | None:
        """The policy's component of a kind, for components that follow its parameters; None without one."""
        return next((part for part in self._parts if isinstance(part, kind)), None)

    @cached_property
    def _options(self) -> _Options:
        return _Options(self.market, self.money_unit)

    def line(self, slot: int) -> Fraction | None:
        """Money units per lot for a relative move of 1 (a doubled price); None for an option, which is no line."""
        return self._lines[slot]

    def index_value(self, slot: int) -> Fraction:
        """Money units that the underlying of one lot is worth at the index."""
        instrument = self.market.instruments[slot]
        return quantity_per_lot(instrument) * self._index[instrument.underlying] * self.money_unit

    def money(self, amount: Fraction, name: str) -> int:
        """An amount rounded half away from zero to a money unit. Raises InputError past 64 bits."""
        rounded = round_half_away(amount.numerator, amount.denominator)
        if abs(rounded) > _INT64_MAX:
            raise _too_large(name)
        return rounded

    def marks(self) -> Int64Array:
        """[N] money units per lot: options and spot at their value, 0 for futures and perpetuals."""
        marks = np.zeros(self.size, dtype=np.int64)
        options = self._options
        marks[options.slots] = self._round(options.slots, options.value()[:, None], options.factors)[:, 0]
        for slot, (instrument, line) in enumerate(zip(self.market.instruments, self._lines, strict=True)):
            if instrument.kind == "spot" and line is not None:
                marks[slot] = self.money(line, instrument.id)
        return marks

    def deltas(self) -> Int64Array:
        """[N] 1e-9 units of underlying per lot: the P&L per relative move of the price, divided by the index.

        Informational: signed sums are what hedges a book with the underlying itself.
        """
        deltas = np.zeros(self.size, dtype=np.int64)
        options = self._options
        for slot, slope in zip(options.slots.tolist(), options.slopes(), strict=True):
            deltas[slot] = self._per_index(slot, slope)
        for slot, line in enumerate(self._lines):
            if line is not None:
                deltas[slot] = self._per_index(slot, line)
        return deltas

    def table(self, width: int) -> Int64Array:
        """[N, width] zeros for a component to fill. Raises InputError beyond the budget, before they are made."""
        spend("cells", self.size * width)
        return np.zeros((self.size, width), dtype=np.int64)

    def profits(
        self,
        rows: Int64Array,
        scenarios: Sequence[Scenario],
        *,
        vol_rule: VolRule,
        time_step_ms: int,
    ) -> Int64Array:
        """P&L of one lot long in each scenario, gain positive, weights applied.

        Args:
            rows: [n] slots.
            scenarios: S scenarios.
            vol_rule: how vol moves act on an option's vol.
            time_step_ms: options are revalued this much closer to expiry, at most at expiry.

        Returns:
            [n, S] money units, each rounded once, half away from zero.

        Raises:
            InputError: a P&L past 64 bits; names the instrument.
        """
        result = np.zeros((len(rows), len(scenarios)), dtype=np.int64)
        is_option = np.array([self._lines[row] is None for row in rows], dtype=bool)
        weights = np.array([scenario.weight_bp for scenario in scenarios], dtype=np.int64)
        lines = rows[~is_option]
        if len(lines):
            moves = np.array([scenario.price_move_bp for scenario in scenarios], dtype=np.int64) * weights
            factors = [(self._lines[row] or Fraction(0)) / WHOLE_BP**2 for row in lines]
            result[~is_option] = self._round(lines, np.broadcast_to(moves, (len(lines), len(moves))), factors)
        slots = rows[is_option]
        if len(slots):
            which = np.searchsorted(self._options.slots, slots)
            change = self._options.changes(which, scenarios, vol_rule, time_step_ms)
            profit = np.empty_like(change)
            # One pass per weight: a factor per row then covers all its columns.
            for weight in np.unique(weights):
                columns = np.flatnonzero(weights == weight)
                factors = [self._options.factors[k] * int(weight) / WHOLE_BP for k in which]
                profit[:, columns] = self._round(slots, change[:, columns], factors)
            result[is_option] = profit
        if vol_rule.inverse_in_coin:
            inverse = [place for place, row in enumerate(rows.tolist()) if self._is_inverse(row)]
            for place, profits in zip(
                inverse, self._coin_profits(rows[inverse], scenarios, vol_rule, time_step_ms), strict=True
            ):
                name = self.market.instruments[rows[place]].id
                result[place] = [self.money(amount, name) for amount in profits]
        return result

    def _is_inverse(self, slot: int) -> bool:
        return self.market.instruments[slot].settlement == "inverse"

    def _coin_profits(
        self, rows: Int64Array, scenarios: Sequence[Scenario], vol_rule: VolRule, time_step_ms: int
    ) -> list[list[Fraction]]:
        """P&L of inverse contracts in coins at today's index: the quote value after the move is divided by 1 + move.

        A future or perpetual at P of M quote gains ``M (1/P - 1/(P (1+s)))`` coins, an option
        ``BS(F (1+s)) / (F (1+s)) - BS(F) / F``.
        """
        which = {row: place for place, row in enumerate(self._options.slots.tolist())} if len(rows) else {}
        chosen = [which[row] for row in rows.tolist() if row in which]
        after = self._options.revalued(np.array(chosen, dtype=np.int64), scenarios, vol_rule, time_step_ms).tolist()
        before = self._options.value().tolist() if chosen else []
        values = iter(zip(chosen, after, strict=True))
        profits = []
        for row in rows.tolist():
            weights = [Fraction(scenario.weight_bp, WHOLE_BP) for scenario in scenarios]
            worth = [Fraction(WHOLE_BP, WHOLE_BP + scenario.price_move_bp) for scenario in scenarios]
            line = self._lines[row]
            if line is not None:
                moves = [line * Fraction(scenario.price_move_bp, WHOLE_BP) for scenario in scenarios]
                coins = [move * one for move, one in zip(moves, worth, strict=True)]
            else:
                place, later = next(values)
                factor = self._options.factors[place]
                coins = [factor * (value * one - before[place]) for value, one in zip(later, worth, strict=True)]
            profits.append([weight * amount for weight, amount in zip(weights, coins, strict=True)])
        return profits

    def _per_index(self, slot: int, slope: Fraction) -> int:
        instrument = self.market.instruments[slot]
        return self.money(slope / self._index[instrument.underlying], instrument.id)

    def _round(self, slots: Int64Array, values: Int64Array, factors: Sequence[Fraction]) -> Int64Array:
        try:
            return scale_round(values, [f.numerator for f in factors], [f.denominator for f in factors])
        except OverflowError as error:
            raise _too_large(self.market.instruments[int(slots[error.args[0]])].id) from None


class _Options:
    """The options of a market as arrays. Prices are integers in a unit 10^-k of the quote, k chosen per option.

    Attributes:
        slots: [n] their instrument slots, ascending.
        names: their ids.
        factors: n fractions: money units per lot and price unit, so that value times factor is money.
    """

    def __init__(self, market: Market, money_unit: Fraction) -> None:
        now = parse_time(market.time)
        chosen = [(slot, i) for slot, i in enumerate(market.instruments) if i.kind == "option"]
        self.slots = np.array([slot for slot, _ in chosen], dtype=np.int64)
        self.names = [option.id for _, option in chosen]
        self.factors: list[Fraction] = []
        forwards, strikes, times, vols, rates = [], [], [], [], []
        for _, option in chosen:
            expiry, strike, vol = option.expiry or "", option.strike or "", option.implied_vol or ""
            forward = market.forward_of(option)
            decimals = price_decimals(max(10 * to_fraction(forward.price), to_fraction(strike)), option.id)
            price = to_nearest_units(forward.price, decimals, field=f"{option.id} forward")
            if price < MIN_FORWARD:
                raise InputError("its strike is too far above its forward to be priced", field=option.id)
            forwards.append(price)
            strikes.append(to_nearest_units(strike, decimals, field=f"{option.id} strike"))
            if strikes[-1] < 1:
                raise InputError("its strike is too far below its forward to be priced", field=option.id)
            time = max(parse_time(expiry) - now, 0)
            if time > MAX_YEARS * MS_PER_YEAR:
                raise InputError(f"its expiry is more than {MAX_YEARS} years away", field=option.id)
            times.append(time)
            vols.append(to_nearest_units(vol, 9, field=f"{option.id} implied_vol"))
            factor = quantity_per_lot(option) * money_unit / 10**decimals
            if option.settlement == "inverse":
                index = to_fraction(market.underlying(option.underlying).index_price)
                factor *= index / to_fraction(forward.price)
                rates.append(0)
            else:
                where = f"forward {option.underlying} {expiry} rate"
                rate = to_nearest_units(forward.rate, 9, field=where)
                if abs(rate) > MAX_RATE_1E9 or -rate * time > MAX_GROWTH_1E9 * MS_PER_YEAR:
                    raise InputError("too large a rate for its time to be priced", field=where)
                rates.append(rate)
            self.factors.append(factor)
        self.forward = np.array(forwards, dtype=np.int64)
        self.strike = np.array(strikes, dtype=np.int64)
        self.time = np.array(times, dtype=np.int64)
        self.vol = np.array(vols, dtype=np.int64)
        self.rate = np.array(rates, dtype=np.int64)
        self.is_call = np.array([option.option_type == "call" for _, option in chosen], dtype=bool)

    def moved(self, prices: Sequence[Fraction], vols: Sequence[Fraction], group_of: Int64Array) -> _Options:
        """The same options at forwards and vols times the factors of their groups, rounded to nearest."""
        after = copy(self)
        after.forward, after.vol = self.forward.copy(), self.vol.copy()
        for group, (price, vol) in enumerate(zip(prices, vols, strict=True)):
            rows = np.flatnonzero(group_of == group)
            for name, factor in (("forward", price), ("vol", vol)):
                column = getattr(after, name)
                scaled = scale_round(
                    column[rows][:, None], [factor.numerator] * len(rows), [factor.denominator] * len(rows)
                )
                column[rows] = scaled[:, 0]
            outside = (after.forward[rows] < MIN_FORWARD) | (after.forward[rows] >= 1 << PRICE_BITS)
            outside |= after.vol[rows] > MAX_VOL_1E9
            if outside.any():
                raise InputError("a price or vol that pricing does not take", field=self.names[rows[outside][0]])
        return after

    def value(self) -> Int64Array:
        """[n] the options' values now, in their price units."""
        from zkmargin.engine.pricing import black76  # noqa: PLC0415 - compiled code, which a verifier never loads

        if len(self.slots) == 0:
            return np.zeros(0, dtype=np.int64)
        return black76(self.forward, self.strike, self.vol, self.time, self.rate, self.is_call)

    def slopes(self) -> list[Fraction]:
        """The money units per lot of a relative move of the price, to first order: ``F dV/dF`` times the factor."""
        from zkmargin.engine.pricing import greeks  # noqa: PLC0415

        if len(self.slots) == 0:
            return []
        delta = greeks(self.forward, self.strike, self.vol, self.time, self.rate, self.is_call).delta_1e12
        terms = zip(self.forward.tolist(), delta.tolist(), self.factors, strict=True)
        return [factor * forward * slope / 10**12 for forward, slope, factor in terms]

    def revalued(
        self, which: Int64Array, scenarios: Sequence[Scenario], vol_rule: VolRule, time_step_ms: int
    ) -> Int64Array:
        """[len(which), S] values after each scenario in the options' price units."""
        from zkmargin.engine.pricing import black76  # noqa: PLC0415

        if len(which) == 0:
            return np.zeros((0, len(scenarios)), dtype=np.int64)
        moves, price_column = np.unique([s.price_move_bp for s in scenarios], return_inverse=True)
        vol_moves, vol_column = np.unique([s.vol_move_bp for s in scenarios], return_inverse=True)
        forward = self.forward[which, None]
        # F (10000 + move) / 10000 without overflow: whole ten-thousandths and the rest apart, half rounded up.
        whole, rest = forward // WHOLE_BP, forward % WHOLE_BP
        shocked = whole * (WHOLE_BP + moves) + (rest * (WHOLE_BP + moves) + WHOLE_BP // 2) // WHOLE_BP
        shocked_vol = self._shocked_vols(which, vol_moves.tolist(), vol_rule)
        later = np.maximum(self.time[which, None] - time_step_ms, 0)
        return black76(
            shocked[:, price_column],
            self.strike[which, None],
            shocked_vol[:, vol_column],
            later,
            self.rate[which, None],
            self.is_call[which, None],
        )

    def changes(
        self, which: Int64Array, scenarios: Sequence[Scenario], vol_rule: VolRule, time_step_ms: int
    ) -> Int64Array:
        """[len(which), S] changes of value in the options' price units."""
        return self.revalued(which, scenarios, vol_rule, time_step_ms) - self.value()[which, None]

    def _shocked_vols(self, which: Int64Array, moves: Sequence[int], rule: VolRule) -> Int64Array:
        """[len(which), len(moves)] vols in 1e-9: ``vol max(0, 1 + move scale)``, upwards at least the floor."""
        from zkmargin.engine.pricing import tenor_scale_1e9  # noqa: PLC0415

        scale = tenor_scale_1e9(self.time[which], rule.exponent_short_1e4, rule.exponent_long_1e4, rule.tenor_floor_ms)
        # Python integers: a vol x move x scale can pass 64 bits, and there are few of them.
        vols = np.empty((len(which), len(moves)), dtype=np.int64)
        for row, (vol, factor) in enumerate(zip(self.vol[which].tolist(), np.asarray(scale).tolist(), strict=True)):
            for column, move in enumerate(moves):
                shocked = max(0, vol + round_half_away(vol * move * factor, WHOLE_BP * _1E9))
                if shocked > MAX_VOL_1E9:
                    raise InputError("a vol shocked above 10000 %", field=self.names[which[row]])
                vols[row, column] = max(shocked, rule.floor_1e9) if move > 0 else shocked
        return vols


def risk_groups(market: Market) -> tuple[str, ...]:
    """The underlyings of a market's instruments, in order of first appearance: its risk groups."""
    return tuple(dict.fromkeys(instrument.underlying for instrument in market.instruments))


def quantity_per_lot(instrument: Instrument) -> Fraction:
    """Units of underlying (or quote value, for inverse futures and perpetuals) in one lot."""
    return to_fraction(instrument.lot) * to_fraction(instrument.multiplier)


def _value_per_move(market: Market, instrument: Instrument, index: dict[str, Fraction]) -> Fraction:
    """Quote per lot for a relative move of 1 (a doubled price) of a future, perpetual or spot."""
    if instrument.mark_price is not None:
        price = to_fraction(instrument.mark_price)
    elif instrument.expiry is not None:
        price = to_fraction(market.forward_of(instrument).price)
    else:
        price = index[instrument.underlying]
    per_unit = index[instrument.underlying] / price if instrument.settlement == "inverse" else price
    return quantity_per_lot(instrument) * per_unit


def price_decimals(largest: Fraction, name: str) -> int:
    """The most decimals k with ``largest 10^k`` below 2^PRICE_BITS. Raises InputError where even k = 0 is too many."""
    room = (1 << PRICE_BITS) * largest.denominator // largest.numerator
    if room < 2:
        raise InputError("its price is too large to be priced", field=name)
    return len(str(room - 1)) - 1


def asset_price(name: str, exact: Fraction) -> int:
    """The price of a lot of collateral as whole money units. Raises InputError for too small or too large a lot."""
    units = round_half_away(exact.numerator, exact.denominator)
    if units != exact and units < MIN_ASSET_PRICE:
        raise InputError(
            "one lot is not worth a whole number of money units, and too few of them to round",
            field=f"asset {name}",
            hint="use a larger lot",
        )
    if units >= MAX_ASSET_PRICE:
        raise InputError("one lot is worth too much", field=f"asset {name}", hint="use a smaller lot")
    return units


def _too_large(name: str) -> InputError:
    return InputError("its P&L or value per lot is past 64 bits of money units", field=name, hint="use a smaller lot")
