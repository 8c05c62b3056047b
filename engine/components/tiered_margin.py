"""Tiered margin: each position alone at marginal rates of its notional; nothing nets.

The margin of exchanges that have leverage brackets instead of scenarios: ``notional x rate - deduction``, where the
deduction makes the amount continuous from bracket to bracket: the sum of marginal rates on the parts of the notional.

* Hyperliquid (hyperliquid.gitbook.io, "Margin tiers"): maintenance is half of the initial rate at the bracket's largest
  leverage.
* Binance futures ("Leverage and margin of USD(S)-M futures"): ``notional x maintenance rate - maintenance amount``.

Notional is at the mark. Futures and perpetuals only: an option's risk is no share of its notional, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import PolicyPart, Selective
from zkmargin.engine.components.pools import MAX_LINES, GrossPools, Line, tier_lines
from zkmargin.engine.decimals import to_units
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import FrozenMap, InputError, Map, Model, Seq

PPM = 10**6


class Bracket(Model):
    """``rate_ppm``: the marginal rate of the part of a notional above ``above``, in quote; in millionths."""

    above: str
    rate_ppm: int = Field(gt=0, le=PPM)

    @property
    def above_money(self) -> int:
        """``above`` in money units."""
        return to_units(self.above, MONEY_DECIMALS, field="above")


Table = Annotated[Seq[Bracket], Field(min_length=1, max_length=MAX_LINES)]


class TieredMargin(Selective, PolicyPart):
    """Brackets of every underlying.

    Attributes:
        tables: by underlying, from ``"0"`` up; rates grow, or the margin of a whole would be below that of its parts.
        default: for underlyings that are not listed; without it they are refused.
    """

    type: Literal["tiered_margin"] = "tiered_margin"
    tables: Map[str, Table] = Field(default_factory=FrozenMap)
    default: Table | None = None

    NEEDS_SIDES: ClassVar[bool] = True
    RISK: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.tables and self.default is None:
            raise InputError("no brackets", field="tables")
        for name, table in {**self.tables, **({} if self.default is None else {"default": self.default})}.items():
            above, rate = -1, 0
            for place, bracket in enumerate(table):
                if (place == 0) != (bracket.above_money == 0) or bracket.above_money <= above:
                    raise InputError("brackets must begin at 0 and ascend", field=f"tables.{name[:40]}")
                if bracket.rate_ppm <= rate:
                    raise InputError("rates must grow from bracket to bracket", field=f"tables.{name[:40]}")
                above, rate = bracket.above_money, bracket.rate_ppm
        return self

    def lines(self, underlying: str) -> tuple[Line, ...]:
        """The marginal rates of an underlying as lines. Raises InputError for one without brackets."""
        table = self.tables.get(underlying, self.default)
        if table is None:
            raise InputError("the policy has no brackets for it", field=f"underlying {underlying}")
        return tier_lines([(bracket.above_money, bracket.rate_ppm) for bracket in table])

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the scale and the mode."""
        return {**super().implied(groups, prices), "scale": PPM, "mode": "added"}


class PublishedTieredMargin(GrossPools):
    """A pool for each instrument; ``long`` and ``short``: the notional of one lot at the mark, money units."""

    type: Literal["tiered_margin"] = "tiered_margin"

    RISK: ClassVar[bool] = True
