"""What is published of a market: calendar charge. Its rule: ``engine/components/calendar_charge.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkmargin.engine.components.calendar_charge import (
    CalendarCharge,
    PublishedCalendarCharge,
    check_method,
)
from zkmargin.engine.decimals import format_time, parse_time, to_fraction
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.publishing.base import publish, publish_arrays
from zkmargin.engine.publishing.span_arrays import span_deltas
from zkmargin.engine.publishing.span_scenarios import span_model
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.spread_rules import CalendarRules, whole_ratios
from zkmargin.engine.spreads import (
    PublishedLeg,
    PublishedSpread,
)
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


class Account(NamedTuple):
    """A contract period of a risk group: its name, days to expiry where they are known, and its slots' deltas."""

    group: int
    period: str
    days: int | None


@publish.register
def _publish_calendar_charge(part: CalendarCharge, valuation: Valuation) -> PublishedCalendarCharge | None:
    """Accounts, spreads and charges of a market; deltas are those of the policy's ``span_scenarios``.

    Raises:
        InputError: no ``span_scenarios``, spreads without one meaning; names the underlying.
    """
    instruments = valuation.market.instruments
    now = parse_time(valuation.market.time)
    places: list[Account | None] = []
    for instrument, group in zip(instruments, valuation.group_of.tolist(), strict=True):
        if instrument.expiry is None:
            places.append(None)
            continue
        expiry = parse_time(instrument.expiry)
        days = expiry // 86_400_000 - now // 86_400_000
        places.append(Account(group, format_time(expiry)[:10].replace("-", ""), days))
    rules = {group: part.underlyings.get(name, part.default) for group, name in enumerate(valuation.groups)}
    prices = {
        group: to_fraction(valuation.market.underlying(name).index_price) for group, name in enumerate(valuation.groups)
    }
    deltas = span_deltas(span_model(valuation, part.type), valuation)
    return _published(part, valuation.groups, rules, prices, places, deltas)


@publish_arrays.register
def _publish_arrays_calendar_charge(part: CalendarCharge, arrays: RiskArrays) -> PublishedCalendarCharge | None:
    """The same from imported arrays, with the file's deltas and, where it has any, its rules."""
    rules = {
        group: arrays.calendars.get(name, part.underlyings.get(name, part.default))
        for group, name in enumerate(arrays.groups)
    }
    places = [
        None if instrument.period is None else Account(group, instrument.period, None)
        for instrument, group in zip(arrays.instruments, arrays.group_of, strict=True)
    ]
    return _published(part, arrays.groups, rules, {}, places, arrays.deltas_per_lot())


def _published(
    part: CalendarCharge,
    groups: Sequence[str],
    rules: dict[int, CalendarRules | None],
    prices: dict[int, Fraction],
    places: Sequence[Account | None],
    deltas: Int64Array,
) -> PublishedCalendarCharge | None:
    accounts = sorted({place for place in places if place is not None}, key=lambda a: a[:2])
    accounts = list({account[:2]: account for account in accounts}.values())
    at = {account[:2]: place for place, account in enumerate(accounts)}
    spreads: list[PublishedSpread] = []
    charges: list[int] = []
    delivery = [0] * len(accounts)
    for group, name in enumerate(groups):
        chosen = rules.get(group)
        if chosen is None:
            continue
        own = [account for account in accounts if account.group == group]
        periods = [account.period for account in own]
        for number, spread in enumerate(chosen.spreads, 1):
            check_method(part.method, spread, name)
            members = [chosen.members(leg, periods) for leg in spread.legs]
            if not all(members):
                continue  # a leg without a single contract: no such spread can be formed
            ratios = whole_ratios([leg.ratio for leg in spread.legs])
            per_spread = spread.charge.of(prices.get(group)) * MONEY
            total = sum((to_fraction(leg.ratio) for leg in spread.legs), Fraction(0))
            # exact: per delta of each leg; bound: per delta of all legs together
            per = to_fraction(spread.legs[0].ratio) if part.method == "exact" else total
            charges.append(math.ceil(per_spread / per))
            spreads.append(
                PublishedSpread(
                    label=f"{name} calendar spread {number}",
                    legs=tuple(
                        PublishedLeg(
                            accounts=tuple(at[group, periods[member]] for member in chosen_members),
                            ratio=1 if part.method == "exact" else ratio,
                            side=leg.side,
                        )
                        for leg, ratio, chosen_members in zip(spread.legs, ratios, members, strict=True)
                    ),
                )
            )
        for account in own:
            for rule in chosen.delivery:
                near = (
                    rule.period == account.period
                    if rule.period is not None
                    else account.days is not None and account.days <= (rule.within_days or 0)
                )
                if near:
                    delivery[at[account[:2]]] += math.ceil(rule.charge.of(prices.get(group)) * MONEY)
    if not spreads and not any(delivery):
        return None
    return PublishedCalendarCharge(
        requirements=part.requirements,
        method=part.method,
        deltas=IntArray(deltas),
        account_of=IntArray(np.array([-1 if place is None else at[place[:2]] for place in places], dtype=np.int64)),
        accounts=tuple(f"{groups[account.group]} {account.period}" for account in accounts),
        account_groups=tuple(account.group for account in accounts),
        spreads=tuple(spreads),
        charges=tuple(charges),
        delivery=tuple(delivery),
    )
