"""The two passes over a SPAN XML file: its parameters, then the contracts of chosen commodities (``span_xml``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.importers.span_common import MAX_CONTRACTS, Side, refuse_unknown, safe_name
from zkmargin.engine.importers.tickers import plain_decimal
from zkmargin.engine.importers.xml_stream import Record
from zkmargin.engine.market import Kind
from zkmargin.engine.risk_arrays import SCENARIOS
from zkmargin.formats import InputError

FILE_FORMAT = "4.00"
PORTFOLIOS = {"phyPf": "PHY", "equityPf": "STOCK", "futPf": "FUT", "oopPf": "OOP", "oofPf": "OOF", "ooePf": "OOE"}
#: Portfolio kinds whose contracts are not read; a commodity that links one is imported without it, and that is noted.
UNREAD = ("cmbPf", "oocPf", "debtPf", "swapPf")


class Link(NamedTuple):
    """A portfolio of contracts by exchange, kind and id."""

    exchange: str
    kind: str
    id: str


class Contract(NamedTuple):
    """A contract as it stands in the file: numbers as plain decimal text, losses of one contract long."""

    line: int
    own: tuple[str, str, str]
    kind: Kind
    commodity: str
    id: str
    period: str | None
    underlying_contract: tuple[str, str, str] | None
    expiry: str | None
    strike: str | None
    option_type: str | None
    multiplier: str
    scale: str
    style: str
    price: str | None
    losses: tuple[str, ...]
    delta: str
    scan: str | None


class Parameters:
    """First pass: everything but contracts."""

    def __init__(self, rate: str) -> None:
        self.rate = rate
        self.date = self.created = ""
        self.commodities: dict[str, Record] = {}
        self.owner: dict[Link, str] = {}
        self.points: dict[str, Record] = {}
        self.spreads: list[Record] = []
        self.notes: list[str] = []

    def handlers(self) -> dict[str, Callable[[Record, list[Record]], bool | None]]:
        """What ``read_xml`` hands over in this pass."""
        return {
            "ccDef": self._commodity,
            "pointDef": self._point,
            "interSpreads": self._inter,
            "spanFile": self._file,
            "pointInTime": self._time,
            **dict.fromkeys(("opt", "fut", "phy", "equity"), lambda _record, _around: True),
        }

    def texts(self) -> dict[str, Callable[[str, list[Record]], bool]]:
        """What is skipped: every portfolio."""
        return {"pfId": lambda _text, around: around[-1].tag in PORTFOLIOS or around[-1].tag in UNREAD}

    def _commodity(self, record: Record, _around: list[Record]) -> None:
        name = record.need("cc")
        if name in self.commodities:
            raise InputError("a combined commodity twice", field=f"<ccDef> {name}", line=record.line)
        self.commodities[name] = record
        for link in record.all("pfLink"):
            key = Link(link.need("exch"), link.need("pfType"), link.need("pfId"))
            if self.owner.setdefault(key, name) != name:
                raise InputError("a portfolio in two combined commodities", field=f"<pfLink> {key.id}", line=link.line)

    def _point(self, record: Record, _around: list[Record]) -> None:
        self.points[record.need("r")] = record

    def _inter(self, record: Record, _around: list[Record]) -> None:
        self.spreads.append(record)

    def _time(self, record: Record, _around: list[Record]) -> None:
        if self.date:
            raise InputError("more than one point in time", field="<pointInTime>", line=record.line)
        self.date = record.need("date")

    def _file(self, record: Record, _around: list[Record]) -> None:
        given = record.need("fileFormat")
        if given != FILE_FORMAT:
            raise InputError(f"format {given[:20]}: this program reads {FILE_FORMAT}", field="<fileFormat>")
        self.created = record.text("created") or ""

    def finish(self, lots: Mapping[str, str]) -> None:
        """Check what was read. Raises InputError."""
        if not self.date:
            raise InputError("no <spanFile> with a <pointInTime>: not a SPAN risk parameter file")
        refuse_unknown(lots, self.commodities)
        self.commodities = {name: record for name, record in self.commodities.items() if name in lots}
        self.owner = {link: name for link, name in self.owner.items() if name in lots}
        for link, name in self.owner.items():
            if link.kind not in PORTFOLIOS.values():
                self.notes.append(f"{name}: portfolio {link.id} of type {link.kind} is not read")

    def extreme(self) -> tuple[Fraction, Fraction] | None:
        """(k, fraction) of scenario 15; None where the file does not define it."""
        point = self.points.get(self.rate)
        for scan in [] if point is None else point.all("scanPointDef"):
            if scan.text("point") == "15":
                moves = scan.all("priceScanDef")
                if not moves:
                    return None
                part = moves[0]
                ratio = Fraction(1)
                if number_of(part, "denominator", "1") != "0":
                    ratio = to_fraction(number_of(part, "numerator", "1")) / to_fraction(
                        number_of(part, "denominator", "1")
                    )
                # files write a whole multiple as mult k, 1/1, and a third as mult 1, 1/3
                return abs(to_fraction(number_of(part, "mult", "1")) * ratio), to_fraction(
                    number_of(scan, "weight", "1")
                )
        return None


class Contracts:
    """Second pass: the contracts of the chosen commodities."""

    def __init__(self, parameters: Parameters, rate: str) -> None:
        self.parameters, self.rate = parameters, rate
        self.contracts: list[Contract] = []

    def handlers(self) -> dict[str, Callable[[Record, list[Record]], bool | None]]:
        """What ``read_xml`` hands over in this pass."""
        skip = dict.fromkeys(("ccDef", "interSpreads", "pointDef"), self._nothing)
        return {"fut": self._line, "phy": self._line, "equity": self._line, "opt": self._option, **skip}

    def texts(self) -> dict[str, Callable[[str, list[Record]], bool]]:
        """What is skipped: portfolios of other commodities."""
        return {"pfId": self._unwanted}

    def _nothing(self, _record: Record, _around: list[Record]) -> None:
        return None

    def _unwanted(self, _text: str, around: list[Record]) -> bool:
        return around[-1].tag in UNREAD or (around[-1].tag in PORTFOLIOS and self._owner(around) is None)

    def _owner(self, around: list[Record]) -> str | None:
        place = next(i for i in range(len(around) - 1, -1, -1) if around[i].tag in PORTFOLIOS)
        family, exchange = around[place], around[place - 1]
        link = Link(exchange.need("exch"), PORTFOLIOS[family.tag], family.need("pfId"))
        return self.parameters.owner.get(link)

    def _line(self, record: Record, around: list[Record]) -> None:
        family = around[-1]
        owner = self._owner(around)
        if owner is None:
            return
        period = record.text("pe") or None
        future = record.tag == "fut"
        if future:
            record.need("pe")
        code = family.need("pfCode")
        identity = safe_name(f"{code}-{period}" if future else code)
        self._add(record, around, "future" if future else "spot", owner, identity, period if future else None)

    def _option(self, record: Record, around: list[Record]) -> None:
        series, family = around[-1], around[-2]
        owner = self._owner(around)
        if owner is None:
            return
        period = series.need("pe")
        right = {"C": "call", "P": "put"}.get(record.need("o"))
        if right is None:
            raise InputError("neither C nor P", field="<o>", line=record.line)
        strike = number_of(record, "k")
        identity = safe_name(f"{family.need('pfCode')}-{period}-{strike}-{record.need('o')}")
        self._add(record, around, "option", owner, identity, period, strike, right)

    def _add(
        self,
        record: Record,
        around: list[Record],
        kind: Kind,
        owner: str,
        identity: str,
        period: str | None,
        strike: str | None = None,
        right: str | None = None,
    ) -> None:
        if len(self.contracts) >= MAX_CONTRACTS:
            raise InputError(f"more than {MAX_CONTRACTS} contracts: import fewer commodities", field="lots")
        family = around[-2] if kind == "option" else around[-1]
        series = around[-1] if kind == "option" else record
        exchange = around[-3] if kind == "option" else around[-2]
        arrays = [array for array in record.all("ra") if (array.text("r") or self.rate) == self.rate]
        if len(arrays) != 1:
            raise InputError(
                f"{len(arrays)} risk arrays of rate {self.rate}: every contract needs its own",
                field=f"<{record.tag}> {identity}",
                line=record.line,
            )
        below = None
        if family.tag == "oofPf":
            found = series.all("undC")
            if not found:
                raise InputError("an option on a future without its <undC>", field=identity, line=series.line)
            below = (found[0].need("exch"), found[0].need("pfId"), found[0].need("cId"))
        scans = [scan for scan in series.all("scanRate") if (scan.text("r") or self.rate) == self.rate]
        style = family.text("valueMeth") or ""
        date = series.text("setlDate") or (period if period and len(period) == 8 and period.isdigit() else None)
        own = (exchange.need("exch"), family.need("pfId"), record.text("cId") or "")
        array = arrays[0]
        losses = tuple(decimal_of(value, array, "a") for value in array.texts.get("a", []))
        if len(losses) != SCENARIOS:
            raise InputError(f"{len(losses)} values, not {SCENARIOS}", field=f"<ra> {identity}", line=array.line)
        self.contracts.append(
            Contract(
                line=record.line,
                own=own,
                kind=kind,
                commodity=owner,
                id=identity,
                period=period,
                underlying_contract=below,
                expiry=None if date is None else date_of(date, record),
                strike=strike,
                option_type=right,
                multiplier=first_number((record, series, family), "cvf", "1"),
                scale=first_number((record, series), "sc", "1"),
                style=style,
                price=number_of(record, "p") if record.text("p") else None,
                losses=losses,
                delta=number_of(array, "d"),
                scan=number_of(scans[0], "priceScan", "0") if scans else None,
            )
        )


def rate_of(record: Record, rate: str) -> str | None:
    """The ``val`` of a record's ``rate`` of that id; None without one."""
    found = [entry for entry in record.all("rate") if (entry.text("r") or rate) == rate]
    return number_of(found[0], "val") if found else None


def side_of(leg: Record) -> Side:
    """A leg's market side. Raises InputError."""
    match leg.need("rs"):
        case "A":
            return "A"
        case "B":
            return "B"
    raise InputError("neither A nor B", field="<rs>", line=leg.line)


def number_of(record: Record, tag: str, default: str | None = None) -> str:
    """A number of a record as plain decimal text. Raises InputError where it is missing and has no default."""
    text = record.text(tag)
    if not text:
        if default is None:
            raise InputError(f"no <{tag}>", field=f"<{record.tag}>", line=record.line)
        return default
    return decimal_of(text, record, tag)


def first_number(records: tuple[Record, ...], tag: str, default: str) -> str:
    """The number of the innermost record that has it."""
    return next((number_of(record, tag) for record in records if record.text(tag)), default)


def decimal_of(text: str, record: Record, tag: str) -> str:
    """A text as plain decimal text. Raises InputError with its line."""
    try:
        return plain_decimal(text)
    except InputError as error:
        raise InputError(error.reason, field=f"<{record.tag}> <{tag}>", line=record.line) from None


def date_of(text: str, record: Record) -> str:
    """A date YYYYMMDD as a time. Raises InputError."""
    if not re.fullmatch(r"[0-9]{8}", text):
        raise InputError("not a date YYYYMMDD", field="<setlDate>", line=record.line)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}T00:00:00Z"
