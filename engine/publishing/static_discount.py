"""What is published of a market: static discount. Its rule: ``engine/components/static_discount.py``."""

from __future__ import annotations

from fractions import Fraction

from zkmargin.engine.components.static_discount import (
    StaticDiscount,
)
from zkmargin.engine.revaluation import Expiry, exp
from zkmargin.engine.units import basis_points


def discount_multipliers(part: StaticDiscount, expiry: Expiry) -> tuple[Fraction, Fraction]:
    """(positive, negative) of an expiry: what multiplies its discounted value."""
    rate, years = max(expiry.rate, Fraction(0)), expiry.years
    long = years * (rate * basis_points(part.long_rate_bp) + basis_points(part.long_add_bp))
    short = years * (rate * basis_points(part.short_rate_bp) + basis_points(part.short_add_bp))
    positive = basis_points(part.long_base_bp) * exp(-long)
    return positive, min(exp(rate * years), basis_points(part.short_base_bp) * exp(short))
