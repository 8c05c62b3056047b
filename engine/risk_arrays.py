"""Imported SPAN arrays: what a clearing house published, and snapshots built from it without any pricing.

A risk-parameter file holds the arrays themselves, so nothing is priced here: gains per contract, deltas, premiums,
scan ranges, calendar and inter-commodity spreads. It holds no vol surface and no way to revalue a contract: there are
no Greeks beyond SPAN's composite delta, and nothing here says otherwise. Importers (``engine.importers``) turn signs
round (SPAN writes losses of a long as positive), and explain each choice in ``notes``.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.exact import Int64Array, round_half_away
from zkmargin.engine.market import Asset
from zkmargin.engine.names import Kind, Name, OptionType
from zkmargin.engine.spread_rules import CalendarRules, CreditSpread, Period
from zkmargin.engine.units import MONEY
from zkmargin.engine.valuation import asset_price
from zkmargin.formats import Document, FrozenMap, InputError, IntArray, Map, Model, Seq

MAX_ARRAYS = 1 << 16
SCENARIOS = 16
DELTA = 10**9
MS_PER_DAY = 86_400_000
#: Decimals of array values: a millionth of the currency, finer than any published file.
ARRAY_DECIMALS = 6

#: SPAN's scenarios in file order, as labels.
SCENARIO_LABELS = (
    *(
        f"{2 * i + j} price {move} scan vol {vol}"
        for i, move in enumerate(("0", "+1/3", "-1/3", "+2/3", "-2/3", "+1", "-1"))
        for j, vol in ((1, "up"), (2, "down"))
    ),
    "15 price up extreme",
    "16 price down extreme",
)


class ArrayInstrument(Model):
    """A contract with a risk array.

    Attributes:
        underlying: the combined commodity, which is its risk group.
        period: the contract period that its delta belongs to; an option's is that of its underlying contract.
        multiplier: currency per point of price of one contract.
        lot: contracts in a lot, the unit that books are counted in. Files do not hold it: it is given.
        price: price in points; None where the file has none.
        premium: whether an option's premium is paid up front, so that the option has value as equity.
    """

    id: Name
    kind: Kind
    underlying: Name
    period: Period | None = None
    expiry: str | None = None
    strike: str | None = None
    option_type: OptionType | None = None
    multiplier: str = "1"
    lot: str
    price: str | None = None
    premium: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("multiplier", "lot"):
            if to_fraction(getattr(self, name), field=f"{self.id} {name}") <= 0:
                raise InputError("must be above 0", field=f"{self.id} {name}")
        if self.expiry is not None:
            parse_time(self.expiry, field=f"{self.id} expiry")
        if self.strike is not None:
            to_fraction(self.strike, field=f"{self.id} strike")
        if self.price is not None and to_fraction(self.price, field=f"{self.id} price") < 0 and self.kind == "option":
            raise InputError("an option with a negative price", field=f"{self.id} price")
        return self


class RiskArrays(Document):
    """Arrays and parameters of one file, N contracts.

    Attributes:
        gains: [N, 16] gain of one contract long in 1e-6 of the currency, weights of the extreme scenarios applied.
        deltas: [N] composite delta of one contract long in 1e-9, delta scaling factors applied.
        short_option_minimums: currency per short option contract, by combined commodity.
        price_scans: price scan range, currency per delta, by combined commodity.
        calendars: calendar spreads by combined commodity.
        credits: inter-commodity spreads in published order.
        assets: what collateral is held in.

    Raises:
        InputError: shapes or names that do not fit, a scale of values that fits no lot: names the contract.

    Example:
        >>> from zkmargin import import_arrays
        >>> arrays = import_arrays("span_demo.spn", "span-xml", lots={"ALPHA": "75", "BETA": "1"})
        >>> arrays.gains_per_lot().shape
        (21, 16)
    """

    FORMAT: ClassVar[str] = "zkmargin/risk-arrays/v1"

    time: str
    quote: Name
    source: str = Field(default="", max_length=500)
    notes: Seq[str] = ()
    sign: Literal["gain-positive"] = "gain-positive"
    greeks: Literal["none"] = "none"
    scenarios: Seq[str] = Field(default=SCENARIO_LABELS, min_length=SCENARIOS, max_length=SCENARIOS)
    instruments: Seq[ArrayInstrument] = Field(max_length=MAX_ARRAYS)
    gains: IntArray
    deltas: IntArray
    short_option_minimums: Map[str, str] = Field(default_factory=FrozenMap)
    price_scans: Map[str, str] = Field(default_factory=FrozenMap)
    calendars: Map[str, CalendarRules] = Field(default_factory=FrozenMap)
    credits: Seq[CreditSpread] = ()
    assets: Seq[Asset] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        count = len(self.instruments)
        for field, array, shape in (
            ("gains", self.gains, (count, SCENARIOS)),
            ("deltas", self.deltas, (count,)),
        ):
            if array.values.shape != shape:
                raise InputError(f"has the shape {array.values.shape}, not {shape}", field=field)
        for field, names in (
            ("instruments", [i.id for i in self.instruments]),
            ("assets", [a.name for a in self.assets]),
        ):
            if len(set(names)) != len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise InputError("a name appears twice", field=f"{field} {twice}")
        for field, table in (("short_option_minimums", self.short_option_minimums), ("price_scans", self.price_scans)):
            for name, text in table.items():
                if to_fraction(text, field=f"{field} {name}") < 0:
                    raise InputError("must not be negative", field=f"{field} {name}")
        self.gains_per_lot()
        self.deltas_per_lot()
        return self

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Combined commodities in order of first appearance: the risk groups."""
        return tuple(dict.fromkeys(instrument.underlying for instrument in self.instruments))

    @cached_property
    def group_of(self) -> tuple[int, ...]:
        """[N] the group of each contract."""
        place = {name: group for group, name in enumerate(self.groups)}
        return tuple(place[instrument.underlying] for instrument in self.instruments)

    @cached_property
    def asset_prices(self) -> tuple[int, ...]:
        """[M] money units per lot of each asset. Raises InputError."""
        return tuple(asset_price(a.name, to_fraction(a.price) * to_fraction(a.lot) * MONEY) for a in self.assets)

    def gains_per_lot(self) -> Int64Array:
        """[N, 16] money units per lot: exact."""
        factor = int(MONEY) // 10**ARRAY_DECIMALS
        return self._per_lot(self.gains.values, factor)

    def deltas_per_lot(self) -> Int64Array:
        """[N] 1e-9 deltas per lot, rounded half away from zero where a lot is a part of a contract."""
        return self._per_lot(self.deltas.values[:, None], 1)[:, 0]

    def marks(self) -> Int64Array:
        """[N] money units per lot: options whose premium is paid up front at their price, everything else 0.

        Raises:
            InputError: such an option without a price.
        """
        marks = []
        for instrument in self.instruments:
            if not instrument.premium:
                marks.append(0)
                continue
            if instrument.price is None:
                raise InputError("no settlement price in the file, so no value as equity", field=instrument.id)
            value = to_fraction(instrument.price) * to_fraction(instrument.multiplier) * to_fraction(instrument.lot)
            marks.append(rounded_64(value * MONEY, instrument.id))
        return np.array(marks, dtype=np.int64)

    def expired(self) -> npt.NDArray[np.bool_]:
        """[N] whether a contract has expired: files state expiries as dates, and on that day its array counts still.

        From the next day on its price in the file is its settlement value, and it has no P&L and no delta.
        """
        day = parse_time(self.time) // MS_PER_DAY
        return np.array(
            [i.expiry is not None and parse_time(i.expiry) // MS_PER_DAY < day for i in self.instruments], dtype=bool
        )

    def _per_lot(self, values: Int64Array, factor: int) -> Int64Array:
        result = np.empty(values.shape, dtype=np.int64)
        # Python integers: -2^63 has no absolute value in 64 bits
        ends = zip(values.min(axis=1, initial=0).tolist(), values.max(axis=1, initial=0).tolist(), strict=True)
        for row, (instrument, (low, high)) in enumerate(zip(self.instruments, ends, strict=True)):
            lot, most = to_fraction(instrument.lot) * factor, max(-low, high)
            if lot.denominator == 1 and most * lot < 1 << 63:
                result[row] = values[row] * int(lot)
            else:
                result[row] = [rounded_64(lot * value, instrument.id) for value in values[row].tolist()]
        return result


def rounded_64(value: Fraction | int, name: str) -> int:
    """A value per lot, rounded half away from zero. Raises InputError past 64 bits: names the contract."""
    rounded = round_half_away(value.numerator, value.denominator)
    if abs(rounded) >= 1 << 63:
        raise InputError("a value per lot is past 64 bits of money units", field=name, hint="use a smaller lot")
    return rounded
