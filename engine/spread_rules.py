"""Spread rules as people publish them: tiers of contract months, calendar spreads, inter-commodity spreads.

Shared by the policy components ``calendar_charge`` and ``inter_commodity_credit`` and by imported SPAN files.
A *period* is a contract month or day as SPAN files write it, ``202512`` or ``20251226``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from zkmargin.engine.decimals import to_fraction, to_units
from zkmargin.engine.spreads import MAX_LEGS, MAX_RATIO
from zkmargin.formats import InputError, Model, Seq

Period = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}([0-9A-Z]{2})?$")]
RATE_UNIT = 10**6
_BP = 10_000


class QuoteAmount(Model):
    """An amount of quote per unit: ``amount``, or ``index_bp`` basis points of the index. Exactly one of them."""

    amount: str | None = None
    index_bp: int | None = Field(default=None, ge=1, lt=_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.amount is None) == (self.index_bp is None):
            raise InputError("an amount, or a part of the index in bp: exactly one of them", field="amount")
        if self.amount is not None and to_fraction(self.amount, field="amount") <= 0:
            raise InputError("must be above 0", field="amount")
        return self

    def of(self, index: Fraction | None) -> Fraction:
        """The amount in quote, for an index price. Raises InputError where it needs one that there is not."""
        if self.amount is not None:
            return to_fraction(self.amount)
        if index is None:
            raise InputError("a part of the index needs an index price, which imported arrays lack", field="index_bp")
        return index * (self.index_bp or 0) / _BP


class Tier(Model):
    """The contract periods from ``first`` to ``last``, both included; without them from or to any."""

    number: int = Field(ge=1, le=99)
    first: Period | None = None
    last: Period | None = None

    def holds(self, period: str) -> bool:
        """Whether a period lies in the tier; a month as a bound means its days too."""
        first, last = self.first or "", self.last or ""
        return period[: len(first)] >= first and (not last or period[: len(last)] <= last)


class CalendarLeg(Model):
    """A leg on one period or on a tier; one spread takes ``ratio`` deltas of it."""

    period: Period | None = None
    tier: int | None = None
    side: Literal["A", "B"]
    ratio: str = "1"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.period is None) == (self.tier is None):
            raise InputError("a leg is a period or a tier: exactly one of them", field="legs")
        _check_ratio(self.ratio)
        return self


class CalendarSpread(Model):
    """``charge`` per spread that is formed; spreads are formed in the order in which they are listed."""

    charge: QuoteAmount
    legs: Seq[CalendarLeg] = Field(min_length=2, max_length=MAX_LEGS)


class DeliveryRule(Model):
    """``charge`` for every delta, long or short, of a period in or near delivery."""

    charge: QuoteAmount
    period: Period | None = None
    within_days: int | None = Field(default=None, ge=0, le=366)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.period is None) == (self.within_days is None):
            raise InputError("for one period, or within so many days of expiry: exactly one", field="delivery")
        return self


class CalendarRules(Model):
    """The calendar spreads of one underlying (combined commodity), in published order, and its delivery charges."""

    tiers: Seq[Tier] = ()
    spreads: Seq[CalendarSpread] = ()
    delivery: Seq[DeliveryRule] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        numbers = [tier.number for tier in self.tiers]
        if len(set(numbers)) != len(numbers):
            raise InputError("a tier number twice", field="tiers")
        for spread in self.spreads:
            for leg in spread.legs:
                if leg.tier is not None and leg.tier not in numbers:
                    raise InputError(f"there is no tier {leg.tier}", field="spreads")
        return self

    def members(self, leg: CalendarLeg, periods: Sequence[str]) -> tuple[int, ...]:
        """Which of the periods a leg takes deltas from."""
        if leg.period is not None:
            return tuple(at for at, period in enumerate(periods) if period == leg.period)
        tier = next(tier for tier in self.tiers if tier.number == leg.tier)
        return tuple(at for at, period in enumerate(periods) if tier.holds(period))


class CreditLeg(Model):
    """A leg: ``deltas`` of an underlying's net delta for one spread."""

    underlying: str
    side: Literal["A", "B"]
    deltas: str = "1"

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_ratio(self.deltas)
        return self


class CreditSpread(Model):
    """``rate`` (a fraction, at most 1) of the legs' price risk is credited for every spread that is formed."""

    rate: str
    legs: Seq[CreditLeg] = Field(min_length=2, max_length=MAX_LEGS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < to_units(self.rate, 6, field="rate") <= RATE_UNIT:
            raise InputError(
                "a credit above the whole price risk of its legs would make a hedge cheaper than nothing"
                if to_units(self.rate, 6) > 0
                else "must be above 0",
                field="rate",
            )
        names = [leg.underlying for leg in self.legs]
        if len(set(names)) != len(names):
            raise InputError("an underlying on two legs of one spread", field="legs")
        if {leg.side for leg in self.legs} != {"A", "B"}:
            raise InputError("a spread needs a leg on side A and a leg on side B", field="legs")
        return self


def whole_ratios(ratios: Sequence[str]) -> tuple[int, ...]:
    """Decimal ratios as the smallest whole numbers in the same proportion. Raises InputError past the limit."""
    exact = [to_fraction(ratio) for ratio in ratios]
    common = lcm(*(ratio.denominator for ratio in exact))
    whole = tuple(int(ratio * common) for ratio in exact)
    if max(whole) > MAX_RATIO:
        raise InputError("ratios with too many digits to be whole together", field="ratio")
    return whole


def _check_ratio(text: str) -> None:
    if to_fraction(text, field="ratio") <= 0:
        raise InputError("must be above 0", field="ratio")
