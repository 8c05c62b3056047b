"""The public claim about a book: equity against a requirement."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Self

from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.frames import exact_text
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import InputError

#: Decimals of a valuation unit in quote currency.
VALUATION_DECIMALS = MONEY_DECIMALS + 4
#: Numerator and denominator of a claim are below this.
CLAIM_BOUND = 1 << 16


@dataclass(frozen=True, slots=True, init=False)
class Claim:
    """Equity is at least ``num / den`` of a requirement: 1/1 is "met", 5/4 is 25 % above it. In lowest terms.

    Args:
        num: the numerator, or the whole ratio as text, a Decimal, a Fraction or an exact float.
        den: the denominator.
        requirement: initial or maintenance.

    Raises:
        InputError: not a ratio above 0 in lowest terms with both parts below 2^16, or an unknown requirement.

    Example:
        >>> Claim("1.25") == Claim(5, 4) == Claim("5/4") == Claim(1.25)
        True
        >>> str(Claim("1.25", requirement="maintenance"))
        'equity at least 5/4 of the maintenance requirement'
    """

    num: int
    den: int
    requirement: str

    def __init__(self, num: str | float | Decimal | Fraction = 1, den: int = 1, requirement: str = "initial") -> None:
        if isinstance(num, int) and not isinstance(num, bool):
            ratio = (num, den)
        elif isinstance(num, str) and "/" in num:
            parsed = type(self).parse(num, requirement)
            ratio = (parsed.num, parsed.den)
        else:
            whole = to_fraction(exact_text(num, field="claim"), field="claim")
            ratio = (whole.numerator, whole.denominator * den)
        for name, value in (("num", ratio[0]), ("den", ratio[1]), ("requirement", requirement)):
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if self.requirement not in REQUIREMENTS:
            raise InputError("a requirement is initial or maintenance", field="requirement")
        if not (0 < self.num < CLAIM_BOUND and 0 < self.den < CLAIM_BOUND):
            raise InputError(
                f"a claim is a ratio above 0 whose reduced numerator and denominator are below {CLAIM_BOUND}",
                field="claim",
                hint="use fewer digits, 1.25 say",
            )
        if Fraction(self.num, self.den).denominator != self.den:
            raise InputError("not in lowest terms", field="claim")

    @classmethod
    def parse(cls, text: str, requirement: str = "initial") -> Self:
        """Read ``"1.25"`` or ``"5/4"``. Raises InputError."""
        whole, slash, part = text.partition("/")
        ratio = to_fraction(whole, field="claim")
        if slash:
            below = to_fraction(part, field="claim")
            if below <= 0:
                raise InputError("a ratio with a denominator that is not above 0", field="claim")
            ratio /= below
        return cls(ratio.numerator, ratio.denominator, requirement)

    def __str__(self) -> str:
        ratio = str(self.num) if self.den == 1 else f"{self.num}/{self.den}"
        return f"equity at least {ratio} of the {self.requirement} requirement"
