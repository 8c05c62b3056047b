"""What both SPAN file formats share: choosing inter-commodity spreads, names, decimals, collateral assets."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from zkmargin.engine.decimals import from_units
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.market import Asset
from zkmargin.engine.spread_rules import CreditLeg, CreditSpread
from zkmargin.formats import InputError

MAX_CONTRACTS = 1 << 16
Progress = Callable[[int, int], None]
Side = Literal["A", "B"]
_BAD = re.compile(r"[^A-Za-z0-9._:/+-]")
_PLACES = 12

#: What every imported SPAN file's notes begin with.
NOTES = (
    "values of the file are losses of one contract long: turned round, gain positive",
    "scenarios 15 and 16 hold the covered fraction already, as published",
    "lot sizes are not in the file: they were given",
    "no Greeks: the file holds a composite delta only",
)


class SpreadEntry(NamedTuple):
    """An inter-commodity spread as a file has it.

    Attributes:
        rate: the credit rate as a fraction; None for one that cannot be stated here.
        legs: (commodity, side, deltas per spread).
        tiered: whether a leg is one of several tiers of its commodity.
    """

    label: str
    rate: str | None
    legs: tuple[tuple[str, Side, str], ...]
    tiered: bool = False


def choose_credits(entries: Iterable[SpreadEntry], imported: Collection[str], notes: list[str]) -> list[CreditSpread]:
    """The spreads to give credit for, in published order.

    A spread with a leg that is not imported cannot be formed. After one that cannot be stated (a method that is not
    by deltas, several tiers), none that shares a commodity with it is used: the deltas that it would have taken must
    not earn another credit.
    """
    chosen: list[CreditSpread] = []
    blocked: set[str] = set()
    for entry in entries:
        names = [name for name, _, _ in entry.legs]
        if not all(name in imported for name in names):
            continue
        if entry.rate is None or entry.tiered or blocked & set(names):
            blocked |= set(names)
            notes.append(f"{entry.label} ({', '.join(names)}): no credit is given")
            continue
        legs = tuple(
            CreditLeg(underlying=safe_name(name), side=side, deltas=deltas) for name, side, deltas in entry.legs
        )
        chosen.append(CreditSpread(rate=entry.rate, legs=legs))
    return chosen


def safe_name(text: str) -> str:
    """A name with characters that ids may hold: others become ``_``."""
    return _BAD.sub("_", text)[:80]


def decimal_text(value: Fraction) -> str:
    """A fraction as decimal text: exact where twelve decimals hold it, as they do for every number of such files."""
    return from_units(round_half_away(value.numerator * 10**_PLACES, value.denominator), _PLACES)


def currency_assets(currency: str, prices: Mapping[str, str]) -> tuple[Asset, ...]:
    """The file's currency, and the assets that prices are given for, in lots of 0.01."""
    others = (Asset(name=name, price=price, lot="0.01") for name, price in prices.items() if name != currency)
    return (Asset(name=currency, price="1", lot="0.01"), *others)


def refuse_unknown(lots: Mapping[str, str], held: Collection[str]) -> None:
    """Check the commodities that lots are given for against those of the file. Raises InputError."""
    listed = ", ".join(sorted(held)[:12]) or "none"
    if not lots:
        raise InputError(
            "lot sizes are not in the file: give one for each commodity to import",
            field="lots",
            hint=f"for example NIFTY=75; the file holds {listed}",
        )
    for name in lots:
        if name not in held:
            raise InputError("no such combined commodity in the file", field=name[:40], hint=f"it holds {listed}")


def refuse_repeated(seen: dict[str, int], identity: str, line: int) -> None:
    """Refuse a contract whose id came before. Raises InputError."""
    if identity in seen:
        raise InputError(f"a contract twice, first on line {seen[identity]}", field=identity, line=line)
    seen[identity] = line
