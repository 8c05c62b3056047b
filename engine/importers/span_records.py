"""The two passes over a SPAN XML file: its parameters, then the contracts of chosen commodities (``span_xml``)."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from fractions import Fraction
from sys import intern
from typing import Literal, NamedTuple

from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.importers.span_common import MAX_CONTRACTS, Side, refuse_unknown, safe_name
from zkmargin.engine.importers.tickers import plain_decimal
from zkmargin.engine.importers.xml_stream import Handler, Record, TextHandler
from zkmargin.engine.names import Kind
from zkmargin.engine.risk_arrays import ARRAY_DECIMALS, SCENARIOS
from zkmargin.formats import InputError

FILE_FORMAT = "4.00"
MAX_COMMODITIES, MAX_RATES, MAX_SPREADS = 1 << 16, 1000, 1 << 14
PORTFOLIOS = {"phyPf": "PHY", "equityPf": "STOCK", "futPf": "FUT", "oopPf": "OOP", "oofPf": "OOF", "ooePf": "OOE"}
#: Elements that mean something here; whatever else a file holds, other kinds of portfolio included, is passed over.
WANTED_PARAMETERS = frozenset(
    {
        *("spanFile", "fileFormat", "created", "pointInTime", "date", "clearingOrg", "ec"),
        *("ccDef", "cc", "currency", "riskExponent", "capAnov", "somMeth", "pfLink", "exch", "pfType", "pfId"),
        *("intraTiers", "interTiers", "somTiers", "tier", "tn", "sPe", "ePe", "rate", "r", "val", "spotRate", "pe"),
        *("sprd", "outr", "dSpread", "hSpread", "sSpread", "cSpread", "spread", "chargeMeth"),
        *("pLeg", "tLeg", "sLeg", "rs", "i", "interSpreads"),
        *("pointDef", "scanPointDef", "point", "priceScanDef", "mult", "numerator", "denominator", "weight"),
    }
)
WANTED_CONTRACTS = frozenset(
    {
        *("spanFile", "pointInTime", "clearingOrg", "exchange", "exch", *PORTFOLIOS, "series"),
        *("pfId", "pfCode", "cvf", "valueMeth", "pe", "setlDate", "sc", "undC", "cId", "scanRate", "priceScan"),
        *("r", "o", "k", "p", "ra", "a", "d"),
    }
)


class Link(NamedTuple):
    """A portfolio of contracts by exchange, kind and id."""

    exchange: str
    kind: str
    id: str


class Contract(NamedTuple):
    """A contract as it stands in the file: numbers as decimal text, losses of one long in 1e-6, ``own`` of a future."""

    line: int
    own: tuple[str, str, str] | None
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
    losses: Sequence[int]
    delta: str
    scan: str | None


class Parameters:
    """First pass: everything but contracts, of the commodities with a lot."""

    def __init__(self, rate: str, lots: Mapping[str, str]) -> None:
        self.rate, self.lots = rate, lots
        self.date = self.created = self.house = ""
        self.commodities: dict[str, Record] = {}
        self.owner: dict[Link, str] = {}
        self.points: dict[str, Record] = {}
        self.spreads: list[Record] = []
        self.notes: list[str] = []
        self._held: set[str] = set()

    def handlers(self) -> dict[str, Handler]:
        """What ``read_xml`` hands over in this pass."""
        return {
            "ccDef": self._commodity,
            "pointDef": self._point,
            "dSpread": self._spread,
            "hSpread": self._spread,
            "sSpread": self._spread,
            "cSpread": self._spread,
            "spanFile": self._file,
            "pointInTime": self._time,
            "clearingOrg": self._house,
        }

    def _commodity(self, record: Record, _around: list[Record]) -> None:
        name = record.need("cc")
        if name in self._held:
            raise InputError("a combined commodity twice", field=f"<ccDef> {name[:40]}", line=record.line)
        self._held.add(name)
        if len(self._held) > MAX_COMMODITIES:
            raise InputError(f"more than {MAX_COMMODITIES} combined commodities", line=record.line)
        if name not in self.lots:
            return
        self.commodities[name] = record
        for link in record.all("pfLink"):
            key = Link(link.need("exch"), link.need("pfType"), link.need("pfId"))
            if self.owner.setdefault(key, name) != name:
                raise InputError(
                    "a portfolio in two combined commodities", field=f"<pfLink> {key.id[:40]}", line=link.line
                )

    def _point(self, record: Record, _around: list[Record]) -> None:
        self.points[record.need("r")[:40]] = record
        if len(self.points) > MAX_RATES:
            raise InputError(f"more than {MAX_RATES} rates", field="<pointDef>", line=record.line)

    def _spread(self, record: Record, around: list[Record]) -> Literal["keep"] | None:
        """A spread inside a commodity stays there; between commodities only those that can be formed are kept."""
        if around and around[-1].tag == "ccDef":
            return "keep" if (around[-1].text("cc") or "") in ("", *self.lots) else None
        legs = [*record.all("tLeg"), *record.all("pLeg"), *record.all("sLeg")]
        if around and around[-1].tag == "interSpreads" and all((leg.text("cc") or "") in self.lots for leg in legs):
            self.spreads.append(record)
            if len(self.spreads) > MAX_SPREADS:
                raise InputError(f"more than {MAX_SPREADS} spreads", field="<interSpreads>", line=record.line)
        return None

    def _house(self, record: Record, _around: list[Record]) -> None:
        self.house = self.house or (record.text("ec") or "")[:40]

    def _time(self, record: Record, _around: list[Record]) -> None:
        if self.date:
            raise InputError("more than one point in time", field="<pointInTime>", line=record.line)
        self.date = record.need("date")
        if not re.fullmatch(r"[0-9]{8}", self.date):
            raise InputError("not a date YYYYMMDD", field="<date>", line=record.line)

    def _file(self, record: Record, _around: list[Record]) -> None:
        given = record.need("fileFormat")
        if given != FILE_FORMAT:
            raise InputError(f"format {given[:20]}: this program reads {FILE_FORMAT}", field="<fileFormat>")
        self.created = record.text("created") or ""

    def finish(self) -> None:
        """Check what was read. Raises InputError."""
        if not self.date:
            raise InputError("no <spanFile> with a <pointInTime>: not a SPAN risk parameter file")
        refuse_unknown(self.lots, self._held)
        for link, name in self.owner.items():
            if link.kind not in PORTFOLIOS.values():
                self.notes.append(f"{name}: portfolio {link.id} of type {link.kind} is not read")

    def exponent(self, commodity: str) -> Fraction:
        """What multiplies a commodity's arrays and rates. Raises InputError."""
        record = self.commodities[commodity]
        text = record.text("riskExponent") or "0"
        if not re.fullmatch(r"-?[0-9]", text):
            raise InputError("not a small whole number", field="<riskExponent>", line=record.line)
        return Fraction(10) ** int(text)

    def extreme(self) -> tuple[Fraction, Fraction] | None:
        """(k, fraction) of scenario 15; None where the file does not define it."""
        point = self.points.get(self.rate)
        for scan in [] if point is None else point.all("scanPointDef"):
            if scan.text("point") == "15":
                moves = scan.all("priceScanDef")
                if not moves:
                    return None
                part = moves[0]
                ratio, below = Fraction(1), to_fraction(number_of(part, "denominator", "1"))
                if below:
                    ratio = to_fraction(number_of(part, "numerator", "1")) / below
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

    def handlers(self) -> dict[str, Handler]:
        """What ``read_xml`` hands over in this pass."""
        return {"fut": self._line, "phy": self._line, "equity": self._line, "opt": self._option}

    def texts(self) -> dict[str, TextHandler]:
        """What is skipped: portfolios of other commodities."""
        return {"pfId": self._unwanted}

    def _unwanted(self, _text: str, around: list[Record]) -> bool:
        return around[-1].tag in PORTFOLIOS and self._owner(around) is None

    def _owner(self, around: list[Record]) -> str | None:
        """The commodity of the portfolio that is open. Raises InputError where none is, inside an exchange."""
        place = next((i for i in range(len(around) - 1, 0, -1) if around[i].tag in PORTFOLIOS), 0)
        family, exchange = around[place], around[place - 1]
        if place == 0 or exchange.tag != "exchange":
            raise InputError("a contract outside the portfolio of an exchange", field=f"<{around[-1].tag}>")
        link = Link(exchange.need("exch"), PORTFOLIOS[family.tag], family.need("pfId"))
        return self.parameters.owner.get(link)

    def _line(self, record: Record, around: list[Record]) -> None:
        if not around or around[-1].tag not in PORTFOLIOS:
            raise InputError("a contract outside a portfolio", field=f"<{record.tag}>", line=record.line)
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
        if len(around) < 2 or around[-1].tag != "series" or around[-2].tag not in PORTFOLIOS:
            raise InputError("an option outside the series of a portfolio", field="<opt>", line=record.line)
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
        arrays = [found for found in record.all("ra") if (found.text("r") or self.rate) == self.rate]
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
        style = intern(family.text("valueMeth") or "")
        date = series.text("setlDate") or (period if period and len(period) == 8 and period.isdigit() else None)
        own = (exchange.need("exch"), family.need("pfId"), record.text("cId") or "") if kind == "future" else None
        values = arrays[0]
        exponent = self.parameters.exponent(owner)
        losses = [
            units_of(to_fraction(decimal_of(value, values, "a")) * exponent, f"<ra> {identity}", values.line)
            for value in values.texts.get("a", [])
        ]
        if len(losses) != SCENARIOS:
            raise InputError(f"{len(losses)} values, not {SCENARIOS}", field=f"<ra> {identity}", line=values.line)
        self.contracts.append(
            Contract(
                line=record.line,
                own=own,
                kind=kind,
                commodity=owner,
                id=identity,
                period=None if period is None else intern(period),
                underlying_contract=below,
                expiry=None if date is None else intern(date_of(date, record)),
                strike=None if strike is None else intern(strike),
                option_type=right,
                multiplier=intern(first_number((record, series, family), "cvf", "1")),
                scale=intern(first_number((record, series), "sc", "1")),
                style=style,
                price=number_of(record, "p") if record.text("p") else None,
                losses=array("q", losses),
                delta=number_of(values, "d"),
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


def whole_of(record: Record, tag: str, default: str | None = None) -> int:
    """A whole number from 0 to a million. Raises InputError."""
    text = number_of(record, tag, default)
    if not text.isdigit() or len(text) > 7:
        raise InputError("not a whole number", field=f"<{record.tag}> <{tag}>", line=record.line)
    return int(text)


def units_of(value: Fraction, field: str, line: int) -> int:
    """A value of an array in 1e-6, exactly. Raises InputError."""
    units = value * 10**ARRAY_DECIMALS
    if units.denominator != 1:
        raise InputError(f"has more than {ARRAY_DECIMALS} decimals", field=field, line=line)
    if abs(units) >= 1 << 63:
        raise InputError("past 64 bits of a millionth", field=field, line=line)
    return int(units)


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
    time = f"{text[:4]}-{text[4:6]}-{text[6:]}T00:00:00Z"
    try:
        parse_time(time)
    except InputError as error:
        raise InputError(error.reason, field="<setlDate>", line=record.line) from None
    return time
