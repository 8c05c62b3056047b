"""What both SPAN file formats share: choosing inter-commodity spreads, names, decimals, collateral assets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from zkmargin.engine.decimals import MS_PER_SECOND, format_time, from_units
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.market import Asset
from zkmargin.engine.spread_rules import CreditLeg, CreditSpread
from zkmargin.formats import InputError

MAX_CONTRACTS = 1 << 16
#: Why an option that is paid up front is left out.
NO_PRICE = "no settlement price"
#: Where a clearing organisation's clock stands, by its code in the file: files write local times without a zone.
ZONES = {
    "NSCCL": "Asia/Kolkata",  # NSE Clearing, India
    "ICCL": "Asia/Kolkata",  # BSE, India
    "MCXCCL": "Asia/Kolkata",  # MCX, India
    "CME": "America/Chicago",
    "NYM": "America/New_York",
    "ICEUS": "America/New_York",
    "ICEEU": "Europe/London",
    "SGXDC": "Asia/Singapore",
    "ASXCF": "Australia/Sydney",
    "HKCC": "Asia/Hong_Kong",
    "JSCC": "Asia/Tokyo",
}
Side = Literal["A", "B"]
MAX_NAME = 80
_BAD = re.compile(r"[^A-Za-z0-9.:/+-]")
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
    """A name with characters that ids may hold; others become ``_`` and their code, and ``_`` is doubled: ``M_26M``.

    Two names stay two names. Raises InputError for one that is too long.
    """
    name = _BAD.sub(_escaped, text)
    if len(name) > MAX_NAME:
        raise InputError(f"a name of more than {MAX_NAME} characters", field=name[:40])
    return name


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "__" if match[0] == "_" else f"_{code:02X}" if code < 0x100 else f"_u{code:06X}"


def decimal_text(value: Fraction) -> str:
    """A fraction as decimal text: exact where twelve decimals hold it, as they do for every number of such files."""
    return from_units(round_half_away(value.numerator * 10**_PLACES, value.denominator), _PLACES)


def currency_assets(currency: str, prices: Mapping[str, str]) -> tuple[Asset, ...]:
    """The file's currency, and the assets that prices are given for, in lots of 0.01."""
    others = (Asset(name=name, price=price, lot="0.01") for name, price in prices.items() if name != currency)
    return (Asset(name=currency, price="1", lot="0.01"), *others)


def file_time(created: str, date: str, house: str, zone: str | None, notes: list[str]) -> str:
    """When a file was made, in UTC: what its age is counted from. The business date may be tomorrow, or long today.

    Args:
        created: ``CCYYMMDDhhmm`` or with seconds, on the clearing organisation's clock.
        date: the business date, ``CCYYMMDD``, whose first instant stands in where ``created`` is missing.
        house: code of the clearing organisation.
        zone: the time zone of its clock, where the caller knows better.
        notes: added to.

    Raises:
        InputError: no such zone, or no date.
    """
    name = zone or ZONES.get(house) or "UTC"
    try:
        clock = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError("no such time zone", field="zone", hint="for example Asia/Kolkata") from None
    text, what = (created, "created") if re.fullmatch(r"[0-9]{12}(?:[0-9]{2})?", created) else (date + "0000", "dated")
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S" if len(text) == 14 else "%Y%m%d%H%M").replace(tzinfo=clock)
        time = format_time(int(moment.timestamp()) * MS_PER_SECOND)
    except (ValueError, OverflowError, InputError):
        raise InputError("a date or time of day that does not exist", field=what) from None
    if what == "dated":
        notes.append("the file does not say when it was made: its time is the beginning of its business date")
    if zone is None and house not in ZONES:
        notes.append(f"the clock of {house or 'an unnamed clearing house'} is not known: its times are read as UTC")
    else:
        notes.append(f"times of the file are read on the clock of {name}")
    return time


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
