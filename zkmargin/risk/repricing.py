"""Snapshots along moving prices: one market, priced again and again by the engine's own rules, its texts read once."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray

#: Decimals of moved prices.
_DECIMALS = 12
#: Components whose integers follow from a valuation alone; others read the market's own texts.
OF_VALUATION = frozenset(
    ("worst_scenario", "short_option_minimum", "haircuts", "joint_scenarios", "expected_shortfall", "gain_offset")
)


def moved_market(market: Market, prices: Mapping[str, Fraction], vols: Mapping[str, Fraction] | None = None) -> Market:
    """The market after a move: index, forwards, marks and the assets that follow an underlying times its factor.

    Args:
        market: before.
        prices: factors by underlying; those that are not named stay.
        vols: factors of the implied vols of its options.

    Raises:
        InputError: a price that a market does not take.
    """

    def times(text: str, name: str | None, factors: Mapping[str, Fraction]) -> str:
        factor = factors.get(name or "")
        if factor is None:
            return text
        return from_units(round(to_fraction(text) * factor * 10**_DECIMALS), _DECIMALS)

    def instrument(one: Instrument) -> Instrument:
        changed = {}
        if one.mark_price is not None:
            changed["mark_price"] = times(one.mark_price, one.underlying, prices)
        if one.implied_vol is not None:
            changed["implied_vol"] = times(one.implied_vol, one.underlying, vols or {})
        return one.model_copy(update=changed) if changed else one

    # made anew: a copy would keep what the old one has looked up
    return Market(
        **{name: getattr(market, name) for name in Market.model_fields}
        | {
            "underlyings": tuple(
                u.model_copy(update={"index_price": times(u.index_price, u.name, prices)}) for u in market.underlyings
            ),
            "forwards": tuple(
                f.model_copy(update={"price": times(f.price, f.underlying, prices)}) for f in market.forwards
            ),
            "instruments": tuple(instrument(one) for one in market.instruments),
            "assets": tuple(
                a.model_copy(update={"price": times(a.price, a.underlying, prices)}) for a in market.assets
            ),
        }
    )


class Repricer:
    """A market under a policy, at any prices.

    Raises:
        InputError: as ``build_snapshot``; expired instruments, which do not move.
    """

    def __init__(self, market: Market, policy: Policy) -> None:
        self.market, self.policy = market, policy
        self.base = build_snapshot(market, policy)
        self._valuation = Valuation(market, parts=policy.components)
        self._quick = all(part.type in OF_VALUATION for part in policy.components)
        if self._valuation.size != len(self.base.instruments) or self._valuation.groups != self.base.groups:
            raise InputError("instruments that have expired do not move: leave them out", field="market")

    def at(self, prices: Mapping[str, Fraction], vols: Mapping[str, Fraction] | None = None) -> Snapshot:
        """The snapshot after a move: what ``build_snapshot`` gives for the moved market, but for what it is named by.

        Its digest, market digest and time say nothing: it is for margins, not for proofs.

        Args:
            prices: factors of underlyings' prices, and of the assets that follow them.
            vols: factors of implied vols.

        Raises:
            InputError: a price that pricing does not take.
        """
        if not self._quick:
            return build_snapshot(moved_market(self.market, prices, vols), self.policy)
        moved = self._valuation.moved(prices, vols or {})
        parts = [publish(part, moved) for part in self.policy.components]
        found = self.base.sensitivities
        if found is not None:
            texts = (
                from_units(round(to_fraction(text) * prices.get(name, 1) * 10**_DECIMALS), _DECIMALS)
                for name, text in zip(self.base.groups, found.index_prices, strict=True)
            )
            found = found.model_copy(update={"index_prices": tuple(texts)})
        collateral = (
            slot.model_copy(update={"price": price})
            for slot, price in zip(self.base.collateral, moved.asset_prices, strict=True)
        )
        return self.base.model_copy(
            update={
                "marks": IntArray(moved.marks()),
                "deltas": IntArray(moved.deltas()),
                "sensitivities": found,
                "collateral": tuple(collateral),
                "components": tuple(part for part in parts if part is not None),
            }
        )

    def gains(self, before: Mapping[str, Fraction], after: Mapping[str, Fraction]) -> Int64Array:
        """[N] what a lot of each future and perpetual gains between two moves, in money units; 0 for everything else.

        A snapshot carries them at zero, so their gains are settled in cash; rounded down for a lot held.
        """
        gains = self._valuation.table(1)[:, 0]
        for slot, instrument in enumerate(self.market.instruments):
            line = self._valuation.line(slot)
            if line is not None and instrument.kind in ("future", "perpetual"):
                first, last = (Fraction(move.get(instrument.underlying, 1)) for move in (before, after))
                # as the engine has it: a relative move times the line, which of a linear contract has moved already
                moved = line if instrument.settlement == "inverse" else line * first
                gains[slot] = (moved * (last / first - 1)).__floor__()
        return gains

    def notionals(self) -> Int64Array:
        """[N] money units that a lot's underlying is worth at the market's index."""
        values = self._valuation.table(1)[:, 0]
        for slot in range(self._valuation.size):
            line = self._valuation.line(slot)
            values[slot] = abs(line if line is not None else self._valuation.index_value(slot)).__floor__()
        return values

    def index(self, name: str) -> Fraction:
        """The index of an underlying in the market, in money units."""
        return to_fraction(self.market.underlying(name).index_price) * MONEY
