"""Gross charge: a rate on the size of every position, long or short; nothing nets.

Derive's PMRM charges perpetuals 3 % of spot per unit for maintenance and 1 % more for initial margin, on top of the
scenarios; Bybit and Dederi charge futures and perpetuals per unit; TIMS (FINRA rule 4210(g)(7)(B)) has a minimum of
37.50 USD per contract of 100 shares, for long contracts not above their market value, that competes with the worst
point; Binance's tiers of maintenance rates (``|position| mmr - cum``) and OKX's MR7 are marginal rates that grow with
size. Marginal rates must grow: a whole amount charged at the last tier's rate jumps, which is not convex.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.pools import GrossPools, Mode
from zkmargin.engine.decimals import to_fraction, to_units
from zkmargin.engine.names import Kind
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import FrozenMap, InputError, Map, Model, Seq

MAX_RATE_BP = 10 * SCALE_BP


class SizeTier(Model):
    """The marginal rate of the part of a size above ``above``, in quote."""

    above: str
    rate_bp: int = Field(ge=0, le=MAX_RATE_BP)

    @property
    def above_money(self) -> int:
        """``above`` in money units."""
        return to_units(self.above, MONEY_DECIMALS, field="above")


class GrossRate(Model):
    """The rate of some instruments: of their notional at the index, or an amount per unit of underlying.

    Attributes:
        kinds: kinds of instrument.
        underlyings: of these underlyings; None is all.
        rate_bp: basis points of the notional, up to the first tier.
        amount: instead of a rate, quote per unit of underlying.
        tiers: higher marginal rates for larger sizes, of each underlying's positions or of each instrument's (``per``).
        long_up_to_mark: a long position is charged at most its market value.
    """

    kinds: Seq[Kind] = Field(min_length=1)
    underlyings: Seq[str] | None = None
    rate_bp: int | None = Field(default=None, ge=0, le=MAX_RATE_BP)
    amount: str | None = None
    tiers: Seq[SizeTier] = Field(default=(), max_length=32)
    per: Literal["underlying", "instrument"] = "underlying"
    long_up_to_mark: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.rate_bp is None) == (self.amount is None):
            raise InputError("either a rate_bp or an amount", field="rate_bp")
        if self.amount is not None and to_fraction(self.amount, field="amount") < 0:
            raise InputError("must not be negative", field="amount")
        if self.tiers and (self.rate_bp is None or self.long_up_to_mark):
            raise InputError("tiers are of a rate_bp, without long_up_to_mark", field="tiers")
        above, rate = 0, self.rate_bp or 0
        for tier in self.tiers:
            if tier.above_money <= above:
                raise InputError("tiers must be in ascending order, above 0", field="tiers")
            if tier.rate_bp <= rate:
                raise InputError(
                    "a marginal rate that does not grow from tier to tier: the charge would not be convex",
                    field="tiers",
                )
            above, rate = tier.above_money, tier.rate_bp
        return self

    def tier_rates(self) -> list[tuple[int, int]]:
        """(size in money units, marginal rate in bp), from 0."""
        if self.rate_bp is None or self.long_up_to_mark:
            return [(0, SCALE_BP)]
        return [(0, self.rate_bp), *((tier.above_money, tier.rate_bp) for tier in self.tiers)]


class GrossCharge(Selective, PolicyPart):
    """Rates on sizes; an instrument is charged at the first rate that covers it, or not at all.

    Attributes:
        mode: a ``floor`` competes with the scenarios of its group, ``added`` is multiplied by the requirement's
            factor, ``flat`` is not. Parts for maintenance and for initial margin are two components.
        product_groups: where a floor competes in a joint group, the underlyings of each (as in ``gain_offset``).
    """

    type: Literal["gross_charge"] = "gross_charge"
    mode: Mode
    rates: Seq[GrossRate] = Field(min_length=1)
    product_groups: Map[str, Seq[str]] = Field(default_factory=FrozenMap)

    NEEDS_SIDES: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "mode")

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        members = [name for group in self.product_groups.values() for name in group]
        if len(set(members)) != len(members):
            raise InputError("an underlying in two product groups", field="product_groups")
        if self.product_groups and self.mode != "floor":
            raise InputError("only a floor competes in a group", field="product_groups")
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the scale."""
        return {**super().implied(groups, prices), "scale": SCALE_BP}

    def may_be_silent(self, kinds: Collection[str]) -> bool:
        """Where none of its rates covers an instrument: of a kind, or of an underlying."""
        return not any(rate.underlyings is None and kind in rate.kinds for rate in self.rates for kind in kinds)


class PublishedGrossCharge(GrossPools):
    """Rates on sizes as integers."""

    type: Literal["gross_charge"] = "gross_charge"


def group_keys(groups: Sequence[str], product_groups: Mapping[str, Seq[str]]) -> list[int | str]:
    """For each risk group where its floors compete: in a product group with another of them in the market, or alone."""
    keys: list[int | str] = list(range(len(groups)))
    for name, members in product_groups.items():
        places = [place for place, underlying in enumerate(groups) if underlying in members]
        if len(places) > 1:
            for place in places:
                keys[place] = name
    return keys
