"""The units of money and of moves: what published numbers are counted in, and how a scenario is named. No pricing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

#: Decimals of the money unit, 1e-9 of the quote currency.
MONEY_DECIMALS = 9
MONEY = Fraction(10**MONEY_DECIMALS)
#: Money units per collateral lot stay below this (281,474 quote), so that basis points of them fit 64 bits.
MAX_ASSET_PRICE = 1 << 48
WHOLE_BP = 10_000
#: A price multiplies by at most 10 in a scenario.
MAX_PRICE_MOVE_BP = 90_000
MS_PER_YEAR = 365 * 86_400_000


def basis_points(amount: Fraction | int) -> Fraction:
    """A number of basis points as a fraction."""
    return Fraction(amount) / WHOLE_BP


class Scenario(NamedTuple):
    """A joint move of price and implied vol, relative, in basis points, and the part of the P&L that counts."""

    price_move_bp: int
    vol_move_bp: int
    weight_bp: int

    def label(self) -> str:
        """For example ``price -30 % vol +50 %``, or ``tail price +100 % vol +50 % weight 30 %``."""
        moves = f"price {_percent(self.price_move_bp)} vol {_percent(self.vol_move_bp)}"
        if self.weight_bp == WHOLE_BP:
            return moves
        return f"tail {moves} weight {_percent(self.weight_bp).lstrip('+')}"


@dataclass(frozen=True, slots=True)
class VolRule:
    """How a scenario acts; see ``ShockRule``.

    A relative vol move is scaled by ``(30 days / max(time to expiry, floor))^exponent``. The P&L of inverse contracts
    is what its coins are worth after the move, or ``inverse_in_coin``: each of them at today's index.
    """

    exponent_short_1e4: int
    exponent_long_1e4: int
    tenor_floor_ms: int
    floor_1e9: int
    inverse_in_coin: bool = False


def _percent(bp: int) -> str:
    sign = "-" if bp < 0 else "+" if bp > 0 else ""
    whole, rest = divmod(abs(bp), 100)
    return f"{sign}{whole}{f'.{rest:02d}'.rstrip('0') if rest else ''} %"
