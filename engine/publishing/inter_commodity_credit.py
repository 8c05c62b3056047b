"""What is published of a market: inter commodity credit. Its rule: ``engine/components/inter_commodity_credit.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from zkmargin.engine.components.inter_commodity_credit import InterCommodityCredit, PublishedInterCommodityCredit
from zkmargin.engine.decimals import to_fraction, to_units
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.publishing.base import publish, publish_arrays
from zkmargin.engine.publishing.span_arrays import price_scan, span_deltas
from zkmargin.engine.publishing.span_scenarios import span_model
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.spread_rules import CreditSpread, whole_ratios
from zkmargin.engine.spreads import (
    PublishedLeg,
    PublishedSpread,
)
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray


@publish.register
def _publish_inter_commodity_credit(
    part: InterCommodityCredit, valuation: Valuation
) -> PublishedInterCommodityCredit | None:
    """Spreads whose legs are all in the market. Raises InputError."""
    model = span_model(valuation, part.type)
    prices = {name: to_fraction(valuation.market.underlying(name).index_price) for name in valuation.groups}
    risks = {
        name: part.price_risk[name].of(prices[name]) if name in part.price_risk else price_scan(model, valuation, name)
        for name in _named(part, valuation.groups)
    }
    return _published(part, valuation.groups, part.spreads, risks, span_deltas(model, valuation))


@publish_arrays.register
def _publish_arrays_inter_commodity_credit(
    part: InterCommodityCredit, arrays: RiskArrays
) -> PublishedInterCommodityCredit | None:
    """The same from imported arrays: the file's spreads if it has any, and its scan ranges."""
    spreads = arrays.credits or part.spreads
    risks = {name: to_fraction(text) for name, text in arrays.price_scans.items()}
    risks |= {name: amount.of(None) for name, amount in part.price_risk.items()}
    return _published(part, arrays.groups, spreads, risks, arrays.deltas_per_lot())


def _named(part: InterCommodityCredit, groups: Sequence[str]) -> list[str]:
    named = {leg.underlying for spread in part.spreads for leg in spread.legs}
    return [name for name in groups if name in named]


def _published(
    part: InterCommodityCredit,
    groups: Sequence[str],
    spreads: Sequence[CreditSpread],
    risks: Mapping[str, Fraction],
    deltas: Int64Array,
) -> PublishedInterCommodityCredit | None:
    place = {name: group for group, name in enumerate(groups)}
    chosen, credits_ = [], []
    for number, spread in enumerate(spreads, 1):
        names = [leg.underlying for leg in spread.legs]
        if not all(name in place for name in names):
            continue  # a leg without a single contract: no such spread can be formed
        for name in names:
            if name not in risks:
                raise InputError("no price scan range: a credit needs one", field=f"{part.type} {name}")
        ratios = whole_ratios([leg.deltas for leg in spread.legs])
        rate = to_units(spread.rate, 6)
        chosen.append(
            PublishedSpread(
                label=f"inter-commodity spread {number}: {' / '.join(names)}"[:200],
                legs=tuple(
                    PublishedLeg(accounts=(place[leg.underlying],), ratio=ratio, side=leg.side)
                    for leg, ratio in zip(spread.legs, ratios, strict=True)
                ),
            )
        )
        # Rounded down: a credit is bounded from above.
        credits_.append(
            tuple(int(risks[name] * MONEY) * ratio * rate for name, ratio in zip(names, ratios, strict=True))
        )
    if not chosen:
        return None
    return PublishedInterCommodityCredit(
        requirements=part.requirements, deltas=IntArray(deltas), spreads=tuple(chosen), credits=tuple(credits_)
    )
