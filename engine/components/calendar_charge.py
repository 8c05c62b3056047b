"""Calendar charge: SPAN's intra-commodity spread charge, and delivery charges.

Scanning risk lets a long month offset a short one of the same commodity in full; the calendar charge is what that
hedge costs. Deltas are added up by contract period; spreads are formed in published order from what is left
(``engine.spreads``), each at its charge. CME, "SPAN methodology", intra-commodity spread charge (record types 3, C
and E); NSE Clearing charges one rate for every pair of expiries.

The charge of a spread, ``min(long, short)``, is not convex. The policy says which of two ways is meant:

* ``exact``: the published number, by hidden bits in the circuit. Only for spreads that take equal deltas of all legs;
* ``convex_bound``: an upper bound. A spread that takes k deltas in all costs charge / k a delta, and no delta is used
  twice, so the charge is at most the sum over periods of ``|delta|`` times the largest such rate of any spread that the
  period is in. For a flat rate it is the rate times half the gross delta: exact where long and short deltas balance.

Delivery charges (record type 4) are a rate on every delta of a period near delivery: convex either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import KEPT, Charge, Extent, Label, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.spread_rules import CalendarRules, CalendarSpread
from zkmargin.engine.spreads import (
    MAX_SPREADS,
    PublishedSpread,
    Shares,
    check_spreads,
    form_spreads,
    smallest_count,
    smallest_share,
    spread_terms,
)
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Seq

#: Deltas are counted in 1e-9, so a charge per delta times them is in this part of a money unit.
SCALE = 10**9
Method = Literal["exact", "convex_bound"]


class CalendarCharge(Selective, PolicyPart):
    """Calendar spreads by underlying; ``default`` holds the rules of underlyings that are not named.

    Imported SPAN arrays bring their own rules, which come before these. Positions without an expiry (perpetuals,
    spot) are in no calendar spread.
    """

    type: Literal["calendar_charge"] = "calendar_charge"
    method: Method
    underlyings: Map[str, CalendarRules] = Field(default_factory=FrozenMap)
    default: CalendarRules | None = None

    IMPORTABLE: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "method")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, rules in self._all_rules():
            for spread in rules.spreads:
                check_method(self.method, spread, name)
        return self

    def _all_rules(self) -> list[tuple[str, CalendarRules]]:
        return [*self.underlyings.items(), *((("default", self.default),) if self.default else ())]

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Where no spread can be formed."""
        return True


class PublishedCalendarCharge(Selective, PublishedPart):
    """Spreads as integers. The charge of a group is an offset of its losses.

    Attributes:
        deltas: [N] 1e-9 deltas per lot.
        account_of: [N] the account of each slot, -1 for none.
        accounts: names; ``account_groups`` their risk groups.
        spreads: in published order; each within one group.
        charges: money units for each spread: ``exact`` per delta of each leg, ``convex_bound`` per delta of all legs.
        delivery: money units per delta of each account.
    """

    type: Literal["calendar_charge"] = "calendar_charge"
    method: Method
    deltas: IntArray
    account_of: IntArray
    accounts: Seq[Label]
    account_groups: Seq[int]
    spreads: Seq[PublishedSpread] = Field(max_length=MAX_SPREADS)
    charges: Seq[int]
    delivery: Seq[int]

    BY_SLOT: ClassVar[Mapping[str, int]] = {"deltas": 0, "account_of": -1}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, signs, that accounts and spreads lie in one group, and that spreads have one meaning."""
        for field, array in (("deltas", self.deltas), ("account_of", self.account_of)):
            if array.values.shape != (len(group_of),):
                raise InputError(f"has the shape {array.values.shape}, not ({len(group_of)},)", field=field)
        if len(self.account_groups) != len(self.accounts) or len(self.delivery) != len(self.accounts):
            raise InputError("one group and one delivery charge for each account", field="accounts")
        if len(self.charges) != len(self.spreads):
            raise InputError("one charge for each spread", field="charges")
        if min((*self.charges, *self.delivery), default=0) < 0:
            raise InputError("a negative charge", field="charges")
        for account, group in zip(self.account_of.values.tolist(), group_of, strict=True):
            if not -1 <= account < len(self.accounts) or (account >= 0 and self.account_groups[account] != group):
                raise InputError("an account that does not exist, or is of another risk group", field="account_of")
        if not all(0 <= group < groups for group in self.account_groups):
            raise InputError("a risk group that does not exist", field="account_groups")
        for spread in self.spreads:
            named = [account for leg in spread.legs for account in leg.accounts]
            if not all(0 <= account < len(self.accounts) for account in named):
                raise InputError("an account that does not exist", field=spread.label)
            if len({self.account_groups[account] for account in named}) != 1:
                raise InputError("a calendar spread across risk groups", field=spread.label)
            if self.method == "exact" and any(leg.ratio != 1 for leg in spread.legs):
                raise InputError("exact calendar spreads take equal deltas of all legs", field=spread.label)
        if self.method == "exact":
            check_spreads(self.spreads, len(self.accounts))

    def spreads_of(self, group: int) -> list[int]:
        """The places of a group's spreads, in published order."""
        return [i for i, s in enumerate(self.spreads) if self.account_groups[s.legs[0].accounts[0]] == group]

    def bounds(self) -> list[int]:
        """For ``convex_bound``: money units per delta of each account, the largest rate of the spreads it is in."""
        rates = [0] * len(self.accounts)
        for spread, charge in zip(self.spreads, self.charges, strict=True):
            for account in {account for leg in spread.legs for account in leg.accounts}:
                rates[account] = max(rates[account], charge)
        return rates

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each account."""
        terms = len(self.accounts) ** 2
        if self.method == "exact":
            terms += KEPT * spread_terms(self.spreads, len(self.accounts))
        return Extent(len(self.accounts), terms)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """An offset of each group, in 1e-9 money units."""
        net = [0] * len(self.accounts)
        for leg, account, delta in self._deltas(legs):
            net[account] += delta * leg.lots
        gross = self._gross_rates()
        amounts: dict[int, int] = defaultdict(int)
        for account, delta in enumerate(net):
            amounts[self.account_groups[account]] += gross[account] * abs(delta)
        if self.method == "exact":
            sides = [(max(delta, 0), max(-delta, 0)) for delta in net]
            counts = form_spreads(self.spreads, sides, smallest_count)
            for spread, charge, count in zip(self.spreads, self.charges, counts, strict=True):
                amounts[self.account_groups[spread.legs[0].accounts[0]]] += charge * count
        return Charge(offsets={group: amount for group, amount in amounts.items() if amount}, scale=SCALE)

    def offset_shares(self, legs: Sequence[Leg], group: int) -> Sequence[int]:
        """Each leg's part of a group's charge: what binds each spread, shared out by delta."""
        parts = [[0] * len(legs) for _ in self.accounts]
        places = {leg.slot: i for i, leg in enumerate(legs)}
        for leg, account, delta in self._deltas(legs):
            if leg.group == group:
                parts[account][places[leg.slot]] = delta * leg.lots
        total = Shares([0] * len(legs))
        for rate, part in zip(self._gross_rates(), parts, strict=True):
            total = total + Shares(part) * (rate if sum(part) > 0 else -rate)
        if self.method == "exact":
            none = Shares([0] * len(legs))
            sides = [(Shares(p), none) if sum(p) > 0 else (none, none - Shares(p)) for p in parts]
            chosen = self.spreads_of(group)
            counts = form_spreads([self.spreads[i] for i in chosen], sides, smallest_share)
            for place, count in zip(chosen, counts, strict=True):
                total = total + count * self.charges[place]
        return total.parts

    def _gross_rates(self) -> list[int]:
        """Money units for every delta of an account, long or short."""
        if self.method == "exact":
            return list(self.delivery)
        return [bound + rate for bound, rate in zip(self.bounds(), self.delivery, strict=True)]

    def _deltas(self, legs: Sequence[Leg]) -> list[tuple[Leg, int, int]]:
        """The legs that have an account, with it and their delta per lot."""
        found = ((leg, int(self.account_of.values[leg.slot]), int(self.deltas.values[leg.slot])) for leg in legs)
        return [item for item in found if item[1] >= 0]


def check_method(method: Method, spread: CalendarSpread, name: str) -> None:
    """Refuse a spread that the method gives no one meaning. Raises InputError."""
    if method == "exact" and len({to_fraction(leg.ratio) for leg in spread.legs}) != 1:
        raise InputError(
            "an exact calendar spread takes equal deltas of all its legs",
            field=name,
            hint='"method": "convex_bound" takes any ratios',
        )
