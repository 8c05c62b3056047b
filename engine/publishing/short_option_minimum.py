"""What is published of a market: short option minimum. Its rule: ``engine/components/short_option_minimum.py``."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from zkmargin.engine.components.short_option_minimum import (
    PublishedShortOptionMinimum,
    ShortOptionMinimum,
)
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.publishing.base import publish, publish_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray


@publish.register
def _publish_short_option_minimum(part: ShortOptionMinimum, valuation: Valuation) -> PublishedShortOptionMinimum | None:
    """Charges in money units per short lot, rounded half away from zero; None without options."""
    instruments = valuation.market.instruments
    if all(instrument.kind != "option" for instrument in instruments):
        return None
    charge = np.zeros(len(instruments), dtype=np.int64)
    place = np.full(len(instruments), -1, dtype=np.int64)
    strikes: dict[tuple[str, Fraction, str], int] = {}
    for slot, instrument in enumerate(instruments):
        if instrument.kind == "option":
            rate = Fraction(part.rates_bp.get(instrument.underlying, part.rate_bp), 10_000)
            charge[slot] = valuation.money(rate * valuation.index_value(slot), instrument.id)
            key = (instrument.underlying, Fraction(instrument.strike or "0"), instrument.expiry or "")
            place[slot] = strikes.setdefault(key, len(strikes))
    return PublishedShortOptionMinimum(
        requirements=part.requirements,
        mode=part.mode,
        charge=IntArray(charge),
        strikes=IntArray(place) if part.per == "strike" else None,
    )


@publish_arrays.register
def _publish_arrays_short_option_minimum(
    part: ShortOptionMinimum, arrays: RiskArrays
) -> PublishedShortOptionMinimum | None:
    """The file's own minimum per short contract, counted gross; rates of this policy need an index price.

    Raises:
        InputError: per strike, or a commodity whose minimum the file does not hold while the policy has a rate.
    """
    if part.per == "strike":
        raise InputError("imported arrays hold a minimum per contract, none per strike", field=part.type)
    charge = np.zeros(len(arrays.instruments), dtype=np.int64)
    for slot, instrument in enumerate(arrays.instruments):
        if instrument.kind != "option":
            continue
        rate = arrays.short_option_minimums.get(instrument.underlying)
        if rate is None:
            if part.rates_bp.get(instrument.underlying, part.rate_bp):
                raise InputError("the file has no short option minimum for it", field=instrument.underlying)
            continue
        charge[slot] = math.ceil(to_fraction(rate) * to_fraction(instrument.lot) * MONEY)
    if not charge.any():
        return None
    return PublishedShortOptionMinimum(requirements=part.requirements, mode=part.mode, charge=IntArray(charge))
